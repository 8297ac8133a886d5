use std::any::Any;
use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::facts::Moment;
use crate::store::{INDEX_FILE, Index, IndexError};

/// So long what was answered is answered again, to whoever asks the same.
pub(super) const FRESH: Duration = Duration::from_secs(2);
/// Answers that are kept; of more the oldest goes.
const KEPT_MAX: usize = 32;

/// What was asked a moment ago, with what came of it: data without a role or a language, which pages draw for each person.
#[derive(Default)]
pub(super) struct Answered(Mutex<Answers>);

#[derive(Default)]
struct Answers {
    kept: VecDeque<Kept>,
    /// Answers of before this moment may not know what was done since.
    not_before: Moment,
}

struct Kept {
    question: String,
    at: Moment,
    answer: Arc<dyn Any + Send + Sync>,
}

impl Answered {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was answered to the same question within the last two seconds.
    pub(super) fn find<T: Send + Sync + 'static>(&self, question: &str, now: Moment) -> Option<Arc<T>> {
        let answers = self.answers();
        let found = answers.kept.iter().rev().find(|kept| kept.question == question && now - kept.at < FRESH)?;
        found.answer.clone().downcast().ok()
    }

    /// Keeps an answer as of the moment at which it was asked for.
    pub(super) fn keep<T: Send + Sync + 'static>(&self, question: &str, at: Moment, answer: &Arc<T>) {
        let mut answers = self.answers();
        if at < answers.not_before {
            return;
        }
        let kept = &mut answers.kept;
        kept.retain(|kept| kept.question != question && at - kept.at < FRESH);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept { question: question.to_owned(), at, answer: answer.clone() });
    }

    /// Whoever has done something sees what comes of it: what is asked before the index has it is not kept either.
    pub(super) fn forget(&self, now: Moment) {
        let mut answers = self.answers();
        answers.kept.clear();
        answers.not_before = Moment(now.0.saturating_add(FRESH.as_micros() as u64));
    }
}

/// The index, opened by as many as ask at the same time, and kept open with what was read of its form.
#[derive(Default)]
pub(super) struct Indexes(Mutex<Vec<(Index, FileId)>>);

/// Which file it is: `reindex` puts another one into its place.
type FileId = Option<(u64, u64)>;

impl Indexes {
    /// One that nobody asks at the moment.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    pub(super) fn take(&self, data_dir: &Path) -> Result<Lent<'_>, IndexError> {
        let id = file_id(data_dir);
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, of)| id.is_some() && *of == id);
        let known = idle.pop();
        drop(idle);
        let index = match known {
            Some((index, _)) => index,
            None => {
                let index = Index::open(data_dir)?;
                index.hold_little()?;
                index
            }
        };
        Ok(Lent { index, id, from: self })
    }
}

/// An index that is given back once it has answered.
pub(super) struct Lent<'a> {
    pub(super) index: Index,
    id: FileId,
    from: &'a Indexes,
}

impl Lent<'_> {
    /// One that could not answer is not kept.
    pub(super) fn give_back(self) {
        self.from.0.lock().unwrap_or_else(PoisonError::into_inner).push((self.index, self.id));
    }
}

fn file_id(data_dir: &Path) -> FileId {
    let told = std::fs::metadata(data_dir.join(INDEX_FILE)).ok()?;
    Some((told.dev(), told.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment(1_000_000_000 + ms * 1000)
    }

    #[test]
    fn the_same_question_has_its_answer_for_two_seconds_and_no_other_has() {
        let answered = Answered::default();
        answered.keep("blocked 7", at(0), &Arc::new(7_u64));
        assert_eq!(answered.find::<u64>("blocked 7", at(1999)).as_deref(), Some(&7));
        assert_eq!(answered.find::<u64>("blocked 70", at(1)), None);
        assert_eq!(answered.find::<u32>("blocked 7", at(1)), None, "of another kind");
        assert_eq!(answered.find::<u64>("blocked 7", at(2000)), None);
        answered.keep("blocked 7", at(1000), &Arc::new(8_u64));
        assert_eq!(answered.find::<u64>("blocked 7", at(2500)).as_deref(), Some(&8));
        answered.forget(at(2500));
        assert_eq!(answered.find::<u64>("blocked 7", at(2500)), None);
        for (asked, is_kept) in [(2400, false), (2600, false), (4499, false), (4500, true)] {
            answered.keep("blocked 7", at(asked), &Arc::new(9_u64));
            assert_eq!(answered.find::<u64>("blocked 7", at(asked)).is_some(), is_kept, "{asked}");
        }
    }

    #[test]
    fn of_many_answers_the_newest_are_kept() {
        let answered = Answered::default();
        for number in 0..1000_usize {
            answered.keep(&number.to_string(), at(0), &Arc::new(number));
        }
        assert_eq!(answered.answers().kept.len(), KEPT_MAX);
        assert_eq!(answered.find::<usize>("999", at(0)).as_deref(), Some(&999));
        assert_eq!(answered.find::<usize>("967", at(0)), None);
    }
}

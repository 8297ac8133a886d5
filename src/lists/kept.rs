use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::facts::Timestamp;

use super::feed::Feed;
use super::shelf::{is_private, write_new};

/// Lists as they were fetched, in `fetched` in the data directory: of each its content, and beside it what is
/// known of that.
#[derive(Debug, Clone)]
pub struct Kept {
    directory: PathBuf,
}

/// What is known of a list that was fetched, or was to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedState {
    /// The [`Feed::source`] of the content that is kept; empty where there is none.
    pub source: String,
    /// Of the content, in hexadecimal.
    pub sha256: String,
    pub bytes: u64,
    /// The signature that it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// When that says it was made: seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<u64>,
    /// When this content came: microseconds since 1970, as the others.
    pub changed_at: u64,
    /// When its source last said that this is the content.
    pub checked_at: u64,
    /// What went wrong since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Attempts that came to nothing, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When the first was.
    pub since: u64,
    /// When the last was.
    pub at: u64,
    pub count: u64,
    /// Why the last was one.
    pub why: String,
    /// What was tried, as [`Feed::source`].
    pub source: String,
}

/// After a failure the source is asked again so much later, twice as much after the next, and at most as
/// often as without one.
const AGAIN: Duration = Duration::from_secs(300);

impl FeedState {
    /// When the source is to be asked next.
    pub fn due(&self, feed: &Feed, now: Timestamp) -> Timestamp {
        let source = feed.source();
        let (last, pause) = match &self.failure {
            Some(failure) if failure.source == source => {
                let doublings = u32::try_from(failure.count.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
                (failure.at, (AGAIN * (1 << doublings)).min(feed.every))
            }
            None if self.source == source => (self.checked_at, feed.every),
            // Nothing was tried as it is written now.
            Some(_) | None => return now,
        };
        // A clock that was set back makes nobody wait.
        if last > now.0 {
            return now;
        }
        Timestamp(last.saturating_add(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The same after an attempt that came to nothing.
    pub fn failed(mut self, feed: &Feed, why: String, now: Timestamp) -> Self {
        let source = feed.source();
        let before = self.failure.take().filter(|failure| failure.source == source);
        self.failure = Some(Failure {
            since: before.as_ref().map_or(now.0, |failure| failure.since),
            count: before.map_or(0, |failure| failure.count) + 1,
            at: now.0,
            why,
            source,
        });
        self
    }
}

impl Kept {
    /// Made when the first list is put there.
    pub fn new(data_dir: &Path) -> Self {
        Self { directory: data_dir.join("fetched") }
    }

    /// Where the content of a list is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.list"))
    }

    /// Where a content is held while it is looked at.
    pub fn candidate(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.candidate"))
    }

    fn state_path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }

    /// What is known of a list; where nothing is, or nothing that can be read, its source is asked anew.
    pub fn state(&self, name: &str) -> FeedState {
        let state = fs::read(self.state_path(name)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        state.filter(|_| self.path(name).exists()).unwrap_or_default()
    }

    /// Holds a content beside the one that is kept.
    ///
    /// # Errors
    /// The directory or the file cannot be written.
    pub fn hold(&self, name: &str, content: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        is_private(&self.directory)?;
        write_new(&self.candidate(name), content)?.sync_all()
    }

    /// Puts the content that is held in the place of the one that was kept.
    ///
    /// # Errors
    /// It cannot be: what was kept stays.
    pub fn take(&self, name: &str, state: &FeedState) -> io::Result<()> {
        fs::rename(self.candidate(name), self.path(name))?;
        self.note(name, state)
    }

    /// Lets go of the content that is held.
    pub fn drop_candidate(&self, name: &str) {
        let _ = fs::remove_file(self.candidate(name));
    }

    /// Writes down what is known of a list whose content stays as it is.
    ///
    /// # Errors
    /// It cannot be written: after the next start the source is asked earlier than need be.
    pub fn note(&self, name: &str, state: &FeedState) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let path = self.state_path(name);
        let new = path.with_extension("json.new");
        write_new(&new, &serde_json::to_vec(state)?)?.sync_all()?;
        fs::rename(new, path)
    }
}

#[cfg(test)]
mod tests {
    use crate::lists::{Proof, Sum};
    use crate::tls::Roots;
    use crate::upstream::HttpsUrl;

    use super::*;

    fn feed(url: &str) -> Feed {
        Feed {
            name: "bad".to_owned(),
            url: HttpsUrl::parse(url).unwrap(),
            every: Duration::from_secs(3600),
            proof: Proof::Sha256(Sum::of(b"")),
            opened: Vec::new(),
            roots: Roots::System,
        }
    }

    const MINUTE: u64 = 60_000_000;
    const NOW: Timestamp = Timestamp(1_000_000 * MINUTE);

    fn fetched(feed: &Feed, minutes_ago: u64) -> FeedState {
        let at = NOW.0 - minutes_ago * MINUTE;
        FeedState { source: feed.source(), checked_at: at, changed_at: at, ..FeedState::default() }
    }

    #[test]
    fn a_source_is_asked_as_often_as_the_config_says_and_sooner_after_a_failure() {
        let feed = feed("https://l.example/");
        let minutes =
            |state: &FeedState| (i128::from(state.due(&feed, NOW).0) - i128::from(NOW.0)) / i128::from(MINUTE);
        assert_eq!(minutes(&FeedState::default()), 0, "it was never asked");
        assert_eq!(minutes(&fetched(&feed, 10)), 50);
        assert_eq!(minutes(&fetched(&feed, 90)), -30);
        let mut state = fetched(&feed, 60);
        for expected in [5, 10, 20, 40, 60, 60] {
            state = state.failed(&feed, "no".to_owned(), NOW);
            assert_eq!(minutes(&state), expected, "{:?}", state.failure);
        }
        let failure = state.failure.clone().unwrap();
        assert_eq!((failure.count, failure.since, failure.at), (6, NOW.0, NOW.0));
        let endless = FeedState { failure: Some(Failure { count: u64::MAX, ..failure }), ..state };
        assert_eq!(minutes(&endless), 60);
        let ahead = FeedState { checked_at: NOW.0 + 10 * MINUTE, ..fetched(&feed, 0) };
        assert_eq!(minutes(&ahead), 0, "the clock was set back");
    }

    #[test]
    fn another_source_in_the_config_is_asked_at_once() {
        let (old, new) = (feed("https://old.example/"), feed("https://new.example/"));
        let state = fetched(&old, 1);
        assert_eq!(state.due(&new, NOW), NOW);
        let state = state.failed(&old, "no".to_owned(), NOW);
        assert_eq!(state.due(&new, NOW), NOW);
        let failure = state.failed(&new, "neither".to_owned(), NOW).failure.unwrap();
        assert_eq!((failure.count, failure.why.as_str()), (1, "neither"));
    }

    #[test]
    fn a_content_replaces_the_one_before_whole_and_its_state_outlives_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::new(directory.path());
        assert_eq!(kept.state("bad"), FeedState::default());
        kept.hold("bad", b"a.example\n").unwrap();
        assert!(!kept.path("bad").exists());
        let state = fetched(&feed("https://l.example/"), 1);
        kept.take("bad", &state).unwrap();
        assert_eq!((fs::read(kept.path("bad")).unwrap(), kept.state("bad")), (b"a.example\n".to_vec(), state.clone()));
        kept.hold("bad", b"b.example\n").unwrap();
        kept.drop_candidate("bad");
        assert_eq!(fs::read(kept.path("bad")).unwrap(), b"a.example\n");
        let failed = state.failed(&feed("https://l.example/"), "no".to_owned(), NOW);
        kept.note("bad", &failed).unwrap();
        assert_eq!(kept.state("bad"), failed);
        fs::write(directory.path().join("fetched/bad.json"), "{").unwrap();
        assert_eq!(kept.state("bad"), FeedState::default());
        fs::write(directory.path().join("fetched/bad.json"), serde_json::to_vec(&failed).unwrap()).unwrap();
        fs::remove_file(kept.path("bad")).unwrap();
        assert_eq!(kept.state("bad"), FeedState::default(), "what is known of a content that has gone");
    }
}

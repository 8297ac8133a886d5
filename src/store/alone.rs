use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::clock;
use crate::evidence::Record;

use super::journal::{Durability, Journal, JournalConfig, NotAccepted};
use super::reader::Reader;
use super::reserve;
use super::segment::OpenError;

/// Why a record was not appended where no gate runs.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// A gate that runs, or starts, has the journal: it is to be asked.
    #[error("a gate has taken {0} meanwhile")]
    Locked(PathBuf),
    #[error("there are no records in {0}")]
    NoJournal(PathBuf),
    #[error(transparent)]
    Open(OpenError),
    #[error("the journal takes no record: {0}")]
    NotAccepted(NotAccepted),
    #[error("the journal could not be closed: {0}")]
    Unclosed(io::Error),
}

/// Whose journal it is, as its lines say.
#[derive(Deserialize)]
struct Keeper {
    gate: String,
    site: Option<String>,
}

/// Appends one record to a journal that no gate writes to, in a segment of its own, in the name of the gate whose journal
/// it is. When it comes back without an error, the record is on the disk. The reserve stays as it is. What is to hold by it
/// is done by `then`, once it is accepted and before a gate can take the journal: one that starts finds both or neither.
///
/// # Errors
/// There is no journal, a gate writes to it, it is broken or of another user, or the disk takes nothing.
pub fn append_alone<T>(data_dir: &Path, record: &Record, then: impl FnOnce() -> T) -> Result<T, AloneError> {
    let directory = data_dir.join("journal");
    if matches!(directory.try_exists(), Ok(false)) {
        return Err(AloneError::NoJournal(directory));
    }
    let Keeper { gate, site } = keeper(data_dir).map_err(AloneError::Open)?.ok_or(AloneError::NoJournal(directory))?;
    let config = JournalConfig {
        data_dir: data_dir.to_owned(),
        durability: Durability::Strict,
        gate,
        site,
        segment_bytes_max: u64::MAX,
        reserve_bytes: std::fs::metadata(data_dir.join(reserve::FILE_NAME)).map_or(0, |file| file.len()),
    };
    let journal = Journal::open(config).map_err(|error| match error {
        OpenError::Locked(path) => AloneError::Locked(path),
        other => AloneError::Open(other),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(AloneError::Unclosed)?;
    let accepted = runtime.block_on(journal.handle().append(record, clock::now()));
    let done = accepted.map(|()| then());
    let closed = journal.close();
    let done = done.map_err(AloneError::NotAccepted)?;
    closed.map_err(AloneError::Unclosed)?;
    Ok(done)
}

/// By the first line of the newest segment that has one.
fn keeper(data_dir: &Path) -> Result<Option<Keeper>, OpenError> {
    let mut block = Vec::new();
    // Of a journal that has ended, the last segment alone was not ended before now.
    for since in [Some(clock::now()), None] {
        let mut reader = Reader::open(data_dir, since)?;
        while reader.next(&mut block)? {
            let mut lines = block.split(|byte| *byte == b'\n');
            if let Some(keeper) = lines.find_map(|line| serde_json::from_slice(line).ok()) {
                return Ok(Some(keeper));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use crate::evidence::{Lookup, Person};
    use crate::store::verify;

    use super::*;

    fn lookup() -> Record {
        let who = Person { uid: Some(7), login: None, console: None, claims: None };
        Record::Lookup(Lookup {
            who,
            question: "test".into(),
            client: Some("10.0.0.1".into()),
            user: None,
            device: None,
            since: None,
            until: None,
        })
    }

    fn config(data_dir: &Path) -> JournalConfig {
        JournalConfig {
            data_dir: data_dir.to_owned(),
            durability: Durability::Batch,
            gate: "north".to_owned(),
            site: Some("Osaka".to_owned()),
            segment_bytes_max: 1 << 20,
            reserve_bytes: 1 << 20,
        }
    }

    #[test]
    fn a_record_follows_in_the_name_of_the_gate_and_the_chain_holds() {
        let directory = tempfile::tempdir().unwrap();
        Journal::open(config(directory.path())).unwrap().close().unwrap();
        let held = std::fs::metadata(directory.path().join(reserve::FILE_NAME)).unwrap().len();
        append_alone(directory.path(), &lookup(), || ()).unwrap();
        append_alone(directory.path(), &lookup(), || ()).unwrap();
        verify(directory.path(), &Default::default()).unwrap();
        let (mut reader, mut block, mut text) =
            (Reader::open(directory.path(), None).unwrap(), Vec::new(), String::new());
        while reader.next(&mut block).unwrap() {
            text.push_str(std::str::from_utf8(&block).unwrap());
        }
        let lookups: Vec<_> = text.lines().filter(|line| line.contains("\"kind\":\"lookup\"")).collect();
        assert_eq!(lookups.len(), 2);
        for line in lookups {
            assert!(line.contains("\"gate\":\"north\",\"site\":\"Osaka\"") && line.contains("\"uid\":7"), "{line}");
        }
        let after = std::fs::metadata(directory.path().join(reserve::FILE_NAME)).unwrap().len();
        assert_eq!(after, held, "the reserve is as it was");
    }

    #[test]
    fn what_is_to_hold_by_a_record_holds_before_a_gate_can_have_the_journal() {
        let directory = tempfile::tempdir().unwrap();
        Journal::open(config(directory.path())).unwrap().close().unwrap();
        let opened = append_alone(directory.path(), &lookup(), || Journal::open(config(directory.path())).map(|_| ()));
        assert!(matches!(opened, Ok(Err(OpenError::Locked(_)))), "{opened:?}");
        let journal = Journal::open(config(directory.path())).unwrap();
        let mut done = false;
        assert!(append_alone(directory.path(), &lookup(), || done = true).is_err());
        assert!(!done, "nor is it done without a record");
        journal.close().unwrap();
    }

    #[test]
    fn nothing_is_made_where_no_journal_is_and_none_is_written_to_that_a_gate_has() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(append_alone(directory.path(), &lookup(), || ()), Err(AloneError::NoJournal(_))));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let journal = Journal::open(config(directory.path())).unwrap();
        assert!(matches!(
            append_alone(directory.path(), &lookup(), || ()),
            Err(AloneError::Locked(_) | AloneError::NoJournal(_))
        ));
        journal.close().unwrap();
    }
}

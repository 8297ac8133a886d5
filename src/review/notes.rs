use std::collections::BTreeMap;
use std::path::Path;

use crate::evidence::{Devices, FindingId, Found, Noted, Triages, lines_of, read_noted};
use crate::store::{Index, IndexError, OpenError, Reader};

use super::scan::Progress;

/// What is on record of who clients are, what was found, and what people hold of that.
#[derive(Debug, Default)]
pub struct Notes {
    pub devices: Devices,
    pub triages: Triages,
    /// The newest record of each finding.
    pub findings: BTreeMap<FindingId, Found>,
    /// Records of these kinds that could not be read.
    pub unreadable: u64,
}

/// So many findings are held; of more, those that were found first.
const FINDINGS_MAX: usize = 200_000;

/// Reads all of that: from the index, where there is one that can be read, and from the journal what is not in it yet.
///
/// # Errors
/// What of the journal could not be read.
pub fn read_notes(data_dir: &Path, mut progress: impl FnMut(Progress)) -> Result<Notes, OpenError> {
    let mut reader = Reader::open(data_dir, None)?;
    let (mut notes, newest) = from_index(data_dir).unwrap_or_default();
    reader.skip_to(newest);
    // Of the segment that the index has in part, the rest is read with what was there before: a record that is taken up
    // twice, in its order, is what it was.
    let mut block = Vec::new();
    while reader.next(&mut block)? {
        for line in lines_of(&block) {
            notes.take_up(line);
        }
        progress(Progress { read: reader.bytes_read(), all: reader.bytes() });
    }
    Ok(notes)
}

/// Takes up what people hold findings and targets to be, as far as the index has it; what was taken up before counts where it is
/// newer.
///
/// # Errors
/// The index cannot be read.
pub fn take_up_marks(data_dir: &Path, triages: &mut Triages) -> Result<(), IndexError> {
    let index = Index::open(data_dir)?;
    let mut statement = index.connection().prepare("SELECT line FROM event WHERE kind = 'triage' ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Ok(Some(Noted::Triage(triaged))) = read_noted(row.get_ref(0)?.as_bytes().unwrap_or_default()) {
            triages.note(*triaged);
        }
    }
    Ok(())
}

/// What the index has, and the number of the newest record in it.
fn from_index(data_dir: &Path) -> Result<(Notes, u64), IndexError> {
    let index = Index::open(data_dir)?;
    // Asked before the rest: what comes meanwhile is read of the journal.
    let newest = index.indexed()?.seq;
    let mut notes = Notes::default();
    for query in ["SELECT line FROM finding", "SELECT line FROM event WHERE kind IN ('device', 'triage') ORDER BY seq"]
    {
        let mut statement = index.connection().prepare(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            notes.take_up(row.get_ref(0)?.as_bytes().unwrap_or_default());
        }
    }
    Ok((notes, newest))
}

impl Notes {
    fn take_up(&mut self, line: &[u8]) {
        match read_noted(line) {
            Ok(None) => {}
            Ok(Some(Noted::Device(assignment))) => self.devices.note(assignment),
            Ok(Some(Noted::Triage(triaged))) => self.triages.note(*triaged),
            Ok(Some(Noted::Finding(found))) => {
                if self.findings.len() < FINDINGS_MAX || self.findings.contains_key(&found.id) {
                    self.findings.insert(found.id, *found);
                }
            }
            Err(_) => self.unreadable = self.unreadable.saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use crate::evidence::{Assignment, Certainty, Chain, DeviceSource, Mark, Person, Record, Triage, client_of};
    use crate::facts::Timestamp;
    use crate::store::reindex;

    use super::*;

    /// A journal of two segments, of which the second is not whole in the index.
    struct Journal {
        directory: TempDir,
        chain: Chain,
    }

    impl Journal {
        fn append(&mut self, segment: &str, records: &[Record]) {
            let path = self.directory.path().join("journal").join(segment);
            let mut text = fs::read(&path).unwrap_or_default();
            for record in records {
                self.chain.append(&record.encode(Timestamp(1_795_568_400_000_000)), &mut text);
            }
            fs::write(path, text).unwrap();
        }
    }

    fn device(name: &str, until: Option<u64>) -> Record {
        Record::Device(Assignment {
            client: client_of("10.0.0.1").unwrap(),
            name: name.into(),
            hardware: None,
            source: DeviceSource::Kea,
            since: Timestamp(5),
            until: until.map(Timestamp),
        })
    }

    fn triage(mark: Mark) -> Record {
        Record::Triage(Box::new(Triage {
            who: Person { uid: None, login: None, console: None, claims: None },
            mark,
            target: Some("a.example".into()),
            finding_id: None,
            client: None,
            why: "x".into(),
            until: None,
            before: None,
        }))
    }

    #[test]
    fn the_answer_is_the_same_without_an_index_with_one_that_lags_and_with_a_damaged_one() {
        let mut journal = Journal { directory: tempfile::tempdir().unwrap(), chain: Chain::start() };
        let path = journal.directory.path().to_owned();
        fs::create_dir(path.join("journal")).unwrap();
        // The clock has stepped back between the two.
        let (first, second) = ("00000000000001-20261125T010000Z.jsonl", "00000000000004-20261125T003000Z.jsonl");
        journal.append(first, &[device("pc-1", Some(9)), triage(Mark::Watching), device("pc-2", None)]);
        journal.append(second, &[device("pc-1", Some(7))]);
        reindex(&path, |_, _| {}).unwrap();
        journal.append(second, &[triage(Mark::Malicious), device("pc-2", Some(8))]);
        let answer = || {
            let notes = read_notes(&path, |_| {}).unwrap();
            let names = |time| {
                let found = notes.devices.at([10, 0, 0, 1].into(), Timestamp(time));
                (found.names.iter().map(|one| one.name.as_str().to_owned()).collect::<Vec<_>>(), found.certainty)
            };
            let mark = notes.triages.of_target("a.example", 443, "10.0.0.1", Timestamp(9)).map(|one| one.triage.mark);
            (names(6), names(7), names(8), mark, notes.unreadable)
        };
        let both = vec!["pc-1".to_owned(), "pc-2".to_owned()];
        let expected = (
            (both, Certainty::Uncertain),
            (vec!["pc-2".to_owned()], Certainty::Known),
            (vec![], Certainty::Uncertain),
            Some(Mark::Malicious),
            0,
        );
        assert_eq!(answer(), expected, "with an index that lags");
        let index = path.join(crate::store::INDEX_FILE);
        fs::write(&index, "no index").unwrap();
        assert_eq!(answer(), expected, "with a damaged one");
        fs::remove_file(index).unwrap();
        assert_eq!(answer(), expected, "without one");
    }
}

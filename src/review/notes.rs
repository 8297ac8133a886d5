use std::collections::BTreeMap;

use crate::evidence::{Devices, FindingId, Found, Noted, Triages, read_noted};
use crate::store::{OpenError, Reader};

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

/// Reads all of that from the journal.
///
/// # Errors
/// What of the journal could not be read.
pub fn read_notes(reader: &mut Reader, mut progress: impl FnMut(Progress)) -> Result<Notes, OpenError> {
    let (mut notes, mut block) = (Notes::default(), Vec::new());
    while reader.next(&mut block)? {
        for line in block.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match read_noted(line) {
                Ok(None) => {}
                Ok(Some(Noted::Device(assignment))) => notes.devices.note(assignment),
                Ok(Some(Noted::Triage(triaged))) => notes.triages.note(*triaged),
                Ok(Some(Noted::Finding(found))) => {
                    if notes.findings.len() < FINDINGS_MAX || notes.findings.contains_key(&found.id) {
                        notes.findings.insert(found.id, *found);
                    }
                }
                Err(_) => notes.unreadable = notes.unreadable.saturating_add(1),
            }
        }
        progress(Progress { read: reader.bytes_read(), all: reader.bytes() });
    }
    Ok(notes)
}

//! The file that says what holds, so that it outlasts the gate and the days on which it was done.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::evidence::{Contingency, ContingencyAction, format_time};
use crate::facts::Timestamp;

use super::super::kept;

const FILE: &str = "contingencies.jsonl";
const COUNT: &str = "contingencies";

/// Something that holds: a client that is cut off, or the lockdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingContingency {
    /// When it was done, UTC.
    pub since: String,
    #[serde(flatten)]
    pub contingency: Contingency,
}

pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// What holds below a data directory.
///
/// # Errors
/// The file cannot be read, or not all of it.
pub fn standing_contingencies(data_dir: &Path) -> io::Result<Vec<StandingContingency>> {
    kept::read_whole(&path(data_dir), COUNT)
}

/// Changes what holds by what a person did.
pub(super) fn change(standing: &mut Vec<StandingContingency>, contingency: &Contingency, now: Timestamp) {
    standing.retain(|one| one.contingency.client != contingency.client);
    match contingency.action {
        ContingencyAction::Isolated | ContingencyAction::Lockdown => {
            standing.push(StandingContingency { since: format_time(now), contingency: contingency.clone() });
        }
        ContingencyAction::Released
        | ContingencyAction::LockdownEnded
        | ContingencyAction::Done
        | ContingencyAction::NotDone => {}
    }
}

/// Has it kept.
pub(super) fn write(data_dir: &Path, standing: &[StandingContingency]) -> io::Result<()> {
    kept::replace_whole(&path(data_dir), COUNT, standing)?;
    fs::File::open(data_dir)?.sync_all()
}

/// Has what a person did hold from the next start of the gate on; none runs.
///
/// # Errors
/// The file cannot be read or written.
pub(in crate::app) fn take_up_alone(data_dir: &Path, contingency: &Contingency, now: Timestamp) -> io::Result<()> {
    let mut standing = standing_contingencies(data_dir)?;
    change(&mut standing, contingency, now);
    write(data_dir, &standing)
}

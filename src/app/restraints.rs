//! What findings have imposed: put on record, in force, and written down, so that a restart lifts nothing.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::detect::{Act, Imposed, Settings, Target};
use crate::evidence::{Finding, FindingId, Record, Restraint, format_time};
use crate::facts::{ClientKey, Timestamp};
use crate::session::{ByHand, Gate};
use crate::store::JournalHandle;

use super::{NotDone, kept};

/// One that is in force, as `sekisho restraint list` and `status` show it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestraintStatus {
    /// What is done: `challenge_afresh`, `deny` or `isolate`.
    #[serde(rename = "do")]
    pub act: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// UTC.
    pub until: String,
    pub finding_id: String,
    /// The name of the response in the config.
    pub response: String,
}

/// One in the file.
#[derive(Serialize, Deserialize)]
struct Line {
    act: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program: Option<Box<str>>,
    until: u64,
    finding: String,
    measure: Box<str>,
}

const LINES_MAX: usize = 20_000;

/// Answers what was found, as the config says; gives what is to be put on record of that.
pub(super) fn answer(
    gate: &Gate,
    data_dir: &Path,
    settings: &Settings,
    finding: &Finding,
    now: Timestamp,
) -> Vec<Record> {
    let (mut records, mut is_new) = (Vec::new(), false);
    for imposed in settings.imposed(finding, now) {
        let named = imposed.client.as_deref().and_then(ClientKey::parse);
        match gate.restraints.impose(imposed.clone()) {
            Ok(true) => {
                is_new = true;
                records.push(record("imposed", &imposed, None));
                if let Some(client) = named.filter(|_| imposed.act == Act::ChallengeAfresh) {
                    // What it showed before the finding does not count.
                    gate.standings.revoke(|_, of_client, _| client == of_client);
                }
            }
            Ok(false) => is_new = true,
            Err(why) => records.push(record("not_imposed", &imposed, Some(&why.to_string()))),
        }
    }
    if is_new {
        write(gate, data_dir);
    }
    records
}

/// Ends those whose time is over, which count for nothing from then on. Called about once a minute.
pub(super) fn expire(gate: &Gate, data_dir: &Path, now: Timestamp) {
    let over = gate.restraints.expire(now);
    for imposed in &over {
        gate.journal.tell(&record("over", imposed, None), now);
    }
    if !over.is_empty() {
        write(gate, data_dir);
    }
}

/// Ends what a finding has imposed, or all of it, once that is on record.
///
/// # Errors
/// Nothing is in force by that finding, or the journal takes no record.
pub(super) async fn lift(gate: &Gate, data_dir: &Path, finding: Option<&str>, asker: &str) -> Result<usize, NotDone> {
    let id = finding.map(|text| FindingId::parse(text).ok_or(NotDone::NoRestraint)).transpose()?;
    let meant: Vec<_> =
        gate.restraints.list().into_iter().filter(|imposed| id.is_none_or(|id| id == imposed.finding)).collect();
    if meant.is_empty() {
        return Err(NotDone::NoRestraint);
    }
    for imposed in &meant {
        let lifted = record("lifted", imposed, Some(&format!("by {asker}")));
        append(&gate.journal, &lifted).await?;
    }
    let lifted = gate.restraints.lift(id).len();
    write(gate, data_dir);
    Ok(lifted)
}

async fn append(journal: &JournalHandle, record: &Record) -> Result<(), NotDone> {
    journal.append(record, clock::now()).await.map_err(|_| NotDone::NoRecord)
}

/// Those that are in force.
pub(super) fn report(gate: &Gate) -> Vec<RestraintStatus> {
    let status = |imposed: Imposed| RestraintStatus {
        act: imposed.act.as_str().to_owned(),
        client: imposed.client.map(Into::into),
        target: imposed.target.map(|target| target.as_str().to_owned()),
        program: imposed.program.map(Into::into),
        until: format_time(imposed.until),
        finding_id: imposed.finding.to_string(),
        response: imposed.measure.into(),
    };
    gate.restraints.list().into_iter().map(status).collect()
}

/// All that is imposed, for a gate that drains.
#[derive(Serialize, Deserialize)]
pub(super) struct Standing {
    isolated: Vec<IpNet>,
    lockdown: bool,
    imposed: Vec<Line>,
}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { isolated, lockdown, imposed } = self;
        write!(f, "Standing({} isolated, lockdown {lockdown}, {} by findings)", isolated.len(), imposed.len())
    }
}

/// What is imposed here.
pub(super) fn standing(gate: &Gate) -> Standing {
    let restraints = &gate.restraints;
    Standing {
        isolated: restraints.isolated(clock::now()).by_hand,
        lockdown: restraints.is_lockdown(),
        imposed: restraints.list().iter().map(Line::of).collect(),
    }
}

/// Puts in force here what is imposed at the gate that has the data directory, in place of what was before. False where
/// something of it cannot be.
pub(super) fn adopt(gate: &Gate, standing: Standing) -> bool {
    let Standing { isolated, lockdown, imposed } = standing;
    let wanted: Vec<_> = imposed.into_iter().map(Line::read).collect();
    let is_all_read = wanted.iter().all(Option::is_some);
    let missing = gate.restraints.replace(ByHand { isolated, lockdown }, wanted.into_iter().flatten().collect());
    is_all_read && missing == 0
}

/// Takes up what is kept there, before anybody is let out.
pub(super) fn take_up(gate: &Gate, data_dir: &Path) {
    let now = clock::now();
    let lines = kept::read::<Line>(&path(data_dir), LINES_MAX).into_iter();
    for imposed in lines.filter_map(Line::read).filter(|imposed| imposed.until > now) {
        if let Err(why) = gate.restraints.impose(imposed) {
            eprintln!("sekisho: warning: a restraint that was kept is not in force: {why}");
        }
    }
}

fn write(gate: &Gate, data_dir: &Path) {
    // The thread that watches, the clock and whoever lifts one write it.
    static WRITING: Mutex<()> = Mutex::new(());
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = gate.restraints.list();
    if let Err(error) = kept::replace(&path(data_dir), lines.iter().map(Line::of)) {
        eprintln!("sekisho: warning: restraints cannot be written to the data directory: {error}");
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("restraints.jsonl")
}

fn record(action: &'static str, imposed: &Imposed, detail: Option<&str>) -> Record {
    Record::Restraint(Restraint {
        action,
        act: imposed.act.as_str(),
        client: imposed.client.as_deref().map(Into::into),
        target: imposed.target.as_ref().map(|target| target.as_str().into()),
        program: imposed.program.as_deref().map(Into::into),
        until: format_time(imposed.until),
        finding_id: imposed.finding.to_string(),
        response: (*imposed.measure).into(),
        detail: detail.map(Into::into),
    })
}

impl Line {
    fn of(imposed: &Imposed) -> Self {
        Self {
            act: imposed.act.as_str().to_owned(),
            client: imposed.client.clone(),
            target: imposed.target.as_ref().map(|target| target.as_str().into()),
            program: imposed.program.clone(),
            until: imposed.until.0,
            finding: imposed.finding.to_string(),
            measure: imposed.measure.clone(),
        }
    }

    /// `None` for what cannot be read: what names no client, target or program would be about everybody.
    fn read(self) -> Option<Imposed> {
        let target = match self.target {
            Some(target) => Some(Target::new(&target)?),
            None => None,
        };
        let is_about = self.client.is_some() || target.is_some() || self.program.is_some();
        is_about.then_some(())?;
        Some(Imposed {
            finding: FindingId::parse(&self.finding)?,
            measure: self.measure,
            act: Act::named(&self.act)?,
            client: self.client,
            target,
            program: self.program,
            until: Timestamp(self.until),
        })
    }
}

use std::pin::Pin;
use std::sync::Arc;

use crate::evidence::{Contingency, Lookup, Triage};
use crate::session::Gate;

/// The gate at which a console stands: what it shows that no record says, and where people act.
pub trait Gatehouse: Send + Sync + 'static {
    /// All that sessions share: its policy and its counters are read.
    fn gate(&self) -> &Arc<Gate>;

    /// How the gate stands now. It may ask the disk.
    fn standing(&self) -> Standing;

    /// Puts on record what a person does, and has it done. The person is whom the deed names.
    ///
    /// # Errors
    /// Why it was not done, in words for the person.
    fn act(&self, deed: Deed) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
}

/// What a person does at a console.
#[derive(Debug, Clone)]
pub enum Deed {
    /// They look at the records of a person: nothing is shown before this is on record.
    Lookup(Lookup),
    Triage(Box<Triage>),
    Contingency(Box<Contingency>),
    /// They log in or out, or fail to; what, and in words.
    Access(&'static str, String),
}

/// How a gate stands.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    pub name: String,
    pub version: String,
    pub up_seconds: u64,
    pub policy_file: String,
    /// Since when the policy is in force, UTC.
    pub policy_since: String,
    /// Why the policy that was read last is not in force.
    pub reload_fault: Option<String>,
    pub workers: u64,
    pub connections_max: u64,
    pub journal: JournalStanding,
    /// `ample`, `low`, `critical` or `full`.
    pub disk: String,
    pub disk_days_left: Option<f64>,
    pub detection: DetectionStanding,
    /// The number of the newest record in the index, and how old it is where newer ones wait.
    pub indexed: u64,
    pub index_behind_seconds: u64,
    /// What is wrong with the index, and why nothing is read into it.
    pub index_fault: Option<String>,
    pub sealing_fault: Option<String>,
    pub inspection_fault: Option<String>,
    /// Receivers of checkpoints that take none.
    pub receivers_waiting: u64,
    /// Who is told of what is found.
    pub alerts: Vec<AlertStanding>,
    /// What else does not do its work: files that go on with the journal, lists that are fetched.
    pub other_faults: Vec<String>,
    /// Sources of attempts past the proxy, and those of them that cannot be read.
    pub flow_sources: u64,
    pub flow_faults: Vec<String>,
    pub breakglass: Option<String>,
    pub lockdown: Option<Held>,
    pub isolated: Vec<Held>,
}

#[derive(Debug, Clone, Default)]
pub struct JournalStanding {
    pub records: u64,
    pub lost: u64,
    pub overloads: u64,
    pub sync_failures: u64,
    pub last_error: Option<String>,
}

/// A receiver of alerts.
#[derive(Debug, Clone, Default)]
pub struct AlertStanding {
    pub name: String,
    /// Alerts that it does not have yet, those that it is told of later together, and those that were dropped as too many
    /// waited.
    pub waiting: u64,
    pub held: u64,
    pub dropped: u64,
    pub taken: u64,
    /// Why it takes none.
    pub error: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct DetectionStanding {
    pub live: bool,
    pub behind_seconds: u64,
    pub events: u64,
    pub pairs: u64,
    pub pairs_evicted: u64,
    pub findings: u64,
}

/// What a person, or a finding, has put in force.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// Empty of a lockdown.
    pub client: String,
    pub device: Option<String>,
    /// UTC; absent where a finding has it.
    pub since: Option<String>,
    pub by: String,
    pub why: Option<String>,
    /// Places beside the proxy where it is not so, and why.
    pub not_at: Vec<String>,
}

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::evidence::{Capacity, format_time};
use crate::facts::Timestamp;
use crate::gateway::flows::SourceStatus;
use crate::policy::Mode;
use crate::session::Gate;
use crate::store::{JournalHealth, Room};

use super::alerting::AlertStatus;
use super::background::SeenBackground;
use super::breakglass;
use super::contingency::{Contingencies, ContingencyStatus};
use super::fetch::{FeedStatus, Fetches};
use super::handover::{Drainers, DrainingStatus};
use super::indexing::IndexingStatus;
use super::reload::Reloads;
use super::reloaded::ReloadStatus;
use super::restraints::{self, RestraintStatus};
use super::retention::RetentionStatus;
use super::sandbox::{Sandbox, SandboxStatus};
use super::sealing::SealingStatus;
use super::sending::ReceiverStatus;
use super::streaming::StreamStatus;
use super::watching::Seen;

/// How the running gate is doing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub gate: String,
    pub pid: u32,
    /// When it started, UTC.
    pub since: String,
    pub up_seconds: u64,
    pub listening: Vec<String>,
    /// Where it listens for clients that speak TLS to it, as `host:port`.
    pub listening_tls: Vec<String>,
    /// Where the web console is, as browsers are told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub console: Vec<String>,
    /// Where what went past the proxy comes in, as `host:port`.
    pub listening_captured: Vec<String>,
    pub workers: usize,
    /// Gates that this one has taken over from, and that still serve what they had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub draining: Vec<DrainingStatus>,
    pub policy: PolicyStatus,
    /// Host lists that are fetched.
    #[serde(default)]
    pub lists: Vec<FeedStatus>,
    /// Versions of browsers that do not come back when a tunnel is ended, and are not challenged so for a day: such as
    /// `chromium 170`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_browsers: Vec<String>,
    /// What findings have imposed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restraints: Vec<RestraintStatus>,
    /// The authority by which the gate looks inside, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<AuthorityStatus>,
    /// Why rules that inspect deny, though an authority was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inspection_fault: Option<String>,
    /// What the gate has given up.
    #[serde(default)]
    pub sandbox: SandboxStatus,
    pub connections: Connections,
    pub exchanges: Exchanges,
    pub journal: JournalStatus,
    pub disk: DiskStatus,
    /// How the journal is watched.
    #[serde(default)]
    pub detection: DetectionStatus,
    #[serde(default)]
    pub sealing: SealingStatus,
    /// Who has checkpoints sent to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receivers: Vec<ReceiverStatus>,
    /// Who is told of what is found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertStatus>,
    /// Files that go on with the journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamStatus>,
    #[serde(default)]
    pub retention: RetentionStatus,
    #[serde(default)]
    pub index: IndexingStatus,
    /// Where attempts past the proxy are read from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<SourceStatus>,
    /// What a person has put in force with `sekisho breakglass`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breakglass: Option<BreakglassStatus>,
    /// Who is cut off, and whether nothing but what is essential passes.
    #[serde(flatten)]
    pub contingencies: ContingencyStatus,
}

/// The policy in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyStatus {
    pub file: String,
    pub hash: String,
    pub rules: usize,
    /// `enforce` or `observe`, for whoever is in no group with a mode of its own.
    pub mode: String,
    /// The groups of clients that have one, in the policy's order.
    pub groups: Vec<GroupMode>,
    /// The modes of the base on which it stands, where it does: what that only observes it does not enforce.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseModes>,
    /// Since when it is in force, UTC.
    pub since: String,
    /// What came of reading it again last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<ReloadStatus>,
}

/// A certificate authority.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuthorityStatus {
    pub subject: String,
    /// Until when it vouches, UTC.
    pub not_after: String,
    pub days_left: u64,
}

/// The modes of a base.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BaseModes {
    /// `enforce` or `observe`.
    pub mode: String,
    pub groups: Vec<GroupMode>,
}

/// A group of clients with a mode of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupMode {
    pub group: String,
    /// `enforce` or `observe`.
    pub mode: String,
}

impl From<(&str, Mode)> for GroupMode {
    fn from((group, mode): (&str, Mode)) -> Self {
        Self { group: group.to_owned(), mode: mode.as_str().to_owned() }
    }
}

/// What is open now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connections {
    pub open: u64,
    pub most: u64,
    pub tunnels: u64,
    /// Those of clients that are looked into.
    pub inspected: u64,
    /// Closed unread since the start, because `most` were open.
    pub overflows: u64,
    /// Closed unread since the start, because their client had its share open.
    pub overflows_of_clients: u64,
    /// Closed since the start, because nothing came on them.
    pub silent: u64,
    /// Times since the start that none could be accepted for want of descriptors or memory.
    pub accept_failures: u64,
}

/// What was judged since the start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exchanges {
    pub allowed: u64,
    pub refused: u64,
    /// Of those let out, on a short record in the reserve.
    pub on_reserve: u64,
    /// All that were decided.
    pub decided: u64,
    /// Of these, by a policy that only observes their client.
    pub observed: u64,
}

/// How evidence is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JournalStatus {
    pub directory: String,
    pub records: u64,
    /// What has no record since the start: ends of exchanges, and requests refused meanwhile. A gap record
    /// tells of them.
    pub lost: u64,
    /// Times since the start that more records waited than may, and requests were refused for that.
    pub overloads: u64,
    /// Times since the start that the disk did not keep what had been written to it.
    pub sync_failures: u64,
    /// The last failure of the disk, while it lasts.
    pub last_error: Option<String>,
}

/// How long records can still be written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DiskStatus {
    /// `ample`; `low` with a week or less left; `critical` with two days or less; `full`.
    pub level: String,
    /// What this user may still write; absent where the system does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// What the journal takes in a day: of the last week or of the last day, whichever is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_day: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_left: Option<f64>,
    /// The space held for the time when the disk is full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve: Option<ReserveStatus>,
    /// Why there is no reserve, where there is to be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve_error: Option<String>,
}

/// The space held for the time when the disk is full.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReserveStatus {
    /// Room for the short records of what passes under a breakglass.
    pub room_bytes: u64,
    pub used_bytes: u64,
    /// Records in it that the journal has not taken yet.
    pub records: u64,
    /// The half that is given up for the last records is there.
    pub whole: bool,
}

/// What the gate sees in its own journal.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DetectionStatus {
    /// The journal is watched.
    pub live: bool,
    /// What was seen before the start was written down, and not read again.
    pub resumed: bool,
    /// When the first thing happened that it goes by, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// How old the newest record is that was read, where there are more to read; else 0.
    pub behind_seconds: u64,
    /// Requests, tunnels and bursts in them.
    pub events: u64,
    /// Pairs of client and host that are known.
    pub pairs: u64,
    /// Pairs that had to go for others.
    pub pairs_evicted: u64,
    /// Findings that were told.
    pub findings: u64,
}

/// A breakglass in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BreakglassStatus {
    /// UTC.
    pub until: String,
    pub minutes_left: u64,
    pub reason: String,
    /// Rules of the policy in force whose exchanges may pass.
    pub essential_rules: usize,
}

/// Knows where every figure of [`Status`] is.
pub(super) struct Reporter {
    pub(super) gate: Arc<Gate>,
    pub(super) data_dir: PathBuf,
    pub(super) inspection_fault: Option<String>,
    pub(super) sandbox: Option<Arc<Sandbox>>,
    pub(super) name: String,
    pub(super) since: Timestamp,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) secured_addresses: Vec<SocketAddr>,
    pub(super) console_addresses: Vec<String>,
    pub(super) captured_addresses: Vec<SocketAddr>,
    pub(super) workers: usize,
    pub(super) policy_file: String,
    pub(super) reloads: Reloads,
    pub(super) fetches: Option<Fetches>,
    pub(super) connections_max: u64,
    /// What is seen in the journal, where it is watched.
    pub(super) seen: Option<Seen>,
    /// How the segments and the index stand.
    pub(super) background: SeenBackground,
    pub(super) contingencies: Contingencies,
    /// Gates that were taken over from.
    pub(super) drainers: Drainers,
    pub(super) journal_directory: String,
}

impl Reporter {
    /// That the authority in use does not hold now.
    fn authority_fault(&self) -> Option<String> {
        let authority = self.gate.minter.as_ref()?.authority();
        authority.certificate().check_time(clock::now()).err().map(|why| why.to_string())
    }

    fn disk(&self, health: &JournalHealth) -> DiskStatus {
        let outlook = self.gate.journal.outlook(clock::now()).ok();
        let level = match (health.room, outlook) {
            (Room::Ample, Some((_, capacity))) => capacity.as_str(),
            (Room::Ample, None) => Capacity::Ample.as_str(),
            (Room::LastRecords | Room::None, _) => "full",
        };
        let outlook = outlook.map(|(outlook, _)| outlook);
        DiskStatus {
            level: level.to_owned(),
            free_bytes: outlook.map(|outlook| outlook.free_bytes),
            bytes_per_day: outlook.and_then(|outlook| outlook.bytes_per_day),
            days_left: outlook.and_then(|outlook| outlook.days_left()),
            reserve: health.reserve.map(|reserve| ReserveStatus {
                room_bytes: reserve.room_bytes,
                used_bytes: reserve.used_bytes,
                records: reserve.passages,
                whole: reserve.has_ballast,
            }),
            reserve_error: health.reserve_error.clone(),
        }
    }

    pub(super) fn report(&self) -> Status {
        let edition = self.gate.policy.now();
        let policy = &edition.policy;
        let (in_force_since, last_reload) = self.reloads.history();
        let health = self.gate.journal.health();
        let counters = &self.gate.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            gate: self.name.clone(),
            pid: std::process::id(),
            since: format_time(self.since),
            up_seconds: clock::now().0.saturating_sub(self.since.0) / 1_000_000,
            listening: self.addresses.iter().map(ToString::to_string).collect(),
            listening_tls: self.secured_addresses.iter().map(ToString::to_string).collect(),
            console: self.console_addresses.clone(),
            listening_captured: self.captured_addresses.iter().map(ToString::to_string).collect(),
            workers: self.workers,
            draining: self.drainers.report(),
            policy: PolicyStatus {
                file: self.policy_file.clone(),
                hash: policy.hash().to_owned(),
                rules: policy.rules(),
                mode: policy.mode().as_str().to_owned(),
                groups: policy.group_modes().map(GroupMode::from).collect(),
                base: policy.base_modes().map(|(mode, groups)| BaseModes {
                    mode: mode.as_str().to_owned(),
                    groups: groups.map(GroupMode::from).collect(),
                }),
                since: format_time(in_force_since),
                last_reload,
            },
            lists: self.fetches.as_ref().map(Fetches::status).unwrap_or_default(),
            silent_browsers: self.gate.standings.silent(),
            restraints: restraints::report(&self.gate),
            authority: self.gate.minter.as_ref().map(|minter| {
                let authority = minter.authority();
                let (certificate, now) = (authority.certificate(), clock::now());
                AuthorityStatus {
                    subject: certificate.subject().to_owned(),
                    not_after: format_time(certificate.not_after()),
                    days_left: certificate.not_after().0.saturating_sub(now.0) / 86_400_000_000,
                }
            }),
            inspection_fault: self.inspection_fault.clone().or_else(|| self.authority_fault()),
            sandbox: self.sandbox.as_ref().map(|sandbox| sandbox.status()).unwrap_or_default(),
            connections: Connections {
                open: read(&counters.connections),
                most: self.connections_max,
                tunnels: read(&counters.tunnels),
                inspected: read(&counters.inspected),
                overflows: read(&counters.overflows),
                overflows_of_clients: read(&counters.overflows_of_clients),
                silent: read(&counters.silent),
                accept_failures: read(&counters.accept_failures),
            },
            exchanges: Exchanges {
                allowed: read(&counters.allowed),
                refused: read(&counters.refused),
                on_reserve: read(&self.gate.glass.passed),
                decided: read(&counters.decided),
                observed: read(&counters.observed),
            },
            disk: self.disk(&health),
            detection: self.seen.as_ref().map(Seen::status).unwrap_or_default(),
            sealing: self.background.sealing(),
            receivers: self.background.receivers(),
            alerts: self.background.alerts(),
            streams: self.background.streams(),
            retention: self.background.retention(),
            index: self.background.index(),
            flows: self.background.flows(),
            breakglass: breakglass::report(&self.gate),
            contingencies: self.contingencies.report(&self.gate),
            journal: JournalStatus {
                directory: self.journal_directory.clone(),
                records: health.records,
                lost: health.lost,
                overloads: health.overloads,
                sync_failures: health.sync_failures,
                last_error: health.last_error,
            },
        }
    }
}

//! Which clients trust the gate's authority outlives the gate, and is told who asks for it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::facts::{ClientKey, Host, Timestamp};
use crate::session::Gate;
use crate::tls::{Reached, Seen};

use super::kept;

/// So many clients are kept and no more are known.
const CLIENTS_MAX: usize = 50_000;
/// So many are listed of those that lack it; all are counted.
const LISTED_MAX: usize = 1000;

/// What `sekisho ca reach` shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReachStatus {
    /// Clients that have taken a certificate of the authority within 30 days.
    pub trusting: usize,
    /// Clients that have refused all.
    pub lacking: usize,
    /// Clients of which nothing was seen for so long.
    pub unknown: usize,
    /// The clients, by address; the first thousand.
    pub clients: Vec<ClientReach>,
    /// Hosts that clients refuse which take the certificates of others, and how many do: their programs pin
    /// certificates, and a rule with `inspect = false` may be wanted. Nothing is exempted by itself.
    pub pinned: Vec<PinnedHost>,
}

/// One client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientReach {
    pub client: String,
    /// `trusts`, `lacks` or `unknown`.
    pub authority: String,
    /// Hosts whose certificates it has refused.
    pub refused: Vec<String>,
}

/// One host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PinnedHost {
    pub host: String,
    pub clients: usize,
}

/// A client in the file.
#[derive(Serialize, Deserialize)]
struct Line {
    client: String,
    accepted: Option<u64>,
    refused: Vec<(String, u64)>,
}

pub(super) fn report(gate: &Gate) -> ReachStatus {
    let (now, reach) = (clock::now(), gate.reach.read());
    let clients = reach.clients();
    let count = |which| clients.values().filter(|seen| seen.reached(now) == which).count();
    let (trusting, lacking) = (count(Reached::Trusts), count(Reached::Lacks));
    let of = |(client, seen): (&ClientKey, &&Seen)| ClientReach {
        client: client.to_string(),
        authority: seen.reached(now).as_str().to_owned(),
        refused: seen.refused.iter().map(|(host, _)| host.to_string()).collect(),
    };
    let pinned = reach.pinned(now).into_iter().map(|(host, clients)| PinnedHost { host, clients });
    ReachStatus {
        trusting,
        lacking,
        unknown: clients.len() - trusting - lacking,
        clients: clients.iter().take(LISTED_MAX).map(of).collect(),
        pinned: pinned.take(LISTED_MAX).collect(),
    }
}

/// Takes up what is kept there. What cannot be read is no error: it shows again.
pub(super) fn take_up(gate: &Gate, data_dir: &Path) {
    for line in kept::read::<Line>(&path(data_dir), CLIENTS_MAX) {
        let Some(client) = ClientKey::parse(&line.client) else { continue };
        let host = |(host, at): (String, u64)| Some((Host::parse(host.as_bytes()).ok()?, Timestamp(at)));
        let refused = line.refused.into_iter().filter_map(host).collect();
        gate.reach.take_up(client, Seen { accepted: line.accepted.map(Timestamp), refused });
    }
}

/// Writes it down, where it has changed. Where that fails it shows again after a restart, which is said.
pub(super) fn write(gate: &Gate, data_dir: &Path) {
    if !gate.reach.take_changed() {
        return;
    }
    let lines: Vec<_> = gate.reach.read().clients().into_iter().map(Line::of).collect();
    if let Err(error) = kept::replace(&path(data_dir), lines) {
        gate.reach.not_kept();
        eprintln!(
            "sekisho: warning: which clients trust the authority cannot be written to the data directory: {error}"
        );
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("ca-reach.jsonl")
}

impl Line {
    fn of((client, seen): (ClientKey, &Seen)) -> Self {
        let refused = seen.refused.iter().map(|(host, at)| (host.to_string(), at.0)).collect();
        Self { client: client.to_string(), accepted: seen.accepted.map(|at| at.0), refused }
    }
}

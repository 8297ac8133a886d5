//! What clients and origins make of inspection outlives the gate, and is told who asks for it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::evidence::format_time;
use crate::facts::{ClientKey, Host, Timestamp};
use crate::session::Gate;
use crate::tls::{Asked, Minter, Pinned, Reached, Refusal, Seen};

use super::kept;

/// So many clients are kept and no more are known.
const CLIENTS_MAX: usize = 50_000;
/// So many origins that ask for certificates are.
const ASKING_MAX: usize = 1000;
/// So many clients are listed; all are counted.
const LISTED_MAX: usize = 1000;
/// So many hosts are listed of each kind, those of most clients first, and so many clients of each.
const HOSTS_LISTED_MAX: usize = 200;
const CLIENTS_OF_HOST_MAX: usize = 5;

/// What `sekisho ca reach` shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReachStatus {
    /// Clients that have taken a certificate of the authority within 30 days.
    pub trusting: usize,
    /// Clients that have refused all.
    pub lacking: usize,
    /// Clients of which nothing was seen for so long, or since another authority vouches.
    pub unknown: usize,
    /// The clients, by address; the first thousand.
    pub clients: Vec<ClientReach>,
    /// Hosts that clients refuse which take the certificates of others: their programs pin certificates, and a rule with
    /// `inspect = false` may be wanted. The first two hundred, those of most clients first. Nothing is exempted by itself.
    pub pinned: Vec<PinnedHost>,
    /// What clients made of the authority that is prepared, where they can try it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextReach>,
    /// Origins that asked for a certificate of the client, and were refused for it; as many, in the same order.
    #[serde(default)]
    pub asking: Vec<AskingHost>,
}

/// The authority that will vouch next.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NextReach {
    /// The host whose certificate it vouches for. The gate answers it itself.
    pub host: String,
    /// Clients that have taken that certificate within 30 days.
    pub trusting: usize,
    /// Clients that have refused it.
    pub lacking: usize,
    /// Clients of which something is known, and not this.
    pub unknown: usize,
}

/// One client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientReach {
    pub client: String,
    /// `trusts`, `lacks` or `unknown`.
    pub authority: String,
    /// The same of the next one, where one is prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Hosts whose certificates it has refused.
    pub refused: Vec<String>,
}

/// A host at which programs pin certificates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PinnedHost {
    pub host: String,
    /// How many clients refuse it that take others.
    pub clients: usize,
    /// Some of them.
    pub such_as: Vec<String>,
    /// When it was refused first and last, UTC.
    pub first: String,
    pub last: String,
}

/// An origin that asks for a certificate of the client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskingHost {
    pub host: String,
    pub port: u16,
    /// How often.
    pub times: u64,
    /// Of how many clients; 16 means so many or more.
    pub clients: usize,
    /// Some of them.
    pub such_as: Vec<String>,
    /// When it asked first and last, UTC.
    pub first: String,
    pub last: String,
}

/// A client in the file.
#[derive(Serialize, Deserialize)]
struct Line {
    client: String,
    accepted: Option<u64>,
    /// Host, first and last time.
    refused: Vec<(String, u64, u64)>,
    /// The SHA-256 of the authority that it has tried, in hexadecimal; absent: of the one that vouched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tried: Option<String>,
}

/// An origin in its file.
#[derive(Serialize, Deserialize)]
struct AskedLine {
    host: String,
    port: u16,
    clients: Vec<String>,
    times: u64,
    first: u64,
    last: u64,
}

pub(super) fn report(gate: &Gate) -> ReachStatus {
    let now = clock::now();
    let asking = gate.reach.asking().hosts(now).into_iter().take(HOSTS_LISTED_MAX).map(AskingHost::of).collect();
    let trial = gate.minter.as_ref().and_then(Minter::next_host);
    let reach = gate.reach.read();
    let next = gate.reach.next();
    // Those too that have done nothing but try it.
    let nothing = Seen::default();
    let mut clients = reach.clients();
    let tried = next.reach.clients();
    if trial.is_some() {
        for client in tried.keys() {
            clients.entry(*client).or_insert(&nothing);
        }
    }
    let of_next = |client: &ClientKey| tried.get(client).map_or(Reached::Unknown, |seen| seen.reached(now));
    let next = trial.as_ref().map(|host| {
        let count = |which| clients.keys().filter(|client| of_next(client) == which).count();
        let (trusting, lacking, unknown) = (count(Reached::Trusts), count(Reached::Lacks), count(Reached::Unknown));
        NextReach { host: host.to_string(), trusting, lacking, unknown }
    });
    let count = |which| clients.values().filter(|seen| seen.reached(now) == which).count();
    let (trusting, lacking) = (count(Reached::Trusts), count(Reached::Lacks));
    let of = |(client, seen): (&ClientKey, &&Seen)| ClientReach {
        client: client.to_string(),
        authority: seen.reached(now).as_str().to_owned(),
        next: trial.as_ref().map(|_| of_next(client).as_str().to_owned()),
        refused: seen.refused.iter().map(|refusal| refusal.host.to_string()).collect(),
    };
    ReachStatus {
        trusting,
        lacking,
        unknown: clients.len() - trusting - lacking,
        clients: clients.iter().take(LISTED_MAX).map(of).collect(),
        pinned: reach.pinned(now).into_iter().take(HOSTS_LISTED_MAX).map(PinnedHost::of).collect(),
        next,
        asking,
    }
}

/// Takes up what is kept there. What cannot be read is no error: it shows again.
pub(super) fn take_up(gate: &Gate, data_dir: &Path) {
    for line in kept::read::<Line>(&path(data_dir), 2 * CLIENTS_MAX) {
        let Some(client) = ClientKey::parse(&line.client) else { continue };
        let refusal = |(host, first, last): (String, u64, u64)| {
            let host = Host::parse(host.as_bytes()).ok()?;
            Some(Refusal { host, first: Timestamp(first), last: Timestamp(last) })
        };
        let refused = line.refused.into_iter().filter_map(refusal).collect();
        let seen = Seen { accepted: line.accepted.map(Timestamp), refused };
        match line.tried.map(|of| data_encoding::HEXLOWER.decode(of.as_bytes())) {
            None => gate.reach.take_up(client, seen),
            Some(of) => {
                if let Some(of) = of.ok().and_then(|of| of.try_into().ok()) {
                    gate.reach.take_up_tried(of, client, seen);
                }
            }
        }
    }
    for line in kept::read::<AskedLine>(&asking_path(data_dir), ASKING_MAX) {
        let Ok(host) = Host::parse(line.host.as_bytes()) else { continue };
        let clients = line.clients.iter().filter_map(|client| ClientKey::parse(client)).collect();
        let asked = Asked { clients, times: line.times, first: Timestamp(line.first), last: Timestamp(line.last) };
        gate.reach.take_up_asked(host, line.port, asked);
    }
}

/// Writes it down, where it has changed. Where that fails it shows again after a restart, which is said.
pub(super) fn write(gate: &Gate, data_dir: &Path) {
    if !gate.reach.take_changed() {
        return;
    }
    let mut lines: Vec<_> = gate.reach.read().clients().into_iter().map(Line::of).collect();
    let next = gate.reach.next();
    let tried = next.of.map(|of| data_encoding::HEXLOWER.encode(&of));
    lines.extend(next.reach.clients().into_iter().map(|seen| Line { tried: tried.clone(), ..Line::of(seen) }));
    drop(next);
    let asked: Vec<_> = gate.reach.asking().hosts(clock::now()).into_iter().map(AskedLine::of).collect();
    let written = kept::replace(&path(data_dir), lines).and_then(|()| kept::replace(&asking_path(data_dir), asked));
    if let Err(error) = written {
        gate.reach.not_kept();
        eprintln!(
            "sekisho: warning: what clients and origins make of inspection cannot be written to the data directory: {error}"
        );
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("ca-reach.jsonl")
}

fn asking_path(data_dir: &Path) -> PathBuf {
    data_dir.join("ca-asking.jsonl")
}

impl PinnedHost {
    fn of(pinned: Pinned) -> Self {
        Self {
            host: pinned.host.to_string(),
            clients: pinned.clients.len(),
            such_as: some_of(&pinned.clients),
            first: format_time(pinned.first),
            last: format_time(pinned.last),
        }
    }
}

impl AskingHost {
    fn of((host, port, asked): (&Host, u16, &Asked)) -> Self {
        Self {
            host: host.to_string(),
            port,
            times: asked.times,
            clients: asked.clients.len(),
            such_as: some_of(&asked.clients),
            first: format_time(asked.first),
            last: format_time(asked.last),
        }
    }
}

fn some_of(clients: &[ClientKey]) -> Vec<String> {
    clients.iter().take(CLIENTS_OF_HOST_MAX).map(ToString::to_string).collect()
}

impl Line {
    fn of((client, seen): (ClientKey, &Seen)) -> Self {
        let refused = seen.refused.iter().map(|refusal| (refusal.host.to_string(), refusal.first.0, refusal.last.0));
        let (client, accepted) = (client.to_string(), seen.accepted.map(|at| at.0));
        Self { client, accepted, refused: refused.collect(), tried: None }
    }
}

impl AskedLine {
    fn of((host, port, asked): (&Host, u16, &Asked)) -> Self {
        Self {
            host: host.to_string(),
            port,
            clients: asked.clients.iter().map(ToString::to_string).collect(),
            times: asked.times,
            first: asked.first.0,
            last: asked.last.0,
        }
    }
}

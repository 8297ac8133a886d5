use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock;
use crate::evidence::{self, Gap, Record};
use crate::facts::{Client, ClientKey, Restraint};
use crate::identity::Browsers;
use crate::parse::{HeadLimits, HelloLimits, RequestHead, keep_alive, via_names};
use crate::policy::{Policy, Reload, TunnelLimits};
use crate::site::{Pac, ProxySetting};
use crate::store::{Desk, JournalHandle};
use crate::tls::Minter;
use crate::upstream::{Dialler, OwnConnections, Passing};

use super::breakglass::Glass;
use super::clients::{self, Clients};
use super::headroom::HeadRoom;
use super::in_force::{Edition, InForce};
use super::log_in::LogIns;
use super::page::Pages;
use super::programs::Standings;
use super::reaches::Reaches;
use super::refusals::{Reasons, Refusals};
use super::restraints::Restraints;
use super::secure_proxy::SecureProxy;
use super::standing::{Judged, Known};
use super::tunnels::{Bounds, Bytes, Tunnel, Tunnels};
use super::versions::Versions;
use super::why::Why;

/// All that sessions share.
pub struct Gate {
    pub policy: InForce,
    pub journal: JournalHandle,
    pub limits: Limits,
    pub wording: Wording,
    pub counters: Counters,
    pub glass: Glass,
    pub clients: Clients,
    pub browsers: Browsers,
    pub versions: Versions,
    /// What the gate shows to clients whose tunnels it looks into; absent where it has no authority to do so.
    pub minter: Option<Minter>,
    /// What it shows to clients that speak TLS to the proxy itself; absent where none can.
    pub secure_proxy: Option<SecureProxy>,
    /// Which clients trust it.
    pub reach: Reaches,
    pub standings: Standings,
    pub pages: Pages,
    /// Who users are; absent where the config says nothing of that.
    pub log_ins: Option<LogIns>,
    pub head_room: HeadRoom,
    /// What findings and people have imposed.
    pub restraints: Restraints,
    /// What each client was refused lately.
    pub refusals: Refusals,
    /// The gate is about to end: no client's connection is kept for another request.
    pub draining: AtomicBool,
}

/// What the gate says of itself, and how much of a request it repeats.
#[derive(Debug)]
pub struct Wording {
    /// The key under which queries are hashed.
    pub query_key: [u8; 32],
    /// Queries are recorded in clear as well.
    pub keep_query: bool,
    /// Whom the deny page names.
    pub contact: Option<String>,
    /// The pseudonym in `Via`; absent means that no Via is sent.
    pub via: Option<String>,
    /// What `/proxy.pac` says; absent where it is not served.
    pub pac: Option<Pac>,
    /// What who went past the proxy is told to set, where that is known.
    pub proxy: Option<ProxySetting>,
}

/// Bounds on what a peer may take or keep.
#[derive(Debug, Clone)]
pub struct Limits {
    pub head: HeadLimits,
    pub hello: HelloLimits,
    /// From the first byte of a head to its last.
    pub head_timeout: Duration,
    /// From a connection's beginning to its first byte.
    pub first_request_timeout: Duration,
    /// Between two requests of a connection.
    pub keep_alive_timeout: Duration,
    /// Without a byte of a body, in either direction.
    pub body_timeout: Duration,
    /// From the 200 to a whole ClientHello.
    pub hello_timeout: Duration,
    pub tunnel_idle: Duration,
    pub tunnel_lifetime: Duration,
    /// Client connections at the same time, the streams within them counted as well.
    pub connections_max: u64,
    /// Connections of one client (see [`Clients`]) at the same time.
    pub client_connections_max: u64,
}

impl Limits {
    /// What a tunnel is held to: what its rule says, else what the config does.
    pub(super) fn of_tunnel(&self, limits: TunnelLimits) -> Bounds {
        Bounds {
            idle: limits.idle.unwrap_or(self.tunnel_idle),
            lifetime: limits.lifetime.unwrap_or(self.tunnel_lifetime),
            bytes: Bytes { up: limits.upload_bytes, down: limits.download_bytes }.boxed(),
        }
    }
}

/// What `status` shows.
#[derive(Debug, Default)]
pub struct Counters {
    /// Client connections now open, and the streams of HTTP/2 within them.
    pub connections: AtomicU64,
    /// Client connections taken since the start.
    pub accepted: AtomicU64,
    /// Client connections closed unread because too many were open.
    pub overflows: AtomicU64,
    /// So many of them a gap record has told of.
    pub(super) overflows_told: AtomicU64,
    /// Client connections closed unread because their client had too many open.
    pub overflows_of_clients: AtomicU64,
    /// Client connections closed because nothing came on them in time.
    pub silent: AtomicU64,
    /// Times that no client could be accepted for want of descriptors or memory.
    pub accept_failures: AtomicU64,
    /// Exchanges now being set up or answered.
    pub exchanges: AtomicU64,
    /// Tunnels now open.
    pub tunnels: AtomicU64,
    /// Tunnels now looked into.
    pub inspected: AtomicU64,
    /// Exchanges let out since the start.
    pub allowed: AtomicU64,
    /// Exchanges refused since the start.
    pub refused: AtomicU64,
    /// Exchanges decided since the start.
    pub decided: AtomicU64,
    /// Of these, by a policy that only observes their client.
    pub observed: AtomicU64,
    /// Why exchanges were refused since the start.
    pub reasons: Reasons,
}

impl Counters {
    /// Counts an exchange that was refused.
    pub(super) fn count_refusal(&self, reason: &'static str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.reasons.count(reason);
    }

    /// Counts an exchange of this client that has been decided.
    pub(super) fn count(&self, policy: &Policy, client: &Client) {
        self.decided.fetch_add(1, Ordering::Relaxed);
        if policy.observes_client(client) {
            self.observed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One thread's share of the gate: its own connections to origins and its own tunnels.
pub struct Worker {
    pub gate: Arc<Gate>,
    pub(super) journal: Desk,
    pub(super) dialler: Dialler,
    pub(super) tunnels: Tunnels,
    own: OwnConnections,
}

impl Gate {
    /// Why this request goes no further, if it has passed here before.
    pub(super) fn looped(&self, head: &RequestHead) -> Option<Why> {
        let name = self.wording.via.as_deref()?;
        via_names(&head.fields, name).then(|| Why::of_loop(name))
    }

    /// What a parent is told of this request, and shown: `edition` is what the request was judged by.
    pub(super) fn passing<'a>(&'a self, head: &'a RequestHead, edition: &'a Edition) -> Passing<'a> {
        Passing { head, may_share: false, pseudonym: self.wording.via.as_deref(), credentials: &edition.credentials }
    }

    /// Whether the connection of this request can take another behind it.
    pub(super) fn keeps(&self, head: &RequestHead) -> bool {
        keep_alive(head.version, &head.fields) && !self.draining.load(Ordering::Relaxed)
    }

    /// Counts a connection that is closed because nothing came on it.
    pub(super) fn count_silent(&self, address: SocketAddr) {
        self.counters.silent.fetch_add(1, Ordering::Relaxed);
        self.clients.silent.count(ClientKey::of(address.ip()));
    }
}

/// A client's connection, counted for as long as this lives.
pub struct Admitted {
    pub(super) worker: Arc<Worker>,
    pub(super) address: SocketAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.worker.gate.counters.connections.fetch_sub(1, Ordering::Relaxed);
        self.worker.gate.clients.shares.leave(ClientKey::of(self.address.ip()));
    }
}

impl Worker {
    /// Counts a new connection in, unless so many are open already, or its client has its share.
    pub fn admit(self: &Arc<Self>, address: SocketAddr) -> Option<Admitted> {
        let admitted = self.admit_stream(address)?;
        self.gate.counters.accepted.fetch_add(1, Ordering::Relaxed);
        Some(admitted)
    }

    /// The same for a stream within a connection, which may need as much of the gate as a connection does.
    pub(super) fn admit_stream(self: &Arc<Self>, address: SocketAddr) -> Option<Admitted> {
        let Gate { counters, clients, limits, .. } = &*self.gate;
        if counters.connections.fetch_add(1, Ordering::Relaxed) >= limits.connections_max {
            counters.connections.fetch_sub(1, Ordering::Relaxed);
            counters.overflows.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let client = ClientKey::of(address.ip());
        if !clients.shares.enter(client, limits.client_connections_max) {
            counters.connections.fetch_sub(1, Ordering::Relaxed);
            counters.overflows_of_clients.fetch_add(1, Ordering::Relaxed);
            clients.overflowed.count(client);
            return None;
        }
        Some(Admitted { worker: self.clone(), address })
    }

    pub fn new(gate: Arc<Gate>, dialler: Dialler, own: OwnConnections) -> Self {
        let journal = Desk::new(gate.journal.clone());
        Self { gate, journal, dialler, tunnels: Tunnels::new(), own }
    }

    /// Carries this worker's records to the journal, for as long as it is polled.
    pub async fn carry_records(&self) {
        self.journal.run().await;
    }

    /// Carries what is left of them.
    pub async fn carry_last_records(&self) {
        self.journal.carry().await;
    }

    /// What falls due with time: the judgement of open tunnels by a policy that has changed, limits of tunnels and their progress records, idle connections to
    /// origins, the record of the gate's own connections. Called about once a second.
    pub fn sweep(&self) {
        self.dialler.sweep();
        for progress in self.tunnels.sweep() {
            self.journal.note(&Record::Progress(progress), clock::now());
        }
        self.judge_again();
        self.gate.policy.now().rates.sweep();
        let counters = &self.gate.counters;
        let overflows = counters.overflows.load(Ordering::Relaxed);
        let untold = overflows.saturating_sub(counters.overflows_told.fetch_max(overflows, Ordering::Relaxed));
        if untold > 0 {
            let detail = format!("{untold} connections closed unread because too many were open");
            let gap = Gap { cause: "connections_overflowed", detail: detail.as_str().into(), bytes: None, count: None };
            self.journal.note(&Record::Gap(gap), clock::now());
        }
        let Clients { silent, overflowed, .. } = &self.gate.clients;
        if let Some(told) = overflowed.take() {
            let clients::Told { all, client, of_client } = told;
            let detail = format!(
                "{all} connections closed unread because their client had too many open, {of_client} of them of {client}"
            );
            let gap = Gap {
                cause: "client_connections_overflowed",
                detail: detail.as_str().into(),
                bytes: None,
                count: None,
            };
            self.journal.note(&Record::Gap(gap), clock::now());
        }
        if let Some(told) = silent.take() {
            let clients = evidence::Clients {
                what: "silent",
                connections: told.all,
                client: told.client.to_string(),
                client_connections: told.of_client,
            };
            self.journal.note(&Record::Clients(clients), clock::now());
        }
        for own in self.own.take() {
            self.journal.note(&own, clock::now());
        }
    }

    /// Holds open tunnels to what was imposed since, and to the policy in force, where it came after them and says that
    /// they are to be.
    fn judge_again(&self) {
        self.judge_restrained();
        let edition = self.gate.policy.now();
        match edition.policy.reload() {
            Reload::Keep => {}
            Reload::Strict => {
                self.tunnels.judge_again(edition.number(), |known| known.judge(&edition, &self.dialler, &self.gate))
            }
        }
    }

    /// False where there was not enough time or room for all.
    fn judge_restrained(&self) -> bool {
        let number = self.gate.restraints.number();
        self.tunnels.judge_restrained(number, |known| self.judge_by_restraints(known))
    }

    pub(super) fn hold_to_restraints(&self, tunnel: &Tunnel) {
        let number = self.gate.restraints.number();
        Tunnels::judge_one(tunnel, number, |known| self.judge_by_restraints(known));
    }

    /// `None` where nothing is imposed on it.
    fn judge_by_restraints(&self, known: &Known) -> Option<Judged> {
        let is_restrained = known.restraint(&self.gate.restraints) != Restraint::NONE;
        is_restrained.then(|| known.judge(&self.gate.policy.now(), &self.dialler, &self.gate))
    }

    /// Holds open tunnels to what is imposed as soon as it is, for as long as it is polled.
    pub async fn follow_restraints(&self) {
        let mut changes = self.gate.restraints.changes();
        while changes.changed().await.is_ok() {
            while !self.judge_restrained() {
                // What was cut writes its records meanwhile.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    /// Ends some tunnels of this worker, whose tasks still write their records, and says how many there
    /// were.
    pub fn cut_tunnels(&self) -> usize {
        self.tunnels.cut_some()
    }
}

/// Counts something for as long as it lives.
pub(super) struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    pub(super) fn new(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::parse::{HeadLimits, HelloLimits};
use crate::policy::Policy;
use crate::store::JournalHandle;
use crate::upstream::Dialler;

/// All that sessions share.
pub struct Gate {
    policy: RwLock<Arc<Policy>>,
    pub journal: JournalHandle,
    pub dialler: Dialler,
    pub limits: Limits,
    pub query_key: [u8; 32],
    pub keep_query: bool,
    pub contact: Option<String>,
    /// The pseudonym in `Via`; absent means that no Via is sent.
    pub via: Option<String>,
    pub counters: Counters,
}

/// Bounds on what a peer may take or keep.
#[derive(Debug, Clone)]
pub struct Limits {
    pub head: HeadLimits,
    pub hello: HelloLimits,
    /// From the first byte of a head to its last.
    pub head_timeout: Duration,
    /// Between two requests of a connection.
    pub keep_alive_timeout: Duration,
    /// Without a byte of a body, in either direction.
    pub body_timeout: Duration,
    /// From the 200 to a whole ClientHello.
    pub hello_timeout: Duration,
    pub tunnel_idle: Duration,
    pub tunnel_lifetime: Duration,
}

/// What `status` shows.
#[derive(Debug, Default)]
pub struct Counters {
    pub connections: AtomicU64,
    pub tunnels: AtomicU64,
    pub allowed: AtomicU64,
    pub refused: AtomicU64,
}

impl Gate {
    #[expect(clippy::too_many_arguments, reason = "called once, by the assembly")]
    pub fn new(
        policy: Policy,
        journal: JournalHandle,
        dialler: Dialler,
        limits: Limits,
        query_key: [u8; 32],
        keep_query: bool,
        contact: Option<String>,
        via: Option<String>,
    ) -> Self {
        let policy = RwLock::new(Arc::new(policy));
        Self { policy, journal, dialler, limits, query_key, keep_query, contact, via, counters: Counters::default() }
    }

    /// The policy in force now.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
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

//! What clients and origins make of inspection, shared by all workers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::facts::{ClientKey, Host};
use crate::tls::{Asked, Asking, Reach, Seen};

/// Which clients trust the gate's authority, and which origins ask for certificates of clients.
#[derive(Debug, Default)]
pub struct Reaches {
    reach: Mutex<Reach>,
    /// What clients made of the next authority.
    next: Mutex<Next>,
    asking: Mutex<Asking>,
    /// There is something that was not kept yet.
    changed: AtomicBool,
}

/// Which clients trust an authority that does not vouch yet.
#[derive(Debug, Default)]
pub struct Next {
    /// Its SHA-256.
    pub of: Option<[u8; 32]>,
    pub reach: Reach,
}

impl Reaches {
    /// A client has taken the certificate for this host, or refused it.
    pub(super) fn shook(&self, client: ClientKey, host: &Host, accepted: bool) {
        if self.read().shook(client, host, accepted, clock::now()) {
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    /// An origin has asked for a certificate of this client.
    pub(super) fn asked(&self, client: ClientKey, host: &Host, port: u16) {
        if self.asking().asked(client, host, port, clock::now()) {
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    pub fn read(&self) -> MutexGuard<'_, Reach> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn asking(&self) -> MutexGuard<'_, Asking> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what was kept of a client.
    pub fn take_up(&self, client: ClientKey, seen: Seen) {
        self.read().take_up(client, seen);
    }

    /// Takes up what was kept of an origin.
    pub fn take_up_asked(&self, host: Host, port: u16, asked: Asked) {
        self.asking().take_up(host, port, asked);
    }

    /// A client has taken the certificate by which the next authority is tried, or refused it.
    pub(super) fn tried(&self, client: ClientKey, host: &Host, accepted: bool) {
        if self.next().reach.shook(client, host, accepted, clock::now()) {
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    pub fn next(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The authority with this SHA-256 is the next one: what was seen of another says nothing of it.
    pub fn prepare(&self, of: [u8; 32]) {
        let mut next = self.next();
        if next.of != Some(of) {
            *next = Next { of: Some(of), reach: Reach::default() };
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    /// Takes up what was kept of a client that has tried the authority with this SHA-256.
    pub fn take_up_tried(&self, of: [u8; 32], client: ClientKey, seen: Seen) {
        let mut next = self.next();
        if *next.of.get_or_insert(of) == of {
            next.reach.take_up(client, seen);
        }
    }

    /// The authority with this SHA-256 vouches from now on: who trusts it is to be seen, but for those that have tried
    /// it before.
    pub fn follow(&self, vouching: [u8; 32]) {
        let tried = std::mem::take(&mut *self.next());
        let tried = if tried.of == Some(vouching) { tried.reach } else { Reach::default() };
        self.read().follow(tried);
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Whether it has changed since that was asked last.
    pub fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    /// What has changed could not be kept.
    pub fn not_kept(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }
}

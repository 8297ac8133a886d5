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
    asking: Mutex<Asking>,
    /// There is something that was not kept yet.
    changed: AtomicBool,
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

    /// Another authority vouches: who trusts it is to be seen.
    pub fn forget_clients(&self) {
        self.read().forget();
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

//! Which clients trust the gate's authority, shared by all workers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::facts::{ClientKey, Host};
use crate::tls::{Reach, Seen};

#[derive(Debug, Default)]
pub struct Reaches {
    reach: Mutex<Reach>,
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

    pub fn read(&self) -> MutexGuard<'_, Reach> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what was kept of a client.
    pub fn take_up(&self, client: ClientKey, seen: Seen) {
        self.read().take_up(client, seen);
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

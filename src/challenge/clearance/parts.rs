//! Tables in parts, so that nobody waits for more than a small piece of one.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::facts::ClientKey;

use super::PROGRAMS_MAX;

/// Programs of one client, at most: none takes the places of others by calling itself ever anew.
pub(super) const PROGRAMS_OF_CLIENT_MAX: u32 = 4096;
/// With a million clients a part holds a thousand.
const PARTS: usize = 1024;

/// A table in parts. Which part a key belongs to can be known by nobody outside: a part cannot be filled on purpose.
#[derive(Debug)]
pub(super) struct Parts<T> {
    parts: Box<[Mutex<T>]>,
    of_key: RandomState,
}

impl<T: Default> Parts<T> {
    pub(super) fn new(count: usize) -> Self {
        Self { parts: (0..count.max(1)).map(|_| Mutex::default()).collect(), of_key: RandomState::new() }
    }

    /// The part of this key.
    pub(super) fn of(&self, key: &impl Hash) -> MutexGuard<'_, T> {
        let number = self.of_key.hash_one(key) % self.parts.len() as u64;
        lock(&self.parts[number as usize])
    }

    /// All parts, one after the other.
    pub(super) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.parts.iter().map(lock)
    }
}

/// Nothing between two writes to a part can panic and leave it half written.
fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many programs each client has, and how many there are.
#[derive(Debug)]
pub(super) struct Clients {
    of_client: Parts<HashMap<ClientKey, u32>>,
    all: AtomicUsize,
}

impl Clients {
    pub(super) fn new() -> Self {
        Self { of_client: Parts::new(PARTS), all: AtomicUsize::new(0) }
    }

    pub(super) fn programs(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// Counts one more program of this client; false where there are too many of its own or of all.
    pub(super) fn enter(&self, client: ClientKey) -> bool {
        let mut part = self.of_client.of(&client);
        if part.get(&client).is_some_and(|programs| *programs >= PROGRAMS_OF_CLIENT_MAX) {
            return false;
        }
        let one_more = |all: usize| (all < PROGRAMS_MAX).then_some(all + 1);
        if self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return false;
        }
        *part.entry(client).or_default() += 1;
        true
    }

    /// A program of this client is forgotten.
    pub(super) fn leave(&self, client: ClientKey) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        let mut part = self.of_client.of(&client);
        let Some(programs) = part.get_mut(&client) else { return };
        *programs -= 1;
        if *programs == 0 {
            part.remove(&client);
            let left = part.len();
            // Rarely: a table that is a quarter full is made half as large.
            if part.capacity() > 64 && left * 4 < part.capacity() {
                part.shrink_to(left * 2);
            }
        }
    }
}

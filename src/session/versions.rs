//! Versions of browsers that are newer than what was measured, learnt from the clients of this network.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::clock;
use crate::facts::ClientKey;
use crate::identity::{Browsers, Claim, Learning, Learnt, Lesson};

/// What was learnt, shared by all workers.
#[derive(Debug, Default)]
pub struct Versions {
    learnt: RwLock<Learnt>,
    /// There is something that was not kept yet.
    changed: AtomicBool,
}

impl Versions {
    /// What was learnt, where that matters for this claim.
    pub(super) fn of(&self, claim: &Claim) -> Option<RwLockReadGuard<'_, Learnt>> {
        claim.is_learnt().then(|| self.learnt.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A program of this claim has shown to be a browser, with this stable key.
    pub(super) fn learn(&self, claim: &Claim, key: &str, client: ClientKey) -> Learning {
        if !claim.is_learnt() {
            return Learning::Nothing;
        }
        let learning =
            self.learnt.write().unwrap_or_else(PoisonError::into_inner).learn(claim, key, client, clock::now());
        if learning != Learning::Nothing {
            self.changed.store(true, Ordering::Relaxed);
        }
        learning
    }

    /// All that was learnt, where that has changed since it was asked last.
    pub fn changed(&self) -> Option<Vec<Lesson>> {
        let changed = self.changed.swap(false, Ordering::Relaxed);
        changed.then(|| self.learnt.read().unwrap_or_else(PoisonError::into_inner).lessons().collect())
    }

    /// What was given by [`Versions::changed`] could not be kept: it is given again.
    pub fn not_kept(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Takes up what was kept.
    pub fn take_up<'l>(&self, browsers: &Browsers, lessons: impl IntoIterator<Item = &'l Lesson>) {
        let mut learnt = self.learnt.write().unwrap_or_else(PoisonError::into_inner);
        lessons.into_iter().for_each(|lesson| learnt.take_up(browsers, lesson));
    }
}

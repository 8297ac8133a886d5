use std::sync::{Arc, PoisonError, RwLock};

use crate::limit::Rates;
use crate::policy::Policy;
use crate::upstream::KeyRing;

/// A policy, what its parents are shown and what its rates have counted: one value, so that no exchange is
/// judged by one and dialled with another's.
#[derive(Debug)]
pub struct Edition {
    pub policy: Policy,
    pub credentials: KeyRing,
    pub(super) rates: Rates,
    number: u32,
}

/// The policy in force; exchanged whole.
#[derive(Debug)]
pub struct InForce(RwLock<Arc<Edition>>);

impl Edition {
    /// Which of this gate's it is, counted from 0: another number, another edition.
    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

impl InForce {
    pub fn new(policy: Policy, credentials: KeyRing) -> Self {
        let rates = Rates::of(policy.rates(), None);
        Self(RwLock::new(Arc::new(Edition { policy, credentials, rates, number: 0 })))
    }

    /// What is in force now.
    pub fn now(&self) -> Arc<Edition> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another policy in force. Exchanges already judged keep theirs.
    pub fn swap(&self, policy: Policy, credentials: KeyRing) {
        let rates = Rates::of(policy.rates(), Some(&self.now().rates));
        let mut in_force = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let number = in_force.number.wrapping_add(1);
        let before = std::mem::replace(&mut *in_force, Arc::new(Edition { policy, credentials, rates, number }));
        drop(in_force);
        // Dropping a large policy takes time, in which nobody may have to wait for the lock.
        drop(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Credentials;

    #[test]
    fn a_policy_is_exchanged_whole_and_exchanges_already_judged_keep_theirs() {
        let policy = |text| Policy::compile("p.toml", text).unwrap();
        let ring = |line: &[u8]| {
            let mut ring = KeyRing::default();
            ring.add("up.key", Credentials::parse(line).unwrap());
            ring
        };
        let in_force = InForce::new(policy("# one"), ring(b"gate:one"));
        let before = in_force.now();
        in_force.swap(policy("# two"), ring(b"gate:two"));
        let after = in_force.now();
        assert_eq!((before.policy.hash(), &before.credentials), (policy("# one").hash(), &ring(b"gate:one")));
        assert_eq!((after.policy.hash(), &after.credentials), (policy("# two").hash(), &ring(b"gate:two")));
        assert_ne!(before.number(), after.number());
        assert_eq!(after.number(), in_force.now().number());
    }
}

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::facts::ClientKey;

/// What is counted by client: the connections each has open, and what was done to them.
#[derive(Debug, Default)]
pub struct Clients {
    pub(super) shares: Shares,
    /// Connections closed because nothing came on them.
    pub(super) silent: Tally,
    /// Connections closed unread because their client had too many open.
    pub(super) overflowed: Tally,
}

const SHARDS: usize = 16;

/// How many connections each client has open. A client without any is not in it, so that it is never
/// larger than the connections are many.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Keyed, so that no client can choose addresses that meet in one place.
    hasher: RandomState,
    /// Several, for accepting threads not to wait for each other.
    open: [Mutex<HashMap<ClientKey, u64>>; SHARDS],
}

impl Shares {
    fn shard(&self, client: ClientKey) -> MutexGuard<'_, HashMap<ClientKey, u64>> {
        let shard = self.hasher.hash_one(client) as usize % SHARDS;
        self.open[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more connection of this client in, unless it has so many already. What was counted in
    /// must [`leave`](Self::leave).
    pub(super) fn enter(&self, client: ClientKey, most: u64) -> bool {
        let mut shard = self.shard(client);
        let open = shard.entry(client).or_default();
        if *open >= most {
            return false;
        }
        *open += 1;
        true
    }

    pub(super) fn leave(&self, client: ClientKey) {
        let mut shard = self.shard(client);
        match shard.get_mut(&client) {
            Some(open) if *open > 1 => *open -= 1,
            Some(_) | None => {
                shard.remove(&client);
                // A crowd gives its room back.
                if shard.len() < shard.capacity() / 8 {
                    let keep = shard.len() * 2;
                    shard.shrink_to(keep);
                }
            }
        }
    }
}

/// Clients told apart between two tellings; of more of them only the sum is kept.
const TOLD_APART_MAX: usize = 1024;

/// Something that happens to connections, counted by client until it is told.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: u64,
    by_client: HashMap<ClientKey, u64>,
}

/// What a [`Tally`] came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) all: u64,
    /// The client that had most of them.
    pub(super) client: ClientKey,
    pub(super) of_client: u64,
}

impl Tally {
    pub(super) fn count(&self, client: ClientKey) {
        let mut counts = self.counts();
        counts.all += 1;
        if counts.by_client.len() < TOLD_APART_MAX || counts.by_client.contains_key(&client) {
            *counts.by_client.entry(client).or_default() += 1;
        }
    }

    /// What was counted since this was last asked, if anything was.
    pub(super) fn take(&self) -> Option<Told> {
        let Counts { all, by_client } = std::mem::take(&mut *self.counts());
        let (client, of_client) = by_client.into_iter().max_by_key(|(client, count)| (*count, *client))?;
        Some(Told { all, client, of_client })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn client(address: &str) -> ClientKey {
        ClientKey::of(address.parse().unwrap())
    }

    #[test]
    fn a_client_has_its_share_and_no_more_and_another_its_own() {
        let shares = Shares::default();
        let (one, other) = (client("10.0.0.1"), client("10.0.0.2"));
        assert!(shares.enter(one, 2) && shares.enter(one, 2) && !shares.enter(one, 2));
        assert!(shares.enter(other, 2));
        shares.leave(one);
        assert!(shares.enter(one, 2) && !shares.enter(one, 2));
    }

    #[test]
    fn a_client_that_has_left_takes_no_room() {
        let shares = Shares::default();
        let clients: Vec<_> = (0..10_000_u32).map(|n| ClientKey::of(IpAddr::from(n.to_be_bytes()))).collect();
        assert!(clients.iter().all(|client| shares.enter(*client, 1)));
        clients.iter().for_each(|client| shares.leave(*client));
        let (mut left, mut room) = (0, 0);
        for shard in &shares.open {
            let shard = shard.lock().unwrap();
            left += shard.len();
            room += shard.capacity();
        }
        assert_eq!(left, 0);
        assert!(room < 1000, "room for {room} is kept");
    }

    #[test]
    fn a_tally_tells_the_sum_and_the_client_with_most_once() {
        let tally = Tally::default();
        assert_eq!(tally.take(), None);
        for address in ["10.0.0.1", "10.0.0.2", "10.0.0.2"] {
            tally.count(client(address));
        }
        assert_eq!(tally.take(), Some(Told { all: 3, client: client("10.0.0.2"), of_client: 2 }));
        assert_eq!(tally.take(), None);
    }

    #[test]
    fn a_tally_is_bounded_and_its_sum_is_right_all_the_same() {
        let tally = Tally::default();
        for n in 0..5000_u32 {
            tally.count(ClientKey::of(IpAddr::from(n.to_be_bytes())));
        }
        assert_eq!(tally.counts().by_client.len(), TOLD_APART_MAX);
        assert_eq!(tally.take().unwrap().all, 5000);
    }
}

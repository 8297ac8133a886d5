use std::net::IpAddr;
use std::time::Duration;

use crate::challenge::auth::{Allowance, Throttle};
use crate::facts::{ClientKey, Moment};

/// How often a log-in may be wrong: tried before any password is, and beyond it nobody looks whether it is right.
pub(super) struct Doorkeeper {
    by_client: Throttle<ClientKey>,
    by_name: Throttle<[u8; 32]>,
}

/// What one client may be wrong at once; then one more after each pause.
const PER_CLIENT: Allowance = Allowance { at_once: 10, pause: Duration::from_secs(30) };
/// What anybody may be wrong about one name.
const PER_NAME: Allowance = Allowance { at_once: 5, pause: Duration::from_secs(60) };
/// Clients, and names, whose guesses are counted. With so many under way one more is told to come back.
const COUNTED_MAX: usize = 10_000;

impl Doorkeeper {
    pub(super) fn new() -> Self {
        Self { by_client: Throttle::new(PER_CLIENT, COUNTED_MAX), by_name: Throttle::new(PER_NAME, COUNTED_MAX) }
    }

    /// Counts an attempt before its password is tried.
    ///
    /// # Errors
    /// There were too many; after this time there may be one more.
    pub(super) fn admit(&mut self, address: IpAddr, name: &str, now: Moment) -> Result<(), Duration> {
        let client = ClientKey::of(address);
        self.by_client.take(&client, now)?;
        self.by_name.take(&key(name), now).inspect_err(|_| self.by_client.give_back(&client))
    }

    /// It was right: that does not count.
    pub(super) fn was_right(&mut self, address: IpAddr, name: &str) {
        self.by_client.give_back(&ClientKey::of(address));
        self.by_name.give_back(&key(name));
    }
}

fn key(name: &str) -> [u8; 32] {
    *blake3::hash(name.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn other(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 1, number])
    }

    #[test]
    fn guesses_are_counted_by_client_and_by_name_and_right_ones_are_not() {
        let mut door = Doorkeeper::new();
        let now = Moment(1_000_000_000);
        for number in 0..5 {
            assert_eq!(door.admit(other(number), "sato", now), Ok(()));
        }
        assert_eq!(door.admit(other(9), "sato", now), Err(Duration::from_secs(60)), "whoever asks");
        assert_eq!(door.admit(other(9), "tanaka", now), Ok(()));
        for number in 0..10 {
            assert_eq!(door.admit(HERE, &format!("name{number}"), now), Ok(()));
        }
        assert_eq!(door.admit(HERE, "suzuki", now), Err(Duration::from_secs(30)), "whatever the name");
        assert_eq!(door.admit(other(8), "suzuki", now), Ok(()));
        for _ in 0..100 {
            assert_eq!(door.admit(other(7), "mori", now), Ok(()));
            door.was_right(other(7), "mori");
        }
    }
}

//! Nonces of Digest: made without being kept, and each count of one taken once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use crate::facts::{ClientKey, Moment};

use super::secret::{Key, Secret};

/// A nonce is good for this long; then a client is given another, without its user being asked.
pub const NONCE_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// Nonces in use whose counts are kept. Of more the oldest goes, and is stale from then on.
pub const NONCES_MAX: usize = 50_000;
/// Counts below the highest seen that are still told apart. Requests of one client overtake each other on their
/// way by parallel connections; one that is overtaken by more is stale.
const OVERTAKEN_MAX: u32 = 128;
/// A browser whose tunnel was ended asks again with the very credentials of the first time (Firefox, measured); this
/// long they are taken once more where all of them are the same.
const REPEATED: Duration = Duration::from_secs(10);
/// The latest uses of a nonce that can be repeated; of more the oldest is not taken again.
const REPEATED_MAX: usize = 4;

/// One use of a nonce.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use<'a> {
    pub(super) count: u32,
    /// The response to it, which is right for one method and target alone, where it may come again.
    pub(super) again: Option<&'a [u8]>,
}

/// Why a client is to ask again with a nonce of now. None of these is a wrong password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleNonce {
    /// It is older than [`NONCE_LIFETIME`], or of so long ago that its counts are forgotten.
    Expired,
    /// The gate has not made it, or made it for another client, or before it was started.
    Foreign,
    /// The same count of it was used before: credentials were sent a second time, and not by a browser at once.
    Replayed,
}

/// Makes nonces and judges them.
///
/// A nonce is the moment of its making and a keyed hash of that and of the client it is for, so nothing is kept
/// for a client that never answers. What is kept of those in use is a window over their counts.
pub(super) struct Nonces {
    key: Key,
    /// By the moment of making, which no two nonces share.
    windows: BTreeMap<Moment, Window>,
    last: Moment,
    /// Nothing is known of nonces up to here that have no window.
    forgotten: Option<Moment>,
}

/// The counts of one nonce that were used.
struct Window {
    name: Box<str>,
    highest: u32,
    /// Bit *n* is the count `highest - n`.
    used: u128,
    /// What can come again, the oldest first: a hash of each response, and when it was taken.
    latest: VecDeque<(blake3::Hash, Moment)>,
}

const MOMENT: usize = 8;
const BYTES: usize = MOMENT + 16;

impl Nonces {
    pub(super) fn new(secret: &Secret) -> Self {
        let key = secret.key("sekisho 2026 nonces of Digest");
        Self { key, windows: BTreeMap::new(), last: Moment(0), forgotten: None }
    }

    /// A new nonce for a client: 32 characters of letters, digits, `-` and `_`.
    pub(super) fn make(&mut self, client: ClientKey, now: Moment) -> String {
        self.last = now.max(Moment(self.last.0 + 1));
        BASE64URL_NOPAD.encode(&self.bytes(self.last, client))
    }

    /// Takes one count of a nonce, for a user whose response was right.
    ///
    /// # Errors
    /// It cannot be taken, and nothing was changed.
    pub(super) fn take(
        &mut self,
        nonce: &[u8],
        used: Use<'_>,
        client: ClientKey,
        name: &str,
        now: Moment,
    ) -> Result<(), StaleNonce> {
        let made = self.made(nonce, client).ok_or(StaleNonce::Foreign)?;
        if now - made > NONCE_LIFETIME {
            return Err(StaleNonce::Expired);
        }
        if let Some(window) = self.windows.get_mut(&made) {
            return window.take(used, now);
        }
        if self.forgotten.is_some_and(|forgotten| made <= forgotten) {
            return Err(StaleNonce::Expired);
        }
        self.make_room(now);
        let mut window = Window { name: name.into(), highest: used.count, used: 1, latest: VecDeque::new() };
        window.note(used, now);
        self.windows.insert(made, window);
        Ok(())
    }

    /// Whether this client has shown itself as this user by this very nonce before.
    pub(super) fn is_in_use(&self, nonce: &[u8], client: ClientKey, name: &str, now: Moment) -> bool {
        let window = self.made(nonce, client).filter(|made| now - *made <= NONCE_LIFETIME);
        window.and_then(|made| self.windows.get(&made)).is_some_and(|window| *window.name == *name)
    }

    /// When the nonce was made, if it was made here for this client.
    fn made(&self, nonce: &[u8], client: ClientKey) -> Option<Moment> {
        let bytes: [u8; BYTES] = BASE64URL_NOPAD.decode(nonce).ok()?.try_into().ok()?;
        let made = Moment(u64::from_be_bytes(*bytes.first_chunk::<MOMENT>()?));
        super::hash::same(&self.bytes(made, client), &bytes).then_some(made)
    }

    fn bytes(&self, made: Moment, client: ClientKey) -> [u8; BYTES] {
        let made = made.0.to_be_bytes();
        let hash = self.key.hash(&[&made, client.to_string().as_bytes()]);
        let mut bytes = [0; BYTES];
        bytes[..MOMENT].copy_from_slice(&made);
        bytes[MOMENT..].copy_from_slice(&hash.as_bytes()[..BYTES - MOMENT]);
        bytes
    }

    /// Drops what has expired, and the oldest where that is not enough.
    fn make_room(&mut self, now: Moment) {
        while let Some(made) = self.windows.keys().next().copied() {
            let expired = now - made > NONCE_LIFETIME;
            if !expired && self.windows.len() < NONCES_MAX {
                return;
            }
            self.windows.pop_first();
            self.forgotten = Some(made);
        }
    }
}

impl Window {
    fn take(&mut self, used: Use<'_>, now: Moment) -> Result<(), StaleNonce> {
        if used.count > self.highest {
            self.used = self.used.checked_shl(used.count - self.highest).unwrap_or(0) | 1;
            self.highest = used.count;
            self.note(used, now);
            return Ok(());
        }
        let behind = self.highest - used.count;
        if behind >= OVERTAKEN_MAX {
            return Err(StaleNonce::Expired);
        }
        let bit = 1 << behind;
        if self.used & bit == 0 {
            self.used |= bit;
            self.note(used, now);
            return Ok(());
        }
        let hash = used.again.map(blake3::hash);
        let is_again = |(latest, at): &(blake3::Hash, Moment)| Some(*latest) == hash && now - *at < REPEATED;
        if self.latest.iter().any(is_again) { Ok(()) } else { Err(StaleNonce::Replayed) }
    }

    fn note(&mut self, used: Use<'_>, now: Moment) {
        if let Some(response) = used.again {
            if self.latest.len() >= REPEATED_MAX {
                self.latest.pop_front();
            }
            self.latest.push_back((blake3::hash(response), now));
        }
    }
}

#[cfg(test)]
mod tests;

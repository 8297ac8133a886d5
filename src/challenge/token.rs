//! The challenge that a page carries: signed, and nothing of it kept until it is solved.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use crate::facts::{Host, ProgramKey, Timestamp};

/// What a challenge is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    pub program: &'a ProgramKey,
    pub host: &'a Host,
    pub port: u16,
}

/// Issues challenges and takes their solutions, each once.
pub struct Tokens {
    keys: [[u8; 32]; 2],
    /// When the first of the keys came into use.
    since: Timestamp,
    issued: u64,
    spent: HashSet<[u8; MAC]>,
    /// The same by the time until which they must be known, the oldest first.
    until: VecDeque<(Timestamp, [u8; MAC])>,
}

/// Why a solution is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("it is no challenge with a solution")]
    Malformed,
    /// Another gate's, another program's or another site's, or altered.
    #[error("it was not given to this program for this site")]
    Foreign,
    #[error("its time is over")]
    Expired,
    #[error("its time has not come: the gate's clock was set back")]
    NotYet,
    #[error("it does not solve the challenge")]
    NoSolution,
    #[error("it was used before")]
    Spent,
    #[error("too many were solved just now")]
    TooMany,
}

/// How long a challenge can be solved.
pub const TOKEN_SPAN: Duration = Duration::from_secs(300);
/// A clock that was set back by less is no reason to refuse.
const TOLERANCE: Duration = Duration::from_secs(30);
/// A key signs for so long; what it signed is taken for as long again.
const KEY_SPAN: Duration = Duration::from_secs(3600);
/// Solutions that are known to be used; beyond, none is taken until the time of others is over. Refusing is safe,
/// forgetting is not.
const SPENT_MAX: usize = 100_000;
/// Leading zero bits that SHA-256 must have: some thousand tries, well under a second on an old PC.
pub const BITS: u8 = 12;
const MAC: usize = 16;
/// Issue time, bits, number.
const BODY: usize = 8 + 1 + 8;
/// The digits of a solution, at most.
const SOLUTION_MAX: usize = 10;

impl Tokens {
    /// With two keys of 32 random bytes: they are the process's own, and a restart makes what was issued worthless.
    pub fn new(keys: [[u8; 32]; 2], now: Timestamp) -> Self {
        Self { keys, since: now, issued: 0, spent: HashSet::new(), until: VecDeque::new() }
    }

    /// A challenge for a program at a site, as text of a URL.
    pub fn issue(&mut self, bound: &Bound<'_>, now: Timestamp) -> String {
        self.rotate(now);
        self.issued += 1;
        let mut token = Vec::with_capacity(BODY + MAC);
        token.extend_from_slice(&now.0.to_be_bytes());
        token.push(BITS);
        token.extend_from_slice(&self.issued.to_be_bytes());
        let mac = mac(&self.keys[0], &token, bound);
        token.extend_from_slice(&mac);
        BASE64URL_NOPAD.encode(&token)
    }

    /// Something that nobody can guess, for the page's script (CSP, `nonce-source`).
    pub fn nonce(&mut self, now: Timestamp) -> String {
        self.issued += 1;
        let mut hasher = blake3::Hasher::new_keyed(&self.keys[0]);
        hasher.update(b"nonce").update(&now.0.to_be_bytes()).update(&self.issued.to_be_bytes());
        let hash = hasher.finalize();
        BASE64URL_NOPAD.encode(hash.as_bytes().get(..MAC).unwrap_or_default())
    }

    /// Whether a token was given to this program for this site, whatever has become of it.
    pub fn is_ours(&self, token: &str, bound: &Bound<'_>) -> bool {
        self.read(token, bound).is_ok()
    }

    /// Takes a solution. The program has shown then that it runs the page's script.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn take(&mut self, token: &str, solution: &str, bound: &Bound<'_>, now: Timestamp) -> Result<(), TokenFault> {
        self.rotate(now);
        let (issued, bits, mac) = self.read(token, bound)?;
        let span = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        if issued.0 > now.0.saturating_add(span(TOLERANCE)) {
            return Err(TokenFault::NotYet);
        }
        let until = Timestamp(issued.0.saturating_add(span(TOKEN_SPAN)));
        if until <= now {
            return Err(TokenFault::Expired);
        }
        if !solves(token, solution, bits) {
            return Err(TokenFault::NoSolution);
        }
        while self.until.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, spent)) = self.until.pop_front() {
                self.spent.remove(&spent);
            }
        }
        if self.spent.contains(&mac) {
            return Err(TokenFault::Spent);
        }
        if self.spent.len() >= SPENT_MAX {
            return Err(TokenFault::TooMany);
        }
        self.spent.insert(mac);
        // Until no clock that is set back within the tolerance makes it good again.
        self.until.push_back((Timestamp(now.0.saturating_add(span(TOKEN_SPAN + 2 * TOLERANCE))), mac));
        Ok(())
    }

    fn read(&self, token: &str, bound: &Bound<'_>) -> Result<(Timestamp, u8, [u8; MAC]), TokenFault> {
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| TokenFault::Malformed)?;
        let (body, found) = bytes.split_last_chunk::<MAC>().ok_or(TokenFault::Malformed)?;
        let (issued, rest) = body.split_first_chunk::<8>().ok_or(TokenFault::Malformed)?;
        let bits = *rest.first().ok_or(TokenFault::Malformed)?;
        if body.len() != BODY {
            return Err(TokenFault::Malformed);
        }
        // The comparison of hashes takes the same time wherever they differ.
        let is_ours = |key| blake3::Hash::from_bytes(widened(mac(key, body, bound))) == widened(*found);
        if !self.keys.iter().any(is_ours) {
            return Err(TokenFault::Foreign);
        }
        Ok((Timestamp(u64::from_be_bytes(*issued)), bits, *found))
    }

    fn rotate(&mut self, now: Timestamp) {
        let span = u64::try_from(KEY_SPAN.as_micros()).unwrap_or(u64::MAX);
        if now.0.abs_diff(self.since.0) >= span {
            let next = *blake3::Hasher::new_keyed(&self.keys[0])
                .update(b"next key")
                .update(&self.keys[1])
                .update(&now.0.to_be_bytes())
                .finalize()
                .as_bytes();
            self.keys = [next, self.keys[0]];
            self.since = now;
        }
    }
}

fn widened(mac: [u8; MAC]) -> [u8; 32] {
    let mut wide = [0; 32];
    if let Some(part) = wide.first_chunk_mut::<MAC>() {
        *part = mac;
    }
    wide
}

fn mac(key: &[u8; 32], body: &[u8], bound: &Bound<'_>) -> [u8; MAC] {
    let host = bound.host.to_string();
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(body).update(&bound.program.0).update(&bound.port.to_be_bytes()).update(host.as_bytes());
    let mut mac = [0; MAC];
    hasher.finalize_xof().fill(&mut mac);
    mac
}

/// Whether SHA-256 of the token, a dot and the solution begins with so many zero bits.
fn solves(token: &str, solution: &str, bits: u8) -> bool {
    let plain = !solution.is_empty() && solution.len() <= SOLUTION_MAX && solution.bytes().all(|b| b.is_ascii_digit());
    if !plain {
        return false;
    }
    let hash = Sha256::new().chain_update(token).chain_update(".").chain_update(solution).finalize();
    let (first, _) = hash.split_first_chunk::<4>().unwrap_or((&[0xff; 4], &[]));
    u32::from_be_bytes(*first).leading_zeros() >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: ProgramKey = ProgramKey([7; 16]);
    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn host(name: &str) -> Host {
        Host::parse(name.as_bytes()).unwrap()
    }

    fn later(seconds: i64) -> Timestamp {
        Timestamp(NOW.0.checked_add_signed(seconds * 1_000_000).unwrap())
    }

    fn tokens() -> Tokens {
        Tokens::new([[1; 32], [2; 32]], NOW)
    }

    fn solve(token: &str) -> String {
        (0..1_000_000).map(|number: u32| number.to_string()).find(|number| solves(token, number, BITS)).unwrap()
    }

    #[test]
    fn a_solution_is_taken_once_and_from_whom_it_was_asked() {
        let (mut tokens, site, other) = (tokens(), host("a.test"), host("b.test"));
        let bound = Bound { program: &PROGRAM, host: &site, port: 80 };
        let token = tokens.issue(&bound, NOW);
        let solution = solve(&token);
        let foreign = [
            Bound { program: &ProgramKey([8; 16]), ..bound },
            Bound { host: &other, ..bound },
            Bound { port: 81, ..bound },
        ];
        for foreign in foreign {
            assert_eq!(tokens.take(&token, &solution, &foreign, NOW), Err(TokenFault::Foreign));
        }
        assert_eq!(tokens.take(&token, &solution, &bound, later(1)), Ok(()));
        assert_eq!(tokens.take(&token, &solution, &bound, later(2)), Err(TokenFault::Spent));
        assert!(tokens.is_ours(&token, &bound));
        let again = tokens.issue(&bound, NOW);
        assert_ne!(again, token);
        assert!(tokens.take(&again, &solve(&again), &bound, NOW).is_ok());
    }

    #[test]
    fn what_is_altered_forged_or_no_solution_is_refused_by_name() {
        let (mut tokens, site) = (tokens(), host("a.test"));
        let bound = Bound { program: &PROGRAM, host: &site, port: 80 };
        let token = tokens.issue(&bound, NOW);
        for at in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            let fault = tokens.take(&altered, "1", &bound, NOW);
            assert!(matches!(fault, Err(TokenFault::Foreign | TokenFault::Malformed)), "{at}: {fault:?}");
        }
        for malformed in ["", "AAAA", "not base64!", &token[..token.len() - 4], &format!("{token}AAAA")] {
            let fault = tokens.take(malformed, "1", &bound, NOW);
            assert!(matches!(fault, Err(TokenFault::Foreign | TokenFault::Malformed)), "{malformed}: {fault:?}");
        }
        let mut other = Tokens::new([[3; 32], [4; 32]], NOW);
        let foreign = other.issue(&bound, NOW);
        assert_eq!(tokens.take(&foreign, "1", &bound, NOW), Err(TokenFault::Foreign));
        for wrong in ["", "-1", "1 ", "0x1", "99999999999", "１"] {
            assert_eq!(tokens.take(&token, wrong, &bound, NOW), Err(TokenFault::NoSolution), "{wrong}");
        }
        let wrong = (0..).map(|number: u32| number.to_string()).find(|number| !solves(&token, number, BITS)).unwrap();
        assert_eq!(tokens.take(&token, &wrong, &bound, NOW), Err(TokenFault::NoSolution));
        assert_eq!(tokens.take(&token, &solve(&token), &bound, NOW), Ok(()), "no failure has spent it");
    }

    #[test]
    fn a_challenge_has_its_time_whatever_the_clock_does() {
        let (mut tokens, site) = (tokens(), host("a.test"));
        let bound = Bound { program: &PROGRAM, host: &site, port: 80 };
        let token = tokens.issue(&bound, NOW);
        let solution = solve(&token);
        assert_eq!(tokens.take(&token, &solution, &bound, later(300)), Err(TokenFault::Expired));
        assert_eq!(tokens.take(&token, &solution, &bound, later(-31)), Err(TokenFault::NotYet));
        assert_eq!(tokens.take(&token, &solution, &bound, later(299)), Ok(()));
        for at in [-29, 0, 299] {
            assert_eq!(tokens.take(&token, &solution, &bound, later(at)), Err(TokenFault::Spent), "{at}");
        }
    }

    #[test]
    fn keys_are_exchanged_and_what_the_one_before_signed_is_still_taken() {
        let (mut tokens, site) = (tokens(), host("a.test"));
        let bound = Bound { program: &PROGRAM, host: &site, port: 80 };
        let first = tokens.keys;
        let token = tokens.issue(&bound, later(3599));
        let _ = tokens.issue(&bound, later(3600));
        assert_eq!(tokens.keys[1], first[0]);
        assert_ne!(tokens.keys[0], first[0]);
        assert_eq!(tokens.take(&token, &solve(&token), &bound, later(3601)), Ok(()));
        let _ = tokens.issue(&bound, later(7300));
        assert!(!tokens.is_ours(&token, &bound), "two exchanges later it is nobody's");
    }

    #[test]
    fn what_is_spent_is_kept_as_long_as_it_matters_and_no_longer() {
        let (mut tokens, site) = (tokens(), host("a.test"));
        let bound = Bound { program: &PROGRAM, host: &site, port: 80 };
        for second in 0..5 {
            let token = tokens.issue(&bound, later(second));
            tokens.take(&token, &solve(&token), &bound, later(second)).unwrap();
        }
        assert_eq!((tokens.spent.len(), tokens.until.len()), (5, 5));
        let token = tokens.issue(&bound, later(1000));
        tokens.take(&token, &solve(&token), &bound, later(1000)).unwrap();
        assert_eq!((tokens.spent.len(), tokens.until.len()), (1, 1));
        tokens.spent.extend((0..SPENT_MAX as u64).map(|number| u128::from(number).to_be_bytes()));
        let token = tokens.issue(&bound, later(1000));
        assert_eq!(tokens.take(&token, &solve(&token), &bound, later(1000)), Err(TokenFault::TooMany));
    }
}

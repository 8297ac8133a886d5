//! The challenges that a page carries: signed, and nothing of them kept until they are answered.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use crate::facts::{ClientKey, Host, ProgramKey, Timestamp};

use super::answer::{Answer, Proof};
use super::rounds::{Bond, ROUNDS_MAX, Rounds};

/// What a challenge is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    /// Whose answers are counted together; what is signed does not hold it.
    pub client: ClientKey,
    pub program: &'a ProgramKey,
    pub host: &'a Host,
    pub port: u16,
}

/// What a page is to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asks {
    /// A browser without scripts may wait instead of solving it.
    pub may_wait: bool,
    /// A person is to say that the site is meant.
    pub person: bool,
}

/// What a page asks of a browser. Either of them is enough, and one alone is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// To be solved by a script; of the letters of Base64url.
    pub work: String,
    /// To be brought back after [`WAIT`], by a browser without scripts.
    pub wait: Option<String>,
}

/// Issues challenges and takes their answers, each once.
///
/// Signed by keyed BLAKE3, which is a message authentication code as HMAC is.
pub struct Tokens {
    keys: [[u8; 32]; 2],
    /// When the first of the keys came into use.
    since: Timestamp,
    /// Names what a token is bound to; never exchanged, since loops are counted by it.
    names: [u8; 32],
    issued: u64,
    /// Numbers of pages that were answered.
    spent: HashSet<u64>,
    /// The same by the time until which they must be known, the oldest first; and whose they are.
    until: VecDeque<(Timestamp, u64, ClientKey)>,
    /// How many of them each client has.
    of_client: HashMap<ClientKey, u32>,
    rounds: Rounds,
}

/// Why an answer is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("it is no challenge with an answer")]
    Malformed,
    /// Another gate's, one from before the gate was started, or altered.
    #[error("this gate does not know the page: it may have been started anew since")]
    Forged,
    #[error("the page was given to another program, or for another site")]
    Foreign,
    #[error("the time of the page is over")]
    Expired,
    #[error("the time of the page has not come: the gate's clock was set back")]
    NotYet,
    #[error("it came before the time to wait was over")]
    TooSoon,
    #[error("it does not solve what the page asks")]
    NoSolution,
    #[error("the page was answered before")]
    Spent,
    #[error("too many pages were answered just now")]
    TooMany,
}

impl TokenFault {
    /// Whether a new page may be answered where this one was not, with nothing else changed. Only of what this gate
    /// has signed, since it counts those: anything else could be asked for without end.
    pub fn asks_again(self) -> bool {
        match self {
            Self::Expired | Self::Spent | Self::Foreign => true,
            Self::Malformed | Self::Forged | Self::NotYet | Self::TooSoon | Self::NoSolution | Self::TooMany => false,
        }
    }
}

/// How long a challenge can be answered.
pub const TOKEN_SPAN: Duration = Duration::from_secs(300);
/// How long a browser without scripts waits.
pub const WAIT: Duration = Duration::from_secs(4);
/// A clock that was set back by less is no reason to refuse.
const TOLERANCE: Duration = Duration::from_secs(30);
/// A key signs for so long; what it signed is taken for as long again.
const KEY_SPAN: Duration = Duration::from_secs(3600);
/// Answers that are known to be used; beyond, none is taken until the time of others is over. Refusing is safe,
/// forgetting is not.
const SPENT_MAX: usize = 100_000;
/// Of one client no more, so that none takes the room of others: a browser needs one for each of its faces.
const SPENT_OF_CLIENT_MAX: u32 = 1000;
/// Leading zero bits that SHA-256 must have: some thousand tries, well under a second on an old PC.
pub const BITS: u8 = 12;
const MAC: usize = 16;
/// The digits of a solution, at most.
const SOLUTION_MAX: usize = 10;

/// What is signed.
#[derive(Debug, Clone, Copy)]
struct Body {
    issued: Timestamp,
    demand: Demand,
    /// Which page in a row it is, from 1.
    attempt: u8,
    /// A person has said that the site is meant, once it is answered.
    person: bool,
    /// Both challenges of one page have the same.
    number: u64,
    bond: Bond,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    Work { bits: u8 },
    Wait,
}

impl Tokens {
    /// With three keys of 32 random bytes: they are the process's own, and a restart makes what was issued worthless.
    pub fn new([first, second, names]: [[u8; 32]; 3], now: Timestamp) -> Self {
        let (spent, until, rounds) = (HashSet::new(), VecDeque::new(), Rounds::default());
        Self { keys: [first, second], since: now, names, issued: 0, spent, until, of_client: HashMap::new(), rounds }
    }

    /// The challenges of one page for a program at a site. None where it has answered three in a row and asks again:
    /// a fourth would not help it. A minute later it begins anew.
    pub fn issue(&mut self, bound: &Bound<'_>, asks: Asks, now: Timestamp) -> Option<Issued> {
        self.rotate(now);
        let bond = self.bond(bound);
        let answered = self.rounds.answered(&bond, now);
        if answered >= ROUNDS_MAX {
            return None;
        }
        self.issued += 1;
        let (demand, attempt, person) = (Demand::Wait, answered + 1, asks.person);
        let page = Body { issued: now, demand, attempt, person, number: self.issued, bond };
        let work = self.sign(&Body { demand: Demand::Work { bits: BITS }, ..page });
        Some(Issued { work, wait: asks.may_wait.then(|| self.sign(&page)) })
    }

    /// Something that nobody can guess, for the page's script (CSP, `nonce-source`).
    pub fn nonce(&mut self, now: Timestamp) -> String {
        self.issued += 1;
        let mut hasher = blake3::Hasher::new_keyed(&self.keys[0]);
        hasher.update(b"nonce").update(&now.0.to_be_bytes()).update(&self.issued.to_be_bytes());
        let hash = hasher.finalize();
        BASE64URL_NOPAD.encode(hash.as_bytes().get(..MAC).unwrap_or_default())
    }

    /// Whether this gate has given the token to somebody, whatever has become of it.
    pub fn knows(&self, token: &str) -> bool {
        self.read(token).is_ok()
    }

    /// Takes an answer. The program has shown then that it runs the page's script, or that it waits as the page says;
    /// and, where that is true, a person that the site is meant.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn take(&mut self, answer: &Answer<'_>, bound: &Bound<'_>, now: Timestamp) -> Result<bool, TokenFault> {
        self.rotate(now);
        let page = self.read(answer.token)?;
        let taken = self.judge(answer, &page, bound, now);
        // Whether it was taken or not, the page has done what it can.
        let is_over = |fault: TokenFault| fault.asks_again() || fault == TokenFault::NoSolution;
        if taken.err().is_none_or(is_over) {
            self.rounds.note(page.bond, page.attempt, now);
        }
        taken.map(|()| page.person)
    }

    fn judge(&mut self, answer: &Answer<'_>, page: &Body, bound: &Bound<'_>, now: Timestamp) -> Result<(), TokenFault> {
        if page.bond != self.bond(bound) {
            return Err(TokenFault::Foreign);
        }
        if page.issued.0 > now.0.saturating_add(micros(TOLERANCE)) {
            return Err(TokenFault::NotYet);
        }
        if page.issued.0.saturating_add(micros(TOKEN_SPAN)) <= now.0 {
            return Err(TokenFault::Expired);
        }
        match (page.demand, &answer.proof) {
            (Demand::Work { bits }, Proof::Work(solution)) if solves(answer.token, solution, bits) => {}
            (Demand::Work { .. }, _) | (Demand::Wait, Proof::Work(_)) => return Err(TokenFault::NoSolution),
            (Demand::Wait, Proof::Waited(_)) if page.issued.0.saturating_add(micros(WAIT)) <= now.0 => {}
            (Demand::Wait, Proof::Waited(_)) => return Err(TokenFault::TooSoon),
        }
        self.spend(page.number, bound.client, now)
    }

    fn spend(&mut self, number: u64, client: ClientKey, now: Timestamp) -> Result<(), TokenFault> {
        while let Some((until, spent, client)) = self.until.front().copied()
            && until <= now
        {
            self.until.pop_front();
            self.spent.remove(&spent);
            match self.of_client.get_mut(&client) {
                Some(count @ 2..) => *count -= 1,
                Some(_) | None => drop(self.of_client.remove(&client)),
            }
        }
        if self.spent.contains(&number) {
            return Err(TokenFault::Spent);
        }
        let of_client = self.of_client.get(&client).copied().unwrap_or_default();
        if self.spent.len() >= SPENT_MAX || of_client >= SPENT_OF_CLIENT_MAX {
            return Err(TokenFault::TooMany);
        }
        self.spent.insert(number);
        self.of_client.insert(client, of_client + 1);
        // Until no clock that is set back within the tolerance makes it good again.
        self.until.push_back((Timestamp(now.0.saturating_add(micros(TOKEN_SPAN + 2 * TOLERANCE))), number, client));
        Ok(())
    }

    fn bond(&self, bound: &Bound<'_>) -> Bond {
        let mut hasher = blake3::Hasher::new_keyed(&self.names);
        hasher.update(&bound.program.0).update(&bound.port.to_be_bytes()).update(bound.host.to_string().as_bytes());
        let mut bond = [0; 16];
        hasher.finalize_xof().fill(&mut bond);
        Bond(bond)
    }

    fn sign(&self, body: &Body) -> String {
        let mut token = body.bytes();
        token.extend_from_slice(&mac(&self.keys[0], &token));
        BASE64URL_NOPAD.encode(&token)
    }

    fn read(&self, token: &str) -> Result<Body, TokenFault> {
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| TokenFault::Malformed)?;
        let (signed, found) = bytes.split_last_chunk::<MAC>().ok_or(TokenFault::Malformed)?;
        let body = Body::read(signed).ok_or(TokenFault::Malformed)?;
        // The comparison of hashes takes the same time wherever they differ.
        let is_ours = |key| blake3::Hash::from_bytes(widened(mac(key, signed))) == widened(*found);
        if self.keys.iter().any(is_ours) { Ok(body) } else { Err(TokenFault::Forged) }
    }

    fn rotate(&mut self, now: Timestamp) {
        if now.0.abs_diff(self.since.0) >= micros(KEY_SPAN) {
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

impl Body {
    fn bytes(&self) -> Vec<u8> {
        // No work is asked for by 0 bits: that is the mark of waiting.
        let bits = match self.demand {
            Demand::Work { bits } => bits,
            Demand::Wait => 0,
        };
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&self.issued.0.to_be_bytes());
        bytes.extend_from_slice(&[bits, self.attempt, self.person.into()]);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.bond.0);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (issued, rest) = bytes.split_first_chunk::<8>()?;
        let ([bits, attempt, person], rest) = rest.split_first_chunk::<3>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        Some(Self {
            issued: Timestamp(u64::from_be_bytes(*issued)),
            demand: if *bits == 0 { Demand::Wait } else { Demand::Work { bits: *bits } },
            attempt: *attempt,
            person: *person != 0,
            number: u64::from_be_bytes(*number),
            bond: Bond(rest.try_into().ok()?),
        })
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn widened(mac: [u8; MAC]) -> [u8; 32] {
    let mut wide = [0; 32];
    if let Some(part) = wide.first_chunk_mut::<MAC>() {
        *part = mac;
    }
    wide
}

fn mac(key: &[u8; 32], body: &[u8]) -> [u8; MAC] {
    let mut mac = [0; MAC];
    blake3::Hasher::new_keyed(key).update(body).finalize_xof().fill(&mut mac);
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
mod tests;

//! What is asked on each way, and what answers it: numbers that nobody in between can make up.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use data_encoding::HEXLOWER;

/// Derived from a word that the prober and the responder share; nothing but a stranger's guess is kept out where it is
/// empty.
#[derive(Clone)]
pub struct Key([u8; 32]);

/// The length of a question as it is sent: what marks it, its number, and that it is of somebody who knows the word.
pub(super) const QUESTION_BYTES: usize = 8 + NUMBER_BYTES + PROOF_BYTES;
/// The length of an answer: what marks it, the proof, and from where the question was seen to come. One that goes over
/// UDP never is longer than what it answers: see [`super::form`].
pub(super) const ANSWER_BYTES: usize = 8 + PROOF_BYTES + 18;

const NUMBER_BYTES: usize = 16;
const PROOF_BYTES: usize = 16;
const ASKS: &[u8; 8] = b"sekisho?";
const ANSWERS: &[u8; 8] = b"sekisho!";

/// One question: of a run, on one of its ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The same for all of a run, else by chance.
    run: [u8; 8],
    /// Which of the run's ways, counted from 1.
    pub way: u16,
    chance: [u8; 6],
}

impl Key {
    pub fn of(word: &str) -> Self {
        Self(blake3::derive_key("sekisho 2026-11 egress probe", word.as_bytes()))
    }

    fn proof(&self, what: u8, parts: &[&[u8]]) -> [u8; PROOF_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[what]);
        for part in parts {
            hasher.update(part);
        }
        let mut proof = [0; PROOF_BYTES];
        hasher.finalize_xof().fill(&mut proof);
        proof
    }
}

impl Question {
    pub(super) fn new(run: [u8; 8], way: u16, chance: [u8; 6]) -> Self {
        Self { run, way, chance }
    }

    /// The run as people compare it: 16 digits.
    pub fn run(&self) -> String {
        HEXLOWER.encode(&self.run)
    }

    /// What an echo of ICMP repeats.
    pub(super) fn mark(&self) -> [u8; 4] {
        let [a, b, ..] = self.chance;
        let [c, d] = self.way.to_be_bytes();
        [a, b, c, d]
    }

    fn number(&self) -> [u8; NUMBER_BYTES] {
        let mut number = [0; NUMBER_BYTES];
        number[..8].copy_from_slice(&self.run);
        number[8..10].copy_from_slice(&self.way.to_be_bytes());
        number[10..].copy_from_slice(&self.chance);
        number
    }

    pub(super) fn bytes(&self, key: &Key) -> [u8; QUESTION_BYTES] {
        let (number, mut bytes) = (self.number(), [0; QUESTION_BYTES]);
        bytes[..8].copy_from_slice(ASKS);
        bytes[8..24].copy_from_slice(&number);
        bytes[24..].copy_from_slice(&key.proof(b'?', &[&number]));
        bytes
    }

    /// The question at the begin of these bytes; `None` for whatever does not know the word.
    pub(super) fn read(bytes: &[u8], key: &Key) -> Option<Self> {
        let bytes: &[u8; QUESTION_BYTES] = bytes.first_chunk()?;
        let (asks, rest) = bytes.split_first_chunk::<8>()?;
        let (number, proof) = rest.split_first_chunk::<NUMBER_BYTES>()?;
        if asks != ASKS || !is_equal(proof, &key.proof(b'?', &[number])) {
            return None;
        }
        let (run, rest) = number.split_first_chunk::<8>()?;
        let (way, chance) = rest.split_first_chunk::<2>()?;
        Some(Self { run: *run, way: u16::from_be_bytes(*way), chance: *chance.first_chunk()? })
    }

    /// What the responder says, which saw it come from there.
    pub(super) fn answer(&self, from: SocketAddr, key: &Key) -> [u8; ANSWER_BYTES] {
        let (seen, mut bytes) = (seen_bytes(from), [0; ANSWER_BYTES]);
        bytes[..8].copy_from_slice(ANSWERS);
        bytes[8..24].copy_from_slice(&key.proof(b'!', &[&self.number(), &seen]));
        bytes[24..].copy_from_slice(&seen);
        bytes
    }

    /// Where the responder saw this question come from, if this is its answer: somewhere in what came back.
    pub(super) fn proved(&self, came: &[u8], key: &Key) -> Option<SocketAddr> {
        came.windows(ANSWER_BYTES).find_map(|window| {
            let (answers, rest) = window.split_first_chunk::<8>()?;
            let (proof, seen) = rest.split_first_chunk::<PROOF_BYTES>()?;
            let is_ours = answers == ANSWERS && is_equal(proof, &key.proof(b'!', &[&self.number(), seen]));
            is_ours.then(|| seen_address(seen)).flatten()
        })
    }

    /// The same where the answer is written in hexadecimal digits.
    pub(super) fn proved_in_text(&self, came: &[u8], key: &Key) -> Option<SocketAddr> {
        let marked = HEXLOWER.encode(ANSWERS);
        came.windows(ANSWER_BYTES * 2).filter(|window| window.starts_with(marked.as_bytes())).find_map(|window| {
            let bytes = HEXLOWER.decode(window).ok()?;
            self.proved(&bytes, key)
        })
    }
}

/// Takes as long wherever they differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

fn seen_bytes(from: SocketAddr) -> [u8; 18] {
    let address = match from.ip().to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&address.octets());
    bytes[16..].copy_from_slice(&from.port().to_be_bytes());
    bytes
}

fn seen_address(bytes: &[u8]) -> Option<SocketAddr> {
    let (address, port) = bytes.split_first_chunk::<16>()?;
    let port = u16::from_be_bytes(*port.first_chunk()?);
    Some(SocketAddr::new(Ipv6Addr::from(*address).to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_the_word_asks_and_answers() {
        let (key, other) = (Key::of("word"), Key::of(""));
        let question = Question::new([1; 8], 7, [2; 6]);
        let asked = question.bytes(&key);
        assert_eq!(Question::read(&asked, &key), Some(question));
        assert_eq!(Question::read(&asked, &other), None);
        assert_eq!(Question::read(&asked[..QUESTION_BYTES - 1], &key), None);

        for from in ["192.0.2.7:4711", "[2001:db8::7]:4711"] {
            let from: SocketAddr = from.parse().unwrap();
            let mut came = b"before".to_vec();
            came.extend(question.answer(from, &key));
            came.extend(b"behind");
            assert_eq!(question.proved(&came, &key), Some(from));
            assert_eq!(question.proved(&came, &other), None, "of somebody with another word");
            assert_eq!(Question::new([1; 8], 8, [2; 6]).proved(&came, &key), None, "of another way");
            came[6 + 30] ^= 1;
            assert_eq!(question.proved(&came, &key), None, "altered");
        }
    }

    #[test]
    fn an_echo_is_no_answer() {
        let key = Key::of("");
        let question = Question::new([1; 8], 7, [2; 6]);
        let asked = question.bytes(&key).repeat(3);
        assert_eq!(question.proved(&asked, &key), None);
        assert_eq!(question.proved_in_text(HEXLOWER.encode(&asked).as_bytes(), &key), None);
    }
}

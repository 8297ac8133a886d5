use std::io::Write;

use super::record::SCHEMA;

/// The running hash before the first line.
pub const HASH_ZERO: [u8; 32] = [0; 32];

/// The head of the journal: the number and running hash of its last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    pub seq: u64,
    pub hash: [u8; 32],
}

/// Where and how the chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    #[error("the record numbered {seq} was altered: its hash does not fit its text")]
    Altered { seq: u64 },
    #[error("records {first} to {last} are missing")]
    Missing { first: u64, last: u64 },
    #[error("the record numbered {found} stands where {expected} belongs: reordered or repeated")]
    Reordered { expected: u64, found: u64 },
    #[error("a line after record {after} is no record: it has no number or no hash")]
    NotARecord { after: u64 },
}

impl Chain {
    /// The chain of an empty journal.
    pub fn start() -> Self {
        Self { seq: 0, hash: HASH_ZERO }
    }

    /// Appends the line of a record, given the members [`super::Record::encode`] made, and moves on.
    pub fn append(&mut self, members: &[u8], out: &mut Vec<u8>) {
        let begin = out.len();
        self.seq += 1;
        let _ = write!(out, "{{\"v\":{SCHEMA},\"seq\":{},", self.seq);
        out.extend_from_slice(members);
        self.hash = running(&self.hash, out.get(begin..).unwrap_or_default());
        out.extend_from_slice(b",\"h\":\"");
        out.extend_from_slice(short_hex(&self.hash).as_bytes());
        out.extend_from_slice(b"\"}\n");
    }

    /// The whole running hash in hexadecimal.
    pub fn hash_hex(&self) -> String {
        blake3::Hash::from_bytes(self.hash).to_hex().to_string()
    }
}

fn running(before: &[u8; 32], line: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    hasher.update(line);
    *hasher.finalize().as_bytes()
}

fn short_hex(hash: &[u8; 32]) -> String {
    hash.iter()
        .take(8)
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|half| char::from_digit(half.into(), 16))
        .collect()
}

/// Reads lines in order and finds the first that was altered, removed or moved.
#[derive(Debug)]
pub struct Verifier {
    chain: Chain,
}

impl Verifier {
    /// Starts after `chain`; [`Chain::start`] for a whole journal.
    pub fn new(chain: Chain) -> Self {
        Self { chain }
    }

    /// The last line that was found right.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// Takes the next line, without its line end.
    ///
    /// # Errors
    /// The break at this line; the verifier stays where it was.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Break> {
        let not_a_record = Break::NotARecord { after: self.chain.seq };
        let expected = self.chain.seq.checked_add(1).ok_or_else(|| not_a_record.clone())?;
        let (text, hash) = split_hash(line).ok_or_else(|| not_a_record.clone())?;
        let seq = sequence(text).ok_or(not_a_record)?;
        if seq > expected {
            return Err(Break::Missing { first: expected, last: seq - 1 });
        }
        if seq < expected {
            return Err(Break::Reordered { expected, found: seq });
        }
        let running = running(&self.chain.hash, text);
        if short_hex(&running).as_bytes() != hash {
            return Err(Break::Altered { seq });
        }
        self.chain = Chain { seq, hash: running };
        Ok(())
    }
}

/// The members that [`Chain::append`] was given for this line, without its line end; `None` if it is no
/// line of a chain. Nothing is verified.
pub fn line_members(line: &[u8]) -> Option<&[u8]> {
    let (text, _) = split_hash(line)?;
    let seq = sequence(text)?;
    text.get(format!("{{\"v\":{SCHEMA},\"seq\":{seq},").len()..)
}

/// Parts a line into what is hashed and the 16 hexadecimal digits at its end.
fn split_hash(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (text, tail) = line.split_at_checked(line.len().checked_sub(b",\"h\":\"0123456789abcdef\"}".len())?)?;
    let hash = tail.strip_prefix(b",\"h\":\"")?.strip_suffix(b"\"}")?;
    Some((text, hash))
}

/// The number, written as the chain writes it: no sign and no leading zeros.
fn sequence(text: &[u8]) -> Option<u64> {
    let rest = text.strip_prefix(format!("{{\"v\":{SCHEMA},\"seq\":").as_bytes())?;
    let end = rest.iter().position(|b| *b == b',')?;
    let digits = std::str::from_utf8(rest.get(..end)?).ok()?;
    digits.parse().ok().filter(|seq: &u64| seq.to_string() == digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(records: usize) -> Vec<Vec<u8>> {
        let mut chain = Chain::start();
        (0..records)
            .map(|n| {
                let mut line = Vec::new();
                chain.append(format!("\"kind\":\"admin\",\"n\":{n}").as_bytes(), &mut line);
                line.pop();
                line
            })
            .collect()
    }

    fn verify(lines: &[Vec<u8>]) -> Result<u64, Break> {
        let mut verifier = Verifier::new(Chain::start());
        for line in lines {
            verifier.line(line)?;
        }
        Ok(verifier.chain().seq)
    }

    #[test]
    fn an_untouched_journal_verifies() {
        assert_eq!(verify(&journal(20)), Ok(20));
    }

    #[test]
    fn an_altered_record_is_named() {
        let mut lines = journal(9);
        let at = lines[4].iter().position(|b| *b == b'4').unwrap();
        lines[4][at] = b'5';
        assert_eq!(verify(&lines), Err(Break::Altered { seq: 5 }));
    }

    #[test]
    fn a_missing_record_is_named() {
        let mut lines = journal(9);
        lines.drain(3..5);
        assert_eq!(verify(&lines), Err(Break::Missing { first: 4, last: 5 }));
    }

    #[test]
    fn a_reordered_record_is_named() {
        let mut lines = journal(9);
        lines[6] = lines[2].clone();
        assert_eq!(verify(&lines), Err(Break::Reordered { expected: 7, found: 3 }));
    }

    #[test]
    fn a_line_that_is_no_record_is_named_by_the_one_before_it() {
        let mut lines = journal(3);
        lines[1] = b"{}".to_vec();
        assert_eq!(verify(&lines), Err(Break::NotARecord { after: 1 }));
    }

    fn hashed(before: [u8; 32], text: &str) -> Vec<u8> {
        format!("{text},\"h\":\"{}\"}}", short_hex(&running(&before, text.as_bytes()))).into_bytes()
    }

    #[test]
    fn a_number_that_the_chain_would_not_have_written_so_is_no_record() {
        for number in ["+1", "01", "1 "] {
            let line = hashed(HASH_ZERO, &format!("{{\"v\":1,\"seq\":{number},\"kind\":\"admin\""));
            assert_eq!(verify(&[line]), Err(Break::NotARecord { after: 0 }), "{number}");
        }
        assert_eq!(verify(&[hashed(HASH_ZERO, "{\"v\":1,\"seq\":1,\"kind\":\"admin\"")]), Ok(1));
    }

    #[test]
    fn the_members_of_a_line_come_back() {
        let lines = journal(12);
        assert_eq!(line_members(&lines[10]).unwrap(), b"\"kind\":\"admin\",\"n\":10");
        assert_eq!(line_members(b"{}"), None);
    }

    #[test]
    fn behind_the_last_number_there_is_no_record() {
        let mut verifier = Verifier::new(Chain { seq: u64::MAX, hash: HASH_ZERO });
        let line = hashed(HASH_ZERO, "{\"v\":1,\"seq\":0,\"kind\":\"admin\"");
        assert_eq!(verifier.line(&line), Err(Break::NotARecord { after: u64::MAX }));
    }
}

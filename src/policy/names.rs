//! Host lists of up to millions of names: plain text, compiled once into a few bytes a name.
//!
//! The form is a finite-state automaton over reversed names (J. Daciuk et al., "Incremental construction
//! of minimal acyclic finite-state automata", 2000; the crate `fst`). `example.com` is the key
//! `moc.elpmaxe`, `*.example.com` the key `moc.elpmaxe.`: one walk from the end of a name passes every
//! pattern it could be below, always at a label border. What is held is held exactly: there are no false
//! positives, as a filter by hashes would have.

mod bytes;
mod compile;
mod line;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use fst::raw::Fst;

use crate::facts::{Host, Name};

/// Bytes of one list: who reads a file refuses a larger one.
pub const LIST_BYTES_MAX: u64 = 512 << 20;
/// Entries of one list, repeated ones included; lines beyond it are bad lines.
pub const LIST_ENTRIES_MAX: usize = 20_000_000;
/// Bytes of one line without its end; a longer one is a bad line.
pub const LINE_BYTES_MAX: usize = 4096;
/// Bad lines that are kept with their number; all are counted.
pub const BAD_LINES_KEPT_MAX: usize = 100;

/// An exact set of names, of patterns for what is below a name, and of addresses.
///
/// A look-up allocates nothing and reads memory only.
pub struct NameSet {
    names: Fst<Tail>,
    /// Where in the bytes the IPv4 addresses are, sorted, four bytes each.
    v4: Range<usize>,
    /// Where in the bytes the IPv6 addresses are, sorted, sixteen bytes each.
    v6: Range<usize>,
    len: u64,
}

/// What came of a list.
#[derive(Debug)]
pub struct Compiled {
    /// What the good lines say. Whoever refuses lists with bad lines does not use it.
    pub set: NameSet,
    pub counts: NameCounts,
    pub bad_lines: BadLines,
    /// BLAKE3 of the text.
    pub source: [u8; 32],
}

/// How many entries the good lines have. A line `.example.com` has two: the name, and what is below it.
/// All but `skipped` together are the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameCounts {
    /// Names held, each for itself alone.
    pub names: u64,
    /// Patterns held, each for everything below a name.
    pub below: u64,
    /// Addresses held.
    pub addresses: u64,
    /// Entries that were there already.
    pub duplicates: u64,
    /// Entries that a pattern of the same list contains; they need not be held.
    pub shadowed: u64,
    /// Names in hosts-file lines that mean the machine itself, such as `localhost`: not entries.
    pub skipped: u64,
}

/// The lines that mean nothing. None of them is in the set, not in part either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLines {
    /// All of them.
    pub count: u64,
    /// The first, at most [`BAD_LINES_KEPT_MAX`], in the order of the text.
    pub first: Vec<BadLine>,
}

/// A line, counted from 1, and what is wrong with it; begins with the text at fault, cut and escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    pub line: u64,
    pub why: String,
}

/// Bytes are not what a set was kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DamagedSet {
    #[error("it is no compiled list of this version")]
    Version,
    #[error("its checksum is not that of its content")]
    Checksum,
    #[error("its parts do not fit together")]
    Parts,
}

impl NameSet {
    /// Compiles the text of a list.
    ///
    /// One entry a line; empty lines, a byte order mark at the begin, and what follows a `#` are passed
    /// over; lines end with LF or CRLF. Each line is of one of these forms, by its first word alone:
    ///
    /// | line | means |
    /// |---|---|
    /// | `example.com` | that name alone |
    /// | `*.example.com` | everything below it, and not the name |
    /// | `.example.com` | the name and everything below it, as in Squid's `dstdomain` |
    /// | `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]` | that address |
    /// | `0.0.0.0 example.com www.example.com` | those names: any address first, as in a hosts file |
    ///
    /// Names become lower-case A-labels without the trailing dot, as those of requests do. Whatever else a
    /// line holds makes it a bad line: an URL, two names without an address, `*` alone. Takes no more memory
    /// than the text, its names, 32 bytes for each of its entries, and the set.
    pub fn compile(text: &[u8]) -> Compiled {
        compile::compile(text)
    }

    /// Takes a set back from what [`as_bytes`](Self::as_bytes) gave, without copying, with what was said of
    /// its text.
    ///
    /// # Errors
    /// The bytes are not exactly those: another version, cut, or altered anywhere. The checksum tells of
    /// damage, not of a forger: who may write the bytes may also write the list.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Compiled, DamagedSet> {
        bytes::decode(bytes)
    }

    /// The set with the counts and bad lines of its text, to be kept.
    pub fn as_bytes(&self) -> &[u8] {
        &self.names.as_inner().bytes
    }

    /// Whether the host is one of the names or addresses, or below one of the patterns.
    pub fn contains(&self, host: &Host) -> bool {
        match host {
            Host::Name(name) => self.contains_name(name),
            Host::V4(address) => self.contains_address(&self.v4, &address.octets()),
            Host::V6(address) => self.contains_address(&self.v6, &address.octets()),
        }
    }

    fn contains_name(&self, name: &Name) -> bool {
        let mut node = self.names.root();
        for byte in name.as_str().bytes().rev() {
            let Some(at) = node.find_input(byte) else { return false };
            node = self.names.node(node.transition_addr(at));
            // A label stands before every dot of a name, so this one is below.
            if byte == b'.' && node.is_final() {
                return true;
            }
        }
        node.is_final()
    }

    fn contains_address<const N: usize>(&self, range: &Range<usize>, address: &[u8; N]) -> bool {
        let (addresses, _) = self.as_bytes()[range.clone()].as_chunks::<N>();
        addresses.binary_search(address).is_ok()
    }

    /// Names, patterns and addresses held.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it contains no host at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that it takes.
    pub fn resident_bytes(&self) -> usize {
        size_of::<Self>() + self.names.as_inner().bytes.capacity()
    }
}

impl fmt::Debug for NameSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameSet").field("len", &self.len).field("bytes", &self.as_bytes().len()).finish()
    }
}

/// The automaton lies at the end of the bytes that are kept.
struct Tail {
    bytes: Vec<u8>,
    from: usize,
}

impl AsRef<[u8]> for Tail {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

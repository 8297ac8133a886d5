//! How a set is kept: `magic, checksum, source, numbers, bad lines, IPv4, IPv6, automaton`. Numbers are
//! little-endian; the checksum is BLAKE3 of all that follows it.

use std::ops::Range;

use fst::raw::Fst;

use super::{BAD_LINES_KEPT_MAX, BadLine, BadLines, Compiled, DamagedSet, NameCounts, NameSet, Tail};

/// The last byte is the version: raise it with every change of this form, and of what a line of a list means.
const MAGIC: [u8; 16] = *b"sekisho names \n\x01";
const HASH_BYTES: usize = 32;
const NUMBERS: usize = 9;
const HEAD_BYTES: usize = MAGIC.len() + 2 * HASH_BYTES + NUMBERS * 8;
/// Of one bad line; the longest reason is far below it.
const WHY_BYTES_MAX: usize = 1024;

/// Where the parts lie that stand before the automaton.
pub(super) struct Parts {
    bad: Range<usize>,
    v4: Range<usize>,
    v6: Range<usize>,
}

impl Parts {
    fn new(bad: usize, v4: usize, v6: usize) -> Self {
        let (bad, v4) = (HEAD_BYTES..HEAD_BYTES + bad, HEAD_BYTES + bad..HEAD_BYTES + bad + v4);
        Self { v6: v4.end..v4.end + v6, bad, v4 }
    }
}

/// The bytes up to the automaton, room for the head included.
pub(super) fn begin(bad_lines: &BadLines, v4: &[[u8; 4]], v6: &[[u8; 16]]) -> (Vec<u8>, Parts) {
    let mut bytes = vec![0; HEAD_BYTES];
    for BadLine { line, why } in &bad_lines.first {
        let why = &why.as_bytes()[..why.len().min(WHY_BYTES_MAX)];
        bytes.extend_from_slice(&line.to_le_bytes());
        bytes.extend_from_slice(&(why.len() as u64).to_le_bytes());
        bytes.extend_from_slice(why);
    }
    let bad = bytes.len() - HEAD_BYTES;
    bytes.extend_from_slice(v4.as_flattened());
    bytes.extend_from_slice(v6.as_flattened());
    (bytes, Parts::new(bad, size_of_val(v4), size_of_val(v6)))
}

/// Writes the head, when the automaton stands behind the rest.
pub(super) fn finish(
    mut bytes: Vec<u8>,
    parts: Parts,
    counts: NameCounts,
    bad_lines: BadLines,
    source: [u8; 32],
) -> Compiled {
    let NameCounts { names, below, addresses: _, duplicates, shadowed, skipped } = counts;
    let sizes = [parts.bad.len() as u64, parts.v4.len() as u64, parts.v6.len() as u64];
    let numbers = [names, below, duplicates, shadowed, skipped, bad_lines.count, sizes[0], sizes[1], sizes[2]];
    let checked = MAGIC.len() + HASH_BYTES;
    bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
    bytes[checked..checked + HASH_BYTES].copy_from_slice(&source);
    for (place, number) in bytes[checked + HASH_BYTES..HEAD_BYTES].as_chunks_mut().0.iter_mut().zip(numbers) {
        *place = number.to_le_bytes();
    }
    let checksum = blake3::hash(&bytes[checked..]);
    bytes[MAGIC.len()..checked].copy_from_slice(checksum.as_bytes());
    bytes.shrink_to_fit();
    let set = set(bytes, parts, counts).expect("an automaton that was just built");
    Compiled { set, counts, bad_lines, source }
}

pub(super) fn decode(bytes: Vec<u8>) -> Result<Compiled, DamagedSet> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(DamagedSet::Version)?;
    let (checksum, rest) = rest.split_first_chunk::<HASH_BYTES>().ok_or(DamagedSet::Parts)?;
    if blake3::hash(rest).as_bytes() != checksum {
        return Err(DamagedSet::Checksum);
    }
    let (source, rest) = rest.split_first_chunk::<HASH_BYTES>().ok_or(DamagedSet::Parts)?;
    let (numbers, rest) = rest.split_first_chunk::<{ NUMBERS * 8 }>().ok_or(DamagedSet::Parts)?;
    let mut numbers = numbers.as_chunks().0.iter().map(|number| u64::from_le_bytes(*number));
    let mut number = || numbers.next().ok_or(DamagedSet::Parts);
    let (names, below, duplicates, shadowed, skipped) = (number()?, number()?, number()?, number()?, number()?);
    let bad_count = number()?;
    // Each part lies within the bytes, so no sum of them overflows.
    let mut size = || number().and_then(|size| usize::try_from(size).map_err(|_| DamagedSet::Parts));
    let (bad, v4, v6) = (size()?, size()?, size()?);
    let fits = [bad, v4, v6].iter().try_fold(0, |sum: usize, part| sum.checked_add(*part));
    if fits.is_none_or(|sum| sum > rest.len()) || v4 % 4 != 0 || v6 % 16 != 0 {
        return Err(DamagedSet::Parts);
    }
    let parts = Parts::new(bad, v4, v6);
    let bad_lines = BadLines { count: bad_count, first: decode_bad_lines(&bytes[parts.bad.clone()])? };
    let addresses = (v4 / 4 + v6 / 16) as u64;
    let counts = NameCounts { names, below, addresses, duplicates, shadowed, skipped };
    let source = *source;
    Ok(Compiled { set: set(bytes, parts, counts)?, counts, bad_lines, source })
}

fn decode_bad_lines(mut bytes: &[u8]) -> Result<Vec<BadLine>, DamagedSet> {
    let mut lines = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<16>() {
        let (line, len) = (u64_at(head, 0), u64_at(head, 8));
        let len = usize::try_from(len).map_err(|_| DamagedSet::Parts)?;
        let (why, rest) = rest.split_at_checked(len).ok_or(DamagedSet::Parts)?;
        let why = String::from_utf8(why.to_vec()).map_err(|_| DamagedSet::Parts)?;
        lines.push(BadLine { line, why });
        bytes = rest;
    }
    if bytes.is_empty() && lines.len() <= BAD_LINES_KEPT_MAX { Ok(lines) } else { Err(DamagedSet::Parts) }
}

fn u64_at(bytes: &[u8; 16], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

fn set(bytes: Vec<u8>, parts: Parts, counts: NameCounts) -> Result<NameSet, DamagedSet> {
    let len = [counts.below, counts.addresses].iter().try_fold(counts.names, |sum, n| sum.checked_add(*n));
    let names = Fst::new(Tail { from: parts.v6.end, bytes }).map_err(|_| DamagedSet::Parts)?;
    Ok(NameSet { names, v4: parts.v4, v6: parts.v6, len: len.ok_or(DamagedSet::Parts)? })
}

use std::cmp::Ordering;

use fst::raw::Builder;

use crate::facts::Host;

use super::line::{self, Entry};
use super::{BAD_LINES_KEPT_MAX, BadLine, BadLines, Compiled, LIST_ENTRIES_MAX, NameCounts, bytes};

pub(super) fn compile(text: &[u8]) -> Compiled {
    let mut entries = Entries::new();
    let mut bad_lines = BadLines { count: 0, first: Vec::new() };
    let content = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    for (number, line) in (1..).zip(content.split(|byte| *byte == b'\n')) {
        let before = entries.mark();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let read = line::read(line, |entry| entries.add(entry)).and_then(|()| entries.within_bound());
        if let Err(why) = read {
            entries.back_to(before);
            bad_lines.count += 1;
            if bad_lines.first.len() < BAD_LINES_KEPT_MAX {
                bad_lines.first.push(BadLine { line: number, why });
            }
        }
    }
    entries.into_set(bad_lines, *blake3::hash(text).as_bytes())
}

/// The entries of the lines read so far, in their order.
struct Entries {
    /// Reversed names one after the other; those of patterns end with a dot.
    text: Vec<u8>,
    keys: Vec<Key>,
    v4: Vec<[u8; 4]>,
    v6: Vec<[u8; 16]>,
    skipped: u64,
}

/// A reversed name. Its begin is held here too, so that sorting seldom looks elsewhere.
struct Key {
    /// The first 16 bytes in network order, zeros behind a shorter one; no name has a zero.
    begin: u128,
    from: usize,
    len: usize,
}

const BEGIN_BYTES: usize = 16;

#[derive(Clone, Copy)]
struct Mark {
    text: usize,
    keys: usize,
    v4: usize,
    v6: usize,
    skipped: u64,
}

impl Entries {
    fn new() -> Self {
        Self { text: Vec::new(), keys: Vec::new(), v4: Vec::new(), v6: Vec::new(), skipped: 0 }
    }

    fn mark(&self) -> Mark {
        let Self { text, keys, v4, v6, skipped } = self;
        Mark { text: text.len(), keys: keys.len(), v4: v4.len(), v6: v6.len(), skipped: *skipped }
    }

    fn back_to(&mut self, mark: Mark) {
        self.text.truncate(mark.text);
        self.keys.truncate(mark.keys);
        self.v4.truncate(mark.v4);
        self.v6.truncate(mark.v6);
        self.skipped = mark.skipped;
    }

    fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Alone(Host::Name(name)) => self.add_key(name.as_str(), false),
            Entry::Alone(Host::V4(address)) => self.v4.push(address.octets()),
            Entry::Alone(Host::V6(address)) => self.v6.push(address.octets()),
            Entry::Below(name) => self.add_key(name.as_str(), true),
            Entry::Skipped => self.skipped += 1,
        }
    }

    fn add_key(&mut self, name: &str, below: bool) {
        let from = self.text.len();
        self.text.extend(name.bytes().rev());
        if below {
            self.text.push(b'.');
        }
        let key = &self.text[from..];
        let mut begin = [0; BEGIN_BYTES];
        let held = key.len().min(BEGIN_BYTES);
        begin[..held].copy_from_slice(&key[..held]);
        self.keys.push(Key { begin: u128::from_be_bytes(begin), from, len: key.len() });
    }

    fn within_bound(&self) -> Result<(), String> {
        if self.keys.len() + self.v4.len() + self.v6.len() <= LIST_ENTRIES_MAX {
            return Ok(());
        }
        Err(format!("the list has more than {LIST_ENTRIES_MAX} entries; divide it"))
    }

    fn into_set(mut self, bad_lines: BadLines, source: [u8; 32]) -> Compiled {
        let mut counts =
            NameCounts { names: 0, below: 0, addresses: 0, duplicates: 0, shadowed: 0, skipped: self.skipped };
        counts.duplicates += sort_once(&mut self.v4) + sort_once(&mut self.v6);
        counts.addresses = (self.v4.len() + self.v6.len()) as u64;
        let (begin, tail) = bytes::begin(&bad_lines, &self.v4, &self.v6);
        let bytes = self.build(begin, &mut counts);
        bytes::finish(bytes, tail, counts, bad_lines, source)
    }

    /// Appends the automaton of all names.
    fn build(self, begin: Vec<u8>, counts: &mut NameCounts) -> Vec<u8> {
        let Self { text, mut keys, .. } = self;
        keys.sort_unstable_by(|one, other| one.cmp(other, &text));
        let mut builder = Builder::new(begin).expect("memory takes every byte");
        let (mut last, mut pattern): (&[u8], &[u8]) = (&[], b"");
        for key in &keys {
            let key = &text[key.from..key.from + key.len];
            if key == last {
                counts.duplicates += 1;
                continue;
            }
            // A pattern is sorted right before all that it contains, so the last one is enough.
            if !pattern.is_empty() && key.starts_with(pattern) {
                counts.shadowed += 1;
                continue;
            }
            if key.ends_with(b".") {
                pattern = key;
                counts.below += 1;
            } else {
                counts.names += 1;
            }
            builder.add(key).expect("keys are sorted, and memory takes every byte");
            last = key;
        }
        builder.into_inner().expect("memory takes every byte")
    }
}

impl Key {
    fn cmp(&self, other: &Self, text: &[u8]) -> Ordering {
        self.begin.cmp(&other.begin).then_with(|| self.rest(text).cmp(other.rest(text)))
    }

    /// What `begin` does not hold.
    fn rest<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.from + self.len.min(BEGIN_BYTES)..self.from + self.len]
    }
}

/// Sorts and drops what is there twice; returns how many that were.
fn sort_once<T: Ord>(members: &mut Vec<T>) -> u64 {
    let all = members.len();
    members.sort_unstable();
    members.dedup();
    (all - members.len()) as u64
}

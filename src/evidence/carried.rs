use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::parse::{BODY_TYPE_BYTES, BodyType, Coding, Fields, FileName};

use super::record::Exchange;

/// What the body of an answer carries, looked at as it passes: its type by the first 512 bytes and, of executables,
/// scripts and archives, the SHA-256 of all of it. At most 512 bytes are held, and only until as many have come.
///
/// The bytes are those of the content, without chunks. A Content-Encoding is not undone: such a body is `encoded` and has
/// no hash, unless it does not begin as its coding does. Of an answer that is a part (206), the type is told where it
/// begins at the first byte, and the hash where it is all of it. What runs by its name alone, such as JavaScript, is
/// `text` like any other.
#[derive(Debug)]
pub struct Carried {
    coding: Option<Coding>,
    name: Option<FileName>,
    /// It may become whole.
    is_whole: bool,
    seen: Seen,
}

#[derive(Debug)]
enum Seen {
    /// Fewer bytes than tell the type.
    First(Vec<u8>),
    Hashing(BodyType, Box<Sha256>),
    /// Nothing more is to be seen of it.
    Passing(BodyType),
    Hashed(BodyType, [u8; 32]),
}

impl Carried {
    /// Of an answer with this status and these fields to a request for this path. `None` where its body is a part from
    /// which nothing can be told.
    pub fn of(status: u16, answer: &Fields, path: Option<&str>) -> Option<Self> {
        let is_whole = match (status, answer.get("content-range")) {
            (206, Some(range)) => is_all(range)?,
            (206, None) => return None,
            (_, _) => true,
        };
        let (coding, name) = (Coding::of(answer), FileName::of(answer, path));
        Some(Self { coding, name, is_whole, seen: Seen::First(Vec::new()) })
    }

    /// Whether it asks to see what comes next; what it did not ask for need not be shown.
    pub fn looks_on(&self) -> bool {
        matches!(self.seen, Seen::First(_) | Seen::Hashing(..))
    }

    /// More of the body, in the order in which it came, in pieces of any length.
    pub fn pass(&mut self, bytes: &[u8]) {
        match &mut self.seen {
            // The usual case, in which nothing is kept.
            Seen::First(first) if first.is_empty() && bytes.len() >= BODY_TYPE_BYTES => self.seen = self.begin(bytes),
            Seen::First(first) => {
                let missing = BODY_TYPE_BYTES.saturating_sub(first.len());
                let (here, rest) = bytes.split_at(missing.min(bytes.len()));
                first.reserve_exact(missing);
                first.extend_from_slice(here);
                if here.len() == missing {
                    let first = std::mem::take(first);
                    self.seen = self.begin(&first);
                    self.pass(rest);
                }
            }
            Seen::Hashing(_, hash) => hash.update(bytes),
            Seen::Passing(_) | Seen::Hashed(..) => {}
        }
    }

    /// It has come to its end.
    pub fn end(&mut self) {
        if let Seen::First(first) = &mut self.seen {
            let first = std::mem::take(first);
            self.seen = self.begin(&first);
        }
        if let Seen::Hashing(kind, hash) = &mut self.seen {
            self.seen = Seen::Hashed(*kind, std::mem::take(&mut **hash).finalize().into());
        }
    }

    /// Puts on record what was seen of it.
    pub fn describe(&self, record: &mut Exchange) {
        let kind = match &self.seen {
            Seen::First(first) => self.kind(first),
            Seen::Hashing(kind, _) | Seen::Passing(kind) | Seen::Hashed(kind, _) => Some(*kind),
        };
        let Some(kind) = kind else { return };
        record.body_type = Some(kind.as_str());
        let is_carrier = kind.carrier().is_some();
        if is_carrier {
            record.body_sha256 = match &self.seen {
                Seen::Hashed(_, hash) => Some(HEXLOWER.encode(hash)),
                Seen::First(_) | Seen::Hashing(..) | Seen::Passing(_) => None,
            };
            record.body_cut = record.body_sha256.is_none().then_some(true);
        }
        let is_told = |name: &&FileName| is_carrier || name.is_given || name.deceives();
        record.file_name = self.name.as_ref().filter(is_told).map(|name| name.as_str().into());
    }

    fn kind(&self, first: &[u8]) -> Option<BodyType> {
        match self.coding {
            Some(coding) => BodyType::of_coded(first, coding),
            None => BodyType::of(first),
        }
    }

    /// The first bytes tell what it is.
    fn begin(&self, first: &[u8]) -> Seen {
        match self.kind(first) {
            None => Seen::First(Vec::new()),
            Some(kind) if kind.carrier().is_some() && self.is_whole => {
                Seen::Hashing(kind, Box::new(Sha256::new_with_prefix(first)))
            }
            Some(kind) => Seen::Passing(kind),
        }
    }
}

/// Whether a Content-Range that begins at the first byte has the last one too (RFC 9110 section 14.4); `None` of one
/// that begins elsewhere, or cannot be read.
fn is_all(range: &[u8]) -> Option<bool> {
    let (from_to, length) = str::from_utf8(range).ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let last = from_to.strip_prefix("0-")?.parse::<u64>().ok()?;
    Some(length.parse::<u64>().is_ok_and(|length| length.checked_sub(1) == Some(last)))
}

#[cfg(test)]
mod tests;

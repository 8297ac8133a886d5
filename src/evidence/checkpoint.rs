use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::facts::Timestamp;

use super::record::SCHEMA;
use super::text::format_time;

/// The word of a gate for one segment of its journal, which has ended: signed, and naming the word for the segment before.
///
/// It is one line of JSON. The signature (Ed25519, RFC 8032) is the last member, in hexadecimal, over the bytes of the line up
/// to, not including, `,"signature":`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    v: u32,
    pub kind: CheckpointKind,
    /// Which gate keeps the journal.
    pub gate: String,
    /// The name of the segment's file, without what it is packed by.
    pub segment: String,
    pub first_seq: u64,
    pub last_seq: u64,
    /// The length of its lines, unpacked.
    pub bytes: u64,
    /// The whole running hash before its first line and after its last, in hexadecimal.
    pub before: String,
    pub after: String,
    /// BLAKE3 of the line of the checkpoint before it, in hexadecimal; 64 zeros for the first.
    pub previous: String,
    /// When it was signed: UTC, RFC 3339.
    pub time: String,
    /// The first 16 hexadecimal digits of the BLAKE3 hash of the public key.
    pub key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointKind {
    Checkpoint,
}

/// What a checkpoint is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSegment {
    pub gate: String,
    pub segment: String,
    pub first_seq: u64,
    pub last_seq: u64,
    pub bytes: u64,
    pub before: String,
    pub after: String,
}

/// The public half of a gate's key.
#[derive(Clone, PartialEq, Eq)]
pub struct CheckpointKey([u8; 32]);

/// Why a line is no checkpoint by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCheckpoint {
    #[error("it is no checkpoint")]
    NotOne,
    #[error("it was signed with another key")]
    OtherKey,
    #[error("its signature does not fit its text: it was altered")]
    Altered,
}

/// What no line is longer than, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 4096;
/// What the first checkpoint names before it.
pub const NO_CHECKPOINT: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const SIGNATURE: &str = ",\"signature\":\"";

impl CheckpointKey {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn of(pair: &Ed25519KeyPair) -> Option<Self> {
        pair.public_key().as_ref().try_into().ok().map(Self)
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What checkpoints name it by.
    pub fn id(&self) -> String {
        blake3::hash(&self.0).to_hex().chars().take(16).collect()
    }

    /// Reads 64 hexadecimal digits, or the PEM of a SubjectPublicKeyInfo (RFC 8410).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let hex = (text.len() == 64).then(|| data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()).flatten();
        let bytes = hex.or_else(|| {
            let body = text.strip_prefix(PEM_BEGINS)?.strip_suffix(PEM_ENDS)?;
            let der = data_encoding::BASE64.decode(body.split_whitespace().collect::<String>().as_bytes()).ok()?;
            Some(der.strip_prefix(SPKI)?.to_vec())
        })?;
        bytes.try_into().ok().map(Self)
    }

    /// As PEM of a SubjectPublicKeyInfo, which openssl reads.
    pub fn to_pem(&self) -> String {
        let der = [SPKI, &self.0].concat();
        format!("{PEM_BEGINS}\n{}\n{PEM_ENDS}\n", data_encoding::BASE64.encode(&der))
    }
}

const PEM_BEGINS: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_ENDS: &str = "-----END PUBLIC KEY-----";
/// What stands before the 32 bytes of an Ed25519 key (RFC 8410 §4, §10.1).
const SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl fmt::Display for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Checkpoint {
    /// The signed line for a segment, with its line end.
    pub fn sign(of: SealedSegment, previous: &str, pair: &Ed25519KeyPair, now: Timestamp) -> Option<String> {
        let key = CheckpointKey::of(pair)?.id();
        let SealedSegment { gate, segment, first_seq, last_seq, bytes, before, after } = of;
        let checkpoint = Self {
            v: SCHEMA,
            kind: CheckpointKind::Checkpoint,
            gate,
            segment,
            first_seq,
            last_seq,
            bytes,
            before,
            after,
            previous: previous.to_owned(),
            time: format_time(now),
            key,
        };
        let mut text = serde_json::to_string(&checkpoint).ok()?;
        text.pop();
        let signature = data_encoding::HEXLOWER.encode(pair.sign(text.as_bytes()).as_ref());
        Some(format!("{text}{SIGNATURE}{signature}\"}}\n"))
    }

    /// Reads a line, with or without its end, and checks that it was signed with a key.
    ///
    /// # Errors
    /// It was not.
    pub fn read(line: &str, key: &CheckpointKey) -> Result<Self, NoCheckpoint> {
        let checkpoint = Self::peek(line)?;
        let (text, signature) = line.trim_end().rsplit_once(SIGNATURE).ok_or(NoCheckpoint::NotOne)?;
        let signature =
            signature.strip_suffix("\"}").and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok());
        let signature = signature.ok_or(NoCheckpoint::NotOne)?;
        if checkpoint.key != key.id() {
            return Err(NoCheckpoint::OtherKey);
        }
        let public = UnparsedPublicKey::new(&ED25519, key.0);
        public.verify(text.as_bytes(), &signature).map_err(|_| NoCheckpoint::Altered)?;
        Ok(checkpoint)
    }

    /// What a line says, whoever signed it.
    ///
    /// # Errors
    /// It is no checkpoint.
    pub fn peek(line: &str) -> Result<Self, NoCheckpoint> {
        if line.len() > CHECKPOINT_BYTES_MAX {
            return Err(NoCheckpoint::NotOne);
        }
        let checkpoint: Self = serde_json::from_str(line).map_err(|_| NoCheckpoint::NotOne)?;
        if checkpoint.v == SCHEMA { Ok(checkpoint) } else { Err(NoCheckpoint::NotOne) }
    }

    /// What the next one names this line by.
    pub fn hash(line: &str) -> String {
        blake3::hash(line.trim_end().as_bytes()).to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn segment() -> SealedSegment {
        SealedSegment {
            gate: "g".to_owned(),
            segment: "00000000000001-20261125T010000Z.jsonl".to_owned(),
            first_seq: 1,
            last_seq: 9,
            bytes: 4_000,
            before: NO_CHECKPOINT.to_owned(),
            after: "ab".repeat(32),
        }
    }

    #[test]
    fn what_was_signed_is_read_back_by_its_key_alone() {
        let line = Checkpoint::sign(segment(), NO_CHECKPOINT, &pair(), Timestamp(1_795_568_400_000_000)).unwrap();
        let key = CheckpointKey::of(&pair()).unwrap();
        let read = Checkpoint::read(&line, &key).unwrap();
        assert_eq!((read.first_seq, read.last_seq, read.time.as_str()), (1, 9, "2026-11-25T01:00:00.000000Z"));
        assert_eq!(Checkpoint::read(line.trim_end(), &key).unwrap(), read);
        let other = CheckpointKey::of(&Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap()).unwrap();
        assert_eq!(Checkpoint::read(&line, &other), Err(NoCheckpoint::OtherKey));
        assert_eq!(
            Checkpoint::read(&line.replace("\"last_seq\":9", "\"last_seq\":8"), &key),
            Err(NoCheckpoint::Altered)
        );
        let renamed = line.replace(&key.id(), &other.id());
        assert_eq!(Checkpoint::read(&renamed, &other), Err(NoCheckpoint::Altered));
        for bad in ["", "{}", "{\"v\":1}", &line[..line.len() / 2], &line.replace("\"v\":1", "\"v\":2")] {
            assert_eq!(Checkpoint::read(bad, &key), Err(NoCheckpoint::NotOne), "{bad}");
        }
    }

    #[test]
    fn no_byte_of_a_line_can_be_another() {
        let line = Checkpoint::sign(segment(), NO_CHECKPOINT, &pair(), Timestamp(0)).unwrap();
        let key = CheckpointKey::of(&pair()).unwrap();
        for at in 0..line.trim_end().len() {
            let mut altered = line.trim_end().as_bytes().to_vec();
            altered[at] ^= 1;
            let altered = String::from_utf8(altered).unwrap();
            assert!(Checkpoint::read(&altered, &key).is_err(), "{at}");
        }
    }

    #[test]
    fn a_key_is_read_in_both_its_forms() {
        let key = CheckpointKey::of(&pair()).unwrap();
        assert_eq!(CheckpointKey::parse(&key.to_string()), Some(key.clone()));
        assert_eq!(CheckpointKey::parse(&key.to_pem()), Some(key.clone()));
        assert_eq!(key.id().len(), 16);
        for bad in ["", "zz", &key.to_string()[1..], &key.to_pem().replace("MCow", "MCox"), PEM_BEGINS] {
            assert_eq!(CheckpointKey::parse(bad), None, "{bad}");
        }
    }
}

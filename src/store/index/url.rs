//! What a sweep for URLs and bodies finds exchanges by: marks of them, each with the exchanges that it is of.

use crate::evidence::RecordLine;

/// Bits of a mark: numbers below this take six bytes of SQLite's.
const MARK_BITS: u32 = 47;

/// The mark of a host and a path, the path as it is on record. Of two that differ it is the same once in 140 million million.
pub fn url_mark(host: &str, path: &str) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(host.as_bytes()).update(b"\0").update(path.as_bytes());
    mark_of(&hasher.finalize())
}

/// The mark of a query that is on record as it was.
pub fn query_mark(query: &str) -> i64 {
    mark_of(&blake3::hash(query.as_bytes()))
}

/// The mark of a query of which the keyed hash is on record; `None` for what is no hash.
pub fn query_hash_mark(hash: &str) -> Option<i64> {
    let number = u64::from_str_radix(hash, 16).ok().filter(|_| hash.len() == 16)?;
    i64::try_from(number >> (64 - MARK_BITS)).ok()
}

fn mark_of(hash: &blake3::Hash) -> i64 {
    let first = hash.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    (first >> (64 - MARK_BITS)) as i64
}

/// The marks of a record that opens an exchange whose path was seen, and of its query.
pub(super) fn marks(record: &RecordLine<'_>) -> Option<(i64, Option<i64>)> {
    let (host, path) = (record.host.as_deref()?, record.path.as_deref()?);
    let query = record.query.as_deref().map(query_mark);
    Some((url_mark(host, path), query.or_else(|| query_hash_mark(record.query_hash.as_deref()?))))
}

/// A SHA-256 in hexadecimal, as bytes.
pub fn body_hash(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let is_one = hex.len() == 64 && data_encoding::HEXLOWER_PERMISSIVE.decode_mut(hex.as_bytes(), &mut hash).is_ok();
    is_one.then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_the_same_for_the_same_and_fit_into_six_bytes() {
        let one = url_mark("a.example", "/x");
        assert_eq!(one, url_mark("a.example", "/x"));
        let others = [url_mark("a.example", "/y"), url_mark("b.example", "/x"), url_mark("a.example/", "x")];
        assert!(others.iter().all(|other| *other != one));
        for mark in others.into_iter().chain([one, query_mark("q=1")]) {
            assert!((0..1 << MARK_BITS).contains(&mark));
        }
        assert_eq!(query_hash_mark("ffffffffffffffff"), Some((1 << MARK_BITS) - 1));
        assert_eq!([query_hash_mark("ff"), query_hash_mark("zzzzzzzzzzzzzzzz"), query_hash_mark("")], [None; 3]);
    }

    #[test]
    fn a_body_is_known_by_its_whole_hash_alone() {
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(body_hash(hash), body_hash(&hash.to_uppercase()));
        assert_eq!(body_hash(hash).map(|hash| hash[..2].to_vec()), Some(vec![0xe3, 0xb0]));
        assert_eq!([body_hash(&hash[..62]), body_hash(&hash.replace('e', "x"))], [None; 2]);
    }
}

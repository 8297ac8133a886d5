//! What must hold for any bytes at all. Fuzz targets call this and so do tests; the gate does not.

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;
use crate::facts::{ExchangeId, Timestamp};
use crate::parse::Fields;

/// Any bytes as a line of a journal, as what stands before a right hash, as what clients and
/// origins say of themselves, and as the body of an answer. Panics when one of these does not hold.
///
/// A verifier takes a line only if the chain would have made that line. A record is one line of
/// JSON whatever text it holds: bounded, without a character that moves a cursor or cannot be seen,
/// and the text is read back from it, by any reader of JSON and by our own. No bytes make ours panic. What another process hands in
/// is a record of exchanges on one line of the chain, or is not taken. Of a body the
/// same is seen in whatever pieces it comes, and its hash is that of its bytes.
pub fn journal_line(bytes: &[u8]) {
    let (number, rest) = bytes.split_first_chunk().unwrap_or((&[0; 8], bytes));
    let later = Chain { seq: u64::from_le_bytes(*number), hash: [7; 32] };
    for (chain, bytes) in [(Chain::start(), bytes), (later, rest)] {
        verified(chain, bytes);
        verified(chain, &hashed(chain, bytes.to_vec()));
        let begin = format!("{{\"v\":{SCHEMA},\"seq\":").into_bytes();
        verified(chain, &hashed(chain, [&begin, bytes].concat()));
    }
    let _ = read_record(bytes);
    handed(bytes);
    record(bytes);
    body(bytes);
}

fn handed(bytes: &[u8]) {
    let now = Timestamp(1_795_510_800_123_456);
    let begun = b"\"time\":\"2026-11-24T07:00:00.123456Z\",\"kind\":\"exchange\",";
    for members in [bytes.to_vec(), [begun, bytes].concat()] {
        if handed_record(&members, now).is_err() {
            continue;
        }
        let mut line = Vec::new();
        Chain::start().append(&[b"\"gate\":\"g\",", &members[..]].concat(), &mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        assert_eq!(Verifier::new(Chain::start()).line(&line), Ok(()));
        assert_eq!(read_record(&line).map(|read| read.seq).ok(), Some(1));
        let whole: Value = serde_json::from_slice(&line).expect("it is one object");
        assert_eq!((&whole["gate"], &whole["seq"], &whole["v"]), (&"g".into(), &1.into(), &SCHEMA.into()));
        assert!(!line.iter().any(|byte| byte.is_ascii_control()));
    }
}

fn body(bytes: &[u8]) {
    let in_pieces_of = |piece: usize| {
        let mut carried = Carried::of(200, &Fields::default(), Some("/a.pdf.exe")).expect("it is no part");
        bytes.chunks(piece).for_each(|piece| carried.pass(piece));
        carried.end();
        let mut record = Exchange::new(Event::Close, ExchangeId(1));
        carried.describe(&mut record);
        assert!(!carried.looks_on() || bytes.is_empty());
        (record.body_type, record.body_sha256, record.body_cut, record.file_name)
    };
    let whole = in_pieces_of(bytes.len().max(1));
    assert_eq!((whole.0.is_none(), whole.2), (bytes.is_empty(), None));
    if let Some(hash) = &whole.1 {
        assert_eq!(*hash, HEXLOWER.encode(&Sha256::digest(bytes)));
    }
    for piece in [1, 7, 511, 512] {
        assert_eq!(in_pieces_of(piece), whole, "in pieces of {piece}");
    }
}

/// The line that these bytes would be if they were a record's, as somebody writes it who knows how
/// the chain is made.
fn hashed(chain: Chain, mut line: Vec<u8>) -> Vec<u8> {
    let running = blake3::Hasher::new().update(&chain.hash).update(&line).finalize();
    line.extend_from_slice(format!(",\"h\":\"{}\"}}", &running.to_hex()[..16]).as_bytes());
    line
}

fn verified(chain: Chain, line: &[u8]) {
    let mut verifier = Verifier::new(chain);
    if verifier.line(line).is_err() {
        assert_eq!(verifier.chain(), chain, "a refused line moves nothing");
        return;
    }
    let shown = line.escape_ascii();
    let begin = format!("{{\"v\":{SCHEMA},\"seq\":{},", chain.seq + 1);
    let members = line.strip_prefix(begin.as_bytes()).unwrap_or_else(|| panic!("no {begin} in {shown}"));
    let members = &members[..members.len() - ",\"h\":\"0123456789abcdef\"}".len()];
    let (mut again, mut made) = (chain, Vec::new());
    again.append(members, &mut made);
    assert_eq!((&made[..made.len() - 1], verifier.chain()), (line, again), "{shown}");
}

/// Text of a record: at most 1,024 bytes, and a note of the whole length where it was cut.
const TEXT_BYTES_MAX: usize = 1024 + 40;

fn record(bytes: &[u8]) {
    let mut pieces = bytes.split(|byte| *byte == b'|');
    let mut text = || pieces.next().unwrap_or_default();
    let (agent, host, path, method) = (text(), text(), text(), text());
    let id = ExchangeId(bytes.len() as u64);
    let target = Target {
        scheme: "http",
        host: Text::new(host),
        port: 80,
        path: Some(Text::new(path)),
        query_bytes: Some(bytes.len()),
        query_hash: Some(query_hash(&[0; 32], &String::from_utf8_lossy(bytes))),
        query: Some(Text::new(text())),
    };
    let exchange = Exchange {
        user: Some(Text::new(text())),
        user_agent: Some(Text::new(agent)),
        method: Some(Text::new(method)),
        target: Some(target),
        referer_host: Some(Text::new(text())),
        detail: Some(Text::new(text())),
        sni: Some(Text::new(text())),
        content_type: Some(Text::new(text())),
        file_name: Some(Text::new(text())),
        alpn: pieces.take(8).map(Text::new).collect(),
        ..Exchange::new(Event::Refused, id)
    };
    let time = Timestamp(bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(257).wrapping_add((*byte).into())));
    let admin = Record::Admin(Admin { action: "test", detail: Some(Text::new(bytes)) });
    let line = on_one_line(&admin, time);
    read_back(&line["detail"], bytes);
    let line = on_one_line(&Record::Exchange(Box::new(exchange)), time);
    for (name, bytes) in [("user_agent", agent), ("host", host), ("path", path), ("method", method)] {
        read_back(&line[name], bytes);
    }
}

/// Appends a record to a chain and returns what a reader of JSON sees in its line.
fn on_one_line(record: &Record, time: Timestamp) -> Value {
    let (mut chain, mut line) = (Chain::start(), Vec::new());
    chain.append(&record.encode(time), &mut line);
    assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1), "a record is one line");
    line.pop();
    verified(Chain::start(), &line);
    altered(&line, time);
    read_by_us(&line);
    let text = str::from_utf8(&line).expect("a line is utf-8");
    assert!(!text.contains(|c| c < ' ' || is_unseen(c)), "{}", line.escape_ascii());
    // No character takes more than six bytes for each of its own.
    assert!(line.len() < 1024 + 20 * 6 * TEXT_BYTES_MAX);
    let value: Value = serde_json::from_str(text).expect("a line is json");
    assert!(value["v"] == SCHEMA && value["seq"] == 1 && value["kind"].is_string());
    assert_eq!(value["time"].as_str().map(str::len), Some("2026-01-01T00:00:00.000000Z".len()), "{}", value["time"]);
    value
}

/// Our own reader sees what any reader of JSON sees.
fn read_by_us(line: &[u8]) {
    let value: Value = serde_json::from_slice(line).expect("a line is json");
    let read = read_record(line).expect("a record is read back");
    assert_eq!((read.seq, read.kind == Kind::Exchange), (1, value["kind"] == "exchange"));
    assert_eq!(Some(format_time(read.time).as_str()), value["time"].as_str());
    for (name, text) in [
        ("user", &read.user),
        ("user_agent", &read.user_agent),
        ("method", &read.method),
        ("host", &read.host),
        ("path", &read.path),
        ("query", &read.query),
        ("sni", &read.sni),
        ("file_name", &read.file_name),
    ] {
        assert_eq!(text.as_deref(), value[name].as_str(), "{name}");
    }
}

/// One byte changed, and the line is refused.
fn altered(line: &[u8], time: Timestamp) {
    let mut line = line.to_vec();
    let at = usize::try_from(time.0 % line.len() as u64).unwrap_or_default();
    line[at] ^= 1;
    assert!(Verifier::new(Chain::start()).line(&line).is_err(), "altered at {at}");
}

fn read_back(value: &Value, bytes: &[u8]) {
    let found = value.as_str().expect("text is a string");
    assert!(found.len() <= TEXT_BYTES_MAX, "{}", found.len());
    let whole = match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    if whole.len() <= 1024 {
        assert_eq!(found, whole);
    } else {
        let kept = found.rsplit_once('…').map_or(found, |(kept, _)| kept);
        assert!(!kept.is_empty() && whole.starts_with(kept), "{kept:?}");
        assert!(found.ends_with(&format!("…[{} bytes]", bytes.len())), "what was cut is told");
    }
}

/// Controls, separators of lines, the bidirectional controls of UAX #9, and every code point that
/// Unicode has marked `Default_Ignorable_Code_Point`: what nobody sees.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// Every seed of the fuzz target, so that what a fuzzer once found is tried without one.
    #[test]
    fn the_property_holds_for_every_seed() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/journal_line");
        let seeds: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!seeds.is_empty());
        for seed in seeds {
            journal_line(&fs::read(seed).unwrap());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_one_safe_line(pieces in vec(any::<char>(), 0..60)) {
            journal_line(pieces.into_iter().collect::<String>().as_bytes());
        }

        #[test]
        fn any_bytes_are_one_safe_line(bytes in vec(any::<u8>(), 0..3000)) {
            journal_line(&bytes);
        }

        #[test]
        fn lines_of_telling_pieces(pieces in vec(select(vec![
            "{\"v\":1,\"seq\":", "1", "+1", "01", "0", "2", "18446744073709551615", ",", " ", "\"kind\":\"admin\"",
            ",\"h\":\"", "#!/bin/sh", "0123456789abcdef", "\"}", "\n", "\u{1b}[2J", "\u{2028}", "\u{202e}",
        ]), 0..10)) {
            journal_line(pieces.concat().as_bytes());
        }
    }
}

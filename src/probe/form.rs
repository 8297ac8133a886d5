//! How a question is dressed, so that whatever judges what passes by its looks sees what malware would look like; and
//! the same of answers. Nothing here opens a socket.

use std::net::SocketAddr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};

use super::question::{ANSWER_BYTES, Key, QUESTION_BYTES, Question};

/// The dress of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A protocol of its own: the bytes of the question as they are.
    Own,
    /// A request of HTTP/1.1.
    Http,
    /// A question for a TXT record (RFC 1035); over TCP with its length before it.
    Dns,
    /// The same in a request of HTTP (RFC 8484).
    Doh,
    /// The first packet of a version of QUIC that nobody speaks, which is answered by those that are spoken (RFC 8999
    /// §6).
    Quic,
}

/// What a question looks like at most; a responder reads no further.
pub(super) const ASKED_BYTES_MAX: usize = 2048;
/// An own datagram is longer than its answer.
const OWN_DATAGRAM_BYTES: usize = 64;
/// A first packet of QUIC has this length at least (RFC 9000 §14.1).
const QUIC_BYTES: usize = 1200;
const QUIC_VERSION: [u8; 4] = [0x1a, 0x2a, 0x3a, 0x4a];
const QUIC_ID_BYTES: usize = 20;
/// Where the question stands in it: behind a byte of flags, the version, and both identifiers with their lengths.
const QUIC_QUESTION_AT: usize = 5 + 2 * (1 + QUIC_ID_BYTES);
const DNS_HEADER_BYTES: usize = 12;
const DNS_ZONE: &[u8] = b"\x05probe\x07sekisho\x07example\0";
const TXT: [u8; 4] = [0, 16, 0, 1];
/// Behind the question, so that the answer is no longer than it (RFC 7830).
const DNS_PADDING_BYTES: u16 = 128;
const PATH: &str = "/sekisho/";
const DOH_PATH: &str = "/dns-query?dns=";

impl Form {
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Own => "own",
            Form::Http => "http",
            Form::Dns => "dns",
            Form::Doh => "doh",
            Form::Quic => "quic",
        }
    }

    /// What is sent on a stream; `authority` stands in HTTP's Host.
    pub(super) fn on_stream(self, question: &Question, key: &Key, authority: &str) -> Vec<u8> {
        match self {
            Form::Own | Form::Quic => question.bytes(key).to_vec(),
            Form::Http => http(&format!("{PATH}{}", HEXLOWER.encode(&question.bytes(key))), "*/*", authority),
            Form::Dns => with_length(dns(question, key)),
            Form::Doh => {
                let path = format!("{DOH_PATH}{}", BASE64URL_NOPAD.encode(&dns(question, key)));
                http(&path, "application/dns-message", authority)
            }
        }
    }

    /// What is sent as a datagram.
    pub(super) fn as_datagram(self, question: &Question, key: &Key) -> Vec<u8> {
        match self {
            Form::Own | Form::Http | Form::Doh => {
                let mut bytes = question.bytes(key).to_vec();
                bytes.resize(OWN_DATAGRAM_BYTES, 0);
                bytes
            }
            Form::Dns => dns(question, key),
            Form::Quic => quic(question, key),
        }
    }
}

/// Where the responder saw the question come from, if its answer is in what came back, in whatever dress.
pub(super) fn proved(question: &Question, came: &[u8], key: &Key) -> Option<SocketAddr> {
    question.proved(came, key).or_else(|| question.proved_in_text(came, key))
}

/// A request for a target, which for a proxy is a whole URL.
pub(super) fn http(target: &str, accept: &str, authority: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {authority}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n").into_bytes()
}

/// The path of a request over a proxy.
pub(super) fn http_path(question: &Question, key: &Key) -> String {
    format!("{PATH}{}", HEXLOWER.encode(&question.bytes(key)))
}

fn with_length(message: Vec<u8>) -> Vec<u8> {
    let mut bytes = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    bytes.extend(message);
    bytes
}

fn dns(question: &Question, key: &Key) -> Vec<u8> {
    let asked = question.bytes(key);
    let digits = HEXLOWER.encode(&asked);
    // Recursion desired; one question, one additional record.
    let mut bytes = vec![asked[24], asked[25], 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in digits.as_bytes().chunks(QUESTION_BYTES) {
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend(label);
    }
    bytes.extend(DNS_ZONE);
    bytes.extend(TXT);
    // The root, OPT, 1232 bytes are taken, no flags, and one option: padding (12).
    bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
    bytes.extend((DNS_PADDING_BYTES + 4).to_be_bytes());
    bytes.extend([0, 12]);
    bytes.extend(DNS_PADDING_BYTES.to_be_bytes());
    bytes.resize(bytes.len() + usize::from(DNS_PADDING_BYTES), 0);
    bytes
}

fn quic(question: &Question, key: &Key) -> Vec<u8> {
    let asked = question.bytes(key);
    let mut bytes = vec![0xc0];
    bytes.extend(QUIC_VERSION);
    for id in [&asked[8..28], &asked[20..40]] {
        bytes.push(QUIC_ID_BYTES as u8);
        bytes.extend(id);
    }
    bytes.extend(asked);
    bytes.resize(QUIC_BYTES, 0);
    bytes
}

/// What a responder makes of what came: a question in a dress, and its answer in the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) form: Form,
    pub(super) question: Question,
    pub(super) answer: Vec<u8>,
}

/// What came on a stream so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Heard(Heard),
    /// It may become a question.
    Part,
    /// Nothing of ours, whatever comes behind it.
    Stranger,
}

pub(super) fn read_stream(bytes: &[u8], from: SocketAddr, key: &Key) -> Read {
    let whole = |heard: Option<Heard>| heard.map_or(Read::Stranger, Read::Heard);
    match bytes {
        [] => Read::Part,
        [b's', ..] if bytes.len() < QUESTION_BYTES => Read::Part,
        [b's', ..] => whole(own(bytes, from, key)),
        [b'G', ..] => match bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            None => Read::Part,
            Some(end) => whole(bytes.get(..end).and_then(|head| read_http(head, from, key))),
        },
        [_] => Read::Part,
        [high, low, message @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if !(DNS_HEADER_BYTES..=ASKED_BYTES_MAX - 2).contains(&length) {
                return Read::Stranger;
            }
            let Some(message) = message.get(..length) else { return Read::Part };
            whole(read_dns(message, from, key).map(|(question, answer)| Heard {
                form: Form::Dns,
                question,
                answer: with_length(answer),
            }))
        }
    }
}

/// A datagram with a question, and an answer that is no longer than it.
pub(super) fn read_datagram(bytes: &[u8], from: SocketAddr, key: &Key) -> Option<Heard> {
    let dns = || read_dns(bytes, from, key).map(|(question, answer)| Heard { form: Form::Dns, question, answer });
    let heard = own(bytes, from, key).or_else(|| read_quic(bytes, from, key)).or_else(dns)?;
    (heard.answer.len() <= bytes.len()).then_some(heard)
}

fn own(bytes: &[u8], from: SocketAddr, key: &Key) -> Option<Heard> {
    let question = Question::read(bytes, key)?;
    Some(Heard { form: Form::Own, question, answer: question.answer(from, key).to_vec() })
}

fn read_http(head: &[u8], from: SocketAddr, key: &Key) -> Option<Heard> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let target = std::str::from_utf8(line).ok()?.strip_prefix("GET ")?.split(' ').next()?;
    let (form, question, kind, body) = if let Some(digits) = target.strip_prefix(PATH) {
        let question = Question::read(&HEXLOWER.decode(digits.as_bytes()).ok()?, key)?;
        let body = HEXLOWER.encode(&question.answer(from, key)).into_bytes();
        (Form::Http, question, "text/plain", body)
    } else {
        let message = BASE64URL_NOPAD.decode(target.strip_prefix(DOH_PATH)?.as_bytes()).ok()?;
        let (question, answer) = read_dns(&message, from, key)?;
        (Form::Doh, question, "application/dns-message", answer)
    };
    let length = body.len();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n"
    )
    .into_bytes();
    answer.extend(body);
    Some(Heard { form, question, answer })
}

/// A question of DNS with one of ours as its name, and its answer: a TXT record.
fn read_dns(message: &[u8], from: SocketAddr, key: &Key) -> Option<(Question, Vec<u8>)> {
    let (header, rest) = message.split_first_chunk::<DNS_HEADER_BYTES>()?;
    // A query, of one question.
    if header[2] & 0xf8 != 0 || header[4..6] != [0, 1] {
        return None;
    }
    let mut digits = Vec::with_capacity(2 * QUESTION_BYTES);
    let mut name = rest;
    while digits.len() < 2 * QUESTION_BYTES {
        let (length, behind) = name.split_first()?;
        let label = behind.get(..usize::from(*length)).filter(|label| (1..=63).contains(&label.len()))?;
        digits.extend(label.iter().map(u8::to_ascii_lowercase));
        name = behind.get(label.len()..)?;
    }
    // A resolver on the way may have changed the case of letters.
    let behind = name
        .get(..DNS_ZONE.len())
        .filter(|zone| zone.eq_ignore_ascii_case(DNS_ZONE))
        .and(name.get(DNS_ZONE.len()..))?;
    behind.starts_with(&TXT).then_some(())?;
    let question = Question::read(&HEXLOWER.decode(&digits).ok()?, key)?;

    let text = HEXLOWER.encode(&question.answer(from, key));
    let asked = rest.get(..rest.len() - behind.len() + TXT.len())?;
    let mut answer = header.to_vec();
    // An answer, of who is asked for it; one question, one record, nothing else.
    answer[2] = 0x84 | (header[2] & 1);
    answer[3] = 0;
    answer[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
    answer.extend(asked);
    answer.extend([0xc0, 12]);
    answer.extend(TXT);
    answer.extend([0; 4]);
    answer.extend(u16::try_from(text.len() + 1).unwrap_or_default().to_be_bytes());
    answer.push(u8::try_from(text.len()).unwrap_or_default());
    answer.extend(text.as_bytes());
    Some((question, answer))
}

/// A first packet, and the versions that are spoken here: which are none, but the bytes of the answer.
fn read_quic(bytes: &[u8], from: SocketAddr, key: &Key) -> Option<Heard> {
    let id = QUIC_ID_BYTES as u8;
    let head = bytes.get(..QUIC_QUESTION_AT).filter(|_| bytes.len() >= QUIC_BYTES)?;
    let is_ours = head[0] & 0xc0 == 0xc0 && head[1..5] == QUIC_VERSION && (head[5], head[26]) == (id, id);
    let question = Question::read(bytes.get(QUIC_QUESTION_AT..)?, key).filter(|_| is_ours)?;
    let mut answer = vec![0xc0, 0, 0, 0, 0];
    answer.extend(&head[26..47]);
    answer.extend(&head[5..26]);
    answer.extend(question.answer(from, key));
    // Versions are of four bytes each.
    answer.resize(QUIC_QUESTION_AT + ANSWER_BYTES.next_multiple_of(4), 0);
    Some(Heard { form: Form::Quic, question, answer })
}

const _: () = assert!(ANSWER_BYTES <= OWN_DATAGRAM_BYTES);

#[cfg(test)]
mod tests;

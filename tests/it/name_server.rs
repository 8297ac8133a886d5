//! A DNS server with answers of the test's own, which remembers what it was asked.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

/// A name server on loopback; it lives as long as the test process.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What a name server says of a name.
pub(crate) enum Reply {
    /// Its addresses; without any, that it does not exist.
    Addresses(Vec<IpAddr>),
    /// That it is another's alias, of whose addresses nothing is said.
    Alias(&'static str),
}

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const HEADER_BYTES: usize = 12;

impl NameServer {
    /// A server whose every name below `.test` has this address.
    pub(crate) fn pointing_to(address: IpAddr) -> Self {
        Self::answering(move |name| if name.ends_with(".test") { vec![address] } else { Vec::new() })
    }

    /// A server that answers with these addresses, none of which may be cached. No address means that
    /// the name does not exist.
    pub(crate) fn answering(addresses: impl Fn(&str) -> Vec<IpAddr> + Send + 'static) -> Self {
        Self::replying(move |name| Reply::Addresses(addresses(name)))
    }

    /// The same, with aliases.
    pub(crate) fn replying(reply: impl Fn(&str) -> Reply + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            let mut query = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let Some((name, kind, question)) = read_question(&query[..length]) else { continue };
                log.lock().unwrap().push(name.clone());
                let answer = write_answer(&query, question, kind, &reply(&name));
                let _ = socket.send_to(&answer, from);
            }
        });
        Self { address, asked }
    }

    /// The names asked for, lower case and without the last dot, once each and in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut names = self.asked.lock().unwrap().clone();
        names.sort();
        names.dedup();
        names
    }

    /// The config of a gate that asks this server alone.
    pub(crate) fn config(&self) -> String {
        format!("[dns]\nservers = [\"{}\"]\n", self.address)
    }
}

/// The name asked for, its type, and the bytes of the question.
fn read_question(query: &[u8]) -> Option<(String, u16, &[u8])> {
    let mut at = HEADER_BYTES;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    Some((labels.join("."), kind, query.get(HEADER_BYTES..at + 4)?))
}

fn write_answer(query: &[u8], question: &[u8], kind: u16, reply: &Reply) -> Vec<u8> {
    let records: Vec<(u16, Vec<u8>)> = match reply {
        Reply::Alias(name) => vec![(CNAME, write_name(name))],
        Reply::Addresses(addresses) => addresses.iter().map(of_address).filter(|(of, _)| *of == kind).collect(),
    };
    let code = if matches!(reply, Reply::Addresses(addresses) if addresses.is_empty()) { 3 } else { 0 };
    let mut answer =
        vec![query[0], query[1], 0x81, 0x80 | code, 0, 1, 0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0];
    answer.extend_from_slice(question);
    for (kind, bytes) in records {
        answer.extend_from_slice(&[0xc0, 0x0c]);
        answer.extend_from_slice(&kind.to_be_bytes());
        answer.extend_from_slice(&[0, 1, 0, 0, 0, 0]);
        answer.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_be_bytes());
        answer.extend_from_slice(&bytes);
    }
    answer
}

fn of_address(address: &IpAddr) -> (u16, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (A, address.octets().to_vec()),
        IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
    }
}

fn write_name(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
    let mut bytes: Vec<u8> = name.split('.').flat_map(label).collect();
    bytes.push(0);
    bytes
}

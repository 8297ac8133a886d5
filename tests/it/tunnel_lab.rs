//! What the tests of tunnels share: recorded hellos, and a gate whose every `.test` name is one origin.

use std::path::Path;

use crate::gate::Gate;
use crate::name_server::NameServer;
use crate::origin::Origin;
use crate::peer::{Message, Peer};

/// TLS alert 112, `unrecognized_name`, fatal: the one end after which no browser tries again.
pub(crate) const ALERT: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];
/// The JA4 of the recorded hello of curl, which asks for `a.test`.
pub(crate) const CURL: &str = "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6";

/// A recorded ClientHello, one record.
pub(crate) fn hello(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hellos").join(name).with_extension("hex");
    let text = std::fs::read_to_string(path).unwrap();
    let digits = text.trim().as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The same handshake message in records of at most this many bytes each.
pub(crate) fn in_records_of(bytes: usize, hello: &[u8]) -> Vec<u8> {
    let record = |part: &[u8]| [&hello[..3], &u16::try_from(part.len()).unwrap().to_be_bytes(), part].concat();
    hello[5..].chunks(bytes).flat_map(record).collect()
}

pub(crate) struct Lab {
    pub(crate) origin: Origin,
    pub(crate) names: NameServer,
    pub(crate) gate: Gate,
}

impl Lab {
    /// An origin that sends back what it gets, under a rule for `*.test` and its address with these keys.
    pub(crate) fn new(rule: &str) -> Self {
        Self::with(Origin::echo(), rule, "")
    }

    pub(crate) fn with(origin: Origin, rule: &str, config: &str) -> Self {
        let names = NameServer::pointing_to(origin.address.ip());
        let policy = format!("{}{}", origin.rule_for("*.test", rule), origin.rule(rule));
        let gate = Gate::configured(&policy, &format!("{}{config}", names.config()));
        Self { origin, names, gate }
    }

    /// Asks for a tunnel to this host on the origin's port.
    pub(crate) fn ask(&self, host: &str) -> (Peer, Message) {
        connect(&self.gate, &format!("{host}:{}", self.origin.address.port()))
    }

    /// A tunnel that is up.
    pub(crate) fn open(&self, host: &str) -> Peer {
        let (client, answer) = self.ask(host);
        assert_eq!(answer.status(), 200, "{}", answer.head);
        client
    }

    /// Every byte the origin received, on all its connections.
    pub(crate) fn seen(&self) -> Vec<u8> {
        self.origin.bytes().concat()
    }
}

/// Asks for a tunnel; the connection, and the head of the gate's answer.
pub(crate) fn connect(gate: &Gate, target: &str) -> (Peer, Message) {
    let mut client = gate.client();
    client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    let answer = client.head().unwrap();
    (client, answer)
}

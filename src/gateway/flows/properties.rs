//! What must hold for any bytes at all. Fuzz targets call this and so do tests; the gate does not.

use crate::evidence::{Chain, Flow, Kind, Record, Seen, read_record};
use crate::facts::Timestamp;

use super::beyond::Beyond;
use super::conntrack::Event;
use super::netlink::Messages;
use super::nflog::Logged;
use super::packet::Packet;

/// Any bytes as a datagram of the kernel's netfilter, and as a packet within one. Panics when one of these does not hold.
///
/// What is read ends, whatever the bytes say of their length. A port is told of what has ports alone. What was seen is one
/// line on record, and read back from it.
pub fn netlink(bytes: &[u8]) {
    if let Some(packet) = Packet::read(bytes) {
        assert!(bytes.len() >= 20);
        assert!(packet.port.is_none() || packet.protocol.has_ports());
    }
    let mut messages = 0;
    for message in Messages::of(bytes) {
        messages += 1;
        assert!(message.attributes().count() <= bytes.len() / 4);
        on_record(Logged::read(message.attributes()).seen());
        let mut beyond = Beyond::default();
        beyond.all_told();
        if let Some((key, count)) = beyond.take(&message) {
            assert!(count > 0);
            on_record(key.into());
        }
        for is_over in [false, true] {
            if let Some(event) = Event::read(message.attributes(), is_over) {
                on_record(event.seen());
            }
        }
    }
    assert!(messages <= bytes.len() / 16);
}

fn on_record(seen: Seen) {
    let Seen { key, packets, bytes_up, bytes_down, .. } = seen;
    let (client, port) = (key.client.map(|client| client.to_string()), key.port);
    let (first, last) = (Timestamp(1_795_651_200_000_000), Timestamp(1_795_651_200_000_001));
    let flow = Flow { key, count: 1, packets, bytes_up, bytes_down, rolled_up: None, first, last };
    let mut line = Vec::new();
    Chain::start().append(&Record::Flow(Box::new(flow)).encode(last), &mut line);
    assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
    let read = read_record(&line).expect("what is written is read back");
    assert_eq!((read.kind, read.client.as_deref(), read.port), (Kind::Flow, client.as_deref(), port));
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::super::netlink::Request;
    use super::*;

    /// So that what a fuzzer once found is tried without one.
    #[test]
    fn the_property_holds_for_every_seed_and_what_is_near_it() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/netlink");
        let seeds: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
        assert!(seeds.len() >= 3);
        for seed in seeds {
            netlink(&seed);
            for at in 0..seed.len() {
                netlink(&seed[..at]);
                let mut altered = seed.clone();
                altered[at] ^= 0xff;
                netlink(&altered);
            }
        }
    }

    proptest! {
        #[test]
        fn the_property_holds_for_attributes_of_any_kind(
            attributes in prop::collection::vec((0_u16..16, prop::collection::vec(any::<u8>(), 0..80)), 0..8),
            cut in 0_usize..200,
        ) {
            let request = attributes.iter().fold(Request::new(0x400, 1, 0), |all, (kind, value)| all.attribute(*kind, value));
            let mut bytes = request.bytes();
            bytes.truncate(bytes.len().saturating_sub(cut).max(1));
            netlink(&bytes);
        }
    }
}

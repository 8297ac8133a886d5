//! The rhythm in which clients write into tunnels, as records have it.

use std::io::{ErrorKind, Read};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::gate::Gate;
use crate::origin::Origin;
use crate::peer::{End, Peer};
use crate::tunnel_lab::{Lab, hello};

/// Longer than the silence before a burst, and longer than bursts are apart.
const PAUSE: Duration = Duration::from_millis(600);
const LONG_PAUSE: Duration = Duration::from_millis(1100);

/// Nothing is said for so long, on either side.
fn pause(client: &Peer, pause: Duration) {
    let (mut stream, before) = (client.stream(), client.stream().read_timeout().unwrap());
    stream.set_read_timeout(Some(pause)).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    stream.set_read_timeout(before).unwrap();
}

/// Ends the tunnel; its bursts, in the one record that closes it.
fn bursts(gate: &mut Gate, mut client: Peer) -> Vec<[u64; 3]> {
    client.finish();
    assert_eq!(client.rest(), (Vec::new(), End::Closed));
    drop(client);
    let closes = gate.events("close");
    assert_eq!(closes.len(), 1, "{closes:#?}");
    match &closes[0]["bursts"] {
        Value::Null => Vec::new(),
        bursts => serde_json::from_value(bursts.clone()).unwrap(),
    }
}

#[test]
fn the_record_of_a_tunnel_has_the_gaps_and_the_bytes_of_its_clients_bursts() {
    // A tunnel that stands before its client has said anything.
    let mut lab = Lab::new("protocol = \"any\"");
    let mut client = lab.open("a.test");
    let hello = hello("curl");
    for (silence, bytes) in [(PAUSE, &hello[..]), (LONG_PAUSE, b"again")] {
        pause(&client, silence);
        client.send(bytes);
        assert_eq!(client.take(bytes.len()), bytes);
    }
    let bursts = bursts(&mut lab.gate, client);
    let bytes: Vec<_> = bursts.iter().map(|[_, up, down]| (*up, *down)).collect();
    let first = hello.len() as u64;
    assert_eq!(bytes, [(first, first), (5, 5)], "{bursts:?}");
    assert!(bursts[0][0] >= 50 && bursts[1][0] >= 100, "{bursts:?}");
}

#[test]
fn a_websocket_has_bursts_as_well_and_what_was_said_before_is_in_none() {
    let origin = Origin::serving(|mut peer, _| {
        peer.head().unwrap();
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello",
        );
        assert_eq!(peer.take(3), b"abc");
        peer.send("ABCDEF");
        peer.rest();
    });
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(format!(
        "GET http://{0}/chat HTTP/1.1\r\nHost: {0}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        origin.address
    ));
    assert_eq!(client.head().unwrap().status(), 101);
    assert_eq!(client.take(5), b"hello");
    pause(&client, PAUSE);
    client.send("abc");
    assert_eq!(client.take(6), b"ABCDEF");
    let bursts = bursts(&mut gate, client);
    assert!(matches!(bursts[..], [[after, 3, 6]] if after >= 50), "{bursts:?}");
}

#[test]
fn a_client_that_is_held_up_by_its_origin_is_not_silent() {
    const BYTES: usize = 32 << 20;
    let origin = Origin::serving(|mut peer, _| {
        // It reads nothing meanwhile.
        let (_never, said) = mpsc::channel::<()>();
        assert!(said.recv_timeout(PAUSE).is_err());
        while !peer.some().is_empty() {}
    });
    let mut lab = Lab::with(origin, "protocol = \"any\"", "");
    let mut client = lab.open("a.test");
    client.send(vec![b'a'; BYTES]);
    let bursts = bursts(&mut lab.gate, client);
    // Only on a machine that takes half a second to send the first byte is there one, and it has all of them.
    let all_in_one = |[_, up, _]: &[u64; 3]| *up == BYTES as u64;
    assert!(bursts.iter().all(all_in_one), "{bursts:?}");
}

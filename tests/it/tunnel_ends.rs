//! How tunnels end: half-closes, limits, and what the record says of it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::origin::Origin;
use crate::peer::End;
use crate::tunnel_lab::Lab;

const ANY: &str = "protocol = \"any\"";

/// The one close record: by whom, how, and the bytes up and down.
fn ended(lab: &mut Lab) -> (String, String, u64, u64) {
    let closes = lab.gate.events("close");
    assert_eq!(closes.len(), 1, "{closes:#?}");
    let close: &Value = &closes[0];
    assert!(close["total_us"].as_u64() > Some(0), "{close}");
    let text = |key: &str| close[key].as_str().unwrap_or_else(|| panic!("{key} in {close}")).to_owned();
    (text("closed_by"), text("closed_how"), close["bytes_up"].as_u64().unwrap(), close["bytes_down"].as_u64().unwrap())
}

fn end(by: &str, how: &str, up: u64, down: u64) -> (String, String, u64, u64) {
    (by.to_owned(), how.to_owned(), up, down)
}

#[test]
fn a_client_that_has_said_all_still_gets_the_answer() {
    let origin = Origin::serving(|mut peer, _| {
        let (bytes, end) = peer.rest();
        assert_eq!(end, End::Closed);
        peer.send(format!("{} bytes", bytes.len()));
    });
    let mut lab = Lab::with(origin, ANY, "");
    let mut client = lab.open("a.test");
    client.send("question");
    client.finish();
    assert_eq!(client.rest(), (b"8 bytes".to_vec(), End::Closed));
    drop(client);
    assert_eq!(ended(&mut lab), end("client", "closed", 8, 7));
}

#[test]
fn an_origin_that_has_said_all_still_hears_the_client() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let origin = Origin::serving(move |mut peer, _| {
        peer.send("all I have");
        peer.finish();
        let _ = sender.send(peer.rest());
    });
    let mut lab = Lab::with(origin, ANY, "");
    let mut client = lab.open("a.test");
    assert_eq!(client.rest(), (b"all I have".to_vec(), End::Closed));
    client.send("thanks");
    client.finish();
    let heard = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(heard, (b"thanks".to_vec(), End::Closed));
    drop(client);
    assert_eq!(ended(&mut lab), end("origin", "closed", 6, 10));
}

#[test]
fn a_reset_is_passed_on_and_laid_at_the_door_of_who_sent_it() {
    let mut lab = Lab::new(ANY);
    let mut client = lab.open("a.test");
    client.send("abc");
    assert_eq!(client.take(3), b"abc");
    client.reset();
    let (by, _, up, down) = ended(&mut lab);
    assert_eq!((by.as_str(), up, down), ("client", 3, 3));

    let origin = Origin::serving(|mut peer, _| {
        peer.take(3);
        peer.reset();
    });
    let mut lab = Lab::with(origin, ANY, "");
    let mut client = lab.open("a.test");
    client.send("abc");
    client.rest();
    drop(client);
    let (by, _, up, down) = ended(&mut lab);
    assert_eq!((by.as_str(), up, down), ("origin", 3, 0));
}

#[test]
fn every_byte_of_a_long_tunnel_is_carried_and_counted() {
    let mut lab = Lab::new(ANY);
    let mut client = lab.open("a.test");
    let piece: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for _ in 0..200 {
        client.send(&piece);
        assert!(client.take(piece.len()) == piece);
    }
    client.finish();
    assert_eq!(client.rest(), (Vec::new(), End::Closed));
    drop(client);
    assert_eq!(ended(&mut lab), end("client", "closed", 20_000_000, 20_000_000));
}

#[test]
fn a_tunnel_that_nobody_reads_waits_and_is_not_held_in_memory() {
    let (sender, progress) = std::sync::mpsc::channel();
    let pieces = 96 << 4;
    let origin = Origin::serving(move |mut peer, _| {
        for sent in 0..pieces {
            peer.send([b'a'; 1 << 16]);
            let _ = sender.send(sent + 1);
        }
        peer.finish();
        peer.rest();
    });
    let lab = Lab::with(origin, ANY, "");
    let mut client = lab.open("a.test");
    let mut sent = 0;
    while let Ok(more) = progress.recv_timeout(Duration::from_secs(1)) {
        sent = more;
    }
    assert!(sent < pieces, "back-pressure reaches the origin");
    for _ in 0..pieces {
        assert_eq!(client.take(1 << 16).len(), 1 << 16);
    }
    assert!(lab.gate.peak_memory() < 16 << 20, "{} bytes", lab.gate.peak_memory());
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_ended_by_the_gate() {
    let mut lab = Lab::with(Origin::echo(), ANY, "[limits]\ntunnel_idle_seconds = 1\n");
    let mut client = lab.open("a.test");
    client.send("abc");
    assert_eq!(client.take(3), b"abc");
    assert!(client.rest().0.is_empty());
    assert_eq!(ended(&mut lab), end("gate", "idle_limit", 3, 3));
}

#[test]
fn a_tunnel_in_which_one_side_alone_speaks_is_not_idle() {
    let origin = Origin::serving(|mut peer, _| {
        peer.stream().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut none = [0; 1];
        while peer.try_send("a").is_ok() {
            match std::io::Read::read(&mut peer.stream(), &mut none) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => return,
            }
        }
    });
    let mut lab = Lab::with(origin, ANY, "[limits]\ntunnel_idle_seconds = 1\n");
    let mut client = lab.open("a.test");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        assert_eq!(client.take(1), b"a", "the tunnel lives while bytes come down");
    }
    client.finish();
    client.rest();
    drop(client);
    let (by, how, up, _) = ended(&mut lab);
    assert_eq!((by.as_str(), how.as_str(), up), ("client", "closed", 0));
}

#[test]
fn a_tunnel_that_has_lived_its_time_is_ended_by_the_gate_however_busy_it_is() {
    let mut lab = Lab::with(Origin::echo(), ANY, "[limits]\ntunnel_lifetime_seconds = 1\n");
    let mut silent = lab.open("a.test");
    assert!(silent.rest().0.is_empty());
    let mut busy = lab.open("a.test");
    while busy.try_send([b'a'; 100]).is_ok() && !busy.some().is_empty() {}
    drop((silent, busy));
    let closes = lab.gate.events("close");
    assert_eq!(closes.len(), 2);
    for close in closes {
        assert_eq!((&close["closed_by"], &close["closed_how"]), (&"gate".into(), &"lifetime_limit".into()), "{close}");
    }
}

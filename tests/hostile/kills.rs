//! `kill -9` under load at random moments, again and again on one data directory. The judge is what the origins saw.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::chance::Chance;
use super::patient_origin;
use crate::gate::{Gate, QUIET, Start, program, records, segments};
use crate::name_server::NameServer;
use crate::origin::Origin;
use crate::peer::Peer;

/// Clients of each kind.
const GETTERS: usize = 5;
const TUNNELLERS: usize = 3;
/// A kill comes when the origins have seen, at random, up to so much since the start.
const SEEN_MAX: u64 = 420;

/// What came of it.
pub(crate) struct Figures {
    pub(crate) requests: usize,
    pub(crate) dials: usize,
    pub(crate) records: usize,
    /// The bytes of each last line that a kill has left half written.
    pub(crate) torn: Vec<u64>,
    /// From each start after a kill to the first answer.
    pub(crate) restarts: Vec<Duration>,
}

/// The origins of all rounds, and what they saw.
struct World {
    plain: Origin,
    tunnelled: Origin,
    /// The names that clients said inside their tunnels.
    named: Arc<Mutex<Vec<String>>>,
    names: NameServer,
    /// Something was seen: a request, or the dial of a tunnel.
    seen: Receiver<()>,
}

fn world() -> World {
    let (sender, seen) = mpsc::channel();
    let see = sender.clone();
    let plain = patient_origin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", move || _ = see.send(()));
    let named = Arc::<Mutex<Vec<String>>>::default();
    let log = named.clone();
    let tunnelled = Origin::serving(move |mut peer, _| {
        peer.stream().set_read_timeout(None).unwrap();
        let _ = sender.send(());
        let name = String::from_utf8(peer.some()).unwrap();
        if !name.is_empty() {
            log.lock().unwrap().push(name);
            let _ = peer.try_send("ok");
            peer.rest();
        }
    });
    let names = NameServer::pointing_to(tunnelled.address.ip());
    World { plain, tunnelled, named, names, seen }
}

/// Asks again and again over one connection, until there is no gate.
fn get_on_and_on(gate: SocketAddr, origin: SocketAddr, who: &str) {
    let Ok(stream) = TcpStream::connect(gate) else { return };
    let mut client = Peer::new(stream, None);
    for n in 0.. {
        let request = format!("GET http://{origin}/{who}-{n} HTTP/1.1\r\nHost: {origin}\r\n\r\n");
        if client.try_send(request).is_err() || client.head().is_none() {
            return;
        }
        client.take(2);
    }
}

/// Opens tunnel after tunnel, and says in each for what name it is, until there is no gate.
fn tunnel_on_and_on(gate: SocketAddr, port: u16, who: &str) {
    for n in 0.. {
        let name = format!("{who}-{n}.test");
        let Ok(stream) = TcpStream::connect(gate) else { return };
        let mut client = Peer::new(stream, None);
        if client.try_send(format!("CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n")).is_err()
            || client.head().is_none_or(|answer| answer.status() != 200)
            || client.try_send(&name).is_err()
            || client.take(2) != b"ok"
        {
            return;
        }
    }
}

impl World {
    fn start(&self, data_dir: Option<&Path>) -> Gate {
        let policy = format!("{}{}", self.plain.policy(), self.tunnelled.rule_for("*.test", "protocol = \"any\""));
        let data_dir = data_dir.map(Path::to_path_buf);
        Start { policy: &policy, config: &self.names.config(), data_dir, before: QUIET, ..Start::default() }.gate()
    }

    /// Starts it again on what was left, and asks it something: how long both took.
    fn restart(&self, data_dir: &Path) -> (Gate, Duration) {
        let since = Instant::now();
        let gate = self.start(Some(data_dir));
        let mut client = gate.client();
        client.send("GET / HTTP/1.1\r\nHost: gate\r\n\r\n");
        assert_eq!(client.answer().status(), 200);
        (gate, since.elapsed())
    }

    /// Puts a gate under load, and kills it when the origins have seen so much.
    fn kill_under_load(&self, gate: &mut Gate, round: u64, enough: u64) {
        while self.seen.try_recv().is_ok() {}
        let (address, plain, port) = (gate.address, self.plain.address, self.tunnelled.address.port());
        std::thread::scope(|scope| {
            for client in 0..GETTERS {
                scope.spawn(move || get_on_and_on(address, plain, &format!("r{round}-c{client}")));
            }
            for client in 0..TUNNELLERS {
                scope.spawn(move || tunnel_on_and_on(address, port, &format!("r{round}-c{client}")));
            }
            for _ in 0..enough {
                self.seen.recv_timeout(Duration::from_secs(20)).expect("the load goes on");
            }
            gate.end("-KILL");
        });
    }

    /// All that the origins ever saw is on record as opened.
    fn all_on_record(&self, records: &[Value]) {
        let opened: Vec<_> = records.iter().filter(|record| record["event"] == "open").collect();
        let all = |key: &str| opened.iter().filter_map(|open| open[key].as_str()).collect::<HashSet<_>>();
        let (paths, hosts) = (all("path"), all("host"));
        for request in self.plain.requests() {
            let path = request.line().split(' ').nth(1).unwrap();
            assert!(paths.contains(path), "{path} was seen by the origin and has no record");
        }
        for name in self.named.lock().unwrap().iter() {
            assert!(hosts.contains(name.as_str()), "the tunnel to {name} reached the origin and has no record");
        }
        // Dials in whose tunnel nothing was said any more are known by their number alone.
        let tunnels = opened.iter().filter(|open| open["method"] == "CONNECT").count();
        let dials = self.tunnelled.connections();
        assert!(dials <= tunnels, "{dials} dials reached the origin, and {tunnels} are on record");
    }
}

/// The bytes of an unfinished last line.
fn torn_bytes(data_dir: &Path) -> u64 {
    let last = std::fs::read(segments(data_dir).pop().unwrap()).unwrap();
    last.iter().rev().take_while(|byte| **byte != b'\n').count() as u64
}

/// The lengths that gap records tell of lines cut off.
fn told_torn(records: &[Value]) -> Vec<u64> {
    let gaps = records.iter().filter(|record| record["cause"] == "torn_tail");
    gaps.map(|gap| gap["bytes"].as_u64().unwrap()).collect()
}

/// What `sekisho verify` says of a gate that runs, or has ended.
fn verified(data_dir: &Path, round: u64) {
    let output = std::process::Command::new(program()).arg("verify").arg(data_dir).output().unwrap();
    assert!(output.status.success(), "round {round}: {output:?}");
}

/// Kills a gate so many times, each time with a start on the same data directory behind it.
pub(crate) fn kill_again_and_again(kills: u64, seed: u64, mut said: impl FnMut(u64) -> bool) -> Figures {
    let (mut chance, world) = (Chance::of(seed), world());
    let mut gate = world.start(None);
    let data_dir = gate.data_dir();
    // Its directory is kept to the end.
    let mut first = None;
    let (mut torn, mut restarts, mut seen) = (Vec::new(), Vec::new(), 0);
    for round in 0..kills {
        let enough = chance.below(SEEN_MAX);
        world.kill_under_load(&mut gate, round, enough);
        seen += enough;
        first.get_or_insert(gate);
        world.all_on_record(&records(&data_dir));
        torn.extend(Some(torn_bytes(&data_dir)).filter(|bytes| *bytes > 0));
        let (again, took) = world.restart(&data_dir);
        (gate, _) = (again, restarts.push(took));
        verified(&data_dir, round);
        if !said(round + 1) {
            break;
        }
    }
    assert_eq!(gate.end("-TERM"), Some(0));
    verified(&data_dir, kills);
    let records = records(&data_dir);
    world.all_on_record(&records);
    assert_eq!(told_torn(&records), torn, "what was torn is told");
    let (requests, dials) = (world.plain.requests().len(), world.tunnelled.connections());
    assert!((requests + dials) as u64 >= seen);
    Figures { requests, dials, records: records.len(), torn, restarts }
}

//! A gate that takes over from another, which goes on with what it has.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::gate::{Gate, Notices, QUIET, Start, program, records, status_of};
use crate::name_server::NameServer;
use crate::origin::Origin;
use crate::peer::Peer;

/// A site whose gates follow each other on one data directory and one address.
struct Site {
    origin: Origin,
    names: NameServer,
    data_dir: PathBuf,
    policy: String,
    config: String,
    _directory: tempfile::TempDir,
}

impl Site {
    fn with(origin: Origin, config: &str) -> Self {
        let names = NameServer::pointing_to(origin.address.ip());
        let directory = tempfile::tempdir().unwrap();
        let policy = format!("{}{}", origin.rule_for("*.test", "protocol = \"any\""), origin.policy());
        let config = format!("[gate]\nworkers = 2\n{}{config}", names.config());
        let data_dir = directory.path().join("data");
        Self { origin, names, data_dir, policy, config, _directory: directory }
    }

    fn echo() -> Self {
        Self::with(Origin::echo(), "")
    }

    fn start(&self) -> Start<'_> {
        Start { policy: &self.policy, config: &self.config, data_dir: Some(self.data_dir.clone()), ..Start::default() }
    }

    fn first(&self) -> Gate {
        self.start().gate()
    }

    /// The next one, on the address of the one before.
    fn next(&self, before: &Gate) -> Gate {
        Start { listen: Some(before.address), takes_over: true, ..self.start() }.gate()
    }

    fn tunnel(&self, gate: &Gate, name: &str) -> Peer {
        let target = format!("{name}:{}", self.origin.address.port());
        let (client, answer) = crate::tunnel_lab::connect(gate, &target);
        assert_eq!(answer.status(), 200, "{}", answer.head);
        client
    }

    fn records(&self) -> Vec<Value> {
        records(&self.data_dir)
    }

    fn status(&self) -> Value {
        status_of(&self.data_dir)
    }

    /// The process that drains, once it has found the one that writes.
    fn draining(&self) -> u64 {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            match self.status()["draining"][0]["pid"].as_u64() {
                Some(pid) => return pid,
                None => assert!(Instant::now() < until, "nobody drains"),
            }
        }
    }

    /// Another gate beside them, which need not come up.
    fn beside(&self, listen: SocketAddr) -> Output {
        Start { listen: Some(listen), takes_over: true, ..self.start() }.output()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(program()).args(arguments).arg("--data-dir").arg(&self.data_dir).output().unwrap()
    }

    /// The socket on which gates talk.
    fn control(&self) -> BufReader<UnixStream> {
        let stream = UnixStream::connect(self.data_dir.join("control.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        BufReader::new(stream)
    }

    /// What ended the tunnel to this host: it was opened and closed once, and the chain holds.
    fn end_of(&self, host: &str) -> Value {
        is_verified(&self.data_dir);
        let all = self.records();
        let open = place(&all, |record| record["event"] == "open" && record["host"] == host);
        all[place(&all, |record| record["event"] == "close" && record["id"] == all[open]["id"])].clone()
    }
}

/// Waits until the gate has ended the tunnel.
fn is_cut(mut tunnel: Peer) {
    assert_eq!(tunnel.rest().0, b"");
}

fn line(stream: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    // With what it has not read, the other end takes the stream away.
    let _ = stream.read_line(&mut line);
    line
}

fn say(stream: &mut BufReader<UnixStream>, text: &str) {
    // The other end may have had enough.
    let _ = stream.get_mut().write_all(text.as_bytes());
}

fn echoes(tunnel: &mut Peer, text: &str) {
    tunnel.send(text);
    assert_eq!(tunnel.take(text.len()), text.as_bytes());
}

/// What `sekisho verify` says.
fn is_verified(data_dir: &Path) {
    let output = Command::new(program()).arg("verify").arg(data_dir).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn place(records: &[Value], what: impl Fn(&Value) -> bool) -> usize {
    let mut found = records.iter().enumerate().filter(|(_, record)| what(record)).map(|(place, _)| place);
    let place = found.next().expect("there is one");
    assert_eq!(found.next(), None, "there is one alone");
    place
}

#[test]
fn a_tunnel_outlives_the_upgrade_and_its_end_is_in_the_journal_of_the_next_gate() {
    let site = Site::echo();
    let mut old = site.first();
    let mut tunnel = site.tunnel(&old, "kept.test");
    echoes(&mut tunnel, "before");
    let mut new = site.next(&old);
    assert_eq!(new.address, old.address);
    echoes(&mut tunnel, "after it");
    let mut other = site.tunnel(&new, "other.test");
    echoes(&mut other, "beside");
    assert_eq!(site.draining(), u64::from(old.pid()));
    assert_eq!(site.status()["pid"], new.pid());
    drop(tunnel);
    assert_eq!(old.wait(), Some(0), "it ends when its last tunnel has");
    drop(other);
    assert_eq!(new.end("-TERM"), Some(0));
    is_verified(&site.data_dir);
    let all = site.records();
    let open = place(&all, |record| record["event"] == "open" && record["host"] == "kept.test");
    let handed = place(&all, |record| record["action"] == "journal_handed_over");
    let close = place(&all, |record| record["event"] == "close" && record["id"] == all[open]["id"]);
    let closed = place(&all, |record| record["action"] == "journal_closed");
    assert!(open < handed && handed < close && close < closed);
    assert_eq!((&all[close]["bytes_up"], &all[close]["closed_by"]), (&14.into(), &"client".into()), "{}", all[close]);
    assert!(!all.iter().any(|record| record["kind"] == "gap"));
    assert_eq!(site.names.asked().len(), 2);
}

#[test]
fn a_download_that_has_begun_is_finished_with_every_byte_by_the_gate_that_drains() {
    let (halfway, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (before, behind) = (halfway.clone(), go_on.clone());
    let body: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[n as usize % 3]).collect();
    let sent = body.clone();
    let origin = Origin::serving(move |mut peer, log| {
        let Some(request) = peer.request() else { return };
        log.note(&request);
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len()));
        let (first, last) = sent.split_at(sent.len() / 2);
        peer.send(first);
        before.wait();
        behind.wait();
        peer.send(last);
    });
    let site = Site::with(origin, "");
    let mut old = site.first();
    let mut client = old.client();
    client.send(format!("GET http://{0}/file HTTP/1.1\r\nHost: {0}\r\n\r\n", site.origin.address));
    let head = client.head().unwrap();
    halfway.wait();
    let mut new = site.next(&old);
    go_on.wait();
    let answer = client.body(head);
    assert!(answer.whole && answer.body == body);
    // Its connection takes one more request, and that is the last on it.
    client.send("GET / HTTP/1.1\r\nHost: gate\r\n\r\n");
    assert!(client.answer().closes());
    drop(client);
    assert_eq!(old.wait(), Some(0));
    assert_eq!(new.end("-TERM"), Some(0));
    is_verified(&site.data_dir);
    let all = site.records();
    let open = place(&all, |record| record["event"] == "open");
    let handed = place(&all, |record| record["action"] == "journal_handed_over");
    let close = place(&all, |record| record["event"] == "close" && record["id"] == all[open]["id"]);
    assert!(open < handed && handed < close);
    assert!(all[close]["bytes_down"].as_u64().unwrap() > body.len() as u64 && all[close]["status"] == 200);
}

/// Asks on and on, on a connection each or on one for as long as the gate keeps it; none may fail. How many were answered.
fn ask_on_and_on(
    gate: SocketAddr,
    origin: SocketAddr,
    who: &str,
    keeps: bool,
    (ends, asked): (&AtomicBool, &AtomicUsize),
) -> Duration {
    let mut longest = Duration::ZERO;
    let mut client: Option<Peer> = None;
    for number in 0.. {
        if ends.load(Ordering::Relaxed) {
            break;
        }
        let since = Instant::now();
        let mut peer = client.take().unwrap_or_else(|| Peer::new(TcpStream::connect(gate).unwrap(), None));
        let close = if keeps { "" } else { "Connection: close\r\n" };
        peer.send(format!("GET http://{origin}/{who}-{number} HTTP/1.1\r\nHost: {origin}\r\n{close}\r\n"));
        let answer = peer.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"), "{who}-{number}: {}", answer.text());
        client = Some(peer).filter(|_| !answer.closes());
        asked.fetch_add(1, Ordering::Relaxed);
        longest = longest.max(since.elapsed());
    }
    longest
}

#[test]
fn no_client_is_turned_away_under_load_over_two_upgrades_and_each_request_is_on_record_once() {
    let (sender, seen) = mpsc::channel();
    let see = move || _ = sender.send(());
    let site = Site::with(
        Origin::answering(move |_| {
            see();
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        }),
        "",
    );
    let mut first = site.first();
    let (address, origin) = (first.address, site.origin.address);
    let (ends, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let goes_on = || {
        while seen.try_recv().is_ok() {}
        (0..100).for_each(|_| seen.recv_timeout(Duration::from_secs(20)).expect("the load goes on"));
    };
    let mut last = std::thread::scope(|scope| {
        let (ends, asked) = (&ends, &asked);
        let clients: Vec<_> = (0..6)
            .map(|client| {
                scope.spawn(move || {
                    ask_on_and_on(address, origin, &format!("c{client}"), client % 2 == 0, (ends, asked))
                })
            })
            .collect();
        goes_on();
        let mut second = site.next(&first);
        goes_on();
        assert_eq!(first.wait(), Some(0));
        let third = site.next(&second);
        goes_on();
        assert_eq!(second.wait(), Some(0));
        ends.store(true, Ordering::Relaxed);
        let longest = clients.into_iter().map(|client| client.join().unwrap()).max().unwrap();
        println!("{} answers, the longest after {longest:?}", asked.load(Ordering::Relaxed));
        third
    });
    assert_eq!(last.end("-TERM"), Some(0));
    is_verified(&site.data_dir);
    let all = site.records();
    let of = |event: &str| all.iter().filter(|record| record["event"] == event).collect::<Vec<_>>();
    let (opens, closes) = (of("open"), of("close"));
    let paths: HashSet<_> = opens.iter().map(|open| open["path"].as_str().unwrap()).collect();
    let ids: HashSet<_> = opens.iter().map(|open| open["id"].as_str().unwrap()).collect();
    let closed: HashSet<_> = closes.iter().map(|close| close["id"].as_str().unwrap()).collect();
    let count = asked.load(Ordering::Relaxed);
    assert_eq!((opens.len(), paths.len(), ids.len()), (count, count, count), "each is on record once");
    assert_eq!((closes.len(), &closed), (count, &ids), "and so is its end");
    assert_eq!(site.origin.requests().len(), count);
    assert_eq!(all.iter().filter(|record| record["action"] == "journal_handed_over").count(), 2);
    assert!(!all.iter().any(|record| record["kind"] == "gap"));
}

#[test]
fn isolate_at_the_next_gate_cuts_within_a_second_what_the_one_that_drains_still_holds() {
    let site = Site::echo();
    let mut old = site.first();
    let mut bad = Peer::connect_from("127.0.0.9".parse().unwrap(), old.address);
    let target = format!("bad.test:{}", site.origin.address.port());
    bad.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    assert_eq!(bad.head().unwrap().status(), 200);
    let mut good = site.tunnel(&old, "good.test");
    let mut new = site.next(&old);
    echoes(&mut bad, "still");
    let isolated = site.run(&["isolate", "127.0.0.9", "--reason", "a test"]);
    let since = Instant::now();
    assert!(String::from_utf8_lossy(&isolated.stdout).contains("127.0.0.9"), "{isolated:?}");
    is_cut(bad);
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    echoes(&mut good, "not meant");
    // What a person takes back is taken back there too, or the next act would find it.
    assert!(site.run(&["release", "127.0.0.9", "--reason", "a test"]).status.success());
    let locked = site.run(&["lockdown", "--reason", "a test"]);
    assert!(locked.status.success(), "{locked:?}");
    is_cut(good);
    assert_eq!(old.wait(), Some(0));
    assert_eq!(new.end("-TERM"), Some(0));
    for (host, reason) in [("bad.test", "isolated"), ("good.test", "lockdown")] {
        let end = site.end_of(host);
        assert_eq!((&end["closed_how"], &end["reason"]), (&"restrained".into(), &reason.into()), "{end}");
    }
}

#[test]
fn a_policy_that_holds_standing_tunnels_to_it_does_so_at_the_gate_that_drains_and_one_it_cannot_read_ends_them() {
    let site = Site::echo();
    let strict = |denied: &str| {
        let deny = format!("[[rule]]\nname = \"gone\"\nhosts = [{denied}]\nverdict = \"deny\"\n");
        format!("[policy]\nreload = \"strict\"\n{deny}{}", site.policy)
    };
    let mut old = site.first();
    let mut tunnels: Vec<_> = ["gone.test", "kept.test"].map(|host| site.tunnel(&old, host)).into();
    let mut new = site.next(&old);
    // Each gate has a file of its own; the one that drains finds the same text in its.
    std::fs::write(old.policy(), strict("\"gone.test\"")).unwrap();
    crate::gate::put_over(&new.policy(), &strict("\"gone.test\""));
    let output = Command::new(program()).arg("reload").arg(&site.data_dir).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    is_cut(tunnels.remove(0));
    echoes(&mut tunnels[0], "allowed");
    crate::gate::put_over(&new.policy(), &strict("\"other.test\""));
    let output = Command::new(program()).arg("reload").arg(&site.data_dir).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    is_cut(tunnels.remove(0));
    assert_eq!(old.wait(), Some(0));
    assert_eq!(new.end("-TERM"), Some(0));
    assert_eq!(site.end_of("gone.test")["reason"], "rule");
    assert_eq!(site.end_of("kept.test")["closed_how"], "gate_stopped");
}

#[test]
fn a_gate_that_drains_ends_at_its_limit_and_sooner_when_it_is_told_to() {
    for (config, signal) in
        [("[limits]\nhand_over_seconds = 1\n", None), ("[limits]\ndrain_seconds = 1\n", Some("-TERM"))]
    {
        let site = Site::with(Origin::echo(), config);
        let mut old = site.first();
        let mut tunnel = site.tunnel(&old, "long.test");
        echoes(&mut tunnel, "here");
        let mut new = site.next(&old);
        if let Some(signal) = signal {
            old.signal(signal);
        }
        is_cut(tunnel);
        assert_eq!(old.wait(), Some(0));
        assert_eq!(new.end("-TERM"), Some(0));
        assert_eq!(site.end_of("long.test")["closed_how"], "gate_stopped");
        assert!(!site.records().iter().any(|record| record["kind"] == "gap"));
    }
}

#[test]
fn when_the_next_gate_is_killed_another_takes_its_place_and_tunnels_go_on() {
    let site = Site::echo();
    let mut old = site.first();
    let [mut one, two] = ["one.test", "two.test"].map(|host| site.tunnel(&old, host));
    let mut new = site.next(&old);
    echoes(&mut one, "first");
    new.end("-KILL");
    // It ends while nobody has the journal.
    drop(two);
    let mut again = Start { listen: Some(new.address), ..site.start() }.gate();
    echoes(&mut one, "second");
    drop(one);
    assert_eq!(old.wait(), Some(0));
    assert_eq!(again.end("-TERM"), Some(0));
    for host in ["one.test", "two.test"] {
        assert_eq!(site.end_of(host)["closed_by"], "client");
    }
}

#[test]
fn where_the_data_directory_cannot_be_had_again_the_gate_that_drained_says_how_many_records_are_lost() {
    let site = Site::with(Origin::echo(), "[limits]\nhand_over_seconds = 10\n");
    let notices = Notices::new();
    let mut old = Start { before: &notices.before(), ..site.start() }.gate();
    let tunnels: Vec<_> = ["a.test", "b.test"].map(|host| site.tunnel(&old, host)).into();
    let mut new = site.next(&old);
    assert_eq!(site.draining(), u64::from(old.pid()));
    new.end("-KILL");
    // Somebody has the directory, and answers nobody.
    let directory = std::fs::File::open(&site.data_dir).unwrap();
    rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive).unwrap();
    tunnels.into_iter().for_each(is_cut);
    let said = notices.until("are lost");
    // Two ends of tunnels, and perhaps what each of two workers had counted of its own connections.
    let count = said.split_once(" records of what has ended here are lost").unwrap().0.rsplit(' ').next().unwrap();
    assert!(matches!(count, "2" | "3" | "4"), "{said}");
    assert_eq!(old.wait(), Some(1));
    is_verified(&site.data_dir);
}

#[test]
fn when_the_next_gate_is_told_to_end_the_one_that_drains_waits_for_the_directory_and_each_end_is_on_record_once() {
    // For longer than the one that drains waits for another, and then for a directory that nobody has.
    let site = Site::with(Origin::echo(), "[limits]\ndrain_seconds = 23\n");
    let notices = Notices::new();
    let mut old = Start { before: &notices.before(), ..site.start() }.gate();
    let mut kept = site.tunnel(&old, "kept.test");
    echoes(&mut kept, "here");
    let mut new = site.next(&old);
    let mut own = site.tunnel(&new, "own.test");
    assert_eq!(site.draining(), u64::from(old.pid()));
    new.signal("-TERM");
    is_cut(kept);
    echoes(&mut own, "goes on");
    is_cut(own);
    assert_eq!((new.wait(), old.wait()), (Some(0), Some(0)));
    notices.until("all that is open here is closed");
    for host in ["kept.test", "own.test"] {
        assert_eq!(site.end_of(host)["closed_how"], "gate_stopped");
    }
    let all = site.records();
    let lost = place(&all, |record| record["cause"] == "draining_gate_lost");
    let back = place(&all, |record| record["action"] == "journal_taken_back");
    assert!(lost < back && all[lost]["detail"].as_str().unwrap().contains("this gate ends"), "{}", all[lost]);
    assert!(!all.iter().any(|record| record["cause"] == "records_lost"));
}

#[test]
fn a_gate_beside_which_too_many_drain_hands_over_to_nobody_and_names_them() {
    let site = Site::echo();
    let mut gate = site.first();
    // In containers all of them have one pid.
    let carriers: Vec<_> = [1, 1, 1, 7]
        .iter()
        .map(|pid| {
            let mut carries = site.control();
            say(&mut carries, &format!("{{\"carry\":{{\"protocol\":1,\"pid\":{pid}}}}}\n"));
            assert!(line(&mut carries).contains("welcome"));
            carries
        })
        .collect();
    let next = site.beside(gate.address);
    assert_eq!(next.status.code(), Some(1), "{next:?}");
    let said = String::from_utf8_lossy(&next.stderr);
    assert!(said.contains("process 1, process 1, process 1, process 7 drain still"), "{said}");
    let mut tunnel = site.tunnel(&gate, "a.test");
    echoes(&mut tunnel, "goes on");
    drop((tunnel, carriers));
    assert_eq!(gate.end("-TERM"), Some(0));
    is_verified(&site.data_dir);
}

#[test]
fn who_takes_over_from_a_gate_that_is_told_to_end_is_refused_at_once() {
    let site = Site::echo();
    let mut gate = site.first();
    let tunnel = site.tunnel(&gate, "a.test");
    let mut asks = site.control();
    say(&mut asks, "{\"hand_over\":{\"protocol\":1}}\n");
    assert!(line(&mut asks).contains("offered"));
    gate.signal("-TERM");
    let until = Instant::now() + Duration::from_secs(20);
    while UnixStream::connect(site.data_dir.join("control.sock")).is_ok() {
        assert!(Instant::now() < until, "it still answers");
    }
    say(&mut asks, "\"take\"\n");
    assert!(line(&mut asks).contains("gate_ends"));
    drop(tunnel);
    assert_eq!(gate.wait(), Some(0));
}

#[test]
fn two_upgrades_one_after_the_other_leave_two_gates_that_drain_and_both_tell_the_last() {
    let site = Site::echo();
    let notices = Notices::new();
    let mut first = Start { before: &notices.before(), ..site.start() }.gate();
    let mut one = site.tunnel(&first, "one.test");
    let mut second = site.next(&first);
    let mut two = site.tunnel(&second, "two.test");
    assert_eq!(site.draining(), u64::from(first.pid()));
    let mut third = site.next(&second);
    let until = Instant::now() + Duration::from_secs(20);
    while site.status()["draining"].as_array().is_none_or(|all| all.len() < 2) {
        assert!(Instant::now() < until, "both drain");
    }
    echoes(&mut one, "first");
    echoes(&mut two, "second");
    drop((one, two));
    assert_eq!((first.wait(), second.wait()), (Some(0), Some(0)));
    assert_eq!(third.end("-TERM"), Some(0));
    for host in ["one.test", "two.test"] {
        assert_eq!(site.end_of(host)["closed_by"], "client");
    }
    let all = site.records();
    let last = all.iter().rposition(|record| record["action"] == "journal_handed_over").unwrap();
    assert_eq!(all[last..].iter().filter(|record| record["event"] == "close").count(), 2);
    assert!(place(&all, |record| record["action"] == "draining_gate_left") < last);
    assert!(!all.iter().any(|record| record["kind"] == "gap"));
    notices.until("hands over itself");
}

#[test]
fn when_the_next_gate_is_killed_and_none_takes_its_place_all_is_closed_and_on_record() {
    let site = Site::echo();
    let notices = Notices::new();
    let mut old = Start { before: &notices.before(), ..site.start() }.gate();
    let mut tunnel = site.tunnel(&old, "left.test");
    let mut new = site.next(&old);
    echoes(&mut tunnel, "here");
    new.end("-KILL");
    is_cut(tunnel);
    assert_eq!(old.wait(), Some(0));
    notices.until("all that is open here is closed");
    assert_eq!(site.end_of("left.test")["closed_how"], "gate_stopped");
    let all = site.records();
    let back = place(&all, |record| record["action"] == "journal_taken_back");
    assert_eq!(all.last().unwrap()["action"], "journal_closed");
    assert!(back < all.len() - 1);
}

#[test]
fn a_next_gate_that_cannot_start_leaves_the_running_one_as_it_is_and_without_one_it_just_starts() {
    let site = Site::echo();
    let mut old = Start { takes_over: true, ..site.start() }.gate();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = site.beside(taken.local_addr().unwrap());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    // Fewer workers than there are listeners.
    let config = site.config.replace("workers = 2", "workers = 1");
    let one = Start { config: &config, listen: Some(old.address), takes_over: true, ..site.start() }.output();
    assert_eq!(one.status.code(), Some(2), "{one:?}");
    // Without the word nothing else is the same either.
    let alone = Start { listen: Some(old.address), ..site.start() }.output();
    assert!(!alone.status.success(), "{alone:?}");
    let mut tunnel = site.tunnel(&old, "a.test");
    echoes(&mut tunnel, "goes on");
    assert_eq!(site.status()["pid"], old.pid());
    drop(tunnel);
    assert_eq!(old.end("-TERM"), Some(0));
    is_verified(&site.data_dir);
    assert!(!site.records().iter().any(|record| record["action"] == "journal_handed_over"));
}

#[test]
fn what_is_said_wrongly_on_the_socket_of_gates_changes_nothing_and_writes_nothing() {
    let site = Site::echo();
    let mut gate = site.first();
    let mut asks = site.control();
    say(&mut asks, "{\"hand_over\":{\"protocol\":999}}\n");
    assert!(line(&mut asks).contains("other_version"));
    let mut asks = site.control();
    say(&mut asks, "{\"hand_over\":{\"protocol\":1}}\n");
    assert!(line(&mut asks).contains("\"listeners\":2"));
    let mut beside = site.control();
    say(&mut beside, "{\"hand_over\":{\"protocol\":1}}\n");
    assert!(line(&mut beside).contains("hand_over_busy"), "one at a time");
    say(&mut asks, "\"keep\"\n");
    drop(asks);
    let mut carries = site.control();
    say(&mut carries, "{\"carry\":{\"protocol\":2,\"pid\":7}}\n");
    assert!(line(&mut carries).contains("other_version"));

    let carry = || {
        let mut carries = site.control();
        say(&mut carries, "{\"carry\":{\"protocol\":1,\"pid\":7}}\n");
        assert!(line(&mut carries).contains("welcome"));
        assert!(line(&mut carries).contains("imposed"));
        assert!(line(&mut carries).contains("policy"));
        carries
    };
    let time = "\"time\":\"2024-11-24T07:00:00.000000Z\"";
    let good = format!("a{time},\"kind\":\"exchange\",\"event\":\"close\",\"id\":\"00000000007\"\n");
    let mut carries = carry();
    let forged = [
        format!("a{time},\"kind\":\"segment\",\"prev\":\"forged\"\n"),
        format!("a{time},\"kind\":\"exchange\",\"seq\":1,\"detail\":\"forged\"\n"),
        format!("a{time},\"kind\":\"exchange\",\"detail\":\"forged\",\"gate\":\"other\"\n"),
        format!("a{time},\"kind\":\"exchange\",\"detail\":\"forged\"}},{{\"a\":1\n"),
    ];
    say(&mut carries, &format!("{{\"load\":{{\"number\":1,\"records\":5,\"lost\":3}}}}\n{}{good}", forged.concat()));
    assert_eq!(line(&mut carries).trim_end(), "{\"not_taken\":1}");
    say(&mut carries, "\"ended\"\n");
    assert_eq!(line(&mut carries), "");
    for garbage in [
        "\0\0\0\n".to_owned(),
        "a".repeat(10_000),
        "{\"load\":{\"number\":1,\"records\":1000000,\"lost\":0}}\n".to_owned(),
        format!("{{\"load\":{{\"number\":1,\"records\":1,\"lost\":0}}}}\nx{}", &good[1..]),
        format!("{{\"load\":{{\"number\":1,\"records\":1,\"lost\":0}}}}\na{}\n", "b".repeat(300_000)),
        "{\"load\":{\"number\":1,\"records\":1,\"lost\":0}}\n".to_owned(),
    ] {
        let mut carries = carry();
        say(&mut carries, &garbage);
        let _ = carries.get_mut().shutdown(std::net::Shutdown::Write);
        assert_eq!(line(&mut carries), "", "it is let go");
    }
    let mut tunnel = site.tunnel(&gate, "a.test");
    echoes(&mut tunnel, "serves");
    drop(tunnel);
    assert_eq!(gate.end("-TERM"), Some(0));
    is_verified(&site.data_dir);
    let all = site.records();
    let text = crate::gate::journal_text(&site.data_dir);
    assert!(!text.contains("forged"));
    place(&all, |record| record["id"] == "00000000007");
    let lost = &all[place(&all, |record| record["cause"] == "records_lost")];
    assert!(lost["detail"].as_str().unwrap().starts_with("7 "), "three told of and four refused: {lost}");
    assert_eq!(all.iter().filter(|record| record["cause"] == "draining_gate_lost").count(), 6);
}

#[test]
fn tunnels_that_end_while_next_gates_are_killed_again_and_again_have_their_end_on_record_once() {
    let site = Site::echo();
    let mut old = Start { before: QUIET, ..site.start() }.gate();
    let mut tunnels: Vec<_> = (0..90).map(|number| site.tunnel(&old, &format!("t{number}.test"))).collect();
    let mut last = Start { before: QUIET, listen: Some(old.address), takes_over: true, ..site.start() }.gate();
    for round in 0..6 {
        assert_eq!(site.draining(), u64::from(old.pid()));
        // They end while the gate that writes is killed, at another moment each time.
        let ends = tunnels.split_off(tunnels.len() - 15);
        std::thread::scope(|scope| {
            scope.spawn(|| drop(ends));
            let until = Instant::now() + Duration::from_millis(round * 4);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            last.end("-KILL");
        });
        last = Start { before: QUIET, listen: Some(old.address), ..site.start() }.gate();
        is_verified(&site.data_dir);
    }
    assert_eq!(old.wait(), Some(0));
    assert_eq!(last.end("-TERM"), Some(0));
    is_verified(&site.data_dir);
    let all = site.records();
    for number in 0..90 {
        let host = format!("t{number}.test");
        let open = place(&all, |record| record["event"] == "open" && record["host"] == *host);
        place(&all, |record| record["event"] == "close" && record["id"] == all[open]["id"]);
    }
}

#[test]
fn console_attempts_and_streams_go_on_at_the_next_gate_and_a_tunnel_that_outlived_it_is_written_out_once() {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (console, syslog, files) = (free(), free(), tempfile::tempdir().unwrap());
    let log = files.path().join("access.log");
    let config = format!(
        "[console]\nlisten = [\"{console}\"]\n[flows]\nsyslog = [\"udp://{syslog}\"]\n\
         [streams.squid]\nfile = {log:?}\nformat = \"squid\"\n"
    );
    let site = Site::with(Origin::echo(), &config);
    let mut old = site.first();
    let mut tunnel = site.tunnel(&old, "kept.test");
    echoes(&mut tunnel, "before");
    let mut new = site.next(&old);
    assert_eq!(site.draining(), u64::from(old.pid()));
    let mut asks = Peer::connect(console);
    asks.send(format!("GET / HTTP/1.1\r\nHost: {console}\r\nConnection: close\r\n\r\n"));
    assert!(matches!(asks.answer().status(), 200 | 302 | 303), "the console is there");
    let flows = &site.status()["flows"];
    assert!(!flows.to_string().contains("error\":\""), "{flows}");
    drop(tunnel);
    assert_eq!(old.wait(), Some(0));
    assert_eq!(new.end("-TERM"), Some(0));
    let lines = std::fs::read_to_string(&log).unwrap();
    assert_eq!(lines.lines().filter(|line| line.contains("kept.test")).count(), 1, "{lines}");
}

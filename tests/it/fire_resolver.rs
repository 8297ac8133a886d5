//! A name server that is dead, slow or lies: what needs it fails by name, what does not goes on, and all is well again as
//! soon as it is.

use std::net::UdpSocket;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::gate::{Gate, exchanges};
use crate::origin::Origin;

const HEADER: usize = 12;
const TYPE_A: u8 = 1;

/// What the name server does with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// 127.0.0.1 for every name.
    Truth,
    Silent,
    /// Answers when it is told to.
    Slow,
    Failure,
    Refusal,
    Garbage,
    /// An answer cut off within its record.
    Half,
    /// To a question of another number.
    WrongNumber,
    /// To a question for another name.
    WrongQuestion,
    /// No host's address.
    Nowhere,
    /// A machine's own neighbour, which no rule opens.
    Metadata,
}

struct Server {
    mood: Arc<Mutex<Mood>>,
    address: std::net::SocketAddr,
    asked: Receiver<()>,
    go_on: Sender<()>,
}

impl Server {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mood = Arc::new(Mutex::new(Mood::Truth));
        let (told, asked) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel();
        let of_server = mood.clone();
        std::thread::spawn(move || {
            let mut query = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let mood = *of_server.lock().unwrap();
                let _ = told.send(());
                if mood == Mood::Slow && goes_on.recv_timeout(Duration::from_secs(60)).is_err() {
                    return;
                }
                if let Some(answer) = answer(&query[..length], mood) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { mood, address, asked, go_on }
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

fn answer(query: &[u8], mood: Mood) -> Option<Vec<u8>> {
    let end = HEADER + query[HEADER..].iter().position(|byte| *byte == 0)? + 5;
    let mut question = query[HEADER..end].to_vec();
    let is_a = question[question.len() - 3] == TYPE_A;
    let (mut number, mut code, mut address) = ([query[0], query[1]], 0, [127, 0, 0, 1]);
    match mood {
        Mood::Silent => return None,
        Mood::Garbage => return Some(vec![0xff; 40]),
        Mood::Failure => code = 2,
        Mood::Refusal => code = 5,
        Mood::WrongNumber => number[1] ^= 1,
        // Its first letter is another.
        Mood::WrongQuestion => question[1] = b'z',
        Mood::Nowhere => address = [0; 4],
        Mood::Metadata => address = [169, 254, 169, 254],
        Mood::Truth | Mood::Slow | Mood::Half => {}
    }
    let has_one = is_a && code == 0;
    let mut bytes = [&number[..], &[0x81, 0x80 | code, 0, 1, 0, u8::from(has_one), 0, 0, 0, 0], &question].concat();
    if has_one {
        bytes.extend_from_slice(&[0xc0, 0x0c, 0, TYPE_A, 0, 1, 0, 0, 0, 0, 0, 4]);
        bytes.extend_from_slice(&address);
    }
    if mood == Mood::Half {
        bytes.truncate(end + 3);
    }
    Some(bytes)
}

struct Lab {
    server: Server,
    origin: Origin,
    gate: Gate,
}

fn lab(timeout_seconds: u8) -> Lab {
    let (server, origin) = (Server::new(), Origin::start());
    let policy = format!("{}{}", origin.policy(), origin.rule_for("*.test", "protocol = \"any\""));
    let config = format!("[dns]\nservers = [\"{}\"]\ntimeout_seconds = {timeout_seconds}\n", server.address);
    let gate = Gate::configured(&policy, &config);
    Lab { server, origin, gate }
}

impl Lab {
    fn ask(&self, host: &str) -> (u16, String) {
        let at = format!("{host}:{}", self.origin.address.port());
        let mut client = self.gate.client();
        client.send(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n"));
        let answer = client.answer();
        (answer.status(), answer.text())
    }
}

#[test]
fn a_name_server_that_is_dead_or_lies_is_named_and_all_is_well_again_when_it_is() {
    let mut lab = lab(1);
    let address = lab.origin.address.ip().to_string();
    let moods = [
        (Mood::Silent, 502, "dns_failed"),
        (Mood::Failure, 502, "dns_failed"),
        (Mood::Refusal, 502, "dns_failed"),
        (Mood::Garbage, 502, "dns_failed"),
        (Mood::Half, 502, "dns_failed"),
        (Mood::WrongNumber, 502, "dns_failed"),
        (Mood::WrongQuestion, 502, "dns_failed"),
        (Mood::Nowhere, 403, "guard"),
        (Mood::Metadata, 403, "guard"),
    ];
    for (number, (mood, status, reason)) in moods.into_iter().enumerate() {
        lab.server.is(mood);
        let host = format!("n{number}.test");
        let seen = lab.origin.requests().len();
        let (told, text) = lab.ask(&host);
        assert_eq!(told, status, "{mood:?}: {text}");
        assert!(reason == "guard" || text.contains(reason), "{mood:?}: {text}");
        assert_eq!(lab.origin.requests().len(), seen, "{mood:?}: nothing was sent anywhere");
        assert_eq!(lab.ask(&address).0, 200, "{mood:?}: what needs no name goes on");
        lab.server.is(Mood::Truth);
        assert_eq!(lab.ask(&host).0, 200, "{mood:?}: and the name too, at once");
    }
    let records = lab.gate.records();
    let failed: Vec<_> = exchanges(&records).into_iter().filter(|it| it["closed_how"] == "dns_failed").collect();
    assert_eq!(failed.len(), moods.iter().filter(|mood| mood.2 == "dns_failed").count());
    assert!(failed.iter().all(|it| it["closed_by"] == "dns" && it["status"] == 502), "{failed:#?}");
    let opened = records.iter().filter(|record| record["event"] == "open").count();
    // Those that DNS pointed elsewhere are on record as well.
    assert!(opened >= lab.origin.requests().len() + failed.len());
    sekisho::store::verify(&lab.gate.data_dir(), &Default::default()).unwrap();
}

#[test]
fn a_name_server_that_is_slow_holds_up_its_names_alone() {
    let mut lab = lab(30);
    lab.server.is(Mood::Slow);
    let at = format!("slow.test:{}", lab.origin.address.port());
    let mut waiting = lab.gate.client();
    waiting.send(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n"));
    lab.server.asked.recv_timeout(Duration::from_secs(20)).expect("the name is asked for");
    for _ in 0..20 {
        assert_eq!(lab.ask(&lab.origin.address.ip().to_string()).0, 200, "what needs no name goes on");
    }
    lab.server.is(Mood::Truth);
    let _ = lab.server.go_on.send(());
    assert_eq!(waiting.answer().status(), 200, "and the name, once it is known");
    drop(waiting);
    let exchanges = lab.gate.exchanges();
    assert_eq!(exchanges.len(), 21);
    assert!(exchanges.iter().all(|it| it["closed_how"] == "complete"), "{exchanges:#?}");
}

//! Clients that take their time: slow heads, slow bodies, half a hello to the secure proxy and in a tunnel, and connections
//! that lie idle, a fifth of each. What the gate closes is opened again. Another client is served meanwhile.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};

use super::patient_origin;
use crate::gate::{Gate, QUIET, Start, raise_open_files};
use crate::origin::{Origin, pair_of};
use crate::peer::Peer;

/// A gate bounds what one client may hold; the crowd comes from as many addresses of loopback as it needs.
const FROM_ONE_ADDRESS: usize = 2000;
/// Each slow client sends a byte in a second, in which its kind is gone through in so many steps.
const STEPS: usize = 50;
/// Between two questions of the client that is served meanwhile.
const PACE: Duration = Duration::from_millis(5);
/// Descriptors of the gate, and of this process: each connection takes one, many of them two.
const OPEN_FILES: u64 = 1 << 16;
/// What an allocator may keep for itself, however few they were.
pub(crate) const KEPT_MAX: u64 = 4 << 20;
/// How long memory may take to be given back.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// What came of it.
pub(crate) struct Figures {
    /// Connections that were opened again.
    pub(crate) again: usize,
    pub(crate) open: u64,
    pub(crate) alone: Times,
    pub(crate) among_them: Times,
    /// Resident bytes, the program's file left out.
    pub(crate) memory_before: u64,
    pub(crate) memory_among_them: u64,
    pub(crate) memory_after: u64,
    pub(crate) back_after: Duration,
}

/// How long answers took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) asked: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SlowHead,
    SlowBody,
    HalfHello,
    HalfHelloInTunnel,
    Idle,
}

const KINDS: [Kind; 5] = [Kind::SlowHead, Kind::SlowBody, Kind::HalfHello, Kind::HalfHelloInTunnel, Kind::Idle];

struct Site {
    gate: Gate,
    secure: SocketAddr,
    /// Of the client that is served meanwhile.
    origin: Origin,
    /// Takes everything and never answers.
    sink: SocketAddr,
    hello: Vec<u8>,
    _files: tempfile::TempDir,
}

impl Site {
    fn new(connections: usize) -> Self {
        let files = tempfile::tempdir().unwrap();
        let pair = pair_of(vec!["proxy.test".to_owned()]);
        let [certificate, key] = [("proxy.pem", &pair.certificate), ("proxy.key", &pair.key)].map(|(name, text)| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        });
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let config = format!(
            "[limits]\nconnections_max = {}\n[secure_proxy]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"{}\"\nkey = \"{}\"\n",
            connections + 100,
            certificate.display(),
            key.display()
        );
        let origin = patient_origin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", || ());
        let sink = sink();
        let swallowed = origin.policy().replace("\"origin\"", "\"sink\"");
        let swallowed = swallowed.replace(&format!("[{}]", origin.address.port()), &format!("[{}]", sink.port()));
        let gate = Start {
            policy: &format!("{}{swallowed}", origin.policy()),
            config: &config,
            before: &format!("{QUIET}\nulimit -n {OPEN_FILES} || ulimit -n $(ulimit -H -n)"),
            ..Start::default()
        }
        .gate();
        let secure = gate.status()["listening_tls"][0].as_str().unwrap().parse().unwrap();
        let digits = include_str!("../data/hellos/curl.hex").trim().as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        let hello = digits.chunks(2).map(byte).collect();
        Self { gate, secure, origin, sink, hello, _files: files }
    }

    fn ask(&self, client: &mut Peer) {
        client.send(format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", self.origin.address));
        assert_eq!(client.answer().status(), 200, "another client is served");
    }

    /// Asks at a modest pace for so long.
    fn times(&self, client: &mut Peer, span: Duration, ended: &Receiver<()>) -> Times {
        let (since, mut times) = (Instant::now(), Vec::new());
        while since.elapsed() < span {
            let begun = Instant::now();
            self.ask(client);
            times.push(begun.elapsed());
            assert_eq!(ended.recv_timeout(PACE), Err(RecvTimeoutError::Timeout));
        }
        times.sort_unstable();
        let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
        Times { asked: times.len(), p50: at(50), p99: at(99) }
    }

    /// Resident memory but for the program's file, in bytes.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gate.pid())).unwrap();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        (kib("VmRSS:") - kib("RssFile:")) * 1024
    }
}

/// An origin that reads what comes and says nothing.
fn sink() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held: Vec<TcpStream> = Vec::new();
        for stream in listener.incoming().flatten() {
            let _ = stream.set_nonblocking(true);
            held.push(stream);
            if held.len().is_multiple_of(64) {
                held.retain_mut(is_open);
            }
        }
    });
    address
}

/// Reads what is there; false when the other side has ended the connection.
fn is_open(stream: &mut TcpStream) -> bool {
    loop {
        match stream.read(&mut [0; 4096]) {
            Ok(1..) => {}
            Ok(0) => return false,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// One of the crowd.
struct Slow {
    stream: TcpStream,
    number: usize,
    /// Bytes of the head sent so far.
    sent: usize,
}

impl Slow {
    fn open(site: &Site, kind: Kind, number: usize) -> io::Result<Self> {
        let source = Ipv4Addr::from_bits(0x7f00_0002 + u32::try_from(number / FROM_ONE_ADDRESS).unwrap_or(0));
        let to = if kind == Kind::HalfHello { site.secure } else { site.gate.address };
        let mut stream: TcpStream = {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
            socket.bind(&SocketAddr::from((source, 0)).into())?;
            socket.connect(&to.into())?;
            socket.into()
        };
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let half = &site.hello[..site.hello.len() / 2];
        let at = site.sink;
        match kind {
            Kind::SlowHead => {}
            Kind::SlowBody => {
                write!(stream, "POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\nContent-Length: 1000000\r\n\r\n")?;
            }
            Kind::HalfHello => stream.write_all(half)?,
            Kind::HalfHelloInTunnel => {
                write!(stream, "CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n")?;
                read_some(&mut stream)?;
                stream.write_all(half)?;
            }
            Kind::Idle => {
                stream.write_all(b"GET / HTTP/1.1\r\nHost: gate\r\n\r\n")?;
                read_some(&mut stream)?;
            }
        }
        stream.set_nonblocking(true)?;
        Ok(Self { stream, number, sent: 0 })
    }

    /// Sends another byte where it is slow; false when the gate has ended the connection.
    fn goes_on(&mut self, kind: Kind) -> bool {
        if matches!(kind, Kind::SlowHead | Kind::SlowBody) {
            let head = b"GET http://127.0.0.1/ HTTP/1.1\r\nX-Slow: ";
            let byte = head.get(self.sent).copied().unwrap_or(b'a');
            self.sent += 1;
            if self.stream.write_all(&[byte]).is_err() {
                return false;
            }
        }
        is_open(&mut self.stream)
    }
}

/// The beginning of an answer of success.
fn read_some(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer)?;
    let is_well = buffer[..count].starts_with(b"HTTP/1.1 200");
    is_well.then_some(()).ok_or_else(|| io::Error::other(String::from_utf8_lossy(&buffer[..count]).into_owned()))
}

/// Opens its part of the crowd, says so, and lets it stand until there is nobody to hear the end.
fn stand(site: &Site, kind: Kind, numbers: std::ops::Range<usize>, opened: &AtomicUsize, end: &Receiver<()>) -> usize {
    let open = |number| {
        Slow::open(site, kind, number)
            .unwrap_or_else(|error| panic!("{kind:?} {number}: {error} (has the gate descriptors for so many?)"))
    };
    let count = |_: &Slow| _ = opened.fetch_add(1, Ordering::Relaxed);
    let mut crowd: Vec<Slow> = numbers.map(open).inspect(count).collect();
    let (mut again, step) = (0, crowd.len().div_ceil(STEPS).max(1));
    loop {
        for part in crowd.chunks_mut(step) {
            for one in part.iter_mut() {
                if !one.goes_on(kind) {
                    *one = open(one.number);
                    again += 1;
                }
            }
            if end.recv_timeout(Duration::from_secs(1) / STEPS as u32) != Err(RecvTimeoutError::Timeout) {
                return again;
            }
        }
    }
}

/// So many connections stand before a gate for so long. `said` hears how many do, while they come.
pub(crate) fn stand_before_a_gate(connections: usize, span: Duration, mut said: impl FnMut(u64) -> bool) -> Figures {
    raise_open_files();
    // Root may have more than the system gives by itself.
    let limit = Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) };
    let _ = setrlimit(Resource::Nofile, limit);
    let mut site = Site::new(connections);
    let mut client = site.gate.client();
    let (_never, ended) = mpsc::channel();
    // What is only ever needed once is there before memory is looked at.
    site.times(&mut client, span / 4, &ended);
    let alone = site.times(&mut client, span, &ended);
    let memory_before = site.memory();
    let opened = AtomicUsize::new(0);
    let (among_them, memory_among_them, open, again) = std::thread::scope(|scope| {
        let each = connections / KINDS.len();
        let standing: Vec<_> = KINDS
            .iter()
            .enumerate()
            .map(|(number, kind)| {
                let (end, ended) = mpsc::channel::<()>();
                let (site, opened) = (&site, &opened);
                let numbers = number * each..(number + 1) * each;
                (end, scope.spawn(move || stand(site, *kind, numbers, opened, &ended)))
            })
            .collect();
        while opened.load(Ordering::Relaxed) < each * KINDS.len() && !standing.iter().any(|(_, one)| one.is_finished())
        {
            site.ask(&mut client);
            let _ = ended.recv_timeout(Duration::from_millis(20));
            assert!(said(opened.load(Ordering::Relaxed) as u64), "they take too long to come");
        }
        said(opened.load(Ordering::Relaxed) as u64);
        let among_them = site.times(&mut client, span, &ended);
        let (memory, status) = (site.memory(), site.gate.status());
        let (ends, threads): (Vec<_>, Vec<_>) = standing.into_iter().unzip();
        drop(ends);
        let again = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(status["connections"]["overflows"], 0, "{status}");
        assert_eq!(status["connections"]["overflows_of_clients"], 0, "{status}");
        (among_them, memory, status["connections"]["open"].as_u64().unwrap(), again)
    });
    let (since, grown) = (Instant::now(), memory_among_them.saturating_sub(memory_before));
    let mut memory_after = site.memory();
    while memory_after > memory_before + KEPT_MAX.max(grown / 4) && since.elapsed() < BACK_WITHIN {
        site.ask(&mut client);
        let _ = ended.recv_timeout(PACE);
        memory_after = site.memory();
    }
    let back_after = since.elapsed();
    drop(client);
    assert_eq!(site.gate.end("-TERM"), Some(0));
    sekisho::store::verify(&site.gate.data_dir(), &Default::default()).unwrap();
    Figures { again, open, alone, among_them, memory_before, memory_among_them, memory_after, back_after }
}

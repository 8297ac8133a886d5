//! Puts a running gate under load, with an origin of its own: `cargo run --release --example load -- get`.

#[path = "../benches/speed/client.rs"]
mod client;
#[path = "../benches/speed/origin.rs"]
mod origin;
#[path = "../benches/speed/process.rs"]
mod process;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use client::{KeptAlive, Tunnel};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

const HELP: &str = "\
Puts a running gate under load, with an origin of its own.

Usage: load get|connect|idle|storm|silent|slow [OPTIONS]

  get      requests over connections that are kept alive
  connect  tunnels: opened, a byte there and back, closed
  idle     tunnels that are opened and then stand still
  storm    a morning: PCs that open 15 tunnels each, as Chromium does, with and then without the gate
  silent   connections on which nothing is said; one that the gate closes is opened again
  slow     the same with a head that comes by one byte a second

Options:
  --proxy ADDRESS    the gate [127.0.0.1:3128]
  --origin ADDRESS   where this program listens as the origin [127.0.0.1:8090]
  --pid PID          the gate's process: its CPU time and memory are shown
  --clients N        at the same time: clients, tunnels, PCs or connections [8; 500 PCs; else 1000]
  --seconds N        stop after this time; how long tunnels or connections stand; how long a storm lasts [5; 10]
  --count N          stop after so many
  --bytes N          the length of an answer [1024]

Silent and slow connections come from 127.0.0.2 and on, 2,000 from each address; PCs have addresses of their own from
127.0.1.0 on. A storm's tunnels all stand to its end. Where the policy says `verdict = \"challenge\"` and `sni = \"any\"` in
place of `protocol`, the first of each PC is ended, and opened again as a browser does: that counts towards its time.

The gate's policy must let it out to the origin:

  [[rule]]
  name = \"load\"
  hosts = [\"127.0.0.1\"]
  ports = [8090]
  private = [\"127.0.0.0/8\"]
  protocol = \"any\"
  verdict = \"allow\"

Exit codes: 0 all went well · 1 something failed · 2 the command line cannot be used";

fn main() -> ExitCode {
    if env::args().any(|argument| matches!(argument.as_str(), "--help" | "-h")) {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Some(options) = Options::read(env::args().skip(1)) else {
        eprintln!("{HELP}");
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Get,
    Connect,
    Idle,
    Storm,
    Silent,
    Slow,
}

struct Options {
    work: Work,
    proxy: SocketAddr,
    origin: SocketAddr,
    pid: Option<u32>,
    clients: usize,
    time: Duration,
    count: u64,
    bytes: u64,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let (work, clients) = match arguments.next()?.as_str() {
            "get" => (Work::Get, 8),
            "connect" => (Work::Connect, 8),
            "idle" => (Work::Idle, 1000),
            "storm" => (Work::Storm, 500),
            "silent" => (Work::Silent, 1000),
            "slow" => (Work::Slow, 1000),
            _ => return None,
        };
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut options = Self {
            work,
            proxy: loopback(3128),
            origin: loopback(8090),
            pid: None,
            clients,
            time: Duration::from_secs(if work == Work::Storm { 10 } else { 5 }),
            count: u64::MAX,
            bytes: 1024,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "--proxy" => options.proxy = value.parse().ok()?,
                "--origin" => options.origin = value.parse().ok()?,
                "--pid" => options.pid = Some(value.parse().ok()?),
                "--clients" => options.clients = value.parse().ok().filter(|clients| *clients > 0)?,
                "--seconds" => options.time = Duration::from_secs(value.parse().ok()?),
                "--count" => options.count = value.parse().ok()?,
                "--bytes" => options.bytes = value.parse().ok()?,
                _ => return None,
            }
        }
        Some(options)
    }
}

fn run(options: &Options) -> io::Result<()> {
    let open_files = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: open_files, maximum: open_files })?;
    let before = Gauge::read(options.pid);
    match options.work {
        Work::Get => {
            let origin = origin::start(options.origin)?;
            busy(options, "requests", before, || {
                let mut client = KeptAlive::new(Some(options.proxy), origin, options.bytes)?;
                Ok(move || match client.exchange()? {
                    200 => Ok(()),
                    status => Err(io::Error::other(format!("answered with status {status}"))),
                })
            })
        }
        Work::Connect => {
            let origin = origin::start(options.origin)?;
            busy(options, "tunnels", before, || {
                Ok(|| Tunnel::open(Some(options.proxy), origin, &[]).and_then(|mut tunnel| tunnel.carry(1, 1)))
            })
        }
        Work::Idle => idle(options, origin::start(options.origin)?, before),
        Work::Storm => storm(options, origin::start(options.origin)?, before),
        Work::Silent | Work::Slow => stand(options, before),
    }
}

/// Every client does its work again and again, until one fails or time or count are up.
fn busy<F: FnMut() -> io::Result<()>>(
    options: &Options,
    what: &str,
    before: Gauge,
    client: impl Fn() -> io::Result<F> + Sync,
) -> io::Result<()> {
    let (begun, failed, since) = (AtomicU64::new(0), AtomicBool::new(false), Instant::now());
    let one_client = || {
        let mut work = client()?;
        let mut times = Vec::new();
        while since.elapsed() < options.time
            && !failed.load(Ordering::Relaxed)
            && begun.fetch_add(1, Ordering::Relaxed) < options.count
        {
            let begun = Instant::now();
            work().inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            times.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
        Ok(times)
    };
    let results: Vec<io::Result<Vec<u32>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..options.clients).map(|_| scope.spawn(one_client)).collect();
        let died = || Err(io::Error::other("a client died"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| died())).collect()
    });
    let took = since.elapsed().as_secs_f64();
    let mut times = results.into_iter().collect::<io::Result<Vec<_>>>()?.concat();
    times.sort_unstable();
    let done = times.len() as u64;
    println!("{done} {what} in {took:.1} s: {:.0} a second", done as f64 / took);
    println!("  time of one: {}", spread(&times));
    Gauge::read(options.pid).tell(before, done, what);
    Ok(())
}

/// Of sorted times in microseconds the median, the 99th percentile and the longest.
fn spread(times: &[u32]) -> String {
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).or(times.last()).copied().unwrap_or(0);
    format!("p50 {} µs, p99 {} µs, max {} µs", at(0.5), at(0.99), at(1.0))
}

/// Tunnels of a PC in a storm, a third of them for each of its start pages.
const TUNNELS_OF_PC: usize = 15;
/// As Chromium asks for a tunnel, and begins TLS in it.
const CHROMIUM: &str = "Proxy-Connection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) \
    AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\n";
const HELLO: &str = include_str!("../tests/data/hellos/chromium-address.hex");

/// PCs that all begin to work at once, through the gate and then without it.
fn storm(options: &Options, origin: SocketAddr, before: Gauge) -> io::Result<()> {
    let hello = hello();
    let run = |gate: Option<SocketAddr>| storm_through(options, gate, origin, &hello);
    let (with, again) = run(Some(options.proxy))?;
    let many = with.len() as u64;
    println!("{many} tunnels of {} PCs within {} s", options.clients, options.time.as_secs());
    println!("  ended at once, and opened again: {again}");
    println!("  time until one carries a byte and back: {}", spread(&with));
    Gauge::read(options.pid).tell(before, many, "tunnels");
    let (without, _) = run(None)?;
    println!("  the same without the gate: {}", spread(&without));
    Ok(())
}

/// The times of all tunnels, sorted, and how many had to be opened a second time.
fn storm_through(
    options: &Options,
    gate: Option<SocketAddr>,
    origin: SocketAddr,
    hello: &[u8],
) -> io::Result<(Vec<u32>, usize)> {
    let since = Instant::now();
    let pc = |number: usize| {
        let source = Ipv4Addr::from_bits(0x7f00_0100 + number as u32);
        let open = || {
            let stream = connect_from(source, gate.unwrap_or(origin))?;
            let mut tunnel = Tunnel::over(stream, gate.map(|_| CHROMIUM), origin, hello)?;
            tunnel.carry(1, 1).map(|()| tunnel)
        };
        let (mut standing, mut times, mut again) = (Vec::new(), Vec::new(), 0);
        // Each page at a moment of its own: what multiples of the golden ratio leave behind the point is spread evenly.
        let mut pages = [0, 1, 2].map(|page| ((3 * number + page) as f64 * 0.618_033_988_75).fract());
        pages.sort_unstable_by(f64::total_cmp);
        for page in pages {
            thread::sleep(options.time.mul_f64(page).saturating_sub(since.elapsed()));
            for _ in 0..TUNNELS_OF_PC / pages.len() {
                let begun = Instant::now();
                standing.push(open().or_else(|_| {
                    again += 1;
                    open()
                })?);
                times.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
        }
        thread::sleep(options.time.saturating_sub(since.elapsed()));
        Ok::<_, io::Error>((times, again))
    };
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..options.clients).map(|number| scope.spawn(move || pc(number))).collect();
        let died = || Err(io::Error::other("a PC died"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| died())).collect()
    });
    let (mut times, mut again) = (Vec::new(), 0);
    for result in results {
        let (of_pc, of_pc_again) = result?;
        times.extend(of_pc);
        again += of_pc_again;
    }
    times.sort_unstable();
    Ok((times, again))
}

fn hello() -> Vec<u8> {
    let digits: Vec<_> = HELLO.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// A connection from an address of loopback.
fn connect_from(source: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect(&to.into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(socket.into())
}

/// Opens the tunnels, lets them stand, and closes them.
fn idle(options: &Options, origin: SocketAddr, before: Gauge) -> io::Result<()> {
    let many = options.clients as u64;
    let open =
        || Tunnel::open(Some(options.proxy), origin, &[]).and_then(|mut tunnel| tunnel.carry(1, 1).map(|()| tunnel));
    let tunnels = (0..options.clients).map(|_| open()).collect::<io::Result<Vec<_>>>()?;
    let opened = Gauge::read(options.pid);
    println!("{many} tunnels stand");
    opened.tell(before, many, "tunnels");
    thread::sleep(options.time);
    println!("after {} s without a byte", options.time.as_secs());
    Gauge::read(options.pid).tell(opened, many, "tunnels");
    if let (Some(now), Some(then)) = (resident_bytes(options.pid), before.memory) {
        println!("  memory a tunnel: {} bytes", now.saturating_sub(then) / many);
    }
    drop(tunnels);
    Ok(())
}

/// A connection that keeps the gate waiting for a request.
struct Standing {
    stream: TcpStream,
    source: Ipv4Addr,
    /// Bytes of the head sent so far.
    sent: usize,
}

/// Connections from one address of loopback; a gate bounds what one client may hold.
const FROM_ONE_ADDRESS: usize = 2000;
/// The ticks of a second, over which the bytes of slow heads are spread.
const TICKS: usize = 1000;

impl Standing {
    fn open(proxy: SocketAddr, source: Ipv4Addr) -> io::Result<Self> {
        let stream = connect_from(source, proxy)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, source, sent: 0 })
    }

    /// Sends another byte of the head, if it is a slow one; false when the gate has ended the connection.
    fn goes_on(&mut self, slow: bool) -> bool {
        if slow {
            let head = b"GET http://127.0.0.1/ HTTP/1.1\r\nX-Slow: ";
            let byte = head.get(self.sent).copied().unwrap_or(b'a');
            self.sent += 1;
            if self.stream.write_all(&[byte]).is_err() {
                return false;
            }
        }
        self.stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// Opens the connections, lets them stand, opens again what the gate has closed, and closes them.
fn stand(options: &Options, before: Gauge) -> io::Result<()> {
    let many = options.clients as u64;
    let source = |number: usize| Ipv4Addr::from_bits(0x7f00_0002 + (number / FROM_ONE_ADDRESS) as u32);
    let open = |number| Standing::open(options.proxy, source(number));
    let mut standing = (0..options.clients).map(open).collect::<io::Result<Vec<_>>>()?;
    let opened = Gauge::read(options.pid);
    println!("{many} connections stand");
    opened.tell(before, many, "connections");
    let (since, mut again, mut tick) = (Instant::now(), 0, 0);
    while since.elapsed() < options.time {
        thread::sleep(Duration::from_secs(1) / TICKS as u32);
        for one in standing.iter_mut().skip(tick % TICKS).step_by(TICKS) {
            if !one.goes_on(options.work == Work::Slow) {
                *one = Standing::open(options.proxy, one.source)?;
                again += 1;
            }
        }
        tick += 1;
    }
    println!("after {} s, in which {again} were opened again", options.time.as_secs());
    let stood = Gauge::read(options.pid);
    stood.tell(opened, many, "connections");
    drop(standing);
    thread::sleep(Duration::from_secs(2));
    println!("after they have gone");
    Gauge::read(options.pid).tell(stood, many, "connections");
    Ok(())
}

/// What a process has used and holds.
#[derive(Clone, Copy)]
struct Gauge {
    cpu: Option<Duration>,
    memory: Option<u64>,
}

impl Gauge {
    fn read(pid: Option<u32>) -> Self {
        Self { cpu: pid.and_then(process::cpu_time), memory: resident_bytes(pid) }
    }

    fn tell(self, before: Self, units: u64, what: &str) {
        if let (Some(now), Some(then)) = (self.cpu, before.cpu) {
            let used = now.saturating_sub(then);
            let each = used.as_secs_f64() * 1e6 / units.max(1) as f64;
            println!("  CPU of the gate: {:.2} s for {units} {what}, {each:.1} µs each", used.as_secs_f64());
        }
        if let (Some(now), Some(then)) = (self.memory, before.memory) {
            println!("  memory of the gate: {} KiB, before {} KiB", now >> 10, then >> 10);
        }
    }
}

/// Memory of a process that is in RAM.
fn resident_bytes(pid: Option<u32>) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid?)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}

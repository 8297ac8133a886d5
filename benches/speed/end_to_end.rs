//! What it costs to carry an exchange: a gate as a process of its own, an origin and clients in this one.
//! Its CPU time is counted, by the hundredth of a second.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::client::{KeptAlive, Tunnel};
use crate::harness::{Bencher, CpuOf, Scenario};
use crate::{hex, origin};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("end_to_end::direct_get_1_kib", |b| direct().bench_get(b, 1 << 10)),
    ("end_to_end::forward_get_1_kib", |b| gate().bench_get(b, 1 << 10)),
    ("end_to_end::forward_get_1_kib_x8", |b| gate().clients(8).bench_get(b, 1 << 10)),
    ("end_to_end::forward_get_1_mib", |b| gate().bench_get_bulk(b, 1 << 20)),
    ("end_to_end::forward_refused", |b| gate().denying().bench_get(b, 1 << 10)),
    ("end_to_end::direct_open_echo_close", |b| direct().bench_open(b)),
    ("end_to_end::tunnel_open_echo_close", |b| gate().bench_open(b)),
    ("end_to_end::tunnel_open_echo_close_x8", |b| gate().clients(8).bench_open(b)),
    ("end_to_end::tunnel_open_hello_close", |b| gate().hello().bench_open(b)),
    ("end_to_end::tunnel_judged_by_hello", |b| gate().hello().judged_by_hello().bench_open(b)),
    ("end_to_end::tunnel_of_browser_allowed", |b| gate().browser().bench_open(b)),
    ("end_to_end::tunnel_of_browser_judged", |b| gate().browser().judged_by_hello().bench_open(b)),
    ("end_to_end::tunnel_of_browser_cleared", |b| gate().browser().challenging().bench_open(b)),
    ("end_to_end::tunnel_of_browser_allowed_x8", |b| gate().browser().clients(8).bench_open(b)),
    ("end_to_end::tunnel_of_browser_judged_x8", |b| gate().browser().judged_by_hello().clients(8).bench_open(b)),
    ("end_to_end::tunnel_of_browser_cleared_x8", |b| gate().browser().challenging().clients(8).bench_open(b)),
    ("end_to_end::tunnel_echo", |b| gate().bench_carry(b, 1, 1)),
    ("end_to_end::tunnel_down", |b| gate().bench_carry(b, 0, BULK)),
    ("end_to_end::tunnel_up", |b| gate().bench_carry(b, BULK, 1)),
];

const BULK: usize = 64 << 20;
const HELLO: &str = include_str!("../../tests/data/hellos/chromium-address.hex");

const LOAD: &str = "User-Agent: load/1.0\r\n";
/// As Chromium asks for a tunnel.
const CHROMIUM: &str = "Proxy-Connection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) \
    AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\n";

fn direct() -> Given {
    Given {
        gate: false,
        clients: 1,
        denying: false,
        hello: false,
        programs: "",
        verdict: "allow",
        fields: LOAD,
        bytes: 1,
        carries: "protocol = \"any\"",
    }
}

fn gate() -> Given {
    Given { gate: true, ..direct() }
}

/// How the clients of a scenario get to the origin.
struct Given {
    gate: bool,
    clients: usize,
    denying: bool,
    hello: bool,
    programs: &'static str,
    verdict: &'static str,
    fields: &'static str,
    bytes: usize,
    carries: &'static str,
}

impl Given {
    /// So many clients at the same time.
    fn clients(mut self, clients: usize) -> Self {
        self.clients = clients;
        self
    }

    /// No rule names the origin.
    fn denying(mut self) -> Self {
        self.denying = true;
        self
    }

    /// A tunnel begins with the ClientHello of a browser.
    fn hello(mut self) -> Self {
        self.hello = true;
        self
    }

    /// A tunnel is asked for as that browser does too, and carries 1 KiB each way; it may carry TLS and nothing else,
    /// as is usual, so that its hello is looked at.
    fn browser(mut self) -> Self {
        self.carries = "sni = \"any\"";
        (self.fields, self.bytes) = (CHROMIUM, 1 << 10);
        self.hello()
    }

    /// Its program is to show that it is a browser, and has done so before anything is measured.
    fn challenging(mut self) -> Self {
        self.verdict = "challenge";
        self
    }

    /// The rule is for a program that is known by its ClientHello, so the gate answers before it dials.
    fn judged_by_hello(mut self) -> Self {
        self.programs = "programs = [\"browser\"]\n";
        self
    }

    fn policy(&self, origin: SocketAddr) -> String {
        let host = if self.denying { "203.0.113.1".to_owned() } else { origin.ip().to_string() };
        format!(
            "[programs]\nbrowser = {{ ja4 = [\"t13i1516h2_8daaf6152771_cb7bf5808d99\"] }}\n\
             [[rule]]\nname = \"origin\"\nhosts = [\"{host}\"]\nports = [{}]\nprivate = [\"127.0.0.0/8\"]\n\
             {}{}\nverdict = \"{}\"\n",
            origin.port(),
            self.programs,
            self.carries,
            self.verdict
        )
    }

    /// Runs `work` with the addresses of the gate, if there is one, and of the origin.
    fn with(&self, b: &mut Bencher, work: impl FnOnce(&mut Bencher, Option<SocketAddr>, SocketAddr)) {
        let origin = origin::start((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let gate = self.gate.then(|| Gate::start(&self.policy(origin)));
        if let Some(gate) = &gate {
            b.cpu_of(CpuOf::Other(gate.child.id()));
        }
        work(b, gate.as_ref().map(|gate| gate.address), origin);
    }

    /// Each client asks for so many bytes, again and again on one connection; a unit is a request.
    fn bench_get(self, b: &mut Bencher, bytes: u64) {
        let status = if self.denying { 403 } else { 200 };
        self.with(b, |b, gate, origin| {
            let clients = (0..self.clients).map(|_| KeptAlive::new(gate, origin, bytes).unwrap()).collect();
            by_all(b, clients, |client: &mut KeptAlive| assert_eq!(client.exchange().unwrap(), status));
        });
    }

    /// The same, where a unit is a byte.
    fn bench_get_bulk(self, b: &mut Bencher, bytes: u64) {
        self.with(b, |b, gate, origin| {
            let mut client = KeptAlive::new(gate, origin, bytes).unwrap();
            b.units(bytes, "byte").iter(|| assert_eq!(client.exchange().unwrap(), 200));
        });
    }

    /// Each client opens a tunnel, sends a byte or 1 KiB, waits for as much and closes; a unit is all of that.
    fn bench_open(self, b: &mut Bencher) {
        let hello = if self.hello { hex(HELLO) } else { Vec::new() };
        self.with(b, |b, gate, origin| {
            let open = || Tunnel::open_as(self.fields, gate, origin, &hello).unwrap().carry(self.bytes, self.bytes);
            if self.verdict == "challenge" {
                assert!(open().is_err(), "the first is ended, and what comes back passes");
            }
            by_all(b, vec![(); self.clients], |()| open().unwrap());
        });
    }

    /// So many bytes go up a standing tunnel and so many down; a unit is a byte, or a round trip of one.
    fn bench_carry(self, b: &mut Bencher, up: usize, down: usize) {
        let least = |bytes: usize| if b.is_measured() { bytes } else { bytes.min(1 << 20) };
        let (up, down) = (least(up), least(down));
        self.with(b, |b, gate, origin| {
            let mut tunnel = Tunnel::open(gate, origin, &[]).unwrap();
            let bytes = up.max(down) as u64;
            b.units(bytes, if bytes > 1 { "byte" } else { "round trip" }).iter(|| tunnel.carry(up, down).unwrap());
        });
    }
}

/// Each client does `work`, alone on this thread or each on one of its own.
fn by_all<C: Send>(b: &mut Bencher, mut clients: Vec<C>, work: impl Fn(&mut C) + Sync) {
    if let [client] = clients.as_mut_slice() {
        return b.units(1, "exchange").iter(|| work(client));
    }
    let turns = if b.is_measured() { 200 } else { 2 };
    b.units(turns * clients.len() as u64, "exchange").iter(|| {
        std::thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(|| (0..turns).for_each(|_| work(client)));
            }
        });
    });
}

/// A running gate; it is killed when this is dropped.
struct Gate {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Gate {
    fn start(policy: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("policy.toml");
        std::fs::write(&file, policy).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_sekisho"))
            .args(["run", "--listen", "127.0.0.1:0", "--policy"])
            .arg(&file)
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let proxy = lines.find_map(|line| line.strip_prefix("proxy ")?.split_whitespace().next()?.parse().ok());
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: proxy.expect("the gate says where it listens"), _directory: directory }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

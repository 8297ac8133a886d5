//! Six machines in network namespaces, in IPv4 and IPv6, with a gateway between them.
//!
//! ```text
//! office   10.20.0.2 ── lan0 ┐
//! sales    10.21.0.2 ── lan1 ┤
//! plant    10.50.0.2 ── lan2 ┼ gateway ── wan0 ── internet 11.77.0.80
//! admin    10.40.0.2 ── lan3 ┘
//! ```
//!
//! In IPv6 `fd00:20::2` for `10.20.0.2`, and `fd77::80` for the internet's machine. Nothing leaves the namespaces; all of it
//! ends with the lab.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    Office,
    Sales,
    Plant,
    Admin,
    Gateway,
    Internet,
}

pub(super) const INSIDE: [Machine; 4] = [Machine::Office, Machine::Sales, Machine::Plant, Machine::Admin];
const ALL: [Machine; 6] =
    [Machine::Office, Machine::Sales, Machine::Plant, Machine::Admin, Machine::Gateway, Machine::Internet];

/// The network of the lab. The gate is the gateway's own, at its address in the office.
pub(super) const CONFIG: &str = r#"
[network]
gate = ["10.20.0.1", "fd00:20::1"]
gate_ports = [3128]
tripwires = [23, 3389]
outside = ["wan0"]

[network.segments.office]
role = "clients"
addresses = ["10.20.0.0/24", "fd00:20::/64"]
interface = "lan0"

[network.segments.sales]
role = "clients"
addresses = ["10.21.0.0/24", "fd00:21::/64"]
interface = "lan1"

[network.segments.plant]
role = "critical"
addresses = ["10.50.0.0/24", "fd00:50::/64"]
interface = "lan2"

[network.segments.admin]
role = "management"
addresses = ["10.40.0.0/24", "fd00:40::/64"]
interface = "lan3"
"#;

impl Machine {
    fn name(self) -> &'static str {
        match self {
            Machine::Office => "office",
            Machine::Sales => "sales",
            Machine::Plant => "plant",
            Machine::Admin => "admin",
            Machine::Gateway => "gateway",
            Machine::Internet => "internet",
        }
    }

    /// The gateway's interface to it.
    fn link(self) -> &'static str {
        match self {
            Machine::Office => "lan0",
            Machine::Sales => "lan1",
            Machine::Plant => "lan2",
            Machine::Admin => "lan3",
            Machine::Gateway | Machine::Internet => "wan0",
        }
    }

    /// Its networks, without the last number.
    fn networks(self) -> [&'static str; 2] {
        match self {
            Machine::Office => ["10.20.0.", "fd00:20::"],
            Machine::Sales => ["10.21.0.", "fd00:21::"],
            Machine::Plant => ["10.50.0.", "fd00:50::"],
            Machine::Admin => ["10.40.0.", "fd00:40::"],
            Machine::Gateway | Machine::Internet => ["11.77.0.", "fd77::"],
        }
    }

    /// Its addresses: IPv4, IPv6.
    pub(super) fn addresses(self) -> [IpAddr; 2] {
        let last = if self == Machine::Internet { "80" } else { "2" };
        self.networks().map(|network| format!("{network}{last}").parse().unwrap())
    }
}

/// The namespaces; they and what runs in them end when this is dropped.
pub(super) struct Lab {
    prefix: String,
}

const PREFIX: &str = "sekisho-egress-";
static MADE: AtomicU32 = AtomicU32::new(0);

impl Lab {
    /// All machines, cabled, addressed and routed; no rules.
    pub(super) fn make() -> Self {
        sweep();
        Self::made_by(std::process::id())
    }

    fn made_by(process: u32) -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let lab = Self { prefix: format!("{PREFIX}{process}-{number}") };
        for machine in ALL {
            run(Command::new("ip").args(["netns", "add", &lab.name(machine)]));
            lab.ip(machine, "link set lo up");
        }
        let gateway = lab.name(Machine::Gateway);
        for machine in INSIDE.into_iter().chain([Machine::Internet]) {
            let link = machine.link();
            lab.ip(machine, &format!("link add eth0 type veth peer name {link} netns {gateway}"));
            for ((network, address), length) in machine.networks().into_iter().zip(machine.addresses()).zip([24, 64]) {
                // Without detection of duplicates an address is there at once.
                let nodad = if length == 64 { " nodad" } else { "" };
                lab.ip(machine, &format!("address add {address}/{length} dev eth0{nodad}"));
                lab.ip(Machine::Gateway, &format!("address add {network}1/{length} dev {link}{nodad}"));
            }
            lab.ip(machine, "link set eth0 up");
            lab.ip(Machine::Gateway, &format!("link set {link} up"));
            for network in machine.networks() {
                lab.ip(machine, &format!("route add default via {network}1"));
            }
        }
        lab.inside(Machine::Gateway, || {
            for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                std::fs::write(format!("/proc/sys/net/{key}"), "1").unwrap();
            }
            // Each refusal is told: one more than so many a second is not, and would be tried again. By the masks no kind counts
            // among those of which the whole machine sends so many.
            for (key, value) in [
                ("ipv4/icmp_ratelimit", "0"),
                ("ipv6/icmp/ratelimit", "0"),
                ("ipv4/icmp_ratemask", "0"),
                ("ipv6/icmp/ratemask", "\n"),
            ] {
                std::fs::write(format!("/proc/sys/net/{key}"), value).unwrap();
            }
        });
        lab.wait_until_wired();
        lab
    }

    /// A new cable carries packets some time after both its ends are up; TCP asks again until then.
    fn wait_until_wired(&self) {
        for machine in INSIDE {
            for to in Machine::Internet.addresses() {
                let asked = || TcpStream::connect_timeout(&(to, 9).into(), Duration::from_secs(20)).unwrap_err().kind();
                assert_eq!(self.inside(machine, asked), ErrorKind::ConnectionRefused, "{machine:?} to {to}");
            }
        }
    }

    pub(super) fn name(&self, machine: Machine) -> String {
        format!("{}-{}", self.prefix, machine.name())
    }

    fn ip(&self, machine: Machine, arguments: &str) -> String {
        run(Command::new("ip").args(["-n", &self.name(machine)]).args(arguments.split(' ')))
    }

    /// A machine and the gateway know each other's cables, and need not ask for them by packets that would count.
    pub(super) fn acquaint(&self, machine: Machine) {
        let cable = |machine, link: &str| {
            let shown = self.ip(machine, &format!("-o link show dev {link}"));
            shown.split_once("link/ether ").unwrap().1.split(' ').next().unwrap().to_owned()
        };
        let link = machine.link();
        let (own, gateway) = (cable(machine, "eth0"), cable(Machine::Gateway, link));
        for (address, network) in machine.addresses().into_iter().zip(machine.networks()) {
            self.ip(machine, &format!("neigh replace {network}1 lladdr {gateway} dev eth0 nud permanent"));
            self.ip(Machine::Gateway, &format!("neigh replace {address} lladdr {own} dev {link} nud permanent"));
        }
    }

    /// A program on a machine.
    pub(super) fn command(&self, machine: Machine, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(machine), program]);
        command
    }

    /// By which a thread comes to a machine.
    pub(super) fn entrance(&self, machine: Machine) -> Entrance {
        Entrance(File::open(format!("/run/netns/{}", self.name(machine))).unwrap())
    }

    /// Does some work on a machine. Sockets made there stay there.
    pub(super) fn inside<T: Send>(&self, machine: Machine, work: impl FnOnce() -> T + Send) -> T {
        let entrance = self.entrance(machine);
        // A namespace belongs to a thread, and this one has no other use.
        let entered = || {
            entrance.enter();
            work()
        };
        let done = std::thread::scope(|scope| scope.spawn(entered).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Loads rules on a machine.
    pub(super) fn load(&self, machine: Machine, rules: &str) {
        let mut child = self.command(machine, "nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{rules}");
    }

    /// What `nft` says on a machine.
    pub(super) fn nft(&self, machine: Machine, arguments: &str) -> String {
        run(self.command(machine, "nft").args(arguments.split(' ')))
    }

    /// The packets that a named counter of a table has counted.
    pub(super) fn counted(&self, machine: Machine, table: &str, counter: &str) -> u64 {
        let listed = self.nft(machine, &format!("list counter inet {table} {counter}"));
        listed.split_once("packets ").unwrap().1.split(' ').next().unwrap().parse().unwrap()
    }

    /// Sekisho on the gateway, with the config of the lab.
    pub(super) fn egress(&self, directory: &Path, arguments: &[&str]) -> Command {
        std::fs::write(directory.join("sekisho.toml"), CONFIG).unwrap();
        let mut command = self.command(Machine::Gateway, env!("CARGO_BIN_EXE_sekisho"));
        command.arg("egress").args(arguments).args(["--config", "sekisho.toml"]).current_dir(directory);
        command
    }
}

/// A machine's namespace.
pub(super) struct Entrance(File);

impl Entrance {
    /// This thread is on that machine from now on.
    pub(super) fn enter(&self) {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }
}

/// Runs a program to its end; it must succeed. What it wrote.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Ends what a run that was killed has left: namespaces named by a process that is no more.
fn sweep() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let mut parts = rest.split('-');
        let (Some(pid), Some(number)) = (parts.next(), parts.next()) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            drop(Lab { prefix: format!("{PREFIX}{pid}-{number}") });
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for machine in ALL {
            let name = self.name(machine);
            // The namespace is ours, so all in it is.
            let left = Command::new("ip").args(["netns", "pids", &name]).stderr(Stdio::null()).output();
            let left = left.map_or_else(|_| Vec::new(), |output| output.stdout);
            for pid in String::from_utf8_lossy(&left).lines().filter_map(|line| line.parse().ok()) {
                let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
            }
            let _ = Command::new("ip").args(["netns", "delete", &name]).stderr(Stdio::null()).status();
        }
    }
}

#[test]
fn what_a_killed_run_has_left_is_swept_with_what_runs_there_and_what_lives_is_let_be() {
    let mut owner = Command::new("sleep").arg("600").spawn().unwrap();
    let lab = Lab::made_by(owner.id());
    let mut inside = lab.command(Machine::Plant, "sleep").arg("600").spawn().unwrap();
    let names = ALL.map(|machine| lab.name(machine));
    // Who was killed has dropped nothing.
    std::mem::forget(lab);
    let left = || names.iter().filter(|name| Path::new("/run/netns").join(name).exists()).count();
    sweep();
    assert_eq!((left(), inside.try_wait().unwrap()), (ALL.len(), None));
    owner.kill().unwrap();
    owner.wait().unwrap();
    sweep();
    assert_eq!(left(), 0);
    assert_eq!(inside.wait().unwrap().signal(), Some(9));
}

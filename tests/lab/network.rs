//! Three machines as network namespaces, the cables between them, and the wall.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::process::run;

pub(super) const CLIENT: &str = "10.20.0.2";
pub(super) const GATE: &str = "10.20.0.1:3128";
pub(super) const GATE_OUTSIDE: &str = "11.77.0.1";
pub(super) const DNS: &str = "11.77.0.53";
pub(super) const WEB: &str = "11.77.0.80";
/// Behind the gateway's default route, so that only the guard keeps the gate from it.
pub(super) const PRIVATE: &str = "10.99.0.9";

/// Everything from the client but what goes to the gate's port is refused; with an answer, so that
/// nobody has to wait for a timeout. New attempts alone are counted: connections from before the wall
/// may still be closing.
const WALL: &str = "
table inet wall {
    counter web {}
    counter dns {}
    counter gateway {}
    chain input {
        type filter hook input priority filter; policy drop;
        iif lo accept
        ct state established,related accept
        iifname inside tcp dport 3128 accept
        iifname inside tcp flags & (syn | ack) == syn counter name gateway reject with tcp reset
        iifname inside reject
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        iifname inside tcp dport { 80, 443 } tcp flags & (syn | ack) == syn counter name web reject with tcp reset
        iifname inside udp dport 53 counter name dns reject
        iifname inside reject
    }
}
";

#[derive(Debug, Clone, Copy)]
pub(super) enum Machine {
    Client,
    Gateway,
    Internet,
}

/// Attempts that the wall refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counters {
    /// To a web server out there.
    pub(super) web: u64,
    /// To a DNS server out there.
    pub(super) dns: u64,
    /// To the gateway itself, beside the gate.
    pub(super) gateway: u64,
}

/// The namespaces; they and whatever still runs in them end when this is dropped.
pub(super) struct Network {
    prefix: String,
}

const PREFIX: &str = "sekisho-lab-";
static MADE: AtomicU32 = AtomicU32::new(0);

impl Network {
    /// Three machines, cabled and addressed, with forwarding on and no wall.
    pub(super) fn make() -> Self {
        sweep();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        // Named before anything is made, so that a failure half-way is cleaned up too.
        let network = Self { prefix: format!("{PREFIX}{}-{number}", std::process::id()) };
        for machine in [Machine::Client, Machine::Gateway, Machine::Internet] {
            run(Command::new("ip").args(["netns", "add", &network.name(machine)]));
            network.inside(machine, || without_ipv6().unwrap());
            network.ip(machine, "link set lo up");
        }
        let gateway = network.name(Machine::Gateway);
        network.ip(Machine::Client, &format!("link add eth0 type veth peer name inside netns {gateway}"));
        network.ip(Machine::Internet, &format!("link add eth0 type veth peer name outside netns {gateway}"));
        let addresses = [
            (Machine::Client, "eth0", vec![CLIENT]),
            (Machine::Gateway, "inside", vec![GATE.split(':').next().unwrap()]),
            (Machine::Gateway, "outside", vec![GATE_OUTSIDE]),
            (Machine::Internet, "eth0", vec![DNS, WEB, PRIVATE]),
        ];
        for (machine, link, addresses) in addresses {
            for address in addresses {
                network.ip(machine, &format!("address add {address}/24 dev {link}"));
            }
            network.ip(machine, &format!("link set {link} up"));
        }
        network.ip(Machine::Client, "route add default via 10.20.0.1");
        network.ip(Machine::Gateway, &format!("route add default via {WEB}"));
        network.ip(Machine::Internet, &format!("route add default via {GATE_OUTSIDE}"));
        network.inside(Machine::Gateway, || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        network
    }

    fn name(&self, machine: Machine) -> String {
        let machine = match machine {
            Machine::Client => "client",
            Machine::Gateway => "gateway",
            Machine::Internet => "internet",
        };
        format!("{}-{machine}", self.prefix)
    }

    fn ip(&self, machine: Machine, arguments: &str) {
        run(Command::new("ip").args(["-n", &self.name(machine)]).args(arguments.split(' ')));
    }

    /// A program on a machine.
    pub(super) fn command(&self, machine: Machine, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(machine), program]);
        command
    }

    /// Does some work on a machine. Sockets made there stay there.
    pub(super) fn inside<T: Send>(&self, machine: Machine, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name(machine))).unwrap();
        // A namespace belongs to a thread, and this one has no other use.
        let entered = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        let done = std::thread::scope(|scope| scope.spawn(entered).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// From here on the gate is the client's only way out.
    pub(super) fn raise_wall(&self) {
        let mut command = self.command(Machine::Gateway, "nft");
        let mut child = command.args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(WALL.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// What the wall has refused so far.
    pub(super) fn counters(&self) -> Counters {
        let packets = |name: &str| {
            let listed = run(self.command(Machine::Gateway, "nft").args(["list", "counter", "inet", "wall", name]));
            let number = listed.split_once("packets ").unwrap().1.split(' ').next().unwrap();
            number.parse().unwrap()
        };
        Counters { web: packets("web"), dns: packets("dns"), gateway: packets("gateway") }
    }
}

/// Ends what a run that was killed has left: namespaces named by a process that is no more.
fn sweep() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let mut parts = rest.split('-');
        let (Some(pid), Some(number)) = (parts.next(), parts.next()) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            drop(Network { prefix: format!("{PREFIX}{pid}-{number}") });
        }
    }
}

/// A link-local address is announced some time after its link is up, and a browser then breaks off
/// what it is loading: `ERR_NETWORK_CHANGED`.
fn without_ipv6() -> std::io::Result<()> {
    for interfaces in ["all", "default"] {
        match std::fs::write(format!("/proc/sys/net/ipv6/conf/{interfaces}/disable_ipv6"), "1") {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            written => written?,
        }
    }
    Ok(())
}

impl Drop for Network {
    fn drop(&mut self) {
        for machine in [Machine::Client, Machine::Gateway, Machine::Internet] {
            let name = self.name(machine);
            // Helpers that a browser left behind: the namespace is ours, so all in it is.
            let left = Command::new("ip").args(["netns", "pids", &name]).output();
            let left = left.map_or_else(|_| Vec::new(), |output| output.stdout);
            for pid in String::from_utf8_lossy(&left).lines().filter_map(|line| line.parse().ok()) {
                let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
            }
            let _ = Command::new("ip").args(["netns", "delete", &name]).stderr(Stdio::null()).status();
        }
    }
}

//! Three machines as network namespaces, with both versions of IP, and a firewall on the one between.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

#[derive(Debug, Clone, Copy)]
pub(super) enum Machine {
    Client,
    Gateway,
    Server,
}

/// A counter of the firewall.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counter {
    pub(super) table: &'static str,
    pub(super) name: &'static str,
}

const ALL: [Machine; 3] = [Machine::Client, Machine::Gateway, Machine::Server];
const PREFIX: &str = "sekisho-flows-";
static MADE: AtomicU32 = AtomicU32::new(0);

/// The namespaces; they end when this is dropped, and what runs in them should have by then.
pub(super) struct Network {
    prefix: String,
}

impl Network {
    /// The machines, cabled and addressed, with these rules on the one between.
    pub(super) fn make(rules: &str) -> Self {
        sweep();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let network = Self { prefix: format!("{PREFIX}{}-{number}", std::process::id()) };
        for machine in ALL {
            done(Command::new("ip").args(["netns", "add", &network.name(machine)]));
            network.ip(machine, "link set lo up");
        }
        let gateway = network.name(Machine::Gateway);
        network.ip(Machine::Client, &format!("link add eth0 type veth peer name inside netns {gateway}"));
        network.ip(Machine::Server, &format!("link add eth0 type veth peer name outside netns {gateway}"));
        for (machine, link, v4, v6) in [
            (Machine::Client, "eth0", "10.20.0.2", "fd20::2"),
            (Machine::Gateway, "inside", "10.20.0.1", "fd20::1"),
            (Machine::Gateway, "outside", "11.77.0.1", "fd77::1"),
            (Machine::Server, "eth0", "11.77.0.80", "fd77::80"),
        ] {
            network.ip(machine, &format!("address add {v4}/24 dev {link}"));
            // Nobody else has the address: it need not be looked for first.
            network.ip(machine, &format!("address add {v6}/64 dev {link} nodad"));
            network.ip(machine, &format!("link set {link} up"));
        }
        for (machine, v4, v6) in [(Machine::Client, "10.20.0.1", "fd20::1"), (Machine::Server, "11.77.0.1", "fd77::1")]
        {
            network.ip(machine, &format!("route add default via {v4}"));
            network.ip(machine, &format!("-6 route add default via {v6}"));
        }
        network.inside(Machine::Gateway, || {
            for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "netfilter/nf_conntrack_acct"] {
                std::fs::write(format!("/proc/sys/net/{key}"), "1").unwrap();
            }
        });
        let mut child =
            network.command(Machine::Gateway, "nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        network
    }

    pub(super) fn name(&self, machine: Machine) -> String {
        let machine = match machine {
            Machine::Client => "client",
            Machine::Gateway => "gateway",
            Machine::Server => "server",
        };
        format!("{}-{machine}", self.prefix)
    }

    fn ip(&self, machine: Machine, arguments: &str) {
        done(Command::new("ip").args(["-n", &self.name(machine)]).args(arguments.split(' ')));
    }

    /// A program on a machine.
    fn command(&self, machine: Machine, program: &str) -> Command {
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

    /// What a counter of the wall has counted so far.
    pub(super) fn counter(&self, name: &'static str) -> u64 {
        self.counter_of(Counter { table: "wall", name })
    }

    pub(super) fn counter_of(&self, Counter { table, name }: Counter) -> u64 {
        let listed = done(self.command(Machine::Gateway, "nft").args(["list", "counter", "inet", table, name]));
        listed.split_once("packets ").unwrap().1.split(' ').next().unwrap().parse().unwrap()
    }
}

/// Ends what a run that was killed has left: namespaces named by a process that is no more.
fn sweep() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let Some((pid, rest)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else { continue };
        let Some((number, _)) = rest.split_once('-') else { continue };
        if !Path::new("/proc").join(pid).exists() {
            drop(Network { prefix: format!("{PREFIX}{pid}-{number}") });
        }
    }
}

/// Runs a program to its end; it must succeed. What it wrote to stdout.
fn done(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Drop for Network {
    fn drop(&mut self) {
        for machine in ALL {
            let _ = Command::new("ip").args(["netns", "delete", &self.name(machine)]).stderr(Stdio::null()).status();
        }
    }
}

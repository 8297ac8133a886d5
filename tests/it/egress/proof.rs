//! Whether the gate is the only way out, as `sekisho egress probe` on a PC finds it with `sekisho egress respond`
//! outside.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::lab::{CONFIG, Lab, Machine, run};
use super::ways_out::{THE_ORIGIN, UsedGate, rules};

const WORD: &str = "a word of ours";

/// A responder on a machine; it ends with this.
pub(super) struct Responding {
    process: Child,
    out: BufReader<ChildStdout>,
    pub(super) begun: Value,
}

impl Responding {
    pub(super) fn start(lab: &Lab, machine: Machine, arguments: &[&str]) -> Self {
        let mut command = lab.command(machine, env!("CARGO_BIN_EXE_sekisho"));
        command.args(["egress", "respond", "--format", "json", "--word", WORD]).args(arguments);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        Self { process, out, begun: serde_json::from_str(&line).unwrap() }
    }

    /// Ends it, which it must do well; what it told.
    pub(super) fn heard(mut self) -> Vec<Value> {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        let mut told = String::new();
        self.out.read_to_string(&mut told).unwrap();
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
        let mut lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.pop().unwrap()["beyond"], 0);
        lines
    }
}

impl Drop for Responding {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a run came back with.
pub(super) struct Probed {
    pub(super) code: i32,
    pub(super) json: Value,
    /// On standard error.
    pub(super) said: String,
}

impl Probed {
    pub(super) fn ways(&self) -> &Vec<Value> {
        self.json["ways"].as_array().unwrap()
    }

    /// How many ways had each outcome.
    pub(super) fn outcomes(&self) -> BTreeMap<&str, usize> {
        let mut outcomes = BTreeMap::new();
        for way in self.ways() {
            *outcomes.entry(way["outcome"].as_str().unwrap()).or_default() += 1;
        }
        outcomes
    }

    /// The names and ports of those that came out so.
    fn named(&self, outcome: &str) -> Vec<String> {
        let of = self.ways().iter().filter(|way| way["outcome"] == outcome);
        of.map(|way| format!("{} {}", way["name"].as_str().unwrap(), way["port"])).collect()
    }
}

fn probed(command: &mut Command) -> Probed {
    let output = command.args(["--format", "json"]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    Probed { code: output.status.code().unwrap(), json, said }
}

fn probing(lab: &Lab, from: Machine) -> Command {
    let mut command = lab.command(from, env!("CARGO_BIN_EXE_sekisho"));
    command.args(["egress", "probe", "--word", WORD]);
    command
}

/// Tries all ways to the internet's machine, and the file sharing of peers, in both families.
pub(super) fn probe(lab: &Lab, from: Machine, peers: &[Machine], arguments: &[&str]) -> Probed {
    let mut command = probing(lab, from);
    for address in Machine::Internet.addresses() {
        command.args(["--responder", &address.to_string()]);
    }
    for address in peers.iter().flat_map(|peer| peer.addresses()) {
        command.args(["--peer", &address.to_string()]);
    }
    // What is refused is so at once; what is open has as long as a busy machine takes.
    if !arguments.contains(&"--timeout") {
        command.args(["--timeout", "20"]);
    }
    probed(command.args(arguments))
}

const OVER_THE_GATE: [&str; 4] = ["--proxy", "10.20.0.1:3128", "--udp", "none"];

#[test]
fn over_the_gate_a_probe_comes_out_by_what_a_rule_opens_and_by_nothing_else() {
    let lab = Lab::make();
    lab.load(Machine::Gateway, &rules(&lab));
    let responder = Responding::start(&lab, Machine::Internet, &[]);
    let over = |policy: &str| {
        let directory = tempfile::tempdir().unwrap();
        let _gate = UsedGate::start(&lab, directory.path(), policy);
        probe(&lab, Machine::Office, &[], &OVER_THE_GATE)
    };

    let shut = over("");
    assert_eq!((shut.code, shut.outcomes()), (0, [("refused", shut.ways().len())].into()), "{:#}", shut.json);
    let by_proxy = |probed: &Probed| probed.ways().iter().filter(|way| way["route"] != "direct").count();
    assert_eq!(by_proxy(&shut), 2 * (7 + 2), "each port by a tunnel, and both protocols of the web");
    let said = |way: &&Value| way["route"] == "direct" || way["detail"] == "403 of the proxy";
    assert!(shut.ways().iter().all(|way| said(&way)), "{:#}", shut.json);

    // The web's own protocols at their ports, and nothing of a protocol of its own, at no other port, to no address
    // inside.
    let web = over(THE_ORIGIN);
    assert_eq!(web.code, 1);
    assert_eq!(web.named("through"), ["proxy, HTTP 80", "proxy CONNECT, HTTPS 443"], "{:#}", web.json);
    assert_eq!(web.outcomes(), [("through", 2), ("refused", web.ways().len() - 2)].into());
    assert!(web.ways().iter().filter(|way| way["outcome"] == "through").all(|way| way["address"] == "11.77.0.80"));
    let raw = web.ways().iter().find(|way| way["name"] == "proxy CONNECT, TCP" && way["port"] == 443).unwrap();
    assert_eq!(raw["detail"], "the proxy made a tunnel, and ended it");

    let odd = over(&format!("{THE_ORIGIN}ports = [8443]\nprotocol = \"any\"\n"));
    assert_eq!((odd.code, odd.named("through")), (1, vec!["proxy CONNECT, TCP 8443".to_owned()]), "{:#}", odd.json);

    // Outside it is the gate that asks.
    let heard = responder.heard();
    let runs: Vec<&Value> = heard.iter().filter(|line| line.get("run").is_some()).map(|line| &line["run"]).collect();
    assert_eq!(runs, [&web.json["run"], &web.json["run"], &odd.json["run"]]);
    assert!(heard.iter().all(|line| line["from"].as_str().unwrap().starts_with("11.77.0.1:")), "{heard:#?}");
}

#[test]
fn where_some_ways_are_open_the_table_names_those_and_where_packets_are_dropped_all_are_silent() {
    let lab = Lab::make();
    let _responder = Responding::start(&lab, Machine::Internet, &[]);
    let exception = "\n[[network.exception]]\nfrom = \"office\"\nto = [\"11.77.0.80\", \"fd77::80\"]\nprotocol = \"udp\"\n\
                     ports = [443]\nreason = \"a mistake\"\nuntil = \"2999-12-31\"\n";
    let directory = tempfile::tempdir().unwrap();
    let load = |config: String| {
        std::fs::write(directory.path().join("other.toml"), config).unwrap();
        let mut command = lab.command(Machine::Gateway, env!("CARGO_BIN_EXE_sekisho"));
        command.args(["egress", "nft", "--config", "other.toml"]).current_dir(directory.path());
        lab.load(Machine::Gateway, &run(&mut command));
    };

    load(format!("{CONFIG}{exception}"));
    let open = probe(&lab, Machine::Office, &[], &[]);
    assert_eq!(open.code, 1);
    assert_eq!(open.named("through"), ["UDP 443", "QUIC 443", "UDP 443", "QUIC 443"], "{:#}", open.json);
    assert_eq!(open.outcomes(), [("through", 4), ("refused", open.ways().len() - 4)].into());
    let mut command = probing(&lab, Machine::Office);
    command.args(["--responder", "11.77.0.80", "--tcp", "80", "--udp", "443", "--timeout", "20"]);
    let output = command.output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
    assert_eq!(lines[0], "refused     TCP         11.77.0.80:80    refused");
    assert!(lines[2].starts_with("THROUGH     UDP         11.77.0.80:443   seen outside as 10.20.0.2:"), "{table}");
    assert!(lines[3].starts_with("THROUGH     QUIC        11.77.0.80:443   seen outside as 10.20.0.2:"), "{table}");
    assert!(lines[4].starts_with("refused     ICMP echo   11.77.0.80 "), "{table}");
    assert!(lines[5].starts_with("not tried   anything in ipv6: no address of the responder"), "{table}");
    assert_eq!(lines.last(), Some(&"result      2 through, 3 refused of 5 ways"));
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().next(), Some("sekisho: 2 ways got through"));
    assert_eq!(output.status.code(), Some(1));

    load(CONFIG.replacen("outside =", "refuse = \"drop\"\noutside =", 1));
    let mut command = probing(&lab, Machine::Office);
    command.args(["--responder", "11.77.0.80", "--responder", "fd77::80", "--timeout", "1"]);
    let dropped = probed(&mut command);
    assert_eq!(
        (dropped.code, dropped.outcomes()),
        (0, [("silent", dropped.ways().len())].into()),
        "{:#}",
        dropped.json
    );
}

#[test]
fn what_cannot_be_tried_or_listened_on_is_said_and_is_no_proof() {
    let lab = Lab::make();
    // No way of IPv6.
    run(lab.command(Machine::Office, "ip").args(["-6", "route", "flush", "table", "main"]));
    let listener = lab.inside(Machine::Internet, || std::net::TcpListener::bind("[::]:8080").unwrap());
    let responder = Responding::start(&lab, Machine::Internet, &[]);
    assert_eq!(responder.begun["not_bound"][0]["address"], "[::]:8080");
    assert_eq!(responder.begun["not_bound"].as_array().unwrap().len(), 1);
    let half = probe(&lab, Machine::Office, &[], &["--timeout", "8"]);
    drop(listener);
    assert_eq!(half.code, 1);
    assert!(half.json["left_out"].as_array().unwrap().is_empty(), "both were asked for");
    for way in half.ways() {
        let expected = match (way["address"].as_str().unwrap(), way["port"].as_u64()) {
            ("fd77::80", _) => "not_tried",
            // Somebody else took the connection, and proved nothing.
            (_, Some(8080)) => "answered_by_another",
            _ => "through",
        };
        assert_eq!(way["outcome"], expected, "{way}");
    }
    let nothing = lab
        .command(Machine::Internet, env!("CARGO_BIN_EXE_sekisho"))
        .args(["egress", "respond", "--tcp", "8443", "--udp", "none", "--no-icmp"])
        .output()
        .unwrap();
    assert_eq!(nothing.status.code(), Some(1));
    let said = String::from_utf8(nothing.stderr).unwrap();
    assert!(
        said.contains("nothing can be listened on: not bound: tcp [::]:8443: ") && said.contains("hint: "),
        "{said}"
    );

    // A machine without any network has proven nothing.
    let mut command = Command::new("unshare");
    command.args(["--net", env!("CARGO_BIN_EXE_sekisho"), "egress", "probe", "--responder", "11.77.0.80"]);
    let alone = probed(&mut command);
    assert_eq!((alone.code, alone.outcomes()), (1, [("not_tried", alone.ways().len())].into()));
    assert_eq!(
        (&alone.json["ok"], alone.said.lines().next()),
        (&false.into(), Some("sekisho: no way could be tried from here"))
    );
}

#[test]
fn a_plain_user_tries_all_but_what_the_kernel_keeps_for_root() {
    let lab = Lab::make();
    let responder = Responding::start(&lab, Machine::Internet, &[]);
    let mut command = lab.command(Machine::Office, "setpriv");
    command.args(["--bounding-set", "-net_raw", env!("CARGO_BIN_EXE_sekisho"), "egress", "probe"]);
    command.args(["--word", WORD, "--responder", "11.77.0.80", "--timeout", "20"]);
    let probed = probed(&mut command);
    assert_eq!(probed.named("not_tried"), ["ICMP echo null"], "{:#}", probed.json);
    assert_eq!(probed.outcomes()["through"], probed.ways().len() - 1);
    drop(responder);
}

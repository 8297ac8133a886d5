//! Whether the gate is the only way out, as `sekisho egress probe` on a PC finds it with `sekisho egress respond`
//! outside.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::between::Refusals;
use super::lab::{CONFIG, INSIDE, Lab, Machine, run};
use super::ways_out::{THE_ORIGIN, UsedGate, peers_of, recording_gate_at, rules};
use crate::http2_client::trusting;
use crate::origin::{Origin, each, head_of, tls_of};
use crate::peer::Peer;
use crate::sql::asked;

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

/// The rule that a way past the gate meets.
fn rule_of(from: Machine, way: &Value) -> &'static str {
    let port = way["port"].as_u64();
    match (from, way["route"].as_str().unwrap(), way["layer"].as_str().unwrap(), port) {
        (Machine::Plant, _, "udp", _) => "critical-udp",
        (Machine::Plant, _, "icmp", _) => "critical-icmp",
        (Machine::Plant, ..) => "critical-tcp",
        (_, "peer", ..) => "peer-smb",
        (_, _, "icmp", _) => "out-icmp",
        (_, _, _, Some(53 | 853)) => "out-dns",
        (_, _, "udp", Some(443)) => "out-quic",
        (_, _, "udp", _) => "out-udp",
        _ => "out-tcp",
    }
}

/// Adds what the rules refuse of a way past the gate, or to a peer.
pub(super) fn meets(refusals: &mut Refusals, from: Machine, way: &Value) {
    let to: IpAddr = way["address"].as_str().unwrap().parse().unwrap();
    let family = usize::from(to.is_ipv6());
    let protocol = match way["layer"].as_str().unwrap() {
        "icmp" => ["icmp", "icmpv6"][family],
        "udp" => "udp",
        _ => "tcp",
    };
    let port = way["port"].as_u64().map(|port| u16::try_from(port).unwrap());
    refusals.add((from.addresses()[family], to), port, protocol, rule_of(from, way));
}

/// By what the gate refuses a way over it: the ports of the web are open to rules, and none names it.
fn reason_of(way: &Value) -> &'static str {
    if matches!(way["port"].as_u64(), Some(80 | 443)) { "no_rule" } else { "port_not_opened" }
}

const GATE: [&str; 2] = ["10.20.0.1", "fd00:20::1"];

#[test]
fn each_way_from_each_segment_is_found_again_with_its_client_destination_and_reason() {
    let lab = Lab::make();
    lab.load(Machine::Gateway, &rules(&lab));
    let [v4, v6] = Machine::Internet.addresses().map(|address| address.to_string());
    let responder = Responding::start(&lab, Machine::Internet, &["--listen", &v4, "--listen", &v6]);
    let mut gate = recording_gate_at(&lab, Some("[::]:3128".parse().unwrap()), BROWSED);
    let browsing = Browsing::start(&lab);
    let (mut past, mut over) = (Refusals::default(), BTreeMap::<String, u64>::new());
    for from in INSIDE {
        for (family, gate) in GATE.into_iter().enumerate() {
            let proxy = SocketAddr::new(gate.parse().unwrap(), 3128).to_string();
            // What does not go by the gate is tried once.
            let more: &[&str] = if family == 0 { &[] } else { &["--udp", "none"] };
            let peers = if family == 0 { peers_of(from) } else { &[] };
            let probed = probe(&lab, from, peers, &[&["--proxy", &proxy], more].concat());
            let refused: BTreeMap<_, _> = [("refused", probed.ways().len())].into();
            assert_eq!((probed.code, probed.outcomes()), (0, refused), "{from:?} {:#}", probed.json);
            for way in probed.ways() {
                let by_proxy = way["route"] != "direct" && way["route"] != "peer";
                let client = from.addresses()[family];
                if !by_proxy {
                    meets(&mut past, from, way);
                } else if from == Machine::Plant {
                    // A critical segment does not even reach the gate.
                    past.add((client, gate.parse().unwrap()), Some(3128), "tcp", "critical-tcp");
                } else {
                    let method = if way["route"] == "proxy_connect" { "CONNECT" } else { "GET" };
                    let (to, port, reason) = (way["address"].as_str().unwrap(), &way["port"], reason_of(way));
                    *over.entry(format!("{client} {method} {to} {port} deny {reason}")).or_default() += 1;
                }
            }
        }
    }
    let browsed = browsing.end();
    past.are_counted(&lab);
    assert!(responder.heard().is_empty(), "nothing came out");
    gate.records();
    past.are_on_record(&gate.data_dir());
    past.are_told_of_clients(&gate.data_dir());
    let statement = "SELECT client, method, host, port, verdict, reason, count(*) AS count FROM exchanges \
                     WHERE verdict = 'deny' GROUP BY client, method, host, port, verdict, reason";
    let found: BTreeMap<String, u64> = asked(&gate.data_dir(), statement)
        .iter()
        .map(|row| {
            let [client, method, host, verdict, reason] =
                ["client", "method", "host", "verdict", "reason"].map(|key| row[key].as_str().unwrap());
            let host = host.trim_matches(['[', ']']);
            (format!("{client} {method} {host} {} {verdict} {reason}", row["port"]), row["count"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(found, over);
    let statement = "SELECT method, host, count(*) AS count FROM exchanges WHERE verdict = 'allow' AND rule = 'the web' \
                     AND client IN ('10.20.0.2', 'fd00:20::2') GROUP BY method, host ORDER BY method, host";
    let expected = ["CONNECT", "GET"].map(|method| {
        ["11.77.0.81", "[fd77::81]"].map(|host| json!({ "method": method, "host": host, "count": browsed }))
    });
    assert_eq!(asked(&gate.data_dir(), statement), expected.concat());
}

const BROWSED: &str = "[[rule]]\nname = \"the web\"\nhosts = [\"11.77.0.81\", \"[fd77::81]\"]\nprivate = [\"fd77::/64\"]\nverdict = \"allow\"\n";
const ORIGIN: [&str; 2] = ["11.77.0.81", "fd77::81"];

/// The office reads pages all the while, by HTTP and by TLS in a tunnel, of an origin in each family, over the gate in each.
struct Browsing {
    ends: Arc<AtomicBool>,
    browser: JoinHandle<usize>,
    _origins: [Origin; 4],
}

impl Browsing {
    fn start(lab: &Lab) -> Self {
        for (address, more) in ORIGIN.into_iter().zip(["/24", "/64"]) {
            let mut command = lab.command(Machine::Internet, "ip");
            command.args(["address", "add", &format!("{address}{more}"), "dev", "eth0"]);
            run(command.args((more == "/64").then_some("nodad")));
        }
        let (tls, authority) = tls_of(ORIGIN.map(str::to_owned).to_vec());
        let listen = |port: u16| {
            // The responder has the same ports at other addresses.
            ORIGIN.map(|address| {
                lab.inside(Machine::Internet, || TcpListener::bind((address.parse::<IpAddr>().unwrap(), port)).unwrap())
            })
        };
        let [plain, plain6] = listen(80).map(Origin::start_on);
        let [secured, secured6] = listen(443).map(|listener| Origin::within(tls.clone(), listener, each(head_of)));
        let ends = Arc::new(AtomicBool::new(false));
        let (told, tls) = (ends.clone(), trusting(&authority, &[]));
        let office = lab.entrance(Machine::Office);
        let browser = std::thread::spawn(move || {
            office.enter();
            let mut rounds = 0;
            while !told.load(Ordering::Relaxed) {
                let gate = SocketAddr::new(GATE[rounds % 2].parse().unwrap(), 3128);
                for host in ["11.77.0.81", "[fd77::81]"] {
                    let mut page = Peer::connect(gate);
                    page.send(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
                    assert_eq!(page.answer().status(), 200, "{host} by {gate}");
                    let mut tunnel = Peer::connect(gate);
                    tunnel.send(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"));
                    assert_eq!(tunnel.head().unwrap().status(), 200, "{host} by {gate}");
                    let mut page = tunnel.secure(tls.clone(), host.trim_matches(['[', ']'])).unwrap();
                    page.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
                    assert_eq!(page.answer().status(), 200, "{host} by {gate}");
                }
                rounds += 1;
            }
            rounds
        });
        Self { ends, browser, _origins: [plain, plain6, secured, secured6] }
    }

    /// How often each page was read.
    fn end(self) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        let rounds = self.browser.join().unwrap();
        println!("{rounds} rounds of pages");
        assert!(rounds >= 2, "over the gate in both families");
        rounds
    }
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
    let listener = lab.inside(Machine::Internet, || TcpListener::bind("[::]:8080").unwrap());
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

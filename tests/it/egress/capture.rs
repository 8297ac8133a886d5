//! What goes past the gate is brought to it by the rules, and judged by what it names: for redirect and for tproxy, in IPv4 and
//! in IPv6.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::Value;

use crate::gate::{Gate, Start, exchanges, records, status_of};
use crate::http2_client::trusting;
use crate::inspection_hellos::with_ech;
use crate::inspection_lab::{get, inner, sekisho};
use crate::name_server::NameServer;
use crate::origin::{Origin, each, head_of, tls_of};
use crate::peer::{End, Message, Peer};

use super::isolation::done;
use super::lab::{CONFIG, Lab, Machine, run};

/// Names in IPv4 alone, and in IPv6 alone.
const NAMES: [&str; 2] = ["four.test", "six.test"];
/// Where neither name leads, in both families.
const ELSEWHERE: [&str; 2] = ["11.77.0.81", "fd77::81"];
const WAITS: Duration = Duration::from_secs(30);
/// What leaves the four tables empty.
const NOTHING: &str = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n\
                       *raw\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n*mangle\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n";
const GATE: [&str; 2] = ["10.20.0.1", "fd00:20::1"];
/// `unrecognized_name`, fatal.
const ALERT: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

const POLICY: &str = "
[[rule]]
name = \"never\"
hosts = [\"never.test\"]
verdict = \"deny\"
[[rule]]
name = \"machines that know no proxy\"
hosts = [\"four.test\", \"six.test\", \"never.test\"]
private = [\"fd77::/64\"]
captured = true
verdict = \"allow\"
[[rule]]
name = \"by the proxy\"
hosts = [\"*.test\", \"11.77.0.80\", \"[fd77::80]\"]
verdict = \"allow\"
";

/// The lab with rules that capture, the gate on the gateway, and origins outside.
struct Captures {
    lab: Lab,
    gate: Gate,
    plain: Origin,
    secured: Origin,
    tls: Arc<ClientConfig>,
    authority: String,
    config: String,
    _names: NameServer,
}

impl Captures {
    fn by(how: &str) -> Self {
        Self::with(how, POLICY, "", None)
    }

    /// With something of the network put in place of something else.
    fn in_network(how: &str, (old, new): (&str, &str)) -> Self {
        assert!(CONFIG.contains(old));
        Self::of(&CONFIG.replace(old, new), how, POLICY, "", None)
    }

    /// With a policy, and more of a config; and with the data of a gate that has an authority of its own.
    fn with(how: &str, policy: &str, more: &str, data: Option<&Path>) -> Self {
        Self::of(CONFIG, how, policy, more, data)
    }

    fn of(network: &str, how: &str, policy: &str, more: &str, data: Option<&Path>) -> Self {
        let lab = Lab::make();
        for (address, length) in ELSEWHERE.into_iter().zip(["24", "64"]) {
            let address = format!("{address}/{length}");
            let mut command = lab.command(Machine::Internet, "ip");
            run(command.args(["address", "add", &address, "dev", "eth0"]).args((length == "64").then_some("nodad")));
        }
        let (tls, authority) = tls_of(NAMES.map(str::to_owned).to_vec());
        let listen = |port: u16| lab.inside(Machine::Internet, || TcpListener::bind(("::", port)).unwrap());
        let plain = Origin::start_on(listen(80));
        let secured = Origin::within(tls, listen(443), each(head_of));
        let [v4, v6] = Machine::Internet.addresses();
        let answer = move |name: &str| match name {
            "four.test" | "never.test" => vec![v4],
            "six.test" => vec![v6],
            _ => Vec::new(),
        };
        let names = lab.inside(Machine::Gateway, || NameServer::answering(answer));
        let network = network.replace("outside =", &format!("capture = \"{how}\"\noutside ="));
        let config = format!("{}{network}[pac]\n[capture]\n{how} = [\"[::]:3130\"]\n{more}", names.config());
        capture(&lab, &config);
        let config = match data {
            Some(data) => {
                std::fs::write(data.with_extension("pem"), &authority).unwrap();
                format!("{config}[inspection]\nca_files = [\"{}\"]\n", data.with_extension("pem").display())
            }
            None => config,
        };
        let before = format!("exec ip netns exec {} \"$0\" \"$@\"", lab.name(Machine::Gateway));
        let listen = Some(SocketAddr::new(GATE[0].parse().unwrap(), 3128));
        let data_dir = data.map(Path::to_path_buf);
        let start = Start { policy, config: &config, listen, before: &before, data_dir, ..Start::default() };
        let gate = start.gate();
        let tls = trusting(&authority, &[]);
        Self { lab, gate, plain, secured, tls, authority, config, _names: names }
    }

    /// What `sekisho egress` prints for it.
    fn printed(&self, arguments: &[&str]) -> String {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("c.toml"), &self.config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        run(command.arg("egress").args(arguments).args(["--config", "c.toml"]).current_dir(directory.path()))
    }

    /// A connection of the office's PC.
    fn connect(&self, to: IpAddr, port: u16) -> Peer {
        self.lab.inside(Machine::Office, || Peer::connect(SocketAddr::new(to, port)))
    }

    /// What comes back for a head sent to port 80.
    fn asked(&self, to: IpAddr, head: &str) -> Message {
        let mut peer = self.connect(to, 80);
        peer.send(format!("{head}\r\n\r\n"));
        peer.answer()
    }

    fn get(&self, to: IpAddr, host: &str, more: &str) -> Message {
        self.asked(to, &format!("GET /page HTTP/1.1\r\nHost: {host}{more}"))
    }

    /// What comes back for bytes sent to port 443, to their end.
    fn told(&self, to: IpAddr, bytes: &[u8]) -> (Vec<u8>, End) {
        let mut peer = self.connect(to, 443);
        peer.send(bytes);
        peer.rest()
    }
}

/// Loads the rules that the gate prints, and sets the routes that stand in their first lines.
fn capture(lab: &Lab, config: &str) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("c.toml"), config).unwrap();
    let mut command = lab.command(Machine::Gateway, env!("CARGO_BIN_EXE_sekisho"));
    let rules = run(command.args(["egress", "nft", "--config", "c.toml"]).current_dir(directory.path()));
    lab.load(Machine::Gateway, &rules);
    let routes: Vec<&str> = rules.lines().filter_map(|line| line.strip_prefix("#   ip ")).collect();
    assert_eq!(routes.len(), if config.contains("\"tproxy\"") { 4 } else { 0 }, "{rules}");
    for route in routes {
        run(lab.command(Machine::Gateway, "ip").args(route.split(' ')));
    }
}

/// The one record that says this.
fn only<'r>(records: &'r [Value], is: &[(&str, &str)]) -> &'r Value {
    let found: Vec<_> = records.iter().filter(|record| is.iter().all(|(key, value)| record[*key] == *value)).collect();
    assert_eq!(found.len(), 1, "{is:?}: {found:#?} of {records:#?}");
    found[0]
}

fn judged_right(how: &str) {
    let mut captures = Captures::by(how);
    for ((to, name), elsewhere) in Machine::Internet.addresses().into_iter().zip(NAMES).zip(ELSEWHERE) {
        plain_http(&captures, (to, elsewhere.parse().unwrap()), name);
        tls(&captures, (to, elsewhere.parse().unwrap()), name);
        neither(&captures, to);
    }
    let (plain, secured) = (captures.plain.seen(), captures.secured.seen());
    assert_eq!(plain.len(), 4, "in each family what was on its way to the name's address, and elsewhere: {plain:?}");
    assert_eq!(secured.len(), 4, "{secured:?}");
    let captured = captures.lab.counted(Machine::Gateway, "sekisho", "captured");
    // One for each connection of the PC: its first packet by redirect, and all by tproxy.
    let connections = 2 * (6 + 5 + 2);
    assert!(if how == "redirect" { captured == connections } else { captured > connections }, "{captured}");
    let records = captures.gate.records();
    for family in 0..2 {
        on_record(&records, family);
    }
}

fn plain_http(captures: &Captures, (to, elsewhere): (IpAddr, IpAddr), name: &str) {
    let denied = captures.get(to, "proxied.test", "\r\nAccept-Language: en");
    assert_eq!(denied.status(), 403, "{}", denied.text());
    let status = denied.field("proxy-status").unwrap();
    assert!(status.starts_with("sekisho; error=http_request_denied; details=\"bypassed_proxy "), "{status}");
    let page = denied.text();
    for part in [
        "did not use the proxy of this network",
        "\nProxy: 10.20.0.1:3128\n",
        "\nAutomatic configuration (PAC): http://10.20.0.1:3128/proxy.pac\n",
        "\nReason: bypassed_proxy\n",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let japanese = captures.get(to, "never.test", "\r\nAccept: text/html\r\nAccept-Language: ja").text();
    assert!(japanese.contains("この通信は関所で止められました") && japanese.contains("rule"), "{japanese}");
    assert!(!japanese.contains("10.20.0.1"), "a rule denies it, whatever is set: {japanese}");

    let passed = captures.get(to, name, "");
    assert_eq!(passed.status(), 200, "{}", passed.text());
    assert!(passed.text().starts_with(&format!("GET /page HTTP/1.1\r\nHost: {name}\r\n")), "{}", passed.text());
    let led = captures.get(elsewhere, name, "\r\nX-Is: elsewhere");
    assert_eq!(led.status(), 200, "its name leads to where the gate found it: {}", led.text());

    let nameless = captures.asked(to, "GET /page HTTP/1.0");
    assert!(nameless.status() == 400 && nameless.text().contains("missing_host"), "{}", nameless.text());
    let connect = captures.asked(to, "CONNECT deep.test:443 HTTP/1.1\r\nHost: deep.test:443");
    assert!(connect.status() == 403 && connect.text().contains("nested_connect"), "{}", connect.text());
}

fn tls(captures: &Captures, (to, elsewhere): (IpAddr, IpAddr), name: &str) {
    for to in [to, elsewhere] {
        let mut peer = captures.connect(to, 443).secure(captures.tls.clone(), name).unwrap();
        peer.send(format!("GET /secret HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"));
        assert_eq!(peer.answer().status(), 200, "the origin's own certificate is shown: nobody looked inside");
    }
    for named in ["proxied.test", "never.test"] {
        let refused = captures.connect(to, 443).secure(captures.tls.clone(), named).err().unwrap();
        assert!(refused.to_string().contains("UnrecognisedName"), "{named}: {refused}");
    }
    // To an address no name is sent.
    let nameless = captures.connect(to, 443).secure(captures.tls.clone(), &to.to_string()).err().unwrap();
    assert!(nameless.to_string().contains("UnrecognisedName"), "{nameless}");
}

fn neither(captures: &Captures, to: IpAddr) {
    assert_eq!(captures.told(to, b"SSH-2.0-OpenSSH_9.9\r\n"), (Vec::new(), End::Closed));
    let broken = [b"\x16\x03\x01\x00\x04".as_slice(), b"\x02\x00\x00\x00"].concat();
    assert_eq!(captures.told(to, &broken).0, ALERT);
    let refused = |from: Machine, port: u16| {
        let kind = captures.lab.inside(from, || std::net::TcpStream::connect((to, port)).unwrap_err().kind());
        assert_eq!(kind, ErrorKind::ConnectionRefused, "{from:?} {port}");
    };
    refused(Machine::Office, 8080);
    refused(Machine::Plant, 80);
    let gate: IpAddr = GATE[usize::from(to.is_ipv6())].parse().unwrap();
    captures.lab.inside(Machine::Office, || {
        let kind = std::net::TcpStream::connect((gate, 3130)).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::ConnectionRefused, "nobody speaks to that port by itself");
    });
    // But for this machine itself, which no rule keeps from it.
    let mut here = captures.lab.inside(Machine::Gateway, || Peer::connect(SocketAddr::new(gate, 3130)));
    assert_eq!(here.rest().0, b"");
}

/// All that the journal says of one family.
fn on_record(records: &[Value], family: usize) {
    let client = Machine::Office.addresses()[family].to_string();
    let to = Machine::Internet.addresses()[family];
    let captured = |address: IpAddr, port: u16| SocketAddr::new(address, port).to_string();
    let (http, https) = (captured(to, 80), captured(to, 443));
    let elsewhere: IpAddr = ELSEWHERE[family].parse().unwrap();
    let name = NAMES[family];
    let host = |address: &str| if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let address = host(&to.to_string());

    // What was refused: plain HTTP, TLS, and neither.
    for (reason, host, captured, more) in [
        ("bypassed_proxy", "proxied.test", &http, ("scheme", "http")),
        ("rule", "never.test", &http, ("rule", "never")),
        ("bypassed_proxy", "proxied.test", &https, ("sni", "proxied.test")),
        ("rule", "never.test", &https, ("sni", "never.test")),
        ("sni_missing", &address, &https, ("carries", "tls")),
        ("not_http_or_tls", &address, &https, ("carries", "ssh")),
        ("not_client_hello", &address, &https, ("carries", "tls")),
    ] {
        let record = only(records, &[("reason", reason), ("host", host), ("captured", captured), more]);
        assert_eq!((&record["event"], &record["verdict"]), (&"refused".into(), &"deny".into()), "{record}");
        assert_eq!(record["client"], *client, "{record}");
        assert_eq!(record["method"] == Value::Null, record["scheme"] == "tunnel", "no CONNECT was sent: {record}");
    }
    let missing = only(records, &[("reason", "missing_host"), ("captured", &http)]);
    let connect = only(records, &[("reason", "nested_connect"), ("captured", &http)]);
    assert_eq!((&missing["client"], &connect["asked"]), (&client.into(), &"deep.test:443".into()));
    let own = only(records, &[("reason", "not_captured"), ("host", &host(GATE[family]))]);
    assert_eq!(own["captured"], captured(GATE[family].parse().unwrap(), 3130), "{own}");

    // What was let out, to where the gate found the name and not to where it was going.
    let whole = exchanges(records);
    for (port, scheme) in [(80, "http"), (443, "tunnel")] {
        for (address, grounds) in [(to, Value::Null), (elsewhere, vec!["captured_elsewhere"].into())] {
            let captured = captured(address, port);
            let passed = only(&whole, &[("captured", &captured), ("host", name), ("scheme", scheme)]);
            assert_eq!(passed["dialled"], SocketAddr::new(to, port).to_string(), "{passed}");
            assert_eq!((&passed["rule"], &passed["grounds"]), (&"machines that know no proxy".into(), &grounds));
            assert_eq!(passed["answers"], Value::from(vec![to.to_string()]), "{passed}");
        }
    }
}

#[test]
fn what_is_redirected_is_judged_by_what_it_names_and_recorded_with_where_it_was_going() {
    judged_right("redirect");
}

#[test]
fn what_tproxy_hands_over_is_judged_by_what_it_names_and_recorded_with_where_it_was_going() {
    judged_right("tproxy");
}

/// What captured connections, those by an exception and those that are refused come to in the record: only what really went
/// outside says that it stood there.
fn only_what_went_out_stood_outside(how: &str) {
    let more = "[flows]\nconntrack = true\nnflog_group = 5\n\
                [[network.exception]]\nfrom = \"office\"\nto = \"outside\"\nprotocol = \"tcp\"\nports = [8883]\n\
                reason = \"time clocks\"\nuntil = \"2999-12-31\"\n";
    let mut captures = Captures::with(how, POLICY, more, None);
    let is_read = || {
        let status = captures.gate.status();
        status["flows"].as_array().is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["reading"] == true))
    };
    let begun = Instant::now();
    while !is_read() {
        assert!(begun.elapsed() < WAITS, "the kernel is not read");
        std::thread::yield_now();
    }
    let clocks = captures.lab.inside(Machine::Internet, || TcpListener::bind(("::", 8883)).unwrap());
    for (to, name) in Machine::Internet.addresses().into_iter().zip(NAMES) {
        assert_eq!(captures.get(to, name, "").status(), 200);
        assert_eq!(captures.get(to, "proxied.test", "").status(), 403);
        assert_eq!(captures.told(to, b"SSH-2.0-x\r\n"), (Vec::new(), End::Closed));
        let out = captures.connect(to, 8883);
        clocks.accept().unwrap();
        drop(out);
        let refused = captures.lab.inside(Machine::Office, || std::net::TcpStream::connect((to, 8080)).unwrap_err());
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
    let records = captures.gate.records();
    let flows: Vec<_> = records.iter().filter(|record| record["kind"] == "flow").collect();
    let ended = |source: &str, state: &str| -> Vec<(String, u64, u64)> {
        let is_it = |flow: &&&Value| flow["source"] == source && flow["state"] == state;
        let told = |flow: &&Value| {
            let number = |key: &str| flow[key].as_u64().unwrap();
            (flow["address"].as_str().unwrap().to_owned(), number("port"), number("count"))
        };
        let mut all: Vec<_> = flows.iter().filter(is_it).map(told).collect();
        all.sort();
        all
    };
    let to = |port| Machine::Internet.addresses().map(|address| (address.to_string(), port, 1)).to_vec();
    assert_eq!(ended("conntrack", "established"), to(8883), "{flows:#?}");
    assert!(flows.iter().all(|flow| flow["source"] != "conntrack" || flow["port"] == 8883), "{flows:#?}");
    assert_eq!(ended("nflog", "refused"), to(8080), "{flows:#?}");
    // And what was captured and refused is on record as what it is.
    for (family, name) in NAMES.into_iter().enumerate() {
        let captured = |port: u16| SocketAddr::new(Machine::Internet.addresses()[family], port).to_string();
        only(&records, &[("reason", "bypassed_proxy"), ("captured", &captured(80))]);
        only(&records, &[("reason", "not_http_or_tls"), ("captured", &captured(443))]);
        only(&exchanges(&records), &[("host", name), ("captured", &captured(80))]);
    }
}

#[test]
fn of_what_is_redirected_none_counts_as_gone_out() {
    only_what_went_out_stood_outside("redirect");
}

#[test]
fn of_what_tproxy_hands_over_none_counts_as_gone_out() {
    only_what_went_out_stood_outside("tproxy");
}

/// A captured connection that goes on, with the last answer that came by it.
fn standing(captures: &Captures, family: usize) -> Peer {
    let (to, name) = (Machine::Internet.addresses()[family], NAMES[family]);
    let mut peer = captures.connect(to, 443).secure(captures.tls.clone(), name).unwrap();
    peer.send(get("/page", name));
    assert_eq!(peer.answer().status(), 200);
    peer
}

/// Captured tunnels end with their client's isolation, and with a lockdown, as those do that were asked for.
fn tunnels_are_cut(how: &str) {
    let mut captures = Captures::by(how);
    let data_dir = captures.gate.data_dir();
    for (deed, client) in [("lockdown", ""), ("isolate", "10.20.0.2"), ("isolate", "fd00:20::2")] {
        let of_v6 = client.contains(':');
        let families: &[usize] = if deed == "lockdown" { &[0, 1] } else { &[usize::from(of_v6)] };
        let mut open: Vec<_> = families.iter().map(|family| standing(&captures, *family)).collect();
        let mut other = (deed == "isolate").then(|| standing(&captures, usize::from(!of_v6)));
        let mut arguments = vec![deed, client, "--reason", "spreads"];
        arguments.retain(|one| !one.is_empty());
        done(&arguments, &data_dir);
        for tunnel in &mut open {
            // By the gate, or by the kernel as soon as it sends.
            let _ = tunnel.try_send("more");
            tunnel.rest();
        }
        for family in families {
            let to = Machine::Internet.addresses()[*family];
            if deed == "lockdown" {
                let answer = captures.get(to, NAMES[*family], "");
                assert!(answer.status() == 403 && answer.text().contains("lockdown"), "{}", answer.text());
            } else {
                let refused =
                    captures.lab.inside(Machine::Office, || std::net::TcpStream::connect((to, 80)).unwrap_err());
                assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{how} {to}");
            }
        }
        if let Some(other) = &mut other {
            other.send(get("/page", NAMES[usize::from(!of_v6)]));
            assert_eq!(other.answer().status(), 200, "who is not cut off goes on");
        }
        drop(other);
        done(&if deed == "lockdown" { vec!["lockdown", "--end"] } else { vec!["release", client] }, &data_dir);
    }
    let records = captures.gate.records();
    let cut = |family: usize| {
        let captured = SocketAddr::new(Machine::Internet.addresses()[family], 443).to_string();
        let is_it = |one: &&Value| one["captured"] == captured && one["closed_how"] == "restrained";
        exchanges(&records).iter().filter(is_it).count()
    };
    assert_eq!([cut(0), cut(1)], [2, 2], "{:#?}", exchanges(&records));
}

#[test]
fn redirected_tunnels_are_cut_with_their_client_and_in_a_lockdown() {
    tunnels_are_cut("redirect");
}

#[test]
fn tunnels_by_tproxy_are_cut_with_their_client_and_in_a_lockdown() {
    tunnels_are_cut("tproxy");
}

/// A rule denies what hides the name behind it, also where nobody asked for a tunnel.
#[test]
fn a_captured_hello_with_ech_is_denied_where_its_rule_says_so() {
    for (keys, passes) in [("ech = \"deny\"\n", false), ("", true)] {
        let policy = format!(
            "[[rule]]\nname = \"machines\"\nhosts = [\"four.test\"]\ncaptured = true\n{keys}verdict = \"allow\"\n"
        );
        let mut captures = Captures::with("redirect", &policy, "", None);
        let [to, _] = Machine::Internet.addresses();
        let secured = captures.connect(to, 443).secure(with_ech(&captures.authority), "four.test");
        match secured {
            Ok(mut peer) => {
                peer.send(get("/page", "four.test"));
                assert_eq!((peer.answer().status(), passes), (200, true));
            }
            Err(refused) => assert!(!passes && refused.to_string().contains("UnrecognisedName"), "{refused}"),
        }
        assert_eq!(captures.secured.connections(), usize::from(passes));
        let records = captures.gate.records();
        match passes {
            true => assert!(records.iter().any(|one| one["ech"] == true && one["verdict"] == "allow"), "{records:#?}"),
            false => {
                let whole = exchanges(&records);
                let refused = only(&whole, &[("closed_how", "ech_denied"), ("captured", "11.77.0.80:443")]);
                assert_eq!((&refused["ech"], &refused["client"]), (&true.into(), &"10.20.0.2".into()), "{refused}");
                assert_eq!((&refused["verdict"], &refused["dialled"]), (&"deny".into(), &Value::Null), "{refused}");
            }
        }
    }
}

/// A port can be a tripwire of the gateway and be captured on its way outside: the one is touched, the other is judged.
#[test]
fn a_tripwire_at_a_port_that_is_captured_is_touched_at_the_gateway_alone() {
    for how in ["redirect", "tproxy"] {
        let captures = Captures::in_network(how, ("tripwires = [23, 3389]", "tripwires = [23, 80]"));
        for (family, to) in Machine::Internet.addresses().into_iter().enumerate() {
            assert_eq!(captures.get(to, "proxied.test", "").status(), 403);
            let gate: IpAddr = GATE[family].parse().unwrap();
            let touched =
                captures.lab.inside(Machine::Office, || std::net::TcpStream::connect((gate, 80)).unwrap_err());
            assert_eq!(touched.kind(), ErrorKind::ConnectionRefused, "{how}");
        }
        assert_eq!(captures.lab.counted(Machine::Gateway, "sekisho", "tripwire"), 2, "{how}");
    }
}

/// What `egress iptables` prints, loaded for real: by both kinds of iptables, in both families, for both ways to capture.
#[test]
fn what_iptables_captures_is_judged_and_what_it_refuses_is_refused() {
    for how in ["redirect", "tproxy"] {
        let captures = Captures::by(how);
        captures.lab.nft(Machine::Gateway, "delete table inet sekisho");
        for kind in ["nft", "legacy"] {
            for (program, flag) in [("iptables", None), ("ip6tables", Some("--ipv6"))] {
                let text = captures.printed(&["iptables"].into_iter().chain(flag).collect::<Vec<_>>());
                let restore = format!("{program}-{kind}-restore");
                let mut child = captures.lab.command(Machine::Gateway, &restore).stdin(Stdio::piped()).spawn().unwrap();
                child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
                assert!(child.wait().unwrap().success(), "{restore}: {text}");
            }
            for (to, name) in Machine::Internet.addresses().into_iter().zip(NAMES) {
                let page = captures.get(to, "proxied.test", "");
                assert!(
                    page.status() == 403 && page.text().contains("bypassed_proxy"),
                    "{how} {kind}: {}",
                    page.text()
                );
                assert_eq!(captures.get(to, name, "").status(), 200, "{how} {kind}");
                let refused =
                    captures.lab.inside(Machine::Office, || std::net::TcpStream::connect((to, 8080)).unwrap_err());
                assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{how} {kind} {to}");
            }
            for program in ["iptables", "ip6tables"] {
                let restore = format!("{program}-{kind}-restore");
                let mut child = captures.lab.command(Machine::Gateway, &restore).stdin(Stdio::piped()).spawn().unwrap();
                child.stdin.take().unwrap().write_all(NOTHING.as_bytes()).unwrap();
                assert!(child.wait().unwrap().success(), "{restore}");
            }
        }
    }
}

/// In observe mode all that names something passes, and what would have been denied is on record; the index tells of it.
#[test]
fn where_all_is_observed_what_goes_past_the_gate_passes_and_the_index_knows_where_it_was_going() {
    let mut captures = Captures::by("redirect");
    let observing = format!("[policy]\nmode = \"observe\"\n{POLICY}");
    assert!(captures.gate.put(&observing).status.success());
    let [to, _] = Machine::Internet.addresses();
    // A denial by a rule passes too.
    assert_eq!(captures.get(to, "never.test", "").status(), 200);
    assert_eq!(captures.told(to, b"SSH-2.0-x\r\n"), (Vec::new(), End::Closed), "where would it go?");
    let data_dir = captures.gate.data_dir();
    let records = captures.gate.records();
    let open = only(&records, &[("event", "open"), ("host", "never.test")]);
    assert_eq!((&open["verdict"], &open["would"]), (&"allow".into(), &"deny".into()), "{open}");
    let mut sql = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let question = "SELECT host, captured, reason FROM exchanges WHERE captured IS NOT NULL ORDER BY seq";
    let told = run(sql.args(["sql", question, "--format", "csv"]).arg("--data-dir").arg(data_dir));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines, ["host,captured,reason", "never.test,11.77.0.80,rule", "11.77.0.80,11.77.0.80,not_http_or_tls"]);
}

#[test]
fn a_captured_client_that_says_nothing_is_refused_and_has_no_more_connections_than_any_other() {
    let limits = "[limits]\nhello_seconds = 3\nclient_connections_max = 1\n";
    let mut captures = Captures::with("redirect", POLICY, limits, None);
    let [to, _] = Machine::Internet.addresses();
    // Whichever the gate takes first has the only place; the other is closed at once, and unread.
    for mut silent in [captures.connect(to, 80), captures.connect(to, 80)] {
        assert_eq!(silent.rest(), (Vec::new(), End::Closed));
    }
    assert_eq!(captures.gate.status()["connections"]["overflows_of_clients"], 1);
    let records = captures.gate.records();
    let record = only(&records, &[("reason", "not_http_or_tls"), ("captured", "11.77.0.80:80")]);
    assert_eq!((&record["carries"], &record["host"]), (&"nothing".into(), &"11.77.0.80".into()), "{record}");
    assert_eq!(captures.plain.connections(), 0);
}

/// A rule that inspects looks into what was captured too, by the name in its hello; each request in it is judged by itself.
#[test]
fn captured_tls_is_looked_into_where_its_rule_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    assert!(sekisho(&["ca", "init", "--name", "test-gate"], &data).status.success());
    let authority = String::from_utf8(sekisho(&["ca", "export"], &data).stdout).unwrap();
    let inspects = "[[rule]]\nname = \"no secrets\"\nhosts = [\"four.test\"]\npaths = [\"/secret/**\"]\nverdict = \"deny\"\n\
                    [[rule]]\nname = \"looked into\"\nhosts = [\"four.test\"]\ncaptured = true\ninspect = true\nverdict = \"allow\"\n";
    let captures = Captures::with("redirect", inspects, "", Some(&data));
    assert_eq!(status_of(&data)["listening_captured"], Value::from(vec!["[::]:3130"]));
    let [to, _] = Machine::Internet.addresses();
    let mut peer = captures.connect(to, 443).secure(trusting(&authority, &[]), "four.test").unwrap();
    peer.send(get("/open", "four.test"));
    assert_eq!(peer.answer().status(), 200);
    peer.send(get("/secret/x", "four.test"));
    let denied = peer.answer();
    assert!(denied.status() == 403 && denied.text().contains("no secrets"), "{}", denied.text());
    drop(peer);
    let mut gate = captures.gate;
    assert_eq!(gate.end("-TERM"), Some(0), "a drained gate ends with 0");
    let records = records(&data);
    for (event, path) in [("open", "/open"), ("refused", "/secret/x")] {
        let [request] = inner(&records, event)[..] else { panic!("one {event} in {records:#?}") };
        assert_eq!((&request["captured"], &request["path"]), (&"11.77.0.80:443".into(), &path.into()), "{request}");
    }
}

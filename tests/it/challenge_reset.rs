//! The challenge of tunnels: one is ended after its hello, and who comes back at once is a browser.

use std::net::Ipv4Addr;
use std::process::Command;

use serde_json::Value;

use crate::gate::{Gate, Notices, Start};
use crate::name_server::NameServer;
use crate::origin::{Origin, listener_of_its_own};
use crate::peer::{End, Peer};
use crate::tunnel_lab::{ALERT, hello};

pub(crate) const CHROMIUM: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

pub(crate) struct Lab {
    pub(crate) origin: Origin,
    pub(crate) names: NameServer,
    pub(crate) gate: Gate,
}

impl Lab {
    /// An origin that sends back what it gets, on the port of HTTPS; every name of `.test` is challenged.
    pub(crate) fn new() -> Self {
        Self::with("", "", "")
    }

    /// The same with more of a config, more keys in the rule, and what a shell does before the gate starts.
    pub(crate) fn with(config: &str, keys: &str, before: &str) -> Self {
        let origin = Origin::echo_on(listener_of_its_own(443));
        let names = NameServer::pointing_to(origin.address.ip());
        let policy = origin.rule_for("*.test", &format!("sni = \"any\"\n{keys}")).replace("allow", "challenge");
        let config = format!("{}{config}", names.config());
        let gate = Start { policy: &policy, config: &config, before, ..Start::default() }.gate();
        Self { origin, names, gate }
    }

    /// A tunnel to this host of a program with this User-Agent, as Chromium asks for one.
    pub(crate) fn ask(&self, host: &str, user_agent: &str) -> Peer {
        self.ask_from(Ipv4Addr::LOCALHOST, host, user_agent)
    }

    /// The same from another of this machine's addresses.
    pub(crate) fn ask_from(&self, source: Ipv4Addr, host: &str, user_agent: &str) -> Peer {
        let mut client = Peer::connect_from(source.into(), self.gate.address);
        client.send(format!(
            "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\nProxy-Connection: keep-alive\r\nUser-Agent: {user_agent}\r\n\r\n"
        ));
        let answer = client.head().unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.head);
        client
    }

    pub(crate) fn browser(&self, host: &str) -> Peer {
        self.ask(host, CHROMIUM)
    }
}

/// That the tunnel carries bytes to the origin and back.
pub(crate) fn carries(mut client: Peer, bytes: &[u8]) {
    client.send(bytes);
    assert!(client.take(bytes.len()) == bytes, "the origin sends back what it gets");
}

/// That the tunnel is ended without a byte.
pub(crate) fn is_reset(client: &mut Peer, bytes: &[u8]) {
    client.send(bytes);
    assert_eq!(client.rest(), (Vec::new(), End::Closed));
}

pub(crate) fn challenges(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|record| record["kind"] == "challenge").collect()
}

#[test]
fn a_browser_that_comes_back_is_cleared_and_all_its_tunnels_pass() {
    let mut lab = Lab::new();
    let bytes = hello("chromium");
    is_reset(&mut lab.browser("a.test"), &bytes);
    assert_eq!((lab.origin.connections(), lab.names.asked().len()), (0, 0), "nothing was dialled or looked up");
    carries(lab.browser("a.test"), &bytes);
    carries(lab.browser("b.test"), &bytes);
    assert_eq!(lab.origin.connections(), 2);
    let records = lab.gate.records();
    let challenge = challenges(&records)[0];
    assert_eq!((&challenge["outcome"], &challenge["means"]), (&"returned".into(), &"reset".into()), "{challenge}");
    assert_eq!((&challenge["host"], &challenge["failures"]), (&"a.test".into(), &0.into()), "{challenge}");
    assert!(challenge["after_us"].as_u64().unwrap() < 800_000, "{challenge}");
    let refused = records.iter().find(|record| record["event"] == "refused").unwrap();
    assert_eq!((&refused["verdict"], &refused["reason"]), (&"challenge".into(), &"tunnel_reset".into()), "{refused}");
    let opened: Vec<_> = records.iter().filter(|record| record["event"] == "open").collect();
    assert_eq!(opened.len(), 2);
    for open in opened {
        assert_eq!((&open["verdict"], &open["program"]), (&"allow".into(), &refused["program"]), "{open}");
    }
}

#[test]
fn who_does_not_come_back_gets_nothing_and_that_is_on_record() {
    let mut lab = Lab::new();
    let bytes = hello("chromium");
    is_reset(&mut lab.browser("a.test"), &bytes);
    // Another program, with the same User-Agent and another TLS library, is no return.
    is_reset(&mut lab.browser("a.test"), &hello("curl"));
    let records = lab.gate.records();
    let outcomes: Vec<_> = challenges(&records).iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["did_not_return", "did_not_return"], "{records:#?}");
    assert_eq!(lab.origin.connections(), 0);
}

#[test]
fn a_program_that_claims_no_browser_is_refused_and_not_puzzled() {
    let mut lab = Lab::new();
    for user_agent in ["curl/7.88.1", ""] {
        let mut client = lab.gate.client();
        client.send(format!("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nUser-Agent: {user_agent}\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status(), 403);
        assert!(answer.text().contains("Reason: not_a_browser"), "{}", answer.text());
    }
    assert_eq!(lab.gate.events("refused").len(), 2);
}

#[test]
fn other_tunnels_of_the_program_wait_for_the_answer_and_pass_with_it() {
    let lab = Lab::new();
    let bytes = hello("chromium");
    is_reset(&mut lab.browser("a.test"), &bytes);
    let mut second = lab.browser("b.test");
    second.send(&bytes);
    carries(lab.browser("a.test"), &bytes);
    assert!(second.take(bytes.len()) == bytes, "it was held, and not reset");
}

#[test]
fn a_tunnel_in_which_no_hello_comes_is_not_challenged_but_refused() {
    let mut lab = Lab::new();
    let mut client = lab.browser("a.test");
    client.send("SSH-2.0-OpenSSH_9.2\r\n");
    assert_eq!(client.rest().0, Vec::<u8>::new());
    let refused = &lab.gate.events("refused")[0];
    assert_eq!(refused["reason"], "challenge_not_possible", "{refused}");
}

/// What `sekisho clearance` says.
pub(crate) fn clearance(arguments: &[&str], gate: &Gate) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let output =
        command.arg("clearance").args(arguments).args(["--format", "json"]).arg(gate.data_dir()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn clearances_are_listed_and_taken_back_and_outlive_the_gate() {
    let mut lab = Lab::new();
    let bytes = hello("chromium");
    is_reset(&mut lab.browser("a.test"), &bytes);
    carries(lab.browser("a.test"), &bytes);
    let listed = clearance(&["list"], &lab.gate);
    let explained = explain(&lab.gate);
    assert_eq!(explained["clearances"][0]["means"], "reset", "{explained}");
    assert_eq!((&explained["verdict"], &explained["challenge"]), (&"challenge".into(), &"tunnel_reset".into()));
    let only = &listed["clearances"][0];
    assert_eq!((&listed["count"], &only["means"]), (&1.into(), &"reset".into()), "{listed}");
    assert_eq!((&only["client"], &only["user_agent"]), (&"127.0.0.1".into(), &CHROMIUM.into()), "{listed}");
    assert_eq!(lab.gate.end("-TERM"), Some(0));
    let policy = std::fs::read_to_string(lab.gate.policy()).unwrap();
    let (data_dir, config) = (Some(lab.gate.data_dir()), lab.names.config());
    let again = Start { policy: &policy, config: &config, data_dir, ..Start::default() }.gate();
    // The data directory is that of the gate before.
    let old = std::mem::replace(&mut lab.gate, again);
    carries(lab.browser("b.test"), &bytes);
    let asked = |arguments: &[&str]| clearance(arguments, &old);
    assert_eq!(asked(&["revoke", "--client", "127.0.0.2"])["revoked"], 0);
    assert_eq!(asked(&["revoke", "--program", "abc"])["ok"], false);
    assert_eq!(asked(&["revoke", "--client", "127.0.0.1"])["revoked"], 1);
    assert_eq!(asked(&["list"])["count"], 0);
    is_reset(&mut lab.browser("b.test"), &bytes);
    carries(lab.browser("b.test"), &bytes);
    assert_eq!(asked(&["revoke", "--user", "tanaka"])["revoked"], 0);
    assert_eq!(asked(&["revoke", "--all"])["revoked"], 1);
    // What was taken back is not brought back by a crash.
    lab.gate.signal("-KILL");
    lab.gate.wait();
    let data_dir = Some(old.data_dir());
    let again = Start { policy: &policy, config: &config, data_dir, ..Start::default() }.gate();
    drop(std::mem::replace(&mut lab.gate, again));
    assert_eq!(clearance(&["list"], &old)["count"], 0);
    is_reset(&mut lab.browser("b.test"), &bytes);
}

#[test]
fn a_browser_version_that_stops_coming_back_is_believed_for_what_it_shows_and_that_is_told() {
    let notices = Notices::new();
    let mut lab = Lab::with("", "", &notices.before());
    let (bytes, agent) = (hello("chromium"), CHROMIUM.replace("156", "200"));
    for last in 1..=3 {
        is_reset(&mut lab.ask_from(Ipv4Addr::new(127, 0, 1, last), "a.test", &agent), &bytes);
    }
    let said = notices.until("does not come back");
    assert!(said.contains("chromium 200") && said.contains("on 3 clients of 3"), "{said}");
    carries(lab.ask_from(Ipv4Addr::new(127, 0, 1, 4), "a.test", &agent), &bytes);
    // Another version is challenged as before.
    is_reset(&mut lab.ask_from(Ipv4Addr::new(127, 0, 1, 5), "a.test", CHROMIUM), &bytes);
    let records = lab.gate.records();
    let identity = challenges(&records).into_iter().find(|record| record["means"] == "identity").unwrap();
    assert_eq!((&identity["outcome"], &identity["client"]), (&"cleared".into(), &"127.0.1.4".into()), "{identity}");
    let health = records.iter().find(|record| record["subject"] == "browser").unwrap();
    assert_eq!(health["level"], "silent");
}

#[test]
fn what_contradicts_its_claim_in_two_groups_is_denied_whoever_is_cleared() {
    let mut lab = Lab::new();
    let bytes = hello("chromium");
    is_reset(&mut lab.browser("a.test"), &bytes);
    carries(lab.browser("a.test"), &bytes);
    // The same User-Agent, with another CONNECT and another hello.
    let mut client = lab.gate.client();
    client.send(format!("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nUser-Agent: {CHROMIUM}\r\n\r\n"));
    assert_eq!(client.head().unwrap().status(), 200);
    client.send(hello("curl"));
    assert_eq!(client.rest().0, ALERT);
    let records = lab.gate.records();
    let denied = records.iter().find(|record| record["reason"] == "mimic").unwrap();
    assert_eq!((&denied["verdict"], &denied["standing"]), (&"deny".into(), &"uncleared".into()), "{denied}");
    let grounds: Vec<_> = denied["grounds"].as_array().unwrap().iter().map(|ground| ground.as_str().unwrap()).collect();
    assert_eq!(grounds[0], "connect_fields");
    assert!(grounds.contains(&"tls_key") && grounds.contains(&"tls_grease"), "{grounds:?}");
    // By the policy in force all that is on record comes to the same again.
    let mut replay = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    replay.args(["replay", "--format", "json", "--data-dir"]).arg(lab.gate.data_dir()).arg(lab.gate.policy());
    let replayed: Value = serde_json::from_slice(&replay.output().unwrap().stdout).unwrap();
    assert_eq!((&replayed["changed"], &replayed["exchanges"]), (&0.into(), &3.into()), "{replayed:#}");
}

#[test]
fn no_reset_clears_what_a_person_must_show() {
    let mut lab = Lab::with("", "fresh = true", "");
    let mut client = lab.browser("a.test");
    client.send(hello("chromium"));
    assert_eq!(client.rest().0, ALERT);
    assert_eq!(lab.gate.events("refused")[0]["reason"], "challenge_not_possible");
}

/// What `sekisho explain` says of a tunnel to a challenged host, with what the running gate knows.
fn explain(gate: &Gate) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(["explain", "--format", "json", "--client", "127.0.0.1", "--policy"]).arg(gate.policy());
    let output = command.arg("--data-dir").arg(gate.data_dir()).args(["CONNECT", "a.test:443"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn a_face_that_the_policy_names_speaks_against_nobody() {
    let grounds = |profile: &str| {
        let mut lab = Lab::with("", profile, "");
        is_reset(&mut lab.browser("a.test"), &hello("curl"));
        let refused = lab.gate.events("refused").remove(0);
        (refused["grounds"].clone(), refused["tls_key"].as_str().unwrap().to_owned())
    };
    let (without, key) = grounds("");
    assert!(without.as_array().unwrap().len() >= 2, "{without}");
    let profile = format!("[identity.profiles.antivirus]\nbrowser = \"chromium\"\ntls_keys = [\"{key}\"]\n");
    assert_eq!(grounds(&profile).0, Value::Null);
}

#[test]
fn a_program_that_opens_tunnels_without_measure_is_held_to_a_bound_and_others_are_served() {
    let mut lab = Lab::new();
    let bytes = hello("chromium");
    is_reset(&mut lab.browser("a.test"), &bytes);
    // None of these is an answer: they are for another host.
    let mut flood: Vec<_> = (0..100).map(|_| lab.browser("b.test")).collect();
    flood.iter_mut().for_each(|client| client.send(&bytes));
    let other = Ipv4Addr::new(127, 0, 2, 1);
    is_reset(&mut lab.ask_from(other, "a.test", CHROMIUM), &bytes);
    carries(lab.ask_from(other, "a.test", CHROMIUM), &bytes);
    flood.iter_mut().for_each(|client| assert!(matches!(client.rest().1, End::Closed)));
    let records = lab.gate.records();
    let busy = records.iter().filter(|record| record["reason"] == "challenge_busy").count();
    assert!(busy >= 36, "{busy} of 100 found no place to wait");
    let resets = records.iter().filter(|record| record["reason"] == "tunnel_reset" && record["client"] == "127.0.0.1");
    assert!(resets.count() < 20, "one at a time, each with its window");
}

#[test]
fn tunnels_without_a_hello_are_refused_after_its_time_and_neither_clear_nor_fail_their_program() {
    let mut lab = Lab::with("[limits]\nhello_seconds = 1\n", "", "");
    let bytes = hello("chromium");
    // None of these is a return either: while their program's answer is open, they show no hello.
    is_reset(&mut lab.browser("a.test"), &bytes);
    let mut silent: Vec<_> = (0..20).map(|_| lab.browser("a.test")).collect();
    silent.iter_mut().skip(10).for_each(|client| client.send(&bytes[..bytes.len() - 1]));
    silent.iter_mut().for_each(|client| assert_eq!(client.rest().0, b""));
    assert_eq!(clearance(&["list"], &lab.gate)["count"], 0);
    is_reset(&mut lab.browser("a.test"), &bytes);
    carries(lab.browser("a.test"), &bytes);
    assert_eq!(lab.origin.connections(), 1);
    let records = lab.gate.records();
    let refused = records.iter().filter(|record| record["reason"] == "hello_timeout");
    assert!(refused.clone().all(|record| record["event"] == "refused"), "{records:#?}");
    assert_eq!(refused.count(), 20, "{records:#?}");
    // The first reset was not answered in its window; nothing else is held against the program.
    let told = |record: &Value| (record["outcome"].clone(), record["failures"].clone());
    let outcomes: Vec<_> = challenges(&records).into_iter().map(told).collect();
    assert_eq!(outcomes, [("did_not_return".into(), 1.into()), ("returned".into(), 0.into())], "{records:#?}");
}

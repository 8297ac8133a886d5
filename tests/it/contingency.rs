//! What a person does in an emergency: clients are cut off, or all that is not essential, through a running gate.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use sekisho::evidence::read_time;

use crate::gate::{Gate, Start, records, status_of};
use crate::list_server::ListServer;
use crate::name_server::NameServer;
use crate::origin::Origin;
use crate::peer::{Message, Peer};

/// Who is cut off, and who is not.
const BAD: &str = "127.0.0.9";
const GOOD: &str = "127.0.0.8";

fn sekisho(arguments: &[&str], data_dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).args(arguments).arg("--data-dir").arg(data_dir).output().unwrap()
}

/// What a command that must succeed has written.
fn done(arguments: &[&str], data_dir: &Path) -> String {
    let output = sekisho(arguments, data_dir);
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{errors}");
    out.into_owned()
}

fn refused(arguments: &[&str], data_dir: &Path) -> String {
    let output = sekisho(arguments, data_dir);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn from(client: &str, gate: &Gate) -> Peer {
    Peer::connect_from(client.parse::<IpAddr>().unwrap(), gate.address)
}

fn get(client: &str, gate: &Gate, origin: &Origin) -> Message {
    let mut client = from(client, gate);
    client.send(format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n", origin.address));
    client.answer()
}

/// A tunnel in which something has gone both ways.
fn tunnel(client: &str, gate: &Gate, origin: &Origin) -> Peer {
    let mut client = from(client, gate);
    client.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address));
    assert_eq!(client.head().unwrap().status(), 200);
    goes_on(&mut client);
    client
}

fn goes_on(tunnel: &mut Peer) {
    tunnel.send("ping");
    assert_eq!(tunnel.take(4), b"ping");
}

/// An origin whose answer never ends.
fn endless() -> Origin {
    Origin::serving(|mut peer, log| {
        if let Some(request) = peer.request() {
            log.note(&request);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
            let piece = [b'x'; 65536];
            if peer.try_send(head).is_ok() {
                while peer.try_send(piece).is_ok() {}
            }
        }
    })
}

/// An endless download that has begun.
fn download(client: &str, gate: &Gate, origin: &Origin) -> Peer {
    let mut client = from(client, gate);
    client.send(format!("GET http://{0}/endless HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address));
    assert!(client.head().unwrap().status() == 200);
    client.take(1 << 20);
    client
}

fn policy(origins: &[(&Origin, &str, &str)]) -> String {
    let rule = |(origin, name, more): &(&Origin, &str, &str)| {
        origin.rule(&format!("protocol = \"any\"\n{more}")).replace("\"origin\"", &format!("\"{name}\""))
    };
    origins.iter().map(rule).collect()
}

fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["kind"] == kind).collect()
}

fn time(record: &Value) -> u64 {
    read_time(record["time"].as_str().unwrap()).unwrap().0
}

#[test]
fn who_is_isolated_is_cut_off_within_a_second_and_stays_so_over_a_restart_until_released() {
    let (echo, plain, endless, data) = (Origin::echo(), Origin::start(), endless(), tempfile::tempdir().unwrap());
    let policy = policy(&[(&echo, "echo", ""), (&plain, "plain", ""), (&endless, "endless", "")]);
    let start = || Start { policy: &policy, data_dir: Some(data.path().to_owned()), ..Start::default() }.gate();
    let mut gate = start();
    let [mut bad_tunnel, mut good_tunnel] = [BAD, GOOD].map(|client| tunnel(client, &gate, &echo));
    let [mut bad_download, mut good_download] = [BAD, GOOD].map(|client| download(client, &gate, &endless));

    let said = done(&["isolate", BAD, "--reason", "calls home"], data.path());
    for part in [
        "isolated, 127.0.0.9, by ",
        ": calls home\n",
        "proxy: cut off, tunnels and downloads too\n",
        "kernel: NOT CUT OFF: the config has no [network], so no rules of ours are in the kernel\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    bad_download.rest();
    bad_tunnel.rest();
    good_download.take(1 << 20);
    goes_on(&mut good_tunnel);
    let answer = get(BAD, &gate, &plain);
    assert!(answer.status() == 403 && answer.text().contains("isolated"), "{}", answer.text());
    assert_eq!(get(GOOD, &gate, &plain).status(), 200);
    // The person there is told what was cut off, and when.
    let why = |client: &str| {
        let mut client = from(client, &gate);
        client.send("GET http://sekisho/ HTTP/1.1\r\nHost: sekisho\r\nConnection: close\r\n\r\n");
        client.answer().text()
    };
    let told = why(BAD);
    for origin in [format!("https://{}", echo.address), format!("http://{}", endless.address)] {
        assert!(told.contains(&format!("<bdi>{origin}</bdi>")), "{origin}: {told}");
    }
    assert_eq!(told.matches("This connection stood, and was cut off then.").count(), 2, "{told}");
    assert!(told.contains("isolated") && !why(GOOD).contains("cut off then"), "{told}");
    let status = gate_status(data.path());
    assert_eq!((&status["isolated"][0]["client"], &status["isolated"][0]["why"]), (&BAD.into(), &"calls home".into()));
    let shown = String::from_utf8(status_text(data.path())).unwrap();
    assert!(shown.contains("isolated") && shown.contains("kernel: NOT CUT OFF"), "{shown}");
    assert_eq!(gate.end("-TERM"), Some(0));

    let all = records(data.path());
    let isolated = of_kind(&all, "contingency")[0].clone();
    assert_eq!(
        (&isolated["action"], &isolated["client"], &isolated["why"], &isolated["uid"]),
        (&"isolated".into(), &BAD.into(), &"calls home".into(), &rustix::process::getuid().as_raw().into())
    );
    let cut: Vec<_> = all.iter().filter(|one| one["event"] == "close" && one["reason"] == "isolated").collect();
    assert_eq!(cut.len(), 2, "{all:#?}");
    for close in cut {
        assert_eq!((&close["closed_by"], &close["verdict"]), (&"gate".into(), &"deny".into()), "{close:#}");
        assert!(time(close).saturating_sub(time(&isolated)) < 1_000_000, "{close:#}");
        assert!(close["bytes_down"].as_u64().unwrap() >= 4, "{close:#}");
    }

    let gate = start();
    assert_eq!(get(BAD, &gate, &plain).status(), 403, "it outlasts the gate");
    let said = done(&["release", BAD, "--reason", "installed anew"], data.path());
    assert!(said.contains("released, 127.0.0.9, by "), "{said}");
    assert_eq!(get(BAD, &gate, &plain).status(), 200);
    tunnel(BAD, &gate, &echo);
    let said = refused(&["release", BAD], data.path());
    assert!(said.contains("nobody has cut \"127.0.0.9\" off by hand"), "{said}");
    assert_eq!(gate_status(data.path())["isolated"], Value::Null);
}

fn gate_status(data_dir: &Path) -> Value {
    status_of(data_dir)
}

fn status_text(data_dir: &Path) -> Vec<u8> {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("status").arg(data_dir).output().unwrap().stdout
}

#[test]
fn what_is_on_its_way_when_its_client_is_isolated_is_not_sent() {
    let (origin, data) = (Origin::start(), tempfile::tempdir().unwrap());
    let (door, address) = (Arc::new(Mutex::new(())), origin.address.ip());
    let closed = door.lock().unwrap();
    let names = {
        let door = door.clone();
        // It answers once the door is open.
        NameServer::answering(move |_| {
            drop(door.lock());
            vec![address]
        })
    };
    let policy = origin.rule_for("slow.test", "protocol = \"any\"");
    let config = format!("{}timeout_seconds = 20\n", names.config());
    let gate =
        Start { policy: &policy, config: &config, data_dir: Some(data.path().to_owned()), ..Start::default() }.gate();
    let port = origin.address.port();
    let mut plain = from(BAD, &gate);
    plain.send(format!("GET http://slow.test:{port}/secret HTTP/1.1\r\nHost: slow.test:{port}\r\n\r\n"));
    let mut tunnel = from(BAD, &gate);
    tunnel.send(format!("CONNECT slow.test:{port} HTTP/1.1\r\nHost: slow.test:{port}\r\n\r\n"));
    // Both are let out, and wait for the name.
    while records(data.path()).iter().filter(|one| one["event"] == "open").count() < 2 {
        std::thread::yield_now();
    }
    done(&["isolate", BAD, "--reason", "calls home"], data.path());
    drop(closed);
    let answer = plain.answer();
    assert!(answer.status() == 403 && answer.text().contains("isolated"), "{}", answer.text());
    if tunnel.head().is_some_and(|head| head.status() == 200) {
        let _ = tunnel.try_send("secret");
        tunnel.rest();
    }
    assert!(origin.bytes().concat().is_empty(), "{:?}", origin.bytes());
}

#[test]
fn in_a_lockdown_nothing_passes_but_what_is_essential_and_what_ran_is_cut() {
    let (essential, other, data) = (endless(), endless(), tempfile::tempdir().unwrap());
    let (vital, echo) = (Origin::echo(), Origin::echo());
    let policy = policy(&[
        (&essential, "essential", "essential = true"),
        (&vital, "vital", "essential = true"),
        (&other, "other", ""),
        (&echo, "echo", ""),
    ]);
    let start =
        |observe| Start { policy: &policy, data_dir: Some(data.path().to_owned()), observe, ..Start::default() };
    let mut gate = start(false).gate();
    let [mut kept_tunnel, mut cut_tunnel] = [&vital, &echo].map(|origin| tunnel(GOOD, &gate, origin));
    let [mut kept, mut cut] = [&essential, &other].map(|origin| download(GOOD, &gate, origin));
    let said = done(&["lockdown", "--reason", "ransomware spreads"], data.path());
    assert!(said.contains("nothing passes the gate but what 2 essential rules let out"), "{said}");
    assert!(said.contains("kernel: NOT CUT OFF: the config has no [network]"), "{said}");
    cut.rest();
    cut_tunnel.rest();
    kept.take(1 << 20);
    goes_on(&mut kept_tunnel);
    let answer = get(GOOD, &gate, &other);
    assert!(answer.status() == 403 && answer.text().contains("lockdown"), "{}", answer.text());
    drop(download(GOOD, &gate, &essential));
    let shown = String::from_utf8(status_text(data.path())).unwrap();
    assert!(shown.contains("LOCKDOWN") && shown.contains("ransomware spreads"), "{shown}");
    assert_eq!(gate.end("-TERM"), Some(0));

    // In observe mode too, and over a restart; ended while no gate runs, it is over at the next start.
    let mut gate = start(true).gate();
    assert_eq!(get(GOOD, &gate, &other).status(), 403);
    assert_eq!(gate.end("-TERM"), Some(0));
    let said = done(&["lockdown", "--end"], data.path());
    assert!(said.contains("no gate runs here"), "{said}");
    let gate = start(false).gate();
    drop(download(GOOD, &gate, &other));
    let said = refused(&["lockdown", "--end"], data.path());
    assert!(said.contains("no lockdown is in force"), "{said}");
    drop(gate);
    let all = records(data.path());
    let actions: Vec<_> = of_kind(&all, "contingency").iter().map(|one| one["action"].clone()).collect();
    assert_eq!(actions, ["lockdown", "lockdown_ended"]);
    let begun = time(of_kind(&all, "contingency")[0]);
    let cut: Vec<_> = all.iter().filter(|one| one["event"] == "close" && one["reason"] == "lockdown").collect();
    assert_eq!(cut.len(), 2, "the download and the tunnel that are not essential: {all:#?}");
    assert!(cut.iter().all(|close| time(close).saturating_sub(begun) < 1_000_000), "within a second: {cut:#?}");
}

#[test]
fn hooks_are_told_once_of_each_and_again_of_what_they_did_not_take() {
    let (plain, data) = (Origin::start(), tempfile::tempdir().unwrap());
    let (told, broken) = (data.path().join("told"), data.path().join("broken"));
    let script = data.path().join("switch");
    let text = format!(
        "#!/bin/sh\nif [ -e '{}' ]; then echo 'port is busy' >&2; exit 1; fi\necho \"$*\" >> '{}'\n",
        broken.display(),
        told.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let hooks = format!(
        "[hooks.switch]\ncommand = [\"{}\", \"{{action}}\", \"{{client}}\", \"{{reason}}\"]\n",
        script.display()
    );
    let server = ListServer::start();
    server.put_answer("/hooks/edr?key=hush", "HTTP/1.1 204 No Content\r\n\r\n");
    let (url, ca) = (server.url("/hooks/edr"), server.ca());
    let hooks = format!("[gate]\nwritable = [{:?}]\n{hooks}", data.path());
    let hooks = format!("[hooks.edr]\nurl = \"{url}?key=hush\"\nca_file = {ca:?}\n{hooks}");
    let gate_dir = data.path().join("gate");
    let (policy, data_dir) = (plain.policy(), Some(gate_dir.clone()));
    let start = || Start { policy: &policy, config: &hooks, data_dir: data_dir.clone(), ..Start::default() }.gate();
    let mut gate = start();
    let said = done(&["isolate", BAD, "--reason", "it's; $(bad)"], &gate_dir);
    assert!(said.contains("hook switch: told\n") && said.contains("hook edr: told\n"), "{said}");
    let posted: Value = serde_json::from_str(&server.posted()[0]).unwrap();
    assert_eq!(
        (&posted["action"], &posted["client"], &posted["reason"], &posted["gate"]),
        (&"isolate".into(), &BAD.into(), &"it's; $(bad)".into(), &"sekisho".into())
    );
    done(&["lockdown", "--reason", "all"], &gate_dir);
    done(&["lockdown", "--end"], &gate_dir);
    std::fs::write(&broken, "").unwrap();
    let said = done(&["isolate", "10.9.0.0/16", "--reason", "the lab"], &gate_dir);
    assert!(said.contains("hook switch: NOT TOLD") && said.contains("port is busy"), "{said}");
    let told_now = || std::fs::read_to_string(&told).unwrap();
    let first = format!("isolate {BAD} it's; $(bad)\nlockdown  all\nlockdown_ended  \n");
    assert_eq!(told_now(), first);
    assert_eq!(gate.end("-TERM"), Some(0));
    std::fs::remove_file(&broken).unwrap();

    // What it was not told before a restart it is told after that, and nothing twice.
    let mut gate = start();
    done(&["release", BAD], &gate_dir);
    let status = status_of(&gate_dir);
    assert_eq!(status["isolated"][0]["elsewhere"][1]["state"], "done", "{status:#}");
    let mut lines: Vec<_> = told_now()[first.len()..].lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["isolate 10.9.0.0/16 the lab".to_owned(), format!("release {BAD} ")]);
    assert_eq!(gate.end("-TERM"), Some(0));
    let all = records(&gate_dir);
    let places: Vec<_> = of_kind(&all, "contingency").into_iter().filter(|one| one["place"] == "hook switch").collect();
    assert!(places.iter().any(|one| one["action"] == "not_done" && one["client"] == "10.9.0.0/16"), "{places:#?}");
}

#[test]
fn what_makes_no_sense_is_refused_and_a_damaged_file_lets_no_gate_start() {
    let (plain, data) = (Origin::start(), tempfile::tempdir().unwrap());
    let policy = plain.policy();
    let start = || Start { policy: &policy, data_dir: Some(data.path().to_owned()), ..Start::default() };
    let mut gate = start().gate();
    for (arguments, part) in [
        (&["isolate", "127.0.0.1", "--reason", "a"][..], "an address of the gate's own machine"),
        (&["isolate", "0.0.0.0/0", "--reason", "a"], "more than a network of clients"),
        (&["isolate", "PC-1", "--reason", "a"], "no address that the device \"PC-1\" has now is known for certain"),
        (&["isolate", BAD, "--reason", " "], "500 bytes"),
    ] {
        let said = refused(arguments, data.path());
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    done(&["isolate", BAD, "--reason", "a"], data.path());
    assert_eq!(gate.end("-TERM"), Some(0));
    let file = data.path().join("contingencies.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.lines().next().unwrap()).unwrap();
    let output = start().output();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("contingencies.jsonl") && said.contains("not whole"), "{said}");
}

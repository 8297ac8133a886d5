//! What strangers outside begin, and what PCs call out to their segment: heard by nobody, counted, on record up to a limit, and
//! beyond it by number; and nothing is found by it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::between::HEARS;
use super::lab::{Lab, Machine, run};
use super::tripwires::watching_gate;
use super::ways_out::{connect, rules, wait_for};
use crate::gate::{records, status_of};

/// What the office hears of strangers; its own calls come back to it by themselves.
const HEARS_STRANGERS: &str = "
table inet hears {
    counter heard {}
    chain input {
        type filter hook input priority filter;
        ip saddr 11.77.0.80 counter name heard
        ip6 saddr fd77::80 counter name heard
    }
}
";
const WAITS: Duration = Duration::from_secs(30);
/// The gateway's addresses outside.
const OUTSIDE: [&str; 2] = ["11.77.0.1", "fd77::1"];
const GATE: [&str; 2] = ["10.20.0.1", "fd00:20::1"];
/// What the rules log at once, and in a second from then on.
const BURST: u64 = 100;
const A_SECOND: u64 = 5;

/// The same datagram to each address in turn, at so many ports.
fn send(lab: &Lab, from: Machine, to: &[IpAddr], ports: u16) {
    lab.inside(from, || {
        let sockets = from.addresses().map(|own| {
            let socket = UdpSocket::bind((own, 0)).unwrap();
            let v4 = own.is_ipv4().then(|| socket.set_broadcast(true));
            assert!(v4.is_none_or(|set| set.is_ok()));
            socket
        });
        // Others than those by which a provider gives an address.
        for port in 6000..6000 + ports {
            for to in to {
                let port = if from == Machine::Office { 5353 } else { port };
                let socket = &sockets[usize::from(to.is_ipv6())];
                while socket.send_to(b"who is there", SocketAddr::new(*to, port)).is_err() {}
            }
        }
    });
}

fn of_rule<'r>(records: &'r [Value], rule: &str) -> Vec<&'r Value> {
    records.iter().filter(|record| record["kind"] == "flow" && record["rule"] == rule).collect()
}

fn sum<'r>(flows: impl IntoIterator<Item = &'r Value>) -> u64 {
    flows.into_iter().map(|flow| flow["count"].as_u64().unwrap()).sum()
}

/// Until all is on record that was counted.
fn comes_on_record(data_dir: &Path, rule: &str, counted: u64) {
    let deadline = Instant::now() + WAITS;
    loop {
        let told = sum(of_rule(&records(data_dir), rule));
        assert!(told <= counted && Instant::now() < deadline, "{rule}: {told} of {counted}");
        if told == counted {
            return;
        }
    }
}

#[test]
fn what_strangers_begin_and_pcs_call_out_is_on_record_up_to_a_limit_and_then_by_number_and_nothing_is_found_by_it() {
    let lab = Lab::make();
    lab.load(Machine::Gateway, &rules(&lab));
    [Machine::Office, Machine::Internet].into_iter().for_each(|machine| lab.acquaint(machine));
    lab.load(Machine::Office, HEARS_STRANGERS);
    lab.load(Machine::Sales, HEARS);
    let mut gate = watching_gate(&lab);
    let counted = |counter: &str| lab.counted(Machine::Gateway, "sekisho", counter);
    let parse = |text: &str| text.parse::<IpAddr>().unwrap();
    let begun = Instant::now();
    // Through the gateway, to it, and to all of a segment; each in both families by turns.
    let office = Machine::Office.addresses();
    let groups = ["10.20.0.255", "ff02::1"].map(parse);
    send(&lab, Machine::Internet, &office, 150);
    send(&lab, Machine::Internet, &OUTSIDE.map(parse), 150);
    send(&lab, Machine::Office, &groups, 150);
    wait_for(&lab, "from-outside", 600);
    wait_for(&lab, "discovery", 300);
    comes_on_record(&gate.data_dir(), "from-outside", 600);
    comes_on_record(&gate.data_dir(), "discovery", 300);
    let beyond = [("from-outside", 2), ("discovery", 1)].map(|(rule, rules)| {
        let beyond = counted(&format!("{rule}-beyond"));
        let logged = counted(rule) - beyond;
        let most = rules * (BURST + A_SECOND * (begun.elapsed().as_secs() + 1));
        assert!((rules * BURST..=most).contains(&logged), "{rule}: {logged} of at most {most}");
        beyond
    });

    // Rules that are loaded anew count from 0, and are told from there.
    lab.load(Machine::Gateway, &rules(&lab));
    send(&lab, Machine::Internet, &office, 60);
    wait_for(&lab, "from-outside", 120);
    let beyond_anew = counted("from-outside-beyond");
    assert!(beyond_anew > 0 && beyond_anew < beyond[0]);
    // Of what is found there is something, and this is it.
    lab.inside(Machine::Office, || drop(connect(parse(GATE[0]), 23).unwrap_err()));
    let deadline = Instant::now() + WAITS;
    while status_of(&gate.data_dir())["detection"]["findings"] == 0 {
        assert!(Instant::now() < deadline, "{}", status_of(&gate.data_dir())["detection"]);
        std::thread::yield_now();
    }
    let records = gate.records();

    for machine in [Machine::Office, Machine::Sales] {
        assert_eq!(lab.counted(machine, "hears", "heard"), 0, "{machine:?}");
    }
    for (rule, counted, beyond) in [("from-outside", 720, beyond[0] + beyond_anew), ("discovery", 300, beyond[1])] {
        let flows = of_rule(&records, rule);
        assert!(flows.iter().all(|flow| flow["state"] == "dropped" && flow["source"] == "nflog"), "{flows:#?}");
        let (together, apart): (Vec<_>, Vec<_>) = flows.iter().partition(|flow| flow["rolled_up"].is_u64());
        assert_eq!(sum(together.iter().copied()), beyond, "{rule}");
        assert_eq!(sum(flows.iter().copied()), counted, "{rule}");
        assert!(together.iter().all(|flow| flow["client"].is_null() && flow["address"].is_null()), "{together:#?}");
        let (from, to) = match rule {
            "discovery" => (Machine::Office, [groups; 2].concat()),
            _ => (Machine::Internet, [office, OUTSIDE.map(parse)].concat()),
        };
        for (client, to) in from.addresses().into_iter().cycle().zip(to) {
            let is_it = |flow: &&&Value| flow["client"] == client.to_string() && flow["address"] == to.to_string();
            let flow = apart.iter().find(is_it).unwrap_or_else(|| panic!("{client} to {to} is not on record"));
            assert_eq!((&flow["protocol"], flow["port"].is_u64()), (&"udp".into(), true));
        }
    }
    assert!(!records.iter().any(|record| record["kind"] == "gap"), "what is told by number is no gap");
    let found: Vec<_> = records.iter().filter(|record| record["kind"] == "finding").collect();
    assert!(found.iter().all(|finding| finding["finding"] == "tripwire") && !found.is_empty(), "{found:#?}");
    assert_reviewed(&gate.data_dir());
}

/// An administrator who asks what was blocked sees what clients tried, and behind it by its rules what there always is.
fn assert_reviewed(data_dir: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(["review", "blocked", "--format", "json", "--data-dir"]).arg(data_dir);
    let answer: Value = serde_json::from_str(&run(&mut command)).unwrap();
    assert_eq!(answer["facts"]["by_firewall"], 1, "the touch of a tripwire: {answer:#}");
    let rows = answer["tables"]["firewall"]["rows"].as_array().unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (&row["rule"], &row["count"], &row["clients"])).collect();
    let [tripwire, strangers, discovery] = &rows[..] else { panic!("{rows:#?}") };
    assert_eq!(*tripwire, (&"tripwire".into(), &1.into(), &1.into()));
    assert_eq!(*strangers, (&"from-outside".into(), &720.into(), &Value::Null));
    assert_eq!((discovery.0, discovery.1), (&"discovery".into(), &300.into()));
}

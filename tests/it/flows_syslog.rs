//! Lines of other firewalls, from syslog to the journal.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::gate::Gate;
use crate::sql::asked;

const LIMIT: Duration = Duration::from_secs(30);

/// The sources, once both have seen so much.
fn sources(gate: &Gate, [udp, tcp]: [u64; 2]) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let sources = gate.status()["flows"].as_array().unwrap().clone();
        let has =
            |at: usize, seen: u64| sources[at]["reading"] == true && sources[at]["seen"].as_u64().unwrap() >= seen;
        if has(0, udp) && has(1, tcp) {
            return sources;
        }
        assert!(begun.elapsed() < LIMIT, "{sources:#?}");
        std::thread::yield_now();
    }
}

const KERNEL: &str =
    "<4>Nov 25 10:00:00 gw kernel: [1.5] FINAL-DROP IN=a OUT=b SRC=10.30.0.7 DST=203.0.113.9 PROTO=TCP SPT=1 DPT=25";
const FORTIGATE: &str = "<189>date=2026-11-25 srcip=10.30.0.8 dstip=2001:db8::9 dstport=443 proto=17 action=\"deny\" policyname=\"no QUIC\"";
const OTHER: &str = "<13>Nov 25 10:00:00 host sshd[1]: \u{1b}[2J failed";

#[test]
fn lines_of_other_firewalls_are_on_record_with_who_sent_them_and_what_is_not_understood_as_it_came() {
    let mut gate = Gate::configured("", "[flows]\nsyslog = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\"]\n");
    let names: Vec<String> =
        sources(&gate, [0, 0]).iter().map(|source| source["source"].as_str().unwrap().to_owned()).collect();
    let udp = names[0].strip_prefix("syslog udp://").unwrap();
    let tcp = names[1].strip_prefix("syslog tcp://").unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for line in [KERNEL, KERNEL, OTHER] {
        sender.send_to(line.as_bytes(), udp).unwrap();
    }
    let mut stream = TcpStream::connect(tcp).unwrap();
    writeln!(stream, "{} {FORTIGATE}{FORTIGATE}", FORTIGATE.len()).unwrap();
    let mut endless = TcpStream::connect(tcp).unwrap();
    endless.write_all(&vec![b'x'; 100_000]).unwrap();
    drop(endless);
    let told = sources(&gate, [3, 3]);
    assert_eq!([&told[0]["unread"], &told[1]["unread"]], [1, 1]);
    drop(stream);

    let records = gate.records();
    let flows: Vec<_> = records.iter().filter(|record| record["kind"] == "flow").collect();
    let count = |client: &str| -> u64 {
        flows.iter().filter(|flow| flow["client"] == client).map(|flow| flow["count"].as_u64().unwrap()).sum()
    };
    assert_eq!((count("10.30.0.7"), count("10.30.0.8")), (2, 2), "{flows:#?}");
    let of = |client: &str| flows.iter().find(|flow| flow["client"] == client).unwrap();
    let text =
        |flow: &Value| ["source", "state", "address", "protocol", "rule", "told_by"].map(|key| flow[key].clone());
    assert_eq!(text(of("10.30.0.7")), ["syslog", "dropped", "203.0.113.9", "tcp", "FINAL-DROP", "127.0.0.1"]);
    assert_eq!(text(of("10.30.0.8")), ["syslog", "dropped", "2001:db8::9", "udp", "no QUIC", "127.0.0.1"]);
    assert_eq!((&of("10.30.0.7")["port"], &of("10.30.0.8")["port"]), (&25.into(), &443.into()));
    let rows = asked(
        &gate.data_dir(),
        "SELECT source, address, port, protocol, state, verdict, reason, sum(count) AS count FROM flows WHERE client = '10.30.0.7'",
    );
    let row = serde_json::json!({
        "source": "syslog", "address": "203.0.113.9", "port": 25, "protocol": "tcp", "state": "dropped", "verdict": "deny",
        "reason": "FINAL-DROP", "count": 2,
    });
    assert_eq!(rows, [row]);
    let raw: Vec<_> = flows.iter().filter_map(|flow| flow["raw"].as_str()).collect();
    assert_eq!(raw.len(), 2, "{flows:#?}");
    assert!(raw.contains(&OTHER) && raw.iter().any(|raw| raw.starts_with("xxx") && raw.len() < 1100), "{raw:#?}");
}

#[test]
fn what_zeek_adds_to_its_log_is_on_record_through_rotation_and_what_stood_there_before_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("conn.log");
    let row = |host: u8, state: &str| {
        format!(
            "{{\"ts\":1795644000.5,\"uid\":\"C{host}\",\"id.orig_h\":\"10.30.0.{host}\",\"id.orig_p\":40000,\
             \"id.resp_h\":\"10.30.0.99\",\"id.resp_p\":445,\"proto\":\"tcp\",\"orig_bytes\":10,\"resp_bytes\":20,\
             \"conn_state\":\"{state}\"}}\n"
        )
    };
    let add = |text: &str| {
        let mut file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    add(&row(1, "SF"));
    let mut gate = Gate::configured("", &format!("[flows]\nzeek = [{log:?}]\n"));
    let seen = |count: u64| {
        let begun = Instant::now();
        loop {
            let source = gate.status()["flows"][0].clone();
            if source["reading"] == true && source["seen"].as_u64().unwrap() >= count {
                return source;
            }
            assert!(begun.elapsed() < LIMIT, "{source:#?}");
            std::thread::yield_now();
        }
    };
    seen(0);
    add(&row(2, "S0"));
    seen(1);
    std::fs::rename(&log, directory.path().join("conn.old")).unwrap();
    add(&format!("{}what is no line of it\n", row(3, "REJ")));
    let source = seen(2);
    assert!(source["source"].as_str().unwrap().starts_with("zeek "), "{source:#?}");

    let records = gate.records();
    let flows: Vec<_> = records.iter().filter(|record| record["kind"] == "flow").collect();
    let told: Vec<_> =
        flows.iter().map(|flow| (flow["client"].as_str().unwrap(), flow["state"].as_str().unwrap())).collect();
    assert_eq!(told, [("10.30.0.2", "unanswered"), ("10.30.0.3", "reset")], "{flows:#?}");
    assert_eq!(
        (&flows[0]["source"], &flows[0]["port"], &flows[0]["bytes_down"]),
        (&"zeek".into(), &445.into(), &20.into())
    );
}

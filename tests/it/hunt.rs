//! `sekisho hunt` over logs, as a person calls it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::carriers::{program, sha256};
use crate::gate::{Gate, Start, records};
use crate::origin::Origin;
use crate::peer::End;
use crate::tunnel_lab::{Lab, hello};

fn hunt(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.arg("hunt").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    // A command that was refused reads nothing.
    let _ = writing.join().unwrap();
    output
}

fn json(arguments: &[&str], input: &[u8]) -> Value {
    let output = hunt(&[arguments, &["--format", "json"]].concat(), input);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Numbers that look random, the same in each run.
struct Numbers(u64);

impl Numbers {
    /// Between 0 and 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(1_u32 << 31)
    }
}

/// A day of Squid's log: forty clients browse, and each seventh calls a host of its own each five minutes, more or less.
fn day() -> String {
    let mut numbers = Numbers(11);
    let mut lines = Vec::new();
    for client in 0..40_u32 {
        let mut at = 0.0;
        while at < 86_400.0 {
            at += 20.0 * (numbers.next() * 5.0).exp();
            for _ in 0..4 {
                at += numbers.next() * 2.0;
                lines.push((at, client, format!("site{}.test", client % 5)));
            }
        }
        if client % 7 == 0 {
            // It begins while its client is known.
            let mut at = 7_200.0;
            while at < 86_400.0 {
                lines.push((at, client, format!("home{client}.test")));
                at += 300.0 * (0.7 + 0.6 * numbers.next());
            }
        }
    }
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    lines.iter().fold(String::new(), |mut log, (at, client, host)| {
        let _ = writeln!(
            log,
            "{:.3} 120 10.0.0.{client} TCP_MISS/200 900 GET http://{host}/a - HIER_DIRECT/192.0.2.1 text/html",
            1_760_000_000.0 + at
        );
        log
    })
}

/// Kind, client and target of each finding.
fn told(report: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap();
    findings.iter().map(|f| (text(&f["finding"]), text(&f["client"]), text(&f["target"]))).collect()
}

fn homes() -> Vec<(String, String, String)> {
    (0..40)
        .step_by(7)
        .map(|client| ("beacon".to_owned(), format!("10.0.0.{client}"), format!("home{client}.test")))
        .collect()
}

fn sorted(mut told: Vec<(String, String, String)>) -> Vec<(String, String, String)> {
    told.retain(|(kind, _, _)| kind == "beacon");
    told.sort_by_key(|(_, client, _)| client.rsplit('.').next().unwrap().parse::<u32>().unwrap());
    told
}

#[test]
fn what_calls_home_is_found_in_a_log_however_it_is_packed_and_nobody_who_browses() {
    let files = tempfile::tempdir().unwrap();
    let log = day();
    let write = |name: &str, bytes: &[u8]| {
        let path = files.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(log.as_bytes()).unwrap();
    let zstd = zstd::encode_all(log.as_bytes(), 1).unwrap();
    let reports = [
        json(&[&write("access.log", log.as_bytes())], b""),
        json(&[&write("access.log.gz", &gzip.finish().unwrap())], b""),
        json(&[&write("access.log.zst", &zstd)], b""),
        json(&["-"], log.as_bytes()),
    ];
    for report in &reports {
        assert_eq!(sorted(told(report)), homes());
        assert_eq!(report["findings"], reports[0]["findings"]);
        assert_eq!((&report["logs"][0]["format"], &report["logs"][0]["zones"][0]), (&"squid".into(), &"UTC".into()));
    }
    let high = reports[0]["findings"].as_array().unwrap().iter().filter(|f| f["severity"] == "high");
    assert_eq!(high.count(), homes().len());
}

#[test]
fn a_finding_says_in_two_languages_why_it_stands_there_and_shows_its_gaps() {
    let log = day();
    let report = json(&["-"], log.as_bytes());
    let finding = &report["findings"][0];
    let id = finding["finding_id"].as_str().unwrap();
    let output = hunt(&["-", "--explain", id], log.as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "HIGH",
        id,
        finding["target"].as_str().unwrap(),
        "gaps lie between",
        "の間",
        "1 of 40 clients",
        "Foothold (基盤構築)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.lines().filter(|line| line.contains('*') && line.ends_with(" s")).count(), 32, "{text}");
    let output = hunt(&["-", "--explain", "0"], log.as_bytes());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("no finding `0`"));
}

/// The names of the elements of a page, as they begin; fails where one is not closed, or closed by another.
fn elements(page: &str) -> Vec<&str> {
    let (mut begun, mut open) = (Vec::new(), Vec::new());
    for part in page.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("{part}"));
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        assert!(!text.contains('>') || name == "style", "{part}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{part}");
        } else {
            begun.push(name);
            if !["!doctype", "meta"].contains(&name) && !tag.ends_with('/') {
                open.push(name);
            }
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    begun
}

#[test]
fn a_page_shows_what_was_found_whatever_is_in_the_log() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("report.html");
    let named = path.to_str().unwrap();
    // One calls a host whose name is meant for whoever reads of it, and one line is none.
    let hostile = "\"'><script>alert(1)<b>.test";
    let mut log = day().replace("http://home7.test/", &format!("http://{hostile}/"));
    log.push_str("<script>alert(2)</script>\n");
    let report = json(&["-", "--html", named], log.as_bytes());
    let page = std::fs::read_to_string(&path).unwrap();
    let begun = elements(&page);
    assert!(!begun.contains(&"script") && !begun.contains(&"link"), "{begun:?}");
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(begun.iter().filter(|name| **name == "article").count(), findings.len());
    assert_eq!(begun.iter().filter(|name| **name == "svg").count(), homes().len());
    for finding in findings {
        for part in ["finding_id", "client", "english", "japanese"] {
            let text = finding[part].as_str().unwrap();
            assert!(page.contains(text), "{part}: {text}");
        }
    }
    let told = told(&report);
    assert!(told.iter().any(|(_, _, target)| target.contains("<script>")), "{told:?}");
    for part in [
        "&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;b&gt;.test",
        "&lt;script&gt;alert(2)&lt;/script&gt;",
        "home14.test",
        "squid",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // With one finding, the page takes the place of the one before; beside it nothing is left.
    let id = findings[0]["finding_id"].as_str().unwrap();
    let output = hunt(&["-", "--explain", id, "--html", named], log.as_bytes());
    assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
    let page = std::fs::read_to_string(&path).unwrap();
    assert_eq!(elements(&page).iter().filter(|name| **name == "article").count(), 1);
    assert_eq!(std::fs::read_dir(files.path()).unwrap().count(), 1);
}

#[test]
fn a_page_never_takes_the_place_of_a_log_or_of_a_directory() {
    let files = tempfile::tempdir().unwrap();
    let log = files.path().join("access.log");
    std::fs::write(&log, day()).unwrap();
    let log = log.to_str().unwrap();
    for place in [log, files.path().to_str().unwrap(), "/nowhere/report.html"] {
        let output = hunt(&[log, "--html", place], b"");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("cannot write the page {place}: ")), "{said}");
    }
    assert_eq!(std::fs::read_to_string(log).unwrap(), day());
    assert_eq!(std::fs::read_dir(files.path()).unwrap().count(), 1);
}

#[test]
fn eight_filters_each_with_a_part_of_the_clients_find_what_one_finds() {
    let log = day();
    let whole = json(&["-"], log.as_bytes());
    let mut parts = vec![String::new(); 8];
    for line in log.lines() {
        let client = line.split_whitespace().nth(2).unwrap();
        let number: usize = client.rsplit('.').next().unwrap().parse().unwrap();
        let _ = writeln!(parts[number % 8], "{line}");
    }
    // How rare a host is depends on who is there; what was found, and by what evidence, does not.
    let evidence = |report: &Value| {
        let beacons = report["findings"].as_array().unwrap().iter().filter(|f| f["finding"] == "beacon");
        let mut said: Vec<_> =
            beacons.map(|f| format!("{} {} {} {}", f["finding_id"], f["score"], f["beat"], f["last"])).collect();
        said.sort();
        said
    };
    let mut found: Vec<_> = parts.iter().flat_map(|part| evidence(&json(&["-"], part.as_bytes()))).collect();
    found.sort();
    assert_eq!(found, evidence(&whole));
    assert!(!found.is_empty());
}

#[test]
fn bad_lines_are_counted_and_shown_and_end_nothing() {
    let mut log = day();
    log.insert_str(0, "1760000000.000 120 10.0.0.1 TCP_MISS/200\n\u{1b}[31m not a line\n");
    let output = hunt(&["-"], log.as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("2 cannot be read") && text.contains("line 2: "), "{text}");
    assert!(!text.contains('\u{1b}') && text.contains("6 of them high"), "{text}");
    let unknown = hunt(&["-"], "nothing that is known\n".repeat(500).as_bytes());
    let text = String::from_utf8(unknown.stdout).unwrap();
    assert!(unknown.status.success() && text.contains("no known format") && text.contains("stopped: "), "{text}");
    let missing = hunt(&["/nowhere/access.log"], b"");
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("/nowhere/access.log"));
    assert_eq!(hunt(&["-", "access.log"], b"").status.code(), Some(2));
}

#[test]
fn logs_of_several_files_are_read_by_their_times_in_whatever_order_they_are_named() {
    let files = tempfile::tempdir().unwrap();
    let log = day();
    let lines: Vec<_> = log.split_inclusive('\n').collect();
    let mut paths = Vec::new();
    for (number, part) in lines.chunks(lines.len() / 3).enumerate() {
        let path = files.path().join(format!("access.log.{}", 9 - number));
        std::fs::write(&path, part.concat()).unwrap();
        paths.push(path.to_str().unwrap().to_owned());
    }
    let whole = json(&["-"], log.as_bytes());
    let named: Vec<_> = paths.iter().map(String::as_str).collect();
    let evidence = |report: &Value| {
        let findings = report["findings"].as_array().unwrap().iter();
        findings.map(|f| format!("{} {}", f["finding_id"], f["score"])).collect::<Vec<_>>()
    };
    assert_eq!(evidence(&json(&named, b"")), evidence(&whole));
    assert_eq!(evidence(&json(&[files.path().to_str().unwrap()], b"")), evidence(&whole));
}

#[test]
fn what_was_found_of_one_client_is_told_as_one_story_in_order_of_time() {
    let mut log = day();
    assert_eq!(json(&["-"], log.as_bytes())["stories"], serde_json::json!([]), "beacons alone are none");
    // A day later the client with a beacon of its own opens a tunnel to an address that nobody knew.
    log.push_str(
        "1760090000.000 120 10.0.0.7 TCP_TUNNEL/200 900 CONNECT 203.0.113.77:4444 - HIER_DIRECT/203.0.113.77 -\n",
    );
    let report = json(&["-"], log.as_bytes());
    let stories = report["stories"].as_array().unwrap();
    let [story] = &**stories else { panic!("{stories:#?}") };
    assert_eq!((&story["client"], &story["severity"]), (&"10.0.0.7".into(), &"high".into()));
    let kinds: Vec<_> = story["findings"].as_array().unwrap().iter().map(|step| step["finding"].clone()).collect();
    assert_eq!(kinds, ["always_on", "beacon", "unknown_tunnel"]);
    assert!(story["english"].as_str().unwrap().contains("then unknown tunnel (203.0.113.77)"), "{story:#}");
    assert!(story["japanese"].as_str().unwrap().contains("次いで未知の相手へのトンネル（203.0.113.77）"), "{story:#}");
    let text = |arguments: &[&str]| String::from_utf8(hunt(arguments, log.as_bytes()).stdout).unwrap();
    let shown = text(&["-"]);
    for part in [story["english"].as_str().unwrap(), story["japanese"].as_str().unwrap(), "foothold (基盤構築)"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // Who asks for one finding sees the story that it is part of, and no other.
    let id = |client: &str| {
        let findings = report["findings"].as_array().unwrap().iter();
        let beacon = findings.filter(|f| f["finding"] == "beacon").find(|f| f["client"] == client);
        beacon.unwrap()["finding_id"].as_str().unwrap().to_owned()
    };
    let english = story["english"].as_str().unwrap();
    assert!(text(&["-", "--explain", &id("10.0.0.7")]).contains(english));
    assert!(!text(&["-", "--explain", &id("10.0.0.14")]).contains(english));
}

/// Three days of Squid's log of five hundred clients. On the second ten begin to have a beacon of their own, and 83 begin to
/// call one host that nobody knew.
fn outbreak() -> String {
    let mut numbers = Numbers(17);
    let mut lines = Vec::new();
    for client in 0..500_u32 {
        for _ in 0..24 {
            lines.push((numbers.next() * 259_200.0, client, format!("site{}.test", client % 5)));
        }
        let (from, period, host) = match client {
            0..83 => (100_000.0 + 600.0 * f64::from(client), 900.0, "outbreak.test".to_owned()),
            100..110 => (90_000.0, 300.0, format!("home{client}.test")),
            _ => continue,
        };
        let mut at = from;
        while at < 259_200.0 {
            lines.push((at, client, host.clone()));
            at += period * (0.9 + 0.2 * numbers.next());
        }
    }
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    lines.iter().fold(String::new(), |mut log, (at, client, host)| {
        let _ = writeln!(
            log,
            "{:.3} 120 10.0.{}.{} TCP_MISS/200 900 GET http://{host}/a - HIER_DIRECT/192.0.2.1 text/html",
            1_760_000_000.0 + at,
            client / 250,
            client % 250
        );
        log
    })
}

#[test]
fn a_mass_infection_is_among_the_first_five_of_the_day_though_so_many_have_it() {
    let report = json(&["-"], outbreak().as_bytes());
    let told = told(&report);
    let first: Vec<_> = told.iter().take(5).map(|(kind, _, target)| (&**kind, &**target)).collect();
    assert!(first.contains(&("spread", "outbreak.test")), "{first:?}");
    let highs = report["findings"].as_array().unwrap().iter().filter(|f| f["severity"] == "high").count();
    assert!(highs > 10, "it has rivals: {highs}");
    let of_it = told.iter().filter(|(kind, _, target)| kind == "beacon" && target == "outbreak.test").count();
    assert!(of_it > 60, "each of its beacons is told of too: {of_it}");
}

/// Does something seven times at a steady pace, which takes as long as it takes.
fn at_a_pace(period: Duration, mut act: impl FnMut()) {
    let begun = Instant::now();
    for time in 0..7 {
        std::thread::sleep((begun + period * time).saturating_duration_since(Instant::now()));
        act();
    }
}

/// What is on record calls this host home.
fn assert_found(report: &Value, target: &str) -> Value {
    let finding = ("beacon".to_owned(), Ipv4Addr::LOCALHOST.to_string(), target.to_owned());
    let at = told(report).iter().position(|found| *found == finding);
    report["findings"][at.unwrap_or_else(|| panic!("{finding:?} in {report:#}"))].clone()
}

#[test]
fn a_beacon_through_the_gate_is_found_in_its_journal_also_where_it_was_denied() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let request = |target: &str, host: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tester/1\r\nConnection: close\r\n\r\n")
    };
    let plain = request(&format!("http://{}/beat", origin.address), &origin.address.to_string());
    let denied = request("http://denied.test/beat", "denied.test");
    at_a_pace(Duration::from_millis(2500), || {
        assert!(gate.send(plain.as_bytes()).starts_with("HTTP/1.1 200 "));
        assert!(gate.send(denied.as_bytes()).starts_with("HTTP/1.1 403 "));
    });
    gate.records();
    let report = json(&[gate.data_dir().to_str().unwrap()], b"");
    assert_eq!(assert_found(&report, &origin.address.ip().to_string())["denied"], 0);
    let of_denied = assert_found(&report, "denied.test");
    assert_eq!(of_denied["denied"], of_denied["requests"]);
}

#[test]
fn a_beacon_that_lives_in_one_tunnel_is_found_by_its_bursts() {
    let mut lab = Lab::new("protocol = \"any\"");
    let mut client = lab.open("a.test");
    let hello = hello("curl");
    client.send(&hello[..]);
    assert_eq!(client.take(hello.len()), hello);
    at_a_pace(Duration::from_millis(2500), || {
        client.send("beat");
        assert_eq!(client.take(4), b"beat");
    });
    client.finish();
    assert_eq!(client.rest(), (Vec::new(), End::Closed));
    drop(client);
    assert_eq!(lab.gate.events("close").len(), 1);
    let report = json(&[lab.gate.data_dir().to_str().unwrap()], b"");
    assert_found(&report, "a.test");
}

#[test]
fn a_running_gate_puts_what_it_finds_on_record_and_its_journal_verifies() {
    let config = "[detect]\ndelay_seconds = 1\n";
    let data = tempfile::tempdir().unwrap();
    let findings = || {
        let records = records(data.path()).into_iter();
        records.filter(|record| record["kind"] == "finding").collect::<Vec<_>>()
    };
    let mut gate = Start { config, data_dir: Some(data.path().to_path_buf()), ..Start::default() }.gate();
    let begun = Instant::now();
    let mut beats = 0;
    while findings().is_empty() {
        assert!(beats < 60, "a beacon of a minute and a half is found");
        std::thread::sleep((begun + Duration::from_millis(1500) * beats).saturating_duration_since(Instant::now()));
        gate.send(b"GET http://c2.test/beat HTTP/1.1\r\nHost: c2.test\r\nConnection: close\r\n\r\n");
        beats += 1;
    }
    let found = &findings()[0];
    assert_eq!(
        (&found["finding"], &found["target"], &found["client"]),
        (&"beacon".into(), &"c2.test".into(), &"127.0.0.1".into())
    );
    assert_eq!(found["denied"], found["requests"]);
    assert_eq!(gate.end("-TERM"), Some(0));
    let verified = Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("verify").arg(data.path()).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn a_program_that_came_as_a_picture_is_found_in_the_journal_with_its_hash() {
    let body = program(600);
    let answer = [b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 600\r\n\r\n", &body[..]].concat();
    let origin = Origin::serving(move |mut peer, _| {
        peer.request();
        peer.send(&answer);
        peer.finish();
        peer.rest();
    });
    let mut gate = Gate::start(&origin.policy());
    let (mut client, at) = (gate.client(), origin.address);
    client.send(format!("GET http://{at}/logo.png HTTP/1.1\r\nHost: {at}\r\nUser-Agent: tester/1\r\n\r\n"));
    assert!(client.answer().body == body);
    drop(client);
    gate.events("close");
    let report = json(&[gate.data_dir().to_str().unwrap()], b"");
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|f| f["finding"] == "carrier").unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!((&found["target"], &found["stage"]), (&at.ip().to_string().into(), &"initial_intrusion".into()));
    let english = found["english"].as_str().unwrap();
    for part in ["stated as image/png", "named \"logo.png\"", &format!("SHA-256 {}", sha256(&body)), "is no browser"] {
        assert!(english.contains(part), "{part}: {english}");
    }
}

//! What the journal holds of what clients choose, and what a reader can trust of it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::gate::{Gate, Start, journal_text, records, segments};
use crate::origin::Origin;
use crate::tunnel_lab::connect;

fn verify(data_dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("verify").arg(data_dir).output().unwrap()
}

/// Characters that end a line somewhere, move a cursor, reorder text or cannot be seen.
const FORGERIES: [&str; 9] = [
    "\u{2028}",
    "\u{2029}",
    "\u{85}",
    "\u{9b}2J",
    "\u{202e}txt.exe",
    "\u{2066}a\u{2069}",
    "\u{feff}",
    "\u{200b}",
    "\u{e0041}",
];
/// No field of a record is longer, cut and marked as it may be.
const FIELD_BYTES_MAX: usize = 1100;

#[test]
fn no_bytes_of_a_client_make_a_line_or_a_raw_control() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let at = origin.address;
    let mut values: Vec<Vec<u8>> = FORGERIES.iter().map(|text| format!("a{text}b").into_bytes()).collect();
    values.push(b"\xff\xfe\x80 not utf-8 \xc3\x28".to_vec());
    values.push(b"\"},{\"kind\":\"admin\",\"action\":\"forged\"}".to_vec());
    values.push(b"tab\there \\n \\u001b".to_vec());
    values.push(vec![b'a'; 60_000]);
    values.push("\u{202e}".repeat(10_000).into_bytes());
    for value in &values {
        let mut client = gate.client();
        let head =
            format!("GET http://{at}/{}?{} HTTP/1.1\r\nHost: {at}\r\nUser-Agent: ", "p".repeat(100), "q".repeat(100));
        client.send([head.as_bytes(), value, b"\r\nConnection: close\r\n\r\n"].concat());
        assert_eq!(client.answer().status(), 200);
        let mut client = gate.client();
        let head =
            "GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\nReferer: http://a.example/";
        client.send([head.as_bytes(), value, b"\r\n\r\n"].concat());
        assert_eq!(client.answer().status(), 403);
    }
    let long = format!("http://b.example/{}?{}", "p".repeat(20_000), "q".repeat(20_000));
    let raw: [&[u8]; 6] = [
        b"GET http://a.example/\r\nforged: 1 HTTP/1.1\r\n\r\n",
        b"GET http://a.example/\x1b[2J HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"GET http://a\x1b[2J.example/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nHost: a\xe2\x80\xa8.example\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nUser-Agent: a\x1b]0;forged\x07\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nReferer: a\n{\"seq\":1}\r\n\r\n",
    ];
    for bytes in raw {
        let mut client = gate.client();
        client.send(bytes);
        assert_eq!(client.answer().status(), 400);
    }
    let mut client = gate.client();
    client.send(format!("GET {long} HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n"));
    assert_eq!(client.answer().status(), 403);
    assert_eq!(gate.end("-TERM"), Some(0));

    let text = journal_text(&gate.data_dir());
    for (number, line) in text.split_terminator('\n').enumerate() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(record["seq"], number + 1, "one record a line, none left out");
        assert!(!line.chars().any(char::is_control), "{line}");
        assert!(
            !FORGERIES.iter().any(|forgery| line.contains(&forgery[..forgery.chars().next().unwrap().len_utf8()])),
            "{line}"
        );
        assert_ne!(record["action"], "forged");
        for (name, value) in record.as_object().unwrap() {
            assert!(value.as_str().is_none_or(|text| text.len() <= FIELD_BYTES_MAX), "{name} of {number}");
        }
    }
    assert_eq!(verify(&gate.data_dir()).status.code(), Some(0));
    let agents: Vec<_> =
        records(&gate.data_dir()).iter().filter_map(|record| Some(record["user_agent"].as_str()?.to_owned())).collect();
    assert_eq!(agents[0], "a\u{2028}b", "what is escaped reads back as it was sent");
    assert!(agents.iter().any(|agent| agent.contains("60000 bytes")), "what is cut says how long it was");
}

fn of_query(gate: &mut Gate, origin: &Origin, queries: &[&str]) -> Vec<Value> {
    let at = origin.address;
    for query in queries {
        let mut client = gate.client();
        let lines = "Referer: http://r.example/path?secret-in-referer\r\nCookie: secret-cookie\r\nConnection: close";
        client.send(format!("GET http://{at}/p{query} HTTP/1.1\r\nHost: {at}\r\n{lines}\r\n\r\n"));
        assert_eq!(client.answer().status(), 200);
        client.rest();
    }
    gate.events("open")
}

#[test]
fn a_query_is_on_record_as_its_length_and_a_hash_under_the_gates_own_key() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let opened = of_query(&mut gate, &origin, &["?secret=1", "?secret=1", "?secret=2", "?", ""]);
    let hash = |open: &Value| open["query_hash"].as_str().map(str::to_owned);
    assert_eq!(opened[0]["query_bytes"], 8);
    assert!(hash(&opened[0]).is_some_and(|hash| hash.len() == 16));
    assert_eq!(hash(&opened[0]), hash(&opened[1]), "equal queries can be found");
    assert_ne!(hash(&opened[0]), hash(&opened[2]));
    assert_eq!(opened[3]["query_bytes"], 0);
    assert!(opened[4]["query_bytes"].is_null() && hash(&opened[4]).is_none(), "no query is not an empty one");
    assert!(
        opened
            .iter()
            .all(|open| open["path"] == "/p" && open["query"].is_null() && open["referer_host"] == "r.example")
    );
    assert!(!journal_text(&gate.data_dir()).contains("secret"), "neither queries, referers nor cookies are kept");

    let mut other = Gate::start(&origin.policy());
    let elsewhere = of_query(&mut other, &origin, &["?secret=1"]);
    assert_ne!(hash(&opened[0]), hash(&elsewhere[0]), "another gate has another key");
    assert_eq!(origin.requests()[0].line(), "GET /p?secret=1 HTTP/1.1", "the origin gets the query all the same");
}

#[test]
fn a_query_is_kept_where_the_config_says_so() {
    let origin = Origin::start();
    let mut gate = Gate::configured(&origin.policy(), "[evidence]\nkeep_query = true\n");
    let opened = of_query(&mut gate, &origin, &["?secret=1"]);
    assert_eq!((&opened[0]["query"], &opened[0]["query_bytes"]), (&"secret=1".into(), &8.into()));
    assert!(!journal_text(&gate.data_dir()).contains("secret-in-referer"));
}

/// A journal of 20 and more records, and its one segment.
fn twenty_records() -> (Gate, std::path::PathBuf) {
    let mut gate = Gate::start("");
    for n in 0..20 {
        gate.send(
            format!("GET http://n{n}.example/ HTTP/1.1\r\nHost: n{n}.example\r\nConnection: close\r\n\r\n").as_bytes(),
        );
    }
    assert_eq!(gate.end("-TERM"), Some(0));
    let path = segments(&gate.data_dir()).remove(0);
    (gate, path)
}

#[test]
fn verify_names_the_first_record_that_was_touched() {
    let (gate, path) = twenty_records();
    let whole = verify(&gate.data_dir());
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let nine = serde_json::from_str::<Value>(lines[8]).unwrap();
    assert_eq!(nine["seq"], 9);

    let altered = lines[8].replacen("\"v\":1,\"seq\":9,", "\"v\":1,\"seq\":9,\"x\":1,", 1);
    let swapped = |a: usize, b: usize| {
        let mut lines = lines.clone();
        lines.swap(a, b);
        lines
    };
    let without = |range: std::ops::Range<usize>| [&lines[..range.start], &lines[range.end..]].concat();
    let with = |line| [&lines[..8], &[line], &lines[9..]].concat();
    let cases: [(&str, Vec<&str>, &str); 7] = [
        ("altered", with(&altered), "numbered 9 was altered"),
        ("removed", without(8..9), "records 9 to 9 are missing"),
        ("several removed", without(8..11), "records 9 to 11 are missing"),
        ("the first removed", without(0..1), "records 1 to 1 are missing"),
        ("reordered", swapped(8, 9), "records 9 to 9 are missing"),
        ("repeated", [&lines[..9], &lines[8..]].concat(), "numbered 9 stands where 10 belongs"),
        ("forged", [&lines[..8], &["{\"kind\":\"admin\"}"], &lines[8..]].concat(), "after record 8 is no record"),
    ];
    for (what, lines, says) in cases {
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        let output = verify(&gate.data_dir());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{what}: {error}");
        assert!(error.contains(says) && error.contains("hint:"), "{what}: {error}");
    }
}

#[test]
fn segments_that_were_moved_away_are_missing_until_it_is_said_where_the_rest_begins() {
    let mut first = Gate::start("");
    first.records();
    let mut second = Start { data_dir: Some(first.data_dir()), ..Start::default() }.gate();
    assert_eq!(second.end("-TERM"), Some(0));
    let data_dir = first.data_dir();
    // The first may have been sealed by now, or not.
    let left = segments(&data_dir).pop().unwrap();
    for file in std::fs::read_dir(data_dir.join("journal")).unwrap().map(|entry| entry.unwrap().path()) {
        if file != left {
            std::fs::remove_file(file).unwrap();
        }
    }
    let text = std::fs::read_to_string(&left).unwrap();
    let begins = serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap()["seq"].as_u64().unwrap();
    let verify_from = |from: u64| {
        let from = from.to_string();
        Command::new(env!("CARGO_BIN_EXE_sekisho")).args(["verify", "--from", &from]).arg(&data_dir).output().unwrap()
    };
    let error = verify(&data_dir);
    let said = String::from_utf8_lossy(&error.stderr);
    assert_eq!(error.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("records 1 to {} are missing", begins - 1)) && said.contains("--from"), "{said}");
    let left = verify_from(begins);
    let said = String::from_utf8_lossy(&left.stdout);
    assert_eq!(left.status.code(), Some(0), "{left:?}");
    assert!(said.contains(&format!("records 1 to {} are elsewhere, and were not checked", begins - 1)), "{said}");
    for wrong in [2, begins - 1, begins + 1] {
        assert_eq!(verify_from(wrong).status.code(), Some(3), "--from {wrong}");
    }
}

#[test]
fn a_journal_goes_on_where_it_ended_and_a_torn_tail_is_cut_and_said() {
    let (gate, path) = twenty_records();
    let before = records(&gate.data_dir()).len();
    let mut text = std::fs::read_to_string(&path).unwrap();
    let torn = "{\"v\":1,\"seq\":99,\"kind\":\"exch";
    text.push_str(torn);
    std::fs::write(&path, text).unwrap();
    let mut again = Start { data_dir: Some(gate.data_dir()), ..Start::default() }.gate();
    again.send(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(again.end("-TERM"), Some(0));
    let records = records(&gate.data_dir());
    assert!(records.len() > before);
    let gap = records.iter().find(|record| record["kind"] == "gap").expect("a gap record");
    assert_eq!((&gap["cause"], &gap["bytes"]), (&"torn_tail".into(), &torn.len().into()));
    assert_eq!(verify(&gate.data_dir()).status.code(), Some(0));
}

#[test]
fn a_damaged_tail_does_not_stop_the_gate_and_is_kept_and_said() {
    let (gate, path) = twenty_records();
    let lines: Vec<String> = std::fs::read_to_string(&path).unwrap().lines().map(|line| format!("{line}\n")).collect();
    // What was written behind the last sync, with a page that never came to the disk.
    let synced = lines.iter().rposition(|line| line.contains("\"kind\":\"batch\"")).map_or(1, |at| at + 1);
    let begin: usize = lines[..synced].iter().map(String::len).sum();
    let mut bytes = lines.concat().into_bytes();
    bytes[begin..begin + 40].fill(0);
    let damaged = bytes.split_off(begin);
    std::fs::write(&path, [bytes, damaged.clone()].concat()).unwrap();
    let mut again = Start { data_dir: Some(gate.data_dir()), ..Start::default() }.gate();
    again.send(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(again.end("-TERM"), Some(0));
    let aside = std::path::PathBuf::from(format!("{}.damaged", path.display()));
    assert_eq!(std::fs::read(&aside).unwrap(), damaged);
    std::fs::rename(&aside, gate.directory.path().join("damaged")).unwrap();
    let records = records(&gate.data_dir());
    let gap = records.iter().find(|record| record["kind"] == "gap").expect("a gap record");
    assert_eq!((&gap["cause"], &gap["bytes"]), (&"damaged_tail".into(), &damaged.len().into()));
    assert!(gap["detail"].as_str().unwrap().ends_with(aside.file_name().unwrap().to_str().unwrap()), "{gap}");
    assert_eq!(verify(&gate.data_dir()).status.code(), Some(0));
}

#[test]
fn a_second_gate_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let second = Start { data_dir: Some(gate.data_dir()), ..Start::default() }.output();
    let error = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{error}");
    assert!(error.contains("another gate is writing to") && error.contains("hint:"), "{error}");
    let (client, answer) = connect(&gate, &origin.address.to_string());
    assert_eq!(answer.status(), 200);
    drop(client);
    assert_eq!(gate.events("open").len(), 1);
    assert_eq!(verify(&gate.data_dir()).status.code(), Some(0));
}

#[test]
fn a_refused_head_is_on_record_with_what_it_asked_for_and_without_its_secrets() {
    let mut gate = Gate::start("");
    let heads = [
        "GET http://a.example/x?token=hunter2 HTTP/1.1\r\nHost: front.example\r\nUser-Agent: thing/1\r\n\r\n",
        "GET http://user:hunter2@b.example/y HTTP/1.1\r\nHost: b.example\r\n\r\n",
    ];
    for head in heads {
        assert!(gate.send(head.as_bytes()).starts_with("HTTP/1.1 400 "));
    }
    let refused = gate.events("refused");
    let first = &refused[0];
    assert_eq!((&first["reason"], &first["method"]), (&"host_mismatch".into(), &"GET".into()), "{first}");
    assert_eq!((&first["asked"], &first["asked_host"]), (&"http://a.example/x".into(), &"front.example".into()));
    assert_eq!(first["user_agent"], "thing/1");
    assert_eq!((&refused[1]["reason"], &refused[1]["asked"]), (&"userinfo".into(), &"@b.example/y".into()));
    assert!(!format!("{refused:?}").contains("hunter2"));
}

#[test]
fn a_connect_that_waits_for_its_first_bytes_is_on_record_before_they_come() {
    let policy = "[programs]\nknown = { ja4 = [\"t13d1516h2_8daaf6152771_02713d6af862\"] }\n[[rule]]\nname = \"known\"\nprograms = [\"known\"]\nverdict = \"allow\"\n";
    let mut gate = Gate::start(policy);
    let mut client = gate.client();
    client.send("CONNECT c2.test:443 HTTP/1.1\r\nHost: c2.test:443\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 200);
    gate.end("-KILL");
    let records = crate::gate::records(&gate.data_dir());
    let waiting = records.iter().find(|record| record["event"] == "waiting").unwrap();
    assert_eq!((&waiting["host"], &waiting["reason"]), (&"c2.test".into(), &"needs_hello".into()), "{waiting}");
}

#[test]
fn a_data_directory_in_which_others_can_write_is_refused_with_a_hint() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o775)).unwrap();
    let output = Start { data_dir: Some(directory.path().into()), ..Start::default() }.output();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("mode 0775") && error.contains("chmod go-w"), "{error}");
}

#[test]
fn a_batch_record_says_up_to_which_record_all_was_on_the_disk() {
    let origin = Origin::start();
    let at = origin.address;
    for durability in ["strict", "batch"] {
        let mut gate = Gate::configured(&origin.policy(), &format!("[evidence]\ndurability = \"{durability}\"\n"));
        let batches = |gate: &Gate| -> Vec<(u64, u64)> {
            let records = records(&gate.data_dir());
            let batches = records.iter().filter(|record| record["kind"] == "batch");
            batches.map(|batch| (batch["seq"].as_u64().unwrap(), batch["synced"].as_u64().unwrap())).collect()
        };
        // Each exchange comes after those before it, and so in the end a sync after another.
        while batches(&gate).len() < 4 {
            gate.send(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n").as_bytes());
        }
        assert_eq!(gate.end("-TERM"), Some(0));
        let batches = batches(&gate);
        assert!(batches[0].1 < batches[0].0, "{durability}: {batches:?}");
        for pair in batches.windows(2) {
            let [(seq_before, before), (seq, synced)] = *pair else { unreachable!("they are two") };
            assert!(before <= synced && synced < seq, "{durability}: {batches:?}");
            assert!(durability == "batch" || synced >= seq_before, "each is synced before the next: {batches:?}");
        }
        assert!(batches.last().unwrap().1 > 0, "{durability}: {batches:?}");
    }
}

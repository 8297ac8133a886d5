//! Policies good and bad, one after the other, while clients ask without a pause.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::gate::{Gate, put_over};
use crate::origin::Origin;
use crate::peer::Peer;

const RELOADS: usize = 100;
const CLIENTS: usize = 4;

/// What a client was told, by status and by the rule on the page.
fn ask(client: &mut Peer, there: std::net::SocketAddr) -> u16 {
    client.send(format!("GET http://{there}/ HTTP/1.1\r\nHost: {there}\r\n\r\n"));
    let answer = client.answer();
    match answer.status() {
        200 => assert!(answer.whole, "{}", answer.head),
        403 => assert!(answer.text().contains("closed ("), "the rule that closes is named: {}", answer.text()),
        _ => panic!("neither policy says this: {} {}", answer.head, answer.text()),
    }
    answer.status()
}

#[test]
fn a_hundred_reloads_under_load_leave_every_answer_to_a_policy_that_was_in_force() {
    let origin = Origin::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let there = origin.address;
    let open = origin.policy();
    let closed = open.replace("\"origin\"", "\"closed\"").replace("\"allow\"", "\"deny\"");
    let closed = closed.replace("private = [\"127.0.0.0/8\"]\n", "").replace("protocol = \"any\"\n", "");
    let mut gate = Gate::start(&open);
    // What each version says, as the gate itself names it.
    let mut versions = HashMap::from([(gate.status()["policy"]["hash"].as_str().unwrap().to_owned(), 200)]);
    let ended = AtomicBool::new(false);
    let asked: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let mut client = gate.client();
                let ended = &ended;
                scope.spawn(move || {
                    let mut count = 0;
                    while !ended.load(Ordering::Relaxed) {
                        ask(&mut client, there);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let mut prober = gate.client();
        let mut says = 200;
        for n in 0..RELOADS {
            let good = n % 2 == 0;
            let output = match (good, n % 4) {
                (true, 0) => gate.put(&format!("# {n}\n{closed}")),
                (true, _) => gate.put(&format!("# {n}\n{open}")),
                // Half of a good one.
                (false, 1) => gate.put(open.split_at(open.len() / 2).0),
                (false, _) => gate.put("unknown = \"allow\"\n"),
            };
            assert_eq!(output.status.code(), Some(if good { 0 } else { 2 }), "{n}: {output:?}");
            if good {
                says = if n % 4 == 0 { 403 } else { 200 };
                versions.insert(gate.status()["policy"]["hash"].as_str().unwrap().to_owned(), says);
            }
            assert_eq!(ask(&mut prober, there), says, "{n}: it is in force once the command says so");
        }
        ended.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>() + RELOADS
    });
    put_over(&gate.policy(), &open);
    assert_eq!(versions.len(), 1 + RELOADS / 2, "each has a version of its own");

    let records = gate.records();
    let judged: Vec<_> = records.iter().filter(|r| r["event"] == "open" || r["event"] == "refused").collect();
    assert_eq!(judged.len(), asked, "every request is on record once");
    let seen = origin.requests().len();
    assert_eq!(judged.iter().filter(|record| record["event"] == "open").count(), seen);
    for record in &judged {
        let (status, rule) = if record["event"] == "open" { (200, "origin") } else { (403, "closed") };
        assert_eq!(versions.get(record["policy"].as_str().unwrap()), Some(&status), "{record}");
        assert_eq!((&record["rule"], &record["reason"]), (&rule.into(), &"rule".into()), "{record}");
    }
    // No exchange names a version before the journal has heard of it.
    let mut heard = Vec::new();
    for record in &records {
        if record["kind"] == "policy" && record["action"] == "in_force" {
            heard.push(record["hash"].clone());
        } else if let Some(policy) = record.get("policy") {
            assert!(heard.contains(policy), "{record}");
        }
    }
    assert!(heard.len() >= versions.len());
    let refused = records.iter().filter(|record| record["action"] == "refused");
    assert!(refused.count() >= RELOADS / 2, "and so has it of each bad one");
    assert!(asked > 2 * RELOADS, "there was a load: {asked}");
    sekisho::store::verify(&gate.data_dir(), &Default::default()).unwrap();
}

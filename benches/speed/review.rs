//! What it costs to ask about a journal of a million exchanges, most of them browsers' requests, a tenth of
//! them tunnels. The whole process counts: lines are read by several threads.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};

use sekisho::evidence::{Chain, Event, Exchange, Record, Target};
use sekisho::facts::{ExchangeId, Timestamp};
use sekisho::policy::Policy;
use sekisho::review::{LearnOptions, learn, replay};
use sekisho::store::Reader;
use tempfile::TempDir;

use crate::harness::{Bencher, CpuOf, Scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("review::replay_5_rules", |b| ask_replay(b, 5)),
    ("review::replay_1000_rules", |b| ask_replay(b, 1000)),
    ("review::learn", ask_learn),
];

const BEGUN: u64 = 1_795_510_800_000_000;

fn exchanges(b: &Bencher) -> u64 {
    if b.is_measured() { 1_000_000 } else { 200 }
}

/// A data directory with so many exchanges, an opening and a closing record each.
fn journal(exchanges: u64) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("journal")).unwrap();
    let file = File::create(directory.path().join("journal/00000000000001-20261124T090000Z.jsonl")).unwrap();
    let (mut out, mut chain, mut line) = (BufWriter::with_capacity(1 << 20, file), Chain::start(), Vec::new());
    for n in 0..exchanges {
        for (record, after) in [(opening(n), 0), (closing(n), 900)] {
            line.clear();
            let members = Record::Exchange(Box::new(record)).encode(Timestamp(BEGUN + n * 1000 + after));
            chain.append(&members, &mut line);
            out.write_all(&line).unwrap();
        }
    }
    out.flush().unwrap();
    directory
}

fn opening(n: u64) -> Exchange {
    let is_tunnel = n.is_multiple_of(10);
    let mut record = Exchange::new(Event::Open, ExchangeId(BEGUN + n * 1000));
    record.client = Some(format!("10.20.{}.{}", n % 7, n % 250));
    record.client_port = Some(51_234);
    record.client_group = Some("office".into());
    record.user_agent = Some(
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36".into(),
    );
    record.method = Some(if is_tunnel { "CONNECT" } else { "GET" }.into());
    record.target = Some(Target {
        scheme: if is_tunnel { "tunnel" } else { "http" },
        host: format!("www.host{}.example", n % 2000).as_str().into(),
        port: if is_tunnel { 443 } else { 80 },
        path: (!is_tunnel).then(|| format!("/catalogue/{n}").as_str().into()),
        query_bytes: (!is_tunnel).then_some(17),
        query_hash: (!is_tunnel).then(|| "4f6d0a3b9c1e7d28".to_owned()),
        query: None,
    });
    record.verdict = Some("allow");
    record.reason = Some("rule".into());
    record.rule = Some("office".into());
    record.rule_at = Some("policy.toml:12".into());
    record.policy = Some("9c1e7d284f6d0a3b".into());
    record
}

fn closing(n: u64) -> Exchange {
    let mut record = Exchange::new(Event::Close, ExchangeId(BEGUN + n * 1000));
    record.answers = vec!["198.41.0.4".to_owned(), "199.9.14.201".to_owned()];
    record.dialled = Some("198.41.0.4:80".to_owned());
    record.status = Some(200);
    record.content_type = Some("text/html; charset=utf-8".into());
    record.bytes_up = Some(612);
    record.bytes_down = Some(18_602);
    record.total_us = Some(22_803);
    record.closed_by = Some("origin");
    record.closed_how = Some("answered".into());
    record
}

/// Rules that name one host each; the hosts of half of the exchanges are among a thousand of them.
fn policy(rules: u64) -> Policy {
    let text: String = (0..rules)
        .map(|n| format!("[[rule]]\nname = \"r{n}\"\nhosts = [\"www.host{n}.example\"]\nverdict = \"allow\"\n"))
        .collect();
    Policy::compile("policy.toml", &text).unwrap()
}

fn ask_replay(b: &mut Bencher, rules: u64) {
    let exchanges = exchanges(b);
    let (directory, policy) = (journal(exchanges), policy(rules));
    b.cpu_of(CpuOf::Process).units(exchanges, "exchange").iter(|| {
        let mut reader = Reader::open(directory.path(), None).unwrap();
        let replayed = replay(&mut reader, &policy, None, 3, |_| {}).unwrap();
        assert_eq!((replayed.exchanges, replayed.judged, replayed.unreadable), (exchanges, exchanges, 0));
    });
}

fn ask_learn(b: &mut Bencher) {
    let exchanges = exchanges(b);
    let directory = journal(exchanges);
    let options = LearnOptions {
        since: None,
        requests_min: 1,
        clients_min: 1,
        days_min: 1,
        names_max: 8,
        doubted: BTreeSet::new(),
    };
    b.cpu_of(CpuOf::Process).units(exchanges, "exchange").iter(|| {
        let mut reader = Reader::open(directory.path(), None).unwrap();
        let learnt = learn(&mut reader, &options, |_| {}).unwrap();
        assert_eq!((learnt.exchanges, learnt.proposals.len() as u64), (exchanges, exchanges.min(2000)));
    });
}

//! What a running gate spends to watch an exchange: its two lines are read from the journal, and what they tell is observed.

use std::hint::black_box;

use sekisho::detect::{Detector, Limits, Settings};
use sekisho::evidence::{
    Chain, Event as Told, Exchange, Observed, Part, Record, Source, Target, lines_of, read_record,
};
use sekisho::facts::{ExchangeId, Timestamp};
use sekisho::watch::Watch;

use crate::random::Random;
use crate::speed::{Event, least, report, traffic};
use crate::trace::{BEGIN, PATHS};

/// Lines of an exchange.
const LINES: usize = 2;
/// Of exchanges so many are tunnels: one in so many.
const TUNNELS: usize = 10;
const TOOK_US: u64 = 22_803;

pub(crate) fn run(seed: u64, pairs: usize) {
    let events = traffic(&mut Random::new(seed), pairs);
    let journal = journal(&events);
    let lines = || lines_of(&journal);
    let exchanges = events.len();
    println!(
        "\n{exchanges} exchanges of a day, {} lines of {} bytes in the mean, in memory; CPU time of one thread, by exchange",
        LINES * exchanges,
        journal.len() / (LINES * exchanges)
    );
    let (spent, _) = least(|| {
        let mut watch = Watch::new(Limits::LIVE, &Settings::default());
        lines().for_each(|line| watch.read(line));
        black_box(watch.new_findings(Timestamp(0)).len())
    });
    report("both lines watched", exchanges, spent);
    let (spent, _) = least(|| lines().count());
    report("both lines told apart", exchanges, spent);
    let (spent, told) = least(|| lines().filter(|line| read_record(line).is_ok()).count());
    assert_eq!(told, LINES * exchanges, "each line is a record");
    report("both lines read", exchanges, spent);
    let (spent, _) =
        least(|| lines().filter(|line| read_record(line).is_ok_and(|record| Observed::of(&record).is_some())).count());
    report("both lines read and understood", exchanges, spent);
    let parts = parts(&events);
    let (spent, _) = least(|| {
        let mut detector = Detector::new(Limits::LIVE, &Settings::default());
        parts.iter().for_each(|seen| detector.observe(seen, &[]));
        black_box(detector.counts())
    });
    report("both parts observed, in memory", exchanges, spent);
    let (spent, _) = least(|| {
        let mut detector = Detector::new(Limits::LIVE, &Settings::default());
        for (number, event) in (1..).zip(&events) {
            detector.observe(&event.observed(number), &[]);
        }
        black_box(detector.counts())
    });
    report("one part observed, in memory", exchanges, spent);
}

/// The lines that a gate writes of them, an opening and a closing one each.
fn journal(events: &[Event]) -> Vec<u8> {
    let source = Source { gate: "gate-1".into(), site: None }.encode();
    let (mut chain, mut journal) = (Chain::start(), Vec::new());
    let mut records: Vec<(u64, Record)> = Vec::with_capacity(LINES * events.len());
    for (number, event) in events.iter().enumerate() {
        let at = BEGIN + (event.hit.at * 1e6) as u64;
        let id = ExchangeId(at * 16 + number as u64 % 16);
        let is_tunnel = number % TUNNELS == 0;
        records.push((at, Record::Exchange(Box::new(opening(event, id, is_tunnel)))));
        records.push((at + TOOK_US, Record::Exchange(Box::new(closing(event, id, is_tunnel)))));
    }
    records.sort_by_key(|(at, _)| *at);
    for (at, record) in records {
        let members = [source.clone(), record.encode(Timestamp(at))].concat();
        chain.append(&members, &mut journal);
    }
    journal
}

fn opening(event: &Event, id: ExchangeId, is_tunnel: bool) -> Exchange {
    let mut record = Exchange::new(Told::Open, id);
    record.client = Some(event.client.to_string());
    record.client_port = Some(51_234);
    record.client_group = Some("office".into());
    record.user_agent = Some(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
            .into(),
    );
    record.method = Some(if is_tunnel { "CONNECT" } else { "GET" }.into());
    record.target = Some(Target {
        scheme: if is_tunnel { "tunnel" } else { "https" },
        host: (*event.host).into(),
        port: 443,
        path: (!is_tunnel).then(|| PATHS[usize::from(event.hit.path) % PATHS.len()].into()),
        query_bytes: (!is_tunnel).then_some(17),
        query_hash: (!is_tunnel).then(|| "4f6d0a3b9c1e7d28".to_owned()),
        query: None,
    });
    record.http = Some("1.1");
    record.referer_host = (!is_tunnel).then(|| (*event.host).into());
    record.verdict = Some("allow");
    record.reason = Some("rule".into());
    record.rule = Some("office may browse".into());
    record.rule_at = Some("policy.toml:12".into());
    record.policy = Some("9c1e7d284f6d0a3b".into());
    record.program = Some("5f0c7a9be2d14c33".to_owned());
    record.standing = Some("cleared");
    record.ja4 = Some("t13d1516h2_8daaf6152771_d8a2da3f94cd".into());
    record.tls_key = Some("t13d_8daaf6152771_02713d6af862".into());
    record
}

fn closing(event: &Event, id: ExchangeId, is_tunnel: bool) -> Exchange {
    let mut record = Exchange::new(Told::Close, id);
    record.answers = vec!["192.0.2.10".to_owned(), "192.0.2.11".to_owned()];
    record.dialled = Some("192.0.2.10:443".to_owned());
    record.status = (!is_tunnel).then_some(200);
    record.content_type = (!is_tunnel).then(|| "text/html; charset=utf-8".into());
    record.bytes_up = Some(u64::from(event.hit.bytes_up));
    record.bytes_down = Some(18_602);
    record.dns_us = Some(812);
    record.connect_us = Some(9_120);
    record.first_byte_us = Some(21_444);
    record.total_us = Some(TOOK_US);
    record.closed_by = Some("origin");
    record.closed_how = Some("answered".into());
    record
}

/// What the lines tell, in memory.
fn parts(events: &[Event]) -> Vec<Observed<'_>> {
    let mut parts = Vec::with_capacity(LINES * events.len());
    for (number, event) in (1_u64..).zip(events) {
        let whole = event.observed(2 * number);
        parts.push(Observed { part: Part::Begun, id: number, ..whole });
        let time = Timestamp(whole.time.0 + TOOK_US);
        let line = 2 * number + 1;
        parts.push(Observed { part: Part::Ended, id: number, client: "", host: "", time, line, ..whole });
    }
    parts
}

//! What it costs to put an exchange on record. Appends count the CPU time of the whole process: the
//! journal writes on a thread of its own.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use sekisho::evidence::{Chain, Event, Exchange, Record, Target, Verifier};
use sekisho::facts::{ExchangeId, Timestamp};
use sekisho::store::{Desk, Durability, Journal, JournalConfig};

use crate::harness::{Bencher, CpuOf, Scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("journal::encode_open", |b| encode(b, &opening())),
    ("journal::encode_close", |b| encode(b, &closing())),
    ("journal::chain", chain),
    ("journal::verify", verify),
    ("journal::append_1", |b| given().at_once(1).bench(b)),
    ("journal::append_64_at_once", |b| given().at_once(64).bench(b)),
    ("journal::append_64_at_once_strict", |b| given().at_once(64).durability(Durability::Strict).bench(b)),
];

const NOW: Timestamp = Timestamp(1_795_510_800_123_456);

/// What is written before a request of a browser goes out.
fn opening() -> Record {
    let mut record = Exchange::new(Event::Open, ExchangeId(NOW.0));
    record.client = Some("10.20.3.4".to_owned());
    record.client_port = Some(51_234);
    record.client_group = Some("office".into());
    record.user_agent = Some(
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36".into(),
    );
    record.method = Some("GET".into());
    record.target = Some(Target {
        scheme: "http",
        host: "www.shop.example".into(),
        port: 80,
        path: Some("/catalogue/spring".into()),
        query_bytes: Some(17),
        query_hash: Some("4f6d0a3b9c1e7d28".to_owned()),
        query: None,
    });
    record.referer_host = Some("www.shop.example".into());
    record.verdict = Some("allow");
    record.reason = Some("rule".into());
    record.rule = Some("shops".into());
    record.rule_at = Some("policy.toml:12".into());
    record.policy = Some("9c1e7d284f6d0a3b".into());
    Record::Exchange(Box::new(record))
}

/// What is written when it has been answered.
fn closing() -> Record {
    let mut record = Exchange::new(Event::Close, ExchangeId(NOW.0));
    record.answers = vec!["192.0.2.10".to_owned(), "192.0.2.11".to_owned()];
    record.dialled = Some("192.0.2.10:80".to_owned());
    record.status = Some(200);
    record.content_type = Some("text/html; charset=utf-8".into());
    record.bytes_up = Some(612);
    record.bytes_down = Some(18_602);
    record.dns_us = Some(812);
    record.connect_us = Some(9_120);
    record.first_byte_us = Some(21_444);
    record.total_us = Some(22_803);
    record.closed_by = Some("origin");
    record.closed_how = Some("answered".into());
    Record::Exchange(Box::new(record))
}

fn encode(b: &mut Bencher, record: &Record) {
    b.iter(|| record.encode(NOW));
}

/// Numbers and hashes an encoded record.
fn chain(b: &mut Bencher) {
    let members = opening().encode(NOW);
    let (mut chain, mut line) = (Chain::start(), Vec::new());
    b.iter(|| {
        line.clear();
        chain.append(&members, &mut line);
    });
}

/// Checks a line of the journal.
fn verify(b: &mut Bencher) {
    const LINES: usize = 1000;
    let members = opening().encode(NOW);
    let (mut chain, mut journal) = (Chain::start(), Vec::new());
    (0..LINES).for_each(|_| chain.append(&members, &mut journal));
    b.units(LINES as u64, "record").iter(|| {
        let mut verifier = Verifier::new(Chain::start());
        journal.trim_ascii_end().split(|byte| *byte == b'\n').for_each(|line| verifier.line(line).unwrap());
        assert_eq!(verifier.chain(), chain);
    });
}

fn given() -> Given {
    Given { at_once: 1, durability: Durability::Batch }
}

/// A journal, and how records come to it.
struct Given {
    at_once: u64,
    durability: Durability,
}

impl Given {
    /// So many tasks of one worker hand a record in at the same time, and wait.
    fn at_once(mut self, at_once: u64) -> Self {
        self.at_once = at_once;
        self
    }

    fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Hands records in as a worker does, and waits until they are accepted.
    fn bench(self, b: &mut Bencher) {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(JournalConfig {
            data_dir: directory.path().into(),
            durability: self.durability,
            gate: "bench".to_owned(),
            site: None,
            segment_bytes_max: 256 << 20,
            reserve_bytes: 0,
        })
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (desk, record) = (Arc::new(Desk::new(journal.handle())), Arc::new(opening()));
        let carrier = desk.clone();
        runtime.spawn(async move { carrier.run().await });
        b.cpu_of(CpuOf::Process).units(self.at_once, "record").iter(|| match self.at_once {
            1 => runtime.block_on(desk.append(&record, NOW)).unwrap(),
            _ => in_tasks(&runtime, self.at_once, || {
                let (desk, record) = (desk.clone(), record.clone());
                async move { desk.append(&record, NOW).await.unwrap() }
            }),
        });
        assert_eq!(journal.handle().health().lost, 0);
    }
}

fn in_tasks<F: Future<Output = ()> + Send + 'static>(runtime: &Runtime, tasks: u64, task: impl Fn() -> F) {
    runtime.block_on(async {
        let mut running: JoinSet<()> = (0..tasks).map(|_| task()).collect();
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
    });
}

//! Journals for tests, written as a gate writes them.

use std::fs;

use tempfile::TempDir;

use crate::evidence::{Chain, Event, Exchange, Record, Target, Text};
use crate::facts::{ExchangeId, Scheme, Timestamp};
use crate::parse::{parse_absolute, parse_connect};
use crate::policy::Policy;
use crate::store::Reader;

/// 2026-11-25T01:00:00Z.
pub(super) const BEGUN: u64 = 1_795_568_400_000_000;
pub(super) const SECOND: u64 = 1_000_000;

pub(super) struct Lines {
    chain: Chain,
    text: Vec<u8>,
    next: u64,
    pub(super) group: Option<&'static str>,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { chain: Chain::start(), text: Vec::new(), next: 0, group: None }
    }

    /// So many seconds have passed today.
    pub(super) fn next_second(&self) -> u64 {
        self.next % 86_400 + 1
    }

    /// A record at so many seconds from the beginning.
    pub(super) fn push_at(&mut self, seconds: u64, record: Exchange) {
        let members = Record::Exchange(Box::new(record)).encode(Timestamp(BEGUN + seconds * SECOND));
        self.chain.append(&members, &mut self.text);
    }

    /// One that tells of no exchange.
    pub(super) fn tell_at(&mut self, seconds: u64, record: &Record) {
        self.chain.append(&record.encode(Timestamp(BEGUN + seconds * SECOND)), &mut self.text);
    }

    /// The record of a request of `10.20.1.LAST`, as words such as `GET http://a.example/` ask for it, one second
    /// after the one before; its name.
    pub(super) fn ask(
        &mut self,
        event: Event,
        last: u8,
        request: &str,
        change: impl FnOnce(&mut Exchange),
    ) -> ExchangeId {
        self.ask_at(self.next + 1, event, last, request, change)
    }

    pub(super) fn ask_at(
        &mut self,
        seconds: u64,
        event: Event,
        last: u8,
        request: &str,
        change: impl FnOnce(&mut Exchange),
    ) -> ExchangeId {
        self.next = seconds;
        let id = ExchangeId(BEGUN + seconds * SECOND);
        let mut record = Exchange::new(event, id);
        record.client = Some(format!("10.20.1.{last}"));
        record.client_group = self.group.map(Text::from);
        let (method, url) = request.split_once(' ').unwrap();
        record.method = Some(method.into());
        let target = match method {
            "CONNECT" => parse_connect(url.as_bytes()).unwrap(),
            _ => parse_absolute(url.as_bytes()).unwrap(),
        };
        record.target = Some(Target {
            scheme: target.scheme.as_str(),
            host: target.host.to_string().as_str().into(),
            port: target.port,
            path: target.path.as_ref().map(|path| path.path().into()),
            query_bytes: None,
            query_hash: None,
            query: None,
        });
        debug_assert_eq!(target.scheme == Scheme::Tunnel, method == "CONNECT");
        change(&mut record);
        self.push_at(seconds, record);
        id
    }

    /// What came later of an exchange.
    pub(super) fn later(&mut self, event: Event, id: ExchangeId, change: impl FnOnce(&mut Exchange)) {
        let mut record = Exchange::new(event, id);
        change(&mut record);
        self.next += 1;
        self.push_at(self.next, record);
    }

    pub(super) fn raw(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
    }

    /// A data directory with these lines, to be kept as long as they are read.
    pub(super) fn reader(&self) -> (TempDir, Reader) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("journal")).unwrap();
        fs::write(directory.path().join("journal/00000000000001-20261125T010000Z.jsonl"), &self.text).unwrap();
        let reader = Reader::open(directory.path(), None).unwrap();
        (directory, reader)
    }
}

/// What is on record of a request that a rule let out.
pub(super) fn allowed_by(rule: &str) -> impl FnOnce(&mut Exchange) {
    move |record| {
        record.verdict = Some("allow");
        record.reason = Some("rule".into());
        record.rule = Some(rule.into());
        record.rule_at = Some("old.toml:7".into());
    }
}

/// What is on record of a request that was refused for this reason, by no rule.
pub(super) fn denied_for(reason: &str) -> impl FnOnce(&mut Exchange) {
    move |record| {
        record.verdict = Some("deny");
        record.reason = Some(reason.into());
    }
}

/// What is on record of a request that would have been refused.
pub(super) fn would_be_denied_for(reason: &str) -> impl FnOnce(&mut Exchange) {
    move |record| {
        record.verdict = Some("allow");
        record.would = Some("deny");
        record.reason = Some(reason.into());
    }
}

pub(super) fn policy(text: &str) -> Policy {
    Policy::compile("new.toml", text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

//! What the gate, DNS, the web server and the wall say happened, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Index;
use std::path::Path;

use serde_json::{Map, Value};

use super::network::{Counters, GATE_OUTSIDE};

pub(super) struct Evidence {
    exchanges: Vec<Exchange>,
    /// Type, name and sender of every question.
    queries: Vec<String>,
    requests: Vec<String>,
    pub(super) counters: Counters,
}

/// All records of one exchange as one; a later record's word stands over an earlier one's.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) events: Vec<String>,
    fields: Map<String, Value>,
}

impl Exchange {
    pub(super) fn id(&self) -> &str {
        self["id"].as_str().unwrap()
    }

    /// Whether it never left, for this reason: at once, or when its name had been resolved.
    pub(super) fn is_refused_for(&self, code: &str) -> bool {
        match self.events.last().map(String::as_str) {
            Some("refused") => self["reason"] == code,
            _ => self["closed_how"] == code && self["bytes_up"] == 0,
        }
    }
}

impl Index<&str> for Exchange {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        self.fields.get(name).unwrap_or(&Value::Null)
    }
}

impl Evidence {
    /// Reads a gate's journal, which must verify, beside the others' logs.
    pub(super) fn read(data_dir: &Path, dns: Vec<String>, requests: Vec<String>, counters: Counters) -> Self {
        let records = crate::gate::records(data_dir);
        let report = sekisho::store::verify(data_dir, &Default::default()).unwrap();
        assert_eq!(report.records, records.len() as u64);
        assert_eq!(report.torn_bytes, 0);
        let mut exchanges: BTreeMap<String, Exchange> = BTreeMap::new();
        for record in records {
            let (Some(id), Some(event)) = (record["id"].as_str(), record["event"].as_str()) else { continue };
            let exchange =
                exchanges.entry(id.to_owned()).or_insert_with(|| Exchange { events: Vec::new(), fields: Map::new() });
            exchange.events.push(event.to_owned());
            exchange.fields.extend(record.as_object().unwrap().clone());
        }
        let queries = dns.iter().filter_map(|line| line.split_once("query[")).map(|(_, query)| query.to_owned());
        Self { exchanges: exchanges.into_values().collect(), queries: queries.collect(), requests, counters }
    }

    /// Every exchange with a host, in order.
    pub(super) fn of_host(&self, host: &str) -> Vec<&Exchange> {
        self.exchanges.iter().filter(|exchange| exchange["host"] == host).collect()
    }

    /// The one exchange about a plain HTTP page.
    pub(super) fn of_page(&self, host: &str, path: &str) -> &Exchange {
        let about: Vec<_> = self.of_host(host).into_iter().filter(|exchange| exchange["path"] == path).collect();
        let [exchange] = about[..] else { panic!("one exchange about {host}{path}: {about:?}") };
        exchange
    }

    /// The names DNS was asked for, sorted.
    pub(super) fn asked_for(&self) -> Vec<&str> {
        let names = self.queries.iter().filter_map(|query| query.split(' ').nth(1));
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What the web server was sent: scheme, sender, host, method, path, status.
    pub(super) fn requests(&self) -> impl Iterator<Item = [&str; 6]> {
        self.requests.iter().map(|line| line.split(' ').collect::<Vec<_>>().try_into().unwrap())
    }

    /// The origin is the judge: whatever it saw came from the gate, and the gate had opened a record.
    pub(super) fn assert_no_passage_without_record(&self) {
        assert!(!self.requests.is_empty());
        for request in self.requests() {
            let [scheme, sender, host, _, path, _] = request;
            assert_eq!(sender, GATE_OUTSIDE, "{request:?}");
            let is_it = |exchange: &&Exchange| match scheme {
                "https" => exchange["method"] == "CONNECT",
                _ => exchange["path"] == path,
            };
            let records = self.of_host(host).into_iter().filter(is_it);
            let opened = records.filter(|exchange| exchange.events.first().is_some_and(|event| event == "open"));
            // A tunnel carries many requests, everything else one.
            let seen = match scheme {
                "https" => 1,
                _ => self.requests().filter(|other| *other == request).count(),
            };
            assert!(opened.count() >= seen, "the origin saw {request:?}, of which there is no record");
        }
    }

    pub(super) fn print(&self) {
        const SHOWN: [&str; 12] = [
            "method",
            "host",
            "port",
            "path",
            "reason",
            "rule",
            "status",
            "sni",
            "alpn",
            "ja4",
            "closed_how",
            "detail",
        ];
        for exchange in &self.exchanges {
            let known = SHOWN.iter().filter(|name| !exchange[**name].is_null());
            let fields: Vec<String> = known.map(|name| format!("{name}={}", exchange[*name])).collect();
            println!("recorded   {} {} {}", exchange.id(), exchange.events.join("+"), fields.join(" "));
        }
        self.queries.iter().for_each(|query| println!("DNS        query[{query}"));
        self.requests.iter().for_each(|request| println!("origin     {request}"));
        println!("wall       refused {:?}", self.counters);
    }
}

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::gatehouse::{AlertStanding, Standing};
use crate::session::Counters;

/// What Prometheus is told, in its text format (version 0.0.4). Names and reasons of clients are not in it.
pub(super) fn metrics(standing: &Standing, counters: &Counters, tails: u64) -> String {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut page = Page(String::with_capacity(8 << 10));
    page.labelled("info", "gauge", "What runs.", &[("version", &standing.version), ("gate", &standing.name)], 1.0);
    page.one("uptime_seconds", "gauge", "Since the start.", standing.up_seconds);
    page.one("requests_decided_total", "counter", "Exchanges that were decided.", read(&counters.decided));
    page.one(
        "requests_observed_total",
        "counter",
        "Of these, of clients that are only observed.",
        read(&counters.observed),
    );
    page.head("requests_total", "counter", "Exchanges by what became of them.");
    page.value("requests_total", &[("verdict", "let_out")], read(&counters.allowed) as f64);
    page.value("requests_total", &[("verdict", "refused")], read(&counters.refused) as f64);
    page.head("refusals_total", "counter", "Refusals by their reason.");
    for (reason, count) in counters.reasons.read() {
        page.value("refusals_total", &[("reason", reason)], count as f64);
    }
    page.one("connections", "gauge", "Connections of clients that are open.", read(&counters.connections));
    page.one("connections_max", "gauge", "So many may be.", standing.connections_max);
    page.one("connections_accepted_total", "counter", "Connections of clients.", read(&counters.accepted));
    page.head("connections_dropped_total", "counter", "Connections closed unread, by why.");
    for (why, counter) in [
        ("too_many", &counters.overflows),
        ("too_many_of_client", &counters.overflows_of_clients),
        ("silent", &counters.silent),
    ] {
        page.value("connections_dropped_total", &[("why", why)], read(counter) as f64);
    }
    page.one(
        "accept_failures_total",
        "counter",
        "No descriptors or memory to accept.",
        read(&counters.accept_failures),
    );
    page.one("tunnels", "gauge", "Tunnels that are open.", read(&counters.tunnels));
    page.one("tunnels_inspected", "gauge", "Of these, looked into.", read(&counters.inspected));
    let journal = &standing.journal;
    page.one("journal_records_total", "counter", "Records that were written.", journal.records);
    page.one("journal_lost_total", "counter", "What has no record.", journal.lost);
    page.one("journal_overloads_total", "counter", "Times that too many records waited.", journal.overloads);
    page.one("journal_sync_failures_total", "counter", "Times that the disk kept nothing.", journal.sync_failures);
    page.one("journal_failing", "gauge", "1 while the disk fails.", u64::from(journal.last_error.is_some()));
    page.one("index_record", "gauge", "The number of the newest record in the index.", standing.indexed);
    page.one(
        "index_behind_seconds",
        "gauge",
        "How old that is, where newer records of the journal wait.",
        standing.index_behind_seconds,
    );
    page.head("disk_level", "gauge", "1 for the level at which the disk is.");
    for level in ["ample", "low", "critical", "full"] {
        page.value("disk_level", &[("level", level)], if standing.disk == level { 1.0 } else { 0.0 });
    }
    if let Some(days) = standing.disk_days_left {
        page.head("disk_left_seconds", "gauge", "So long the journal has room.");
        page.value("disk_left_seconds", &[], (days * 86_400.0).round());
    }
    let detection = &standing.detection;
    page.one("detection_live", "gauge", "1 while the journal is watched.", u64::from(detection.live));
    page.one(
        "detection_behind_seconds",
        "gauge",
        "How old the newest record is that was read.",
        detection.behind_seconds,
    );
    page.one("detection_events_total", "counter", "What was seen.", detection.events);
    page.one("detection_pairs", "gauge", "Pairs of client and host that are known.", detection.pairs);
    page.one("detection_pairs_evicted_total", "counter", "Pairs that had to go for others.", detection.pairs_evicted);
    page.one("findings_total", "counter", "Findings that were told.", detection.findings);
    page.one("flow_sources", "gauge", "Sources of attempts past the proxy.", standing.flow_sources);
    page.one("flow_sources_failing", "gauge", "Of these, not read.", standing.flow_faults.len() as u64);
    page.one("isolated_clients", "gauge", "Clients and networks that are cut off.", standing.isolated.len() as u64);
    page.one("lockdown", "gauge", "1 while a lockdown holds.", u64::from(standing.lockdown.is_some()));
    page.one("breakglass", "gauge", "1 while a breakglass holds.", u64::from(standing.breakglass.is_some()));
    page.one(
        "policy_reload_failed",
        "gauge",
        "1 while the newest policy is refused.",
        u64::from(standing.reload_fault.is_some()),
    );
    page.one(
        "checkpoint_receivers_waiting",
        "gauge",
        "Receivers that take no checkpoints.",
        standing.receivers_waiting,
    );
    for (name, kind, help, of) in ALERTS {
        if !standing.alerts.is_empty() {
            page.head(name, kind, help);
        }
        for one in &standing.alerts {
            page.value(name, &[("receiver", &one.name)], of(one) as f64);
        }
    }
    page.one("index_failing", "gauge", "1 while nothing is indexed.", u64::from(standing.index_fault.is_some()));
    page.one("console_tails", "gauge", "Live tails that are open.", tails);
    page.0
}

/// A name, its kind, what it says, and of what.
type OfAlerts = (&'static str, &'static str, &'static str, fn(&AlertStanding) -> u64);

const ALERTS: [OfAlerts; 4] = [
    ("alerts_waiting", "gauge", "Alerts that a receiver does not have yet.", |one| one.waiting),
    ("alerts_dropped_total", "counter", "Alerts that were dropped, as too many waited.", |one| one.dropped),
    ("alerts_taken_total", "counter", "Alerts that a receiver has taken.", |one| one.taken),
    ("alerts_failing", "gauge", "1 while a receiver takes none.", |one| u64::from(one.error.is_some())),
];

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP sekisho_{name} {help}\n# TYPE sekisho_{name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.0, "sekisho_{name}");
        for (place, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{}\"", if place == 0 { "{" } else { "," }, label_text(text));
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn labelled(&mut self, name: &str, kind: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.head(name, kind, help);
        self.value(name, labels, value);
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "sekisho_{name} {value}");
    }
}

/// As the format has a label's value.
fn label_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_one_that_prometheus_reads_and_every_name_is_explained_once() {
        let counters = Counters::default();
        counters.reasons.count("no_rule");
        let standing = Standing {
            name: "a\"b\\c\nd".into(),
            disk: "low".into(),
            disk_days_left: Some(3.5),
            alerts: vec![AlertStanding { name: "soc".into(), waiting: 3, ..AlertStanding::default() }],
            ..Standing::default()
        };
        let page = metrics(&standing, &counters, 7);
        let mut explained = std::collections::BTreeSet::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                assert!(explained.insert(rest.split(' ').next().unwrap().to_owned()), "{line}");
            } else if !line.starts_with("# TYPE ") {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                assert!(explained.contains(name.split('{').next().unwrap()), "{line}");
            }
        }
        for line in [
            "sekisho_refusals_total{reason=\"no_rule\"} 1",
            "sekisho_disk_level{level=\"low\"} 1",
            "sekisho_disk_left_seconds 302400",
            "sekisho_alerts_waiting{receiver=\"soc\"} 3",
            "sekisho_alerts_failing{receiver=\"soc\"} 0",
            "sekisho_console_tails 7",
            "sekisho_info{version=\"\",gate=\"a\\\"b\\\\c\\nd\"} 1",
        ] {
            assert!(page.lines().any(|known| known == line), "{line}: {page}");
        }
    }
}

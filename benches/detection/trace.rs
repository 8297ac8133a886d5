//! What one client asks of the hosts of one registrable domain.

use sekisho::evidence::Observed;
use sekisho::facts::Timestamp;

pub(crate) const HOUR: f64 = 3_600.0;
/// 2026-11-23 00:00 UTC, a Monday.
pub(crate) const BEGIN: u64 = 1_795_392_000_000_000;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit {
    /// In seconds since the traffic began.
    pub at: f64,
    /// Of the trace's hosts.
    pub host: u8,
    pub path: u16,
    pub bytes_up: u32,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    pub domain: String,
    /// In the order of their times.
    pub hits: Vec<Hit>,
}

impl Trace {
    /// Of one host and one path.
    pub(crate) fn of_times(domain: &str, times: &[f64], bytes_up: impl FnMut() -> f64) -> Self {
        let hosts = vec![0; times.len()];
        Self::of_hosts(domain, times, &hosts, bytes_up)
    }

    pub(crate) fn of_hosts(domain: &str, times: &[f64], hosts: &[u8], mut bytes_up: impl FnMut() -> f64) -> Self {
        let hits = times.iter().zip(hosts).map(|(at, host)| Hit {
            at: *at,
            host: *host,
            path: 0,
            bytes_up: bytes_up() as u32,
        });
        Self { domain: domain.into(), hits: hits.collect() }.sorted()
    }

    pub(crate) fn sorted(mut self) -> Self {
        self.hits.sort_by(|one, other| one.at.total_cmp(&other.at));
        self
    }

    /// The names of its hosts.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let last = self.hits.iter().map(|hit| hit.host).max().unwrap_or_default();
        (0..=last).map(|host| format!("h{host}.{}", self.domain)).collect()
    }
}

/// Of requests, by their numbers.
pub(crate) const PATHS: [&str; 8] =
    ["/", "/a.js", "/b.css", "/api/items", "/img/1.png", "/img/2.png", "/f.woff2", "/search"];

/// What a hit looks like in a log.
pub(crate) fn observed<'a>(hit: &Hit, client: &'a str, host: &'a str, line: u64) -> Observed<'a> {
    Observed {
        time: Timestamp(BEGIN + (hit.at.max(0.0) * 1e6) as u64),
        line,
        client,
        host,
        port: 80,
        method: "GET",
        path: PATHS[usize::from(hit.path) % PATHS.len()],
        status: 200,
        address: "192.0.2.7",
        content_type: "text/html",
        bytes_up: Some(u64::from(hit.bytes_up)),
        bytes_down: Some(1_400),
        ..Observed::default()
    }
}

//! What an observation costs, what a line costs, and what a pair takes of memory.

use std::fs;
use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sekisho::detect::{Counts, Detector, Limits, Settings};
use sekisho::evidence::Observed;
use sekisho::formats::{Line, Reader, write_squid, write_zeek_http, write_zeek_http_header};

use crate::beacons::{self, MIDDLE, SHORT, beacon};
use crate::browsing::Web;
use crate::random::Random;
use crate::steady::{self, steady};
use crate::trace::{HOUR, Hit, Trace, observed};

/// Each is run so often, and the least counts: noise only adds.
const ROUNDS: usize = 3;
/// Pairs that memory is measured with: few clients, few hosts, so that it is the pairs'.
const CLIENTS: usize = 1_000;
const HOSTS: usize = 200;
/// Bursts of a pair before it is kept whole.
const YOUNG: usize = 3;
/// Of a day's pairs so many never come to a fourth burst.
const YOUNG_SHARE: f64 = 0.63;
/// Of a client's pairs: a machine without a period for each, and a beacon for so many.
const CLIENTS_A_BEACON: usize = 4;

pub(crate) fn run(seed: u64, pairs: usize) {
    // First, while nothing that was given back lies ready for it.
    memory();
    let events = traffic(&mut Random::new(seed), pairs);
    println!("\nCPU time of one thread, least of {ROUNDS}, {} observations of a day in memory", events.len());
    for (name, limits) in
        [("live, 90 s for what comes late", Limits::LIVE), ("logs, 1 h for what comes late", Limits::LOGS)]
    {
        let (spent, counts) = least(|| observe(&events, limits));
        report(&format!("observed, {name}"), events.len(), spent);
        println!("    {} pairs, {} hosts, {} clients", counts.pairs, counts.hosts, counts.clients);
    }
    let mut squid = Vec::new();
    let mut zeek = Vec::new();
    write_zeek_http_header(&mut zeek);
    for (number, event) in (1..).zip(&events) {
        write_squid(&event.observed(number), &mut squid);
        write_zeek_http(&event.observed(number), &mut zeek);
    }
    for (name, log) in [("Squid", &squid), ("Zeek http.log, table", &zeek)] {
        let (spent, _) = least(|| read(log, None));
        report(&format!("lines read, {name}"), events.len(), spent);
        let (spent, _) = least(|| read(log, Some(Detector::new(Limits::LOGS, &Settings::default()))));
        report(&format!("lines read and observed, {name}"), events.len(), spent);
    }
}

pub(crate) fn report(name: &str, units: usize, spent: Duration) {
    let each = spent.as_secs_f64() / units as f64;
    println!("| {name} | {:.0} ns | {:.0} a second |", each * 1e9, 1.0 / each);
}

/// One request, as its own text.
pub(crate) struct Event {
    pub hit: Hit,
    pub client: Box<str>,
    pub host: Box<str>,
}

impl Event {
    pub(crate) fn observed(&self, number: u64) -> Observed<'_> {
        observed(&self.hit, &self.client, &self.host, number)
    }
}

/// A day of so many pairs, in the order of time: people, on each of their machines one program without a period, and some
/// beacons.
pub(crate) fn traffic(random: &mut Random, pairs: usize) -> Vec<Event> {
    let web = Web::new(random);
    let mut events = Vec::new();
    let (mut made, mut clients) = (0, 0);
    while made < pairs {
        let mut traces: Vec<Trace> = web.person(random, 1).into_iter().map(|browsed| browsed.trace).collect();
        let kind = random.of(&steady::ALL);
        traces.push(Trace { domain: format!("service{clients}.example"), ..steady(random, kind, 1) });
        if clients % CLIENTS_A_BEACON == 0 {
            let band = if clients % (2 * CLIENTS_A_BEACON) == 0 { &SHORT } else { &MIDDLE };
            traces.push(beacon(random, &beacons::JITTER_20, band, 1, &[]));
        }
        let client = format!("10.{}.{}.{}", clients >> 16 & 255, clients >> 8 & 255, clients & 255);
        for trace in traces {
            let hosts = trace.hosts();
            made += hosts.len();
            let of_hit = |hit: &Hit| Event {
                hit: *hit,
                client: client.as_str().into(),
                host: hosts[usize::from(hit.host)].as_str().into(),
            };
            events.extend(trace.hits.iter().map(of_hit));
        }
        clients += 1;
    }
    events.sort_by(|one, other| one.hit.at.total_cmp(&other.hit.at));
    // In memory, too, in the order of time, as records that came one after another are.
    events
        .iter()
        .map(|event| Event { hit: event.hit, client: event.client.clone(), host: event.host.clone() })
        .collect()
}

fn observe(events: &[Event], limits: Limits) -> Counts {
    let mut detector = Detector::new(limits, &Settings::default());
    for (number, event) in (1..).zip(events) {
        detector.observe(&event.observed(number), &[]);
    }
    detector.finish();
    black_box(detector.findings());
    detector.counts()
}

fn read(log: &[u8], mut detector: Option<Detector>) -> Counts {
    let mut reader = Reader::new();
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        match (reader.read(line), &mut detector) {
            (Line::Observed(seen), Some(detector)) => detector.observe(&seen, &[]),
            (Line::Observed(seen), None) => {
                black_box(seen);
            }
            (Line::Bad(fault), _) => panic!("a line that was written is not read: {fault}"),
            (Line::Journal | Line::Passed, _) => {}
        }
    }
    let Some(mut detector) = detector else { return Counts::default() };
    detector.finish();
    black_box(detector.findings());
    detector.counts()
}

/// The least CPU time of this thread, and what came of it.
pub(crate) fn least<T>(work: impl Fn() -> T) -> (Duration, T) {
    let mut least: Option<(Duration, T)> = None;
    for _ in 0..ROUNDS {
        let before = cpu();
        let done = work();
        let spent = cpu() - before;
        if least.as_ref().is_none_or(|(least, _)| spent < *least) {
            least = Some((spent, done));
        }
    }
    least.expect("there are rounds")
}

fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("CPU time is not below zero")
}

/// Prints what a pair takes, young and whole.
fn memory() {
    let clients: Vec<String> = (0..CLIENTS).map(|client| format!("10.0.{}.{}", client >> 8, client & 255)).collect();
    let hosts: Vec<String> = (0..HOSTS).map(|host| format!("host{host}.example")).collect();
    let pairs = CLIENTS * HOSTS;
    let mut detector = Detector::new(Limits::LIVE, &Settings::default());
    let before = resident();
    let turn = |detector: &mut Detector, number: usize| {
        for (place, (client, host)) in
            clients.iter().flat_map(|client| hosts.iter().map(move |host| (client, host))).enumerate()
        {
            let at = HOUR * (number as f64 + place as f64 / pairs as f64);
            let hit = Hit { at, host: 0, path: 0, bytes_up: 400 };
            detector.observe(&observed(&hit, client, host, (number * pairs + place) as u64), &[]);
        }
    };
    (0..YOUNG).for_each(|number| turn(&mut detector, number));
    detector.finish();
    let young = (resident() - before) as f64 / pairs as f64;
    turn(&mut detector, YOUNG);
    detector.finish();
    let whole = (resident() - before) as f64 / pairs as f64;
    let mixed = YOUNG_SHARE * young + (1.0 - YOUNG_SHARE) * whole;
    println!("\nresident memory of {} pairs, glibc's allocator", detector.counts().pairs);
    println!("| with up to {YOUNG} bursts | {young:.0} B |\n| with more | {whole:.0} B |");
    println!("| a day's, {:.0} % of them with up to {YOUNG} | {mixed:.0} B |", YOUNG_SHARE * 100.0);
}

/// Resident bytes of this process.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("a process may read what is said of it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says what is resident");
    let kibibytes: Option<usize> = line.split_ascii_whitespace().next().and_then(|number| number.parse().ok());
    kibibytes.expect("it is a number") * 1024
}

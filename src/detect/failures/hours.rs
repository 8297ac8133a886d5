use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, Severity};

use super::super::draft::{Draft, Drafts};
use super::super::event::{Event, What};
use super::super::grounds::Grounds;
use super::super::local::Local;
use super::super::names::{Estimate, Name};
use super::super::network::Network;
use super::super::table::Table;

/// Finds clients at work at an hour at which they never were in the last four weeks, nor within two hours of it.
///
/// At work is who asks for hosts of a number that few others talk to: what all machines do by themselves at night does not
/// count, nor does what calls one host. Its benign twin is a night or a Saturday on which many work.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OutOfHours {
    /// About 220 bytes each.
    clients: Table<Name, Presence>,
    /// The hour that `waiting` is of, and who was at work in it out of hours: told when it is over and they stayed few.
    hour: i64,
    waiting: Vec<Waiting>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Presence {
    /// At work in which hours of the week, as bits: this week's, and those of the three before.
    weeks: [[u64; 3]; WEEKS],
    week: i64,
    /// This hour, since 1970 and of the week, and what was asked for in it.
    hour: i64,
    hour_of_week: usize,
    first: u64,
    first_line: u64,
    requests: u32,
    hosts: Estimate,
    is_busy: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    client: Name,
    first: u64,
    last: u64,
    records: [u64; 2],
    requests: u32,
    hosts: u32,
    at: Local,
    weeks: u32,
}

const WEEKS: usize = 4;
/// Requests and hosts in an hour that make it one of work; with so many requests it counts as one that is usual.
const REQUESTS_MIN: u32 = 20;
const HOSTS_MIN: u32 = 5;
const USUAL_REQUESTS_MIN: u32 = 5;
/// A host is one of few where no larger share of clients talk to it, or no more than three.
const FEW: u32 = 20;
/// A client must be known for so long, in microseconds, and have been at work in so many hours.
const HISTORY: u64 = 14 * 24 * 3_600_000_000;
const HOURS_MIN: u32 = 10;
/// An hour is near another so many hours before and behind it.
const NEAR: i64 = 2;
/// Of so large a share of clients, or of three, it is not told that they are at work.
const TOGETHER: u32 = 50;
/// More than so many are never told of for one hour.
const WAITING_MAX: usize = 64;

impl OutOfHours {
    pub(super) fn new(clients_max: usize) -> Self {
        Self { clients: Table::new(clients_max), hour: 0, waiting: Vec::new() }
    }

    /// Takes what is asked for, whatever comes of it.
    pub(super) fn take(&mut self, event: &Event, network: &mut Network, drafts: &mut Drafts) {
        let What::Call { .. } = event.what else { return };
        let local = network.local(event.time);
        let hour = local.day.saturating_mul(24).saturating_add(i64::from(local.hour));
        if hour != self.hour {
            self.tell(network, drafts);
            self.hour = hour;
        }
        let presence = self.clients.entry(event.client, || Presence::new(local, hour));
        if presence.hour != hour {
            presence.close();
            presence.go_to(week_of(local));
            presence.open(local, hour);
        }
        if presence.is_busy || !is_of_few(event, network) {
            return;
        }
        if presence.requests == 0 {
            (presence.first, presence.first_line) = (event.time, event.line);
        }
        presence.requests = presence.requests.saturating_add(1);
        presence.hosts.add(network.hosts.meet(event.host));
        if presence.requests < REQUESTS_MIN || presence.hosts.count() < HOSTS_MIN {
            return;
        }
        presence.is_busy = true;
        let known_since = network.clients.known(event.client).map_or(event.time, |known| known.first);
        let is_known = event.time.saturating_sub(known_since) >= HISTORY && presence.hours() >= HOURS_MIN;
        if is_known && !presence.was_near(local) && self.waiting.len() <= WAITING_MAX {
            self.waiting.push(Waiting {
                client: event.client,
                first: presence.first.min(event.time),
                last: event.time,
                records: [presence.first_line, event.line],
                requests: presence.requests,
                hosts: presence.hosts.count(),
                at: local,
                weeks: (event.time.saturating_sub(known_since) / HISTORY).min(2) as u32 * 2,
            });
        }
    }

    /// An hour is over.
    fn tell(&mut self, network: &Network, drafts: &mut Drafts) {
        let together = 3.max((network.clients.met() / TOGETHER) as usize).min(WAITING_MAX);
        if self.waiting.len() > together {
            self.waiting.clear();
        }
        for waiting in self.waiting.drain(..) {
            let grounds = waiting.grounds();
            let draft = Draft {
                kind: FindingKind::OutOfHours,
                severity: Severity::Low,
                score: grounds.score(),
                client: waiting.client,
                target: None,
                port: 0,
                first: waiting.first,
                last: waiting.last,
                requests: 0,
                denied: 0,
                beat: None,
                grounds: grounds.sorted(),
                rarity: None,
                records: waiting.records,
            };
            drafts.add_if_news(draft, &network.clients);
        }
    }
}

fn week_of(local: Local) -> i64 {
    local.day.saturating_add(3).div_euclid(7)
}

/// Few talk to the host, and to the domain that it is of.
fn is_of_few(event: &Event, network: &mut Network) -> bool {
    let few = 3.max(network.clients.met() / FEW);
    if network.rarity(event.host, event.time).clients > few {
        return false;
    }
    let domain = network.hosts.domain(event.host, event.time);
    domain.is_none_or(|domain| network.rarity(domain, event.time).clients <= few)
}

impl Presence {
    fn new(local: Local, hour: i64) -> Self {
        Self {
            weeks: [[0; 3]; WEEKS],
            week: week_of(local),
            hour,
            hour_of_week: local.hour_of_week(),
            first: 0,
            first_line: 0,
            requests: 0,
            hosts: Estimate::default(),
            is_busy: false,
        }
    }

    /// The hour is over: it is one of those at which the client is usually at work, from now on.
    fn close(&mut self) {
        if self.requests < USUAL_REQUESTS_MIN {
            return;
        }
        self.weeks[0][self.hour_of_week / 64] |= 1 << (self.hour_of_week % 64);
    }

    /// Weeks pass; one that is earlier is of a clock that was set back, and counts as this one.
    fn go_to(&mut self, week: i64) {
        let passed = usize::try_from(week.saturating_sub(self.week)).unwrap_or(0).min(WEEKS);
        if passed > 0 {
            self.weeks.rotate_right(passed % WEEKS);
            self.weeks[..passed].fill([0; 3]);
        }
        self.week = week;
    }

    fn open(&mut self, local: Local, hour: i64) {
        (self.hour, self.hour_of_week) = (hour, local.hour_of_week());
        (self.requests, self.hosts, self.is_busy) = (0, Estimate::default(), false);
    }

    /// In how many hours it was at work.
    fn hours(&self) -> u32 {
        self.weeks.iter().flatten().map(|bits| bits.count_ones()).sum()
    }

    /// Whether it was at work about this hour, on any day of the kind: a working day, or one of the weekend.
    fn was_near(&self, local: Local) -> bool {
        let days = if local.is_weekend() { 5..7 } else { 0..5 };
        let was_at =
            |hour_of_week: usize| self.weeks.iter().any(|week| week[hour_of_week / 64] >> (hour_of_week % 64) & 1 == 1);
        days.into_iter().any(|day: i64| {
            (-NEAR..=NEAR).any(|near| was_at((day * 24 + i64::from(local.hour) + near).rem_euclid(168) as usize))
        })
    }
}

impl Waiting {
    fn grounds(&self) -> Grounds {
        const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
        const DAYS_IN_JAPANESE: [&str; 7] = ["月曜", "火曜", "水曜", "木曜", "金曜", "土曜", "日曜"];
        let Self { requests, hosts, weeks, at: Local { hour, weekday, .. }, .. } = *self;
        let (day, in_japanese) = (DAYS[usize::from(weekday) % 7], DAYS_IN_JAPANESE[usize::from(weekday) % 7]);
        let (kind, kind_in_japanese) =
            if self.at.is_weekend() { ("day of a weekend", "土日") } else { ("working day", "平日") };
        let mut grounds = Grounds::default();
        grounds.add(
            1.0,
            "out_of_hours",
            &[("weeks", f64::from(weeks)), ("requests", f64::from(requests)), ("hosts", f64::from(hosts))],
            format!(
                "at work on {day} after {hour}:00 ({requests} requests to {hosts} hosts that few talk to), and on no {kind} \
                 in the last {weeks} weeks within {NEAR} hours of that"
            ),
            format!(
                "{in_japanese}{hour}時台に活動（利用端末の少ない{hosts}ホストへ{requests}件）。過去{weeks}週間、{kind_in_japanese}の\
                 前後{NEAR}時間に活動なし"
            ),
        );
        grounds
    }
}

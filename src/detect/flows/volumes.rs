use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{Bytes, FindingKind, Severity};

use crate::detect::grounds::Grounds;
use crate::detect::inside::{Whereabouts, Zone};
use crate::detect::table::Table;
use crate::detect::volume::{Meter, Place, Scheme, Sent, Usual, When, Window};

use super::event::FlowEvent;
use super::telling::{Around, Told};

/// Finds far more bytes, or far more flows, than are usual at this hour of the week: of a client, and of a segment.
///
/// What is usual is known from five weeks of the same hour and its neighbours, as in
/// [`volume`](crate::detect::volume): the median and six robust deviations, and twice the largest that was seen. So a
/// backup window and a day of software are usual once they were there, and nothing is told before 24 hours with
/// traffic are known. Less than 1 GiB or 2,000 flows of a client within an hour, or 4 GiB or 20,000 of a segment, is
/// never told: anybody fetches an image of a system once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Volumes {
    /// About 2 KiB each, once they are busy around the clock.
    clients: Table<IpAddr, Measured>,
    /// By a hash of the segment's name.
    segments: Table<u64, Measured>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    bytes: Meter,
    flows: Meter,
    /// The client that most of a segment's may be of, in this hour (Boyer and Moore, 1991).
    most: Option<(IpAddr, u64)>,
    window: i64,
}

/// Whose it is.
#[derive(Debug, Clone, Copy)]
enum Whose<'a> {
    Client(IpAddr),
    Segment(&'a Zone, IpAddr),
}

const CLIENTS_MAX: usize = 8_192;
const SEGMENTS_MAX: usize = 128;
const MIB: u64 = 1024 * 1024;
/// Flows are kept as so many bytes, in which a history is exact to a tenth from 1 on.
const FLOW: u64 = 1024;
/// In microseconds.
const HOUR: u64 = 3_600_000_000;
/// What is usual is told only with reserve before that, in microseconds.
const YOUNG: u64 = 14 * 24 * HOUR;
const CLIENT_BYTES: Scheme = Scheme {
    window: HOUR,
    slots: 168,
    slots_of_day: 24,
    kept: 5,
    near: 1,
    near_values_min: 6,
    values_min: 24,
    bytes_min: 1024 * MIB,
    cold_limit: u64::MAX,
};
const CLIENT_FLOWS: Scheme = Scheme { bytes_min: 2_000 * FLOW, ..CLIENT_BYTES };
const SEGMENT_BYTES: Scheme = Scheme { bytes_min: 4 * 1024 * MIB, ..CLIENT_BYTES };
const SEGMENT_FLOWS: Scheme = Scheme { bytes_min: 20_000 * FLOW, ..CLIENT_BYTES };
const SEVERITIES: [(f32, Severity); 3] = [(2.0, Severity::Low), (3.0, Severity::Medium), (4.0, Severity::High)];

impl Volumes {
    pub(super) fn new(clients_max: usize) -> Self {
        Self { clients: Table::new(CLIENTS_MAX.min(clients_max)), segments: Table::new(SEGMENTS_MAX) }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.clients.evicted + self.segments.evicted
    }

    pub(super) fn take(&mut self, event: &FlowEvent, client: IpAddr, around: &mut Around<'_>) {
        let local = around.network.local(event.time);
        let slot = local.weekday * 24 + local.hour;
        let at = (Window { number: (event.time / HOUR) as i64, slot }, event.time, event.line);
        let measured = self.clients.entry(client, || Measured::new(at));
        measured.count(event, at, Whose::Client(client), around);
        if let Whereabouts::Inside(Some(zone)) = around.inside.whereabouts(client) {
            let measured = self.segments.entry(name_hash(&zone.name), || Measured::new(at));
            measured.count(event, at, Whose::Segment(zone, client), around);
        }
    }
}

impl Measured {
    fn new(at: Place) -> Self {
        let (bytes, flows) = (Meter::new(&CLIENT_BYTES, at), Meter::new(&CLIENT_FLOWS, at));
        Self { bytes, flows, most: None, window: at.0.number }
    }

    fn count(&mut self, event: &FlowEvent, at: Place, whose: Whose<'_>, around: &mut Around<'_>) {
        let (of_bytes, of_flows) = match whose {
            Whose::Client(_) => (&CLIENT_BYTES, &CLIENT_FLOWS),
            Whose::Segment(..) => (&SEGMENT_BYTES, &SEGMENT_FLOWS),
        };
        let carried = event.up.unwrap_or(0).saturating_add(event.down.unwrap_or(0));
        let sent = |bytes| Sent { bytes, is_end: true, is_told: false };
        if let Whose::Segment(_, client) = whose {
            self.vote(at.0.number, client, event.count);
        }
        if carried > 0
            && self.bytes.add(of_bytes, at, sent(carried))
            && let Some(usual) = self.bytes.usual(of_bytes)
        {
            self.tell(event, true, usual, whose, around);
        }
        if self.flows.add(of_flows, at, sent(event.count.saturating_mul(FLOW)))
            && let Some(usual) = self.flows.usual(of_flows)
        {
            self.tell(event, false, usual, whose, around);
        }
    }

    fn vote(&mut self, window: i64, client: IpAddr, count: u64) {
        if window != self.window {
            (self.window, self.most) = (window, None);
        }
        self.most = match self.most {
            Some((leader, votes)) if leader == client => Some((leader, votes.saturating_add(count))),
            Some((leader, votes)) if votes >= count => Some((leader, votes - count)),
            Some((_, votes)) => Some((client, count - votes)),
            None => Some((client, count)),
        };
    }

    fn tell(&self, event: &FlowEvent, is_bytes: bool, usual: Usual, whose: Whose<'_>, around: &mut Around<'_>) {
        let meter = if is_bytes { &self.bytes } else { &self.flows };
        let sum = meter.unexplained();
        let mut grounds = Grounds::default();
        if is_bytes {
            of_bytes(&mut grounds, sum, usual)
        } else {
            of_flows(&mut grounds, sum / FLOW, usual)
        }
        if event.time.saturating_sub(meter.since) < YOUNG {
            let english = "what is usual is known from less than two weeks".to_owned();
            grounds.add(-0.5, "young_baseline", &[], english, "通常値の学習期間は2週間未満".to_owned());
        }
        let span = meter.span();
        let (client, target) = match whose {
            Whose::Client(client) => (Some(client), String::new()),
            Whose::Segment(zone, _) => {
                if let Some((leader, votes)) = self.most.filter(|(_, votes)| *votes > 0) {
                    let english =
                        format!("most of its flows may be of {leader} (at least {votes} more than of others)");
                    let japanese = format!("フローの多くは{leader}による可能性（他より{votes}件以上多い）");
                    grounds.add(0.0, "most_of_one", &[("flows", votes as f64)], english, japanese);
                }
                (None, format!("segment {}", zone.name))
            }
        };
        let told = Told {
            kind: FindingKind::FlowVolume,
            client,
            target,
            port: 0,
            first: span.first.min(event.time),
            last: event.last,
            attempts: span.exchanges,
            refused: 0,
            records: [span.line, event.line],
            beat: None,
            rarity: None,
            grounds,
        };
        around.tell(told, &SEVERITIES);
    }
}

fn of_bytes(grounds: &mut Grounds, sum: u64, usual: Usual) {
    let [all, typical, limit] = [sum, usual.typical, usual.limit].map(|bytes| Bytes(bytes as f64));
    let numbers = [
        ("bytes", sum as f64),
        ("usual_bytes", usual.typical as f64),
        ("limit_bytes", usual.limit as f64),
        ("values", f64::from(usual.values)),
    ];
    let (when, when_japanese) = when(usual.when);
    let values = usual.values;
    let english = format!(
        "flows carried {all} within an hour; {typical} is usual {when}, and up to {limit} would not have been told \
         (from {values} values)"
    );
    let japanese = format!(
        "1時間のフローの通信量が{all}（{when_japanese}の通常値{typical}、しきい値{limit}、実績{values}件から算出）"
    );
    grounds.add(weight(sum, usual.typical.max(MIB)), "sudden_bytes", &numbers, english, japanese);
}

fn of_flows(grounds: &mut Grounds, sum: u64, usual: Usual) {
    let (typical, limit) = (usual.typical / FLOW, usual.limit / FLOW);
    let numbers = [
        ("flows", sum as f64),
        ("usual_flows", typical as f64),
        ("limit_flows", limit as f64),
        ("values", f64::from(usual.values)),
    ];
    let (when, when_japanese) = when(usual.when);
    let values = usual.values;
    let english = format!(
        "{sum} flows within an hour; about {typical} are usual {when}, and up to {limit} would not have been told \
         (from {values} values)"
    );
    let japanese = format!(
        "1時間に{sum}件のフロー（{when_japanese}の通常値は約{typical}件、しきい値{limit}件、実績{values}件から算出）"
    );
    grounds.add(weight(sum, typical.max(100)), "sudden_flows", &numbers, english, japanese);
}

/// It is beyond what six deviations say in any case: how far is what tells them apart.
fn weight(sum: u64, typical: u64) -> f32 {
    1.5 + (sum as f32 / typical.max(1) as f32).log10().clamp(0.0, 2.5)
}

fn when(when: When) -> (&'static str, &'static str) {
    match when {
        When::OfWeek => ("at this time of the week", "この曜日・時間帯"),
        When::OfDay => ("at this time of the day", "この時間帯"),
        When::Any => ("at any time", "全時間帯"),
    }
}

/// FNV-1a: the same whatever came before.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

use std::fmt;

use serde::{Serialize, Serializer};

use crate::facts::Timestamp;

use super::beacon::Scan;

/// What a detector found, whole in itself. A later one with the same id takes its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    pub id: FindingId,
    #[serde(rename = "finding")]
    pub kind: FindingKind,
    pub severity: Severity,
    /// Decades of evidence: 3.5 means that a source without a period does this once in 3,000 times.
    pub score: f64,
    /// The client's address.
    pub client: Box<str>,
    /// The host, or `*.` and its registrable domain.
    pub target: Box<str>,
    pub port: u16,
    #[serde(serialize_with = "as_text")]
    pub first: Timestamp,
    #[serde(serialize_with = "as_text")]
    pub last: Timestamp,
    pub stage: Stage,
    pub grounds: Grounds,
    pub rarity: Rarity,
    /// The first and the newest record or line that it rests on.
    pub records: [u64; 2],
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::evidence::format_time(*time))
}

/// Which finding it is: the same for the same kind, client and target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingId(u64);

impl FindingId {
    pub(super) fn new(kind: FindingKind, client: &str, target: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [kind.as_str(), client, target] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        Self(u64::from_be_bytes(bytes))
    }
}

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for FindingId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A client calls one host at steady intervals.
    Beacon,
    /// A client calls several hosts of one registrable domain, at intervals that are steady together.
    RotatingBeacon,
    /// A client talks to a host around the clock that few others talk to.
    AlwaysOn,
}

impl FindingKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Beacon => "beacon",
            Self::RotatingBeacon => "rotating_beacon",
            Self::AlwaysOn => "always_on",
        }
    }
}

/// How soon a person should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Medium,
    High,
}

/// Where in an attack it belongs, by the stages that IPA's guides tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// 初期潜入.
    InitialIntrusion,
    /// 基盤構築.
    Foothold,
    /// 調査.
    Survey,
    /// 遂行.
    Objective,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InitialIntrusion => "initial_intrusion",
            Self::Foothold => "foothold",
            Self::Survey => "survey",
            Self::Objective => "objective",
        }
    }

    pub fn in_japanese(self) -> &'static str {
        match self {
            Self::InitialIntrusion => "初期潜入",
            Self::Foothold => "基盤構築",
            Self::Survey => "調査",
            Self::Objective => "遂行",
        }
    }
}

/// The numbers that a finding rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Grounds {
    /// The middle of the window that the gaps concentrate in, and its ends, in seconds.
    pub period_seconds: f64,
    pub low_seconds: f64,
    pub high_seconds: f64,
    /// Of `gaps`, how many are in the window, or at multiples of it up to `multiples`, back to back.
    pub hits: u32,
    pub gaps: u32,
    pub multiples: u32,
    pub requests: u32,
    /// How many of them were denied.
    pub denied: u32,
    /// In how many of the last 24 hours it was seen.
    pub hours_of_day: u32,
    /// The last gaps in seconds, the oldest first.
    pub strip: Vec<f64>,
}

/// How common the target is here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rarity {
    /// Clients that talk to it, about.
    pub clients: u32,
    /// Clients in all.
    pub of: u32,
    /// Since when it is known here, counted back from the last event, in seconds.
    pub known_seconds: u64,
}

impl Rarity {
    /// Few talk to it: up to three, or one in a hundred.
    pub fn is_rare(self) -> bool {
        self.clients <= 3.max(self.of / 100)
    }
}

impl Grounds {
    pub(super) fn new(scan: Scan, strip: Vec<f64>) -> Self {
        let (centre, half) = (scan.centre, 0.5 * scan.width);
        Self {
            period_seconds: centre.exp(),
            low_seconds: (centre - half).exp(),
            high_seconds: (centre + half).exp(),
            hits: scan.hits,
            gaps: scan.gaps,
            multiples: scan.multiples,
            requests: 0,
            denied: 0,
            hours_of_day: 0,
            strip,
        }
    }
}

impl Finding {
    /// What was found, for a person who reads English.
    pub fn in_english(&self) -> String {
        let (grounds, rarity) = (&self.grounds, self.rarity);
        let mut text = match self.kind {
            FindingKind::AlwaysOn => {
                format!("Seen in {} of the last 24 hours, and hardly anybody else talks to it", grounds.hours_of_day)
            }
            FindingKind::Beacon | FindingKind::RotatingBeacon => {
                let multiples = match grounds.multiples {
                    0 => String::new(),
                    most => format!(" or at up to {} times that", most + 1),
                };
                format!(
                    "{} of the last {} gaps lie between {} and {}{multiples} (centre {}), back to back; a source without a \
                     period does this with a chance below 1e-{:.0}",
                    grounds.hits,
                    grounds.gaps,
                    Span(grounds.low_seconds),
                    Span(grounds.high_seconds),
                    Span(grounds.period_seconds),
                    self.score.min(300.0).floor(),
                )
            }
        };
        let took = self.last.0.saturating_sub(self.first.0) as f64 / 1e6;
        text += &format!("; {} requests over {}", grounds.requests, Span(took));
        if grounds.denied > 0 {
            text += &format!(", {} of them denied", grounds.denied);
        }
        text += &format!(
            "; {} of {} clients talk to it, known here for {}.",
            rarity.clients,
            rarity.of,
            Span(rarity.known_seconds as f64)
        );
        text
    }

    /// The same, for a person who reads Japanese.
    pub fn in_japanese(&self) -> String {
        let (grounds, rarity) = (&self.grounds, self.rarity);
        let mut text = match self.kind {
            FindingKind::AlwaysOn => format!(
                "直近24時間のうち{}時間で通信があり、ほかの端末はほとんど通信していません",
                grounds.hours_of_day
            ),
            FindingKind::Beacon | FindingKind::RotatingBeacon => {
                let multiples = match grounds.multiples {
                    0 => String::new(),
                    most => format!("（またはその{}倍まで）", most + 1),
                };
                format!(
                    "直近{}回の間隔のうち{}回が連続して{}から{}の間{multiples}（中心{}）にあります。周期のない通信でこうなる確率は1e-{:.0}未満です",
                    grounds.gaps,
                    grounds.hits,
                    Span(grounds.low_seconds).in_japanese(),
                    Span(grounds.high_seconds).in_japanese(),
                    Span(grounds.period_seconds).in_japanese(),
                    self.score.min(300.0).floor(),
                )
            }
        };
        let took = self.last.0.saturating_sub(self.first.0) as f64 / 1e6;
        text += &format!("。{}で{}件", Span(took).in_japanese(), grounds.requests);
        if grounds.denied > 0 {
            text += &format!("（うち拒否{}件）", grounds.denied);
        }
        text += &format!(
            "、{}台中{}台が通信、この網では{}前から。",
            rarity.of,
            rarity.clients,
            Span(rarity.known_seconds as f64).in_japanese()
        );
        text
    }
}

/// A span of time, in seconds, as a person says it.
#[derive(Debug, Clone, Copy)]
struct Span(f64);

impl Span {
    /// In the unit in which it reads best, which is the number of that many.
    fn parts(self) -> (f64, usize) {
        match self.0 {
            seconds if seconds < 90.0 => (seconds, 0),
            seconds if seconds < 5_400.0 => (seconds / 60.0, 1),
            seconds if seconds < 172_800.0 => (seconds / 3_600.0, 2),
            seconds => (seconds / 86_400.0, 3),
        }
    }

    fn in_japanese(self) -> String {
        let (number, unit) = self.parts();
        format!("{number:.1}{}", ["秒", "分", "時間", "日"][unit])
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = self.parts();
        write!(f, "{number:.1} {}", ["s", "min", "h", "d"][unit])
    }
}

use std::cmp::Ordering;
use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::facts::Timestamp;

use super::text::format_time;

/// What a detector found in the records, whole in itself. A later one with the same id takes its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub id: FindingId,
    pub kind: FindingKind,
    pub severity: Severity,
    /// Decades of evidence: 3.5 means that what is harmless does this once in 3,000 times. Of a beacon it is computed, of
    /// most others it is the sum of what its grounds weigh.
    pub score: f64,
    /// How pressing it is, in decades: of a beacon its evidence, at most 6, weighed with who else calls the target with the same
    /// program, since when, what that program has shown, and what was denied; of all others the score.
    pub weight: f64,
    /// The client's address; empty where it is about no one client.
    pub client: Box<str>,
    /// The host, or `*.` and its registrable domain, or the key of a program; empty where it is all that the client does.
    pub target: Box<str>,
    pub port: u16,
    pub first: Timestamp,
    pub last: Timestamp,
    pub requests: u32,
    /// How many of them were denied.
    pub denied: u32,
    pub beat: Option<Beat>,
    pub grounds: Vec<Ground>,
    /// How common the target is; absent where there is no one target.
    pub rarity: Option<Rarity>,
    /// The first and the newest record or line that it rests on.
    pub records: [u64; 2],
}

/// Which finding it is: the same for the same kind, client and target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingId(u64);

impl FindingId {
    pub fn new(kind: FindingKind, client: &str, target: &str) -> Self {
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

impl FindingId {
    /// What [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
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

impl<'de> Deserialize<'de> for FindingId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("no finding id"))
    }
}

/// Declares the kinds of findings, with what each is called in records and the stage of an attack it belongs to.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $text:literal, $stage:ident;)*) => {
        /// What was found.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FindingKind {
            $($(#[$doc])* $kind,)*
        }

        impl FindingKind {
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// As records have it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $text,)*
                }
            }

            pub fn named(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
            }

            /// Where in an attack it belongs.
            pub fn stage(self) -> Stage {
                match self {
                    $(Self::$kind => Stage::$stage,)*
                }
            }
        }
    };
}

kinds! {
    /// A client calls one host at steady intervals.
    Beacon, "beacon", Foothold;
    /// A client calls several hosts of one registrable domain, at intervals that are steady together.
    RotatingBeacon, "rotating_beacon", Foothold;
    /// A client calls several hosts at one address, at intervals that are steady together.
    AddressBeacon, "address_beacon", Foothold;
    /// A client talks to a host around the clock that few others talk to.
    AlwaysOn, "always_on", Foothold;
    /// A tunnel to a host that nobody here knows.
    UnknownTunnel, "unknown_tunnel", Foothold;
    /// A tunnel that stands for hours.
    LongTunnel, "long_tunnel", Foothold;
    /// Tunnels that are opened again as soon as the gate has cut them.
    ReopenedTunnel, "reopened_tunnel", Foothold;
    /// A tunnel into which far more goes than comes out.
    UploadTunnel, "upload_tunnel", Objective;
    /// A tunnel at which a person seems to type.
    InteractiveTunnel, "interactive_tunnel", Survey;
    /// A tunnel that is kept open by tiny packets at a steady pace.
    KeptTunnel, "kept_tunnel", Foothold;
    /// Much goes out at night.
    NightBulk, "night_bulk", Objective;
    /// Far more goes out than is usual at this hour of the week.
    UnusualVolume, "unusual_volume", Objective;
    /// Many small uploads to one host add up.
    SmallUploads, "small_uploads", Objective;
    /// The names below a domain carry data.
    NameChannel, "name_channel", Objective;
    /// What is sent to a host grows from request to request.
    GrowingBodies, "growing_bodies", Objective;
    /// A client asks for many names that do not exist.
    UnresolvedNames, "unresolved_names", Foothold;
    /// Many connections of a client were refused or not answered.
    FailedConnects, "failed_connects", Survey;
    /// A client fails at challenges or log-ins.
    FailedChallenges, "failed_challenges", Foothold;
    /// One user at several clients at once.
    UserOnSeveralClients, "user_on_several_clients", Survey;
    /// A client is at work at an hour at which it never was.
    OutOfHours, "out_of_hours", Survey;
    /// A program claims to be a browser that it is not.
    Mimic, "mimic", Foothold;
    /// A program claims to be a browser, with a TLS key that no browser here ever had.
    StrangeKey, "strange_key", Foothold;
    /// One program goes by many names.
    ManyAgents, "many_agents", Foothold;
    /// A program that no other client has.
    LoneProgram, "lone_program", Foothold;
    /// A program, script or archive that came under the name of something else, or from a stranger.
    Carrier, "carrier", InitialIntrusion;
    /// A host that many clients began to talk to within days.
    Spread, "spread", Foothold;
    /// Several clients fetched the same amount from one rare host.
    SameFetch, "same_fetch", Foothold;
    /// Several clients changed their pace at the same time.
    CommonChange, "common_change", Foothold;
    /// A client tries many ports of one host.
    PortScan, "port_scan", Survey;
    /// A client tries one port of many hosts.
    Sweep, "sweep", Survey;
    /// Many short or refused connections of a client to one service.
    BruteForce, "brute_force", Survey;
    /// A client suddenly speaks to many machines inside.
    PeerSpread, "peer_spread", Survey;
    /// A client has touched a port of the gateway that nothing uses.
    Tripwire, "tripwire", Survey;
    /// A machine of a critical segment has tried to get out.
    CriticalAttempt, "critical_attempt", Foothold;
    /// A client tries one address outside again and again, past the proxy and in vain.
    DirectCall, "direct_call", Foothold;
    /// Far more flows, or bytes in them, than is usual at this hour of the week.
    FlowVolume, "flow_volume", Objective;
    /// A machine gathers from many others inside, and then that goes out.
    Staging, "staging", Objective;
    /// A client sends mail to many servers outside.
    MailBurst, "mail_burst", Objective;
    /// A client tries to connect without end.
    Flood, "flood", Objective;
    /// What tells of attempts past the proxy has fallen silent.
    SilentSource, "silent_source", Foothold;
}

impl FindingKind {
    /// Whether its target is a program, not a host.
    pub fn is_of_program(self) -> bool {
        matches!(self, Self::Mimic | Self::StrangeKey | Self::ManyAgents | Self::LoneProgram)
    }

    /// Whether it rests on attempts that gateways and firewalls saw, not on requests.
    pub fn is_of_flows(self) -> bool {
        matches!(
            self,
            Self::PortScan
                | Self::Sweep
                | Self::BruteForce
                | Self::PeerSpread
                | Self::Tripwire
                | Self::CriticalAttempt
                | Self::DirectCall
                | Self::FlowVolume
                | Self::Staging
                | Self::MailBurst
                | Self::Flood
                | Self::SilentSource
        )
    }

    /// Whether it is what several clients do together.
    pub fn is_of_several(self) -> bool {
        matches!(self, Self::Spread | Self::SameFetch | Self::CommonChange)
    }
}

/// How soon a person should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing beside others.
    Low,
    Medium,
    High,
}

/// Where in an attack it belongs, by the stages that IPA's guides tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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
            Self::Low => "low",
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

/// How the gaps between a client's calls concentrate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// The middle of the window that the gaps concentrate in, and its ends, in seconds.
    pub period_seconds: f64,
    pub low_seconds: f64,
    pub high_seconds: f64,
    /// Of `gaps`, how many are in the window, or at multiples of it up to `multiples`, back to back.
    pub hits: u32,
    pub gaps: u32,
    pub multiples: u32,
    /// The last gaps in seconds, the oldest first.
    pub strip: Vec<f64>,
}

/// One thing that speaks for a finding: as numbers, and as a sentence without a full stop.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ground {
    /// A short code.
    pub ground: &'static str,
    #[serde(serialize_with = "as_map")]
    pub numbers: Vec<(&'static str, f64)>,
    pub english: Box<str>,
    pub japanese: Box<str>,
}

impl Ground {
    pub fn new(ground: &'static str, numbers: &[(&'static str, f64)], english: String, japanese: String) -> Self {
        Self { ground, numbers: numbers.to_vec(), english: english.into(), japanese: japanese.into() }
    }
}

fn as_map<S: Serializer>(numbers: &[(&'static str, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(numbers.iter().copied())
}

/// How common the target is here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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

impl Finding {
    /// A number of one of its grounds.
    pub fn number(&self, ground: &str, name: &str) -> Option<f64> {
        let ground = self.grounds.iter().find(|other| other.ground == ground)?;
        ground.numbers.iter().find(|(other, _)| *other == name).map(|(_, number)| *number)
    }

    /// The most pressing first: by severity, of which rarity is a part, then by evidence. Of what is certain alike, first what
    /// many clients do together, then what few talk to: a mass infection must not be last because so many have it.
    pub fn by_rank(&self, other: &Self) -> Ordering {
        let certainty = |finding: &Self| finding.weight.min(CERTAIN);
        let is_lone = |finding: &Self| !finding.kind.is_of_several();
        let clients = |finding: &Self| finding.rarity.map_or(0, |rarity| rarity.clients);
        (other.severity.cmp(&self.severity))
            .then(certainty(other).total_cmp(&certainty(self)))
            .then(is_lone(self).cmp(&is_lone(other)))
            .then(clients(self).cmp(&clients(other)))
            .then(other.score.total_cmp(&self.score))
            .then(self.id.cmp(&other.id))
    }

    /// Whether it tells that something is not what it was, which is news though its score is lower.
    pub fn is_change(&self) -> bool {
        self.grounds.iter().any(|ground| ground.ground == "changed")
    }

    /// What was found, for a person who reads English.
    pub fn in_english(&self) -> String {
        let beat = self.beat.as_ref().filter(|beat| beat.gaps > 0 && self.kind != FindingKind::AlwaysOn);
        let mut parts: Vec<String> = beat.map(|beat| beat.in_english(self.score)).into_iter().collect();
        parts.extend(self.grounds.iter().map(|ground| ground.english.to_string()));
        if self.requests > 0 {
            let took = Span::between(self.first, self.last);
            let denied = if self.denied > 0 { format!(", {} of them denied", self.denied) } else { String::new() };
            let what = if self.kind.is_of_flows() { "attempts" } else { "requests" };
            parts.push(format!("{} {what} over {took}{denied}", self.requests));
        }
        if let Some(Rarity { clients, of, known_seconds }) = self.rarity {
            let known = Span(known_seconds as f64);
            parts.push(format!("{clients} of {of} clients talk to it, known here for {known}"));
        }
        let mut text = parts.join("; ");
        text.push('.');
        text
    }

    /// The same, for a person who reads Japanese.
    pub fn in_japanese(&self) -> String {
        let beat = self.beat.as_ref().filter(|beat| beat.gaps > 0 && self.kind != FindingKind::AlwaysOn);
        let mut parts: Vec<String> = beat.map(|beat| beat.in_japanese(self.score)).into_iter().collect();
        parts.extend(self.grounds.iter().map(|ground| ground.japanese.to_string()));
        let mut counts = Vec::new();
        if self.requests > 0 {
            let took = Span::between(self.first, self.last).in_japanese();
            let denied = if self.denied > 0 { format!("（うち拒否{}件）", self.denied) } else { String::new() };
            counts.push(format!("{took}で{}件{denied}", self.requests));
        }
        if let Some(Rarity { clients, of, known_seconds }) = self.rarity {
            let known = Span(known_seconds as f64).in_japanese();
            counts.push(format!("{of}台中{clients}台が通信、この網では{known}前から"));
        }
        parts.extend((!counts.is_empty()).then(|| counts.join("、")));
        let mut text = parts.join("。");
        text.push('。');
        text
    }
}

impl Beat {
    fn in_english(&self, score: f64) -> String {
        let multiples = match self.multiples {
            0 => String::new(),
            most => format!(" or at up to {} times that", most + 1),
        };
        format!(
            "{} of the last {} gaps lie between {} and {}{multiples} (centre {}), back to back; a source without a period \
             does this with a chance below 1e-{:.0}",
            self.hits,
            self.gaps,
            Span(self.low_seconds),
            Span(self.high_seconds),
            Span(self.period_seconds),
            score.min(300.0).floor(),
        )
    }

    fn in_japanese(&self, score: f64) -> String {
        let multiples = match self.multiples {
            0 => String::new(),
            most => format!("（またはその{}倍まで）", most + 1),
        };
        format!(
            "直近{}回の間隔のうち{}回が連続して{}から{}の間{multiples}（中心{}）にあります。周期のない通信でこうなる確率は1e-{:.0}未満です",
            self.gaps,
            self.hits,
            Span(self.low_seconds).in_japanese(),
            Span(self.high_seconds).in_japanese(),
            Span(self.period_seconds).in_japanese(),
            score.min(300.0).floor(),
        )
    }
}

/// From so many decades on it does not matter how certain it is.
const CERTAIN: f64 = 30.0;

/// Of no score more is said: it is certain by far.
pub const SCORE_MAX: f64 = 300.0;

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Said<'a> {
            finding: &'static str,
            finding_id: FindingId,
            severity: Severity,
            score: f64,
            weight: f64,
            stage: Stage,
            client: &'a str,
            target: &'a str,
            #[serde(skip_serializing_if = "is_none")]
            port: u16,
            first: String,
            last: String,
            requests: u32,
            denied: u32,
            #[serde(skip_serializing_if = "Option::is_none")]
            beat: Option<&'a Beat>,
            grounds: &'a [Ground],
            #[serde(skip_serializing_if = "Option::is_none")]
            rarity: Option<Rarity>,
            records: [u64; 2],
            english: String,
            japanese: String,
        }
        Said {
            finding: self.kind.as_str(),
            finding_id: self.id,
            severity: self.severity,
            score: self.score.min(SCORE_MAX),
            weight: self.weight.min(SCORE_MAX),
            stage: self.kind.stage(),
            client: &self.client,
            target: &self.target,
            port: self.port,
            first: format_time(self.first),
            last: format_time(self.last),
            requests: self.requests,
            denied: self.denied,
            beat: self.beat.as_ref().filter(|beat| beat.gaps > 0),
            grounds: &self.grounds,
            rarity: self.rarity,
            records: self.records,
            english: self.in_english(),
            japanese: self.in_japanese(),
        }
        .serialize(serializer)
    }
}

fn is_none(port: &u16) -> bool {
    *port == 0
}

/// A span of time, in seconds, as a person says it.
#[derive(Debug, Clone, Copy)]
pub struct Span(pub f64);

impl Span {
    /// From one time to a later one.
    pub fn between(first: Timestamp, last: Timestamp) -> Self {
        Self(last.0.saturating_sub(first.0) as f64 / 1e6)
    }

    /// In the unit in which it reads best, which is the number of that many.
    fn parts(self) -> (f64, usize) {
        match self.0 {
            seconds if seconds < 90.0 => (seconds, 0),
            seconds if seconds < 5_400.0 => (seconds / 60.0, 1),
            seconds if seconds < 172_800.0 => (seconds / 3_600.0, 2),
            seconds => (seconds / 86_400.0, 3),
        }
    }

    pub fn in_japanese(self) -> String {
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

/// A number of bytes, as a person says it; binary units (IEC 80000-13).
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub f64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0;
        for unit in ["bytes", "KiB", "MiB", "GiB"] {
            if bytes < 1024.0 {
                let digits = usize::from(unit != "bytes");
                return write!(f, "{bytes:.digits$} {unit}");
            }
            bytes /= 1024.0;
        }
        write!(f, "{bytes:.1} TiB")
    }
}

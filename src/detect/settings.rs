use ipnet::IpNet;
use jiff::tz::TimeZone;

use crate::evidence::{Bytes, Finding, FindingKind, Ground, Span};
use crate::facts::Timestamp;
use crate::parse::{Place, Section};
use crate::policy::prefixes;

use super::inside::Inside;
use super::measure::{Imposed, Measure};

/// What the operator says of this network.
#[derive(Debug, Clone)]
pub struct Settings {
    /// By which nights, weekends and hours of the week are told.
    pub zone: TimeZone,
    /// Of these nothing is told.
    pub allow: Vec<Target>,
    /// Whose new hosts may become common within days.
    pub publishers: Vec<Target>,
    pub explained: Vec<Explained>,
    /// What findings are answered with.
    pub measures: Vec<Measure>,
    /// What is inside, by which attempts past the proxy are judged.
    pub inside: Inside,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            zone: TimeZone::UTC,
            allow: Vec::new(),
            publishers: Vec::new(),
            explained: Vec::new(),
            measures: Vec::new(),
            inside: Inside::default(),
        }
    }
}

/// What findings are about: a host, `*.` and a domain with all below it, or the key of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(Box<str>);

impl Target {
    /// At most 255 bytes; `*` stands in front of a domain only.
    pub fn new(text: &str) -> Option<Self> {
        let bare = text.strip_prefix("*.").unwrap_or(text);
        let is_good = !bare.is_empty() && text.len() <= 255 && !bare.contains(['*', ' ']);
        is_good.then(|| Self(text.to_ascii_lowercase().into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a host, or `*.` and a domain, is this name or below it, with `*.` in front of either or not.
    pub(super) fn covers(&self, host: &str) -> bool {
        let bare = |text| str::strip_prefix(text, "*.").unwrap_or(text);
        let (own, host) = (bare(&self.0).as_bytes(), bare(host).as_bytes());
        let Some(before) = host.len().checked_sub(own.len()) else { return false };
        host[before..].eq_ignore_ascii_case(own) && (before == 0 || host[before - 1] == b'.')
    }

    /// Whether this is it, or is below it.
    pub fn is(&self, target: &str) -> bool {
        let own = &*self.0;
        own.eq_ignore_ascii_case(target)
            || own.strip_prefix('*').is_some_and(|below| {
                target.len() > below.len()
                    && target.as_bytes()[target.len() - below.len()..].eq_ignore_ascii_case(below.as_bytes())
            })
    }
}

/// A program that calls home, and that somebody knows.
#[derive(Debug, Clone)]
pub struct Explained {
    pub target: Target,
    pub why: Box<str>,
    /// The clients that it is known of; all where none are named.
    pub clients: Vec<IpNet>,
    /// The pace that it is known for, in seconds.
    pub period: Option<f64>,
    /// What a request of it carries up, in bytes.
    pub request_bytes: Option<f64>,
}

/// How far a period may be from the one that is known, as a factor.
const PERIOD_OFF: f64 = 1.5;
/// How far the size of a request may be.
const BYTES_OFF: f64 = 2.0;
/// Responses, at most.
const MEASURES_MAX: usize = 64;
/// Scanners, at most: each attempt is held against them.
const SCANNERS_MAX: usize = 64;
/// Entries of a list, at most.
const ENTRIES_MAX: usize = 10_000;

/// What becomes of a finding.
#[derive(Debug)]
pub(super) enum Fate {
    Told(Box<Finding>),
    Allowed,
    Explained,
}

impl Settings {
    /// Reads `[detect]` and `[explained]` of a config; what is wrong is reported. `own` takes the keys of `[detect]` that are
    /// somebody else's.
    pub fn read_all(root: &mut Section<'_, '_>, own: impl FnOnce(&mut Section<'_, '_>)) -> Self {
        let mut settings = Self::default();
        if let Some(mut section) = root.table("detect") {
            settings = Self::read(&mut section);
            own(&mut section);
            section.finish();
        }
        for (name, mut section) in root.named_tables("explained") {
            let explained = Explained::read(&name.value, &mut section);
            section.finish();
            if settings.explained.len() == ENTRIES_MAX {
                let what = format!("more than {ENTRIES_MAX} things are explained");
                section.problem(&name.place, what, "name domains, as `*.example.com`");
                break;
            }
            settings.explained.extend(explained);
        }
        for (name, mut section) in root.named_tables("response") {
            let measure = Measure::read(&name.value, &mut section);
            section.finish();
            if settings.measures.len() == MEASURES_MAX {
                let what = format!("there are more than {MEASURES_MAX} responses");
                section.problem(&name.place, what, "join some of them");
                break;
            }
            settings.measures.extend(measure);
        }
        settings
    }

    /// What a finding that is told now imposes.
    pub fn imposed(&self, finding: &Finding, now: Timestamp) -> Vec<Imposed> {
        self.measures.iter().filter_map(|measure| measure.imposes(finding, now)).collect()
    }

    fn read(section: &mut Section<'_, '_>) -> Self {
        let mut settings = Self::default();
        if let Some(zone) = section.string("time_zone") {
            match TimeZone::get(&zone.value) {
                Ok(found) => settings.zone = found,
                Err(_) => {
                    section.problem(&zone.place, "there is no such time zone", "write it as in `Asia/Tokyo` (IANA)");
                }
            }
        }
        settings.inside.scanners = prefixes(section, "scanners").unwrap_or_default();
        for target in section.strings("allow").unwrap_or_default() {
            settings.allow.extend(read_target(section, &target.value, &target.place));
        }
        for publisher in section.strings("publishers").unwrap_or_default() {
            settings.publishers.extend(read_target(section, &publisher.value, &publisher.place));
        }
        if settings.inside.scanners.len() > SCANNERS_MAX {
            let place = section.place_of_key("scanners").unwrap_or_else(|| section.place().clone());
            let what = format!("more than {SCANNERS_MAX} scanners are named");
            section.problem(&place, what, "name prefixes, as `10.40.0.0/24`");
        }
        for (entries, what) in
            [(&settings.allow, "targets are allowed"), (&settings.publishers, "publishers are named")]
        {
            if entries.len() > ENTRIES_MAX {
                let place = section.place().clone();
                let what = format!("more than {ENTRIES_MAX} {what}");
                section.problem(&place, what, "name domains, as `*.example.com`");
            }
        }
        settings
    }

    pub(super) fn fate(&self, mut finding: Finding) -> Fate {
        if self.allow.iter().any(|target| target.is(&finding.target)) {
            return Fate::Allowed;
        }
        let mut unlike = None;
        for known in self.explained.iter().filter(|known| known.target.is(&finding.target)) {
            match known.difference(&finding) {
                None => return Fate::Explained,
                Some(difference) => unlike = Some(difference),
            }
        }
        finding.grounds.extend(unlike);
        Fate::Told(Box::new(finding))
    }
}

fn read_target(section: &Section<'_, '_>, text: &str, place: &Place) -> Option<Target> {
    let target = Target::new(text);
    if target.is_none() {
        section.problem(place, format!("`{text}` is no target"), "write a host, or `*.` and a domain");
    }
    target
}

impl Explained {
    fn read(name: &str, section: &mut Section<'_, '_>) -> Option<Self> {
        section.need_some("target", "\"update.example.com\"");
        let target = section.string("target").and_then(|text| read_target(section, &text.value, &text.place));
        let why = section.string("why").map_or_else(|| name.into(), |why| why.value.into());
        let clients = prefixes(section, "clients").unwrap_or_default();
        let period = section.integer("period_seconds", 1..=604_800).map(|seconds| seconds as f64);
        let request_bytes = section.integer("request_bytes", 1..=1 << 30).map(|bytes| bytes as f64);
        Some(Self { target: target?, why, clients, period, request_bytes })
    }

    /// What of a finding is not as it was explained.
    fn difference(&self, finding: &Finding) -> Option<Ground> {
        let client = finding.client.parse::<std::net::IpAddr>().ok();
        let why = &*self.why;
        if !self.clients.is_empty()
            && !client.is_some_and(|client| self.clients.iter().any(|net| net.contains(&client)))
        {
            return Some(Ground::new(
                "unlike_explained",
                &[],
                format!("explained ({why}), but not for this client"),
                format!("説明済み（{why}）だが、この端末は対象外"),
            ));
        }
        let beats = matches!(
            finding.kind,
            FindingKind::Beacon | FindingKind::RotatingBeacon | FindingKind::AddressBeacon | FindingKind::DirectCall
        );
        let period = finding.beat.as_ref().filter(|_| beats).map(|beat| beat.period_seconds);
        if let (Some(known), Some(period)) = (self.period, period)
            && is_off(known, period, PERIOD_OFF)
        {
            let (known_span, span) = (Span(known), Span(period));
            return Some(Ground::new(
                "unlike_explained",
                &[("known_period_seconds", known)],
                format!("explained ({why}) with a period of {known_span}, and now it is {span}"),
                format!("周期{}として説明済み（{why}）だが、現在は{}", known_span.in_japanese(), span.in_japanese()),
            ));
        }
        if let (Some(known), Some(bytes)) = (self.request_bytes, finding.number("size", "bytes_up"))
            && is_off(known, bytes, BYTES_OFF)
        {
            let (known_bytes, bytes) = (Bytes(known), Bytes(bytes));
            return Some(Ground::new(
                "unlike_explained",
                &[("known_bytes_up", known)],
                format!("explained ({why}) with {known_bytes} up each, and now it is {bytes}"),
                format!("1件あたり上り{known_bytes}として説明済み（{why}）だが、現在は{bytes}"),
            ));
        }
        None
    }
}

fn is_off(known: f64, now: f64, factor: f64) -> bool {
    now > known * factor || now < known / factor
}

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::evidence::{Finding, FindingId, FindingKind, Severity, Span, Stage, format_time, shown};
use crate::facts::Timestamp;

/// What was found of one client within days, in order of time: how an attack on it may have gone on.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    pub client: Box<str>,
    /// The highest of its findings; one step higher where findings that do not hang on each other show several stages.
    pub severity: Severity,
    pub first: Timestamp,
    pub last: Timestamp,
    /// The stages that it has reached, in the order in which it did.
    pub stages: Vec<Stage>,
    /// By when each began; no more than [`STEPS_MAX`], and then those that began first.
    pub steps: Vec<Step>,
    /// Findings beyond that.
    pub more: u32,
    /// The story in one sentence, in English and in Japanese; safe to show.
    pub english: Box<str>,
    pub japanese: Box<str>,
}

/// A finding in a story.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub finding: FindingId,
    pub kind: FindingKind,
    pub severity: Severity,
    pub target: Box<str>,
    pub first: Timestamp,
}

/// Findings that a story lists.
pub const STEPS_MAX: usize = 32;
/// A finding that begins so long after what was found before, in microseconds, begins another story.
const PAUSE: u64 = 3 * 24 * 3_600_000_000;
/// Kinds of findings that a sentence names.
const NAMED_MAX: usize = 5;

/// Stitches findings together that are of one client and of different nature; the most pressing stories first.
///
/// It takes a finding that is at least medium, and whose target hardly anybody else talks to; or several of different nature
/// about one target. What is low and has nothing to do with each other is no story.
pub fn stories(findings: &[Finding]) -> Vec<Story> {
    let mut by_client: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        by_client.entry(&finding.client).or_default().push(finding);
    }
    let mut stories = Vec::new();
    for (client, mut findings) in by_client {
        findings.sort_by_key(|finding| (finding.first, finding.last, finding.id));
        let mut rest = &*findings;
        while !rest.is_empty() {
            let (near, later) = rest.split_at(near(rest));
            stories.extend(story(client, near));
            rest = later;
        }
    }
    stories.sort_by(|a, b| {
        let by_rank = b.severity.cmp(&a.severity).then(b.stages.len().cmp(&a.stages.len()));
        by_rank.then(a.first.cmp(&b.first)).then(a.client.cmp(&b.client))
    });
    stories
}

/// How many of them are near each other in time.
fn near(findings: &[&Finding]) -> usize {
    let mut last = 0;
    for (place, finding) in findings.iter().enumerate() {
        if place > 0 && finding.first.0 > u64::saturating_add(last, PAUSE) {
            return place;
        }
        last = last.max(finding.last.0);
    }
    findings.len()
}

fn story(client: &str, findings: &[&Finding]) -> Option<Story> {
    let is_about_one =
        |one: &Finding, other: &Finding| nature(one.kind) != nature(other.kind) && is_same(&one.target, &other.target);
    let strong: Vec<_> = findings.iter().filter(|finding| is_strong(finding)).collect();
    // Of a client that is full of findings the first few say enough.
    let first = &findings[..findings.len().min(8 * STEPS_MAX)];
    let has_pair =
        first.iter().enumerate().any(|(place, one)| first[..place].iter().any(|other| is_about_one(one, other)));
    let has_natures = findings.iter().any(|finding| nature(finding.kind) != nature(findings[0].kind));
    if !has_natures || (strong.is_empty() && !has_pair) {
        return None;
    }
    let mut stages = Vec::new();
    for finding in findings {
        if !stages.contains(&finding.kind.stage()) {
            stages.push(finding.kind.stage());
        }
    }
    let highest = findings.iter().map(|finding| finding.severity).max()?;
    let is_raised = stages.len() > 1
        && strong
            .first()
            .is_none_or(|one| has_pair || strong.iter().any(|other| nature(other.kind) != nature(one.kind)));
    let last = findings.iter().map(|finding| finding.last).max()?;
    let (english, japanese) = said(client, findings, &stages, Span::between(findings[0].first, last));
    let step = |finding: &&Finding| Step {
        finding: finding.id,
        kind: finding.kind,
        severity: finding.severity,
        target: finding.target.clone(),
        first: finding.first,
    };
    Some(Story {
        client: client.into(),
        severity: if is_raised { higher(highest) } else { highest },
        first: findings[0].first,
        last,
        stages,
        steps: findings.iter().take(STEPS_MAX).map(step).collect(),
        more: findings.len().saturating_sub(STEPS_MAX) as u32,
        english: english.into(),
        japanese: japanese.into(),
    })
}

/// Whether two targets are one host, or a host and its domain.
fn is_same(one: &str, other: &str) -> bool {
    let is_below = |host: &str, domain: &str| {
        domain.strip_prefix('*').is_some_and(|domain| host.ends_with(domain) || Some(host) == domain.get(1..))
    };
    !one.is_empty() && (one == other || is_below(one, other) || is_below(other, one))
}

/// Whether it says something by itself. What many talk to is mostly no attack, but what became common is.
fn is_strong(finding: &Finding) -> bool {
    let is_of_several =
        matches!(finding.kind, FindingKind::Spread | FindingKind::SameFetch | FindingKind::CommonChange);
    finding.severity >= Severity::Medium && (is_of_several || finding.rarity.is_none_or(|rarity| rarity.is_rare()))
}

fn higher(severity: Severity) -> Severity {
    match severity {
        Severity::Low => Severity::Medium,
        Severity::Medium | Severity::High => Severity::High,
    }
}

/// The story in one sentence, in English and in Japanese: kinds in the order in which they began, with what they are about.
fn said(client: &str, findings: &[&Finding], stages: &[Stage], took: Span) -> (String, String) {
    let mut kinds: Vec<(FindingKind, &str, u32)> = Vec::new();
    for finding in findings {
        match kinds.iter_mut().find(|(kind, _, _)| *kind == finding.kind) {
            Some((_, _, more)) => *more += 1,
            None => kinds.push((finding.kind, &finding.target, 0)),
        }
    }
    let named = kinds.iter().take(NAMED_MAX);
    let english: Vec<String> = named
        .clone()
        .map(|(kind, target, more)| {
            let (kind, _) = kind.in_words();
            match (target.is_empty(), more) {
                (true, 0) => kind.to_owned(),
                (true, more) => format!("{kind} ({} times)", more + 1),
                (false, 0) => format!("{kind} ({})", shown(target)),
                (false, more) => format!("{kind} ({} and {more} more)", shown(target)),
            }
        })
        .collect();
    let japanese: Vec<String> = named
        .map(|(kind, target, more)| {
            let (_, kind) = kind.in_words();
            match (target.is_empty(), more) {
                (true, 0) => kind.to_owned(),
                (true, more) => format!("{kind}（{}件）", more + 1),
                (false, 0) => format!("{kind}（{}）", shown(target)),
                (false, more) => format!("{kind}（{}ほか{more}件）", shown(target)),
            }
        })
        .collect();
    let (english_more, japanese_more) = match kinds.len().saturating_sub(NAMED_MAX) {
        0 => (String::new(), String::new()),
        more => (format!(", and {more} kinds more"), format!("、ほか{more}種")),
    };
    let english_stages: Vec<_> = stages.iter().map(|stage| stage.as_str().replace('_', " ")).collect();
    let japanese_stages: Vec<_> = stages.iter().map(|stage| stage.in_japanese()).collect();
    let client = shown(client);
    (
        format!(
            "{client} within {took}: {}{english_more}; stages reached: {}.",
            english.join(", then "),
            english_stages.join(", ")
        ),
        format!(
            "{client}で{}のうちに{}{japanese_more}。到達段階：{}。",
            took.in_japanese(),
            japanese.join("、次いで"),
            japanese_stages.join("・")
        ),
    )
}

/// What kinds of findings are about: two of one nature often show one thing twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Calls,
    Tunnels,
    Volume,
    Failures,
    People,
    Programs,
    Arrivals,
    Several,
    Reach,
    Abuse,
    Sources,
}

fn nature(kind: FindingKind) -> Nature {
    use FindingKind as Kind;
    match kind {
        Kind::Beacon | Kind::RotatingBeacon | Kind::AddressBeacon | Kind::AlwaysOn | Kind::DirectCall => Nature::Calls,
        Kind::UnknownTunnel | Kind::LongTunnel | Kind::ReopenedTunnel | Kind::InteractiveTunnel | Kind::KeptTunnel => {
            Nature::Tunnels
        }
        Kind::UploadTunnel
        | Kind::NightBulk
        | Kind::UnusualVolume
        | Kind::SmallUploads
        | Kind::NameChannel
        | Kind::GrowingBodies
        | Kind::FlowVolume
        | Kind::Staging => Nature::Volume,
        Kind::UnresolvedNames | Kind::FailedConnects | Kind::FailedChallenges => Nature::Failures,
        Kind::UserOnSeveralClients | Kind::OutOfHours => Nature::People,
        Kind::Mimic | Kind::StrangeKey | Kind::ManyAgents | Kind::LoneProgram => Nature::Programs,
        Kind::Carrier => Nature::Arrivals,
        Kind::Spread | Kind::SameFetch | Kind::CommonChange => Nature::Several,
        Kind::PortScan | Kind::Sweep | Kind::BruteForce | Kind::PeerSpread | Kind::Tripwire | Kind::CriticalAttempt => {
            Nature::Reach
        }
        Kind::MailBurst | Kind::Flood => Nature::Abuse,
        Kind::SilentSource => Nature::Sources,
    }
}

impl Serialize for Story {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Said<'a> {
            client: &'a str,
            severity: Severity,
            first: String,
            last: String,
            stages: &'a [Stage],
            findings: &'a [Step],
            more: u32,
            english: &'a str,
            japanese: &'a str,
        }
        Said {
            client: &self.client,
            severity: self.severity,
            first: format_time(self.first),
            last: format_time(self.last),
            stages: &self.stages,
            findings: &self.steps,
            more: self.more,
            english: &self.english,
            japanese: &self.japanese,
        }
        .serialize(serializer)
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Said<'a> {
            finding_id: FindingId,
            finding: &'static str,
            stage: Stage,
            severity: Severity,
            target: &'a str,
            first: String,
        }
        Said {
            finding_id: self.finding,
            finding: self.kind.as_str(),
            stage: self.kind.stage(),
            severity: self.severity,
            target: &self.target,
            first: format_time(self.first),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::Deserialize;

use crate::evidence::{FindingKind, Mark, Severity, read_time};
use crate::facts::Timestamp;

/// A record of which somebody may want to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub seq: u64,
    pub time: Timestamp,
    pub what: What,
}

/// What it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Finding {
        id: Box<str>,
        kind: FindingKind,
        severity: Severity,
        client: Box<str>,
        target: Box<str>,
        port: u16,
        english: Box<str>,
        japanese: Box<str>,
    },
    /// The gate does its work less well, or better again.
    Health { subject: Box<str>, level: Box<str>, detail: Box<str> },
    /// A person has said what a finding is: that holds up to then, or for ever. What a day that cannot be read ends has ended.
    Triage { id: Box<str>, mark: Mark, until: Option<Timestamp> },
    /// Evidence is missing.
    Gap { cause: Box<str>, detail: Box<str>, count: Option<u64> },
}

#[derive(Deserialize)]
struct Line<'a> {
    seq: u64,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    finding: Option<String>,
    finding_id: Option<String>,
    severity: Option<Severity>,
    client: Option<String>,
    target: Option<String>,
    port: Option<u16>,
    english: Option<String>,
    japanese: Option<String>,
    subject: Option<String>,
    level: Option<String>,
    cause: Option<String>,
    detail: Option<String>,
    count: Option<u64>,
    until: Option<String>,
}

/// The word by which a triage says what it holds a finding to be; other kinds have other words there.
#[derive(Deserialize)]
struct Marked {
    action: Mark,
}

/// Where a line names its kind: no text that others chose stands before it unescaped.
const KIND: &[u8] = b"\"kind\":\"";

/// Reads a line of the journal; `None` for what is nobody's alert, and for what is no record of ours.
pub fn read_event(line: &[u8]) -> Option<Event> {
    // Most lines are of exchanges: they are not read at all.
    let begin = line.windows(KIND.len()).position(|window| window == KIND)? + KIND.len();
    let kind = line.get(begin..)?;
    if ![&b"finding\""[..], b"health\"", b"gap\"", b"triage\""].iter().any(|wanted| kind.starts_with(wanted)) {
        return None;
    }
    let whole = line;
    let line: Line<'_> = serde_json::from_slice(whole).ok()?;
    let text = |text: Option<String>| text.unwrap_or_default().into_boxed_str();
    let what = match &*line.kind {
        "finding" => What::Finding {
            id: line.finding_id?.into(),
            kind: FindingKind::named(&line.finding?)?,
            severity: line.severity?,
            client: text(line.client),
            target: text(line.target),
            port: line.port.unwrap_or_default(),
            english: text(line.english),
            japanese: text(line.japanese),
        },
        "health" => {
            What::Health { subject: line.subject?.into(), level: line.level?.into(), detail: text(line.detail) }
        }
        "gap" => What::Gap { cause: line.cause?.into(), detail: text(line.detail), count: line.count },
        "triage" => What::Triage {
            id: line.finding_id?.into(),
            mark: serde_json::from_slice::<Marked>(whole).ok()?.action,
            until: line.until.map(|day| read_time(&format!("{day}T23:59:59.999999Z")).unwrap_or(Timestamp(0))),
        },
        _ => return None,
    };
    Some(Event { seq: line.seq, time: read_time(&line.time)?, what })
}

/// How the gate stands by a record of its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Well,
    Worse(Severity),
}

/// A level that is not known is worse than it was.
pub(super) fn standing(level: &str) -> Standing {
    match level {
        "ample" | "fetched" | "heard" | "sent" | "read" => Standing::Well,
        "kept" => Standing::Worse(Severity::Low),
        "critical" | "full" => Standing::Worse(Severity::High),
        _ => Standing::Worse(Severity::Medium),
    }
}

/// How pressing it is that evidence is missing: more where records are than where connections were too many.
pub(super) fn gap_severity(cause: &str) -> Severity {
    match cause {
        "connections_overflowed" | "client_connections_overflowed" | "torn_tail" => Severity::Medium,
        "flows_lost" | "flows_unrecorded" => Severity::Low,
        _ => Severity::High,
    }
}

/// What a subject of health is called in Japanese.
pub(super) fn subject_in_japanese(subject: &str) -> &str {
    match subject {
        "clock" => "時計",
        "disk" => "ディスク",
        "list" => "ホストリスト",
        "browser" => "ブラウザの応答",
        "checkpoints" => "チェックポイントの送信",
        "devices" => "端末情報の読み取り",
        "flows" => "プロキシ外通信の記録",
        "alerts" => "通知の送信",
        "streams" => "記録の書き出し",
        "kernel" => "カーネルでの遮断",
        other => other,
    }
}

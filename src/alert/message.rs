use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, Severity, format_time};
use crate::facts::Timestamp;

/// One message for one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    pub origin: Origin,
    /// When it happened, in microseconds since 1970 (UTC).
    pub time: u64,
    pub severity: Severity,
    /// A kind of finding as records have it; `health`, `gap`, `quiet_hours`, `surplus` or `test`.
    pub kind: Box<str>,
    /// Empty where it is about no client; and so on.
    pub client: Box<str>,
    pub device: Box<str>,
    pub target: Box<str>,
    pub port: u16,
    pub finding_id: Box<str>,
    /// What it says, in lines.
    pub english: Box<str>,
    pub japanese: Box<str>,
}

/// What it was made of; no two alerts for a receiver have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A record, by its number.
    Record(u64),
    /// What was held back in quiet hours, or beyond the hour's share, since then, in microseconds.
    Quiet(u64),
    Surplus(u64),
    /// The gate itself, at that time: what could not be put on record.
    Gate(u64),
    /// A person who tries it, at that time.
    Test(u64),
}

/// What a kind is called, in English and in Japanese.
pub type Words = (&'static str, &'static str);

/// So many bytes of a text are told, each.
pub(super) const TEXT_BYTES_MAX: usize = 4 << 10;
/// And of a name.
pub(super) const NAME_BYTES_MAX: usize = 300;

impl Alert {
    /// Words and no more: of something that is about no client.
    pub(super) fn of_gate(origin: Origin, time: Timestamp, severity: Severity, kind: &str, words: [&str; 2]) -> Self {
        let [english, japanese] = words;
        Self {
            origin,
            time: time.0,
            severity,
            kind: kind.into(),
            client: "".into(),
            device: "".into(),
            target: "".into(),
            port: 0,
            finding_id: "".into(),
            english: cut(english, TEXT_BYTES_MAX).into(),
            japanese: cut(japanese, TEXT_BYTES_MAX).into(),
        }
    }

    /// That an alert comes through, for a person who tries that.
    pub fn test(now: Timestamp, gate: &str) -> Self {
        let english = format!("TEST: this is a test of the alerts of the gate {gate}; nothing has happened");
        let japanese = format!("テスト: ゲート{gate}の通知の試験です。異常が起きたわけではありません");
        Self::of_gate(Origin::Test(now.0), now, Severity::Low, "test", [&english, &japanese])
    }

    /// That no record can be written, or that it can again: such a thing cannot stand in the journal.
    pub fn of_journal(now: Timestamp, error: Option<&str>) -> Self {
        let (english, japanese) = match error {
            Some(why) => (
                format!("no record can be written, and nothing new passes: {why}"),
                format!("記録を書き込めないため、新しい通信は通過しません: {why}"),
            ),
            None => (
                "records can be written again, and what the policy allows passes".to_owned(),
                "記録を再び書き込めるようになり、ポリシーが許す通信は通過します".to_owned(),
            ),
        };
        Self::of_gate(Origin::Gate(now.0), now, Severity::High, "health", [&english, &japanese])
    }

    /// When it happened, as records write it.
    pub fn time_text(&self) -> String {
        format_time(Timestamp(self.time))
    }

    /// Names it among all alerts of a gate to a receiver: the same when it is sent again.
    pub fn id(&self) -> String {
        match self.origin {
            Origin::Record(seq) => format!("record-{seq}"),
            Origin::Quiet(since) => format!("quiet-{since}"),
            Origin::Surplus(since) => format!("surplus-{since}"),
            Origin::Gate(at) => format!("gate-{at}"),
            Origin::Test(at) => format!("test-{at}"),
        }
    }

    /// What its kind is called.
    pub fn words(&self) -> Words {
        match (&*self.kind, FindingKind::named(&self.kind)) {
            (_, Some(kind)) => kind.in_words(),
            ("gap", None) => ("evidence is missing", "記録の欠落"),
            ("quiet_hours", None) => ("held back in quiet hours", "静穏時間中の通知"),
            ("surplus", None) => ("more than is sent in an hour", "時間あたりの上限を超えた通知"),
            ("test", None) => ("test", "テスト"),
            (_, None) => ("state of the gate", "ゲートの状態"),
        }
    }
}

/// The beginning of a text; what is left out is marked.
pub(super) fn cut(text: &str, bytes_max: usize) -> String {
    match text.get(..text.floor_char_boundary(bytes_max)) {
        Some(kept) if kept.len() < text.len() => format!("{kept}…"),
        _ => text.to_owned(),
    }
}

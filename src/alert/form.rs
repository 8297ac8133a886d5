use std::net::IpAddr;

use serde::Serialize;

use crate::evidence::{Severity, json_text, shown};

use super::message::Alert;
use super::template::Template;

/// How an alert is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Words for a person.
    Text,
    /// The Common Event Format of ArcSight, version 0 (implementation standard, revision 25).
    Cef,
    /// An object.
    Json,
}

/// The whole of it as JSON; what is empty is left out.
#[derive(Serialize)]
struct Body<'a> {
    id: String,
    gate: &'a str,
    time: String,
    severity: &'static str,
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    client: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    device: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    target: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    port: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    finding_id: &'a str,
    english: &'a str,
    japanese: &'a str,
}

fn is_zero(port: &u16) -> bool {
    *port == 0
}

impl Form {
    /// An alert in this form, by a template where there is one: of JSON it is all of it, with values escaped as within quotes;
    /// of CEF the field `msg`. Text may have several lines.
    pub fn write(self, template: Option<&Template>, alert: &Alert, gate: &str) -> String {
        match self {
            Self::Text => text(template, alert, gate),
            Self::Cef => cef(template, alert, gate),
            Self::Json => match template {
                Some(template) => template.fill(alert, gate, quoted),
                None => json(alert, gate),
            },
        }
    }

    /// The same on one line, for receivers that read lines.
    pub fn write_line(self, template: Option<&Template>, alert: &Alert, gate: &str) -> String {
        let written = self.write(template, alert, gate);
        let between = match self {
            Self::Text | Self::Cef => " / ",
            // Within strings there is no line end.
            Self::Json => " ",
        };
        written.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(between)
    }

    /// As HTTP and MIME call it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text | Self::Cef => "text/plain; charset=utf-8",
            Self::Json => "application/json",
        }
    }
}

fn text(template: Option<&Template>, alert: &Alert, gate: &str) -> String {
    if let Some(template) = template {
        return template.fill(alert, gate, lines_shown);
    }
    let (english, japanese) = alert.words();
    let about = [&alert.client, &alert.device, &alert.target].into_iter().filter(|part| !part.is_empty());
    let about: Vec<_> = about.map(|part| shown(part)).collect();
    let about = if about.is_empty() { String::new() } else { format!(": {}", about.join(" ")) };
    let id = if alert.finding_id.is_empty() { String::new() } else { format!(" [{}]", shown(&alert.finding_id)) };
    format!(
        "{} {english}（{japanese}）{about}{id}\n{}\n{}\n{} {}",
        alert.severity.as_str(),
        lines_shown(&alert.english),
        lines_shown(&alert.japanese),
        alert.time_text(),
        shown(gate),
    )
}

/// Text of others in lines, each safe to look at.
fn lines_shown(text: &str) -> String {
    text.split('\n').map(shown).collect::<Vec<_>>().join("\n")
}

fn json(alert: &Alert, gate: &str) -> String {
    let body = Body {
        id: alert.id(),
        gate,
        time: alert.time_text(),
        severity: alert.severity.as_str(),
        kind: &alert.kind,
        client: &alert.client,
        device: &alert.device,
        target: &alert.target,
        port: alert.port,
        finding_id: &alert.finding_id,
        english: &alert.english,
        japanese: &alert.japanese,
    };
    serde_json::to_string(&body).unwrap_or_default()
}

/// As within the quotes of a string of JSON.
fn quoted(text: &str) -> String {
    let mut bytes = Vec::new();
    json_text(text, &mut bytes);
    let quoted = String::from_utf8(bytes).unwrap_or_default();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// Of `msg`, in characters.
const MESSAGE_CHARS_MAX: usize = 1023;
/// Of `cs1` and the others.
const CUSTOM_CHARS_MAX: usize = 4000;

fn cef(template: Option<&Template>, alert: &Alert, gate: &str) -> String {
    let severity = match alert.severity {
        Severity::Low => 3,
        Severity::Medium => 6,
        Severity::High => 9,
    };
    let mut line = format!(
        "CEF:0|Sekisho|Sekisho|{}|{}|{}|{severity}|",
        env!("CARGO_PKG_VERSION"),
        header(&alert.kind),
        header(alert.words().0)
    );
    let message =
        template.map_or_else(|| alert.english.to_string(), |template| template.fill(alert, gate, str::to_owned));
    let mut fields: Vec<(&str, String)> = vec![
        ("rt", (alert.time / 1000).to_string()),
        ("externalId", alert.id()),
        ("cat", alert.kind.to_string()),
        ("dvchost", gate.to_owned()),
    ];
    match alert.client.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => fields.push(("src", alert.client.to_string())),
        Ok(IpAddr::V6(_)) => {
            fields.extend([("c6a2Label", "Source IPv6 Address".to_owned()), ("c6a2", alert.client.to_string())]);
        }
        Err(_) if alert.client.is_empty() => {}
        Err(_) => fields.extend([("cs3Label", "client".to_owned()), ("cs3", alert.client.to_string())]),
    }
    if !alert.device.is_empty() {
        fields.push(("shost", alert.device.to_string()));
    }
    if !alert.target.is_empty() {
        fields.push(("dhost", alert.target.to_string()));
    }
    if alert.port > 0 {
        fields.push(("dpt", alert.port.to_string()));
    }
    if !alert.finding_id.is_empty() {
        fields.extend([("cs2Label", "finding_id".to_owned()), ("cs2", alert.finding_id.to_string())]);
    }
    fields.extend([("cs1Label", "japanese".to_owned()), ("cs1", first(&alert.japanese, CUSTOM_CHARS_MAX))]);
    fields.push(("msg", first(&message, MESSAGE_CHARS_MAX)));
    let written: Vec<_> = fields.iter().map(|(key, value)| format!("{key}={}", extension(value))).collect();
    line.push_str(&written.join(" "));
    line
}

fn first(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

/// A field of the head: `|` and `\` escaped, on one line.
fn header(text: &str) -> String {
    shown(text).replace('\\', "\\\\").replace('|', "\\|")
}

/// A value of the extension: `=` and `\` escaped, line ends as `\n`.
fn extension(text: &str) -> String {
    let escaped = |line: &str| shown(line).replace('\\', "\\\\").replace('=', "\\=");
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\\n")
}

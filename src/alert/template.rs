use crate::evidence::Severity;
use crate::facts::Timestamp;
use crate::parse::{Placed, Section, did_you_mean};

use super::form::Form;
use super::message::{Alert, Origin};

/// Words with placeholders, in which an alert is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Box<str>);

/// What is filled in.
pub const PLACEHOLDERS: [&str; 11] =
    ["severity", "kind", "client", "device", "target", "english", "japanese", "finding_id", "time", "gate", "port"];

/// A longer one is none.
const BYTES_MAX: usize = 4096;

impl Template {
    /// Reads the key; one that names something else than [`PLACEHOLDERS`] is a problem.
    pub fn read(section: &mut Section<'_, '_>, key: &'static str) -> Option<Self> {
        let Placed { value, place } = section.string(key)?;
        if value.trim().is_empty() || value.len() > BYTES_MAX {
            section.problem(
                &place,
                format!("`{key}` is empty, or longer than {BYTES_MAX} bytes"),
                "write what is told",
            );
            return None;
        }
        for name in value.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name) {
            let is_word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if is_word && !PLACEHOLDERS.contains(&name) {
                let fix = did_you_mean(name, PLACEHOLDERS.into_iter())
                    .unwrap_or_else(|| format!("known here: {{{}}}", PLACEHOLDERS.join("}, {")));
                section.problem(&place, format!("`{{{name}}}` is nothing that is filled in"), fix);
            }
        }
        Some(Self(value.into()))
    }

    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether it becomes JSON, whatever is filled in.
    pub fn is_json(&self) -> bool {
        let hostile = "\"\\\n";
        let alert = Alert::of_gate(Origin::Test(0), Timestamp(0), Severity::Low, hostile, [hostile; 2]);
        serde_json::from_str::<serde_json::Value>(&Form::Json.write(Some(self), &alert, hostile)).is_ok()
    }

    /// Fills in an alert, each value escaped. What is filled in is not looked at again.
    pub(super) fn fill(&self, alert: &Alert, gate: &str, escape: impl Fn(&str) -> String) -> String {
        let mut filled = String::new();
        let mut rest = &*self.0;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let value = after.split_once('}').and_then(|(name, behind)| Some((value(alert, gate, name)?, behind)));
            match value {
                Some((value, behind)) => {
                    filled.push_str(&escape(&value));
                    rest = behind;
                }
                None => {
                    filled.push('{');
                    rest = after;
                }
            }
        }
        filled.push_str(rest);
        filled
    }
}

/// What stands for a placeholder.
fn value(alert: &Alert, gate: &str, name: &str) -> Option<String> {
    Some(match name {
        "severity" => alert.severity.as_str().to_owned(),
        "kind" => alert.kind.to_string(),
        "client" => alert.client.to_string(),
        "device" => alert.device.to_string(),
        "target" => alert.target.to_string(),
        "english" => alert.english.to_string(),
        "japanese" => alert.japanese.to_string(),
        "finding_id" => alert.finding_id.to_string(),
        "time" => alert.time_text(),
        "gate" => gate.to_owned(),
        "port" => {
            if alert.port == 0 {
                String::new()
            } else {
                alert.port.to_string()
            }
        }
        _ => return None,
    })
}

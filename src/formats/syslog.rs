//! Lines of firewalls, as syslog brings them (RFC 3164 and RFC 5424): what they let through, stopped or saw end.

mod frames;
mod kernel;
mod pairs;
#[cfg(test)]
mod tests;

use crate::evidence::{FlowKey, FlowSource, FlowState, Seen, Text};

use super::text::latin1;

pub use frames::{FRAME_BYTES_MAX, Frame, Frames};

/// What a line of a firewall told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirewallLine {
    /// Who tried to reach what, and what came of it, as far as the line says.
    Flow(Seen),
    /// Nothing that is known how to read: the line itself, bounded.
    Raw(Seen),
    /// It is empty.
    Nothing,
}

/// Reads one message, with or without its line end; of what is longer than [`FRAME_BYTES_MAX`] no more is looked at. Who
/// sent it, and when, is for the caller to say: what its header says of that anybody could have written.
pub fn read_firewall_line(line: &[u8]) -> FirewallLine {
    let line = line.get(..FRAME_BYTES_MAX).unwrap_or(line).trim_ascii();
    if line.is_empty() {
        return FirewallLine::Nothing;
    }
    let mut kept = String::new();
    let text = std::str::from_utf8(line).unwrap_or_else(|_| latin1(line, &mut kept));
    let message = message(text);
    match kernel::read(message).or_else(|| pairs::read(message)) {
        Some(seen) => FirewallLine::Flow(seen),
        None => {
            let raw = Some(Text::new(line));
            FirewallLine::Raw(FlowKey { raw, ..FlowKey::of(FlowSource::Syslog) }.into())
        }
    }
}

/// What stands behind the header, or all of it where that is none.
fn message(text: &str) -> &str {
    let Some(rest) = behind_priority(text) else { return text };
    match rest.strip_prefix("1 ").and_then(behind_5424) {
        Some(message) => message,
        None => rest,
    }
}

/// Behind `<PRI>`.
fn behind_priority(text: &str) -> Option<&str> {
    let (number, rest) = text.strip_prefix('<')?.split_once('>')?;
    let is_one = (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then_some(rest)
}

/// Behind time, host, program, process, message id and structured data of RFC 5424. Its older sister has no such form to
/// rely on: what is looked for is found behind its header as well.
fn behind_5424(text: &str) -> Option<&str> {
    let mut rest = text;
    for _ in 0..5 {
        rest = rest.split_once(' ')?.1;
    }
    if let Some(message) = rest.strip_prefix('-') {
        return Some(message.trim_start_matches([' ', '\u{feff}']));
    }
    // The data may hold what a firewall has to say: it stays in front of the message.
    rest.starts_with('[').then_some(rest)
}

/// What a firewall calls what it did.
fn state_of(word: &str) -> Option<FlowState> {
    const WORDS: &[(FlowState, &[&str])] = &[
        (FlowState::Reset, &["client-rst", "server-rst", "reset-both", "reset-client", "reset-server", "reset"]),
        (FlowState::Refused, &["reject", "rejected", "refuse", "refused"]),
        (
            FlowState::Dropped,
            &["drop", "dropped", "deny", "denied", "block", "blocked", "discard", "discarded", "ip-conn", "dns"],
        ),
        (FlowState::Closed, &["close", "closed", "timeout", "teardown", "end"]),
        (
            FlowState::Established,
            &["accept", "accepted", "allow", "allowed", "permit", "permitted", "pass", "passed", "start", "built"],
        ),
    ];
    let is_of = |words: &[&str]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
    WORDS.iter().find(|(_, words)| is_of(words)).map(|(state, _)| *state)
}

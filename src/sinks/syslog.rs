use crate::evidence::format_time;

use super::Message;

/// Log audit: RFC 5424 §6.2.1.
const FACILITY: u8 = 13;

/// A message as RFC 5424 has it (§6), in one line of UTF-8 without its end.
pub fn syslog_line(message: Message<'_>) -> String {
    let Message { kind, body, level, gate, now, .. } = message;
    format!(
        "<{}>1 {} {} sekisho {} {} - {body}",
        FACILITY * 8 + level.min(7),
        format_time(now),
        word(gate, 255),
        std::process::id(),
        word(kind, 32)
    )
}

/// With its length in front, as messages follow one another over TCP (RFC 6587 §3.4.1).
pub(super) fn counted(line: &str) -> Vec<u8> {
    format!("{} {line}", line.len()).into_bytes()
}

/// A field of the header: printable US-ASCII, never empty.
fn word(text: &str, bytes_max: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(bytes_max).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

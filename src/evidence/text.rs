use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

use crate::facts::Timestamp;

/// Attacker-chosen text on its way into a record: bounded, and valid UTF-8 whatever it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Text(Box<str>);

/// No field of a record is longer, in bytes of UTF-8.
const TEXT_BYTES_MAX: usize = 1024;

impl Text {
    /// Takes bytes as a peer sent them. Bytes that are not UTF-8 are kept as the Latin-1 characters
    /// of the same numbers; what exceeds 1,024 bytes is cut and its whole length noted.
    pub fn new(bytes: &[u8]) -> Self {
        let latin1: String;
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => cut(text),
            Err(_) => {
                let head = bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes);
                latin1 = head.iter().map(|b| char::from(*b)).collect();
                cut(&latin1)
            }
        };
        if bytes.len() > TEXT_BYTES_MAX {
            return Self(format!("{text}…[{} bytes]", bytes.len()).into());
        }
        Self(text.into())
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

/// RFC 3339 in UTC with six digits of a second.
pub fn format_time(time: Timestamp) -> String {
    let micros = i64::try_from(time.0).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(time) => format!("{time:.6}"),
        Err(_) => "9999-12-31T23:59:59.999999Z".to_owned(),
    }
}

/// A query's keyed hash: 64 bits of BLAKE3 under the gate's own key, in hexadecimal, so that equal
/// queries can be found without the journal holding them.
pub fn query_hash(key: &[u8; 32], query: &str) -> String {
    let hash = blake3::keyed_hash(key, query.as_bytes()).to_hex();
    hash.as_str().get(..16).unwrap_or_default().to_owned()
}

/// Writes JSON whose every character is safe on one line of a terminal.
pub(super) struct SafeFormatter;

impl Formatter for SafeFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|b| b.is_ascii() && b != 0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut utf16 = [0; 2];
        let mut utf8 = [0; 4];
        for character in fragment.chars() {
            if is_unsafe(character) {
                for unit in character.encode_utf16(&mut utf16) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                writer.write_all(character.encode_utf8(&mut utf8).as_bytes())?;
            }
        }
        Ok(())
    }
}

/// Controls, line separators, and everything invisible that reorders or hides text (the bidirectional
/// controls of UAX #9, zero-width characters, tags, variation selectors, the BOM).
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(u32::from(character),
            0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
            | 0xfe00..=0xfe0f | 0xfeff | 0xfff0..=0xfffb | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &Text) -> String {
        let mut out = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, SafeFormatter);
        text.serialize(&mut serializer).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_that_forges_a_line_or_moves_a_cursor_stays_raw() {
        let evil = "a\r\nb\u{1b}[2J\u{2028}\u{202e}\u{7f}\u{9b}\u{feff}\"}";
        let line = json(&evil.into());
        assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), evil);
    }

    #[test]
    fn japanese_stays_readable() {
        assert_eq!(json(&"関所".into()), "\"関所\"");
    }

    #[test]
    fn over_long_text_is_cut_and_says_how_long_it_was() {
        let line = json(&Text::new(&vec![b'a'; 70_000]));
        assert!(line.len() < 1100 && line.contains("[70000 bytes]"));
        assert!(json(&Text::new("あ".repeat(2000).as_bytes())).len() < 1100);
    }

    #[test]
    fn bytes_that_are_no_utf8_are_kept_as_latin_1() {
        assert_eq!(json(&Text::new(b"caf\xe9")), "\"café\"");
    }

    #[test]
    fn times_have_six_digits() {
        assert_eq!(format_time(Timestamp(1_700_000_000_000_001)), "2023-11-14T22:13:20.000001Z");
    }
}

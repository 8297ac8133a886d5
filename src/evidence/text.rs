use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::ser::Formatter;

use crate::facts::Timestamp;

/// Attacker-chosen text on its way into a record: bounded, and valid UTF-8 whatever it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Text(Box<str>);

/// No field of a record is longer, in bytes of UTF-8.
const TEXT_BYTES_MAX: usize = 1024;

impl Text {
    /// Takes bytes as a peer sent them. Bytes that are not UTF-8 are kept as the Latin-1 characters
    /// of the same numbers; what exceeds 1,024 bytes is cut and the length it had on arrival noted.
    pub fn new(bytes: &[u8]) -> Self {
        let latin1: String;
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) => {
                latin1 = bytes.iter().take(TEXT_BYTES_MAX).map(|b| char::from(*b)).collect();
                &latin1
            }
        };
        let kept = cut(text);
        // Latin-1 grows as it becomes UTF-8, so that even what arrived in fewer bytes may be cut.
        if kept.len() < text.len() || bytes.len() > TEXT_BYTES_MAX {
            return Self(format!("{kept}…[{} bytes]", bytes.len()).into());
        }
        Self(kept.into())
    }
}

impl Text {
    /// As it was taken: show it through [`shown`].
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What was cut before is not cut again.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(if text.len() <= TEXT_BYTES_MAX + CUT_BYTES_MAX { Self(text.into()) } else { Self::new(text.as_bytes()) })
    }
}

/// The longest mark of a cut.
const CUT_BYTES_MAX: usize = 40;

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
    if time.0 < YEAR_9999 {
        return calendar(time.0);
    }
    let micros = i64::try_from(time.0).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(time) => format!("{time:.6}"),
        Err(_) => TIME_MAX.to_owned(),
    }
}

/// When that year begins, in microseconds: the last of four digits.
const YEAR_9999: u64 = 253_370_764_800_000_000;

/// A time before that year. Every record has one, and the general way takes several times as long.
fn calendar(micros: u64) -> String {
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // The date of a day since 1970-01-01, with years that begin in March (Hinnant, chrono-compatible date algorithms, 2013).
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + 400 * era + u64::from(month <= 2);
    let mut text = String::with_capacity(27);
    for (number, digits, mark) in [
        (year, 4, '-'),
        (month, 2, '-'),
        (day, 2, 'T'),
        (of_day / 3_600, 2, ':'),
        (of_day / 60 % 60, 2, ':'),
        (of_day % 60, 2, '.'),
        (micros, 6, 'Z'),
    ] {
        let mut place = 10_u64.pow(digits - 1);
        while place > 0 {
            text.push(digit(number / place));
            place /= 10;
        }
        text.push(mark);
    }
    text
}

/// The last decimal digit of a number.
fn digit(number: u64) -> char {
    char::from(b'0' + (number % 10) as u8)
}

/// An address as a record has it: the same as its `Display`, whose width and fill cost more than the digits.
pub fn address_text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity(21);
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        push_number(&mut text, u64::from(octet));
    }
    text
}

/// The same with a port behind it.
pub fn address_and_port(address: SocketAddr) -> String {
    if address.is_ipv6() {
        return address.to_string();
    }
    let mut text = address_text(address.ip());
    text.push(':');
    push_number(&mut text, u64::from(address.port()));
    text
}

fn push_number(text: &mut String, number: u64) {
    let mut place = 1;
    while number / place >= 10 {
        place *= 10;
    }
    while place > 0 {
        text.push(digit(number / place));
        place /= 10;
    }
}

/// What is written for any time beyond what a clock can show.
const TIME_MAX: &str = "9999-12-31T23:59:59.999999Z";

/// The moment that [`format_time`] wrote, or anybody else by RFC 3339, in any zone; `None` for anything else,
/// and for what is before 1970.
pub fn read_time(text: &str) -> Option<Timestamp> {
    if text == TIME_MAX {
        return Some(Timestamp(i64::MAX.unsigned_abs()));
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_microsecond()).ok().map(Timestamp)
}

/// The time as a record holds it: what is beyond any that a clock can show is the one that is read back for that.
pub fn recorded_time(time: Timestamp) -> Timestamp {
    let shows = i64::try_from(time.0).is_ok_and(|micros| jiff::Timestamp::from_microsecond(micros).is_ok());
    if shows { time } else { Timestamp(i64::MAX.unsigned_abs()) }
}

/// The same to the second, for names of files: `20261125T014640Z`.
pub fn compact_time(time: Timestamp) -> String {
    format_time(time).chars().take(19).filter(|c| c.is_ascii_digit() || *c == 'T').chain(['Z']).collect()
}

/// The moment that [`compact_time`] wrote; `None` for anything else.
pub fn read_compact_time(text: &str) -> Option<Timestamp> {
    let read = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    let time = read.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    u64::try_from(time.as_microsecond()).ok().map(Timestamp).filter(|time| compact_time(*time) == text)
}

/// A query's keyed hash: 64 bits of BLAKE3 under the gate's own key, in hexadecimal, so that equal
/// queries can be found without the journal holding them.
pub fn query_hash(key: &[u8; 32], query: &str) -> String {
    let hash = blake3::keyed_hash(key, query.as_bytes()).to_hex();
    hash.as_str().get(..16).unwrap_or_default().to_owned()
}

/// Text of others for eyes: characters that would end a line, move a cursor, reorder or hide text are
/// written as `\u{…}`.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Appends text as a string of JSON, on one line, whose every character is safe on a terminal.
pub fn json_text(text: &str, into: &mut Vec<u8>) {
    let mut serializer = serde_json::Serializer::with_formatter(into, SafeFormatter);
    text.serialize(&mut serializer).expect("writing to memory cannot fail");
}

/// Writes JSON whose every character is safe on one line of a terminal.
pub(super) struct SafeFormatter;

impl Formatter for SafeFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.is_ascii() && !fragment.as_bytes().contains(&0x7f) {
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

/// Controls, line separators, and everything invisible that reorders or hides text: the bidirectional
/// controls of UAX #9, interlinear annotations, and the code points that Unicode has marked
/// `Default_Ignorable_Code_Point` (zero-width characters, fillers, tags, variation selectors, the BOM).
pub(super) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(u32::from(character),
            0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
            | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
            | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_is_written_as_the_calendar_has_it(micros in 0..YEAR_9999) {
            let time = jiff::Timestamp::from_microsecond(micros as i64).unwrap();
            prop_assert_eq!(format_time(Timestamp(micros)), format!("{time:.6}"));
        }

        #[test]
        fn an_address_is_written_as_everybody_writes_it(address: SocketAddr) {
            prop_assert_eq!(address_and_port(address), address.to_string());
            prop_assert_eq!(address_text(address.ip()), address.ip().to_string());
        }
    }

    #[test]
    fn each_day_of_a_whole_cycle_of_leap_years_is_written_as_the_calendar_has_it() {
        let mut date = jiff::civil::date(1970, 1, 1);
        for day in 0..146_097 {
            let written = calendar(day * 86_400_000_000);
            assert_eq!(written.get(..10), Some(&*date.to_string()), "{day}");
            date = date.tomorrow().unwrap();
        }
        assert_eq!(calendar(YEAR_9999 - 1), "9998-12-31T23:59:59.999999Z");
    }

    #[test]
    fn a_time_comes_back_as_a_record_holds_it() {
        for time in
            [0, 1_795_510_800_123_456, 253_402_207_199_999_999, 253_402_400_000_000_000, i64::MAX as u64, u64::MAX]
        {
            let held = recorded_time(Timestamp(time));
            assert_eq!(read_time(&format_time(held)), Some(held), "{time}");
            assert_eq!(read_time(&format_time(Timestamp(time))), Some(held), "{time}");
        }
        assert_eq!(recorded_time(Timestamp(1_795_510_800_123_456)), Timestamp(1_795_510_800_123_456));
    }

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
    fn latin_1_that_outgrows_its_room_as_utf_8_says_that_it_was_cut() {
        assert_eq!(json(&Text::new(&[0xe9; 512])).chars().count(), 2 + 512);
        let line = json(&Text::new(&[0xe9; 513]));
        assert!(line.contains("…[513 bytes]"), "{line}");
    }

    #[test]
    fn nothing_that_nobody_sees_stays_raw() {
        // Fillers that look like nothing, joiners, variation selectors, format controls of scripts.
        for unseen in
            "\u{34f}\u{115f}\u{1160}\u{17b4}\u{180b}\u{180f}\u{3164}\u{ffa0}\u{1bca0}\u{1d173}\u{e0100}".chars()
        {
            let line = json(&unseen.to_string().as_str().into());
            assert!(line.is_ascii(), "{}", line.escape_unicode());
        }
        for seen in "\u{ac}\u{350}\u{1161}\u{17b6}\u{1810}\u{3163}\u{ffa1}\u{1d172}".chars() {
            assert_eq!(json(&seen.to_string().as_str().into()), format!("\"{seen}\""));
        }
    }

    #[test]
    fn what_is_shown_moves_no_cursor_and_plain_text_is_as_it_was() {
        assert_eq!(shown("a\u{1b}[2J\r\n\u{202e}b"), "a\\u{1b}[2J\\u{d}\\u{a}\\u{202e}b");
        assert!(matches!(shown("関所 a\\b"), Cow::Borrowed("関所 a\\b")));
    }

    #[test]
    fn a_time_that_was_written_is_read_back() {
        for time in [0, 1_700_000_000_000_001, 253_402_207_200_000_000 - 1, i64::MAX.unsigned_abs()] {
            assert_eq!(read_time(&format_time(Timestamp(time))), Some(Timestamp(time)), "{time}");
        }
        assert_eq!(read_time("1970-01-01T09:00:01+09:00"), Some(Timestamp(1_000_000)));
        for text in ["", "1969-12-31T23:59:59Z", "2026-11-25", "2026-11-25T01:00:00", "2026-02-30T01:00:00Z"] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }

    #[test]
    fn times_have_six_digits() {
        assert_eq!(format_time(Timestamp(1_700_000_000_000_001)), "2023-11-14T22:13:20.000001Z");
    }
}

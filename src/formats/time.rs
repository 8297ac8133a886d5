use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::evidence::read_time;
use crate::facts::Timestamp;

use super::text::split;

/// A time zone as a line of a log says it: minutes east of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(pub i16);

/// The time zones that times were in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zones {
    seen: Vec<Zone>,
    more: bool,
}

/// No log of one place has more: summer and winter, before and after a move.
const ZONES_MAX: usize = 8;
/// The end of the year 9999.
const SECONDS_MAX: u64 = 253_402_300_799;
/// Beyond this, in seconds the year 5138, a number counts milliseconds.
const MILLISECONDS_MIN: f64 = 1e11;

impl Zone {
    pub const UTC: Self = Self(0);

    /// Reads `+0900` and `+09:00`.
    fn parse(text: &str) -> Option<Self> {
        let (sign, hours, minutes) = match text.as_bytes() {
            [sign, a, b, c, d] | [sign, a, b, b':', c, d] => (sign, two(*a, *b)?, two(*c, *d)?),
            _ => return None,
        };
        let east = i16::from(hours) * 60 + i16::from(minutes);
        match sign {
            _ if hours > 18 || minutes > 59 => None,
            b'+' => Some(Self(east)),
            b'-' => Some(Self(-east)),
            _ => None,
        }
    }
}

/// `UTC`, or as in `+09:00`.
impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, east) = (if self.0 < 0 { '-' } else { '+' }, self.0.unsigned_abs());
        if east == 0 {
            return f.write_str("UTC");
        }
        write!(f, "{sign}{:02}:{:02}", east / 60, east % 60)
    }
}

impl Zones {
    /// In the order in which they were seen first, at most eight.
    pub fn seen(&self) -> &[Zone] {
        &self.seen
    }

    /// Whether there were more than eight.
    pub fn more(&self) -> bool {
        self.more
    }

    pub(super) fn note(&mut self, zone: Zone) {
        if self.seen.contains(&zone) {
            return;
        }
        if self.seen.len() < ZONES_MAX {
            self.seen.push(zone);
        } else {
            self.more = true;
        }
    }
}

/// Seconds since 1970 with any number of decimals, of which six count. In microseconds.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = split(text, b'.').unwrap_or((text, ""));
    if whole.is_empty() || whole.len() > 12 || fraction.len() > 32 {
        return None;
    }
    let mut micros = digits(whole.as_bytes())?;
    let (kept, cut) = fraction.as_bytes().split_at(fraction.len().min(6));
    digits(cut.get(..cut.len().min(12))?)?;
    for _ in 0..6 {
        micros *= 10;
    }
    let scale = 10_u64.pow(6 - u32::try_from(kept.len()).ok()?);
    micros += digits(kept)? * scale;
    (micros <= SECONDS_MAX * 1_000_000).then_some(micros)
}

/// At most twelve digits.
fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

/// A number of JSON as microseconds: seconds since 1970 or, since no log is of the year 5138, milliseconds.
pub(super) fn number(number: f64) -> Option<Timestamp> {
    let micros = if number >= MILLISECONDS_MIN { number * 1e3 } else { number * 1e6 };
    microseconds(micros).map(Timestamp)
}

/// What is between 1970 and 9999.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was compared before")]
pub(super) fn microseconds(micros: f64) -> Option<u64> {
    let rounded = micros.round();
    (0.0..=2.5e17).contains(&rounded).then_some(rounded as u64)
}

/// A date of RFC 3339, and its zone.
pub(super) fn iso(text: &str) -> Option<(Timestamp, Zone)> {
    let time = read_time(text)?;
    let tail = text.len().checked_sub(6).and_then(|at| text.get(at..));
    Some((time, tail.and_then(Zone::parse).unwrap_or(Zone::UTC)))
}

/// The date of NCSA's formats: `25/Nov/2026:10:01:02 +0900`.
pub(super) fn ncsa(text: &str) -> Option<(Timestamp, Zone)> {
    let &[a, b, b'/', x, y, z, b'/', ref year @ .., b':', c, d, b':', e, f, b':', g, h] = text.get(..20)?.as_bytes()
    else {
        return None;
    };
    let zone = Zone::parse(text.get(20..)?.strip_prefix(' ')?)?;
    let month = 1 + MONTHS.iter().position(|month| **month == [x, y, z])?;
    let year = i16::try_from(digits(year)?).ok()?;
    // A leap second is the last one of its minute, for a clock that knows none.
    let second = two(g, h)?.min(59);
    let small = |two: u8| i8::try_from(two).ok();
    let (day, hour, minute) = (small(two(a, b)?)?, small(two(c, d)?)?, small(two(e, f)?)?);
    let local = DateTime::new(year, i8::try_from(month).ok()?, day, hour, minute, small(second)?, 0).ok()?;
    let time = Offset::from_seconds(i32::from(zone.0) * 60).ok()?.to_timestamp(local).ok()?;
    Some((Timestamp(u64::try_from(time.as_microsecond()).ok()?), zone))
}

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

fn two(high: u8, low: u8) -> Option<u8> {
    (high.is_ascii_digit() && low.is_ascii_digit()).then(|| (high - b'0') * 10 + (low - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_six_decimals_that_count() {
        for (text, micros) in [
            ("0", 0),
            ("1795510800", 1_795_510_800_000_000),
            ("1795510800.1", 1_795_510_800_100_000),
            ("1795510800.123456", 1_795_510_800_123_456),
            ("1795510800.123456999", 1_795_510_800_123_456),
            ("253402300799.0", 253_402_300_799_000_000),
        ] {
            assert_eq!(seconds(text), Some(micros), "{text}");
        }
        for text in
            ["", ".5", "-1", "+1", "1e9", " 1", "1.2.3", "1.12345678x", "253402300800", "9999999999999", "１", "1.é"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_seconds_or_milliseconds() {
        assert_eq!(number(1_795_510_800.123_456), Some(Timestamp(1_795_510_800_123_456)));
        assert_eq!(number(1_795_510_800_123.0), Some(Timestamp(1_795_510_800_123_000)));
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_date_is_taken_in_the_zone_that_it_names() {
        let nine = Timestamp(1_795_568_462_000_000);
        assert_eq!(ncsa("25/Nov/2026:10:01:02 +0900"), Some((nine, Zone(540))));
        assert_eq!(ncsa("25/Nov/2026:01:01:02 +0000"), Some((nine, Zone::UTC)));
        assert_eq!(ncsa("24/Nov/2026:21:31:02 -0330"), Some((nine, Zone(-210))));
        assert_eq!(ncsa("31/Dec/2016:23:59:60 +0000").map(|(time, _)| time), Some(Timestamp(1_483_228_799_000_000)));
        for text in [
            "",
            "25/Nov/2026:10:01:02",
            "25/Nov/2026:10:01:02 JST",
            "25/Nov/2026:10:01:02 +9900",
            "30/Feb/2026:10:01:02 +0900",
            "25/nov/2026:10:01:02 +0900",
            "25/Nov/2026:25:01:02 +0900",
            "01/Jan/1970:00:00:00 +0900",
            "25/Nov/２0:10:01:02 +0900",
        ] {
            assert_eq!(ncsa(text), None, "{text}");
        }
        assert_eq!(iso("2026-11-25T01:01:02.5Z"), Some((Timestamp(1_795_568_462_500_000), Zone::UTC)));
        assert_eq!(iso("2026-11-25T10:01:02+09:00"), Some((nine, Zone(540))));
        assert_eq!(iso("2026-11-25T10:01:02"), None, "in no zone");
    }

    #[test]
    fn zones_are_kept_once_each_and_are_bounded() {
        let mut zones = Zones::default();
        for zone in [540, 540, 0, 540] {
            zones.note(Zone(zone));
        }
        assert_eq!((zones.seen(), zones.more()), (&[Zone(540), Zone(0)][..], false));
        (0..99).for_each(|zone| zones.note(Zone(zone)));
        assert_eq!((zones.seen().len(), zones.more()), (8, true));
        assert_eq!([Zone(0), Zone(540), Zone(-210)].map(|zone| zone.to_string()), ["UTC", "+09:00", "-03:30"]);
    }
}

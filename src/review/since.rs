use std::str::FromStr;

use crate::evidence::read_time;
use crate::facts::Timestamp;

use super::questions::read_span;

/// From when on records count, as a person says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// A moment.
    At(Timestamp),
    /// So many microseconds before now.
    Ago(u64),
}

/// It is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a day (2026-11-01, from midnight UTC), a time (2026-11-01T08:00:00+09:00), or how long ago (7d, 12h, 30m)"
)]
pub struct BadSince;

impl Since {
    /// The moment that is meant, now being `now`. What is before 1970 is 1970.
    pub fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Since::At(time) => time,
            Since::Ago(micros) => Timestamp(now.0.saturating_sub(micros)),
        }
    }
}

impl FromStr for Since {
    type Err = BadSince;

    fn from_str(text: &str) -> Result<Self, BadSince> {
        if let Some(ago) = read_span(text) {
            return Ok(Since::Ago(ago));
        }
        let is_day = text.len() == "2026-11-01".len();
        let time = if is_day { read_time(&format!("{text}T00:00:00Z")) } else { read_time(text) };
        time.map(Since::At).ok_or(BadSince)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_a_time_and_how_long_ago_are_understood() {
        const DAY: u64 = 86_400_000_000;
        let now = Timestamp(1_795_510_800_000_000);
        for (text, expected) in [
            ("1970-01-02", DAY),
            ("1970-01-02T09:00:00+09:00", DAY),
            ("1970-01-02T00:00:00.5Z", DAY + 500_000),
            ("7d", now.0 - 7 * DAY),
            ("12h", now.0 - DAY / 2),
            ("30m", now.0 - DAY / 48),
            ("0d", now.0),
            ("999999d", 0),
        ] {
            assert_eq!(text.parse::<Since>().map(|since| since.before(now)), Ok(Timestamp(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_near_to_a_time_and_is_none_is_refused() {
        for text in [
            "",
            "d",
            "7",
            "7 d",
            "+7d",
            "-7d",
            "7w",
            "7D",
            "七d",
            "2026-13-01",
            "2026-11-1",
            "2026-11-01T08:00",
            "99999999999999999999d",
            "1969-12-31",
        ] {
            assert_eq!(text.parse::<Since>(), Err(BadSince), "{text}");
        }
    }
}

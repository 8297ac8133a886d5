use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::evidence::read_time;
use crate::facts::Timestamp;

/// A moment as a person says it, in the zone of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// With an offset, so that no zone is needed.
    At(Timestamp),
    /// So many microseconds before now.
    Ago(u64),
    /// When a day begins.
    Day(Date),
    /// When the day begins that is so many days before today.
    DaysBefore(i32),
}

/// It is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a day (2026-11-01, today, yesterday), a time (2026-11-01T08:00:00+09:00), or how long ago (7d, 12h, 30m)"
)]
pub struct BadMoment;

impl Moment {
    /// The moment that is meant, now being `now`. What is before 1970 is 1970.
    pub fn in_zone(self, zone: &TimeZone, now: Timestamp) -> Timestamp {
        let midnight = |day: Date| {
            let begins = day.to_zoned(zone.clone()).map_or(0, |begins| begins.timestamp().as_microsecond());
            Timestamp(begins.max(0).unsigned_abs())
        };
        match self {
            Moment::At(time) => time,
            Moment::Ago(micros) => Timestamp(now.0.saturating_sub(micros)),
            Moment::Day(day) => midnight(day),
            Moment::DaysBefore(days) => {
                let micros = i64::try_from(now.0).unwrap_or(i64::MAX);
                let today = jiff::Timestamp::from_microsecond(micros).map(|now| now.to_zoned(zone.clone()).date());
                let day = today.and_then(|today| today.checked_sub(jiff::Span::new().days(days)));
                day.map_or(Timestamp(0), midnight)
            }
        }
    }
}

impl FromStr for Moment {
    type Err = BadMoment;

    fn from_str(text: &str) -> Result<Self, BadMoment> {
        match text {
            "today" => return Ok(Moment::DaysBefore(0)),
            "yesterday" => return Ok(Moment::DaysBefore(1)),
            "now" => return Ok(Moment::Ago(0)),
            _ => {}
        }
        if let Some(micros) = read_span(text) {
            return Ok(Moment::Ago(micros));
        }
        if text.len() == "2026-11-01".len() {
            let day: Date = text.parse().map_err(|_| BadMoment)?;
            return if day.year() < 1970 { Err(BadMoment) } else { Ok(Moment::Day(day)) };
        }
        read_time(text).map(Moment::At).ok_or(BadMoment)
    }
}

/// `7d`, `12h`, `30m` or `10s` in microseconds.
pub fn read_span(text: &str) -> Option<u64> {
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: u64 = match unit {
        "d" => 86_400,
        "h" => 3600,
        "m" => 60,
        "s" => 1,
        _ => return None,
    };
    let count: u64 = count.bytes().all(|byte| byte.is_ascii_digit()).then(|| count.parse().ok())??;
    count.checked_mul(seconds)?.checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_of_the_zone_also_where_the_clock_is_changed() {
        let now = Timestamp(1_795_568_400_000_000); // 2026-11-25T01:00:00Z
        for (text, zone, expected) in [
            ("2026-11-25", "UTC", "2026-11-25T00:00:00Z"),
            ("2026-11-25", "Asia/Tokyo", "2026-11-24T15:00:00Z"),
            ("today", "Asia/Tokyo", "2026-11-24T15:00:00Z"),
            ("today", "America/New_York", "2026-11-24T05:00:00Z"),
            ("yesterday", "Asia/Tokyo", "2026-11-23T15:00:00Z"),
            ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00Z"),
            ("2026-03-30", "Europe/Berlin", "2026-03-29T22:00:00Z"),
            ("1970-01-01", "Asia/Tokyo", "1970-01-01T00:00:00Z"),
            ("2026-11-01T08:00:00+09:00", "UTC", "2026-10-31T23:00:00Z"),
            ("90s", "Asia/Tokyo", "2026-11-25T00:58:30Z"),
        ] {
            let zone = TimeZone::get(zone).unwrap();
            let meant = text.parse::<Moment>().map(|moment| moment.in_zone(&zone, now));
            assert_eq!(meant.ok(), read_time(expected), "{text}");
        }
    }

    #[test]
    fn what_is_near_to_a_moment_and_is_none_is_refused() {
        for text in ["", "d", "7", "+7d", "-7d", "7w", "七d", "2026-13-01", "2026-11-1", "1969-12-31", "tomorrow"] {
            assert_eq!(text.parse::<Moment>(), Err(BadMoment), "{text}");
        }
        assert_eq!(read_span("99999999999999999999d"), None);
    }
}

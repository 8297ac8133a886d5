use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// The hours of this network, by its time zone.
#[derive(Debug)]
pub(super) struct LocalClock {
    zone: TimeZone,
    /// The quarter of an hour that was asked for last, and how far local time is ahead in it, in seconds. Offsets change at
    /// quarters only.
    last: Option<(u64, i64)>,
}

/// A time as people there have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Local {
    /// Days since 1970-01-01.
    pub day: i64,
    /// 0 to 23.
    pub hour: u8,
    /// 0 is Monday.
    pub weekday: u8,
}

/// In microseconds.
const QUARTER: u64 = 15 * 60 * 1_000_000;
const DAY_SECONDS: i64 = 86_400;
/// Night, by the hour; the second is not in it any more.
const NIGHT: (u8, u8) = (22, 6);

impl LocalClock {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, last: None }
    }

    pub(super) fn utc() -> Self {
        Self::new(TimeZone::UTC)
    }

    /// Of a time in microseconds since 1970.
    pub(super) fn of(&mut self, time: u64) -> Local {
        let quarter = time / QUARTER;
        let ahead = match self.last {
            Some((last, ahead)) if last == quarter => ahead,
            _ => {
                let utc = i64::try_from(time).ok().and_then(|time| Timestamp::from_microsecond(time).ok());
                let ahead = utc.map_or(0, |utc| i64::from(self.zone.to_offset(utc).seconds()));
                self.last = Some((quarter, ahead));
                ahead
            }
        };
        let seconds = i64::try_from(time / 1_000_000).unwrap_or(i64::MAX).saturating_add(ahead);
        let day = seconds.div_euclid(DAY_SECONDS);
        Local {
            day,
            hour: (seconds.rem_euclid(DAY_SECONDS) / 3_600) as u8,
            // 1970-01-01 was a Thursday.
            weekday: (day + 3).rem_euclid(7) as u8,
        }
    }
}

impl Local {
    /// 0 to 167, from Monday's midnight on.
    pub(super) fn hour_of_week(self) -> usize {
        usize::from(self.weekday) * 24 + usize::from(self.hour)
    }

    pub(super) fn is_night(self) -> bool {
        self.hour >= NIGHT.0 || self.hour < NIGHT.1
    }

    /// Saturday or Sunday.
    pub(super) fn is_weekend(self) -> bool {
        self.weekday >= 5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_those_of_the_zone_also_when_clocks_change() {
        let local = |zone: &str, time: &str| {
            let time: Timestamp = time.parse().unwrap();
            LocalClock::new(TimeZone::get(zone).unwrap()).of(time.as_microsecond() as u64)
        };
        let tokyo = local("Asia/Tokyo", "2026-11-25T16:41:00Z");
        assert_eq!((tokyo.hour, tokyo.weekday, tokyo.hour_of_week()), (1, 3, 73), "Thursday, 01:41");
        assert!(tokyo.is_night() && !tokyo.is_weekend());
        // Clocks went from 02:00 to 03:00.
        assert_eq!(local("Europe/Berlin", "2026-03-29T00:59:59Z").hour, 1);
        assert_eq!(local("Europe/Berlin", "2026-03-29T01:00:00Z").hour, 3);
        assert!(local("Europe/Berlin", "2026-03-29T12:00:00Z").is_weekend());
    }

    #[test]
    fn one_clock_answers_for_all_times() {
        let mut clock = LocalClock::new(TimeZone::get("Europe/Berlin").unwrap());
        let hours: Vec<u8> = [0, 3_600, 1_800, 0].map(|second| clock.of(second * 1_000_000).hour).into();
        assert_eq!(hours, [1, 2, 1, 1]);
        clock.of(u64::MAX);
    }
}

//! When a rule holds: hours of the week in a time zone, holidays, and the last day of an exception.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::facts::Timestamp;
use crate::parse::{Place, Placed, Section};

/// The time zone and the holidays of a policy.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    zone: TimeZone,
    /// Sorted.
    holidays: Box<[Date]>,
}

/// Hours of a rule: it holds within any of the spans.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hours {
    spans: Box<[Span]>,
}

/// On days of these, from the one minute on and up to the other, which may lie on the next day.
#[derive(Debug, PartialEq, Eq)]
struct Span {
    /// Monday first.
    weekdays: [bool; 7],
    holidays: bool,
    from_minute: u16,
    /// More than a day's minutes where it ends on the next day.
    to_minute: u16,
}

/// The last day of an exception.
#[derive(Debug, Clone)]
pub(super) struct Until {
    /// The first moment at which it does not hold any more.
    end: Timestamp,
    /// As the policy writes it.
    pub(super) written: Box<str>,
}

const DAY_MINUTES: u16 = 24 * 60;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// The word for the days of the calendar's file.
const HOLIDAYS: &str = "holidays";
/// Nobody keeps a list of holidays for longer than some decades.
const HOLIDAYS_MAX: usize = 4096;

impl Calendar {
    /// The calendar of a time zone by its IANA name, with no holidays.
    pub(super) fn of_zone(name: &str) -> Option<Self> {
        let zone = TimeZone::get(name).ok()?;
        Some(Self { zone, holidays: Box::default() })
    }

    /// Takes the days of a holidays file: one date a line, `2026-01-01`, with `#` comments. Says which lines are
    /// none.
    pub(super) fn read_holidays(&mut self, text: &str) -> Result<(), String> {
        let mut days = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let day = line.parse::<Date>().map_err(|_| format!("line {} is no date like 2026-01-01", index + 1))?;
            if days.len() == HOLIDAYS_MAX {
                return Err(format!("it has more than {HOLIDAYS_MAX} days"));
            }
            days.push(day);
        }
        days.sort_unstable();
        self.holidays = days.into();
        Ok(())
    }

    pub(super) fn has_holidays(&self) -> bool {
        !self.holidays.is_empty()
    }

    /// The date and time on its clocks. Needs no memory.
    fn civil(&self, now: Timestamp) -> DateTime {
        let micros = i64::try_from(now.0).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
        self.zone.to_datetime(time)
    }

    fn is_holiday(&self, date: Date) -> bool {
        self.holidays.binary_search(&date).is_ok()
    }

    /// The first moment after this day.
    fn end_of(&self, date: Date) -> Option<Timestamp> {
        let end = self.zone.to_ambiguous_timestamp(date.tomorrow().ok()?.to_datetime(jiff::civil::Time::midnight()));
        let end = end.compatible().ok()?;
        u64::try_from(end.as_microsecond()).ok().map(Timestamp)
    }
}

impl Hours {
    /// Reads `"Mon-Fri 07:00-20:00"` or a list of such; what is none is reported.
    pub(super) fn read(section: &Section<'_, '_>, texts: &[Placed<String>], calendar: Option<&Calendar>) -> Self {
        let spans = texts.iter().filter_map(|text| match read_span(&text.value) {
            Ok(span) => {
                if span.holidays && calendar.is_some_and(|calendar| !calendar.has_holidays()) {
                    let fix = "add `holidays` to [calendar], a file of one date a line";
                    section.problem(&text.place, "`holidays` is no day: the calendar has none", fix);
                }
                Some(span)
            }
            Err(why) => {
                let what = format!("`{}` is no time of the week: {why}", text.value);
                section.problem(&text.place, what, "write it like \"Mon-Fri 07:00-20:00\" or \"Sat,Sun 22:00-06:00\"");
                None
            }
        });
        Self { spans: spans.collect() }
    }

    /// Whether this moment is within them.
    pub(super) fn hold(&self, calendar: &Calendar, now: Timestamp) -> bool {
        let civil = calendar.civil(now);
        let (date, time) = (civil.date(), civil.time());
        let minute = u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).unwrap_or_default();
        let yesterday = date.yesterday().ok();
        self.spans.iter().any(|span| {
            (span.has(date, calendar) && span.covers(minute))
                || yesterday.is_some_and(|date| span.has(date, calendar) && span.covers(minute + DAY_MINUTES))
        })
    }
}

impl Span {
    /// A weekday is none of its weekdays while it is a holiday.
    fn has(&self, date: Date, calendar: &Calendar) -> bool {
        if calendar.is_holiday(date) {
            return self.holidays;
        }
        let index = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or_default();
        self.weekdays.get(index).copied().unwrap_or_default()
    }

    fn covers(&self, minute: u16) -> bool {
        (self.from_minute..self.to_minute).contains(&minute)
    }
}

impl Until {
    /// Reads the last day on which a rule holds, by the calendar's clocks.
    pub(super) fn read(text: &str, calendar: &Calendar) -> Option<Self> {
        let end = calendar.end_of(text.parse().ok()?)?;
        Some(Self { end, written: text.into() })
    }

    pub(super) fn holds(&self, now: Timestamp) -> bool {
        now < self.end
    }

    /// The first moment at which it does not hold any more.
    pub(super) fn end(&self) -> Timestamp {
        self.end
    }
}

/// The calendar of the file, and where it stands.
pub(super) fn read_calendar(
    root: &mut Section<'_, '_>,
    mut read: impl FnMut(&str) -> Result<String, String>,
) -> Option<Placed<Calendar>> {
    let mut section = root.table("calendar")?;
    let place = section.place().clone();
    let zone = section.string("time_zone");
    let holidays = section.string("holidays");
    section.need_some("time_zone", "\"Asia/Tokyo\"");
    section.finish();
    // Where its zone has a problem the policy is refused, and no rule with hours is told to want a calendar.
    let mut calendar = Calendar { zone: TimeZone::UTC, holidays: Box::default() };
    if let Some(zone) = zone {
        match Calendar::of_zone(&zone.value) {
            Some(of_zone) => calendar = of_zone,
            None => {
                let what = format!("there is no time zone `{}`", zone.value);
                let fix = "write an IANA name like \"Asia/Tokyo\", \"Europe/Berlin\" or \"UTC\"";
                section.problem(&zone.place, what, fix);
            }
        }
    }
    if let Some(file) = holidays {
        let taken = read(&file.value).and_then(|text| calendar.read_holidays(&text));
        if let Err(why) = taken {
            let what = format!("the holidays of `{}` cannot be used: {why}", file.value);
            section.problem(&file.place, what, "name a file beside this one, with one date a line, like 2026-01-01");
        }
    }
    Some(Placed { value: calendar, place })
}

/// Says that the rule names a time, and no calendar says by which clocks.
pub(super) fn need_calendar(section: &Section<'_, '_>, place: &Place, key: &str) {
    section.problem(
        place,
        format!("`{key}` says a time, and the policy does not say by which clocks"),
        "add [calendar] with time_zone = \"Asia/Tokyo\"",
    );
}

fn read_span(text: &str) -> Result<Span, &'static str> {
    let (days, hours) = text.trim().rsplit_once(' ').ok_or("it has days and hours with a space between")?;
    let mut span = Span { weekdays: [false; 7], holidays: false, from_minute: 0, to_minute: 0 };
    for part in days.split(',').map(str::trim) {
        if part == HOLIDAYS {
            span.holidays = true;
            continue;
        }
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (weekday(first)?, weekday(last)?);
        let mut day = first;
        loop {
            if let Some(has) = span.weekdays.get_mut(day) {
                *has = true;
            }
            if day == last {
                break;
            }
            day = (day + 1) % 7;
        }
    }
    let (from, to) = hours.split_once('-').ok_or("its hours have a beginning and an end")?;
    (span.from_minute, span.to_minute) = (minute(from)?, minute(to)?);
    if span.from_minute == DAY_MINUTES || span.from_minute == span.to_minute {
        return Err("its hours begin before they end; a whole day is 00:00-24:00");
    }
    if span.to_minute < span.from_minute {
        span.to_minute += DAY_MINUTES;
    }
    Ok(span)
}

fn weekday(text: &str) -> Result<usize, &'static str> {
    DAYS.iter().position(|day| *day == text).ok_or("days are Mon, Tue, Wed, Thu, Fri, Sat, Sun and holidays")
}

/// `07:00` and `24:00`, always of four digits.
fn minute(text: &str) -> Result<u16, &'static str> {
    const WRONG: &str = "hours are written 00:00 to 24:00";
    let (hours, minutes) = text.split_once(':').ok_or(WRONG)?;
    let number = |text: &str| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| plain).ok_or(WRONG)
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let all = hours * 60 + minutes;
    if minutes < 60 && all <= DAY_MINUTES { Ok(all) } else { Err(WRONG) }
}

#[cfg(test)]
mod tests {
    use jiff::civil::Weekday;

    use super::*;

    fn calendar() -> Calendar {
        let mut calendar = Calendar::of_zone("Asia/Tokyo").unwrap();
        calendar.read_holidays("# national\n2026-11-23  # labour\n\n2026-01-01\n").unwrap();
        calendar
    }

    /// By the clocks of Tokyo.
    fn at(text: &str) -> Timestamp {
        let civil: DateTime = text.parse().unwrap();
        let time = civil.to_zoned(TimeZone::get("Asia/Tokyo").unwrap()).unwrap().timestamp();
        Timestamp(u64::try_from(time.as_microsecond()).unwrap())
    }

    fn hold(written: &str, time: &str) -> bool {
        let spans = written.split(" | ").map(|span| read_span(span).unwrap()).collect();
        Hours { spans }.hold(&calendar(), at(time))
    }

    #[test]
    fn hours_hold_from_their_first_minute_to_before_their_end() {
        // 2026-11-25 is a Wednesday.
        for (written, yes, no) in [
            ("Mon-Fri 07:00-20:00", "2026-11-25T07:00:00", "2026-11-25T06:59:59"),
            ("Mon-Fri 07:00-20:00", "2026-11-25T19:59:59", "2026-11-25T20:00:00"),
            ("Mon-Fri 07:00-20:00", "2026-11-27T12:00:00", "2026-11-28T12:00:00"),
            ("Sat,Sun 00:00-24:00", "2026-11-29T23:59:59", "2026-11-30T00:00:00"),
            ("Fri-Mon 00:00-24:00", "2026-11-30T10:00:00", "2026-12-01T10:00:00"),
            ("Wed 22:00-06:00", "2026-11-26T05:59:00", "2026-11-26T22:30:00"),
            ("Wed 22:00-06:00", "2026-11-25T22:00:00", "2026-11-25T05:00:00"),
            ("Mon 07:00-08:00 | Wed 07:00-08:00", "2026-11-25T07:30:00", "2026-11-24T07:30:00"),
        ] {
            assert!(hold(written, yes), "{written} {yes}");
            assert!(!hold(written, no), "{written} {no}");
        }
    }

    #[test]
    fn a_holiday_is_no_weekday_and_has_hours_of_its_own() {
        assert!(!hold("Mon-Sun 00:00-24:00", "2026-11-23T10:00:00"));
        assert!(hold("holidays 09:00-12:00", "2026-11-23T10:00:00"));
        assert!(!hold("holidays 09:00-12:00", "2026-11-24T10:00:00"));
        assert!(hold("Mon-Fri,holidays 09:00-12:00", "2026-11-23T10:00:00"));
        // The night after a holiday belongs to the holiday.
        assert!(hold("holidays 22:00-06:00", "2026-11-24T01:00:00") && !hold("Mon 22:00-06:00", "2026-11-24T01:00:00"));
    }

    #[test]
    fn the_clocks_of_the_zone_decide_through_the_change_of_summer_time() {
        let berlin = Calendar::of_zone("Europe/Berlin").unwrap();
        let hours = Hours { spans: [read_span("Sun 03:00-04:00").unwrap()].into() };
        let utc = |text: &str| {
            let time: jiff::Timestamp = text.parse().unwrap();
            Timestamp(u64::try_from(time.as_microsecond()).unwrap())
        };
        // Clocks went from 02:00 to 03:00 at 01:00 UTC.
        assert!(hours.hold(&berlin, utc("2026-03-29T01:00:00Z")) && !hours.hold(&berlin, utc("2026-03-29T00:59:59Z")));
        assert!(!hours.hold(&berlin, utc("2026-03-29T02:00:00Z")));
    }

    #[test]
    fn an_exception_holds_through_its_last_day() {
        let until = Until::read("2026-11-30", &calendar()).unwrap();
        assert!(until.holds(at("2026-11-30T23:59:59")) && !until.holds(at("2026-12-01T00:00:00")));
        assert!(Until::read("30 November", &calendar()).is_none() && Until::read("2026-02-30", &calendar()).is_none());
    }

    #[test]
    fn what_is_no_time_of_the_week_is_refused_for_what_is_wrong() {
        for (text, part) in [
            ("07:00-20:00", "days and hours"),
            ("Mon-Fri", "days and hours"),
            ("Mon 07:00", "a beginning and an end"),
            ("mon 07:00-08:00", "days are Mon"),
            ("Mon-Fry 07:00-08:00", "days are Mon"),
            ("Mon 7:00-08:00", "00:00 to 24:00"),
            ("Mon 07:60-08:00", "00:00 to 24:00"),
            ("Mon 07:00-24:01", "00:00 to 24:00"),
            ("Mon 07:00-07:00", "begin before they end"),
            ("Mon 24:00-07:00", "begin before they end"),
            ("Mon 07:00-+8:00", "00:00 to 24:00"),
        ] {
            assert!(read_span(text).unwrap_err().contains(part), "{text}: {:?}", read_span(text).unwrap_err());
        }
    }

    #[test]
    fn a_line_that_is_no_date_is_named_by_its_number() {
        let mut calendar = calendar();
        assert_eq!(calendar.read_holidays("2026-01-01\n1/2/2026\n").unwrap_err(), "line 2 is no date like 2026-01-01");
        let many = "2026-01-01\n".repeat(HOLIDAYS_MAX + 1);
        assert!(calendar.read_holidays(&many).unwrap_err().contains("more than"));
        assert_eq!(Weekday::Monday.to_monday_zero_offset(), 0, "weeks begin on Monday here");
    }
}

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::evidence::Bytes;
use crate::review::Progress;

/// A line on standard error that says how far a reading has come, how fast it is, and for how long it will go on, where
/// that is a terminal. It is wiped away in the end.
#[derive(Debug)]
pub(super) struct ProgressLine {
    shown: bool,
    begun: Instant,
    /// When it was drawn last.
    last: Option<Instant>,
    pace: Pace,
}

/// Of the bar, in columns.
const WIDTH: usize = 24;
/// It is drawn no more often.
const EVERY: Duration = Duration::from_millis(100);

impl ProgressLine {
    pub(super) fn new() -> Self {
        Self { shown: io::stderr().is_terminal(), begun: Instant::now(), last: None, pace: Pace::default() }
    }

    pub(super) fn show(&mut self, progress: Progress) {
        if !self.shown || self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        let now = Instant::now();
        self.last = Some(now);
        let rate = self.pace.rate(now.saturating_duration_since(self.begun), progress.read);
        // What is left of a longer line is wiped away.
        let _ = write!(io::stderr(), "\r{}\x1b[K", line(progress, rate));
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.last.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// How fast a reading was lately: a part that is packed better, or a disk that others use, shows within seconds.
#[derive(Debug, Default)]
struct Pace {
    /// Since the beginning, with the bytes that were read until then: between one and two [`Pace::SPAN`] ago.
    older: (Duration, u64),
    newer: (Duration, u64),
}

impl Pace {
    const SPAN: Duration = Duration::from_secs(5);
    /// Before that nothing is said.
    const LEAST: Duration = Duration::from_secs(1);

    /// Bytes a second, so long after the beginning, when so many bytes were read; `None` where that cannot be said yet.
    fn rate(&mut self, elapsed: Duration, read: u64) -> Option<f64> {
        if elapsed.saturating_sub(self.newer.0) >= Self::SPAN {
            self.older = std::mem::replace(&mut self.newer, (elapsed, read));
        }
        let span = elapsed.saturating_sub(self.older.0);
        (span >= Self::LEAST).then(|| read.saturating_sub(self.older.1) as f64 / span.as_secs_f64())
    }
}

/// At most 79 columns.
fn line(progress: Progress, rate: Option<f64>) -> String {
    let Progress { read, all } = progress;
    let share = read.min(all) as f64 / all.max(1) as f64;
    let filled = ((share * WIDTH as f64) as usize).min(WIDTH);
    let (done, left) = ("#".repeat(filled), "-".repeat(WIDTH - filled));
    let mut text = format!("[{done}{left}] {:3.0} % of {}", (share * 100.0).floor(), Bytes(all as f64));
    if let Some(rate) = rate {
        text += &format!(", {}/s", Bytes(rate));
        // Of what stands still nobody knows when it ends.
        if rate >= 1.0 {
            text += &format!(", {} left", left_in_words(all.saturating_sub(read) as f64 / rate));
        }
    }
    text
}

/// Minutes and seconds, with hours before them where there are any.
fn left_in_words(seconds: f64) -> String {
    // Of what is beyond, 64 bits hold the most that they do.
    let seconds = seconds.ceil() as u64;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        1..100 => format!("{hours}:{minutes:02}:{seconds:02}"),
        100.. => "over 99 h".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn of(read: u64, all: u64, rate: Option<f64>) -> String {
        line(Progress { read, all }, rate)
    }

    #[test]
    fn the_bar_fills_and_never_overflows() {
        assert_eq!(of(0, 3 * MIB, None), "[------------------------]   0 % of 3.0 MiB");
        assert_eq!(of(3 << 19, 3 * MIB, None), "[############------------]  50 % of 3.0 MiB");
        assert_eq!(of(3 * MIB - 1, 3 * MIB, None), "[#######################-]  99 % of 3.0 MiB");
        assert_eq!(of(9 * MIB, 3 * MIB, None), "[########################] 100 % of 3.0 MiB");
        assert_eq!(of(0, 0, None), "[------------------------]   0 % of 0 bytes");
    }

    #[test]
    fn the_rate_and_the_time_left_are_said_once_they_are_known() {
        let said = |read, all, rate| of(read, all, Some(rate)).split_once(" % of ").unwrap().1.to_owned();
        let mib = MIB as f64;
        assert_eq!(said(MIB, 131 * MIB, 2.0 * mib), "131.0 MiB, 2.0 MiB/s, 1:05 left");
        assert_eq!(said(0, 90_000 * MIB, 10.0 * mib), "87.9 GiB, 10.0 MiB/s, 2:30:00 left");
        assert_eq!(said(0, MIB, 0.0), "1.0 MiB, 0 bytes/s");
        assert_eq!(said(9 * MIB, 3 * MIB, mib), "3.0 MiB, 1.0 MiB/s, 0:00 left");
        assert_eq!(said(0, u64::MAX, 1.0), "16777216.0 TiB, 1 bytes/s, over 99 h left");
        let longest = of(1023 * (MIB << 20), 1023 * (MIB << 20) + 359_999, Some(1023.9));
        assert!(longest.len() <= 79, "{longest}");
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut pace = Pace::default();
        let mut at = |ms: u64, read: u64| pace.rate(Duration::from_millis(ms), read);
        assert_eq!(at(500, 50), None);
        assert_eq!(at(2_000, 200), Some(100.0));
        for second in 3..=30_u64 {
            assert_eq!(at(second * 1_000, second * 100), Some(100.0));
        }
        // It goes on at a tenth of the pace: at first that is seen in part, soon whole.
        let slower: Vec<_> = (31..=45).map(|second| at(second * 1_000, 2_700 + second * 10)).collect();
        assert!(slower.is_sorted_by(|a, b| a >= b), "{slower:?}");
        assert_eq!(slower.last(), Some(&Some(10.0)));
        // Nothing is read, and then a clock that stands still or a count that goes back breaks nothing.
        assert_eq!(at(60_000, 3_150), Some(0.0));
        assert_eq!(at(60_000, 0), Some(0.0));
        assert_eq!(at(0, 9_999), None);
    }
}

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::review::Progress;

/// A line on standard error that says how far a reading has come, where that is a terminal. It is wiped away
/// in the end.
#[derive(Debug)]
pub(super) struct ProgressLine {
    shown: bool,
    last: Option<Instant>,
}

const WIDTH: u64 = 30;
const EVERY: Duration = Duration::from_millis(100);

impl ProgressLine {
    pub(super) fn new() -> Self {
        Self { shown: io::stderr().is_terminal(), last: None }
    }

    pub(super) fn show(&mut self, progress: Progress) {
        if !self.shown || self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        let _ = write!(io::stderr(), "\r{}", bar(progress));
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.last.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn bar(progress: Progress) -> String {
    let share = |of: u64| progress.read.min(progress.all) * of / progress.all.max(1);
    let filled = usize::try_from(share(WIDTH)).unwrap_or_default();
    let (done, left) = ("#".repeat(filled), "-".repeat((WIDTH as usize).saturating_sub(filled)));
    format!("[{done}{left}] {:3} % of {} MiB", share(100), progress.all >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_and_never_overflows() {
        let of = |read, all| bar(Progress { read, all });
        assert_eq!(of(0, 3 << 20), "[------------------------------]   0 % of 3 MiB");
        assert_eq!(of(3 << 19, 3 << 20), "[###############---------------]  50 % of 3 MiB");
        assert_eq!(of(9 << 20, 3 << 20), "[##############################] 100 % of 3 MiB");
        assert_eq!(of(0, 0), "[------------------------------]   0 % of 0 MiB");
    }
}

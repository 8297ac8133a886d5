//! What the kernel tells of another process.

use std::fs;
use std::time::Duration;

/// The kernel's own unit in `/proc/PID/stat`, on every platform we build for.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of all threads of a process since its start, in user and kernel.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; `utime` and `stime` are the 12th and 13th behind it.
    let (_, behind) = stat.rsplit_once(')')?;
    let mut times = behind.split_ascii_whitespace().skip(11);
    let mut ticks = || times.next()?.parse::<u32>().ok();
    Some(TICK * (ticks()? + ticks()?))
}

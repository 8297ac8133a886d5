//! Runs a table of scenarios: measured by `cargo bench`, once and quickly by `cargo test` and nextest.
//!
//! Wall time says little on a shared machine, so the figure to compare is CPU time per unit of work, of
//! whichever process or thread does the work. Of several rounds the lowest is shown: noise only adds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::process;

/// A name, and what runs it. The name is also that of a test.
pub(crate) type Scenario = (&'static str, fn(&mut Bencher));

/// Runs the scenarios that the command line asks for. `cargo bench -- WORD` takes those with WORD in
/// their name.
pub(crate) fn main(scenarios: &[&[Scenario]]) {
    let scenarios = scenarios.concat();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| match (words.as_slice(), has("--exact")) {
        ([], _) => true,
        (words, true) => words.iter().any(|word| *word == name),
        (words, false) => words.iter().any(|word| name.contains(word.as_str())),
    };
    if has("--list") {
        // No scenario is ever ignored; nextest asks for those separately.
        let listed = scenarios.iter().filter(|_| !has("--ignored"));
        listed.for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let measured = has("--bench");
    if measured {
        println!("{:<36}{:>14}{:>14}{:>14}", "lowest of its rounds, per unit", "time", "CPU", "unit");
    }
    for (name, run) in scenarios.into_iter().filter(|(name, _)| wanted(name)) {
        run(&mut Bencher { name, measured, cpu_of: CpuOf::Thread, units: 1, unit: "call" });
    }
}

/// Whose CPU time is the cost.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CpuOf {
    /// The thread that calls.
    Thread,
    /// All threads of this process.
    Process,
    /// Another process. The kernel counts it in hundredths of a second, so rounds are long.
    Other(u32),
}

impl CpuOf {
    fn now(self) -> Duration {
        let clock = |id| Duration::try_from(clock_gettime(id)).unwrap_or_default();
        match self {
            Self::Thread => clock(ClockId::ThreadCPUTime),
            Self::Process => clock(ClockId::ProcessCPUTime),
            Self::Other(pid) => process::cpu_time(pid).unwrap_or_default(),
        }
    }

    /// How long a round is, and how many there are.
    fn rounds(self) -> (Duration, u32) {
        match self {
            Self::Thread => (Duration::from_millis(40), 15),
            Self::Process => (Duration::from_millis(200), 5),
            Self::Other(..) => (Duration::from_millis(1500), 3),
        }
    }
}

/// After this no further round begins.
const SCENARIO_TIME_MAX: Duration = Duration::from_secs(10);

/// One scenario while it runs.
pub(crate) struct Bencher {
    name: &'static str,
    measured: bool,
    cpu_of: CpuOf,
    units: u64,
    unit: &'static str,
}

impl Bencher {
    /// False when the scenario is only to show that it works: let it be small.
    pub(crate) fn is_measured(&self) -> bool {
        self.measured
    }

    /// What to measure beside time, if not the CPU time of the thread that calls.
    pub(crate) fn cpu_of(&mut self, cpu_of: CpuOf) -> &mut Self {
        self.cpu_of = cpu_of;
        self
    }

    /// A call does this many units of work, not one.
    pub(crate) fn units(&mut self, units: u64, unit: &'static str) -> &mut Self {
        (self.units, self.unit) = (units, unit);
        self
    }

    /// Calls `work` once, or as often as it takes to know what it costs.
    pub(crate) fn iter<T>(&mut self, mut work: impl FnMut() -> T) {
        black_box(work());
        if !self.measured {
            return;
        }
        let (round, rounds) = self.cpu_of.rounds();
        let calls = calls_within(round, &mut work);
        let (mut least_time, mut least_cpu) = (f64::MAX, f64::MAX);
        let begun = Instant::now();
        for done in 0..rounds {
            if done > 0 && begun.elapsed() > SCENARIO_TIME_MAX {
                break;
            }
            let (cpu, since) = (self.cpu_of.now(), Instant::now());
            for _ in 0..calls {
                black_box(work());
            }
            let (time, cpu) = (since.elapsed(), self.cpu_of.now().saturating_sub(cpu));
            let units = (calls * self.units) as f64;
            least_time = least_time.min(time.as_nanos() as f64 / units);
            least_cpu = least_cpu.min(cpu.as_nanos() as f64 / units);
        }
        println!("{:<36}{:>14}{:>14}{:>14}", self.name, figure(least_time), figure(least_cpu), self.unit);
    }
}

/// How many calls fill a round.
fn calls_within<T>(round: Duration, work: &mut impl FnMut() -> T) -> u64 {
    let mut calls = 1;
    loop {
        let since = Instant::now();
        for _ in 0..calls {
            black_box(work());
        }
        let took = since.elapsed();
        if took * 4 >= round {
            let fit = round.as_secs_f64() / took.as_secs_f64() * calls as f64;
            return (fit as u64).max(1);
        }
        calls *= 2;
    }
}

fn figure(nanos: f64) -> String {
    match nanos {
        ..10.0 => format!("{nanos:.2} ns"),
        ..1e4 => format!("{nanos:.0} ns"),
        ..1e7 => format!("{:.1} µs", nanos / 1e3),
        _ => format!("{:.1} ms", nanos / 1e6),
    }
}

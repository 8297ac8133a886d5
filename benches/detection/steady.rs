//! Machines that talk all day and have no period: what is random must not look regular.

use crate::random::Random;
use crate::trace::{HOUR, Trace};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Steady {
    /// Calls at random, at one rate.
    Service,
    /// Many people behind one address, more by day.
    Pool,
    /// Jobs at random, each with some calls at its own pace.
    Jobs,
    /// Conversations.
    Chat,
}

pub(crate) const ALL: [Steady; 4] = [Steady::Service, Steady::Pool, Steady::Jobs, Steady::Chat];

pub(crate) fn steady(random: &mut Random, kind: Steady, days: u32) -> Trace {
    let end = f64::from(days) * 24.0 * HOUR;
    let mut times = match kind {
        Steady::Service => {
            let mean = between_log(random, 10.0, 1_800.0);
            renewed(random, end, |random| random.exponential(mean))
        }
        Steady::Pool => pool(random, end),
        Steady::Jobs => {
            let mean = between_log(random, 300.0, 7_200.0);
            bursts(
                random,
                end,
                |random| random.exponential(mean),
                |random| {
                    let calls = random.lognormal(20.0, 0.9) as usize + 2;
                    (calls, random.lognormal(2.0, 1.0))
                },
                |random, pace| random.weibull(pace, 0.88),
            )
        }
        Steady::Chat => bursts(
            random,
            end,
            |random| random.lognormal(900.0, 1.2),
            |random| (random.tries(8.3), 15.0),
            |random, pace| random.lognormal(pace, 1.1),
        ),
    };
    times.retain(|at| *at < end);
    let is_even = random.happens(0.4);
    let bytes = random.lognormal(700.0, 0.4);
    Trace::of_times("service.example", &times, || {
        if is_even { bytes + random.between(0.0, 4.0) } else { random.lognormal(bytes, 0.5) }
    })
}

/// Between two bounds, each magnitude as likely.
fn between_log(random: &mut Random, low: f64, high: f64) -> f64 {
    random.between(low.ln(), high.ln()).exp()
}

fn renewed(random: &mut Random, end: f64, gap: impl Fn(&mut Random) -> f64) -> Vec<f64> {
    let mut at = gap(random);
    let mut times = Vec::new();
    while at < end {
        times.push(at);
        at += gap(random);
    }
    times
}

/// One visit after another; of those by night few come. A visit is one to four calls.
fn pool(random: &mut Random, end: f64) -> Vec<f64> {
    let mean = between_log(random, 8.0, 600.0);
    let (by_night, noon) = (random.between(0.02, 0.3), random.normal(13.0, 1.0));
    let mut times = Vec::new();
    for at in renewed(random, end, |random| random.exponential(mean)) {
        let from_noon = ((at / HOUR) % 24.0 - noon) / 3.2;
        if random.happens(by_night + (1.0 - by_night) * (-0.5 * from_noon * from_noon).exp()) {
            times.push(at);
            for _ in 0..3 {
                if random.happens(0.5) {
                    times.push(at + random.exponential(8.0));
                }
            }
        }
    }
    times
}

/// Bursts, each of so many calls at its own pace.
fn bursts(
    random: &mut Random,
    end: f64,
    pause: impl Fn(&mut Random) -> f64,
    burst: impl Fn(&mut Random) -> (usize, f64),
    gap: impl Fn(&mut Random, f64) -> f64,
) -> Vec<f64> {
    let mut at = 0.0;
    let mut times = Vec::new();
    while at < end {
        at += pause(random);
        let (calls, pace) = burst(random);
        let mut next = at;
        for _ in 0..calls {
            next += gap(random, pace);
            times.push(next);
        }
    }
    times
}

//! What calls home: implants as their makers describe them, and how they hide.

use crate::browsing::hours_at_work;
use crate::random::Random;
use crate::trace::{HOUR, Trace};

/// Periods of about one length.
pub(crate) struct Band {
    pub name: &'static str,
    /// In seconds.
    pub periods: &'static [f64],
}

pub(crate) const SHORT: Band = Band { name: "5–60 s", periods: &[5.0, 10.0, 30.0, 60.0] };
pub(crate) const MIDDLE: Band = Band { name: "2–15 min", periods: &[120.0, 300.0, 600.0, 900.0] };
pub(crate) const LONG: Band = Band { name: "30–120 min", periods: &[1_800.0, 3_600.0, 7_200.0] };
pub(crate) const HALF_DAY: Band = Band { name: "4–8 h", periods: &[4.0 * HOUR, 6.0 * HOUR, 8.0 * HOUR] };
pub(crate) const DAY: Band = Band { name: "12–24 h", periods: &[12.0 * HOUR, 24.0 * HOUR] };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Sleeps that are shortened, spread or lengthened by up to the jitter.
    Jitter,
    /// Sleeps spread by Gauss.
    Gauss,
    /// A tenth to three tenths of the beats never come.
    Missed,
    /// Only while a person is at work.
    AtWork,
    /// Quick for some minutes, three times a day.
    TwoPaces,
    /// One to three requests a beat.
    Several,
    /// Each request of another size.
    Padded,
    /// Sleeps by an exponential: nothing is periodic in it.
    Memoryless,
    /// One of two to four hosts that share nothing, each beat; one host is looked at.
    Rotates,
    /// One of two to four hosts of one domain, each beat.
    RotatesBelow,
    /// On a host that a person browses as well.
    Mixed,
    /// With a second one on the same host, of a longer period.
    Two,
}

pub(crate) struct Class {
    pub name: &'static str,
    pub shape: Shape,
    pub jitters: &'static [f64],
    /// Of those that the mean is taken over.
    pub in_mean: bool,
}

const fn class(name: &'static str, shape: Shape, jitters: &'static [f64]) -> Class {
    let in_mean = !matches!(shape, Shape::Memoryless | Shape::RotatesBelow);
    Class { name, shape, jitters, in_mean }
}

pub(crate) const STRICT: Class = class("jitter 0 %", Shape::Jitter, &[0.0]);
pub(crate) const JITTER_10: Class = class("jitter 10 %", Shape::Jitter, &[0.1]);
pub(crate) const JITTER_20: Class = class("jitter 20 %", Shape::Jitter, &[0.2]);
pub(crate) const JITTER_30: Class = class("jitter 30 %", Shape::Jitter, &[0.3]);
pub(crate) const JITTER_50: Class = class("jitter 50 %", Shape::Jitter, &[0.5]);
pub(crate) const JITTER_95: Class = class("jitter 70–95 %", Shape::Jitter, &[0.7, 0.8, 0.95]);
pub(crate) const GAUSS: Class = class("Gaussian, sd 10–30 %", Shape::Gauss, &[0.1, 0.2, 0.3]);
pub(crate) const MISSED: Class = class("10–30 % of beats missed", Shape::Missed, &[0.05, 0.2]);
pub(crate) const AT_WORK: Class = class("working hours", Shape::AtWork, &[0.1, 0.3]);
/// Of the slowest there are too few beats for more.
pub(crate) const MISSED_10: Class = class("10–30 % missed, jitter 10 %", Shape::Missed, &[0.1]);
pub(crate) const AT_WORK_10: Class = class("working hours, jitter 10 %", Shape::AtWork, &[0.1]);
pub(crate) const TWO_PACES: Class = class("two paces", Shape::TwoPaces, &[0.1, 0.3]);
pub(crate) const SEVERAL: Class = class("1–3 requests a beat", Shape::Several, &[0.1, 0.3]);
pub(crate) const PADDED: Class = class("padded, jitter 30 %", Shape::Padded, &[0.3]);
pub(crate) const ROTATES: Class = class("rotates, unrelated hosts", Shape::Rotates, &[0.1, 0.3]);
pub(crate) const ROTATES_BELOW: Class = class("rotates below one domain", Shape::RotatesBelow, &[0.1, 0.3]);
pub(crate) const MIXED: Class = class("mixed with browsing", Shape::Mixed, &[0.0, 0.2, 0.5]);
pub(crate) const TWO: Class = class("two on one host", Shape::Two, &[0.1, 0.3]);
pub(crate) const MEMORYLESS: Class = class("memoryless", Shape::Memoryless, &[0.0]);

/// One implant, for so many days; `browsed` are what people asked of sites, for the one that hides in it.
pub(crate) fn beacon(random: &mut Random, class: &Class, band: &Band, days: u32, browsed: &[Trace]) -> Trace {
    // What beats faster than its own beat lasts has none.
    let least = match class.shape {
        Shape::TwoPaces => 30.0,
        Shape::Several => 10.0,
        _ => 0.0,
    };
    let periods: Vec<f64> = band.periods.iter().copied().filter(|period| *period >= least).collect();
    let (period, jitter) = (random.of(&periods), random.of(class.jitters));
    let end = f64::from(days) * 24.0 * HOUR;
    let plain = |random: &mut Random, period: f64| {
        let sleep = sleeps(random, period, jitter);
        beats(random, days, None, sleep)
    };
    let mut hosts = None;
    let mut times = match class.shape {
        Shape::Jitter | Shape::Mixed => plain(random, period),
        Shape::Gauss => beats(random, days, None, |random| (period * random.normal(1.0, jitter)).max(0.2 * period)),
        Shape::Missed => {
            let missed = random.of(&[0.1, 0.2, 0.3]);
            let mut times = beats(random, days, None, around(period, jitter));
            times.retain(|_| !random.happens(missed));
            times
        }
        Shape::AtWork => {
            let hours = hours_at_work(random, days);
            beats(random, days, Some(&hours), around(period, jitter))
        }
        Shape::TwoPaces => {
            let quick = random.of(&[1.0, 2.0, 5.0]);
            let lasts = random.between(120.0, 1_800.0);
            let begins: Vec<f64> = (0..3 * days).map(|_| random.between(0.0, end)).collect();
            let mut times = vec![first(random, days)];
            while let Some(at) = times.last().copied().filter(|at| *at < end) {
                let is_quick = begins.iter().any(|begin| (*begin..begin + lasts).contains(&at));
                times.push(at + around(if is_quick { quick } else { period }, jitter)(random));
            }
            times
        }
        Shape::Several => {
            let mut times = beats(random, days, None, around(period, jitter));
            let beats = times.len();
            for _ in 0..2 {
                let later = random.between(0.1, 2.5);
                for beat in 0..beats {
                    if random.happens(0.6) {
                        times.push(times[beat] + random.lognormal(later, 0.3));
                    }
                }
            }
            times
        }
        Shape::Padded => beats(random, days, None, around(period, jitter)),
        Shape::Memoryless => beats(random, days, None, |random| random.exponential(period)),
        Shape::Rotates => {
            let of = f64::from(random.of(&[2_u8, 3, 4]));
            let mut times = beats(random, days, None, around(period, jitter));
            times.retain(|_| random.happens(1.0 / of));
            times
        }
        Shape::RotatesBelow => {
            let of = random.of(&[2, 3, 4]);
            let times = beats(random, days, None, around(period, jitter));
            hosts = Some(times.iter().map(|_| random.below(of) as u8).collect::<Vec<_>>());
            times
        }
        Shape::Two => {
            let longer = period * random.between(3.0, 12.0);
            let mut times = plain(random, period);
            times.extend(plain(random, longer));
            times
        }
    };
    times.iter_mut().for_each(|at| *at += random.exponential(0.08));
    let hosts = hosts.unwrap_or_else(|| vec![0; times.len()]);
    let bytes = random.lognormal(600.0, 0.4);
    let mut trace = Trace::of_hosts("implant.example", &times, &hosts, || match class.shape {
        Shape::Padded => bytes * random.between(0.5, 2.5),
        _ if random.happens(0.03) => bytes + random.lognormal(3_000.0, 1.5),
        _ => bytes + random.between(0.0, 4.0),
    });
    if class.shape == Shape::Mixed && !browsed.is_empty() {
        let browsed = &browsed[random.below(browsed.len())];
        trace.domain.clone_from(&browsed.domain);
        trace.hits.extend_from_slice(&browsed.hits);
    }
    trace.sorted()
}

/// How an implant sleeps: shortened, spread or lengthened by up to `jitter`.
fn sleeps(random: &mut Random, period: f64, jitter: f64) -> impl Fn(&mut Random) -> f64 + use<> {
    let (low, high) = random.of(&[(-1.0, 0.0), (-1.0, 1.0), (0.0, 1.0)]);
    move |random| period * (1.0 + jitter * random.between(low, high))
}

fn around(period: f64, jitter: f64) -> impl Fn(&mut Random) -> f64 {
    move |random| period * (1.0 + jitter * random.between(-1.0, 1.0))
}

fn first(random: &mut Random, days: u32) -> f64 {
    random.between(0.0, if days == 1 { 2.0 } else { 12.0 } * HOUR)
}

/// One beat after each sleep. Outside of `hours`, where there are any, it waits for the next of them.
fn beats(random: &mut Random, days: u32, hours: Option<&[(f64, f64)]>, sleep: impl Fn(&mut Random) -> f64) -> Vec<f64> {
    let end = f64::from(days) * 24.0 * HOUR;
    let mut at = first(random, days);
    let mut times = Vec::new();
    while at < end {
        let awake = hours.is_none_or(|hours| hours.iter().any(|(begin, end)| (*begin..*end).contains(&at)));
        if awake {
            times.push(at);
            at += sleep(random);
        } else if let Some((begin, _)) = hours.and_then(|hours| hours.iter().find(|(begin, _)| *begin > at)) {
            at = begin + random.between(0.0, 60.0);
        } else {
            break;
        }
    }
    times
}

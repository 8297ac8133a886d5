//! What share of the beacons of each class scores above what nearly all harmless pairs stay below.

use sekisho::detect::{Detector, Limits, Settings};

use crate::beacons::{self, Band, Class, DAY, HALF_DAY, LONG, MIDDLE, SHORT, beacon};
use crate::browsing::Web;
use crate::random::Random;
use crate::steady::{self, steady};
use crate::trace::{Trace, observed};

/// Of all harmless pairs so many are steady machines, where they are mixed.
const STEADY_SHARE: f64 = 0.05;
/// Fewer events are not worth a pair.
const HITS_MIN: usize = 4;
const CLIENT: &str = "10.0.0.1";

/// A horizon: classes, each at several bands of periods.
struct Horizon {
    days: u32,
    rows: &'static [(&'static Class, &'static [&'static Band])],
}

const ALL: &[&Band] = &[&SHORT, &MIDDLE, &LONG];
const PAUSED: &[&Band] = &[&MIDDLE, &LONG];
const SLOW: &[&Band] = &[&HALF_DAY, &DAY];

const ONE_DAY: Horizon = Horizon {
    days: 1,
    rows: &[
        (&beacons::STRICT, ALL),
        (&beacons::JITTER_10, ALL),
        (&beacons::JITTER_20, ALL),
        (&beacons::JITTER_30, ALL),
        (&beacons::JITTER_50, ALL),
        (&beacons::JITTER_95, ALL),
        (&beacons::GAUSS, ALL),
        (&beacons::MISSED, ALL),
        (&beacons::AT_WORK, ALL),
        (&beacons::TWO_PACES, ALL),
        (&beacons::SEVERAL, ALL),
        (&beacons::PADDED, ALL),
        (&beacons::ROTATES, ALL),
        (&beacons::MIXED, ALL),
        (&beacons::TWO, ALL),
        (&beacons::ROTATES_BELOW, ALL),
        (&beacons::MEMORYLESS, ALL),
    ],
};
const SEVEN_DAYS: Horizon = Horizon {
    days: 7,
    rows: &[
        (&beacons::STRICT, SLOW),
        (&beacons::JITTER_20, SLOW),
        (&beacons::JITTER_50, SLOW),
        (&beacons::MISSED_10, SLOW),
        (&beacons::AT_WORK_10, SLOW),
        (&beacons::AT_WORK, PAUSED),
        (&beacons::JITTER_95, PAUSED),
        (&beacons::MIXED, PAUSED),
        (&beacons::ROTATES_BELOW, PAUSED),
        (&beacons::MEMORYLESS, PAUSED),
    ],
};

/// Prints the tables of both horizons. `pairs` are the people's pairs of the first; the second has a third of them.
pub(crate) fn run(seed: u64, pairs: usize) {
    let each = (pairs / 200).clamp(4, 150);
    table(&mut Random::new(seed), &ONE_DAY, pairs, each);
    table(&mut Random::new(seed.wrapping_add(1)), &SEVEN_DAYS, pairs / 3, each * 2 / 3);
}

fn table(random: &mut Random, horizon: &Horizon, pairs: usize, each: usize) {
    let (people, browsed) = people(random, horizon.days, pairs);
    let machines: Vec<f32> = steady::ALL
        .iter()
        .flat_map(|kind| (0..(pairs / 50).max(10)).map(|_| *kind))
        .flat_map(|kind| scores(&steady(random, kind, horizon.days)))
        .collect();
    let thresholds = Thresholds::of(&people, &machines);
    println!(
        "\n{} day(s): {} pairs of people, {} of steady machines, {each} beacons a class",
        horizon.days,
        people.len(),
        machines.len()
    );
    thresholds.print();
    println!("harmless pairs at 3.5 and 5.0: people {} %, machines {} %", fixed(&people), fixed(&machines));
    println!(
        "\ntrue positives in %: people only 0.1 / 1 %; people and machines 0.1 / 1 %; at 3.5; at 5.0; missed at all (0)"
    );
    let mut means = Means::default();
    for (class, bands) in horizon.rows {
        for band in *bands {
            let found: Vec<f32> =
                (0..each).map(|_| best(&beacon(random, class, band, horizon.days, &browsed))).collect();
            let row = thresholds.row(&found);
            println!("| {} | {} | {} |", class.name, band.name, joined(&row));
            if class.in_mean {
                means.add(&row);
            }
        }
    }
    println!("| mean of {}, without memoryless and below one domain | | {} |", means.rows, joined(&means.mean()));
}

/// The scores of so many pairs of people, and what they asked of sites that a beacon may hide in.
fn people(random: &mut Random, days: u32, pairs: usize) -> (Vec<f32>, Vec<Trace>) {
    let web = Web::new(random);
    let (mut found, mut browsed) = (Vec::new(), Vec::new());
    while found.len() < pairs {
        for one in web.person(random, days) {
            if one.has_beats {
                continue;
            }
            found.extend(scores(&one.trace));
            if one.trace.domain.starts_with("site") && one.trace.hits.len() >= 60 && browsed.len() < 2_000 {
                browsed.push(one.trace);
            }
        }
    }
    (found, browsed)
}

/// The score of each host with enough events, then that of their domain, where there are several.
fn scores(trace: &Trace) -> Vec<f32> {
    let mut detector = Detector::new(Limits::LIVE, &Settings::default());
    let hosts = trace.hosts();
    let mut hits = vec![0; hosts.len()];
    for (line, hit) in (1..).zip(&trace.hits) {
        hits[usize::from(hit.host)] += 1;
        detector.observe(&observed(hit, CLIENT, &hosts[usize::from(hit.host)], line), &[]);
    }
    detector.finish();
    let worth = hosts.iter().zip(&hits).filter(|(_, hits)| **hits >= HITS_MIN);
    let mut scores: Vec<f32> = worth.map(|(host, _)| detector.score_of(CLIENT, host)).collect();
    if hosts.len() > 1 {
        scores.push(detector.score_of(CLIENT, &format!("*.{}", trace.domain)));
    }
    scores
}

fn best(trace: &Trace) -> f32 {
    scores(trace).into_iter().fold(0.0, f32::max)
}

/// Scores that so many harmless pairs are above: of people, and of people with machines among them.
struct Thresholds {
    people: [f32; 2],
    mixed: [f32; 2],
}

impl Thresholds {
    const RATES: [f64; 2] = [0.001, 0.01];

    fn of(people: &[f32], machines: &[f32]) -> Self {
        let weigh = |scores: &[f32], share: f64| {
            let weight = share / scores.len().max(1) as f64;
            scores.iter().map(|score| (*score, weight)).collect::<Vec<_>>()
        };
        let mut mixed = weigh(people, 1.0 - STEADY_SHARE);
        mixed.extend(weigh(machines, STEADY_SHARE));
        let mut alone = weigh(people, 1.0);
        Self {
            people: Self::RATES.map(|rate| threshold(&mut alone, rate)),
            mixed: Self::RATES.map(|rate| threshold(&mut mixed, rate)),
        }
    }

    fn print(&self) {
        let [[a, b], [c, d]] = [self.people, self.mixed];
        println!(
            "thresholds at 0.1 / 1 %: people only {a:.2} / {b:.2}; 95 % people, 5 % steady machines {c:.2} / {d:.2}"
        );
    }

    fn row(&self, found: &[f32]) -> [f64; 7] {
        let [a, b] = self.people.map(|least| share(found, |score| score > least));
        let [c, d] = self.mixed.map(|least| share(found, |score| score > least));
        [
            a,
            b,
            c,
            d,
            share(found, |score| score >= 3.5),
            share(found, |score| score >= 5.0),
            share(found, |score| score == 0.0),
        ]
    }
}

/// The least score that pairs of no more than `rate` of the weight are above.
fn threshold(weighed: &mut [(f32, f64)], rate: f64) -> f32 {
    weighed.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut above = 0.0;
    for (score, weight) in weighed.iter() {
        above += weight;
        if above > rate {
            return *score;
        }
    }
    0.0
}

fn fixed(scores: &[f32]) -> String {
    let [told, high] = [3.5, 5.0].map(|least| share(scores, |score| score >= least));
    format!("{told:.3} / {high:.3}")
}

/// In percent.
fn share(scores: &[f32], is_counted: impl Fn(f32) -> bool) -> f64 {
    let counted = scores.iter().filter(|score| is_counted(**score)).count();
    100.0 * counted as f64 / scores.len().max(1) as f64
}

#[derive(Default)]
struct Means {
    sums: [f64; 7],
    rows: usize,
}

impl Means {
    fn add(&mut self, row: &[f64; 7]) {
        self.sums.iter_mut().zip(row).for_each(|(sum, part)| *sum += part);
        self.rows += 1;
    }

    fn mean(&self) -> [f64; 7] {
        self.sums.map(|sum| sum / self.rows.max(1) as f64)
    }
}

fn joined(row: &[f64; 7]) -> String {
    let [a, b, c, d, told, high, none] = row;
    format!("{a:.1} / {b:.1} | {c:.1} / {d:.1} | {told:.1} | {high:.1} | {none:.1}")
}

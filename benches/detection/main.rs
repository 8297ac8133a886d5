//! How good the detector is, and how fast: `cargo run --release --example detection -- quality`, or `speed`.
//!
//! The traffic is made by chance, from a seed that is drawn anew and shown unless one is given. What it is made of is
//! described in `benches/README.md`.

mod beacons;
mod browsing;
mod quality;
mod random;
mod speed;
mod steady;
mod trace;

use std::env;
use std::process::ExitCode;

const HELP: &str = "\
Measures the detector on traffic made by chance.

Usage: detection quality|speed [OPTIONS]

  quality  what share of the beacons of each class is found, and of harmless pairs
  speed    observations and lines a second, and what a pair takes of memory

Options:
  --seed N   the seed [drawn]
  --pairs N  pairs of client and host: people's in quality [30000], all in speed [20000]
";

struct Options {
    is_quality: bool,
    seed: u64,
    pairs: usize,
}

fn main() -> ExitCode {
    let Some(Options { is_quality, seed, pairs }) = read(env::args().skip(1)) else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    println!("seed {seed}, {pairs} pairs");
    if is_quality {
        quality::run(seed, pairs)
    } else {
        speed::run(seed, pairs)
    }
    ExitCode::SUCCESS
}

fn read(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let (mut is_quality, mut seed, mut pairs) = (None, None, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "quality" => is_quality = Some(true),
            "speed" => is_quality = Some(false),
            "--seed" => seed = Some(arguments.next()?.parse().ok()?),
            "--pairs" => pairs = Some(arguments.next()?.parse().ok()?),
            _ => return None,
        }
    }
    let is_quality = is_quality?;
    Some(Options {
        is_quality,
        seed: seed.unwrap_or_else(random::drawn_seed),
        pairs: pairs.unwrap_or(if is_quality { 30_000 } else { 20_000 }),
    })
}

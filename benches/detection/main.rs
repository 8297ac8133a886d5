//! How good the detector is, and how fast: `cargo run --release --example detection -- quality`, and other subcommands.
//!
//! The traffic is made by chance, from a seed that is drawn anew and shown unless one is given. What it is made of is
//! described in `benches/README.md`.

mod beacons;
mod browsing;
mod budget;
mod implants;
mod live;
mod office;
mod pairs;
mod quality;
mod random;
mod rank;
mod software;
mod speed;
mod steady;
mod trace;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
Measures the detector, on traffic made by chance and on real pairs.

Usage: detection quality|speed|budget|live [OPTIONS]
       detection pairs FILE

  quality  what share of the beacons of each class is found, and of harmless pairs
  speed    observations and lines a second, and what a pair takes of memory
  budget   what a person finds who looks at a few findings a day of a whole network
  live     what a running gate spends on an exchange to watch it
  pairs    what is found among the pairs of a file of real traffic

Options:
  --seed N   the seed [drawn]
  --pairs N  pairs of client and host: people's in quality [30000], all in speed [20000] and live [4000]
  --pcs N    of the network, in budget [1000]
  --after N  days before the first implants begin, in budget [0]
  --begin N  days on which implants begin, in budget [7]
";

struct Options {
    command: Command,
    seed: u64,
    pairs: Option<usize>,
    pcs: usize,
    after: u32,
    begin: u32,
}

enum Command {
    Quality,
    Speed,
    Budget,
    Live,
    Pairs(PathBuf),
}

fn main() -> ExitCode {
    let Some(Options { command, seed, pairs, pcs, after, begin }) = read(env::args().skip(1)) else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    match command {
        Command::Quality => quality::run(shown(seed), pairs.unwrap_or(30_000)),
        Command::Speed => speed::run(shown(seed), pairs.unwrap_or(20_000)),
        Command::Budget => budget::run(shown(seed), pcs, after, begin),
        Command::Live => live::run(shown(seed), pairs.unwrap_or(4_000)),
        Command::Pairs(path) => return look_at(&path),
    }
    ExitCode::SUCCESS
}

fn shown(seed: u64) -> u64 {
    println!("seed {seed}");
    seed
}

fn look_at(path: &Path) -> ExitCode {
    match pairs::run(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("detection: {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let command = match arguments.next()?.as_str() {
        "quality" => Command::Quality,
        "speed" => Command::Speed,
        "budget" => Command::Budget,
        "live" => Command::Live,
        "pairs" => Command::Pairs(arguments.next()?.into()),
        _ => return None,
    };
    let mut options = Options { command, seed: random::drawn_seed(), pairs: None, pcs: 1_000, after: 0, begin: 7 };
    while let Some(argument) = arguments.next() {
        let value = arguments.next()?;
        match argument.as_str() {
            "--seed" => options.seed = value.parse().ok()?,
            "--pairs" => options.pairs = Some(value.parse().ok()?),
            "--pcs" => options.pcs = value.parse().ok()?,
            "--after" => options.after = value.parse().ok()?,
            "--begin" => options.begin = value.parse().ok()?,
            _ => return None,
        }
    }
    Some(options)
}

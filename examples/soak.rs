//! Wears a gate down, and judges it: `cargo run --example soak`. What it does is in `tests/hostile`; tests do less of the same.
#![expect(clippy::unwrap_used, reason = "an attack that cannot go on has failed")]

#[path = "../tests/it/gate.rs"]
#[expect(dead_code, reason = "tests ask it for more")]
mod gate;
#[path = "../tests/hostile/mod.rs"]
mod hostile;
#[path = "../tests/it/name_server.rs"]
#[expect(dead_code, reason = "tests ask it for more")]
mod name_server;
#[path = "../tests/it/origin.rs"]
#[expect(dead_code, reason = "tests ask it for more")]
mod origin;
#[path = "../tests/it/peer.rs"]
#[expect(dead_code, reason = "tests ask it for more")]
mod peer;

use std::io::{IsTerminal, Write};
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hostile::{chance::Chance, crowd, kills, reloads};

const HELP: &str = "\
Wears a gate down, and judges it. The gate is a process of its own, and so are its origins and clients, all on loopback.

Usage: soak [OPTIONS] [kills] [reloads] [crowd]

  kills    `kill -9` at random moments under load, each time with a start on the same data directory behind it: what the
           origins saw is on record, `sekisho verify` finds nothing, and the first answer comes within 2 s of the start
  reloads  policies of chance, half of them wrong, under load: every answer is that of one whole policy that was in
           force, and none is missing
  crowd    connections of slow heads, slow bodies, half a hello and silence: another client's p99 is at most twice what it
           is alone, and the memory they took comes back

Without one of these words, all of them one after the other.

Options:
  --gate PATH      the program [the `sekisho` that was built beside this one; also SEKISHO_GATE]
  --kills N        [100]
  --reloads N      [1000]
  --connections N  of the crowd [10000]; the gate takes so many where a process may have 21,000 descriptors
  --seconds N      how long the other client is looked at, alone and in the crowd [20]
  --minutes N      no part goes on for longer: it has then failed [30]
  --seed N         for what is left to chance [of the clock]

Examples:
  soak                                       # some minutes
  soak kills --kills 10 --seed 1
  soak crowd --gate target/release/sekisho --connections 2000 --seconds 5

Exit codes: 0 all went well · 1 something failed · 2 the command line cannot be used";

struct Options {
    parts: Vec<&'static str>,
    kills: u64,
    reloads: u64,
    connections: usize,
    span: Duration,
    within: Duration,
    seed: u64,
}

const PARTS: [&str; 3] = ["kills", "reloads", "crowd"];
/// From a start after a kill to the first answer.
const RESTART_MAX: Duration = Duration::from_secs(2);

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let seed = Chance::seed();
        let (span, within) = (Duration::from_secs(20), Duration::from_secs(30 * 60));
        let mut options =
            Self { parts: Vec::new(), kills: 100, reloads: 1000, connections: 10_000, span, within, seed };
        let mut gate = std::env::var_os("SEKISHO_GATE").map(PathBuf::from);
        while let Some(word) = arguments.next() {
            if let Some(part) = PARTS.iter().find(|part| **part == word) {
                options.parts.push(part);
                continue;
            }
            let value = arguments.next()?;
            let number = || value.parse::<u64>().ok().filter(|number| *number > 0);
            match word.as_str() {
                "--gate" => gate = Some(value.into()),
                "--kills" => options.kills = number()?,
                "--reloads" => options.reloads = number()?,
                "--connections" => options.connections = number().filter(|count| *count >= 5)?.try_into().ok()?,
                "--seconds" => options.span = Duration::from_secs(number()?),
                "--minutes" => options.within = Duration::from_secs(60 * number()?),
                "--seed" => options.seed = value.parse().ok()?,
                _ => return None,
            }
        }
        if options.parts.is_empty() {
            options.parts.extend(PARTS);
        }
        let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("sekisho"));
        let gate = gate.or_else(beside).filter(|path| path.is_file())?.canonicalize().ok()?;
        gate::OTHER_PROGRAM.get_or_init(|| gate);
        Some(options)
    }
}

fn main() -> ExitCode {
    if std::env::args().any(|argument| matches!(argument.as_str(), "--help" | "-h")) {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Some(options) = Options::read(std::env::args().skip(1)) else {
        eprintln!("{HELP}\n\nsoak: the command line cannot be used, or there is no gate (cargo build)");
        return ExitCode::from(2);
    };
    println!("{}, seed {}", gate::program().display(), options.seed);
    let mut failed = false;
    for part in &options.parts {
        let rows = catch_unwind(|| match *part {
            "kills" => kill(&options),
            "reloads" => reload(&options),
            _ => crowd(&options),
        });
        // What was broken has been said on standard error.
        let rows = rows.unwrap_or_else(|_| vec![row("a promise held", "no", false)]);
        println!("\n{part}");
        for Row { what, value, is_well } in rows {
            println!("  {what:44} {value}{}", if is_well { "" } else { "   FAILED" });
            failed |= !is_well;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

struct Row {
    what: &'static str,
    value: String,
    is_well: bool,
}

fn row(what: &'static str, value: impl ToString, is_well: bool) -> Row {
    Row { what, value: value.to_string(), is_well }
}

/// Says how far it is, and whether there is time to go on.
fn progress(what: &str, of: u64, within: Duration) -> impl FnMut(u64) -> bool {
    let (since, mut said) = (Instant::now(), Instant::now());
    move |done| {
        let ends = done == of;
        if ends || said.elapsed() > Duration::from_secs(if std::io::stderr().is_terminal() { 1 } else { 10 }) {
            eprint!("\r{done} of {of} {what}, {} s{}", since.elapsed().as_secs(), if ends { "\n" } else { "" });
            let _ = std::io::stderr().flush();
            said = Instant::now();
        }
        since.elapsed() < within
    }
}

fn kill(options: &Options) -> Vec<Row> {
    let figures =
        kills::kill_again_and_again(options.kills, options.seed, progress("kills", options.kills, options.within));
    let mut restarts = figures.restarts;
    let done = restarts.len() as u64;
    restarts.sort_unstable();
    let (median, longest) = (restarts[restarts.len() / 2], restarts[restarts.len() - 1]);
    let torn = figures.torn.len();
    vec![
        row("kills, each with a start behind it", done, done == options.kills),
        row("requests that the origin saw, all on record", figures.requests, true),
        row("dials that the origin saw, all on record", figures.dials, true),
        row("records, verified after each start", figures.records, true),
        row("last lines torn, all told of", torn, true),
        row("start to first answer, median", format!("{} ms", median.as_millis()), true),
        row("start to first answer, longest", format!("{} ms", longest.as_millis()), longest < RESTART_MAX),
    ]
}

fn reload(options: &Options) -> Vec<Row> {
    let said = progress("reloads", options.reloads, options.within);
    let figures = reloads::reload_again_and_again(options.reloads, options.seed, said);
    let mut reloads = figures.reloads;
    reloads.sort_unstable();
    let (median, longest) = (reloads[reloads.len() / 2], reloads[reloads.len() - 1]);
    vec![
        row("good policies, each in force", figures.good, true),
        row("bad policies, each refused", figures.bad, figures.good + figures.bad == options.reloads),
        row("questions, each answered by one policy", figures.asked, true),
        row("policies that answered one", figures.versions, true),
        row("change to end of `sekisho reload`, median", format!("{} ms", median.as_millis()), true),
        row("change to end of `sekisho reload`, longest", format!("{} ms", longest.as_millis()), true),
    ]
}

fn crowd(options: &Options) -> Vec<Row> {
    let of = (options.connections / 5 * 5) as u64;
    let said = progress("connections", of, options.within);
    let figures = crowd::stand_before_a_gate(options.connections, options.span, said);
    let shown = |times: crowd::Times| {
        format!("p50 {} µs, p99 {} µs, of {}", times.p50.as_micros(), times.p99.as_micros(), times.asked)
    };
    let grown = figures.memory_among_them.saturating_sub(figures.memory_before);
    let left = figures.memory_after.saturating_sub(figures.memory_before);
    let kib = |bytes: u64| format!("{} KiB", bytes >> 10);
    vec![
        row("connections that stand", figures.open, figures.open * 100 >= of * 95),
        row("closed by the gate and opened again", figures.again, true),
        row("another client, alone", shown(figures.alone), true),
        row("another client, among them", shown(figures.among_them), figures.among_them.p99 <= 2 * figures.alone.p99),
        row("memory before", kib(figures.memory_before), true),
        row("memory among them", kib(figures.memory_among_them), true),
        row("memory for one", format!("{} bytes", grown / of), true),
        row("memory when they have gone", kib(figures.memory_after), left <= crowd::KEPT_MAX.max(grown / 4)),
        row("that was so after", format!("{} ms", figures.back_after.as_millis()), true),
    ]
}

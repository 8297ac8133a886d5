//! Replays requests that broke other servers through a gate, and tells what came of each:
//! `cargo run --release --example garden -- FILE`.

mod gate;
mod origin;
mod payload;
mod strict;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;

use gate::Gate;
use origin::Origin;
use payload::Way;
use verdict::{Replay, Verdict};

const HELP: &str = "\
Replays requests that broke other servers through a gate, and tells what came of each.

Usage: garden [--gate PATH] FILE

FILE is a JSON array of objects with `section`, `n`, `title` and `payload_escaped` (bytes, with \\r, \\n, \\t,
\\\\ and \\xNN for those that do not print); where that is missing, any request will do and a plain one is sent.

A gate is started whose policy allows nothing but recording origins on the loopback address. Each payload is
sent over TCP as it is, which to a proxy is a request for itself, and then, where its target begins with a
slash, with the target in absolute form towards an origin of its own, so that the trick reaches the code that
forwards. What the origin received is read by a strict reader that shares nothing with the gate, and compared
with the gate's own records.

  refused                 the gate answered with an error or closed, and the origin saw no request
  refused in its body     the origin saw the beginning of one request, well framed, and the end of its connection
  answered by the gate    the gate answered for itself and nothing was forwarded
  forwarded, one meaning  the origin saw whole requests that can be read in one way, each with its opening record
  PROBLEM                 anything else

Options:
  --gate PATH  the sekisho binary to try instead of the one this example was built with

Exit codes: 0 no problem · 1 a problem · 2 the file, the gate or the command line cannot be used";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    // The gate is a process of its own: by default this very program, which then is nothing else.
    if arguments.peek().is_some_and(|first| first == gate::COMMAND) {
        return gate::be();
    }
    match run(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("garden: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<bool, String> {
    let (mut file, mut binary) = (None, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(true);
            }
            "--gate" => binary = Some(PathBuf::from(arguments.next().ok_or("--gate needs a path")?)),
            _ if file.is_none() && !argument.starts_with('-') => file = Some(PathBuf::from(argument)),
            _ => return Err(format!("`{argument}` was not expected; see --help")),
        }
    }
    let file = file.ok_or("no FILE was given; see --help")?;
    let payloads = payload::read(&file)?;
    let mut replays = Vec::new();
    for payload in &payloads {
        for way in [Way::AsIs, Way::Absolute] {
            // An origin for each replay, so that it is known whose bytes arrived.
            let origin = Origin::start()?;
            if let Some(bytes) = payload.bytes(way, origin.address) {
                replays.push((payload, way, bytes, origin));
            }
        }
    }
    let gate = Gate::start(binary.as_deref(), replays.iter().map(|(.., origin)| origin.address.port()))?;
    let answers = replays.iter().map(|(_, _, bytes, _)| gate.send(bytes)).collect::<Result<Vec<_>, _>>()?;
    // Only behind the end of the gate is it certain that nothing more will reach an origin.
    let records = gate.end()?;

    row(["#", "payload", "way", "the gate answered", "verdict", "the origin saw"]);
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for ((payload, way, _, origin), answer) in replays.iter().zip(&answers) {
        let seen = origin.kept()?;
        let opened = records.opened_by(answer.client_port);
        let replay = Replay { answer, seen: &seen, opened, address: origin.address };
        let verdict = replay.verdict(*way);
        let shown = format!("{} {}", answer.statuses(), records.reasons(answer.client_port).join(", "));
        let number = payload.number.to_string();
        row([&number, &payload.name(), way.name(), shown.trim(), verdict.name(), &replay.shown()]);
        if let Verdict::Problem(why) = &verdict {
            println!("    PROBLEM: {why}");
        }
        match counts.iter_mut().find(|(name, _)| *name == verdict.name()) {
            Some((_, count)) => *count += 1,
            None => counts.push((verdict.name(), 1)),
        }
    }
    let summary: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    println!("\n{} payloads, {} replays: {}", payloads.len(), replays.len(), summary.join(" · "));
    Ok(!counts.iter().any(|(name, _)| *name == "PROBLEM"))
}

fn row([number, name, way, answer, verdict, seen]: [&str; 6]) {
    println!("{number:>2}  {name:<48}  {way:<8}  {answer:<41}  {verdict:<22}  {seen}");
}

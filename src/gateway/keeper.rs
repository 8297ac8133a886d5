//! Rules on trial: a process of its own holds what was there before, and brings it back unless somebody confirms in time.
//!
//! It is in a session of its own, so that neither Ctrl-C nor the end of a login reaches it. What it hears is its standard
//! input: whoever asked ends, in whatever way, and that has ended too. It puts the rules in force itself, so that there is no
//! moment in which they are and nobody watches.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::kernel::{KernelError, put_in_force, table_in_force, take_back};

/// Why rules could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error("cannot start the process that takes the rules back: {0}")]
    Start(io::Error),
    /// It says why; nothing has changed.
    #[error("{0}")]
    NotTaken(String),
    #[error(
        "another `egress apply` is under way in this network namespace, perhaps on trial: confirm or end that one first"
    )]
    Busy,
    #[error("cannot see whether another `egress apply` is under way: {0}")]
    Alone(io::Error),
    /// The worst: rules that nobody confirmed are in force.
    #[error("the rules could not be taken back: {0}")]
    NotTakenBack(String),
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Nobody else changes the rules of this network namespace while this is held.
///
/// It is the lock of a file that root alone can make, and the kernel takes it back from whoever ends in whatever way.
#[derive(Debug)]
pub struct Alone(#[expect(dead_code, reason = "held for its lock")] File);

/// Whoever has taken its rules back may need a moment to go.
const GOING: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

impl Alone {
    /// # Errors
    /// Somebody else holds it.
    pub fn take() -> Result<Self, KeepError> {
        let namespace = std::fs::metadata("/proc/self/ns/net").map_err(KeepError::Alone)?.ino();
        let path = format!("/run/sekisho-egress-apply-{namespace}.lock");
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(KeepError::Alone)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::Error(error)) => return Err(KeepError::Alone(error)),
                Err(TryLockError::WouldBlock) if begun.elapsed() >= GOING => return Err(KeepError::Busy),
                Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
            }
        }
    }
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Kept,
    TakenBack,
}

/// Rules on trial, as who asked for them sees it. To drop it is to have them taken back.
#[derive(Debug)]
pub struct Trial {
    process: Child,
    /// Its end is what the keeper hears where nobody says anything any more.
    telling: Option<ChildStdin>,
    told: Option<Lines<BufReader<ChildStdout>>>,
    before: Option<String>,
}

enum Event {
    Answer(bool),
    Word(Option<String>),
}

const LOADED: &str = "loaded";
const KEEP: &str = "keep";
const KEPT: &str = "kept";
const TAKEN_BACK: &str = "taken back";
const FAILED: &str = "failed ";

impl Trial {
    /// Puts rules in force for so long; when this returns, they are. `keeper` starts a process that calls [`keep`].
    ///
    /// # Errors
    /// Nothing has changed then.
    pub fn begin(mut keeper: Command, rules: &str) -> Result<Self, KeepError> {
        // The keeper takes it itself; here it is said before anything is begun.
        drop(Alone::take()?);
        let before = table_in_force()?;
        let mut process = keeper
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(KeepError::Start)?;
        let told = process.stdout.take().map(|out| BufReader::new(out).lines());
        let mut trial = Self { telling: process.stdin.take(), told, process, before };
        // One line, whatever stands in the rules.
        let line = serde_json::to_string(rules).map_err(|error| KeepError::Start(error.into()))?;
        if let Some(telling) = &mut trial.telling {
            writeln!(telling, "{line}").map_err(KeepError::Start)?;
        }
        match trial.next_word() {
            Some(word) if word == LOADED => Ok(trial),
            Some(word) => Err(KeepError::NotTaken(word.trim_start_matches(FAILED).to_owned())),
            None => Err(KeepError::NotTaken("the process that takes the rules back has ended".to_owned())),
        }
    }

    /// Waits for how it ends. `confirmed` asks whoever is to confirm; it is left alone, in a thread of its own, where the time
    /// is over first.
    ///
    /// # Errors
    /// The rules could not be taken back.
    pub fn end(mut self, confirmed: impl FnOnce() -> bool + Send + 'static) -> Result<Ending, KeepError> {
        let (sender, events) = channel();
        let answering = sender.clone();
        thread::spawn(move || answering.send(Event::Answer(confirmed())));
        let mut told = self.told.take();
        thread::spawn(move || sender.send(Event::Word(told.as_mut().and_then(|told| told.next()?.ok()))));
        let word = loop {
            match events.recv() {
                // It may have taken the rules back meanwhile: what it says tells.
                Ok(Event::Answer(true)) => drop(self.telling.as_mut().map(|telling| writeln!(telling, "{KEEP}"))),
                Ok(Event::Answer(false)) => self.telling = None,
                Ok(Event::Word(word)) => break word,
                Err(_) => break None,
            }
        };
        self.telling = None;
        let ending = match word.as_deref() {
            Some(KEPT) => Ok(Ending::Kept),
            Some(TAKEN_BACK) => Ok(Ending::TakenBack),
            Some(word) => Err(KeepError::NotTakenBack(word.trim_start_matches(FAILED).to_owned())),
            // It was killed, and can take nothing back.
            None => Alone::take()
                .and_then(|_alone| Ok(take_back(self.before.as_deref())?))
                .map(|()| Ending::TakenBack)
                .map_err(|error| KeepError::NotTakenBack(error.to_string())),
        };
        let _ = self.process.wait();
        ending
    }

    fn next_word(&mut self) -> Option<String> {
        self.told.as_mut()?.next()?.ok()
    }
}

/// The keeper's own life: reads rules from standard input, puts them in force, and takes them back unless it reads `keep`
/// within the time. It says on standard output what it does.
///
/// # Errors
/// The rules could not be put in force, or not be taken back; both are said on standard output too.
pub fn keep(within: Duration) -> Result<(), KeepError> {
    // Fails only for the leader of a group, whom no signal to the group of `apply` reaches.
    let _ = rustix::process::setsid();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(KeepError::Start)?;
    let result = runtime.block_on(try_rules(within));
    if let Err(error) = &result {
        say(&format!("{FAILED}{}", error.to_string().replace('\n', " ")));
    }
    // The thread that reads may wait for ever.
    runtime.shutdown_background();
    result
}

async fn try_rules(within: Duration) -> Result<(), KeepError> {
    // Whoever ends this process by a signal has the rules taken back first.
    let mut signals = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()]
        .into_iter()
        .map(signal)
        .collect::<io::Result<Vec<_>>>()
        .map_err(KeepError::Start)?;
    let mut lines = lines_of_stdin();
    let line = lines.recv().await.unwrap_or_default();
    let rules: String = serde_json::from_str(&line).map_err(|error| KeepError::Start(error.into()))?;
    let _alone = Alone::take()?;
    let before = table_in_force()?;
    put_in_force(&rules, before.as_deref())?;
    say(LOADED);
    let [terminated, hung_up, interrupted] = &mut signals[..] else { return Ok(()) };
    let confirmed = tokio::select! {
        line = lines.recv() => line.as_deref() == Some(KEEP),
        () = tokio::time::sleep(within) => false,
        _ = terminated.recv() => false,
        _ = hung_up.recv() => false,
        _ = interrupted.recv() => false,
    };
    if confirmed {
        say(KEPT);
        return Ok(());
    }
    take_back(before.as_deref())?;
    say(TAKEN_BACK);
    Ok(())
}

fn lines_of_stdin() -> mpsc::Receiver<String> {
    // A person says one word; more than is read waits in the pipe.
    let (sender, lines) = mpsc::channel(4);
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Who asked may have gone: the rules are then taken back all the same.
fn say(word: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{word}").and_then(|()| out.flush());
}

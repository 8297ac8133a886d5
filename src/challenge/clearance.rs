//! What programs have shown, and the tunnel reset by which they show it.
//!
//! A tunnel of a program that claims to be a browser, and has not shown it, is ended after its ClientHello
//! without a byte of TLS. A browser comes back at once by itself; a client that merely speaks HTTP does not.
//! Then the program holds a *clearance*, and all that it asks for passes.

use std::collections::HashMap;
use std::time::Duration;

use crate::facts::{ClientKey, Host, Moment, ProgramKey, Standing, Timestamp};
use crate::identity::ProgramName;

/// How long things last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spans {
    /// From the end of a tunnel to the last moment at which a CONNECT is a return; 100 ms to 10 s.
    pub window: Duration,
    /// A clearance ends so long after it was used last; a minute to 30 days.
    pub clearance: Duration,
    /// What was shown for one target (`fresh`, `confirm`) holds so long; a minute to a day.
    pub afresh: Duration,
}

impl Default for Spans {
    /// A window in which every browser that was measured has come back, and the retry of curl, after a second,
    /// has not.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { window: Duration::from_millis(800), clearance: seconds(8 * 3600), afresh: seconds(900) }
    }
}

/// By what a program has shown to be a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Means {
    /// It came back at once when a tunnel was ended.
    Reset,
    /// It solved the page.
    Page,
    /// It waited as the page says, without a script.
    Wait,
    /// Its user logged in.
    LogIn,
    /// By all that it shows, while its version of the browser is not challenged.
    Identity,
}

impl Means {
    /// The word used in records and lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Means::Reset => "reset",
            Means::Page => "page",
            Means::Wait => "wait",
            Means::LogIn => "log_in",
            Means::Identity => "identity",
        }
    }

    /// The means of this name.
    pub fn of(word: &str) -> Option<Self> {
        [Means::Reset, Means::Page, Means::Wait, Means::LogIn, Means::Identity]
            .into_iter()
            .find(|means| means.as_str() == word)
    }
}

/// A clearance as it is listed and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clearance {
    pub key: ProgramKey,
    pub name: ProgramName,
    pub means: Means,
    pub since: Timestamp,
    pub used: Timestamp,
}

/// A tunnel that is to be challenged.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub key: ProgramKey,
    pub name: &'a ProgramName,
    pub host: &'a Host,
    pub port: u16,
    /// When the last byte of its CONNECT was read.
    pub head_at: Moment,
}

/// The present, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub moment: Moment,
    pub time: Timestamp,
}

/// What becomes of a tunnel that is to be challenged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is ended, and its program's answer awaited: [`Programs::ended`] is told when that is done, and
    /// [`Programs::settle`] asked when the window is over.
    Reset(Ticket),
    /// It is the answer: the program is cleared.
    Returned {
        /// Since the end of the tunnel before it.
        after: Duration,
    },
    /// Another tunnel of the program was ended, and the answer is open: this one is to ask again when anything has
    /// been answered, or at this moment.
    Hold(Moment),
    /// So many of the program's tunnels wait already, or so many programs are known, that nothing can be shown now.
    Busy,
}

/// Names one reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub key: ProgramKey,
    number: u64,
}

/// What came of a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    Returned,
    DidNotReturn,
    /// The window is not over.
    Open(Moment),
}

/// Programs that are known at the same time, at most. With as many, one more cannot show anything: what a rule
/// challenges is denied it until others are forgotten.
pub const PROGRAMS_MAX: usize = 1_000_000;
/// Programs of one client, at most: none takes the places of others by calling itself ever anew.
const PROGRAMS_OF_CLIENT_MAX: u32 = 4096;
/// Tunnels of one program that wait for an answer at the same time, at most.
const HELD_MAX: u32 = 64;
/// A program that has shown nothing is forgotten after this.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// So many targets of one program have something of their own shown for them; of more the oldest goes, and is to
/// be shown again.
const TARGETS_MAX: usize = 16;
/// The time of a use is kept this exactly, so that a use costs no write.
const USE_EXACT: Duration = Duration::from_secs(60);

/// What every program has shown. Each call costs the same however many there are, but for [`Programs::sweep`] and
/// [`Programs::list`].
#[derive(Debug)]
pub struct Programs {
    known: HashMap<ProgramKey, Known>,
    /// How many of them each client has.
    of_client: HashMap<ClientKey, u32>,
    spans: Spans,
    next: u64,
}

#[derive(Debug)]
struct Known {
    name: ProgramName,
    shown: Option<Shown>,
    open: Option<Open>,
    /// Resets that it has not answered, one after the other.
    failures: u32,
    last: Timestamp,
}

#[derive(Debug)]
struct Shown {
    means: Means,
    since: Timestamp,
    used: Timestamp,
    targets: Vec<ShownFor>,
}

/// What was shown for one target.
#[derive(Debug)]
struct ShownFor {
    host: Host,
    port: u16,
    at: Timestamp,
    confirmed: bool,
}

/// A reset whose answer is awaited.
#[derive(Debug)]
struct Open {
    number: u64,
    host: Host,
    port: u16,
    /// When the tunnel was ended; until then nothing is an answer.
    ended: Option<Moment>,
    until: Moment,
    held: u32,
}

impl Programs {
    pub fn new(spans: Spans) -> Self {
        Self { known: HashMap::new(), of_client: HashMap::new(), spans, next: 0 }
    }

    pub fn spans(&self) -> Spans {
        self.spans
    }

    /// What this program has shown, as a fact for the policy. A clearance in use goes on.
    pub fn standing(&mut self, key: &ProgramKey, (host, port): (&Host, u16), now: Timestamp) -> Standing {
        let spans = self.spans;
        let shown = self.known.get_mut(key).and_then(|known| known.shown.as_mut());
        let Some(shown) = shown.filter(|shown| holds(shown.used, spans.clearance, now)) else {
            return Standing::Uncleared;
        };
        if micros(USE_EXACT) < now.0.saturating_sub(shown.used.0) {
            shown.used = now;
        }
        let target = shown.targets.iter().find(|target| target.is(host, port));
        let target = target.filter(|target| holds(target.at, spans.afresh, now));
        Standing::Cleared { afresh: target.is_some(), confirmed: target.is_some_and(|target| target.confirmed) }
    }

    /// What becomes of a tunnel that the policy challenges.
    pub fn tunnel(&mut self, asked: &Asked<'_>, now: Now) -> Step {
        let window = self.spans.window;
        let Some(known) = self.entry(asked.key, asked.name, now.time) else { return Step::Busy };
        if let Some(open) = &mut known.open
            && now.moment < open.until
        {
            match open.ended {
                Some(ended) if open.is(asked.host, asked.port) && ended < asked.head_at => {
                    known.open = None;
                    known.clear(Means::Reset, now.time);
                    return Step::Returned { after: asked.head_at - ended };
                }
                _ if open.held >= HELD_MAX => return Step::Busy,
                _ => {
                    open.held += 1;
                    return Step::Hold(open.until);
                }
            }
        }
        // What is still open by now has not been answered, whoever is to settle it.
        if known.open.take().is_some() {
            known.failures = known.failures.saturating_add(1);
        }
        let number = self.next;
        self.next += 1;
        if let Some(known) = self.known.get_mut(&asked.key) {
            // Until it is told that the tunnel has ended: by then the window is set anew.
            let until = now.moment + window * 2;
            let (host, port) = (asked.host.clone(), asked.port);
            known.open = Some(Open { number, host, port, ended: None, until, held: 0 });
        }
        Step::Reset(Ticket { key: asked.key, number })
    }

    /// Whether a reset of this program is still to be answered.
    pub fn waits(&self, key: &ProgramKey) -> bool {
        self.known.get(key).is_some_and(|known| known.open.is_some())
    }

    /// A tunnel that was held waits no longer.
    pub fn unhold(&mut self, key: &ProgramKey) {
        if let Some(open) = self.known.get_mut(key).and_then(|known| known.open.as_mut()) {
            open.held = open.held.saturating_sub(1);
        }
    }

    /// The tunnel of this ticket is ended at this moment: its window begins. Returns when that is over.
    pub fn ended(&mut self, ticket: Ticket, at: Moment) -> Moment {
        let until = at + self.spans.window;
        if let Some(open) = self.open(ticket) {
            open.ended = Some(at);
            open.until = until;
        }
        until
    }

    /// What came of a reset, asked when its window is over.
    pub fn settle(&mut self, ticket: Ticket, now: Now) -> Settled {
        let Some(known) = self.known.get_mut(&ticket.key) else { return Settled::DidNotReturn };
        known.last = now.time;
        match &known.open {
            Some(open) if open.number == ticket.number => {
                if now.moment < open.until {
                    return Settled::Open(open.until);
                }
                known.open = None;
                known.failures = known.failures.saturating_add(1);
                Settled::DidNotReturn
            }
            _ if known.shown.is_some() => Settled::Returned,
            _ => Settled::DidNotReturn,
        }
    }

    /// Resets that a program has not answered, one after the other.
    pub fn failures(&self, key: &ProgramKey) -> u32 {
        self.known.get(key).map_or(0, |known| known.failures)
    }

    /// A program has shown to be a browser by other means than a reset. False where so many programs are known that
    /// it is not kept.
    pub fn clear(&mut self, key: ProgramKey, name: &ProgramName, means: Means, now: Timestamp) -> bool {
        self.entry(key, name, now).map(|known| known.clear(means, now)).is_some()
    }

    /// It has shown so for this very target, and a person has said there that it is meant.
    pub fn show_for(&mut self, key: &ProgramKey, (host, port): (&Host, u16), confirmed: bool, now: Timestamp) {
        let shown = self.known.get_mut(key).and_then(|known| known.shown.as_mut());
        let Some(shown) = shown else { return };
        shown.targets.retain(|target| !target.is(host, port));
        if shown.targets.len() >= TARGETS_MAX {
            shown.targets.remove(0);
        }
        shown.targets.push(ShownFor { host: host.clone(), port, at: now, confirmed });
    }

    /// Takes clearances back: that of one program, or of all for which `which` is true. Returns how many there were.
    pub fn revoke(&mut self, mut which: impl FnMut(&ProgramKey, &ProgramName) -> bool) -> usize {
        let mut revoked = 0;
        for (key, known) in &mut self.known {
            if known.shown.is_some() && which(key, &known.name) {
                known.shown = None;
                revoked += 1;
            }
        }
        revoked
    }

    /// Every clearance that holds, the one used last first.
    pub fn list(&self, now: Timestamp) -> Vec<Clearance> {
        let clearance = |(key, known): (&ProgramKey, &Known)| {
            let shown = known.shown.as_ref().filter(|shown| holds(shown.used, self.spans.clearance, now))?;
            let Shown { means, since, used, .. } = *shown;
            Some(Clearance { key: *key, name: known.name.clone(), means, since, used })
        };
        let mut all: Vec<_> = self.known.iter().filter_map(clearance).collect();
        all.sort_by(|a, b| b.used.cmp(&a.used).then(a.key.cmp(&b.key)));
        all
    }

    /// Takes up a clearance that was kept over a restart, unless it is over by now.
    pub fn restore(&mut self, clearance: Clearance, now: Timestamp) {
        let Clearance { key, name, means, since, used } = clearance;
        if holds(used, self.spans.clearance, now)
            && let Some(known) = self.entry(key, &name, now)
        {
            known.shown = Some(Shown { means, since, used, targets: Vec::new() });
        }
    }

    /// Forgets what is over. Called about once a minute.
    pub fn sweep(&mut self, now: Now) {
        let spans = self.spans;
        self.known.retain(|_, known| {
            if known.shown.as_ref().is_some_and(|shown| !holds(shown.used, spans.clearance, now.time)) {
                known.shown = None;
            }
            let waits = known.open.as_ref().is_some_and(|open| now.moment < open.until);
            known.shown.is_some() || waits || holds(known.last, FORGOTTEN, now.time)
        });
        self.known.shrink_to(self.known.len() * 2);
        self.of_client.clear();
        for known in self.known.values() {
            *self.of_client.entry(known.name.client).or_default() += 1;
        }
    }

    fn open(&mut self, ticket: Ticket) -> Option<&mut Open> {
        let open = self.known.get_mut(&ticket.key)?.open.as_mut()?;
        (open.number == ticket.number).then_some(open)
    }

    fn entry(&mut self, key: ProgramKey, name: &ProgramName, now: Timestamp) -> Option<&mut Known> {
        if !self.known.contains_key(&key) {
            let of_client = self.of_client.entry(name.client).or_default();
            if self.known.len() >= PROGRAMS_MAX || *of_client >= PROGRAMS_OF_CLIENT_MAX {
                return None;
            }
            *of_client += 1;
        }
        let new = || Known { name: name.clone(), shown: None, open: None, failures: 0, last: now };
        let known = self.known.entry(key).or_insert_with(new);
        known.last = now;
        Some(known)
    }
}

impl Known {
    fn clear(&mut self, means: Means, now: Timestamp) {
        self.failures = 0;
        self.shown = Some(match self.shown.take() {
            // A second means takes nothing away that was shown by the first.
            Some(shown) => Shown { means, used: now, ..shown },
            None => Shown { means, since: now, used: now, targets: Vec::new() },
        });
    }
}

impl Open {
    fn is(&self, host: &Host, port: u16) -> bool {
        self.port == port && self.host == *host
    }
}

impl ShownFor {
    fn is(&self, host: &Host, port: u16) -> bool {
        self.port == port && self.host == *host
    }
}

/// Whether what was so at one time still is. A clock that was set back makes nothing last longer than its span from
/// now on; one that was set far back ends it.
fn holds(at: Timestamp, span: Duration, now: Timestamp) -> bool {
    now.0.abs_diff(at.0) < micros(span)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

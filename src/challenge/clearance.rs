//! What programs have shown, and the tunnel reset by which they show it.
//!
//! A tunnel of a program that claims to be a browser, and has not shown it, is ended after its ClientHello
//! without a byte of TLS. A browser comes back at once by itself; a client that merely speaks HTTP does not.
//! Then the program holds a *clearance*, and all that it asks for passes.

mod known;
mod parts;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::facts::{ClientKey, Host, Moment, ProgramKey, Standing, Timestamp};
use crate::identity::ProgramName;

use known::{Known, Open};
use parts::{Clients, Parts};

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
    /// Another tunnel of the program was ended, and the answer is open, or it has just come: this one is to ask again
    /// when anything has been answered, or at this moment.
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
/// A program that has failed so often, one reset after the other, is not reset again for a while.
const FAILURES_IN_A_ROW: u32 = 2;
const PAUSE: Duration = Duration::from_secs(10);
/// Tunnels of one program that wait for an answer at the same time, at most.
const HELD_MAX: u32 = 64;
/// A program that has shown nothing is forgotten after this.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// With a million programs a part holds a thousand: a walk over it keeps nobody waiting for longer than a network
/// would.
const PARTS: usize = 1024;

/// What every program has shown, shared by all who ask.
///
/// Each call costs the same however many programs there are, but for [`Programs::sweep`], [`Programs::list`] and
/// [`Programs::revoke`], which go through all of them a part at a time: whoever asks meanwhile waits for one part at
/// most, and only who asks about a program of that part.
///
/// All spans are measured on the clock that is never set: a step of the wall clock neither ends a clearance nor
/// prolongs one. Of a program at most 512 bytes are kept, whatever it shows, and 57 of each client.
#[derive(Debug)]
pub struct Programs {
    parts: Parts<Part>,
    clients: Clients,
    spans: Spans,
    places: RandomState,
    changes: AtomicU64,
}

/// Some of the programs.
#[derive(Debug, Default)]
struct Part {
    known: HashMap<ProgramKey, Box<Known>>,
    resets: u64,
}

/// What [`Programs::list`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// How many clearances hold.
    pub count: usize,
    /// The ones used last, the last first.
    pub clearances: Vec<Clearance>,
}

impl Programs {
    pub fn new(spans: Spans) -> Self {
        Self {
            parts: Parts::new(PARTS),
            clients: Clients::new(),
            spans,
            places: RandomState::new(),
            changes: AtomicU64::new(0),
        }
    }

    pub fn spans(&self) -> Spans {
        self.spans
    }

    /// How many are known, with a clearance or without.
    pub fn count(&self) -> usize {
        self.clients.programs()
    }

    /// Another number whenever a clearance was given, taken back or has ended; a use does not change it.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// What this program has shown, as a fact for the policy. A clearance in use goes on.
    pub fn standing(&self, key: &ProgramKey, target: (&Host, u16), now: Moment) -> Standing {
        let mut part = self.parts.of(key);
        let Some(shown) = part.known.get_mut(key).and_then(|known| known.shown_at(now)) else {
            return Standing::Uncleared;
        };
        shown.ends = shown.ends.max(now + self.spans.clearance);
        let holds = |confirmed| shown.is_for(self.place(target, confirmed), now);
        let confirmed = shown.is_for_any() && holds(true);
        Standing::Cleared { afresh: confirmed || (shown.is_for_any() && holds(false)), confirmed }
    }

    /// What becomes of a tunnel that the policy challenges.
    pub fn tunnel(&self, asked: &Asked<'_>, now: Now) -> Step {
        let place = self.place((asked.host, asked.port), false);
        let mut part = self.parts.of(&asked.key);
        part.resets += 1;
        let number = part.resets;
        let Some(known) = self.entry(&mut part, asked.key, asked.name, now.moment) else { return Step::Busy };
        if let Some(open) = &mut known.open
            && now.moment < open.until
        {
            match open.ended {
                Some(ended) if open.place == place && ended < asked.head_at => {
                    known.open = None;
                    self.clear_known(known, Means::Reset, now);
                    return Step::Returned { after: asked.head_at - ended };
                }
                _ if open.held >= HELD_MAX => return Step::Busy,
                _ => {
                    open.held += 1;
                    return Step::Hold(open.until);
                }
            }
        }
        // Another has been the answer since this one was judged: a program is not reset twice.
        if known.shown_at(now.moment).is_some() {
            return Step::Hold(now.moment);
        }
        // What is still open by now has not been answered, whoever is to settle it.
        if known.open.take().is_some() {
            known.failures = known.failures.saturating_add(1);
            known.failed = now.moment;
        }
        // Of several tunnels that a browser opens at once one may be meant for nothing, and not come back; who has
        // failed twice is given no further window into which a retry of the first could fall.
        if known.failures >= FAILURES_IN_A_ROW && now.moment < known.failed + PAUSE {
            return Step::Busy;
        }
        // Until it is told that the tunnel has ended: by then the window is set anew.
        let until = now.moment + self.spans.window * 2;
        known.open = Some(Box::new(Open { number, place, ended: None, until, held: 0 }));
        Step::Reset(Ticket { key: asked.key, number })
    }

    /// Whether a reset of this program is still to be answered.
    pub fn waits(&self, key: &ProgramKey) -> bool {
        self.parts.of(key).known.get(key).is_some_and(|known| known.open.is_some())
    }

    /// A tunnel that was held waits no longer.
    pub fn unhold(&self, key: &ProgramKey) {
        let mut part = self.parts.of(key);
        if let Some(open) = part.known.get_mut(key).and_then(|known| known.open.as_mut()) {
            open.held = open.held.saturating_sub(1);
        }
    }

    /// The tunnel of this ticket is ended at this moment: its window begins. Returns when that is over.
    pub fn ended(&self, ticket: Ticket, at: Moment) -> Moment {
        let until = at + self.spans.window;
        let mut part = self.parts.of(&ticket.key);
        let open = part.known.get_mut(&ticket.key).and_then(|known| known.open.as_mut());
        if let Some(open) = open.filter(|open| open.number == ticket.number) {
            open.ended = Some(at);
            open.until = until;
        }
        until
    }

    /// What came of a reset, asked when its window is over.
    pub fn settle(&self, ticket: Ticket, now: Moment) -> Settled {
        let mut part = self.parts.of(&ticket.key);
        let Some(known) = part.known.get_mut(&ticket.key) else { return Settled::DidNotReturn };
        known.last = now;
        match &known.open {
            Some(open) if open.number == ticket.number => {
                if now < open.until {
                    return Settled::Open(open.until);
                }
                known.open = None;
                known.failures = known.failures.saturating_add(1);
                known.failed = now;
                Settled::DidNotReturn
            }
            _ if known.shown.is_some() => Settled::Returned,
            _ => Settled::DidNotReturn,
        }
    }

    /// Resets that a program has not answered, one after the other.
    pub fn failures(&self, key: &ProgramKey) -> u32 {
        self.parts.of(key).known.get(key).map_or(0, |known| known.failures)
    }

    /// A program has shown to be a browser by other means than a reset. False where so many programs are known that
    /// it is not kept.
    pub fn clear(&self, key: ProgramKey, name: &ProgramName, means: Means, now: Now) -> bool {
        let mut part = self.parts.of(&key);
        let known = self.entry(&mut part, key, name, now.moment);
        known.map(|known| self.clear_known(known, means, now)).is_some()
    }

    /// It has shown so for this very target, and a person has said there that it is meant.
    pub fn show_for(&self, key: &ProgramKey, target: (&Host, u16), confirmed: bool, now: Moment) {
        let mut part = self.parts.of(key);
        let Some(shown) = part.known.get_mut(key).and_then(|known| known.shown_at(now)) else { return };
        let (place, other) = (self.place(target, confirmed), self.place(target, !confirmed));
        shown.show_for(place, other, now, now + self.spans.afresh);
    }

    /// Takes back the clearances of all programs for which `which` is true. Returns how many there were.
    pub fn revoke(&self, mut which: impl FnMut(&ProgramKey, ClientKey, Option<&str>) -> bool) -> usize {
        let mut revoked = 0;
        for mut part in self.parts.each() {
            for (key, known) in &mut part.known {
                if known.shown.is_some() && which(key, known.client(), known.user()) {
                    known.shown = None;
                    revoked += 1;
                }
            }
        }
        self.changed(revoked > 0);
        revoked
    }

    /// The clearances that hold: how many there are, and `max` of them.
    pub fn list(&self, max: usize, now: Now) -> Listed {
        self.list_of(max, now, |_, _| true)
    }

    /// Of those alone of whose client and user `which` is true.
    pub fn list_of(&self, max: usize, now: Now, which: impl Fn(ClientKey, Option<&str>) -> bool) -> Listed {
        let (mut count, mut newest, mut floor) = (0, Vec::new(), None);
        for part in self.parts.each() {
            let mut found = Vec::new();
            for (key, known) in &part.known {
                let used = known.used(self.spans.clearance, now);
                let Some(used) = used.filter(|_| which(known.client(), known.user())) else { continue };
                count += 1;
                if floor.is_none_or(|floor| floor < used) {
                    found.extend(known.clearance(*key, used));
                }
            }
            drop(part);
            newest.append(&mut found);
            if max > 0 && newest.len() >= 2 * max {
                // So that a million of them take no more memory than those that are asked for.
                newest.select_nth_unstable_by(max - 1, Clearance::by_use);
                newest.truncate(max);
                floor = newest.last().map(|oldest| oldest.used);
            }
        }
        newest.sort_unstable_by(Clearance::by_use);
        newest.truncate(max);
        Listed { count, clearances: newest }
    }

    /// Takes up a clearance that was kept over a restart, unless it is over by now. By a clock that was set back since,
    /// it was used just now; by one that was set far back, it is over.
    pub fn restore(&self, clearance: Clearance, now: Now) {
        let Clearance { key, name, means, since, used } = clearance;
        let span = self.spans.clearance;
        if Duration::from_micros(now.time.0.abs_diff(used.0)) >= span {
            return;
        }
        let unused = Duration::from_micros(now.time.0.saturating_sub(used.0));
        let mut part = self.parts.of(&key);
        if let Some(known) = self.entry(&mut part, key, &name, now.moment) {
            known.show(means, since, now.moment + (span - unused));
            self.changed(true);
        }
    }

    /// Forgets what is over. Called about once a minute.
    pub fn sweep(&self, now: Moment) {
        let mut any_ended = false;
        for mut part in self.parts.each() {
            part.known.retain(|_, known| {
                let was_shown = known.shown.is_some();
                let is_kept = known.sweep(now) || now < known.last + FORGOTTEN;
                any_ended |= was_shown && known.shown.is_none();
                if !is_kept {
                    self.clients.leave(known.client());
                }
                is_kept
            });
            let kept = part.known.len();
            part.known.shrink_to(kept * 2);
        }
        self.changed(any_ended);
    }

    fn entry<'a>(&self, part: &'a mut Part, key: ProgramKey, name: &ProgramName, now: Moment) -> Option<&'a mut Known> {
        let known = &mut part.known;
        if !known.contains_key(&key) && !self.clients.enter(name.client) {
            return None;
        }
        let known = known.entry(key).or_insert_with(|| Box::new(Known::new(name, now)));
        known.last = now;
        Some(known)
    }

    fn clear_known(&self, known: &mut Known, means: Means, now: Now) {
        known.failures = 0;
        known.show(means, now.time, now.moment + self.spans.clearance);
        self.changed(true);
    }

    /// A target, and whether a person has said that it is meant, in eight bytes: nobody can tell which others have
    /// the same, and there are too many to find one by chance.
    fn place(&self, target: (&Host, u16), confirmed: bool) -> u64 {
        self.places.hash_one((target, confirmed))
    }

    fn changed(&self, is_changed: bool) {
        self.changes.fetch_add(is_changed.into(), Ordering::Relaxed);
    }
}

impl Clearance {
    /// The one used last first.
    fn by_use(&self, other: &Self) -> std::cmp::Ordering {
        other.used.cmp(&self.used).then(self.key.cmp(&other.key))
    }
}

#[cfg(test)]
mod tests;

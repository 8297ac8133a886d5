//! What is kept of one program.

use std::time::Duration;

use crate::facts::{ClientKey, Moment, ProgramKey, Timestamp};
use crate::identity::ProgramName;

use super::{Clearance, Means, Now};

/// Of the names of a program so many bytes are kept; where they are longer the User-Agent is cut. They are only shown:
/// the key of the program is of all that it has sent.
pub(super) const NAMES_BYTES_MAX: usize = 190;
/// Of a user's name so many.
const USER_BYTES_MAX: usize = 64;
/// Of a face so many: a stable key of TLS has 38.
const FACE_BYTES_MAX: usize = 48;
/// So many targets of one program have something of their own shown for them; of more the oldest goes, and is to
/// be shown again.
pub(super) const TARGETS_MAX: usize = 6;

/// A program.
#[derive(Debug)]
pub(super) struct Known {
    names: Names,
    pub(super) shown: Option<Shown>,
    pub(super) open: Option<Box<Open>>,
    /// Resets that it has not answered, one after the other.
    pub(super) failures: u32,
    /// When it failed last.
    pub(super) failed: Moment,
    pub(super) last: Moment,
}

/// That it is a browser.
#[derive(Debug)]
pub(super) struct Shown {
    means: Means,
    /// For who reads it, and for nothing else.
    since: Timestamp,
    /// Unless it is used before.
    pub(super) ends: Moment,
    targets: Vec<ShownFor>,
}

/// What was shown for one target.
#[derive(Debug)]
struct ShownFor {
    place: u64,
    until: Moment,
}

/// A reset whose answer is awaited.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) number: u64,
    pub(super) place: u64,
    /// When the tunnel was ended; until then nothing is an answer.
    pub(super) ended: Option<Moment>,
    pub(super) until: Moment,
    pub(super) held: u32,
}

/// A [`ProgramName`] in one piece of memory: its face, its user and its User-Agent.
#[derive(Debug)]
struct Names {
    client: ClientKey,
    text: Box<str>,
    face_bytes: u8,
    user_bytes: u8,
    has_user: bool,
}

impl Known {
    pub(super) fn new(name: &ProgramName, now: Moment) -> Self {
        Self { names: Names::of(name), shown: None, open: None, failures: 0, failed: now, last: now }
    }

    pub(super) fn client(&self) -> ClientKey {
        self.names.client
    }

    /// Its user, as far as that is kept.
    pub(super) fn user(&self) -> Option<&str> {
        self.names.user()
    }

    /// What it has shown, if that holds.
    pub(super) fn shown_at(&mut self, now: Moment) -> Option<&mut Shown> {
        self.shown.as_mut().filter(|shown| now < shown.ends)
    }

    /// It is a browser until then. A second means takes nothing away that was shown by the first.
    pub(super) fn show(&mut self, means: Means, since: Timestamp, ends: Moment) {
        match &mut self.shown {
            Some(shown) => (shown.means, shown.ends) = (means, shown.ends.max(ends)),
            None => self.shown = Some(Shown { means, since, ends, targets: Vec::new() }),
        }
    }

    /// When its clearance, which lasts so long, was used, if it holds.
    pub(super) fn used(&self, span: Duration, now: Now) -> Option<Timestamp> {
        let shown = self.shown.as_ref().filter(|shown| now.moment < shown.ends)?;
        let unused = span.saturating_sub(shown.ends - now.moment);
        Some(Timestamp(now.time.0.saturating_sub(u64::try_from(unused.as_micros()).unwrap_or(u64::MAX))))
    }

    /// Its clearance, which was used then.
    pub(super) fn clearance(&self, key: ProgramKey, used: Timestamp) -> Option<Clearance> {
        let shown = self.shown.as_ref()?;
        Some(Clearance { key, name: self.names.name(), means: shown.means, since: shown.since, used })
    }

    /// Forgets what is over. False when nothing is left but how often it has failed.
    pub(super) fn sweep(&mut self, now: Moment) -> bool {
        match &mut self.shown {
            Some(shown) if now < shown.ends => shown.sweep(now),
            Some(_) => self.shown = None,
            None => {}
        }
        self.shown.is_some() || self.open.as_ref().is_some_and(|open| now < open.until)
    }
}

impl Shown {
    pub(super) fn is_for_any(&self) -> bool {
        !self.targets.is_empty()
    }

    pub(super) fn is_for(&self, place: u64, now: Moment) -> bool {
        self.targets.iter().any(|target| target.place == place && now < target.until)
    }

    /// It was shown for this place, in place of what was shown for the other.
    pub(super) fn show_for(&mut self, place: u64, other: u64, now: Moment, until: Moment) {
        self.targets.retain(|target| now < target.until && target.place != place && target.place != other);
        if self.targets.len() >= TARGETS_MAX {
            self.targets.remove(0);
        }
        self.targets.reserve_exact(1);
        self.targets.push(ShownFor { place, until });
    }

    fn sweep(&mut self, now: Moment) {
        self.targets.retain(|target| now < target.until);
        if self.targets.is_empty() {
            self.targets = Vec::new();
        }
    }
}

impl Names {
    fn of(name: &ProgramName) -> Self {
        let face = cut(&name.face, FACE_BYTES_MAX);
        let user = cut(name.user.as_deref().unwrap_or_default(), USER_BYTES_MAX);
        let user_agent = cut(&name.user_agent, NAMES_BYTES_MAX - face.len() - user.len());
        Self {
            client: name.client,
            text: [face, user, user_agent].concat().into(),
            face_bytes: face.len() as u8,
            user_bytes: user.len() as u8,
            has_user: name.user.is_some(),
        }
    }

    fn user(&self) -> Option<&str> {
        let (_, rest) = self.text.split_at(self.face_bytes.into());
        self.has_user.then(|| rest.split_at(self.user_bytes.into()).0)
    }

    fn name(&self) -> ProgramName {
        let (face, rest) = self.text.split_at(self.face_bytes.into());
        let (_, user_agent) = rest.split_at(self.user_bytes.into());
        ProgramName {
            client: self.client,
            user: self.user().map(Into::into),
            user_agent: user_agent.into(),
            face: face.into(),
        }
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

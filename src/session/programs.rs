//! What programs have shown, shared by all workers, and the waiting for what they have not shown yet.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::challenge::{
    Canary, Change, Clearance, Listed, Means, Now, Programs, Settled, Spans, Step, Ticket, Version,
};
use crate::clock;
use crate::facts::{ClientKey, Host, Moment, ProgramKey, Standing, Target};
use crate::identity::ProgramName;

/// What becomes of a challenged tunnel of a browser version that does not come back any more, where nothing speaks
/// against its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// Its program is cleared for what it shows.
    Identity,
    /// It is refused.
    Deny,
}

/// The one table of programs, and a bell that rings when one of them was cleared or failed.
#[derive(Debug)]
pub struct Standings {
    programs: Programs,
    canary: Mutex<Canary>,
    fallback: Fallback,
    bell: watch::Sender<()>,
}

impl Standings {
    pub fn new(spans: Spans, fallback: Fallback) -> Self {
        let (programs, canary) = (Programs::new(spans), Mutex::default());
        Self { programs, canary, fallback, bell: watch::Sender::new(()) }
    }

    fn canary(&self) -> MutexGuard<'_, Canary> {
        self.canary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of a consistent program of this version instead of a reset, where that version does not come
    /// back any more.
    pub(super) fn instead_of_reset(&self, version: &Version) -> Option<Fallback> {
        let resets = self.canary().resets(version, clock::now());
        (!resets).then_some(self.fallback)
    }

    /// Takes up what a consistent program of this version made of a reset.
    pub(super) fn heard(&self, version: &Version, client: ClientKey, returned: bool) -> Option<Change> {
        self.canary().heard(version, client, returned, clock::now())
    }

    /// Versions of browsers that do not come back any more.
    pub fn silent(&self) -> Vec<String> {
        let silent = self.canary().silent(clock::now());
        silent.iter().map(ToString::to_string).collect()
    }

    /// What this program has shown, for this target.
    pub(super) fn of(&self, key: &ProgramKey, target: &Target) -> Standing {
        self.programs.standing(key, (&target.host, target.port), clock::moment())
    }

    /// What becomes of a tunnel that the policy challenges.
    pub(super) fn tunnel(
        &self,
        key: ProgramKey,
        name: &ProgramName,
        (host, port): (&Host, u16),
        head_at: Moment,
    ) -> Step {
        let step = self.programs.tunnel(&crate::challenge::Asked { key, name, host, port, head_at }, now());
        if let Step::Returned { .. } = step {
            self.ring();
        }
        step
    }

    /// The tunnel of this ticket is ended now.
    pub(super) fn ended(&self, ticket: Ticket) -> Moment {
        self.programs.ended(ticket, clock::moment())
    }

    /// Waits until this program has answered a reset, or its time is over.
    pub(super) async fn settle(&self, ticket: Ticket) -> Settled {
        let mut bell = self.bell.subscribe();
        loop {
            let settled = self.programs.settle(ticket, clock::moment());
            match settled {
                Settled::Open(until) => wait(&mut bell, until).await,
                Settled::DidNotReturn => {
                    self.ring();
                    return settled;
                }
                Settled::Returned => return settled,
            }
        }
    }

    /// Waits until this program's reset was answered, or until then. What was held is to ask again.
    pub(super) async fn hold(&self, key: &ProgramKey, until: Moment) {
        let mut bell = self.bell.subscribe();
        // The bell rings for others too, and not again for what was answered before this one listened.
        while self.programs.waits(key) && clock::moment() < until {
            wait(&mut bell, until).await;
        }
        self.programs.unhold(key);
    }

    /// Resets that a program has not answered, one after the other.
    pub(super) fn failures(&self, key: &ProgramKey) -> u32 {
        self.programs.failures(key)
    }

    /// A program has shown by these means to be a browser. False where so many programs are known, all in all or of
    /// its client, that it is not kept.
    pub(super) fn clear(&self, key: ProgramKey, name: &ProgramName, means: Means) -> bool {
        let is_kept = self.programs.clear(key, name, means, now());
        self.ring();
        is_kept
    }

    /// A person has said on a cleared program that this very target is meant.
    pub(super) fn confirm(&self, key: &ProgramKey, target: (&Host, u16)) {
        self.programs.show_for(key, target, true, clock::moment());
    }

    /// The clearances that hold: how many there are, and so many of them, the ones used last.
    pub fn list(&self, max: usize) -> Listed {
        self.programs.list(max, now())
    }

    /// The same, of those alone of whose client and user `which` is true.
    pub fn list_of(&self, max: usize, which: impl Fn(ClientKey, Option<&str>) -> bool) -> Listed {
        self.programs.list_of(max, now(), which)
    }

    /// Another number whenever a clearance was given, taken back or has ended.
    pub fn changes(&self) -> u64 {
        self.programs.changes()
    }

    /// Takes clearances back, and says how many.
    pub fn revoke(&self, which: impl FnMut(&ProgramKey, ClientKey, Option<&str>) -> bool) -> usize {
        self.programs.revoke(which)
    }

    /// Takes up what was kept over a restart.
    pub fn restore(&self, kept: Vec<Clearance>) {
        let now = now();
        kept.into_iter().for_each(|clearance| self.programs.restore(clearance, now));
    }

    /// Forgets what is over. Called about once a minute.
    pub fn sweep(&self) {
        self.programs.sweep(clock::moment());
    }

    fn ring(&self) {
        self.bell.send_replace(());
    }
}

fn now() -> Now {
    Now { moment: clock::moment(), time: clock::now() }
}

async fn wait(bell: &mut watch::Receiver<()>, until: Moment) {
    let left = until - clock::moment();
    let _ = timeout_at(Instant::now() + left, bell.changed()).await;
}

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::evidence::{Capacity, Health, Outlook, Record};
use crate::session::Gate;

use super::breakglass;
use super::clock_watch::ClockWatch;

/// How often the gate looks at itself.
const LOOK: Duration = Duration::from_secs(1);

/// Tells whoever reads the gate's standard error, for as long as it is polled, when it cannot do its
/// work and when it can again: one line at each change, never one for each request. How long the disk
/// lasts goes on record too, and that the clock was set. It never waits for the journal.
pub(super) async fn tell(gate: &Gate, mut clock_watch: ClockWatch) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = State::default();
    loop {
        ticks.tick().await;
        let now = State::of(gate, &last);
        for line in changes(&last, &now) {
            eprintln!("sekisho: {line}");
        }
        if let Some(outlook) = now.outlook.filter(|_| now.capacity != last.capacity) {
            let (level, detail) = (now.capacity.as_str(), describe(&outlook));
            let record = Record::Health(Health { subject: "disk", level, detail: detail.as_str().into() });
            gate.journal.tell(&record, clock::now());
        }
        if let Some(step) = clock_watch.look(clock::now(), clock::boot_moment()) {
            eprintln!("sekisho: {}", step.in_words());
            gate.journal.tell(&step.record(), clock::now());
        }
        last = now;
        breakglass::expire(gate).await;
    }
}

/// So many looks without another make an end.
const QUIET_LOOKS: u64 = 60;

/// Something that clients meet with: it lasts until one has got through and none has met with it since.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Trouble {
    lasts: bool,
    count: u64,
    through: u64,
    /// What had got through before the look in which somebody last met with it.
    through_before: u64,
    /// Looks until it is over, where nobody's getting through ends it.
    looks_left: u64,
}

impl Trouble {
    fn go_on(self, count: &AtomicU64, through: &AtomicU64) -> Self {
        let (count, through) = (count.load(Ordering::Relaxed), through.load(Ordering::Relaxed));
        if count > self.count {
            return Self { lasts: true, count, through, through_before: self.through, looks_left: 0 };
        }
        Self { lasts: self.lasts && through == self.through_before, through, ..self }
    }

    /// The same for what one client meets with, whatever others do: it lasts for a minute after the last time.
    fn go_on_alone(self, count: &AtomicU64) -> Self {
        let count = count.load(Ordering::Relaxed);
        if count > self.count {
            return Self { lasts: true, count, looks_left: QUIET_LOOKS, ..self };
        }
        let looks_left = self.looks_left.saturating_sub(1);
        Self { lasts: self.lasts && looks_left > 0, looks_left, ..self }
    }
}

#[derive(Default)]
struct State {
    /// The journal's last failure, while it lasts.
    error: Option<String>,
    /// Too many records waited for the disk.
    overloads: u64,
    sync_failures: u64,
    /// Connections were closed unread, as there were too many.
    full: Trouble,
    /// The same, as one client had too many.
    client_full: Trouble,
    /// No client could be accepted.
    exhausted: Trouble,
    outlook: Option<Outlook>,
    capacity: Capacity,
    /// Why there is no whole reserve.
    reserve_error: Option<String>,
    /// Until when a breakglass holds.
    broken_until: Option<String>,
}

impl State {
    fn of(gate: &Gate, last: &State) -> Self {
        let health = gate.journal.health();
        let outlook = gate.journal.outlook(clock::now()).ok();
        let counters = &gate.counters;
        Self {
            error: health.last_error,
            overloads: health.overloads,
            sync_failures: health.sync_failures,
            full: last.full.go_on(&counters.overflows, &counters.accepted),
            client_full: last.client_full.go_on_alone(&counters.overflows_of_clients),
            exhausted: last.exhausted.go_on(&counters.accept_failures, &counters.accepted),
            capacity: outlook.map_or(last.capacity, |(_, capacity)| capacity),
            outlook: outlook.map(|(outlook, _)| outlook),
            reserve_error: health.reserve_error,
            broken_until: breakglass::report(gate).map(|report| report.until),
        }
    }
}

fn changes(last: &State, now: &State) -> Vec<String> {
    let mut lines = changes_of_evidence(last, now);
    let troubles = [
        (
            (last.full, now.full),
            "too many clients are connected, and more are closed unread: see connections_max and `sekisho status`",
            "new clients are taken again",
        ),
        (
            (last.client_full, now.client_full),
            "a client has too many connections, and more of its are closed unread: see client_connections_max; gap \
             records name it",
            "for a minute no client had too many connections",
        ),
        (
            (last.exhausted, now.exhausted),
            "descriptors or memory ran out, and new clients wait until there are some: see LimitNOFILE and \
             connections_max",
            "there are descriptors again, and new clients are accepted",
        ),
    ];
    for ((last, now), begins, ends) in troubles {
        match (last.lasts, now.lasts) {
            (false, true) => lines.push(begins.to_owned()),
            (true, false) => lines.push(ends.to_owned()),
            (true, true) | (false, false) => {}
        }
    }
    lines
}

/// What changed of the records that can be written, of the space they need, and of what may pass without.
fn changes_of_evidence(last: &State, now: &State) -> Vec<String> {
    let mut lines = Vec::new();
    match (&last.error, &now.error) {
        (None, Some(error)) => lines.push(format!(
            "no record can be written ({error}): nothing new passes until it can; see whether the disk is full \
             (`sekisho breakglass --help` tells how rules marked essential pass meanwhile)"
        )),
        (Some(_), None) => lines.push("records are written again; a gap record counts what was lost".to_owned()),
        (Some(_), Some(_)) | (None, None) => {}
    }
    if now.overloads > last.overloads {
        lines.push("records came faster than the disk took them, and requests were refused for want of one".to_owned());
    }
    if now.sync_failures > last.sync_failures {
        lines.push(
            "the disk did not keep what had been written to it: records of the last moments may be lost with the next \
             loss of power; see the kernel's log"
                .to_owned(),
        );
    }
    if let Some(outlook) = now.outlook.filter(|_| now.capacity != last.capacity) {
        let more = if now.capacity > last.capacity {
            ": once it is full nothing passes; make room, or move segments older than a week away"
        } else {
            ", which is more than before"
        };
        lines.push(format!("{}{more}", describe(&outlook)));
    }
    match (&last.reserve_error, &now.reserve_error) {
        (None, Some(error)) => lines.push(format!(
            "not all of the space can be held for the time when the disk is full ({error}): make room, or set reserve_mib"
        )),
        (Some(_), None) => lines.push("space is held again for the time when the disk is full".to_owned()),
        (Some(_), Some(_)) | (None, None) => {}
    }
    match (&last.broken_until, &now.broken_until) {
        (last, Some(until)) if last.as_ref() != Some(until) => lines.push(format!(
            "a breakglass holds until {until}: what essential rules let out passes though no record can be written"
        )),
        (Some(_), None) => lines.push("the breakglass is over".to_owned()),
        (Some(_) | None, Some(_)) | (None, None) => {}
    }
    lines
}

/// How long the disk lasts, in a sentence.
fn describe(outlook: &Outlook) -> String {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    match (outlook.days_left(), outlook.bytes_per_day) {
        (Some(days), Some(per_day)) => format!(
            "the disk of the journal lasts about {days:.1} days ({} MiB free, {} MiB a day)",
            mib(outlook.free_bytes),
            mib(per_day)
        ),
        _ => format!("the disk of the journal has {} MiB free", mib(outlook.free_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(error: Option<&str>, lasts: bool) -> State {
        let trouble = Trouble { lasts, ..Trouble::default() };
        let error = error.map(str::to_owned);
        State { error, full: trouble, client_full: trouble, exhausted: trouble, ..State::default() }
    }

    #[test]
    fn a_change_is_told_once_and_its_end_too() {
        let (well, ill) = (state(None, false), state(Some("no space left"), true));
        assert_eq!(changes(&well, &well), Vec::<String>::new());
        let told = changes(&well, &ill).join("\n");
        for word in ["no space left", "see connections_max", "client_connections_max", "descriptors"] {
            assert!(told.contains(word), "{told}");
        }
        assert_eq!(changes(&ill, &ill), Vec::<String>::new());
        assert_eq!(changes(&ill, &well).len(), 4);
        let worse = State { overloads: 1, sync_failures: 1, ..State::default() };
        assert_eq!(changes(&well, &worse).len(), 2);
        assert_eq!(changes(&worse, &worse), Vec::<String>::new());
    }

    #[test]
    fn a_trouble_ends_when_somebody_got_through_and_not_because_nobody_tried() {
        let (count, through) = (AtomicU64::new(0), AtomicU64::new(5));
        let mut trouble = Trouble::default();
        let mut look = |meets: u64, passes: u64| {
            count.fetch_add(meets, Ordering::Relaxed);
            through.fetch_add(passes, Ordering::Relaxed);
            trouble = trouble.go_on(&count, &through);
            trouble.lasts
        };
        assert!(!look(0, 1) && look(3, 0) && look(0, 0) && look(0, 0) && look(1, 0) && !look(0, 1) && !look(0, 0));
        assert!(look(1, 3) && !look(0, 0), "somebody got through in the look in which it was met with last");
        let count = AtomicU64::new(1);
        let mut alone = Trouble::default().go_on_alone(&count);
        for _ in 1..QUIET_LOOKS {
            alone = alone.go_on_alone(&count);
            assert!(alone.lasts);
        }
        assert!(!alone.go_on_alone(&count).lasts);
    }

    #[test]
    fn the_days_that_are_left_are_told_when_they_become_few_and_fewer() {
        let lasting = |days: u64, last: Capacity| {
            let outlook = Outlook { free_bytes: days << 30, bytes_per_day: Some(1 << 30) };
            State { outlook: Some(outlook), capacity: outlook.capacity(last), ..State::default() }
        };
        let (month, week, day) = (lasting(30, Capacity::Ample), lasting(6, Capacity::Ample), lasting(1, Capacity::Low));
        assert_eq!(changes(&State::default(), &month), Vec::<String>::new());
        let told = changes(&month, &week);
        assert!(told[0].contains("about 6.0 days (6144 MiB free, 1024 MiB a day)"), "{told:?}");
        assert_eq!(changes(&week, &lasting(5, Capacity::Low)), Vec::<String>::new());
        assert!(changes(&week, &day)[0].contains("about 1.0 days"));
        assert!(changes(&day, &month)[0].ends_with("which is more than before"));
    }

    #[test]
    fn a_breakglass_and_a_missing_reserve_are_told() {
        let broken = State { broken_until: Some("12:00".to_owned()), ..State::default() };
        assert!(changes(&State::default(), &broken)[0].contains("until 12:00"));
        assert_eq!(changes(&broken, &broken), Vec::<String>::new());
        assert_eq!(changes(&broken, &State::default()), ["the breakglass is over"]);
        let bare = State { reserve_error: Some("no space".to_owned()), ..State::default() };
        assert!(changes(&State::default(), &bare)[0].contains("reserve_mib"));
        assert_eq!(changes(&bare, &State::default()).len(), 1);
    }
}

use crate::identity::AGENT_BYTES_MAX;

use super::*;

const KEY: ProgramKey = ProgramKey([1; 16]);
const OTHER: ProgramKey = ProgramKey([2; 16]);
const MS: u64 = 1000;
const HOUR: u64 = 3600 * 1000 * MS;

fn name() -> ProgramName {
    let client = ClientKey::of("10.0.0.1".parse().unwrap());
    ProgramName { client, user: None, user_agent: "Mozilla/5.0".into(), face: "a_b_c".into() }
}

fn host(name: &str) -> Host {
    Host::parse(name.as_bytes()).unwrap()
}

/// Programs, and a clock that is moved by hand; times are in milliseconds.
struct Desk {
    programs: Programs,
    name: ProgramName,
}

impl Desk {
    fn new() -> Self {
        Self { programs: Programs::new(Spans::default()), name: name() }
    }

    fn now(ms: u64) -> Now {
        Now { moment: Moment(ms * MS), time: Timestamp(HOUR * 500_000 + ms * MS) }
    }

    /// A CONNECT whose head came at the first time, and that is judged at the second.
    fn tunnel(&mut self, key: ProgramKey, at: &str, head: u64, judged: u64) -> Step {
        let host = host(at);
        let asked = Asked { key, name: &self.name, host: &host, port: 443, head_at: Moment(head * MS) };
        self.programs.tunnel(&asked, Self::now(judged))
    }

    fn reset(&mut self, key: ProgramKey, at: &str, ms: u64) -> Ticket {
        match self.tunnel(key, at, ms, ms) {
            Step::Reset(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn ended(&mut self, ticket: Ticket, ms: u64) {
        self.programs.ended(ticket, Moment(ms * MS));
    }

    fn standing(&mut self, key: ProgramKey, ms: u64) -> Standing {
        self.programs.standing(&key, (&host("a.test"), 443), Self::now(ms).time)
    }
}

const CLEARED: Standing = Standing::Cleared { afresh: false, confirmed: false };

#[test]
fn a_program_that_comes_back_to_the_same_place_is_cleared_and_another_is_not() {
    let mut desk = Desk::new();
    assert_eq!(desk.standing(KEY, 0), Standing::Uncleared);
    let ticket = desk.reset(KEY, "a.test", 0);
    desk.ended(ticket, 2);
    assert_eq!(desk.tunnel(KEY, "a.test", 5, 5), Step::Returned { after: Duration::from_millis(3) });
    assert_eq!((desk.standing(KEY, 6), desk.standing(OTHER, 6)), (CLEARED, Standing::Uncleared));
    assert_eq!(desk.programs.settle(ticket, Desk::now(900)), Settled::Returned);
    assert_eq!(desk.programs.list(Desk::now(900).time)[0].means, Means::Reset);
}

#[test]
fn what_was_on_its_way_when_the_tunnel_ended_is_no_return() {
    let mut desk = Desk::new();
    let ticket = desk.reset(KEY, "a.test", 0);
    // Not ended yet; ended after its head had come; and hardly before it.
    assert!(matches!(desk.tunnel(KEY, "a.test", 1, 1), Step::Hold(_)));
    desk.ended(ticket, 10);
    assert!(matches!(desk.tunnel(KEY, "a.test", 9, 11), Step::Hold(until) if until == Moment(810 * MS)));
    assert!(matches!(desk.tunnel(KEY, "a.test", 10, 12), Step::Hold(_)));
    assert!(matches!(desk.tunnel(KEY, "a.test", 11, 12), Step::Returned { .. }));
}

#[test]
fn another_place_or_another_program_is_no_return_and_waits_or_is_reset_itself() {
    let mut desk = Desk::new();
    let ticket = desk.reset(KEY, "a.test", 0);
    desk.ended(ticket, 1);
    assert!(matches!(desk.tunnel(KEY, "b.test", 5, 5), Step::Hold(_)));
    assert!(matches!(desk.tunnel(OTHER, "a.test", 5, 5), Step::Reset(_)));
    assert_eq!(desk.programs.settle(ticket, Desk::now(5)), Settled::Open(Moment(801 * MS)));
    assert_eq!(desk.programs.settle(ticket, Desk::now(801)), Settled::DidNotReturn);
    assert_eq!((desk.programs.failures(&KEY), desk.programs.failures(&OTHER)), (1, 0));
}

#[test]
fn who_comes_too_late_is_reset_again_and_counted() {
    let mut desk = Desk::new();
    let first = desk.reset(KEY, "a.test", 0);
    desk.ended(first, 1);
    // curl tries again after a second.
    let second = desk.reset(KEY, "a.test", 1001);
    assert_eq!(desk.programs.settle(first, Desk::now(1001)), Settled::DidNotReturn);
    assert_eq!(desk.programs.failures(&KEY), 1, "counted once");
    desk.ended(second, 1002);
    assert_eq!(desk.programs.settle(second, Desk::now(1802)), Settled::DidNotReturn);
    assert_eq!(desk.programs.failures(&KEY), 2);
    let third = desk.reset(KEY, "a.test", 5000);
    desk.ended(third, 5001);
    assert!(matches!(desk.tunnel(KEY, "a.test", 5003, 5003), Step::Returned { .. }));
    assert_eq!(desk.programs.failures(&KEY), 0);
}

#[test]
fn so_many_tunnels_wait_and_no_more() {
    let mut desk = Desk::new();
    let ticket = desk.reset(KEY, "a.test", 0);
    desk.ended(ticket, 1);
    for _ in 0..HELD_MAX {
        assert!(matches!(desk.tunnel(KEY, "b.test", 2, 2), Step::Hold(_)));
    }
    assert_eq!(desk.tunnel(KEY, "b.test", 2, 2), Step::Busy);
    desk.programs.unhold(&KEY);
    assert!(matches!(desk.tunnel(KEY, "b.test", 2, 2), Step::Hold(_)));
    assert!(matches!(desk.tunnel(KEY, "a.test", 5, 5), Step::Returned { .. }), "the answer itself always passes");
}

#[test]
fn a_clearance_slides_with_its_use_and_ends_without_one() {
    let mut desk = Desk::new();
    assert!(desk.programs.clear(KEY, &desk.name, Means::Page, Desk::now(0).time));
    let hours = |hours: u64| hours * 3_600_000;
    assert_eq!(desk.standing(KEY, hours(7)), CLEARED);
    assert_eq!(desk.standing(KEY, hours(14)), CLEARED);
    assert_eq!(desk.standing(KEY, hours(22)), Standing::Uncleared);
    desk.programs.sweep(Desk::now(hours(22)));
    assert!(desk.programs.list(Desk::now(hours(22)).time).is_empty());
    assert_eq!(desk.programs.known.len(), 0);
}

#[test]
fn a_clock_that_is_set_makes_no_clearance_last_longer_than_its_span() {
    let mut desk = Desk::new();
    let at = |hours: u64| Timestamp(HOUR * (1000 + hours));
    desk.programs.clear(KEY, &desk.name, Means::Page, at(100));
    let mut standing = |hours: u64| desk.programs.standing(&KEY, (&host("a.test"), 443), at(hours));
    assert_eq!((standing(93), standing(91)), (CLEARED, Standing::Uncleared));
    assert_eq!(standing(109), Standing::Uncleared);
}

#[test]
fn what_is_shown_for_one_target_holds_for_no_other_and_not_for_long() {
    let mut desk = Desk::new();
    let now = Desk::now(0).time;
    desk.programs.show_for(&KEY, (&host("a.test"), 443), true, now);
    assert_eq!(desk.standing(KEY, 0), Standing::Uncleared, "there is no clearance to which it could belong");
    desk.programs.clear(KEY, &desk.name, Means::Page, now);
    desk.programs.show_for(&KEY, (&host("a.test"), 443), false, now);
    assert_eq!(desk.standing(KEY, 1), Standing::Cleared { afresh: true, confirmed: false });
    desk.programs.show_for(&KEY, (&host("a.test"), 443), true, now);
    assert_eq!(desk.standing(KEY, 1), Standing::Cleared { afresh: true, confirmed: true });
    for (name, port) in [("b.test", 443), ("a.test", 80)] {
        assert_eq!(desk.programs.standing(&KEY, (&host(name), port), now), CLEARED, "{name}:{port}");
    }
    assert_eq!(desk.standing(KEY, 900_000), CLEARED);
    for number in 0..TARGETS_MAX {
        desk.programs.show_for(&KEY, (&host(&format!("h{number}.test")), 443), false, now);
    }
    assert_eq!(desk.standing(KEY, 1), CLEARED, "the oldest went");
}

#[test]
fn what_is_revoked_is_to_be_shown_again_and_the_rest_stays() {
    let mut desk = Desk::new();
    let now = Desk::now(0).time;
    for key in [KEY, OTHER] {
        desk.programs.clear(key, &desk.name, Means::Page, now);
    }
    assert_eq!(desk.programs.revoke(|key, _| *key == KEY), 1);
    assert_eq!((desk.standing(KEY, 1), desk.standing(OTHER, 1)), (Standing::Uncleared, CLEARED));
    assert_eq!(desk.programs.revoke(|key, _| *key == KEY), 0);
}

#[test]
fn clearances_outlive_a_restart_and_not_their_span() {
    let mut desk = Desk::new();
    desk.programs.clear(KEY, &desk.name, Means::Reset, Desk::now(0).time);
    let kept = desk.programs.list(Desk::now(1).time);
    let mut after = Desk::new();
    after.programs.restore(kept[0].clone(), Desk::now(2).time);
    assert_eq!(after.programs.list(Desk::now(2).time), kept);
    assert_eq!(after.standing(KEY, 2), CLEARED);
    let mut late = Desk::new();
    late.programs.restore(kept[0].clone(), Desk::now(9 * 3_600_000).time);
    assert_eq!(late.standing(KEY, 9 * 3_600_000), Standing::Uncleared);
}

#[test]
fn a_program_without_a_clearance_is_forgotten_after_an_hour() {
    let mut desk = Desk::new();
    let ticket = desk.reset(KEY, "a.test", 0);
    desk.ended(ticket, 1);
    desk.programs.sweep(Desk::now(3_599_000));
    assert_eq!(desk.programs.known.len(), 1);
    desk.programs.sweep(Desk::now(3_600_000));
    assert_eq!(desk.programs.known.len(), 0);
    assert_eq!(desk.programs.settle(ticket, Desk::now(3_600_001)), Settled::DidNotReturn);
}

#[test]
fn what_is_kept_of_a_program_is_small() {
    // With its hash table's share, its User-Agent and its face.
    let of_text = AGENT_BYTES_MAX + 38 + size_of::<ProgramKey>() * 2;
    assert!(size_of::<Known>() + of_text <= 512, "{}", size_of::<Known>() + of_text);
}

#[test]
fn a_client_that_calls_itself_ever_anew_takes_no_place_of_another() {
    let mut desk = Desk::new();
    let key = |number: u32| ProgramKey(u128::from(number).to_be_bytes());
    for number in 0..PROGRAMS_OF_CLIENT_MAX {
        assert!(desk.programs.clear(key(number), &desk.name, Means::Page, Desk::now(0).time));
    }
    assert!(!desk.programs.clear(key(PROGRAMS_OF_CLIENT_MAX), &desk.name, Means::Page, Desk::now(0).time));
    assert!(desk.programs.clear(key(7), &desk.name, Means::Page, Desk::now(0).time), "one that is known stays");
    let other = ProgramName { client: ClientKey::of("10.0.0.2".parse().unwrap()), ..name() };
    assert!(desk.programs.clear(OTHER, &other, Means::Page, Desk::now(0).time));
    desk.programs.sweep(Desk::now(9 * 3_600_000));
    assert!(desk.programs.of_client.is_empty());
}

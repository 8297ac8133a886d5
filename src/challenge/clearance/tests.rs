use super::known::{NAMES_BYTES_MAX, TARGETS_MAX};
use super::parts::PROGRAMS_OF_CLIENT_MAX;
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
    fn tunnel(&self, key: ProgramKey, at: &str, head: u64, judged: u64) -> Step {
        let host = host(at);
        let asked = Asked { key, name: &self.name, host: &host, port: 443, head_at: Moment(head * MS) };
        self.programs.tunnel(&asked, Self::now(judged))
    }

    fn reset(&self, key: ProgramKey, at: &str, ms: u64) -> Ticket {
        match self.tunnel(key, at, ms, ms) {
            Step::Reset(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn ended(&self, ticket: Ticket, ms: u64) {
        self.programs.ended(ticket, Moment(ms * MS));
    }

    fn standing(&self, key: ProgramKey, ms: u64) -> Standing {
        self.programs.standing(&key, (&host("a.test"), 443), Self::now(ms).moment)
    }
}

const CLEARED: Standing = Standing::Cleared { afresh: false, confirmed: false };

#[test]
fn a_program_that_comes_back_to_the_same_place_is_cleared_and_another_is_not() {
    let desk = Desk::new();
    assert_eq!(desk.standing(KEY, 0), Standing::Uncleared);
    let ticket = desk.reset(KEY, "a.test", 0);
    desk.ended(ticket, 2);
    assert_eq!(desk.tunnel(KEY, "a.test", 5, 5), Step::Returned { after: Duration::from_millis(3) });
    assert_eq!((desk.standing(KEY, 6), desk.standing(OTHER, 6)), (CLEARED, Standing::Uncleared));
    assert_eq!(desk.programs.settle(ticket, Desk::now(900).moment), Settled::Returned);
    assert_eq!(desk.programs.list(9, Desk::now(900)).clearances[0].means, Means::Reset);
}

#[test]
fn what_was_on_its_way_when_the_tunnel_ended_is_no_return() {
    let desk = Desk::new();
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
    let desk = Desk::new();
    let ticket = desk.reset(KEY, "a.test", 0);
    desk.ended(ticket, 1);
    assert!(matches!(desk.tunnel(KEY, "b.test", 5, 5), Step::Hold(_)));
    assert!(matches!(desk.tunnel(OTHER, "a.test", 5, 5), Step::Reset(_)));
    assert_eq!(desk.programs.settle(ticket, Desk::now(5).moment), Settled::Open(Moment(801 * MS)));
    assert_eq!(desk.programs.settle(ticket, Desk::now(801).moment), Settled::DidNotReturn);
    assert_eq!((desk.programs.failures(&KEY), desk.programs.failures(&OTHER)), (1, 0));
}

#[test]
fn who_comes_too_late_is_reset_again_and_counted() {
    let desk = Desk::new();
    let first = desk.reset(KEY, "a.test", 0);
    desk.ended(first, 1);
    // curl tries again after a second.
    let second = desk.reset(KEY, "a.test", 1001);
    assert_eq!(desk.programs.settle(first, Desk::now(1001).moment), Settled::DidNotReturn);
    assert_eq!(desk.programs.failures(&KEY), 1, "counted once");
    desk.ended(second, 1002);
    assert_eq!(desk.programs.settle(second, Desk::now(1802).moment), Settled::DidNotReturn);
    assert_eq!(desk.programs.failures(&KEY), 2);
    // So that no chain of windows catches what tries again by the clock.
    assert_eq!(desk.tunnel(KEY, "a.test", 1803, 1803), Step::Busy);
    assert_eq!(desk.tunnel(KEY, "a.test", 11_801, 11_801), Step::Busy);
    let third = desk.reset(KEY, "a.test", 11_802);
    desk.ended(third, 11_803);
    assert!(matches!(desk.tunnel(KEY, "a.test", 11_805, 11_805), Step::Returned { .. }));
    assert_eq!(desk.programs.failures(&KEY), 0);
}

#[test]
fn a_tunnel_that_was_judged_before_the_answer_of_another_is_not_reset() {
    let desk = Desk::new();
    let ticket = desk.reset(KEY, "a.test", 0);
    desk.ended(ticket, 1);
    // Both were judged without a clearance.
    assert!(matches!(desk.tunnel(KEY, "a.test", 5, 6), Step::Returned { .. }));
    assert_eq!(desk.tunnel(KEY, "a.test", 5, 6), Step::Hold(Moment(6 * MS)), "it is to be judged again at once");
    assert!(matches!(desk.tunnel(OTHER, "a.test", 5, 6), Step::Reset(_)));
    assert_eq!(desk.programs.revoke(|_, _, _| true), 1);
    assert!(matches!(desk.tunnel(KEY, "a.test", 7, 7), Step::Reset(_)));
}

#[test]
fn so_many_tunnels_wait_and_no_more() {
    let desk = Desk::new();
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
    let desk = Desk::new();
    assert!(desk.programs.clear(KEY, &desk.name, Means::Page, Desk::now(0)));
    let hours = |hours: u64| hours * 3_600_000;
    assert_eq!(desk.standing(KEY, hours(7)), CLEARED);
    assert_eq!(desk.standing(KEY, hours(14)), CLEARED);
    assert_eq!(desk.standing(KEY, hours(22)), Standing::Uncleared);
    desk.programs.sweep(Desk::now(hours(22)).moment);
    assert!(desk.programs.list(9, Desk::now(hours(22))).clearances.is_empty());
    assert_eq!(desk.programs.count(), 0);
}

/// So long after the start by the clock that is never set, and by the wall clock.
fn at(moment_hours: u64, time_hours: u64) -> Now {
    Now { moment: Moment(moment_hours * HOUR), time: Timestamp((1000 + time_hours) * HOUR) }
}

#[test]
fn a_step_of_the_wall_clock_neither_ends_a_clearance_nor_prolongs_it() {
    for set_to in [0, 99, 101, 124, 500] {
        let desk = Desk::new();
        desk.programs.clear(KEY, &desk.name, Means::Page, at(1, 100));
        let listed = |moment: u64| desk.programs.list(9, at(moment, set_to + moment - 1)).clearances;
        assert_eq!(listed(8)[0].used, at(1, set_to).time, "{set_to}: by the clock as it is now");
        desk.programs.sweep(at(8, set_to).moment);
        assert_eq!(listed(8).len(), 1, "{set_to}");
        assert_eq!(listed(9).len(), 0, "{set_to}");
    }
}

#[test]
fn what_is_shown_for_one_target_ends_with_its_span_and_its_neighbour_stays() {
    let desk = Desk::new();
    desk.programs.clear(KEY, &desk.name, Means::Page, Desk::now(0));
    let (first, second) = (host("a.test"), host("b.test"));
    desk.programs.show_for(&KEY, (&first, 443), true, Desk::now(0).moment);
    desk.programs.show_for(&KEY, (&second, 443), false, Desk::now(1).moment);
    desk.programs.sweep(Desk::now(900_000).moment);
    let standing = |host, ms| desk.programs.standing(&KEY, (host, 443), Desk::now(ms).moment);
    assert_eq!(standing(&first, 900_000), CLEARED);
    assert_eq!(standing(&second, 900_000), Standing::Cleared { afresh: true, confirmed: false });
    assert_eq!(standing(&second, 900_001), CLEARED);
}

#[test]
fn a_step_of_the_wall_clock_leaves_no_reset_open_and_forgets_no_failure() {
    for set_to in [0, 99, 101, 124] {
        let desk = Desk::new();
        let host = host("a.test");
        let asked = Asked { key: KEY, name: &desk.name, host: &host, port: 443, head_at: at(1, 0).moment };
        let Step::Reset(ticket) = desk.programs.tunnel(&asked, at(1, 100)) else { panic!("{set_to}") };
        let until = desk.programs.ended(ticket, at(1, 0).moment);
        let late = Now { moment: until, time: at(0, set_to).time };
        desk.programs.sweep(late.moment);
        assert_eq!(desk.programs.settle(ticket, late.moment), Settled::DidNotReturn, "{set_to}");
        desk.programs.sweep(late.moment);
        assert_eq!((desk.programs.failures(&KEY), desk.programs.waits(&KEY)), (1, false), "{set_to}");
        assert!(matches!(desk.programs.tunnel(&asked, late), Step::Reset(_)), "{set_to}");
    }
}

#[test]
fn a_clock_that_was_set_over_a_restart_makes_no_clearance_last_longer_than_its_span() {
    let desk = Desk::new();
    desk.programs.clear(KEY, &desk.name, Means::Page, at(1, 100));
    let kept = desk.programs.list(9, at(1, 100)).clearances;
    // The hour it is by the wall clock, and how many hours the clearance still holds.
    for (time, holds) in [(100, 8), (103, 5), (107, 1), (108, 0), (124, 0), (99, 8), (93, 8), (92, 0), (0, 0)] {
        let after = Desk::new();
        after.programs.restore(kept[0].clone(), at(0, time));
        let is_held = |hours: u64| !after.programs.list(9, at(hours, 0)).clearances.is_empty();
        assert_eq!((0..20).filter(|hours| is_held(*hours)).count(), holds, "{time}");
    }
}

#[test]
fn what_is_shown_for_one_target_holds_for_no_other_and_not_for_long() {
    let desk = Desk::new();
    let now = Desk::now(0);
    desk.programs.show_for(&KEY, (&host("a.test"), 443), true, now.moment);
    assert_eq!(desk.standing(KEY, 0), Standing::Uncleared, "there is no clearance to which it could belong");
    desk.programs.clear(KEY, &desk.name, Means::Page, now);
    desk.programs.show_for(&KEY, (&host("a.test"), 443), false, now.moment);
    assert_eq!(desk.standing(KEY, 1), Standing::Cleared { afresh: true, confirmed: false });
    desk.programs.show_for(&KEY, (&host("a.test"), 443), true, now.moment);
    assert_eq!(desk.standing(KEY, 1), Standing::Cleared { afresh: true, confirmed: true });
    for (name, port) in [("b.test", 443), ("a.test", 80)] {
        assert_eq!(desk.programs.standing(&KEY, (&host(name), port), now.moment), CLEARED, "{name}:{port}");
    }
    assert_eq!(desk.standing(KEY, 900_000), CLEARED);
    for number in 0..TARGETS_MAX {
        desk.programs.show_for(&KEY, (&host(&format!("h{number}.test")), 443), false, now.moment);
    }
    assert_eq!(desk.standing(KEY, 1), CLEARED, "the oldest went");
}

#[test]
fn what_is_revoked_is_to_be_shown_again_and_the_rest_stays() {
    let desk = Desk::new();
    let now = Desk::now(0);
    for key in [KEY, OTHER] {
        desk.programs.clear(key, &desk.name, Means::Page, now);
    }
    assert_eq!(desk.programs.revoke(|key, _, _| *key == KEY), 1);
    assert_eq!((desk.standing(KEY, 1), desk.standing(OTHER, 1)), (Standing::Uncleared, CLEARED));
    assert_eq!(desk.programs.revoke(|key, _, _| *key == KEY), 0);
}

#[test]
fn clearances_outlive_a_restart_and_not_their_span() {
    let desk = Desk::new();
    desk.programs.clear(KEY, &desk.name, Means::Reset, Desk::now(0));
    let kept = desk.programs.list(9, Desk::now(1)).clearances;
    let after = Desk::new();
    after.programs.restore(kept[0].clone(), Desk::now(2));
    assert_eq!(after.programs.list(9, Desk::now(2)).clearances, kept);
    assert_eq!(after.standing(KEY, 2), CLEARED);
    let late = Desk::new();
    late.programs.restore(kept[0].clone(), Desk::now(9 * 3_600_000));
    assert_eq!(late.standing(KEY, 9 * 3_600_000), Standing::Uncleared);
}

#[test]
fn a_program_without_a_clearance_is_forgotten_after_an_hour() {
    let desk = Desk::new();
    let ticket = desk.reset(KEY, "a.test", 0);
    desk.ended(ticket, 1);
    desk.programs.sweep(Desk::now(3_599_000).moment);
    assert_eq!(desk.programs.count(), 1);
    desk.programs.sweep(Desk::now(3_600_000).moment);
    assert_eq!(desk.programs.count(), 0);
    assert_eq!(desk.programs.settle(ticket, Desk::now(3_600_001).moment), Settled::DidNotReturn);
}

#[test]
fn what_is_kept_of_a_program_is_small() {
    // A hash table is at least 7/16 full when it has just grown, and has a byte of its own for each place.
    let share = |bytes: usize| (bytes + 1) * 16 / 7;
    let of_table = share(size_of::<(ProgramKey, Box<Known>)>());
    let of_targets = TARGETS_MAX * 16;
    let bytes = of_table + size_of::<Known>() + size_of::<Open>() + NAMES_BYTES_MAX + of_targets;
    assert!(bytes <= 512, "{bytes}");
    assert!(share(size_of::<(ClientKey, u32)>()) <= 57);
}

#[test]
fn long_names_are_cut_and_the_names_of_browsers_are_not() {
    let listed = |name: &ProgramName| {
        let programs = Programs::new(Spans::default());
        programs.clear(KEY, name, Means::Page, Desk::now(0));
        programs.list(1, Desk::now(0)).clearances.remove(0).name
    };
    let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 \
                Safari/537.36 Edg/156.0.0.0";
    let face = "8daaf6152771_cb7bf5808d99_0123456789ab";
    for user in [None, Some("a.longer.name@a.test".into()), Some("".into())] {
        let name = ProgramName { user, user_agent: edge.into(), face: face.into(), ..name() };
        assert_eq!(listed(&name), name);
    }
    let long = |bytes: usize| "\u{6f22}".repeat(bytes / 3).into_boxed_str();
    let name = ProgramName { user: Some(long(300)), user_agent: long(300), face: long(300), ..name() };
    let ProgramName { user, user_agent, face, .. } = listed(&name);
    assert_eq!((face, user, user_agent), (long(48), Some(long(63)), long(78)));
}

#[test]
fn the_list_has_those_that_were_used_last_and_counts_all() {
    let desk = Desk::new();
    let key = |number: u64| ProgramKey(u128::from(number).to_be_bytes());
    for number in 0..500 {
        desk.programs.clear(key(number), &desk.name, Means::Page, Desk::now(number * 7 % 500));
    }
    let now = Desk::now(1000);
    for max in [0, 1, 3, 100, 499, 500, 501] {
        let Listed { count, clearances } = desk.programs.list(max, now);
        let used: Vec<_> = clearances.iter().map(|clearance| clearance.used).collect();
        let expected: Vec<_> = (0..500).rev().take(max).map(|ms| Desk::now(ms).time).collect();
        assert_eq!((count, used), (500, expected), "{max}");
    }
}

#[test]
fn what_gives_or_takes_a_clearance_is_a_change_and_a_use_is_none() {
    let desk = Desk::new();
    let mut last = desk.programs.changes();
    let mut is_change = |what: &str, expected: bool| {
        let changes = desk.programs.changes();
        assert_eq!(std::mem::replace(&mut last, changes) != changes, expected, "{what}");
    };
    desk.standing(KEY, 0);
    let ticket = desk.reset(OTHER, "a.test", 0);
    desk.ended(ticket, 1);
    is_change("a reset", false);
    desk.tunnel(OTHER, "a.test", 2, 2);
    is_change("its answer", true);
    desk.programs.clear(KEY, &desk.name, Means::Page, Desk::now(0));
    is_change("a page", true);
    desk.standing(KEY, 3);
    desk.programs.sweep(Desk::now(4).moment);
    is_change("a use, a sweep", false);
    desk.programs.revoke(|_, _, _| false);
    is_change("what is not meant", false);
    desk.programs.revoke(|key, _, _| *key == KEY);
    is_change("it is taken back", true);
    desk.programs.sweep(Desk::now(9 * 3_600_000).moment);
    is_change("its end", true);
}

#[test]
fn a_client_that_calls_itself_ever_anew_takes_no_place_of_another() {
    let desk = Desk::new();
    let key = |number: u32| ProgramKey(u128::from(number).to_be_bytes());
    for number in 0..PROGRAMS_OF_CLIENT_MAX {
        assert!(desk.programs.clear(key(number), &desk.name, Means::Page, Desk::now(0)));
    }
    assert!(!desk.programs.clear(key(PROGRAMS_OF_CLIENT_MAX), &desk.name, Means::Page, Desk::now(0)));
    assert!(desk.programs.clear(key(7), &desk.name, Means::Page, Desk::now(0)), "one that is known stays");
    let other = ProgramName { client: ClientKey::of("10.0.0.2".parse().unwrap()), ..name() };
    assert!(desk.programs.clear(OTHER, &other, Means::Page, Desk::now(0)));
    desk.programs.sweep(Desk::now(9 * 3_600_000).moment);
    assert_eq!(desk.programs.count(), 0);
    assert!(desk.programs.clear(key(PROGRAMS_OF_CLIENT_MAX), &desk.name, Means::Page, Desk::now(0)));
}

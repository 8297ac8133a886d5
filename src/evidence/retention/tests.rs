use proptest::prelude::*;

use crate::evidence::{Chain, Record};

use super::*;

/// Segments of ten records, one for each of these days.
fn segments(days: &[i64]) -> Vec<KeptSegment> {
    let segment = |(number, day): (usize, &i64)| KeptSegment {
        day: *day,
        first_seq: number as u64 * 10 + 1,
        last_seq: number as u64 * 10 + 10,
        bytes: 100,
        is_sealed: number + 1 < days.len(),
    };
    days.iter().enumerate().map(segment).collect()
}

fn keep_days(days: u32) -> Keep {
    Keep { days: Some(days), bytes: None }
}

/// The plan where these days are held and no other is.
fn plan(segments: &[KeptSegment], keep: Keep, clock: i64, held: &[i64]) -> Plan {
    let mut known = BTreeMap::new();
    for _ in 0..=segments.len() {
        match judge(segments, keep, clock, 0, &known) {
            Judged::Ask(day) => assert!(known.insert(day, held.contains(&day)).is_none(), "{day} is asked twice"),
            Judged::Plan(plan) => return plan,
        }
    }
    panic!("it asks for more days than there are");
}

#[test]
fn days_go_by_age_and_the_newest_stay() {
    let all = segments(&[100, 100, 101, 102, 103]);
    for (kept, expected) in [(1, &[100, 101, 102][..]), (2, &[100, 101]), (3, &[100]), (4, &[]), (99, &[])] {
        assert_eq!(plan(&all, keep_days(kept), 103, &[]).days, expected, "{kept}");
    }
    let two = plan(&all, keep_days(2), 103, &[]);
    assert_eq!((two.segments, two.bytes, two.held), (vec![0, 1, 2], 300, 0));
    assert_eq!(plan(&all, Keep::default(), 9_999, &[]), Plan::default());
}

#[test]
fn days_go_by_bytes_with_their_share_of_the_index() {
    let all = segments(&[100, 100, 101, 102, 103]);
    let over = |bytes, index_bytes| {
        let keep = Keep { days: None, bytes: Some(bytes) };
        let known = (100..104).map(|day| (day, false)).collect();
        match judge(&all, keep, 103, index_bytes, &known) {
            Judged::Plan(plan) => plan.days,
            Judged::Ask(day) => panic!("{day} is known"),
        }
    };
    assert_eq!(over(500, 0), [0; 0]);
    assert_eq!(over(499, 0), [100]);
    assert_eq!(over(300, 0), [100]);
    assert_eq!(over(299, 0), [100, 101]);
    assert_eq!(over(0, 0), [100, 101, 102], "today stays whatever it takes");
    assert_eq!(over(600, 500), [100], "1000 bytes in all, of which 400 go with the day");
    assert_eq!(over(599, 500), [100, 101]);
}

#[test]
fn a_day_under_a_legal_hold_stays_with_the_segment_behind_it() {
    let all = segments(&[100, 100, 101, 101, 102, 103]);
    let held = plan(&all, keep_days(1), 103, &[100]);
    assert_eq!((held.days.as_slice(), held.segments.as_slice(), held.held), (&[101, 102][..], &[3, 4][..], 1));
    // What stayed of a day that has gone is no reason to drop it again, and goes with the day in front of it.
    let left: Vec<_> = [0, 1, 2, 5].map(|place| all[place].clone()).to_vec();
    let again = plan(&left, keep_days(1), 103, &[100]);
    assert_eq!((again.days, again.segments), (vec![], vec![]));
    let released = plan(&left, keep_days(1), 103, &[]);
    assert_eq!((released.days, released.segments), (vec![100, 101], vec![0, 1, 2]));
}

#[test]
fn what_is_not_sealed_keeps_its_day() {
    let mut all = segments(&[100, 100, 101, 102, 103]);
    all[1].is_sealed = false;
    let kept = plan(&all, keep_days(1), 103, &[]);
    assert_eq!((kept.days, kept.segments), (vec![102], vec![3]), "of 101 all is behind what stays");
}

#[test]
fn a_wrong_clock_drops_nothing() {
    // Years ahead since this morning: the day by itself does not count, until another one follows it.
    let ahead = segments(&[100, 101, 102, 5_000, 5_000]);
    assert_eq!(plan(&ahead, keep_days(2), 5_000, &[]).days, [100]);
    assert_eq!(plan(&ahead, keep_days(3), 5_000, &[]).days, [0; 0]);
    let a_day_later = segments(&[100, 101, 102, 5_000, 5_001]);
    assert_eq!(plan(&a_day_later, keep_days(3), 5_001, &[]).days, [100, 101, 102]);
    // Set back to 1970, while it wrote and since: what was written then is as old as what was written before it.
    let back = segments(&[100, 101, 0, 102, 103]);
    assert_eq!(plan(&back, keep_days(2), 103, &[]).days, [100, 101, 0]);
    assert_eq!(plan(&back, keep_days(3), 103, &[]).days, [100]);
    assert_eq!(plan(&back, keep_days(1), 0, &[]).days, [0; 0]);
    // Ahead for a while in between: what was written then is as old as what was written behind it.
    let blip = segments(&[100, 101, 5_000, 102, 103]);
    assert_eq!(plan(&blip, keep_days(1), 103, &[]).days, [100, 101, 5_000, 102]);
    assert_eq!(plan(&blip, keep_days(2), 103, &[]).days, [100, 101]);
    assert_eq!(plan(&segments(&[]), keep_days(1), 103, &[]), Plan::default());
}

fn retention() -> Retention {
    Retention {
        action: RetentionAction::Dropped,
        keep_days: Some(90),
        keep_gib: None,
        segments: 24,
        bytes: 9_000_000,
        held: 1,
        days: vec![
            ("2026-01-01".to_owned(), "2026-01-31".to_owned()),
            ("2026-02-02".to_owned(), "2026-02-02".to_owned()),
        ],
        records: vec![(1, 900), (1_000, 1_200)],
    }
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    let mut line = Vec::new();
    Chain::start().append(&Record::Retention(retention()).encode(Timestamp(7)), &mut line);
    assert_eq!(read_retention(&line), Some(retention()));
    assert_eq!(retention().dropped_days(), [(20_454, 20_484), (20_486, 20_486)]);
    assert_eq!((day_text(20_454), read_day("2026-01-01")), ("2026-01-01".to_owned(), Some(20_454)));
    for bad in ["", "2026-13-01", "1969-12-31", "20454", "2026-01-01T00:00:00Z"] {
        assert_eq!(read_day(bad), None, "{bad}");
    }
    assert_eq!(read_retention(br#"{"v":1,"seq":1,"kind":"admin","action":"dropped"}"#), None);
}

proptest! {
    #[test]
    fn what_is_outside_of_stretches_is_what_none_has(
        stretches in prop::collection::vec((0_u64..60, 0_u64..60), 0..8),
        first in 0_u64..60,
        length in 0_u64..30,
    ) {
        let is_in = |seq: u64| stretches.iter().any(|(first, last)| (*first..=*last).contains(&seq));
        let joined = joined(stretches.clone());
        prop_assert!(joined.windows(2).all(|two| two[0].1 + 1 < two[1].0));
        let outside = (first..=first + length).find(|seq| !is_in(*seq));
        prop_assert_eq!(first_outside((first, first + length), &joined), outside);
        let pieces = super::outside((first, first + length), &joined);
        for seq in first..=first + length {
            prop_assert_eq!(pieces.iter().any(|(first, last)| (*first..=*last).contains(&seq)), !is_in(seq), "{}", seq);
        }
    }

    #[test]
    fn neither_today_nor_what_is_written_nor_a_held_day_ever_goes(
        days in prop::collection::vec(0_i64..40, 1..30),
        kept in 1_u32..20,
        bytes in prop::option::of(0_u64..3_000),
        clock in 0_i64..60,
        held in prop::collection::btree_set(0_i64..40, 0..10),
    ) {
        let all = segments(&days);
        let held: Vec<i64> = held.into_iter().collect();
        let found = plan(&all, Keep { days: Some(kept), bytes }, clock, &held);
        let newest = all.last().map(|segment| segment.day);
        for place in &found.segments {
            let day = all[*place].day;
            prop_assert!(all[*place].is_sealed && Some(day) != newest && !held.contains(&day), "{}", day);
        }
        // A day goes whole, but for a segment behind one that stays.
        for (place, segment) in all.iter().enumerate().filter(|(place, _)| !found.segments.contains(place)) {
            let follows = place.checked_sub(1).is_some_and(|before| !found.days.contains(&all[before].day));
            prop_assert!(!found.days.contains(&segment.day) || follows);
        }
    }
}

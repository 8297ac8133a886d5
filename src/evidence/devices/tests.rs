use proptest::prelude::*;

use super::*;

fn assignment(
    client: &str,
    name: &str,
    hardware: Option<&str>,
    source: DeviceSource,
    since: u64,
    until: Option<u64>,
) -> Assignment {
    Assignment {
        client: client_of(client).unwrap(),
        name: name.into(),
        hardware: hardware.map(Text::from),
        source,
        since: Timestamp(since),
        until: until.map(Timestamp),
    }
}

fn devices(assignments: impl IntoIterator<Item = Assignment>) -> Devices {
    let mut devices = Devices::default();
    assignments.into_iter().for_each(|one| devices.note(one));
    devices
}

fn at(devices: &Devices, client: &str, time: u64) -> (Vec<String>, Certainty) {
    let found = devices.at(client.parse().unwrap(), Timestamp(time));
    (found.names.iter().map(|one| one.name.as_str().to_owned()).collect(), found.certainty)
}

use Certainty::{Known, Uncertain};
use DeviceSource::{Dnsmasq, Kea, Table};

#[test]
fn a_validity_covers_its_beginning_and_not_its_end() {
    let devices = devices([assignment("10.0.0.1", "pc-1", None, Kea, 10, Some(20))]);
    assert_eq!(at(&devices, "10.0.0.1", 9), (vec![], Uncertain));
    assert_eq!(at(&devices, "10.0.0.1", 10), (vec!["pc-1".to_owned()], Known));
    assert_eq!(at(&devices, "::ffff:10.0.0.1", 19), (vec!["pc-1".to_owned()], Known));
    assert_eq!(at(&devices, "10.0.0.1", 20), (vec![], Uncertain));
    assert_eq!(at(&devices, "10.0.0.2", 15), (vec![], Uncertain), "only an address is known");
}

#[test]
fn two_names_at_a_time_are_uncertain_and_one_after_the_other_are_not() {
    let devices = devices([
        assignment("10.0.0.1", "pc-1", None, Kea, 0, Some(20)),
        assignment("10.0.0.1", "pc-2", None, Dnsmasq, 10, Some(30)),
    ]);
    assert_eq!(at(&devices, "10.0.0.1", 5), (vec!["pc-1".to_owned()], Known));
    assert_eq!(at(&devices, "10.0.0.1", 15), (vec!["pc-1".to_owned(), "pc-2".to_owned()], Uncertain));
    assert_eq!(at(&devices, "10.0.0.1", 25), (vec!["pc-2".to_owned()], Known));
}

#[test]
fn what_a_client_claims_does_not_shake_what_it_was_assigned_but_other_hardware_does() {
    let table = assignment("10.0.0.1", "press 4", Some("aa:00"), Table, 0, None);
    let same = assignment("10.0.0.1", "liar", Some("aa:00"), Kea, 0, Some(9));
    let other = assignment("10.0.0.1", "laptop", Some("bb:00"), Kea, 0, Some(9));
    let found = devices([table.clone(), same]);
    assert_eq!(at(&found, "10.0.0.1", 5), (vec!["press 4".to_owned(), "liar".to_owned()], Known));
    let found = devices([table.clone(), other]);
    assert_eq!(at(&found, "10.0.0.1", 5).1, Uncertain, "another machine has the address");
    assert_eq!(at(&found, "10.0.0.1", 9), (vec!["press 4".to_owned()], Known));
    let second = assignment("10.0.0.1", "press 5", None, Table, 0, None);
    assert_eq!(at(&devices([table, second]), "10.0.0.1", 5).1, Uncertain, "the table says two things");
}

#[test]
fn the_longest_prefix_names_a_client_that_has_no_name_of_its_own() {
    let devices = devices([
        assignment("10.0.0.0/8", "everything", None, Table, 0, None),
        assignment("10.1.0.0/16", "guests", None, Table, 0, Some(50)),
        assignment("10.1.0.7", "printer", None, Table, 0, None),
        assignment("2001:db8:1:2::/64", "tablet", None, Table, 0, None),
    ]);
    assert_eq!(at(&devices, "10.1.0.7", 5), (vec!["printer".to_owned()], Known));
    assert_eq!(at(&devices, "10.1.0.8", 5), (vec!["guests".to_owned()], Known));
    assert_eq!(at(&devices, "10.1.0.8", 60), (vec!["everything".to_owned()], Known));
    assert_eq!(at(&devices, "2001:db8:1:2::99", 5), (vec!["tablet".to_owned()], Known));
    assert_eq!(at(&devices, "11.1.0.8", 5).1, Uncertain);
}

#[test]
fn a_later_record_ends_extends_or_takes_back_an_earlier_one() {
    let first = assignment("10.0.0.1", "pc-1", Some("aa:00"), Kea, 10, Some(20));
    for (until, covers) in [(Some(30), true), (Some(12), false), (Some(10), false), (None, true)] {
        let later = Assignment { until: until.map(Timestamp), ..first.clone() };
        let devices = devices([first.clone(), later]);
        assert_eq!(at(&devices, "10.0.0.1", 25).1 == Known, covers, "{until:?}");
        assert_eq!(devices.iter().count(), 1);
    }
}

#[test]
fn a_device_is_followed_over_its_addresses_within_the_range_that_is_asked_for() {
    let devices = devices([
        assignment("10.0.0.1", "PC-1", Some("aa"), Kea, 0, Some(20)),
        assignment("10.0.0.1", "PC-1", Some("aa"), Kea, 20, Some(30)),
        assignment("10.0.0.2", "pc-1", Some("aa"), Kea, 40, None),
        assignment("10.0.0.3", "pc-10", Some("bb"), Kea, 0, None),
    ]);
    let spans = devices.spans("pc-1", Timestamp(5), Timestamp(50));
    let told: Vec<_> =
        spans.iter().map(|span| (client_text(&span.client), span.from.0, span.until.0, span.certainty)).collect();
    assert_eq!(told, [("10.0.0.1".to_owned(), 5, 30, Known), ("10.0.0.2".to_owned(), 40, 50, Known)]);
    assert_eq!(devices.spans("pc-1", Timestamp(31), Timestamp(39)), []);
}

#[test]
fn who_claims_the_name_of_another_makes_both_uncertain_unless_the_other_was_assigned_it() {
    let real = assignment("10.0.0.1", "pc-1", Some("aa"), Kea, 0, Some(20));
    let liar = assignment("10.0.0.9", "pc-1", Some("bb"), Kea, 10, Some(15));
    let certainties = |all: Vec<Assignment>| -> Vec<Certainty> {
        devices(all).spans("pc-1", Timestamp(0), Timestamp(99)).iter().map(|span| span.certainty).collect()
    };
    assert_eq!(certainties(vec![real.clone(), liar.clone()]), [Uncertain, Uncertain]);
    let assigned = Assignment { source: Table, ..real };
    assert_eq!(certainties(vec![assigned, liar]), [Known, Uncertain]);
}

#[test]
fn what_is_on_record_is_read_back() {
    for client in ["10.0.0.1", "10.1.0.0/16", "2001:db8::1", "2001:db8::/64"] {
        let one = assignment(client, "a\u{1b}[2Jb", Some("aa:bb"), Kea, 1_795_510_800_123_456, Some(0));
        let json = serde_json::to_string(&one).unwrap();
        assert!(json.contains(&format!("\"client\":\"{client}\"")), "{json}");
        assert_eq!(serde_json::from_str::<Assignment>(&json).unwrap(), one);
    }
    for source in ["table", "table_by_hardware", "kea", "dnsmasq"] {
        assert_eq!(DeviceSource::named(source).map(DeviceSource::as_str), Some(source));
        assert_eq!(serde_json::to_string(&DeviceSource::named(source)).unwrap(), format!("\"{source}\""));
    }
    assert_eq!(DeviceSource::named("isc"), None);
}

proptest! {
    /// Against a look at every assignment of the client.
    #[test]
    fn a_claimed_name_is_known_where_one_alone_covers_the_time(
        all in prop::collection::vec((0_u64..4, 0_u64..30, 0_u64..30), 0..12), time in 0_u64..40,
    ) {
        let assignments: Vec<_> = all
            .iter()
            .map(|(name, since, length)| assignment("10.0.0.1", &format!("pc-{name}"), None, Kea, *since, Some(since + length)))
            .collect();
        let mut last = BTreeMap::new();
        for (name, since, length) in &all {
            last.insert((*name, *since), since + length);
        }
        let names: std::collections::BTreeSet<u64> =
            last.iter().filter(|((_, since), until)| *since <= time && time < **until).map(|((name, _), _)| *name).collect();
        let devices = devices(assignments);
        let (found, certainty) = at(&devices, "10.0.0.1", time);
        prop_assert_eq!(found.len(), names.len());
        prop_assert_eq!(certainty == Known, names.len() == 1);
    }
}

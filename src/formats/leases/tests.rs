use proptest::prelude::*;

use crate::evidence::{Assignment, DeviceSource, Devices, client_text};

use super::*;

/// The columns as Kea 2.4 and later write them.
const KEA4: &str =
    "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n";
const KEA6: &str = "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source,pool_id\n";

fn kea(lines: &str) -> Leases {
    read_kea(format!("{KEA4}{lines}").as_bytes())
}

fn said(lease: &Lease) -> (String, &str, &str, Option<u64>, Option<u64>) {
    let seconds = |time: Option<Timestamp>| time.map(|time| time.0 / 1_000_000);
    let name: &str = lease.name.as_ref().map_or("", |text| text.as_str());
    let hardware: &str = lease.hardware.as_ref().map_or("", |text| text.as_str());
    (lease.address.to_string(), name, hardware, seconds(lease.since), seconds(lease.until))
}

#[test]
fn the_last_line_of_an_address_counts_in_a_file_of_kea() {
    let read = kea("10.20.1.5,AA:bb:cc:00:00:01,01:aa:bb:cc:00:00:01,3600,1795568400,1,0,0,pc-1.corp.example.,0,,0\n\
         10.20.1.6,aa:bb:cc:00:00:02,,3600,1795568400,1,0,0,,0,,0\n\
         10.20.1.5,aa:bb:cc:00:00:01,01:aa:bb:cc:00:00:01,3600,1795570200,1,0,0,pc-1.corp.example.,0,,0\n\
         10.20.1.7,aa:bb:cc:00:00:03,,4294967295,6090535695,1,0,0,plotter&#x2c old,0,{ \"x\": 1 },0\n");
    let told: Vec<_> = read.leases.iter().map(said).collect();
    assert_eq!(
        told,
        [
            ("10.20.1.5".into(), "pc-1.corp.example", "aa:bb:cc:00:00:01", Some(1_795_566_600), Some(1_795_570_200)),
            ("10.20.1.6".into(), "", "aa:bb:cc:00:00:02", Some(1_795_564_800), Some(1_795_568_400)),
            ("10.20.1.7".into(), "plotter, old", "aa:bb:cc:00:00:03", Some(1_795_568_400), None),
        ]
    );
    assert_eq!((read.bad, read.beyond), (0, 0));
}

#[test]
fn leases_that_are_declined_reclaimed_released_or_gone_are_none() {
    for (lifetime, state, is_there) in [
        (3600, "0", true),
        (3600, "1", false),
        (3600, "2", false),
        (3600, "3", false),
        (0, "0", false),
        (3600, "", true),
    ] {
        let read = kea(&format!(
            "10.0.0.1,aa:00:00:00:00:01,,3600,1795568400,1,0,0,pc,0,,0\n10.0.0.1,aa:00:00:00:00:01,,{lifetime},1795568400,1,0,0,pc,{state},,0\n"
        ));
        assert_eq!((read.leases.len(), read.bad), (usize::from(is_there), 0), "{lifetime} {state}");
    }
}

#[test]
fn of_ipv6_addresses_are_read_and_delegated_prefixes_are_not() {
    let read = read_kea(
        format!(
            "{KEA6}2001:db8::5,00:03:00:01:AA,3600,1795568400,1,1800,0,7,128,0,0,pc-6,,0,,1,0,0\r\n\
             2001:db8:1::,00:03:00:01:bb,3600,1795568400,1,1800,2,7,56,0,0,router,,0,,1,0,0\r\n\
             2001:db8::6,00:04,3600,1795568400,1,1800,0,7,128,0,0,pc-7,AA-BB-CC-DD-EE-FF,0,,1,0,0\r\n"
        )
        .as_bytes(),
    );
    let told: Vec<_> =
        read.leases.iter().map(said).map(|(address, name, hardware, ..)| (address, name, hardware)).collect();
    assert_eq!(
        told,
        [("2001:db8::5".into(), "pc-6", "00:03:00:01:aa"), ("2001:db8::6".into(), "pc-7", "aa:bb:cc:dd:ee:ff")]
    );
    assert_eq!(read.bad, 0);
}

#[test]
fn lines_that_are_no_leases_are_counted_and_the_first_is_named() {
    let read = kea(
        "10.0.0.1,aa,,3600\n\n10.0.0.300,aa,,3600,1795568400,1,0,0,pc,0,,0\n10.0.0.2,aa,,-1,1795568400,1,0,0,pc,0,,0\n10.0.0.3,aa,,3600,1795568400,1,0,0,pc,0,,0\n",
    );
    assert_eq!((read.leases.len(), read.bad), (1, 3));
    assert_eq!(read.first_bad, Some(BadLease { line: 2, fault: LeaseFault::Fields }));
    let foreign = read_kea(b"10.0.0.1 what is this\n");
    assert_eq!(foreign.first_bad, Some(BadLease { line: 1, fault: LeaseFault::Column("address") }));
    let long = format!("10.0.0.1,{}", "a".repeat(LINE_BYTES_MAX));
    assert_eq!(kea(&long).first_bad.map(|bad| bad.fault), Some(LeaseFault::Long));
}

#[test]
fn leases_of_dnsmasq_are_read_of_both_families() {
    let read = read_dnsmasq(
        b"1795568400 aa:bb:cc:00:00:01 10.20.1.5 pc-1 01:aa:bb:cc:00:00:01\n\
          0 06-aa:bb:cc:00:00:02 10.20.1.6 * *\n\
          duid 00:01:00:01:2c:aa\n\
          1795568400 T123456 2001:db8::5 pc-6 00:03:00:01:AA\n\
          soon aa:bb:cc:00:00:01 10.20.1.9 pc *\n\
          1795568400 aa:bb:cc:00:00:01 10.20.1.9\n",
    );
    let told: Vec<_> = read.leases.iter().map(said).collect();
    assert_eq!(
        told,
        [
            ("10.20.1.5".into(), "pc-1", "aa:bb:cc:00:00:01", None, Some(1_795_568_400)),
            ("10.20.1.6".into(), "", "06-aa:bb:cc:00:00:02", None, None),
            ("2001:db8::5".into(), "pc-6", "00:03:00:01:aa", None, Some(1_795_568_400)),
        ]
    );
    assert_eq!((read.bad, read.first_bad), (2, Some(BadLease { line: 5, fault: LeaseFault::Number })));
}

/// As dnsmasq 2.90 and Kea 2.2.0 wrote them for udhcpc, which asked with and without a name.
#[test]
fn files_of_real_servers_are_read_whole() {
    let dnsmasq = read_dnsmasq(
        b"1795733465 02:00:00:00:00:07 10.77.0.65 * 01:02:00:00:00:00:07\n1795733464 5e:81:0c:25:62:d9 10.77.0.76 pc-real 01:5e:81:0c:25:62:d9\n",
    );
    let told: Vec<_> = dnsmasq.leases.iter().map(said).collect();
    assert_eq!(
        told,
        [
            ("10.77.0.65".into(), "", "02:00:00:00:00:07", None, Some(1_795_733_465)),
            ("10.77.0.76".into(), "pc-real", "5e:81:0c:25:62:d9", None, Some(1_795_733_464)),
        ]
    );
    let kea = read_kea(
        b"address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n\
          10.77.0.100,02:00:00:00:00:07,01:02:00:00:00:00:07,3600,1795733467,1,0,0,pckea.,0,\n\
          10.77.0.100,02:00:00:00:00:07,01:02:00:00:00:00:07,3600,1795733467,1,0,0,pc-kea.,0,\n",
    );
    let told: Vec<_> = kea.leases.iter().map(said).collect();
    assert_eq!(told, [("10.77.0.100".into(), "pc-kea", "02:00:00:00:00:07", Some(1_795_729_867), Some(1_795_733_467))]);
    assert_eq!((dnsmasq.bad, kea.bad), (0, 0));
}

#[test]
fn names_that_clients_choose_are_bounded_and_hold_no_escape_on_record() {
    let read = kea(&format!("10.0.0.1,aa,,3600,1795568400,1,0,0,{}\u{1b}[2J,0,,0\n", "x".repeat(2000)));
    assert_eq!(read.leases[0].name.as_ref().unwrap().as_str().len(), NAME_BYTES_MAX);
    let read = kea("10.0.0.1,aa,,3600,1795568400,1,0,0,&#x1b[2J&#xzz&#x,0,,0\n");
    assert_eq!(read.leases[0].name.as_ref().unwrap().as_str(), "\u{1b}[2J&#xzz&#x");
    let one = assignments(&[], [(DeviceSource::Kea, &read.leases[0])], Timestamp(0)).remove(0);
    let line = crate::evidence::Record::Device(one).encode(Timestamp(0));
    assert!(!line.contains(&0x1b), "{}", String::from_utf8_lossy(&line));
}

const DAY: u64 = 86_400_000_000;

#[test]
fn a_table_is_the_same_in_toml_and_csv() {
    let toml = read_table(
        "devices.toml",
        "[[device]]\nname = \"press 4, hall 2\"\naddress = \"10.20.1.5\"\nhardware = \"AA-BB-CC-00-00-01\"\nfrom = \"1970-01-02\"\nuntil = \"1970-01-03\"\n\n\
         [[device]]\nname = \"guests\"\naddress = \"10.30.0.0/16\"\n\n[[device]]\nname = \"tablet\"\nhardware = \"aa:bb:cc:00:00:09\"\n",
    )
    .unwrap();
    let csv = read_table(
        "DEVICES.CSV",
        "\u{feff}# ours\nname,Address,hardware,from,until\r\n\"press 4, hall 2\",10.20.1.5,aa:bb:cc:00:00:01,1970-01-02T00:00:00Z,1970-01-04T00:00:00Z\r\nguests,10.30.0.0/16\r\n\r\ntablet,,AA:BB:CC:00:00:09,,\r\n",
    )
    .unwrap();
    assert_eq!(toml, csv);
    assert_eq!((toml[0].since, toml[0].until), (Timestamp(DAY), Some(Timestamp(3 * DAY))));
    assert_eq!(toml[1].client.map(|client| client_text(&client)), Some("10.30.0.0/16".to_owned()));
}

#[test]
fn every_problem_of_a_table_is_told_with_its_place() {
    let toml = "[[device]]\naddress = \"10.20.1\"\n[[device]]\nname = \"a\"\n[[device]]\nname = \"b\"\nadress = \"10.0.0.1\"\nhardware = \"aa\"\nfrom = \"soon\"\n[[device]]\nname = \"c\"\naddress = \"::1\"\nfrom = \"2026-11-02\"\nuntil = \"2026-11-01\"\n";
    let problems: Vec<String> = read_table("d.toml", toml).unwrap_err().iter().map(ToString::to_string).collect();
    for part in
        ["no name", "`10.20.1` is no address", "is not said", "adress", "`soon` is no time", "ends before it begins"]
    {
        assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:#?}");
    }
    let csv = "name,address\na,10.0.0.1,x\n\"b,10.0.0.2\nc\"d,10.0.0.3\ne,here\n";
    let lines: Vec<u32> = read_table("d.csv", csv).unwrap_err().iter().map(|problem| problem.place.line).collect();
    assert_eq!(lines, [2, 3, 4, 5]);
    assert!(read_table("d.csv", "10.0.0.1,pc\n").is_err() && read_table("d.csv", "").is_err());
}

fn lease(address: &str, name: Option<&str>, hardware: Option<&str>, since: Option<u64>, until: Option<u64>) -> Lease {
    Lease {
        address: address.parse().unwrap(),
        name: name.map(Text::from),
        hardware: hardware.map(Text::from),
        since: since.map(Timestamp),
        until: until.map(Timestamp),
    }
}

/// What is told when these leases of dnsmasq are read, each at its time, one after the other.
fn told(reads: &[(u64, &[Lease])]) -> Vec<(String, String, u64, Option<u64>)> {
    let (mut known, mut all) = (Vec::new(), Vec::new());
    for (now, leases) in reads {
        let now = Timestamp(*now);
        let read = assignments(&[], leases.iter().map(|lease| (DeviceSource::Dnsmasq, lease)), now);
        let (told, after) = changes(&known, read, now);
        known = after;
        all.extend(told);
    }
    let text = |one: &Assignment| {
        (client_text(&one.client), one.name.as_str().to_owned(), one.since.0, one.until.map(|until| until.0))
    };
    all.iter().map(text).collect()
}

fn row(client: &str, name: &str, since: u64, until: Option<u64>) -> (String, String, u64, Option<u64>) {
    (client.to_owned(), name.to_owned(), since, until)
}

#[test]
fn a_lease_is_told_once_renewed_in_one_and_ended_when_it_is_gone_or_given_away() {
    let first = lease("10.0.0.1", Some("pc-1"), None, None, Some(100));
    let renewed = lease("10.0.0.1", Some("pc-1"), None, None, Some(150));
    let other = lease("10.0.0.1", Some("pc-2"), None, None, Some(200));
    assert_eq!(
        told(&[(10, std::slice::from_ref(&first)), (20, std::slice::from_ref(&first))]),
        [row("10.0.0.1", "pc-1", 10, Some(100))]
    );
    assert_eq!(
        told(&[(10, std::slice::from_ref(&first)), (60, &[renewed]), (70, &[other])]),
        [
            row("10.0.0.1", "pc-1", 10, Some(100)),
            row("10.0.0.1", "pc-1", 10, Some(150)),
            row("10.0.0.1", "pc-1", 10, Some(70)),
            row("10.0.0.1", "pc-2", 70, Some(200)),
        ]
    );
    assert_eq!(
        told(&[(10, std::slice::from_ref(&first)), (30, &[])]).last(),
        Some(&row("10.0.0.1", "pc-1", 10, Some(30)))
    );
    let again = lease("10.0.0.1", Some("pc-1"), None, None, Some(900));
    assert_eq!(
        told(&[(10, &[first]), (500, &[]), (600, &[again])]),
        [row("10.0.0.1", "pc-1", 10, Some(100)), row("10.0.0.1", "pc-1", 600, Some(900))],
        "what had ended by itself is not told of again"
    );
}

#[test]
fn the_table_names_leases_by_their_hardware_and_what_has_no_name_goes_by_it() {
    let table = read_table("t.csv", "name,hardware,address\ntablet 9,aa:bb:cc:00:00:09,\nprinter,,10.0.0.7\n").unwrap();
    let leases = [
        lease("10.0.0.1", Some("android-1"), Some("aa:bb:cc:00:00:09"), Some(5), Some(9)),
        lease("10.0.0.2", None, Some("aa:bb:cc:00:00:02"), Some(5), Some(9)),
        lease("10.0.0.3", None, None, Some(5), Some(9)),
    ];
    let all = assignments(&table, leases.iter().map(|lease| (DeviceSource::Kea, lease)), Timestamp(7));
    let told: Vec<_> =
        all.iter().map(|one| (client_text(&one.client), one.name.as_str(), one.source.as_str())).collect();
    assert_eq!(
        told,
        [
            ("10.0.0.7".into(), "printer", "table"),
            ("10.0.0.1".into(), "tablet 9", "table_by_hardware"),
            ("10.0.0.2".into(), "aa:bb:cc:00:00:02", "kea"),
        ]
    );
}

#[test]
fn another_beginning_in_the_table_takes_the_old_one_back() {
    let table = |from: &str| read_table("t.csv", &format!("name,address,from\npress,10.0.0.7,{from}\n")).unwrap();
    let (mut devices, mut known) = (Devices::default(), Vec::new());
    for (now, from) in [(10, "1970-01-02"), (20, "1970-01-04")] {
        let (told, after) = changes(&known, assignments(&table(from), [], Timestamp(now)), Timestamp(now));
        told.into_iter().for_each(|one| devices.note(one));
        known = after;
    }
    let names = |time| devices.at("10.0.0.7".parse().unwrap(), Timestamp(time)).names.len();
    assert_eq!((names(2 * DAY), names(3 * DAY)), (0, 1));
}

fn any_lease() -> impl Strategy<Value = Lease> {
    (0_u8..4, 0_u8..3, prop::option::of(0_u8..2), 0_u64..50, 0_u64..100).prop_map(
        |(address, name, hardware, since, length)| {
            let hardware = hardware.map(|hardware| format!("aa:{hardware}"));
            let name = format!("pc-{name}");
            lease(&format!("10.0.0.{address}"), Some(&name), hardware.as_deref(), Some(since), Some(since + length))
        },
    )
}

proptest! {
    /// No bytes make a parser panic, and whatever it takes can be put on record and read back.
    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), lines in "([0-9a-f:.,* -]{0,40}\n){0,8}") {
        for file in [bytes.clone(), lines.clone().into_bytes(), format!("{KEA4}{lines}").into_bytes()] {
            crate::formats::properties::devices(&file);
        }
    }

    /// Reading the same again tells nothing, and whatever was read in between, what is known then is what was read last.
    #[test]
    fn what_is_told_leads_from_one_reading_to_the_next(
        reads in prop::collection::vec(prop::collection::vec(any_lease(), 0..4), 1..6),
    ) {
        let mut known: Vec<Assignment> = Vec::new();
        for (at, leases) in reads.iter().enumerate() {
            let now = Timestamp(at as u64 * 20);
            let read = assignments(&[], leases.iter().map(|lease| (DeviceSource::Kea, lease)), now);
            let (_, after) = changes(&known, read.clone(), now);
            let (again, same) = changes(&after, read, now);
            prop_assert!(again.is_empty(), "{again:?}");
            prop_assert_eq!(&same, &after);
            known = after;
        }
    }
}

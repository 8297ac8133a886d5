//! Judging takes no memory: what every request passes through never waits for an allocator. What is kept of each of
//! many takes little.

use std::fmt::Write;
use std::time::Duration;

use bytes::BytesMut;
use sekisho::challenge::{Asked, Means, Now, Programs, Spans, Step};
use sekisho::facts::{
    Client, ClientKey, Facts, Host, Moment, Program, ProgramKey, Restraint, Scheme, Stage, Standing, Target, Timestamp,
};
use sekisho::identity::{Browsers, Ground, InnerSeen, Learnt, ProgramName, Seen};
use sekisho::parse::{
    HeadLimits, HelloLimits, HelloRead, Http2Tap, parse_absolute, parse_connect, read_hello, take_request_head,
};
use sekisho::policy::{Outcome, Policy, VerdictKind, decide};
use sekisho::tls::{AuthorityFiles, Minter, Offered, Terms};

/// A thousand rules that ask for much, and the last of them for everything.
fn policy() -> Policy {
    let mut text = "[policy]\nunknown = \"challenge\"\n[calendar]\ntime_zone = \"Asia/Tokyo\"\n\
                    [clients.office]\naddresses = [\"10.20.0.0/16\"]\n[programs.updater]\nuser_agent = \"Updater/*\"\n"
        .to_owned();
    for n in 0..1000 {
        writeln!(
            text,
            "[[rule]]\nname = \"{n}\"\nclients = [\"office\"]\nprograms = [\"updater\"]\n\
             hosts = [\"site{n}.example\", \"*.site{n}.example\"]\nhours = \"Mon-Sun 00:00-24:00\"\nverdict = \"{}\"\n{}",
            if n % 2 == 0 { "allow" } else { "deny" },
            if n % 2 == 0 { "rate = { requests = 9, seconds = 9, per = \"client\" }" } else { "" },
        )
        .unwrap_or_default();
    }
    text += "[[rule]]\nname = \"paths\"\nhosts = [\"paths.example\"]\npaths = [\"/a/**/z\", \"/b/*\"]\nverdict = \"allow\"\n";
    match Policy::compile("p.toml", &text) {
        Ok(policy) => policy,
        Err(problems) => panic!("{problems:?}"),
    }
}

fn target(text: &str) -> Target {
    let parsed =
        if text.starts_with("http") { parse_absolute(text.as_bytes()) } else { parse_connect(text.as_bytes()) };
    parsed.unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

#[test]
fn a_judgement_allocates_nothing_whatever_comes_of_it() {
    let policy = policy();
    let client = Client::at(([10, 20, 3, 4], 4000).into());
    for (text, expected) in [
        ("http://site0.example/", VerdictKind::Allow),
        ("http://x.site998.example/", VerdictKind::Allow),
        ("site500.example:443", VerdictKind::Allow),
        ("http://site999.example/", VerdictKind::Deny),
        ("x.site999.example:443", VerdictKind::Deny),
        ("site500.example:22", VerdictKind::Deny),
        ("http://elsewhere.example/", VerdictKind::Challenge),
        ("192.0.2.1:443", VerdictKind::Challenge),
        ("http://paths.example/a/b/c/d/z", VerdictKind::Allow),
        ("http://paths.example/c", VerdictKind::Challenge),
        ("http://paths.example/a/../b", VerdictKind::Deny),
        ("http://x.localhost/", VerdictKind::Deny),
    ] {
        let target = target(text);
        let tunnel = target.scheme == Scheme::Tunnel;
        let facts = Facts {
            now: Timestamp(1_782_262_800_000_000),
            client: &client,
            method: if tunnel { "CONNECT" } else { "GET" },
            target: &target,
            program: Program { user_agent: Some(b"Updater/2.1") },
            hello: if tunnel { Stage::NotYet } else { Stage::Never },
            inner: if tunnel { Stage::NotYet } else { Stage::Never },
            standing: Standing::Uncleared,
            contradictions: sekisho::facts::Contradictions::NONE,
            restraint: Restraint::NONE,
        };
        let mut outcome = None;
        let taken = allocation_counter::measure(|| outcome = Some(decide(&policy, &facts)));
        match outcome {
            Some(Outcome::Decided(decision)) => assert_eq!(decision.verdict.kind(), expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
        assert_eq!(taken.count_total, 0, "{text}: {taken:?}");
    }
    let seen = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(seen.count_total, 1, "what allocates is seen");
}

/// The longest names, a clearance, targets that were shown afresh, and a reset that nobody settled.
#[test]
fn a_program_takes_at_most_512_bytes_however_much_it_shows() {
    let count = 20_000u32;
    let name = |number: u32| ProgramName {
        client: ClientKey::of([10, 0, 0, (number % 50) as u8].into()),
        user: Some("user".repeat(50).into()),
        user_agent: "agent".repeat(32).into(),
        face: "8daaf6152771_cb7bf5808d99_0123456789ab".into(),
    };
    let hosts: Vec<Host> =
        (0..20).filter_map(|n| Host::parse(format!("{}.h{n}.test", "a".repeat(60)).as_bytes()).ok()).collect();
    let now = Now { moment: Moment(1_000_000), time: Timestamp(1_782_262_800_000_000) };
    let mut programs = None;
    let empty = allocation_counter::measure(|| programs = Some(Programs::new(Spans::default()))).bytes_current;
    assert!(empty <= 256 << 10, "{empty} bytes before anything is known");
    let Some(programs) = programs else { unreachable!("just made") };
    let mut worst = 0;
    let mut taken = empty;
    for number in 0..count {
        taken += allocation_counter::measure(|| {
            let (key, name) = (ProgramKey(u128::from(number).to_be_bytes()), name(number));
            let asked = Asked { key, name: &name, host: &hosts[0], port: 443, head_at: now.moment };
            assert!(matches!(programs.tunnel(&asked, now), Step::Reset(_)));
            assert!(programs.clear(key, &name, Means::Page, now));
            hosts.iter().for_each(|host| programs.show_for(&key, (host, 443), true, now.moment));
        })
        .bytes_current;
        // In a table of few the least share of each part is most of it.
        if number >= 5000 {
            worst = worst.max((taken - empty) / i64::from(number + 1));
        }
    }
    assert!((400..=512).contains(&worst), "{worst} bytes for each");
    let later = now.moment + Duration::from_secs(9 * 3600);
    let freed = allocation_counter::measure(|| programs.sweep(later)).bytes_current;
    assert!(taken + freed <= empty + (16 << 10), "{} bytes are left of what was forgotten", taken + freed - empty);
}

/// What a client sends, with the version that it claims.
const CONNECT: &str = "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nProxy-Connection: keep-alive\r\n\
    User-Agent: Chrome/156.0\r\n\r\n";
const PLAIN: &str = "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nProxy-Connection: keep-alive\r\n\
    User-Agent: Chrome/156.0\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en\r\n\r\n";
const INNER: &str = "GET / HTTP/1.1\r\nHost: a.test\r\nsec-ch-ua: \"Chromium\";v=\"156\"\r\nuser-agent: Chrome/156.0\r\n\
    sec-fetch-mode: cors\r\naccept-encoding: gzip, deflate, br, zstd\r\naccept-language: en\r\n\r\n";
/// SETTINGS, WINDOW_UPDATE and the HEADERS of Chromium.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\x18\x04\0\0\0\0\0\0\x01\0\x01\0\0\0\x02\0\0\0\0\0\x04\0\x60\0\0\0\x06\0\x04\0\0\
    \0\0\x04\x08\0\0\0\0\0\0\xef\0\x01\0\0\x0b\x01\x05\0\0\0\x01\x82\x41\x06a.test\x87\x84";

#[test]
fn holding_what_a_program_shows_against_its_claim_allocates_nothing() {
    let browsers = Browsers::built_in().unwrap();
    let digits = include_str!("data/hellos/chromium.hex").trim();
    let Ok(HelloRead::Hello(hello)) =
        read_hello(&data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).unwrap(), &HelloLimits::default())
    else {
        panic!("the sample is whole");
    };
    let mut tap = Http2Tap::new();
    tap.feed(OPENING);
    let (host, opening) = (Host::parse(b"a.test").unwrap(), tap.opening());
    assert!(opening.is_some());
    let mut learnt = Learnt::default();
    let newer = browsers.claim(Some(b"Chrome/160.0"));
    for number in 1..=3 {
        learnt.learn(&newer, "another", ClientKey::of([10, 0, 0, number].into()), Timestamp(0));
    }
    let connect = Some((&host, 443));
    let inner = Some(InnerSeen { host: &host, opening });
    for (text, connect, inner) in [(CONNECT, connect, None), (PLAIN, None, None), (INNER, None, inner)] {
        for version in ["156", "155", "160"] {
            let mut bytes = BytesMut::from(text.replace("Chrome/156", &format!("Chrome/{version}")).as_bytes());
            let head = take_request_head(&mut bytes, &HeadLimits::default(), &mut 0).unwrap().unwrap();
            let claim = browsers.claim(head.fields.get("user-agent"));
            let seen = Seen { head: &head, connect, inner, hello: Some(&hello), faces: &[], learnt: Some(&learnt) };
            let mut grounds = None;
            let taken = allocation_counter::measure(|| grounds = Some(claim.check(&seen)));
            let names: Vec<_> = grounds.iter().flat_map(|grounds| grounds.iter().map(Ground::as_str)).collect();
            let expected: &[_] = match (version, inner) {
                ("156", _) => &[],
                ("155", _) if inner.is_none() => &[],
                ("155", _) => &["inner_client_hints"],
                (_, None) => &["tls_unlike_version"],
                (_, Some(_)) => &["tls_unlike_version", "inner_client_hints"],
            };
            assert_eq!(names, expected, "{version} {text}");
            assert_eq!(taken.count_total, 0, "{version} {text}: {taken:?}");
        }
    }
}

#[test]
fn a_host_whose_certificate_is_kept_takes_at_most_2_kib() -> Result<(), Box<dyn std::error::Error>> {
    const HOSTS: i64 = 200;
    let directory = tempfile::tempdir()?;
    let terms = Terms { name: "gate1".to_owned(), days: 730, permit: Vec::new(), exclude: Vec::new() };
    let now = sekisho::clock::now();
    let minter = Minter::new(AuthorityFiles::new(directory.path()).init(&terms, now)?)?;
    let hosts = (0..HOSTS).map(|n| Host::parse(format!("h{n}.test").as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let mut made = 0;
    let taken = allocation_counter::measure(|| {
        made = hosts.iter().filter(|host| minter.server_config(host, Offered::Http2, now).is_ok()).count();
    });
    assert_eq!(made, hosts.len());
    assert!(taken.bytes_current / HOSTS <= 2048, "{taken:?}");
    Ok(())
}

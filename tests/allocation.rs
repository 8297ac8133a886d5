//! Judging takes no memory: what every request passes through never waits for an allocator.

use std::fmt::Write;
use std::time::Duration;

use sekisho::challenge::{Asked, Means, Now, Programs, Spans, Step};
use sekisho::facts::{
    Client, ClientKey, Facts, Host, Moment, Program, ProgramKey, Restraint, Scheme, Stage, Standing, Target, Timestamp,
};
use sekisho::identity::ProgramName;
use sekisho::parse::{parse_absolute, parse_connect};
use sekisho::policy::{Outcome, Policy, VerdictKind, decide};

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
    let client = Client { address: ([10, 20, 3, 4], 4000).into(), user: None };
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

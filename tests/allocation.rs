//! Judging takes no memory: what every request passes through never waits for an allocator. What is kept of each of
//! many takes little.

use std::fmt::Write;

use sekisho::facts::{Client, Facts, Host, Program, Restraint, Scheme, Stage, Standing, Target, Timestamp};
use sekisho::parse::{parse_absolute, parse_connect};
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

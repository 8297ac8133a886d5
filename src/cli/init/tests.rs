use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::*;
use crate::config::Config;
use crate::facts::{Client, Facts, Program, Restraint, Scheme, Stage, Standing, Timestamp};
use crate::parse::{parse_absolute, parse_connect};
use crate::policy::{Outcome, Policy, decide};

/// Takes the `#` from lines that have no space behind it, as both templates tell their readers to.
fn uncommented(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|first: char| first.is_ascii_alphabetic() || first == '[') => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A `key = value` line of the config, commented out or not, with its section and the comment above it.
struct Setting {
    section: String,
    key: String,
    line: String,
    comment: String,
}

fn settings() -> Vec<Setting> {
    let (mut section, mut comment, mut settings) = (String::new(), String::new(), Vec::new());
    for line in uncommented(CONFIG).lines() {
        if let Some(text) = line.strip_prefix("# ") {
            comment.push_str(text);
            comment.push(' ');
        } else if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" = ") {
            let comment = std::mem::take(&mut comment);
            settings.push(Setting { section: section.clone(), key: key.into(), line: line.into(), comment });
        } else {
            comment.clear();
        }
    }
    settings
}

/// Whether the lines of a section belong together.
fn is_whole(section: &str) -> bool {
    matches!(section, "internal" | "console" | "pac" | "authentication" | "secure_proxy")
        || section.starts_with("lists.")
        || section.starts_with("checkpoints.")
        || section.starts_with("hooks.")
        || section.starts_with("alerts.")
        || section.starts_with("streams.")
        || section.starts_with("explained.")
        || section.starts_with("response.")
        || section.starts_with("network")
}

/// The line that begins a section.
fn header(section: &str) -> String {
    match section {
        "network.exception" => format!("[[{section}]]"),
        _ => format!("[{section}]"),
    }
}

/// What of the network stands in other sections than this one, of it: all of it belongs together.
fn around(section: &str) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for setting in
        settings().into_iter().filter(|other| section.starts_with("network") && other.section.starts_with("network"))
    {
        if setting.section == section {
            continue;
        }
        if setting.section != last {
            text.push_str(&format!("{}\n", header(&setting.section)));
            last = setting.section;
        }
        text.push_str(&format!("{}\n", setting.line));
    }
    text
}

/// The section with this line alone, or in place of the one with its key where all lines belong together.
fn read_alone(section: &str, line: &str) -> Result<Config, String> {
    let mut lines = if is_whole(section) { others(section, line) } else { Vec::new() };
    lines.push(line.to_owned());
    read_lines(section, &lines)
}

/// The lines of a section that have another key than this one.
fn others(section: &str, line: &str) -> Vec<String> {
    let key = line.split(" = ").next();
    let of_section = settings().into_iter().filter(|other| other.section == section);
    of_section.filter(|other| Some(&*other.key) != key).map(|other| other.line).collect()
}

fn read_lines(section: &str, lines: &[String]) -> Result<Config, String> {
    let text = format!("{}{}\n{}\n", around(section), header(section), lines.join("\n"));
    Config::read("t.toml", &text).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// What `Config` knows below a section, as its own complaint about an unknown key lists it.
fn known(section: Option<&str>) -> BTreeSet<String> {
    let key = "no_key_is_called_like_this = 1\n";
    let text = section.map_or_else(|| key.to_owned(), |section| format!("{}\n{key}", header(section)));
    let problems = Config::read("t.toml", &text).unwrap_err();
    let list = problems.iter().find_map(|problem| problem.fix.strip_prefix("known here: ")).unwrap();
    list.split(", ").map(str::to_owned).collect()
}

fn same(a: &Config, b: &Config) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

#[test]
fn the_config_names_every_key_there_is_and_no_other() {
    let settings = settings();
    let sections: BTreeSet<String> = settings.iter().map(|setting| setting.section.clone()).collect();
    let outermost = |section: &String| section.split('.').next().unwrap().to_owned();
    assert_eq!(sections.iter().map(outermost).collect::<BTreeSet<_>>(), known(None));
    // Each list shows another way to prove one, each receiver another way to reach one, and each
    // segment what its role may have.
    let shows_others = ["lists.", "checkpoints.", "hooks.", "alerts.", "network.segments."];
    for kind in shows_others {
        let of_kind = settings.iter().filter(|setting| setting.section.starts_with(kind));
        assert_eq!(
            of_kind.map(|setting| setting.key.clone()).collect::<BTreeSet<_>>(),
            known(Some(&format!("{kind}a")))
        );
    }
    for section in sections {
        let written: Vec<&str> =
            settings.iter().filter(|setting| setting.section == section).map(|setting| setting.key.as_str()).collect();
        let mut unique: BTreeSet<String> = written.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(unique.len(), written.len(), "a key of [{section}] stands twice: {written:?}");
        if section == "network" {
            unique.extend(["segments".to_owned(), "exception".to_owned()]);
        }
        assert!(
            shows_others.iter().any(|kind| section.starts_with(kind)) || unique == known(Some(&section)),
            "[{section}]"
        );
    }
}

#[test]
fn the_config_as_written_is_the_default_with_its_policy_beside_it() {
    let config = Config::read("sekisho.toml", CONFIG).unwrap();
    let expected = Config { policy: Some("policy.toml".into()), ..Config::default() };
    assert!(same(&config, &expected), "{config:#?}");
}

#[test]
fn every_setting_shows_its_default_or_says_that_there_is_none() {
    Config::read("sekisho.toml", &uncommented(CONFIG)).unwrap();
    for setting in settings() {
        let config = read_alone(&setting.section, &setting.line).unwrap();
        let has_default = !setting.comment.contains("(no default)") && setting.key != "policy";
        let without = match is_whole(&setting.section) {
            true => read_lines(&setting.section, &others(&setting.section, &setting.line)).ok(),
            false => Some(Config::default()),
        };
        let is_default = without.is_some_and(|without| same(&config, &without));
        assert_eq!(is_default, has_default, "{}", setting.line);
        assert!(setting.comment.len() > 30, "{} is explained", setting.key);
    }
}

#[test]
fn every_number_shows_its_bounds() {
    let mut numbers = 0;
    for setting in settings() {
        let Some((_, value)) = setting.line.split_once(" = ") else { continue };
        if value.parse::<u64>().is_err() {
            continue;
        }
        numbers += 1;
        let (before, after) = setting.comment.rsplit_once(" to ").unwrap_or_else(|| panic!("{}: bounds", setting.key));
        let low: u64 = before.rsplit(' ').next().unwrap().parse().unwrap();
        let high: u64 = after.split(['.', ' ']).next().unwrap().parse().unwrap();
        let accepted = |number: u64| read_alone(&setting.section, &format!("{} = {number}", setting.key)).is_ok();
        assert!(accepted(low) && accepted(high), "{}: {low} to {high}", setting.key);
        assert!(
            low.checked_sub(1).is_none_or(|less| !accepted(less)) && !accepted(high + 1),
            "{}: {low} to {high} and no further",
            setting.key
        );
    }
    assert!(numbers > 8);
}

fn verdict(policy: &Policy, address: [u8; 4], request: &str) -> &'static str {
    let target = if request.starts_with("http") {
        parse_absolute(request.as_bytes())
    } else {
        parse_connect(request.as_bytes())
    }
    .unwrap();
    let tunnel = target.scheme == Scheme::Tunnel;
    let outcome = decide(
        policy,
        &Facts {
            now: Timestamp(0),
            client: &Client::at(SocketAddr::from((address, 4000))),
            method: if tunnel { "CONNECT" } else { "GET" },
            target: &target,
            program: Program { user_agent: Some(b"curl/8") },
            hello: if tunnel { Stage::NotYet } else { Stage::Never },
            inner: if tunnel { Stage::NotYet } else { Stage::Never },
            standing: Standing::Uncleared,
            contradictions: crate::facts::Contradictions::NONE,
            restraint: Restraint::NONE,
        },
    );
    match outcome {
        Outcome::Decided(decision) => decision.verdict.kind().as_str(),
        Outcome::Needs(..) => "needs",
    }
}

const OFFICE: [u8; 4] = [10, 20, 1, 5];
const SERVER: [u8; 4] = [10, 30, 0, 5];

#[test]
fn the_policy_as_written_denies() {
    let policy = Policy::compile("policy.toml", POLICY).unwrap();
    assert_eq!((policy.rules(), policy.observes(), policy.unknown().as_str()), (0, false, "deny"));
    for request in ["http://portal.supplier.example/", "portal.supplier.example:443", "http://192.0.2.1/"] {
        assert_eq!(verdict(&policy, OFFICE, request), "deny", "{request}");
    }
}

#[test]
fn the_examples_in_the_policy_do_what_they_say() {
    let policy = Policy::compile("policy.toml", &uncommented(POLICY)).unwrap();
    assert_eq!(policy.rules(), POLICY.matches("#[[rule]]").count());
    let cases = [
        (OFFICE, "portal.supplier.example:443", "allow"),
        (OFFICE, "http://www.supplier.example/", "allow"),
        (OFFICE, "img.cdn.supplier.example:443", "allow"),
        (OFFICE, "cdn.supplier.example:443", "deny"),
        (OFFICE, "portal.supplier.example:8443", "deny"),
        (SERVER, "portal.supplier.example:443", "deny"),
        (OFFICE, "a.tracker.example:443", "deny"),
        (OFFICE, "http://feed.news.example/rss", "allow"),
        (OFFICE, "feed.news.example:443", "deny"),
        // curl does not say that it is the updater.
        (SERVER, "updates.vendor.example:443", "deny"),
        (SERVER, "tickets.plant.example:8443", "allow"),
        (SERVER, "tickets.plant.example:443", "deny"),
        (OFFICE, "intranet.corp.example:443", "allow"),
        (SERVER, "intranet.corp.example:443", "deny"),
        (OFFICE, "www.headoffice.example:443", "allow"),
        (SERVER, "www.headoffice.example:443", "deny"),
    ];
    for (client, request, expected) in cases {
        assert_eq!(verdict(&policy, client, request), expected, "{request}");
    }
}

fn unit(directory: &str) -> String {
    let directory = Path::new(directory);
    unit_text(Path::new("/usr/local/bin/sekisho"), &directory.join("sekisho.toml"), &directory.join("sekisho.service"))
        .unwrap()
}

fn value<'u>(unit: &'u str, key: &str) -> &'u str {
    unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_else(|| panic!("{key}"))
}

#[test]
fn the_unit_names_absolute_paths_and_leaves_nothing_to_fill_in() {
    let unit = unit("/etc/sekisho");
    assert_eq!(value(&unit, "ExecStart"), "/usr/local/bin/sekisho run --config /etc/sekisho/sekisho.toml");
    for placeholder in ["@unit@", "@executable@", "@config@"] {
        assert!(!unit.contains(placeholder), "{unit}");
    }
    assert!(unit.contains("systemctl enable --now /etc/sekisho/sekisho.service"), "{unit}");
}

#[test]
fn the_unit_escapes_what_systemd_would_read_otherwise() {
    let line = |directory: &str| value(&unit(directory), "ExecStart").to_owned();
    assert!(line("/etc/a b").ends_with("--config \"/etc/a b/sekisho.toml\""));
    assert!(line("/etc/50%$x").ends_with("--config /etc/50%%$$x/sekisho.toml"));
    assert!(line("/etc/\"q\"").ends_with("--config \"/etc/\\\"q\\\"/sekisho.toml\""));
    let newline = Path::new("/etc/a\nUser=root");
    assert!(unit_text(newline, newline, newline).is_err());
}

#[test]
fn the_unit_gives_the_gate_longer_to_stop_than_it_takes_to_drain() {
    let unit = unit("/etc/sekisho");
    let stop: u64 = value(&unit, "TimeoutStopSec").parse().unwrap();
    assert!(stop > Config::default().drain_timeout.as_secs());
    let files: u64 = value(&unit, "LimitNOFILE").parse().unwrap();
    assert!(files > 4 * Config::default().connections_max);
}

#[test]
fn a_word_for_a_shell_is_quoted_only_where_it_must_be() {
    assert_eq!(shell_word(Path::new("/etc/sekisho/x.toml")), "/etc/sekisho/x.toml");
    assert_eq!(shell_word(Path::new("/it's a/x")), "'/it'\\''s a/x'");
}

#[test]
fn the_unit_lets_the_gate_give_up_what_it_is_not_to_keep() {
    let unit = include_str!("../templates/sekisho.service");
    let filters: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")).collect();
    let privileged = filters.iter().position(|filter| filter.contains("~@privileged")).unwrap();
    let capset = filters.iter().position(|filter| filter.split(' ').any(|call| call == "capset")).unwrap();
    assert!(privileged < capset, "systemd applies them in their order: {filters:?}");
}

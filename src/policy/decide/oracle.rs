//! The evaluation against a naive reading of the same policy, which shares nothing with it but the text
//! that both are made from.

mod reading;

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::tests::Base;
use super::*;
use crate::facts::{Client, Hello, Program as Seen, Restraint, Standing, Timestamp, TlsVersion, User};
use crate::parse::{parse_absolute, parse_connect};
use crate::policy::Source;

use reading::meant;

const HOSTS: [&str; 10] = [
    "a.example",
    "*.a.example",
    "b.a.example",
    "*",
    "c.example",
    "*.example",
    "*.b.a.example",
    "d.example",
    "e.example",
    "*.d.example",
];
const NAMES: [&str; 8] =
    ["a.example", "b.a.example", "x.b.a.example", "c.example", "ba.example", "localhost", "d.example", "x.d.example"];
/// As they are written; `staff` is tanaka and whoever is on the line, `desk` is tanaka in the office.
const GROUPS: [(&str, &str); 5] = [
    ("office", "addresses = [\"10.20.0.0/16\"]"),
    ("lab", "addresses = [\"10.20.7.0/24\"]"),
    ("plant", "addresses = [\"10.30.0.0/16\"]"),
    ("staff", "users = [\"tanaka\", \"group:line\"]"),
    ("desk", "addresses = [\"10.20.0.0/16\"], users = [\"tanaka\"]"),
];
const GROUP_NAMES: [&str; 5] = [GROUPS[0].0, GROUPS[1].0, GROUPS[2].0, GROUPS[3].0, GROUPS[4].0];
const CLIENTS: [&str; 4] = ["10.20.1.5", "10.20.7.9", "10.30.0.1", "192.0.2.1"];
/// With the groups of each.
const USERS: [(&str, &[&str]); 3] = [("tanaka", &[]), ("sato", &["line"]), ("suzuki", &["lines"])];
const AGENTS: [(&str, &str); 2] = [("updater", "Updater/*"), ("any", "*")];
const SAID: [&str; 3] = ["Updater/2", "Mozilla/5.0", ""];
const PRINTS: [&str; 2] = ["t13d_one", "t13d_two"];
const PROGRAMS: [&str; 4] = [AGENTS[0].0, AGENTS[1].0, PRINTS[0], PRINTS[1]];
const PORTS: [u16; 4] = [80, 443, 8080, 8443];
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const PATHS: [&str; 2] = ["/orders/*", "/x"];
const ASKED_PATHS: [&str; 6] = ["/orders/7", "/x", "/orders", "/orders/../x", "/orders/%37", "/x//"];
const VERDICTS: [&str; 3] = ["allow", "challenge", "deny"];
const MODES: [&str; 2] = ["enforce", "observe"];
const STANDINGS: [&str; 6] = ["uncleared", "cleared", "afresh", "confirmed", "afresh, confirmed", "no browser"];

/// A moment, by what `hours = "Mon-Fri 09:00-17:00"` in Tokyo and `until = "2026-06-30"` make of it.
#[derive(Debug, Clone, Copy)]
struct At {
    micros: u64,
    is_in_hours: bool,
    is_after_june: bool,
}

const fn at(micros: u64, is_in_hours: bool, is_after_june: bool) -> At {
    At { micros, is_in_hours, is_after_june }
}

const MOMENTS: [At; 6] = [
    // Wednesday, 24 June 2026, 08:59:59, 10:00 and 17:00.
    at(1_782_259_199_000_000, false, false),
    at(1_782_262_800_000_000, true, false),
    at(1_782_288_000_000_000, false, false),
    // The Saturday after it, 10:00.
    at(1_782_522_000_000_000, false, false),
    // The last second of June, and the first working morning of July.
    at(1_782_831_599_000_000, false, false),
    at(1_782_867_600_000_000, true, true),
];

/// One rule, as it is written; what is absent is not written.
#[derive(Debug, Clone)]
struct Written {
    hosts: Option<Vec<&'static str>>,
    clients: Option<Vec<&'static str>>,
    ports: Option<Vec<u16>>,
    methods: Option<Vec<&'static str>>,
    /// Groups of programs: by what they say, or by what they show.
    programs: Option<Vec<&'static str>>,
    paths: Option<Vec<&'static str>>,
    hours: bool,
    until: bool,
    verdict: &'static str,
    inspect: Option<bool>,
    fresh: bool,
    confirm: bool,
    essential: bool,
}

#[derive(Debug, Clone)]
struct Layer {
    mode: &'static str,
    unknown: &'static str,
    /// Groups with a mode of their own.
    modes: Vec<(&'static str, &'static str)>,
    rules: Vec<Written>,
}

#[derive(Debug, Clone)]
struct Asked {
    client: &'static str,
    user: Option<&'static str>,
    name: &'static str,
    port: u16,
    /// Absent for a CONNECT.
    method: Option<&'static str>,
    path: &'static str,
    said: &'static str,
    print: Option<&'static str>,
    at: At,
    standing: &'static str,
    isolated: bool,
    lockdown: bool,
    /// What a finding answers with.
    finding: Option<&'static str>,
}

impl Asked {
    /// Servers would not agree on which path is meant.
    fn path_is_unclear(&self) -> bool {
        self.method.is_some() && ["..", "%37", "//"].iter().any(|part| self.path.contains(part))
    }
}

fn some<T: Copy + std::fmt::Debug + 'static>(of: &'static [T]) -> impl Strategy<Value = Option<Vec<T>>> {
    option::of(subsequence(of.to_vec(), 1..=of.len()))
}

/// Seldom, so that most rules can match.
fn seldom<T: Copy + std::fmt::Debug + 'static>(of: &'static [T]) -> impl Strategy<Value = Option<Vec<T>>> {
    option::weighted(0.2, subsequence(of.to_vec(), 1..=of.len()))
}

fn often(one_in: u32) -> impl Strategy<Value = bool> {
    (0..one_in).prop_map(|number| number == 0)
}

fn rule(hosts: impl Strategy<Value = Option<Vec<&'static str>>>) -> impl Strategy<Value = Written> {
    let conditions =
        (hosts, some(&GROUP_NAMES), some(&PORTS), some(&METHODS), some(&PROGRAMS), seldom(&PATHS), often(5), often(5));
    let terms =
        (select(VERDICTS.to_vec()), option::weighted(0.7, any::<bool>()), any::<bool>(), any::<bool>(), any::<bool>());
    (conditions, terms).prop_map(|(conditions, (verdict, inspect, fresh, confirm, essential))| {
        let (hosts, clients, ports, methods, programs, paths, hours, until) = conditions;
        // What a policy may not say is not written.
        let contradicts = |inspect: &bool| if *inspect { verdict == "deny" } else { paths.is_some() };
        let challenges = verdict == "challenge";
        Written {
            inspect: inspect.filter(|inspect| !contradicts(inspect)),
            fresh: fresh && challenges,
            confirm: confirm && challenges,
            essential: essential && verdict == "allow",
            hosts,
            clients,
            ports,
            methods,
            programs,
            paths,
            hours,
            until,
            verdict,
        }
    })
}

/// Few rules that are about much, or more than are looked through without an index, each about little.
fn rules() -> impl Strategy<Value = Vec<Written>> {
    let narrow = option::weighted(0.9, subsequence(HOSTS.to_vec(), 1..=2));
    prop_oneof![vec(rule(some(&HOSTS)), 0..6), vec(rule(narrow), 13..40)]
}

fn layer() -> impl Strategy<Value = Layer> {
    let modes = subsequence(GROUP_NAMES.to_vec(), 0..=2).prop_flat_map(|groups| {
        groups.into_iter().map(|group| (Just(group), select(MODES.to_vec()))).collect::<Vec<_>>()
    });
    (select(MODES.to_vec()), select(VERDICTS.to_vec()), modes, rules())
        .prop_map(|(mode, unknown, modes, rules)| Layer { mode, unknown, modes, rules })
}

fn asked() -> impl Strategy<Value = Asked> {
    let users = USERS.map(|(user, _)| user).to_vec();
    let who = (select(CLIENTS.to_vec()), option::of(select(users)), select(SAID.to_vec()));
    let what = (
        select(NAMES.to_vec()),
        select(PORTS.to_vec()),
        option::of(select(METHODS.to_vec())),
        select(ASKED_PATHS.to_vec()),
        option::of(select(PRINTS.to_vec())),
    );
    let finding = option::weighted(0.2, select(vec!["challenge", "deny"]));
    let imposed = (select(MOMENTS.to_vec()), select(STANDINGS.to_vec()), often(20), often(6), finding);
    (who, what, imposed).prop_map(|((client, user, said), (name, port, method, path, print), imposed)| {
        let (at, standing, isolated, lockdown, finding) = imposed;
        Asked { client, user, name, port, method, path, said, print, at, standing, isolated, lockdown, finding }
    })
}

/// The layer as a file; only a site stands on a base.
fn text(layer: &Layer, on_base: bool) -> String {
    let mut text = format!("[policy]\nmode = \"{}\"\nunknown = \"{}\"\n", layer.mode, layer.unknown);
    if on_base {
        text += "base = \"base.toml\"\n";
    }
    text += "[calendar]\ntime_zone = \"Asia/Tokyo\"\n[clients]\n";
    for (name, keys) in GROUPS {
        let mode = layer.modes.iter().find(|(group, _)| *group == name);
        let mode = mode.map_or(String::new(), |(_, mode)| format!(", mode = \"{mode}\""));
        text += &format!("{name} = {{ {keys}{mode} }}\n");
    }
    text += "[programs]\n";
    for (name, agent) in AGENTS {
        text += &format!("{name} = {{ user_agent = \"{agent}\" }}\n");
    }
    for print in PRINTS {
        text += &format!("{print} = {{ ja4 = [\"{print}\"] }}\n");
    }
    for (number, rule) in layer.rules.iter().enumerate() {
        text += &format!("[[rule]]\nname = \"{number}\"\nverdict = \"{}\"\n", rule.verdict);
        for (key, list) in [
            ("hosts", &rule.hosts),
            ("clients", &rule.clients),
            ("methods", &rule.methods),
            ("programs", &rule.programs),
            ("paths", &rule.paths),
        ] {
            if let Some(list) = list {
                text += &format!("{key} = {list:?}\n");
            }
        }
        if let Some(ports) = &rule.ports {
            text += &format!("ports = {ports:?}\n");
        }
        if let Some(inspect) = rule.inspect {
            text += &format!("inspect = {inspect}\n");
        }
        for (key, is_written) in [
            ("hours = \"Mon-Fri 09:00-17:00\"", rule.hours),
            ("until = \"2026-06-30\"", rule.until),
            ("fresh = true", rule.fresh),
            ("confirm = true", rule.confirm),
            ("essential = true", rule.essential),
        ] {
            if is_written {
                text += &format!("{key}\n");
            }
        }
    }
    text
}

fn standing(word: &str) -> Standing {
    let cleared = |afresh, confirmed| Standing::Cleared { afresh, confirmed };
    match word {
        "uncleared" => Standing::Uncleared,
        "cleared" => cleared(false, false),
        "afresh" => cleared(true, false),
        "confirmed" => cleared(false, true),
        "afresh, confirmed" => cleared(true, true),
        _ => Standing::NoBrowser,
    }
}

fn decided(policy: &Policy, asked: &Asked) -> String {
    let groups = |user: &str| USERS.iter().find(|(name, _)| *name == user).map_or(&[][..], |(_, groups)| groups);
    let user = asked
        .user
        .map(|user| User { name: user.into(), groups: groups(user).iter().map(|group| (*group).into()).collect() });
    let client = Client { address: SocketAddr::new(asked.client.parse::<IpAddr>().unwrap(), 4000), user };
    let target = match asked.method {
        Some(_) => parse_absolute(format!("http://{}:{}{}", asked.name, asked.port, asked.path).as_bytes()),
        None => parse_connect(format!("{}:{}", asked.name, asked.port).as_bytes()),
    }
    .unwrap();
    let hello = asked.print.map(|print| Hello {
        sni: None,
        alpn: Vec::new(),
        ja4: print.into(),
        stable_key: "".into(),
        ech: false,
        version: TlsVersion::Tls13,
    });
    let finding = asked.finding.map(|finding| match finding {
        "challenge" => Response::ChallengeAfresh,
        _ => Response::Deny,
    });
    let facts = Facts {
        now: Timestamp(asked.at.micros),
        client: &client,
        method: asked.method.unwrap_or("CONNECT"),
        target: &target,
        program: Seen { user_agent: Some(asked.said.as_bytes()) },
        hello: match (&hello, asked.method) {
            (_, Some(_)) => Stage::Never,
            (Some(hello), None) => Stage::Known(hello),
            (None, None) => Stage::NotYet,
        },
        inner: if asked.method.is_none() { Stage::NotYet } else { Stage::Never },
        standing: standing(asked.standing),
        restraint: Restraint { isolated: asked.isolated, lockdown: asked.lockdown, finding },
    };
    let words = |reason: &Reason| {
        let rule = reason.rule.as_ref().map_or(String::new(), |rule| format!(" {}", rule.name));
        let beside = reason.beside.as_ref().map_or(String::new(), |beside| {
            let rule = beside.rule.as_ref().map_or(beside.code.as_str(), |rule| &rule.name);
            format!(" | {} {rule}", beside.verdict.as_str())
        });
        format!("{rule}{beside}")
    };
    match decide(policy, &facts) {
        Outcome::Needs(Need::Hello, reason) => format!("needs hello{}", words(&reason)),
        Outcome::Needs(Need::InnerRequest, reason) => format!("needs inner{}", words(&reason)),
        Outcome::Needs(Need::User, reason) => format!("needs user{}", words(&reason)),
        Outcome::Decided(decision) => {
            let would = decision.would.map_or(String::new(), |would| format!(" would {}", would.as_str()));
            let verdict = decision.verdict.kind().as_str();
            format!("{verdict}{would} {}{}", decision.reason.code.as_str(), words(&decision.reason))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_decided_is_what_the_policy_says_to_a_reader(
        base in option::weighted(0.4, layer()),
        site in layer(),
        asked in vec(asked(), 1..8),
    ) {
        let site_text = text(&site, base.is_some());
        let base_text = base.as_ref().map_or(String::new(), |base| text(base, false));
        let root = Source { file: "site.toml".to_owned(), text: site_text.clone() };
        let policy = Policy::compile_from(root, &Base(&base_text)).unwrap();
        for asked in asked {
            let (decided, meant) = (decided(&policy, &asked), meant(base.as_ref(), &site, &asked));
            prop_assert_eq!(decided, meant, "{:?} of\n{}\non\n{}", asked, site_text, base_text);
        }
    }
}

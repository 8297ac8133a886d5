//! The evaluation against a naive reading of the same policy, which shares nothing with it but the text
//! that both are made from.

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::facts::{Client, Hello, Program as Seen, Restraint, Standing, Timestamp, TlsVersion};
use crate::parse::{parse_absolute, parse_connect};

const HOSTS: [&str; 6] = ["a.example", "*.a.example", "b.a.example", "*", "c.example", "*.example"];
const NAMES: [&str; 6] = ["a.example", "b.a.example", "x.b.a.example", "c.example", "ba.example", "localhost"];
const GROUPS: [(&str, &str); 3] = [("office", "10.20.0.0/16"), ("lab", "10.20.7.0/24"), ("plant", "10.30.0.0/16")];
const CLIENTS: [&str; 4] = ["10.20.1.5", "10.20.7.9", "10.30.0.1", "192.0.2.1"];
const AGENTS: [(&str, &str); 2] = [("updater", "Updater/*"), ("any", "*")];
const SAID: [&str; 3] = ["Updater/2", "Mozilla/5.0", ""];
const PRINTS: [&str; 2] = ["t13d_one", "t13d_two"];
const PORTS: [u16; 4] = [80, 443, 8080, 8443];
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const VERDICTS: [&str; 3] = ["allow", "challenge", "deny"];

/// One rule, as it is written; what is absent is not written.
#[derive(Debug, Clone)]
struct Written {
    hosts: Option<Vec<&'static str>>,
    clients: Option<Vec<&'static str>>,
    ports: Option<Vec<u16>>,
    methods: Option<Vec<&'static str>>,
    /// Groups of programs: by what they say, or by what they show.
    programs: Option<Vec<&'static str>>,
    verdict: &'static str,
}

#[derive(Debug, Clone)]
struct Asked {
    client: &'static str,
    name: &'static str,
    port: u16,
    /// Absent for a CONNECT.
    method: Option<&'static str>,
    said: &'static str,
    print: Option<&'static str>,
}

fn some<T: Copy + std::fmt::Debug + 'static>(of: &'static [T]) -> impl Strategy<Value = Option<Vec<T>>> {
    option::of(subsequence(of.to_vec(), 1..=of.len()))
}

fn rule() -> impl Strategy<Value = Written> {
    const GROUP_NAMES: [&str; 3] = [GROUPS[0].0, GROUPS[1].0, GROUPS[2].0];
    const PROGRAMS: [&str; 4] = [AGENTS[0].0, AGENTS[1].0, PRINTS[0], PRINTS[1]];
    (some(&HOSTS), some(&GROUP_NAMES), some(&PORTS), some(&METHODS), some(&PROGRAMS), select(VERDICTS.to_vec()))
        .prop_map(|(hosts, clients, ports, methods, programs, verdict)| Written {
            hosts,
            clients,
            ports,
            methods,
            programs,
            verdict,
        })
}

fn asked() -> impl Strategy<Value = Asked> {
    let print = option::of(select(PRINTS.to_vec()));
    (
        select(CLIENTS.to_vec()),
        select(NAMES.to_vec()),
        select(PORTS.to_vec()),
        option::of(select(METHODS.to_vec())),
        select(SAID.to_vec()),
        print,
    )
        .prop_map(|(client, name, port, method, said, print)| Asked { client, name, port, method, said, print })
}

fn text(mode: &str, unknown: &str, rules: &[Written]) -> String {
    let mut text = format!("[policy]\nmode = \"{mode}\"\nunknown = \"{unknown}\"\n[clients]\n");
    for (name, net) in GROUPS {
        text += &format!("{name} = {{ addresses = [\"{net}\"] }}\n");
    }
    text += "[programs]\n";
    for (name, agent) in AGENTS {
        text += &format!("{name} = {{ user_agent = \"{agent}\" }}\n");
    }
    for print in PRINTS {
        text += &format!("{print} = {{ ja4 = [\"{print}\"] }}\n");
    }
    for (number, rule) in rules.iter().enumerate() {
        text += &format!("[[rule]]\nname = \"{number}\"\nverdict = \"{}\"\n", rule.verdict);
        for (key, list) in [
            ("hosts", &rule.hosts),
            ("clients", &rule.clients),
            ("methods", &rule.methods),
            ("programs", &rule.programs),
        ] {
            if let Some(list) = list {
                text += &format!("{key} = {list:?}\n");
            }
        }
        if let Some(ports) = &rule.ports {
            text += &format!("ports = {ports:?}\n");
        }
    }
    text
}

/// What the policy says, read as a person reads it: verdict, reason and rule.
fn meant(mode: &str, unknown: &str, rules: &[Written], asked: &Asked) -> String {
    let observes = mode == "observe";
    let tunnel = asked.method.is_none();
    let default_port = asked.port == 80 || (tunnel && asked.port == 443);
    let said = |verdict: &str, reason: &str, rule: Option<usize>| {
        let rule = rule.map_or(String::new(), |number| format!(" {number}"));
        let passes = verdict == "allow" || observes;
        if passes && tunnel && asked.port == 80 && !observes {
            return format!("needs inner{rule}");
        }
        let would = if observes && verdict != "allow" { format!(" would {verdict}") } else { String::new() };
        format!("{}{would} {reason}{rule}", if passes { "allow" } else { verdict })
    };
    if asked.name == "localhost" {
        return "deny guard_name".to_owned();
    }
    let mut near = None;
    for (number, rule) in rules.iter().enumerate() {
        let host = |pattern: &&str| match pattern.strip_prefix('*') {
            Some("") => true,
            Some(dotted) => asked.name.ends_with(dotted) && asked.name.len() > dotted.len(),
            None => *pattern == asked.name,
        };
        let held = [("office", "10.20.1.5"), ("office", "10.20.7.9"), ("lab", "10.20.7.9"), ("plant", "10.30.0.1")];
        let client = |group: &&str| held.contains(&(*group, asked.client));
        if !rule.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(host)) {
            continue;
        }
        if !rule.clients.as_ref().is_none_or(|groups| groups.iter().any(client)) {
            continue;
        }
        let mut waits = None;
        if let Some(methods) = &rule.methods {
            match asked.method {
                Some(method) if methods.contains(&method) => {}
                Some(_) => continue,
                None => waits = Some("inner"),
            }
        }
        if let Some(programs) = &rule.programs {
            let by_name =
                programs.contains(&"any") || (programs.contains(&"updater") && asked.said.starts_with("Updater/"));
            let wants_print = programs.iter().any(|program| PRINTS.contains(program));
            let by_print = tunnel && asked.print.is_some_and(|print| programs.contains(&print));
            if !by_name && !by_print {
                if !(tunnel && asked.print.is_none() && wants_print) {
                    continue;
                }
                waits = waits.or(Some("hello"));
            }
        }
        let port = match &rule.ports {
            Some(ports) => ports.contains(&asked.port),
            None => rule.verdict == "deny" || default_port,
        };
        if !port {
            if rule.verdict != "deny" {
                near = near.or(Some(number));
            }
            continue;
        }
        match waits {
            None => return said(rule.verdict, "rule", Some(number)),
            // The inside is learnt on port 80, and only while nothing has been read in its place.
            Some("inner") if observes && !(asked.port == 80 && asked.print.is_none()) => {
                return said("deny", "inspection_unavailable", Some(number));
            }
            Some(fact) => return format!("needs {fact} {number}"),
        }
    }
    match (near, default_port) {
        (Some(number), _) => said("deny", "port_not_opened", Some(number)),
        (None, false) => said("deny", "port_not_opened", None),
        (None, true) => said(unknown, "no_rule", None),
    }
}

fn decided(policy: &Policy, asked: &Asked) -> String {
    let client = Client { address: SocketAddr::new(asked.client.parse::<IpAddr>().unwrap(), 4000), user: None };
    let target = match asked.method {
        Some(_) => parse_absolute(format!("http://{}:{}/x", asked.name, asked.port).as_bytes()),
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
    let facts = Facts {
        now: Timestamp(0),
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
        standing: Standing::Uncleared,
        restraint: Restraint::NONE,
    };
    let rule = |reason: &Reason| reason.rule.as_ref().map_or(String::new(), |rule| format!(" {}", rule.name));
    match decide(policy, &facts) {
        Outcome::Needs(Need::Hello, reason) => format!("needs hello{}", rule(&reason)),
        Outcome::Needs(Need::InnerRequest, reason) => format!("needs inner{}", rule(&reason)),
        Outcome::Needs(Need::User, _) => "needs user".to_owned(),
        Outcome::Decided(decision) => {
            let would = decision.would.map_or(String::new(), |would| format!(" would {}", would.as_str()));
            let verdict = decision.verdict.kind().as_str();
            format!("{verdict}{would} {}{}", decision.reason.code.as_str(), rule(&decision.reason))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_decided_is_what_the_policy_says_to_a_reader(
        mode in select(vec!["enforce", "observe"]),
        unknown in select(VERDICTS.to_vec()),
        rules in vec(rule(), 0..6),
        asked in vec(asked(), 1..8),
    ) {
        let text = text(mode, unknown, &rules);
        let policy = Policy::compile("p.toml", &text).unwrap();
        for asked in asked {
            prop_assert_eq!(decided(&policy, &asked), meant(mode, unknown, &rules, &asked), "{:?} of\n{}", asked, text);
        }
    }
}

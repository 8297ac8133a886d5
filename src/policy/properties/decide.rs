//! What is decided, against a naive reading of what was written, which shares nothing with the evaluation but
//! the text that both are made from.

use std::net::{IpAddr, SocketAddr};

use super::reading::meant;
use crate::facts::{
    Client, Contradictions, Facts, Hello, HelloTraits, Program as Seen, Response, Restraint, Stage, Standing,
    Timestamp, TlsVersion, User,
};
use crate::parse::{parse_absolute, parse_connect};
use crate::policy::{Listed, Need, Outcome, Policy, Reason, Source, Sources, decide};

pub(in crate::policy) const HOSTS: [&str; 10] = [
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
pub(in crate::policy) const NAMES: [&str; 8] =
    ["a.example", "b.a.example", "x.b.a.example", "c.example", "ba.example", "localhost", "d.example", "x.d.example"];
/// As they are written; `staff` is tanaka and whoever is on the line, `desk` is tanaka in the office.
pub(in crate::policy) const GROUPS: [(&str, &str); 5] = [
    ("office", "addresses = [\"10.20.0.0/16\"]"),
    ("lab", "addresses = [\"10.20.7.0/24\"]"),
    ("plant", "addresses = [\"10.30.0.0/16\"]"),
    ("staff", "users = [\"tanaka\", \"group:line\"]"),
    ("desk", "addresses = [\"10.20.0.0/16\"], users = [\"tanaka\"]"),
];
pub(in crate::policy) const GROUP_NAMES: [&str; 5] = [GROUPS[0].0, GROUPS[1].0, GROUPS[2].0, GROUPS[3].0, GROUPS[4].0];
pub(in crate::policy) const CLIENTS: [&str; 4] = ["10.20.1.5", "10.20.7.9", "10.30.0.1", "192.0.2.1"];
/// With the groups of each.
pub(in crate::policy) const USERS: [(&str, &[&str]); 3] =
    [("tanaka", &[]), ("sato", &["line"]), ("suzuki", &["lines"])];
pub(in crate::policy) const AGENTS: [(&str, &str); 2] = [("updater", "Updater/*"), ("any", "*")];
pub(in crate::policy) const SAID: [&str; 3] = ["Updater/2", "Mozilla/5.0", ""];
pub(in crate::policy) const PRINTS: [&str; 2] = ["t13d_one", "t13d_two"];
pub(in crate::policy) const PROGRAMS: [&str; 4] = [AGENTS[0].0, AGENTS[1].0, PRINTS[0], PRINTS[1]];
pub(in crate::policy) const PORTS: [u16; 4] = [80, 443, 8080, 8443];
pub(in crate::policy) const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
pub(in crate::policy) const PATHS: [&str; 2] = ["/orders/*", "/x"];
pub(in crate::policy) const ASKED_PATHS: [&str; 6] =
    ["/orders/7", "/x", "/orders", "/orders/../x", "/orders/%37", "/x//"];
pub(in crate::policy) const VERDICTS: [&str; 3] = ["allow", "challenge", "deny"];
pub(in crate::policy) const MODES: [&str; 2] = ["enforce", "observe"];
pub(in crate::policy) const STANDINGS: [&str; 6] =
    ["uncleared", "cleared", "afresh", "confirmed", "afresh, confirmed", "no browser"];

/// A moment, by what `hours = "Mon-Fri 09:00-17:00"` in Tokyo and `until = "2026-06-30"` make of it.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct At {
    pub(in crate::policy) micros: u64,
    pub(in crate::policy) is_in_hours: bool,
    pub(in crate::policy) is_after_june: bool,
}

const fn at(micros: u64, is_in_hours: bool, is_after_june: bool) -> At {
    At { micros, is_in_hours, is_after_june }
}

pub(in crate::policy) const MOMENTS: [At; 6] = [
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

/// Before the numbers of a layer's rules, in their names.
pub(super) const BASE: &str = "base";
pub(super) const SITE: &str = "site";

/// One rule, as it is written; what is absent is not written.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Written {
    pub(in crate::policy) hosts: Option<Vec<&'static str>>,
    pub(in crate::policy) clients: Option<Vec<&'static str>>,
    pub(in crate::policy) ports: Option<Vec<u16>>,
    pub(in crate::policy) methods: Option<Vec<&'static str>>,
    /// Groups of programs: by what they say, or by what they show.
    pub(in crate::policy) programs: Option<Vec<&'static str>>,
    pub(in crate::policy) paths: Option<Vec<&'static str>>,
    pub(in crate::policy) hours: bool,
    pub(in crate::policy) until: bool,
    pub(in crate::policy) verdict: &'static str,
    pub(in crate::policy) inspect: Option<bool>,
    pub(in crate::policy) fresh: bool,
    pub(in crate::policy) confirm: bool,
    pub(in crate::policy) essential: bool,
    pub(in crate::policy) captured: bool,
}

#[derive(Debug, Clone)]
pub(in crate::policy) struct Layer {
    pub(in crate::policy) mode: &'static str,
    pub(in crate::policy) unknown: &'static str,
    pub(in crate::policy) mimic: &'static str,
    /// Groups with a mode of their own.
    pub(in crate::policy) modes: Vec<(&'static str, &'static str)>,
    pub(in crate::policy) rules: Vec<Written>,
}

#[derive(Debug, Clone)]
pub(in crate::policy) struct Asked {
    pub(in crate::policy) client: &'static str,
    pub(in crate::policy) user: Option<&'static str>,
    pub(in crate::policy) name: &'static str,
    pub(in crate::policy) port: u16,
    /// Absent for a CONNECT.
    pub(in crate::policy) method: Option<&'static str>,
    pub(in crate::policy) path: &'static str,
    pub(in crate::policy) said: &'static str,
    pub(in crate::policy) print: Option<&'static str>,
    pub(in crate::policy) at: At,
    pub(in crate::policy) standing: &'static str,
    /// Groups in which the program contradicts its claim, 0 to 2.
    pub(in crate::policy) contradictions: u32,
    pub(in crate::policy) isolated: bool,
    pub(in crate::policy) lockdown: bool,
    /// What a finding answers with.
    pub(in crate::policy) finding: Option<&'static str>,
    /// It goes past the proxy.
    pub(in crate::policy) captured: bool,
}

impl Asked {
    /// Servers would not agree on which path is meant.
    pub(super) fn path_is_unclear(&self) -> bool {
        self.method.is_some() && ["..", "%37", "//"].iter().any(|part| self.path.contains(part))
    }
}

/// The layer as a file; only a site stands on a base. Its rules have this before their numbers as names.
fn text(layer: &Layer, initial: &str, on_base: bool) -> String {
    let mut text = format!("[policy]\nmode = \"{}\"\nunknown = \"{}\"\n", layer.mode, layer.unknown);
    text += &format!("mimic = \"{}\"\n", layer.mimic);
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
        text += &format!("[[rule]]\nname = \"{initial}{number}\"\nverdict = \"{}\"\n", rule.verdict);
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
            ("captured = true", rule.captured),
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
    let client = Client {
        address: SocketAddr::new(asked.client.parse::<IpAddr>().expect("an address"), 4000),
        user,
        captured: asked.captured.then(|| SocketAddr::from(([203, 0, 113, 7], asked.port))),
    };
    let target = match asked.method {
        Some(_) => parse_absolute(format!("http://{}:{}{}", asked.name, asked.port, asked.path).as_bytes()),
        None => parse_connect(format!("{}:{}", asked.name, asked.port).as_bytes()),
    }
    .expect("a target");
    let hello = asked.print.map(|print| Hello {
        traits: HelloTraits::NONE,
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
        contradictions: Contradictions {
            tls: asked.contradictions > 0,
            connect: asked.contradictions > 1,
            ..Contradictions::NONE
        },
        restraint: Restraint { isolated: asked.isolated, lockdown: asked.lockdown, finding },
    };
    let words = |reason: &Reason| {
        let rule = reason.rule.as_ref().map_or(String::new(), |rule| format!(" {}", rule.name));
        let beside = reason.beside.as_ref().map_or(String::new(), |beside| {
            let rule = beside.rule.as_ref().map_or(String::new(), |rule| format!(" {}", rule.name));
            format!(" | {} {}{rule}", beside.verdict.as_str(), beside.code.as_str())
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

/// The one file beside a policy: its base.
#[derive(Debug)]
pub(in crate::policy) struct Base<'a>(pub(in crate::policy) &'a str);

impl Sources for Base<'_> {
    fn text(&self, _: &str, path: &str) -> Result<Source, String> {
        Ok(Source { file: path.to_owned(), text: self.0.to_owned() })
    }

    fn names(&self, _: &str, path: &str) -> Result<Listed, String> {
        Err(format!("no list {path}"))
    }
}

/// Panics where what is decided of one of these is not what a person reads, or is another thing the next time.
pub(in crate::policy) fn hold_to_the_reading(base: Option<&Layer>, site: &Layer, asked: &[Asked]) {
    let site_text = text(site, SITE, base.is_some());
    let base_text = base.map_or(String::new(), |base| text(base, BASE, false));
    let root = Source { file: "site.toml".to_owned(), text: site_text.clone() };
    let policy = Policy::compile_from(root, &Base(&base_text)).unwrap_or_else(|problems| {
        panic!("{problems:#?} in\n{site_text}\non\n{base_text}");
    });
    for asked in asked {
        let (once, meant) = (decided(&policy, asked), meant(base, site, asked));
        assert_eq!(once, meant, "{asked:?} of\n{site_text}\non\n{base_text}");
        assert_eq!(once, decided(&policy, asked));
    }
}

/// Any bytes as choices: a policy of one or two layers, and what is asked of it. Panics when what is decided
/// is not what the policy says to a reader.
pub fn policy_decide(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let base = choices.one_in(3).then(|| choices.layer());
    let site = choices.layer();
    let asked: Vec<_> = (0..8).map(|_| choices.asked()).collect();
    hold_to_the_reading(base.as_ref(), &site, &asked);
}

/// Choices, one for each byte; at their end the first of all.
struct Choices<'b>(&'b [u8]);

impl Choices<'_> {
    fn next(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first)
    }

    fn one_in(&mut self, number: usize) -> bool {
        self.next() % number == 1
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        let place = self.next() % all.len();
        all.get(place).copied().expect("a place within")
    }

    /// Those whose bit is set; none is no list.
    fn some<T: Copy>(&mut self, all: &[T]) -> Option<Vec<T>> {
        let bits = if self.one_in(2) { self.next() | self.next() << 8 } else { 0 };
        let some: Vec<T> =
            all.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1).map(|(_, one)| *one).collect();
        (!some.is_empty()).then_some(some)
    }

    fn layer(&mut self) -> Layer {
        let (mode, unknown) = (self.of(&MODES), self.of(&VERDICTS));
        let groups = self.some(&GROUP_NAMES).unwrap_or_default();
        let modes = groups.into_iter().map(|group| (group, self.of(&MODES))).collect();
        let rules = (0..self.next() % RULES_MAX).map(|_| self.rule()).collect();
        Layer { mode, unknown, mimic: self.of(&["deny", "challenge", "record"]), modes, rules }
    }

    fn rule(&mut self) -> Written {
        Written {
            hosts: self.some(&HOSTS),
            clients: self.some(&GROUP_NAMES),
            ports: self.some(&PORTS),
            methods: self.some(&METHODS),
            programs: self.some(&PROGRAMS),
            paths: self.some(&PATHS),
            hours: self.one_in(5),
            until: self.one_in(5),
            verdict: self.of(&VERDICTS),
            inspect: self.of(&[None, Some(true), Some(false)]),
            fresh: self.one_in(2),
            confirm: self.one_in(2),
            essential: self.one_in(2),
            captured: self.one_in(2),
        }
        .without_contradictions()
    }

    fn asked(&mut self) -> Asked {
        Asked {
            client: self.of(&CLIENTS),
            user: self.of(&[None, Some(USERS[0].0), Some(USERS[1].0), Some(USERS[2].0)]),
            name: self.of(&NAMES),
            port: self.of(&PORTS),
            method: self.of(&[None, Some(METHODS[0]), Some(METHODS[1])]),
            path: self.of(&ASKED_PATHS),
            said: self.of(&SAID),
            print: self.of(&[None, Some(PRINTS[0]), Some(PRINTS[1])]),
            at: self.of(&MOMENTS),
            standing: self.of(&STANDINGS),
            contradictions: self.of(&[0, 0, 1, 2]),
            isolated: self.one_in(20),
            lockdown: self.one_in(6),
            finding: self.of(&[None, None, None, Some("challenge"), Some("deny")]),
            captured: self.one_in(4),
        }
    }
}

/// Enough for the index of hosts.
const RULES_MAX: usize = 40;

impl Written {
    /// What a policy may not say is not written.
    pub(in crate::policy) fn without_contradictions(self) -> Self {
        let contradicts = |inspect: &bool| if *inspect { self.verdict == "deny" } else { self.paths.is_some() };
        let challenges = self.verdict == "challenge";
        Self {
            inspect: self.inspect.filter(|inspect| !contradicts(inspect)),
            fresh: self.fresh && challenges,
            confirm: self.confirm && challenges,
            essential: self.essential && self.verdict == "allow",
            captured: self.captured && self.verdict == "allow",
            ..self
        }
    }
}

//! What it costs to judge an exchange, by the size of the policy and where in it the answer stands.

use std::fmt::Write;
use std::net::SocketAddr;

use sekisho::facts::{Client, Facts, Hello, Host, Program, Restraint, Scheme, Stage, Standing, Target};
use sekisho::facts::{Timestamp, TlsVersion};
use sekisho::policy::{Need, Outcome, Policy, VerdictKind, decide};

use crate::harness::{Bencher, Scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("decide::1_rule_last", |b| given().rules(1).ask("last.example").expect("allow").bench(b)),
    ("decide::1_rule_none", |b| given().rules(1).ask("www.elsewhere.test").expect("deny").bench(b)),
    ("decide::100_rules_first", |b| given().rules(100).ask("site0.example").expect("allow").bench(b)),
    ("decide::100_rules_last", |b| given().rules(100).ask("last.example").expect("allow").bench(b)),
    ("decide::100_rules_none", |b| given().rules(100).ask("www.elsewhere.test").expect("deny").bench(b)),
    ("decide::10_000_rules_first", |b| given().rules(10_000).ask("site0.example").expect("allow").bench(b)),
    ("decide::10_000_rules_middle", |b| given().rules(10_000).ask("middle.example").expect("allow").bench(b)),
    ("decide::10_000_rules_last", |b| given().rules(10_000).ask("last.example").expect("allow").bench(b)),
    ("decide::10_000_rules_none", |b| given().rules(10_000).ask("www.elsewhere.test").expect("deny").bench(b)),
    ("decide::100_000_names_first", |b| given().names(100_000).ask("name0.example").expect("allow").bench(b)),
    ("decide::100_000_names_last", |b| given().names(100_000).ask("last.example").expect("allow").bench(b)),
    ("decide::100_000_names_below", |b| given().names(100_000).ask("a.b.name7.example").expect("allow").bench(b)),
    ("decide::100_000_names_none", |b| given().names(100_000).ask("www.elsewhere.test").expect("deny").bench(b)),
    ("decide::needs_hello", |b| given().rules(5).program().ask("site2.example").expect("hello").bench(b)),
    ("decide::knows_hello", |b| given().rules(5).program().hello().ask("site2.example").expect("allow").bench(b)),
    ("decide::group_of_1000_rules_none", |b| given().rules(1000).bench_group(b, "192.0.2.1")),
    ("decide::compile_1000_rules", |b| given().rules(1000).bench_compile(b)),
    ("decide::compile_10_000_rules", |b| given().rules(10_000).bench_compile(b)),
    ("decide::compile_100_000_names", |b| given().names(100_000).bench_compile(b)),
];

fn given() -> Given {
    Given { rules: 0, names: 0, program: false, hello: false, host: "", expected: "" }
}

/// A policy, and the CONNECT that it is asked about.
struct Given {
    rules: usize,
    names: usize,
    program: bool,
    hello: bool,
    host: &'static str,
    expected: &'static str,
}

const JA4: &str = "t13d1516h2_8daaf6152771_02713d6af862";

impl Given {
    /// So many rules, each with a name and all below it; those of the middle and the last are `middle.example` and
    /// `last.example`.
    fn rules(mut self, rules: usize) -> Self {
        self.rules = rules;
        self
    }

    /// One rule, with a host set of so many names, half of them standing for all below, and `last.example`.
    fn names(mut self, names: usize) -> Self {
        self.names = names;
        self
    }

    /// The rules are for one program, known by its ClientHello.
    fn program(mut self) -> Self {
        self.program = true;
        self
    }

    /// The ClientHello has been read.
    fn hello(mut self) -> Self {
        self.hello = true;
        self
    }

    fn ask(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    fn expect(mut self, word: &'static str) -> Self {
        self.expected = word;
        self
    }

    fn text(&self, b: &Bencher) -> String {
        let most = if b.is_measured() { usize::MAX } else { 20 };
        let (names, rules) = (self.names.min(most), self.rules.min(most));
        let mut text = format!(
            "[clients]\noffice = {{ addresses = [\"10.20.0.0/16\", \"2001:db8:20::/48\"] }}\n\
             [programs]\nupdater = {{ ja4 = [\"{JA4}\"] }}\n"
        );
        let programs = if self.program { "programs = [\"updater\"]\n" } else { "" };
        if names > 0 {
            text.push_str("[hosts]\nmany = { names = [\n");
            for n in 0..names {
                let below = if n % 2 == 1 { "*." } else { "" };
                writeln!(text, "\"{below}name{n}.example\",").unwrap();
            }
            text.push_str("\"last.example\",\n] }\n");
            text.push_str(
                "[[rule]]\nname = \"many\"\nclients = [\"office\"]\nhosts = [\"many\"]\nverdict = \"allow\"\n",
            );
        }
        for n in 0..rules {
            let site = match n {
                _ if n + 1 == rules => "last".to_owned(),
                _ if n > 2 && n == rules / 2 => "middle".to_owned(),
                _ => format!("site{n}"),
            };
            writeln!(
                text,
                "[[rule]]\nname = \"{site}\"\nclients = [\"office\"]\n\
                 hosts = [\"{site}.example\", \"*.{site}.example\"]\nports = [443]\n{programs}verdict = \"allow\""
            )
            .unwrap();
        }
        text
    }

    fn compiled(&self, b: &Bencher) -> Policy {
        Policy::compile("bench.toml", &self.text(b)).unwrap()
    }

    fn bench(self, b: &mut Bencher) {
        let policy = self.compiled(b);
        let client = Client::at("10.20.3.4:40000".parse().unwrap());
        let host = Host::parse(self.host.as_bytes()).unwrap();
        let target = Target { scheme: Scheme::Tunnel, host, port: 443, path: None };
        let hello = Hello {
            traits: sekisho::facts::HelloTraits::NONE,
            sni: Some(self.host.into()),
            alpn: Vec::new(),
            ja4: JA4.into(),
            stable_key: "".into(),
            ech: false,
            version: TlsVersion::Tls13,
        };
        let facts = Facts {
            now: Timestamp(1_700_000_000_000_000),
            client: &client,
            method: "CONNECT",
            target: &target,
            program: Program { user_agent: Some(b"Updater/1.0") },
            hello: if self.hello { Stage::Known(&hello) } else { Stage::NotYet },
            inner: Stage::NotYet,
            standing: Standing::Uncleared,
            contradictions: sekisho::facts::Contradictions::NONE,
            restraint: Restraint::NONE,
        };
        assert_eq!(word(&decide(&policy, &facts)), self.expected);
        b.iter(|| decide(&policy, &facts));
    }

    /// The look-up that names a client's group in each record.
    fn bench_group(self, b: &mut Bencher, address: &str) {
        let policy = self.compiled(b);
        let client = Client::at(SocketAddr::new(address.parse().unwrap(), 4000));
        b.iter(|| policy.group_of(&client));
    }

    fn bench_compile(self, b: &mut Bencher) {
        let text = self.text(b);
        b.iter(|| Policy::compile("bench.toml", &text).unwrap());
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Needs(Need::Hello, _) => "hello",
        Outcome::Needs(Need::InnerRequest | Need::User, _) => "another fact",
        Outcome::Decided(decision) => match decision.verdict.kind() {
            VerdictKind::Allow => "allow",
            VerdictKind::Challenge => "challenge",
            VerdictKind::Deny => "deny",
        },
    }
}

//! Policies good and bad, one after the other, while clients ask without a pause.
//!
//! Half a policy would show. Every policy has a rule for each host, so that none is left to the default; and the rule's
//! name, its verdict and the group of the client are all of one version, as is the hash of its text. What the client was told
//! and what is on record must be of the same one, and of one that was in force between question and answer.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::chance::Chance;
use super::patient_origin;
use crate::gate::{Gate, QUIET, Start, records};
use crate::name_server::NameServer;
use crate::peer::Peer;

const HOSTS: u64 = 16;
const GETTERS: u64 = 3;
const TUNNELLERS: u64 = 1;
/// Rules for other hosts between those that are asked for, at random up to so many: they give a reload something to do.
const OTHER_RULES_MAX: u64 = 300;

/// What came of it.
pub(crate) struct Figures {
    pub(crate) good: u64,
    pub(crate) bad: u64,
    pub(crate) asked: usize,
    /// How many versions have answered something.
    pub(crate) versions: usize,
    /// From the change of the file to the end of `sekisho reload`.
    pub(crate) reloads: Vec<Duration>,
}

/// Whether a version lets out to a host.
fn allows(version: u64, host: u64) -> bool {
    Chance::of(version << 8 | host).next() & 1 == 0
}

/// The whole text of a version.
fn policy(version: u64, port: u16, chance: &mut Chance) -> String {
    let mut text = format!("[clients]\ng{version} = {{ addresses = [\"127.0.0.0/8\"] }}\n");
    let first = chance.below(HOSTS);
    for host in (first..HOSTS).chain(0..first) {
        for other in 0..chance.below(OTHER_RULES_MAX / HOSTS * 2) {
            let name = format!("v{version}-h{host}-o{other}");
            writeln!(text, "[[rule]]\nname = \"{name}\"\nhosts = [\"{name}.example\"]\nverdict = \"deny\"").unwrap();
        }
        let allow = "verdict = \"allow\"\nprivate = [\"127.0.0.0/8\"]\nprotocol = \"any\"";
        let way = if allows(version, host) { allow } else { "verdict = \"deny\"" };
        let name = format!("v{version}-h{host}");
        let rule = format!("[[rule]]\nname = \"{name}\"\nhosts = [\"h{host}.test\"]\nports = [{port}]");
        writeln!(text, "{rule}\nclients = [\"g{version}\"]\n{way}").unwrap();
    }
    text
}

/// The same with a fault somewhere, which must not come into force, not even that part of it that is right.
fn spoilt(text: &str, chance: &mut Chance) -> String {
    let rules: Vec<usize> = text.match_indices("[[rule]]\n").map(|(at, _)| at).collect();
    let at = rules[usize::try_from(chance.below(rules.len() as u64)).unwrap()];
    let (before, after) = text.split_at(at);
    match chance.below(5) {
        // Cut off within a name.
        0 => format!("{before}[[rule]]\nname = \"v"),
        1 => format!("{before}{}", after.replacen("hosts = ", "hots = ", 1)),
        2 => format!("{before}{}", after.replacen("verdict = ", "#", 1)),
        3 => format!("{before}{}", after.replacen("verdict = ", "clients = [\"nobody\"]\nclients = []\nverdict = ", 1)),
        _ => format!("{before}\u{0}{after}"),
    }
}

/// The version that a policy of this text has.
fn hash_of(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().as_str()[..16].to_owned()
}

/// What one client was told.
struct Told {
    path: String,
    host: u64,
    status: u16,
    /// The version that a page of refusal named.
    named: Option<u64>,
    /// In force when it asked, and written when it was told.
    between: RangeInclusive<u64>,
}

/// The versions that can be in force: not older than the first, not newer than the second.
struct Versions {
    in_force: AtomicU64,
    written: AtomicU64,
}

struct Asking<'a> {
    gate: &'a Gate,
    port: u16,
    versions: &'a Versions,
    ended: &'a AtomicBool,
}

impl Asking<'_> {
    /// Asks over one connection, on which every question is answered.
    fn get_on_and_on(&self, who: u64, mut chance: Chance) -> Vec<Told> {
        let mut client = self.gate.client();
        let mut told = Vec::new();
        while !self.ended.load(Ordering::Relaxed) {
            let (host, path) = (chance.below(HOSTS), format!("/c{who}-{}", told.len()));
            let at = format!("h{host}.test:{}", self.port);
            let oldest = self.versions.in_force.load(Ordering::SeqCst);
            client.send(format!("GET http://{at}{path} HTTP/1.1\r\nHost: {at}\r\n\r\n"));
            let answer = client.answer();
            let newest = self.versions.written.load(Ordering::SeqCst);
            assert!(answer.whole, "{}", answer.head);
            let (status, text) = (answer.status(), answer.text());
            let named = match status {
                200 => None,
                403 => {
                    let named = text.match_indices(&format!("-h{host} (")).next();
                    let (at, _) = named.unwrap_or_else(|| panic!("no rule for h{host} is named: {text}"));
                    Some(text[text[..at].rfind('v').unwrap() + 1..at].parse().unwrap())
                }
                _ => panic!("no version says this: {} {text}", answer.head),
            };
            told.push(Told { path, host, status, named, between: oldest..=newest });
        }
        told
    }

    /// Opens tunnel after tunnel; how many were asked for.
    fn tunnel_on_and_on(&self, mut chance: Chance) -> usize {
        let mut count = 0;
        while !self.ended.load(Ordering::Relaxed) {
            let at = format!("h{}.test:{}", chance.below(HOSTS), self.port);
            let mut client: Peer = self.gate.client();
            client.send(format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n"));
            let head = client.head().expect("every question is answered");
            count += 1;
            if head.status() == 200 {
                client.send("GET / HTTP/1.1\r\nHost: within\r\n\r\n");
                assert_eq!(client.answer().status(), 200);
            } else {
                assert_eq!(head.status(), 403, "{}", head.head);
            }
        }
        count
    }
}

/// One record of a judgement is of one version, and of that which its hash says.
fn of_one_version(record: &Value, hashes: &HashMap<String, u64>) -> u64 {
    let text = |key: &str| record[key].as_str().unwrap_or_else(|| panic!("no {key}: {record}"));
    let version = *hashes.get(text("policy")).unwrap_or_else(|| panic!("a policy that nobody wrote: {record}"));
    let host: u64 = text("host").strip_prefix('h').unwrap().strip_suffix(".test").unwrap().parse().unwrap();
    assert_eq!(text("rule"), format!("v{version}-h{host}"), "{record}");
    assert_eq!(text("client_group"), format!("g{version}"), "{record}");
    assert_eq!(text("reason"), "rule", "{record}");
    assert_eq!(text("event") == "open", allows(version, host), "{record}");
    version
}

/// Writes so many policies and has each of them read, under load.
pub(crate) fn reload_again_and_again(reloads: u64, seed: u64, mut said: impl FnMut(u64) -> bool) -> Figures {
    let mut chance = Chance::of(seed);
    let origin = patient_origin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", || ());
    let names = NameServer::pointing_to(origin.address.ip());
    let SocketAddr::V4(at) = origin.address else { panic!("the origin is on 127.0.0.1") };
    let first = policy(0, at.port(), &mut chance);
    let mut hashes = HashMap::from([(hash_of(&first), 0)]);
    let mut gate = Start { policy: &first, config: &names.config(), before: QUIET, ..Start::default() }.gate();
    let versions = Versions { in_force: AtomicU64::new(0), written: AtomicU64::new(0) };
    let ended = AtomicBool::new(false);
    let (mut good, mut bad, mut took) = (0, 0, Vec::new());
    let (told, tunnels): (Vec<Told>, usize) = std::thread::scope(|scope| {
        let asking = || Asking { gate: &gate, port: at.port(), versions: &versions, ended: &ended };
        let getters: Vec<_> = (0..GETTERS)
            .map(|who| {
                let (asking, chance) = (asking(), Chance::of(seed ^ who));
                scope.spawn(move || asking.get_on_and_on(who, chance))
            })
            .collect();
        let tunnellers: Vec<_> = (0..TUNNELLERS)
            .map(|who| {
                let (asking, chance) = (asking(), Chance::of(!seed ^ who));
                scope.spawn(move || asking.tunnel_on_and_on(chance))
            })
            .collect();
        let dead = || getters.iter().any(|one| one.is_finished()) || tunnellers.iter().any(|one| one.is_finished());
        for n in 1..=reloads {
            let text = policy(n, at.port(), &mut chance);
            let is_good = chance.below(2) == 0;
            let text = if is_good { text } else { spoilt(&text, &mut chance) };
            if is_good {
                hashes.insert(hash_of(&text), n);
                versions.written.store(n, Ordering::SeqCst);
            }
            let since = Instant::now();
            let output = gate.put(&text);
            took.push(since.elapsed());
            assert_eq!(output.status.code(), Some(if is_good { 0 } else { 2 }), "v{n}: {output:?}");
            if is_good {
                versions.in_force.store(n, Ordering::SeqCst);
            }
            (good, bad) = (good + u64::from(is_good), bad + u64::from(!is_good));
            if !said(n) || dead() {
                break;
            }
        }
        ended.store(true, Ordering::Relaxed);
        let told = getters.into_iter().flat_map(|getter| getter.join().unwrap()).collect();
        (told, tunnellers.into_iter().map(|tunneller| tunneller.join().unwrap()).sum())
    });
    assert_eq!(gate.end("-TERM"), Some(0));
    let answering = all_explained(&records(&gate.data_dir()), &told, tunnels, &hashes);
    sekisho::store::verify(&gate.data_dir(), &Default::default()).unwrap();
    Figures { good, bad, asked: told.len() + tunnels, versions: answering, reloads: took }
}

/// Every question is on record once, with the version that explains what the client was told; how many versions did.
fn all_explained(records: &[Value], told: &[Told], tunnels: usize, hashes: &HashMap<String, u64>) -> usize {
    let judged = records.iter().filter(|record| record["event"] == "open" || record["event"] == "refused");
    let (mut by_path, mut connects) = (HashMap::new(), 0);
    for record in judged {
        let version = of_one_version(record, hashes);
        if record["method"] == "CONNECT" {
            connects += 1;
        } else {
            let path = record["path"].as_str().unwrap();
            assert!(by_path.insert(path, (version, &record["host"])).is_none(), "twice on record: {record}");
        }
    }
    assert_eq!((by_path.len(), connects), (told.len(), tunnels), "every question is on record once");
    let mut answering = HashSet::new();
    for Told { path, host, status, named, between } in told {
        let (version, of_host) = by_path[path.as_str()];
        assert_eq!(*of_host, format!("h{host}.test"), "{path}");
        assert_eq!(*status == 200, allows(version, *host), "v{version} does not say {status} of h{host}: {path}");
        assert!(
            named.is_none_or(|named| named == version),
            "{path}: v{version} is on record, and v{named:?} on the page"
        );
        assert!(between.contains(&version), "{path}: v{version} answered within {between:?}");
        answering.insert(version);
    }
    // No exchange names a version before the journal has heard of it.
    let mut heard = HashSet::new();
    for record in records {
        if record["kind"] == "policy" && record["action"] == "in_force" {
            heard.insert(record["hash"].as_str().unwrap());
        } else if let Some(policy) = record["policy"].as_str() {
            assert!(heard.contains(policy), "{record}");
        }
    }
    answering.len()
}

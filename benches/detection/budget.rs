//! What a person finds who looks at the first few findings of each day, in a network with implants.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

use sekisho::detect::{Detector, Limits, Settings};
use sekisho::evidence::{Asked, Burst, Finding, FindingId, Observed, Part, Rarity, Severity, Verdict};
use sekisho::facts::Timestamp;

use crate::implants::KINDS;
use crate::office::{Event, Form, Office};
use crate::rank::{self, Beside};
use crate::software::{Claim, What};
use crate::trace::{BEGIN, HOUR, PATHS};

/// From the first day on which implants begin, which is a Monday where it is the first of all.
const DAYS: u32 = 12;
/// A person looks at so many findings a day.
const LOOKED: usize = 5;
/// Days of an implant's life after which the share that was found is told.
const TOLD: [u32; 3] = [1, 3, 7];
const DAY: f64 = 24.0 * HOUR;

pub(crate) fn run(seed: u64, pcs: usize, after: u32, begin: u32) {
    let days = after + DAYS;
    let mut office = Office::new(seed, pcs, days, after..after + begin.clamp(1, 7));
    let mut network = Network::default();
    let mut detector = Detector::new(Limits::LIVE, &Settings::default());
    let (mut told, mut line) = (Vec::new(), 0);
    let begun = Instant::now();
    for day in 0..days {
        for event in office.day(day) {
            line += 1;
            network.meet(&event);
            observe(&mut detector, &office, &event, line);
            told.extend(detector.findings().into_iter().map(|finding| network.told(&office, day, event.at, finding)));
        }
        let end = f64::from(day + 1) * DAY;
        detector.tick(at(end));
        told.extend(detector.findings().into_iter().map(|finding| network.told(&office, day, end, finding)));
    }
    let counts = detector.counts();
    println!(
        "{days} days, {pcs} PCs, {} implants that begin on {begin} days after {after}; {} events, {} hosts, {} pairs; {:.0} s",
        KINDS.len(),
        counts.events,
        counts.hosts,
        counts.pairs,
        begun.elapsed().as_secs_f64()
    );
    for (name, rank) in [("as hunt sorts", as_hunt as fn(&Told) -> Rank), ("weighed", weighed)] {
        report(&office, &told, name, days, rank);
    }
    implants(&office, &told);
}

/// A finding as it was told.
struct Told {
    day: u32,
    finding: Finding,
    beside: Beside,
    what: What,
}

/// Whether a finding is high, and its place: the least comes first.
type Rank = (bool, (i64, u32));

/// A client and the domain of what it calls.
type Place<'a> = (&'a str, &'a str);

/// Each host here has one label before its domain.
fn place(told: &Told) -> Place<'_> {
    let target = &*told.finding.target;
    (&told.finding.client, target.split_once('.').map_or(target, |(_, domain)| domain))
}

/// The order of `sekisho hunt`: [`Finding::by_rank`](sekisho::evidence::Finding::by_rank), as far as it matters here.
fn as_hunt(told: &Told) -> Rank {
    let clients = told.finding.rarity.map_or(0, |rarity: Rarity| rarity.clients);
    (told.finding.severity == Severity::High, (-(told.finding.weight * 1e3) as i64, clients))
}

fn weighed(told: &Told) -> Rank {
    let weight = rank::weight(&told.finding, &told.beside);
    (weight >= rank::HIGH, (-(weight * 1e3) as i64, 0))
}

/// Prints what is looked at by day, and which implants were found by then. What a client does with the hosts of one domain is
/// one thing to look at, by the most pressing finding of it, and looked at once.
fn report(office: &Office, told: &[Told], name: &str, days: u32, rank: impl Fn(&Told) -> Rank) {
    println!("\n{name}: looked at are the first {LOOKED} high findings that were told or told again on a day");
    println!("| day | new high | looked at: implants | and what else | implants so far |");
    println!("|---:|---:|---:|---|---:|");
    let (mut known, mut looked): (HashSet<Place>, HashSet<Place>) = Default::default();
    let mut found: BTreeMap<u8, u32> = BTreeMap::new();
    let mut high = Vec::new();
    for day in 0..days {
        // Of what was told several times on a day, the last counts.
        let today: HashMap<FindingId, &Told> =
            told.iter().filter(|told| told.day == day).map(|told| (told.finding.id, told)).collect();
        let mut first: Vec<_> = today
            .values()
            .map(|told| (rank(told), *told))
            .filter(|((is_high, _), told)| *is_high && !looked.contains(&place(told)))
            .collect();
        first.sort_by_key(|((_, place), told)| (*place, told.finding.id));
        let mut places = HashSet::new();
        first.retain(|(_, told)| places.insert(place(told)));
        let new = first.iter().filter(|(_, told)| known.insert(place(told))).count();
        high.push(new);
        first.truncate(LOOKED);
        let mut others: BTreeMap<&str, u32> = BTreeMap::new();
        let mut implants = 0;
        for (_, told) in first {
            looked.insert(place(told));
            if let What::Implant(number) = told.what {
                implants += 1;
                found.entry(number).or_insert(day);
            } else {
                *others.entry(told.what.as_str()).or_default() += 1;
            }
        }
        let others: Vec<String> = others.iter().map(|(what, count)| format!("{count} {what}")).collect();
        println!("| {} | {new} | {implants} | {} | {} |", day + 1, others.join(", "), found.len());
    }
    let shares = TOLD.map(|days| {
        let is_in_time = |number: &u8, day: u32| day < begun(office, *number) + days;
        let of = found.iter().filter(|(number, day)| is_in_time(number, **day)).count();
        100 * of / office.implants.len()
    });
    println!("found by day 1 / 3 / 7 of an implant's life: {} / {} / {} %", shares[0], shares[1], shares[2]);
    let (first, later) = (high[0], &high[1..]);
    println!(
        "new high findings: {first} on the first day, then {:.1} a day, {} at most",
        later.iter().sum::<usize>() as f64 / later.len() as f64,
        later.iter().max().copied().unwrap_or_default()
    );
}

/// The day on which an implant begins, from 0.
fn begun(office: &Office, number: u8) -> u32 {
    (office.implants[usize::from(number)].begins / DAY) as u32
}

/// Prints of each implant what was told, of whatever severity.
fn implants(office: &Office, told: &[Told]) {
    println!(
        "\n| implant | begins on day | first told after | most evidence | most weight |\n|---|---:|---:|---:|---:|"
    );
    let mut all = 0;
    for (number, implant) in (0..).zip(&office.implants) {
        let of: Vec<_> = told.iter().filter(|told| told.what == What::Implant(number)).collect();
        all += usize::from(!of.is_empty());
        let most = |of: &[&Told], number: &dyn Fn(&Told) -> f64| of.iter().map(|told| number(told)).fold(0.0, f64::max);
        let after = of.first().map_or("never".to_owned(), |told| {
            let hours = (told.finding.last.0 - BEGIN) as f64 / 1e6 / HOUR - implant.begins / HOUR;
            format!("{hours:.1} h")
        });
        println!(
            "| {} | {} | {after} | {:.1} | {:.1} |",
            implant.said,
            begun(office, number) + 1,
            most(&of, &|told| told.finding.score),
            most(&of, &|told| rank::weight(&told.finding, &told.beside)),
        );
    }
    println!("told of, of whatever severity: {all} of {}", office.implants.len());
    let mut kinds: BTreeMap<(&str, &str), BTreeSet<FindingId>> = BTreeMap::new();
    for told in told {
        kinds.entry((told.what.as_str(), told.finding.kind.as_str())).or_default().insert(told.finding.id);
    }
    println!("\n| what | finding | told | high as told | high as weighed |\n|---|---|---:|---:|---:|");
    for ((what, kind), ids) in &kinds {
        let count = |is_high: fn(&Told) -> Rank| {
            let of = told.iter().filter(|told| ids.contains(&told.finding.id) && is_high(told).0);
            of.map(|told| told.finding.id).collect::<BTreeSet<_>>().len()
        };
        println!("| {what} | {kind} | {} | {} | {} |", ids.len(), count(as_hunt), count(weighed));
    }
}

/// What a detector would know of programs.
#[derive(Default)]
struct Network {
    /// By host and program, and by program, who.
    with: HashMap<(u32, u16), Clients>,
    having: HashMap<u16, Clients>,
    /// When each client was first seen, in seconds.
    clients: HashMap<u16, f64>,
    /// Programs that talk to a host, and hosts of a domain.
    programs: HashMap<u32, Vec<u16>>,
    hosts: HashMap<String, Vec<u32>>,
}

#[derive(Default)]
struct Clients {
    bits: Vec<u64>,
    count: u32,
}

impl Clients {
    fn add(&mut self, client: u16) -> bool {
        let (place, bit) = (usize::from(client / 64), 1 << (client % 64));
        if self.bits.len() <= place {
            self.bits.resize(place + 1, 0);
        }
        let is_new = self.bits[place] & bit == 0;
        self.bits[place] |= bit;
        self.count += u32::from(is_new);
        is_new
    }

    fn has(&self, client: u16) -> bool {
        self.bits.get(usize::from(client / 64)).is_some_and(|bits| bits >> (client % 64) & 1 == 1)
    }
}

impl Network {
    fn meet(&mut self, event: &Event) {
        let with = self.with.entry((event.host, event.program)).or_insert_with(|| {
            self.programs.entry(event.host).or_default().push(event.program);
            Clients::default()
        });
        if with.add(event.pc) {
            self.having.entry(event.program).or_default().add(event.pc);
            self.clients.entry(event.pc).or_insert(event.at);
        }
    }

    fn told(&mut self, office: &Office, day: u32, at: f64, finding: Finding) -> Told {
        let [_, _, high, low] = finding.client.parse::<std::net::Ipv4Addr>().expect("it is a PC's").octets();
        let pc = u16::from(high) << 8 | u16::from(low);
        let hosts = self.hosts.entry(finding.target.to_string()).or_default();
        // Hosts of a domain may come later.
        if hosts.is_empty() || finding.target.starts_with("*.") {
            *hosts = match finding.target.strip_prefix("*") {
                Some(below) => {
                    (0..).zip(&office.hosts).filter(|(_, name)| name.ends_with(below)).map(|(n, _)| n).collect()
                }
                None => {
                    (0..).zip(&office.hosts).filter(|(_, name)| **name == *finding.target).map(|(n, _)| n).collect()
                }
            };
        }
        let programs = hosts.iter().flat_map(|host| {
            let programs = self.programs.get(host).map_or(&[][..], Vec::as_slice);
            programs.iter().map(move |program| (*host, *program))
        });
        let used = programs.filter_map(|key| self.with.get(&key).filter(|with| with.has(pc)).map(|with| (key.1, with)));
        let (program, with_program) =
            used.map(|(program, with)| (program, with.count)).min_by_key(|(_, count)| *count).unwrap_or((0, 1));
        let beside = Beside {
            with_program,
            program_clients: self.having.get(&program).map_or(1, |clients| clients.count),
            program: match office.programs[usize::from(program)].claim {
                Claim::None => rank::Shown::NoBrowser,
                Claim::Browser => rank::Shown::Browser,
                Claim::Mimic => rank::Shown::Mimic,
            },
            of: self.clients.len() as u32,
            network_seconds: at as u64,
            client_seconds: (at - self.clients.get(&pc).unwrap_or(&at)) as u64,
        };
        let what = office.whose(pc, &finding.target);
        Told { day, what, finding, beside }
    }
}

fn at(seconds: f64) -> Timestamp {
    Timestamp(BEGIN + (seconds.max(0.0) * 1e6) as u64)
}

fn observe(detector: &mut Detector, office: &Office, event: &Event, line: u64) {
    let program = &office.programs[usize::from(event.program)];
    let host = office.hosts[event.host as usize].as_str();
    let mut seen = Observed {
        time: at(event.at),
        line,
        what: Asked::Tunnel,
        client: &office.pcs[usize::from(event.pc)].address,
        host,
        port: 443,
        method: "CONNECT",
        user_agent: program.agent,
        tls_key: &program.key,
        standing: match program.claim {
            Claim::None => sekisho::evidence::Shown::Unasked,
            Claim::Browser => sekisho::evidence::Shown::Cleared,
            Claim::Mimic => sekisho::evidence::Shown::Mimic,
        },
        sni: host,
        carries: "tls",
        status: 200,
        bytes_up: Some(u64::from(event.bytes_up)),
        bytes_down: Some(1_400),
        duration_us: Some(80_000),
        ..Observed::default()
    };
    let mut bursts = Vec::new();
    match event.form {
        Form::Page(path) => {
            (seen.what, seen.method, seen.path) = (Asked::Request, "GET", PATHS[usize::from(path) % PATHS.len()]);
            (seen.sni, seen.carries) = ("", "");
        }
        Form::Call => {}
        Form::Denied => {
            (seen.verdict, seen.reason, seen.status) = (Verdict::Denied, "unknown", 403);
            (seen.sni, seen.carries, seen.tls_key) = ("", "", "");
        }
        Form::Opens(id) => (seen.part, seen.id) = (Part::Begun, u64::from(id)),
        Form::Goes(id, after_cs) => {
            (seen.part, seen.id) = (Part::Going, u64::from(id));
            (seen.client, seen.host) = ("", "");
            bursts.push(Burst { after_cs, up: event.bytes_up, down: 400 });
        }
    }
    detector.observe(&seen, &bursts);
}

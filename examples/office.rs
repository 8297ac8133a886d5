//! Writes the sealed journal of an office that never was, for measurements of review: the same for the same seed.
//!
//! `cargo run --release --example office -- DIRECTORY [--records N] [--days N] [--clients N] [--hosts N] [--seed N]`
//!
//! A working day has its hours, a few hosts are asked for by all, most by few, and new ones come every day. Two thirds are
//! tunnels, with what their ClientHello shows; of the others each path has numbers in it. Three in a hundred are refused or
//! challenged, one in a hundred comes to nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use sekisho::evidence::{Batch, Chain, Event, Exchange, Record, Segment, Source, Target, compact_time};
use sekisho::facts::{ExchangeId, Timestamp};
use sekisho::store::{Sealed, Sealer};

/// 2026-10-01T00:00:00Z.
const BEGUN: u64 = 1_790_812_800_000_000;
const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;
const SEGMENT_BYTES: u64 = 256 << 20;

struct Options {
    directory: PathBuf,
    records: u64,
    days: u64,
    clients: u64,
    hosts: u64,
    seed: u64,
}

fn options() -> Result<Options, String> {
    let mut found =
        Options { directory: PathBuf::new(), records: 1_000_000, days: 30, clients: 1_000, hosts: 200_000, seed: 1 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().and_then(|value| value.replace('_', "").parse().ok());
            value.filter(|value| *value > 0).ok_or(format!("{argument} takes a number"))
        };
        match argument.as_str() {
            "--records" => found.records = number()?,
            "--days" => found.days = number()?,
            "--clients" => found.clients = number()?,
            "--hosts" => found.hosts = number()?,
            "--seed" => found.seed = number()?,
            _ if argument.starts_with('-') || found.directory != PathBuf::new() => {
                return Err(format!("{argument} is not known; see the head of examples/office.rs"));
            }
            _ => found.directory = argument.into(),
        }
    }
    if found.directory == PathBuf::new() {
        return Err("name a new data directory".to_owned());
    }
    Ok(found)
}

/// Numbers that look random (PCG, M. O'Neill 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        let state = self.0;
        self.0 = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (((state >> 18) ^ state) >> 27) as u32;
        u64::from(mixed.rotate_right((state >> 59) as u32))
    }

    fn below(&mut self, below: u64) -> u64 {
        ((self.next() << 16) ^ self.next()) % below.max(1)
    }

    /// Between 0 and 1.
    fn part(&mut self) -> f64 {
        self.next() as f64 / (1_u64 << 32) as f64
    }

    /// Mostly near the middle of its scale, with a long tail.
    fn long(&mut self, scale: f64) -> u64 {
        (scale * (4.0 * (self.part() + self.part() + self.part() - 1.5)).exp()) as u64
    }
}

/// What an exchange will have been.
struct Planned {
    id: u64,
    client: u64,
    tunnel: bool,
    fails: bool,
    took: u64,
}

/// A writer of segments as the gate has them: one an hour.
struct Journal {
    directory: PathBuf,
    source: Vec<u8>,
    chain: Chain,
    segment: Option<(u64, u64, BufWriter<File>)>,
    in_batch: u64,
    batch_at: u64,
    line: Vec<u8>,
    members: Vec<u8>,
    sealer: Sealer,
    /// What the next segment tells of those before.
    records_of_seals: Vec<Record>,
}

impl Journal {
    fn push(&mut self, record: &Record, time: u64) -> std::io::Result<()> {
        let hour = time / (3_600 * SECOND);
        if self.segment.as_ref().is_none_or(|(of, bytes, _)| *of != hour || *bytes > SEGMENT_BYTES) {
            if let Some((_, _, mut file)) = self.segment.take() {
                file.flush()?;
            }
            self.seal(time)?;
            let name = format!("{:014}-{}.jsonl", self.chain.seq + 1, compact_time(Timestamp(time)));
            let file = BufWriter::with_capacity(1 << 20, File::create(self.directory.join(name))?);
            self.segment = Some((hour, 0, file));
            let opening = Record::Segment(Segment { prev: self.chain.hash_hex() });
            self.write(&opening, time)?;
            for record in std::mem::take(&mut self.records_of_seals) {
                self.write(&record, time)?;
            }
        }
        self.write(record, time)?;
        self.in_batch += 1;
        if self.in_batch >= 256 || time > self.batch_at + SECOND {
            let batch = Batch { records: self.in_batch, synced: self.chain.seq, chain: self.chain.hash_hex() };
            self.write(&Record::Batch(batch), time)?;
            (self.in_batch, self.batch_at) = (0, time);
        }
        Ok(())
    }

    /// Seals all segments but the last, as a gate does while it runs: so each lies unsealed for one hour at most.
    fn seal(&mut self, time: u64) -> std::io::Result<()> {
        for segment in self.sealer.due()? {
            let sealed = self.sealer.seal(&segment, Timestamp(time), || true).map_err(std::io::Error::other)?;
            if let Sealed::Done(record) = sealed {
                self.records_of_seals.push(record);
            }
        }
        Ok(())
    }

    fn write(&mut self, record: &Record, time: u64) -> std::io::Result<()> {
        self.members.clear();
        self.members.extend_from_slice(&self.source);
        self.members.extend_from_slice(&record.encode(Timestamp(time)));
        self.line.clear();
        self.chain.append(&self.members, &mut self.line);
        let Some((_, bytes, file)) = &mut self.segment else { return Ok(()) };
        *bytes += self.line.len() as u64;
        file.write_all(&self.line)
    }
}

struct Office {
    chance: Chance,
    hosts: Vec<String>,
    agents: Vec<String>,
    keys: Vec<String>,
}

const SYLLABLES: [&str; 24] = [
    "ka", "to", "mi", "ra", "shi", "no", "cloud", "net", "data", "port", "way", "link", "ser", "vi", "con", "tec",
    "lo", "gi", "su", "ha", "pay", "mail", "web", "docs",
];
const ENDINGS: [&str; 6] = ["example.com", "example.jp", "example.net", "com", "co.jp", "io"];
const FIRSTS: [&str; 8] = ["www", "api", "cdn", "static", "login", "img", "update", "telemetry"];
const WORDS: [&str; 10] =
    ["orders", "items", "assets", "images", "users", "v2", "search", "report", "download", "notifications"];

impl Office {
    fn new(options: &Options) -> Self {
        let mut chance = Chance(options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let hosts = (0..options.hosts)
            .map(|number| {
                let name: String =
                    (0..2 + chance.below(2)).map(|_| SYLLABLES[chance.below(24) as usize]).collect::<Vec<_>>().concat();
                let first = FIRSTS[chance.below(8) as usize];
                format!("{first}.{name}{number:x}.{}", ENDINGS[chance.below(6) as usize])
            })
            .collect();
        let agents = (0..60)
            .map(|number| match number % 4 {
                0 => format!(
                    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36",
                    120 + number
                ),
                1 => format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0", 110 + number),
                2 => format!("Microsoft-Delivery-Optimization/10.{number}"),
                _ => format!("Updater-{number}/3.{}", number % 7),
            })
            .collect();
        let mut hex = || (0..3).map(|_| format!("{:08x}", chance.next())).collect::<String>();
        let keys =
            (0..60).map(|number| format!("t13d15{:02}h2_{}_{}", number % 30, &hex()[..12], &hex()[..12])).collect();
        Self { chance, hosts, agents, keys }
    }

    /// A host: some of those that all ask for, else one of those that were there by then, the rarer the more there are.
    fn host(&mut self, client: u64, known: f64) -> usize {
        let all = (self.hosts.len() as f64 * known).max(1.0);
        let rank = match self.chance.below(10) {
            0..6 => self.chance.part().powi(4) * 400.0,
            6..9 => 400.0 + ((client * 7_919) % 1_000) as f64 * 20.0 + self.chance.part().powi(2) * 150.0,
            _ => self.chance.part() * all,
        };
        (rank.min(all - 1.0) as usize).min(self.hosts.len() - 1)
    }

    /// The record that opens an exchange, or refuses it.
    fn opening(&mut self, id: u64, client: u64, known: f64) -> (Exchange, Option<Planned>) {
        let refused = self.chance.below(100) < 3;
        let event = if refused { Event::Refused } else { Event::Open };
        let mut record = Exchange::new(event, ExchangeId(id));
        let tunnel = self.chance.below(3) > 0;
        let host = if refused { self.chance.below(self.hosts.len() as u64) as usize } else { self.host(client, known) };
        let program = ((client * 31 + self.chance.below(4)) % 60) as usize;
        record.client = Some(format!("10.20.{}.{}", client / 250, client % 250 + 1));
        record.client_port = Some(49_152 + self.chance.below(16_000) as u16);
        record.client_group = Some("office".into());
        record.user_agent = Some(self.agents[program].as_str().into());
        record.method = Some(if tunnel { "CONNECT" } else { "GET" }.into());
        let path = (!tunnel).then(|| {
            let words = [0, 1].map(|_| WORDS[self.chance.below(10) as usize]);
            format!("/{}/{}/{}", words[0], self.chance.below(100_000), words[1])
        });
        record.target = Some(Target {
            scheme: if tunnel { "tunnel" } else { "http" },
            host: self.hosts[host].as_str().into(),
            port: if tunnel { 443 } else { 80 },
            path: path.as_deref().map(Into::into),
            query_bytes: None,
            query_hash: None,
            query: None,
        });
        record.policy = Some("d5f2502cdccda99b".into());
        record.http = Some("1.1");
        if refused {
            let challenged = self.chance.below(4) == 0;
            record.verdict = Some(if challenged { "challenge" } else { "deny" });
            record.reason = Some(if self.chance.below(5) == 0 { "rule" } else { "no_rule" }.into());
            record.status = Some(403);
            return (record, None);
        }
        record.verdict = Some("allow");
        record.reason = Some("rule".into());
        let rule = host % 40;
        record.rule = Some(format!("what group {rule} needs").as_str().into());
        record.rule_at = Some(format!("policy.toml:{}", 12 + 9 * rule).as_str().into());
        let fails = self.chance.below(100) == 0;
        let took = if tunnel { self.chance.long(9_000_000.0) } else { self.chance.long(90_000.0) };
        (record, Some(Planned { id, client, tunnel, fails, took: took.clamp(2_000, 4 * 3_600 * SECOND) }))
    }

    /// That a tunnel stands.
    fn established(&mut self, planned: &Planned) -> Exchange {
        let mut record = Exchange::new(Event::Established, ExchangeId(planned.id));
        let program = (planned.client * 31 % 60) as usize;
        record.alpn = vec!["h2".into(), "http/1.1".into()];
        record.ja4 = Some(self.keys[program].as_str().into());
        record.tls_key = Some(self.keys[program].get(..20).unwrap_or_default().into());
        record.carries = Some("tls");
        self.dialled(&mut record, planned.id);
        record
    }

    fn dialled(&mut self, record: &mut Exchange, id: u64) {
        let address = format!("198.51.{}.{}", id % 90, id / 90 % 250);
        record.answers = vec![address.clone()];
        record.dialled = Some(format!("{address}:443"));
        record.dns_us = Some(self.chance.long(900.0));
        record.connect_us = Some(self.chance.long(9_000.0));
    }

    fn end(&mut self, planned: &Planned) -> Exchange {
        let mut record = Exchange::new(Event::Close, ExchangeId(planned.id));
        record.total_us = Some(planned.took);
        if planned.fails {
            let (by, how) = [
                ("dns", "dns_failed"),
                ("origin", "connect_failed"),
                ("origin", "connect_timeout"),
                ("origin", "reset"),
            ][self.chance.below(4) as usize];
            (record.closed_by, record.closed_how) = (Some(by), Some(how.into()));
            record.status = Some(502);
            return record;
        }
        if !planned.tunnel {
            self.dialled(&mut record, planned.id);
            record.status = Some([200, 200, 200, 304, 404][self.chance.below(5) as usize]);
            record.content_type =
                Some(["text/html", "image/png", "application/json"][self.chance.below(3) as usize].into());
            record.first_byte_us = Some(planned.took / 2);
        }
        record.bytes_up = Some(self.chance.long(1_500.0));
        record.bytes_down = Some(self.chance.long(20_000.0));
        (record.closed_by, record.closed_how) = (Some("client"), Some("end".into()));
        record
    }
}

/// How busy an office is at this second of a day, the night being 1.
fn pace(second: u64) -> f64 {
    match second / 3_600 {
        0..7 | 20.. => 1.0,
        7 | 18 | 19 => 6.0,
        12 => 12.0,
        _ => 20.0,
    }
}

fn write(options: &Options) -> std::io::Result<()> {
    let directory = options.directory.join("journal");
    fs::create_dir_all(&directory)?;
    let source = Source { gate: "office-gate-1".into(), site: None }.encode();
    let mut journal = Journal {
        directory,
        source,
        chain: Chain::start(),
        segment: None,
        in_batch: 0,
        batch_at: 0,
        line: Vec::new(),
        members: Vec::new(),
        sealer: Sealer::new(&options.directory, "office-gate-1").map_err(std::io::Error::other)?,
        records_of_seals: Vec::new(),
    };
    let mut office = Office::new(options);
    let of_day: f64 = (0..86_400).map(pace).sum();
    // An exchange has 2.6 records, and a batch record comes with each sixty or so.
    let a_day = options.records as f64 / 2.65 / options.days as f64;
    let mut pending: BinaryHeap<Reverse<(u64, u64, bool)>> = BinaryHeap::new();
    let mut planned: std::collections::HashMap<u64, Planned> = std::collections::HashMap::new();
    let mut time = BEGUN;
    while journal.chain.seq < options.records {
        let gap = of_day / (a_day * pace(time % DAY / SECOND)) * SECOND as f64;
        time += ((-office.chance.part().max(1e-9).ln() * gap) as u64).max(1);
        while let Some(Reverse((at, id, ends))) = pending.peek().copied().filter(|Reverse((at, ..))| *at <= time) {
            pending.pop();
            let Some(found) = planned.get(&id) else { continue };
            let record = if ends { office.end(found) } else { office.established(found) };
            if ends {
                planned.remove(&id);
            }
            journal.push(&Record::Exchange(Box::new(record)), at)?;
        }
        let client = office.chance.below(options.clients);
        let known = 0.5 + 0.5 * ((time - BEGUN) as f64 / (options.days * DAY) as f64).min(1.0);
        let (record, going_on) = office.opening(time, client, known);
        journal.push(&Record::Exchange(Box::new(record)), time)?;
        if let Some(found) = going_on {
            if found.tunnel && !found.fails {
                pending.push(Reverse((time + 1_500, time, false)));
            }
            pending.push(Reverse((time + found.took, time, true)));
            planned.insert(time, found);
        }
    }
    if let Some((_, _, mut file)) = journal.segment.take() {
        file.flush()?;
    }
    eprintln!("{} records in {}", journal.chain.seq, Path::new(&journal.directory).display());
    Ok(())
}

fn main() {
    let done = options().and_then(|options| write(&options).map_err(|error| error.to_string()));
    if let Err(why) = done {
        eprintln!("office: {why}");
        std::process::exit(2);
    }
}

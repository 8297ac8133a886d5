//! A network of PCs, day by day: people who browse, what runs on their PCs by itself, and implants.

use std::collections::HashMap;
use std::ops::Range;

use crate::browsing::{Habits, Web, hours_at_work};
use crate::implants::{self, Implant};
use crate::random::Random;
use crate::software::{self, CHROMIUM, COMMON, GECKO, NODE, Program, SELDOM, What, When};
use crate::steady::{self, steady};
use crate::trace::HOUR;

/// Sites of a person's own that nobody else goes to.
const OWN_SITES: usize = 6;
/// Of the PCs so many are never switched off.
const ALWAYS_ON: f64 = 0.3;
/// Of what a page loads beside itself, so much is kept: a burst is a burst.
const LOADED: f64 = 0.1;
/// Services without a period among 1,000 PCs, each on one.
const SERVICES: usize = 40;
/// Sites that implants may hide in.
const SHARED_SITES: usize = 40;
const DAY: f64 = 24.0 * HOUR;

pub(crate) struct Office {
    pub pcs: Vec<Pc>,
    pub programs: Vec<Program>,
    /// Their names.
    pub hosts: Vec<String>,
    pub implants: Vec<Implant>,
    /// What a PC has that calls a host or a domain.
    whose: HashMap<(u16, String), What>,
    places: HashMap<String, u32>,
    web: Web,
    tunnels: u32,
}

pub(crate) struct Pc {
    pub address: String,
    pub always_on: bool,
    /// When it is on, and when its person is at work.
    pub on: Vec<(f64, f64)>,
    pub work: Vec<(f64, f64)>,
    pub callers: Vec<Caller>,
    habits: Habits,
    browser: u16,
    random: Random,
}

/// What calls again and again.
pub(crate) struct Caller {
    pub what: What,
    /// One of them each time.
    pub hosts: Vec<u32>,
    pub program: u16,
    pub period: f64,
    pub jitter: f64,
    pub when: When,
    pub denied: bool,
    pub in_tunnel: bool,
    /// Its times, where it has no period.
    pub times: Option<Vec<f64>>,
    pub bytes_up: f64,
    pub next: f64,
    /// Its tunnel: which, since when its PC is on, and its last burst.
    pub tunnel: Option<(u32, f64, f64)>,
}

/// One call, or part of a tunnel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub at: f64,
    pub pc: u16,
    pub program: u16,
    pub host: u32,
    pub bytes_up: u32,
    pub form: Form,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// By a browser, of this path.
    Page(u16),
    /// A tunnel of one call.
    Call,
    Denied,
    /// A tunnel that stays.
    Opens(u32),
    /// A burst in it, so many hundredths of a second after the last.
    Goes(u32, u32),
}

impl Caller {
    pub(crate) fn new(
        what: What,
        hosts: Vec<u32>,
        program: u16,
        period: f64,
        jitter: f64,
        begins: f64,
        random: &mut Random,
    ) -> Self {
        Self {
            what,
            hosts,
            program,
            period,
            jitter,
            when: When::On,
            denied: false,
            in_tunnel: false,
            times: None,
            bytes_up: random.lognormal(600.0, 0.4),
            next: begins + random.between(0.0, period.min(600.0)),
            tunnel: None,
        }
    }
}

impl Office {
    /// Of so many PCs, for so many days; implants begin on some of them.
    pub(crate) fn new(seed: u64, pcs: usize, days: u32, begin: Range<u32>) -> Self {
        let mut random = Random::new(seed);
        let mut web = Web::new(&mut random);
        let own = web.add_sites(&mut random, OWN_SITES * pcs);
        let pcs: Vec<Pc> = (0..pcs)
            .map(|number| {
                let first = own.start + number * OWN_SITES;
                let mut pc = Pc::new(number, seed, days);
                pc.habits.prefer(&mut random, first..first + OWN_SITES);
                pc
            })
            .collect();
        let mut office = Self {
            pcs,
            programs: software::programs(),
            hosts: Vec::new(),
            implants: Vec::new(),
            whose: HashMap::new(),
            places: HashMap::new(),
            web,
            tunnels: 0,
        };
        office.install(&mut random, days);
        let shared: Vec<u32> =
            (0..SHARED_SITES).map(|_| office.host(format!("h0.site{}.example", random.below(2_500)))).collect();
        let Self { pcs, programs, hosts, places, .. } = &mut office;
        office.implants = implants::put(&mut random, pcs, programs, begin, &shared, |name| host(hosts, places, name));
        for (number, pc) in (0..).zip(&office.pcs) {
            for caller in &pc.callers {
                for host in &caller.hosts {
                    let name = &office.hosts[*host as usize];
                    office.whose.insert((number, name.clone()), caller.what);
                    if let Some((_, domain)) = name.split_once('.') {
                        office.whose.entry((number, format!("*.{domain}"))).or_insert(caller.what);
                    }
                }
            }
        }
        office
    }

    fn install(&mut self, random: &mut Random, days: u32) {
        for common in COMMON {
            let host = self.host(common.host.to_owned());
            let program = common.program.unwrap_or_else(|| software::own_program(&mut self.programs));
            for pc in &mut self.pcs {
                if random.happens(common.share) {
                    let caller = Caller::new(
                        What::Everywhere,
                        vec![host],
                        program,
                        common.period,
                        common.jitter,
                        random.between(0.0, common.period),
                        random,
                    );
                    pc.callers.push(Caller { when: common.when, ..caller });
                }
            }
        }
        for (kind, seldom) in SELDOM.iter().enumerate() {
            for number in 0..(seldom.count * self.pcs.len()).div_ceil(1_000) {
                let host = self.host(format!("api.tool{number}-{kind}.example"));
                let program = random.of(seldom.programs).unwrap_or_else(|| software::own_program(&mut self.programs));
                let (period, jitter) = (random.of(seldom.minutes) * 60.0, random.of(seldom.jitters));
                let (low, high) = seldom.pcs;
                let since = software::since(random, days);
                for _ in 0..low + random.below(high - low + 1) {
                    let pc = random.below(self.pcs.len());
                    let begins = since + random.between(0.0, if since > 0.0 { 8.0 * HOUR } else { period });
                    let caller = Caller::new(seldom.what, vec![host], program, period, jitter, begins, random);
                    self.pcs[pc].callers.push(Caller { when: seldom.when, ..caller });
                }
            }
        }
        for number in 0..(SERVICES * self.pcs.len()).div_ceil(1_000) {
            let host = self.host(format!("api.service{number}.example"));
            let kind = random.of(&steady::ALL);
            let mut times: Vec<f64> = steady(random, kind, days).hits.iter().map(|hit| hit.at).collect();
            times.reverse();
            let pc = random.below(self.pcs.len());
            let caller = Caller::new(What::Steady, vec![host], NODE, 1.0, 0.0, 0.0, random);
            self.pcs[pc].callers.push(Caller { times: Some(times), ..caller });
        }
    }

    fn host(&mut self, name: String) -> u32 {
        host(&mut self.hosts, &mut self.places, name)
    }

    /// What on a PC calls a host or a domain.
    pub(crate) fn whose(&self, pc: u16, target: &str) -> What {
        self.whose.get(&(pc, target.to_owned())).copied().unwrap_or(What::Site)
    }

    /// All that happens on a day, in the order of time.
    pub(crate) fn day(&mut self, day: u32) -> Vec<Event> {
        let (begin, end) = (f64::from(day) * DAY, f64::from(day + 1) * DAY);
        let mut events = Vec::new();
        for number in 0..self.pcs.len() {
            self.browse(number, begin..end, &mut events);
            let pc = &mut self.pcs[number];
            let Pc { callers, on, work, random, .. } = pc;
            for caller in callers {
                let hours = if caller.when == When::On { &*on } else { &*work };
                caller.call(number as u16, end, hours, random, &mut self.tunnels, &mut events);
            }
        }
        events.sort_by(|one, other| one.at.total_cmp(&other.at));
        events
    }

    fn browse(&mut self, number: usize, day: Range<f64>, events: &mut Vec<Event>) {
        let Self { pcs, web, hosts, places, .. } = self;
        let Pc { work, habits, browser, random, .. } = &mut pcs[number];
        let hours: Vec<_> = work.iter().filter(|(begin, _)| day.contains(begin)).copied().collect();
        for browsed in web.browse(random, habits, &hours) {
            let names = browsed.trace.hosts();
            let names: Vec<u32> = names.into_iter().map(|name| host(hosts, places, name)).collect();
            for hit in browsed.trace.hits {
                if matches!(hit.path, 0 | 3 | 7) || random.happens(LOADED) {
                    events.push(Event {
                        at: hit.at,
                        pc: number as u16,
                        program: *browser,
                        host: names[usize::from(hit.host)],
                        bytes_up: hit.bytes_up,
                        form: Form::Page(hit.path),
                    });
                }
            }
        }
    }
}

fn host(hosts: &mut Vec<String>, places: &mut HashMap<String, u32>, name: String) -> u32 {
    *places.entry(name).or_insert_with_key(|name| {
        hosts.push(name.clone());
        hosts.len() as u32 - 1
    })
}

impl Pc {
    fn new(number: usize, seed: u64, days: u32) -> Self {
        let mut random = Random::new(seed ^ (number as u64 + 1) << 32);
        let work = hours_at_work(&mut random, days);
        let always_on = random.happens(ALWAYS_ON);
        let on = if always_on { vec![(0.0, f64::from(days) * DAY)] } else { from_work(&mut random, &work) };
        Self {
            address: format!("10.20.{}.{}", number >> 8, number & 255),
            always_on,
            on,
            work,
            callers: Vec::new(),
            habits: Web::habits(&mut random),
            browser: if random.happens(0.85) { CHROMIUM } else { GECKO },
            random,
        }
    }
}

/// On from a little before the first work of a day to a little after the last.
fn from_work(random: &mut Random, work: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut on: Vec<(f64, f64)> = Vec::new();
    for (begin, end) in work {
        match on.last_mut() {
            Some(last) if last.1 / DAY - begin / DAY > -0.05 || (last.0 / DAY) as u32 == (begin / DAY) as u32 => {
                last.1 = last.1.max(end + 300.0);
            }
            _ => on.push(((begin - random.between(120.0, 900.0)).max(0.0), end + random.between(60.0, 900.0))),
        }
    }
    on
}

impl Caller {
    /// Calls until the end of a day.
    fn call(
        &mut self,
        pc: u16,
        end: f64,
        hours: &[(f64, f64)],
        random: &mut Random,
        tunnels: &mut u32,
        events: &mut Vec<Event>,
    ) {
        let mut place = hours.partition_point(|(_, end)| *end <= self.next);
        loop {
            if let Some(times) = &mut self.times {
                match times.pop() {
                    Some(next) if next < end => self.next = next,
                    Some(next) => {
                        times.push(next);
                        return;
                    }
                    None => return,
                }
            }
            if self.next >= end {
                return;
            }
            while hours.get(place).is_some_and(|(_, end)| *end <= self.next) {
                place += 1;
            }
            let Some((begin, _)) = hours.get(place) else {
                self.next = f64::INFINITY;
                return;
            };
            if self.times.is_none() && self.next < *begin {
                // What was due while its PC was off comes soon after it is on again.
                self.next = begin + random.between(0.0, self.period.min(120.0));
                continue;
            }
            self.event(pc, *begin, random, tunnels, events);
            self.next += self.period * (1.0 + self.jitter * random.between(-1.0, 1.0));
        }
    }

    fn event(&mut self, pc: u16, on_since: f64, random: &mut Random, tunnels: &mut u32, events: &mut Vec<Event>) {
        let at = self.next + random.exponential(0.08);
        let form = match self.tunnel {
            _ if self.denied => Form::Denied,
            _ if !self.in_tunnel && matches!(self.program, CHROMIUM | GECKO) => Form::Page(3),
            _ if !self.in_tunnel => Form::Call,
            Some((tunnel, since, last)) if since == on_since => {
                let after = ((at - last) * 100.0).max(51.0) as u32;
                self.tunnel = Some((tunnel, since, last + f64::from(after) / 100.0));
                Form::Goes(tunnel, after)
            }
            Some(_) | None => {
                *tunnels += 1;
                self.tunnel = Some((*tunnels, on_since, at));
                Form::Opens(*tunnels)
            }
        };
        // A tunnel tells of its bursts once a minute.
        let at = if matches!(form, Form::Goes(..)) { (at / 60.0).floor() * 60.0 + 60.0 } else { at };
        events.push(Event {
            at,
            pc,
            program: self.program,
            host: random.of(&self.hosts),
            bytes_up: (self.bytes_up + random.between(0.0, 4.0)) as u32,
            form,
        });
    }
}

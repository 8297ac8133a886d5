//! What it costs to know a million programs: the memory of each, and how long the others wait for a look at them.

use std::fs;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sekisho::challenge::{Asked, Means, Now, PROGRAMS_MAX, Programs, Spans};
use sekisho::facts::{ClientKey, Host, Moment, ProgramKey, Timestamp};
use sekisho::identity::ProgramName;

use crate::harness::{Bencher, Scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("programs::1_000_000_standing", |b| known(b).bench_standing(b)),
    ("programs::1_000_000_tunnel", |b| known(b).bench_tunnel(b)),
    ("programs::1_000_000_list", |b| known(b).bench_list(b)),
    ("programs::1_000_000_sweep", |b| known(b).bench_sweep(b)),
];

const CLIENTS: u32 = 1000;
/// As many as are written down for a restart.
const LISTED: usize = 100_000;
const NOW: Now = Now { moment: Moment(3_600_000_000), time: Timestamp(1_782_262_800_000_000) };

/// A table of programs, all of them cleared.
struct Known {
    programs: Programs,
    count: u32,
    /// What it has added to the memory of this process: nothing where another table has just left as much.
    resident: u64,
}

/// As many as there can be, less those of one client: then there is room for more.
fn known(bencher: &Bencher) -> Known {
    let count = if bencher.is_measured() { PROGRAMS_MAX as u32 - CLIENTS } else { 2000 };
    let programs = Programs::new(Spans::default());
    let before = resident_bytes();
    for number in 0..count {
        // Used at different times.
        let age = u64::from(number).wrapping_mul(7919) % 3_000_000_000;
        let now = Now { moment: Moment(NOW.moment.0 - age), time: Timestamp(NOW.time.0 - age) };
        assert!(programs.clear(key(number), &name(number), Means::Reset, now));
    }
    Known { programs, count, resident: resident_bytes().saturating_sub(before) }
}

/// Spread like the hashes that keys are.
fn key(number: u32) -> ProgramKey {
    let spread = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    ProgramKey(spread.to_be_bytes())
}

/// Chrome, whose versions make its programs differ, with the stable key of a TLS.
fn name(number: u32) -> ProgramName {
    let (client, version) = (number % CLIENTS, number / CLIENTS);
    let address = [10, 20, (client >> 8) as u8, client as u8];
    let user_agent = format!(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.{version}.0 \
         Safari/537.36",
        100 + version % 60
    );
    let face = format!("8daaf6152771_{:012x}_{:012x}", version, number);
    ProgramName { client: ClientKey::of(address.into()), user: None, user_agent: user_agent.into(), face: face.into() }
}

fn host() -> Host {
    Host::parse(b"www.a.test").unwrap()
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

impl Known {
    fn bench_standing(self, bencher: &mut Bencher) {
        if bencher.is_measured() {
            let each = self.resident as f64 / f64::from(self.count);
            println!("{} programs: {} bytes resident, {each:.0} for each", self.count, self.resident);
        }
        let (host, mut number) = (host(), 0u32);
        bencher.iter(|| {
            number = (number + 7919) % self.count;
            self.programs.standing(&key(number), (&host, 443), NOW.moment)
        });
    }

    /// Each time of a program that has no clearance: it is reset, or waits for the answer.
    fn bench_tunnel(self, bencher: &mut Bencher) {
        assert_eq!(self.programs.revoke(|_, _, _| true), self.count as usize);
        let (host, mut number) = (host(), 0u32);
        bencher.iter(|| {
            number = (number + 7919) % self.count;
            let name = name(number);
            let asked = Asked { key: key(number), name: &name, host: &host, port: 443, head_at: NOW.moment };
            self.programs.tunnel(&asked, NOW)
        });
    }

    fn bench_list(self, bencher: &mut Bencher) {
        self.beside(bencher, |programs| assert_eq!(programs.list(LISTED, NOW).count, self.count as usize));
    }

    fn bench_sweep(self, bencher: &mut Bencher) {
        self.beside(bencher, |programs| programs.sweep(NOW.moment));
    }

    /// Measures `walk`, and how long another thread, which asks about one program after the other, waits for it. That
    /// thread is kept waiting by whoever else uses the processor too: what that is, it shows beside a thread that
    /// does something else.
    fn beside(&self, bencher: &mut Bencher, walk: impl Fn(&Programs)) {
        let asks = if bencher.is_measured() { 3_000_000 } else { 100 };
        let ends = AtomicBool::new(false);
        let count = || (0..1_000_000_u64).for_each(|number| _ = black_box(number));
        let beside_other = std::thread::scope(|scope| {
            let other = || (0..).take_while(|_: &u64| !ends.load(Ordering::Relaxed)).for_each(|_| count());
            scope.spawn(other);
            let times = self.ask(|asked| asked < asks);
            ends.store(true, Ordering::Relaxed);
            times
        });
        ends.store(false, Ordering::Relaxed);
        let beside_walk = std::thread::scope(|scope| {
            let asking = scope.spawn(|| self.ask(|_| !ends.load(Ordering::Relaxed)));
            bencher.iter(|| walk(&self.programs));
            ends.store(true, Ordering::Relaxed);
            asking.join().unwrap()
        });
        if bencher.is_measured() {
            println!("a look-up beside other work: {}", spread(beside_other));
            println!("a look-up beside this:       {}", spread(beside_walk));
        }
    }

    /// Asks about one program after the other for as long as that is wanted, and says how long each took.
    fn ask(&self, is_wanted: impl Fn(u32) -> bool) -> Vec<Duration> {
        let (host, mut times) = (host(), Vec::new());
        for number in (0..).take_while(|number| is_wanted(*number)) {
            let begun = Instant::now();
            black_box(self.programs.standing(&key(number.wrapping_mul(7919) % self.count), (&host, 443), NOW.moment));
            times.push(begun.elapsed());
        }
        times
    }
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    let longest = times.last().copied().unwrap_or_default();
    format!(
        "p50 {:?}, p99.9 {:?}, p99.99 {:?}, p99.999 {:?}, longest {longest:?}",
        at(0.5),
        at(0.999),
        at(0.9999),
        at(0.99999)
    )
}

//! What people and programs write into tunnels, from a seed.

use std::ops::RangeInclusive;

use super::super::traffic::{HOUR, MINUTE, Source};

/// A tunnel's bursts: when each began, in seconds, and what it carried up and down.
pub(super) type Bursts = Vec<(f64, u32, u32)>;

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A shell, in which each key is echoed.
    Ssh,
    /// The same, with what OpenSSH sends since 9.5 to hide when keys are struck: packets each 20 ms, and their answers.
    Chaff,
    /// A shell that the inside gives to somebody outside, key by key.
    ReverseKeys,
    /// Lines that are sent whole.
    Lines,
    ReverseLines,
    /// Pages of several requests.
    Browsing,
    /// A page that asks for something small at each click.
    Clicks,
    /// A search that asks at each key.
    Search,
    Polling,
    Telemetry,
    /// Events by chance, each answered alike.
    Events,
    Mail,
    RemoteDesktop,
    /// News that are pushed and acknowledged.
    Push,
    /// A page in which a text is written, which is sent as it grows.
    Document,
    /// Short messages, both ways.
    Chat,
}

/// All but chats, in which somebody types as well: a third to a half of them is told of.
pub(super) const KINDS: [Kind; 15] = [
    Kind::Ssh,
    Kind::Chaff,
    Kind::ReverseKeys,
    Kind::Lines,
    Kind::ReverseLines,
    Kind::Browsing,
    Kind::Clicks,
    Kind::Search,
    Kind::Polling,
    Kind::Telemetry,
    Kind::Events,
    Kind::Mail,
    Kind::RemoteDesktop,
    Kind::Push,
    Kind::Document,
];

/// Writes to either side: when, and how many bytes.
#[derive(Debug, Default)]
struct Writes {
    up: Vec<(f64, f64)>,
    down: Vec<(f64, f64)>,
}

impl Kind {
    /// Of how many of so many it is right to tell, with room for chance.
    pub(super) fn told_of(self, of: u64) -> RangeInclusive<u64> {
        match self {
            Self::Ssh | Self::Chaff | Self::ReverseKeys => of - 3..=of,
            Self::Lines | Self::ReverseLines => of - 5..=of,
            Self::Push => 0..=4,
            Self::Browsing
            | Self::Clicks
            | Self::Search
            | Self::Polling
            | Self::Telemetry
            | Self::Events
            | Self::Mail
            | Self::RemoteDesktop
            | Self::Document
            | Self::Chat => 0..=2,
        }
    }

    pub(super) fn bursts(self, source: &mut Source) -> Bursts {
        bursts(match self {
            Self::Ssh | Self::Chaff | Self::ReverseKeys | Self::Lines | Self::ReverseLines => self.shell(source),
            Self::Browsing => browsing(source),
            Self::Clicks => clicks(source),
            Self::Search => search(source),
            Self::Polling => polling(source),
            Self::Telemetry | Self::Events => telemetry(source, self == Self::Events),
            Self::Mail => mail(source),
            Self::RemoteDesktop => remote_desktop(source),
            Self::Push => push(source),
            Self::Document => document(source),
            Self::Chat => chat(source),
        })
    }

    fn shell(self, source: &mut Source) -> Writes {
        let (far, key, think) = (source.even(0.01, 0.25), source.even(0.09, 0.3), source.even(3.0, 14.0));
        let packet = [36.0, 44.0, 52.0, 31.0, 29.0][source.below(5)];
        let (mut typed, mut shown) = (Vec::new(), Vec::new());
        let mut at = source.even(1.0, 5.0);
        while at < HOUR {
            let keys = source.lognormal(9.0, 0.8).max(1.0).floor();
            if matches!(self, Self::Lines | Self::ReverseLines) {
                at += keys * key;
                typed.push((at, 23.0 + keys));
            } else {
                let began = at;
                for _ in 0..keys as usize {
                    typed.push((at, packet));
                    shown.push((at + far, packet));
                    at += if source.below(12) == 0 { source.lognormal(1.2, 0.8) } else { source.lognormal(key, 0.6) };
                }
                if self == Self::Chaff {
                    let until = at + source.even(0.5, 2.0);
                    let ticks = ((until - began) / 0.02) as u32;
                    for tick in 0..ticks {
                        let tick = began + 0.02 * f64::from(tick);
                        typed.push((tick, packet));
                        shown.push((tick + far, packet));
                    }
                }
                typed.push((at, packet));
            }
            if source.below(7) > 0 {
                let median = if source.below(33) == 0 { 60_000.0 } else { 350.0 };
                let bytes = 30.0 + source.lognormal(median, 1.5).min(400_000.0);
                shown.push((at + far + source.lognormal(0.05, 1.0), bytes));
            }
            at += source.lognormal(think, 1.1);
        }
        match self {
            Self::ReverseKeys | Self::ReverseLines => Writes { up: shown, down: typed },
            _ => Writes { up: typed, down: shown },
        }
    }
}

/// Requests and their answers: so many at a time, of such sizes.
fn asked(source: &mut Source, writes: &mut Writes, mut at: f64, mean: f64, up: (f64, f64), down: (f64, f64)) -> f64 {
    for _ in 0..1 + source.exponential(mean) as usize {
        writes.up.push((at, 35.0 + source.lognormal(up.0, up.1)));
        writes.down.push((at + source.lognormal(0.1, 0.5), 60.0 + source.lognormal(down.0, down.1)));
        at += source.exponential(0.25);
    }
    at
}

fn browsing(source: &mut Source) -> Writes {
    let (median, sigma) = (source.even(8.0, 40.0), source.even(1.0, 1.8));
    let (mut writes, mut at) = (Writes::default(), 1.0);
    while at < 2.0 * HOUR {
        at = asked(source, &mut writes, at, 6.0, (120.0, 0.7), (9_000.0, 1.6)) + source.lognormal(median, sigma);
    }
    writes
}

fn clicks(source: &mut Source) -> Writes {
    let (median, sigma) = (source.even(2.0, 15.0), source.even(0.7, 1.3));
    let (up, down) = ([60.0, 90.0, 200.0, 400.0][source.below(4)], [150.0, 400.0, 1_500.0, 5_000.0][source.below(4)]);
    let (mut writes, mut at) = (Writes::default(), 1.0);
    while at < HOUR {
        at = asked(source, &mut writes, at, 1.2, (up, 0.5), (down, 1.2)) + source.lognormal(median, sigma);
    }
    writes
}

fn search(source: &mut Source) -> Writes {
    let (mut writes, mut at) = (Writes::default(), 1.0);
    while at < HOUR {
        for _ in 0..1 + source.exponential(6.0) as usize {
            writes.up.push((at, 30.0 + source.lognormal(90.0, 0.2)));
            writes.down.push((at + 0.1, source.lognormal(900.0, 0.6)));
            at += source.lognormal(0.35, 0.6);
        }
        writes.up.push((at, source.lognormal(200.0, 0.5)));
        writes.down.push((at + 0.2, source.lognormal(20_000.0, 1.0)));
        at += source.lognormal(20.0, 1.2);
    }
    writes
}

fn polling(source: &mut Source) -> Writes {
    let (period, jitter) = (source.even(1.5, 20.0), [0.02, 0.1, 0.3][source.below(3)]);
    let mut writes = Writes::default();
    for at in source.beats(period, jitter, HOUR) {
        writes.up.push((at, source.lognormal(150.0, 0.1)));
        let median = if source.below(20) == 0 { 9_000.0 } else { 400.0 };
        writes.down.push((at + 0.1, source.lognormal(median, 0.5)));
    }
    writes
}

fn telemetry(source: &mut Source, by_chance: bool) -> Writes {
    let (mean, up) = (source.even(2.0, 20.0), source.even(60.0, 400.0));
    let gap = |source: &mut Source| if by_chance { source.exponential(mean) } else { mean * source.even(0.9, 1.1) };
    let mut writes = Writes::default();
    for at in source.times(HOUR, gap) {
        writes.up.push((at, source.lognormal(up, 0.15)));
        writes.down.push((at + 0.05, [30.0, 31.0, 34.0][source.below(3)]));
    }
    writes
}

fn mail(source: &mut Source) -> Writes {
    let (mut writes, mut at) = (Writes::default(), 1.0);
    while at < 4.0 * HOUR {
        for _ in 0..3 + source.exponential(2.0) as usize {
            writes.up.push((at, source.lognormal(45.0, 0.3)));
            writes.down.push((at + 0.1, source.lognormal(300.0, 1.5)));
            at += source.lognormal(0.2, 0.8);
        }
        at += [1.0, 2.0, 5.0][source.below(3)] * MINUTE * source.even(0.9, 1.1);
    }
    writes
}

fn remote_desktop(source: &mut Source) -> Writes {
    let (mut writes, mut at) = (Writes::default(), 1.0);
    while at < 0.5 * HOUR {
        for _ in 0..1 + source.exponential(20.0) as usize {
            writes.up.push((at, source.even(40.0, 90.0)));
            writes.down.push((at + 0.05, source.lognormal(2_500.0, 1.2)));
            at += source.lognormal(0.08, 0.9);
        }
        at += source.lognormal(3.0, 1.1);
    }
    writes
}

fn push(source: &mut Source) -> Writes {
    let (mean, median) = (source.even(5.0, 40.0), [120.0, 300.0, 900.0][source.below(3)]);
    let mut writes = Writes::default();
    for at in source.times(2.0 * HOUR, |source| source.exponential(mean)) {
        writes.down.push((at, 30.0 + source.lognormal(median, 0.8)));
        writes.up.push((at + 0.01, source.even(38.0, 43.0)));
    }
    for at in source.beats(30.0, 0.0, 2.0 * HOUR) {
        writes.up.push((at, 30.0));
        writes.down.push((at + 0.05, 30.0));
    }
    writes
}

fn document(source: &mut Source) -> Writes {
    let (mut writes, mut at) = (Writes::default(), 1.0);
    while at < HOUR {
        for _ in 0..1 + source.exponential(10.0) as usize {
            writes.up.push((at, source.lognormal(800.0, 0.4)));
            writes.down.push((at + 0.1, source.lognormal(400.0, 0.4)));
            at += source.lognormal(1.5, 0.5);
        }
        at += source.lognormal(15.0, 1.2);
    }
    writes
}

fn chat(source: &mut Source) -> Writes {
    let (pause, mut writes, mut at) = (source.even(15.0, 60.0), Writes::default(), 1.0);
    while at < 2.0 * HOUR {
        for _ in 0..1 + source.exponential(3.0) as usize {
            writes.up.push((at, 30.0 + source.lognormal(150.0, 0.5)));
            writes.down.push((at + 0.1, 30.0 + source.lognormal(120.0, 0.5)));
            at += source.lognormal(3.0, 0.4);
        }
        at += source.lognormal(pause, 1.2);
    }
    for at in source.beats(25.0, 0.0, 2.0 * HOUR) {
        writes.up.push((at, 30.0));
        writes.down.push((at + 0.05, 30.0));
    }
    let others = source.times(2.0 * HOUR, |source| source.lognormal(20.0, 1.3));
    writes.down.extend(others.into_iter().map(|at| (at, 250.0)));
    writes
}

/// What a gate tells of writes: those of the client after 500 ms in which it wrote nothing, one a second, with all that moved
/// until the next.
fn bursts(writes: Writes) -> Bursts {
    let up = writes.up.iter().map(|(at, bytes)| (*at, *bytes as u32, 0));
    let down = writes.down.iter().map(|(at, bytes)| (*at, 0, *bytes as u32));
    let mut moved: Vec<(f64, u32, u32)> = up.chain(down).collect();
    moved.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut bursts, mut last) = (Bursts::new(), f64::NEG_INFINITY);
    for (at, up, down) in moved {
        if up > 0 {
            if at - last >= 0.5 && bursts.last().is_none_or(|burst| at - burst.0 >= 1.0) {
                bursts.push((at, 0, 0));
            }
            last = at;
        }
        if let Some(burst) = bursts.last_mut() {
            (burst.1, burst.2) = (burst.1 + up, burst.2 + down);
        }
    }
    bursts
}

//! Twenty implants of mixed kinds.

use std::ops::Range;

use crate::office::{Caller, Pc};
use crate::random::Random;
use crate::software::{self, CHROMIUM, GO, Program, SYSTEM, SYSTEM_AS_BROWSER, What, When};
use crate::trace::HOUR;

/// How an implant calls home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// Some times a day, on a PC that is always on.
    Slow,
    /// Through a host that others browse.
    Shared,
    /// One of some hosts of one domain each time.
    Rotates,
    /// In one tunnel that stays open.
    Tunnel,
    /// While its person is at work.
    AtWork,
    /// It is never let out, and tries again.
    Denied,
    /// From within the browser of its person.
    InBrowser,
}

/// All of them, in the order of their numbers.
pub(crate) const KINDS: [Kind; 20] = {
    use Kind::{AtWork, Denied, InBrowser, Plain, Rotates, Shared, Slow, Tunnel};
    [
        Plain, Plain, Plain, Plain, Plain, Plain, Slow, Slow, Shared, Shared, Shared, Rotates, Rotates, Tunnel, Tunnel,
        AtWork, AtWork, Denied, Denied, InBrowser,
    ]
};

/// One implant: what it is, for a person, and when it begins.
pub(crate) struct Implant {
    pub said: String,
    pub begins: f64,
}

/// Puts the implants on PCs, at moments at which somebody was at work, on these days.
pub(crate) fn put(
    random: &mut Random,
    pcs: &mut [Pc],
    programs: &mut Vec<Program>,
    days: Range<u32>,
    shared: &[u32],
    mut host: impl FnMut(String) -> u32,
) -> Vec<Implant> {
    let is_on_them = |(begin, _): &&(f64, f64)| days.contains(&((begin / 24.0 / HOUR) as u32));
    let mut free: Vec<usize> = (0..pcs.len()).collect();
    let mut put = Vec::new();
    for (number, kind) in (0..).zip(KINDS) {
        let place = loop {
            let place = random.below(free.len());
            let pc = &pcs[free[place]];
            if pc.work.iter().any(|hours| is_on_them(&hours)) && (kind != Kind::Slow || pc.always_on) {
                break free.swap_remove(place);
            }
        };
        let pc = &mut pcs[place];
        let hours: Vec<_> = pc.work.iter().filter(is_on_them).collect();
        let (begin, end) = hours[random.below(hours.len())];
        let begins = random.between(*begin, *end);
        let (low, high) = match kind {
            Kind::Plain => (30.0, HOUR),
            Kind::Slow => (4.0 * HOUR, 24.0 * HOUR),
            Kind::Shared | Kind::Rotates | Kind::InBrowser => (60.0, 1_800.0),
            Kind::Tunnel | Kind::Denied => (30.0, 600.0),
            Kind::AtWork => (120.0, 1_800.0),
        };
        let period = random.between(f64::ln(low), f64::ln(high)).exp();
        let jitter = match kind {
            Kind::Slow => random.of(&[0.0, 0.1, 0.2]),
            _ => random.of(&[0.0, 0.1, 0.2, 0.3, 0.5]),
        };
        let program = match kind {
            Kind::InBrowser => CHROMIUM,
            // Of what is denied at CONNECT, nobody sees the TLS.
            Kind::Denied => SYSTEM,
            _ => match random.below(20) {
                0..6 => SYSTEM_AS_BROWSER,
                6..12 => SYSTEM,
                12..17 => software::own_program(programs),
                _ => GO,
            },
        };
        let hosts = match kind {
            Kind::Shared => vec![shared[random.below(shared.len())]],
            Kind::Rotates => {
                (0..random.of(&[2, 3, 4])).map(|part| host(format!("n{part}.implant{number}.example"))).collect()
            }
            _ => vec![host(format!("www.implant{number}.example"))],
        };
        let agent = programs[usize::from(program)].agent.split(' ').next().unwrap_or_default();
        let key = &programs[usize::from(program)].key;
        put.push(Implant {
            said: format!("{kind:?}, {period:.0} s, jitter {:.0} %, {key} as {agent}", jitter * 100.0),
            begins,
        });
        pc.callers.push(Caller {
            denied: kind == Kind::Denied,
            in_tunnel: kind == Kind::Tunnel,
            when: if matches!(kind, Kind::AtWork | Kind::InBrowser) { When::AtWork } else { When::On },
            ..Caller::new(What::Implant(number), hosts, program, period, jitter, begins, random)
        });
    }
    put
}

use std::collections::HashMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use crate::evidence::{Asked, Burst, Observed, Part, Shown, Verdict};
use crate::parse::{BodyType, double_extension, turns_direction};

use super::event::{Body, Carries, Cut, Event, Facts, Refusal, Sni, What};
use super::happened::Happened;
use super::names::Name;
use super::network::Network;
use super::order::Order;

/// Joins what several lines tell of one exchange, and makes events of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Joins {
    open: HashMap<u64, Open, RandomState>,
    open_max: usize,
    /// When exchanges whose end was never told were looked for.
    swept: u64,
    /// Exchanges that there was no room for.
    pub(super) beyond: u64,
}

/// An exchange that is open.
#[derive(Debug, Serialize, Deserialize)]
struct Open {
    client: Name,
    host: Name,
    port: u16,
    /// When the last burst began; before the first, when the tunnel stood.
    at: u64,
    /// The newest record of it, and its time.
    line: u64,
    heard: u64,
    /// Shared with the events that tell of it and wait for their turn.
    facts: Arc<Facts>,
}

/// An exchange of which so long nothing was heard goes, where there are too many, in microseconds.
const FORGOTTEN: u64 = 24 * 3_600_000_000;
/// Such exchanges are looked for no more often.
const SWEEP: u64 = 3_600_000_000;
/// Of a name in a ClientHello, or of a file, so much is kept, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Of what else lines say in words so much is kept, in bytes.
const WORD_BYTES_MAX: usize = 80;

impl Joins {
    pub(super) fn new(open_max: usize) -> Self {
        Self { open: HashMap::default(), open_max, swept: 0, beyond: 0 }
    }

    /// Takes what a line tells.
    pub(super) fn take(&mut self, seen: &Observed<'_>, bursts: &[Burst], network: &mut Network, order: &mut Order) {
        match seen.part {
            Part::Whole | Part::Begun if !seen.client.is_empty() && !seen.host.is_empty() => {
                self.begin(seen, network, order);
            }
            Part::Shown if seen.id == 0 && !seen.client.is_empty() && !seen.host.is_empty() => {
                let facts = Arc::new(facts_of(seen, network));
                order.push(Happened::Exchange(event_of(seen, network, What::Challenge(facts))));
            }
            Part::Shown | Part::Going | Part::Ended => self.go_on(seen, bursts, network, order),
            Part::Whole | Part::Begun | Part::Waits => {}
        }
    }

    fn begin(&mut self, seen: &Observed<'_>, network: &mut Network, order: &mut Order) {
        let facts = facts_of(seen, network);
        let denied = seen.verdict != Verdict::Allowed;
        if seen.part == Part::Whole || seen.id == 0 {
            let what = What::Call { denied, shape: facts.shape, facts: Some(Arc::new(facts)) };
            order.push(Happened::Exchange(event_of(seen, network, what)));
            return;
        }
        let event = event_of(seen, network, What::Call { denied, shape: facts.shape, facts: None });
        let (time, id) = (event.time, seen.id);
        if self.open.len() >= self.open_max && time >= self.swept.saturating_add(SWEEP) {
            self.swept = time;
            self.open.retain(|_, open| open.heard.saturating_add(FORGOTTEN) > time);
        }
        if self.open.len() < self.open_max || self.open.contains_key(&id) {
            let Event { client, host, port, line, .. } = event;
            self.open.insert(id, Open { client, host, port, at: time, line, heard: time, facts: Arc::new(facts) });
        } else {
            self.beyond += 1;
        }
        order.push(Happened::Exchange(event));
    }

    fn go_on(&mut self, seen: &Observed<'_>, bursts: &[Burst], network: &mut Network, order: &mut Order) {
        let Some(open) = self.open.get_mut(&seen.id) else { return };
        // Gaps add up, so a record that is read twice would move all that come after it.
        if seen.line <= open.line {
            return;
        }
        open.line = seen.line;
        open.heard = open.heard.max(seen.time.0);
        // Later records do not repeat the host.
        let host = network.hosts.known(open.host).filter(|_| !seen.sni.is_empty()).map(|known| known.text.clone());
        add(Arc::make_mut(&mut open.facts), seen, host.as_deref().unwrap_or_default(), network);
        let Open { client, host, port, .. } = *open;
        let event = |time, what| Event { time, line: seen.line, client, host, port, what };
        let is_tunnel = open.facts.what == Asked::Tunnel;
        if seen.part == Part::Shown && is_tunnel {
            open.at = open.at.max(seen.time.0);
            order.push(Happened::Exchange(event(seen.time.0, What::Shown(open.facts.clone()))));
        }
        for burst in bursts {
            open.at = open.at.saturating_add(u64::from(burst.after_cs) * 10_000);
            order.push(Happened::Exchange(event(
                open.at,
                What::Burst { tunnel: seen.id, up: burst.up, down: burst.down },
            )));
        }
        match seen.part {
            Part::Going => order.push(Happened::Exchange(event(seen.time.0, What::Going(open.facts.clone())))),
            Part::Ended => {
                if let Some(open) = self.open.remove(&seen.id) {
                    order.push(Happened::Exchange(event(seen.time.0, What::Done(open.facts))));
                }
            }
            Part::Whole | Part::Waits | Part::Begun | Part::Shown => {}
        }
    }
}

fn event_of(seen: &Observed<'_>, network: &mut Network, what: What) -> Event {
    let time = seen.time.0;
    let (client, host) = (network.clients.of(seen.client, time), network.hosts.of(seen.host, time));
    Event { time, line: seen.line, client, host, port: seen.port, what }
}

fn facts_of(seen: &Observed<'_>, network: &mut Network) -> Facts {
    let mut facts =
        Facts { id: seen.id, begun: seen.time.0, what: seen.what, verdict: seen.verdict, ..Facts::default() };
    add(&mut facts, seen, seen.host, network);
    facts
}

/// Adds what a line tells of an exchange with this host; what it does not tell stays.
fn add(facts: &mut Facts, seen: &Observed<'_>, host: &str, network: &mut Network) {
    let time = seen.time.0;
    for (names, text, name) in [
        (&mut network.users, seen.user, &mut facts.user),
        (&mut network.programs, seen.tls_key, &mut facts.program),
        (&mut network.agents, seen.user_agent, &mut facts.agent),
        (&mut network.addresses, address(seen.address), &mut facts.address),
    ] {
        if !text.is_empty() {
            *name = Some(names.of(text, time));
        }
    }
    facts.is_browser |= is_browser(seen.user_agent);
    facts.contradictions = facts.contradictions.max(seen.contradictions);
    if seen.standing != Shown::Unasked {
        facts.standing = seen.standing;
    }
    if !seen.carries.is_empty() {
        facts.carries = match seen.carries {
            "tls" => Carries::Tls,
            other => Carries::Other(cut(other, WORD_BYTES_MAX).into()),
        };
    }
    if !seen.sni.is_empty() {
        let is_same = seen.sni.eq_ignore_ascii_case(host);
        facts.sni = if is_same { Sni::Same } else { Sni::Other(cut(seen.sni, NAME_BYTES_MAX).into()) };
    } else if facts.carries == Carries::Tls && facts.sni == Sni::Unseen {
        facts.sni = Sni::Absent;
    }
    if facts.verdict == Verdict::Allowed {
        facts.verdict = seen.verdict;
    }
    if facts.verdict == Verdict::Denied || facts.verdict == Verdict::Challenged {
        facts.refusal = match seen.reason {
            "log_in_wrong" | "log_in_refused" => Refusal::WrongLogIn,
            reason if reason.starts_with("log_in") || seen.status == 407 => Refusal::LogIn,
            _ => Refusal::Other,
        };
    }
    if seen.failure != crate::evidence::Failure::None {
        facts.failure = seen.failure;
    }
    if !seen.method.is_empty() || !seen.path.is_empty() {
        facts.shape = shape(seen.method, seen.path);
    }
    if seen.status != 0 {
        facts.status = seen.status;
    }
    facts.bytes_up = seen.bytes_up.unwrap_or(facts.bytes_up);
    facts.bytes_down = seen.bytes_down.unwrap_or(facts.bytes_down);
    facts.duration = seen.duration_us.unwrap_or(facts.duration);
    if seen.cut {
        facts.cut = if seen.closed_how == "lifetime_limit" { Cut::Lifetime } else { Cut::Other };
    }
    if !seen.content_type.is_empty() {
        facts.content_type = Some(cut(seen.content_type, WORD_BYTES_MAX).into());
    }
    if !seen.body_type.is_empty() {
        facts.body = body(seen).or(facts.body.take());
    }
}

/// What came, where that is of interest.
fn body(seen: &Observed<'_>) -> Option<Box<Body>> {
    let kind = BodyType::named(seen.body_type)?;
    let name = cut(seen.file_name, NAME_BYTES_MAX);
    let deceives = || turns_direction(name) || double_extension(name).is_some();
    let mut hash = [0; 32];
    // Of other lengths decoding would panic.
    let is_hash =
        seen.body_sha256.len() == 2 * hash.len() && HEXLOWER.decode_mut(seen.body_sha256.as_bytes(), &mut hash).is_ok();
    (kind.carrier().is_some() || deceives())
        .then(|| Box::new(Body { kind, hash: is_hash.then_some(hash), name: name.into() }))
}

/// An address without its port.
fn address(text: &str) -> &str {
    match text.parse::<std::net::SocketAddr>() {
        Ok(_) => text.rsplit_once(':').map_or(text, |(address, _)| address),
        Err(_) => text,
    }
}

/// Whether a User-Agent is that of a browser, or of what claims to be one.
fn is_browser(user_agent: &str) -> bool {
    user_agent.starts_with("Mozilla/5.0 (")
        && ["Chrome/", "Firefox/", "Safari/"].iter().any(|product| user_agent.contains(product))
}

/// The method and the path without what changes from request to request: segments with a digit count as one, and beyond the
/// fourth none counts.
fn shape(method: &str, path: &str) -> u32 {
    // FNV-1a (Fowler, Noll and Vo): cheap, and nothing hangs on what collides.
    let mut hash = 0x811c_9dc5_u32;
    let mut add = |byte: u8| hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    method.bytes().take(16).for_each(&mut add);
    for segment in path.split('/').take(5) {
        add(b'/');
        if segment.bytes().any(|byte| byte.is_ascii_digit()) {
            add(b'0');
        } else {
            segment.bytes().take(64).for_each(&mut add);
        }
    }
    hash.max(1)
}

fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

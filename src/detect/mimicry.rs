//! Programs that are not what they claim to be, and programs that nobody else has.
//!
//! All of it hangs on what a program cannot easily change: the key of its TLS. What is new for everybody, as a version of a
//! browser is, becomes common within a day; so what is told of for being rare has waited for that.

use serde::{Deserialize, Serialize};

use crate::evidence::{Asked, Shown, Verdict};

use super::draft::Drafts;
use super::event::{Carries, Event, Facts, What};
use super::family::{Family, Who, platforms};
use super::names::{Estimate, Name};
use super::network::Network;
use super::table::Table;

mod told;

use told::Told;

/// Finds mimics, browsers with a strange key, programs with many names, and programs that one client alone has.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mimicry {
    /// What each User-Agent comes to, kept because reading one costs more than finding it. About 60 bytes each.
    agents: Table<Name, Agent>,
    /// What all clients show of a program. About 150 bytes each.
    keys: Table<Who, Key>,
    /// What one client shows of it. About 230 bytes each.
    faces: Table<(Name, Who), Face>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Agent {
    family: Family,
    /// As bits.
    platforms: u8,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Key {
    /// In microseconds.
    first: u64,
    clients: Estimate,
    /// Clients on which it claims to be a browser, on which it contradicts itself in that, and on which it goes by several
    /// names.
    claims: Estimate,
    contradicts: Estimate,
    many_names: Estimate,
    /// It has shown that it is a browser.
    is_cleared: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Face {
    /// In microseconds.
    first: u64,
    first_line: u64,
    exchanges: u32,
    denied: u32,
    /// It came when the client had been known for a week.
    is_late: bool,
    /// It claims to be a browser.
    claims: bool,
    /// When it was looked at as a whole, in microseconds.
    looked: u64,
    /// Exchanges in which it contradicted itself, and the most contradictions in one.
    contradictory: u32,
    contradictions: u8,
    is_mimic: bool,
    /// A host of few others that it talked to.
    rare_host: Option<Name>,
    agent: Option<Name>,
    /// The local day that the names are of.
    day: i64,
    names: [u32; NAMES_MAX],
    names_count: u8,
    /// Of them, those that are browsers', and the machines that they tell of, as bits.
    browsers: u8,
    platforms: u8,
}

const AGENTS_MAX: usize = 65_536;
const KEYS_MAX: usize = 32_768;
/// Programs of a client that are kept, about.
const PROGRAMS_A_CLIENT: usize = 8;
/// Different names in a day that are told apart.
const NAMES_MAX: usize = 12;
/// From so many different names on a program is one of several.
const SEVERAL: u8 = 3;
/// Of fewer clients one that differs from the others says nothing.
const CLIENTS_MIN: u32 = 20;
/// Exchanges before a program is looked at as a whole.
const EXCHANGES_MIN: u32 = 5;
/// A program is looked at as a whole no more often, in microseconds.
const LOOKED_EVERY: u64 = 3_600_000_000;
const DAY: u64 = 24 * 3_600_000_000;
/// So many contradictions in one exchange make a mimic of it: by one alone, browsers are told of whose version is not known.
const CONTRADICTIONS_MIN: u8 = 2;

impl Mimicry {
    pub(super) fn new(clients_max: usize) -> Self {
        Self {
            agents: Table::new(AGENTS_MAX.min(clients_max.saturating_mul(PROGRAMS_A_CLIENT))),
            keys: Table::new(KEYS_MAX.min(clients_max.saturating_mul(PROGRAMS_A_CLIENT))),
            faces: Table::new(clients_max.saturating_mul(PROGRAMS_A_CLIENT)),
        }
    }

    /// Takes an exchange as soon as all that its program shows is known.
    pub(super) fn take(&mut self, event: &Event, network: &mut Network, drafts: &mut Drafts) {
        let Some(facts) = shown(event) else { return };
        let who = match (facts.program, facts.agent) {
            (Some(program), _) => Who::Key(program),
            (None, Some(agent)) => Who::Family(agent_of(&mut self.agents, agent, network).family),
            (None, None) => return,
        };
        let place = network.clients.meet(event.client);
        let contradicts = facts.contradictions >= CONTRADICTIONS_MIN || facts.standing == Shown::Mimic;
        let face = self.faces.entry((event.client, who), || Face::new(event, network));
        let mut is_renamed = false;
        if let Some(agent) = facts.agent.filter(|agent| face.agent != Some(*agent)) {
            face.agent = Some(agent);
            let agent = agent_of(&mut self.agents, agent, network);
            is_renamed = face.name(agent, facts.is_browser, network.local(event.time).day);
            // Whoever has a program by its key has it by its name too, when it asks without TLS.
            self.keys.entry(Who::Family(agent.family), || Key::new(event.time)).clients.add(place);
        }
        let key = self.keys.entry(who, || Key::new(event.time));
        key.first = key.first.min(event.time);
        key.clients.add(place);
        key.is_cleared |= facts.is_browser && facts.standing == Shown::Cleared;
        face.exchanges = face.exchanges.saturating_add(1);
        face.denied = face.denied.saturating_add(u32::from(facts.verdict != Verdict::Allowed));
        if facts.is_browser {
            key.claims.add(place);
            face.claims = true;
        }
        if face.names_count >= SEVERAL {
            key.many_names.add(place);
        }
        if contradicts {
            key.contradicts.add(place);
            face.contradictory = face.contradictory.saturating_add(1);
            face.contradictions = face.contradictions.max(facts.contradictions);
            face.is_mimic |= facts.standing == Shown::Mimic;
        }
        let is_due = face.is_due(event.time);
        if !contradicts && !is_renamed && !is_due {
            return;
        }
        let is_rare_now = face.see(event.host, event.time, network);
        let told = Told { event, who, key, face, network };
        let as_mimic = contradicts && (is_rare_now || face.contradictory.is_power_of_two());
        let drafted = [
            as_mimic.then(|| told.mimic()),
            is_due.then(|| told.strange_key()),
            (is_due || is_renamed).then(|| told.many_agents()),
            is_due.then(|| told.lone_program()),
        ];
        for draft in drafted.into_iter().flatten().flatten() {
            drafts.add_if_news(draft, &network.clients);
        }
    }
}

/// What is known of an exchange, once each, and of a tunnel when it has shown what goes through it.
fn shown(event: &Event) -> Option<&Facts> {
    match &event.what {
        What::Call { facts, .. } => facts.as_deref(),
        What::Shown(facts) => Some(&**facts).filter(|facts| facts.carries != Carries::Unseen),
        What::Done(facts) => {
            Some(&**facts).filter(|facts| facts.what != Asked::Tunnel || facts.carries == Carries::Unseen)
        }
        What::Burst { .. } | What::Going(_) | What::Challenge(_) => None,
    }
}

fn agent_of(agents: &mut Table<Name, Agent>, agent: Name, network: &Network) -> Agent {
    *agents.entry(agent, || {
        let text = network.agents.text(agent);
        let text = text.as_deref().unwrap_or_default();
        Agent { family: Family::of(text), platforms: platforms(text) }
    })
}

impl Key {
    fn new(time: u64) -> Self {
        Self { first: time, ..Self::default() }
    }

    /// So many clients are more than some: what they show is common.
    fn is_common(clients: Estimate, network: &Network) -> bool {
        clients.count() >= 3.max(network.clients.met() / 50)
    }

    /// What is new for everybody has had a day to become common.
    fn has_settled(&self, now: u64) -> bool {
        now.saturating_sub(self.first) >= DAY
    }
}

impl Face {
    fn new(event: &Event, network: &Network) -> Self {
        let known_since = network.clients.known(event.client).map_or(event.time, |known| known.first);
        Self {
            first: event.time,
            first_line: event.line,
            is_late: event.time.saturating_sub(known_since) >= 7 * DAY,
            ..Self::default()
        }
    }

    /// It calls itself something; says whether that is a new name of this day.
    fn name(&mut self, agent: Agent, is_browser: bool, day: i64) -> bool {
        if self.day != day {
            (self.day, self.names_count, self.browsers, self.platforms) = (day, 0, 0, 0);
        }
        let name = agent.family.short();
        let count = usize::from(self.names_count);
        if self.names[..count].contains(&name) || count == NAMES_MAX {
            return false;
        }
        self.names[count] = name;
        self.names_count += 1;
        self.browsers += u8::from(is_browser);
        self.platforms |= agent.platforms;
        true
    }

    /// It is to be looked at as a whole.
    fn is_due(&mut self, now: u64) -> bool {
        let is_due = self.exchanges >= EXCHANGES_MIN
            && (self.looked == 0 || now < self.looked || now - self.looked >= LOOKED_EVERY);
        if is_due {
            self.looked = now;
        }
        is_due
    }

    /// It talks to a host; says whether that is the first that few talk to.
    fn see(&mut self, host: Name, now: u64, network: &Network) -> bool {
        let rarity = network.rarity(host, now);
        if self.rare_host.is_some() || rarity.of < CLIENTS_MIN || !rarity.is_rare() {
            return false;
        }
        self.rare_host = Some(host);
        true
    }
}

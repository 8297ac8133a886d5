use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use crate::evidence::{Event, RecordLine};
use crate::facts::{Host, Scheme, Timestamp};
use crate::policy::is_global;

use super::super::exchange::Asked;
use super::domain::registrable;

/// Pairs of a client group and a domain; beyond it requests are counted and no more.
const PLACES_MAX: usize = 100_000;
/// Pairs of a place and a reason why it was denied; beyond it they are counted and no more.
const DENIED_MAX: usize = 100_000;
/// Client groups; beyond it requests are counted and no more.
const GROUPS_MAX: usize = 1000;
/// Exchanges whose end has not come; beyond it the end of the oldest is not waited for.
const OPEN_MAX: usize = 100_000;
/// Names below domains, and clients of groups and of places, in all; each beyond it marks its place or group.
const NAMES_MAX: usize = 500_000;
const CLIENTS_MAX: usize = 500_000;
/// Of one place.
const PORTS_MAX: usize = 16;
const PRIVATE_MAX: usize = 16;
const AGENTS_MAX: usize = 8;
/// More of a User-Agent is not looked at.
const AGENT_BYTES_MAX: usize = 120;
/// Days are only counted up to the largest that can be asked for.
pub(super) const DAYS_MAX: usize = 31;
const DAY: u64 = 86_400_000_000;

/// All that was seen, bounded.
pub(super) struct Seen {
    pub(super) groups: Vec<Group>,
    group_numbers: HashMap<Option<Box<str>>, usize>,
    pub(super) places: Vec<Place>,
    place_numbers: HashMap<(usize, Box<str>), usize>,
    pub(super) denied: BTreeMap<(usize, Box<str>, Box<str>), Denied>,
    open: BTreeMap<Box<str>, Opened>,
    pub(super) days: BTreeSet<u64>,
    pub(super) span: Span,
    pub(super) exchanges: u64,
    /// Requests to places, or denials, of more than are told apart.
    pub(super) beyond: u64,
    names_left: usize,
    clients_left: usize,
}

/// A client group as records name it; none for clients that are in none.
pub(super) struct Group {
    pub(super) name: Option<Box<str>>,
    pub(super) clients: Clients,
}

/// A set of clients that may be cut short.
#[derive(Default)]
pub(super) struct Clients {
    pub(super) addresses: BTreeSet<IpAddr>,
    pub(super) more: bool,
}

/// A registrable domain, or a host that has none, as one client group used it.
pub(super) struct Place {
    pub(super) group: usize,
    /// The domain or the host, as text.
    pub(super) site: Box<str>,
    pub(super) is_domain: bool,
    pub(super) requests: u64,
    pub(super) hosts: BTreeMap<Host, HostSeen>,
    pub(super) hosts_more: bool,
    /// With true for tunnels.
    pub(super) ports: BTreeSet<(bool, u16)>,
    pub(super) ports_more: bool,
    pub(super) clients: Clients,
    pub(super) days: BTreeSet<u64>,
    pub(super) span: Span,
    /// User-Agents with how often they came at least, most of them first seen first.
    pub(super) agents: Vec<(Box<str>, u64)>,
    /// Special-purpose addresses that it led to.
    pub(super) private: BTreeSet<IpAddr>,
    pub(super) private_more: bool,
    pub(super) parent: Option<Box<str>>,
}

/// One host of a place.
pub(super) struct HostSeen {
    pub(super) requests: u64,
    /// How many of them ended before anything was connected.
    pub(super) failed: u64,
    /// Why the gate refused one after all, or would have.
    pub(super) refused: Option<Box<str>>,
    /// The first that asked for it, and how.
    pub(super) client: IpAddr,
    pub(super) method: Box<str>,
    pub(super) scheme: Scheme,
    pub(super) port: u16,
}

pub(super) struct Denied {
    pub(super) requests: u64,
    pub(super) span: Span,
    pub(super) host: Host,
}

pub(super) struct Opened {
    pub(super) place: usize,
    pub(super) host: Host,
    pub(super) reached: bool,
}

/// First and last of some moments.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span(pub(super) Option<(Timestamp, Timestamp)>);

impl Span {
    fn stretch(&mut self, time: Timestamp) {
        let (first, last) = self.0.unwrap_or((time, time));
        self.0 = Some((first.min(time), last.max(time)));
    }
}

impl Seen {
    pub(super) fn new() -> Self {
        Self {
            groups: Vec::new(),
            group_numbers: HashMap::new(),
            places: Vec::new(),
            place_numbers: HashMap::new(),
            denied: BTreeMap::new(),
            open: BTreeMap::new(),
            days: BTreeSet::new(),
            span: Span::default(),
            exchanges: 0,
            beyond: 0,
            names_left: NAMES_MAX,
            clients_left: CLIENTS_MAX,
        }
    }

    /// An exchange that went out.
    pub(super) fn used(&mut self, asked: &Asked, record: &RecordLine<'_>) {
        self.count(asked.time);
        let Some(group) = self.group_of(asked, record) else { return };
        let Some(number) = self.place_of(group, &asked.target.host) else { return };
        let Some(place) = self.places.get_mut(number) else { return };
        place.note(asked, record, &mut self.names_left, &mut self.clients_left);
        if let Some(id) = record.id.as_deref() {
            self.open.insert(id.into(), Opened::of(number, &asked.target.host));
            if self.open.len() > OPEN_MAX {
                self.open.pop_first();
            }
        }
    }

    /// An exchange that a policy refused, or would have, and why.
    pub(super) fn denied(&mut self, asked: &Asked, record: &RecordLine<'_>, why: String) {
        self.count(asked.time);
        let Some(group) = self.group_of(asked, record) else { return };
        let host = &asked.target.host;
        let key = (group, site_of(host).into_boxed_str(), why.into_boxed_str());
        if self.denied.len() >= DENIED_MAX && !self.denied.contains_key(&key) {
            self.beyond += 1;
            return;
        }
        let new = || Denied { requests: 0, span: Span::default(), host: host.clone() };
        let denied = self.denied.entry(key).or_insert_with(new);
        denied.requests += 1;
        denied.span.stretch(asked.time);
    }

    /// What came later of an exchange that went out.
    pub(super) fn later(&mut self, record: &RecordLine<'_>) {
        let Some(id) = record.id.as_deref() else { return };
        let Some(opened) = self.open.get_mut(id) else { return };
        let Some(place) = self.places.get_mut(opened.place) else { return };
        let host = place.hosts.get_mut(&opened.host);
        if let Some(dialled) = record.dialled.as_deref() {
            opened.reached = true;
            if let Ok(dialled) = dialled.parse::<SocketAddr>()
                && place.parent.is_none()
                && !is_global(dialled.ip())
            {
                let known = place.private.contains(&dialled.ip());
                place.private_more |= !known && place.private.len() >= PRIVATE_MAX;
                if !place.private_more {
                    place.private.insert(dialled.ip());
                }
            }
        }
        let denied = record.would.as_deref().or(record.verdict.as_deref()) == Some("deny");
        if let Some(host) = host {
            if denied {
                host.refused = Some(record.reason.as_deref().unwrap_or_default().into());
            }
            host.failed += u64::from(record.event == Some(Event::Close) && !opened.reached);
        }
        if record.event == Some(Event::Close) {
            self.open.remove(id);
        }
    }

    fn count(&mut self, time: Timestamp) {
        self.exchanges += 1;
        self.span.stretch(time);
        if self.days.len() < DAYS_MAX {
            self.days.insert(time.0 / DAY);
        }
    }

    fn group_of(&mut self, asked: &Asked, record: &RecordLine<'_>) -> Option<usize> {
        let name: Option<Box<str>> = record.client_group.as_deref().map(Into::into);
        let number = match self.group_numbers.get(&name) {
            Some(number) => *number,
            None if self.groups.len() >= GROUPS_MAX => {
                self.beyond += 1;
                return None;
            }
            None => {
                self.groups.push(Group { name: name.clone(), clients: Clients::default() });
                self.group_numbers.insert(name, self.groups.len() - 1);
                self.groups.len() - 1
            }
        };
        self.groups.get_mut(number)?.clients.add(asked.address(), &mut self.clients_left);
        Some(number)
    }

    fn place_of(&mut self, group: usize, host: &Host) -> Option<usize> {
        let key = (group, site_of(host).into_boxed_str());
        if let Some(number) = self.place_numbers.get(&key) {
            return Some(*number);
        }
        if self.places.len() >= PLACES_MAX {
            self.beyond += 1;
            return None;
        }
        self.places.push(Place::new(group, &key.1, registrable(host).is_some()));
        self.place_numbers.insert(key, self.places.len() - 1);
        Some(self.places.len() - 1)
    }
}

/// The registrable domain of a host, else the host itself.
pub(super) fn site_of(host: &Host) -> String {
    registrable(host).map_or_else(|| host.to_string(), str::to_owned)
}

impl Place {
    fn new(group: usize, site: &str, is_domain: bool) -> Self {
        Self {
            group,
            site: site.into(),
            is_domain,
            requests: 0,
            hosts: BTreeMap::new(),
            hosts_more: false,
            ports: BTreeSet::new(),
            ports_more: false,
            clients: Clients::default(),
            days: BTreeSet::new(),
            span: Span::default(),
            agents: Vec::new(),
            private: BTreeSet::new(),
            private_more: false,
            parent: None,
        }
    }

    fn note(&mut self, asked: &Asked, record: &RecordLine<'_>, names_left: &mut usize, clients_left: &mut usize) {
        let target = &asked.target;
        self.requests += 1;
        self.span.stretch(asked.time);
        self.clients.add(asked.address(), clients_left);
        if self.days.len() < DAYS_MAX {
            self.days.insert(asked.time.0 / DAY);
        }
        if let Some(parent) = record.parent.as_deref() {
            self.parent = Some(parent.into());
        }
        let port = (target.scheme != Scheme::Http, target.port);
        match self.ports.len() < PORTS_MAX {
            true => {
                self.ports.insert(port);
            }
            false => self.ports_more |= !self.ports.contains(&port),
        }
        if let Some(agent) = record.user_agent.as_deref() {
            self.note_agent(agent);
        }
        if let Some(host) = self.hosts.get_mut(&target.host) {
            host.requests += 1;
        } else if *names_left == 0 {
            self.hosts_more = true;
        } else {
            *names_left -= 1;
            let host = HostSeen {
                requests: 1,
                failed: 0,
                refused: None,
                client: asked.address(),
                method: asked.method.clone(),
                scheme: target.scheme,
                port: target.port,
            };
            self.hosts.insert(target.host.clone(), host);
        }
    }

    /// Keeps those that come most: with no room left, each new one takes one from all (Misra and Gries, 1982).
    fn note_agent(&mut self, agent: &str) {
        let agent = agent.get(..agent.floor_char_boundary(AGENT_BYTES_MAX)).unwrap_or_default();
        if let Some((_, count)) = self.agents.iter_mut().find(|(known, _)| **known == *agent) {
            *count += 1;
        } else if self.agents.len() < AGENTS_MAX {
            self.agents.push((agent.into(), 1));
        } else {
            self.agents.iter_mut().for_each(|(_, count)| *count -= 1);
            self.agents.retain(|(_, count)| *count > 0);
        }
    }
}

impl Clients {
    fn add(&mut self, address: IpAddr, left: &mut usize) {
        if self.addresses.contains(&address) {
            return;
        }
        if *left == 0 {
            self.more = true;
            return;
        }
        *left -= 1;
        self.addresses.insert(address);
    }
}

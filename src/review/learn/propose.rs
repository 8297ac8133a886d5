use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::evidence::{format_time, shown};
use crate::facts::{Host, Scheme};
use crate::policy::{OwnEndpoints, judge_address};

use super::super::scan::Scanned;
use super::LearnOptions;
use super::answer::{Access, ClientsOfGroup, Learnt, LeftOut, Proposal};
use super::domain::has_suffix_below;
use super::seen::{Clients, DAYS_MAX, Group, HostSeen, Place, Seen, Span, site_of};

const LEFT_OUT_MAX: usize = 10_000;

/// Those with the most requests of all that were left out.
#[derive(Default)]
struct Most {
    kept: Vec<LeftOut>,
    beyond: usize,
}

impl Most {
    fn push(&mut self, left: LeftOut) {
        self.kept.push(left);
        if self.kept.len() >= 2 * LEFT_OUT_MAX {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.kept.sort_by_key(|left| Reverse(left.requests));
        self.beyond += self.kept.len().saturating_sub(LEFT_OUT_MAX);
        self.kept.truncate(LEFT_OUT_MAX);
    }
}

/// Why a place is not proposed.
struct Why(&'static str, String);

pub(super) fn propose(seen: Seen, options: &LearnOptions, scanned: Scanned) -> Learnt {
    let names = names_of(&seen.groups);
    let several = clients_of_several(&seen.groups);
    let context = Context { seen: &seen, options, several: &several, shared: shared_domains(&seen.places), names };
    let (mut proposals, mut left_out, mut groups) = (Vec::new(), Most::default(), BTreeSet::new());
    for place in &seen.places {
        for (host, host_seen) in &place.hosts {
            // A place of which some hosts are proposed: the others are told of by themselves.
            if let Some(Why(reason, detail)) = context.fault_of(host, host_seen) {
                left_out.push(context.left_out(place, host.to_string(), reason, detail, host_seen.requests));
            }
        }
        match context.proposal(place) {
            Ok(Some(proposal)) => {
                groups.insert(place.group);
                proposals.push(proposal);
            }
            Ok(None) => {}
            Err(Why(reason, detail)) => {
                left_out.push(context.left_out(place, place.site.to_string(), reason, detail, place.requests));
            }
        }
    }
    context.denied().for_each(|left| left_out.push(left));
    left_out.cut();
    proposals.sort_by(|a, b| (&a.clients, &a.site).cmp(&(&b.clients, &b.site)));
    Learnt {
        records: scanned.records,
        unreadable: scanned.unreadable,
        exchanges: seen.exchanges,
        first: begin(seen.span),
        last: end(seen.span),
        beyond: seen.beyond,
        clients: groups.into_iter().filter_map(|group| context.clients_of(group)).collect(),
        proposals,
        left_out: left_out.kept,
        left_out_beyond: left_out.beyond,
    }
}

struct Context<'s> {
    seen: &'s Seen,
    options: &'s LearnOptions,
    /// Clients that were in several groups, as a policy changed.
    several: &'s HashSet<IpAddr>,
    /// Domains below which others have names.
    shared: BTreeSet<Box<str>>,
    /// The names of groups in the proposed policy.
    names: Vec<String>,
}

impl Context<'_> {
    /// `None` where no host is left; each was told of.
    fn proposal(&self, place: &Place) -> Result<Option<Proposal>, Why> {
        let good: Vec<(&Host, &HostSeen)> =
            place.hosts.iter().filter(|(host, seen)| self.fault_of(host, seen).is_none()).collect();
        let Some((host, sample)) = good.iter().max_by_key(|(host, seen)| (seen.requests, Reverse(*host))) else {
            return if place.hosts.is_empty() { Err(too_many("names in all")) } else { Ok(None) };
        };
        if let Some(parent) = &place.parent {
            return Err(Why("parent", format!("it leaves through the parent {}", shown(parent))));
        }
        if place.ports_more {
            return Err(too_many("ports"));
        }
        self.rarity(place)?;
        let hosts = self.hosts(place, &good)?;
        let private = self.private(place, &good)?;
        let top = place.agents.iter().max_by_key(|(_, count)| *count);
        Ok(Some(Proposal {
            clients: self.name(place.group),
            site: shown(&place.site).into_owned(),
            hosts,
            ports: place.ports.iter().map(|(tunnel, port)| access(*tunnel, *port)).collect(),
            private: private.iter().map(ToString::to_string).collect(),
            requests: good.iter().map(|(_, seen)| seen.requests).sum(),
            used_by: place.clients.addresses.len(),
            used_by_more: place.clients.more,
            days: place.days.len(),
            first: begin(place.span).unwrap_or_default(),
            last: end(place.span).unwrap_or_default(),
            program: top.map(|(agent, _)| shown(agent).into_owned()),
            program_requests: top.map_or(0, |(_, count)| *count),
            case_client: sample.client.to_string(),
            case_request: request(host, sample),
            case_is_of_one_group: !self.several.contains(&sample.client),
        }))
    }

    /// Why one host is not proposed, whatever its domain.
    fn fault_of(&self, host: &Host, seen: &HostSeen) -> Option<Why> {
        if let Some(reason) = &seen.refused {
            return Some(Why("refused", shown(reason).into_owned()));
        }
        if self.options.doubted.contains(host) {
            return Some(Why("doubted", "a detector doubts it".to_owned()));
        }
        (seen.failed >= seen.requests).then(|| Why("unreached", "nothing was ever connected".to_owned()))
    }

    fn rarity(&self, place: &Place) -> Result<(), Why> {
        let group = self.seen.groups.get(place.group).map_or(0, |group| group.clients.addresses.len());
        // What a small group or a short record cannot show is not asked for.
        let clients_min = self.options.clients_min.min(group as u64);
        let days_min = self.options.days_min.min(self.seen.days.len() as u64).min(DAYS_MAX as u64);
        let (clients, days) = (place.clients.addresses.len() as u64, place.days.len() as u64);
        let rare = place.requests < self.options.requests_min
            || (clients < clients_min && !place.clients.more)
            || days < days_min;
        if !rare {
            return Ok(());
        }
        let (requests, clients) = (counted(place.requests, "request"), counted(clients, "client"));
        Err(Why("rare", format!("{requests} by {clients} on {}", counted(days, "day"))))
    }

    /// Exact names; or all below the domain, where many were used and nothing below it is known to be
    /// another's, denied or in doubt.
    fn hosts(&self, place: &Place, good: &[(&Host, &HostSeen)]) -> Result<Vec<String>, Why> {
        let clean = good.len() == place.hosts.len() && !self.is_denied(place) && place.private.is_empty();
        let may_widen = place.is_domain && clean && !self.shared.contains(&place.site);
        if may_widen && (good.len() > self.options.names_max || place.hosts_more) {
            let itself = good.iter().map(|(host, _)| host.to_string()).find(|host| **host == *place.site);
            return Ok(itself.into_iter().chain([format!("*.{}", place.site)]).collect());
        }
        if place.hosts_more {
            return Err(too_many("names"));
        }
        Ok(good.iter().map(|(host, _)| host.to_string()).collect())
    }

    /// Whether a policy denied something at this site to this group.
    fn is_denied(&self, place: &Place) -> bool {
        let first = (place.group, place.site.clone(), Box::default());
        self.seen
            .denied
            .range(first..)
            .next()
            .is_some_and(|((group, site, _), _)| *group == place.group && *site == place.site)
    }

    /// The addresses that the rule must open, and that the guard lets it open one by one.
    fn private(&self, place: &Place, good: &[(&Host, &HostSeen)]) -> Result<Vec<IpNet>, Why> {
        if place.private_more {
            return Err(Why("special_address", "it leads to too many special-purpose addresses".to_owned()));
        }
        let opened: Vec<IpNet> = place.private.iter().map(|address| IpNet::from(*address)).collect();
        let own = OwnEndpoints { listeners: Vec::new(), interfaces: Vec::new() };
        let literals = good.iter().filter_map(|(host, _)| host.address());
        for address in literals.chain(place.private.iter().copied()) {
            judge_address(address, 443, &opened, &own).map_err(|refused| {
                Why("special_address", format!("{refused}; a rule with `private` is for a person to write"))
            })?;
        }
        Ok(opened)
    }

    fn denied(&self) -> impl Iterator<Item = LeftOut> {
        self.seen.denied.iter().map(|((group, site, why), denied)| {
            let host = denied.host.to_string();
            let such = if **site == *host { String::new() } else { format!(", such as {host}") };
            LeftOut {
                group: self.group_name(*group),
                site: shown(site).into_owned(),
                reason: "denied",
                detail: format!("{}{such}", shown(why)),
                requests: denied.requests,
                first: begin(denied.span).unwrap_or_default(),
                last: end(denied.span).unwrap_or_default(),
            }
        })
    }

    fn left_out(&self, place: &Place, site: String, reason: &'static str, detail: String, requests: u64) -> LeftOut {
        LeftOut {
            group: self.group_name(place.group),
            site: shown(&site).into_owned(),
            reason,
            detail,
            requests,
            first: begin(place.span).unwrap_or_default(),
            last: end(place.span).unwrap_or_default(),
        }
    }

    fn clients_of(&self, group: usize) -> Option<ClientsOfGroup> {
        let Clients { addresses, more } = &self.seen.groups.get(group)?.clients;
        let exact: Vec<IpNet> = addresses.iter().map(|address| IpNet::from(*address)).collect();
        Some(ClientsOfGroup {
            group: self.group_name(group),
            name: self.name(group),
            addresses: IpNet::aggregate(&exact).iter().map(ToString::to_string).collect(),
            more: *more,
        })
    }

    fn group_name(&self, group: usize) -> Option<String> {
        self.seen.groups.get(group)?.name.as_deref().map(|name| shown(name).into_owned())
    }

    fn name(&self, group: usize) -> String {
        self.names.get(group).cloned().unwrap_or_default()
    }
}

/// A name for each group: its own, and for clients in none one that no group has.
fn names_of(groups: &[Group]) -> Vec<String> {
    let own: Vec<Option<String>> =
        groups.iter().map(|group| group.name.as_deref().map(|name| shown(name).into_owned())).collect();
    let mut other = "others".to_owned();
    while own.iter().flatten().any(|name| *name == other) {
        other.push('_');
    }
    own.into_iter().map(|name| name.unwrap_or_else(|| other.clone())).collect()
}

fn clients_of_several(groups: &[Group]) -> HashSet<IpAddr> {
    let mut counts: BTreeMap<IpAddr, u32> = BTreeMap::new();
    for address in groups.iter().flat_map(|group| &group.clients.addresses) {
        *counts.entry(*address).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(address, _)| address).collect()
}

/// Domains below which a public suffix is known, or was seen: other sites that end in theirs.
fn shared_domains(places: &[Place]) -> BTreeSet<Box<str>> {
    let domains: BTreeSet<&str> = places.iter().filter(|place| place.is_domain).map(|place| &*place.site).collect();
    let mut shared: BTreeSet<Box<str>> =
        domains.iter().filter(|domain| has_suffix_below(domain)).map(|domain| (*domain).into()).collect();
    for place in places {
        let parents = place.site.match_indices('.').filter_map(|(at, _)| place.site.get(at + 1..));
        shared.extend(parents.filter(|parent| domains.contains(parent)).map(Box::from));
    }
    shared
}

fn too_many(what: &str) -> Why {
    Why("too_many", format!("more {what} than are told apart"))
}

fn access(is_tunnel: bool, port: u16) -> Access {
    let scheme = if is_tunnel { Scheme::Tunnel } else { Scheme::Http };
    Access { scheme: scheme.as_str(), port }
}

/// A request that was made, as a case says it.
fn request(host: &Host, sample: &HostSeen) -> String {
    debug_assert!(!site_of(host).is_empty());
    match sample.scheme {
        Scheme::Tunnel => format!("CONNECT {host}:{}", sample.port),
        Scheme::Http | Scheme::Https => {
            let plain = !sample.method.is_empty() && sample.method.bytes().all(|byte| byte.is_ascii_uppercase());
            let (method, scheme) = (if plain { &sample.method } else { "GET" }, sample.scheme.as_str());
            format!("{method} {scheme}://{host}:{}/", sample.port)
        }
    }
}

pub(super) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn begin(span: Span) -> Option<String> {
    span.0.map(|(first, _)| format_time(first))
}

fn end(span: Span) -> Option<String> {
    span.0.map(|(_, last)| format_time(last))
}

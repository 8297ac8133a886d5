//! What rules speak of by name: groups of clients, of hosts and of programs, and parents.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::facts::{Client, Hello, Stage, User};
use crate::parse::{Place, Placed, Section, did_you_mean};

use super::compile::Mode;
use super::glob::Glob;
use super::names::NameSet;
use super::parents::{Parents, read_parents};
use super::pattern::HostSet;
use super::question::Asker;
use super::sources::{FETCHED_LIST, Listed};

#[derive(Debug, Clone)]
pub(super) struct ClientGroup {
    pub(super) name: Arc<str>,
    /// Empty for a group of users wherever they are.
    pub(super) addresses: Arc<[IpNet]>,
    pub(super) users: Arc<[Who]>,
    /// Where it has a mode of its own.
    pub(super) mode: Option<Mode>,
    /// Behind one of its addresses there are several people, as on a terminal server.
    pub(super) shared: bool,
}

/// One entry of a group's `users`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    Name(Box<str>),
    Group(Box<str>),
}

/// Programs by what they say and show; of each kind that is given, one must agree.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: Box<str>,
    user_agents: Vec<Glob>,
    /// What one that matches the first of them says.
    example: Option<Box<str>>,
    ja4: Vec<Box<str>>,
    tls_keys: Vec<Box<str>>,
}

/// Whether something is in a group, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    In,
    Out,
    /// A fact is missing that would decide it.
    Unknown,
}

/// All groups of a layer.
pub(super) struct Groups {
    clients: HashMap<String, Placed<ClientGroup>>,
    pub(super) hosts: HashMap<String, Placed<HostSet>>,
    programs: HashMap<String, Placed<Arc<Program>>>,
    pub(super) parents: Parents,
    /// The names that rules have asked for, by kind.
    used: RefCell<HashMap<&'static str, HashSet<String>>>,
}

/// A group that no rule names.
#[derive(Debug)]
pub(super) struct Unused {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) place: Place,
}

/// Before the name of a group of users in `users`.
const USER_GROUP: &str = "group:";

impl ClientGroup {
    pub(super) fn holds(&self, client: &Client) -> Membership {
        let address = client.address.ip().to_canonical();
        if !self.addresses.is_empty() && !self.addresses.iter().any(|net| net.contains(&address)) {
            return Membership::Out;
        }
        match &client.user {
            _ if self.users.is_empty() => Membership::In,
            Some(user) if self.users.iter().any(|who| who.is(user)) => Membership::In,
            Some(_) => Membership::Out,
            None => Membership::Unknown,
        }
    }
}

impl Who {
    fn is(&self, user: &User) -> bool {
        match self {
            Who::Name(name) => *name == user.name,
            Who::Group(group) => user.groups.contains(group),
        }
    }
}

impl Program {
    pub(super) fn matches(&self, user_agent: Option<&[u8]>, hello: Stage<&Hello>) -> Membership {
        let said = user_agent.is_some_and(|agent| self.user_agents.iter().any(|glob| glob.matches(agent)));
        if !self.user_agents.is_empty() && !said {
            return Membership::Out;
        }
        if self.ja4.is_empty() && self.tls_keys.is_empty() {
            return Membership::In;
        }
        match hello {
            Stage::Known(hello) => {
                let print = self.ja4.is_empty() || self.ja4.contains(&hello.ja4);
                let key = self.tls_keys.is_empty() || self.tls_keys.contains(&hello.stable_key);
                if print && key { Membership::In } else { Membership::Out }
            }
            Stage::NotYet => Membership::Unknown,
            Stage::Never => Membership::Out,
        }
    }
}

impl Program {
    /// One that is in it.
    pub(super) fn example(&self) -> Asker<'_> {
        Asker {
            user_agent: self.example.as_deref(),
            ja4: self.ja4.first().map(|print| &**print),
            tls_key: self.tls_keys.first().map(|key| &**key),
            ..Asker::default()
        }
    }
}

impl Groups {
    pub(super) fn none() -> Self {
        Self {
            clients: HashMap::new(),
            hosts: HashMap::new(),
            programs: HashMap::new(),
            parents: Vec::new(),
            used: RefCell::default(),
        }
    }

    /// Takes the groups of one more file; a name that is there already is reported.
    pub(super) fn read(&mut self, root: &mut Section<'_, '_>, mut names: impl FnMut(&str) -> Result<Listed, String>) {
        read_clients(root, &mut self.clients);
        read_hosts(root, &mut self.hosts, &mut names);
        read_programs(root, &mut self.programs);
        for parent in read_parents(root) {
            let name = parent.value.name();
            if let Some(other) = self.parents.iter().find(|other| other.value.name() == name) {
                let what = format!("the parent `{name}` is defined already, at {}", other.place);
                root.problem(&parent.place, what, "give one of them another name");
                continue;
            }
            self.parents.push(parent);
        }
    }

    /// Each once, file by file in the order of each.
    pub(super) fn clients_in_order(&self, files: &[&str]) -> Vec<ClientGroup> {
        let mut clients: Vec<_> = self.clients.values().collect();
        let file = |place: &Place| files.iter().position(|file| **file == *place.file);
        clients.sort_by_key(|group| (file(&group.place), group.place.line, group.place.column));
        clients.into_iter().map(|group| group.value.clone()).collect()
    }

    pub(super) fn programs(&self) -> Vec<Arc<Program>> {
        let mut programs: Vec<_> = self.programs.values().map(|program| program.value.clone()).collect();
        programs.sort_by(|a, b| a.name.cmp(&b.name));
        programs
    }

    /// The groups that no rule read so far has named, in the order of their places. A client group with a mode of
    /// its own does something all the same.
    pub(super) fn unused(&self) -> Vec<Unused> {
        let clients = self.clients.iter().filter(|(_, group)| group.value.mode.is_none());
        let clients = clients.map(|(name, group)| ("clients", name, &group.place));
        let hosts = self.hosts.iter().map(|(name, group)| ("hosts", name, &group.place));
        let programs = self.programs.iter().map(|(name, group)| ("programs", name, &group.place));
        let used = self.used.borrow();
        let is_used = |kind: &str, name: &str| used.get(kind).is_some_and(|names| names.contains(name));
        let mut unused: Vec<Unused> = clients
            .chain(hosts)
            .chain(programs)
            .filter(|(kind, name, _)| !is_used(kind, name))
            .map(|(kind, name, place)| Unused { kind, name: name.clone(), place: place.clone() })
            .collect();
        unused.sort_by(|a, b| a.place.cmp(&b.place));
        unused
    }

    fn note_used(&self, kind: &'static str, names: &[Placed<String>]) {
        let mut used = self.used.borrow_mut();
        let known = used.entry(kind).or_default();
        for name in names.iter().filter(|name| !name.value.contains('*')) {
            if !known.contains(&name.value) {
                known.insert(name.value.clone());
            }
        }
    }

    pub(super) fn client_groups(&self, section: &Section<'_, '_>, names: &[Placed<String>]) -> Vec<ClientGroup> {
        self.note_used("clients", names);
        find_all(section, "clients", names, &self.clients)
    }

    pub(super) fn program_groups(&self, section: &Section<'_, '_>, names: &[Placed<String>]) -> Vec<Arc<Program>> {
        self.note_used("programs", names);
        find_all(section, "programs", names, &self.programs)
    }

    /// A rule's `hosts` names groups; what has a dot, a colon or a star is a pattern of its own.
    pub(super) fn host_set(&self, section: &Section<'_, '_>, names: &[Placed<String>]) -> HostSet {
        self.note_used("hosts", names);
        let mut set = HostSet::default();
        for name in names {
            match self.hosts.get(&name.value) {
                Some(group) => set.extend(&group.value),
                None if name.value.contains(['.', ':', '*']) => add_host(section, &mut set, name),
                None => unknown_group(section, "hosts", name, self.hosts.keys()),
            }
        }
        set
    }
}

fn find_all<T: Clone>(
    section: &Section<'_, '_>,
    kind: &str,
    names: &[Placed<String>],
    groups: &HashMap<String, Placed<T>>,
) -> Vec<T> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match groups.get(&name.value) {
            Some(group) => found.push(group.value.clone()),
            None => unknown_group(section, kind, name, groups.keys()),
        }
    }
    found
}

fn unknown_group<'a>(
    section: &Section<'_, '_>,
    kind: &str,
    name: &Placed<String>,
    known: impl Iterator<Item = &'a String>,
) {
    let fix = did_you_mean(&name.value, known.map(String::as_str))
        .unwrap_or_else(|| format!("define [{kind}.{}], or name one that is defined", name.value));
    section.problem(&name.place, format!("there is no {kind} group `{}`", name.value), fix);
}

/// Enters a group, unless one of that name is there: then the policy says two things by one word.
fn enter<T>(
    section: &Section<'_, '_>,
    kind: &str,
    groups: &mut HashMap<String, Placed<T>>,
    name: Placed<String>,
    value: T,
) {
    if let Some(other) = groups.get(&name.value) {
        let what = format!("the {kind} group `{}` is defined already, at {}", name.value, other.place);
        section.problem(&name.place, what, "give one of them another name");
        return;
    }
    groups.insert(name.value, Placed { value, place: name.place });
}

pub(super) const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];

fn read_clients(root: &mut Section<'_, '_>, groups: &mut HashMap<String, Placed<ClientGroup>>) {
    for (name, mut section) in root.named_tables("clients") {
        let (addresses, users) = (section.strings("addresses"), section.strings("users"));
        let mode = section.word("mode", &MODES);
        let shared = section.boolean("shared").unwrap_or(false);
        if let Some(addresses) = &addresses {
            refuse_empty(&section, "addresses", addresses, "everywhere");
        }
        if let Some(users) = &users {
            refuse_empty(&section, "users", users, "everybody");
        }
        let says_nothing = addresses.is_none() && users.is_none();
        let addresses = prefixes_of(&section, addresses.unwrap_or_default());
        let users: Vec<Who> = users.unwrap_or_default().iter().map(|user| read_user(&section, user)).collect();
        if says_nothing {
            let place = section.place().clone();
            let what = format!("client group `{}` holds nobody", name.value);
            section.problem(&place, what, "give it `addresses` or `users`");
        }
        section.finish();
        let group = ClientGroup {
            name: name.value.as_str().into(),
            addresses: addresses.into(),
            users: users.into(),
            mode,
            shared,
        };
        enter(&section, "clients", groups, name, group);
    }
}

fn read_user(section: &Section<'_, '_>, text: &Placed<String>) -> Who {
    let group = text.value.strip_prefix(USER_GROUP);
    if group.unwrap_or(&text.value).is_empty() {
        section.problem(&text.place, "`users` names nobody here", "write \"tanaka\" or \"group:line-leaders\"");
    }
    match group {
        Some(group) => Who::Group(group.into()),
        None => Who::Name(text.value.as_str().into()),
    }
}

fn read_hosts(
    root: &mut Section<'_, '_>,
    groups: &mut HashMap<String, Placed<HostSet>>,
    names: &mut impl FnMut(&str) -> Result<Listed, String>,
) {
    for (name, mut section) in root.named_tables("hosts") {
        let patterns = section.strings("names").unwrap_or_default();
        let mut set = host_patterns(&section, &patterns);
        let files = section.strings("files").unwrap_or_default();
        let skips = section.word("on_bad_line", &[("refuse", false), ("skip", true)]).unwrap_or(false);
        for file in &files {
            read_list(&section, file, skips, names).into_iter().for_each(|list| set.add_list(list));
        }
        if patterns.is_empty() && files.is_empty() {
            let place = section.place().clone();
            section.problem(
                &place,
                format!("host group `{}` holds no host: a rule with it never matches", name.value),
                "give it `names` or `files`",
            );
        }
        section.finish();
        enter(&section, "hosts", groups, name, set);
    }
}

/// One of a group's lists; one that cannot be had, or has lines that are no names, is reported.
fn read_list(
    section: &Section<'_, '_>,
    file: &Placed<String>,
    skips: bool,
    names: &mut impl FnMut(&str) -> Result<Listed, String>,
) -> Option<Arc<NameSet>> {
    let listed = match names(&file.value) {
        Ok(listed) => listed,
        Err(why) => {
            let what = format!("the list `{}` cannot be used: {why}", file.value);
            let fix = match file.value.strip_prefix(FETCHED_LIST) {
                Some(name) => format!("see [lists.{name}] in the config, or name a file of host names beside this one"),
                None => "name a file of host names beside this one".to_owned(),
            };
            section.problem(&file.place, what, fix);
            return None;
        }
    };
    if !skips {
        report_bad_lines(section, file, &listed);
    }
    Some(listed.set)
}

/// Bad lines of one list that are shown one by one.
const BAD_LINES_SHOWN_MAX: usize = 10;

/// Shows the first bad lines, each where it stands, and how many there are where there are more.
fn report_bad_lines(section: &Section<'_, '_>, named: &Placed<String>, Listed { file, bad_lines, .. }: &Listed) {
    const FIX: &str = "mend the list, or write on_bad_line = \"skip\" to use the rest of it";
    for bad in bad_lines.first.iter().take(BAD_LINES_SHOWN_MAX) {
        let line = u32::try_from(bad.line).unwrap_or(u32::MAX);
        section.problem(&Place { file: file.as_str().into(), line, column: 1 }, bad.why.clone(), FIX);
    }
    if bad_lines.count > BAD_LINES_SHOWN_MAX as u64 {
        let what = format!(
            "{file} has {} lines that are no hosts; the first {BAD_LINES_SHOWN_MAX} are shown",
            bad_lines.count
        );
        section.problem(&named.place, what, FIX);
    }
}

/// The set of these patterns; each that is none is reported.
pub(super) fn host_patterns(section: &Section<'_, '_>, patterns: &[Placed<String>]) -> HostSet {
    let mut set = HostSet::default();
    for pattern in patterns {
        add_host(section, &mut set, pattern);
    }
    set
}

fn add_host(section: &Section<'_, '_>, set: &mut HostSet, pattern: &Placed<String>) {
    if let Err(why) = set.add(&pattern.value) {
        section.problem(
            &pattern.place,
            format!("`{}` is no host pattern: {why}", pattern.value),
            "write a name, `*.` and a name, or an address, without scheme, port or path",
        );
    }
}

fn read_programs(root: &mut Section<'_, '_>, groups: &mut HashMap<String, Placed<Arc<Program>>>) {
    for (name, mut section) in root.named_tables("programs") {
        let agents = section.strings_or_one("user_agent");
        let (ja4, keys) = (section.strings("ja4"), section.strings("tls_key"));
        for (key, list) in [("user_agent", &agents), ("ja4", &ja4), ("tls_key", &keys)] {
            if let Some(list) = list {
                refuse_empty(&section, key, list, "any");
            }
        }
        let says_nothing = agents.is_none() && ja4.is_none() && keys.is_none();
        let texts = |list: Option<Vec<Placed<String>>>| -> Vec<Box<str>> {
            list.unwrap_or_default().into_iter().map(|text| text.value.into()).collect()
        };
        let agents = agents.unwrap_or_default();
        let program = Program {
            name: name.value.as_str().into(),
            user_agents: agents.iter().map(|agent| Glob::new(&agent.value)).collect(),
            example: agents.first().map(|agent| agent.value.replace('*', "").into()),
            ja4: texts(ja4),
            tls_keys: texts(keys),
        };
        if says_nothing {
            let place = section.place().clone();
            let what = format!("program `{}` says nothing of itself", name.value);
            section.problem(&place, what, "give it `user_agent`, `ja4` or `tls_key`");
        }
        section.finish();
        enter(&section, "programs", groups, name, Arc::new(program));
    }
}

/// A list of addresses and prefixes; absent is `None`, and what is none of them is reported.
pub fn prefixes(section: &mut Section<'_, '_>, key: &'static str) -> Option<Vec<IpNet>> {
    section.strings(key).map(|texts| prefixes_of(section, texts))
}

pub(super) fn prefixes_of(section: &Section<'_, '_>, texts: Vec<Placed<String>>) -> Vec<IpNet> {
    let mut nets = Vec::with_capacity(texts.len());
    for text in texts {
        let net = text.value.parse::<IpNet>().or_else(|_| text.value.parse::<IpAddr>().map(IpNet::from));
        match net {
            Ok(net) if net.trunc() == net => nets.push(net),
            Ok(net) => section.problem(
                &text.place,
                format!("`{}` has bits set behind its prefix length", text.value),
                format!("write {}", net.trunc()),
            ),
            Err(_) => section.problem(
                &text.place,
                format!("`{}` is no address or prefix", text.value),
                "write it like \"10.20.0.0/16\" or \"2001:db8::/32\"",
            ),
        }
    }
    nets
}

/// A list that would match nothing, which nobody means.
pub(super) fn refuse_empty<T>(section: &Section<'_, '_>, key: &str, list: &[T], absent: &str) {
    if list.is_empty() {
        section.problem(
            section.place(),
            format!("`{key}` is empty, and nothing could match it"),
            format!("name one, or leave `{key}` out to match {absent}"),
        );
    }
}

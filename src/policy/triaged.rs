use std::fmt::{self, Write};
use std::net::Ipv6Addr;

use ipnet::IpNet;

use crate::facts::Host;
use crate::parse::Document;

use super::guard::is_global;

/// A target as a person names it: a host or an address, or `*.` and a domain for all below it, with a port or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedTarget {
    is_below: bool,
    host: Host,
    port: Option<u16>,
}

/// It is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no target; write a host, an address, or all below a domain, with a port or without: a.example, *.a.example, a.example:8443, 192.0.2.7, [2001:db8::7]:8443"
)]
pub struct BadTarget;

/// A rule that a person's word about a target proposes.
#[derive(Debug, Clone)]
pub struct MarkedRule<'a> {
    /// What is in front of the target in the rule's name.
    pub word: &'a str,
    pub target: &'a MarkedTarget,
    /// Of one client alone.
    pub client: Option<IpNet>,
    /// Whether it lets out; else it denies.
    pub allows: bool,
    /// The last day on which it holds, `YYYY-MM-DD`.
    pub until: Option<&'a str>,
    /// Who proposes it, and why.
    pub by: &'a str,
    pub comment: &'a str,
    /// What tells its name from that of another rule about the same target.
    pub at: &'a str,
}

impl MarkedTarget {
    /// Reads what a person, or a finding, names.
    ///
    /// # Errors
    /// It is none.
    pub fn read(text: &str) -> Result<Self, BadTarget> {
        let (is_below, rest) = match text.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, text),
        };
        if let Ok(address) = rest.parse::<Ipv6Addr>() {
            return if is_below { Err(BadTarget) } else { Ok(Self { is_below, host: Host::V6(address), port: None }) };
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let is_plain = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = is_plain.then(|| port.parse().ok()).flatten().filter(|port| *port != 0);
                (host, Some(port.ok_or(BadTarget)?))
            }
            Some(_) | None => (rest, None),
        };
        let host = Host::parse(host.as_bytes()).map_err(|_| BadTarget)?;
        if is_below && host.address().is_some() {
            return Err(BadTarget);
        }
        Ok(Self { is_below, host, port })
    }

    /// The same on one port; 0 is none.
    pub fn on(mut self, port: u16) -> Self {
        self.port = self.port.or(Some(port).filter(|port| *port != 0));
        self
    }

    /// Whether it is an address inside, which a rule opens by `private` alone.
    pub fn is_inside(&self) -> bool {
        self.host.address().is_some_and(|address| !is_global(address))
    }

    /// The pattern of a policy for it. What is denied below a domain is so at the domain itself too. A name without a dot
    /// would be that of a group, so it stands in one.
    fn hosts(&self, allows: bool) -> String {
        let below = format!("\"*.{}\"", self.host);
        let itself = match self.group() {
            Some(group) => quoted(&group),
            None => format!("\"{}\"", self.host),
        };
        match (self.is_below, allows) {
            (true, true) => format!("[{below}]"),
            (true, false) => format!("[{itself}, {below}]"),
            (false, _) => format!("[{itself}]"),
        }
    }

    fn group(&self) -> Option<String> {
        let name = self.host.to_string();
        (!name.contains(['.', ':'])).then(|| format!("triage {name}"))
    }
}

/// As records have it.
impl fmt::Display for MarkedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_below { "*." } else { "" })?;
        self.host.fmt(f)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// What tells the rules that one mark proposed from those of others.
#[derive(Debug, Clone, Copy)]
pub struct Proposed<'a> {
    pub word: &'a str,
    pub target: &'a MarkedTarget,
    pub of: ProposedOf<'a>,
}

/// What was marked.
#[derive(Debug, Clone, Copy)]
pub enum ProposedOf<'a> {
    /// The finding of this id, whichever client the rule is for.
    Finding(&'a str),
    /// The target, for one client or for all.
    Target(Option<IpNet>),
}

/// How the comment of a rule ends that was proposed for a finding: with this, its id, a comma and its kind.
const OF_FINDING: &str = "(finding ";

/// A policy without the rules that a mark proposed, and those rules: what [`MarkedRule::within`] wrote, whenever
/// that was. What else is in the text stays as it is, with the tables that such a rule needed.
pub fn without_marked(policy: &str, proposed: &Proposed<'_>) -> (String, Vec<String>) {
    let name = quoted(&format!("{}: {}, ", proposed.word, proposed.target));
    let name = format!("name         = {}", name.trim_end_matches('"'));
    let is_its = |of_client: Option<&str>, comment: &str| {
        let finding = comment.rsplit_once(OF_FINDING).map(|(_, finding)| finding);
        match (proposed.of, finding) {
            (ProposedOf::Finding(id), Some(finding)) => {
                finding.strip_prefix(id).is_some_and(|kind| kind.starts_with(", "))
            }
            (ProposedOf::Target(client), None) => {
                let line = |client| format!("clients      = [{}]", quoted(&format!("triage {}", plain(client))));
                of_client == client.map(line).as_deref()
            }
            (ProposedOf::Finding(_), None) | (ProposedOf::Target(_), Some(_)) => false,
        }
    };
    let (mut kept, mut taken) = (String::new(), Vec::new());
    let mut rest = policy;
    while let Some(at) = rest.find("[[rule]]\nname         = ") {
        let (before, rule) = rest.split_at(at);
        let is_line = before.is_empty() || before.ends_with('\n');
        // As it was written: without an empty line, and up to whatever begins another table.
        let end = rule
            .split_inclusive('\n')
            .scan(0, |at, line| {
                let begins = *at;
                *at += line.len();
                Some((begins, line))
            })
            .skip(1)
            .find(|(_, line)| line.trim().is_empty() || line.starts_with(['[', '#']))
            .map_or(rule.len(), |(begins, _)| begins);
        let (rule, behind) = rule.split_at(end);
        let mut lines = rule.lines().skip(1);
        let is_of_target = lines.next().is_some_and(|line| line.starts_with(&name));
        let line = |key: &str| rule.lines().find(|line| line.starts_with(key));
        kept.push_str(before);
        if is_line && is_of_target && is_its(line("clients"), line("comment").unwrap_or_default()) {
            taken.push(rule.to_owned());
            rest = behind.strip_prefix('\n').unwrap_or(behind);
        } else {
            kept.push_str(rule);
            rest = behind;
        }
    }
    kept.push_str(rest);
    (kept, taken)
}

/// Which of the tables that a rule needs are there already.
struct Has {
    calendar: bool,
    clients: bool,
    hosts: bool,
}

impl MarkedRule<'_> {
    /// The rule and the tables that it needs, as a policy of its own.
    pub fn alone(&self) -> String {
        format!("{}{}", self.tables(&Has { calendar: false, clients: false, hosts: false }), self.rule())
    }

    /// A policy with this rule in it. One that allows stands behind all others, so that it lets out nothing that another
    /// denies; one that denies stands before all others. What else is in the text stays as it is.
    pub fn within(&self, policy: &str) -> String {
        let document = Document::parse("", policy);
        let mut root = document.root();
        let hosts = self.target.group();
        let has = Has {
            calendar: root.has("calendar"),
            clients: root.table("clients").is_some_and(|clients| clients.has(&self.group())),
            hosts: root.table("hosts").is_some_and(|table| hosts.is_some_and(|hosts| table.has(&hosts))),
        };
        let tables = self.tables(&has);
        let (before, behind) = if self.allows { (policy, "") } else { policy.split_at(first_rule(policy)) };
        let mut text = before.to_owned();
        paragraph(&mut text);
        text.push_str(&self.rule());
        if !behind.is_empty() {
            text.push('\n');
            text.push_str(behind);
        }
        if !tables.is_empty() {
            paragraph(&mut text);
            text.push_str(tables.trim_end());
            text.push('\n');
        }
        text
    }

    fn group(&self) -> String {
        self.client.map_or_else(String::new, |client| format!("triage {}", plain(client)))
    }

    fn tables(&self, has: &Has) -> String {
        let mut text = String::new();
        if self.until.is_some() && !has.calendar {
            text.push_str("[calendar]\ntime_zone = \"UTC\"\n\n");
        }
        if let Some(client) = self.client.filter(|_| !has.clients) {
            let _ = writeln!(text, "[clients.{}]\naddresses = [\"{}\"]\n", quoted(&self.group()), plain(client));
        }
        let is_needed = !has.hosts && (!self.target.is_below || !self.allows);
        if let Some(group) = self.target.group().filter(|_| is_needed) {
            let _ = writeln!(text, "[hosts.{}]\nnames = [\"{}\"]\n", quoted(&group), self.target.host);
        }
        text
    }

    fn rule(&self) -> String {
        let name = format!("{}: {}, {}", self.word, self.target, self.at);
        let mut text = format!("[[rule]]\nname         = {}\n", quoted(&name));
        if self.client.is_some() {
            let _ = writeln!(text, "clients      = [{}]", quoted(&self.group()));
        }
        let _ = writeln!(text, "hosts        = {}", self.target.hosts(self.allows));
        if let Some(port) = self.target.port.filter(|port| !matches!(port, 80 | 443)) {
            let _ = writeln!(text, "ports        = [{port}]");
        }
        if let Some(until) = self.until {
            let _ = writeln!(text, "until        = {}", quoted(until));
        }
        let _ = writeln!(text, "requested_by = {}\ncomment      = {}", quoted(self.by), quoted(self.comment));
        let _ = writeln!(text, "verdict      = \"{}\"", if self.allows { "allow" } else { "deny" });
        text
    }
}

/// Where the first rule begins, with the comment that stands above it; the end where there is none.
fn first_rule(policy: &str) -> usize {
    let (mut at, mut comment) = (0, None);
    for line in policy.split_inclusive('\n') {
        let begins = line.trim_start();
        if begins.starts_with("[[rule]]") || begins.starts_with("[[ rule") {
            return comment.unwrap_or(at);
        }
        comment = if begins.starts_with('#') { comment.or(Some(at)) } else { None };
        at += line.len();
    }
    policy.len()
}

/// One empty line behind what is there.
fn paragraph(text: &mut String) {
    let end = text.trim_end().len();
    text.truncate(end);
    if end > 0 {
        text.push_str("\n\n");
    }
}

fn plain(client: IpNet) -> String {
    if client.prefix_len() == client.max_prefix_len() { client.addr().to_string() } else { client.to_string() }
}

/// A basic string of TOML. Control characters are left out.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars().filter(|character| !character.is_control()) {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;

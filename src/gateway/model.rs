use std::fmt;

use ipnet::IpNet;

/// All rules, as no firewall in particular writes them. Chains stand below those that they lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    pub chains: Vec<Chain>,
    /// Each packet that is refused goes to NFLOG, to this group; of what there always is, so many in a second.
    pub nflog_group: u16,
    /// Whether who is refused is told so.
    pub rejects: bool,
}

/// Rules in order; the first that decides ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub name: String,
    pub purpose: String,
    /// Where the kernel begins; `None` for what another chain leads to.
    pub base: Option<Base>,
    pub rules: Vec<Rule>,
}

/// Where a packet is looked at, and what becomes of it where no rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Whatever comes, before the kernel asks where it goes; left as it is.
    Arrival,
    /// To this machine; dropped.
    Input,
    /// Through it; dropped.
    Forward,
    /// From it; accepted.
    Output,
    /// To wherever, before the destination of a new connection is settled; left as it is.
    Redirect,
    /// To wherever, each packet before it is routed; left as it is.
    Tproxy,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Of small letters, digits and `-`, at most 40 bytes: what records call it.
    pub name: String,
    /// What it is for, in a sentence.
    pub purpose: String,
    pub when: When,
    pub verdict: Verdict,
}

/// What a packet must be, all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    /// It came in by one of these.
    pub by: Vec<String>,
    /// It leaves by one of these.
    pub over: Vec<String>,
    pub from: Option<Who>,
    pub to: Option<Who>,
    pub service: Option<Service>,
    pub state: Option<State>,
    pub lockdown: Option<Lockdown>,
}

/// Whether a lockdown must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockdown {
    In,
    Outside,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// One of these, at least one.
    Within(Vec<IpNet>),
    /// Who was cut off.
    Isolated,
    /// This machine itself.
    Local,
    /// Not this machine alone: all of a segment, a group, or another.
    Many,
    /// All of a segment, or a group.
    Group,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// Of both families.
    Tcp(Vec<Ports>),
    Udp(Vec<Ports>),
    /// All of them.
    AllTcp,
    AllUdp,
    AllIcmp,
    /// What says that a packet could not go on; path discovery needs it.
    IcmpErrors,
    /// What breaks a TCP connection off.
    Resets,
    /// Echo requests.
    Ping,
    /// How IPv6 finds neighbours and routers.
    Neighbours,
    /// Of that what finds an address at its cable, as ARP does in IPv4.
    Addresses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It answers a connection that was let through.
    Reply,
    /// An error about one.
    Related,
    /// Its destination was changed to this machine.
    Redirected,
    /// It was marked to stay on this machine, whatever its destination.
    Marked,
    /// It was looked at before it came.
    Known,
    /// It answers a connection that an exception let through which a lockdown closes.
    ExceptedReply,
}

/// The bit in the mark of such a connection. Other bits are left as they are.
pub const EXCEPTED_MARK: u32 = 0x1000_0000;

/// The mark of what stays on this machine, whatever its destination, and the number of the routes for it.
pub const CAPTURE_MARK: u32 = 0x5e15;

/// What is to be typed, beside the rules, for what is so marked to stay here: no rule of a firewall can say it.
pub const CAPTURE_ROUTES: [&str; 4] = [
    "ip rule add fwmark 0x5e15 lookup 24085",
    "ip route add local 0.0.0.0/0 dev lo table 24085",
    "ip -6 rule add fwmark 0x5e15 lookup 24085",
    "ip -6 route add local ::/0 dev lo table 24085",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    /// The same, and what answers it is known by [`EXCEPTED_MARK`].
    Except,
    /// Counted, under this name; the next rule decides.
    Count(String),
    Return,
    /// To this port of this machine.
    Redirect(u16),
    /// The same with its destination as it is, and marked.
    Tproxy(u16),
    Jump(String),
    Goto(String),
    /// Counted under the rule's name, logged, and refused as the config says.
    Refuse,
    /// The same, and who sent it is never told: the source is not theirs.
    Drop,
    /// The same, of what there always is. Of it so many are logged in a second and no more, or anybody could fill the
    /// records; what comes beyond is counted under the rule's name with [`BEYOND`] as well.
    Background,
    /// Counted under the rule's name and dropped, and not logged.
    Ignore,
}

/// Packets of one rule that are logged in a second.
pub(super) const BACKGROUND_A_SECOND: u32 = 5;
/// So many before that, where there were none for a time.
pub(super) const BACKGROUND_BURST: u32 = 100;
/// What the name of a counter ends with that counts what was not logged.
pub const BEYOND: &str = "-beyond";

/// The counter of what is captured.
pub(super) const CAPTURED: &str = "captured";

/// A port, or a range of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    pub first: u16,
    pub last: u16,
}

impl Ports {
    pub fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// `443` or `8000-8010`; port 0 is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let (first, last) = (number(first)?, number(last)?);
        (first > 0 && first <= last).then_some(Self { first, last })
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl Ruleset {
    /// What is logged with each packet that the rule refuses; records are read from it.
    pub fn log_prefix(&self, rule: &Rule) -> String {
        let state = match (&rule.verdict, self.rejects) {
            (Verdict::Refuse, true) => "refused",
            _ => "dropped",
        };
        format!("sekisho:{state}:{} ", rule.name)
    }

    /// The counters that the rules need, each once, in the order of the chains.
    pub fn counters(&self) -> Vec<(String, String)> {
        let mut counters: Vec<(String, String)> = Vec::new();
        for rule in self.chains.iter().flat_map(|chain| &chain.rules) {
            let name = match &rule.verdict {
                Verdict::Count(name) => name,
                Verdict::Refuse | Verdict::Drop | Verdict::Background | Verdict::Ignore => &rule.name,
                Verdict::Redirect(_) | Verdict::Tproxy(_) => CAPTURED,
                Verdict::Accept | Verdict::Except | Verdict::Return | Verdict::Jump(_) | Verdict::Goto(_) => continue,
            };
            let beyond = (rule.verdict == Verdict::Background)
                .then(|| (format!("{name}{BEYOND}"), format!("{}: what of it was not logged", rule.purpose)));
            for counter in [Some((name.to_owned(), rule.purpose.clone())), beyond].into_iter().flatten() {
                if !counters.iter().any(|(name, _)| *name == counter.0) {
                    counters.push(counter);
                }
            }
        }
        counters
    }
}

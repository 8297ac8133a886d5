//! The rules as nftables reads them: one table, put in force in one transaction, beside whatever other tables there are.

use std::fmt::Write as _;

use ipnet::IpNet;

use super::model::{
    BACKGROUND_A_SECOND, BACKGROUND_BURST, BEYOND, Base, CAPTURE_MARK, CAPTURE_ROUTES, CAPTURED, Chain, EXCEPTED_MARK,
    Lockdown, Ports, Rule, Ruleset, Service, State, Verdict, When, Who,
};

/// The table, of the family `inet`.
pub const TABLE: &str = "sekisho";
/// The set of IPv4 addresses that are cut off.
pub const ISOLATED_4: &str = "isolated";
/// The same of IPv6.
pub const ISOLATED_6: &str = "isolated6";
/// The set of versions of IP for which a lockdown holds: both, or none.
pub const LOCKDOWN: &str = "lockdown";

/// The text that `nft -f` takes. A table of this name is replaced; the sets of who is cut off are empty in it, and it
/// is in no lockdown.
pub fn nft(rules: &Ruleset) -> String {
    let mut text = String::new();
    let _ = write!(
        text,
        "# Written by `sekisho egress nft` from [network] of its config; change it there.\n\
         # The table is replaced in one transaction; other tables stay as they are.\n{}\
         table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n",
        routes(rules)
    );
    for (name, kind) in [(ISOLATED_4, "ipv4_addr"), (ISOLATED_6, "ipv6_addr")] {
        let _ = write!(text, "\t# who is cut off\n\tset {name} {{\n\t\ttype {kind}\n\t\tflags interval\n\t}}\n\n");
    }
    let _ = write!(text, "\t# ipv4 and ipv6 while a lockdown holds\n\tset {LOCKDOWN} {{\n\t\ttype nf_proto\n\t}}\n\n");
    for (name, purpose) in rules.counters() {
        let _ = write!(text, "\t# {purpose}\n\tcounter {name} {{\n\t}}\n\n");
    }
    if rules.rejects {
        text.push_str(
            "\t# how who is refused is told so\n\tchain refuse {\n\t\tmeta l4proto tcp reject with tcp reset\n\
             \t\treject with icmpx admin-prohibited\n\t}\n\n",
        );
    }
    let chains: Vec<String> = rules.chains.iter().map(|chain| chain_text(rules, chain)).collect();
    text.push_str(&chains.join("\n"));
    text.push_str("}\n");
    text
}

/// What is to be typed where the rules alone do not keep packets here: a packet with the mark is one of this machine's own.
fn routes(rules: &Ruleset) -> String {
    if !rules.chains.iter().any(|chain| chain.base == Some(Base::Tproxy)) {
        return String::new();
    }
    format!(
        "# What is captured stays here only with these routes as well, which no rule can set:\n{}",
        CAPTURE_ROUTES.map(|line| format!("#   {line}\n")).concat()
    )
}

fn chain_text(rules: &Ruleset, chain: &Chain) -> String {
    let mut text = format!("\t# {}\n\tchain {} {{\n", chain.purpose, chain.name);
    if let Some(base) = chain.base {
        let (kind, hook, priority, policy) = match base {
            Base::Arrival => ("filter", "prerouting", "raw", "accept"),
            Base::Input => ("filter", "input", "filter", "drop"),
            Base::Forward => ("filter", "forward", "filter", "drop"),
            Base::Output => ("filter", "output", "filter", "accept"),
            Base::Redirect => ("nat", "prerouting", "dstnat", "accept"),
            Base::Tproxy => ("filter", "prerouting", "mangle", "accept"),
        };
        let _ = writeln!(text, "\t\ttype {kind} hook {hook} priority {priority}; policy {policy};");
    }
    for rule in &chain.rules {
        let lines = lines(rules, rule);
        if !lines.is_empty() {
            let _ = writeln!(text, "\t\t# {}", rule.purpose);
        }
        for line in lines {
            let _ = writeln!(text, "\t\t{line}");
        }
    }
    text.push_str("\t}\n");
    text
}

/// Once where the family does not matter, else once for each; and then each match once for each thing that is done of it.
fn lines(rules: &Ruleset, rule: &Rule) -> Vec<String> {
    let of_family = |family| {
        let done = done(rules, rule, family);
        let matches = matches(&rule.when, family);
        let line = move |matches: String| {
            done.iter().map(move |done| format!("{matches}{done} comment \"{}\"", rule.name)).collect::<Vec<_>>()
        };
        matches.map(line).unwrap_or_default()
    };
    match has_family(&rule.when) || matches!(rule.verdict, Verdict::Tproxy(_)) {
        true => [Some(Version::V4), Some(Version::V6)].into_iter().flat_map(of_family).collect(),
        false => of_family(None),
    }
}

fn done(rules: &Ruleset, rule: &Rule, version: Option<Version>) -> Vec<String> {
    let logged = || {
        let (name, prefix, group) = (&rule.name, rules.log_prefix(rule), rules.nflog_group);
        format!("counter name \"{name}\" log prefix \"{prefix}\" group {group} ")
    };
    let done = match &rule.verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Except => format!("ct mark set ct mark or {EXCEPTED_MARK:#x} accept"),
        Verdict::Count(name) => format!("counter name \"{name}\""),
        Verdict::Return => "return".to_owned(),
        Verdict::Redirect(port) => format!("counter name \"{CAPTURED}\" redirect to :{port}"),
        Verdict::Tproxy(port) => {
            let family = if version == Some(Version::V6) { "ip6" } else { "ip" };
            // The connection is marked too: nothing else tells it from one that went on. One that an exception let out before
            // stays known as that, and what answers it is held back.
            let marks = format!(
                "meta mark set {CAPTURE_MARK:#x} ct mark set ct mark and {EXCEPTED_MARK:#x} or {CAPTURE_MARK:#x}"
            );
            format!("counter name \"{CAPTURED}\" {marks} tproxy {family} to :{port} accept")
        }
        Verdict::Jump(chain) => format!("jump {chain}"),
        Verdict::Goto(chain) => format!("goto {chain}"),
        Verdict::Refuse if rules.rejects => logged() + "goto refuse",
        Verdict::Ignore => format!("counter name \"{}\" drop", rule.name),
        Verdict::Background => {
            let limit = format!("limit rate {BACKGROUND_A_SECOND}/second burst {BACKGROUND_BURST} packets ");
            let beyond = format!("counter name \"{0}\" counter name \"{0}{BEYOND}\" drop", rule.name);
            return vec![limit + &logged() + "drop", beyond];
        }
        Verdict::Refuse | Verdict::Drop => logged() + "drop",
    };
    vec![done]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

fn has_family(when: &When) -> bool {
    let of = |who: &Option<Who>| matches!(who, Some(Who::Within(_) | Who::Isolated));
    let by_service = match &when.service {
        Some(Service::IcmpErrors | Service::Ping | Service::Neighbours | Service::Addresses) => true,
        Some(
            Service::Tcp(_) | Service::Udp(_) | Service::AllTcp | Service::Resets | Service::AllUdp | Service::AllIcmp,
        )
        | None => false,
    };
    of(&when.from) || of(&when.to) || by_service
}

/// What a packet of the family must be, with a space behind; `None` where none of it could be.
fn matches(when: &When, version: Option<Version>) -> Option<String> {
    let mut text = String::new();
    match when.lockdown {
        Some(Lockdown::In) => {
            let _ = write!(text, "meta nfproto @{LOCKDOWN} ");
        }
        Some(Lockdown::Outside) => {
            let _ = write!(text, "meta nfproto != @{LOCKDOWN} ");
        }
        None => {}
    }
    for (key, names) in [("iifname", &when.by), ("oifname", &when.over)] {
        if !names.is_empty() {
            let names = names.iter().map(|name| format!("\"{name}\"")).collect();
            let _ = write!(text, "{key} {} ", one_or_set(names));
        }
    }
    for (key, who) in [("saddr", &when.from), ("daddr", &when.to)] {
        if let Some(who) = who {
            text.push_str(&who_text(key, who, version)?);
        }
    }
    match when.state {
        Some(State::Reply) => text.push_str("ct state established ct direction reply "),
        Some(State::Related) => text.push_str("ct state related "),
        Some(State::Redirected) => text.push_str("ct status dnat "),
        Some(State::Marked) => {
            let _ = write!(text, "meta mark {CAPTURE_MARK:#x} ");
        }
        Some(State::Known) => text.push_str("ct state != invalid "),
        Some(State::ExceptedReply) => {
            let _ = write!(text, "ct mark and {EXCEPTED_MARK:#x} == {EXCEPTED_MARK:#x} ct direction reply ");
        }
        None => {}
    }
    if let Some(service) = &when.service {
        text.push_str(&service_text(service, version)?);
    }
    Some(text)
}

fn who_text(key: &str, who: &Who, version: Option<Version>) -> Option<String> {
    Some(match (who, version) {
        (Who::Local, _) => format!("fib {key} type local "),
        (Who::Many, _) => format!("fib {key} type != local "),
        (Who::Group, _) => format!("fib {key} type {{ broadcast, multicast }} "),
        (Who::Isolated, Some(Version::V6)) => format!("ip6 {key} @{ISOLATED_6} "),
        (Who::Isolated, Some(Version::V4) | None) => format!("ip {key} @{ISOLATED_4} "),
        (Who::Within(nets), version) => {
            let is_v6 = version == Some(Version::V6);
            let nets: Vec<String> =
                nets.iter().filter(|net| matches!(net, IpNet::V6(_)) == is_v6).map(net_text).collect();
            let family = if is_v6 { "ip6" } else { "ip" };
            (!nets.is_empty()).then(|| format!("{family} {key} {} ", one_or_set(nets)))?
        }
    })
}

fn service_text(service: &Service, version: Option<Version>) -> Option<String> {
    let list = |ports: &[Ports]| one_or_set(ports.iter().map(ToString::to_string).collect());
    let is_v6 = version == Some(Version::V6);
    Some(match service {
        Service::Tcp(ports) => format!("tcp dport {} ", list(ports)),
        Service::Udp(ports) => format!("udp dport {} ", list(ports)),
        Service::AllTcp => "meta l4proto tcp ".to_owned(),
        Service::Resets => "tcp flags & rst == rst ".to_owned(),
        Service::AllUdp => "meta l4proto udp ".to_owned(),
        Service::AllIcmp => "meta l4proto { icmp, ipv6-icmp } ".to_owned(),
        Service::IcmpErrors if is_v6 => {
            "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } ".to_owned()
        }
        Service::IcmpErrors => "icmp type { destination-unreachable, time-exceeded, parameter-problem } ".to_owned(),
        Service::Ping if is_v6 => "icmpv6 type echo-request ".to_owned(),
        Service::Ping => "icmp type echo-request ".to_owned(),
        // Neighbour and router discovery, and which multicast groups are listened to (RFC 4861, RFC 3810).
        Service::Neighbours if is_v6 => "icmpv6 type { 130-136, 143 } ".to_owned(),
        Service::Addresses if is_v6 => "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ".to_owned(),
        Service::Neighbours | Service::Addresses => return None,
    })
}

fn one_or_set(items: Vec<String>) -> String {
    match &items[..] {
        [one] => one.clone(),
        items => format!("{{ {} }}", items.join(", ")),
    }
}

fn net_text(net: &IpNet) -> String {
    match net.prefix_len() == net.max_prefix_len() {
        true => net.addr().to_string(),
        false => net.to_string(),
    }
}

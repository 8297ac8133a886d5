//! The rules as iptables-restore and ip6tables-restore read them: the whole tables `raw` and `filter`, each in one
//! transaction for each family.

use std::fmt::Write as _;

use ipnet::IpNet;

use super::model::{
    BACKGROUND_A_SECOND, BACKGROUND_BURST, Base, CAPTURE_MARK, CAPTURE_ROUTES, Chain, EXCEPTED_MARK, Lockdown, Ports,
    Rule, Ruleset, Service, State, Verdict, When, Who,
};

/// The two programs have a text each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Of which program the text is, and whether a lockdown is to hold while it is loaded.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    family: Family,
    lockdown: Lockdown,
}

/// Ports in one match of `multiport`, at most; a range counts as two.
const MULTIPORT_MAX: usize = 15;

/// The text that `iptables-restore` or `ip6tables-restore` takes. It replaces the tables `raw` and `filter`, and has no sets of who is
/// cut off. That a lockdown holds is for the whole text or for none of it: one is loaded in the place of the other.
pub fn iptables(rules: &Ruleset, family: Family, lockdown: Lockdown) -> String {
    let wanted = Wanted { family, lockdown };
    let program = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    let of_lockdown = match lockdown {
        Lockdown::Outside => "a lockdown holds by what `--lockdown` prints, loaded in the place of this.",
        Lockdown::In => "a LOCKDOWN holds by this: of the exceptions the essential ones alone.",
    };
    let mut text = format!(
        "# Written by `sekisho egress iptables` from [network] of its config; change it there.\n\
         # For {program}-restore: it replaces the whole tables `raw` and `filter`. Who is cut off by `sekisho isolate`\n\
         # is known to nftables alone; {of_lockdown}\n"
    );
    for (table, base) in [("raw", Base::Arrival), ("nat", Base::Redirect), ("mangle", Base::Tproxy)] {
        if let Some(chain) = rules.chains.iter().find(|chain| chain.base == Some(base)) {
            prerouting_text(&mut text, rules, (table, chain), wanted);
        }
    }
    text.push_str("*filter\n");
    for (base, policy) in [("INPUT", "DROP"), ("FORWARD", "DROP"), ("OUTPUT", "ACCEPT")] {
        let _ = writeln!(text, ":{base} {policy} [0:0]");
    }
    if rules.rejects {
        text.push_str(":refuse - [0:0]\n");
    }
    let is_in_filter = |chain: &&Chain| matches!(chain.base, Some(Base::Input | Base::Forward | Base::Output));
    let chains = with_led_to(rules, rules.chains.iter().filter(is_in_filter).collect(), wanted);
    let led_to = chains.iter().filter(|chain| chain.base.is_none());
    led_to.for_each(|chain| text.push_str(&format!(":{} - [0:0]\n", chain.name)));
    if rules.rejects {
        let with = match family {
            Family::V4 => "icmp-admin-prohibited",
            Family::V6 => "icmp6-adm-prohibited",
        };
        let _ = write!(
            text,
            "# how who is refused is told so\n-A refuse -p tcp -j REJECT --reject-with tcp-reset\n\
             -A refuse -j REJECT --reject-with {with}\n"
        );
    }
    chains.into_iter().for_each(|chain| chain_text(&mut text, rules, chain, wanted));
    text.push_str("COMMIT\n");
    text
}

/// A table whose only base is one chain.
fn prerouting_text(text: &mut String, rules: &Ruleset, (table, chain): (&str, &Chain), wanted: Wanted) {
    if table != "raw" {
        let _ =
            writeln!(text, "# It replaces the whole table `{table}` too: put behind this what else is to stand there.");
    }
    if chain.base == Some(Base::Tproxy) {
        text.push_str("# What is captured stays here only with these routes as well:\n");
        CAPTURE_ROUTES.iter().for_each(|line| text.push_str(&format!("#   {line}\n")));
    }
    let chains = with_led_to(rules, vec![chain], wanted);
    let _ = write!(text, "*{table}\n:PREROUTING ACCEPT [0:0]\n");
    let led_to = chains.iter().filter(|chain| chain.base.is_none());
    led_to.for_each(|chain| text.push_str(&format!(":{} - [0:0]\n", chain.name)));
    chains.into_iter().for_each(|chain| chain_text(text, rules, chain, wanted));
    text.push_str("COMMIT\n");
}

/// These and all that they lead to, in the order of the rules: chains are of one table each.
fn with_led_to<'r>(rules: &'r Ruleset, mut chains: Vec<&'r Chain>, wanted: Wanted) -> Vec<&'r Chain> {
    let mut next = 0;
    while let Some(chain) = chains.get(next) {
        for rule in &chain.rules {
            let (Verdict::Jump(to) | Verdict::Goto(to)) = &rule.verdict else { continue };
            let is_new = !chains.iter().any(|chain| chain.name == *to) && !lines(rules, rule, wanted).is_empty();
            chains.extend(rules.chains.iter().filter(|chain| is_new && chain.name == *to));
        }
        next += 1;
    }
    rules.chains.iter().filter(|chain| chains.iter().any(|led_to| led_to.name == chain.name)).collect()
}

fn chain_text(text: &mut String, rules: &Ruleset, chain: &Chain, wanted: Wanted) {
    let name = match chain.base {
        Some(Base::Input) => "INPUT",
        Some(Base::Forward) => "FORWARD",
        Some(Base::Output) => "OUTPUT",
        Some(Base::Arrival | Base::Redirect | Base::Tproxy) => "PREROUTING",
        None => &chain.name,
    };
    let _ = writeln!(text, "# {}", chain.purpose);
    for rule in &chain.rules {
        let lines = lines(rules, rule, wanted);
        if !lines.is_empty() {
            let _ = writeln!(text, "#   {}", rule.purpose);
        }
        for line in lines {
            let _ = writeln!(text, "-A {name} {line}");
        }
    }
}

/// Each match once for each thing that is done of it.
fn lines(rules: &Ruleset, rule: &Rule, wanted: Wanted) -> Vec<String> {
    let log = format!("-j NFLOG --nflog-group {} --nflog-prefix \"{}\"", rules.nflog_group, rules.log_prefix(rule));
    let done = match &rule.verdict {
        Verdict::Accept => vec!["-j ACCEPT".to_owned()],
        Verdict::Except => {
            vec![format!("-j CONNMARK --set-xmark {EXCEPTED_MARK:#x}/{EXCEPTED_MARK:#x}"), "-j ACCEPT".to_owned()]
        }
        // A rule without a target counts what it matches.
        Verdict::Count(_) => vec![String::new()],
        Verdict::Return => vec!["-j RETURN".to_owned()],
        Verdict::Redirect(port) => vec![format!("-j REDIRECT --to-ports {port}")],
        Verdict::Tproxy(port) => vec![
            // The connection is marked too: nothing else tells it from one that went on.
            format!("-j CONNMARK --set-xmark {CAPTURE_MARK:#x}/{:#x}", !EXCEPTED_MARK),
            format!("-j TPROXY --on-port {port} --tproxy-mark {CAPTURE_MARK:#x}"),
        ],
        Verdict::Jump(chain) => vec![format!("-j {chain}")],
        Verdict::Goto(chain) => vec![format!("-g {chain}")],
        Verdict::Refuse if rules.rejects => vec![log, "-g refuse".to_owned()],
        Verdict::Ignore => vec!["-j DROP".to_owned()],
        Verdict::Background => {
            let limit = format!("-m limit --limit {BACKGROUND_A_SECOND}/second --limit-burst {BACKGROUND_BURST} ");
            vec![limit + &log, "-j DROP".to_owned()]
        }
        Verdict::Refuse | Verdict::Drop => vec![log, "-j DROP".to_owned()],
    };
    let mut lines = Vec::new();
    for matched in matches(&rule.when, wanted) {
        for done in &done {
            let line = format!("{matched}-m comment --comment \"{}\" {done}", rule.name);
            lines.push(line.trim_end().to_owned());
        }
    }
    lines
}

/// One for each interface and kind of packet; none where no packet of the family could be meant.
fn matches(when: &When, Wanted { family, lockdown }: Wanted) -> Vec<String> {
    if when.lockdown.is_some_and(|holds| holds != lockdown) {
        return Vec::new();
    }
    let Some(ends) = ends(when, family) else { return Vec::new() };
    let mark;
    let state = match when.state {
        Some(State::Reply) => "-m conntrack --ctstate ESTABLISHED --ctdir REPLY ",
        Some(State::Related) => "-m conntrack --ctstate RELATED ",
        Some(State::Redirected) => "-m conntrack --ctstate DNAT ",
        Some(State::Marked) => {
            mark = format!("-m mark --mark {CAPTURE_MARK:#x} ");
            &mark
        }
        Some(State::ExceptedReply) => {
            mark = format!("-m connmark --mark {EXCEPTED_MARK:#x}/{EXCEPTED_MARK:#x} -m conntrack --ctdir REPLY ");
            &mark
        }
        Some(State::Known) => "-m conntrack ! --ctstate INVALID ",
        None => "",
    };
    let mut lines = Vec::new();
    for by in interfaces("-i", &when.by) {
        for over in interfaces("-o", &when.over) {
            for service in services(when.service.as_ref(), family) {
                lines.push(format!("{by}{over}{ends}{state}{service}"));
            }
        }
    }
    lines
}

fn interfaces(flag: &str, names: &[String]) -> Vec<String> {
    match names {
        [] => vec![String::new()],
        names => names.iter().map(|name| format!("{flag} {name} ")).collect(),
    }
}

fn ends(when: &When, family: Family) -> Option<String> {
    let mut text = String::new();
    for (flag, kind, who) in [("-s", "--src-type", &when.from), ("-d", "--dst-type", &when.to)] {
        match who {
            None => {}
            Some(Who::Isolated) => return None,
            Some(Who::Local) => {
                let _ = write!(text, "-m addrtype {kind} LOCAL ");
            }
            Some(Who::Many) => {
                let _ = write!(text, "-m addrtype ! {kind} LOCAL ");
            }
            Some(Who::Group) => {
                // What goes to all of a segment is a group's in IPv6.
                let kinds = if family == Family::V6 { "MULTICAST" } else { "BROADCAST,MULTICAST" };
                let _ = write!(text, "-m addrtype {kind} {kinds} ");
            }
            Some(Who::Within(nets)) => {
                let is_v6 = family == Family::V6;
                let nets = nets.iter().filter(|net| matches!(net, IpNet::V6(_)) == is_v6);
                let nets: Vec<String> = nets.map(ToString::to_string).collect();
                if nets.is_empty() {
                    return None;
                }
                let _ = write!(text, "{flag} {} ", nets.join(","));
            }
        }
    }
    Some(text)
}

fn services(service: Option<&Service>, family: Family) -> Vec<String> {
    let types = |v4: &[u8], v6: &[u8]| -> Vec<String> {
        match family {
            Family::V4 => v4.iter().map(|kind| format!("-p icmp --icmp-type {kind} ")).collect(),
            Family::V6 => v6.iter().map(|kind| format!("-p ipv6-icmp --icmpv6-type {kind} ")).collect(),
        }
    };
    match service {
        None => vec![String::new()],
        Some(Service::Tcp(ports)) => multiport("tcp", ports),
        Some(Service::Udp(ports)) => multiport("udp", ports),
        Some(Service::AllTcp) => vec!["-p tcp ".to_owned()],
        Some(Service::Resets) => vec!["-p tcp --tcp-flags RST RST ".to_owned()],
        Some(Service::AllUdp) => vec!["-p udp ".to_owned()],
        Some(Service::AllIcmp) => match family {
            Family::V4 => vec!["-p icmp ".to_owned()],
            Family::V6 => vec!["-p ipv6-icmp ".to_owned()],
        },
        Some(Service::IcmpErrors) => types(&[3, 11, 12], &[1, 2, 3, 4]),
        Some(Service::Ping) => types(&[8], &[128]),
        Some(Service::Addresses) => types(&[], &[135, 136]),
        Some(Service::Neighbours) => types(&[], &[130, 131, 132, 133, 134, 135, 136, 143]),
    }
}

fn multiport(protocol: &str, ports: &[Ports]) -> Vec<String> {
    let mut lines: Vec<(String, usize)> = Vec::new();
    for range in ports {
        let (text, size) = match range.first == range.last {
            true => (range.first.to_string(), 1),
            false => (format!("{}:{}", range.first, range.last), 2),
        };
        match lines.last_mut().filter(|(_, taken)| taken + size <= MULTIPORT_MAX) {
            Some((line, taken)) => {
                let _ = write!(line, ",{text}");
                *taken += size;
            }
            None => lines.push((text, size)),
        }
    }
    lines.into_iter().map(|(list, _)| format!("-p {protocol} -m multiport --dports {list} ")).collect()
}

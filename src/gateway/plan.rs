//! From what a network is to the rules that leave the gate as its only way out.
//!
//! Who opens a connection is judged by each packet; what answers one that was let through passes. So a connection that was
//! open before the rules cannot go on where they would not have let it begin.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::civil::Date;

use crate::evidence::{DISCOVERY_RULE, OUTSIDE_RULE, TRIPWIRE_RULE};

use super::model::{Base, Chain, Lockdown, Ports, Rule, Ruleset, Service, State, Verdict, When, Who};
use super::network::{CaptureBy, Captured, Exception, Network, Place, Protocol, Refusal, Role, Segment};

/// The rules for a day.
#[derive(Debug, Clone)]
pub struct Plan {
    pub rules: Ruleset,
    /// Exceptions that have ended, and have dropped out.
    pub ended: Vec<Exception>,
}

/// The rules that a network asks for on a day.
pub fn plan(network: &Network, today: Date) -> Plan {
    let (holding, ended): (Vec<_>, Vec<_>) =
        network.exceptions.iter().cloned().partition(|exception| exception.until >= today);
    let planner = Planner { network, exceptions: &holding };
    let mut chains: Vec<Chain> = planner.captured().into_iter().collect();
    chains.extend([
        planner.outside_sources(),
        planner.sources(),
        planner.arrival(),
        planner.counting(),
        planner.exceptions(),
        planner.peers(),
        no_way_out(),
        closed(),
        planner.gate_out(),
    ]);
    chains.extend(network.segments.iter().map(|segment| planner.of_segment(segment)));
    chains.extend([planner.forward(), planner.input(), planner.output()]);
    let rules = Ruleset { chains, nflog_group: network.nflog_group, rejects: network.refusal == Refusal::Reject };
    Plan { rules, ended }
}

struct Planner<'n> {
    network: &'n Network,
    exceptions: &'n [Exception],
}

const SOURCES: &str = "whether the source is one that belongs here";
const OWN_COPY: &str = "what this machine sends to all of a segment or to a group comes back to it as well";
const COUNTING: &str = "how much each segment sends and gets";
const ALL: [Role; 5] = [Role::Clients, Role::Servers, Role::Management, Role::Critical, Role::Gateway];

impl Planner<'_> {
    fn forward(&self) -> Chain {
        let mut rules = isolated(true);
        // Those that `arrival` has left to the chain `input`.
        rules.push(goto("sources", SOURCES, service(Service::Neighbours), Leads::Jump));
        rules.push(goto("counting", COUNTING, When::default(), Leads::Jump));
        rules.extend(self.locked_replies());
        rules.push(accept("forward-replies", "what answers a connection that was let through", reply()));
        rules.push(accept("forward-errors", "errors about such a connection: path discovery", related()));
        rules.push(goto("exceptions", "what is named as an exception", When::default(), Leads::Jump));
        rules.push(goto("gate-out", "the gate, where it is a machine of its own", from(self.gate()), Leads::Goto));
        rules.extend(self.network.segments.iter().map(|segment| {
            let purpose = format!("from the segment {} ({})", segment.name, segment.role.as_str());
            goto(&from_name(segment), &purpose, from(segment.addresses.clone()), Leads::Goto)
        }));
        rules.push(background(OUTSIDE_RULE, "nobody outside begins a connection to the inside", When::default()));
        chain("forward", "through this machine: what nothing lets through is dropped", Some(Base::Forward), rules)
    }

    fn input(&self) -> Chain {
        // Before who is cut off: of IPv4 no rule touches how neighbours are found, and who is not found is told of no refusal.
        let mut rules = vec![
            accept("loopback", "this machine with itself", loopback()),
            accept("neighbours", "how IPv6 finds an address at its cable", service(Service::Addresses)),
        ];
        rules.extend(isolated(false));
        rules.push(accept("neighbours", "how IPv6 finds neighbours and routers", service(Service::Neighbours)));
        rules.push(accept("own-copy", OWN_COPY, own_copy()));
        rules.push(goto("counting", COUNTING, When::default(), Leads::Jump));
        rules.push(accept("input-replies", "what answers this machine", reply()));
        rules.push(accept("input-errors", "errors about its connections: path discovery", related()));
        rules.extend(self.exception_rules(true));
        let outside = When { by: self.network.outside.clone(), ..When::default() };
        let leases = When { service: Some(udp(&[68, 546])), ..outside.clone() };
        rules.push(accept("outside-lease", "this machine's own address from its provider", leases));
        rules.push(background(OUTSIDE_RULE, "nobody outside begins a connection to this machine", outside));
        rules.extend(self.to_gate("gate", "clients, servers and others reach the gate", self.gate_users()));
        rules.extend(self.network.capture.as_ref().map(|captured| self.captured_here(captured)));
        rules.push(accept("leases", "machines ask here for an address", service(udp(&[67, 547]))));
        let asking = self.network.prefixes_of(&[Role::Clients, Role::Servers, Role::Management, Role::Gateway]);
        rules.extend(self.helpers(from(asking.clone())));
        rules.push(accept(
            "ping",
            "machines see whether the gateway is there",
            When { service: Some(Service::Ping), ..from(asking) },
        ));
        let managing = self.network.prefixes_of(&[Role::Management]);
        rules.push(accept(
            "management-ssh",
            "administrators reach this machine",
            When { service: Some(tcp(&[22])), ..from(managing) },
        ));
        rules.extend(self.tripwires());
        // What asks this machine by its own address looks at it, and is refused like the rest.
        let discovery = When { to: Some(Who::Many), service: Some(udp(DISCOVERY_UDP)), ..When::default() };
        rules.push(background(DISCOVERY_RULE, "name and service discovery that goes to all of a segment", discovery));
        let critical = from(self.network.prefixes_of(&[Role::Critical]));
        rules.push(goto("closed", "a critical segment reaches nothing else here", critical, Leads::Goto));
        rules.push(refuse("to-gateway", "nothing else reaches this machine", When::default()));
        chain("input", "to this machine: the gate's ports, and little else", Some(Base::Input), rules)
    }

    fn output(&self) -> Chain {
        let to_isolated = When { to: Some(Who::Isolated), ..When::default() };
        let told = |service| When { service: Some(service), ..to_isolated.clone() };
        let mut rules = vec![
            accept("neighbours", "how IPv6 finds who was cut off, and is found by them", told(Service::Addresses)),
            accept("isolated-told", "who was cut off is told of each refusal", told(Service::Resets)),
            accept("isolated-told", "who was cut off is told of each refusal", told(Service::IcmpErrors)),
            refuse("isolated", "and hears nothing more", to_isolated),
        ];
        if let Some(locked) = self.locked_replies() {
            // The refusal of a packet counts as an answer to it.
            let told = |service| When { service: Some(service), ..locked.when.clone() };
            let purpose = "who sends in a lockdown is told of each refusal";
            rules.push(accept("lockdown-told", purpose, told(Service::Resets)));
            rules.push(accept("lockdown-told", purpose, told(Service::IcmpErrors)));
            rules.push(locked);
        }
        rules.extend(self.network.segments.iter().map(|segment| {
            let purpose = format!("to {}, all", segment.name);
            count(&format!("segment-{}-in", segment.name), &purpose, to(segment.addresses.clone()))
        }));
        chain("output", "from this machine: the gate dials out", Some(Base::Output), rules)
    }

    /// What is on its way outside, past the gate, and comes to it all the same. Whose its source is, and who is cut off, the chain
    /// `input` judges.
    fn captured(&self) -> Option<Chain> {
        let Captured { by, port, ports } = self.network.capture.as_ref()?;
        let stays = |name: &str, purpose: &str, when: When| rule(name, purpose, when, Verdict::Return);
        let here = When { to: Some(Who::Local), ..When::default() };
        let mut rules = vec![
            stays("to-gateway", "what is for this machine", here),
            stays("inside", "what stays inside", to(self.network.prefixes_of(&ALL))),
            stays("gate-out", "what the gate dials, where it is a machine of its own", from(self.gate())),
        ];
        let excepted = self.exception_rules(false).into_iter().chain(self.helpers(When::default()));
        for excepted in excepted.filter(|rule| may_be_tcp(&rule.when) && rule.when.by.is_empty()) {
            // Where it leaves is not known yet; and what is not for the inside leaves.
            // What a lockdown closes comes to the gate then, which lets nothing out that is not essential.
            let when = When { over: Vec::new(), ..excepted.when };
            rules.push(rule(&excepted.name, &excepted.purpose, when, Verdict::Return));
        }
        let (base, verdict) = match by {
            CaptureBy::Redirect => (Base::Redirect, Verdict::Redirect(*port)),
            CaptureBy::Tproxy => (Base::Tproxy, Verdict::Tproxy(*port)),
        };
        let when = When { service: Some(Service::Tcp(ports.clone())), ..self.gate_users() };
        rules.push(rule("captured", "what goes past the gate comes to it all the same", when, verdict));
        Some(chain("capture", "what is on its way outside past the gate, by TCP", Some(base), rules))
    }

    /// That it reaches the gate.
    fn captured_here(&self, Captured { by, port, ports }: &Captured) -> Rule {
        let (ports, state) = match by {
            CaptureBy::Redirect => (vec![Ports::one(*port)], State::Redirected),
            CaptureBy::Tproxy => (ports.clone(), State::Marked),
        };
        let when = When { service: Some(Service::Tcp(ports)), state: Some(state), ..self.gate_users() };
        accept("captured", "what was captured on its way outside", when)
    }

    /// Where the kernel routes, it drops by itself, and tells nobody: of IPv4 what bears an address of this machine, and with
    /// `rp_filter` what comes by another way than its answer would go. So this comes first.
    fn arrival(&self) -> Chain {
        let rules = vec![
            rule("loopback", "this machine with itself", loopback(), Verdict::Return),
            rule("own-copy", OWN_COPY, When { state: Some(State::Known), ..own_copy() }, Verdict::Return),
            rule("neighbours", "how IPv6 finds neighbours and routers", service(Service::Neighbours), Verdict::Return),
            goto("sources", SOURCES, When::default(), Leads::Jump),
        ];
        chain("arrival", "whatever comes, before the kernel looks where it goes", Some(Base::Arrival), rules)
    }

    fn sources(&self) -> Chain {
        let any_v4 = IpNet::from(Ipv4Net::from(Ipv4Addr::UNSPECIFIED));
        let any_v6 = IpNet::from(Ipv6Net::from(Ipv6Addr::UNSPECIFIED));
        let link_local = IpNet::new(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10).ok();
        let asking = When { service: Some(udp(&[67])), ..from(vec![any_v4]) };
        let on_link = [Some(any_v6), link_local].into_iter().flatten().collect();
        let outside = When { by: self.network.outside.clone(), ..When::default() };
        let mut rules = vec![
            drop(
                "forged-source",
                "an address of this machine comes from elsewhere",
                When { from: Some(Who::Local), ..When::default() },
            ),
            goto("outside-sources", "from outside", outside, Leads::Goto),
            rule("no-address-yet", "who has no address yet asks for one", asking, Verdict::Return),
            rule("on-link", "addresses of the link, which go no further", from(on_link), Verdict::Return),
        ];
        let mut interfaces: Vec<&String> =
            self.network.segments.iter().filter_map(|segment| segment.interface.as_ref()).collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        for interface in interfaces {
            let behind = self.network.segments.iter().filter(|segment| segment.interface.as_ref() == Some(interface));
            let nets = behind.flat_map(|segment| segment.addresses.iter().copied()).collect();
            let by = When { by: vec![interface.clone()], ..When::default() };
            let purpose = format!("the addresses behind {interface}");
            rules.push(rule("own-source", &purpose, When { by: by.by.clone(), ..from(nets) }, Verdict::Return));
            rules.push(drop("forged-source", &format!("no other address comes by {interface}"), by));
        }
        let anywhere = self.network.segments.iter().filter(|segment| segment.interface.is_none());
        let nets: Vec<IpNet> = anywhere.flat_map(|segment| segment.addresses.iter().copied()).collect();
        rules.push(rule("own-source", "segments with no interface of their own", from(nets), Verdict::Return));
        let stray = |net: &IpNet| self.network.segment_of(net.addr()).is_none();
        let gate = self.gate().into_iter().filter(stray).collect();
        rules.push(rule("own-source", "the gate, where no segment holds it", from(gate), Verdict::Return));
        rules.push(drop("forged-source", "an address of no segment", When::default()));
        chain(
            "sources",
            "whether the source is one that belongs here; the answer to a forged one would hit its owner",
            None,
            rules,
        )
    }

    fn outside_sources(&self) -> Chain {
        let inside = from(self.network.prefixes_of(&ALL));
        let rules = vec![drop("forged-source", "an address of the inside comes from outside", inside)];
        chain("outside-sources", "from outside come strangers alone", None, rules)
    }

    fn counting(&self) -> Chain {
        let rules = self.network.segments.iter().flat_map(|segment| {
            let name = |direction| format!("segment-{}-{direction}", segment.name);
            [
                count(&name("out"), &format!("from {}, all", segment.name), from(segment.addresses.clone())),
                count(&name("in"), &format!("to {}, all", segment.name), to(segment.addresses.clone())),
            ]
        });
        chain("counting", "what each segment sends and gets, refused or not", None, rules.collect())
    }

    fn exceptions(&self) -> Chain {
        let purpose = "what is let through for a time, each with its reason and its last day";
        chain("exceptions", purpose, None, self.exception_rules(false))
    }

    /// What leads to this machine is named by address: a segment means the machines in it. What is essential comes first: what
    /// it lets through bears no mark of another.
    fn exception_rules(&self, here: bool) -> Vec<Rule> {
        let mut rules = Vec::new();
        let numbered = || (1..).zip(self.exceptions);
        let essential = numbered().filter(|(_, exception)| exception.essential);
        for (number, exception) in essential.chain(numbered().filter(|(_, exception)| !exception.essential)) {
            let Exception { from, to, protocol, ports, reason, until, essential, .. } = exception;
            let by_address = to.iter().filter(|place| !here || matches!(place, Place::Prefix(_)));
            let to: Vec<Place> = by_address.cloned().collect();
            let service = match protocol {
                Protocol::Tcp if ports.is_empty() => Some(Service::AllTcp),
                Protocol::Tcp => Some(Service::Tcp(ports.clone())),
                Protocol::Udp if ports.is_empty() => Some(Service::AllUdp),
                Protocol::Udp => Some(Service::Udp(ports.clone())),
                Protocol::Icmp => Some(Service::AllIcmp),
                Protocol::Any => None,
            };
            let (also, lockdown, verdict) = match essential {
                true => (", in a lockdown too", None, Verdict::Accept),
                false => ("", Some(Lockdown::Outside), Verdict::Except),
            };
            let purpose = format!("until {until}{also}: {reason}");
            for comes in self.ends(from) {
                for goes in self.ends(&to) {
                    let mut when = When { service: service.clone(), lockdown, ..When::default() };
                    match comes.clone() {
                        End::Nets(nets) => when.from = Some(Who::Within(nets)),
                        End::Outside => when.by = self.network.outside.clone(),
                    }
                    match goes {
                        End::Nets(nets) => when.to = Some(Who::Within(nets)),
                        End::Outside => when.over = self.network.outside.clone(),
                    }
                    rules.push(rule(&format!("exception-{number}"), &purpose, when, verdict.clone()));
                }
            }
        }
        rules
    }

    /// A lockdown judges each packet of who opened a connection, and these are the others'.
    fn locked_replies(&self) -> Option<Rule> {
        let when = When { state: Some(State::ExceptedReply), lockdown: Some(Lockdown::In), ..When::default() };
        let purpose = "in a lockdown nothing answers what only an exception has let through";
        self.exceptions.iter().any(|exception| !exception.essential).then(|| ignore("lockdown", purpose, when))
    }

    fn ends(&self, places: &[Place]) -> Vec<End> {
        let mut nets = Vec::new();
        for place in places {
            match place {
                Place::Prefix(net) => nets.push(*net),
                Place::Segment(name) => {
                    let named = self.network.segments.iter().filter(|segment| segment.name == *name);
                    nets.extend(named.flat_map(|segment| segment.addresses.iter().copied()));
                }
                Place::Outside => {}
            }
        }
        let mut ends: Vec<End> = (!nets.is_empty()).then_some(End::Nets(nets)).into_iter().collect();
        ends.extend(places.contains(&Place::Outside).then_some(End::Outside));
        ends
    }

    /// What one client may want of another. The last rule takes what has no name.
    fn peers(&self) -> Chain {
        let all = |name: &str, purpose: &str, service: Service| {
            refuse(name, purpose, When { service: Some(service), ..When::default() })
        };
        let rules = vec![
            all("peer-smb", "file shares between clients", tcp(&[139, 445])),
            all("peer-smb", "file shares between clients", udp(&[445])),
            all("peer-rpc", "remote procedure calls between clients", tcp(&[135, 593])),
            all("peer-rpc", "remote procedure calls between clients", udp(&[135])),
            all(
                "peer-remote",
                "remote administration between clients: SSH, Telnet, RDP, VNC, WinRM",
                Service::Tcp(remote()),
            ),
            all("peer-remote", "remote administration between clients: RDP over UDP", udp(&[3389])),
            all("peer-discovery", "discovery between clients: NetBIOS, SSDP, WSD, mDNS, LLMNR", udp(DISCOVERY_UDP)),
            all("peer-discovery", "discovery between clients: WSD, mDNS, LLMNR", tcp(&[5353, 5355, 5357, 5358])),
            refuse("peer-other", "anything else between clients", When::default()),
        ];
        chain("peers", "from client to client: nothing, and each kind by its name", None, rules)
    }

    fn gate_out(&self) -> Chain {
        let protected = self.network.prefixes_of(&[Role::Clients, Role::Management, Role::Critical]);
        let mut rules = vec![refuse("gate-inside", "of the inside the gate reaches servers alone", to(protected))];
        rules.push(accept("gate-dials", "what its policy allows", service(Service::AllTcp)));
        rules.push(accept("gate-dns", "the gate looks names up", service(udp(&[53]))));
        rules.push(accept("gate-time", "the gate keeps its clock right", service(udp(&[123]))));
        rules.push(refuse("gate-other", "the gate needs nothing else", When::default()));
        chain("gate-out", "the gate: it alone reaches outside", None, rules)
    }

    /// In the order: what its role lets it reach, the rest of the inside by name, then outside.
    fn of_segment(&self, segment: &Segment) -> Chain {
        let mut rules = Vec::new();
        if segment.role != Role::Critical || segment.through_gate {
            rules.extend(self.to_gate(&format!("{}-gate", segment.name), "it reaches the gate", When::default()));
        }
        let open: &[Role] = match segment.role {
            Role::Critical => {
                rules.push(goto("closed", "it has no other way", When::default(), Leads::Goto));
                &[]
            }
            Role::Clients | Role::Servers => &[Role::Servers],
            Role::Management => &[Role::Clients, Role::Servers, Role::Management, Role::Critical, Role::Gateway],
            Role::Gateway => &[],
        };
        if segment.role != Role::Critical {
            rules.extend(self.helpers(When::default()));
            let reached = to(self.network.prefixes_of(open));
            let words: Vec<&str> = open.iter().map(|role| role.as_str()).collect();
            let purpose = format!("it reaches {}", words.join(", "));
            rules.push(accept(&format!("{}-inside", segment.name), &purpose, reached));
            rules.extend(self.not_reached(segment, open));
            rules.push(goto("no-way-out", "everything else is outside", When::default(), Leads::Goto));
        }
        let purpose = format!("from the segment {} ({})", segment.name, segment.role.as_str());
        chain(&from_name(segment), &purpose, None, rules)
    }

    /// What of the inside a segment does not reach.
    fn not_reached(&self, segment: &Segment, open: &[Role]) -> Vec<Rule> {
        let mut rules = Vec::new();
        for role in ALL.into_iter().filter(|role| !open.contains(role)) {
            let reached = to(self.network.prefixes_of(&[role]));
            rules.push(match (segment.role, role) {
                (Role::Clients, Role::Clients) => goto("peers", "clients do not reach clients", reached, Leads::Goto),
                _ => refuse(
                    &format!("to-{}", role.as_str()),
                    &format!("what is for {} is not reached", role.as_str()),
                    reached,
                ),
            });
        }
        rules
    }

    fn to_gate(&self, name: &str, purpose: &str, when: When) -> Vec<Rule> {
        let gate = Some(Who::Within(self.gate()));
        let when = When { to: gate, service: Some(Service::Tcp(self.network.gate_ports.clone())), ..when };
        vec![accept(name, purpose, when)]
    }

    /// Names and time, of those who are named for it.
    fn helpers(&self, when: When) -> Vec<Rule> {
        let of = |addresses: &[IpAddr]| Some(Who::Within(addresses.iter().copied().map(IpNet::from).collect()));
        let (resolvers, clocks) = (of(&self.network.resolvers), of(&self.network.time_servers));
        let rule = |name, purpose, to: &Option<Who>, service| {
            accept(name, purpose, When { to: to.clone(), service: Some(service), ..when.clone() })
        };
        vec![
            rule("resolvers", "names are asked of these alone", &resolvers, udp(&[53])),
            rule("resolvers", "names are asked of these alone", &resolvers, tcp(&[53, 853])),
            rule("time", "time is asked of these alone", &clocks, udp(&[123])),
        ]
    }

    /// Ports that nothing uses, at whichever address of this machine; what goes to all of a segment touches none.
    fn tripwires(&self) -> Vec<Rule> {
        let ports = &self.network.tripwires;
        if ports.is_empty() {
            return Vec::new();
        }
        let services = [Service::Tcp(ports.clone()), Service::Udp(ports.clone())];
        let here = |service| When { to: Some(Who::Local), service: Some(service), ..When::default() };
        let purpose = "a port that nothing uses: who touches it looks around";
        services.map(|service| refuse(TRIPWIRE_RULE, purpose, here(service))).into()
    }

    /// Who reaches the gate on this machine.
    fn gate_users(&self) -> When {
        let users =
            self.network.segments.iter().filter(|segment| segment.role != Role::Critical || segment.through_gate);
        from(users.flat_map(|segment| segment.addresses.iter().copied()).collect())
    }

    fn gate(&self) -> Vec<IpNet> {
        self.network.gate.iter().copied().map(IpNet::from).collect()
    }
}

#[derive(Debug, Clone)]
enum End {
    Nets(Vec<IpNet>),
    Outside,
}

fn may_be_tcp(when: &When) -> bool {
    matches!(when.service, None | Some(Service::Tcp(_) | Service::AllTcp))
}

const DISCOVERY_UDP: &[u16] = &[137, 138, 1900, 3702, 5353, 5355];

/// SSH, Telnet, RDP, VNC with its browser port, WinRM.
fn remote() -> Vec<Ports> {
    let range = |first, last| Ports { first, last };
    vec![range(22, 23), range(3389, 3389), range(5800, 5803), range(5900, 5903), range(5985, 5986)]
}

fn no_way_out() -> Chain {
    let rule = |name: &str, purpose: &str, service: Service| {
        refuse(name, purpose, When { service: Some(service), ..When::default() })
    };
    let rules = vec![
        rule("out-dns", "names asked of strangers", udp(&[53, 853])),
        rule("out-dns", "names asked of strangers", tcp(&[53, 853])),
        rule("out-quic", "QUIC, by which browsers go past a proxy", udp(&[443])),
        rule("out-tcp", "any TCP that does not go by the gate", Service::AllTcp),
        rule("out-udp", "any UDP", Service::AllUdp),
        rule("out-icmp", "ICMP that opens something: echo and the like", Service::AllIcmp),
        refuse("out-other", "any other protocol: tunnels, IPsec, SCTP", When::default()),
    ];
    chain("no-way-out", "nothing but the gate reaches outside; each kind by its name", None, rules)
}

fn closed() -> Chain {
    let rule = |name: &str, purpose: &str, service: Service| {
        refuse(name, purpose, When { service: Some(service), ..When::default() })
    };
    let rules = vec![
        rule("critical-tcp", "a critical segment opens no TCP", Service::AllTcp),
        rule("critical-udp", "a critical segment sends no UDP, names and time included", Service::AllUdp),
        rule("critical-icmp", "a critical segment sends no ICMP", Service::AllIcmp),
        refuse("critical-other", "a critical segment sends nothing else", When::default()),
    ];
    chain("closed", "a critical segment has no way out, nor to other segments", None, rules)
}

fn isolated(both: bool) -> Vec<Rule> {
    let from = When { from: Some(Who::Isolated), ..When::default() };
    let to = When { to: Some(Who::Isolated), ..When::default() };
    let mut rules = vec![refuse("isolated", "who was cut off reaches nothing more, open connections included", from)];
    if both {
        rules.push(refuse("isolated", "nor does anything reach them", to));
    }
    rules
}

fn loopback() -> When {
    When { by: vec!["lo".to_owned()], ..When::default() }
}

/// A copy that the kernel makes comes by the interface that the packet left by; of what came by a cable no connection is known
/// that early.
fn own_copy() -> When {
    When { from: Some(Who::Local), to: Some(Who::Group), ..When::default() }
}

fn from_name(segment: &Segment) -> String {
    format!("from-{}", segment.name)
}

fn from(nets: Vec<IpNet>) -> When {
    When { from: Some(Who::Within(nets)), ..When::default() }
}

fn to(nets: Vec<IpNet>) -> When {
    When { to: Some(Who::Within(nets)), ..When::default() }
}

fn service(service: Service) -> When {
    When { service: Some(service), ..When::default() }
}

fn reply() -> When {
    When { state: Some(State::Reply), ..When::default() }
}

fn related() -> When {
    When { state: Some(State::Related), service: Some(Service::IcmpErrors), ..When::default() }
}

fn tcp(ports: &[u16]) -> Service {
    Service::Tcp(ports.iter().copied().map(Ports::one).collect())
}

fn udp(ports: &[u16]) -> Service {
    Service::Udp(ports.iter().copied().map(Ports::one).collect())
}

fn chain(name: &str, purpose: &str, base: Option<Base>, rules: Vec<Rule>) -> Chain {
    // A list of nobody matches nothing: no firewall could write it.
    let matches = |who: &Option<Who>| !matches!(who, Some(Who::Within(nets)) if nets.is_empty());
    let rules = rules.into_iter().filter(|rule| matches(&rule.when.from) && matches(&rule.when.to)).collect();
    Chain { name: name.to_owned(), purpose: purpose.to_owned(), base, rules }
}

fn rule(name: &str, purpose: &str, when: When, verdict: Verdict) -> Rule {
    Rule { name: name.to_owned(), purpose: purpose.to_owned(), when, verdict }
}

fn accept(name: &str, purpose: &str, when: When) -> Rule {
    rule(name, purpose, when, Verdict::Accept)
}

fn refuse(name: &str, purpose: &str, when: When) -> Rule {
    rule(name, purpose, when, Verdict::Refuse)
}

fn drop(name: &str, purpose: &str, when: When) -> Rule {
    rule(name, purpose, when, Verdict::Drop)
}

fn background(name: &str, purpose: &str, when: When) -> Rule {
    rule(name, purpose, when, Verdict::Background)
}

fn ignore(name: &str, purpose: &str, when: When) -> Rule {
    rule(name, purpose, when, Verdict::Ignore)
}

fn count(name: &str, purpose: &str, when: When) -> Rule {
    rule(name, purpose, when, Verdict::Count(name.to_owned()))
}

#[derive(Debug, Clone, Copy)]
enum Leads {
    Jump,
    Goto,
}

fn goto(chain: &str, purpose: &str, when: When, leads: Leads) -> Rule {
    let verdict = match leads {
        Leads::Jump => Verdict::Jump(chain.to_owned()),
        Leads::Goto => Verdict::Goto(chain.to_owned()),
    };
    rule(chain, purpose, when, verdict)
}

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::facts::{Host, Name};
use crate::parse::{Placed, Section};

use super::groups::{host_patterns, prefixes};
use super::guard::{AddressRefused, CheckedAddress, OwnEndpoints, carried, judge_address};
use super::parents::Parent;
use super::pattern::HostSet;

/// The names that inside name servers answer, and the addresses where they live.
///
/// It only tightens: an inside name leads nowhere else, and no other name leads there. What may be
/// reached is a rule's to say.
#[derive(Debug)]
pub struct Internal {
    names: HostSet,
    addresses: Box<[IpNet]>,
}

impl Internal {
    /// Reads `names` (host patterns, as in policies) and `addresses` (prefixes). Both must be there and
    /// hold something; what is wrong is reported to the section.
    pub fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let patterns = section.strings("names");
        if let Some(patterns) = &patterns {
            for literal in patterns.iter().filter(|pattern| is_address(pattern)) {
                let what = format!("`{}` is an address, and no name server is asked for one", literal.value);
                section.problem(&literal.place, what, "name it in `addresses`");
            }
        }
        let names = patterns.map(|patterns| host_patterns(section, &patterns));
        let addresses = prefixes(section, "addresses");
        section.need_some("names", "[\"*.corp.example\"]");
        section.need_some("addresses", "[\"10.1.0.0/16\"]");
        Some(Self { names: names?, addresses: addresses?.into() })
    }

    /// Whether the name is one of them.
    pub fn includes(&self, name: &Name) -> bool {
        self.names.contains(&Host::Name(name.clone()))
    }

    /// Whether each of these hosts is one of the names.
    pub(super) fn includes_all(&self, hosts: &HostSet) -> bool {
        hosts.is_within(&self.names)
    }

    pub(super) fn addresses(&self) -> &[IpNet] {
        &self.addresses
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|net| net.contains(&address))
    }

    /// What it has against an address that a host has led to; nothing against a literal one.
    fn refuses(&self, host: &Host, address: IpAddr, opened: &[IpNet]) -> Option<AddressRefused> {
        let Host::Name(name) = host else { return None };
        if self.includes(name) {
            return (!self.holds(address)).then_some(AddressRefused::OutsideInternal { address });
        }
        let inside = self.holds(address) || carried(address, opened).any(|embedded| self.holds(embedded.into()));
        inside.then_some(AddressRefused::InsideInternal { address })
    }
}

fn is_address(pattern: &Placed<String>) -> bool {
    Host::parse(pattern.value.as_bytes()).is_ok_and(|host| host.address().is_some())
}

/// Judges one address of a target for one dial attempt: by [`judge_address`] and, where the config names
/// internal names, by these. An internal name leads only to internal addresses, and no other name does,
/// whatever the rule opens; a literal address is the rule's alone.
pub fn judge_target(
    host: &Host,
    (address, port): (IpAddr, u16),
    opened: &[IpNet],
    own: &OwnEndpoints,
    internal: Option<&Internal>,
) -> Result<CheckedAddress, AddressRefused> {
    if let Some(refused) = internal.and_then(|internal| internal.refuses(host, address, opened)) {
        return Err(refused);
    }
    judge_address(address, port, opened, own)
}

/// Judges a host that a parent is to look up, before the parent is dialled: an internal name is asked of
/// its own name servers, and of nobody else. There is nothing here against an address.
pub fn judge_left_to_parent(host: &Host, internal: Option<&Internal>) -> Result<(), AddressRefused> {
    match host {
        Host::Name(name) if internal.is_some_and(|internal| internal.includes(name)) => {
            Err(AddressRefused::LeftToParent)
        }
        Host::Name(_) | Host::V4(_) | Host::V6(_) => Ok(()),
    }
}

/// Judges one address of a parent for one dial attempt, as if a rule opened exactly that address: the
/// operator has named the parent, so it may be private or on loopback. Refused are port 0, the gate
/// itself, what no rule could open, and what the internal names do not allow its name. An IPv6 address
/// that carries an IPv4 one is judged by that too, which only its own form names.
pub fn judge_parent(
    parent: &Parent,
    address: IpAddr,
    own: &OwnEndpoints,
    internal: Option<&Internal>,
) -> Result<CheckedAddress, AddressRefused> {
    judge_target(parent.host(), (address, parent.port()), &[IpNet::from(address)], own, internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::Document;
    use crate::policy::Policy;

    fn read(text: &str) -> Result<Internal, String> {
        let read = Document::read("c.toml", text, |root| {
            let mut section = root.table("internal")?;
            let internal = Internal::read(&mut section);
            section.finish();
            internal
        });
        read.map_err(|problems| problems.iter().map(|problem| format!("{problem}\n")).collect())
    }

    fn internal() -> Internal {
        read("[internal]\nnames = [\"*.corp.example\", \"intranet.example\"]\naddresses = [\"10.1.0.0/16\", \"fd00:1::/48\"]\n")
            .unwrap()
    }

    /// Passes, or why not, in a word.
    fn judge(host: &str, address: &str, opened: &[&str]) -> &'static str {
        let host = Host::parse(host.as_bytes()).unwrap();
        let opened: Vec<IpNet> = opened.iter().map(|net| net.parse().unwrap()).collect();
        let own = OwnEndpoints { listeners: vec![([10, 1, 0, 9], 3128).into()], interfaces: Vec::new() };
        match judge_target(&host, (address.parse().unwrap(), 443), &opened, &own, Some(&internal())) {
            Ok(checked) => {
                assert_eq!(
                    checked.socket_address().to_string(),
                    std::net::SocketAddr::new(address.parse().unwrap(), 443).to_string()
                );
                "passes"
            }
            Err(AddressRefused::OutsideInternal { .. }) => "outside",
            Err(AddressRefused::InsideInternal { .. }) => "inside",
            Err(AddressRefused::LeftToParent) => "left",
            Err(AddressRefused::Special { .. }) => "special",
            Err(AddressRefused::Own { .. }) => "own",
            Err(AddressRefused::BadPort { .. }) => "port",
        }
    }

    #[test]
    fn an_internal_name_leads_to_internal_addresses_that_a_rule_opens_and_nowhere_else() {
        for host in ["a.corp.example", "intranet.example"] {
            assert_eq!(judge(host, "10.1.2.3", &["10.1.0.0/16"]), "passes");
            assert_eq!(judge(host, "fd00:1::5", &["fd00:1::/48"]), "passes");
            assert_eq!(judge(host, "10.1.2.3", &[]), "special", "opening is a rule's");
            assert_eq!(judge(host, "10.1.0.9", &["10.1.0.0/16"]), "own");
            for outside in ["10.2.0.1", "93.184.216.34", "fd00:2::5", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"] {
                assert_eq!(judge(host, outside, &["0.0.0.0/0", "::/0"]), "outside", "{outside}");
            }
        }
    }

    #[test]
    fn another_name_never_leads_to_an_internal_address_whatever_a_rule_opens() {
        for host in ["a.example", "corp.example", "a.intranet.example", "acorp.example"] {
            assert_eq!(judge(host, "93.184.216.34", &[]), "passes");
            assert_eq!(judge(host, "10.2.0.1", &["10.0.0.0/8"]), "passes", "beside them, as ever");
            assert_eq!(judge(host, "10.2.0.1", &[]), "special");
            for inside in [
                "10.1.2.3",
                "fd00:1::5",
                "::ffff:10.1.2.3",
                "64:ff9b::10.1.2.3",
                "2002:a01:203::",
                "2001:db8::5efe:10.1.2.3",
            ] {
                assert_eq!(judge(host, inside, &["0.0.0.0/0", "::/0"]), "inside", "{inside}");
            }
        }
    }

    #[test]
    fn a_literal_address_is_the_rules_alone() {
        for (literal, address) in [("10.1.2.3", "10.1.2.3"), ("[fd00:1::5]", "fd00:1::5"), ("10.2.0.1", "10.2.0.1")] {
            assert_eq!(judge(literal, address, &["10.0.0.0/8", "fd00::/8"]), "passes");
            assert_eq!(judge(literal, address, &[]), "special");
        }
        assert_eq!(judge("93.184.216.34", "93.184.216.34", &[]), "passes");
    }

    #[test]
    fn an_internal_name_is_left_to_no_parent_and_other_hosts_are() {
        let judge = |host: &str, internal: Option<&Internal>| {
            judge_left_to_parent(&Host::parse(host.as_bytes()).unwrap(), internal)
        };
        for host in ["a.corp.example", "A.Corp.Example.", "intranet.example"] {
            assert_eq!(judge(host, Some(&internal())), Err(AddressRefused::LeftToParent), "{host}");
            assert_eq!(judge(host, None), Ok(()), "nothing is internal: {host}");
        }
        for host in ["corp.example", "a.intranet.example", "acorp.example", "10.1.2.3", "[fd00:1::5]"] {
            assert_eq!(judge(host, Some(&internal())), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_rule_that_leaves_nothing_but_internal_names_to_a_parent_is_a_problem() {
        let compiled = |hosts: &str, resolve: &str| {
            let text = format!(
                "[parents]\nup = {{ address = \"10.9.0.1:80\" }}\n[[rule]]\nname = \"r\"\n{hosts}\
                 parent = \"up\"\nresolve = \"{resolve}\"\nverdict = \"allow\"\n"
            );
            Policy::compile("p.toml", &text).unwrap()
        };
        for hosts in ["\"a.corp.example\"", "\"*.corp.example\", \"intranet.example\"", "\"*.a.corp.example\""] {
            let hosts = format!("hosts = [{hosts}]\n");
            let problems = compiled(&hosts, "parent").with_internal(Some(&internal())).unwrap_err();
            let shown = problems[0].to_string();
            assert!(problems.len() == 1 && shown.starts_with("p.toml:7:11: every host"), "{problems:?}");
            assert!(shown.contains("fix: write resolve = \"gate\""), "{shown}");
            assert!(compiled(&hosts, "gate").with_internal(Some(&internal())).is_ok());
            assert!(compiled(&hosts, "parent").with_internal(None).is_ok());
        }
        for hosts in ["", "hosts = [\"*\"]\n", "hosts = [\"*.example\"]\n", "hosts = [\"*.intranet.example\"]\n"] {
            assert!(compiled(hosts, "parent").with_internal(Some(&internal())).is_ok(), "{hosts}");
        }
        let mixed = "hosts = [\"a.corp.example\", \"10.1.2.3\"]\n";
        assert!(compiled(mixed, "parent").with_internal(Some(&internal())).is_ok());
    }

    #[test]
    fn a_parent_by_name_is_held_to_it_too_and_one_by_address_is_not() {
        let judge = |host: &str, address: &str| {
            let own = OwnEndpoints { listeners: vec![([10, 1, 0, 9], 8080).into()], interfaces: Vec::new() };
            let parent = Parent::of("uplink", &format!("{host}:8080"));
            judge_parent(&parent, address.parse().unwrap(), &own, Some(&internal())).is_ok()
        };
        assert!(!judge("10.1.0.9", "10.1.0.9") && !judge("proxy.corp.example", "10.1.0.9"), "never the gate itself");
        assert!(!judge("224.0.0.1", "224.0.0.1") && judge("127.0.0.1", "127.0.0.1"));
        assert!(judge("proxy.corp.example", "10.1.0.1") && !judge("proxy.corp.example", "10.2.0.1"));
        assert!(judge("proxy.example", "10.2.0.1") && !judge("proxy.example", "10.1.0.1"));
        assert!(judge("10.1.0.1", "10.1.0.1") && judge("10.2.0.1", "10.2.0.1"));
    }

    #[test]
    fn names_and_addresses_belong_together_and_hold_something() {
        let problems = |text: &str| read(text).unwrap_err();
        let empty = problems("[internal]\nnames = []\naddresses = []\n");
        assert!(
            empty.contains("c.toml:2:9: `names` is empty") && empty.contains("c.toml:3:13: `addresses` is empty"),
            "{empty}"
        );
        let missing = problems("[internal]\n");
        assert!(missing.contains("`names` is missing") && missing.contains("`addresses` is missing"), "{missing}");
        let wrong = problems("[internal]\nnames = [\"a b\", \"10.1.0.1\"]\naddresses = [\"10.1.0.0/8\"]\n");
        assert!(wrong.contains("`a b` is no host pattern") && wrong.contains("`10.1.0.1` is an address"), "{wrong}");
        assert!(wrong.contains("fix: write 10.0.0.0/8") && !wrong.contains("missing"), "{wrong}");
    }

    #[test]
    fn a_rule_that_says_internal_opens_the_internal_addresses_and_needs_some() {
        let text = "[[rule]]\nname = \"r\"\nhosts = [\"*\"]\nprivate = [\"192.168.7.0/24\", \"internal\"]\nverdict = \"allow\"\n";
        let policy = || Policy::compile("p.toml", text).unwrap();
        let opened = policy().with_internal(Some(&internal())).unwrap().layers[0].rules[0].terms.opened.to_vec();
        let nets: Vec<String> = opened.iter().map(ToString::to_string).collect();
        assert_eq!(nets, ["192.168.7.0/24", "10.1.0.0/16", "fd00:1::/48"]);
        let problems = policy().with_internal(None).unwrap_err();
        let shown = problems[0].to_string();
        assert!(shown.starts_with("p.toml:4:30: ") && shown.contains("fix: add [internal]"), "{shown}");
        assert_eq!(
            policy().layers[0].rules[0].terms.opened.len(),
            1,
            "until it is said what it means, it opens nothing"
        );
    }
}

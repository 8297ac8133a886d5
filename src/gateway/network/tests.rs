use crate::parse::Document;

use super::*;

const OFFICE: &str =
    "[network.segments.office]\nrole = \"clients\"\naddresses = [\"10.20.0.0/16\", \"fd00:20::/32\"]\n";
const HEAD: &str = "[network]\ngate = [\"10.20.0.1\"]\noutside = [\"wan0\"]\n";

fn read(text: &str) -> Result<Network, Vec<String>> {
    let read = Document::read("c.toml", text, |root| {
        let mut section = root.table("network")?;
        let network = Network::read(&mut section);
        section.finish();
        network
    });
    read.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// What is wrong with a network of one office and this.
fn wrong(head: &str, rest: &str) -> String {
    read(&format!("{HEAD}{head}\n{OFFICE}{rest}")).unwrap_err().join("\n")
}

fn exception(line: &str) -> String {
    let lines = [
        "from = \"office\"",
        "to = \"outside\"",
        "protocol = \"tcp\"",
        "ports = [80]",
        "reason = \"tests\"",
        "until = \"2026-12-31\"",
    ];
    let key = line.split(" = ").next().unwrap();
    let lines: Vec<&str> = lines.into_iter().filter(|other| other.split(" = ").next() != Some(key)).collect();
    format!("[[network.exception]]\n{}\n{}\n", lines.join("\n"), if line.contains('=') { line } else { "" })
}

#[test]
fn a_network_is_read_with_its_defaults() {
    let network = read(&format!("{HEAD}{OFFICE}{}", exception("none"))).unwrap();
    assert_eq!(
        (network.refusal, network.nflog_group, network.gate_ports),
        (Refusal::Reject, 5, vec![Ports::one(3128)])
    );
    let [office] = &network.segments[..] else { panic!("{:?}", network.segments) };
    assert_eq!((office.role, office.addresses.len(), office.through_gate), (Role::Clients, 2, false));
    let [exception] = &network.exceptions[..] else { panic!("{:?}", network.exceptions) };
    assert_eq!(exception.from, [Place::Segment("office".to_owned())]);
    assert_eq!(
        (&exception.to[..], exception.until.to_string()),
        ([Place::Outside].as_slice(), "2026-12-31".to_owned())
    );
}

#[test]
fn what_is_wrong_with_a_network_is_said_where_it_stands_with_what_to_do() {
    let none = read("[network]\n").unwrap_err().join("\n");
    for missing in ["`gate` is missing", "`outside` is missing", "there are no segments"] {
        assert!(none.contains(missing), "{none}");
    }
    for (head, rest, expected) in [
        ("gate_ports = [0]", "", "c.toml:4:15: `0` is no port and no range of ports"),
        ("gate_ports = [80, \"70-90\"]", "", "c.toml:4:14: 70-90 and 80 overlap"),
        ("gate_ports = [\"90-70\"]", "", "`90-70` is no port"),
        ("gate_ports = []", "", "`gate_ports` is empty"),
        ("tripwires = [23, 3128]", "", "c.toml:4:13: 3128 is used by the gate (3128)"),
        ("tripwires = [\"3000-4000\"]", "", "3000-4000 is used by the gate (3128)"),
        ("tripwires = [\"telnet\"]", "", "`telnet` is no port"),
        ("resolvers = [\"dns.example\"]", "", "`dns.example` is no address"),
        ("refuse = \"deny\"", "", "`refuse` cannot be \"deny\""),
        ("nflog_group = 65536", "", "write a number from 0 to 65535"),
        ("resolver = []", "", "unknown key `resolver`\n    fix: did you mean `resolvers`?"),
        ("", "through_gate = true", "`through_gate` is for critical segments"),
        ("", "interface = \"wan0\"", "`wan0` leads outside and to the segment `office`"),
        ("", "interface = \"eth*\"", "`eth*` is no name of an interface"),
        ("", "interface = \"a-very-long-name0\"", "of 1 to 15 characters"),
        (
            "",
            "[network.segments.Labor]\nrole = \"servers\"\naddresses = [\"10.1.0.0/16\"]",
            "cannot be called \"Labor\"",
        ),
        (
            "",
            "[network.segments.outside]\nrole = \"servers\"\naddresses = [\"10.1.0.0/16\"]",
            "cannot be called \"outside\"",
        ),
        ("", "[network.segments.b]\naddresses = [\"10.1.0.0/16\"]", "`role` is missing"),
        ("", "[network.segments.b]\nrole = \"guest\"\naddresses = [\"10.1.0.0/16\"]", "`role` cannot be \"guest\""),
        ("", "[network.segments.b]\nrole = \"servers\"\naddresses = [\"10.1.0.1/16\"]", "write 10.1.0.0/16"),
        ("", "[network.segments.b]\nrole = \"servers\"", "`addresses` is missing"),
        (
            "",
            "[network.segments.b]\nrole = \"servers\"\naddresses = [\"10.20.5.0/24\"]",
            "10.20.0.0/16 of `office` overlaps with 10.20.5.0/24 of `b`",
        ),
        (
            "",
            "[network.segments.b]\nrole = \"servers\"\naddresses = [\"10.1.0.0/16\", \"10.1.2.3\"]",
            "10.1.0.0/16 and 10.1.2.3/32 of `b` overlap",
        ),
    ] {
        let said = wrong(head, rest);
        assert!(said.contains(expected) && said.contains("\n    fix: "), "{expected}: {said}");
    }
}

#[test]
fn an_exception_names_both_ends_a_reason_and_its_last_day() {
    for (line, expected) in [
        ("from = \"ofice\"", "there is no segment `ofice`\n    fix: did you mean `office`?"),
        ("from = \"outside\"", "both ends are outside"),
        ("from = []", "`from` is empty"),
        ("to = \"10.1.2.3/8\"", "write 10.0.0.0/8"),
        ("protocol = \"sctp\"", "`protocol` cannot be \"sctp\""),
        ("protocol = \"any\"", "`ports` are of tcp and udp alone"),
        ("reason = \" \"", "`reason` has 1 to 200 bytes, on one line"),
        ("reason = \"a\\nb\"", "`reason` has 1 to 200 bytes, on one line"),
        ("until = \"soon\"", "`soon` is no date"),
        ("until = \"2026-02-30\"", "`2026-02-30` is no date"),
        ("ends = \"2026-12-31\"", "unknown key `ends`"),
    ] {
        let said = wrong("", &exception(line));
        assert!(said.contains(expected), "{expected}: {said}");
    }
    for key in ["from", "to", "protocol", "reason", "until"] {
        let said = wrong("", &exception(key));
        assert!(said.contains(&format!("`{key}` is missing")), "{key}: {said}");
    }
}

#[test]
fn there_are_no_more_segments_and_exceptions_than_are_bounded() {
    let segments: String = (0..SEGMENTS_MAX)
        .map(|n| format!("[network.segments.s{n}]\nrole = \"servers\"\naddresses = [\"10.100.{n}.0/24\"]\n"))
        .collect();
    assert!(wrong("", &segments).contains("more than 64 segments"));
    let exceptions = exception("none").repeat(EXCEPTIONS_MAX + 1);
    assert!(wrong("", &exceptions).contains("more than 256 exceptions"));
    let many: Vec<String> = (0..=ENTRIES_MAX).map(|n| format!("\"10.30.0.{n}\"")).collect();
    assert!(wrong(&format!("resolvers = [{}]", many.join(", ")), "").contains("`resolvers` has more than 64 entries"));
}

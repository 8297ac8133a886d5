use std::fmt::Write as _;

use super::model::CAPTURE_ROUTES;
use super::network::{CaptureBy, Network, Role, Segment};

/// What switches and access points must do where no gateway can see: between machines of one segment. Text for people, the
/// same for the same network.
pub fn advice(network: &Network) -> String {
    let mut text = String::from(
        "What the gateway cannot see: packets between two machines of one segment never pass it. There the switch and the\n\
         access point must keep machines apart. Of each segment, what to set:\n",
    );
    for segment in &network.segments {
        text.push_str(&of_segment(segment));
    }
    if network.capture.as_ref().is_some_and(|capture| capture.by == CaptureBy::Tproxy) {
        text.push_str("\nWhat is captured (tproxy) stays on this machine only with routes that the rules cannot set. At each start of it:\n");
        CAPTURE_ROUTES.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text.push_str(WORDS);
    text.push_str(
        "\nThen see whether it holds: from one PC try to reach another of the same segment (ping, and TCP ports 445 and 3389).\n\
         With ports isolated nothing answers, and the gateway still does.\n",
    );
    text
}

fn of_segment(segment: &Segment) -> String {
    let addresses: Vec<String> = segment.addresses.iter().map(ToString::to_string).collect();
    let behind = segment.interface.as_ref().map(|name| format!(", behind {name}")).unwrap_or_default();
    let (name, role) = (&segment.name, segment.role.as_str());
    let mut text = format!("\n{name} ({role}{behind}): {}\n", addresses.join(", "));
    let (ports, others): (&str, &[&str]) = match segment.role {
        Role::Clients => (
            "isolate every port of a PC; the port to the gateway, and to printers that PCs must reach, stays open",
            &[
                "access points: client isolation on, for each SSID of this segment",
                "DHCP snooping, ARP inspection and source guard on: a PC keeps to the address it was given",
                "RA guard and DHCPv6 guard on: no PC makes itself the router of the others",
                "if PCs must reach each other all the same, let it go by the gateway (local proxy ARP) and name it there",
            ],
        ),
        Role::Servers => (
            "isolate servers that have nothing to do with each other, or give each group a segment of its own",
            &["ARP inspection and source guard on: a server keeps to its address", "RA guard and DHCPv6 guard on"],
        ),
        Role::Management => (
            "no port that people can plug into; 802.1X on those that must be",
            &["switches, access points and the gateway are administered from here alone: set it in each of them"],
        ),
        Role::Critical => (
            "isolate every port that need not speak to its neighbour; bind each port to the hardware address it has",
            &[
                "unused ports shut down",
                "no access point, and no cable to another segment: a second network card goes past every rule",
                "mirror the port of the gateway to a sensor: what stays inside is seen by nobody else",
            ],
        ),
        Role::Gateway => (
            "isolate all ports but that of the gateway: what stands here has nothing to say to each other",
            &["ARP inspection and source guard on: nobody takes the address of the gate"],
        ),
    };
    let _ = writeln!(text, "  * {ports}");
    for other in others {
        let _ = writeln!(text, "  * {other}");
    }
    text
}

const WORDS: &str = "\nHow makers call it:\n\
    \x20 * Cisco IOS: `switchport protected` on each port, or a private VLAN with isolated ports (`switchport mode\n\
    \x20   private-vlan host`) and the gateway at a promiscuous one; access points: P2P blocking\n\
    \x20 * HPE Aruba: `protected-ports` or private VLAN; access points: deny inter-user bridging\n\
    \x20 * Juniper: private VLAN (`isolation`), or `no-local-switching`\n\
    \x20 * Allied Telesis, Alaxala, Yamaha, Buffalo, Netgear, TP-Link: port isolation, protected ports or multiple VLAN, with\n\
    \x20   the gateway's port as the uplink; access points: privacy separator or client isolation\n\
    \x20 * Linux bridges: `bridge link set dev PORT isolated on` for each port of a PC\n\
    \x20 * virtual machines: private VLAN of the virtual switch, or port isolation of the hypervisor\n";

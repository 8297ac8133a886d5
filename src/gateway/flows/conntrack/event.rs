use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::evidence::{FlowKey, FlowSource, FlowState, Protocol, Seen};

use super::super::netlink::{Attributes, be16, be32, be64};

/// Attributes of a connection.
mod attribute {
    pub(super) const ORIGINAL: u16 = 1;
    pub(super) const REPLY: u16 = 2;
    pub(super) const STATUS: u16 = 3;
    pub(super) const PROTOCOL_INFO: u16 = 4;
    pub(super) const MARK: u16 = 8;
    pub(super) const COUNTERS_ORIGINAL: u16 = 9;
    pub(super) const COUNTERS_REPLY: u16 = 10;
    pub(super) const ID: u16 = 12;
}

/// The first packet has been answered.
const SEEN_REPLY: u32 = 1 << 1;
/// Its destination was changed.
const LED_ELSEWHERE: u32 = 1 << 5;

/// States of TCP, as the kernel counts them.
mod tcp {
    pub(super) const ESTABLISHED: u8 = 3;
    /// Broken off.
    pub(super) const CLOSE: u8 = 8;
}

/// What is told of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway::flows) struct Event {
    pub(super) id: u32,
    pub(super) client: IpAddr,
    /// Where it went: who answers it, wherever its client meant to go.
    pub(super) address: IpAddr,
    pub(super) port: Option<u16>,
    /// Where its client meant to go, where the kernel has led it elsewhere.
    meant: Option<SocketAddr>,
    pub(super) protocol: Protocol,
    /// What rules have marked it with, 0 for nothing.
    pub(super) mark: u32,
    /// It is not tracked any more.
    pub(super) is_over: bool,
    /// Something has come back.
    pub(super) replied: bool,
    tcp: Option<u8>,
    up: Option<Counted>,
    down: Option<Counted>,
}

/// What one direction has carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    packets: u64,
    bytes: u64,
}

impl Event {
    /// `None` where it does not say whose connection it is.
    pub(in crate::gateway::flows) fn read(attributes: Attributes<'_>, is_over: bool) -> Option<Self> {
        let (mut tuple, mut reply, mut id, mut status, mut mark) = (None, None, None, 0, 0);
        let (mut tcp, mut up, mut down) = (None, None, None);
        for (kind, value) in attributes {
            match kind {
                attribute::ORIGINAL => tuple = Tuple::read(value),
                attribute::REPLY => reply = Tuple::read(value),
                attribute::MARK => mark = be32(value)?,
                attribute::ID => id = be32(value),
                attribute::STATUS => status = be32(value)?,
                attribute::PROTOCOL_INFO => tcp = tcp_state(value),
                attribute::COUNTERS_ORIGINAL => up = Counted::read(value),
                attribute::COUNTERS_REPLY => down = Counted::read(value),
                _ => {}
            }
        }
        let Tuple { from, to, protocol, port, .. } = tuple?;
        // Only where the kernel says that it has changed the destination: ICMP answers with other numbers.
        let led = reply.filter(|reply| status & LED_ELSEWHERE != 0 && (reply.from, reply.from_port) != (to, port));
        let (address, port, meant) = match led {
            Some(reply) => (reply.from, reply.from_port, Some(SocketAddr::new(to, port.unwrap_or_default()))),
            None => (to, port, None),
        };
        Some(Self {
            id: id?,
            client: from,
            address,
            port,
            meant,
            protocol,
            mark,
            is_over,
            replied: status & SEEN_REPLY != 0,
            tcp,
            up,
            down,
        })
    }

    /// Whether both sides have spoken, and it goes on.
    pub(super) fn stands(&self) -> bool {
        !self.is_over && self.tcp.map_or(self.replied, |state| state == tcp::ESTABLISHED)
    }

    fn state(&self) -> FlowState {
        match (self.is_over, self.tcp) {
            (false, _) => FlowState::Established,
            // A reset that is the only answer is not counted as one by the kernel.
            (true, Some(tcp::CLOSE)) => FlowState::Reset,
            (true, _) if !self.replied => FlowState::Unanswered,
            (true, _) => FlowState::Closed,
        }
    }

    pub(in crate::gateway::flows) fn seen(&self) -> Seen {
        let key = FlowKey {
            state: Some(self.state()),
            client: Some(self.client),
            address: Some(self.address),
            port: self.port,
            protocol: Some(self.protocol),
            meant: self.meant,
            ..FlowKey::of(FlowSource::Conntrack)
        };
        // What it has carried is told once, at its end.
        let (up, down) = if self.is_over { (self.up, self.down) } else { (None, None) };
        let packets = up.map(|up| up.packets.saturating_add(down.map_or(0, |down| down.packets)));
        let (bytes_up, bytes_down) = (up.map(|up| up.bytes), down.map(|down| down.bytes));
        Seen { packets, bytes_up, bytes_down, ..key.into() }
    }

    #[cfg(test)]
    pub(super) fn example() -> Self {
        Self {
            id: 7,
            client: Ipv4Addr::new(10, 20, 0, 2).into(),
            address: Ipv4Addr::new(11, 77, 0, 80).into(),
            port: Some(443),
            meant: None,
            protocol: Protocol::UDP,
            mark: 0,
            is_over: false,
            replied: true,
            tcp: None,
            up: None,
            down: None,
        }
    }
}

/// Whence and whereto the first packet went.
struct Tuple {
    from: IpAddr,
    to: IpAddr,
    protocol: Protocol,
    port: Option<u16>,
    from_port: Option<u16>,
}

impl Tuple {
    fn read(value: &[u8]) -> Option<Self> {
        let (mut from, mut to, mut protocol, mut port, mut from_port) = (None, None, None, None, None);
        for (kind, value) in Attributes::of(value) {
            match kind {
                1 => {
                    for (kind, value) in Attributes::of(value) {
                        match kind {
                            1 | 3 => from = address(value),
                            2 | 4 => to = address(value),
                            _ => {}
                        }
                    }
                }
                2 => {
                    for (kind, value) in Attributes::of(value) {
                        match kind {
                            1 => protocol = value.first().copied().map(Protocol),
                            2 => from_port = be16(value),
                            3 => port = be16(value),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let protocol = protocol?;
        let has_ports = protocol.has_ports();
        let (port, from_port) = (port.filter(|_| has_ports), from_port.filter(|_| has_ports));
        Some(Self { from: from?, to: to?, protocol, port, from_port })
    }
}

/// By its length: of version 4 or 6.
fn address(value: &[u8]) -> Option<IpAddr> {
    match (<[u8; 4]>::try_from(value), <[u8; 16]>::try_from(value)) {
        (Ok(v4), _) => Some(Ipv4Addr::from(v4).into()),
        (_, Ok(v6)) => Some(Ipv6Addr::from(v6).to_canonical()),
        _ => None,
    }
}

fn tcp_state(value: &[u8]) -> Option<u8> {
    let (_, tcp) = Attributes::of(value).find(|(kind, _)| *kind == 1)?;
    let (_, state) = Attributes::of(tcp).find(|(kind, _)| *kind == 1)?;
    state.first().copied()
}

impl Counted {
    fn read(value: &[u8]) -> Option<Self> {
        let (mut packets, mut bytes) = (None, None);
        for (kind, value) in Attributes::of(value) {
            match kind {
                1 => packets = be64(value),
                2 => bytes = be64(value),
                _ => {}
            }
        }
        Some(Self { packets: packets?, bytes: bytes? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::netlink::{Messages, Request};
    use super::*;

    fn nested(inner: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let request =
            inner.iter().fold(Request::new(0, 0, 0), |request, (kind, value)| request.attribute(*kind, value));
        request.bytes().split_off(20)
    }

    fn tuple(protocol: u8, port: u16) -> Vec<u8> {
        let addresses = nested(&[(1, vec![10, 20, 0, 2]), (2, vec![11, 77, 0, 80])]);
        let ports = nested(&[(1, vec![protocol]), (2, vec![0xc0, 0]), (3, port.to_be_bytes().to_vec())]);
        nested(&[(1, addresses), (2, ports)])
    }

    fn read(attributes: &[(u16, Vec<u8>)], is_over: bool) -> Option<Event> {
        let request = Request::new(0, 0, 0);
        let request = attributes.iter().fold(request, |request, (kind, value)| request.attribute(*kind, value)).bytes();
        let message = Messages::of(&request).next().unwrap();
        Event::read(message.attributes(), is_over)
    }

    fn whole(status: u32, tcp: Option<u8>) -> Vec<(u16, Vec<u8>)> {
        let counters = |packets: u64, bytes: u64| {
            nested(&[(1, packets.to_be_bytes().to_vec()), (2, bytes.to_be_bytes().to_vec())])
        };
        let mut attributes = vec![
            (1, tuple(if tcp.is_some() { 6 } else { 17 }, 443)),
            (3, status.to_be_bytes().to_vec()),
            (9, counters(3, 180)),
            (10, counters(2, 5000)),
            (12, 9_u32.to_be_bytes().to_vec()),
        ];
        attributes.extend(tcp.map(|state| (4, nested(&[(1, nested(&[(1, vec![state])]))]))));
        attributes
    }

    #[test]
    fn what_became_of_a_connection_is_told_by_its_replies_and_its_last_state() {
        for (status, tcp, is_over, state, stands) in [
            (SEEN_REPLY, None, false, FlowState::Established, true),
            (0, None, true, FlowState::Unanswered, false),
            (SEEN_REPLY, None, true, FlowState::Closed, false),
            (SEEN_REPLY, Some(tcp::ESTABLISHED), false, FlowState::Established, true),
            (SEEN_REPLY, Some(7), true, FlowState::Closed, false),
            (SEEN_REPLY, Some(tcp::CLOSE), true, FlowState::Reset, false),
            (0, Some(tcp::CLOSE), true, FlowState::Reset, false),
            (0, Some(1), true, FlowState::Unanswered, false),
        ] {
            let event = read(&whole(status, tcp), is_over).unwrap();
            assert_eq!((event.state(), event.stands()), (state, stands), "{event:?}");
        }
        let opening = read(&whole(SEEN_REPLY, Some(2)), false).unwrap();
        assert!(!opening.stands(), "a connection of TCP stands when its client has said so too");
    }

    /// A reply from there, to the client.
    fn reply(from: [u8; 4], port: u16) -> (u16, Vec<u8>) {
        let addresses = nested(&[(1, from.to_vec()), (2, vec![10, 20, 0, 2])]);
        let ports = nested(&[(1, vec![6]), (2, port.to_be_bytes().to_vec()), (3, vec![0xc0, 0])]);
        (2, nested(&[(1, addresses), (2, ports)]))
    }

    #[test]
    fn a_connection_went_to_who_answers_it_and_where_it_was_meant_to_go_is_told_beside() {
        let with = |status, reply| {
            let mut attributes = whole(SEEN_REPLY | status, Some(tcp::ESTABLISHED));
            attributes.push(reply);
            read(&attributes, false).unwrap().seen().key
        };
        let gate = reply([10, 20, 0, 1], 3130);
        let led = with(LED_ELSEWHERE, gate.clone());
        assert_eq!((led.address, led.port), (Some([10, 20, 0, 1].into()), Some(3130)));
        assert_eq!(led.meant, Some("11.77.0.80:443".parse().unwrap()));
        let straight = with(0, reply([11, 77, 0, 80], 443));
        assert_eq!((straight.address, straight.port), (Some([11, 77, 0, 80].into()), Some(443)));
        assert_eq!(straight.meant, None);
        // Without the kernel's word for it, it is what the client asked for.
        assert_eq!(with(0, gate).meant, None);
    }

    #[test]
    fn what_rules_have_marked_it_with_is_known() {
        let mut attributes = whole(SEEN_REPLY, Some(tcp::ESTABLISHED));
        assert_eq!(read(&attributes, false).unwrap().mark, 0);
        attributes.push((8, 0x5e15_u32.to_be_bytes().to_vec()));
        assert_eq!(read(&attributes, false).unwrap().mark, 0x5e15);
    }

    #[test]
    fn what_it_carried_is_told_at_its_end_alone() {
        let seen = read(&whole(SEEN_REPLY, Some(7)), true).unwrap().seen();
        assert_eq!((seen.packets, seen.bytes_up, seen.bytes_down), (Some(5), Some(180), Some(5000)));
        assert_eq!((seen.key.port, seen.key.protocol), (Some(443), Some(Protocol::TCP)));
        let seen = read(&whole(SEEN_REPLY, Some(tcp::ESTABLISHED)), false).unwrap().seen();
        assert_eq!((seen.packets, seen.bytes_up, seen.bytes_down), (None, None, None));
    }

    #[test]
    fn what_does_not_say_whose_it_is_is_no_event() {
        for missing in [1, 12] {
            let attributes: Vec<_> = whole(0, None).into_iter().filter(|(kind, _)| *kind != missing).collect();
            assert_eq!(read(&attributes, true), None, "{missing}");
        }
        let mut echo = whole(0, None);
        echo[0].1 = tuple(1, 443);
        assert_eq!(read(&echo, true).unwrap().port, None, "ICMP has no ports");
        echo[0].1 = nested(&[(2, nested(&[(1, vec![17])]))]);
        assert_eq!(read(&echo, true), None);
    }
}

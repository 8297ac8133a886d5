use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::form::Form;

/// The ports that are tried where no others are named, and that a responder listens on: of names, of the web, of what
/// likes to hide, and one that nothing uses.
pub const TCP_PORTS: &[u16] = &[53, 80, 443, 853, 8080, 8443, 50_000];
/// The same of UDP: names, time, QUIC, tunnels (4500, 51820), and one that nothing uses.
pub const UDP_PORTS: &[u16] = &[53, 123, 443, 853, 4500, 51_820, 50_000];

const SMB_PORT: u16 = 445;

/// What is to be tried.
#[derive(Debug, Clone, Default)]
pub struct Ways {
    /// Where the responder is, by addresses of either family.
    pub responder: Vec<IpAddr>,
    /// Where the gate is.
    pub proxy: Option<SocketAddr>,
    /// PCs of other segments.
    pub peers: Vec<IpAddr>,
    /// The ports on which the responder listens.
    pub tcp: Vec<u16>,
    pub udp: Vec<u16>,
}

/// One way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    pub route: Route,
    pub layer: Layer,
    /// Where it leads in the end; for ICMP the port is 0.
    pub to: SocketAddr,
}

/// By which road.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Past the gate.
    Direct,
    /// A tunnel that the gate is asked for, by the address as it is.
    Connect(SocketAddr),
    /// A request that the gate is asked to pass on, by the address as it is.
    Forward(SocketAddr),
    /// To another segment.
    Peer,
}

/// What it is carried by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    Tcp(Form),
    Tls(Form),
    Udp(Form),
    Icmp,
    /// File sharing of Windows.
    Smb,
}

/// What became of a way that was tried, or was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub way: Way,
    pub outcome: Outcome,
    /// What is to be said of it beside; not escaped.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It leads out: the responder has proven that it heard the question.
    Through,
    /// Something answered, and it was not the responder.
    Answered,
    /// Somebody said no.
    Refused,
    /// Nothing came back in time.
    Silent,
    /// It could not be tried from here.
    NotTried,
}

impl Outcome {
    pub const ALL: [Self; 5] = [Self::Through, Self::Answered, Self::Refused, Self::Silent, Self::NotTried];

    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Through => "through",
            Outcome::Answered => "answered_by_another",
            Outcome::Refused => "refused",
            Outcome::Silent => "silent",
            Outcome::NotTried => "not_tried",
        }
    }
}

impl Ways {
    /// Each way, in the order in which they are shown.
    pub fn each(&self) -> Vec<Way> {
        let mut ways = Vec::new();
        for responder in &self.responder {
            self.direct(*responder, &mut ways);
        }
        if let Some(proxy) = self.proxy {
            for responder in &self.responder {
                self.over(proxy, *responder, &mut ways);
            }
        }
        for peer in &self.peers {
            ways.push(Way { route: Route::Peer, layer: Layer::Smb, to: SocketAddr::new(*peer, SMB_PORT) });
        }
        ways
    }

    /// On each port a protocol of its own, and where a port has a protocol, that too.
    fn direct(&self, responder: IpAddr, ways: &mut Vec<Way>) {
        let mut push =
            |layer, port| ways.push(Way { route: Route::Direct, layer, to: SocketAddr::new(responder, port) });
        for port in &self.tcp {
            push(Layer::Tcp(Form::Own), *port);
            match port {
                53 => push(Layer::Tcp(Form::Dns), *port),
                80 | 8080 => push(Layer::Tcp(Form::Http), *port),
                443 => {
                    push(Layer::Tls(Form::Http), *port);
                    push(Layer::Tls(Form::Doh), *port);
                }
                853 => push(Layer::Tls(Form::Dns), *port),
                8443 => push(Layer::Tls(Form::Http), *port),
                _ => {}
            }
        }
        for port in &self.udp {
            push(Layer::Udp(Form::Own), *port);
            match port {
                53 => push(Layer::Udp(Form::Dns), *port),
                443 => push(Layer::Udp(Form::Quic), *port),
                _ => {}
            }
        }
        push(Layer::Icmp, 0);
    }

    fn over(&self, proxy: SocketAddr, responder: IpAddr, ways: &mut Vec<Way>) {
        let mut push = |route, layer, port| ways.push(Way { route, layer, to: SocketAddr::new(responder, port) });
        for port in &self.tcp {
            match port {
                443 => push(Route::Connect(proxy), Layer::Tls(Form::Http), *port),
                80 => push(Route::Forward(proxy), Layer::Tcp(Form::Http), *port),
                _ => {}
            }
            push(Route::Connect(proxy), Layer::Tcp(Form::Own), *port);
        }
    }
}

impl Way {
    /// The road as a machine reads it.
    pub fn route_str(&self) -> &'static str {
        match self.route {
            Route::Direct => "direct",
            Route::Connect(_) => "proxy_connect",
            Route::Forward(_) => "proxy_request",
            Route::Peer => "peer",
        }
    }

    /// What it is carried by, as a machine reads it.
    pub fn layer_str(&self) -> &'static str {
        match self.layer {
            Layer::Tcp(_) => "tcp",
            Layer::Tls(_) => "tls",
            Layer::Udp(_) => "udp",
            Layer::Icmp => "icmp",
            Layer::Smb => "smb",
        }
    }

    /// What the question looks like, where it is not a protocol's own.
    pub fn form(&self) -> Option<Form> {
        match self.layer {
            Layer::Tcp(form) | Layer::Tls(form) | Layer::Udp(form) => Some(form),
            Layer::Icmp | Layer::Smb => None,
        }
    }
}

/// As people call it.
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.route {
            Route::Direct | Route::Peer => "",
            Route::Connect(_) => "proxy CONNECT, ",
            Route::Forward(_) => "proxy, ",
        })?;
        f.write_str(match self.layer {
            Layer::Tcp(Form::Http) => "HTTP",
            Layer::Tcp(Form::Dns) => "DNS over TCP",
            Layer::Tcp(_) => "TCP",
            Layer::Tls(Form::Http) => "HTTPS",
            Layer::Tls(Form::Doh) => "DNS over HTTPS",
            Layer::Tls(Form::Dns) => "DNS over TLS",
            Layer::Tls(_) => "TLS",
            Layer::Udp(Form::Dns) => "DNS",
            Layer::Udp(Form::Quic) => "QUIC",
            Layer::Udp(_) => "UDP",
            Layer::Icmp => "ICMP echo",
            Layer::Smb => "SMB of another segment",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_tried_in_both_families_and_over_the_proxy_by_raw_addresses() {
        let (v4, v6): (IpAddr, IpAddr) = ("192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap());
        let ways = Ways {
            responder: vec![v4, v6],
            proxy: Some("10.20.0.1:3128".parse().unwrap()),
            peers: vec!["10.21.0.2".parse().unwrap()],
            tcp: TCP_PORTS.to_vec(),
            udp: UDP_PORTS.to_vec(),
        };
        let names: Vec<String> = ways.each().iter().map(|way| format!("{way} {}", way.to)).collect();
        for name in [
            "TCP 192.0.2.7:80",
            "HTTP 192.0.2.7:80",
            "TCP 192.0.2.7:443",
            "HTTPS 192.0.2.7:443",
            "DNS over HTTPS 192.0.2.7:443",
            "HTTP [2001:db8::7]:8080",
            "TCP [2001:db8::7]:50000",
            "UDP 192.0.2.7:51820",
            "DNS 192.0.2.7:53",
            "DNS over TCP [2001:db8::7]:53",
            "DNS over TLS 192.0.2.7:853",
            "UDP 192.0.2.7:853",
            "QUIC [2001:db8::7]:443",
            "ICMP echo 192.0.2.7:0",
            "ICMP echo [2001:db8::7]:0",
            "proxy CONNECT, TCP 192.0.2.7:853",
            "proxy CONNECT, HTTPS [2001:db8::7]:443",
            "proxy, HTTP 192.0.2.7:80",
            "SMB of another segment 10.21.0.2:445",
        ] {
            assert!(names.iter().any(|found| found == name), "{name} in {names:#?}");
        }
        let mut once = names.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), names.len(), "each once");
        let of = |address: &str| names.iter().filter(|name| name.contains(address)).count();
        assert_eq!(of("192.0.2.7"), of("[2001:db8::7]"), "the families alike");
    }
}

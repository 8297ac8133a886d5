use std::fmt::Write as _;

use ipnet::{IpNet, Ipv4Net};

use crate::facts::Host;
use crate::parse::{Placed, Section, parse_authority};

use super::deny::connection;

/// By which way browsers are sent out: what `/proxy.pac` and `/wpad.dat` say. `[pac]` of the config.
///
/// For outside names it never ends in `DIRECT`, and all its gates are of one kind: what cannot reach one of them goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pac {
    /// As PAC writes them, such as `PROXY gate.office.example:3128`; none for the one that is asked, by the name it is asked at.
    gates: Vec<String>,
    /// Names that are reached directly, and domains of which all names are.
    names: Vec<String>,
    domains: Vec<String>,
    /// Networks whose addresses are reached directly, where they are written out.
    networks: Vec<Ipv4Net>,
}

/// So many of each are read.
const ENTRIES_MAX: usize = 256;
const GATES_MAX: usize = 16;
/// How long a browser may keep it.
const KEPT_SECONDS: u32 = 600;

impl Pac {
    /// Reads the section, and says what is wrong with it where it stands.
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let mut pac = Self::default();
        let gates = section.strings("gates").unwrap_or_default();
        for gate in &gates {
            match read_gate(&gate.value) {
                Some(read) => pac.gates.push(read),
                None => {
                    let what = format!("`{}` is no proxy as PAC writes it", gate.value);
                    section.problem(
                        &gate.place,
                        what,
                        "write it like \"PROXY gate.office.example:3128\" or \"HTTPS gate.office.example:3129\"",
                    );
                }
            }
        }
        let kind = |gate: &String| gate.split(' ').next().unwrap_or_default().to_owned();
        if let Some(place) = pac.gates.windows(2).position(|two| kind(&two[0]) != kind(&two[1])) {
            let at = gates.get(place + 1).map(|gate| gate.place.clone());
            let what = "a gate within TLS has one beside it that is not";
            let at = at.unwrap_or_else(|| section.place().clone());
            section.problem(&at, what, "name gates of one kind: a browser that fails to reach one takes the next");
        }
        let direct = section.strings("direct").unwrap_or_default();
        for (key, given, most) in [("gates", gates.len(), GATES_MAX), ("direct", direct.len(), ENTRIES_MAX)] {
            if given > most {
                let place = section.place().clone();
                section.problem(&place, format!("`{key}` names more than {most}"), "name the domains above them");
            }
        }
        for text in direct {
            pac.read_direct(section, &text);
        }
        pac
    }

    fn read_direct(&mut self, section: &mut Section<'_, '_>, text: &Placed<String>) {
        let fix = "write a name, `*.` and a domain, or an IPv4 network, such as \"*.office.example\" or \"10.0.0.0/8\"";
        if let Ok(network) = text.value.parse::<IpNet>() {
            match network.trunc() {
                IpNet::V4(network) => self.networks.push(network),
                // PAC has nothing for them that all browsers know.
                IpNet::V6(_) => {
                    section.problem(&text.place, format!("`{}` is of IPv6, which PAC cannot tell", text.value), fix)
                }
            }
            return;
        }
        let (domain, name) = match text.value.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, text.value.as_str()),
        };
        match parse_authority(name.as_bytes()) {
            Ok((Host::Name(name), None)) if domain => self.domains.push(format!(".{}", name.as_str())),
            Ok((Host::Name(name), None)) => self.names.push(name.as_str().to_owned()),
            Ok((Host::V4(address), None)) if !domain => {
                self.networks.push(address.into());
            }
            Ok(_) | Err(_) => section.problem(&text.place, format!("`{}` is no name that is inside", text.value), fix),
        }
    }

    /// The first gate that is named, as `host:port`, unless it is one within TLS.
    pub fn plain_gate(&self) -> Option<&str> {
        self.gates.first()?.strip_prefix("PROXY ")
    }

    /// Names that are reached directly.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Domains of which all names are, each with a dot before it.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.iter().map(String::as_str)
    }

    /// Networks of IPv4 whose addresses are.
    pub fn networks(&self) -> impl Iterator<Item = Ipv4Net> {
        self.networks.iter().copied()
    }

    /// The whole answer to a request for it; `asked_at` is the Host field of that.
    pub fn answer(&self, asked_at: Option<&[u8]>, keep_alive: bool, has_body: bool) -> Vec<u8> {
        let connection = connection(keep_alive);
        let Some(script) = self.script(asked_at) else {
            let body = "there is no host in this request, and none in [pac] of the config\n";
            let (length, shown) = (body.len(), if has_body { body } else { "" });
            return format!(
                "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
                 Cache-Control: no-store\r\nConnection: {connection}\r\n\r\n{shown}"
            )
            .into_bytes();
        };
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ns-proxy-autoconfig\r\nContent-Length: {}\r\n\
             Cache-Control: max-age={KEPT_SECONDS}\r\nVary: Host\r\nX-Content-Type-Options: nosniff\r\nConnection: {connection}\r\n\r\n{}",
            script.len(),
            if has_body { &*script } else { "" }
        )
        .into_bytes()
    }

    /// The script; `None` where there is no gate to name. Each value in it was parsed: nothing else of a request or config
    /// stands in it.
    fn script(&self, asked_at: Option<&[u8]>) -> Option<String> {
        let gates = match self.gates.is_empty() {
            false => self.gates.clone(),
            true => vec![read_gate(&format!("PROXY {}", std::str::from_utf8(asked_at?).ok()?))?],
        };
        let list = |texts: &[String]| texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ");
        let mut script = String::from("// Sekisho: which proxy to take.\n");
        let _ = writeln!(script, "var gates = [{}];", list(&gates));
        let _ = writeln!(script, "var names = [{}];", list(&self.names));
        let _ = writeln!(script, "var domains = [{}];", list(&self.domains));
        let written = |net: &Ipv4Net| format!("[\"{}\", \"{}\"]", net.network(), net.netmask());
        let networks: Vec<_> = self.networks.iter().map(written).collect();
        let _ = writeln!(script, "var networks = [{}];", networks.join(", "));
        script.push_str(FUNCTION);
        Some(script)
    }
}

/// A kind and a host with its port, both written as parsed.
fn read_gate(text: &str) -> Option<String> {
    let (kind, server) = text.split_once(' ')?;
    let default = match kind {
        "PROXY" => Some(80),
        "HTTPS" => Some(443),
        _ => None,
    }?;
    let (host, port) = parse_authority(server.as_bytes()).ok()?;
    let port = port.unwrap_or(default);
    match host {
        Host::V6(address) => Some(format!("{kind} [{address}]:{port}")),
        host => Some(format!("{kind} {host}:{port}")),
    }
}

/// Of the language's first edition: PAC runs in whatever a browser, or Windows itself, has.
///
/// Names without a dot are inside, but for the gate's own. Addresses count as inside only where they are written out: no name is looked up, which would
/// ask the PC's resolver for names outside. Clients begin with different gates by their own address.
const FUNCTION: &str = r#"
function FindProxyForURL(url, host) {
  var i, name = host.toLowerCase();
  if (name.charAt(name.length - 1) == ".") name = name.substring(0, name.length - 1);
  if (name != "sekisho" && name.indexOf(".") < 0 && name.indexOf(":") < 0) return "DIRECT";
  for (i = 0; i < names.length; i++) if (name == names[i]) return "DIRECT";
  for (i = 0; i < domains.length; i++) {
    var at = name.length - domains[i].length;
    if (at > 0 && name.substring(at) == domains[i]) return "DIRECT";
  }
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(name)) {
    for (i = 0; i < networks.length; i++) if (isInNet(name, networks[i][0], networks[i][1])) return "DIRECT";
  }
  var own = gates.length > 1 ? myIpAddress() : "", hash = 0, all = "";
  for (i = 0; i < own.length; i++) hash = (hash * 31 + own.charCodeAt(i)) % 65521;
  for (i = 0; i < gates.length; i++) all += (i ? "; " : "") + gates[(hash + i) % gates.length];
  return all;
}
"#;

#[cfg(test)]
mod tests {
    use crate::parse::Document;

    use super::*;

    fn read(body: &str) -> Result<Pac, Vec<String>> {
        let read = Document::read("c.toml", body, |root| {
            let pac = Pac::read(root);
            Some(pac)
        });
        read.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn script(body: &str, asked_at: Option<&str>) -> String {
        let answer = read(body).unwrap().answer(asked_at.map(str::as_bytes), false, true);
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn the_gate_that_is_asked_is_the_proxy_where_no_other_is_named() {
        let answer = script("", Some("gate.office.example:3128"));
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/x-ns-proxy-autoconfig\r\n"),
            "{answer}"
        );
        assert!(answer.contains("var gates = [\"PROXY gate.office.example:3128\"];"), "{answer}");
        assert!(script("", Some("wpad")).contains("[\"PROXY wpad:80\"]"));
        for bad in [None, Some("a\"]; alert(1); //"), Some("a b"), Some("user@a:1")] {
            let answer = script("", bad);
            assert!(answer.starts_with("HTTP/1.1 404 ") && !answer.contains("alert"), "{answer}");
        }
        let length: usize =
            answer.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
        assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), length);
        let head = read("").unwrap().answer(Some(b"a:1"), true, false);
        assert!(head.ends_with(b"Connection: keep-alive\r\n\r\n"));
    }

    #[test]
    fn what_is_inside_is_direct_and_nothing_else_ever_is() {
        let answer = script(
            "gates = [\"HTTPS g1.office.example\", \"HTTPS g2.office.example:3129\"]\n\
             direct = [\"*.Office.example\", \"portal.example\", \"10.1.0.0/16\", \"192.0.2.7\"]",
            Some("attacker.example"),
        );
        for line in [
            "var gates = [\"HTTPS g1.office.example:443\", \"HTTPS g2.office.example:3129\"];",
            "var names = [\"portal.example\"];",
            "var domains = [\".office.example\"];",
            "var networks = [[\"10.1.0.0\", \"255.255.0.0\"], [\"192.0.2.7\", \"255.255.255.255\"]];",
        ] {
            assert!(answer.contains(line), "{answer}");
        }
        assert!(!answer.contains("attacker"), "{answer}");
        assert!(answer.trim_end().ends_with("return all;\n}"), "{answer}");
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        let wrong = |body: &str| read(body).unwrap_err().join("\n");
        assert!(wrong("gates = [\"DIRECT\"]").contains("`DIRECT` is no proxy"));
        assert!(wrong("gates = [\"SOCKS a:1\"]").contains("is no proxy"));
        assert!(wrong("gates = [\"HTTPS a:1\", \"PROXY a:2\"]").contains("within TLS"));
        assert!(wrong("direct = [\"2001:db8::/32\"]").contains("IPv6"));
        assert!(wrong("direct = [\"*\"]").contains("is no name"));
        assert!(wrong("direct = [\"a\\\"b\"]").contains("is no name"));
        let many = format!("direct = [{}]", (0..257).map(|n| format!("\"a{n}.example\", ")).collect::<String>());
        assert!(wrong(&many).contains("more than 256"));
    }
}

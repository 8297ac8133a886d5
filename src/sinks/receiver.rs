use std::fmt;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::facts::Host;
use crate::parse::{Placed, Section, parse_authority};
use crate::policy::prefixes;
use crate::tls::Roots;
use crate::upstream::{HttpsUrl, Server};

/// Who is to have messages, by a table of the config.
#[derive(Debug, Clone)]
pub struct Receiver {
    pub name: String,
    pub way: Way,
    /// Special-purpose addresses at which it may be.
    pub opened: Vec<IpNet>,
    /// Who vouches for a webhook's server.
    pub roots: Roots,
}

/// How they come there.
#[derive(Debug, Clone)]
pub enum Way {
    /// As files; it is not made where it is not there, as it may be one that is mounted.
    Directory(PathBuf),
    Syslog {
        server: Server,
        protocol: Protocol,
    },
    /// As the body of a POST.
    Webhook(HttpsUrl),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Udp,
    Tcp,
    /// TCP with TLS over it (RFC 5425).
    Tls,
}

/// So many tables of a kind are read.
const RECEIVERS_MAX: usize = 8;
const NAME_BYTES_MAX: usize = 64;

/// Where it goes, without what may be a secret.
impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Directory(path) => write!(f, "{}", path.display()),
            Way::Syslog { server, protocol: Protocol::Udp } => write!(f, "syslog udp {server}"),
            Way::Syslog { server, protocol: Protocol::Tcp } => write!(f, "syslog tcp {server}"),
            Way::Syslog { server, protocol: Protocol::Tls } => write!(f, "syslog tls {server}"),
            Way::Webhook(url) => write!(f, "https://{}", url.server()),
        }
    }
}

impl Receiver {
    /// What no other receiver has: where it goes, of a URL as a hash, for the path may be a secret.
    pub fn identity(&self) -> String {
        match &self.way {
            Way::Webhook(url) => format!("{self} {}", blake3::hash(url.identity().as_bytes()).to_hex()),
            Way::Directory(_) | Way::Syslog { .. } => self.to_string(),
        }
    }

    /// Reads the tables below a key, such as `[checkpoints.vault]`.
    pub fn read_all(root: &mut Section<'_, '_>, key: &'static str) -> Vec<Self> {
        Self::read_tables(root, key, Self::read)
    }

    /// Reads the tables below a key, each by `read`; at most eight.
    pub fn read_tables<T>(
        root: &mut Section<'_, '_>,
        key: &'static str,
        read: impl Fn(&Placed<String>, &mut Section<'_, '_>) -> Option<T>,
    ) -> Vec<T> {
        let mut receivers = Vec::new();
        for (name, mut section) in root.named_tables(key) {
            let receiver = read(&name, &mut section);
            section.finish();
            if receivers.len() == RECEIVERS_MAX {
                let what = format!("more than {RECEIVERS_MAX} receivers are named by [{key}.NAME]");
                section.problem(&name.place, what, "have one of them pass it on");
                break;
            }
            receivers.extend(receiver);
        }
        receivers
    }

    /// Reports a name that is none for a receiver: it stands in names of files.
    pub fn check_name(name: &Placed<String>, section: &mut Section<'_, '_>) {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if name.value.is_empty() || name.value.len() > NAME_BYTES_MAX || !name.value.bytes().all(plain) {
            let what = format!("a receiver cannot be called {:?}", name.value);
            section.problem(&name.place, what, "write 1 to 64 small letters, digits, `-` or `_`");
        }
    }

    /// Reads a table; `None` where it has a problem, which is reported.
    pub fn read(name: &Placed<String>, section: &mut Section<'_, '_>) -> Option<Self> {
        Self::check_name(name, section);
        let given = ["directory", "syslog", "url"].into_iter().filter(|key| section.has(key)).count();
        let directory = section.string("directory");
        let syslog = section.string("syslog");
        let protocols = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("tls", Protocol::Tls)];
        let protocol = section.word("protocol", &protocols);
        let url = section.string("url");
        let mut opened = prefixes(section, "private").unwrap_or_default();
        let roots = section.string("ca_file").map_or(Roots::System, |file| Roots::File(PathBuf::from(file.value)));
        if given != 1 {
            let what = format!("where `{}` is to be sent to is not said, or is said several times", name.value);
            let fix = "write one of: directory = \"/mnt/vault\"; syslog = \"10.0.0.5:601\"; url = \"https://receiver.example/\"";
            section.problem(&name.place, what, fix);
            return None;
        }
        let way = match (directory, syslog, url) {
            (Some(path), ..) if path.value.is_empty() => {
                section.problem(&path.place, "`directory` names none", "write the path of a directory that is there");
                return None;
            }
            (Some(path), ..) => Way::Directory(path.value.into()),
            (_, Some(text), _) => {
                Way::Syslog { server: read_server(section, &text)?, protocol: protocol.unwrap_or(Protocol::Tcp) }
            }
            (_, _, Some(text)) => match HttpsUrl::parse(&text.value) {
                Ok(url) => Way::Webhook(url),
                Err(why) => {
                    let fix = "write it like \"https://receiver.example/checkpoints\"";
                    section.problem(&text.place, format!("the URL {why}"), fix);
                    return None;
                }
            },
            (None, None, None) => return None,
        };
        opened.extend(match &way {
            Way::Directory(_) => None,
            Way::Syslog { server, .. } => written_address(&server.host),
            Way::Webhook(url) => written_address(url.host()),
        });
        Some(Self { name: name.value.clone(), way, opened, roots })
    }
}

/// An address that is written out is meant: it opens itself.
pub fn written_address(host: &Host) -> Option<IpNet> {
    match host {
        Host::Name(_) => None,
        Host::V4(address) => Some(IpNet::from(std::net::IpAddr::from(*address))),
        Host::V6(address) => Some(IpNet::from(std::net::IpAddr::from(*address))),
    }
}

/// A host with its port; `None` where it is none, which is reported.
pub fn read_server(section: &mut Section<'_, '_>, text: &Placed<String>) -> Option<Server> {
    match parse_authority(text.value.as_bytes()) {
        Ok((host, Some(port))) => Some(Server { host, port }),
        Ok((_, None)) | Err(_) => {
            let what = format!("`{}` is no host with a port", text.value);
            section.problem(&text.place, what, "write it like \"10.0.0.5:601\" or \"log.example:601\"");
            None
        }
    }
}

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::parse::Section;

/// Which sources are read; `[flows]` of the config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The group to which rules of this machine's firewall log, 1 to 65,535.
    pub nflog_group: Option<u16>,
    /// Whether the connections that the kernel tracks are told.
    pub conntrack: bool,
    /// Where lines of other firewalls come in, at most 16.
    pub syslog: Vec<SyslogAddress>,
    /// Logs of connections that Zeek adds to, at most 16.
    pub zeek: Vec<PathBuf>,
}

/// Where lines of syslog come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyslogAddress {
    pub transport: Transport,
    pub address: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// Addresses and files, each.
const SYSLOG_MAX: usize = 16;

impl Settings {
    /// Reads the section; what is wrong in it is reported there.
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let nflog_group = section.integer("nflog_group", 1..=65_535).and_then(|group| u16::try_from(group).ok());
        let conntrack = section.boolean("conntrack").unwrap_or(false);
        let texts = section.strings("syslog").unwrap_or_default();
        if let Some(beyond) = texts.get(SYSLOG_MAX) {
            section.problem(&beyond.place, format!("`syslog` names more than {SYSLOG_MAX} addresses"), "name fewer");
        }
        let mut syslog = Vec::with_capacity(texts.len().min(SYSLOG_MAX));
        for text in texts {
            match SyslogAddress::parse(&text.value) {
                Some(address) => syslog.push(address),
                None => section.problem(
                    &text.place,
                    format!("`{}` is no address for syslog to come in", text.value),
                    "write it like \"udp://127.0.0.1:5140\" or \"tcp://[::1]:5140\"",
                ),
            }
        }
        let zeek = section.strings("zeek").unwrap_or_default();
        if let Some(beyond) = zeek.get(SYSLOG_MAX) {
            section.problem(&beyond.place, format!("`zeek` names more than {SYSLOG_MAX} files"), "name fewer");
        }
        let zeek = zeek.into_iter().map(|path| PathBuf::from(path.value)).collect();
        Self { nflog_group, conntrack, syslog, zeek }
    }
}

impl SyslogAddress {
    fn parse(text: &str) -> Option<Self> {
        let udp = text.strip_prefix("udp://").map(|address| (Transport::Udp, address));
        let (transport, address) = udp.or_else(|| Some((Transport::Tcp, text.strip_prefix("tcp://")?)))?;
        Some(Self { transport, address: address.parse().ok()? })
    }
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::{Document, Problem};

    use super::*;

    fn read(text: &str) -> Result<Settings, Vec<Problem>> {
        Document::read("t.toml", text, |root| {
            let mut section = root.table("flows")?;
            let settings = Settings::read(&mut section);
            section.finish();
            Some(settings)
        })
    }

    #[test]
    fn addresses_have_a_transport_and_a_port() {
        let read_well = read("[flows]\nsyslog = [\"udp://127.0.0.1:5140\", \"tcp://[::1]:601\"]\n").unwrap();
        let shown: Vec<_> = read_well.syslog.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["udp://127.0.0.1:5140", "tcp://[::1]:601"]);
        assert_eq!((read_well.nflog_group, read_well.conntrack), (None, false));
        for wrong in ["127.0.0.1:5140", "udp://127.0.0.1", "tls://127.0.0.1:1", "udp://host:1", ""] {
            let problems = read(&format!("[flows]\nsyslog = [\"{wrong}\"]\n")).unwrap_err();
            assert_eq!(problems.len(), 1, "{wrong}");
        }
    }

    #[test]
    fn a_group_is_a_number_of_sixteen_bits_and_not_the_one_of_the_kernels_own() {
        assert_eq!(read("[flows]\nnflog_group = 65535\nconntrack = true\n").unwrap().nflog_group, Some(65_535));
        for wrong in ["0", "65536", "-1", "\"5\""] {
            assert!(read(&format!("[flows]\nnflog_group = {wrong}\n")).is_err(), "{wrong}");
        }
    }
}

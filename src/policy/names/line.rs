use std::net::{IpAddr, Ipv6Addr};

use crate::facts::{Host, Name};

use super::LINE_BYTES_MAX;

/// What a line says, one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A name or an address for itself.
    Alone(Host),
    /// Everything below a name.
    Below(Name),
    /// A name that means the machine itself.
    Skipped,
}

/// What hosts files name for the machine they lie on; a list of hosts does not mean them.
const OWN: &[&str] = &[
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost4.localdomain4",
    "localhost6",
    "localhost6.localdomain6",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
    "0.0.0.0",
];

/// Reads a line without its end, and hands each entry to `take`.
///
/// # Errors
/// What is wrong with the line. Entries may have been handed out before: they do not count then.
pub(super) fn read(line: &[u8], mut take: impl FnMut(Entry)) -> Result<(), String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("{}: the line is longer than {LINE_BYTES_MAX} bytes", shown(line)));
    }
    let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let Some(first) = words.next() else { return Ok(()) };
    let rest = words.clone();
    if words.next().is_none() {
        return one(first, take);
    }
    if hosts_file_address(first).is_none() {
        let why = "several words on a line begin with an address, as in a hosts file; write one name a line";
        return Err(format!("{}: {why}", shown(line)));
    }
    for word in rest {
        if OWN.iter().any(|own| word.eq_ignore_ascii_case(own.as_bytes())) {
            take(Entry::Skipped);
            continue;
        }
        match host(word)? {
            name @ Host::Name(_) => take(Entry::Alone(name)),
            Host::V4(_) | Host::V6(_) => {
                return Err(format!("{}: a name is expected behind an address, not another address", shown(word)));
            }
        }
    }
    Ok(())
}

/// The only word of a line.
fn one(word: &[u8], mut take: impl FnMut(Entry)) -> Result<(), String> {
    let (below, itself) = match (word.strip_prefix(b"*."), word.strip_prefix(b".")) {
        (Some(parent), _) => (Some(parent), None),
        (None, Some(parent)) => (Some(parent), Some(parent)),
        (None, None) => (None, Some(word)),
    };
    if word == b"*" {
        return Err("*: a list cannot mean every host".to_owned());
    }
    if let Some(parent) = below {
        match host(parent)? {
            Host::Name(name) => take(Entry::Below(name)),
            Host::V4(_) | Host::V6(_) => {
                return Err(format!("{}: a dot or `*.` stands before a name, not an address", shown(word)));
            }
        }
    }
    if let Some(text) = itself {
        take(Entry::Alone(host(text)?));
    }
    Ok(())
}

/// A name or an address; IPv6 with or without brackets.
fn host(word: &[u8]) -> Result<Host, String> {
    let because = |why: &str| format!("{}: {why}", shown(word));
    let text = std::str::from_utf8(word).map_err(|_| because("it is not UTF-8"))?;
    if text.contains("://") || text.contains('/') {
        return Err(because("it is an URL or a path; write the name of the host alone"));
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok(Host::V6(address));
    }
    if text.is_ascii() {
        return Host::parse(word).map_err(|bad| because(&bad.to_string()));
    }
    let ascii = idna::domain_to_ascii(text).map_err(|_| because("it is not a valid internationalised name"))?;
    Host::parse(ascii.as_bytes()).map_err(|bad| because(&bad.to_string()))
}

/// The address that begins a line of a hosts file; a zone may stand behind it, as in `fe80::1%lo0`.
fn hosts_file_address(word: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(word).ok()?;
    text.split_once('%').map_or(text, |(address, _)| address).parse().ok()
}

/// Text at fault for a person: its first characters, none of which moves a cursor.
fn shown(word: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 64;
    let cut = &word[..word.len().min(SHOWN_BYTES_MAX)];
    let more = if cut.len() < word.len() { "…" } else { "" };
    format!("`{}{more}`", String::from_utf8_lossy(cut).trim().escape_debug())
}

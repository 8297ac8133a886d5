use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, ValueHint};

use crate::config::Config;
use crate::evidence::shown;
use crate::facts::Host;
use crate::parse::parse_authority;
use crate::tls::{AuthorityCertificate, AuthorityError, AuthorityFiles, pem_of};

use super::error::CliError;
use super::files::{data_dir_of, read_config};
use super::output::print;

#[derive(Debug, Args)]
pub(super) struct ClientsArguments {
    /// What they are
    #[arg(value_enum)]
    system: System,
    /// The config file of the gate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: PathBuf,
    /// How clients reach the gate [default: by the first plain one of [pac], else `gate` of [network], else where it
    /// listens]
    #[arg(long, value_name = "HOST:PORT", value_parser = Gate::read)]
    gate: Option<Gate>,
    /// The data directory of the gate, where its authority is [default: the config's, else where `run` keeps it]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// Print the script that checks one machine, and nothing else
    #[arg(long)]
    script: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum System {
    Windows,
    Macos,
    Linux,
}

/// A gate as clients name it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gate {
    host: Host,
    port: u16,
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    /// For eyes.
    Text,
    /// As one word of a POSIX shell.
    Shell,
    /// As one expression of PowerShell.
    PowerShell,
}

/// What templates name; what a gate does not have is absent.
type Values = Vec<(&'static str, String)>;

impl System {
    fn text(self) -> &'static str {
        match self {
            System::Windows => include_str!("templates/clients/windows.txt"),
            System::Macos => include_str!("templates/clients/macos.txt"),
            System::Linux => include_str!("templates/clients/linux.txt"),
        }
    }

    fn script(self) -> (&'static str, Face) {
        match self {
            System::Windows => (include_str!("templates/clients/check.ps1"), Face::PowerShell),
            System::Macos => (include_str!("templates/clients/check-macos.sh"), Face::Shell),
            System::Linux => (include_str!("templates/clients/check-linux.sh"), Face::Shell),
        }
    }
}

impl Gate {
    fn read(text: &str) -> Result<Self, String> {
        match parse_authority(text.as_bytes()) {
            Ok((host, Some(port))) => Ok(Self { host, port }),
            Ok((_, None)) | Err(_) => Err("write a host and a port, as in gate.office.example:3128".to_owned()),
        }
    }

    /// The gate of a config: what clients are sent to, else where it stands, else where it listens and others than
    /// itself reach it.
    fn of(config: &Config) -> Option<Self> {
        if let Some(gate) = config.pac.as_ref().and_then(|pac| pac.plain_gate()) {
            return Self::read(gate).ok();
        }
        let of = |address: IpAddr, port| {
            let host = match address {
                IpAddr::V4(address) => Host::V4(address),
                IpAddr::V6(address) => Host::V6(address),
            };
            Self { host, port }
        };
        if let Some(network) = &config.network {
            let address = network.gate.first()?;
            return network.gate_ports.first().map(|ports| of(*address, ports.first));
        }
        let reached = |address: &IpAddr| !address.is_loopback() && !address.is_unspecified();
        config.listen.iter().find(|at| reached(&at.ip())).map(|at| of(at.ip(), at.port()))
    }

    /// The host as it stands in a URL.
    fn host(&self) -> String {
        match &self.host {
            Host::V6(address) => format!("[{address}]"),
            host => host.to_string(),
        }
    }
}

/// Prints how machines are set to the gate, or what checks one.
pub(super) fn clients(arguments: ClientsArguments) -> Result<(), CliError> {
    let ClientsArguments { system, config: path, gate, data_dir, script } = arguments;
    let config = read_config(&path)?;
    let gate = gate.or_else(|| Gate::of(&config)).ok_or_else(|| CliError::NoGateAddress(path.clone()))?;
    let certificate = authority(&data_dir_of(&config, data_dir.as_deref()))?;
    let values = values(&gate, &config, certificate.as_ref());
    let (template, face) = if script { system.script() } else { (system.text(), Face::Text) };
    print(&filled(template, &values, face))
}

/// The authority of the gate, if it has one, by its certificate alone: its key is read by nobody here.
fn authority(data_dir: &Path) -> Result<Option<AuthorityCertificate>, CliError> {
    match AuthorityFiles::new(data_dir).certificate() {
        Ok(certificate) => Ok(Some(certificate)),
        Err(AuthorityError::Missing(_)) => Ok(None),
        Err(AuthorityError::Io { path, source }) if source.kind() == ErrorKind::PermissionDenied => {
            let what = "what is printed says nothing of an authority: run it as the gate's user or as root";
            eprintln!("sekisho: warning: cannot read {}: {source}; {what}", path.display());
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn values(gate: &Gate, config: &Config, certificate: Option<&AuthorityCertificate>) -> Values {
    let (host, port) = (gate.host(), gate.port);
    let mut values = vec![
        ("gate", format!("{host}:{port}")),
        ("host", host.trim_matches(['[', ']']).to_owned()),
        ("port", port.to_string()),
        ("url", format!("http://{host}:{port}")),
    ];
    let mut no_proxy: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let (mut bypass, mut words) = (vec!["<local>".to_owned()], vec!["localhost".to_owned(), "127.0.0.1".to_owned()]);
    let mut bypass_names = bypass.len();
    if let Some(pac) = &config.pac {
        values.push(("pac", format!("http://{host}:{port}/proxy.pac")));
        for name in pac.names() {
            no_proxy.push(name.to_owned());
            bypass.push(name.to_owned());
            words.push(name.to_owned());
        }
        for domain in pac.domains() {
            no_proxy.push(domain.to_owned());
            bypass.push(format!("*{domain}"));
            words.push(format!("'*{domain}'"));
        }
        bypass_names = bypass.len();
        for network in pac.networks() {
            no_proxy.push(network.to_string());
            bypass.extend(patterns(network));
            words.push(network.to_string());
        }
    }
    values.push(("bypass_names", bypass.get(..bypass_names).unwrap_or_default().join(";")));
    values.extend([("no_proxy", no_proxy.join(",")), ("bypass", bypass.join(";")), ("bypass_words", words.join(" "))]);
    if let Some(certificate) = certificate {
        let digits = |digest: &[u8]| data_encoding::HEXUPPER.encode(digest);
        values.push(("ca_subject", certificate.subject().to_owned()));
        values.push(("ca_sha1", digits(&certificate.sha1())));
        values.push(("ca_sha256", digits(&certificate.sha256())));
        // The last whole line is of the signature: no other certificate has it.
        let pem = pem_of(certificate);
        let lines: Vec<&str> = pem.lines().map(str::trim).filter(|line| line.len() == 64).collect();
        values.extend(lines.last().map(|line| ("ca_line", (*line).to_owned())));
    }
    values.extend(config.contact.clone().map(|contact| ("contact", contact)));
    values
}

/// A network in patterns of whole numbers, which is all that Windows knows: up to 128 of them.
fn patterns(network: ipnet::Ipv4Net) -> Vec<String> {
    let whole = network.prefix_len().div_ceil(8).max(1) * 8;
    let parts = network.subnets(whole).into_iter().flatten();
    let written = parts.map(|part| {
        let numbers = part.network().octets().map(|number| number.to_string());
        let known = numbers.get(..usize::from(whole / 8)).unwrap_or_default().join(".");
        if whole == 32 { known } else { format!("{known}.*") }
    });
    written.collect()
}

/// A template with its values. What stands between `@if NAME@` and `@end@`, each on a line of its own, stays where
/// there is such a value; between `@else@` and `@end@` where there is none. A value is never looked through for more of
/// them.
fn filled(template: &str, values: &Values, face: Face) -> String {
    let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    let (mut text, mut stays) = (String::with_capacity(template.len()), true);
    for line in template.lines() {
        match line.strip_prefix('@').and_then(|line| line.strip_suffix('@')) {
            Some("else") => stays = !stays,
            Some("end") => stays = true,
            Some(word) if word.starts_with("if ") => stays = value(word.trim_start_matches("if ")).is_some(),
            Some(_) | None if stays => {
                fill(line, value, face, &mut text);
                text.push('\n');
            }
            Some(_) | None => {}
        }
    }
    text
}

fn fill<'v>(line: &str, value: impl Fn(&str) -> Option<&'v str>, face: Face, text: &mut String) {
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once('@') {
        text.push_str(before);
        let named = behind.split_once('@').and_then(|(name, rest)| Some((value(name)?, rest)));
        match named {
            Some((value, behind)) => {
                text.push_str(&written(value, face));
                rest = behind;
            }
            None => {
                text.push('@');
                rest = behind;
            }
        }
    }
    text.push_str(rest);
}

fn written(value: &str, face: Face) -> String {
    match face {
        Face::Text => shown(value).into_owned(),
        Face::Shell => format!("'{}'", shown(value).replace('\'', "'\\''")),
        Face::PowerShell => power_shell(&shown(value)),
    }
}

/// One expression of PowerShell, of ASCII alone: it reads files in the code page of the machine, in which any other
/// byte may be a quotation mark; and it takes five characters for single ones.
fn power_shell(text: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut plain = String::new();
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(b'\'') => plain.push_str("''"),
            Ok(byte @ b' '..=b'~') => plain.push(char::from(byte)),
            Ok(_) | Err(_) => {
                parts.push(format!("'{}'", std::mem::take(&mut plain)));
                parts.push(format!("[char]0x{unit:04X}"));
            }
        }
    }
    parts.push(format!("'{plain}'"));
    if parts.len() == 1 { parts.remove(0) } else { format!("({})", parts.join(" + ")) }
}

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::facts::Host;
use crate::parse::Section;

/// The web console; `[console]`.
#[derive(Debug, Clone)]
pub struct ConsoleSettings {
    /// Where browsers connect, at least one: addresses of loopback, or with TLS any.
    pub listen: Vec<SocketAddr>,
    /// The file of its users. Absent: `console.users` in the data directory.
    pub users: Option<PathBuf>,
    /// The files of its certificate and key.
    pub files: Option<(PathBuf, PathBuf)>,
    /// Names by which browsers may call it, beside addresses and `localhost`.
    pub names: Vec<Box<str>>,
    /// From where `/metrics` is read without a log-in.
    pub metrics: Vec<IpNet>,
    /// What of the processor the console may take, in hundredths of one core.
    pub cpu_percent: u32,
}

/// A fourth of a core: people who look and read do not come to it.
const CPU_PERCENT: u32 = 25;
/// More than its threads can take is no bound.
const CPU_PERCENT_MAX: u64 = 300;

impl ConsoleSettings {
    /// Reads the section. Passwords go over no wire in the clear: what is not loopback needs a certificate.
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let place = section.place().clone();
        let listen_at = section.place_of_key("listen").unwrap_or_else(|| place.clone());
        let listen = super::addresses(section, "listen");
        section.need_some("listen", "[\"127.0.0.1:3180\"]");
        let users = section.string("users").map(|file| PathBuf::from(file.value));
        let mut file = |key| section.string(key).map(|file| PathBuf::from(file.value));
        let files = match (file("certificate"), file("key")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                section.problem(&place, "`certificate` and `key` belong together", "write both, or neither");
                None
            }
        };
        let mut names = Vec::new();
        for name in section.strings("names").unwrap_or_default() {
            match Host::parse(name.value.as_bytes()) {
                Ok(host) => names.push(host.to_string().into()),
                Err(_) => section.problem(
                    &name.place,
                    format!("`{}` is no host name", name.value),
                    "write what people type to reach the console, such as \"gate.office.example\"",
                ),
            }
        }
        let mut metrics = vec![
            IpNet::from(std::net::IpAddr::from([127, 0, 0, 1])),
            IpNet::from(std::net::IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)),
        ];
        if let Some(given) = section.strings("metrics") {
            metrics.clear();
            for network in given {
                match crate::evidence::client_of(&network.value) {
                    Some(network) => metrics.push(network),
                    None => section.problem(
                        &network.place,
                        format!("`{}` is no address or network", network.value),
                        "write like \"10.20.0.7\" or \"10.20.0.0/24\" from where Prometheus asks",
                    ),
                }
            }
        }
        let cpu_percent = section.integer("cpu_percent", 1..=CPU_PERCENT_MAX);
        let cpu_percent = cpu_percent.and_then(|percent| u32::try_from(percent).ok()).unwrap_or(CPU_PERCENT);
        let listen = listen?;
        if let Some(open) = listen.iter().find(|address| !address.ip().to_canonical().is_loopback())
            && files.is_none()
        {
            let what = format!("{open} is not of this machine alone, and passwords would come to it in the clear");
            let fix = "write `certificate` and `key`, files in PEM, or listen on 127.0.0.1 and reach that by SSH";
            section.problem(&listen_at, what, fix);
        }
        Some(Self { listen, users, files, names, metrics, cpu_percent })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn problems(console: &str) -> String {
        match Config::read("sekisho.toml", &format!("[console]\n{console}\n")) {
            Ok(_) => String::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    }

    #[test]
    fn a_console_that_others_reach_needs_tls_and_one_of_this_machine_does_not() {
        for own in ["127.0.0.1:3180", "[::1]:3180", "127.9.9.9:0", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(problems(&format!("listen = [\"{own}\"]")), "", "{own}");
        }
        for open in ["0.0.0.0:3180", "[::]:3180", "10.0.0.1:3180", "128.0.0.1:3180"] {
            let told = problems(&format!("listen = [\"127.0.0.1:1\", \"{open}\"]"));
            assert!(told.contains("in the clear") && told.contains("sekisho.toml:2"), "{open}: {told}");
            let secured = format!("listen = [\"{open}\"]\ncertificate = \"c.pem\"\nkey = \"k.pem\"");
            assert_eq!(problems(&secured), "", "{open}");
            assert_ne!(problems(&format!("listen = [\"{open}\"]\ncertificate = \"c.pem\"")), "");
        }
    }

    #[test]
    fn each_thing_that_is_wrong_is_told() {
        let told = problems("names = [\"a b\"]\nmetrics = [\"x\"]\nrole = 1");
        for part in ["listen", "`a b`", "`x`", "role"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn a_gate_has_no_console_unless_its_config_says_so() {
        assert!(Config::default().console.is_none());
    }
}

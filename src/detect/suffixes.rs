//! Services under whose names anyone can be reached: dynamic DNS, tunnels, places to hand things on.
//!
//! That a name is under one of them says what kind of place it is, not that it is bad: offices reach their own routers so,
//! and developers show their work. It is one ground among others.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ServiceKind {
    /// Its names point wherever their holder is just now.
    DynamicDns,
    /// Its names, or its meeting points, lead into a machine behind a firewall.
    Tunnel,
    /// Files are handed on without an account.
    FileDrop,
    /// Texts are handed on without an account.
    Paste,
    /// Whatever is sent to it is kept, for whoever made the address.
    Catcher,
}

impl ServiceKind {
    fn of(word: &str) -> Option<Self> {
        match word {
            "dynamic_dns" => Some(Self::DynamicDns),
            "tunnel" => Some(Self::Tunnel),
            "file_drop" => Some(Self::FileDrop),
            "paste" => Some(Self::Paste),
            "catcher" => Some(Self::Catcher),
            _ => None,
        }
    }

    /// The word of records.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::DynamicDns => "dynamic_dns",
            Self::Tunnel => "tunnel",
            Self::FileDrop => "file_drop",
            Self::Paste => "paste",
            Self::Catcher => "catcher",
        }
    }
}

/// A service, and by which of its suffixes it was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Service {
    pub suffix: &'static str,
    pub kind: ServiceKind,
    /// What people call it.
    pub name: &'static str,
}

static LIST: &str = include_str!("suffixes.txt");
static SERVICES: LazyLock<HashMap<&'static str, Service>> = LazyLock::new(|| services(LIST).collect());

/// The service under whose name a host is, by the longest suffix that fits at the borders of labels, without regard to case.
///
/// Of dynamic DNS the suffix itself and its `www` are the service's own page, not a name that it gave away: nothing is
/// said of them. Of the other kinds the suffix itself counts too.
pub(super) fn service_of(host: &str) -> Option<Service> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.len() > HOST_BYTES_MAX {
        return None;
    }
    let lower = host.to_ascii_lowercase();
    let borders = lower.match_indices('.').map(|(dot, _)| dot + 1);
    std::iter::once(0).chain(borders).find_map(|start| {
        let service = SERVICES.get(lower.get(start..)?)?;
        let left = lower.get(..start)?;
        let is_own_page = service.kind == ServiceKind::DynamicDns && matches!(left, "" | "www.");
        (!is_own_page).then_some(*service)
    })
}

/// No name is longer (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 255;

/// The lines of the list; a line that is not understood is left out, and a test sees to it that there is none.
fn services(list: &'static str) -> impl Iterator<Item = (&'static str, Service)> {
    list.lines().filter(|line| !line.starts_with('#')).filter_map(line).flatten()
}

fn line(line: &'static str) -> Option<impl Iterator<Item = (&'static str, Service)>> {
    let mut parts = line.split('|').map(str::trim);
    let (kind, name, suffixes) = (ServiceKind::of(parts.next()?)?, parts.next()?, parts.next()?);
    Some(suffixes.split_ascii_whitespace().map(move |suffix| (suffix, Service { suffix, kind, name })))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn kind_of(host: &str) -> Option<(ServiceKind, &'static str)> {
        service_of(host).map(|service| (service.kind, service.name))
    }

    #[test]
    fn every_line_of_the_list_is_understood_and_no_suffix_stands_twice() {
        let lines = LIST.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let mut suffixes = 0;
        for text in lines {
            let found: Vec<_> = line(text).unwrap_or_else(|| panic!("{text}")).collect();
            assert!(!found.is_empty() && text.split('|').count() == 3, "{text}");
            suffixes += found.len();
            for (suffix, service) in found {
                let is_name = suffix
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte));
                assert!(
                    is_name && suffix.contains('.') && !suffix.starts_with('.') && !suffix.ends_with('.'),
                    "{suffix}"
                );
                let public = psl::suffix(suffix.as_bytes()).unwrap();
                let sold = public.as_bytes().len() == suffix.len() && public.typ() == Some(psl::Type::Icann);
                assert!(!sold, "{suffix}: a registry sells names under it, to anyone");
                assert_eq!(ServiceKind::of(service.kind.word()), Some(service.kind));
            }
        }
        assert_eq!(SERVICES.len(), suffixes);
        assert!(suffixes > 500, "{suffixes}");
    }

    #[test]
    fn names_under_dynamic_dns_and_tunnels_are_known_with_their_service() {
        for (host, kind, name) in [
            ("shop.duckdns.org", ServiceKind::DynamicDns, "DuckDNS"),
            ("a.b.hopto.org", ServiceKind::DynamicDns, "No-IP"),
            ("update.mydns.jp", ServiceKind::DynamicDns, "MyDNS.JP"),
            ("home.ddo.jp", ServiceKind::DynamicDns, "Dynamic DO!.jp"),
            ("kaisha.aa0.netvolante.jp", ServiceKind::DynamicDns, "NetVolante (Yamaha)"),
            ("abc123xyz.ngrok-free.dev", ServiceKind::Tunnel, "ngrok"),
            ("quick-brown-fox.trycloudflare.com", ServiceKind::Tunnel, "Cloudflare Tunnel"),
            ("region1.v2.argotunnel.com", ServiceKind::Tunnel, "Cloudflare Tunnel"),
            ("SERVEO.net.", ServiceKind::Tunnel, "Serveo"),
            ("x7f.lhr.life", ServiceKind::Tunnel, "localhost.run"),
            ("12-gigafile.gigafile.nu", ServiceKind::FileDrop, "GigaFile"),
            ("pastebin.com", ServiceKind::Paste, "Pastebin"),
            ("c2vjcmv0.oast.fun", ServiceKind::Catcher, "Interactsh"),
        ] {
            assert_eq!(kind_of(host), Some((kind, name)), "{host}");
        }
        assert_eq!(service_of("x.tunnel.jp.ngrok.com").unwrap().suffix, "tunnel.jp.ngrok.com", "the longest one");
    }

    #[test]
    fn neighbours_and_the_services_own_pages_are_not_under_a_service() {
        for host in [
            "duckdns.org",
            "www.duckdns.org",
            "www.mydns.jp",
            "notduckdns.org",
            "duckdns.org.example.com",
            "my-duckdns.org",
            "ngrok.com",
            "xngrok.io",
            "example.com",
            "www.example.co.jp",
            "org",
            "",
            ".",
            "..",
            "192.0.2.1",
            "[2001:db8::1]",
        ] {
            assert_eq!(service_of(host), None, "{host}");
        }
        assert!(service_of("www.shop.duckdns.org").is_some(), "a name given away, whatever stands before it");
    }

    proptest! {
        #[test]
        fn whatever_stands_before_a_border_is_under_the_service_and_nothing_without_a_border(text in "(?s).{0,40}", pick in 0_usize..1000) {
            let mut suffixes: Vec<&str> = SERVICES.keys().copied().collect();
            suffixes.sort_unstable();
            let suffix = suffixes[pick % suffixes.len()];
            service_of(&text);
            let (below, elsewhere) = (format!("{text}.a.{suffix}"), format!("a.{text}-{suffix}.invalid"));
            prop_assert_eq!(service_of(&below).map(|service| service.suffix), Some(suffix));
            prop_assert_eq!(service_of(&elsewhere), None);
        }
    }
}

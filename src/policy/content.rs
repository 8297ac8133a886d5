use crate::facts::{Hello, Host};
use crate::parse::FirstBytes;

use super::decision::Permit;

/// What a rule says of the content of a tunnel; it outlives the permit, which the dial spends.
#[derive(Debug, Clone)]
pub struct ContentTerms {
    host: Host,
    any_protocol: bool,
    any_sni: bool,
    ech_denied: bool,
    observed: bool,
}

/// What the first bytes of a tunnel break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The word used in records.
    pub code: &'static str,
    pub detail: Option<String>,
}

/// Whether a tunnel may go on after its first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Passes,
    /// It goes on, as the policy only observes.
    WouldEnd(Broken),
    Ends(Broken),
}

impl ContentTerms {
    pub(super) fn of(permit: &Permit) -> Self {
        Self {
            host: permit.host().clone(),
            any_protocol: permit.terms().any_protocol(),
            any_sni: permit.terms().any_sni(),
            ech_denied: permit.terms().ech_denied(),
            observed: permit.observed(),
        }
    }

    /// Whether nothing passes before the client has shown a ClientHello that agrees.
    pub fn wait_for_hello(&self) -> bool {
        !self.any_protocol && !self.observed
    }

    /// Judges the first bytes of the tunnel.
    pub fn judge(&self, seen: &FirstBytes) -> Content {
        match seen {
            FirstBytes::Tls(hello) => self.judge_hello(hello),
            FirstBytes::Silent | FirstBytes::BadTls(_) | FirstBytes::Http | FirstBytes::Ssh | FirstBytes::Other
                if self.any_protocol =>
            {
                Content::Passes
            }
            FirstBytes::NestedConnect
            | FirstBytes::Silent
            | FirstBytes::Unfinished
            | FirstBytes::BadTls(_)
            | FirstBytes::Http
            | FirstBytes::Ssh
            | FirstBytes::Other => Broken::of_first_bytes(seen).map_or(Content::Passes, |broken| self.ends(broken)),
        }
    }

    /// The same of a hello, also where its tunnel is looked into and this is about a request in it.
    pub fn judge_hello(&self, hello: &Hello) -> Content {
        if self.ech_denied && hello.ech {
            let detail = "the ClientHello has the extension encrypted_client_hello".to_owned();
            return self.broken("ech_denied", Some(detail));
        }
        if self.any_sni || sni_agrees(hello, &self.host) {
            return Content::Passes;
        }
        self.broken("sni_mismatch", hello.sni.as_deref().map(|sni| format!("the ClientHello names {sni}")))
    }

    fn broken(&self, code: &'static str, detail: Option<String>) -> Content {
        self.ends(Broken { code, detail })
    }

    fn ends(&self, broken: Broken) -> Content {
        if self.observed { Content::WouldEnd(broken) } else { Content::Ends(broken) }
    }
}

impl Broken {
    /// What is wrong with first bytes where a ClientHello must come; `None` of a hello.
    pub fn of_first_bytes(seen: &FirstBytes) -> Option<Self> {
        let (code, detail) = match seen {
            FirstBytes::Tls(_) => return None,
            FirstBytes::NestedConnect => ("nested_connect", None),
            FirstBytes::BadTls(fault) => (fault.name(), Some(fault.to_string())),
            // What would follow the unfinished is not looked at.
            FirstBytes::Silent | FirstBytes::Unfinished => ("hello_timeout", None),
            FirstBytes::Http | FirstBytes::Ssh | FirstBytes::Other => {
                ("not_tls", Some(format!("the first bytes are {}", seen.carries())))
            }
        };
        Some(Self { code, detail })
    }
}

/// The SNI must name the CONNECT's host. A tunnel to an address has no name to compare, and sends
/// none (RFC 6066 §3).
fn sni_agrees(hello: &Hello, host: &Host) -> bool {
    match (&hello.sni, host) {
        (Some(sni), host) => Host::parse(sni.as_bytes()).is_ok_and(|named| named == *host),
        (None, Host::V4(_) | Host::V6(_)) => true,
        (None, Host::Name(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::facts::TlsVersion;

    use super::*;

    fn terms(any_protocol: bool, any_sni: bool, observed: bool) -> ContentTerms {
        ContentTerms { host: Host::parse(b"a.example").unwrap(), any_protocol, any_sni, ech_denied: false, observed }
    }

    fn tls(sni: Option<&str>) -> FirstBytes {
        FirstBytes::Tls(Box::new(Hello {
            traits: crate::facts::HelloTraits::NONE,
            sni: sni.map(Into::into),
            alpn: Vec::new(),
            ja4: "".into(),
            stable_key: "".into(),
            ech: false,
            version: TlsVersion::Tls13,
        }))
    }

    fn ends(code: &str, terms: &ContentTerms, seen: &FirstBytes) {
        assert!(matches!(terms.judge(seen), Content::Ends(broken) if broken.code == code), "{seen:?}");
    }

    #[test]
    fn a_strict_rule_passes_a_hello_that_agrees_and_nothing_else() {
        let strict = terms(false, false, false);
        assert!(strict.wait_for_hello());
        assert_eq!(strict.judge(&tls(Some("A.example"))), Content::Passes);
        for (code, seen) in [
            ("sni_mismatch", tls(Some("b.example"))),
            ("sni_mismatch", tls(None)),
            ("nested_connect", FirstBytes::NestedConnect),
            ("hello_timeout", FirstBytes::Unfinished),
            ("not_tls", FirstBytes::Http),
            ("not_tls", FirstBytes::Ssh),
            ("not_tls", FirstBytes::Other),
            ("hello_timeout", FirstBytes::Silent),
        ] {
            ends(code, &strict, &seen);
        }
    }

    #[test]
    fn a_rule_relaxes_what_it_names_and_no_more() {
        let any_protocol = terms(true, false, false);
        assert_eq!(any_protocol.judge(&FirstBytes::Ssh), Content::Passes);
        ends("sni_mismatch", &any_protocol, &tls(Some("b.example")));
        ends("nested_connect", &any_protocol, &FirstBytes::NestedConnect);
        ends("hello_timeout", &any_protocol, &FirstBytes::Unfinished);
        let any_sni = terms(false, true, false);
        assert_eq!(any_sni.judge(&tls(Some("b.example"))), Content::Passes);
        ends("not_tls", &any_sni, &FirstBytes::Http);
    }

    #[test]
    fn what_is_observed_goes_on_and_is_told() {
        let observed = terms(false, false, true);
        assert!(!observed.wait_for_hello());
        assert!(matches!(observed.judge(&FirstBytes::NestedConnect), Content::WouldEnd(_)));
        assert_eq!(observed.judge(&tls(Some("a.example"))), Content::Passes);
    }
}

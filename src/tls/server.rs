use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use crate::facts::Host;

use super::mint::{Leaf, Minter};

/// The application protocols that a side is offered (RFC 7301), the preferred one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Offered {
    /// HTTP/1.1 alone: for a client whose origin has no more, and for WebSockets.
    Http1 = 0,
    /// HTTP/2, else HTTP/1.1.
    Http2 = 1,
}

impl Offered {
    pub(super) const COUNT: usize = 2;

    pub(super) fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Offered::Http1 => vec![b"http/1.1".to_vec()],
            Offered::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// The one configuration by which connections of clients to this host are answered.
pub(super) fn config(minter: &Minter, host: &Host, leaf: &Leaf, offered: Offered) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(minter.provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites of both versions");
    let resolver = ForHost { host: host.clone(), certified: leaf.certified.clone() };
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = offered.protocols();
    // Tickets alone: what a store holds would have to be bounded, and bound to hosts, once more.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::new(BoundTickets { bond: bond(host, &leaf.authority), inner: minter.tickets.clone() });
    config
}

/// Shows the certificate of one host to whoever asks for that host.
#[derive(Debug)]
struct ForHost {
    host: Host,
    certified: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ForHost {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_asked = match (hello.server_name(), &self.host) {
            (None, _) => true,
            (Some(asked), Host::Name(name)) => asked.eq_ignore_ascii_case(name.as_str()),
            (Some(_), Host::V4(_) | Host::V6(_)) => false,
        };
        is_asked.then(|| self.certified.clone())
    }
}

/// Tickets that are taken back for one host under one authority alone.
///
/// The library compares the names of both hellos itself, but two hellos without a name are equal to it: without
/// the bond, a session with one address could be resumed with another. The bond lies within the encrypted and
/// authenticated part of the ticket.
struct BoundTickets {
    bond: [u8; 32],
    inner: Arc<dyn ProducesTickets>,
}

fn bond(host: &Host, authority: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(authority);
    hash.update(host.to_string());
    hash.finalize().into()
}

impl ProducesTickets for BoundTickets {
    fn enabled(&self) -> bool {
        self.inner.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.inner.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let bound = zeroize::Zeroizing::new([&self.bond, plain].concat());
        self.inner.encrypt(&bound)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let bound = zeroize::Zeroizing::new(self.inner.decrypt(cipher)?);
        bound.strip_prefix(&self.bond).map(<[u8]>::to_vec)
    }
}

impl fmt::Debug for BoundTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoundTickets")
    }
}

#[cfg(test)]
mod tests;

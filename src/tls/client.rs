use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The authorities whose word is taken for who a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Roots {
    /// Those that this system trusts: on Debian the package `ca-certificates`.
    System,
    /// Those of a PEM file, and no others.
    File(PathBuf),
}

/// Why no server could be verified.
#[derive(Debug, thiserror::Error)]
pub enum NoRoots {
    #[error("this system trusts no certificate authority{}: install the package ca-certificates, or name a ca_file", in_brackets(.0))]
    System(Option<String>),
    #[error("cannot read the CA certificates of {}: {why}", .path.display())]
    File { path: PathBuf, why: String },
    #[error("{} holds no CA certificate that can be used: it must be a PEM file", .0.display())]
    None(PathBuf),
    #[error("the cryptography cannot be set up: {0}")]
    Setup(rustls::Error),
    #[error("cannot use the revocation lists of {}: {why}", .path.display())]
    List { path: PathBuf, why: String },
    #[error("the revocation lists cannot be used: {0}")]
    Lists(String),
}

fn in_brackets(why: &Option<String>) -> String {
    why.as_ref().map_or(String::new(), |why| format!(" ({why})"))
}

/// What a connection of the gate's own is made with: TLS 1.2 or 1.3, HTTP/1.1 inside, and a server that one
/// of the roots vouches for by the name that was asked for.
///
/// # Errors
/// There is no root to be had.
pub fn client(roots: &Roots) -> Result<Arc<ClientConfig>, NoRoots> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(NoRoots::Setup)?;
    let mut store = RootCertStore::empty();
    add(&mut store, roots)?;
    let mut config = builder.with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The same with no protocol named inside: for what is no HTTP.
///
/// # Errors
/// There is no root to be had.
pub fn client_of_any(roots: &Roots) -> Result<Arc<ClientConfig>, NoRoots> {
    let mut config = client(roots)?;
    Arc::make_mut(&mut config).alpn_protocols.clear();
    Ok(config)
}

/// Adds roots to a store; at least one must come of it.
pub(super) fn add(store: &mut RootCertStore, roots: &Roots) -> Result<(), NoRoots> {
    match roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = store.add_parsable_certificates(found.certs);
            if added == 0 {
                return Err(NoRoots::System(found.errors.first().map(ToString::to_string)));
            }
        }
        Roots::File(path) => {
            let failed =
                |why: rustls::pki_types::pem::Error| NoRoots::File { path: path.clone(), why: why.to_string() };
            let found = CertificateDer::pem_file_iter(path).map_err(failed)?;
            let found = found.collect::<Result<Vec<_>, _>>().map_err(failed)?;
            let (added, _) = store.add_parsable_certificates(found);
            if added == 0 {
                return Err(NoRoots::None(path.clone()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_said_to_be_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_path_buf();
        assert!(matches!(client(&Roots::File(path.clone())), Err(NoRoots::None(named)) if named == path));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(client(&Roots::File(path.clone())), Err(NoRoots::None(_))));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(client(&Roots::File(path.clone())), Err(NoRoots::File { .. })));
        let nowhere = path.with_extension("gone");
        assert!(matches!(client(&Roots::File(nowhere)), Err(NoRoots::File { .. })));
    }
}

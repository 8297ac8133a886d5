use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;

use super::server::Offered;

/// Why a certificate and its key cannot be shown to clients.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{0} is longer than 1 MiB")]
    TooLong(PathBuf),
    #[error("{0} holds no certificate in PEM: the server's own comes first, then who vouches for it")]
    NoCertificate(PathBuf),
    #[error("{0} holds no private key in PEM")]
    NoKey(PathBuf),
    #[error("everybody may read the key in {0}: chmod o= takes that away")]
    KeyIsOpen(PathBuf),
    #[error("{certificate} and {key} do not belong together, or are of a kind that TLS here does not take: {why}")]
    NotAPair { certificate: PathBuf, key: PathBuf, why: rustls::Error },
    #[error("the system has no randomness")]
    NoRandomness,
}

const FILE_BYTES_MAX: u64 = 1 << 20;

/// What clients are answered with that speak TLS to the proxy itself: TLS 1.2 or 1.3, HTTP/2 or HTTP/1.1, and a
/// certificate from files in PEM, the chain behind it.
///
/// # Errors
/// The files cannot be read, are not what they must be, or the key is open to all.
pub fn proxy_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, PairError> {
    let (chain, _) = read(certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>().unwrap_or_default();
    if chain.is_empty() {
        return Err(PairError::NoCertificate(certificate.into()));
    }
    let (text, mode) = read(key)?;
    if mode & 0o007 != 0 {
        return Err(PairError::KeyIsOpen(key.into()));
    }
    let text = zeroize::Zeroizing::new(text);
    let secret = PrivateKeyDer::from_pem_slice(&text).map_err(|_| PairError::NoKey(key.into()))?;
    let not_a_pair = |why| PairError::NotAPair { certificate: certificate.into(), key: key.into(), why };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(not_a_pair)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(not_a_pair)?;
    config.alpn_protocols = Offered::Http2.protocols();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|_| PairError::NoRandomness)?;
    Ok(Arc::new(config))
}

/// The content of a file, and who may read it.
fn read(path: &Path) -> Result<(Vec<u8>, u32), PairError> {
    let failed = |source| PairError::Read { path: path.into(), source };
    let told = std::fs::metadata(path).map_err(failed)?;
    if told.len() > FILE_BYTES_MAX {
        return Err(PairError::TooLong(path.into()));
    }
    Ok((std::fs::read(path).map_err(failed)?, told.mode()))
}

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroize;

/// The key of an authority, wherever it is.
///
/// The gate has one kind, a key in a file. A key in hardware (PKCS#11, a TPM) is another kind of this: it shows its
/// public half and signs, and its private half never comes here. A call of `sign` may wait for the device; it is
/// made on the thread that mints.
pub trait Signer: Send + Sync {
    /// The public key: an uncompressed point on P-256 (SEC 1 §2.3.3), 65 octets.
    fn public_key(&self) -> &[u8];

    /// ECDSA with SHA-256 over this message, as a DER `Ecdsa-Sig-Value` (RFC 3279 §2.2.3).
    ///
    /// # Errors
    /// The key cannot sign now.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CannotSign>;
}

/// A key did not sign. What it is about never holds a part of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key of the authority did not sign: {0}")]
pub struct CannotSign(pub String);

/// A key that was read from a file. It cannot be shown, and its bytes are wiped when it goes; the copy that the
/// cryptography works with is freed by it.
pub(super) struct FileKey(KeyPair);

impl FileKey {
    /// A new key, of the system's randomness.
    pub(super) fn generate() -> Result<Self, CannotSign> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self).map_err(|error| CannotSign(error.to_string()))
    }

    /// Reads PKCS#8 (RFC 5958); `None` where it is no P-256 key.
    pub(super) fn read(pkcs8: &PrivatePkcs8KeyDer<'_>) -> Option<Self> {
        KeyPair::from_pkcs8_der_and_sign_algo(pkcs8, &PKCS_ECDSA_P256_SHA256).ok().map(Self)
    }

    /// The private key, as PKCS#8 in PEM, wiped after use.
    pub(super) fn to_pem(&self) -> zeroize::Zeroizing<String> {
        zeroize::Zeroizing::new(self.0.serialize_pem())
    }
}

impl Signer for FileKey {
    fn public_key(&self) -> &[u8] {
        self.0.public_key_raw()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CannotSign> {
        SigningKey::sign(&self.0, message).map_err(|error| CannotSign(error.to_string()))
    }
}

impl Drop for FileKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A signer, as what makes certificates asks for it.
pub(super) struct Key(pub(super) Box<dyn Signer>);

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        // The library's error has no room for why; a caller that must know asks the signer.
        self.0.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

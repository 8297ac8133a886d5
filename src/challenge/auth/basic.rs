//! Basic (RFC 7617): a name and a password as they are.

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::fault::AuthFault;
use super::scheme::{Scheme, scheme_of};

/// Bytes of a name.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of a password. SHA-crypt takes a time that grows with the square of it.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// A password that somebody sent. It is wiped where it is dropped, and shown nowhere: it has no debug form.
pub struct Password(Zeroizing<Box<[u8]>>);

impl Password {
    /// Takes it as it was typed.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.as_bytes().into()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Reads the value of a `Proxy-Authorization` of the scheme Basic: a name of 1 to [`NAME_BYTES_MAX`] bytes and a
/// password of up to [`PASSWORD_BYTES_MAX`], UTF-8 without control characters. The password may hold colons.
///
/// # Errors
/// The first thing that is wrong. Base64 is taken in its one canonical form only (RFC 4648 §3.5).
pub fn parse_basic(field: &[u8]) -> Result<(Box<str>, Password), AuthFault> {
    match scheme_of(field)? {
        (Scheme::Basic, rest) => read(rest),
        (Scheme::Digest, _) => Err(AuthFault::SchemeNotOffered),
        (Scheme::Negotiate, _) => Err(AuthFault::NegotiateUnsupported),
    }
}

/// The same behind the name of the scheme.
pub(super) fn read(encoded: &[u8]) -> Result<(Box<str>, Password), AuthFault> {
    const DECODED_MAX: usize = NAME_BYTES_MAX + 1 + PASSWORD_BYTES_MAX;
    let length = BASE64.decode_len(encoded.len()).map_err(|_| AuthFault::BadBase64)?;
    // Two bytes of it may be padding.
    if length > DECODED_MAX + 2 {
        return Err(AuthFault::TooLong);
    }
    let mut decoded = Zeroizing::new(vec![0; length]);
    let length = BASE64.decode_mut(encoded, &mut decoded).map_err(|_| AuthFault::BadBase64)?;
    let decoded = decoded.get(..length).unwrap_or_default();
    let text = str::from_utf8(decoded).map_err(|_| AuthFault::NotUtf8)?;
    if text.chars().any(char::is_control) {
        return Err(AuthFault::Control);
    }
    let (name, password) = text.split_once(':').ok_or(AuthFault::NoColon)?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(AuthFault::BadName);
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(AuthFault::PasswordTooLong);
    }
    Ok((name.into(), Password::new(password)))
}

#[cfg(test)]
mod tests;

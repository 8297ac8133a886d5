use crate::parse::is_token_byte;

use super::fault::AuthFault;

/// How a client shows who its user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// RFC 7616: the password does not cross the network.
    Digest,
    /// RFC 7617: the password crosses the network, readable where the way to the gate is not encrypted.
    Basic,
    /// RFC 4559, Kerberos and NTLM. Nothing here understands it: config and credentials of it are refused.
    Negotiate,
}

impl Scheme {
    /// The word of the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Digest => "digest",
            Scheme::Basic => "basic",
            Scheme::Negotiate => "negotiate",
        }
    }
}

/// Bytes of a `Proxy-Authorization` that are read. Digest repeats the whole target in it.
pub const CREDENTIALS_BYTES_MAX: usize = 32 << 10;

/// The scheme that a field's value names, and what stands behind it, without the spaces between.
pub(super) fn scheme_of(field: &[u8]) -> Result<(Scheme, &[u8]), AuthFault> {
    if field.len() > CREDENTIALS_BYTES_MAX {
        return Err(AuthFault::TooLong);
    }
    let end = field.iter().position(|b| !is_token_byte(*b)).unwrap_or(field.len());
    let (name, rest) = field.split_at(end);
    if name.is_empty() || !(rest.is_empty() || rest.starts_with(b" ")) {
        return Err(AuthFault::NoScheme);
    }
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let scheme = match () {
        () if is("basic") => Scheme::Basic,
        () if is("digest") => Scheme::Digest,
        () if is("negotiate") || is("ntlm") || is("kerberos") => Scheme::Negotiate,
        () => return Err(AuthFault::SchemeNotOffered),
    };
    let spaces = rest.iter().take_while(|b| **b == b' ').count();
    Ok((scheme, &rest[spaces..]))
}

#[cfg(test)]
mod tests;

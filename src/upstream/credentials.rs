use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64;

use crate::policy::Parent;

/// What a parent is shown (RFC 7617): the value of `Proxy-Authorization`. It is never written anywhere
/// else, and its debug form hides it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credentials(Arc<str>);

/// Why a file holds no credentials. None of its content is in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCredentials {
    #[error("it is longer than {CREDENTIALS_BYTES_MAX} bytes")]
    TooLong,
    #[error("it is not UTF-8 text")]
    NotText,
    #[error("it holds more than one line, or a control character")]
    Control,
    #[error("it holds no `user:password`")]
    NoPair,
}

/// A file of credentials is read this far, and refused beyond.
pub const CREDENTIALS_BYTES_MAX: usize = 4096;

impl Credentials {
    /// Reads the content of a file: one line, `user:password`, with or without a line end. The password
    /// may be empty and may hold colons; the user may do neither.
    ///
    /// # Errors
    /// What is wrong, without the content.
    pub fn parse(file: &[u8]) -> Result<Self, BadCredentials> {
        if file.len() > CREDENTIALS_BYTES_MAX {
            return Err(BadCredentials::TooLong);
        }
        let text = str::from_utf8(file).map_err(|_| BadCredentials::NotText)?;
        let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        if line.chars().any(char::is_control) {
            return Err(BadCredentials::Control);
        }
        if line.split_once(':').is_none_or(|(user, _)| user.is_empty()) {
            return Err(BadCredentials::NoPair);
        }
        Ok(Self(format!("Basic {}", BASE64.encode(line.as_bytes())).into()))
    }

    /// The value of the field, for the parent's eyes alone.
    pub fn field_value(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

/// The credentials of every parent of a policy, by the file that the policy names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRing(HashMap<Box<str>, Credentials>);

impl KeyRing {
    pub fn add(&mut self, file: &str, credentials: Credentials) {
        self.0.insert(file.into(), credentials);
    }

    /// What this parent is shown. One whose file is not on the ring is shown nothing, and will refuse.
    pub(super) fn of(&self, parent: &Parent) -> Option<&Credentials> {
        self.0.get(parent.credentials()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_user_and_password_is_taken_and_all_else_refused_by_its_kind() {
        for line in ["gate:secret", "gate:secret\n", "gate:secret\r\n"] {
            assert_eq!(Credentials::parse(line.as_bytes()).unwrap().field_value(), "Basic Z2F0ZTpzZWNyZXQ=");
        }
        assert_eq!(Credentials::parse("u:p:ä".as_bytes()).unwrap().field_value(), "Basic dTpwOsOk");
        assert!(Credentials::parse(b"gate:").is_ok());
        let long = format!("u:{}", "p".repeat(CREDENTIALS_BYTES_MAX));
        for (file, bad) in [
            ("", BadCredentials::NoPair),
            ("\n", BadCredentials::NoPair),
            ("gate", BadCredentials::NoPair),
            (":secret", BadCredentials::NoPair),
            ("a:b\nc:d\n", BadCredentials::Control),
            ("a:b\n\n", BadCredentials::Control),
            ("a:b\rX: y", BadCredentials::Control),
            ("a:\tb", BadCredentials::Control),
            ("a:b\u{85}", BadCredentials::Control),
            (long.as_str(), BadCredentials::TooLong),
        ] {
            assert_eq!(Credentials::parse(file.as_bytes()), Err(bad), "{file:?}");
        }
        assert_eq!(Credentials::parse(b"a:\xff"), Err(BadCredentials::NotText));
        assert!(Credentials::parse(&long.as_bytes()[..CREDENTIALS_BYTES_MAX]).is_ok());
    }

    #[test]
    fn the_debug_form_hides_what_it_holds() {
        let mut ring = KeyRing::default();
        ring.add("uplink.credentials", Credentials::parse(b"gate:secret").unwrap());
        let shown = format!("{ring:?}");
        assert!(shown.contains("hidden") && !shown.contains("Z2F0") && !shown.contains("secret"), "{shown}");
    }
}

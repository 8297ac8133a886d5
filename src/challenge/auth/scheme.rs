//! Schemes of authentication: what the config offers, and what a client answers with.

use crate::parse::{Place, Section, is_token_byte};

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

/// Whose realm a user of the gate belongs to; it is shown to clients, and it is hashed into what a digest file
/// holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm(Box<str>);

impl Realm {
    /// 1 to 64 printable ASCII characters, without `"`, `\` and `:`: it stands in quotes in a field, and between
    /// colons in a file.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| (b.is_ascii_graphic() || b == b' ') && !matches!(b, b'"' | b'\\' | b':');
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(plain) && text.trim() == text;
        fits.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the config says of authentication: `[authentication]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub realm: Realm,
    /// What is offered: one or both of [`Scheme::Digest`] and [`Scheme::Basic`].
    pub schemes: Vec<Scheme>,
    /// The file of passwords, where Basic is offered.
    pub users: Option<Box<str>>,
    /// The file of digests, where Digest is offered.
    pub digest: Option<Box<str>>,
    /// The file of groups.
    pub groups: Option<Box<str>>,
}

impl Settings {
    /// Reads the section. The caller finishes it.
    ///
    /// `None` means that problems were reported. Nothing is taken for granted: the realm and at least one scheme
    /// must be there, each scheme with its file, and no file without its scheme.
    pub fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let realm = read_realm(section);
        let schemes = read_schemes(section);
        let users = section.string("users");
        let digest = section.string("digest");
        let groups = section.string("groups").map(|path| path.value.into());
        let schemes = schemes?;
        let mut whole = true;
        for (scheme, key, file, example) in [
            (Scheme::Basic, "users", &users, "users = \"users.htpasswd\""),
            (Scheme::Digest, "digest", &digest, "digest = \"users.htdigest\""),
        ] {
            let offered = schemes.contains(&scheme);
            let word = scheme.as_str();
            let (place, what, fix): (&Place, _, _) = match file {
                Some(path) if !offered => (
                    &path.place,
                    format!("`{key}` is of no use: `schemes` does not offer {word:?}"),
                    format!("add {word:?} to `schemes`, or take the key away"),
                ),
                None if offered && !section.has(key) => {
                    (section.place(), format!("`{key}` is missing, and {word:?} needs it"), format!("write {example}"))
                }
                Some(_) => continue,
                None => {
                    // A key of another type is reported already.
                    whole &= !offered;
                    continue;
                }
            };
            section.problem(place, what, fix);
            whole = false;
        }
        let path = |file: Option<crate::parse::Placed<String>>| file.map(|path| path.value.into());
        Some(Self { realm: realm?, schemes, users: path(users), digest: path(digest), groups }).filter(|_| whole)
    }
}

fn read_realm(section: &mut Section<'_, '_>) -> Option<Realm> {
    const FIX: &str =
        "write 1 to 64 printable ASCII characters without quotes, backslashes and colons: realm = \"Example Ltd\"";
    let Some(text) = section.string("realm") else {
        if !section.has("realm") {
            let place = section.place().clone();
            section.problem(&place, "`realm` is missing", FIX);
        }
        return None;
    };
    let realm = Realm::parse(&text.value);
    if realm.is_none() {
        section.problem(&text.place, format!("`realm` cannot be {:?}", text.value), FIX);
    }
    realm
}

fn read_schemes(section: &mut Section<'_, '_>) -> Option<Vec<Scheme>> {
    let words = section.strings("schemes");
    section.need_some("schemes", "[\"digest\", \"basic\"]");
    let words = words?;
    let mut schemes = Vec::new();
    let mut whole = !words.is_empty();
    for word in words {
        let scheme = [Scheme::Digest, Scheme::Basic, Scheme::Negotiate].into_iter().find(|s| s.as_str() == word.value);
        let (what, fix) = match scheme {
            Some(Scheme::Negotiate) => (
                "\"negotiate\" (Kerberos, NTLM) is not supported".to_owned(),
                "offer \"digest\" or \"basic\"".to_owned(),
            ),
            Some(scheme) if schemes.contains(&scheme) => {
                (format!("{:?} stands twice in `schemes`", word.value), "leave one of them out".to_owned())
            }
            Some(scheme) => {
                schemes.push(scheme);
                continue;
            }
            None => (
                format!("`schemes` cannot hold {:?}", word.value),
                crate::parse::did_you_mean(&word.value, ["digest", "basic"].into_iter())
                    .unwrap_or_else(|| "write \"digest\", \"basic\", or both".to_owned()),
            ),
        };
        section.problem(&word.place, what, fix);
        whole = false;
    }
    whole.then_some(schemes)
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

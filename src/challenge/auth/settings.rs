use crate::parse::{Placed, Section, did_you_mean};

use super::scheme::Scheme;

/// The realm of the gate's users (RFC 9110 §11.5). Clients are shown it, and it is hashed into what a digest file
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
            let word = scheme.as_str();
            match (file, schemes.contains(&scheme)) {
                (Some(_), true) | (None, false) => continue,
                (Some(path), false) => {
                    let what = format!("`{key}` is of no use: `schemes` does not offer {word:?}");
                    section.problem(&path.place, what, format!("add {word:?} to `schemes`, or take the key away"));
                }
                // A key of another type is reported already.
                (None, true) if section.has(key) => {}
                (None, true) => {
                    let what = format!("`{key}` is missing, and {word:?} needs it");
                    section.problem(section.place(), what, format!("write {example}"));
                }
            }
            whole = false;
        }
        let path = |file: Option<Placed<String>>| file.map(|path| path.value.into());
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
                did_you_mean(&word.value, ["digest", "basic"].into_iter())
                    .unwrap_or_else(|| "write \"digest\", \"basic\", or both".to_owned()),
            ),
        };
        section.problem(&word.place, what, fix);
        whole = false;
    }
    whole.then_some(schemes)
}

#[cfg(test)]
mod tests;

//! Digest (RFC 7616): what a client sends instead of a password, and what it ought to be.
//!
//! Firefox 153 does not answer Digest for a name beyond ASCII: it sends Basic where that is offered, else nothing.

use std::borrow::Cow;
use std::fmt;

use data_encoding::HEXLOWER;

use super::basic::NAME_BYTES_MAX;
use super::fault::AuthFault;
use super::hash::same;
use crate::parse::is_token_byte;

/// A hash of Digest. The variants for sessions (`-sess`) are not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Sha256,
    Md5,
}

impl Algorithm {
    /// The token of the field (RFC 7616 §3.3).
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Md5 => "MD5",
        }
    }

    /// The hash of these parts with colons between them, in lower-case hexadecimal digits.
    fn hash(self, parts: &[&[u8]]) -> String {
        fn of<D: md5::Digest>(parts: &[&[u8]]) -> String {
            let mut hasher = D::new();
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    hasher.update(b":");
                }
                hasher.update(part);
            }
            HEXLOWER.encode(&hasher.finalize())
        }
        match self {
            Algorithm::Sha256 => of::<sha2::Sha256>(parts),
            Algorithm::Md5 => of::<md5::Md5>(parts),
        }
    }
}

/// The hash of `name:realm:password`. Whoever has it can log in as its user by Digest, so it is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Ha1 {
    Md5([u8; 16]),
    Sha256([u8; 32]),
}

impl Ha1 {
    /// 16 bytes are of MD5, 32 of SHA-256.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let md5 = bytes.try_into().map(Self::Md5).ok();
        md5.or_else(|| bytes.try_into().map(Self::Sha256).ok())
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Ha1::Md5(_) => Algorithm::Md5,
            Ha1::Sha256(_) => Algorithm::Sha256,
        }
    }

    /// One that nobody knows a password to, for a name that has none.
    pub(super) fn nobodys(algorithm: Algorithm, random: &[u8; 32]) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(*random),
            Algorithm::Md5 => Self::Md5(*random.first_chunk().unwrap_or(&[0; 16])),
        }
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ha1({}, hidden)", self.algorithm().as_str())
    }
}

/// Digest credentials, well-formed; whether they are right is another question.
pub(super) struct Credentials<'f> {
    pub(super) name: Box<str>,
    pub(super) realm: Cow<'f, [u8]>,
    pub(super) algorithm: Algorithm,
    pub(super) nonce: &'f [u8],
    /// The nonce count, from 1.
    pub(super) count: u32,
    /// The same as sent, which is what was hashed.
    count_digits: &'f [u8],
    uri: Quoted<'f>,
    cnonce: &'f [u8],
    pub(super) response: &'f [u8],
}

impl<'f> Credentials<'f> {
    /// Reads what stands behind the name of the scheme.
    ///
    /// # Errors
    /// The first thing that is wrong: a parameter twice, missing, malformed or not offered. Parameters that RFC
    /// 7616 does not know are passed over, at most [`PARAMETERS_MAX`] in all.
    pub(super) fn parse(parameters: &'f [u8]) -> Result<Self, AuthFault> {
        let parameters = read_parameters(parameters)?;
        let find = |name: &str| parameters.iter().find(|parameter| parameter.is(name)).map(|found| found.value);
        let need = |name: &str| find(name).ok_or(AuthFault::MissingParameter);
        if find("userhash").is_some_and(|value| !value.raw().eq_ignore_ascii_case(b"false")) {
            return Err(AuthFault::HashedName);
        }
        let algorithm = match find("algorithm").map(Value::raw) {
            // RFC 7616 §3.3: MD5 is meant where none is named.
            None => Algorithm::Md5,
            Some(word) if word.eq_ignore_ascii_case(b"SHA-256") => Algorithm::Sha256,
            Some(word) if word.eq_ignore_ascii_case(b"MD5") => Algorithm::Md5,
            Some(_) => return Err(AuthFault::AlgorithmNotOffered),
        };
        // Without it, RFC 2069 is meant, which has no count.
        if find("qop").map(Value::raw).is_none_or(|word| !word.eq_ignore_ascii_case(b"auth")) {
            return Err(AuthFault::QopNotOffered);
        }
        let count_digits = match need("nc")? {
            Value::Token(digits) if digits.len() == 8 => digits,
            Value::Token(_) | Value::Quoted(_) => return Err(AuthFault::BadParameter),
        };
        let count = hexadecimal(count_digits).ok_or(AuthFault::BadParameter)?;
        let response = need("response")?.quoted()?.plain()?;
        let digits = match algorithm {
            Algorithm::Sha256 => 64,
            Algorithm::Md5 => 32,
        };
        if response.len() != digits || !response.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(AuthFault::BadParameter);
        }
        let cnonce = need("cnonce")?.quoted()?.plain()?;
        if count == 0 || cnonce.is_empty() {
            return Err(AuthFault::BadParameter);
        }
        Ok(Self {
            name: name_of(find("username"), find("username*"))?,
            realm: need("realm")?.quoted()?.unescaped(),
            algorithm,
            nonce: need("nonce")?.quoted()?.plain()?,
            count,
            count_digits,
            uri: need("uri")?.quoted()?,
            cnonce,
            response,
        })
    }

    /// Whether the credentials are for this request: its target as sent (`host:port` of a CONNECT, an absolute
    /// URL), or what browsers and curl write in place of a URL, its path and query alone.
    pub(super) fn is_for(&self, target: &[u8]) -> bool {
        let unescaped = self.uri.unescaped();
        let is = |uri: &[u8]| uri == target || path_of(target).is_some_and(|path| uri == path);
        // A query may hold a backslash, which not every client escapes as the quotes would have it.
        is(self.uri.0) || is(&unescaped)
    }

    /// Whether the response is right for this HA1, which must be of the credentials' algorithm.
    pub(super) fn is_right(&self, ha1: &Ha1, method: &str) -> bool {
        let is = |uri: &[u8]| same(self.expected(ha1, method, uri).as_bytes(), self.response);
        is(self.uri.0) || (self.uri.0.contains(&b'\\') && is(&self.uri.unescaped()))
    }

    /// `KD(H(A1), nonce:nc:cnonce:qop:H(A2))` (RFC 7616 §3.4.1).
    fn expected(&self, ha1: &Ha1, method: &str, uri: &[u8]) -> String {
        let hash = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let ha2 = hash(&[method.as_bytes(), uri]);
        let ha1 = match ha1 {
            Ha1::Md5(bytes) => HEXLOWER.encode(bytes),
            Ha1::Sha256(bytes) => HEXLOWER.encode(bytes),
        };
        hash(&[ha1.as_bytes(), self.nonce, self.count_digits, self.cnonce, b"auth", ha2.as_bytes()])
    }
}

/// The path and query of an absolute URL; an empty path is `/`.
fn path_of(target: &[u8]) -> Option<&[u8]> {
    let authority = target.windows(3).position(|bytes| bytes == b"://")? + 3;
    let rest = target.get(authority..)?;
    let path = rest.iter().position(|b| matches!(b, b'/' | b'?')).map(|at| &rest[at..]);
    Some(path.unwrap_or(b"/"))
}

/// The user's name, quoted or as an extended value (RFC 8187), and not both.
fn name_of(quoted: Option<Value<'_>>, extended: Option<Value<'_>>) -> Result<Box<str>, AuthFault> {
    let bytes = match (quoted, extended) {
        (Some(value), None) => value.quoted()?.unescaped(),
        (None, Some(Value::Token(value))) => Cow::Owned(percent_decoded(value)?),
        (None, None) => return Err(AuthFault::MissingParameter),
        (Some(_), Some(_)) | (None, Some(Value::Quoted(_))) => return Err(AuthFault::BadParameter),
    };
    let name = str::from_utf8(&bytes).map_err(|_| AuthFault::NotUtf8)?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(AuthFault::BadName);
    }
    if name.chars().any(char::is_control) {
        return Err(AuthFault::Control);
    }
    Ok(name.into())
}

/// `UTF-8''` and percent-encoded bytes.
fn percent_decoded(value: &[u8]) -> Result<Vec<u8>, AuthFault> {
    const CHARSET: &[u8] = b"UTF-8''";
    let (charset, rest) = value.split_at_checked(CHARSET.len()).ok_or(AuthFault::BadParameter)?;
    if !charset.eq_ignore_ascii_case(CHARSET) {
        return Err(AuthFault::BadParameter);
    }
    let mut decoded = Vec::with_capacity(rest.len());
    let mut bytes = rest.iter();
    while let Some(&byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next(), bytes.next()];
                let [Some(&high), Some(&low)] = digits else { return Err(AuthFault::BadParameter) };
                let value = hexadecimal(&[high, low]).and_then(|value| u8::try_from(value).ok());
                value.ok_or(AuthFault::BadParameter)?
            }
            other => other,
        });
    }
    Ok(decoded)
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let hexadecimal = digits.iter().all(u8::is_ascii_hexdigit);
    hexadecimal.then(|| u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()).flatten()
}

/// Parameters of one field.
const PARAMETERS_MAX: usize = 32;

struct Parameter<'f> {
    name: &'f [u8],
    value: Value<'f>,
}

impl Parameter<'_> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

#[derive(Clone, Copy)]
enum Value<'f> {
    Token(&'f [u8]),
    Quoted(Quoted<'f>),
}

/// What stands between the quotes of a quoted-string (RFC 9110 §5.6.4), its escapes left in.
#[derive(Clone, Copy)]
struct Quoted<'f>(&'f [u8]);

impl<'f> Value<'f> {
    /// Either form, for parameters whose values need no quotes: several clients write these all the same.
    fn raw(self) -> &'f [u8] {
        match self {
            Value::Token(bytes) | Value::Quoted(Quoted(bytes)) => bytes,
        }
    }

    /// For parameters whose values must stand in quotes (RFC 7616 §3.4).
    fn quoted(self) -> Result<Quoted<'f>, AuthFault> {
        match self {
            Value::Quoted(quoted) => Ok(quoted),
            Value::Token(_) => Err(AuthFault::BadParameter),
        }
    }
}

impl<'f> Quoted<'f> {
    /// A value that no client has a reason to escape, and of which nobody knows whether it is hashed with its
    /// escapes or without.
    fn plain(self) -> Result<&'f [u8], AuthFault> {
        if self.0.contains(&b'\\') { Err(AuthFault::BadParameter) } else { Ok(self.0) }
    }

    fn unescaped(self) -> Cow<'f, [u8]> {
        if !self.0.contains(&b'\\') {
            return Cow::Borrowed(self.0);
        }
        let mut plain = Vec::with_capacity(self.0.len());
        let mut bytes = self.0.iter();
        while let Some(byte) = bytes.next() {
            plain.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
        }
        Cow::Owned(plain)
    }
}

/// `name=value` with commas between, and no name twice (RFC 9110 §11.2). Empty elements are passed over, as lists
/// have it (RFC 9110 §5.6.1).
fn read_parameters(bytes: &[u8]) -> Result<Vec<Parameter<'_>>, AuthFault> {
    let mut parameters: Vec<Parameter<'_>> = Vec::new();
    let mut rest = skip_space(bytes);
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix(b",") {
            rest = skip_space(behind);
            continue;
        }
        let (parameter, behind) = read_parameter(rest)?;
        if parameters.len() == PARAMETERS_MAX {
            return Err(AuthFault::BadParameters);
        }
        if parameters.iter().any(|known| known.name.eq_ignore_ascii_case(parameter.name)) {
            return Err(AuthFault::RepeatedParameter);
        }
        parameters.push(parameter);
        rest = skip_space(behind);
        if !rest.is_empty() && !rest.starts_with(b",") {
            return Err(AuthFault::BadParameters);
        }
    }
    if parameters.is_empty() { Err(AuthFault::BadParameters) } else { Ok(parameters) }
}

fn read_parameter(bytes: &[u8]) -> Result<(Parameter<'_>, &[u8]), AuthFault> {
    let (name, rest) = token(bytes).ok_or(AuthFault::BadParameters)?;
    let rest = skip_space(rest).strip_prefix(b"=").ok_or(AuthFault::BadParameters)?;
    let rest = skip_space(rest);
    let (value, rest) = match rest.strip_prefix(b"\"") {
        None => token(rest).map(|(value, rest)| (Value::Token(value), rest)),
        Some(inside) => end_of_quotes(inside).map(|end| (Value::Quoted(Quoted(&inside[..end])), &inside[end + 1..])),
    }
    .ok_or(AuthFault::BadParameters)?;
    Ok((Parameter { name, value }, rest))
}

/// Where the closing quote stands.
fn end_of_quotes(inside: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match inside.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn token(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|b| !is_token_byte(*b)).unwrap_or(bytes.len());
    (end > 0).then(|| bytes.split_at(end))
}

fn skip_space(bytes: &[u8]) -> &[u8] {
    let spaces = bytes.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    &bytes[spaces..]
}

#[cfg(test)]
mod tests;

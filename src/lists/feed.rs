use std::path::PathBuf;
use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;
use ipnet::IpNet;
use minisign_verify::{PublicKey, Signature};
use sha2::{Digest, Sha256};

use crate::parse::{Placed, Section};
use crate::policy::prefixes;
use crate::tls::Roots;
use crate::upstream::HttpsUrl;

/// A host list that the gate fetches: `[lists.NAME]` in the config, `list:NAME` in a policy.
#[derive(Debug, Clone)]
pub struct Feed {
    /// 1 to 64 small letters, digits, `-` and `_`: it is a file name too.
    pub name: String,
    pub url: HttpsUrl,
    /// How often its source is asked, 1 hour to 30 days.
    pub every: Duration,
    pub proof: Proof,
    /// Special-purpose addresses at which its source may be.
    pub opened: Vec<IpNet>,
    /// Who vouches for the server. Says nothing of the content.
    pub roots: Roots,
}

/// By what a content is known to be the right one, whole.
#[derive(Debug, Clone)]
pub enum Proof {
    /// Its SHA-256 is this, for good.
    Sha256(Sum),
    /// Its SHA-256 stands there, as `sha256sum` writes it.
    Sha256At(HttpsUrl),
    /// A signature by this key stands there, as `minisign` makes it (Ed25519 over BLAKE2b-512).
    Minisign { key: PublicKey, encoded: String, at: HttpsUrl },
}

/// A SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum([u8; 32]);

impl Sum {
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    pub fn to_hex(self) -> String {
        HEXLOWER_PERMISSIVE.encode(&self.0)
    }
}

/// Lists that are fetched, at most.
const FEEDS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 64;
const HOURS_MAX: u64 = 720;
const HOURS: u64 = 24;

impl Feed {
    /// Reads `[lists]` of a config; what is wrong is reported.
    pub fn read_all(root: &mut Section<'_, '_>) -> Vec<Self> {
        let mut feeds = Vec::new();
        for (name, mut section) in root.named_tables("lists") {
            let feed = Self::read(&name, &mut section);
            section.finish();
            if feeds.len() == FEEDS_MAX {
                let what = format!("more than {FEEDS_MAX} lists are to be fetched");
                section.problem(&name.place, what, "join some of them");
                break;
            }
            feeds.extend(feed);
        }
        feeds
    }

    fn read(name: &Placed<String>, section: &mut Section<'_, '_>) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if name.value.is_empty() || name.value.len() > NAME_BYTES_MAX || !name.value.bytes().all(plain) {
            let what = format!("a list cannot be called {:?}", name.value);
            section.problem(&name.place, what, "write 1 to 64 small letters, digits, `-` or `_`");
        }
        let url = read_url(section, "url");
        section.need_some("url", "\"https://lists.example/bad-hosts.txt\"");
        let hours = section.integer("every_hours", 1..=HOURS_MAX).unwrap_or(HOURS);
        let proof = read_proof(name, section, url.as_ref());
        let opened = prefixes(section, "private").unwrap_or_default();
        let roots = section.string("ca_file").map_or(Roots::System, |file| Roots::File(PathBuf::from(file.value)));
        let every = Duration::from_secs(hours * 3600);
        Some(Self { name: name.value.clone(), url: url?, every, proof: proof?, opened, roots })
    }

    /// From where and by what proof its content is. What was fetched from elsewhere, or for another proof, says
    /// nothing of what is there now.
    pub fn source(&self) -> String {
        let url = self.url.identity();
        match &self.proof {
            Proof::Sha256(sum) => format!("{url} sha256 {}", sum.to_hex()),
            Proof::Sha256At(at) => format!("{url} sha256_url {}", at.identity()),
            Proof::Minisign { encoded, at, .. } => format!("{url} minisign {encoded} {}", at.identity()),
        }
    }
}

fn read_url(section: &mut Section<'_, '_>, key: &'static str) -> Option<HttpsUrl> {
    let text = section.string(key)?;
    let url = HttpsUrl::parse(&text.value);
    if let Err(why) = &url {
        let fix = "write it like \"https://lists.example/bad-hosts.txt\"";
        section.problem(&text.place, format!("the URL `{}` {why}", text.value), fix);
    }
    url.ok()
}

/// Exactly one of them must be there: a list that was cut short, or put there by another, must not be taken.
fn read_proof(name: &Placed<String>, section: &mut Section<'_, '_>, url: Option<&HttpsUrl>) -> Option<Proof> {
    let given = ["sha256", "sha256_url", "minisign_key"].into_iter().filter(|key| section.has(key)).count();
    let sum = section.string("sha256");
    let sum_at = read_url(section, "sha256_url");
    let key = section.string("minisign_key");
    let has_signature_url = section.has("minisign_url");
    let signature_at = read_url(section, "minisign_url");
    if given != 1 {
        let what = match given {
            0 => format!("nothing proves what is fetched as list `{}`", name.value),
            _ => format!("list `{}` is to be proven in several ways", name.value),
        };
        let fix = "write one of: sha256_url, where its publisher writes its SHA-256; minisign_key, the public key by \
                   which it is signed; sha256, where it never changes";
        section.problem(&name.place, what, fix);
        return None;
    }
    if has_signature_url && key.is_none() {
        section.problem(&name.place, "`minisign_url` without the key of the signature", "add minisign_key");
    }
    if let Some(text) = sum {
        let sum = Sum::parse(&text.value);
        if sum.is_none() {
            section.problem(&text.place, format!("`{}` is no SHA-256", text.value), "write its 64 hexadecimal digits");
        }
        return sum.map(Proof::Sha256);
    }
    let Some(text) = key else { return sum_at.map(Proof::Sha256At) };
    let key = PublicKey::from_base64(&text.value);
    if key.is_err() {
        let fix = "write the second line of minisign.pub: 56 characters of Base64 that begin with RW";
        section.problem(&text.place, format!("`{}` is no public key of minisign", text.value), fix);
    }
    let at = if has_signature_url { signature_at } else { url.and_then(|url| url.beside(".minisig")) };
    Some(Proof::Minisign { key: key.ok()?, encoded: text.value, at: at? })
}

/// Why what was fetched is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProof {
    #[error("{0} holds no SHA-256 of it")]
    NoSum(String),
    #[error("its SHA-256 is {found}, and not {announced}: it was altered, cut short, or changed meanwhile")]
    OtherSum { announced: String, found: String },
    #[error("{at} holds no signature of minisign: {why}")]
    NoSignature { at: String, why: String },
    #[error("the signature is not right for it: {0}")]
    WrongSignature(String),
    /// A list that is put back to an old one would open what was closed since.
    #[error("it was signed at {signed}, before the one that is kept ({kept}; seconds since 1970)")]
    Older { signed: u64, kept: u64 },
}

/// The SHA-256 that a file of checksums announces for what `url` names: of several the one beside its file name.
///
/// # Errors
/// There is none, or several and none of that name.
pub(super) fn announced_sum(checksums: &[u8], url: &HttpsUrl, at: &HttpsUrl) -> Result<Sum, NoProof> {
    let text = String::from_utf8_lossy(checksums);
    let file = url.file_name();
    let mut sums = text.lines().filter_map(checksum_line);
    let (Some(first), second) = (sums.next(), sums.next()) else { return Err(NoProof::NoSum(at.to_string())) };
    if second.is_none() {
        return Ok(first.0);
    }
    let mut all = [Some(first), second].into_iter().flatten().chain(sums);
    all.find(|(_, name)| name.is_some_and(|name| name == file))
        .map(|(sum, _)| sum)
        .ok_or_else(|| NoProof::NoSum(at.to_string()))
}

/// Reads `SUM`, `SUM  NAME`, `SUM *NAME` (`sha256sum`), and `SHA256 (NAME) = SUM` (BSD).
fn checksum_line(line: &str) -> Option<(Sum, Option<&str>)> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("SHA256 (") {
        let (name, sum) = rest.rsplit_once(") = ")?;
        return Some((Sum::parse(sum)?, Some(last_segment(name))));
    }
    let (sum, name) = line.split_once(char::is_whitespace).map_or((line, None), |(sum, name)| (sum, Some(name)));
    let name = name.map(|name| last_segment(name.trim_start().trim_start_matches('*')));
    Some((Sum::parse(sum)?, name.filter(|name| !name.is_empty())))
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A signature as it was fetched, and when it says that it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) text: String,
    /// Seconds since 1970, from the comment that the signature covers.
    pub(super) at: Option<u64>,
}

/// Holds a content to its signature.
///
/// # Errors
/// It is none, not of this key, not for this content, or older than what is kept.
pub(super) fn verify_signature(
    content: &[u8],
    text: &str,
    (key, at): (&PublicKey, &HttpsUrl),
    kept: Option<u64>,
) -> Result<Signed, NoProof> {
    let signature =
        Signature::decode(text).map_err(|error| NoProof::NoSignature { at: at.to_string(), why: error.to_string() })?;
    key.verify(content, &signature, false).map_err(|error| NoProof::WrongSignature(error.to_string()))?;
    let signed = signature.trusted_comment().split('\t').find_map(|part| part.strip_prefix("timestamp:"));
    let signed = signed.and_then(|seconds| seconds.parse().ok());
    match (signed, kept) {
        (Some(signed), Some(kept)) if signed < kept => Err(NoProof::Older { signed, kept }),
        (Some(_), _) | (None, None) => Ok(Signed { text: text.to_owned(), at: signed }),
        // One without a time could be any old one.
        (None, Some(kept)) => Err(NoProof::Older { signed: 0, kept }),
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use crate::parse::Document;

    use super::*;

    /// From the documentation of minisign-verify: signs `test`.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
        wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";
    const HEX: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn read(text: &str) -> Result<Vec<Feed>, Vec<String>> {
        let read = Document::read("c.toml", text, |root| Some(Feed::read_all(root)));
        read.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn url(text: &str) -> HttpsUrl {
        HttpsUrl::parse(text).unwrap()
    }

    #[test]
    fn a_list_has_a_url_and_exactly_one_proof() {
        let feeds = read(&format!(
            "[lists.bad]\nurl = \"https://lists.example/bad.txt\"\nsha256_url = \"https://lists.example/SHA256SUMS\"\n\
             [lists.good]\nurl = \"https://lists.example/good.txt\"\nminisign_key = \"{KEY}\"\nevery_hours = 1\n\
             private = [\"10.1.0.0/16\"]\nca_file = \"ca.pem\"\n\
             [lists.fixed]\nurl = \"https://lists.example/1\"\nsha256 = \"{HEX}\"\n"
        ));
        let feeds = feeds.unwrap();
        let sources: Vec<_> = feeds.iter().map(Feed::source).collect();
        assert_eq!(
            sources,
            [
                "https://lists.example/bad.txt sha256_url https://lists.example/SHA256SUMS".to_owned(),
                format!("https://lists.example/1 sha256 {HEX}"),
                format!("https://lists.example/good.txt minisign {KEY} https://lists.example/good.txt.minisig"),
            ]
        );
        let [bad, _, good] = &feeds[..] else { panic!("{feeds:?}") };
        assert_eq!((bad.every.as_secs(), &bad.roots, bad.opened.len()), (86_400, &Roots::System, 0));
        assert_eq!((good.every.as_secs(), &good.roots), (3600, &Roots::File("ca.pem".into())));
        assert_eq!(good.opened, ["10.1.0.0/16".parse::<IpNet>().unwrap()]);
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said_where_it_stands() {
        let wrong = |body: &str| read(&format!("[lists.a]\n{body}")).unwrap_err().join("\n");
        let url = "url = \"https://l.example/\"\n";
        assert!(wrong("sha256_url = \"https://l.example/s\"").contains("url"));
        assert!(wrong(url).contains("nothing proves what is fetched as list `a`"));
        let both = format!("{url}sha256 = \"{HEX}\"\nminisign_key = \"{KEY}\"");
        assert!(wrong(&both).contains("several ways"));
        assert!(wrong(&format!("{url}sha256 = \"abc\"")).contains("`abc` is no SHA-256"));
        assert!(wrong(&format!("{url}minisign_key = \"abc\"")).contains("`abc` is no public key of minisign"));
        let unsigned = format!("{url}sha256 = \"{HEX}\"\nminisign_url = \"https://l.example/s\"");
        assert!(wrong(&unsigned).contains("`minisign_url` without the key"));
        assert!(
            wrong(&format!("url = \"http://l.example/\"\nsha256 = \"{HEX}\"")).contains("does not begin with https")
        );
        assert!(wrong(&format!("{url}sha256 = \"{HEX}\"\nevery_hours = 0")).contains("every_hours"));
        assert!(wrong(&format!("{url}sha256 = \"{HEX}\"\nevery = 1")).contains("unknown key `every`"));
        let named = read(&format!("[lists.\"../a\"]\n{url}sha256 = \"{HEX}\"")).unwrap_err();
        assert!(named[0].contains("a list cannot be called \"../a\""), "{named:?}");
        let many: String = (0..=FEEDS_MAX).map(|n| format!("[lists.a{n}]\n{url}sha256 = \"{HEX}\"\n")).collect();
        assert!(read(&many).unwrap_err()[0].contains("more than 64 lists"));
    }

    #[test]
    fn a_checksum_is_found_in_each_form_and_never_guessed() {
        let (list, at) = (url("https://l.example/d/bad.txt?x"), url("https://l.example/SHA256SUMS"));
        let other = "0".repeat(64);
        for text in [
            HEX.to_owned(),
            format!("{}\n", HEX.to_uppercase()),
            format!("{HEX}  anything.txt\n"),
            format!("{HEX} *bad.txt"),
            format!("SHA256 (bad.txt) = {HEX}\r\n"),
            format!("# sums\n{other}  good.txt\n{HEX}  ./d/bad.txt\n"),
            format!("SHA256 (good.txt) = {other}\nSHA256 (bad.txt) = {HEX}\n"),
        ] {
            assert_eq!(announced_sum(text.as_bytes(), &list, &at).map(Sum::to_hex), Ok(HEX.to_owned()), "{text}");
        }
        for text in [
            String::new(),
            "<html>".to_owned(),
            HEX[1..].to_owned(),
            format!("{other}  good.txt\n{HEX}  worse.txt\n"),
            format!("{other}\n{HEX}\n"),
        ] {
            let none = Err(NoProof::NoSum("https://l.example/SHA256SUMS".to_owned()));
            assert_eq!(announced_sum(text.as_bytes(), &list, &at).map(Sum::to_hex), none, "{text}");
        }
        assert_eq!(Sum::of(b"test").to_hex(), HEX);
    }

    #[test]
    fn a_signature_holds_for_its_content_and_key_and_never_for_an_older_list() {
        let (key, at) = (PublicKey::from_base64(KEY).unwrap(), url("https://l.example/s"));
        let verify = |content: &[u8], text: &str, kept| verify_signature(content, text, (&key, &at), kept);
        assert_eq!(verify(b"test", SIGNATURE, None).unwrap().at, Some(1_633_700_835));
        assert!(verify(b"test", SIGNATURE, Some(1_633_700_835)).is_ok());
        let older = NoProof::Older { signed: 1_633_700_835, kept: 1_633_700_836 };
        assert_eq!(verify(b"test", SIGNATURE, Some(1_633_700_836)), Err(older));
        assert!(matches!(verify(b"tesu", SIGNATURE, None), Err(NoProof::WrongSignature(_))));
        let later = SIGNATURE.replace("1633700835", "1933700835");
        assert!(matches!(verify(b"test", &later, None), Err(NoProof::WrongSignature(_))), "the comment is signed too");
        // The second byte is the algorithm, the third of its identity, the last of the key itself.
        for changed in [2, 41] {
            let mut bytes = BASE64.decode(KEY.as_bytes()).unwrap();
            bytes[changed] ^= 1;
            let other = PublicKey::from_base64(&BASE64.encode(&bytes)).unwrap();
            let verified = verify_signature(b"test", SIGNATURE, (&other, &at), None);
            assert!(matches!(verified, Err(NoProof::WrongSignature(_))), "{changed}");
        }
        for text in ["", "a\nb\nc\nd", "untrusted comment: x\n\n\n"] {
            assert!(matches!(verify(b"test", text, None), Err(NoProof::NoSignature { .. })), "{text}");
        }
    }
}

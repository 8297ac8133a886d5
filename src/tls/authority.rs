use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, GeneralSubtree, IsCa, Issuer,
    KeyUsagePurpose, NameConstraints,
};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::evidence::format_time;
use crate::facts::{Host, Timestamp};

use super::der::{Elements, Outline, tag};
use super::signer::{CannotSign, FileKey, Key, Signer};

/// Why there is no authority that could vouch for a host. What it says holds no part of a key.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// None was made.
    #[error("there is no certificate authority in {}", .0.display())]
    Missing(PathBuf),
    #[error("cannot use {}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Others than its owner have rights on the key file.
    #[error("the key file {} has mode {mode:04o}: others than its owner may use it", .path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{} holds no certificate of an authority that `sekisho ca` made", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} holds no P-256 key in PKCS#8 and PEM", .0.display())]
    NoKey(PathBuf),
    /// Certificate and key are not of one pair.
    #[error("the key in {} is not that of the certificate beside it", .0.display())]
    OtherKey(PathBuf),
    #[error("the certificate authority is over since {}", format_time(*.0))]
    Expired(Timestamp),
    #[error("the certificate authority holds from {} on", format_time(*.0))]
    NotYetValid(Timestamp),
    /// Its name constraints leave the host out, so that no client would take its word.
    #[error("the certificate authority may not vouch for {0}")]
    NotPermitted(Host),
    #[error(transparent)]
    CannotSign(#[from] CannotSign),
    #[error("a certificate cannot be made: {0}")]
    Making(rcgen::Error),
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// `init` or `rotate` found one that it would have had to overwrite.
    #[error("there is one already in {}; nothing was written", .0.display())]
    Exists(PathBuf),
    /// `rotate --finish` found no next one.
    #[error("no next certificate authority is prepared in {}", .0.display())]
    NotPrepared(PathBuf),
}

/// What an authority is made for.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The gate's name, which stands in the authority's.
    pub name: String,
    pub days: u32,
    /// It vouches for these names and what is below them, and for no address; empty: for all.
    pub permit: Vec<Host>,
    /// It vouches neither for these names nor for what is below them.
    pub exclude: Vec<Host>,
}

/// The certificate of an authority, as it is shown to everyone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityCertificate {
    der: CertificateDer<'static>,
    subject: String,
    not_before: Timestamp,
    not_after: Timestamp,
    names: Names,
}

/// The names that an authority may vouch for (RFC 5280 §4.2.1.10).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Names {
    permitted: Vec<String>,
    excluded: Vec<String>,
    addresses: bool,
}

/// A digest as browsers show it: pairs of hexadecimal digits, with colons between them.
pub fn fingerprint(digest: &[u8]) -> String {
    let pairs: Vec<String> = digest.iter().map(|octet| format!("{octet:02X}")).collect();
    pairs.join(":")
}

/// An authority that can vouch: its certificate and its key.
///
/// It has no `Debug` of its key, and gives it to nobody.
pub struct Authority {
    certificate: AuthorityCertificate,
    issuer: Issuer<'static, Key>,
}

/// A common name has so many characters at most (RFC 5280 §A.1, `ub-common-name`).
pub(super) const COMMON_NAME_MAX: usize = 64;
/// Certificates hold from so long before they are made, for clients whose clocks are behind.
pub(super) const BACKDATED: Duration = Duration::from_secs(86_400);

impl Authority {
    /// Makes a new authority, with a key of its own: the key is given as PEM too, to be kept.
    ///
    /// # Errors
    /// The system has no randomness, or a name cannot stand in a certificate.
    pub(super) fn make(terms: &Terms, now: Timestamp) -> Result<(Self, Zeroizing<String>), AuthorityError> {
        let key = FileKey::generate()?;
        let pem = key.to_pem();
        let params = params(terms, key.public_key(), now);
        let key = Key(Box::new(key));
        let made = params.self_signed(&key).map_err(AuthorityError::Making)?;
        let authority = Self::new(made.der().clone(), key.0)
            .map_err(|_| AuthorityError::Making(rcgen::Error::CouldNotParseCertificate))?;
        Ok((authority, pem))
    }

    /// An authority of a certificate and its key.
    ///
    /// # Errors
    /// The two do not belong together.
    pub fn new(certificate: CertificateDer<'static>, signer: Box<dyn Signer>) -> Result<Self, NotAPair> {
        let certificate = AuthorityCertificate::read(certificate).ok_or(NotAPair::NoCertificate)?;
        let outline = Outline::read(&certificate.der).ok_or(NotAPair::NoCertificate)?;
        if outline.key != signer.public_key() {
            return Err(NotAPair::OtherKey);
        }
        // What issues needs the name and the way to the key's identifier alone: both as in `params`.
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&certificate.subject);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { certificate, issuer: Issuer::new(params, Key(signer)) })
    }

    pub fn certificate(&self) -> &AuthorityCertificate {
        &self.certificate
    }

    /// Whether it may vouch for this host now.
    ///
    /// # Errors
    /// Its time is over or has not come, or its name constraints leave the host out.
    pub fn check(&self, host: &Host, now: Timestamp) -> Result<(), AuthorityError> {
        self.certificate.check_time(now)?;
        if self.certificate.may_name(host) { Ok(()) } else { Err(AuthorityError::NotPermitted(host.clone())) }
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, Key> {
        &self.issuer
    }
}

/// Why a certificate and a key make no authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAPair {
    #[error("it is no certificate of an authority that `sekisho ca` made")]
    NoCertificate,
    #[error("the key is not that of the certificate")]
    OtherKey,
}

impl AuthorityCertificate {
    /// Reads one; `None` where it is not of the kind that is made here.
    pub(super) fn read(der: CertificateDer<'static>) -> Option<Self> {
        /// `id-ce-basicConstraints` and `id-ce-nameConstraints`, 2.5.29.19 and 30.
        const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
        const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
        let outline = Outline::read(&der)?;
        let mut basic = outline.extension(BASIC_CONSTRAINTS)?.enter(tag::SEQUENCE)?;
        basic.find(|(found, value)| *found == tag::BOOLEAN && *value != [0])?;
        let names = outline.extension(NAME_CONSTRAINTS).map_or_else(|| Some(Names::all()), Names::read)?;
        let subject = outline.only_common_name()?.to_owned();
        let (not_before, not_after) = (seconds(outline.not_before), seconds(outline.not_after));
        Some(Self { subject, not_before, not_after, names, der })
    }

    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Its common name, which is all of its subject.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The names that it is confined to with what is below them; none: it is not confined.
    pub fn permitted(&self) -> &[String] {
        &self.names.permitted
    }

    /// The names that it may not vouch for, nor for what is below them.
    pub fn excluded(&self) -> &[String] {
        &self.names.excluded
    }

    /// The SHA-256 of its DER.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// The SHA-1 of its DER, which Windows calls the thumbprint. It tells certificates apart for eyes, no more.
    pub fn sha1(&self) -> [u8; 20] {
        sha1::Sha1::digest(&self.der).into()
    }

    /// Whether its name constraints let it vouch for this host.
    pub fn may_name(&self, host: &Host) -> bool {
        let Host::Name(name) = host else { return self.names.addresses };
        let covers = |tree: &String| is_at_or_below(name.as_str(), tree);
        (self.names.permitted.is_empty() || self.names.permitted.iter().any(covers))
            && !self.names.excluded.iter().any(covers)
    }

    /// Whether it holds now.
    ///
    /// # Errors
    /// Its time is over or has not come.
    pub fn check_time(&self, now: Timestamp) -> Result<(), AuthorityError> {
        if now > self.not_after {
            return Err(AuthorityError::Expired(self.not_after));
        }
        if now < self.not_before {
            return Err(AuthorityError::NotYetValid(self.not_before));
        }
        Ok(())
    }
}

impl Names {
    fn all() -> Self {
        Self { permitted: Vec::new(), excluded: Vec::new(), addresses: true }
    }

    fn read(mut value: Elements<'_>) -> Option<Self> {
        let mut trees = value.enter(tag::SEQUENCE)?;
        let mut names = Self::all();
        for (is_permitted, list) in [(true, trees.read(tag::holding(0))), (false, trees.read(tag::holding(1)))] {
            for (_, tree) in Elements(list.unwrap_or_default()) {
                match Elements(tree).next()? {
                    (found, name) if found == tag::plain(2) => {
                        let into = if is_permitted { &mut names.permitted } else { &mut names.excluded };
                        into.push(std::str::from_utf8(name).ok()?.to_owned());
                    }
                    (found, _) if found == tag::plain(7) && !is_permitted => names.addresses = false,
                    _ => return None,
                }
            }
        }
        Some(names)
    }
}

fn is_at_or_below(name: &str, tree: &str) -> bool {
    name.strip_suffix(tree).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn params(terms: &Terms, public_key: &[u8], now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    let key_hash = Sha256::digest(public_key);
    // Two of one day differ, for clients that look for an issuer by its name alone.
    let behind = format!(" {} {:02X}{:02X}", date(now), key_hash[0], key_hash[1]);
    let room = COMMON_NAME_MAX - "Sekisho ".len() - behind.len();
    let name: String = terms.name.chars().take(room).collect();
    params.distinguished_name = common_name(&format!("Sekisho {name}{behind}"));
    let begin = now.0 / 1_000_000;
    let end = begin.saturating_add(u64::from(terms.days) * 86_400);
    hold(&mut params, begin.saturating_sub(BACKDATED.as_secs()), end);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let trees = |hosts: &[Host]| hosts.iter().map(|host| GeneralSubtree::DnsName(host.to_string())).collect::<Vec<_>>();
    let (permitted_subtrees, mut excluded_subtrees) = (trees(&terms.permit), trees(&terms.exclude));
    if !permitted_subtrees.is_empty() {
        // Names confine names alone: without this it could vouch for every address.
        excluded_subtrees.push(GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])));
        excluded_subtrees.push(GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])));
    }
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees });
    params
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn date(time: Timestamp) -> String {
    format_time(time).chars().take(10).collect()
}

fn seconds(seconds: u64) -> Timestamp {
    Timestamp(seconds.saturating_mul(1_000_000))
}

/// Has a certificate hold between these seconds since 1970, none of them beyond the year 9999.
pub(super) fn hold(params: &mut CertificateParams, from: u64, until: u64) {
    const LAST: u64 = 253_402_300_799;
    let time = |seconds: u64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.min(LAST));
    params.not_before = time(from);
    params.not_after = time(until);
}

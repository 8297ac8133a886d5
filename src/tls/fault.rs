use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Why no connection to an origin can be looked into.
#[derive(Debug, thiserror::Error)]
pub enum OriginFault {
    /// The origin is at fault, by what it shows: it will be so again.
    #[error(transparent)]
    Certificate(#[from] CertificateFault),
    /// TLS went wrong in another way. The text has nothing of a stranger's certificate but its names.
    #[error("the origin's TLS failed: {0}")]
    Tls(Error),
    /// The connection ended or failed.
    #[error("the connection to the origin failed in its handshake: {0}")]
    Io(io::Error),
}

/// What is wrong with what an origin shows. Nobody is asked whether to go on all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CertificateFault {
    #[error("the certificate of the site is over")]
    Expired,
    #[error("the certificate of the site does not hold yet")]
    NotYetValid,
    #[error("the certificate of the site is for another name")]
    WrongHost,
    #[error(
        "nobody who is trusted here vouches for the certificate of the site, or the site leaves out who stands between"
    )]
    UnknownIssuer,
    #[error("the site vouches for itself: nobody else does")]
    SelfSigned,
    #[error("the certificate of the site was revoked by who issued it")]
    Revoked,
    /// The signature on a certificate, or of the handshake, does not hold.
    #[error("a signature on the certificate of the site, or by its key, is wrong")]
    BadSignature,
    /// SHA-1, MD5, or an algorithm that is not known.
    #[error("the certificate of the site is signed in a way that is forged too easily, such as SHA-1")]
    WeakSignature,
    /// RSA below 2048 bits.
    #[error("the key of the site is so short that it can be broken")]
    WeakKey,
    /// Not for servers, or not what a certificate of a server may be.
    #[error("the certificate of the site is for another use")]
    WrongUse,
    #[error("the certificate of the site cannot be read, or breaks the rules for certificates")]
    Malformed,
    /// It cannot be looked into: the client's own certificate cannot be shown by the gate.
    #[error("the site asks for a certificate of the client, which the gate cannot show in its place")]
    ClientCertificateRequired,
    /// TLS 1.1 or older.
    #[error("the site speaks old versions of TLS alone")]
    OldVersion,
    /// No cipher suite, group or signature scheme that both sides take.
    #[error("the site and the gate have no cryptography in common")]
    NothingInCommon,
}

impl CertificateFault {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Expired,
        Self::NotYetValid,
        Self::WrongHost,
        Self::UnknownIssuer,
        Self::SelfSigned,
        Self::Revoked,
        Self::BadSignature,
        Self::WeakSignature,
        Self::WeakKey,
        Self::WrongUse,
        Self::Malformed,
        Self::ClientCertificateRequired,
        Self::OldVersion,
        Self::NothingInCommon,
    ];

    /// Its name in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "cert_expired",
            Self::NotYetValid => "cert_not_yet_valid",
            Self::WrongHost => "cert_wrong_host",
            Self::UnknownIssuer => "cert_unknown_issuer",
            Self::SelfSigned => "cert_self_signed",
            Self::Revoked => "cert_revoked",
            Self::BadSignature => "cert_bad_signature",
            Self::WeakSignature => "cert_weak_signature",
            Self::WeakKey => "cert_weak_key",
            Self::WrongUse => "cert_wrong_use",
            Self::Malformed => "cert_malformed",
            Self::ClientCertificateRequired => "client_cert_required",
            Self::OldVersion => "tls_version",
            Self::NothingInCommon => "tls_nothing_in_common",
        }
    }

    /// What an error of the TLS library says of the origin; `None` where it says nothing of the kind.
    pub fn of(error: &Error) -> Option<Self> {
        match error {
            Error::InvalidCertificate(refused) => Some(Self::of_certificate(refused)),
            Error::NoCertificatesPresented => Some(Self::Malformed),
            Error::PeerIncompatible(why) => Some(Self::of_incompatible(why)),
            Error::AlertReceived(AlertDescription::ProtocolVersion) => Some(Self::OldVersion),
            Error::AlertReceived(AlertDescription::CertificateRequired) => Some(Self::ClientCertificateRequired),
            Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity) => {
                Some(Self::NothingInCommon)
            }
            _ => None,
        }
    }

    fn of_certificate(refused: &CertificateError) -> Self {
        match refused {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongHost,
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::BadSignature => Self::BadSignature,
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::WeakSignature,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::WrongUse,
            CertificateError::Other(other) => other.0.downcast_ref::<Self>().copied().unwrap_or(Self::Malformed),
            _ => Self::Malformed,
        }
    }

    fn of_incompatible(why: &PeerIncompatible) -> Self {
        match why {
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => Self::OldVersion,
            _ => Self::NothingInCommon,
        }
    }
}

impl OriginFault {
    /// Of what a handshake ended with.
    pub(super) fn of(error: io::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(error) => CertificateFault::of(&error).map_or(Self::Tls(error), Self::Certificate),
            Err(error) => Self::Io(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_snake_case_and_distinct_and_sentences_differ() {
        let names: std::collections::HashSet<_> = CertificateFault::ALL.map(CertificateFault::as_str).into();
        assert_eq!(names.len(), CertificateFault::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        let sentences: std::collections::HashSet<_> = CertificateFault::ALL.map(|fault| fault.to_string()).into();
        assert_eq!(sentences.len(), CertificateFault::ALL.len());
    }

    #[test]
    fn what_says_nothing_of_the_origin_is_no_fault_of_its_certificate() {
        assert_eq!(CertificateFault::of(&Error::DecryptError), None);
        assert_eq!(CertificateFault::of(&Error::AlertReceived(AlertDescription::InternalError)), None);
        let alert = Error::AlertReceived(AlertDescription::CertificateRequired);
        assert_eq!(CertificateFault::of(&alert), Some(CertificateFault::ClientCertificateRequired));
    }
}

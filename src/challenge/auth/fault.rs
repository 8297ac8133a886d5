//! Why credentials are refused before anybody looks whether they are right.

/// What is wrong with a `Proxy-Authorization`. Nothing of its content is in here: the names and texts go to
/// records and pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthFault {
    #[error("there is more than one Proxy-Authorization")]
    SeveralFields,
    #[error("the credentials are longer than the gate reads")]
    TooLong,
    #[error("the credentials name no scheme")]
    NoScheme,
    #[error("the credentials are of a scheme that was not offered")]
    SchemeNotOffered,
    #[error("Negotiate (Kerberos, NTLM) is not supported")]
    NegotiateUnsupported,
    #[error("Basic credentials are not Base64")]
    BadBase64,
    #[error("Basic credentials hold no colon")]
    NoColon,
    #[error("a name or password is not UTF-8")]
    NotUtf8,
    #[error("a name or password holds a control character")]
    Control,
    #[error("the name is empty or longer than 255 bytes")]
    BadName,
    #[error("the password is longer than 256 bytes")]
    PasswordTooLong,
    #[error("Digest credentials are not a list of parameters")]
    BadParameters,
    #[error("Digest credentials have a parameter twice")]
    RepeatedParameter,
    #[error("Digest credentials lack a parameter")]
    MissingParameter,
    #[error("Digest credentials have a parameter with a value that it cannot have")]
    BadParameter,
    #[error("Digest credentials are of an algorithm that was not offered")]
    AlgorithmNotOffered,
    #[error("Digest credentials are not of `qop=auth`")]
    QopNotOffered,
    #[error("Digest credentials hash the name, which was not offered")]
    HashedName,
    #[error("Digest credentials are for another realm")]
    WrongRealm,
    #[error("Digest credentials are for another target than the request's")]
    WrongUri,
}

impl AuthFault {
    /// The stable `snake_case` name that is written into evidence.
    pub fn name(self) -> &'static str {
        match self {
            AuthFault::SeveralFields => "several_fields",
            AuthFault::TooLong => "too_long",
            AuthFault::NoScheme => "no_scheme",
            AuthFault::SchemeNotOffered => "scheme_not_offered",
            AuthFault::NegotiateUnsupported => "negotiate_unsupported",
            AuthFault::BadBase64 => "bad_base64",
            AuthFault::NoColon => "no_colon",
            AuthFault::NotUtf8 => "not_utf8",
            AuthFault::Control => "control",
            AuthFault::BadName => "bad_name",
            AuthFault::PasswordTooLong => "password_too_long",
            AuthFault::BadParameters => "bad_parameters",
            AuthFault::RepeatedParameter => "repeated_parameter",
            AuthFault::MissingParameter => "missing_parameter",
            AuthFault::BadParameter => "bad_parameter",
            AuthFault::AlgorithmNotOffered => "algorithm_not_offered",
            AuthFault::QopNotOffered => "qop_not_offered",
            AuthFault::HashedName => "hashed_name",
            AuthFault::WrongRealm => "wrong_realm",
            AuthFault::WrongUri => "wrong_uri",
        }
    }
}

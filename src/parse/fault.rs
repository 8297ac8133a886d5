//! Every way in which a message can be ambiguous or malformed, each with a name that stays the
//! same in evidence from release to release.

macro_rules! faults {
    ($($variant:ident $name:literal $text:literal)*) => {
        /// Why a message was refused. One variant for each ambiguity; none is ever repaired.
        ///
        /// The text is for people. [`Fault::name`] is what records and tests rely on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum Fault {
            $(#[doc = $text] #[error($text)] $variant,)*
        }

        impl Fault {
            /// Every fault, in the order of declaration.
            pub const ALL: &'static [Fault] = &[$(Fault::$variant,)*];

            /// The stable `snake_case` name that is written into evidence.
            pub fn name(self) -> &'static str {
                match self {
                    $(Fault::$variant => $name,)*
                }
            }
        }
    };
}

faults! {
    // Bytes and lines.
    BareCr "bare_cr" "a CR that no LF follows"
    BareLf "bare_lf" "an LF without a CR before it"
    Nul "nul" "a NUL byte in the head"
    ObsFold "obs_fold" "a field line that begins with a space or tab"
    SpaceBeforeColon "space_before_colon" "white space between a field name and its colon"
    BadFieldName "bad_field_name" "a field name that is not a token"
    BadFieldValue "bad_field_value" "a control byte in a field value"
    BadMethod "bad_method" "a method that is not a token of at most 32 bytes"
    BadVersion "bad_version" "a version other than HTTP/1.0 and HTTP/1.1"
    BadRequestLine "bad_request_line" "a request line that is not method, target and version with one space between"
    BadStatusLine "bad_status_line" "a status line that is not version, three digits and a reason"
    HeadTooLong "head_too_long" "a head longer than the limit"
    TooManyFields "too_many_fields" "more fields than the limit"
    LeadingEmptyLine "leading_empty_line" "more than one empty line before a request"

    // Framing.
    ContentLengthAndTransferEncoding "content_length_and_transfer_encoding" "both Content-Length and Transfer-Encoding"
    SeveralContentLengths "several_content_lengths" "more than one Content-Length in a request"
    BadContentLength "bad_content_length" "a Content-Length that is not digits below 2^63, or that the message cannot have"
    BadTransferEncoding "bad_transfer_encoding" "a Transfer-Encoding that is not exactly one field saying chunked, or that the message cannot have"
    TransferEncodingInHttp10 "transfer_encoding_in_http10" "Transfer-Encoding in an HTTP/1.0 message"
    SeveralLengths "several_lengths" "more than one Content-Length in a response"
    BodyTooShort "body_too_short" "the connection ended before the body did"

    // Where a request wants to go.
    SeveralHosts "several_hosts" "more than one Host field"
    MissingHost "missing_host" "no Host field"
    BadHost "bad_host" "a Host that is not a host with an optional port"
    HostMismatch "host_mismatch" "a Host that differs from the target's authority"
    Userinfo "userinfo" "user information in the target"
    Fragment "fragment" "a fragment in the target"
    BadTarget "bad_target" "a request target in no form that a proxy accepts"
    BadPort "bad_port" "a port that is not a number from 1 to 65535"
    NonAsciiHost "non_ascii_host" "a host with bytes outside ASCII"
    PercentHost "percent_host" "a percent sign in a host"
    BadBracket "bad_bracket" "brackets that do not enclose an IPv6 address"
    Http2Preface "http2_preface" "an HTTP/2 connection preface"
    H2cUpgrade "h2c_upgrade" "an upgrade to HTTP/2 in clear text"
    BytesBehindConnect "bytes_behind_connect" "bytes sent behind CONNECT before it was answered"
    BodyOnConnect "body_on_connect" "a body announced on CONNECT"
    BadConnectionOption "bad_connection_option" "a Connection option that is no token, one too many, or the name of an end-to-end field"
    BadMaxForwards "bad_max_forwards" "a Max-Forwards of TRACE or OPTIONS other than one number of at most nine digits"
    BadExpect "bad_expect" "an Expect other than one 100-continue"

    // The chunked coding.
    BadChunkSize "bad_chunk_size" "a chunk size that is not hexadecimal digits below 2^63"
    BadChunkExtension "bad_chunk_extension" "a chunk extension"
    ChunkTooLong "chunk_too_long" "a chunk size of more than 16 digits"
    BadChunkEnd "bad_chunk_end" "chunk data that CR LF does not follow"
    BadTrailer "bad_trailer" "a trailer section that is malformed or beyond its limits"
    ForbiddenTrailer "forbidden_trailer" "a trailer that would change framing, routing, authentication or meaning"
}

#[cfg(test)]
mod tests;

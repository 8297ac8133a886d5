use super::reader::LINE_BYTES_MAX;

/// What is wrong with a line, or with all lines below a header. The operator who chose the file can do something
/// about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    #[error("it is UTF-16: convert it first, as by iconv -f UTF-16 -t UTF-8")]
    Utf16,
    #[error("it is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error(
        "it is in no format that is known: our journal, Squid's native access.log, the combined one, Zeek's conn.log, \
         http.log and ssl.log as tables or JSON"
    )]
    Unknown,
    #[error("it ends before its {0}")]
    Short(&'static str),
    #[error("its {0} is not a time: seconds since 1970, or a date with a time zone")]
    Time(&'static str),
    #[error("its {0} is not a number of the right size")]
    Number(&'static str),
    #[error("it took longer than there is time since 1970")]
    Elapsed,
    #[error("its {0} is empty")]
    Empty(&'static str),
    #[error("its URL has no host: this is the log of a web server, not of a proxy")]
    WebServer,
    #[error("what it asked for is not a URL, or a host with a port")]
    Target,
    #[error("a quoted part has no end")]
    Quote,
    #[error("it is not a JSON object")]
    Json,
    #[error("it is a line of a Zeek table whose #fields line is missing")]
    NoHeader,
    #[error("it has another number of columns than its #fields line")]
    Columns,
    #[error("the separator of this Zeek table is not one ASCII character")]
    Separator,
    #[error("this header of a Zeek table has more than 1000 columns, or words longer than 64 bytes")]
    Header,
    #[error("this {log}.log has no column {column}")]
    MissingColumn { log: &'static str, column: &'static str },
}

impl Fault {
    /// Whether it is one of all lines that follow, too.
    pub(super) fn is_of_header(self) -> bool {
        match self {
            Self::Utf16 | Self::NoHeader | Self::Separator | Self::Header | Self::MissingColumn { .. } => true,
            Self::TooLong
            | Self::Unknown
            | Self::Short(_)
            | Self::Time(_)
            | Self::Number(_)
            | Self::Elapsed
            | Self::Empty(_)
            | Self::WebServer
            | Self::Target
            | Self::Quote
            | Self::Json
            | Self::Columns => false,
        }
    }
}

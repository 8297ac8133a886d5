use crate::formats::Fault;

macro_rules! columns {
    ($($variant:ident $name:literal)*) => {
        /// A column that is of use here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Column {
            $($variant,)*
        }

        impl Column {
            pub(super) const COUNT: usize = [$(Self::$variant),*].len();

            pub(super) fn of(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

columns! {
    Time "ts"
    Connection "uid"
    Client "id.orig_h"
    Address "id.resp_h"
    Port "id.resp_p"
    // conn.log
    Protocol "proto"
    Service "service"
    Duration "duration"
    BytesUp "orig_bytes"
    BytesDown "resp_bytes"
    ConnectionState "conn_state"
    // http.log
    Method "method"
    Host "host"
    Uri "uri"
    UserAgent "user_agent"
    BodyUp "request_body_len"
    BodyDown "response_body_len"
    Status "status_code"
    User "username"
    MediaTypes "resp_mime_types"
    // ssl.log
    ServerName "server_name"
    Established "established"
    Alert "last_alert"
    Ja3 "ja3"
    Ja4 "ja4"
    // Which log it is: JSON may say so, and sip.log, which looks like http.log, alone has this one.
    Path "_path"
    CallId "call_id"
}

/// Which of Zeek's logs a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    Connections,
    Requests,
    Tls,
    /// One that tells nothing of use here.
    Other,
}

impl Log {
    /// By its name, else by its columns. Of JSON, columns without a value are not there.
    pub(super) fn of(name: &str, has: impl Fn(Column) -> bool) -> Self {
        match name {
            "conn" => Self::Connections,
            "http" => Self::Requests,
            "ssl" => Self::Tls,
            _ if has(Column::CallId) => Self::Other,
            _ if has(Column::ConnectionState) => Self::Connections,
            _ if has(Column::BodyUp) || (has(Column::Uri) && has(Column::Host)) => Self::Requests,
            _ if has(Column::Established) => Self::Tls,
            _ => Self::Other,
        }
    }

    /// Columns without which nothing can be told.
    pub(super) fn check(self, has: impl Fn(Column) -> bool) -> Result<(), Fault> {
        let (log, needed): (_, &[Column]) = match self {
            Self::Connections => ("conn", &[Column::Time, Column::Client, Column::Address, Column::Port]),
            Self::Requests => ("http", &[Column::Time, Column::Client, Column::Method, Column::Host, Column::Uri]),
            Self::Tls => ("ssl", &[Column::Time, Column::Client, Column::Address, Column::Port, Column::ServerName]),
            Self::Other => return Ok(()),
        };
        match needed.iter().find(|column| !has(**column)) {
            Some(column) => Err(Fault::MissingColumn { log, column: column.name() }),
            None => Ok(()),
        }
    }
}

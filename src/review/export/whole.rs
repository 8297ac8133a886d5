use crate::evidence::{Asked, Observed, RecordLine, Verdict, format_time};
use crate::facts::{ExchangeId, Timestamp};
use crate::formats::{Connection, ConnectionState};

/// The columns of a table of exchanges, in order. Times are RFC 3339 in UTC, durations microseconds.
pub(super) const COLUMNS: [&str; 38] = [
    "time",
    "ended",
    "seq",
    "id",
    "inside",
    "client",
    "user",
    "client_group",
    "method",
    "scheme",
    "host",
    "port",
    "path",
    "query",
    "verdict",
    "would",
    "reason",
    "rule",
    "rule_at",
    "policy",
    "user_agent",
    "ja4",
    "tls_key",
    "standing",
    "sni",
    "carries",
    "parent",
    "dialled",
    "status",
    "content_type",
    "body_type",
    "body_sha256",
    "file_name",
    "bytes_up",
    "bytes_down",
    "total_us",
    "closed_by",
    "closed_how",
];

/// What all records of one exchange say together.
#[derive(Debug)]
pub(super) struct Whole {
    /// When it began, and the number of its first record.
    pub(super) time: Timestamp,
    seq: u64,
    pub(super) ended: Option<Timestamp>,
    /// By column; empty for those that are no text of records.
    texts: [Box<str>; COLUMNS.len()],
    client_port: Option<u16>,
    port: Option<u16>,
    status: Option<u16>,
    bytes_up: Option<u64>,
    bytes_down: Option<u64>,
    total_us: Option<u64>,
}

impl Default for Whole {
    fn default() -> Self {
        Self {
            time: Timestamp(0),
            seq: 0,
            ended: None,
            texts: std::array::from_fn(|_| Box::default()),
            client_port: None,
            port: None,
            status: None,
            bytes_up: None,
            bytes_down: None,
            total_us: None,
        }
    }
}

impl Whole {
    /// Takes what a record tells. What an earlier one told stays, but for what was decided: the guard may refuse later what a
    /// rule let out.
    pub(super) fn learn(&mut self, record: &RecordLine<'_>) {
        if self.seq == 0 {
            (self.time, self.seq) = (record.time, record.seq);
        }
        for (text, column) in self.texts.iter_mut().zip(COLUMNS) {
            let is_news = text.is_empty() || matches!(column, "verdict" | "would" | "reason" | "closed_how");
            if let (true, Some(said)) = (is_news, said(record, column)) {
                *text = said.into();
            }
        }
        self.client_port = self.client_port.or(record.client_port);
        self.port = self.port.or(record.port);
        self.status = self.status.or(record.status);
        self.bytes_up = record.bytes_up.or(self.bytes_up);
        self.bytes_down = record.bytes_down.or(self.bytes_down);
        self.total_us = record.total_us.or(self.total_us);
    }

    /// The number of its first record.
    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    /// The text of a column; empty where no record has it, and for what is no text.
    pub(super) fn text(&self, column: &str) -> &str {
        let at = COLUMNS.iter().position(|known| *known == column);
        at.and_then(|at| self.texts.get(at)).map_or("", |text| text)
    }

    /// As [`COLUMNS`].
    pub(super) fn cells(&self) -> [String; COLUMNS.len()] {
        let number = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
        COLUMNS.map(|column| match column {
            "time" => format_time(self.time),
            "ended" => self.ended.map_or(String::new(), format_time),
            "seq" => self.seq.to_string(),
            "port" => number(self.port.map(u64::from)),
            "status" => number(self.status.map(u64::from)),
            "bytes_up" => number(self.bytes_up),
            "bytes_down" => number(self.bytes_down),
            "total_us" => number(self.total_us),
            column => self.text(column).to_owned(),
        })
    }

    /// As another proxy would have seen it. What was let out because the policy is only observed was let out.
    pub(super) fn observed(&self) -> Observed<'_> {
        let verdict = match self.text("verdict") {
            "deny" => Verdict::Denied,
            "challenge" => Verdict::Challenged,
            _ => Verdict::Allowed,
        };
        let tunnel = self.text("scheme") == "tunnel";
        let address = self.text("dialled");
        Observed {
            time: self.time,
            id: self.text("id").parse::<ExchangeId>().map_or(0, |id| id.0),
            what: if tunnel { Asked::Tunnel } else { Asked::Request },
            client: self.text("client"),
            user: self.text("user"),
            host: self.text("host"),
            port: self.port.unwrap_or_default(),
            address: address.rsplit_once(':').map_or(address, |(address, _)| address),
            method: self.text("method"),
            path: self.text("path"),
            user_agent: self.text("user_agent"),
            // A tunnel that stood was answered by the gate, which needs no word on record.
            status: self.status.unwrap_or(if tunnel && verdict == Verdict::Allowed { 200 } else { 0 }),
            content_type: self.text("content_type"),
            carries: self.text("carries"),
            verdict,
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            duration_us: self.total_us,
            ..Observed::default()
        }
    }

    /// What a log of connections has of it beside that.
    pub(super) fn connection(&self) -> Connection<'_> {
        let dialled = self.text("dialled").parse().ok();
        let state = match (self.text("verdict"), self.text("closed_by"), self.text("closed_how")) {
            ("deny" | "challenge", ..) | (_, _, "connect_failed") => ConnectionState::Rejected,
            (_, _, "connect_timeout") => ConnectionState::Unanswered,
            _ if self.ended.is_none() => ConnectionState::Established,
            _ if dialled.is_none() => ConnectionState::Other,
            (_, "gate", _) | (_, "client", "reset") => ConnectionState::ResetByOriginator,
            (_, _, "reset") => ConnectionState::ResetByResponder,
            _ => ConnectionState::Finished,
        };
        Connection { client_port: self.client_port, dialled, scheme: self.text("scheme"), state }
    }
}

/// What a record says in a column, where that is text.
fn said<'a>(record: &'a RecordLine<'_>, column: &str) -> Option<&'a str> {
    let field = match column {
        "id" => &record.id,
        "inside" => &record.inside,
        "client" => &record.client,
        "user" => &record.user,
        "client_group" => &record.client_group,
        "method" => &record.method,
        "scheme" => &record.scheme,
        "host" => &record.host,
        "path" => &record.path,
        "query" => &record.query,
        "verdict" => &record.verdict,
        "would" => &record.would,
        "reason" => &record.reason,
        "rule" => &record.rule,
        "rule_at" => &record.rule_at,
        "policy" => &record.policy,
        "user_agent" => &record.user_agent,
        "ja4" => &record.ja4,
        "tls_key" => &record.tls_key,
        "standing" => &record.standing,
        "sni" => &record.sni,
        "carries" => &record.carries,
        "parent" => &record.parent,
        "dialled" => &record.dialled,
        "content_type" => &record.content_type,
        "body_type" => &record.body_type,
        "body_sha256" => &record.body_sha256,
        "file_name" => &record.file_name,
        "closed_by" => &record.closed_by,
        "closed_how" => &record.closed_how,
        _ => return None,
    };
    field.as_deref()
}

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use crate::evidence::format_time;
use crate::facts::{ExchangeId, Timestamp};

use super::day::of_day;
use super::{DAY_US, Index, IndexError, days};

/// A view that `sekisho sql` is asked of: a contract, as the tables under it are none.
#[derive(Debug)]
pub struct View {
    pub name: &'static str,
    pub meaning: &'static str,
    /// Names with their meanings, in the order of `SELECT *`.
    pub columns: &'static [(&'static str, &'static str)],
}

impl Index {
    /// Opens the index of a data directory, with the views of [`VIEWS`] over all its days. Nothing can be written by it.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn open_with_views(data_dir: &Path) -> Result<Self, IndexError> {
        let index = Self::open_read_only(data_dir)?;
        // Sorting more than fits into memory goes on in a file that has no name, and is gone with the connection.
        index.connection.pragma_update(None, "temp_store", "file")?;
        functions(&index.connection)?;
        make(&index.connection)?;
        index.connection.pragma_update(None, "query_only", true)?;
        Ok(index)
    }

    /// The connection alone.
    pub fn into_connection(self) -> Connection {
        self.connection
    }
}

/// What the views need and SQL has not.
fn functions(connection: &Connection) -> Result<(), IndexError> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    let micros = |us: Option<i64>| us.map(|us| u64::try_from(us).unwrap_or_default());
    connection.create_scalar_function("time_text", 1, flags, move |context| {
        Ok(micros(context.get(0)?).map(|us| format_time(Timestamp(us))))
    })?;
    connection.create_scalar_function("exchange_id", 1, flags, move |context| {
        Ok(micros(context.get(0)?).map(|us| ExchangeId(us).to_string()))
    })?;
    Ok(())
}

fn make(connection: &Connection) -> Result<(), IndexError> {
    let days = days(connection)?;
    let mut arms = include_str!("views.sql").split("\n-- ").skip(1);
    for name in ["exchanges", "contacts"] {
        let arm = arms.next().and_then(|arm| arm.strip_prefix(name)).unwrap_or_default();
        connection.execute_batch(&over_days(name, arm.trim(), &days))?;
    }
    connection.execute_batch(WHOLE)?;
    Ok(())
}

/// Statements for a view over all days, by views of months between: a SELECT has no more than 500 arms.
fn over_days(name: &str, arm: &str, days: &[i64]) -> String {
    let mut text = String::new();
    let mut months: Vec<String> = Vec::new();
    for day in days {
        let date = format_time(Timestamp(day.saturating_mul(DAY_US).unsigned_abs()));
        let month = format!("{name}_{}", date.get(..7).unwrap_or_default().replace('-', "_"));
        let joint = if months.last() == Some(&month) {
            "\nUNION ALL "
        } else {
            let _ = write!(text, "{}CREATE TEMP VIEW {month} AS ", if months.is_empty() { "" } else { ";\n" });
            months.push(month);
            ""
        };
        text.push_str(joint);
        text.push_str(&of_day(&arm.replace("DATE", date.get(..10).unwrap_or_default()), *day));
    }
    if months.is_empty() {
        // Of no day there are no tables, and yet there are columns.
        let columns = VIEWS.iter().find(|view| view.name == name).map_or(&[][..], |view| view.columns);
        let columns: Vec<_> = columns.iter().map(|(name, _)| format!("NULL AS \"{name}\"")).collect();
        return format!("CREATE TEMP VIEW {name} AS SELECT {} WHERE 0;", columns.join(", "));
    }
    let months: Vec<_> = months.iter().map(|month| format!("SELECT * FROM {month}")).collect();
    let _ = write!(text, ";\nCREATE TEMP VIEW {name} AS {};", months.join(" UNION ALL "));
    text
}

/// Views that are not of days.
const WHOLE: &str = "
CREATE TEMP VIEW flows AS SELECT seq, time_text(time) AS time, line ->> '$.source' AS source,
    nullif(client, '') AS client, line ->> '$.protocol' AS protocol, line ->> '$.address' AS address, line ->> '$.port' AS port,
    line ->> '$.host' AS host, line ->> '$.meant' AS meant,
    line ->> '$.state' AS state,
    CASE WHEN line ->> '$.state' IN ('refused', 'dropped') THEN 'deny' WHEN line ->> '$.state' IS NOT NULL THEN 'allow' END
    AS verdict, line ->> '$.rule' AS reason, line ->> '$.count' AS count, line ->> '$.packets' AS packets,
    line ->> '$.bytes_up' AS bytes_up, line ->> '$.bytes_down' AS bytes_down FROM main.event WHERE kind = 'flow';
CREATE TEMP VIEW findings AS SELECT id, seq, time_text(told) AS time, time_text(first_told) AS first_time, kind, severity,
    score, weight, client, target, nullif(program, '') AS program, time_text(first) AS first, time_text(last) AS last,
    english, japanese, line AS record FROM main.finding;
CREATE TEMP VIEW events AS SELECT seq, time_text(time) AS time, kind, nullif(action, '') AS action,
    nullif(client, '') AS client, nullif(target, '') AS target, line AS record FROM main.event;
CREATE TEMP VIEW devices AS SELECT seq, client, name, nullif(hardware, '') AS hardware, nullif(source, '') AS source,
    time_text(since) AS since, time_text(until) AS until FROM main.device;
CREATE TEMP VIEW clients AS SELECT client,
    (SELECT d.name FROM main.device d WHERE d.client = t.client ORDER BY d.since DESC, d.seq DESC LIMIT 1) AS device,
    min(first) AS first, max(last) AS last, count(DISTINCT host) AS hosts, sum(requests) AS requests,
    sum(tunnels) AS tunnels, sum(challenged) AS challenged, sum(denied) AS denied, sum(would) AS would,
    sum(failed) AS failed, sum(bytes_up) AS bytes_up, sum(bytes_down) AS bytes_down
    FROM contacts t WHERE client IS NOT NULL GROUP BY client;
CREATE TEMP VIEW hosts AS SELECT host, domain, min(first) AS first,
    (SELECT c.name FROM main.host h JOIN main.client c ON c.id = h.first_client WHERE h.name = t.host) AS first_client,
    max(last) AS last, count(DISTINCT client) AS clients, sum(requests) AS requests, sum(tunnels) AS tunnels,
    sum(challenged) AS challenged, sum(denied) AS denied, sum(would) AS would, sum(failed) AS failed,
    sum(bytes_up) AS bytes_up, sum(bytes_down) AS bytes_down
    FROM contacts t WHERE host IS NOT NULL GROUP BY host;
";

/// The views, as `sekisho sql --schema` tells of them.
pub const VIEWS: &[View] = &[
    View {
        name: "exchanges",
        meaning: "one row a request with its answer, or a tunnel",
        columns: &[
            ("day", "UTC day of its first record, such as 2026-11-26; of other days nothing is read"),
            ("seq", "number of its first record"),
            ("time", "when it began"),
            ("id", "its id, as on records and pages"),
            ("inside", "id of the tunnel that it was read inside of"),
            ("client", "address that asked"),
            ("user", "who had logged in to the proxy"),
            ("method", "such as GET or CONNECT"),
            ("scheme", "http, https or tunnel"),
            ("host", "name or address that was asked for"),
            ("domain", "registrable domain of the host; the host itself where it has none"),
            ("port", "port that was asked for"),
            ("path", "path with what varies as *; NULL where it was not visible"),
            ("event", "open (let out), refused, or answered (by the gate itself)"),
            ("verdict", "allow, challenge or deny"),
            ("would", "verdict if the policy were enforced, where it is only observed"),
            ("reason", "why: the code on record, such as no_rule"),
            ("rule", "name of the rule that decided"),
            ("rule_at", "file and line of the rule"),
            ("stopped", "1 where nothing was let out, else NULL; `stopped = 1` is found by an index"),
            ("user_agent", "what the program called itself"),
            ("ja4", "fingerprint of its TLS"),
            ("tls_key", "the stable part of that"),
            ("standing", "how the program stood with the challenge"),
            ("captured", "address it was on its way to, past the proxy; NULL where the proxy was asked"),
            ("dialled", "address that was dialled for it"),
            ("status", "HTTP status of the answer"),
            ("content_type", "what the answer said that it was"),
            ("body_type", "what its first bytes showed"),
            ("bytes_up", "bytes from the client"),
            ("bytes_down", "bytes to the client"),
            ("total_ms", "how long it took, in milliseconds"),
            ("closed_by", "who ended it"),
            ("closed_how", "how"),
            ("failure", "what it failed by: dns, refused, unanswered, reset, tls or other"),
            ("open", "1 while its end is not on record, else 0"),
        ],
    },
    View {
        name: "contacts",
        meaning: "one row a client, host and day: found at once by client and by host",
        columns: &[
            ("day", "UTC day; of other days nothing is read"),
            ("client", "address"),
            ("host", "name or address; NULL for requests that named none"),
            ("domain", "registrable domain of the host"),
            ("first", "first exchange of the day"),
            ("last", "last exchange of the day"),
            ("requests", "exchanges in all, of which:"),
            ("tunnels", "tunnels"),
            ("challenged", "stopped by a challenge"),
            ("denied", "denied"),
            ("would", "let out because the policy is only observed"),
            ("failed", "let out, and came to nothing"),
            ("bytes_up", "bytes from the client"),
            ("bytes_down", "bytes to the client"),
        ],
    },
    View {
        name: "flows",
        meaning: "attempts past the proxy, those alike within a second in one row",
        columns: &[
            ("seq", "number of its record"),
            ("time", "when it was recorded, a second at most after it was seen"),
            ("source", "nflog, conntrack, syslog or zeek"),
            ("client", "address"),
            ("protocol", "tcp, udp, icmp, icmpv6 or a number"),
            ("address", "where it was to go"),
            ("port", "where it was to go"),
            ("host", "name of that, where who told of it knew one"),
            ("meant", "where the client meant to go, where this machine has led it to that address instead"),
            ("state", "refused, dropped, unanswered, reset, established or closed"),
            ("verdict", "deny where a firewall stopped it, allow where none did; NULL where that is not known"),
            ("reason", "rule of the firewall"),
            ("count", "packets logged, connections or lines"),
            ("packets", "packets that connections carried"),
            ("bytes_up", "bytes from the client"),
            ("bytes_down", "bytes to the client"),
        ],
    },
    View {
        name: "findings",
        meaning: "what detectors concluded, each finding as it was told last",
        columns: &[
            ("id", "its id, as on records and pages"),
            ("seq", "number of its newest record"),
            ("time", "time of that"),
            ("first_time", "when it was told first"),
            ("kind", "such as beacon"),
            ("severity", "such as high"),
            ("score", "how strong the evidence is"),
            ("weight", "score and rarity together, by which findings are ordered"),
            ("client", "address it is about"),
            ("target", "host it is about"),
            ("program", "program it is about"),
            ("first", "first exchange it rests on"),
            ("last", "last exchange it rests on"),
            ("english", "what was found, in a sentence"),
            ("japanese", "the same in Japanese"),
            ("record", "newest record, as JSON"),
        ],
    },
    View {
        name: "clients",
        meaning: "one row a client, summed over all days; of one client `contacts` tells sooner",
        columns: &[
            ("client", "address"),
            ("device", "name that it had last; NULL where only the address is known"),
            ("first", "first exchange"),
            ("last", "last exchange"),
            ("hosts", "hosts it asked for"),
            ("requests", "exchanges in all, of which:"),
            ("tunnels", "tunnels"),
            ("challenged", "stopped by a challenge"),
            ("denied", "denied"),
            ("would", "let out because the policy is only observed"),
            ("failed", "let out, and came to nothing"),
            ("bytes_up", "bytes from it"),
            ("bytes_down", "bytes to it"),
        ],
    },
    View {
        name: "hosts",
        meaning: "one row a host, summed over all days; of one host `contacts` tells sooner",
        columns: &[
            ("host", "name or address"),
            ("domain", "registrable domain; the host itself where it has none"),
            ("first", "first exchange"),
            ("first_client", "who asked for it first, ever"),
            ("last", "last exchange"),
            ("clients", "clients that asked for it"),
            ("requests", "exchanges in all, of which:"),
            ("tunnels", "tunnels"),
            ("challenged", "stopped by a challenge"),
            ("denied", "denied"),
            ("would", "let out because the policy is only observed"),
            ("failed", "let out, and came to nothing"),
            ("bytes_up", "bytes to it"),
            ("bytes_down", "bytes from it"),
        ],
    },
    View {
        name: "events",
        meaning: "records of other kinds: what was done to the gate, its health, its policy, challenges, look-ups",
        columns: &[
            ("seq", "number of the record"),
            ("time", "its time"),
            ("kind", "such as admin, policy, health, gap or challenge"),
            ("action", "what was done, or how it came out"),
            ("client", "address it is about"),
            ("target", "host or other thing it is about"),
            ("record", "the record, as JSON"),
        ],
    },
    View {
        name: "devices",
        meaning: "which name a client had, and when",
        columns: &[
            ("seq", "number of the record"),
            ("client", "address"),
            ("name", "name of the device"),
            ("hardware", "its hardware address"),
            ("source", "who said so"),
            ("since", "from when"),
            ("until", "until when; NULL while nothing else is known"),
        ],
    },
];

#[cfg(test)]
mod tests;

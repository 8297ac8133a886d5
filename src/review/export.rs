use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::evidence::{DeviceSpan, Event, Kind, RecordLine, Verdict, shown};
use crate::facts::{ExchangeId, Timestamp};
use crate::formats::{
    csv_row, write_squid, write_zeek_conn, write_zeek_conn_header, write_zeek_http, write_zeek_http_header,
};
use crate::store::{OpenError, Reader};

use super::scan::{Progress, scan_lines};

mod stream;
mod whole;

pub use stream::{Stream, StreamSettings};

use whole::{COLUMNS, Whole};

/// In what form exchanges leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The records as they lie in the journal, of every kind; of exchanges each of its records.
    Lines,
    /// Comma-separated values with a header, an exchange a row.
    Csv,
    /// Squid's native `access.log`.
    Squid,
    /// Zeek's `http.log`, as a table.
    Zeek,
    /// Zeek's `conn.log`, as a table: an exchange a connection.
    ZeekConn,
}

/// Which exchanges leave. What is empty lets everything through.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// That began then or later.
    pub since: Option<Timestamp>,
    /// That began before.
    pub until: Option<Timestamp>,
    pub clients: Vec<IpNet>,
    /// Beside these, clients at the times at which they were a device that is meant.
    pub spans: Vec<DeviceSpan>,
    pub users: Vec<String>,
    /// Names, or `*.` and a name for everything below it; address literals as records have them.
    pub hosts: Vec<String>,
    /// What was done: `allow`, `challenge` or `deny`.
    pub verdict: Option<Verdict>,
    /// A reason's code, such as `unknown_target`.
    pub reasons: Vec<String>,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Exchanges; of [`Form::Lines`] records.
    pub written: u64,
    /// Of these exchanges, those whose end is not on record.
    pub unfinished: u64,
    /// Records read.
    pub records: u64,
    /// Lines that are no record, and were passed over.
    pub unreadable: u64,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Journal(#[from] OpenError),
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// Exchanges that are open at the same time; beyond it the oldest is written without its end.
const OPEN_MAX: usize = 500_000;
/// What is gathered before it is written.
const OUT_BYTES: usize = 64 * 1024;

/// Writes what is on record in another form. Exchanges come in the order in which they ended, those without an end last, by
/// when they began. What the journal holds is read once, and of it is held only what is open.
///
/// # Errors
/// What of the journal could not be read, or what could not be written.
pub fn export(
    reader: &mut Reader,
    form: Form,
    filter: &Filter,
    out: &mut impl Write,
    progress: impl FnMut(Progress),
) -> Result<Exported, ExportError> {
    let mut exporting = Exporting { form, filter, out, text: Vec::new(), exported: Exported::default() };
    exporting.begin();
    let scanned = match form {
        Form::Lines => {
            let mut kept = HashSet::new();
            scan_lines(reader, |_| true, progress, |record, line| exporting.line(record, line, &mut kept))?
        }
        Form::Csv | Form::Squid | Form::Zeek | Form::ZeekConn => {
            let mut open = BTreeMap::new();
            let is_exchange = |kind| kind == Kind::Exchange;
            let scanned = scan_lines(reader, is_exchange, progress, |record, _| exporting.record(record, &mut open))?;
            for whole in open.into_values() {
                exporting.unfinished(&whole)?;
            }
            scanned
        }
    };
    exporting.flush(0)?;
    Ok(Exported { records: scanned.records, unreadable: scanned.unreadable, ..exporting.exported })
}

struct Exporting<'a, W> {
    form: Form,
    filter: &'a Filter,
    out: &'a mut W,
    text: Vec<u8>,
    exported: Exported,
}

impl<W: Write> Exporting<'_, W> {
    fn begin(&mut self) {
        match self.form {
            Form::Lines | Form::Squid => {}
            Form::Csv => csv_row(COLUMNS, &mut self.text),
            Form::Zeek => write_zeek_http_header(&mut self.text),
            Form::ZeekConn => write_zeek_conn_header(&mut self.text),
        }
    }

    /// A line of the journal, as it is. `kept` are the exchanges that leave and are still open.
    fn line(&mut self, record: &RecordLine<'_>, line: &[u8], kept: &mut HashSet<u64>) -> Result<(), ExportError> {
        let id = id_of(record);
        let is_kept = match (record.kind, record.event) {
            (Kind::Exchange, Some(Event::Close)) => id.is_some_and(|id| kept.remove(&id)),
            (Kind::Exchange | Kind::Progress, _) if id.is_some_and(|id| kept.contains(&id)) => true,
            _ => self.filter.takes(record),
        };
        let stays_open = matches!(record.event, Some(Event::Open | Event::Waiting));
        if let (true, true, Some(id)) = (is_kept, stays_open && kept.len() < OPEN_MAX, id) {
            kept.insert(id);
        }
        if is_kept {
            self.text.extend_from_slice(line);
            self.text.push(b'\n');
            self.exported.written += 1;
        }
        self.flush(OUT_BYTES)
    }

    fn record(&mut self, record: &RecordLine<'_>, open: &mut BTreeMap<u64, Whole>) -> Result<(), ExportError> {
        let Some(id) = id_of(record) else { return Ok(()) };
        match record.event {
            Some(Event::Refused | Event::Answered) => self.ended(open.remove(&id).unwrap_or_default(), record),
            Some(Event::Close) => match open.remove(&id) {
                Some(whole) => self.ended(whole, record),
                // Of what was opened before the first record that is read only the end is known.
                None => Ok(()),
            },
            Some(_) => {
                open.entry(id).or_default().learn(record);
                if open.len() > OPEN_MAX
                    && let Some((_, oldest)) = open.pop_first()
                {
                    self.unfinished(&oldest)?;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn ended(&mut self, mut whole: Whole, record: &RecordLine<'_>) -> Result<(), ExportError> {
        whole.learn(record);
        whole.ended = Some(record.time);
        self.write(&whole)
    }

    fn unfinished(&mut self, whole: &Whole) -> Result<(), ExportError> {
        self.exported.unfinished += u64::from(self.filter.takes_whole(whole));
        self.write(whole)
    }

    fn write(&mut self, whole: &Whole) -> Result<(), ExportError> {
        if !self.filter.takes_whole(whole) {
            return Ok(());
        }
        self.exported.written += 1;
        match self.form {
            Form::Lines => {}
            Form::Csv => {
                let cells = whole.cells();
                let cells: Vec<_> = cells.iter().map(|cell| shown(cell)).collect();
                csv_row(cells.iter().map(AsRef::as_ref), &mut self.text);
            }
            Form::Squid => write_squid(&whole.observed(), &mut self.text),
            Form::Zeek => write_zeek_http(&whole.observed(), &mut self.text),
            Form::ZeekConn => write_zeek_conn(&whole.observed(), &whole.connection(), &mut self.text),
        }
        self.flush(OUT_BYTES)
    }

    /// Writes what was gathered, where it is more than this.
    fn flush(&mut self, more_than: usize) -> Result<(), ExportError> {
        if self.text.len() > more_than {
            self.out.write_all(&self.text)?;
            self.text.clear();
        }
        Ok(())
    }
}

fn id_of(record: &RecordLine<'_>) -> Option<u64> {
    record.id.as_deref()?.parse::<ExchangeId>().ok().map(|id| id.0)
}

impl Filter {
    fn takes(&self, record: &RecordLine<'_>) -> bool {
        self.matches(record.time, |name| match name {
            "client" => record.client.as_deref(),
            "user" => record.user.as_deref(),
            "host" => record.host.as_deref(),
            "verdict" => record.verdict.as_deref(),
            _ => record.reason.as_deref(),
        })
    }

    fn takes_whole(&self, whole: &Whole) -> bool {
        self.matches(whole.time, |name| Some(whole.text(name)))
    }

    fn matches<'a>(&self, time: Timestamp, of: impl Fn(&'static str) -> Option<&'a str>) -> bool {
        let is_one =
            |list: &[String], name| list.is_empty() || of(name).is_some_and(|said| list.iter().any(|one| one == said));
        self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time < until)
            && self.has_client(of("client"), time)
            && is_one(&self.users, "user")
            && (self.hosts.is_empty() || of("host").is_some_and(|host| self.has_host(host)))
            && self.verdict.is_none_or(|verdict| of("verdict") == Some(word(verdict)))
            && is_one(&self.reasons, "reason")
    }

    fn has_client(&self, client: Option<&str>, time: Timestamp) -> bool {
        if self.clients.is_empty() && self.spans.is_empty() {
            return true;
        }
        let Some(client) = client.and_then(|client| client.parse::<IpAddr>().ok()) else { return false };
        let is_then = |span: &DeviceSpan| span.client.contains(&client) && span.from <= time && time < span.until;
        self.clients.iter().any(|net| net.contains(&client)) || self.spans.iter().any(is_then)
    }

    fn has_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|wanted| match wanted.strip_prefix('*') {
            Some(below) => host.len() > below.len() && host.ends_with(below),
            None => host == wanted,
        })
    }
}

/// As records have it.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "allow",
        Verdict::Challenged => "challenge",
        Verdict::Denied => "deny",
    }
}

#[cfg(test)]
mod tests;

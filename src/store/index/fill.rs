use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, params};

use crate::evidence::{Event, Kind, RecordLine, read_record, read_retention};
use crate::facts::{ExchangeId, Timestamp};

use super::super::segment::begun;
use super::day::{Pair, Sums, count, create, of_day, stretch};
use super::interned::AllNames;
use super::names::bounded;
use super::open::Open;
use super::row;
use super::row::{EXCHANGE, Row, read_open};
use super::url::{body_hash, marks};
use super::{DAY_US, FORM, IndexError, Indexed, days, form, indexed};

/// Puts records into the index, in their order. What it has taken is in the file once it is committed.
pub struct Filler {
    pub(super) connection: Connection,
    pub(super) names: AllNames,
    pub(super) open: Open,
    /// Rows to be written with the next commit, that are whole.
    ended: Vec<Row>,
    pub(super) days: BTreeMap<i64, Sums>,
    /// Days whose tables are there.
    pub(super) made: Vec<i64>,
    indexed: Indexed,
    pub(super) paths: i64,
    /// The statement that writes rows of a day.
    pub(super) insert: (i64, String),
    /// It goes on with an index, and has not come to what that does not have.
    resumed: Option<Resumed>,
    /// Sums stay in memory over commits, until there are many.
    pub(super) bulk: bool,
}

/// Exchanges that are open at the same time; of more, the end of the oldest does not come to the index.
const OPEN_MAX: usize = 500_000;
/// No file has a longer name.
const FILE_NAME_BYTES_MAX: usize = 255;
/// Rows of sums in memory, before they are written.
const SUMS_MAX: usize = 1_000_000;
/// The clock counts as stepped back when a record's time is so much before the one in front of it.
const STEP_US: u64 = 1_000_000;

/// How far a filler that goes on has come in what the index has already.
#[derive(Debug, Clone, Copy)]
struct Resumed {
    /// It came to the newest record of the index.
    is_there: bool,
    /// Lines behind that one that are counted already.
    bad_lines: u64,
}

/// The hash that a line ends with; '' where it ends otherwise.
pub(super) fn hash_of(line: &[u8]) -> &str {
    let end = line.len().saturating_sub("\"}".len());
    let hash = line.get(end.saturating_sub(16)..end).and_then(|hash| std::str::from_utf8(hash).ok());
    hash.filter(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit())).unwrap_or_default()
}

impl Filler {
    /// Goes on with an index, or begins it where the file is empty. In bulk nothing is safe before the end: for a file that
    /// is put into its place when it is whole.
    ///
    /// # Errors
    /// The file is no index, or of another form.
    pub fn new(connection: Connection, bulk: bool) -> Result<Self, IndexError> {
        connection.set_prepared_statement_cache_capacity(256);
        let is_empty = connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))?;
        if is_empty {
            connection.execute_batch("BEGIN")?;
            connection.execute_batch(include_str!("schema.sql"))?;
            connection.execute("INSERT INTO place VALUES (1, ?1, 0, 0, '', 0, 0, 0, 0)", [FORM])?;
            connection.execute("INSERT INTO judgement VALUES (?1, '', '', '', '', '', 0)", [row::UNJUDGED])?;
            connection.execute_batch("COMMIT")?;
        }
        if form(&connection) != Some(FORM) {
            return Err(IndexError::Form(connection.path().unwrap_or_default().into()));
        }
        let indexed = indexed(&connection)?;
        let resumed = Some(Resumed { is_there: indexed.seq == 0, bad_lines: indexed.bad_since });
        let made = days(&connection)?;
        let paths = connection.query_row("SELECT count(*) FROM path", [], |row| row.get(0))?;
        let mut filler = Self {
            names: AllNames::new(),
            open: Open::default(),
            ended: Vec::new(),
            days: BTreeMap::new(),
            made,
            indexed,
            paths,
            insert: (i64::MIN, String::new()),
            resumed,
            bulk,
            connection,
        };
        filler.open = read_open(&filler.connection, &filler.made, OPEN_MAX)?;
        filler.connection.execute_batch("BEGIN")?;
        Ok(filler)
    }

    /// Up to where records are committed or about to be.
    pub fn indexed(&self) -> &Indexed {
        &self.indexed
    }

    /// Takes a line of the journal. What is no record is counted, and what it has already is passed over.
    ///
    /// # Errors
    /// The index is of another journal, or SQLite's. What was taken since the last commit is lost with the filler.
    pub fn line(&mut self, line: &[u8]) -> Result<(), IndexError> {
        match read_record(line) {
            Ok(record) => self.record(&record, line),
            Err(_) => {
                self.bad_line();
                Ok(())
            }
        }
    }

    /// Notes a sealed segment of which something could not be unpacked.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn unread(&self, segment: &Path, why: &str) -> Result<(), IndexError> {
        Ok(note_unread(&self.connection, segment, why)?)
    }

    /// Counts a line that is no record, once.
    fn bad_line(&mut self) {
        match &mut self.resumed {
            Some(Resumed { is_there: false, .. }) => {}
            Some(Resumed { bad_lines, .. }) if *bad_lines > 0 => *bad_lines -= 1,
            Some(_) | None => {
                self.indexed.unreadable += 1;
                self.indexed.bad_since += 1;
            }
        }
    }

    /// The same of a line that was read.
    ///
    /// # Errors
    /// SQLite's.
    pub fn record(&mut self, record: &RecordLine<'_>, line: &[u8]) -> Result<(), IndexError> {
        if record.seq <= self.indexed.seq {
            // What it has it is given again where it goes on in the middle of a segment.
            if record.seq == self.indexed.seq {
                if hash_of(line) != self.indexed.hash {
                    return Err(IndexError::OtherJournal);
                }
                self.resumed = self.resumed.map(|resumed| Resumed { is_there: true, ..resumed });
            }
            return Ok(());
        }
        self.resumed = None;
        (self.indexed.hash, self.indexed.bad_since) = (hash_of(line).to_owned(), 0);
        self.indexed.records += 1;
        if record.time.0.saturating_add(STEP_US) < self.indexed.time.0 {
            self.indexed.backward += 1;
        }
        (self.indexed.seq, self.indexed.time) = (record.seq, record.time);
        let day = day_of(record.time);
        self.make(day)?;
        let sums = self.days.entry(day).or_default();
        sums.records += 1;
        stretch(&mut sums.seqs, signed(record.seq));
        stretch(&mut sums.times, signed(record.time.0));
        match record.kind {
            Kind::Exchange => self.exchange(record, day)?,
            Kind::Progress => self.progress(record),
            Kind::Finding => self.finding(line, record, day)?,
            Kind::Challenge | Kind::Flow => self.event(line, record, day)?,
            Kind::Other => {
                self.event(line, record, day)?;
                if let Some(retention) = read_retention(line) {
                    self.retire(&retention)?;
                }
            }
        }
        if self.days.values().map(Sums::rows).sum::<usize>() > SUMS_MAX {
            self.flush()?;
        }
        Ok(())
    }

    fn make(&mut self, day: i64) -> Result<(), IndexError> {
        if !self.made.contains(&day) {
            create(&self.connection, day)?;
            self.made.push(day);
        }
        Ok(())
    }

    fn exchange(&mut self, record: &RecordLine<'_>, day: i64) -> Result<(), IndexError> {
        let Some(id) = record.id.as_deref().and_then(|id| id.parse::<ExchangeId>().ok()) else { return Ok(()) };
        let mut row = match (self.open.remove(id.0), record.event) {
            (Some(row), _) => row,
            // What comes behind the first record of what the index knows nothing of; only the first has the client.
            (None, Some(Event::Open)) if record.client.is_none() => return Ok(()),
            (None, Some(Event::Close | Event::Established | Event::FirstBytes) | None) => return Ok(()),
            (None, Some(Event::Open | Event::Waiting | Event::Refused | Event::Answered)) => {
                self.begun(id, record, day)?
            }
        };
        self.learn(&mut row, record)?;
        match record.event {
            Some(Event::Close) => self.end(row, record)?,
            Some(Event::Refused | Event::Answered) => {
                row.event = if record.event == Some(Event::Refused) { 1 } else { 2 };
                self.ended.push(*row);
            }
            Some(_) | None => {
                self.open.insert(id.0, row);
                if self.open.len() > OPEN_MAX
                    && let Some(oldest) = self.open.pop_first()
                {
                    self.write(&oldest, true)?;
                    oldest.forget(&self.connection)?;
                }
            }
        }
        Ok(())
    }

    /// A row with what the first record says.
    fn begun(&mut self, id: ExchangeId, record: &RecordLine<'_>, day: i64) -> Result<Box<Row>, IndexError> {
        let connection = &self.connection;
        let client = self.names.client.number(connection, record.client.as_deref().unwrap_or_default())?;
        let host = match record.host.as_deref() {
            Some(host) => Some(self.names.host(connection, host, (signed(id.0), signed(record.seq)), client)?),
            None => None,
        };
        let captured = match record.captured.as_deref() {
            Some(captured) => Some(self.names.address.number(connection, address_of(captured))?),
            None => None,
        };
        let scheme = record.scheme.as_deref();
        let tunnel = scheme == Some("tunnel");
        let inside = record.inside.as_deref().and_then(|id| id.parse::<ExchangeId>().ok());
        let begins = day.saturating_mul(DAY_US);
        let row = Box::new(Row {
            day,
            seq: signed(record.seq),
            at: signed(id.0).saturating_sub(begins),
            inside: inside.map(|id| signed(id.0).saturating_sub(begins)),
            client,
            host,
            scheme: self.names.word(connection, scheme)?,
            port: record.port.map(i64::from).filter(|port| *port != 443),
            captured,
            ..Row::default()
        });
        let sums = self.days.entry(day).or_default();
        sums.exchanges += 1;
        let at = ms_of_day(record.time, day);
        let pair = sums.pairs.entry((client, host.unwrap_or_default())).or_insert(Pair {
            first: at,
            last: at,
            ..Pair::default()
        });
        pair.requests += 1;
        pair.tunnels += i64::from(tunnel);
        (pair.first, pair.last) = (pair.first.min(at), pair.last.max(at));
        Ok(row)
    }

    /// What a record adds to a row.
    fn learn(&mut self, row: &mut Row, record: &RecordLine<'_>) -> Result<(), IndexError> {
        let connection = &self.connection;
        let sums = self.days.entry(row.day).or_default();
        let at = ms_of_day(record.time, row.day);
        if let (None, Some(user)) = (row.user, record.user.as_deref()) {
            row.user = Some(self.names.user.number(connection, user)?);
        }
        row.method =
            row.method.map_or_else(|| self.names.word(connection, record.method.as_deref()), |word| Ok(Some(word)))?;
        if let (None, Some(path)) = (row.path, record.path.as_deref()) {
            if let Some((url, query)) = marks(record) {
                sums.urls.insert((url, row.seq), query);
            }
            let path = super::template::template(path);
            row.path = self.names.path(connection, &path, &mut self.paths)?;
        }
        let shows = [&record.user_agent, &record.ja4, &record.tls_key].map(|said| said.as_deref().unwrap_or_default());
        if shows.iter().any(|said| !said.is_empty()) {
            let known = self.names.program(connection, shows, row.program)?;
            if row.program != Some(known) {
                // What is learnt later of the same software makes another program of it, which counts alone.
                count(&mut sums.programs, (known, row.client), at);
                row.program = Some(known);
            }
        }
        if let Some(standing) = record.standing.as_deref() {
            row.standing = self.names.word(connection, Some(standing))?;
        }
        if let Some(verdict) = record.verdict.as_deref() {
            let (judgement, stopped, would) = self.names.judgement(connection, verdict, record)?;
            let before = row.judgement.map(|before| (before, row.stopped));
            sums.judge(row.at, before, (judgement, row.stopped || stopped));
            row.judgement = Some(judgement);
            if (stopped && !row.stopped) || would {
                let port = record.port.map(i64::from).or(row.port).unwrap_or(443);
                count(&mut sums.stopped, (judgement, row.client, row.host.unwrap_or_default(), port), at);
                let pair = sums.pair(row.client, row.host);
                pair.challenged += i64::from(verdict == "challenge");
                pair.denied += i64::from(verdict == "deny");
                pair.would += i64::from(would);
            }
            row.stopped |= stopped;
        }
        if let (None, Some(dialled)) = (row.dialled, record.dialled.as_deref()) {
            let number = self.names.address.number(connection, address_of(dialled))?;
            row.dialled = Some(number);
            if let Some(host) = row.host {
                *sums.dialled.entry((host, number)).or_default() += 1;
            }
        }
        row.status = record.status.map(i64::from).or(row.status);
        if let Some(kind) = record.content_type.as_deref() {
            row.content_type = self.names.word(connection, Some(kind.split(';').next().unwrap_or_default().trim()))?;
        }
        if let Some(hash) = record.body_sha256.as_deref().and_then(body_hash) {
            let name = record.file_name.as_deref().unwrap_or_default();
            let name = name.get(..name.floor_char_boundary(FILE_NAME_BYTES_MAX)).unwrap_or_default().to_owned();
            sums.bodies.insert((hash, row.seq), name);
        }
        if let Some(kind) = record.body_type.as_deref() {
            row.body_type = self.names.word(connection, Some(kind))?;
        }
        Ok(())
    }

    /// What a long tunnel has carried so far.
    fn progress(&mut self, record: &RecordLine<'_>) {
        let id = record.id.as_deref().and_then(|id| id.parse::<ExchangeId>().ok());
        let Some((id, mut row)) = id.and_then(|id| Some((id.0, self.open.remove(id.0)?))) else { return };
        let sums = self.days.entry(row.day).or_default();
        carried(&mut row, record, sums);
        self.open.insert(id, row);
    }

    fn end(&mut self, mut row: Box<Row>, record: &RecordLine<'_>) -> Result<(), IndexError> {
        let sums = self.days.entry(row.day).or_default();
        carried(&mut row, record, sums);
        row.total_ms = record.total_us.map(|us| signed(us / 1000));
        let (by, how) =
            (record.closed_by.as_deref().unwrap_or_default(), record.closed_how.as_deref().unwrap_or_default());
        let (ending, fails) = self.names.ending(&self.connection, by, how)?;
        row.ending = Some(ending);
        if fails && !row.stopped {
            let at = ms_of_day(record.time, row.day);
            count(&mut sums.failed, (row.client, row.host.unwrap_or_default(), ending), at);
            sums.pair(row.client, row.host).failed += 1;
        }
        self.ended.push(*row);
        Ok(())
    }

    /// Puts what was taken into the file, with the number of the record up to which that is.
    ///
    /// # Errors
    /// SQLite's: then nothing of it is there.
    pub fn commit(&mut self) -> Result<(), IndexError> {
        self.write_rows()?;
        if !self.bulk {
            self.flush()?;
        }
        let Indexed { seq, time, ref hash, bad_since, records, unreadable, backward } = self.indexed;
        self.connection.prepare_cached(PLACE)?.execute(params![
            signed(seq),
            signed(time.0),
            hash,
            signed(bad_since),
            signed(records),
            signed(unreadable),
            signed(backward),
        ])?;
        self.connection.execute_batch("COMMIT; BEGIN")?;
        Ok(())
    }

    /// Ends it, with all that was taken in the file.
    ///
    /// # Errors
    /// As [`Filler::commit`].
    pub fn finish(mut self) -> Result<Connection, IndexError> {
        self.bulk = false;
        self.commit()?;
        self.connection.execute_batch("COMMIT")?;
        Ok(self.connection)
    }

    pub(super) fn write_rows(&mut self) -> Result<(), IndexError> {
        let mut ended = std::mem::take(&mut self.ended);
        ended.sort_unstable_by_key(|row| (row.day, row.seq));
        for row in ended.drain(..) {
            self.write(&row, false)?;
        }
        self.ended = ended;
        if !self.bulk {
            for (id, mut row) in self.open.take_news() {
                self.write(&row, true)?;
                if !std::mem::replace(&mut row.stored, true) {
                    let mut insert =
                        self.connection.prepare_cached("INSERT OR REPLACE INTO open VALUES (?1, ?2, ?3)")?;
                    insert.execute(params![signed(id), row.day, row.seq])?;
                }
                self.open.insert_still(id, row);
            }
        }
        Ok(())
    }

    fn write(&mut self, row: &Row, open: bool) -> Result<(), IndexError> {
        if self.insert.0 != row.day {
            self.insert = (row.day, of_day(EXCHANGE, row.day));
        }
        let manner = self.names.manner.number(&self.connection, row.manner(open))?;
        row.write(&self.connection, &self.insert.1, manner, open)
    }

    pub(super) fn flush(&mut self) -> Result<(), IndexError> {
        for (day, sums) in &mut self.days {
            sums.flush(&self.connection, *day)?;
        }
        self.days.clear();
        Ok(())
    }
}

impl Sums {
    /// The sum of a client and a host. What is added to it says nothing of when it began.
    fn pair(&mut self, client: i64, host: Option<i64>) -> &mut Pair {
        let unknown = Pair { first: i64::MAX, last: i64::MIN, ..Pair::default() };
        self.pairs.entry((client, host.unwrap_or_default())).or_insert(unknown)
    }
}

/// Counts what was carried since the last record that told of it.
fn carried(row: &mut Row, record: &RecordLine<'_>, sums: &mut Sums) {
    let more = |now: Option<u64>, before: Option<i64>| {
        now.map(|now| (signed(now), signed(now).saturating_sub(before.unwrap_or_default()).max(0)))
    };
    let (up, down) = (more(record.bytes_up, row.up), more(record.bytes_down, row.down));
    if up.is_some() || down.is_some() {
        let pair = sums.pair(row.client, row.host);
        pair.up = pair.up.saturating_add(up.map_or(0, |(_, more)| more));
        pair.down = pair.down.saturating_add(down.map_or(0, |(_, more)| more));
    }
    // What is said to be less than before is not.
    row.up = row.up.max(up.map(|(all, _)| all));
    row.down = row.down.max(down.map(|(all, _)| all));
}

/// An address as records have it, without its port.
fn address_of(socket: &str) -> &str {
    let address = socket.rsplit_once(':').map_or(socket, |(address, _)| address);
    address.trim_start_matches('[').trim_end_matches(']')
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn day_of(time: Timestamp) -> i64 {
    signed(time.0) / DAY_US
}

/// Of a day, or before it or after it.
pub(super) fn ms_of_day(time: Timestamp, day: i64) -> i64 {
    signed(time.0).saturating_sub(day.saturating_mul(DAY_US)) / 1000
}

/// See the table `unread`.
pub(super) fn note_unread(connection: &Connection, segment: &Path, why: &str) -> rusqlite::Result<()> {
    let name = segment.file_name().unwrap_or_default().to_string_lossy();
    let day = begun(segment).map_or(0, day_of);
    let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO unread VALUES (?1, ?2, ?3)")?;
    insert.execute(params![bounded(&name), day, bounded(why)]).map(drop)
}

const PLACE: &str =
    "UPDATE place SET seq = ?1, time = ?2, hash = ?3, bad_since = ?4, records = ?5, unreadable = ?6, backward = ?7";

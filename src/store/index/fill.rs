use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;

use crate::evidence::{Event, Kind, RecordLine, Said, read_record, read_time};
use crate::facts::{ExchangeId, Timestamp};

use super::day::{Pair, Sums, count, create, of_day, stretch};
use super::names::{Names, bounded};
use super::{DAY_US, FORM, IndexError, Indexed, days, form, indexed};

/// Puts records into the index, in their order. What it has taken is in the file once it is committed.
pub struct Filler {
    connection: Connection,
    names: AllNames,
    /// Exchanges whose end is not on record yet, by their ids: the oldest first.
    open: BTreeMap<u64, Row>,
    /// Rows to be written with the next commit, that are whole.
    ended: Vec<Row>,
    days: BTreeMap<i64, Sums>,
    /// Days whose tables are there.
    made: Vec<i64>,
    indexed: Indexed,
    paths: i64,
    /// Sums stay in memory over commits, until there are many.
    bulk: bool,
}

/// Exchanges that are open at the same time; of more, the end of the oldest does not come to the index.
const OPEN_MAX: usize = 500_000;
/// Rows of sums in memory, before they are written.
const SUMS_MAX: usize = 1_000_000;
/// Paths that are told apart.
const PATHS_MAX: i64 = 200_000;
/// The clock counts as stepped back when a record's time is so much before the one in front of it.
const STEP_US: u64 = 1_000_000;

/// The judgement of what waits for one.
const UNJUDGED: i64 = 1;

struct AllNames {
    client: Names,
    user: Names,
    address: Names,
    host: Names,
    program: Names,
    judgement: Names,
    ending: Names,
    word: Names,
    path: Names,
}

/// A row of `x_DAY`.
#[derive(Debug, Clone, Default)]
struct Row {
    day: i64,
    /// It is in the file already, as open; and the file does not have all that is known of it.
    stored: bool,
    is_news: bool,
    seq: i64,
    at: i64,
    inside: Option<i64>,
    event: i64,
    client: i64,
    user: Option<i64>,
    method: Option<i64>,
    scheme: Option<i64>,
    host: Option<i64>,
    port: Option<i64>,
    path: Option<i64>,
    program: Option<i64>,
    standing: Option<i64>,
    judgement: Option<i64>,
    stopped: bool,
    dialled: Option<i64>,
    status: Option<i64>,
    content_type: Option<i64>,
    body_type: Option<i64>,
    up: Option<i64>,
    down: Option<i64>,
    total_ms: Option<i64>,
    ending: Option<i64>,
}

/// What is asked of a record that tells of no exchange.
#[derive(Debug, Deserialize)]
struct Other<'a> {
    #[serde(borrow)]
    kind: Said<'a>,
    #[serde(borrow)]
    action: Option<Said<'a>>,
    #[serde(borrow)]
    cause: Option<Said<'a>>,
    #[serde(borrow)]
    level: Option<Said<'a>>,
    #[serde(borrow)]
    outcome: Option<Said<'a>>,
    #[serde(borrow)]
    ground: Option<Said<'a>>,
    #[serde(borrow)]
    what: Option<Said<'a>>,
    #[serde(borrow)]
    purpose: Option<Said<'a>>,
    #[serde(borrow)]
    question: Option<Said<'a>>,
    #[serde(borrow)]
    client: Option<Said<'a>>,
    #[serde(borrow)]
    subject: Option<Said<'a>>,
    #[serde(borrow)]
    target: Option<Said<'a>>,
    #[serde(borrow)]
    host: Option<Said<'a>>,
    #[serde(borrow)]
    name: Option<Said<'a>>,
    #[serde(borrow)]
    hardware: Option<Said<'a>>,
    #[serde(borrow)]
    source: Option<Said<'a>>,
    #[serde(borrow)]
    since: Option<Said<'a>>,
    #[serde(borrow)]
    until: Option<Said<'a>>,
}

/// What is asked of a finding.
#[derive(Debug, Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    finding_id: Said<'a>,
    #[serde(borrow)]
    finding: Said<'a>,
    #[serde(borrow)]
    severity: Said<'a>,
    score: f64,
    weight: f64,
    #[serde(borrow)]
    client: Said<'a>,
    #[serde(borrow)]
    target: Said<'a>,
    #[serde(borrow)]
    first: Said<'a>,
    #[serde(borrow)]
    last: Said<'a>,
    #[serde(borrow)]
    english: Said<'a>,
    #[serde(borrow)]
    japanese: Said<'a>,
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
            connection.execute("INSERT INTO place VALUES (1, ?1, 0, 0, 0, 0, 0)", [FORM])?;
            connection.execute("INSERT INTO judgement VALUES (?1, '', '', '', '', '', 0)", [UNJUDGED])?;
            connection.execute_batch("COMMIT")?;
        }
        if form(&connection) != Some(FORM) {
            return Err(IndexError::Form(connection.path().unwrap_or_default().into()));
        }
        let indexed = indexed(&connection)?;
        let made = days(&connection)?;
        let paths = connection.query_row("SELECT count(*) FROM path", [], |row| row.get(0))?;
        let mut filler = Self {
            names: AllNames::new(),
            open: BTreeMap::new(),
            ended: Vec::new(),
            days: BTreeMap::new(),
            made,
            indexed,
            paths,
            bulk,
            connection,
        };
        filler.open = filler.read_open()?;
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
        let Ok(record) = read_record(line) else {
            self.indexed.unreadable += 1;
            return Ok(());
        };
        self.record(&record, line)
    }

    /// The same of a line that was read.
    ///
    /// # Errors
    /// SQLite's.
    pub fn record(&mut self, record: &RecordLine<'_>, line: &[u8]) -> Result<(), IndexError> {
        if record.seq <= self.indexed.seq {
            // What it has it is given again where it goes on in the middle of a segment.
            let is_other = record.seq == self.indexed.seq && record.time != self.indexed.time;
            return if is_other { Err(IndexError::OtherJournal) } else { Ok(()) };
        }
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
            Kind::Challenge | Kind::Other => self.event(line, record, day)?,
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
        let mut row = match (self.open.remove(&id.0), record.event) {
            (Some(row), _) => row,
            // The end of what the index knows nothing of.
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
                self.ended.push(row);
            }
            Some(_) | None => {
                self.open.insert(id.0, row);
                if self.open.len() > OPEN_MAX
                    && let Some((_, mut oldest)) = self.open.pop_first()
                {
                    self.write(&mut oldest, true)?;
                }
            }
        }
        Ok(())
    }

    /// A row with what the first record says.
    fn begun(&mut self, id: ExchangeId, record: &RecordLine<'_>, day: i64) -> Result<Row, IndexError> {
        let connection = &self.connection;
        let client = self.names.client.number(connection, record.client.as_deref().unwrap_or_default())?;
        let host = match record.host.as_deref() {
            Some(host) => Some(self.names.host(connection, host, record, client)?),
            None => None,
        };
        let scheme = record.scheme.as_deref();
        let tunnel = scheme == Some("tunnel");
        let inside = record.inside.as_deref().and_then(|id| id.parse::<ExchangeId>().ok());
        let begins = day.saturating_mul(DAY_US);
        let row = Row {
            day,
            seq: signed(record.seq),
            at: signed(id.0).saturating_sub(begins),
            inside: inside.map(|id| signed(id.0).saturating_sub(begins)),
            client,
            host,
            scheme: self.names.word(connection, scheme)?,
            port: record.port.map(i64::from).filter(|port| *port != 443),
            ..Row::default()
        };
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
        row.is_news = true;
        if let (None, Some(user)) = (row.user, record.user.as_deref()) {
            row.user = Some(self.names.user.number(connection, user)?);
        }
        row.method =
            row.method.map_or_else(|| self.names.word(connection, record.method.as_deref()), |word| Ok(Some(word)))?;
        if let (None, Some(path)) = (row.path, record.path.as_deref()) {
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
            let address = dialled.rsplit_once(':').map_or(dialled, |(address, _)| address);
            let address = address.trim_start_matches('[').trim_end_matches(']');
            let number = self.names.address.number(connection, address)?;
            row.dialled = Some(number);
            if let Some(host) = row.host {
                *sums.dialled.entry((number, host)).or_default() += 1;
            }
        }
        row.status = record.status.map(i64::from).or(row.status);
        if let Some(kind) = record.content_type.as_deref() {
            row.content_type = self.names.word(connection, Some(kind.split(';').next().unwrap_or_default().trim()))?;
        }
        if let Some(kind) = record.body_type.as_deref() {
            row.body_type = self.names.word(connection, Some(kind))?;
        }
        Ok(())
    }

    /// What a long tunnel has carried so far.
    fn progress(&mut self, record: &RecordLine<'_>) {
        let id = record.id.as_deref().and_then(|id| id.parse::<ExchangeId>().ok());
        let Some(row) = id.and_then(|id| self.open.get_mut(&id.0)) else { return };
        let sums = self.days.entry(row.day).or_default();
        carried(row, record, sums);
    }

    fn end(&mut self, mut row: Row, record: &RecordLine<'_>) -> Result<(), IndexError> {
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
        self.ended.push(row);
        Ok(())
    }

    fn finding(&mut self, line: &[u8], record: &RecordLine<'_>, day: i64) -> Result<(), IndexError> {
        let Ok(found) = serde_json::from_slice::<Found<'_>>(line) else { return Ok(()) };
        let text = |said: &Said<'_>| bounded(said).to_owned();
        let time = |said: &Said<'_>| read_time(said).map_or(0, |time| signed(time.0));
        self.connection.prepare_cached(FINDING)?.execute(params![
            text(&found.finding_id),
            day,
            signed(record.seq),
            signed(record.time.0),
            text(&found.finding),
            text(&found.severity),
            found.score,
            found.weight,
            text(&found.client),
            text(&found.target),
            time(&found.first),
            time(&found.last),
            text(&found.english),
            text(&found.japanese),
            String::from_utf8_lossy(line),
        ])?;
        Ok(())
    }

    fn event(&mut self, line: &[u8], record: &RecordLine<'_>, day: i64) -> Result<(), IndexError> {
        let Ok(other) = serde_json::from_slice::<Other<'_>>(line) else { return Ok(()) };
        let said = |said: &Option<Said<'_>>| bounded(said.as_deref().unwrap_or_default()).to_owned();
        let first = |all: &[&Option<Said<'_>>]| {
            all.iter().map(|one| said(one)).find(|text| !text.is_empty()).unwrap_or_default()
        };
        if matches!(&*other.kind, "segment" | "batch") {
            return Ok(());
        }
        if &*other.kind == "device" {
            let time = |said: &Option<Said<'_>>| said.as_deref().and_then(read_time).map(|time| signed(time.0));
            self.connection.prepare_cached("INSERT INTO device VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(
                params![
                    signed(record.seq),
                    day,
                    said(&other.client),
                    said(&other.name),
                    said(&other.hardware),
                    said(&other.source),
                    time(&other.since).unwrap_or_else(|| signed(record.time.0)),
                    time(&other.until),
                ],
            )?;
        }
        let action = first(&[
            &other.action,
            &other.cause,
            &other.level,
            &other.outcome,
            &other.ground,
            &other.what,
            &other.purpose,
            &other.question,
        ]);
        self.connection.prepare_cached("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(
            params![
                signed(record.seq),
                day,
                signed(record.time.0),
                bounded(&other.kind),
                action,
                said(&other.client),
                first(&[&other.target, &other.host, &other.subject]),
                String::from_utf8_lossy(line),
            ],
        )?;
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
        let Indexed { seq, time, records, unreadable, backward } = self.indexed;
        self.connection.prepare_cached(PLACE)?.execute(params![
            signed(seq),
            signed(time.0),
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

    fn write_rows(&mut self) -> Result<(), IndexError> {
        let mut ended = std::mem::take(&mut self.ended);
        ended.sort_unstable_by_key(|row| (row.day, row.seq));
        for mut row in ended.drain(..) {
            self.write(&mut row, false)?;
        }
        self.ended = ended;
        if !self.bulk {
            let mut open = std::mem::take(&mut self.open);
            for (id, row) in &mut open {
                if std::mem::take(&mut row.is_news) {
                    self.write(row, true)?;
                }
                if !std::mem::replace(&mut row.stored, true) {
                    let mut insert =
                        self.connection.prepare_cached("INSERT OR REPLACE INTO open VALUES (?1, ?2, ?3)")?;
                    insert.execute(params![signed(*id), row.day, row.seq])?;
                }
            }
            self.open = open;
        }
        Ok(())
    }

    fn write(&self, row: &mut Row, open: bool) -> Result<(), IndexError> {
        self.connection.prepare_cached(&of_day(EXCHANGE, row.day))?.execute(params![
            row.seq,
            row.at,
            row.inside,
            row.event,
            open.then_some(1),
            row.client,
            row.user,
            row.method,
            row.scheme,
            row.host,
            row.port,
            row.path,
            row.program,
            row.standing,
            row.judgement.unwrap_or(UNJUDGED),
            row.stopped.then_some(1),
            row.dialled,
            row.status,
            row.content_type,
            row.body_type,
            row.up,
            row.down,
            row.total_ms,
            row.ending,
        ])?;
        if row.stored && !open {
            let id = row.at.saturating_add(row.day.saturating_mul(DAY_US));
            self.connection.prepare_cached("DELETE FROM open WHERE id = ?1")?.execute([id])?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        for (day, sums) in &mut self.days {
            sums.flush(&self.connection, *day)?;
        }
        self.days.clear();
        Ok(())
    }

    /// The rows whose ends are not on record, from the file.
    fn read_open(&self) -> Result<BTreeMap<u64, Row>, IndexError> {
        let mut open = BTreeMap::new();
        let mut known: HashMap<i64, bool> = HashMap::new();
        let mut statement = self.connection.prepare("SELECT id, day, seq FROM open ORDER BY id DESC LIMIT ?1")?;
        let places = statement
            .query_map([OPEN_MAX as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<Vec<(i64, i64, i64)>, _>>()?;
        for (id, day, seq) in places {
            if !*known.entry(day).or_insert_with(|| self.made.contains(&day)) {
                continue;
            }
            let mut select = self.connection.prepare_cached(&of_day("SELECT * FROM x_DAY WHERE seq = ?1", day))?;
            let row = select
                .query_row([seq], |row| {
                    Ok(Row {
                        day,
                        stored: true,
                        is_news: false,
                        seq,
                        at: row.get(1)?,
                        inside: row.get(2)?,
                        event: row.get(3)?,
                        client: row.get(5)?,
                        user: row.get(6)?,
                        method: row.get(7)?,
                        scheme: row.get(8)?,
                        host: row.get(9)?,
                        port: row.get(10)?,
                        path: row.get(11)?,
                        program: row.get(12)?,
                        standing: row.get(13)?,
                        judgement: row.get::<_, Option<i64>>(14)?.filter(|judgement| *judgement != UNJUDGED),
                        stopped: row.get::<_, Option<i64>>(15)?.is_some(),
                        dialled: row.get(16)?,
                        status: row.get(17)?,
                        content_type: row.get(18)?,
                        body_type: row.get(19)?,
                        up: row.get(20)?,
                        down: row.get(21)?,
                        total_ms: row.get(22)?,
                        ending: row.get(23)?,
                    })
                })
                .optional()?;
            if let Some(row) = row {
                open.insert(id.unsigned_abs(), row);
            }
        }
        Ok(open)
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
    row.is_news = true;
}

impl AllNames {
    fn new() -> Self {
        let insert = "INSERT INTO path (name) VALUES (?1)";
        Self {
            client: Names::of("INSERT INTO client (name) VALUES (?1)", "SELECT id FROM client WHERE name = ?1"),
            user: Names::of("INSERT INTO user (name) VALUES (?1)", "SELECT id FROM user WHERE name = ?1"),
            address: Names::of("INSERT INTO address (name) VALUES (?1)", "SELECT id FROM address WHERE name = ?1"),
            host: Names::of(
                "INSERT INTO host (name, domain, first_time, first_seq, first_client) VALUES (?1, ?2, ?3, ?4, ?5)",
                "SELECT id FROM host WHERE name = ?1",
            ),
            program: Names::of(
                "INSERT INTO program (user_agent, ja4, tls_key) VALUES (?1, ?2, ?3)",
                "SELECT id FROM program WHERE user_agent = ?1 AND ja4 = ?2 AND tls_key = ?3",
            ),
            judgement: Names::of(
                "INSERT INTO judgement (verdict, would, reason, rule, rule_at, stopped) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                "SELECT id FROM judgement WHERE verdict = ?1 AND would = ?2 AND reason = ?3 AND rule = ?4 AND rule_at = ?5",
            ),
            ending: Names::of(
                "INSERT INTO ending (closed_by, closed_how, class) VALUES (?1, ?2, ?3)",
                "SELECT id FROM ending WHERE closed_by = ?1 AND closed_how = ?2",
            ),
            word: Names::of("INSERT INTO word (name) VALUES (?1)", "SELECT id FROM word WHERE name = ?1"),
            path: Names::of(insert, "SELECT id FROM path WHERE name = ?1"),
        }
    }

    fn word(&mut self, connection: &Connection, word: Option<&str>) -> Result<Option<i64>, IndexError> {
        word.map(|word| self.word.number(connection, word)).transpose()
    }

    fn host(
        &mut self,
        connection: &Connection,
        host: &str,
        record: &RecordLine<'_>,
        client: i64,
    ) -> Result<i64, IndexError> {
        let host = bounded(host);
        let is_name = host.bytes().any(|byte| byte.is_ascii_alphabetic()) && !host.starts_with('[');
        let domain = Some(host).filter(|_| is_name).and_then(psl::domain_str).unwrap_or(host);
        let first = params![host, domain, signed(record.time.0), signed(record.seq), client];
        Ok(self.host.number_of(connection, host, first, params![host])?.0)
    }

    /// `None` beyond the bound.
    fn path(&mut self, connection: &Connection, path: &str, known: &mut i64) -> Result<Option<i64>, IndexError> {
        if *known >= PATHS_MAX {
            let mut found = connection.prepare_cached("SELECT id FROM path WHERE name = ?1")?;
            return Ok(Some(found.query_row([bounded(path)], |row| row.get(0)).optional()?.unwrap_or(0)));
        }
        let path = bounded(path);
        let (number, is_new) = self.path.number_of(connection, path, params![path], params![path])?;
        *known += i64::from(is_new);
        Ok(Some(number))
    }

    /// The program that shows this; what it showed before, and does not now, is still its.
    fn program(&mut self, connection: &Connection, shows: [&str; 3], before: Option<i64>) -> Result<i64, IndexError> {
        let mut shows = shows.map(|said| bounded(said).to_owned());
        if let Some(before) = before.filter(|_| shows.iter().any(String::is_empty)) {
            let known: Option<[String; 3]> = connection
                .prepare_cached("SELECT user_agent, ja4, tls_key FROM program WHERE id = ?1")?
                .query_row([before], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
                .optional()?;
            for (now, known) in shows.iter_mut().zip(known.unwrap_or_default()) {
                if now.is_empty() {
                    *now = known;
                }
            }
        }
        let [user_agent, ja4, tls_key] = &shows;
        let key = shows.join("\u{1f}");
        let (inserted, selected) = (params![user_agent, ja4, tls_key], params![user_agent, ja4, tls_key]);
        Ok(self.program.number_of(connection, &key, inserted, selected)?.0)
    }

    /// Its number, whether nothing was let out, and whether something would not have been.
    fn judgement(
        &mut self,
        connection: &Connection,
        verdict: &str,
        record: &RecordLine<'_>,
    ) -> Result<(i64, bool, bool), IndexError> {
        let said = |said: &Option<Said<'_>>| bounded(said.as_deref().unwrap_or_default()).to_owned();
        let (would, reason, rule, at) =
            (said(&record.would), said(&record.reason), said(&record.rule), said(&record.rule_at));
        let stopped = verdict != "allow";
        let key = [verdict, &would, &reason, &rule, &at].join("\u{1f}");
        let selected = params![verdict, would, reason, rule, at];
        let inserted = params![verdict, would, reason, rule, at, stopped];
        let number = self.judgement.number_of(connection, &key, inserted, selected)?.0;
        Ok((number, stopped, !stopped && !would.is_empty() && would != "allow"))
    }

    /// Its number, and whether it came to nothing.
    fn ending(&mut self, connection: &Connection, by: &str, how: &str) -> Result<(i64, bool), IndexError> {
        let (by, how) = (bounded(by), bounded(how));
        let class = class_of(by, how);
        let key = [by, how].join("\u{1f}");
        let number = self.ending.number_of(connection, &key, params![by, how, class], params![by, how])?.0;
        Ok((number, !class.is_empty()))
    }
}

/// Of what was let out and came to nothing, why; '' where it ended well, or a client or the gate ended it.
fn class_of(by: &str, how: &str) -> &'static str {
    match how {
        "dns_failed" => "dns",
        "connect_failed" => "refused",
        "connect_timeout" | "parent_timeout" | "origin_timeout" => "unanswered",
        "tls_failed" | "tls_refused" if by != "client" => "tls",
        "reset" | "origin_reset" if by == "origin" || by == "parent" => "reset",
        how if how.starts_with("parent_") => "other",
        _ => "",
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn day_of(time: Timestamp) -> i64 {
    signed(time.0) / DAY_US
}

/// Of a day, or before it or after it.
fn ms_of_day(time: Timestamp, day: i64) -> i64 {
    signed(time.0).saturating_sub(day.saturating_mul(DAY_US)) / 1000
}

const EXCHANGE: &str = "INSERT OR REPLACE INTO x_DAY VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)";
const FINDING: &str = "INSERT INTO finding VALUES
    (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, '', ?11, ?12, ?13, ?14, ?15)
    ON CONFLICT (id) DO UPDATE SET day = excluded.day, seq = excluded.seq, told = excluded.told,
    severity = excluded.severity, score = excluded.score, weight = excluded.weight, client = excluded.client,
    target = excluded.target, first = min(first, excluded.first), last = excluded.last,
    english = excluded.english, japanese = excluded.japanese, line = excluded.line";
const PLACE: &str = "UPDATE place SET seq = ?1, time = ?2, records = ?3, unreadable = ?4, backward = ?5";

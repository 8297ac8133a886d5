use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::{IndexError, QUARTER_US, dialled};

/// The statements of one day's tables.
pub(super) fn of_day(text: &str, day: i64) -> String {
    text.replace("DAY", &day.to_string())
}

/// Makes the tables of a day.
pub(super) fn create(connection: &Connection, day: i64) -> Result<(), IndexError> {
    Ok(connection.execute_batch(&of_day(include_str!("day.sql"), day))?)
}

/// What one day's summaries gain; in memory until they are flushed.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) pairs: HashMap<(i64, i64), Pair>,
    /// By judgement, client, host and port.
    pub(super) stopped: HashMap<(i64, i64, i64, i64), Count>,
    /// By client, host and ending.
    pub(super) failed: HashMap<(i64, i64, i64), Count>,
    /// By program and client.
    pub(super) programs: HashMap<(i64, i64), Count>,
    /// By host and address.
    pub(super) dialled: HashMap<(i64, i64), i64>,
    /// By quarter of an hour and judgement.
    pub(super) judged: HashMap<(i64, i64), Judged>,
    /// By client, address and course.
    pub(super) flows: HashMap<(i64, i64, i64), Carried>,
    /// Flows by the numbers of their records, with their times and keys.
    pub(super) flow_records: HashMap<i64, FlowRecord>,
    /// By mark and number of the opening record: the mark of the query.
    pub(super) urls: HashMap<(i64, i64), Option<i64>>,
    /// By hash and number of the opening record: the name.
    pub(super) bodies: HashMap<([u8; 32], i64), String>,
    pub(super) records: i64,
    pub(super) exchanges: i64,
    /// Numbers and times of records.
    pub(super) seqs: Option<(i64, i64)>,
    pub(super) times: Option<(i64, i64)>,
}

/// What a client did with a host.
#[derive(Default, Clone, Copy)]
pub(super) struct Pair {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) requests: i64,
    pub(super) tunnels: i64,
    pub(super) challenged: i64,
    pub(super) denied: i64,
    pub(super) would: i64,
    pub(super) failed: i64,
    pub(super) up: i64,
    pub(super) down: i64,
}

#[derive(Clone, Copy)]
pub(super) struct Count {
    requests: i64,
    first: i64,
    last: i64,
}

/// How often it was judged so.
#[derive(Clone, Copy)]
pub(super) struct Judged {
    requests: i64,
    stopped: i64,
    first: i64,
    last: i64,
}

/// Of a flow its time in the day, by whom, where to and on which course, and what it counts.
type FlowRecord = (i64, (i64, i64, i64), Carried);

/// What flows count and carried.
#[derive(Clone, Copy)]
pub(super) struct Carried {
    pub(super) count: i64,
    pub(super) packets: i64,
    pub(super) up: i64,
    pub(super) down: i64,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// One more at this time.
pub(super) fn count<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, Count>, key: K, at: i64) {
    let count = counts.entry(key).or_insert(Count { requests: 0, first: at, last: at });
    count.requests += 1;
    (count.first, count.last) = (count.first.min(at), count.last.max(at));
}

/// Both ends of what was seen.
pub(super) fn stretch(span: &mut Option<(i64, i64)>, at: i64) {
    let (first, last) = span.unwrap_or((at, at));
    *span = Some((first.min(at), last.max(at)));
}

impl Sums {
    /// Of an exchange that began at this microsecond of the day: how it is judged, and whether that stopped it, and what of it
    /// was counted before.
    pub(super) fn judge(&mut self, at: i64, before: Option<(i64, bool)>, now: (i64, bool)) {
        if before == Some(now) {
            return;
        }
        for ((judgement, is_stopped), more) in before.map(|before| (before, -1)).into_iter().chain([(now, 1)]) {
            let none = Judged { requests: 0, stopped: 0, first: at / 1000, last: at / 1000 };
            let sum = self.judged.entry((at.div_euclid(QUARTER_US), judgement)).or_insert(none);
            sum.requests += more;
            sum.stopped += if is_stopped { more } else { 0 };
            (sum.first, sum.last) = (sum.first.min(at / 1000), sum.last.max(at / 1000));
        }
    }

    /// Of one record: its number and time, whose and where to, and what it counts.
    pub(super) fn flow(&mut self, (seq, at): (i64, i64), key: (i64, i64, i64), more: Carried) {
        self.flow_records.insert(seq, (at, key, more));
        let none = Carried { count: 0, packets: 0, up: 0, down: 0, ..more };
        let sum = self.flows.entry(key).or_insert(none);
        for (all, more) in [
            (&mut sum.count, more.count),
            (&mut sum.packets, more.packets),
            (&mut sum.up, more.up),
            (&mut sum.down, more.down),
        ] {
            *all = all.saturating_add(more);
        }
        (sum.first, sum.last) = (sum.first.min(more.first), sum.last.max(more.last));
    }

    /// Rows that a flush would write.
    pub(super) fn rows(&self) -> usize {
        self.pairs.len()
            + self.stopped.len()
            + self.failed.len()
            + self.programs.len()
            + self.dialled.len()
            + self.judged.len()
            + self.flows.len()
            + self.urls.len()
            + self.flow_records.len()
            // Names are long.
            + 4 * self.bodies.len()
    }

    /// Adds them to the day's tables. Keys are written in order, so that the tables grow at their ends.
    pub(super) fn flush(&mut self, connection: &Connection, day: i64) -> Result<(), IndexError> {
        let statement = |text| connection.prepare_cached(&of_day(text, day));
        let mut insert = statement(PAIR)?;
        for ((client, host), pair) in sorted(self.pairs.drain()) {
            let Pair { first, last, requests, tunnels, challenged, denied, would, failed, up, down } = pair;
            insert.execute(params![
                client, host, first, last, requests, tunnels, challenged, denied, would, failed, up, down
            ])?;
        }
        let mut insert = statement(STOPPED)?;
        for ((judgement, client, host, port), count) in sorted(self.stopped.drain()) {
            insert.execute(params![judgement, client, host, port, count.requests, count.first, count.last])?;
        }
        let mut insert = statement(FAILED)?;
        for ((client, host, ending), count) in sorted(self.failed.drain()) {
            insert.execute(params![client, host, ending, count.requests, count.first, count.last])?;
        }
        let mut insert = statement(PROGRAM)?;
        for ((program, client), count) in sorted(self.programs.drain()) {
            insert.execute(params![program, client, count.requests, count.first, count.last])?;
        }
        for of_host in sorted(self.dialled.drain()).chunk_by(|((a, _), _), ((b, _), _)| a == b) {
            let Some(((host, _), _)) = of_host.first() else { continue };
            let addresses = of_host.iter().map(|((_, address), requests)| (*address, *requests));
            dialled::add(connection, day, *host, addresses)?;
        }
        let mut insert = statement(JUDGED)?;
        for ((quarter, judgement), sum) in sorted(self.judged.drain()) {
            let Judged { requests, stopped, first, last } = sum;
            insert.execute(params![quarter, judgement, requests, stopped, first, last])?;
        }
        let mut insert = statement(FLOW)?;
        for ((client, address, course), sum) in sorted(self.flows.drain()) {
            let Carried { count, packets, up, down, first, last } = sum;
            insert.execute(params![client, address, course, count, packets, up, down, first, last])?;
        }
        let mut insert = statement(FLOW_RECORD)?;
        for (seq, (at, (client, address, course), sum)) in sorted(self.flow_records.drain()) {
            let Carried { count, packets, up, down, first, last } = sum;
            insert.execute(params![seq, at, client, address, course, count, packets, up, down, first, last])?;
        }
        let mut insert = statement(URL)?;
        for ((url, seq), query) in sorted(self.urls.drain()) {
            insert.execute(params![url, seq, query])?;
        }
        let mut insert = statement(BODY)?;
        for ((hash, seq), name) in sorted(self.bodies.drain()) {
            insert.execute(params![hash, seq, name])?;
        }
        if let (Some((first_seq, last_seq)), Some((first, last))) = (self.seqs.take(), self.times.take()) {
            let (records, exchanges) = (std::mem::take(&mut self.records), std::mem::take(&mut self.exchanges));
            let days = params![day, first_seq, last_seq, first, last, records, exchanges];
            connection.prepare_cached(DAY)?.execute(days)?;
        }
        Ok(())
    }
}

fn sorted<K: Ord, V>(entries: impl Iterator<Item = (K, V)>) -> Vec<(K, V)> {
    let mut entries: Vec<_> = entries.collect();
    entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    entries
}

const PAIR: &str = "INSERT INTO p_DAY VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
    ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last),
    requests = requests + excluded.requests, tunnels = tunnels + excluded.tunnels,
    challenged = challenged + excluded.challenged, denied = denied + excluded.denied, would = would + excluded.would,
    failed = failed + excluded.failed, up = up + excluded.up, down = down + excluded.down";
const STOPPED: &str = "INSERT INTO r_DAY VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests, first = min(first, excluded.first), last = max(last, excluded.last)";
const FAILED: &str = "INSERT INTO f_DAY VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests, first = min(first, excluded.first), last = max(last, excluded.last)";
const PROGRAM: &str = "INSERT INTO s_DAY VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests, first = min(first, excluded.first), last = max(last, excluded.last)";
const JUDGED: &str = "INSERT INTO q_DAY VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests, stopped = stopped + excluded.stopped,
    first = min(first, excluded.first), last = max(last, excluded.last)";
// What other firewalls say is any number: SQLite makes a real of a sum that is none any more, which the table refuses.
const FLOW: &str = "INSERT INTO w_DAY VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET
    count = CAST(min(9e18, 0.0 + count + excluded.count) AS INTEGER),
    packets = CAST(min(9e18, 0.0 + packets + excluded.packets) AS INTEGER),
    up = CAST(min(9e18, 0.0 + up + excluded.up) AS INTEGER), down = CAST(min(9e18, 0.0 + down + excluded.down) AS INTEGER),
    first = min(first, excluded.first), last = max(last, excluded.last)";
const FLOW_RECORD: &str = "INSERT INTO v_DAY VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const URL: &str = "INSERT OR IGNORE INTO u_DAY VALUES (?1, ?2, ?3)";
const BODY: &str = "INSERT OR IGNORE INTO b_DAY VALUES (?1, ?2, ?3)";
const DAY: &str = "INSERT INTO day VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET
    first_seq = min(first_seq, excluded.first_seq), last_seq = max(last_seq, excluded.last_seq),
    first_time = min(first_time, excluded.first_time), last_time = max(last_time, excluded.last_time),
    records = records + excluded.records, exchanges = exchanges + excluded.exchanges";

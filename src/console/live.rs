use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use jiff::tz::TimeZone;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::budget::Purse;
use super::request::Pairs;
use crate::evidence::{Kind, RecordLine, Said, format_time, read_record, shown};
use crate::facts::Timestamp;
use crate::store::Follower;

/// Tails that are open at the same time. One more is told to come back.
pub(super) const TAILS_MAX: usize = 1500;
/// Rows that one tail is told in a turn, which is more than anybody reads; of more the newest, and how many were left out.
const TURN_ROWS_MAX: usize = 20;
/// Turns that wait for a tail that does not read; of more nothing is kept, and it is told how many rows it misses.
const WAITING_MAX: usize = 8;
/// Rows that a new tail begins with.
const NEWEST_MAX: usize = 100;
/// How often it is looked whether there is more, while anybody looks and the console has not had its share of the processor.
const EVERY: Duration = Duration::from_millis(500);
/// Of the end of the journal so much is read first.
const BEGIN_BYTES: u64 = 256 << 10;
/// Blocks that are read in one turn; what comes faster waits for the next. Of these the newest are looked at, 4 MiB: the
/// lines of others count as left out.
const BLOCKS_MAX: usize = 256;
const BLOCKS_LOOKED_AT: usize = 16;
/// Bytes of what a person filters by.
const FILTER_BYTES_MAX: usize = 255;

/// A record that the tail shows, as it was read: of an exchange, and it says what became of it.
struct Seen<'l> {
    line: &'l RecordLine<'l>,
    client: Cow<'l, str>,
    host: Cow<'l, str>,
    verdict: Cow<'l, str>,
    reason: Cow<'l, str>,
}

/// One request, or one tunnel, as the tail shows it: text that is safe to look at.
#[derive(Debug)]
pub(super) struct Row {
    client: String,
    host: String,
    verdict: String,
    reason: String,
    cells: [String; 8],
    /// As an event of a stream (HTML Standard §9.2), written once for all who see it.
    event: String,
}

/// What one tail wants to see; all of it where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Filter {
    client: String,
    host: String,
    verdict: String,
    reason: String,
}

/// Who looks, and what came last.
pub(super) struct Tails {
    open: Mutex<Open>,
    /// Somebody has begun to look.
    bell: Notify,
    zone: TimeZone,
}

#[derive(Default)]
struct Open {
    tails: Vec<Tail>,
    newest: VecDeque<Arc<Row>>,
}

struct Tail {
    filter: Filter,
    /// Events, as many as a turn has.
    to: Sender<Bytes>,
    missed: u64,
}

/// What all with one filter are told in a turn, the newest first.
#[derive(Default)]
struct Turn {
    rows: Vec<Arc<Row>>,
    left_out: u64,
}

impl<'l> Seen<'l> {
    fn of(line: &'l RecordLine<'l>) -> Option<Self> {
        if line.kind != Kind::Exchange {
            return None;
        }
        let verdict = line.verdict.as_deref()?;
        let verdict = match &line.would {
            Some(would) => format!("{} ({})", shown(verdict), shown(would)).into(),
            None => shown(verdict),
        };
        let text = |said: &'l Option<Said<'_>>| said.as_deref().map_or(Cow::Borrowed(""), shown);
        let [client, host, reason] = [&line.client, &line.host, &line.reason].map(text);
        Some(Self { line, client, host, verdict, reason })
    }

    fn row(&self, zone: &TimeZone) -> Row {
        let Self { line, client, host, verdict, reason } = self;
        let text = |said: &Option<Said<'_>>| said.as_deref().map_or(String::new(), |said| shown(said).into_owned());
        let [client, host, verdict, reason] = [client, host, verdict, reason].map(|text| text.clone().into_owned());
        let port = line.port.map_or(String::new(), |port| format!(":{port}"));
        let scheme = line.scheme.as_deref().map_or(String::new(), |scheme| format!("{}://", shown(scheme)));
        let target = format!("{scheme}{host}{port}{}", text(&line.path));
        let cells = [
            in_zone(line.time, zone),
            client.clone(),
            verdict.clone(),
            reason.clone(),
            text(&line.method),
            target,
            text(&line.rule),
            text(&line.user_agent),
        ];
        let data = serde_json::to_string(&cells).unwrap_or_default();
        Row { event: format!("id: {}\ndata: {data}\n\n", line.seq), client, host, verdict, reason, cells }
    }
}

/// A moment in the zone of the site, to the millisecond, with the zone's offset then.
fn in_zone(time: Timestamp, zone: &TimeZone) -> String {
    let micros = i64::try_from(time.0).unwrap_or(i64::MAX);
    let time_in =
        |known: jiff::Timestamp| known.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f%:z").to_string();
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| format_time(time), time_in)
}

impl Row {
    pub(super) fn cells(&self) -> impl Iterator<Item = &str> {
        self.cells.iter().map(String::as_str)
    }
}

fn missed(count: u64) -> String {
    format!("event: missed\ndata: {count}\n\n")
}

impl Turn {
    /// Of rows that were made for others, the newest first.
    fn of<'r>(rows: impl Iterator<Item = &'r Arc<Row>>) -> Self {
        let mut turn = Self::default();
        for row in rows {
            if turn.is_full() { turn.left_out += 1 } else { turn.take(row) }
        }
        turn
    }

    /// One more, which is older than all that it has.
    fn take(&mut self, row: &Arc<Row>) {
        self.rows.push(row.clone());
    }

    /// How many rows it tells of, and the events that do.
    fn told(&self) -> (u64, Bytes) {
        (self.rows.len() as u64 + self.left_out, self.events())
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= TURN_ROWS_MAX
    }

    fn events(&self) -> Bytes {
        let left_out = if self.left_out > 0 { missed(self.left_out) } else { String::new() };
        let rows = self.rows.iter().rev().map(|row| row.event.as_str());
        rows.fold(left_out, |text, event| text + event).into()
    }
}

impl Filter {
    const NAMES: [&str; 4] = ["client", "host", "verdict", "reason"];

    pub(super) fn read(asked: &Pairs) -> Self {
        let value = |name: &str| {
            let value = asked.get(name).unwrap_or_default();
            value.get(..value.floor_char_boundary(FILTER_BYTES_MAX)).unwrap_or_default().to_owned()
        };
        let [client, host, verdict, reason] = Self::NAMES.map(value);
        Self { client, host: host.to_ascii_lowercase(), verdict, reason }
    }

    /// What it is asked by.
    pub(super) fn asked(asked: &Pairs) -> Vec<(&'static str, &str)> {
        Self::NAMES.into_iter().filter_map(|name| Some((name, asked.some(name)?))).collect()
    }

    /// In words, for the record of who looked.
    pub(super) fn in_words(&self) -> String {
        let parts = Self::NAMES.into_iter().zip([&self.client, &self.host, &self.verdict, &self.reason]);
        parts.filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!(" {name}={value}")).collect()
    }

    pub(super) fn client(&self) -> Option<&str> {
        Some(self.client.as_str()).filter(|client| !client.is_empty())
    }

    fn takes(&self, client: &str, host: &str, verdict: &str, reason: &str) -> bool {
        (self.client.is_empty() || self.client == client)
            && (self.host.is_empty() || host.contains(&self.host))
            && (self.verdict.is_empty() || verdict.starts_with(&self.verdict))
            && (self.reason.is_empty() || self.reason == reason)
    }

    fn takes_row(&self, row: &Row) -> bool {
        self.takes(&row.client, &row.host, &row.verdict, &row.reason)
    }

    fn takes_seen(&self, seen: &Seen<'_>) -> bool {
        self.takes(&seen.client, &seen.host, &seen.verdict, &seen.reason)
    }
}

impl Tails {
    /// Times are shown in this zone.
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { open: Mutex::default(), bell: Notify::new(), zone }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a tail with the newest rows that it takes; `None` where too many look already.
    pub(super) fn begin(&self, filter: Filter) -> Option<Receiver<Bytes>> {
        let (to, from) = channel(WAITING_MAX);
        let mut open = self.open();
        open.tails.retain(|tail| !tail.to.is_closed());
        if open.tails.len() >= TAILS_MAX {
            return None;
        }
        let events: String =
            open.newest.iter().filter(|row| filter.takes_row(row)).map(|row| row.event.as_str()).collect();
        if !events.is_empty() {
            let _ = to.try_send(events.into());
        }
        open.tails.push(Tail { filter, to, missed: 0 });
        drop(open);
        self.bell.notify_one();
        Some(from)
    }

    /// The newest rows, the oldest first.
    pub(super) fn newest(&self, filter: &Filter) -> Vec<Arc<Row>> {
        self.open().newest.iter().filter(|row| filter.takes_row(row)).cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.open().tails.len()
    }

    /// Tells those who look what is written, for as long as it is polled; while nobody looks, nothing is read.
    pub(super) async fn follow(self: Arc<Self>, data_dir: PathBuf, purse: Arc<Purse>) {
        let mut follower: Option<Follower> = None;
        loop {
            if self.is_left() {
                follower = None;
                self.bell.notified().await;
            }
            let (tails, directory, at) = (self.clone(), data_dir.clone(), follower.take());
            let paid = purse.clone();
            let read = tokio::task::spawn_blocking(move || paid.pay(|| tails.read_on(at, &directory)));
            follower = read.await.unwrap_or_default();
            tokio::time::sleep(EVERY.max(purse.until_tails())).await;
        }
    }

    fn is_left(&self) -> bool {
        let mut open = self.open();
        open.tails.retain(|tail| !tail.to.is_closed());
        if open.tails.is_empty() {
            open.newest.clear();
        }
        open.tails.is_empty()
    }

    fn read_on(&self, follower: Option<Follower>, data_dir: &Path) -> Option<Follower> {
        let mut follower = match follower {
            Some(follower) => follower,
            None => Follower::near_end(data_dir, BEGIN_BYTES).ok()?,
        };
        let (mut blocks, mut unseen, mut spare) = (VecDeque::new(), 0, Vec::new());
        for _ in 0..BLOCKS_MAX {
            let mut block = std::mem::take(&mut spare);
            // What cannot be read now is tried again.
            match follower.next(&mut block) {
                Ok(true) => blocks.push_back(block),
                Ok(false) | Err(_) => break,
            }
            if blocks.len() > BLOCKS_LOOKED_AT
                && let Some(passed) = blocks.pop_front()
            {
                unseen += lines(&passed).count() as u64;
                spare = passed;
            }
        }
        self.tell(blocks.make_contiguous(), unseen);
        Some(follower)
    }

    /// Tells each tail what it takes of blocks of the journal, the newest last; `unseen` lines were in front of them. One that
    /// does not keep up is told how much it misses.
    fn tell(&self, blocks: &[Vec<u8>], unseen: u64) {
        // Nobody waits while this reads: who comes meanwhile is told from the next turn on.
        let mut turns: HashMap<Filter, Turn> =
            self.open().tails.iter().map(|tail| (tail.filter.clone(), Turn::default())).collect();
        let mut newer = Vec::new();
        for line in blocks.iter().rev().flat_map(|block| lines(block).rev()) {
            let Ok(line) = read_record(line) else { continue };
            let Some(seen) = Seen::of(&line) else { continue };
            let mut row = None;
            if newer.len() < NEWEST_MAX {
                newer.push(row.get_or_insert_with(|| Arc::new(seen.row(&self.zone))).clone());
            }
            for (filter, turn) in &mut turns {
                match (filter.takes_seen(&seen), turn.is_full()) {
                    (false, _) => {}
                    (true, true) => turn.left_out += 1,
                    (true, false) => turn.take(row.get_or_insert_with(|| Arc::new(seen.row(&self.zone)))),
                }
            }
        }
        let told: HashMap<Filter, (u64, Bytes)> = turns
            .into_iter()
            .map(|(filter, mut turn)| {
                turn.left_out += unseen;
                (filter, turn.told())
            })
            .collect();
        let mut open = self.open();
        let Open { tails, newest } = &mut *open;
        newest.extend(newer.iter().rev().cloned());
        newest.drain(..newest.len().saturating_sub(NEWEST_MAX));
        tails.retain_mut(|tail| {
            match told.get(&tail.filter) {
                Some((0, _)) => {}
                Some((count, events)) => tail.tell(*count, events),
                // It came meanwhile.
                None => {
                    let (count, events) = Turn::of(newer.iter().filter(|row| tail.filter.takes_row(row))).told();
                    if count > 0 {
                        tail.tell(count, &events);
                    }
                }
            }
            !tail.to.is_closed()
        });
    }
}

impl Tail {
    fn tell(&mut self, count: u64, events: &Bytes) {
        // The last place is for what it misses.
        if self.missed > 0 && self.to.capacity() > 1 && self.to.try_send(missed(self.missed).into()).is_ok() {
            self.missed = 0;
        }
        if self.missed > 0 || self.to.try_send(events.clone()).is_err() {
            self.missed += count;
        }
    }
}

/// The lines of a block.
fn lines(block: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    block.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tails() -> Tails {
        Tails::new(TimeZone::get("Asia/Tokyo").unwrap())
    }

    fn line(seq: u64, client: &str, host: &str, verdict: &str) -> String {
        format!(
            "{{\"seq\":{seq},\"time\":\"2026-11-25T01:00:00.000000Z\",\"kind\":\"exchange\",\"event\":\"refused\",\
             \"client\":\"{client}\",\"method\":\"GET\",\"scheme\":\"http\",\"host\":\"{host}\",\"port\":80,\
             \"verdict\":\"{verdict}\",\"reason\":\"no_rule\",\"user_agent\":\"<img src=x>\\u202e\"}}\n"
        )
    }

    /// The events that wait, in the turns in which they came.
    fn told(from: &mut Receiver<Bytes>) -> Vec<Vec<String>> {
        let text = |events: Bytes| String::from_utf8(events.to_vec()).unwrap();
        std::iter::from_fn(|| from.try_recv().ok())
            .map(|events| text(events).split_terminator("\n\n").map(str::to_owned).collect())
            .collect()
    }

    fn numbers(told: &[Vec<String>]) -> Vec<Vec<&str>> {
        told.iter().map(|turn| turn.iter().map(|event| event.split('\n').next().unwrap()).collect()).collect()
    }

    #[test]
    fn a_tail_shows_what_its_filter_takes_and_nothing_else() {
        let tails = tails();
        let filter = |query: &str| Filter::read(&Pairs::read(query));
        let mut all = tails.begin(Filter::default()).unwrap();
        let mut of_host = tails.begin(filter("host=B.example&verdict=deny")).unwrap();
        let mut of_client = tails.begin(filter("client=10.0.0.1")).unwrap();
        let mut of_nobody = tails.begin(filter("client=10.0.0.3")).unwrap();
        let blocks = [
            (line(1, "10.0.0.1", "a.example", "deny") + &line(2, "10.0.0.2", "www.b.example", "deny")).into_bytes(),
            line(3, "10.0.0.2", "b.example", "allow").into_bytes(),
        ];
        tails.tell(&blocks, 0);
        let seen = told(&mut all);
        assert_eq!(numbers(&seen), [["id: 1", "id: 2", "id: 3"]], "at once");
        let first = &seen[0][0];
        assert!(first.contains("[\"2026-11-25 10:00:00.000+09:00\",\"10.0.0.1\""), "in the zone of the site: {first}");
        assert!(first.contains("\\\\u{202e}") && first.lines().count() == 2, "one line, made visible: {first}");
        assert_eq!(numbers(&told(&mut of_host)), [["id: 2"]]);
        assert_eq!(numbers(&told(&mut of_client)), [["id: 1"]]);
        assert_eq!(told(&mut of_nobody), Vec::<Vec<String>>::new());
        let mut later = tails.begin(filter("verdict=allow")).unwrap();
        assert_eq!(numbers(&told(&mut later)), [["id: 3"]], "a new one begins with the newest");
    }

    #[test]
    fn of_more_rows_than_anybody_reads_the_newest_come_with_how_many_were_left_out() {
        let tails = tails();
        let mut all = tails.begin(Filter::default()).unwrap();
        let mut of_one = tails.begin(Filter::read(&Pairs::read("client=10.0.0.1"))).unwrap();
        let lines: String =
            (0..1000).map(|seq| line(seq, &format!("10.0.0.{}", seq % 2), "a.example", "deny")).collect();
        tails.tell(&[lines.into_bytes()], 7);
        let seen = told(&mut all);
        assert_eq!(seen[0][0], format!("event: missed\ndata: {}", 1000 - TURN_ROWS_MAX + 7));
        assert_eq!(numbers(&seen)[0][1..], (980..1000).map(|seq| format!("id: {seq}")).collect::<Vec<_>>());
        let seen = told(&mut of_one);
        assert_eq!(seen[0][0], format!("event: missed\ndata: {}", 500 - TURN_ROWS_MAX + 7));
        assert_eq!(numbers(&seen)[0][1..], (961..1000).step_by(2).map(|seq| format!("id: {seq}")).collect::<Vec<_>>());
        let mut later = tails.begin(Filter::default()).unwrap();
        assert_eq!(told(&mut later)[0].len(), NEWEST_MAX);
    }

    #[test]
    fn a_tail_that_does_not_keep_up_is_told_how_much_it_misses() {
        let tails = tails();
        let mut slow = tails.begin(Filter::default()).unwrap();
        for seq in 0..100 {
            tails.tell(&[(line(seq, "10.0.0.1", "a.example", "deny").repeat(2)).into_bytes()], 0);
        }
        let seen = told(&mut slow);
        assert_eq!(seen.len(), WAITING_MAX);
        assert_eq!(seen.last().unwrap().len(), 2);
        tails.tell(&[line(1000, "10.0.0.1", "a.example", "deny").into_bytes()], 0);
        let seen = told(&mut slow);
        assert_eq!(seen[0], [format!("event: missed\ndata: {}", 2 * (100 - WAITING_MAX))]);
        assert_eq!(numbers(&seen)[1], ["id: 1000"]);
    }

    #[test]
    fn of_a_flood_the_newest_lines_are_looked_at_and_the_others_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("journal");
        std::fs::create_dir(&journal).unwrap();
        let path = journal.join("00000000000000000001-20261125T010000Z.jsonl");
        let segment = || std::fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let write = |text: &str| std::io::Write::write_all(&mut segment(), text.as_bytes()).unwrap();
        write(&line(0, "10.0.0.1", "a.example", "deny"));
        let tails = tails();
        let mut all = tails.begin(Filter::default()).unwrap();
        let follower = tails.read_on(None, directory.path());
        assert_eq!(numbers(&told(&mut all)), [["id: 0"]]);
        let long = "a".repeat(2000);
        let lines: String = (1..=5000).map(|seq| line(seq, "10.0.0.1", &long, "deny")).collect();
        write(&lines);
        tails.read_on(follower, directory.path());
        let seen = told(&mut all);
        assert_eq!(seen[0][0], format!("event: missed\ndata: {}", 5000 - TURN_ROWS_MAX));
        assert_eq!(numbers(&seen)[0].last().unwrap(), &"id: 5000");
    }

    #[test]
    fn no_more_look_than_may_and_who_leaves_makes_room() {
        let tails = tails();
        let mut open: Vec<_> = (0..TAILS_MAX).map(|_| tails.begin(Filter::default()).unwrap()).collect();
        assert!(tails.begin(Filter::default()).is_none());
        open.pop();
        assert!(tails.begin(Filter::default()).is_some());
    }
}

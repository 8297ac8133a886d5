use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::request::Pairs;
use crate::evidence::{Kind, RecordLine, format_time, read_record, shown};
use crate::store::Follower;

/// Tails that are open at the same time. One more is told to come back.
pub(super) const TAILS_MAX: usize = 1500;
/// Rows that wait for one tail; of more the newest are left out, and it is told how many.
const WAITING_MAX: usize = 128;
/// Rows that a new tail begins with.
const NEWEST_MAX: usize = 100;
/// How often it is looked whether there is more, while anybody looks.
const EVERY: Duration = Duration::from_millis(250);
/// Of the end of the journal so much is read first.
const BEGIN_BYTES: u64 = 256 << 10;
/// Blocks that are read in one turn; what comes faster waits for the next.
const BLOCKS_MAX: usize = 64;
/// Bytes of what a person filters by.
const FILTER_BYTES_MAX: usize = 255;

/// One request, or one tunnel, as the tail shows it: text that is safe to look at.
#[derive(Debug)]
pub(super) struct Row {
    seq: u64,
    client: String,
    host: String,
    verdict: String,
    reason: String,
    cells: [String; 8],
}

/// What one tail wants to see; all of it where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
}

#[derive(Default)]
struct Open {
    tails: Vec<Tail>,
    newest: VecDeque<Arc<Row>>,
}

struct Tail {
    filter: Filter,
    to: Sender<Told>,
    missed: u64,
}

/// What a tail is told.
#[derive(Debug, Clone)]
pub(super) enum Told {
    Row(Arc<Row>),
    /// So many rows were left out.
    Missed(u64),
}

impl Row {
    /// Of a record of an exchange that says what became of it; of no other.
    fn of(line: &RecordLine<'_>) -> Option<Self> {
        if line.kind != Kind::Exchange {
            return None;
        }
        let verdict = line.verdict.as_deref()?;
        let text = |said: &Option<crate::evidence::Said<'_>>| {
            said.as_deref().map_or(String::new(), |said| shown(said).into_owned())
        };
        let (client, host, reason) = (text(&line.client), text(&line.host), text(&line.reason));
        let verdict = match &line.would {
            Some(would) => format!("{} ({})", shown(verdict), shown(would)),
            None => shown(verdict).into_owned(),
        };
        let port = line.port.map_or(String::new(), |port| format!(":{port}"));
        let scheme = line.scheme.as_deref().map_or(String::new(), |scheme| format!("{}://", shown(scheme)));
        let target = format!("{scheme}{host}{port}{}", text(&line.path));
        let time = format_time(line.time);
        let time = time.get(..23).unwrap_or(&time).replace('T', " ");
        let cells = [
            time,
            client.clone(),
            verdict.clone(),
            reason.clone(),
            text(&line.method),
            target,
            text(&line.rule),
            text(&line.user_agent),
        ];
        Some(Self { seq: line.seq, client, host, verdict, reason, cells })
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = &str> {
        self.cells.iter().map(String::as_str)
    }

    /// As an event of a stream (HTML Standard §9.2).
    fn event(&self) -> String {
        let data = serde_json::to_string(&self.cells).unwrap_or_default();
        format!("id: {}\ndata: {data}\n\n", self.seq)
    }
}

impl Told {
    pub(super) fn event(&self) -> String {
        match self {
            Told::Row(row) => row.event(),
            Told::Missed(count) => format!("event: missed\ndata: {count}\n\n"),
        }
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

    fn takes(&self, row: &Row) -> bool {
        (self.client.is_empty() || self.client == row.client)
            && (self.host.is_empty() || row.host.contains(&self.host))
            && (self.verdict.is_empty() || row.verdict.starts_with(&self.verdict))
            && (self.reason.is_empty() || self.reason == row.reason)
    }
}

impl Tails {
    pub(super) fn new() -> Self {
        Self { open: Mutex::default(), bell: Notify::new() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a tail with the newest rows that it takes; `None` where too many look already.
    pub(super) fn begin(&self, filter: Filter) -> Option<Receiver<Told>> {
        let (to, from) = channel(WAITING_MAX);
        let mut open = self.open();
        open.tails.retain(|tail| !tail.to.is_closed());
        if open.tails.len() >= TAILS_MAX {
            return None;
        }
        for row in open.newest.iter().filter(|row| filter.takes(row)) {
            let _ = to.try_send(Told::Row(row.clone()));
        }
        open.tails.push(Tail { filter, to, missed: 0 });
        drop(open);
        self.bell.notify_one();
        Some(from)
    }

    /// The newest rows, the oldest first.
    pub(super) fn newest(&self, filter: &Filter) -> Vec<Arc<Row>> {
        self.open().newest.iter().filter(|row| filter.takes(row)).cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.open().tails.len()
    }

    /// Hands a row to each tail that takes it. One that does not keep up is told how much it misses.
    fn tell(&self, row: Row) {
        let row = Arc::new(row);
        let mut open = self.open();
        if open.newest.len() >= NEWEST_MAX {
            open.newest.pop_front();
        }
        open.newest.push_back(row.clone());
        open.tails.retain_mut(|tail| {
            if !tail.filter.takes(&row) {
                return !tail.to.is_closed();
            }
            // The last place is for what it misses.
            if tail.missed > 0 && tail.to.capacity() > 1 && tail.to.try_send(Told::Missed(tail.missed)).is_ok() {
                tail.missed = 0;
            }
            if tail.missed > 0 || tail.to.capacity() == 0 || tail.to.try_send(Told::Row(row.clone())).is_err() {
                tail.missed += 1;
            }
            !tail.to.is_closed()
        });
    }

    /// Tells those who look what is written, for as long as it is polled; while nobody looks, nothing is read.
    pub(super) async fn follow(self: Arc<Self>, data_dir: PathBuf) {
        let mut follower: Option<Follower> = None;
        loop {
            if self.is_left() {
                follower = None;
                self.bell.notified().await;
            }
            let (tails, directory, at) = (self.clone(), data_dir.clone(), follower.take());
            let read = tokio::task::spawn_blocking(move || tails.read_on(at, &directory));
            follower = read.await.unwrap_or_default();
            tokio::time::sleep(EVERY).await;
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
        let mut block = Vec::new();
        for _ in 0..BLOCKS_MAX {
            // What cannot be read now is tried again.
            match follower.next(&mut block) {
                Ok(true) => self.read_block(&block),
                Ok(false) | Err(_) => break,
            }
        }
        Some(follower)
    }

    fn read_block(&self, block: &[u8]) {
        for line in block.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if let Some(row) = read_record(line).ok().as_ref().and_then(Row::of) {
                self.tell(row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64, client: &str, host: &str, verdict: &str) -> String {
        format!(
            "{{\"seq\":{seq},\"time\":\"2026-11-25T01:00:00.000000Z\",\"kind\":\"exchange\",\"event\":\"refused\",\
             \"client\":\"{client}\",\"method\":\"GET\",\"scheme\":\"http\",\"host\":\"{host}\",\"port\":80,\
             \"verdict\":\"{verdict}\",\"reason\":\"no_rule\",\"user_agent\":\"<img src=x>\\u202e\"}}\n"
        )
    }

    fn told(from: &mut Receiver<Told>) -> Vec<String> {
        std::iter::from_fn(|| from.try_recv().ok()).map(|told| told.event()).collect()
    }

    #[test]
    fn a_tail_shows_what_its_filter_takes_and_nothing_else() {
        let tails = Tails::new();
        let filter = |query: &str| Filter::read(&Pairs::read(query));
        let mut all = tails.begin(Filter::default()).unwrap();
        let mut of_host = tails.begin(filter("host=B.example&verdict=deny")).unwrap();
        let mut of_client = tails.begin(filter("client=10.0.0.1")).unwrap();
        let block = [
            line(1, "10.0.0.1", "a.example", "deny"),
            line(2, "10.0.0.2", "www.b.example", "deny"),
            line(3, "10.0.0.2", "b.example", "allow"),
        ];
        tails.read_block(block.concat().as_bytes());
        let numbers =
            |told: &[String]| told.iter().map(|event| event.split('\n').next().unwrap().to_owned()).collect::<Vec<_>>();
        let seen = told(&mut all);
        assert_eq!(numbers(&seen), ["id: 1", "id: 2", "id: 3"]);
        assert!(seen[0].contains("\\\\u{202e}") && seen[0].lines().count() == 3, "one line, made visible: {}", seen[0]);
        assert_eq!(numbers(&told(&mut of_host)), ["id: 2"]);
        assert_eq!(numbers(&told(&mut of_client)), ["id: 1"]);
        assert_eq!(
            told(&mut tails.begin(filter("verdict=allow")).unwrap()).len(),
            1,
            "a new one begins with the newest"
        );
    }

    #[test]
    fn a_tail_that_does_not_keep_up_is_told_how_much_it_misses() {
        let tails = Tails::new();
        let mut slow = tails.begin(Filter::default()).unwrap();
        for seq in 0..1000 {
            tails.read_block(line(seq, "10.0.0.1", "a.example", "deny").as_bytes());
        }
        let seen = told(&mut slow);
        assert_eq!(seen.len(), WAITING_MAX);
        tails.read_block(line(1000, "10.0.0.1", "a.example", "deny").as_bytes());
        let seen = told(&mut slow);
        assert_eq!(seen[0], format!("event: missed\ndata: {}\n\n", 1000 - WAITING_MAX));
        assert!(seen[1].starts_with("id: 1000\n"));
    }

    #[test]
    fn no_more_look_than_may_and_who_leaves_makes_room() {
        let tails = Tails::new();
        let mut open: Vec<_> = (0..TAILS_MAX).map(|_| tails.begin(Filter::default()).unwrap()).collect();
        assert!(tails.begin(Filter::default()).is_none());
        open.pop();
        assert!(tails.begin(Filter::default()).is_some());
    }
}

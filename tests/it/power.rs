//! A loss of power, at any moment: a layer of files of the test's own forgets what was not synced, and
//! leaves of it what a real disk may leave. The origin's own log is the judge.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use sekisho::app::{AppError, AskError, NotDone, Parts, Question, StartAs, ask, prepare_on};
use sekisho::config::Config;
use sekisho::lists::{FeedFiles, Shelf, Source, Watched};
use sekisho::store::{Disk, DiskFile};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::gate::{Start, records, rounds};
use crate::origin::Origin;
use crate::peer::Peer;

/// Numbers that look random and are the same for the same seed (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % most
    }
}

/// Files in memory: what was written, and of that what would survive.
#[derive(Debug, Clone, Default)]
struct ForgetfulDisk(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, Content>,
    /// Removed, but a loss of power would bring them back.
    ghosts: BTreeMap<PathBuf, Content>,
    /// Writes, syncs and the like so far, and at which of them the power goes.
    operations: u64,
    cut_at: u64,
    is_cut: bool,
    /// Syncs wait for the cut.
    holds_syncs: bool,
    /// The most lines that ever stood unsynced.
    unsynced_lines_max: usize,
}

#[derive(Debug, Clone, Default)]
struct Content {
    written: Vec<u8>,
    synced: Vec<u8>,
    /// Its directory was synced since it was made.
    has_entry: bool,
}

#[derive(Debug)]
struct ForgetfulFile {
    disk: ForgetfulDisk,
    path: PathBuf,
}

impl ForgetfulDisk {
    fn cutting_at(operation: u64) -> Self {
        let disk = Self::default();
        disk.0.0.lock().unwrap().cut_at = operation;
        disk
    }

    fn hold_syncs(&self, hold: bool) {
        self.0.0.lock().unwrap().holds_syncs = hold;
        self.0.1.notify_all();
    }

    fn cut(&self) {
        self.0.0.lock().unwrap().is_cut = true;
        self.0.1.notify_all();
    }

    /// Does something, unless the power has gone; with it nothing is ever written again.
    fn operate<T>(&self, doing: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.0.lock().unwrap();
        state.operations += 1;
        if state.operations >= state.cut_at {
            state.is_cut = true;
        }
        if state.is_cut {
            self.0.1.notify_all();
            return Err(io::Error::other("the power has gone"));
        }
        let done = doing(&mut state);
        self.0.1.notify_all();
        done
    }

    /// Waits for this to be so.
    fn until(&self, wanted: impl Fn(&State) -> bool) {
        let state = self.0.0.lock().unwrap();
        let waited = self.0.1.wait_timeout_while(state, Duration::from_secs(20), |state| !wanted(state)).unwrap();
        assert!(!waited.1.timed_out());
    }

    /// What was written and not synced.
    fn unsynced(&self) -> String {
        let state = self.0.0.lock().unwrap();
        let tails = state.files.values().map(|content| {
            // Without its entry in the directory nothing of a file is kept.
            let kept = if content.has_entry { content.synced.len() } else { 0 };
            String::from_utf8_lossy(&content.written[kept..]).into_owned()
        });
        tails.collect()
    }

    /// Puts what survives into a directory. Of what was not synced, a disk may have kept any part: nothing,
    /// the beginning, its length alone, or later pages without earlier ones.
    fn restore(&self, directory: &Path, chance: &mut Chance) {
        let mut state = self.0.0.lock().unwrap();
        let State { files, ghosts, .. } = &mut *state;
        for (path, content) in files.iter().chain(ghosts.iter()).filter(|(_, content)| content.has_entry) {
            let mut left = content.synced.clone();
            let unsynced = content.written.get(left.len()..).unwrap_or_default();
            match chance.below(4) {
                0 => {}
                1 => left.extend_from_slice(&unsynced[..chance.below(unsynced.len() as u64 + 1) as usize]),
                2 => left.resize(left.len() + unsynced.len(), 0),
                _ => {
                    for (page, bytes) in unsynced.chunks(4096).enumerate() {
                        let kept = page > 0 && chance.below(2) == 0;
                        if kept { left.extend_from_slice(bytes) } else { left.resize(left.len() + bytes.len(), 0) }
                    }
                }
            }
            std::fs::write(directory.join(path.file_name().unwrap()), left).unwrap();
        }
    }
}

impl Disk for ForgetfulDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.operate(|state| {
            if path.exists() || state.files.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.files.insert(path.into(), Content::default());
            Ok(())
        })?;
        Ok(Box::new(ForgetfulFile { disk: self.clone(), path: path.into() }))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.operate(|state| {
            state.ghosts.retain(|ghost, _| ghost.parent() != Some(path));
            for (file, content) in &mut state.files {
                content.has_entry |= file.parent() == Some(path);
            }
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate(|state| {
            let content = state.files.remove(path).ok_or(io::ErrorKind::NotFound)?;
            state.ghosts.insert(path.into(), content);
            Ok(())
        })
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }
}

impl ForgetfulFile {
    fn change(&self, change: impl FnOnce(&mut Content)) -> io::Result<()> {
        self.disk.operate(|state| {
            change(state.files.get_mut(&self.path).unwrap());
            let lines =
                |content: &Content| content.written[content.synced.len()..].iter().filter(|b| **b == b'\n').count();
            let unsynced = state.files.values().map(lines).sum();
            state.unsynced_lines_max = state.unsynced_lines_max.max(unsynced);
            Ok(())
        })
    }
}

impl DiskFile for ForgetfulFile {
    fn write_whole(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.change(|content| content.written.extend_from_slice(bytes))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.change(|content| content.written.truncate(usize::try_from(bytes).unwrap()))
    }

    fn sync(&self) -> io::Result<()> {
        let state = self.disk.0.0.lock().unwrap();
        drop(self.disk.0.1.wait_while(state, |state| state.holds_syncs && !state.is_cut).unwrap());
        self.change(|content| content.synced = content.written.clone())
    }

    fn try_clone(&self) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Self { disk: self.disk.clone(), path: self.path.clone() }))
    }
}

/// A gate in this process, whose journal is on a disk of the test's.
struct Inside {
    address: SocketAddr,
    end: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), AppError>>,
}

impl Inside {
    fn start(disk: &ForgetfulDisk, data_dir: &Path, origin: &Origin, durability: &str) -> Self {
        let config = format!(
            "[gate]\nlisten = [\"127.0.0.1:0\"]\n[evidence]\nreserve_mib = 0\ndurability = \"{durability}\"\n\
             [limits]\ndrain_seconds = 1\n"
        );
        let config = Config::read("sekisho.toml", &config).unwrap();
        let path = data_dir.join("policy.toml");
        std::fs::create_dir_all(data_dir).unwrap();
        std::fs::write(&path, origin.policy()).unwrap();
        let source = Source {
            path: Some(path),
            internal: None,
            observe: false,
            shelf: Shelf::new(None),
            feeds: FeedFiles::default(),
        };
        let mut watched = Watched::default();
        let read = source.read(&mut watched).unwrap();
        let parts = Parts {
            config,
            data_dir: data_dir.into(),
            source,
            read,
            watched,
            feeds: None,
            users: None,
            start: StartAs::Alone,
        };
        let ready = prepare_on(Arc::new(disk.clone()), parts).unwrap();
        let address = ready.addresses()[0];
        let (end, told) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            ready.run_until(async {
                let _ = told.await;
            })
        });
        Self { address, end, thread }
    }

    fn end(self) -> Result<(), AppError> {
        let _ = self.end.send(());
        self.thread.join().unwrap()
    }
}

/// Asks again and again, until an answer is not 200 or does not come; says how many were 200.
fn get_on_and_on(address: SocketAddr, origin: SocketAddr, name: &str) -> usize {
    let mut client = Peer::connect(address);
    client.stream().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    for n in 0.. {
        let request = format!("GET http://{origin}/{name}-{n} HTTP/1.1\r\nHost: {origin}\r\n\r\n");
        let answered = client.try_send(request).is_ok() && client.try_head().is_some_and(|head| head.status() == 200);
        if !answered {
            return n;
        }
        client.take(2);
    }
    unreachable!("it ends with the power")
}

fn load(clients: usize, inside: &Inside, origin: &Origin, life: &str) -> Vec<JoinHandle<usize>> {
    let (address, at) = (inside.address, origin.address);
    let one = |client: usize| {
        let name = format!("{life}-{client}");
        std::thread::spawn(move || get_on_and_on(address, at, &name))
    };
    (0..clients).map(one).collect()
}

fn opened(records: &[Value]) -> HashSet<&str> {
    records.iter().filter(|record| record["event"] == "open").filter_map(|record| record["path"].as_str()).collect()
}

/// What the origin has seen and no record tells of.
fn unrecorded(origin: &Origin, records: &[Value]) -> Vec<String> {
    let opened = opened(records);
    let paths = origin.requests().into_iter().map(|request| request.line().split(' ').nth(1).unwrap().to_owned());
    paths.filter(|path| !opened.contains(path.as_str())).collect()
}

fn answering() -> Origin {
    Origin::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

/// Lives of a gate on one data directory, each ended by a loss of power; how much the origin saw, and no
/// record tells of, in each. That was written, and not yet synced, when the power went.
fn lives(durability: &str, seed: u64) -> (TempDir, Origin, Vec<usize>) {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let origin = answering();
    let mut chance = Chance(seed);
    let mut lost = Vec::new();
    let mut lost_before = HashSet::new();
    for life in 0..rounds(5, 60) {
        // From the very first write on: the opening of a segment, its directory, a batch, a sync.
        let disk = ForgetfulDisk::cutting_at(1 + chance.below(400));
        let inside = Inside::start(&disk, &data_dir, &origin, durability);
        let clients = load(4, &inside, &origin, &format!("life{life}"));
        disk.until(|state| state.is_cut);
        for client in clients {
            client.join().unwrap();
        }
        inside.end().unwrap_err();
        disk.restore(&data_dir.join("journal"), &mut chance);
        // The next life mends the end, and says so.
        let mut next = Start { policy: &origin.policy(), data_dir: Some(data_dir.clone()), ..Start::default() }.gate();
        assert_eq!(next.end("-TERM"), Some(0), "seed {seed}, life {life}");
        sekisho::store::verify(&data_dir, &Default::default())
            .unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
        let unrecorded: HashSet<_> = unrecorded(&origin, &records(&data_dir)).into_iter().collect();
        let unsynced = disk.unsynced();
        for path in unrecorded.difference(&lost_before) {
            let line = format!("\"path\":\"{path}\"");
            assert!(unsynced.contains(&line), "seed {seed}, life {life}: {path} was never written, or was synced");
        }
        lost.push(unrecorded.len() - lost_before.len());
        lost_before = unrecorded;
    }
    (directory, origin, lost)
}

#[test]
fn with_strict_durability_a_loss_of_power_loses_nothing_that_the_origin_saw() {
    let mut seen = 0;
    for seed in [1, 20_261_125, 0x5eed] {
        let (_directory, origin, lost) = lives("strict", seed);
        assert!(lost.iter().all(|lost| *lost == 0), "seed {seed}: {lost:?}");
        seen += origin.requests().len();
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn with_batch_durability_a_loss_of_power_loses_the_end_and_the_journal_goes_on() {
    for seed in [2, 20_261_126] {
        let (_directory, origin, lost) = lives("batch", seed);
        assert!(origin.requests().len() > lost.iter().sum::<usize>(), "seed {seed}: something was kept");
    }
}

/// The hour of the clock, by which segments begin.
fn hour() -> u64 {
    sekisho::clock::now().0 / 3_600_000_000
}

#[test]
fn with_batch_durability_no_more_is_unsynced_than_is_stated_however_long_a_sync_takes() {
    const STATED: usize = 8192;
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let origin = answering();
    let disk = ForgetfulDisk::cutting_at(u64::MAX);
    let inside = Inside::start(&disk, &data_dir, &origin, "batch");
    let begun = hour();
    disk.hold_syncs(true);
    // They go on until the gate takes no more records, as it would be too far ahead of the disk.
    let answered: usize = load(16, &inside, &origin, "a").into_iter().map(|client| client.join().unwrap()).sum();
    let most = disk.0.0.lock().unwrap().unsynced_lines_max;
    assert!(most <= STATED, "{answered} answered, {most} lines unsynced");
    // At a new hour the next segment waits until the one before it is synced.
    if hour() == begun {
        assert!(answered > 2000 && most > STATED - 2048, "{answered} answered, {most} lines unsynced");
    }
    disk.cut();
    inside.end().unwrap_err();
    disk.restore(&data_dir.join("journal"), &mut Chance(3));
    let lost = unrecorded(&origin, &records(&data_dir)).len();
    assert!(lost <= STATED, "{lost}");
}

#[test]
fn with_batch_durability_a_lone_record_is_synced_without_another_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let origin = answering();
    let disk = ForgetfulDisk::cutting_at(u64::MAX);
    let inside = Inside::start(&disk, &data_dir, &origin, "batch");
    let mut client = Peer::connect(inside.address);
    client.send(format!("GET http://{0}/lone HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address));
    assert_eq!(client.answer().status(), 200);
    let holds = |content: &Content| content.synced.windows(5).any(|window| window == b"/lone");
    disk.until(|state| state.files.values().any(holds));
    drop(client);
    inside.end().unwrap();
}

#[test]
fn a_gate_whose_power_goes_lets_nothing_out_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let origin = answering();
    let disk = ForgetfulDisk::cutting_at(u64::MAX);
    let inside = Inside::start(&disk, &directory.path().join("data"), &origin, "batch");
    let get = || {
        let mut client = Peer::connect(inside.address);
        client.send(format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n", origin.address));
        client.answer().status()
    };
    assert_eq!(get(), 200);
    disk.cut();
    assert_eq!(get(), 503);
    assert_eq!(origin.requests().len(), 1);
    inside.end().unwrap_err();
}

#[test]
fn a_disk_that_stands_still_takes_nothing_and_lets_nothing_out_until_it_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let origin = answering();
    let disk = ForgetfulDisk::cutting_at(u64::MAX);
    let inside = Inside::start(&disk, &data_dir, &origin, "strict");
    let get = |path: &str| {
        let mut client = Peer::connect(inside.address);
        client.send(format!("GET http://{0}{path} HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n", origin.address));
        client.answer()
    };
    assert_eq!(get("/before").status(), 200);
    // Its end is on record, so that nothing but the next request meets the disk that stands still.
    let has = |state: &State, text: &str| {
        let bytes = text.as_bytes();
        state.files.values().any(|content| content.synced.windows(bytes.len()).any(|window| window == bytes))
    };
    disk.until(|state| has(state, "\"event\":\"close\""));
    disk.hold_syncs(true);
    let refused = get("/held");
    assert!(refused.status() == 503 && refused.text().contains("evidence_unavailable"), "{}", refused.text());
    assert_eq!(get("/at-once").status(), 503);
    let status = ask(&data_dir, &Question::Status).unwrap();
    assert!(status.journal.last_error.unwrap().contains("the disk has not answered"));
    // It goes on record or is refused, and is answered in either case.
    let question = Question::Breakglass { minutes: 1, reason: "test".to_owned() };
    assert!(matches!(ask(&data_dir, &question), Err(AskError::NotDone(NotDone::NoRecord))));
    disk.hold_syncs(false);
    // What was being written when it stood still ends before anything else is taken.
    disk.until(|state| has(state, "/held"));
    let stands_still = || {
        let error = ask(&data_dir, &Question::Status).unwrap().journal.last_error;
        error.is_some_and(|error| error.contains("has not answered"))
    };
    assert!((0..10_000).any(|_| !stands_still()), "it is told that the disk answers again");
    assert_eq!(get("/after").status(), 200);
    assert_eq!(origin.requests().len(), 2, "what came too late on record did not leave");
    inside.end().unwrap();
    disk.restore(&data_dir.join("journal"), &mut Chance(1));
    let records = records(&data_dir);
    assert!(records.iter().all(|record| record["action"] != "breakglass"), "what was refused is not on record as done");
}

//! Which client is which device: files of leases and a table, read when they change; what is new in them goes on record.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::config::DeviceFiles;
use crate::evidence::{Assignment, DeviceSource, Devices, Health, Record};
use crate::facts::Timestamp;
use crate::formats::{Lease, Leases, TableEntry, assignments, changes, read_dnsmasq, read_kea, read_table};
use crate::session::Gate;

use super::kept;

/// A larger file is not read.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// So many assignments are known at a time, of all files together; more are left out, and said to be.
const KNOWN_MAX: usize = 200_000;

/// What a file held when it was read last, and what it was by then.
struct Seen<T> {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// What it said; of one that cannot be read any more, what it said before.
    content: Vec<T>,
    was_read: bool,
    /// Why it cannot be read now.
    failure: Option<String>,
}

/// Changes with a file.
type Stamp = (SystemTime, u64, u64);

struct Reading {
    table: Option<Seen<TableEntry>>,
    leases: Vec<(DeviceSource, Seen<Lease>)>,
    /// What is on record.
    known: Vec<Assignment>,
    /// What is on record has not been taken up from the file of the last run.
    is_fresh: bool,
    /// The day on which all of it was told last, counted from 1970 (UTC): once a day it is told again, since the journal
    /// of old days is dropped.
    day: u64,
    data_dir: PathBuf,
}

/// Reads the files whenever they change, for as long as it is polled.
pub(super) async fn keep(gate: Arc<Gate>, data_dir: PathBuf, files: DeviceFiles) {
    let names_none = files.table.is_none() && files.kea.is_empty() && files.dnsmasq.is_empty();
    // What files said that are named no more is to be ended.
    if names_none && !path(&data_dir).exists() {
        return std::future::pending().await;
    }
    let mut ticks = interval(files.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reading = Reading::new(data_dir, files);
    loop {
        ticks.tick().await;
        // A file may lie on a disk that does not answer.
        let looked = tokio::task::spawn_blocking(move || {
            let news = reading.look();
            (reading, news)
        });
        let Ok((back, News { mut records, known })) = looked.await else { return std::future::pending().await };
        reading = back;
        let mut is_told = true;
        for record in records.drain(..) {
            // What is not on record now is told with the next look.
            is_told = is_told && gate.journal.append(&record, clock::now()).await.is_ok();
        }
        match known {
            Some(known) if is_told => {
                let kept = tokio::task::spawn_blocking(move || {
                    reading.known = known;
                    reading.keep();
                    reading
                });
                let Ok(back) = kept.await else { return std::future::pending().await };
                reading = back;
            }
            Some(_) => reading.forget_stamps(),
            None => {}
        }
    }
}

/// What is to be put on record, and what is on record then, where that changed.
struct News {
    records: Vec<Record>,
    known: Option<Vec<Assignment>>,
}

impl Reading {
    fn new(data_dir: PathBuf, files: DeviceFiles) -> Self {
        let of = |source| move |path| (source, Seen::new(path));
        let kea = files.kea.into_iter().map(of(DeviceSource::Kea));
        let leases = kea.chain(files.dnsmasq.into_iter().map(of(DeviceSource::Dnsmasq))).collect();
        Self { table: files.table.map(Seen::new), leases, known: Vec::new(), is_fresh: true, day: 0, data_dir }
    }

    fn look(&mut self) -> News {
        let mut records = Vec::new();
        let mut is_changed = std::mem::take(&mut self.is_fresh);
        if is_changed {
            self.known = kept::read(&path(&self.data_dir), KNOWN_MAX);
            let written = stamp(&path(&self.data_dir)).ok().and_then(|(time, ..)| time.duration_since(UNIX_EPOCH).ok());
            self.day = written.map_or(0, |written| written.as_secs() / SECONDS_A_DAY);
        }
        if let Some(table) = &mut self.table {
            is_changed |= table.look(&mut records, |path, text| {
                let text = String::from_utf8(text).map_err(|_| "it is no UTF-8 text".to_owned())?;
                read_table(&path.display().to_string(), &text).map_err(|problems| {
                    let first = problems.first().map(ToString::to_string).unwrap_or_default();
                    format!("{first} ({} in all)", problems.len())
                })
            });
        }
        for (source, seen) in &mut self.leases {
            let source = *source;
            is_changed |= seen.look(&mut records, |path, text| leases(source, path, &text));
        }
        let now = clock::now();
        let is_due = day(now) != self.day;
        if !is_changed && !is_due {
            return News { records, known: None };
        }
        let table = self.table.as_ref().map_or(&[][..], |table| &table.content);
        let leases = self.leases.iter().flat_map(|(source, seen)| seen.content.iter().map(|lease| (*source, lease)));
        let mut read = assignments(table, leases, now);
        if read.len() > KNOWN_MAX {
            eprintln!("sekisho: warning: more than {KNOWN_MAX} clients have names; the rest is left out");
            read.truncate(KNOWN_MAX);
        }
        read.extend(self.unread().cloned());
        let (mut told, known) = changes(&self.known, read, now);
        if is_due {
            told.retain(|one| !known.contains(one));
            told.extend(known.iter().cloned());
        }
        records.extend(told.into_iter().map(Record::Device));
        News { records, known: Some(known) }
    }

    /// What is on record of sources of which a file could not be read yet: it goes on.
    fn unread(&self) -> impl Iterator<Item = &Assignment> {
        let table = self.table.as_ref().is_some_and(|table| !table.was_read);
        let of = |which| self.leases.iter().any(|(source, seen)| *source == which && !seen.was_read);
        let (kea, dnsmasq) = (of(DeviceSource::Kea), of(DeviceSource::Dnsmasq));
        self.known.iter().filter(move |one| match one.source {
            DeviceSource::Table => table,
            DeviceSource::TableByHardware => table || kea || dnsmasq,
            DeviceSource::Kea => kea,
            DeviceSource::Dnsmasq => dnsmasq,
        })
    }

    /// So that a restart tells nothing twice.
    fn keep(&mut self) {
        self.day = day(clock::now());
        if let Err(error) = kept::replace(&path(&self.data_dir), &self.known) {
            eprintln!("sekisho: warning: which devices are on record cannot be written to the data directory: {error}");
        }
    }

    /// The next look takes every file for changed.
    fn forget_stamps(&mut self) {
        if let Some(table) = &mut self.table {
            table.stamp = None;
        }
        self.leases.iter_mut().for_each(|(_, seen)| seen.stamp = None);
    }
}

/// What is on record of them, as files said it last.
pub(super) fn known(data_dir: &Path) -> Devices {
    let mut devices = Devices::default();
    kept::read(&path(data_dir), KNOWN_MAX).into_iter().for_each(|assignment| devices.note(assignment));
    devices
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("devices.jsonl")
}

const SECONDS_A_DAY: u64 = 86_400;

fn day(time: Timestamp) -> u64 {
    time.0 / 1_000_000 / SECONDS_A_DAY
}

fn leases(source: DeviceSource, path: &Path, text: &[u8]) -> Result<Vec<Lease>, String> {
    let Leases { leases, bad, first_bad, beyond } =
        if source == DeviceSource::Dnsmasq { read_dnsmasq(text) } else { read_kea(text) };
    if leases.is_empty()
        && let Some(first) = first_bad
    {
        return Err(format!("line {}: {}", first.line, first.fault));
    }
    if let Some(first) = first_bad {
        let (line, fault) = (first.line, first.fault);
        eprintln!("sekisho: warning: {}: {bad} lines are no leases, first line {line}: {fault}", path.display());
    }
    if beyond > 0 {
        eprintln!("sekisho: warning: {}: {beyond} leases are left out, as there are too many", path.display());
    }
    Ok(leases)
}

impl<T> Seen<T> {
    fn new(path: PathBuf) -> Self {
        Self { path, stamp: None, content: Vec::new(), was_read: false, failure: None }
    }

    /// Reads it where it has changed; whether what it says may have. One that fails keeps what it said, and that is told
    /// once, and once when it can be read again.
    fn look(
        &mut self,
        records: &mut Vec<Record>,
        parse: impl FnOnce(&Path, Vec<u8>) -> Result<Vec<T>, String>,
    ) -> bool {
        let stamp = stamp(&self.path);
        if let Ok(stamp) = &stamp
            && self.stamp.as_ref() == Some(stamp)
        {
            return false;
        }
        let read = stamp
            .as_ref()
            .map_err(ToString::to_string)
            .and_then(|_| read(&self.path).map_err(|error| error.to_string()));
        match read.and_then(|text| parse(&self.path, text)) {
            Ok(content) => {
                // Asked before it was read: what is written meanwhile is read with the next look.
                (self.content, self.stamp, self.was_read) = (content, stamp.ok(), true);
                if self.failure.take().is_some() {
                    records.push(health("read", &format!("{}: it can be read again", self.path.display())));
                }
                true
            }
            Err(why) => {
                self.stamp = stamp.ok();
                if self.failure.as_ref() != Some(&why) {
                    let detail = format!("{}: {why}", self.path.display());
                    eprintln!("sekisho: warning: devices are not read, and stay as they were: {detail}");
                    records.push(health("unread", &detail));
                    self.failure = Some(why);
                }
                false
            }
        }
    }
}

fn health(level: &'static str, detail: &str) -> Record {
    Record::Health(Health { subject: "devices", level, detail: detail.into() })
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path)?;
    // A pipe would be waited for when it is opened.
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    Ok((metadata.modified()?, metadata.len(), metadata.ino()))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(text)
}

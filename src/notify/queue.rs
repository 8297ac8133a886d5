use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Origin};

/// What waits for one receiver, in the order in which it came, in memory and in a file: lines of JSON that say what came,
/// what was taken and what was dropped, written anew now and then.
#[derive(Debug)]
pub struct Queue {
    path: PathBuf,
    file: Option<File>,
    waiting: VecDeque<(u64, Alert)>,
    most: usize,
    next: u64,
    marks: Marks,
    dropped: u64,
    /// Lines in the file.
    lines: usize,
}

/// So many wait for a receiver; of more, the oldest of the least pressing go.
pub const WAITING_MAX: usize = 1000;

/// The newest that ever came in of what is made of records: what comes again after a crash is no other one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Marks {
    record: u64,
    quiet: u64,
    surplus: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begin { next: u64, dropped: u64, marks: Marks },
    Put(u64, Box<Alert>),
    Taken(u64),
    Dropped(u64),
}

/// A longer file is none of ours: a queue is written anew long before.
const FILE_BYTES_MAX: u64 = 256 << 20;

impl Marks {
    /// Whether it is a new one, which it marks.
    fn pass(&mut self, origin: Origin) -> bool {
        match origin {
            Origin::Record(number) => {
                let is_new = number > self.record;
                self.record = self.record.max(number);
                is_new
            }
            // By the clock, which may be set back.
            Origin::Quiet(number) => std::mem::replace(&mut self.quiet, number) != number,
            Origin::Surplus(number) => std::mem::replace(&mut self.surplus, number) != number,
            Origin::Gate(_) | Origin::Test(_) => true,
        }
    }
}

impl Queue {
    /// Takes up what waits there. A last line that was cut off by a crash is passed over, as is what is no line of ours.
    ///
    /// # Errors
    /// There is a file, and it cannot be read.
    pub fn open(path: &Path, most: usize) -> io::Result<Self> {
        let mut queue = Self {
            path: path.to_owned(),
            file: None,
            waiting: VecDeque::new(),
            most: most.max(1),
            next: 0,
            marks: Marks::default(),
            dropped: 0,
            lines: 0,
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(queue),
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file.take(FILE_BYTES_MAX)).split(b'\n') {
            let line = line?;
            if let Ok(line) = serde_json::from_slice(&line) {
                queue.replay(line);
            }
        }
        while queue.waiting.len() > queue.most {
            queue.drop_one();
        }
        // Whatever was cut off at its end, the next line begins a line.
        queue.write_anew()?;
        Ok(queue)
    }

    fn replay(&mut self, line: Line) {
        match line {
            Line::Begin { next, dropped, marks } => {
                (self.next, self.dropped, self.marks) = (next, dropped, marks);
                self.waiting.clear();
            }
            Line::Put(number, alert) => {
                self.marks.pass(alert.origin);
                self.next = self.next.max(number.saturating_add(1));
                self.waiting.push_back((number, *alert));
            }
            Line::Taken(number) => self.waiting.retain(|(other, _)| *other != number),
            Line::Dropped(number) => {
                self.waiting.retain(|(other, _)| *other != number);
                self.dropped = self.dropped.saturating_add(1);
            }
        }
    }

    /// Another journal begins, whose records have other numbers: none of them has come in.
    pub fn forget_records(&mut self) {
        self.marks.record = 0;
        // What stands in the file is replaced with the next line.
        self.file = None;
    }

    /// Puts an alert behind all that waits; one that was put there before is not put there again.
    ///
    /// # Errors
    /// It waits, and could not be written: after a crash it would be lost.
    pub fn put(&mut self, alert: Alert) -> io::Result<()> {
        if !self.marks.pass(alert.origin) {
            return Ok(());
        }
        let number = self.next;
        self.next += 1;
        let mut lines = vec![Line::Put(number, Box::new(alert.clone()))];
        self.waiting.push_back((number, alert));
        if self.waiting.len() > self.most {
            lines.extend(self.drop_one().map(Line::Dropped));
        }
        self.append(&lines)
    }

    /// The oldest of the least pressing goes.
    fn drop_one(&mut self) -> Option<u64> {
        let least = self.waiting.iter().map(|(_, alert)| alert.severity).min()?;
        let place = self.waiting.iter().position(|(_, alert)| alert.severity == least)?;
        let (number, _) = self.waiting.remove(place)?;
        self.dropped = self.dropped.saturating_add(1);
        Some(number)
    }

    /// What is to be sent next, with the number by which it is [taken](Self::taken).
    pub fn front(&self) -> Option<(u64, &Alert)> {
        self.waiting.front().map(|(number, alert)| (*number, alert))
    }

    /// The receiver has it.
    ///
    /// # Errors
    /// It does not wait any more, and that could not be written: after a crash it would be sent again.
    pub fn taken(&mut self, number: u64) -> io::Result<()> {
        self.waiting.retain(|(other, _)| *other != number);
        self.append(&[Line::Taken(number)])
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many were dropped since there is this queue.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        if self.lines >= self.waiting.len() + 2 * self.most {
            return self.write_anew();
        }
        let Some(file) = &mut self.file else { return self.write_anew() };
        let mut bytes = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
        }
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        match written {
            Ok(()) => self.lines += lines.len(),
            // What is there of it ends within a line: all of it is written with the next one.
            Err(_) => self.file = None,
        }
        written
    }

    /// Replaces the file by one that says what waits. Its owner alone may read it.
    fn write_anew(&mut self) -> io::Result<()> {
        self.file = None;
        let new = self.path.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&new)?;
        let mut bytes = Vec::new();
        serde_json::to_writer(&mut bytes, &Line::Begin { next: self.next, dropped: self.dropped, marks: self.marks })?;
        bytes.push(b'\n');
        for (number, alert) in &self.waiting {
            serde_json::to_writer(&mut bytes, &Line::Put(*number, Box::new(alert.clone())))?;
            bytes.push(b'\n');
        }
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.lines = self.waiting.len() + 1;
        self.file = Some(file);
        Ok(())
    }
}

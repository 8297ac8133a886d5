//! Lines that Zeek adds to its `conn.log`: what stays inside a segment, where a sensor sees it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::evidence::{Seen, Text};
use crate::formats::{LINE_BYTES_MAX, Line, Reader, zeek_flow};

use super::conntrack::Own;
use super::outbox::Outbox;

/// How often it is looked for new lines. Zeek writes a connection when it has ended.
const TURN: Duration = Duration::from_millis(500);
/// With each turn so much is read at most; what is more has its turn with the next.
const TURN_BYTES_MAX: usize = 8 << 20;
/// A header has so many lines at most.
const HEADER_LINES_MAX: usize = 64;

/// Reads what is added for as long as `stop` has a sender. What stood there when the gate began is not told.
pub(super) async fn read(path: PathBuf, own: Own, mut outbox: Outbox, mut stop: watch::Receiver<()>) {
    let mut log = Some(Log::new(path));
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_last = false;
    loop {
        tokio::select! {
            biased;
            _ = stop.changed(), if !is_last => is_last = true,
            _ = turns.tick() => {}
        }
        let Some(mut reading) = log.take() else { break };
        // A disk or a share may let it wait, and nobody else with it.
        let turn = tokio::task::spawn_blocking(move || {
            let told = reading.turn();
            (reading, told)
        });
        let Ok((reading, told)) = turn.await else { break };
        log = Some(reading);
        let now = clock::now();
        match told {
            Ok(told) => {
                outbox.begin_once();
                for seen in told.seen {
                    let (client, address) = (seen.key.client, seen.key.address);
                    let is_own = client.zip(address).is_some_and(|(client, to)| own.has(client, to, seen.key.port));
                    if !is_own {
                        outbox.add(seen, now);
                    }
                }
                for _ in 0..told.unread {
                    outbox.count_unread();
                }
                if told.is_behind {
                    outbox.miss(0, "more lines came than are read in time, or the file was cut");
                }
            }
            Err(error) => outbox.fail(&error.to_string()),
        }
        outbox.turn(now);
        if is_last {
            break;
        }
    }
    outbox.end().await;
}

/// What a turn has read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    seen: Vec<Seen>,
    unread: u64,
    /// What was added before it could be read is lost.
    is_behind: bool,
}

/// The file, as far as it is read.
struct Log {
    path: PathBuf,
    /// The same as text, by which sensors are told apart.
    sensor: Text,
    open: Option<Open>,
    /// Nothing was read yet: what stands in the file is from before.
    is_first: bool,
}

struct Open {
    file: BufReader<File>,
    inode: (u64, u64),
    at: u64,
    reader: Reader,
    /// The beginning of a line whose end is still to come; longer ones are passed over.
    line: Vec<u8>,
    too_long: bool,
}

impl Log {
    fn new(path: PathBuf) -> Self {
        let sensor = Text::new(path.as_os_str().as_encoded_bytes());
        Self { path, sensor, open: None, is_first: true }
    }

    /// What was added since, and by which log.
    fn turn(&mut self) -> io::Result<Told> {
        let mut told = self.added()?;
        told.seen.iter_mut().for_each(|seen| seen.key.sensor = Some(self.sensor.clone()));
        Ok(told)
    }

    /// Reads what was added since, also of the file that Zeek has begun in place of this one.
    fn added(&mut self) -> io::Result<Told> {
        let mut told = Told::default();
        let mut left = TURN_BYTES_MAX;
        if let Some(open) = &mut self.open {
            open.read(&mut left, &mut told)?;
        }
        // After that: one that is shorter now than what was read of it was cut.
        let now = match fs::metadata(&self.path) {
            Ok(found) => found,
            // Rotation takes a moment in which there is no file of the name.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.open.is_some() => return Ok(told),
            Err(error) => {
                // What is begun later is read from its beginning.
                self.is_first &= error.kind() != io::ErrorKind::NotFound;
                return Err(error);
            }
        };
        let is_same = |open: &Open| open.inode == (now.dev(), now.ino()) && open.at <= now.len();
        match &self.open {
            Some(open) if is_same(open) => return Ok(told),
            // The rest of the old one first.
            Some(_) if left == 0 => return Ok(told),
            Some(open) => told.is_behind |= open.inode == (now.dev(), now.ino()),
            None => {}
        }
        let mut open = Open::new(&self.path, self.is_first)?;
        self.is_first = false;
        open.read(&mut left, &mut told)?;
        self.open = Some(open);
        Ok(told)
    }
}

impl Open {
    /// `skips`: passes over what stands in it but for its header, by which later lines are read.
    fn new(path: &Path, skips: bool) -> io::Result<Self> {
        let file = File::open(path)?;
        let found = file.metadata()?;
        let inode = (found.dev(), found.ino());
        let mut open =
            Self { file: BufReader::new(file), inode, at: 0, reader: Reader::new(), line: Vec::new(), too_long: false };
        if skips {
            let mut header = Vec::new();
            for _ in 0..HEADER_LINES_MAX {
                header.clear();
                let mut limited = open.file.by_ref().take(LINE_BYTES_MAX as u64);
                let count = limited.read_until(b'\n', &mut header)?;
                if count == 0 || header.first() != Some(&b'#') || header.last() != Some(&b'\n') {
                    break;
                }
                let _ = open.reader.read(&header);
            }
            // From the end of a line on.
            let mut back = found.len();
            let mut piece = [0; 4096];
            while back > 0 {
                let from = back.saturating_sub(piece.len() as u64);
                let length = usize::try_from(back - from).unwrap_or(piece.len());
                open.file.seek(SeekFrom::Start(from))?;
                open.file.read_exact(&mut piece[..length])?;
                if let Some(place) = piece[..length].iter().rposition(|byte| *byte == b'\n') {
                    back = from + place as u64 + 1;
                    break;
                }
                back = from;
            }
            open.file.seek(SeekFrom::Start(back))?;
            open.at = back;
        }
        Ok(open)
    }

    fn read(&mut self, left: &mut usize, told: &mut Told) -> io::Result<()> {
        while *left > 0 {
            let ready = self.file.fill_buf()?;
            if ready.is_empty() {
                return Ok(());
            }
            let ready = &ready[..ready.len().min(*left)];
            let end = ready.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(ready.len(), |end| end + 1);
            let room = (LINE_BYTES_MAX + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&ready[..count.min(room)]);
            self.too_long |= count > room;
            self.file.consume(count);
            self.at += count as u64;
            *left -= count;
            if end.is_some() {
                self.end_line(told);
            }
        }
        Ok(())
    }

    fn end_line(&mut self, told: &mut Told) {
        let is_read = match (self.too_long, self.reader.read(&self.line)) {
            (true, _) | (false, Line::Bad(_)) => false,
            (false, Line::Observed(observed)) => {
                told.seen.extend(zeek_flow(&observed));
                true
            }
            (false, Line::Journal | Line::Passed) => true,
        };
        told.unread += u64::from(!is_read);
        self.line.clear();
        self.too_long = false;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::evidence::{FlowKey, FlowSource, FlowState, Protocol};

    use super::*;

    const HEADER: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n\
        #fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\n\
        #types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\n";

    fn row(client: &str, port: u16, state: &str) -> String {
        format!("1795644000.5\tC{port}\t{client}\t40000\t10.0.0.9\t{port}\ttcp\t-\t0.1\t10\t20\t{state}\n")
    }

    fn add(path: &Path, text: &str) {
        File::options().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn ports(told: &Told) -> Vec<u16> {
        told.seen.iter().map(|seen| seen.key.port.unwrap()).collect()
    }

    #[test]
    fn what_is_added_is_told_once_through_rotation_and_what_stood_there_before_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("conn.log");
        let mut absent = Log::new(path.clone());
        assert_eq!(absent.turn().unwrap_err().kind(), io::ErrorKind::NotFound);
        add(&path, &format!("{HEADER}{}{}", row("10.0.0.1", 1, "SF"), &row("10.0.0.1", 2, "SF")[..20]));
        assert_eq!(ports(&absent.turn().unwrap()), [1], "one that is begun later is told from its beginning");
        let mut log = Log::new(path.clone());
        assert_eq!(log.turn().unwrap(), Told::default());
        // The line that was half there is told once it is whole.
        add(&path, &row("10.0.0.1", 2, "SF")[20..]);
        add(&path, &row("10.0.0.1", 3, "S0"));
        assert_eq!(ports(&log.turn().unwrap()), [2, 3]);
        assert_eq!(log.turn().unwrap(), Told::default());
        // Lines that were added to the old one before it was moved, then the new one from its beginning.
        add(&path, &row("10.0.0.1", 4, "REJ"));
        fs::rename(&path, directory.path().join("old")).unwrap();
        assert_eq!(ports(&log.turn().unwrap()), [4]);
        add(&path, &format!("{HEADER}{}", row("10.0.0.1", 5, "SF")));
        assert_eq!(ports(&log.turn().unwrap()), [5]);
        // One that was cut is read anew, and that something may be lost is said.
        fs::write(&path, HEADER).unwrap();
        add(&path, "garbage\n");
        let told = log.turn().unwrap();
        assert_eq!((ports(&told), told.unread, told.is_behind), (vec![], 1, true));
    }

    #[test]
    fn a_line_says_who_where_and_how_it_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("conn.log");
        add(&path, HEADER);
        let mut log = Log::new(path.clone());
        log.turn().unwrap();
        for (state, expected) in [
            ("S0", FlowState::Unanswered),
            ("REJ", FlowState::Reset),
            ("RSTO", FlowState::Reset),
            ("S1", FlowState::Established),
            ("SF", FlowState::Closed),
        ] {
            add(&path, &row("10.0.0.1", 445, state));
            let key = FlowKey {
                client: Some("10.0.0.1".parse().unwrap()),
                address: Some("10.0.0.9".parse().unwrap()),
                port: Some(445),
                protocol: Some(Protocol::TCP),
                state: Some(expected),
                sensor: Some(path.to_str().unwrap().into()),
                ..FlowKey::of(FlowSource::Zeek)
            };
            let seen = Seen { bytes_up: Some(10), bytes_down: Some(20), ..key.into() };
            assert_eq!(log.turn().unwrap().seen, [seen], "{state}");
        }
    }

    #[test]
    fn a_line_without_end_takes_bounded_room_and_what_follows_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("conn.log");
        add(&path, HEADER);
        let mut log = Log::new(path.clone());
        log.turn().unwrap();
        let long = "x".repeat(1 << 20);
        for _ in 0..12 {
            add(&path, &long);
        }
        add(&path, &format!("\n{}", row("10.0.0.1", 7, "SF")));
        let (first, second) = (log.turn().unwrap(), log.turn().unwrap());
        assert!(log.open.as_ref().unwrap().line.capacity() < 4 * LINE_BYTES_MAX);
        assert_eq!((first.unread + second.unread, ports(&second)), (1, vec![7]));
    }
}

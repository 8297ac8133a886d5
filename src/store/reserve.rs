use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::evidence::{Chain, Record, Segment, Verifier, line_members};
use crate::facts::Timestamp;

use super::journal::Weight;

/// Space of the disk that is held for the time when it is full.
///
/// One file. Its first half is room for the short records of exchanges that pass under a breakglass: it
/// stays allocated, so that writing to it needs nothing of the disk. Its second half is ballast, given
/// back to the file system for the last records of exchanges that were let out before.
#[derive(Debug)]
pub(super) struct Reserve {
    file: File,
    /// The first half.
    room: u64,
    /// Both halves.
    whole: u64,
    /// Of the first half so many bytes hold records.
    used: u64,
    /// Records in it, its opening not counted.
    passages: u64,
    chain: Chain,
    ballast: bool,
}

/// Room that is kept for what the gate itself has to say.
const OWN_BYTES: u64 = 4096;

/// Below the data directory.
pub(super) const FILE_NAME: &str = "reserve";

impl Reserve {
    /// Opens the reserve of a data directory or makes it, with its first half; [`Reserve::refill`] makes it
    /// `whole` bytes long. Records that a crash left in it are kept.
    ///
    /// # Errors
    /// The disk has no room for the first half, or the file cannot be used.
    pub(super) fn open(data_dir: &Path, whole: u64) -> io::Result<Self> {
        let path = data_dir.join(FILE_NAME);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        // Its entry must survive what its records do.
        File::open(data_dir)?.sync_all()?;
        let (used, passages, chain) = read(&file)?;
        let room = (whole / 2).max(used);
        let whole = whole.max(room);
        // One that was larger gives back what is too much.
        if file.metadata()?.len() > whole {
            file.set_len(whole)?;
        }
        let reserve = Self { file, room, whole, used, passages, chain, ballast: false };
        // A torn end would stand behind the next record.
        reserve.wipe(used)?;
        allocate(&reserve.file, 0, room)?;
        Ok(reserve)
    }

    /// Bytes missing of the ballast.
    pub(super) fn missing(&self) -> u64 {
        if self.ballast { 0 } else { self.whole - self.room }
    }

    /// Gives the ballast back to the file system; false if there was none to give.
    pub(super) fn release(&mut self) -> bool {
        let released = self.ballast && self.file.set_len(self.room).is_ok();
        self.ballast &= !released;
        released
    }

    /// Takes the ballast back.
    pub(super) fn refill(&mut self) -> io::Result<()> {
        if !self.ballast {
            if let Err(error) = allocate(&self.file, self.room, self.whole - self.room) {
                // What was had of it would be missed elsewhere.
                let _ = self.file.set_len(self.room);
                return Err(error);
            }
            self.ballast = true;
        }
        Ok(())
    }

    /// Writes records, all or none, and syncs them. `journal` is where the journal stands.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`]: there is no room for them; or the device's own.
    pub(super) fn write(
        &mut self,
        records: &[Vec<u8>],
        weight: Weight,
        journal: Chain,
        now: Timestamp,
    ) -> io::Result<()> {
        let mut chain = self.chain;
        let mut lines = Vec::new();
        if self.used == 0 {
            let opening = Record::Segment(Segment { prev: journal.hash_hex() });
            chain.append(&opening.encode(now), &mut lines);
        }
        for members in records {
            chain.append(members, &mut lines);
        }
        let end = self.used + lines.len() as u64;
        let kept = match weight {
            Weight::Exchange => OWN_BYTES.min(self.room / 4),
            Weight::Own => 0,
        };
        if end > self.room - kept {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_all_at(&lines, self.used)?;
        self.file.sync_data()?;
        (self.used, self.chain) = (end, chain);
        self.passages += records.len() as u64;
        Ok(())
    }

    /// The records it holds, as they were handed in.
    pub(super) fn records(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut held = vec![0; usize::try_from(self.used).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut held, 0)?;
        let lines = held.split(|byte| *byte == b'\n').skip(1);
        Ok(lines.filter_map(line_members).map(<[u8]>::to_vec).collect())
    }

    /// Forgets its records: the journal has them.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.wipe(0)?;
        (self.used, self.passages, self.chain) = (0, 0, Chain::start());
        Ok(())
    }

    /// Writes zeros from `begin` to the end of what may hold anything else.
    fn wipe(&self, begin: u64) -> io::Result<()> {
        let end = self.file.metadata()?.len().min(self.room);
        let zeros = [0; 64 * 1024];
        let mut at = begin;
        while at < end {
            let mut here = [0; 64 * 1024];
            let count = self.file.read_at(&mut here, at)?.min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let dirty = here.get(..count).unwrap_or_default();
            if count == 0 || dirty.iter().all(|byte| *byte == 0) {
                break;
            }
            self.file.write_all_at(zeros.get(..count).unwrap_or_default(), at)?;
            at += count as u64;
        }
        self.file.sync_data()
    }

    pub(super) fn has_ballast(&self) -> bool {
        self.ballast
    }

    pub(super) fn room(&self) -> u64 {
        self.room
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn passages(&self) -> u64 {
        self.passages
    }
}

/// Whether a data directory has a reserve from before.
pub(super) fn is_there(data_dir: &Path) -> bool {
    data_dir.join(FILE_NAME).exists()
}

/// How many records the reserve of a data directory holds, if there is one.
pub(super) fn held(data_dir: &Path) -> io::Result<u64> {
    match File::open(data_dir.join(FILE_NAME)) {
        Ok(file) => read(&file).map(|(_, passages, _)| passages),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// The whole records at the beginning of the file: their bytes, their number, and their chain.
fn read(file: &File) -> io::Result<(u64, u64, Chain)> {
    let mut held = Vec::new();
    let mut here = [0; 64 * 1024];
    loop {
        let count = file.read_at(&mut here, held.len() as u64)?;
        let bytes = here.get(..count).unwrap_or_default();
        // What was never written, and no record, is zeros.
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(count);
        held.extend_from_slice(bytes.get(..end).unwrap_or_default());
        if end < count || count == 0 || held.len() as u64 >= HELD_BYTES_MAX {
            break;
        }
    }
    let mut verifier = Verifier::new(Chain::start());
    let (mut used, mut lines) = (0, 0_u64);
    for line in held.split_inclusive(|byte| *byte == b'\n') {
        let whole = line.strip_suffix(b"\n").is_some_and(|line| verifier.line(line).is_ok());
        if !whole {
            break;
        }
        used += line.len() as u64;
        lines += 1;
    }
    Ok((used, lines.saturating_sub(1), verifier.chain()))
}

/// Read of a reserve at most; no setting makes its first half longer.
const HELD_BYTES_MAX: u64 = 128 << 20;

/// Sees that the file system has these bytes for us: what is written there later needs no room.
fn allocate(file: &File, begin: u64, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), begin, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill(file, begin, bytes),
        result => Ok(result?),
    }
}

/// The same where the file system cannot promise: zeros are written where nothing is.
fn fill(file: &File, begin: u64, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = file.metadata()?.len().max(begin);
    while at < begin + bytes {
        let count = usize::try_from(begin + bytes - at).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all_at(zeros.get(..count).unwrap_or_default(), at)?;
        at += count as u64;
    }
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_510_800_123_456);
    const WHOLE: u64 = 8192;

    fn record(n: usize) -> Vec<u8> {
        format!("\"kind\":\"exchange\",\"n\":{n}").into_bytes()
    }

    fn path(directory: &tempfile::TempDir) -> std::path::PathBuf {
        directory.path().join(FILE_NAME)
    }

    #[test]
    fn records_come_out_as_they_went_in_also_after_a_crash() {
        let directory = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::open(directory.path(), WHOLE).unwrap();
        reserve.write(&[record(1), record(2)], Weight::Exchange, Chain::start(), NOW).unwrap();
        reserve.write(&[record(3)], Weight::Exchange, Chain::start(), NOW).unwrap();
        drop(reserve);
        let mut again = Reserve::open(directory.path(), WHOLE).unwrap();
        assert_eq!(again.passages(), 3);
        assert_eq!(again.records().unwrap(), [record(1), record(2), record(3)]);
        again.write(&[record(4)], Weight::Exchange, Chain::start(), NOW).unwrap();
        assert_eq!(again.records().unwrap().len(), 4);
        again.clear().unwrap();
        assert_eq!((again.used(), again.records().unwrap().len()), (0, 0));
        drop(again);
        let bytes = std::fs::read(path(&directory)).unwrap();
        assert!(bytes.len() as u64 == WHOLE / 2 && bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_torn_record_is_dropped_and_the_next_stands_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::open(directory.path(), WHOLE).unwrap();
        reserve.write(&[record(1), record(2)], Weight::Exchange, Chain::start(), NOW).unwrap();
        let used = reserve.used();
        drop(reserve);
        // The last byte of the last line never reached the disk.
        let file = OpenOptions::new().write(true).open(path(&directory)).unwrap();
        file.write_all_at(&[0], used - 1).unwrap();
        let mut again = Reserve::open(directory.path(), WHOLE).unwrap();
        assert_eq!(again.records().unwrap(), [record(1)]);
        again.write(&[record(3)], Weight::Exchange, Chain::start(), NOW).unwrap();
        drop(again);
        assert_eq!(Reserve::open(directory.path(), WHOLE).unwrap().records().unwrap(), [record(1), record(3)]);
    }

    #[test]
    fn what_finds_no_room_is_not_written_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::open(directory.path(), WHOLE).unwrap();
        let mut written = 0;
        while reserve.write(&[record(written)], Weight::Exchange, Chain::start(), NOW).is_ok() {
            written += 1;
        }
        assert_eq!(reserve.records().unwrap().len(), written);
        let kept = WHOLE / 8;
        assert!(reserve.used() <= WHOLE / 2 - kept && reserve.used() > WHOLE / 2 - kept - 200);
        let error = reserve.write(&[record(0)], Weight::Exchange, Chain::start(), NOW).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        reserve.write(&[record(0)], Weight::Own, Chain::start(), NOW).unwrap();
        assert_eq!(reserve.records().unwrap().len(), written + 1, "there is room for the gate's own");
    }

    #[test]
    fn the_ballast_is_given_up_once_and_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::open(directory.path(), WHOLE).unwrap();
        reserve.refill().unwrap();
        let length = || std::fs::metadata(path(&directory)).unwrap().len();
        assert_eq!((length(), reserve.missing()), (WHOLE, 0));
        assert!(reserve.release());
        assert_eq!((length(), reserve.missing()), (WHOLE / 2, WHOLE / 2));
        assert!(!reserve.release(), "there is no more to give");
        reserve.refill().unwrap();
        assert_eq!((length(), reserve.missing()), (WHOLE, 0));
    }

    #[test]
    fn a_reserve_made_smaller_gives_back_what_is_too_much() {
        let directory = tempfile::tempdir().unwrap();
        Reserve::open(directory.path(), WHOLE).unwrap().refill().unwrap();
        let length = || std::fs::metadata(path(&directory)).unwrap().len();
        assert_eq!(length(), WHOLE);
        drop(Reserve::open(directory.path(), WHOLE / 4).unwrap());
        assert_eq!(length(), WHOLE / 4);
    }

    #[test]
    fn a_reserve_made_smaller_keeps_the_records_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::open(directory.path(), WHOLE).unwrap();
        let records: Vec<_> = (0..20).map(record).collect();
        reserve.write(&records, Weight::Exchange, Chain::start(), NOW).unwrap();
        drop(reserve);
        assert_eq!(Reserve::open(directory.path(), 64).unwrap().records().unwrap(), records);
    }
}

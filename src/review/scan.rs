use std::panic::resume_unwind;
use std::thread;

use crate::evidence::{Kind, RecordLine, lines_of, read_record};
use crate::store::{OpenError, Reader};

/// How far a reading has come, in bytes of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub read: u64,
    pub all: u64,
}

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Lines of all kinds.
    pub records: u64,
    /// Lines that are no record, and were passed over.
    pub unreadable: u64,
}

/// Threads that read lines at the same time; folding them takes one more core at most half of its time.
const THREADS_MAX: usize = 4;

/// Hands every record of an exchange to `each`, in the order of the journal. Lines are read by several
/// threads and folded by one, so the outcome is the same on any machine. Holds one block for each thread.
///
/// # Errors
/// What of the journal could not be read.
pub(super) fn scan(
    reader: &mut Reader,
    progress: impl FnMut(Progress),
    mut each: impl FnMut(&RecordLine<'_>),
) -> Result<Scanned, OpenError> {
    let is_exchange = |kind| kind == Kind::Exchange;
    scan_lines(reader, is_exchange, progress, |record, _| {
        each(record);
        Ok(())
    })
}

/// The same for the kinds that are wanted, with the line itself, without its end. What `each` cannot go on from ends it.
///
/// # Errors
/// What of the journal could not be read, or what `each` says.
pub(super) fn scan_lines<E: From<OpenError>>(
    reader: &mut Reader,
    wanted: impl Fn(Kind) -> bool + Sync,
    mut progress: impl FnMut(Progress),
    mut each: impl FnMut(&RecordLine<'_>, &[u8]) -> Result<(), E>,
) -> Result<Scanned, E> {
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MAX));
    let mut blocks = vec![Vec::new(); threads];
    let mut scanned = Scanned::default();
    loop {
        let mut filled = 0;
        for block in &mut blocks {
            if !reader.next(block)? {
                break;
            }
            filled += 1;
        }
        if filled == 0 {
            return Ok(scanned);
        }
        for read in read_blocks(blocks.get(..filled).unwrap_or_default(), &wanted) {
            scanned.records += read.scanned.records;
            scanned.unreadable += read.scanned.unreadable;
            for (record, line) in &read.wanted {
                each(record, line)?;
            }
        }
        progress(Progress { read: reader.bytes_read(), all: reader.bytes() });
    }
}

/// The records of one block.
struct ReadBlock<'b> {
    wanted: Vec<(RecordLine<'b>, &'b [u8])>,
    scanned: Scanned,
}

fn read_blocks(blocks: &[Vec<u8>], wanted: impl Fn(Kind) -> bool + Sync) -> Vec<ReadBlock<'_>> {
    let wanted = &wanted;
    thread::scope(|scope| {
        let running: Vec<_> = blocks.iter().map(|block| scope.spawn(move || read_block(block, wanted))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

fn read_block(block: &[u8], wanted: impl Fn(Kind) -> bool) -> ReadBlock<'_> {
    let mut read = ReadBlock { wanted: Vec::with_capacity(block.len() / 512), scanned: Scanned::default() };
    for line in lines_of(block) {
        read.scanned.records += 1;
        match read_record(line) {
            Ok(record) if wanted(record.kind) => read.wanted.push((record, line)),
            Ok(_) => {}
            Err(_) => read.scanned.unreadable += 1,
        }
    }
    read
}

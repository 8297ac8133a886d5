use crate::evidence::{NotARecord, Observed, shown};

use super::text::{Scratch, latin1};
use super::time::Zones;
use super::zeek::{Table, read_json};
use super::{Fault, Format, Told, combined, squid};

/// A longer line is not looked at, and need not be kept whole by who splits a file into lines.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Bad lines that are kept for showing.
pub const SAMPLE_MAX: usize = 5;
/// So many lines of no known format at the beginning, and there will be no other.
const UNKNOWN_MAX: u64 = 100;
/// Of a bad line this much is kept.
const BEGINS_CHARS_MAX: usize = 120;

/// Reads one log, line by line, whatever format it is in: a fold over lines. The format is found by the first line
/// that has one, and anew where a line is evidently of another. Holds at most six times [`LINE_BYTES_MAX`].
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    room: Vec<u8>,
    latin1: String,
    tally: Tally,
    sample: Vec<BadLine>,
    /// The fault of a header that was kept last.
    last: Option<Fault>,
}

/// What a line holds.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and a box would be made for each line")]
pub enum Line<'a> {
    Observed(Observed<'a>),
    /// A record of our own journal: for [`read_record`](crate::evidence::read_record). Where that refuses it, say so by
    /// [`Reader::refuse`].
    Journal,
    /// Nothing: it is empty, a comment, part of a header, of a log that tells nothing of use, or of no client's.
    Passed,
    Bad(Fault),
}

/// How many lines there were. The four others add up to `lines`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub lines: u64,
    pub observed: u64,
    pub journal: u64,
    pub passed: u64,
    pub bad: u64,
}

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// From 1.
    pub line: u64,
    pub reason: String,
    /// Its first 120 characters, safe to show.
    pub begins: String,
}

#[derive(Debug, Default)]
struct State {
    format: Option<Format>,
    table: Table,
    zones: Zones,
    utf16: bool,
}

impl Reader {
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next line, with or without its line end.
    pub fn read<'a>(&'a mut self, line: &'a [u8]) -> Line<'a> {
        let Self { state, room, latin1: kept, tally, sample, last } = self;
        tally.lines += 1;
        let fault = match state.told(line, tally.lines, room, kept) {
            Ok(Told::Of(observed, zone)) => {
                tally.observed += 1;
                state.zones.note(zone);
                return Line::Observed(observed);
            }
            Ok(Told::Journal) => {
                tally.journal += 1;
                return Line::Journal;
            }
            Ok(Told::Nothing) => {
                tally.passed += 1;
                return Line::Passed;
            }
            Err(fault) => fault,
        };
        tally.bad += 1;
        // One bad header makes all lines below it bad: the first of them stands for all.
        if !fault.is_of_header() || last.replace(fault) != Some(fault) {
            keep(sample, tally.lines, fault, line);
        }
        Line::Bad(fault)
    }

    /// Counts the line read last, which was said to be of our journal, as a bad one.
    pub fn refuse(&mut self, line: &[u8], why: &NotARecord) {
        self.tally.journal = self.tally.journal.saturating_sub(1);
        self.tally.bad += 1;
        keep(&mut self.sample, self.tally.lines, why, line);
    }

    /// The format of the line read last; `None` before there was one that has any.
    pub fn format(&self) -> Option<Format> {
        self.state.format
    }

    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The first lines that could not be read, at most [`SAMPLE_MAX`].
    pub fn sample(&self) -> &[BadLine] {
        &self.sample
    }

    /// The zones that times were in. Seconds since 1970 are in UTC.
    pub fn zones(&self) -> &Zones {
        &self.state.zones
    }

    /// The name of the Zeek log whose lines are passed over now, as its `#path` says it.
    pub fn passed_over(&self) -> Option<&str> {
        self.state.table.passed_over().filter(|_| self.state.format == Some(Format::ZeekTable))
    }

    /// Why nothing of this log can be read from here on, unless another header follows: who waits for more may stop.
    pub fn refusal(&self) -> Option<Fault> {
        let fault = match self.state.format {
            _ if self.state.utf16 => Some(Fault::Utf16),
            None => Some(Fault::Unknown),
            Some(Format::ZeekTable) => self.state.table.fault(),
            Some(Format::Journal | Format::Squid | Format::Combined | Format::ZeekJson) => None,
        };
        // What may yet follow: the rest of a header, or a line that has a format.
        fault.filter(|fault| !matches!(fault, Fault::Unknown | Fault::NoHeader) || self.tally.bad >= UNKNOWN_MAX)
    }
}

impl State {
    fn told<'a>(
        &mut self,
        line: &'a [u8],
        number: u64,
        room: &'a mut Vec<u8>,
        kept: &'a mut String,
    ) -> Result<Told<'a>, Fault> {
        self.utf16 |= number == 1 && is_utf16(line);
        if self.utf16 {
            return Err(Fault::Utf16);
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        if line.len() > LINE_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let text = match std::str::from_utf8(line) {
            Ok(text) => text,
            Err(_) => latin1(line, kept),
        };
        if text.starts_with('#') {
            return self.comment(text);
        }
        if text.trim_ascii().is_empty() {
            return Ok(Told::Nothing);
        }
        let format = self.format_of(text).ok_or(Fault::Unknown)?;
        self.format = Some(format);
        let mut scratch = Scratch::of(room, text.len());
        match format {
            Format::Journal => Ok(Told::Journal),
            Format::Squid => squid::read(text, number, &mut scratch),
            Format::Combined => combined::read(text, number, &mut scratch),
            Format::ZeekTable => self.table.read(text, number, &mut scratch),
            Format::ZeekJson => read_json(text, number, &mut scratch),
        }
    }

    /// In a table's header it is of account.
    fn comment<'a>(&mut self, text: &str) -> Result<Told<'a>, Fault> {
        if Format::ZeekTable.fits(text) {
            self.format = Some(Format::ZeekTable);
        }
        if self.format == Some(Format::ZeekTable) {
            self.table.header(text)?;
        }
        Ok(Told::Nothing)
    }

    /// That of the lines before, unless this one is evidently of another.
    fn format_of(&self, text: &str) -> Option<Format> {
        let fits = self.format.is_some_and(|format| match format {
            Format::ZeekTable => self.table.fits(text) && self.table.fault() != Some(Fault::NoHeader),
            // Either is JSON.
            Format::Journal | Format::ZeekJson => false,
            Format::Squid | Format::Combined => format.fits(text),
        });
        if fits { self.format } else { Format::of(text).or(self.format) }
    }
}

/// It has the mark of it, or every other byte of its first two letters is 0.
fn is_utf16(line: &[u8]) -> bool {
    let zeros = line.first_chunk::<4>().map(|letters| letters.map(|byte| byte == 0));
    line.starts_with(b"\xff\xfe")
        || line.starts_with(b"\xfe\xff")
        || matches!(zeros, Some([true, false, true, false] | [false, true, false, true]))
}

fn keep(sample: &mut Vec<BadLine>, line: u64, reason: impl ToString, bytes: &[u8]) {
    if sample.len() >= SAMPLE_MAX {
        return;
    }
    let bytes = bytes.get(..BEGINS_CHARS_MAX * 4).unwrap_or(bytes);
    let begins: String = String::from_utf8_lossy(bytes).trim_end().chars().take(BEGINS_CHARS_MAX).collect();
    sample.push(BadLine { line, reason: reason.to_string(), begins: shown(&begins).into_owned() });
}

#[cfg(test)]
mod tests;

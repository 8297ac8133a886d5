//! The opening of a client's HTTP/2 connection: what its SETTINGS, its WINDOW_UPDATE and its first HEADERS say of the
//! program, whatever it asks for. Layout: RFC 9113 sections 3.4, 4.1 and 6.
//!
//! A tap beside the implementation of HTTP/2 and no second one: it finds no more faults than it must.

mod block;
#[cfg(test)]
mod tests;

use super::ja4::is_grease;
use block::{BlockRead, read_block};

pub use block::PseudoField;

/// Of a connection's bytes no more are looked at.
pub const OPENING_BYTES_MAX: usize = 16 * 1024;
/// Browsers send three, and older ones some of PRIORITY as well.
const FRAMES_MAX: usize = 64;
/// Browsers send four.
const SETTINGS_MAX: usize = 32;
/// What a frame may hold before we allow more (RFC 9113 section 6.5.2).
const FRAME_BYTES_MAX: usize = 16_384;
/// RFC 9113 section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD_BYTES: usize = 9;
const STREAM_MASK: u32 = 0x7fff_ffff;

mod frame {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PUSH_PROMISE: u8 = 5;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
}

mod flag {
    pub(super) const ACK: u8 = 0x1;
    pub(super) const END_HEADERS: u8 = 0x4;
    pub(super) const PADDED: u8 = 0x8;
    pub(super) const PRIORITY: u8 = 0x20;
}

/// What a client says up to its first request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http2Opening {
    /// Number and value of each setting of the first SETTINGS frame in its order, without GREASE; the first 32.
    pub settings: Box<[(u16, u32)]>,
    /// What the WINDOW_UPDATE frames before the first request add to the connection's window.
    pub window_update: Option<u32>,
    /// Those of the first request in their order, each once.
    pub pseudo_fields: Box<[PseudoField]>,
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Http2Read {
    Opening(Http2Opening),
    /// They do not begin as HTTP/2 does, or go on as no client may before its first request.
    NotHttp2,
    /// No request in as many bytes or frames as are looked at.
    Unfinished,
}

/// Tells how a connection opens once the pseudo-header fields of its first request are there; `None` asks for more,
/// and never with [`OPENING_BYTES_MAX`] of them. More bytes never change what was told.
pub fn read_http2_opening(bytes: &[u8]) -> Option<Http2Read> {
    let within = bytes.get(..OPENING_BYTES_MAX).unwrap_or(bytes);
    match read(within) {
        Ok(opening) => Some(Http2Read::Opening(opening)),
        Err(Stop::Fault) => Some(Http2Read::NotHttp2),
        Err(Stop::Frames) => Some(Http2Read::Unfinished),
        Err(Stop::End) => (bytes.len() >= OPENING_BYTES_MAX).then_some(Http2Read::Unfinished),
    }
}

/// Reads the opening of one connection beside those who read it for good.
///
/// Holds at most [`OPENING_BYTES_MAX`] bytes, and none once it is told what they are.
#[derive(Debug)]
pub struct Http2Tap {
    buffer: Vec<u8>,
    read: Option<Http2Read>,
}

impl Http2Tap {
    #[expect(clippy::new_without_default, reason = "a tap is put on a connection, and never a value left out")]
    pub fn new() -> Self {
        Self { buffer: Vec::new(), read: None }
    }

    /// Takes the next bytes that came from the client, in whatever pieces.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.read.is_some() {
            return;
        }
        // Mostly the opening comes in one piece, of which nothing has to be kept.
        if self.buffer.is_empty() {
            self.read = read_http2_opening(bytes);
        }
        if self.read.is_none() {
            let room = OPENING_BYTES_MAX - self.buffer.len();
            self.buffer.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            self.read = read_http2_opening(&self.buffer);
        }
        if self.read.is_some() {
            self.buffer = Vec::new();
        }
    }

    /// What the bytes are; `None` while that is not plain.
    pub fn read(&self) -> Option<&Http2Read> {
        self.read.as_ref()
    }

    /// The opening, once it is there.
    pub fn opening(&self) -> Option<&Http2Opening> {
        match &self.read {
            Some(Http2Read::Opening(opening)) => Some(opening),
            Some(Http2Read::NotHttp2 | Http2Read::Unfinished) | None => None,
        }
    }
}

/// Why there is no opening.
enum Stop {
    /// The bytes end.
    End,
    Frames,
    Fault,
}

struct Frame<'b> {
    kind: u8,
    flags: u8,
    stream: u32,
    length: usize,
    /// What has come of `length`.
    payload: &'b [u8],
}

impl<'b> Frame<'b> {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn whole(&self) -> Result<&'b [u8], Stop> {
        if self.payload.len() == self.length { Ok(self.payload) } else { Err(Stop::End) }
    }

    /// Its payload, where its head is as it must be.
    fn whole_if(&self, is_sound: bool) -> Result<&'b [u8], Stop> {
        if is_sound { self.whole() } else { Err(Stop::Fault) }
    }

    /// The part of the payload that is of the field block, as far as it has come.
    fn fragment(&self) -> Result<&'b [u8], Stop> {
        if self.kind == frame::CONTINUATION {
            return Ok(self.payload);
        }
        let padded = usize::from(self.has(flag::PADDED));
        let padding = match self.payload.first() {
            _ if padded == 0 => 0,
            Some(padding) => usize::from(*padding),
            None => return Err(if self.length == 0 { Stop::Fault } else { Stop::End }),
        };
        let start = padded + if self.has(flag::PRIORITY) { 5 } else { 0 };
        let end = self.length.checked_sub(padding).filter(|end| start <= *end).ok_or(Stop::Fault)?;
        Ok(self.payload.get(start..end.min(self.payload.len())).unwrap_or_default())
    }
}

fn read(bytes: &[u8]) -> Result<Http2Opening, Stop> {
    let preface = bytes.len().min(PREFACE.len());
    if bytes.get(..preface) != PREFACE.get(..preface) {
        return Err(Stop::Fault);
    }
    let mut rest = bytes.get(PREFACE.len()..).ok_or(Stop::End)?;
    let settings = read_settings(&next_frame(&mut rest)?)?;
    let mut window_update: Option<u32> = None;
    for _ in 1..FRAMES_MAX {
        let frame = next_frame(&mut rest)?;
        match frame.kind {
            frame::HEADERS => {
                return Ok(Http2Opening { settings, window_update, pseudo_fields: read_pseudo_fields(&frame, rest)? });
            }
            frame::WINDOW_UPDATE if frame.stream == 0 => {
                let increment = read_increment(&frame)?;
                window_update = Some(window_update.unwrap_or_default().saturating_add(increment));
            }
            frame::DATA | frame::RST_STREAM | frame::PUSH_PROMISE | frame::CONTINUATION => return Err(Stop::Fault),
            _ => {
                frame.whole()?;
            }
        }
    }
    Err(Stop::Frames)
}

/// The next frame, with as much of its payload as there is.
fn next_frame<'b>(rest: &mut &'b [u8]) -> Result<Frame<'b>, Stop> {
    let (head, after) = rest.split_first_chunk::<FRAME_HEAD_BYTES>().ok_or(Stop::End)?;
    let [a, b, c, kind, flags, stream @ ..] = *head;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(Stop::Fault);
    }
    let (payload, after) = after.split_at(length.min(after.len()));
    *rest = after;
    Ok(Frame { kind, flags, stream: u32::from_be_bytes(stream) & STREAM_MASK, length, payload })
}

fn read_settings(frame: &Frame<'_>) -> Result<Box<[(u16, u32)]>, Stop> {
    let is_first = frame.kind == frame::SETTINGS && !frame.has(flag::ACK) && frame.stream == 0;
    let (entries, []) = frame.whole_if(is_first && frame.length.is_multiple_of(6))?.as_chunks::<6>() else {
        return Err(Stop::Fault);
    };
    let setting = |[a, b, value @ ..]: &[u8; 6]| (u16::from_be_bytes([*a, *b]), u32::from_be_bytes(*value));
    Ok(entries.iter().map(setting).filter(|(number, _)| !is_grease(*number)).take(SETTINGS_MAX).collect())
}

fn read_increment(frame: &Frame<'_>) -> Result<u32, Stop> {
    let increment = <[u8; 4]>::try_from(frame.whole_if(frame.length == 4)?).map_err(|_| Stop::Fault)?;
    match u32::from_be_bytes(increment) & STREAM_MASK {
        0 => Err(Stop::Fault),
        increment => Ok(increment),
    }
}

/// Of a HEADERS frame, and of the CONTINUATION frames behind it where its own part does not tell.
fn read_pseudo_fields(headers: &Frame<'_>, mut rest: &[u8]) -> Result<Box<[PseudoField]>, Stop> {
    // Requests of clients are on streams of odd numbers.
    if headers.stream.is_multiple_of(2) {
        return Err(Stop::Fault);
    }
    let mut block = headers.fragment()?.to_vec();
    let mut ends = headers.has(flag::END_HEADERS);
    let mut is_whole = headers.payload.len() == headers.length;
    for _ in 0..FRAMES_MAX {
        match read_block(&block, ends && is_whole) {
            BlockRead::Pseudo(fields) => return Ok(fields),
            BlockRead::Bad => return Err(Stop::Fault),
            BlockRead::More if ends || !is_whole => return Err(Stop::End),
            BlockRead::More => {}
        }
        let frame = next_frame(&mut rest)?;
        if frame.kind != frame::CONTINUATION || frame.stream != headers.stream {
            return Err(Stop::Fault);
        }
        block.extend_from_slice(frame.fragment()?);
        ends = frame.has(flag::END_HEADERS);
        is_whole = frame.payload.len() == frame.length;
    }
    Err(Stop::Frames)
}

//! The chunked coding (RFC 9112 section 7.1): a strict incremental reader, and the writer.

use std::num::NonZeroUsize;

use bytes::{BufMut, Bytes, BytesMut};

use super::fault::Fault;
use super::fields::{Fields, Section, find_end};

/// Bytes of a trailer section, its empty line included.
const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Fields in a trailer section.
const TRAILER_FIELDS_MAX: usize = 32;
/// What stands behind the data of each chunk.
pub const CHUNK_DATA_END: &[u8] = b"\r\n";
const SIZE_DIGITS_MAX: u8 = 16;

/// Reads one chunked body, in whatever pieces it arrives. Holds nothing but the trailer section,
/// at most 8 KiB and 32 fields of it.
#[derive(Debug)]
pub struct ChunkedReader {
    state: State,
}

#[derive(Debug)]
enum State {
    Size { digits: u8, size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer { section: BytesMut, scanned: usize },
    Done,
    Failed(Fault),
}

/// What one [`ChunkedReader::step`] made of its input. `consumed` counts the bytes to take off the
/// front of the input, framing and data together.
#[derive(Debug)]
pub enum Step<'b> {
    /// Body bytes, never none. Call again with the rest of the input.
    Data { data: &'b [u8], consumed: usize },
    /// The input is used up (`consumed` is its length) and the body has not ended.
    NeedMore { consumed: usize },
    /// The body has ended; the input from `consumed` on belongs to the next message.
    End { consumed: usize, trailers: Fields },
}

impl ChunkedReader {
    /// A reader at the first byte of a body.
    pub fn new() -> Self {
        Self { state: State::Size { digits: 0, size: 0 } }
    }

    /// Reads on until there is data, an end, a fault, or no more input.
    ///
    /// A fault is final and comes again from every later call; behind an end, so does an end that
    /// consumes nothing.
    pub fn step<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, Fault> {
        let outcome = self.advance(input);
        if let Err(fault) = outcome {
            self.state = State::Failed(fault);
        }
        outcome
    }

    /// What the end of the connection means here: nothing once the body has ended, else that it
    /// is too short.
    pub fn finish(&self) -> Result<(), Fault> {
        match self.state {
            State::Done => Ok(()),
            State::Failed(fault) => Err(fault),
            _ => Err(Fault::BodyTooShort),
        }
    }

    fn advance<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, Fault> {
        let mut at = 0;
        loop {
            match &mut self.state {
                State::Failed(fault) => return Err(*fault),
                State::Done => {
                    return Ok(Step::End { consumed: at, trailers: Fields::default() });
                }
                State::Trailer { section, scanned } => {
                    let Some((end, trailers)) = read_trailers(section, scanned, &input[at..])? else {
                        return Ok(Step::NeedMore { consumed: input.len() });
                    };
                    self.state = State::Done;
                    return Ok(Step::End { consumed: at + end, trailers });
                }
                State::Data { left } if at < input.len() => {
                    let room = input.len() - at;
                    let len = usize::try_from(*left).map_or(room, |left| left.min(room));
                    *left -= len as u64;
                    if *left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Step::Data { data: &input[at..at + len], consumed: at + len });
                }
                framing => {
                    let Some(&byte) = input.get(at) else {
                        return Ok(Step::NeedMore { consumed: at });
                    };
                    *framing = frame(framing, byte)?;
                    at += 1;
                }
            }
        }
    }
}

impl Default for ChunkedReader {
    fn default() -> Self {
        Self::new()
    }
}

/// Moves over one byte of framing.
fn frame(state: &State, byte: u8) -> Result<State, Fault> {
    match (state, byte) {
        (State::Size { digits: 1.., size }, b'\r') => Ok(State::SizeEnd { size: *size }),
        (State::Size { digits: 1.., .. }, b';') => Err(Fault::BadChunkExtension),
        (State::Size { .. }, b'\n') => Err(Fault::BareLf),
        (State::Size { digits, size }, byte) => {
            let digit = char::from(byte).to_digit(16).ok_or(Fault::BadChunkSize)?;
            if *digits == SIZE_DIGITS_MAX {
                return Err(Fault::ChunkTooLong);
            }
            // Readers that hold sizes in a signed number go astray from 2^63 on.
            if *size >= 1 << 59 {
                return Err(Fault::BadChunkSize);
            }
            Ok(State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) })
        }
        (State::SizeEnd { size: 0 }, b'\n') => Ok(State::Trailer { section: BytesMut::new(), scanned: 0 }),
        (State::SizeEnd { size }, b'\n') => Ok(State::Data { left: *size }),
        (State::SizeEnd { .. }, _) => Err(Fault::BareCr),
        (State::DataCr, b'\r') => Ok(State::DataLf),
        (State::DataLf, b'\n') => Ok(State::Size { digits: 0, size: 0 }),
        (State::DataCr | State::DataLf, _) => Err(Fault::BadChunkEnd),
        (State::Data { .. } | State::Trailer { .. } | State::Done | State::Failed(_), _) => Err(Fault::BadChunkEnd),
    }
}

/// Reads on in the trailer section: how much of `input` belonged to it, and its fields.
fn read_trailers(section: &mut BytesMut, scanned: &mut usize, input: &[u8]) -> Result<Option<(usize, Fields)>, Fault> {
    if section.is_empty() && input.starts_with(b"\r\n") {
        return Ok(Some((2, Fields::default())));
    }
    let before = section.len();
    let room = TRAILER_BYTES_MAX - before;
    section.extend_from_slice(&input[..input.len().min(room)]);
    let found = find_end(Section::Trailer, section, 0, scanned, |_| Ok(()));
    let Some(end) = found.map_err(|_| Fault::BadTrailer)? else {
        return if section.len() == TRAILER_BYTES_MAX { Err(Fault::BadTrailer) } else { Ok(None) };
    };
    let bytes: Bytes = section.split_to(end).freeze();
    let fields = Fields::read(bytes, 0, TRAILER_FIELDS_MAX).map_err(|_| Fault::BadTrailer)?;
    if fields.iter().any(|(name, _)| is_forbidden_trailer(name)) {
        return Err(Fault::ForbiddenTrailer);
    }
    Ok(Some((end - before, fields)))
}

/// Fields that a recipient acts on before it has seen the body, so that one in a trailer means
/// different things to readers that merge trailers and readers that do not (RFC 9110 section 6.5.1).
fn is_forbidden_trailer(name: &str) -> bool {
    FORBIDDEN_TRAILERS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

const FORBIDDEN_TRAILERS: &[&str] = &[
    // Framing.
    "Transfer-Encoding",
    "Content-Length",
    "Trailer",
    // Routing, and what belongs to the connection.
    "Host",
    "Connection",
    "Proxy-Connection",
    "Keep-Alive",
    "TE",
    "Upgrade",
    "HTTP2-Settings",
    "Max-Forwards",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    // Authentication.
    "Authorization",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "Proxy-Authentication-Info",
    "WWW-Authenticate",
    "Cookie",
    "Set-Cookie",
    // Controls and conditions of a request.
    "Expect",
    "Range",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "If-Range",
    "Pragma",
    // Control data of a response.
    "Age",
    "Cache-Control",
    "Date",
    "Expires",
    "Location",
    "Retry-After",
    "Vary",
    "Warning",
    // How the content is to be read.
    "Content-Type",
    "Content-Encoding",
    "Content-Range",
];

/// Writes the size line of a chunk. The data and [`CHUNK_DATA_END`] must follow. A chunk of no
/// bytes would end the body, hence the type.
pub fn encode_chunk_head(out: &mut BytesMut, len: NonZeroUsize) {
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        out.put_u8(b"0123456789abcdef"[(len.get() >> (place * 4)) & 0xf]);
    }
    out.put_slice(b"\r\n");
}

/// Writes the end of a body: the last chunk, the trailers as they came, and the empty line.
pub fn encode_last_chunk(out: &mut BytesMut, trailers: &Fields) {
    out.put_slice(b"0\r\n");
    for (name, value) in trailers.iter() {
        out.put_slice(name.as_bytes());
        out.put_slice(b": ");
        out.put_slice(value);
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests;

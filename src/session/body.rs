use std::num::NonZeroUsize;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::tcp;

use crate::evidence::Carried;
use crate::facts::Party;
use crate::parse::{Body, CHUNK_DATA_END, ChunkedReader, Fault, Fields, Step, encode_chunk_head, encode_last_chunk};
use crate::tls::{ReadHalf, WriteHalf};

use super::io::{Pace, write_paced};
use super::pipe::Pipe;
use super::why::Why;

/// One of the two that talk through the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Client,
    Origin,
}

/// How an exchange ended badly, and by whom.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) by: Party,
    /// Its connection is gone: nothing more can be said on it.
    pub(super) lost: bool,
    /// It was let out and is not any more.
    pub(super) denied: bool,
    pub(super) why: Why,
}

impl Failure {
    /// A failure that leaves the connection of whoever is at fault as it is.
    pub(super) fn new(by: Party, why: Why) -> Self {
        Self { by, lost: false, denied: false, why }
    }
}

impl Peer {
    fn party(self) -> Party {
        match self {
            Peer::Client => Party::Client,
            Peer::Origin => Party::Origin,
        }
    }

    /// The peer ended its side, or went against what was agreed, where it still had something to send.
    pub(super) fn failed(self, code: &'static str) -> Failure {
        let status = match self {
            Peer::Client => 400,
            Peer::Origin => 502,
        };
        Failure::new(self.party(), Why::new(status, code))
    }

    /// The peer's connection is gone where it still had something to send or to take.
    pub(super) fn lost(self, code: &'static str) -> Failure {
        Failure { lost: true, ..self.failed(code) }
    }

    fn too_slow(self) -> Failure {
        let status = match self {
            Peer::Client => 408,
            Peer::Origin => 504,
        };
        Failure::new(self.party(), Why::new(status, "body_timeout"))
    }

    /// The peer sent what can be read in two ways.
    pub(super) fn fault(self, fault: Fault) -> Failure {
        let why = match self {
            Peer::Client => Why::of_fault(fault),
            Peer::Origin => Why::of_origin_fault(fault),
        };
        Failure::new(self.party(), why)
    }
}

/// Reads at once, at most.
const READ_BYTES: usize = 64 * 1024;
/// A body of known length with more than this left moves by splice(2).
const SPLICE_BYTES_MIN: u64 = 128 * 1024;

/// Copies one body from peer to peer, a buffer at a time: its framing is read strictly and written
/// anew, and back-pressure holds because nothing is read before what was read is written.
pub(super) struct Copying<'a> {
    pub(super) body: Body,
    pub(super) from: Peer,
    pub(super) to: Peer,
    /// Write the chunked coding.
    pub(super) chunked: bool,
    /// How long both ways may stand still before the peer that is waited for has failed.
    pub(super) pace: &'a Pace,
    /// Bytes written so far, framing included.
    pub(super) count: &'a mut u64,
    /// What looks at the body as it passes, as long as there is something to see.
    pub(super) carried: Option<&'a mut Carried>,
}

impl Copying<'_> {
    /// Copies to the body's end. `buffer` holds what was read ahead; `out` what is to be written in
    /// front, so that a head and the first of its body go in one write.
    pub(super) async fn run(
        &mut self,
        reader: &mut ReadHalf<'_>,
        buffer: &mut BytesMut,
        writer: &mut WriteHalf<'_>,
        mut out: BytesMut,
    ) -> Result<(), Failure> {
        match self.body {
            Body::None => self.write(writer, &mut out).await,
            Body::Length(length) if !self.chunked => self.copy_length(reader, buffer, writer, out, length).await,
            Body::Length(_) | Body::Chunked | Body::UntilClose => self.copy_framed(reader, buffer, writer, out).await,
        }?;
        if let Some(carried) = &mut self.carried {
            carried.end();
        }
        Ok(())
    }

    fn show(&mut self, data: &[u8]) {
        if let Some(carried) = &mut self.carried {
            carried.pass(data);
        }
    }

    /// Whether the bytes that come next have to come here.
    fn looks_on(&self) -> bool {
        self.carried.as_ref().is_some_and(|carried| carried.looks_on())
    }

    async fn copy_length(
        &mut self,
        reader: &mut ReadHalf<'_>,
        buffer: &mut BytesMut,
        writer: &mut WriteHalf<'_>,
        mut out: BytesMut,
        mut left: u64,
    ) -> Result<(), Failure> {
        loop {
            let here = buffer.split_to(buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            left -= here.len() as u64;
            self.show(&here);
            if out.is_empty() {
                out = here;
            } else {
                out.extend_from_slice(&here);
            }
            self.write(writer, &mut out).await?;
            if left == 0 {
                return Ok(());
            }
            if left >= SPLICE_BYTES_MIN
                && !self.looks_on()
                && let (Some(reader), Some(writer)) = (reader.plain(), writer.plain())
                && let Ok(pipe) = Pipe::take()
            {
                return self.splice(reader, writer, pipe, left).await;
            }
            let most = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
            if !self.read(reader, buffer, most).await? {
                return Err(self.from.failed("body_too_short"));
            }
        }
    }

    /// The rest of a body of known length, without bringing it here.
    async fn splice(
        &mut self,
        reader: &tcp::ReadHalf<'_>,
        writer: &tcp::WriteHalf<'_>,
        mut pipe: Pipe,
        mut left: u64,
    ) -> Result<(), Failure> {
        while left > 0 {
            match self.pace.wait(reader.readable()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(self.from.lost("reset")),
                Err(()) => return Err(self.from.too_slow()),
            }
            match pipe.fill(reader.as_ref(), usize::try_from(left).unwrap_or(usize::MAX)) {
                Ok(0) => return Err(self.from.failed("body_too_short")),
                Ok(count) => left -= count as u64,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(_) => return Err(self.from.lost("reset")),
            }
            while !pipe.is_empty() {
                match self.pace.wait(writer.writable()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Err(self.to.lost("write_failed")),
                    Err(()) => return Err(self.to.too_slow()),
                }
                match pipe.drain(writer.as_ref()) {
                    Ok(count) => *self.count += count,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return Err(self.to.lost("write_failed")),
                }
            }
        }
        pipe.give_back();
        Ok(())
    }

    async fn copy_framed(
        &mut self,
        reader: &mut ReadHalf<'_>,
        buffer: &mut BytesMut,
        writer: &mut WriteHalf<'_>,
        mut out: BytesMut,
    ) -> Result<(), Failure> {
        let mut left = match self.body {
            Body::Length(length) => Some(length),
            Body::None | Body::Chunked | Body::UntilClose => None,
        };
        let mut chunks = (self.body == Body::Chunked).then(ChunkedReader::new);
        let mut ended = false;
        while !ended {
            if let Some(decoder) = &mut chunks {
                let (from, chunked) = (self.from, self.chunked);
                let put = |out: &mut BytesMut, data: &[u8]| {
                    self.show(data);
                    put_data(out, data, chunked);
                };
                let end = decode(decoder, buffer, &mut out, put).map_err(|fault| from.fault(fault));
                if end.is_err() && !out.is_empty() {
                    // What came whole before the fault is not held back.
                    self.write(writer, &mut out).await?;
                }
                if let Some(trailers) = end? {
                    if self.chunked {
                        encode_last_chunk(&mut out, &trailers);
                    }
                    ended = true;
                }
            } else {
                let most = left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
                let here = buffer.split_to(buffer.len().min(most));
                self.show(&here);
                put_data(&mut out, &here, self.chunked);
                if let Some(left) = &mut left {
                    *left -= here.len() as u64;
                    ended = *left == 0;
                }
            }
            if ended && self.body != Body::Chunked && self.chunked {
                encode_last_chunk(&mut out, &Fields::default());
            }
            self.write(writer, &mut out).await?;
            if !ended && !self.read(reader, buffer, READ_BYTES).await? {
                if self.body != Body::UntilClose {
                    return Err(self.from.failed("body_too_short"));
                }
                if self.chunked {
                    encode_last_chunk(&mut out, &Fields::default());
                    self.write(writer, &mut out).await?;
                }
                ended = true;
            }
        }
        Ok(())
    }

    async fn write(&mut self, writer: &mut WriteHalf<'_>, out: &mut BytesMut) -> Result<(), Failure> {
        if out.is_empty() {
            return Ok(());
        }
        write_paced(writer, out, self.pace).await.map_err(|()| self.to.lost("write_failed"))?;
        *self.count += out.len() as u64;
        out.clear();
        Ok(())
    }

    /// False at the end of the stream.
    async fn read(&mut self, reader: &mut ReadHalf<'_>, buffer: &mut BytesMut, most: usize) -> Result<bool, Failure> {
        buffer.reserve(most.max(1024));
        match self.pace.wait(reader.read_buf(buffer)).await {
            Ok(Ok(0)) => Ok(false),
            Ok(Ok(_)) => Ok(true),
            Ok(Err(_)) => Err(self.from.lost("reset")),
            Err(()) => Err(self.from.too_slow()),
        }
    }
}

fn put_data(out: &mut BytesMut, data: &[u8], chunked: bool) {
    let Some(length) = NonZeroUsize::new(data.len()) else { return };
    if chunked {
        encode_chunk_head(out, length);
    }
    out.extend_from_slice(data);
    if chunked {
        out.extend_from_slice(CHUNK_DATA_END);
    }
}

/// Decodes what has arrived, and puts each part of it out; the trailers once the body has ended.
fn decode(
    reader: &mut ChunkedReader,
    buffer: &mut BytesMut,
    out: &mut BytesMut,
    mut put: impl FnMut(&mut BytesMut, &[u8]),
) -> Result<Option<Fields>, Fault> {
    loop {
        match reader.step(buffer)? {
            Step::Data { data, consumed } => {
                put(out, data);
                let _ = buffer.split_to(consumed);
            }
            Step::NeedMore { consumed } => {
                let _ = buffer.split_to(consumed);
                return Ok(None);
            }
            Step::End { consumed, trailers } => {
                let _ = buffer.split_to(consumed);
                return Ok(Some(trailers));
            }
        }
    }
}

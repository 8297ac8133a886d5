//! Bodies between a pipe and a stream, a piece at a time: nothing is read before what was read is taken.

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::parse::{Body, CHUNK_DATA_END, ChunkedReader, Fields, Step, encode_chunk_head};

use super::message::{Framing, last_chunk, trailers_message};

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// A stream that ended before its message did, by whichever side.
#[derive(Debug)]
pub(super) struct Cut;

impl From<h2::Error> for Cut {
    fn from(_: h2::Error) -> Self {
        Self
    }
}

impl From<std::io::Error> for Cut {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// Sends what is read from the pipe, of which `buffer` has come already, as the body of a stream. What ends before its
/// time, or is no body, resets the stream, so that nobody takes it for whole.
pub(super) async fn push(
    from: &mut (impl AsyncRead + Unpin),
    buffer: BytesMut,
    body: Body,
    to: &mut SendStream<Bytes>,
    limit: Duration,
) -> Result<(), Cut> {
    let pushed = push_all(from, buffer, body, to, limit).await;
    if pushed.is_err() {
        to.send_reset(Reason::INTERNAL_ERROR);
    }
    pushed
}

async fn push_all(
    from: &mut (impl AsyncRead + Unpin),
    mut buffer: BytesMut,
    body: Body,
    to: &mut SendStream<Bytes>,
    limit: Duration,
) -> Result<(), Cut> {
    let mut left = match body {
        Body::None => Some(0),
        Body::Length(length) => Some(length),
        Body::Chunked | Body::UntilClose => None,
    };
    let mut chunks = (body == Body::Chunked).then(ChunkedReader::new);
    loop {
        let (data, trailers) = match (&mut chunks, &mut left) {
            (Some(chunks), _) => decode(chunks, &mut buffer)?,
            (None, Some(left)) => {
                let data = buffer.split_to(buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX)));
                *left -= data.len() as u64;
                (data.freeze(), (*left == 0).then(Fields::default))
            }
            (None, None) => (buffer.split().freeze(), None),
        };
        if let Some(trailers) = trailers {
            let ends = trailers.is_empty();
            send(data, ends, to, limit).await?;
            if !ends {
                to.send_trailers(trailers_message(&trailers).map_err(|_| Cut)?)?;
            }
            return Ok(());
        }
        if !data.is_empty() {
            send(data, false, to, limit).await?;
        }
        buffer.reserve(READ_BYTES);
        let count = tokio::select! {
            biased;
            count = from.read_buf(&mut buffer) => count?,
            _ = poll_fn(|context| to.poll_reset(context)) => return Err(Cut),
        };
        if count == 0 {
            if body != Body::UntilClose {
                return Err(Cut);
            }
            return send(Bytes::new(), true, to, limit).await;
        }
    }
}

/// The data in what has arrived, and the trailers once the body has ended.
fn decode(chunks: &mut ChunkedReader, buffer: &mut BytesMut) -> Result<(Bytes, Option<Fields>), Cut> {
    let mut out = BytesMut::new();
    loop {
        match chunks.step(buffer).map_err(|_| Cut)? {
            Step::Data { data, consumed } => {
                out.extend_from_slice(data);
                let _ = buffer.split_to(consumed);
            }
            Step::NeedMore { consumed } => {
                let _ = buffer.split_to(consumed);
                return Ok((out.freeze(), None));
            }
            Step::End { consumed, trailers } => {
                let _ = buffer.split_to(consumed);
                return Ok((out.freeze(), Some(trailers)));
            }
        }
    }
}

/// Sends as fast as the other side makes room for it.
async fn send(mut data: Bytes, ends: bool, to: &mut SendStream<Bytes>, limit: Duration) -> Result<(), Cut> {
    while !data.is_empty() {
        to.reserve_capacity(data.len());
        let room = match timeout(limit, poll_fn(|context| to.poll_capacity(context))).await {
            Ok(Some(Ok(room))) => room,
            Ok(Some(Err(_)) | None) | Err(_) => return Err(Cut),
        };
        let piece = data.split_to(room.min(data.len()));
        to.send_data(piece, ends && data.is_empty())?;
        if data.is_empty() {
            return Ok(());
        }
    }
    if ends {
        to.send_data(Bytes::new(), true)?;
    }
    Ok(())
}

/// Writes the body of a stream into the pipe, and makes room for more of it as it is taken.
pub(super) async fn pull(
    from: &mut RecvStream,
    to: &mut (impl AsyncWrite + Unpin),
    framing: Framing,
) -> Result<(), Cut> {
    let is_chunked = framing == Framing::Chunked;
    while let Some(data) = from.data().await {
        let data = data?;
        if let Some(length) = NonZeroUsize::new(data.len()) {
            if is_chunked {
                let mut head = BytesMut::with_capacity(20);
                encode_chunk_head(&mut head, length);
                to.write_all(&head).await?;
            }
            to.write_all(&data).await?;
            if is_chunked {
                to.write_all(CHUNK_DATA_END).await?;
            }
        }
        from.flow_control().release_capacity(data.len())?;
    }
    if is_chunked {
        let trailers = from.trailers().await?;
        to.write_all(&last_chunk(trailers.as_ref())).await?;
    }
    Ok(())
}

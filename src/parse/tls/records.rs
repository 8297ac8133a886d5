//! The record layer under a ClientHello: one handshake message out of as many records as the client
//! chose to cut it into (RFC 8446 section 5.1).

use std::borrow::Cow;

use super::{HelloFault, HelloLimits};

const CONTENT_HANDSHAKE: u8 = 22;
pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const RECORD_HEADER_BYTES: usize = 5;
/// RFC 8446 section 5.1: a plaintext record carries at most 2^14 bytes.
const RECORD_PAYLOAD_BYTES_MAX: usize = 1 << 14;
pub(super) const MESSAGE_HEADER_BYTES: usize = 4;

/// The body of the ClientHello, put together from its records; `None` while it is short.
pub(super) fn client_hello<'a>(bytes: &'a [u8], limits: &HelloLimits) -> Result<Option<Cow<'a, [u8]>>, HelloFault> {
    let mut header = Vec::with_capacity(MESSAGE_HEADER_BYTES);
    let (mut at, mut gathered, mut records) = (0, 0, 0);
    loop {
        // Even the smallest record would not fit: said before the client sends it.
        if at + RECORD_HEADER_BYTES >= limits.bytes_max || records == limits.records_max {
            return Err(HelloFault::TooLong);
        }
        let Some(length) = record_length(&bytes[at..], at == 0)? else {
            return Ok(None);
        };
        records += 1;
        let start = at + RECORD_HEADER_BYTES;
        at = start + length;
        if at > limits.bytes_max {
            return Err(HelloFault::TooLong);
        }
        let payload = &bytes[start..at.min(bytes.len())];

        let missing = MESSAGE_HEADER_BYTES - header.len();
        header.extend(payload.iter().take(missing));
        gathered += length;
        let whole = message_bytes(&header)?;
        if let Some(whole) = whole {
            if whole > limits.bytes_max {
                return Err(HelloFault::TooLong);
            }
            // The flight ends with the hello (RFC 8446 section 5.1: no message spans a key change),
            // so nothing honest shares its record.
            if gathered > whole {
                return Err(HelloFault::Malformed("bytes after the hello in its record"));
            }
        }
        if payload.len() < length {
            return Ok(None);
        }
        if whole == Some(gathered) {
            break;
        }
    }
    if records == 1 {
        return Ok(Some(Cow::Borrowed(&bytes[RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES..at])));
    }
    let body = unframed(&bytes[..at], gathered).split_off(MESSAGE_HEADER_BYTES);
    Ok(Some(Cow::Owned(body)))
}

/// The payload length in the record header at the start of `bytes`; `None` while the header is
/// short. Every byte is judged as it arrives.
fn record_length(bytes: &[u8], first: bool) -> Result<Option<usize>, HelloFault> {
    match bytes.first() {
        None => return Ok(None),
        Some(&CONTENT_HANDSHAKE) => {}
        // change_cipher_spec, alert, application_data, heartbeat
        Some(20..=24) => return Err(HelloFault::NotHandshake),
        Some(_) if first => return Err(HelloFault::NotTls),
        Some(_) => return Err(HelloFault::NotHandshake),
    }
    if bytes.get(1).is_some_and(|major| *major != 3) || bytes.get(2).is_some_and(|minor| *minor > 4) {
        return Err(if first { HelloFault::NotTls } else { HelloFault::Malformed("record version") });
    }
    let Some(&[high, low]) = bytes.get(3..RECORD_HEADER_BYTES).and_then(<[u8]>::first_chunk) else {
        return Ok(None);
    };
    match usize::from(u16::from_be_bytes([high, low])) {
        // Forbidden by RFC 8446 section 5.1, and work for us at no cost to the client.
        0 => Err(HelloFault::Malformed("empty record")),
        length if length > RECORD_PAYLOAD_BYTES_MAX => Err(HelloFault::Malformed("record length")),
        length => Ok(Some(length)),
    }
}

/// The length of the whole message, its header included, once that header is there.
fn message_bytes(header: &[u8]) -> Result<Option<usize>, HelloFault> {
    if header.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(HelloFault::NotClientHello);
    }
    let Some(&[_, high, middle, low]) = header.first_chunk() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, high, middle, low]);
    Ok(Some(MESSAGE_HEADER_BYTES + length as usize))
}

/// Payloads of whole records, already judged, without the headers between them.
fn unframed(mut records: &[u8], payload_bytes: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(payload_bytes);
    while let Some((&[_, _, _, high, low], rest)) = records.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (payload, next) = rest.split_at(length);
        message.extend_from_slice(payload);
        records = next;
    }
    message
}

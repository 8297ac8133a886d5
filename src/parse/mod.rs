//! Bytes to facts, sans-I/O: the strict HTTP/1 head and framing codec, request targets, the TLS
//! ClientHello, the opening of an HTTP/2 connection, and sniffing of the first bytes of tunnels and of
//! bodies.
//!
//! In: bytes as they arrived, and limits. Out: a value that cannot be wrong, or the name of the
//! fault. Never reads a socket or a clock, never guesses, never repairs.

mod fault;
mod fields;
mod head;
mod framing;
mod chunked;
mod target;
mod request;
mod sniff;
mod body_type;
mod file_name;
mod ja4;
mod tls;
mod first;
mod http2;
mod via;
mod document;
#[doc(hidden)]
pub mod properties;

pub use body_type::{BODY_TYPE_BYTES, BodyType, Carrier, Coding};
pub use chunked::{CHUNK_DATA_END, ChunkedReader, Step, encode_chunk_head, encode_last_chunk};
pub use document::{Document, Place, Placed, Problem, Section, did_you_mean};
pub use fault::Fault;
pub use fields::{Fields, HopByHop, asks_to_vouch_for_connection, hop_by_hop, is_token_byte};
pub use file_name::{FileName, double_extension, turns_direction};
pub use first::{FirstBytes, may_become_tls_or_connect, read_first_bytes};
pub use framing::{Body, check_ahead, expects_continue, keep_alive, request_body, response_body};
pub use head::{HeadLimits, RequestHead, ResponseHead, Version, take_request_head, take_response_head};
pub use http2::{Http2Opening, Http2Read, Http2Tap, OPENING_BYTES_MAX, PseudoField, read_http2_opening};
pub use request::{Form, Request, connect_head, examine, examine_captured, max_forwards, understand, understand_inner};
pub use sniff::{Sniffed, is_connect, sniff};
pub use target::{parse_absolute, parse_authority, parse_connect, referer_host};
pub use tls::{HelloFault, HelloLimits, HelloRead, read_hello};
pub use via::{via_line, via_names};

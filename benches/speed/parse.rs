//! What it costs to read what peers send. Heads are copied into a fresh buffer for each call, as they
//! come from a socket.

use bytes::{BufMut, BytesMut};

use sekisho::parse::{
    CHUNK_DATA_END, ChunkedReader, Fields, HeadLimits, HelloLimits, HelloRead, Step, encode_chunk_head,
    encode_last_chunk, read_hello, take_request_head, take_response_head, understand,
};

use crate::harness::{Bencher, Scenario};
use crate::hex;

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("parse::request_browser", |b| request(b, BROWSER)),
    ("parse::request_curl", |b| request(b, CURL)),
    ("parse::request_connect", |b| request(b, CONNECT)),
    ("parse::response", |b| response(b, RESPONSE)),
    ("parse::hello_chromium", |b| hello(CHROMIUM).bench(b)),
    ("parse::hello_firefox", |b| hello(FIREFOX).bench(b)),
    ("parse::hello_curl", |b| hello(CURL_HELLO).bench(b)),
    ("parse::hello_chromium_16_pieces", |b| hello(CHROMIUM).in_pieces(16).bench(b)),
    ("parse::chunked_64_of_16_kib", |b| chunked(64, 16 * 1024).bench(b)),
    ("parse::chunked_16_384_of_64_bytes", |b| chunked(16_384, 64).bench(b)),
];

const CHROMIUM: &str = include_str!("../../tests/data/hellos/chromium.hex");
const FIREFOX: &str = include_str!("../../tests/data/hellos/firefox.hex");
const CURL_HELLO: &str = include_str!("../../tests/data/hellos/curl.hex");

const BROWSER: &str = "GET http://www.shop.example/catalogue/spring?page=3&sort=price HTTP/1.1\r\n\
    Host: www.shop.example\r\nProxy-Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 \
    Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n\
    Referer: http://www.shop.example/catalogue\r\nAccept-Encoding: gzip, deflate\r\n\
    Accept-Language: ja,en-US;q=0.9,en;q=0.8\r\nCookie: session=4f6d0a3b9c1e7d28; seen=1\r\n\r\n";
const CURL: &str = "GET http://www.shop.example/ HTTP/1.1\r\nHost: www.shop.example\r\nUser-Agent: curl/8.14.1\r\n\
    Accept: */*\r\nProxy-Connection: Keep-Alive\r\n\r\n";
const CONNECT: &str = "CONNECT www.shop.example:443 HTTP/1.1\r\nHost: www.shop.example:443\r\n\
    Proxy-Connection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/142.0.0.0 Safari/537.36\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 24 Nov 2026 09:00:00 GMT\r\n\
    Content-Type: text/html; charset=utf-8\r\nContent-Length: 18273\r\nLast-Modified: Mon, 23 Nov 2026 21:14:03 GMT\r\n\
    Connection: keep-alive\r\nETag: \"6a1f03b5-4761\"\r\nCache-Control: max-age=600\r\nAccept-Ranges: bytes\r\n\r\n";

fn request(b: &mut Bencher, text: &str) {
    b.iter(|| {
        let mut buffer = BytesMut::from(text);
        let head = take_request_head(&mut buffer, &HeadLimits::default(), &mut 0).unwrap().unwrap();
        understand(head).unwrap()
    });
}

fn response(b: &mut Bencher, text: &str) {
    b.iter(|| {
        let mut buffer = BytesMut::from(text);
        take_response_head(&mut buffer, &HeadLimits::default(), &mut 0).unwrap().unwrap()
    });
}

/// A ClientHello, given in hexadecimal.
fn hello(text: &str) -> GivenHello {
    GivenHello { bytes: hex(text), pieces: 1 }
}

struct GivenHello {
    bytes: Vec<u8>,
    pieces: usize,
}

impl GivenHello {
    /// It arrives in so many segments, and is looked at after each.
    fn in_pieces(mut self, pieces: usize) -> Self {
        self.pieces = pieces;
        self
    }

    /// Reads it whole, JA4 and stable key included.
    fn bench(self, b: &mut Bencher) {
        let whole = self.bytes.len();
        b.iter(|| {
            let arrived = (1..=self.pieces).map(|piece| whole * piece / self.pieces);
            let mut last = HelloRead::Incomplete;
            for length in arrived {
                last = read_hello(&self.bytes[..length], &HelloLimits::default()).unwrap();
            }
            assert!(matches!(last, HelloRead::Hello(_)));
            last
        });
    }
}

/// A chunked body.
fn chunked(chunks: usize, chunk_bytes: usize) -> GivenBody {
    let mut wire = BytesMut::new();
    for _ in 0..chunks {
        encode_chunk_head(&mut wire, chunk_bytes.try_into().unwrap());
        wire.put_bytes(b'x', chunk_bytes);
        wire.put_slice(CHUNK_DATA_END);
    }
    encode_last_chunk(&mut wire, &Fields::default());
    GivenBody { wire, chunks, bytes: chunks * chunk_bytes }
}

struct GivenBody {
    wire: BytesMut,
    chunks: usize,
    bytes: usize,
}

impl GivenBody {
    /// Finds the data in it; a unit is a chunk.
    fn bench(self, b: &mut Bencher) {
        b.units(self.chunks as u64, "chunk").iter(|| {
            let (mut reader, mut rest, mut found) = (ChunkedReader::new(), &self.wire[..], 0);
            loop {
                match reader.step(rest).unwrap() {
                    Step::Data { data, consumed } => {
                        found += data.len();
                        rest = &rest[consumed..];
                    }
                    Step::NeedMore { .. } => unreachable!("the body is whole"),
                    Step::End { .. } => break,
                }
            }
            assert_eq!(found, self.bytes);
        });
    }
}

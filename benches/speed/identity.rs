//! What it costs to know a program by what it shows: its claim, what speaks against that, and its key.

use bytes::BytesMut;

use sekisho::facts::{Client, Hello, Host};
use sekisho::identity::{Browsers, Face, InnerSeen, Seen, program_key};
use sekisho::parse::{
    HeadLimits, HelloLimits, HelloRead, Http2Tap, RequestHead, parse_authority, read_hello, take_request_head,
};

use crate::harness::{Bencher, Scenario};
use crate::hex;

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("identity::tunnel_of_chromium", |b| tunnel(b, CHROMIUM, CHROME)),
    ("identity::tunnel_of_firefox", |b| tunnel(b, FIREFOX, GECKO)),
    ("identity::tunnel_of_a_lie", |b| tunnel(b, CURL, CHROME)),
    ("identity::tunnel_of_no_browser", |b| tunnel(b, CURL, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n")),
    ("identity::request_of_chromium", |b| request(b, PLAIN)),
    ("identity::request_inside_chromium", |b| inside(b, INSIDE, OPENING)),
    ("identity::opening_of_chromium", |b| opening(b, OPENING)),
];

const CHROMIUM: &str = include_str!("../../tests/data/hellos/chromium.hex");
const FIREFOX: &str = include_str!("../../tests/data/hellos/firefox.hex");
const CURL: &str = include_str!("../../tests/data/hellos/curl.hex");

const CHROME: &str = "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nProxy-Connection: keep-alive\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 \
    Safari/537.36\r\n\r\n";
const GECKO: &str = "CONNECT a.test:443 HTTP/1.1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) \
    Gecko/20100101 Firefox/153.0\r\nProxy-Connection: keep-alive\r\nConnection: keep-alive\r\nHost: a.test:443\r\n\r\n";
const PLAIN: &str = "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nProxy-Connection: keep-alive\r\n\
    Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/156.0.0.0 Safari/537.36\r\nAccept: text/html\r\nAccept-Encoding: gzip, deflate\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\r\n";

const INSIDE: &str = "GET / HTTP/1.1\r\nHost: a.test\r\nsec-ch-ua: \"Not:A-Brand\";v=\"8\", \"Chromium\";v=\"156\"\r\n\
    sec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\nupgrade-insecure-requests: 1\r\nuser-agent: Mozilla/5.0 (X11; \
    Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\naccept: text/html\r\n\
    sec-fetch-site: none\r\nsec-fetch-mode: navigate\r\nsec-fetch-user: ?1\r\nsec-fetch-dest: document\r\n\
    accept-encoding: gzip, deflate, br, zstd\r\naccept-language: en-US,en;q=0.9\r\npriority: u=0, i\r\n\r\n";
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\x18\x04\0\0\0\0\0\0\x01\0\x01\0\0\0\x02\0\0\0\0\0\x04\0\x60\0\0\0\x06\0\x04\0\0\
    \0\0\x04\x08\0\0\0\0\0\0\xef\0\x01\0\0\x0b\x01\x05\0\0\0\x01\x82\x41\x06a.test\x87\x84";

fn head(text: &str) -> RequestHead {
    take_request_head(&mut BytesMut::from(text), &HeadLimits::default(), &mut 0).unwrap().unwrap()
}

fn read(text: &str) -> Hello {
    match read_hello(&hex(text), &HelloLimits::default()).unwrap() {
        HelloRead::Hello(hello) => hello,
        HelloRead::Incomplete => panic!("the sample is whole"),
    }
}

fn tunnel(b: &mut Bencher, hello: &str, connect: &str) {
    let (browsers, hello, head) = (Browsers::built_in().unwrap(), read(hello), head(connect));
    let client = Client::at("10.20.3.4:40000".parse().unwrap());
    let (host, port) = parse_authority(head.target()).unwrap();
    let connect = Some((&host, port.unwrap()));
    b.iter(|| {
        let user_agent = head.fields.get("user-agent");
        let claim = browsers.claim(user_agent);
        let grounds =
            claim.check(&Seen { head: &head, connect, inner: None, hello: Some(&hello), faces: &[], learnt: None });
        (grounds, program_key(&client, user_agent, &Face::of_hello(&claim, &hello)))
    });
}

fn request(b: &mut Bencher, plain: &str) {
    let (browsers, head) = (Browsers::built_in().unwrap(), head(plain));
    let client = Client::at("10.20.3.4:40000".parse().unwrap());
    b.iter(|| {
        let user_agent = head.fields.get("user-agent");
        let claim = browsers.claim(user_agent);
        let grounds =
            claim.check(&Seen { head: &head, connect: None, inner: None, hello: None, faces: &[], learnt: None });
        (grounds, program_key(&client, user_agent, &Face::of_head(&claim, &head)))
    });
}

fn inside(b: &mut Bencher, text: &str, opening: &[u8]) {
    let (browsers, head, host) = (Browsers::built_in().unwrap(), head(text), Host::parse(b"a.test").unwrap());
    let mut tap = Http2Tap::new();
    tap.feed(opening);
    let inner = Some(InnerSeen { host: &host, opening: tap.opening() });
    b.iter(|| {
        let claim = browsers.claim(head.fields.get("user-agent"));
        claim.check(&Seen { head: &head, connect: None, inner, hello: None, faces: &[], learnt: None })
    });
}

fn opening(b: &mut Bencher, bytes: &[u8]) {
    b.iter(|| {
        let mut tap = Http2Tap::new();
        tap.feed(bytes);
        tap
    });
}

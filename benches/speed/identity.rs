//! What it costs to know a program by what it shows: its claim, what speaks against that, and its key.

use bytes::BytesMut;

use sekisho::facts::{Client, Hello};
use sekisho::identity::{Browsers, Face, Seen, program_key};
use sekisho::parse::{HeadLimits, HelloLimits, HelloRead, RequestHead, parse_authority, read_hello, take_request_head};

use crate::harness::{Bencher, Scenario};
use crate::hex;

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("identity::tunnel_of_chromium", |b| tunnel(b, CHROMIUM, CHROME)),
    ("identity::tunnel_of_firefox", |b| tunnel(b, FIREFOX, GECKO)),
    ("identity::tunnel_of_a_lie", |b| tunnel(b, CURL, CHROME)),
    ("identity::tunnel_of_no_browser", |b| tunnel(b, CURL, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n")),
    ("identity::request_of_chromium", |b| request(b, PLAIN)),
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
    let client = Client { address: "10.20.3.4:40000".parse().unwrap(), user: None };
    let (host, port) = parse_authority(head.target()).unwrap();
    let connect = Some((&host, port.unwrap()));
    b.iter(|| {
        let user_agent = head.fields.get("user-agent");
        let claim = browsers.claim(user_agent);
        let grounds =
            claim.check(&Seen { head: &head, connect, inner: None, hello: Some(&hello), faces: &[], learnt: None });
        (grounds, program_key(&client, user_agent, &Face::of_hello(&hello)))
    });
}

fn request(b: &mut Bencher, plain: &str) {
    let (browsers, head) = (Browsers::built_in().unwrap(), head(plain));
    let client = Client { address: "10.20.3.4:40000".parse().unwrap(), user: None };
    b.iter(|| {
        let user_agent = head.fields.get("user-agent");
        let claim = browsers.claim(user_agent);
        let grounds =
            claim.check(&Seen { head: &head, connect: None, inner: None, hello: None, faces: &[], learnt: None });
        (grounds, program_key(&client, user_agent, &Face::of_head(&claim, &head)))
    });
}

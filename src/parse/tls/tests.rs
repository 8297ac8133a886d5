use super::records::{CLIENT_HELLO, MESSAGE_HEADER_BYTES, RECORD_HEADER_BYTES};
use super::*;
use crate::facts::TlsVersion;

const LIMITS: HelloLimits = HelloLimits { bytes_max: 32 * 1024, records_max: 4096 };

/// A recorded hello, its server name, ALPN, JA4 and stable key.
struct Sample {
    name: &'static str,
    hex: &'static str,
    sni: Option<&'static str>,
    alpn: &'static [&'static str],
    ja4: &'static str,
    stable_key: &'static str,
}

macro_rules! samples {
    ($($name:literal, $sni:expr, $alpn:expr, $ja4:literal, $stable_key:expr;)*) => {
        &[$(Sample {
            name: $name,
            hex: include_str!(concat!("../../../tests/data/hellos/", $name, ".hex")),
            sni: $sni,
            alpn: &$alpn,
            ja4: $ja4,
            stable_key: $stable_key,
        }),*]
    };
}

const CHROMIUM: &str = "8daaf6152771_59c40603786c_16388a73bc20";
const FIREFOX: &str = "86a278354501_7e7796f18773_aafe944a1ce0";
const FIREFOX_BACKGROUND: &str = "e7a2acfcf94e_7e7796f18773_48280f8d2289";
const PYTHON: &str = "85036bcba153_aa015b1ff546_af102e58d29b";

const SAMPLES: &[Sample] = samples! {
    "chromium", Some("update.googleapis.com"), ["h2", "http/1.1"], "t13d1517h2_8daaf6152771_cb7bf5808d99", CHROMIUM;
    "chromium-resumed", Some("site.test"), ["h2", "http/1.1"], "t13d1518h2_8daaf6152771_e2d80978ab2e", CHROMIUM;
    "chromium-websocket", Some("ws.test"), ["http/1.1"], "t13d1516h1_8daaf6152771_5b37b36a67c0", CHROMIUM;
    "chromium-address", None, ["h2", "http/1.1"], "t13i1516h2_8daaf6152771_cb7bf5808d99", CHROMIUM;
    "firefox", Some("ads.mozilla.org"), ["h2", "http/1.1"], "t13d1617h2_86a278354501_3cbfd9057e0d", FIREFOX;
    "firefox-resumed", Some("x.h1only.test"), ["h2", "http/1.1"], "t13d1617h2_86a278354501_e6dcd7ae0a9e", FIREFOX;
    "firefox-address", None, ["h2", "http/1.1"], "t13i1616h2_86a278354501_3cbfd9057e0d", FIREFOX;
    "firefox-background", Some("firefox.settings.services.mozilla.com"), ["h2", "http/1.1"], "t12d1311h2_e7a2acfcf94e_810e2f290f6f", FIREFOX_BACKGROUND;
    "curl", Some("a.test"), ["h2", "http/1.1"], "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6", "e8f1e7e78f70_aa015b1ff546_af102e58d29b";
    "wget", Some("a.test"), [], "t13d291300_723694b0fccc_899037bd0b8c", "723694b0fccc_ac650033a190_8180606ab83d";
    "requests", Some("a.test"), ["http/1.1"], "t13d1812h1_85036bcba153_b26ce05bbdd6", PYTHON;
    "httpx", Some("a.test"), ["http/1.1", "h2"], "t13d1812h1_85036bcba153_d41ae481755e", PYTHON;
    "aiohttp", Some("a.test"), [], "t13d181100_85036bcba153_d41ae481755e", PYTHON;
    "urllib", Some("a.test"), [], "t13d181100_85036bcba153_d41ae481755e", PYTHON;
    "rawsock", Some("a.test"), [], "t13d181100_85036bcba153_d41ae481755e", PYTHON;
    "node", Some("a.test"), ["http/1.1"], "t13d5911h1_a33745022dd6_1f22a2ca17c4", "a33745022dd6_aa015b1ff546_af102e58d29b";
    "go", Some("a.test"), ["h2", "http/1.1"], "t13d1910h2_9dc949149365_97f8aa674fd9", "9dc949149365_782dc9992993_48280f8d2289";
    "reqwest", Some("a.test"), ["h2", "http/1.1"], "t13d1011h2_61a7ad8aa9b6_3fcd1a44f3e3", "61a7ad8aa9b6_48c492be7041_f0a33928ed94";
    "openssl", Some("a.test"), [], "t13d311000_e8f1e7e78f70_1f22a2ca17c4", "e8f1e7e78f70_aa015b1ff546_af102e58d29b";
    "curl-cffi", Some("a.test"), ["h2", "http/1.1"], "t13d1516h2_8daaf6152771_806a8c22fdea", CHROMIUM;
};

impl Sample {
    fn bytes(&self) -> Vec<u8> {
        let digits = self.hex.trim().as_bytes();
        let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
        digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }
}

fn sample(name: &str) -> Vec<u8> {
    SAMPLES.iter().find(|sample| sample.name == name).unwrap().bytes()
}

fn whole(bytes: &[u8]) -> Hello {
    match read_hello(bytes, &LIMITS) {
        Ok(HelloRead::Hello(hello)) => hello,
        other => panic!("{other:?}"),
    }
}

/// The same handshake bytes in records of `payload_bytes`.
fn reframed(bytes: &[u8], payload_bytes: usize) -> Vec<u8> {
    bytes[RECORD_HEADER_BYTES..].chunks(payload_bytes).flat_map(record).collect()
}

fn record(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[22, 3, 1], &length[..], payload].concat()
}

fn with_u8_length(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn with_u16_length(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn message_of(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

/// A small hello whose parts can be spoilt one at a time.
struct Build {
    version: u16,
    session_id: Vec<u8>,
    ciphers: Vec<u8>,
    compression: Vec<u8>,
    extensions: Option<Vec<u8>>,
    trailing: Vec<u8>,
}

impl Build {
    fn new() -> Self {
        Self {
            version: 0x0303,
            session_id: Vec::new(),
            ciphers: vec![0x13, 0x01],
            compression: vec![0],
            extensions: None,
            trailing: Vec::new(),
        }
    }

    fn with(extensions: &[(u16, Vec<u8>)]) -> Self {
        let bytes =
            extensions.iter().flat_map(|(kind, data)| [&kind.to_be_bytes()[..], &with_u16_length(data)].concat());
        Self { extensions: Some(bytes.collect()), ..Self::new() }
    }

    fn body(&self) -> Vec<u8> {
        [
            &self.version.to_be_bytes()[..],
            &[7; RANDOM_BYTES],
            &with_u8_length(&self.session_id),
            &with_u16_length(&self.ciphers),
            &with_u8_length(&self.compression),
            &self.extensions.as_deref().map(with_u16_length).unwrap_or_default(),
            &self.trailing,
        ]
        .concat()
    }

    fn bytes(&self) -> Vec<u8> {
        record(&message_of(CLIENT_HELLO, &self.body()))
    }

    fn read(&self) -> Result<HelloRead, HelloFault> {
        read_hello(&self.bytes(), &LIMITS)
    }
}

fn sni_entry(kind: u8, name: &[u8]) -> Vec<u8> {
    [&[kind], &with_u16_length(name)[..]].concat()
}

fn sni_extension(name: &[u8]) -> (u16, Vec<u8>) {
    (extension::SERVER_NAME, with_u16_length(&sni_entry(0, name)))
}

#[test]
fn recorded_clients_have_the_fingerprints_measured() {
    for sample in SAMPLES {
        let hello = whole(&sample.bytes());
        assert_eq!(&*hello.ja4, sample.ja4, "{}", sample.name);
        assert_eq!(&*hello.stable_key, sample.stable_key, "{}", sample.name);
        assert_eq!(hello.sni.as_deref(), sample.sni, "{}", sample.name);
        let alpn: Vec<&[u8]> = hello.alpn.iter().map(|name| &**name).collect();
        let expected: Vec<&[u8]> = sample.alpn.iter().map(|name| name.as_bytes()).collect();
        assert_eq!(alpn, expected, "{}", sample.name);
    }
}

#[test]
fn only_browsers_and_their_imitator_send_ech() {
    for sample in SAMPLES {
        let expected = [CHROMIUM, FIREFOX].contains(&sample.stable_key);
        assert_eq!(whole(&sample.bytes()).ech, expected, "{}", sample.name);
    }
}

#[test]
fn version_is_the_highest_offered_and_never_grease() {
    let offered =
        |list: &[u8]| whole(&Build::with(&[(extension::SUPPORTED_VERSIONS, with_u8_length(list))]).bytes()).version;
    assert_eq!(whole(&sample("chromium")).version, TlsVersion::Tls13);
    assert_eq!(whole(&sample("firefox-background")).version, TlsVersion::Tls12);
    assert_eq!(offered(&[3, 2, 3, 3, 3, 1]), TlsVersion::Tls12);
    assert_eq!(offered(&[0xfa, 0xfa, 3, 4]), TlsVersion::Tls13);
    assert_eq!(offered(&[0x7f, 0x1c, 3, 3]), TlsVersion::Other(0x7f1c));
    assert_eq!(offered(&[0xfa, 0xfa]), TlsVersion::Tls12, "falls back to the legacy version");
}

#[test]
fn hello_without_extensions_is_whole() {
    let old = Build { version: 0x0301, ..Build::new() };
    let hello = whole(&old.bytes());
    assert_eq!(hello.version, TlsVersion::Tls10);
    assert_eq!(&hello.ja4[..10], "t10i010000");
    assert_eq!((hello.sni, hello.ech), (None, false));
    assert!(Build { extensions: Some(Vec::new()), ..Build::new() }.read().is_ok());
}

#[test]
fn every_proper_prefix_is_incomplete() {
    for sample in SAMPLES {
        for bytes in [sample.bytes(), reframed(&sample.bytes(), 3)] {
            for end in 0..bytes.len() {
                let read = read_hello(&bytes[..end], &LIMITS);
                assert_eq!(read, Ok(HelloRead::Incomplete), "{end} of {}", sample.name);
            }
            whole(&bytes);
        }
    }
}

#[test]
fn framing_does_not_change_the_hello() {
    for sample in SAMPLES {
        let bytes = sample.bytes();
        let expected = whole(&bytes);
        for payload_bytes in [1, 2, 3, 5, 64, 1000] {
            assert_eq!(whole(&reframed(&bytes, payload_bytes)), expected, "{}", sample.name);
        }
    }
    // A cut at every place, the four bytes of the message header included.
    let bytes = sample("go");
    let message = &bytes[RECORD_HEADER_BYTES..];
    for cut in 1..message.len() {
        let (left, right) = message.split_at(cut);
        assert_eq!(whole(&[record(left), record(right)].concat()), whole(&bytes), "{cut}");
    }
}

#[test]
fn what_follows_in_later_records_is_not_looked_at() {
    for tail in [&[][..], &[20, 3, 3, 0, 1, 1], b"garbage"] {
        let bytes = [sample("go"), tail.to_vec()].concat();
        assert_eq!(whole(&bytes), whole(&sample("go")));
    }
}

#[test]
fn other_protocols_and_messages_are_named() {
    let body = Build::new().body();
    let cases: &[(&str, Vec<u8>, HelloFault)] = &[
        ("http", b"GET".to_vec(), HelloFault::NotTls),
        ("ssl 2", vec![0x80, 0x2e, 1], HelloFault::NotTls),
        ("major version", vec![22, 2], HelloFault::NotTls),
        ("minor version", vec![22, 3, 5], HelloFault::NotTls),
        ("alert", vec![21], HelloFault::NotHandshake),
        ("application data", vec![23, 3, 3], HelloFault::NotHandshake),
        ("server hello", record(&message_of(2, &body)), HelloFault::NotClientHello),
        ("one byte of a hello request", vec![22, 3, 1, 0, 4, 0], HelloFault::NotClientHello),
        ("alert between two records", [record(&[1, 0, 0, 60]), vec![21]].concat(), HelloFault::NotHandshake),
        ("http between two records", [record(&[1, 0, 0, 60]), b"GET".to_vec()].concat(), HelloFault::NotHandshake),
        (
            "changed record version",
            [record(&[1, 0, 0, 60]), vec![22, 2]].concat(),
            HelloFault::Malformed("record version"),
        ),
        ("empty record", vec![22, 3, 1, 0, 0], HelloFault::Malformed("empty record")),
        ("record over 2^14", vec![22, 3, 1, 0x40, 1], HelloFault::Malformed("record length")),
    ];
    for (case, bytes, fault) in cases {
        assert_eq!(read_hello(bytes, &LIMITS), Err(*fault), "{case}");
    }
}

#[test]
fn lengths_that_disagree_are_malformed() {
    let malformed = |what| Err(HelloFault::Malformed(what));
    let extension = |kind, data: &[u8]| Build::with(&[(kind, data.to_vec())]).read();
    let new = Build::new;

    assert_eq!(Build { version: 0x0200, ..new() }.read(), malformed("version"));
    assert_eq!(Build { session_id: vec![0; 33], ..new() }.read(), malformed("session id"));
    assert!(Build { session_id: vec![0; 32], ..new() }.read().is_ok());
    assert_eq!(Build { ciphers: vec![], ..new() }.read(), malformed("cipher suites"));
    assert_eq!(Build { ciphers: vec![1, 2, 3], ..new() }.read(), malformed("cipher suites"));
    assert_eq!(Build { compression: vec![], ..new() }.read(), malformed("compression methods"));
    assert_eq!(Build { trailing: vec![0], ..new() }.read(), malformed("extensions"));
    let trailing = Build { extensions: Some(vec![]), trailing: vec![0], ..new() };
    assert_eq!(trailing.read(), malformed("bytes after the extensions"));
    let short = Build { extensions: Some(vec![0, 5, 0]), ..new() };
    assert_eq!(short.read(), malformed("extension length"));
    let beyond = Build { extensions: Some(vec![0, 5, 0, 1]), ..new() };
    assert_eq!(beyond.read(), malformed("extension length"));

    for (kind, what) in
        [(extension::SUPPORTED_GROUPS, "groups"), (extension::SIGNATURE_ALGORITHMS, "signature algorithms")]
    {
        assert!(extension(kind, &[0, 2, 4, 3]).is_ok());
        for data in [&[][..], &[0], &[0, 0], &[0, 1, 4], &[0, 3, 4, 3], &[0, 2, 4, 3, 0]] {
            assert_eq!(extension(kind, data), malformed(what), "{data:?}");
        }
    }
    for data in [&[][..], &[0], &[1, 3], &[3, 3, 4], &[2, 3, 4, 0]] {
        let read = extension(extension::SUPPORTED_VERSIONS, data);
        assert_eq!(read, malformed("supported versions"), "{data:?}");
    }
    assert!(extension(extension::ALPN, &[0, 3, 2, b'h', b'2']).is_ok());
    for data in [&[][..], &[0, 0], &[0, 1, 0], &[0, 3, 3, b'h', b'2'], &[0, 2, 1, b'h', 0]] {
        assert_eq!(extension(extension::ALPN, data), malformed("alpn"), "{data:?}");
    }
}

#[test]
fn bytes_after_the_hello_in_its_record_are_malformed_before_they_arrive() {
    let fault = Err(HelloFault::Malformed("bytes after the hello in its record"));
    let message = message_of(CLIENT_HELLO, &Build::new().body());
    let bytes = record(&[&message[..], &[0]].concat());
    assert_eq!(read_hello(&bytes, &LIMITS), fault);
    assert_eq!(read_hello(&bytes[..RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES], &LIMITS), fault);
}

#[test]
fn repeated_extensions_are_malformed() {
    let twice = [sni_extension(b"allowed.test"), (5, vec![]), sni_extension(b"other.test")];
    assert_eq!(Build::with(&twice).read(), Err(HelloFault::Malformed("duplicate extension")));
    assert!(Build::with(&twice[..2]).read().is_ok());
    let grease = [(0x1a1a, vec![]), (0x2a2a, vec![0])];
    assert!(Build::with(&grease).read().is_ok(), "different GREASE is not a repetition");
}

#[test]
fn server_name_is_one_printable_name_in_lower_case() {
    let read = |list: &[u8]| Build::with(&[(extension::SERVER_NAME, with_u16_length(list))]).read();
    for (sent, kept) in [
        (&b"A.Test"[..], "a.test"),
        (b"a.test.", "a.test."),
        (b"_x.a.test", "_x.a.test"),
        (b"xn--bcher-kva.test", "xn--bcher-kva.test"),
    ] {
        match read(&sni_entry(0, sent)) {
            Ok(HelloRead::Hello(hello)) => assert_eq!(hello.sni.as_deref(), Some(kept)),
            other => panic!("{other:?}"),
        }
    }

    for name in [&b""[..], b"a test", b"a\0.test", b"a.test\r\n", b"b\xc3\xbccher.test", &[b'a'; 255]] {
        assert_eq!(read(&sni_entry(0, name)), Err(HelloFault::BadSni), "{}", name.escape_ascii());
    }
    let two = [sni_entry(0, b"a.test"), sni_entry(0, b"b.test")].concat();
    assert_eq!(read(&two), Err(HelloFault::BadSni));
    assert_eq!(read(&sni_entry(1, b"a.test")), Err(HelloFault::BadSni));
    assert_eq!(read(&[]), Err(HelloFault::Malformed("server name")));
    assert_eq!(read(&[0, 0, 9, b'a']), Err(HelloFault::Malformed("server name")));
    let outside = [with_u16_length(&sni_entry(0, b"a.test")), vec![0]].concat();
    assert_eq!(Build::with(&[(extension::SERVER_NAME, outside)]).read(), Err(HelloFault::Malformed("server name")));
}

#[test]
fn limits_hold_to_the_byte_and_the_record() {
    let bytes = sample("go");
    let limited = |bytes: &[u8], bytes_max, records_max| read_hello(bytes, &HelloLimits { bytes_max, records_max });
    assert!(matches!(limited(&bytes, bytes.len(), 1), Ok(HelloRead::Hello(_))));
    assert_eq!(limited(&bytes, bytes.len() - 1, 1), Err(HelloFault::TooLong));
    let early = limited(&bytes[..RECORD_HEADER_BYTES], bytes.len() - 1, 1);
    assert_eq!(early, Err(HelloFault::TooLong), "said from the record header alone");
    assert_eq!(limited(&bytes, usize::MAX, 0), Err(HelloFault::TooLong));
    assert_eq!(limited(&[], 0, 1), Err(HelloFault::TooLong));

    let pieces = reframed(&bytes, 100);
    assert!(matches!(limited(&pieces, pieces.len(), 3), Ok(HelloRead::Hello(_))));
    assert_eq!(limited(&pieces, pieces.len() - 1, 3), Err(HelloFault::TooLong));
    assert_eq!(limited(&pieces, pieces.len(), 2), Err(HelloFault::TooLong));

    let huge = record(&[1, 0xff, 0xff, 0xff]);
    assert_eq!(read_hello(&huge, &LIMITS), Err(HelloFault::TooLong), "announced, never sent");
}

#[test]
fn incomplete_means_there_is_room_left() {
    let bytes = reframed(&sample("chromium"), 1);
    for bytes_max in 0..bytes.len() {
        let limits = HelloLimits { bytes_max, ..LIMITS };
        let filled = read_hello(&bytes[..bytes_max], &limits);
        assert_eq!(filled, Err(HelloFault::TooLong), "{bytes_max}");
    }
}

#[test]
fn no_flipped_bit_or_cut_makes_it_panic_or_change_its_mind() {
    for name in ["go", "reqwest", "firefox-background"] {
        for original in [sample(name), reframed(&sample(name), 7)] {
            for bit in 0..original.len() * 8 {
                let mut bytes = original.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let all = read_hello(&bytes, &LIMITS);
                for end in [bit / 8, bit / 8 + 1, bytes.len() / 2] {
                    // What a beginning is refused for, the whole is refused for as well.
                    match read_hello(&bytes[..end], &LIMITS) {
                        Ok(HelloRead::Incomplete) => {}
                        early => assert_eq!(early, all, "bit {bit} of {name}"),
                    }
                }
            }
        }
    }
}

#[test]
fn fault_names_are_snake_case_and_distinct() {
    let faults = [
        HelloFault::NotTls,
        HelloFault::NotHandshake,
        HelloFault::NotClientHello,
        HelloFault::TooLong,
        HelloFault::Malformed("version"),
        HelloFault::BadSni,
    ];
    let names: std::collections::BTreeSet<_> = faults.iter().map(HelloFault::name).collect();
    assert_eq!(names.len(), faults.len());
    assert!(names.iter().all(|name| name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        framed in 0..3,
    ) {
        let bytes = match framed {
            0 => body,
            1 if !body.is_empty() => record(&body),
            _ => record(&message_of(CLIENT_HELLO, &body)),
        };
        let _ = read_hello(&bytes, &LIMITS);
    }

    #[test]
    fn any_extension_block_is_read_or_refused(
        extensions in proptest::collection::vec(
            (
                proptest::sample::select(vec![0_u16, 5, 10, 13, 16, 43, 0xfe0d, 0x0a0a]),
                proptest::collection::vec(0..6_u8, 0..9),
            ),
            0..6,
        ),
    ) {
        let mut kinds: Vec<u16> = extensions.iter().map(|(kind, _)| *kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        match Build::with(&extensions).read() {
            Ok(HelloRead::Hello(hello)) => {
                assert_eq!(kinds.len(), extensions.len());
                assert_eq!(hello.sni.is_some(), kinds.contains(&0));
                assert_eq!(hello.alpn.is_empty(), !kinds.contains(&16));
                assert_eq!(hello.ech, kinds.contains(&0xfe0d));
            }
            Ok(HelloRead::Incomplete) => panic!("the message is whole"),
            Err(_) => {}
        }
    }
}

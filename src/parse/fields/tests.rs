use super::*;

fn fields(lines: &str) -> Fields {
    Fields::read(Bytes::from(format!("{lines}\r\n")), 0, FIELDS_CEILING).unwrap()
}

#[test]
fn names_are_looked_up_in_any_letter_case() {
    let fields = fields("Set-Cookie: a\r\nHost: h\r\nset-cookie: b\r\nSet-Cookie2: c\r\n");
    assert_eq!(fields.get("SET-COOKIE"), Some(&b"a"[..]));
    assert_eq!(fields.get_all("set-cookie").collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(fields.count("Set-Cookie"), 2);
    assert_eq!(fields.get("Cookie"), None);
    assert_eq!(fields.count("Cookie"), 0);
    assert_eq!((fields.len(), fields.is_empty()), (4, false));
    assert!(Fields::default().is_empty());
}

#[test]
fn elements_of_all_fields_come_trimmed_and_never_empty() {
    let fields = fields("A: x ,, y\r\nB: n\r\na:\r\na: ,z\t, \r\n");
    assert_eq!(fields.elements("A").collect::<Vec<_>>(), [b"x", b"y", b"z"]);
}

#[test]
fn the_fixed_hop_by_hop_fields_are_dropped_and_their_neighbours_kept() {
    let fields = fields("Host: a\r\n");
    let hops = hop_by_hop(&fields).unwrap();
    for name in [
        "Connection",
        "Proxy-Connection",
        "Keep-Alive",
        "TE",
        "Transfer-Encoding",
        "Upgrade",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Proxy-Authentication-Info",
        "HTTP2-Settings",
    ] {
        assert!(hops.drops(name) && hops.drops(&name.to_lowercase()), "{name}");
        assert!(!hops.drops(&format!("X-{name}")), "{name}");
        assert!(!hops.drops(&format!("{name}s")), "{name}");
    }
    for name in ["Host", "Authorization", "Content-Length", "Trailer", "Via", ""] {
        assert!(!hops.drops(name), "{name}");
    }
}

#[test]
fn fields_that_connection_names_are_dropped() {
    let fields = fields("Connection: close, X-One\r\nX-One: 1\r\nconnection: ,x-TWO ,\r\n");
    let hops = hop_by_hop(&fields).unwrap();
    assert!(hops.drops("x-one") && hops.drops("X-Two") && hops.drops("Connection"));
    assert!(!hops.drops("X-Three") && !hops.drops("X-On"));
}

#[test]
fn connection_may_not_name_what_a_request_is_judged_by() {
    for name in ["Host", "Content-Length", "transfer-encoding", "CONTENT-TYPE", "Authorization", "Cookie"] {
        let fields = fields(&format!("Connection: keep-alive, {name}\r\n"));
        assert_eq!(hop_by_hop(&fields).err(), Some(Fault::BadConnectionOption), "{name}");
    }
    for name in ["X-Host", "Cookie2", "close", "TE", "Upgrade"] {
        assert!(hop_by_hop(&fields(&format!("Connection: {name}\r\n"))).is_ok(), "{name}");
    }
}

#[test]
fn connection_options_are_tokens() {
    for option in ["a b", "\"close\"", "close;x", "a\u{e9}"] {
        let fields = fields(&format!("Connection: {option}\r\n"));
        assert_eq!(hop_by_hop(&fields).err(), Some(Fault::BadConnectionOption), "{option}");
    }
}

#[test]
fn connection_options_are_bounded() {
    let options = |count: usize| fields(&format!("Connection: {}\r\n", "a,".repeat(count)));
    assert!(hop_by_hop(&options(CONNECTION_OPTIONS_MAX)).is_ok());
    let outcome = hop_by_hop(&options(CONNECTION_OPTIONS_MAX + 1)).err();
    assert_eq!(outcome, Some(Fault::BadConnectionOption));
}

#[test]
fn controls_are_found_at_every_place_in_a_block() {
    for len in 0..50 {
        let mut bytes = vec![b'a'; len];
        assert_eq!(next_control(&bytes, 0), None);
        for at in 0..len {
            for control in [0, b'\r', b'\n', 0x1f, 0x7f] {
                bytes[at] = control;
                for from in 0..=len {
                    assert_eq!(next_control(&bytes, from), (from <= at).then_some(at));
                }
            }
            bytes[at] = b'\t';
        }
    }
}

use proptest::prelude::*;

use super::*;

/// RFC 7616 §3.9.1: what Mufasa sends, and the hashes of his line.
const EXAMPLE: &str = "username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm=ALG, \
    nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
    cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"RESPONSE\", \
    opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
const MD5: &str = "8ca523f5e9506fed4657c9700eebdbec";
const SHA256: &str = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";

fn example(algorithm: &str, response: &str) -> String {
    EXAMPLE.replace("ALG", algorithm).replace("RESPONSE", response)
}

fn ha1(algorithm: Algorithm, password: &str) -> Ha1 {
    let hash = algorithm.hash(&[b"Mufasa", b"http-auth@example.org", password.as_bytes()]);
    Ha1::from_bytes(&HEXLOWER.decode(hash.as_bytes()).unwrap()).unwrap()
}

fn fault(parameters: &str) -> Option<AuthFault> {
    Credentials::parse(parameters.as_bytes()).err()
}

#[test]
fn the_example_of_the_rfc_is_right_by_both_algorithms_and_every_neighbour_is_wrong() {
    for (algorithm, response) in [(Algorithm::Md5, MD5), (Algorithm::Sha256, SHA256)] {
        let text = example(algorithm.as_str(), response);
        let credentials = Credentials::parse(text.as_bytes()).unwrap();
        assert_eq!((&*credentials.name, credentials.count), ("Mufasa", 1));
        let right = ha1(algorithm, "Circle of Life");
        assert!(credentials.is_right(&right, "GET"));
        assert!(!credentials.is_right(&right, "POST"), "another method");
        assert!(!credentials.is_right(&ha1(algorithm, "Circle of Lif"), "GET"), "another password");
        for (from, to) in [
            ("nc=00000001", "nc=00000002"),
            ("index.html", "index.htm"),
            ("cnonce=\"f2", "cnonce=\"f3"),
            ("nonce=\"7y", "nonce=\"7z"),
            (&response[..4], "0000"),
        ] {
            let text = text.replacen(from, to, 1);
            assert!(!Credentials::parse(text.as_bytes()).unwrap().is_right(&right, "GET"), "{from} → {to}");
        }
    }
}

/// What programs sent to `Digest realm="Example Ltd", qop="auth", algorithm=…, nonce="AAAAAAAAA-gAAQIDBAUGBwgJCgsMDQ4P",
/// charset=UTF-8`: who, the request's first line, name, password, and the parameters.
const MEASURED: &[(&str, &str, &str, &str, &str)] = &[
    (
        "Chromium 156",
        "GET http://a.example/x?y=1",
        "tanaka",
        "Circle of Life",
        r#"username="tanaka", realm="Example Ltd", nonce="AAAAAAAAA-gAAQIDBAUGBwgJCgsMDQ4P", uri="/x?y=1", algorithm=SHA-256, response="ecedc9ace140677ea3016583d1497ae4d30bc60d27ba62d2c45e15f9515bbbbd", qop=auth, nc=00000001, cnonce="ee21bc4d506b95e7""#,
    ),
    (
        "Chromium 156",
        "CONNECT a.example:443",
        "tanaka",
        "Circle of Life",
        r#"username="tanaka", realm="Example Ltd", nonce="AAAAAAAAA-gAAQIDBAUGBwgJCgsMDQ4P", uri="a.example:443", algorithm=SHA-256, response="15d0183efa39820a4cd64b92fe57291eb21acd4ad1b2e9819e9bc47f7380728a", qop=auth, nc=00000003, cnonce="37a77e15ad0bf9f7""#,
    ),
    (
        "Chromium 156",
        "GET http://a.example/x?y=1",
        "tanaka",
        "Circle of Life",
        r#"username="tanaka", realm="Example Ltd", nonce="AAAAAAAAA-gAAQIDBAUGBwgJCgsMDQ4P", uri="/x?y=1", algorithm=MD5, response="0e644b878b89a447a230e7fc3062100f", qop=auth, nc=00000001, cnonce="6a6622e4fd44eedf""#,
    ),
    (
        "Chromium 156, with all that is escaped",
        r"GET http://a.example/x?a\b%22c",
        "田\"中",
        "関所",
        r#"username="田\"中", realm="Example Ltd", nonce="AAAAAAAAA-gAAQIDBAUGBwgJCgsMDQ4P", uri="/x?a\\b%22c", algorithm=SHA-256, response="4a7f0c594f06c67330ebe681f9bc6dd885b6361bdaa6038d70082421e84d6939", qop=auth, nc=00000001, cnonce="7b3eacf634e9b69d""#,
    ),
    (
        "Firefox 153",
        "GET http://a.example/favicon.ico",
        "tanaka",
        "Circle of Life",
        r#"username="tanaka", realm="Example Ltd", nonce="AAAAAAAAA-gAAQIDBAUGBwgJCgsMDQ4P", uri="/favicon.ico", algorithm=SHA-256, response="95965f7881095c49a8014fc45073c7593e1cbb1f767594d066d0413077774cee", qop=auth, nc=00000002, cnonce="64829dfd6812bf1b""#,
    ),
    (
        "Firefox 153",
        "CONNECT a.example:443",
        "tanaka",
        "Circle of Life",
        r#"username="tanaka", realm="Example Ltd", nonce="AAAAAAAAA-gAAQIDBAUGBwgJCgsMDQ4P", uri="a.example:443", algorithm=SHA-256, response="476a48df212cbf95420fe90ad7000350a7dcdce105c250204aba227a147dc75f", qop=auth, nc=00000001, cnonce="b71625de498d5af6""#,
    ),
    (
        "Firefox 153, a password beyond ASCII",
        "GET http://a.example/x",
        "tanaka",
        "関所",
        r#"username="tanaka", realm="Example Ltd", nonce="AAAAAAAAA-gAAQIDBAUGBwgJCgsMDQ4P", uri="/x", algorithm=SHA-256, response="ad1d1e44de4a3fb24bd4e477cca1345cad64c9bc59ecd200ba9d43047e55bac6", qop=auth, nc=00000001, cnonce="197a3877d4380255""#,
    ),
    (
        "Firefox 153, a quote in the name",
        "GET http://a.example/x",
        "ta\"n",
        "Circle",
        r#"username="ta\"n", realm="Example Ltd", nonce="AAAAAAAAA-gAAQIDBAUGBwgJCgsMDQ4P", uri="/x", algorithm=SHA-256, response="27ebc3140be08e76a092691f35ce51856cc32a725bf1ea6f47133b09d411d8f8", qop=auth, nc=00000001, cnonce="e8de0b9ff6d87d97""#,
    ),
    (
        "curl 7.88",
        "CONNECT a.example:443",
        "tanaka",
        "Circle of Life",
        r#"username="tanaka", realm="Example Ltd", nonce="AAAAAAAAA-gAAQIDBAUGBwgJCgsMDQ4P", uri="a.example:443", cnonce="MzUzZmVkMzViNWRmZjllNTQ1ODAzZDJjYzg1ZDQwNWM=", nc=00000001, qop=auth, response="7868ef2096f5edb188e54a58fec688a3", algorithm=MD5"#,
    ),
];

#[test]
fn what_browsers_and_curl_were_measured_to_send_is_right_for_their_request_and_password_alone() {
    for (who, request, name, password, parameters) in MEASURED {
        let (method, target) = request.split_once(' ').unwrap();
        let credentials = Credentials::parse(parameters.as_bytes()).unwrap_or_else(|fault| panic!("{who}: {fault}"));
        assert_eq!((&*credentials.name, &*credentials.realm), (*name, b"Example Ltd".as_slice()), "{who}");
        assert!(credentials.is_for(target.as_bytes()), "{who}: {request}");
        let line = |password: &str| {
            let parts = [name.as_bytes(), b"Example Ltd", password.as_bytes()];
            let hash = credentials.algorithm.hash(&parts);
            Ha1::from_bytes(&HEXLOWER.decode(hash.as_bytes()).unwrap()).unwrap()
        };
        assert!(credentials.is_right(&line(password), method), "{who}: {request}");
        assert!(!credentials.is_right(&line("circle"), method), "{who}: {request}");
    }
}

#[test]
fn md5_is_meant_where_no_algorithm_is_named() {
    let text = example("MD5", MD5).replace("algorithm=MD5, ", "");
    let credentials = Credentials::parse(text.as_bytes()).unwrap();
    assert_eq!(credentials.algorithm, Algorithm::Md5);
    assert!(credentials.is_right(&ha1(Algorithm::Md5, "Circle of Life"), "GET"));
}

#[test]
fn values_that_clients_quote_though_they_need_not_are_read_and_spacing_does_not_matter() {
    for (from, to) in [
        ("algorithm=MD5", "algorithm=\"MD5\""),
        ("algorithm=MD5", "Algorithm=md5"),
        ("qop=auth", "qop=\"auth\""),
        ("qop=auth", "QOP = \"AUTH\""),
        (", ", ","),
        (", ", " ,\t, "),
        ("Mufasa", "Mu\\f\\asa"),
        ("http-auth", "http\\-auth"),
        ("opaque=", "unknown="),
        ("qop=auth", "qop=auth, userhash=false"),
    ] {
        let text = example("MD5", MD5).replace(from, to);
        let credentials = Credentials::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        assert!(credentials.is_right(&ha1(Algorithm::Md5, "Circle of Life"), "GET"), "{text}");
        assert_eq!(
            (&*credentials.name, &*credentials.realm),
            ("Mufasa", b"http-auth@example.org".as_slice()),
            "{text}"
        );
    }
}

#[test]
fn what_is_malformed_twice_missing_or_not_offered_is_refused_by_its_name() {
    let good = example("MD5", MD5);
    assert_eq!(fault(&good), None);
    for (from, to, expected) in [
        ("algorithm=MD5", "algorithm=MD5-sess", AuthFault::AlgorithmNotOffered),
        ("algorithm=MD5", "algorithm=SHA-512-256", AuthFault::AlgorithmNotOffered),
        ("algorithm=MD5", "algorithm=SHA-256", AuthFault::BadParameter),
        ("qop=auth,", "qop=auth-int,", AuthFault::QopNotOffered),
        ("qop=auth,", "", AuthFault::QopNotOffered),
        ("qop=auth,", "qop=auth, userhash=true,", AuthFault::HashedName),
        ("nc=00000001", "nc=0000001", AuthFault::BadParameter),
        ("nc=00000001", "nc=\"00000001\"", AuthFault::BadParameter),
        ("nc=00000001", "nc=00000000", AuthFault::BadParameter),
        ("nc=00000001", "nc=0000000g", AuthFault::BadParameter),
        ("nc=00000001", "nc=+0000001", AuthFault::BadParameter),
        ("nc=00000001, ", "", AuthFault::MissingParameter),
        ("realm=\"http-auth@example.org\", ", "", AuthFault::MissingParameter),
        ("username=\"Mufasa\", ", "", AuthFault::MissingParameter),
        ("\"Mufasa\"", "Mufasa", AuthFault::BadParameter),
        ("\"Mufasa\"", "\"\"", AuthFault::BadName),
        ("\"Mufasa\"", "\"Mu\tfasa\"", AuthFault::Control),
        ("nc=0", "nc=00000002, nc=0", AuthFault::RepeatedParameter),
        ("nc=0", "USERNAME=\"Simba\", nc=0", AuthFault::RepeatedParameter),
        ("nc=0", "username*=UTF-8''Simba, nc=0", AuthFault::BadParameter),
        (MD5, "8CA523F5E9506FED4657C9700EEBDBEC", AuthFault::BadParameter),
        (MD5, "", AuthFault::BadParameter),
        (", nc=", " nc=", AuthFault::BadParameters),
        ("nc=", "nc", AuthFault::BadParameters),
        ("nc=", "n c=", AuthFault::BadParameters),
        ("nc=", "=", AuthFault::BadParameters),
        ("tdS\"", "tdS", AuthFault::BadParameters),
        ("tdS\"", "tdS\\\"", AuthFault::BadParameters),
        ("\"f2/w", "\"f2\\/w", AuthFault::BadParameter),
        ("cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\"", "cnonce=\"\"", AuthFault::BadParameter),
    ] {
        let text = good.replacen(from, to, 1);
        assert_eq!(fault(&text), Some(expected), "{text}");
    }
    for text in ["", " ", ",", "Mufasa", "\"Mufasa\"", "a=\"", "a=\"\\", "a="] {
        assert_eq!(fault(text), Some(AuthFault::BadParameters), "{text}");
    }
    let more = |count: usize| good.clone() + &(0..count).map(|n| format!(", x{n}=1")).collect::<String>();
    assert_eq!(fault(&more(PARAMETERS_MAX - 10)), None);
    assert_eq!(fault(&more(PARAMETERS_MAX - 9)), Some(AuthFault::BadParameters));
}

#[test]
fn a_name_is_read_from_utf8_in_quotes_and_from_an_extended_value() {
    let name = |written: &[u8]| {
        let good = example("MD5", MD5);
        let (before, behind) = good.split_once("username=\"Mufasa\"").unwrap();
        let bytes = [before.as_bytes(), written, behind.as_bytes()].concat();
        Credentials::parse(&bytes).map(|credentials| credentials.name.to_string())
    };
    assert_eq!(name("username=\"田中\"".as_bytes()).as_deref(), Ok("田中"));
    assert_eq!(name(b"username=\"a\\\"b\\\\c:d\"").as_deref(), Ok("a\"b\\c:d"));
    assert_eq!(name(b"username*=utf-8''J%c3%A4s%20Doe").as_deref(), Ok("Jäs Doe"));
    assert_eq!(name(b"username=\"J\xe4s\""), Err(AuthFault::NotUtf8), "Latin-1");
    assert_eq!(name(b"username*=UTF-8''%FF"), Err(AuthFault::NotUtf8));
    assert_eq!(name(b"username*=UTF-8''%00"), Err(AuthFault::Control));
    assert_eq!(name(b"username*=ISO-8859-1''J%E4s"), Err(AuthFault::BadParameter));
    assert_eq!(name(b"username*=UTF-8''a%4"), Err(AuthFault::BadParameter));
    assert_eq!(name(b"username*=UTF-8''a%4x"), Err(AuthFault::BadParameter));
    assert_eq!(name(b"username*=\"UTF-8''a\""), Err(AuthFault::BadParameter));
    let long = |bytes| name(format!("username=\"{}\"", "n".repeat(bytes)).as_bytes());
    assert!(long(NAME_BYTES_MAX).is_ok());
    assert_eq!(long(NAME_BYTES_MAX + 1), Err(AuthFault::BadName));
}

#[test]
fn the_uri_is_the_target_as_sent_or_the_path_of_a_url_and_nothing_else() {
    let is_for = |uri: &str, target: &str| {
        let text = example("MD5", MD5).replace("/dir/index.html", uri);
        Credentials::parse(text.as_bytes()).unwrap().is_for(target.as_bytes())
    };
    assert!(is_for("http://a.example/x?y=1", "http://a.example/x?y=1"));
    assert!(is_for("/x?y=1", "http://a.example/x?y=1"), "as browsers and curl have it");
    assert!(is_for("/", "http://a.example"));
    assert!(is_for("?y=//", "http://a.example?y=//"));
    assert!(is_for("a.example:443", "a.example:443"));
    assert!(is_for("/x?a\\b", "http://a.example/x?a\\b"), "not escaped");
    assert!(is_for("/x?a\\\\b", "http://a.example/x?a\\b"), "escaped");
    assert!(!is_for("/x", "http://a.example/x?y=1"));
    assert!(!is_for("http://b.example/x", "http://a.example/x"));
    assert!(!is_for("/", "a.example:443"));
    assert!(!is_for("a.example:443", "b.example:443"));
    assert!(!is_for("a.example", "a.example:443"));
    assert!(!is_for("", "http://a.example/"));
    assert!(!is_for("*", "http://a.example/"));
}

#[test]
fn a_target_with_a_backslash_is_hashed_as_it_stands_between_the_quotes_or_without_its_escapes() {
    let right = ha1(Algorithm::Md5, "Circle of Life");
    let text = example("MD5", MD5).replace("/dir/index.html", "/dir\\/index.html");
    assert!(Credentials::parse(text.as_bytes()).unwrap().is_right(&right, "GET"), "hashed without");
    let hashed = Credentials::parse(text.as_bytes()).unwrap().expected(&right, "GET", b"/dir\\/index.html");
    let text = text.replace(MD5, &hashed);
    assert!(Credentials::parse(text.as_bytes()).unwrap().is_right(&right, "GET"), "hashed with");
}

#[test]
fn the_debug_form_of_a_line_hides_it() {
    assert_eq!(format!("{:?}", Ha1::Md5([7; 16])), "Ha1(MD5, hidden)");
    assert_eq!(format!("{:?}", Ha1::Sha256([7; 32])), "Ha1(SHA-256, hidden)");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Credentials::parse(&bytes);
    }

    #[test]
    fn no_credentials_of_telling_pieces_make_it_panic(pieces in proptest::collection::vec(
        prop_oneof![
            Just("username"), Just("username*"), Just("="), Just("\""), Just("\\"), Just(","), Just(" "), Just("qop=auth"),
            Just("nc=00000001"), Just("UTF-8''%"), Just("%"), Just("é"), Just("uri=\"/\""), Just("realm=\"x\""),
            Just("response=\"8ca523f5e9506fed4657c9700eebdbec\""), Just("nonce=\"\""), Just("cnonce=\"a\""),
        ], 0..24)) {
        let text = pieces.concat();
        if let Ok(credentials) = Credentials::parse(text.as_bytes()) {
            prop_assert!(!credentials.is_for(b"http://a.example/y"));
            prop_assert!(!credentials.is_right(&Ha1::Md5([0; 16]), "GET"));
        }
    }
}

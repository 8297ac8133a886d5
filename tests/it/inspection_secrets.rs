//! Secrets planted in a whole run of exchanges, inside inspected tunnels and outside: none is in what the gate keeps or
//! says.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};

use crate::challenge_page::Page;
use crate::challenge_reset::CHROMIUM;
use crate::gate::put_over;
use crate::inspection_lab::{Lab, Terms, get, sekisho};
use crate::origin::{Origin, listener_of_its_own};
use crate::peer::{Message, Peer};

/// `htpasswd -nbB -C 5 tanaka "Circle of Life"`
const USERS: &str = "tanaka:$2y$05$ufc/KLlbsqjXFButKllicuv5WcmrNB/xxhaHz3uaGCydL8JmKydJa\n";
const PASSWORD: &str = "Circle of Life";
const WRONG_PASSWORD: &str = "planted-wrong-password";
const DIGEST: &str = "0d0e0f00112233445566778899aabbcc";
const AUTHORIZATION: &str = "planted-authorization";
const COOKIE: &str = "planted-cookie";
const SET_COOKIE: &str = "planted-set-cookie";
const QUERY: &str = "planted-query";
const REFERER: &str = "planted-referer";
const BODY: &str = "planted-body";
const USER_INFO: &str = "planted-user-information";
/// What is to be found, or nothing would be.
const MARKER: &str = "planted-marker";

const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/26.1 Safari/605.1.15";

/// A secret by name, in all forms in which it could show.
struct Secret {
    name: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Secret {
    fn new(name: &'static str, bytes: &[u8]) -> Self {
        let mut forms = vec![bytes.to_vec()];
        for encoded in [BASE64.encode(bytes), BASE64URL_NOPAD.encode(bytes), HEXLOWER.encode(bytes)] {
            forms.push(encoded.trim_end_matches('=').as_bytes().to_vec());
        }
        forms.push(HEXLOWER.encode(bytes).to_uppercase().into_bytes());
        let escaped: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
        forms.push(escaped.into_bytes());
        Self { name, forms }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        self.forms.iter().any(|form| text.windows(form.len()).any(|window| window == form))
    }
}

/// The fields of a client that has secrets.
fn fields() -> String {
    format!(
        "Authorization: Bearer {AUTHORIZATION}\r\nCookie: sid={COOKIE}\r\nReferer: https://site.test/?{REFERER}\r\n\
         X-Api-Key: {AUTHORIZATION}\r\n"
    )
}

fn answer(mut client: Peer, request: &str) -> Message {
    client.send(request);
    client.answer()
}

/// Requests inside a tunnel to `site.test`, and the status of what is answered.
fn inside() -> Vec<(String, u16)> {
    let (fields, query) = (fields(), format!("?token={QUERY}"));
    let whole =
        |line: &str, more: &str, body: &str| format!("{line} HTTP/1.1\r\nHost: site.test\r\n{fields}{more}\r\n{body}");
    let length = format!("Content-Length: {}\r\n", BODY.len());
    vec![
        (whole(&format!("GET /open/{MARKER}{query}"), "", ""), 200),
        (whole(&format!("POST /open/x{query}"), &length, BODY), 200),
        (whole(&format!("GET /open/lost{query}"), "", ""), 502),
        (whole(&format!("GET /closed{query}"), "", ""), 403),
        (whole(&format!("POST /closed{query}"), &length, BODY), 403),
        (whole(&format!("GET /open/x{query}"), &format!("X-Broken : {COOKIE}\r\n"), ""), 400),
        (whole(&format!("GET /open/x{query}"), &format!("X-Broken: {COOKIE}\x01\r\n"), ""), 400),
        (whole(&format!("GET https://u:{USER_INFO}@site.test/{query}"), "", ""), 400),
        (whole(&format!("GET /open/x{query}"), "", "").replace("Host: ", &format!("Host: u:{USER_INFO}@")), 400),
        (whole(&format!("GET /open/x{query}#{QUERY}"), "", ""), 400),
        (whole("CONNECT other.test:443", "", ""), 403),
        (whole(&format!("POST /open/x{query}"), "Transfer-Encoding: chunked\r\n", &format!("{BODY}\r\n")), 400),
        (format!("GET /open/x{query} HTTP/1.1\r\nHost: other.test\r\n{fields}\r\n"), 400),
        (format!("{AUTHORIZATION} {COOKIE}\r\n\r\n"), 400),
    ]
}

/// The first ticket that a hello offers (RFC 8446 section 4.2.11): its last extension is `pre_shared_key`.
fn ticket_in(hello: &[u8]) -> Vec<u8> {
    let is_last = |at: &usize| {
        let rest = hello.len() - at;
        rest > 8
            && hello[*at..*at + 2] == [0, 41]
            && usize::from(u16::from_be_bytes([hello[at + 2], hello[at + 3]])) == rest - 4
    };
    let at = (0..hello.len()).find(is_last).unwrap();
    let length = usize::from(u16::from_be_bytes([hello[at + 6], hello[at + 7]]));
    hello[at + 8..at + 8 + length].to_vec()
}

/// All that is in the data directory but the key of the authority, whose place that is, and the room that is held free.
fn kept(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            kept(&path, found);
        } else if path.is_file() && !path.ends_with("ca.key") && !path.ends_with("reserve") {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

#[test]
fn no_secret_of_clients_origins_or_the_gate_is_in_what_it_keeps_or_says() {
    let files = tempfile::tempdir().unwrap();
    let (users, errors) = (files.path().join("users"), files.path().join("errors"));
    std::fs::write(&users, USERS).unwrap();
    std::fs::set_permissions(&users, std::fs::Permissions::from_mode(0o600)).unwrap();
    let listener = listener_of_its_own(443);
    let said = format!("HTTP/1.1 200 OK\r\nSet-Cookie: sid={SET_COOKIE}\r\nContent-Length: 2\r\n\r\nok");
    let plain = TcpListener::bind((listener.local_addr().unwrap().ip(), 0)).unwrap();
    let (answers, plainly) = (said.clone(), said);
    let plain = Origin::on(plain, crate::origin::each(move |_| plainly.clone()));
    let port = plain.address.port();
    let rule = |name: &str, keys: &str| format!("[[rule]]\nname = \"{name}\"\nprivate = [\"127.0.0.0/8\"]\n{keys}\n");
    let policy = [
        rule("puzzle", "hosts = [\"site.test\"]\npaths = [\"/puzzle/**\"]\nverdict = \"challenge\"\ninspect = true"),
        rule(
            "people",
            &format!("hosts = [\"users.test\"]\nports = [{port}]\nclients = [\"people\"]\nverdict = \"allow\""),
        ),
        rule("open", &format!("hosts = [\"open.test\"]\nports = [{port}]\nverdict = \"allow\"")),
        rule("plain puzzle", &format!("hosts = [\"puzzle.test\"]\nports = [{port}]\nverdict = \"challenge\"")),
        "[clients.people]\nusers = [\"tanaka\"]\n".to_owned(),
    ]
    .concat();
    let config =
        format!("[authentication]\nrealm = \"Example Ltd\"\nschemes = [\"basic\"]\nusers = \"{}\"\n", users.display());
    let before = format!("exec 2>'{}'", errors.display());
    let terms = Terms { keys: "paths = [\"/open/**\"]", policy: &policy, config: &config, before: &before };
    let mut lab = Lab::with(
        listener,
        move |mut peer, log| {
            while let Some(request) = peer.request() {
                log.note(&request);
                if request.line().contains("/lost") || peer.try_send(&answers).is_err() {
                    return;
                }
            }
        },
        &terms,
    );
    let key = std::fs::read_to_string(lab.data_dir().join("ca/current/ca.key")).unwrap();
    let mut pages = Vec::new();
    let mut asked = |answer: Message, status: u16, what: &str| {
        assert_eq!(answer.status(), status, "{what}: {}{}", answer.head, answer.text());
        let is_origins = answer.all("set-cookie").iter().any(|value| value.contains(SET_COOKIE));
        assert_eq!(is_origins, status == 200, "{what}");
        if !is_origins {
            pages.push((what.to_owned(), format!("{}{}", answer.head, answer.text()).into_bytes()));
        }
        answer
    };

    // Inside.
    for (request, status) in inside() {
        let found = answer(lab.open("site.test"), &request);
        asked(found, status, &request);
    }
    // The origin's certificate is for one label below site.test.
    let request = get(&format!("/open/?{QUERY}"), "a.b.site.test");
    asked(answer(lab.open("a.b.site.test"), &request), 502, "another name");
    // A client that refuses the certificate, and one that resumes its session.
    assert!(
        lab.tunnel("site.test")
            .secure(crate::http2_client::trusting(&crate::origin::tls_of(Vec::new()).1, &[]), "site.test")
            .is_err()
    );
    let tls = lab.tls();
    let mut client = lab.tunnel("site.test").secure(tls.clone(), "site.test").unwrap();
    client.send(get("/open/", "site.test"));
    asked(client.answer(), 200, "a first session");
    let mut resuming = rustls::ClientConnection::new(tls, "site.test".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    resuming.write_tls(&mut hello).unwrap();
    let ticket = ticket_in(&hello);
    let mut peer = lab.tunnel("site.test");
    peer.send(&hello);
    let mut client = peer.secured(resuming).unwrap();
    client.send(get("/open/", "site.test"));
    asked(client.answer(), 200, "a session that is resumed");

    // Outside.
    let proxied = |host: &str, path: &str, more: &str| {
        format!("GET http://{host}:{port}{path} HTTP/1.1\r\nHost: {host}:{port}\r\n{}{more}\r\n", fields())
    };
    let basic = |password: &str| {
        format!("Proxy-Authorization: Basic {}\r\n", BASE64.encode(format!("tanaka:{password}").as_bytes()))
    };
    let digest = format!(
        "Proxy-Authorization: Digest username=\"tanaka\", realm=\"Example Ltd\", nonce=\"x\", uri=\"/\", \
         response=\"{DIGEST}\"\r\n"
    );
    let query = format!("/{MARKER}?token={QUERY}");
    for (host, more, status) in [
        ("open.test", "", 200),
        ("users.test", &*basic(PASSWORD), 200),
        ("users.test", &basic(WRONG_PASSWORD), 407),
        ("users.test", &digest, 407),
        ("denied.test", &basic(PASSWORD), 403),
        ("open.test", &format!("X-Broken : {COOKIE}\r\n"), 400),
    ] {
        asked(answer(lab.gate.client(), &proxied(host, &query, more)), status, &format!("{host} {more}"));
    }
    for more in [basic(PASSWORD), basic(WRONG_PASSWORD), digest] {
        let request = format!("CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test:443\r\n{}{more}\r\n", fields());
        let found = answer(lab.gate.client(), &request);
        let status = found.status();
        assert!(matches!(status, 403 | 407), "{}", found.head);
        asked(found, status, "a tunnel");
    }

    // Challenged: a page has its token, and nothing else may.
    let browser = format!(
        "Proxy-Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: {CHROMIUM}\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate\r\n\
         Accept-Language: en-US,en;q=0.9\r\n"
    );
    let ask = |path: &str| {
        let host = format!("puzzle.test:{port}");
        answer(lab.gate.client(), &format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n{browser}\r\n"))
    };
    let first = Page::of(&ask("/"));
    asked(ask(&first.with(1)), 403, "a wrong answer");
    let second = Page::of(&ask("/"));
    asked(ask(&second.solved()), 204, "a right answer");
    asked(ask("/"), 200, "cleared");
    let request = format!("GET /puzzle/?{QUERY} HTTP/1.1\r\nHost: site.test\r\n{browser}{}\r\n", fields());
    // Of Chromium it is known that this is not its TLS; a page is for whom that may be.
    asked(answer(lab.open("site.test"), &request), 403, "a mimic");
    let found = answer(lab.open("site.test"), &request.replace(CHROMIUM, SAFARI));
    assert_eq!(found.status(), 403, "{}", found.text());
    let third = Page::of(&found);

    // What the gate says of itself.
    put_over(&lab.gate.policy(), &format!("{MARKER} = 1\n"));
    let mut told = vec![("reload".to_owned(), sekisho(&["reload"], &lab.data_dir()).stderr)];
    for command in [&["status"][..], &["status", "--format", "json"], &["ca", "reach"], &["ca", "show"]] {
        let output = sekisho(command, &lab.data_dir());
        assert!(output.status.success(), "{output:?}");
        told.push((command.join(" "), [output.stdout, output.stderr].concat()));
    }
    lab.records();
    let mut stored = Vec::new();
    kept(&lab.data_dir(), &mut stored);
    let errors = vec![("standard error".to_owned(), std::fs::read(&errors).unwrap())];

    let pem: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64.decode(pem.as_bytes()).unwrap();
    let mut secrets = vec![
        Secret::new("key", &der),
        // PKCS#8 of P-256 has the private number at octets 36 to 68 (RFC 5958, RFC 5915).
        Secret::new("private number", &der[36..68]),
        Secret::new("line of the key", key.lines().nth(1).unwrap().as_bytes()),
        Secret::new("label of a key", b"PRIVATE KEY"),
        Secret::new("ticket", &ticket),
        Secret::new("part of the ticket", &ticket[16..48]),
        Secret::new("password", PASSWORD.as_bytes()),
        Secret::new("credentials", format!("tanaka:{PASSWORD}").as_bytes()),
        Secret::new("wrong credentials", format!("tanaka:{WRONG_PASSWORD}").as_bytes()),
        Secret::new("hash of the password", USERS.trim().rsplit('$').next().unwrap().as_bytes()),
        Secret::new("token", first.token.as_bytes()),
        Secret::new("token that was solved", second.token.as_bytes()),
        Secret::new("token of a page inside", third.token.as_bytes()),
    ];
    for planted in [WRONG_PASSWORD, DIGEST, AUTHORIZATION, COOKIE, SET_COOKIE, QUERY, REFERER, BODY, USER_INFO] {
        secrets.push(Secret::new(planted, planted.as_bytes()));
    }
    let marker = Secret::new("marker", MARKER.as_bytes());
    let is_marked = |texts: &[(String, Vec<u8>)]| texts.iter().any(|(_, text)| marker.is_in(text));
    assert!(is_marked(&stored) && is_marked(&told) && is_marked(&errors));
    assert!(pages.len() > 15 && pages.iter().any(|(_, page)| Secret::new("host", b"site.test").is_in(page)));
    for (place, text) in pages.iter().chain(&told).chain(&stored).chain(&errors) {
        for secret in &secrets {
            assert!(!secret.is_in(text), "{} is in {place}: {}", secret.name, String::from_utf8_lossy(text));
        }
    }
    // What belongs to the origins went there.
    let seen = [lab.origin.seen(), plain.seen()].concat().concat();
    for of_origin in [AUTHORIZATION, COOKIE, QUERY, BODY] {
        assert!(seen.contains(of_origin), "{of_origin}");
    }
    assert!(!seen.contains("Proxy-Authorization") && !seen.contains("sekisho/challenge"), "{seen}");
}

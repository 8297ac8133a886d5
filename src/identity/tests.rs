//! Real bytes: what browsers and other clients were recorded to send through a proxy.

use std::collections::BTreeSet;

use bytes::BytesMut;
use serde_json::Value;

use crate::facts::{Client, Hello, Host};
use crate::parse::{HeadLimits, HelloLimits, HelloRead, RequestHead, read_hello, take_request_head};

use super::*;

mod inner;

const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";

fn browsers() -> Browsers {
    Browsers::built_in().unwrap()
}

fn samples() -> Value {
    serde_json::from_str(include_str!("../../tests/data/clients.json")).unwrap()
}

fn texts<'v>(client: &'v Value, what: &str) -> Vec<&'v str> {
    client[what].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn head(text: &str) -> RequestHead {
    let mut buffer = BytesMut::from(text.as_bytes());
    take_request_head(&mut buffer, &HeadLimits::default(), &mut 0).unwrap().unwrap()
}

fn hellos(client: &Value) -> Vec<Hello> {
    let hello = |sample: &Value| {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(sample["hex"].as_str().unwrap().as_bytes()).unwrap();
        let Ok(HelloRead::Hello(hello)) = read_hello(&bytes, &HelloLimits::default()) else { panic!("{sample}") };
        assert_eq!(
            (&*hello.ja4, &*hello.stable_key),
            (sample["ja4"].as_str().unwrap(), sample["stable"].as_str().unwrap())
        );
        hello
    };
    client["hello"].as_array().unwrap().iter().map(hello).collect()
}

/// The host and port that a CONNECT names.
fn authority(head: &RequestHead) -> (Host, u16) {
    let (host, port) = crate::parse::parse_authority(head.target()).unwrap();
    (host, port.unwrap())
}

/// What is found of a CONNECT and a hello in it, by what is claimed.
fn of_tunnel(claim: &Claim, connect: &RequestHead, hello: &Hello) -> Grounds {
    let (host, port) = authority(connect);
    claim.check(&Seen {
        head: connect,
        connect: Some((&host, port)),
        inner: None,
        hello: Some(hello),
        faces: &[],
        learnt: None,
    })
}

fn of_plain(claim: &Claim, head: &RequestHead) -> Grounds {
    claim.check(&Seen { head, connect: None, inner: None, hello: None, faces: &[], learnt: None })
}

fn names(grounds: Grounds) -> Vec<&'static str> {
    grounds.iter().map(Ground::as_str).collect()
}

#[test]
fn a_user_agent_claims_the_browser_and_version_that_it_names() {
    let browsers = browsers();
    let claimed = |text: &str| match browsers.claim(Some(text.as_bytes())) {
        Claim::None => "none".to_owned(),
        Claim::Browser { browser, major } => format!("{} {major}", browser.name),
    };
    let edge = format!("{CHROME} Edg/156.0.0.0");
    let electron = CHROME.replace("Chrome/", "App/1.2 Chrome/").replace("Safari", "Electron/40.0 Safari");
    for (text, expected) in [
        (CHROME, "chromium 156"),
        (&edge, "chromium 156"),
        (&electron, "chromium 156"),
        (&CHROME.replace("Chrome/", "HeadlessChrome/"), "chromium 156"),
        (FIREFOX, "firefox 153"),
        ("Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15", "safari 26"),
        ("Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Trident/7.0)", "msie 7"),
        ("Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko", "msie 7"),
        ("Mozilla/5.0 Chrome/", "chromium 0"),
        ("Mozilla/5.0 Chrome/99999999", "chromium 0"),
        ("Mozilla/5.0", "none"),
        ("curl/7.88.1", "none"),
        ("chrome/156", "none"),
        ("", "none"),
    ] {
        assert_eq!(claimed(text), expected, "{text}");
    }
    assert!(browsers.claim(None).browser().is_none());
}

#[test]
fn nothing_speaks_against_a_real_browser() {
    let (browsers, samples) = (browsers(), samples());
    for name in ["chromium-156-headless", "firefox-esr-153"] {
        let client = &samples[name];
        let connects: Vec<_> = texts(client, "connect").into_iter().map(head).collect();
        assert!(!connects.is_empty() && hellos(client).len() > 3, "{name}");
        for connect in &connects {
            let claim = browsers.claim(connect.fields.get("user-agent"));
            assert!(claim.browser().is_some());
            for hello in hellos(client) {
                assert_eq!(names(of_tunnel(&claim, connect, &hello)), [""; 0], "{name} {}", hello.ja4);
            }
        }
        let mut faces = BTreeSet::new();
        for text in texts(client, "plain") {
            let plain = head(text);
            let claim = browsers.claim(plain.fields.get("user-agent"));
            assert_eq!(names(of_plain(&claim, &plain)), [""; 0], "{text}");
            faces.insert(Face::of_head(&claim, &plain).as_str().to_owned());
        }
        assert_eq!(faces.len(), 1, "all requests of {name} are of one program: {faces:?}");
    }
}

/// A head with another User-Agent where it has one, else with one at its end.
fn with_agent(text: &str, agent: &str) -> String {
    let lines: Vec<_> = text.trim_end().split("\r\n").collect();
    let is_agent = |line: &&str| line.to_ascii_lowercase().starts_with("user-agent:");
    let mut lines: Vec<String> = lines
        .iter()
        .map(|line| if is_agent(line) { format!("{}: {agent}", &line[..10]) } else { (*line).to_owned() })
        .collect();
    if !lines.iter().any(|line| is_agent(&line.as_str())) {
        lines.push(format!("User-Agent: {agent}"));
    }
    lines.join("\r\n") + "\r\n\r\n"
}

#[test]
fn a_copied_user_agent_is_contradicted_by_at_least_two_grounds_in_every_naive_client() {
    let (browsers, samples) = (browsers(), samples());
    let mut clients = 0;
    for (name, client) in samples.as_object().unwrap() {
        if name.starts_with("chromium") || name.starts_with("firefox") {
            continue;
        }
        for agent in [CHROME, FIREFOX] {
            let claim = browsers.claim(Some(agent.as_bytes()));
            for text in texts(client, "connect") {
                // Where its CONNECT names no browser, nothing is claimed and nothing passes; here it does.
                let connect = head(&with_agent(text, agent));
                for hello in hellos(client) {
                    let grounds = of_tunnel(&claim, &connect, &hello);
                    assert!(grounds.iter().count() >= 2, "{name} as {agent}: {:?}", names(grounds));
                    clients += 1;
                }
            }
            for text in texts(client, "plain") {
                let plain = head(&with_agent(text, agent));
                assert!(
                    of_plain(&claim, &plain).iter().count() >= 2,
                    "{name} as {agent}: {:?}\n{text}",
                    names(of_plain(&claim, &plain))
                );
                assert_ne!(Face::of_head(&claim, &plain).as_str(), "head:chromium", "{name}");
                assert_ne!(Face::of_head(&claim, &plain).as_str(), "head:firefox", "{name}");
            }
        }
    }
    assert!(clients > 30);
}

#[test]
fn a_naive_client_fails_in_two_groups_and_a_browsers_library_alone_in_one() {
    let (browsers, samples) = (browsers(), samples());
    let chrome = browsers.claim(Some(CHROME.as_bytes()));
    let connect = |client: &str| head(&with_agent(texts(&samples[client], "connect")[0], CHROME));
    let of = |connect: &RequestHead, client: &str| {
        of_tunnel(&chrome, connect, &hellos(&samples[client])[0]).contradictions()
    };
    assert_eq!(of(&connect("curl"), "curl").count(), 2);
    assert_eq!(of(&connect("chromium-156-headless"), "curl").count(), 1);
    let as_shipped = of(&connect("curl_cffi"), "curl_cffi");
    assert!(as_shipped.connect && as_shipped.tls, "it imitates Chrome 150, and claims 156");
    let grounds = of_tunnel(&chrome, &connect("chromium-156-headless"), &hellos(&samples["curl_cffi"])[0]);
    assert_eq!(names(grounds), ["tls_signature_grease"]);
}

#[test]
fn a_face_that_the_operator_names_is_the_browsers() {
    let (browsers, samples) = (browsers(), samples());
    let chrome = browsers.claim(Some(CHROME.as_bytes()));
    let connect = head(&with_agent(texts(&samples["chromium-156-headless"], "connect")[0], CHROME));
    let hello = &hellos(&samples["go"])[0];
    let (host, port) = authority(&connect);
    let faces = [hello.stable_key.clone()];
    let seen = |faces| Seen {
        head: &connect,
        connect: Some((&host, port)),
        inner: None,
        hello: Some(hello),
        faces,
        learnt: None,
    };
    assert!(!chrome.check(&seen(&[])).is_empty());
    assert!(chrome.check(&seen(&faces)).is_empty());
}

#[test]
fn what_is_not_known_of_a_version_is_no_ground() {
    let (browsers, samples) = (browsers(), samples());
    let connect = texts(&samples["chromium-156-headless"], "connect")[0];
    let hello = &hellos(&samples["curl_cffi"])[0];
    let of = |agent: &str| {
        let claim = browsers.claim(Some(agent.as_bytes()));
        names(of_tunnel(&claim, &head(&with_agent(connect, agent)), hello))
    };
    assert_eq!(of(&CHROME.replace("156", "157")), [""; 0], "a newer one may do otherwise about signatures");
    assert_eq!(of(&CHROME.replace("156", "150")), [""; 0]);
    let old = of_tunnel(
        &browsers.claim(Some(CHROME.replace("156", "157").as_bytes())),
        &head(&with_agent(connect, CHROME)),
        &hellos(&samples["curl"])[0],
    );
    assert_eq!(names(old), ["tls_grease", "tls_ech", "tls_compression"], "what all of them do");
    assert_eq!(of("Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/26.1 Safari/605.1.15"), [""; 0]);
}

#[test]
fn a_browser_that_comes_back_with_another_hello_is_the_same_program_where_that_was_measured() {
    let browsers = browsers();
    let curl = &hellos(&samples()["curl"])[0];
    let with = |key: &str| Hello { stable_key: key.into(), ..curl.clone() };
    let (first, back) = ("5b57614c22b0_7e7796f18773_aafe944a1ce0", "5b57614c22b0_7e7796f18773_cfc20a651ecd");
    let face = |agent: &str, key: &str| Face::of_hello(&browsers.claim(Some(agent.as_bytes())), &with(key));
    let of_version = |version: &str| FIREFOX.replace("153", version);
    assert_eq!(face(&of_version("140"), back), face(&of_version("140"), first));
    assert_eq!(face(&of_version("140"), first).as_str(), first);
    for another in [&of_version("153"), CHROME, "curl/8.0"] {
        assert_eq!(face(another, back).as_str(), back, "{another}");
    }
    let claim = browsers.claim(Some(of_version("140").as_bytes()));
    assert!(claim.knows_face(first, &[], None) && claim.knows_face(back, &[], None));
}

#[test]
fn a_program_is_known_by_all_three_of_its_parts() {
    let client = |address: &str| Client::at(address.parse().unwrap());
    let hello = &hellos(&samples()["curl"])[0];
    let (here, there) = (client("10.0.0.1:1000"), client("10.0.0.2:1000"));
    let key = |client: &Client, agent: &str, face: &Face| program_key(client, Some(agent.as_bytes()), face);
    let face = Face::of_hello(&Claim::None, hello);
    let other = Face::of_head(&Claim::None, &head("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    let own = key(&here, CHROME, &face);
    assert_eq!(own, key(&client("10.0.0.1:2000"), CHROME, &face), "another port of one machine");
    for another in [key(&there, CHROME, &face), key(&here, FIREFOX, &face), key(&here, CHROME, &other)] {
        assert_ne!(own, another);
    }
    let user = |address: &str| Client {
        user: Some(crate::facts::User { name: "tanaka".into(), groups: Box::default() }),
        ..client(address)
    };
    assert_eq!(key(&user("10.0.0.1:1"), CHROME, &face), key(&user("10.0.0.9:1"), CHROME, &face), "wherever they are");
    assert_ne!(key(&user("10.0.0.1:1"), CHROME, &face), own);
    let name = ProgramName::new(&here, Some("a\u{1b}[2J\r\nb".repeat(100).as_bytes()), &face);
    assert!(name.user_agent.len() <= AGENT_BYTES_MAX && !name.user_agent.contains(['\u{1b}', '\r', '\n']));
}

#[test]
fn a_file_of_browsers_is_read_whole_or_its_problems_are_told() {
    let problems = |text: &str| {
        let problems = Browsers::read("b.toml", text).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert!(problems("[browser.a]\nshows = [\"page\"]\n").contains("tokens"));
    assert!(
        problems("[browser.a]\ntokens = [\"A/\"]\nshows = [\"pages\"]\n").contains("`shows` cannot hold \"pages\"")
    );
    assert!(problems("[browser.a]\ntokens = [\"A/\"]\nshow = []\n").contains("unknown key `show`"));
    assert!(problems("[[browser.a.tls]]\nalpn = [\"h2\"]\n[browser.b]\ntokens = []").contains("alpn"));
}

mod proptests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_user_agent_makes_a_claim_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = browsers().claim(Some(&bytes));
        }

        #[test]
        fn a_set_of_grounds_holds_what_was_put_into_it(numbers in proptest::collection::btree_set(0..Ground::ALL.len(), 0..Ground::ALL.len())) {
            let mut grounds = Grounds::NONE;
            for number in &numbers {
                grounds.add(Ground::ALL[*number]);
            }
            let back: Vec<_> = grounds.iter().map(|ground| ground as usize).collect();
            prop_assert_eq!(back, numbers.into_iter().collect::<Vec<_>>());
        }
    }
}

//! What is read inside TLS.

use crate::parse::{Http2Opening, Http2Tap};

use super::*;

/// One request inside TLS, as it was recorded.
struct Inside {
    host: Host,
    /// As HTTP/1.1, whichever it came in.
    text: String,
    opening: Option<Http2Opening>,
}

impl Inside {
    fn read(client: &Value, sample: &Value) -> Self {
        let text = sample["head"].as_str().unwrap();
        let host = Host::parse(sample["host"].as_str().unwrap().as_bytes());
        let host = host.unwrap_or_else(|_| Host::parse(b"a.test").unwrap());
        if sample["proto"] == "h1" {
            return Self { host, text: format!("{text}\r\n\r\n"), opening: None };
        }
        let (pseudo, others): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with(':'));
        let pseudo: Vec<_> = pseudo.iter().map(|line| line.rsplit_once(": ").unwrap()).collect();
        let value = |name: &str| pseudo.iter().find(|(own, _)| *own == name).unwrap().1;
        let text = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n{}\r\n\r\n",
            value(":method"),
            value(":path"),
            value(":authority"),
            others.join("\r\n")
        );
        Self { host, text, opening: Some(opening(client, &pseudo)) }
    }

    fn all(client: &Value) -> Vec<Self> {
        client["inner"].as_array().unwrap().iter().map(|sample| Self::read(client, sample)).collect()
    }

    /// What is found where it claims to be this.
    fn grounds(&self, agent: &str) -> Vec<&'static str> {
        let head = head(&with_agent(&self.text, agent));
        names(check(&browsers().claim(Some(agent.as_bytes())), &head, &self.host, self.opening.as_ref()))
    }
}

fn check(claim: &Claim, head: &RequestHead, host: &Host, opening: Option<&Http2Opening>) -> Grounds {
    let inner = Some(InnerSeen { host, opening });
    claim.check(&Seen { head, connect: None, inner, hello: None, faces: &[], learnt: None })
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [.., high, low] = payload.len().to_be_bytes();
    [&[0, high, low, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The recorded frames as they were on the wire, up to the first HEADERS, whose pseudo-header fields are given.
fn opening(client: &Value, pseudo: &[(&str, &str)]) -> Http2Opening {
    let number = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let mut tap = Http2Tap::new();
    tap.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    for sample in client["h2"].as_array().unwrap() {
        tap.feed(&match sample["type"].as_str().unwrap() {
            "SettingsFrame" => {
                let setting = |pair: &Value| {
                    let id = u16::try_from(number(&pair[0])).unwrap().to_be_bytes();
                    [&id[..], &number(&pair[1]).to_be_bytes()].concat()
                };
                let payload: Vec<u8> = sample["settings"].as_array().unwrap().iter().flat_map(setting).collect();
                frame(4, 0, 0, &payload)
            }
            "WindowUpdateFrame" => {
                frame(8, 0, number(&sample["sid"]).try_into().unwrap(), &number(&sample["inc"]).to_be_bytes())
            }
            "HeadersFrame" => {
                let literal = |(name, value): &(&str, &str)| {
                    let index = match *name {
                        ":authority" => 0x41,
                        ":method" => 0x42,
                        ":path" => 0x44,
                        ":scheme" => 0x46,
                        other => panic!("{other}"),
                    };
                    [&[index, value.len() as u8], value.as_bytes()].concat()
                };
                frame(
                    1,
                    4,
                    number(&sample["sid"]).try_into().unwrap(),
                    &pseudo.iter().flat_map(literal).collect::<Vec<_>>(),
                )
            }
            other => panic!("{other}"),
        });
    }
    tap.opening().unwrap().clone()
}

#[test]
fn nothing_inside_tls_speaks_against_a_real_browser() {
    let (browsers, samples) = (browsers(), samples());
    for name in ["chromium-156-headless", "firefox-esr-153"] {
        let insides = Inside::all(&samples[name]);
        assert!(insides.len() > 10 && insides.iter().any(|inside| inside.opening.is_some()), "{name}");
        for inside in insides {
            let head = head(&inside.text);
            let claim = browsers.claim(head.fields.get("user-agent"));
            assert!(claim.browser().is_some());
            let found = check(&claim, &head, &inside.host, inside.opening.as_ref());
            assert_eq!(names(found), [""; 0], "{}", inside.text);
        }
    }
}

#[test]
fn a_copied_user_agent_is_contradicted_inside_tls_in_every_naive_client() {
    let samples = samples();
    let mut clients = 0;
    for (name, client) in samples.as_object().unwrap() {
        if name.starts_with("chromium") || name.starts_with("firefox") {
            continue;
        }
        for agent in [CHROME, FIREFOX] {
            for inside in Inside::all(client) {
                let grounds = inside.grounds(agent);
                assert!(
                    !grounds.is_empty() && grounds.iter().all(|name| name.starts_with("inner_")),
                    "{name}: {agent}"
                );
                clients += 1;
            }
        }
    }
    assert!(clients > 40);
    let of = |client: &str, agent: &str| Inside::all(&samples[client])[0].grounds(agent);
    let all_of_chromium = ["inner_encoding", "inner_fetch_metadata", "inner_settings", "inner_window"];
    for client in ["curl", "go"] {
        assert_eq!(of(client, CHROME), [&all_of_chromium[..], &["inner_pseudo_fields"]].concat(), "{client}");
    }
    assert_eq!(of("httpx2", CHROME), ["inner_fetch_metadata", "inner_settings", "inner_window"]);
    assert_eq!(of("node", CHROME), ["inner_encoding", "inner_client_hints"]);
    assert_eq!(of("requests", FIREFOX), ["inner_encoding", "inner_fetch_metadata"]);
    assert_eq!(of("curl_cffi", CHROME), ["inner_client_hints"], "a browser's library, of another version");
    assert_eq!(of("curl_cffi", &CHROME.replace("156", "150")), [""; 0], "and of its own");
}

#[test]
fn one_group_is_contradicted_by_whatever_stands_inside() {
    let grounds = |name| check_of(CHROME, &Inside::all(&samples()[name])[0]);
    assert_eq!(grounds("curl").contradictions().count(), 1);
    assert!(grounds("curl").contradictions().inner);
    assert!(!grounds("chromium-156-headless").contradictions().inner);
}

fn check_of(agent: &str, inside: &Inside) -> Grounds {
    let head = head(&with_agent(&inside.text, agent));
    check(&browsers().claim(Some(agent.as_bytes())), &head, &inside.host, inside.opening.as_ref())
}

/// A page of the browser that the agent names, with one thing in its head changed.
fn changed(agent: &str, from: &str, to: &str) -> Vec<&'static str> {
    let name = if agent == CHROME { "chromium-156-headless" } else { "firefox-esr-153" };
    let mut inside = Inside::read(&samples()[name], &samples()[name]["inner"][0]);
    assert!(inside.text.contains(from), "{from}\n{}", inside.text);
    inside.text = inside.text.replace(from, to);
    inside.grounds(agent)
}

const CHROMIUM_HINTS: &str = "sec-ch-ua: \"Not:A-Brand\";v=\"8\", \"Chromium\";v=\"156\"\r\n";

#[test]
fn client_hints_name_the_version_of_the_user_agent() {
    let hints = ["inner_client_hints"];
    assert_eq!(changed(CHROME, "\"156\"", "\"155\""), hints);
    assert_eq!(changed(CHROME, "\"Chromium\"", "\"Other\""), hints);
    assert_eq!(changed(CHROME, "\"Chromium\";v=\"156\"", "\"Other\";v=\"1\", \"Chromium\";v=\"156\""), [""; 0]);
    assert_eq!(changed(CHROME, CHROMIUM_HINTS, ""), hints);
    for without in ["service-worker: script", "access-control-request-method: POST", "upgrade: websocket"] {
        assert_eq!(changed(CHROME, CHROMIUM_HINTS, &format!("{without}\r\n")), [""; 0], "{without}");
    }
    assert_eq!(changed(CHROME, CHROMIUM_HINTS, "content-type: application/reports+json\r\n"), [""; 0]);
    assert_eq!(changed(CHROME, CHROMIUM_HINTS, "content-type: application/json\r\n"), hints);
    assert_eq!(changed(FIREFOX, "te: trailers", CHROMIUM_HINTS.trim_end()), hints);
    assert_eq!(changed(FIREFOX, "te: trailers", "x-sec-ch-ua: a"), [""; 0]);
}

#[test]
fn what_chromium_asks_for_by_itself_has_no_client_hints() {
    let name = "chromium-156-headless";
    let mut inside = Inside::read(&samples()[name], &samples()[name]["inner"][0]);
    inside.text = inside.text.replace(CHROMIUM_HINTS, "");
    assert_eq!(inside.grounds(CHROME), ["inner_client_hints"]);
    inside.text = inside.text.replace("accept-language: en-US,en;q=0.9\r\n", "");
    assert_eq!(inside.grounds(CHROME), [""; 0]);
}

#[test]
fn encodings_are_the_browsers_own_unless_a_range_is_asked_for() {
    let own = "accept-encoding: gzip, deflate, br, zstd\r\n";
    for agent in [CHROME, FIREFOX] {
        for other in ["", "accept-encoding: gzip, deflate\r\n", "accept-encoding: gzip,deflate,br,zstd\r\n"] {
            assert_eq!(changed(agent, own, other), ["inner_encoding"], "{agent}: {other}");
        }
        assert_eq!(changed(agent, own, &own.repeat(2)), ["inner_encoding"]);
        assert_eq!(changed(agent, "br, zstd\r\n", "br, zstd, dcb, dcz\r\n"), [""; 0]);
        assert_eq!(changed(agent, own, "accept-encoding: identity\r\nrange: bytes=0-\r\n"), [""; 0]);
    }
}

/// A request without Sec-Fetch fields, with others instead.
fn without_metadata(agent: &str, host: &str, others: &str) -> Vec<&'static str> {
    let text = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nsec-ch-ua: \"Chromium\";v=\"156\"\r\naccept: */*\r\n\
         accept-encoding: gzip, deflate, br, zstd\r\n{others}\r\n\r\n"
    );
    let text = if agent == FIREFOX { text.replace("sec-ch-ua: \"Chromium\";v=\"156\"\r\n", "") } else { text };
    Inside { host: Host::parse(host.as_bytes()).unwrap(), text, opening: None }.grounds(agent)
}

#[test]
fn fetch_metadata_is_there_in_all_but_what_browsers_send_without() {
    let metadata = ["inner_fetch_metadata"];
    for agent in [CHROME, FIREFOX] {
        assert_eq!(without_metadata(agent, "a.test", "x: y"), metadata);
        assert_eq!(without_metadata(agent, "a.test", "sec-fetch-mode: cors"), [""; 0]);
        assert_eq!(without_metadata(agent, "a.test", "accept-language: en\r\nreferer: https://b.test/"), metadata);
        assert_eq!(without_metadata(agent, "a.test", "upgrade: WebSocket"), [""; 0]);
        assert_eq!(without_metadata(agent, "a.test", "upgrade: h2c"), metadata);
        assert_eq!(without_metadata(agent, "a.test", "access-control-request-method: POST"), [""; 0]);
    }
    // Firefox fetches things by itself, and sends to its own services.
    assert_eq!(without_metadata(FIREFOX, "a.test", "accept-language: en"), [""; 0]);
    assert_eq!(without_metadata(CHROME, "a.test", "accept-language: en"), metadata);
    for (host, expected) in [
        ("mozilla.com", &[][..]),
        ("firefox.settings.services.mozilla.com", &[]),
        ("notmozilla.com", &metadata),
        ("mozilla.com.a.test", &metadata),
        ("192.0.2.1", &metadata),
    ] {
        assert_eq!(without_metadata(FIREFOX, host, "x: y"), expected, "{host}");
    }
    assert_eq!(without_metadata(CHROME, "mozilla.com", "x: y"), metadata);
}

#[test]
fn an_opening_of_http2_is_the_browsers_own_in_each_of_its_parts() {
    for (agent, name) in [(CHROME, "chromium-156-headless"), (FIREFOX, "firefox-esr-153")] {
        let page = || Inside::read(&samples()[name], &samples()[name]["inner"][0]);
        let with = |change: &dyn Fn(&mut Http2Opening)| {
            let mut inside = page();
            inside.opening.iter_mut().for_each(change);
            inside.grounds(agent)
        };
        assert_eq!(with(&|_| ()), [""; 0]);
        assert_eq!(with(&|opening| opening.settings[0].1 += 1), ["inner_settings"]);
        assert_eq!(with(&|opening| opening.settings.swap(0, 1)), ["inner_settings"], "in their order");
        assert_eq!(with(&|opening| opening.settings = Box::default()), ["inner_settings"]);
        assert_eq!(with(&|opening| opening.window_update = None), ["inner_window"]);
        assert_eq!(with(&|opening| opening.window_update = Some(1)), ["inner_window"]);
        assert_eq!(with(&|opening| opening.pseudo_fields.swap(1, 2)), ["inner_pseudo_fields"]);
        let websocket = |opening: &mut Http2Opening| {
            let fields = [&opening.pseudo_fields[..], &[crate::parse::PseudoField::Protocol]].concat();
            opening.pseudo_fields = fields.into();
        };
        assert_eq!(with(&websocket), [""; 0]);
        assert_eq!(Inside { opening: None, ..page() }.grounds(agent), [""; 0], "nothing was seen of it");
    }
}

#[test]
fn what_newer_versions_do_inside_tls_is_not_held_against_them() {
    let mut inside = Inside::read(&samples()["curl"], &samples()["curl"]["inner"][0]);
    inside.text = inside.text.replace("accept: */*", "accept: */*\r\nsec-fetch-mode: cors");
    let own = ["inner_encoding", "inner_settings", "inner_window", "inner_pseudo_fields"];
    assert_eq!(inside.grounds(CHROME), own);
    assert_eq!(inside.grounds(&CHROME.replace("156", "157")), [""; 0]);
    assert_eq!(inside.grounds(&CHROME.replace("156", "149")), [""; 0]);
    assert_eq!(inside.grounds(FIREFOX), own);
    assert_eq!(inside.grounds(&FIREFOX.replace("Firefox/153", "Firefox/154")), [""; 0]);
    assert_eq!(inside.grounds("curl/8.0"), [""; 0], "no claim");
    assert_eq!(inside.grounds("Mozilla/5.0 Version/26.1 Safari/605.1.15"), [""; 0]);
}

#[test]
fn expectations_inside_tls_are_read_or_their_problems_are_told() {
    let problems = |inner: &str| {
        let text = format!("[browser.a]\ntokens = [\"A/\"]\nshows = []\n[[browser.a.inner]]\n{inner}\n");
        Browsers::read("b.toml", &text).map(|_| ()).map_err(|problems| problems[0].to_string())
    };
    assert_eq!(problems("settings = [\"1:2\", \"65535:4294967295\"]\npseudo_fields = [\":protocol\"]"), Ok(()));
    for (inner, expected) in [
        ("settings = [\"1=2\"]", "`settings` cannot hold \"1=2\""),
        ("settings = [\"65536:2\"]", "`settings` cannot hold \"65536:2\""),
        ("pseudo_fields = [\":status\"]", "`pseudo_fields` cannot hold \":status\""),
        ("window_update = 0", "window_update"),
        ("encoding = [\"gzip\"]", "unknown key `encoding`"),
    ] {
        let problem = problems(inner).unwrap_err();
        assert!(problem.contains(expected), "{problem}");
    }
}

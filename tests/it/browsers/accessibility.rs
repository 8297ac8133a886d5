//! All that people look at, as axe-core sees it: the pages of the console, and those that the gate shows to people at clients.
//! `tests/run` fetches axe-core below `target/`.

use std::path::Path;

use serde_json::{Value, json};

use super::Settings;
use super::console::{Person, finding, now};
use super::driven::Driven;
use super::office::{self, CALLED};
use super::site::Site;
use crate::gate::Gate;

/// What a page has to be good for, by WCAG 2.1 at its levels A and AA.
const RULES: &str = r#"{ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], resultTypes: ["violations"] }"#;

/// Both widths, and both colours.
const SCREENS: [(u32, bool); 4] = [(1280, false), (1280, true), (390, false), (390, true)];

/// axe-core as it is put into a page by DevTools: no policy of a page's own lets it in.
fn axe() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; tests/run fetches it", path.display()))
}

/// What is wrong with the page that stands there, rule by rule with where.
fn violations(browser: &mut Driven, axe: &str) -> Value {
    if browser.evaluate("typeof axe") != Ok("object".into()) {
        browser.evaluate(&format!("{axe};0")).unwrap();
    }
    let run = format!(
        "axe.run(document, {RULES}).then(found => JSON.stringify({{ passes: found.passes.length, bad: found.violations.map(bad =>
            bad.id + ': ' + bad.nodes.map(node => node.html + ' ' + node.failureSummary).join(' | ')) }}))"
    );
    let found = browser.evaluate(&run).unwrap();
    let found: Value = serde_json::from_str(found.as_str().unwrap()).unwrap();
    assert!(found["passes"].as_u64().unwrap() > 3, "axe-core looked at it: {found}");
    found["bad"].clone()
}

/// Looks at the page that stands there on both widths and in both colours.
fn see(browser: &mut Driven, axe: &str, what: &str, found: &mut Vec<String>) {
    for (width, is_dark) in SCREENS {
        browser.screen(width, is_dark);
        let bad = violations(browser, axe);
        if browser.evaluate("document.documentElement.scrollWidth > window.innerWidth") == Ok(true.into()) {
            found.push(format!("{what}, {width} px: it is wider than its window"));
        }
        if bad != json!([]) {
            found.push(format!("{what}, {width} px, dark: {is_dark}: {bad:#}"));
        }
    }
}

fn look_at_console(gate: &Gate, language: &str, ways: &[String]) {
    let (axe, mut found) = (axe(), Vec::new());
    let mut person = Person::new(gate);
    person.go(&format!("/login?lang={language}"));
    see(&mut person.browser, &axe, "/login", &mut found);
    person.log_in("admin");
    for way in ways {
        person.go(way);
        assert_eq!(person.browser.evaluate("document.documentElement.lang"), Ok(language.into()));
        see(&mut person.browser, &axe, way, &mut found);
    }
    // What comes of forms that are filled in.
    let month = sekisho::evidence::format_time(sekisho::facts::Timestamp(now()))[..7].to_owned();
    for (way, field, text, comes) in [
        ("/sweep", "list", "10.20.1.5\nnot to be understood", "document.querySelectorAll('table').length > 0"),
        ("/report", "month", &month, "document.querySelector('a[download]')"),
        ("/sql", "statement", "SELECT * FROM clients", "document.querySelectorAll('td').length > 2"),
        ("/sql", "statement", "SELECT", "document.querySelector('[role=alert]')"),
    ] {
        person.go(way);
        person.fill(field, text);
        person.browser.until(&format!("location.pathname === '{way}' && {comes}"));
        person.loaded();
        see(&mut person.browser, &axe, &format!("what comes of {text} at {way}"), &mut found);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn look_at_office(language: &str) {
    let (gate, _data) = office::gate();
    let [beacon, upload, _] = office::findings(now());
    let records = crate::gate::records(&gate.data_dir());
    let called = records.iter().rfind(|record| record["event"] == "open" && record["host"] == CALLED).unwrap();
    let exchange = called["id"].as_str().unwrap();
    let ways = [
        "/".to_owned(),
        "/blocked?days=1".into(),
        "/findings".into(),
        "/beacons".into(),
        format!("/finding?id={}", beacon.id),
        format!("/finding?id={}", upload.id),
        "/unknown".into(),
        "/programs".into(),
        "/errors".into(),
        format!("/around?id={exchange}"),
        format!("/like?id={exchange}&by=host"),
        "/sweep".into(),
        "/report".into(),
        "/client?name=PC-0123".into(),
        format!("/host?name={CALLED}"),
        "/host?name=nobody.example".into(),
        "/policy".into(),
        "/policy?client=10.20.1.5&method=GET&url=https%3A%2F%2Fwww.news.example%2F".into(),
        "/policy?client=nobody&method=GET&url=x".into(),
        "/live".into(),
        "/sql".into(),
        "/no-such-page".into(),
    ];
    look_at_console(&gate, language, &ways);
}

#[test]
fn axe_finds_no_fault_with_the_console_in_english() {
    look_at_office("en");
}

#[test]
fn axe_finds_no_fault_with_the_console_in_japanese() {
    look_at_office("ja");
}

#[test]
fn axe_finds_what_is_at_fault() {
    let gate = Gate::start("");
    let mut browser = Driven::chromium(gate.address, None, Settings::AS_INSTALLED);
    browser.go("http://stopped.example/");
    browser.until_shown("no_rule");
    let worsen =
        "document.querySelector('h1').style.color = '#eee'; document.body.append(document.createElement('img'))";
    let axe = axe();
    assert_eq!(violations(&mut browser, &axe), json!([]));
    browser.evaluate(worsen).unwrap();
    let bad = violations(&mut browser, &axe).to_string();
    assert!(bad.contains("color-contrast: ") && bad.contains("image-alt: "), "{bad}");
}

#[test]
fn axe_finds_no_fault_with_a_console_in_which_attackers_have_chosen_all_that_they_could() {
    let now = now();
    let (gate, _data) = super::console::gate(now);
    let ways = ["/blocked".to_owned(), format!("/finding?id={}", finding(now).id), "/client?name=10.20.1.5".into()];
    let records = crate::gate::records(&gate.data_dir());
    let exchange = records.iter().find(|record| record["event"] == "open").unwrap()["id"].as_str().unwrap().to_owned();
    let ways =
        [&ways[..], &["/errors".into(), format!("/around?id={exchange}"), format!("/like?id={exchange}&by=host")]]
            .concat();
    look_at_console(&gate, "en", &ways);
}

/// Has the browser ask for pages in this language.
fn speak(browser: &mut Driven, language: &str) {
    browser.devtools("Network.enable", &json!({}));
    let fields = json!({ "headers": { "Accept-Language": language } });
    browser.devtools("Network.setExtraHTTPHeaders", &fields);
}

#[test]
fn axe_finds_no_fault_with_what_people_at_clients_are_shown() {
    let (axe, mut found) = (axe(), Vec::new());
    let gate = Gate::configured("", "[gate]\ncontact = \"ask the helpdesk\"\n");
    let mut browser = Driven::chromium(gate.address, None, Settings::AS_INSTALLED);
    for language in ["en", "ja"] {
        speak(&mut browser, language);
        let here = format!("document.readyState === 'complete' && document.documentElement.lang === '{language}'");
        for (url, shows) in [
            ("http://stopped.example/a/b", "no_rule"),
            ("http://sekisho/", "stopped.example"),
            ("http://10.0.0.1/", "<dd>10.0.0.1</dd>"),
        ] {
            browser.go(url);
            browser.until_shown(shows);
            browser.until(&format!("{here} && location.href === '{url}'"));
            see(&mut browser, &axe, &format!("{url} in {language}"), &mut found);
        }
    }
    let site = Site::with("http", "<!doctype html><title>site</title>", "confirm = true");
    let mut browser = site.drive(Driven::chromium, Settings::AS_INSTALLED);
    for language in ["en", "ja"] {
        speak(&mut browser, language);
        browser.go(&site.url());
        let asks = "document.getElementById('go') && !document.getElementById('go').hidden";
        browser.until(&format!("{asks} && document.documentElement.lang === '{language}'"));
        see(&mut browser, &axe, &format!("the challenge in {language}"), &mut found);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

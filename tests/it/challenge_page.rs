//! The challenge of a plain request, by clients that do with its page what they should not.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::challenge_reset::{CHROMIUM, challenges};
use crate::gate::Gate;
use crate::origin::Origin;
use crate::peer::{Message, Peer};

struct Site {
    origin: Origin,
    gate: Gate,
}

/// A challenge as a page carries it.
pub(crate) struct Page {
    pub(crate) token: String,
    bits: u32,
    path: String,
}

impl Site {
    fn new(keys: &str) -> Self {
        let origin = Origin::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let gate = Gate::start(&origin.rule(keys).replace("\"allow\"", "\"challenge\""));
        Self { origin, gate }
    }

    /// What is asked for at this path, as Chromium writes a navigation or what a script of the page asks for.
    fn request(&self, path: &str, user_agent: &str) -> String {
        let (origin, scripted) = (self.origin.address, path.starts_with("/.well-known"));
        let upgrade = if scripted { "" } else { "Upgrade-Insecure-Requests: 1\r\n" };
        let accept = if scripted { "*/*" } else { "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" };
        format!(
            "GET http://{origin}{path} HTTP/1.1\r\nHost: {origin}\r\nProxy-Connection: keep-alive\r\n{upgrade}\
             User-Agent: {user_agent}\r\nAccept: {accept}\r\nAccept-Encoding: gzip, deflate\r\n\
             Accept-Language: en-US,en;q=0.9\r\n\r\n"
        )
    }

    fn ask(&self, client: &mut Peer, path: &str, user_agent: &str) -> Message {
        client.send(self.request(path, user_agent));
        client.answer()
    }

    /// The page that a navigation gets.
    fn page(&self, client: &mut Peer) -> Page {
        let answer = self.ask(client, "/", CHROMIUM);
        assert_eq!((answer.status(), answer.field("cache-control")), (403, Some("no-store")), "{}", answer.head);
        Page::of(&answer)
    }
}

impl Page {
    pub(crate) fn of(page: &Message) -> Self {
        let text = page.text();
        let line = text.lines().find(|line| line.contains("var token = ")).unwrap_or_else(|| panic!("{text}"));
        let quoted: Vec<_> = line.split('"').collect();
        let bits = quoted[2].trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        Self { token: quoted[1].to_owned(), bits, path: quoted[3].to_owned() }
    }

    /// What the page's script asks for once it has done its work.
    pub(crate) fn solved(&self) -> String {
        let solves = |number: &u32| {
            let hash = Sha256::digest(format!("{}.{number}", self.token));
            u32::from_be_bytes(*hash.first_chunk().unwrap()).leading_zeros() >= self.bits
        };
        self.with((0..).find(solves).unwrap())
    }

    pub(crate) fn with(&self, number: u32) -> String {
        format!("{}?t={}&n={number}", self.path, self.token)
    }
}

fn outcomes(records: &[Value]) -> Vec<&str> {
    challenges(records).iter().map(|record| record["outcome"].as_str().unwrap()).collect()
}

#[test]
fn an_answer_that_is_forged_used_or_another_programs_is_not_taken_and_the_right_one_is() {
    let mut site = Site::new("");
    let mut client = site.gate.client();
    let page = site.page(&mut client);
    let solved = page.solved();
    let (other, another_gate) = (CHROMIUM.replace("X11; Linux x86_64", "Windows NT 10.0; Win64; x64"), Site::new(""));
    let foreign = another_gate.page(&mut another_gate.gate.client()).solved();
    let altered = solved.replacen("?t=A", "?t=B", 1);
    assert_ne!(altered, solved);
    for (answer, user_agent, status, detail) in [
        (&altered, CHROMIUM, 403, "this gate does not know the page"),
        (&foreign, CHROMIUM, 403, "this gate does not know the page"),
        (&page.with(u32::MAX), CHROMIUM, 403, "does not solve"),
        (&solved, &*other, 409, "the page was given to another program"),
        (&solved, CHROMIUM, 204, ""),
    ] {
        let said = site.ask(&mut client, answer, user_agent);
        assert!(said.status() == status && said.text().contains(detail), "{answer}: {}{}", said.head, said.text());
    }
    // What was taken once clears nobody again, and a tab that is late is not told that it failed.
    assert_eq!(site.ask(&mut client, &solved, CHROMIUM).status(), 204);
    assert_eq!(site.ask(&mut client, &solved, &other).status(), 409);
    assert_eq!(site.ask(&mut client, "/", &other).status(), 403);
    assert_eq!(site.ask(&mut client, "/", CHROMIUM).status(), 200);
    assert_eq!(site.origin.requests().len(), 1, "no answer to the page reached the site");
    let records = site.gate.records();
    let failed = ["not_solved"; 4];
    assert_eq!(outcomes(&records), [&failed[..], &["solved", "not_solved"]].concat(), "{records:#?}");
}

#[test]
fn a_browser_whose_scripts_are_another_program_is_given_three_pages_and_then_told() {
    let mut site = Site::new("");
    let mut client = site.gate.client();
    let other = CHROMIUM.replace("X11; Linux x86_64", "Windows NT 10.0; Win64; x64");
    for _ in 0..3 {
        let page = site.page(&mut client);
        assert_eq!(site.ask(&mut client, &page.solved(), &other).status(), 409);
    }
    let end = site.ask(&mut client, "/", CHROMIUM);
    assert!(end.status() == 403 && end.text().contains("challenge_given_up"), "{}", end.text());
    assert!(!end.text().contains("<script"), "{}", end.text());
    // Who has not answered any is asked.
    assert!(site.ask(&mut client, "/", &other).text().contains("<script"));
    assert_eq!(outcomes(&site.gate.records()), ["not_solved", "not_solved", "not_solved", "given_up"]);
}

#[test]
fn a_thousand_tabs_at_once_are_cleared_by_the_first_that_answers() {
    let mut site = Site::new("");
    let mut tabs: Vec<_> = (0..20).map(|_| site.gate.client()).collect();
    let mut pages = Vec::new();
    for tab in &mut tabs {
        (0..50).for_each(|_| tab.send(site.request("/", CHROMIUM)));
        pages.extend((0..50).map(|_| Page::of(&tab.answer())));
    }
    assert_eq!(pages.len(), 1000);
    let first = pages.pop().unwrap().solved();
    assert_eq!(site.ask(&mut tabs[0], &first, CHROMIUM).status(), 204);
    // The others answer later, whether right or wrong, and load their pages again.
    for (tab, page) in pages.iter().enumerate() {
        assert_eq!(site.ask(&mut tabs[tab % 20], &page.with(1), CHROMIUM).status(), 204);
    }
    for tab in &mut tabs {
        (0..50).for_each(|_| tab.send(site.request("/", CHROMIUM)));
        (0..50).for_each(|_| assert_eq!(tab.answer().status(), 200));
    }
    drop(tabs);
    // Of a thousand answers that try nothing one is right by chance now and then, and is on record as such.
    let records = site.gate.records();
    let outcomes = outcomes(&records);
    assert!(!outcomes.is_empty() && outcomes.iter().all(|outcome| *outcome == "solved"), "{outcomes:?}");
}

#[test]
fn what_can_show_no_page_is_denied_from_a_program_that_is_not_cleared() {
    let site = Site::new("");
    let mut client = site.gate.client();
    let navigation = site.request("/", CHROMIUM);
    let origin = site.origin.address;
    let html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for request in [
        navigation.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"),
        navigation.replace("GET", "OPTIONS").replace("\r\n\r\n", "\r\nAccess-Control-Request-Method: PUT\r\n\r\n"),
        navigation.replace("Upgrade-Insecure-Requests: 1\r\n", ""),
        navigation.replace(html, "image/avif,image/webp,*/*;q=0.8"),
        navigation.replace("\r\n\r\n", "\r\nSec-Purpose: prefetch\r\n\r\n"),
        // A revocation list, a probe for a captive portal, a proxy's configuration.
        format!(
            "GET http://{origin}/ca.crl HTTP/1.1\r\nHost: {origin}\r\nUser-Agent: {CHROMIUM}\r\nAccept: */*\r\n\r\n"
        ),
        format!("GET http://{origin}/generate_204 HTTP/1.1\r\nHost: {origin}\r\nUser-Agent: {CHROMIUM}\r\n\r\n"),
        format!("GET http://{origin}/wpad.dat HTTP/1.1\r\nHost: {origin}\r\nUser-Agent: {CHROMIUM}\r\n\r\n"),
    ] {
        client.send(&request);
        let answer = client.answer();
        assert!(answer.status() == 403 && answer.text().contains("clearance_needed"), "{request}{}", answer.text());
        assert!(!answer.text().contains("<script"), "{request}");
    }
    assert_eq!(site.origin.requests().len(), 0);
}

#[test]
fn a_rule_that_challenges_some_paths_is_met_though_the_answer_goes_to_another() {
    let site = Site::new("paths = [\"/app/**\"]");
    let mut client = site.gate.client();
    let page = site.ask(&mut client, "/app/x", CHROMIUM);
    assert!(page.text().contains("<script"), "{}", page.text());
    assert!(site.ask(&mut client, "/", CHROMIUM).text().contains("port_not_opened"));
    assert_eq!(site.ask(&mut client, &Page::of(&page).solved(), CHROMIUM).status(), 204);
    assert_eq!(site.ask(&mut client, "/app/x", CHROMIUM).status(), 200);
    assert_eq!(site.ask(&mut client, "/", CHROMIUM).status(), 403);
}

#[test]
fn a_browser_whose_heads_were_not_measured_is_one_program_whatever_it_asks_for() {
    const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                          Version/26.1 Safari/605.1.15";
    let site = Site::new("");
    let mut client = site.gate.client();
    let page = Page::of(&site.ask(&mut client, "/", SAFARI));
    // Its script sends other fields than its navigation.
    assert_eq!(site.ask(&mut client, &page.solved(), SAFARI).status(), 204);
    assert_eq!(site.ask(&mut client, "/", SAFARI).status(), 200);
    client.send(format!(
        "GET http://{0}/i.svg HTTP/1.1\r\nHost: {0}\r\nUser-Agent: {SAFARI}\r\nAccept: image/*\r\n\r\n",
        site.origin.address
    ));
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn a_program_that_claims_no_browser_is_told_which_rule_would_let_it_through() {
    let site = Site::new("");
    let mut client = site.gate.client();
    let refused = site.ask(&mut client, "/", "Wget/1.21.3");
    assert!(refused.status() == 403 && refused.text().contains("not_a_browser"), "{}", refused.text());
    for line in ["[programs.&quot;Wget&quot;]", "user_agent = &quot;Wget/*&quot;", "verdict  = &quot;allow&quot;"] {
        assert!(refused.text().contains(line), "{line}: {}", refused.text());
    }
}

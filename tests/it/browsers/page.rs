//! The page of the challenge as people have set their browsers.

use std::process::Command;

use serde_json::Value;

use super::Settings;
use super::driven::{Drive, Driven};
use super::site::Site;

/// A page that tells that it came without a script.
const SCRIPTLESS: &str = "<!doctype html><title>site</title><p>the page itself<img src=\"/done?true\">";

const NO_SCRIPTS: Settings = Settings { scripts: false, ..Settings::AS_INSTALLED };

fn outcomes(records: &[Value]) -> Vec<(&str, &str)> {
    let challenges = records.iter().filter(|record| record["kind"] == "challenge");
    challenges.map(|record| (record["means"].as_str().unwrap(), record["outcome"].as_str().unwrap())).collect()
}

/// That nothing of the site was asked for.
fn is_untouched(site: &Site) {
    assert!(site.asked.lock().unwrap().is_empty(), "{:?}", site.asked.lock().unwrap());
}

fn waits_where_scripts_are_off(drive: Drive) {
    let mut site = Site::with("http", SCRIPTLESS, "no_script = true");
    let mut browser = site.drive(drive, NO_SCRIPTS);
    browser.go(&format!("{}?a=b#c", site.url()));
    assert_eq!(site.told(), true);
    browser.until_shown("the page itself");
    let asked = site.asked.lock().unwrap().clone();
    assert!(asked[0].starts_with("GET site.test/?a=b"), "{asked:#?}");
    assert_eq!(outcomes(&site.gate.records()), [("wait", "solved")]);
}

#[test]
fn chromium_without_scripts_waits_where_the_rule_says_so() {
    waits_where_scripts_are_off(Driven::chromium);
}

#[test]
fn firefox_without_scripts_waits_where_the_rule_says_so() {
    waits_where_scripts_are_off(Driven::firefox);
}

fn says_what_to_do_where_scripts_are_off(drive: Drive) {
    let site = Site::with("http", SCRIPTLESS, "");
    let mut browser = site.drive(drive, NO_SCRIPTS);
    browser.go(&site.url());
    let shown = browser.until_shown("JavaScript is switched off");
    assert!(!shown.contains("http-equiv") && shown.contains("ask your administrator"), "{shown}");
    is_untouched(&site);
}

#[test]
fn chromium_without_scripts_shows_what_to_do() {
    says_what_to_do_where_scripts_are_off(Driven::chromium);
}

#[test]
fn firefox_without_scripts_shows_what_to_do() {
    says_what_to_do_where_scripts_are_off(Driven::firefox);
}

fn needs_no_cookies(drive: Drive) {
    let mut site = Site::new("http");
    let mut browser = site.drive(drive, Settings { cookies: false, ..Settings::AS_INSTALLED });
    browser.go(&site.url());
    let came = site.told();
    assert!(came.as_object().unwrap().values().all(|ok| *ok == true), "{came}");
    // Its tunnels end with it.
    drop(browser);
    assert_eq!(outcomes(&site.gate.records()), [("page", "solved")]);
}

#[test]
fn chromium_without_cookies_and_storage_is_challenged_once_and_the_page_loads_whole() {
    needs_no_cookies(Driven::chromium);
}

#[test]
fn firefox_without_cookies_and_storage_is_challenged_once_and_the_page_loads_whole() {
    needs_no_cookies(Driven::firefox);
}

fn asks_a_person(drive: Drive, mut site: Site) {
    let mut browser = site.drive(drive, Settings::AS_INSTALLED);
    browser.go(&site.url());
    browser.until("document.getElementById('go') && !document.getElementById('go').hidden");
    is_untouched(&site);
    browser.evaluate("document.getElementById('go').click()").unwrap();
    assert_eq!(site.told(), true);
    // It holds for this site for a while, and not for another.
    browser.go(&site.url());
    assert_eq!(site.told(), true);
    browser.go(&site.url().replace("site.test", "frame.test"));
    browser.until("document.getElementById('go') && !document.getElementById('go').hidden");
    drop(browser);
    assert_eq!(outcomes(&site.records()), [("page", "solved")]);
}

#[test]
fn a_person_at_chromium_says_that_a_site_is_meant() {
    asks_a_person(Driven::chromium, Site::with("http", SCRIPTLESS, "confirm = true"));
}

#[test]
fn a_person_at_firefox_says_that_a_site_is_meant() {
    asks_a_person(Driven::firefox, Site::with("http", SCRIPTLESS, "confirm = true"));
}

#[test]
fn a_person_at_chromium_says_that_a_site_is_meant_where_the_gate_looks_inside() {
    asks_a_person(Driven::chromium, Site::inspected(SCRIPTLESS, "confirm = true"));
}

#[test]
fn a_person_at_firefox_says_that_a_site_is_meant_where_the_gate_looks_inside() {
    asks_a_person(Driven::firefox, Site::inspected(SCRIPTLESS, "confirm = true"));
}

/// A page that sets up a service worker, and tells whether it was fetched by one.
const WORKED: &str = "<!doctype html><title>site</title><script>
var controlled = !!navigator.serviceWorker.controller;
navigator.serviceWorker.register('/worker.js').then(function () { return navigator.serviceWorker.ready; })
  .then(function () { return fetch('/done?' + controlled); });
</script>";

/// Over http only Firefox can be told to have service workers and to write its requests as it does without them.
#[test]
fn a_navigation_that_a_service_worker_of_firefox_asks_for_again_is_shown_the_page() {
    let mut site = Site::with("http", WORKED, "");
    let mut browser = site.drive(Driven::firefox, Settings::AS_INSTALLED);
    browser.go(&site.url());
    assert_eq!(site.told(), false);
    let mut revoke = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let revoked = revoke.args(["clearance", "revoke", "--all"]).arg(site.gate.data_dir()).output().unwrap();
    assert!(revoked.status.success(), "{revoked:?}");
    // The worker asks for the page this time.
    browser.go(&site.url());
    assert_eq!(site.told(), true);
    assert_eq!(outcomes(&site.gate.records()), [("page", "solved"), ("page", "solved")]);
}

fn is_challenged_inside_behind_a_service_worker(drive: Drive) {
    let mut site = Site::inspected(WORKED, "");
    let mut browser = site.drive(drive, Settings::AS_INSTALLED);
    browser.go(&site.url());
    assert_eq!(site.told(), false);
    let mut revoke = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let revoked = revoke.args(["clearance", "revoke", "--all"]).arg(site.data_dir()).output().unwrap();
    assert!(revoked.status.success(), "{revoked:?}");
    // On the connection that stands no tunnel is challenged: the page is.
    browser.go(&site.url());
    assert_eq!(site.told(), true);
    drop(browser);
    assert_eq!(outcomes(&site.records()), [("reset", "returned"), ("page", "solved")]);
}

#[test]
fn a_navigation_that_a_service_worker_of_chromium_asks_for_again_is_shown_the_page_inside() {
    is_challenged_inside_behind_a_service_worker(Driven::chromium);
}

#[test]
fn a_navigation_that_a_service_worker_of_firefox_asks_for_again_is_shown_the_page_inside() {
    is_challenged_inside_behind_a_service_worker(Driven::firefox);
}

/// A page that tells that it came, by a script.
const TAB: &str = "<!doctype html><title>site</title><script>fetch('/done?' + location.search.slice(1));</script>";

fn opens_all_tabs(drive: Drive, count: u64) {
    let mut site = Site::with("http", TAB, "");
    let mut browser = site.drive(drive, Settings::AS_INSTALLED);
    (0..count).for_each(|tab| browser.open_tab(&format!("{}?{tab}", site.url())));
    let mut told: Vec<_> = (0..count).map(|_| site.told().as_u64().unwrap()).collect();
    told.sort_unstable();
    assert_eq!(told, Vec::from_iter(0..count));
    let records = site.gate.records();
    assert!(records.iter().all(|record| record["reason"] != "challenge_given_up"), "{records:#?}");
}

#[test]
fn all_tabs_that_chromium_opens_at_once_come_to_their_pages() {
    opens_all_tabs(Driven::chromium, 12);
}

#[test]
fn all_tabs_that_firefox_opens_at_once_come_to_their_pages() {
    opens_all_tabs(Driven::firefox, 12);
}

/// Chromium's hello has the extension encrypted_client_hello, whether there is a name in it or not.
#[test]
fn a_hello_that_the_rule_does_not_take_is_told_on_a_page_where_the_gate_looks_inside() {
    let mut site = Site::inspected(SCRIPTLESS, "ech = \"deny\"");
    let mut browser = site.drive(Driven::chromium, Settings::AS_INSTALLED);
    browser.go(&site.url());
    browser.until_shown("ech_denied");
    is_untouched(&site);
    drop(browser);
    let records = site.records();
    let refused = records.iter().find(|record| record["reason"] == "ech_denied").unwrap();
    assert_eq!((&refused["scheme"], &refused["path"]), (&"https".into(), &"/".into()), "{refused}");
}

/// A page that refuses has the browser try the next authority, and shows nothing of that.
fn tries_the_next_authority(drive: Drive, is_trusted: bool) {
    let mut site = Site::inspected(SCRIPTLESS, "");
    site.rotate(is_trusted);
    let mut browser = site.drive(drive, Settings::AS_INSTALLED);
    browser.go("http://refused.example/");
    browser.until_shown("refused.example");
    browser.until("document.images.length === 1 && document.images[0].complete && document.images[0].height === 0");
    drop(browser);
    let records = site.records();
    let tried: Vec<_> = records.iter().filter(|record| record["reason"] == "next_authority").collect();
    let ends: Vec<_> = records
        .iter()
        .filter(|record| record["event"] == "close" && tried.iter().any(|it| it["id"] == record["id"]))
        .map(|record| record["closed_how"].as_str().unwrap())
        .collect();
    let expected = if is_trusted { "complete" } else { "tls_refused" };
    assert!(ends.contains(&expected), "{ends:?} {records:#?}");
    assert!(is_trusted || !ends.contains(&"complete"), "{ends:?}");
}

#[test]
fn chromium_that_trusts_the_next_authority_shows_it_at_a_page_that_refuses() {
    tries_the_next_authority(Driven::chromium, true);
}

#[test]
fn chromium_that_lacks_the_next_authority_shows_it_at_a_page_that_refuses() {
    tries_the_next_authority(Driven::chromium, false);
}

#[test]
fn firefox_that_trusts_the_next_authority_shows_it_at_a_page_that_refuses() {
    tries_the_next_authority(Driven::firefox, true);
}

#[test]
fn firefox_that_lacks_the_next_authority_shows_it_at_a_page_that_refuses() {
    tries_the_next_authority(Driven::firefox, false);
}

/// Asks for what wants NTLM, and tells what it got.
const NTLM: &str = "<!doctype html><title>site</title><script>
fetch('/ntlm').then(function (answer) { fetch('/done?' + answer.status); }, function () { fetch('/done?0'); });
</script>";

fn comes_again_by_http11_where_ntlm_is_asked_for(drive: Drive) {
    let mut site = Site::inspected(NTLM, "");
    let mut browser = site.drive(drive, Settings::AS_INSTALLED);
    browser.go(&site.url());
    assert_eq!(site.told(), 200);
    drop(browser);
    let records = site.records();
    let asked = records.iter().filter(|record| record["path"] == "/ntlm" && record["event"] == "open");
    let protocols: Vec<_> = asked.map(|record| record["http"].as_str().unwrap()).collect();
    assert_eq!(protocols, ["2", "1.1"]);
}

#[test]
fn chromium_comes_again_by_http11_where_an_origin_asks_for_ntlm() {
    comes_again_by_http11_where_ntlm_is_asked_for(Driven::chromium);
}

#[test]
fn firefox_comes_again_by_http11_where_an_origin_asks_for_ntlm() {
    comes_again_by_http11_where_ntlm_is_asked_for(Driven::firefox);
}

/// So does one that challenges, and its site comes all the same.
fn tries_the_next_authority_while_it_is_challenged(drive: Drive, is_trusted: bool) {
    let mut site = Site::page_first();
    site.rotate(is_trusted);
    let mut browser = site.drive(drive, Settings::AS_INSTALLED);
    browser.go(&site.url());
    site.told();
    drop(browser);
    let records = site.records();
    let pages = records.iter().filter(|record| record["reason"] == "challenge_page").count();
    let tried = records.iter().filter(|record| record["reason"] == "next_authority").count();
    assert!(pages == 1 && tried > 0, "{records:#?}");
}

#[test]
fn chromium_tries_the_next_authority_while_it_is_challenged() {
    tries_the_next_authority_while_it_is_challenged(Driven::chromium, true);
}

#[test]
fn firefox_that_lacks_the_next_authority_passes_the_challenge_all_the_same() {
    tries_the_next_authority_while_it_is_challenged(Driven::firefox, false);
}

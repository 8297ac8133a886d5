//! Nothing of a modern page may break behind a challenge.

use serde_json::Value;

use super::Settings;
use super::driven::{Drive, Driven};
use super::site::{PAGE, Site, field};

/// Visits the site twice, of which nothing may be missing, and gives what is on record of it.
fn records_of_two_whole_visits(site: &mut Site, drive: Drive) -> Vec<Value> {
    records_of_two_whole_visits_as(site, drive, Settings::AS_INSTALLED)
}

fn records_of_two_whole_visits_as(site: &mut Site, drive: Drive, settings: Settings) -> Vec<Value> {
    let mut browser = site.drive(drive, settings);
    // Firefox 140 ends the tunnel of a WebSocket within which HTTP/2 was agreed on, and often opens no other.
    let may_lack_socket = browser.is_firefox_before(153) && settings.http2 && site.is_inspected;
    for visit in ["the first", "a later"] {
        browser.go(&site.url());
        let came = site.told();
        for (part, ok) in came.as_object().unwrap() {
            assert!(
                *ok == true || (may_lack_socket && part == "socket"),
                "{visit}, {part}: {came}\n{:#?}",
                site.asked.lock().unwrap()
            );
        }
        // Over http a browser has no service workers.
        let parts = if site.scheme == "https" { 11 } else { 10 };
        assert_eq!(came.as_object().unwrap().len(), parts, "{visit}: {came}");
        // A form's answer is a page whether it is the site's or the gate's.
        let asked = std::mem::take(&mut *site.asked.lock().unwrap());
        let has = |what: &str| asked.iter().any(|line| line.starts_with(what));
        assert!(has("POST form.test/post") && has("GET font.test/f.woff2"), "{visit}: {asked:#?}");
        let (over_http2, others): (Vec<_>, Vec<_>) = asked.iter().partition(|line| line.contains(" HTTP/2.0\r\n"));
        // WebSockets are the one thing that browsers and the gate ask for in HTTP/1.1.
        let is_as_set = if site.is_http2 {
            over_http2.len() >= 11 && others.iter().all(|line| field(line, "sec-websocket-key").is_some())
        } else {
            over_http2.is_empty()
        };
        assert!(is_as_set, "{visit}: {asked:#?}");
        let has_ours = |head: &String| head.contains("well-known") || field(head, "cookie").is_some();
        assert!(!asked.iter().any(has_ours), "nothing of ours but Via reaches an origin: {asked:#?}");
    }
    // Its tunnels end with it.
    drop(browser);
    let records = site.records();
    let to_ours = |record: &&Value| record["host"].as_str().is_some_and(|host| host.ends_with(".test"));
    let contradicted: Vec<_> = records.iter().filter(to_ours).filter(|record| record["grounds"].is_array()).collect();
    assert!(contradicted.is_empty(), "{contradicted:#?}");
    records.into_iter().filter(|record| to_ours(&record)).collect()
}

fn loads_whole_behind_one_page(drive: Drive) {
    one_page_of(Site::new("http"), drive);
}

fn one_page_of(mut site: Site, drive: Drive) {
    let records = records_of_two_whole_visits(&mut site, drive);
    let pages = records.iter().filter(|record| record["reason"] == "challenge_page").count();
    assert_eq!(pages, 1, "{records:#?}");
    for record in records.iter().filter(|record| record["event"] == "refused") {
        let reason = record["reason"].as_str().unwrap();
        assert!(matches!(reason, "challenge_page" | "challenge_solved"), "{record:#}");
    }
}

fn loads_whole_behind_one_reset(drive: Drive) {
    let mut site = Site::new("https");
    let records = records_of_two_whole_visits(&mut site, drive);
    let refused: Vec<_> = records.iter().filter(|record| record["event"] == "refused").collect();
    let (ended, others): (Vec<_>, Vec<_>) = refused.into_iter().partition(|record| record["reason"] == "tunnel_reset");
    assert_eq!(ended.len(), 1, "{ended:#?}");
    // A browser opens tunnels ahead, and closes those that it does not need.
    assert!(others.iter().all(|record| record["reason"] == "client_closed"), "{others:#?}");
    let challenges: Vec<_> = records.iter().filter(|record| record["kind"] == "challenge").collect();
    assert_eq!(challenges.len(), 1, "{challenges:#?}");
    assert_eq!(challenges[0]["outcome"], "returned", "{challenges:#?}");
}

#[test]
fn chromium_goes_by_the_gate_that_serves_the_file_which_says_so() {
    one_page_of(Site::with_own_pac("http"), Driven::chromium);
}

#[test]
fn firefox_goes_by_the_gate_that_serves_the_file_which_says_so() {
    one_page_of(Site::with_own_pac("http"), Driven::firefox);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_chromium_over_https_and_nobody_sees_a_challenge() {
    loads_whole_behind_one_reset(Driven::chromium);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_firefox_over_https_and_nobody_sees_a_challenge() {
    loads_whole_behind_one_reset(Driven::firefox);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_chromium_behind_one_challenge() {
    loads_whole_behind_one_page(Driven::chromium);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_firefox_behind_one_challenge() {
    loads_whole_behind_one_page(Driven::firefox);
}

/// A page that fetches from 520 hosts, eight at a time, and tells how many answered.
const MANY: &str = "<!doctype html><title>site</title><script>
var next = 0, came = 0, running = 8;
function more() {
  if (next === 520) { running -= 1; if (!running) { fetch('/done?' + came); } return; }
  fetch('http://n' + next++ + '.many.test/').then(function (answer) { return answer.text(); })
    .then(function () { came += 1; }, function () {}).then(more);
}
for (var i = 0; i < 8; i++) { more(); }
</script>";

fn nothing_speaks_against(drive: Drive) {
    let mut site = Site::with("https", MANY, "");
    let mut browser = site.drive(drive, Settings::AS_INSTALLED);
    browser.go(&site.url());
    assert_eq!(site.told(), 520);
    drop(browser);
    let records = site.gate.records();
    let of_many = |record: &&Value| record["host"].as_str().is_some_and(|host| host.ends_with(".many.test"));
    let tunnels: Vec<_> = records.iter().filter(of_many).filter(|record| record["event"] == "open").collect();
    assert!(tunnels.len() >= 500, "{}", tunnels.len());
    for tunnel in tunnels {
        assert_eq!((&tunnel["method"], &tunnel["grounds"]), (&"CONNECT".into(), &Value::Null), "{tunnel:#}");
        assert!(tunnel["ja4"].is_string() && tunnel["program"].is_string(), "{tunnel:#}");
    }
}

#[test]
fn nothing_speaks_against_any_of_five_hundred_tunnels_of_chromium() {
    nothing_speaks_against(Driven::chromium);
}

#[test]
fn nothing_speaks_against_any_of_five_hundred_tunnels_of_firefox() {
    nothing_speaks_against(Driven::firefox);
}

/// What is asked for inside, where all of a page is.
fn has_paths(records: &[Value]) {
    let paths: Vec<_> = records.iter().filter_map(|record| record["path"].as_str()).collect();
    for path in ["/", "/s.css", "/s.js", "/f", "/post", "/d.bin", "/worker.js"] {
        assert!(paths.contains(&path), "{path} was seen inside: {paths:?}");
    }
}

fn loads_whole_inside(drive: Drive, http2: bool) {
    loads_whole_inside_of(Site::inspected(PAGE, ""), drive, http2);
}

fn loads_whole_inside_of(mut site: Site, drive: Drive, http2: bool) {
    let settings = Settings { http2, ..Settings::AS_INSTALLED };
    let records = records_of_two_whole_visits_as(&mut site, drive, settings);
    let inner: Vec<_> = records.iter().filter(|record| record["scheme"] == "https").collect();
    let of_http2 = inner.iter().filter(|record| record["http"] == "2").count();
    // A WebSocket begins with HTTP/1.1.
    let is_as_set = if http2 { of_http2 * 10 > inner.len() * 8 } else { of_http2 == 0 };
    assert!(is_as_set, "{of_http2} of {}: {inner:#?}", inner.len());
    assert!(inner.iter().all(|record| record["event"] != "refused"), "{inner:#?}");
    has_paths(&records);
    assert!(http2 || inner.iter().any(|record| record["path"] == "/w"), "its WebSocket was seen inside: {inner:#?}");
    let resets = records.iter().filter(|record| record["reason"] == "tunnel_reset").count();
    assert_eq!(resets, 1, "{records:#?}");
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_chromium_where_the_gate_looks_inside() {
    loads_whole_inside(Driven::chromium, true);
}

#[test]
fn a_page_of_ten_hosts_that_speak_http2_loads_whole_in_chromium_where_the_gate_looks_inside() {
    loads_whole_inside_of(Site::inspected_over_http2(PAGE), Driven::chromium, true);
}

#[test]
fn a_page_of_ten_hosts_that_speak_http2_loads_whole_in_firefox_where_the_gate_looks_inside() {
    loads_whole_inside_of(Site::inspected_over_http2(PAGE), Driven::firefox, true);
}

#[test]
fn a_page_of_ten_hosts_that_speak_http2_loads_whole_in_chromium_over_http11_where_the_gate_looks_inside() {
    loads_whole_inside_of(Site::inspected_over_http2(PAGE), Driven::chromium, false);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_chromium_over_http11_where_the_gate_looks_inside() {
    loads_whole_inside(Driven::chromium, false);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_firefox_where_the_gate_looks_inside() {
    loads_whole_inside(Driven::firefox, true);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_firefox_over_http11_where_the_gate_looks_inside() {
    loads_whole_inside(Driven::firefox, false);
}

/// Every request of a visit through the proxy within TLS, over HTTP/2 and with its program's identity.
fn loads_whole_within_tls(drive: Drive, scheme: &'static str, keys: &str) -> Vec<Value> {
    let mut site = Site::within_tls(scheme, keys);
    let records = records_of_two_whole_visits(&mut site, drive);
    let asked: Vec<_> = records.iter().filter(|record| record["method"].is_string()).collect();
    assert!(asked.len() > 10, "{records:#?}");
    for record in &asked {
        assert!(record["ja4"].is_string(), "{record:#}");
    }
    let of_http2 = asked.iter().filter(|record| record["http"] == "2").count();
    // A WebSocket begins with HTTP/1.1.
    assert!(of_http2 * 10 > asked.len() * 8, "{of_http2} of {}: {asked:#?}", asked.len());
    records
}

fn with_reason<'r>(records: &'r [Value], reason: &str) -> Vec<&'r Value> {
    records.iter().filter(|record| record["reason"] == reason).collect()
}

fn loads_whole_within_tls_over_http(drive: Drive) {
    let records = loads_whole_within_tls(drive, "http", "");
    assert_eq!(with_reason(&records, "challenge_page").len(), 1, "{records:#?}");
}

fn loads_whole_within_tls_over_https(drive: Drive) {
    let records = loads_whole_within_tls(drive, "https", "");
    assert_eq!(with_reason(&records, "tunnel_reset").len(), 1, "{records:#?}");
}

fn loads_whole_within_tls_inside(drive: Drive) {
    let records = loads_whole_within_tls(drive, "https", "inspect = true");
    has_paths(&records);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_chromium_over_http_through_the_proxy_within_tls() {
    loads_whole_within_tls_over_http(Driven::chromium);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_firefox_over_http_through_the_proxy_within_tls() {
    loads_whole_within_tls_over_http(Driven::firefox);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_chromium_over_https_through_the_proxy_within_tls() {
    loads_whole_within_tls_over_https(Driven::chromium);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_firefox_over_https_through_the_proxy_within_tls() {
    loads_whole_within_tls_over_https(Driven::firefox);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_chromium_looked_into_through_the_proxy_within_tls() {
    loads_whole_within_tls_inside(Driven::chromium);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_firefox_looked_into_through_the_proxy_within_tls() {
    loads_whole_within_tls_inside(Driven::firefox);
}

fn is_cleared_for_tunnels_by_a_page(drive: Drive) {
    let mut site = Site::page_first();
    let records = records_of_two_whole_visits(&mut site, drive);
    assert_eq!(with_reason(&records, "challenge_page").len(), 1, "{records:#?}");
    assert_eq!(with_reason(&records, "tunnel_reset").len(), 0, "{records:#?}");
    let tunnels = |record: &&Value| record["event"] == "open" && record["method"] == "CONNECT";
    let others = records.iter().filter(tunnels).filter(|record| record["host"] != "site.test").count();
    assert!(others >= 8, "they are challenged, and were not looked into: {records:#?}");
}

#[test]
fn chromium_that_was_cleared_by_a_page_inside_is_cleared_for_tunnels() {
    is_cleared_for_tunnels_by_a_page(Driven::chromium);
}

#[test]
fn firefox_that_was_cleared_by_a_page_inside_is_cleared_for_tunnels() {
    is_cleared_for_tunnels_by_a_page(Driven::firefox);
}

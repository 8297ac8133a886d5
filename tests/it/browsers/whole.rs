//! Nothing of a modern page may break behind a challenge.

use serde_json::Value;

use super::site::{Site, field};
use super::{Browser, Start};

/// Visits the site, of which nothing may be missing, and gives what is on record of it.
fn records_of_a_whole_visit(site: &mut Site, browser: Start) -> Vec<Value> {
    let came = site.visit(browser);
    for (part, ok) in came.as_object().unwrap() {
        assert_eq!(*ok, true, "{part}: {came}\n{:#?}", site.asked.lock().unwrap());
    }
    assert_eq!(came.as_object().unwrap().len(), 9, "{came}");
    // A form's answer is a page whether it is the site's or the gate's.
    let asked = |what: &str| site.asked.lock().unwrap().iter().any(|line| line.starts_with(what));
    assert!(asked("POST form.test/post") && asked("GET font.test/f.woff2"), "{:#?}", site.asked.lock().unwrap());
    let records = site.gate.records();
    let to_ours = |record: &&Value| record["host"].as_str().is_some_and(|host| host.ends_with(".test"));
    let contradicted: Vec<_> = records.iter().filter(to_ours).filter(|record| record["grounds"].is_array()).collect();
    assert!(contradicted.is_empty(), "{contradicted:#?}");
    records.into_iter().filter(|record| to_ours(&record)).collect()
}

fn loads_whole_behind_one_page(browser: Start) {
    let mut site = Site::new("http");
    let records = records_of_a_whole_visit(&mut site, browser);
    let asked = site.asked.lock().unwrap().clone();
    let has_ours = |head: &String| head.contains("well-known") || field(head, "cookie").is_some();
    assert!(!asked.iter().any(has_ours), "nothing of ours but Via reaches an origin: {asked:#?}");
    let pages = records.iter().filter(|record| record["reason"] == "challenge_page").count();
    assert_eq!(pages, 1, "{records:#?}");
    for record in records.iter().filter(|record| record["event"] == "refused") {
        let reason = record["reason"].as_str().unwrap();
        assert!(matches!(reason, "challenge_page" | "challenge_solved"), "{record:#}");
    }
}

fn loads_whole_behind_one_reset(browser: Start) {
    let mut site = Site::new("https");
    let records = records_of_a_whole_visit(&mut site, browser);
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
fn a_page_of_ten_hosts_loads_whole_in_chromium_over_https_and_nobody_sees_a_challenge() {
    loads_whole_behind_one_reset(Browser::chromium);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_firefox_over_https_and_nobody_sees_a_challenge() {
    loads_whole_behind_one_reset(Browser::firefox);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_chromium_behind_one_challenge() {
    loads_whole_behind_one_page(Browser::chromium);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_firefox_behind_one_challenge() {
    loads_whole_behind_one_page(Browser::firefox);
}

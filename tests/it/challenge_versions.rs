//! Versions of browsers that are newer than what was measured.

use std::net::Ipv4Addr;

use crate::challenge_reset::{CHROMIUM, Lab, carries, challenges, is_reset};
use crate::gate::{Notices, Start, records};
use crate::tunnel_lab::hello;

#[test]
fn a_new_version_is_learnt_from_three_clients_that_came_back_and_others_are_held_to_it() {
    let notices = Notices::new();
    let mut lab = Lab::with("", "", &notices.before());
    let (bytes, agent) = (hello("chromium"), CHROMIUM.replace("156", "160"));
    let from = |last| Ipv4Addr::new(127, 0, 1, last);
    for last in 1..=3 {
        is_reset(&mut lab.ask_from(from(last), "a.test", &agent), &bytes);
        carries(lab.ask_from(from(last), "a.test", &agent), &bytes);
    }
    let said = notices.until("is newer than what was measured");
    assert!(said.contains("chromium 160") && said.contains("3 clients"), "{said}");
    // Another library with the same User-Agent, and one with that of a version that nobody has shown.
    is_reset(&mut lab.ask_from(from(4), "a.test", &agent), &hello("curl"));
    is_reset(&mut lab.ask_from(from(5), "a.test", &agent.replace("160", "161")), &hello("curl"));
    // What was learnt outlives the gate.
    assert_eq!(lab.gate.end("-TERM"), Some(0));
    let policy = std::fs::read_to_string(lab.gate.policy()).unwrap();
    let (data_dir, config) = (Some(lab.gate.data_dir()), lab.names.config());
    let again = Start { policy: &policy, config: &config, data_dir, ..Start::default() }.gate();
    let old = std::mem::replace(&mut lab.gate, again);
    is_reset(&mut lab.ask_from(from(6), "a.test", &agent), &hello("curl"));
    is_reset(&mut lab.ask_from(from(7), "a.test", &agent), &bytes);
    carries(lab.ask_from(from(7), "a.test", &agent), &bytes);
    assert_eq!(lab.gate.end("-TERM"), Some(0));
    let records = records(&old.data_dir());
    let grounds = |client: &str| {
        let refused = |record: &&serde_json::Value| record["event"] == "refused" && record["client"] == client;
        let record = records.iter().find(refused).unwrap_or_else(|| panic!("{records:#?}"));
        let grounds = record["grounds"].as_array().cloned().unwrap_or_default();
        grounds.iter().map(|ground| ground.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for held_to_it in ["127.0.1.4", "127.0.1.6"] {
        assert!(grounds(held_to_it).contains(&"tls_unlike_version".to_owned()), "{:?}", grounds(held_to_it));
    }
    assert!(!grounds("127.0.1.5").contains(&"tls_unlike_version".to_owned()), "{:?}", grounds("127.0.1.5"));
    assert_eq!(grounds("127.0.1.7"), [""; 0]);
    assert!(
        challenges(&records).iter().any(|record| record["client"] == "127.0.1.7" && record["outcome"] == "returned")
    );
    let health = records.iter().find(|record| record["subject"] == "browser").unwrap();
    assert_eq!(health["level"], "learnt");
}

#[test]
fn three_clients_that_only_say_so_speak_for_no_version() {
    const SAFARI: &str =
        "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/61.0 Safari/605.1.15";
    let notices = Notices::new();
    let mut lab = Lab::with("", "", &notices.before());
    let from = |last| Ipv4Addr::new(127, 0, 1, last);
    for last in 1..=3 {
        is_reset(&mut lab.ask_from(from(last), "a.test", SAFARI), &hello("curl"));
    }
    let said = notices.until("does not come back");
    assert!(said.contains("safari 61") && said.contains("it is challenged as before"), "{said}");
    // It is told, and nobody is believed for it: nothing is known of what Safari shows.
    is_reset(&mut lab.ask_from(from(4), "a.test", SAFARI), &hello("curl"));
    let records = lab.gate.records();
    assert!(challenges(&records).iter().all(|record| record["outcome"] == "did_not_return"), "{records:#?}");
}

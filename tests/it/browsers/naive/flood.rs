//! A program that answers a reset with tunnels without end.

use std::net::Ipv4Addr;
use std::time::Instant;

use serde_json::Value;

use crate::challenge_reset::{Lab, carries, is_reset};
use crate::gate::raise_open_files;
use crate::peer::End;
use crate::tunnel_lab::{ALERT, hello};

use super::super::CHROMIUM;

/// As many as such a program opens in two seconds, and after how many of them another client is served.
const TUNNELS: usize = 1000;
const BURST: usize = 50;

#[test]
fn a_program_that_answers_a_reset_with_a_thousand_tunnels_gets_none_and_others_are_served_all_the_while() {
    raise_open_files();
    let mut lab = Lab::new();
    let bytes = hello("chromium");
    let other = || lab.ask_from(Ipv4Addr::new(127, 0, 2, 1), "a.test", CHROMIUM);
    is_reset(&mut other(), &bytes);
    carries(other(), &bytes);

    let begun = Instant::now();
    is_reset(&mut lab.browser("a.test"), &bytes);
    let mut tunnels = Vec::new();
    while tunnels.len() < TUNNELS {
        // Each to a host of its own: a second one to a host whose tunnel was ended meanwhile would be an answer.
        let ask = |number: usize| lab.browser(&format!("b{number}.test"));
        let mut burst: Vec<_> = (tunnels.len()..).take(BURST).map(ask).collect();
        burst.iter_mut().for_each(|client| client.send(&bytes));
        tunnels.extend(burst);
        carries(other(), &bytes);
    }
    for client in &mut tunnels {
        let (got, end) = client.rest();
        assert!(got.is_empty() || got == ALERT, "{got:?}");
        assert_eq!(end, End::Closed);
    }
    let served = 1 + TUNNELS / BURST;
    assert_eq!(lab.origin.connections(), served);

    let records = lab.gate.records();
    let of_it: Vec<_> = records.iter().filter(|record| record["client"] == "127.0.0.1").collect();
    let refused = |reason: &str| of_it.iter().filter(|record| record["reason"] == reason).count();
    let (busy, resets) = (refused("challenge_busy"), refused("tunnel_reset"));
    assert!(of_it.iter().all(|record| record["event"] != "open"), "{of_it:#?}");
    assert_eq!(busy + resets, TUNNELS + 1, "each is on record");
    let windows = begun.elapsed().as_millis() / 800;
    assert!(resets as u128 <= windows + 1, "one at a time, each with its window: {resets} in {windows}");
    let opened = |record: &&Value| record["client"] == "127.0.2.1" && record["event"] == "open";
    assert_eq!(records.iter().filter(opened).count(), served);
}

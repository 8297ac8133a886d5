//! A crowd of clients that take their time, before a gate that serves another meanwhile.

use std::time::Duration;

use crate::hostile::crowd::{KEPT_MAX, stand_before_a_gate};

const CONNECTIONS: usize = 400;
/// For one connection, in a debug build: with half of a tunnel or of TLS behind it.
const MEMORY_EACH: u64 = 40 << 10;

#[test]
fn a_crowd_of_slow_clients_of_every_kind_leaves_another_served_and_gives_memory_back() {
    let figures = stand_before_a_gate(CONNECTIONS, Duration::from_secs(1), |_| true);
    assert_eq!(figures.open, CONNECTIONS as u64 + 1, "all of them stand");
    let grown = figures.memory_among_them.saturating_sub(figures.memory_before);
    assert!(grown < CONNECTIONS as u64 * MEMORY_EACH, "{grown} bytes for {CONNECTIONS}");
    let left = figures.memory_after.saturating_sub(figures.memory_before);
    assert!(left <= KEPT_MAX.max(grown / 4), "{left} bytes of {grown} are not given back");
    for (where_, times) in [("alone", figures.alone), ("among them", figures.among_them)] {
        println!("{where_}: p50 {:?}, p99 {:?}, of {}", times.p50, times.p99, times.asked);
    }
    println!("{grown} bytes for them, back after {:?}; {} opened again", figures.back_after, figures.again);
}

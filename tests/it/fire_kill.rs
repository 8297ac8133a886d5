//! `kill -9` under load at random moments, again and again on one data directory.

use crate::gate::rounds;
use crate::hostile::chance::Chance;
use crate::hostile::kills::kill_again_and_again;

const ROUNDS: u64 = 5;
const ROUNDS_LONG: u64 = 30;

#[test]
fn what_the_origin_saw_before_each_kill_under_load_is_on_record() {
    let (rounds, seed) = (rounds(ROUNDS, ROUNDS_LONG), Chance::seed());
    println!("{rounds} rounds ({ROUNDS_LONG} with SEKISHO_LONG=1), seed {seed}");
    let figures = kill_again_and_again(rounds, seed, |_| true);
    let (requests, dials, records, torn) = (figures.requests, figures.dials, figures.records, figures.torn);
    println!("{requests} requests and {dials} dials were seen, {records} records; torn tails of {torn:?} bytes");
    assert!(records > requests + dials);
    println!("from a start to the first answer: {:?}", figures.restarts);
}

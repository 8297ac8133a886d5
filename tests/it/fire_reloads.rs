//! Policies of chance, good and bad, one after the other under load.

use crate::gate::rounds;
use crate::hostile::chance::Chance;
use crate::hostile::reloads::reload_again_and_again;

const RELOADS: u64 = 40;
const RELOADS_LONG: u64 = 1000;

#[test]
fn policies_of_chance_good_and_bad_leave_no_answer_to_half_of_one() {
    let (reloads, seed) = (rounds(RELOADS, RELOADS_LONG), Chance::seed());
    println!("{reloads} reloads ({RELOADS_LONG} with SEKISHO_LONG=1), seed {seed}");
    let figures = reload_again_and_again(reloads, seed, |_| true);
    println!("the longest reload took {:?}", figures.reloads.iter().max());
    println!("{} good, {} bad, {} asked, {} versions", figures.good, figures.bad, figures.asked, figures.versions);
    assert_eq!(figures.good + figures.bad, reloads, "all of them were read");
    assert!(figures.asked as u64 > reloads, "there was a load: {}", figures.asked);
}

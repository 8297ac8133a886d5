use std::collections::HashMap;

use crate::facts::Timestamp;

/// A program at a site, as a token names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Bond(pub(super) [u8; 16]);

/// Pages in a row that one program answers for one site; then it is told that it cannot be done.
pub(super) const ROUNDS_MAX: u8 = 3;
/// How soon after an answer a further page is one in a row, in microseconds. A loop turns within seconds; who comes
/// back after a clearance has run out comes later.
const ROW_US: u64 = 60 * 1_000_000;
/// Programs at sites that are counted at the same time. Beyond, no further one is counted: its loop is broken late
/// or not at all, and what has been counted stays.
const ROUNDS_KEPT: usize = 20_000;

/// How many pages in a row a program has answered for a site.
///
/// They count by the number that their token has: a thousand tabs opened at once have the same, and count as one.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    known: HashMap<Bond, Round>,
    /// When it was looked for what is over, at the bound.
    swept: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    attempt: u8,
    at: Timestamp,
}

impl Rounds {
    /// How many have been answered in a row.
    pub(super) fn answered(&self, bond: &Bond, now: Timestamp) -> u8 {
        self.known.get(bond).filter(|round| round.is_in_a_row(now)).map_or(0, |round| round.attempt)
    }

    /// The page of this number was answered, whatever came of it.
    pub(super) fn note(&mut self, bond: Bond, attempt: u8, now: Timestamp) {
        let attempt = attempt.max(self.answered(&bond, now));
        if self.known.len() >= ROUNDS_KEPT && !self.known.contains_key(&bond) {
            // A walk over all of them once a second: others wait for its end.
            if self.swept.is_none_or(|swept| now.0.abs_diff(swept.0) >= 1_000_000) {
                self.swept = Some(now);
                self.known.retain(|_, round| round.is_in_a_row(now));
            }
            if self.known.len() >= ROUNDS_KEPT {
                return;
            }
        }
        self.known.insert(bond, Round { attempt, at: now });
    }
}

impl Round {
    fn is_in_a_row(&self, now: Timestamp) -> bool {
        now.0.abs_diff(self.at.0) < ROW_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bond(number: u32) -> Bond {
        let mut bond = [0; 16];
        bond[..4].copy_from_slice(&number.to_be_bytes());
        Bond(bond)
    }

    #[test]
    fn pages_count_by_their_number_and_for_a_minute() {
        let mut rounds = Rounds::default();
        for _ in 0..1000 {
            rounds.note(bond(1), 1, Timestamp(0));
        }
        assert_eq!(rounds.answered(&bond(1), Timestamp(0)), 1, "a thousand tabs at once");
        rounds.note(bond(1), 2, Timestamp(1));
        rounds.note(bond(1), 1, Timestamp(2));
        assert_eq!(rounds.answered(&bond(1), Timestamp(2)), 2, "a late answer to the first page");
        assert_eq!(rounds.answered(&bond(2), Timestamp(2)), 0);
        assert_eq!(rounds.answered(&bond(1), Timestamp(2 + ROW_US)), 0);
    }

    #[test]
    fn at_the_bound_what_is_counted_stays_and_what_is_over_makes_room() {
        let mut rounds = Rounds::default();
        (0..ROUNDS_KEPT as u32).for_each(|number| rounds.note(bond(number), 1, Timestamp(u64::from(number != 0))));
        let further = bond(ROUNDS_KEPT as u32);
        rounds.note(further, 1, Timestamp(10));
        assert_eq!(rounds.answered(&further, Timestamp(10)), 0);
        rounds.note(bond(7), 2, Timestamp(10));
        assert_eq!(rounds.answered(&bond(7), Timestamp(10)), 2, "who is counted is counted further");
        rounds.note(further, 1, Timestamp(ROW_US));
        assert_eq!(rounds.answered(&further, Timestamp(ROW_US)), 1);
    }
}

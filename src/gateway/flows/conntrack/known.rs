use std::collections::HashSet;

use super::event::Event;

/// Connections whose standing has been told. Of one more it may be told twice, and its end is missing where events are lost.
const KNOWN_MAX: usize = 262_144;

/// Which connections stand, by the kernel's numbers for them.
#[derive(Debug, Default)]
pub(super) struct Known(HashSet<u32>);

/// What is new in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    Stands,
    Ended,
}

impl Known {
    pub(super) fn take(&mut self, event: &Event) -> Told {
        if event.is_over {
            self.0.remove(&event.id);
            return Told::Ended;
        }
        if !event.stands() || self.0.contains(&event.id) {
            return Told::Nothing;
        }
        remember(&mut self.0, event.id);
        Told::Stands
    }

    /// Forgets those that are not there any more; how many they were.
    pub(super) fn keep(&mut self, there: &HashSet<u32>) -> u64 {
        let before = self.0.len();
        // Beyond the bound it is not known of all which there are.
        if there.len() < KNOWN_MAX {
            self.0.retain(|id| there.contains(id));
        }
        (before - self.0.len()) as u64
    }
}

pub(super) fn remember(ids: &mut HashSet<u32>, id: u32) {
    if ids.len() < KNOWN_MAX {
        ids.insert(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u32, is_over: bool, replied: bool) -> Event {
        let mut event = Event::example();
        (event.id, event.is_over, event.replied) = (id, is_over, replied);
        event
    }

    #[test]
    fn that_a_connection_stands_is_told_once_and_that_it_ended_always() {
        let mut known = Known::default();
        assert_eq!(known.take(&event(1, false, false)), Told::Nothing, "nothing has come back yet");
        assert_eq!(known.take(&event(1, false, true)), Told::Stands);
        assert_eq!(known.take(&event(1, false, true)), Told::Nothing);
        assert_eq!(known.take(&event(2, true, false)), Told::Ended);
        assert_eq!(known.take(&event(1, true, true)), Told::Ended);
        assert_eq!(known.keep(&HashSet::new()), 0);
    }

    #[test]
    fn what_is_not_there_any_more_ended_unseen() {
        let mut known = Known::default();
        for id in 0..5 {
            known.take(&event(id, false, true));
        }
        assert_eq!(known.keep(&HashSet::from([1, 3, 77])), 3);
        assert_eq!(known.take(&event(3, false, true)), Told::Nothing);
        assert_eq!(known.take(&event(0, false, true)), Told::Stands);
    }

    #[test]
    fn memory_is_bounded_and_beyond_it_ends_are_told_all_the_same() {
        let mut known = Known::default();
        let most = u32::try_from(KNOWN_MAX).unwrap();
        for id in 0..most + 10 {
            assert_eq!(known.take(&event(id, false, true)), Told::Stands);
        }
        assert_eq!(known.0.len(), KNOWN_MAX);
        assert_eq!(known.take(&event(most + 5, true, true)), Told::Ended);
    }
}

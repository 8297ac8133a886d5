use serde::{Deserialize, Serialize};

use super::beacon::{Best, Gaps};

/// Which of a pair's events gaps are between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    All,
    /// Those of one kind, by its place.
    Kind(u8),
}

/// The two commonest kinds of requests of a pair, each with gaps of its own: what calls steadily is then seen beside a person
/// who browses the same host. They are told apart from the eighth burst on, where there is more than one kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Kinds {
    /// How often kinds were seen, about; of others the rarest makes room (space saving; Metwally, Agrawal and El Abbadi, 2005).
    seen: [(u32, u32); SEEN],
    bursts: u8,
    kinds: Option<Box<[Kind; KINDS]>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Kind {
    shape: u32,
    count: u32,
    /// When its last event was, in seconds since the pair began.
    last: f64,
    gaps: Gaps,
}

const SEEN: usize = 4;
const KINDS: usize = 2;
const BURSTS_MIN: u8 = 8;
/// Of a kind that is nearly all there is, gaps of its own say nothing new.
const SHARE_MAX: f32 = 0.9;
/// What it costs to have looked at three streams of a pair and not at one, in decades.
const LOOKS: f32 = 0.5;
/// Of fewer gaps of one kind of requests nothing is said: there are many kinds, and few gaps are alike by chance.
const GAPS_MIN: u32 = 8;
/// A kind with less evidence makes room for one that was seen so many times as often.
const EVIDENCE_KEPT: f32 = 1.5;
const OFTENER: u32 = 2;

impl Kinds {
    /// An event of a kind, 0 for none, so many seconds after the pair began; it may begin a burst of the pair. Says the
    /// strongest that the scan found, where it ran.
    pub(super) fn event(&mut self, shape: u32, at: f64, is_burst: bool) -> Option<(Best, Stream)> {
        if shape == 0 {
            return None;
        }
        self.see(shape);
        self.bursts = self.bursts.saturating_add(u8::from(is_burst));
        if self.kinds.is_none() && self.bursts >= BURSTS_MIN && self.has_several() {
            self.kinds = Some(Box::default());
        }
        let kinds = self.kinds.as_deref_mut()?;
        let place = match kinds.iter().position(|kind| kind.shape == shape) {
            Some(place) => place,
            None => {
                let seen =
                    |shape: u32| self.seen.iter().find(|(other, _)| *other == shape).map_or(0, |(_, count)| *count);
                let mine = seen(shape);
                let weak = (0..KINDS).filter(|place| kinds[*place].gaps.best().score < EVIDENCE_KEPT);
                let place = weak.min_by_key(|place| seen(kinds[*place].shape))?;
                let is_free = kinds[place].shape == 0;
                if !is_free && mine < seen(kinds[place].shape).saturating_mul(OFTENER) {
                    return None;
                }
                kinds[place] = Kind { shape, ..Kind::default() };
                place
            }
        };
        let kind = &mut kinds[place];
        let quiet = if kind.count == 0 { f64::INFINITY } else { at - kind.last };
        kind.count = kind.count.saturating_add(1);
        kind.last = at;
        let best = kind.gaps.event(at, quiet).filter(|best| kind.gaps.count(best.level) >= GAPS_MIN)?;
        Some((Best { score: best.score - LOOKS, ..best }, Stream::Kind(place as u8)))
    }

    fn see(&mut self, shape: u32) {
        let place = self.seen.iter().position(|(other, _)| *other == shape);
        let place = place.or_else(|| (0..SEEN).min_by_key(|place| self.seen[*place].1));
        if let Some(seen) = place.and_then(|place| self.seen.get_mut(place)) {
            *seen = (shape, seen.1.saturating_add(1));
        }
    }

    fn has_several(&self) -> bool {
        let counts = self.seen.map(|(_, count)| count as f32);
        let all: f32 = counts.iter().sum();
        counts.iter().all(|count| *count < SHARE_MAX * all)
    }

    pub(super) fn breaks(&mut self) {
        self.kinds.iter_mut().flat_map(|kinds| kinds.iter_mut()).for_each(|kind| kind.gaps.breaks());
    }

    pub(super) fn gaps(&self, place: u8) -> Option<&Gaps> {
        self.kinds.as_deref().and_then(|kinds| kinds.get(usize::from(place))).map(|kind| &kind.gaps)
    }

    pub(super) fn count(&self, place: u8) -> u32 {
        self.kinds.as_deref().and_then(|kinds| kinds.get(usize::from(place))).map_or(0, |kind| kind.count)
    }

    /// The strongest so far, in decades.
    pub(super) fn evidence(&self) -> f32 {
        let kinds = self.kinds.as_deref().into_iter().flatten();
        let telling = kinds.filter(|kind| kind.gaps.count(kind.gaps.best().level) >= GAPS_MIN);
        telling.map(|kind| kind.gaps.best().score - LOOKS).fold(0.0, f32::max)
    }
}

use std::collections::HashMap;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use crate::evidence::{Severity, Shown};

use super::beacon::{Best, Gaps};
use super::event::Facts;
use super::kinds::{Kinds, Stream};
use super::names::{Inconsistent, Name};

/// A client and a host that it talks to.
pub(super) type PairKey = (Name, Name);

/// What is kept of a pair.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pair {
    /// In microseconds.
    pub first: u64,
    pub last: u64,
    pub requests: u32,
    pub denied: u32,
    pub port: u16,
    /// Hours of the last two days in which it was seen, as bits, the hour of `last` lowest.
    hours: u64,
    /// The records it rests on: the first and the newest ones.
    pub first_line: u64,
    pub last_line: u64,
    /// What was found of it and told: tenths of the score.
    pub told: u16,
    /// How pressing it was told to be.
    pub told_severity: Severity,
    /// Of what it was told: the level, and the middle of the window in ln seconds.
    pub told_pace: (u8, f32),
    /// That it is always on was told.
    pub told_always: bool,
    touched: bool,
    /// Bytes up of a request, a running mean; 0 where nobody knows.
    pub bytes_up: f32,
    /// The program that called last, and what it had shown.
    pub program: Option<Name>,
    pub standing: Shown,
    state: State,
}

/// Most pairs never come to a fourth burst.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum State {
    /// Bursts so far: when, in seconds since the first event, and after how much silence.
    Young {
        bursts: [(f32, f32); YOUNG_BURSTS],
        count: u8,
    },
    Grown(Box<Grown>),
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Grown {
    gaps: Gaps,
    kinds: Kinds,
}

const YOUNG_BURSTS: usize = 3;
/// An event after more silence, in seconds, begins a burst.
const BURST_SECONDS: f64 = 0.5;
/// An event that is older than the last by more is of a clock that was set back, in microseconds.
const CLOCK_STEP: u64 = 3_600_000_000;
const HOUR: u64 = 3_600_000_000;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Taken {
    Counted,
    /// It is older than the last of its pair.
    Late,
    /// The scan ran, over these of its events.
    Scanned(Best, Stream),
}

impl Pair {
    pub(super) fn new(time: u64, port: u16, line: u64) -> Self {
        Self {
            first: time,
            last: time,
            requests: 0,
            denied: 0,
            port,
            hours: 1,
            first_line: line,
            last_line: line,
            told: 0,
            told_pace: (0, 0.0),
            told_always: false,
            touched: true,
            bytes_up: 0.0,
            program: None,
            standing: Shown::Unasked,
            told_severity: Severity::Low,
            state: State::Young { bursts: [(0.0, 0.0); YOUNG_BURSTS], count: 0 },
        }
    }

    /// Takes one event, of a kind of requests; 0 where that is not known.
    pub(super) fn event(&mut self, time: u64, denied: bool, shape: u32, line: u64) -> Taken {
        self.touched = true;
        self.requests = self.requests.saturating_add(1);
        self.denied = self.denied.saturating_add(u32::from(denied));
        self.last_line = line;
        if time < self.last {
            if self.last - time > CLOCK_STEP {
                // From here on time is the new clock's.
                self.first = time.saturating_sub(self.last - self.first);
                self.last = time;
                self.breaks();
            }
            return Taken::Late;
        }
        let hours = time / HOUR - self.last / HOUR;
        self.hours = if hours < 64 { self.hours << hours | 1 } else { 1 };
        let quiet = (time - self.last) as f64 / 1e6;
        let at = (time - self.first) as f64 / 1e6;
        self.last = time;
        let is_burst = quiet > BURST_SECONDS || self.requests == 1;
        match &mut self.state {
            State::Young { bursts, count } if is_burst => match bursts.get_mut(usize::from(*count)) {
                Some(burst) => {
                    *burst = (at as f32, quiet as f32);
                    *count += 1;
                    Taken::Counted
                }
                None => {
                    let mut grown = Box::new(Grown::default());
                    let gaps = &mut grown.gaps;
                    // The first event begins a burst of every level.
                    for (number, (at, quiet)) in bursts.iter().enumerate() {
                        let quiet = if number == 0 { f64::INFINITY } else { f64::from(*quiet) };
                        gaps.event(f64::from(*at), quiet);
                    }
                    let found = gaps.event(at, quiet);
                    self.state = State::Grown(grown);
                    found.map_or(Taken::Counted, |best| Taken::Scanned(best, Stream::All))
                }
            },
            State::Young { .. } => Taken::Counted,
            State::Grown(grown) => {
                let of_all = grown.gaps.event(at, quiet).map(|best| (best, Stream::All));
                let of_kind = grown.kinds.event(shape, at, is_burst);
                let found = of_all.into_iter().chain(of_kind).max_by(|(a, _), (b, _)| a.score.total_cmp(&b.score));
                found.map_or(Taken::Counted, |(best, stream)| Taken::Scanned(best, stream))
            }
        }
    }

    fn breaks(&mut self) {
        if let State::Grown(grown) = &mut self.state {
            grown.gaps.breaks();
            grown.kinds.breaks();
        }
    }

    /// The gaps between these of its events.
    pub(super) fn gaps(&self, stream: Stream) -> Option<&Gaps> {
        match (&self.state, stream) {
            (State::Young { .. }, _) => None,
            (State::Grown(grown), Stream::All) => Some(&grown.gaps),
            (State::Grown(grown), Stream::Kind(place)) => grown.kinds.gaps(place),
        }
    }

    /// How many of its events are of a kind.
    pub(super) fn of_kind(&self, place: u8) -> u32 {
        match &self.state {
            State::Young { .. } => 0,
            State::Grown(grown) => grown.kinds.count(place),
        }
    }

    /// What was learnt of a request of it.
    pub(super) fn learn(&mut self, facts: &Facts) {
        self.program = facts.program.or(self.program);
        if facts.contradictions > 0 {
            self.standing = Shown::Mimic;
        } else if facts.standing != Shown::Unasked && self.standing != Shown::Mimic {
            self.standing = facts.standing;
        }
        if facts.bytes_up > 0 {
            self.carried(facts.bytes_up);
        }
    }

    /// What a request of it carried up.
    fn carried(&mut self, bytes_up: u64) {
        // The mean of about the last eight.
        let bytes = bytes_up as f32;
        self.bytes_up = if self.bytes_up == 0.0 { bytes } else { self.bytes_up + (bytes - self.bytes_up) / 8.0 };
    }

    /// In how many of the last 24 hours it was seen.
    pub(super) fn hours_of_day(&self) -> u32 {
        (self.hours & 0xff_ffff).count_ones()
    }

    /// The strongest so far, in decades.
    pub(super) fn evidence(&self) -> f32 {
        match &self.state {
            State::Young { .. } => 0.0,
            State::Grown(grown) => grown.gaps.best().score.max(grown.kinds.evidence()),
        }
    }
}

/// All pairs, of which no more are kept than the bound: then those go that were not seen for a while and show
/// nothing (CLOCK, second chance for what was seen since, and for evidence).
#[derive(Debug, Serialize, Deserialize)]
#[serde(try_from = "KeptPairs")]
pub(super) struct Pairs {
    #[serde(skip)]
    by_key: HashMap<PairKey, u32, RandomState>,
    pairs: Vec<(PairKey, Pair)>,
    pairs_max: usize,
    hand: usize,
    /// Pairs that had to go.
    pub(super) evicted: u64,
}

/// [`Pairs`] as a snapshot has them: what is found by their keys is made of them.
#[derive(Deserialize)]
struct KeptPairs {
    pairs: Vec<(PairKey, Pair)>,
    pairs_max: usize,
    hand: usize,
    evicted: u64,
}

/// Evidence in decades for which a pair is passed over once more.
const WORTH_KEEPING: f32 = 1.5;
/// Pairs that the hand passes over before it takes whatever comes.
const PASSES_MAX: usize = 64;

impl Pairs {
    pub(super) fn new(pairs_max: usize) -> Self {
        Self { by_key: HashMap::default(), pairs: Vec::new(), pairs_max: pairs_max.max(1), hand: 0, evicted: 0 }
    }

    /// The pair of a key, made by `new` where it is not there; says whether it was made.
    pub(super) fn entry(&mut self, key: PairKey, new: impl FnOnce() -> Pair) -> (&mut Pair, bool) {
        if let Some(place) = self.by_key.get(&key) {
            return (&mut self.pairs[*place as usize].1, false);
        }
        let place = if self.pairs.len() < self.pairs_max {
            self.pairs.push((key, new()));
            self.pairs.len() - 1
        } else {
            let place = self.make_room();
            self.by_key.remove(&self.pairs[place].0);
            self.pairs[place] = (key, new());
            self.evicted += 1;
            place
        };
        self.by_key.insert(key, place as u32);
        (&mut self.pairs[place].1, true)
    }

    fn make_room(&mut self) -> usize {
        for _ in 0..PASSES_MAX {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.pairs.len();
            let pair = &mut self.pairs[place].1;
            let was_touched = std::mem::take(&mut pair.touched);
            if !was_touched && pair.evidence() < WORTH_KEEPING {
                return place;
            }
        }
        let place = self.hand;
        self.hand = (self.hand + 1) % self.pairs.len();
        place
    }

    pub(super) fn get(&self, key: PairKey) -> Option<&Pair> {
        self.by_key.get(&key).map(|place| &self.pairs[*place as usize].1)
    }

    pub(super) fn get_mut(&mut self, key: PairKey) -> Option<&mut Pair> {
        self.by_key.get(&key).map(|place| &mut self.pairs[*place as usize].1)
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }
}

impl TryFrom<KeptPairs> for Pairs {
    type Error = Inconsistent;

    fn try_from(kept: KeptPairs) -> Result<Self, Inconsistent> {
        let KeptPairs { pairs, pairs_max, hand, evicted } = kept;
        if pairs.len() > pairs_max || hand > pairs.len().saturating_sub(1) {
            return Err(Inconsistent);
        }
        let by_key: HashMap<_, _, _> = pairs.iter().enumerate().map(|(place, (key, _))| (*key, place as u32)).collect();
        if by_key.len() < pairs.len() {
            return Err(Inconsistent);
        }
        Ok(Self { by_key, pairs, pairs_max, hand, evicted })
    }
}

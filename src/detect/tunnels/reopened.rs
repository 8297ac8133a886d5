use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, Ground, Severity, Span};

use super::super::draft::Drafts;
use super::super::event::{Event, Facts};
use super::super::network::Network;
use super::super::pairs::PairKey;
use super::super::table::Table;
use super::told::{self, Case};

/// Who opens tunnels again as soon as the gate has cut them at their lifetime.
///
/// IPA's guides against targeted attacks ask of a proxy that it cuts what stands long, and that somebody looks at what comes
/// back. A browser comes back at once as well, to push services and chats; those are common. So told of are rare hosts alone,
/// from three times on, and only if it happens after most cuts and after as long each time, or often.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reopened {
    pairs: Table<PairKey, Cuts>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Cuts {
    /// When the last was, until a tunnel is opened again, in microseconds; else 0.
    open_cut: u64,
    last_cut: u64,
    /// When the first was.
    first: u64,
    cuts: u32,
    again: u32,
    /// The last ones, in seconds: how long the tunnels had stood, and how long it took to open one again.
    stood: [f32; LAST],
    waits: [f32; LAST],
    records: [u64; 2],
}

const LAST: usize = 8;
/// So soon a tunnel is opened again at once, in microseconds; and tunnels that are cut so soon after each other are cut at once.
const AT_ONCE: u64 = 60_000_000;
/// So often it must have been, and so often where it took unlike long.
const AGAIN_MIN: u32 = 3;
const AGAIN_UNEVEN_MIN: u32 = 6;
const PAIRS_MAX: usize = 16_384;

impl Reopened {
    pub(super) fn new(pairs_max: usize) -> Self {
        Self { pairs: Table::new(pairs_max.min(PAIRS_MAX)) }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.pairs.evicted
    }

    /// The gate has cut a tunnel that had stood so long, in seconds.
    pub(super) fn cut(&mut self, event: &Event, age: u64) {
        let pair = self.pairs.entry((event.client, event.host), Cuts::default);
        if pair.cuts == 0 {
            (pair.first, pair.records[0]) = (event.time, event.line);
        }
        if pair.cuts == 0 || event.time.abs_diff(pair.last_cut) > AT_ONCE {
            pair.stood[pair.cuts as usize % LAST] = age as f32;
            pair.cuts = pair.cuts.saturating_add(1);
            (pair.open_cut, pair.last_cut) = (event.time, event.time);
        }
    }

    /// A tunnel was opened.
    pub(super) fn opened(&mut self, event: &Event, facts: &Facts, network: &mut Network, drafts: &mut Drafts) {
        if self.pairs.is_empty() {
            return;
        }
        let Some(pair) = self.pairs.get_mut((event.client, event.host)) else { return };
        if pair.open_cut == 0 || facts.begun < pair.open_cut {
            return;
        }
        let wait = facts.begun - std::mem::take(&mut pair.open_cut);
        if wait > AT_ONCE {
            return;
        }
        pair.waits[pair.again as usize % LAST] = (wait as f64 / 1e6) as f32;
        pair.again = pair.again.saturating_add(1);
        pair.records[1] = event.line;
        if pair.again < AGAIN_MIN || pair.again.saturating_mul(4) < pair.cuts.saturating_mul(3) {
            return;
        }
        let Some(main) = pair.ground() else { return };
        let Some(rarity) = told::rare(event, network) else { return };
        let case = Case {
            kind: FindingKind::ReopenedTunnel,
            main: vec![told::heavier(main, told::of_few(rarity))],
            first: pair.first,
            records: pair.records,
            severity_max: Severity::High,
            rarity,
        };
        case.tell(event, facts, network, drafts);
    }
}

impl Cuts {
    fn ground(&self) -> Option<(f32, Ground)> {
        let last = |all: &[f32; LAST], count: u32| {
            let mut last = all[..LAST.min(count as usize)].to_vec();
            last.sort_by(f32::total_cmp);
            last
        };
        let waits = last(&self.waits, self.again);
        let (wait, stood) = (middle(&waits), middle(&last(&self.stood, self.cuts)));
        let mut off: Vec<f32> = waits.iter().map(|other| (other - wait).abs()).collect();
        off.sort_by(f32::total_cmp);
        let off = middle(&off);
        let is_steady = off <= (0.25 * wait).max(0.5);
        if !is_steady && self.again < AGAIN_UNEVEN_MIN {
            return None;
        }
        let weight = if is_steady { 2.0 + 0.3 * (self.again.min(LAST as u32) - AGAIN_MIN) as f32 } else { 1.5 };
        let [wait, stood, off] = [wait, stood, off].map(f64::from);
        let numbers = [
            ("weight", f64::from(weight)),
            ("cuts", f64::from(self.cuts)),
            ("opened_again", f64::from(self.again)),
            ("stood_seconds", stood),
            ("wait_seconds", wait),
            ("wait_deviation_seconds", off),
        ];
        let (low, high) = (f64::from(waits[0]), f64::from(waits[waits.len() - 1]));
        let is_same = high - low <= 0.1 || high <= 1.1 * low;
        let (cuts, again, [stood, wait, low, high]) = (self.cuts, self.again, [stood, wait, low, high].map(Span));
        let times = if again == cuts { String::new() } else { format!(" {again} times,") };
        let often = if again == cuts { String::new() } else { format!("うち{again}回は") };
        let (english, japanese) = if is_same {
            (format!("after {wait} each time"), format!("毎回{}後に再接続", wait.in_japanese()))
        } else {
            (
                format!("after {low} to {high}, {wait} in the middle"),
                format!("{}〜{}後に再接続（中央値{}）", low.in_japanese(), high.in_japanese(), wait.in_japanese()),
            )
        };
        let english = format!("cut {cuts} times after {stood}, opened again{times} {english}");
        let japanese = format!("{}で{cuts}回強制切断され、{often}{japanese}", stood.in_japanese());
        Some((weight, Ground::new("opened_again", &numbers, english, japanese)))
    }
}

/// Of numbers in order, of which there is one at least.
fn middle(sorted: &[f32]) -> f32 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

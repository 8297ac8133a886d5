use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::evidence::{Severity, Span, shown};

use super::super::grounds::Grounds;
use super::super::names::{Estimate, Name};
use super::super::pairs::Pair;
use super::super::strangers::is_address;
use super::Asker;

/// A pair with so much evidence calls at steady intervals, in decades: from there on it is told of.
const STEADY: f32 = 3.5;
/// Hours of a day in which a client must call to be there around the clock, as no person is.
const LASTING_HOURS: u32 = 12;
/// Shares of the clients that must call at steady intervals, or around the clock: for it to say something, and much.
const STEADY_SHARES: (f32, f32) = (0.1, 0.3);
const LASTING_SHARE: f32 = 0.3;
const STEADY_CLIENTS_MIN: u32 = 3;
/// Exchanges of which the program must be known, or the size.
const KNOWN_MIN: u32 = 20;
/// Sizes that are kept, and the share that one of them must have.
const SIZES: usize = 4;
const SAME_SHARE: f32 = 0.5;
/// Sizes are the same within one part in so many.
const SIZE_PARTS: f64 = 50.0;

/// What is seen of a site since it became common. About 150 bytes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Rise {
    pub requests: u32,
    pub denied: u32,
    /// Clients that call at steady intervals, and that do around the clock.
    steady: Estimate,
    lasting: Estimate,
    /// Exchanges by who asked.
    others: u32,
    browsers: u32,
    cleared: u32,
    mimics: u32,
    /// The commonest sizes of answers, about, each with how often it was seen (space saving; Metwally, Agrawal and El Abbadi,
    /// 2005); and of how many exchanges the size was known.
    sizes: [(u16, u32); SIZES],
    sized: u32,
    pub told: Option<Told>,
}

/// How it was told.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Told {
    pub clients: u32,
    pub severity: Severity,
    /// With which it is one finding.
    pub client: Name,
    pub target: Name,
}

/// How far a site has spread.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spreading {
    pub clients: u32,
    /// Clients in all.
    pub of: u32,
    /// Since it was rare no more.
    pub took_seconds: u64,
    pub first_client: Option<Arc<str>>,
}

impl Rise {
    pub(super) fn called(&mut self, denied: bool) {
        self.requests = self.requests.saturating_add(1);
        self.denied = self.denied.saturating_add(u32::from(denied));
    }

    /// How a client calls it; says whether that is more than was known.
    pub(super) fn look(&mut self, pair: &Pair, place: u32) -> bool {
        let is_steady = pair.evidence() >= STEADY && self.steady.add(place);
        let is_lasting = pair.hours_of_day() >= LASTING_HOURS && self.lasting.add(place);
        is_steady || is_lasting
    }

    pub(super) fn learn(&mut self, asker: Asker, bytes_down: u64) {
        let count = match asker {
            Asker::Unknown => None,
            Asker::Other => Some(&mut self.others),
            Asker::Browser => Some(&mut self.browsers),
            Asker::Cleared => Some(&mut self.cleared),
            Asker::Mimic => Some(&mut self.mimics),
        };
        if let Some(count) = count {
            *count = count.saturating_add(1);
        }
        if bytes_down > 0 {
            self.sized = self.sized.saturating_add(1);
            // ln of what 64 bits hold is below 45, so this is below 2,300.
            let size = ((bytes_down as f64).ln() * SIZE_PARTS) as u16;
            let place = self.sizes.iter().position(|(other, count)| *other == size && *count > 0);
            let place = place.or_else(|| (0..SIZES).min_by_key(|place| self.sizes[*place].1));
            if let Some(seen) = place.and_then(|place| self.sizes.get_mut(place)) {
                *seen = (size, seen.1.saturating_add(1));
            }
        }
    }

    /// What speaks against it, and how many clients call at steady intervals; `None` where nothing shows that programs call it
    /// on their own.
    pub(super) fn grounds(&self, spreading: &Spreading, site: &str) -> Option<(Grounds, u32)> {
        let &Spreading { clients, .. } = spreading;
        let steady = self.steady.count().min(clients);
        let lasting = self.lasting.count().min(clients);
        let share = |part: u32, all: u32| part as f32 / all.max(1) as f32;
        let is_steady = steady >= STEADY_CLIENTS_MIN && share(steady, clients) >= STEADY_SHARES.0;
        let is_lasting = share(lasting, clients) >= LASTING_SHARE;
        if !is_steady && !is_lasting {
            return None;
        }
        let mut grounds = Grounds::default();
        spread(&mut grounds, spreading);
        let numbers = |name, number: u32| [(name, f64::from(number)), ("clients", f64::from(clients))];
        if is_steady {
            let weight = if share(steady, clients) >= STEADY_SHARES.1 { 2.0 } else { 1.2 };
            let english = format!("about {steady} of them call it at steady intervals");
            let japanese = format!("うち約{steady}台が一定間隔で通信");
            grounds.add(weight, "steady", &numbers("steady_clients", steady), english, japanese);
        }
        if is_lasting {
            let english = format!("about {lasting} of them call it in {LASTING_HOURS} hours of a day or more");
            let japanese = format!("うち約{lasting}台が1日のうち{LASTING_HOURS}時間以上にわたり通信");
            grounds.add(1.0, "lasting", &numbers("lasting_clients", lasting), english, japanese);
        }
        self.askers(&mut grounds);
        let same = self.sizes.iter().map(|(_, count)| *count).max().unwrap_or_default();
        if self.sized >= KNOWN_MIN && share(same, self.sized) >= SAME_SHARE {
            let percent = (100.0 * share(same, self.sized)).round();
            let english = format!("{percent} % of its answers are of one size");
            let japanese = format!("応答の{percent}%が同じ大きさ");
            grounds.add(0.8, "same_size", &[("percent", f64::from(percent))], english, japanese);
        }
        if is_address(site) {
            let english = "asked for by address, not by name".to_owned();
            grounds.add(1.0, "address_literal", &[], english, "名前ではなくIPアドレスを直接指定".to_owned());
        }
        Some((grounds, steady))
    }

    /// What the programs that ask say.
    fn askers(&self, grounds: &mut Grounds) {
        let browsers = self.browsers.saturating_add(self.cleared);
        let known = browsers.saturating_add(self.others).saturating_add(self.mimics);
        if known < KNOWN_MIN {
            return;
        }
        let percent = |part: u32| (100.0 * part as f32 / known as f32).round();
        let mut add = |weight: f32, code, part: u32, english: &str, japanese: &str| {
            let percent = percent(part);
            let english = format!("{percent} % of the requests come from {english}");
            let japanese = format!("要求の{percent}%が{japanese}");
            grounds.add(weight, code, &[("percent", f64::from(percent))], english, japanese);
        };
        if percent(self.mimics) >= 50.0 {
            add(
                1.5,
                "mimics",
                self.mimics,
                "programs that claim to be browsers and are not",
                "ブラウザを装ったプログラム",
            );
        } else if percent(browsers) < 10.0 {
            add(1.0, "no_browser", known - browsers, "programs that are no browsers", "ブラウザ以外のプログラム");
        } else if percent(self.cleared) >= 50.0 {
            // Weighs for it, and is said, so that a person can see how the sum came about.
            add(-1.5, "cleared", self.cleared, "browsers that have shown to be ones", "確認済みのブラウザ");
        } else if percent(browsers) >= 50.0 {
            add(-0.8, "browsers", browsers, "what seem to be browsers", "ブラウザと見られるプログラム");
        }
    }
}

/// How many began to talk to it, how soon, and who was the first.
fn spread(grounds: &mut Grounds, spreading: &Spreading) {
    let &Spreading { clients, of, took_seconds, .. } = spreading;
    let took = Span(took_seconds as f64);
    let numbers = [("clients", f64::from(clients)), ("of", f64::from(of)), ("took_seconds", took.0)];
    let mut english = format!("about {clients} of {of} clients began to talk to it within {took}");
    let mut japanese = format!("{}のうちに{of}台中約{clients}台が通信を開始", took.in_japanese());
    if let Some(first) = spreading.first_client.as_deref().map(shown) {
        english.push_str(&format!(", {first} first"));
        japanese.push_str(&format!("（最初の端末は{first}）"));
    }
    grounds.add(2.0, "spread", &numbers, english, japanese);
}

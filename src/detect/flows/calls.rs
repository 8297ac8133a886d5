use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, FlowState, Rarity, Severity};

use crate::detect::beacon::Best;
use crate::detect::beacons::beat;
use crate::detect::grounds::{Grounds, growing};
use crate::detect::inside::Whereabouts;
use crate::detect::kinds::Stream;
use crate::detect::names::Estimate;
use crate::detect::pairs::{Pair, Taken};
use crate::detect::table::Table;

use super::event::{FlowEvent, hash};
use super::telling::{Around, Told};
use super::usual::Budget;

/// Finds who tries one address outside again and again past the proxy, and is refused, dropped or not answered.
///
/// It is told once attempts keep an interval, by the same scan and the same least evidence as beacons (3.5 decades),
/// or once they were seen in six different spans of ten minutes: a person who tries an address by hand is done within
/// one or two. Its benign twin is software that knows no proxy, and that many clients have: what more than one in
/// twenty clients try, and more than three, is not told unless it keeps an interval. Public servers for names and
/// time are tried by much software, and weigh less.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Calls {
    /// About 200 bytes each, 700 once the fourth attempt was made.
    calls: Table<(IpAddr, IpAddr), Call>,
    /// Clients that try an address.
    addresses: Table<IpAddr, Tried>,
    pub(super) budget: Budget,
}

#[derive(Debug, Serialize, Deserialize)]
struct Call {
    pair: Pair,
    /// Spans of ten minutes with an attempt, and the last of them.
    spans: u32,
    span: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Tried {
    first: u64,
    clients: Estimate,
}

const CALLS_MAX: usize = 32_768;
/// A client that tries more addresses outside within an hour is told of otherwise.
const CALLS_AN_HOUR: u32 = 512;
/// Spans of ten minutes from which on it is told.
const SPANS_MIN: u32 = 6;
/// In microseconds.
const SPAN: u64 = 600_000_000;
/// What was quiet for so long begins anew, in microseconds.
const FORGOTTEN: u64 = 7 * 24 * 3_600_000_000;
/// Evidence in decades from which an interval is told of, and what of it counts at most.
const STEADY: f32 = 3.5;
const STEADY_MAX: f32 = 6.0;
/// How much a decade of it weighs: timing alone tells what is periodic, not what is bad.
const STEADY_WEIGHT: f32 = 0.4;
/// In a network of fewer clients it says little that few try an address.
const CLIENTS_MIN: u32 = 10;
/// What much harmless software asks of servers that it names itself.
const HELPERS: [u16; 3] = [53, 123, 853];
const WEB: [u16; 2] = [80, 443];
const SEVERITIES: [(f32, Severity); 3] = [(2.0, Severity::Low), (3.0, Severity::Medium), (4.5, Severity::High)];

impl Calls {
    pub(super) fn new(clients_max: usize) -> Self {
        Self {
            calls: Table::new(CALLS_MAX.min(clients_max)),
            addresses: Table::new(CALLS_MAX.min(clients_max)),
            budget: Budget::new(CALLS_AN_HOUR),
        }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.calls.evicted + self.addresses.evicted
    }

    pub(super) fn take(&mut self, event: &FlowEvent, client: IpAddr, to: IpAddr, around: &mut Around<'_>) {
        let is_in_vain = matches!(event.state, Some(FlowState::Refused | FlowState::Dropped | FlowState::Unanswered));
        if !is_in_vain || around.inside.whereabouts(to) != Whereabouts::Outside {
            return;
        }
        let key = (client, to);
        if self.calls.get_mut(key).is_none() && !self.budget.takes(client, event.time) {
            return;
        }
        let new = || Call { pair: Pair::new(event.time, event.port, event.line), spans: 0, span: 0 };
        let call = self.calls.entry(key, new);
        if call.pair.last.saturating_add(FORGOTTEN) < event.time {
            *call = new();
        }
        let tried = self.addresses.entry(to, || Tried { first: event.time, clients: Estimate::default() });
        tried.clients.add(hash(client, 0));
        let taken = call.pair.event(event.time, true, 0, event.line);
        call.pair.port = event.port;
        if event.time / SPAN > call.span {
            (call.spans, call.span) = (call.spans.saturating_add(1), event.time / SPAN);
        }
        let steady = match taken {
            Taken::Scanned(best, Stream::All) if best.score >= STEADY => Some(best),
            Taken::Scanned(..) | Taken::Counted | Taken::Late => None,
        };
        // Beyond that it is looked at whenever it has doubled.
        let is_due = call.spans >= SPANS_MIN && (call.pair.requests.is_power_of_two() || call.spans == SPANS_MIN);
        if steady.is_none() && !is_due {
            return;
        }
        let of = around.clients.max(1);
        let rarity = Rarity {
            clients: tried.clients.count().clamp(1, of),
            of,
            known_seconds: event.time.saturating_sub(tried.first) / 1_000_000,
        };
        let told = call.told(event, (client, to), steady, rarity);
        around.tell(told, &SEVERITIES);
    }
}

impl Call {
    fn told(&self, event: &FlowEvent, (client, to): (IpAddr, IpAddr), steady: Option<Best>, rarity: Rarity) -> Told {
        let Self { pair, spans, .. } = self;
        let gaps = steady.and_then(|best| pair.gaps(Stream::All).map(|gaps| (best, gaps)));
        Told {
            kind: FindingKind::DirectCall,
            client: Some(client),
            target: to.to_string(),
            port: event.port,
            first: pair.first,
            last: event.last.max(pair.last),
            attempts: pair.requests,
            refused: pair.denied,
            records: [pair.first_line, pair.last_line],
            beat: gaps.map(|(best, gaps)| beat(gaps.scan(best.level), gaps.strip(best.level))),
            rarity: Some(rarity),
            grounds: grounds(*spans, event.port, steady, rarity),
        }
    }
}

fn grounds(spans: u32, port: u16, steady: Option<Best>, rarity: Rarity) -> Grounds {
    let mut grounds = Grounds::default();
    let (english, japanese) = if spans >= SPANS_MIN {
        (
            format!("past the proxy and in vain, in {spans} different spans of ten minutes"),
            format!("プロキシを通らない接続の試みが、10分単位で{spans}区間にわたり失敗"),
        )
    } else {
        ("past the proxy and in vain".to_owned(), "プロキシを通らない接続の試みがいずれも失敗".to_owned())
    };
    let weight = growing(1.5, spans, SPANS_MIN, 0.3, 2.5);
    grounds.add(weight, "refused_again", &[("spans", f64::from(spans))], english, japanese);
    if let Some(best) = steady {
        let decades = best.score.min(STEADY_MAX);
        let english = "at steady intervals".to_owned();
        let numbers = [("decades", f64::from(best.score.min(300.0)))];
        grounds.add(STEADY_WEIGHT * decades, "steady", &numbers, english, "一定間隔での試み".to_owned());
    }
    let Rarity { clients, of, .. } = rarity;
    let numbers = [("clients", f64::from(clients)), ("of", f64::from(of))];
    if clients > 3 && clients > of / 20 {
        let english = format!("about {clients} of {of} clients try it: it may be software that knows no proxy");
        let japanese = format!("{of}台中約{clients}台が試行（プロキシ非対応のソフトウェアの可能性）");
        grounds.add(-2.0, "common_address", &numbers, english, japanese);
    } else if of >= CLIENTS_MIN && rarity.is_rare() {
        let english = "hardly any other client tries it".to_owned();
        grounds.add(1.0, "rare_address", &numbers, english, "ほかの端末はほとんど試行していない".to_owned());
    }
    if HELPERS.contains(&port) {
        let english = "a server for names or time, which much software asks by address".to_owned();
        let japanese = "多くのソフトウェアがアドレス指定で使う名前解決・時刻のサーバ".to_owned();
        grounds.add(-1.0, "helper_port", &[("port", f64::from(port))], english, japanese);
    } else if !WEB.contains(&port) {
        let english = format!("not a port of the web ({port})");
        grounds.add(0.5, "other_port", &[("port", f64::from(port))], english, format!("Web以外のポート（{port}）"));
    }
    grounds
}

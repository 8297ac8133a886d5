use serde::{Deserialize, Serialize};

use crate::evidence::{Asked, FindingKind, Ground, Rarity, Shown, Span};

use super::draft::{Draft, Drafts};
use super::event::{Carries, Event, Facts, Sni, What};
use super::network::Network;
use super::spelling::{Spelling, spelling};
use super::suffixes::{Service, ServiceKind, service_of};

/// Finds tunnels to hosts that nobody in this network knew.
///
/// Whether a host is new says little in itself: people go to new places every day. So each thing that speaks against a tunnel
/// weighs something, in decades, and only their sum is told.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Strangers;

/// A host is a stranger for so long after it was first seen, in seconds.
pub(super) const NEW: u64 = 24 * 3_600;
/// Of fewer clients one that differs from the others says nothing.
const CLIENTS_MIN: u32 = 20;

/// What speaks against a tunnel, and what it weighs.
pub(super) type Grounds = Vec<(f32, Ground)>;

impl Strangers {
    pub(super) fn take(&mut self, event: &Event, network: &mut Network, drafts: &mut Drafts) {
        let facts = match &event.what {
            What::Shown(facts) | What::Done(facts) | What::Call { facts: Some(facts), .. } => facts,
            What::Call { facts: None, .. } | What::Burst { .. } | What::Going(_) | What::Challenge(_) => return,
        };
        if facts.what != Asked::Tunnel {
            return;
        }
        let rarity = network.rarity(event.host, event.time);
        let domain = network.hosts.domain(event.host, event.time).map(|domain| network.rarity(domain, event.time));
        let Some(host) = network.hosts.text(event.host) else { return };
        let is_stranger = |rarity: Rarity| rarity.is_rare() && rarity.known_seconds < NEW;
        if !is_stranger(rarity) || !domain.is_none_or(is_stranger) {
            return;
        }
        let mut grounds = vec![stranger(network.age_seconds(event.time))];
        grounds.extend(name(&host));
        grounds.extend(port(event.port));
        grounds.extend(content(facts, is_address(&host)));
        grounds.extend(program(facts, network, event.time));
        grounds.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let draft = Draft::of_exchange(FindingKind::UnknownTunnel, (event, facts.begun), (host, rarity), grounds);
        if let Some(draft) = draft {
            drafts.add_if_news(draft, &network.clients);
        }
    }
}

pub(super) fn ground(
    weight: f32,
    code: &'static str,
    english: impl Into<String>,
    japanese: impl Into<String>,
) -> (f32, Ground) {
    (weight, Ground::new(code, &[("weight", f64::from(weight))], english.into(), japanese.into()))
}

/// The longer the network is known, the more it says that a host is new to it.
pub(super) fn weight_of_new(age_seconds: u64) -> f32 {
    match age_seconds / 86_400 {
        0 => 0.3,
        1..7 => 0.6,
        7.. => 1.0,
    }
}

fn stranger(age_seconds: u64) -> (f32, Ground) {
    let weight = weight_of_new(age_seconds);
    let age = Span(age_seconds as f64);
    let numbers = [("weight", f64::from(weight)), ("watched_seconds", age_seconds as f64)];
    let english = format!("a tunnel to a host that was new here (this network is watched for {age})");
    let japanese = format!("この網で初めて見る相手へのトンネル（監視期間{}）", age.in_japanese());
    (weight, Ground::new("stranger", &numbers, english, japanese))
}

/// What its name says.
pub(super) fn name(host: &str) -> Grounds {
    let mut grounds = Grounds::new();
    if is_address(host) {
        grounds.push(ground(
            1.0,
            "address_literal",
            "asked for by address, not by name",
            "名前ではなくIPアドレスを直接指定",
        ));
        return grounds;
    }
    let spelt = spelling(host);
    // Networks that deliver content name what is below their own domain so.
    let labels = [(spelt.registrable, 1.2), (spelt.sub, 0.4)];
    let generated = labels.into_iter().filter_map(|(label, weight)| Some((label?, weight)));
    if let Some((label, weight)) = generated.into_iter().find(|(label, _)| label.is_generated()) {
        grounds.push(generated_name(&label, weight));
    }
    grounds.extend(service_of(host).map(service));
    grounds
}

fn generated_name(label: &Spelling<'_>, weight: f32) -> (f32, Ground) {
    let Spelling { label, decades, odd, .. } = label;
    let odd: Vec<_> = odd.iter().map(|group| format!("“{group}”")).collect();
    let (odd, whole) = (odd.join(", "), decades.floor());
    let numbers = [("weight", f64::from(weight)), ("decades", f64::from(*decades))];
    let english =
        format!("{label} is no word: characters drawn blindly explain it 1e{whole} times better (above all {odd})");
    let japanese = format!("{label}は単語らしくない（無作為な文字列である見込みが1e{whole}倍、特に{odd}）");
    (weight, Ground::new("generated_name", &numbers, english, japanese))
}

fn service(service: Service) -> (f32, Ground) {
    let Service { suffix, kind, name } = service;
    let (weight, english, japanese) = match kind {
        ServiceKind::Tunnel => {
            (2.0, "a tunnel into a machine behind a firewall", "ファイアウォール内の機器へのトンネル")
        }
        ServiceKind::Catcher => {
            (1.5, "whatever is sent is kept for whoever made the address", "送信内容を作成者のために保存するサービス")
        }
        ServiceKind::DynamicDns => (1.0, "dynamic DNS", "ダイナミックDNS"),
        ServiceKind::FileDrop => (1.0, "files handed on without an account", "アカウント不要のファイル受け渡し"),
        ServiceKind::Paste => (0.8, "texts handed on without an account", "アカウント不要のテキスト受け渡し"),
    };
    let english = format!("its name is under {suffix} of {name}: {english}");
    let japanese = format!("{name}の{suffix}配下の名前（{japanese}）");
    (weight, Ground::new(kind.word(), &[("weight", f64::from(weight))], english, japanese))
}

pub(super) fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok()
}

pub(super) fn port(port: u16) -> Option<(f32, Ground)> {
    let weight = match port {
        0 | 443 => return None,
        8443 | 4443 => 0.4,
        _ => 0.8,
    };
    let numbers = [("weight", f64::from(weight)), ("port", f64::from(port))];
    let english = format!("port {port} is not that of HTTPS");
    let japanese = format!("HTTPSの標準でないポート{port}");
    Some((weight, Ground::new("odd_port", &numbers, english, japanese)))
}

/// What its first bytes say. A ClientHello to an address has no name to give (RFC 6066 §3).
pub(super) fn content(facts: &Facts, is_address: bool) -> Option<(f32, Ground)> {
    match (&facts.carries, &facts.sni) {
        (Carries::Other(what), _) => Some(ground(
            1.2,
            "not_tls",
            format!("it carries {what}, not TLS"),
            format!("TLSではなく{what}を運んでいる"),
        )),
        (_, Sni::Absent) if !is_address => {
            Some(ground(0.8, "no_sni", "its ClientHello names no host", "ClientHelloに接続先の名前（SNI）がない"))
        }
        (_, Sni::Other(name)) => Some(ground(
            1.2,
            "other_sni",
            format!("its ClientHello names another host, {name}"),
            format!("ClientHelloの名前（SNI）が接続先と異なる（{name}）"),
        )),
        (Carries::Unseen | Carries::Tls, Sni::Unseen | Sni::Same | Sni::Absent) => None,
    }
}

/// What the program that asked says.
pub(super) fn program(facts: &Facts, network: &Network, now: u64) -> Grounds {
    let mut grounds = Grounds::new();
    if let Some(program) = facts.program {
        let rarity = network.rarity_of_program(program, now);
        if rarity.of >= CLIENTS_MIN && rarity.is_rare() {
            let numbers =
                [("weight", 0.8), ("program_clients", f64::from(rarity.clients)), ("of", f64::from(rarity.of))];
            let english = format!("{} of {} clients have the program that asked", rarity.clients, rarity.of);
            let japanese = format!("要求したプログラムを持つのは{}台中{}台", rarity.of, rarity.clients);
            grounds.push((0.8, Ground::new("rare_program", &numbers, english, japanese)));
        }
    }
    grounds.extend(standing(facts));
    grounds
}

/// What the gate saw of a program that claims to be a browser.
pub(super) fn standing(facts: &Facts) -> Option<(f32, Ground)> {
    match facts.standing {
        Shown::Mimic => Some(ground(
            1.5,
            "mimic",
            "the program claims to be a browser that it is not",
            "ブラウザを装ったプログラム",
        )),
        Shown::Failed => Some(ground(
            1.5,
            "failed_challenge",
            "the program failed at a challenge, or did not return from it",
            "プログラムがチャレンジに失敗した、または戻らなかった",
        )),
        Shown::Unasked | Shown::Uncleared | Shown::Cleared if facts.contradictions > 0 => {
            let numbers = [("weight", 1.0), ("contradictions", f64::from(facts.contradictions))];
            let english = format!("{} things do not fit the browser that it claims to be", facts.contradictions);
            let japanese = format!("名乗るブラウザと合わない点が{}つ", facts.contradictions);
            Some((1.0, Ground::new("contradictions", &numbers, english, japanese)))
        }
        Shown::Unasked | Shown::Uncleared | Shown::Cleared => None,
    }
}

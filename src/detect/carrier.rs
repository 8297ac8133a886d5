//! Programs, scripts and archives that come under the name of something else, or from a stranger.

use data_encoding::HEXLOWER;

use serde::{Deserialize, Serialize};

use crate::evidence::{Bytes, FindingKind, Ground, Span, shown};
use crate::parse::{BodyType, Carrier, double_extension, turns_direction};

use super::draft::{Draft, Drafts};
use super::event::{Body, Event, Facts};
use super::network::Network;
use super::strangers::{Grounds, NEW, ground, name, standing, weight_of_new};

/// Finds what came in and is not what it seems.
///
/// Programs are fetched every day, so that one was says little in itself. Each thing that speaks against it weighs
/// something, in decades, and only the sum is told. Nothing is kept here: all that is known stands in the event.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Carriers;

/// Of a longer file name so many bytes are told, of its end: there stands what the system goes by.
const NAME_BYTES_TOLD: usize = 80;

impl Carriers {
    pub(super) fn take(&mut self, event: &Event, network: &mut Network, drafts: &mut Drafts) {
        let Some(facts) = event.what.whole() else { return };
        let Some(body) = facts.body.as_deref() else { return };
        let rarity = network.rarity(event.host, event.time);
        let domain = network.hosts.domain(event.host, event.time).map(|domain| network.rarity(domain, event.time));
        let Some(host) = network.hosts.text(event.host) else { return };
        let is_new = rarity.is_rare() && rarity.known_seconds < NEW;
        let is_stranger = is_new && domain.is_none_or(|domain| domain.is_rare() && domain.known_seconds < NEW);
        let carrier = body.kind.carrier();
        let mut grounds = Grounds::new();
        grounds.extend(other_type(body.kind, facts.content_type.as_deref().unwrap_or_default()));
        grounds.extend(turned_name(body));
        grounds.extend(two_extensions(body));
        grounds.extend(carrier.and_then(|carrier| no_browser(carrier, facts)));
        grounds.extend(standing(facts));
        if is_stranger {
            grounds.push(stranger(network.age_seconds(event.time)));
        }
        if rarity.is_rare() && carrier.is_some() {
            grounds.extend(name(&host));
        }
        grounds.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        grounds.insert(0, what_came(body, facts));
        let draft = Draft::of_exchange(FindingKind::Carrier, (event, facts.begun), (host, rarity), grounds);
        if let Some(draft) = draft {
            drafts.add_if_news(draft, &network.clients);
        }
    }
}

/// What came, with all by which a person can look for it elsewhere.
fn what_came(body: &Body, facts: &Facts) -> (f32, Ground) {
    let (weight, code, english, japanese) = match body.kind.carrier() {
        Some(Carrier::Executable) => (1.2, "executable", "a program", "プログラム"),
        Some(Carrier::Script) => (0.8, "script", "a script", "スクリプト"),
        Some(Carrier::Archive) => (0.3, "archive", "an archive", "アーカイブ"),
        None => (0.0, "file", "a file", "ファイル"),
    };
    let kind = body.kind.as_str();
    let (mut english, mut japanese) = (format!("fetched {english} ({kind})"), format!("{japanese}（{kind}）を取得"));
    if facts.bytes_down > 0 {
        let size = Bytes(facts.bytes_down as f64);
        english += &format!(" of {size}");
        japanese += &format!("、大きさ{size}");
    }
    if let Some(stated) = &facts.content_type {
        let stated = shown(stated);
        english += &format!(", stated as {stated}");
        japanese += &format!("、Content-Typeは{stated}");
    }
    if !body.name.is_empty() {
        let name = told(&body.name);
        english += &format!(", named \"{name}\"");
        japanese += &format!("、ファイル名「{name}」");
    }
    if let Some(hash) = body.hash {
        let hash = HEXLOWER.encode(&hash);
        english += &format!(", SHA-256 {hash}");
        japanese += &format!("、SHA-256 {hash}");
    } else if body.kind.carrier().is_some() {
        english += ", which did not come whole";
        japanese += "、全体は届いていない";
    }
    let numbers = [("weight", f64::from(weight)), ("bytes", facts.bytes_down as f64)];
    (weight, Ground::new(code, &numbers, english, japanese))
}

/// The end of a name, with what would turn or hide it made visible.
fn told(name: &str) -> String {
    let start = name.ceil_char_boundary(name.len().saturating_sub(NAME_BYTES_TOLD));
    let end = name.get(start..).unwrap_or_default();
    format!("{}{}", if start > 0 { "…" } else { "" }, shown(end))
}

/// A carrier that is not what its sender says. Of text so little is thought, because servers say it of what they do not
/// know; archives are often stated as what is in them.
fn other_type(kind: BodyType, stated: &str) -> Option<(f32, Ground)> {
    let carrier = kind.carrier()?;
    if kind.fits(stated) {
        return None;
    }
    let is = |family: &str| stated.get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family));
    let is_to_look_at = ["image/", "audio/", "video/", "font/"].into_iter().any(is);
    let weight = match carrier {
        Carrier::Executable if is("text/plain") => 1.2,
        Carrier::Executable => 2.4,
        Carrier::Script => 2.0,
        Carrier::Archive if is_to_look_at => 1.5,
        Carrier::Archive => 0.8,
    };
    Some(ground(
        weight,
        "other_type",
        "its bytes are not what its Content-Type says",
        "内容がContent-Typeの示す種類と異なる",
    ))
}

/// Its name reads in another order than it is written. What overrides the direction of letters has hardly any honest use;
/// what embeds or isolates has, in names of two scripts.
fn turned_name(body: &Body) -> Option<(f32, Ground)> {
    if !turns_direction(&body.name) {
        return None;
    }
    let overrides = body.name.contains(['\u{202d}', '\u{202e}']);
    let weight = if overrides { 2.5 } else { 0.8 };
    Some(ground(
        weight,
        "turned_name",
        "its name holds characters that turn the direction of what stands behind them",
        "ファイル名に文字の並びの向きを変える制御文字がある",
    ))
}

/// It looks like a document and is run. Pages of the web consist of scripts, and many sources have such names, so these
/// weigh less where nothing else tells that it is run.
fn two_extensions(body: &Body) -> Option<(f32, Ground)> {
    let (seeming, real) = double_extension(&body.name)?;
    let is_common = ["js", "py", "sh", "com", "url", "app"].iter().any(|common| real.eq_ignore_ascii_case(common));
    let weight = if body.kind.carrier().is_none() && is_common { 1.0 } else { 2.2 };
    Some(ground(
        weight,
        "double_extension",
        format!("its name looks like that of a {seeming} file, and it is run as {real}"),
        format!("{seeming}に見える名前だが、開くと{real}として実行される（二重拡張子）"),
    ))
}

fn no_browser(carrier: Carrier, facts: &Facts) -> Option<(f32, Ground)> {
    let weight = match carrier {
        Carrier::Executable | Carrier::Script => 0.8,
        // Package managers do little else.
        Carrier::Archive => 0.4,
    };
    let (english, japanese) = ("the program that fetched it is no browser", "取得したのはブラウザではないプログラム");
    (!facts.is_browser).then(|| ground(weight, "no_browser", english, japanese))
}

fn stranger(age_seconds: u64) -> (f32, Ground) {
    let weight = weight_of_new(age_seconds);
    let age = Span(age_seconds as f64);
    let numbers = [("weight", f64::from(weight)), ("watched_seconds", age_seconds as f64)];
    let english = format!("its host was new here (this network is watched for {age})");
    let japanese = format!("この網で初めて見る取得元（監視期間{}）", age.in_japanese());
    (weight, Ground::new("stranger", &numbers, english, japanese))
}

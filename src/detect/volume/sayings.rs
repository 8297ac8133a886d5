use crate::evidence::{Bytes, Rarity, Span};

use crate::detect::grounds::Grounds;
use crate::detect::subnames::{Channel, Within};

use super::growth::Grown;
use super::history::{Usual, When};
use super::recent::{Heap, PIECE_MAX};

/// Whose bytes are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Client,
    ClientDay,
    Pair,
    Program,
}

/// As much says more on its own, in bytes.
const LARGE: u64 = 1024 * 1024 * 1024;
/// What is usual is only told after so long, in microseconds.
const YOUNG: u64 = 14 * 24 * 3_600_000_000;
/// A host that is known for less is new, in seconds, in a network that is known for so long.
const NEW: u64 = 24 * 3_600;
const NETWORK_AGE_MIN: u64 = 7 * 24 * 3_600;
/// What names carry that just show, in characters.
const CHANNEL_BYTES: f32 = 1_000.0;
/// Where less is usual, what is more is weighed by this, in bytes.
const TYPICAL_MIN: u64 = 1024 * 1024;
/// What the most that a volume says is, in decades.
const VOLUME_MAX: f32 = 2.5;

/// What is said of what leaves.
impl Grounds {
    /// More went up than is usual.
    pub(super) fn usual(&mut self, whose: Whose, sum: u64, usual: Usual) {
        let ratio = sum as f32 / usual.typical.max(TYPICAL_MIN) as f32;
        let numbers = [
            ("bytes", sum as f64),
            ("usual_bytes", usual.typical as f64),
            ("limit_bytes", usual.limit as f64),
            ("values", f64::from(usual.values)),
        ];
        let [all, typical, limit] = [sum, usual.typical, usual.limit].map(|bytes| Bytes(bytes as f64));
        let (what, what_japanese) = match whose {
            Whose::Client => ("went up within an hour", "1時間の送信量"),
            Whose::ClientDay => ("went up within a day", "1日の送信量"),
            Whose::Pair => ("went up to it within six hours", "この相手への6時間の送信量"),
            Whose::Program => {
                ("went up within six hours by this program, at all clients", "全端末のこのプログラムの6時間の送信量")
            }
        };
        let (when, when_japanese) = match usual.when {
            When::OfWeek if whose == Whose::ClientDay => ("on this day of the week", "この曜日"),
            When::OfDay | When::Any if whose == Whose::ClientDay => ("on any day", "全曜日"),
            When::OfWeek => ("at this time of the week", "この曜日・時間帯"),
            When::OfDay => ("at this time of the day", "この時間帯"),
            When::Any => ("at any time", "全時間帯"),
        };
        let values = usual.values;
        let english = format!(
            "{all} {what}; {typical} is usual {when}, and up to {limit} would not have been told (from {values} values)"
        );
        let japanese = format!(
            "{what_japanese}が{all}（{when_japanese}の通常値{typical}、しきい値{limit}、実績{values}件から算出）"
        );
        self.add(ratio.log10().clamp(0.0, VOLUME_MAX), "unusual_volume", &numbers, english, japanese);
        self.large(sum);
    }

    /// Much went up to a host that few talk to, and nobody knows yet what is usual.
    pub(super) fn rare_upload(&mut self, heap: Heap, limit: u64, now: u64) {
        let sum = heap.bytes;
        let took = now.saturating_sub(heap.first) as f64 / 1e6;
        let numbers = [("bytes", sum as f64), ("limit_bytes", limit as f64), ("seconds", took)];
        let (all, took) = (Bytes(sum as f64), Span(took));
        let english = format!("{all} went up to it within {took}, and nothing is usual yet between the two");
        let japanese = format!("この相手への送信量が{}で{all}（この組み合わせの通常値はまだない）", took.in_japanese());
        let weight = 1.0 + (sum as f32 / limit as f32).log10().max(0.0);
        self.add(weight.min(VOLUME_MAX), "rare_upload", &numbers, english, japanese);
        self.large(sum);
    }

    fn large(&mut self, sum: u64) {
        if sum >= LARGE {
            let limit = Bytes(LARGE as f64);
            let english = format!("more than {limit} in all");
            self.add(0.5, "large", &[("bytes", sum as f64)], english, format!("合計{limit}超"));
        }
    }

    /// For how long what is usual was watched, in microseconds, where that is not long.
    pub(super) fn young(&mut self, watched: u64) {
        if watched < YOUNG {
            let seconds = watched as f64 / 1e6;
            let span = Span(seconds);
            let english = format!("what is usual is known from {span} only");
            let japanese = format!("通常値の学習期間はまだ{}", span.in_japanese());
            self.add(-0.5, "young_baseline", &[("watched_seconds", seconds)], english, japanese);
        }
    }

    /// Of what went up from a client, at least so much went to the host that is named.
    pub(super) fn most(&mut self, bytes: u64) {
        let least = Bytes(bytes as f64);
        let english = format!("at least {least} of it to this host");
        let japanese = format!("うち{least}以上がこの相手宛て");
        self.add(0.0, "most_to_one", &[("bytes", bytes as f64)], english, japanese);
    }

    /// How strange the host is to this network.
    pub(super) fn host(&mut self, rarity: Rarity, is_rare: bool, age_seconds: u64) {
        if !is_rare {
            return;
        }
        let english = "hardly anybody else here talks to it".to_owned();
        let japanese = "ほかの端末はこの相手とほとんど通信していない".to_owned();
        let numbers = [("clients", f64::from(rarity.clients)), ("of", f64::from(rarity.of))];
        // At first every host seems rare.
        let weight = if age_seconds < NETWORK_AGE_MIN { 0.5 } else { 1.0 };
        self.add(weight, "rare_host", &numbers, english, japanese);
        if rarity.known_seconds < NEW && age_seconds >= NETWORK_AGE_MIN {
            let numbers = [("known_seconds", rarity.known_seconds as f64), ("watched_seconds", age_seconds as f64)];
            let age = Span(age_seconds as f64);
            let english = format!("it is new here (this network is watched for {age})");
            let japanese = format!("この網では新しい相手（監視期間{}）", age.in_japanese());
            self.add(0.5, "new_host", &numbers, english, japanese);
        }
    }

    /// How many have the program.
    pub(super) fn program(&mut self, rarity: Rarity, is_rare: bool) {
        let Rarity { clients, of, .. } = rarity;
        let numbers = [("clients", f64::from(clients)), ("of", f64::from(of))];
        let english = format!("{clients} of {of} clients have this program, and this one sent last");
        let japanese = format!("このプログラムを持つのは{of}台中{clients}台、最後に送信したのがこの端末");
        self.add(if is_rare { 0.5 } else { 0.0 }, "program", &numbers, english, japanese);
    }

    /// Small uploads add up.
    pub(super) fn heap(&mut self, heap: Heap, now: u64) {
        let took = now.saturating_sub(heap.first) as f64 / 1e6;
        let numbers = [("bytes", heap.bytes as f64), ("uploads", f64::from(heap.count)), ("seconds", took)];
        let [all, most] = [heap.bytes, PIECE_MAX].map(|bytes| Bytes(bytes as f64));
        let (count, took) = (heap.count, Span(took));
        let english = format!("{count} uploads of less than {most} each add up to {all} within {took}");
        let japanese = format!("{most}未満の小さな送信{count}件が{}で合計{all}", took.in_japanese());
        self.add(1.5, "small_uploads", &numbers, english, japanese);
    }

    /// Uploads grow.
    pub(super) fn grown(&mut self, grown: Grown) {
        let numbers = [
            ("rises", f64::from(grown.rises)),
            ("pairs", f64::from(grown.pairs)),
            ("from_bytes", grown.from as f64),
            ("to_bytes", grown.to as f64),
        ];
        let [from, to] = [grown.from, grown.to].map(|bytes| Bytes(bytes as f64));
        let english = format!(
            "the last 16 uploads grew from {from} to {to}, nearly each beyond the one before (Kendall's S {} of {})",
            grown.rises, grown.pairs
        );
        let japanese = format!(
            "直近16件の送信が{from}から{to}へほぼ一貫して増加（ケンドールのSは{}、最大{}）",
            grown.rises, grown.pairs
        );
        self.add(1.5, "growing_bodies", &numbers, english, japanese);
    }

    /// Sub-names of a domain carry data.
    pub(super) fn channel(&mut self, channel: Channel) {
        let Channel { within, names, bytes_mean, encoded_mean, entropy_mean, longest, bytes } = channel;
        let numbers = [
            ("names", f64::from(names)),
            ("name_bytes_mean", f64::from(bytes_mean)),
            ("encoded_bytes_mean", f64::from(encoded_mean)),
            ("entropy_bits_mean", f64::from(entropy_mean)),
            ("label_bytes_max", f64::from(longest)),
            ("bytes", bytes as f64),
        ];
        let (english, japanese) = match within {
            Within::Hour => ("an hour", "1時間"),
            Within::Day => ("a day", "1日"),
        };
        let all = Bytes(bytes as f64);
        let english = format!(
            "about {names} different names below the domain within {english}, of {bytes_mean:.0} characters each, of which \
             {encoded_mean:.0} spell no words ({entropy_mean:.1} bits a character, longest label {longest}): room for {all}"
        );
        let japanese = format!(
            "このドメイン配下の異なる名前を{japanese}に約{names}件要求（平均{bytes_mean:.0}文字、うち単語にならない部分\
             {encoded_mean:.0}文字、1文字あたり{entropy_mean:.1}ビット、最長ラベル{longest}文字）。最大{all}を運べる量"
        );
        let weight = 1.5 + (bytes as f32 / CHANNEL_BYTES).max(1.0).log10() / 2.0;
        self.add(weight.min(3.0), "name_channel", &numbers, english, japanese);
    }
}

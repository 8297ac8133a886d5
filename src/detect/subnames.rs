//! Names used as a channel: what a client says to a domain by the sub-names that it asks for.
//!
//! Whoever runs the name server of a domain reads every sub-name that is asked of it, whether the connection comes about or
//! not. A program that may ask a proxy for any name can say anything in this way. What shows is many different sub-names
//! of one domain from one client, long ones, that no word explains. [`SubNames`] counts them for one client and one
//! registrable domain; [`SubNames::channel`] says whether it is a channel, in numbers.
//!
//! # What looks the same and is none
//!
//! Look-ups of reputation by antivirus programs and the frames of some advertising networks (a hash of the page as a
//! sub-name) *are* names used as a channel, to a party that the network wants or bears. That many clients do it sets
//! them apart, not their names: whoever calls this must look at rarity. Hosts that deliver video
//! (`rr4---sn-3pm76n7e`), numbered shards, customers' names, dates and addresses stay below the thresholds. Of generated
//! traffic (`subnames/tests.rs` prints all of it), characters of a name that look encoded, in the mean: video 11 of 17, marks
//! of ten letters and digits 8.7, words, shards, dates and addresses 0; twenty hexadecimal digits 19, thirty
//! characters of Base32 in short labels 28.6, three labels of sixty hexadecimal digits 179.
//!
//! # What it does not see
//!
//! Fewer than [`HOUR_NAMES_MIN`] names an hour and [`DAY_NAMES_MIN`] a day; fewer than [`ENCODED_BYTES_MIN`] characters in a
//! name; data spelt in words of fewer than [`LONG_BYTES_MIN`] characters a name; channels over many domains.

use serde::{Deserialize, Serialize};

use super::spelling::drawn_run;

/// Different names within an hour from which on they are looked at.
const HOUR_NAMES_MIN: u32 = 50;
/// Different names within a day from which on they are looked at.
const DAY_NAMES_MIN: u32 = 150;
/// Characters that look encoded, in the mean of names, from which on they carry data.
const ENCODED_BYTES_MIN: f32 = 16.0;
/// Shannon entropy of a name's characters, in bits, in the mean of names, below which they say little, whatever they look like.
/// Hexadecimal data in 20 characters have 3.3, 20 times the same character has 0.
const ENTROPY_MIN: f32 = 2.8;
/// As many names that are as long carry data however they are spelt: names within an hour,
const LONG_NAMES_MIN: u32 = 200;
/// and their characters, in the mean.
const LONG_BYTES_MIN: f32 = 40.0;
/// Digits in a row that are data, not a date, a count or an address.
const DIGITS_MIN: usize = 14;

/// What one sub-name can carry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Carried {
    pub labels: u8,
    /// Of the longest label, in characters.
    pub longest: u8,
    /// Of all labels, in characters without the dots.
    pub bytes: u8,
    /// Of the run that no words explain, or of a long row of digits, in characters.
    pub encoded: u8,
    /// Shannon entropy, in bits a character.
    pub entropy: f32,
}

/// What the part of a host left of its registrable domain can carry; `None` where nothing stands there. The domain may be
/// written as `*.example.com` too.
#[cfg(test)]
pub(super) fn carried(host: &str, registrable: &str) -> Option<Carried> {
    Some(Carried::of(sub_name(host, registrable)?))
}

/// The part of a host left of its registrable domain.
fn sub_name<'a>(host: &'a str, registrable: &str) -> Option<&'a str> {
    let registrable = registrable.strip_prefix("*.").unwrap_or(registrable);
    let sub = host.strip_suffix('.').unwrap_or(host).strip_suffix(registrable)?.strip_suffix('.')?;
    (!sub.is_empty()).then_some(sub)
}

impl Carried {
    fn of(sub: &str) -> Self {
        let short = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        let labels = sub.split('.');
        let digits = sub.split(|sign: char| !sign.is_ascii_digit() && sign != '.');
        let digits = digits.map(|row| row.len() - row.matches('.').count()).max().filter(|row| *row >= DIGITS_MIN);
        Self {
            labels: short(labels.clone().count()),
            longest: short(labels.clone().map(str::len).max().unwrap_or(0)),
            bytes: short(labels.map(str::len).sum()),
            // Data cut into short labels are still data: the run goes over dots.
            encoded: short(drawn_run(sub).max(digits.unwrap_or(0))),
            entropy: entropy(sub),
        }
    }
}

/// Shannon entropy of the characters without the dots, in bits a character.
fn entropy(sub: &str) -> f32 {
    let (mut counts, mut all) = ([0_u32; 256], 0.0_f32);
    for byte in sub.bytes().filter(|byte| *byte != b'.') {
        counts[usize::from(byte)] += 1;
        all += 1.0;
    }
    let shares = counts.iter().filter(|count| **count > 0).map(|count| *count as f32 / all);
    shares.map(|share| -share * share.log2()).sum::<f32>().max(0.0)
}

/// The sub-names of one registrable domain that one client asked for, in this hour and this day, in 92 bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SubNames {
    hour: Window,
    day: Window,
}

/// Within which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    Hour,
    Day,
}

/// A domain's sub-names carry data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Channel {
    pub within: Within,
    /// Different names, estimated to about an eighth.
    pub names: u32,
    /// Characters of a name without the dots, in the mean.
    pub bytes_mean: f32,
    /// Of them those that look encoded, in the mean.
    pub encoded_mean: f32,
    /// Bits a character, in the mean of names.
    pub entropy_mean: f32,
    /// Of the longest label, in characters.
    pub longest: u8,
    /// All that the names can have carried, in characters: their number times the mean.
    pub bytes: u64,
}

impl SubNames {
    /// Of what was first asked for at this time, in microseconds since 1970.
    pub(super) fn new(time: u64) -> Self {
        Self { hour: Window::new(seconds(time)), day: Window::new(seconds(time)) }
    }

    /// A host was asked for: counts its sub-name, if it has one. Names that were counted before cost little. Lines may come
    /// late by less than a window; where time goes back by more, it is another clock's, and the window begins anew.
    pub(super) fn add(&mut self, time: u64, host: &str, registrable: &str) {
        let Some(sub) = sub_name(host, registrable) else { return };
        let (time, hash) = (seconds(time), hash(sub));
        self.hour.roll(time, HOUR_SECONDS);
        self.day.roll(time, DAY_SECONDS);
        let (in_hour, in_day) = (self.hour.names.add(hash), self.day.names.add(hash));
        if in_hour || in_day {
            let carried = Carried::of(sub);
            [(in_hour, &mut self.hour), (in_day, &mut self.day)]
                .into_iter()
                .filter(|(is_new, _)| *is_new)
                .for_each(|(_, window)| window.take(&carried));
        }
    }

    /// Whether they carry data, in the hour or in the day.
    pub(super) fn channel(&self) -> Option<Channel> {
        let (hour, day) = (self.hour.told(Within::Hour), self.day.told(Within::Day));
        let is_encoded = |channel: &Channel| {
            let names_min = if channel.within == Within::Hour { HOUR_NAMES_MIN } else { DAY_NAMES_MIN };
            channel.names >= names_min
                && channel.encoded_mean >= ENCODED_BYTES_MIN
                && channel.entropy_mean >= ENTROPY_MIN
        };
        let is_long = |channel: &Channel| {
            channel.within == Within::Hour && channel.names >= LONG_NAMES_MIN && channel.bytes_mean >= LONG_BYTES_MIN
        };
        [hour, day].into_iter().find(|channel| is_encoded(channel) || is_long(channel))
    }
}

const HOUR_SECONDS: u32 = 3_600;
const DAY_SECONDS: u32 = 86_400;

/// Enough until 2106.
fn seconds(time: u64) -> u32 {
    u32::try_from(time / 1_000_000).unwrap_or(u32::MAX)
}

/// The same on every machine and in every run, in either case. Who would make names collide says less by them.
fn hash(sub: &str) -> u64 {
    // FNV-1a (Fowler, Noll and Vo, 1991), then the finish of SplitMix64 (Steele, Lea and Flood, 2014): the sketch looks at
    // the upper bits, which FNV alone mixes badly.
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3);
    let mut hash = sub.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

/// Names within an hour or a day that begin with the first one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Window {
    /// In seconds since 1970.
    start: u32,
    names: Distinct,
    /// Sums over the first [`TAKEN_MAX`] different names: characters, those that look encoded, and entropy in fortieths of a bit.
    bytes: u16,
    encoded: u16,
    entropy: u16,
    taken: u8,
    longest: u8,
}

/// The sums cannot overflow: 255 names of 255 characters, and of 6.4 bits a character (there are 38 characters of hosts).
const TAKEN_MAX: u8 = 255;
const ENTROPY_PARTS: f32 = 40.0;

impl Window {
    fn new(start: u32) -> Self {
        Self { start, names: Distinct::default(), bytes: 0, encoded: 0, entropy: 0, taken: 0, longest: 0 }
    }

    fn roll(&mut self, time: u32, length: u32) {
        if time.abs_diff(self.start) >= length {
            *self = Self::new(time);
        }
    }

    /// Takes a name that was not there yet.
    fn take(&mut self, carried: &Carried) {
        self.longest = self.longest.max(carried.longest);
        if self.taken < TAKEN_MAX {
            self.taken += 1;
            self.bytes = self.bytes.saturating_add(carried.bytes.into());
            self.encoded = self.encoded.saturating_add(carried.encoded.into());
            self.entropy = self.entropy.saturating_add((carried.entropy * ENTROPY_PARTS).round() as u16);
        }
    }

    fn told(&self, within: Within) -> Channel {
        let mean = |sum: u16| f32::from(sum) / f32::from(self.taken.max(1));
        let (names, bytes_mean) = (self.names.count(), mean(self.bytes));
        Channel {
            within,
            names,
            bytes_mean,
            encoded_mean: mean(self.encoded),
            entropy_mean: mean(self.entropy) / ENTROPY_PARTS,
            longest: self.longest,
            bytes: (f64::from(names) * f64::from(bytes_mean)).round() as u64,
        }
    }
}

/// How many different hashes were added, in 32 bytes: HyperLogLog (Flajolet, Fusy, Gandouet and Meunier, 2007) with 64
/// registers of 4 bits, and linear counting below 160. Off by about an eighth; good to some two millions.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Distinct([u8; REGISTERS / 2]);

const REGISTERS: usize = 64;

impl Distinct {
    /// Whether the sketch changed, which it does for no hash that was added before.
    fn add(&mut self, hash: u64) -> bool {
        let register = (hash >> 58) as usize;
        let rank = ((hash << 6).leading_zeros() + 1).min(15) as u8;
        let Some(two) = self.0.get_mut(register / 2) else { return false };
        let shift = register % 2 * 4;
        let is_new = rank > *two >> shift & 15;
        if is_new {
            *two = *two & !(15 << shift) | rank << shift;
        }
        is_new
    }

    fn count(self) -> u32 {
        let ranks = self.0.iter().flat_map(|two| [two & 15, two >> 4]);
        let (mut free, mut sum) = (0.0_f64, 0.0_f64);
        for rank in ranks {
            free += if rank == 0 { 1.0 } else { 0.0 };
            sum += 0.5_f64.powi(rank.into());
        }
        let registers = REGISTERS as f64;
        let raw = 0.709 * registers * registers / sum;
        let count = if raw <= 2.5 * registers && free > 0.0 { registers * (registers / free).ln() } else { raw };
        count.round() as u32
    }
}

#[cfg(test)]
mod tests;

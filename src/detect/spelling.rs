//! Whether a name looks as if a person had chosen it, or a program had drawn it.
//!
//! Two accounts of a label are compared, character by character: that it is made as names are made (a model of three
//! characters in a row, learnt from `words.txt`), and that its characters were drawn blindly. How much better the second
//! explains the best-fitting run of the label is the evidence, in decades: 3 means a thousand times better.
//!
//! # Figures
//!
//! Measured with [`GENERATED_DECADES`] as it stands, on the lists and generators of `spelling/tests.rs`, which print what
//! they find and hold it to bounds. The threshold and the smoothing were chosen on the first list; the second was written
//! down afterwards. Of both together 126 names are words of `words.txt`, and so were learnt.
//!
//! | registrable labels | count as generated |
//! |---|---|
//! | 684 of ordinary sites, delivery, advertising and telemetry | 3: `crwdcntrl`, `msftncsi`, `nflxvideo` (0.4 %) |
//! | 311 others, kept aside | none |
//! | 2,000 of blindly drawn letters, 8 to 16 | 96 % from 12 on, 83 % below |
//! | 2,000 of letters and digits, 12 to 20 | 99 % |
//! | 2,000 of hexadecimal digits, 16 to 32 | 99.8 % |
//! | 2,000 of a linear congruence, mostly consonants, 8 to 16 | 99 % from 12 on, 91 % below |
//! | 2,000 of syllables (a consonant and a vowel in turn), 8 to 16 | 32 % from 12 on, 12 % below |
//! | 2,000 of two or three words in a row | none |
//!
//! Learning takes a millisecond, once; judging a host takes half a microsecond beside looking up its suffix.
//!
//! # What it does not see
//!
//! Names put together of words of a dictionary look like words, because they are; of names made of syllables two in three
//! are missed. Labels of fewer than [`LABEL_BYTES_MIN`] characters say nothing, nor do names in other scripts (`xn--`).
//! What looks generated need not be bad: networks that deliver content name their machines and customers so, which is why
//! the registrable label and the sub-domain are told apart, and why this is one ground among others.

use std::sync::LazyLock;

/// From here on a label counts as generated, in decades.
pub(super) const GENERATED_DECADES: f32 = 5.0;
/// Shorter labels say nothing: `jcb`, `mhlw` and `1e100` were chosen by people.
const LABEL_BYTES_MIN: usize = 6;
/// More of a label is never looked at (RFC 1035, section 2.3.4: 255 for the whole name).
const LABEL_BYTES_MAX: usize = 255;
/// What a hyphen says within a run: that words are joined by it is more common than that drawn groups are.
const HYPHEN_DECADES: f32 = -0.5;
/// How many groups of characters are shown.
const ODD_MAX: usize = 3;

/// How a label is spelt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spelling<'a> {
    pub label: &'a str,
    /// How much better its most peculiar run is explained by characters drawn blindly, in decades; 0 where words explain it
    /// as well.
    pub decades: f32,
    /// The one to three characters that speak most for that, at most three such groups, the strongest first.
    pub odd: Vec<&'a str>,
    /// How long that run is, in characters.
    pub run: usize,
}

impl Spelling<'_> {
    /// Whether it counts as generated.
    pub(super) fn is_generated(&self) -> bool {
        self.decades >= GENERATED_DECADES
    }
}

/// How the labels of a host are spelt; `None` where there is no such label, or none that says anything.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Spellings<'a> {
    /// Of the label that was registered: left of the suffix under which a registry sells names, so `cloudfront` of
    /// `d111111abcdef8.cloudfront.net`.
    pub registrable: Option<Spelling<'a>>,
    /// Of the longest label left of that, which whoever owns or rents the name gives out freely.
    pub sub: Option<Spelling<'a>>,
}

/// How the labels of a host are spelt. Address literals, single labels and names that are a public suffix say nothing.
pub(super) fn spelling(host: &str) -> Spellings<'_> {
    let Some((sub, label)) = labels(host) else { return Spellings::default() };
    // Of labels of one length the first.
    let longest = sub.split('.').rev().max_by_key(|label| label.len()).unwrap_or_default();
    Spellings { registrable: of_label(label), sub: of_label(longest) }
}

/// The registrable label of a host, and all that is left of it (which may be empty).
fn labels(host: &str) -> Option<(&str, &str)> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let top = host.rsplit('.').next()?;
    if host.contains(['[', ':']) || top.is_empty() || top.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut suffix = suffix_of(host)?;
    // What a company lets to its customers is below a name that it has registered itself.
    while let Some((_, above)) = suffix.0.split_once('.').filter(|_| suffix.1) {
        suffix = suffix_of(above)?;
    }
    let left = host.strip_suffix(suffix.0)?.strip_suffix('.')?;
    let (sub, label) = left.rsplit_once('.').unwrap_or(("", left));
    (!label.is_empty()).then_some((sub, label))
}

/// The public suffix of a name, and whether it is in the private part of the list.
fn suffix_of(name: &str) -> Option<(&str, bool)> {
    let suffix = psl::suffix(name.as_bytes())?;
    let text = name.get(name.len().checked_sub(suffix.as_bytes().len())?..)?;
    Some((text, suffix.typ() == Some(psl::Type::Private)))
}

/// How a label is spelt; `None` where it is too short, in another script, or holds what no host name does.
pub(super) fn of_label(label: &str) -> Option<Spelling<'_>> {
    let is_foreign = label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    if label.len() < LABEL_BYTES_MIN || label.len() > LABEL_BYTES_MAX || is_foreign {
        return None;
    }
    let signs: Option<Vec<Sign>> = label.bytes().map(Sign::of).collect();
    let signs = signs?;
    let best = MODEL.best_run(label.as_bytes(), &signs);
    let mut odd: Vec<(f32, &str)> = (best.start..best.end)
        .filter_map(|end| Some((best.source.decades(&MODEL, label.as_bytes(), &signs, end)?, end)))
        .filter(|(decades, _)| *decades > 0.0)
        .filter_map(|(decades, end)| Some((decades, label.get(end.saturating_sub(2)..=end)?)))
        .collect();
    odd.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut shown: Vec<&str> = Vec::with_capacity(ODD_MAX);
    for (_, group) in odd {
        if shown.len() < ODD_MAX && !shown.contains(&group) {
            shown.push(group);
        }
    }
    Some(Spelling { label, decades: best.decades, odd: shown, run: best.end - best.start })
}

/// How long the run of a text is that counts as generated, in letters and digits; 0 where there is none.
/// What no host name holds, dots too, is passed over.
pub(super) fn drawn_run(text: &str) -> usize {
    let (bytes, signs): (Vec<u8>, Vec<Sign>) =
        text.bytes().take(LABEL_BYTES_MAX).filter_map(|byte| Some((byte, Sign::of(byte)?))).unzip();
    let best = MODEL.best_run(&bytes, &signs);
    let run = signs.get(best.start..best.end).filter(|_| best.decades >= GENERATED_DECADES).unwrap_or_default();
    run.iter().filter(|sign| **sign != Sign::HYPHEN).count()
}

/// A character as the model sees it: a letter, a digit, a hyphen, or the edge of the label.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sign(u8);

const SIGNS: usize = 29;

impl Sign {
    const DIGIT: Self = Self(26);
    const HYPHEN: Self = Self(27);
    const EDGE: Self = Self(28);

    /// `None` for what no host name holds.
    fn of(byte: u8) -> Option<Self> {
        match byte.to_ascii_lowercase() {
            letter @ b'a'..=b'z' => Some(Self(letter - b'a')),
            b'0'..=b'9' => Some(Self::DIGIT),
            b'-' | b'_' => Some(Self::HYPHEN),
            _ => None,
        }
    }
}

/// What a program draws characters from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Letters,
    Hexadecimal,
    Alphanumeric,
}

impl Source {
    const ALL: [Self; 3] = [Self::Letters, Self::Hexadecimal, Self::Alphanumeric];

    fn holds(self, byte: u8) -> bool {
        match self {
            Self::Letters => byte.is_ascii_alphabetic(),
            Self::Hexadecimal => byte.is_ascii_hexdigit(),
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
        }
    }

    /// The chance of each of its characters, in decades: one of 26, of 16, of 36.
    fn chance(self) -> f32 {
        match self {
            Self::Letters => -1.414_973_3,
            Self::Hexadecimal => -1.204_12,
            Self::Alphanumeric => -1.556_302_5,
        }
    }

    /// Letters alone are what is drawn most; the others must show a little more, in decades.
    fn handicap(self) -> f32 {
        match self {
            Self::Letters => 0.0,
            Self::Hexadecimal | Self::Alphanumeric => 0.3,
        }
    }

    /// How much better this source explains one character than words do; `None` where it does not hold it.
    fn decades(self, model: &Model, label: &[u8], signs: &[Sign], place: usize) -> Option<f32> {
        let (byte, sign) = (*label.get(place)?, *signs.get(place)?);
        if sign == Sign::HYPHEN {
            // Drawn characters may stand in groups, but words do so more.
            return Some(HYPHEN_DECADES);
        }
        if !self.holds(byte) {
            return None;
        }
        let before = |back: usize| place.checked_sub(back).and_then(|at| signs.get(at)).copied().unwrap_or(Sign::EDGE);
        let decades = self.chance() - model.chance(before(2), before(1), sign);
        // Numbers in names are dates, counts and addresses: which digit follows a digit says nothing.
        Some(if sign == Sign::DIGIT && before(1) == Sign::DIGIT { decades.min(0.0) } else { decades })
    }
}

/// The run of a label that is best explained by a source.
#[derive(Debug, Clone, Copy)]
struct Run {
    decades: f32,
    start: usize,
    end: usize,
    source: Source,
}

/// The chance of each sign after two others, in decades.
#[derive(Debug)]
struct Model(Vec<f32>);

static WORDS: &str = include_str!("words.txt");
static MODEL: LazyLock<Model> = LazyLock::new(|| Model::learn(WORDS));

/// How often, beside standing alone, a word stands before another without a mark between them.
const GLUE_STEPS: [usize; 2] = [1009, 3571];
const GLUE_WEIGHT: f32 = 0.25;
/// How much the chances of shorter contexts weigh, in kinds of successors (Witten and Bell, 1991, have 1). More is fairer
/// to abbreviations.
const SMOOTHING: f32 = 2.0;

impl Model {
    /// Learns from a list of words. Three signs in a row, interpolated with two and one.
    fn learn(list: &str) -> Self {
        let words: Vec<&str> =
            list.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_ascii_whitespace).collect();
        let mut counts = vec![0.0_f32; SIGNS * SIGNS * SIGNS];
        let mut count = |parts: &[&str], weight: f32| {
            let (mut a, mut b) = (Sign::EDGE, Sign::EDGE);
            let signs = parts.iter().flat_map(|part| part.bytes()).filter_map(Sign::of);
            for sign in signs.chain([Sign::EDGE]) {
                if let Some(counted) = counts.get_mut(place(a, b, sign)) {
                    *counted += weight;
                }
                (a, b) = (b, sign);
            }
        };
        for (number, word) in words.iter().enumerate() {
            count(&[word], 1.0);
            for step in GLUE_STEPS {
                if let Some(other) = words.get((number + 1) * step % words.len()) {
                    count(&[word, other], GLUE_WEIGHT);
                }
            }
        }
        Self::smoothed(&counts)
    }

    fn smoothed(counts: &[f32]) -> Self {
        let mut pairs = vec![0.0_f32; SIGNS * SIGNS];
        let mut singles = [0.0_f32; SIGNS];
        for (at, count) in counts.iter().enumerate() {
            pairs[at % (SIGNS * SIGNS)] += count;
            singles[at % SIGNS] += count;
        }
        // What was never seen has half a sighting.
        let all: f32 = singles.iter().map(|count| count + 0.5).sum();
        let of_one: Vec<f32> = singles.iter().map(|count| (count + 0.5) / all).collect();
        let of_two: Vec<f32> = pairs.chunks(SIGNS).flat_map(|row| interpolated(row, &of_one)).collect();
        let rows = counts.chunks(SIGNS).enumerate();
        let of_three = rows.flat_map(|(context, row)| {
            let shorter = context % SIGNS * SIGNS;
            interpolated(row, &of_two[shorter..shorter + SIGNS])
        });
        Self(of_three.map(f32::log10).collect())
    }

    /// The chance of a sign after two others, in decades; of a digit, of any one of the ten.
    fn chance(&self, a: Sign, b: Sign, sign: Sign) -> f32 {
        let one_of_ten = if sign == Sign::DIGIT { 1.0 } else { 0.0 };
        self.0.get(place(a, b, sign)).copied().unwrap_or(0.0) - one_of_ten
    }

    /// The run with the most evidence, over all sources; of 0 decades and length where words explain everything better.
    fn best_run(&self, label: &[u8], signs: &[Sign]) -> Run {
        let mut best = Run { decades: 0.0, start: 0, end: 0, source: Source::Letters };
        for source in Source::ALL {
            let (mut sum, mut start) = (0.0_f32, 0);
            for place in 0..label.len() {
                sum = source.decades(self, label, signs, place).map_or(0.0, |decades| sum + decades);
                if sum <= 0.0 {
                    (sum, start) = (0.0, place + 1);
                } else if sum - source.handicap() > best.decades {
                    best = Run { decades: sum - source.handicap(), start, end: place + 1, source };
                }
            }
        }
        best
    }
}

fn place(a: Sign, b: Sign, sign: Sign) -> usize {
    (usize::from(a.0) * SIGNS + usize::from(b.0)) * SIGNS + usize::from(sign.0)
}

/// Chances in one context: counts, mixed with the chances in the shorter context by how many kinds were seen.
fn interpolated<'a>(row: &'a [f32], shorter: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
    let seen: f32 = row.iter().sum();
    let weight = SMOOTHING * row.iter().filter(|count| **count > 0.0).count() as f32;
    row.iter().zip(shorter).map(
        move |(count, chance)| {
            if seen > 0.0 { (count + weight * chance) / (seen + weight) } else { *chance }
        },
    )
}

#[cfg(test)]
mod tests;

use std::ops::Sub;

use serde::{Deserialize, Serialize};

use crate::evidence::{Bytes, Ground, Span};

/// The pace and the sizes of a tunnel's last bursts, each as a logarithm.
///
/// Two questions are asked of them. Is the tunnel kept open, by tiny packets at a steady pace? And does a person type in it?
/// That shows in bursts that come as people do, with uneven gaps of seconds, and in one of two shapes. *Echo*: what is typed is
/// sent key by key and comes back, so that many bursts carry as much up as down, and not always the same. *Lines*: one side
/// sends short lines of uneven length, and the other answers with anything. Of three windows in a row, of 32 bursts each, all
/// must look like it, which takes 64 bursts.
///
/// Measured on generated traffic, 300 tunnels of each kind (`tests/tunnels/typing.rs` makes them). Of an hour of a shell with an
/// echo 99.7 % are found, to either side and with or without the chaff that OpenSSH sends to hide the keys, and 98 % of those
/// that send lines; of half an hour, in which there are often too few bursts, three in four of the latter. Of two hours of
/// browsing, of an hour of clicks in a page that asks for small things, of searching or writing in one, of polling, telemetry,
/// mail and remote desktops, none is told of; of pushed news less than 1 %. A third to a half of all chats is: somebody types
/// there.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Pace {
    /// When the last burst began, in microseconds; 0 before the first.
    last: u64,
    bursts: [Burst; WINDOW],
    /// Where the next goes.
    next: u8,
    /// How many there are, and since how many the last look was.
    count: u8,
    since: u8,
    /// How many looks in a row showed typing.
    looks: u8,
    is_kept: bool,
    /// A person types in it, which was not asked for yet.
    pub(super) typing: Option<Typing>,
}

/// Logarithms: of the gap before it, and of the bytes.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Burst {
    gap: u16,
    up: u8,
    down: u8,
}

/// What shows that a person types.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Typing {
    shape: Shape,
    gap_seconds: f64,
    up: f64,
    down: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Shape {
    Echo,
    Lines,
}

const WINDOW: usize = 32;
/// Bursts from one look to the next.
const STRIDE: u8 = 16;
/// Looks in a row that must show typing.
const LOOKS: u8 = 3;
/// Steps of a logarithm: of bytes 16, and of gaps 100 to each doubling.
const SIZE_STEPS: f64 = 16.0;
const GAP_STEPS: f64 = 100.0;

fn size(bytes: u32) -> u8 {
    (SIZE_STEPS * (f64::from(bytes) + 1.0).log2()).round().min(255.0) as u8
}

fn size_of(step: u8) -> f64 {
    (f64::from(step) / SIZE_STEPS).exp2() - 1.0
}

/// Of a gap in microseconds.
fn gap(gap: u64) -> u16 {
    (GAP_STEPS * (gap as f64 / 1e4).max(1.0).log2()).round() as u16
}

fn gap_of(step: u16) -> f64 {
    (f64::from(step) / GAP_STEPS).exp2() / 100.0
}

impl Pace {
    pub(super) fn burst(&mut self, time: u64, up: u32, down: u32) {
        let last = std::mem::replace(&mut self.last, time);
        if last == 0 || time < last {
            return;
        }
        self.bursts[usize::from(self.next)] = Burst { gap: gap(time - last), up: size(up), down: size(down) };
        self.next = (self.next + 1) % WINDOW as u8;
        self.count = (self.count + 1).min(WINDOW as u8);
        self.since += 1;
        if usize::from(self.count) == WINDOW && self.since >= STRIDE {
            self.since = 0;
            self.judge();
        }
    }

    fn judge(&mut self) {
        let window = Window::of(&self.bursts);
        self.is_kept = window.is_kept();
        let shape = window.shape();
        self.looks = if shape.is_some() { self.looks.saturating_add(1) } else { 0 };
        if let Some(shape) = shape.filter(|_| self.looks == LOOKS) {
            let (gap_seconds, [up, down]) =
                (gap_of(window.gaps.middle()), [&window.ups, &window.downs].map(Steps::bytes));
            self.typing = Some(Typing { shape, gap_seconds, up, down });
        }
    }

    /// Whether the last bursts were tiny and steady.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Why it is kept open, with what that weighs.
    pub(super) fn kept(&self, weight: f32, age: u64) -> (f32, Ground) {
        let window = Window::of(&self.bursts);
        let (every, age) = (Span(gap_of(window.gaps.middle())), Span(age as f64));
        let [up, down] = [&window.ups, &window.downs].map(|steps| Bytes(steps.bytes()));
        let numbers = [
            ("weight", f64::from(weight)),
            ("stood_seconds", age.0),
            ("gap_seconds", every.0),
            ("gap_low_seconds", gap_of(window.gaps.at(3))),
            ("gap_high_seconds", gap_of(window.gaps.at(28))),
            ("up_bytes", up.0),
            ("down_bytes", down.0),
        ];
        let english =
            format!("a tunnel of {age} is kept open: about {up} up and {down} down every {every}, {WINDOW} times");
        let japanese = format!(
            "{}続くトンネルを小さな通信で維持（約{}ごとに上り約{up}、下り約{down}、{WINDOW}回）",
            age.in_japanese(),
            every.in_japanese()
        );
        (weight, Ground::new("kept_open", &numbers, english, japanese))
    }
}

impl Typing {
    pub(super) fn ground(self) -> (f32, Ground) {
        let weight = 2.0_f32;
        let (pace, up, down) = (Span(self.gap_seconds), Bytes(self.up), Bytes(self.down));
        let bursts = WINDOW + usize::from(STRIDE * (LOOKS - 1));
        let numbers = [
            ("weight", f64::from(weight)),
            ("bursts", bursts as f64),
            ("gap_seconds", pace.0),
            ("up_bytes", up.0),
            ("down_bytes", down.0),
        ];
        let (how, in_japanese) = match self.shape {
            Shape::Echo => {
                ("much of it comes back as it went, as an echo does", "多くは送った量と同じだけ返る（エコー）")
            }
            Shape::Lines => (
                "short lines of uneven length one way, answers the other",
                "片方向は不ぞろいな短い行、逆方向はその応答",
            ),
        };
        let english = format!(
            "a person seems to type in a tunnel: {bursts} bursts at uneven gaps of about {pace}, with about {up} up and {down} \
             down each; {how}"
        );
        let japanese = format!(
            "トンネル内で人が入力している様子（不規則な約{}間隔で{bursts}回、1回あたり上り約{up}、下り約{down}。{in_japanese}）",
            pace.in_japanese()
        );
        (weight, Ground::new("typed", &numbers, english, japanese))
    }
}

/// Logarithms in order of size.
#[derive(Debug, Serialize, Deserialize)]
struct Steps<T>([T; WINDOW]);

impl<T: Copy + Ord + Sub<Output = T>> Steps<T> {
    fn of(mut steps: [T; WINDOW]) -> Self {
        steps.sort_unstable();
        Self(steps)
    }

    fn at(&self, place: usize) -> T {
        self.0[place]
    }

    fn middle(&self) -> T {
        self.0[WINDOW / 2]
    }

    /// From the first quarter to the last.
    fn spread(&self) -> T {
        self.0[WINDOW * 3 / 4] - self.0[WINDOW / 4]
    }
}

impl Steps<u8> {
    /// In the middle.
    fn bytes(&self) -> f64 {
        size_of(self.middle()).round()
    }
}

/// How many of the most common size there are, those beside it included. They are in order.
fn most_alike(steps: &[u8]) -> usize {
    let mut most = 0;
    for (number, step) in steps.iter().enumerate() {
        most = most.max(steps[number..].iter().take_while(|other| **other - *step <= 2).count());
    }
    most
}

#[derive(Debug, Serialize, Deserialize)]
struct Window {
    gaps: Steps<u16>,
    ups: Steps<u8>,
    downs: Steps<u8>,
    /// What came down for what went up, in order; and where it is as much, what went up, in order.
    answers: [i16; WINDOW],
    echoes: Vec<u8>,
    /// Bursts with far more than a person types or reads, that are no echo.
    pages: usize,
}

/// What came back as it went, in steps; nothing is measured more finely.
const ALIKE: i16 = 5;

impl Window {
    fn of(bursts: &[Burst; WINDOW]) -> Self {
        let mut answers = bursts.map(|burst| i16::from(burst.down) - i16::from(burst.up));
        answers.sort_unstable();
        let is_echo = |burst: &&Burst| burst.up.abs_diff(burst.down) <= ALIKE as u8;
        let mut echoes: Vec<u8> = bursts.iter().filter(is_echo).map(|burst| burst.up).collect();
        echoes.sort_unstable();
        Self {
            gaps: Steps::of(bursts.map(|burst| burst.gap)),
            ups: Steps::of(bursts.map(|burst| burst.up)),
            downs: Steps::of(bursts.map(|burst| burst.down)),
            answers,
            echoes,
            pages: bursts.iter().filter(|burst| burst.up.max(burst.down) >= size(30_000) && !is_echo(burst)).count(),
        }
    }

    /// Nine in ten gaps within 1.6 of each other, which leaves jitter of 30 % in part, and of all bursts at most three
    /// above 256 bytes. Below five seconds it is no keeping open.
    fn is_kept(&self) -> bool {
        let tiny = size(256);
        self.gaps.middle() >= gap(5_000_000)
            && self.gaps.at(28) - self.gaps.at(3) <= 70
            && self.ups.at(28) <= tiny
            && self.downs.at(28) <= tiny
    }

    /// How a person types, if one does. The numbers are those that part shells from the rest in the traffic that is described
    /// above.
    fn shape(&self) -> Option<Shape> {
        let uneven = self.ups.spread().max(self.downs.spread());
        if self.gaps.middle() > gap(30_000_000) || self.pages > 3 || uneven < 16 {
            return None;
        }
        let answer = self.answers[WINDOW / 2].abs();
        let echoes = self.echoes.len();
        if echoes >= 12 && 2 * most_alike(&self.echoes) <= echoes && self.gaps.spread() >= 58 && answer <= 32 {
            return Some(Shape::Echo);
        }
        let short = if self.ups.middle() <= self.downs.middle() { &self.ups } else { &self.downs };
        let is_uneven = self.answers[28] - self.answers[3] >= 24 && most_alike(&short.0) <= 13;
        let is_short = short.at(3) <= size(56) && short.middle() <= size(90);
        (is_short && is_uneven && self.gaps.spread() >= 114 && answer <= 80).then_some(Shape::Lines)
    }
}

//! A cheaper way to read what detectors ask of a line of the journal: one pass that copies nothing, for lines as the gate
//! writes them. Of all others it says nothing, and the whole reader is asked.

use sekisho::evidence::{Asked, Burst, Failure, Observed, Part, Shown, Verdict};
use sekisho::facts::{ExchangeId, Timestamp};

/// What a line says that decides what its other members mean.
#[derive(Default)]
struct Words<'a> {
    kind: &'a str,
    event: &'a str,
    scheme: &'a str,
    ja4: &'a str,
    standing: &'a str,
    outcome: &'a str,
    verdict: &'a str,
    would: &'a str,
    closed_by: &'a str,
}

/// What a line tells of an exchange, a tunnel or a challenge, and the bursts on it.
///
/// # Errors
/// `Err` where this reader cannot say: text with escapes, members of an unexpected type, no JSON. `None` where the line tells
/// of something else.
pub(crate) fn skim<'a>(line: &'a str, bursts: &mut Vec<Burst>) -> Result<Option<Observed<'a>>, ()> {
    bursts.clear();
    let mut rest = Rest(line.trim_ascii_end());
    let (mut seen, mut words) = (Observed::default(), Words::default());
    rest.skip(b'{')?;
    loop {
        let name = rest.text()?;
        rest.skip(b':')?;
        match name.as_bytes() {
            b"time" => seen.time = time(rest.text()?).ok_or(())?,
            b"seq" => seen.line = rest.number()?,
            b"kind" => {
                words.kind = rest.text()?;
                if !matches!(words.kind, "exchange" | "progress" | "challenge") {
                    return Ok(None);
                }
            }
            b"event" => words.event = rest.text()?,
            b"id" => seen.id = id(rest.text()?),
            b"inside" => seen.inside = id(rest.text()?),
            b"client" => seen.client = rest.text()?,
            b"user" => seen.user = rest.text()?,
            b"user_agent" => seen.user_agent = rest.text()?,
            b"method" => seen.method = rest.text()?,
            b"scheme" => words.scheme = rest.text()?,
            b"host" => seen.host = rest.text()?,
            b"port" => seen.port = rest.number()?.try_into().map_err(|_| ())?,
            b"path" => seen.path = rest.text()?,
            b"sni" => seen.sni = rest.text()?,
            b"ja4" => words.ja4 = rest.text()?,
            b"tls_key" => seen.tls_key = rest.text()?,
            b"standing" => words.standing = rest.text()?,
            b"carries" => seen.carries = rest.text()?,
            b"verdict" => words.verdict = rest.text()?,
            b"would" => words.would = rest.text()?,
            b"reason" => seen.reason = rest.text()?,
            b"dialled" => seen.address = rest.text()?,
            b"status" => seen.status = rest.number()?.try_into().map_err(|_| ())?,
            b"content_type" => seen.content_type = rest.text()?,
            b"body_type" => seen.body_type = rest.text()?,
            b"body_sha256" => seen.body_sha256 = rest.text()?,
            b"file_name" => seen.file_name = rest.text()?,
            b"bytes_up" => seen.bytes_up = Some(rest.number()?),
            b"bytes_down" => seen.bytes_down = Some(rest.number()?),
            b"total_us" => seen.duration_us = Some(rest.number()?),
            b"closed_by" => words.closed_by = rest.text()?,
            b"closed_how" => seen.closed_how = rest.text()?,
            b"outcome" => words.outcome = rest.text()?,
            b"grounds" => seen.contradictions = rest.count_texts()?,
            b"bursts" => rest.bursts(bursts)?,
            _ => rest.pass()?,
        }
        if !rest.goes_on()? {
            break;
        }
    }
    Ok(said(seen, &words))
}

/// What the words make of the rest; the same as [`Observed::of`].
fn said<'a>(mut seen: Observed<'a>, words: &Words<'a>) -> Option<Observed<'a>> {
    seen.part = match (words.kind, words.event) {
        ("exchange", "waiting") => Part::Waits,
        ("exchange", "open") => Part::Begun,
        ("exchange", "established" | "first_bytes") | ("challenge", _) => Part::Shown,
        ("exchange", "close") => Part::Ended,
        ("exchange", "refused" | "answered") => Part::Whole,
        ("progress", _) => Part::Going,
        _ => return None,
    };
    if words.kind == "progress" || words.scheme == "tunnel" {
        seen.what = Asked::Tunnel;
    }
    if seen.tls_key.is_empty() {
        seen.tls_key = words.ja4;
    }
    seen.standing = match (words.standing, seen.reason, words.outcome) {
        (_, _, "did_not_return" | "not_solved") => Shown::Failed,
        (_, "mimic", _) => Shown::Mimic,
        ("cleared", _, _) | (_, _, "returned" | "solved" | "cleared") => Shown::Cleared,
        ("uncleared", _, _) => Shown::Uncleared,
        (_, _, _) => Shown::Unasked,
    };
    seen.verdict = match if words.would.is_empty() { words.verdict } else { words.would } {
        "deny" => Verdict::Denied,
        "challenge" => Verdict::Challenged,
        _ => Verdict::Allowed,
    };
    seen.failure = match seen.closed_how {
        "dns_failed" => Failure::NoName,
        "connect_failed" => Failure::Refused,
        "connect_timeout" => Failure::Unanswered,
        "tls_failed" | "parent_unreachable" | "parent_timeout" | "parent_cannot_reach" => Failure::Other,
        _ => Failure::None,
    };
    seen.cut = words.closed_by == "gate";
    Some(seen)
}

fn id(text: &str) -> u64 {
    text.parse::<ExchangeId>().map_or(0, |id| id.0)
}

/// `2026-11-25T01:46:40.123456Z`, as the gate writes it.
fn time(text: &str) -> Option<Timestamp> {
    let bytes: &[u8; 27] = text.as_bytes().try_into().ok()?;
    let is_mark = |(place, mark): (usize, u8)| bytes[place] == mark;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (26, b'Z')];
    if !marks.into_iter().all(is_mark) {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, micros) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 26)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59
    {
        return None;
    }
    // Days since 1970-01-01, with years that begin in March (Hinnant, chrono-compatible date algorithms, 2013).
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468;
    Some(Timestamp((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros))
}

/// Where the first of two bytes is: eight bytes at a time, by the trick that finds a zero byte in a word.
fn first_of(bytes: &[u8], [one, other]: [u8; 2]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut at = 0;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().ok()?);
        let found = zero(word ^ (ONES * u64::from(one))) | zero(word ^ (ONES * u64::from(other)));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = chunks.remainder().iter().position(|byte| *byte == one || *byte == other)?;
    Some(at + rest)
}

/// The lines of a block, without their ends.
pub(crate) fn lines(mut block: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = first_of(block, [b'\n'; 2]).or((!block.is_empty()).then_some(block.len()))?;
        let (line, rest) = block.split_at(end);
        block = rest.get(1..).unwrap_or_default();
        Some(line)
    })
}

/// What is left of a line.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, byte: u8) -> Result<(), ()> {
        if self.0.as_bytes().first() != Some(&byte) {
            return Err(());
        }
        self.0 = &self.0[1..];
        Ok(())
    }

    /// After a value: whether another member comes.
    fn goes_on(&mut self) -> Result<bool, ()> {
        match self.0.as_bytes() {
            [b',', ..] => {
                self.0 = &self.0[1..];
                Ok(true)
            }
            b"}" => Ok(false),
            _ => Err(()),
        }
    }

    /// Text without escapes.
    fn text(&mut self) -> Result<&'a str, ()> {
        self.skip(b'"')?;
        let end = first_of(self.0.as_bytes(), [b'"', b'\\']).ok_or(())?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest;
        self.skip(b'"')?;
        Ok(text)
    }

    fn number(&mut self) -> Result<u64, ()> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        number.parse().map_err(|_| ())
    }

    /// A list of texts: how many.
    fn count_texts(&mut self) -> Result<u8, ()> {
        let mut count = 0_u8;
        self.list(|rest| {
            count = count.saturating_add(1);
            rest.text().map(|_| ())
        })?;
        Ok(count)
    }

    fn bursts(&mut self, into: &mut Vec<Burst>) -> Result<(), ()> {
        self.list(|rest| {
            rest.skip(b'[')?;
            let after_cs = rest.number()?.try_into().map_err(|_| ())?;
            rest.skip(b',')?;
            let up = rest.number()?.try_into().map_err(|_| ())?;
            rest.skip(b',')?;
            let down = rest.number()?.try_into().map_err(|_| ())?;
            rest.skip(b']')?;
            into.push(Burst { after_cs, up, down });
            Ok(())
        })
    }

    fn list(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), ()>) -> Result<(), ()> {
        self.skip(b'[')?;
        if self.skip(b']').is_ok() {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.skip(b',').is_err() {
                return self.skip(b']');
            }
        }
    }

    /// Passes over a value: text, a number, a word, or a list of such.
    fn pass(&mut self) -> Result<(), ()> {
        match self.0.as_bytes().first() {
            Some(b'"') => self.text().map(|_| ()),
            Some(b'[') => self.list(Self::pass),
            Some(b'{') | None => Err(()),
            Some(_) => {
                let end = self.0.bytes().position(|byte| matches!(byte, b',' | b'}' | b']')).ok_or(())?;
                self.0 = &self.0[end..];
                Ok(())
            }
        }
    }
}

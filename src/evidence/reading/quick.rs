//! The same reading for lines as the gate writes them: one pass that copies nothing. Of all others it says nothing, and the
//! whole reader is asked: text with escapes, spaces, members of another type, twice, or of a kind that is told in objects.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, Error};

use super::super::observed::Burst;
use super::super::text::read_time;
use super::{RecordLine, Said};
use crate::facts::Timestamp;

/// What a line tells, where this reader can say; then it is what the whole reader says.
pub(super) fn read(line: &str) -> Option<RecordLine<'_>> {
    let mut record = RecordLine::default();
    let mut rest = Rest(line.trim_end_matches([' ', '\t', '\n', '\r']));
    let (mut has_seq, mut has_time, mut has_kind) = (false, false, false);
    let (mut has_grounds, mut has_bursts) = (false, false);
    rest.skip(b'{')?;
    loop {
        let name = rest.text()?;
        rest.skip(b':')?;
        match name.as_bytes() {
            b"seq" => record.seq = once_more(&mut has_seq, rest.number()?)?,
            b"time" => record.time = once_more(&mut has_time, time(rest.text()?)?)?,
            b"kind" => record.kind = once_more(&mut has_kind, word(rest.text()?)?)?,
            b"event" => once(&mut record.event, word(rest.text()?)?)?,
            b"id" => rest.said(&mut record.id)?,
            b"inside" => rest.said(&mut record.inside)?,
            b"client" => rest.said(&mut record.client)?,
            b"captured" => rest.said(&mut record.captured)?,
            b"user" => rest.said(&mut record.user)?,
            b"client_group" => rest.said(&mut record.client_group)?,
            b"user_agent" => rest.said(&mut record.user_agent)?,
            b"method" => rest.said(&mut record.method)?,
            b"scheme" => rest.said(&mut record.scheme)?,
            b"host" => rest.said(&mut record.host)?,
            b"client_port" => once(&mut record.client_port, rest.number()?.try_into().ok()?)?,
            b"port" => once(&mut record.port, rest.number()?.try_into().ok()?)?,
            b"path" => rest.said(&mut record.path)?,
            b"query" => rest.said(&mut record.query)?,
            b"query_hash" => rest.said(&mut record.query_hash)?,
            b"sni" => rest.said(&mut record.sni)?,
            b"ja4" => rest.said(&mut record.ja4)?,
            b"tls_key" => rest.said(&mut record.tls_key)?,
            b"ech" => once(&mut record.ech, rest.truth()?)?,
            b"standing" => rest.said(&mut record.standing)?,
            b"grounds" => record.grounds = once_more(&mut has_grounds, rest.texts()?)?,
            b"carries" => rest.said(&mut record.carries)?,
            b"verdict" => rest.said(&mut record.verdict)?,
            b"would" => rest.said(&mut record.would)?,
            b"reason" => rest.said(&mut record.reason)?,
            b"rule" => rest.said(&mut record.rule)?,
            b"rule_at" => rest.said(&mut record.rule_at)?,
            b"policy" => rest.said(&mut record.policy)?,
            b"breakglass" => once(&mut record.breakglass, rest.truth()?)?,
            b"parent" => rest.said(&mut record.parent)?,
            b"dialled" => rest.said(&mut record.dialled)?,
            b"status" => once(&mut record.status, rest.number()?.try_into().ok()?)?,
            b"content_type" => rest.said(&mut record.content_type)?,
            b"body_type" => rest.said(&mut record.body_type)?,
            b"body_sha256" => rest.said(&mut record.body_sha256)?,
            b"file_name" => rest.said(&mut record.file_name)?,
            b"bytes_up" => once(&mut record.bytes_up, rest.number()?)?,
            b"bytes_down" => once(&mut record.bytes_down, rest.number()?)?,
            b"total_us" => once(&mut record.total_us, rest.number()?)?,
            b"closed_by" => rest.said(&mut record.closed_by)?,
            b"closed_how" => rest.said(&mut record.closed_how)?,
            b"bursts" => record.bursts = once_more(&mut has_bursts, rest.bursts()?)?,
            b"outcome" => rest.said(&mut record.outcome)?,
            // Their evidence is a fraction.
            b"finding_id" | b"score" | b"severity" => return None,
            b"last" => rest.said(&mut record.last)?,
            b"source" => rest.said(&mut record.source)?,
            b"state" => rest.said(&mut record.state)?,
            b"address" => rest.said(&mut record.address)?,
            b"protocol" => rest.said(&mut record.protocol)?,
            b"count" => once(&mut record.count, rest.number()?)?,
            b"packets" => once(&mut record.packets, rest.number()?)?,
            b"rolled_up" => once(&mut record.rolled_up, rest.number()?)?,
            b"first" => rest.said(&mut record.first)?,
            b"told_by" => rest.said(&mut record.told_by)?,
            b"sensor" => rest.said(&mut record.sensor)?,
            b"subject" => rest.said(&mut record.subject)?,
            b"level" => rest.said(&mut record.level)?,
            _ => rest.pass()?,
        }
        if !rest.goes_on()? {
            break;
        }
    }
    (has_seq && has_time && has_kind).then_some(record)
}

/// Fills a member that has not come yet.
fn once<T>(member: &mut Option<T>, value: T) -> Option<()> {
    member.replace(value).is_none().then_some(())
}

/// The value of a member that always is one, where it has not come yet.
fn once_more<T>(has: &mut bool, value: T) -> Option<T> {
    (!std::mem::replace(has, true)).then_some(value)
}

/// One of the words of a list.
fn word<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    T::deserialize(BorrowedStrDeserializer::<Error>::new(text)).ok()
}

/// `2026-11-25T01:46:40.123456Z`, as the gate writes it, or what [`read_time`] makes of it.
fn time(text: &str) -> Option<Timestamp> {
    as_written(text).or_else(|| read_time(text))
}

fn as_written(text: &str) -> Option<Timestamp> {
    let &[
        y0,
        y1,
        y2,
        y3,
        b'-',
        mo0,
        mo1,
        b'-',
        d0,
        d1,
        b'T',
        h0,
        h1,
        b':',
        mi0,
        mi1,
        b':',
        s0,
        s1,
        b'.',
        ref micros @ ..,
        b'Z',
    ] = text.as_bytes()
    else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
    };
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, number(&[mo0, mo1])?, number(&[d0, d1])?);
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[mi0, mi1])?, number(&[s0, s1])?);
    // The last days of a month are left to the calendar.
    let is_plain = year >= 1970 && (1..=12).contains(&month) && (1..=28).contains(&day) && micros.len() == 6;
    if !is_plain || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970-01-01, with years that begin in March (Hinnant, chrono-compatible date algorithms, 2013).
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468;
    Some(Timestamp((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + number(micros)?))
}

/// How many bytes of text stand before its end, which is a quotation mark; `None` where an escape or a control character
/// comes before it. Eight bytes at a time, by the trick that finds a zero byte in a word.
fn text_bytes(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, byte: u8| word.wrapping_sub(ONES * u64::from(byte)) & !word & HIGHS;
    let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let mut at = 0;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        let word = u64::from_le_bytes(*chunk);
        let found = is(word, b'"') | is(word, b'\\') | below(word, b' ');
        if found != 0 {
            // The lowest that is found is one for sure.
            let place = found.trailing_zeros() as usize / 8;
            return (chunk.get(place) == Some(&b'"')).then_some(at + place);
        }
        at += 8;
    }
    let place = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
    (rest.get(place) == Some(&b'"')).then_some(at + place)
}

/// What is left of a line.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(char::from(byte))?;
        Some(())
    }

    /// After a value: whether another member comes.
    fn goes_on(&mut self) -> Option<bool> {
        match self.0.as_bytes() {
            [b',', ..] => self.skip(b',').map(|()| true),
            b"}" => Some(false),
            _ => None,
        }
    }

    /// Text without escapes.
    fn text(&mut self) -> Option<&'a str> {
        self.skip(b'"')?;
        let (text, rest) = self.0.split_at_checked(text_bytes(self.0.as_bytes())?)?;
        self.0 = rest;
        self.skip(b'"')?;
        Some(text)
    }

    fn said(&mut self, member: &mut Option<Said<'a>>) -> Option<()> {
        once(member, Said(Cow::Borrowed(self.text()?)))
    }

    /// A whole number, without a sign and without a zero before it (RFC 8259 section 6).
    fn number(&mut self) -> Option<u64> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.0.split_at_checked(digits)?;
        if digits > 1 && number.starts_with('0') {
            return None;
        }
        self.0 = rest;
        number.parse().ok()
    }

    fn truth(&mut self) -> Option<bool> {
        let (value, rest) = match self.0.strip_prefix("true") {
            Some(rest) => (true, rest),
            None => (false, self.0.strip_prefix("false")?),
        };
        self.0 = rest;
        Some(value)
    }

    fn texts(&mut self) -> Option<Vec<Said<'a>>> {
        let mut texts = Vec::new();
        self.list(|rest| {
            texts.push(Said(Cow::Borrowed(rest.text()?)));
            Some(())
        })?;
        Some(texts)
    }

    fn bursts(&mut self) -> Option<Vec<Burst>> {
        let mut bursts = Vec::new();
        self.list(|rest| {
            rest.skip(b'[')?;
            let after_cs = rest.number()?.try_into().ok()?;
            rest.skip(b',')?;
            let up = rest.number()?.try_into().ok()?;
            rest.skip(b',')?;
            let down = rest.number()?.try_into().ok()?;
            rest.skip(b']')?;
            bursts.push(Burst { after_cs, up, down });
            Some(())
        })?;
        Some(bursts)
    }

    fn list(&mut self, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.skip(b'[')?;
        if self.skip(b']').is_some() {
            return Some(());
        }
        loop {
            each(self)?;
            if self.skip(b',').is_none() {
                return self.skip(b']');
            }
        }
    }

    /// Passes over text, a whole number, a word of logic, or a list of texts.
    fn pass(&mut self) -> Option<()> {
        match self.0.as_bytes().first()? {
            b'"' => self.text().map(|_| ()),
            b'[' => self.list(|rest| rest.text().map(|_| ())),
            b'0'..=b'9' => self.number().map(|_| ()),
            _ => self.truth().map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::evidence::{Event, Kind};

    use super::*;

    /// A line with every member that this reader knows, as it is written.
    const WHOLE: &str = concat!(
        r#"{"v":1,"seq":7,"gate":"g","time":"2026-11-25T01:46:40.123456Z","kind":"exchange","event":"close","id":"00000000007","#,
        r#""inside":"00000000006","client":"10.0.0.1","client_port":50123,"captured":"redirect","user":"t","client_group":"office","#,
        r#""user_agent":"関所","method":"GET","scheme":"https","host":"a.example","port":443,"path":"/","query":"q","query_hash":"0123456789abcdef","#,
        r#""sni":"a.example","ja4":"j","tls_key":"k","ech":true,"standing":"cleared","grounds":["a","b"],"carries":"tls","#,
        r#""verdict":"allow","would":"deny","reason":"rule","rule":"r","rule_at":"p:1","policy":"p","breakglass":false,"#,
        r#""parent":"x","dialled":"192.0.2.1:443","status":200,"content_type":"text/html","body_type":"html","#,
        r#""body_sha256":"00","file_name":"f","bytes_up":18446744073709551615,"bytes_down":0,"total_us":9,"#,
        r#""closed_by":"origin","closed_how":"answered","bursts":[[100,7,4294967295],[1,0,0]],"outcome":"solved","last":"l","#,
        r#""source":"nflog","state":"refused","address":"192.0.2.1","protocol":"tcp","count":3,"packets":4,"rolled_up":5,"#,
        r#""first":"f","told_by":"fw","sensor":"conn","subject":"s","level":"warn","answers":[],"h":"0123456789abcdef"}"#
    );

    #[test]
    fn a_line_as_it_is_written_is_read_as_the_whole_reader_reads_it() {
        let quick = read(WHOLE).expect("it needs no other reader");
        let whole: RecordLine<'_> = serde_json::from_str(WHOLE).unwrap();
        assert_eq!(quick, whole);
        assert_eq!((quick.event, quick.kind, quick.status), (Some(Event::Close), Kind::Exchange, Some(200)));
        // What is none would be equal whether it is read or passed over.
        let shown = format!("{whole:?}");
        let none: Vec<_> = shown.match_indices(": None").map(|(at, _)| &shown[at.saturating_sub(12)..at]).collect();
        assert_eq!(none.len(), 3, "finding_id, score and severity alone: {none:?}");
    }

    #[test]
    fn what_it_cannot_say_it_leaves_to_the_whole_reader() {
        let plain = r#"{"seq":1,"time":"2026-11-25T01:00:00Z","kind":"exchange""#;
        assert!(read(&format!("{plain}}}\n")).is_some());
        for rest in [
            r#","host":"a\u0062"}"#,
            ",\"host\":\"a\u{1}\"}",
            r#","host":null}"#,
            r#", "host":"a"}"#,
            r#","port":080}"#,
            r#","port":-1}"#,
            r#","port":1.5}"#,
            r#","port":65536}"#,
            r#","seq":1}"#,
            r#","host":"a","host":"a"}"#,
            r#","grounds":[{"code":"a"}]}"#,
            r#","score":1}"#,
            r#","x":{}}"#,
            r#","x":nul}"#,
            r#","x":[1]}"#,
            r#","x":1}}"#,
            r#","x":1"#,
            r#","x":1} x"#,
            ",\"x\":1}\u{c}",
            r#","event":"never"}"#,
            "",
        ] {
            assert!(read(&format!("{plain}{rest}")).is_none(), "{rest}");
        }
        assert!(read(r#"{"seq":1,"time":"2026-11-25T01:00:00Z"}"#).is_none(), "there is no kind");
    }

    proptest! {
        #[test]
        fn what_it_reads_of_an_altered_line_the_whole_reader_reads_too(
            at in 0..WHOLE.len(), byte in 0_u8..128, other in 0..WHOLE.len(), cut in 0..WHOLE.len(),
        ) {
            let mut line = WHOLE.as_bytes().to_vec();
            line[at] = byte;
            let mut lines = vec![line.clone()];
            line.truncate(cut);
            lines.push(line);
            let mut moved = WHOLE.as_bytes().to_vec();
            moved.swap(at, other);
            lines.push(moved);
            for line in lines {
                let Ok(text) = str::from_utf8(&line) else { continue };
                if let Some(quick) = read(text) {
                    let whole: Result<RecordLine<'_>, _> = serde_json::from_str(text);
                    prop_assert_eq!(Some(quick), whole.ok(), "{}", text);
                }
            }
        }

        #[test]
        fn a_time_is_what_the_calendar_says(micros in 0_u64..8_000_000_000_000_000) {
            let text = crate::evidence::format_time(Timestamp(micros));
            prop_assert_eq!(time(&text), Some(Timestamp(micros)));
            prop_assert_eq!(as_written(&text).unwrap_or(Timestamp(micros)), Timestamp(micros));
        }

        #[test]
        fn text_ends_where_its_mark_is(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let plain = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '));
            prop_assert_eq!(text_bytes(&bytes), plain.filter(|place| bytes[*place] == b'"'));
        }
    }
}

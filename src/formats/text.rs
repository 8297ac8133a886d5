use std::iter;

/// Room for text of one line in which something had to be undone. No more is written than there is room for.
pub(super) struct Scratch<'a>(&'a mut [u8]);

impl<'a> Scratch<'a> {
    /// Room for what is undone in one line of `length` bytes: no part of it grows by more than the brackets of an
    /// IPv6 address, and none is written more than twice.
    pub(super) fn of(room: &'a mut Vec<u8>, length: usize) -> Self {
        let needed = length * 2 + 64;
        if room.len() < needed {
            room.resize(needed, 0);
        }
        Self(room)
    }

    /// Keeps what is not longer than the room left, and is UTF-8.
    pub(super) fn keep(&mut self, bytes: impl Iterator<Item = u8>) -> Option<&'a str> {
        let room = std::mem::take(&mut self.0);
        let mut length = 0;
        for byte in bytes {
            let Some(place) = room.get_mut(length) else {
                self.0 = room;
                return None;
            };
            *place = byte;
            length += 1;
        }
        let (kept, rest) = room.split_at_mut(length);
        self.0 = rest;
        std::str::from_utf8(kept).ok()
    }
}

/// Bytes that are not UTF-8, as the Latin-1 characters of the same numbers: as our own records have them.
pub(super) fn latin1<'a>(bytes: &[u8], into: &'a mut String) -> &'a str {
    into.clear();
    into.extend(bytes.iter().map(|byte| char::from(*byte)));
    into
}

/// Undoes `\xHH`, `\\`, `\"`, `\n`, `\r` and `\t`, which Zeek, Apache and Squid write. What would not be UTF-8 then
/// stays as it is.
pub(super) fn unescaped<'a>(text: &'a str, scratch: &mut Scratch<'a>) -> &'a str {
    if !text.contains('\\') {
        return text;
    }
    let mut rest = text.as_bytes();
    let undone = iter::from_fn(|| {
        let (byte, length) = match rest {
            [b'\\', b'x', high, low, ..] => match hex(*high, *low) {
                Some(byte) => (byte, 4),
                None => (b'\\', 1),
            },
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', byte @ (b'\\' | b'"'), ..] => (*byte, 2),
            [byte, ..] => (*byte, 1),
            [] => return None,
        };
        rest = rest.get(length..).unwrap_or_default();
        Some(byte)
    });
    scratch.keep(undone).unwrap_or(text)
}

/// Undoes `%HH` and `\\`, by which Squid writes the name of a user.
pub(super) fn user<'a>(text: &'a str, scratch: &mut Scratch<'a>) -> &'a str {
    let text = said(text);
    if !text.contains(['%', '\\']) {
        return text;
    }
    let mut rest = text.as_bytes();
    let undone = iter::from_fn(|| {
        let (byte, length) = match rest {
            [b'%', high, low, ..] => match hex(*high, *low) {
                Some(byte) => (byte, 3),
                None => (b'%', 1),
            },
            [b'\\', b'\\', ..] => (b'\\', 2),
            [byte, ..] => (*byte, 1),
            [] => return None,
        };
        rest = rest.get(length..).unwrap_or_default();
        Some(byte)
    });
    scratch.keep(undone).unwrap_or(text)
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// A lone `-` is how Squid and Apache say that there is nothing.
pub(super) fn said(text: &str) -> &str {
    if text == "-" { "" } else { text }
}

/// The first word of what is left, and what is left behind the spaces after it. No word is empty.
pub(super) fn word<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (word, after) = split(rest, b' ').unwrap_or((rest, ""));
    let spaces = after.bytes().take_while(|byte| *byte == b' ').count();
    *rest = after.get(spaces..).unwrap_or_default();
    (!word.is_empty()).then_some(word)
}

/// What is before the first of an ASCII byte, and what is behind it. Fields are so short that a plain loop finds
/// their end faster than a search that is made for long texts.
pub(super) fn split(text: &str, at: u8) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| byte == at)?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// The same for the last of an ASCII byte.
pub(super) fn split_last(text: &str, at: u8) -> Option<(&str, &str)> {
    let end = text.bytes().rposition(|byte| byte == at)?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// The same for two ASCII bytes one after the other.
pub(super) fn split_at_pair(text: &str, pair: [u8; 2]) -> Option<(&str, &str)> {
    let end = text.as_bytes().windows(2).position(|two| *two == pair)?;
    Some((text.get(..end)?, text.get(end + 2..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undone(text: &str) -> String {
        unescaped(text, &mut Scratch::of(&mut Vec::new(), text.len())).to_owned()
    }

    #[test]
    fn escapes_are_undone_and_what_only_looks_like_one_stays() {
        for (text, meant) in [
            ("plain", "plain"),
            (r#"a \"b\" c\\d"#, r#"a "b" c\d"#),
            (r"\x09\xe9\x96\xa2", "\t関"),
            (r"\\x09", r"\x09"),
            (r"a\x4", r"a\x4"),
            (r"\xgg\q\", r"\xgg\q\"),
            (r"\xff\x41", r"\xff\x41"),
        ] {
            assert_eq!(undone(text), meant, "{text}");
        }
    }

    #[test]
    fn the_name_of_a_user_is_read_as_squid_writes_it() {
        for (text, meant) in [("-", ""), (r"SITE\\ada", r"SITE\ada"), ("%e9%96%a2%25%", "関%%"), ("%ff", "%ff")] {
            assert_eq!(user(text, &mut Scratch::of(&mut Vec::new(), text.len())), meant, "{text}");
        }
    }

    #[test]
    fn what_exceeds_its_room_is_left_as_it_is_and_the_room_stays_usable() {
        let mut room = vec![0; 3];
        let mut scratch = Scratch(&mut room);
        assert_eq!(unescaped(r"\\abc", &mut scratch), r"\\abc");
        assert_eq!((unescaped(r"\\ab", &mut scratch), scratch.keep(iter::once(1))), (r"\ab", None));
    }

    #[test]
    fn words_stand_between_any_number_of_spaces() {
        let mut rest = "a  b c ";
        assert_eq!([word(&mut rest), word(&mut rest), word(&mut rest)], [Some("a"), Some("b"), Some("c")]);
        assert_eq!(word(&mut rest), None);
    }
}

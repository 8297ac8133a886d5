//! Who has passed a message on (RFC 9110 section 7.6.3).

use std::borrow::Cow;

use super::fields::Fields;
use super::head::Version;

/// The field line by which a proxy says that it has received a message of this version.
pub fn via_line(received: Version, pseudonym: &str) -> String {
    let version = received.as_str();
    format!("Via: {version} {pseudonym}\r\n")
}

/// Whether any `Via` says that the proxy of this pseudonym has received the message: the received-by of
/// each element, in any letter case. Comments mean nothing.
pub fn via_names(fields: &Fields, pseudonym: &str) -> bool {
    fields.get_all("via").any(|value| {
        without_comments(value).split(|byte| *byte == b',').any(|element| {
            let mut words = element.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
            words.nth(1).is_some_and(|received_by| received_by.eq_ignore_ascii_case(pseudonym.as_bytes()))
        })
    })
}

/// The value with a space for each comment (RFC 9110 section 5.6.5). One that never ends is none: it
/// must not hide what another proxy has put behind it.
fn without_comments(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'(') {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    let mut depth = 0_usize;
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match (*byte, depth) {
            (b'(', 0) => {
                depth = 1;
                out.push(b' ');
            }
            (other, 0) => out.push(other),
            (b'(', _) => depth += 1,
            (b')', _) => depth -= 1,
            (b'\\', _) => drop(bytes.next()),
            _ => {}
        }
    }
    if depth == 0 { Cow::Owned(out) } else { Cow::Borrowed(value) }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::parse::{HeadLimits, take_request_head};

    fn names(lines: &str) -> bool {
        let head = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        let mut buffer = BytesMut::from(head.as_bytes());
        let head = take_request_head(&mut buffer, &HeadLimits::default(), &mut 0).unwrap().unwrap();
        via_names(&head.fields, "gate-7")
    }

    #[test]
    fn the_pseudonym_is_found_in_every_field_and_element_and_in_any_letter_case() {
        for lines in [
            "Via: 1.1 gate-7\r\n",
            "via: 1.0 a, HTTP/1.1 GATE-7\r\n",
            "Via: 1.1 a\r\nX: y\r\nVia: 1.1 b ,\t1.1\tGate-7 (Sekisho)\r\n",
            "Via: 1.1 a (b, c (d) e), 1.1 gate-7\r\n",
            "Via: 1.1 a (\\), 1.1 b), 1.1 gate-7(x)\r\n",
            // An open comment hides nothing that comes behind it.
            "Via: 1.1 a (, 1.1 gate-7\r\n",
            "Via: 1.1 a (\\\r\nVia: 1.1 gate-7\r\n",
        ] {
            assert!(names(lines), "{lines:?}");
        }
    }

    #[test]
    fn what_only_looks_like_the_pseudonym_is_not_it() {
        for lines in [
            "",
            "Via: 1.1 gate-77\r\n",
            "Via: 1.1 my-gate-7, 1.1 gate-7.example, 1.1 gate-7:3128\r\n",
            "Via: gate-7\r\n",
            "Via: gate-7 other\r\n",
            "Via: 1.1 a gate-7\r\n",
            "Via: 1.1 a (1.1 b, 1.1 gate-7), 1.1 c\r\n",
            "Via: 1.1 a (x \\) , 1.1 gate-7 (y) )\r\n",
            "X-Via: 1.1 gate-7\r\n",
        ] {
            assert!(!names(lines), "{lines:?}");
        }
    }
}

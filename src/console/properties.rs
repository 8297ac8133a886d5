//! What must hold for any bytes at all. Fuzz targets call this and so do tests; the console does not.

use super::request::{Pairs, cookie, is_own_host, is_own_way, language};

/// Any bytes as what a browser, or whoever poses as one, sends to the console: a form or a query, a Cookie, a Host, where
/// to go after the log-in, a language. Panics when one of these does not hold.
///
/// A form has at most 64 pairs; written again they are read again, and the first of a name is the one that counts. A cookie
/// is taken only where it is there once. A host is the console's own only if a browser that calls it so comes to the
/// console, and a way only if it stays there.
pub fn console_form(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let pairs = Pairs::read(&text);
    let read: Vec<(&str, &str)> = pairs.each().collect();
    assert!(read.len() <= 64);
    let again = read.iter().map(|(name, value)| format!("{}={}", written(name), written(value)));
    let again = Pairs::read(&again.collect::<Vec<_>>().join("&"));
    assert_eq!(again.each().collect::<Vec<_>>(), read, "{text:?}");
    for (name, _) in &read {
        let (_, first) = read.iter().find(|(known, _)| known == name).expect("it is one of them");
        assert_eq!((pairs.get(name), pairs.exact(name)), (Some(first.trim()), *first));
        assert_eq!(pairs.some(name), Some(first.trim()).filter(|value| !value.is_empty()));
    }
    if !text.contains(['%', '+', '&', '=']) && !text.is_empty() {
        assert_eq!(read, [(&*text, "")]);
    }

    let fields: Vec<&str> = text.split('\n').collect();
    if let Some(value) = cookie(fields.iter().copied(), "sekisho") {
        let there = |field: &&str| field.matches(&format!("sekisho={value}")).count();
        assert!(fields.iter().map(there).sum::<usize>() >= 1 && !value.contains(';'));
        let twice = fields.iter().copied().chain(["a=b; sekisho=other"]);
        assert_eq!(cookie(twice, "sekisho"), None, "whose it is nobody knows");
    }

    if is_own_host(&text, &["gate.example".into()]) {
        let name = text.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(&*text, |(name, _)| name);
        let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        let is_name = ["localhost", "gate.example"].iter().any(|own| own.eq_ignore_ascii_case(name));
        assert!(is_name || address.parse::<std::net::IpAddr>().is_ok(), "{text:?}");
    }
    if is_own_way(&text) {
        assert!(text.starts_with('/') && text.len() <= 2048 && !text[1..].starts_with(['/', '\\']), "{text:?}");
        assert!(text.bytes().all(|byte| byte > b' ' && byte < 0x7f), "{text:?}");
    }
    let _ = language(Some(&text), None, &text);
}

/// As a browser writes it, at its most careful.
fn written(text: &str) -> String {
    text.bytes().map(|byte| if byte == b' ' { "+".to_owned() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn the_property_holds_for_every_seed() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/console_form");
        let seeds =
            fs::read_dir(directory).unwrap().map(|entry| console_form(&fs::read(entry.unwrap().path()).unwrap()));
        assert!(seeds.count() > 0);
    }

    proptest! {
        #[test]
        fn forms_of_telling_pieces(pieces in vec(select(vec![
            "a=", "b", "&", "=", "+", "%", "%4", "%zz", "%00", "%e6%97%a5", "%ff", "日", "sekisho=", ";", " ", "\n", "[", "]", "::1",
            ":3180", "127.0.0.1", "localhost", "gate.example", ".", "/", "\\", "?", "en", "ja;q=0.1", ",",
        ]), 0..12)) {
            console_form(pieces.concat().as_bytes());
        }
    }
}

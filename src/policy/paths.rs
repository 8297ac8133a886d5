//! Paths: globs over the bytes that are sent, and which paths are too ambiguous to be matched at all.

use crate::parse::{Placed, Section};

use super::glob::Glob;

/// What a rule says of paths: one of these matches.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paths {
    globs: Box<[Glob]>,
    /// Parameters behind a `;` make a path ambiguous, too: some servers leave them out, and a rule that
    /// denies would be evaded by one.
    strict: bool,
}

/// What comes of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathMatch {
    Yes,
    No,
    /// Servers do not agree on which path this is: it is matched by nothing, and passes no rule that asks.
    Ambiguous,
}

impl Paths {
    /// The globs of a rule that allows, or does not; what is none is reported.
    pub(super) fn read(section: &Section<'_, '_>, patterns: &[Placed<String>], allows: bool) -> Self {
        let globs = patterns.iter().filter_map(|pattern| read_pattern(section, pattern)).collect();
        Self { globs, strict: !allows }
    }

    /// Judges a path as it is sent, without its query.
    pub(super) fn judge(&self, path: &str) -> PathMatch {
        if !path.starts_with('/') {
            return PathMatch::No;
        }
        if is_ambiguous(path, self.strict) {
            return PathMatch::Ambiguous;
        }
        let bytes = path.as_bytes();
        let is_percent = |at: Option<usize>| at.and_then(|at| bytes.get(at)) == Some(&b'%');
        // The digits of an encoding may be of either case (RFC 3986 §2.1), and nothing else may.
        let byte = |at: usize| {
            let found = bytes.get(at).copied().unwrap_or_default();
            let encoded = is_percent(at.checked_sub(1)) || is_percent(at.checked_sub(2));
            if encoded { found.to_ascii_uppercase() } else { found }
        };
        if self.globs.iter().any(|glob| glob.matches_by(bytes.len(), byte)) { PathMatch::Yes } else { PathMatch::No }
    }
}

/// Whether servers disagree on what this path names: it has dot segments or empty ones, an encoded slash,
/// backslash, dot or control, an encoding of what needs none, of an encoding, or of an overlong sequence, or
/// what is no encoding at all.
fn is_ambiguous(path: &str, strict: bool) -> bool {
    let segments = path.strip_prefix('/').unwrap_or(path);
    let count = segments.split('/').count();
    let odd_segment = segments.split('/').enumerate().any(|(index, segment)| {
        let name = segment.split(';').next().unwrap_or_default();
        let last = index + 1 == count;
        matches!(name, "." | "..") || (name.is_empty() && !(last && segment.is_empty()))
    });
    odd_segment || path.contains('\\') || (strict && path.contains(';')) || has_odd_encoding(path.as_bytes())
}

fn has_odd_encoding(path: &[u8]) -> bool {
    let mut rest = path;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        rest = rest.get(at + 1..).unwrap_or_default();
        let Some(decoded) = decode(rest) else { return true };
        rest = rest.get(2..).unwrap_or_default();
        let odd = match decoded {
            b'/' | b'\\' | 0..=0x1f | 0x7f => true,
            b'-' | b'.' | b'_' | b'~' => true,
            b'%' => decode(rest).is_some(),
            // No UTF-8 has these, and lenient decoders read ASCII from them.
            0xc0 | 0xc1 | 0xf5.. => true,
            byte => byte.is_ascii_alphanumeric(),
        };
        if odd {
            return true;
        }
    }
    false
}

fn decode(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| digits.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

fn read_pattern(section: &Section<'_, '_>, pattern: &Placed<String>) -> Option<Glob> {
    let encoded = encode(&pattern.value);
    let wrong = if !pattern.value.starts_with('/') {
        Some(("does not begin with `/`", "begin it with `/`; `/**` is every path"))
    } else if encoded.contains(['?', '#']) {
        Some(("has a query or a fragment", "leave it away: what is behind `?` is not looked at"))
    } else if is_ambiguous(&encoded, false) {
        Some((
            "can match nothing: dot segments, empty ones, encoded slashes and needless encodings are refused as ambiguous",
            "write the path as a browser sends it",
        ))
    } else {
        None
    };
    match wrong {
        Some((what, fix)) => {
            section.problem(&pattern.place, format!("the path `{}` {what}", pattern.value), fix);
            None
        }
        None => Some(Glob::with_barrier(&encoded, b'/')),
    }
}

/// As a browser sends it: what is not ASCII, and a space, as encodings; their digits in capital letters.
fn encode(pattern: &str) -> String {
    let mut encoded = String::with_capacity(pattern.len());
    let mut digits = 0;
    for byte in pattern.bytes() {
        match byte {
            b'!'..=b'~' if digits > 0 => {
                digits -= 1;
                encoded.push(char::from(byte.to_ascii_uppercase()));
            }
            b'%' => {
                digits = 2;
                encoded.push('%');
            }
            b'!'..=b'~' => encoded.push(char::from(byte)),
            _ => {
                digits = 0;
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::Document;

    fn read(patterns: &[&str], allows: bool) -> Result<Paths, String> {
        let text = format!("paths = {patterns:?}\n");
        let read = Document::read("p.toml", &text, |root| {
            let patterns = root.strings("paths")?;
            Some(Paths::read(root, &patterns, allows))
        });
        read.map_err(|problems| problems.iter().map(|problem| format!("{problem}\n")).collect())
    }

    fn judge(pattern: &str, path: &str) -> PathMatch {
        read(&[pattern], true).unwrap().judge(path)
    }

    #[test]
    fn a_path_matches_its_bytes_and_not_a_neighbour() {
        for (pattern, yes, no) in [
            ("/orders/**", "/orders/7/items", "/orders"),
            ("/orders/*", "/orders/7", "/orders/7/items"),
            ("/orders", "/orders", "/orders/"),
            ("/**", "/", "*"),
            ("/a/*.html", "/a/x.html", "/a/x.html.php"),
            ("/A", "/A", "/a"),
            ("/注文/*", "/%E6%B3%A8%E6%96%87/7", "/%E6%B3%A8/7"),
            ("/注文", "/%e6%b3%a8%E6%96%87", "/%E6%B3%A8%E6%96%88"),
            ("/a%20b", "/a%20b", "/a+b"),
            ("/a b", "/a%20b", "/ab"),
            ("/100%25/x", "/100%25/x", "/100/x"),
            ("/x%3by", "/x%3By", "/x;y"),
        ] {
            assert_eq!(judge(pattern, yes), PathMatch::Yes, "{pattern} {yes}");
            assert_eq!(judge(pattern, no), PathMatch::No, "{pattern} {no}");
        }
    }

    #[test]
    fn a_path_that_servers_read_in_several_ways_is_ambiguous_for_every_pattern() {
        for path in [
            "/a/../b",
            "/a/./b",
            "/..",
            "/.",
            "/a/..",
            "//a",
            "/a//b",
            "/a//",
            "/a/..;/b",
            "/a/;x/b",
            "/a/;",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%00b",
            "/a%0ab",
            "/a%7f",
            "/%61dmin",
            "/a%2db",
            "/a%7eb",
            "/a%252fb",
            "/a%252e",
            "/a%25%32",
            "/%",
            "/%z1",
            "/a%2",
            "/%c0%af",
            "/%F5",
        ] {
            for pattern in ["/**", "/a/**", "/zzz"] {
                assert_eq!(judge(pattern, path), PathMatch::Ambiguous, "{pattern} {path}");
            }
        }
        for path in ["/", "/a/", "/a.b/..c", "/...", "/a;v=1", "/a|b", "/a/%3b", "/%C3%A9"] {
            assert_ne!(judge("/zzz", path), PathMatch::Ambiguous, "{path}");
        }
    }

    #[test]
    fn parameters_are_ambiguous_where_a_rule_does_not_allow() {
        let denies = read(&["/admin/**"], false).unwrap();
        assert_eq!(denies.judge("/admin;x/y"), PathMatch::Ambiguous);
        assert_eq!(denies.judge("/admin/y"), PathMatch::Yes);
        assert_eq!(judge("/shop/*", "/shop/page;jsessionid=1"), PathMatch::Yes);
    }

    #[test]
    fn a_pattern_that_could_match_nothing_is_refused_with_its_place() {
        for (pattern, what) in [
            ("orders/*", "does not begin with `/`"),
            ("/a?b", "has a query"),
            ("/a#b", "has a query"),
            ("/a/../b", "can match nothing"),
            ("/a%2fb", "can match nothing"),
            ("//a", "can match nothing"),
        ] {
            let shown = read(&[pattern], true).unwrap_err();
            assert!(shown.starts_with("p.toml:1:10: ") && shown.contains(what), "{pattern}: {shown}");
        }
    }
}

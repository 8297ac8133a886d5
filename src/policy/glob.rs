//! Globs: `*` and `**` over bytes, without backtracking into an earlier star.

/// A pattern over bytes. `*` stands for any run of bytes that holds no barrier, `**` for any run at all;
/// everything else stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    pieces: Box<[Piece]>,
    barrier: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    /// A run of any bytes but the barrier.
    Star,
    /// A run of any bytes.
    Stars,
}

impl Glob {
    /// A pattern in which one star passes everything.
    pub(super) fn new(pattern: &str) -> Self {
        Self { pieces: pieces(pattern), barrier: None }
    }

    /// A pattern in which one star does not pass `barrier`.
    pub(super) fn with_barrier(pattern: &str, barrier: u8) -> Self {
        Self { pieces: pieces(pattern), barrier: Some(barrier) }
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        self.matches_by(text.len(), |at| text.get(at).copied().unwrap_or_default())
    }

    /// The same for a text of so many bytes, read through `byte`. The time is at worst the product of
    /// both lengths.
    pub(super) fn matches_by(&self, length: usize, byte: impl Fn(usize) -> u8) -> bool {
        let starts = |at: usize, piece: &[u8]| {
            length - at >= piece.len() && piece.iter().enumerate().all(|(index, wanted)| byte(at + index) == *wanted)
        };
        // Where to go on when what follows a star does not fit: the last `*`, and behind it the last `**`.
        let mut retries: [Option<(usize, usize)>; 2] = [None; 2];
        let (mut piece, mut at) = (0, 0);
        loop {
            let fits = match self.pieces.get(piece) {
                None if at == length => return true,
                None => false,
                Some(Piece::Text(wanted)) if starts(at, wanted) => {
                    at += wanted.len();
                    true
                }
                Some(Piece::Text(_)) => false,
                Some(Piece::Star) => {
                    retries[0] = Some((piece, at));
                    true
                }
                Some(Piece::Stars) => {
                    retries = [None, Some((piece, at))];
                    true
                }
            };
            if fits {
                piece += 1;
                continue;
            }
            match self.retry(length, &byte, &mut retries) {
                Some(next) => (piece, at) = next,
                None => return false,
            }
        }
    }

    /// Lets the innermost star take one byte more, and says where to go on from there.
    fn retry(
        &self,
        length: usize,
        byte: impl Fn(usize) -> u8,
        retries: &mut [Option<(usize, usize)>; 2],
    ) -> Option<(usize, usize)> {
        if let Some((piece, at)) = retries[0] {
            if at < length && Some(byte(at)) != self.barrier {
                retries[0] = Some((piece, at + 1));
                return Some((piece + 1, at + 1));
            }
            retries[0] = None;
        }
        let (piece, at) = retries[1]?;
        if at >= length {
            return None;
        }
        retries[1] = Some((piece, at + 1));
        Some((piece + 1, at + 1))
    }
}

fn pieces(pattern: &str) -> Box<[Piece]> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while !rest.is_empty() {
        let stars = rest.bytes().take_while(|byte| *byte == b'*').count();
        match stars {
            0 => {
                let end = rest.find('*').unwrap_or(rest.len());
                let (text, behind) = rest.split_at(end);
                pieces.push(Piece::Text(text.as_bytes().into()));
                rest = behind;
                continue;
            }
            1 => pieces.push(Piece::Star),
            _ => pieces.push(Piece::Stars),
        }
        rest = rest.get(stars..).unwrap_or_default();
    }
    pieces.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a pattern means, by trying everything.
    fn means(pattern: &[u8], text: &[u8], barrier: Option<u8>) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', b'*', b'*', rest @ ..] => means(&[b"**", rest].concat(), text, barrier),
            [b'*', b'*', rest @ ..] => (0..=text.len()).any(|taken| means(rest, &text[taken..], barrier)),
            [b'*', rest @ ..] => (0..=text.len())
                .take_while(|taken| text[..*taken].iter().all(|byte| Some(*byte) != barrier))
                .any(|taken| means(rest, &text[taken..], barrier)),
            [byte, rest @ ..] => text.first() == Some(byte) && means(rest, &text[1..], barrier),
        }
    }

    #[test]
    fn one_star_stays_within_a_segment_and_two_do_not() {
        let matches = |pattern: &str, text: &str| Glob::with_barrier(pattern, b'/').matches(text.as_bytes());
        assert!(matches("/a/*", "/a/b") && matches("/a/*", "/a/") && !matches("/a/*", "/a/b/c"));
        assert!(matches("/a/**", "/a/b/c") && matches("/a/**", "/a/") && !matches("/a/**", "/a"));
        assert!(matches("/a/**/z*", "/a/b/c/zed") && !matches("/a/**/z*", "/a/b/c/zed/y"));
        assert!(matches("/*/x/*/x", "/a/x/b/x") && !matches("/*/x/*/x", "/a/x/b/b/x"));
    }

    #[test]
    fn without_a_barrier_a_star_passes_everything() {
        assert!(Glob::new("Updater/*").matches(b"Updater/2.1 (x/y)"));
        assert!(!Glob::new("Updater/*").matches(b"An Updater/2"));
        assert!(Glob::new("*").matches(b"") && !Glob::new("").matches(b"a"));
    }

    proptest! {
        #[test]
        fn a_glob_matches_what_it_means(pattern in "[ab/*]{0,9}", text in "[ab/]{0,12}") {
            for barrier in [None, Some(b'/')] {
                let glob = Glob { pieces: pieces(&pattern), barrier };
                let expected = means(pattern.as_bytes(), text.as_bytes(), barrier);
                prop_assert_eq!(glob.matches(text.as_bytes()), expected, "{:?}", barrier);
            }
        }
    }
}

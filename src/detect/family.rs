use serde::{Deserialize, Serialize};

use super::names::Name;

/// Which program: by its TLS key or, where that is not to be seen, by what it calls itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Who {
    Key(Name),
    Family(Family),
}

/// What a program calls itself, whatever its version: a hash of the words of its User-Agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Family(u64);

/// Of a User-Agent so many words count.
const WORDS_MAX: usize = 16;
/// What a family is called is no longer, in bytes.
const CALLED_BYTES_MAX: usize = 120;

impl Family {
    pub(super) fn of(user_agent: &str) -> Self {
        // FNV-1a (Fowler, Noll and Vo).
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        for word in words(user_agent) {
            word.bytes().for_each(|byte| add(byte.to_ascii_lowercase()));
            add(b' ');
        }
        Self(hash)
    }

    /// A number of it that 32 bits hold.
    pub(super) fn short(self) -> u32 {
        (self.0 ^ self.0 >> 32) as u32
    }
}

/// The words of a User-Agent, for a person and for the id of a finding: letters alone, so safe to print.
pub(super) fn called(user_agent: &str) -> String {
    let mut called = String::new();
    for word in words(user_agent) {
        if called.len() + word.len() >= CALLED_BYTES_MAX {
            break;
        }
        if !called.is_empty() {
            called.push(' ');
        }
        called.push_str(word);
    }
    if called.is_empty() { "-".to_owned() } else { called }
}

/// Words without versions, and without the identifiers that some programs add for each machine or start.
fn words(user_agent: &str) -> impl Iterator<Item = &str> {
    let is_hexadecimal = |word: &str| word.len() >= 4 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    user_agent
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(move |word| {
            !word.is_empty() && !word.bytes().any(|byte| byte.is_ascii_digit()) && !is_hexadecimal(word)
        })
        .take(WORDS_MAX)
}

/// The kinds of machines that a User-Agent names, as bits.
pub(super) fn platforms(user_agent: &str) -> u8 {
    let named = |names: &[&str]| names.iter().any(|name| user_agent.contains(name));
    let android = named(&["Android"]);
    [
        named(&["Windows"]),
        named(&["Macintosh"]),
        named(&["iPhone", "iPad"]),
        android,
        !android && named(&["Linux", "CrOS"]),
    ]
    .into_iter()
    .enumerate()
    .fold(0, |bits, (place, is_named)| bits | u8::from(is_named) << place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_identifiers_make_no_other_family_and_other_products_do() {
        let chrome = |version: &str, more: &str| {
            format!(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/{version} Safari/537.36{more}"
            )
        };
        let first = Family::of(&chrome("148.0.0.0", ""));
        assert_eq!(first, Family::of(&chrome("149.0.1.2", "")));
        assert_ne!(first, Family::of(&chrome("148.0.0.0", " Edg/148.0.0.0")));
        let updater = "Updater/1.2 {3F2504E0-4F89-11D3-9A0C-0305E82C3301}";
        assert_eq!(Family::of(updater), Family::of("updater/9 {deadbeef-cafe-00a1-aaaa-0305E82C3302}"));
        assert_eq!(called(&chrome("148.0.0.0", "")), "Mozilla Windows NT AppleWebKit KHTML like Gecko Chrome Safari");
        assert_eq!(called(updater), "Updater");
    }

    #[test]
    fn what_no_word_is_in_and_what_is_endless_has_a_name_that_fits() {
        assert_eq!((called(""), called("1.2.3")), ("-".to_owned(), "-".to_owned()));
        let endless = "語\u{1b}[31m".repeat(9_000) + &"zz ".repeat(9_000);
        assert!(called(&endless).len() <= CALLED_BYTES_MAX && called(&endless).is_ascii());
        assert_eq!(called(&"z".repeat(9_000)), "-");
    }

    #[test]
    fn machines_are_told_apart() {
        assert_eq!(platforms("Mozilla/5.0 (Linux; Android 16)").count_ones(), 1);
        let of = ["Windows NT 10.0", "Macintosh", "iPhone", "Android; Linux", "X11; Linux x86_64"].map(platforms);
        assert_eq!(of, [1, 2, 4, 8, 16]);
    }
}

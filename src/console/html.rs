use std::fmt::Write as _;

use crate::evidence::shown;
use crate::site::escape;

/// In which language a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Japanese,
}

/// What a page says, in English and in Japanese: nothing can be said in one language alone.
pub(super) type Words = (&'static str, &'static str);

/// A page as it is written. Markup comes from this program's text alone; all else is escaped on its way in, and what would
/// turn or hide text is made visible.
#[derive(Debug)]
pub(super) struct Html {
    text: String,
    language: Language,
}

impl Language {
    pub(super) fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Japanese => "ja",
        }
    }

    pub(super) fn named(tag: &str) -> Option<Self> {
        match tag {
            "en" => Some(Language::English),
            "ja" => Some(Language::Japanese),
            _ => None,
        }
    }

    /// The first of an `Accept-Language` that pages are written in; its order is taken for the preference.
    pub(super) fn accepted(field: &str) -> Self {
        let tags = field.split(',').map(|tag| tag.trim().get(..2).unwrap_or_default().to_ascii_lowercase());
        tags.filter_map(|tag| Self::named(&tag)).next().unwrap_or(Language::English)
    }

    pub(super) fn of(self, (english, japanese): Words) -> &'static str {
        match self {
            Language::English => english,
            Language::Japanese => japanese,
        }
    }
}

impl Html {
    pub(super) fn new(language: Language) -> Self {
        Self { text: String::with_capacity(16 << 10), language }
    }

    /// Markup, or text of this program.
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.text.push_str(markup);
        self
    }

    /// Text of anybody, in an element or in a quoted attribute.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.text.push_str(&escape(&shown(text)));
        self
    }

    /// The same, in whichever direction it is written, among other text.
    pub(super) fn said(&mut self, text: &str) -> &mut Self {
        self.markup("<bdi>").text(text).markup("</bdi>")
    }

    /// Several lines of it.
    pub(super) fn lines(&mut self, text: &str) -> &mut Self {
        for line in text.lines() {
            self.text(line).markup("\n");
        }
        self
    }

    pub(super) fn words(&mut self, words: Words) -> &mut Self {
        self.text.push_str(self.language.of(words));
        self
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        let digits = number.to_string();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                self.text.push(',');
            }
            self.text.push(digit);
        }
        self
    }

    /// A length of a picture.
    pub(super) fn length(&mut self, length: f64) -> &mut Self {
        let _ = write!(self.text, "{length:.1}");
        self
    }

    /// A way within the console, with what is asked: it stands in a quoted attribute.
    pub(super) fn way(&mut self, path: &'static str, asked: &[(&str, &str)]) -> &mut Self {
        self.text.push_str(path);
        for (place, (name, value)) in asked.iter().enumerate() {
            self.text.push_str(if place == 0 { "?" } else { "&amp;" });
            percent(name, &mut self.text);
            self.text.push('=');
            percent(value, &mut self.text);
        }
        self
    }

    /// A link to it, that shows this text.
    pub(super) fn link(&mut self, path: &'static str, asked: &[(&str, &str)], text: &str) -> &mut Self {
        self.markup("<a href=\"").way(path, asked).markup("\">").said(text).markup("</a>")
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// Writes what stands for a value in a query (RFC 3986 §2.1).
fn percent(value: &str, into: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_chose_never_becomes_markup_or_another_attribute() {
        let evil = "\"><script>alert(1)</script>' onload='x&\u{202e}\n";
        let mut page = Html::new(Language::English);
        page.markup("<p title=\"").text(evil).markup("\">").said(evil).link("/client", &[("name", evil)], evil);
        let text = page.into_text();
        assert!(!text.contains("<script") && !text.contains("' onload") && !text.contains('\u{202e}'), "{text}");
        assert!(text.contains("\\u{202e}") && text.contains("href=\"/client?name=%22%3E%3Cscript%3E"), "{text}");
    }

    #[test]
    fn the_language_is_the_first_that_is_accepted_and_known() {
        for (field, expected) in [
            ("ja,en;q=0.8", Language::Japanese),
            ("en-US,ja", Language::English),
            ("fr, JA-jp", Language::Japanese),
            ("", Language::English),
            ("日本", Language::English),
        ] {
            assert_eq!(Language::accepted(field), expected, "{field}");
        }
    }

    #[test]
    fn numbers_are_read_by_threes() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            let mut page = Html::new(Language::English);
            page.number(number);
            assert_eq!(page.into_text(), expected);
        }
    }
}

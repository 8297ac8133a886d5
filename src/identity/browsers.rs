use std::sync::Arc;

use crate::parse::Problem;

use super::inner::Inner;
use super::reading::read;

/// The browsers that are known.
#[derive(Debug)]
pub struct Browsers {
    pub(super) browsers: Vec<Arc<Browser>>,
}

/// One kind of browser, and what it does.
#[derive(Debug)]
pub struct Browser {
    /// Such as `chromium`.
    pub name: Box<str>,
    pub(super) tokens: Vec<Box<str>>,
    pub(super) also: Option<Box<str>>,
    pub shows: Shows,
    pub(super) connect: Option<Connect>,
    pub(super) plain: Option<Plain>,
    pub(super) tls: Vec<Tls>,
    pub(super) inner: Vec<Inner>,
}

/// By what a browser can show itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shows {
    /// It comes back at once when a tunnel is ended.
    pub reset: bool,
    /// It runs the script of a page.
    pub page: bool,
}

/// Its CONNECT.
#[derive(Debug)]
pub(super) struct Connect {
    pub(super) fields: Vec<Box<str>>,
    pub(super) may_follow: Vec<Box<str>>,
    pub(super) keep_alive: Box<str>,
}

/// Its plain requests.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) begins: Vec<Box<str>>,
    pub(super) order: Vec<Box<str>>,
    pub(super) without: Vec<Box<str>>,
    pub(super) encoding: Option<Box<str>>,
    pub(super) websocket: Vec<Box<str>>,
}

/// Its hellos, for a range of versions. What is absent is not looked at.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) from: u16,
    pub(super) until: u16,
    pub(super) keys: Vec<Box<str>>,
    /// Those of hellos with which it comes back only, each for the first of `keys`.
    pub(super) return_keys: Vec<Box<str>>,
    pub(super) grease: Option<bool>,
    pub(super) grease_signatures: Option<bool>,
    pub(super) ech: Option<bool>,
    pub(super) mlkem: Option<bool>,
    pub(super) compresses: Option<bool>,
    pub(super) alpn: Vec<Vec<Box<str>>>,
}

/// What a User-Agent says of its program.
#[derive(Debug, Clone)]
pub enum Claim {
    /// Nothing of a browser.
    None,
    Browser {
        browser: Arc<Browser>,
        /// 0 where it names none.
        major: u16,
    },
}

impl Claim {
    /// The browser that it claims to be, if any.
    pub fn browser(&self) -> Option<&Browser> {
        match self {
            Claim::None => None,
            Claim::Browser { browser, .. } => Some(browser),
        }
    }

    /// What is known of the hellos of this version.
    pub(super) fn hellos(&self) -> impl Iterator<Item = &Tls> {
        let (tls, version) = match self {
            Claim::None => (&[][..], 0),
            Claim::Browser { browser, major } => (&browser.tls[..], *major),
        };
        tls.iter().filter(move |tls| (tls.from..=tls.until).contains(&version))
    }
}

/// What is compiled in.
const BUILT_IN: &str = include_str!("../../policy/browsers.toml");

impl Browsers {
    /// Those of `policy/browsers.toml`.
    ///
    /// # Errors
    /// What is wrong with the file that was compiled in; a test sees that nothing is.
    pub fn built_in() -> Result<Self, Vec<Problem>> {
        Self::read("policy/browsers.toml", BUILT_IN)
    }

    /// Reads a file of browsers; `file` is the name that problems show.
    ///
    /// # Errors
    /// Every problem at once, each with its place and its fix.
    pub fn read(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        read(file, text)
    }

    /// What they are called.
    pub fn names(&self) -> Vec<String> {
        self.browsers.iter().map(|browser| browser.name.to_string()).collect()
    }

    /// What a User-Agent claims: the first browser of the file of which it has a word.
    pub fn claim(&self, user_agent: Option<&[u8]>) -> Claim {
        let Some(text) = user_agent else { return Claim::None };
        for browser in &self.browsers {
            if browser.also.as_ref().is_some_and(|also| find(text, also).is_none()) {
                continue;
            }
            if let Some(rest) = browser.tokens.iter().find_map(|token| find(text, token)) {
                return Claim::Browser { browser: browser.clone(), major: number(rest) };
            }
        }
        Claim::None
    }
}

/// What stands behind a word, where that is there.
pub(super) fn find<'t>(text: &'t [u8], word: &str) -> Option<&'t [u8]> {
    let at = text.windows(word.len()).position(|window| window == word.as_bytes())?;
    text.get(at + word.len()..)
}

/// The number with which a text begins; 0 where there is none, or none that a version has.
pub(super) fn number(text: &[u8]) -> u16 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = text.get(..digits).and_then(|digits| str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

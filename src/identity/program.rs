use std::fmt::Write;

use crate::facts::{Client, ClientKey, Hello, ProgramKey};
use crate::parse::RequestHead;

use super::browsers::Claim;

/// What is shown of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramName {
    pub client: ClientKey,
    /// The proxy user, where there is one: then the program is this user's, wherever they are.
    pub user: Option<Box<str>>,
    /// The User-Agent, cut to [`AGENT_BYTES_MAX`], control characters left out.
    pub user_agent: Box<str>,
    /// Its [`Face`].
    pub face: Box<str>,
}

/// Of a User-Agent no more is kept.
pub const AGENT_BYTES_MAX: usize = 160;

/// The part of a program that it cannot easily change: in a tunnel its TLS, else how it writes its heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face(Box<str>);

impl Face {
    /// The stable key of its TLS. A browser that comes back after a reset with another hello is still the same program:
    /// then it is the key of the hello that was reset.
    pub fn of_hello(claim: &Claim, hello: &Hello) -> Self {
        let key = &hello.stable_key;
        let came_back = claim.hellos().find(|tls| tls.return_keys.contains(key));
        Self(came_back.and_then(|tls| tls.keys.first()).unwrap_or(key).clone())
    }

    /// By the shape of a plain head: that of the browser it claims to be, so that all requests of one are one
    /// program; where it has another shape, the names of its fields as they came.
    pub fn of_head(claim: &Claim, head: &RequestHead) -> Self {
        if let Some(browser) = claim.browser()
            // Where no shape is known, none tells it from another.
            && (browser.plain.is_none() || browser.has_shape(head))
        {
            return Self(format!("head:{}", browser.name).into());
        }
        let mut hasher = blake3::Hasher::new();
        for (name, _) in head.fields.iter() {
            hasher.update(name.as_bytes());
            hasher.update(b"\n");
        }
        let mut text = "head:".to_owned();
        for byte in &hasher.finalize().as_bytes()[..6] {
            let _ = write!(text, "{byte:02x}");
        }
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key of a program: of its user, or else of its client's address; of its User-Agent, and of its face.
pub fn program_key(client: &Client, user_agent: Option<&[u8]>, face: &Face) -> ProgramKey {
    let mut hasher = blake3::Hasher::new();
    let mut part = |kind: u8, bytes: &[u8]| {
        hasher.update(&[kind]);
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    match &client.user {
        Some(user) => part(b'u', user.name.as_bytes()),
        None => part(b'c', ClientKey::of(client.address.ip()).to_string().as_bytes()),
    }
    part(b'a', user_agent.unwrap_or_default());
    part(b'f', face.as_str().as_bytes());
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    ProgramKey(key)
}

impl ProgramName {
    pub fn new(client: &Client, user_agent: Option<&[u8]>, face: &Face) -> Self {
        let text = String::from_utf8_lossy(user_agent.unwrap_or_default());
        let mut kept = String::new();
        for character in text.chars().filter(|character| !character.is_control()) {
            if kept.len() + character.len_utf8() > AGENT_BYTES_MAX {
                break;
            }
            kept.push(character);
        }
        Self {
            client: ClientKey::of(client.address.ip()),
            user: client.user.as_ref().map(|user| user.name.clone()),
            user_agent: kept.into(),
            face: face.0.clone(),
        }
    }
}

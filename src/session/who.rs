//! Which program asks, as far as it has shown by now.

use crate::challenge::{AGENT_BYTES_MAX, ProgramName};
use crate::facts::{Client, ClientKey, Hello, ProgramKey, Scheme, Stage, Standing, Target};
use crate::parse::RequestHead;

use super::programs::Standings;

/// The program of an exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who {
    pub(super) claims_browser: bool,
    /// Absent until it has shown enough of itself: in a tunnel its hello.
    pub(super) key: Option<ProgramKey>,
}

impl Who {
    pub(super) fn of(client: &Client, head: &RequestHead, scheme: Scheme, hello: Stage<&Hello>) -> Self {
        let face = face(head, scheme, hello);
        Self::by(client, head.fields.get("user-agent"), face.as_deref())
    }

    /// One that claims nothing.
    #[cfg(test)]
    pub(super) fn nobody() -> Self {
        Self { claims_browser: false, key: None }
    }

    /// By its parts: `face` is its stable TLS key, or the shape of its heads.
    pub(super) fn by(client: &Client, user_agent: Option<&[u8]>, face: Option<&str>) -> Self {
        let claims_browser = user_agent.is_some_and(|text| text.starts_with(b"Mozilla/"));
        let key = face.filter(|_| claims_browser).map(|face| key(client, user_agent, face));
        Self { claims_browser, key }
    }

    /// What it has shown for this target.
    pub(super) fn standing(&self, standings: &Standings, target: &Target) -> Standing {
        match (self.claims_browser, &self.key) {
            (false, _) => Standing::NoBrowser,
            (true, None) => Standing::Uncleared,
            (true, Some(key)) => standings.of(key, target),
        }
    }
}

/// What is shown of the program that asks.
pub(super) fn name(client: &Client, head: &RequestHead, scheme: Scheme, hello: Stage<&Hello>) -> ProgramName {
    let text = String::from_utf8_lossy(head.fields.get("user-agent").unwrap_or_default()).into_owned();
    let mut user_agent = String::new();
    for character in text.chars().filter(|character| !character.is_control()) {
        if user_agent.len() + character.len_utf8() > AGENT_BYTES_MAX {
            break;
        }
        user_agent.push(character);
    }
    ProgramName {
        client: ClientKey::of(client.address.ip()),
        user_agent: user_agent.into(),
        face: face(head, scheme, hello).unwrap_or_default().into(),
    }
}

fn face(head: &RequestHead, scheme: Scheme, hello: Stage<&Hello>) -> Option<String> {
    match (scheme, hello) {
        (Scheme::Tunnel, Stage::Known(hello)) => Some(hello.stable_key.to_string()),
        (Scheme::Tunnel, Stage::NotYet | Stage::Never) => None,
        (Scheme::Http, _) => Some(head.fields.get("proxy-connection").map_or("a", |_| "b").to_owned()),
    }
}

fn key(client: &Client, user_agent: Option<&[u8]>, face: &str) -> ProgramKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(ClientKey::of(client.address.ip()).to_string().as_bytes());
    hasher.update(&[0]);
    hasher.update(user_agent.unwrap_or_default());
    hasher.update(&[0]);
    hasher.update(face.as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    ProgramKey(key)
}

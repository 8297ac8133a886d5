//! Which program asks, as far as it has shown by now, and what speaks against it.

use crate::facts::{Client, Hello, ProgramKey, Scheme, Stage, Standing, Target};
use crate::identity::{Claim, Face, Grounds, InnerSeen, ProgramName, Seen, program_key};
use crate::parse::{Http2Opening, RequestHead};
use crate::policy::Policy;

use super::gate::Gate;
use super::programs::Standings;

/// What a client has shown of itself below its request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) hello: Stage<&'a Hello>,
    /// How the HTTP/2 connection opened on which its request came.
    pub(super) opening: Option<&'a Http2Opening>,
    /// What it said when it began TLS with the gate itself.
    pub(super) to_gate: Option<&'a Hello>,
}

impl<'a> From<Stage<&'a Hello>> for Shown<'a> {
    fn from(hello: Stage<&'a Hello>) -> Self {
        Self { hello, opening: None, to_gate: None }
    }
}

impl<'a> Shown<'a> {
    /// A plain request, on a connection that began with this.
    pub(super) fn of_plain(to_gate: Option<&'a Hello>) -> Self {
        Self { to_gate, ..to_gate.map_or(Stage::Never, Stage::Known).into() }
    }
}

/// The program of an exchange.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub(super) claim: Claim,
    /// Absent until it has shown enough of itself: in a tunnel its hello.
    face: Option<Face>,
    pub(super) key: Option<ProgramKey>,
    /// What does not fit its claim in this exchange.
    pub(super) grounds: Grounds,
    /// Its hello is one that the browser it claims to be is known by.
    pub(super) has_known_face: bool,
}

impl Who {
    pub(super) fn of(
        (gate, policy): (&Gate, &Policy),
        client: &Client,
        head: &RequestHead,
        target: &Target,
        Shown { hello, opening, .. }: Shown<'_>,
    ) -> Self {
        let user_agent = head.fields.get("user-agent");
        let claim = gate.browsers.claim(user_agent);
        let connect = match target.scheme {
            Scheme::Tunnel => Some((&target.host, target.port)),
            Scheme::Http | Scheme::Https => None,
        };
        let faces = claim.browser().map(|browser| policy.faces(&browser.name)).unwrap_or_default();
        let learnt = gate.versions.of(&claim);
        let inner = (target.scheme == Scheme::Https).then_some(InnerSeen { host: &target.host, opening });
        let seen = Seen { head, connect, inner, hello: hello.known(), faces, learnt: learnt.as_deref() };
        let grounds = claim.check(&seen);
        let face = match (target.scheme, hello) {
            (Scheme::Tunnel | Scheme::Https, hello) => hello.known().map(|hello| Face::of_hello(&claim, hello)),
            // That of its connection with the gate, which is the same as with origins.
            (Scheme::Http, Stage::Known(hello)) => Some(Face::of_hello(&claim, hello)),
            (Scheme::Http, Stage::NotYet | Stage::Never) => claim.browser().map(|_| Face::of_head(&claim, head)),
        };
        let knows = |hello: &Hello| claim.knows_face(&hello.stable_key, faces, learnt.as_deref());
        let has_known_face = hello.known().is_some_and(knows);
        drop(learnt);
        Self { grounds, has_known_face, ..Self::by(claim, client, user_agent, face) }
    }

    /// By its parts, where its head is not at hand.
    pub(super) fn by(claim: Claim, client: &Client, user_agent: Option<&[u8]>, face: Option<Face>) -> Self {
        let key = face.as_ref().filter(|_| claim.browser().is_some());
        let key = key.map(|face| program_key(client, user_agent, face));
        Self { claim, face, key, grounds: Grounds::NONE, has_known_face: false }
    }

    /// What it has shown for this target.
    pub(super) fn standing(&self, standings: &Standings, target: &Target) -> Standing {
        match (self.claim.browser(), &self.key) {
            // There is nothing that such a program could show.
            (Some(browser), _) if !browser.shows.reset && !browser.shows.page => Standing::NoBrowser,
            (None, _) => Standing::NoBrowser,
            (Some(_), None) => Standing::Uncleared,
            (Some(_), Some(key)) => standings.of(key, target),
        }
    }

    /// What is shown of it, where it has shown enough of itself.
    pub(super) fn name(&self, client: &Client, head: &RequestHead) -> Option<ProgramName> {
        let face = self.face.as_ref()?;
        Some(ProgramName::new(client, head.fields.get("user-agent"), face))
    }
}

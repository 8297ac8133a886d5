//! The challenge of a tunnel: it is ended after its ClientHello, and a browser comes back at once.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::challenge::{Means, Settled, Step, Ticket};
use crate::clock;
use crate::evidence::{Challenge, Record, Text};
use crate::policy::{CONTRADICTIONS_MAX, Decision, Policy};

use super::account::{Account, Asked, Refused};
use super::gate::Worker;
use super::io::{Io, drain};
use super::why::Why;

/// What becomes of a tunnel that is challenged.
pub(super) enum After {
    /// The program was cleared, or it is open again whether it will be: judge it again.
    Again,
    /// It is to be ended.
    Reset(Ticket),
    /// Nothing can be shown by it.
    Refuse(Why),
}

/// So often a tunnel waits for what another of its program shows.
const HOLDS_MAX: u32 = 8;

/// Finds out what becomes of a challenged tunnel whose hello is known, and waits where another of its program is to
/// show first. `held` counts how often it has waited.
pub(super) async fn challenge(
    worker: &Worker,
    io: &Io,
    (asked, decision): (&Asked<'_>, &Decision),
    held: &mut u32,
) -> After {
    let standings = &worker.gate.standings;
    let needs_person = decision.reason.rule.as_ref().is_some_and(|rule| rule.notes.needs_person);
    let resets = asked.who.claim.browser().is_some_and(|browser| browser.shows.reset);
    // Who contradicts its claim is never cleared by coming back, and no tunnel shows a person anything.
    if needs_person || !resets || asked.who.grounds.contradictions().count() >= CONTRADICTIONS_MAX {
        return After::Refuse(Why::new(403, "challenge_not_possible"));
    }
    let (Some(key), Some(name)) = (asked.who.key, asked.who.name(asked.client, asked.head)) else {
        return After::Refuse(Why::new(403, "challenge_not_possible"));
    };
    let place = (&asked.target.host, asked.target.port);
    match standings.tunnel(key, &name, place, io.head_at) {
        Step::Reset(ticket) => After::Reset(ticket),
        Step::Returned { after } => {
            record(worker, asked, Means::Reset, "returned", Some(after));
            After::Again
        }
        Step::Hold(until) if *held < HOLDS_MAX => {
            *held += 1;
            standings.hold(&key, until).await;
            After::Again
        }
        Step::Hold(_) => {
            standings.unhold(&key);
            After::Refuse(Why::new(403, "challenge_busy"))
        }
        Step::Busy => After::Refuse(Why::new(403, "challenge_busy")),
    }
}

/// Ends the tunnel without a byte of TLS, and waits for what the program makes of it. Nothing of the client's may
/// be left unread: that would send a RST, which browsers do not answer alike.
pub(super) async fn reset(
    worker: &Worker,
    io: &mut Io,
    account: Account<'_>,
    (policy, asked, decision): (&Policy, &Asked<'_>, &Decision),
    ticket: Ticket,
) {
    let why = Why { detail: Why::of_decision(decision).detail, ..Why::new(403, "tunnel_reset") };
    let _ = account.refuse(policy, asked, &Refused::by(decision, &why)).await;
    let standings = &worker.gate.standings;
    // Before the FIN leaves: an answer to it may be read by another worker before this one goes on.
    standings.ended(ticket);
    let _ = io.stream.shutdown().await;
    drain(&mut io.stream).await;
    match standings.settle(ticket).await {
        Settled::Returned | Settled::Open(_) => {}
        Settled::DidNotReturn => record(worker, asked, Means::Reset, "did_not_return", None),
    }
}

/// Puts on record what a program made of a challenge.
pub(super) fn record(worker: &Worker, asked: &Asked<'_>, means: Means, outcome: &'static str, after: Option<Duration>) {
    let (Some(key), Some(name)) = (asked.who.key, asked.who.name(asked.client, asked.head)) else { return };
    let challenge = Challenge {
        client: asked.client.address.ip().to_canonical().to_string(),
        user: asked.client.user.as_ref().map(|user| user.name.as_ref().into()),
        program: key.to_string(),
        user_agent: Text::from(&*name.user_agent),
        face: Text::from(&*name.face),
        means: means.as_str(),
        outcome,
        host: asked.target.host.to_string().as_str().into(),
        port: asked.target.port,
        after_us: after.map(|after| u64::try_from(after.as_micros()).unwrap_or(u64::MAX)),
        failures: worker.gate.standings.failures(&key),
    };
    worker.journal.note(&Record::Challenge(challenge), clock::now());
}

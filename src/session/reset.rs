//! The challenge of a tunnel: it is ended after its ClientHello, and a browser comes back at once.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::challenge::{Change, Means, Settled, Step, Ticket, Version};
use crate::clock;
use crate::evidence::{Challenge, Health, Record, Text};
use crate::facts::{ClientKey, Stage, Standing};
use crate::identity::{Claim, LEARNT_FROM, Learning};
use crate::policy::{CONTRADICTIONS_MAX, Decision, Policy};

use super::account::{Account, Asked, Refused};
use super::gate::Worker;
use super::io::{Io, drain};
use super::log_in::LoggedIn;
use super::programs::Fallback;
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

/// So often a tunnel is judged again by what it or another of its program has shown.
const TURNS_MAX: u32 = 8;

/// Finds out what becomes of a challenged tunnel whose hello is known, and waits where another of its program is to
/// show first. `turns` counts how often it was asked; `logged_in` says that its user has, for this target.
pub(super) async fn challenge(
    worker: &Worker,
    io: &Io,
    (asked, decision): (&Asked<'_>, &Decision),
    turns: &mut u32,
    logged_in: Option<&LoggedIn>,
) -> After {
    let standings = &worker.gate.standings;
    let busy = || After::Refuse(Why::new(403, "challenge_busy"));
    *turns += 1;
    if *turns > TURNS_MAX {
        return busy();
    }
    let resets = asked.who.claim.browser().is_some_and(|browser| browser.shows.reset);
    // Who contradicts its claim is never cleared by coming back.
    if !resets || asked.who.grounds.contradictions().count() >= CONTRADICTIONS_MAX {
        return After::Refuse(Why::new(403, "challenge_not_possible"));
    }
    let (Some(key), Some(name)) = (asked.who.key, asked.who.name(asked.client, asked.head)) else {
        return After::Refuse(Why::new(403, "challenge_not_possible"));
    };
    let place = (&asked.target.host, asked.target.port);
    if decision.reason.needs_person() {
        // No tunnel shows a person anything: who is there has logged in before it, or cannot.
        let Some(LoggedIn) = logged_in else { return After::Refuse(Why::new(403, "challenge_not_possible")) };
        // That shows a person, and not yet a browser.
        if let Standing::Cleared { .. } = asked.who.standing(standings, asked.target) {
            standings.confirm(&key, place);
            record(worker, asked, Means::LogIn, "logged_in", None);
            return After::Again;
        }
    }
    // Whoever only calls itself so is reset all the same: three clients that lie could else speak for all.
    let version = consistent_version(asked).filter(|version| version.known);
    match version.as_ref().and_then(|version| standings.instead_of_reset(version)) {
        Some(Fallback::Identity) => {
            if !standings.clear(key, &name, Means::Identity) {
                return busy();
            }
            record(worker, asked, Means::Identity, "cleared", None);
            return After::Again;
        }
        Some(Fallback::Deny) => return After::Refuse(Why::new(403, "challenge_not_possible")),
        None => {}
    }
    match standings.tunnel(key, &name, place, io.head_at) {
        Step::Reset(ticket) => After::Reset(ticket),
        Step::Returned { after } => {
            record(worker, asked, Means::Reset, "returned", Some(after));
            hear(worker, asked, true);
            learn(worker, asked);
            After::Again
        }
        Step::Hold(until) => {
            standings.hold(&key, until).await;
            After::Again
        }
        Step::Busy => busy(),
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
        Settled::DidNotReturn => {
            record(worker, asked, Means::Reset, "did_not_return", None);
            hear(worker, asked, false);
        }
    }
}

/// The browser and version that a program claims, where nothing speaks against that.
fn consistent_version(asked: &Asked<'_>) -> Option<Version> {
    match &asked.who.claim {
        Claim::Browser { browser, major } if asked.who.grounds.is_at_most_unlike() => {
            Some(Version { browser: browser.name.clone(), major: *major, known: asked.who.has_known_face })
        }
        Claim::Browser { .. } | Claim::None => None,
    }
}

/// Tells the canary what a program made of a reset, and everybody where that changes something.
fn hear(worker: &Worker, asked: &Asked<'_>, returned: bool) {
    let Some(version) = consistent_version(asked) else { return };
    let client = ClientKey::of(asked.client.address.ip());
    let Some(change) = worker.gate.standings.heard(&version, client, returned) else { return };
    let (level, detail) = match change {
        Change::Silent { silent, returned } => {
            let comes_of_it = if version.known {
                "it is not challenged so for a day (`fallback` in the config says what happens instead)"
            } else {
                "it is challenged as before"
            };
            let of = silent + returned;
            let what = "does not come back when a tunnel is ended, on";
            ("silent", format!("{version} {what} {silent} clients of {of}: {comes_of_it}"))
        }
        Change::Heard => ("heard", format!("{version} comes back again when a tunnel is ended")),
    };
    tell(worker, level, &detail);
}

/// Learns what a new version of a browser shows, from one that has come back.
fn learn(worker: &Worker, asked: &Asked<'_>) {
    let Stage::Known(hello) = asked.hello else { return };
    let (claim, client) = (&asked.who.claim, ClientKey::of(asked.client.address.ip()));
    if !asked.who.grounds.is_at_most_unlike() {
        return;
    }
    let learning = worker.gate.versions.learn(claim, &hello.stable_key, client);
    let (Learning::Expected, Claim::Browser { browser, major }) = (learning, claim) else { return };
    tell(
        worker,
        "learnt",
        &format!(
            "{} {major} is newer than what was measured: {LEARNT_FROM} clients have shown its hello by now, with the key \
             {}, and it is held to that",
            browser.name, hello.stable_key
        ),
    );
}

fn tell(worker: &Worker, level: &'static str, detail: &str) {
    eprintln!("sekisho: {detail}");
    let health = Health { subject: "browser", level, detail: detail.into() };
    worker.journal.note(&Record::Health(health), clock::now());
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

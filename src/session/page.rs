//! The challenge of a plain request: a page that a browser answers, and the taking of its answer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::challenge::{
    ANSWER_PATH, Answer, BITS, Bound, Means, Proof, Tokens, WAIT, is_navigation, read_answer, waited,
};
use crate::clock;
use crate::facts::Target;
use crate::policy::{Decision, Policy};
use crate::site::{self, ChallengePage};

use super::account::{Account, Asked, Refused};
use super::connection::{refuse, send_page};
use super::gate::Worker;
use super::io::{Io, Next};
use super::reset::record;
use super::why::Why;

/// The challenges of pages, shared by all workers.
pub struct Pages(Mutex<Tokens>);

impl Pages {
    pub fn new(tokens: Tokens) -> Self {
        Self(Mutex::new(tokens))
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer that a request sends, where it sends one.
fn answer(target: &Target) -> Option<Answer<'_>> {
    read_answer(target.path.as_ref()?)
}

/// What an answer that was taken is answered with: to a script, that it was; to a browser that has waited, where it
/// came from. That is written behind the site that was judged, so it leads nowhere else.
fn taken(target: &Target, proof: &Proof<'_>, keep: bool) -> Vec<u8> {
    match proof {
        Proof::Work(_) => site::challenge_solved(keep),
        Proof::Waited(back) => {
            let back = back.as_ref().map_or("/", |back| back.as_str());
            let site = Target { path: None, ..target.clone() };
            site::challenge_waited(&format!("{site}{back}"), keep)
        }
    }
}

/// Answers a request that the policy challenges.
pub(super) async fn challenge(
    worker: &Worker,
    io: &mut Io,
    account: Account<'_>,
    (policy, asked, decision): (&Policy, &Asked<'_>, &Decision),
    keep: bool,
) -> Next {
    let gate = &*worker.gate;
    let refused = |why: &Why| Why { detail: Why::of_decision(decision).detail, ..Why::new(why.status, why.code) };
    let can_show = asked.who.claim.browser().is_some_and(|browser| browser.shows.page);
    let (Some(key), Some(name)) = (asked.who.key, asked.who.name(asked.client, asked.head)) else {
        let why = refused(&Why::new(403, "challenge_not_possible"));
        return refuse(gate, io, account, (policy, asked), &Refused::by(decision, &why), keep).await;
    };
    let place = (&asked.target.host, asked.target.port);
    let bound = Bound { program: &key, host: place.0, port: place.1 };
    let needs_person = decision.reason.needs_person();
    let notes = decision.reason.rule.as_ref().map(|rule| &rule.notes);
    if let Some(answer) = answer(asked.target) {
        let means = match answer.proof {
            Proof::Work(_) => Means::Page,
            Proof::Waited(_) => Means::Wait,
        };
        let outcome = gate.pages.tokens().take(&answer, &bound, clock::now());
        return match outcome {
            Ok(()) => {
                gate.standings.clear(key, &name, means, needs_person.then_some((place.0, place.1, true)));
                record(worker, asked, means, "solved", None);
                let why = refused(&Why::new(204, "challenge_solved"));
                let _ = account.refuse(policy, asked, &Refused::by(decision, &why)).await;
                send_page(gate, io, &taken(asked.target, &answer.proof, keep), keep).await
            }
            Err(fault) => {
                record(worker, asked, means, "not_solved", None);
                let status = if fault.asks_again() { 409 } else { 403 };
                let why = Why { detail: Some(fault.to_string()), ..Why::new(status, "challenge_failed") };
                refuse(gate, io, account, (policy, asked), &Refused::by(decision, &why), keep).await
            }
        };
    }
    if !can_show || !is_navigation(asked.head.method(), &asked.head.fields) {
        // It can show no page: what does comes first.
        let code = if can_show { "clearance_needed" } else { "challenge_not_possible" };
        let why = refused(&Why::new(403, code));
        return refuse(gate, io, account, (policy, asked), &Refused::by(decision, &why), keep).await;
    }
    let (issued, nonce) = {
        let (mut tokens, now) = (gate.pages.tokens(), clock::now());
        (tokens.issue(&bound, notes.is_some_and(|notes| notes.no_script), now), tokens.nonce(now))
    };
    let Some(issued) = issued else {
        record(worker, asked, Means::Page, "given_up", None);
        let why = refused(&Why::new(403, "challenge_given_up"));
        return refuse(gate, io, account, (policy, asked), &Refused::by(decision, &why), keep).await;
    };
    let link = issued.wait.map(|token| waited(&token, asked.target.path.as_ref()));
    let page = ChallengePage {
        host: &place.0.readable(),
        id: account.id,
        token: &issued.work,
        bits: BITS,
        nonce: &nonce,
        path: ANSWER_PATH,
        // A second more than is asked for: no rounding makes it too soon.
        wait: link.as_deref().map(|link| (link, WAIT.as_secs() + 1)),
        confirm: needs_person,
        contact: gate.wording.contact.as_deref(),
    };
    let page = site::challenge_page(&page, &asked.head.fields, keep);
    let why = refused(&Why::new(403, "challenge_page"));
    if account.refuse(policy, asked, &Refused::by(decision, &why)).await.is_err() {
        let account = Account::new(worker, None);
        return refuse(gate, io, account, (policy, asked), &Refused::by_gate(&Why::evidence()), keep).await;
    }
    send_page(gate, io, &page, keep).await
}

/// The answer to an answer of a program that was cleared meanwhile, by another of its tabs: it is none of the site's.
pub(super) fn late(worker: &Worker, asked: &Asked<'_>, keep: bool) -> Option<Vec<u8>> {
    let (answer, key) = (answer(asked.target)?, asked.who.key?);
    let bound = Bound { program: &key, host: &asked.target.host, port: asked.target.port };
    let is_ours = worker.gate.pages.tokens().is_ours(answer.token, &bound);
    is_ours.then(|| taken(asked.target, &answer.proof, keep))
}

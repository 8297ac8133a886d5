//! The challenge of a plain request: a page that a browser answers, and the taking of its answer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::challenge::{
    ANSWER_PATH, Answer, Asks, BITS, Bound, Means, Proof, TokenFault, Tokens, WAIT, is_navigation, read_answer, waited,
};
use crate::clock;
use crate::facts::{ClientKey, ProgramKey, Standing, Target};
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

/// Takes the answer that a request sends to a page of this gate, whatever the policy says of the path that it is sent
/// to: by which rule its page was asked for is in the page. Gives the connection's account back where it is none.
pub(super) async fn take_answer<'g>(
    worker: &Worker,
    io: &mut Io,
    account: Account<'g>,
    (policy, asked): (&Policy, &Asked<'_>),
    keep: bool,
) -> Result<Next, Account<'g>> {
    let gate = &*worker.gate;
    let (Some(answer), Some(key)) = (answer(asked.target), asked.who.key) else { return Err(account) };
    let Some(name) = asked.who.name(asked.client, asked.head) else { return Err(account) };
    let (bound, means) = (bound(asked, &key), means(&answer.proof));
    let outcome = {
        let mut tokens = gate.pages.tokens();
        if !tokens.knows(answer.token) {
            return Err(account);
        }
        tokens.take(&answer, &bound, clock::now())
    };
    let kept = outcome.map(|person| {
        let is_kept = gate.standings.clear(key, &name, means);
        if person {
            gate.standings.confirm(&key, (bound.host, bound.port));
        }
        is_kept
    });
    // Another tab of a program that was cleared meanwhile is not told that it has failed.
    let is_late = || matches!(asked.who.standing(&gate.standings, asked.target), Standing::Cleared { .. });
    let (why, page) = match kept {
        Ok(true) => {
            record(worker, asked, means, "solved", None);
            (Why::new(204, "challenge_solved"), Some(taken(asked.target, &answer.proof, keep)))
        }
        Ok(false) => (Why::new(403, "challenge_busy"), None),
        Err(fault) if fault != TokenFault::Foreign && is_late() => {
            (Why::new(204, "challenge_solved"), Some(taken(asked.target, &answer.proof, keep)))
        }
        Err(fault) => {
            record(worker, asked, means, "not_solved", None);
            (failed(fault), None)
        }
    };
    let refused = Refused::by_gate(&why);
    Ok(match page {
        Some(page) => {
            let _ = account.refuse(policy, asked, &refused).await;
            send_page(gate, io, &page, keep).await
        }
        None => refuse(gate, io, account, (policy, asked), &refused, keep).await,
    })
}

fn means(proof: &Proof<'_>) -> Means {
    match proof {
        Proof::Work(_) => Means::Page,
        Proof::Waited(_) => Means::Wait,
    }
}

fn bound<'a>(asked: &'a Asked<'_>, program: &'a ProgramKey) -> Bound<'a> {
    let client = ClientKey::of(asked.client.address.ip());
    Bound { client, program, host: &asked.target.host, port: asked.target.port }
}

fn failed(fault: TokenFault) -> Why {
    let status = if fault.asks_again() { 409 } else { 403 };
    Why { detail: Some(fault.to_string()), ..Why::new(status, "challenge_failed") }
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
    let Some(key) = asked.who.key else {
        let why = refused(&Why::new(403, "challenge_not_possible"));
        return refuse(gate, io, account, (policy, asked), &Refused::by(decision, &why), keep).await;
    };
    let bound = bound(asked, &key);
    if answer(asked.target).is_some() {
        // To no page of this gate, or it would have been taken.
        record(worker, asked, Means::Page, "not_solved", None);
        let why = failed(TokenFault::Forged);
        return refuse(gate, io, account, (policy, asked), &Refused::by(decision, &why), keep).await;
    }
    if !can_show || !is_navigation(asked.head.method(), &asked.head.fields) {
        // It can show no page: what does comes first.
        let code = if can_show { "clearance_needed" } else { "challenge_not_possible" };
        let why = refused(&Why::new(403, code));
        return refuse(gate, io, account, (policy, asked), &Refused::by(decision, &why), keep).await;
    }
    let person = decision.reason.needs_person();
    let may_wait = decision.reason.rule.as_ref().is_some_and(|rule| rule.notes.no_script);
    let (issued, nonce) = {
        let (mut tokens, now) = (gate.pages.tokens(), clock::now());
        (tokens.issue(&bound, Asks { may_wait, person }, now), tokens.nonce(now))
    };
    let Some(issued) = issued else {
        record(worker, asked, Means::Page, "given_up", None);
        let why = refused(&Why::new(403, "challenge_given_up"));
        return refuse(gate, io, account, (policy, asked), &Refused::by(decision, &why), keep).await;
    };
    let link = issued.wait.map(|token| waited(&token, asked.target.path.as_ref()));
    let tries = gate.tried_at().map(|host| host.to_string());
    let page = ChallengePage {
        host: &bound.host.readable(),
        id: account.id,
        token: &issued.work,
        bits: BITS,
        nonce: &nonce,
        path: ANSWER_PATH,
        // A second more than is asked for: no rounding makes it too soon.
        wait: link.as_deref().map(|link| (link, WAIT.as_secs() + 1)),
        confirm: person,
        contact: gate.wording.contact.as_deref(),
        tries: tries.as_deref(),
    };
    let page = site::challenge_page(&page, &asked.head.fields, keep);
    let why = refused(&Why::new(403, "challenge_page"));
    if account.refuse(policy, asked, &Refused::by(decision, &why)).await.is_err() {
        let account = Account::new(worker, None);
        return refuse(gate, io, account, (policy, asked), &Refused::by_gate(&Why::evidence()), keep).await;
    }
    send_page(gate, io, &page, keep).await
}

//! The challenge of a plain request: a page that a browser solves, and the taking of its solution.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::challenge::{BITS, Bound, Means, Tokens, is_navigation};
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

/// Where a page sends its solution, at whatever site it stands.
const SOLVE_PATH: &str = "/.well-known/sekisho/challenge";

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

/// A token and a solution, as they are sent.
struct Solution<'a> {
    token: &'a str,
    number: &'a str,
}

/// Reads the solution that a request sends, where it asks for the path of solutions.
fn solution(target: &Target) -> Option<Solution<'_>> {
    let path = target.path.as_ref()?;
    if path.path() != SOLVE_PATH {
        return None;
    }
    let (token, number) = path.query()?.strip_prefix("t=")?.split_once("&n=")?;
    Some(Solution { token, number })
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
    let needs_person = decision.reason.rule.as_ref().is_some_and(|rule| rule.notes.needs_person);
    if let Some(Solution { token, number }) = solution(asked.target) {
        let taken = gate.pages.tokens().take(token, number, &bound, clock::now());
        return match taken {
            Ok(()) => {
                gate.standings.clear(key, &name, Means::Page, needs_person.then_some((place.0, place.1, true)));
                record(worker, asked, Means::Page, "solved", None);
                let why = refused(&Why::new(204, "challenge_solved"));
                let _ = account.refuse(policy, asked, &Refused::by(decision, &why)).await;
                send_page(gate, io, &site::challenge_solved(keep), keep).await
            }
            Err(fault) => {
                record(worker, asked, Means::Page, "not_solved", None);
                let why = Why { detail: Some(fault.to_string()), ..Why::new(403, "challenge_failed") };
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
    let (token, nonce) = {
        let (mut tokens, now) = (gate.pages.tokens(), clock::now());
        (tokens.issue(&bound, now), tokens.nonce(now))
    };
    let page = ChallengePage {
        host: &place.0.readable(),
        id: account.id,
        token: &token,
        bits: BITS,
        nonce: &nonce,
        path: SOLVE_PATH,
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

/// Answers a solution of a program that was cleared meanwhile, by another of its tabs: it is none of the site's.
pub(super) fn is_late_solution(worker: &Worker, asked: &Asked<'_>) -> bool {
    let (Some(Solution { token, .. }), Some(key)) = (solution(asked.target), asked.who.key) else { return false };
    let bound = Bound { program: &key, host: &asked.target.host, port: asked.target.port };
    worker.gate.pages.tokens().is_ours(token, &bound)
}

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::clock;
use crate::evidence::{self, Carried, Event, Exchange, Record, Text, address_and_port, query_hash};
use crate::facts::{
    Client, Contradictions, ExchangeId, Facts, Hello, Party, Path, Program, Restraint, Scheme, Stage, Standing, Target,
};
use crate::identity::Ground;
use crate::parse::{Fields, RequestHead, referer_host};
use crate::policy::{Decision, Outcome, Policy, Rate, Reason, Verdict, VerdictKind, decide};
use crate::store::NotAccepted;
use crate::upstream::{Connected, DialFailed};

use super::describe::{
    describe_client, describe_denial, describe_end, describe_hello, describe_program, describe_reason, describe_route,
    describe_would, micros, without_secrets,
};
use super::gate::{Gate, Worker};
use super::in_force::Edition;
use super::refusals;
use super::who::{Shown, Who};
use super::why::Why;

/// The account of one exchange: judged, opened in the journal, and closed there. One that was opened
/// and is dropped unclosed, because its connection's task ended, closes itself by that name.
pub(super) struct Account<'g> {
    worker: &'g Worker,
    pub(super) id: ExchangeId,
    /// The exchange this one was read inside of.
    inside: Option<ExchangeId>,
    begun: Instant,
    opened: bool,
    /// What the closing record will say; taken when it is written.
    outcome: Option<Box<Exchange>>,
    /// What looks at the answer's body as it passes.
    pub(super) carried: Option<Carried>,
}

/// What is asked for, as far as it is known.
#[derive(Clone)]
pub(super) struct Asked<'a> {
    pub(super) client: &'a Client,
    pub(super) head: &'a RequestHead,
    pub(super) target: &'a Target,
    pub(super) hello: Stage<&'a Hello>,
    /// What its client said when it began TLS with the gate itself.
    to_gate: Option<&'a Hello>,
    /// Which program it is, as far as that has shown.
    pub(super) who: Who,
}

impl<'a> Asked<'a> {
    pub(super) fn new(
        (gate, policy): (&Gate, &Policy),
        client: &'a Client,
        head: &'a RequestHead,
        target: &'a Target,
        shown: impl Into<Shown<'a>>,
    ) -> Self {
        let shown = shown.into();
        let who = Who::of((gate, policy), client, head, target, shown);
        Self { client, head, target, hello: shown.hello, to_gate: shown.to_gate, who }
    }

    /// What a plain request of the same connection has shown.
    pub(super) fn shown_in_clear(&self) -> Shown<'a> {
        Shown::of_plain(self.to_gate)
    }

    /// Whether its head came from the client: what was captured is judged as a CONNECT that nobody sent.
    fn is_sent(&self) -> bool {
        self.client.captured.is_none() || self.target.scheme != Scheme::Tunnel
    }

    /// Whether it holds no clearance before its user is known.
    pub(super) fn must_log_in(&self, policy: &Policy) -> bool {
        self.client.user.is_none() && policy.is_shared(self.client)
    }

    /// Asks the policy about it, now.
    pub(super) fn judge(&self, gate: &Gate, policy: &Policy) -> Outcome {
        let user_agent = self.head.fields.get("user-agent");
        let shown = (self.standing(gate, policy), self.who.grounds.contradictions(), self.restraint(gate));
        judge(policy, self.client, self.head.method(), self.target, user_agent, self.hello, shown)
    }

    /// What is imposed on it now.
    pub(super) fn restraint(&self, gate: &Gate) -> Restraint {
        gate.restraints.on(self.client, &self.target.host, self.head.fields.get("user-agent"), self.hello)
    }

    fn standing(&self, gate: &Gate, policy: &Policy) -> Standing {
        match self.who.standing(&gate.standings, self.target) {
            // What one of many people has shown there says nothing of the others.
            Standing::Cleared { .. } if self.must_log_in(policy) => Standing::Uncleared,
            standing => standing,
        }
    }

    /// The same, once the hello was seen or will never be.
    pub(super) fn with_hello(&self, gate: &Gate, policy: &Policy, hello: Stage<&'a Hello>) -> Self {
        let shown = Shown { to_gate: self.to_gate, ..hello.into() };
        Self::new((gate, policy), self.client, self.head, self.target, shown)
    }
}

/// What is left of an account once its tunnel stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub(super) id: ExchangeId,
    pub(super) begun: Instant,
    /// Bytes of the heads before the tunnel stood.
    pub(super) up: u64,
    pub(super) down: u64,
}

/// The end of an exchange: who ended it, how, and what went through.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'a> {
    pub(super) by: Party,
    pub(super) how: &'a str,
    pub(super) up: u64,
    pub(super) down: u64,
}

impl<'g> Account<'g> {
    pub(super) fn new(worker: &'g Worker, inside: Option<ExchangeId>) -> Self {
        let id = clock::exchange_id();
        let outcome = Box::new(Exchange::new(Event::Close, id));
        Self { worker, id, inside, begun: Instant::now(), opened: false, outcome: Some(outcome), carried: None }
    }

    /// Asks the policy, and counts what it lets out towards the rate of its rule.
    pub(super) fn judge(&self, edition: &Edition, asked: &Asked<'_>) -> Outcome {
        let admits = |rate: &Rate| edition.rates.admits(rate, asked.client, &asked.target.host);
        match self.judge_uncounted(&edition.policy, asked) {
            Outcome::Decided(decision) => {
                let over = decision.rates().find(|rate| !admits(rate)).cloned();
                Outcome::Decided(match over {
                    Some(rate) => decision.over(&rate),
                    None => decision,
                })
            }
            waits @ Outcome::Needs(..) => waits,
        }
    }

    /// Asks the policy about what is counted already.
    pub(super) fn judge_uncounted(&self, policy: &Policy, asked: &Asked<'_>) -> Outcome {
        asked.judge(&self.worker.gate, policy)
    }

    fn describe(&self, event: Event, policy: &Policy, asked: &Asked<'_>) -> Box<Exchange> {
        let mut record = Box::new(Exchange::new(event, self.id));
        let fields = &asked.head.fields;
        record.inside = self.inside.map(|id| id.to_string());
        describe_client(&mut record, policy, asked.client);
        record.user_agent = fields.get("user-agent").map(Text::new);
        if asked.is_sent() {
            record.method = Some(asked.head.method().into());
            record.http = Some(asked.head.version.as_str());
        }
        record.target = Some(self.describe_target(asked.target));
        record.referer_host = fields.get("referer").and_then(referer_host).map(|host| host.to_string().as_str().into());
        record.policy = Some(policy.hash().into());
        if let Some(hello) = asked.to_gate {
            describe_program(&mut record, hello);
        }
        if let Stage::Known(hello) = asked.hello
            && asked.target.scheme != Scheme::Http
        {
            describe_hello(&mut record, hello);
        }
        record.program = asked.who.key.map(|key| key.to_string());
        record.standing = match asked.standing(&self.worker.gate, policy) {
            Standing::Cleared { .. } => Some("cleared"),
            Standing::Uncleared => Some("uncleared"),
            Standing::NoBrowser => None,
        };
        record.grounds = asked.who.grounds.iter().map(Ground::as_str).collect();
        record
    }

    fn describe_target(&self, target: &Target) -> evidence::Target {
        let query = target.path.as_ref().and_then(|path| path.query());
        let wording = &self.worker.gate.wording;
        evidence::Target {
            scheme: target.scheme.as_str(),
            host: target.host.to_string().as_str().into(),
            port: target.port,
            path: target.path.as_ref().map(|path| path.path().into()),
            query_bytes: query.map(str::len),
            query_hash: query.map(|query| query_hash(&wording.query_key, query)),
            query: query.filter(|_| wording.keep_query).map(Text::from),
        }
    }

    /// Opens the exchange in the journal. Nothing may be forwarded before this returns `Ok`.
    pub(super) async fn open(
        &mut self,
        policy: &Policy,
        asked: &Asked<'_>,
        decision: &Decision,
    ) -> Result<(), NotAccepted> {
        let mut record = self.describe(Event::Open, policy, asked);
        record.verdict = Some(VerdictKind::Allow.as_str());
        record.would = decision.would.map(VerdictKind::as_str);
        describe_reason(&mut record, &decision.reason);
        if let Verdict::Allow(permit) = &decision.verdict {
            describe_route(&mut record, permit.route());
            self.outcome(|outcome| describe_route(outcome, permit.route()));
        }
        match self.worker.journal.append(&Record::Exchange(record), clock::now()).await {
            Ok(()) => {}
            Err(NotAccepted::Disk) => self.open_on_reserve(policy, asked, decision).await?,
            Err(NotAccepted::Overloaded) => return Err(NotAccepted::Overloaded),
        }
        self.opened = true;
        self.worker.gate.counters.count(policy, asked.client);
        self.worker.gate.counters.allowed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The journal takes no record: what is essential may pass under a breakglass, on a short record.
    async fn open_on_reserve(
        &self,
        policy: &Policy,
        asked: &Asked<'_>,
        decision: &Decision,
    ) -> Result<(), NotAccepted> {
        let glass = &self.worker.gate.glass;
        let (breakglass, now) = glass.holding();
        let permit = match &decision.verdict {
            Verdict::Allow(permit) if permit.passes_on_reserve(breakglass.as_deref(), now) => permit,
            Verdict::Allow(_) | Verdict::Challenge | Verdict::Deny => return Err(NotAccepted::Disk),
        };
        let mut record = Box::new(Exchange::new(Event::Open, self.id));
        describe_route(&mut record, permit.route());
        record.inside = self.inside.map(|id| id.to_string());
        record.client = Some(asked.client.address.ip().to_canonical().to_string());
        record.captured = asked.client.captured.map(|address| address.to_string());
        record.user = asked.client.user.as_ref().map(|user| user.name.as_ref().into());
        record.method = asked.is_sent().then(|| asked.head.method().into());
        record.target = Some(self.describe_target(asked.target));
        record.verdict = Some(VerdictKind::Allow.as_str());
        describe_reason(&mut record, &decision.reason);
        record.policy = Some(policy.hash().into());
        record.breakglass = Some(true);
        self.worker.journal.append_to_reserve(&Record::Exchange(record), clock::now()).await?;
        glass.count_passage();
        Ok(())
    }

    /// Records that a CONNECT is answered before it is decided, and for which fact: `reason` names the rule
    /// that waits for it.
    pub(super) async fn wait(&self, policy: &Policy, asked: &Asked<'_>, reason: &Reason) -> Result<(), NotAccepted> {
        let mut record = self.describe(Event::Waiting, policy, asked);
        record.reason = Some("needs_hello".into());
        let recorded = self.worker.journal.append(&Record::Exchange(record), clock::now()).await;
        self.or_unrecorded(recorded, reason)
    }

    /// Opens a tunnel that the gate answers itself until its first request is read and judged; without a reason, one
    /// that it answers to its end.
    pub(super) async fn open_for_request(
        &mut self,
        policy: &Policy,
        asked: &Asked<'_>,
        reason: Option<&Reason>,
    ) -> Result<(), NotAccepted> {
        let mut record = self.describe(Event::Open, policy, asked);
        record.reason = Some(if reason.is_some() { "needs_inner_request" } else { "next_authority" }.into());
        let recorded = self.worker.journal.append(&Record::Exchange(record), clock::now()).await;
        self.opened = recorded.is_ok();
        reason.map_or(recorded, |reason| self.or_unrecorded(recorded, reason))
    }

    /// Where an essential rule waits for what is still to come, a breakglass lets the wait go unrecorded:
    /// nothing has left yet, and what does needs a record of its own.
    fn or_unrecorded(&self, recorded: Result<(), NotAccepted>, reason: &Reason) -> Result<(), NotAccepted> {
        let is_essential = reason.rule.as_ref().is_some_and(|rule| rule.essential);
        match recorded {
            Err(NotAccepted::Disk) if is_essential && self.worker.gate.glass.holding().0.is_some() => Ok(()),
            recorded => recorded,
        }
    }

    /// Records an exchange that was allowed and that the gate answers as its last recipient. The record is
    /// in the journal when this returns `Ok`.
    pub(super) async fn answer(
        &self,
        policy: &Policy,
        asked: &Asked<'_>,
        decision: &Decision,
    ) -> Result<(), NotAccepted> {
        let mut record = self.describe(Event::Answered, policy, asked);
        record.verdict = Some(VerdictKind::Allow.as_str());
        record.would = decision.would.map(VerdictKind::as_str);
        describe_reason(&mut record, &decision.reason);
        record.reason = Some("max_forwards".into());
        self.worker.gate.counters.count(policy, asked.client);
        record.status = Some(200);
        self.worker.journal.append(&Record::Exchange(record), clock::now()).await
    }

    /// Records an exchange that never left. The record is in the journal when this returns, or the
    /// loss of it is counted.
    pub(super) async fn refuse(
        mut self,
        policy: &Policy,
        asked: &Asked<'_>,
        refused: &Refused<'_>,
    ) -> Result<(), NotAccepted> {
        self.remember(asked, refused.why);
        let mut record = self.describe(Event::Refused, policy, asked);
        self.worker.gate.counters.count(policy, asked.client);
        record.verdict = Some(refused.verdict.as_str());
        if let Some(reason) = refused.reason {
            describe_reason(&mut record, reason);
        }
        self.record_refusal(record, refused.why).await
    }

    /// Remembers it for the person at the client, unless it is a step on the way of what passes.
    fn remember(&self, asked: &Asked<'_>, why: &Why) {
        let is_step = matches!(why.code, "challenge_page" | "challenge_solved" | "tunnel_reset" | "log_in_needed");
        if is_step {
            return;
        }
        self.note(asked, why, |refused| refused);
    }

    fn note(&self, asked: &Asked<'_>, why: &Why, as_it_was: impl FnOnce(refusals::Refused) -> refusals::Refused) {
        let told = (why.status, why.code, why.detail.as_deref());
        let one = refusals::Refused::new(self.id, asked.target, told, asked.head.fields.get("user-agent"));
        self.worker.gate.refusals.note(asked.client.address.ip(), as_it_was(one));
    }

    /// Records bytes that were no request, and what they asked for as far as a head was there.
    pub(super) async fn refuse_bytes(
        mut self,
        policy: &Policy,
        client: &Client,
        head: Option<&RequestHead>,
        why: &Why,
    ) -> Result<(), NotAccepted> {
        let mut record = Box::new(Exchange::new(Event::Refused, self.id));
        record.inside = self.inside.map(|id| id.to_string());
        describe_client(&mut record, policy, client);
        if let Some(head) = head {
            record.method = Some(head.method().into());
            record.user_agent = head.fields.get("user-agent").map(Text::new);
            record.asked = Some(Text::new(without_secrets(head.target())));
            record.asked_host = head.fields.get("host").map(|host| Text::new(without_secrets(host)));
        }
        record.verdict = Some(VerdictKind::Deny.as_str());
        record.policy = Some(policy.hash().into());
        self.record_refusal(record, why).await
    }

    async fn record_refusal(&mut self, mut record: Box<Exchange>, why: &Why) -> Result<(), NotAccepted> {
        record.carries = self.outcome.take().and_then(|outcome| outcome.carries);
        record.reason = Some(why.code.into());
        record.detail = why.detail.as_deref().map(Text::from);
        record.status = Some(why.status);
        self.worker.gate.counters.count_refusal(why.code);
        let recorded = self.worker.journal.append(&Record::Exchange(record), clock::now()).await;
        recorded.inspect_err(|_| self.worker.journal.lose())
    }

    fn outcome(&mut self, change: impl FnOnce(&mut Exchange)) {
        if let Some(outcome) = &mut self.outcome {
            change(outcome);
        }
    }

    pub(super) fn dialled(&mut self, asked: &Asked<'_>, connected: &Connected) {
        let elsewhere = leads_elsewhere(asked, &connected.answers);
        self.outcome(|record| {
            record.grounds.extend(elsewhere.then_some(CAPTURED_ELSEWHERE));
            record.answers = connected.answers.iter().map(ToString::to_string).collect();
            record.answers_refused = connected.refused.iter().map(ToString::to_string).collect();
            record.dialled = Some(address_and_port(connected.dialled));
            record.reused = connected.reused.then_some(true);
            if !connected.reused {
                record.dns_us = (!connected.answers.is_empty()).then(|| micros(connected.timings.dns));
                record.connect_us = Some(micros(connected.timings.connect));
            }
        });
    }

    pub(super) fn hello(&mut self, hello: &Hello, took: Duration) {
        self.outcome(|record| {
            record.carries = Some("tls");
            record.hello_us = Some(micros(took));
            describe_hello(record, hello);
        });
    }

    pub(super) fn carries(&mut self, what: &'static str) {
        self.outcome(|record| record.carries = Some(what));
    }

    /// What would have been refused if the policy did not only observe.
    pub(super) fn would_refuse(&mut self, why: &Why) {
        self.outcome(|record| describe_would(record, why));
    }

    pub(super) fn answered(&mut self, status: u16, content_type: Option<&[u8]>) {
        let first_byte = micros(self.begun.elapsed());
        self.outcome(|record| {
            record.status = Some(status);
            record.content_type = content_type.map(Text::new);
            record.first_byte_us = Some(first_byte);
        });
    }

    /// The answer has a body, which is looked at as it passes.
    pub(super) fn looks_at(&mut self, status: u16, fields: &Fields, target: &Target) {
        self.carried = Carried::of(status, fields, target.path.as_ref().map(Path::path));
    }

    /// The closing record, with what was seen of the body.
    fn take_outcome(&mut self) -> Option<Box<Exchange>> {
        let mut record = self.outcome.take()?;
        if let Some(carried) = self.carried.take() {
            carried.describe(&mut record);
        }
        Some(record)
    }

    /// The tunnel that was let out carries what it may not.
    pub(super) fn denied(&mut self, asked: &Asked<'_>, why: &Why) {
        self.note(asked, why, |refused| refused.cut_at(clock::now()));
        self.outcome(|record| describe_denial(record, why));
        self.worker.gate.counters.count_refusal(why.code);
    }

    /// Why it went wrong after it was let out; the status is what the client was told, if anything.
    pub(super) fn failed_with(&mut self, why: &Why, told: bool) {
        self.outcome(|record| {
            if told {
                record.status = Some(why.status);
            }
            record.detail = why.detail.as_deref().map(Text::from);
        });
    }

    /// Closes the exchange.
    pub(super) fn close(mut self, end: End<'_>) {
        self.write_close(end);
    }

    fn write_close(&mut self, end: End<'_>) {
        let Some(mut record) = self.take_outcome() else { return };
        describe_end(&mut record, self.begun, end);
        self.worker.journal.note(&Record::Exchange(record), clock::now());
    }

    /// Closes an exchange that was let out and did not get there. What the guard refused is a denial,
    /// though the rule had allowed the name.
    pub(super) fn fail(mut self, asked: &Asked<'_>, failed: &DialFailed, why: &Why) {
        self.remember(asked, why);
        let denied = failed.error.is_denial();
        let elsewhere = leads_elsewhere(asked, &failed.answers);
        self.outcome(|record| {
            record.grounds.extend(elsewhere.then_some(CAPTURED_ELSEWHERE));
            record.answers = failed.answers.iter().map(ToString::to_string).collect();
            record.dns_us = (!failed.answers.is_empty()).then(|| micros(failed.dns));
            record.status = Some(why.status);
            record.detail = why.detail.as_deref().map(Text::from);
            if denied {
                record.verdict = Some(VerdictKind::Deny.as_str());
                record.reason = Some(why.code.into());
            }
        });
        if denied {
            self.worker.gate.counters.count_refusal(why.code);
        }
        self.close(End { by: failed.error.at_fault(), how: why.code, up: 0, down: 0 });
    }

    /// Records that the tunnel stands, and keeps only what its end needs.
    pub(super) fn established(mut self, up: u64, down: u64) -> Ending {
        if let Some(mut record) = self.outcome.take() {
            record.event = Some(Event::Established);
            self.worker.journal.note(&Record::Exchange(record), clock::now());
        }
        Ending { id: self.id, begun: self.begun, up, down }
    }
}

/// The ground by which what a client says does not fit where it had connected.
const CAPTURED_ELSEWHERE: &str = "captured_elsewhere";

/// Whether a captured client had connected to another address than those to which the name leads that it gave (`answers`,
/// none where the gate did not look it up), or to another port than the one that it names.
fn leads_elsewhere(asked: &Asked<'_>, answers: &[IpAddr]) -> bool {
    let Some(meant) = asked.client.captured else { return false };
    let is_among = match asked.target.host.address() {
        Some(literal) => literal.to_canonical() == meant.ip(),
        None => answers.is_empty() || answers.iter().any(|answer| answer.to_canonical() == meant.ip()),
    };
    !is_among || asked.target.port != meant.port()
}

/// Asks the policy of an exchange, now.
pub(super) fn judge(
    policy: &Policy,
    client: &Client,
    method: &str,
    target: &Target,
    user_agent: Option<&[u8]>,
    hello: Stage<&Hello>,
    (standing, contradictions, restraint): (Standing, Contradictions, Restraint),
) -> Outcome {
    let inner = match target.scheme {
        Scheme::Tunnel => Stage::NotYet,
        Scheme::Http | Scheme::Https => Stage::Never,
    };
    decide(
        policy,
        &Facts {
            now: clock::now(),
            client,
            method,
            target,
            program: Program { user_agent },
            hello,
            inner,
            standing,
            contradictions,
            restraint,
        },
    )
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        if self.opened {
            let Some(mut record) = self.take_outcome() else { return };
            // What had moved by then is not known here.
            record.closed_by = Some(Party::Gate.as_str());
            record.closed_how = Some("abandoned".into());
            record.total_us = Some(micros(self.begun.elapsed()));
            self.worker.journal.note(&Record::Exchange(record), clock::now());
        }
    }
}

impl Ending {
    /// Records what the first bytes of a standing tunnel were.
    pub(super) fn first_bytes(&self, worker: &Worker, describe: impl FnOnce(&mut Exchange)) {
        let mut record = Box::new(Exchange::new(Event::FirstBytes, self.id));
        describe(&mut record);
        worker.journal.note(&Record::Exchange(record), clock::now());
    }

    /// Closes the tunnel in the journal.
    pub(super) fn close(&self, worker: &Worker, end: End<'_>, describe: impl FnOnce(&mut Exchange)) {
        let mut record = Box::new(Exchange::new(Event::Close, self.id));
        describe(&mut record);
        let end = End { up: end.up + self.up, down: end.down + self.down, ..end };
        describe_end(&mut record, self.begun, end);
        worker.journal.note(&Record::Exchange(record), clock::now());
    }
}

/// What a refusal record says beside the request.
pub(super) struct Refused<'a> {
    pub(super) verdict: VerdictKind,
    pub(super) reason: Option<&'a Reason>,
    pub(super) why: &'a Why,
}

impl<'a> Refused<'a> {
    /// Refused by the gate itself, whatever the policy says.
    pub(super) fn by_gate(why: &'a Why) -> Self {
        Self { verdict: VerdictKind::Deny, reason: None, why }
    }

    /// Refused because the rule waits for what this gate cannot learn.
    pub(super) fn for_need(reason: &'a Reason, why: &'a Why) -> Self {
        Self { verdict: VerdictKind::Deny, reason: Some(reason), why }
    }

    /// Refused by a decision.
    pub(super) fn by(decision: &'a Decision, why: &'a Why) -> Self {
        Self { verdict: decision.verdict.kind(), reason: Some(&decision.reason), why }
    }
}

use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::clock;
use crate::evidence::{self, Event, Exchange, Record, Text, query_hash};
use crate::facts::{Client, ExchangeId, Facts, Hello, Program, Restraint, Scheme, Stage, Standing, Target};
use crate::parse::{RequestHead, parse_absolute};
use crate::policy::{Decision, Need, Outcome, Policy, Reason, VerdictKind, decide};
use crate::store::JournalFull;
use crate::upstream::{Connected, DialError};

use super::gate::Gate;

/// The account of one exchange: judged, opened in the journal, and closed there.
pub(super) struct Account<'g> {
    gate: &'g Gate,
    pub(super) id: ExchangeId,
    parent: Option<ExchangeId>,
    begun: Instant,
    close: Exchange,
}

/// A refusal by its code, with what a person needs to act on it.
#[derive(Debug)]
pub(super) struct Why {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) detail: Option<String>,
}

/// What is asked for, as far as it is known.
pub(super) struct Asked<'a> {
    pub(super) client: &'a Client,
    pub(super) head: &'a RequestHead,
    pub(super) target: &'a Target,
    pub(super) hello: Stage<&'a Hello>,
}

impl<'g> Account<'g> {
    pub(super) fn new(gate: &'g Gate, parent: Option<ExchangeId>) -> Self {
        let id = clock::exchange_id();
        let close = Exchange::new(Event::Close, id);
        Self { gate, id, parent, begun: Instant::now(), close }
    }

    /// Asks the policy.
    pub(super) fn judge(&self, policy: &Policy, asked: &Asked<'_>) -> Outcome {
        let inner = match asked.target.scheme {
            Scheme::Tunnel => Stage::NotYet,
            Scheme::Http => Stage::Never,
        };
        decide(
            policy,
            &Facts {
                now: clock::now(),
                client: asked.client,
                method: asked.head.method(),
                target: asked.target,
                program: Program { user_agent: asked.head.fields.get("user-agent") },
                hello: asked.hello,
                inner,
                standing: Standing::Uncleared,
                restraint: Restraint::None,
            },
        )
    }

    fn describe(&self, event: Event, policy: &Policy, asked: &Asked<'_>) -> Exchange {
        let mut record = Exchange::new(event, self.id);
        let fields = &asked.head.fields;
        record.parent = self.parent.map(|id| id.to_string());
        self.describe_client(&mut record, policy, asked.client);
        record.user_agent = fields.get("user-agent").map(Text::new);
        record.method = Some(asked.head.method().into());
        record.target = Some(self.describe_target(asked.target));
        record.referer_host = fields
            .get("referer")
            .and_then(|referer| parse_absolute(referer).ok())
            .map(|target| target.host.to_string().as_str().into());
        record.policy = Some(policy.hash().into());
        if let Stage::Known(hello) = asked.hello {
            describe_hello(&mut record, hello);
        }
        record
    }

    fn describe_client(&self, record: &mut Exchange, policy: &Policy, client: &Client) {
        let address = client.address.ip().to_canonical();
        record.client = Some(address.to_string());
        record.client_port = Some(client.address.port());
        record.user = client.user.as_deref().map(Text::from);
        record.client_group = policy.group_of(address).as_deref().map(Text::from);
    }

    fn describe_target(&self, target: &Target) -> evidence::Target {
        let query = target.path.as_ref().and_then(|path| path.query());
        let keep = self.gate.keep_query;
        evidence::Target {
            scheme: target.scheme.as_str(),
            host: target.host.to_string().as_str().into(),
            port: target.port,
            path: target.path.as_ref().map(|path| path.path().into()),
            query_bytes: query.map(str::len),
            query_hash: query.map(|query| query_hash(&self.gate.query_key, query)),
            query: query.filter(|_| keep).map(Text::from),
        }
    }

    /// Opens the exchange in the journal. Nothing may be forwarded before this returns `Ok`.
    pub(super) async fn open(
        &self,
        policy: &Policy,
        asked: &Asked<'_>,
        decision: &Decision,
    ) -> Result<(), JournalFull> {
        let mut record = self.describe(Event::Open, policy, asked);
        record.verdict = Some(VerdictKind::Allow.as_str());
        record.would = decision.would.map(VerdictKind::as_str);
        describe_reason(&mut record, &decision.reason);
        self.gate.journal.append(&Record::Exchange(Box::new(record)), clock::now()).await?;
        self.gate.counters.allowed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Records an exchange that never left.
    pub(super) fn refuse(
        &self,
        policy: &Policy,
        asked: &Asked<'_>,
        verdict: VerdictKind,
        reason: Option<&Reason>,
        why: &Why,
    ) {
        let mut record = self.describe(Event::Refused, policy, asked);
        record.verdict = Some(verdict.as_str());
        if let Some(reason) = reason {
            describe_reason(&mut record, reason);
        }
        self.note_refusal(record, why);
    }

    /// Records bytes that were no request.
    pub(super) fn refuse_bytes(&self, policy: &Policy, client: &Client, why: &Why) {
        let mut record = Exchange::new(Event::Refused, self.id);
        self.describe_client(&mut record, policy, client);
        record.verdict = Some(VerdictKind::Deny.as_str());
        record.policy = Some(policy.hash().into());
        self.note_refusal(record, why);
    }

    fn note_refusal(&self, mut record: Exchange, why: &Why) {
        record.reason = Some(why.code.into());
        record.detail = why.detail.as_deref().map(Text::from);
        record.status = Some(why.status);
        self.gate.counters.refused.fetch_add(1, Ordering::Relaxed);
        self.gate.journal.note(&Record::Exchange(Box::new(record)), clock::now());
    }

    pub(super) fn dialled(&mut self, connected: &Connected) {
        self.close.answers = connected.answers.iter().map(ToString::to_string).collect();
        self.close.dialled = Some(connected.dialled.to_string());
        self.close.dns_us = Some(micros(connected.timings.dns));
        self.close.connect_us = Some(micros(connected.timings.connect));
    }

    pub(super) fn hello(&mut self, hello: &Hello) {
        describe_hello(&mut self.close, hello);
    }

    pub(super) fn carries(&mut self, what: &'static str) {
        self.close.carries = Some(what);
    }

    pub(super) fn answered(&mut self, status: u16, content_type: Option<&[u8]>) {
        self.close.status = Some(status);
        self.close.content_type = content_type.map(Text::new);
        self.close.first_byte_us = Some(micros(self.begun.elapsed()));
    }

    /// Closes the exchange: who ended it, how, and what went through.
    pub(super) fn close(mut self, by: &'static str, how: &str, up: u64, down: u64) {
        self.close.closed_by = Some(by);
        self.close.closed_how = Some(how.into());
        self.close.bytes_up = Some(up);
        self.close.bytes_down = Some(down);
        self.close.total_us = Some(micros(self.begun.elapsed()));
        self.gate.journal.note(&Record::Exchange(Box::new(self.close)), clock::now());
    }

    /// Closes an exchange that was let out and did not get there.
    pub(super) fn fail(mut self, by: &'static str, why: &Why) {
        self.close.status = Some(why.status);
        self.close.detail = why.detail.as_deref().map(Text::from);
        self.close(by, why.code, 0, 0);
    }
}

fn describe_reason(record: &mut Exchange, reason: &Reason) {
    record.reason = Some(reason.code.as_str().into());
    if let Some(rule) = &reason.rule {
        record.rule = Some(rule.name.as_ref().into());
        record.rule_at = Some(format!("{}:{}", rule.file, rule.line).as_str().into());
    }
}

fn describe_hello(record: &mut Exchange, hello: &Hello) {
    record.sni = hello.sni.as_deref().map(Text::from);
    record.alpn = hello.alpn.iter().take(8).map(|name| Text::new(name)).collect();
    record.ja4 = Some(hello.ja4.as_ref().into());
    record.tls_key = Some(hello.stable_key.as_ref().into());
    record.ech = Some(hello.ech);
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Why {
    pub(super) fn new(status: u16, code: &'static str) -> Self {
        Self { status, code, detail: None }
    }

    /// A decision that lets nothing out.
    pub(super) fn of_decision(decision: &Decision) -> Self {
        if decision.verdict.kind() == VerdictKind::Challenge {
            return Self::new(403, "challenge_unavailable").of_rule(&decision.reason);
        }
        Self::new(403, decision.reason.code.as_str()).of_rule(&decision.reason)
    }

    fn of_rule(mut self, reason: &Reason) -> Self {
        self.detail = reason.rule.as_ref().map(ToString::to_string);
        self
    }

    /// A fact that this gate cannot learn.
    pub(super) fn of_need(need: Need) -> Self {
        let code = match need {
            Need::Hello => "hello_unavailable",
            Need::InnerRequest => "inspection_unavailable",
            Need::User => "authentication_unavailable",
        };
        Self::new(403, code)
    }

    pub(super) fn of_dial(error: &DialError) -> Self {
        let (status, code) = match error {
            DialError::Refused(_) => (403, "guard_address"),
            DialError::Resolve(_) => (502, "dns_failed"),
            DialError::Connect { .. } => (502, "connect_failed"),
            DialError::Timeout(_) => (504, "connect_timeout"),
        };
        Self { status, code, detail: Some(error.to_string()) }
    }
}

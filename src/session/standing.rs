//! Judges standing tunnels again, by a policy that came into force after they were let out and says
//! `reload = "strict"`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::evidence::Exchange;
use crate::facts::{Client, ExchangeId, Hello, Restraint, Scheme, Stage, Target};
use crate::identity::Face;
use crate::parse::FirstBytes;
use crate::policy::{
    Beside, Content, ContentTerms, Decision, Need, Outcome, Permit, Reason, Route, RuleRef, Verdict, VerdictKind,
};
use crate::upstream::{Connected, DialError, Dialler};

use super::account::{Asked, judge};
use super::describe::describe_who_says;
use super::gate::{Gate, Limits};
use super::in_force::Edition;
use super::refusals;
use super::restraints::Restraints;
use super::tunnels::Bounds;
use super::who::Who;
use super::why::Why;

/// What is kept of an exchange while its tunnel stands: all that a policy may ask of it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) client: Client,
    pub(super) target: Target,
    user_agent: Option<Box<[u8]>>,
    /// Which program it was, as far as that had shown.
    who: Who,
    /// Nothing of the head that a policy may ask was too long to be kept.
    whole: bool,
    route: Route,
    dialled: SocketAddr,
    first: Mutex<First>,
}

/// What a tunnel's client said first.
#[derive(Debug)]
pub(super) enum First {
    /// It is a request that was read before the tunnel stood, and nothing else is asked.
    Request,
    /// It has said nothing yet; by a policy that has judged the tunnel again, it is held to these terms.
    Awaited(Option<Box<ContentTerms>>),
    Seen(FirstBytes),
    /// More than is kept.
    TooLong,
}

/// Of the User-Agent, the path and a hello no more is kept, each. A part of them could match another rule
/// than the whole, so what is longer is not kept at all, and its tunnel is cut by a policy that judges
/// again: who cannot be judged is not let through. What browsers send is a tenth of it.
const KEPT_BYTES_MAX: usize = 2048;

/// What a later policy says of a tunnel, for the record of its end.
#[derive(Debug)]
pub(super) struct Ruling {
    /// In observe mode: what would have happened.
    would: Option<VerdictKind>,
    code: &'static str,
    detail: Option<String>,
    rule: Option<Arc<RuleRef>>,
    beside: Option<Beside>,
    /// Which policy says so.
    policy: Box<str>,
}

/// What becomes of it.
#[derive(Debug)]
pub(super) enum Judged {
    /// A rule waits for what the client will say: it is to be judged again.
    Waits,
    /// It goes on, perhaps held to other bounds, and with something to record.
    GoesOn(Option<Bounds>, Option<Ruling>),
    Cut(Ruling),
}

impl Known {
    pub(super) fn of(asked: &Asked<'_>, connected: &Connected, first: First) -> Box<Self> {
        let Target { scheme, host, port, path } = asked.target;
        let user_agent = asked.head.fields.get("user-agent");
        let kept_path = path.as_ref().filter(|path| path.as_str().len() <= KEPT_BYTES_MAX);
        let kept_agent = user_agent.filter(|text| text.len() <= KEPT_BYTES_MAX);
        Box::new(Self {
            client: asked.client.clone(),
            target: Target { scheme: *scheme, host: host.clone(), port: *port, path: kept_path.cloned() },
            user_agent: kept_agent.map(Into::into),
            who: asked.who.clone(),
            whole: kept_path.is_some() == path.is_some() && kept_agent.is_some() == user_agent.is_some(),
            route: connected.route().clone(),
            dialled: connected.dialled,
            first: Mutex::new(first.kept()),
        })
    }

    /// Of a tunnel from this client to this target, about which nothing else is known.
    #[cfg(test)]
    pub(super) fn nothing_but(client: SocketAddr, target: Target) -> Box<Self> {
        use crate::identity::Claim;
        Box::new(Self {
            client: Client::at(client),
            target,
            user_agent: None,
            who: Who::by(Claim::None, &Client::at(client), None, None),
            whole: true,
            route: Route::Direct,
            dialled: client,
            first: Mutex::new(First::Awaited(None)),
        })
    }

    fn first(&self) -> MutexGuard<'_, First> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the client's first bytes are held to by a policy that has judged the tunnel again.
    pub(super) fn terms(&self) -> Option<ContentTerms> {
        match &*self.first() {
            First::Awaited(terms) => terms.as_deref().cloned(),
            First::Request | First::Seen(_) | First::TooLong => None,
        }
    }

    /// Keeps what the client's first bytes were.
    pub(super) fn saw(&self, seen: FirstBytes) {
        *self.first() = First::Seen(seen).kept();
    }

    /// It, for the person at its client, as cut off now.
    pub(super) fn refused(&self, id: ExchangeId, (code, detail): (&'static str, Option<&str>)) -> refusals::Refused {
        let user_agent = self.user_agent.as_deref();
        refusals::Refused::new(id, &self.target, (403, code, detail), user_agent).cut_at(clock::now())
    }

    /// What findings have imposed on it.
    pub(super) fn restraint(&self, restraints: &Restraints) -> Restraint {
        let first = self.first();
        let hello = match &*first {
            First::Seen(FirstBytes::Tls(hello)) => Stage::Known(&**hello),
            First::Request | First::Awaited(_) | First::Seen(_) | First::TooLong => Stage::Never,
        };
        restraints.on(&self.client, &self.target.host, self.user_agent.as_deref(), hello)
    }

    /// Judges the exchange as if it were asked for now, and what it has become: the address it leads to,
    /// its way there, and what it carries.
    pub(super) fn judge(&self, edition: &Edition, dialler: &Dialler, gate: &Gate) -> Judged {
        let mut first = self.first();
        if !self.whole {
            return Judged::Cut(Ruling::not_kept(edition));
        }
        let hello = match &*first {
            First::Request => Stage::Never,
            First::Awaited(_) => Stage::NotYet,
            First::Seen(FirstBytes::Tls(hello)) => Stage::Known(&**hello),
            First::Seen(_) => Stage::Never,
            First::TooLong => return Judged::Cut(Ruling::not_kept(edition)),
        };
        let method = match self.target.scheme {
            Scheme::Http | Scheme::Https => "GET",
            Scheme::Tunnel => "CONNECT",
        };
        let user_agent = self.user_agent.as_deref();
        let who = match hello {
            Stage::Known(hello) => {
                let face = Face::of_hello(&self.who.claim, hello);
                &Who::by(self.who.claim.clone(), &self.client, user_agent, Some(face))
            }
            Stage::NotYet | Stage::Never => &self.who,
        };
        let standing = who.standing(&gate.standings, &self.target);
        // Those of the head that is gone were judged when it was there.
        let contradictions = self.who.grounds.contradictions();
        let restraint = gate.restraints.on(&self.client, &self.target.host, user_agent, hello);
        let (client, shown) = (&self.client, (standing, contradictions, restraint));
        match judge(&edition.policy, client, method, &self.target, user_agent, hello, shown) {
            Outcome::Needs(Need::Hello, _) => Judged::Waits,
            // The request that a rule asks for has gone by, and was judged where it was read.
            Outcome::Needs(Need::InnerRequest, _) => Judged::GoesOn(None, None),
            Outcome::Needs(Need::User, reason) => Judged::Cut(Ruling::of(edition, &Why::of_need(&reason), &reason)),
            Outcome::Decided(decision) => self.follow(edition, (dialler, &gate.limits), &mut first, &decision),
        }
    }

    fn follow(
        &self,
        edition: &Edition,
        (dialler, defaults): (&Dialler, &Limits),
        first: &mut First,
        decision: &Decision,
    ) -> Judged {
        let ruling = |why: &Why| Ruling::of(edition, why, &decision.reason);
        let Verdict::Allow(permit) = &decision.verdict else {
            return Judged::Cut(ruling(&Why::of_decision(decision)));
        };
        let would = decision.would.map(|would| Ruling { would: Some(would), ..ruling(&Why::of_decision(decision)) });
        let limits = Some(defaults.of_tunnel(permit.limits()));
        if *permit.route() != self.route {
            // What only observes cuts nothing but what the guard forbids, and that was judged on this way.
            return if edition.policy.observes_client(&self.client) {
                Judged::GoesOn(limits, would)
            } else {
                Judged::Cut(ruling(&Why::of_way()))
            };
        }
        if let Err(refused) = dialler.still_leads(permit, self.dialled) {
            return Judged::Cut(ruling(&Why::of_dial(&DialError::Refused(refused))));
        }
        match self.hold_to(permit, first) {
            Content::Passes => Judged::GoesOn(limits, would),
            Content::WouldEnd(broken) => {
                let breaks = Ruling { would: Some(VerdictKind::Deny), ..ruling(&Why::of_broken(broken)) };
                Judged::GoesOn(limits, would.or(Some(breaks)))
            }
            Content::Ends(broken) => Judged::Cut(ruling(&Why::of_broken(broken))),
        }
    }

    /// What the client's first bytes are by the new terms; where there are none yet, they will be held to
    /// these.
    fn hold_to(&self, permit: &Permit, first: &mut First) -> Content {
        match first {
            First::Awaited(terms) => {
                *terms = Some(Box::new(permit.content()));
                Content::Passes
            }
            First::Seen(seen) => permit.content().judge(seen),
            First::Request | First::TooLong => Content::Passes,
        }
    }
}

impl First {
    fn kept(self) -> Self {
        let bytes = |hello: &Hello| {
            let alpn: usize = hello.alpn.iter().map(|name| name.len()).sum();
            hello.sni.as_deref().map_or(0, str::len) + alpn
        };
        match self {
            Self::Seen(FirstBytes::Tls(hello)) if bytes(&hello) > KEPT_BYTES_MAX => Self::TooLong,
            first => first,
        }
    }
}

impl Ruling {
    fn of(edition: &Edition, why: &Why, reason: &Reason) -> Self {
        Self {
            would: None,
            code: why.code,
            detail: why.detail.clone(),
            rule: reason.rule.clone(),
            beside: reason.beside.clone(),
            policy: edition.policy.hash().into(),
        }
    }

    /// What could have been asked of it was too long.
    pub(super) fn not_kept(edition: &Edition) -> Self {
        let detail = format!("its User-Agent, path or hello is longer than the {KEPT_BYTES_MAX} bytes that are kept");
        let policy = edition.policy.hash().into();
        Self { would: None, code: "not_kept", detail: Some(detail), rule: None, beside: None, policy }
    }

    /// Whether it only says what would have happened.
    pub(super) fn observes(&self) -> bool {
        self.would.is_some()
    }

    /// Why, as a code and in words.
    pub(super) fn why(&self) -> (&'static str, Option<&str>) {
        (self.code, self.detail.as_deref())
    }

    pub(super) fn describe(&self, record: &mut Exchange) {
        match self.would {
            Some(would) => record.would = Some(would.as_str()),
            None => record.verdict = Some(VerdictKind::Deny.as_str()),
        }
        record.reason = Some(self.code.into());
        record.detail = self.detail.as_deref().map(Into::into);
        record.policy = Some((&*self.policy).into());
        describe_who_says(record, self.rule.as_deref(), self.beside.as_ref());
    }
}

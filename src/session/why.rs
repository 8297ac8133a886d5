//! Every refusal of the session by its code, and the one place that chooses its HTTP status.

use std::fmt::Write;

use crate::parse::Fault;
use crate::policy::{Broken, Code, Decision, Reason, VerdictKind};
use crate::tls::{CertificateFault, OriginFault};
use crate::upstream::{DialError, ParentFailure, ResolveError};

/// A refusal by its code, with what a person needs to act on it.
#[derive(Debug)]
pub(super) struct Why {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) detail: Option<String>,
    /// After how many seconds it is of use to ask again, where that is known.
    pub(super) retry_after: Option<u64>,
    /// What the client is asked to show: values of `Proxy-Authenticate`.
    pub(super) authenticate: Vec<String>,
}

impl Why {
    pub(super) fn new(status: u16, code: &'static str) -> Self {
        Self { status, code, detail: None, retry_after: None, authenticate: Vec::new() }
    }

    /// Bytes from the client that could be read in two ways, or in none.
    pub(super) fn of_fault(fault: Fault) -> Self {
        let status = match fault {
            Fault::HeadTooLong | Fault::TooManyFields => 431,
            Fault::BadExpect => 417,
            _ => 400,
        };
        Self { detail: Some(fault.to_string()), ..Self::new(status, fault.name()) }
    }

    /// The same from an origin.
    pub(super) fn of_origin_fault(fault: Fault) -> Self {
        Self { status: 502, ..Self::of_fault(fault) }
    }

    /// A decision that lets nothing out.
    pub(super) fn of_decision(decision: &Decision) -> Self {
        let code = match decision.verdict.kind() {
            VerdictKind::Challenge => "challenge_unavailable",
            VerdictKind::Allow | VerdictKind::Deny => decision.reason.code.as_str(),
        };
        let status = if decision.over.is_some() { 429 } else { 403 };
        let mut why = Self::new(status, code).of_rule(&decision.reason);
        if let Some(rate) = &decision.over {
            let _ = write!(why.detail.get_or_insert_default(), ": more than {rate}");
            why.retry_after = Some(rate.pause().as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX));
        }
        if decision.reason.code == Code::TraceShowsCredentials
            && let Some(detail) = &mut why.detail
        {
            detail.push_str(
                ": the answer would repeat what the rule's parent is shown; with resolve = \"gate\" it passes",
            );
        }
        why
    }

    fn of_rule(mut self, reason: &Reason) -> Self {
        self.detail = reason.rule.as_ref().map(ToString::to_string);
        if let Some(beside) = &reason.beside {
            let detail = self.detail.get_or_insert_default();
            let joint = if detail.is_empty() { "" } else { "; " };
            let _ = write!(detail, "{joint}the other layer says {beside}");
        }
        self
    }

    /// The same with the rule that wants to know, where nothing else is said.
    pub(super) fn with_rule(self, reason: &Reason) -> Self {
        if self.detail.is_some() { self } else { self.of_rule(reason) }
    }

    /// A fact that this gate cannot learn, and the rule that waits for it.
    pub(super) fn of_need(reason: &Reason) -> Self {
        Self::new(403, reason.code.as_str()).of_rule(reason)
    }

    /// What the first bytes of a tunnel break.
    pub(super) fn of_broken(broken: Broken) -> Self {
        Self { detail: broken.detail, ..Self::new(403, broken.code) }
    }

    /// A later policy leads it by another way than the one that it took.
    pub(super) fn of_way() -> Self {
        let detail =
            "the policy in force leads it by another way: through another parent, through one, or through none";
        Self { detail: Some(detail.to_owned()), ..Self::new(403, "way_changed") }
    }

    /// The gate of this name has passed the request on before.
    pub(super) fn of_loop(name: &str) -> Self {
        let detail = format!(
            "Via names this gate, {name}: the request has come back, or another gate of the chain has the same [gate] name"
        );
        Self { detail: Some(detail), ..Self::new(502, "loop_detected") }
    }

    /// So many large heads are held that there is no room for another.
    pub(super) fn head_room() -> Self {
        let detail = "too many large heads at the same time: see heads_mib_max".to_owned();
        Self { detail: Some(detail), ..Self::new(503, "gate_exhausted") }
    }

    /// The journal takes no records.
    pub(super) fn evidence() -> Self {
        Self::new(503, "evidence_unavailable")
    }

    pub(super) fn of_dial(error: &DialError) -> Self {
        let (status, code) = match error {
            DialError::Refused(_) => (403, "guard_address"),
            DialError::Resolve(ResolveError::Exhausted(_)) | DialError::Exhausted(_) => (503, "gate_exhausted"),
            DialError::Resolve(_) => (502, "dns_failed"),
            DialError::Connect { .. } => (502, "connect_failed"),
            DialError::Timeout(_) => (504, "connect_timeout"),
            DialError::Tls(OriginFault::Certificate(CertificateFault::ClientCertificateRequired)) => {
                (403, "client_cert_required")
            }
            DialError::Tls(OriginFault::Certificate(fault)) => (502, fault.as_str()),
            DialError::Tls(OriginFault::Tls(_) | OriginFault::Io(_)) => (502, "tls_failed"),
            DialError::NoTls => (503, "inspection_unavailable"),
            DialError::Parent { failure, .. } => match failure {
                ParentFailure::Forbidden(_) => (403, "guard_address"),
                ParentFailure::Unresolved(_) | ParentFailure::Unreachable { .. } => (502, "parent_unreachable"),
                ParentFailure::Timeout(_) => (504, "parent_timeout"),
                ParentFailure::CannotReach { status: 504 } => (504, "parent_cannot_reach"),
                ParentFailure::CannotReach { .. } => (502, "parent_cannot_reach"),
                ParentFailure::Refused { .. } => (502, "parent_refused"),
                ParentFailure::Unauthorised => (502, "parent_auth_failed"),
                ParentFailure::BadAnswer(_) | ParentFailure::NoAnswer => (502, "parent_bad_answer"),
            },
        };
        let mut detail = error.to_string();
        if code == "client_cert_required" {
            detail
                .push_str("; a rule above that names this host with inspect = false lets it through, not looked into");
        }
        Self { detail: Some(detail), ..Self::new(status, code) }
    }
}

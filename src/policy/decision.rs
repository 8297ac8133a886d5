use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::facts::{Breakglass, Host, Scheme, Target, Timestamp};

use super::content::ContentTerms;
use super::parents::Route;

/// What `decide` says of an exchange.
#[derive(Debug)]
pub enum Outcome {
    Decided(Decision),
    /// The first rule that may match waits for this fact, and nothing is dialled meanwhile. The reason
    /// names that rule, for a refusal where the fact cannot be learnt.
    Needs(Need, Reason),
}

/// A fact that comes later than the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The TLS ClientHello inside the tunnel.
    Hello,
    /// The first request inside the tunnel.
    InnerRequest,
    /// Who the user is.
    User,
}

/// A verdict with all that a person or the session needs to act on it.
#[derive(Debug)]
pub struct Decision {
    pub verdict: Verdict,
    /// In observe mode: what would have happened.
    pub would: Option<VerdictKind>,
    pub handling: Handling,
    pub reason: Reason,
}

/// Whether the exchange may leave. `Allow` carries the only key to a dial.
#[derive(Debug)]
pub enum Verdict {
    Allow(Permit),
    Challenge,
    Deny,
}

/// A verdict without its permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictKind {
    Allow,
    Challenge,
    Deny,
}

/// How an allowed exchange is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    Forward,
    Tunnel,
}

/// Why, in words for a program and for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub code: Code,
    /// The rule that decided, that waits, or that came nearest.
    pub rule: Option<Arc<RuleRef>>,
}

/// A rule by name and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRef {
    pub name: Box<str>,
    pub file: Arc<str>,
    pub line: u32,
    /// What it lets out may pass under a breakglass.
    pub essential: bool,
}

/// The closed list of reasons a policy gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A rule matched.
    Rule,
    /// No rule names the target.
    NoRule,
    /// A rule names the target, but not this port.
    PortNotOpened,
    /// The guard: a name that must never be a target.
    GuardName,
    /// The guard: the request would come back to the client with the credentials that the rule's parent
    /// is shown.
    TraceShowsCredentials,
    /// The client is cut off.
    Isolated,
    /// The rule waits for the ClientHello.
    NeedsHello,
    /// The rule waits for a request inside the tunnel.
    NeedsInnerRequest,
    /// The rule waits for the user's name.
    NeedsUser,
}

/// Leave to reach one host and port, once. It cannot be copied, and the dial takes it:
///
/// ```compile_fail,E0599
/// fn twice(permit: sekisho::policy::Permit) -> [sekisho::policy::Permit; 2] {
///     [permit.clone(), permit]
/// }
/// ```
///
/// ```compile_fail,E0382
/// async fn twice(dialler: &sekisho::upstream::Dialler, permit: sekisho::policy::Permit) {
///     let _ = dialler.dial(permit).await;
///     let _ = dialler.dial(permit).await;
/// }
/// ```
///
/// Nothing but a decision makes one:
///
/// ```compile_fail,E0277
/// let permit: sekisho::policy::Permit = Default::default();
/// ```
///
/// ```compile_fail,E0624
/// let make = sekisho::policy::Permit::new;
/// ```
#[derive(Debug)]
pub struct Permit {
    scheme: Scheme,
    host: Host,
    port: u16,
    route: Route,
    opened: Arc<[IpNet]>,
    limits: TunnelLimits,
    any_protocol: bool,
    any_sni: bool,
    observed: bool,
    essential: bool,
}

/// How long a tunnel may live. Absent means the gate's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TunnelLimits {
    pub idle: Option<Duration>,
    pub lifetime: Option<Duration>,
}

impl Permit {
    pub(super) fn new(target: &Target, rule: PermitTerms) -> Self {
        Self {
            scheme: target.scheme,
            host: target.host.clone(),
            port: target.port,
            route: rule.route,
            opened: rule.opened,
            limits: rule.limits,
            any_protocol: rule.any_protocol,
            any_sni: rule.any_sni,
            observed: rule.observed,
            essential: rule.essential,
        }
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The only way by which the host may be reached.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Special-purpose prefixes that the rule opens.
    pub fn opened(&self) -> &[IpNet] {
        &self.opened
    }

    pub fn limits(&self) -> TunnelLimits {
        self.limits
    }

    /// What the tunnel may carry, to be kept when the permit is spent.
    pub fn content(&self) -> ContentTerms {
        ContentTerms::of(self)
    }

    /// Whether it may be spent though the journal takes no record: its rule is marked `essential`, and a
    /// person has broken the glass. A short record in the reserve must come first all the same.
    pub fn passes_on_reserve(&self, breakglass: Option<&Breakglass>, now: Timestamp) -> bool {
        self.essential && breakglass.is_some_and(|breakglass| breakglass.holds(now))
    }

    /// The tunnel may carry something other than TLS.
    pub(super) fn any_protocol(&self) -> bool {
        self.any_protocol
    }

    /// The SNI may differ from the CONNECT host.
    pub(super) fn any_sni(&self) -> bool {
        self.any_sni
    }

    /// The policy only observes: what the tunnel carries against these terms is recorded, and passes.
    pub(super) fn observed(&self) -> bool {
        self.observed
    }
}

/// What a rule says of the exchanges it lets out.
#[derive(Debug, Clone)]
pub(super) struct PermitTerms {
    pub(super) route: Route,
    pub(super) opened: Arc<[IpNet]>,
    pub(super) limits: TunnelLimits,
    pub(super) any_protocol: bool,
    pub(super) any_sni: bool,
    /// The policy only observes: what the tunnel carries is recorded, not enforced.
    pub(super) observed: bool,
    pub(super) essential: bool,
}

impl PermitTerms {
    /// For what no rule lets out, and passes all the same: it goes directly, and nothing is opened to it.
    pub(super) fn of_no_rule() -> Self {
        Self {
            route: Route::Direct,
            opened: Arc::default(),
            limits: TunnelLimits::default(),
            any_protocol: false,
            any_sni: false,
            observed: false,
            essential: false,
        }
    }
}

impl Verdict {
    pub fn kind(&self) -> VerdictKind {
        match self {
            Verdict::Allow(_) => VerdictKind::Allow,
            Verdict::Challenge => VerdictKind::Challenge,
            Verdict::Deny => VerdictKind::Deny,
        }
    }
}

impl VerdictKind {
    /// The word used in policies and records.
    pub fn as_str(self) -> &'static str {
        match self {
            VerdictKind::Allow => "allow",
            VerdictKind::Challenge => "challenge",
            VerdictKind::Deny => "deny",
        }
    }
}

impl Need {
    /// What to say where it cannot be met.
    pub(super) fn code(self) -> Code {
        match self {
            Need::Hello => Code::NeedsHello,
            Need::InnerRequest => Code::NeedsInnerRequest,
            Need::User => Code::NeedsUser,
        }
    }
}

impl Code {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Rule => "rule",
            Code::NoRule => "no_rule",
            Code::PortNotOpened => "port_not_opened",
            Code::GuardName => "guard_name",
            Code::TraceShowsCredentials => "trace_shows_credentials",
            Code::Isolated => "isolated",
            Code::NeedsHello => "hello_unavailable",
            Code::NeedsInnerRequest => "inspection_unavailable",
            Code::NeedsUser => "authentication_unavailable",
        }
    }
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.name, self.file, self.line)
    }
}

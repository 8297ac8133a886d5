use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::facts::{Breakglass, Host, Scheme, Target, Timestamp};

use super::content::ContentTerms;
use super::parents::Route;
use super::set_fields::SetField;
use super::tenant::TenantField;

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
    /// The rate beyond which it is, where that is the reason.
    pub over: Option<Arc<Rate>>,
}

/// Whether the exchange may leave. `Allow` carries the only key to a dial.
#[derive(Debug)]
pub enum Verdict {
    Allow(Permit),
    Challenge,
    Deny,
}

/// A verdict without its permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VerdictKind {
    // In the order of strictness.
    Allow,
    Challenge,
    Deny,
}

/// How an allowed exchange is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    Forward,
    Tunnel,
    /// A tunnel whose TLS the gate ends, to judge each request in it.
    Inspect,
}

/// Why, in words for a program and for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub code: Code,
    /// The rule that decided, that waits, or that came nearest.
    pub rule: Option<Arc<RuleRef>>,
    /// What the policy's other layer says, where it has two.
    pub beside: Option<Beside>,
}

impl Reason {
    /// Whether a challenge is met only by a person, for this very target: its rule says so, or a finding does.
    pub fn needs_person(&self) -> bool {
        self.code == Code::Finding || self.rule.as_ref().is_some_and(|rule| rule.notes.needs_person)
    }
}

/// The word of the layer that was not the strictest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    pub verdict: VerdictKind,
    pub code: Code,
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
    pub notes: Notes,
}

/// What a rule says of itself to people; nothing is judged by it but `until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notes {
    pub requested_by: Option<Box<str>>,
    pub ticket: Option<Box<str>>,
    pub comment: Option<Box<str>>,
    /// The last day on which it holds.
    pub until: Option<Box<str>>,
    /// The hours at which it holds, as the policy writes them.
    pub hours: Option<Box<str>>,
    /// A challenge by it is met by a person, at a page: it is `fresh` or asks to `confirm`.
    pub needs_person: bool,
    /// A browser without scripts may wait instead.
    pub no_script: bool,
}

/// How often what a rule lets out may be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rate {
    /// The place of the rule whose count this is.
    pub file: Arc<str>,
    pub line: u32,
    /// So many at once, and after that no more than as many in each `over`; at least one.
    pub requests: u32,
    pub over: Duration,
    pub per: RatePer,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RatePer {
    Client,
    ClientHost,
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
    /// A rule names the target, and servers would not agree on which path the request asks for.
    PathAmbiguous,
    /// It was challenged, and does not claim to be a browser: only a rule that allows it lets it out.
    NotABrowser,
    /// It claims to be a browser, and what it shows contradicts that in two groups.
    Mimic,
    /// A finding about the exchange denies it, or asks for a challenge.
    Finding,
    /// The client has asked for more than the rule's `rate`.
    RateLimited,
    /// It did not come to the proxy, but was captured on its way past it, and no rule lets such out.
    BypassedProxy,
    /// Only what essential rules let out passes.
    Lockdown,
    /// The client is cut off.
    Isolated,
    /// The rule waits for the ClientHello.
    NeedsHello,
    /// The rule waits for a request inside the tunnel.
    NeedsInnerRequest,
    /// The rule waits for the user's name.
    NeedsUser,
}

impl Decision {
    /// The same where the client has already asked for more than this rate of it: it is denied, or, where the
    /// policy only observes, would be. The reason names the rule whose rate it is.
    pub fn over(self, rate: &Arc<Rate>) -> Self {
        let Verdict::Allow(permit) = self.verdict else { return self };
        let (reason, over) = (self.reason.over(rate), Some(rate.clone()));
        match permit.observed() {
            true => Self { would: Some(VerdictKind::Deny), verdict: Verdict::Allow(permit), reason, over, ..self },
            false => Self { would: None, verdict: Verdict::Deny, reason, over, ..self },
        }
    }

    /// The counts that it must be within, if it passes; where there are two, within both.
    pub fn rates(&self) -> impl Iterator<Item = &Arc<Rate>> {
        let permit = match &self.verdict {
            Verdict::Allow(permit) => Some(permit),
            Verdict::Challenge | Verdict::Deny => None,
        };
        permit.into_iter().flat_map(Permit::rates)
    }
}

impl Reason {
    fn over(self, rate: &Rate) -> Self {
        let is_its = |rule: &Option<Arc<RuleRef>>| rule.as_ref().is_some_and(|rule| rate.is_of(rule));
        match self.beside {
            Some(beside) if is_its(&beside.rule) && !is_its(&self.rule) => Self {
                code: Code::RateLimited,
                rule: beside.rule,
                beside: Some(Beside { verdict: VerdictKind::Allow, code: self.code, rule: self.rule }),
            },
            beside => Self { code: Code::RateLimited, rule: self.rule, beside },
        }
    }
}

impl Rate {
    /// After how long whoever is beyond it may ask once more: each request comes back after its share of the time.
    pub fn pause(&self) -> Duration {
        self.over / self.requests.max(1)
    }

    fn is_of(&self, rule: &RuleRef) -> bool {
        self.line == rule.line && self.file == rule.file
    }
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
    terms: Terms,
}

/// How long a tunnel may live and what it may carry. Absent means the gate's default time, and any number of
/// bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TunnelLimits {
    pub idle: Option<Duration>,
    pub lifetime: Option<Duration>,
    pub upload_bytes: Option<u64>,
    pub download_bytes: Option<u64>,
}

impl Permit {
    pub(super) fn new(target: &Target, terms: Terms) -> Self {
        Self { scheme: target.scheme, host: target.host.clone(), port: target.port, terms }
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

    /// The only way by which the host may be reached: the site's, or the base's where the site names none.
    pub fn route(&self) -> &Route {
        self.terms.route()
    }

    /// Special-purpose prefixes that are opened; where two rules let it out, by both.
    pub fn opened(&self) -> Cow<'_, [IpNet]> {
        self.terms.opened()
    }

    pub fn limits(&self) -> TunnelLimits {
        self.terms.each().fold(TunnelLimits::default(), |limits, terms| limits.and(terms.limits))
    }

    /// The fields that are set in a request to its host: a base's first, which a site's of the same name do not change.
    pub fn set_fields(&self) -> Vec<SetField> {
        fields_set_at(&self.host, self.terms.each())
    }

    /// The counts that it must be within; where there are two, within both.
    pub fn rates(&self) -> impl Iterator<Item = &Arc<Rate>> {
        self.terms.each().filter_map(|terms| terms.rate.as_ref())
    }

    /// What the tunnel may carry, to be kept when the permit is spent.
    pub fn content(&self) -> ContentTerms {
        ContentTerms::of(self)
    }

    /// Whether it may be spent though the journal takes no record: its rule is marked `essential`, and a
    /// person has broken the glass. A short record in the reserve must come first all the same.
    pub fn passes_on_reserve(&self, breakglass: Option<&Breakglass>, now: Timestamp) -> bool {
        self.terms.is_essential() && breakglass.is_some_and(|breakglass| breakglass.holds(now))
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The policy only observes: what is against the terms is recorded, and passes.
    pub fn observed(&self) -> bool {
        self.terms.observed
    }
}

/// The fields that rules of these terms set in a request to this host; of two of one name the first.
pub(super) fn fields_set_at<'t>(host: &Host, terms: impl Iterator<Item = &'t PermitTerms>) -> Vec<SetField> {
    let mut all: Vec<SetField> = Vec::new();
    for terms in terms {
        let tenant = terms.tenant.iter().filter_map(|field| field.at(host));
        for field in terms.set_fields.iter().chain(tenant) {
            if !all.iter().any(|other| other.name.eq_ignore_ascii_case(&field.name)) {
                all.push(field.clone());
            }
        }
    }
    all
}

/// What a rule says of the exchanges it lets out.
#[derive(Debug, Clone)]
pub(super) struct PermitTerms {
    pub(super) route: Route,
    pub(super) opened: Arc<[IpNet]>,
    pub(super) limits: TunnelLimits,
    /// The tunnel may carry something other than TLS.
    pub(super) any_protocol: bool,
    /// The SNI may differ from the CONNECT host.
    pub(super) any_sni: bool,
    /// A ClientHello with Encrypted Client Hello ends the tunnel.
    pub(super) ech_denied: bool,
    /// Whether the gate looks inside; absent where the rule does not say.
    pub(super) inspect: Option<bool>,
    /// A challenge must be met for this very target, by a person.
    pub(super) fresh: bool,
    /// A person must say on a page that this target is meant.
    pub(super) confirm: bool,
    /// The page lets a browser wait that runs no scripts.
    pub(super) no_script: bool,
    pub(super) rate: Option<Arc<Rate>>,
    pub(super) set_fields: Arc<[SetField]>,
    /// What is set besides, at the hosts that read it.
    pub(super) tenant: Arc<[TenantField]>,
    pub(super) essential: bool,
}

/// The terms of the rules that let an exchange out: one of each layer whose rules name the target. All of
/// them hold; what one does not open is not open. What no rule lets out, and passes all the same, goes
/// directly, and nothing is opened to it.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) base: Option<Arc<PermitTerms>>,
    pub(super) site: Option<Arc<PermitTerms>>,
    /// There is a base, whether one of its rules names the target or not.
    pub(super) layered: bool,
    /// The policy only observes: what the tunnel carries is recorded, not enforced.
    pub(super) observed: bool,
}

impl Terms {
    pub(super) fn of_no_rule() -> Self {
        Self { base: None, site: None, layered: false, observed: false }
    }

    fn each(&self) -> impl Iterator<Item = &PermitTerms> {
        self.base.iter().chain(&self.site).map(|terms| &**terms)
    }

    /// Whether each layer has a rule that opens this.
    fn all(&self, opens: fn(&PermitTerms) -> bool) -> bool {
        let site = self.site.as_ref().is_some_and(|terms| opens(terms));
        site && (!self.layered || self.base.as_ref().is_some_and(|terms| opens(terms)))
    }

    pub(super) fn any_protocol(&self) -> bool {
        self.all(|terms| terms.any_protocol)
    }

    pub(super) fn any_sni(&self) -> bool {
        self.all(|terms| terms.any_sni)
    }

    pub(super) fn ech_denied(&self) -> bool {
        self.each().any(|terms| terms.ech_denied)
    }

    /// A layer whose rules do not name the target says nothing of what is essential.
    pub(super) fn is_essential(&self) -> bool {
        self.each().next().is_some() && self.each().all(|terms| terms.essential)
    }

    /// Not to look inside is a promise to people: who makes it is not overruled.
    pub(super) fn inspects(&self) -> bool {
        self.each().any(|terms| terms.inspect == Some(true)) && self.each().all(|terms| terms.inspect != Some(false))
    }

    pub(super) fn route(&self) -> &Route {
        let parent = |terms: &&PermitTerms| matches!(terms.route, Route::Parent { .. });
        let site = self.site.as_deref().filter(parent);
        site.or(self.base.as_deref().filter(parent)).map_or(&Route::Direct, |terms| &terms.route)
    }

    fn opened(&self) -> Cow<'_, [IpNet]> {
        let site = self.site.as_ref().map_or(&[][..], |terms| &terms.opened);
        if !self.layered || site.is_empty() {
            return site.into();
        }
        let base = self.base.as_ref().map_or(&[][..], |terms| &terms.opened);
        let smaller = |a: &IpNet, b: &IpNet| match (a.contains(b), b.contains(a)) {
            (true, _) => Some(*b),
            (_, true) => Some(*a),
            (false, false) => None,
        };
        base.iter().flat_map(|a| site.iter().filter_map(move |b| smaller(a, b))).collect()
    }
}

impl TunnelLimits {
    /// The smaller of each.
    fn and(self, other: Self) -> Self {
        fn smaller<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            }
        }
        Self {
            idle: smaller(self.idle, other.idle),
            lifetime: smaller(self.lifetime, other.lifetime),
            upload_bytes: smaller(self.upload_bytes, other.upload_bytes),
            download_bytes: smaller(self.download_bytes, other.download_bytes),
        }
    }
}

/// As a limit, to follow "more than".
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.per {
            RatePer::Client => "by one client",
            RatePer::ClientHost => "by one client to one host",
        };
        write!(f, "{} requests in {} s {whose}", self.requests, self.over.as_secs())
    }
}

impl RatePer {
    /// The word used in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            RatePer::Client => "client",
            RatePer::ClientHost => "client_host",
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
            Code::PathAmbiguous => "path_ambiguous",
            Code::NotABrowser => "not_a_browser",
            Code::Mimic => "mimic",
            Code::Finding => "finding",
            Code::RateLimited => "rate_limited",
            Code::BypassedProxy => "bypassed_proxy",
            Code::Lockdown => "lockdown",
            Code::Isolated => "isolated",
            Code::NeedsHello => "hello_unavailable",
            Code::NeedsInnerRequest => "inspection_unavailable",
            Code::NeedsUser => "authentication_unavailable",
        }
    }
}

impl Handling {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Handling::Forward => "forward",
            Handling::Tunnel => "tunnel",
            Handling::Inspect => "inspect",
        }
    }
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.verdict.as_str())?;
        match &self.rule {
            Some(rule) => rule.fmt(f),
            None => f.write_str(self.code.as_str()),
        }
    }
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.name, self.file, self.line)
    }
}

use std::net::{IpAddr, SocketAddr};

use crate::evidence::{Event, RecordLine, format_time, shown};
use crate::facts::{
    Client, Contradictions, Facts, Hello, HelloTraits, Host, Path, Program, Restraint, Scheme, Stage, Standing, Target,
    Timestamp, TlsVersion, User,
};
use crate::identity::{Ground, Grounds};
use crate::policy::{Code, Outcome, Policy, decide};

/// What was asked for, rebuilt from the first record of an exchange.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) time: Timestamp,
    pub(super) client: Client,
    pub(super) method: Box<str>,
    pub(super) target: Target,
    user_agent: Option<Box<str>>,
    standing: Standing,
    contradictions: Contradictions,
}

impl Asked {
    /// `None` where the record does not hold all that a judgement begins with, or holds it cut.
    pub(super) fn read(record: &RecordLine<'_>) -> Option<Self> {
        let address: IpAddr = record.client.as_deref()?.parse().ok()?;
        let scheme = match record.scheme.as_deref()? {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "tunnel" => Scheme::Tunnel,
            _ => return None,
        };
        let path = match (scheme, record.path.as_deref()) {
            (Scheme::Tunnel, _) => None,
            (Scheme::Http | Scheme::Https, Some("*")) => Some(Path::asterisk()),
            (Scheme::Http | Scheme::Https, Some(path)) => Some(read_path(path, record.query.as_deref())?),
            (Scheme::Http | Scheme::Https, None) => return None,
        };
        let host = Host::parse(record.host.as_deref()?.as_bytes()).ok()?;
        let captured = record.captured.as_deref().map(|address| address.parse().ok());
        Some(Self {
            time: record.time,
            client: Client {
                address: SocketAddr::new(address, 0),
                user: record.user.as_deref().map(user),
                captured: captured.flatten(),
            },
            method: match (record.method.as_deref(), captured) {
                (Some(method), _) => method.into(),
                // TLS that was captured is judged as the CONNECT that its client did not send.
                (None, Some(_)) if scheme == Scheme::Tunnel => "CONNECT".into(),
                (None, _) => return None,
            },
            target: Target { scheme, host, port: record.port?, path },
            user_agent: record.user_agent.as_deref().map(Into::into),
            standing: match (record.standing.as_deref(), record.reason.as_deref()) {
                // What it had shown for this target alone is not on record.
                (Some("cleared"), _) => Standing::Cleared { afresh: false, confirmed: false },
                (_, Some("not_a_browser")) => Standing::NoBrowser,
                (_, _) => Standing::Uncleared,
            },
            contradictions: record
                .grounds
                .iter()
                .filter_map(|ground| Ground::of(ground))
                .collect::<Grounds>()
                .contradictions(),
        })
    }

    /// Judges it as the gate would have at the time, with what the tunnel has shown. The only place that
    /// makes facts of a record.
    ///
    /// A User-Agent that was not UTF-8 is compared as the Latin-1 text that the record keeps of it, and a path
    /// without its query, where the record has none.
    pub(super) fn judge(&self, policy: &Policy, hello: Stage<&Hello>) -> Outcome {
        let (hello, inner) = match self.target.scheme {
            Scheme::Http => (Stage::Never, Stage::Never),
            // Its tunnel has shown a hello, or had none.
            Scheme::Https => (hello, Stage::Never),
            Scheme::Tunnel => (hello, Stage::NotYet),
        };
        decide(
            policy,
            &Facts {
                now: self.time,
                client: &self.client,
                method: &self.method,
                target: &self.target,
                program: Program { user_agent: self.user_agent.as_deref().map(str::as_bytes) },
                hello,
                inner,
                standing: self.standing,
                contradictions: self.contradictions,
                restraint: Restraint::NONE,
            },
        )
    }

    pub(super) fn address(&self) -> IpAddr {
        self.client.address.ip()
    }

    /// The exchange in one line for a person, bounded.
    pub(super) fn in_words(&self) -> String {
        let unicode = self.target.host.to_unicode().map_or(String::new(), |name| format!(" ({name})"));
        let line = format!("{} {} {} {}{unicode}", format_time(self.time), self.address(), self.method, self.target);
        let end = line.floor_char_boundary(EXAMPLE_BYTES_MAX);
        let cut = if end < line.len() { "…" } else { "" };
        format!("{}{cut}", shown(line.get(..end).unwrap_or_default()))
    }
}

/// Records hold a user's name, and not the groups it was in.
fn user(name: &str) -> User {
    User { name: name.into(), groups: Box::default() }
}

/// Enough for most URLs on one line.
const EXAMPLE_BYTES_MAX: usize = 240;

fn read_path(path: &str, query: Option<&str>) -> Option<Path> {
    match query {
        Some(query) => Path::parse(format!("{path}?{query}").as_bytes()),
        None => Path::parse(path.as_bytes()),
    }
}

/// What a record shows of the first bytes of a tunnel.
pub(super) enum Shown {
    Hello(Box<Hello>),
    /// They are no ClientHello.
    Other,
    Nothing,
}

impl Shown {
    pub(super) fn read(record: &RecordLine<'_>) -> Self {
        match (record.ja4.as_deref(), record.carries.as_deref()) {
            (Some(ja4), _) => Self::Hello(Box::new(Hello {
                traits: HelloTraits::NONE,
                sni: record.sni.as_deref().map(Into::into),
                alpn: Vec::new(),
                ja4: ja4.into(),
                stable_key: record.tls_key.as_deref().unwrap_or_default().into(),
                ech: record.ech.unwrap_or_default(),
                version: version_of(ja4),
            })),
            (None, Some(_)) => Self::Other,
            (None, None) => Self::Nothing,
        }
    }

    pub(super) fn stage(&self) -> Stage<&Hello> {
        match self {
            Self::Hello(hello) => Stage::Known(hello),
            Self::Other => Stage::Never,
            Self::Nothing => Stage::NotYet,
        }
    }
}

/// The version that a JA4 begins with, behind its letter for TCP.
fn version_of(ja4: &str) -> TlsVersion {
    match ja4.get(1..3) {
        Some("10") => TlsVersion::Tls10,
        Some("11") => TlsVersion::Tls11,
        Some("12") => TlsVersion::Tls12,
        Some("s3") => TlsVersion::Ssl30,
        _ => TlsVersion::Tls13,
    }
}

/// What an exchange came to, so far as a policy says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Came {
    Allow,
    Challenge,
    Deny,
    /// To a tunnel whose first request is read, and judged by itself.
    InnerRequest,
}

impl Came {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Came::Allow => "allow",
            Came::Challenge => "challenge",
            Came::Deny => "deny",
            Came::InnerRequest => "inner_request",
        }
    }

    fn read(word: &str) -> Option<Self> {
        [Came::Allow, Came::Challenge, Came::Deny].into_iter().find(|came| came.as_str() == word)
    }
}

/// What a record of an exchange is to who asks what the policy said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standpoint {
    /// It tells what the policy said; in observe mode, what it would have done.
    Judged(Came),
    /// The gate refused it by itself, a person had a hand in it, or it was more than a rate lets through, which no
    /// single record tells: no policy is held to that.
    NotByPolicy,
    /// It tells what came later of an exchange that was judged before.
    Later,
}

/// Reasons of refusals that are verdicts of a policy. All others are the gate's own.
const OF_POLICY: [Code; 12] = [
    Code::Rule,
    Code::NoRule,
    Code::PortNotOpened,
    Code::GuardName,
    Code::TraceShowsCredentials,
    Code::NeedsHello,
    Code::NeedsInnerRequest,
    Code::NeedsUser,
    Code::PathAmbiguous,
    Code::NotABrowser,
    Code::Mimic,
    Code::BypassedProxy,
];

pub(super) fn standpoint(record: &RecordLine<'_>) -> Standpoint {
    let verdict = record.would.as_deref().or(record.verdict.as_deref()).and_then(Came::read);
    let reason = record.reason.as_deref().unwrap_or_default();
    match record.event {
        None | Some(Event::Waiting | Event::Established | Event::FirstBytes | Event::Close) => Standpoint::Later,
        Some(Event::Open | Event::Answered) if record.breakglass == Some(true) => Standpoint::NotByPolicy,
        Some(Event::Open | Event::Answered) if reason == Code::RateLimited.as_str() => Standpoint::NotByPolicy,
        Some(Event::Open | Event::Answered) => match verdict {
            Some(came) => Standpoint::Judged(came),
            None if reason == "needs_inner_request" => Standpoint::Judged(Came::InnerRequest),
            None => Standpoint::NotByPolicy,
        },
        Some(Event::Refused) => match verdict {
            Some(Came::Challenge) => Standpoint::Judged(Came::Challenge),
            Some(came) if OF_POLICY.iter().any(|code| code.as_str() == reason) => Standpoint::Judged(came),
            Some(_) | None => Standpoint::NotByPolicy,
        },
    }
}

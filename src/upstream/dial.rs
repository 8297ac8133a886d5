use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::net::TcpStream;

use crate::facts::{Host, Scheme};
use crate::http2::{Bounds, Client};
use crate::parse::HeadLimits;
use crate::policy::{
    AddressRefused, CheckedAddress, OwnEndpoints, Parent, Permit, ResolvedBy, Route, judge_left_to_parent,
    judge_parent, judge_target,
};
use crate::tls::{Offered, OriginFault, OriginTls, Rewound, Stream};

use super::credentials::Credentials;
use super::failure::{DialError, DialFailed};
use super::parent::{Passing, Uplink};
use super::pool::{Idle, Pool, Shared, Way, is_quiet};
use super::race::race;
use super::resolve::ResolveError;
use super::resolvers::Resolvers;

/// Gets connections to origins for permits: new ones, or ones that an earlier exchange left. Each leads
/// by the route of its permit and by no other.
pub struct Dialler {
    resolvers: Resolvers,
    own: Arc<OwnEndpoints>,
    limits: DialLimits,
    secured: Option<OriginTls>,
    pool: Mutex<Pool>,
}

/// Bounds on what a dial may take.
#[derive(Debug, Clone, Copy)]
pub struct DialLimits {
    /// For all attempts together, those of a parent included; DNS is not counted.
    pub connect_timeout: Duration,
    /// On what a parent answers, which is held to 8 KiB too, and an origin in HTTP/2.
    pub head: HeadLimits,
    /// Without a step of an origin in HTTP/2 that is waited for.
    pub stall: Duration,
}

/// A connection to an origin, and how it came about.
#[derive(Debug)]
pub struct Connected {
    pub stream: Stream,
    /// What it was dialled for; nothing else is asked of it.
    way: Way,
    /// The address that was judged: dialled by the gate, or asked of a parent. The parent's own where
    /// that one resolves.
    pub dialled: SocketAddr,
    /// How a plain request is written on it.
    pub form: RequestForm,
    /// What the origin sent before it was asked anything, and a parent passed on behind its answer.
    pub early: BytesMut,
    /// Every address DNS gave; empty for an address literal and for a connection used before.
    pub answers: Arc<[IpAddr]>,
    /// Those of them that the guard refused.
    pub refused: Vec<IpAddr>,
    pub timings: Timings,
    /// An exchange before this one has used it.
    pub reused: bool,
    /// It has authenticated a client (NTLM, Negotiate): once set, it is kept for no other.
    pub vouched: bool,
    born: Instant,
}

/// How a plain request is written on a connection.
#[derive(Debug, Clone)]
pub enum RequestForm {
    /// The path alone, as for an origin (RFC 9112 §3.2.1): it stands at the other end.
    Origin,
    /// The whole URL (RFC 9112 §3.2.2), for a parent that finds the origin itself.
    Absolute {
        parent: Arc<Parent>,
        /// What each request shows the parent.
        credentials: Option<Credentials>,
    },
}

/// How long the parts of a dial took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timings {
    pub dns: Duration,
    pub connect: Duration,
}

/// What a new connection speaks.
enum Spoken {
    Http1 { stream: Stream, early: BytesMut },
    Http2(Client),
}

/// Where a dial has got to.
struct Reached {
    stream: TcpStream,
    dialled: SocketAddr,
    early: BytesMut,
    refused: Vec<IpAddr>,
}

impl Connected {
    /// What an earlier exchange has left, or others use at the same time.
    fn again((stream, dialled, born): (Stream, SocketAddr, Instant), way: Way, form: RequestForm) -> Self {
        Self {
            stream,
            way,
            dialled,
            form,
            early: BytesMut::new(),
            answers: Arc::default(),
            refused: Vec::new(),
            timings: Timings::default(),
            reused: true,
            vouched: false,
            born,
        }
    }

    /// By which route it leads.
    pub fn route(&self) -> &Route {
        self.way.route()
    }

    /// Whether it is one of the streams of a connection, which may end before its origin has seen the request.
    pub fn is_stream(&self) -> bool {
        matches!(self.stream, Stream::Piped(_))
    }
}

impl Dialler {
    /// `secured` is how TLS with origins is spoken; without it what is inside TLS is not asked for.
    pub fn new(resolvers: Resolvers, own: Arc<OwnEndpoints>, limits: DialLimits, secured: Option<OriginTls>) -> Self {
        Self { resolvers, own, limits, secured, pool: Mutex::default() }
    }

    /// Spends a permit on a connection that an earlier exchange left for the same host, port and route,
    /// if the same was shown to a parent on it, its address is still allowed by this permit and the other side has kept it open. `idle_max`
    /// bounds how long it may have lain there.
    ///
    /// # Errors
    /// The permit comes back when there is no such connection.
    pub fn reuse(&self, permit: Permit, passing: Passing<'_>, idle_max: Duration) -> Result<Connected, Permit> {
        let way = Way::of(&permit, passing.credentials);
        if passing.may_share
            && let Some(shared) = self.share(&permit, &way)
        {
            return Ok(Connected::again(shared, way, form(&permit, passing)));
        }
        loop {
            let Some(idle) = self.pool().take(&way) else { return Err(permit) };
            if idle.since.elapsed() >= idle_max {
                // Too old for this request, and so are those that were left before it; not for others.
                self.pool().put(way, idle);
                return Err(permit);
            }
            if self.still_good(&permit, &idle.stream, idle.dialled) {
                let Idle { stream, dialled, born, .. } = idle;
                return Ok(Connected::again((stream, dialled, born), way, form(&permit, passing)));
            }
        }
    }

    /// A stream of a connection of HTTP/2 by this way whose address this permit still allows.
    fn share(&self, permit: &Permit, way: &Way) -> Option<(Stream, SocketAddr, Instant)> {
        let mut pool = self.pool();
        let shared = pool.shared(way)?;
        self.still_leads(permit, shared.dialled).ok()?;
        shared.used = Instant::now();
        let (dialled, born) = (shared.dialled, shared.born);
        Some((open(&shared.client), dialled, born))
    }

    /// Spends a permit on the connection at hand, which must lead to its host and port by its route.
    ///
    /// # Errors
    /// The permit comes back, and the connection is closed, when it does not fit or is not alive.
    pub fn go_on(&self, permit: Permit, passing: Passing<'_>, connected: Connected) -> Result<Connected, Permit> {
        if connected.way == Way::of(&permit, passing.credentials)
            && self.still_good(&permit, &connected.stream, connected.dialled)
        {
            let (answers, refused) = (Arc::default(), Vec::new());
            return Ok(Connected { reused: true, answers, refused, timings: Timings::default(), ..connected });
        }
        Err(permit)
    }

    fn still_good(&self, permit: &Permit, stream: &Stream, dialled: SocketAddr) -> bool {
        self.still_leads(permit, dialled).is_ok() && stream.tcp().is_some_and(is_quiet)
    }

    /// Whether an address is the gate's own, so that what was on its way there had come to its end.
    pub fn is_own(&self, address: SocketAddr) -> bool {
        self.own.include(address)
    }

    /// Judges where a connection leads that was made by this permit's route: `dialled` is its
    /// [`Connected::dialled`].
    ///
    /// # Errors
    /// Why it would not be made today.
    pub fn still_leads(&self, permit: &Permit, dialled: SocketAddr) -> Result<(), AddressRefused> {
        let judged = match (permit.route(), permit.host().address()) {
            // The parent's own address was judged when it was dialled, and no rule bears on it; the name is
            // what it is given.
            (Route::Parent { resolved_by: ResolvedBy::Parent, .. }, None) => {
                return judge_left_to_parent(permit.host(), self.resolvers.internal());
            }
            (Route::Parent { resolved_by: ResolvedBy::Parent, .. }, Some(literal)) => literal,
            (Route::Direct | Route::Parent { resolved_by: ResolvedBy::Gate, .. }, _) => dialled.ip(),
        };
        self.judge(permit, judged).map(drop)
    }

    /// Leaves a connection whose exchange has ended cleanly for a later one to the same host and port by
    /// the same route. One that vouches for a client is closed instead.
    pub fn keep(&self, connected: Connected) {
        let Connected { stream, way, dialled, born, vouched, .. } = connected;
        // A stream has ended with its exchange; its connection is kept already.
        if vouched || matches!(stream, Stream::Piped(_)) {
            return;
        }
        self.pool().put(way, Idle { stream, dialled, born, since: Instant::now() });
    }

    /// Closes connections that nobody came for. Called about once a second.
    pub fn sweep(&self) {
        self.pool().sweep(Instant::now());
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spends a permit: resolves its host, judges every address, and connects by its route to the first
    /// that answers. An address the guard refuses is never dialled, nor asked of a parent; when it
    /// refuses them all, that is the error. Where the rule says that a parent resolves, no name is
    /// looked up, and only a literal address can be judged; an internal name is not given away.
    ///
    /// # Errors
    /// By the party at fault: DNS, the guard, the origin, the parent, time, or the gate itself.
    pub async fn dial(&self, permit: Permit, passing: Passing<'_>) -> Result<Connected, DialFailed> {
        let begin = Instant::now();
        let resolved = self.answers(&permit).await;
        let dns = begin.elapsed();
        let begin = Instant::now();
        let (answers, reached) = match resolved {
            Ok(answers) => (answers.clone(), self.reach(&permit, &answers, passing).await),
            Err(error) => (Arc::default(), Err(error.into())),
        };
        let answers = if permit.host().address().is_some() { Arc::default() } else { answers };
        match reached {
            Ok(Reached { stream, dialled, early, refused }) => {
                let _ = stream.set_nodelay(true);
                let way = Way::of(&permit, passing.credentials);
                let (stream, early) = match self.spoken(&permit, (&way, passing.may_share), stream, early).await {
                    Ok(Spoken::Http1 { stream, early }) => (stream, early),
                    Ok(Spoken::Http2(client)) => {
                        let stream = open(&client);
                        let (born, used) = (Instant::now(), Instant::now());
                        self.pool().share(way.clone(), Shared { client, dialled, born, used });
                        (stream, BytesMut::new())
                    }
                    Err(error) => return Err(DialFailed { error, answers, dns }),
                };
                Ok(Connected {
                    stream,
                    way,
                    dialled,
                    form: form(&permit, passing),
                    early,
                    answers,
                    refused,
                    timings: Timings { dns, connect: begin.elapsed() },
                    reused: false,
                    vouched: false,
                    born: Instant::now(),
                })
            }
            Err(error) => {
                if error.wants_descriptors() {
                    // What lies idle makes room for the next one.
                    self.pool().clear();
                }
                Err(DialFailed { error, answers, dns })
            }
        }
    }

    /// The connection as the permit's scheme speaks on it: what is read inside a client's TLS goes on inside the gate's
    /// own with the origin, which must prove to be the permit's host.
    async fn spoken(
        &self,
        permit: &Permit,
        (way, may_share): (&Way, bool),
        stream: TcpStream,
        early: BytesMut,
    ) -> Result<Spoken, DialError> {
        let stream = Stream::Plain(stream);
        if permit.scheme() != Scheme::Https {
            return Ok(Spoken::Http1 { stream, early });
        }
        let Some(secured) = &self.secured else { return Err(DialError::NoTls) };
        let limit = self.limits.connect_timeout;
        let offered = if may_share && !self.pool().wants_http1(way) { Offered::Http2 } else { Offered::Http1 };
        let handshake = secured.handshake(permit.host(), offered, Rewound::new(early, stream));
        let secured = tokio::time::timeout(limit, handshake).await.map_err(|_| DialError::Timeout(limit))?;
        let secured = secured.map_err(DialError::Tls)?;
        let is_http2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Stream::Secured(Box::new(secured.into()));
        if !is_http2 {
            return Ok(Spoken::Http1 { stream, early: BytesMut::new() });
        }
        let bounds = Bounds { head: self.limits.head, limit: self.limits.stall };
        let opened = tokio::time::timeout(limit, Client::handshake(stream, bounds)).await;
        let broken = |error: h2::Error| DialError::Tls(OriginFault::Io(io::Error::other(error)));
        let (client, carrying) = opened.map_err(|_| DialError::Timeout(limit))?.map_err(broken)?;
        tokio::spawn(carrying);
        Ok(Spoken::Http2(client))
    }

    /// The addresses of the permit's host; none where they are the parent's to learn.
    async fn answers(&self, permit: &Permit) -> Result<Arc<[IpAddr]>, ResolveError> {
        match (permit.host(), permit.route()) {
            (Host::Name(_), Route::Parent { resolved_by: ResolvedBy::Parent, .. }) => Ok(Arc::default()),
            (host, _) => self.addresses_of(host).await,
        }
    }

    async fn addresses_of(&self, host: &Host) -> Result<Arc<[IpAddr]>, ResolveError> {
        match host {
            Host::Name(name) => self.resolvers.resolve(name).await,
            Host::V4(address) => Ok([IpAddr::V4(*address)].into()),
            Host::V6(address) => Ok([IpAddr::V6(*address)].into()),
        }
    }

    async fn reach(&self, permit: &Permit, answers: &[IpAddr], passing: Passing<'_>) -> Result<Reached, DialError> {
        match permit.route() {
            Route::Direct => {
                let (checked, refused) = self.judge_all(permit, answers)?;
                let limit = self.limits.connect_timeout;
                let raced = tokio::time::timeout(limit, race(checked)).await;
                let (stream, dialled) = raced.map_err(|_| DialError::Timeout(limit))??;
                Ok(Reached { stream, dialled, early: BytesMut::new(), refused })
            }
            Route::Parent { parent, resolved_by: ResolvedBy::Gate } => {
                let (checked, refused) = self.judge_all(permit, answers)?;
                let uplink = self.uplink(parent, passing).await?;
                let (opened, dialled) = self.in_time(parent, uplink.first_of(&checked)).await?;
                Ok(Reached { stream: opened.stream, dialled, early: opened.early, refused })
            }
            Route::Parent { parent, resolved_by: ResolvedBy::Parent } => {
                if permit.host().address().is_some() {
                    self.judge_all(permit, answers)?;
                }
                judge_left_to_parent(permit.host(), self.resolvers.internal()).map_err(DialError::Refused)?;
                let uplink = self.uplink(parent, passing).await?;
                let opened = match permit.scheme() {
                    Scheme::Http => self.in_time(parent, uplink.connect()).await?,
                    Scheme::Https | Scheme::Tunnel => {
                        let authority = format!("{}:{}", permit.host(), permit.port());
                        self.in_time(parent, uplink.to(&authority)).await?
                    }
                };
                Ok(Reached { stream: opened.stream, dialled: opened.parent, early: opened.early, refused: Vec::new() })
            }
        }
    }

    async fn in_time<T>(
        &self,
        parent: &Parent,
        doing: impl Future<Output = Result<T, DialError>>,
    ) -> Result<T, DialError> {
        let limit = self.limits.connect_timeout;
        let done = tokio::time::timeout(limit, doing).await;
        done.map_err(|_| DialError::Timeout(limit).on_the_way_to(parent))?
    }

    /// A parent with the addresses at which it may be dialled: where the operator's word says it is.
    async fn uplink<'a>(&'a self, parent: &'a Parent, passing: Passing<'a>) -> Result<Uplink<'a>, DialError> {
        let failed = |error: DialError| error.on_the_way_to(parent);
        let answers = self.addresses_of(parent.host()).await.map_err(|error| failed(error.into()))?;
        let judge = |address| judge_parent(parent, address, &self.own, self.resolvers.internal());
        let (addresses, _) = passed(&answers, judge).map_err(failed)?;
        let credentials = passing.credentials.of(parent);
        Ok(Uplink { parent, addresses, credentials, limits: &self.limits.head, passing })
    }

    /// The addresses of the target that passed, and those that the guard refused.
    fn judge_all(&self, permit: &Permit, answers: &[IpAddr]) -> Result<(Vec<CheckedAddress>, Vec<IpAddr>), DialError> {
        passed(answers, |address| self.judge(permit, address))
    }

    fn judge(&self, permit: &Permit, address: IpAddr) -> Result<CheckedAddress, AddressRefused> {
        let target = (address, permit.port());
        judge_target(permit.host(), target, &permit.opened(), &self.own, self.resolvers.internal())
    }
}

/// A new stream of a connection, carried by a task of its own to its end.
fn open(client: &Client) -> Stream {
    let (stream, carrying) = client.open();
    tokio::spawn(carrying);
    stream
}

/// How a plain request is written on a connection for this permit.
fn form(permit: &Permit, passing: Passing<'_>) -> RequestForm {
    match permit.route() {
        Route::Parent { parent, resolved_by: ResolvedBy::Parent } if permit.scheme() == Scheme::Http => {
            RequestForm::Absolute { parent: parent.clone(), credentials: passing.credentials.of(parent).cloned() }
        }
        Route::Direct | Route::Parent { .. } => RequestForm::Origin,
    }
}

/// The addresses that passed, and those that were refused; where none passed, why the first did not.
fn passed(
    answers: &[IpAddr],
    judge: impl Fn(IpAddr) -> Result<CheckedAddress, AddressRefused>,
) -> Result<(Vec<CheckedAddress>, Vec<IpAddr>), DialError> {
    let mut checked = Vec::with_capacity(answers.len());
    let mut refused = Vec::new();
    let mut first_refusal = None;
    for address in answers {
        match judge(*address) {
            Ok(address) => checked.push(address),
            Err(error) => {
                refused.push(*address);
                first_refusal = first_refusal.or(Some(error));
            }
        }
    }
    if checked.is_empty() {
        return Err(first_refusal.map_or(DialError::Resolve(ResolveError::NoAddress), DialError::Refused));
    }
    Ok((checked, refused))
}

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;

use crate::facts::{Client, ClientKey, ExchangeId, Party, Scheme, Stage, Target};
use crate::parse::{
    Body, Fields, Request, ResponseHead, Version, asks_to_vouch_for_connection, check_ahead, expects_continue,
    keep_alive, max_forwards, response_body, take_response_head,
};
use crate::policy::{Content, Need, Outcome, Permit, TunnelLimits, Verdict, draft_uninspected};
use crate::site;
use crate::tls::{ReadHalf, WriteHalf};
use crate::upstream::{Connected, DialError, DialFailed, ParentFailure, Passing, RequestForm};

use super::account::{Account, Asked, End, Refused};
use super::body::{Copying, Failure, Peer};
use super::connection::{page, page_with, refuse, send_page};
use super::cut::Cuts;
use super::gate::{Gate, Worker};
use super::in_force::Edition;
use super::io::{Io, Next, Pace, leaves, write_paced};
use super::log_in::{ask, ask_first, cannot_ask};
use super::page::{challenge, take_answer};
use super::rewrite::{self, After, is_websocket};
use super::standing::First;
use super::tunnel::Tunnelled;
use super::who::Shown;
use super::why::Why;

/// A request that cannot be sent twice goes only over connections that were used this recently:
/// common servers keep an idle one for five seconds and more.
const UNREPEATABLE_IDLE_MAX: Duration = Duration::from_secs(2);

/// Interim responses to one request, at most.
const INTERIMS_MAX: usize = 16;

/// Serves one plain HTTP request: judge, record, connect, send, answer.
pub(super) async fn serve(
    worker: &Worker,
    io: &mut Io,
    client: &Client,
    request: &Request,
    target: &Target,
    (inside, shown): (Option<ExchangeId>, Shown<'_>),
) -> Next {
    let gate = &*worker.gate;
    let head = &request.head;
    let changes = gate.restraints.changes();
    let edition = gate.policy.now();
    let policy = &edition.policy;
    let mut account = Account::new(worker, inside);
    let asked = Asked::new((gate, policy), client, head, target, shown);
    let (mut outgoing, forwards) = match prepare(gate, request, target, &io.buffer) {
        Ok(outgoing) => outgoing,
        Err(why) => return refuse(gate, io, account, (policy, &asked), &Refused::by_gate(&why), false).await,
    };
    // A body that nobody will read cannot be told from the next request.
    let keep_refused = gate.keeps(head) && matches!(request.body, Body::None | Body::Length(0));
    account = match take_answer(worker, io, account, (policy, &asked), keep_refused).await {
        Ok(next) => return next,
        Err(account) => account,
    };
    // Within a tunnel, and to who meant to speak to an origin, a 407 would be the origin's word, and no browser answers it.
    let may_ask = inside.is_none() && client.captured.is_none();
    let decision = match account.judge(&edition, &asked) {
        Outcome::Decided(decision) => decision,
        Outcome::Needs(need, reason) => {
            let asks = if need == Need::User && may_ask { ask(worker, client, head).await } else { None };
            let why = asks.unwrap_or_else(|| Why::of_need(&reason)).with_rule(&reason);
            return refuse(gate, io, account, (policy, &asked), &Refused::for_need(&reason, &why), keep_refused).await;
        }
    };
    if matches!(decision.verdict, Verdict::Challenge) && asked.must_log_in(policy) {
        let why = if may_ask { ask_first(worker, client, head).await } else { cannot_ask() };
        return refuse(gate, io, account, (policy, &asked), &Refused::by(&decision, &why), keep_refused).await;
    }
    if matches!(decision.verdict, Verdict::Challenge) {
        return challenge(worker, io, account, (policy, &asked, &decision), keep_refused).await;
    }
    if !matches!(decision.verdict, Verdict::Allow(_)) {
        let why = Why::of_decision(&decision);
        return refuse(gate, io, account, (policy, &asked), &Refused::by(&decision, &why), keep_refused).await;
    }
    if forwards == Some(0) {
        if account.answer(policy, &asked, &decision).await.is_err() {
            return refuse(gate, io, account, (policy, &asked), &Refused::by_gate(&Why::evidence()), false).await;
        }
        let answer = site::final_answer(head, gate.wording.via.as_deref(), keep_refused);
        return send_page(gate, io, &answer, keep_refused).await;
    }
    // What its rule says of hellos holds for what is in the tunnel.
    let of_hello = match (target.scheme, &decision.verdict, shown.hello) {
        (Scheme::Https, Verdict::Allow(permit), Stage::Known(hello)) => permit.content().judge_hello(hello),
        (_, _, _) => Content::Passes,
    };
    if let Content::Ends(broken) = of_hello {
        let (why, rule) = (Why::of_broken(broken), &decision.reason);
        return refuse(gate, io, account, (policy, &asked), &Refused::for_need(rule, &why), keep_refused).await;
    }
    if account.open(policy, &asked, &decision).await.is_err() {
        return refuse(gate, io, account, (policy, &asked), &Refused::by_gate(&Why::evidence()), false).await;
    }
    if let Content::WouldEnd(broken) = of_hello {
        account.would_refuse(&Why::of_broken(broken));
    }
    let Verdict::Allow(permit) = decision.verdict else { return Next::Gone };
    let limits = permit.limits();
    let set = permit.set_fields();
    if !set.is_empty() {
        outgoing = rewrite::with_fields(&outgoing, &set);
    }
    let passing = Passing { may_share: may_share(request), ..gate.passing(head, &edition) };
    let mut connected = match connect(worker, io, (client, request), permit, passing).await {
        Ok(connected) => connected,
        Err(error) => return fail_dial(gate, io, account, &error, &asked, keep_refused).await,
    };
    account.dialled(&asked, &connected);
    let mut exchange = Exchange::new(gate, request, target);
    let mut cuts = Cuts { gate, policy, asked: &asked, changes };
    let mut end = exchange.run(io, &mut connected, &outgoing, &mut account, &mut cuts).await;
    let origin_lost = |failure: &Failure| failure.lost && failure.by == Party::Origin;
    if end.as_ref().is_err_and(origin_lost) && exchange.may_repeat(&connected) {
        // The origin had closed the connection while it lay idle; nothing was answered on it.
        connected = match again(worker, &account, &edition, &asked, may_share(request)).await {
            Some(Ok(connected)) => connected,
            Some(Err(error)) => return fail_dial(gate, io, account, &error, &asked, false).await,
            None => return Next::Gone,
        };
        account.dialled(&asked, &connected);
        end = exchange.run(io, &mut connected, &outgoing, &mut account, &mut cuts).await;
    }
    exchange.finish(worker, io, account, connected, end, (&asked, limits, edition.number())).await
}

/// What goes to the origin, built before anything is judged, so that nothing unbuildable is let out; and
/// the Max-Forwards of a TRACE or OPTIONS.
fn prepare(gate: &Gate, request: &Request, target: &Target, arrived: &[u8]) -> Result<(BytesMut, Option<u32>), Why> {
    let head = &request.head;
    if let Some(why) = gate.looped(head) {
        return Err(why);
    }
    expects_continue(head).map_err(Why::of_fault)?;
    check_ahead(request.body, arrived).map_err(Why::of_fault)?;
    let upgrade = is_websocket(head, request.body);
    let forwards = max_forwards(head).map_err(Why::of_fault)?;
    let via = gate.wording.via.as_deref();
    let outgoing = rewrite::request(head, target, request.body, upgrade, forwards, via).map_err(Why::of_fault)?;
    Ok((outgoing, forwards))
}

/// Whether sending it twice has the effect of sending it once (RFC 9110 §9.2.2), and it can be.
fn is_repeatable(request: &Request) -> bool {
    let idempotent = matches!(request.head.method(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE");
    idempotent && matches!(request.body, Body::None | Body::Length(0))
}

/// The client's own connection to the origin, an idle one, or a new one, in this order.
async fn connect(
    worker: &Worker,
    io: &mut Io,
    (client, request): (&Client, &Request),
    permit: Permit,
    passing: Passing<'_>,
) -> Result<Connected, DialFailed> {
    let mut permit = permit;
    if let Some(pinned) = io.pinned.take() {
        match worker.dialler.go_on(permit, passing, *pinned) {
            Ok(connected) => return Ok(connected),
            Err(unspent) => permit = unspent,
        }
    }
    if client.captured.is_some() {
        // Where its name leads is looked up for each, and held against where it had connected.
        return worker.dialler.dial(permit, passing).await;
    }
    let idle_max = if is_repeatable(request) { Duration::MAX } else { UNREPEATABLE_IDLE_MAX };
    match worker.dialler.reuse(permit, passing, idle_max) {
        Ok(connected) => Ok(connected),
        Err(permit) => worker.dialler.dial(permit, passing).await,
    }
}

/// Another permit, and a new connection for it.
async fn again(
    worker: &Worker,
    account: &Account<'_>,
    edition: &Edition,
    asked: &Asked<'_>,
    may_share: bool,
) -> Option<Result<Connected, DialFailed>> {
    let Outcome::Decided(decision) = account.judge_uncounted(&edition.policy, asked) else { return None };
    let Verdict::Allow(permit) = decision.verdict else { return None };
    let passing = Passing { may_share, ..worker.gate.passing(asked.head, edition) };
    Some(worker.dialler.dial(permit, passing).await)
}

/// Whether it can go over a connection that others use at the same time.
fn may_share(request: &Request) -> bool {
    !is_websocket(&request.head, request.body) && !claims_connection(&request.head.fields)
}

/// Answers and records an exchange that was let out and did not get there.
pub(super) async fn fail_dial(
    gate: &Gate,
    io: &mut Io,
    account: Account<'_>,
    error: &DialFailed,
    asked: &Asked<'_>,
    keep: bool,
) -> Next {
    let why = Why::of_dial(&error.error);
    let draft = (why.code == "client_cert_required").then(|| note_asking(gate, asked));
    let host = asked.target.host.readable();
    let page = page_with(gate, account.id, &why, (&host, draft.as_deref()), Some(asked.head), keep);
    account.fail(asked, error, &why);
    send_page(gate, io, &page, keep).await
}

/// Notes that the origin asked for a certificate of the client, and returns the rule that would let it through.
fn note_asking(gate: &Gate, asked: &Asked<'_>) -> String {
    let Target { host, port, .. } = asked.target;
    gate.reach.asked(ClientKey::of(asked.client.address.ip()), host, *port);
    draft_uninspected(host, *port)
}

/// How an exchange ended well.
enum Ended {
    Answered,
    /// The origin switched protocols; these bytes it sent behind its head.
    Upgraded {
        early: BytesMut,
    },
}

struct Exchange<'a> {
    gate: &'a Gate,
    request: &'a Request,
    target: &'a Target,
    limit: Duration,
    up: u64,
    down: u64,
    /// Something came back from the origin.
    heard: bool,
    /// The final head has begun to leave for the client.
    answering: Arc<AtomicBool>,
    /// The request's body has gone to the origin whole.
    sent_body: Arc<AtomicBool>,
    keep_client: bool,
    keep_origin: bool,
    /// Origin or client authenticates the connection instead of the request.
    pinned: bool,
}

impl<'a> Exchange<'a> {
    fn new(gate: &'a Gate, request: &'a Request, target: &'a Target) -> Self {
        let head = &request.head;
        Self {
            gate,
            request,
            target,
            limit: gate.limits.body_timeout,
            up: 0,
            down: 0,
            heard: false,
            answering: Arc::default(),
            keep_client: gate.keeps(head),
            keep_origin: false,
            sent_body: Arc::new(AtomicBool::new(request.body == Body::None)),
            pinned: claims_connection(&head.fields),
        }
    }

    fn may_repeat(&self, connected: &Connected) -> bool {
        (connected.reused || connected.is_stream()) && !self.heard && is_repeatable(self.request)
    }

    async fn run(
        &mut self,
        io: &mut Io,
        connected: &mut Connected,
        origin_form: &[u8],
        account: &mut Account<'_>,
        cuts: &mut Cuts<'_>,
    ) -> Result<Ended, Failure> {
        // The connection may have taken long.
        if let Some(failure) = cuts.now() {
            return Err(failure);
        }
        let Connected { stream: origin, early, form, .. } = connected;
        let outgoing = match form {
            RequestForm::Origin => Cow::Borrowed(origin_form),
            RequestForm::Absolute { credentials, .. } => {
                Cow::Owned(rewrite::absolute(origin_form, &self.request.head, self.target, credentials.as_ref()))
            }
        };
        // An answer that came before the request is one that must not be asked for twice.
        self.heard |= !early.is_empty();
        let early = std::mem::take(early);
        let pace = Pace::new(self.limit);
        write_paced(origin, &outgoing, &pace).await.map_err(|()| Peer::Origin.lost("origin_closed"))?;
        let mut up = outgoing.len() as u64;
        let (mut client_read, mut client_write) = io.stream.split();
        let (mut origin_read, mut origin_write) = origin.split();
        let body = self.request.body;
        let sent_body = self.sent_body.clone();
        let cut = cuts.cut();
        tokio::pin!(cut);
        let end = if sent_body.load(Ordering::Relaxed) && !client_read.tells_by_reading() {
            tokio::select! {
                biased;
                // First, as a busy exchange takes up all of its turns.
                failure = &mut cut => Err(failure),
                result = self.download((&mut origin_read, early, form), &mut client_write, account, &pace) => result,
            }
        } else {
            let answering = self.answering.clone();
            let client = async {
                let (from, to, chunked) = (Peer::Client, Peer::Origin, body == Body::Chunked);
                if !sent_body.load(Ordering::Relaxed) {
                    let copied = Copying { body, from, to, chunked, pace: &pace, count: &mut up, carried: None }
                        .run(&mut client_read, &mut io.buffer, &mut origin_write, BytesMut::new())
                        .await;
                    sent_body.store(copied.is_ok(), Ordering::Relaxed);
                    copied?;
                }
                leaves(&mut client_read, &mut io.buffer).await;
                // While it is answered, the writing tells.
                if answering.load(Ordering::Relaxed) { Ok(()) } else { Err(nobody_waits()) }
            };
            let download = self.download((&mut origin_read, early, form), &mut client_write, account, &pace);
            tokio::pin!(client, download);
            let mut listening = true;
            loop {
                tokio::select! {
                    biased;
                    failure = &mut cut => break Err(failure),
                    // The upload first, so that an answer behind it finds it at its end.
                    result = &mut client, if listening => {
                        listening = false;
                        match result {
                            Ok(()) => {}
                            // The origin may refuse a body that it does not want to read to its end:
                            // what it says then is worth more than that it stopped reading.
                            Err(failure) if failure.by == Party::Origin => {}
                            Err(failure) => break Err(failure),
                        }
                    }
                    result = &mut download => break result,
                }
            }
        };
        self.up += up;
        end
    }

    async fn download(
        &mut self,
        (origin, early, form): (&mut ReadHalf<'_>, BytesMut, &RequestForm),
        client: &mut WriteHalf<'_>,
        account: &mut Account<'_>,
        pace: &Pace,
    ) -> Result<Ended, Failure> {
        let head = &self.request.head;
        let via = self.gate.wording.via.as_deref();
        let asked_upgrade = is_websocket(head, self.request.body);
        let rebuild = |response: &ResponseHead, chunked, after| {
            rewrite::response(response, chunked, after, head.version, via).map_err(|fault| Peer::Origin.fault(fault))
        };
        let mut buffer = if early.is_empty() { BytesMut::with_capacity(8192) } else { early };
        let mut interims = 0;
        let (response, body) = loop {
            let response = self.response_head(origin, client, &mut buffer, pace).await?;
            // Interim ones too: a reader that believes a length there takes the answer for that body.
            let body = response_body(head.method(), &response).map_err(|fault| Peer::Origin.fault(fault))?;
            if response.status == 101 && !(asked_upgrade && rewrite::agrees_to_websocket(&response)) {
                return Err(Peer::Origin.failed("unasked_upgrade"));
            }
            if response.status >= 200 || response.status == 101 {
                break (response, body);
            }
            interims += 1;
            if interims > INTERIMS_MAX {
                return Err(Peer::Origin.failed("too_many_interims"));
            }
            if head.version != Version::Http10 {
                let interim = rebuild(&response, false, After::Interim)?;
                self.send(client, &interim, pace).await?;
            }
        };
        check_asked(&response, form)?;
        account.answered(response.status, response.fields.get("content-type"));
        if !matches!(body, Body::None | Body::Length(0)) {
            account.looks_at(response.status, &response.fields, self.target);
        }
        if response.status == 101 {
            let out = rebuild(&response, false, After::Upgrade)?;
            self.answering.store(true, Ordering::Relaxed);
            self.send(client, &out, pace).await?;
            return Ok(Ended::Upgraded { early: buffer });
        }
        let chunked = matches!(body, Body::Chunked | Body::UntilClose) && head.version != Version::Http10;
        self.pinned |= offers_connection(&response.fields);
        self.keep_origin = keep_alive(response.version, &response.fields) && body != Body::UntilClose;
        self.keep_client &= chunked || matches!(body, Body::None | Body::Length(_));
        // What is left of the request has no reader behind this answer.
        self.keep_client &= self.sent_body.load(Ordering::Relaxed);
        let after = if self.keep_client { After::Keep } else { After::Close };
        let out = rebuild(&response, chunked, after)?;
        self.answering.store(true, Ordering::Relaxed);
        let (from, to) = (Peer::Origin, Peer::Client);
        let (count, carried) = (&mut self.down, account.carried.as_mut());
        let mut copying = Copying { body, from, to, chunked, pace, count, carried };
        copying.run(origin, &mut buffer, client, out).await?;
        // What stands behind the answer belongs to nobody.
        self.keep_origin &= buffer.is_empty();
        Ok(Ended::Answered)
    }

    async fn send(&mut self, client: &mut WriteHalf<'_>, bytes: &[u8], pace: &Pace) -> Result<(), Failure> {
        write_paced(client, bytes, pace).await.map_err(|()| Peer::Client.lost("write_failed"))?;
        self.down += bytes.len() as u64;
        Ok(())
    }

    /// The next head of the origin, unless the client leaves before it has come.
    async fn response_head(
        &mut self,
        origin: &mut ReadHalf<'_>,
        client: &WriteHalf<'_>,
        buffer: &mut BytesMut,
        pace: &Pace,
    ) -> Result<ResponseHead, Failure> {
        let sent_body = self.sent_body.clone();
        let left = has_left(client, &sent_body);
        tokio::pin!(left);
        let mut held = self.gate.head_room.claim();
        let mut scanned = 0;
        loop {
            match take_response_head(buffer, &self.gate.limits.head, &mut scanned) {
                Ok(Some(head)) => return Ok(head),
                Ok(None) => {}
                Err(fault) => return Err(Peer::Origin.fault(fault)),
            }
            buffer.reserve(4096);
            if held.hold(buffer.capacity()).is_err() {
                return Err(Failure::new(Party::Gate, Why::head_room()));
            }
            let read = tokio::select! {
                biased;
                read = pace.wait(origin.read_buf(buffer)) => read,
                () = &mut left => return Err(nobody_waits()),
            };
            match read {
                Ok(Ok(1..)) => self.heard = true,
                Ok(Ok(0)) => return Err(Peer::Origin.lost("origin_closed")),
                Ok(Err(_)) => return Err(Peer::Origin.lost("origin_reset")),
                Err(()) => return Err(Failure::new(Party::Origin, Why::new(504, "origin_timeout"))),
            }
        }
    }

    /// Closes the account, keeps what can be kept, and tells what becomes of the client.
    async fn finish(
        self,
        worker: &Worker,
        io: &mut Io,
        mut account: Account<'_>,
        mut connected: Connected,
        end: Result<Ended, Failure>,
        (asked, limits, edition): (&Asked<'_>, TunnelLimits, u32),
    ) -> Next {
        let (up, down) = (self.up, self.down);
        match end {
            Ok(Ended::Answered) => {
                account.close(End { by: Party::Origin, how: "complete", up, down });
                let whole = self.sent_body.load(Ordering::Relaxed);
                connected.vouched |= self.pinned;
                if self.keep_origin && whole {
                    if connected.vouched {
                        io.pinned = Some(Box::new(connected));
                    } else {
                        worker.dialler.keep(connected);
                    }
                }
                Next::after(self.keep_client && whole)
            }
            Ok(Ended::Upgraded { early }) => {
                account.carries("websocket");
                let ending = account.established(up, down);
                let mut tunnelled =
                    Tunnelled::new(self.gate, connected, ending, asked, (limits, edition), First::Request);
                tunnelled.early_up = std::mem::take(&mut io.buffer).to_vec();
                tunnelled.early_down = early.to_vec();
                Next::Tunnel(tunnelled)
            }
            Err(failure) => {
                let client_lost = failure.lost && failure.by == Party::Client;
                let answer = !self.answering.load(Ordering::Relaxed) && !client_lost;
                let failure = attributed(failure, &connected.form);
                let page = answer.then(|| {
                    let host = asked.target.host.readable();
                    page(self.gate, account.id, &failure.why, &host, Some(asked.head), false)
                });
                account.failed_with(&failure.why, page.is_some());
                if failure.denied {
                    account.denied(asked, &failure.why);
                }
                account.close(End { by: failure.by, how: failure.why.code, up, down });
                match page {
                    Some(page) => send_page(self.gate, io, &page, false).await,
                    None => Next::Broken,
                }
            }
        }
    }
}

fn nobody_waits() -> Failure {
    let mut failure = Peer::Client.failed("client_closed");
    failure.why.detail = Some("the client closed its side before the answer came".to_owned());
    failure
}

/// Waits until the client has closed its side behind a request that it has sent whole.
///
/// Whether it closed the other side as well cannot be told without sending. No browser half-closes, nor
/// does curl; and like Squid (`half_closed_clients off`), nginx and Envoy the gate takes it that nobody
/// waits for the answer, and lets go of the origin. Whoever still reads gets a page that says so.
fn has_left(client: &WriteHalf<'_>, sent_body: &AtomicBool) -> impl Future<Output = ()> {
    let ended = client.ended();
    async move {
        let mut ended = pin!(ended);
        poll_fn(|context| {
            // Until then its end is the upload's to tell; that is done in this task, which polls again.
            if sent_body.load(Ordering::Relaxed) { ended.as_mut().poll(context) } else { Poll::Pending }
        })
        .await;
    }
}

/// A parent that wants credentials asks the gate for them, never the client.
fn check_asked(response: &ResponseHead, form: &RequestForm) -> Result<(), Failure> {
    match form {
        RequestForm::Absolute { parent, .. } if response.status == 407 => {
            let error = DialError::Parent { name: parent.name().into(), failure: ParentFailure::Unauthorised };
            Err(Failure::new(error.at_fault(), Why::of_dial(&error)))
        }
        RequestForm::Absolute { .. } | RequestForm::Origin => Ok(()),
    }
}

/// What failed on a connection to a parent that speaks for the origin is the parent's: which of the two
/// it was cannot be seen.
fn attributed(failure: Failure, form: &RequestForm) -> Failure {
    match form {
        RequestForm::Absolute { parent, .. } if failure.by == Party::Origin => {
            let code = if failure.why.status == 504 { "parent_timeout" } else { "parent_bad_answer" };
            let detail = format!("parent {}: {}", parent.name(), failure.why.code);
            Failure { by: Party::Parent, why: Why { code, detail: Some(detail), ..failure.why }, ..failure }
        }
        RequestForm::Absolute { .. } | RequestForm::Origin => failure,
    }
}

/// NTLM and Negotiate vouch for the connection and all that follows on it (RFC 4559 §6). Only schemes
/// known to vouch for one request are taken for that.
fn claims_connection(fields: &Fields) -> bool {
    fields.get_all("authorization").any(|value| {
        let scheme = value.split(|b| *b == b' ').next().unwrap_or_default();
        !["basic", "digest", "bearer"].iter().any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()))
    })
}

/// The origin asks for such a scheme, wherever in its list, or says that it holds.
fn offers_connection(fields: &Fields) -> bool {
    fields.count("persistent-auth") > 0 || asks_to_vouch_for_connection(fields)
}

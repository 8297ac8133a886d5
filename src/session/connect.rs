use std::time::Instant;

use crate::clock;
use crate::facts::{Client, Hello, Host, Party, Scheme, Stage, Target};
use crate::parse::{Fault, FirstBytes, Form, RequestHead, understand_inner};
use crate::policy::{Broken, Content, Decision, Handling, Need, Outcome, Policy, Reason, Verdict};
use crate::tls::Offered;

use super::account::{Account, Asked, End, Refused};
use super::connection::{page, read_head, refuse, send_page};
use super::forward;
use super::gate::{Gate, Worker};
use super::in_force::Edition;
use super::inspect::{Inside, Inspected};
use super::io::{Io, Next, write_all};
use super::log_in::{LoggedIn, ask, ask_first, cannot_ask, log_in_for};
use super::look::{ALERT_UNRECOGNIZED_NAME, Patience, first_bytes};
use super::relay::Ended;
use super::reset::{After, challenge, reset};
use super::rewrite::is_websocket;
use super::standing::First;
use super::trial;
use super::tunnel::Tunnelled;
use super::who::Shown;
use super::why::Why;

pub(super) const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Serves one CONNECT up to the moment its tunnel stands, or does not.
pub(super) async fn serve(worker: &Worker, io: &mut Io, client: &Client, head: &RequestHead, target: &Target) -> Next {
    let gate = &*worker.gate;
    let edition = gate.policy.now();
    let policy = &edition.policy;
    let account = Account::new(worker, None);
    let to_gate = io.hello.clone();
    let shown = Shown { to_gate: to_gate.as_deref(), ..Stage::NotYet.into() };
    let asked = Asked::new((gate, policy), client, head, target, shown);
    if !io.buffer.is_empty() {
        let why = Why::of_fault(Fault::BytesBehindConnect);
        return refuse(gate, io, account, (policy, &asked), &Refused::by_gate(&why), false).await;
    }
    if let Some(why) = gate.looped(head) {
        return refuse(gate, io, account, (policy, &asked), &Refused::by_gate(&why), false).await;
    }
    if gate.is_trial(target) {
        return trial::serve(worker, io, account, (policy, &asked)).await;
    }
    match account.judge(&edition, &asked) {
        Outcome::Decided(decision) => match decision.verdict {
            // What it has shown, or can show, is known by its hello; in a tunnel to port 80 by the request in it.
            Verdict::Challenge if asked.must_log_in(policy) => {
                let why = ask_first(worker, client, head).await;
                let keep = why.status == 407 && gate.keeps(head) && io.buffer.is_empty();
                refuse(gate, io, account, (policy, &asked), &Refused::by(&decision, &why), keep).await
            }
            Verdict::Challenge if target.port == 80 => {
                after_request(worker, io, account, policy, &asked, &decision.reason).await
            }
            // Inside it is shown a page.
            Verdict::Challenge if gate.minter.is_some() && asks_inside(&decision) => {
                after_hello(worker, io, account, &edition, (asked, None), &decision.reason).await
            }
            Verdict::Challenge => {
                let logged_in = match log_in_for(worker, &asked, &decision).await {
                    Ok(logged_in) => logged_in,
                    Err(why) => {
                        let keep = why.status == 407 && gate.keeps(head) && io.buffer.is_empty();
                        return refuse(gate, io, account, (policy, &asked), &Refused::by(&decision, &why), keep).await;
                    }
                };
                after_hello(worker, io, account, &edition, (asked, logged_in), &decision.reason).await
            }
            Verdict::Allow(_) | Verdict::Deny => decided(worker, io, account, &edition, &asked, decision).await,
        },
        Outcome::Needs(Need::Hello, reason) => after_hello(worker, io, account, &edition, (asked, None), &reason).await,
        Outcome::Needs(Need::InnerRequest, reason) if target.port == 80 => {
            after_request(worker, io, account, policy, &asked, &reason).await
        }
        Outcome::Needs(Need::InnerRequest, reason) if gate.minter.is_some() => {
            after_hello(worker, io, account, &edition, (asked, None), &reason).await
        }
        Outcome::Needs(need, reason) => {
            let asks = if need == Need::User { ask(worker, client, head).await } else { None };
            // Browsers answer on the connection on which they are asked.
            let keep = asks.is_some() && gate.keeps(head) && io.buffer.is_empty();
            let why = asks.unwrap_or_else(|| Why::of_need(&reason)).with_rule(&reason);
            refuse(gate, io, account, (policy, &asked), &Refused::for_need(&reason, &why), keep).await
        }
    }
}

/// Whether a person is to be asked who can be shown a page, since the tunnel is looked into.
fn asks_inside(decision: &Decision) -> bool {
    decision.handling == Handling::Inspect && decision.reason.needs_person()
}

/// The verdict is known at CONNECT: dial, then 200, then look at the first bytes.
async fn decided(
    worker: &Worker,
    io: &mut Io,
    mut account: Account<'_>,
    edition: &Edition,
    asked: &Asked<'_>,
    decision: Decision,
) -> Next {
    let (gate, policy) = (&*worker.gate, &edition.policy);
    if !matches!(decision.verdict, Verdict::Allow(_)) {
        let why = Why::of_decision(&decision);
        return refuse(gate, io, account, (policy, asked), &Refused::by(&decision, &why), false).await;
    }
    if account.open(policy, asked, &decision).await.is_err() {
        return refuse(gate, io, account, (policy, asked), &Refused::by_gate(&Why::evidence()), false).await;
    }
    let Verdict::Allow(permit) = decision.verdict else { return Next::Gone };
    let (terms, limits) = (permit.content(), permit.limits());
    let connected = match worker.dialler.dial(permit, gate.passing(asked.head, edition)).await {
        Ok(connected) => connected,
        Err(error) => return forward::fail_dial(gate, io, account, &error, asked, false).await,
    };
    account.dialled(asked, &connected);
    if let Some(Ok(1..)) = io.stream.plain().map(|tcp| tcp.try_read_buf(&mut io.buffer)) {
        // It did not wait for the answer.
        let why = Why::of_fault(Fault::BytesBehindConnect);
        let page = page(gate, account.id, &why, &asked.target.host.readable(), Some(asked.head), false);
        end(account, asked, &why);
        return send_page(gate, io, &page, false).await;
    }
    if write_all(&mut io.stream, ESTABLISHED, gate.limits.body_timeout).await.is_err() {
        account.close(End { by: Party::Client, how: "write_failed", up: 0, down: 0 });
        return Next::Gone;
    }
    let waits = terms.wait_for_hello();
    let mut first = First::Awaited(None);
    if waits {
        let begun = Instant::now();
        let seen = match first_bytes(gate, &mut io.stream, &mut io.buffer, Patience::Any).await {
            Ok(seen) => seen,
            Err(not_seen) => {
                let Ended { by, how } = not_seen.ended();
                account.close(End { by, how, up: 0, down: 0 });
                return Next::Close;
            }
        };
        account.carries(seen.carries());
        if let FirstBytes::Tls(hello) = &seen {
            account.hello(hello, begun.elapsed());
        }
        match terms.judge(&seen) {
            Content::Passes => {}
            Content::WouldEnd(broken) => account.would_refuse(&Why::of_broken(broken)),
            Content::Ends(broken) => {
                end(account, asked, &Why::of_broken(broken));
                return alert(gate, io, &seen).await;
            }
        }
        first = First::Seen(seen);
    }
    let ending = account.established(0, 0);
    let early_down = connected.early.to_vec();
    let mut tunnelled = Tunnelled::new(gate, connected, ending, asked, (limits, edition.number()), first);
    tunnelled.early_up = std::mem::take(&mut io.buffer).to_vec();
    tunnelled.early_down = early_down;
    tunnelled.watch = (!waits).then(|| Box::new(terms));
    Next::Tunnel(tunnelled)
}

/// Ends a tunnel that stood and may not go on.
fn end(mut account: Account<'_>, asked: &Asked<'_>, why: &Why) {
    account.denied(asked, why);
    account.close(End { by: Party::Gate, how: why.code, up: 0, down: 0 });
}

/// A rule waits for the ClientHello: 200 first, then the hello, then judge again, then dial. What is
/// refused now ends with a TLS alert, since a CONNECT can be answered once only.
async fn after_hello(
    worker: &Worker,
    io: &mut Io,
    mut account: Account<'_>,
    edition: &Edition,
    (asked, logged_in): (Asked<'_>, Option<LoggedIn>),
    reason: &Reason,
) -> Next {
    let (gate, policy) = (&*worker.gate, &edition.policy);
    if account.wait(policy, &asked, reason).await.is_err() {
        return refuse(gate, io, account, (policy, &asked), &Refused::by_gate(&Why::evidence()), false).await;
    }
    if write_all(&mut io.stream, ESTABLISHED, gate.limits.body_timeout).await.is_err() {
        let _ = account.refuse(policy, &asked, &Refused::by_gate(&Why::new(403, "client_closed"))).await;
        return Next::Gone;
    }
    let begun = Instant::now();
    let seen = match first_bytes(gate, &mut io.stream, &mut io.buffer, Patience::Any).await {
        Ok(seen) => seen,
        Err(not_seen) => {
            let why = Why::new(403, not_seen.ended().how);
            let _ = account.refuse(policy, &asked, &Refused::by_gate(&why)).await;
            return Next::Close;
        }
    };
    account.carries(seen.carries());
    let hopeless = match &seen {
        FirstBytes::NestedConnect => Some("nested_connect"),
        FirstBytes::Silent | FirstBytes::Unfinished => Some("hello_timeout"),
        FirstBytes::Tls(_) | FirstBytes::BadTls(_) | FirstBytes::Http | FirstBytes::Ssh | FirstBytes::Other => None,
    };
    if let Some(code) = hopeless.filter(|_| !policy.observes_client(asked.client)) {
        let _ = account.refuse(policy, &asked, &Refused::by_gate(&Why::new(403, code))).await;
        return Next::Close;
    }
    by_first_bytes(worker, io, account, edition, (asked, logged_in), (seen, begun)).await
}

/// Judges again with what the client has said first, which was waited for since `begun`, and then dials.
pub(super) async fn by_first_bytes(
    worker: &Worker,
    io: &mut Io,
    mut account: Account<'_>,
    edition: &Edition,
    (asked, logged_in): (Asked<'_>, Option<LoggedIn>),
    (seen, begun): (FirstBytes, Instant),
) -> Next {
    let (gate, policy) = (&*worker.gate, &edition.policy);
    let hello = match &seen {
        FirstBytes::Tls(hello) => Stage::Known(&**hello),
        // It will never show one: rules that ask for a fingerprint do not match.
        FirstBytes::BadTls(_)
        | FirstBytes::Http
        | FirstBytes::NestedConnect
        | FirstBytes::Ssh
        | FirstBytes::Other
        | FirstBytes::Silent
        | FirstBytes::Unfinished => Stage::Never,
    };
    let at_connect = asked;
    let asked = at_connect.with_hello(gate, policy, hello);
    let mut turns = 0;
    let decision = loop {
        let decision = match account.judge(edition, &asked) {
            Outcome::Decided(decision) => decision,
            // What was captured has shown already that it is TLS.
            Outcome::Needs(Need::InnerRequest, reason)
                if asked.target.port == 80 && asked.client.captured.is_none() =>
            {
                return read_request(worker, io, account, policy, &asked, &reason).await;
            }
            Outcome::Needs(Need::InnerRequest, reason) if gate.minter.is_some() => {
                return inspect(worker, io, account, (policy, &at_connect), (&seen, hello, begun), &reason).await;
            }
            Outcome::Needs(_, reason) => {
                let _ = account.refuse(policy, &asked, &Refused::for_need(&reason, &Why::of_need(&reason))).await;
                return alert(gate, io, &seen).await;
            }
        };
        if !matches!(decision.verdict, Verdict::Challenge) {
            break decision;
        }
        if gate.minter.is_some() && asks_inside(&decision) {
            return inspect(worker, io, account, (policy, &at_connect), (&seen, hello, begun), &decision.reason).await;
        }
        if asked.must_log_in(policy) {
            // It could have been asked before its CONNECT was answered, had its rule not waited for a hello.
            let why = cannot_ask();
            let _ = account.refuse(policy, &asked, &Refused::by(&decision, &why)).await;
            return alert(gate, io, &seen).await;
        }
        match challenge(worker, io, (&asked, &decision), &mut turns, logged_in.as_ref()).await {
            After::Again => {}
            After::Reset(ticket) => {
                reset(worker, io, account, (policy, &asked, &decision), ticket).await;
                return Next::Gone;
            }
            After::Refuse(why) => {
                let why = Why { detail: Why::of_decision(&decision).detail, ..why };
                let _ = account.refuse(policy, &asked, &Refused::by(&decision, &why)).await;
                return alert(gate, io, &seen).await;
            }
        }
    };
    if !matches!(decision.verdict, Verdict::Allow(_)) {
        let why = Why::of_decision(&decision);
        let _ = account.refuse(policy, &asked, &Refused::by(&decision, &why)).await;
        return alert(gate, io, &seen).await;
    }
    if account.open(policy, &asked, &decision).await.is_err() {
        let _ = account.refuse(policy, &asked, &Refused::by_gate(&Why::evidence())).await;
        return alert(gate, io, &seen).await;
    }
    let Verdict::Allow(permit) = decision.verdict else { return Next::Gone };
    match permit.content().judge(&seen) {
        Content::Passes => {}
        Content::WouldEnd(broken) => account.would_refuse(&Why::of_broken(broken)),
        Content::Ends(broken) => {
            end(account, &asked, &Why::of_broken(broken));
            return alert(gate, io, &seen).await;
        }
    }
    let limits = permit.limits();
    let connected = match worker.dialler.dial(permit, gate.passing(asked.head, edition)).await {
        Ok(connected) => connected,
        Err(error) => {
            account.fail(&asked, &error, &Why::of_dial(&error.error));
            return alert(gate, io, &seen).await;
        }
    };
    account.dialled(&asked, &connected);
    if let FirstBytes::Tls(hello) = &seen {
        account.hello(hello, begun.elapsed());
    }
    let ending = account.established(0, 0);
    let early_down = connected.early.to_vec();
    let first = First::Seen(seen);
    let mut tunnelled = Tunnelled::new(gate, connected, ending, &at_connect, (limits, edition.number()), first);
    tunnelled.early_up = std::mem::take(&mut io.buffer).to_vec();
    tunnelled.early_down = early_down;
    Next::Tunnel(tunnelled)
}

/// Ends the TLS in a tunnel that its client asks for with this hello, which was waited for since `begun`. What is no TLS
/// is not looked into.
async fn inspect(
    worker: &Worker,
    io: &mut Io,
    mut account: Account<'_>,
    (policy, asked): (&Policy, &Asked<'_>),
    (seen, hello, begun): (&FirstBytes, Stage<&Hello>, Instant),
    reason: &Reason,
) -> Next {
    let (gate, host) = (&*worker.gate, &asked.target.host);
    let unavailable = |detail: String| Why { detail: Some(detail), ..Why::new(403, "inspection_unavailable") };
    let shown = match (hello, &gate.minter) {
        (Stage::Known(hello), Some(minter)) => match &hello.sni {
            Some(sni) if Host::parse(sni.as_bytes()).ok().as_ref() != Some(host) => {
                Err(Why { detail: Some(format!("the ClientHello names {sni}")), ..Why::new(403, "sni_mismatch") })
            }
            Some(_) | None => match minter.server_config(host, Offered::Http2, clock::now()) {
                Ok(config) => Ok((config, hello)),
                Err(error) => Err(unavailable(error.to_string())),
            },
        },
        (_, _) => Err(Broken::of_first_bytes(seen)
            .map_or_else(|| unavailable("there is no authority to vouch for it".to_owned()), Why::of_broken)),
    };
    let (config, hello) = match shown {
        Ok(shown) => shown,
        Err(why) => {
            let asked = asked.with_hello(gate, policy, hello);
            let _ = account.refuse(policy, &asked, &Refused::for_need(reason, &why)).await;
            return alert(gate, io, seen).await;
        }
    };
    if account.open_for_request(policy, asked, Some(reason)).await.is_err() {
        let _ = account.refuse(policy, asked, &Refused::by_gate(&Why::evidence())).await;
        return alert(gate, io, seen).await;
    }
    account.hello(hello, begun.elapsed());
    let ending = account.established(0, 0);
    let (client, target, hello) = (asked.client.clone(), asked.target.clone(), Box::new(hello.clone()));
    Next::Inspect(Box::new(Inspected {
        ending,
        config,
        inside: Inside { outer: ending.id, client, target, hello },
        is_trial: false,
    }))
}

pub(super) async fn alert(gate: &Gate, io: &mut Io, seen: &FirstBytes) -> Next {
    if seen.speaks_tls() {
        let _ = write_all(&mut io.stream, ALERT_UNRECOGNIZED_NAME, gate.limits.body_timeout).await;
    }
    Next::Close
}

/// A tunnel to port 80 may carry a WebSocket handshake and nothing else (what browsers do for
/// `ws://`): 200 first, then the request in it, which is judged and recorded like a plain one.
async fn after_request(
    worker: &Worker,
    io: &mut Io,
    account: Account<'_>,
    policy: &Policy,
    asked: &Asked<'_>,
    reason: &Reason,
) -> Next {
    let gate = &*worker.gate;
    if account.wait(policy, asked, reason).await.is_err() {
        return refuse(gate, io, account, (policy, asked), &Refused::by_gate(&Why::evidence()), false).await;
    }
    if write_all(&mut io.stream, ESTABLISHED, gate.limits.body_timeout).await.is_err() {
        let _ = account.refuse(policy, asked, &Refused::by_gate(&Why::new(403, "client_closed"))).await;
        return Next::Gone;
    }
    read_request(worker, io, account, policy, asked, reason).await
}

async fn read_request(
    worker: &Worker,
    io: &mut Io,
    mut account: Account<'_>,
    policy: &Policy,
    asked: &Asked<'_>,
    reason: &Reason,
) -> Next {
    let gate = &*worker.gate;
    if account.open_for_request(policy, asked, Some(reason)).await.is_err() {
        let _ = account.refuse(policy, asked, &Refused::by_gate(&Why::evidence())).await;
        return Next::Close;
    }
    let outer = account.id;
    let mut held = gate.head_room.claim();
    let head = match read_head(gate, io, &mut held).await {
        Ok(Some(head)) => head,
        Ok(None) => {
            account.close(End { by: Party::Client, how: "client_closed", up: 0, down: 0 });
            return Next::Close;
        }
        Err(why) => return refuse_inner(worker, io, account, (policy, asked.client), None, &why).await,
    };
    if head.method() == "CONNECT" {
        let why = Why::new(403, "nested_connect");
        return refuse_inner(worker, io, account, (policy, asked.client), Some(&head), &why).await;
    }
    let request = match understand_inner(head.clone(), asked.target, Scheme::Http) {
        Ok(request) => request,
        Err(fault) => {
            let why = Why::of_fault(fault);
            return refuse_inner(worker, io, account, (policy, asked.client), Some(&head), &why).await;
        }
    };
    account.carries("http");
    account.close(End { by: Party::Gate, how: "inner_request", up: 0, down: 0 });
    let Form::Absolute(target) = &request.form else { return Next::Close };
    if !is_websocket(&request.head, request.body) {
        let asked = Asked::new((gate, policy), asked.client, &request.head, target, asked.shown_in_clear());
        let why = gate.looped(asked.head).unwrap_or_else(|| Why::new(403, "not_websocket"));
        let inner = Account::new(worker, Some(outer));
        return refuse(gate, io, inner, (policy, &asked), &Refused::by_gate(&why), false).await;
    }
    match forward::serve(worker, io, asked.client, &request, target, (Some(outer), asked.shown_in_clear())).await {
        // A second request would not be a handshake.
        Next::Again => Next::Close,
        next => next,
    }
}

async fn refuse_inner(
    worker: &Worker,
    io: &mut Io,
    account: Account<'_>,
    (policy, client): (&Policy, &Client),
    head: Option<&RequestHead>,
    why: &Why,
) -> Next {
    let gate = &*worker.gate;
    let inner = Account::new(worker, Some(account.id));
    let page = page(gate, inner.id, why, "-", head, false);
    let _ = inner.refuse_bytes(policy, client, head, why).await;
    account.close(End { by: Party::Gate, how: why.code, up: 0, down: 0 });
    send_page(gate, io, &page, false).await
}

//! Connections of clients that went past the proxy, and were captured on their way: judged by the name that they give, and
//! never let on to where they were going.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::facts::{Client, Host, Scheme, Stage, Target};
use crate::parse::{FirstBytes, Form, HelloFault, Request, connect_head};

use super::account::{Account, Asked, Refused};
use super::connect::{alert, by_first_bytes};
use super::connection::refuse_bytes;
use super::forward;
use super::gate::{Counted, Worker};
use super::io::{Io, Next};
use super::look::{Patience, first_bytes};
use super::why::Why;

/// Waits until it is plain what a captured client speaks. `Next::Again` means HTTP, which is in the buffer; TLS is judged
/// here, and all else refused.
pub(super) async fn begin(worker: &Worker, io: &mut Io, client: &Client, meant: SocketAddr) -> Next {
    let gate = &*worker.gate;
    if worker.dialler.is_own(meant) {
        let detail = format!("the connection was on its way to {meant}, which is the gate itself");
        let why = Why { detail: Some(detail), ..Why::new(403, "not_captured") };
        return refuse(worker, io, client, (meant, None), &why).await;
    }
    let begun = Instant::now();
    let seen = match first_bytes(gate, &mut io.stream, &mut io.buffer, Patience::Any).await {
        Ok(seen) => seen,
        Err(not_seen) => {
            return refuse(worker, io, client, (meant, None), &Why::new(403, not_seen.ended().how)).await;
        }
    };
    let _busy = Counted::new(&gate.counters.exchanges);
    let why = match &seen {
        // A CONNECT shows by its head, which says for whom it is meant.
        FirstBytes::Http | FirstBytes::NestedConnect => return Next::Again,
        FirstBytes::Tls(hello) => match hello.sni.as_deref().map(|sni| Host::parse(sni.as_bytes())) {
            Some(Ok(host @ Host::Name(_))) => {
                let target = Target { scheme: Scheme::Tunnel, host, port: meant.port(), path: None };
                return judge_tls(worker, io, client, &target, (seen, begun)).await;
            }
            // An address is no server name (RFC 6066 §3), and would be the client's own choice of where to go.
            Some(_) => Why { detail: Some(HelloFault::BadSni.to_string()), ..Why::new(403, HelloFault::BadSni.name()) },
            None => Why::new(403, "sni_missing"),
        },
        FirstBytes::BadTls(fault) => Why { detail: Some(fault.to_string()), ..Why::new(403, fault.name()) },
        FirstBytes::Ssh | FirstBytes::Other | FirstBytes::Silent | FirstBytes::Unfinished => {
            let detail = format!("the first bytes are {}", seen.carries());
            Why { detail: Some(detail), ..Why::new(403, "not_http_or_tls") }
        }
    };
    refuse(worker, io, client, (meant, Some(&seen)), &why).await
}

/// Judges TLS as a CONNECT to the name in its hello. It is told nothing but an alert.
async fn judge_tls(
    worker: &Worker,
    io: &mut Io,
    client: &Client,
    target: &Target,
    (seen, begun): (FirstBytes, Instant),
) -> Next {
    let gate = &*worker.gate;
    let edition = gate.policy.now();
    let mut account = Account::new(worker, None);
    account.carries(seen.carries());
    let head = connect_head(target);
    let asked = Asked::new((gate, &edition.policy), client, &head, target, Stage::NotYet);
    Box::pin(by_first_bytes(worker, io, account, &edition, (asked, None), (seen, begun))).await
}

/// Answers a request in clear.
pub(super) async fn exchange(worker: &Worker, io: &mut Io, client: &Client, request: &Request) -> Next {
    match &request.form {
        Form::Absolute(target) => {
            forward::serve(worker, io, client, request, target, (None, Stage::Never.into())).await
        }
        // It takes where it was going for a proxy.
        Form::Connect(_) | Form::Origin(_) => {
            refuse_bytes(worker, io, client, Some(&request.head), Why::new(403, "nested_connect")).await
        }
    }
}

/// Refuses what names nothing that it could be judged by; the record has the address to which it was going as its host.
async fn refuse(
    worker: &Worker,
    io: &mut Io,
    client: &Client,
    (meant, seen): (SocketAddr, Option<&FirstBytes>),
    why: &Why,
) -> Next {
    let gate = &*worker.gate;
    let policy = &gate.policy.now().policy;
    let host = match meant.ip() {
        IpAddr::V4(address) => Host::V4(address),
        IpAddr::V6(address) => Host::V6(address),
    };
    let target = Target { scheme: Scheme::Tunnel, host, port: meant.port(), path: None };
    let hello = match seen {
        Some(FirstBytes::Tls(hello)) => Stage::Known(&**hello),
        Some(_) | None => Stage::Never,
    };
    let mut account = Account::new(worker, None);
    if let Some(seen) = seen {
        account.carries(seen.carries());
    }
    let head = connect_head(&target);
    let asked = Asked::new((gate, policy), client, &head, &target, hello);
    let _ = account.refuse(policy, &asked, &Refused::by_gate(why)).await;
    match seen {
        Some(seen) => alert(gate, io, seen).await,
        None => Next::Close,
    }
}

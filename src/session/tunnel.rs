use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use bytes::BytesMut;
use tokio::net::TcpStream;

use crate::facts::Host;
use crate::policy::{Permit, TunnelLimits};

use super::account::{Asked, End, Ending, describe_hello, describe_would};
use super::gate::{Counted, Gate, Worker};
use super::io::{linger, write_all};
use super::look::{ALERT_UNRECOGNIZED_NAME, Look, Patience, first_bytes, sni_agrees};
use super::relay::{Ended, Relay};
use super::tunnels::{Entry, Tunnel};
use super::why::Why;

/// A tunnel that stands: both sockets and the little that its end needs.
pub(super) struct Tunnelled {
    origin: TcpStream,
    ending: Ending,
    entry: Entry,
    /// Bytes already read that go to the origin first.
    pub(super) early_up: Vec<u8>,
    /// Bytes already read that go to the client first.
    pub(super) early_down: Vec<u8>,
    /// What the client's first bytes are held to, where they were not waited for.
    pub(super) watch: Option<Box<Watch>>,
}

/// What the permit says of a tunnel's content, kept after the dial has spent it.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    host: Host,
    any_protocol: bool,
    any_sni: bool,
    observed: bool,
}

impl Watch {
    pub(super) fn of(permit: &Permit) -> Self {
        Self {
            host: permit.host().clone(),
            any_protocol: permit.any_protocol(),
            any_sni: permit.any_sni(),
            observed: permit.observed(),
        }
    }

    /// Whether nothing passes before the client has shown a ClientHello that agrees.
    pub(super) fn waits_for_hello(&self) -> bool {
        !self.any_protocol && !self.observed
    }

    /// What these bytes break, if anything, and whether that ends the tunnel.
    pub(super) fn judge(&self, look: &Look) -> Result<Option<Why>, Why> {
        let broken = match look {
            Look::Tls(hello) if self.any_sni || sni_agrees(hello, &self.host) => return Ok(None),
            Look::Tls(hello) => Why {
                detail: hello.sni.as_deref().map(|sni| format!("the ClientHello names {sni}")),
                ..Why::new(403, "sni_mismatch")
            },
            Look::NestedConnect => Why::new(403, "nested_connect"),
            Look::BadTls(_) | Look::Http | Look::Ssh | Look::Other if self.any_protocol => return Ok(None),
            Look::BadTls(fault) => Why { detail: Some(fault.to_string()), ..Why::new(403, fault.name()) },
            Look::Http | Look::Ssh | Look::Other => {
                Why { detail: Some(format!("the first bytes are {}", look.carries())), ..Why::new(403, "not_tls") }
            }
        };
        if self.observed { Ok(Some(broken)) } else { Err(broken) }
    }
}

enum Speaks {
    Client,
    Origin,
}

impl Tunnelled {
    pub(super) fn new(gate: &Gate, origin: TcpStream, ending: Ending, asked: &Asked<'_>, limits: TunnelLimits) -> Self {
        let entry = Entry {
            id: ending.id,
            client: asked.client.address,
            host: asked.target.host.to_string().into(),
            port: asked.target.port,
            idle: limits.idle.unwrap_or(gate.limits.tunnel_idle),
            lifetime: limits.lifetime.unwrap_or(gate.limits.tunnel_lifetime),
        };
        Self { origin, ending, entry, early_up: Vec::new(), early_down: Vec::new(), watch: None }
    }

    /// Carries bytes both ways to the tunnel's end, and records it.
    // Not an `async fn`: its arguments would be held a second time beside what is made of them.
    pub(super) fn carry(self, worker: &Worker, client: TcpStream) -> impl Future<Output = ()> {
        let Self { origin, ending, entry, early_up, early_down, watch } = self;
        let tunnel = worker.tunnels.enter(entry);
        let mut relay = Relay::new(client, origin, early_up, early_down);
        async move {
            let _counted = Counted::new(&worker.gate.counters.tunnels);
            let mut ended = None;
            if let Some(watch) = watch {
                match speaks_first(&relay, &tunnel).await {
                    Ok(Speaks::Origin) => {}
                    Ok(Speaks::Client) => ended = Box::pin(look(worker, &mut relay, &ending, *watch)).await,
                    Err(cut) => ended = Some(cut),
                }
            }
            let ended = match ended {
                Some(ended) => ended,
                None => poll_fn(|context| relay.poll(context, &tunnel)).await,
            };
            worker.tunnels.leave(&tunnel);
            let (up, down) = tunnel.bytes();
            let first_byte = tunnel.first_byte(ending.begun);
            ending.close(worker, End { by: ended.by, how: ended.how, up, down }, first_byte);
        }
    }
}

/// Looks at the client's first bytes, records what they are, and ends the tunnel if they may not be.
async fn look(worker: &Worker, relay: &mut Relay, ending: &Ending, watch: Watch) -> Option<Ended> {
    let gate = &*worker.gate;
    let begun = Instant::now();
    let mut buffer = BytesMut::new();
    let looked = first_bytes(gate, &mut relay.client, &mut buffer, Patience::WhatIsHeld).await;
    relay.send_up(buffer.to_vec());
    // Whoever says less than a hello in that time says something that is not held to one.
    let Ok(look) = looked else { return None };
    let judged = watch.judge(&look);
    ending.first_bytes(worker, |record| {
        record.carries = Some(look.carries());
        if let Look::Tls(hello) = &look {
            describe_hello(record, hello);
            record.hello_us = u64::try_from(begun.elapsed().as_micros()).ok();
        }
        if let Ok(Some(would)) = &judged {
            describe_would(record, would);
        }
    });
    let why = judged.err()?;
    if matches!(look, Look::Tls(_)) {
        let _ = write_all(&mut relay.client, ALERT_UNRECOGNIZED_NAME, gate.limits.body_timeout).await;
    }
    linger(&mut relay.client).await;
    Some(Ended { by: "gate", how: why.code })
}

/// Waits, holding nothing, until one side has something to say or the tunnel is cut.
async fn speaks_first(relay: &Relay, tunnel: &Tunnel) -> Result<Speaks, Ended> {
    poll_fn(|context| {
        if let Some(cut) = tunnel.poll_cut(context) {
            return Poll::Ready(Err(cut.into()));
        }
        if relay.client.poll_read_ready(context).is_ready() {
            return Poll::Ready(Ok(Speaks::Client));
        }
        if relay.origin.poll_read_ready(context).is_ready() {
            return Poll::Ready(Ok(Speaks::Origin));
        }
        Poll::Pending
    })
    .await
}

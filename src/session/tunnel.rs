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
use super::relay::{self, Ended};
use super::tunnels::{Entry, Tunnel};
use super::why::Why;

/// A tunnel that stands: both sockets and the little that its end needs.
pub(super) struct Tunnelled {
    origin: TcpStream,
    ending: Ending,
    /// Taken when the tunnel is entered among the live ones.
    entry: Option<Box<Entry>>,
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
        Self { origin, ending, entry: Some(Box::new(entry)), early_up: Vec::new(), early_down: Vec::new(), watch: None }
    }

    /// Carries bytes both ways to the tunnel's end, and records it.
    pub(super) async fn carry(mut self, worker: &Worker, mut client: TcpStream) {
        let Some(entry) = self.entry.take() else { return };
        let tunnel = worker.tunnels.enter(*entry);
        let _counted = Counted::new(&worker.gate.counters.tunnels);
        let ended = match self.watch.take() {
            None => None,
            Some(watch) => match speaks_first(&client, &self.origin, &tunnel).await {
                Ok(Speaks::Origin) => None,
                Ok(Speaks::Client) => Box::pin(self.look(worker, &mut client, *watch)).await,
                Err(ended) => Some(ended),
            },
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                let early = (std::mem::take(&mut self.early_up), std::mem::take(&mut self.early_down));
                relay::run(&mut client, &mut self.origin, early, &tunnel).await
            }
        };
        worker.tunnels.leave(&tunnel);
        let (up, down) = tunnel.bytes();
        let first_byte = tunnel.first_byte(self.ending.begun);
        self.ending.close(&worker.gate, End { by: ended.by, how: ended.how, up, down }, first_byte);
    }

    /// Looks at the client's first bytes, records what they are, and ends the tunnel if they may not be.
    async fn look(&mut self, worker: &Worker, client: &mut TcpStream, watch: Watch) -> Option<Ended> {
        let gate = &*worker.gate;
        let begun = Instant::now();
        let mut buffer = BytesMut::from(self.early_up.as_slice());
        let looked = first_bytes(gate, client, &mut buffer, Patience::WhatIsHeld).await;
        self.early_up = buffer.to_vec();
        // Whoever says less than a hello in that time says something that is not held to one.
        let Ok(look) = looked else { return None };
        let judged = watch.judge(&look);
        self.ending.first_bytes(gate, |record| {
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
            let _ = write_all(client, ALERT_UNRECOGNIZED_NAME, gate.limits.body_timeout).await;
        }
        linger(client).await;
        Some(Ended { by: "gate", how: why.code })
    }
}

/// Waits, holding nothing, until one side has something to say or the tunnel is cut.
async fn speaks_first(client: &TcpStream, origin: &TcpStream, tunnel: &Tunnel) -> Result<Speaks, Ended> {
    poll_fn(|context| {
        if let Some(cut) = tunnel.poll_cut(context) {
            return Poll::Ready(Err(cut.into()));
        }
        if client.poll_read_ready(context).is_ready() {
            return Poll::Ready(Ok(Speaks::Client));
        }
        if origin.poll_read_ready(context).is_ready() {
            return Poll::Ready(Ok(Speaks::Origin));
        }
        Poll::Pending
    })
    .await
}

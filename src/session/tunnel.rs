use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use crate::clock;
use crate::facts::Party;
use crate::parse::FirstBytes;
use crate::policy::{Content, ContentTerms, TunnelLimits};
use crate::tls::Stream;
use crate::upstream::Connected;

use super::account::{Asked, End, Ending};
use super::describe::{describe_denial, describe_hello, describe_would, micros};
use super::gate::{Counted, Gate, Worker};
use super::io::{linger, write_all};
use super::look::{ALERT_UNRECOGNIZED_NAME, NotSeen, Patience, first_bytes};
use super::relay::{Ended, Relay};
use super::secured::Secured;
use super::standing::{First, Known};
use super::tunnels::{Cut, Entry, Tunnel};
use super::why::Why;

/// A tunnel that stands: both sockets and the little that its end needs.
pub(super) struct Tunnelled {
    origin: Stream,
    ending: Ending,
    entry: Entry,
    /// Bytes already read that go to the origin first.
    pub(super) early_up: Vec<u8>,
    /// Bytes already read that go to the client first.
    pub(super) early_down: Vec<u8>,
    /// What the client's first bytes are held to, where they were not waited for.
    pub(super) watch: Option<Box<ContentTerms>>,
}

impl Tunnelled {
    /// `edition` is the number of what the exchange was judged by, and `first` what its client said first.
    pub(super) fn new(
        gate: &Gate,
        connected: Connected,
        ending: Ending,
        asked: &Asked<'_>,
        (limits, edition): (TunnelLimits, u32),
        first: First,
    ) -> Self {
        let known = Known::of(asked, &connected, first);
        let bounds = gate.limits.of_tunnel(limits);
        let entry = Entry { id: ending.id, bounds, known, edition };
        let origin = connected.stream;
        Self { origin, ending, entry, early_up: Vec::new(), early_down: Vec::new(), watch: None }
    }

    /// Carries bytes both ways to the tunnel's end, and records it.
    // Not an `async fn`: its arguments would be held a second time beside what is made of them.
    pub(super) fn carry(self, worker: &Worker, client: Stream) -> impl Future<Output = ()> {
        let Self { origin, ending, entry, early_up, early_down, watch } = self;
        let tunnel = worker.tunnels.enter(entry);
        // What was imposed while it was set up ends it before it carries a byte.
        worker.hold_to_restraints(&tunnel);
        let mut standing = Standing { worker, ending, tunnel, closed: false };
        let mut carrier = match (client, origin) {
            (Stream::Plain(client), Stream::Plain(origin)) => {
                Carrier::Plain(Relay::new(client, origin, early_up, early_down))
            }
            (client, origin) => Carrier::Secured(Box::new(Secured { client, origin, early_up, early_down })),
        };
        async move {
            let _counted = Counted::new(&worker.gate.counters.tunnels);
            let relay = match &mut carrier {
                Carrier::Plain(relay) => relay,
                Carrier::Secured(secured) => {
                    let ended = Box::pin(secured.carry(&standing.tunnel)).await;
                    return standing.close(ended);
                }
            };
            let mut ended = None;
            if let Some(watch) = watch {
                match poll_fn(|context| relay.poll_until_client_speaks(context, &standing.tunnel)).await {
                    None => ended = Box::pin(look(&standing, relay, *watch)).await,
                    early => ended = early,
                }
            }
            let ended = match ended {
                Some(ended) => ended,
                None => poll_fn(|context| relay.poll(context, &standing.tunnel)).await,
            };
            standing.close(ended);
        }
    }
}

/// What carries a tunnel's bytes, by whether a side is inside TLS. It is not moved once it carries.
enum Carrier {
    Plain(Relay),
    Secured(Box<Secured>),
}

/// A live tunnel among the others; however it ends, it leaves them and closes on record.
struct Standing<'w> {
    worker: &'w Worker,
    ending: Ending,
    tunnel: Arc<Tunnel>,
    closed: bool,
}

impl Standing<'_> {
    fn close(&mut self, ended: Ended) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.worker.tunnels.leave(&self.tunnel);
        let (up, down) = self.tunnel.bytes();
        let cut = [Cut::Policy, Cut::Restrained].into_iter().any(|cut| ended == cut.into());
        let ruling = self.tunnel.take_ruling().filter(|ruling| cut || ruling.observes());
        if cut {
            self.worker.gate.counters.count_refusal(ended.how);
            self.remember(ruling.as_ref().map_or((ended.how, None), |ruling| ruling.why()));
        }
        let end = End { by: ended.by, how: ended.how, up, down };
        self.ending.close(self.worker, end, |record| {
            if let Some(ruling) = ruling {
                ruling.describe(record);
            }
            record.first_byte_us = self.tunnel.first_byte(self.ending.begun).map(micros);
            record.bursts = self.tunnel.last_bursts();
        });
    }
}

impl Standing<'_> {
    /// For the person at the client.
    fn remember(&self, why: (&'static str, Option<&str>)) {
        let known = self.tunnel.known();
        let refused = known.refused(self.ending.id, why);
        self.worker.gate.refusals.note(known.client.address.ip(), refused);
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.close(Cut::Drained.into());
    }
}

/// Looks at the client's first bytes, records what they are, and ends the tunnel if they may not be.
async fn look(standing: &Standing<'_>, relay: &mut Relay, terms: ContentTerms) -> Option<Ended> {
    let gate = &*standing.worker.gate;
    let (begun, spoke) = (Instant::now(), clock::moment());
    let mut buffer = BytesMut::new();
    let looked = first_bytes(gate, &mut relay.client, &mut buffer, Patience::WhatIsHeld).await;
    if !buffer.is_empty() {
        standing.tunnel.hears_at(spoke, true);
    }
    relay.send_up(buffer.to_vec());
    let seen = match looked {
        Ok(seen) => seen,
        // There is nothing more to look at.
        Err(NotSeen::ClientClosed) => return None,
        Err(NotSeen::Exhausted) => return Some(NotSeen::Exhausted.ended()),
    };
    // A policy that has judged the tunnel again may have said more of what it may carry.
    let terms = standing.tunnel.known().terms().unwrap_or(terms);
    let judged = terms.judge(&seen);
    standing.ending.first_bytes(standing.worker, |record| {
        record.carries = Some(seen.carries());
        if let FirstBytes::Tls(hello) = &seen {
            describe_hello(record, hello);
            record.hello_us = u64::try_from(begun.elapsed().as_micros()).ok();
        }
        match judged.clone() {
            Content::Passes => {}
            Content::WouldEnd(broken) => describe_would(record, &Why::of_broken(broken)),
            Content::Ends(broken) => describe_denial(record, &Why::of_broken(broken)),
        }
    });
    let speaks_tls = seen.speaks_tls();
    standing.tunnel.known().saw(seen);
    let Content::Ends(broken) = judged else { return None };
    gate.counters.count_refusal(broken.code);
    standing.remember((broken.code, broken.detail.as_deref()));
    if speaks_tls {
        let _ = write_all(&mut relay.client, ALERT_UNRECOGNIZED_NAME, gate.limits.body_timeout).await;
    }
    linger(&mut relay.client).await;
    Some(Ended { by: Party::Gate, how: broken.code })
}

//! Tunnels whose TLS the gate ends: each request in them is judged and answered as every other.

use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, ServerConfig};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use crate::clock;
use crate::facts::{Client, ClientKey, ExchangeId, Hello, Party, Scheme, Stage, Target};
use crate::parse::{Form, Http2Opening, understand_inner};
use crate::tls::{Rewound, Stream};

use super::account::{Account, Asked, End, Ending, Refused};
use super::connection::{page, read_head, refuse, send_page, until_something_comes};
use super::forward;
use super::gate::{Counted, Worker};
use super::io::{Io, Next, linger};
use super::streams::{self, Asker};
use super::trial;
use super::tunnel::Tunnelled;
use super::who::Shown;
use super::why::Why;

/// A tunnel whose CONNECT is answered, and whose client has said hello.
pub(super) struct Inspected {
    pub(super) ending: Ending,
    pub(super) config: Arc<ServerConfig>,
    pub(super) inside: Inside,
    /// Its client tries the next authority, and asks for nothing else.
    pub(super) is_trial: bool,
}

/// What all requests in a tunnel have in common.
pub(super) struct Inside {
    /// The tunnel's exchange.
    pub(super) outer: ExchangeId,
    pub(super) client: Client,
    /// What the CONNECT asked for.
    pub(super) target: Target,
    pub(super) hello: Box<Hello>,
}

/// The record of the tunnel, which closes however its task ends.
struct OnRecord<'w> {
    worker: &'w Worker,
    ending: Ending,
    closed: bool,
}

impl OnRecord<'_> {
    fn close(&mut self, by: Party, how: &'static str) {
        if !std::mem::replace(&mut self.closed, true) {
            self.ending.close(self.worker, End { by, how, up: 0, down: 0 }, |_| {});
        }
    }

    /// Closes the record, and then the connection: in TLS too, or to the client it would look cut.
    async fn leave(&mut self, io: &mut Io, how: &'static str) {
        self.close(Party::Gate, how);
        Box::pin(linger(&mut io.stream)).await;
    }
}

impl Drop for OnRecord<'_> {
    fn drop(&mut self) {
        self.close(Party::Gate, "gate_stopped");
    }
}

impl Inspected {
    /// Shakes hands with the client and answers its requests to its end, or to where it becomes another tunnel.
    pub(super) async fn serve(self, worker: &Arc<Worker>, io: Io) -> Option<(Tunnelled, Stream)> {
        let gate = &*worker.gate;
        let Self { ending, config, inside, is_trial } = self;
        let mut record = OnRecord { worker, ending, closed: false };
        let client = ClientKey::of(inside.client.address.ip());
        let handshake = TlsAcceptor::from(config).accept(Rewound::new(io.buffer, io.stream));
        let secured = match timeout(gate.limits.hello_timeout, handshake).await {
            Ok(Ok(secured)) => secured,
            Ok(Err(error)) => {
                let is_refused = is_refusal(&error);
                if is_refused && is_trial {
                    trial::shook(gate, &inside, false);
                } else if is_refused {
                    gate.reach.shook(client, &inside.target.host, false);
                }
                record.close(Party::Client, if is_refused { "tls_refused" } else { "tls_failed" });
                return None;
            }
            Err(_) => {
                record.close(Party::Client, "hello_timeout");
                return None;
            }
        };
        if is_trial {
            trial::shook(gate, &inside, true);
            let mut io = Io::new(Stream::Secured(Box::new(secured.into())), None);
            let how = if trial::answer(gate, &mut io).await { "complete" } else { "closed" };
            record.leave(&mut io, how).await;
            return None;
        }
        gate.reach.shook(client, &inside.target.host, true);
        let _inspected = Counted::new(&gate.counters.inspected);
        let ends = Instant::now() + gate.limits.tunnel_lifetime;
        let is_http2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Stream::Secured(Box::new(secured.into()));
        if is_http2 {
            let ended = streams::serve(worker, stream, Asker::Inside(inside), Some(ends)).await;
            record.close(ended.by, ended.how);
            return None;
        }
        let mut io = Io::new(stream, None);
        loop {
            if Instant::now() >= ends {
                record.leave(&mut io, "lifetime_limit").await;
                return None;
            }
            if io.buffer.is_empty() {
                match timeout(gate.limits.keep_alive_timeout, until_something_comes(&mut io)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => {
                        record.close(Party::Client, "closed");
                        return None;
                    }
                    Err(_) => {
                        record.leave(&mut io, "closed").await;
                        return None;
                    }
                }
            }
            match inside.answer_next(worker, &mut io, None).await {
                Next::Again => {}
                Next::Close => {
                    record.leave(&mut io, "closed").await;
                    return None;
                }
                Next::Gone => {
                    record.close(Party::Client, "closed");
                    return None;
                }
                Next::Broken => {
                    // Whose fault it is stands in the record of the exchange inside.
                    io.reset_on_close();
                    record.close(Party::Gate, "reset");
                    return None;
                }
                Next::Tunnel(tunnelled) => {
                    record.close(Party::Client, "upgraded");
                    return Some((tunnelled, io.stream));
                }
                // No request inside asks for a tunnel.
                Next::Inspect(_) => {
                    record.close(Party::Gate, "nested_connect");
                    return None;
                }
            }
        }
    }
}

impl Inside {
    /// Reads the next request and answers it. `opening` is how the HTTP/2 connection began on which it comes.
    pub(super) async fn answer_next(&self, worker: &Worker, io: &mut Io, opening: Option<&Http2Opening>) -> Next {
        let _busy = Counted::new(&worker.gate.counters.exchanges);
        Box::pin(self.exchange(worker, io, opening)).await
    }

    async fn exchange(&self, worker: &Worker, io: &mut Io, opening: Option<&Http2Opening>) -> Next {
        let gate = &*worker.gate;
        let edition = gate.policy.now();
        let mut held = gate.head_room.claim();
        let head = match read_head(gate, io, &mut held).await {
            Ok(Some(head)) => head,
            Ok(None) => return Next::Gone,
            Err(why) => {
                let account = Account::new(worker, Some(self.outer));
                let id = account.id;
                let recorded = account.refuse_bytes(&edition.policy, &self.client, None, &why).await;
                let why = if recorded.is_ok() { why } else { Why::evidence() };
                let page = page(gate, id, &why, &self.target.host.readable(), None, false);
                return send_page(gate, io, &page, false).await;
            }
        };
        io.head_at = clock::moment();
        let shown = Shown { opening, ..Stage::Known(&*self.hello).into() };
        let request = match understand_inner(head.clone(), &self.target, Scheme::Https) {
            Ok(request) => request,
            Err(fault) => {
                let code =
                    if head.method() == "CONNECT" { Why::new(403, "nested_connect") } else { Why::of_fault(fault) };
                let target = Target { scheme: Scheme::Https, ..self.target.clone() };
                let asked = Asked::new((gate, &edition.policy), &self.client, &head, &target, shown);
                let account = Account::new(worker, Some(self.outer));
                return refuse(gate, io, account, (&edition.policy, &asked), &Refused::by_gate(&code), false).await;
            }
        };
        let Form::Absolute(target) = &request.form else { return Next::Close };
        forward::serve(worker, io, &self.client, &request, target, (Some(self.outer), shown)).await
    }
}

/// Whether the client says that it does not take the certificate (RFC 8446 §6.2), and not only that it leaves.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    let alert = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        alert,
        Some(rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError
        ))
    )
}

//! Tunnels whose TLS the gate ends: each request in them is judged and answered as every other.

use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, ServerConfig};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::clock;
use crate::facts::{Client, ClientKey, Hello, Party, Scheme, Stage, Target};
use crate::parse::{Form, understand_inner};
use crate::tls::{Rewound, Stream};

use super::account::{Account, Asked, End, Ending, Refused};
use super::connection::{page, read_head, refuse, send_page, until_something_comes};
use super::forward;
use super::gate::{Counted, Worker};
use super::io::{Io, Next, linger, reset_on_close};
use super::tunnel::Tunnelled;
use super::why::Why;

/// A tunnel whose CONNECT is answered, and whose client has said hello.
pub(super) struct Inspected {
    pub(super) ending: Ending,
    pub(super) config: Arc<ServerConfig>,
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
            self.ending.close(self.worker, End { by, how, up: 0, down: 0 }, None, None);
        }
    }
}

impl Drop for OnRecord<'_> {
    fn drop(&mut self) {
        self.close(Party::Gate, "gate_stopped");
    }
}

impl Inspected {
    /// Shakes hands with the client and answers its requests to its end, or to where it becomes another tunnel.
    pub(super) async fn serve(self, worker: &Worker, io: Io) -> Option<(Tunnelled, Stream)> {
        let gate = &*worker.gate;
        let mut record = OnRecord { worker, ending: self.ending, closed: false };
        let client = ClientKey::of(self.client.address.ip());
        let Io { stream: Stream::Plain(tcp), buffer, .. } = io else {
            record.close(Party::Gate, "nested_connect");
            return None;
        };
        let handshake = TlsAcceptor::from(self.config.clone()).accept(Rewound::new(buffer, tcp));
        let secured = match timeout(gate.limits.hello_timeout, handshake).await {
            Ok(Ok(secured)) => secured,
            Ok(Err(error)) => {
                let is_refused = is_refusal(&error);
                if is_refused {
                    gate.reach.shook(client, &self.target.host, false);
                }
                record.close(Party::Client, if is_refused { "tls_refused" } else { "tls_failed" });
                return None;
            }
            Err(_) => {
                record.close(Party::Client, "hello_timeout");
                return None;
            }
        };
        gate.reach.shook(client, &self.target.host, true);
        let stream = Stream::Secured(Box::new(secured.into()));
        let mut io = Io { stream, buffer: Default::default(), head_at: clock::moment(), pinned: None };
        loop {
            if io.buffer.is_empty()
                && !matches!(timeout(gate.limits.keep_alive_timeout, until_something_comes(&mut io)).await, Ok(Ok(())))
            {
                record.close(Party::Client, "closed");
                return None;
            }
            let next = {
                let _busy = Counted::new(&gate.counters.exchanges);
                Box::pin(self.exchange(worker, &mut io)).await
            };
            match next {
                Next::Again => {}
                Next::Close => {
                    Box::pin(linger(&mut io.stream)).await;
                    record.close(Party::Gate, "closed");
                    return None;
                }
                Next::Gone => {
                    record.close(Party::Client, "closed");
                    return None;
                }
                Next::Broken => {
                    reset_on_close(io.stream.tcp());
                    record.close(Party::Origin, "reset");
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

    /// Answers one request.
    async fn exchange(&self, worker: &Worker, io: &mut Io) -> Next {
        let gate = &*worker.gate;
        let edition = gate.policy.now();
        let outer = self.ending.id;
        let mut held = gate.head_room.claim();
        let head = match read_head(gate, io, &mut held).await {
            Ok(Some(head)) => head,
            Ok(None) => return Next::Gone,
            Err(why) => {
                let account = Account::new(worker, Some(outer));
                let id = account.id;
                let recorded = account.refuse_bytes(&edition.policy, &self.client, None, &why).await;
                let why = if recorded.is_ok() { why } else { Why::evidence() };
                let page = page(gate, id, &why, &self.target.host.readable(), None, false);
                return send_page(gate, io, &page, false).await;
            }
        };
        io.head_at = clock::moment();
        let request = match understand_inner(head.clone(), &self.target, Scheme::Https) {
            Ok(request) => request,
            Err(fault) => {
                let code =
                    if head.method() == "CONNECT" { Why::new(403, "nested_connect") } else { Why::of_fault(fault) };
                let target = Target { scheme: Scheme::Https, ..self.target.clone() };
                let hello = Stage::Known(&*self.hello);
                let asked = Asked::new((gate, &edition.policy), &self.client, &head, &target, hello);
                let account = Account::new(worker, Some(outer));
                return refuse(gate, io, account, (&edition.policy, &asked), &Refused::by_gate(&code), false).await;
            }
        };
        let Form::Absolute(target) = &request.form else { return Next::Close };
        let inside = (Some(outer), Stage::Known(&*self.hello));
        forward::serve(worker, io, &self.client, &request, target, inside).await
    }
}

/// Whether the client says that it does not take the certificate (RFC 8446 §6.2), and not only that it leaves.
fn is_refusal(error: &io::Error) -> bool {
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

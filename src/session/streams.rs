//! The streams of an HTTP/2 connection: each carries one request, which is read and answered as every other.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::facts::{Client, Hello, Party};
use crate::http2::{Arrived, Bounds, Door, Server};
use crate::parse::Http2Opening;
use crate::tls::Stream;

use super::connection::answer_next;
use super::gate::{Admitted, Worker};
use super::inspect::Inside;
use super::io::{Io, Next};
use super::relay::Ended;

/// Who asks on a connection, and for what.
pub(super) enum Asker {
    /// A client, of the proxy itself.
    Proxy { address: SocketAddr, hello: Arc<Hello> },
    /// Whoever is in a tunnel, of its host.
    Inside(Inside),
}

impl Asker {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Proxy { address, .. } => *address,
            Self::Inside(inside) => inside.client.address,
        }
    }
}

/// So long after the last stream a connection that nobody needs any more may take to end.
const GOODBYE: Duration = Duration::from_secs(1);

/// Answers what is asked on the streams of a connection, to its end; from `ends` on it takes no more, and what has begun
/// comes to its end.
// Boxed and without a type of its own: a stream may carry a tunnel that is looked into, and that has streams.
pub(super) fn serve<'w>(
    worker: &'w Arc<Worker>,
    stream: Stream,
    asker: Asker,
    ends: Option<Instant>,
) -> Pin<Box<dyn Future<Output = Ended> + Send + 'w>> {
    Box::pin(answer_all(worker, stream, asker, ends))
}

async fn answer_all(worker: &Arc<Worker>, stream: Stream, asker: Asker, ends: Option<Instant>) -> Ended {
    let gate = &*worker.gate;
    let limits = &gate.limits;
    let bounds = Bounds { head: limits.head, limit: limits.body_timeout };
    let door = match asker {
        Asker::Proxy { .. } => Door::Proxy,
        Asker::Inside(_) => Door::Inside,
    };
    let handshake = Server::handshake(stream, door, bounds);
    let Ok(Ok(mut server)) = timeout(limits.first_request_timeout, handshake).await else {
        return Ended { by: Party::Client, how: "closed" };
    };
    let (asker, opening) = (Arc::new(asker), server.opening());
    let mut streams = JoinSet::new();
    let mut quiet_since = Instant::now();
    let (mut is_closing, mut how) = (false, "closed");
    let ended = loop {
        if !is_closing && gate.draining.load(Ordering::Relaxed) {
            is_closing = true;
            server.close();
        }
        let patience = if is_closing { GOODBYE } else { limits.keep_alive_timeout };
        // Those whose streams were reset are counted until their tasks have ended: no client can have more of
        // them than it could have streams.
        let lifetime = ends.filter(|_| !is_closing);
        let has_room = streams.len() < door.streams_max() as usize;
        tokio::select! {
            biased;
            Some(_) = streams.join_next(), if !streams.is_empty() => quiet_since = Instant::now(),
            arrived = server.next(has_room) => match arrived {
                Some(arrived) => match worker.admit_stream(asker.address()) {
                    Some(admitted) => drop(streams.spawn(answer(admitted, asker.clone(), opening.clone(), arrived))),
                    None => arrived.refuse(),
                },
                None if is_closing => break Ended { by: Party::Gate, how },
                None => break Ended { by: Party::Client, how },
            },
            () = sleep_until(lifetime.unwrap_or(quiet_since)), if lifetime.is_some() => {
                is_closing = true;
                quiet_since = Instant::now();
                how = "lifetime_limit";
                server.close();
            }
            () = sleep_until(quiet_since + patience), if streams.is_empty() => {
                if is_closing {
                    break Ended { by: Party::Gate, how };
                }
                is_closing = true;
                quiet_since = Instant::now();
                server.close();
            }
        }
    };
    // With the connection all its streams end, and with them who waits for them.
    drop(server);
    while streams.join_next().await.is_some() {}
    ended
}

/// Answers the request of one stream, and carries it both ways meanwhile.
async fn answer(admitted: Admitted, asker: Arc<Asker>, opening: Arc<OnceLock<Http2Opening>>, mut arrived: Arrived) {
    let (near, far) = Stream::pipe();
    let hello = match &*asker {
        Asker::Proxy { hello, .. } => Some(hello.clone()),
        Asker::Inside(_) => None,
    };
    let mut io = Io::new(near, hello);
    io.is_stream = true;
    io.buffer = std::mem::take(&mut arrived.head);
    let mut serving = pin!(serve_one(&admitted.worker, &asker, opening.get(), io));
    let mut carrying = pin!(arrived.carry(far));
    let (mut served, mut carried) = (false, false);
    poll_fn(|context| {
        served = served || serving.as_mut().poll(context).is_ready();
        carried = carried || carrying.as_mut().poll(context).is_ready();
        // What was just carried may be what is waited for.
        served = served || (carried && serving.as_mut().poll(context).is_ready());
        if served && carried { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn serve_one(worker: &Arc<Worker>, asker: &Asker, opening: Option<&Http2Opening>, mut io: Io) {
    let next = match asker {
        Asker::Proxy { address, .. } => answer_next(worker, &mut io, &Client::at(*address)).await,
        Asker::Inside(inside) => inside.answer_next(worker, &mut io, opening).await,
    };
    match next {
        // What was answered in full, or was not, shows by its framing.
        Next::Again | Next::Close | Next::Gone | Next::Broken => {}
        Next::Tunnel(tunnelled) => tunnelled.carry(worker, io.stream).await,
        Next::Inspect(inspected) => {
            if let Some((tunnelled, stream)) = Box::pin(inspected.serve(worker, io)).await {
                tunnelled.carry(worker, stream).await;
            }
        }
    }
}

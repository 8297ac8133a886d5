//! The one host that the next authority vouches for while it is prepared: who takes its certificate will take those of
//! all others, and a client that does not loses nothing by trying. The gate answers it itself, and nothing leaves.

use std::time::Instant;

use crate::clock;
use crate::facts::{ClientKey, Host, Party, Target};
use crate::parse::FirstBytes;
use crate::policy::Policy;
use crate::tls::{Minter, Offered};

use super::account::{Account, Asked, End, Refused};
use super::connect::{ESTABLISHED, alert};
use super::connection::{read_head, refuse, send_page};
use super::gate::{Gate, Worker};
use super::inspect::{Inside, Inspected};
use super::io::{Io, Next, write_all};
use super::look::{Patience, first_bytes};
use super::why::Why;

/// What whoever has taken the certificate is told. A browser asks again after an hour, wherever a page has it asked.
const TAKEN: &[u8] = b"HTTP/1.1 204 No Content\r\nCache-Control: private, max-age=3600\r\nConnection: close\r\n\r\n";

impl Gate {
    /// The host at which clients may try the next authority, where one is prepared.
    pub(super) fn tried_at(&self) -> Option<Host> {
        self.minter.as_ref().and_then(Minter::next_host)
    }

    /// Whether a CONNECT asks to try it.
    pub(super) fn is_trial(&self, target: &Target) -> bool {
        target.port == 443 && self.minter.as_ref().is_some_and(|minter| minter.is_next_host(&target.host))
    }
}

/// Answers a CONNECT to that host up to the moment its TLS begins.
pub(super) async fn serve(
    worker: &Worker,
    io: &mut Io,
    mut account: Account<'_>,
    (policy, asked): (&Policy, &Asked<'_>),
) -> Next {
    let gate = &*worker.gate;
    if account.open_for_request(policy, asked, None).await.is_err() {
        return refuse(gate, io, account, (policy, asked), &Refused::by_gate(&Why::evidence()), false).await;
    }
    if write_all(&mut io.stream, ESTABLISHED, gate.limits.body_timeout).await.is_err() {
        account.close(End { by: Party::Client, how: "write_failed", up: 0, down: 0 });
        return Next::Gone;
    }
    let begun = Instant::now();
    let seen = match first_bytes(gate, &mut io.stream, &mut io.buffer, Patience::Any).await {
        Ok(seen) => seen,
        Err(not_seen) => {
            let ended = not_seen.ended();
            account.close(End { by: ended.by, how: ended.how, up: 0, down: 0 });
            return Next::Close;
        }
    };
    account.carries(seen.carries());
    let config = gate.minter.as_ref().map(|minter| {
        // The rotation may have ended by now, and another authority have begun to vouch.
        let is_still = minter.is_next_host(&asked.target.host);
        is_still.then(|| minter.server_config(&asked.target.host, Offered::Http1, clock::now()).ok()).flatten()
    });
    let (FirstBytes::Tls(hello), Some(config)) = (&seen, config.flatten()) else {
        account.close(End { by: Party::Gate, how: "inspection_unavailable", up: 0, down: 0 });
        return alert(gate, io, &seen).await;
    };
    account.hello(hello, begun.elapsed());
    let ending = account.established(0, 0);
    let (client, target, hello) = (asked.client.clone(), asked.target.clone(), hello.clone());
    let inside = Inside { outer: ending.id, client, target, hello };
    Next::Inspect(Box::new(Inspected { ending, config, inside, is_trial: true }))
}

/// Notes what a client made of the certificate.
pub(super) fn shook(gate: &Gate, inside: &Inside, accepted: bool) {
    gate.reach.tried(ClientKey::of(inside.client.address.ip()), &inside.target.host, accepted);
}

/// Answers the one request of who has taken it, whatever it is. Whether all was well.
pub(super) async fn answer(gate: &Gate, io: &mut Io) -> bool {
    let mut held = gate.head_room.claim();
    match read_head(gate, io, &mut held).await {
        Ok(Some(_)) => matches!(send_page(gate, io, TAKEN, false).await, Next::Close),
        Ok(None) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_answer_is_whole() {
        let text = std::str::from_utf8(super::TAKEN).unwrap();
        assert!(text.starts_with("HTTP/1.1 204 ") && text.ends_with("\r\n\r\n"));
    }
}

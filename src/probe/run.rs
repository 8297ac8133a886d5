use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::attempt::{Means, way_to};
use super::question::{Key, Question};
use super::tls;
use super::way::{Attempt, Outcome, Route, Way, Ways};

/// Ways that are tried at the same time.
const AT_ONCE: usize = 16;

/// Tries each way once, some at a time; what became of them, in their order. `chance` makes this run's questions those
/// of no other run. Each takes as long as `timeout` at most. Where it is dropped, what is open is closed.
pub async fn probe(ways: &Ways, key: &Key, timeout: Duration, chance: &[u8; 32]) -> Vec<Attempt> {
    let means = Means { key: key.clone(), timeout, tls: tls::client() };
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    let mut attempts: Vec<Attempt> = Vec::new();
    for (at, way) in ways.each().into_iter().enumerate() {
        let no_way = no_way(&way).map(|error| format!("this machine has no way there: {error}"));
        attempts.push(Attempt { way, outcome: Outcome::NotTried, detail: no_way.clone().unwrap_or_default() });
        if no_way.is_some() {
            continue;
        }
        let (means, room, question) = (means.clone(), room.clone(), question(chance, at));
        running.spawn(async move {
            let _place = room.acquire().await;
            (at, means.attempt(way, question).await)
        });
    }
    while let Some(joined) = running.join_next().await {
        let Ok((at, (outcome, detail))) = joined else { continue };
        if let Some(attempt) = attempts.get_mut(at) {
            (attempt.outcome, attempt.detail) = (outcome, detail);
        }
    }
    attempts
}

/// What no other run has.
///
/// # Errors
/// The system has nothing unguessable to give.
pub fn chance() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
    Ok(bytes)
}

/// What a run is called at both ends.
pub fn run_name(chance: &[u8; 32]) -> String {
    question(chance, 0).run()
}

/// The run's question for one of its ways.
pub(super) fn question(chance: &[u8; 32], at: usize) -> Question {
    let of_way = blake3::keyed_hash(chance, &at.to_be_bytes());
    let (mut run, mut own) = ([0; 8], [0; 6]);
    run.copy_from_slice(&blake3::derive_key("sekisho 2026-11 egress run", chance)[..8]);
    own.copy_from_slice(&of_way.as_bytes()[..6]);
    Question::new(run, u16::try_from(at + 1).unwrap_or(u16::MAX), own)
}

/// Why there is no way to where this one begins.
fn no_way(way: &Way) -> Option<io::Error> {
    let first: IpAddr = match way.route {
        Route::Direct | Route::Peer => way.to.ip(),
        Route::Connect(proxy) | Route::Forward(proxy) => proxy.ip(),
    };
    way_to(first).err()
}

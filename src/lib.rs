//! Sekisho (関所): an egress-enforcing HTTP/HTTPS forward proxy, the only way out of a network.
//!
//! # Promises
//!
//! 1. No dial without a [`policy::Permit`]; a permit is made by [`policy::decide`] alone and spent
//!    once. The gate's own connections are named in config, go through one function and are recorded.
//! 2. Deny is the only default. An empty, missing or broken policy denies.
//! 3. No passage without record: nothing is forwarded before its opening record is accepted.
//!    Queue or disk full means deny with reason `evidence_unavailable`.
//! 4. Every denial carries a reason a person can act on: rule, file and line, or the guard's name.
//! 5. Addresses are checked after DNS, on every attempt, and the address checked is the one dialled,
//!    or asked of a parent proxy. Only a rule that says so leaves a name to its parent.
//! 6. One parse, one value: the outgoing request is rebuilt from the value that was judged.
//! 7. A new policy is compiled whole, then swapped in atomically. A bad one changes nothing.
//! 8. Every queue, map, cache and buffer has a bound in code, and says what happens at the bound.
//! 9. Detection is a fold over records: live and replayed runs give the same findings.
//! 10. Detection may tighten a verdict, never loosen it. Secrets never reach evidence, logs or errors.
//!
//! # Words
//!
//! *client* a machine, by address · *program* the software on it · *target* scheme, host, port and
//! path where visible · *exchange* one request and its answer, or one tunnel · *facts* what is known
//! of an exchange when it is judged · *decision* = *verdict* + *handling* + *reason* · *permit* ·
//! *record* one line of evidence.
//!
//! # The map
//!
//! The order of the `mod` lines is the architecture: a room imports only rooms listed above it.
//! `tests/architecture.rs` enforces it.

// words (pure)
pub mod facts;
// judgement (pure: functions of data and `now`)
pub mod parse;
pub mod policy;
pub mod evidence;
// hands (I/O)
pub mod clock;
pub mod upstream;
pub mod store;
pub mod listen;
// the spine
pub mod site;
pub mod session;
// assembly
pub mod config;
pub mod app;
pub mod cli;

//! The words everything else is said in: host, target, client, exchange, what a tunnel showed.
//!
//! Parsed once, normalised once; a value of these types cannot be wrong. Pure data: no room below
//! reads a clock or a socket through them.

mod breakglass;
mod client;
mod exchange;
mod hello;
mod host;
mod target;

pub use breakglass::Breakglass;
pub use client::{Client, ClientKey, Program, ProgramKey, Stage, User};
pub use exchange::{
    Contradictions, ExchangeId, Facts, Moment, NoExchangeId, Party, Response, Restraint, Standing, Timestamp,
};
pub use hello::{Hello, HelloTraits, TlsVersion};
pub use host::{BadHost, Host, Name};
pub use target::{Path, Scheme, Target};

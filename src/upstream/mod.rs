//! Reaches origins: resolves names, judges every address, dials the one that was judged, or asks a
//! parent proxy for it.
//!
//! In: a [`crate::policy::Permit`], which is spent. Out: a connected socket and how it came about,
//! or the failure by its name. It never decides whether an exchange may leave, nor by which way.

mod asking;
mod credentials;
mod dial;
mod errand;
mod failure;
mod own;
mod parent;
mod pool;
mod race;
mod resolve;
mod resolvers;

pub use credentials::{BadCredentials, CREDENTIALS_BYTES_MAX, Credentials, KeyRing};
pub use dial::{Connected, DialLimits, Dialler, RequestForm, Timings};
pub use errand::{Errand, ErrandError, ErrandLimits, Errands, HttpsUrl, Server};
pub use failure::{DialError, DialFailed, ParentFailure};
pub use own::{OwnConnections, Purpose};
pub use parent::Passing;
pub use resolve::ResolveError;
pub use resolvers::Resolvers;

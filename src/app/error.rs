use std::io;
use std::path::PathBuf;

use crate::listen::{BindError, ListenError, PassedError};
use crate::parse::Problem;
use crate::policy::AddressRefused;
use crate::store::OpenError;
use crate::tls::PairError;
use crate::upstream::ResolveError;

use super::handover::TakeOverError;

/// Why the gate cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Passed(#[from] PassedError),
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    #[error(transparent)]
    Journal(#[from] OpenError),
    #[error(transparent)]
    Resolver(#[from] ResolveError),
    #[error("the parent `{name}` cannot be used: {refused}")]
    Parent { name: String, refused: AddressRefused },
    #[error("cannot use {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("cannot read this machine's own addresses: {0}")]
    Interfaces(io::Error),
    #[error("the runtime cannot start: {0}")]
    Runtime(io::Error),
    /// It ran to its end, but its last records may be missing.
    #[error("the journal could not be closed: {0}")]
    Unclosed(io::Error),
    #[error("what browsers do is not known: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Browsers(Vec<Problem>),
    #[error("capabilities cannot be given up: {0}")]
    Capability(io::Error),
    #[error("{path} leads to {leads_to}, where the gate may not write")]
    Outside { path: PathBuf, leads_to: PathBuf },
    #[error("the system gives no random bytes: {0}")]
    Random(io::Error),
    #[error(transparent)]
    ProxyCertificate(#[from] PairError),
    #[error(
        "[secure_proxy] names no certificate and the gate has no authority that could vouch for one that it mints: make one \
         (`sekisho ca init`), or write `certificate` and `key`"
    )]
    NoProxyCertificate,
    #[error("a worker thread died")]
    WorkerDied,
}

impl From<ListenError> for AppError {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::Bind(error) => Self::Bind(error),
            ListenError::Passed(error) => Self::Passed(error),
        }
    }
}

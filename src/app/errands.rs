//! What a thread of the gate runs errands of its own with.

use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::config::Config;
use crate::policy::OwnEndpoints;
use crate::upstream::{ErrandLimits, Errands, OwnConnections};

use super::{AppError, resolvers, system};

/// A runtime for one thread, errands, and the count of their connections.
pub(super) struct Means {
    pub(super) runtime: Runtime,
    pub(super) own: OwnConnections,
    pub(super) errands: Errands,
}

impl Means {
    /// # Errors
    /// No resolver, no runtime, or this machine's addresses cannot be read.
    pub(super) fn new(config: &Config, limits: ErrandLimits) -> Result<Self, AppError> {
        let interfaces = system::interface_addresses()?;
        let endpoints = Arc::new(OwnEndpoints { listeners: config.listen.clone(), interfaces });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::Runtime)?;
        let own = OwnConnections::default();
        let resolvers = {
            let _entered = runtime.enter();
            resolvers(&config.dns_servers, config.internal.as_ref(), config.dns_timeout, &own)?
        };
        let errands = Errands::new(resolvers, own.clone(), endpoints, limits);
        Ok(Self { runtime, own, errands })
    }
}

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::facts::Name;
use crate::policy::Internal;

use super::asking::Scope;
use super::own::{DnsSockets, OwnConnections, Purpose};
use super::resolve::{ResolveError, Resolver};

/// The gate's two views of names: internal ones are asked of inside name servers alone, and all others
/// never of these. Each view has a cache of its own.
pub struct Resolvers {
    outside: Resolver,
    inside: Option<(Arc<Internal>, Resolver)>,
}

impl Resolvers {
    /// Resolvers that ask `servers`, or the system's where there are none, and where there are internal
    /// names their own servers for these. `timeout` is for one question to one server; connections are
    /// counted in `own`.
    ///
    /// # Errors
    /// [`ResolveError::Setup`] when the system's configuration cannot be read.
    pub fn new(
        servers: &[SocketAddr],
        internal: Option<(&Arc<Internal>, &[SocketAddr])>,
        timeout: Duration,
        own: &OwnConnections,
    ) -> Result<Self, ResolveError> {
        let sockets = |purpose| DnsSockets::new(own.clone(), purpose);
        let scope = internal.map_or(Scope::Every, |(internal, _)| Scope::Outside(internal.clone()));
        let outside = Resolver::new(servers, timeout, sockets(Purpose::Dns), scope)?;
        let inside = internal.map(|(internal, servers)| {
            let scope = Scope::Inside(internal.clone());
            Resolver::new(servers, timeout, sockets(Purpose::DnsInternal), scope)
                .map(|resolver| (internal.clone(), resolver))
        });
        Ok(Self { outside, inside: inside.transpose()? })
    }

    /// What internal names mean here, if anything.
    pub(super) fn internal(&self) -> Option<&Internal> {
        self.inside.as_ref().map(|(internal, _)| &**internal)
    }

    pub(super) async fn resolve(&self, name: &Name) -> Result<Arc<[IpAddr]>, ResolveError> {
        match &self.inside {
            Some((internal, resolver)) if internal.includes(name) => resolver.resolve(name).await,
            Some(_) | None => self.outside.resolve(name).await,
        }
    }
}

//! What a resolver may ask its name servers, looked at where a question leaves: the alias of one name
//! must not carry another to servers that it is none of the business of.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::xfer::{DnsExchange, DnsExchangeSend, DnsHandle};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse};
use hickory_resolver::proto::rr::Name as DnsName;
use hickory_resolver::{ConnectionProvider, PoolContext};

use crate::facts::Host;
use crate::policy::Internal;

use super::own::DnsSockets;

/// The names that a resolver asks for.
#[derive(Clone)]
pub(super) enum Scope {
    Every,
    /// Internal names alone.
    Inside(Arc<Internal>),
    /// All but internal names.
    Outside(Arc<Internal>),
}

impl Scope {
    fn includes(&self, name: &DnsName) -> bool {
        let (internal, inside) = match self {
            Scope::Every => return true,
            Scope::Inside(internal) => (internal, true),
            Scope::Outside(internal) => (internal, false),
        };
        // What is no host name is no internal name either.
        let is_internal =
            matches!(Host::parse(name.to_ascii().as_bytes()), Ok(Host::Name(name)) if internal.includes(&name));
        is_internal == inside
    }
}

/// Connections to name servers that carry no question out of scope.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) sockets: DnsSockets,
    pub(super) scope: Scope,
}

impl ConnectionProvider for Asking {
    type Conn = Scoped;
    type FutureConn = Pin<Box<dyn Future<Output = Result<Scoped, NetError>> + Send + 'static>>;
    type RuntimeProvider = DnsSockets;

    fn new_connection(
        &self,
        server: IpAddr,
        config: &ConnectionConfig,
        context: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let connecting = self.sockets.new_connection(server, config, context)?;
        let scope = self.scope.clone();
        Ok(Box::pin(async move { Ok(Scoped { exchange: connecting.await?, scope }) }))
    }

    fn runtime_provider(&self) -> &Self::RuntimeProvider {
        &self.sockets
    }
}

/// One connection to a name server.
#[derive(Clone)]
pub(super) struct Scoped {
    exchange: DnsExchange<DnsSockets>,
    scope: Scope,
}

impl DnsHandle for Scoped {
    type Response = Answering;
    type Runtime = DnsSockets;

    fn send(&self, request: DnsRequest) -> Self::Response {
        if request.queries.iter().all(|query| self.scope.includes(query.name())) {
            Answering::Asked(self.exchange.send(request))
        } else {
            Answering::Refused(Some(NetError::from("an alias leads to a name that these servers are not asked for")))
        }
    }
}

/// The answer to a question, or why it was not asked.
pub(super) enum Answering {
    Asked(DnsExchangeSend<DnsSockets>),
    Refused(Option<NetError>),
}

impl Stream for Answering {
    type Item = Result<DnsResponse, NetError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            Answering::Asked(answer) => Pin::new(answer).poll_next(context),
            Answering::Refused(why) => Poll::Ready(why.take().map(Err)),
        }
    }
}

//! What the gate shows to clients that speak TLS to the proxy itself.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;

use crate::clock;
use crate::facts::Host;
use crate::tls::{Minter, Offered};

/// The proxy within TLS.
#[derive(Debug)]
pub enum SecureProxy {
    /// It shows a certificate from files, which a reload reads again.
    Files(RwLock<Arc<ServerConfig>>),
    /// It shows certificates of the gate's own authority, for these names; the first where a client asks for none.
    Minted(Box<[Host]>),
}

impl SecureProxy {
    /// Shows what was read from files.
    pub fn of_files(config: Arc<ServerConfig>) -> Self {
        Self::Files(RwLock::new(config))
    }

    /// Shows something else from now on, where it shows files at all.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        if let Self::Files(shown) = self {
            *shown.write().unwrap_or_else(PoisonError::into_inner) = config;
        }
    }

    /// What a client is shown that asks for this name.
    pub(super) fn shown(&self, minter: Option<&Minter>, asked: Option<&str>) -> Option<Arc<ServerConfig>> {
        match self {
            Self::Files(shown) => Some(shown.read().unwrap_or_else(PoisonError::into_inner).clone()),
            Self::Minted(names) => {
                let asked = asked.and_then(|name| Host::parse(name.as_bytes()).ok());
                let host = names.iter().find(|name| Some(*name) == asked.as_ref()).or(names.first())?;
                minter?.server_config(host, Offered::Http2, clock::now()).ok()
            }
        }
    }
}

//! Assembles the gate and runs it: bind, open the journal, serve, drain.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::clock;
use crate::config::Config;
use crate::evidence::{self, Record};
use crate::listen::{self, BindError};
use crate::parse::{HeadLimits, HelloLimits};
use crate::policy::{OwnEndpoints, Policy};
use crate::session::{self, Gate, Limits};
use crate::store::{Journal, JournalConfig, OpenError};
use crate::upstream::{Dialler, ResolveError, Resolver};

/// Why the gate cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Journal(#[from] OpenError),
    #[error(transparent)]
    Resolver(#[from] ResolveError),
    #[error("cannot use {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("the runtime cannot start: {0}")]
    Runtime(io::Error),
    #[error("the journal accepts no records")]
    Evidence,
}

/// A gate that is bound and has its journal open, but serves nothing yet.
pub struct Ready {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    journal: Journal,
    policy: Policy,
    policy_file: String,
    config: Config,
    query_key: [u8; 32],
}

/// Binds and opens, before any thread of the runtime exists.
///
/// # Errors
/// What could not be had, with its address or path.
pub fn prepare(config: Config, data_dir: PathBuf, policy: Policy, policy_file: String) -> Result<Ready, AppError> {
    let listeners = config.listen.iter().map(|address| listen::bind(*address)).collect::<Result<Vec<_>, _>>()?;
    let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let journal = Journal::open(JournalConfig {
        data_dir: data_dir.clone(),
        durability: config.durability,
        gate: config.name.clone(),
        site: config.site.clone(),
        segment_bytes_max: config.segment_bytes_max,
    })?;
    let query_key = query_key(&data_dir.join("query.key"))?;
    Ok(Ready { listeners, addresses, journal, policy, policy_file, config, query_key })
}

impl Ready {
    /// Where the proxy listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until SIGTERM or SIGINT, then drains: no new connections, a deadline for open ones, and
    /// a closing record.
    ///
    /// # Errors
    /// The runtime or the resolver cannot be set up, or the journal takes no records.
    pub fn run(self) -> Result<(), AppError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::Runtime)?;
        let journal = self.journal;
        let parts = Parts {
            listeners: self.listeners,
            addresses: self.addresses,
            policy: self.policy,
            policy_file: self.policy_file,
            config: self.config,
            query_key: self.query_key,
        };
        let result = runtime.block_on(parts.serve(&journal));
        drop(runtime);
        journal.close();
        result
    }
}

struct Parts {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    policy: Policy,
    policy_file: String,
    config: Config,
    query_key: [u8; 32],
}

impl Parts {
    async fn serve(self, journal: &Journal) -> Result<(), AppError> {
        let config = self.config;
        let resolver = Resolver::new(&config.dns_servers, config.dns_timeout)?;
        let own = OwnEndpoints { listeners: self.addresses, interfaces: interface_addresses() };
        let dialler = Dialler::new(resolver, Arc::new(own), config.connect_timeout);
        let in_force = Record::Policy(evidence::Policy {
            action: "in_force",
            file: self.policy_file.as_str().into(),
            hash: self.policy.hash().into(),
            rules: self.policy.rules(),
            mode: if self.policy.observes() { "observe" } else { "enforce" },
        });
        let handle = journal.handle();
        handle.append(&in_force, clock::now()).await.map_err(|_| AppError::Evidence)?;
        let limits = Limits {
            head: HeadLimits {
                bytes_max: usize::try_from(config.head_bytes_max).unwrap_or(usize::MAX),
                ..HeadLimits::default()
            },
            hello: HelloLimits::default(),
            head_timeout: config.head_timeout,
            keep_alive_timeout: config.keep_alive_timeout,
            body_timeout: config.body_timeout,
            hello_timeout: config.hello_timeout,
            tunnel_idle: config.tunnel_idle,
            tunnel_lifetime: config.tunnel_lifetime,
        };
        let via = config.via.then(|| config.name.clone());
        let gate = Gate::new(
            self.policy,
            handle,
            dialler,
            limits,
            self.query_key,
            config.keep_query,
            config.contact.clone(),
            via,
        );
        accept_all(Arc::new(gate), self.listeners, &config).await
    }
}

async fn accept_all(gate: Arc<Gate>, listeners: Vec<TcpListener>, config: &Config) -> Result<(), AppError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(AppError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AppError::Runtime)?;
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(AppError::Runtime)?;
        accepting.spawn(accept(gate.clone(), listener, config.connections_max));
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    accepting.abort_all();
    while accepting.join_next().await.is_some() {}
    drain(&gate, config.drain_timeout).await;
    Ok(())
}

async fn accept(gate: Arc<Gate>, listener: tokio::net::TcpListener, connections_max: u64) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                if gate.counters.connections.load(Ordering::Relaxed) >= connections_max {
                    continue;
                }
                let gate = gate.clone();
                tokio::spawn(async move { session::serve(&gate, stream, address).await });
            }
            // Out of descriptors, most likely: wait for some to be given back.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn drain(gate: &Gate, limit: Duration) {
    let deadline = tokio::time::Instant::now() + limit;
    while gate.counters.connections.load(Ordering::Relaxed) > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every address of this machine's interfaces but loopback: none is ever a target.
fn interface_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    interfaces
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        })
        .filter(|address| !address.is_loopback())
        .collect()
}

/// The key under which queries are hashed: made once, kept in the data directory, mode 0600.
fn query_key(path: &Path) -> Result<[u8; 32], AppError> {
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |source| AppError::File { path: path.into(), source };
    match fs::read(path) {
        Ok(bytes) => bytes
            .try_into()
            .map_err(|_| failed(io::Error::other("a key has 32 bytes; remove the file to make a new one"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = [0; 32];
            let mut random = fs::File::open("/dev/urandom").map_err(failed)?;
            io::Read::read_exact(&mut random, &mut key).map_err(failed)?;
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
            file.write_all(&key).and_then(|()| file.sync_all()).map_err(failed)?;
            Ok(key)
        }
        Err(source) => Err(failed(source)),
    }
}

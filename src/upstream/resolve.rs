use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::Resolver as HickoryResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::proto::rr::{Name as DnsName, RData};

use crate::facts::Name;

use super::own::{DnsSockets, OwnConnections};

/// Asks DNS for the addresses of a name: as a fully qualified name, with no search list and no hosts
/// file, cached by its TTL within a bound.
pub struct Resolver {
    inner: HickoryResolver<DnsSockets>,
    cache: Mutex<HashMap<Name, Cached>>,
}

/// Both families of a name together, as both are always asked. The library's own cache, which keeps
/// what does not exist as well, is asked once this has run out.
struct Cached {
    addresses: Arc<[IpAddr]>,
    until: Instant,
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("the name does not exist or has no address")]
    NoAddress,
    #[error("no name server answered: {0}")]
    Unanswered(String),
    #[error("the resolver cannot be set up: {0}")]
    Setup(String),
}

/// Cached names, at most; beyond it a name is asked for each time until others have run out.
const CACHE_NAMES_MAX: usize = 16_384;
/// Answers in the library's cache, which drops the oldest beyond it.
const CACHE_ANSWERS_MAX: u64 = 4096;
/// However long its TTL, a name is asked for again after this long.
const CACHE_TIME_MAX: Duration = Duration::from_secs(3600);
/// RFC 8305 §3: how long IPv4 answers wait for IPv6 ones.
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

impl Resolver {
    /// A resolver that asks `servers`, or the system's where there are none; its connections are
    /// counted in `own`.
    ///
    /// # Errors
    /// [`ResolveError::Setup`] when the system's configuration cannot be read.
    pub fn new(servers: &[SocketAddr], timeout: Duration, own: OwnConnections) -> Result<Self, ResolveError> {
        let setup = |error: hickory_resolver::net::NetError| ResolveError::Setup(error.to_string());
        let config = if servers.is_empty() {
            let (config, _) = hickory_resolver::system_conf::read_system_conf().map_err(setup)?;
            ResolverConfig::from_parts(None, Vec::new(), config.name_servers().to_vec())
        } else {
            let servers = servers.iter().map(|server| {
                let mut config = NameServerConfig::udp_and_tcp(server.ip());
                for connection in &mut config.connections {
                    connection.port = server.port();
                }
                config
            });
            ResolverConfig::from_parts(None, Vec::new(), servers.collect())
        };
        let mut builder = HickoryResolver::builder_with_config(config, DnsSockets::new(own));
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = CACHE_ANSWERS_MAX;
        options.timeout = timeout;
        options.attempts = 2;
        options.ndots = 0;
        Ok(Self { inner: builder.build().map_err(setup)?, cache: Mutex::default() })
    }

    /// The addresses of a name, families interleaved, IPv6 first (RFC 8305 §4).
    ///
    /// # Errors
    /// No address, or no answer.
    pub async fn resolve(&self, name: &Name) -> Result<Arc<[IpAddr]>, ResolveError> {
        if let Some(cached) = self.cache().get(name)
            && cached.until > Instant::now()
        {
            return Ok(cached.addresses.clone());
        }
        let (addresses, until) = self.ask(name).await?;
        let addresses: Arc<[IpAddr]> = addresses.into();
        let mut cache = self.cache();
        if cache.len() >= CACHE_NAMES_MAX {
            let now = Instant::now();
            cache.retain(|_, cached| cached.until > now);
        }
        if cache.len() < CACHE_NAMES_MAX {
            cache.insert(name.clone(), Cached { addresses: addresses.clone(), until });
        }
        drop(cache);
        Ok(addresses)
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<Name, Cached>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, name: &Name) -> Result<(Vec<IpAddr>, Instant), ResolveError> {
        // By its labels: read as text, a name with an underscore would be taken for a broken IDN.
        let fqdn = DnsName::from_labels(name.as_str().split('.').map(str::as_bytes));
        let fqdn = fqdn.map_err(|error| ResolveError::Unanswered(error.to_string()))?;
        let v6 = self.inner.ipv6_lookup(fqdn.clone());
        let v4 = self.inner.ipv4_lookup(fqdn);
        tokio::pin!(v6, v4);
        let (v6, v4) = tokio::select! {
            v6 = &mut v6 => (Some(v6), v4.await),
            v4 = &mut v4 => (tokio::time::timeout(RESOLUTION_DELAY, v6).await.ok(), v4),
        };
        let mut error = None;
        let mut until: Option<Instant> = None;
        let mut addresses = [Vec::new(), Vec::new()];
        // A family that was not waited for is asked again with the next use of the name.
        let all_heard = v6.is_some();
        for (family, answer) in [v6, Some(v4)].into_iter().enumerate() {
            match answer {
                Some(Ok(lookup)) => {
                    addresses[family] = addresses_in(&lookup);
                    let valid = lookup.valid_until();
                    until = Some(until.map_or(valid, |until| until.min(valid)));
                }
                Some(Err(failed)) if !failed.is_no_records_found() => error = Some(failed.to_string()),
                Some(Err(_)) | None => {}
            }
        }
        let [v6, v4] = addresses;
        let all = interleave(v6, v4);
        match (all.is_empty(), error) {
            (false, _) => {
                let now = Instant::now();
                Ok((all, until.filter(|_| all_heard).unwrap_or(now).min(now + CACHE_TIME_MAX)))
            }
            (true, None) => Err(ResolveError::NoAddress),
            (true, Some(error)) => Err(ResolveError::Unanswered(error)),
        }
    }
}

/// Addresses of one answer beyond this many are not tried.
const ADDRESSES_MAX: usize = 16;

fn addresses_in(lookup: &hickory_resolver::lookup::Lookup) -> Vec<IpAddr> {
    let addresses = lookup.answers().iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    });
    addresses.take(ADDRESSES_MAX).collect()
}

fn interleave(first: Vec<IpAddr>, second: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut all = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        match (first.next(), second.next()) {
            (None, None) => return all,
            (a, b) => all.extend(a.into_iter().chain(b)),
        }
    }
}

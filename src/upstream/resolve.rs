use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::Resolver as HickoryResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{Name as DnsName, RData};
use rustix::io::Errno;

use crate::facts::Name;

use super::asking::{Asking, Scope};
use super::failure::exhaustion;
use super::own::DnsSockets;

/// Asks DNS for the addresses of a name: as a fully qualified name, with no search list and no hosts
/// file, cached by its TTL within a bound.
pub(super) struct Resolver {
    inner: HickoryResolver<Asking>,
    cache: Mutex<HashMap<Name, Cached>>,
}

/// Both families of a name together, as both are always asked. The library's own cache, which keeps
/// what does not exist as well, is asked once this has run out.
struct Cached {
    addresses: Arc<[IpAddr]>,
    until: Instant,
}

/// Why a name has no address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("the name does not exist or has no address")]
    NoAddress,
    #[error("no name server answered: {0}")]
    Unanswered(String),
    /// The gate itself could not ask.
    #[error("the gate has no room to ask a name server: {0}")]
    Exhausted(Errno),
    #[error("the resolver cannot be set up: {0}")]
    Setup(String),
}

/// Cached names, at most; beyond it a name is asked for each time until others have run out.
const CACHE_NAMES_MAX: usize = 16_384;
/// Answers in the library's cache, which drops the oldest beyond it.
const CACHE_ANSWERS_MAX: u64 = 4096;
/// However long its TTL, a name is asked for again after this long.
const CACHE_TIME_MAX: Duration = Duration::from_secs(3600);
/// RFC 8305 §3: how long the addresses of one family wait for the other's.
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

impl Resolver {
    /// A resolver that asks `servers`, or the system's where there are none, for the names in `scope`.
    ///
    /// # Errors
    /// [`ResolveError::Setup`] when the system's configuration cannot be read.
    pub(super) fn new(
        servers: &[SocketAddr],
        timeout: Duration,
        sockets: DnsSockets,
        scope: Scope,
    ) -> Result<Self, ResolveError> {
        let setup = |error: NetError| ResolveError::Setup(error.to_string());
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
        let mut builder = HickoryResolver::builder_with_config(config, Asking { sockets, scope });
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
    pub(super) async fn resolve(&self, name: &Name) -> Result<Arc<[IpAddr]>, ResolveError> {
        if let Some(cached) = self.cache().get(name)
            && cached.until > Instant::now()
        {
            return Ok(cached.addresses.clone());
        }
        let (addresses, until) = self.ask(name).await?;
        let addresses: Arc<[IpAddr]> = addresses.into();
        let Some(until) = until else { return Ok(addresses) };
        let until = until.min(Instant::now() + CACHE_TIME_MAX);
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

    async fn ask(&self, name: &Name) -> Result<(Vec<IpAddr>, Option<Instant>), ResolveError> {
        // By its labels: read as text, a name with an underscore would be taken for a broken IDN.
        let fqdn = DnsName::from_labels(name.as_str().split('.').map(str::as_bytes));
        let fqdn = fqdn.map_err(|error| ResolveError::Unanswered(error.to_string()))?;
        let v6 = async { Family::of(self.inner.ipv6_lookup(fqdn.clone()).await) };
        let v4 = async { Family::of(self.inner.ipv4_lookup(fqdn.clone()).await) };
        let (v6, v4) = hear(v6, v4, || tokio::time::sleep(RESOLUTION_DELAY)).await;
        together(v6, v4)
    }
}

/// What was heard of one family of a name.
#[derive(Debug, PartialEq, Eq)]
enum Family {
    /// Its addresses, and until when they hold.
    Addresses(Vec<IpAddr>, Instant),
    /// It has none.
    Empty,
    /// No name server could say, or be asked.
    Failed(ResolveError),
    /// No answer while the other family's addresses waited.
    Unheard,
}

impl Family {
    fn of(answer: Result<Lookup, NetError>) -> Self {
        match answer {
            Ok(lookup) => {
                let addresses = addresses_in(&lookup);
                if addresses.is_empty() { Self::Empty } else { Self::Addresses(addresses, lookup.valid_until()) }
            }
            Err(error) if error.is_no_records_found() => Self::Empty,
            Err(error) => {
                let lacking = if let NetError::Io(error) = &error { exhaustion(error) } else { None };
                Self::Failed(match lacking {
                    Some(lacking) => ResolveError::Exhausted(lacking),
                    None => ResolveError::Unanswered(error.to_string()),
                })
            }
        }
    }
}

/// Hears both families. Only addresses in hand bound the wait for the other family, by `delay`; a
/// family that has none, or failed, never ends the wait.
async fn hear<D: Future<Output = ()>>(
    v6: impl Future<Output = Family>,
    v4: impl Future<Output = Family>,
    delay: impl FnOnce() -> D,
) -> (Family, Family) {
    tokio::pin!(v6, v4);
    tokio::select! {
        v6 = &mut v6 => {
            let v4 = hear_second(&v6, v4, delay).await;
            (v6, v4)
        }
        v4 = &mut v4 => {
            let v6 = hear_second(&v4, v6, delay).await;
            (v6, v4)
        }
    }
}

async fn hear_second<D: Future<Output = ()>>(
    first: &Family,
    second: impl Future<Output = Family>,
    delay: impl FnOnce() -> D,
) -> Family {
    match first {
        Family::Addresses(..) => tokio::select! {
            biased;
            second = second => second,
            () = delay() => Family::Unheard,
        },
        Family::Empty | Family::Failed(_) | Family::Unheard => second.await,
    }
}

/// All addresses, and until when they may be kept: not at all where a family could not say or was not
/// waited for, which is asked again with the next use of the name.
fn together(v6: Family, v4: Family) -> Result<(Vec<IpAddr>, Option<Instant>), ResolveError> {
    let mut all_heard = true;
    let mut failed = None;
    let mut until: Option<Instant> = None;
    let [v6, v4] = [v6, v4].map(|family| match family {
        Family::Addresses(addresses, valid) => {
            until = Some(until.map_or(valid, |until| until.min(valid)));
            addresses
        }
        Family::Empty => Vec::new(),
        Family::Failed(error) => {
            all_heard = false;
            failed = Some(error);
            Vec::new()
        }
        Family::Unheard => {
            all_heard = false;
            Vec::new()
        }
    });
    let all = interleave(v6, v4);
    match (all.is_empty(), failed) {
        (false, _) => Ok((all, until.filter(|_| all_heard))),
        (true, None) => Err(ResolveError::NoAddress),
        (true, Some(error)) => Err(error),
    }
}

/// Addresses of one answer beyond this many are not tried.
const ADDRESSES_MAX: usize = 16;

fn addresses_in(lookup: &Lookup) -> Vec<IpAddr> {
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

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn addresses(text: &str) -> Family {
        Family::Addresses(vec![text.parse().unwrap()], Instant::now() + CACHE_TIME_MAX)
    }

    fn failed() -> Family {
        Family::Failed(ResolveError::Unanswered("refused".to_owned()))
    }

    /// An answer that comes after everything that is ready at once.
    async fn late(family: Family) -> Family {
        tokio::task::yield_now().await;
        family
    }

    /// The addresses and whether they are kept, where the delay is over as soon as it begins.
    fn resolved(v6: impl Future<Output = Family>, v4: impl Future<Output = Family>) -> Result<(String, bool), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (v6, v4) = runtime.block_on(hear(v6, v4, || ready(())));
        let (all, until) = together(v6, v4).map_err(|error| error.to_string())?;
        let all: Vec<_> = all.iter().map(ToString::to_string).collect();
        Ok((all.join(" "), until.is_some()))
    }

    fn ok(text: &str, kept: bool) -> Result<(String, bool), String> {
        Ok((text.to_owned(), kept))
    }

    #[test]
    fn addresses_of_one_family_wait_for_the_other_no_longer_than_the_delay() {
        assert_eq!(resolved(pending(), ready(addresses("192.0.2.1"))), ok("192.0.2.1", false));
        assert_eq!(resolved(ready(addresses("2001:db8::1")), pending()), ok("2001:db8::1", false));
    }

    #[test]
    fn within_the_delay_both_families_are_heard_whichever_is_first() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (v6, v4) = (|| addresses("2001:db8::1"), || addresses("192.0.2.1"));
        let heard = [
            runtime.block_on(hear(ready(v6()), late(v4()), pending)),
            runtime.block_on(hear(late(v6()), ready(v4()), pending)),
        ];
        for (v6, v4) in heard {
            let (all, until) = together(v6, v4).unwrap();
            let expected: [IpAddr; 2] = ["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()];
            assert_eq!(all, expected, "IPv6 first");
            assert!(until.is_some());
        }
    }

    #[test]
    fn a_family_without_addresses_never_ends_the_wait_for_the_other() {
        let (v6, v4) = (|| addresses("2001:db8::1"), || addresses("192.0.2.1"));
        assert_eq!(resolved(late(v6()), ready(Family::Empty)), ok("2001:db8::1", true));
        assert_eq!(resolved(ready(Family::Empty), late(v4())), ok("192.0.2.1", true));
        assert_eq!(resolved(late(v6()), ready(failed())), ok("2001:db8::1", false));
        assert_eq!(resolved(ready(failed()), late(v4())), ok("192.0.2.1", false));
    }

    #[test]
    fn no_address_is_said_only_when_both_families_said_so() {
        assert_eq!(resolved(late(Family::Empty), ready(Family::Empty)), Err(ResolveError::NoAddress.to_string()));
        let unanswered = Err(ResolveError::Unanswered("refused".to_owned()).to_string());
        assert_eq!(resolved(late(failed()), ready(Family::Empty)), unanswered);
        assert_eq!(resolved(ready(Family::Empty), late(failed())), unanswered);
    }
}

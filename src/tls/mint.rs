use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    SanType, SerialNumber,
};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::ProducesTickets;
use rustls::sign::{CertifiedKey, SigningKey};
use zeroize::Zeroizing;

use crate::facts::{Host, Timestamp};

use super::authority::{Authority, AuthorityError, BACKDATED, hold};
use super::server::{Offered, config};

/// So many hosts have their certificate kept, about 2 KiB each. Beyond, those not asked for lately are let go and
/// minted again when they are.
const HOSTS_MAX: usize = 10_000;
/// The first label of the host at which the next authority can be tried.
const TRIAL: &str = "sekisho-next-authority";
/// A certificate holds so long.
const HOLDS: Duration = Duration::from_secs(7 * 86_400);
/// It is minted again so long before its end.
const RENEWED: Duration = Duration::from_secs(86_400);

/// Mints certificates by which clients that trust the authority take the gate for a host.
///
/// All have one key, made at the start and kept in memory alone: it saves a key generation a host, and whoever
/// could take one key from the process could take all. One host is minted once however many ask at once: the
/// others wait for a lock that is held for one signature, which with a key in a file takes less time than to
/// wake a task.
pub struct Minter {
    leaf: LeafKey,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) tickets: Arc<dyn ProducesTickets>,
    state: Mutex<State>,
}

/// The key of what is minted: as what makes certificates wants it, and as what shakes hands does.
struct LeafKey {
    pair: KeyPair,
    signing: Arc<dyn SigningKey>,
}

/// Who vouches, and what it vouched for: two generations, of which the older is let go when the younger is full.
struct State {
    authority: Arc<Authority>,
    next: Option<Next>,
    young: HashMap<Host, Arc<Slot>>,
    old: HashMap<Host, Arc<Slot>>,
}

/// The authority that will vouch next, and the one host for which it does already, so that clients may try it.
struct Next {
    host: Host,
    authority: Arc<Authority>,
    slot: Arc<Slot>,
}

/// The certificate of one host. It is locked while it is minted.
#[derive(Default)]
struct Slot(Mutex<Option<Arc<Leaf>>>);

/// A minted certificate.
pub(super) struct Leaf {
    pub(super) certified: Arc<CertifiedKey>,
    /// The SHA-256 of the authority that vouches.
    pub(super) authority: [u8; 32],
    from: Timestamp,
    renew: Timestamp,
    configs: [OnceLock<Arc<ServerConfig>>; Offered::COUNT],
}

impl Minter {
    /// A minter by this authority.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new(authority: Authority) -> Result<Self, AuthorityError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tickets = aws_lc_rs::Ticketer::new().map_err(|_| AuthorityError::NoRandomness)?;
        let leaf = LeafKey::generate()?;
        Ok(Self { leaf, provider, tickets, state: Mutex::new(State::new(authority)) })
    }

    /// Has another authority vouch from now on. What the one before vouched for is let go, and sessions begun under
    /// it are not resumed, so that every client shows whether it trusts the new one.
    pub fn exchange(&self, authority: Authority) {
        *locked(&self.state) = State::new(authority);
    }

    /// Has this authority vouch too, for one host that no origin has: `sekisho-next-authority` below the first name that it
    /// is confined to, or below `invalid` (RFC 6761 section 6.4). Without one, or where it may not vouch for that, none.
    pub fn prepare(&self, next: Option<Authority>, now: Timestamp) {
        let next = next.and_then(|authority| {
            let below = authority.certificate().permitted().first().map_or("invalid", String::as_str);
            let host = Host::parse(format!("{TRIAL}.{below}").as_bytes()).ok()?;
            authority.check(&host, now).ok()?;
            Some(Next { host, authority: Arc::new(authority), slot: Arc::default() })
        });
        locked(&self.state).next = next;
    }

    /// The host that the next authority vouches for, where one is prepared.
    pub fn next_host(&self) -> Option<Host> {
        locked(&self.state).next.as_ref().map(|next| next.host.clone())
    }

    /// Whether it is this one.
    pub fn is_next_host(&self, host: &Host) -> bool {
        locked(&self.state).next.as_ref().is_some_and(|next| next.host == *host)
    }

    /// Who vouches.
    pub fn authority(&self) -> Arc<Authority> {
        locked(&self.state).authority.clone()
    }

    /// The certificate of this host, with the authority's behind it, and the key that belongs to it.
    ///
    /// # Errors
    /// The authority cannot vouch for it: see [`Authority::check`].
    pub fn certificate(&self, host: &Host, now: Timestamp) -> Result<Arc<CertifiedKey>, AuthorityError> {
        self.leaf(host, now).map(|leaf| leaf.certified.clone())
    }

    /// What a client's connection to this host is answered with: TLS 1.2 or 1.3, the host's certificate, the
    /// protocols that are offered.
    ///
    /// A ClientHello that names another host gets no certificate and the alert `access_denied`; one without a name
    /// gets it. A session is resumed by a ticket for twelve hours at most, under the same host and authority alone.
    ///
    /// # Errors
    /// The authority cannot vouch for the host.
    pub fn server_config(
        &self,
        host: &Host,
        offered: Offered,
        now: Timestamp,
    ) -> Result<Arc<ServerConfig>, AuthorityError> {
        let leaf = self.leaf(host, now)?;
        Ok(leaf.configs[offered as usize].get_or_init(|| Arc::new(config(self, host, &leaf, offered))).clone())
    }

    fn leaf(&self, host: &Host, now: Timestamp) -> Result<Arc<Leaf>, AuthorityError> {
        // Both at once, or a slot of the new authority could be filled by the one before.
        let (authority, slot) = locked(&self.state).take(host, now)?;
        let mut leaf = locked(&slot.0);
        if let Some(leaf) = leaf.as_ref().filter(|leaf| leaf.from <= now && now < leaf.renew) {
            return Ok(leaf.clone());
        }
        let minted = Arc::new(self.leaf.mint(&authority, &self.provider, host, now)?);
        *leaf = Some(minted.clone());
        Ok(minted)
    }
}

impl State {
    fn new(authority: Authority) -> Self {
        Self { authority: Arc::new(authority), next: None, young: HashMap::new(), old: HashMap::new() }
    }

    fn take(&mut self, host: &Host, now: Timestamp) -> Result<(Arc<Authority>, Arc<Slot>), AuthorityError> {
        if let Some(next) = self.next.as_ref().filter(|next| next.host == *host) {
            next.authority.check(host, now)?;
            return Ok((next.authority.clone(), next.slot.clone()));
        }
        // Before there is a slot for it: what cannot be vouched for must not push out what can.
        self.authority.check(host, now)?;
        if let Some(slot) = self.young.get(host) {
            return Ok((self.authority.clone(), slot.clone()));
        }
        let slot = self.old.remove(host).unwrap_or_default();
        if self.young.len() >= HOSTS_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(host.clone(), slot.clone());
        Ok((self.authority.clone(), slot))
    }
}

impl LeafKey {
    fn generate() -> Result<Self, AuthorityError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| AuthorityError::NoRandomness)?;
        let der = Zeroizing::new(pair.serialize_der());
        let signing = aws_lc_rs::sign::any_ecdsa_type(&PrivatePkcs8KeyDer::from(der.as_slice()).into())
            .map_err(|_| AuthorityError::NoRandomness)?;
        Ok(Self { pair, signing })
    }

    fn mint(
        &self,
        authority: &Authority,
        provider: &CryptoProvider,
        host: &Host,
        now: Timestamp,
    ) -> Result<Leaf, AuthorityError> {
        let mut serial = [0; 16];
        provider.secure_random.fill(&mut serial).map_err(|_| AuthorityError::NoRandomness)?;
        // A positive number of all sixteen octets (RFC 5280 §4.1.2.2).
        serial[0] = serial[0] & 0x7f | 0x40;

        let issuer = authority.certificate();
        let from = Timestamp(now.0.saturating_sub(micros(BACKDATED))).max(issuer.not_before());
        let until = Timestamp(now.0.saturating_add(micros(HOLDS))).min(issuer.not_after());
        // What ends with its authority gains nothing by being minted again.
        let ends_with_it = until == issuer.not_after();
        let renew = if ends_with_it { until } else { Timestamp(until.0.saturating_sub(micros(RENEWED))) };

        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        hold(&mut params, from.0 / 1_000_000, until.0 / 1_000_000);
        params.subject_alt_names = vec![match host {
            Host::Name(name) => SanType::DnsName(name.as_str().try_into().map_err(AuthorityError::Making)?),
            Host::V4(address) => SanType::IpAddress((*address).into()),
            Host::V6(address) => SanType::IpAddress((*address).into()),
        }];
        params.distinguished_name = rcgen::DistinguishedName::new();
        let name = host.to_string();
        if name.len() <= super::authority::COMMON_NAME_MAX {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let made = params.signed_by(&self.pair, authority.issuer()).map_err(AuthorityError::Making)?;

        let chain = vec![made.der().clone(), issuer.der().clone()];
        let certified = Arc::new(CertifiedKey::new(chain, self.signing.clone()));
        Ok(Leaf { certified, authority: issuer.sha256(), from, renew, configs: Default::default() })
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// What a thread that died left behind is whole: nothing here is changed in two steps.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

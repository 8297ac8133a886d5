use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{ServerName, UnixTime};

use super::super::authority::Terms;
use super::super::der::Outline;
use super::super::signer::{CannotSign, FileKey, Signer};
use super::*;

const NOW: Timestamp = Timestamp(1_764_000_000_000_000);
const DAY: u64 = 86_400_000_000;

/// Counts what it signs, and may be told to fail.
struct Counting {
    key: FileKey,
    signed: Arc<AtomicUsize>,
    fails: bool,
}

impl Signer for Counting {
    fn public_key(&self) -> &[u8] {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CannotSign> {
        self.signed.fetch_add(1, Ordering::Relaxed);
        if self.fails { Err(CannotSign("the token was pulled out".to_owned())) } else { self.key.sign(message) }
    }
}

pub(in crate::tls) fn terms() -> Terms {
    Terms { name: "gate1".to_owned(), days: 730, permit: Vec::new(), exclude: Vec::new() }
}

fn authority(terms: &Terms) -> Authority {
    Authority::make(terms, NOW).unwrap().0
}

fn counting(fails: bool) -> (Minter, Arc<AtomicUsize>) {
    let (made, key) = Authority::make(&terms(), NOW).unwrap();
    let key = FileKey::read(&PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap();
    let signed = Arc::new(AtomicUsize::new(0));
    let signer = Counting { key, signed: signed.clone(), fails };
    let authority = Authority::new(made.certificate().der().clone(), Box::new(signer)).unwrap();
    (Minter::new(authority).unwrap(), signed)
}

fn host(text: &str) -> Host {
    Host::parse(text.as_bytes()).unwrap()
}

/// What an independent verifier says of a certificate.
fn verify(authority: &Authority, certified: &CertifiedKey, name: &str, now: Timestamp) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().der().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_micros(now.0));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(&certified.cert[0], &certified.cert[1..], &name, &[], now).map(drop)
}

#[test]
fn a_minted_certificate_holds_for_its_host_alone_and_for_a_week() {
    let minter = Minter::new(authority(&terms())).unwrap();
    for (asked, other) in [
        ("a.test", "b.test"),
        ("192.0.2.1", "192.0.2.2"),
        ("[2001:db8::1]", "[2001:db8::2]"),
        ("under_score.test", "underscore.test"),
    ] {
        let certified = minter.certificate(&host(asked), NOW).unwrap();
        let plain = |text: &str| text.trim_matches(['[', ']']).to_owned();
        assert_eq!(verify(&minter.authority(), &certified, &plain(asked), NOW), Ok(()), "{asked}");
        assert!(verify(&minter.authority(), &certified, &plain(other), NOW).is_err(), "{asked} is not {other}");
        let outline = Outline::read(&certified.cert[0]).unwrap();
        assert_eq!(outline.not_before, (NOW.0 - DAY) / 1_000_000);
        assert_eq!(outline.not_after, (NOW.0 + 7 * DAY) / 1_000_000);
        assert_eq!(certified.cert.len(), 2);
        certified.keys_match().unwrap();
    }
}

#[test]
fn a_name_below_the_host_is_not_the_host() {
    let minter = Minter::new(authority(&terms())).unwrap();
    let certified = minter.certificate(&host("a.test"), NOW).unwrap();
    for other in ["www.a.test", "test", "xa.test"] {
        assert!(verify(&minter.authority(), &certified, other, NOW).is_err(), "{other}");
    }
}

#[test]
fn a_name_too_long_for_a_subject_is_vouched_for_by_its_alternative_name() {
    let long = format!("{}.{}.test", "a".repeat(60), "b".repeat(60));
    let minter = Minter::new(authority(&terms())).unwrap();
    let certified = minter.certificate(&host(&long), NOW).unwrap();
    assert_eq!(verify(&minter.authority(), &certified, &long, NOW), Ok(()));
    assert!(Outline::read(&certified.cert[0]).unwrap().subject.is_empty());
}

#[test]
fn a_host_is_minted_once_until_the_day_before_its_end() {
    let (minter, signed) = counting(false);
    let first = minter.certificate(&host("a.test"), NOW).unwrap();
    let later = minter.certificate(&host("a.test"), Timestamp(NOW.0 + 6 * DAY - 1)).unwrap();
    assert!(Arc::ptr_eq(&first, &later));
    assert_eq!(signed.load(Ordering::Relaxed), 1);
    let anew = minter.certificate(&host("a.test"), Timestamp(NOW.0 + 6 * DAY)).unwrap();
    assert!(!Arc::ptr_eq(&first, &anew));
    assert_ne!(first.cert[0], anew.cert[0]);
    // A clock that was set back must not show what does not hold yet.
    minter.certificate(&host("a.test"), NOW).unwrap();
    assert_eq!(signed.load(Ordering::Relaxed), 3);
}

#[test]
fn a_thousand_new_hosts_asked_for_by_many_at_once_are_minted_once_each() {
    const HOSTS: usize = 1000;
    const ASKERS: usize = 8;
    let (minter, signed) = counting(false);
    let hosts: Vec<Host> = (0..HOSTS).map(|number| host(&format!("h{number}.test"))).collect();
    let begin = Barrier::new(ASKERS);
    let certificates = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKERS)
            .map(|_| {
                scope.spawn(|| {
                    begin.wait();
                    hosts.iter().map(|host| minter.certificate(host, NOW).unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        askers.into_iter().map(|asker| asker.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(signed.load(Ordering::Relaxed), HOSTS);
    for of_asker in &certificates[1..] {
        assert!(of_asker.iter().zip(&certificates[0]).all(|(one, other)| Arc::ptr_eq(one, other)));
    }
    let serials: std::collections::HashSet<_> = certificates[0].iter().map(|one| one.cert[0].clone()).collect();
    assert_eq!(serials.len(), HOSTS);
}

#[test]
fn what_is_kept_is_bounded_and_what_is_in_use_stays() {
    let (minter, signed) = counting(false);
    let used = host("used.test");
    for number in 0..HOSTS_MAX + HOSTS_MAX / 2 {
        minter.certificate(&host(&format!("h{number}.test")), NOW).unwrap();
        if number % 1000 == 0 {
            minter.certificate(&used, NOW).unwrap();
        }
    }
    let state = locked(&minter.state);
    assert!(state.young.len() + state.old.len() <= HOSTS_MAX);
    drop(state);
    let before = signed.load(Ordering::Relaxed);
    assert_eq!(before, HOSTS_MAX + HOSTS_MAX / 2 + 1, "the one in use was minted once");
    minter.certificate(&host("h0.test"), NOW).unwrap();
    assert_eq!(signed.load(Ordering::Relaxed), before + 1, "the first was let go");
}

#[test]
fn a_host_that_may_not_be_vouched_for_is_refused_and_takes_no_room() {
    let confined = Terms { permit: vec![host("corp.example")], ..terms() };
    let minter = Minter::new(authority(&confined)).unwrap();
    assert!(matches!(minter.certificate(&host("a.test"), NOW), Err(AuthorityError::NotPermitted(_))));
    assert!(locked(&minter.state).young.is_empty());
    let certified = minter.certificate(&host("a.corp.example"), NOW).unwrap();
    assert_eq!(verify(&minter.authority(), &certified, "a.corp.example", NOW), Ok(()));
}

#[test]
fn no_certificate_outlives_its_authority_and_none_is_minted_after_it() {
    let minter = Minter::new(authority(&Terms { days: 3, ..terms() })).unwrap();
    let certified = minter.certificate(&host("a.test"), NOW).unwrap();
    let end = (NOW.0 + 3 * DAY) / 1_000_000;
    assert_eq!(Outline::read(&certified.cert[0]).unwrap().not_after, end);
    // Near the end of both it is not minted again and again.
    let near = Timestamp(NOW.0 + 3 * DAY - 1_000_000);
    assert!(Arc::ptr_eq(&certified, &minter.certificate(&host("a.test"), near).unwrap()));
    let over = Timestamp(NOW.0 + 3 * DAY + 1);
    assert!(matches!(minter.certificate(&host("a.test"), over), Err(AuthorityError::Expired(_))));
}

#[test]
fn another_authority_vouches_at_once_and_nothing_of_the_one_before_is_shown() {
    let minter = Minter::new(authority(&terms())).unwrap();
    let first = minter.authority();
    let before = minter.certificate(&host("a.test"), NOW).unwrap();
    minter.exchange(authority(&terms()));
    let after = minter.certificate(&host("a.test"), NOW).unwrap();
    assert_eq!(verify(&minter.authority(), &after, "a.test", NOW), Ok(()));
    assert!(verify(&minter.authority(), &before, "a.test", NOW).is_err());
    assert!(verify(&first, &after, "a.test", NOW).is_err());
}

#[test]
fn a_key_that_does_not_sign_is_an_error_and_is_asked_again_next_time() {
    let (minter, signed) = counting(true);
    for asked in 1..=2 {
        let error = minter.certificate(&host("a.test"), NOW).unwrap_err();
        assert!(matches!(error, AuthorityError::Making(_)), "{error}");
        assert_eq!(signed.load(Ordering::Relaxed), asked);
    }
}

#[test]
fn the_next_authority_vouches_for_one_host_alone_and_for_none_that_it_may_not() {
    let minter = Minter::new(authority(&terms())).unwrap();
    let (site, trial) = (host("site.example"), host("sekisho-next-authority.invalid"));
    assert_eq!(minter.next_host(), None);
    let (next, now) = (authority(&terms()), minter.authority());
    let der = next.certificate().der().clone();
    minter.prepare(Some(next), NOW);
    assert_eq!(minter.next_host(), Some(trial.clone()));
    assert!(minter.is_next_host(&trial) && !minter.is_next_host(&site));
    let issuer = |of: &Host| minter.certificate(of, NOW).unwrap().cert[1].clone();
    assert_eq!((issuer(&trial), issuer(&site)), (der, now.certificate().der().clone()));
    // Below what it is confined to; and where it may not vouch there is nothing to try.
    let confined = Terms { permit: vec![host("corp.example")], ..terms() };
    minter.prepare(Some(authority(&confined)), NOW);
    assert_eq!(minter.next_host(), Some(host("sekisho-next-authority.corp.example")));
    minter.prepare(Some(authority(&Terms { exclude: vec![host("invalid")], ..terms() })), NOW);
    assert_eq!(minter.next_host(), None);
    minter.prepare(Some(authority(&terms())), NOW);
    minter.exchange(authority(&terms()));
    assert_eq!(minter.next_host(), None, "it vouches for all now");
}

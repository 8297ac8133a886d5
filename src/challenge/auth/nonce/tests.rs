use super::*;

const SECOND: u64 = 1_000_000;

fn nonces() -> Nonces {
    Nonces::new(&Secret::new([7; 32]))
}

fn client(n: u32) -> ClientKey {
    ClientKey::of(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into())
}

#[test]
fn each_count_of_a_nonce_is_taken_once_in_whatever_order_requests_arrive() {
    let mut nonces = nonces();
    let now = Moment(SECOND);
    let nonce = nonces.make(client(1), now);
    let mut take = |count| nonces.take(nonce.as_bytes(), once(count), client(1), "tanaka", now);
    assert_eq!(take(2), Ok(()));
    assert_eq!(take(1), Ok(()), "overtaken on its way");
    assert_eq!(take(1), Err(StaleNonce::Replayed));
    assert_eq!(take(2), Err(StaleNonce::Replayed));
    assert_eq!(take(200), Ok(()));
    assert_eq!(take(199), Ok(()));
    assert_eq!(take(200), Err(StaleNonce::Replayed));
    assert_eq!(take(73), Ok(()), "the last that is told apart");
    assert_eq!(take(73), Err(StaleNonce::Replayed));
    assert_eq!(take(72), Err(StaleNonce::Expired));
    assert_eq!(take(u32::MAX), Ok(()));
    assert_eq!(take(u32::MAX), Err(StaleNonce::Replayed));
}

#[test]
fn a_nonce_expires_and_none_is_like_another() {
    let mut nonces = nonces();
    let made = Moment(SECOND);
    let lifetime = u64::try_from(NONCE_LIFETIME.as_micros()).unwrap();
    let (one, two, three) = (nonces.make(client(1), made), nonces.make(client(1), made), nonces.make(client(2), made));
    assert!(one != two && two != three && one != three);
    assert!(one.len() == 32 && one.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{one}");
    let mut take = |nonce: &str, now| nonces.take(nonce.as_bytes(), once(1), client(1), "tanaka", Moment(now));
    assert_eq!(take(&one, SECOND + lifetime), Ok(()));
    assert_eq!(take(&two, SECOND + lifetime + 2), Err(StaleNonce::Expired));
    assert_eq!(take(&one, SECOND + lifetime + 1), Err(StaleNonce::Expired), "one in use does, too");
}

#[test]
fn a_nonce_of_another_secret_client_or_making_is_foreign() {
    let mut nonces = nonces();
    let now = Moment(SECOND);
    let nonce = nonces.make(client(1), now);
    let elsewhere = Nonces::new(&Secret::new([8; 32])).make(client(1), now);
    let mut take = |nonce: &[u8], from| nonces.take(nonce, once(1), client(from), "tanaka", now);
    assert_eq!(take(nonce.as_bytes(), 2), Err(StaleNonce::Foreign));
    assert_eq!(take(elsewhere.as_bytes(), 1), Err(StaleNonce::Foreign));
    assert_eq!(take(b"", 1), Err(StaleNonce::Foreign));
    assert_eq!(take(&nonce.as_bytes()[..28], 1), Err(StaleNonce::Foreign));
    assert_eq!(take(&[nonce.as_bytes(), b"AAAA"].concat(), 1), Err(StaleNonce::Foreign));
    for at in 0..nonce.len() {
        let mut changed = nonce.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(take(&changed, 1), Err(StaleNonce::Foreign), "{at}");
    }
    assert_eq!(take(nonce.as_bytes(), 1), Ok(()), "and the one that was made here is taken");
}

#[test]
fn windows_are_bounded_and_of_a_forgotten_one_no_count_is_taken_again() {
    let mut nonces = nonces();
    let now = Moment(SECOND);
    let unused = nonces.make(client(1), now);
    let first = nonces.make(client(1), now);
    assert_eq!(nonces.take(first.as_bytes(), once(1), client(1), "tanaka", now), Ok(()));
    assert!(nonces.is_in_use(first.as_bytes(), client(1), "tanaka", now));
    assert!(!nonces.is_in_use(first.as_bytes(), client(1), "sato", now));
    assert!(!nonces.is_in_use(first.as_bytes(), client(2), "tanaka", now));
    assert!(!nonces.is_in_use(unused.as_bytes(), client(1), "tanaka", now));
    for _ in 0..NONCES_MAX {
        let nonce = nonces.make(client(2), now);
        assert_eq!(nonces.take(nonce.as_bytes(), once(1), client(2), "sato", now), Ok(()));
    }
    assert_eq!(nonces.windows.len(), NONCES_MAX);
    assert_eq!(nonces.take(first.as_bytes(), once(1), client(1), "tanaka", now), Err(StaleNonce::Expired));
    assert_eq!(nonces.take(first.as_bytes(), once(2), client(1), "tanaka", now), Err(StaleNonce::Expired));
    assert_eq!(nonces.take(unused.as_bytes(), once(1), client(1), "tanaka", now), Err(StaleNonce::Expired));
    let fresh = nonces.make(client(1), now);
    assert_eq!(nonces.take(fresh.as_bytes(), once(1), client(1), "tanaka", now), Ok(()));
    let later = now + NONCE_LIFETIME + NONCE_LIFETIME;
    let fresh = nonces.make(client(1), later);
    assert_eq!(nonces.take(fresh.as_bytes(), once(1), client(1), "tanaka", later), Ok(()));
    assert_eq!(nonces.windows.len(), 1, "what has expired takes no room");
}

/// A use that nothing repeats.
fn once(count: u32) -> Use<'static> {
    Use { count, again: None }
}

#[test]
fn what_may_come_again_is_taken_again_for_a_while_where_it_is_all_the_same() {
    let mut nonces = nonces();
    let nonce = nonces.make(client(1), Moment(SECOND));
    let mut take = |count, response: &'static str, seconds| {
        let used = Use { count, again: Some(response.as_bytes()) };
        nonces.take(nonce.as_bytes(), used, client(1), "tanaka", Moment(seconds * SECOND))
    };
    assert_eq!(take(1, "a", 1), Ok(()));
    assert_eq!(take(2, "b", 2), Ok(()));
    assert_eq!((take(1, "a", 3), take(2, "b", 3)), (Ok(()), Ok(())));
    assert_eq!(take(1, "c", 3), Err(StaleNonce::Replayed), "for another target");
    assert_eq!(take(1, "a", 11), Err(StaleNonce::Replayed), "ten seconds later");
    (3..=6).for_each(|count| assert_eq!(take(count, "d", 3), Ok(())));
    assert_eq!(take(2, "b", 3), Err(StaleNonce::Replayed), "the latest four can come again");
    assert_eq!(
        nonces.take(nonce.as_bytes(), once(6), client(1), "tanaka", Moment(3 * SECOND)),
        Err(StaleNonce::Replayed)
    );
}

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::facts::{ExchangeId, Host, Target, Timestamp};

/// Clients of which refusals are remembered. Of more, the one that was refused longest ago is forgotten.
const CLIENTS_MAX: usize = 2048;
/// Refusals of one client that are remembered; of more the newest.
const OF_CLIENT_MAX: usize = 12;
/// Bytes of a text that a client chose, or of a detail.
const TEXT_BYTES_MAX: usize = 256;

/// What a client was refused, so that the person at it can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// It says when, too.
    pub id: ExchangeId,
    /// Where it wanted to go, without a path.
    pub target: Target,
    pub status: u16,
    /// The code of the reason, as in the record.
    pub reason: &'static str,
    pub detail: Option<Box<str>>,
    /// The program by its own words, up to 256 bytes.
    pub user_agent: Option<Box<[u8]>>,
    /// It was let out at first, and cut off then.
    pub cut: Option<Timestamp>,
}

/// The last refusals of each client, by its address alone: no client is told of another's.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    of: HashMap<IpAddr, OfClient>,
    /// Which was refused last, by a number that grows.
    order: BTreeMap<u64, IpAddr>,
    next: u64,
}

#[derive(Debug, Default)]
struct OfClient {
    place: u64,
    refused: VecDeque<Refused>,
}

impl Refused {
    pub(super) fn new(
        id: ExchangeId,
        target: &Target,
        (status, reason, detail): (u16, &'static str, Option<&str>),
        user_agent: Option<&[u8]>,
    ) -> Self {
        let cut = |text: &str| text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default().into();
        Self {
            id,
            target: Target { path: None, ..target.clone() },
            status,
            reason,
            detail: detail.map(cut),
            user_agent: user_agent.map(|text| text.get(..TEXT_BYTES_MAX).unwrap_or(text).into()),
            cut: None,
        }
    }

    /// The same of what had been let out.
    pub(super) fn cut_at(self, now: Timestamp) -> Self {
        Self { cut: Some(now), ..self }
    }

    pub fn host(&self) -> &Host {
        &self.target.host
    }
}

impl Refusals {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, client: IpAddr, refused: Refused) {
        let client = client.to_canonical();
        let mut kept = self.kept();
        let place = kept.next;
        kept.next += 1;
        if !kept.of.contains_key(&client)
            && kept.of.len() >= CLIENTS_MAX
            && let Some((_, oldest)) = kept.order.pop_first()
        {
            kept.of.remove(&oldest);
        }
        let Kept { of, order, .. } = &mut *kept;
        let known = of.entry(client).or_default();
        if !known.refused.is_empty() {
            order.remove(&known.place);
        }
        known.place = place;
        order.insert(place, client);
        // Of a page that asks a hundred times for the same, the newest says all.
        let same = |other: &Refused| other.target == refused.target && other.reason == refused.reason;
        known.refused.retain(|other| !same(other));
        if known.refused.len() >= OF_CLIENT_MAX {
            known.refused.pop_front();
        }
        known.refused.push_back(refused);
    }

    /// What this client was refused, the newest first.
    pub fn of(&self, client: IpAddr) -> Vec<Refused> {
        let kept = self.kept();
        kept.of
            .get(&client.to_canonical())
            .map(|known| known.refused.iter().rev().cloned().collect())
            .unwrap_or_default()
    }
}

/// How many exchanges were refused for which reason: reasons are words of this program.
#[derive(Debug, Default)]
pub struct Reasons(Mutex<BTreeMap<&'static str, u64>>);

impl Reasons {
    pub(crate) fn count(&self, reason: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// In the order of their names.
    pub fn read(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(reason, count)| (*reason, *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::parse_absolute;

    use super::*;

    fn refused(number: u64, host: &str) -> Refused {
        let target = parse_absolute(format!("http://{host}/secret?q=1").as_bytes()).unwrap();
        Refused::new(ExchangeId(number), &target, (403, "no_rule", Some("x")), Some(&[b'a'; 5000]))
    }

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    #[test]
    fn a_client_is_told_of_its_own_refusals_alone_the_newest_first_and_of_each_once() {
        let refusals = Refusals::default();
        for (number, client, host) in
            [(1, 1, "a.example"), (2, 2, "b.example"), (3, 1, "c.example"), (4, 1, "a.example")]
        {
            refusals.note(address(client), refused(number, host));
        }
        let of = |client| refusals.of(address(client)).iter().map(|one| one.id.0).collect::<Vec<_>>();
        assert_eq!((of(1), of(2), of(3)), (vec![4, 3], vec![2], Vec::new()));
        let mapped: IpAddr = "::ffff:10.0.0.2".parse().unwrap();
        assert_eq!(refusals.of(mapped).len(), 1, "the same client by another form of its address");
        let one = &refusals.of(address(1))[0];
        assert!(one.target.path.is_none() && one.user_agent.as_ref().unwrap().len() == 256, "{one:?}");
    }

    #[test]
    fn at_the_bounds_what_is_oldest_goes() {
        let refusals = Refusals::default();
        for number in 0..100 {
            refusals.note(address(0), refused(number, &format!("h{number}.example")));
        }
        assert_eq!(refusals.of(address(0)).len(), OF_CLIENT_MAX);
        assert_eq!(refusals.of(address(0))[0].id.0, 99);
        for number in 1..=u32::try_from(CLIENTS_MAX).unwrap() {
            if number == 1000 {
                refusals.note(address(1), refused(5, "again.example"));
            }
            refusals.note(address(number), refused(1, "a.example"));
        }
        let kept = refusals.kept();
        assert_eq!((kept.of.len(), kept.order.len()), (CLIENTS_MAX, CLIENTS_MAX));
        drop(kept);
        assert!(refusals.of(address(0)).is_empty() && !refusals.of(address(1)).is_empty());
    }
}

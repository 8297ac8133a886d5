//! What findings have imposed on clients, targets and programs, for as long as it lasts, and what a person has imposed on
//! clients or on all, until they take it back.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ipnet::IpNet;
use tokio::sync::watch;

use crate::clock;
use crate::detect::{Act, Imposed};
use crate::evidence::FindingId;
use crate::facts::{Client, ClientKey, Hello, Host, Response, Restraint, Stage, Timestamp};

/// All that is imposed now.
#[derive(Debug, Default)]
pub struct Restraints {
    table: RwLock<Table>,
    /// How many of findings there are, and of a person: mostly none, and then nobody waits for the table.
    count: AtomicUsize,
    by_hand: AtomicUsize,
    /// Counts what was imposed, from 0: each tunnel and each running exchange is looked at again when it changes.
    number: watch::Sender<u32>,
}

#[derive(Debug, Default)]
struct Table {
    of_clients: HashMap<ClientKey, Vec<Imposed>>,
    /// What is about all clients.
    of_all: Vec<Imposed>,
    by_hand: ByHand,
}

/// What a person has imposed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByHand {
    /// Who is cut off; IPv4 within IPv6 is written as IPv4.
    pub isolated: Vec<IpNet>,
    /// Nothing but what essential rules let out passes.
    pub lockdown: bool,
}

/// Who is cut off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Isolated {
    pub by_hand: Vec<IpNet>,
    pub by_findings: Vec<Found>,
}

/// A client that findings have cut off.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Of IPv6 the /64: the gate takes whoever has any address of that for the client.
    pub client: IpNet,
    /// The addresses of it that the findings name.
    pub named: BTreeSet<IpAddr>,
}

impl Isolated {
    pub fn all(&self) -> impl Iterator<Item = IpNet> {
        self.by_hand.iter().copied().chain(self.by_findings.iter().map(|found| found.client))
    }

    /// Who is to be cut off beside the gate too: of IPv6 the very addresses that findings are about. Their /64 is mostly a whole
    /// segment, with servers and others in it whom nobody has meant.
    pub fn elsewhere(&self) -> impl Iterator<Item = IpNet> {
        let named = self.by_findings.iter().flat_map(|found| &found.named).copied().map(IpNet::from);
        self.by_hand.iter().copied().chain(named)
    }
}

/// At most so many are in force, so many of them on one client, and so many about all clients: what any exchange is compared
/// with is bounded.
const RESTRAINTS_MAX: usize = 4_096;
const OF_CLIENT_MAX: usize = 64;
const OF_ALL_MAX: usize = 256;

/// Why one is not in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotImposed {
    #[error("too many restraints are in force")]
    NoRoom,
    #[error("it names a client that is no address")]
    NoClient,
}

impl Restraints {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one in force; the same again lasts until the later end. Says whether it is news.
    ///
    /// # Errors
    /// Too many are in force, or it is about nobody.
    pub fn impose(&self, imposed: Imposed) -> Result<bool, NotImposed> {
        let mut table = self.write();
        if !table.add(imposed, self.count.load(Ordering::Relaxed))? {
            return Ok(false);
        }
        self.count.fetch_add(1, Ordering::Release);
        drop(table);
        self.changed();
        Ok(true)
    }

    /// Puts all of this in force, in place of all that was before. Gives how many of findings are not, for want of room or as they
    /// are about nobody.
    pub fn replace(&self, by_hand: ByHand, of_findings: Vec<Imposed>) -> usize {
        let by_hand_count = by_hand.count();
        let mut next = Table { by_hand, ..Table::default() };
        let (mut count, mut missing) = (0, 0);
        for imposed in of_findings {
            match next.add(imposed, count) {
                Ok(is_new) => count += usize::from(is_new),
                Err(NotImposed::NoRoom | NotImposed::NoClient) => missing += 1,
            }
        }
        let mut table = self.write();
        *table = next;
        // Who looks at the counts alone never finds none where something was imposed before and is after.
        self.count.fetch_max(count, Ordering::Release);
        self.by_hand.store(by_hand_count, Ordering::Release);
        self.count.store(count, Ordering::Release);
        drop(table);
        self.changed();
        missing
    }

    /// Puts in force what a person has imposed, in place of what they had before. How many it may be, is the caller's to bound:
    /// each exchange is compared with all.
    pub fn impose_by_hand(&self, by_hand: ByHand) {
        let mut table = self.write();
        let count = by_hand.count();
        table.by_hand = by_hand;
        self.by_hand.store(count, Ordering::Release);
        drop(table);
        self.changed();
    }

    /// Who is cut off now.
    pub fn isolated(&self, now: Timestamp) -> Isolated {
        let table = self.read();
        let of_client = |(client, list): (&ClientKey, &Vec<Imposed>)| {
            let cuts = |imposed: &&Imposed| {
                imposed.act == Act::Isolate
                    && imposed.until > now
                    && imposed.target.is_none()
                    && imposed.program.is_none()
            };
            let mut cutting = list.iter().filter(cuts).peekable();
            cutting.peek()?;
            let address = |imposed: &Imposed| Some(imposed.client.as_deref()?.parse::<IpAddr>().ok()?.to_canonical());
            Some(Found { client: client.network(), named: cutting.filter_map(address).collect() })
        };
        let mut by_findings: Vec<_> = table.of_clients.iter().filter_map(of_client).collect();
        by_findings.retain(|found| !table.by_hand.isolated.contains(&found.client));
        by_findings.sort();
        Isolated { by_hand: table.by_hand.isolated.clone(), by_findings }
    }

    /// Whether nothing but what is essential is to pass.
    pub fn is_lockdown(&self) -> bool {
        self.read().by_hand.lockdown
    }

    fn changed(&self) {
        self.number.send_modify(|number| *number = number.wrapping_add(1));
    }

    /// Tells of each change after this.
    pub fn changes(&self) -> watch::Receiver<u32> {
        self.number.subscribe()
    }

    /// Takes out what is over. Called about once a minute.
    pub fn expire(&self, now: Timestamp) -> Vec<Imposed> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let is_over = |imposed: &Imposed| imposed.until <= now;
        if !self.read().all().any(is_over) {
            return Vec::new();
        }
        self.take_out(is_over)
    }

    /// Ends what a finding has imposed; all where none is named.
    pub fn lift(&self, finding: Option<FindingId>) -> Vec<Imposed> {
        self.take_out(|imposed| finding.is_none_or(|finding| finding == imposed.finding))
    }

    fn take_out(&self, mut which: impl FnMut(&Imposed) -> bool) -> Vec<Imposed> {
        let mut table = self.write();
        let mut taken: Vec<_> = table.of_all.extract_if(.., |imposed| which(imposed)).collect();
        for list in table.of_clients.values_mut() {
            taken.extend(list.extract_if(.., |imposed| which(imposed)));
        }
        table.of_clients.retain(|_, list| !list.is_empty());
        self.count.fetch_sub(taken.len(), Ordering::Release);
        drop(table);
        if !taken.is_empty() {
            self.changed();
        }
        taken
    }

    /// All that are in force, those that end first first.
    pub fn list(&self) -> Vec<Imposed> {
        let mut list: Vec<_> = self.read().all().cloned().collect();
        list.sort_by(|a, b| a.until.cmp(&b.until).then_with(|| a.finding.cmp(&b.finding)));
        list
    }

    pub(super) fn number(&self) -> u32 {
        *self.number.borrow()
    }

    /// What is imposed on this exchange.
    pub(super) fn on(
        &self,
        client: &Client,
        host: &Host,
        user_agent: Option<&[u8]>,
        hello: Stage<&Hello>,
    ) -> Restraint {
        if self.count.load(Ordering::Acquire) == 0 && self.by_hand.load(Ordering::Acquire) == 0 {
            return Restraint::NONE;
        }
        let (now, host) = (clock::now(), host.to_string());
        let key = match hello {
            Stage::Known(hello) => Some(&*hello.stable_key),
            Stage::NotYet | Stage::Never => None,
        };
        let is_program =
            |program: &str| key == Some(program) || user_agent.is_some_and(|agent| agent == program.as_bytes());
        let table = self.read();
        let of_client = table.of_clients.get(&ClientKey::of(client.address.ip())).into_iter().flatten();
        let meant = of_client.chain(&table.of_all).filter(|imposed| {
            imposed.until > now
                && imposed.target.as_ref().is_none_or(|target| target.is(&host))
                && imposed.program.as_deref().is_none_or(is_program)
        });
        let act = meant.map(|imposed| imposed.act).max();
        Restraint {
            isolated: act == Some(Act::Isolate) || table.by_hand.isolates(client.address.ip()),
            lockdown: table.by_hand.lockdown,
            finding: match act {
                Some(Act::Deny) => Some(Response::Deny),
                Some(Act::ChallengeAfresh) => Some(Response::ChallengeAfresh),
                Some(Act::Isolate) | None => None,
            },
        }
    }
}

impl ByHand {
    fn count(&self) -> usize {
        self.isolated.len() + usize::from(self.lockdown)
    }

    fn isolates(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.isolated.iter().any(|net| net.contains(&client))
    }
}

impl Table {
    /// Adds one to the so many of findings that there are. Says whether it is news.
    fn add(&mut self, imposed: Imposed, count: usize) -> Result<bool, NotImposed> {
        let client = match imposed.client.as_deref() {
            Some(client) => Some(ClientKey::parse(client).ok_or(NotImposed::NoClient)?),
            None => None,
        };
        let is_full = count >= RESTRAINTS_MAX;
        let (list, most) = match client {
            Some(client) if is_full && !self.of_clients.contains_key(&client) => return Err(NotImposed::NoRoom),
            Some(client) => (self.of_clients.entry(client).or_default(), OF_CLIENT_MAX),
            None => (&mut self.of_all, OF_ALL_MAX),
        };
        let same = |other: &&mut Imposed| other.finding == imposed.finding && other.measure == imposed.measure;
        if let Some(other) = list.iter_mut().find(same) {
            other.until = other.until.max(imposed.until);
            return Ok(false);
        }
        if list.len() >= most || is_full {
            return Err(NotImposed::NoRoom);
        }
        list.push(imposed);
        Ok(true)
    }

    fn all(&self) -> impl Iterator<Item = &Imposed> {
        self.of_clients.values().flatten().chain(&self.of_all)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use crate::detect::Target;
    use crate::evidence::FindingKind;

    use super::*;

    fn imposed(number: usize, act: Act, client: Option<&str>, target: Option<&str>) -> Imposed {
        Imposed {
            finding: FindingId::new(FindingKind::Beacon, "c", &number.to_string()),
            measure: "m".into(),
            act,
            client: client.map(Into::into),
            target: target.and_then(Target::new),
            program: None,
            until: Timestamp(u64::MAX),
        }
    }

    fn on(restraints: &Restraints, client: &str, host: &str) -> Restraint {
        let client = Client::at(SocketAddr::new(client.parse().unwrap(), 1));
        let host = Host::parse(host.as_bytes()).unwrap();
        restraints.on(&client, &host, Some(b"agent/1"), Stage::Never)
    }

    fn finding(response: Response) -> Restraint {
        Restraint { finding: Some(response), ..Restraint::NONE }
    }

    #[test]
    fn what_is_imposed_is_on_whom_it_names_and_the_strongest_counts() {
        let restraints = Restraints::default();
        assert_eq!(on(&restraints, "10.0.0.1", "c2.test"), Restraint::NONE);
        for one in [
            imposed(1, Act::ChallengeAfresh, Some("10.0.0.1"), Some("c2.test")),
            imposed(2, Act::Deny, None, Some("*.evil.test")),
            imposed(3, Act::Isolate, Some("10.0.0.9"), None),
            imposed(4, Act::ChallengeAfresh, Some("10.0.0.1"), Some("a.evil.test")),
            imposed(5, Act::Deny, Some("2001:db8::7"), Some("c2.test")),
        ] {
            assert_eq!(restraints.impose(one), Ok(true));
        }
        for (client, host, expected) in [
            ("10.0.0.1", "c2.test", finding(Response::ChallengeAfresh)),
            ("::ffff:10.0.0.1", "c2.test", finding(Response::ChallengeAfresh)),
            ("10.0.0.2", "c2.test", Restraint::NONE),
            ("10.0.0.1", "a.evil.test", finding(Response::Deny)),
            ("10.0.0.2", "b.evil.test", finding(Response::Deny)),
            ("10.0.0.2", "evil.test", Restraint::NONE),
            ("10.0.0.9", "portal.test", Restraint::ISOLATED),
            ("2001:db8::9", "c2.test", finding(Response::Deny)),
        ] {
            assert_eq!(on(&restraints, client, host), expected, "{client} {host}");
        }
    }

    #[test]
    fn a_program_is_known_by_what_it_calls_itself() {
        let restraints = Restraints::default();
        for (number, program) in [(1, "agent/2"), (2, "agent/1")] {
            let one = Imposed { program: Some(program.into()), ..imposed(number, Act::Deny, None, None) };
            restraints.impose(one).unwrap();
            let expected = if number == 1 { Restraint::NONE } else { finding(Response::Deny) };
            assert_eq!(on(&restraints, "10.0.0.1", "a.test"), expected);
        }
    }

    #[test]
    fn what_is_over_or_lifted_is_gone_and_told() {
        let restraints = Restraints::default();
        let brief = Imposed { until: Timestamp(5), ..imposed(1, Act::Deny, Some("10.0.0.1"), None) };
        restraints.impose(brief.clone()).unwrap();
        restraints.impose(imposed(2, Act::Isolate, Some("10.0.0.1"), None)).unwrap();
        assert_eq!(restraints.impose(brief.clone()), Ok(false), "it is in force");
        assert_eq!(restraints.expire(Timestamp(4)), []);
        assert_eq!(restraints.expire(Timestamp(5)), [brief]);
        assert_eq!(restraints.list().len(), 1);
        assert_eq!(restraints.lift(Some(FindingId::new(FindingKind::Beacon, "c", "9"))), []);
        assert_eq!(restraints.lift(Some(FindingId::new(FindingKind::Beacon, "c", "2"))).len(), 1);
        assert_eq!((on(&restraints, "10.0.0.1", "a.test"), restraints.lift(None)), (Restraint::NONE, Vec::new()));
    }

    #[test]
    fn what_a_person_imposes_holds_until_they_take_it_back_and_each_change_is_told() {
        let restraints = Restraints::default();
        let changes = restraints.changes();
        let isolated: Vec<IpNet> =
            ["10.0.0.1/32", "2001:db8::7/128", "10.9.0.0/16"].map(|net| net.parse().unwrap()).into();
        restraints.impose_by_hand(ByHand { isolated: isolated.clone(), lockdown: false });
        assert!(changes.has_changed().unwrap());
        for (client, expected) in [
            ("10.0.0.1", Restraint::ISOLATED),
            ("::ffff:10.0.0.1", Restraint::ISOLATED),
            ("10.9.3.4", Restraint::ISOLATED),
            ("2001:db8::7", Restraint::ISOLATED),
            ("2001:db8::8", Restraint::NONE),
            ("10.0.0.2", Restraint::NONE),
        ] {
            assert_eq!(on(&restraints, client, "a.test"), expected, "{client}");
        }
        restraints.impose(imposed(1, Act::Isolate, Some("10.0.0.3"), None)).unwrap();
        restraints.impose(imposed(2, Act::Isolate, Some("10.0.0.4"), Some("c2.test"))).unwrap();
        for (number, client) in (3..).zip(["2001:db8:9::1", "2001:db8:9::2", "2001:db8:8::/64"]) {
            restraints.impose(imposed(number, Act::Isolate, Some(client), None)).unwrap();
        }
        let found = restraints.isolated(Timestamp(5));
        let texts = |all: &mut dyn Iterator<Item = IpNet>| all.map(|net| net.to_string()).collect::<Vec<_>>();
        let by_hand = ["10.0.0.1/32", "2001:db8::7/128", "10.9.0.0/16"];
        assert_eq!(
            texts(&mut found.all()),
            [&by_hand[..], &["10.0.0.3/32", "2001:db8:8::/64", "2001:db8:9::/64"]].concat()
        );
        // Of a /64 the addresses that were found, and the whole of one nowhere but in the gate.
        let found_there = ["10.0.0.3/32", "2001:db8:9::1/128", "2001:db8:9::2/128"];
        assert_eq!(texts(&mut found.elsewhere()), [&by_hand[..], &found_there].concat());
        restraints.impose_by_hand(ByHand { isolated: Vec::new(), lockdown: true });
        assert_eq!(on(&restraints, "10.0.0.1", "a.test"), Restraint { lockdown: true, ..Restraint::NONE });
        restraints.impose_by_hand(ByHand::default());
        assert_eq!(on(&restraints, "10.0.0.1", "a.test"), Restraint::NONE);
        assert_eq!(restraints.number(), 8);
    }

    #[test]
    fn there_are_no_more_than_are_looked_at_quickly() {
        let restraints = Restraints::default();
        let fill = |client: Option<&str>| {
            (0..2 * OF_ALL_MAX)
                .filter(|number| restraints.impose(imposed(*number, Act::Deny, client, None)).is_ok())
                .count()
        };
        assert_eq!((fill(None), fill(Some("10.0.0.1"))), (OF_ALL_MAX, OF_CLIENT_MAX));
        assert_eq!(restraints.impose(imposed(1, Act::Deny, Some("nobody"), None)), Err(NotImposed::NoClient));
    }

    #[test]
    fn a_full_list_is_replaced_by_another_full_one_and_what_stays_is_never_out_of_force() {
        let restraints = Restraints::default();
        let full = |first: usize| {
            let others =
                (first..first + OF_ALL_MAX - 1).map(|number| imposed(number, Act::Deny, None, Some("c2.test")));
            others
                .chain([imposed(0, Act::Isolate, Some("10.0.0.9"), None), imposed(0, Act::Deny, None, None)])
                .collect()
        };
        let lockdown = ByHand { isolated: Vec::new(), lockdown: true };
        assert_eq!(restraints.replace(ByHand::default(), full(1)), 0);
        std::thread::scope(|scope| {
            let replacing = scope.spawn(|| {
                for round in 1..200 {
                    let by_hand = if round % 2 == 0 { ByHand::default() } else { lockdown.clone() };
                    assert_eq!(restraints.replace(by_hand, full(round * OF_ALL_MAX)), 0);
                }
            });
            while !replacing.is_finished() {
                assert!(on(&restraints, "10.0.0.9", "a.test").isolated);
            }
        });
        // From findings to a person and back, somebody is held in any case.
        for _ in 0..200 {
            restraints.replace(lockdown.clone(), Vec::new());
            assert!(on(&restraints, "10.0.0.9", "a.test").lockdown);
            restraints.replace(ByHand::default(), full(1));
        }
        assert_eq!(restraints.list().len(), OF_ALL_MAX + 1);
        let nobody = vec![imposed(1, Act::Deny, Some("nobody"), None), imposed(2, Act::Deny, None, None)];
        assert_eq!((restraints.replace(ByHand::default(), nobody), restraints.list().len()), (1, 1));
        assert_eq!(restraints.replace(ByHand::default(), Vec::new()), 0);
        assert_eq!(on(&restraints, "10.0.0.9", "a.test"), Restraint::NONE);
    }
}

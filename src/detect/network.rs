use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::evidence::Rarity;

use super::event::{Event, Facts};
use super::local::{Local, LocalClock};
use super::names::{Estimate, Name, Names};
use super::settings::Settings;
use super::table::Table;

/// What this network knows of who is in it and of what they talk to. What all detectors share.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Network {
    /// With the hosts that each talks to.
    pub clients: Names,
    /// And registrable domains, as `*.example.com`; with the clients that talk to each.
    pub hosts: Names,
    /// TLS keys, with the clients that have each.
    pub programs: Names,
    /// What programs call themselves, with the clients on which they do.
    pub agents: Names,
    /// With the clients that each is at.
    pub users: Names,
    /// Of origins, with the clients that talk to each.
    pub addresses: Names,
    #[serde(skip, default = "LocalClock::utc")]
    clock: LocalClock,
    /// With which programs hosts are called, and how many clients do so with each, estimated.
    uses: Table<(Name, Name), Estimate>,
    /// When the first event was, in microseconds.
    began: Option<u64>,
}

/// Hosts, each with a program that calls it.
const USES_MAX: usize = 300_000;
/// Programs, and what they call themselves.
const PROGRAMS_MAX: usize = 65_536;

impl Network {
    pub(super) fn new(clients_max: usize, hosts_max: usize, settings: &Settings) -> Self {
        Self {
            clients: Names::new(clients_max),
            hosts: Names::new(hosts_max),
            programs: Names::new(PROGRAMS_MAX.min(hosts_max)),
            agents: Names::new(PROGRAMS_MAX.min(hosts_max)),
            users: Names::new(clients_max),
            addresses: Names::new(hosts_max),
            clock: LocalClock::new(settings.zone.clone()),
            uses: Table::new(USES_MAX.min(hosts_max)),
            began: None,
        }
    }

    /// Goes by the hours of another time zone from now on.
    pub(super) fn set_zone(&mut self, zone: TimeZone) {
        self.clock = LocalClock::new(zone);
    }

    /// An event is taken.
    pub(super) fn meet(&mut self, event: &Event) {
        self.began = Some(self.began.map_or(event.time, |began| began.min(event.time)));
        self.clients.meet(event.client);
    }

    /// A time as people here have it.
    pub(super) fn local(&mut self, time: u64) -> Local {
        self.clock.of(time)
    }

    /// What is known of an exchange is counted for its client.
    pub(super) fn learn(&mut self, event: &Event, facts: &Facts) {
        let place = self.clients.meet(event.client);
        let with = [
            (&mut self.programs, facts.program),
            (&mut self.agents, facts.agent),
            (&mut self.users, facts.user),
            (&mut self.addresses, facts.address),
        ];
        for (names, name) in with {
            if let Some(name) = name {
                names.add_other(name, place);
            }
        }
        if let Some(program) = facts.program {
            self.uses.entry((event.host, program), Estimate::default).add(place);
        }
        if facts.address.is_some() {
            self.hosts.set_address(event.host, facts.address);
        }
    }

    /// The address that a host was last seen at, as a host of its own, where few clients talk to what is there, and more than
    /// so many hosts were seen at it.
    pub(super) fn shared_address(&mut self, host: Name, hosts: u32, time: u64) -> Option<Name> {
        let address = self.hosts.known(host)?.address?;
        let place = self.hosts.meet(host);
        self.addresses.add_part(address, place);
        let others = self.addresses.known(address)?.others.count();
        if others > 3.max(self.clients.met() / 100) || self.addresses.parts(address) <= hosts {
            return None;
        }
        let text = self.addresses.text(address)?;
        let name = self.hosts.of(&text, time);
        (name != host).then_some(name)
    }

    /// How many clients call a host with this program, about; `None` where that is not known.
    pub(super) fn users_of(&mut self, host: Name, program: Name) -> Option<u32> {
        self.uses.get_mut((host, program)).map(|clients| clients.count())
    }

    /// How many clients have a program, about.
    pub(super) fn owners_of(&self, program: Name) -> u32 {
        self.programs.known(program).map_or(0, |known| known.others.count())
    }

    /// For how long a client is known, in seconds.
    pub(super) fn known_seconds(&self, client: Name, now: u64) -> u64 {
        self.clients.known(client).map_or(0, |known| now.saturating_sub(known.first) / 1_000_000)
    }

    /// How common a host is, or a domain.
    pub(super) fn rarity(&self, host: Name, now: u64) -> Rarity {
        self.rarity_in(&self.hosts, host, now)
    }

    pub(super) fn rarity_of_program(&self, program: Name, now: u64) -> Rarity {
        self.rarity_in(&self.programs, program, now)
    }

    fn rarity_in(&self, names: &Names, name: Name, now: u64) -> Rarity {
        let (clients, first) = names.known(name).map_or((1, now), |known| (known.others.count(), known.first));
        let of = self.clients.met();
        Rarity { clients: clients.clamp(1, of.max(1)), of, known_seconds: now.saturating_sub(first) / 1_000_000 }
    }

    /// When the first event was, in microseconds.
    pub(super) fn began(&self) -> Option<u64> {
        self.began
    }

    /// For how long the network has been watched, in seconds.
    pub(super) fn age_seconds(&self, now: u64) -> u64 {
        now.saturating_sub(self.began.unwrap_or(now)) / 1_000_000
    }

    /// Names that had to go for others.
    pub(super) fn evicted(&self) -> u64 {
        [&self.clients, &self.hosts, &self.programs, &self.agents, &self.users, &self.addresses]
            .iter()
            .map(|names| names.evicted)
            .sum()
    }
}

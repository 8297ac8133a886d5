//! What a person does in an emergency: cuts clients off, or all that is not essential. It holds until they take it back,
//! over restarts too.

mod cutting;
mod standing;
mod telling;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::config::Config;
use crate::evidence::{Contingency, ContingencyAction, Person, Record, Text, client_of, client_text};
use crate::facts::Timestamp;
use crate::gateway::{Network, WardenError};
use crate::session::{ByHand, Gate};
use crate::store::JournalHandle;

use super::{AppError, NotDone};

use cutting::Cutting;
use telling::Telling;

pub(super) use cutting::{Kernel, start_warden};
pub(super) use standing::take_up_alone;
pub use standing::{StandingContingency, standing_contingencies};

/// So many clients and networks are cut off by hand at most; each exchange is compared with all.
pub const ISOLATED_BY_HAND_MAX: usize = 1000;

/// What holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ContingencyStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lockdown: Option<LockdownStatus>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub isolated: Vec<IsolatedStatus>,
    /// Who was released, and is cut off somewhere all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<LeftBehind>,
    /// Why nothing of it reaches the kernel from now on, where the config says that it should, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_fault: Option<String>,
}

/// A client that was released, or nobody where the lockdown was ended, which a place does not know yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    pub place: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Only what essential rules let out passes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LockdownStatus {
    /// UTC.
    pub since: String,
    pub by: String,
    pub why: String,
    /// How many rules of the policy in force are essential.
    pub essential_rules: usize,
    /// The kernel, and each hook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<PlaceStatus>,
}

/// A client that is cut off; by the proxy it is, where this is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IsolatedStatus {
    pub client: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Absent where a finding has it cut off: see `restraints`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The kernel, and each hook.
    pub elsewhere: Vec<PlaceStatus>,
}

/// Whether it is so at another place than the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceStatus {
    /// `kernel`, or `hook` and the name of one.
    pub place: String,
    /// `done`, `pending` or `not_done`.
    pub state: PlaceState,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What goes on there all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goes_on: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceState {
    Done,
    /// It is being done.
    Pending,
    NotDone,
}

/// What was done at a place: for which clients, `None` among them where it is about all.
#[derive(Debug, Default)]
struct Seen {
    done: BTreeSet<Option<IpNet>>,
    /// Why nothing more could be done.
    error: Option<String>,
    /// Why nothing can be done any more.
    fault: Option<String>,
    /// Whom the error is about, where it is not about all.
    tried: Option<BTreeSet<Option<IpNet>>>,
}

type Sight = Arc<Mutex<Seen>>;

fn lock(sight: &Sight) -> MutexGuard<'_, Seen> {
    sight.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All that people have put in force, and what of it is so elsewhere.
pub(super) struct Contingencies {
    data_dir: PathBuf,
    standing: Arc<Mutex<Vec<StandingContingency>>>,
    /// Held while something changes, which a disk may let last.
    changing: Mutex<()>,
    /// What the kernel lets past the gate in a lockdown; absent where the config says nothing of what it is to let past.
    goes_on: Option<String>,
    /// The addresses of this machine.
    interfaces: Vec<IpAddr>,
    /// Places beside the gate.
    places: Vec<(String, Sight)>,
}

/// The place that is no hook.
const KERNEL: &str = "kernel";

/// What to do for a lockdown where the kernel has no rules that the gate could change.
const WITH_IPTABLES: &str =
    "; with iptables load what `sekisho egress iptables --lockdown` prints, and for IPv6 `--ipv6` too";

/// The threads that have it so elsewhere.
pub(super) struct Elsewhere {
    cutting: Option<Cutting>,
    telling: Vec<Telling>,
}

impl Contingencies {
    /// Takes up what holds, before anybody is let out.
    ///
    /// # Errors
    /// What holds cannot be read: then nobody can say who is cut off.
    pub(super) fn take_up(gate: &Gate, data_dir: &Path, interfaces: Vec<IpAddr>) -> Result<Self, AppError> {
        let path = standing::path(data_dir);
        let standing = standing_contingencies(data_dir).map_err(|source| AppError::File { path, source })?;
        gate.restraints.impose_by_hand(by_hand(&standing));
        let standing = Arc::new(Mutex::new(standing));
        let (data_dir, changing, places) = (data_dir.to_owned(), Mutex::default(), Vec::new());
        Ok(Self { data_dir, standing, changing, goes_on: None, interfaces, places })
    }

    /// Starts what has it so elsewhere.
    ///
    /// # Errors
    /// There are no threads to be had, or what they work with.
    pub(super) fn start(
        &mut self,
        gate: &Arc<Gate>,
        kernel: Kernel,
        config: &Config,
        journal: &JournalHandle,
    ) -> Result<Elsewhere, AppError> {
        let sight = Sight::default();
        self.goes_on = config.network.as_ref().map(goes_on);
        self.places.push((KERNEL.to_owned(), sight.clone()));
        let cutting = cutting::start(gate.clone(), (kernel, config.network.is_some()), sight, journal.clone())?;
        let mut telling = Vec::new();
        for hook in &config.hooks {
            let sight = Sight::default();
            self.places.push((format!("hook {}", hook.name), sight.clone()));
            let plan = telling::Plan {
                gate: gate.clone(),
                data_dir: self.data_dir.clone(),
                hook: hook.clone(),
                standing: self.standing.clone(),
                sight,
                journal: journal.clone(),
            };
            telling.push(telling::start(plan, config)?);
        }
        Ok(Elsewhere { cutting, telling })
    }

    fn standing(&self) -> MutexGuard<'_, Vec<StandingContingency>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it can be done.
    ///
    /// # Errors
    /// It makes no sense, or would cut the gate itself off.
    pub(super) fn check(&self, contingency: &Contingency) -> Result<(), NotDone> {
        let client = contingency.client.as_ref();
        match contingency.action {
            ContingencyAction::Isolated => {
                let client = client.and_then(|client| client_of(client.as_str())).ok_or(NotDone::NoClient)?;
                let is_one = client.prefix_len() == client.max_prefix_len();
                let local: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                if is_one && self.interfaces.iter().chain(&local).any(|own| *own == client.addr()) {
                    return Err(NotDone::OwnAddress);
                }
                let standing = self.standing();
                let is_new = !standing.iter().any(|one| one.contingency.client.as_ref() == contingency.client.as_ref());
                let is_full = standing.len() > ISOLATED_BY_HAND_MAX;
                if is_new && is_full { Err(NotDone::TooManyIsolated) } else { Ok(()) }
            }
            ContingencyAction::Released => {
                let is_so = |one: &StandingContingency| {
                    one.contingency.client.is_some() && one.contingency.client == contingency.client
                };
                if self.standing().iter().any(is_so) { Ok(()) } else { Err(NotDone::NotIsolated) }
            }
            ContingencyAction::Lockdown => Ok(()),
            ContingencyAction::LockdownEnded => {
                let is_so = |one: &StandingContingency| one.contingency.action == ContingencyAction::Lockdown;
                if self.standing().iter().any(is_so) { Ok(()) } else { Err(NotDone::NoLockdown) }
            }
            ContingencyAction::Done | ContingencyAction::NotDone => Err(NotDone::UnknownQuestion),
        }
    }

    /// Puts it in force, or out of it, and has it kept.
    ///
    /// # Errors
    /// It is in force until the gate ends, and is not kept.
    pub(super) fn change(&self, gate: &Gate, contingency: &Contingency, now: Timestamp) -> std::io::Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let now_standing = {
            let mut standing = self.standing();
            standing::change(&mut standing, contingency, now);
            standing.clone()
        };
        gate.restraints.impose_by_hand(by_hand(&now_standing));
        standing::write(&self.data_dir, &now_standing)
    }

    /// What holds, and what of it is so elsewhere.
    pub(super) fn report(&self, gate: &Gate) -> ContingencyStatus {
        let standing = self.standing().clone();
        let lockdown = standing.iter().find(|one| one.contingency.action == ContingencyAction::Lockdown);
        let lockdown = lockdown.map(|one| LockdownStatus {
            since: one.since.clone(),
            by: one.contingency.who.to_string(),
            why: text(one.contingency.why.as_ref()).unwrap_or_default(),
            essential_rules: gate.policy.now().policy.essential_rules(),
            elsewhere: self.elsewhere_in_lockdown(),
        });
        let isolated = gate.restraints.isolated(clock::now());
        let meant: BTreeSet<_> = isolated.elsewhere().map(Some).chain(lockdown.is_some().then_some(None)).collect();
        let of_client = |client: IpNet| {
            let shown = client_text(&client);
            let by_hand = standing.iter().find(|one| {
                let named = one.contingency.client.as_ref();
                named.is_some_and(|named| client_of(named.as_str()) == Some(client))
            });
            IsolatedStatus {
                device: by_hand.and_then(|one| text(one.contingency.device.as_ref())),
                since: by_hand.map(|one| one.since.clone()),
                by: by_hand.map_or_else(|| "a finding".to_owned(), |one| one.contingency.who.to_string()),
                why: by_hand.and_then(|one| text(one.contingency.why.as_ref())),
                elsewhere: self.elsewhere(Some(client)),
                client: shown,
            }
        };
        let status = isolated.all().map(|client| {
            let mut status = of_client(client);
            if !meant.contains(&Some(client)) {
                let named = isolated.by_findings.iter().find(|found| found.client == client).map(|found| &found.named);
                status.elsewhere = self.elsewhere_of(named.into_iter().flatten().copied());
            }
            status
        });
        let kernel = self.places.iter().find(|(place, _)| place == KERNEL);
        let kernel_fault = kernel.and_then(|(_, sight)| lock(sight).fault.clone());
        ContingencyStatus { lockdown, isolated: status.collect(), left_behind: self.left_behind(&meant), kernel_fault }
    }

    /// The rules of the kernel are not the policy's: what they let past the gate a lockdown does not stop, exceptions aside.
    fn elsewhere_in_lockdown(&self) -> Vec<PlaceStatus> {
        let mut places = self.elsewhere(None);
        for place in places.iter_mut().filter(|place| place.place == KERNEL) {
            place.goes_on.clone_from(&self.goes_on);
            if let Some(error) = place.error.as_mut().filter(|error| **error == WardenError::NoTable.to_string()) {
                error.push_str(WITH_IPTABLES);
            }
        }
        places
    }

    /// Where the addresses of a /64 are cut off of which the gate cuts off the whole.
    fn elsewhere_of(&self, named: impl Iterator<Item = IpAddr>) -> Vec<PlaceStatus> {
        let each: Vec<_> = named.map(|address| (address, self.elsewhere(Some(address.into())))).collect();
        let texts: Vec<_> = each.iter().map(|(address, _)| address.to_string()).collect();
        let of_place = |(number, (place, _)): (usize, &(String, Sight))| {
            let all = each.iter().filter_map(|(_, places)| places.get(number));
            // The worst of them is told.
            let worst = all.max_by_key(|place| match place.state {
                PlaceState::Done => 0,
                PlaceState::Pending => 1,
                PlaceState::NotDone => 2,
            });
            let goes_on = "the rest of the /64, where others are too: only the gate takes that for one client";
            match worst {
                Some(worst) => {
                    let goes_on = Some(format!("{goes_on}; the finding is about {}", texts.join(", ")));
                    PlaceStatus { goes_on, ..worst.clone() }
                }
                None => PlaceStatus {
                    place: place.clone(),
                    state: PlaceState::NotDone,
                    error: Some("the finding names a /64, which may be a whole segment: isolate it by hand".to_owned()),
                    goes_on: None,
                },
            }
        };
        self.places.iter().enumerate().map(of_place).collect()
    }

    fn left_behind(&self, meant: &BTreeSet<Option<IpNet>>) -> Vec<LeftBehind> {
        let mut left = Vec::new();
        for (place, sight) in &self.places {
            let seen = lock(sight);
            left.extend(seen.done.difference(meant).map(|client| LeftBehind {
                client: client.map(|client| client_text(&client)),
                place: place.clone(),
                error: seen.error.clone(),
            }));
        }
        left
    }

    fn elsewhere(&self, client: Option<IpNet>) -> Vec<PlaceStatus> {
        let status = |(place, sight): &(String, Sight)| {
            let seen = lock(sight);
            let is_untried = seen.tried.as_ref().is_some_and(|tried| !tried.contains(&client));
            let (state, error) = match (seen.done.contains(&client), &seen.error) {
                (true, _) => (PlaceState::Done, None),
                (false, None) => (PlaceState::Pending, None),
                (false, Some(_)) if is_untried => (PlaceState::Pending, None),
                (false, Some(why)) => (PlaceState::NotDone, Some(why.clone())),
            };
            PlaceStatus { place: place.clone(), state, error, goes_on: None }
        };
        self.places.iter().map(status).collect()
    }
}

impl Elsewhere {
    /// Ends the threads. What is cut off stays so.
    pub(super) fn end(self) {
        if let Some(cutting) = self.cutting {
            cutting.end();
        }
        for telling in self.telling {
            telling.end();
        }
    }
}

fn by_hand(standing: &[StandingContingency]) -> ByHand {
    let isolated = standing.iter().filter_map(|one| client_of(one.contingency.client.as_ref()?.as_str()));
    ByHand {
        isolated: isolated.collect(),
        lockdown: standing.iter().any(|one| one.contingency.action == ContingencyAction::Lockdown),
    }
}

/// What rules of the network let past the gate in a lockdown.
fn goes_on(network: &Network) -> String {
    let essential = network.exceptions.iter().filter(|exception| exception.essential).count();
    let exceptions = match essential {
        0 => String::new(),
        1 => "1 exception marked `essential`, ".to_owned(),
        many => format!("{many} exceptions marked `essential`, "),
    };
    format!("{exceptions}resolvers, time servers, and what segments reach of each other")
}

fn text(text: Option<&Text>) -> Option<String> {
    text.map(|text| text.as_str().to_owned())
}

/// What the gate tells of a place.
fn told(place: &str, client: Option<IpNet>, why: Option<&str>) -> Record {
    Record::Contingency(Box::new(Contingency {
        who: Person { uid: None, login: None, console: None, claims: None },
        action: if why.is_some() { ContingencyAction::NotDone } else { ContingencyAction::Done },
        client: client.map(|client| Text::from(&*client_text(&client))),
        device: None,
        place: Some(place.into()),
        why: why.map(Text::from),
    }))
}

//! Legal holds: whose days of the journal retention keeps. Each is on record; the file says which stand, so that they outlast
//! the days on which they were placed.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::evidence::{Devices, Hold, HoldAction, RecordLine, client_of, format_time, read_time};
use crate::facts::Timestamp;

use super::kept;

const HOLDS_FILE: &str = "holds.jsonl";
/// So many stand at the same time.
const HOLDS_MAX: usize = 1000;

/// A hold that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingHold {
    /// When it was placed, UTC.
    pub since: String,
    #[serde(flatten)]
    pub hold: Hold,
}

/// Only one of the gate's tasks changes the file at a time; other processes have no part in it while a gate runs.
static CHANGING: Mutex<()> = Mutex::new(());

/// The holds that stand below a data directory.
///
/// # Errors
/// The file cannot be read, or not all of it: then nothing may be taken for released.
pub fn standing_holds(data_dir: &Path) -> io::Result<Vec<StandingHold>> {
    kept::read_whole(&data_dir.join(HOLDS_FILE), "holds")
}

/// Whether there is a file of holds.
pub(super) fn has_file(data_dir: &Path) -> bool {
    data_dir.join(HOLDS_FILE).exists()
}

/// Keeps holds from being placed or released through the gate while it is held.
pub(super) fn still() -> MutexGuard<'static, ()> {
    CHANGING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unreadable(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{HOLDS_FILE} cannot be read: {why}"))
}

/// Has a hold that is on record stand, or stand no longer.
///
/// # Errors
/// The file cannot be read or written, or too many stand.
pub(super) fn take_up(data_dir: &Path, hold: &Hold, now: Timestamp) -> io::Result<()> {
    let _changing = still();
    let mut standing = standing_holds(data_dir)?;
    let known = standing.iter().position(|known| known.hold.is_of_same(hold));
    match (hold.action, known) {
        (HoldAction::Placed, Some(known)) => {
            if let Some(known) = standing.get_mut(known) {
                known.hold = hold.clone();
            }
        }
        (HoldAction::Placed, None) if standing.len() >= HOLDS_MAX => {
            return Err(io::Error::other(format!("{HOLDS_MAX} legal holds stand already: release some")));
        }
        (HoldAction::Placed, None) => standing.push(StandingHold { since: format_time(now), hold: hold.clone() }),
        (HoldAction::Released, Some(known)) => _ = standing.remove(known),
        (HoldAction::Released, None) => return Ok(()),
    }
    kept::replace_whole(&data_dir.join(HOLDS_FILE), "holds", &standing)?;
    fs::File::open(data_dir)?.sync_all()
}

/// Whose records are kept: addresses, each for a time.
#[derive(Debug, Default)]
pub(super) struct Held {
    clients: Vec<(IpNet, Option<Timestamp>, Option<Timestamp>)>,
}

impl Held {
    /// Of holds and the devices that are on record.
    ///
    /// # Errors
    /// One names a client that cannot be read: nothing may be dropped then.
    pub(super) fn of(holds: &[StandingHold], devices: &Devices) -> io::Result<Self> {
        let mut clients = Vec::new();
        for StandingHold { hold, .. } in holds {
            match (&hold.client, &hold.device) {
                (Some(client), _) => {
                    let client = client_of(client.as_str()).ok_or_else(|| unreadable("a client is no address"))?;
                    clients.push((unmapped(client), None, None));
                }
                (None, Some(device)) => {
                    // All that had the name, however many: who claims it keeps more, and nothing less.
                    let before = clients.len();
                    let all = devices.iter().filter(|one| one.name == *device);
                    clients.extend(all.map(|one| (unmapped(one.client), Some(one.since), one.until)));
                    if clients.len() == before {
                        let why = format!(
                            "no address of the device `{}` is known any more: hold its addresses",
                            device.as_str()
                        );
                        return Err(io::Error::other(why));
                    }
                }
                (None, None) => return Err(unreadable("a hold is of nobody")),
            }
        }
        Ok(Self { clients })
    }

    /// Whether nobody is held.
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Whether a record is of a client that is held.
    pub(super) fn has(&self, record: &RecordLine<'_>) -> bool {
        let Some(address) = record.client.as_deref().and_then(|client| client.parse::<IpAddr>().ok()) else {
            return false;
        };
        let address = address.to_canonical();
        self.clients.iter().any(|(client, from, until)| {
            client.contains(&address)
                && from.is_none_or(|from| from <= record.time)
                && until.is_none_or(|until| record.time < until)
        })
    }
}

/// IPv4 within IPv6 as IPv4, as the addresses of records are compared.
fn unmapped(client: IpNet) -> IpNet {
    match client {
        IpNet::V6(mapped) if mapped.prefix_len() >= 96 => {
            let address = mapped.addr().to_ipv4_mapped();
            let net = address.and_then(|address| ipnet::Ipv4Net::new(address, mapped.prefix_len() - 96).ok());
            net.map_or(client, IpNet::V4)
        }
        IpNet::V4(_) | IpNet::V6(_) => client,
    }
}

impl StandingHold {
    /// When it was placed.
    pub fn placed(&self) -> Option<Timestamp> {
        read_time(&self.since)
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::{Assignment, Chain, DeviceSource, Event, Exchange, Person, Record, read_record};
    use crate::facts::ExchangeId;

    use super::*;

    fn hold(action: HoldAction, client: Option<&str>, device: Option<&str>) -> Hold {
        Hold {
            who: Person { uid: Some(0), login: None, console: None, claims: None },
            action,
            client: client.map(Into::into),
            device: device.map(Into::into),
            why: "case 12".into(),
        }
    }

    #[test]
    fn holds_stand_until_they_are_released_and_a_damaged_file_is_no_release() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert_eq!(standing_holds(path).unwrap(), []);
        let (address, device) = (Some("10.0.0.5"), Some("PC-1"));
        for (client, device) in [(address, None), (None, device), (address, None)] {
            take_up(path, &hold(HoldAction::Placed, client, device), Timestamp(7)).unwrap();
        }
        let standing = standing_holds(path).unwrap();
        assert_eq!(standing.iter().map(|standing| standing.hold.subject()).collect::<Vec<_>>(), ["10.0.0.5", "PC-1"]);
        assert_eq!(standing[0].placed(), Some(Timestamp(7)));
        take_up(path, &hold(HoldAction::Released, address, None), Timestamp(8)).unwrap();
        assert_eq!(standing_holds(path).unwrap().len(), 1);
        let text = fs::read_to_string(path.join(HOLDS_FILE)).unwrap();
        fs::write(path.join(HOLDS_FILE), &text[..text.len() / 2]).unwrap();
        assert!(standing_holds(path).unwrap_err().to_string().contains("holds.jsonl cannot be read"));
        assert!(take_up(path, &hold(HoldAction::Placed, address, None), Timestamp(9)).is_err());
        // Nor is one that was cut between two lines, or emptied.
        for cut in ["", text.lines().next().unwrap()] {
            fs::write(path.join(HOLDS_FILE), cut).unwrap();
            assert!(standing_holds(path).unwrap_err().to_string().contains("it is not whole"), "{cut:?}");
        }
    }

    #[test]
    fn a_device_is_held_for_the_time_that_it_had_an_address() {
        let mut devices = Devices::default();
        devices.note(Assignment {
            client: client_of("10.0.0.7").unwrap(),
            name: "PC-1".into(),
            hardware: None,
            source: DeviceSource::Table,
            since: Timestamp(100),
            until: Some(Timestamp(200)),
        });
        let place =
            |client, device| StandingHold { since: String::new(), hold: hold(HoldAction::Placed, client, device) };
        let held = Held::of(&[place(Some("10.1.0.0/16"), None), place(None, Some("PC-1"))], &devices).unwrap();
        let has = |client: &str, time: u64| {
            let mut record = Exchange::new(Event::Open, ExchangeId(1));
            record.client = Some(client.to_owned());
            let mut line = Vec::new();
            Chain::start().append(&Record::Exchange(Box::new(record)).encode(Timestamp(time)), &mut line);
            held.has(&read_record(&line).unwrap())
        };
        assert!(has("10.1.2.3", 5) && has("::ffff:10.1.2.3", 5) && has("10.0.0.7", 150));
        assert!(!has("10.0.0.7", 200) && !has("10.0.0.7", 99) && !has("10.2.0.1", 150) && !has("nobody", 150));
        let mapped = Held::of(&[place(Some("::ffff:10.1.0.0/112"), None)], &devices).unwrap();
        assert!(mapped.clients[0].0.contains(&"10.1.2.3".parse::<IpAddr>().unwrap()));
        assert!(Held::of(&[place(None, Some("PC-2"))], &devices).is_err());
        assert!(Held::of(&[place(None, None)], &devices).is_err());
        assert!(Held::of(&[place(Some("PC-1"), None)], &devices).is_err());
    }
}

//! The gate's authority on record: what people do with it, and which one vouches. No part of a key is in that.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::clock;
use crate::config::Config;
use crate::evidence::{Admin, Record};
use crate::session::Gate;
use crate::tls::{
    Authorities, Authority, AuthorityCertificate, AuthorityError, AuthorityFiles, Minter, OriginTls, fingerprint,
    origin_config,
};

use super::{NotDone, kept};

/// What a person has done with the authority, as `sekisho ca` did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorityAct {
    /// The first one was made.
    Made,
    /// The next one was made beside the one in use.
    Prepared,
    /// The next one was taken into use; it vouches from the next reload or start on.
    Finished,
}

/// What is on record already, over restarts, by fingerprint.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct OnRecord {
    /// The one that vouches, or did last.
    vouching: Option<String>,
    /// It does.
    is_in_force: bool,
    /// The one that is prepared.
    next: Option<String>,
}

/// Puts on record what a person has done, by what the files say.
///
/// # Errors
/// There is no authority of which that could be said, or the journal takes no record of it.
pub(super) async fn put_on_record(gate: &Gate, data_dir: &Path, act: AuthorityAct, by: &str) -> Result<(), NotDone> {
    let files = AuthorityFiles::new(data_dir);
    let read = tokio::task::spawn_blocking(move || files.load()).await.map_err(|_| NotDone::GateEnds)?;
    let Authorities { current, next, .. } = read.map_err(|_| NotDone::NoAuthority)?;
    let certificate_of_next = next.as_ref().map(|next| next.certificate().clone());
    prepare(gate, next);
    let next = certificate_of_next.as_ref();
    let (action, certificate) = match act {
        AuthorityAct::Made => ("authority_made", current.certificate()),
        AuthorityAct::Prepared => ("authority_prepared", next.ok_or(NotDone::NoAuthority)?),
        AuthorityAct::Finished => ("authority_finished", current.certificate()),
    };
    let record = admin(action, &format!("{}, by {by}", describe(certificate)));
    gate.journal.append(&record, clock::now()).await.map_err(|_| NotDone::NoRecord)?;
    let (path, next) = (path(data_dir), next.map(print_of));
    let noted = tokio::task::spawn_blocking(move || {
        let _alone = alone();
        let known = known(&path);
        keep(&path, OnRecord { next, ..known });
    });
    noted.await.map_err(|_| NotDone::GateEnds)
}

/// Puts on record which authority vouches from now on, or why none does, and which one is prepared, where that is
/// another than was on record last: whoever made it may have done so while no gate ran. What clients made of another
/// authority is forgotten.
pub(super) fn note(gate: &Gate, runtime: &Runtime, data_dir: &Path, fault: Option<&str>) {
    let _alone = alone();
    let path = path(data_dir);
    let known = known(&path);
    let vouching = gate.minter.as_ref().map(|minter| minter.authority());
    let next = AuthorityFiles::new(data_dir).load().ok().and_then(|found| found.next);
    let certificate_of_next = next.as_ref().map(|next| next.certificate().clone());
    if let Some(authority) = &vouching {
        let of = authority.certificate().sha256();
        if known.vouching.is_some() && known.vouching != Some(print_of(authority.certificate())) {
            gate.reach.follow(of);
        }
    }
    prepare(gate, next);
    let next = certificate_of_next;
    let found = OnRecord {
        vouching: vouching.as_ref().map(|authority| print_of(authority.certificate())).or(known.vouching.clone()),
        is_in_force: vouching.is_some(),
        next: next.as_ref().map(print_of),
    };
    if found == known {
        return;
    }
    let mut records = Vec::new();
    match &vouching {
        Some(authority) if !known.is_in_force || found.vouching != known.vouching => {
            let before = known.vouching.as_ref().filter(|before| Some(*before) != found.vouching.as_ref());
            let before = before.map_or(String::new(), |before| format!("; before it, the one with {before}"));
            records.push(admin("authority_in_force", &format!("{}{before}", describe(authority.certificate()))));
        }
        None if known.is_in_force => {
            let why = fault.unwrap_or("there is none any more");
            let before = known.vouching.as_deref().unwrap_or_default();
            records.push(admin("authority_out_of_force", &format!("{why}; it was the one with {before}")));
        }
        Some(_) | None => {}
    }
    if let Some(next) = next.filter(|_| found.next != known.next) {
        records.push(admin("authority_prepared", &describe(&next)));
    }
    for record in records {
        // A full disk does not keep the gate from working: the record follows once one can be written.
        if runtime.block_on(gate.journal.append(&record, clock::now())).is_err() {
            gate.journal.tell(&record, clock::now());
        }
    }
    keep(&path, found);
}

/// Has clients be able to try this authority, the next one, where it is given and the gate can look inside at all.
pub(super) fn prepare(gate: &Gate, next: Option<Authority>) {
    let Some(minter) = &gate.minter else { return };
    if let Some(next) = &next {
        gate.reach.prepare(next.certificate().sha256());
    }
    minter.prepare(next, clock::now());
}

fn admin(action: &'static str, detail: &str) -> Record {
    Record::Admin(Admin { action, detail: Some(detail.into()) })
}

fn describe(certificate: &AuthorityCertificate) -> String {
    format!("{}, {}", certificate.subject(), print_of(certificate))
}

fn print_of(certificate: &AuthorityCertificate) -> String {
    format!("SHA-256 {}", fingerprint(&certificate.sha256()))
}

/// Who asks on the socket and the thread that reads the policy may come at the same time.
fn alone() -> MutexGuard<'static, ()> {
    static WRITING: Mutex<()> = Mutex::new(());
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn known(path: &Path) -> OnRecord {
    kept::read::<OnRecord>(path, 1).pop().unwrap_or_default()
}

fn keep(path: &Path, known: OnRecord) {
    if let Err(error) = kept::replace(path, [known]) {
        eprintln!(
            "sekisho: warning: which authority is on record cannot be written to the data directory, and the next start \
             tells of it again: {error}"
        );
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("ca-on-record.jsonl")
}

/// What it takes to look inside TLS, where an authority was made for it (`sekisho ca init`).
///
/// # Errors
/// There is an authority and it cannot be used, or no origin could be verified.
pub(super) fn inspection(config: &Config, data_dir: &Path) -> Result<Option<(Minter, OriginTls)>, String> {
    let authority = match AuthorityFiles::new(data_dir).load() {
        Ok(authorities) => authorities.current,
        Err(AuthorityError::Missing(_)) => return Ok(None),
        Err(why) => return Err(why.to_string()),
    };
    let origins = origin_config(&config.inspection).map_err(|why| why.to_string())?;
    let minter = Minter::new(authority).map_err(|why| why.to_string())?;
    Ok(Some((minter, origins)))
}

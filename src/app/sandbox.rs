//! What this process gives up before it has threads: whoever gets hold of it writes nowhere but where the gate must, starts no
//! program where no hook is one, and comes to no privilege.
//!
//! The kernel holds it to that (Landlock, since Linux 5.19). What it may read is not narrowed: a policy that is read again may
//! name files that nobody knew of at the start.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use landlock::{
    ABI, AccessFs, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, make_bitflags,
};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::gateway::keep_capabilities_of_files_alone;
use crate::notify::AlertReceiver;
use crate::sinks::{Hook, Receiver, Way};
use crate::store::{bound_memory, keep_temporary_files_in, make_private};

use super::{AppError, system};

/// What is denied but where a rule allows it: all that changes a file or a directory.
const CHANGES: ABI = ABI::V3;

/// How the gate is confined.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SandboxStatus {
    /// Whether the kernel keeps the gate from writing elsewhere, and each thread that has tried was refused.
    pub enforced: bool,
    /// Threads of workers that have tried at their start to write elsewhere, and were refused.
    pub refused: usize,
    /// Where it can write.
    pub writable: Vec<String>,
    /// Whether it can start programs.
    pub starts_programs: bool,
    /// Why it is not confined, or where it cannot write though it has to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

/// The sandbox, for who lives in it.
#[derive(Debug)]
pub(super) struct Sandbox {
    is_entered: bool,
    writable: Vec<PathBuf>,
    starts_programs: bool,
    faults: Vec<String>,
    /// A directory in which nothing can be made; absent where all of the disk was opened.
    outside: Option<PathBuf>,
    refused: AtomicUsize,
    /// What could be made outside all the same.
    escaped: OnceLock<String>,
}

/// Enters it. To be called before there is another thread, and after all that needs a privilege is done.
///
/// # Errors
/// The data directory is not to be had or leads elsewhere, or the kernel leaves this process what it is to give up.
pub(super) fn enter(config: &Config, data_dir: &Path) -> Result<Arc<Sandbox>, AppError> {
    make_private(data_dir)?;
    let Places { full, add, missing } = places(config, data_dir);
    let starts_programs = config.hooks.iter().any(Hook::is_program);
    let mut faults: Vec<_> = missing
        .iter()
        .map(|path| format!("{} is not there: the gate can write to it after a restart alone", path.display()))
        .collect();
    let confined = confine(&full, &add, starts_programs);
    keep_capabilities_of_files_alone().map_err(AppError::Capability)?;
    let (is_entered, fault) = match confined {
        Ok(Confined::Whole) => (true, None),
        Ok(Confined::ButTruncation) => {
            (true, Some("before Linux 6.2 the kernel does not keep the gate from emptying files elsewhere".to_owned()))
        }
        Ok(Confined::Not(why)) => (false, Some(why.to_owned())),
        Err(error) => (false, Some(error.to_string())),
    };
    faults.extend(fault);
    let writable: Vec<_> = full.into_iter().chain(add).collect();
    if is_entered {
        check_journal(data_dir, &writable)?;
    }
    if is_entered && let Err(error) = keep_temporary_files_in(data_dir) {
        faults.push(format!("questions to the index that need much memory fail: {error}"));
    }
    if let Err(error) = bound_memory() {
        faults.push(format!("nothing bounds the memory of questions to the index: {error}"));
    }
    for fault in &faults {
        eprintln!("sekisho: warning: the sandbox: {fault}");
    }
    let outside = outside(data_dir, &writable);
    Ok(Arc::new(Sandbox {
        is_entered,
        starts_programs: starts_programs || !is_entered,
        writable,
        faults,
        outside,
        refused: AtomicUsize::new(0),
        escaped: OnceLock::new(),
    }))
}

/// Where the gate has to write.
#[derive(Default)]
struct Places {
    /// Anything below.
    full: Vec<PathBuf>,
    /// Files are made and added to, and none is removed.
    add: Vec<PathBuf>,
    /// What is not there.
    missing: Vec<PathBuf>,
}

fn places(config: &Config, data_dir: &Path) -> Places {
    let mut places = Places { full: vec![data_dir.to_owned()], ..Places::default() };
    for path in &config.writable {
        match path.exists() {
            true => places.full.push(path.clone()),
            false => places.missing.push(path.clone()),
        }
    }
    let hooks = config.hooks.iter().filter_map(Hook::receiver);
    let alerts = config.alerts.iter().filter_map(AlertReceiver::receiver);
    let receivers = config.checkpoint_receivers.iter().chain(hooks).chain(alerts);
    let directories = receivers.filter_map(|Receiver { way, .. }| match way {
        Way::Directory(path) => Some(path.as_path()),
        Way::Syslog { .. } | Way::Webhook(_) => None,
    });
    let streams = config.streams.iter().map(|stream| directory_of(&stream.file));
    for path in directories.chain(streams) {
        // One that is not there yet may come later, under that name in this directory.
        let beside = || Some(directory_of(path)).filter(|directory| directory.exists());
        match path.exists().then_some(path).or_else(beside) {
            Some(there) => places.add.push(there.to_owned()),
            None => places.missing.push(path.to_owned()),
        }
    }
    places.add.sort();
    places.add.dedup();
    places
}

/// Where a file or directory lies.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        None => Path::new("/"),
        Some(here) if here.as_os_str().is_empty() => Path::new("."),
        Some(directory) => directory,
    }
}

/// What the kernel holds a process to.
enum Confined {
    Whole,
    /// Its Landlock knows nothing of files that are cut short.
    ButTruncation,
    /// To nothing, and why.
    Not(&'static str),
}

/// Gives up for good what is not allowed here.
fn confine(full: &[PathBuf], add: &[PathBuf], starts_programs: bool) -> Result<Confined, RulesetError> {
    let changes = AccessFs::from_write(CHANGES);
    let adding = make_bitflags!(AccessFs::{ WriteFile | Truncate | MakeReg });
    let mut denied = Ruleset::default().handle_access(changes)?;
    if !starts_programs {
        denied = denied.handle_access(AccessFs::Execute)?;
    }
    let mut rules = denied.create()?.no_new_privs(true);
    for (paths, rights) in [(full, changes), (add, adding)] {
        for path in paths {
            rules = allow(rules, path, rights)?;
        }
    }
    // It takes whatever is written, and changes by nothing.
    rules = allow(rules, Path::new("/dev/null"), AccessFs::WriteFile | AccessFs::Truncate)?;
    let status = rules.restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => Confined::Whole,
        (RulesetStatus::PartiallyEnforced, _) => Confined::ButTruncation,
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
            Confined::Not("this kernel has Landlock, and it is switched off (`lsm=` of its command line)")
        }
        (RulesetStatus::NotEnforced, LandlockStatus::NotImplemented) => Confined::Not("this kernel has no Landlock"),
        (RulesetStatus::NotEnforced, LandlockStatus::Available { .. }) => {
            Confined::Not("this kernel's Landlock is too old: Linux 5.19 has one that serves")
        }
    })
}

/// What cannot be opened is not allowed either: its own failure says so.
fn allow(rules: RulesetCreated, path: &Path, rights: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(opened) => rules.add_rule(PathBeneath::new(opened, rights)),
        Err(_) => Ok(rules),
    }
}

/// A journal that a link takes elsewhere could not be written.
fn check_journal(data_dir: &Path, writable: &[PathBuf]) -> Result<(), AppError> {
    let journal = data_dir.join("journal");
    match journal.canonicalize() {
        Ok(leads_to) if !is_below(&leads_to, writable) => Err(AppError::Outside { path: journal, leads_to }),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_below(path: &Path, places: &[PathBuf]) -> bool {
    places.iter().filter_map(|place| place.canonicalize().ok()).any(|place| path.starts_with(place))
}

/// Where else a file could be made, if the kernel let it: mostly where everybody may.
fn outside(data_dir: &Path, writable: &[PathBuf]) -> Option<PathBuf> {
    let beside = data_dir.canonicalize().ok().and_then(|path| path.parent().map(Path::to_path_buf));
    [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into(), "/dev/shm".into()]
        .into_iter()
        .chain(beside)
        .chain([PathBuf::from("/")])
        .filter_map(|path| path.canonicalize().ok())
        .find(|path| !is_below(path, writable))
}

impl Sandbox {
    /// Tries to make a file where none is to be made; each thread that serves clients does so once.
    pub(super) fn try_outside(&self) {
        let Some(outside) = self.outside.as_deref().filter(|_| self.is_entered) else { return };
        let Ok(random) = system::random() else { return };
        let name: String = random[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let path = outside.join(format!(".sekisho-{name}"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {}
            Ok(_) => {
                let _ = std::fs::remove_file(&path);
                let what = format!("a file could be made in {}", outside.display());
                if self.escaped.set(what.clone()).is_ok() {
                    eprintln!("sekisho: warning: the sandbox does not hold: {what}");
                }
            }
        }
    }

    pub(super) fn status(&self) -> SandboxStatus {
        let escaped = self.escaped.get();
        SandboxStatus {
            enforced: self.is_entered && self.outside.is_some() && escaped.is_none(),
            refused: self.refused.load(Ordering::Relaxed),
            writable: self.writable.iter().map(|path| path.display().to_string()).collect(),
            starts_programs: self.starts_programs,
            faults: self.faults.iter().chain(escaped).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_config_names_is_open_to_be_added_to_and_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let [vault, logs, absent, lost] =
            ["vault", "logs", "absent", "lost/further"].map(|name| directory.path().join(name));
        for made in [&vault, &logs] {
            std::fs::create_dir(made).unwrap();
        }
        let config = format!(
            "[checkpoints.vault]\ndirectory = {vault:?}\n[checkpoints.far]\nsyslog = \"192.0.2.1:601\"\n\
             [hooks.share]\ndirectory = {absent:?}\n[alerts.share]\ndirectory = {lost:?}\n\
             [streams.squid]\nfile = {:?}\nformat = \"squid\"\n[streams.here]\nfile = \"here.log\"\nformat = \"zeek\"\n",
            logs.join("access.log")
        );
        let config = Config::read("c.toml", &config).unwrap();
        let Places { full, add, missing } = places(&config, Path::new("data"));
        assert_eq!(full, [Path::new("data")]);
        // In place of one that is not there, the directory in which it may come.
        let mut wanted = [Path::new("."), directory.path(), &vault, &logs].map(Path::to_path_buf);
        wanted.sort();
        assert_eq!(add, wanted);
        assert_eq!(missing, [lost]);
    }

    #[test]
    fn outside_is_where_nothing_is_open() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        std::fs::create_dir(&data_dir).unwrap();
        let temporary = std::env::temp_dir().canonicalize().unwrap();
        assert_eq!(outside(&data_dir, std::slice::from_ref(&data_dir)), Some(temporary.clone()));
        let next = outside(&data_dir, std::slice::from_ref(&temporary)).unwrap();
        assert!(!next.starts_with(&temporary), "{}", next.display());
        assert_eq!(outside(&data_dir, &["/".into()]), None);
    }
}

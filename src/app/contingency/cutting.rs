//! The thread that has the kernel cut off whom the gate cuts off.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::IpNet;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock;
use crate::config::Config;
use crate::gateway::{ISOLATED_MAX, Warden, WardenError, drop_net_admin, may_have_net_admin};
use crate::session::Gate;
use crate::store::JournalHandle;

use super::super::AppError;
use super::{Sight, lock, told};

/// Rules may be loaded anew by others than the gate, and then have nobody cut off: so often it is done again, while somebody is.
const AGAIN: Duration = Duration::from_secs(10);

/// By whom the kernel is asked; or why it cannot be.
pub(in crate::app) type Kernel = Result<Arc<Warden>, String>;

/// The thread.
pub(super) struct Cutting {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Starts the process that holds CAP_NET_ADMIN where the config has use for it, and takes it from this one. To be called before
/// there is another thread, and after all sockets are bound.
///
/// # Errors
/// The capability cannot be given up.
pub(in crate::app) fn start_warden(config: &Config) -> Result<Kernel, AppError> {
    let reads = config.flows.nflog_group.is_some() || config.flows.conntrack;
    let kernel = match config.network.is_some() || reads {
        true => warden(config).map_err(|error| error.to_string()),
        false => Err("the config has no [network], so no rules of ours are in the kernel".to_owned()),
    };
    if may_have_net_admin() {
        drop_net_admin().map_err(AppError::Capability)?;
    }
    if let Err(why) = kernel.as_ref()
        && config.network.is_some()
    {
        eprintln!("sekisho: warning: who is cut off is not in the kernel: {why}");
    }
    Ok(kernel)
}

fn warden(config: &Config) -> Result<Arc<Warden>, WardenError> {
    // The file of this program may have been replaced or removed since.
    let mut command = Command::new(Path::new("/proc/self/exe"));
    command.args(["egress", "ward"]);
    if let Some(group) = config.flows.nflog_group {
        command.args(["--group", &group.to_string()]);
    }
    Warden::start(command).map(Arc::new)
}

/// Starts the thread, where there is anything that it could do.
///
/// # Errors
/// There is no thread or no runtime to be had.
pub(super) fn start(
    gate: Arc<Gate>,
    kernel: Kernel,
    sight: Sight,
    journal: JournalHandle,
) -> Result<Option<Cutting>, AppError> {
    let warden = match kernel {
        Ok(warden) => warden,
        Err(why) => {
            lock(&sight).error = Some(why);
            return Ok(None);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(AppError::Runtime)?;
    let (end, ended) = oneshot::channel();
    let cutter = Cutter { gate, warden, sight, journal, tried: None };
    let thread = std::thread::Builder::new().name("isolation".to_owned());
    let thread = thread.spawn(move || cutter.run(&runtime, ended)).map_err(AppError::Runtime)?;
    Ok(Some(Cutting { end, thread }))
}

impl Cutting {
    pub(super) fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

struct Cutter {
    gate: Arc<Gate>,
    warden: Arc<Warden>,
    sight: Sight,
    journal: JournalHandle,
    /// Whom it was last tried to cut off, and whether that was done.
    tried: Option<(BTreeSet<IpNet>, bool)>,
}

impl Cutter {
    fn run(mut self, runtime: &Runtime, mut ended: oneshot::Receiver<()>) {
        let mut changes = self.gate.restraints.changes();
        loop {
            let is_anybody = self.turn();
            let next = async {
                match is_anybody {
                    true => drop(timeout(AGAIN, changes.changed()).await),
                    false => drop(changes.changed().await),
                }
            };
            let is_over = runtime.block_on(async {
                tokio::select! {
                    _ = &mut ended => true,
                    () = next => false,
                }
            });
            if is_over {
                return;
            }
        }
    }

    /// Whether it is to be done again, though nothing changes.
    fn turn(&mut self) -> bool {
        let all: Vec<_> = self.gate.restraints.isolated(clock::now()).elsewhere().collect();
        let wanted: BTreeSet<_> = all.iter().take(ISOLATED_MAX).copied().collect();
        // Nobody is to be, and nobody is: what an earlier gate has left there is taken out once.
        if wanted.is_empty() && self.tried.as_ref().is_some_and(|(tried, is_done)| tried.is_empty() && *is_done) {
            return false;
        }
        let result = self.warden.isolate(&wanted.iter().copied().collect::<Vec<_>>());
        let failed = match &result {
            // Without rules of ours nobody is cut off there.
            Err(WardenError::NoTable) if wanted.is_empty() => None,
            Err(error) => Some(error.to_string()),
            Ok(()) if all.len() > wanted.len() => {
                Some(format!("{ISOLATED_MAX} clients and networks at most are cut off there"))
            }
            Ok(()) => None,
        };
        let is_first_try = self.tried.as_ref().is_none_or(|(tried, _)| *tried != wanted);
        let (news, is_new_failure) = {
            let mut seen = lock(&self.sight);
            let done: BTreeSet<_> = match &result {
                Ok(()) => wanted.iter().copied().map(Some).collect(),
                Err(WardenError::NoTable) => BTreeSet::new(),
                // It is all or nothing: what was so before still is.
                Err(_) => seen.done.clone(),
            };
            let news: Vec<_> = done.difference(&seen.done).copied().collect();
            let is_new = failed.is_some() && (seen.error != failed || is_first_try);
            seen.done = done;
            seen.error.clone_from(&failed);
            (news, is_new)
        };
        for client in news {
            self.journal.tell(&told("kernel", client, None), clock::now());
        }
        if let Some(why) = failed.as_deref().filter(|_| is_new_failure) {
            eprintln!("sekisho: warning: who is cut off in the kernel is not whom the gate cuts off: {why}");
            let done = lock(&self.sight).done.clone();
            for client in all.iter().filter(|client| !done.contains(&Some(**client))) {
                self.journal.tell(&told("kernel", Some(*client), Some(why)), clock::now());
            }
        }
        let again = !wanted.is_empty() || failed.is_some();
        self.tried = Some((wanted, failed.is_none()));
        again
    }
}

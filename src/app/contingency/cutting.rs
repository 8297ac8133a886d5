//! The thread that has the kernel cut off whom the gate cuts off.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::unix::pipe;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock;
use crate::config::Config;
use crate::evidence::{Health, Record};
use crate::gateway::{ISOLATED_MAX, Warden, WardenError, drop_net_admin, may_have_net_admin};
use crate::session::Gate;
use crate::store::JournalHandle;

use super::super::AppError;
use super::{Sight, lock, told};

/// Rules may be loaded anew by others than the gate, and then have nobody cut off: so often it is done again, while somebody is.
const AGAIN: Duration = Duration::from_secs(10);

/// What it means that the kernel cannot be asked.
const NOT_CUT: &str =
    "who is isolated, and a lockdown, are from now on in the gate alone, and nobody is released in the kernel";

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
    (kernel, has_rules): (Kernel, bool),
    sight: Sight,
    journal: JournalHandle,
) -> Result<Option<Cutting>, AppError> {
    let warden = match kernel {
        Ok(warden) => warden,
        Err(why) => {
            let mut seen = lock(&sight);
            seen.fault = has_rules.then(|| why.clone());
            seen.error = Some(why);
            return Ok(None);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::Runtime)?;
    let (end, ended) = oneshot::channel();
    // Without it its end is noticed when it is asked next.
    let ending = warden.ending().and_then(|ending| {
        let _inside = runtime.enter();
        pipe::Receiver::from_owned_fd(ending)
    });
    let cutter = Cutter { gate, warden, ending: ending.ok(), sight, journal, tried: None };
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
    /// Ends with the warden; absent once that is known.
    ending: Option<pipe::Receiver>,
    sight: Sight,
    journal: JournalHandle,
    /// Whom it was last tried to cut off, nobody among them for a lockdown, and whether that was done.
    tried: Option<(BTreeSet<Option<IpNet>>, bool)>,
}

/// What was waited for.
enum Next {
    Turn,
    WardenEnded,
    Over,
}

/// Nothing comes by it but its end.
async fn until_its_end(pipe: &pipe::Receiver) {
    while pipe.readable().await.is_ok() {
        match pipe.try_read(&mut [0; 16]) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
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
            let ending = async {
                match &self.ending {
                    Some(ending) => until_its_end(ending).await,
                    None => std::future::pending().await,
                }
            };
            let next = runtime.block_on(async {
                tokio::select! {
                    _ = &mut ended => Next::Over,
                    () = ending => Next::WardenEnded,
                    () = next => Next::Turn,
                }
            });
            match next {
                Next::Turn => {}
                Next::WardenEnded => self.warden_ended(),
                Next::Over => return,
            }
        }
    }

    /// Says at once what is not cut off from now on. Who is cut off in the kernel stays so.
    fn warden_ended(&mut self) {
        self.ending = None;
        let why = WardenError::Gone(std::io::ErrorKind::BrokenPipe.into()).to_string();
        lock(&self.sight).fault = Some(why.clone());
        let detail = format!("{NOT_CUT}: {why}");
        eprintln!("sekisho: warning: {detail}");
        let health = Health { subject: "kernel", level: "critical", detail: detail.as_str().into() };
        self.journal.tell(&Record::Health(health), clock::now());
    }

    /// Whether it is to be done again, though nothing changes.
    fn turn(&mut self) -> bool {
        // Those that people have cut off come first, and are the last to be left out.
        let mut seen = BTreeSet::new();
        let isolated = self.gate.restraints.isolated(clock::now());
        let isolated: Vec<_> = isolated.elsewhere().filter(|client| seen.insert(*client)).collect();
        let lockdown = self.gate.restraints.is_lockdown();
        let clients: Vec<_> = isolated.iter().take(ISOLATED_MAX).copied().collect();
        let locked = lockdown.then_some(None);
        let wanted: BTreeSet<_> = clients.iter().copied().map(Some).chain(locked).collect();
        // Nobody is to be, and nobody is: what an earlier gate has left there is taken out once.
        if wanted.is_empty() && self.tried.as_ref().is_some_and(|(tried, is_done)| tried.is_empty() && *is_done) {
            return false;
        }
        let result = self.warden.cut_off(&clients, lockdown);
        let failed = match &result {
            // Without rules of ours nobody is cut off there.
            Err(WardenError::NoTable) if wanted.is_empty() => None,
            Err(error) => Some(error.to_string()),
            Ok(()) if isolated.len() > clients.len() => {
                Some(format!("{ISOLATED_MAX} clients and networks at most are cut off there"))
            }
            Ok(()) => None,
        };
        let all: BTreeSet<_> = isolated.iter().copied().map(Some).chain(locked).collect();
        let (news, not_done, is_new_failure) = {
            let mut seen = lock(&self.sight);
            let done: BTreeSet<_> = match &result {
                Ok(()) => wanted.clone(),
                Err(WardenError::NoLockdown) => clients.iter().copied().map(Some).collect(),
                Err(WardenError::NoTable) => BTreeSet::new(),
                // It is all or nothing: what was so before still is.
                Err(_) => seen.done.clone(),
            };
            // Those that are let go are told of as those that are cut off, where the kernel has taken it.
            let is_taken = matches!(result, Ok(()) | Err(WardenError::NoLockdown));
            let let_go = seen.done.difference(&done).filter(|client| is_taken && !all.contains(client));
            let news: Vec<_> = done.difference(&seen.done).chain(let_go).copied().collect();
            let is_same = seen.error == failed;
            // Who was told of with this failure is not told of again.
            let told = seen.tried.take().filter(|_| is_same).unwrap_or_default();
            let not_done: Vec<_> = all.difference(&done).filter(|client| !told.contains(client)).copied().collect();
            let is_new = failed.is_some() && (!is_same || !not_done.is_empty());
            seen.done = done;
            seen.tried = Some(all);
            seen.error.clone_from(&failed);
            (news, not_done, is_new)
        };
        for client in news {
            self.journal.tell(&told("kernel", client, None), clock::now());
        }
        if let Some(why) = failed.as_deref().filter(|_| is_new_failure) {
            eprintln!("sekisho: warning: who is cut off in the kernel is not whom the gate cuts off: {why}");
            for client in not_done {
                self.journal.tell(&told("kernel", client, Some(why)), clock::now());
            }
        }
        let again = !wanted.is_empty() || failed.is_some();
        self.tried = Some((wanted, failed.is_none()));
        again
    }
}

//! Assembles the gate and runs it: bind, open the journal, serve on every core, drain.
//!
//! In: a config and a compiled policy. Out: a gate that runs until it is told to end. It decides
//! nothing of an exchange.

mod alerting;
mod assembly;
mod authority;
mod background;
mod breakglass;
mod clearances;
mod clock_watch;
mod console;
mod contingency;
mod control;
mod devices;
mod errands;
mod error;
mod fetch;
mod flows;
mod handover;
mod holds;
mod kept;
mod listeners;
mod note;
mod notices;
mod reach;
mod reload;
mod reloaded;
mod indexing;
mod restraints;
mod retention;
mod running;
mod sandbox;
mod sealing;
mod secure_proxy;
mod sending;
mod status;
mod streaming;
mod system;
mod versions;
mod watching;
mod worker;
mod workers;

use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

use crate::challenge::Tokens;
use crate::challenge::auth::{Secret, Users, Verifier};
use crate::clock;
use crate::config::{Config, InternalNames};
use crate::evidence::Record;
use crate::facts::Timestamp;
use crate::gateway::Network;
use crate::gateway::flows::{self as attempts, Flows};
use crate::identity::Browsers;
use crate::listen::Passed;
use crate::lists::{ReadPolicy, Source, Watched};
use crate::parse::Placed;
use crate::policy::{AddressRefused, OwnEndpoints, Parent, Policy, judge_parent};
use crate::session::{Gate, InForce, LogIns, PIPE_DESCRIPTORS_MAX, Pages, SecureProxy};
use crate::store::{Disk, Journal, JournalConfig, SystemDisk};
use crate::tls::{Minter, OriginTls};
use crate::upstream::{OwnConnections, ResolveError, Resolvers};

use assembly::{Known, gate, in_force};
use clock_watch::ClockWatch;
use contingency::Contingencies;
use fetch::Fetching;
use handover::{Drainers, Offer, TakenOver, Taking};
use listeners::{Listeners, Speaks};
use running::{Before, Left, Running};
use sandbox::Sandbox;
use status::Reporter;
use workers::Workers;

pub use alerting::{AlertStatus, AlertTried};
pub use authority::AuthorityAct;
pub use breakglass::{BREAKGLASS_MINUTES_MAX, NotDone, REASON_BYTES_MAX};
pub use clearances::{ClearanceStatus, Clearances, Which};
pub use console::USERS_FILE as CONSOLE_USERS_FILE;
pub use contingency::{
    ContingencyStatus, ISOLATED_BY_HAND_MAX, IsolatedStatus, LeftBehind, LockdownStatus, PlaceState, PlaceStatus,
    StandingContingency, standing_contingencies,
};
pub use control::{
    AskError, Question, ask, ask_alerts, ask_clearances, ask_lift, ask_reach, ask_reload, ask_revoke, socket_path,
};
pub use error::AppError;
pub use fetch::{FeedFailure, FeedStatus, Feeds};
pub use handover::{DrainingStatus, TakeOverError};
pub use holds::{StandingHold, standing_holds};
pub use indexing::IndexingStatus;
pub use note::{Note, NoteError, UserChange, note, this_person};
pub use reach::{AskingHost, ClientReach, NextReach, PinnedHost, ReachStatus};
pub use reloaded::{Outcome, ReloadProblem, ReloadStatus, Reloaded};
pub use restraints::RestraintStatus;
pub use retention::RetentionStatus;
pub use sandbox::SandboxStatus;
pub use sealing::SealingStatus;
pub use sending::ReceiverStatus;
pub use status::{
    AuthorityStatus, BaseModes, BreakglassStatus, Connections, DetectionStatus, DiskStatus, Exchanges, GroupMode,
    JournalStatus, PolicyStatus, ReserveStatus, Status,
};
pub use streaming::StreamStatus;

/// A gate that is bound and has its journal open, but serves nothing yet. Its signals are caught, so that
/// none comes too early.
pub struct Ready {
    listeners: Listeners,
    console: Option<console::Prepared>,
    inspection: Option<(Minter, OriginTls)>,
    inspection_fault: Option<String>,
    flows: Flows,
    kernel: contingency::Kernel,
    secure_proxy: Option<SecureProxy>,
    control: UnixListener,
    clock_watch: ClockWatch,
    /// Absent: this process gives nothing up.
    sandbox: Option<Arc<Sandbox>>,
    journal: Journal,
    journal_config: JournalConfig,
    /// Kept so that the gate that drains knows that this one is on its way.
    taken_over: Option<TakenOver>,
    source: Source,
    read: ReadPolicy,
    watched: Watched,
    feeds: Option<Feeds>,
    users: Option<Users>,
    config: Config,
    data_dir: PathBuf,
    query_key: [u8; 32],
    own: Arc<OwnEndpoints>,
    workers: usize,
    connections_max: u64,
    runtime: Runtime,
    end: End,
    /// Tells it to read its policy again.
    hangup: Signal,
}

/// What tells the gate to end.
struct End {
    terminate: Signal,
    interrupt: Signal,
}

/// What every worker needs to know of the config.
struct Plan {
    own: Arc<OwnEndpoints>,
    dns_servers: Vec<SocketAddr>,
    internal: Option<InternalNames>,
    dns_timeout: Duration,
    connect_timeout: Duration,
    drain_timeout: Duration,
    hand_over_timeout: Duration,
    /// How TLS with origins is spoken, where a certificate authority is trusted.
    origins: Option<OriginTls>,
    sandbox: Option<Arc<Sandbox>>,
}

/// Descriptors that are not a client's or an origin's: listeners, journal, DNS.
const DESCRIPTORS_SPARE: u64 = 200;

/// What a gate is made of.
pub struct Parts {
    pub config: Config,
    pub data_dir: PathBuf,
    /// Where the policy is from, to be read again.
    pub source: Source,
    /// The policy, read from there.
    pub read: ReadPolicy,
    /// The files that it rests on, as they stood then.
    pub watched: Watched,
    /// What fetches host lists, where the config names some.
    pub feeds: Option<Feeds>,
    /// Who may log in, where the config says how.
    pub users: Option<Users>,
    /// Whether another gate may have the data directory.
    pub start: StartAs,
}

/// What a gate makes of another that runs on its data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAs {
    /// It cannot start.
    Alone,
    /// It takes over: that one goes on with what it has.
    Next,
}

/// Binds, gives up what a gate does not need, and opens, before any thread of a runtime exists: the one made here runs on its
/// caller's. What is given up, the calling thread has given up for good.
///
/// # Errors
/// What could not be had, with its address or path.
pub fn prepare(parts: Parts) -> Result<Ready, AppError> {
    prepare_within(Arc::new(SystemDisk), parts, |parts| sandbox::enter(&parts.config, &parts.data_dir).map(Some))
}

/// The same, with the journal's segments on another layer of files, and without a sandbox.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_on(disk: Arc<dyn Disk>, parts: Parts) -> Result<Ready, AppError> {
    prepare_within(disk, parts, |_| Ok(None))
}

fn prepare_within(
    disk: Arc<dyn Disk>,
    parts: Parts,
    enter: impl FnOnce(&Parts) -> Result<Option<Arc<Sandbox>>, AppError>,
) -> Result<Ready, AppError> {
    let Parts { config, read, .. } = &parts;
    let workers = match config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => usize::from(workers),
    };
    let mut passed = Passed::take()?;
    // Listeners of another gate may be hundreds, and each connection may need a second descriptor, towards its origin.
    let descriptors = system::raise_open_files();
    let taking = match parts.start {
        StartAs::Alone => None,
        StartAs::Next => Taking::ask(&parts.data_dir, &mut passed)?,
    };
    let listeners = Listeners::bind(config, workers, &mut passed)?;
    let own = Arc::new(OwnEndpoints { listeners: listeners.all(), interfaces: system::interface_addresses()? });
    if let Some(OwnParent { parent, refused }) = own_parent(&read.policy, &own) {
        return Err(AppError::Parent { name: parent.value.name().to_owned(), refused });
    }
    let console = console::prepare(config, descriptors, &mut passed)?;
    passed.finish()?;
    let (inspection, inspection_fault) = match authority::inspection(config, &parts.data_dir) {
        Ok(inspection) => (inspection, None),
        Err(why) => {
            eprintln!("sekisho: warning: rules that inspect deny (inspection_unavailable): {why}");
            (None, Some(why))
        }
    };
    let secure_proxy = secure_proxy::secure_proxy(config.secure_proxy.as_ref(), inspection.is_some())?;
    // All that can go wrong without the data directory has not: from here on the gate before this one only drains.
    let taken_over = taking.map(Taking::take).transpose()?;
    let known = attempts::Own {
        listeners: own.listeners.clone(),
        interfaces: own.interfaces.clone(),
        takes_marked: !config.capture.tproxy.is_empty(),
    };
    let inside = config.network.as_ref().map(Network::inside).unwrap_or_default();
    let flows = Flows::bind(&config.flows, known, inside)?;
    let kernel = contingency::start_warden(config)?;
    let sandbox = enter(&parts)?;
    let Parts { config, data_dir, source, read, watched, feeds, users, start: _ } = parts;
    // Those of the allocator are the first threads of all. Without them memory is given back late.
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
    let journal_config = JournalConfig {
        data_dir: data_dir.clone(),
        durability: config.durability,
        gate: config.name.clone(),
        site: config.site.clone(),
        segment_bytes_max: config.segment_bytes_max,
        reserve_bytes: config.reserve_bytes,
    };
    let clock_watch = ClockWatch::behind(&data_dir);
    let journal = Journal::open_on(disk, journal_config.clone())?;
    let query_key = system::query_key(&data_dir)?;
    let control = control::bind(&data_dir)?;
    let of_console = console.as_ref().map_or(0, console::Prepared::descriptors);
    let spare = DESCRIPTORS_SPARE + (workers * PIPE_DESCRIPTORS_MAX) as u64 + of_console;
    let room = descriptors.saturating_sub(spare) / 2;
    let connections_max = config.connections_max.min(room.max(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::Runtime)?;
    let entered = runtime.enter();
    let caught = |kind| signal(kind).map_err(AppError::Runtime);
    let end = End { terminate: caught(SignalKind::terminate())?, interrupt: caught(SignalKind::interrupt())? };
    let hangup = caught(SignalKind::hangup())?;
    drop(entered);
    Ok(Ready {
        listeners,
        console,
        inspection,
        inspection_fault,
        flows,
        kernel,
        secure_proxy,
        control,
        clock_watch,
        sandbox,
        journal,
        journal_config,
        taken_over,
        source,
        read,
        watched,
        feeds,
        users,
        config,
        data_dir,
        query_key,
        own,
        workers,
        connections_max,
        runtime,
        end,
        hangup,
    })
}

/// A parent whose address is the gate's own.
struct OwnParent<'p> {
    parent: &'p Placed<Arc<Parent>>,
    refused: AddressRefused,
}

/// The first parent whose address is the gate's own: what goes there comes back. One that is named is
/// judged with each dial.
fn own_parent<'p>(policy: &'p Policy, own: &OwnEndpoints) -> Option<OwnParent<'p>> {
    policy.parents().iter().find_map(|parent| {
        let refused = judge_parent(&parent.value, parent.value.host().address()?, own, None).err()?;
        Some(OwnParent { parent, refused })
    })
}

impl Ready {
    /// Where the proxy listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.speaking(Speaks::Clear)
    }

    /// Where it listens for clients that speak TLS to it.
    pub fn secured_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.speaking(Speaks::Tls)
    }

    /// Where what went past the proxy comes in.
    pub fn captured_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.captured()
    }

    /// Where the console is, as browsers are told.
    pub fn console_addresses(&self) -> Vec<String> {
        let Some(console) = &self.console else { return Vec::new() };
        let scheme = if console.is_secured() { "https" } else { "http" };
        console.addresses().map(|address| format!("{scheme}://{address}/")).collect()
    }

    /// How many clients may be connected: what the config says, or less where the system allows
    /// fewer open files.
    pub fn connections_max(&self) -> u64 {
        self.connections_max
    }

    /// Serves until SIGTERM or SIGINT, then drains: no new connections, a deadline for open ones, and
    /// a closing record. While the journal takes no records it serves refusals.
    ///
    /// # Errors
    /// A runtime or the resolver cannot be set up, or the journal cannot be closed.
    pub fn run(self) -> Result<(), AppError> {
        self.run_until(std::future::pending())
    }

    /// The same, and until `told` resolves.
    ///
    /// # Errors
    /// As [`Ready::run`].
    pub fn run_until(self, told: impl Future<Output = ()>) -> Result<(), AppError> {
        let (addresses, secured_addresses) = (self.addresses(), self.secured_addresses());
        let console_addresses = self.console_addresses();
        let captured_addresses = self.captured_addresses();
        let (minter, origins) = self.inspection.unzip();
        let plan = Plan {
            own: self.own.clone(),
            dns_servers: self.config.dns_servers.clone(),
            internal: self.config.internal.clone(),
            dns_timeout: self.config.dns_timeout,
            connect_timeout: self.config.connect_timeout,
            drain_timeout: self.config.drain_timeout,
            hand_over_timeout: self.config.hand_over_timeout,
            origins,
            sandbox: self.sandbox.clone(),
        };
        let since = clock::now();
        let in_force = Record::Policy(in_force(&self.read));
        let ReadPolicy { policy, credentials, file: policy_file, lists, .. } = self.read;
        let browsers = Browsers::built_in().map_err(AppError::Browsers)?;
        let random = || system::random().map_err(AppError::Random);
        let pages = Pages::new(Tokens::new([random()?, random()?, random()?], since));
        let log_ins = match self.users {
            Some(users) => {
                Some(LogIns::new(Verifier::new(users, &Secret::new(random()?)), self.config.challenge.spans.afresh))
            }
            None => None,
        };
        let in_force_now = InForce::new(policy, credentials);
        let gate = Arc::new(gate(
            &self.config,
            in_force_now,
            &self.journal,
            self.query_key,
            self.connections_max,
            Known { browsers, pages, log_ins, minter, secure_proxy: self.secure_proxy },
        ));
        clearances::take_up(&gate, &self.data_dir);
        versions::take_up(&gate, &self.data_dir);
        reach::take_up(&gate, &self.data_dir);
        restraints::take_up(&gate, &self.data_dir);
        let mut contingencies = Contingencies::take_up(&gate, &self.data_dir, self.own.interfaces.clone())?;
        // A full disk does not keep the gate from starting: it refuses everything, and says why.
        if self.runtime.block_on(gate.journal.append(&in_force, since)).is_err() {
            gate.journal.tell(&in_force, since);
        }
        if let Some(taken_over) = &self.taken_over {
            gate.journal.tell(&taken_over.record(), clock::now());
        }
        authority::note(&gate, &self.runtime, &self.data_dir, self.inspection_fault.as_deref());
        let fetching = self.feeds.map(|feeds| fetch::start(feeds, self.source.clone(), gate.journal.clone()));
        let fetching: Option<Fetching> = fetching.transpose().map_err(AppError::Runtime)?;
        let source = self.source.clone();
        let means = reload::Means {
            gate: gate.clone(),
            source: self.source,
            own: self.own,
            watched: self.watched,
            data_dir: self.data_dir.clone(),
            users: self.config.authentication.clone(),
            secure_proxy: self.config.secure_proxy.clone(),
            lists,
            since,
        };
        let reloading = reload::start(means).map_err(AppError::Runtime)?;
        let watching = self.config.watches.then(|| {
            let plan = watching::Plan {
                gate: gate.clone(),
                data_dir: self.data_dir.clone(),
                delay: self.config.watch_delay,
                settings: self.config.detect.clone(),
            };
            watching::start(plan)
        });
        let watching = watching.transpose().map_err(AppError::Runtime)?;
        let journal = self.journal.handle();
        // What a gate has open that drains, has its end on record later.
        let ended_before = if self.taken_over.is_some() { Timestamp(0) } else { since };
        let background =
            background::start(&self.data_dir, &self.config, (&journal, ended_before), (self.flows, &self.kernel))?;
        let elsewhere = contingencies.start(&gate, self.kernel, &self.config, &journal)?;
        let mut copies = self.listeners.copies().map_err(AppError::Runtime)?;
        if let Some(console) = &self.console {
            copies.extend(console.copies().map_err(AppError::Runtime)?);
        }
        let reporter = Arc::new(Reporter {
            gate: gate.clone(),
            data_dir: self.data_dir.clone(),
            inspection_fault: self.inspection_fault,
            sandbox: self.sandbox,
            name: self.config.name.clone(),
            since,
            addresses,
            secured_addresses,
            console_addresses,
            captured_addresses,
            workers: self.workers,
            policy_file,
            reloads: reloading.reloads(),
            fetches: fetching.as_ref().map(Fetching::fetches),
            connections_max: self.connections_max,
            seen: watching.as_ref().map(watching::Watching::seen),
            background: background.seen(),
            contingencies,
            drainers: Drainers::default(),
            journal_directory: self.data_dir.join("journal").display().to_string(),
        });
        let console = self.console.map(|console| console.start(reporter.clone(), &self.config));
        let console = console.transpose()?;
        let shares = self.listeners.shares(self.workers);
        let (control, hangup, reloads) = (self.control, self.hangup, reloading.reloads());
        let running = Running {
            gate: gate.clone(),
            data_dir: self.data_dir.clone(),
            console,
            reloading,
            elsewhere,
            background,
            watching,
            fetching,
            journal: self.journal,
        };
        let drainers = reporter.drainers.clone();
        let (offer, asked) = Offer::new(copies, drainers.clone());
        let signals = Mutex::new(self.end);
        let hand_over_timeout = self.config.hand_over_timeout;
        let end = async {
            // It ends with this: who asks later is refused, and does not wait.
            let mut asked = asked;
            let next = tokio::select! {
                () = until(&signals, (control, offer.clone()), reporter, gate.clone(), self.clock_watch) => None,
                () = reload::reload_on(hangup, reloads) => None,
                () = clearances::keep(gate.clone(), self.data_dir.clone()) => None,
                () = devices::keep(gate.clone(), self.data_dir.clone(), self.config.devices.clone()) => None,
                () = told => None,
                asked = asked.recv() => asked,
            };
            if next.is_some() {
                drainers.hand_over();
            }
            asked.close();
            while let Ok(late) = asked.try_recv() {
                late.refuse();
            }
            // Gates that drain are let go, to find the next one.
            tokio::task::yield_now().await;
            breakglass::end_with_gate(&gate).await;
            next
        };
        let served = Workers::serve(&plan, &gate, shares, &self.runtime, end, |workers, asked| {
            // From here on who connects is nobody's, or the next gate's.
            match asked {
                None => {
                    offer.end();
                    workers.drain();
                    Left::Ended(Box::new(running))
                }
                Some(asked) => {
                    let as_before = Before { source, journal: self.journal_config, limit: hand_over_timeout };
                    Left::HandedOver(running.hand_over(asked, as_before, &offer, workers, &signals))
                }
            }
        });
        let (result, left) = served;
        let closed = left.map_or(Ok(()), Left::end).map_err(AppError::Unclosed);
        result.and(closed)
    }
}

/// Resolvers as the config says; their connections are counted in `own`.
fn resolvers(
    servers: &[SocketAddr],
    internal: Option<&InternalNames>,
    timeout: Duration,
    own: &OwnConnections,
) -> Result<Resolvers, ResolveError> {
    let internal = internal.map(|internal| (&internal.places, internal.resolvers.as_slice()));
    Resolvers::new(servers, internal, timeout, own)
}

/// Waits to be told to end; answers what a person asks meanwhile, and tells of what goes wrong.
async fn until(
    end: &Mutex<End>,
    (control, offer): (UnixListener, Offer),
    reporter: Arc<Reporter>,
    gate: Arc<Gate>,
    clock_watch: ClockWatch,
) {
    tokio::select! {
        () = async { end.lock().await.told().await } => {}
        () = control::serve(control, reporter, offer) => {}
        () = notices::tell(&gate, clock_watch) => {}
    }
}

impl End {
    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

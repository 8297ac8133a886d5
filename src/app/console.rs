//! The thread of the console, and what the console asks of the gate.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::ServerConfig;
use tokio::sync::oneshot;

use crate::clock;
use crate::config::{Config, ConsoleSettings};
use crate::console::{
    self, AlertStanding, Deed, DetectionStanding, Gatehouse, Held, JournalStanding, Listening, Plan, Service, Standing,
};
use crate::evidence::{Admin, Record};
use crate::listen::{Bound, Passed};
use crate::session::Gate;
use crate::tls::{PairError, proxy_config};

use super::alerting::AlertStatus;
use super::contingency::{IsolatedStatus, LockdownStatus, PlaceState, PlaceStatus};
use super::note::{self, Note};
use super::status::{Reporter, Status};
use super::{AppError, system};

/// A console that is bound, and serves nothing yet.
pub(super) struct Prepared {
    bound: Vec<Bound>,
    tls: Option<Arc<ServerConfig>>,
    settings: ConsoleSettings,
    connections_max: u64,
}

/// The thread.
pub(super) struct Running {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Of the connections that the system allows, one in so many is the console's.
const SHARE: u64 = 8;
/// So many at most, live tails among them.
const CONNECTIONS_MAX: u64 = 2000;
const CONNECTIONS_MIN: u64 = 16;
/// Threads on which questions are asked.
const BLOCKING_MAX: usize = 4;

/// Binds where the config says, before there are threads; `room` is how many descriptors there are.
///
/// # Errors
/// An address is not to be had, or the certificate is none.
pub(super) fn prepare(config: &Config, room: u64, passed: &mut Passed) -> Result<Option<Prepared>, AppError> {
    let Some(settings) = config.console.clone() else { return Ok(None) };
    let bound = settings.listen.iter().map(|address| passed.or_bind(*address, 1)).collect::<Result<Vec<_>, _>>()?;
    let tls = settings.files.as_ref().map(|(certificate, key)| secured(certificate, key)).transpose()?;
    let connections_max = (room / SHARE).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
    Ok(Some(Prepared { bound, tls, settings, connections_max }))
}

/// As the proxy within TLS shows itself, and HTTP/1.1 alone.
fn secured(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, PairError> {
    let mut config = (*proxy_config(certificate, key)?).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Prepared {
    pub(super) fn addresses(&self) -> impl Iterator<Item = std::net::SocketAddr> {
        self.bound.iter().map(|bound| bound.address)
    }

    /// Its listeners once more, for a gate that takes over.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(super) fn copies(&self) -> io::Result<Vec<TcpListener>> {
        self.bound.iter().flat_map(|bound| &bound.listeners).map(TcpListener::try_clone).collect()
    }

    /// Whether it is spoken to by TLS.
    pub(super) fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    /// Descriptors that are its own.
    pub(super) fn descriptors(&self) -> u64 {
        self.connections_max
    }

    /// Starts its thread.
    ///
    /// # Errors
    /// There is no thread to be had, or no randomness.
    pub(super) fn start(self, reporter: Arc<Reporter>, config: &Config) -> Result<Running, AppError> {
        let Self { bound, tls, settings, connections_max } = self;
        let data_dir = reporter.data_dir.clone();
        let plan = Plan {
            users: settings.users.unwrap_or_else(|| data_dir.join(USERS_FILE)),
            data_dir,
            zone: config.detect.zone.clone(),
            names: settings.names,
            metrics: settings.metrics,
            cpu_percent: settings.cpu_percent,
            is_secured: tls.is_some(),
            secret: system::random().map_err(AppError::Random)?,
            gatehouse: Arc::new(House(reporter)),
        };
        let listening = Listening {
            listeners: bound.into_iter().flat_map(|bound| bound.listeners).collect(),
            tls,
            connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_MAX)
            .thread_name("console-asks")
            .build()
            .map_err(AppError::Runtime)?;
        let (end, ended) = oneshot::channel::<()>();
        let serve = move || {
            let stop = async {
                let _ = ended.await;
            };
            if let Err(error) = runtime.block_on(console::serve(Arc::new(Service::new(plan)), listening, stop)) {
                eprintln!("sekisho: warning: there is no console: {error}");
            }
            // A question that is under way is not waited for.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("console".to_owned()).spawn(serve).map_err(AppError::Runtime)?;
        Ok(Running { end, thread })
    }
}

/// Where the users of a console are, below the data directory, unless the config says otherwise.
pub const USERS_FILE: &str = "console.users";

impl Running {
    pub(super) fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

/// The gate as its console sees it.
struct House(Arc<Reporter>);

impl Gatehouse for House {
    fn gate(&self) -> &Arc<Gate> {
        &self.0.gate
    }

    fn standing(&self) -> Standing {
        let status = self.0.report();
        let other_faults = other_faults(&status);
        let journal = status.journal;
        let detection = status.detection;
        let faults = status.flows.iter().filter_map(|source| source.error.clone());
        Standing {
            name: status.gate,
            version: status.version,
            up_seconds: status.up_seconds,
            policy_file: status.policy.file,
            policy_since: status.policy.since,
            reload_fault: status.policy.last_reload.and_then(|reload| reload.fault()),
            workers: status.workers as u64,
            connections_max: status.connections.most,
            journal: JournalStanding {
                records: journal.records,
                lost: journal.lost,
                overloads: journal.overloads,
                sync_failures: journal.sync_failures,
                last_error: journal.last_error,
            },
            disk: status.disk.level,
            disk_days_left: status.disk.days_left,
            detection: DetectionStanding {
                live: detection.live,
                behind_seconds: detection.behind_seconds,
                events: detection.events,
                pairs: detection.pairs,
                pairs_evicted: detection.pairs_evicted,
                findings: detection.findings,
            },
            indexed: status.index.record,
            index_behind_seconds: status.index.behind_seconds,
            index_fault: status.index.error,
            sealing_fault: status.sealing.error,
            inspection_fault: status.inspection_fault,
            receivers_waiting: status.receivers.iter().filter(|receiver| receiver.error.is_some()).count() as u64,
            other_faults,
            alerts: status.alerts.into_iter().map(alert).collect(),
            flow_sources: status.flows.len() as u64,
            flow_faults: faults.collect(),
            breakglass: status.breakglass.map(|glass| format!("{} – {}", glass.until, glass.reason)),
            lockdown: status.contingencies.lockdown.map(lockdown),
            isolated: status.contingencies.isolated.into_iter().map(isolated).collect(),
        }
    }

    fn act(&self, deed: Deed) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async move {
            let note = match deed {
                Deed::Lookup(lookup) => Note::Lookup(lookup),
                Deed::Triage(triage) => Note::Triage(triage),
                Deed::Contingency(contingency) => Note::Contingency(contingency),
                Deed::Access(action, detail) => {
                    let record = Record::Admin(Admin { action, detail: Some(detail.as_str().into()) });
                    let noted = self.0.gate.journal.append(&record, clock::now()).await;
                    return noted.map_err(|error| error.to_string());
                }
            };
            let who = note.who().clone();
            note::put_on_record_of(&self.0, note, who).await.map_err(|why| why.to_string())
        })
    }
}

fn alert(status: AlertStatus) -> AlertStanding {
    let AlertStatus { name, waiting, held, dropped, taken, error, .. } = status;
    AlertStanding { name, waiting: waiting as u64, held, dropped, taken, error }
}

fn other_faults(status: &Status) -> Vec<String> {
    let streams = status.streams.iter().filter_map(|one| Some(format!("{}: {}", one.name, one.error.as_ref()?)));
    let lists = status.lists.iter().filter_map(|one| Some(format!("{}: {}", one.name, one.failure.as_ref()?.why)));
    let kernel = status.contingencies.kernel_fault.iter().map(|why| format!("kernel: {why}"));
    streams.chain(lists).chain(kernel).collect()
}

fn lockdown(status: LockdownStatus) -> Held {
    Held {
        client: String::new(),
        device: None,
        since: Some(status.since),
        by: status.by,
        why: Some(status.why).filter(|why| !why.is_empty()),
        not_at: not_at(&status.elsewhere),
    }
}

fn isolated(status: IsolatedStatus) -> Held {
    Held {
        not_at: not_at(&status.elsewhere),
        client: status.client,
        device: status.device,
        since: status.since,
        by: status.by,
        why: status.why,
    }
}

fn not_at(places: &[PlaceStatus]) -> Vec<String> {
    let not = places.iter().filter(|place| place.state == PlaceState::NotDone);
    not.map(|place| format!("{}: {}", place.place, place.error.as_deref().unwrap_or_default())).collect()
}

//! What runs beside the threads that serve, and in which order it ends: with the gate, or before another takes over.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::clock;
use crate::lists::Source;
use crate::session::Gate;
use crate::store::{Handed, Journal, JournalConfig};

use super::background::Background;
use super::contingency::Elsewhere;
use super::control::socket_path;
use super::fetch::Fetching;
use super::handover::{Asked, Carrying, Draining, Offer};
use super::indexing::Indexing;
use super::reload::Reloading;
use super::streaming::Streaming;
use super::watching::Watching;
use super::workers::Workers;
use super::{End, clearances, console, reach, versions};

/// It, as long as the gate has the data directory.
pub(super) struct Running {
    pub(super) gate: Arc<Gate>,
    pub(super) data_dir: PathBuf,
    pub(super) console: Option<console::Running>,
    pub(super) reloading: Reloading,
    pub(super) elsewhere: Elsewhere,
    pub(super) background: Background,
    pub(super) watching: Option<Watching>,
    pub(super) fetching: Option<Fetching>,
    pub(super) journal: Journal,
}

/// How a gate was set up, for who drains.
pub(super) struct Before {
    pub(super) source: Source,
    pub(super) journal: JournalConfig,
    /// How long it may drain.
    pub(super) limit: Duration,
}

/// The journal, and who reads it to its end.
struct Writing {
    journal: Journal,
    data_dir: PathBuf,
    indexing: Option<Indexing>,
    streaming: Option<Streaming>,
}

/// What is left when the threads that serve have ended.
pub(super) enum Left {
    /// All of it is to end with the gate.
    Ended(Box<Running>),
    /// Another gate has taken over; absent where nothing carries what is told.
    HandedOver(Option<Carrying>),
}

impl Left {
    /// Ends it.
    ///
    /// # Errors
    /// The journal could not be closed.
    pub(super) fn end(self) -> io::Result<()> {
        match self {
            Left::Ended(running) => running.end(),
            Left::HandedOver(Some(carrying)) => carrying.end(),
            Left::HandedOver(None) => Err(io::Error::other("nothing could carry the last records")),
        }
    }
}

impl Running {
    fn end(self) -> io::Result<()> {
        let Writing { journal, data_dir, indexing, streaming } = self.end_others();
        let _ = std::fs::remove_file(socket_path(&data_dir));
        let closed = journal.close();
        if let Some(streaming) = streaming {
            streaming.end();
        }
        if let Some(indexing) = indexing {
            indexing.end();
        }
        closed
    }

    /// Ends all but the journal, and those that read its last records.
    fn end_others(self) -> Writing {
        self.write_down();
        if let Some(console) = self.console {
            console.end();
        }
        self.reloading.end();
        self.elsewhere.end();
        let (indexing, streaming) = self.background.end_writers();
        if let Some(watching) = self.watching {
            watching.end();
        }
        if let Some(fetching) = self.fetching {
            fetching.end();
        }
        Writing { journal: self.journal, data_dir: self.data_dir, indexing, streaming }
    }

    /// What outlives a gate in files of its own.
    fn write_down(&self) {
        clearances::write(&self.gate, &self.data_dir);
        versions::write(&self.gate, &self.data_dir);
        reach::write(&self.gate, &self.data_dir);
    }

    /// Hands over to the gate that has asked, and drains: comes back when all that was open has ended.
    pub(super) fn hand_over(
        self,
        asked: Asked,
        before: Before,
        offer: &Offer,
        workers: &mut Workers<'_>,
        signals: &Mutex<End>,
    ) -> Option<Carrying> {
        let (gate, data_dir, since) = (self.gate.clone(), self.data_dir.clone(), clock::now());
        eprintln!("sekisho: another gate takes over; this one goes on with what is open");
        let handed = self.leave(|| {
            offer.end();
            workers.hand_over();
        });
        let next = asked.left();
        if let Err(error) = &next {
            eprintln!("sekisho: warning: the gate that takes over is gone: {error}");
        }
        let Before { source, journal, limit } = before;
        let draining = Draining { handed, gate, source, data_dir, journal, since, limit, cut: workers.cutter() };
        let carrying = Carrying::start(draining, next.ok());
        if let Err(error) = &carrying {
            eprintln!("sekisho: warning: what has ended here cannot be told, and all that is open is closed: {error}");
            workers.cutter()();
        }
        workers.until_ended(signals);
        carrying.ok()
    }

    /// Ends all that belongs to the gate that has the data directory, and lets that go. Nothing here reads the journal's last
    /// records: the next gate does.
    fn leave(self, stop_accepting: impl FnOnce()) -> Handed {
        let Writing { journal, data_dir, indexing, streaming } = self.end_others();
        if let Some(streaming) = streaming {
            streaming.end();
        }
        if let Some(indexing) = indexing {
            indexing.end();
        }
        // As late as can be: until the next gate serves nobody accepts.
        stop_accepting();
        let _ = std::fs::remove_file(socket_path(&data_dir));
        let (handed, closed) = journal.hand_over();
        if let Err(error) = closed {
            eprintln!("sekisho: warning: the journal could not be closed: {error}");
        }
        handed
    }
}

//! Attempts to connect that did not come through the proxy, as the kernel and other firewalls tell of them.
//!
//! In: packets that rules of this machine's firewall log to an NFLOG group, events of its connection tracking, lines of
//! syslog that other firewalls send, and lines that Zeek adds to its `conn.log`. Out: `flow` records, bursts summed, and `gap` records of all that was missed: what
//! the kernel could not hand over is known by its sequence numbers, and what the journal did not take is counted and told
//! when it takes records again. Status and `health` records say where a source cannot be read.
//!
//! Never: decides what may pass, or asks the kernel to change a rule. The kernel's messages, and above all the packets
//! within them, are read with bounds throughout. All of it is one thread's work; a source that is slow to be taken in loses
//! counts of nothing but itself. What comes by syslog anybody could have sent who reaches the address: it is told as what
//! was said, with who said it.

mod beyond;
mod conntrack;
mod netlink;
mod nflog;
mod outbox;
mod packet;
mod privileged;
mod settings;
mod status;
mod syslog;
mod zeek;
#[doc(hidden)]
pub mod properties;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::evidence::Inside;
use crate::listen::BindError;
use crate::store::JournalHandle;

use super::warden::Warden;

use outbox::{BATCHES_MAX, Outbox};
use privileged::By;
use status::Cell;
use syslog::Waiting;

pub use conntrack::Own;
pub(super) use privileged::{Asked, Opened};
pub use settings::{Settings, SyslogAddress, Transport};
pub use status::{SourceStatus, Sources};

/// The sources that are to be read.
pub struct Flows {
    nflog: Option<(u16, Arc<Cell>)>,
    conntrack: Option<(Own, Arc<Cell>)>,
    syslog: Vec<(Waiting, Arc<Cell>)>,
    zeek: Vec<(PathBuf, Own, Arc<Cell>)>,
    inside: Inside,
}

impl Flows {
    /// What the settings name; nothing is opened yet but the sockets of syslog. `own` are connections that are on record
    /// otherwise, `inside` what is known of who may be there.
    ///
    /// # Errors
    /// An address of syslog is in use, not ours, or not permitted.
    pub fn bind(settings: &Settings, own: Own, inside: Inside) -> Result<Self, BindError> {
        let cell = |name: String| Arc::new(Cell::new(name));
        let bind = |address: &SyslogAddress| {
            let (waiting, bound): (Waiting, SocketAddr) = Waiting::bind(address)?;
            let shown = SyslogAddress { address: bound, ..*address };
            Ok((waiting, cell(format!("syslog {shown}"))))
        };
        Ok(Self {
            nflog: settings.nflog_group.map(|group| (group, cell(format!("nflog group {group}")))),
            zeek: settings
                .zeek
                .iter()
                .map(|path| (path.clone(), own.clone(), cell(format!("zeek {}", path.display()))))
                .collect(),
            conntrack: settings.conntrack.then(|| (own, cell("conntrack".to_owned()))),
            syslog: settings.syslog.iter().map(bind).collect::<Result<_, BindError>>()?,
            inside,
        })
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.nflog.is_none() && self.conntrack.is_none() && self.syslog.is_empty() && self.zeek.is_empty()
    }

    /// How they stand, to be looked at while they are read.
    pub fn sources(&self) -> Sources {
        let nflog = self.nflog.iter().map(|(_, cell)| cell);
        let cells = nflog.chain(self.conntrack.iter().map(|(_, cell)| cell));
        let cells = cells.chain(self.syslog.iter().map(|(_, cell)| cell));
        Sources::new(cells.chain(self.zeek.iter().map(|(_, _, cell)| cell)).cloned().collect())
    }

    /// Reads them and has the journal keep what they tell, until `end` resolves; what is there by then is read before it
    /// returns. A source that cannot be read is tried again, and no error of the gate.
    ///
    /// What only who has CAP_NET_ADMIN may have of the kernel comes by the warden, where there is one.
    pub async fn run(self, warden: Option<Arc<Warden>>, journal: JournalHandle, end: impl Future<Output = ()>) {
        let (sender, batches) = mpsc::channel(BATCHES_MAX);
        let (stop, stopped) = watch::channel(());
        let outbox = |cell| Outbox::new(cell, self.inside.clone(), sender.clone(), journal.clone());
        let mut tasks = JoinSet::new();
        let group = self.nflog.as_ref().map(|(group, _)| *group);
        let by = By { warden, group };
        if let Some((_, cell)) = self.nflog {
            tasks.spawn(nflog::read(by.clone(), outbox(cell), stopped.clone()));
        }
        if let Some((own, cell)) = self.conntrack {
            tasks.spawn(conntrack::read((own, by), outbox(cell), stopped.clone()));
        }
        for (waiting, cell) in self.syslog {
            tasks.spawn(syslog::read(waiting, outbox(cell), stopped.clone()));
        }
        for (path, own, cell) in self.zeek {
            tasks.spawn(zeek::read(path, own, outbox(cell), stopped.clone()));
        }
        drop(sender);
        let writing = tokio::spawn(outbox::write(batches, journal));
        end.await;
        drop(stop);
        while tasks.join_next().await.is_some() {}
        let _ = writing.await;
    }
}

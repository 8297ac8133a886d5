//! The thread that reads attempts which do not come through the proxy.

use std::io;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::gateway::flows::{Flows, Sources};
use crate::store::JournalHandle;

use super::contingency::Kernel;

/// The thread, and how its sources stand.
pub(super) struct Reading {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
    sources: Sources,
}

/// Starts it, where there is something to read.
///
/// # Errors
/// There is no thread or no runtime to be had.
pub(super) fn start(flows: Flows, kernel: &Kernel, journal: JournalHandle) -> io::Result<Option<Reading>> {
    if flows.is_empty() {
        return Ok(None);
    }
    let (sources, warden) = (flows.sources(), kernel.as_ref().ok().cloned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (end, ended) = oneshot::channel::<()>();
    let read = move || {
        runtime.block_on(flows.run(warden, journal, async {
            let _ = ended.await;
        }));
        // A warden that stands still is not waited for.
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("flows".to_owned()).spawn(read)?;
    Ok(Some(Reading { end, thread, sources }))
}

impl Reading {
    pub(super) fn sources(&self) -> Sources {
        self.sources.clone()
    }

    /// Ends the thread; what was seen by then is on record after that.
    pub(super) fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

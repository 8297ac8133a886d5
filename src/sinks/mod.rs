//! Receivers off the machine: what the config names is handed to them, one message at a time.
//!
//! Hooks ([`Hook`]) may be programs of the operator's too.
//!
//! In: a message and its receiver. Out: that it was taken, as far as the way there can tell, or why not. Nothing is queued or
//! tried again here, and nothing is judged.

mod hook;
mod receiver;
mod syslog;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::facts::Timestamp;
use crate::tls::{self, NoRoots};
use crate::upstream::{Errand, ErrandError, Errands, Purpose};

pub use hook::{Hook, NotTold, Occasion};
pub use receiver::{Protocol, Receiver, Way};
pub use syslog::syslog_line;

/// What is handed over.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub purpose: Purpose,
    /// The name of its file, where it becomes one.
    pub name: &'a str,
    /// What it is, in a word of at most 32 letters: the MSGID of syslog (RFC 5424 §6.2.7).
    pub kind: &'a str,
    /// One line, without its end.
    pub body: &'a str,
    pub content_type: &'static str,
    /// Which gate hands it over, and when.
    pub gate: &'a str,
    pub now: Timestamp,
}

/// Why a receiver does not have a message.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    /// It may have been put there by whoever wants another one to be believed.
    #[error("{0} is there already, and is another one")]
    Other(PathBuf),
    #[error(transparent)]
    Errand(#[from] ErrandError),
    #[error(transparent)]
    Roots(#[from] NoRoots),
    #[error("the connection failed: {0}")]
    Connection(io::Error),
    #[error("whether it has read it is not known: it did not end the connection within {0:?}")]
    Stalled(Duration),
}

/// How long a receiver may take to take a message and to end the connection.
const TAKES: Duration = Duration::from_secs(10);
/// An answer to a webhook is read and thrown away, up to so many bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Hands messages over.
pub struct Sink {
    errands: Errands,
}

impl Sink {
    pub fn new(errands: Errands) -> Self {
        Self { errands }
    }

    /// Hands one over. Over UDP that it was sent is all that is known; over TCP that the other end has
    /// ended the connection behind it.
    ///
    /// # Errors
    /// The receiver does not have it, or not as far as can be told.
    pub async fn send(&self, receiver: &Receiver, message: Message<'_>) -> Result<(), NotSent> {
        match &receiver.way {
            Way::Directory(directory) => put(directory, message),
            Way::Syslog { server, protocol: Protocol::Udp } => {
                let line = syslog_line(message);
                Ok(self.errands.datagram(server, message.purpose, &receiver.opened, line.as_bytes()).await?)
            }
            Way::Syslog { server, protocol: Protocol::Tcp } => {
                let stream = self.errands.reach(server, message.purpose, &receiver.opened).await?;
                hand_over(stream, &syslog::counted(&syslog_line(message))).await
            }
            Way::Webhook(url) => {
                // Read anew each time: the system's roots change while a gate runs.
                let tls = tls::client(&receiver.roots)?;
                let errand = Errand {
                    purpose: message.purpose,
                    url,
                    tls: &tls,
                    opened: &receiver.opened,
                    bytes_max: ANSWER_BYTES_MAX,
                };
                Ok(self.errands.post(errand, message.content_type, message.body.as_bytes().to_vec()).await?)
            }
        }
    }
}

/// Writes all of it, says that this was all, and waits for the other end to end too: one that has reset the connection, or holds
/// it without a word, may not have read it.
async fn hand_over(mut stream: tokio::net::TcpStream, bytes: &[u8]) -> Result<(), NotSent> {
    let handed = async {
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        let mut answer = [0; 256];
        while stream.read(&mut answer).await? > 0 {}
        Ok(())
    };
    timeout(TAKES, handed).await.map_err(|_| NotSent::Stalled(TAKES))?.map_err(NotSent::Connection)
}

/// Puts it into a directory that is there, under its name, by nothing but adding: what a crash has left of it is completed, and
/// another one is never touched.
fn put(directory: &Path, message: Message<'_>) -> Result<(), NotSent> {
    let path = directory.join(message.name);
    let failed = |source| NotSent::File { path: path.clone(), source };
    let content = format!("{}\n", message.body);
    // Where a link stands under its name, somebody else put it there.
    let known = match open(OpenOptions::new().read(true), &path) {
        Ok(file) => {
            let mut known = Vec::new();
            file.take(content.len() as u64 + 1).read_to_end(&mut known).map_err(failed)?;
            known
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed(error)),
    };
    let Some(rest) = content.as_bytes().strip_prefix(known.as_slice()) else { return Err(NotSent::Other(path)) };
    if rest.is_empty() {
        return Ok(());
    }
    let add = || {
        let mut file = open(OpenOptions::new().append(true).create(true).mode(0o644), &path)?;
        file.write_all(rest)?;
        file.sync_all()?;
        File::open(directory)?.sync_all()
    };
    add().map_err(failed)
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    options.custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests;

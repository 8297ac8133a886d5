//! Receivers off the machine: what the config names is handed to them, one message at a time.
//!
//! Hooks ([`Hook`]) may be programs of the operator's too.
//!
//! In: a message and its receiver. Out: that it was taken, as far as the way there can tell, or why not. Nothing is queued or
//! tried again here, and nothing is judged.

mod hook;
mod receiver;
mod syslog;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::facts::Timestamp;
use crate::tls::{self, NoRoots};
use crate::upstream::{Errand, ErrandError, Errands, Purpose};

pub use hook::{Hook, NotTold, Occasion};
pub use receiver::{Protocol, Receiver, Way, read_server, written_address};
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
    /// How pressing it is: a severity of syslog (RFC 5424 §6.2.1), such as [`NOTICE`].
    pub level: u8,
    /// Fields of a POST beside what every one has.
    pub fields: &'a [(&'static str, String)],
    /// Which gate hands it over, and when.
    pub gate: &'a str,
    pub now: Timestamp,
}

/// The severity of syslog for what is normal, and worth knowing.
pub const NOTICE: u8 = 5;

/// What is known of a message that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is a file.
    Written,
    /// It was sent; whether it came nobody says.
    Sent,
    /// The other end has ended the connection behind it.
    Closed,
    /// It was answered with this status.
    Answered(u16),
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written => write!(f, "it is written there"),
            Self::Sent => write!(f, "it was sent; over UDP nobody says whether it came"),
            Self::Closed => write!(f, "it was taken, and the connection ended behind it"),
            Self::Answered(status) => write!(f, "it answered {status}"),
        }
    }
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

    /// By which it connects.
    pub fn errands(&self) -> &Errands {
        &self.errands
    }

    /// Hands one over. Over UDP that it was sent is all that is known; over TCP that the other end has
    /// ended the connection behind it.
    ///
    /// # Errors
    /// The receiver does not have it, or not as far as can be told.
    pub async fn send(&self, receiver: &Receiver, message: Message<'_>) -> Result<Taken, NotSent> {
        match &receiver.way {
            Way::Directory(directory) => put(directory, message).map(|()| Taken::Written),
            Way::Syslog { server, protocol: Protocol::Udp } => {
                let line = syslog_line(message);
                self.errands.datagram(server, message.purpose, &receiver.opened, line.as_bytes()).await?;
                Ok(Taken::Sent)
            }
            Way::Syslog { server, protocol: Protocol::Tcp } => {
                let stream = self.errands.reach(server, message.purpose, &receiver.opened).await?;
                hand_over(stream, &syslog::counted(&syslog_line(message))).await
            }
            Way::Syslog { server, protocol: Protocol::Tls } => {
                let tls = tls::client_of_any(&receiver.roots)?;
                let stream = self.errands.reach_secured(server, message.purpose, &receiver.opened, &tls).await?;
                // Framed as over TCP (RFC 5425 §4.3).
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
                let body = message.body.as_bytes().to_vec();
                let status = self.errands.post(errand, message.content_type, message.fields, body).await?;
                Ok(Taken::Answered(status.as_u16()))
            }
        }
    }
}

/// Writes all of it, says that this was all, and waits for the other end to end too: one that has reset the connection, or holds
/// it without a word, may not have read it.
async fn hand_over(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Result<Taken, NotSent> {
    let handed = async {
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        let mut answer = [0; 256];
        loop {
            match stream.read(&mut answer).await {
                Ok(0) => return Ok(Taken::Closed),
                Ok(_) => {}
                // It has ended TCP without a word in TLS, as many do: nothing that it says is needed any more.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Taken::Closed),
                Err(error) => return Err(error),
            }
        }
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

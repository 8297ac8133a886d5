use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Why there is no secret to be had of a file. What the file holds is in none of it.
#[derive(Debug, thiserror::Error)]
pub enum NoSecret {
    #[error("cannot read the secret in {}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is open to others (mode {mode:04o}): chmod 600 it", .path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{} holds no secret of one line and {least} to {SECRET_BYTES_MAX} bytes", .path.display())]
    None { path: PathBuf, least: usize },
}

/// A longer one is none.
const SECRET_BYTES_MAX: usize = 1024;

/// Reads the secret that a file holds in its one line; it is wiped after use.
///
/// # Errors
/// There is none of at least so many bytes, or others may read the file.
pub(super) fn read_secret(path: &Path, least: usize) -> Result<Zeroizing<Vec<u8>>, NoSecret> {
    let io = |source| NoSecret::Io { path: path.to_owned(), source };
    // A pipe without a writer would hold all others up.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(io(io::Error::other("it is no file")));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(NoSecret::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 3));
    file.take(SECRET_BYTES_MAX as u64 + 3).read_to_end(&mut bytes).map_err(io)?;
    while bytes.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
        bytes.pop();
    }
    let is_one =
        (least..=SECRET_BYTES_MAX).contains(&bytes.len()) && !bytes.iter().any(|b| matches!(b, 0 | b'\r' | b'\n'));
    if is_one { Ok(bytes) } else { Err(NoSecret::None { path: path.to_owned(), least }) }
}

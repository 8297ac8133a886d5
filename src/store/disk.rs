//! The few things that the journal asks of a file system. A test puts a layer of its own in between,
//! which forgets what was not synced.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Where segments are written to.
pub trait Disk: Send + Sync {
    /// Makes a new file, its owner's alone, that is written to at its end.
    ///
    /// # Errors
    /// It is there already, or cannot be made.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Makes the entries of a directory survive a loss of power.
    ///
    /// # Errors
    /// The device's own.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// There is none, or it cannot be removed.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Bytes that this user can still write to the file system of `path`; none where it has no inode left
    /// for another file.
    ///
    /// # Errors
    /// The system does not say.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// A file that is written to at its end.
pub trait DiskFile: Send + fmt::Debug {
    /// Writes all of it; after an error any part of it may stand at the end.
    ///
    /// # Errors
    /// No room, or the device's own.
    fn write_whole(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file off, or lengthens it by zeros.
    ///
    /// # Errors
    /// The device's own.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Makes what was written survive a loss of power.
    ///
    /// # Errors
    /// What was written since the last success may be lost; the kernel says so once.
    fn sync(&self) -> io::Result<()>;

    /// Another handle to the same file, so that another thread can wait for the disk.
    ///
    /// # Errors
    /// Too few descriptors.
    fn try_clone(&self) -> io::Result<Box<dyn DiskFile>>;
}

/// The file systems of this machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(path)?;
        if found.f_files > 0 && found.f_favail == 0 {
            return Ok(0);
        }
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

/// What must stay free for the journal itself, whatever else wants to be written: a tenth of the file system, 64 MiB at most.
const KEPT_FREE_MAX: u64 = 64 << 20;

/// How many bytes of a file system lack for so many more beside the journal; `None` where there is room.
pub(super) fn lacks(path: &Path, needed: u64) -> io::Result<Option<u64>> {
    let found = rustix::fs::statvfs(path)?;
    let free = SystemDisk.free_bytes(path)?;
    let kept = (found.f_blocks.saturating_mul(found.f_frsize) / 10).min(KEPT_FREE_MAX);
    Ok(needed.saturating_add(kept).checked_sub(free).filter(|lacking| *lacking > 0))
}

impl DiskFile for File {
    fn write_whole(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn try_clone(&self) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::try_clone(self)?))
    }
}

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::parse::{Placed, Problem};
use crate::policy::{Parent, Policy};
use crate::upstream::{CREDENTIALS_BYTES_MAX, Credentials, KeyRing};

use super::watched::Watched;

/// Reads the credentials of every parent of a policy.
///
/// # Errors
/// A problem for each file that is missing, readable to others, or holds no credentials. None of them
/// shows what a file holds.
pub(super) fn read_credentials(policy: &Policy, watched: &mut Watched) -> Result<KeyRing, Vec<Problem>> {
    let mut ring = KeyRing::default();
    let mut problems = Vec::new();
    for Placed { value: parent, place } in policy.parents() {
        let Some(file) = parent.credentials() else { continue };
        let path = Path::new(file);
        watched.look(path);
        match read_one(parent, path) {
            Ok(credentials) => ring.add(file, credentials),
            Err((what, fix)) => problems.push(Problem { place: place.clone(), what, fix }),
        }
    }
    if problems.is_empty() { Ok(ring) } else { Err(problems) }
}

/// The credentials in a file, or what is wrong with it and the fix.
fn read_one(parent: &Parent, path: &Path) -> Result<Credentials, (String, String)> {
    let shown = path.display();
    let cannot = |error: io::Error| {
        let fix = match error.kind() {
            io::ErrorKind::NotFound => format!("write one line, `user:password`, to {shown}, and `chmod 600 {shown}`"),
            _ => format!("the user who runs the gate must be able to read {shown}, and nobody else"),
        };
        (format!("cannot read the credentials of parent `{}` in `{shown}`: {error}", parent.name()), fix)
    };
    // A pipe without a writer would hold the start up.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(cannot(io::Error::other("it is no file")));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let what =
            format!("the credentials of parent `{}` are open to others: `{shown}` has mode {mode:04o}", parent.name());
        return Err((what, format!("chmod 600 {shown}")));
    }
    let mut bytes = Vec::new();
    file.take(CREDENTIALS_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    Credentials::parse(&bytes).map_err(|bad| {
        let what = format!("`{shown}` holds no credentials for parent `{}`: {bad}", parent.name());
        (what, "write one line, `user:password`, and nothing else".to_owned())
    })
}

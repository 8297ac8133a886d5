use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::challenge::auth::{FILE_BYTES_MAX, Settings, Texts, Users};
use crate::parse::{Place, Problem};

use super::watched::Watched;

/// Reads the users of `[authentication]`; each file looked at is entered in `watched`.
///
/// # Errors
/// A problem for each file that is missing, too large or readable to everybody, or else every problem of the files.
pub fn read_users(settings: &Settings, watched: &mut Watched) -> Result<Users, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut read = |path: &Option<Box<str>>, is_secret: bool| {
        let path = path.as_deref()?;
        watched.look(Path::new(path));
        match read_file(Path::new(path), is_secret) {
            Ok(text) => Some(text),
            Err((what, fix)) => {
                problems.push(Problem { place: Place { file: path.into(), line: 1, column: 1 }, what, fix });
                None
            }
        }
    };
    let (users, digest, groups) =
        (read(&settings.users, true), read(&settings.digest, true), read(&settings.groups, false));
    if !problems.is_empty() {
        return Err(problems);
    }
    Users::read(settings, Texts { users: users.as_deref(), digest: digest.as_deref(), groups: groups.as_deref() })
}

/// What a file holds, or what is wrong with it and the fix.
fn read_file(path: &Path, is_secret: bool) -> Result<Vec<u8>, (String, String)> {
    let cannot = |error: io::Error| {
        (
            format!("cannot read the file: {error}"),
            "put it there so that the user who runs the gate can read it".to_owned(),
        )
    };
    let file = File::open(path).map_err(cannot)?;
    let mode = file.metadata().map_err(cannot)?.permissions().mode() & 0o7777;
    if is_secret && mode & 0o007 != 0 {
        let what = format!("everybody may read it (mode {mode:04o}): hashes of passwords can be guessed at");
        return Err((what, format!("chmod o= {}", path.display())));
    }
    let most = FILE_BYTES_MAX as u64;
    let mut text = Vec::new();
    file.take(most + 1).read_to_end(&mut text).map_err(cannot)?;
    if text.len() as u64 > most {
        return Err((format!("it is larger than {} MiB", most >> 20), "take users away who have left".to_owned()));
    }
    Ok(text)
}

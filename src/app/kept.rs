//! Small files of the data directory that are replaced whole.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Of a file that is longer nothing is read.
const FILE_BYTES_MAX: u64 = 128 << 20;

/// Replaces a file by these values, each a line of JSON, so that after a crash the file is the old or the new one.
/// Its owner alone may read it.
pub(super) fn replace<T: Serialize>(path: &Path, lines: impl IntoIterator<Item = T>) -> io::Result<()> {
    let new = path.with_extension("jsonl.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let mut out = io::BufWriter::new(file);
    for line in lines {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    out.into_inner()?.sync_all()?;
    fs::rename(new, path)
}

/// The same, with a line before them that counts them: a file that lost its end is known by that.
pub(super) fn replace_whole<T: Serialize>(path: &Path, count: &'static str, values: &[T]) -> io::Result<()> {
    let first = serde_json::json!({ count: values.len() });
    let rest = values.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    replace(path, std::iter::once(first).chain(rest))
}

/// All values that [`replace_whole`] has put there; none where there is no file.
///
/// # Errors
/// It cannot be read, or not all of it.
pub(super) fn read_whole<T: DeserializeOwned>(path: &Path, count: &'static str) -> io::Result<Vec<T>> {
    let text = match fs::metadata(path) {
        Ok(found) if found.len() > FILE_BYTES_MAX => return Err(unreadable(path, "it is too long")),
        Ok(_) => fs::read_to_string(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut lines = text.lines();
    let first = lines.next().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let values = lines.map(|line| serde_json::from_str(line).map_err(|error| unreadable(path, &error.to_string())));
    let values: Vec<T> = values.collect::<io::Result<_>>()?;
    if first.and_then(|first| first[count].as_u64()) != Some(values.len() as u64) {
        return Err(unreadable(path, "it is not whole"));
    }
    Ok(values)
}

fn unreadable(path: &Path, why: &str) -> io::Error {
    let file = path.file_name().unwrap_or_default().display();
    io::Error::new(io::ErrorKind::InvalidData, format!("{file} cannot be read: {why}"))
}

/// The first of the values that are kept there; a line that cannot be read is left out.
pub(super) fn read<T: DeserializeOwned>(path: &Path, lines_max: usize) -> Vec<T> {
    let fits = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= FILE_BYTES_MAX);
    let text = fits.then(|| fs::read_to_string(path).ok()).flatten().unwrap_or_default();
    text.lines().take(lines_max).filter_map(|line| serde_json::from_str(line).ok()).collect()
}

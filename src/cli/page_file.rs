use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::review::PAGE_BEGINS;

use super::error::CliError;

/// Where a page is to be. It is written beside that under another name first: who opens it sees the old page or the new
/// one. Its owner alone may read it, as the logs that it tells of.
#[derive(Debug)]
pub(super) struct PageFile {
    path: PathBuf,
    /// Where it lies until it is whole.
    new: PathBuf,
}

impl PageFile {
    /// Looks whether it can be written, before the work begins of which it is to tell.
    ///
    /// # Errors
    /// Nothing can be written there, or something lies there that is no page of an earlier time: logs are named beside it,
    /// and none of them may be lost by a slip.
    pub(super) fn at(path: &Path) -> Result<Self, CliError> {
        let failed = |source| CliError::Page { path: path.to_owned(), source };
        may_be_replaced(path).map_err(failed)?;
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::IsADirectory.into()))?;
        let mut new_name = OsString::from(".");
        new_name.push(name);
        new_name.push(format!(".{}.new", std::process::id()));
        let page = Self { path: path.to_owned(), new: path.with_file_name(new_name) };
        page.open().and_then(|_| fs::remove_file(&page.new)).map_err(failed)?;
        Ok(page)
    }

    /// Puts the whole page in its place.
    ///
    /// # Errors
    /// It is not there, and what was there before still is.
    pub(super) fn write(&self, page: &str) -> Result<(), CliError> {
        let placed = self.place(page);
        if placed.is_err() {
            let _ = fs::remove_file(&self.new);
        }
        placed.map_err(|source| CliError::Page { path: self.path.clone(), source })
    }

    fn place(&self, page: &str) -> io::Result<()> {
        let mut file = self.open()?;
        file.write_all(page.as_bytes())?;
        file.sync_all()?;
        may_be_replaced(&self.path)?;
        fs::rename(&self.new, &self.path)
    }

    /// What lies there is of a process that had the same number and was killed.
    fn open(&self) -> io::Result<File> {
        match fs::remove_file(&self.new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.new)
    }
}

/// Nothing is there, or an empty file, or an earlier page.
fn may_be_replaced(path: &Path) -> io::Result<()> {
    let known = match fs::metadata(path) {
        Ok(known) => known,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if known.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let other = || io::Error::new(io::ErrorKind::AlreadyExists, "it is there, and is no earlier page");
    if !known.is_file() {
        return Err(other());
    }
    let mut begins = Vec::new();
    File::open(path)?.take(PAGE_BEGINS.len() as u64).read_to_end(&mut begins)?;
    if begins.is_empty() || begins == PAGE_BEGINS.as_bytes() { Ok(()) } else { Err(other()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(directory: &Path) -> Vec<OsString> {
        let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_page_is_in_its_place_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.html");
        let page = PageFile::at(&path).unwrap();
        assert!(names(directory.path()).is_empty(), "so far nothing is there");
        for text in ["first", "second"] {
            page.write(&format!("{PAGE_BEGINS}{text}")).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{PAGE_BEGINS}{text}"));
            assert_eq!(names(directory.path()), ["report.html"]);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_earlier_page_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("access.log");
        fs::write(&log, "a line\n").unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&log, &link).unwrap();
        for path in
            [&*log, &*link, directory.path(), Path::new("/dev/null"), Path::new("/nowhere/a.html"), Path::new("..")]
        {
            let error = PageFile::at(path).unwrap_err();
            assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
        }
        assert_eq!(fs::read_to_string(&log).unwrap(), "a line\n");
        assert_eq!(names(directory.path()), ["access.log", "link"]);
        let empty = directory.path().join("empty");
        File::create(&empty).unwrap();
        PageFile::at(&empty).unwrap().write(PAGE_BEGINS).unwrap();
        // It came to be there while logs were read.
        let page = PageFile::at(&directory.path().join("late")).unwrap();
        fs::write(directory.path().join("late"), "a line\n").unwrap();
        assert!(page.write(PAGE_BEGINS).is_err());
        assert_eq!(names(directory.path()), ["access.log", "empty", "late", "link"]);
    }
}

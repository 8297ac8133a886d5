use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The files that a policy rests on, each with how it stood before it was read.
///
/// They are looked at, not listened to: `stat` of a few files a second costs nothing that can be
/// measured, follows every link on the way (a ConfigMap of Kubernetes changes by a link two directories
/// up), works on file systems that tell of nothing, and cannot lose an event. There are as many as the
/// policy names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched(BTreeMap<PathBuf, Option<Stamp>>);

/// What changes with the content or the rights of a file: which file it is, its size, and when it and its
/// inode were changed last, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Absent where nothing is there, or nothing that may be looked at.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

impl Watched {
    /// Enters a file. Call it before the file is read: what changes after that is then seen to have. A
    /// file that is entered twice keeps how it stood first.
    pub fn look(&mut self, path: &Path) {
        if !self.0.contains_key(path) {
            self.0.insert(path.to_owned(), Stamp::of(path));
        }
    }

    /// The same files as they stand now.
    #[must_use]
    pub fn now(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), Stamp::of(path))).collect())
    }

    /// Whether a file is missing here that was there `before`.
    pub fn has_lost(&self, before: &Self) -> bool {
        before.0.iter().any(|(path, stamp)| stamp.is_some() && self.0.get(path).is_none_or(Option::is_none))
    }

    /// The files, in the order of their names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn watched(path: &Path) -> Watched {
        let mut watched = Watched::default();
        watched.look(path);
        watched
    }

    #[test]
    fn every_way_to_change_a_file_is_seen_and_reading_it_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("policy.toml"), directory.path().join("new"));
        let absent = watched(&path);
        assert_eq!(absent, absent.now());
        fs::write(&path, "one").unwrap();
        let mut before = absent.now();
        assert_ne!(before, absent, "it was written");
        fs::read(&path).unwrap();
        assert_eq!(before, before.now());
        fs::write(&path, "longer").unwrap();
        assert_ne!(before, before.now(), "in place");
        before = before.now();
        fs::write(&other, "longer").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_ne!(before, before.now(), "by a file of the same size put over it");
        before = before.now();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_ne!(before, before.now(), "its rights");
        let there = before.now();
        fs::remove_file(&path).unwrap();
        assert!(there.now().has_lost(&there) && !there.now().has_lost(&absent));
        fs::write(&path, "longer").unwrap();
        assert!(there != there.now() && !there.now().has_lost(&there), "written again");
    }

    #[test]
    fn a_link_on_the_way_that_is_turned_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for data in ["..data_1", "..data_2"] {
            fs::create_dir(at(data)).unwrap();
            fs::write(at(data).join("policy.toml"), "same size").unwrap();
        }
        symlink("..data_1", at("..data")).unwrap();
        symlink("..data/policy.toml", at("policy.toml")).unwrap();
        let before = watched(&at("policy.toml"));
        assert_eq!(before, before.now());
        symlink("..data_2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        assert_ne!(before, before.now());
    }

    #[test]
    fn a_file_is_known_as_it_stood_before_it_was_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.toml");
        let mut watched = watched(&path);
        fs::write(&path, "came later").unwrap();
        watched.look(&path);
        assert_ne!(watched, watched.now(), "looking again does not hide the change");
        assert_eq!(watched.files().collect::<Vec<_>>(), [path.as_path()]);
    }
}

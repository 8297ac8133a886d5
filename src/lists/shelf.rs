use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::OFlags;

use crate::policy::{BadLines, Compiled, LIST_BYTES_MAX, NameCounts, NameSet};

use super::watched::Watched;

/// Keeps host lists as they were compiled, in `lists` in the data directory, one file for each content
/// that a list has had. Without a data directory each list is compiled when it is read.
///
/// A file is taken back only when its checksum holds and it was made of exactly the text that the list has
/// now: whatever else lies there is made anew. It is a cache: it may be deleted at any time.
#[derive(Debug, Clone)]
pub struct Shelf {
    directory: Option<PathBuf>,
}

/// The BLAKE3 hash of a list's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListHash(pub(super) [u8; 32]);

impl ListHash {
    /// As 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

/// A list as it was read.
#[derive(Debug, Clone)]
pub struct Shelved {
    pub set: Arc<NameSet>,
    pub counts: NameCounts,
    /// No part of them is in the set. Whether the rest may be used is for the policy to say.
    pub bad_lines: BadLines,
    pub hash: ListHash,
    /// When the file was last written to, where its file system says so.
    pub modified: Option<SystemTime>,
    pub origin: Origin,
}

/// Where a set comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From the shelf.
    Kept,
    /// Compiled just now, and put on the shelf where there is one.
    Compiled,
    /// Compiled just now; the shelf does not take it, and the next start compiles it again.
    NotKept { why: String },
}

/// Why a list cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("cannot read the list `{}`: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the list `{}` is no file", .0.display())]
    NotAFile(PathBuf),
    #[error("the list `{}` is larger than {} MiB", .0.display(), LIST_BYTES_MAX >> 20)]
    TooLarge(PathBuf),
}

impl ListError {
    /// What to do about it, in one sentence that names the file.
    pub fn fix(&self) -> String {
        match self {
            Self::Read { path, source } if source.kind() == io::ErrorKind::NotFound => {
                format!("write `{}`, one name a line, or correct the path", path.display())
            }
            Self::Read { path, .. } => format!("the user who runs the gate must be able to read `{}`", path.display()),
            Self::NotAFile(path) => format!("`{}` must be a plain text file with one name a line", path.display()),
            Self::TooLarge(path) => format!("divide `{}` into several lists", path.display()),
        }
    }
}

impl Shelf {
    /// A shelf in a data directory; it is made when the first list is put on it.
    pub fn new(data_dir: Option<&Path>) -> Self {
        Self { directory: data_dir.map(|data_dir| data_dir.join("lists")) }
    }

    /// Reads a list: from the shelf if it is there as the file is now, else compiled and put there. Enters
    /// the file in `watched`, whatever comes of it.
    ///
    /// Blocks for as long as it takes to read and hash the file, and seconds for a list of millions that is
    /// new. A shelf that cannot be used is no error: the set is right without it.
    ///
    /// # Errors
    /// The file is absent, cannot be read, is none, or is larger than [`LIST_BYTES_MAX`].
    pub fn read(&self, path: &Path, watched: &mut Watched) -> Result<Shelved, ListError> {
        watched.look(path);
        let (text, modified) = read_text(path)?;
        let hash = ListHash(*blake3::hash(&text).as_bytes());
        if let Some(kept) = self.kept(hash) {
            return Ok(shelved(kept, modified, Origin::Kept));
        }
        let compiled = NameSet::compile(&text);
        drop(text);
        let origin = match self.keep(hash, compiled.set.as_bytes()) {
            Ok(()) => Origin::Compiled,
            Err(why) => Origin::NotKept { why },
        };
        Ok(shelved(compiled, modified, origin))
    }

    /// Removes what is on the shelf for other contents than these, and what an interrupted write left.
    /// Returns how many files that were.
    ///
    /// # Errors
    /// The directory cannot be read, or a file in it cannot be removed; the others are removed still.
    pub fn sweep(&self, keep: &[ListHash]) -> io::Result<usize> {
        let Some(directory) = &self.directory else { return Ok(0) };
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let kept: Vec<String> = keep.iter().map(|hash| file_name(*hash)).collect();
        let (mut removed, mut failed) = (0, None);
        for entry in entries {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if !is_ours(name) || kept.iter().any(|kept| kept == name) {
                continue;
            }
            match fs::remove_file(directory.join(name)) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(removed), Err)
    }

    /// What lies on the shelf for this text, if all of it can be trusted.
    fn kept(&self, hash: ListHash) -> Option<Compiled> {
        let directory = self.directory.as_ref()?;
        is_private(directory).ok()?;
        let bytes = fs::read(directory.join(file_name(hash))).ok()?;
        NameSet::from_bytes(bytes).ok().filter(|kept| kept.source == hash.0)
    }

    /// Puts a set on the shelf, whole or not at all. It need not survive a loss of power: what is torn then
    /// does not bear its checksum.
    fn keep(&self, hash: ListHash, bytes: &[u8]) -> Result<(), String> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let failed = |error: io::Error| format!("cannot keep it compiled in `{}`: {error}", directory.display());
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        is_private(directory).map_err(failed)?;
        let new = directory.join(format!("{}.{}.new", file_name(hash), std::process::id()));
        let written = write_new(&new, bytes).and_then(|_| fs::rename(&new, directory.join(file_name(hash))));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written.map_err(failed)
    }
}

fn shelved(compiled: Compiled, modified: Option<SystemTime>, origin: Origin) -> Shelved {
    let Compiled { set, counts, bad_lines, source } = compiled;
    Shelved { set: Arc::new(set), counts, bad_lines, hash: ListHash(source), modified, origin }
}

fn file_name(hash: ListHash) -> String {
    format!("{}.names", hash.to_hex())
}

/// Whether a file of this name is one that [`Shelf::keep`] makes.
fn is_ours(name: &str) -> bool {
    let Some((hash, rest)) = name.split_once('.') else { return false };
    hash.len() == 64
        && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        && (rest == "names" || (rest.starts_with("names.") && rest.ends_with(".new")))
}

/// Whoever may write to the directory could put another set there, with its checksum.
pub(super) fn is_private(directory: &Path) -> io::Result<()> {
    let mode = fs::metadata(directory)?.permissions().mode() & 0o7777;
    if mode & 0o022 == 0 {
        return Ok(());
    }
    Err(io::Error::other(format!("others may write to it (mode {mode:04o}); chmod 700 it")))
}

/// Makes the file anew; what an interrupted write left there goes first.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// The text of a list, and when its file was last written to.
fn read_text(path: &Path) -> Result<(Vec<u8>, Option<SystemTime>), ListError> {
    let cannot = |source| ListError::Read { path: path.into(), source };
    // A pipe without a writer would hold the start up.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(ListError::NotAFile(path.into()));
    }
    if metadata.len() > LIST_BYTES_MAX {
        return Err(ListError::TooLarge(path.into()));
    }
    let mut text = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default() + 1);
    file.take(LIST_BYTES_MAX + 1).read_to_end(&mut text).map_err(cannot)?;
    if text.len() as u64 > LIST_BYTES_MAX {
        return Err(ListError::TooLarge(path.into()));
    }
    Ok((text, metadata.modified().ok()))
}

#[cfg(test)]
mod tests {
    use crate::facts::Host;

    use super::*;

    struct Desk {
        directory: tempfile::TempDir,
        shelf: Shelf,
    }

    impl Desk {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let shelf = Shelf::new(Some(&directory.path().join("data")));
            Self { directory, shelf }
        }

        fn list(&self, text: &str) -> PathBuf {
            let path = self.directory.path().join("list.txt");
            fs::write(&path, text).unwrap();
            path
        }

        fn read(&self, text: &str) -> Shelved {
            self.shelf.read(&self.list(text), &mut Watched::default()).unwrap()
        }

        fn lists(&self) -> PathBuf {
            self.directory.path().join("data/lists")
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.lists()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn contains(read: &Shelved, name: &str) -> bool {
        read.set.contains(&Host::parse(name.as_bytes()).unwrap())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_list_is_compiled_once_and_then_taken_from_the_shelf_with_all_that_was_said_of_it() {
        let desk = Desk::new();
        let text = ".a.example\na b\n192.0.2.1\n192.0.2.1\n";
        let (first, second) = (desk.read(text), desk.read(text));
        assert_eq!((&first.origin, &second.origin), (&Origin::Compiled, &Origin::Kept));
        assert_eq!((first.counts, &first.bad_lines, first.hash), (second.counts, &second.bad_lines, second.hash));
        assert_eq!((second.bad_lines.count, second.counts.duplicates), (1, 1));
        assert!(contains(&second, "x.a.example") && !contains(&second, "xa.example"));
        assert!(second.modified.is_some());
        assert_eq!(desk.names(), [format!("{}.names", first.hash.to_hex())]);
        assert_eq!((mode(&desk.lists()), mode(&desk.lists().join(&desk.names()[0]))), (0o700, 0o600));
        let changed = desk.read("b.example\n");
        assert_eq!(changed.origin, Origin::Compiled);
        assert!(contains(&changed, "b.example") && !contains(&changed, "x.a.example"));
    }

    #[test]
    fn a_damaged_file_or_one_of_another_list_is_made_anew_and_never_trusted() {
        let desk = Desk::new();
        let (other, list) = (desk.read("other.example\n"), desk.read("a.example\n"));
        let at = |read: &Shelved| desk.lists().join(file_name(read.hash));
        let whole = fs::read(at(&list)).unwrap();
        let mut turned = whole.clone();
        *turned.last_mut().unwrap() ^= 1;
        for bytes in [turned, whole[..whole.len() - 1].to_vec(), Vec::new(), fs::read(at(&other)).unwrap()] {
            fs::write(at(&list), bytes).unwrap();
            let again = desk.read("a.example\n");
            assert_eq!(again.origin, Origin::Compiled);
            assert!(contains(&again, "a.example") && !contains(&again, "other.example"));
            assert_eq!(fs::read(at(&list)).unwrap(), whole);
        }
        assert_eq!(desk.read("a.example\n").origin, Origin::Kept);
    }

    #[test]
    fn what_no_list_uses_any_more_is_swept_and_nothing_else() {
        let desk = Desk::new();
        let (old, new) = (desk.read("old.example\n").hash, desk.read("new.example\n").hash);
        let left = format!("{}.names.7.new", old.to_hex());
        for name in ["notes.txt", "short.names", left.as_str()] {
            fs::write(desk.lists().join(name), "").unwrap();
        }
        assert_eq!(desk.shelf.sweep(&[new]).unwrap(), 2);
        let mut expected = [file_name(new), "notes.txt".to_owned(), "short.names".to_owned()];
        expected.sort();
        assert_eq!(desk.names(), expected);
        assert_eq!(Desk::new().shelf.sweep(&[]).unwrap(), 0, "there is no shelf yet");
    }

    #[test]
    fn without_a_shelf_that_can_be_used_a_list_is_right_all_the_same() {
        let desk = Desk::new();
        let path = desk.list("a.example\n");
        let none = Shelf::new(None).read(&path, &mut Watched::default()).unwrap();
        assert!(none.origin == Origin::Compiled && contains(&none, "a.example"));
        assert!(!desk.lists().exists());
        // A file stands where the data directory would be.
        let blocked = Shelf::new(Some(&path)).read(&path, &mut Watched::default()).unwrap();
        assert!(matches!(&blocked.origin, Origin::NotKept { why } if why.contains("list.txt/lists")));
        assert!(contains(&blocked, "a.example"));
    }

    #[test]
    fn a_shelf_that_others_may_write_to_is_not_used() {
        let desk = Desk::new();
        desk.read("a.example\n");
        fs::set_permissions(desk.lists(), fs::Permissions::from_mode(0o770)).unwrap();
        let read = desk.read("a.example\n");
        assert!(matches!(&read.origin, Origin::NotKept { why } if why.contains("mode 0770")), "{:?}", read.origin);
        fs::set_permissions(desk.lists(), fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(desk.read("a.example\n").origin, Origin::Kept);
    }

    #[test]
    fn a_list_that_cannot_be_read_says_which_and_what_to_do() {
        let desk = Desk::new();
        let mut watched = Watched::default();
        let absent = desk.directory.path().join("absent.txt");
        let error = desk.shelf.read(&absent, &mut watched).unwrap_err();
        assert!(error.to_string().contains("absent.txt`: No such file"), "{error}");
        assert!(error.fix().starts_with("write `"), "{}", error.fix());
        assert_eq!(watched.files().collect::<Vec<_>>(), [absent.as_path()], "it is looked for again");
        let error = desk.shelf.read(desk.directory.path(), &mut watched).unwrap_err();
        assert!(matches!(error, ListError::NotAFile(_)) && error.fix().contains("plain text file"));
        let large = desk.list("");
        File::options().write(true).open(&large).unwrap().set_len(LIST_BYTES_MAX + 1).unwrap();
        let error = desk.shelf.read(&large, &mut watched).unwrap_err();
        assert_eq!(error.to_string(), format!("the list `{}` is larger than 512 MiB", large.display()));
    }
}

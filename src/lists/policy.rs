use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::parse::Problem;
use crate::policy::{BadLines, Compiled, FETCHED_LIST, Internal, Listed, NameCounts, NameSet, Policy, Sources};
use crate::upstream::KeyRing;

use super::credentials::read_credentials;
use super::feed_files::FeedFiles;
use super::shelf::{ListHash, Origin, Shelf, Shelved};
use super::watched::Watched;

/// The policy compiled in: it allows nothing.
const BUILT_IN: &str = include_str!("../../policy/default.toml");
/// The file that problems and reasons show for it.
const BUILT_IN_NAME: &str = "policy/default.toml";

/// A policy, the name of its file, and what its parents are shown.
#[derive(Debug)]
pub struct ReadPolicy {
    pub policy: Policy,
    pub credentials: KeyRing,
    /// The file that problems, reasons and records show.
    pub file: String,
    /// It is the one compiled in, and rests on no file.
    pub built_in: bool,
    /// The host lists that it names.
    pub lists: Vec<ReadList>,
    /// Lists that are to be fetched, are not here, and were taken as empty.
    pub unfetched: Vec<String>,
}

/// A host list that a policy names.
#[derive(Debug, Clone)]
pub struct ReadList {
    pub file: PathBuf,
    pub hash: ListHash,
    pub counts: NameCounts,
    /// Where there are some, the policy leaves them out.
    pub bad_lines: BadLines,
    /// Why it is not kept as it was compiled, where that is so: the next start takes longer.
    pub not_kept: Option<String>,
}

/// Where a gate has its policy from, and what it is given beyond its files: at the start and with each
/// reload the same.
#[derive(Debug, Clone)]
pub struct Source {
    /// Absent: the built-in policy.
    pub path: Option<PathBuf>,
    /// What the word `internal` in rules means; the config's `[internal]`.
    pub internal: Option<Arc<Internal>>,
    /// Whatever the file says, the policy only observes (`run --observe`).
    pub observe: bool,
    /// Where host lists are kept as they were compiled.
    pub shelf: Shelf,
    /// Where those are that were fetched.
    pub feeds: FeedFiles,
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read the policy file {}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    /// All that is wrong with it, at least one.
    #[error("the policy has {} problems", .0.len())]
    Problems(Vec<Problem>),
    /// Lists that were never fetched: what else is wrong is known once they are here. Without them a rule that
    /// denies what they name would let it out.
    #[error("lists have not been fetched yet: {}", .0.join(", "))]
    Unfetched(Vec<String>),
}

impl Source {
    /// The file that is shown for it.
    pub fn file(&self) -> String {
        shown(self.path.as_deref())
    }

    /// Reads and compiles it; each file looked at is entered in `watched`.
    ///
    /// # Errors
    /// As [`read_policy`], for a rule that does not fit what is internal, and for lists that were not fetched.
    pub fn read(&self, watched: &mut Watched) -> Result<ReadPolicy, ReadError> {
        let read = read_with(self.path.as_deref(), &self.shelf, &self.feeds, watched);
        let mut read = match read {
            (_, unfetched) if !unfetched.is_empty() => return Err(ReadError::Unfetched(unfetched)),
            (read, _) => read?,
        };
        read.policy = read.policy.with_internal(self.internal.as_deref()).map_err(ReadError::Problems)?;
        if self.observe {
            read.policy = read.policy.observing();
        }
        Ok(read)
    }

    /// Whether the policy on the disk takes another content of a list that is fetched: it compiles with that, and
    /// its cases hold. One that is wrong as it is says nothing against a list.
    ///
    /// # Errors
    /// The first problem that it has with the content alone.
    pub fn takes(&self, name: &str, content: PathBuf) -> Result<(), String> {
        let read = |feeds: &FeedFiles| {
            let (read, _) = read_with(self.path.as_deref(), &Shelf::new(None), feeds, &mut Watched::default());
            let policy = read?.policy;
            policy.with_internal(self.internal.as_deref()).map(drop).map_err(ReadError::Problems)
        };
        let Err(ReadError::Problems(problems)) = read(&self.feeds.with(name, content)) else { return Ok(()) };
        match (read(&self.feeds), problems.first()) {
            (Ok(()), Some(problem)) => Err(problem.to_string()),
            (Err(_), _) | (Ok(()), None) => Ok(()),
        }
    }

    /// Takes from the shelf what this policy, which is in force now, does not name.
    ///
    /// # Errors
    /// As [`Shelf::sweep`]; what is left takes room and does no harm.
    pub fn sweep(&self, read: &[ReadList]) -> io::Result<usize> {
        let hashes: Vec<_> = read.iter().map(|list| list.hash).collect();
        self.shelf.sweep(&hashes)
    }
}

/// Reads and compiles a policy, and reads the credentials it names; without a path, the built-in one. Rules that people approve
/// by a button, which there is none for yet, would be a file of the data directory, read here as a layer above this one, so that
/// `check`, `explain` and a reload see them as the gate does.
/// Each file looked at is entered in `watched`, whatever comes of it. Nothing is kept: who looks at a policy
/// need not have the gate's data directory. A list that was not fetched is taken as empty.
///
/// # Errors
/// The file cannot be read; or every problem of it and of the files of credentials.
pub fn read_policy(path: Option<&Path>, feeds: &FeedFiles, watched: &mut Watched) -> Result<ReadPolicy, ReadError> {
    let (read, unfetched) = read_with(path, &Shelf::new(None), feeds, watched);
    Ok(ReadPolicy { unfetched, ..read? })
}

/// What came of it, and which lists were taken as empty for it.
fn read_with(
    path: Option<&Path>,
    shelf: &Shelf,
    feeds: &FeedFiles,
    watched: &mut Watched,
) -> (Result<ReadPolicy, ReadError>, Vec<String>) {
    let text = match path {
        Some(path) => {
            watched.look(path);
            read_text(path).map_err(|source| ReadError::File { path: path.into(), source })
        }
        None => Ok(BUILT_IN.to_owned()),
    };
    let text = match text {
        Ok(text) => text,
        Err(error) => return (Err(error), Vec::new()),
    };
    let file = shown(path);
    let beside = Beside {
        watched: RefCell::new(watched),
        shelf,
        feeds,
        lists: RefCell::default(),
        listed: RefCell::default(),
        unfetched: RefCell::default(),
    };
    let root = crate::policy::Source { file: file.clone(), text };
    let policy = Policy::compile_from(root, &beside);
    let (lists, unfetched) = (beside.lists.into_inner(), beside.unfetched.into_inner());
    let read = policy.and_then(|policy| Ok((read_credentials(&policy, watched)?, policy)));
    let read = read.map(|(credentials, policy)| ReadPolicy {
        policy,
        credentials,
        file,
        built_in: path.is_none(),
        lists,
        unfetched: Vec::new(),
    });
    (read.map_err(ReadError::Problems), unfetched)
}

/// The files that a policy names, read where they lie: a relative path means a file beside the one that
/// names it.
struct Beside<'w> {
    watched: RefCell<&'w mut Watched>,
    shelf: &'w Shelf,
    feeds: &'w FeedFiles,
    lists: RefCell<Vec<ReadList>>,
    /// What was read once is not read again, where several groups name it.
    listed: RefCell<HashMap<PathBuf, Listed>>,
    unfetched: RefCell<Vec<String>>,
}

impl Beside<'_> {
    /// Where the list is that is to be fetched by this name; `None` where it is not here, and is taken as empty.
    fn fetched(&self, name: &str) -> Result<Option<PathBuf>, String> {
        let found = self.feeds.find(name)?;
        if let Some(path) = &found {
            self.watched.borrow_mut().look(path);
        }
        let found = found.filter(|path| path.exists());
        let mut unfetched = self.unfetched.borrow_mut();
        if found.is_none() && !unfetched.iter().any(|known| known == name) {
            unfetched.push(name.to_owned());
        }
        Ok(found)
    }
}

impl Sources for Beside<'_> {
    fn text(&self, from: &str, path: &str) -> Result<crate::policy::Source, String> {
        let path = beside(from, path);
        self.watched.borrow_mut().look(&path);
        let text = read_text(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(crate::policy::Source { file: path.display().to_string(), text })
    }

    fn names(&self, from: &str, path: &str) -> Result<Listed, String> {
        // One that was fetched is shown by its name: where it lies differs from gate to gate, and is nobody's
        // business who writes a policy.
        let (shown, path) = match path.strip_prefix(FETCHED_LIST) {
            Some(name) => match self.fetched(name)? {
                Some(found) => (path.to_owned(), found),
                None => return Ok(none_of(path)),
            },
            None => {
                let path = beside(from, path);
                (path.display().to_string(), path)
            }
        };
        if let Some(listed) = self.listed.borrow().get(&path) {
            return Ok(listed.clone());
        }
        let shelved = self.shelf.read(&path, &mut self.watched.borrow_mut()).map_err(|error| error.to_string())?;
        let Shelved { set, counts, bad_lines, hash, origin, .. } = shelved;
        let not_kept = match origin {
            Origin::NotKept { why } => Some(why),
            Origin::Kept | Origin::Compiled => None,
        };
        self.lists.borrow_mut().push(ReadList {
            file: path.clone(),
            hash,
            counts,
            bad_lines: bad_lines.clone(),
            not_kept,
        });
        let listed = Listed { file: shown, set, bad_lines, hash: hash.to_hex() };
        self.listed.borrow_mut().insert(path, listed.clone());
        Ok(listed)
    }
}

/// A list without a name in it.
fn none_of(file: &str) -> Listed {
    let Compiled { set, bad_lines, source, .. } = NameSet::compile(b"");
    Listed { file: file.to_owned(), set: set.into(), bad_lines, hash: ListHash(source).to_hex() }
}

/// The file that `from` names as `path`, by the plainest spelling of its path: a file that is named twice, or by
/// what it includes itself, is known by it.
fn beside(from: &str, path: &str) -> PathBuf {
    let written = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
    let mut plain = PathBuf::new();
    for component in written.components() {
        match (component, plain.components().next_back()) {
            (Component::ParentDir, Some(Component::Normal(_))) => _ = plain.pop(),
            _ => plain.push(component),
        }
    }
    // Behind a link to a directory, `..` leads elsewhere.
    match (fs::canonicalize(&written), fs::canonicalize(&plain)) {
        (Ok(one), Ok(other)) if one == other => plain,
        (Ok(_) | Err(_), _) => written,
    }
}

/// The largest policy that is read: some hundred thousand rules.
const TEXT_BYTES_MAX: u64 = 64 << 20;

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = fs::File::open(path)?.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > TEXT_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {} MiB", TEXT_BYTES_MAX >> 20)));
    }
    Ok(text)
}

fn shown(path: Option<&Path>) -> String {
    path.map_or_else(|| BUILT_IN_NAME.to_owned(), |path| path.display().to_string())
}

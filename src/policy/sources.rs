//! The files that a policy is made of: its own, what it includes, and the base it stands on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::parse::{Document, Problem};

use super::names::{BadLines, NameSet};

/// Reads what a policy names beside itself. This room reads no files: whoever compiles does.
pub trait Sources {
    /// The text of the file that `from` names as `path`; a relative path means a file beside `from`.
    ///
    /// # Errors
    /// Why it cannot be had, in words for the person who named it.
    fn text(&self, from: &str, path: &str) -> Result<Source, String>;

    /// The list of host names that `from` names as `path`.
    ///
    /// # Errors
    /// As of [`Self::text`].
    fn names(&self, from: &str, path: &str) -> Result<Listed, String>;
}

/// What a file of a host group begins with where it is no file, but the name of a list that the config has
/// fetched.
pub const FETCHED_LIST: &str = "list:";

/// A list of host names.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The name that is shown for it.
    pub file: String,
    pub set: Arc<NameSet>,
    /// No part of them is in the set.
    pub bad_lines: BadLines,
    /// Of its content, in hexadecimal.
    pub hash: String,
}

/// A text, and the name that problems and reasons show for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub file: String,
    pub text: String,
}

/// For a policy of one file: nothing beside it can be had.
#[derive(Debug)]
pub struct Alone;

const NOT_READ: &str = "this policy was read alone, without the files beside it";

/// Files of one layer; more is a mistake.
const FILES_MAX: usize = 64;

/// The texts of a layer, in the order in which their rules stand.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) sources: Vec<Source>,
    /// Why an include was not taken, by the file that names it and its number there.
    unread: HashMap<(String, usize), String>,
}

impl Sources for Alone {
    fn text(&self, _: &str, _: &str) -> Result<Source, String> {
        Err(NOT_READ.to_owned())
    }

    fn names(&self, _: &str, _: &str) -> Result<Listed, String> {
        Err(NOT_READ.to_owned())
    }
}

impl Texts {
    /// Reads all that `root` includes, and what that includes: each before the file that names it.
    pub(super) fn gather(root: Source, sources: &dyn Sources) -> Self {
        let mut texts = Self { sources: Vec::new(), unread: HashMap::new() };
        let mut seen = HashSet::from([root.file.clone()]);
        texts.take(root, sources, &mut seen);
        texts
    }

    fn take(&mut self, source: Source, sources: &dyn Sources, seen: &mut HashSet<String>) {
        for (number, path) in includes(&source).into_iter().enumerate() {
            let read = if seen.len() >= FILES_MAX {
                Err(format!("a policy has at most {FILES_MAX} files"))
            } else {
                sources.text(&source.file, &path)
            };
            let taken = read.and_then(|included| match seen.insert(included.file.clone()) {
                true => Ok(included),
                false => Err("it is a part of this policy already".to_owned()),
            });
            match taken {
                Ok(included) => self.take(included, sources, seen),
                Err(why) => {
                    self.unread.insert((source.file.clone(), number), why);
                }
            }
        }
        self.sources.push(source);
    }

    /// Why the include of this number, from 0, was not taken, if it was not.
    pub(super) fn unread(&self, file: &str, number: usize) -> Option<&str> {
        self.unread.get(&(file.to_owned(), number)).map(String::as_str)
    }
}

fn includes(source: &Source) -> Vec<String> {
    let document = Document::parse(&source.file, &source.text);
    let paths = document.root().strings("include").unwrap_or_default();
    paths.into_iter().map(|path| path.value).collect()
}

/// The base that a policy names in its head, and its text.
///
/// # Errors
/// A problem at the place where it is named.
pub(super) fn base_of(root: &Source, sources: &dyn Sources) -> Result<Option<Source>, Box<Problem>> {
    let document = Document::parse(&root.file, &root.text);
    let mut section = document.root();
    let Some(path) = section.table("policy").and_then(|mut head| head.string("base")) else { return Ok(None) };
    sources.text(&root.file, &path.value).map(Some).map_err(|why| {
        Box::new(Problem {
            place: path.place,
            what: format!("the base `{}` cannot be read: {why}", path.value),
            fix: "name a policy file beside this one, or take `base` away".to_owned(),
        })
    })
}

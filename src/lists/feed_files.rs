use std::path::PathBuf;
use std::sync::Arc;

use crate::parse::did_you_mean;

use super::feed::Feed;
use super::kept::Kept;

/// What `list:NAME` in a policy leads to. As it is made by default no config is at hand that says so: any list
/// may be meant, and none is here.
#[derive(Debug, Clone, Default)]
pub struct FeedFiles {
    known: Option<(Arc<[String]>, Kept)>,
    /// One list that is looked for elsewhere.
    instead: Option<(String, PathBuf)>,
}

impl FeedFiles {
    /// The lists that a config has fetched.
    pub fn of(feeds: &[Feed], kept: Kept) -> Self {
        let names = feeds.iter().map(|feed| feed.name.clone()).collect();
        Self { known: Some((names, kept)), instead: None }
    }

    /// The same with another file for one of them.
    pub(super) fn with(&self, name: &str, path: PathBuf) -> Self {
        Self { instead: Some((name.to_owned(), path)), ..self.clone() }
    }

    /// Where the list of this name is, or will be.
    ///
    /// # Errors
    /// The config knows none of that name.
    pub(super) fn find(&self, name: &str) -> Result<Option<PathBuf>, String> {
        if let Some((_, path)) = self.instead.as_ref().filter(|(instead, _)| instead == name) {
            return Ok(Some(path.clone()));
        }
        let Some((names, kept)) = &self.known else { return Ok(None) };
        if names.iter().any(|known| known == name) {
            return Ok(Some(kept.path(name)));
        }
        let hint = did_you_mean(name, names.iter().map(String::as_str));
        let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        Err(format!("the config has no list of that name fetched{hint}"))
    }
}

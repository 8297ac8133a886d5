use std::io;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::facts::Timestamp;
use crate::policy::LIST_BYTES_MAX;
use crate::tls::{self, NoRoots};
use crate::upstream::{Errand, ErrandError, Errands, HttpsUrl, Purpose};

use super::feed::{Feed, NoProof, Proof, Signed, Sum, announced_sum, verify_signature};
use super::kept::{FeedState, Kept};

/// Fetches lists, and holds each to its proof.
pub struct Fetcher {
    errands: Errands,
    kept: Kept,
}

/// What came of asking a source.
#[derive(Debug)]
pub enum Fetched {
    /// What is kept is what is there.
    Unchanged(FeedState),
    /// Another content is there. It is held beside the one that is kept, for [`Kept::take`].
    New(FeedState),
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Roots(#[from] NoRoots),
    #[error("{url}: {error}")]
    Errand { url: String, error: ErrandError },
    #[error(transparent)]
    Proof(#[from] NoProof),
    #[error("it cannot be kept in the data directory: {0}")]
    Kept(#[from] io::Error),
}

/// Of a file of checksums, or a signature.
const PROOF_BYTES_MAX: u64 = 1 << 20;

/// What must be so of a content before it is taken.
enum Announced<'a> {
    Sum(Sum),
    Signature { text: String, key: &'a minisign_verify::PublicKey, at: &'a HttpsUrl },
}

impl Fetcher {
    pub fn new(errands: Errands, kept: Kept) -> Self {
        Self { errands, kept }
    }

    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Asks the source of a list what its content is, and gets that where it is another than the one kept.
    /// A proof that announces what is kept already spares the content.
    ///
    /// # Errors
    /// The source cannot be reached, its proof does not hold, or the content cannot be held.
    pub async fn fetch(&self, feed: &Feed, before: FeedState, now: Timestamp) -> Result<Fetched, FetchError> {
        // Read anew each time: the system's roots change while a gate runs.
        let tls = tls::client(&feed.roots)?;
        let known = before.source == feed.source();
        let announced = self.announced(feed, &tls).await?;
        let is_kept = match &announced {
            Announced::Sum(sum) => before.sha256 == sum.to_hex(),
            Announced::Signature { text, .. } => before.signature.as_ref() == Some(text),
        };
        if known && is_kept {
            return Ok(Fetched::Unchanged(FeedState { checked_at: now.0, failure: None, ..before }));
        }
        let content = self.get(feed, &feed.url, &tls, LIST_BYTES_MAX).await?;
        let sum = Sum::of(&content);
        let signed = match announced {
            Announced::Sum(announced) if announced == sum => None,
            Announced::Sum(announced) => {
                return Err(NoProof::OtherSum { announced: announced.to_hex(), found: sum.to_hex() }.into());
            }
            Announced::Signature { text, key, at } => {
                let kept = before.signed_at.filter(|_| known);
                Some(verify_signature(&content, &text, (key, at), kept)?)
            }
        };
        let (signature, signed_at) = match signed {
            Some(Signed { text, at }) => (Some(text), at),
            None => (None, None),
        };
        let state = FeedState {
            source: feed.source(),
            sha256: sum.to_hex(),
            bytes: content.len() as u64,
            signature,
            signed_at,
            changed_at: now.0,
            checked_at: now.0,
            failure: None,
        };
        // Signed anew, or from another source, with the same content.
        if before.sha256 == state.sha256 && self.kept.path(&feed.name).exists() {
            return Ok(Fetched::Unchanged(FeedState { changed_at: before.changed_at, ..state }));
        }
        self.kept.hold(&feed.name, &content)?;
        Ok(Fetched::New(state))
    }

    async fn announced<'a>(&self, feed: &'a Feed, tls: &Arc<ClientConfig>) -> Result<Announced<'a>, FetchError> {
        match &feed.proof {
            Proof::Sha256(sum) => Ok(Announced::Sum(*sum)),
            Proof::Sha256At(at) => {
                let checksums = self.get(feed, at, tls, PROOF_BYTES_MAX).await?;
                Ok(Announced::Sum(announced_sum(&checksums, &feed.url, at)?))
            }
            Proof::Minisign { key, at, .. } => {
                let text = self.get(feed, at, tls, PROOF_BYTES_MAX).await?;
                let text = String::from_utf8(text)
                    .map_err(|_| NoProof::NoSignature { at: at.to_string(), why: "it is no text".to_owned() })?;
                Ok(Announced::Signature { text, key, at })
            }
        }
    }

    async fn get(
        &self,
        feed: &Feed,
        url: &HttpsUrl,
        tls: &Arc<ClientConfig>,
        bytes_max: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let errand = Errand { purpose: Purpose::List, url, tls, opened: &feed.opened, bytes_max };
        self.errands.get(errand).await.map_err(|error| FetchError::Errand { url: url.to_string(), error })
    }
}

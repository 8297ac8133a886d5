//! Authentication to the proxy (407; RFC 9110 §11.7): Basic and Digest against files of users.
//!
//! In: the files, and what a request brings. Out: who its user is, or what the client is to be told; beside that,
//! grounds for findings. Hashing takes long, so it is a [`Job`] that the caller runs where it may block.
//!
//! What stands against guessing: wrong guesses are counted by client and by name before anything is hashed, and
//! beyond the count nobody looks whether they are right; a name that nobody has costs what any name costs; what is
//! compared is compared in constant time. What stands against stealing: passwords are wiped after use, nothing
//! here shows a password or a hash, and a response of Digest is good once.

mod basic;
mod digest;
mod fault;
mod hash;
mod nonce;
mod remembered;
mod scheme;
mod secret;
mod settings;
mod signs;
mod throttle;
mod users;
mod verifier;

pub use basic::{NAME_BYTES_MAX, PASSWORD_BYTES_MAX, Password, parse_basic};
pub use digest::Algorithm;
pub use fault::AuthFault;
pub use hash::{PasswordHash, Unfit, same as same_bytes};
pub use nonce::{NONCE_LIFETIME, NONCES_MAX, StaleNonce};
pub use scheme::{CREDENTIALS_BYTES_MAX, Scheme};
pub use secret::Secret;
pub use settings::{Realm, Settings};
pub use signs::{Ground, SERIES_SPAN, TOGETHER_SPAN};
pub use throttle::{Allowance, Throttle};
pub use users::{FILE_BYTES_MAX, LINE_BYTES_MAX, MEMBERS_MAX, Texts, USERS_MAX, Users};
pub use verifier::{
    Asked, JOBS_MAX, Job, JobDone, Judged, REMEMBERED, REMEMBERED_MAX, Step, Verdict, Verifier, WAITING_MAX,
};

//! TLS: whom the gate trusts at the other end of a connection of its own, and what it shows to clients where it
//! looks inside.
//!
//! In: which roots and revocation lists; the files of an authority; hosts. Out: for clients a configuration a host,
//! with a certificate minted for it ([`Minter`]); for origins a handshake, or what is wrong with them
//! ([`OriginTls`]). Servers are verified by the roots and by nothing else: there is no way to have it look away. The
//! key of an authority never leaves. It opens no socket, and decides nothing of an exchange.

mod asking;
mod authority;
mod client;
mod der;
mod fault;
mod keep;
mod mint;
mod origin;
#[doc(hidden)]
pub mod properties;
mod proxy;
mod reach;
mod server;
mod signer;
mod stream;

pub use asking::{Asked, Asking};
pub use authority::{Authority, AuthorityCertificate, AuthorityError, NotAPair, Terms, fingerprint};
pub use client::{NoRoots, Roots, client, client_of_any};
pub use fault::{CertificateFault, OriginFault};
pub use keep::{Authorities, AuthorityFiles, pem_of};
pub use mint::Minter;
pub use origin::{Handshake, OriginTls, Trust, origin_config};
pub use proxy::{PairError, proxy_config};
pub use reach::{Pinned, Reach, Reached, Refusal, Seen};
pub use server::Offered;
pub use signer::{CannotSign, Signer};
pub(crate) use stream::write_through;
pub use stream::{FarEnd, Piped, ReadHalf, Rewound, Stream, WriteHalf};

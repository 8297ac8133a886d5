//! What must hold for any bytes at all. Fuzz targets call these functions and so do tests; the
//! gate does not.
//!
//! Each function panics when its property does not hold.

mod alike;
mod first;
mod head;
mod hello;
mod http2;
mod target;

pub use alike::read_alike;
pub use first::first_bytes;
pub use head::{chunked, head, response};
pub use hello::client_hello;
pub use http2::http2_opening;
pub use target::target;

#[cfg(test)]
mod tests;

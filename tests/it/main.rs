//! The gate as a whole, on real sockets and a real journal.

mod gate;
mod wire;

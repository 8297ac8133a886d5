//! Lines of other programs' logs, read into [`Observed`] and written from it.
//!
//! In: one line at a time, as bytes that anybody may have written, to a [`Reader`], which finds out by itself which
//! format they are in. Out: what the line tells of a client and what it asked for; or that the line is one of our own
//! journal, that it tells nothing, or what is wrong with it. Text is borrowed from the line, or from the reader where
//! something had to be undone.
//!
//! | format | what is read | when it began |
//! |---|---|---|
//! | Squid's native `access.log` | a request, or a whole tunnel | the time logged, less what it took |
//! | Squid's and Apache's `combined` and `common` | the same; how long it took is not in it | the time logged, to the second: with Squid that of its end |
//! | Zeek `http.log`, as a table or JSON | a request; CONNECT as a tunnel | `ts` |
//! | Zeek `ssl.log` | a TLS connection | `ts` |
//! | Zeek `conn.log` | a TCP or UDP connection | `ts` |
//!
//! Lines of other Zeek logs are passed over. Zeek names each connection: its `uid`, hashed, is
//! the [`id`](Observed::id) of lines of `conn.log` and `ssl.log`, and what lines of `http.log` are
//! [`inside`](Observed::inside) of.
//!
//! Beside them, what says which device a client is, as files read whole: leases of Kea and dnsmasq, and an administrator's
//! table, see [`read_kea`], [`read_dnsmasq`] and [`read_table`].
//!
//! And lines that other firewalls send by syslog, of what they stopped or let through: those of the Linux kernel, and those
//! of `key=value`, see [`read_firewall_line`]; [`Frames`] takes a stream of them apart.
//!
//! Hosts are in lower case without a trailing dot, and IPv6 literals in brackets, as in our own records, so that hosts
//! of several logs compare. Passwords in URLs, and queries, are left out.
//!
//! Never: opens or unpacks a file, splits it into lines, puts lines into order, or joins lines of one connection.

mod fault;
mod leases;
mod text;
mod time;
mod target;
mod sniff;
mod squid;
mod combined;
mod zeek;
mod reader;
mod write;
mod csv;
mod syslog;
#[doc(hidden)]
pub mod properties;

pub use csv::csv_row;
pub use fault::Fault;
pub use leases::{
    BadLease, DEVICES_MAX, Lease, LeaseFault, Leases, TableEntry, assignments, changes, read_dnsmasq, read_kea,
    read_table,
};
pub use reader::{BadLine, LINE_BYTES_MAX, Line, Reader, SAMPLE_MAX, Tally};
pub use sniff::Format;
pub use syslog::{FRAME_BYTES_MAX, FirewallLine, Frame, Frames, read_firewall_line};
pub use time::{Zone, Zones};
pub use write::{
    Connection, ConnectionState, write_squid, write_zeek_conn, write_zeek_conn_header, write_zeek_http,
    write_zeek_http_header,
};
pub use zeek::zeek_flow;

use crate::evidence::Observed;

/// What a line told.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and a box would be made for each line")]
enum Told<'a> {
    /// And the zone that its time was in.
    Of(Observed<'a>, Zone),
    Journal,
    /// It is well-formed, and tells of no client that asked for something.
    Nothing,
}

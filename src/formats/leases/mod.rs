//! Files that say which device a client is: leases, whose names clients choose, and a table, whose names an administrator
//! gives.
//!
//! In: a file, whole. Out: who had which address from when to when, and what changed since it was read before. All that
//! stands in leases is hostile: names are bounded, and shown only escaped.

mod changes;
mod dnsmasq;
mod kea;
mod table;

use std::net::IpAddr;

use crate::evidence::{Text, recorded_time};
use crate::facts::Timestamp;

pub use changes::{assignments, changes};
pub use dnsmasq::read_dnsmasq;
pub use kea::read_kea;
pub use table::{TableEntry, read_table};

/// So many leases, or entries of a table, are taken from a file; more are counted.
pub const DEVICES_MAX: usize = 100_000;
/// A longer line is none.
const LINE_BYTES_MAX: usize = 4096;
/// A longer name, or hardware address, is cut.
const NAME_BYTES_MAX: usize = 255;

/// An address that is lent to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub address: IpAddr,
    /// What the client calls itself.
    pub name: Option<Text>,
    /// Its hardware address, or DUID, in lower case.
    pub hardware: Option<Text>,
    /// When it was lent, or the lease renewed; absent where the file does not say.
    pub since: Option<Timestamp>,
    /// When it ends unless it is renewed; absent: never.
    pub until: Option<Timestamp>,
}

/// What a file of leases says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leases {
    pub leases: Vec<Lease>,
    /// Lines that are none.
    pub bad: u64,
    /// The first of them.
    pub first_bad: Option<BadLease>,
    /// Leases that were left out, as there are more than [`DEVICES_MAX`].
    pub beyond: u64,
}

/// A line that is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLease {
    /// From 1.
    pub line: u64,
    pub fault: LeaseFault,
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeaseFault {
    #[error("it is too long")]
    Long,
    #[error("it has too few fields")]
    Fields,
    #[error("its address is none")]
    Address,
    #[error("a number in it is none")]
    Number,
    /// Of a Kea file: the first line names the columns.
    #[error("the file has no column `{0}`")]
    Column(&'static str),
}

impl Leases {
    fn is_bad(&mut self, line: u64, fault: LeaseFault) {
        self.bad = self.bad.saturating_add(1);
        self.first_bad.get_or_insert(BadLease { line, fault });
    }
}

/// Lines with their numbers, from 1; a line end of Windows is no part of them.
fn lines(text: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    (1..).zip(text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)))
}

/// What is written there, bounded; `None` for nothing.
fn text(bytes: &[u8]) -> Option<Text> {
    let bytes = bytes.get(..NAME_BYTES_MAX).unwrap_or(bytes);
    (!bytes.is_empty()).then(|| Text::new(bytes))
}

/// A hardware address in lower case, with `:` between its octets: `AA-BB-…` and `aa:bb:…` are the same.
fn hardware(bytes: &[u8]) -> Option<Text> {
    let is_plain = bytes.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b':'));
    let has_pairs = bytes.split(|byte| matches!(byte, b'-' | b':')).all(|pair| pair.len() == 2);
    if is_plain && has_pairs && !bytes.contains(&b':') {
        let colons: Vec<u8> = bytes.iter().map(|byte| if *byte == b'-' { b':' } else { *byte }).collect();
        return text(&colons.to_ascii_lowercase());
    }
    text(&bytes.to_ascii_lowercase())
}

/// An address as text; one of IPv4 within IPv6 is that of IPv4.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(bytes).ok()?.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Decimal digits alone.
fn number(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

/// Seconds since 1970.
fn moment(seconds: u64) -> Timestamp {
    recorded_time(Timestamp(seconds.saturating_mul(1_000_000)))
}

#[cfg(test)]
mod tests;

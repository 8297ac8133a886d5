//! JA4, the fingerprint of a TLS client, and a coarser key that all hellos of one program share.
//!
//! JA4 is specified in FoxIO's `technical_details/JA4.md` (BSD-3-Clause). Only the TLS-client
//! method is here: the other JA4+ methods are licensed differently and must not be added.

use sha2::{Digest, Sha256};

/// What JA4 stands for when a list is absent or holds nothing but GREASE.
const EMPTY_HASH: &str = "000000000000";

/// Two decimal digits are all JA4 has for a count.
const COUNT_MAX: usize = 99;

const SERVER_NAME: u16 = 0x0000;
const ALPN: u16 = 0x0010;

/// What a ClientHello offers, in the order of the wire and with GREASE still in it.
pub(super) struct Offer<'a> {
    /// Highest offered version as on the wire, already without GREASE.
    pub(super) version: u16,
    pub(super) ciphers: &'a [u16],
    /// Types of all extensions.
    pub(super) extensions: &'a [u16],
    pub(super) signature_algorithms: &'a [u16],
    pub(super) groups: &'a [u16],
    /// The first protocol name of ALPN.
    pub(super) alpn_first: Option<&'a [u8]>,
}

impl Offer<'_> {
    /// The JA4 of a TLS client over TCP, such as `t13d1517h2_8daaf6152771_cb7bf5808d99`.
    ///
    /// GREASE is dropped from every list, signature algorithms included: Chromium puts one of 16
    /// values there, so an implementation that keeps it sees one browser as sixteen.
    pub(super) fn ja4(&self) -> Box<str> {
        let ciphers = sorted(without_grease(self.ciphers));
        let extensions = without_grease(self.extensions);
        let server = if extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
        let head = format!(
            "t{}{server}{:02}{:02}{}",
            version_digits(self.version),
            ciphers.len().min(COUNT_MAX),
            extensions.len().min(COUNT_MAX),
            alpn_ends(self.alpn_first),
        );

        // Both are in the head already, and leaving them out keeps the last part the same for one
        // program whether it goes to a name or an address.
        let hashed: Vec<u16> = extensions.into_iter().filter(|kind| ![SERVER_NAME, ALPN].contains(kind)).collect();
        let mut tail = hex_list(&sorted(hashed));
        let signatures = hex_list(&without_grease(self.signature_algorithms));
        if !signatures.is_empty() {
            tail = format!("{tail}_{signatures}");
        }
        format!("{head}_{}_{}", short_hash(&hex_list(&ciphers)), short_hash(&tail)).into()
    }

    /// `hash(ciphers)_hash(signature algorithms)_hash(groups)`: what one program's hellos have in
    /// common where its JA4 changes with resumption, WebSockets, retries or an address as target.
    ///
    /// Ciphers are sorted as in JA4; signature algorithms and groups keep the order offered, which
    /// is a preference and tells TLS libraries apart. An absent list is twelve zeros.
    pub(super) fn stable_key(&self) -> Box<str> {
        format!(
            "{}_{}_{}",
            short_hash(&hex_list(&sorted(without_grease(self.ciphers)))),
            short_hash(&hex_list(&without_grease(self.signature_algorithms))),
            short_hash(&hex_list(&without_grease(self.groups))),
        )
        .into()
    }
}

/// One of the sixteen values RFC 8701 reserves so that peers learn to ignore what they do not know.
pub(super) fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

fn without_grease(values: &[u16]) -> Vec<u16> {
    values.iter().copied().filter(|value| !is_grease(*value)).collect()
}

fn sorted(mut values: Vec<u16>) -> Vec<u16> {
    values.sort_unstable();
    values
}

fn version_digits(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// First and last character of the first protocol name; of its hexadecimal form when either end is
/// not an ASCII letter or digit.
fn alpn_ends(name: Option<&[u8]>) -> String {
    let (Some(&first), Some(&last)) = (name.and_then(<[u8]>::first), name.and_then(<[u8]>::last)) else {
        return "00".to_owned();
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [first, last].map(char::from).iter().collect();
    }
    format!("{:x}{:x}", first >> 4, last & 0x0f)
}

fn hex_list(values: &[u16]) -> String {
    values.iter().map(|value| format!("{value:04x}")).collect::<Vec<_>>().join(",")
}

fn short_hash(text: &str) -> String {
    if text.is_empty() {
        return EMPTY_HASH.to_owned();
    }
    Sha256::digest(text.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;

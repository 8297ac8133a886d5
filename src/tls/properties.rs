//! What must hold for any bytes at all. The fuzz target calls these functions and so do tests; the gate does not.
//!
//! Each function panics when its property does not hold.

use super::der::{Elements, Outline};

/// 2.5.29.17.
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Bytes that may be a certificate: what is read of them lies within them, and reading ends.
pub fn certificate(bytes: &[u8]) {
    if let Some(outline) = Outline::read(bytes) {
        assert!(outline.issuer.len() + outline.subject.len() <= bytes.len());
        if let Some(bits) = outline.rsa_bits() {
            assert!(bits <= bytes.len() * 8, "a key of {bits} bits in {} bytes", bytes.len());
        }
        let _ = (outline.only_common_name(), outline.extension(SUBJECT_ALTERNATIVE_NAME));
    }
    let mut left = bytes.len();
    for (_, content) in Elements(bytes) {
        // Each takes its tag and its length at least.
        left = left.checked_sub(content.len() + 2).expect("an element is longer than what it is in");
    }
}

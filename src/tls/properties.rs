//! What must hold for any bytes at all where a certificate is read. The fuzz target calls this and so do tests; the gate
//! does not.
//!
//! It panics when its property does not hold.

use rustls::pki_types::CertificateDer;

use crate::facts::{Host, Timestamp};

use super::authority::AuthorityCertificate;
use super::der::{Elements, Outline};

/// The last second of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// Any bytes as a certificate.
///
/// What is read lies within the bytes, in as many elements as there is room for. What stands behind the certificate
/// changes nothing, and without its last octet it is none. What an authority may name is told of any host.
pub fn certificate(bytes: &[u8]) {
    let mut left = bytes.len();
    for (_, content) in Elements(bytes) {
        lies_within(content, bytes);
        // Each takes its tag and its length at least.
        left = left.checked_sub(content.len() + 2).expect("an element is longer than what it is in");
    }
    let Some(outline) = Outline::read(bytes) else { return };
    for part in [outline.issuer, outline.subject, outline.key] {
        lies_within(part, bytes);
    }
    assert!(outline.not_before <= LAST_SECOND && outline.not_after <= LAST_SECOND);
    assert!(outline.rsa_bits().is_none_or(|bits| 0 < bits && bits <= outline.key.len() * 8));
    if let Some(name) = outline.only_common_name() {
        lies_within(name.as_bytes(), outline.subject);
    }
    // subjectAltName, basicConstraints, nameConstraints, and none.
    for identifier in [&[0x55, 0x1d, 0x11][..], &[0x55, 0x1d, 0x13], &[0x55, 0x1d, 0x1e], &[]] {
        if let Some(value) = outline.extension(identifier) {
            lies_within(value.0, bytes);
        }
    }
    let mut first = Elements(bytes);
    first.next();
    let length = bytes.len() - first.0.len();
    let read = |bytes: &[u8]| Outline::read(bytes).map(|outline| format!("{outline:?}"));
    assert_eq!(read(&bytes[..length]), Some(format!("{outline:?}")));
    assert_eq!(read(&bytes[..length - 1]), None);
    authority(bytes, &outline);
}

fn authority(bytes: &[u8], outline: &Outline<'_>) {
    let Some(found) = AuthorityCertificate::read(CertificateDer::from(bytes.to_vec())) else { return };
    assert_eq!((&**found.der(), Some(found.subject())), (bytes, outline.only_common_name()));
    assert_eq!(found.not_after(), Timestamp(outline.not_after * 1_000_000));
    for name in [&b"a.example"[..], b"192.0.2.1", b"[2001:db8::1]"] {
        let Ok(host) = Host::parse(name) else { continue };
        let excluded = found.excluded().iter().any(|tree| tree == "a.example");
        assert!(!(excluded && host.address().is_none() && found.may_name(&host)));
    }
}

fn lies_within(part: &[u8], whole: &[u8]) {
    let (inner, outer) = (part.as_ptr_range(), whole.as_ptr_range());
    assert!(outer.start <= inner.start && inner.end <= outer.end, "what is read is of the bytes");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn seeds() -> Vec<Vec<u8>> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/certificate");
        fs::read_dir(directory).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn it_holds_for_every_seed_and_each_kind_is_among_them() {
        let seeds = seeds();
        seeds.iter().for_each(|seed| certificate(seed));
        let outlines: Vec<_> = seeds.iter().filter_map(|seed| Outline::read(seed)).collect();
        assert!(outlines.iter().any(|outline| outline.rsa_bits() == Some(2048)));
        let authorities =
            seeds.iter().filter_map(|seed| AuthorityCertificate::read(CertificateDer::from(seed.clone())));
        assert!(authorities.filter(|found| !found.permitted().is_empty()).count() > 0);
    }

    proptest! {
        #[test]
        fn it_holds_for_certificates_with_other_octets_in_them(
            seed in any::<proptest::sample::Index>(),
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
            more in proptest::collection::vec(any::<u8>(), 0..4),
        ) {
            let seeds = seeds();
            let mut bytes = [&*seeds[seed.index(seeds.len())], &more].concat();
            for (place, octet) in changes {
                let place = place.index(bytes.len());
                bytes[place] = octet;
            }
            certificate(&bytes);
        }
    }
}

//! As much of X.509 as is asked here: who a certificate is from and for, until when, and with what key.
//!
//! Read after, or beside, a verification by webpki and never instead of it: nothing is trusted for what is
//! read here. Certificates of strangers pass through, so every length is checked and nothing recurses.

/// Elements of DER, one behind the other (X.690 §8.1, definite lengths).
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'a>(pub(super) &'a [u8]);

/// The tags that are asked for.
pub(super) mod tag {
    pub(in crate::tls) const BOOLEAN: u8 = 0x01;
    pub(in crate::tls) const INTEGER: u8 = 0x02;
    pub(in crate::tls) const BIT_STRING: u8 = 0x03;
    pub(in crate::tls) const OCTET_STRING: u8 = 0x04;
    pub(in crate::tls) const OID: u8 = 0x06;
    pub(in crate::tls) const UTF8_STRING: u8 = 0x0c;
    pub(in crate::tls) const UTC_TIME: u8 = 0x17;
    pub(in crate::tls) const GENERALIZED_TIME: u8 = 0x18;
    pub(in crate::tls) const SEQUENCE: u8 = 0x30;
    pub(in crate::tls) const SET: u8 = 0x31;

    /// A context-specific tag that holds others.
    pub(in crate::tls) const fn holding(number: u8) -> u8 {
        0xa0 | number
    }

    /// A context-specific tag that holds a value itself.
    pub(in crate::tls) const fn plain(number: u8) -> u8 {
        0x80 | number
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    /// The next element: its tag and its content. `None` at the end, and where what follows is no element.
    fn next(&mut self) -> Option<Self::Item> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
                (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

impl<'a> Elements<'a> {
    /// The content of the next element, where it has this tag.
    pub(super) fn read(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (found, content) = ahead.next()?;
        (found == tag).then(|| {
            *self = ahead;
            content
        })
    }

    /// What is within the next element, where it has this tag.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Elements<'a>> {
        self.read(tag).map(Elements)
    }
}

/// The parts of a certificate that are asked for, as they stand (RFC 5280 §4.1).
#[derive(Debug)]
pub(super) struct Outline<'a> {
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    /// Seconds since 1970.
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    /// The subject's public key: the bits, without the algorithm.
    pub(super) key: &'a [u8],
    is_rsa: bool,
    extensions: Elements<'a>,
}

/// `rsaEncryption`, 1.2.840.113549.1.1.1.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

impl<'a> Outline<'a> {
    /// Reads the outline of a certificate in DER; `None` where it is none.
    pub(super) fn read(certificate: &'a [u8]) -> Option<Self> {
        let mut fields = Elements(certificate).enter(tag::SEQUENCE)?.enter(tag::SEQUENCE)?;
        fields.read(tag::holding(0));
        fields.read(tag::INTEGER)?;
        fields.read(tag::SEQUENCE)?;
        let issuer = fields.read(tag::SEQUENCE)?;
        let mut validity = fields.enter(tag::SEQUENCE)?;
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        let subject = fields.read(tag::SEQUENCE)?;
        let mut key_info = fields.enter(tag::SEQUENCE)?;
        let is_rsa = key_info.enter(tag::SEQUENCE)?.read(tag::OID)? == RSA;
        // The first octet of a bit string counts the bits that its last one lacks: none, in keys.
        let key = key_info.read(tag::BIT_STRING)?.strip_prefix(&[0])?;
        let extensions = fields.find(|(found, _)| *found == tag::holding(3));
        let extensions = extensions.and_then(|(_, content)| Elements(content).enter(tag::SEQUENCE));
        Some(Self {
            issuer,
            subject,
            not_before,
            not_after,
            key,
            is_rsa,
            extensions: extensions.unwrap_or(Elements(&[])),
        })
    }

    /// The value of an extension, by its object identifier in DER.
    pub(super) fn extension(&self, identifier: &[u8]) -> Option<Elements<'a>> {
        self.extensions.filter(|(tag, _)| *tag == tag::SEQUENCE).find_map(|(_, content)| {
            let mut parts = Elements(content);
            (parts.read(tag::OID)? == identifier).then_some(())?;
            parts.find(|(tag, _)| *tag == tag::OCTET_STRING).map(|(_, value)| Elements(value))
        })
    }

    /// The common name, where the subject is that alone, in UTF-8.
    pub(super) fn only_common_name(&self) -> Option<&'a str> {
        /// `id-at-commonName`, 2.5.4.3.
        const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
        let mut names = Elements(self.subject);
        let mut name = names.enter(tag::SET)?.enter(tag::SEQUENCE)?;
        let is_common = name.read(tag::OID)? == COMMON_NAME && names.0.is_empty();
        let text = name.read(tag::UTF8_STRING).filter(|_| is_common)?;
        std::str::from_utf8(text).ok()
    }

    /// How many bits the modulus of an RSA key has; `None` of other keys.
    pub(super) fn rsa_bits(&self) -> Option<usize> {
        let modulus = self.is_rsa.then(|| Elements(self.key).enter(tag::SEQUENCE)?.read(tag::INTEGER)).flatten()?;
        let first = modulus.iter().position(|octet| *octet != 0)?;
        let zeros = usize::try_from(modulus[first].leading_zeros()).ok()?;
        Some((modulus.len() - first) * 8 - zeros)
    }
}

/// Seconds since 1970 of a `Time` (RFC 5280 §4.1.2.5). What is before 1970 reads 0.
fn time((found, text): (u8, &[u8])) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match found {
        tag::UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        tag::UTC_TIME => format!("19{text}"),
        tag::GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let read = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    let second = read.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    Some(u64::try_from(second).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(until: i32) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "関所");
        params.not_before = date_time_ymd(1975, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        (params.self_signed(&key).unwrap().der().to_vec(), key)
    }

    #[test]
    fn an_outline_says_what_the_certificate_was_made_with() {
        // 2049 is written with two digits of the year, 2050 with four (RFC 5280 §4.1.2.5).
        for (until, seconds) in [(2049, 2_493_072_000), (2050, 2_524_608_000), (9999, 253_370_764_800)] {
            let (der, key) = certificate(until);
            let outline = Outline::read(&der).unwrap();
            assert_eq!(outline.only_common_name(), Some("関所"));
            assert_eq!(outline.issuer, outline.subject);
            assert_eq!((outline.not_before, outline.not_after), (157_766_400, seconds));
            assert_eq!(outline.key, key.public_key_raw());
            assert_eq!(outline.rsa_bits(), None);
            // `id-ce-subjectAltName`, 2.5.29.17, and one that is not there.
            assert!(outline.extension(&[0x55, 0x1d, 0x11]).is_some());
            assert!(outline.extension(&[0x55, 0x1d, 0x1e]).is_none());
        }
    }

    #[test]
    fn lengths_are_read_in_all_their_forms_and_no_element_is_longer_than_what_there_is() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let octets = &u32::try_from(length).unwrap().to_be_bytes()[..];
            let octets = &octets[octets.iter().position(|octet| *octet != 0).unwrap_or(3)..];
            let head =
                if length < 128 { vec![4, octets[0]] } else { [&[4, 0x80 | octets.len() as u8], octets].concat() };
            let whole = [head, vec![7; length]].concat();
            assert_eq!(Elements(&whole).next(), Some((4, &vec![7; length][..])));
            assert_eq!(Elements(&whole[..whole.len() - 1]).next(), None, "{length}");
        }
        // The indefinite form is none of DER.
        assert_eq!(Elements(&[0x30, 0x80, 0, 0]).next(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            crate::tls::properties::certificate(&bytes);
        }

        #[test]
        fn a_certificate_with_other_octets_in_it_makes_it_panic_neither(
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<proptest::sample::Index>(),
        ) {
            let (mut der, _) = certificate(2050);
            for (place, octet) in &changes {
                let place = place.index(der.len());
                der[place] = *octet;
            }
            for bytes in [&der[..], &der[..cut.index(der.len())]] {
                crate::tls::properties::certificate(bytes);
            }
        }
    }
}

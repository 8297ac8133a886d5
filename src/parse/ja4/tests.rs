use super::*;

/// The worked example of FoxIO's `technical_details/JA4.md`.
fn worked_example() -> Offer<'static> {
    Offer {
        version: 0x0304,
        ciphers: &[
            0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
            0x009d, 0x002f, 0x0035,
        ],
        extensions: &[
            0x3a3a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
            0xff01, 0x000b, 0x000a, 0x0015, 0xdada,
        ],
        signature_algorithms: &[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
        groups: &[0x2a2a, 0x001d, 0x0017, 0x0018],
        alpn_first: Some(b"h2"),
    }
}

#[test]
fn worked_example_of_the_specification_agrees() {
    assert_eq!(&*worked_example().ja4(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

#[test]
fn grease_changes_neither_fingerprint_wherever_it_stands() {
    let plain = worked_example();
    let greased = Offer {
        signature_algorithms: &[0x5a5a, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0xfafa],
        groups: &[0x001d, 0x0017, 0x0018],
        ciphers: &plain.ciphers[1..],
        ..worked_example()
    };
    assert_eq!(greased.ja4(), plain.ja4());
    assert_eq!(greased.stable_key(), plain.stable_key());
}

#[test]
fn order_counts_for_signature_algorithms_and_groups_but_not_for_ciphers() {
    let plain = worked_example();
    let mut ciphers = plain.ciphers.to_vec();
    ciphers.reverse();
    let shuffled = Offer { ciphers: &ciphers, ..worked_example() };
    assert_eq!(shuffled.ja4(), plain.ja4());
    assert_eq!(shuffled.stable_key(), plain.stable_key());

    let groups = Offer { groups: &[0x0018, 0x0017, 0x001d], ..worked_example() };
    assert_eq!(groups.ja4(), plain.ja4());
    assert_ne!(groups.stable_key(), plain.stable_key());

    let signatures = Offer { signature_algorithms: &[0x0804, 0x0403], ..worked_example() };
    let reversed = Offer { signature_algorithms: &[0x0403, 0x0804], ..worked_example() };
    assert_ne!(signatures.ja4(), reversed.ja4());
    assert_ne!(signatures.stable_key(), reversed.stable_key());
}

#[test]
fn absent_lists_are_twelve_zeros() {
    let offer = Offer {
        version: 0x0303,
        ciphers: &[0x0a0a],
        extensions: &[0x0000, 0x0010, 0xfafa],
        signature_algorithms: &[],
        groups: &[],
        alpn_first: None,
    };
    assert_eq!(&*offer.ja4(), "t12d000200_000000000000_000000000000");
    assert_eq!(&*offer.stable_key(), "000000000000_000000000000_000000000000");
}

#[test]
fn no_signature_algorithms_leave_no_underscore() {
    let offer = Offer { signature_algorithms: &[], ..worked_example() };
    let hash = short_hash("0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01");
    assert!(offer.ja4().ends_with(&hash));
}

#[test]
fn counts_stop_at_ninety_nine() {
    let many: Vec<u16> = (0x1000..0x1000 + 150).collect();
    let offer = Offer { ciphers: &many, extensions: &many, ..worked_example() };
    assert!(offer.ja4().starts_with("t13i9999h2_"), "{}", offer.ja4());
}

#[test]
fn alpn_shows_its_ends_or_those_of_its_hexadecimal_form() {
    let cases: &[(Option<&[u8]>, &str)] = &[
        (None, "00"),
        (Some(b""), "00"),
        (Some(b"h2"), "h2"),
        (Some(b"http/1.1"), "h1"),
        (Some(b"h"), "hh"),
        (Some(b"\xab"), "ab"),
        (Some(b"\xab\xcd"), "ad"),
        (Some(b"0\xab"), "3b"),
        (Some(b"01\xab\xcd"), "3d"),
        (Some(b"0\xab\xcd1"), "01"),
        (Some(b"h2-"), "6d"),
        (Some(b"\x0a\x0a"), "0a"),
    ];
    for (name, expected) in cases {
        assert_eq!(alpn_ends(*name), *expected, "{name:?}");
    }
}

#[test]
fn exactly_the_sixteen_reserved_values_are_grease() {
    let found: Vec<u16> = (0..=u16::MAX).filter(|value| is_grease(*value)).collect();
    let reserved: Vec<u16> = (0..16).map(|step| 0x0a0a + step * 0x1010).collect();
    assert_eq!(found, reserved);
}

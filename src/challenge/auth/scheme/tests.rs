use super::*;

#[test]
fn the_scheme_of_credentials_is_read_in_any_case_and_needs_a_space_behind_it() {
    assert_eq!(scheme_of(b"bAsIc  eA=="), Ok((Scheme::Basic, b"eA==".as_slice())));
    assert_eq!(scheme_of(b"Digest a=b"), Ok((Scheme::Digest, b"a=b".as_slice())));
    assert_eq!(scheme_of(b"Basic"), Ok((Scheme::Basic, b"".as_slice())));
    assert_eq!(scheme_of(b"NTLM TlRM"), Ok((Scheme::Negotiate, b"TlRM".as_slice())));
    assert_eq!(scheme_of(b"Bearer x"), Err(AuthFault::SchemeNotOffered));
    for field in ["", " Basic eA==", "Basic\teA==", "Basic=x", "Basic,", "\u{e9}"] {
        assert_eq!(scheme_of(field.as_bytes()), Err(AuthFault::NoScheme), "{field:?}");
    }
    let long = [b"Basic ".as_slice(), &[b'A'; 64 << 10]].concat();
    assert_eq!(scheme_of(&long), Err(AuthFault::TooLong));
}

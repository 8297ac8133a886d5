use proptest::prelude::*;

use super::*;

fn parsed(text: &[u8]) -> Result<(String, Vec<u8>), AuthFault> {
    let field = format!("Basic {}", BASE64.encode(text));
    parse_basic(field.as_bytes()).map(|(name, password)| (name.into(), password.as_bytes().to_vec()))
}

fn fault(field: &str) -> Option<AuthFault> {
    parse_basic(field.as_bytes()).err()
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    // RFC 7617 §2 and §2.1.
    let (name, password) = parse_basic(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
    assert_eq!((&*name, password.as_bytes()), ("Aladdin", b"open sesame".as_slice()));
    let (name, password) = parse_basic(b"basic dGVzdDoxMjPCow==").unwrap();
    assert_eq!((&*name, password.as_bytes()), ("test", "123£".as_bytes()));
}

#[test]
fn a_password_may_be_empty_or_hold_colons_and_a_name_may_do_neither() {
    assert_eq!(parsed(b"u:"), Ok(("u".into(), vec![])));
    assert_eq!(parsed(b"u:a:b:"), Ok(("u".into(), b"a:b:".to_vec())));
    assert_eq!(parsed(b":p").err(), Some(AuthFault::BadName));
    assert_eq!(parsed(b"u").err(), Some(AuthFault::NoColon));
    assert_eq!(parsed(b"").err(), Some(AuthFault::NoColon));
}

#[test]
fn lengths_are_bounded_and_a_field_of_64_kib_is_refused_unread() {
    let (name, password) = ("n".repeat(NAME_BYTES_MAX), "p".repeat(PASSWORD_BYTES_MAX));
    assert!(parsed(format!("{name}:{password}").as_bytes()).is_ok());
    assert_eq!(parsed(format!("{name}n:").as_bytes()).err(), Some(AuthFault::BadName));
    assert_eq!(parsed(format!("n:{password}p").as_bytes()).err(), Some(AuthFault::PasswordTooLong));
    assert_eq!(parsed(format!("{name}:{password}pppp").as_bytes()).err(), Some(AuthFault::TooLong));
    assert_eq!(parsed(&[b'a'; 64 << 10]).err(), Some(AuthFault::TooLong));
    assert_eq!(parsed(&[b'a'; 20 << 10]).err(), Some(AuthFault::TooLong));
}

#[test]
fn what_is_not_utf8_or_holds_a_control_character_is_refused() {
    assert_eq!(parsed(b"u:p\xe4").err(), Some(AuthFault::NotUtf8), "Latin-1");
    for text in ["u:p\n", "u\0:p", "u:\u{7f}", "u:\u{85}", "u:\t"] {
        assert_eq!(parsed(text.as_bytes()).err(), Some(AuthFault::Control), "{text:?}");
    }
    assert!(parsed("u:パス ワード".as_bytes()).is_ok());
}

#[test]
fn base64_has_one_form_and_another_scheme_is_not_this_one() {
    for field in [
        "Basic dTpw=",
        "Basic dTpwYQ",
        "Basic dTpwYR==",
        "Basic dTp\u{e9}",
        "Basic dTpw dTpw",
        "Basic dTpw,",
        "Basic dT-_",
    ] {
        assert_eq!(fault(field), Some(AuthFault::BadBase64), "{field}");
    }
    assert_eq!(fault("Basic dTpw"), None);
    assert_eq!(fault("Digest dTpw"), Some(AuthFault::SchemeNotOffered));
    assert_eq!(fault("Negotiate dTpw"), Some(AuthFault::NegotiateUnsupported));
    assert_eq!(fault("dTpw"), Some(AuthFault::SchemeNotOffered));
    assert_eq!(fault(""), Some(AuthFault::NoScheme));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = parse_basic(&bytes);
        let _ = parse_basic(&[b"Basic ", bytes.as_slice()].concat());
        let _ = parsed(&bytes);
    }

    #[test]
    fn what_is_taken_is_what_was_sent(name in "[^:\\p{Cc}]{1,60}", password in "[^\\p{Cc}]{0,60}") {
        let text = format!("{name}:{password}");
        prop_assert_eq!(parsed(text.as_bytes()), Ok((name, password.into_bytes())));
    }
}

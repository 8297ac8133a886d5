use super::*;

const PASSWORD: &str = "Circle of Life";

/// Of `PASSWORD`, with the command that made each (Apache 2.4.71, OpenSSL 3.0.19, whois 5.5.17, argon2 20171227).
const OF_TOOLS: &[(&str, &str)] = &[
    ("htpasswd -nbB -C 5 x", "$2y$05$ufc/KLlbsqjXFButKllicuv5WcmrNB/xxhaHz3uaGCydL8JmKydJa"),
    ("mkpasswd -m bcrypt-a -R 5", "$2a$05$8S.hJ7eXzLvBBBXHo1Xwpug2m6GPVYYyr3EMcAWOuQQT7IJ7L6ZPa"),
    ("mkpasswd -m bcrypt -R 5", "$2b$05$fVhxQ/cUzUZM1PEFdU9EIuTFWI7edND/./CTfAkRDlgpRStwPXXfi"),
    ("openssl passwd -5 -salt abcdefgh", "$5$abcdefgh$iMQK/ak1KQeYJoUWqwUqH52kzfvJvsRUJhmEMNtDft4"),
    (
        "openssl passwd -6 -salt 0123456789abcdef",
        "$6$0123456789abcdef$ZwpQWHupm3LmOWF8sv4APm0.s9UVG1lUBnkSiGpGx0W6jb2YOwWilZE6H57k8268R9qyq29toDhDOSIu45BZ.1",
    ),
    ("htpasswd -nb2 x", "$5$lbiDbHgb1gYezBHj$XPLDMFSWMH29zgNeOIXW3Y3Qr69frkmQ0uXCEQo0z43"),
    (
        "htpasswd -nb5 x",
        "$6$F5emdpxCZZ580OEj$9WSuUSP1YwEDHaT4C1K1Qa7CO88JnZN1YTh9xzTWofhgTC/PExUdI7pmbWNMfp.0hcmnYuIUOtdEljC8QXcnj0",
    ),
    (
        "mkpasswd -m sha512crypt -R 1000 -S saltsalt",
        "$6$rounds=1000$saltsalt$MWV1eZpIoN7/BL2fw0eDy.SLpHaYzA6PWSwc8xngLhl0JaJ9h3u7WYfxVPK5qyNG9SLKm9so44T36a.MQzQSi/",
    ),
    (
        "mkpasswd -m sha256crypt -R 1500 -S saltsalt",
        "$5$rounds=1500$saltsalt$8HmjnLd1.ynbmC8k3KFtKMxgt/Osz8jiNWeEETPtD23",
    ),
    (
        "argon2 somesalt -id -t 2 -m 8 -p 1 -e",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$BlNFYMQwe0yhrYE4mDtsymUfo6Lve9NOiSljI0W8iZw",
    ),
    (
        "argon2 somesalt16bytes. -i -t 3 -m 8 -p 4 -l 24 -e",
        "$argon2i$v=19$m=256,t=3,p=4$c29tZXNhbHQxNmJ5dGVzLg$Pzk6RYp7DX33a+ceT2pRKQ6hLS2VUU2j",
    ),
    (
        "argon2 somesalt -id -t 2 -m 8 -p 1 -v 10 -e",
        "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$3Sa3x+EV27cSVMIj37kMA5W3jO9xPwow2svk6rresaQ",
    ),
];

fn is_of(hash: &str, password: &str) -> bool {
    PasswordHash::parse(hash).unwrap_or_else(|unfit| panic!("{hash}: {unfit:?}")).is_of(&Password::new(password))
}

#[test]
fn hashes_that_tools_have_made_are_of_their_password_and_of_none_near_it() {
    for (command, hash) in OF_TOOLS {
        assert!(is_of(hash, PASSWORD), "{command}");
        assert!(!is_of(hash, "Circle of Lif"), "{command}");
        assert!(!is_of(hash, "Circle of Life "), "{command}");
    }
}

#[test]
fn a_hash_with_one_character_changed_is_of_another_password() {
    for (command, hash) in OF_TOOLS {
        let at = hash.len() - 9;
        let other = if hash.as_bytes()[at] == b'A' { "B" } else { "A" };
        let changed = format!("{}{other}{}", &hash[..at], &hash[at + 1..]);
        assert!(!is_of(&changed, PASSWORD), "{command}");
    }
}

#[test]
fn passwords_that_are_empty_long_or_not_ascii_are_checked_as_the_tools_do() {
    // htpasswd -nbB -C 5 x ''
    let empty = "$2y$05$3XmBHPGgkJgcpxKZ5xADKO89sVl18DfcPbvpg.aCEMcY3qfpSnj5m";
    assert!(is_of(empty, ""));
    assert!(!is_of(empty, " "));
    // openssl passwd -6 -salt s
    let japanese = "$6$s$/oSf9q.VA1okC5WqDU4dVS./6.DpJ6jyYbNVvSCalVev1cPTlfIA6X8WM56SlaUf9LPbXNoQPTnlzibJfuOK0.";
    assert!(is_of(japanese, "日本 パスワード"));
    // htpasswd -nb2 x and -nbB -C 4 x, with `ab` fifty times. Of bcrypt, the first 72 bytes count.
    let long = "ab".repeat(50);
    let sha = "$5$52gYiLc9ttMEOtd3$A7FmGLxA0mJumg6amKX3Vf2wvNB5x3pCzyNLAkekvq/";
    let bcrypt = "$2y$04$Rc1TkMbxmCVnuPlTFu0DyObanhpkXkL1FYi7iWZlpx9cTnFXLG.Qe";
    assert!(is_of(sha, &long) && is_of(bcrypt, &long));
    assert!(!is_of(sha, &long[..99]) && is_of(bcrypt, &long[..72]) && !is_of(bcrypt, &long[..71]));
}

fn refused(hash: &str) -> Unfit {
    PasswordHash::parse(hash).expect_err(hash)
}

#[test]
fn hashes_that_are_easy_to_guess_are_refused_and_the_fix_names_a_command() {
    for (hash, word) in [
        ("{SHA}UWuXg/ylF+7L0dBk2i0WUxCxl1k=", "SHA-1"),
        ("$apr1$bB6qrGR0$VRYVbvvjdsMK005HC.lMY.", "MD5"),
        ("$1$9WYxIhUI$pY9HyVxwPblM3XlM91kZi/", "MD5"),
        ("JBd3knwnZ2GjE", "plain text"),
        ("p", "plain text"),
        ("", "no hash"),
        ("$argon2d$v=19$m=256,t=2,p=1$c29tZXNhbHQ$QhQapyfpDYeIqoY/8W/fR0CE6ticvJhzEubQjSwFA+E", "argon2d"),
        ("$y$j9T$abc$def", "yescrypt"),
        ("$2x$05$ufc/KLlbsqjXFButKllicuv5WcmrNB/xxhaHz3uaGCydL8JmKydJa", "fault"),
        ("$pbkdf2$x", "not known"),
    ] {
        let unfit = refused(hash);
        assert!(unfit.what.contains(word), "{unfit:?}");
        assert!(unfit.fix.contains("htpasswd -nB"), "{unfit:?}");
        assert!(hash.len() < 4 || !format!("{unfit:?}").contains(&hash[4..]), "nothing of it is shown: {unfit:?}");
    }
}

#[test]
fn hashes_that_cost_too_much_are_refused_and_those_at_the_bound_are_not() {
    let argon2 =
        |costs: &str| format!("$argon2id$v=19${costs}$c29tZXNhbHQ$BlNFYMQwe0yhrYE4mDtsymUfo6Lve9NOiSljI0W8iZw");
    let bcrypt = |cost: &str| format!("$2y${cost}$ufc/KLlbsqjXFButKllicuv5WcmrNB/xxhaHz3uaGCydL8JmKydJa");
    let sha = |rounds: &str| format!("$5$rounds={rounds}$saltsalt$8HmjnLd1.ynbmC8k3KFtKMxgt/Osz8jiNWeEETPtD23");
    for fits in [
        argon2("m=262144,t=4,p=1"),
        argon2("m=65536,t=16,p=4"),
        bcrypt("14"),
        bcrypt("04"),
        sha("1000000"),
        sha("1000"),
    ] {
        assert!(PasswordHash::parse(&fits).is_ok(), "{fits}");
    }
    for costly in [
        argon2("m=262145,t=1,p=1"),
        argon2("m=262144,t=5,p=1"),
        argon2("m=8,t=4294967295,p=1"),
        argon2("m=256,t=16777217,p=1"),
        bcrypt("15"),
        bcrypt("31"),
        sha("1000001"),
    ] {
        let unfit = refused(&costly);
        assert!(unfit.fix.contains("less than a second"), "{costly}: {unfit:?}");
    }
}

#[test]
fn malformed_hashes_are_refused() {
    let good: Vec<&str> = OF_TOOLS.iter().map(|(_, hash)| *hash).collect();
    for hash in &good {
        assert!(PasswordHash::parse(&hash[..hash.len() - 3]).is_err() || hash.starts_with("$argon2"), "{hash}");
        assert!(PasswordHash::parse(&format!("{hash}$")).is_err(), "{hash}");
        assert!(PasswordHash::parse(&format!("{hash}:x")).is_err(), "{hash}");
        assert!(PasswordHash::parse(&format!(" {hash}")).is_err(), "{hash}");
    }
    for hash in [
        "$argon2id$",
        "$argon2id$v=19$m=256,t=2$c29tZXNhbHQ$BlNFYMQwe0yhrYE4mDtsymUfo6Lve9NOiSljI0W8iZw",
        "$argon2id$v=19$m=256,t=2,p=1,data=AA$c29tZXNhbHQ$BlNFYMQwe0yhrYE4mDtsymUfo6Lve9NOiSljI0W8iZw",
        "$argon2id$v=18$m=256,t=2,p=1$c29tZXNhbHQ$BlNFYMQwe0yhrYE4mDtsymUfo6Lve9NOiSljI0W8iZw",
        "$argon2id$v=19$m=0256,t=2,p=1$c29tZXNhbHQ$BlNFYMQwe0yhrYE4mDtsymUfo6Lve9NOiSljI0W8iZw",
        "$argon2id$v=19$m=7,t=2,p=1$c29tZXNhbHQ$BlNFYMQwe0yhrYE4mDtsymUfo6Lve9NOiSljI0W8iZw",
        "$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$BlNFYMQwe0yhrYE4mDtsymUfo6Lve9NOiSljI0W8iZw",
        "$argon2id$v=19$m=256,t=2,p=1$c2FsdA$BlNFYMQwe0yhrYE4mDtsymUfo6Lve9NOiSljI0W8iZw",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$BlNFYA",
        "$2y$5$ufc/KLlbsqjXFButKllicuv5WcmrNB/xxhaHz3uaGCydL8JmKydJa",
        "$2y$03$ufc/KLlbsqjXFButKllicuv5WcmrNB/xxhaHz3uaGCydL8JmKydJa",
        "$2y$+5$ufc/KLlbsqjXFButKllicuv5WcmrNB/xxhaHz3uaGCydL8JmKydJa",
        "$2y$05$ufc/KLlbsqjXFButKllicé5WcmrNB/xxhaHz3uaGCydL8JmKydJa",
        "$5$rounds=999$saltsalt$8HmjnLd1.ynbmC8k3KFtKMxgt/Osz8jiNWeEETPtD23",
        "$5$rounds=-1$saltsalt$8HmjnLd1.ynbmC8k3KFtKMxgt/Osz8jiNWeEETPtD23",
        "$5$rounds=$saltsalt$8HmjnLd1.ynbmC8k3KFtKMxgt/Osz8jiNWeEETPtD23",
        "$5$$8HmjnLd1.ynbmC8k3KFtKMxgt/Osz8jiNWeEETPtD23",
        "$5$saltsaltsaltsalt0$8HmjnLd1.ynbmC8k3KFtKMxgt/Osz8jiNWeEETPtD23",
        "$6$saltsalt$8HmjnLd1.ynbmC8k3KFtKMxgt/Osz8jiNWeEETPtD23",
        "$5$saltsalt$8HmjnLd1,ynbmC8k3KFtKMxgt/Osz8jiNWeEETPtD23",
    ] {
        refused(hash);
    }
}

#[test]
fn the_debug_form_of_a_hash_hides_it() {
    for (_, hash) in OF_TOOLS {
        assert_eq!(format!("{:?}", PasswordHash::parse(hash).unwrap()), "PasswordHash(hidden)");
    }
}

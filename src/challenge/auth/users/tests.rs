use proptest::prelude::*;

use crate::parse::Document;

use super::super::basic::Password;
use super::*;

/// `argon2 somesalt -id -t 1 -m 3 -p 1 -e`, of `sekisho`.
const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$qGPBq6+cXkCFFAQrrITV7Uvld0qMygGQ8iYfAKqO1II";
/// `htdigest -c FILE "Example Ltd" tanaka`, of `Circle of Life`.
const TANAKA: &str = "tanaka:Example Ltd:7b0afccd2a9ef998fc46fcc8659fd632";
/// `printf %s 'tanaka:Example Ltd:Circle of Life' | sha256sum`
const TANAKA_SHA256: &str = "tanaka:Example Ltd:5b56f906d942046a5815a0e57aff5b22d812358140c8f095f5dd2ead2530c1a5";
/// The same for `sato`, with `md5sum` and `sha256sum`.
const SATO: &str = "sato:Example Ltd:5ef1b9f627e0e022d2c09ec0ea390227";
const SATO_SHA256: &str = "sato:Example Ltd:ce477c996ba1b44acaf0b43b5fa3a4cbd089e806e7b41eebdc3ed7e46ca9ef19";

fn settings(text: &str) -> Settings {
    let read = Document::read("config.toml", text, |root| {
        let mut section = root.table("authentication")?;
        let settings = Settings::read(&mut section);
        section.finish();
        settings
    });
    read.unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn both() -> Settings {
    settings(
        "[authentication]\nrealm = \"Example Ltd\"\nschemes = [\"digest\", \"basic\"]\n\
         users = \"users.htpasswd\"\ndigest = \"users.htdigest\"\ngroups = \"groups\"\n",
    )
}

fn read(users: &[u8], digest: &[u8], groups: &[u8]) -> Result<Users, Vec<String>> {
    let texts = Texts { users: Some(users), digest: Some(digest), groups: Some(groups) };
    Users::read(&both(), texts).map_err(|problems| {
        let text = |problem: Problem| {
            assert!(!problem.fix.is_empty());
            let place = problem.place;
            format!("{}:{}:{}: {}", place.file, place.line, place.column, problem.what)
        };
        problems.into_iter().map(text).collect()
    })
}

#[test]
fn users_have_their_passwords_digests_and_groups() {
    let passwords = format!("\u{feff}# people\r\n\r\ntanaka:{HASH}\r\n田中:{HASH}\n");
    let digests = [TANAKA, TANAKA_SHA256, SATO_SHA256, SATO].join("\n");
    let groups = "# groups\nleaders: tanaka  sato\nstaff:\nall: 田中 sato\nall: tanaka sato\n";
    let users = read(passwords.as_bytes(), digests.as_bytes(), groups.as_bytes()).unwrap();
    assert_eq!(users.counts(), (2, 2));
    assert!(users.password("tanaka").unwrap().is_of(&Password::new("sekisho")));
    assert!(!users.password("tanaka").unwrap().is_of(&Password::new("sekisho2")));
    assert!(users.password("田中").is_some());
    assert!(users.password("sato").is_none() && users.password("Tanaka").is_none());
    assert_eq!(users.algorithms(), [Algorithm::Sha256, Algorithm::Md5]);
    assert!(users.ha1("tanaka", Algorithm::Md5).is_some() && users.ha1("sato", Algorithm::Sha256).is_some());
    assert!(users.ha1("田中", Algorithm::Md5).is_none());
    let groups = |name: &str| users.user(name).groups.iter().map(|group| group.to_string()).collect::<Vec<_>>();
    assert_eq!(groups("sato"), ["leaders", "all"]);
    assert_eq!(groups("tanaka"), ["leaders", "all"]);
    assert_eq!(groups("田中"), ["all"]);
    assert_eq!(format!("{users:?}"), "Users { passwords: 2, digests: 2, .. }");
}

#[test]
fn every_bad_line_is_a_problem_at_its_place_and_shows_no_hash() {
    let passwords = format!(
        "tanaka\n:{HASH}\n\ntanaka:{{SHA}}UWuXg/ylF+7L0dBk2i0WUxCxl1k=\nsato:{HASH}\nsato:{HASH}\n\
         田中:secret!\nmori :{HASH}\n{}:{HASH}\n",
        "m".repeat(256)
    );
    let digests =
        format!("{TANAKA}\n{TANAKA}\nsato:Other Ltd:{}\nsato:Example Ltd\nmori:Example Ltd:abc\n", "0".repeat(32));
    let problems = read(passwords.as_bytes(), digests.as_bytes(), b"leaders tanaka\n a: tanaka\n").unwrap_err();
    let long = "m".repeat(64);
    assert_eq!(
        problems,
        [
            "users.htpasswd:1:1: there is no colon: a line is `name:hash`".to_owned(),
            "users.htpasswd:2:1: a user cannot be named ``".to_owned(),
            "users.htpasswd:4:8: `tanaka`: the hash is SHA-1 without a salt, as good as plain text".to_owned(),
            "users.htpasswd:6:1: `sato` has a line already: 5".to_owned(),
            "users.htpasswd:7:4: `田中`: this is plain text or a hash of the old crypt, not a hash that can be taken"
                .to_owned(),
            "users.htpasswd:8:1: a user cannot be named `mori `".to_owned(),
            format!("users.htpasswd:9:1: a user cannot be named `{long}`"),
            "users.htdigest:2:1: `tanaka` has a line of MD5 already".to_owned(),
            "users.htdigest:3:6: `sato` has a line of another realm than \"Example Ltd\"".to_owned(),
            "users.htdigest:4:1: a line is `name:realm:HA1`".to_owned(),
            "users.htdigest:5:18: `mori`: HA1 is not 32 or 64 hexadecimal digits".to_owned(),
            "groups:1:1: there is no colon: a line is `group: name name …`".to_owned(),
            "groups:2:1: a group cannot be named ` a`".to_owned(),
        ]
    );
}

#[test]
fn a_member_without_a_line_is_a_problem_and_one_whose_line_is_at_fault_is_not_a_second_one() {
    let good = format!("tanaka:{HASH}\n");
    let problems = read(good.as_bytes(), SATO.as_bytes(), b"leaders: tanaka  mori sato\n").unwrap_err();
    assert_eq!(problems, ["groups:1:18: `mori` is in no file of users"]);
    let problems = read(b"mori:x\n", SATO.as_bytes(), b"leaders: mori sato\n").unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("users.htpasswd:1:6: `mori`"), "{problems:?}");
}

#[test]
fn users_with_other_algorithms_than_the_rest_are_problems_since_no_browser_could_know() {
    let good = format!("x:{HASH}");
    let read = |lines: &[&str]| read(good.as_bytes(), lines.join("\n").as_bytes(), b"");
    assert_eq!(read(&[TANAKA, SATO]).unwrap().algorithms(), [Algorithm::Md5]);
    assert_eq!(read(&[TANAKA_SHA256, SATO_SHA256]).unwrap().algorithms(), [Algorithm::Sha256]);
    let problems = read(&[TANAKA, SATO, SATO_SHA256]).unwrap_err();
    assert_eq!(problems, ["users.htdigest:1:1: `tanaka` has no line of SHA-256, and others have"]);
    let problems = read(&[TANAKA, SATO_SHA256]).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn a_file_without_a_user_and_one_that_was_not_read_are_problems() {
    let good = format!("x:{HASH}");
    assert_eq!(
        read(b"# nobody\n", SATO.as_bytes(), b"").unwrap_err(),
        ["users.htpasswd:1:1: the file has no user: nobody could log in"]
    );
    assert_eq!(
        read(good.as_bytes(), b"", b"").unwrap_err(),
        ["users.htdigest:1:1: the file has no user: nobody could log in"]
    );
    let texts = Texts { users: Some(good.as_bytes()), digest: None, groups: None };
    let problems = Users::read(&both(), texts).unwrap_err();
    let places: Vec<_> = problems.iter().map(|problem| &*problem.place.file).collect();
    assert_eq!(places, ["users.htdigest", "groups"]);
}

#[test]
fn lines_users_and_problems_are_bounded() {
    let long = format!("# {}", "x".repeat(LINE_BYTES_MAX));
    let problems = read(format!("x:{HASH}\n{}\n", &long[2..]).as_bytes(), SATO.as_bytes(), b"").unwrap_err();
    assert_eq!(problems, ["users.htpasswd:2:1: there is no colon: a line is `name:hash`"]);
    let problems = read(format!("x:{HASH}\n{}x\n", &long[2..]).as_bytes(), SATO.as_bytes(), b"").unwrap_err();
    assert_eq!(problems, ["users.htpasswd:2:1: the line is longer than 1024 bytes"]);
    let problems = read(format!("x:{HASH}\n").as_bytes(), b"\xe9:Example Ltd:00\n", b"").unwrap_err();
    assert_eq!(problems, ["users.htdigest:1:1: the line is not UTF-8"]);
    let problems = read(&b"x\n".repeat(1000), b"x\n", b"x\n").unwrap_err();
    assert_eq!(problems.len(), PROBLEMS_MAX);
    let digests: String = (0..=USERS_MAX).map(|n| format!("u{n}:Example Ltd:{n:032x}\n")).collect();
    let problems = read(format!("x:{HASH}\n").as_bytes(), digests.as_bytes(), b"").unwrap_err();
    assert_eq!(problems, ["users.htdigest:100001:1: the file has more than 100000 users"]);
    let fits = digests.rsplit_once("u100000").unwrap().0;
    assert_eq!(read(format!("x:{HASH}\n").as_bytes(), fits.as_bytes(), b"").unwrap().counts(), (1, USERS_MAX));
}

#[test]
fn a_decoy_is_one_of_the_hashes_and_the_same_for_the_same_number() {
    let passwords: String = (0..7).map(|n| format!("u{n}:{HASH}\n")).collect();
    let users = read(passwords.as_bytes(), SATO.as_bytes(), b"").unwrap();
    for number in [0, 1, 6, 7, u64::MAX] {
        assert!(Arc::ptr_eq(users.decoy(number).unwrap(), users.decoy(number).unwrap()));
    }
    assert!(!Arc::ptr_eq(users.decoy(1).unwrap(), users.decoy(2).unwrap()));
    assert!(Arc::ptr_eq(users.decoy(1).unwrap(), users.password("u1").unwrap()), "in the order of the names");
}

proptest! {
    #[test]
    fn no_bytes_of_a_file_make_it_panic(
        users in proptest::collection::vec(any::<u8>(), 0..200),
        digest in "[a-b:\\n#é ]{0,60}",
        groups in "[a-b:\\n#é \u{3000}]{0,60}",
    ) {
        let _ = read(&users, digest.as_bytes(), groups.as_bytes());
    }

    #[test]
    fn no_hash_of_telling_pieces_makes_it_panic(pieces in proptest::collection::vec(
        prop_oneof![
            Just("$"), Just("argon2id"), Just("$2y$05$"), Just("$6$"), Just("v=19"), Just("m=8"), Just(",t=1"), Just(",p=1"),
            Just("c29tZXNhbHQ"), Just("rounds=1000$"), Just("é"), Just("qGPBq6+cXkCFFAQrrITV7Uvld0qMygGQ8iYfAKqO1II"),
        ], 0..12)) {
        if let Ok(hash) = PasswordHash::parse(&pieces.concat()) {
            prop_assert!(!hash.is_of(&Password::new("")));
        }
    }
}

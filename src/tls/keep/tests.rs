use std::os::unix::fs::PermissionsExt;

use crate::facts::Host;

use super::*;

const NOW: Timestamp = Timestamp(1_764_000_000_000_000);
const DAY: u64 = 86_400_000_000;

pub(in crate::tls) fn terms(days: u32) -> Terms {
    Terms { name: "gate1".to_owned(), days, permit: Vec::new(), exclude: Vec::new() }
}

fn host(text: &str) -> Host {
    Host::parse(text.as_bytes()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn kept() -> (tempfile::TempDir, AuthorityFiles) {
    let directory = tempfile::tempdir().unwrap();
    let files = AuthorityFiles::new(directory.path());
    (directory, files)
}

#[test]
fn an_authority_is_read_back_as_it_was_made_and_its_key_is_its_owners_alone() {
    let (directory, files) = kept();
    let made = files.init(&terms(730), NOW).unwrap();
    let read = files.load().unwrap();
    assert_eq!(read.current.certificate(), made.certificate());
    assert!(read.next.is_none() && read.previous.is_none());
    let place = directory.path().join("ca/current");
    assert_eq!(mode(&place.join("ca.key")), 0o600);
    assert_eq!(mode(&place.join("ca.pem")) & 0o777, 0o644);
    let subject = made.certificate().subject();
    assert!(subject.starts_with("Sekisho gate1 2025-11-24 "), "{subject}");
    assert_eq!(made.certificate().not_after(), Timestamp(NOW.0 + 730 * DAY));
    assert_eq!(fs::read_to_string(files.certificate_path()).unwrap(), pem_of(made.certificate()));
    assert!(!directory.path().join("ca/new").exists());
}

#[test]
fn a_second_one_is_not_made_over_the_first() {
    let (_directory, files) = kept();
    let made = files.init(&terms(730), NOW).unwrap();
    assert!(matches!(files.init(&terms(730), NOW), Err(AuthorityError::Exists(_))));
    assert_eq!(files.load().unwrap().current.certificate(), made.certificate());
}

#[test]
fn a_key_that_others_may_read_is_refused_and_one_for_its_owner_is_not() {
    let (directory, files) = kept();
    files.init(&terms(730), NOW).unwrap();
    let key = directory.path().join("ca/current/ca.key");
    for refused in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&key, fs::Permissions::from_mode(refused)).unwrap();
        let found = files.load().err().unwrap();
        assert!(matches!(&found, AuthorityError::Exposed { mode, .. } if *mode == refused), "{found}");
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(files.load().is_ok());
}

#[test]
fn what_is_wrong_with_the_files_is_told_apart() {
    let (directory, files) = kept();
    assert!(matches!(files.load(), Err(AuthorityError::Missing(_))));
    files.init(&terms(730), NOW).unwrap();
    let place = directory.path().join("ca/current");
    let (certificate, key) = (place.join("ca.pem"), place.join("ca.key"));
    let (good_certificate, good_key) = (fs::read(&certificate).unwrap(), fs::read(&key).unwrap());

    let (_other_directory, others) = kept();
    let other = others.init(&terms(730), NOW).unwrap();
    fs::write(&certificate, pem_of(other.certificate())).unwrap();
    assert!(matches!(files.load(), Err(AuthorityError::OtherKey(_))));

    fs::write(&certificate, &good_key).unwrap();
    assert!(matches!(files.load(), Err(AuthorityError::NoCertificate(_))));
    fs::write(&certificate, &good_certificate).unwrap();
    assert!(files.load().is_ok());

    fs::write(&key, &good_certificate).unwrap();
    assert!(matches!(files.load(), Err(AuthorityError::NoKey(_))));
    fs::write(&key, vec![b'a'; 100_000]).unwrap();
    assert!(matches!(files.load(), Err(AuthorityError::Io { .. })));
    fs::remove_file(&key).unwrap();
    assert!(matches!(files.load(), Err(AuthorityError::Io { .. })));
}

#[test]
fn no_error_holds_a_part_of_the_key() {
    let (directory, files) = kept();
    files.init(&terms(730), NOW).unwrap();
    let key = directory.path().join("ca/current/ca.key");
    let text = fs::read_to_string(&key).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('-')).collect();
    let cut = text.len() / 2;
    for broken in [&text[..cut], &text.replace("PRIVATE", "PUBLIC"), &text.replacen(&lines[0][..8], "AAAAAAAA", 1)] {
        fs::write(&key, broken).unwrap();
        let error = files.load().err().unwrap();
        let told = format!("{error} {error:?}");
        assert!(lines.iter().all(|line| !told.contains(&line[..16])), "{told}");
    }
}

#[test]
fn a_rotation_has_both_until_it_is_finished_and_then_the_older_key_is_gone() {
    let (directory, files) = kept();
    assert!(matches!(files.prepare(&terms(730), NOW), Err(AuthorityError::Missing(_))));
    let first = files.init(&terms(730), NOW).unwrap();
    assert!(matches!(files.finish(NOW), Err(AuthorityError::NotPrepared(_))));
    let second = files.prepare(&terms(730), NOW).unwrap();
    assert_ne!(first.certificate().subject(), second.certificate().subject(), "both of one day");
    assert!(matches!(files.prepare(&terms(730), NOW), Err(AuthorityError::Exists(_))));
    let during = files.load().unwrap();
    assert_eq!(during.current.certificate(), first.certificate());
    assert_eq!(during.next.unwrap().certificate(), second.certificate());

    assert_eq!(files.finish(NOW).unwrap().certificate(), second.certificate());
    let after = files.load().unwrap();
    assert_eq!(after.current.certificate(), second.certificate());
    assert!(after.next.is_none());
    assert_eq!(after.previous.as_ref(), Some(first.certificate()));
    assert!(!directory.path().join("ca/previous/ca.key").exists());
    assert!(matches!(files.finish(NOW), Err(AuthorityError::NotPrepared(_))));
    // Another one lets the oldest go.
    files.prepare(&terms(730), NOW).unwrap();
    files.finish(NOW).unwrap();
    assert_eq!(files.load().unwrap().previous.as_ref(), Some(second.certificate()));
}

#[test]
fn a_rotation_that_was_cut_off_between_its_renames_counts_as_done() {
    let (directory, files) = kept();
    files.init(&terms(730), NOW).unwrap();
    let second = files.prepare(&terms(730), NOW).unwrap();
    let ca = directory.path().join("ca");
    fs::rename(ca.join("current"), ca.join("previous")).unwrap();
    let found = files.load().unwrap();
    assert_eq!(found.current.certificate(), second.certificate());
    assert!(found.next.is_none() && found.previous.is_some());
    files.prepare(&terms(730), NOW).unwrap();
    assert!(!ca.join("previous/ca.key").exists());
    assert_eq!(files.load().unwrap().current.certificate(), second.certificate());
}

#[test]
fn what_a_crash_left_half_written_is_in_nobodys_way() {
    let (directory, files) = kept();
    fs::create_dir_all(directory.path().join("ca/new")).unwrap();
    fs::write(directory.path().join("ca/new/ca.pem"), "half").unwrap();
    assert!(matches!(files.load(), Err(AuthorityError::Missing(_))));
    files.init(&terms(730), NOW).unwrap();
    assert!(files.load().is_ok());
}

#[test]
fn an_authority_over_its_time_is_read_and_vouches_for_nothing() {
    let (_directory, files) = kept();
    files.init(&terms(10), NOW).unwrap();
    let authority = files.load().unwrap().current;
    let (end, host) = (NOW.0 + 10 * DAY, host("a.test"));
    assert!(authority.check(&host, Timestamp(end)).is_ok());
    assert!(matches!(authority.check(&host, Timestamp(end + 1)), Err(AuthorityError::Expired(_))));
    assert!(matches!(authority.check(&host, Timestamp(NOW.0 - 2 * DAY)), Err(AuthorityError::NotYetValid(_))));
}

#[test]
fn name_constraints_confine_it_at_label_borders_and_are_read_back() {
    let (_directory, files) = kept();
    let confined = Terms { permit: vec![host("corp.example")], exclude: vec![host("bank.corp.example")], ..terms(730) };
    files.init(&confined, NOW).unwrap();
    let authority = files.load().unwrap().current;
    assert_eq!(authority.certificate().permitted(), ["corp.example"]);
    assert_eq!(authority.certificate().excluded(), ["bank.corp.example"]);
    for named in ["corp.example", "a.corp.example", "a.b.corp.example", "mybank.corp.example"] {
        assert!(authority.check(&host(named), NOW).is_ok(), "{named}");
    }
    for not in ["example", "xcorp.example", "corp.example.net", "bank.corp.example", "a.bank.corp.example", "192.0.2.1"]
    {
        assert!(matches!(authority.check(&host(not), NOW), Err(AuthorityError::NotPermitted(_))), "{not}");
    }
    assert!(matches!(authority.check(&host("[2001:db8::1]"), NOW), Err(AuthorityError::NotPermitted(_))));
}

#[test]
fn one_that_only_excludes_vouches_for_all_else_and_for_addresses() {
    let (_directory, files) = kept();
    files.init(&Terms { exclude: vec![host("bank.example")], ..terms(730) }, NOW).unwrap();
    let authority = files.load().unwrap().current;
    assert!(authority.check(&host("example"), NOW).is_ok());
    assert!(authority.check(&host("192.0.2.1"), NOW).is_ok());
    assert!(matches!(authority.check(&host("a.bank.example"), NOW), Err(AuthorityError::NotPermitted(_))));
}

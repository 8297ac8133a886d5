use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER};
use proptest::prelude::*;

use crate::parse::{Document, HeadLimits, take_request_head};

use super::super::nonce::NONCE_LIFETIME;
use super::super::settings::Settings;
use super::super::users::Texts;
use super::*;

const SECOND: u64 = 1_000_000;
const START: Moment = Moment(1000 * SECOND);
const URL: &str = "http://a.example/x?y=1";

fn at(seconds: u64) -> Moment {
    Moment(START.0 + seconds * SECOND)
}

fn client(n: u32) -> ClientKey {
    ClientKey::of(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into())
}

/// A line of the passwords' file, the cheapest that there is.
fn line(name: &str, password: &str) -> String {
    let params = argon2::Params::new(8, 1, 1, Some(16)).unwrap();
    let mut hash = [0; 16];
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into(password.as_bytes(), b"saltsalt", &mut hash)
        .unwrap();
    format!("{name}:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ${}\n", BASE64_NOPAD.encode(&hash))
}

fn hex<D: md5::Digest>(text: &str) -> String {
    HEXLOWER.encode(&D::digest(text.as_bytes()))
}

fn users_of(schemes: &str, pairs: &[(&str, &str)]) -> Users {
    let mut config = format!("realm = \"Example Ltd\"\nschemes = [{schemes}]\ngroups = \"g\"\n");
    if schemes.contains("basic") {
        config += "users = \"u\"\n";
    }
    if schemes.contains("digest") {
        config += "digest = \"d\"\n";
    }
    let settings = Document::read("config.toml", &config, Settings::read).unwrap();
    let passwords: String = pairs.iter().map(|(name, password)| line(name, password)).collect();
    let digest_lines = |(name, password): &(&str, &str)| {
        let a1 = format!("{name}:Example Ltd:{password}");
        format!("{name}:Example Ltd:{}\n{name}:Example Ltd:{}\n", hex::<md5::Md5>(&a1), hex::<sha2::Sha256>(&a1))
    };
    let digests: String = pairs.iter().map(digest_lines).collect();
    let texts = Texts {
        users: Some(passwords.as_bytes()),
        digest: Some(digests.as_bytes()),
        groups: Some(b"leaders: tanaka\n"),
    };
    Users::read(&settings, texts).unwrap()
}

const PAIRS: &[(&str, &str)] = &[("tanaka", "Circle of Life"), ("sato", "関所")];

fn verifier() -> Verifier {
    Verifier::new(users_of("\"digest\", \"basic\"", PAIRS), &Secret::new([7; 32]))
}

fn field_of(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{name}:{password}").as_bytes()))
}

fn ask(verifier: &mut Verifier, from: u32, field: &str, now: Moment) -> Step {
    let credentials = Ok(Some(field.as_bytes()));
    verifier.begin(&Asked { client: client(from), method: "GET", target: URL.as_bytes(), credentials }, now)
}

fn done(step: Step) -> Judged {
    match step {
        Step::Done(judged) => judged,
        Step::Hash(_) => panic!("a hash is asked for"),
    }
}

fn job(step: Step) -> Job {
    match step {
        Step::Hash(job) => job,
        Step::Done(judged) => panic!("{judged:?}"),
    }
}

/// The verdict of a log-in by Basic, and how many hashes it took.
fn basic(verifier: &mut Verifier, from: u32, name: &str, password: &str, now: Moment) -> (Verdict, u32) {
    match ask(verifier, from, &field_of(name, password), now) {
        Step::Done(judged) => (judged.verdict, 0),
        Step::Hash(job) => (verifier.finish(job.run(), now).verdict, 1),
    }
}

fn known(name: &str) -> Verdict {
    let groups = if name == "tanaka" { vec!["leaders".into()] } else { Vec::new() };
    Verdict::Known(User { name: name.into(), groups: groups.into() })
}

fn is_limited(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::TooOften { .. })
}

#[test]
fn a_right_password_is_hashed_once_in_its_time_and_brings_the_users_groups() {
    let mut verifier = verifier();
    let minutes = |minutes: u64| at(60 * minutes);
    let mut tanaka = |from, now| basic(&mut verifier, from, "tanaka", "Circle of Life", now);
    assert_eq!(tanaka(1, minutes(0)), (known("tanaka"), 1));
    assert_eq!(tanaka(1, minutes(0)), (known("tanaka"), 0));
    assert_eq!(tanaka(1, minutes(9)), (known("tanaka"), 0));
    assert_eq!(tanaka(2, minutes(9)), (known("tanaka"), 1), "another client");
    assert_eq!(tanaka(1, minutes(10)), (known("tanaka"), 1));
    assert_eq!(basic(&mut verifier, 1, "sato", "関所", minutes(11)), (known("sato"), 1));
}

#[test]
fn a_wrong_password_and_a_name_that_nobody_has_cost_the_same_and_look_the_same() {
    let mut verifier = verifier();
    for (name, password) in
        [("tanaka", "Circle of Lif"), ("tanaka", ""), ("mori", "Circle of Life"), ("Tanaka", "Circle of Life")]
    {
        assert_eq!(basic(&mut verifier, 1, name, password, START), (Verdict::Wrong, 1), "{name}");
        assert_eq!(
            basic(&mut verifier, 1, name, password, START),
            (Verdict::Wrong, 0),
            "{name}: the same is not hashed again"
        );
    }
    assert_eq!(basic(&mut verifier, 1, "sato", "Circle of Life", START), (Verdict::Wrong, 1), "another's password");
}

#[test]
fn a_name_that_nobody_has_is_checked_against_some_users_hash_and_always_the_same() {
    let mut verifier = verifier();
    let mut against =
        |from| job(ask(&mut verifier, from, &field_of("mori", "Circle of Life"), START)).guess.against.clone();
    let (one, other) = (against(1), against(2));
    assert!(Arc::ptr_eq(&one, &other));
    let own = ["tanaka", "sato"].map(|name| verifier.users.password(name).unwrap().clone());
    assert!(own.iter().any(|hash| Arc::ptr_eq(hash, &one)));
    for (_, password) in PAIRS {
        assert_eq!(
            basic(&mut verifier, 3, "mori", password, START),
            (Verdict::Wrong, 1),
            "though it may be of that hash"
        );
    }
}

/// How many hashes these guesses cost, all at this time.
fn hashes(verifier: &mut Verifier, guesses: impl Iterator<Item = (u32, String, String)>, now: Moment) -> u32 {
    guesses.map(|(from, name, password)| basic(verifier, from, &name, &password, now).1).sum()
}

#[test]
fn a_flood_of_wrong_passwords_costs_a_few_hashes_and_then_one_every_five_seconds() {
    let mut verifier = verifier();
    let guesses = |range: std::ops::Range<u32>| range.map(|n| (1, "tanaka".to_owned(), format!("guess {n}")));
    assert_eq!(hashes(&mut verifier, guesses(0..2000), START), 5);
    assert_eq!(hashes(&mut verifier, guesses(2000..4000), at(4)), 0);
    assert_eq!(hashes(&mut verifier, guesses(4000..6000), at(5)), 1);
    assert_eq!(hashes(&mut verifier, guesses(6000..8000), at(3600)), 5);
    let Verdict::TooOften { retry_after } = basic(&mut verifier, 1, "tanaka", "one more", at(3600)).0 else {
        panic!("it is told to come back");
    };
    assert_eq!(retry_after, Duration::from_secs(5));
}

#[test]
fn guesses_about_one_name_from_many_clients_are_limited_and_about_many_names_from_one_client_too() {
    let mut one_name = verifier();
    let from_many = (0..500).map(|n| (n, "tanaka".to_owned(), format!("guess {n}")));
    assert_eq!(hashes(&mut one_name, from_many, START), 5);
    let mut many_names = verifier();
    let about_many = (0..500).map(|n| (1, format!("user {n}"), "password".to_owned()));
    assert_eq!(hashes(&mut many_names, about_many, START), 20);
    assert!(is_limited(&basic(&mut many_names, 1, "sato", "関所", START).0), "nobody looks whether it is right");
    assert_eq!(basic(&mut many_names, 2, "sato", "関所", START), (known("sato"), 1), "another client is not held up");
}

#[test]
fn a_name_that_others_were_wrong_about_takes_nothing_from_the_clients_that_ask_about_it() {
    let mut verifier = verifier();
    let guesses = (0..50).map(|n| (100 + n, "tanaka".to_owned(), format!("guess {n}")));
    assert_eq!(hashes(&mut verifier, guesses, START), 5);
    for _ in 0..20 {
        assert!(is_limited(&basic(&mut verifier, 1, "tanaka", "Circle of Life", START).0));
    }
    assert_eq!(basic(&mut verifier, 1, "sato", "関所", START), (known("sato"), 1));
}

#[test]
fn names_that_nobody_has_are_limited_as_users_are() {
    let mut verifier = verifier();
    let guesses = (0..500).map(|n| (n, "mori".to_owned(), format!("guess {n}")));
    assert_eq!(hashes(&mut verifier, guesses, START), 5);
}

#[test]
fn right_passwords_cost_nothing_of_what_may_be_wrong() {
    let mut verifier = verifier();
    for n in 0..100 {
        assert_eq!(basic(&mut verifier, 1, "tanaka", "Circle of Life", at(n * 600)), (known("tanaka"), 1));
    }
    let mut verifier = Verifier::new(users_of("\"basic\"", PAIRS), &Secret::new([7; 32]));
    for from in 0..100 {
        assert_eq!(basic(&mut verifier, from, "tanaka", "Circle of Life", START), (known("tanaka"), 1));
    }
}

#[test]
fn whoever_guesses_a_users_password_elsewhere_does_not_lock_the_user_out_of_a_known_client() {
    let mut verifier = verifier();
    assert_eq!(basic(&mut verifier, 1, "tanaka", "Circle of Life", START), (known("tanaka"), 1));
    let guesses = (0..50).map(|n| (100 + n, "tanaka".to_owned(), format!("guess {n}")));
    assert_eq!(hashes(&mut verifier, guesses, at(3600)), 5);
    assert_eq!(basic(&mut verifier, 1, "tanaka", "Circle of Life", at(3600)), (known("tanaka"), 1));
    assert!(is_limited(&basic(&mut verifier, 2, "tanaka", "Circle of Life", at(3600)).0), "a new client has to wait");
}

#[test]
fn a_remembered_user_goes_on_beside_another_programs_wrong_password_and_no_flood_finds_the_right_one() {
    let mut verifier = verifier();
    assert_eq!(basic(&mut verifier, 1, "tanaka", "Circle of Life", START).0, known("tanaka"));
    let guesses = |range: std::ops::Range<u32>| range.map(|n| (1, "user".to_owned(), format!("guess {n}")));
    hashes(&mut verifier, guesses(0..20), START);
    assert_eq!(basic(&mut verifier, 1, "tanaka", "Circle of Life", START), (known("tanaka"), 0));
    hashes(&mut verifier, guesses(20..500), START);
    let (verdict, hashed) = basic(&mut verifier, 1, "tanaka", "Circle of Life", START);
    assert!(is_limited(&verdict) && hashed == 0, "among so many guesses it is one more: {verdict:?}");
    assert_eq!(basic(&mut verifier, 1, "tanaka", "Circle of Life", at(1)).0, known("tanaka"), "once the flood is over");
}

#[test]
fn the_same_wrong_password_over_and_over_is_not_a_new_guess() {
    let mut verifier = verifier();
    let stale = (0..500).map(|_| (1, "tanaka".to_owned(), "old password".to_owned()));
    assert_eq!(hashes(&mut verifier, stale, START), 1);
    assert_eq!(
        basic(&mut verifier, 1, "tanaka", "Circle of Life", START),
        (known("tanaka"), 1),
        "nobody is held up by it"
    );
}

#[test]
fn requests_that_bring_the_same_at_the_same_time_share_one_hash() {
    let mut verifier = verifier();
    let field = field_of("tanaka", "Circle of Life");
    let jobs: Vec<Job> = (0..WAITING_MAX).map(|_| job(ask(&mut verifier, 1, &field, START))).collect();
    assert!(is_limited(&done(ask(&mut verifier, 1, &field, START)).verdict), "one too many waits");
    assert!(jobs.iter().all(|job| Arc::ptr_eq(&job.guess, &jobs[0].guess)));
    for job in jobs {
        let guess = job.guess.clone();
        let done = job.run();
        assert_eq!(guess.answer.get(), Some(&true));
        assert_eq!(verifier.finish(done, START).verdict, known("tanaka"));
    }
    assert!(verifier.in_flight.is_empty());
    let wrong = field_of("tanaka", "wrong");
    let jobs: Vec<Job> = (0..20).map(|_| job(ask(&mut verifier, 1, &wrong, START))).collect();
    let judged: Vec<Judged> = jobs.into_iter().map(|job| verifier.finish(job.run(), START)).collect();
    assert!(judged.iter().all(|judged| judged.verdict == Verdict::Wrong && judged.grounds.is_empty()), "one guess");
}

#[test]
fn jobs_are_bounded_and_those_that_were_dropped_make_room() {
    let mut verifier = verifier();
    let ask = |verifier: &mut Verifier, n: u32| ask(verifier, n, &field_of(&format!("user {n}"), "password"), START);
    let bound = u32::try_from(JOBS_MAX).unwrap();
    let mut jobs: Vec<Job> = (0..bound).map(|n| job(ask(&mut verifier, n))).collect();
    assert!(is_limited(&done(ask(&mut verifier, bound)).verdict));
    jobs.truncate(10);
    jobs.push(job(ask(&mut verifier, bound)));
    assert_eq!(verifier.in_flight.len(), 11);
}

#[test]
fn a_guess_whose_job_was_dropped_stays_counted() {
    let mut verifier = verifier();
    let field = |n: u32| field_of("tanaka", &format!("guess {n}"));
    for n in 0..5 {
        drop(job(ask(&mut verifier, 1, &field(n), START)));
    }
    assert!(is_limited(&done(ask(&mut verifier, 1, &field(5), START)).verdict));
}

#[test]
fn what_is_remembered_is_bounded_and_forgetting_costs_a_hash_and_lets_nobody_in() {
    let mut verifier = verifier();
    assert_eq!(basic(&mut verifier, 1, "tanaka", "Circle of Life", START).1, 1);
    assert_eq!(basic(&mut verifier, 1, "tanaka", "wrong", START).1, 1);
    for n in 0..REMEMBERED_MAX as u64 {
        let mut question = [0; 32];
        question[..8].copy_from_slice(&n.to_le_bytes());
        verifier.right.add(question, START);
        verifier.wrong.add(question, START);
    }
    assert_eq!((verifier.right.len(), verifier.wrong.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
    assert_eq!(basic(&mut verifier, 1, "tanaka", "Circle of Life", START), (known("tanaka"), 1));
    assert_eq!(basic(&mut verifier, 1, "tanaka", "wrong", START), (Verdict::Wrong, 1));
}

#[test]
fn other_users_in_their_place_end_what_was_remembered_and_what_is_being_hashed() {
    let mut verifier = verifier();
    assert_eq!(basic(&mut verifier, 1, "tanaka", "Circle of Life", START).0, known("tanaka"));
    assert_eq!(basic(&mut verifier, 1, "sato", "new", START).0, Verdict::Wrong);
    let old = job(ask(&mut verifier, 2, &field_of("tanaka", "Circle of Life"), START));
    let same = job(ask(&mut verifier, 2, &field_of("sato", "関所"), START));
    verifier.replace_users(users_of("\"basic\"", &[("tanaka", "changed"), ("sato", "関所")]));
    assert_eq!(verifier.finish(old.run(), START).verdict, Verdict::Wrong, "the password of before");
    assert_eq!(verifier.finish(same.run(), START).verdict, known("sato"), "a line that is as it was");
    assert_eq!(basic(&mut verifier, 1, "tanaka", "Circle of Life", START), (Verdict::Wrong, 1));
    assert_eq!(basic(&mut verifier, 1, "tanaka", "changed", START), (known("tanaka"), 1));
    verifier.replace_users(users_of("\"basic\"", &[("tanaka", "changed"), ("sato", "new")]));
    assert_eq!(basic(&mut verifier, 1, "sato", "new", START), (known("sato"), 1));
}

/// What a client makes of a challenge.
struct Answer<'a> {
    algorithm: &'a str,
    name: &'a str,
    password: &'a str,
    nonce: &'a str,
    count: u32,
    method: &'a str,
    uri: &'a str,
}

impl Answer<'_> {
    fn field(&self) -> String {
        let Self { algorithm, name, password, nonce, count, method, uri } = self;
        let hash = |text: String| if *algorithm == "MD5" { hex::<md5::Md5>(&text) } else { hex::<sha2::Sha256>(&text) };
        let (ha1, ha2) = (hash(format!("{name}:Example Ltd:{password}")), hash(format!("{method}:{uri}")));
        let response = hash(format!("{ha1}:{nonce}:{count:08x}:c:auth:{ha2}"));
        format!(
            "Digest username=\"{name}\", realm=\"Example Ltd\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm={algorithm}, \
             response=\"{response}\", qop=auth, nc={count:08x}, cnonce=\"c\""
        )
    }
}

fn right<'a>(nonce: &'a str, count: u32) -> Answer<'a> {
    Answer { algorithm: "SHA-256", name: "tanaka", password: "Circle of Life", nonce, count, method: "GET", uri: URL }
}

fn nonce_of(verifier: &mut Verifier, from: u32, now: Moment) -> String {
    let values = verifier.challenges(client(from), &Verdict::Missing, now);
    values[0].split_once("nonce=\"").unwrap().1.split_once('"').unwrap().0.to_owned()
}

fn digest(verifier: &mut Verifier, from: u32, answer: &Answer<'_>, now: Moment) -> Verdict {
    done(ask(verifier, from, &answer.field(), now)).verdict
}

#[test]
fn challenges_name_the_strongest_first_and_what_is_offered_only() {
    let missing = Verdict::Missing;
    let mut both = verifier();
    let values = both.challenges(client(1), &missing, START);
    let nonce = nonce_of(&mut both, 1, START);
    assert_eq!(values.len(), 3);
    let expected = "Digest realm=\"Example Ltd\", qop=\"auth\", algorithm=";
    assert!(values[0].starts_with(&format!("{expected}SHA-256, nonce=\"")), "{values:?}");
    assert!(values[1].starts_with(&format!("{expected}MD5, nonce=\"")), "{values:?}");
    assert_eq!(values[2], "Basic realm=\"Example Ltd\", charset=\"UTF-8\"");
    assert!(values[..2].iter().all(|value| value.ends_with("\", charset=UTF-8")), "{values:?}");
    assert!(!values[0].contains(&nonce), "each nonce is given once");
    let values = both.challenges(client(1), &Verdict::Stale(StaleNonce::Expired), START);
    assert!(values[0].ends_with(", stale=true") && !values[2].contains("stale"), "{values:?}");
    let mut basic = Verifier::new(users_of("\"basic\"", PAIRS), &Secret::new([7; 32]));
    assert_eq!(basic.challenges(client(1), &missing, START), ["Basic realm=\"Example Ltd\", charset=\"UTF-8\""]);
    let mut digest = Verifier::new(users_of("\"digest\"", PAIRS), &Secret::new([7; 32]));
    assert_eq!(digest.challenges(client(1), &missing, START).len(), 2);
}

#[test]
fn a_right_response_is_known_by_either_algorithm_and_for_every_form_of_target() {
    let mut verifier = verifier();
    let nonce = nonce_of(&mut verifier, 1, START);
    assert_eq!(digest(&mut verifier, 1, &right(&nonce, 1), START), known("tanaka"));
    assert_eq!(digest(&mut verifier, 1, &Answer { algorithm: "MD5", ..right(&nonce, 2) }, START), known("tanaka"));
    assert_eq!(digest(&mut verifier, 1, &Answer { uri: "/x?y=1", ..right(&nonce, 3) }, START), known("tanaka"));
    let mut sato = Answer { name: "sato", password: "関所", ..right(&nonce, 4) };
    assert_eq!(digest(&mut verifier, 1, &sato, START), known("sato"));
    sato = Answer { method: "CONNECT", uri: "a.example:443", count: 5, ..sato };
    let field = sato.field();
    let asked = Asked {
        client: client(1),
        method: "CONNECT",
        target: b"a.example:443",
        credentials: Ok(Some(field.as_bytes())),
    };
    assert_eq!(done(verifier.begin(&asked, START)).verdict, known("sato"));
    assert_eq!(
        done(verifier.begin(&Asked { method: "GET", ..asked }, START)).verdict,
        Verdict::Wrong,
        "another method"
    );
    let elsewhere = done(verifier.begin(&Asked { target: b"b.example:443", ..asked }, START)).verdict;
    assert_eq!(elsewhere, Verdict::Refused(AuthFault::WrongUri), "credentials for one host are for no other");
}

#[test]
fn a_wrong_name_password_or_realm_is_not_known() {
    let mut verifier = verifier();
    let nonce = nonce_of(&mut verifier, 1, START);
    let mut verdict = |answer: &Answer<'_>| digest(&mut verifier, 1, answer, START);
    assert_eq!(verdict(&Answer { password: "Circle of Lif", ..right(&nonce, 1) }), Verdict::Wrong);
    assert_eq!(verdict(&Answer { name: "mori", ..right(&nonce, 1) }), Verdict::Wrong);
    assert_eq!(verdict(&Answer { name: "sato", ..right(&nonce, 1) }), Verdict::Wrong, "another's password");
    assert_eq!(verdict(&right(&nonce, 1)), known("tanaka"), "and none of these has used the count up");
    let field = right(&nonce, 2).field();
    for (from, to, fault) in [
        ("Example Ltd", "Example", AuthFault::WrongRealm),
        ("Example Ltd", "example ltd", AuthFault::WrongRealm),
        ("y=1", "y=2", AuthFault::WrongUri),
        ("SHA-256", "SHA-512-256", AuthFault::AlgorithmNotOffered),
        ("qop=auth,", "", AuthFault::QopNotOffered),
    ] {
        let judged = done(ask(&mut verifier, 1, &field.replace(from, to), START));
        assert_eq!(judged.verdict, Verdict::Refused(fault), "{from} → {to}");
    }
}

#[test]
fn a_response_that_is_sent_again_is_stale_and_so_is_an_old_or_foreign_nonce_though_never_known() {
    let mut verifier = verifier();
    let first = nonce_of(&mut verifier, 1, START);
    assert_eq!(digest(&mut verifier, 1, &right(&first, 2), START), known("tanaka"));
    assert_eq!(digest(&mut verifier, 1, &right(&first, 1), START), known("tanaka"), "overtaken on its way");
    for count in [1, 2] {
        assert_eq!(digest(&mut verifier, 1, &right(&first, count), START), Verdict::Stale(StaleNonce::Replayed));
    }
    let nonce = nonce_of(&mut verifier, 1, START);
    assert_eq!(
        digest(&mut verifier, 2, &right(&nonce, 1), START),
        Verdict::Stale(StaleNonce::Foreign),
        "another client"
    );
    let foreign = nonce_of(&mut Verifier::new(users_of("\"digest\"", PAIRS), &Secret::new([8; 32])), 1, START);
    assert_eq!(
        digest(&mut verifier, 1, &right(&foreign, 1), START),
        Verdict::Stale(StaleNonce::Foreign),
        "before a restart"
    );
    for nonce in ["", "x", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"] {
        assert_eq!(digest(&mut verifier, 1, &right(nonce, 1), START), Verdict::Stale(StaleNonce::Foreign), "{nonce}");
        let wrong = Answer { password: "wrong", ..right(nonce, 1) };
        assert_eq!(digest(&mut verifier, 1, &wrong, START), Verdict::Wrong, "its user is asked again");
    }
    let late = START + NONCE_LIFETIME + Duration::from_micros(1);
    assert_eq!(digest(&mut verifier, 1, &right(&first, 3), late), Verdict::Stale(StaleNonce::Expired));
}

#[test]
fn a_flood_of_wrong_responses_is_limited_and_a_nonce_in_use_goes_on_beside_it() {
    let mut verifier = verifier();
    let nonce = nonce_of(&mut verifier, 1, START);
    assert_eq!(digest(&mut verifier, 1, &right(&nonce, 1), START), known("tanaka"));
    let wrong = |verifier: &mut Verifier, count| {
        let verdicts = (0..count).map(|n| {
            let name = format!("user {n}");
            digest(verifier, 1, &Answer { name: &name, password: "wrong", ..right(&nonce, 9) }, START)
        });
        verdicts.filter(|verdict| *verdict == Verdict::Wrong).count()
    };
    assert_eq!(wrong(&mut verifier, 40), 20);
    assert_eq!(digest(&mut verifier, 1, &right(&nonce, 2), START), known("tanaka"));
    let fresh = nonce_of(&mut verifier, 1, START);
    assert!(is_limited(&digest(&mut verifier, 1, &right(&fresh, 1), START)), "nothing was shown by this one yet");
    assert_eq!(wrong(&mut verifier, 40), 0);
    assert!(is_limited(&digest(&mut verifier, 1, &right(&nonce, 3), START)), "among so many it is one more guess");
    assert_eq!(digest(&mut verifier, 1, &right(&nonce, 3), at(1)), known("tanaka"));
}

#[test]
fn a_nonce_in_use_does_not_let_its_client_guess_on() {
    let mut verifier = verifier();
    let nonce = nonce_of(&mut verifier, 1, START);
    assert_eq!(digest(&mut verifier, 1, &right(&nonce, 1), START), known("tanaka"));
    let looked_at = (0..1000).filter(|n| {
        let password = format!("guess {n}");
        digest(&mut verifier, 1, &Answer { password: &password, ..right(&nonce, 2) }, START) == Verdict::Wrong
    });
    assert_eq!(looked_at.count(), 20 + 30);
}

#[test]
fn credentials_that_were_not_asked_for_are_refused_by_their_fault() {
    let mut verifier = Verifier::new(users_of("\"digest\"", PAIRS), &Secret::new([7; 32]));
    for (field, fault) in [
        (field_of("tanaka", "Circle of Life"), AuthFault::SchemeNotOffered),
        ("Negotiate YII=".to_owned(), AuthFault::NegotiateUnsupported),
        ("NTLM TlRMTVNTUAAB".to_owned(), AuthFault::NegotiateUnsupported),
        ("Bearer x".to_owned(), AuthFault::SchemeNotOffered),
        (String::new(), AuthFault::NoScheme),
        ("Digest ".to_owned() + &"a".repeat(64 << 10), AuthFault::TooLong),
        ("Digest ".to_owned() + &"a=\"".repeat(9 << 10), AuthFault::BadParameters),
    ] {
        assert_eq!(done(ask(&mut verifier, 1, &field, START)).verdict, Verdict::Refused(fault), "{field:.40}");
    }
    let mut verifier = Verifier::new(users_of("\"basic\"", PAIRS), &Secret::new([7; 32]));
    let verdict = digest(&mut verifier, 1, &right("x", 1), START);
    assert_eq!(verdict, Verdict::Refused(AuthFault::SchemeNotOffered));
}

#[test]
fn a_head_is_asked_for_its_only_credentials() {
    let head = |fields: &str| {
        let mut text = bytes::BytesMut::from(format!("GET {URL} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n").as_str());
        take_request_head(&mut text, &HeadLimits::default(), &mut 0).unwrap().unwrap()
    };
    let one = head("proxy-authorization: Basic dTpw\r\n");
    let asked = Asked::of(client(1), &one);
    assert_eq!(
        (asked.method, asked.target, asked.credentials),
        ("GET", URL.as_bytes(), Ok(Some(b"Basic dTpw".as_slice())))
    );
    assert_eq!(Asked::of(client(1), &head("Authorization: Basic dTpw\r\n")).credentials, Ok(None), "an origin's");
    let two = head("Proxy-Authorization: Basic dTpw\r\nProxy-Authorization: Basic dTpw\r\n");
    let judged = done(verifier().begin(&Asked::of(client(1), &two), START));
    assert_eq!(judged.verdict, Verdict::Refused(AuthFault::SeveralFields));
}

#[test]
fn series_and_users_on_several_clients_are_told_as_grounds() {
    let mut verifier = verifier();
    let missing = Asked { client: client(1), method: "GET", target: URL.as_bytes(), credentials: Ok(None) };
    let told: Vec<Ground> = (0..40)
        .flat_map(|n| {
            let judged = done(verifier.begin(&missing, at(n)));
            assert_eq!(judged.verdict, Verdict::Missing);
            judged.grounds
        })
        .collect();
    assert_eq!(told, [Ground::UnansweredSeries { client: client(1), count: 32 }]);
    let told: Vec<Ground> = (0..20)
        .flat_map(|n| match ask(&mut verifier, 2, &field_of("tanaka", &format!("guess {n}")), START) {
            Step::Done(judged) => judged.grounds,
            Step::Hash(job) => verifier.finish(job.run(), START).grounds,
        })
        .collect();
    let failed = |count| Ground::FailedSeries { client: client(2), count };
    assert_eq!(told, [failed(8), failed(16)], "those that nobody looked at count as well");
    let mut log_in = |from| {
        let job = job(ask(&mut verifier, from, &field_of("sato", "関所"), START));
        verifier.finish(job.run(), START).grounds
    };
    assert_eq!(log_in(3), []);
    assert_eq!(log_in(4), [Ground::SeveralClients { user: "sato".into(), clients: 2 }]);
}

#[test]
fn nothing_shows_a_password_a_hash_or_a_secret() {
    let mut verifier = verifier();
    let shown = format!("{verifier:?}");
    assert_eq!(shown, "Verifier { users: Users { passwords: 2, digests: 2, .. }, .. }");
    let judged = done(ask(&mut verifier, 1, "Basic Y2lyY2xl", START));
    assert!(!format!("{judged:?}").contains("circle"), "{judged:?}");
}

proptest! {
    #[test]
    fn no_credentials_make_it_panic_or_let_anybody_in(
        scheme in prop_oneof![Just("Basic "), Just("Digest "), Just("Negotiate "), Just("")],
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut verifier = verifier();
        let field = [scheme.as_bytes(), &bytes].concat();
        let asked = Asked { client: client(1), method: "GET", target: URL.as_bytes(), credentials: Ok(Some(&field)) };
        if let Step::Done(judged) = verifier.begin(&asked, START) {
            prop_assert!(matches!(judged.verdict, Verdict::Refused(_)), "{judged:?}");
        }
    }
}

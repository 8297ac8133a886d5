use std::time::Duration;

use super::super::auth::*;
use crate::facts::{ClientKey, Moment};
use crate::parse::{Place, Problem};

/// `argon2 somesalt -id -t 1 -m 3 -p 1 -e`, of `sekisho`: the cheapest that there is.
const PASSWORDS: &str = "tanaka:$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$qGPBq6+cXkCFFAQrrITV7Uvld0qMygGQ8iYfAKqO1II\n";
/// Of `Circle of Life`, by MD5 and by SHA-256.
const DIGESTS: &str = "tanaka:Example Ltd:7b0afccd2a9ef998fc46fcc8659fd632\n\
    tanaka:Example Ltd:5b56f906d942046a5815a0e57aff5b22d812358140c8f095f5dd2ead2530c1a5\n";
const NOW: Moment = Moment(3_600_000_000);

fn settings() -> Settings {
    Settings {
        realm: Realm::parse("Example Ltd").expect("a realm"),
        schemes: vec![Scheme::Digest, Scheme::Basic],
        users: Some("users".into()),
        digest: Some("digest".into()),
        groups: Some("groups".into()),
    }
}

/// Any bytes as the value of `Proxy-Authorization`; `NONCE` in it stands for the nonce that the client was given.
///
/// Nobody is known but by a password or a response. What is Basic is known by name and password alone, and again
/// when it is sent again; a response of Digest is good once, and for one client. What is not known stays so when it is
/// sent again.
pub fn authorization(bytes: &[u8]) {
    let texts =
        Texts { users: Some(PASSWORDS.as_bytes()), digest: Some(DIGESTS.as_bytes()), groups: Some(b"all: tanaka\n") };
    let users = Users::read(&settings(), texts).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut verifier = Verifier::new(users, &Secret::new([7; 32]));
    let clients = [1, 2].map(|last| ClientKey::of([10, 0, 0, last].into()));
    let challenges = verifier.challenges(clients[0], &Verdict::Missing, NOW);
    let nonce = challenges.first().and_then(|value| value.split("nonce=\"").nth(1)?.split('"').next());
    let field = with_nonce(bytes, nonce.expect("Digest is offered"));
    let from_elsewhere = judge(&mut verifier, clients[1], &field);
    let first = judge(&mut verifier, clients[0], &field);
    let second = judge(&mut verifier, clients[0], &field);
    match &first {
        Verdict::Known(user) => {
            assert_eq!((&*user.name, &*user.groups), ("tanaka", &["all".into()][..]));
            if field.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic ")) {
                let credentials = field[6..].trim_ascii();
                // `tanaka:sekisho` in Base64, padded or not.
                assert_eq!(credentials.strip_suffix(b"=").unwrap_or(credentials), b"dGFuYWthOnNla2lzaG8");
                assert_eq!((&from_elsewhere, &second), (&first, &first));
            } else {
                assert_eq!(from_elsewhere, Verdict::Stale(StaleNonce::Foreign));
                assert_eq!(second, Verdict::Stale(StaleNonce::Replayed));
            }
        }
        Verdict::TooOften { retry_after } => panic!("after {retry_after:?}"),
        Verdict::Missing => panic!("there are credentials"),
        Verdict::Wrong | Verdict::Refused(_) | Verdict::Stale(_) => {
            assert_eq!(second, first);
            assert!(!matches!(from_elsewhere, Verdict::Known(_)));
        }
    }
}

fn with_nonce(bytes: &[u8], nonce: &str) -> Vec<u8> {
    let mut field = bytes.to_vec();
    if let Some(at) = bytes.windows(5).position(|part| part == b"NONCE") {
        field.splice(at..at + 5, nonce.bytes());
    }
    field
}

fn judge(verifier: &mut Verifier, client: ClientKey, field: &[u8]) -> Verdict {
    let asked = Asked { client, method: "GET", target: b"http://a.example/", credentials: Ok(Some(field)) };
    match verifier.begin(&asked, NOW) {
        Step::Done(judged) => judged.verdict,
        Step::Hash(job) => verifier.finish(job.run(), NOW + Duration::from_millis(1)).verdict,
    }
}

/// Any bytes as the three files of users, with a byte 0xff between them, which no text has.
///
/// They are read or refused, and the next time the same. No more users are read than there are lines. What is refused
/// has problems, not without number, each with a place in its file and a fix.
pub fn user_table(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == 0xff);
    let texts = Texts { users: parts.next(), digest: parts.next(), groups: parts.next() };
    let of = |text: Option<&[u8]>| text.map_or(1, |text| text.split(|byte| *byte == b'\n').count());
    match (Users::read(&settings(), texts), Users::read(&settings(), texts)) {
        (Ok(users), Ok(again)) => {
            let (passwords, digests) = users.counts();
            assert_eq!((passwords, digests), again.counts());
            assert!((1..=of(texts.users)).contains(&passwords) && (1..=of(texts.digest)).contains(&digests));
        }
        (Err(problems), Err(again)) => {
            assert_eq!(problems, again);
            assert!((1..=3 * 101).contains(&problems.len()), "{} problems", problems.len());
            for Problem { place: Place { file, line, .. }, what, fix, .. } in &problems {
                let text = match &**file {
                    "users" => texts.users,
                    "digest" => texts.digest,
                    _ => texts.groups,
                };
                assert!((1..=of(text)).contains(&(*line as usize)), "{file}:{line}: {what}");
                assert!(!what.is_empty() && !fix.is_empty(), "{file}:{line}: {what}");
            }
        }
        _ => panic!("read once and refused once"),
    }
}

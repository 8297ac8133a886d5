use std::net::Ipv4Addr;

use crate::challenge::{ANSWER_PATH, Answer, Asks, Bound, Proof, TokenFault, Tokens, read_answer, waited};
use crate::facts::{ClientKey, Host, Path, ProgramKey, Timestamp};

const ISSUED: Timestamp = Timestamp(1_800_000_000_000_000);
const SECOND: i64 = 1_000_000;

/// Any bytes as an answer to a challenge: eight of them how many microseconds later, two that tell where the rest is
/// divided into a token and a solution. A token that begins with `+` is the one that was issued, with the bytes behind
/// the sign written over it; a solution that begins with `+` is the right one.
///
/// Only what was issued is ours, only to the program and the site that it was issued for, and only the right solution
/// is taken, within its time, and once.
pub fn challenge_token(bytes: &[u8]) {
    let Some((later, rest)) = bytes.split_first_chunk::<8>() else { return };
    let Some((split, rest)) = rest.split_first_chunk::<2>() else { return };
    let later = i64::from_be_bytes(*later);
    let (token, solution) = rest.split_at(usize::from(u16::from_be_bytes(*split)).min(rest.len()));
    let Ok(host) = Host::parse(b"a.test") else { return };
    let (program, other) = (ProgramKey([1; 16]), ProgramKey([2; 16]));
    let bound = Bound { client: ClientKey::of(Ipv4Addr::LOCALHOST.into()), program: &program, host: &host, port: 80 };

    let mut tokens = Tokens::new([[1; 32], [2; 32], [3; 32]], ISSUED);
    let Some(issued) = tokens.issue(&bound, Asks { may_wait: false, person: false }, ISSUED) else {
        panic!("none was answered")
    };
    let issued = issued.work;
    let token = match token.split_first() {
        Some((b'+', over)) => written_over(&issued, over),
        _ => String::from_utf8_lossy(token).into_owned(),
    };
    let is_ours = token == issued;
    assert_eq!(tokens.knows(&token), is_ours);
    let asks_solved = solution.first() == Some(&b'+') && is_ours;
    let solution = if asks_solved { solved(&token) } else { String::from_utf8_lossy(solution).into_owned() };

    let now = Timestamp(ISSUED.0.saturating_add_signed(later));
    let answer = Answer { token: &token, proof: Proof::Work(&solution) };
    for foreign in [Bound { program: &other, ..bound }, Bound { port: 81, ..bound }] {
        assert!(tokens.take(&answer, &foreign, now).is_err());
    }
    let taken = tokens.take(&answer, &bound, now);
    if taken.is_ok() {
        assert!(is_ours && (-30 * SECOND..300 * SECOND).contains(&later), "{later} µs later");
        assert_eq!(tokens.take(&answer, &bound, now), Err(TokenFault::Spent));
    } else if asks_solved && (-30 * SECOND..300 * SECOND).contains(&later) {
        panic!("{taken:?}, {later} µs later");
    } else if !is_ours {
        assert!(matches!(taken, Err(TokenFault::Malformed | TokenFault::Forged)), "{taken:?}");
    }
    reads_back(&[ANSWER_PATH.as_bytes(), b"?t=", rest].concat());
}

/// An answer that is read is written the same again, and leads to a path of the same site alone.
fn reads_back(bytes: &[u8]) {
    let Some(path) = Path::parse(bytes) else { return };
    if let Some(Answer { token, proof: Proof::Waited(back) }) = read_answer(&path) {
        assert!(back.as_ref().is_none_or(|back| back.as_str().starts_with('/')), "{back:?}");
        assert_eq!(waited(token, back.as_ref()), path.as_str());
    }
}

fn written_over(issued: &str, over: &[u8]) -> String {
    let mut bytes = issued.as_bytes().to_vec();
    for (byte, over) in bytes.iter_mut().zip(over) {
        *byte = *over;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// By trying, as the page's script does.
fn solved(token: &str) -> String {
    use sha2::{Digest, Sha256};
    let zeros = |hash: &[u8]| hash.first() == Some(&0) && hash.get(1).is_some_and(|byte| *byte < 16);
    let is_right = |number: &u32| zeros(&Sha256::digest(format!("{token}.{number}")));
    (0..).find(is_right).unwrap_or_default().to_string()
}

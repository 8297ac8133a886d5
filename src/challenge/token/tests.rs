use super::*;

const PROGRAM: ProgramKey = ProgramKey([7; 16]);
const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

fn host(name: &str) -> Host {
    Host::parse(name.as_bytes()).unwrap()
}

fn later(seconds: i64) -> Timestamp {
    Timestamp(NOW.0.checked_add_signed(seconds * 1_000_000).unwrap())
}

fn tokens() -> Tokens {
    Tokens::new([[1; 32], [2; 32], [5; 32]], NOW)
}

fn bound(host: &Host) -> Bound<'_> {
    Bound { client: client(1), program: &PROGRAM, host, port: 80 }
}

fn client(number: u8) -> ClientKey {
    ClientKey::of([10, 0, 0, number].into())
}

const SCRIPTED: Asks = Asks { may_wait: false, person: false };
const EITHER: Asks = Asks { may_wait: true, person: false };

fn work(tokens: &mut Tokens, bound: &Bound<'_>, now: Timestamp) -> String {
    tokens.issue(bound, SCRIPTED, now).unwrap().work
}

fn take(
    tokens: &mut Tokens,
    token: &str,
    solution: &str,
    bound: &Bound<'_>,
    now: Timestamp,
) -> Result<bool, TokenFault> {
    tokens.take(&Answer { token, proof: Proof::Work(solution) }, bound, now)
}

fn solve(token: &str) -> String {
    (0..1_000_000).map(|number: u32| number.to_string()).find(|number| solves(token, number, BITS)).unwrap()
}

#[test]
fn a_solution_is_taken_once_and_from_whom_it_was_asked() {
    let (mut tokens, site, other) = (tokens(), host("a.test"), host("b.test"));
    let bound = bound(&site);
    let token = work(&mut tokens, &bound, NOW);
    let solution = solve(&token);
    let foreign = [
        Bound { program: &ProgramKey([8; 16]), ..bound },
        Bound { host: &other, ..bound },
        Bound { port: 81, ..bound },
    ];
    for foreign in foreign {
        assert_eq!(take(&mut tokens, &token, &solution, &foreign, NOW), Err(TokenFault::Foreign));
    }
    assert_eq!(take(&mut tokens, &token, &solution, &bound, later(1)), Ok(false));
    assert_eq!(take(&mut tokens, &token, &solution, &bound, later(2)), Err(TokenFault::Spent));
    assert!(tokens.knows(&token));
    let again = work(&mut tokens, &bound, NOW);
    assert_ne!(again, token);
    assert!(take(&mut tokens, &again, &solve(&again), &bound, NOW).is_ok());
}

#[test]
fn what_is_altered_forged_or_no_solution_is_refused_by_name() {
    let (mut tokens, site) = (tokens(), host("a.test"));
    let bound = bound(&site);
    let token = work(&mut tokens, &bound, NOW);
    for at in 0..token.len() {
        let mut altered = token.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        let fault = take(&mut tokens, &altered, "1", &bound, NOW);
        assert!(matches!(fault, Err(TokenFault::Forged | TokenFault::Malformed)), "{at}: {fault:?}");
    }
    for malformed in ["", "AAAA", "not base64!", &token[..token.len() - 4], &format!("{token}AAAA")] {
        let fault = take(&mut tokens, malformed, "1", &bound, NOW);
        assert!(matches!(fault, Err(TokenFault::Forged | TokenFault::Malformed)), "{malformed}: {fault:?}");
    }
    let mut other = Tokens::new([[3; 32], [4; 32], [5; 32]], NOW);
    let foreign = work(&mut other, &bound, NOW);
    assert_eq!(take(&mut tokens, &foreign, "1", &bound, NOW), Err(TokenFault::Forged));
    for wrong in ["", "-1", "1 ", "0x1", "99999999999", "１"] {
        assert_eq!(take(&mut tokens, &token, wrong, &bound, NOW), Err(TokenFault::NoSolution), "{wrong}");
    }
    let wrong = (0..).map(|number: u32| number.to_string()).find(|number| !solves(&token, number, BITS)).unwrap();
    assert_eq!(take(&mut tokens, &token, &wrong, &bound, NOW), Err(TokenFault::NoSolution));
    assert_eq!(take(&mut tokens, &token, &solve(&token), &bound, NOW), Ok(false), "no failure has spent it");
}

#[test]
fn a_challenge_has_its_time_whatever_the_clock_does() {
    let (mut tokens, site) = (tokens(), host("a.test"));
    let bound = bound(&site);
    let token = work(&mut tokens, &bound, NOW);
    let solution = solve(&token);
    assert_eq!(take(&mut tokens, &token, &solution, &bound, later(300)), Err(TokenFault::Expired));
    assert_eq!(take(&mut tokens, &token, &solution, &bound, later(-31)), Err(TokenFault::NotYet));
    assert_eq!(take(&mut tokens, &token, &solution, &bound, later(299)), Ok(false));
    for at in [-29, 0, 299] {
        assert_eq!(take(&mut tokens, &token, &solution, &bound, later(at)), Err(TokenFault::Spent), "{at}");
    }
}

#[test]
fn keys_are_exchanged_and_what_the_one_before_signed_is_still_taken() {
    let (mut tokens, site) = (tokens(), host("a.test"));
    let bound = bound(&site);
    let first = tokens.keys;
    let token = work(&mut tokens, &bound, later(3599));
    let _ = work(&mut tokens, &bound, later(3600));
    assert_eq!(tokens.keys[1], first[0]);
    assert_ne!(tokens.keys[0], first[0]);
    assert_eq!(take(&mut tokens, &token, &solve(&token), &bound, later(3601)), Ok(false));
    let _ = work(&mut tokens, &bound, later(7300));
    assert!(!tokens.knows(&token), "two exchanges later it is nobody's");
}

#[test]
fn what_is_spent_is_kept_as_long_as_it_matters_and_no_longer() {
    let (mut tokens, site) = (tokens(), host("a.test"));
    let bound = bound(&site);
    for minute in 0..5 {
        let token = work(&mut tokens, &bound, later(60 * minute));
        take(&mut tokens, &token, &solve(&token), &bound, later(60 * minute)).unwrap();
    }
    assert_eq!((tokens.spent.len(), tokens.until.len()), (5, 5));
    let token = work(&mut tokens, &bound, later(1000));
    take(&mut tokens, &token, &solve(&token), &bound, later(1000)).unwrap();
    assert_eq!((tokens.spent.len(), tokens.until.len()), (1, 1));
    tokens.spent.extend((1000..).take(SPENT_MAX));
    let token = work(&mut tokens, &bound, later(1000));
    assert_eq!(take(&mut tokens, &token, &solve(&token), &bound, later(1000)), Err(TokenFault::TooMany));
}

#[test]
fn a_browser_without_scripts_waits_where_it_may_and_a_page_is_answered_in_one_way() {
    let (mut tokens, site) = (tokens(), host("a.test"));
    let bound = bound(&site);
    assert_eq!(tokens.issue(&bound, SCRIPTED, NOW).unwrap().wait, None);
    let page = tokens.issue(&bound, EITHER, NOW).unwrap();
    let wait = page.wait.unwrap();
    let waited = Answer { token: &wait, proof: Proof::Waited(None) };
    let just_before = Timestamp(NOW.0 + micros(WAIT) - 1);
    assert_eq!(tokens.take(&waited, &bound, just_before), Err(TokenFault::TooSoon));
    let solved = Answer { token: &wait, proof: Proof::Work("1") };
    assert_eq!(tokens.take(&solved, &bound, later(4)), Err(TokenFault::NoSolution), "it asks for no work");
    let unsolved = Answer { token: &page.work, proof: Proof::Waited(None) };
    assert_eq!(tokens.take(&unsolved, &bound, later(4)), Err(TokenFault::NoSolution), "it asks for work");
    assert_eq!(tokens.take(&waited, &bound, later(4)), Ok(false));
    let solution = solve(&page.work);
    assert_eq!(take(&mut tokens, &page.work, &solution, &bound, later(4)), Err(TokenFault::Spent));
}

#[test]
fn after_three_answers_in_a_row_there_is_no_fourth_page_for_a_minute() {
    let (mut tokens, site) = (tokens(), host("a.test"));
    let bound = bound(&site);
    // As of a browser whose scripts send another User-Agent than its pages.
    let other = Bound { program: &ProgramKey([8; 16]), ..bound };
    for _ in 0..3 {
        let tabs = [work(&mut tokens, &bound, NOW), work(&mut tokens, &bound, NOW)];
        for token in tabs {
            let solution = solve(&token);
            assert_eq!(take(&mut tokens, &token, &solution, &other, NOW), Err(TokenFault::Foreign));
        }
    }
    assert_eq!(tokens.issue(&bound, EITHER, later(59)), None);
    assert!(tokens.issue(&other, EITHER, NOW).is_some() && tokens.issue(&bound, EITHER, later(60)).is_some());
}

#[test]
fn a_new_page_is_asked_for_at_once_only_where_the_gate_counts_it() {
    let again: Vec<_> = [
        TokenFault::Malformed,
        TokenFault::Forged,
        TokenFault::Foreign,
        TokenFault::Expired,
        TokenFault::NotYet,
        TokenFault::TooSoon,
        TokenFault::NoSolution,
        TokenFault::Spent,
        TokenFault::TooMany,
    ]
    .into_iter()
    .filter(|fault| fault.asks_again())
    .collect();
    assert_eq!(again, [TokenFault::Foreign, TokenFault::Expired, TokenFault::Spent]);
}

#[test]
fn that_a_person_has_confirmed_is_in_what_is_signed() {
    let (mut tokens, site) = (tokens(), host("a.test"));
    let bound = bound(&site);
    let token = tokens.issue(&bound, Asks { may_wait: false, person: true }, NOW).unwrap().work;
    assert_eq!(take(&mut tokens, &token, &solve(&token), &bound, NOW), Ok(true));
}

#[test]
fn one_client_takes_no_room_of_others() {
    let (mut tokens, site) = (tokens(), host("a.test"));
    tokens.of_client.insert(client(1), SPENT_OF_CLIENT_MAX);
    let (one, other) = (bound(&site), Bound { client: client(2), ..bound(&site) });
    let token = work(&mut tokens, &one, NOW);
    assert_eq!(take(&mut tokens, &token, &solve(&token), &one, NOW), Err(TokenFault::TooMany));
    assert_eq!(take(&mut tokens, &token, &solve(&token), &other, NOW), Ok(false));
    assert_eq!(tokens.of_client[&client(2)], 1);
    let token = work(&mut tokens, &other, later(1000));
    take(&mut tokens, &token, &solve(&token), &other, later(1000)).unwrap();
    assert_eq!(tokens.of_client[&client(2)], 1, "what is over no longer counts");
}

//! Names that do not resolve, connections that fail, and log-ins and challenges that fail.

use crate::evidence::{Asked, Failure, Finding, FindingKind, Part, Severity, Shown, Verdict};

use super::traffic::{DAY, Entry, HOUR, MINUTE, More, Source, found, log};

const PC: &str = "10.0.0.5";
const BROWSER: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";

/// Two days in which thirty clients reach what others reach too, each half an hour.
fn office() -> Vec<Entry> {
    let mut entries = Vec::new();
    for round in 0..96 {
        for client in 0..30 {
            let at = 1_800.0 * f64::from(round) + f64::from(client);
            let more = More { status: 200, user_agent: BROWSER, ..More::default() };
            let host = format!("portal{}.example.net", (client + round) % 40);
            entries.push(Entry { more, ..Entry::request(at, &format!("10.0.1.{client}"), &host) });
        }
    }
    entries
}

fn failed(at: f64, client: &str, host: &str, failure: Failure) -> Entry {
    Entry { more: More { failure, user_agent: BROWSER, ..More::default() }, ..Entry::request(at, client, host) }
}

fn told(kind: FindingKind, parts: impl IntoIterator<Item = Vec<Entry>>) -> Vec<Finding> {
    let mut findings = found(&log([office()].into_iter().chain(parts)));
    findings.retain(|finding| finding.kind == kind);
    findings
}

#[track_caller]
fn only(findings: Vec<Finding>) -> Finding {
    let [finding] = findings.try_into().unwrap_or_else(|findings| panic!("{findings:#?}"));
    finding
}

fn codes(finding: &Finding) -> Vec<&'static str> {
    finding.grounds.iter().map(|ground| ground.ground).collect()
}

/// A name as generators of domains make them.
fn generated(source: &mut Source) -> String {
    let label: String = (0..11 + source.below(3)).map(|_| char::from(b'a' + source.below(26) as u8)).collect();
    format!("{label}.{}", ["com", "net", "info", "biz"][source.below(4)])
}

fn burst(source: &mut Source, from: f64, client: &str, names: usize, gap: f64) -> Vec<Entry> {
    (0..names).map(|name| failed(from + gap * name as f64, client, &generated(source), Failure::NoName)).collect()
}

#[test]
fn a_burst_of_generated_names_is_told_of() {
    let finding = only(told(FindingKind::UnresolvedNames, [burst(&mut Source(1), DAY, PC, 24, 15.0)]));
    assert_eq!(codes(&finding), ["unresolved_names", "no_common_domain", "alike_lengths"]);
    assert_eq!((&*finding.client, &*finding.target, finding.severity), (PC, "", Severity::Medium));
    assert_eq!(
        finding.in_english(),
        "21 different names that do not resolve within 10 min; hardly two of them share a registrable domain (21 \
         domains); all about 12 characters long (standard deviation 0.8); 22 requests over 5.2 min."
    );
    assert_eq!(
        finding.in_japanese(),
        "10分間に名前解決できない名前を21種類要求。登録ドメインがほとんど共通しない（21ドメイン）。\
         長さがそろっている（平均12文字、標準偏差0.8）。5.2分で22件。"
    );
}

#[test]
fn the_more_names_the_more_pressing_and_slow_ones_count_by_the_hour() {
    let many = only(told(FindingKind::UnresolvedNames, [burst(&mut Source(2), DAY, PC, 300, 2.0)]));
    assert_eq!(many.severity, Severity::High, "{}", many.in_english());
    let slow = only(told(FindingKind::UnresolvedNames, [burst(&mut Source(3), DAY, PC, 60, 55.0)]));
    assert_eq!(slow.number("unresolved_names", "minutes"), Some(60.0));
    assert_eq!(told(FindingKind::UnresolvedNames, [burst(&mut Source(3), DAY, PC, 60, 4.0 * MINUTE)]), []);
}

#[test]
fn many_clients_with_the_same_names_do_not_hide_each_other() {
    let infected = (0..10).map(|client| burst(&mut Source(4), DAY, &format!("10.0.1.{client}"), 24, 15.0));
    assert_eq!(told(FindingKind::UnresolvedNames, infected).len(), 10);
}

#[test]
fn mistyped_names_and_probes_and_one_name_asked_for_without_end_are_let_be() {
    let no_name = |at: f64, host: &str| failed(at, PC, host, Failure::NoName);
    let typos = ["exmaple.com", "wwww.example.org", "gogle.example"].map(|host| no_name(DAY, host)).to_vec();
    let mut source = Source(5);
    let mut probes = Vec::new();
    for start in 0..20 {
        for probe in 0..3 {
            let label = generated(&mut source).replace('.', "");
            probes.push(no_name(DAY + 30.0 * f64::from(start) + f64::from(probe), &label));
        }
    }
    let intranet = (0..500).map(|time| no_name(DAY + f64::from(time), "wiki.corp.example")).collect();
    assert_eq!(told(FindingKind::UnresolvedNames, [typos, probes, intranet]), []);
}

#[test]
fn where_the_resolver_is_down_nobody_is_told_of() {
    let mut source = Source(6);
    // What was reached before fails, and what nobody knew.
    let mut down = Vec::new();
    for client in 0..30 {
        for place in 0..60 {
            let known = source.below(3) > 0;
            let host =
                if known { format!("portal{}.example.net", place % 40) } else { format!("n{place}.example.org") };
            let at = DAY + 10.0 * f64::from(place) + f64::from(client) / 10.0;
            down.push(failed(at, &format!("10.0.1.{client}"), &host, Failure::NoName));
        }
    }
    assert_eq!(told(FindingKind::UnresolvedNames, [down]), []);
    // The gate has just begun, and knows nothing.
    let cold = (0..8).flat_map(|client| burst(&mut source, f64::from(client), &format!("10.0.2.{client}"), 60, 5.0));
    assert_eq!(found(&log([cold.collect()])), []);
}

/// Connections that are tried one after the other.
fn tries(places: impl Iterator<Item = (String, u16)>, failure: Failure, verdict: Verdict) -> Vec<Entry> {
    let entry = |(number, (host, port)): (usize, (String, u16))| Entry {
        port,
        verdict,
        what: Asked::Tunnel,
        ..failed(DAY + 2.0 * number as f64, PC, &host, failure)
    };
    places.enumerate().map(entry).collect()
}

#[test]
fn ports_of_a_host_that_are_tried_one_by_one_are_told_of() {
    let ports = (1..=40).map(|port| ("203.0.113.9".to_owned(), port * 10));
    let finding = only(told(FindingKind::FailedConnects, [tries(ports, Failure::Refused, Verdict::Allowed)]));
    assert_eq!((&*finding.target, finding.severity), ("203.0.113.9", Severity::Medium));
    assert_eq!(
        finding.in_english(),
        "30 different hosts and ports were tried in vain within 10 min; many ports of few hosts (1); asked for by \
         address, not by name; 30 requests over 58.0 s."
    );
    assert_eq!(
        finding.in_japanese(),
        "10分間に30種類の相手・ポートへの接続に失敗。少数の相手（1台）の多数のポートを試行。\
         名前ではなくIPアドレスを直接指定。58.0秒で30件。"
    );
}

#[test]
fn addresses_that_are_tried_one_by_one_are_told_of_also_where_they_are_denied() {
    let sweep = || (1..=250).map(|host| (format!("10.20.0.{host}"), 445));
    for (failure, verdict) in [(Failure::Unanswered, Verdict::Allowed), (Failure::None, Verdict::Denied)] {
        let finding = only(told(FindingKind::FailedConnects, [tries(sweep(), failure, verdict)]));
        assert_eq!(codes(&finding), ["failed_connects", "by_address"]);
        assert_eq!((&*finding.target, finding.severity), ("", Severity::Medium));
        assert_eq!(finding.denied > 0, verdict == Verdict::Denied);
    }
}

#[test]
fn a_dead_server_that_is_polled_and_advertisers_that_are_denied_and_a_line_that_is_down_are_let_be() {
    let dead = (0..2_000).map(|_| ("dead.example.org".to_owned(), 8_443));
    let denied = (0..200).map(|number| (format!("ads{number}.example.org"), 443));
    assert_eq!(
        told(
            FindingKind::FailedConnects,
            [tries(dead, Failure::Refused, Verdict::Allowed), tries(denied, Failure::None, Verdict::Denied)]
        ),
        []
    );
    let down = (0..30).flat_map(|client| {
        (0..50).map(move |place| {
            let at = DAY + 5.0 * f64::from(place) + f64::from(client) / 10.0;
            let host = if place % 2 == 0 { format!("portal{place}.example.net") } else { format!("n{place}.example") };
            failed(at, &format!("10.0.1.{client}"), &host, Failure::Unanswered)
        })
    });
    assert_eq!(told(FindingKind::FailedConnects, [down.collect()]), []);
}

/// So often asked to log in, each so many seconds after the other.
fn asked(times: u32, gap: f64, reason: &'static str, user_agent: &'static str) -> Vec<Entry> {
    (0..times)
        .map(|time| {
            let more = More { reason, user_agent, status: 407, ..More::default() };
            let verdict = Verdict::Denied;
            Entry { verdict, more, ..Entry::request(DAY + gap * f64::from(time), PC, "portal1.example.net") }
        })
        .collect()
}

#[test]
fn a_program_of_one_client_that_never_logs_in_is_told_of() {
    let finding = only(told(FindingKind::FailedChallenges, [asked(25, 60.0, "log_in_needed", "Sync/1.2")]));
    assert_eq!((&*finding.target, finding.severity), ("Sync", Severity::Low));
    assert_eq!(
        finding.in_english(),
        "asked to log in 20 times within an hour, it never did; 1 of 31 clients have the program that asked; 20 requests \
         over 19.0 min, 20 of them denied."
    );
    assert_eq!(
        finding.in_japanese(),
        "1時間に20回ログインを求められたが、一度も応じていない。要求したプログラムを持つのは31台中1台。\
         19.0分で20件（うち拒否20件）。"
    );
    let of_squid = told(FindingKind::FailedChallenges, [asked(25, 60.0, "TCP_DENIED", "Sync/1.2")]);
    assert_eq!(only(of_squid).grounds, finding.grounds);
}

#[test]
fn wrong_log_ins_are_told_of_and_the_more_the_more_pressing() {
    let few = only(told(FindingKind::FailedChallenges, [asked(10, 20.0, "log_in_wrong", BROWSER)]));
    assert_eq!((codes(&few), few.severity), (vec!["wrong_log_ins"], Severity::Low), "a browser of all clients");
    let many = only(told(FindingKind::FailedChallenges, [asked(120, 20.0, "log_in_refused", "Sync/1.2")]));
    assert_eq!(many.severity, Severity::Medium, "{}", many.in_english());
}

#[test]
fn a_typo_and_a_program_that_cannot_log_in_and_what_logs_in_after_all_are_let_be() {
    let typo = asked(3, 20.0, "log_in_wrong", BROWSER);
    let each_start = asked(40, HOUR / 6.0, "log_in_needed", "Old/1.0");
    // Each connection is asked once, as by NTLM, and then logs in.
    let mut each_connection = asked(200, 10.0, "log_in_needed", "Office/16.0");
    for mut entry in each_connection.clone() {
        entry.time += 1_000_000;
        entry.verdict = Verdict::Allowed;
        entry.more = More { user: "sato", user_agent: "Office/16.0", status: 200, ..More::default() };
        each_connection.push(entry);
    }
    // Many clients have a program that cannot.
    let common = (0..30).flat_map(|client| {
        asked(60, 30.0, "log_in_needed", "Agent/3.0").into_iter().map(move |entry| Entry {
            client: format!("10.0.1.{client}"),
            time: entry.time + client,
            ..entry
        })
    });
    let mut findings = told(FindingKind::FailedChallenges, [typo, each_start, each_connection]);
    assert_eq!(findings, []);
    findings = told(FindingKind::FailedChallenges, [common.collect()]);
    assert!(findings.len() <= 2, "the first alone are told of: {findings:#?}");
}

/// What came of challenges, a minute apart.
fn challenges(outcomes: &[Shown]) -> Vec<Entry> {
    let entry = |(number, standing): (usize, &Shown)| {
        let more = More { standing: *standing, user_agent: BROWSER, ..More::default() };
        let entry = Entry::request(DAY + 60.0 * number as f64, PC, &format!("h{number}.example.org"));
        Entry { part: Part::Shown, what: Asked::Tunnel, more, ..entry }
    };
    outcomes.iter().enumerate().map(entry).collect()
}

#[test]
fn a_program_that_fails_at_all_challenges_is_told_of_and_one_that_passes_some_is_not() {
    let finding = only(told(FindingKind::FailedChallenges, [challenges(&[Shown::Failed; 5])]));
    assert_eq!(finding.severity, Severity::Low);
    assert_eq!(&*finding.target, "Mozilla Windows NT AppleWebKit KHTML like Gecko Chrome Safari");
    assert_eq!(
        finding.in_english(),
        "it claims to be a browser and failed at 5 challenges within an hour, and passed none; 5 requests over 4.0 min."
    );
    let outcomes = [Shown::Failed, Shown::Failed, Shown::Failed, Shown::Cleared].repeat(10);
    assert_eq!(told(FindingKind::FailedChallenges, [challenges(&outcomes)]), []);
}

#[test]
fn generated_names_are_found_and_browsing_with_dead_links_is_not_whatever_the_seed() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    let (mut hits, mut false_hits) = (0, 0);
    for _ in 0..20 {
        let (names, gap) = (29 + source.below(60), source.even(1.0, 18.0));
        hits += usize::from(!told(FindingKind::UnresolvedNames, [burst(&mut source, DAY, PC, names, gap)]).is_empty());
        let times = source.times(8.0 * HOUR, |source| source.exponential(5.0 * MINUTE));
        let dead = times.iter().map(|at| failed(DAY + at, PC, &generated(&mut source), Failure::NoName)).collect();
        false_hits += usize::from(!told(FindingKind::UnresolvedNames, [dead]).is_empty());
    }
    assert_eq!((hits, false_hits), (20, 0), "seed {seed}");
}

#[test]
fn sweeps_and_programs_that_never_log_in_are_found_and_faults_are_not_whatever_the_seed() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    for _ in 0..8 {
        let (places, net) = (40 + source.below(150), source.below(250));
        let port = [22, 445, 3389, 8080][source.below(4)];
        let failure = [Failure::Refused, Failure::Unanswered][source.below(2)];
        let sweep = (1..=places).map(|host| (format!("10.{net}.20.{host}"), port));
        let dead = 1 + source.below(5);
        let faults = (0..places).map(|time| (format!("dead{}.example.org", time % dead), 443));
        let found = |places| told(FindingKind::FailedConnects, [places]).len();
        assert_eq!(found(tries(sweep, failure, Verdict::Allowed)), 1, "seed {seed}: {places} places");
        assert_eq!(found(tries(faults, failure, Verdict::Allowed)), 0, "seed {seed}: {dead} dead ones");
        let (times, gap) = (25 + source.below(60) as u32, source.even(10.0, 120.0));
        let never = told(FindingKind::FailedChallenges, [asked(times, gap, "log_in_needed", "Sync/1.2")]);
        assert_eq!(never.len(), 1, "seed {seed}: {times} times, {gap} s apart");
        let typos = asked(1 + source.below(4) as u32, gap, "log_in_wrong", BROWSER);
        assert_eq!(told(FindingKind::FailedChallenges, [typos]), [], "seed {seed}");
    }
}

//! Programs that are not what they claim to be, and programs that nobody else has.

use crate::evidence::{Asked, Finding, FindingKind, Severity, Shown, Verdict};

use super::traffic::{DAY, Entry, HOUR, More, Source, found, log};

const PC: &str = "10.0.0.5";
const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:150.0) Gecko/20100101 Firefox/150.0";
const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Safari/605.1.15";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile Safari/604.1";

fn tunnel(at: f64, client: &str, host: &str, more: More) -> Entry {
    let more = More { carries: "tls", sni: host.to_owned(), ..more };
    Entry { what: Asked::Tunnel, more, ..Entry::request(at, client, host) }
}

fn by(tls_key: &'static str, user_agent: &'static str) -> More {
    More { tls_key, user_agent, ..More::default() }
}

/// Ten days in which sixty clients have the same browser and the same updater, and the PC too.
fn office() -> Vec<Entry> {
    let mut entries = Vec::new();
    for day in 0..10 {
        for client in 0..60 {
            let at = f64::from(day) * DAY + f64::from(client) * 60.0;
            let client = if client == 0 { PC.to_owned() } else { format!("10.0.1.{client}") };
            entries.push(tunnel(at, &client, "portal.example.net", by("chrome", CHROME)));
            entries.push(tunnel(at + 1.0, &client, "update.example.net", by("schannel", "Updater/1.0")));
        }
    }
    entries
}

/// So many exchanges from the eighth day on, so many seconds apart.
fn calls(times: u32, gap: f64, host: &str, more: &More) -> Vec<Entry> {
    (0..times).map(|time| tunnel(8.0 * DAY + gap * f64::from(time), PC, host, more.clone())).collect()
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

#[test]
fn a_program_that_contradicts_itself_is_told_of_and_the_more_where_its_host_is_rare() {
    let more = More { contradictions: 2, ..by("go-http", CHROME) };
    let finding = only(told(FindingKind::Mimic, [calls(3, 700.0, "c2.example.org", &more)]));
    assert_eq!((&*finding.client, &*finding.target), (PC, "go-http"));
    assert_eq!(finding.severity, Severity::Low, "{}", finding.score);
    assert_eq!(
        finding.in_english(),
        "up to 2 things do not fit the browser that it claims to be (2 exchanges); 1 of 60 clients talk to \
         c2.example.org, to which it did; 1 of 60 clients have this program, which came after the first week; 2 requests \
         over 11.7 min."
    );
    assert_eq!(
        finding.in_japanese(),
        "名乗るブラウザと合わない点が最大2つ（2件の通信）。通信先のc2.example.orgを使うのは60台中1台。\
         このプログラムを持つのは60台中1台（監視開始から1週間後以降に出現）。11.7分で2件。"
    );
    let again = only(told(FindingKind::Mimic, [calls(20, 700.0, "c2.example.org", &more)]));
    assert_eq!(again.severity, Severity::Medium, "{}", again.in_english());
}

#[test]
fn what_the_gate_refused_as_a_mimic_is_told_of_also_without_a_key() {
    let more = More { standing: Shown::Mimic, user_agent: CHROME, ..More::default() };
    let mut refused = calls(4, 60.0, "portal.example.net", &more);
    refused.iter_mut().for_each(|entry| entry.verdict = Verdict::Denied);
    let finding = only(told(FindingKind::Mimic, [refused]));
    assert_eq!((codes(&finding), finding.severity), (vec!["mimic"], Severity::Low));
    assert_eq!(&*finding.target, "Mozilla Windows NT AppleWebKit KHTML like Gecko Chrome Safari");
    assert!(finding.in_english().contains("2 requests over 60.0 s, 2 of them denied"), "{}", finding.in_english());
}

#[test]
fn a_version_that_the_gate_does_not_know_yet_and_what_looks_into_tls_are_told_of_for_few_alone() {
    let inspected = |client: u32| {
        let more = More { contradictions: 3, ..by("antivirus", CHROME) };
        let host = "portal.example.net";
        (0..20).map(move |time| {
            tunnel(
                8.0 * DAY + 600.0 * f64::from(time) + f64::from(client),
                &format!("10.0.1.{client}"),
                host,
                more.clone(),
            )
        })
    };
    let findings = told(FindingKind::Mimic, [(1..60).flat_map(inspected).collect()]);
    assert!(findings.len() <= 2, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.severity == Severity::Low));
    let one = More { contradictions: 1, ..by("chrome", CHROME) };
    assert_eq!(told(FindingKind::Mimic, [calls(50, 60.0, "portal.example.net", &one)]), []);
}

#[test]
fn a_browser_with_a_key_that_no_browser_had_is_told_of_after_a_day() {
    let more = by("go-http", CHROME);
    let finding = only(told(FindingKind::StrangeKey, [calls(40, HOUR, "c2.example.org", &more)]));
    assert_eq!((&*finding.client, &*finding.target), (PC, "go-http"));
    assert_eq!(
        (codes(&finding), finding.severity),
        (vec!["strange_key", "rare_host", "rare_program"], Severity::Medium)
    );
    assert_eq!(
        finding.in_english(),
        "it claims to be a browser, with a TLS key that no browser here ever had (watched for 9.0 d); 1 of 60 clients talk \
         to c2.example.org, to which it did; 1 of 60 clients have this program, which came after the first week; 25 \
         requests over 24.0 h."
    );
    assert_eq!(
        finding.in_japanese(),
        "ブラウザを名乗るが、TLSキーはこの網のどのブラウザのものでもない（監視期間9.0日）。\
         通信先のc2.example.orgを使うのは60台中1台。\
         このプログラムを持つのは60台中1台（監視開始から1週間後以降に出現）。24.0時間で25件。"
    );
    assert_eq!(
        told(FindingKind::StrangeKey, [calls(40, 60.0, "c2.example.org", &more)]),
        [],
        "it may become common yet"
    );
}

#[test]
fn a_browser_that_was_cleared_and_a_version_that_all_get_within_a_day_are_let_be() {
    let mut cleared = calls(40, HOUR, "new.example.org", &by("firefox", FIREFOX));
    cleared[0].more.standing = Shown::Cleared;
    let version = (0..60).flat_map(|client| {
        (0..40).map(move |time| {
            let at = 8.0 * DAY + HOUR * f64::from(time) + 1_200.0 * f64::from(client);
            tunnel(at, &format!("10.0.1.{client}"), "portal.example.net", by("chrome-149", CHROME))
        })
    });
    assert_eq!(told(FindingKind::StrangeKey, [cleared, version.collect()]), []);
    let no_browser = calls(40, HOUR, "new.example.org", &by("go-http", "Go-http-client/1.1"));
    assert_eq!(told(FindingKind::StrangeKey, [no_browser]), []);
}

/// Goes by each of these names in turn.
fn by_turns(names: &[&'static str], key: &'static str, client: &str) -> Vec<Entry> {
    let name = |time: usize| by(key, names[time % names.len()]);
    (0..60).map(|time| tunnel(8.0 * DAY + 1_800.0 * time as f64, client, "portal.example.net", name(time))).collect()
}

#[test]
fn a_program_that_goes_by_many_names_is_told_of() {
    let names = [CHROME, FIREFOX, SAFARI, PHONE];
    let finding = only(told(FindingKind::ManyAgents, [by_turns(&names, "go-http", PC)]));
    assert_eq!((&*finding.target, finding.severity), ("go-http", Severity::Medium));
    assert_eq!(
        finding.in_english(),
        "with one TLS key it went by 4 names in a day, versions aside; on 3 kinds of machines, by what it says; 4 of \
         them are browsers'; 1 of 60 clients have this program, which came after the first week; 49 requests over 24.0 h."
    );
    assert_eq!(
        finding.in_japanese(),
        "1つのTLSキーで1日に4種類のUser-Agentを名乗る（版の違いを除く）。名乗る機種は3種類。うち4種類がブラウザ。\
         このプログラムを持つのは60台中1台（監視開始から1週間後以降に出現）。24.0時間で49件。"
    );
}

#[test]
fn versions_of_one_browser_and_programs_around_one_engine_and_a_library_of_the_system_are_let_be() {
    let versions = ["Sync/1.0", "Sync/1.1", "Sync/1.2", "Sync/2.0 (build 7)", "Sync/2.1"];
    let engine = ["Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Electron/38 Safari/537.36", CHROME, "Chat/1.0"];
    let findings = told(FindingKind::ManyAgents, [by_turns(&versions, "sync", PC), by_turns(&engine, "engine", PC)]);
    assert_eq!(findings, []);
    let library = ["Office/16", "Drive/1", "Updater/1.0", "CryptoAPI/10", "Store/1", "Tasks/7", "Media/12", "Search/3"];
    let all = (1..60).flat_map(|client| by_turns(&library, "schannel", &format!("10.0.1.{client}")));
    assert_eq!(told(FindingKind::ManyAgents, [all.collect()]), []);
}

#[test]
fn a_program_that_came_to_one_client_alone_is_told_of_after_a_day() {
    let more = by("go-http", "Go-http-client/1.1");
    let finding = only(told(FindingKind::LoneProgram, [calls(40, HOUR, "c2.example.org", &more)]));
    assert_eq!((&*finding.target, finding.severity), ("go-http", Severity::Low));
    assert_eq!(
        finding.in_english(),
        "a program that came to this client alone, of 60 (it calls itself Go http client); 1 of 60 clients talk to \
         c2.example.org, to which it did; 25 requests over 24.0 h."
    );
    assert_eq!(
        finding.in_japanese(),
        "60台中この端末だけに新たに現れたプログラム（名乗り：Go http client）。\
         通信先のc2.example.orgを使うのは60台中1台。24.0時間で25件。"
    );
    let without_key = calls(40, HOUR, "portal.example.net", &by("", "Loader/7"));
    assert_eq!(&*only(told(FindingKind::LoneProgram, [without_key])).target, "Loader");
}

#[test]
fn programs_that_others_have_or_that_came_with_the_client_and_new_versions_are_let_be() {
    let more = by("go-http", "Go-http-client/1.1");
    let also = tunnel(8.2 * DAY, "10.0.1.7", "portal.example.net", more.clone());
    assert_eq!(told(FindingKind::LoneProgram, [calls(40, HOUR, "c2.example.org", &more), vec![also]]), []);
    let with_client = (0..60)
        .map(|time| tunnel(8.0 * DAY + HOUR * f64::from(time), "10.0.9.9", "portal.example.net", by("new", "New/1.0")));
    let version = calls(40, HOUR, "portal.example.net", &by("", "Updater/2.7"));
    let others = tunnel(8.1 * DAY, "10.0.1.7", "portal.example.net", by("", "Updater/2.6"));
    // A browser that all have asks for something without TLS.
    let plain = calls(40, HOUR, "plain.example.org", &by("", CHROME));
    assert_eq!(told(FindingKind::LoneProgram, [with_client.collect(), version, vec![others], plain]), []);
}

#[test]
fn mimics_are_found_and_browsers_are_not_whatever_the_seed() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    let kinds = [FindingKind::Mimic, FindingKind::StrangeKey, FindingKind::ManyAgents, FindingKind::LoneProgram];
    for _ in 0..10 {
        let (times, gap) = (30 + source.below(40) as u32, source.even(3_000.0, 4_000.0));
        let host = format!("h{}.example.org", source.below(99));
        let of = |more: &More| -> Vec<FindingKind> {
            let mut found = found(&log([office(), calls(times, gap, &host, more)]));
            found.retain(|finding| kinds.contains(&finding.kind));
            found.iter().map(|finding| finding.kind).collect()
        };
        let mimic =
            More { contradictions: 2 + source.below(3) as u8, ..by("go-http", [CHROME, FIREFOX][source.below(2)]) };
        let mut told = of(&mimic);
        told.sort();
        assert_eq!(told, [FindingKind::Mimic, FindingKind::StrangeKey], "seed {seed}");
        assert_eq!(of(&by("chrome", CHROME)), [], "seed {seed}");
    }
}

#[test]
fn many_names_and_lone_programs_are_found_and_what_all_have_is_not_whatever_the_seed() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    for _ in 0..8 {
        let mut names = vec![CHROME, FIREFOX, SAFARI, PHONE, "Loader/1", "curl/8.5"];
        names.truncate(4 + source.below(3));
        let turn = source.below(names.len());
        names.rotate_left(turn);
        let many = told(FindingKind::ManyAgents, [by_turns(&names, "go-http", PC)]);
        assert_eq!(many.len(), 1, "seed {seed}, {names:?}");
        let of_one = told(FindingKind::ManyAgents, [by_turns(&names[..1], "go-http", PC)]);
        assert_eq!(of_one, [], "seed {seed}, {names:?}");
        let (times, gap) = (30 + source.below(40) as u32, source.even(3_000.0, 4_500.0));
        let lone = calls(times, gap, "c2.example.org", &by("go-http", "Go-http-client/1.1"));
        assert_eq!(told(FindingKind::LoneProgram, [lone]).len(), 1, "seed {seed}: {times} times, {gap} s apart");
        let shared = calls(times, gap, "c2.example.org", &by("schannel", "Updater/1.0"));
        assert_eq!(told(FindingKind::LoneProgram, [shared]), [], "seed {seed}");
    }
}

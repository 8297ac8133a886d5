//! What many clients begin to do, and what some do alike.

use crate::detect::{Detector, Limits, Settings};
use crate::evidence::{Finding, FindingKind, Severity, Shown, Verdict};
use crate::parse::Document;

use super::traffic::{DAY, Entry, HOUR, MINUTE, More, Source, found, log, requests, tunnel};

const BROWSER: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
const SITES: [&str; 6] = [
    "portal.corp.example",
    "www.news.example",
    "mail.office.example",
    "search.web.example",
    "maps.web.example",
    "shop.trade.example",
];

fn pc(number: usize) -> String {
    format!("10.0.{}.{}", number / 200, 1 + number % 200)
}

fn by(agent: &'static str, bytes_down: u64) -> More {
    let tls_key = if agent == BROWSER { "chrome" } else { "" };
    More { user_agent: agent, tls_key, bytes_down: Some(bytes_down), status: 200, ..More::default() }
}

/// Days in which so many clients read what all know, in working hours, and have an updater that calls each two hours.
fn office(source: &mut Source, clients: usize, days: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    for client in 0..clients {
        for day in 0..days {
            for _ in 0..8 {
                let at = day as f64 * DAY + source.even(0.0, 8.0 * HOUR);
                let more = by(BROWSER, 2_000 + source.below(90_000) as u64);
                entries.push(Entry { more, ..Entry::request(at, &pc(client), SITES[source.below(6)]) });
            }
        }
        let phase = source.even(0.0, 2.0 * HOUR);
        for beat in 0..days * 12 {
            let at = phase + beat as f64 * 2.0 * HOUR;
            entries
                .push(Entry { more: by("Updater/1", 300), ..Entry::request(at, &pc(client), "update.vendor.example") });
        }
    }
    entries
}

/// Clients that one after another, from a time on and within a day, begin to call a host at a pace.
fn infection(source: &mut Source, clients: usize, host: &str, (from, until): (f64, f64), period: f64) -> Vec<Entry> {
    let mut entries = Vec::new();
    for client in 0..clients {
        let begin = from + DAY * client as f64 / clients as f64;
        for at in source.beats(period, 0.2, until - begin) {
            entries.push(Entry { more: by("Loader", 412), ..Entry::request(begin + at, &pc(3 * client), host) });
        }
    }
    entries
}

fn of(kind: FindingKind, entries: &[Entry]) -> Vec<Finding> {
    found(entries).into_iter().filter(|finding| finding.kind == kind).collect()
}

fn codes(finding: &Finding) -> Vec<&'static str> {
    finding.grounds.iter().map(|ground| ground.ground).collect()
}

/// A fifth of five hundred is infected within a day; ten others have a beacon of their own.
fn mass() -> Vec<Entry> {
    let mut source = Source(5);
    let mut parts = vec![
        office(&mut source, 500, 4),
        infection(&mut source, 83, "c2.evil.example", (1.5 * DAY, 3.5 * DAY), 15.0 * MINUTE),
    ];
    for lone in 0..10 {
        let times: Vec<f64> = source.beats(5.0 * MINUTE, 0.0, 3.0 * DAY);
        parts.push(requests(&times, &pc(400 + lone), &format!("lone{lone}.example")));
    }
    log(parts)
}

#[test]
fn a_host_that_83_of_500_clients_began_to_call_within_two_days_is_the_first_that_a_person_sees() {
    let mut findings = found(&mass());
    findings.sort_by(Finding::by_rank);
    let highs = findings.iter().filter(|finding| finding.severity == Severity::High).count();
    assert!(highs > 10, "it has rivals: {highs}");
    let place = findings.iter().position(|finding| finding.kind == FindingKind::Spread).expect("it is told");
    let finding = &findings[place];
    assert!(place < 5, "{place}: {}", finding.in_english());
    assert_eq!(findings.iter().filter(|finding| finding.kind == FindingKind::Spread).count(), 1);
    assert_eq!((&*finding.target, finding.severity), ("c2.evil.example", Severity::High));
    assert_eq!(codes(finding), ["spread", "steady", "lasting", "no_browser", "same_size"]);
    let clients = finding.number("spread", "clients").unwrap();
    assert!((60.0..=100.0).contains(&clients), "{clients}");
    assert_eq!(
        finding.in_english(),
        "about 85 of 500 clients began to talk to it within 21.1 h, 10.0.0.1 first; about 74 of them call it at steady \
         intervals; about 42 of them call it in 12 hours of a day or more; 100 % of the requests come from programs that \
         are no browsers; 100 % of its answers are of one size; 3560 requests over 22.5 h; 85 of 500 clients talk to it, \
         known here for 22.5 h."
    );
    assert_eq!(
        finding.in_japanese(),
        "21.1時間のうちに500台中約85台が通信を開始（最初の端末は10.0.0.1）。うち約74台が一定間隔で通信。\
         うち約42台が1日のうち12時間以上にわたり通信。要求の100%がブラウザ以外のプログラム。応答の100%が同じ大きさ。\
         22.5時間で3560件、500台中85台が通信、この網では22.5時間前から。"
    );
}

#[test]
fn infected_clients_that_each_keep_one_tunnel_are_found_by_their_bursts() {
    let mut source = Source(12);
    let mut parts = vec![office(&mut source, 200, 3)];
    for client in 0..60_u64 {
        let bursts = source.beats(10.0 * MINUTE, 0.2, 30.0 * HOUR);
        let mut entries = tunnel(&bursts, &pc(client as usize), "c2.evil.example");
        for entry in &mut entries {
            entry.time += ((1.5 * DAY + 600.0 * client as f64) * 1e6) as u64;
            entry.id = 1_000 + client;
        }
        // Their CONNECT tells what they are called.
        entries[0].more = More { user_agent: "Loader", ..More::default() };
        parts.push(entries);
    }
    let findings = of(FindingKind::Spread, &log(parts));
    let [finding] = &*findings else { panic!("{findings:?}") };
    assert_eq!((&*finding.target, finding.severity), ("c2.evil.example", Severity::High), "{}", finding.in_english());
    assert_eq!(codes(finding), ["spread", "steady", "lasting"]);
}

#[test]
fn infected_clients_that_each_have_a_host_of_their_own_below_one_domain_are_told_by_the_domain() {
    let mut source = Source(13);
    let mut parts = vec![office(&mut source, 200, 4)];
    for client in 0..40 {
        let mut entries =
            infection(&mut source, 1, "", (1.5 * DAY + 900.0 * f64::from(client), 3.5 * DAY), 15.0 * MINUTE);
        for entry in &mut entries {
            entry.client = pc(client as usize);
            entry.host = format!("x{client}.evil.example");
        }
        parts.push(entries);
    }
    let findings = of(FindingKind::Spread, &log(parts));
    let [finding] = &*findings else { panic!("{findings:?}") };
    assert_eq!((&*finding.target, finding.severity), ("*.evil.example", Severity::High));
}

/// What is told of a spread where beside ordinary traffic there is this.
fn spread_of(more: impl FnOnce(&mut Source) -> Vec<Entry>) -> Vec<Finding> {
    let mut source = Source(8);
    let parts = [office(&mut source, 300, 4), more(&mut source)];
    of(FindingKind::Spread, &log(parts))
}

/// A web site that half of all read from the second day on, some with a page that fetches itself anew.
fn new_site(source: &mut Source) -> Vec<Entry> {
    let mut entries = Vec::new();
    for client in 0..150 {
        for day in 1..4 {
            let mut times: Vec<f64> = (0..10).map(|_| source.even(0.0, 8.0 * HOUR)).collect();
            if client % 8 == 0 {
                times.extend((0..60).map(|time| HOUR + 5.0 * MINUTE * f64::from(time)));
            }
            for at in times {
                let more = by(BROWSER, 5_000 + source.below(200_000) as u64);
                let at = f64::from(day) * DAY + at;
                entries.push(Entry { more, ..Entry::request(at, &pc(client), "www.fresh.example") });
            }
        }
    }
    entries
}

#[test]
fn a_new_web_site_that_everybody_reads_is_no_spread() {
    assert_eq!(spread_of(new_site), []);
}

#[test]
fn a_new_tool_of_a_domain_that_is_known_is_no_spread() {
    let tool = |source: &mut Source| infection(source, 90, "agent.corp.example", (1.5 * DAY, 4.0 * DAY), 10.0 * MINUTE);
    assert_eq!(spread_of(tool), []);
    let stranger =
        |source: &mut Source| infection(source, 90, "agent.new-corp.example", (1.5 * DAY, 4.0 * DAY), 10.0 * MINUTE);
    assert_eq!(spread_of(stranger).len(), 1);
}

/// All clients ask a new host for updates, twice a day or so.
fn new_updater(source: &mut Source) -> Vec<Entry> {
    let mut entries = Vec::new();
    for client in 0..300 {
        for day in 1..4 {
            for bytes in [300, 40_000_000] {
                let at = f64::from(day) * DAY + source.even(0.0, 9.0 * HOUR);
                entries
                    .push(Entry { more: by("Setup/2", bytes), ..Entry::request(at, &pc(client), "dl.soft.example") });
            }
        }
    }
    entries
}

#[test]
fn a_new_host_that_all_ask_for_updates_now_and_then_is_no_spread() {
    assert_eq!(spread_of(new_updater), []);
}

#[test]
fn what_a_publisher_rolls_out_is_no_spread_and_its_neighbour_is() {
    let settings = |publisher: &str| {
        let text = format!("[detect]\npublishers = [\"{publisher}\"]");
        Document::read("t.toml", &text, |root| Some(Settings::read_all(root, |_| {}))).unwrap()
    };
    let mut source = Source(9);
    let infection = infection(&mut source, 60, "c2.evil.example", (1.5 * DAY, 3.0 * DAY), 15.0 * MINUTE);
    let entries = log([office(&mut source, 200, 3), infection]);
    for (publisher, is_told) in
        [("evil.example", false), ("*.evil.example", false), ("vil.example", true), ("x.evil.example", true)]
    {
        let mut detector = Detector::new(Limits::LIVE, &settings(publisher));
        entries.iter().for_each(|entry| entry.give(&mut detector));
        detector.finish();
        let is_found = detector.findings().iter().any(|finding| finding.kind == FindingKind::Spread);
        assert_eq!(is_found, is_told, "{publisher}");
    }
    assert!(
        Document::read("t.toml", "[detect]\npublishers = [\"*\"]", |root| { Some(Settings::read_all(root, |_| {})) })
            .is_err()
    );
}

#[test]
fn what_one_client_called_for_a_week_before_it_spread_is_told_with_who_was_first() {
    let mut source = Source(4);
    let patient = requests(&source.beats(HOUR, 0.2, 10.0 * DAY), &pc(150), "c2.evil.example");
    let infection = infection(&mut source, 60, "c2.evil.example", (7.5 * DAY, 9.5 * DAY), 15.0 * MINUTE);
    let findings = of(FindingKind::Spread, &log([office(&mut source, 200, 10), patient, infection]));
    let [finding] = &*findings else { panic!("{findings:?}") };
    assert!(finding.in_english().contains("10.0.0.151 first"), "{}", finding.in_english());
}

#[test]
fn in_the_first_day_everything_becomes_common_and_nothing_is_told() {
    let mut source = Source(6);
    let infection = infection(&mut source, 60, "c2.evil.example", (0.0, 4.0 * DAY), 15.0 * MINUTE);
    assert_eq!(of(FindingKind::Spread, &log([office(&mut source, 200, 4), infection])), []);
}

/// Three clients of sixty ask a new host for the same.
fn fetches(gap: f64, more: impl Fn(u64) -> More) -> Vec<Finding> {
    let mut entries = Vec::new();
    for day in 0..9 {
        for client in 0..60 {
            let at = f64::from(day) * DAY + f64::from(client) * 60.0;
            let more = by(BROWSER, 30_000 + 500 * client as u64);
            entries.push(Entry { more, ..Entry::request(at, &pc(client as usize), SITES[client as usize % 4]) });
        }
    }
    for client in 0..3 {
        let at = 8.5 * DAY + gap * f64::from(client);
        let more = more(client as u64);
        entries.push(Entry { more, ..Entry::request(at, &pc(20 + client as usize), "files.stage.example") });
    }
    of(FindingKind::SameFetch, &log([entries]))
}

#[test]
fn three_clients_that_fetch_the_same_from_a_new_host_are_told_together() {
    let findings = fetches(4.0 * MINUTE, |client| by("Loader", 49_200 + 7 * client));
    let [finding] = &*findings else { panic!("{findings:?}") };
    assert_eq!(finding.severity, Severity::Medium);
    assert_eq!(
        finding.in_english(),
        "3 clients fetched the same 48.0 KiB within 8.0 min: 10.0.0.21, 10.0.0.22, 10.0.0.23; the host was new here \
         (this network is watched for 8.5 d); nobody fetches anything else from it; by a program that is no browser; \
         3 of 60 clients talk to it, known here for 8.0 min."
    );
    assert_eq!(
        finding.in_japanese(),
        "8.0分のうちに3台が同じ48.0 KiBを取得（10.0.0.21、10.0.0.22、10.0.0.23）。この網で初めて見る相手（監視期間8.5日）。\
         ほかのものは誰も取得していない。ブラウザ以外のプログラムによる取得。60台中3台が通信、この網では8.0分前から。"
    );
    let mimics = fetches(MINUTE, |_| More { standing: Shown::Mimic, ..by(BROWSER, 49_200) });
    assert_eq!((mimics.len(), codes(&mimics[0])[0]), (1, "mimic"));
}

#[test]
fn people_who_follow_one_link_and_what_is_fetched_apart_or_is_refused_are_let_be() {
    assert_eq!(fetches(4.0 * MINUTE, |_| by(BROWSER, 49_200)), [], "browsers");
    assert_eq!(fetches(2.0 * HOUR, |_| by("Loader", 49_200)), [], "apart");
    assert_eq!(fetches(MINUTE, |client| by("Loader", 49_200 + 900 * client)), [], "of other sizes");
    assert_eq!(fetches(MINUTE, |_| by("Loader", 9_000)), [], "small");
    assert_eq!(fetches(MINUTE, |_| More { status: 403, ..by("Loader", 49_200) }), [], "refused");
}

#[test]
fn what_the_gate_denies_is_of_one_size_and_no_fetch() {
    let mut source = Source(1);
    let mut entries = office(&mut source, 60, 2);
    for client in 0..3 {
        let denied = Entry::request(1.5 * DAY + f64::from(client), &pc(client as usize), "files.stage.example");
        entries.push(Entry { verdict: Verdict::Denied, more: by("Loader", 49_200), ..denied });
    }
    assert_eq!(of(FindingKind::SameFetch, &log([entries])), []);
}

/// Clients that call a host each ten minutes, and then each minute, each from a time of its own on.
fn changing(source: &mut Source, from: &[f64]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (client, from) in from.iter().enumerate() {
        let slow = source.beats(10.0 * MINUTE, 0.1, *from);
        let begin = *slow.last().unwrap();
        let fast = source.beats(MINUTE, 0.1, 4.0 * HOUR).into_iter().map(|at| begin + at);
        let times: Vec<f64> = slow.iter().copied().chain(fast).collect();
        entries.extend(requests(&times, &pc(client), "c2.evil.example"));
    }
    entries
}

#[test]
fn clients_that_change_their_pace_in_the_same_minutes_are_told_together() {
    let mut source = Source(2);
    let calls = changing(&mut source, &[8.0 * HOUR; 4]);
    let findings = of(FindingKind::CommonChange, &log([office(&mut source, 60, 1), calls]));
    let [finding] = &*findings else { panic!("{findings:?}") };
    assert_eq!(finding.severity, Severity::Low);
    assert_eq!(
        finding.in_english(),
        "4 clients changed their period from about 10.0 min to about 60.0 s within 7.2 min: 10.0.0.3, 10.0.0.4, 10.0.0.2, \
         10.0.0.1; 4 of 60 clients talk to it, known here for 8.1 h."
    );
    assert_eq!(
        finding.in_japanese(),
        "7.2分のうちに4台の通信周期が約10.0分から約60.0秒に変化（10.0.0.3、10.0.0.4、10.0.0.2、10.0.0.1）。\
         60台中4台が通信、この網では8.1時間前から。"
    );
}

#[test]
fn clients_that_change_their_pace_each_at_a_time_of_its_own_are_not() {
    let mut source = Source(2);
    let calls = changing(&mut source, &[6.0, 7.0, 8.0, 9.0].map(|hours| hours * HOUR));
    let entries = log([office(&mut source, 60, 1), calls]);
    assert_eq!(of(FindingKind::CommonChange, &entries), []);
    let changed = found(&entries);
    assert!(changed.iter().filter(|finding| finding.kind == FindingKind::Beacon).count() >= 4, "they are beacons");
}

#[test]
fn clients_that_hear_of_a_change_from_a_host_that_is_common_for_days_are_let_be() {
    let mut source = Source(3);
    let mut entries = changing(&mut source, &[8.0 * HOUR; 4]);
    entries.iter_mut().for_each(|entry| entry.time += (7.0 * DAY * 1e6) as u64);
    let known: Vec<Entry> =
        (0..30).map(|client| Entry::request(f64::from(client), &pc(client as usize), "c2.evil.example")).collect();
    let office = || office(&mut Source(3), 40, 8);
    assert_eq!(of(FindingKind::CommonChange, &log([office(), entries.clone()])).len(), 1);
    assert_eq!(of(FindingKind::CommonChange, &log([office(), entries, known])), []);
}

#[test]
fn infections_are_found_and_what_is_popular_is_not_whatever_the_seed() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    let (mut hits, mut falls) = (0, 0);
    for _ in 0..4 {
        let ordinary = office(&mut source, 200, 4);
        let (clients, period) = (20 + source.below(40), source.even(2.0, 30.0) * MINUTE);
        let infection = infection(&mut source, clients, "c2.evil.example", (1.5 * DAY, 4.0 * DAY), period);
        let popular = [new_site(&mut source), new_updater(&mut source)];
        let [site, updater] = popular;
        let findings = of(FindingKind::Spread, &log([ordinary, infection, site, updater]));
        hits += findings.iter().filter(|finding| &*finding.target == "c2.evil.example").count();
        falls += findings.iter().filter(|finding| &*finding.target != "c2.evil.example").count();
    }
    assert_eq!((hits, falls), (4, 0), "seed {seed}");
}

#[test]
fn fetches_and_changes_together_are_found_and_those_apart_are_not_whatever_the_seed() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    let (mut together, mut apart) = (0, 0);
    for _ in 0..20 {
        let size = 10_000 + source.below(3_000_000) as u64;
        let gap = source.even(0.0, 20.0 * MINUTE);
        together += fetches(gap, |client| by("Loader", size + 9 * client)).len();
        apart += fetches(gap + HOUR, |_| by("Loader", size)).len();
        apart += fetches(gap, |client| by("Loader", size + 400 * client)).len();
    }
    assert_eq!((together, apart), (20, 0), "seed {seed}: fetches");
    for _ in 0..10 {
        let at = source.even(6.0, 9.0) * HOUR;
        let calls = changing(&mut source, &[at; 4]);
        let ordinary = office(&mut source, 30, 1);
        together += of(FindingKind::CommonChange, &log([ordinary.clone(), calls])).len();
        let calls = changing(&mut source, &[0.0, 1.0, 2.0, 3.0].map(|hours| at + hours * HOUR));
        apart += of(FindingKind::CommonChange, &log([ordinary, calls])).len();
    }
    assert!(together >= 29 && apart == 0, "seed {seed}: {together} of 30 and {apart}");
}

#[test]
fn clocks_that_step_and_sizes_without_end_break_nothing() {
    let mut source = Source(21);
    let mut detector = Detector::new(Limits { window: 0, ..Limits::LIVE }, &Settings::default());
    for line in 0..20_000 {
        // Three clients of forty at a time, with a host that is new, and all with one.
        let number = line / 100;
        let (client, host) = match source.below(4) {
            0 => (source.below(40), 0),
            _ => (7 * number as usize % 38 + source.below(3), number),
        };
        let (client, host) = (format!("\u{1b}[31m{client}"), format!("h{host}.\u{202e}example"));
        let size = [0, 10_000, 10_100, u64::MAX, source.word()][source.below(5)];
        let standing = [Shown::Unasked, Shown::Cleared, Shown::Mimic][source.below(3)];
        let more = More { standing, ..by(["", "Loader", BROWSER][source.below(3)], size) };
        let time = match source.below(50) {
            0 => source.word(),
            1 => [0, u64::MAX][source.below(2)],
            _ => super::traffic::START + line * 60_000_000,
        };
        Entry { time, line, more, ..Entry::request(0.0, &client, &host) }.give(&mut detector);
    }
    detector.finish();
    let findings = detector.findings();
    for finding in &findings {
        assert!(finding.score.is_finite() && finding.first <= finding.last, "{finding:?}");
        if finding.kind.is_of_several() {
            assert!(!finding.in_english().contains(['\u{1b}', '\u{202e}']), "{}", finding.in_english());
        }
    }
    assert!(findings.iter().any(|finding| finding.kind.is_of_several()), "it comes to something");
}

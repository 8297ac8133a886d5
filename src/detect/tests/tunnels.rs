//! How tunnels behave, and who sends much at night.

mod typing;

use crate::detect::{Detector, Limits, Settings};
use crate::evidence::{Asked, Burst, Finding, FindingKind, Part, Severity, Shown};

use super::traffic::{DAY, Entry, HOUR, MINUTE, More, Source, found, log};

const PC: &str = "10.0.0.5";
const RARE: &str = "relay.example.org";
const COMMON: &str = "portal0.example.net";
const MIB: u64 = 1 << 20;

/// What is told here.
const KINDS: [FindingKind; 6] = [
    FindingKind::LongTunnel,
    FindingKind::ReopenedTunnel,
    FindingKind::UploadTunnel,
    FindingKind::InteractiveTunnel,
    FindingKind::KeptTunnel,
    FindingKind::NightBulk,
];

/// Sixty clients go to four places each day, one of them to the rare one.
fn office(days: u32) -> Vec<Entry> {
    let mut entries = vec![Entry::request(0.0, "10.0.1.9", RARE)];
    for day in 0..days {
        for client in 0..60 {
            let at = f64::from(day) * DAY + f64::from(client) * 60.0;
            let host = format!("portal{}.example.net", client % 4);
            entries.push(Entry::request(at, &format!("10.0.1.{client}"), &host));
        }
    }
    entries
}

/// A tunnel, as its records tell of it.
#[derive(Debug, Clone)]
struct Made {
    id: u64,
    at: f64,
    span: f64,
    client: String,
    host: String,
    port: u16,
    /// Bytes in each minute.
    up: u64,
    down: u64,
    /// When each began, in seconds since the tunnel was opened, and what it carried.
    bursts: Vec<(f64, u32, u32)>,
    is_cut: bool,
    more: More,
}

impl Made {
    fn new(at: f64, span: f64, host: &str) -> Self {
        Self {
            id: 9,
            at,
            span,
            client: PC.to_owned(),
            host: host.to_owned(),
            port: 443,
            up: 2_000,
            down: 9_000,
            bursts: Vec::new(),
            is_cut: false,
            more: More { carries: "tls", sni: host.to_owned(), ..More::default() },
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let part = |after: f64, part: Part| Entry {
            part,
            id: self.id,
            port: self.port,
            what: Asked::Tunnel,
            ..Entry::request(self.at + after, &self.client, &self.host)
        };
        let begun =
            Entry { more: More { user_agent: self.more.user_agent, ..More::default() }, ..part(0.0, Part::Begun) };
        let mut entries = vec![begun, Entry { more: self.more.clone(), ..part(0.1, Part::Shown) }];
        let (mut told, mut last) = (0, 10);
        let minutes = (self.span / MINUTE) as u64;
        for minute in 1..=minutes + 1 {
            let is_end = minute > minutes;
            let at = if is_end { self.span } else { minute as f64 * MINUTE };
            let ready = self.bursts[told..].iter().take_while(|burst| is_end || burst.0 + 30.0 < at).count();
            let bursts = self.bursts[told..told + ready].iter().map(|(begun, up, down)| {
                let begun = (begun * 100.0) as u64;
                let after_cs = begun.saturating_sub(std::mem::replace(&mut last, begun)) as u32;
                Burst { after_cs, up: *up, down: *down }
            });
            let bursts = bursts.collect();
            told += ready;
            let more = More {
                bytes_up: Some(self.up * minute.min(minutes)),
                bytes_down: Some(self.down * minute.min(minutes)),
                duration_us: is_end.then_some((self.span * 1e6) as u64),
                cut: is_end && self.is_cut,
                closed_how: if is_end && self.is_cut { "lifetime_limit" } else { "" },
                ..More::default()
            };
            entries.push(Entry { bursts, more, ..part(at, if is_end { Part::Ended } else { Part::Going }) });
        }
        entries
    }
}

fn told(parts: impl IntoIterator<Item = Vec<Entry>>) -> Vec<Finding> {
    let mut findings = found(&log(parts));
    findings.retain(|finding| KINDS.contains(&finding.kind));
    findings
}

fn kinds(findings: &[Finding]) -> Vec<FindingKind> {
    findings.iter().map(|finding| finding.kind).collect()
}

#[track_caller]
fn the_one(parts: impl IntoIterator<Item = Vec<Entry>>, kind: FindingKind) -> Finding {
    let mut findings = told(parts);
    findings.retain(|finding| finding.kind == kind);
    let [finding] = &*findings else { panic!("{findings:#?}") };
    finding.clone()
}

/// The beginning of a finding's sentence, up to how rare its target is.
fn said(text: &str, rarity: &str) -> String {
    text.split(rarity).next().unwrap().to_owned()
}

#[test]
fn a_tunnel_to_a_rare_host_that_stands_for_a_working_day_is_told_with_what_it_carried() {
    let finding = the_one([office(3), Made::new(2.0 * DAY, 8.0 * HOUR, RARE).entries()], FindingKind::LongTunnel);
    assert_eq!((&*finding.client, &*finding.target, finding.port), (PC, RARE, 443));
    assert_eq!(finding.severity, Severity::Medium, "{}", finding.score);
    assert_eq!(finding.number("stood", "stood_seconds"), Some(27_000.0), "as soon as it has stood so long");
    assert_eq!(
        finding.in_english(),
        "one tunnel stood for 7.5 h, with 878.9 KiB up and 3.9 MiB down; 2 of 61 clients talk to it, known here for 2.3 d."
    );
    assert_eq!(
        finding.in_japanese(),
        "1本のトンネルが7.5時間継続（上り878.9 KiB、下り3.9 MiB）。61台中2台が通信、この網では2.3日前から。"
    );
    let shorter = the_one([office(3), Made::new(2.0 * DAY, 5.0 * HOUR, RARE).entries()], FindingKind::LongTunnel);
    assert_eq!(shorter.severity, Severity::Low);
}

#[test]
fn a_long_tunnel_to_a_common_host_and_a_short_one_are_let_be() {
    assert_eq!(told([office(3), Made::new(2.0 * DAY, 20.0 * HOUR, COMMON).entries()]), []);
    assert_eq!(told([office(3), Made::new(2.0 * DAY, 3.0 * HOUR, RARE).entries()]), []);
}

#[test]
fn a_clock_that_is_set_ahead_makes_no_tunnel_long() {
    let mut entries = Made::new(2.0 * DAY, 10.0 * MINUTE, RARE).entries();
    for entry in &mut entries[6..] {
        entry.time += 30 * 86_400_000_000;
        entry.more.duration_us = entry.more.duration_us.map(|_| 600_000_000);
    }
    assert_eq!(told([office(3), entries]), []);
}

#[test]
fn a_log_that_tells_of_a_tunnel_when_it_has_ended_is_enough() {
    let more = More {
        duration_us: Some(9 * 3_600_000_000),
        bytes_up: Some(900 * MIB),
        bytes_down: Some(MIB),
        ..More::default()
    };
    let whole = Entry { what: Asked::Tunnel, more, ..Entry::request(2.0 * DAY, PC, RARE) };
    assert_eq!(kinds(&told([office(3), vec![whole]])), [FindingKind::LongTunnel, FindingKind::UploadTunnel]);
}

/// Tunnels of eight hours, each cut by the gate and opened again after so many seconds.
fn reopened(waits: &[f64], host: &str) -> Vec<Entry> {
    let mut at = 0.3 * DAY;
    let mut entries = Vec::new();
    for (number, wait) in [0.0].iter().chain(waits).enumerate() {
        at += wait;
        let made = Made { id: 100 + number as u64, is_cut: true, ..Made::new(at, 8.0 * HOUR, host) };
        entries.extend(made.entries());
        at += 8.0 * HOUR;
    }
    entries
}

#[test]
fn tunnels_that_are_opened_again_as_soon_as_they_are_cut_are_told_with_how_often_and_after_how_long() {
    let finding = the_one([office(3), reopened(&[1.2; 4], RARE)], FindingKind::ReopenedTunnel);
    assert_eq!((finding.severity, &*finding.target), (Severity::Medium, RARE));
    let number = |name| finding.number("opened_again", name).unwrap();
    assert_eq!([number("cuts"), number("opened_again"), number("stood_seconds")], [4.0, 4.0, 28_800.0]);
    assert!((number("wait_seconds") - 1.2).abs() < 1e-6 && number("wait_deviation_seconds") < 1e-6);
    let english = said(&finding.in_english(), "; 2 of");
    assert_eq!(english, "cut 4 times after 8.0 h, opened again after 1.2 s each time");
    let japanese = said(&finding.in_japanese(), "。61台");
    assert_eq!(japanese, "8.0時間で4回強制切断され、毎回1.2秒後に再接続");
    let uneven = the_one([office(3), reopened(&[1.2, 300.0, 1.5, 1.0, 1.3], RARE)], FindingKind::ReopenedTunnel);
    let english = said(&uneven.in_english(), "; 2 of");
    assert_eq!(english, "cut 5 times after 8.0 h, opened again 4 times, after 1.0 s to 1.5 s, 1.3 s in the middle");
    let japanese = said(&uneven.in_japanese(), "。61台");
    assert_eq!(japanese, "8.0時間で5回強制切断され、うち4回は1.0秒〜1.5秒後に再接続（中央値1.3秒）");
}

#[test]
fn what_a_person_opens_again_and_what_pushes_news_to_many_is_let_be() {
    let comes_back = |waits: &[f64], host: &str| {
        let findings = told([office(3), reopened(waits, host)]);
        findings.into_iter().filter(|finding| finding.kind == FindingKind::ReopenedTunnel).collect::<Vec<_>>()
    };
    assert_eq!(comes_back(&[1.2; 6], COMMON), [], "as push services are, all over the house");
    assert_eq!(comes_back(&[1.2; 2], RARE), [], "a page that is open comes back as well");
    assert_eq!(comes_back(&[600.0, 45.0, 7_000.0, 900.0, 2.0, 300.0], RARE), []);
    assert_eq!(comes_back(&[2.0, 40.0, 9.0, 25.0], RARE), []);
}

#[test]
fn what_comes_back_after_uneven_times_is_told_where_it_does_so_often() {
    let waits = [2.0, 40.0, 9.0, 25.0, 3.0, 50.0];
    let finding = the_one([office(4), reopened(&waits, RARE)], FindingKind::ReopenedTunnel);
    assert_eq!(finding.severity, Severity::Low, "{}", finding.score);
    let english = said(&finding.in_english(), "; 2 of");
    assert_eq!(english, "cut 6 times after 8.0 h, opened again after 2.0 s to 50.0 s, 25.0 s in the middle");
}

#[test]
fn a_tunnel_that_carries_far_more_out_than_in_is_told_with_how_much() {
    let made = Made { up: 30 * MIB, down: MIB, ..Made::new(2.0 * DAY, 10.0 * MINUTE, RARE) };
    let finding = the_one([office(3), made.entries()], FindingKind::UploadTunnel);
    assert_eq!(finding.severity, Severity::Medium, "{}", finding.score);
    let english = said(&finding.in_english(), "; 2 of");
    assert_eq!(english, "one tunnel carried 120.0 MiB out and 4.0 MiB in");
    assert_eq!(said(&finding.in_japanese(), "。61台"), "1本のトンネルで上り120.0 MiB、下り4.0 MiB");
    let small = Made { up: 3 * MIB, down: MIB / 4, ..made };
    assert_eq!(the_one([office(3), small.entries()], FindingKind::UploadTunnel).severity, Severity::Low);
}

#[test]
fn a_backup_to_where_others_have_theirs_a_call_and_a_download_are_let_be() {
    let made = |host: &str, up: u64, down: u64| Made { up, down, ..Made::new(2.0 * DAY, HOUR, host) }.entries();
    assert_eq!(told([office(3), made(COMMON, 30 * MIB, MIB)]), []);
    assert_eq!(told([office(3), made(RARE, 15 * MIB, 12 * MIB)]), []);
    assert_eq!(told([office(3), made(RARE, MIB, 30 * MIB)]), []);
}

fn every(gap: f64, span: f64, up: u32, down: u32) -> Vec<(f64, u32, u32)> {
    let many = (span / gap) as u32;
    (1..many).map(|number| (gap * f64::from(number), up, down)).collect()
}

#[test]
fn a_tunnel_that_is_kept_open_is_told_with_its_pace_and_sizes() {
    let made = Made { bursts: every(30.0, 2.0 * HOUR, 31, 27), ..Made::new(2.0 * DAY, 2.0 * HOUR, RARE) };
    let finding = the_one([office(3), made.entries()], FindingKind::KeptTunnel);
    assert_eq!(finding.severity, Severity::Low);
    let english = said(&finding.in_english(), "; 2 of");
    assert_eq!(
        english,
        "a tunnel of 60.0 min is kept open: about 31 bytes up and 27 bytes down every 30.0 s, 32 times"
    );
    let japanese = said(&finding.in_japanese(), "。61台");
    assert_eq!(japanese, "60.0分続くトンネルを小さな通信で維持（約30.0秒ごとに上り約31 bytes、下り約27 bytes、32回）");
    let made = Made { bursts: every(30.0, 8.0 * HOUR, 31, 27), ..Made::new(2.0 * DAY, 8.0 * HOUR, RARE) };
    assert_eq!(the_one([office(3), made.entries()], FindingKind::KeptTunnel).severity, Severity::Medium);
}

#[test]
fn chats_of_many_and_tunnels_that_carry_something_are_not_only_kept_open() {
    let made =
        |host: &str, bursts: Vec<(f64, u32, u32)>| Made { bursts, ..Made::new(2.0 * DAY, 3.0 * HOUR, host) }.entries();
    assert_eq!(told([office(3), made(COMMON, every(30.0, 3.0 * HOUR, 31, 27))]), []);
    assert_eq!(told([office(3), made(RARE, every(30.0, 3.0 * HOUR, 300, 900))]), []);
    let mut source = Source(1);
    let uneven = source.times(3.0 * HOUR, |source| 1.0 + source.exponential(30.0));
    assert_eq!(told([office(3), made(RARE, uneven.iter().map(|at| (*at, 31, 27)).collect())]), []);
}

/// So many MiB an hour, from an hour of a day on.
fn sends(day: u32, hour: f64, hours: u32, mib: u64, host: &str) -> Vec<Entry> {
    let more = More { bytes_up: Some(mib * MIB), bytes_down: Some(900), ..More::default() };
    // All traffic begins at nine.
    let at = |number: u32| f64::from(day) * DAY + (hour - 9.0 + f64::from(number)) * HOUR;
    (0..hours).map(|number| Entry { more: more.clone(), ..Entry::request(at(number), PC, host) }).collect()
}

#[test]
fn much_that_goes_out_in_one_night_is_told_though_it_went_bit_by_bit_and_over_midnight() {
    let finding = the_one([office(3), sends(1, 22.2, 6, 60, RARE)], FindingKind::NightBulk);
    assert_eq!((&*finding.client, &*finding.target), (PC, RARE));
    assert_eq!(finding.severity, Severity::Low, "{}", finding.score);
    assert_eq!(said(&finding.in_english(), "; 2 of"), "120.0 MiB went to it in one night");
    assert_eq!(said(&finding.in_japanese(), "。61台"), "一晩で120.0 MiBを送信");
    let more = the_one([office(3), sends(1, 22.2, 6, 400, RARE)], FindingKind::NightBulk);
    assert_eq!(more.severity, Severity::Medium, "{}", more.score);
}

#[test]
fn a_tunnel_that_sends_at_night_counts_what_it_has_sent_by_then() {
    // From six to midnight: two hours of it are night.
    let made = Made { up: MIB, down: MIB, ..Made::new(DAY + 9.0 * HOUR, 6.0 * HOUR, RARE) };
    let finding = the_one([office(3), made.entries()], FindingKind::NightBulk);
    assert_eq!(finding.number("night", "night_bytes"), Some((100 * MIB) as f64));
}

#[test]
fn what_goes_out_by_day_or_each_night_or_on_one_night_of_the_week_is_let_be() {
    assert_eq!(told([office(3), sends(1, 10.0, 8, 400, RARE)]), []);
    let each_night =
        |days: std::ops::Range<u32>, mib| days.flat_map(|day| sends(day, 23.0, 2, mib, RARE)).collect::<Vec<_>>();
    // It is told of when it begins; once it is known, more is no news.
    let begins = told([office(14), each_night(0..14, 60)]);
    assert!(begins.iter().all(|finding| finding.last.0 < super::traffic::START + 86_400_000_000), "{begins:#?}");
    let grown = told([office(14), each_night(0..9, 20), each_night(9..14, 600)]);
    assert_eq!(grown, [], "five nights of more");
    let weekly = [office(23), each_night(0..1, 40), each_night(7..8, 45), each_night(14..15, 90)];
    assert_eq!(told(weekly), [], "a backup of the week that grows");
}

#[test]
fn a_common_host_is_told_of_only_where_a_night_is_unlike_the_days() {
    let days = |mib| (0..9).flat_map(|day| sends(day, 10.0, 2, mib, COMMON)).collect::<Vec<_>>();
    let night = || sends(9, 23.0, 4, 80, COMMON);
    let finding = the_one([office(12), days(5), night()], FindingKind::NightBulk);
    assert_eq!(
        said(&finding.in_english(), "; 1"),
        "160.0 MiB went to it in one night; on other days 10.0 MiB in the middle"
    );
    assert_eq!(said(&finding.in_japanese(), "。61台"), "一晩で160.0 MiBを送信。普段の1日の中央値は10.0 MiB");
    assert_eq!(told([office(12), days(40), night()]), [], "it sends as much by day");
    assert_eq!(told([office(12), night()]), [], "nobody knows what it sends by day");
}

/// A shell of an hour in a tunnel, and what the tunnel carries.
fn shell(seed: u64, host: &str, at: f64, carries: &'static str) -> Made {
    let bursts = typing::Kind::Ssh.bursts(&mut Source(seed));
    let sni = if carries == "tls" { host.to_owned() } else { String::new() };
    Made { bursts, more: More { carries, sni, ..More::default() }, ..Made::new(at, 1.1 * HOUR, host) }
}

#[test]
fn a_tunnel_in_which_a_person_types_is_told_with_how_it_shows() {
    let finding = the_one([office(3), shell(1, RARE, 2.0 * DAY, "tls").entries()], FindingKind::InteractiveTunnel);
    assert_eq!((finding.severity, &*finding.target), (Severity::Low, RARE), "{}", finding.score);
    let number = |name| finding.number("typed", name).unwrap();
    let (gap, up, down) = (number("gap_seconds"), number("up_bytes"), number("down_bytes"));
    assert!((1.0..20.0).contains(&gap) && (30.0..900.0).contains(&up) && (30.0..900.0).contains(&down));
    assert_eq!(
        said(&finding.in_english(), "; 2 of"),
        format!(
            "a person seems to type in a tunnel: 64 bursts at uneven gaps of about {gap:.1} s, with about {up} bytes up and \
             {down} bytes down each; much of it comes back as it went, as an echo does"
        )
    );
    assert_eq!(
        said(&finding.in_japanese(), "。61台"),
        format!(
            "トンネル内で人が入力している様子（不規則な約{gap:.1}秒間隔で64回、1回あたり上り約{up} bytes、下り約{down} bytes。\
             多くは送った量と同じだけ返る（エコー））"
        )
    );
}

#[test]
fn lines_that_somebody_outside_types_are_told_as_such() {
    let bursts = typing::Kind::ReverseLines.bursts(&mut Source(4));
    let made = Made { bursts, ..Made::new(2.0 * DAY, 1.1 * HOUR, RARE) };
    let finding = the_one([office(3), made.entries()], FindingKind::InteractiveTunnel);
    let (up, down) = (finding.number("typed", "up_bytes").unwrap(), finding.number("typed", "down_bytes").unwrap());
    assert!(down < 60.0 && up > 100.0, "{up} up, {down} down");
    let (english, japanese) = (finding.in_english(), finding.in_japanese());
    assert!(english.contains("down each; short lines of uneven length one way, answers the other; 2 of"), "{english}");
    assert!(japanese.contains("。片方向は不ぞろいな短い行、逆方向はその応答）。61台中"), "{japanese}");
}

#[test]
fn who_administers_a_known_machine_is_told_of_and_only_a_stranger_or_a_mimic_is_pressing() {
    let known = Made { port: 22, ..shell(2, RARE, 8.0 * DAY, "ssh") };
    let finding = the_one([office(9), known.entries()], FindingKind::InteractiveTunnel);
    assert_eq!(finding.severity, Severity::Medium, "{}", finding.in_english());
    let stranger = Made { port: 22, ..shell(2, "203.0.113.9", 8.0 * DAY, "ssh") };
    let finding = the_one([office(9), stranger.entries()], FindingKind::InteractiveTunnel);
    assert_eq!(finding.severity, Severity::High, "{}", finding.in_english());
    let codes: Vec<_> = finding.grounds.iter().map(|ground| ground.ground).collect();
    assert_eq!(codes, ["typed", "not_tls", "address_literal", "new_host", "odd_port"]);
    let weights = codes.iter().map(|code| finding.number(code, "weight").unwrap()).sum::<f64>();
    assert!((weights - finding.score).abs() < 0.05, "{weights}, {}", finding.score);
    let mut mimic = shell(2, RARE, 8.0 * DAY, "tls");
    (mimic.more.standing, mimic.more.contradictions) = (Shown::Mimic, 2);
    let finding = the_one([office(9), mimic.entries()], FindingKind::InteractiveTunnel);
    assert_eq!(finding.severity, Severity::Medium, "{}", finding.in_english());
}

#[test]
fn what_is_typed_to_a_common_host_is_let_be() {
    assert_eq!(told([office(3), shell(1, COMMON, 2.0 * DAY, "tls").entries()]), []);
    let bursts = typing::Kind::Chat.bursts(&mut Source(3));
    let chat = |host: &str| Made { bursts: bursts.clone(), ..Made::new(2.0 * DAY, 2.0 * HOUR, host) }.entries();
    assert_eq!(told([office(3), chat(COMMON)]), []);
    let findings = told([office(3), chat(RARE)]);
    assert!(findings.iter().all(|finding| finding.severity == Severity::Low), "{findings:#?}");
}

#[test]
fn shells_are_told_from_all_else_that_people_and_programs_do_in_tunnels_whatever_the_seed() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    let mut parts = vec![office(3)];
    let each = 15;
    for (number, kind) in typing::KINDS.iter().enumerate() {
        for more in 0..each {
            let bursts = kind.bursts(&mut source);
            let span = bursts.last().map_or(60.0, |last| last.0 + 30.0);
            let id = 1_000 * (1 + number as u64) + more;
            let (client, host) = (format!("10.1.{number}.{more}"), format!("h{more}-{number}.example"));
            parts.push(Made { id, client, bursts, ..Made::new(2.0 * DAY, span, &host) }.entries());
        }
    }
    let findings = told(parts);
    let mut wrong = Vec::new();
    for (number, kind) in typing::KINDS.iter().enumerate() {
        let of_kind = |finding: &&Finding| {
            finding.kind == FindingKind::InteractiveTunnel && finding.client.starts_with(&format!("10.1.{number}."))
        };
        let hits = findings.iter().filter(of_kind).count() as u64;
        if !kind.told_of(each).contains(&hits) {
            wrong.push(format!("{hits} of {each} of {kind:?}"));
        }
    }
    assert_eq!(wrong, [""; 0], "seed {seed}");
}

#[test]
fn tunnels_that_never_end_make_room_after_a_day_and_are_counted_till_then() {
    let limits = Limits { open_max: 2, ..Limits::LIVE };
    let mut detector = Detector::new(limits, &Settings::default());
    let tunnels = |first: u64, at: f64| {
        let made = (first..first + 3).map(|id| Made { id, ..Made::new(at, 2.0 * MINUTE, RARE) }.entries());
        log(made).into_iter().filter(|entry| entry.part != Part::Ended).collect::<Vec<_>>()
    };
    for (number, entry) in [tunnels(1, 0.0), tunnels(11, 2.0 * DAY)].concat().into_iter().enumerate() {
        Entry { line: number as u64 + 1, ..entry }.give(&mut detector);
    }
    detector.finish();
    assert_eq!(detector.counts().exchanges_beyond, 2);
}

#[test]
fn what_tunnels_to_a_rare_host_do_is_found_and_the_same_to_a_common_one_is_not_whatever_the_seed() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    for _ in 0..6 {
        let hours = source.even(4.5, 14.0) * HOUR;
        let (up, wait, pace) = (20 + source.below(60) as u64, source.even(0.5, 4.0), source.even(20.0, 90.0));
        let (bytes, night) = (20 + source.below(200) as u32, 60 + source.below(300) as u64);
        let of = |host: &str| {
            let made = || Made::new(2.0 * DAY, 10.0 * MINUTE, host);
            [
                (FindingKind::LongTunnel, Made { span: hours, ..made() }.entries()),
                (FindingKind::UploadTunnel, Made { up: up * MIB, down: MIB, ..made() }.entries()),
                (FindingKind::ReopenedTunnel, reopened(&[wait; 4], host)),
                (FindingKind::KeptTunnel, {
                    let span = 3.0 * HOUR;
                    Made { span, bursts: every(pace, span, bytes, bytes / 2), ..made() }.entries()
                }),
                (FindingKind::NightBulk, sends(1, 22.0 + source_hour(seed), 6, night, host)),
            ]
        };
        for (kind, entries) in of(RARE) {
            let findings = told([office(3), entries]);
            assert!(findings.iter().any(|finding| finding.kind == kind), "seed {seed}: {kind:?} of {findings:#?}");
        }
        for (kind, entries) in of(COMMON) {
            let findings = told([office(3), entries]);
            assert!(findings.iter().all(|finding| finding.kind != kind), "seed {seed}: {findings:#?}");
        }
    }
}

/// Up to an hour.
fn source_hour(seed: u64) -> f64 {
    (seed % 1_000) as f64 / 1_000.0
}

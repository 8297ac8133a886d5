//! The console over the journal of an office that never was: what a person sees there on an ordinary morning.

use sekisho::evidence::{
    Assignment, Beat, DeviceSource, Event, Exchange, Finding, FindingId, FindingKind, Ground, Rarity, Record, Severity,
    Target, Text, client_of,
};
use sekisho::facts::{ExchangeId, Timestamp};

use super::console::{Person, now, strip, write_journal};
use crate::console::{gate_on, indexed};
use crate::gate::Gate;

const MINUTE: u64 = 60_000_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const SUSPECT: &str = "10.20.1.23";
/// Whom it calls.
pub(super) const CALLED: &str = "cdn-sync.example.net";

const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 \
                    Safari/537.36 Edg/156.0.0.0";

/// A program: what it calls itself, and its JA4.
type Program = (&'static str, &'static str);

const BROWSER: Program = (EDGE, "t13d1516h2_8daaf6152771_02713d6af862");
const UPDATER: Program = ("VendorUpdate/11.4", "t13d301000_1d37bd780c83_78e6aca7449b");
const SCRIPT: Program = ("python-requests/2.32.3", "t13d1812h1_85036bcba153_b26ce05bbdd6");

const POLICY: &str = "\
[policy]\nunknown = \"deny\"\n\n\
[[rule]]\nname = \"no file sharing\"\nhosts = [\"*.file-share.example\"]\nverdict = \"deny\"\ncomment = \"decided in April\"\n\n\
[[rule]]\nname = \"mail and documents\"\nhosts = [\"*.office.example\"]\nverdict = \"allow\"\n\n\
[[rule]]\nname = \"suppliers\"\nhosts = [\"*.supplier.example\", \"parts.example\"]\nverdict = \"allow\"\nticket = \"NET-204\"\n\n\
[[rule]]\nname = \"updates\"\nhosts = [\"update.vendor.example\"]\nverdict = \"allow\"\n\n\
[[rule]]\nname = \"news\"\nhosts = [\"*.news.example\"]\nverdict = \"allow\"\ncomment = \"until the review in spring\"\n";

/// Who asks for what, how often on a working day, and what becomes of it: a rule that allows, or a reason.
const HABITS: [(&str, u64, Program, Result<&str, &str>); 8] = [
    ("mail.office.example", 14, BROWSER, Ok("mail and documents")),
    ("files.office.example", 6, BROWSER, Ok("mail and documents")),
    ("portal.supplier.example", 3, BROWSER, Ok("suppliers")),
    ("www.news.example", 2, BROWSER, Ok("news")),
    ("update.vendor.example", 2, UPDATER, Ok("updates")),
    ("video.streaming.example", 1, BROWSER, Err("no_rule")),
    ("telemetry.game.example", 1, UPDATER, Err("no_rule")),
    ("upload.file-share.example", 1, BROWSER, Err("rule")),
];

fn exchange(
    at: u64,
    client: &str,
    host: &str,
    program: Program,
    outcome: Result<&str, &str>,
    event: Event,
) -> Exchange {
    let mut record = Exchange::new(event, ExchangeId(at));
    if event == Event::Close {
        record.bytes_up = Some(2_400 + at / 7 % 9_000);
        record.bytes_down = Some(18_000 + at / 11 % 900_000);
        record.closed_how = Some("finished".into());
        return record;
    }
    let (agent, ja4) = program;
    record.client = Some(client.into());
    record.user_agent = Some(agent.into());
    record.method = Some("CONNECT".into());
    record.target = Some(Target {
        scheme: "https",
        host: host.into(),
        port: 443,
        path: None,
        query_bytes: None,
        query_hash: None,
        query: None,
    });
    record.ja4 = Some(ja4.into());
    record.sni = Some(host.into());
    match outcome {
        Ok(rule) => {
            record.verdict = Some("allow");
            record.reason = Some("rule".into());
            record.rule = Some(rule.into());
        }
        Err(reason) => {
            record.verdict = Some("deny");
            record.reason = Some(reason.into());
            record.rule = Some("no file sharing".into()).filter(|_| reason == "rule");
        }
    }
    record
}

/// An exchange as it is on record: refused at once, or opened and closed.
fn put(
    into: &mut Vec<(u64, Record)>,
    at: u64,
    client: &str,
    host: &str,
    program: Program,
    outcome: Result<&str, &str>,
) {
    let events = if outcome.is_ok() { &[Event::Open, Event::Close][..] } else { &[Event::Refused] };
    let one = |event: &Event| (at, Record::Exchange(Box::new(exchange(at, client, host, program, outcome, *event))));
    into.extend(events.iter().map(one));
}

fn ground(code: &'static str, numbers: &[(&'static str, f64)], english: &str, japanese: &str) -> Ground {
    Ground::new(code, numbers, english.to_owned(), japanese.to_owned())
}

/// A finding of these grounds, without a beat.
fn found(
    kind: FindingKind,
    severity: Severity,
    (client, target): (&str, &str),
    now: u64,
    grounds: Vec<Ground>,
) -> Finding {
    Finding {
        id: FindingId::new(kind, client, target),
        kind,
        severity,
        score: 3.4,
        weight: 3.4,
        client: client.into(),
        target: target.into(),
        port: 443,
        first: Timestamp(now - 3 * HOUR),
        last: Timestamp(now - 5 * MINUTE),
        requests: 38,
        denied: 0,
        beat: None,
        grounds,
        rarity: Some(Rarity { clients: 1, of: 13, known_seconds: 3 * 3_600 }),
        records: [1, 2],
    }
}

pub(super) fn findings(now: u64) -> [Finding; 3] {
    let of_beacon = vec![
        ground(
            "one_kind",
            &[("of_kind", 97.0), ("requests", 97.0)],
            "these are 97 requests of one kind among 97",
            "全97件のうち同じ形の要求97件について",
        ),
        ground("size", &[("bytes_up", 2_410.0)], "about 2.4 KiB up each", "1件あたり上り約2.4 KiB"),
    ];
    let beacon = Finding {
        score: 12.5,
        weight: 6.0,
        requests: 97,
        beat: Some(Beat {
            period_seconds: 60.0,
            low_seconds: 59.0,
            high_seconds: 61.2,
            hits: 91,
            gaps: 96,
            multiples: 1,
            strip: strip(),
        }),
        ..found(FindingKind::Beacon, Severity::High, (SUSPECT, CALLED), now, of_beacon)
    };
    let of_volume = vec![ground(
        "night",
        &[("weight", 1.4)],
        "most of it went out between 01:00 and 03:00",
        "大半が1時から3時の間に送信",
    )];
    let upload =
        found(FindingKind::NightBulk, Severity::Medium, ("10.20.1.14", "files.office.example"), now, of_volume);
    let of_program = vec![ground(
        "rare_program",
        &[("clients", 1.0)],
        "no other client here has this program",
        "この網でほかに使う端末のないプログラム",
    )];
    let lone = found(FindingKind::LoneProgram, Severity::Low, ("10.20.1.17", "update.vendor.example"), now, of_program);
    [beacon, upload, lone]
}

/// A gate at which an office of thirteen PCs has worked for a week.
pub(super) fn gate() -> (Gate, tempfile::TempDir) {
    let now = now();
    // Each with when it was written.
    let mut records = Vec::new();
    for number in 11..=23_u64 {
        let assigned = Assignment {
            client: client_of(&format!("10.20.1.{number}")).unwrap(),
            name: Text::from(&*format!("PC-{:04}", 100 + number)),
            hardware: None,
            source: DeviceSource::Table,
            since: Timestamp(0),
            until: None,
        };
        records.push((now - 8 * DAY, Record::Device(assigned)));
        let client = format!("10.20.1.{number}");
        for day in 0..7 {
            for (place, (host, times, program, outcome)) in HABITS.into_iter().enumerate() {
                // What is stopped is asked for by a few.
                let stops = outcome.is_err();
                if stops && !(number + day).is_multiple_of(place as u64) {
                    continue;
                }
                for time in 0..times {
                    let at = now - day * DAY - (time * 8 * HOUR / times + number * MINUTE + place as u64 * 7_000_001);
                    put(&mut records, at, &client, host, program, outcome);
                }
            }
        }
    }
    for (beats, _) in (0..97_u64).zip(strip()) {
        put(&mut records, now - 5 * MINUTE - beats * MINUTE, SUSPECT, CALLED, SCRIPT, Ok("suppliers"));
    }
    records.extend(findings(now).map(|finding| (now, Record::Finding(Box::new(finding)))));
    records.sort_by_key(|(at, _)| *at);
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("data");
    write_journal(&path, &records);
    let config = format!("[detect]\nlive = false\n[alerts.soc]\ndirectory = {:?}\n", data.path());
    let gate = gate_on(&path, POLICY, &config);
    indexed(&gate);
    (gate, data)
}

#[test]
fn from_a_finding_its_record_leads_to_what_its_client_did_around_it() {
    let (gate, _data) = gate();
    let mut person = Person::new(&gate);
    person.log_in("analyst");
    person.go("/findings");
    let way = "(Array.from(document.querySelectorAll('td a')).find((e) => e.href.includes('/around?id=')) || {}).href";
    let way = person.browser.evaluate(way).unwrap().as_str().unwrap().to_owned();
    person.go(&way[way.find("/around").unwrap()..]);
    let text = person.text();
    assert!(text.contains(SUSPECT) && text.contains(CALLED), "{text}");
    let mut viewer = Person::new(&gate);
    viewer.log_in("viewer");
    viewer.go("/findings");
    assert!(!viewer.browser.evaluate("document.body.innerHTML").unwrap().to_string().contains("/around"));
}

#[test]
fn chromium_shows_an_office_as_the_readme_does() {
    let (gate, _data) = gate();
    let [beacon, ..] = findings(now());
    let records = crate::gate::records(&gate.data_dir());
    let called = records.iter().rfind(|record| record["event"] == "open" && record["host"] == CALLED).unwrap();
    let exchange = called["id"].as_str().unwrap();
    let mut person = Person::new(&gate);
    person.log_in("admin");
    for (language, width, is_dark) in [("en", 1280, false), ("ja", 1280, true), ("ja", 390, false), ("en", 390, true)] {
        person.browser.screen(width, is_dark);
        person.go(&format!("/?lang={language}"));
        for (name, way, shows) in [
            ("overview", "/".to_owned(), CALLED),
            ("blocked", "/blocked".into(), "video.streaming.example"),
            ("findings", "/findings".into(), CALLED),
            ("finding", format!("/finding?id={}", beacon.id), "2.4 KiB"),
            ("unknown", "/unknown".into(), CALLED),
            ("programs", "/programs".into(), "VendorUpdate"),
            ("errors", "/errors".into(), ""),
            ("around", format!("/around?id={exchange}&minutes=30"), CALLED),
            ("like", format!("/like?id={exchange}&by=host"), SUSPECT),
            ("client", "/client?name=PC-0123".into(), CALLED),
            ("host", format!("/host?name={CALLED}"), SUSPECT),
            ("policy", "/policy?client=10.20.1.5&method=GET&url=https%3A%2F%2Fwww.news.example%2F".into(), "news"),
            ("live", "/live".into(), ""),
            ("sql", "/sql".into(), ""),
        ] {
            person.go(&way);
            person.is_sound(&way);
            let text = person.text();
            assert!(text.contains(shows), "{way}: {text}");
            person.picture(&format!("office-{name}-{language}-{width}{}", if is_dark { "-dark" } else { "" }));
        }
    }
}

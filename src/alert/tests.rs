use proptest::prelude::*;

use crate::evidence::{Chain, FindingId, FindingKind, Gap, Health, Mark, Person, Record, Severity, Triage};
use crate::facts::Timestamp;
use crate::parse::Document;

use super::*;

const SECOND: u64 = 1_000_000;
const HOUR: u64 = 3600 * SECOND;
/// 2026-11-27 at 01:00 UTC, which is 10:00 in Osaka.
const MORNING: u64 = 1_795_741_200 * SECOND;

fn at(hours: u64) -> Timestamp {
    Timestamp(MORNING + hours * HOUR)
}

fn rules(text: &str) -> Result<Rules, String> {
    let read = Document::read("c.toml", text, |root| Some(Rules::read(root)));
    read.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn fold(text: &str) -> Fold {
    Fold::new("mail", rules(text).unwrap(), Kept::default())
}

fn finding(seq: u64, id: &str, severity: Severity, time: Timestamp) -> Event {
    let what = What::Finding {
        id: id.into(),
        kind: FindingKind::Beacon,
        severity,
        client: "10.20.1.5".into(),
        target: "c2.example".into(),
        port: 443,
        english: "calls home each 60 s.".into(),
        japanese: "60秒ごとの通信です。".into(),
    };
    Event { seq, time, what }
}

fn health(seq: u64, subject: &str, level: &str, detail: &str) -> Event {
    let what = What::Health { subject: subject.into(), level: level.into(), detail: detail.into() };
    Event { seq, time: at(0), what }
}

fn alert() -> Alert {
    fold("severity = \"low\"").take(&finding(7, "0123456789abcdef", Severity::High, at(0)), "PC-0123", at(0)).unwrap()
}

/// Everything that could end a field, a line, a header or a string.
const HOSTILE: &str = "a|b\\c=d\"e\r\nSubject: x\n\u{1b}[2J\u{202e}{gate}.\r\n.\r\n</x>";

fn hostile() -> Alert {
    let what = What::Finding {
        id: HOSTILE.into(),
        kind: FindingKind::Beacon,
        severity: Severity::High,
        client: HOSTILE.into(),
        target: HOSTILE.into(),
        port: 443,
        english: HOSTILE.into(),
        japanese: HOSTILE.into(),
    };
    fold("").take(&Event { seq: 7, time: at(0), what }, HOSTILE, at(0)).unwrap()
}

#[test]
fn what_a_person_has_explained_or_watches_is_told_again_only_as_more_pressing() {
    let mut fold = fold("severity = \"low\"\nrepeat_hours = 1");
    let marked = |fold: &mut Fold, id: &str, mark: Mark, until: Option<u64>| {
        let what = What::Triage { id: id.into(), mark, until: until.map(at) };
        assert_eq!(fold.take(&Event { seq: 9, time: at(0), what }, "", at(0)), None);
    };
    let told = |fold: &mut Fold, id: &str, severity: Severity, hours: u64| {
        fold.take(&finding(1, id, severity, at(hours)), "", at(hours)).is_some()
    };
    for id in ["good", "watched", "bad", "unmarked"] {
        assert!(told(&mut fold, id, Severity::Medium, 0), "{id}");
    }
    marked(&mut fold, "good", Mark::KnownGood, Some(10));
    marked(&mut fold, "watched", Mark::Watching, None);
    marked(&mut fold, "bad", Mark::Malicious, None);
    assert_eq!(
        ["good", "watched", "bad", "unmarked"].map(|id| told(&mut fold, id, Severity::Medium, 5)),
        [false, false, true, true]
    );
    assert!(told(&mut fold, "good", Severity::High, 6), "more pressing");
    assert!(!told(&mut fold, "good", Severity::High, 9), "and once");
    assert!(told(&mut fold, "good", Severity::High, 11), "what it was held to be holds no more");
    // It outlasts a restart, and goes when it is held to be another thing.
    let kept = serde_json::to_string(fold.kept()).unwrap();
    let mut fold = Fold::new("mail", rules("severity = \"low\"").unwrap(), serde_json::from_str(&kept).unwrap());
    assert!(!told(&mut fold, "watched", Severity::Medium, 100));
    marked(&mut fold, "watched", Mark::Malicious, None);
    assert!(told(&mut fold, "watched", Severity::Medium, 101));
    marked(&mut fold, "watched", Mark::Watching, None);
    assert!(!told(&mut fold, "watched", Severity::Medium, 200));
    marked(&mut fold, "watched", Mark::Withdrawn, None);
    assert!(told(&mut fold, "watched", Severity::Medium, 201));
}

#[test]
fn lines_of_the_journal_are_read_and_those_of_nobodys_alert_are_passed_over() {
    let mut chain = Chain::start();
    let mut line = |record: &Record| {
        let mut line = Vec::new();
        chain.append(&record.encode(at(0)), &mut line);
        line
    };
    let detail = "the disk \"kind\":\"finding\" lasts two days\u{1b}";
    let health = line(&Record::Health(Health { subject: "disk", level: "critical", detail: detail.into() }));
    let expected = What::Health { subject: "disk".into(), level: "critical".into(), detail: detail.into() };
    assert_eq!(read_event(&health), Some(Event { seq: 1, time: at(0), what: expected }));
    let gap = line(&Record::Gap(Gap { cause: "records_lost", detail: "a".into(), bytes: None, count: Some(3) }));
    let expected = What::Gap { cause: "records_lost".into(), detail: "a".into(), count: Some(3) };
    assert_eq!(read_event(&gap).map(|event| event.what), Some(expected));
    let admin = crate::evidence::Admin { action: "started", detail: Some("\"kind\":\"gap\"".into()) };
    assert_eq!(read_event(&line(&Record::Admin(admin))), None);
    let id = FindingId::new(FindingKind::Beacon, "10.20.1.5", "c2.example");
    let triage = |finding_id: Option<FindingId>, until: Option<&str>| {
        let who = Person { uid: Some(7), login: None, console: None, claims: None };
        let (target, until) = (Some("c2.example".into()), until.map(Into::into));
        let why = "\"action\":\"malicious\"".into();
        Record::Triage(Box::new(Triage {
            who,
            mark: Mark::KnownGood,
            target,
            finding_id,
            client: None,
            why,
            until,
            before: None,
        }))
    };
    for (until, expected) in [
        (None, None),
        (Some("2026-11-27"), Some(Timestamp(1_795_824_000 * SECOND - 1))),
        (Some("no day"), Some(Timestamp(0))),
    ] {
        let expected = What::Triage { id: id.to_string().into(), mark: Mark::KnownGood, until: expected };
        assert_eq!(read_event(&line(&triage(Some(id), until))).map(|event| event.what), Some(expected));
    }
    assert_eq!(read_event(&line(&triage(None, None))), None, "of a target: that is no finding");
    let found = br#"{"v":1,"seq":9,"gate":"\"kind\":\"gap\"","time":"2026-11-27T01:00:00.000000Z","kind":"finding","finding":"beacon","finding_id":"00000000000000ff","severity":"high","client":"10.20.1.5","target":"c2.example","port":443,"english":"calls home each 60 s.","japanese":"60\u79d2\u3054\u3068\u306e\u901a\u4fe1\u3067\u3059\u3002","h":"0"}"#;
    assert_eq!(read_event(found), Some(finding(9, "00000000000000ff", Severity::High, at(0))));
    for bad in [
        &b""[..],
        b"\xff",
        b"{\"kind\":\"finding\"",
        b"{\"seq\":1,\"kind\":\"gap\"}",
        b"{\"kind\":\"gap\",\"seq\":\"x\"}",
    ] {
        assert_eq!(read_event(bad), None);
    }
}

#[test]
fn a_finding_that_goes_on_is_told_again_only_when_it_is_more_pressing_or_hours_later() {
    let mut fold = fold("severity = \"low\"\nrepeat_hours = 6");
    let mut told =
        |seq, id, severity, hours| fold.take(&finding(seq, id, severity, at(hours)), "", at(hours)).is_some();
    assert!(told(1, "a", Severity::Low, 0));
    assert!(!told(2, "a", Severity::Low, 1));
    assert!(told(3, "b", Severity::Low, 1), "another one is another one");
    assert!(told(4, "a", Severity::High, 2), "it is more pressing");
    assert!(!told(5, "a", Severity::Medium, 3), "it is less pressing than it was");
    assert!(!told(6, "a", Severity::High, 7));
    assert!(told(7, "a", Severity::Low, 8), "six hours after it was told last");
    assert!(!told(8, "a", Severity::Low, 0), "a clock that was set back tells nothing twice");
}

#[test]
fn what_was_held_to_be_good_before_anybody_was_told_is_not_told_and_what_is_watched_is_told_once() {
    let told = |mark, times: &[(Severity, u64)]| {
        let mut fold = fold("severity = \"low\"");
        let tell = |(severity, hours): &(Severity, u64)| {
            let known = Known { device: "", mark };
            fold.take(&finding(1, "a", *severity, at(*hours)), known, at(*hours)).is_some()
        };
        times.iter().map(tell).collect::<Vec<_>>()
    };
    let times = [(Severity::Low, 0), (Severity::High, 1), (Severity::High, 48)];
    assert_eq!(told(Some(Mark::KnownGood), &times), [false, false, false]);
    assert_eq!(told(Some(Mark::Watching), &times), [true, true, false]);
    assert_eq!(told(Some(Mark::Malicious), &times), [true, true, true]);
    assert_eq!(told(None, &times), [true, true, true]);
    // Whoever was told of it, and then said that it is good, hears when it becomes more pressing.
    let mut fold = fold("severity = \"low\"");
    let mut tell = |mark, severity, hours| {
        fold.take(&finding(1, "a", severity, at(hours)), Known { device: "", mark }, at(hours)).is_some()
    };
    assert!(tell(None, Severity::Low, 0));
    assert!(!tell(Some(Mark::KnownGood), Severity::Low, 48));
    assert!(tell(Some(Mark::KnownGood), Severity::Medium, 49));
}

#[test]
fn a_receiver_hears_what_it_wants_and_nothing_less_pressing() {
    let mut some = fold("severity = \"medium\"\nkinds = [\"always_on\", \"health\"]");
    assert_eq!(some.take(&finding(1, "a", Severity::High, at(0)), "", at(0)), None, "another kind");
    assert_eq!(some.take(&health(2, "list", "kept", "it fails"), "", at(0)), None, "low");
    assert!(some.take(&health(3, "disk", "critical", "two days"), "", at(0)).is_some());
    assert!(some.tell(Alert::of_journal(at(0), Some("full")), at(0)).is_some());
    let mut findings = fold("kinds = [\"beacon\"]");
    assert_eq!(findings.take(&health(3, "disk", "full", "none"), "", at(0)), None);
    assert_eq!(findings.tell(Alert::of_journal(at(0), Some("full")), at(0)), None);
    assert_eq!(findings.take(&finding(4, "a", Severity::Low, at(0)), "", at(0)), None);
    assert!(findings.take(&finding(5, "a", Severity::Medium, at(0)), "", at(0)).is_some(), "it was not told as low");
    let gap = |cause: &str| Event {
        seq: 9,
        time: at(0),
        what: What::Gap { cause: cause.into(), detail: "".into(), count: None },
    };
    let mut all = fold("");
    assert_eq!(all.take(&gap("records_lost"), "", at(0)).map(|alert| alert.severity), Some(Severity::High));
    assert_eq!(all.take(&gap("flows_lost"), "", at(0)), None);
}

#[test]
fn that_something_works_again_is_told_to_whom_its_failure_was_told() {
    let mut fold = fold("severity = \"medium\"");
    assert_eq!(fold.take(&health(1, "list", "fetched", "another content"), "", at(0)), None, "nothing had failed");
    assert_eq!(fold.take(&health(2, "list", "kept", "it fails"), "", at(0)), None);
    assert_eq!(fold.take(&health(3, "list", "fetched", "it is there"), "", at(0)), None, "its failure was not told");
    let failed = fold.take(&health(4, "checkpoints", "waiting", "vault: refused"), "", at(0)).unwrap();
    assert_eq!(&*failed.japanese, "チェックポイントの送信: waiting: vault: refused");
    assert_eq!(fold.take(&health(5, "checkpoints", "waiting", "vault: refused"), "", at(0)), None);
    let again = fold.take(&health(6, "checkpoints", "sent", "vault has all"), "", at(0)).unwrap();
    assert_eq!((again.severity, &*again.english), (Severity::Medium, "checkpoints: sent: vault has all"));
    assert_eq!(fold.take(&health(7, "checkpoints", "sent", "vault has all"), "", at(0)), None);
    // What it does not take itself is no news to a receiver.
    assert_eq!(fold.take(&health(8, "alerts", "waiting", "mail: alerts are not sent"), "", at(0)), None);
    assert!(fold.take(&health(9, "alerts", "waiting", "mail2: alerts are not sent"), "", at(0)).is_some());
    assert!(fold.take(&health(10, "quantum", "entangled", "not known here"), "", at(0)).is_some());
}

#[test]
fn more_than_an_hours_share_is_counted_and_told_in_one_and_takes_no_place_of_what_is_more_pressing() {
    let mut fold = fold("severity = \"low\"\nper_hour = 2");
    let sent: Vec<bool> = (0..5)
        .map(|n| fold.take(&finding(n, &format!("low-{n}"), Severity::Low, at(0)), "", at(0)).is_some())
        .collect();
    assert_eq!(sent, [true, true, false, false, false]);
    for n in 5..8 {
        let taken = fold.take(&finding(n, &format!("high-{n}"), Severity::High, at(0)), "", at(0)).is_some();
        assert_eq!(taken, n < 7, "{n}");
    }
    assert_eq!((fold.held(), fold.tick(Timestamp(at(1).0 - 1))), (4, Vec::new()));
    let summed = fold.tick(at(1));
    let [sum] = &summed[..] else { panic!("{summed:?}") };
    assert_eq!((&*sum.kind, sum.severity, sum.origin), ("surplus", Severity::High, Origin::Surplus(at(0).0)));
    let expected = "4 alerts were not sent one by one, as they were too many: 1 high, 0 medium, 3 low\n\
                    2026-11-27T01:00:00 high beacon 10.20.1.5 c2.example high-7\n\
                    2026-11-27T01:00:00 low beacon 10.20.1.5 c2.example low-2\n\
                    2026-11-27T01:00:00 low beacon 10.20.1.5 c2.example low-3\n\
                    2026-11-27T01:00:00 low beacon 10.20.1.5 c2.example low-4";
    assert_eq!(&*sum.english, expected);
    assert!(sum.japanese.starts_with("上限を超えた通知: 4件（高1、中0、低3）\n"), "{}", sum.japanese);
    assert_eq!(fold.tick(at(2)), [], "once");
    assert!(fold.take(&finding(9, "another", Severity::Low, at(2)), "", at(2)).is_some(), "another hour");
}

#[test]
fn quiet_hours_hold_back_all_but_high_and_end_with_one_digest() {
    // From 22 to 6 in Osaka: 13 to 21 UTC.
    let mut fold = fold("severity = \"low\"\nquiet = \"22:00-06:00\"\nutc_offset = \"+9\"");
    let take = |fold: &mut Fold, seq, severity, hours| {
        fold.take(&finding(seq, &format!("{seq}"), severity, at(hours)), "", at(hours)).is_some()
    };
    assert!(take(&mut fold, 1, Severity::Low, 11), "21:00");
    for (seq, hours) in [(2, 12), (3, 14), (4, 19)] {
        assert!(!take(&mut fold, seq, Severity::Medium, hours));
    }
    assert!(take(&mut fold, 5, Severity::High, 13), "what is high is told at once");
    assert_eq!((fold.tick(Timestamp(at(20).0 - 1)), fold.held()), (Vec::new(), 3));
    let kept = serde_json::to_string(fold.kept()).unwrap();
    let mut fold = Fold::new("mail", rules("severity = \"low\"").unwrap(), serde_json::from_str(&kept).unwrap());
    let digest = fold.tick(at(20));
    assert_eq!(digest.len(), 1);
    assert_eq!((&*digest[0].kind, digest[0].severity), ("quiet_hours", Severity::Medium));
    assert!(digest[0].english.starts_with("3 alerts were held back in quiet hours: 0 high, 3 medium, 0 low\n"));
    assert_eq!((fold.tick(at(21)), fold.held()), (Vec::new(), 0));
    let mut none = self::fold("quiet = \"22:00-06:00\"\nutc_offset = \"+9\"\nhigh_when_quiet = false");
    assert!(!take(&mut none, 1, Severity::High, 13));
    assert_eq!(none.tick(at(20))[0].severity, Severity::High);
}

#[test]
fn quiet_hours_cover_their_begin_and_not_their_end_in_the_receivers_time() {
    let covers = |text: &str, offset: i16, hours: u64, minutes: u64| {
        Quiet::parse(text, offset).unwrap().covers(Timestamp(at(hours).0 + minutes * 60 * SECOND))
    };
    // `at(0)` is 01:00 UTC.
    assert!(covers("01:00-02:00", 0, 0, 0) && covers("01:00-02:00", 0, 0, 59) && !covers("01:00-02:00", 0, 1, 0));
    assert!(covers("22:00-01:01", 0, 0, 0) && !covers("22:00-01:00", 0, 0, 0) && covers("22:00-06:00", 0, 21, 0));
    assert!(covers("10:00-11:00", 540, 0, 0) && covers("19:30-19:31", -330, 0, 0));
    for bad in [
        "",
        "22-6",
        "22:00",
        "22:00-22:00",
        "00:00-24:00",
        "24:01-06:00",
        "22:60-06:00",
        "+1:00-2:00",
        "22:00-06:00-",
        "a:b-c:d",
    ] {
        assert_eq!(Quiet::parse(bad, 0), None, "{bad}");
    }
}

#[test]
fn rules_that_make_no_sense_are_refused_with_what_to_write() {
    for (text, part) in [
        ("severity = \"urgent\"", "write one of \"low\", \"medium\", \"high\""),
        ("kinds = [\"becon\"]", "did you mean `beacon`?"),
        ("kinds = []", "`kinds` is empty"),
        ("per_hour = 0", "from 1 to 1000"),
        ("repeat_hours = 721", "from 1 to 720"),
        ("quiet = \"22-6\"", "such as \"22:00-06:00\""),
        ("utc_offset = \"JST\"", "such as \"+9\""),
        ("utc_offset = \"+15\"", "no offset from UTC"),
    ] {
        let said = rules(text).unwrap_err();
        assert!(said.contains(part), "{text}: {said}");
    }
    assert_eq!(
        rules("utc_offset = \"-5:30\"\nquiet = \"1:00-2:00\"").unwrap().quiet.map(|quiet| quiet.offset),
        Some(-330)
    );
}

#[test]
fn what_was_told_is_bounded_and_what_was_told_longest_ago_may_be_told_again() {
    let mut fold = fold("per_hour = 1000\nrepeat_hours = 720");
    for n in 0..=10_000 {
        let time = Timestamp(at(0).0 + n * SECOND);
        fold.take(&finding(n, &format!("{n}"), Severity::High, time), "", time);
    }
    let now = at(4);
    assert!(fold.take(&finding(1, "1", Severity::High, now), "", now).is_none(), "the second is known");
    let kept = serde_json::to_string(fold.kept()).unwrap();
    assert!(kept.matches("\"at\"").count() == 10_000 && kept.len() < 1 << 20, "{}", kept.len());
    assert!(!kept.contains("\"0\":{"), "the first had to go");
}

#[test]
fn an_alert_is_text_json_and_cef() {
    assert_eq!(
        Form::Text.write_line(None, &alert(), "osaka"),
        "high beacon（定期通信）: 10.20.1.5 PC-0123 c2.example [0123456789abcdef] / calls home each 60 s. / \
         60秒ごとの通信です。 / 2026-11-27T01:00:00.000000Z osaka"
    );
    assert_eq!(
        Form::Json.write(None, &alert(), "osaka"),
        r#"{"id":"record-7","gate":"osaka","time":"2026-11-27T01:00:00.000000Z","severity":"high","kind":"beacon","client":"10.20.1.5","device":"PC-0123","target":"c2.example","port":443,"finding_id":"0123456789abcdef","english":"calls home each 60 s.","japanese":"60秒ごとの通信です。"}"#
    );
    assert_eq!(
        Form::Cef.write(None, &alert(), "osaka"),
        format!(
            "CEF:0|Sekisho|Sekisho|{}|beacon|beacon|9|rt=1795741200000 externalId=record-7 cat=beacon dvchost=osaka \
             src=10.20.1.5 shost=PC-0123 dhost=c2.example dpt=443 cs2Label=finding_id cs2=0123456789abcdef \
             cs1Label=japanese cs1=60秒ごとの通信です。 msg=calls home each 60 s.",
            env!("CARGO_PKG_VERSION")
        )
    );
    let template = Template::of("{severity}|{client}|{device}|{port}|{nothing}|{gate}|{time}|{{kind}}");
    assert_eq!(
        Form::Text.write(Some(&template), &alert(), "osaka"),
        "high|10.20.1.5|PC-0123|443|{nothing}|osaka|2026-11-27T01:00:00.000000Z|{beacon}"
    );
    let of_gate = Alert::of_journal(at(0), Some("no space"));
    assert!(Form::Json.write(None, &of_gate, "g").contains("\"kind\":\"health\",\"english\":\"no record"));
    let cef = Form::Cef.write(None, &of_gate, "g");
    assert!(!cef.contains("src=") && !cef.contains("dpt="), "{cef}");
    assert!(
        Form::Cef.write(None, &Alert { client: "2001:db8::5".into(), ..alert() }, "g").contains(" c6a2=2001:db8::5 ")
    );
}

/// Undoes what the format escapes, and fails at what it does not allow: the head's fields and the extension's.
fn read_cef(line: &str) -> (Vec<String>, Vec<(String, String)>) {
    assert!(!line.contains(['\n', '\r', '\u{1b}', '\u{202e}']), "{line:?}");
    let (mut fields, mut field, mut rest) = (Vec::new(), String::new(), line.chars());
    while fields.len() < 7 {
        match rest.next().unwrap() {
            '\\' => field.push(Some(rest.next().unwrap()).filter(|c| matches!(c, '|' | '\\')).unwrap()),
            '|' => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    let (mut pairs, mut rest) = (Vec::<(String, String)>::new(), rest.as_str());
    while !rest.is_empty() {
        let (key, mut behind) = rest.split_once('=').unwrap();
        assert!(key.bytes().all(|b| b.is_ascii_alphanumeric()) && !key.is_empty(), "{key:?} in {line}");
        let mut value = String::new();
        // A value ends in front of the next key: the last blank before the next `=` that is not escaped.
        let mut end = None;
        let mut escaped = false;
        for (place, c) in behind.char_indices() {
            if !escaped && c == '=' {
                end = behind[..place].rfind(' ');
                break;
            }
            escaped = !escaped && c == '\\';
        }
        let raw = &behind[..end.unwrap_or(behind.len())];
        behind = end.map_or("", |end| &behind[end + 1..]);
        let mut chars = raw.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => value.push(match chars.next().unwrap() {
                    'n' => '\n',
                    c @ ('=' | '\\') => c,
                    other => panic!("\\{other}"),
                }),
                other => value.push(other),
            }
        }
        pairs.push((key.to_owned(), value));
        rest = behind;
    }
    (fields, pairs)
}

#[test]
fn hostile_text_changes_no_field_of_cef() {
    let (head, pairs) = read_cef(&Form::Cef.write(None, &hostile(), "osaka"));
    assert_eq!(head, ["CEF:0", "Sekisho", "Sekisho", env!("CARGO_PKG_VERSION"), "beacon", "beacon", "9"]);
    let keys: Vec<_> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    let expected = [
        "rt",
        "externalId",
        "cat",
        "dvchost",
        "cs3Label",
        "cs3",
        "shost",
        "dhost",
        "dpt",
        "cs2Label",
        "cs2",
        "cs1Label",
        "cs1",
        "msg",
    ];
    assert_eq!(keys, expected);
    let seen = "a|b\\c=d\"e\\u{d}\nSubject: x\n\\u{1b}[2J\\u{202e}{gate}.\\u{d}\n.\\u{d}\n</x>";
    for key in ["cs3", "shost", "dhost", "cs1", "msg"] {
        assert_eq!(pairs.iter().find(|(other, _)| other == key).unwrap().1, seen, "{key}");
    }
}

#[test]
fn hostile_text_ends_no_line_no_string_and_no_placeholder() {
    let line = Form::Text.write_line(None, &hostile(), "osaka");
    assert!(!line.contains(char::is_control) && line.contains("{gate}") && line.contains("\\u{1b}[2J"), "{line}");
    let template = Template::of("{\"text\": \"{severity} {english}\", \"who\": [\"{client}\"]}");
    assert!(template.is_json() && !Template::of("{severity}").is_json());
    let json = Form::Json.write_line(Some(&template), &hostile(), "osaka");
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&read["text"], &read["who"][0]), (&format!("high {HOSTILE}").into(), &HOSTILE.into()));
    let whole: serde_json::Value = serde_json::from_str(&Form::Json.write(None, &hostile(), "osaka")).unwrap();
    assert_eq!((&whole["client"], &whole["english"]), (&HOSTILE.into(), &HOSTILE.into()));
}

fn mail(alert: &Alert, subject: Option<&Template>) -> String {
    let to = ["soc@example.com".to_owned(), "it@example.com".to_owned()];
    let parts =
        MailParts { from: "gate@example.com", to: &to, form: Form::Text, template: None, subject, gate: "osaka" };
    mail_text(parts, alert)
}

#[test]
fn a_mail_is_ascii_and_its_japanese_subject_is_encoded_words() {
    let text = mail(&alert(), Some(&Template::of("[関所] {severity}: {japanese}関所関所関所関所関所関所")));
    let expected = "Date: Fri, 27 Nov 2026 01:00:00 +0000\r\nFrom: <gate@example.com>\r\n\
                    To: <soc@example.com>,\r\n <it@example.com>\r\n\
                    Subject: =?UTF-8?B?";
    assert!(text.starts_with(expected), "{text}");
    assert!(
        text.is_ascii() && text.split("\r\n").all(|line| line.len() <= 76 && !line.contains(['\r', '\n'])),
        "{text}"
    );
    let subject: Vec<_> = text.split("\r\n").skip_while(|line| !line.starts_with("Subject:")).collect();
    let words: Vec<_> = subject.iter().take_while(|line| line.contains("=?UTF-8?B?")).collect();
    assert!(
        words.len() > 1 && words.iter().skip(1).all(|word| word.starts_with(" =?") && word.len() <= 76),
        "{words:?}"
    );
    let decoded: String = words
        .iter()
        .map(|word| {
            let word =
                word.trim_start_matches("Subject:").trim().trim_start_matches("=?UTF-8?B?").trim_end_matches("?=");
            // Each word is whole characters.
            String::from_utf8(data_encoding::BASE64.decode(word.as_bytes()).unwrap()).unwrap()
        })
        .collect();
    assert_eq!(decoded, "[関所] high: 60秒ごとの通信です。関所関所関所関所関所関所");
    let body: String = text.split_once("\r\n\r\n").unwrap().1.split_whitespace().collect();
    let body = String::from_utf8(data_encoding::BASE64.decode(body.as_bytes()).unwrap()).unwrap();
    assert_eq!(body, format!("{}\r\n", Form::Text.write(None, &alert(), "osaka").replace('\n', "\r\n")));
    let plain = mail(&alert(), Some(&Template::of("{severity} {client}")));
    assert!(plain.contains("\r\nSubject: high 10.20.1.5\r\n"), "{plain}");
    assert!(mail(&alert(), None).contains("Message-ID: <") && mail(&alert(), None) == mail(&alert(), None));
}

#[test]
fn no_text_of_others_adds_a_header_or_a_line_to_a_mail() {
    for subject in [None, Some(Template::of("{target}")), Some(Template::of("{japanese}\r\nBcc: {client}"))] {
        let text = mail(&hostile(), subject.as_ref());
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let fields: Vec<_> = head
            .split("\r\n")
            .filter(|line| !line.starts_with(' '))
            .map(|line| line.split(':').next().unwrap())
            .collect();
        let expected = [
            "Date",
            "From",
            "To",
            "Subject",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
        ];
        assert_eq!(fields, expected, "{text}");
        assert!(
            text.is_ascii() && text.split("\r\n").all(|line| !line.contains(['\r', '\n', '\u{1b}']) && line != ".")
        );
    }
    for (address, is_one) in [
        ("soc@example.com", true),
        ("a.b+c@mail-1.example.com", true),
        ("", false),
        ("soc", false),
        ("@example.com", false),
        ("soc@", false),
        ("a b@example.com", false),
        ("soc@example.com>\r\nRCPT TO:<x@y.z", false),
        ("soc@example.com, x@y.z", false),
        ("\"x\"@example.com", false),
        ("a..b@example.com", false),
        ("関所@example.com", false),
    ] {
        assert_eq!(is_mail_address(address), is_one, "{address:?}");
    }
}

#[test]
fn a_template_that_names_what_is_not_known_is_refused() {
    let read = |text: &str| {
        let text = format!("template = {text:?}");
        let read = Document::read("c.toml", &text, |root| Template::read(root, "template"));
        read.map_err(|problems| problems.iter().map(ToString::to_string).collect::<String>())
    };
    assert!(read("{severity} {\"a\": 1} {}").is_ok());
    assert!(read("{severty}").unwrap_err().contains("did you mean `severity`?"));
    assert!(read(" ").unwrap_err().contains("is empty"));
    assert!(read(&"a".repeat(5000)).unwrap_err().contains("longer than 4096"));
}

proptest! {
    #[test]
    fn whatever_is_told_stays_within_its_field(text in ".{0,200}", lines in proptest::collection::vec(".{0,40}", 0..4)) {
        let english = lines.join("\n");
        let alert = Alert { client: text.clone().into(), target: text.clone().into(), english: english.clone().into(), ..alert() };
        let (head, pairs) = read_cef(&Form::Cef.write(None, &alert, "g"));
        prop_assert_eq!((head.len(), pairs.last().map(|(key, _)| key.as_str())), (7, Some("msg")));
        let json: serde_json::Value = serde_json::from_str(&Form::Json.write(None, &alert, "g")).unwrap();
        prop_assert_eq!(json["english"].as_str(), Some(&*english));
        prop_assert!(!Form::Text.write_line(None, &alert, "g").contains(char::is_control));
        let mail = mail(&alert, Some(&Template::of("{client}")));
        prop_assert!(mail.is_ascii() && mail.split("\r\n").all(|line| line.len() <= 76 && !line.contains(['\r', '\n'])));
    }
}

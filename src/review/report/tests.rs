use crate::evidence::{
    Admin, Chain, Contingency, ContingencyAction, Event, Exchange, Finding, FindingId, FindingKind, Gap, Person,
    Policy, Record, Restraint, Severity, Target,
};
use crate::facts::ExchangeId;
use crate::review::{PAGE_BEGINS, report_page};
use crate::store::reindex;

use super::*;

/// 2026-10-31T23:59:00Z.
const BEGUN: u64 = 1_793_491_140_000_000;
const MINUTE: u64 = 60_000_000;
const DAY: u64 = 86_400_000_000;

const HOSTILE: &str = "<script>alert(1)</script>\u{202e}\u{1b}[2J";

struct Journal {
    chain: Chain,
    text: Vec<u8>,
    /// So many records that are not written.
    left_out: usize,
}

impl Journal {
    fn push(&mut self, time: u64, record: &Record) {
        let length = self.text.len();
        self.chain.append(&record.encode(Timestamp(time)), &mut self.text);
        if self.left_out > 0 {
            self.left_out -= 1;
            self.text.truncate(length);
        }
    }

    fn exchange(&mut self, time: u64, host: &str, verdict: &'static str, would: Option<&'static str>) {
        let event = if verdict == "allow" { Event::Open } else { Event::Refused };
        let mut record = Exchange::new(event, ExchangeId(time));
        record.client = Some("10.0.0.5".to_owned());
        record.method = Some("GET".into());
        record.target = Some(Target {
            scheme: "http",
            host: host.into(),
            port: 80,
            path: None,
            query_bytes: None,
            query_hash: None,
            query: None,
        });
        (record.verdict, record.would) = (Some(verdict), would);
        record.reason = Some(if verdict == "allow" && would.is_none() { "rule" } else { "no_rule" }.into());
        record.rule = (verdict == "allow").then(|| "portal".into());
        self.push(time, &Record::Exchange(Box::new(record)));
    }
}

fn finding(target: &str, severity: Severity, time: u64) -> Finding {
    Finding {
        id: FindingId::new(FindingKind::Beacon, "10.0.0.5", target),
        kind: FindingKind::Beacon,
        severity,
        score: 6.0,
        weight: 6.0,
        client: "10.0.0.5".into(),
        target: target.into(),
        port: 443,
        first: Timestamp(time - MINUTE),
        last: Timestamp(time),
        requests: 9,
        denied: 0,
        beat: None,
        grounds: Vec::new(),
        rarity: None,
        records: [1, 9],
    }
}

/// A month with what an auditor asks for: October has one exchange, November three days.
fn journal(left_out: bool) -> Journal {
    let mut journal = Journal { chain: Chain::start(), text: Vec::new(), left_out: 0 };
    journal.exchange(BEGUN, "october.example", "deny", None);
    let november = BEGUN + 2 * MINUTE;
    journal.exchange(november, "a.example", "allow", None);
    journal.exchange(november + MINUTE, HOSTILE, "deny", None);
    journal.left_out = usize::from(left_out);
    journal.exchange(november + 2 * MINUTE, "b.example", "challenge", None);
    journal.exchange(november + DAY, "b.example", "deny", None);
    journal.exchange(november + DAY + MINUTE, "c.example", "allow", Some("deny"));
    let (pressing, other) =
        (finding("calls.example", Severity::High, november + DAY), finding(HOSTILE, Severity::Low, november + DAY));
    journal.push(november + DAY, &Record::Finding(Box::new(other)));
    journal.push(november + DAY + 1, &Record::Finding(Box::new(pressing)));
    let restraint = Restraint {
        action: "imposed",
        act: "isolate",
        client: Some("10.0.0.5".into()),
        target: None,
        program: None,
        until: "2026-11-03T00:00:00Z".to_owned(),
        finding_id: FindingId::new(FindingKind::Beacon, "10.0.0.5", "calls.example").to_string(),
        response: "cut".into(),
        detail: None,
    };
    journal.push(november + DAY + 2, &Record::Restraint(restraint));
    let gap = Gap { cause: "torn_tail", detail: HOSTILE.into(), bytes: None, count: None };
    journal.push(november + 3 * DAY, &Record::Gap(gap));
    let policy = Policy {
        action: "in_force",
        file: "policy.toml".into(),
        hash: "0011".into(),
        rules: 3,
        mode: "enforce",
        problems: None,
        detail: None,
    };
    journal.push(november + 3 * DAY, &Record::Policy(policy));
    journal.push(november + 3 * DAY, &Record::Admin(Admin { action: "journal_closed", detail: None }));
    let contingency = Contingency {
        who: Person { uid: Some(0), login: Some("root".into()), console: None, claims: None },
        action: ContingencyAction::Isolated,
        client: Some("10.0.0.7".into()),
        device: None,
        place: None,
        why: Some("calls home".into()),
    };
    journal.push(november + 3 * DAY, &Record::Contingency(Box::new(contingency)));
    journal
}

fn report(left_out: bool) -> MonthReport {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("journal")).unwrap();
    let name = directory.path().join("journal/00000000000001-20261031T235900Z.jsonl");
    std::fs::write(name, journal(left_out).text).unwrap();
    reindex(directory.path(), |_, _| {}).unwrap();
    let index = Index::open(directory.path()).unwrap();
    let verification = Verification { is_whole: !left_out, words: vec!["13 records".to_owned()] };
    // The fifth day of November has begun.
    month_report(&index, "2026-11".parse().unwrap(), verification, Timestamp(BEGUN + 4 * DAY + 5 * MINUTE)).unwrap()
}

#[test]
fn a_month_tells_of_its_days_alone_and_of_each_of_them() {
    let report = report(false);
    let days: Vec<_> =
        report.days.iter().map(|day| (day.day.as_str(), day.records, day.exchanges, day.stopped, day.would)).collect();
    assert_eq!(
        days,
        [
            ("2026-11-01", 3, 3, 2, 0),
            ("2026-11-02", 5, 2, 1, 1),
            ("2026-11-03", 0, 0, 0, 0),
            ("2026-11-04", 4, 0, 0, 0),
            ("2026-11-05", 0, 0, 0, 0),
        ]
    );
    assert_eq!((report.first_seq, report.last_seq, report.missing), (2, 13, 0));
    let stopped: Vec<_> =
        report.stopped.iter().map(|row| (row.verdict.as_str(), row.reason.as_str(), row.requests, row.hosts)).collect();
    assert_eq!(stopped, [("deny", "no_rule", 2, 2), ("challenge", "no_rule", 1, 1), ("would deny", "no_rule", 1, 1)]);
    let hosts: Vec<_> = report.hosts.iter().map(|host| (host.name.as_str(), host.requests)).collect();
    assert_eq!(hosts[0], ("b.example", 2), "{hosts:?}");
    assert_eq!((report.gaps.count, report.policies.count, report.admin.count, report.lookups), (1, 1, 2, 0));
    let isolated = report.admin.first.iter().find(|event| event.kind == "contingency").unwrap();
    let said = (isolated.action.as_str(), isolated.detail.as_str());
    assert_eq!(said, ("isolated", "client 10.0.0.7, login root, why calls home"));
}

#[test]
fn a_record_that_is_missing_is_counted() {
    assert_eq!(report(true).missing, 1);
}

#[test]
fn findings_come_with_what_was_done_about_them_the_pressing_first() {
    let report = report(false);
    let findings: Vec<_> = report.findings.iter().map(|found| (found.severity.as_str(), found.done.len())).collect();
    assert_eq!(findings, [("high", 1), ("low", 0)]);
    let done = &report.findings[0].done[0];
    assert_eq!((done.kind.as_str(), done.action.as_str()), ("restraint", "imposed"));
    assert_eq!(done.detail, "do isolate, client 10.0.0.5, until 2026-11-03T00:00:00Z, response cut");
}

#[test]
fn the_page_has_all_of_it_in_both_languages_and_nothing_that_runs() {
    let report = report(false);
    let page = report_page(&report);
    assert!(page.starts_with(PAGE_BEGINS));
    for part in [
        "Evidence of 2026-11",
        "2026-11の証跡報告",
        "Records 2 to 13 are there without a gap.",
        "記録2から13まで欠番はありません。",
        "The whole journal verifies:",
        "Days without any record:",
        "calls.example",
        "Nothing was done about it yet.",
        "do isolate, client 10.0.0.5",
        "torn_tail",
        "policy.toml",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(
        !page.contains("<script") && !page.contains('\u{1b}') && !page.contains('\u{202e}') && !page.contains("href")
    );
    let broken = MonthReport { verification: Verification::default(), missing: 2, ..report };
    let page = report_page(&broken);
    assert!(
        page.contains("The journal does not verify:") && page.contains("Of records 2 to 13, 2 are missing."),
        "{page}"
    );
}

#[test]
fn a_month_is_written_as_one() {
    let month = |text: &str| text.parse::<Month>();
    assert_eq!(month("2026-11").unwrap().to_string(), "2026-11");
    assert_eq!(month("2024-02").unwrap().days().1 - month("2024-02").unwrap().days().0, 29);
    assert_eq!(month("2026-12").unwrap().days().1, month("2027-01").unwrap().days().0);
    for bad in ["2026-13", "2026-00", "2026", "26-11", "2026-1", "2026-11-01", "x026-11", "0000-01", "9999-01"] {
        assert_eq!(month(bad), Err(BadMonth), "{bad}");
    }
    let before = |time: u64| Month::before(Timestamp(time)).to_string();
    assert_eq!((before(BEGUN).as_str(), before(BEGUN + 2 * MINUTE).as_str()), ("2026-09", "2026-10"));
    assert_eq!(before(0), "1969-12");
}

//! The console in Chromium: nothing that others chose ever runs, and it is used by keyboard, on a phone and in the dark.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use sekisho::evidence::{
    Admin, Assignment, Batch, Beat, Challenge, CheckpointRecord, Clients, Contingency, ContingencyAction, DeviceSource,
    Event, Exchange, Finding, FindingId, FindingKind, Flow, FlowKey, FlowSource, FlowState, Gap, Ground, Health, Hold,
    HoldAction, LogIn, Lookup, Mark, Own, Person as Who, Policy, Progress, Protocol, Rarity, Record, Restraint,
    Retention, RetentionAction, Segment, Severity, Target, Text, Triage, client_of,
};
use sekisho::facts::{ExchangeId, Timestamp};
use sekisho::store::{Durability, Journal, JournalConfig};

use super::Settings;
use super::driven::Driven;
use crate::console::{PASSWORD, address, gate_on, indexed};
use crate::gate::Gate;

/// What would run, where it became markup, and close what it stands in.
pub(super) const PAYLOAD: &str =
    "\"'></td></textarea><script>window.ran=1</script><img src=x onerror=\"window.ran=1\">\u{202e}";
const CLIENT: &str = "10.20.1.5";

/// A minute apart, with a little of chance that is always the same.
pub(super) fn strip() -> Vec<f64> {
    (0..96).map(|place| if place % 19 == 7 { 301.0 } else { 60.0 + f64::from(place % 5) * 0.4 - 0.8 }).collect()
}

pub(super) fn finding(now: u64) -> Finding {
    let kind = FindingKind::Beacon;
    Finding {
        id: FindingId::new(kind, CLIENT, PAYLOAD),
        kind,
        severity: Severity::High,
        score: 12.5,
        weight: 6.0,
        client: CLIENT.into(),
        target: PAYLOAD.into(),
        port: 443,
        first: Timestamp(now - 6_000_000_000),
        last: Timestamp(now),
        requests: 97,
        denied: 3,
        beat: Some(Beat {
            period_seconds: 60.0,
            low_seconds: 59.0,
            high_seconds: 61.2,
            hits: 91,
            gaps: 96,
            multiples: 1,
            strip: strip(),
        }),
        grounds: vec![Ground::new("rare_target", &[("clients", 1.0)], PAYLOAD.into(), PAYLOAD.into())],
        rarity: Some(Rarity { clients: 1, of: 40, known_seconds: 6000 }),
        records: [1, 2],
    }
}

/// An exchange with the payload in each of its texts. No field is left out by `..`, so that a new one has to be thought of here.
fn exchange(number: u64, event: Event, verdict: &'static str) -> Exchange {
    let text = || Some(Text::from(PAYLOAD));
    let string = || Some(PAYLOAD.to_owned());
    Exchange {
        event: Some(event),
        // What is none would not be found by it.
        id: Some(ExchangeId(number).to_string()),
        inside: string(),
        client: Some(CLIENT.into()),
        client_port: Some(40_000),
        captured: string(),
        user: text(),
        client_group: text(),
        user_agent: text(),
        method: text(),
        target: Some(Target {
            scheme: "https",
            host: PAYLOAD.into(),
            port: 443,
            path: text(),
            query_bytes: Some(3),
            query_hash: string(),
            query: text(),
        }),
        asked: text(),
        asked_host: text(),
        referer_host: text(),
        verdict: Some(verdict),
        would: None,
        reason: text(),
        detail: text(),
        rule: text(),
        rule_at: text(),
        beside: text(),
        policy: text(),
        breakglass: Some(true),
        http: Some(PAYLOAD),
        sni: text(),
        alpn: vec![PAYLOAD.into()],
        ja4: text(),
        tls_key: text(),
        ech: Some(true),
        program: string(),
        standing: Some(PAYLOAD),
        grounds: vec![PAYLOAD],
        carries: Some(PAYLOAD),
        answers: vec![PAYLOAD.to_owned()],
        answers_refused: vec![PAYLOAD.to_owned()],
        parent: text(),
        resolved_by: Some(PAYLOAD),
        dialled: string(),
        reused: Some(true),
        status: Some(403),
        content_type: text(),
        body_type: Some(PAYLOAD),
        body_sha256: string(),
        body_cut: Some(true),
        file_name: text(),
        bytes_up: Some(7),
        bytes_down: Some(8),
        bursts: Vec::new(),
        dns_us: Some(1),
        connect_us: Some(2),
        hello_us: Some(3),
        first_byte_us: Some(4),
        total_us: Some(5),
        closed_by: None,
        closed_how: None,
    }
}

/// One that has the payload also in place of the client, and of words of which pages make something.
fn strange(number: u64) -> Exchange {
    let mut record = exchange(number, Event::Refused, PAYLOAD);
    record.client = Some(PAYLOAD.to_owned());
    (record.would, record.closed_by, record.closed_how) = (Some(PAYLOAD), Some(PAYLOAD), Some(PAYLOAD.into()));
    record.target = record.target.map(|target| Target { scheme: PAYLOAD, ..target });
    record
}

/// Its end, with the payload in each of the texts that come with it.
fn end_of(number: u64) -> Exchange {
    let text = || Some(Text::from(PAYLOAD));
    let mut record = Exchange::new(Event::Close, ExchangeId(number));
    (record.content_type, record.file_name, record.detail) = (text(), text(), text());
    (record.closed_by, record.closed_how) = (Some("origin"), text());
    record
}

/// The same of one that came to nothing.
fn failure_of(number: u64) -> Exchange {
    let mut record = end_of(number);
    (record.closed_by, record.closed_how) = (Some("parent"), Some(format!("parent_{PAYLOAD}").as_str().into()));
    record
}

/// What a journal holds in which attackers have chosen all that they could.
fn chosen(now: u64) -> Vec<(u64, Record)> {
    let device = Assignment {
        client: client_of(CLIENT).unwrap(),
        name: PAYLOAD.into(),
        hardware: Some(PAYLOAD.into()),
        source: DeviceSource::Kea,
        since: Timestamp(0),
        until: None,
    };
    let records = vec![
        Record::Device(device),
        Record::Exchange(Box::new(exchange(now - 3_000_000, Event::Refused, "deny"))),
        Record::Exchange(Box::new(exchange(now - 2_000_000, Event::Open, "allow"))),
        Record::Exchange(Box::new(end_of(now - 2_000_000))),
        Record::Exchange(Box::new(exchange(now - 4_000_000, Event::Open, "allow"))),
        Record::Exchange(Box::new(failure_of(now - 4_000_000))),
        Record::Exchange(Box::new(strange(now - 5_000_000))),
        Record::Finding(Box::new(finding(now))),
    ];
    records.into_iter().chain(others(now)).map(|record| (now, record)).collect()
}

/// The other kinds of records, with the payload in each of their texts.
fn others(now: u64) -> Vec<Record> {
    let text = || Some(Text::from(PAYLOAD));
    let who = || Who { uid: Some(0), login: text(), console: text(), claims: text() };
    let client = || Some(Text::from(CLIENT));
    let address = || "203.0.113.9".parse().unwrap();
    let key = FlowKey {
        source: FlowSource::Syslog,
        state: Some(FlowState::Refused),
        client: Some(CLIENT.parse().unwrap()),
        address: Some(address()),
        meant: Some((address(), 443).into()),
        host: text(),
        port: Some(443),
        protocol: Some(Protocol::TCP),
        rule: text(),
        told_by: Some(address()),
        sensor: text(),
        raw: text(),
        segment: text(),
        interface: text(),
    };
    let (first, last) = (Timestamp(now), Timestamp(now));
    let flow = Flow { key, count: 1, packets: None, bytes_up: None, bytes_down: None, rolled_up: None, first, last };
    let triage = Triage {
        who: who(),
        mark: Mark::Watching,
        target: text(),
        finding_id: Some(finding(now).id),
        client: client(),
        why: PAYLOAD.into(),
        until: None,
        before: None,
    };
    let lookup = Lookup {
        who: who(),
        question: PAYLOAD.into(),
        client: client(),
        user: text(),
        device: text(),
        since: None,
        until: None,
    };
    let contingency = Contingency {
        who: who(),
        action: ContingencyAction::NotDone,
        client: client(),
        device: text(),
        place: text(),
        why: text(),
    };
    let hold = Hold { who: who(), action: HoldAction::Released, client: client(), device: text(), why: PAYLOAD.into() };
    vec![
        Record::Flow(Box::new(flow)),
        Record::Triage(Box::new(triage)),
        Record::Lookup(lookup),
        Record::Contingency(Box::new(contingency)),
        Record::Hold(Box::new(hold)),
        Record::Challenge(Challenge {
            client: CLIENT.into(),
            user: text(),
            program: PAYLOAD.into(),
            user_agent: PAYLOAD.into(),
            face: PAYLOAD.into(),
            means: "page",
            outcome: "not_solved",
            host: PAYLOAD.into(),
            port: 443,
            after_us: None,
            failures: 3,
        }),
        Record::LogIn(LogIn { client: CLIENT.into(), ground: "failed_log_ins", detail: PAYLOAD.into() }),
        Record::Restraint(Restraint {
            action: "not_imposed",
            act: "deny",
            client: client(),
            target: text(),
            program: text(),
            until: "2026-11-27T00:00:00.000000Z".into(),
            finding_id: finding(now).id.to_string(),
            response: PAYLOAD.into(),
            detail: text(),
        }),
        Record::Policy(Policy {
            action: "refused",
            file: PAYLOAD.into(),
            hash: PAYLOAD.into(),
            rules: 1,
            mode: "enforce",
            problems: Some(1),
            detail: text(),
        }),
        Record::Admin(Admin { action: "alert_test", detail: text() }),
        Record::Health(Health { subject: "list", level: "kept", detail: PAYLOAD.into() }),
        Record::Gap(Gap { cause: "records_lost", detail: PAYLOAD.into(), bytes: None, count: Some(3) }),
        Record::Own(Own { purpose: "dns", address: PAYLOAD.into(), connections: 1 }),
        Record::Clients(Clients { what: "silent", connections: 1, client: PAYLOAD.into(), client_connections: 1 }),
        Record::Progress(Progress {
            id: ExchangeId(now - 2_000_000).to_string(),
            client: CLIENT.into(),
            host: PAYLOAD.into(),
            port: 443,
            age_s: 60,
            bytes_up: 1,
            bytes_down: 1,
            bursts: Vec::new(),
        }),
        Record::Checkpoint(CheckpointRecord {
            action: "not_sealed",
            segment: PAYLOAD.into(),
            last_seq: 0,
            checkpoint: Some(PAYLOAD.into()),
            key: Some(PAYLOAD.into()),
            detail: text(),
        }),
        Record::Retention(Retention {
            action: RetentionAction::Announced,
            keep_days: Some(30),
            keep_gib: None,
            segments: 1,
            bytes: 1,
            held: 0,
            days: vec![(PAYLOAD.to_owned(), PAYLOAD.to_owned())],
            records: Vec::new(),
        }),
        // The journal writes these two itself; whoever can write to its files can say anything in them.
        Record::Segment(Segment { prev: PAYLOAD.to_owned() }),
        Record::Batch(Batch { records: 1, synced: 1, chain: PAYLOAD.to_owned() }),
    ]
}

/// Which kind it is. There is no `_`: one that is new has to be written too, with the payload in it.
fn kind(record: &Record) -> usize {
    match record {
        Record::Segment(_) => 0,
        Record::Batch(_) => 1,
        Record::Exchange(_) => 2,
        Record::Progress(_) => 3,
        Record::Gap(_) => 4,
        Record::Policy(_) => 5,
        Record::Admin(_) => 6,
        Record::Own(_) => 7,
        Record::Health(_) => 8,
        Record::Clients(_) => 9,
        Record::Challenge(_) => 10,
        Record::LogIn(_) => 11,
        Record::Finding(_) => 12,
        Record::Restraint(_) => 13,
        Record::Checkpoint(_) => 14,
        Record::Device(_) => 15,
        Record::Lookup(_) => 16,
        Record::Triage(_) => 17,
        Record::Retention(_) => 18,
        Record::Hold(_) => 19,
        Record::Flow(_) => 20,
        Record::Contingency(_) => KINDS - 1,
    }
}

const KINDS: usize = 22;

#[test]
fn every_kind_of_record_is_among_those_that_attackers_chose() {
    let mut kinds: Vec<_> = chosen(now()).iter().map(|(_, record)| kind(record)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, (0..KINDS).collect::<Vec<_>>());
}

/// Writes a journal of these records, each at its time.
pub(crate) fn write_journal(data_dir: &Path, records: &[(u64, Record)]) {
    let journal = Journal::open(JournalConfig {
        data_dir: data_dir.to_owned(),
        durability: Durability::Batch,
        gate: PAYLOAD.into(),
        site: Some(PAYLOAD.into()),
        segment_bytes_max: 256 << 20,
        reserve_bytes: 0,
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for some in records.chunks(16) {
        let ((last, record), others) = some.split_last().unwrap();
        others.iter().for_each(|(at, record)| journal.handle().tell(record, Timestamp(*at)));
        runtime.block_on(journal.handle().append(record, Timestamp(*last))).unwrap();
    }
    journal.close().unwrap();
    for segment in crate::gate::segments(data_dir) {
        for line in std::fs::read(segment).unwrap().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let read = sekisho::evidence::read_record(line);
            assert!(read.is_ok(), "{}: {}", read.unwrap_err(), String::from_utf8_lossy(line));
        }
    }
}

/// A gate over such a journal, whose policy says the payload too.
pub(super) fn gate(now: u64) -> (Gate, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("data");
    write_journal(&path, &chosen(now));
    let policy = format!(
        "[[rule]]\nname = {0:?}\nhosts = [\"a.example\"]\nverdict = \"deny\"\ncomment = {0:?}\nticket = {0:?}\nrequested_by = {0:?}\n",
        PAYLOAD.replace('\u{202e}', "")
    );
    let gate = gate_on(&path, &policy, "[detect]\nlive = false\n");
    indexed(&gate);
    (gate, data)
}

pub(super) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

/// Notes what a page would have run, and what its policy stopped.
pub(super) const WATCH: &str = "window.violations = []; window.alert = () => { window.ran = 1; };
    document.addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective + ' ' + e.blockedURI));";

pub(super) struct Person {
    pub(super) browser: Driven,
    console: String,
}

impl Person {
    pub(super) fn new(gate: &Gate) -> Self {
        // What a browser asks for by itself goes nowhere, and is not on the gate's record.
        let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let mut browser = Driven::chromium(nowhere, None, Settings::AS_INSTALLED);
        browser.devtools("Page.enable", &json!({}));
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WATCH }));
        Self { browser, console: format!("http://{}", address(gate)) }
    }

    pub(super) fn go(&mut self, way: &str) {
        let url = format!("{}{way}", self.console);
        self.browser.go(&url);
        self.loaded();
    }

    pub(super) fn loaded(&mut self) {
        self.browser.until("document.readyState === 'complete' && window.violations && document.querySelector('main')");
    }

    pub(super) fn text(&mut self) -> String {
        self.browser.evaluate("document.body.innerText").unwrap().as_str().unwrap_or_default().to_owned()
    }

    fn key(&mut self, key: &str, code: u32) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.browser.devtools("Input.dispatchKeyEvent", &event);
        }
    }

    fn write(&mut self, text: &str) {
        self.browser.devtools("Input.insertText", &json!({ "text": text }));
    }

    /// Writes this into a field, in place of what is there, and sends its form.
    pub(super) fn fill(&mut self, id: &str, text: &str) {
        let text = serde_json::to_string(text).unwrap();
        let fills = format!(
            "(function (e) {{ e.value = {text}; e.form.requestSubmit(); return e.value.length; }})(document.getElementById('{id}'))"
        );
        assert_ne!(self.browser.evaluate(&fills), Ok(0.into()), "{id}");
    }

    /// Moves on by the tabulator until this is true of what has the focus.
    fn tab_to(&mut self, is_it: &str) {
        for _ in 0..80 {
            self.key("Tab", 9);
            let found = format!("(function (e) {{ return !!({is_it}); }})(document.activeElement)");
            if self.browser.evaluate(&found) == Ok(Value::Bool(true)) {
                let seen = "getComputedStyle(document.activeElement).outlineStyle !== 'none'";
                assert_eq!(self.browser.evaluate(seen), Ok(Value::Bool(true)), "one sees where one is: {is_it}");
                return;
            }
        }
        panic!("the keyboard does not reach {is_it}");
    }

    /// Logs in as a person does who has no mouse.
    pub(super) fn log_in(&mut self, name: &str) {
        self.go("/login");
        self.browser.until("document.activeElement.id === 'name'");
        self.write(name);
        self.key("Tab", 9);
        self.write(PASSWORD);
        self.key("Enter", 13);
        self.browser.until("location.pathname === '/'");
        self.loaded();
    }

    /// Nothing ran, nothing had to be stopped, and the page is one that everybody can use.
    pub(super) fn is_sound(&mut self, way: &str) {
        let checks = "JSON.stringify({
            ran: window.ran || 0,
            violations: window.violations,
            headings: document.querySelectorAll('h1').length,
            language: document.documentElement.lang.length,
            unlabelled: Array.from(document.querySelectorAll('input:not([type=hidden]),select,textarea'))
                .filter((e) => !e.labels || e.labels.length === 0).map((e) => e.name),
            unnamed: Array.from(document.querySelectorAll('a,button,summary'))
                .filter((e) => e.checkVisibility() && !e.innerText.trim()).length,
            unscoped: document.querySelectorAll('th:not([scope])').length,
            twice: Array.from(document.querySelectorAll('[id]')).map((e) => e.id).filter((id, at, all) => all.indexOf(id) !== at),
            wide: document.documentElement.scrollWidth > window.innerWidth
        })";
        let found: Value = serde_json::from_str(self.browser.evaluate(checks).unwrap().as_str().unwrap()).unwrap();
        let expected = json!({ "ran": 0, "violations": [], "headings": 1, "language": 2, "unlabelled": [], "unnamed": 0,
            "unscoped": 0, "twice": [], "wide": false });
        assert_eq!(found, expected, "{way}");
    }

    /// The page fits on sheets of A4 as it is, with nothing cut off at their side, and becomes a PDF of them.
    fn prints(&mut self, name: &str) {
        // 210 mm without the margins of 15 mm that the page asks for, at 96 dots an inch.
        let sheet = json!({ "width": 680, "height": 1009, "deviceScaleFactor": 1, "mobile": false });
        self.browser.devtools("Emulation.setDeviceMetricsOverride", &sheet);
        self.browser.devtools("Emulation.setEmulatedMedia", &json!({ "media": "print" }));
        let wide = "JSON.stringify(Array.from(document.querySelectorAll('body *'))
            .filter((e) => e.getBoundingClientRect().right > window.innerWidth + 1
                || (getComputedStyle(e).overflowX !== 'visible' && e.scrollWidth > e.clientWidth + 1))
            .map((e) => e.tagName + ' ' + e.className + ' ' + e.getBoundingClientRect().right))";
        assert_eq!(self.browser.evaluate(wide), Ok("[]".into()), "{name}: wider than a sheet");
        let asked = json!({ "paperWidth": 210.0 / 25.4, "paperHeight": 297.0 / 25.4, "printBackground": true });
        let printed = self.browser.devtools("Page.printToPDF", &asked);
        let pdf = data_encoding::BASE64.decode(printed["data"].as_str().unwrap().as_bytes()).unwrap();
        assert!(pdf.starts_with(b"%PDF-"), "{}", pdf.len());
        let text = String::from_utf8_lossy(&pdf);
        let pages = text.matches("/Type /Page\n").count();
        assert!(pages > 0, "{name}: no page in {} bytes", pdf.len());
        assert_eq!(text.matches("/MediaBox [0 0 595").count(), pages, "{name}: all of them A4");
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::write(directory.join(format!("report-{name}.pdf")), pdf).unwrap();
    }

    /// Keeps a picture of the page, to be looked at.
    pub(super) fn picture(&mut self, name: &str) {
        let taken = self.browser.devtools("Page.captureScreenshot", &json!({ "captureBeyondViewport": true }));
        let bytes = data_encoding::BASE64.decode(taken["data"].as_str().unwrap().as_bytes()).unwrap();
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{name}.png")), bytes).unwrap();
    }
}

#[test]
fn chromium_runs_nothing_that_an_attacker_chose_on_any_page_in_both_languages_widths_and_colours() {
    let now = now();
    let (gate, _data) = gate(now);
    let mut person = Person::new(&gate);
    person.log_in("admin");
    let id = finding(now).id;
    let exchange = ExchangeId(now - 2_000_000);
    let month = sekisho::evidence::format_time(Timestamp(now))[..7].to_owned();
    let escaped: String = PAYLOAD.bytes().map(|byte| format!("%{byte:02X}")).collect();
    // What is live is of this gate.
    let agent = PAYLOAD.replace('\u{202e}', "");
    let asked = format!(
        "GET http://b.example/<script>window.ran=1</script> HTTP/1.1\r\nHost: b.example\r\nUser-Agent: {agent}\r\n\
         Connection: close\r\n\r\n"
    );
    assert!(gate.send(asked.as_bytes()).starts_with("HTTP/1.1 4"));
    // A person can be made to write anything too, and it is shown to the others.
    person.go(&format!("/client?name={CLIENT}"));
    person.fill("act-why", PAYLOAD);
    person.browser.until("document.body.innerText.includes('Release')");
    // What shows the payload must show it, or nothing was tried.
    let ways = [
        ("/".to_owned(), true, "overview"),
        ("/blocked".to_owned(), true, "blocked"),
        ("/findings".to_owned(), true, "findings"),
        ("/beacons".to_owned(), true, "beacons"),
        ("/tunnels".to_owned(), false, "tunnels"),
        (format!("/finding?id={id}"), true, "finding"),
        ("/unknown".to_owned(), true, "unknown"),
        ("/programs".to_owned(), true, "programs"),
        ("/errors".to_owned(), true, "errors"),
        (format!("/around?id={exchange}"), true, "around"),
        (format!("/around?id={escaped}"), false, "around-nothing"),
        (format!("/client?name={CLIENT}"), true, "client"),
        (format!("/client?name={escaped}"), true, "device"),
        (format!("/host?name={escaped}"), true, "host"),
        ("/policy".to_owned(), true, "policy"),
        ("/policy?client=10.0.0.1&method=GET&url=http%3A%2F%2Fa.example%2F".to_owned(), true, "explained"),
        (format!("/policy?client={escaped}&url={escaped}"), true, "badly-explained"),
        ("/live".to_owned(), true, "live"),
        (format!("/live?host={escaped}&client={escaped}"), false, "live-filtered"),
        ("/sql".to_owned(), false, "sql"),
        (format!("/login?then={escaped}"), false, "login"),
        ("/sweep".to_owned(), false, "sweep-asked"),
        ("/report".to_owned(), false, "report-asked"),
    ];
    let alike = ["host", "ja4", "path", "minute", "client"];
    let alike = alike.map(|by| (format!("/like?id={exchange}&by={by}"), true, "like"));
    let ways: Vec<_> = ways.into_iter().chain(alike).collect();
    for (language, width, dark) in [("en", 1280, false), ("ja", 390, true)] {
        person.browser.screen(width, dark);
        person.go(&format!("/?lang={language}"));
        for (way, shows, name) in &ways {
            person.go(way);
            if *shows {
                person.browser.until("document.body.innerText.includes('<script>window.ran=1</script>')");
            }
            person.is_sound(&format!("{way} {language}"));
            person.picture(&format!("{name}-{language}-{width}"));
        }
        person.go("/");
        let gap = "(Array.from(document.querySelectorAll('section')).find((e) => e.querySelector('h2').innerText
            .match(/^(Gaps in the evidence|記録の欠落)/)) || {}).innerText";
        let gap = person.browser.evaluate(gap).unwrap();
        let gap = gap.as_str().unwrap_or_else(|| panic!("no gaps: {}", person.text()));
        let why = if language == "en" { "records could not be written" } else { "記録を書き込めず" };
        assert!(gap.contains(why) && gap.contains("<script>window.ran=1</script>"), "{gap}");
        for view in sekisho::store::VIEWS {
            person.go("/sql");
            person.fill("statement", &format!("SELECT * FROM {}", view.name));
            person.browser.until("document.querySelectorAll('td').length > 2");
            person.loaded();
            assert!(person.text().contains("<script>window.ran=1</script>"), "{}: {}", view.name, person.text());
            person.is_sound(&format!("{} by SQL {language}", view.name));
        }
        // A list that is swept for stands there again, and what of it is not understood.
        person.go("/sweep");
        person.fill("list", &format!("{CLIENT}\n{PAYLOAD}"));
        person.browser.until("document.querySelectorAll('td').length > 1");
        person.loaded();
        assert!(person.text().contains("<script>window.ran=1</script>"), "{}", person.text());
        person.is_sound(&format!("an answer to a sweep {language}"));
        person.picture(&format!("sweep-{language}-{width}"));
        // The report is a file of its own, which a browser opens from a disk.
        person.go("/report");
        person.fill("month", &month);
        person.browser.until("location.pathname === '/report' && document.querySelector('a[download]')");
        person.loaded();
        person.is_sound(&format!("/report {language}"));
        person.picture(&format!("report-{language}-{width}"));
        let text = "fetch(document.querySelector('a[download]').href).then((answer) => answer.text())";
        let text = person.browser.evaluate(text).unwrap();
        let kept = gate.directory.path().join("report.html");
        std::fs::write(&kept, text.as_str().unwrap()).unwrap();
        person.browser.go(&format!("file://{}", kept.display()));
        person.browser.until("document.body && document.body.innerText.includes('<script>window.ran=1</script>')");
        person.is_sound(&format!("the report {language}"));
        person.prints(language);
    }
}

/// What a person sees on the way through the console, by the language of its pages.
struct Seen {
    language: &'static str,
    width: u32,
    dark: bool,
    period: &'static str,
    /// What is said of a finding, and what somebody said.
    mark: [&'static str; 2],
    /// A button, and what there is once it was pressed.
    buttons: [(&'static str, &'static str); 2],
    live: &'static str,
}

const ENGLISH: Seen = Seen {
    language: "en",
    width: 1280,
    dark: false,
    period: "the fitted period, 60 s",
    mark: ["Mark", "watching"],
    buttons: [("Cut off", "Cut off: "), ("Release", "Cut off 10.20.1.5")],
    live: "live",
};
const JAPANESE: Seen = Seen {
    language: "ja",
    width: 390,
    dark: true,
    period: "線は推定周期 60 s",
    mark: ["判定", "監視中"],
    buttons: [("隔離する", "隔離中："), ("隔離を解除", "隔離する 10.20.1.5")],
    live: "受信中",
};

#[test]
fn chromium_uses_the_console_by_keyboard_alone() {
    uses_the_console_by_keyboard_alone(&ENGLISH);
}

#[test]
fn chromium_uses_the_console_by_keyboard_alone_in_japanese_on_a_dark_phone() {
    uses_the_console_by_keyboard_alone(&JAPANESE);
}

/// From a row to what is like it and to what was around it; then a sweep, and the month's report.
fn asks_from_rows_by_keyboard_alone(person: &mut Person, now: u64) {
    person.go("/blocked");
    person.tab_to("e.tagName === 'SUMMARY'");
    person.key("Enter", 13);
    person.browser.until("document.activeElement.parentElement.open");
    person.tab_to("e.href && e.href.includes('by=ja4')");
    person.key("Enter", 13);
    person.browser.until("location.pathname === '/like'");
    person.loaded();
    person.tab_to("e.href && e.href.includes('/around?id=')");
    person.key("Enter", 13);
    person.browser.until("location.pathname === '/around' && document.querySelectorAll('td').length > 20");
    person.go("/sweep");
    person.tab_to("e.id === 'list'");
    person.write("c2.example");
    person.tab_to("e.tagName === 'BUTTON' && e.form.action.endsWith('/sweep')");
    person.key("Enter", 13);
    person.browser.until("document.querySelectorAll('dl.facts dd').length > 3");
    person.go("/report");
    person.tab_to("e.id === 'month'");
    person.browser.evaluate("document.activeElement.select()").unwrap();
    person.write(&sekisho::evidence::format_time(Timestamp(now))[..7]);
    person.key("Enter", 13);
    person.browser.until("document.querySelector('a[download]')");
    person.loaded();
    person.tab_to("e.hasAttribute('download')");
}

fn uses_the_console_by_keyboard_alone(seen: &Seen) {
    let now = now();
    let (mut gate, _data) = gate(now);
    let mut person = Person::new(&gate);
    person.browser.screen(seen.width, seen.dark);
    person.log_in("admin");
    person.go(&format!("/?lang={}", seen.language));
    let id = finding(now).id.to_string();
    person.tab_to(&format!("e.href && e.href.includes('id={id}')"));
    person.key("Enter", 13);
    person.browser.until("location.pathname === '/finding'");
    person.loaded();
    let dots = person.browser.evaluate("document.querySelectorAll('svg circle.dot').length").unwrap();
    assert_eq!(dots, 97, "each of the last requests is a dot");
    assert!(person.text().contains(seen.period), "{}", person.text());
    person.tab_to("e.id === 'mark-why'");
    person.write("asked the owner of the PC");
    person.key("Enter", 13);
    let [mark, watching] = seen.mark;
    person.browser.until(&format!(
        "location.pathname === '/finding' && Array.from(document.querySelectorAll('dt'))
            .some((e) => e.innerText === '{mark}' && e.nextElementSibling.innerText === '{watching}')"
    ));
    person.go("/policy");
    person.tab_to("e.id === 'e-client'");
    person.write("10.0.0.1");
    person.tab_to("e.id === 'e-url'");
    person.browser.evaluate("document.activeElement.select()").unwrap();
    person.write("http://a.example/");
    person.key("Enter", 13);
    person.browser.until("document.getElementById('explained')");
    person.go(&format!("/client?name={CLIENT}"));
    for (pressed, (button, shows)) in seen.buttons.into_iter().enumerate() {
        person.tab_to("e.id === 'act-why'");
        person.write("by keyboard");
        person.tab_to(&format!("e.tagName === 'BUTTON' && e.innerText.startsWith('{button}')"));
        person.key("Enter", 13);
        person.browser.until(&format!("document.body.innerText.includes('{shows}')"));
        person.loaded();
        let isolated = &gate.status()["isolated"];
        match pressed {
            0 => assert_eq!(isolated[0]["client"], CLIENT, "{isolated}"),
            _ => assert!(isolated.is_null(), "{isolated}"),
        }
    }
    asks_from_rows_by_keyboard_alone(&mut person, now);
    // What happens shows by itself on the live page.
    person.go("/live");
    person.browser.until(&format!("document.getElementById('live-state').innerText === '{}'", seen.live));
    let asked =
        b"GET http://now.example/ HTTP/1.1\r\nHost: now.example\r\nUser-Agent: <img src=x onerror=alert(1)>\r\n\
                  Connection: close\r\n\r\n";
    assert!(gate.send(asked).starts_with("HTTP/1.1 403 "));
    person.browser.until("document.body.innerText.includes('now.example')");
    person.is_sound("/live with rows");
    // By this person: others that say so are the attackers'.
    let by_admin = |record: &Value| record["kind"] == "contingency" && record["console"] == "admin";
    let done: Vec<_> = gate.records().into_iter().filter(by_admin).collect();
    let actions: Vec<_> = done.iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["isolated", "released"], "{done:#?}");
}

#[test]
fn chromium_shows_which_rules_decide_nothing_which_never_did_and_how_often_one_did() {
    let policy = "[hosts]\ncompany = { names = [\"*.company.example\"] }\n\
        [[rule]]\nname = \"the company\"\nhosts = [\"company\"]\nverdict = \"deny\"\n\
        [[rule]]\nname = \"its wiki\"\nhosts = [\"wiki.company.example\"]\nverdict = \"deny\"\n\
        [[rule]]\nname = \"a supplier\"\nhosts = [\"supplier.example\"]\nverdict = \"deny\"\n";
    let gate = crate::console::gate(policy, "[detect]\nlive = false\n");
    for host in ["wiki.company.example", "www.company.example", "other.example"] {
        let asked = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert!(gate.send(asked.as_bytes()).starts_with("HTTP/1.1 403 "));
    }
    indexed(&gate);
    let mut person = Person::new(&gate);
    person.log_in("viewer");
    for (language, width, dark, deny, never, shadowed, why) in [
        ("en", 1280, false, "deny", "never", "shadowed", "An earlier rule decides all of it."),
        ("ja", 390, true, "拒否", "なし", "前のルールに隠れる", "先のルールがすべて判定するため、効果がありません。"),
    ] {
        person.browser.screen(width, dark);
        person.go(&format!("/policy?lang={language}"));
        let row = |person: &mut Person, name: &str| {
            let cells = format!(
                "JSON.stringify(Array.from(Array.from(document.querySelectorAll('tbody tr'))
                    .find((row) => row.cells[0].innerText === '{name}').cells, (cell) => cell.innerText).slice(0, 4))"
            );
            let cells = person.browser.evaluate(&cells).unwrap();
            let [_, verdict, at, count] = serde_json::from_str::<[String; 4]>(cells.as_str().unwrap()).unwrap();
            (verdict, at.rsplit(':').next().unwrap().to_owned(), count)
        };
        let told = |verdict: &str, line: &str, count: &str| (verdict.to_owned(), line.to_owned(), count.to_owned());
        assert_eq!(row(&mut person, "the company"), told(deny, "4", "2"));
        assert_eq!(row(&mut person, "its wiki"), told(&format!("{deny} {shadowed}"), "8", never));
        assert_eq!(row(&mut person, "a supplier"), told(deny, "12", never));
        // Why it decides nothing stands below, with what to do.
        let listed =
            "Array.from(document.querySelectorAll('li')).map((e) => e.innerText).find((t) => t.includes(' shadowed '))";
        let listed = person.browser.evaluate(listed).unwrap();
        let text = listed.as_str().unwrap();
        assert!(text.starts_with(why) && text.contains("rule `the company` at "), "{listed}");
        person.is_sound(&format!("/policy {language}"));
        person.picture(&format!("rules-{language}-{width}"));
    }
}

#[test]
fn chromium_shows_why_a_device_was_stopped_through_the_proxy() {
    let gate = Gate::start("");
    let mut browser = Driven::chromium(gate.address, None, Settings::AS_INSTALLED);
    browser.go("https://stopped.example/");
    browser.until("document.body && document.body.innerText.length > 0");
    browser.go("http://sekisho/");
    let shown = browser.until_shown("https://stopped.example");
    assert!(shown.contains("no_rule"), "{shown}");
}

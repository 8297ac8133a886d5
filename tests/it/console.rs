//! The web console of a running gate: who is let in, who may do what, what is on record of it, and what a browser makes of it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::gate::{Gate, Start, records};
use crate::origin::Origin;
use crate::peer::{Message, Peer};

pub(crate) const PASSWORD: &str = "correct horse battery";
const CONSOLE: &str = "[console]\nlisten = [\"127.0.0.1:0\"]\n";

/// Gives somebody a role and a password.
pub(crate) fn add_user(data_dir: &Path, name: &str, role: &str, password: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(["console", "user", "add", name, "--role", role, "--data-dir"]).arg(data_dir);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A gate with a console, and a user of each role: `viewer`, `analyst` and `admin`.
pub(crate) fn gate(policy: &str, config: &str) -> Gate {
    with_users(Start { policy, config: &format!("{CONSOLE}{config}"), ..Start::default() }.gate())
}

/// The same over a data directory that is there.
pub(crate) fn gate_on(data_dir: &Path, policy: &str, config: &str) -> Gate {
    let config = format!("{CONSOLE}{config}");
    let data = Some(data_dir.to_owned());
    let gate = Start { policy, config: &config, data_dir: data, ..Start::default() }.gate();
    // Whoever looks for it where it would be finds it.
    std::os::unix::fs::symlink(data_dir, gate.data_dir()).unwrap();
    with_users(gate)
}

fn with_users(gate: Gate) -> Gate {
    let data_dir = gate.data_dir();
    let first = add_user(&data_dir, "viewer", "viewer", PASSWORD);
    assert!(first.status.success(), "{first:?}");
    // All three have the same hash: it takes a while to make.
    let path = data_dir.join("console.users");
    let line = std::fs::read_to_string(&path).unwrap();
    let of = |role: &str| line.replace("viewer:viewer:", &format!("{role}:{role}:"));
    std::fs::write(&path, [line.clone(), of("analyst"), of("admin")].concat()).unwrap();
    gate
}

pub(crate) fn address(gate: &Gate) -> SocketAddr {
    let told = gate.status()["console"][0].as_str().unwrap().to_owned();
    told.strip_prefix("http://").unwrap().trim_end_matches('/').parse().unwrap()
}

/// A browser without a window: it keeps cookies.
pub(crate) struct Visitor {
    address: SocketAddr,
    cookies: Vec<(String, String)>,
}

impl Visitor {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, cookies: Vec::new() }
    }

    fn ask(&mut self, line: &str, more: &str, body: &str) -> Message {
        let mut peer = Peer::connect(self.address);
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = if cookies.is_empty() { String::new() } else { format!("Cookie: {}\r\n", cookies.join("; ")) };
        let host = self.address;
        peer.send(format!("{line} HTTP/1.1\r\nHost: {host}\r\n{cookies}Connection: close\r\n{more}\r\n{body}"));
        let answer = peer.answer();
        for set in answer.all("set-cookie") {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    pub(crate) fn get(&mut self, way: &str) -> Message {
        self.ask(&format!("GET {way}"), "", "")
    }

    pub(crate) fn post(&mut self, way: &str, form: &[(&str, &str)], more: &str) -> Message {
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let pairs: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let body = pairs.join("&");
        let head =
            format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n{more}", body.len());
        self.ask(&format!("POST {way}"), &head, &body)
    }

    pub(crate) fn log_in(&mut self, name: &str, password: &str) -> Message {
        let token = token(&self.get("/login").text());
        self.post("/login", &[("token", &token), ("name", name), ("password", password), ("then", "/blocked")], "")
    }

    /// The token of the forms of a page.
    pub(crate) fn token_at(&mut self, way: &str) -> String {
        token(&self.get(way).text())
    }

    fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }
}

/// Somebody of this role who has logged in.
pub(crate) fn visitor(gate: &Gate, name: &str) -> Visitor {
    let mut visitor = Visitor::new(address(gate));
    let answer = visitor.log_in(name, PASSWORD);
    assert_eq!((answer.status(), answer.field("location")), (303, Some("/blocked")), "{}", answer.text());
    visitor
}

fn token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap_or_else(|| panic!("no token in {page}"));
    rest.split('"').next().unwrap().to_owned()
}

fn of_kind<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|record| record["kind"] == kind).collect()
}

/// Has a request refused, and waits until the index has it.
pub(crate) fn refused(gate: &Gate, host: &str) {
    let answer =
        gate.send(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    indexed(gate);
}

/// Waits until the index has all that is on record by now.
pub(crate) fn indexed(gate: &Gate) {
    let begun = std::time::Instant::now();
    let newest = records(&gate.data_dir()).last().unwrap()["seq"].as_u64().unwrap();
    while gate.status()["index"]["record"].as_u64().is_none_or(|record| record < newest) {
        assert!(begun.elapsed().as_secs() < 60, "{:#}", gate.status()["index"]);
    }
}

#[test]
fn a_person_logs_in_sees_what_was_blocked_and_logs_out() {
    let mut gate = gate("", "");
    refused(&gate, "blocked.example");
    let mut anybody = Visitor::new(address(&gate));
    let answer = anybody.get("/blocked?days=3");
    assert_eq!((answer.status(), answer.field("location")), (303, Some("/login?then=%2Fblocked%3Fdays%3D3")));
    let mut viewer = visitor(&gate, "viewer");
    let page = viewer.get("/blocked").text();
    assert!(page.contains("blocked.example") && page.contains("no_rule"), "{page}");
    let overview = viewer.get("/").text();
    for line in ["nobody is told of what is found", "Connections refused as too many", "records behind the journal"] {
        assert!(overview.contains(line), "{line}: {overview}");
    }
    assert!(overview.contains("Blocked today") && overview.contains("lang=\"en\""), "{overview}");
    let japanese = viewer.get("/?lang=ja").text();
    assert!(japanese.contains("本日の遮断") && japanese.contains("<html lang=\"ja\">"), "{japanese}");
    assert!(viewer.get("/findings").text().contains("検出"), "the language is kept");
    let token = viewer.token_at("/");
    let session = viewer.cookie("sekisho").unwrap();
    assert_eq!(viewer.post("/logout", &[("token", &token)], "").status(), 303);
    viewer.cookies.push(("sekisho".into(), session));
    assert_eq!(viewer.get("/").status(), 303, "what was a session is none any more");
    assert_eq!(gate.end("-TERM"), Some(0));
    let all = records(&gate.data_dir());
    let actions: Vec<_> = of_kind(&all, "admin").iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert!(actions.contains(&"console_login") && actions.contains(&"console_logout"), "{actions:?}");
}

#[test]
fn a_role_opens_what_it_may_and_nothing_else() {
    let gate = gate("", "");
    let expected = [
        ("viewer", [200, 403, 403, 403, 200]),
        ("analyst", [200, 200, 200, 200, 200]),
        ("admin", [200, 200, 200, 200, 200]),
    ];
    for (name, statuses) in expected {
        let mut one = visitor(&gate, name);
        let ways = ["/blocked", "/client?name=127.0.0.1", "/sql", "/live", "/policy"];
        assert_eq!(ways.map(|way| one.get(way).status()), statuses, "{name}");
        let token = one.token_at("/");
        let form = [("token", token.as_str()), ("action", "lockdown"), ("why", "a test")];
        let expected = if name == "admin" { 303 } else { 403 };
        assert_eq!(one.post("/act", &form, "").status(), expected, "{name}");
        if name == "viewer" {
            let form = [("token", token.as_str()), ("action", "isolated"), ("client", "10.9.9.9"), ("why", "a test")];
            assert_eq!(one.post("/act", &form, "").status(), 403);
            let form = [("token", token.as_str()), ("target", "a.example"), ("mark", "malicious"), ("why", "a test")];
            assert_eq!(one.post("/mark", &form, "").status(), 403);
            let form = [("token", token.as_str()), ("statement", "SELECT 1")];
            assert_eq!(one.post("/sql", &form, "").status(), 403);
        }
    }
    assert_eq!(gate.status()["lockdown"]["by"], "admin (console)");
}

#[test]
fn what_a_person_does_and_looks_up_is_on_record_by_their_name_before_they_see_it() {
    let mut gate = gate("", "");
    refused(&gate, "blocked.example");
    let mut analyst = visitor(&gate, "analyst");
    let page = analyst.get("/client?name=127.0.0.1").text();
    assert!(page.contains("blocked.example") && page.contains("Cut off <bdi>127.0.0.1"), "{page}");
    let token = token(&page);
    let act = |visitor: &mut Visitor, action: &str, why: &str| {
        visitor.post("/act", &[("token", &token), ("action", action), ("client", "10.9.9.9"), ("why", why)], "")
    };
    assert_eq!(act(&mut analyst, "isolated", "").status(), 400, "a reason must be given");
    assert_eq!(act(&mut analyst, "isolated", "calls home").field("location"), Some("/client?name=10.9.9.9"));
    assert_eq!(gate.status()["isolated"][0]["client"], "10.9.9.9");
    let shown = analyst.get("/client?name=10.9.9.9").text();
    assert!(shown.contains("Cut off: ") && shown.contains("calls home") && shown.contains("Release "), "{shown}");
    assert_eq!(act(&mut analyst, "released", "clean").status(), 303);
    assert!(gate.status()["isolated"].is_null());
    assert_eq!(act(&mut analyst, "released", "again").status(), 400);
    let own = [("token", token.as_str()), ("action", "isolated"), ("client", "127.0.0.1"), ("why", "a slip")];
    assert!(analyst.post("/act", &own, "").text().contains("own machine"));
    let form =
        [("token", token.as_str()), ("target", "bad.example"), ("mark", "malicious"), ("why", "the CERT says so")];
    assert_eq!(analyst.post("/mark", &form, "").status(), 303);
    let form = [("token", token.as_str()), ("statement", "SELECT host FROM exchanges WHERE host = 'blocked.example'")];
    let answer = analyst.post("/sql", &form, "").text();
    assert!(answer.contains("<bdi>blocked.example</bdi>"), "{answer}");
    for way in ["/", "/blocked", "/findings", "/unknown", "/programs", "/host?name=blocked.example"] {
        assert_eq!(analyst.get(way).status(), 200, "{way}");
    }
    for bad in ["DELETE FROM exchanges", "SELECT load_extension('x')", "nonsense"] {
        let form = [("token", token.as_str()), ("statement", bad)];
        assert_eq!(analyst.post("/sql", &form, "").status(), 400, "{bad}");
    }
    assert_eq!(gate.end("-TERM"), Some(0));
    let all = records(&gate.data_dir());
    let lookups = of_kind(&all, "lookup");
    let first = lookups[0];
    assert_eq!(
        (&first["question"], &first["client"], &first["console"], first.get("uid")),
        (&"console client".into(), &"127.0.0.1".into(), &"analyst".into(), None)
    );
    assert!(lookups.iter().any(|one| one["question"].as_str().unwrap().starts_with("console sql: DELETE")));
    for question in ["overview", "blocked", "findings", "unknown", "programs", "host blocked.example"] {
        let question = format!("console {question}");
        let is_told = |one: &&&Value| one["question"] == *question && one["console"] == "analyst";
        assert!(lookups.iter().find(is_told).is_some(), "what lists clients is a look at them: {question}");
    }
    let acts: Vec<_> = of_kind(&all, "contingency").into_iter().filter(|one| !one["console"].is_null()).collect();
    let told: Vec<_> = acts.iter().map(|one| (one["action"].as_str().unwrap(), one["why"].as_str().unwrap())).collect();
    assert_eq!(told, [("isolated", "calls home"), ("released", "clean")]);
    let triage = of_kind(&all, "triage")[0];
    assert_eq!((&triage["console"], &triage["action"]), (&"analyst".into(), &"malicious".into()));
}

#[test]
fn a_form_of_another_site_or_session_does_nothing_and_is_on_record() {
    let mut gate = gate("", "");
    let mut admin = visitor(&gate, "admin");
    let mut other = visitor(&gate, "admin");
    let (own, foreign) = (admin.token_at("/"), other.token_at("/"));
    let lock = |token: &str, more: &str, admin: &mut Visitor| {
        admin.post("/act", &[("token", token), ("action", "lockdown"), ("why", "a test")], more).status()
    };
    assert_ne!(own, foreign);
    assert_eq!(lock("", "", &mut admin), 403);
    assert_eq!(lock(&foreign, "", &mut admin), 403, "the token of another session");
    assert_eq!(lock(&own, "Origin: http://evil.example\r\n", &mut admin), 403);
    assert_eq!(lock(&own, "Origin: null\r\n", &mut admin), 403);
    let json = admin.ask("POST /act", "Content-Type: text/plain\r\nContent-Length: 2\r\n", "{}");
    assert_eq!(json.status(), 400);
    assert_eq!(admin.get("/act?action=lockdown&why=x").status(), 404, "nothing is done by a link");
    assert!(gate.status()["lockdown"].is_null());
    let own_origin = format!("Origin: http://{}\r\n", address(&gate));
    assert_eq!(lock(&own, &own_origin, &mut admin), 303, "its nearest neighbour");
    assert!(!gate.status()["lockdown"].is_null());
    // The log-in has a form too: nobody is logged in as somebody else unawares.
    let mut victim = Visitor::new(address(&gate));
    let form = [("token", foreign.as_str()), ("name", "admin"), ("password", PASSWORD)];
    assert_eq!(victim.post("/login", &form, "").status(), 403);
    let host = address(&gate).to_string();
    let mut peer = Peer::connect(address(&gate));
    peer.send("GET /login HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(peer.answer().status(), 421, "a name that is made to lead to {host}");
    // So is what a role may not; of what goes on and on, some is.
    let mut viewer = visitor(&gate, "viewer");
    for _ in 0..30 {
        assert_eq!(viewer.get("/client?name=10.0.0.1").status(), 403);
    }
    assert_eq!(gate.end("-TERM"), Some(0));
    let all = records(&gate.data_dir());
    let told = |action: &str| {
        let of = of_kind(&all, "admin").into_iter().filter(|one| one["action"] == action);
        of.map(|one| one["detail"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        told("console_form_refused"),
        [
            "admin, from 127.0.0.1: POST /act",
            "admin, from 127.0.0.1: POST /act",
            "admin, from 127.0.0.1: POST /act",
            "admin, from 127.0.0.1: POST /act",
            "nobody, from 127.0.0.1: POST /login",
        ]
    );
    let forbidden = told("console_forbidden");
    assert_eq!(forbidden[0], "viewer, from 127.0.0.1: GET /client");
    assert!(forbidden.len() < 10, "{forbidden:#?}");
}

#[test]
fn a_session_is_new_with_each_log_in_and_its_cookie_is_kept_from_scripts_and_other_sites() {
    let gate = gate("", "");
    let mut fixed = Visitor::new(address(&gate));
    let planted = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    fixed.cookies.push(("sekisho".into(), planted.into()));
    let answer = fixed.log_in("viewer", PASSWORD);
    assert_eq!(answer.status(), 303);
    let set: Vec<_> = answer.all("set-cookie").into_iter().filter(|set| set.starts_with("sekisho=")).collect();
    assert!(set[0].ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{set:?}");
    assert_ne!(fixed.cookie("sekisho").unwrap(), planted);
    assert_eq!(fixed.get("/").status(), 200);
    let mut attacker = Visitor::new(address(&gate));
    attacker.cookies.push(("sekisho".into(), planted.into()));
    assert_eq!(attacker.get("/").status(), 303, "what was planted opens nothing");
    // Another password ends what was open by the one before.
    assert!(add_user(&gate.data_dir(), "viewer", "viewer", "another long password").status.success());
    assert_eq!(fixed.get("/").status(), 303);
}

#[test]
fn who_guesses_is_stopped_and_nobody_learns_which_names_there_are() {
    let mut gate = gate("", "");
    let mut guesser = Visitor::new(address(&gate));
    let wrong: Vec<_> = ["admin", "nobody"].map(|name| guesser.log_in(name, "wrong password 1")).into();
    for answer in &wrong {
        assert_eq!(answer.status(), 403);
        assert!(answer.text().contains("The name or the password is wrong."), "{}", answer.text());
    }
    for round in 0..4 {
        guesser.log_in("admin", &format!("wrong password {round}"));
    }
    let stopped = guesser.log_in("admin", PASSWORD);
    assert!(stopped.text().contains("Too many wrong attempts"), "the right one is not looked at: {}", stopped.text());
    assert_eq!(gate.end("-TERM"), Some(0));
    let all = records(&gate.data_dir());
    let failed: Vec<_> = of_kind(&all, "admin")
        .into_iter()
        .filter(|one| one["action"] == "console_login_failed")
        .map(|one| one["detail"].as_str().unwrap())
        .collect();
    assert_eq!(failed.len(), 6, "{failed:?}");
    assert_eq!((failed[0], failed[1]), ("admin, from 127.0.0.1", "an unknown name, from 127.0.0.1"));
}

#[test]
fn users_are_kept_by_the_command_line_and_a_bad_password_or_name_is_refused() {
    let data = tempfile::tempdir().unwrap();
    for (name, password, part) in [
        ("tanaka", "short", "12 characters"),
        ("ta:naka", PASSWORD, "a name is"),
        ("tanaka", "bad\u{7}password long", "control"),
    ] {
        let output = add_user(data.path(), name, "viewer", password);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(part), "{output:?}");
    }
    assert!(add_user(data.path(), "tanaka", "viewer", PASSWORD).status.success());
    use std::os::unix::fs::PermissionsExt;
    let path = data.path().join("console.users");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&path).unwrap().contains(PASSWORD));
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let listed = command.args(["console", "user", "list", "--format", "json", "--data-dir"]).arg(data.path()).output();
    let listed: Value = serde_json::from_slice(&listed.unwrap().stdout).unwrap();
    assert_eq!(listed["users"], serde_json::json!([{ "name": "tanaka", "role": "viewer" }]));
    let remove = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        command.args(["console", "user", "remove", "tanaka", "--data-dir"]).arg(data.path()).output().unwrap()
    };
    assert!(remove().status.success());
    assert_eq!(remove().status.code(), Some(2));
    let added = add_user(data.path(), "mori", "admin", PASSWORD);
    assert!(String::from_utf8_lossy(&added.stdout).contains("not on record, as no gate"), "{added:?}");
}

#[test]
fn who_may_log_in_is_on_record_whether_a_gate_runs_or_not() {
    let mut gate = gate("", "");
    let data_dir = gate.data_dir();
    assert!(add_user(&data_dir, "mori", "analyst", PASSWORD).status.success());
    assert_eq!(gate.end("-TERM"), Some(0));
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let removed = command.args(["console", "user", "remove", "mori", "--data-dir"]).arg(&data_dir).output().unwrap();
    assert!(removed.status.success(), "{removed:?}");
    let all = records(&data_dir);
    let told: Vec<_> = of_kind(&all, "admin")
        .into_iter()
        .filter(|one| one["action"].as_str().unwrap().starts_with("console_user_"))
        .map(|one| (one["action"].as_str().unwrap(), one["detail"].as_str().unwrap()))
        .collect();
    let uid = rustix::process::getuid().as_raw();
    let [first, set, removed] = &told[..] else { panic!("{told:?}") };
    assert!(first.1.starts_with("viewer (viewer), by "), "{told:?}");
    assert!(set.0 == "console_user_set" && set.1.starts_with("mori (analyst), by "), "{told:?}");
    assert!(set.1.contains(&format!("user {uid}")), "{told:?}");
    assert!(removed.0 == "console_user_removed" && removed.1.starts_with("mori, by "), "{told:?}");
    assert!(!all.iter().any(|one| one.to_string().contains(PASSWORD)));
}

#[test]
fn every_answer_lets_a_browser_run_nothing_but_the_consoles_own() {
    let gate = gate("", "");
    let mut viewer = visitor(&gate, "viewer");
    for way in
        ["/", "/blocked", "/policy", "/nothing", "/style.css", "/live.js", "/login", "/metrics", "/host?name=%3C"]
    {
        let answer = viewer.get(way);
        let policy = answer.field("content-security-policy").unwrap();
        assert_eq!(
            policy,
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            "{way}"
        );
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"), "{way}");
        let text = answer.text();
        assert!(!text.contains("style=\"") && !text.contains("<style") && !text.contains(" onclick"), "{way}: {text}");
    }
    let long = "x".repeat(70_000);
    let token = viewer.token_at("/");
    assert_eq!(viewer.post("/act", &[("token", &token), ("why", &long)], "").status(), 413);
}

#[test]
fn the_policy_page_counts_what_each_rule_decided_and_explains_a_request() {
    let origin = Origin::start();
    let policy = format!(
        "{}\n[[rule]]\nname = \"never asked\"\nhosts = [\"unused.example\"]\nverdict = \"deny\"\ncomment = \"<b>kept</b>\"\n",
        origin.policy()
    );
    let gate = gate(&policy, "");
    let host = origin.address;
    let asked = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert!(gate.send(asked.as_bytes()).starts_with("HTTP/1.1 200 "));
    indexed(&gate);
    let mut viewer = visitor(&gate, "viewer");
    let page = viewer.get("/policy").text();
    let row =
        |name: &str| page.split("<tr>").find(|row| row.starts_with(&format!("<td><bdi>{name}<"))).unwrap().to_owned();
    assert!(row("origin").contains("<td class=\"number\">1</td>"), "{}", row("origin"));
    assert!(row("never asked").contains("never</span>"), "{}", row("never asked"));
    assert!(page.contains("&lt;b&gt;kept") && !page.contains("<b>kept"));
    let page = viewer.get("/policy?client=10.0.0.1&method=GET&url=http%3A%2F%2Funused.example%2F").text();
    let explained = page.split_once("id=\"explained\"").unwrap().1.split_once("</section>").unwrap().0.to_owned();
    assert!(
        explained.contains("deny") && explained.contains("never asked") && explained.contains("applies"),
        "{explained}"
    );
    let wrong = viewer.get("/policy?client=nobody&url=http%3A%2F%2Fa%2F").text();
    assert!(wrong.contains("is no address"), "{wrong}");
}

#[test]
fn a_live_tail_shows_what_happens_by_its_filter_and_ends_with_its_session() {
    let gate = gate("", "");
    let mut analyst = visitor(&gate, "analyst");
    let session = analyst.cookie("sekisho").unwrap();
    let mut tail = Peer::connect(address(&gate));
    tail.send(format!(
        "GET /live/events?host=wanted.example HTTP/1.1\r\nHost: {}\r\nCookie: sekisho={session}\r\n\r\n",
        address(&gate)
    ));
    let head = tail.head().unwrap();
    assert_eq!((head.status(), head.field("content-type")), (200, Some("text/event-stream")), "{}", head.head);
    for host in ["other.example", "www.wanted.example"] {
        let asked = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert!(gate.send(asked.as_bytes()).starts_with("HTTP/1.1 403 "));
    }
    let mut seen = String::new();
    while !seen.contains("www.wanted.example") {
        seen.push_str(&String::from_utf8_lossy(&tail.some()));
    }
    assert!(!seen.contains("other.example") && seen.contains("no_rule"), "{seen}");
    let mut anybody = Visitor::new(address(&gate));
    assert_eq!(anybody.get("/live/events").status(), 303);
    let shown = analyst.get("/live").text();
    assert!(shown.contains("data-from=\"/live/events\"") && shown.contains("www.wanted.example"), "{shown}");
}

#[test]
fn a_thousand_open_tails_leave_the_console_and_the_gate_answering() {
    crate::gate::raise_open_files();
    let gate = gate("", "");
    let at = address(&gate);
    let mut analyst = visitor(&gate, "analyst");
    let session = analyst.cookie("sekisho").unwrap();
    let mut tails: Vec<Peer> = (0..1000)
        .map(|_| {
            let mut tail = Peer::connect(at);
            tail.send(format!("GET /live/events HTTP/1.1\r\nHost: {}\r\nCookie: sekisho={session}\r\n\r\n", at));
            assert_eq!(tail.head().unwrap().status(), 200);
            tail
        })
        .collect();
    let asked = b"GET http://seen.example/ HTTP/1.1\r\nHost: seen.example\r\nConnection: close\r\n\r\n";
    assert!(gate.send(asked).starts_with("HTTP/1.1 403 "));
    for tail in &mut tails {
        let mut seen = String::new();
        while !seen.contains("seen.example") {
            seen.push_str(&String::from_utf8_lossy(&tail.some()));
        }
    }
    assert_eq!(analyst.get("/blocked").status(), 200);
    assert!(analyst.get("/metrics").text().contains("sekisho_console_tails 1000\n"));
    assert!(gate.peak_memory() < 600 << 20, "{} MiB", gate.peak_memory() >> 20);
}

#[test]
fn a_console_that_has_had_its_share_of_the_processor_says_so_and_when_to_come_back() {
    let gate = gate("", "cpu_percent = 1\n");
    refused(&gate, "a.example");
    indexed(&gate);
    let mut analyst = visitor(&gate, "analyst");
    let token = analyst.token_at("/sql");
    let statement =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000000) SELECT count(*) FROM n";
    // Two seconds of CPU are there at first; at a hundredth of a core nobody waits for more.
    let told = loop {
        let told = analyst.post("/sql", &[("token", &token), ("statement", statement)], "");
        if told.status() != 200 {
            break told;
        }
        assert!(told.text().contains("4000000"), "{}", told.text());
    };
    let page = analyst.get("/programs");
    for (answer, words) in [(&told, "its share of the processor"), (&page, "its share of the processor")] {
        assert_eq!(answer.status(), 503, "{}", answer.text());
        assert!(answer.text().contains(words), "{}", answer.text());
        let after: u64 = answer.field("retry-after").unwrap().parse().unwrap();
        assert!(after > 20, "{after}");
    }
    let page = analyst.get("/programs?lang=ja");
    assert!(page.status() == 503 && page.text().contains("CPU使用量が上限"), "{}", page.text());
    // Nobody else waits for it: who acts, a machine that reads figures, and the gate.
    let form = [("token", &*token), ("action", "isolated"), ("client", "10.9.9.9"), ("why", "now")];
    assert_eq!(analyst.post("/act", &form, "").status(), 303);
    assert_eq!(gate.status()["isolated"][0]["client"], "10.9.9.9");
    // Nor do the pages that have the buttons, which say what they lack.
    for (way, shows) in [
        ("/?lang=en", "10.9.9.9"),
        ("/client?name=10.9.9.9&lang=en", "<button>Release <bdi>10.9.9.9</bdi>"),
        ("/policy?lang=en", "Rules in force"),
    ] {
        let page = analyst.get(way);
        assert_eq!(page.status(), 200, "{way}: {}", page.text());
        for words in [shows, "its share of the processor"] {
            assert!(page.text().contains(words), "{way}: {words}: {}", page.text());
        }
    }
    assert_eq!(Visitor::new(address(&gate)).get("/metrics").status(), 200);
    refused(&gate, "b.example");
}

#[test]
fn prometheus_reads_the_figures_without_a_log_in_from_where_the_config_says() {
    let gate = gate("", "");
    refused(&gate, "blocked.example");
    let mut anybody = Visitor::new(address(&gate));
    let page = anybody.get("/metrics").text();
    for line in ["sekisho_refusals_total{reason=\"no_rule\"} 1", "sekisho_requests_total{verdict=\"refused\"} 1"] {
        assert!(page.lines().any(|known| known == line), "{line}: {page}");
    }
    for name in [
        "tunnels",
        "connections_dropped_total{why=\"silent\"}",
        "index_record",
        "index_behind_seconds",
        "detection_live",
    ] {
        assert!(page.contains(&format!("\nsekisho_{name} ")), "{name}: {page}");
    }
    assert!(!page.contains("blocked.example") && !page.contains("127.0.0.1"), "of nobody in particular: {page}");
    let config = "metrics = [\"10.99.0.0/16\"]\n";
    let gate = Start { policy: "", config: &format!("{CONSOLE}{config}"), ..Start::default() }.gate();
    assert_eq!(Visitor::new(address(&gate)).get("/metrics").status(), 403);
}

#[test]
fn a_console_that_others_reach_speaks_tls_alone_and_its_cookies_are_bound_to_it() {
    let refused = Start { config: "[console]\nlisten = [\"0.0.0.0:0\"]\n", ..Start::default() }.output();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in the clear"), "{refused:?}");
    let files = tempfile::tempdir().unwrap();
    let pair = crate::origin::pair_of(vec!["gate.test".into()]);
    let (certificate, key) = (files.path().join("c.pem"), files.path().join("k.pem"));
    std::fs::write(&certificate, &pair.certificate).unwrap();
    std::fs::write(&key, &pair.key).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let config = format!(
        "[console]\nlisten = [\"127.0.0.1:0\"]\nnames = [\"gate.test\"]\ncertificate = {certificate:?}\nkey = {key:?}\n"
    );
    let gate = Start { config: &config, ..Start::default() }.gate();
    let told = gate.status()["console"][0].as_str().unwrap().to_owned();
    let address: SocketAddr = told.strip_prefix("https://").unwrap().trim_end_matches('/').parse().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::pem::PemObject;
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(pair.authority.as_bytes()).unwrap()).unwrap();
    let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut peer = Peer::connect(address).secure(std::sync::Arc::new(client), "gate.test").unwrap();
    peer.send("GET /login HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n\r\n");
    let answer = peer.answer();
    assert_eq!(answer.status(), 200);
    let cookie = answer.field("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-sekisho-door=") && cookie.contains("; Secure"), "{cookie}");
    assert!(answer.field("strict-transport-security").is_some());
    let mut clear = Peer::connect(address);
    clear.send("GET /login HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n\r\n");
    assert!(!String::from_utf8_lossy(&clear.rest().0).contains("200 OK"), "nothing in the clear");
}

#[test]
fn the_person_at_a_client_is_told_why_it_was_stopped_and_nothing_of_others() {
    let gate = Gate::configured("", "[gate]\ncontact = \"ask the helpdesk\"\n");
    let ask = |from: &str, head: &str| {
        let mut peer = Peer::connect_from(from.parse().unwrap(), gate.address);
        peer.send(head);
        peer.answer()
    };
    let why = |from: &str, language: &str| {
        let head = format!(
            "GET http://sekisho/ HTTP/1.1\r\nHost: sekisho\r\nAccept-Language: {language}\r\nConnection: close\r\n\r\n"
        );
        ask(from, &head).text()
    };
    let tunnel = "CONNECT secret.example:443 HTTP/1.1\r\nHost: secret.example:443\r\nUser-Agent: curl/8.0\r\n\
                  Connection: close\r\n\r\n";
    let refused = ask("127.0.0.7", tunnel);
    assert_eq!(refused.status(), 403);
    let page = why("127.0.0.7", "en");
    for part in ["https://secret.example", "no_rule", "ask the helpdesk", "[[rule]]", "user_agent = &quot;curl/*&quot;"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let id = refused.field("proxy-status").unwrap().split("no_rule ").nth(1).unwrap().trim_end_matches('"').to_owned();
    assert!(page.contains(&id), "{id}: {page}");
    let other = why("127.0.0.6", "ja");
    assert!(!other.contains("secret.example") && other.contains("最近止められていません"), "{other}");
}

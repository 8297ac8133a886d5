//! Log-in at the proxy: Basic by hand, Digest by curl.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use data_encoding::BASE64;
use serde_json::Value;

use crate::challenge_reset::{CHROMIUM, Lab, carries, challenges, is_reset};
use crate::gate::{Gate, Start, put_over};
use crate::name_server::NameServer;
use crate::origin::{Origin, listener_of_its_own};
use crate::peer::Message;
use crate::tunnel_lab::hello;

use super::driven::{Drive, Driven};
use super::{Settings, site as browsers};

const PASSWORD: &str = "Circle of Life";
/// `htpasswd -nbB -C 5 tanaka "Circle of Life"`
const USERS: &str = "tanaka:$2y$05$ufc/KLlbsqjXFButKllicuv5WcmrNB/xxhaHz3uaGCydL8JmKydJa\n";
/// `htdigest`, of SHA-256 and MD5, for the same.
const DIGEST: &str = "tanaka:Example Ltd:5b56f906d942046a5815a0e57aff5b22d812358140c8f095f5dd2ead2530c1a5\ntanaka:Example Ltd:7b0afccd2a9ef998fc46fcc8659fd632\n";

struct Site {
    origin: Origin,
    gate: Gate,
    _names: NameServer,
    files: tempfile::TempDir,
}

/// A file that its owner alone may read.
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

impl Site {
    /// An origin at `a.test` that answers with the head it was sent, for line leaders alone.
    fn new(mode: &str) -> Self {
        let origin = Origin::on(listener_of_its_own(80), |mut peer, log| {
            while let Some(request) = peer.request() {
                log.note(&request);
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", request.head.len(), request.head));
            }
        });
        let names = NameServer::pointing_to(origin.address.ip());
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str| files.path().join(name);
        write(&file("users"), USERS);
        write(&file("digest"), DIGEST);
        write(&file("groups"), "line-leaders: tanaka\n");
        let shown = |name: &str| file(name).display().to_string();
        let authentication = format!(
            "[authentication]\nrealm = \"Example Ltd\"\nschemes = [\"digest\", \"basic\"]\nusers = \"{}\"\n\
             digest = \"{}\"\ngroups = \"{}\"\n",
            shown("users"),
            shown("digest"),
            shown("groups")
        );
        let policy = format!(
            "[policy]\nmode = \"{mode}\"\n[clients.leaders]\nusers = [\"group:line-leaders\"]\n{}",
            origin.rule_for("a.test", "clients = [\"leaders\"]")
        );
        let gate =
            Start { policy: &policy, config: &format!("{}{authentication}", names.config()), ..Start::default() };
        let gate = gate.gate();
        Self { origin, gate, _names: names, files }
    }

    /// Asks for the page with these credentials, and gives the answer.
    fn ask(&self, credentials: Option<&str>) -> Message {
        let mut client = self.gate.client();
        client.send(request(credentials));
        client.answer()
    }
}

fn request(credentials: Option<&str>) -> String {
    let shown = credentials.map(|text| format!("Proxy-Authorization: Basic {}\r\n", BASE64.encode(text.as_bytes())));
    format!("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n{}\r\n", shown.unwrap_or_default())
}

#[test]
fn a_rule_for_users_asks_who_it_is_and_lets_out_whom_it_names() {
    let mut site = Site::new("enforce");
    let mut client = site.gate.client();
    client.send(request(None));
    let asked = client.answer();
    assert_eq!(asked.status(), 407);
    let ways: Vec<_> = asked.all("proxy-authenticate").iter().map(|way| way.split(' ').next().unwrap()).collect();
    assert_eq!(ways, ["Digest", "Digest", "Basic"]);
    assert!(asked.text().contains("Reason: log_in_needed"), "{}", asked.text());
    // On the same connection.
    client.send(request(Some(&format!("tanaka:{PASSWORD}"))));
    let answer = client.answer();
    assert_eq!(answer.status(), 200);
    assert!(!answer.text().to_ascii_lowercase().contains("authorization"), "{}", answer.text());
    let wrong = site.ask(Some("tanaka:Circle of Lif"));
    assert!(wrong.status() == 407 && wrong.text().contains("log_in_wrong"), "{}", wrong.text());
    let records = site.gate.records();
    let opened = records.iter().find(|record| record["event"] == "open").unwrap();
    assert_eq!((&opened["user"], &opened["client_group"]), (&"tanaka".into(), &"leaders".into()), "{opened}");
    let text = format!("{records:?}");
    assert!(!text.contains("Circle") && !text.contains(&BASE64.encode(PASSWORD.as_bytes())), "{text}");
    assert_eq!(site.origin.requests().len(), 1);
}

#[test]
fn who_guesses_is_told_to_wait_and_the_series_is_on_record() {
    let mut site = Site::new("enforce");
    let mut answers = Vec::new();
    for number in 0..12 {
        answers.push(site.ask(Some(&format!("tanaka:guess {number}"))));
    }
    let statuses: Vec<_> = answers.iter().map(Message::status).collect();
    assert!(statuses.starts_with(&[407; 5]) && statuses.contains(&429), "{statuses:?}");
    let last = answers.last().unwrap();
    assert!(last.field("retry-after").unwrap().parse::<u64>().unwrap() > 0, "{}", last.head);
    let told = site.gate.records().into_iter().find(|record| record["kind"] == "log_in").unwrap();
    assert_eq!((&told["ground"], &told["client"]), (&"failed_log_ins".into(), &"127.0.0.1".into()), "{told}");
}

#[test]
fn nobody_is_asked_where_the_policy_only_observes() {
    let site = Site::new("observe");
    for credentials in [None, Some("tanaka:wrong")] {
        // What passes for want of a user has nothing of what the rule opens, such as this origin's address.
        let answer = site.ask(credentials);
        assert!(answer.status() == 403 && answer.text().contains("guard_address"), "{}", answer.text());
    }
}

#[test]
fn users_who_are_put_into_the_file_can_log_in_without_a_restart() {
    let site = Site::new("enforce");
    let credentials = format!("suzuki:{PASSWORD}");
    assert_eq!(site.ask(Some(&credentials)).status(), 407);
    let (users, groups) = (site.files.path().join("users"), site.files.path().join("groups"));
    put_over(&users, &format!("{USERS}{}", USERS.replace("tanaka", "suzuki")));
    std::fs::set_permissions(&users, std::fs::Permissions::from_mode(0o600)).unwrap();
    put_over(&groups, "line-leaders: tanaka suzuki\n");
    assert!(site.gate.reload().status.success());
    assert_eq!(site.ask(Some(&credentials)).status(), 200);
}

#[test]
fn behind_a_shared_address_only_a_known_user_is_challenged_and_cleared() {
    let site = Site::new("enforce");
    let policy = std::fs::read_to_string(site.gate.policy()).unwrap();
    let shared = "[clients.terminals]\naddresses = [\"127.0.0.1\"]\nshared = true\n";
    let policy = policy.replace("clients = [\"leaders\"]", "").replace("allow", "challenge") + shared;
    assert!(site.gate.put(&policy).status.success());
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";
    let head = format!("Host: a.test\r\nUser-Agent: {agent}\r\nAccept: text/html\r\nUpgrade-Insecure-Requests: 1\r\n");
    let mut client = site.gate.client();
    client.send(format!("GET http://a.test/ HTTP/1.1\r\n{head}\r\n"));
    let asked = client.answer();
    assert!(asked.status() == 407 && asked.text().contains("log_in_needed"), "{}", asked.text());
    let shown = BASE64.encode(format!("tanaka:{PASSWORD}").as_bytes());
    client.send(format!("GET http://a.test/ HTTP/1.1\r\n{head}Proxy-Authorization: Basic {shown}\r\n\r\n"));
    let page = client.answer();
    assert!(page.status() == 403 && page.text().contains("var token = \""), "{}", page.text());
}

#[test]
fn curl_logs_in_by_digest_for_a_page() {
    let site = Site::new("enforce");
    let curl = |user: &str| {
        let proxy = format!("http://{}", site.gate.address);
        let arguments = ["-s", "--max-time", "10", "--proxy-digest", "-U", user, "-x", &proxy, "-o", "/dev/null"];
        let output =
            Command::new("curl").args(arguments).args(["-w", "%{http_code}", "http://a.test/"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(curl(&format!("tanaka:{PASSWORD}")), "200");
    assert_eq!(curl("tanaka:wrong"), "407");
}

#[test]
fn a_gate_whose_users_cannot_be_read_does_not_start_and_says_which_file() {
    let start = |keys: &str| {
        let output = Start { config: &format!("[authentication]\n{keys}"), ..Start::default() }.output();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = start("realm = \"a\"\nschemes = [\"basic\"]\nusers = \"/nowhere/users\"\n");
    assert!(code == Some(2) && told.contains("/nowhere/users:1:1: cannot read the file"), "{told}");
    let open = tempfile::NamedTempFile::new().unwrap();
    std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, told) = start(&format!("realm = \"a\"\nschemes = [\"basic\"]\nusers = \"{}\"\n", open.path().display()));
    assert!(code == Some(2) && told.contains("everybody may read it (mode 0644)"), "{told}");
}

#[test]
fn a_log_in_when_nobody_works_is_on_record_once_and_nothing_else_comes_of_it() {
    let mut site = Site::new("enforce");
    let policy = std::fs::read_to_string(site.gate.policy()).unwrap();
    // Not today, nor tomorrow.
    let today = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).weekday().to_monday_zero_offset();
    let day = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][usize::try_from(today).unwrap()];
    let hours = format!("[calendar]\ntime_zone = \"UTC\"\n[policy]\noffice_hours = \"{day} 00:00-24:00\"");
    let put = site.gate.put(&policy.replacen("[policy]", &hours, 1));
    assert!(put.status.success(), "{put:?}");
    for _ in 0..3 {
        assert_eq!(site.ask(Some(&format!("tanaka:{PASSWORD}"))).status(), 200);
    }
    let records = site.gate.records();
    let told: Vec<_> = records.iter().filter(|record| record["kind"] == "log_in").collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0]["ground"], "log_in_out_of_hours");
    assert!(told[0]["detail"].as_str().unwrap().contains("tanaka"), "{}", told[0]);
}

/// A tunnel to `a.test:443`, with Chromium's bytes and these credentials.
fn connect(credentials: &str) -> Vec<u8> {
    let shown = BASE64.encode(credentials.as_bytes());
    format!(
        "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nProxy-Connection: keep-alive\r\nUser-Agent: {CHROMIUM}\r\n\
         Proxy-Authorization: Basic {shown}\r\n\r\n"
    )
    .into_bytes()
}

#[test]
fn a_tunnel_that_must_be_confirmed_is_met_by_logging_in_again_and_not_by_a_program_that_has_the_password() {
    let (files, users) = (tempfile::tempdir().unwrap(), format!("tanaka:{PASSWORD}"));
    let file = files.path().join("users");
    write(&file, USERS);
    let config = format!(
        "[authentication]\nrealm = \"Example Ltd\"\nschemes = [\"basic\"]\nusers = \"{}\"\n\
         [challenge]\nwindow_ms = 1500\n",
        file.display()
    );
    let here = "fresh = true\nclients = [\"here\"]\n[clients]\nhere = { addresses = [\"127.0.0.1\"] }\n\
                [[rule]]\nname = \"others\"\nhosts = [\"*.test\"]\nverdict = \"challenge\"";
    let mut lab = Lab::with(&config, here, "");
    let bytes = hello("chromium");
    // Whatever it had shown before, it is asked; a program sends the same again at once.
    for _ in 0..3 {
        let mut program = lab.gate.client();
        program.send(connect(&users));
        let asked = program.answer();
        assert!(asked.status() == 407 && asked.text().contains("log_in_afresh"), "{}", asked.text());
        assert!(asked.field("proxy-authenticate").unwrap().starts_with("Basic"), "{}", asked.head);
    }
    // As long as it takes to type: until the answer of another program is overdue.
    let another = Ipv4Addr::new(127, 0, 3, 1);
    is_reset(&mut lab.ask_from(another, "b.test", CHROMIUM), &bytes);
    is_reset(&mut lab.ask_from(another, "c.test", CHROMIUM), &bytes);
    let person = || {
        let mut person = lab.gate.client();
        person.send(connect(&users));
        let answer = person.head().unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.head);
        person
    };
    // A person is there; that it is at a browser is shown as always.
    is_reset(&mut person(), &bytes);
    carries(person(), &bytes);
    carries(person(), &bytes);
    let records = lab.gate.records();
    assert!(challenges(&records).iter().any(|record| record["means"] == "reset" && record["user"] == "tanaka"));
    let shown = challenges(&records).into_iter().find(|record| record["means"] == "log_in").unwrap();
    assert_eq!((&shown["outcome"], &shown["user"]), (&"logged_in".into(), &"tanaka".into()), "{shown}");
}

/// A page that has loaded has this title.
const PAGE: &str = "<!doctype html><title>site</title><p>the page itself";

fn a_browser_logs_in(drive: Drive, scheme: &'static str, way: &str) {
    let files = tempfile::tempdir().unwrap();
    let (users, digest) = (files.path().join("users"), files.path().join("digest"));
    write(&users, USERS);
    write(&digest, DIGEST);
    let file = if way == "digest" { digest } else { users };
    let key = if way == "digest" { "digest" } else { "users" };
    let config =
        format!("[authentication]\nrealm = \"Example Ltd\"\nschemes = [\"{way}\"]\n{key} = \"{}\"\n", file.display());
    let people = "clients = [\"people\"]\n[clients.people]\nusers = [\"tanaka\"]\n";
    let mut site = browsers::Site::configured(scheme, PAGE, people, &config);
    let mut browser = site.drive(drive, Settings::AS_INSTALLED);
    browser.log_in(site.gate.address, "Example Ltd", ("tanaka", PASSWORD));
    browser.go(&site.url());
    browser.until_shown("the page itself");
    drop(browser);
    let records = site.gate.records();
    let open = records.iter().find(|record| record["event"] == "open" && record["host"] == "site.test").unwrap();
    assert_eq!((&open["user"], &open["grounds"]), (&"tanaka".into(), &Value::Null), "{open:#}");
    let challenge = challenges(&records)[0];
    assert_eq!((&challenge["user"], &challenge["outcome"].is_string()), (&"tanaka".into(), &true), "{challenge:#}");
    assert!(!format!("{records:?}").contains("Circle"));
}

#[test]
fn chromium_logs_in_and_shows_then_that_it_is_a_browser() {
    a_browser_logs_in(Driven::chromium, "https", "digest");
    a_browser_logs_in(Driven::chromium, "http", "basic");
}

#[test]
fn firefox_logs_in_and_shows_then_that_it_is_a_browser() {
    a_browser_logs_in(Driven::firefox, "https", "digest");
    a_browser_logs_in(Driven::firefox, "http", "basic");
}

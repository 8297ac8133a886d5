//! Tunnels that a rule has looked into: each request in them is judged, recorded and answered as a plain one.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

use crate::bad_origins::{BadOrigins, NAME, Wrong};
use crate::gate::{Gate, Start};
use crate::name_server::NameServer;
use crate::origin::{listener_of_its_own, tls_of};

/// An origin inside TLS at every name below `site.test`, whose authority the gate trusts, and a gate that looks inside.
pub(crate) struct Lab {
    pub(crate) gate: Gate,
    asked: Arc<Mutex<Vec<String>>>,
    files: TempDir,
    _names: NameServer,
}

impl Lab {
    /// The keys are those of the one rule, which inspects.
    pub(crate) fn new(keys: &str) -> Self {
        Self::configured(keys, "")
    }

    /// The same with more of a config.
    pub(crate) fn configured(keys: &str, more: &str) -> Self {
        let names = ["site.test", "*.site.test"];
        Self::with_origin(&names, &format!("hosts = [\"site.test\", \"*.site.test\"]\n{keys}"), more)
    }

    /// The same with an origin of these names.
    pub(crate) fn with_origin(names: &[&str], keys: &str, more: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (config, authority) = tls_of(names.iter().map(|name| (*name).to_owned()).collect());
        std::fs::write(files.path().join("origins.pem"), authority).unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let listener = listener_of_its_own(443);
        let address = listener.local_addr().unwrap();
        let seen = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, config, seen) = (stream.unwrap(), config.clone(), seen.clone());
                std::thread::spawn(move || {
                    answer(&mut StreamOwned::new(ServerConnection::new(config).unwrap(), stream), &seen)
                });
            }
        });
        let names = NameServer::answering(move |_| vec![address.ip()]);
        let roots = files.path().join("origins.pem");
        let inspection = format!("ca_files = [\"{}\"]\n{more}", roots.display());
        Self { asked, ..Self::of(files, names, keys, &inspection, true) }
    }

    /// A gate with one rule of these keys, which inspects; with an authority of its own, or without.
    pub(crate) fn of(files: TempDir, names: NameServer, keys: &str, inspection: &str, with_authority: bool) -> Self {
        let data_dir = files.path().join("data");
        if with_authority {
            let made = sekisho(&["ca", "init", "--name", "test-gate"], &data_dir);
            assert!(made.status.success(), "{made:?}");
        }
        let policy = format!(
            "[[rule]]\nname = \"inside\"\nprivate = [\"127.0.0.0/8\"]\nverdict = \"allow\"\ninspect = true\n{keys}\n"
        );
        let config = format!("{}[inspection]\n{inspection}", names.config());
        let start = Start { policy: &policy, config: &config, data_dir: Some(data_dir), ..Start::default() };
        Self { gate: start.gate(), asked: Arc::default(), files, _names: names }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.files.path().join("data")
    }

    /// The gate's authority, in PEM.
    pub(crate) fn authority(&self) -> String {
        String::from_utf8(sekisho(&["ca", "export"], &self.data_dir()).stdout).unwrap()
    }

    /// The heads that the origin was sent.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// What curl gets, with more of a command line.
    pub(crate) fn curl(&self, arguments: &[&str], url: &str) -> Output {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--http1.1", "-x", &format!("http://{}", self.gate.address)]);
        let trusted = self.files.path().join("gate.pem");
        let exported = sekisho(&["ca", "export", "--out", trusted.to_str().unwrap()], &self.data_dir());
        assert!(exported.status.success(), "{exported:?}");
        command.arg("--cacert").arg(&trusted).args(arguments).arg(url).env_clear();
        std::env::var_os("PATH").map(|path| command.env("PATH", path));
        command.output().unwrap()
    }

    /// What is on record once the gate has ended.
    pub(crate) fn records(&mut self) -> Vec<Value> {
        assert_eq!(self.gate.end("-TERM"), Some(0));
        crate::gate::records(&self.data_dir())
    }
}

fn sekisho(arguments: &[&str], data_dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).args(arguments).arg(data_dir).output().unwrap()
}

/// Answers each request with its head, and notes it.
fn answer(stream: &mut (impl Read + Write), asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    while let Some(head) = crate::browsers::site::read_head(&mut reader) {
        asked.lock().unwrap().push(head.clone());
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
        let stream = reader.get_mut();
        if stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

#[test]
fn each_request_inside_is_judged_by_its_path_and_as_many_reach_the_origin_as_were_allowed() {
    let mut lab = Lab::new("paths = [\"/open/**\"]");
    let answered = lab.curl(&[], "https://site.test/open/a?b=c");
    let text = String::from_utf8_lossy(&answered.stdout).into_owned();
    assert!(answered.status.success() && text.starts_with("GET /open/a?b=c HTTP/1.1\r\n"), "{answered:?}");
    let refused = lab.curl(&["-w", "%{http_code}"], "https://site.test/closed");
    let text = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(text.ends_with("403") && text.contains("Reason: no_rule"), "{refused:?}");
    // Three on one connection.
    let many = lab.curl(&["https://site.test/open/1", "https://site.test/closed"], "https://site.test/open/2");
    assert!(many.status.success(), "{many:?}");
    let records = lab.records();
    let inner = |event: &str| {
        let is = |record: &&Value| record["event"] == event && record["scheme"] == "https";
        records.iter().filter(is).cloned().collect::<Vec<_>>()
    };
    let (opened, refused) = (inner("open"), inner("refused"));
    assert_eq!((opened.len(), refused.len()), (3, 2), "{records:#?}");
    let asked = lab.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), opened.len(), "one for each decision that lets out: {asked:#?}");
    let first = &opened[0];
    assert_eq!(
        (&first["path"], &first["method"], &first["rule"]),
        (&"/open/a".into(), &"GET".into(), &"inside".into())
    );
    let tunnel =
        records.iter().find(|record| record["id"] == first["inside"] && record["method"] == "CONNECT").unwrap();
    assert_eq!(tunnel["host"], "site.test", "{tunnel}");
    for head in asked {
        let names: Vec<_> =
            head.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
        assert_eq!(names, ["Host", "User-Agent", "Accept", "Via"], "nothing of ours but Via: {head}");
    }
}

#[test]
fn what_names_another_host_inside_or_asks_for_a_tunnel_there_is_refused() {
    let mut lab = Lab::new("");
    for (arguments, reason) in [
        (&["-H", "Host: other.site.test"][..], "host_mismatch"),
        (&["--request-target", "https://other.site.test/"], "bad_target"),
        (&["-X", "CONNECT", "--request-target", "other.site.test:443"], "nested_connect"),
    ] {
        let refused = lab.curl(arguments, "https://site.test/");
        let text = String::from_utf8_lossy(&refused.stdout).into_owned();
        assert!(text.contains(&format!("Reason: {reason}")), "{reason}: {text} {refused:?}");
    }
    assert!(lab.asked.lock().unwrap().is_empty());
    assert!(lab.records().iter().all(|record| record["event"] != "open" || record["scheme"] == "tunnel"));
}

#[test]
fn a_client_that_does_not_trust_the_authority_gets_nothing_and_that_is_on_record() {
    let mut lab = Lab::new("");
    let refused = lab.curl(&["--cacert", "/etc/ssl/certs/ca-certificates.crt"], "https://site.test/");
    assert_eq!(refused.status.code(), Some(60), "{refused:?}");
    assert!(lab.asked.lock().unwrap().is_empty());
    let records = lab.records();
    let closed = records.iter().find(|record| record["event"] == "close").unwrap();
    assert_eq!((&closed["closed_how"], &closed["closed_by"]), (&"tls_refused".into(), &"client".into()), "{closed}");
}

#[test]
fn an_origin_for_another_name_is_refused_with_a_page_that_says_so() {
    let mut lab = Lab::new("");
    // The origin's certificate is for one label below site.test.
    let refused = lab.curl(&[], "https://a.b.site.test/");
    let text = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(text.contains("Reason: cert_wrong_host") && text.contains("is for another name"), "{text}");
    assert!(lab.asked.lock().unwrap().is_empty());
    let records = lab.records();
    assert!(records.iter().any(|record| record["closed_how"] == "cert_wrong_host"), "{records:#?}");
}

#[test]
fn no_private_key_is_in_evidence_or_pages() {
    let mut lab = Lab::new("");
    let key = std::fs::read_to_string(lab.data_dir().join("ca/current/ca.key")).unwrap();
    let line = key.lines().nth(1).unwrap().to_owned();
    let page = lab.curl(&["-H", "Host: other.test"], "https://site.test/");
    let text = format!("{}{:?}", String::from_utf8_lossy(&page.stdout), lab.records());
    assert!(!text.contains(&line) && !text.contains("PRIVATE KEY"));
}

#[test]
fn each_thing_that_can_be_wrong_with_an_origin_is_a_page_that_names_it_and_nothing_reaches_the_origin() {
    let origins = BadOrigins::new();
    let started: Vec<_> = Wrong::ALL.into_iter().map(|wrong| (wrong, origins.start(wrong))).collect();
    let ports: Vec<_> = started.iter().map(|(_, origin)| origin.address.port().to_string()).collect();
    let keys = format!("hosts = [\"{NAME}\"]\nports = [{}]", ports.join(", "));
    let inspection = format!(
        "system_roots = false\nca_files = [\"{}\"]\nrevocation_lists = [\"{}\"]\n",
        origins.root_file().display(),
        origins.list_file().display()
    );
    let names = NameServer::pointing_to(started[0].1.address.ip());
    let mut lab = Lab::of(tempfile::tempdir().unwrap(), names, &keys, &inspection, true);
    for (wrong, origin) in &started {
        let url = format!("https://{NAME}:{}/", origin.address.port());
        let text = String::from_utf8_lossy(&lab.curl(&[], &url).stdout).into_owned();
        match wrong.fault() {
            Some(fault) => assert!(text.contains(&format!("Reason: {}: {fault}", fault.as_str())), "{wrong:?}: {text}"),
            None => assert!(!text.contains("Reason: cert"), "{text}"),
        }
    }
    let records = lab.records();
    for fault in Wrong::ALL.into_iter().filter_map(Wrong::fault) {
        let is = |record: &Value| record["closed_how"] == fault.as_str() || record["reason"] == fault.as_str();
        assert!(records.iter().any(is), "{fault:?} is on record: {records:#?}");
    }
}

#[test]
fn a_rule_with_the_shipped_list_tunnels_and_everything_else_is_inspected() {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy/lists/pinned-systems.txt");
    let (pinned, other) = ("fe2.update.microsoft.com", "update.example");
    let mut lab = Lab::with_origin(&[pinned, other], "hosts = [\"*\"]", "");
    let own = "private = [\"127.0.0.0/8\"]\ninspect = false\nverdict = \"allow\"";
    let policy = std::fs::read_to_string(lab.gate.policy()).unwrap();
    let exempt = format!(
        "[hosts.pinned]\nfiles = [\"{}\"]\n[[rule]]\nname = \"pinned\"\nhosts = [\"pinned\"]\n{own}\n{policy}",
        list.display()
    );
    // Whether the gate has had the request in its hands, as its Via tells the origin.
    let is_inspected = |lab: &Lab, host: &str| {
        assert!(lab.curl(&["--insecure"], &format!("https://{host}/")).status.success());
        lab.asked.lock().unwrap().pop().unwrap().contains("\r\nVia: ")
    };
    assert!(is_inspected(&lab, pinned), "the list alone does nothing");
    std::fs::write(lab.gate.policy(), exempt).unwrap();
    let reloaded = sekisho(&["reload"], &lab.data_dir());
    assert!(reloaded.status.success(), "{reloaded:?}");
    assert_eq!((is_inspected(&lab, pinned), is_inspected(&lab, other)), (false, true));
    let records = lab.records();
    let inside = records.iter().filter(|record| record["scheme"] == "https" && record["event"] == "open");
    let hosts: Vec<_> = inside.map(|record| record["host"].as_str().unwrap()).collect();
    assert_eq!(hosts, [pinned, other], "the first before the rule");
}

#[test]
fn an_origin_that_asks_for_a_client_certificate_is_proposed_and_passes_once_a_rule_names_it() {
    let origins = BadOrigins::new();
    let origin = origins.start(Wrong::WouldLikeCertificate);
    let port = origin.address.port();
    let keys = format!("hosts = [\"*\"]\nports = [443, {port}]");
    let inspection = format!("system_roots = false\nca_files = [\"{}\"]\n", origins.root_file().display());
    let names = NameServer::pointing_to(origin.address.ip());
    let mut lab = Lab::of(tempfile::tempdir().unwrap(), names, &keys, &inspection, true);
    let url = format!("https://{NAME}:{port}/");
    let proposal = |lab: &Lab| {
        let output = sekisho(&["ca", "reach", "--format", "json"], &lab.data_dir());
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    assert!(proposal(&lab)["proposal"].is_null());
    // Asking again and again changes nothing: a proposal is no rule.
    for times in 1..=2 {
        let text = String::from_utf8(lab.curl(&["-w", "%{http_code}"], &url).stdout).unwrap();
        assert!(text.ends_with("403") && text.contains("Reason: client_cert_required"), "{text}");
        assert!(text.contains("inspect = false lets it through, not looked into"), "{text}");
        assert!(text.contains("this rule, above the one that inspects") && !text.contains("malformed"), "{text}");
        assert!(text.contains(&format!("ports    = [{port}]\ninspect  = false\nverdict  = \"allow\"\n")), "{text}");
        let told = proposal(&lab);
        let asking = &told["asking"][0];
        assert_eq!((&asking["host"], &asking["port"]), (&NAME.into(), &port.into()), "{told:#}");
        assert_eq!((&asking["times"], &asking["clients"]), (&times.into(), &1.into()), "{told:#}");
    }
    let told = proposal(&lab);
    let rule =
        told["proposal"].as_str().unwrap().replace("inspect  = false", "inspect  = false\nprivate = [\"127.0.0.0/8\"]");
    let policy = std::fs::read_to_string(lab.gate.policy()).unwrap();
    std::fs::write(lab.gate.policy(), format!("{rule}\n{policy}")).unwrap();
    let reloaded = sekisho(&["reload"], &lab.data_dir());
    assert!(reloaded.status.success(), "{reloaded:?}");
    let root = origins.root_file();
    let passed = lab.curl(&["--cacert", root.to_str().unwrap()], &url);
    assert_eq!(String::from_utf8_lossy(&passed.stdout), "ok", "{passed:?}");
    // What no rule names is inspected still.
    let other = lab.curl(&[], &url.replace(NAME, "other.test"));
    assert!(String::from_utf8_lossy(&other.stdout).contains("Reason: client_cert_required"), "{other:?}");
    let records = lab.records();
    let denied: Vec<_> = records.iter().filter(|record| record["closed_how"] == "client_cert_required").collect();
    assert_eq!(denied.len(), 3, "{records:#?}");
    assert!(denied[0]["detail"].as_str().unwrap().contains("with inspect = false"), "{}", denied[0]);
    let rule = format!("{NAME}:{port} as it is");
    let tunnels = records.iter().filter(|record| record["rule"] == *rule && record["event"] == "open");
    assert_eq!(tunnels.count(), 1, "{records:#?}");
}

/// Whether `explain` says that the gate looks into tunnels, and that it denies this one for want of an authority.
fn explained(lab: &Lab, host: &str) -> (bool, bool) {
    let (policy, url) = (lab.gate.policy(), format!("https://{host}/"));
    let policy = policy.to_str().unwrap();
    let asked = ["explain", "--format", "json", "--client", "127.0.0.1", "--policy", policy, "GET", &url, "--data-dir"];
    let output = sekisho(&asked, &lab.data_dir());
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let is_denied = told["note"].as_str().is_some_and(|note| note.contains("has no authority in use"));
    (told["inspects"].as_bool().unwrap(), is_denied)
}

#[test]
fn without_an_authority_or_with_one_that_cannot_be_used_what_inspects_is_denied_and_the_rest_works() {
    let listener = listener_of_its_own(443);
    let address = listener.local_addr().unwrap();
    let keys = "hosts = [\"site.test\"]\n[[rule]]\nname = \"as it is\"\nhosts = [\"other.test\"]\n\
                private = [\"127.0.0.0/8\"]\nverdict = \"allow\"";
    let answers = |gate: &Gate, host: &str| {
        let mut client = gate.client();
        client.send(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"));
        let answer = client.head().unwrap();
        answer.status()
    };
    let files = tempfile::tempdir().unwrap();
    let mut lab = Lab::of(files, NameServer::pointing_to(address.ip()), keys, "", false);
    assert_eq!((answers(&lab.gate, "site.test"), answers(&lab.gate, "other.test")), (403, 200));
    assert_eq!(explained(&lab, "site.test"), (false, true));
    assert_eq!(explained(&lab, "other.test"), (false, false), "nothing is to be looked into there");
    assert!(lab.records().iter().any(|record| record["reason"] == "inspection_unavailable"));
    // A key that others may read is not used.
    let files = tempfile::tempdir().unwrap();
    let made = sekisho(&["ca", "init"], &files.path().join("data"));
    assert!(made.status.success(), "{made:?}");
    let key = files.path().join("data/ca/current/ca.key");
    std::fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let lab = Lab::of(files, NameServer::pointing_to(address.ip()), keys, "", false);
    assert_eq!((answers(&lab.gate, "site.test"), answers(&lab.gate, "other.test")), (403, 200));
    let status = sekisho(&["status"], &lab.data_dir());
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.contains("rules that inspect deny") && text.contains("ca.key"), "{text}");
}

#[test]
fn fields_that_a_rule_sets_take_the_place_of_the_clients() {
    let mut lab = Lab::new("set_headers = [\"Restrict-Access-To-Tenants: contoso.example\", \"X-Other: 1\"]");
    let evades = ["-H", "restrict-access-to-tenants: evil.example", "-H", "X-Kept: 2"];
    let answered = lab.curl(&evades, "https://site.test/");
    assert!(answered.status.success(), "{answered:?}");
    let asked = lab.asked.lock().unwrap().concat();
    assert!(asked.contains("\r\nX-Kept: 2\r\n") && !asked.contains("evil"), "{asked}");
    assert!(asked.ends_with("\r\nRestrict-Access-To-Tenants: contoso.example\r\nX-Other: 1\r\n\r\n"), "{asked}");
    assert_eq!(
        lab.records().iter().filter(|record| record["scheme"] == "https" && record["event"] == "open").count(),
        1
    );
}

#[test]
fn the_gate_tells_which_clients_lack_the_authority_and_which_host_is_pinned() {
    let mut lab = Lab::new("");
    let distrusts = ["--cacert", "/etc/ssl/certs/ca-certificates.crt"];
    let from = |address: &'static str| ["--interface", address];
    // The one takes the certificate of one host, before it refuses another's and after it; the other refuses all.
    assert!(lab.curl(&from("127.0.4.1"), "https://site.test/").status.success());
    assert!(!lab.curl(&[from("127.0.4.1"), distrusts].concat(), "https://pinned.site.test/").status.success());
    assert!(lab.curl(&from("127.0.4.1"), "https://site.test/").status.success());
    assert!(!lab.curl(&[from("127.0.4.2"), distrusts].concat(), "https://site.test/").status.success());
    assert_eq!(explained(&lab, "site.test"), (true, false));
    let reach = |lab: &Lab| {
        let output = sekisho(&["ca", "reach", "--format", "json"], &lab.data_dir());
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    let status = sekisho(&["status"], &lab.data_dir());
    assert!(String::from_utf8_lossy(&status.stdout).contains("(729 days)"), "{status:?}");
    let told = reach(&lab);
    assert_eq!((&told["trusting"], &told["lacking"]), (&1.into(), &1.into()), "{told:#}");
    let clients: Vec<_> =
        told["clients"].as_array().unwrap().iter().map(|of| (&of["client"], &of["authority"])).collect();
    assert_eq!(clients, [(&"127.0.4.1".into(), &"trusts".into()), (&"127.0.4.2".into(), &"lacks".into())]);
    let pinned = told["pinned"].as_array().unwrap();
    assert_eq!((pinned.len(), &pinned[0]["host"]), (1, &"pinned.site.test".into()), "{told:#}");
    assert_eq!((&pinned[0]["clients"], &pinned[0]["such_as"][0]), (&1.into(), &"127.0.4.1".into()));
    let text = String::from_utf8(sekisho(&["ca", "reach"], &lab.data_dir()).stdout).unwrap();
    assert!(text.ends_with(told["proposal"].as_str().unwrap()) && text.contains("# A proposal"), "{text}");
    // That is kept over a restart.
    assert_eq!(lab.gate.end("-TERM"), Some(0));
    let policy = std::fs::read_to_string(lab.gate.policy()).unwrap();
    let start = Start { policy: &policy, config: "", data_dir: Some(lab.data_dir()), ..Start::default() };
    let again = start.gate();
    drop(std::mem::replace(&mut lab.gate, again));
    assert_eq!(reach(&lab)["pinned"], told["pinned"]);
}

#[test]
fn a_rotated_authority_vouches_after_a_reload_and_the_one_before_no_longer() {
    let mut lab = Lab::new("");
    let made = |arguments: &[&str]| {
        let output = sekisho(arguments, &lab.data_dir());
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let (next, before) = (lab.files.path().join("next.pem"), lab.files.path().join("before.pem"));
    std::fs::write(&before, made(&["ca", "export"])).unwrap();
    // It takes what the one before vouches for, and does not come again. The gate has begun its work by then.
    assert!(lab.curl(&["--interface", "127.0.4.9"], "https://site.test/").status.success());
    made(&["ca", "rotate"]);
    std::fs::write(&next, made(&["ca", "export", "--which", "next"])).unwrap();
    let trusting = |file: &Path| lab.curl(&["--cacert", file.to_str().unwrap()], "https://site.test/").status.success();
    assert_eq!((trusting(&before), trusting(&next)), (true, false), "while it is prepared");
    made(&["ca", "rotate", "--finish"]);
    made(&["reload"]);
    assert_eq!((trusting(&before), trusting(&next)), (false, true));
    let told = String::from_utf8(made(&["ca", "reach"])).unwrap();
    assert!(told.contains("127.0.0.1   trusts") && told.contains("127.0.4.9   unknown"), "{told}");
    let key = std::fs::read_to_string(lab.data_dir().join("ca/current/ca.key")).unwrap();
    let records = lab.records();
    assert!(records.iter().any(|record| record["closed_how"] == "tls_refused"));
    let told = of_authority(&records);
    let acts: Vec<_> = told.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(acts, ["authority_in_force", "authority_prepared", "authority_finished", "authority_in_force"]);
    let by = format!(", by user {}", rustix::process::getuid().as_raw());
    assert!(told[1].1.ends_with(&by) && told[2].1.ends_with(&by), "{told:?}");
    let print = |detail: &str| detail.split("SHA-256 ").nth(1).unwrap()[..95].to_owned();
    let (first, second) = (print(&told[0].1), print(&told[1].1));
    assert!(print(&told[2].1) == second && told[3].1.contains(&format!("SHA-256 {second}; before it")), "{told:?}");
    assert!(told[3].1.ends_with(&first) && first != second, "{told:?}");
    let secret = key.lines().nth(1).unwrap();
    assert!(records.iter().all(|record| !record.to_string().contains(secret)));
}

#[test]
fn who_takes_the_next_authority_shows_before_it_vouches_and_nobody_is_broken_by_trying() {
    let mut lab = Lab::new("");
    let made = |lab: &Lab, arguments: &[&str]| {
        let output = sekisho(arguments, &lab.data_dir());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let trial = "https://sekisho-next-authority.invalid/";
    let (next, before) = (lab.files.path().join("next.pem"), lab.files.path().join("before.pem"));
    std::fs::write(&before, made(&lab, &["ca", "export"])).unwrap();
    let says = |lab: &Lab, client: &str, trusted: &Path, url: &str| {
        let trusted = ["--cacert", trusted.to_str().unwrap(), "--interface", client, "-o", "/dev/null"];
        let output = lab.curl(&[&trusted[..], &["-w", "%{http_code}"]].concat(), url);
        String::from_utf8(output.stdout).unwrap()
    };
    // Before there is a next one the name is one that no rule names.
    assert_eq!(says(&lab, "127.0.4.1", &before, trial), "000");
    let denied = |lab: &Lab| lab.curl(&["-i", "-H", "Accept: text/html"], "http://other.test/");
    let page = String::from_utf8(denied(&lab).stdout).unwrap();
    assert!(page.contains("no_rule") && !page.contains("img"), "{page}");
    assert_eq!(says(&lab, "127.0.4.3", &before, "https://site.test/"), "200");
    let told = made(&lab, &["ca", "rotate"]);
    assert!(told.contains("0 clients took it, 0 clients refused it, 1 client did not try"), "{told}");
    std::fs::write(&next, made(&lab, &["ca", "export", "--which", "next"])).unwrap();
    assert_eq!(says(&lab, "127.0.4.1", &next, trial), "204");
    assert_eq!(says(&lab, "127.0.4.2", &before, trial), "000");
    // It is shown nowhere else.
    assert_eq!(says(&lab, "127.0.4.2", &before, "https://site.test/"), "200");
    assert_eq!(says(&lab, "127.0.4.1", &next, "https://site.test/"), "000");
    let page = String::from_utf8(denied(&lab).stdout).unwrap();
    assert!(page.contains(&format!("img-src {}; ", trial.trim_end_matches('/'))), "{page}");
    assert!(page.contains(&format!("<img src=\"{trial}\" alt=\"\"")), "{page}");
    let reach =
        |lab: &Lab| -> Value { serde_json::from_str(&made(lab, &["ca", "reach", "--format", "json"])).unwrap() };
    let of = |told: &Value, member: &str| -> Vec<(String, String)> {
        let text = |of: &Value, member: &str| of[member].as_str().unwrap_or_default().to_owned();
        told["clients"].as_array().unwrap().iter().map(|it| (text(it, "client"), text(it, member))).collect()
    };
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
    let told = reach(&lab);
    let expected = [("127.0.4.1", "trusts"), ("127.0.4.2", "lacks"), ("127.0.4.3", "unknown")];
    assert_eq!(of(&told, "next"), pairs(&expected), "{told:#}");
    let expected = [("127.0.4.1", "lacks"), ("127.0.4.2", "trusts"), ("127.0.4.3", "trusts")];
    assert_eq!(of(&told, "authority"), pairs(&expected), "{told:#}");
    assert!(made(&lab, &["ca", "reach"]).contains(&format!("curl -sSI {trial}")));
    // That is kept over a restart, in which the policy is the same.
    assert_eq!(lab.gate.end("-TERM"), Some(0));
    let policy = std::fs::read_to_string(lab.gate.policy()).unwrap();
    let start = Start { policy: &policy, config: "", data_dir: Some(lab.data_dir()), ..Start::default() };
    let again = start.gate();
    drop(std::mem::replace(&mut lab.gate, again));
    assert_eq!(of(&reach(&lab), "next"), of(&told, "next"));
    let finished = made(&lab, &["ca", "rotate", "--finish"]);
    assert!(finished.contains("1 client had refused it and 1 client had not tried it"), "{finished}");
    made(&lab, &["reload"]);
    // What they made of it then is what is known of it now.
    let now = reach(&lab);
    assert_eq!(of(&now, "authority"), of(&told, "next"), "{now:#}");
    assert_eq!(now["next"], Value::Null);
    assert_eq!(says(&lab, "127.0.4.1", &next, trial), "000", "there is none to try");
    let records = lab.records();
    let tried: Vec<_> = records.iter().filter(|record| record["reason"] == "next_authority").collect();
    let client = |record: &&Value| record["client"].as_str().unwrap().to_owned();
    assert_eq!(tried.iter().map(client).collect::<Vec<_>>(), ["127.0.4.1", "127.0.4.2"], "{tried:#?}");
    let closed =
        |record: &&Value| records.iter().find(|it| it["id"] == record["id"] && it["event"] == "close").unwrap();
    let ends: Vec<_> = tried.iter().map(|it| closed(it)["closed_how"].as_str().unwrap()).collect();
    assert_eq!(ends, ["complete", "tls_refused"]);
    assert!(tried.iter().all(|record| record["verdict"] == Value::Null && closed(record)["dialled"] == Value::Null));
}

/// What is on record of authorities: what was done, and of which.
fn of_authority(records: &[Value]) -> Vec<(String, String)> {
    let text = |record: &Value, member: &str| record[member].as_str().unwrap_or_default().to_owned();
    let told = records.iter().map(|record| (text(record, "action"), text(record, "detail")));
    told.filter(|(action, _)| action.starts_with("authority_")).collect()
}

#[test]
fn what_was_done_to_the_authority_while_no_gate_ran_is_on_record_from_its_next_start_on_and_once() {
    let data = tempfile::tempdir().unwrap();
    let mut seen = 0;
    // What a run of the gate puts on record.
    let mut run = || {
        let mut gate = Start { data_dir: Some(data.path().to_owned()), ..Start::default() }.gate();
        assert_eq!(gate.end("-TERM"), Some(0));
        let told = of_authority(&crate::gate::records(data.path()));
        let new: Vec<_> = told[seen..].iter().map(|(action, _)| action.clone()).collect();
        seen = told.len();
        new
    };
    let done = |arguments: &[&str]| {
        let output = sekisho(arguments, data.path());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("no gate answers here"), "{output:?}");
    };
    let none: [&str; 0] = [];
    assert_eq!(run(), none);
    done(&["ca", "init"]);
    assert_eq!(run(), ["authority_in_force"]);
    assert_eq!(run(), none);
    done(&["ca", "rotate"]);
    assert_eq!(run(), ["authority_prepared"]);
    done(&["ca", "rotate", "--finish"]);
    assert_eq!((run(), run()), (vec!["authority_in_force".to_owned()], Vec::new()));
    let key = data.path().join("ca/current/ca.key");
    let mode = |mode| std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(0o644);
    assert_eq!((run(), run()), (vec!["authority_out_of_force".to_owned()], Vec::new()));
    mode(0o600);
    assert_eq!((run(), run()), (vec!["authority_in_force".to_owned()], Vec::new()));
}

#[test]
fn an_inspected_tunnel_that_lies_idle_when_the_gate_ends_is_closed_on_record() {
    let mut lab = Lab::new("");
    let authority = sekisho(&["ca", "export", "--encoding", "der"], &lab.data_dir()).stdout;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority)).unwrap();
    let config = ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = TcpStream::connect(lab.gate.address).unwrap();
    tcp.write_all(b"CONNECT site.test:443 HTTP/1.1\r\nHost: site.test:443\r\n\r\n").unwrap();
    let mut established = [0; 39];
    tcp.read_exact(&mut established).unwrap();
    assert_eq!(&established, b"HTTP/1.1 200 Connection established\r\n\r\n");
    let connection = ClientConnection::new(Arc::new(config), "site.test".try_into().unwrap()).unwrap();
    let mut client = StreamOwned::new(connection, tcp);
    client.write_all(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").unwrap();
    let mut answer = [0; 17];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK\r\n");
    let records = lab.records();
    let open = records.iter().find(|record| record["event"] == "open" && record["method"] == "CONNECT").unwrap();
    let close = records.iter().find(|record| record["event"] == "close" && record["id"] == open["id"]).unwrap();
    assert_eq!((&close["closed_how"], &close["closed_by"]), (&"gate_stopped".into(), &"gate".into()), "{close}");
}

/// A 407 within a tunnel would be the origin's word: no browser answers it, and a client that does shows its password.
#[test]
fn nobody_is_asked_to_log_in_within_a_tunnel() {
    let (files, address) = (tempfile::tempdir().unwrap(), listener_of_its_own(443).local_addr().unwrap());
    let users = files.path().join("users");
    std::fs::write(&users, "tanaka:$2y$05$ufc/KLlbsqjXFButKllicuv5WcmrNB/xxhaHz3uaGCydL8JmKydJa\n").unwrap();
    std::fs::set_permissions(&users, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let authentication =
        format!("[authentication]\nrealm = \"Example Ltd\"\nschemes = [\"basic\"]\nusers = \"{}\"\n", users.display());
    let keys = "hosts = [\"site.test\"]\npaths = [\"/a/**\"]\n[[rule]]\nname = \"users\"\nhosts = [\"site.test\"]\n\
                clients = [\"people\"]\ninspect = true\nverdict = \"allow\"\n[clients.people]\nusers = [\"tanaka\"]";
    let mut lab = Lab::of(files, NameServer::pointing_to(address.ip()), keys, &authentication, true);
    let refused = lab.curl(&["-w", "%{http_code}"], "https://site.test/b");
    let text = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(text.ends_with("403") && !text.contains("log_in"), "{text}");
    let records = lab.records();
    let inner = records.iter().find(|record| record["scheme"] == "https").unwrap();
    assert_eq!((&inner["path"], &inner["status"]), (&"/b".into(), &403.into()), "{inner}");
}

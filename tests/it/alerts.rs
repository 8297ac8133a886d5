//! Alerts of a running gate, at receivers as there are: files, syslog over TLS, a webhook that is down at first, and a server of mail.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::gate::{Gate, Notices, Start, records, status_of};
use crate::list_server::ListServer;
use crate::origin::{Origin, listener_of_its_own};
use crate::peer::Peer;
use crate::tunnel_lab::connect;

/// Takes mail within STARTTLS from who logs in, and prints each as its own library reads it.
const MAIL_SERVER: &str = r#"
import asyncio, email, email.policy, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult

class Handler:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        told = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "subject": str(mail["subject"]),
                "body": mail.get_content(),
                "tls": session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None, "defects": [str(d) for d in mail.defects],
                "raw": envelope.content.decode("ascii")}
        print(json.dumps(told), flush=True)
        return "250 2.0.0 queued as KANSO"

def log_in(server, session, envelope, mechanism, data):
    is_right = (data.login, data.password) == (b"gate", b"geheim")
    return AuthResult(success=is_right, handled=is_right)

async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    if sys.argv[3] == "starttls":
        smtp = lambda: SMTP(Handler(), hostname="mail.example", tls_context=context, require_starttls=True,
                            authenticator=log_in, auth_required=True)
        within = None
    else:
        smtp = lambda: SMTP(Handler(), hostname="mail.example", auth_require_tls=False, authenticator=log_in,
                            auth_required=True, auth_exclude_mechanism=["PLAIN"])
        within = context
    server = await asyncio.get_running_loop().create_server(smtp, "127.0.0.1", 0, ssl=within)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"#;

struct MailServer {
    child: Child,
    port: u16,
    mails: Arc<Mutex<Vec<Value>>>,
}

impl MailServer {
    /// It speaks TLS after `starttls`, or from the first byte, and then offers LOGIN alone.
    fn start(certificates: &Path, tls: &str) -> Self {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-Ic", MAIL_SERVER]).args(["leaf.pem", "leaf.key"].map(|name| certificates.join(name)));
        command.arg(tls);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let told = mails.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                told.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, port, mails }
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate for 127.0.0.1 with its key, and who vouches for it.
pub(crate) fn certificates(directory: &Path) -> ServerConfig {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
    fs::write(directory.join("leaf.pem"), leaf.pem()).unwrap();
    fs::write(directory.join("leaf.key"), key.serialize_pem()).unwrap();
    ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(leaf)], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap()
}

/// A server of syslog over TLS: each connection brings one message with its length in front.
fn log_server(config: ServerConfig) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (log, config) = (Arc::new(Mutex::new(Vec::new())), Arc::new(config));
    let written = log.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream.unwrap());
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            let (length, line) = text.split_once(' ').unwrap();
            assert_eq!(length.parse(), Ok(line.len()));
            written.lock().unwrap().push(line.to_owned());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (address, log)
}

pub(crate) fn alerts<'s>(status: &'s Value, name: &str) -> &'s Value {
    status["alerts"].as_array().unwrap().iter().find(|receiver| receiver["name"] == name).unwrap()
}

pub(crate) fn until(data_dir: &Path, is_so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let status = status_of(data_dir);
        if is_so(&status) {
            return status;
        }
        std::thread::yield_now();
    }
}

fn sekisho(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).args(arguments).output().unwrap()
}

pub(crate) fn gate(origin: &Origin, config: &str, data_dir: &Path) -> Gate {
    let policy = origin.rule("protocol = \"any\"");
    Start { policy: &policy, config, data_dir: Some(data_dir.to_owned()), ..Start::default() }.gate()
}

/// A tunnel in which another protocol is spoken, to an address and a port that nobody knows: it is found by that.
pub(crate) fn find_something(gate: &Gate, origin: &Origin) {
    let (mut client, answer) = connect(gate, &origin.address.to_string());
    assert_eq!(answer.status(), 200, "{}", answer.head);
    client.send("SSH-2.0-imitation\r\n");
    client.take(19);
}

#[test]
fn a_finding_comes_to_each_receiver_once_whatever_was_down_and_whoever_starts_again() {
    let (origin, directory) = (Origin::echo(), tempfile::tempdir().unwrap());
    let (data_dir, share) = (directory.path().join("data"), directory.path().join("share"));
    fs::create_dir(&share).unwrap();
    let (log_address, log) = log_server(certificates(directory.path()));
    let mail = MailServer::start(directory.path(), "starttls");
    let hook = ListServer::start();
    for (name, secret) in [("password", "geheim\n"), ("secret", "signs what is posted\n")] {
        fs::write(directory.path().join(name), secret).unwrap();
        fs::set_permissions(directory.path().join(name), PermissionsExt::from_mode(0o600)).unwrap();
    }
    let at = |name: &str| directory.path().join(name);
    let config = format!(
        "[detect]\ndelay_seconds = 1\n\
         [alerts.share]\ndirectory = {share:?}\nseverity = \"low\"\nkinds = [\"unknown_tunnel\"]\n\
         template = \"{{severity}} {{kind}} {{client}} {{target}} {{finding_id}}\"\n\
         [alerts.siem]\nsyslog = \"{log_address}\"\nprotocol = \"tls\"\nca_file = {:?}\nformat = \"cef\"\n\
         severity = \"low\"\nkinds = [\"unknown_tunnel\"]\n\
         [alerts.hook]\nurl = \"{}?key=hush\"\nca_file = {:?}\nsecret_file = {:?}\n\
         severity = \"low\"\nkinds = [\"unknown_tunnel\"]\n\
         [alerts.mail]\nmail = \"127.0.0.1:{}\"\nca_file = {:?}\nfrom = \"gate@example.com\"\n\
         to = [\"soc@example.com\", \"it@example.com\"]\nuser = \"gate\"\npassword_file = {:?}\nseverity = \"low\"\n\
         subject = \"[関所] {{severity}}: {{client}} から {{target}} への通信が見つかりました\"\n",
        at("ca.pem"),
        hook.url("/hush"),
        hook.ca(),
        at("secret"),
        mail.port,
        at("ca.pem"),
        at("password"),
    );
    let mut first = gate(&origin, &config, &data_dir);
    find_something(&first, &origin);
    let taken = |status: &Value, name: &str| alerts(status, name)["taken"].as_u64().unwrap();
    let status = until(&data_dir, |status| {
        ["share", "siem", "mail"].iter().all(|name| taken(status, name) >= 1)
            && alerts(status, "hook")["error"] != Value::Null
    });
    assert_eq!(alerts(&status, "hook")["error"], "it answered 404 Not Found");
    assert!(alerts(&status, "hook")["waiting"] == 1 && !status.to_string().contains("hush"), "{status:#}");
    assert_eq!(first.end("-TERM"), Some(0));

    // What waited outlasts the end of the gate, and what was told is not told again.
    hook.put_answer("/hush?key=hush", "HTTP/1.1 204 No Content\r\n\r\n");
    let mut second = gate(&origin, &config, &data_dir);
    until(&data_dir, |status| taken(status, "hook") == 1);
    find_something(&second, &origin);
    // Something that is on record behind all that could be found before.
    let path = data_dir.to_str().unwrap();
    let tried = sekisho(&["alert", "test", "--data-dir", path]);
    let said = String::from_utf8(tried.stdout).unwrap();
    assert!(tried.status.success(), "{said} {}", String::from_utf8_lossy(&tried.stderr));
    for answer in [
        "hook (https://127.0.0.1:".to_owned(),
        "it answered 204".to_owned(),
        format!("mail (mail soc@example.com, it@example.com by 127.0.0.1:{}): 250 2.0.0 queued as KANSO", mail.port),
        "it is written there".to_owned(),
        format!("siem (syslog tls {log_address}): it was taken, and the connection ended behind it"),
    ] {
        assert!(said.contains(&answer), "{answer}: {said}");
    }
    assert_eq!(second.end("-TERM"), Some(0));

    let records = records(&data_dir);
    let finding = records.iter().find(|record| record["finding"] == "unknown_tunnel").unwrap();
    let id = finding["finding_id"].as_str().unwrap();
    let (severity, target) = (finding["severity"].as_str().unwrap(), finding["target"].as_str().unwrap());
    let about = format!("{severity} unknown_tunnel 127.0.0.1 {target} {id}\n");
    let mut files: Vec<_> = fs::read_dir(&share).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let files: Vec<_> = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_eq!((files.len(), &files[0]), (2, &about), "an alert and a test: {files:#?}");
    let log = log.lock().unwrap();
    assert_eq!(log.iter().filter(|line| line.contains(&format!("cs2={id} "))).count(), 1, "{log:#?}");
    assert!(log[0].contains(" sekisho ") && log[0].contains("unknown_tunnel - CEF:0|Sekisho|Sekisho|"), "{log:#?}");
    assert!(log[1].contains("|test|test|3|") && log[1].contains("msg=TEST: "), "{log:#?}");
    let posted: Vec<Value> = hook.posted().iter().map(|body| serde_json::from_str(body).unwrap()).collect();
    let [found, test] = &posted[..] else { panic!("{posted:#?}") };
    assert_eq!((&found["finding_id"], &found["japanese"]), (&finding["finding_id"], &finding["japanese"]));
    assert_eq!(test["kind"], "test");
    let mails = mail.mails.lock().unwrap();
    let about_it: Vec<_> = mails.iter().filter(|mail| mail["body"].as_str().unwrap().contains(id)).collect();
    let [found] = &about_it[..] else { panic!("{mails:#?}") };
    assert_eq!(found["subject"], format!("[関所] {severity}: 127.0.0.1 から {target} への通信が見つかりました"));
    assert_eq!((&found["tls"], &found["to"][1]), (&true.into(), &"it@example.com".into()));
    assert!(found["defects"].as_array().unwrap().is_empty(), "{found:#}");
    let body = found["body"].as_str().unwrap();
    assert!(body.contains(finding["japanese"].as_str().unwrap()), "{body}");
    // The webhook that was down is told to the others, by a record of the gate's health.
    assert!(mails.iter().any(|mail| mail["body"].as_str().unwrap().contains("alerts: waiting: hook: ")), "{mails:#?}");
    let own = records.iter().filter(|record| record["purpose"] == "alert");
    assert!(
        own.clone().any(|record| record["address"] == log_address.to_string()),
        "the gate's own connections are on record"
    );
    let all = records.iter().map(ToString::to_string).collect::<String>();
    assert!(!all.contains("hush") && !all.contains("geheim"), "no secret is on record");
}

/// The finding of a tunnel from this client to this port, once it is on record.
fn found(data_dir: &Path, client: &str, port: u16) -> Value {
    loop {
        let is_it = |record: &Value| {
            record["finding"] == "unknown_tunnel" && record["port"] == port && record["client"] == client
        };
        if let Some(found) = records(data_dir).into_iter().find(is_it) {
            return found;
        }
        std::thread::yield_now();
    }
}

/// The same tunnel of another client.
fn find_something_of(client: &str, gate: &Gate, origin: &Origin) {
    let mut peer = Peer::connect_from(client.parse().unwrap(), gate.address);
    let target = origin.address;
    peer.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    assert_eq!(peer.head().unwrap().status(), 200);
    peer.send("SSH-2.0-imitation\r\n");
    peer.take(19);
}

#[test]
fn a_finding_is_sent_and_once_its_target_is_held_to_be_good_no_other_on_it_is() {
    let [known, other] = [(); 2].map(|()| Origin::echo_on(listener_of_its_own(0)));
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let hook = ListServer::start();
    hook.put_answer("/hook", "HTTP/1.1 204 No Content\r\n\r\n");
    let config = format!(
        "[detect]\ndelay_seconds = 1\n[alerts.hook]\nurl = \"{}\"\nca_file = {:?}\nseverity = \"low\"\n\
         kinds = [\"unknown_tunnel\"]\n",
        hook.url("/hook"),
        hook.ca(),
    );
    let policy =
        known.rule("protocol = \"any\"") + &other.rule("protocol = \"any\"").replace("\"origin\"", "\"other\"");
    let start =
        || Start { policy: &policy, config: &config, data_dir: Some(data_dir.clone()), ..Start::default() }.gate();
    let taken = |many: u64| until(&data_dir, |status| alerts(status, "hook")["taken"] == many);
    let mut gate = start();
    find_something(&gate, &known);
    let first = found(&data_dir, "127.0.0.1", known.address.port());
    taken(1);
    let target = known.address.to_string();
    let mark =
        ["triage", "known-good", &target, "--why", "a test of the network", "--data-dir", data_dir.to_str().unwrap()];
    let marked = sekisho(&mark);
    assert!(marked.status.success(), "{}", String::from_utf8_lossy(&marked.stderr));
    // A moment behind, of another client: found all the same, and sent to nobody, for it is known to be good.
    find_something_of("127.0.0.2", &gate, &known);
    let quiet = found(&data_dir, "127.0.0.2", known.address.port());
    // A moment behind that, to another address and port: nobody has said anything of it.
    find_something(&gate, &other);
    let second = found(&data_dir, "127.0.0.1", other.address.port());
    taken(2);
    let newest = records(&data_dir).last().unwrap()["seq"].as_u64();
    until(&data_dir, |status| status["index"]["record"].as_u64() >= newest);
    // Pages and tables say the same of a mark that is of one port.
    let told = sekisho(&["review", "findings", "--format", "json", "--data-dir", data_dir.to_str().unwrap()]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let rows = told["tables"]["findings"]["rows"].as_array().unwrap();
    let mark = |of: &Value| rows.iter().find(|row| row["finding"] == of["finding_id"]).unwrap()["mark"].clone();
    for (of, is_good) in [(&first, true), (&quiet, true), (&second, false)] {
        let said = mark(of);
        assert_eq!(said.as_str().is_some_and(|said| said.starts_with("known good until ")), is_good, "{said}: {of:#}");
    }
    assert_eq!(gate.end("-TERM"), Some(0));
    // So it is behind a restart, for one that comes then.
    let mut gate = start();
    find_something_of("127.0.0.3", &gate, &known);
    let later = found(&data_dir, "127.0.0.3", known.address.port());
    find_something_of("127.0.0.3", &gate, &other);
    let third = found(&data_dir, "127.0.0.3", other.address.port());
    taken(1);
    assert_eq!(gate.end("-TERM"), Some(0));
    let order = [&first, &quiet, &second, &later, &third].map(|found| found["seq"].as_u64().unwrap());
    assert!(order.is_sorted(), "what is not sent stands on record before what is: {order:?}");
    let posted: Vec<Value> = hook.posted().iter().map(|body| serde_json::from_str(body).unwrap()).collect();
    let posted: Vec<_> = posted.iter().map(|alert| &alert["finding_id"]).collect();
    assert_eq!(posted, [&first["finding_id"], &second["finding_id"], &third["finding_id"]]);
}

#[test]
fn a_finding_waits_for_the_marks_of_an_index_that_cannot_be_read_and_that_is_said() {
    let [known, other] = [(); 2].map(|()| Origin::echo_on(listener_of_its_own(0)));
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let share = directory.path().join("share");
    fs::create_dir(&share).unwrap();
    let (health, table) = (directory.path().join("health"), directory.path().join("devices.csv"));
    fs::create_dir(&health).unwrap();
    fs::write(&table, "name,address\n").unwrap();
    let config = format!(
        "[detect]\ndelay_seconds = 1\n[devices]\ntable = {table:?}\n\
         [alerts.share]\ndirectory = {share:?}\ntemplate = \"{{finding_id}}\"\nseverity = \"low\"\n\
         kinds = [\"unknown_tunnel\"]\n\
         [alerts.health]\ndirectory = {health:?}\nseverity = \"low\"\nkinds = [\"health\"]\n"
    );
    let policy =
        known.rule("protocol = \"any\"") + &other.rule("protocol = \"any\"").replace("\"origin\"", "\"other\"");
    let start = |config: &str, before: &str| {
        Start { policy: &policy, config, data_dir: Some(data_dir.clone()), before, ..Start::default() }.gate()
    };
    let mut before = start("", "");
    let target = known.address.to_string();
    let mark =
        ["triage", "known-good", &target, "--why", "a test of the network", "--data-dir", data_dir.to_str().unwrap()];
    assert!(sekisho(&mark).status.success());
    assert_eq!(before.end("-TERM"), Some(0));
    // In its place stands what cannot be read, and is not to be put away by a gate.
    let index = data_dir.join("index.db");
    for name in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(data_dir.join(name));
    }
    fs::create_dir(&index).unwrap();
    let notices = Notices::new();
    let mut gate = start(&config, &notices.before());
    find_something(&gate, &known);
    let quiet = found(&data_dir, "127.0.0.1", known.address.port());
    find_something(&gate, &other);
    let loud = found(&data_dir, "127.0.0.1", other.address.port());
    let said = notices.until("which cannot be read");
    assert!(said.contains("it is tried again"), "{said}");
    // What stands on record behind them does not wait.
    fs::write(&table, "name,address\npress 4,here\n").unwrap();
    until(&data_dir, |status| alerts(status, "health")["taken"].as_u64() >= Some(1));
    assert_eq!(alerts(&status_of(&data_dir), "share")["taken"], 0, "they wait");
    fs::remove_dir(&index).unwrap();
    until(&data_dir, |status| alerts(status, "share")["taken"] == 1);
    assert_eq!(gate.end("-TERM"), Some(0));
    assert!(quiet["seq"].as_u64() < loud["seq"].as_u64());
    let told: Vec<_> =
        fs::read_dir(&share).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    assert_eq!(told, [format!("{}\n", loud["finding_id"].as_str().unwrap())]);
}

#[test]
fn mail_goes_to_a_server_that_speaks_tls_from_the_first_byte_and_has_people_log_in_word_by_word() {
    let (origin, directory) = (Origin::echo(), tempfile::tempdir().unwrap());
    let data_dir = directory.path().join("data");
    let path = data_dir.to_str().unwrap();
    certificates(directory.path());
    let mail = MailServer::start(directory.path(), "tls");
    let config = |name: &str, password: &str| {
        let file = directory.path().join(name);
        fs::write(&file, password).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        format!(
            "[alerts.{name}]\nmail = \"127.0.0.1:{}\"\ntls = \"tls\"\nca_file = {:?}\nfrom = \"gate@example.com\"\n\
             to = [\"soc@example.com\"]\nuser = \"gate\"\npassword_file = {file:?}\nsubject = \"[関所] {{kind}}\"\n",
            mail.port,
            directory.path().join("ca.pem"),
        )
    };
    let config = config("right", "geheim\n") + &config("wrong", "falsch\n");
    let _gate = gate(&origin, &config, &data_dir);
    let tried = sekisho(&["alert", "test", "--data-dir", path, "--format", "json"]);
    let said: Value = serde_json::from_slice(&tried.stdout).unwrap();
    assert_eq!(said["tried"][0]["taken"], "250 2.0.0 queued as KANSO", "{said:#}");
    assert_eq!(said["tried"][1]["error"], "to AUTH it answered 535", "{said:#}");
    let mails = mail.mails.lock().unwrap();
    let [told] = &mails[..] else { panic!("{mails:#?}") };
    assert_eq!((&told["subject"], &told["tls"]), (&"[関所] test".into(), &true.into()), "{told:#}");
}

#[test]
fn a_test_says_who_does_not_take_it_and_why() {
    let (origin, directory) = (Origin::echo(), tempfile::tempdir().unwrap());
    let data_dir = directory.path().join("data");
    let path = data_dir.to_str().unwrap();
    let config = format!(
        "[alerts.gone]\ndirectory = {:?}\n[alerts.here]\ndirectory = {:?}\n",
        directory.path().join("not-mounted"),
        directory.path()
    );
    let mut told = gate(&origin, &config, &data_dir);
    let tried = sekisho(&["alert", "test", "--data-dir", path, "--format", "json"]);
    let said: Value = serde_json::from_slice(&tried.stdout).unwrap();
    assert_eq!(tried.status.code(), Some(1), "{said:#}");
    assert!(said["tried"][0]["error"].as_str().unwrap().contains("not-mounted/"), "{said:#}");
    assert_eq!(said["tried"][1]["taken"], "it is written there");
    assert!(String::from_utf8(tried.stderr).unwrap().contains("a test was not taken by: gone"));
    assert!(sekisho(&["alert", "test", "here", "--data-dir", path]).status.success());
    let wrong = sekisho(&["alert", "test", "her", "--data-dir", path]);
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("its config has no receiver `her` of alerts"));
    assert_eq!(told.end("-TERM"), Some(0));
    drop(told);
    let _none = gate(&origin, "", &data_dir);
    let none = sekisho(&["alert", "test", "--data-dir", path]);
    assert!(String::from_utf8(none.stderr).unwrap().contains("its config has no receivers of alerts"));
}

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use crate::alert::{Alert, Fold, Kept, Origin, Rules, What};
use crate::evidence::{FindingKind, Severity};
use crate::facts::Timestamp;
use crate::parse::Document;
use crate::policy::OwnEndpoints;
use crate::upstream::{ErrandLimits, Errands, OwnConnections, Resolvers};

use super::*;

const SECOND: u64 = 1_000_000;

fn alert(number: u64, severity: Severity) -> Alert {
    let what = What::Finding {
        id: format!("{number:016x}").into(),
        kind: FindingKind::Beacon,
        severity,
        client: "10.20.1.5".into(),
        target: "c2.example".into(),
        port: 443,
        english: format!("number {number}\n.\r\nQUIT").into(),
        japanese: "定期通信です。".into(),
    };
    let event = crate::alert::Event { seq: number, time: Timestamp(1_795_741_200 * SECOND), what };
    let rules = Rules { severity: Severity::Low, ..Rules::default() };
    Fold::new("x", rules, Kept::default()).take(&event, "", event.time).unwrap()
}

fn numbers(queue: &mut Queue) -> Vec<String> {
    let mut numbers = Vec::new();
    while let Some((number, alert)) = queue.front() {
        numbers.push(alert.id());
        queue.taken(number).unwrap();
    }
    numbers
}

#[test]
fn what_waits_outlasts_a_crash_in_its_order_and_comes_in_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts-a.queue");
    let mut queue = Queue::open(&path, 10).unwrap();
    for number in 1..=4 {
        queue.put(alert(number, Severity::Medium)).unwrap();
    }
    let (first, _) = queue.front().unwrap();
    queue.taken(first).unwrap();
    drop(queue);
    // A crash cut its last line off.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{{\"put\":[9,{{\"ori")).unwrap();
    let mut queue = Queue::open(&path, 10).unwrap();
    // The journal is read again from a place before.
    for number in 2..=5 {
        queue.put(alert(number, Severity::Medium)).unwrap();
    }
    assert_eq!(numbers(&mut queue), ["record-2", "record-3", "record-4", "record-5"]);
    drop(queue);
    let mut queue = Queue::open(&path, 10).unwrap();
    queue.put(alert(5, Severity::High)).unwrap();
    assert_eq!((queue.waiting(), queue.dropped()), (0, 0));
    // Another journal has other records of these numbers.
    queue.forget_records();
    queue.put(alert(5, Severity::High)).unwrap();
    assert_eq!((queue.waiting(), Queue::open(&path, 10).unwrap().waiting()), (1, 1));
    numbers(&mut queue);
    // What a clock has named comes twice only in a row.
    let quiet = |at| Alert { origin: Origin::Quiet(at), ..alert(1, Severity::Low) };
    for at in [9, 9, 4, 9] {
        queue.put(quiet(at)).unwrap();
    }
    assert_eq!(numbers(&mut queue), ["quiet-9", "quiet-4", "quiet-9"]);
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);
    for garbage in [&b"\xff\xfe\n{}\n[]\n"[..], b"{\"taken\":7}\n{\"begin\":{}}\n", b""] {
        fs::write(&path, garbage).unwrap();
        assert_eq!(Queue::open(&path, 10).unwrap().waiting(), 0);
    }
}

#[test]
fn of_more_than_may_wait_the_oldest_of_the_least_pressing_go_and_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts-a.queue");
    let mut queue = Queue::open(&path, 3).unwrap();
    use Severity::{High, Low, Medium};
    for (number, severity) in [(1, High), (2, Low), (3, Medium), (4, Low), (5, Medium), (6, High), (7, Low)] {
        queue.put(alert(number, severity)).unwrap();
        assert!(queue.waiting() <= 3);
    }
    assert_eq!(queue.dropped(), 4);
    let mut again = Queue::open(&path, 3).unwrap();
    assert_eq!((again.dropped(), again.waiting()), (4, 3));
    // Of two that were medium the older one went; the last low one was the least of all.
    assert_eq!(numbers(&mut again), ["record-1", "record-5", "record-6"]);
}

#[test]
fn the_file_of_a_queue_does_not_grow_with_what_was_sent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts-a.queue");
    let mut queue = Queue::open(&path, 5).unwrap();
    let mut largest = 0;
    for number in 1..=200 {
        queue.put(alert(number, Severity::Medium)).unwrap();
        let (front, _) = queue.front().unwrap();
        queue.taken(front).unwrap();
        largest = largest.max(fs::metadata(&path).unwrap().len());
    }
    assert!(largest < 8192, "{largest}");
    assert_eq!(Queue::open(&path, 5).unwrap().waiting(), 0);
}

/// Reads tables `[alerts.NAME]`.
fn read(text: &str) -> Result<Vec<AlertReceiver>, String> {
    let read = Document::read("c.toml", text, |root| Some(AlertReceiver::read_all(root)));
    read.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn one(body: &str) -> AlertReceiver {
    read(&format!("[alerts.a]\n{body}\n")).unwrap().remove(0)
}

fn with_notifier<T>(work: impl AsyncFnOnce(Notifier) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let own = OwnConnections::default();
        let resolvers = Resolvers::new(&[], None, Duration::from_secs(1), &own).unwrap();
        let endpoints = Arc::new(OwnEndpoints { listeners: Vec::new(), interfaces: Vec::new() });
        work(Notifier::new(Errands::new(resolvers, own, endpoints, ErrandLimits::default()), "osaka".into())).await
    })
}

fn send(receiver: &AlertReceiver, alert: &Alert) -> Result<String, String> {
    let now = Timestamp(1_795_741_260 * SECOND);
    with_notifier(async |notifier| notifier.send(receiver, alert, now).await.map_err(|error| error.to_string()))
}

/// A server's TLS for 127.0.0.1, and the file of who vouches for it.
fn tls(directory: &Path) -> Arc<ServerConfig> {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(leaf)], key)
        .unwrap();
    Arc::new(config)
}

#[test]
fn a_receiver_that_is_down_for_an_hour_has_everything_in_order_and_nothing_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts-a.queue");
    // Bound, and nobody listens yet.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let receiver = one(&format!("syslog = \"{address}\"\ntemplate = \"{{finding_id}}\""));
    let mut lane = Lane::new(Queue::open(&path, WAITING_MAX).unwrap());
    let begun = 1_795_741_200 * SECOND;
    with_notifier(async |notifier| {
        let mut attempts = Vec::new();
        // An hour in seconds, in which another alert comes each minute.
        for second in 0..3600 {
            let now = Timestamp(begun + second * SECOND);
            if second % 60 == 0 {
                lane.queue.put(alert(second / 60 + 1, Severity::Medium)).unwrap();
            }
            let Some(alert) = lane.next(now) else { continue };
            assert_eq!(lane.next(now), None, "one at a time");
            attempts.push(second);
            let why = notifier.send(&receiver, &alert, now).await.map_err(|error| error.to_string());
            assert!(why.as_ref().unwrap_err().contains("cannot connect to"), "{why:?}");
            let (change, written) = lane.done(why.map(drop), now);
            written.unwrap();
            assert_eq!(change, if second == 0 { Change::Fails } else { Change::No });
        }
        // Five seconds, and twice as long each time, up to ten minutes.
        assert_eq!(attempts[..8], [0, 5, 15, 35, 75, 155, 315, 635]);
        assert!(attempts[8..].windows(2).all(|pair| pair[1] - pair[0] == 600), "{attempts:?}");
        assert_eq!((lane.queue.waiting(), lane.failure().unwrap().since), (60, Timestamp(begun)));
        // The gate is ended and starts again.
        lane = Lane::new(Queue::open(&path, WAITING_MAX).unwrap());
        socket.listen(16).unwrap();
        let listener: TcpListener = socket.into();
        let served = std::thread::spawn(move || {
            let mut got = Vec::new();
            while got.len() < 60 {
                let mut text = String::new();
                listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
                got.push(text.rsplit(' ').next().unwrap().to_owned());
            }
            got
        });
        let now = Timestamp(begun + 3600 * SECOND);
        while let Some(alert) = lane.next(now) {
            let sent = notifier.send(&receiver, &alert, now).await.map_err(|error| error.to_string());
            assert_eq!(lane.done(sent.map(drop), now).0, Change::No);
        }
        let expected: Vec<_> = (1..=60).map(|number| format!("{number:016x}")).collect();
        assert_eq!(served.join().unwrap(), expected);
    });
    assert_eq!(Queue::open(&path, WAITING_MAX).unwrap().waiting(), 0);
}

#[test]
fn one_that_takes_again_says_since_when_it_did_not_and_a_clock_set_back_holds_nothing_up() {
    let directory = tempfile::tempdir().unwrap();
    let mut lane = Lane::new(Queue::open(&directory.path().join("a.queue"), 10).unwrap());
    lane.queue.put(alert(1, Severity::Low)).unwrap();
    assert_eq!(lane.done(Ok(()), Timestamp(0)).0, Change::No, "nothing is under way");
    let (begun, before) = (Timestamp(9_000_000 * SECOND), Timestamp(1_000_000 * SECOND));
    lane.next(begun).unwrap();
    assert_eq!(lane.done(Err("no".into()), begun).0, Change::Fails);
    assert_eq!(lane.next(Timestamp(begun.0 + SECOND)), None);
    lane.next(before).unwrap();
    assert_eq!(lane.done(Ok(()), before).0, Change::Takes { since: begun });
    assert_eq!((lane.failure(), lane.queue.waiting()), (None, 0));
}

/// Reads what a client sends until it has sent all of it, and answers with bytes.
fn answering(answer: &'static [u8]) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(answer);
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        heard
    });
    (address, served)
}

#[test]
fn syslog_over_tls_is_framed_by_its_length_and_whom_nobody_vouches_for_gets_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = tls(directory.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let mut texts = Vec::new();
        for _ in 0..3 {
            let stream = listener.accept().unwrap().0;
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            let mut text = Vec::new();
            let _ = stream.read_to_end(&mut text);
            texts.push(String::from_utf8(text).unwrap());
            // The second ends TCP without a word in TLS.
            if texts.len() != 2 {
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
        texts
    });
    let ca = directory.path().join("ca.pem");
    let receiver = one(&format!("syslog = \"{address}\"\nprotocol = \"tls\"\nformat = \"cef\"\nca_file = {ca:?}"));
    for _ in 0..2 {
        let said = send(&receiver, &alert(7, Severity::High)).unwrap();
        assert_eq!(said, "it was taken, and the connection ended behind it");
    }
    let other = tempfile::tempdir().unwrap();
    tls(other.path());
    let strange =
        one(&format!("syslog = \"{address}\"\nprotocol = \"tls\"\nca_file = {:?}", other.path().join("ca.pem")));
    let refused = send(&strange, &alert(7, Severity::High)).unwrap_err();
    assert!(refused.starts_with("no TLS with 127.0.0.1: "), "{refused}");
    let texts = served.join().unwrap();
    let (length, line) = texts[0].split_once(' ').unwrap();
    assert_eq!((length.parse().ok(), texts[0] == texts[1], &*texts[2]), (Some(line.len()), true, ""));
    // Log audit, critical.
    assert!(line.starts_with("<106>1 2026-11-27T01:00:00.000000Z osaka sekisho "), "{line}");
    assert!(line.contains(" beacon - CEF:0|Sekisho|Sekisho|") && line.contains("|beacon|beacon|9|rt="), "{line}");
}

#[test]
fn what_is_posted_is_signed_by_a_secret_that_nobody_sees() {
    let directory = tempfile::tempdir().unwrap();
    let config = tls(directory.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers = ["204 No Content", "500 Internal Server Error", "garbage"];
    let served = std::thread::spawn(move || {
        let answer = |status: &str| {
            let stream = listener.accept().unwrap().0;
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            let (mut head, mut body) = (String::new(), Vec::new());
            let mut reader = BufReader::new(&mut stream);
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).unwrap();
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            body.resize(length.parse().unwrap(), 0);
            reader.read_exact(&mut body).unwrap();
            let answer = if status == "garbage" {
                "\0\0\0\r\n\r\n".to_owned()
            } else {
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
            };
            let _ = stream.write_all(answer.as_bytes());
            (head, String::from_utf8(body).unwrap())
        };
        answers.map(answer)
    });
    let secret = directory.path().join("secret");
    fs::write(&secret, "a secret of some length\n").unwrap();
    let receiver = one(&format!(
        "url = \"https://{address}/hush\"\nca_file = {:?}\nsecret_file = {secret:?}",
        directory.path().join("ca.pem")
    ));
    // Others may read it.
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let open = send(&receiver, &alert(7, Severity::High)).unwrap_err();
    assert!(open.ends_with("is open to others (mode 0644): chmod 600 it"), "{open}");
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let said: Vec<_> = answers.iter().map(|_| send(&receiver, &alert(7, Severity::High))).collect();
    assert_eq!(said[0], Ok("it answered 204".to_owned()));
    assert_eq!(said[1], Err("it answered 500 Internal Server Error".to_owned()));
    assert!(said[2].as_ref().is_err_and(|why| why.contains("no HTTP that can be used")), "{:?}", said[2]);
    assert!(!format!("{said:?} {receiver}").contains("hush"), "{said:?}");
    let [(head, body), ..] = served.join().unwrap();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
    assert_eq!((field("sekisho-alert"), field("content-type")), ("osaka-record-7", "application/json"));
    assert_eq!(field("sekisho-time"), "1795741260");
    // By another implementation.
    let signature = std::process::Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "a secret of some length", "-hex"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            child.stdin.take().unwrap().write_all(format!("1795741260.{body}").as_bytes())?;
            child.wait_with_output()
        })
        .unwrap();
    let signature = String::from_utf8(signature.stdout).unwrap();
    assert_eq!(field("sekisho-signature"), format!("v1={}", signature.trim().rsplit(' ').next().unwrap()));
    fs::write(&secret, "short").unwrap();
    assert!(
        send(&receiver, &alert(7, Severity::High))
            .unwrap_err()
            .contains("holds no secret of one line and 16 to 1024 bytes")
    );
}

/// A server of mail, which says these things, and what it was told.
struct MailServer {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    served: JoinHandle<()>,
}

/// What a server of mail is like.
#[derive(Clone, Copy)]
struct Manners {
    /// What it offers, beside STARTTLS where that comes.
    offers: &'static str,
    starts_tls: bool,
    /// Said with the answer to STARTTLS, before TLS.
    injected: &'static str,
    /// Answers to what begins so, in place of what is usual.
    instead: &'static [(&'static str, &'static str)],
}

const MANNERS: Manners =
    Manners { offers: "250-osaka\r\n250 AUTH PLAIN LOGIN\r\n", starts_tls: true, injected: "", instead: &[] };

impl MailServer {
    fn start(tls: Option<Arc<ServerConfig>>, manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = heard.clone();
        let served = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
            if manners.starts_tls {
                let starts = Manners { offers: "250-osaka\r\n250 STARTTLS\r\n", ..manners };
                if !converse(&mut stream, starts, &told) {
                    return;
                }
            }
            match tls {
                Some(config) => {
                    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                    converse(&mut stream, manners, &told);
                }
                None => _ = converse(&mut stream, manners, &told),
            }
        });
        Self { address, heard, served }
    }

    fn heard(self) -> Vec<String> {
        self.served.join().unwrap();
        Arc::into_inner(self.heard).unwrap().into_inner().unwrap()
    }
}

/// True where TLS is to begin.
fn converse(stream: &mut (impl Read + Write), manners: Manners, heard: &Mutex<Vec<String>>) -> bool {
    let mut is_data = false;
    loop {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => line.push(byte[0]),
                Ok(_) | Err(_) => return false,
            }
        }
        let line = String::from_utf8(line).unwrap().trim_end().to_owned();
        heard.lock().unwrap().push(line.clone());
        if is_data && line != "." {
            continue;
        }
        let usual = match line.split(' ').next().unwrap() {
            "EHLO" => manners.offers,
            "STARTTLS" => "220 go\r\n",
            "AUTH" => "235 ok\r\n",
            "DATA" => "354 go on\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "250 2.0.0 queued as 7\r\n",
        };
        is_data = line == "DATA";
        let instead = manners.instead.iter().find(|(begin, _)| line.starts_with(begin));
        let answer = instead.map_or(usual, |(_, answer)| answer);
        if stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).is_err() {
            return false;
        }
        match line.as_str() {
            "STARTTLS" => {
                let _ = stream.write_all(manners.injected.as_bytes());
                return true;
            }
            "QUIT" => return false,
            _ => {}
        }
    }
}

fn mail(address: SocketAddr, more: &str) -> AlertReceiver {
    one(&format!(
        "mail = \"{address}\"\nfrom = \"gate@example.com\"\nto = [\"soc@example.com\", \"it@example.com\"]\n{more}"
    ))
}

#[test]
fn mail_is_submitted_within_starttls_with_a_password_that_is_said_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let (config, password) = (tls(directory.path()), directory.path().join("password"));
    fs::write(&password, "geheim").unwrap();
    fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let server = MailServer::start(Some(config.clone()), MANNERS);
    let keys =
        format!("ca_file = {:?}\nuser = \"gate\"\npassword_file = {password:?}", directory.path().join("ca.pem"));
    let receiver = mail(server.address, &keys);
    assert_eq!(send(&receiver, &alert(7, Severity::High)), Ok("250 2.0.0 queued as 7".to_owned()));
    let heard = server.heard();
    let expected = [
        "EHLO osaka",
        "STARTTLS",
        "EHLO osaka",
        "AUTH PLAIN AGdhdGUAZ2VoZWlt",
        "MAIL FROM:<gate@example.com>",
        "RCPT TO:<soc@example.com>",
        "RCPT TO:<it@example.com>",
        "DATA",
    ];
    assert_eq!(heard[..8], expected);
    assert_eq!(heard[heard.len() - 2..], [".", "QUIT"]);
    assert_eq!(heard.iter().filter(|line| *line == "." || *line == "QUIT").count(), 2, "{heard:#?}");

    // A server that repeats what it was told tells nobody.
    let manners = Manners { instead: &[("AUTH", "535 5.7.8 no: AGdhdGUAZ2VoZWlt\r\n")], ..MANNERS };
    let server = MailServer::start(Some(config), manners);
    let refused = send(&mail(server.address, &keys), &alert(7, Severity::High)).unwrap_err();
    assert_eq!(refused, "to AUTH it answered 535");
}

#[test]
fn nothing_is_said_in_clear_to_a_server_that_does_not_start_tls_or_of_which_somebody_says_more() {
    let directory = tempfile::tempdir().unwrap();
    let config = tls(directory.path());
    let keys = format!("ca_file = {:?}", directory.path().join("ca.pem"));
    let none = MailServer::start(None, Manners { starts_tls: false, ..MANNERS });
    let why = send(&mail(none.address, &keys), &alert(7, Severity::High)).unwrap_err();
    assert_eq!(why, "it does not offer STARTTLS, and nothing is said to it in clear");
    assert_eq!(none.heard(), ["EHLO osaka"]);
    let instead = &[("STARTTLS", "220 go\r\n250 AUTH PLAIN\r\n")];
    let injected = MailServer::start(Some(config), Manners { instead, ..MANNERS });
    let why = send(&mail(injected.address, &keys), &alert(7, Severity::High)).unwrap_err();
    assert_eq!(why, "it speaks before it is asked, in front of TLS");
    // The certificate is another one's.
    let other = tempfile::tempdir().unwrap();
    let strange = MailServer::start(Some(tls(other.path())), MANNERS);
    let why = send(&mail(strange.address, &keys), &alert(7, Severity::High)).unwrap_err();
    assert!(why.starts_with("no TLS with 127.0.0.1"), "{why}");
    assert_eq!(strange.heard(), ["EHLO osaka", "STARTTLS"]);
}

#[test]
fn a_server_of_mail_may_refuse_some_recipients_and_what_is_no_smtp_is_said_to_be_none() {
    let clear = |instead| {
        let server = MailServer::start(None, Manners { starts_tls: false, instead, ..MANNERS });
        let sent = send(&mail(server.address, "tls = \"none\""), &alert(7, Severity::High));
        (sent, server.heard())
    };
    let (sent, heard) = clear(&[("RCPT TO:<soc", "550 5.1.1 nobody\u{1b}[2J\r\n")]);
    assert_eq!(
        sent.unwrap(),
        "250 2.0.0 queued as 7; to RCPT it answered 550 5.1.1 nobody\\u{1b}[2J (soc@example.com)"
    );
    assert!(heard.contains(&"DATA".to_owned()));
    let (sent, heard) = clear(&[("RCPT", "450 later\r\n")]);
    assert_eq!(sent.unwrap_err(), "to RCPT it answered 450 later (it@example.com)");
    assert!(!heard.contains(&"DATA".to_owned()), "{heard:?}");
    for garbage in ["what?\r\n", "99\r\n", "2500 x\r\n", "250-a\r\n251 b\r\n", "999 x\r\n", "250_x\r\n"] {
        let instead: &'static [(&str, &str)] = Vec::leak(vec![("EHLO", garbage)]);
        assert_eq!(clear(instead).0.unwrap_err(), "what it answers is no SMTP", "{garbage:?}");
    }
    let endless: &'static [u8] = Vec::leak(vec![b'2'; 1 << 20]);
    let lines: &'static [u8] = Vec::leak(b"220-a\r\n".repeat(100_000));
    for answer in [endless, lines] {
        let (address, _served) = answering(answer);
        let why = send(&mail(address, "tls = \"none\""), &alert(7, Severity::High)).unwrap_err();
        assert_eq!(why, "what it answers is no SMTP");
    }
    let (address, _served) = answering(b"554 no service\r\n");
    let why = send(&mail(address, "tls = \"none\""), &alert(7, Severity::High)).unwrap_err();
    assert_eq!(why, "to the connection it answered 554 no service");
}

#[test]
fn a_receiver_is_read_whole_or_refused_with_what_to_write() {
    let shown = |body: &str| one(body).to_string();
    assert_eq!(shown("syslog = \"log.example:6514\"\nprotocol = \"tls\""), "syslog tls log.example:6514");
    assert_eq!(shown("url = \"https://soc.example/hush?key=hush\""), "https://soc.example:443");
    assert_eq!(
        shown("mail = \"smtp.example:587\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]"),
        "mail c@d.example by smtp.example:587"
    );
    let base = "mail = \"smtp.example:587\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\n";
    for (body, part) in [
        ("".to_owned(), "is not said, or is said several times"),
        ("mail = \"a:1\"\nurl = \"https://a.example/\"".to_owned(), "said several times"),
        ("url = \"https://a.example/\"\nto = [\"c@d.example\"]".to_owned(), "`to` is for mail"),
        ("mail = \"smtp.example\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]".to_owned(), "no host with a port"),
        ("mail = \"a:1\"\nto = [\"c@d.example\"]".to_owned(), "`from` is missing"),
        ("mail = \"a:1\"\nfrom = \"a@b.example\"".to_owned(), "`to` is missing"),
        (base.replace("c@d", "c\\r\\nBcc: x@d"), "no address of mail"),
        (format!("{base}user = \"a\""), "belong together"),
        (format!("{base}tls = \"none\"\nuser = \"a\"\npassword_file = \"b\""), "the password would go in clear"),
        (format!("{base}secret_file = \"a\""), "nothing but what is posted to a URL is signed"),
        (format!("{base}protocol = \"udp\""), "unknown key `protocol`"),
        ("url = \"https://a.example/\"\ntemplate = \"{severity}\"".to_owned(), "makes no JSON"),
        ("directory = \"/a\"\nformat = \"xml\"".to_owned(), "`format` cannot be"),
    ] {
        let said = read(&format!("[alerts.a]\n{body}\n")).unwrap_err();
        assert!(said.contains(part), "{body}: {said}");
    }
}

#[test]
fn what_takes_a_connection_and_ends_it_without_a_word_has_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || drop(listener.accept().unwrap().0.shutdown(std::net::Shutdown::Both)));
    let why = send(&mail(address, "tls = \"none\""), &alert(7, Severity::High)).unwrap_err();
    assert!(why.starts_with("the connection failed"), "{why}");
    served.join().unwrap();
}

/// Takes connections and says this, and never anything more; they stay until the end of the test.
fn silent(greeting: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(greeting);
            kept.push(stream);
        }
    });
    address
}

#[test]
fn a_receiver_that_takes_a_connection_and_stays_silent_is_given_up_in_time() {
    let directory = tempfile::tempdir().unwrap();
    tls(directory.path());
    let ca = format!("ca_file = {:?}", directory.path().join("ca.pem"));
    let (mute, greeting) = (silent(b""), silent(b"220 mail.example ESMTP\r\n"));
    let patience = Duration::from_millis(300);
    for receiver in [
        one(&format!("syslog = \"{mute}\"\nprotocol = \"tls\"\n{ca}")),
        one(&format!("url = \"https://{mute}/\"\n{ca}")),
        mail(mute, &ca),
        mail(mute, &format!("tls = \"tls\"\n{ca}")),
        mail(mute, "tls = \"none\""),
        mail(greeting, &ca),
    ] {
        let now = Timestamp(1_795_741_260 * SECOND);
        let said = with_notifier(async |notifier| {
            notifier.within(patience).send(&receiver, &alert(1, Severity::High), now).await
        });
        assert_eq!(said.unwrap_err().to_string(), "it took longer than 300ms", "{receiver}");
    }
}

/// Takes a connection, and says this a letter at a time without an end.
fn dripping(tls: Option<Arc<ServerConfig>>, begins: &'static str) -> SocketAddr {
    fn drip(stream: &mut impl Write, begins: &str) {
        for letter in begins.bytes().chain(std::iter::repeat(b'x')) {
            if stream.write_all(&[letter]).and_then(|()| stream.flush()).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        match tls {
            Some(config) => drip(&mut StreamOwned::new(ServerConnection::new(config).unwrap(), stream), begins),
            None => drip(&mut stream, begins),
        }
    });
    address
}

#[test]
fn a_receiver_that_stops_at_any_step_or_drips_is_given_up_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let config = tls(directory.path());
    let ca = format!("ca_file = {:?}", directory.path().join("ca.pem"));
    let password = directory.path().join("password");
    fs::write(&password, "geheim").unwrap();
    fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let log_in = format!("user = \"gate\"\npassword_file = {password:?}");
    let patience = Duration::from_millis(500);
    let given_up = |receiver: &AlertReceiver| {
        let now = Timestamp(1_795_741_260 * SECOND);
        let said = with_notifier(async |notifier| {
            notifier.within(patience).send(receiver, &alert(1, Severity::High), now).await
        });
        said.unwrap_err().to_string()
    };
    const SLOW: &str = "it took longer than 500ms";
    for step in ["EHLO", "MAIL", "RCPT", "DATA", "."] {
        let stops: &'static [(&str, &str)] = Box::leak(Box::new([(step, "")]));
        let server = MailServer::start(None, Manners { starts_tls: false, instead: stops, ..MANNERS });
        assert_eq!(given_up(&mail(server.address, "tls = \"none\"")), SLOW, "{step}");
        assert!(server.heard().iter().any(|line| line.starts_with(step)), "it came to {step}");
    }
    for step in ["STARTTLS", "AUTH", "MAIL", "."] {
        let stops: &'static [(&str, &str)] = Box::leak(Box::new([(step, "")]));
        let server = MailServer::start(Some(config.clone()), Manners { instead: stops, ..MANNERS });
        assert_eq!(given_up(&mail(server.address, &format!("{ca}\n{log_in}"))), SLOW, "{step} within STARTTLS");
        assert!(server.heard().iter().any(|line| line.starts_with(step)), "it came to {step}");
    }
    let ehlo = "220 mail.example ESMTP\r\n250-";
    for receiver in [
        mail(dripping(None, "220 "), "tls = \"none\""),
        mail(dripping(None, ehlo), "tls = \"none\""),
        one(&format!("url = \"https://{}/\"\n{ca}", dripping(Some(config.clone()), "HTTP/1.1 200 OK\r\nX: "))),
        one(&format!("url = \"https://{}/\"\n{ca}", dripping(Some(config.clone()), "HTTP/1.1 200 OK\r\n\r\n"))),
        one(&format!("syslog = \"{}\"\nprotocol = \"tcp\"", dripping(None, "thanks "))),
        one(&format!("syslog = \"{}\"\nprotocol = \"tcp\"", silent(b""))),
    ] {
        assert_eq!(given_up(&receiver), SLOW, "{receiver}");
    }
}

#[test]
fn what_answers_garbage_in_place_of_tls_has_nothing() {
    let directory = tempfile::tempdir().unwrap();
    tls(directory.path());
    let ca = format!("ca_file = {:?}", directory.path().join("ca.pem"));
    for of in [
        |address, ca: &str| one(&format!("syslog = \"{address}\"\nprotocol = \"tls\"\n{ca}")),
        |address, ca: &str| one(&format!("url = \"https://{address}/\"\n{ca}")),
        |address, ca: &str| mail(address, &format!("tls = \"tls\"\n{ca}")),
    ] as [fn(SocketAddr, &str) -> AlertReceiver; 3]
    {
        let (address, served) = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n\0\xff\xfe");
        let said = send(&of(address, &ca), &alert(1, Severity::High)).unwrap_err();
        assert!(!said.is_empty() && said.chars().all(|c| !c.is_control()), "{said:?}");
        let heard = served.join().unwrap();
        assert!(!String::from_utf8_lossy(&heard).contains("c2.example"), "{said}");
    }
}

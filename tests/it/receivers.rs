//! Receivers of alerts as sites have them: rsyslog over TLS, TCP and UDP; and those that take forever, which hold up nobody else.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};
use serde_json::Value;

use crate::alerts::{alerts, certificates, find_something, gate, until};
use crate::gate::records;
use crate::origin::Origin;

/// rsyslog in the foreground, with a config and directories of its own. It writes what it reads as one object a line.
struct Rsyslog {
    child: Child,
    directory: PathBuf,
    tls: SocketAddr,
    tcp: SocketAddr,
    udp: SocketAddr,
}

/// Each field as rsyslog has parsed it.
const FIELDS: [(&str, &str); 11] = [
    ("pri", "pri"),
    ("facility", "syslogfacility-text"),
    ("severity", "syslogseverity-text"),
    ("version", "protocol-version"),
    ("time", "timereported\" dateformat=\"rfc3339"),
    ("host", "hostname"),
    ("app", "app-name"),
    ("process", "procid"),
    ("message_id", "msgid"),
    ("data", "structured-data"),
    ("by", "inputname"),
];

impl Rsyslog {
    /// `directory` has `leaf.pem`, `leaf.key` and `ca.pem`.
    fn start(directory: &Path) -> Self {
        // imudp cannot say which port it has taken.
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let at = |name: &str| directory.join(name).display().to_string();
        let fields: String = FIELDS
            .iter()
            .map(|(name, of)| format!("  property(outname=\"{name}\" name=\"{of}\" format=\"jsonf\")\n"))
            .collect();
        let config = format!(
            "global(workDirectory=\"{work}\" maxMessageSize=\"64k\" defaultNetstreamDriver=\"ossl\"\n\
             defaultNetstreamDriverCAFile=\"{ca}\" defaultNetstreamDriverCertFile=\"{leaf}\" defaultNetstreamDriverKeyFile=\"{key}\")\n\
             module(load=\"imtcp\" streamDriver.name=\"ossl\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\")\n\
             module(load=\"imptcp\")\nmodule(load=\"imudp\")\n\
             template(name=\"fields\" type=\"list\" option.jsonf=\"on\") {{\n{fields}\
             \x20 property(outname=\"text\" name=\"msg\" format=\"jsonf\")\n}}\n\
             ruleset(name=\"all\") {{ action(type=\"omfile\" file=\"{out}\" template=\"fields\") }}\n\
             input(type=\"imtcp\" name=\"tls\" address=\"127.0.0.1\" port=\"0\" listenPortFileName=\"{tls}\" ruleset=\"all\")\n\
             input(type=\"imptcp\" name=\"tcp\" address=\"127.0.0.1\" port=\"0\" listenPortFileName=\"{tcp}\" ruleset=\"all\")\n\
             input(type=\"imudp\" name=\"udp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"all\")\n",
            work = directory.display(),
            ca = at("ca.pem"),
            leaf = at("leaf.pem"),
            key = at("leaf.key"),
            out = at("written"),
            tls = at("tls-port"),
            tcp = at("tcp-port"),
            port = udp.port(),
        );
        fs::write(directory.join("rsyslog.conf"), config).unwrap();
        let mut command = Command::new("rsyslogd");
        command.args(["-n", "-f", &at("rsyslog.conf"), "-i", &at("rsyslog.pid")]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(directory.join("said")).unwrap());
        let mut child = command.spawn().unwrap();
        let mut bound = |name: &str| {
            loop {
                let port = fs::read_to_string(directory.join(name)).ok().and_then(|text| text.trim().parse().ok());
                if let Some(port) = port {
                    return SocketAddr::from(([127, 0, 0, 1], port));
                }
                let ended = child.try_wait().unwrap();
                assert!(ended.is_none(), "{ended:?}: {}", fs::read_to_string(directory.join("said")).unwrap());
            }
        };
        let (tls, tcp) = (bound("tls-port"), bound("tcp-port"));
        Self { child, directory: directory.to_owned(), tls, tcp, udp }
    }

    /// What it has written, as soon as there is so much.
    fn written(&self, lines: usize) -> Vec<Value> {
        loop {
            let text = fs::read_to_string(self.directory.join("written")).unwrap_or_default();
            if text.matches('\n').count() >= lines {
                return text
                    .lines()
                    .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
                    .collect();
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn rsyslog_reads_every_field_of_an_alert_over_tls_over_tcp_and_over_udp() {
    let (origin, directory) = (Origin::echo(), tempfile::tempdir().unwrap());
    certificates(directory.path());
    let rsyslog = Rsyslog::start(directory.path());
    let data_dir = directory.path().join("data");
    let receiver = |name: &str, server: SocketAddr, protocol: &str, format: &str, more: &str| {
        format!(
            "[alerts.{name}]\nsyslog = \"{server}\"\nprotocol = \"{protocol}\"\nformat = \"{format}\"\nseverity = \"low\"\n\
             kinds = [\"unknown_tunnel\"]\n{more}"
        )
    };
    let config = format!(
        "[gate]\nname = \"osaka-2\"\n[detect]\ndelay_seconds = 1\n{}{}{}",
        receiver("a", rsyslog.tls, "tls", "cef", &format!("ca_file = {:?}\n", directory.path().join("ca.pem"))),
        receiver("b", rsyslog.tcp, "tcp", "json", ""),
        receiver("c", rsyslog.udp, "udp", "text", ""),
    );
    let mut gate = gate(&origin, &config, &data_dir);
    let process = gate.pid().to_string();
    find_something(&gate, &origin);
    let written = rsyslog.written(3);
    assert_eq!(gate.end("-TERM"), Some(0));
    let records = records(&data_dir);
    let finding = records.iter().find(|record| record["finding"] == "unknown_tunnel").unwrap();
    let text = |key: &str| finding[key].as_str().unwrap();
    let severity = match text("severity") {
        "high" => (2, "crit", "9"),
        "medium" => (4, "warning", "6"),
        _ => (5, "notice", "3"),
    };
    for by in ["tls", "tcp", "udp"] {
        let line = written.iter().find(|line| line["by"] == by).unwrap_or_else(|| panic!("{by}: {written:#?}"));
        for (field, expected) in [
            ("pri", &*(13 * 8 + severity.0).to_string()),
            ("facility", "audit"),
            ("severity", severity.1),
            ("version", "1"),
            ("host", "osaka-2"),
            ("app", "sekisho"),
            ("process", &process),
            ("message_id", "unknown_tunnel"),
            ("data", "-"),
        ] {
            assert_eq!(line[field], expected, "{by}, {field}: {line:#}");
        }
        let time = line["time"].as_str().unwrap();
        assert!(text("time").starts_with(&time[..19]), "{by}: {line:#}, {finding:#}");
        let said = line["text"].as_str().unwrap().trim_start();
        match by {
            "tls" => {
                let head = format!("CEF:0|Sekisho|Sekisho|{}|unknown_tunnel|", env!("CARGO_PKG_VERSION"));
                assert!(said.starts_with(&head), "{said}");
                for part in [
                    format!("|{}|rt=", severity.2),
                    " cat=unknown_tunnel dvchost=osaka-2 src=127.0.0.1 ".to_owned(),
                    format!(" dhost={} dpt={} ", text("target"), finding["port"]),
                    format!(" cs2Label=finding_id cs2={} ", text("finding_id")),
                    format!(" cs1={} ", text("japanese")),
                ] {
                    assert!(said.contains(&part), "{part}: {said}");
                }
            }
            "tcp" => {
                let told: Value = serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}"));
                for key in ["finding_id", "severity", "client", "target", "port", "english", "japanese"] {
                    assert_eq!(told[key], finding[key], "{key}: {told:#}");
                }
                assert_eq!((&told["kind"], &told["gate"]), (&finding["finding"], &"osaka-2".into()), "{told:#}");
            }
            _ => {
                for part in ["english", "japanese", "finding_id", "target"] {
                    assert!(said.contains(text(part)), "{part}: {said}");
                }
            }
        }
    }
}

/// Serves each connection, in a manner that is changed later.
fn serving(serve: impl Fn(TcpStream, bool) + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, is_well) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
    let (well, serve) = (is_well.clone(), Arc::new(serve));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (serve, is_well) = (serve.clone(), well.load(Ordering::SeqCst));
            std::thread::spawn(move || serve(stream, is_well));
        }
    });
    (address, is_well)
}

/// Says this a letter at a time, and never ends.
fn drip(stream: &mut impl Write, text: &str) {
    for letter in text.bytes().chain(std::iter::repeat(b'x')) {
        if stream.write_all(&[letter]).and_then(|()| stream.flush()).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The lines of a peer, as it sends them.
fn line_of(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let read = reader.read_line(&mut line).unwrap_or(0);
    (read > 0).then(|| line.trim_end().to_owned())
}

#[test]
fn receivers_that_take_forever_hold_up_nobody_and_have_it_once_they_are_well() {
    let (origin, directory) = (Origin::echo(), tempfile::tempdir().unwrap());
    let (data_dir, share) = (directory.path().join("data"), directory.path().join("share"));
    fs::create_dir(&share).unwrap();
    let tls = Arc::new(certificates(directory.path()));
    let came: Arc<Mutex<Vec<(&str, String)>>> = Arc::default();
    let keep = |name: &'static str| {
        let came = came.clone();
        move |text: String| came.lock().unwrap().push((name, text))
    };

    let keep_hook = keep("hook");
    let (hook, hook_is_well) = serving(move |stream, is_well| {
        let mut stream = StreamOwned::new(ServerConnection::new(tls.clone()).unwrap(), stream);
        let mut reader = BufReader::new(&mut stream);
        let mut length = 0;
        while let Some(line) = line_of(&mut reader).filter(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        if !is_well {
            return drip(&mut stream, "HTTP/1.1 200 OK\r\nX-Slow: ");
        }
        keep_hook(String::from_utf8(body).unwrap());
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
    });

    // It hangs when it has the mail: whether that was taken nobody knows.
    let keep_mail = keep("mail");
    let (mail, mail_is_well) = serving(move |mut stream, is_well| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut text, mut is_data) = (String::new(), false);
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        while let Some(line) = line_of(&mut reader) {
            let answer = match (is_data, line.split(' ').next().unwrap_or_default()) {
                (true, ".") if is_well => {
                    keep_mail(std::mem::take(&mut text));
                    is_data = false;
                    "250 queued\r\n"
                }
                (true, ".") => continue,
                (true, _) => {
                    // Lines of its body become one again.
                    text.push_str(if line.is_empty() { "\n" } else { &line });
                    continue;
                }
                (false, "DATA") => {
                    is_data = true;
                    "354 go on\r\n"
                }
                (false, _) => "250 fine\r\n",
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });

    let keep_log = keep("log");
    let (log, log_is_well) = serving(move |mut stream, is_well| {
        if !is_well {
            // It reads nothing, and holds the connection.
            loop {
                std::thread::park();
            }
        }
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        keep_log(text);
    });

    let terms = "severity = \"low\"\nkinds = [\"unknown_tunnel\"]\n";
    let config = format!(
        "[detect]\ndelay_seconds = 1\n[alerts.a_hook]\nurl = \"https://{hook}/\"\nca_file = {:?}\n{terms}\
         [alerts.b_mail]\nmail = \"{mail}\"\ntls = \"none\"\nfrom = \"gate@example.com\"\nto = [\"soc@example.com\"]\n{terms}\
         [alerts.c_log]\nsyslog = \"{log}\"\nprotocol = \"tcp\"\nformat = \"json\"\n{terms}\
         [alerts.share]\ndirectory = {share:?}\ntemplate = \"{{finding_id}}\"\n{terms}",
        directory.path().join("ca.pem"),
    );
    let mut slow = gate(&origin, &config, &data_dir);
    find_something(&slow, &origin);
    let slow_ones = ["a_hook", "b_mail", "c_log"];
    let status = until(&data_dir, |status| alerts(status, "share")["taken"] == 1);
    for name in slow_ones {
        let told = alerts(&status, name);
        assert_eq!((&told["waiting"], &told["taken"]), (&1.into(), &0.into()), "{name}: {told:#}");
    }
    assert_eq!(slow.end("-TERM"), Some(0), "nor do they hold up the end of the gate");
    assert!(came.lock().unwrap().is_empty());

    for is_well in [hook_is_well, mail_is_well, log_is_well] {
        is_well.store(true, Ordering::SeqCst);
    }
    let mut well = gate(&origin, &config, &data_dir);
    until(&data_dir, |status| slow_ones.iter().all(|name| alerts(status, name)["taken"] == 1));
    assert_eq!(well.end("-TERM"), Some(0));
    let told: Vec<_> = fs::read_dir(&share).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [told] = &told[..] else { panic!("{told:?}") };
    let id = fs::read_to_string(told).unwrap();
    let came = came.lock().unwrap();
    for name in ["hook", "mail", "log"] {
        let texts: Vec<_> = came.iter().filter(|(of, _)| *of == name).map(|(_, text)| text).collect();
        let [text] = &texts[..] else { panic!("{name}: {texts:#?}") };
        let is_there = if name == "mail" { decoded(text).contains(id.trim()) } else { text.contains(id.trim()) };
        assert!(is_there, "{name}: {text}, {id}");
    }
}

/// A mail without the encoding of its body.
fn decoded(mail: &str) -> String {
    let longest = mail.split(|letter: char| !(letter.is_ascii_alphanumeric() || "+/=".contains(letter)));
    let body = longest.max_by_key(|part| part.len()).unwrap_or_default();
    let bytes = data_encoding::BASE64.decode(body.as_bytes()).unwrap_or_default();
    format!("{mail}{}", String::from_utf8_lossy(&bytes))
}

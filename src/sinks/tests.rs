use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use crate::parse::Document;
use crate::policy::OwnEndpoints;
use crate::upstream::{ErrandLimits, OwnConnections, Resolvers};

use std::fs;

use super::*;

fn read(text: &str) -> Result<Vec<Receiver>, Vec<String>> {
    let read = Document::read("c.toml", text, |root| Some(Receiver::read_all(root, "checkpoints")));
    read.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn one(body: &str) -> Receiver {
    read(&format!("[checkpoints.a]\n{body}\n")).unwrap().remove(0)
}

fn message(body: &str) -> Message<'_> {
    Message {
        purpose: Purpose::Checkpoint,
        name: "1.checkpoint",
        kind: "checkpoint",
        body,
        content_type: "application/json",
        level: NOTICE,
        fields: &[],
        gate: "office",
        now: Timestamp(1_795_568_400_000_000),
    }
}

/// Hands a message to a receiver, as the gate does.
fn send(receiver: &Receiver, body: &str) -> Result<Taken, NotSent> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let own = OwnConnections::default();
        let resolvers = Resolvers::new(&[], None, Duration::from_secs(1), &own).unwrap();
        let endpoints = Arc::new(OwnEndpoints { listeners: Vec::new(), interfaces: Vec::new() });
        let sink = Sink::new(Errands::new(resolvers, own, endpoints, ErrandLimits::default()));
        sink.send(receiver, message(body)).await
    })
}

#[test]
fn a_receiver_is_a_directory_a_syslog_server_or_a_url() {
    let shown = |body: &str| one(body).to_string();
    assert_eq!(shown("directory = \"/mnt/vault\""), "/mnt/vault");
    assert_eq!(shown("syslog = \"10.0.0.5:601\""), "syslog tcp 10.0.0.5:601");
    assert_eq!(shown("syslog = \"[2001:db8::1]:514\"\nprotocol = \"udp\""), "syslog udp [2001:db8::1]:514");
    let hook =
        one("url = \"https://receiver.example/hook?key=hush\"\nprivate = [\"10.0.0.0/8\"]\nca_file = \"ca.pem\"");
    assert_eq!((hook.to_string().as_str(), hook.opened.len()), ("https://receiver.example:443", 1));
    assert!(!format!("{hook:?}").contains("hush"), "{hook:?}");
    let wrong = |body: &str| read(&format!("[checkpoints.a]\n{body}")).unwrap_err().join("\n");
    assert!(wrong("").contains("is not said"));
    assert!(wrong("directory = \"/a\"\nurl = \"https://a.example/\"").contains("several times"));
    assert!(wrong("directory = \"\"").contains("names none"));
    assert!(wrong("syslog = \"10.0.0.5\"").contains("`10.0.0.5` is no host with a port"));
    assert!(wrong("syslog = \"a:1\"\nprotocol = \"quic\"").contains("protocol"));
    let bad = wrong("url = \"http://a.example/?key=hush\"");
    assert!(bad.contains("does not begin with https://") && !bad.contains("hush"), "{bad}");
    assert!(wrong("path = \"/a\"").contains("unknown key `path`"));
    let many: String = (0..9).map(|n| format!("[checkpoints.a{n}]\ndirectory = \"/a\"\n")).collect();
    assert!(read(&many).unwrap_err()[0].contains("more than 8 receivers"));
    assert!(read("[checkpoints.\"A b\"]\ndirectory = \"/a\"").unwrap_err()[0].contains("cannot be called"));
}

#[test]
fn syslog_is_a_line_of_rfc_5424_and_a_datagram_has_one() {
    let line = syslog_line(message("{\"v\":1}"));
    let expected =
        format!("<109>1 2026-11-25T01:00:00.000000Z office sekisho {} checkpoint - {{\"v\":1}}", std::process::id());
    assert_eq!(line, expected);
    assert!(syslog_line(Message { gate: "\n é", ..message("x") }).contains("Z - sekisho "));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let receiver = one(&format!("syslog = \"{}\"\nprotocol = \"udp\"", socket.local_addr().unwrap()));
    send(&receiver, "{\"v\":1}").unwrap();
    let mut bytes = [0; 1024];
    let count = socket.recv(&mut bytes).unwrap();
    assert_eq!(std::str::from_utf8(&bytes[..count]).unwrap(), expected);
}

/// A server that answers one connection, and what it read.
fn server(answer: &'static [u8]) -> (SocketAddr, std::thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let _ = stream.write_all(answer);
        bytes
    });
    (address, served)
}

#[test]
fn over_tcp_a_message_has_its_length_in_front() {
    let (address, served) = server(b"whatever");
    send(&one(&format!("syslog = \"{address}\"")), "{\"v\":1}").unwrap();
    let line = syslog_line(message("{\"v\":1}"));
    assert_eq!(String::from_utf8(served.join().unwrap()).unwrap(), format!("{} {line}", line.len()));
    // Bound, and nobody listens.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let gone = socket.local_addr().unwrap().as_socket().unwrap();
    let refused = send(&one(&format!("syslog = \"{gone}\"")), "x").unwrap_err();
    assert!(refused.to_string().contains(&format!("cannot connect to {gone}")), "{refused}");
}

#[test]
fn a_name_leads_inside_only_where_the_config_opens_that() {
    let closed = send(&one("syslog = \"localhost:601\""), "x").unwrap_err();
    assert!(matches!(closed, NotSent::Errand(_)), "{closed}");
}

#[test]
fn a_directory_takes_each_file_once_and_never_another_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("1.checkpoint");
    let receiver = one(&format!("directory = {:?}", directory.path()));
    send(&receiver, "one").unwrap();
    send(&receiver, "one").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
    for other in ["two", "three"] {
        let refused = send(&receiver, other).unwrap_err();
        assert!(matches!(&refused, NotSent::Other(found) if *found == path), "{refused}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    // A crash left its beginning.
    fs::write(&path, "o").unwrap();
    send(&receiver, "one").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
    // Somebody else's link is not followed.
    fs::remove_file(&path).unwrap();
    let elsewhere = directory.path().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(matches!(send(&receiver, "one").unwrap_err(), NotSent::File { .. }));
    assert!(!elsewhere.exists());
    let missing = one(&format!("directory = {:?}", directory.path().join("not-mounted")));
    assert!(send(&missing, "one").unwrap_err().to_string().contains("not-mounted/1.checkpoint: No such file"));
}

//! NTLM and Negotiate inside tunnels: they vouch for a connection and all that follows on it, so that a client's streams
//! share none, and nobody else's request ever enters one that was authenticated.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::Reason;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::http2_client::{Http2, connect, run, secure, trusting, tunnel};
use crate::inspection_lab::{Lab, get, inner};
use crate::name_server::NameServer;
use crate::origin::{Log, listener_of_its_own, tls_of};
use crate::peer::Peer;

/// Authenticates connections: by two messages of NTLM, or by one of Negotiate, and says on which connection an answer
/// comes and whose that is.
fn authenticating() -> impl Fn(Peer, &Log) + Send + Sync + 'static {
    let connections = AtomicUsize::new(0);
    move |mut peer, log| {
        let number = connections.fetch_add(1, Ordering::Relaxed);
        let mut who: Option<String> = None;
        while let Some(request) = peer.request() {
            log.note(&request);
            let asks = |challenge: &str| {
                let text = format!("connection {number}");
                let fields = format!("WWW-Authenticate: {challenge}\r\nContent-Length: {}", text.len());
                format!("HTTP/1.1 401 Unauthorized\r\n{fields}\r\n\r\n{text}")
            };
            let answer = match request.field("authorization") {
                Some("NTLM one") => asks("NTLM two"),
                Some(shown) if shown.starts_with("NTLM three ") || shown.starts_with("Negotiate ") => {
                    who = shown.rsplit(' ').next().map(str::to_owned);
                    String::new()
                }
                Some(other) => panic!("{other}"),
                None if who.is_none() && request.line().contains("/closed") => asks("NTLM"),
                None => String::new(),
            };
            let text = format!("connection {number} of {}", who.as_deref().unwrap_or("nobody"));
            let answer = match answer.is_empty() {
                true => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()),
                false => answer,
            };
            peer.send(answer);
        }
    }
}

/// A connection of HTTP/2 in a tunnel that is looked into.
async fn inside(gate: std::net::SocketAddr, authority: &str) -> Http2 {
    let tunnelled = tunnel(connect(gate).await, "site.test:443").await;
    Http2::over(secure(&trusting(authority, &["h2"]), "site.test", tunnelled).await.unwrap()).await
}

fn with_credentials(path: &str, shown: &str) -> http::Request<()> {
    http::Request::get(format!("https://site.test{path}")).header("authorization", shown).body(()).unwrap()
}

/// What is answered to a GET with these fields on a tunnel of HTTP/1.1.
fn asked(client: &mut Peer, path: &str, fields: &str) -> (u16, String) {
    client.send(get(path, "site.test").replace("\r\n\r\n", &format!("\r\n{fields}\r\n")));
    let answer = client.answer();
    (answer.status(), answer.text())
}

#[test]
fn who_is_asked_for_ntlm_over_http2_is_to_come_by_http11_and_has_its_connection_alone() {
    let mut lab = Lab::serving(authenticating(), "");
    // Over HTTP/2 it cannot be done: the client is told to come again (RFC 9113 section 7).
    run(async {
        let http2 = inside(lab.gate.address, &lab.authority).await;
        let refused = http2.get("https://site.test/closed").await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::HTTP_1_1_REQUIRED));
        let refused = http2.ask(with_credentials("/closed", "NTLM one"), &[]).await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::HTTP_1_1_REQUIRED));
        // The connection is as good as before.
        let open = http2.get("https://site.test/open").await.unwrap();
        assert!(open.status == 200 && open.text().ends_with(" of nobody"), "{open:?}");
    });
    let mut client = lab.open("site.test");
    let (status, first) = asked(&mut client, "/closed", "");
    assert_eq!(status, 401);
    assert_eq!(asked(&mut client, "/closed", "Authorization: NTLM one\r\n"), (401, first.clone()));
    let of_client = (200, format!("{first} of ours"));
    assert_eq!(asked(&mut client, "/closed", "Authorization: NTLM three ours\r\n"), of_client);
    // Other tunnels of the same machine, in either protocol, never get there, and their answers are not its own.
    let mut other = lab.open("site.test");
    run(async {
        let http2 = inside(lab.gate.address, &lab.authority).await;
        for _ in 0..3 {
            let open = http2.get("https://site.test/open").await.unwrap();
            assert!(open.text().ends_with(" of nobody"), "{open:?}");
        }
    });
    for _ in 0..3 {
        assert!(asked(&mut other, "/open", "").1.ends_with(" of nobody"));
        assert_eq!(asked(&mut client, "/closed", ""), of_client, "it keeps its own");
    }
    // What it leaves behind is nobody's.
    drop(client);
    for _ in 0..3 {
        assert!(asked(&mut other, "/open", "").1.ends_with(" of nobody"));
    }
    let records = lab.records();
    // What the origin said is on record, though its client was told to come again.
    let closed: Vec<_> = inner(&records, "open").into_iter().filter(|record| record["http"] == "2").collect();
    let statuses: Vec<_> = closed
        .iter()
        .map(|open| records.iter().find(|it| it["event"] == "close" && it["id"] == open["id"]).unwrap())
        .map(|close| close["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [401, 401, 200, 200, 200, 200]);
}

#[test]
fn a_stream_that_shows_what_vouches_for_a_connection_has_one_of_its_own() {
    let lab = Lab::serving(authenticating(), "");
    run(async {
        let (one, two) =
            tokio::join!(inside(lab.gate.address, &lab.authority), inside(lab.gate.address, &lab.authority));
        let nobody = one.get("https://site.test/open").await.unwrap().text();
        assert_eq!(nobody, "connection 0 of nobody");
        // It may go by one that lies idle: that is its own from then on, and ends with it.
        let ours = one.ask(with_credentials("/closed", "Negotiate ours"), &[]).await.unwrap().text();
        assert!(ours.ends_with(" of ours"), "{ours}");
        for (client, path) in [(&one, "/open"), (&two, "/open"), (&one, "/open")] {
            let answer = client.get(&format!("https://site.test{path}")).await.unwrap().text();
            assert!(answer.ends_with(" of nobody") && answer != ours.replace("ours", "nobody"), "{answer} {ours}");
        }
        // Many at once, some of which vouch.
        let mut all = tokio::task::JoinSet::new();
        for number in 0..40 {
            let client = if number % 2 == 0 { one.clone() } else { two.clone() };
            all.spawn(async move {
                if number % 5 == 0 {
                    let shown = format!("Negotiate {number}");
                    let answer = client.ask(with_credentials("/closed", &shown), &[]).await.unwrap().text();
                    assert!(answer.ends_with(&format!(" of {number}")), "{answer}");
                } else {
                    let answer = client.get("https://site.test/open").await.unwrap().text();
                    assert!(answer.ends_with(" of nobody"), "{number}: {answer}");
                }
            });
        }
        while let Some(done) = all.join_next().await {
            done.unwrap();
        }
    });
}

/// What an origin that speaks both protocols was asked: the number of the connection, its protocol, the credentials.
type Seen = Arc<Mutex<Vec<(usize, &'static str, Option<String>)>>>;

/// Speaks HTTP/2 with whoever offers it, else HTTP/1.1.
async fn speak_either(listener: std::net::TcpListener, config: Arc<rustls::ServerConfig>, seen: Seen) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    for number in 0.. {
        let ((tcp, _), acceptor, seen) = (listener.accept().await.unwrap(), acceptor.clone(), seen.clone());
        tokio::spawn(async move {
            let secured = acceptor.accept(tcp).await.unwrap();
            if secured.get_ref().1.alpn_protocol() == Some(b"h2") {
                let mut connection = h2::server::handshake(secured).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let shown = request.headers().get("authorization").map(|shown| shown.to_str().unwrap().to_owned());
                    seen.lock().unwrap().push((number, "2", shown));
                    let mut down = respond.send_response(http::Response::new(()), false).unwrap();
                    down.send_data(Bytes::from(number.to_string()), true).unwrap();
                }
                return;
            }
            let (mut reader, mut shown) = (BufReader::new(secured), None);
            let mut line = String::new();
            while reader.read_line(&mut line).await.is_ok_and(|count| count > 0) {
                if let Some(value) = line.trim_end().strip_prefix("authorization: ") {
                    shown = Some(value.to_owned());
                }
                if line == "\r\n" {
                    seen.lock().unwrap().push((number, "1.1", shown.take()));
                    let text = number.to_string();
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                    reader.get_mut().write_all(answer.as_bytes()).await.unwrap();
                    reader.get_mut().flush().await.unwrap();
                }
                line.clear();
            }
        });
    }
}

#[test]
fn what_vouches_for_a_connection_never_goes_by_one_of_http2_that_others_share() {
    let (config, authority) = tls_of(vec!["site.test".to_owned()]);
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = listener_of_its_own(443);
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let noted = seen.clone();
    std::thread::spawn(move || run(speak_either(listener, Arc::new(config), noted)));
    let files = tempfile::tempdir().unwrap();
    let roots = files.path().join("origins.pem");
    std::fs::write(&roots, authority).unwrap();
    let inspection = format!("ca_files = [\"{}\"]\n", roots.display());
    let names = NameServer::pointing_to(address.ip());
    let lab = crate::inspection::Lab::of(files, names, "hosts = [\"site.test\"]", &inspection, true);
    let authority = lab.authority();
    run(async {
        let (one, two) = tokio::join!(inside(lab.gate.address, &authority), inside(lab.gate.address, &authority));
        for round in 0..3 {
            for client in [&one, &two] {
                assert_eq!(client.get("https://site.test/").await.unwrap().status, 200);
                let shown = format!("Negotiate {round}");
                assert_eq!(client.ask(with_credentials("/", &shown), &[]).await.unwrap().status, 200);
            }
        }
    });
    let seen = seen.lock().unwrap();
    let (vouching, others): (Vec<_>, Vec<_>) = seen.iter().partition(|(_, _, shown)| shown.is_some());
    assert_eq!((vouching.len(), others.len()), (6, 6), "{seen:?}");
    assert!(others.iter().all(|(_, protocol, _)| *protocol == "2"), "{seen:?}");
    for (number, protocol, _) in vouching {
        let alone = seen.iter().filter(|(other, ..)| other == number).count() == 1;
        assert!(*protocol == "1.1" && alone, "a connection of its own: {seen:?}");
    }
}

//! Clients inside TLS that do not wait for an answer: their origin is let go at once, as it is for those outside.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::http2_client::{connect, run, secure, trusting, tunnel};
use crate::inspection_lab::{Lab, Terms, get, inner};
use crate::origin::{Log, listener_of_its_own};
use crate::peer::{End, Peer};

const PATIENCE: Duration = Duration::from_secs(20);

/// Never answers, or not to the end of a head, and tells when it has a request whole and when the gate let it go.
fn never_answering() -> (impl Fn(Peer, &Log) + Send + Sync + 'static, Receiver<&'static str>) {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let serve = move |mut peer: Peer, log: &Log| {
        let Some(request) = peer.request() else { return };
        log.note(&request);
        if request.line().contains("/half") {
            peer.send("HTTP/1.1 200 OK\r\nX-");
        }
        let tell: Sender<_> = tell.lock().unwrap().clone();
        let _ = tell.send("asked");
        peer.rest();
        let _ = tell.send("let go");
    };
    (serve, told)
}

/// The requests inside that are on record are as many, and each was closed by its client, which did not wait.
fn ended_by_their_clients(records: &[Value], count: usize) {
    let opened = inner(records, "open");
    assert_eq!(opened.len(), count, "{records:#?}");
    for open in opened {
        let close = records.iter().find(|it| it["event"] == "close" && it["id"] == open["id"]).unwrap();
        assert_eq!(
            (&close["closed_by"], &close["closed_how"]),
            (&"client".into(), &"client_closed".into()),
            "{close:#}"
        );
        assert_eq!(open["path"], close.get("path").unwrap_or(&open["path"]).clone());
    }
}

#[test]
fn a_client_inside_tls_that_goes_while_it_waits_is_named_and_the_origin_let_go() {
    let (serve, told) = never_answering();
    let mut lab = Lab::serving(serve, "");
    let post = |framing: &str| format!("POST /PATH HTTP/1.1\r\nHost: site.test\r\n{framing}");
    let requests = [
        get("/PATH", "site.test"),
        post("Content-Length: 3\r\n\r\nabc"),
        post("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        // What it asks behind it does not hide that it has gone.
        get("/PATH", "site.test").repeat(2),
    ];
    // The end of its TLS alone, that and of the connection, of the connection alone, and a reset. Who keeps what it read
    // on waits for nothing.
    let ends: [fn(Peer) -> Option<Peer>; 4] = [
        |mut client| {
            client.finish_secured();
            Some(client)
        },
        |mut client| {
            client.finish();
            Some(client)
        },
        |client| {
            drop(client);
            None
        },
        |client| {
            client.reset();
            None
        },
    ];
    let mut count = 0;
    for request in requests {
        for end in ends {
            for path in ["silent", "half"] {
                let mut client = lab.open("site.test");
                client.send(request.replace("PATH", path));
                assert_eq!(told.recv_timeout(PATIENCE), Ok("asked"));
                let still_reads = end(client);
                assert_eq!(told.recv_timeout(PATIENCE), Ok("let go"), "{request:?}");
                // Whoever still reads is told.
                if let Some(mut client) = still_reads {
                    let answer = client.answer();
                    let is_told = answer.status() == 400 && answer.text().contains("client_closed: the client closed");
                    assert!(is_told, "{}{}", answer.head, answer.text());
                    assert_eq!(client.rest(), (Vec::new(), End::Closed));
                }
                count += 1;
            }
        }
    }
    assert_eq!(lab.origin.requests().len(), count);
    ended_by_their_clients(&lab.records(), count);
}

#[test]
fn a_client_that_speaks_tls_to_the_gate_itself_and_goes_while_it_waits_is_named_too() {
    let (serve, told) = never_answering();
    let more = "[secure_proxy]\nlisten = [\"127.0.0.1:0\"]\nnames = [\"127.0.0.1\"]\n";
    let terms = Terms { config: more, ..Terms::default() };
    let mut lab = Lab::with(listener_of_its_own(443), serve, &terms);
    let status = crate::gate::status_of(&lab.data_dir());
    let proxy: SocketAddr = status["listening_tls"][0].as_str().unwrap().parse().unwrap();
    run(async {
        // TLS to the origin's host within TLS to the gate.
        let config = trusting(&lab.authority, &["http/1.1"]);
        let outer = secure(&config, "127.0.0.1", connect(proxy).await).await.unwrap();
        let mut client = secure(&config, "site.test", tunnel(outer, "site.test:443").await).await.unwrap();
        client.write_all(get("/silent", "site.test").as_bytes()).await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(told.recv_timeout(PATIENCE), Ok("asked"));
        drop(client);
        assert_eq!(told.recv_timeout(PATIENCE), Ok("let go"));
    });
    ended_by_their_clients(&lab.records(), 1);
}

#[test]
fn a_client_inside_tls_that_waits_gets_its_answers_and_those_of_what_it_asked_behind() {
    // It answers when it is told to.
    let (go, gone) = channel::<()>();
    let (tell, told) = channel();
    let (gone, tell) = (Arc::new(Mutex::new(gone)), Mutex::new(tell));
    let serve = move |mut peer: Peer, log: &Log| {
        while let Some(request) = peer.request() {
            log.note(&request);
            let _ = tell.lock().unwrap().send("asked");
            let _ = gone.lock().unwrap().recv_timeout(PATIENCE);
            let place = request.line().split(' ').nth(1).unwrap().to_owned();
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", place.len() + 3));
            peer.send("of ");
            // The rest comes when the client has closed its side, where it does.
            if place == "/last" {
                let _ = tell.lock().unwrap().send("begun");
                let _ = gone.lock().unwrap().recv_timeout(PATIENCE);
            }
            peer.send(place);
        }
    };
    let mut lab = Lab::serving(serve, "");
    let mut client = lab.open("site.test");
    let long = format!("/third?{}", "x".repeat(6000));
    let behind = [get("/second", "site.test"), get(&long, "site.test"), get("/last", "site.test")];
    client.send(get("/first", "site.test") + &behind.concat());
    for place in ["/first", "/second", &long] {
        assert_eq!(told.recv_timeout(PATIENCE), Ok("asked"));
        go.send(()).unwrap();
        assert_eq!(client.answer().text(), format!("of {place}"));
    }
    // Once the answer has begun, who closes its side gets all of it.
    assert_eq!(told.recv_timeout(PATIENCE), Ok("asked"));
    go.send(()).unwrap();
    let head = client.head().unwrap();
    assert_eq!(told.recv_timeout(PATIENCE), Ok("begun"));
    client.finish();
    go.send(()).unwrap();
    let last = client.body(head);
    assert!(last.whole && last.text() == "of /last", "{}", last.text());
    let records = lab.records();
    let complete = records.iter().filter(|it| it["closed_how"] == "complete").count();
    assert_eq!(complete, 4, "{records:#?}");
}

//! HTTP/2 inside TLS, with clients and with origins.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::carriers::{program, sha256};
use crate::http2_client::{Http2, connect, read, run, secure, trusting, tunnel};
use crate::inspection::Lab;
use crate::name_server::NameServer;
use crate::origin::{listener_of_its_own, pair_of, tls_of};

/// A web server of the distribution that speaks HTTP/2, until it is dropped.
struct Nginx {
    child: Child,
    authority: String,
    files: TempDir,
    address: std::net::SocketAddr,
}

impl Nginx {
    /// `server` stands in its server block.
    fn new(server: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let pair = pair_of(vec!["site.test".to_owned(), "*.site.test".to_owned()]);
        let path = |name: &str| files.path().join(name).display().to_string();
        std::fs::write(path("key.pem"), &pair.key).unwrap();
        std::fs::write(path("cert.pem"), &pair.certificate).unwrap();
        std::fs::create_dir(path("www")).unwrap();
        std::fs::write(path("www/page"), "the page").unwrap();
        std::fs::write(path("www/big"), vec![b'x'; 3 << 20]).unwrap();
        let listener = listener_of_its_own(443);
        let address = listener.local_addr().unwrap();
        let config = format!(
            "daemon off; master_process off; pid {pid}; error_log stderr notice;\nevents {{}}\n\
             http {{ client_body_temp_path {body}; proxy_temp_path {body}; \
             fastcgi_temp_path {body}; uwsgi_temp_path {body}; scgi_temp_path {body};\n\
             log_format told '$server_protocol $request_method $uri $status $http_via $http_cookie';\n\
             access_log {access} told;\n\
             server {{ listen {address} ssl http2; server_name site.test; ssl_certificate {cert}; \
             ssl_certificate_key {key}; root {www}; client_max_body_size 64m; {server} }} }}\n",
            pid = path("pid"),
            access = path("access.log"),
            body = path("body"),
            cert = path("cert.pem"),
            key = path("key.pem"),
            www = path("www"),
        );
        std::fs::write(path("nginx.conf"), config).unwrap();
        drop(listener);
        let mut child = Command::new("nginx")
            .args(["-c", &path("nginx.conf"), "-e", "stderr"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It says its version once it listens.
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        let first: Vec<_> = told.by_ref().map(Result::unwrap).take_while(|line| !line.contains(": nginx/")).collect();
        assert!(child.try_wait().unwrap().is_none(), "{first:#?}");
        std::thread::spawn(move || told.for_each(drop));
        Self { child, authority: pair.authority, files, address }
    }

    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.files.path().join("access.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn lab(&self, keys: &str) -> Lab {
        let files = tempfile::tempdir().unwrap();
        let roots = files.path().join("origins.pem");
        std::fs::write(&roots, &self.authority).unwrap();
        let keys = format!("hosts = [\"site.test\", \"*.site.test\"]\n{keys}");
        let inspection = format!("ca_files = [\"{}\"]\n", roots.display());
        Lab::of(files, NameServer::pointing_to(self.address.ip()), &keys, &inspection, true)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_request_over_http2_is_judged_and_reaches_an_origin_over_http2_and_http11_alike() {
    let nginx = Nginx::new("location /closed { return 200; }");
    let mut lab = nginx.lab("paths = [\"/page\", \"/big\"]");
    for (asks, answered) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let page = lab.curl(&[asks, "-w", " %{http_version} %{http_code}"], "https://site.test/page");
        assert_eq!(text(&page), format!("the page {answered} 200"), "{page:?}");
        let closed = lab.curl(&[asks, "-w", "%{http_version} %{http_code}"], "https://site.test/closed");
        assert!(text(&closed).contains("Reason: no_rule") && text(&closed).ends_with(&format!("{answered} 403")));
        let big = lab.curl(&[asks], "https://site.test/big");
        assert_eq!(big.stdout.len(), 3 << 20, "{}", text(&big).len());
    }
    let log = nginx.log();
    assert_eq!(log.len(), 4, "{log:#?}");
    assert!(log.iter().all(|line| line.starts_with("HTTP/2.0 GET ")), "{log:#?}");
    assert!(log[0].ends_with("/page 200 2 sekisho -") && log[2].ends_with("/page 200 1.1 sekisho -"), "{log:#?}");
    let records = lab.records();
    let inner = |event: &str| records.iter().filter(|it| it["event"] == event && it["scheme"] == "https").count();
    assert_eq!((inner("open"), inner("refused")), (4, 2), "{records:#?}");
    let complete = |it: &&Value| it["closed_how"] == "complete";
    assert_eq!(records.iter().filter(complete).count(), 4, "{records:#?}");
}

#[test]
fn what_an_answer_over_http2_carries_is_seen() {
    let nginx = Nginx::new("types { image/png png; }");
    let program = program(300_000);
    std::fs::write(nginx.files.path().join("www/logo.png"), &program).unwrap();
    let mut lab = nginx.lab("");
    for asks in ["--http2", "--http1.1"] {
        assert!(lab.curl(&[asks], "https://site.test/logo.png").stdout == program);
    }
    let records = lab.records();
    let closes: Vec<_> = records.iter().filter(|it| it["event"] == "close" && it["status"] == 200).collect();
    let seen: Vec<_> = closes.iter().filter(|it| it.get("body_type").is_some()).collect();
    assert_eq!(seen.len(), 2, "{closes:#?}");
    for close in seen {
        assert_eq!((&close["content_type"], &close["body_type"]), (&"image/png".into(), &"pe".into()), "{close}");
        assert_eq!(
            (&close["body_sha256"], &close["file_name"]),
            (&sha256(&program).into(), &"logo.png".into()),
            "{close}"
        );
    }
}

#[test]
fn a_body_goes_up_over_http2_whole_and_cookies_are_put_together() {
    let nginx = Nginx::new(
        "location /up { client_body_in_single_buffer on; proxy_pass https://$server_addr/page; \
                            proxy_ssl_verify off; proxy_method GET; }",
    );
    let lab = nginx.lab("");
    let body = lab.data_dir().join("../body");
    std::fs::File::create(&body).unwrap().write_all(&vec![b'y'; 5 << 20]).unwrap();
    let data = format!("@{}", body.display());
    for length in [&["-H", "Transfer-Encoding: chunked"][..], &[]] {
        for asks in ["--http2", "--http1.1"] {
            let up =
                lab.curl(&[&[asks, "--data-binary", &data, "-b", "a=1; b=2"], length].concat(), "https://site.test/up");
            assert_eq!(text(&up), "the page", "{up:?} {:?}", nginx.log());
        }
    }
    assert!(
        nginx.log().iter().any(|line| line.starts_with("HTTP/2.0 POST /up 200 2 sekisho a=1; b=2")),
        "{:#?}",
        nginx.log()
    );
}

/// An origin over HTTP/2 whose answers are these bytes and trailers, as gRPC has them.
fn with_trailers() -> (std::net::SocketAddr, String) {
    let (config, authority) = tls_of(vec!["site.test".to_owned()]);
    let mut config = std::sync::Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = listener_of_its_own(443);
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        run(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let secured = acceptor.accept(tcp).await.unwrap();
                    let mut connection = h2::server::handshake(secured).await.unwrap();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        tokio::spawn(async move {
                            let te = request.headers().get("te").cloned();
                            let mut body = request.into_body();
                            let mut asked = Vec::new();
                            while let Some(Ok(data)) = body.data().await {
                                let _ = body.flow_control().release_capacity(data.len());
                                asked.extend_from_slice(&data);
                            }
                            let trailers = body.trailers().await.unwrap();
                            let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
                            let sum = trailers.and_then(|trailers| trailers.get("sum").cloned());
                            let told = format!("{te:?} {sum:?} {}", String::from_utf8_lossy(&asked));
                            stream.send_data(told.into(), false).unwrap();
                            let mut trailers = http::HeaderMap::new();
                            trailers.insert("grpc-status", "0".parse().unwrap());
                            stream.send_trailers(trailers).unwrap();
                        });
                    }
                });
            }
        });
    });
    (address, authority)
}

fn lab_of(address: std::net::SocketAddr, authority: &str) -> Lab {
    lab_with(address, authority, "")
}

fn lab_with(address: std::net::SocketAddr, authority: &str, more: &str) -> Lab {
    let files = tempfile::tempdir().unwrap();
    let roots = files.path().join("origins.pem");
    std::fs::write(&roots, authority).unwrap();
    let inspection = format!("ca_files = [\"{}\"]\n{more}", roots.display());
    Lab::of(files, NameServer::pointing_to(address.ip()), "hosts = [\"*.test\"]", &inspection, true)
}

/// A connection of HTTP/2 within an inspected tunnel to `site.test`.
async fn inside(lab: &Lab) -> Http2 {
    let config = trusting(&lab.authority(), &["h2"]);
    let tunnelled = tunnel(connect(lab.gate.address).await, "site.test:443").await;
    Http2::over(secure(&config, "site.test", tunnelled).await.unwrap()).await
}

#[test]
fn trailers_pass_both_ways_as_remote_procedure_calls_need_them() {
    let (address, authority) = with_trailers();
    let lab = lab_of(address, &authority);
    run(async {
        let http2 = inside(&lab).await;
        let request = http::Request::post("https://site.test/call").header("te", "trailers").body(()).unwrap();
        let mut send = http2.send.clone().ready().await.unwrap();
        let (response, mut up) = send.send_request(request, false).unwrap();
        up.send_data("a message".into(), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("sum", "42".parse().unwrap());
        up.send_trailers(trailers).unwrap();
        let answer = read(response.await.unwrap()).await.unwrap();
        assert_eq!(answer.text(), "Some(\"trailers\") Some(\"42\") a message");
        assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    });
}

#[test]
fn many_requests_share_a_connection_with_the_origin_and_one_that_waits_holds_up_no_other() {
    let (address, authority) = with_trailers();
    let mut lab = lab_of(address, &authority);
    run(async {
        let http2 = inside(&lab).await;
        // It is never ended: its answer does not come.
        let mut send = http2.send.clone().ready().await.unwrap();
        let waits = http::Request::post("https://site.test/waits").body(()).unwrap();
        let _waits = send.send_request(waits, false).unwrap();
        for number in 0..300 {
            let answer = http2.get(&format!("https://site.test/{number}")).await.unwrap();
            assert_eq!((answer.status, answer.text()), (200, "None None ".to_owned()));
        }
        let both = tokio::join!(http2.get("https://site.test/a"), http2.get("https://site.test/b"));
        assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
    });
    let records = lab.records();
    let reused = records.iter().filter(|record| record["reused"] == true).count();
    assert!(reused >= 300, "{reused}");
}

#[test]
fn a_client_that_leaves_while_the_origin_is_silent_is_on_record_at_once() {
    let (address, authority) = with_trailers();
    let mut lab = lab_of(address, &authority);
    run(async {
        let http2 = inside(&lab).await;
        let answer = http2.get("https://site.test/first").await.unwrap();
        assert_eq!(answer.status, 200);
        let mut send = http2.send.clone().ready().await.unwrap();
        let waits = http::Request::post("https://site.test/waits").body(()).unwrap();
        let (response, mut up) = send.send_request(waits, false).unwrap();
        up.send_data("half".into(), false).unwrap();
        // The gate has it once a later request on the connection is answered.
        http2.get("https://site.test/second").await.unwrap();
        up.send_reset(h2::Reason::CANCEL);
        drop(response);
        http2.get("https://site.test/third").await.unwrap();
    });
    let records = lab.records();
    let waits = records.iter().find(|record| record["path"] == "/waits").unwrap();
    let closed = records.iter().find(|record| record["event"] == "close" && record["id"] == waits["id"]).unwrap();
    assert_eq!(closed["closed_by"], "client", "{closed:#}");
}

#[test]
fn streams_count_towards_what_a_client_may_have_open_and_one_more_may_be_asked_again() {
    let (address, authority) = with_trailers();
    let lab = lab_with(address, &authority, "[limits]\nclient_connections_max = 3\n");
    run(async {
        let http2 = inside(&lab).await;
        let mut waiting = Vec::new();
        for number in 0..3 {
            let mut send = http2.send.clone().ready().await.unwrap();
            let request = http::Request::post(format!("https://site.test/{number}")).body(()).unwrap();
            waiting.push(send.send_request(request, false).unwrap());
        }
        // The connection itself is one of the three.
        let refused = waiting.pop().unwrap().0.await.unwrap_err();
        assert_eq!(refused.reason(), Some(h2::Reason::REFUSED_STREAM));
        let (response, mut up) = waiting.pop().unwrap();
        up.send_data("done".into(), true).unwrap();
        assert_eq!(read(response.await.unwrap()).await.unwrap().status, 200);
    });
}

#[test]
fn a_tunnel_that_is_looked_into_ends_with_its_lifetime() {
    let (address, authority) = with_trailers();
    let mut lab = lab_with(address, &authority, "[limits]\ntunnel_lifetime_seconds = 1\n");
    run(async {
        let config = trusting(&lab.authority(), &["h2"]);
        let tunnelled = tunnel(connect(lab.gate.address).await, "site.test:443").await;
        let secured = secure(&config, "site.test", tunnelled).await.unwrap();
        let (send, connection) = h2::client::handshake(secured).await.unwrap();
        let ended = tokio::spawn(connection);
        let http2 = Http2 { send };
        assert_eq!(http2.get("https://site.test/").await.unwrap().status, 200);
        // The gate says goodbye, and the connection ends.
        let _ = ended.await.unwrap();
    });
    let records = lab.records();
    assert!(records.iter().any(|record| record["closed_how"] == "lifetime_limit"), "{records:#?}");
}

/// Whether any file below a directory holds these bytes, the authority's own left out.
fn holds(directory: &std::path::Path, bytes: &str) -> bool {
    std::fs::read_dir(directory).unwrap().map(Result::unwrap).any(|entry| {
        let path = entry.path();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => entry.file_name() != "ca" && holds(&path, bytes),
            kind if kind.is_file() => {
                let content = std::fs::read(&path).unwrap();
                content.windows(bytes.len()).any(|window| window == bytes.as_bytes())
            }
            _ => false,
        }
    })
}

#[test]
fn no_secret_of_a_request_over_http2_is_kept_or_shown_whatever_becomes_of_it() {
    let mut lab = Lab::new("paths = [\"/open\"]");
    let mut shown = String::new();
    for (number, path) in ["open", "closed", "open"].into_iter().enumerate() {
        let url = format!("https://site.test/{path}?token=planted-query");
        let planted = ["--http2", "-u", "user:planted-password", "-b", "a=planted-cookie", "-A", "marker-agent"];
        let more = if number == 2 { &["-H", "Host: planted-host.test"][..] } else { &[] };
        let text = text(&lab.curl(&[&planted[..], more].concat(), &url));
        // What the origin itself sends back is its own.
        shown.push_str(if text.contains("stopped at the gate") { &text } else { "" });
    }
    assert!(lab.asked().concat().contains("planted-cookie"), "the origin got it");
    assert_eq!(shown.matches("stopped at the gate").count(), 2, "{shown}");
    let records = lab.records();
    assert!(holds(&lab.data_dir(), "marker-agent"), "the search finds what is there");
    assert_eq!(records.iter().filter(|it| it["http"] == "2" && it["scheme"] == "https").count(), 3, "{records:#?}");
    for secret in ["planted-password", "planted-cookie", "planted-query", "dXNlcjpwbGFudGVk"] {
        assert!(!shown.contains(secret) && !holds(&lab.data_dir(), secret), "{secret}: {shown}");
    }
}

#[test]
fn a_head_of_as_many_fields_as_may_be_passes_though_the_gate_adds_to_it() {
    let (address, authority) = with_trailers();
    let lab = lab_of(address, &authority);
    run(async {
        let http2 = inside(&lab).await;
        // With its Host 128, which is the limit, and one more.
        for (fields, status) in [(127, 200), (128, 431)] {
            let mut request = http::Request::get("https://site.test/");
            for number in 0..fields {
                request = request.header(format!("x-{number}"), "1");
            }
            assert_eq!(http2.ask(request.body(()).unwrap(), &[]).await.unwrap().status, status, "{fields}");
        }
    });
}

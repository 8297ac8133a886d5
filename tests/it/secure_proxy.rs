//! The proxy that clients reach by TLS.

use std::process::{Command, Output};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::gate::{Gate, Start, status_of};
use crate::http2_client::{Http2, connect, joined, read, run, secure, trusting, tunnel};
use crate::inspection;
use crate::name_server::NameServer;
use crate::origin::{Origin, pair_of};

struct Lab {
    gate: Gate,
    files: tempfile::TempDir,
    _names: NameServer,
}

impl Lab {
    fn new(policy: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let pair = pair_of(vec!["proxy.test".to_owned()]);
        for (name, text) in [("proxy.pem", &pair.certificate), ("proxy.key", &pair.key), ("ca.pem", &pair.authority)] {
            std::fs::write(files.path().join(name), text).unwrap();
        }
        let key = files.path().join("proxy.key");
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let names = NameServer::pointing_to([127, 0, 0, 1].into());
        let config = format!(
            "{}[secure_proxy]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"{}\"\nkey = \"{}\"\n",
            names.config(),
            files.path().join("proxy.pem").display(),
            key.display()
        );
        let gate = Start { policy, config: &config, ..Start::default() }.gate();
        Self { gate, files, _names: names }
    }

    fn port(&self) -> String {
        let status = self.gate.status();
        status["listening_tls"][0].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
    }

    /// What curl gets through the proxy within TLS.
    fn curl(&self, arguments: &[&str], url: &str) -> Output {
        let port = self.port();
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--resolve", &format!("proxy.test:{port}:127.0.0.1")]);
        command.args(["-x", &format!("https://proxy.test:{port}"), "--proxy-cacert"]);
        command.arg(self.files.path().join("ca.pem")).args(arguments).arg(url).env_clear();
        std::env::var_os("PATH").map(|path| command.env("PATH", path));
        command.output().unwrap()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a client with HTTP/2 does on one connection with the proxy within TLS.
fn over_http2<T>(lab: &Lab, doing: impl AsyncFnOnce(Http2) -> T) -> T {
    let config = trusting(&std::fs::read_to_string(lab.files.path().join("ca.pem")).unwrap(), &["h2"]);
    let address = format!("127.0.0.1:{}", lab.port()).parse().unwrap();
    run(async {
        let secured = secure(&config, "proxy.test", connect(address).await).await.unwrap();
        assert_eq!(secured.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        doing(Http2::over(secured).await).await
    })
}

fn policy(port: u16, more: &str) -> String {
    format!(
        "[[rule]]\nname = \"all\"\nhosts = [\"*.site.test\", \"site.test\"]\nports = [{port}]\n\
         private = [\"127.0.0.0/8\"]\nprotocol = \"any\"\nverdict = \"allow\"\n{more}"
    )
}

#[test]
fn every_request_within_tls_carries_the_identity_of_its_program_plain_ones_too() {
    let origin = Origin::start();
    let port = origin.address.port();
    let mut lab = Lab::new(&policy(port, ""));
    let plain = lab.curl(&[], &format!("http://site.test:{port}/a"));
    assert!(text(&plain).starts_with("GET /a HTTP/1.1"), "{plain:?}");
    let tunnelled = lab.curl(&["--proxytunnel"], &format!("http://site.test:{port}/b"));
    assert!(text(&tunnelled).starts_with("GET /b HTTP/1.1"), "{tunnelled:?}");
    let refused = lab.curl(&["-w", "%{http_code}"], &format!("http://other.test:{port}/"));
    assert!(text(&refused).ends_with("403"), "{refused:?}");
    let streams = over_http2(&lab, async |http2| {
        let plain = http2.get(&format!("http://site.test:{port}/c")).await.unwrap();
        let refused = http2.get(&format!("http://other.test:{port}/")).await.unwrap();
        let (established, mut up) = http2.connect(&format!("site.test:{port}")).await.unwrap();
        assert_eq!(established.status(), 200);
        up.send_data("GET /d HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n".into(), false).unwrap();
        let through = read(established).await.unwrap();
        let no_way = http2.connect(&format!("other.test:{port}")).await.unwrap().0;
        (plain, refused, through, read(no_way).await.unwrap())
    });
    let (plain, refused, through, no_way) = streams;
    assert_eq!((plain.status, refused.status, no_way.status), (200, 403, 403), "{refused:?} {no_way:?}");
    assert!(plain.text().starts_with("GET /c HTTP/1.1") && plain.text().contains("Via: 2 sekisho"), "{plain:?}");
    assert!(through.text().contains("GET /d HTTP/1.1"), "{through:?}");
    assert!(no_way.fields["proxy-status"].to_str().unwrap().contains("port_not_opened"), "{no_way:?}");
    let records = lab.gate.records();
    let asked: Vec<_> =
        records.iter().filter(|it| ["open", "refused"].iter().any(|event| it["event"] == *event)).collect();
    assert_eq!(asked.len(), 7, "{asked:#?}");
    for record in asked {
        assert!(record["ja4"].as_str().is_some_and(|ja4| ja4.starts_with("t13d")), "{record:#}");
    }
}

#[test]
fn who_speaks_no_tls_or_trusts_not_the_certificate_is_told_and_on_record() {
    let mut lab = Lab::new("");
    let plain = Command::new("curl")
        .args(["-sS", "--max-time", "20", "-x", &format!("http://127.0.0.1:{}", lab.port()), "http://site.test/"])
        .output()
        .unwrap();
    assert!(text(&plain).contains("tls_expected"), "{plain:?}");
    let distrusts = lab.curl(&["--proxy-cacert", "/etc/ssl/certs/ca-certificates.crt"], "http://site.test/");
    assert_eq!(distrusts.status.code(), Some(60), "{distrusts:?}");
    let reasons: Vec<_> = lab.gate.events("refused").iter().map(|record| record["reason"].clone()).collect();
    assert_eq!(reasons, ["tls_expected", "tls_refused"]);
}

#[test]
fn a_certificate_that_was_put_in_place_of_another_is_shown_after_a_reload() {
    let origin = Origin::start();
    let port = origin.address.port();
    let lab = Lab::new(&policy(port, ""));
    let url = format!("http://site.test:{port}/");
    assert!(lab.curl(&[], &url).status.success());
    let pair = pair_of(vec!["proxy.test".to_owned()]);
    let put = |name: &str, text: &str| std::fs::write(lab.files.path().join(name), text).unwrap();
    // Half of it is no pair: what was shown goes on.
    put("proxy.pem", &pair.certificate);
    assert!(lab.gate.reload().status.success());
    assert!(lab.curl(&[], &url).status.success());
    put("proxy.key", &pair.key);
    assert!(lab.gate.reload().status.success());
    assert!(!lab.curl(&[], &url).status.success(), "its authority is another");
    put("ca.pem", &pair.authority);
    assert!(lab.curl(&[], &url).status.success());
}

#[test]
fn without_a_certificate_or_with_a_key_for_all_to_read_the_gate_does_not_start_and_says_why() {
    let config = |more: &str| format!("[secure_proxy]\nlisten = [\"127.0.0.1:0\"]\n{more}\n");
    let says = |config: &str, words: &[&str]| {
        let output = Start { policy: "", config, ..Start::default() }.output();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && words.iter().all(|word| told.contains(word)), "{told}");
    };
    says(&config(""), &["what the proxy shows to its clients is not said", "`names`", "`certificate`"]);
    says(&config("names = [\"proxy.test\"]"), &["[secure_proxy]", "sekisho ca init"]);
    says(&config("names = [\"a b\"]"), &["`a b` is no host name"]);
    let files = tempfile::tempdir().unwrap();
    let pair = pair_of(vec!["proxy.test".to_owned()]);
    let path = |name: &str| files.path().join(name).display().to_string();
    std::fs::write(path("proxy.pem"), &pair.certificate).unwrap();
    let named = config(&format!("certificate = \"{}\"\nkey = \"{}\"", path("proxy.pem"), path("proxy.key")));
    says(&named, &["proxy.key", "No such file"]);
    std::fs::write(path("proxy.key"), &pair.key).unwrap();
    std::fs::set_permissions(path("proxy.key"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    says(&named, &["everybody may read the key", "chmod o="]);
    std::fs::set_permissions(path("proxy.key"), std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    std::fs::write(path("proxy.key"), pair_of(vec!["proxy.test".to_owned()]).key).unwrap();
    says(&named, &["do not belong together"]);
    std::fs::write(path("proxy.key"), "nothing").unwrap();
    says(&named, &["holds no private key"]);
}

/// Both ways to the proxy within TLS, and in each both versions inside a tunnel that is looked into.
#[test]
fn a_tunnel_is_looked_into_whichever_way_its_client_came() {
    let more = "[secure_proxy]\nlisten = [\"127.0.0.1:0\"]\nnames = [\"proxy.test\"]\n";
    let mut lab = inspection::Lab::configured("paths = [\"/open\"]", more);
    let port = status_of(&lab.data_dir())["listening_tls"][0].as_str().unwrap().parse().unwrap();
    let (to_proxy, authority) = (|protocol| trusting(&lab.authority(), &[protocol]), lab.authority());
    run(async {
        for outer in ["http/1.1", "h2"] {
            for inner in ["http/1.1", "h2"] {
                let secured = secure(&to_proxy(outer), "proxy.test", connect(port).await).await.unwrap();
                let stream: Box<dyn Both> = match outer {
                    "h2" => {
                        let (established, up) = Http2::over(secured).await.connect("site.test:443").await.unwrap();
                        Box::new(joined(established, up))
                    }
                    _ => Box::new(tunnel(secured, "site.test:443").await),
                };
                let mut inside = secure(&trusting(&authority, &[inner]), "site.test", stream).await.unwrap();
                let told = match inner {
                    "h2" => {
                        let http2 = Http2::over(inside).await;
                        let open = http2.get("https://site.test/open").await.unwrap();
                        open.text() + &http2.get("https://site.test/closed").await.unwrap().text()
                    }
                    _ => {
                        let requests = "GET /open HTTP/1.1\r\nHost: site.test\r\n\r\nGET /closed HTTP/1.1\r\n\
                                        Host: site.test\r\nConnection: close\r\n\r\n";
                        inside.write_all(requests.as_bytes()).await.unwrap();
                        let mut told = String::new();
                        let _ = inside.read_to_string(&mut told).await;
                        told
                    }
                };
                assert!(told.contains("GET /open HTTP/1.1"), "{outer} {inner}: {told}");
                assert!(told.contains("Reason: no_rule"), "{outer} {inner}: {told}");
            }
        }
    });
    assert_eq!(lab.asked().len(), 4, "{:#?}", lab.asked());
    let records = lab.records();
    let inner: Vec<_> = records.iter().filter(|record| record["scheme"] == "https").collect();
    assert_eq!(inner.len(), 8, "{inner:#?}");
    assert!(inner.iter().all(|record| record["ja4"].is_string() && record["inside"].is_string()), "{inner:#?}");
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Both for S {}

#[test]
fn a_tunnel_that_was_refused_or_has_ended_takes_no_stream_from_those_that_come_after_it() {
    let origin = Origin::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let port = origin.address.port();
    let lab = Lab::new(&policy(port, ""));
    over_http2(&lab, async |http2| {
        // More than a connection may have at a time. Of those that are refused the client does not end its way.
        let mut kept = Vec::new();
        for _ in 0..600 {
            let (refused, up) = http2.connect("other.test:443").await.unwrap();
            assert_eq!(refused.status(), 403);
            kept.push(up);
        }
        for _ in 0..600 {
            let (established, mut up) = http2.connect(&format!("site.test:{port}")).await.unwrap();
            up.send_data("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n".into(), false).unwrap();
            assert!(read(established).await.unwrap().text().starts_with("HTTP/1.1 200 OK"));
        }
        assert_eq!(http2.get(&format!("http://site.test:{port}/")).await.unwrap().status, 200);
    });
}

#[test]
fn a_tunnel_ends_with_the_connection_of_its_client_though_its_origin_says_nothing() {
    let (come, came) = std::sync::mpsc::channel();
    let origin = Origin::serving(move |mut peer, _| {
        come.send(()).unwrap();
        // It reads to its end, and never ends its own way.
        let _ = peer.rest();
        std::thread::park();
    });
    let port = origin.address.port();
    let mut lab = Lab::new(&policy(port, ""));
    over_http2(&lab, async |http2| {
        let (established, mut up) = http2.connect(&format!("site.test:{port}")).await.unwrap();
        up.send_data("hello".into(), false).unwrap();
        came.recv().unwrap();
        drop((established, up));
    });
    let is_over = |_: &u32| lab.gate.status()["connections"]["tunnels"] == 0;
    assert!((0..1000).any(|turn| is_over(&turn)), "it does not wait for its idle limit");
    let closed = lab.gate.events("close");
    assert_eq!((&closed[0]["closed_by"], &closed[0]["closed_how"]), (&"client".into(), &"reset".into()), "{closed:#?}");
}

#[test]
fn a_tunnel_within_tls_has_the_bursts_of_its_client_on_record() {
    let origin = Origin::echo();
    let authority = format!("site.test:{}", origin.address.port());
    let mut lab = Lab::new(&policy(origin.address.port(), ""));
    let config = trusting(&std::fs::read_to_string(lab.files.path().join("ca.pem")).unwrap(), &["http/1.1"]);
    let address = format!("127.0.0.1:{}", lab.port()).parse().unwrap();
    run(async {
        let secured = secure(&config, "proxy.test", connect(address).await).await.unwrap();
        let mut client = tunnel(secured, &authority).await;
        let mut bytes = [0; 3];
        let silence = tokio::time::timeout(Duration::from_millis(600), client.read_exact(&mut bytes));
        assert!(silence.await.is_err());
        client.write_all(b"abc").await.unwrap();
        client.read_exact(&mut bytes).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(client.read(&mut bytes).await.unwrap(), 0);
    });
    let close = &lab.gate.events("close")[0];
    let bursts: Vec<[u64; 3]> = serde_json::from_value(close["bursts"].clone()).unwrap();
    assert!(matches!(bursts[..], [[after, 3, 3]] if after >= 50), "{close}");
}

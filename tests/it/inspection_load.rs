//! Many hosts at once that the gate has never seen, and one host that many ask for at once.

use std::collections::HashSet;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::gate::{Gate, Start, raise_open_files, records, status_of};
use crate::http2_client::{connect, run, secure, trusting, tunnel};
use crate::inspection_lab::{get, sekisho};
use crate::name_server::NameServer;
use crate::origin::{listener_of_its_own, tls_of};

const HOSTS: usize = 1000;
const CLIENTS_OF_ONE_HOST: usize = 500;
/// What the gate may hold with all of them there: 128 KiB a client with two connections inside TLS, in a debug build.
const MEMORY_BYTES_MAX: u64 = (HOSTS as u64) * (128 << 10) + (64 << 20);

/// An origin of every name below `site.test`, which answers all that is asked for; as many at once as come.
fn serve_all(listener: std::net::TcpListener, config: Arc<ServerConfig>) {
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        run(async {
            let listener = TcpListener::from_std(listener).unwrap();
            let acceptor = TlsAcceptor::from(config);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await?;
                    let mut head = Vec::new();
                    while stream.read_buf(&mut head).await? > 0 {
                        if head.ends_with(b"\r\n\r\n") {
                            head.clear();
                            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
                            stream.flush().await?;
                        }
                    }
                    std::io::Result::Ok(())
                });
            }
        });
    });
}

struct Lab {
    gate: Gate,
    files: tempfile::TempDir,
    authority: String,
    _names: NameServer,
}

impl Lab {
    fn new() -> Self {
        raise_open_files();
        let files = tempfile::tempdir().unwrap();
        let (config, roots) = tls_of(vec!["*.site.test".to_owned()]);
        let roots_file = files.path().join("origins.pem");
        std::fs::write(&roots_file, roots).unwrap();
        let listener = listener_of_its_own(443);
        let names = NameServer::pointing_to(listener.local_addr().unwrap().ip());
        serve_all(listener, config);
        let data_dir = files.path().join("data");
        assert!(sekisho(&["ca", "init"], &data_dir).status.success());
        let authority = String::from_utf8(sekisho(&["ca", "export"], &data_dir).stdout).unwrap();
        let policy = "[[rule]]\nname = \"inside\"\nhosts = [\"*.site.test\"]\nprivate = [\"127.0.0.0/8\"]\n\
                      verdict = \"allow\"\ninspect = true\n";
        let config = format!("{}[inspection]\nca_files = [\"{}\"]\n", names.config(), roots_file.display());
        let gate = Start { policy, config: &config, data_dir: Some(data_dir), ..Start::default() }.gate();
        Self { gate, files, authority, _names: names }
    }

    /// Opens a tunnel to each of these hosts at once, of which none ends before all are answered. The certificates that
    /// were shown.
    async fn ask(&self, hosts: impl Iterator<Item = String>) -> Vec<Vec<u8>> {
        let (tls, address) = (trusting(&self.authority, &[]), self.gate.address);
        let mut asking: JoinSet<_> = hosts
            .map(|host| {
                let tls = tls.clone();
                async move {
                    let stream = tunnel(connect(address).await, &format!("{host}:443")).await;
                    let mut stream = secure(&tls, &host, stream).await.unwrap();
                    stream.write_all(get("/", &host).as_bytes()).await.unwrap();
                    let mut answer = Vec::new();
                    while !answer.ends_with(b"\r\n\r\nok") {
                        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "{host}");
                    }
                    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{host}: {}", String::from_utf8_lossy(&answer));
                    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                    (shown, stream)
                }
            })
            .collect();
        let mut answered = Vec::new();
        while let Some(one) = asking.join_next().await {
            answered.push(one.unwrap());
        }
        assert_eq!(status_of(&self.files.path().join("data"))["connections"]["open"], answered.len());
        answered.into_iter().map(|(shown, _)| shown).collect()
    }

    fn data_dir(&self) -> std::path::PathBuf {
        self.files.path().join("data")
    }
}

#[test]
fn a_thousand_new_hosts_at_once_are_minted_once_each_and_nothing_is_refused() {
    let mut lab = Lab::new();
    let hosts = || (0..HOSTS).map(|number| format!("h{number}.site.test"));
    let (first, second) = run(async { (lab.ask(hosts()).await, lab.ask(hosts()).await) });
    let distinct: HashSet<_> = first.iter().chain(&second).collect();
    assert_eq!((first.len(), second.len(), distinct.len()), (HOSTS, HOSTS, HOSTS), "as many certificates as hosts");
    let peak = lab.gate.peak_memory();
    assert!(peak < MEMORY_BYTES_MAX, "{} MiB", peak >> 20);
    assert_eq!(lab.gate.end("-TERM"), Some(0));
    let records = records(&lab.data_dir());
    let count = |event: &str| records.iter().filter(|record| record["event"] == event).count();
    // A tunnel and a request each.
    assert_eq!((count("refused"), count("open"), count("close")), (0, HOSTS * 4, HOSTS * 4));
}

#[test]
fn one_host_that_five_hundred_ask_for_at_once_is_minted_once() {
    let lab = Lab::new();
    let hosts = (0..CLIENTS_OF_ONE_HOST).map(|_| "same.site.test".to_owned());
    let shown = run(lab.ask(hosts));
    let distinct: HashSet<_> = shown.iter().collect();
    assert_eq!((shown.len(), distinct.len()), (CLIENTS_OF_ONE_HOST, 1));
}

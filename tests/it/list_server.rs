//! A server of files over HTTPS, with a certificate authority of its own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

/// It serves until the test ends.
pub(crate) struct ListServer {
    pub(crate) address: SocketAddr,
    directory: TempDir,
    files: Files,
    connections: Arc<AtomicUsize>,
    posted: Posted,
}

/// What is answered by path, status line and fields included.
type Posted = Arc<Mutex<Vec<String>>>;
/// Answers by path, as they are sent.
type Files = Arc<Mutex<HashMap<String, Vec<u8>>>>;

impl ListServer {
    /// One whose certificate names 127.0.0.1, where it listens.
    pub(crate) fn start() -> Self {
        Self::named("127.0.0.1")
    }

    /// One whose certificate names another.
    pub(crate) fn named(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let chain = vec![CertificateDer::from(leaf)];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (files, connections, posted) = (Files::default(), Arc::new(AtomicUsize::new(0)), Posted::default());
        let taken = posted.clone();
        let (served, counted, config) = (files.clone(), connections.clone(), Arc::new(config));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream.unwrap());
                // A client that does not like the certificate goes away.
                let _ = answer(&mut stream, &served, &taken);
            }
        });
        Self { address, directory, files, connections, posted }
    }

    pub(crate) fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let content = content.as_ref();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
        self.put_answer(path, [head.as_bytes(), content].concat());
    }

    /// The list and the checksum of it.
    pub(crate) fn put_with_sum(&self, path: &str, content: &str) {
        self.put(path, content);
        self.put(
            &format!("{path}.sha256"),
            format!("{}  list\n", sekisho::lists::Sum::of(content.as_bytes()).to_hex()),
        );
    }

    pub(crate) fn put_answer(&self, path: &str, answer: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(path.to_owned(), answer.into());
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// What was posted to paths that are there.
    pub(crate) fn posted(&self) -> Vec<String> {
        self.posted.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A list of a config that is fetched from here, with more keys; loopback is opened for it.
    pub(crate) fn list(&self, name: &str, path: &str, keys: &str) -> String {
        format!(
            "[lists.{name}]\nurl = \"{}\"\nprivate = [\"127.0.0.0/8\"]\nca_file = \"{}\"\n{keys}\n",
            self.url(path),
            self.ca().display()
        )
    }

    /// The same with its checksum beside it.
    pub(crate) fn list_with_sum(&self, name: &str, path: &str) -> String {
        self.list(name, path, &format!("sha256_url = \"{}\"", self.url(&format!("{path}.sha256"))))
    }
}

fn answer(stream: &mut (impl std::io::Read + Write), files: &Files, posted: &Posted) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut *stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let none = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
    let found = files.lock().unwrap().get(&path).cloned();
    if found.is_some() && head.starts_with("POST ") {
        assert!(head.to_ascii_lowercase().contains("\r\ncontent-type: application/json\r\n"), "{head}");
        posted.lock().unwrap().push(String::from_utf8(body).unwrap());
    }
    stream.write_all(&found.unwrap_or(none))?;
    stream.flush()
}

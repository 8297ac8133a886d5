//! A gate that looks into tunnels, an origin inside TLS behind it, and clients that trust the gate's authority.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use rustls::ClientConfig;
use serde_json::Value;
use tempfile::TempDir;

use crate::gate::{Gate, Start, records};
use crate::http2_client::trusting;
use crate::name_server::NameServer;
use crate::origin::{Log, Origin, each, head_of, listener_of_its_own, tls_of};
use crate::peer::Peer;

/// The gate listens in clear and inspects what is asked for at `site.test` and the names below it.
pub(crate) struct Lab {
    pub(crate) gate: Gate,
    pub(crate) origin: Origin,
    pub(crate) names: NameServer,
    pub(crate) files: TempDir,
    /// The gate's authority, in PEM.
    pub(crate) authority: String,
}

/// What a lab is made with.
#[derive(Default)]
pub(crate) struct Terms<'a> {
    /// More keys of the rule that inspects.
    pub(crate) keys: &'a str,
    /// More of the policy, behind that rule.
    pub(crate) policy: &'a str,
    /// More of the config.
    pub(crate) config: &'a str,
    /// What a shell does before it becomes the gate.
    pub(crate) before: &'a str,
}

impl Lab {
    /// An origin that answers with the head that it was sent, and a rule with these keys.
    pub(crate) fn new(keys: &str) -> Self {
        Self::serving(each(head_of), keys)
    }

    /// An origin each of whose connections is served by `serve`.
    pub(crate) fn serving(serve: impl Fn(Peer, &Log) + Send + Sync + 'static, keys: &str) -> Self {
        Self::with(listener_of_its_own(443), serve, &Terms { keys, ..Terms::default() })
    }

    pub(crate) fn with(
        listener: TcpListener,
        serve: impl Fn(Peer, &Log) + Send + Sync + 'static,
        terms: &Terms<'_>,
    ) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (config, authority) = tls_of(vec!["site.test".to_owned(), "*.site.test".to_owned()]);
        let roots = files.path().join("origins.pem");
        std::fs::write(&roots, authority).unwrap();
        let origin = Origin::within(config, listener, serve);
        let names = NameServer::pointing_to(origin.address.ip());
        let data_dir = files.path().join("data");
        let made = sekisho(&["ca", "init", "--name", "test-gate"], &data_dir);
        assert!(made.status.success(), "{made:?}");
        let authority = String::from_utf8(sekisho(&["ca", "export"], &data_dir).stdout).unwrap();
        let Terms { keys, policy, config, before } = terms;
        let policy = format!(
            "[[rule]]\nname = \"inside\"\nhosts = [\"site.test\", \"*.site.test\"]\nprivate = [\"127.0.0.0/8\"]\n\
             verdict = \"allow\"\ninspect = true\n{keys}\n{policy}"
        );
        let config = format!("{}{config}\n[inspection]\nca_files = [\"{}\"]\n", names.config(), roots.display());
        let start = Start { policy: &policy, config: &config, data_dir: Some(data_dir), before, ..Start::default() };
        Self { gate: start.gate(), origin, names, files, authority }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.files.path().join("data")
    }

    /// A client's side of TLS: it trusts the gate's authority alone, and keeps sessions of its own.
    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        trusting(&self.authority, &[])
    }

    /// A tunnel of this client's, of which nothing was said yet.
    pub(crate) fn tunnel_of(&self, client: Ipv4Addr, host: &str) -> Peer {
        let mut peer = Peer::connect_from(client.into(), self.gate.address);
        peer.send(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"));
        let answer = peer.head().unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.head);
        peer
    }

    pub(crate) fn tunnel(&self, host: &str) -> Peer {
        self.tunnel_of(Ipv4Addr::LOCALHOST, host)
    }

    /// A tunnel that is looked into, and in which requests can be made.
    pub(crate) fn open(&self, host: &str) -> Peer {
        self.tunnel(host).secure(self.tls(), host).unwrap()
    }

    /// What is on record once the gate has ended.
    pub(crate) fn records(&mut self) -> Vec<Value> {
        assert_eq!(self.gate.end("-TERM"), Some(0), "a drained gate ends with 0");
        records(&self.data_dir())
    }
}

/// A GET inside a tunnel.
pub(crate) fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// Records of requests inside tunnels that have this event, in the order in which the requests came.
pub(crate) fn inner<'r>(records: &'r [Value], event: &str) -> Vec<&'r Value> {
    // The first record of an exchange alone says what it is inside of.
    let first = |id: &Value| records.iter().any(|record| record["id"] == *id && record.get("inside").is_some());
    let mut found: Vec<_> = records.iter().filter(|record| record["event"] == event && first(&record["id"])).collect();
    found.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
    found
}

pub(crate) fn sekisho(arguments: &[&str], data_dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).args(arguments).arg(data_dir).output().unwrap()
}

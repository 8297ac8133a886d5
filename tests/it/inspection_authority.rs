//! An authority that cannot be used: what is to be looked into is denied and says why, and all else goes its way.

use std::fs;
use std::path::Path;

use crate::gate::{Gate, Notices, Start, records};
use crate::http2_client::trusting;
use crate::inspection_lab::{Lab, Terms, get, sekisho};
use crate::name_server::NameServer;
use crate::origin::{Origin, each, head_of, listener_of_its_own, pair_of, tls_of};
use crate::peer::{End, Peer};
use crate::tunnel_lab::ALERT;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, date_time_ymd,
};

/// Another authority than `ca init` makes, in its files: with a key and until a year.
fn replace(ca: &Path, until: i32) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Sekisho of long ago");
    (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(until, 1, 1));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    fs::write(ca.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    // Over the file that is there, whose mode is the owner's alone.
    fs::write(ca.join("ca.key"), key.serialize_pem()).unwrap();
}

/// What is wrong with the files of an authority, how they come to be so, what the record says, and whether that shows
/// only once a host is asked for.
type Case = (&'static str, fn(&Path), &'static str, bool);

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

const CASES: [Case; 10] = [
    ("no key", |ca| fs::remove_file(ca.join("ca.key")).unwrap(), "ca.key", false),
    ("no certificate", |ca| fs::remove_file(ca.join("ca.pem")).unwrap(), "ca.pem", false),
    (
        "a key that cannot be read",
        |ca| {
            fs::remove_file(ca.join("ca.key")).unwrap();
            // Root reads what it may not, but no directory.
            fs::DirBuilder::new().create(ca.join("ca.key")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::set_permissions(ca.join("ca.key"), mode).unwrap();
        },
        "ca.key",
        false,
    ),
    ("an empty key", |ca| put(&ca.join("ca.key"), ""), "holds no P-256 key", false),
    (
        "garbage for a key",
        |ca| put(&ca.join("ca.key"), "-----BEGIN PRIVATE KEY-----\nMIGHAg"),
        "holds no P-256 key",
        false,
    ),
    ("no end of a key", |ca| put(&ca.join("ca.key"), &"A".repeat(65 << 10)), "longer than 64 KiB", false),
    ("garbage for a certificate", |ca| put(&ca.join("ca.pem"), "\u{feff}-----BEGIN"), "holds no certificate", false),
    (
        "a certificate of no authority",
        |ca| {
            put(&ca.join("ca.pem"), &pair_of(vec!["site.test".to_owned()]).certificate);
        },
        "holds no certificate",
        false,
    ),
    (
        "the key of another",
        |ca| {
            let key = fs::read(ca.join("ca.key")).unwrap();
            replace(ca, 2099);
            fs::write(ca.join("ca.key"), key).unwrap();
        },
        "is not that of the certificate",
        false,
    ),
    ("its time is over", |ca| replace(ca, 2021), "is over since 2021-01-01", true),
];

#[test]
fn an_authority_that_cannot_be_used_denies_what_is_inspected_and_nothing_else() {
    let (tls, roots) = tls_of(vec!["site.test".to_owned(), "other.test".to_owned()]);
    let secured = Origin::within(tls, listener_of_its_own(443), each(head_of));
    let plain = Origin::start();
    let names = NameServer::pointing_to(secured.address.ip());
    let rule = |name: &str, inspect| {
        format!(
            "[[rule]]\nname = \"{name}\"\nhosts = [\"{name}.test\"]\nprivate = [\"127.0.0.0/8\"]\n\
             verdict = \"allow\"\ninspect = {inspect}\n"
        )
    };
    let policy = format!("{}{}{}", rule("site", true), rule("other", false), plain.policy());
    for (wrong, spoil, says, only_for_hosts) in CASES {
        let files = tempfile::tempdir().unwrap();
        let data_dir = files.path().join("data");
        assert!(sekisho(&["ca", "init"], &data_dir).status.success());
        spoil(&data_dir.join("ca/current"));
        let config = names.config();
        let start = Start { policy: &policy, config: &config, data_dir: Some(data_dir.clone()), ..Start::default() };
        let mut gate = start.gate();
        let (mut client, status) = connect(&gate, "site.test");
        if only_for_hosts {
            // A hello is waited for, and then there is nobody to vouch.
            assert_eq!(status, 200, "{wrong}");
            let config = trusting(&roots, &[]);
            let mut hello = Vec::new();
            let mut tls = rustls::ClientConnection::new(config, "site.test".try_into().unwrap()).unwrap();
            tls.write_tls(&mut hello).unwrap();
            client.send(hello);
            assert_eq!(client.rest(), (ALERT.to_vec(), End::Closed), "{wrong}");
        } else {
            assert_eq!(status, 403, "{wrong}");
        }
        // What no rule looks into goes on: a tunnel of the client's own TLS, and what is asked in clear.
        let (client, status) = connect(&gate, "other.test");
        assert_eq!(status, 200, "{wrong}");
        let mut client = client.secure(trusting(&roots, &[]), "other.test").unwrap();
        client.send(get("/", "other.test"));
        assert!(client.answer().text().starts_with("GET / "), "{wrong}");
        drop(client);
        let asked = format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n", plain.address);
        assert!(gate.send(asked.as_bytes()).starts_with("HTTP/1.1 200 "), "{wrong}");
        let told = crate::gate::status_of(&data_dir);
        let fault = told["inspection_fault"].as_str().unwrap_or_else(|| panic!("{wrong}: {told:#}"));
        assert!(fault.contains(says), "{wrong}: {fault}");
        assert_eq!(gate.end("-TERM"), Some(0));
        let records = records(&data_dir);
        let refused: Vec<_> = records.iter().filter(|record| record["event"] == "refused").collect();
        assert_eq!(refused.len(), 1, "{wrong}: {records:#?}");
        let told = (&refused[0]["reason"], &refused[0]["rule"]);
        assert_eq!(told, (&"inspection_unavailable".into(), &"site".into()), "{wrong}: {}", refused[0]);
    }
}

fn connect(gate: &Gate, host: &str) -> (Peer, u16) {
    let mut client = gate.client();
    client.send(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"));
    let status = client.head().unwrap().status();
    (client, status)
}

#[test]
fn an_authority_that_is_spoilt_under_a_running_gate_goes_on_vouching_also_for_new_hosts() {
    let notices = Notices::new();
    let before = notices.before();
    let terms = Terms { before: &before, ..Terms::default() };
    let lab = Lab::with(listener_of_its_own(443), each(head_of), &terms);
    let answers = |host: &str| {
        let mut client = lab.open(host);
        client.send(get("/", host));
        client.answer().status()
    };
    assert_eq!(answers("site.test"), 200);
    put(&lab.data_dir().join("ca/current/ca.key"), "garbage");
    let reloaded = sekisho(&["reload"], &lab.data_dir());
    assert!(reloaded.status.success(), "{reloaded:?}");
    let said = notices.until("the certificate authority before goes on vouching");
    assert!(said.contains("holds no P-256 key") && !said.contains("garbage"), "{said}");
    assert_eq!((answers("site.test"), answers("new.site.test")), (200, 200));
}

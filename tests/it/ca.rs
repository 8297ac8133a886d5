//! The certificate authority, as a person makes it and as another TLS library sees it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use sekisho::facts::Host;
use sekisho::tls::{AuthorityFiles, Minter};
use serde_json::Value;

fn ca(data_dir: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("ca").args(arguments.split(' ')).arg(data_dir).output().unwrap()
}

fn done(data_dir: &Path, arguments: &str) -> String {
    let output = ca(data_dir, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(data_dir: &Path, arguments: &str) -> (i32, String) {
    let output = ca(data_dir, arguments);
    assert!(output.stdout.is_empty(), "{arguments}: {}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn shown(data_dir: &Path) -> Value {
    serde_json::from_str(&done(data_dir, "show --format json")).unwrap()
}

fn openssl(arguments: &str, directory: &Path) -> Output {
    Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().unwrap()
}

#[test]
fn what_is_shown_is_what_another_library_reads() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let told = done(data, "init --name gate1 --days 400 --permit corp.example --exclude hr.corp.example");
    assert!(told.contains("corp.example and what is below; no address"), "{told}");
    done(data, &format!("export --out {}", data.join("ca.pem").display()));
    let read = openssl("x509 -in ca.pem -noout -text -fingerprint -sha256", data);
    let text = String::from_utf8(read.stdout).unwrap();
    let shown = shown(data);
    for expected in [
        &format!("sha256 Fingerprint={}", shown["current"]["sha256"].as_str().unwrap()),
        &format!("Subject: CN = {}", shown["current"]["subject"].as_str().unwrap()),
        "ASN1 OID: prime256v1",
        "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0",
        "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign",
        "X509v3 Subject Key Identifier",
        "DNS:corp.example",
        "DNS:hr.corp.example",
        "IP:0.0.0.0/0.0.0.0",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let read = openssl("x509 -in ca.pem -noout -fingerprint -sha1", data);
    let sha1 = shown["current"]["sha1"].as_str().unwrap();
    assert!(String::from_utf8(read.stdout).unwrap().contains(sha1), "{sha1}");
    assert_eq!(shown["current"]["days_left"], 399);
    assert_eq!(shown["warnings"].as_array().unwrap().len(), 0);
}

#[test]
fn another_library_takes_what_is_minted_for_its_host_alone_and_only_where_the_authority_may_vouch() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    done(data, "init --permit corp.example");
    done(data, &format!("export --out {}", data.join("ca.pem").display()));
    let minter = Minter::new(AuthorityFiles::new(data).load().unwrap().current).unwrap();
    let host = Host::parse(b"a.corp.example").unwrap();
    let minted = minter.certificate(&host, sekisho::clock::now()).unwrap();
    fs::write(data.join("leaf.der"), &minted.cert[0]).unwrap();
    assert!(openssl("x509 -inform der -in leaf.der -out leaf.pem", data).status.success());
    let verify = |name: &str| {
        let output = openssl(
            &format!("verify -x509_strict -purpose sslserver -verify_hostname {name} -CAfile ca.pem leaf.pem"),
            data,
        );
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (taken, why) = verify("a.corp.example");
    assert!(taken, "{why}");
    let (taken, why) = verify("b.corp.example");
    assert!(!taken && why.contains("hostname mismatch"), "{why}");
}

#[test]
fn no_command_shows_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let mut told = done(data, "init");
    let key = fs::read_to_string(data.join("ca/current/ca.key")).unwrap();
    for command in ["show", "show --format json", "export", "rotate", "export --which next", "rotate --finish"] {
        told.push_str(&done(data, command));
    }
    let secret: Vec<&str> = key.lines().filter(|line| !line.starts_with('-')).collect();
    assert!(
        !secret.is_empty() && !told.contains("PRIVATE") && secret.iter().all(|line| !told.contains(line)),
        "{told}"
    );
    // And in DER, of which no part of the key is a part.
    let der = ca(data, "export --encoding der").stdout;
    let key = data_encoding::BASE64.decode(secret.concat().as_bytes()).unwrap();
    // PKCS#8 of P-256 has the private number at octets 36 to 68 (RFC 5958, RFC 5915).
    assert!(!der.windows(32).any(|part| part == &key[36..68]));
}

#[test]
fn export_gives_text_to_read_back_and_der_that_is_the_same_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    done(data, "init");
    let pem = done(data, "export");
    assert_eq!(pem, fs::read_to_string(data.join("ca/current/ca.pem")).unwrap());
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = ca(data, "export --encoding der").stdout;
    assert_eq!(data_encoding::BASE64.decode(text.as_bytes()).unwrap(), der);
    let (code, why) = refused(data, "export --which next");
    assert_eq!(code, 2);
    assert!(why.starts_with("sekisho: there is no next certificate authority\nhint: "), "{why}");
}

#[test]
fn a_rotation_shows_both_keeps_the_names_and_ends_with_the_next_one_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    done(data, "init --permit corp.example");
    let first = shown(data)["current"].clone();
    let (code, why) = refused(data, "rotate --finish");
    assert_eq!(code, 2);
    assert!(why.contains("no next certificate authority is prepared"), "{why}");
    done(data, "rotate");
    let during = shown(data);
    assert_eq!(during["current"], first);
    assert_eq!(during["next"]["permitted"], first["permitted"]);
    assert_ne!(during["next"]["sha256"], first["sha256"]);
    let reminded = ca(data, "export");
    assert!(String::from_utf8(reminded.stderr).unwrap().contains("--which next"));
    done(data, "rotate --finish");
    let after = shown(data);
    assert_eq!(after["current"], during["next"]);
    assert_eq!(after["previous"]["sha256"], first["sha256"]);
    assert!(after["next"].is_null());
    done(data, "rotate --all-names");
    assert_eq!(shown(data)["next"]["permitted"].as_array().unwrap().len(), 0);
}

#[test]
fn an_authority_near_its_end_is_warned_of_and_one_that_is_not_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (near, far) = (directory.path().join("near"), directory.path().join("far"));
    // Made a moment ago, it has a day less left.
    done(&near, "init --days 90");
    done(&far, "init --days 91");
    assert_eq!(shown(&far)["warnings"].as_array().unwrap().len(), 0);
    let warning = shown(&near)["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.starts_with("the authority holds for 89 days more: make the next one now"), "{warning}");
    done(&near, "rotate");
    let warning = shown(&near)["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("take the next one into use"), "{warning}");
}

#[test]
fn what_stands_in_the_way_is_named_with_its_fix() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let (code, why) = refused(data, "show");
    assert_eq!(code, 1);
    assert!(
        why.contains("no certificate authority in ") && why.contains("hint: make one with `sekisho ca init`"),
        "{why}"
    );
    done(data, "init");
    let (code, why) = refused(data, "init");
    assert_eq!(code, 1);
    assert!(why.contains("there is one already in ") && why.contains("sekisho ca rotate"), "{why}");
    let key = data.join("ca/current/ca.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, why) = refused(data, "show");
    assert_eq!(code, 2);
    assert!(why.contains("ca.key has mode 0644") && why.contains("chmod 600"), "{why}");
    let (code, why) = refused(data, "init --permit 192.0.2.1");
    assert_eq!(code, 2);
    assert!(why.contains("addresses cannot be given"), "{why}");
    let (code, _) = refused(data, "rotate --finish --days 5");
    assert_eq!(code, 2);
}

//! `tenant` on a rule: what services are told of whose accounts alone may log in.

use std::process::Command;

use serde_json::Value;

use crate::inspection::Lab;

const TENANT: &str = "hosts = [\"*\"]\ntenant = { google = [\"example.co.jp\", \"example.com\"], \
                      microsoft_private = \"deny\", dropbox = \"dbtid:AAAA\" }";
const NAMES: [&str; 5] = ["accounts.google.com", "google.com", "login.live.com", "notgoogle.com", "site.test"];

#[test]
fn a_service_is_told_its_tenants_once_whatever_a_client_says_and_other_hosts_are_told_nothing() {
    let lab = Lab::with_origin(&NAMES, TENANT, "");
    let google = Some("X-GoogApps-Allowed-Domains: example.co.jp,example.com");
    let private = Some("sec-Restrict-Tenant-Access-Policy: restrict-msa");
    for asks in ["--http1.1", "--http2"] {
        for (host, told) in [
            ("accounts.google.com", google),
            ("google.com", google),
            ("login.live.com", private),
            ("notgoogle.com", None),
            ("site.test", None),
        ] {
            // What a client sends under a preset's names is replaced where it means something.
            let mut evades = vec![asks];
            if told.is_some() {
                for field in [
                    "x-googapps-allowed-domains: gmail.com",
                    "X-GoogApps-Allowed-Domains: consumer_accounts",
                    "Sec-Restrict-Tenant-Access-Policy: none",
                ] {
                    evades.extend(["-H", field]);
                }
            }
            let before = lab.asked().len();
            let answered = lab.curl(&evades, &format!("https://{host}/"));
            assert!(answered.status.success(), "{host}: {answered:?}");
            let asked = lab.asked();
            assert_eq!(asked.len(), before + 1, "{host}");
            let fields: Vec<&str> = asked[before].lines().collect();
            let of = |name: &str| {
                let own = |line: &&&str| line.split(':').next().is_some_and(|it| it.eq_ignore_ascii_case(name));
                fields.iter().filter(own).copied().collect::<Vec<_>>()
            };
            match told {
                Some(field) => {
                    let name = field.split(':').next().unwrap();
                    assert_eq!(of(name), [field], "{asks} {host}: {fields:#?}");
                }
                None => {
                    let told = fields.iter().find(|line| {
                        let line = line.to_ascii_lowercase();
                        ["googapps", "restrict", "dropbox"].iter().any(|part| line.contains(part))
                    });
                    assert_eq!(told, None, "{asks} {host}");
                }
            }
        }
    }
}

#[test]
fn explain_says_what_a_service_is_told_and_where_that_cannot_be_set() {
    let files = tempfile::tempdir().unwrap();
    let policy = files.path().join("p.toml");
    let explained = |inspect: bool, request: [&str; 2]| -> Value {
        let rule = format!("[[rule]]\nname = \"r\"\nverdict = \"allow\"\n{TENANT}\n");
        std::fs::write(&policy, rule + if inspect { "inspect = true\n" } else { "" }).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_sekisho"))
            .args(["explain", "--format", "json", "--client", "10.0.0.1", "--policy"])
            .arg(&policy)
            .args(request)
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    let field = "X-GoogApps-Allowed-Domains: example.co.jp,example.com";
    let told = explained(true, ["GET", "https://accounts.google.com/"]);
    assert_eq!((&told["sets"], &told["verdict"]), (&serde_json::json!([field]), &Value::Null), "{told:#}");
    let told = explained(true, ["GET", "http://login.live.com/"]);
    let private = "sec-Restrict-Tenant-Access-Policy: restrict-msa";
    assert_eq!((&told["sets"], &told["verdict"]), (&serde_json::json!([private]), &"allow".into()), "{told:#}");
    let told = explained(true, ["GET", "https://other.example/"]);
    assert_eq!(told["sets"], serde_json::json!([]), "{told:#}");
    let told = explained(false, ["GET", "https://accounts.google.com/"]);
    assert_eq!((&told["sets"], &told["handling"]), (&serde_json::json!([]), &"tunnel".into()), "{told:#}");
    let note = told["note"].as_str().unwrap();
    assert!(note.contains("cannot be set") && note.contains(field), "{note}");
}

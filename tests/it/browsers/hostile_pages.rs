//! The pages that the gate shows to people at clients, of which attackers have chosen all that they could, in Chromium.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use super::Settings;
use super::console::{PAYLOAD, WATCH};
use super::driven::Driven;
use crate::gate::{Gate, Start, journal_text};
use crate::inspection_lab::sekisho;
use crate::name_server::NameServer;
use crate::origin::{Origin, each, head_of, listener_of_its_own};

/// Nothing ran on the page that stands there, nothing had to be stopped, and none of the payload became an element.
fn is_sound(browser: &mut Driven, what: &str) {
    let checks = "JSON.stringify({ ran: window.ran || 0, violations: window.violations,
        elements: document.querySelectorAll('script,img,iframe,[onerror],[onload]').length })";
    let found: Value = serde_json::from_str(browser.evaluate(checks).unwrap().as_str().unwrap()).unwrap();
    assert_eq!(found, json!({ "ran": 0, "violations": [], "elements": 0 }), "{what}");
}

fn watched(proxy: SocketAddr, trusted: Option<&std::path::Path>) -> Driven {
    let mut browser = Driven::chromium(proxy, trusted, Settings::AS_INSTALLED);
    browser.devtools("Page.enable", &json!({}));
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WATCH }));
    browser.devtools("Network.enable", &json!({}));
    browser
}

/// Has it ask for pages in this language, and call itself by this name.
fn speak(browser: &mut Driven, language: &str, agent: &str) {
    let fields = json!({ "headers": { "Accept-Language": language, "User-Agent": agent } });
    browser.devtools("Network.setExtraHTTPHeaders", &fields);
}

/// Between a browser and a gate: takes back what the browser has encoded in paths, which a program that means harm does not.
/// What the gate answers goes through as it is.
fn undoing_encoding(gate: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || relay(client, gate));
        }
    });
    address
}

fn relay(mut client: TcpStream, gate: SocketAddr) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let text = String::from_utf8(head).unwrap();
    let (line, rest) = text.split_once("\r\n").unwrap();
    let line = line.replace("%3C", "<").replace("%3E", ">").replace("%22", "\"");
    // One request a connection, so that each head is seen.
    let rest: String = rest.split_inclusive("\r\n").filter(|field| !field.contains("onnection:")).collect();
    let mut server = TcpStream::connect(gate).unwrap();
    server.write_all(format!("{line}\r\nConnection: close\r\n{rest}").as_bytes()).unwrap();
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}

/// In a path a browser leaves the apostrophe, and it encodes what the relay takes back; a field's value is bytes of ASCII.
fn agent() -> String {
    PAYLOAD.replace('\u{202e}', "")
}

#[test]
fn chromium_runs_nothing_of_a_path_or_a_user_agent_on_the_page_of_a_refusal_or_on_the_one_that_says_why() {
    let gate = Gate::configured("", "[gate]\ncontact = \"<b>the helpdesk</b>\"\n");
    let proxy = undoing_encoding(gate.address);
    let mut browser = watched(proxy, None);
    for (language, agent) in [("en", agent()), ("ja", format!("Tool/1 {}", agent()))] {
        speak(&mut browser, language, &agent);
        let is_whole = format!("document.readyState === 'complete' && document.documentElement.lang === '{language}'");
        for way in ["/a'\"></dd><script>window.ran=1</script>", "/?q='\"><img src=x onerror=window.ran=1>", "/"] {
            browser.go(&format!("http://stopped.example{way}"));
            browser.until_shown("stopped.example");
            browser.until(&format!("{is_whole} && location.host === 'stopped.example'"));
            is_sound(&mut browser, &format!("{way} {language}"));
        }
        browser.go("http://sekisho/");
        browser.until(&format!("{is_whole} && location.host === 'sekisho'"));
        // Of paths it shows nothing, of a program the plain word before its first slash; what the operator wrote is text too.
        let program = if language == "en" { "programs" } else { "Tool" };
        browser.until(&format!("document.body.innerText.includes('{program} to stopped.example')"));
        browser.until("document.body.innerText.includes('<b>the helpdesk</b>')");
        assert_eq!(browser.evaluate("document.body.innerText.includes('window.ran')"), Ok(false.into()));
        is_sound(&mut browser, &format!("why {language}"));
    }
    drop(browser);
    let text = journal_text(&gate.data_dir());
    for came in ["</dd><script>window.ran=1</script>", "Tool/1 \\\"'></td>"] {
        assert!(text.contains(came), "it came to the gate as it was meant: {came}");
    }
}

/// What certificates have of names is text of whoever made them, and none of it is shown: the fault of a certificate is one of
/// a list of sentences. So no page, no answer and no record has any of it, which is what is tried here.
#[test]
fn no_page_and_no_record_shows_anything_of_a_certificate_that_an_origin_shows() {
    for (is_trusted, reason, says) in
        [(false, "untrusted", "nobody who is trusted here vouches"), (true, "wrong_name", "is for another name")]
    {
        let files = tempfile::tempdir().unwrap();
        let (config, authority) = certificate_of_payload();
        let roots = files.path().join("origins.pem");
        let other = crate::origin::pair_of(vec!["other.test".to_owned()]).authority;
        std::fs::write(&roots, if is_trusted { &authority } else { &other }).unwrap();
        let origin = Origin::within(Arc::new(config), listener_of_its_own(443), each(head_of));
        let names = NameServer::pointing_to(origin.address.ip());
        let data_dir = files.path().join("data");
        assert!(sekisho(&["ca", "init", "--name", "test-gate"], &data_dir).status.success());
        let own = files.path().join("own.pem");
        std::fs::write(&own, sekisho(&["ca", "export"], &data_dir).stdout).unwrap();
        let policy = "[[rule]]\nname = \"inside\"\nhosts = [\"site.test\"]\nprivate = [\"127.0.0.0/8\"]\n\
                      verdict = \"allow\"\ninspect = true\n";
        let config = format!("{}\n[inspection]\nca_files = [{roots:?}]\n", names.config());
        let start = Start { policy, config: &config, data_dir: Some(data_dir.clone()), ..Start::default() };
        let mut gate = start.gate();
        let mut browser = watched(gate.address, Some(&own));
        for language in ["en", "ja"] {
            speak(&mut browser, language, "tester/1");
            let is_whole =
                format!("document.readyState === 'complete' && document.documentElement.lang === '{language}'");
            for url in ["https://site.test/", "http://sekisho/"] {
                browser.go(url);
                let shown = browser.until_shown(says);
                browser.until(&format!("{is_whole} && location.href === '{url}'"));
                assert!(!shown.contains("window.ran") && !shown.contains("KANSO"), "{reason}: {shown}");
                is_sound(&mut browser, &format!("{url} {reason} {language}"));
            }
        }
        drop(browser);
        assert_eq!(gate.end("-TERM"), Some(0));
        let text = journal_text(&data_dir);
        assert!(text.contains(says), "{reason}: {text}");
        assert!(!text.contains("window.ran") && !text.contains("KANSO"), "{reason}: {text}");
    }
}

/// A certificate that has the payload as its subject, its issuer and one of its names, and the authority that vouches for it.
fn certificate_of_payload() -> (ServerConfig, String) {
    let named = |what: &str| {
        let mut name = DistinguishedName::new();
        for kind in [DnType::CommonName, DnType::OrganizationName, DnType::LocalityName] {
            name.push(kind, format!("KANSO {what} {}", agent()));
        }
        name
    };
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name = named("issuer");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(Vec::new()).unwrap();
    leaf.distinguished_name = named("subject");
    let uri = Ia5String::try_from(format!("https://KANSO/{}", agent())).unwrap();
    let dns = Ia5String::try_from("KANSO-<script>window.ran=1</script>.test").unwrap();
    leaf.subject_alt_names =
        vec![SanType::URI(uri), SanType::DnsName(dns), SanType::DnsName("other.test".try_into().unwrap())];
    let leaf = leaf.signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(leaf)], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    (config, authority.pem())
}

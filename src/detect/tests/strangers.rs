//! Tunnels to hosts that nobody knows.

use crate::evidence::{Asked, Finding, FindingKind, Part, Severity, Shown};

use super::traffic::{DAY, Entry, More, Source, found, log};

const PC: &str = "10.0.0.5";
const BROWSER: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";

/// Nine days in which sixty clients go to places that others know too.
fn office() -> Vec<Entry> {
    let mut entries = Vec::new();
    for day in 0..9 {
        for client in 0..60 {
            let at = f64::from(day) * DAY + f64::from(client) * 60.0;
            let more = More { tls_key: "chrome", user_agent: BROWSER, carries: "tls", ..More::default() };
            let host = format!("portal{}.example.net", client % 4);
            let more = More { sni: host.clone(), ..more };
            entries.push(Entry { what: Asked::Tunnel, more, ..Entry::request(at, &format!("10.0.1.{client}"), &host) });
        }
    }
    entries
}

/// A tunnel on the ninth day, as its three records tell of it.
fn tunnel(host: &str, port: u16, more: More) -> Vec<Entry> {
    let at = 8.5 * DAY;
    let part = |after: f64, part: Part, more: More| Entry {
        part,
        id: 9,
        port,
        what: Asked::Tunnel,
        more,
        ..Entry::request(at + after, PC, host)
    };
    let user_agent = more.user_agent;
    vec![
        part(0.0, Part::Begun, More { user_agent, ..More::default() }),
        part(0.1, Part::Shown, more),
        part(60.0, Part::Ended, More { bytes_up: Some(900), bytes_down: Some(4_000), ..More::default() }),
    ]
}

fn told(parts: Vec<Entry>) -> Vec<Finding> {
    let mut findings = found(&log([office(), parts]));
    findings.retain(|finding| finding.kind == FindingKind::UnknownTunnel);
    findings
}

fn codes(finding: &Finding) -> Vec<&'static str> {
    finding.grounds.iter().map(|ground| ground.ground).collect()
}

#[test]
fn a_tunnel_by_address_of_a_program_that_nobody_else_has_is_told_with_all_that_speaks_against_it() {
    let more =
        More { tls_key: "go-http", user_agent: BROWSER, carries: "tls", standing: Shown::Mimic, ..More::default() };
    let findings = told(tunnel("203.0.113.77", 4444, more));
    let [finding] = &*findings else { panic!("{findings:?}") };
    assert_eq!(codes(finding), ["mimic", "stranger", "address_literal", "odd_port", "rare_program"]);
    assert_eq!((&*finding.client, &*finding.target, finding.port), (PC, "203.0.113.77", 4444));
    assert_eq!(finding.severity, Severity::High, "{}", finding.score);
    assert_eq!(
        finding.in_english(),
        "the program claims to be a browser that it is not; a tunnel to a host that was new here (this network is watched \
         for 8.5 d); asked for by address, not by name; port 4444 is not that of HTTPS; 1 of \
         61 clients have the program that asked; 1 of 61 clients talk to it, known here for 0.0 s."
    );
    assert_eq!(
        finding.in_japanese(),
        "ブラウザを装ったプログラム。この網で初めて見る相手へのトンネル（監視期間8.5日）。名前ではなくIPアドレスを直接指定。\
         HTTPSの標準でないポート4444。要求したプログラムを持つのは61台中1台。\
         61台中1台が通信、この網では0.0秒前から。"
    );
}

#[test]
fn a_browser_that_goes_to_a_new_place_is_let_be() {
    let sni = "new.example.com".to_owned();
    let more = More {
        tls_key: "chrome",
        user_agent: BROWSER,
        carries: "tls",
        sni,
        standing: Shown::Cleared,
        ..More::default()
    };
    assert_eq!(told(tunnel("new.example.com", 443, more)), []);
}

#[test]
fn what_the_network_has_known_for_days_is_no_stranger() {
    let more = || More { tls_key: "go-http", carries: "ssh", ..More::default() };
    let known = Entry { what: Asked::Tunnel, ..Entry::request(DAY, "10.0.1.1", "203.0.113.77") };
    let mut parts = tunnel("203.0.113.77", 22, more());
    assert_eq!(told(parts.clone()).len(), 1);
    parts.push(known);
    assert_eq!(told(parts), []);
}

#[test]
fn what_is_denied_is_told_of_too_and_what_it_carries_instead_of_tls() {
    let more = More { carries: "ssh", contradictions: 2, ..More::default() };
    let refused = Entry { what: Asked::Tunnel, port: 22, more, ..Entry::request(8.5 * DAY, PC, "relay.example.org") };
    let findings = told(vec![refused]);
    let [finding] = &*findings else { panic!("{findings:?}") };
    assert_eq!(codes(finding), ["not_tls", "stranger", "contradictions", "odd_port"]);
    assert!(finding.in_english().contains("it carries ssh, not TLS"), "{}", finding.in_english());
}

#[test]
fn a_name_that_no_person_chose_and_a_tunnel_service_speak_against_a_tunnel() {
    let sni = "xkqvzjhwtbrfgpd.com".to_owned();
    let browser = |sni: String| More { tls_key: "chrome", user_agent: BROWSER, carries: "tls", sni, ..More::default() };
    let findings = told(tunnel("xkqvzjhwtbrfgpd.com", 443, browser(sni)));
    let [finding] = &*findings else { panic!("{findings:?}") };
    assert_eq!((codes(finding), finding.severity), (vec!["generated_name", "stranger"], Severity::Low));
    let text = finding.in_english();
    assert!(text.starts_with("xkqvzjhwtbrfgpd is no word: characters drawn blindly explain it 1e"), "{text}");
    let japanese = finding.in_japanese();
    assert!(japanese.starts_with("xkqvzjhwtbrfgpdは単語らしくない（無作為な文字列である見込みが1e"), "{japanese}");
    let host = "calm-river-12.trycloudflare.com";
    let findings = told(tunnel(host, 443, browser(host.to_owned())));
    let [finding] = &*findings else { panic!("{findings:?}") };
    assert_eq!((codes(finding), finding.severity), (vec!["tunnel", "stranger"], Severity::Medium));
    assert!(finding.in_english().contains("under trycloudflare.com of"), "{}", finding.in_english());
    assert!(finding.in_japanese().contains("ファイアウォール内の機器へのトンネル"), "{}", finding.in_japanese());
    let host = "d111111abcdef8.cloudfront.net";
    assert_eq!(told(tunnel(host, 443, browser(host.to_owned()))), [], "such names are given to customers");
}

#[test]
fn strange_tunnels_are_found_and_new_places_of_browsers_are_not_whatever_the_seed() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    for _ in 0..40 {
        let by_address = source.below(2) == 0;
        let host = if by_address {
            format!("198.51.100.{}", source.below(250))
        } else {
            format!("h{}.example.com", source.below(999))
        };
        let port = [443, 8080, 4444, 993][source.below(4)];
        let is_strange = source.below(2) == 0;
        let more = if is_strange {
            let sni = if by_address { String::new() } else { "www.example.net".to_owned() };
            More { tls_key: "odd", carries: "tls", sni, standing: Shown::Failed, ..More::default() }
        } else {
            More {
                tls_key: "chrome",
                user_agent: BROWSER,
                carries: "tls",
                sni: host.clone(),
                standing: Shown::Cleared,
                ..More::default()
            }
        };
        let findings = told(tunnel(&host, if is_strange { port } else { 443 }, more));
        assert_eq!(!findings.is_empty(), is_strange, "seed {seed}: {host}:{port} {findings:?}");
    }
}

use std::fmt::Write;

use crate::facts::{Host, Scheme, Target};

/// Of a program's name no more is taken over.
const NAME_BYTES_MAX: usize = 40;

/// The rule that would let a program through to a target, as an administrator would write it: by what the program calls
/// itself, where that is plain, to this host alone.
pub fn draft_rule(target: &Target, user_agent: Option<&[u8]>) -> String {
    let name = user_agent.and_then(product);
    let mut draft = String::new();
    if let Some(name) = name {
        let _ = writeln!(draft, "[programs.\"{name}\"]\nuser_agent = \"{name}/*\"\n");
    }
    let who = name.unwrap_or("programs");
    let _ = writeln!(draft, "[[rule]]\nname     = \"{who} to {}\"\nhosts    = [\"{}\"]", target.host, target.host);
    if target.port != target.scheme.default_port() {
        let _ = writeln!(draft, "ports    = [{}]", target.port);
    }
    if let Some(name) = name {
        let _ = writeln!(draft, "programs = [\"{name}\"]");
    }
    draft.push_str("verdict  = \"allow\"");
    draft
}

/// The rule that would let what goes to this host pass without being looked into, as an administrator would write it. It
/// has to stand above the one that inspects.
pub fn draft_uninspected(host: &Host, port: u16) -> String {
    let https = Scheme::Https.default_port();
    let place = if port == https { host.to_string() } else { format!("{host}:{port}") };
    let mut draft = format!("[[rule]]\nname     = \"{place} as it is\"\nhosts    = [\"{host}\"]\n");
    if port != https {
        let _ = writeln!(draft, "ports    = [{port}]");
    }
    draft.push_str("inspect  = false\nverdict  = \"allow\"");
    draft
}

/// What stands before the first `/`, where it needs no quotes and no glob could hide in it.
fn product(user_agent: &[u8]) -> Option<&str> {
    let end = user_agent.iter().position(|byte| *byte == b'/')?;
    let name = str::from_utf8(user_agent.get(..end)?).ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use crate::facts::Timestamp;
    use crate::policy::{Asker, Explained, Handling, Need, Policy, Question, VerdictKind, explain};

    use super::*;

    /// What the draft makes of the request that it is drafted for, and of another program's.
    fn judged(request: &str, user_agent: &str, other: &str) -> [Option<VerdictKind>; 2] {
        let question = Question::read([10, 0, 0, 1].into(), request).unwrap();
        let draft = draft_rule(question.target(), Some(user_agent.as_bytes()));
        let policy = Policy::compile("draft.toml", &draft).unwrap_or_else(|problems| panic!("{draft}: {problems:?}"));
        [user_agent, other].map(|user_agent| {
            let question = Question::read([10, 0, 0, 1].into(), request).unwrap();
            let asker = Asker {
                user: None,
                groups: &[],
                user_agent: Some(user_agent),
                ja4: None,
                tls_key: None,
                standing: None,
                captured: false,
            };
            explain(&policy, &question.by(&asker), Timestamp(0)).result.verdict()
        })
    }

    #[test]
    fn the_drafted_rule_lets_this_program_through_and_no_other() {
        let (allow, deny) = (Some(VerdictKind::Allow), Some(VerdictKind::Deny));
        assert_eq!(judged("CONNECT a.example:443", "curl/8.1", "Wget/1.2"), [allow, deny]);
        assert_eq!(judged("GET http://a.example:8080/x", "python-requests/2.28", "curl/8"), [allow, deny]);
        // A name with which a policy could be written is left out: the rule is for all programs then.
        for strange in ["", "a", "*/1", "a\"\n[policy]\nunknown = \"allow\"/1", "ü/1"] {
            assert_eq!(judged("CONNECT a.example:443", strange, "curl/8"), [allow, allow], "{strange}");
        }
    }

    #[test]
    fn the_rule_for_what_passes_uninspected_names_one_host_and_one_port() {
        for (host, port) in [("bank.example", 443), ("bank.example", 8443), ("[2001:db8::7]", 443), ("192.0.2.7", 443)]
        {
            let draft = draft_uninspected(&Host::parse(host.as_bytes()).unwrap(), port);
            let policy = format!(
                "{draft}\n[[rule]]\nname = \"inside\"\nports = [443, 8443]\ninspect = true\nverdict = \"allow\""
            );
            let policy =
                Policy::compile("draft.toml", &policy).unwrap_or_else(|problems| panic!("{draft}: {problems:?}"));
            let handled = |host: &str, port: u16| {
                let question = Question::read([10, 0, 0, 1].into(), &format!("CONNECT {host}:{port}")).unwrap();
                match explain(&policy, &question, Timestamp(0)).result {
                    Explained::Decided { handling, .. } => handling == Handling::Inspect,
                    Explained::Needs(Need::InnerRequest, _) => true,
                    Explained::Needs(..) | Explained::Guarded { .. } => false,
                }
            };
            assert!(!handled(host, port), "{draft}");
            assert!(handled(host, if port == 443 { 8443 } else { 443 }), "another port is inspected: {draft}");
            assert!(handled("a.bank.example", port), "another host is inspected: {draft}");
        }
    }
}

use std::net::IpAddr;

use crate::clock;
use crate::facts::{Host, Scheme, Target};
use crate::parse::RequestHead;
use crate::policy::{draft_rule, draft_uninspected};
use crate::site::{OWN_NAME, WhyPage, WhyRefusal, why_page};

use super::gate::Gate;
use super::refusals::Refused;

/// Whether a plain request is for the gate itself, by its own name.
pub(super) fn is_own(target: &Target) -> bool {
    let is_named = matches!(&target.host, Host::Name(name) if name.as_str() == OWN_NAME);
    is_named && target.scheme == Scheme::Http && target.port == Scheme::Http.default_port()
}

/// The page that tells the person at a client why things of it were stopped.
pub(super) fn page(gate: &Gate, client: IpAddr, head: &RequestHead, keep: bool) -> Vec<u8> {
    let refusals: Vec<WhyRefusal> = gate.refusals.of(client).into_iter().map(told).collect();
    let why = WhyPage {
        client: &client.to_canonical().to_string(),
        refusals: &refusals,
        now: clock::now(),
        contact: gate.wording.contact.as_deref(),
        has_body: head.method() != "HEAD",
    };
    why_page(&why, &head.fields, keep)
}

fn told(refused: Refused) -> WhyRefusal {
    let draft = draft(&refused);
    let Refused { id, target, status, reason, detail, cut, .. } = refused;
    let port = if target.port == target.scheme.default_port() { String::new() } else { format!(":{}", target.port) };
    let target = match target.scheme {
        Scheme::Http => format!("http://{}{port}", target.host.readable()),
        Scheme::Https | Scheme::Tunnel => format!("https://{}{port}", target.host.readable()),
    };
    WhyRefusal { id, target, status, reason, detail, draft, cut }
}

/// The rule that would let it through, where a rule would.
fn draft(refused: &Refused) -> Option<String> {
    match refused.reason {
        "no_rule"
        | "rule"
        | "port_not_opened"
        | "not_a_browser"
        | "clearance_needed"
        | "challenge_not_possible"
        | "challenge_unavailable" => Some(draft_rule(&refused.target, refused.user_agent.as_deref())),
        "client_cert_required" => Some(draft_uninspected(&refused.target.host, refused.target.port)),
        _ => None,
    }
}

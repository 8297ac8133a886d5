//! What clients and origins make of inspection, and the rules that this proposes.

use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;

use crate::app::{AskingHost, ClientReach, NextReach, PinnedHost, ReachStatus, ask_reach};
use crate::facts::{Host, Scheme};
use crate::policy::draft_uninspected;

use super::error::{CliError, count};
use super::output::{Format, Rows, print, report, table};

/// What the gate has seen, and what may follow from it.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    status: ReachStatus,
    /// Rules in the language of policies; absent where there is nothing to propose.
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<String>,
}

const PROPOSED: &str = "\
# A proposal, made of what was seen in the last 30 days, and in force nowhere: what stands here passes without being
# looked into once a person has put it into the policy, above the rules that inspect.
#
# Take what you know. A program that hides what it sends refuses certificates too, and its server may ask for one.
";

/// Shows what the gate has seen that runs on this data directory.
pub(super) fn reach(data_dir: PathBuf, format: Format) -> Result<(), CliError> {
    let told = ask_reach(&data_dir)
        .map_err(|source| CliError::Ask { data_dir, source })
        .map(|status| Told { proposal: proposal(&status), status });
    match format {
        Format::Json => report(format, told, |_| Rows::new()),
        Format::Text => {
            let Told { status, proposal } = told?;
            let proposal = proposal.map_or_else(String::new, |proposal| format!("\n{proposal}"));
            print(&format!("{}{proposal}", table(&rows(&status))))
        }
    }
}

fn rows(status: &ReachStatus) -> Rows {
    let mut rows = vec![
        ("trust it", count(status.trusting, "client")),
        ("lack it", count(status.lacking, "client")),
        ("unknown", count(status.unknown, "client")),
    ];
    if let Some(next) = &status.next {
        rows.extend(next.rows());
    }
    rows.extend(status.clients.iter().map(|ClientReach { client, authority, next, refused }| {
        let next = next.as_ref().map_or(String::new(), |next| format!("   next one: {next}"));
        let hosts = if refused.is_empty() { String::new() } else { format!("   refused: {}", refused.join(", ")) };
        ("client", format!("{client}   {authority}{next}{hosts}"))
    }));
    rows.extend(status.pinned.iter().map(|pinned| ("pinned", format!("{}   {}", pinned.host, pinned.grounds()))));
    rows.extend(status.asking.iter().map(|asking| ("asks", format!("{}   {}", asking.place(), asking.grounds()))));
    rows
}

/// A rule for each host, each once, with its grounds above it.
fn proposal(status: &ReachStatus) -> Option<String> {
    let https = Scheme::Https.default_port();
    let is_asking = |host: &str| status.asking.iter().any(|asking| asking.host == host && asking.port == https);
    let asking = status.asking.iter().map(|asking| (&asking.host, asking.port, asking.grounds()));
    let pinned = status.pinned.iter().filter(|pinned| !is_asking(&pinned.host));
    let pinned = pinned.map(|pinned| (&pinned.host, https, pinned.grounds()));
    let mut text = String::new();
    for (host, port, grounds) in pinned.chain(asking) {
        let Ok(host) = Host::parse(host.as_bytes()) else { continue };
        let _ = write!(text, "\n# {grounds}\n{}\n", draft_uninspected(&host, port));
    }
    (!text.is_empty()).then(|| format!("{PROPOSED}{text}"))
}

impl NextReach {
    /// What clients made of it, and how it is tried.
    pub(super) fn rows(&self) -> Rows {
        let Self { host, trusting, lacking, unknown } = self;
        let (trusting, lacking) = (count(*trusting, "client"), count(*lacking, "client"));
        let unknown = count(*unknown, "client");
        vec![
            ("next one", format!("{trusting} took it, {lacking} refused it, {unknown} did not try")),
            (
                "try it",
                format!("on a client, by this gate as its proxy: curl -sSI https://{host}/ (204 where it is trusted)"),
            ),
        ]
    }
}

impl PinnedHost {
    fn grounds(&self) -> String {
        let Self { clients, such_as, first, last, .. } = self;
        let (refuse, take) = if *clients == 1 { ("refuses", "takes") } else { ("refuse", "take") };
        let clients = count(*clients, "client");
        let span = span(first, last);
        format!("{clients} {refuse} its certificate and {take} those of others, {span}: {}", such_as.join(", "))
    }
}

impl AskingHost {
    fn grounds(&self) -> String {
        let Self { times, clients, such_as, first, last, .. } = self;
        let times = count(usize::try_from(*times).unwrap_or(usize::MAX), "time");
        let (clients, span) = (count(*clients, "client"), span(first, last));
        format!("it asked {clients} for a certificate, {times}, {span}: {}", such_as.join(", "))
    }

    fn place(&self) -> String {
        let Self { host, port, .. } = self;
        if *port == Scheme::Https.default_port() { host.clone() } else { format!("{host}:{port}") }
    }
}

/// Days, in UTC.
fn span(first: &str, last: &str) -> String {
    let day = |time: &str| time.chars().take(10).collect::<String>();
    let (first, last) = (day(first), day(last));
    if first == last { format!("on {first}") } else { format!("from {first} to {last}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn pinned(host: &str, clients: usize) -> PinnedHost {
        let (first, last) = ("2026-11-01T09:00:00.000000Z".to_owned(), "2026-11-25T09:00:00.000000Z".to_owned());
        PinnedHost { host: host.to_owned(), clients, such_as: vec!["10.0.0.1".to_owned()], first, last }
    }

    fn asking(host: &str, port: u16) -> AskingHost {
        let at = || "2026-11-25T09:00:00.000000Z".to_owned();
        let (host, such_as) = (host.to_owned(), vec!["10.0.0.2".to_owned()]);
        AskingHost { host, port, times: 3, clients: 1, such_as, first: at(), last: at() }
    }

    fn status(pinned: Vec<PinnedHost>, asking: Vec<AskingHost>) -> ReachStatus {
        ReachStatus { trusting: 2, lacking: 0, unknown: 0, clients: Vec::new(), pinned, next: None, asking }
    }

    #[test]
    fn what_is_proposed_is_a_policy_with_a_rule_for_each_host() {
        let status = status(
            vec![pinned("app.example", 1), pinned("both.example", 2), pinned("[2001:db8::7]", 1)],
            vec![asking("both.example", 443), asking("bank.example", 8443)],
        );
        let proposal = proposal(&status).unwrap();
        let policy =
            Policy::compile("proposal.toml", &proposal).unwrap_or_else(|problems| panic!("{problems:?}\n{proposal}"));
        assert_eq!(policy.rules(), 4, "{proposal}");
        assert_eq!(proposal.matches("\ninspect  = false\n").count(), 4, "{proposal}");
        let grounds =
            "1 client refuses its certificate and takes those of others, from 2026-11-01 to 2026-11-25: 10.0.0.1";
        assert!(proposal.starts_with("# A proposal") && proposal.contains(&format!("\n# {grounds}\n[[rule]]\n")));
        assert!(proposal.contains("\n# it asked 1 client for a certificate, 3 times, on 2026-11-25: 10.0.0.2\n"));
    }

    #[test]
    fn where_nothing_is_pinned_and_nobody_asks_nothing_is_proposed() {
        assert_eq!(proposal(&status(Vec::new(), Vec::new())), None);
    }
}

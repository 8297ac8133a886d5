use std::path::Path;

use serde::Serialize;

use crate::app::{self, ClearanceStatus, ask, ask_clearances};
use crate::clock;
use crate::facts::Timestamp;
use crate::policy::{
    Asker, ChallengeKind, Condition, Considered, Explained, Explanation, Handling, Need, Policy, Question, Rate,
    RuleRef, SetField, TunnelLimits, VerdictKind, explain,
};

use super::arguments::ExplainArguments;
use super::error::CliError;
use super::files::{give_internal, read_config, read_policy, warn_of_unfetched};
use super::output::{Rows, report};

/// What becomes of a request, and why.
#[derive(Serialize)]
struct Told {
    policy: String,
    client: String,
    request: String,
    /// The host in Unicode, where that is another form.
    #[serde(skip_serializing_if = "Option::is_none")]
    unicode: Option<String>,
    considered: Vec<ToldRule>,
    /// Absent where a fact is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<ToldReference>,
    /// What the policy's other layer says.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<String>,
    /// How it is carried: `forward`, `tunnel` or `inspect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    handling: Option<&'static str>,
    /// Which challenge would be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<&'static str>,
    /// What programs of this client hold, by the gate that runs on `--data-dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    clearances: Option<Vec<ClearanceStatus>>,
    /// Whether the gate that runs on `--data-dir` can look into tunnels.
    #[serde(skip_serializing_if = "Option::is_none")]
    inspects: Option<bool>,
    limits: Vec<String>,
    /// The fields that are set in the request, `Name: value`; none in a tunnel that is not looked into.
    sets: Vec<String>,
    /// The policy only observes: the request passes all the same.
    observed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// One rule that was considered.
#[derive(Serialize)]
struct ToldRule {
    rule: String,
    at: String,
    verdict: &'static str,
    found: &'static str,
}

/// The rule that decided, that waits, or that came nearest, with what it says of itself.
#[derive(Serialize)]
struct ToldReference {
    name: String,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hours: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// Shows what becomes of a request: every rule considered, in order, and what it comes to.
pub(super) fn explain_request(arguments: &ExplainArguments) -> Result<(), CliError> {
    report(arguments.format, tell(arguments), rows)
}

fn tell(arguments: &ExplainArguments) -> Result<Told, CliError> {
    let config = arguments.config.as_deref().map(read_config).transpose()?;
    let path = arguments.policy.clone().or_else(|| config.as_ref().and_then(|config| config.policy.clone()));
    let named = read_policy(path.as_deref(), config.as_ref(), None)?;
    warn_of_unfetched(&named.unfetched);
    let policy = match &config {
        Some(config) => give_internal(named.policy, config)?,
        None => named.policy,
    };
    let request = format!("{} {}", arguments.method, arguments.url);
    let question = asked(arguments, &policy, &request)?;
    let now = match arguments.at {
        Some(at) => Timestamp(u64::try_from(at.as_microsecond()).unwrap_or_default()),
        None => clock::now(),
    };
    let explained = explain(&policy, &question, now);
    let clearances = arguments.data_dir.as_deref().map(|data_dir| clearances_of(data_dir, arguments)).transpose()?;
    let inspects = arguments.data_dir.as_deref().map(inspects).transpose()?;
    let told = told(named.file, &question, &policy, &explained);
    let is_in_vain = inspects == Some(false) && asks_inside(&question, &explained.result);
    let note = if is_in_vain { Some(NO_AUTHORITY.to_owned()) } else { told.note };
    Ok(Told { clearances, inspects, note, ..told })
}

const NO_AUTHORITY: &str =
    "the gate that runs there has no authority in use, and denies what is to be looked into (inspection_unavailable)";

/// Whether the running gate can look into tunnels.
fn inspects(data_dir: &Path) -> Result<bool, CliError> {
    let status = ask(data_dir, &app::Question::Status);
    Ok(status.map_err(|source| CliError::Ask { data_dir: data_dir.into(), source })?.authority.is_some())
}

/// Whether it comes to a look into a tunnel with TLS in it.
fn asks_inside(question: &Question, result: &Explained) -> bool {
    match result {
        Explained::Decided { verdict, handling, .. } => *handling == Handling::Inspect && *verdict != VerdictKind::Deny,
        Explained::Needs(Need::InnerRequest, _) => question.target().port != 80,
        Explained::Needs(Need::Hello | Need::User, _) | Explained::Guarded { .. } => false,
    }
}

/// What the programs of the client hold, or of the user where one is named, by the running gate.
fn clearances_of(data_dir: &Path, arguments: &ExplainArguments) -> Result<Vec<ClearanceStatus>, CliError> {
    let (client, user) = match &arguments.user {
        Some(user) => (None, Some(user.clone())),
        None => (Some(arguments.client.to_string()), None),
    };
    let told = ask_clearances(data_dir, client, user);
    Ok(told.map_err(|source| CliError::Ask { data_dir: data_dir.into(), source })?.clearances)
}

fn asked(arguments: &ExplainArguments, policy: &Policy, request: &str) -> Result<Question, CliError> {
    let question = Question::read(arguments.client, request)
        .map_err(|why| CliError::Question { request: request.to_owned(), why })?;
    let program = match &arguments.program {
        None => None,
        Some(name) => Some(policy.program(name).ok_or_else(|| CliError::NoProgram {
            name: name.clone(),
            known: policy.programs().map(str::to_owned).collect(),
        })?),
    };
    let asker = Asker {
        user: arguments.user.as_deref(),
        groups: &arguments.group,
        user_agent: arguments.user_agent.as_deref(),
        ja4: arguments.ja4.as_deref(),
        tls_key: arguments.tls_key.as_deref(),
        standing: None,
        captured: arguments.captured,
    };
    let asker = program.map_or(asker, |program| Asker {
        user: asker.user,
        groups: asker.groups,
        captured: asker.captured,
        ..program
    });
    Ok(question.by(&asker))
}

fn told(policy_file: String, question: &Question, policy: &Policy, explained: &Explanation) -> Told {
    let considered = explained.considered.iter().map(|line| ToldRule {
        rule: line.rule.name.to_string(),
        at: place(&line.rule),
        verdict: line.verdict.as_str(),
        found: describe(line.found),
    });
    let client = question.client();
    let group = policy.group_of(client).map_or("in no group".to_owned(), |group| format!("in group {group}"));
    let user = client.user.as_ref().map_or(String::new(), |user| format!(", user {}", user.name));
    let past = if client.captured.is_some() { ", captured on its way past the proxy" } else { "" };
    let result = &explained.result;
    let (handling, challenge, limits) = match result {
        Explained::Decided { handling, challenge, limits, rates, .. } => {
            (Some(handling.as_str()), challenge.map(ChallengeKind::as_str), describe_limits(limits, rates))
        }
        Explained::Guarded { .. } | Explained::Needs(..) => (None, None, Vec::new()),
    };
    let is_closed = matches!(result, Explained::Decided { handling: Handling::Tunnel, .. });
    Told {
        policy: policy_file,
        client: format!("{}, {group}{user}{past}", client.address.ip()),
        request: format!("{} {}", question.method(), question.target()),
        unicode: question.target().host.to_unicode(),
        considered: considered.collect(),
        verdict: result.verdict().map(VerdictKind::as_str),
        reason: result.code(),
        rule: result.rule().map(|rule| describe_rule(rule)),
        beside: result.reason().beside.as_ref().map(ToString::to_string),
        handling: handling.filter(|_| result.verdict() != Some(VerdictKind::Deny)),
        challenge,
        clearances: None,
        inspects: None,
        limits,
        sets: if is_closed { Vec::new() } else { describe_fields(&explained.set_fields) },
        observed: matches!(result, Explained::Decided { observed: true, .. }),
        note: note(explained),
    }
}

fn place(rule: &RuleRef) -> String {
    format!("{}:{}", rule.file, rule.line)
}

fn describe_rule(rule: &RuleRef) -> ToldReference {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    let notes = &rule.notes;
    ToldReference {
        name: rule.name.to_string(),
        at: place(rule),
        comment: text(&notes.comment),
        requested_by: text(&notes.requested_by),
        ticket: text(&notes.ticket),
        hours: text(&notes.hours),
        until: text(&notes.until),
    }
}

fn describe_limits(limits: &TunnelLimits, rates: &[Rate]) -> Vec<String> {
    let minutes = |limit: Option<std::time::Duration>, what: &str| {
        limit.map(|limit| format!("{what} {} min", limit.as_secs() / 60))
    };
    let mib = |limit: Option<u64>, what: &str| limit.map(|bytes| format!("{what} {} MiB", bytes >> 20));
    let of_tunnel = [
        minutes(limits.idle, "idle"),
        minutes(limits.lifetime, "lifetime"),
        mib(limits.upload_bytes, "upload"),
        mib(limits.download_bytes, "download"),
    ];
    let of_rates = rates
        .iter()
        .map(|rate| format!("{} requests in {} s, per {}", rate.requests, rate.over.as_secs(), rate.per.as_str()));
    of_tunnel.into_iter().flatten().chain(of_rates).collect()
}

fn describe_fields(fields: &[SetField]) -> Vec<String> {
    fields.iter().map(|field| format!("{}: {}", field.name, field.value)).collect()
}

fn describe(found: Considered) -> &'static str {
    match found {
        Considered::Applies => "applies",
        Considered::Lacks(Condition::Host) => "another host",
        Considered::Lacks(Condition::Client) => "another client",
        Considered::Lacks(Condition::Captured) => "not for what goes past the proxy",
        Considered::Lacks(Condition::Method) => "another method",
        Considered::Lacks(Condition::Program) => "another program",
        Considered::Lacks(Condition::Port) => "a port that it does not name",
        Considered::Lacks(Condition::Path) => "another path",
        Considered::Lacks(Condition::Hours) => "not at this hour",
        Considered::Lacks(Condition::Until) => "its last day is over",
        Considered::AmbiguousPath => "denies: servers would not agree on which path this is",
        Considered::Waits(Need::Hello) => "waits for the ClientHello",
        Considered::Waits(Need::InnerRequest) => "waits for the request inside the tunnel",
        Considered::Waits(Need::User) => "waits for the user's name",
    }
}

fn note(explained: &Explanation) -> Option<String> {
    match &explained.result {
        Explained::Needs(Need::Hello, _) => {
            Some("say what its TLS shows with --ja4 or --tls-key, or which program it is with --program".to_owned())
        }
        Explained::Needs(Need::InnerRequest, _) => {
            Some(
                "the inside of a tunnel is not known at the CONNECT: a gate with an authority looks there, one that has none \
                 denies"
                    .to_owned(),
            )
        }
        Explained::Needs(Need::User, _) => Some("say who asks with --user and --group".to_owned()),
        Explained::Guarded { refused, .. } => Some(format!("the rule lets it out, and the guard does not: {refused}")),
        Explained::Decided { handling: Handling::Tunnel, .. } if !explained.set_fields.is_empty() => Some(format!(
            "the tunnel is not looked into, so this cannot be set in it: {}",
            describe_fields(&explained.set_fields).join(", ")
        )),
        Explained::Decided { .. } => None,
    }
}

fn rows(told: &Told) -> Rows {
    let mut rows =
        vec![("policy", told.policy.clone()), ("client", told.client.clone()), ("request", told.request.clone())];
    rows.extend(told.unicode.clone().map(|unicode| ("in Unicode", unicode)));
    let width = told.considered.iter().map(|rule| rule.rule.chars().count()).max().unwrap_or_default();
    for rule in &told.considered {
        let padding = " ".repeat(width - rule.rule.chars().count());
        rows.push(("considered", format!("{}{padding}   {} ({}): {}", rule.rule, rule.verdict, rule.at, rule.found)));
    }
    let verdict = told.verdict.unwrap_or("not decided yet");
    let by = told.rule.as_ref().map_or(String::new(), |rule| format!(", rule {} ({})", rule.name, rule.at));
    rows.push(("result", format!("{verdict}: {}{by}", told.reason)));
    if let Some(beside) = &told.beside {
        rows.push(("beside", format!("the other layer says {beside}")));
    }
    if let Some(rule) = &told.rule {
        let notes = [
            ("comment", &rule.comment),
            ("asked by", &rule.requested_by),
            ("ticket", &rule.ticket),
            ("hours", &rule.hours),
            ("until", &rule.until),
        ];
        rows.extend(notes.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))));
    }
    if let Some(handling) = told.handling {
        rows.push(("handling", handling.to_owned()));
    }
    if let Some(challenge) = told.challenge {
        rows.push(("challenge", describe_challenge(challenge).to_owned()));
    }
    if let Some(clearances) = &told.clearances {
        if clearances.is_empty() {
            rows.push(("cleared", "no program of this client".to_owned()));
        }
        rows.extend(clearances.iter().map(|ClearanceStatus { user_agent, means, used, .. }| {
            ("cleared", format!("by {means}, used {used}: {user_agent}"))
        }));
    }
    if !told.limits.is_empty() {
        rows.push(("limits", told.limits.join(", ")));
    }
    rows.extend(told.sets.iter().map(|field| ("sets", field.clone())));
    if told.observed {
        rows.push(("observed", "the policy only observes, so it passes; this is what would happen".to_owned()));
    }
    if let Some(note) = &told.note {
        rows.push(("note", note.clone()));
    }
    rows
}

fn describe_challenge(kind: &str) -> &'static str {
    match kind {
        "page" => "a page that a browser passes",
        "page_inside" => {
            "a page that a browser passes, inside the tunnel, by a gate with an authority; one that has none denies"
        }
        "log_in" => "the user logs in anew, where the config says how; else denied",
        "tunnel_reset" => "a tunnel reset: a browser comes back by itself",
        _ => "none can be shown here: an uncleared program is denied",
    }
}

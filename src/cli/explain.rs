use serde::Serialize;

use crate::clock;
use crate::policy::{Condition, Considered, Explained, Explanation, Need, Policy, Question, RuleRef, explain};

use super::arguments::ExplainArguments;
use super::error::CliError;
use super::files::{give_internal, read_config, read_policy};
use super::output::{Rows, report};

/// What becomes of a request, and why.
#[derive(Serialize)]
struct Told {
    policy: String,
    client: String,
    request: String,
    considered: Vec<ToldRule>,
    /// Absent where a fact is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
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

/// Shows what becomes of a request: every rule considered, in order, and what it comes to.
pub(super) fn explain_request(arguments: &ExplainArguments) -> Result<(), CliError> {
    report(arguments.format, tell(arguments), rows)
}

fn tell(arguments: &ExplainArguments) -> Result<Told, CliError> {
    let config = arguments.config.as_deref().map(read_config).transpose()?;
    let path = arguments.policy.clone().or_else(|| config.as_ref().and_then(|config| config.policy.clone()));
    let named = read_policy(path.as_deref())?;
    let policy = match &config {
        Some(config) => give_internal(named.policy, config)?,
        None => named.policy,
    };
    let request = format!("{} {}", arguments.method, arguments.url);
    let question = Question::read(arguments.client, &request)
        .map_err(|why| CliError::Question { request: request.clone(), why })?
        .by(arguments.user_agent.as_deref(), arguments.ja4.as_deref());
    let explained = explain(&policy, &question, clock::now());
    Ok(told(named.file, arguments, &question, &policy, &explained))
}

fn told(
    policy_file: String,
    arguments: &ExplainArguments,
    question: &Question,
    policy: &Policy,
    explained: &Explanation,
) -> Told {
    let place = |rule: &RuleRef| format!("{}:{}", rule.file, rule.line);
    let considered = explained.considered.iter().map(|line| ToldRule {
        rule: line.rule.name.to_string(),
        at: place(&line.rule),
        verdict: line.verdict.as_str(),
        found: describe(line.found),
    });
    let group = policy.group_of(arguments.client).map_or("in no group".to_owned(), |group| format!("in group {group}"));
    Told {
        policy: policy_file,
        client: format!("{}, {group}", arguments.client),
        request: format!("{} {}", question.method(), question.target()),
        considered: considered.collect(),
        verdict: explained.result.verdict().map(crate::policy::VerdictKind::as_str),
        reason: explained.result.code(),
        rule: explained.result.rule().map(|rule| format!("{} ({})", rule.name, place(rule))),
        observed: matches!(explained.result, Explained::Decided { observed: true, .. }),
        note: note(&explained.result),
    }
}

fn describe(found: Considered) -> &'static str {
    match found {
        Considered::Applies => "applies",
        Considered::Lacks(Condition::Host) => "another host",
        Considered::Lacks(Condition::Client) => "another client",
        Considered::Lacks(Condition::Method) => "another method",
        Considered::Lacks(Condition::Program) => "another program",
        Considered::Lacks(Condition::Port) => "a port that it does not name",
        Considered::Waits(Need::Hello) => "waits for the ClientHello",
        Considered::Waits(Need::InnerRequest) => "waits for the request inside the tunnel",
        Considered::Waits(Need::User) => "waits for the user's name",
    }
}

fn note(result: &Explained) -> Option<String> {
    match result {
        Explained::Needs(Need::Hello, _) => Some("say what its TLS shows with --ja4".to_owned()),
        Explained::Needs(Need::InnerRequest, _) => {
            Some("the inside of a tunnel is not known at the CONNECT".to_owned())
        }
        Explained::Needs(Need::User, _) => Some("users are not known yet".to_owned()),
        Explained::Guarded { refused, .. } => Some(format!("the rule lets it out, and the guard does not: {refused}")),
        Explained::Decided { .. } => None,
    }
}

fn rows(told: &Told) -> Rows {
    let mut rows =
        vec![("policy", told.policy.clone()), ("client", told.client.clone()), ("request", told.request.clone())];
    let width = told.considered.iter().map(|rule| rule.rule.chars().count()).max().unwrap_or_default();
    for rule in &told.considered {
        let padding = " ".repeat(width - rule.rule.chars().count());
        rows.push(("considered", format!("{}{padding}   {} ({}): {}", rule.rule, rule.verdict, rule.at, rule.found)));
    }
    let verdict = told.verdict.unwrap_or("not decided yet");
    let by = told.rule.as_ref().map_or(String::new(), |rule| format!(", rule {rule}"));
    rows.push(("result", format!("{verdict}: {}{by}", told.reason)));
    if told.observed {
        rows.push(("observed", "the policy only observes, so it passes; this is what would happen".to_owned()));
    }
    if let Some(note) = &told.note {
        rows.push(("note", note.clone()));
    }
    rows
}

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand, ValueHint};
use ipnet::IpNet;
use serde::Serialize;

use crate::app::{Note, REASON_BYTES_MAX, note, this_person};
use crate::clock;
use crate::evidence::{FindingId, Found, Mark, Text, Triage, Triaged, client_of, client_text, format_time, shown};
use crate::facts::Timestamp;
use crate::policy::{BadTarget, MarkedRule, MarkedTarget, Policy, Proposed, ProposedOf, without_marked};

use super::arguments::notes;
use super::contingency::{Done, is_isolated, isolate_marked, rows as contingency_rows};
use super::device::{JournalOf, notes_of};
use super::error::{CliError, Role, count};
use super::files::{read_config, read_policy};
use super::output::{Rows, report};
use super::policy::replace;

#[derive(Debug, Subcommand)]
pub(super) enum TriageCommand {
    /// It does no harm: proposes a rule that allows it, with an end
    #[command(after_help = notes!(
        "sekisho triage known-good 0123456789abcdef --why \"the virus scanner fetches its patterns\"",
        "sekisho triage known-good update.vendor.example --client 10.20.1.5 --until 2027-03-31 --why \"ticket 4711\"",
        "sekisho triage known-good update.vendor.example --why \"ticket 4711\" --to policy.toml"
    ))]
    KnownGood(ProposingArguments),
    /// It does harm: proposes a rule that denies it, and cuts its client off, as `sekisho isolate` does
    ///
    /// The client is that of the finding, or --client. A target that is marked for all, or for a network, cuts nobody off.
    #[command(after_help = notes!(
        "sekisho triage malicious 0123456789abcdef --why \"the implant of incident 12\"",
        "sekisho triage malicious 0123456789abcdef --no-isolate --why \"the PC is watched, as the police ask\"",
        "sekisho triage malicious '*.bad.example' --why \"warned of by the CERT\" --to policy.toml"
    ))]
    Malicious {
        #[command(flatten)]
        proposing: ProposingArguments,
        /// Leave its client connected
        #[arg(long)]
        no_isolate: bool,
    },
    /// It is not clear yet
    #[command(after_help = notes!("sekisho triage watching 0123456789abcdef --why \"asked the owner of the PC\""))]
    Watching(MarkArguments),
    /// What was said of it does not hold any more: takes the rule out that was proposed
    #[command(after_help = notes!(
        "sekisho triage withdraw 0123456789abcdef --why \"it was the other PC\"",
        "sekisho triage withdraw update.vendor.example --why \"not needed any more\" --from policy.toml"
    ))]
    Withdraw(WithdrawArguments),
    /// Show what findings and targets are held to be, the newest first
    #[command(after_help = notes!(
        "sekisho triage list",
        "sekisho triage list --format json | jq '.triage[] | select(.action == \"malicious\")'"
    ))]
    List(JournalOf),
}

#[derive(Debug, Args)]
pub(super) struct MarkArguments {
    /// A finding, by its id; or a target: a host, an address, or `*.` and a domain, with a port or without
    #[arg(value_name = "FINDING_ID|TARGET")]
    what: String,
    /// Why; it goes on record
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// The last day on which it holds (UTC) [default: known-good for 90 days, others for ever]
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<jiff::civil::Date>,
    /// For one client alone, an address or prefix [default: all; of a finding that is known good, its client]
    #[arg(long, value_name = "ADDRESS", value_parser = client)]
    client: Option<IpNet>,
    #[command(flatten)]
    journal: JournalOf,
}

#[derive(Debug, Args)]
pub(super) struct ProposingArguments {
    #[command(flatten)]
    mark: MarkArguments,
    /// Add the rule to this policy too, if it compiles with it: one that allows behind all others, one that denies before
    /// them. A policy in force is taken up within two seconds. A file that is not there is made
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    to: Option<PathBuf>,
    /// The config of the gate whose policy that is
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct WithdrawArguments {
    /// A finding, by its id; or a target, written as it was when it was marked
    #[arg(value_name = "FINDING_ID|TARGET")]
    what: String,
    /// Why; it goes on record
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Of a target that was marked for one client alone: that client, an address or prefix
    #[arg(long, value_name = "ADDRESS", value_parser = client)]
    client: Option<IpNet>,
    /// Take the rules out of this policy that were proposed and added to it, if it compiles without them. A policy in force is
    /// taken up within two seconds
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    from: Option<PathBuf>,
    /// The config of the gate whose policy that is
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    #[command(flatten)]
    journal: JournalOf,
}

fn client(text: &str) -> Result<IpNet, String> {
    client_of(text).ok_or_else(|| "write an address or a prefix, like 10.20.1.5 or 10.20.0.0/16".to_owned())
}

const KNOWN_GOOD_DAYS: i32 = 90;

/// What was put on record, and what it proposes.
#[derive(Serialize)]
struct Marked {
    #[serde(flatten)]
    triage: Triage,
    /// The rule, as TOML; absent where none can be proposed.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// Where it was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    added_to: Option<String>,
    /// The rules that were taken out of a policy, and which.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    taken: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_from: Option<String>,
    /// Who was cut off by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    isolated: Option<Done>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    triage: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    time: String,
    seq: u64,
    holds: bool,
    #[serde(flatten)]
    triage: Triage,
}

/// Puts on record what a finding or target is, or shows what is on record.
pub(super) fn triage(command: TriageCommand) -> Result<(), CliError> {
    match command {
        TriageCommand::KnownGood(arguments) => {
            let ProposingArguments { mark, to, config } = &arguments;
            let to = (to.as_deref(), config.as_deref());
            report(mark.journal.format, set(Mark::KnownGood, mark, to, false), marked_rows)
        }
        TriageCommand::Malicious { proposing, no_isolate } => {
            let ProposingArguments { mark, to, config } = &proposing;
            let to = (to.as_deref(), config.as_deref());
            report(mark.journal.format, set(Mark::Malicious, mark, to, !no_isolate), marked_rows)
        }
        TriageCommand::Watching(mark) => {
            report(mark.journal.format, set(Mark::Watching, &mark, (None, None), false), marked_rows)
        }
        TriageCommand::Withdraw(arguments) => report(arguments.journal.format, withdraw(&arguments), marked_rows),
        TriageCommand::List(journal) => report(journal.format, list(&journal), list_rows),
    }
}

/// What a mark is about.
struct About {
    finding: Option<Found>,
    /// Absent for a finding that is about no one target.
    target: Option<MarkedTarget>,
}

fn set(
    mark: Mark,
    arguments: &MarkArguments,
    (to, config): (Option<&Path>, Option<&Path>),
    isolates: bool,
) -> Result<Marked, CliError> {
    let why = reason(&arguments.why)?;
    let now = clock::now();
    let today = day(now);
    let until = match (arguments.until, mark) {
        (Some(until), _) if until < today => return Err(CliError::Over(until.to_string())),
        (Some(until), _) => Some(until),
        (None, Mark::KnownGood) => today.checked_add(jiff::Span::new().days(KNOWN_GOOD_DAYS)).ok(),
        (None, Mark::Malicious | Mark::Watching | Mark::Withdrawn) => None,
    };
    let data_dir = arguments.journal.directory();
    let notes = notes_of(&data_dir)?;
    let About { finding, target } = about(&arguments.what, |id| notes.findings.get(&id).cloned())?;
    let of_finding = finding.as_ref().and_then(|found| client_of(found.client.as_str()));
    let client = arguments.client.or(of_finding.filter(|_| mark == Mark::KnownGood));
    let mut triage = Triage {
        who: this_person(),
        mark,
        target: match (&target, &finding) {
            (Some(target), _) => Some(Text::from(&*target.to_string())),
            (None, Some(found)) => Some(found.target.clone()).filter(|target| !target.as_str().is_empty()),
            (None, None) => None,
        },
        finding_id: finding.as_ref().map(|found| found.id),
        client: arguments.client.or(of_finding).map(|client| Text::from(&*client_text(&client))),
        why: Text::from(why),
        until: until.map(|until| Text::from(&*until.to_string())),
        before: None,
    };
    triage.before =
        notes.triages.before(&triage).filter(|before| before.triage.holds(now)).map(|before| before.triage.mark);
    let (by, at) = (triage.who.to_string(), at_minute(now));
    let comment = match &finding {
        Some(found) => format!("{why} (finding {}, {})", found.id, found.finding.as_str()),
        None => why.to_owned(),
    };
    let until = triage.until.as_ref().map(Text::as_str);
    let rule = target.as_ref().filter(|_| matches!(mark, Mark::KnownGood | Mark::Malicious)).map(|target| MarkedRule {
        word: mark.in_words().0,
        target,
        client,
        allows: mark == Mark::KnownGood,
        until,
        by: &by,
        comment: &comment,
        at: &at,
    });
    let proposed = rule.as_ref().map(MarkedRule::alone);
    if let Some(text) = &proposed {
        Policy::compile("proposed.toml", text).map_err(CliError::Problems)?;
    }
    let added = match (to, &rule) {
        (Some(path), Some(rule)) => Some((path, with_rule(path, rule, config)?)),
        (Some(_), None) => return Err(CliError::NoRule),
        (None, _) => None,
    };
    let told = Note::Triage(Box::new(triage.clone()));
    note(&data_dir, told).map_err(|source| CliError::Note { data_dir: data_dir.clone(), source })?;
    if let Some((path, text)) = &added {
        write(path, text).map_err(|source| CliError::Write { path: path.to_path_buf(), source })?;
    }
    let whom = triage.client.as_ref().and_then(|client| client_of(client.as_str()));
    let whom = whom.filter(|client| isolates && client.prefix_len() == client.max_prefix_len());
    let isolated = whom.map(|client| isolate_marked(&data_dir, client, why)).transpose()?;
    let added_to = added.map(|(path, _)| path.display().to_string());
    let is_inside = target.as_ref().is_some_and(MarkedTarget::is_inside);
    let remark = match mark {
        Mark::KnownGood if is_inside => {
            Some("an address inside is let out by a rule with `private` alone: add it by hand")
        }
        Mark::KnownGood | Mark::Malicious | Mark::Watching | Mark::Withdrawn => {
            remark(mark, finding.is_some(), rule.is_some()).filter(|_| isolated.is_none() || rule.is_none())
        }
    };
    Ok(Marked {
        note: remark.map(str::to_owned),
        triage,
        rule: proposed,
        added_to,
        taken: Vec::new(),
        taken_from: None,
        isolated,
    })
}

fn reason(why: &str) -> Result<&str, CliError> {
    let why = why.trim();
    let is_one = !why.is_empty() && why.len() <= REASON_BYTES_MAX && !why.chars().any(char::is_control);
    is_one.then_some(why).ok_or(CliError::Why)
}

/// Puts on record that what was said last does not hold any more, and takes the rules out that were proposed.
fn withdraw(arguments: &WithdrawArguments) -> Result<Marked, CliError> {
    let why = reason(&arguments.why)?;
    let now = clock::now();
    let data_dir = arguments.journal.directory();
    let notes = notes_of(&data_dir)?;
    let About { finding, target } = about(&arguments.what, |id| notes.findings.get(&id).cloned())?;
    let mut triage = Triage {
        who: this_person(),
        mark: Mark::Withdrawn,
        target: target.as_ref().map(|target| Text::from(&*target.to_string())),
        finding_id: finding.as_ref().map(|found| found.id),
        client: arguments.client.map(|client| Text::from(&*client_text(&client))),
        why: Text::from(why),
        until: None,
        before: None,
    };
    let before = notes.triages.before(&triage).filter(|before| before.triage.holds(now));
    let before = &before.ok_or_else(|| CliError::NotMarked(arguments.what.clone()))?.triage;
    (triage.before, triage.target, triage.client) = (Some(before.mark), before.target.clone(), before.client.clone());
    let taken = match &arguments.from {
        Some(path) => {
            let target = target.ok_or(CliError::NoRule)?;
            let client = triage.client.as_ref().and_then(|client| client_of(client.as_str()));
            let id = finding.as_ref().map(|found| found.id.to_string());
            let of = id.as_deref().map_or(ProposedOf::Target(client), ProposedOf::Finding);
            let proposed = Proposed { word: before.mark.in_words().0, target: &target, of };
            Some((path, without_rule(path, &proposed, arguments.config.as_deref())?))
        }
        None => None,
    };
    note(&data_dir, Note::Triage(Box::new(triage.clone()))).map_err(|source| CliError::Note { data_dir, source })?;
    if let Some((path, (text, _))) = &taken {
        write(path, text).map_err(|source| CliError::Write { path: path.to_path_buf(), source })?;
    }
    let proposes = matches!(before.mark, Mark::KnownGood | Mark::Malicious);
    let remark =
        "a rule that was added to a policy stays in force until it is taken out by hand: --from would have done so";
    let stays = (taken.is_none() && proposes).then_some(remark);
    let whom = triage.client.as_ref().map(Text::as_str).filter(|_| before.mark == Mark::Malicious);
    let cut_off = whom
        .filter(|client| is_isolated(&arguments.journal.directory(), client))
        .map(|client| format!("{client} stays cut off: `sekisho release {client}` lets it out again"));
    let note = stays.map(str::to_owned).into_iter().chain(cut_off).reduce(|one, other| format!("{one}; {other}"));
    let (taken_from, taken) =
        taken.map_or((None, Vec::new()), |(path, (_, rules))| (Some(path.display().to_string()), rules));
    Ok(Marked { triage, rule: None, added_to: None, taken, taken_from, isolated: None, note })
}

/// The policy without the rules that a mark proposed, once that compiles; and those rules.
fn without_rule(
    path: &Path,
    proposed: &Proposed<'_>,
    config: Option<&Path>,
) -> Result<(String, Vec<String>), CliError> {
    let read = fs::read_to_string(path);
    let before = read.map_err(|source| CliError::Read { role: Role::Policy, path: path.into(), source })?;
    let (text, taken) = without_marked(&before, proposed);
    if taken.is_empty() {
        return Err(CliError::NoSuchRule(path.to_owned()));
    }
    compiles(path, &text, config)?;
    Ok((text, taken))
}

fn about(what: &str, find: impl Fn(FindingId) -> Option<Found>) -> Result<About, CliError> {
    if let Some(id) = FindingId::parse(what) {
        let finding = find(id).ok_or_else(|| CliError::NotFound(what.to_owned()))?;
        let target = MarkedTarget::read(finding.target.as_str()).ok().filter(|_| is_of_target(&finding));
        return Ok(About { target: target.map(|target| target.on(finding.port)), finding: Some(finding) });
    }
    let bad = |source: BadTarget| CliError::Target { what: what.to_owned(), source };
    Ok(About { finding: None, target: Some(MarkedTarget::read(what).map_err(bad)?) })
}

/// The key of a program has no dot, and a host that leads out has one, or is an address.
fn is_of_target(finding: &Found) -> bool {
    finding.target.as_str().contains(['.', ':'])
}

fn remark(mark: Mark, is_finding: bool, has_rule: bool) -> Option<&'static str> {
    match (mark, is_finding, has_rule) {
        (Mark::KnownGood, true, true) => {
            Some("the rule lets it out; that it is told of no more is for [explained.NAME] in the config")
        }
        (Mark::Malicious, _, true) => Some(
            "a rule denies the target alone: `sekisho isolate CLIENT --reason TEXT` cuts a client off, in the gate and in the \
             kernel, and a [response.NAME] in the config does by itself",
        ),
        (Mark::KnownGood | Mark::Malicious, _, false) => {
            Some("the finding is about no one target, so no rule is proposed")
        }
        (Mark::KnownGood, false, true) | (Mark::Watching | Mark::Withdrawn, _, _) => None,
    }
}

/// The policy with the rule in it, once that compiles.
fn with_rule(path: &Path, rule: &MarkedRule<'_>, config: Option<&Path>) -> Result<String, CliError> {
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(CliError::Read { role: Role::Policy, path: path.into(), source }),
    };
    let text = rule.within(&before);
    compiles(path, &text, config)?;
    Ok(text)
}

/// Whether a policy with this text in the place of a file's would be taken.
fn compiles(path: &Path, text: &str, config: Option<&Path>) -> Result<(), CliError> {
    let config = config.map(read_config).transpose()?;
    // Beside it, so that the files it names are found.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let tried = path.with_file_name(format!(".{name}.triage-{}", std::process::id()));
    let failed = |source| CliError::Write { path: path.to_owned(), source };
    let mut file = fs::File::create_new(&tried).map_err(failed)?;
    let read = match file.write_all(text.as_bytes()) {
        Ok(()) => read_policy(Some(&tried), config.as_ref(), None).map(drop),
        Err(error) => Err(failed(error)),
    };
    let _ = fs::remove_file(&tried);
    match read {
        Ok(()) => Ok(()),
        Err(CliError::Problems(mut problems)) => {
            let (tried, file): (String, Arc<str>) = (tried.display().to_string(), path.display().to_string().into());
            for problem in problems.iter_mut().filter(|problem| *problem.place.file == *tried) {
                problem.place.file = file.clone();
            }
            Err(CliError::Problems(problems))
        }
        Err(other) => Err(other),
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if path.exists() {
        return replace(path, text);
    }
    let mut file = fs::File::create_new(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn list(journal: &JournalOf) -> Result<Listed, CliError> {
    let notes = notes_of(&journal.directory())?;
    let now = clock::now();
    let line = |triaged: &Triaged| Line {
        time: format_time(triaged.time),
        seq: triaged.seq,
        holds: triaged.triage.holds(now),
        triage: triaged.triage.clone(),
    };
    Ok(Listed { triage: notes.triages.list().into_iter().map(line).collect() })
}

fn marked_rows(marked: &Marked) -> Rows {
    let mut rows = vec![("on record", in_words(&marked.triage))];
    if let Some(before) = marked.triage.before {
        rows.push(("before", before.in_words().0.to_owned()));
    }
    rows.push(("why", shown(marked.triage.why.as_str()).into_owned()));
    if let Some(rule) = &marked.rule {
        let rule: Vec<_> = rule.lines().map(shown).collect();
        rows.push(("rule", format!("{}\n ", rule.join("\n"))));
    }
    if let Some(file) = &marked.added_to {
        rows.push(("added to", shown(file).into_owned()));
    }
    for rule in &marked.taken {
        let rule: Vec<_> = rule.lines().map(shown).collect();
        rows.push(("taken out", format!("{}\n ", rule.join("\n"))));
    }
    if let Some(file) = &marked.taken_from {
        rows.push(("of", shown(file).into_owned()));
    }
    rows.extend(marked.isolated.iter().flat_map(contingency_rows));
    rows.extend(marked.note.iter().map(|note| ("note", shown(note).into_owned())));
    rows
}

fn in_words(triage: &Triage) -> String {
    let text = |text: &Option<Text>| text.as_ref().map(|text| shown(text.as_str()).into_owned());
    let mut words = vec![triage.mark.in_words().0.to_owned()];
    words.extend(triage.finding_id.map(|id| format!("finding {id}")));
    words.extend(text(&triage.target));
    words.extend(text(&triage.client).map(|client| format!("client {client}")));
    words.extend(text(&triage.until).map(|until| format!("until {until}")));
    format!("{}, by {}", words.join(", "), triage.who)
}

fn list_rows(listed: &Listed) -> Rows {
    let mut rows = vec![("triage", count(listed.triage.len(), "mark"))];
    rows.extend(listed.triage.iter().map(|line| {
        let is_over = !line.holds && line.triage.mark != Mark::Withdrawn;
        let over = if is_over { "  (over)" } else { "" };
        let why = shown(line.triage.why.as_str());
        (line.triage.mark.in_words().0, format!("{}  {}{over}\n{why}", line.time, in_words(&line.triage)))
    }));
    rows
}

/// The day of a time, in UTC.
fn day(time: Timestamp) -> jiff::civil::Date {
    format_time(time).get(..10).and_then(|day| day.parse().ok()).unwrap_or(jiff::civil::Date::MAX)
}

/// Like `2026-11-26 21:40`.
fn at_minute(time: Timestamp) -> String {
    format_time(time).chars().take(16).map(|character| if character == 'T' { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use crate::evidence::Person;

    use super::super::output::table;
    use super::*;

    #[test]
    fn a_mark_is_shown_so_and_no_escape_reaches_the_terminal() {
        let who =
            Person { uid: Some(0), login: Some("root".into()), console: None, claims: Some("tanaka\u{1b}[2J".into()) };
        let triage = Triage {
            who,
            mark: Mark::KnownGood,
            target: Some("a.example".into()),
            finding_id: FindingId::parse("0123456789abcdef"),
            client: Some("10.20.1.5".into()),
            why: "the scanner\u{202e}".into(),
            until: Some("2027-02-24".into()),
            before: Some(Mark::Watching),
        };
        let marked = Marked {
            triage: triage.clone(),
            rule: Some("[[rule]]\nname = \"x\"".to_owned()),
            added_to: Some("policy.toml".to_owned()),
            taken: Vec::new(),
            taken_from: None,
            isolated: None,
            note: Some("a note".to_owned()),
        };
        let told = "known good, finding 0123456789abcdef, a.example, client 10.20.1.5, until 2027-02-24, by root (user 0), who \
                    claims to be tanaka\\u{1b}[2J";
        let expected = format!(
            "on record   {told}\nbefore      watching\nwhy         the scanner\\u{{202e}}\nrule        [[rule]]\n            name = \"x\"\n             \n\
             added to    policy.toml\nnote        a note\n"
        );
        assert_eq!(table(&marked_rows(&marked)), expected);
        let line = Line { time: "2026-11-26T21:40:00.000000Z".to_owned(), seq: 7, holds: false, triage };
        let expected = format!(
            "triage       1 mark\nknown good   2026-11-26T21:40:00.000000Z  {told}  (over)\n             the scanner\\u{{202e}}\n"
        );
        assert_eq!(table(&list_rows(&Listed { triage: vec![line] })), expected);
    }

    #[test]
    fn what_is_no_host_proposes_nothing_and_a_finding_of_a_program_has_no_target() {
        let found = |target: &str, port| {
            let (id, severity) = (FindingId::parse("0123456789abcdef").unwrap(), crate::evidence::Severity::Low);
            Found {
                id,
                finding: "beacon".into(),
                severity,
                client: "10.0.0.1".into(),
                target: target.into(),
                port,
                english: "".into(),
            }
        };
        for (target, expected) in [
            ("a.example", Some("a.example:8443")),
            ("*.a.example", Some("*.a.example:8443")),
            ("0f00ba00", None),
            ("", None),
        ] {
            let about = about("0123456789abcdef", |_| Some(found(target, 8443))).unwrap();
            assert_eq!(about.target.map(|target| target.to_string()).as_deref(), expected, "{target}");
        }
        assert!(matches!(about("0123456789abcdef", |_| None), Err(CliError::NotFound(_))));
    }
}

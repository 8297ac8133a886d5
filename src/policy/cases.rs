//! Cases: what a policy is held to by itself. One with a case that fails is refused.

use std::net::IpAddr;

use crate::facts::{Standing, Timestamp};
use crate::parse::{Place, Placed, Section};

use super::compile::{Policy, VERDICTS};
use super::decision::VerdictKind;
use super::explain::{Explained, explain};
use super::question::{Asker, Question};

/// One case: a question, and what is expected.
#[derive(Debug)]
pub(super) struct Case {
    place: Place,
    question: Question,
    /// When it is asked; without a word a moment before all exceptions end, so that no case fails for the
    /// passing of time.
    at: Option<Timestamp>,
    verdict: VerdictKind,
    rule: Option<String>,
    reason: Option<String>,
}

pub(super) fn read_cases(root: &mut Section<'_, '_>) -> Vec<Case> {
    root.tables("case").into_iter().filter_map(|mut section| read_case(&mut section)).collect()
}

/// What a program has shown of being a browser.
const STANDINGS: [(&str, Standing); 3] = [
    ("uncleared", Standing::Uncleared),
    ("cleared", Standing::Cleared { afresh: true, confirmed: true }),
    ("no_browser", Standing::NoBrowser),
];

fn read_case(section: &mut Section<'_, '_>) -> Option<Case> {
    let place = section.place().clone();
    let client = section.string("client");
    let request = section.string("request");
    let mut said = |key| section.string(key).map(|text: Placed<String>| text.value);
    let (user, user_agent, ja4, tls_key) = (said("user"), said("user_agent"), said("ja4"), said("tls_key"));
    let _ = said("comment");
    let groups: Vec<String> =
        section.strings("groups").unwrap_or_default().into_iter().map(|group| group.value).collect();
    let standing = section.word("standing", &STANDINGS);
    let captured = section.boolean("captured").unwrap_or(false);
    let at = read_moment(section);
    section.need_some("request", "\"GET http://portal.example/\"");
    let expected = section.table("expect").and_then(|mut expect| {
        let (verdict, rule, reason) =
            (expect.word("verdict", &VERDICTS), expect.string("rule"), expect.string("reason"));
        expect.need_some("verdict", "\"allow\"");
        expect.finish();
        Some((verdict?, rule.map(|rule| rule.value), reason.map(|reason| reason.value)))
    });
    section.need_some("expect", "{ verdict = \"deny\" }");
    section.finish();
    let client = read_client(section, client)?;
    let request = request?;
    let (verdict, rule, reason) = expected?;
    match Question::read(client, &request.value) {
        Ok(question) => {
            let question = question.by(&Asker {
                user: user.as_deref(),
                groups: &groups,
                user_agent: user_agent.as_deref(),
                ja4: ja4.as_deref(),
                tls_key: tls_key.as_deref(),
                standing,
                captured,
            });
            Some(Case { place, question, at, verdict, rule, reason })
        }
        Err(why) => {
            let what = format!("`{}` is no request: {why}", request.value);
            section.problem(&request.place, what, "write it like \"GET http://portal.example/orders\"");
            None
        }
    }
}

/// When it is asked, with the offset of the clocks it is told by.
fn read_moment(section: &mut Section<'_, '_>) -> Option<Timestamp> {
    let text = section.string("at")?;
    let moment = text.value.parse::<jiff::Timestamp>().ok();
    let moment = moment.and_then(|moment| u64::try_from(moment.as_microsecond()).ok());
    if moment.is_none() {
        let what = format!("`{}` is no moment", text.value);
        section.problem(&text.place, what, "write it like \"2026-11-25T10:00:00+09:00\"");
    }
    moment.map(Timestamp)
}

/// Whose request it is; without a word, that of a client in no group.
fn read_client(section: &Section<'_, '_>, client: Option<Placed<String>>) -> Option<IpAddr> {
    let Some(client) = client else { return Some([192, 0, 2, 1].into()) };
    match client.value.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            let what = format!("`{}` is no address", client.value);
            section.problem(&client.place, what, "write it like \"10.20.1.5\"");
            None
        }
    }
}

impl Case {
    /// What is wrong with the policy by this case, and what to do; nothing if it holds.
    fn fails(&self, policy: &Policy) -> Option<(String, String)> {
        let explanation = explain(policy, &self.question, self.at.unwrap_or(Timestamp(0)));
        if self.at.is_none() && explanation.rests_on_hours {
            let what = "the case comes to a rule with hours, and does not say when it is asked";
            return Some((what.to_owned(), "add at = \"2026-11-25T10:00:00+09:00\"".to_owned()));
        }
        let got = explanation.result;
        let as_expected = got.verdict() == Some(self.verdict)
            && self.rule.as_ref().is_none_or(|rule| got.rule().is_some_and(|found| *found.name == **rule))
            && self.reason.as_ref().is_none_or(|reason| got.code() == reason);
        if as_expected {
            return None;
        }
        let fix = match got {
            Explained::Needs(..) => "say more in the case, such as `ja4`, or ask for what is known at the CONNECT",
            Explained::Decided { .. } | Explained::Guarded { .. } => {
                "mend the rule, or the case if that is what is meant; `sekisho explain` shows every rule considered"
            }
        };
        Some((format!("the case expects {} and gets {}", self.expectation(), describe(&got)), fix.to_owned()))
    }

    fn expectation(&self) -> String {
        let by = self.rule.as_ref().map_or(String::new(), |rule| format!(" by rule `{rule}`"));
        let reason = self.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
        format!("{}{by}{reason}", self.verdict.as_str())
    }
}

fn describe(got: &Explained) -> String {
    let verdict = got.verdict().map_or("no verdict yet", VerdictKind::as_str);
    let by = got.rule().map_or(String::new(), |rule| format!(" by rule `{}` ({}:{})", rule.name, rule.file, rule.line));
    format!("{verdict}{by} ({})", got.code())
}

/// Holds the policy to its cases, and reports each that fails.
pub(super) fn run_cases(section: &Section<'_, '_>, policy: &Policy, cases: &[Case]) {
    for case in cases {
        if let Some((what, fix)) = case.fails(policy) {
            section.problem(&case.place, what, fix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "[clients]\noffice = { addresses = [\"10.20.0.0/16\"] }\n[[rule]]\nname = \"office\"\n\
        clients = [\"office\"]\nhosts = [\"a.example\", \"10.1.0.1\"]\nverdict = \"allow\"\n[[rule]]\nname = \"never\"\n\
        hosts = [\"b.example\"]\nverdict = \"deny\"\n";

    fn with(case: &str) -> Result<(), String> {
        let text = format!("{POLICY}[[case]]\n{case}\n");
        let problems = Policy::compile("p.toml", &text).err().unwrap_or_default();
        if problems.is_empty() { Ok(()) } else { Err(problems.iter().map(|problem| format!("{problem}\n")).collect()) }
    }

    #[test]
    fn a_policy_whose_cases_hold_compiles() {
        for case in [
            "client = \"10.20.1.5\"\nrequest = \"GET http://a.example/x\"\nexpect = { verdict = \"allow\", rule = \"office\" }",
            "client = \"10.20.1.5\"\nrequest = \"POST https://a.example/x\"\nexpect = { verdict = \"allow\" }",
            "client = \"10.30.1.5\"\nrequest = \"GET http://a.example/\"\nexpect = { verdict = \"deny\", reason = \"no_rule\" }",
            "request = \"GET http://b.example/\"\nexpect = { verdict = \"deny\", rule = \"never\" }\ncomment = \"c\"",
            "client = \"10.20.1.5\"\nrequest = \"GET http://10.1.0.1/\"\nexpect = { verdict = \"deny\", reason = \"guard_address\" }",
        ] {
            assert_eq!(with(case), Ok(()), "{case}");
        }
    }

    #[test]
    fn a_case_that_fails_is_a_problem_that_says_what_came_instead() {
        let shown =
            with("client = \"10.20.1.5\"\nrequest = \"GET http://b.example/\"\nexpect = { verdict = \"allow\" }")
                .unwrap_err();
        assert!(
            shown.starts_with("p.toml:12:1: the case expects allow and gets deny by rule `never` (p.toml:9) (rule)\n"),
            "{shown}"
        );
        let shown = with("request = \"GET http://b.example/\"\nexpect = { verdict = \"deny\", rule = \"office\" }")
            .unwrap_err();
        assert!(shown.contains("expects deny by rule `office` and gets deny by rule `never`"), "{shown}");
        let shown = with("request = \"GET http://b.example/\"\nexpect = { verdict = \"deny\", reason = \"no_rule\" }")
            .unwrap_err();
        assert!(shown.contains("expects deny (no_rule) and gets"), "{shown}");
    }

    #[test]
    fn what_is_observed_is_held_to_what_would_have_happened() {
        let text = format!(
            "[policy]\nmode = \"observe\"\n{POLICY}[[case]]\nrequest = \"GET http://b.example/\"\nexpect = {{ verdict = \"deny\" }}\n"
        );
        assert!(Policy::compile("p.toml", &text).is_ok());
    }

    #[test]
    fn a_case_that_makes_no_sense_is_refused_with_all_that_is_wrong() {
        let shown =
            with("client = \"office\"\nrequest = \"b.example\"\nexpect = { verdict = \"alow\" }\nwho = 1").unwrap_err();
        for part in ["`office` is no address", "did you mean `allow`", "unknown key `who`"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let shown = with("request = \"b.example\"\nexpect = { verdict = \"deny\" }").unwrap_err();
        assert!(shown.contains("`b.example` is no request: it is not a method and a URL"), "{shown}");
        let shown = with("client = \"10.20.1.5\"").unwrap_err();
        assert!(shown.contains("`request` is missing") && shown.contains("`expect` is missing"), "{shown}");
    }
}

//! The page of a hunt: one file that needs nothing else, for whoever is to read it.

use std::collections::HashSet;
use std::fmt::Write as _;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use crate::detect::Counts;
use crate::evidence::{Finding, FindingId, FindingKind, Ground, Rarity, SCORE_MAX, Severity, Span, format_time, shown};
use crate::facts::Timestamp;
use crate::site::escape;

use super::hunt::{Hunted, LogRead};

mod picture;
mod report;
mod words;

pub use report::report_page;

use picture::picture;
use words::{both, counted, severity};

/// How each page begins.
pub const PAGE_BEGINS: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
                               <meta name=\"generator\" content=\"sekisho\">\n";

const STYLE: &str = include_str!("page/style.css");
/// Findings that a page shows; of more the most pressing. A browser must be able to hold it.
const FINDINGS_MAX: usize = 1_000;
/// Stories that it shows; of more the most pressing.
const STORIES_MAX: usize = 100;
/// Logs that it shows; of more the first.
const LOGS_MAX: usize = 1_000;

/// What was found in logs as a page of HTML, in English and in Japanese, written at this time.
///
/// It has no script, names nothing outside itself, and its Content-Security-Policy lets in nothing but its own style. All
/// that comes from logs is escaped; what would turn or hide text is made visible.
pub fn hunt_page(hunted: &Hunted, written: Timestamp) -> String {
    let mut page = begun("Sekisho: what was found in logs 関所：ログの調査結果");
    head(&mut page, hunted, written);
    overview(&mut page, &hunted.findings);
    stories(&mut page, hunted);
    for finding in hunted.findings.iter().take(FINDINGS_MAX) {
        whole(&mut page, finding);
    }
    logs(&mut page, &hunted.logs);
    counts(&mut page, &hunted.counts);
    page.push_str(ENDS);
    page
}

/// A page up to its first heading. It has no script, and lets in nothing but its own style.
fn begun(title: &str) -> String {
    let hash = BASE64.encode(&Sha256::digest(STYLE));
    format!(
        "{PAGE_BEGINS}<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
    )
}

const ENDS: &str = "</main>\n</body>\n</html>\n";

fn head(page: &mut String, hunted: &Hunted, written: Timestamp) {
    let all = hunted.findings.len();
    let high = hunted.findings.iter().filter(|finding| finding.severity == Severity::High).count();
    let (english, japanese) = (
        format!("{all} finding{}, {high} of them high", if all == 1 { "" } else { "s" }),
        format!("検出{all}件、うち「高」{high}件"),
    );
    let _ = writeln!(
        page,
        "<header>\n<h1>{}</h1>\n<p class=\"lead\">{}</p>\n<p class=\"muted\">{} · Sekisho {}</p>\n</header>",
        both("What was found in logs", "ログの調査結果"),
        both(&english, &japanese),
        to_the_second(written),
        env!("CARGO_PKG_VERSION"),
    );
}

/// All findings in a table, each with a link to where it stands whole.
fn overview(page: &mut String, findings: &[Finding]) {
    let _ = writeln!(page, "<section>\n<h2>{}</h2>", both("Findings", "検出一覧"));
    if findings.is_empty() {
        let _ = writeln!(page, "<p>{}</p>\n</section>", both("Nothing was found.", "検出はありません。"));
        return;
    }
    let columns = [
        ("Severity", "重要度"),
        ("Finding", "種類"),
        ("Client", "端末"),
        ("Target", "通信先"),
        ("Score", "スコア"),
        ("Stage", "段階"),
    ];
    table_begins(page, ("Findings", "検出一覧"), &columns);
    for finding in findings.iter().take(FINDINGS_MAX) {
        let (english, japanese) = finding.kind.in_words();
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td><a href=\"#f{}\">{}</a></td><td>{}</td><td>{}</td><td class=\"number\">{:.1}</td><td>{}</td></tr>",
            badge(finding.severity),
            finding.id,
            both(english, japanese),
            said(&finding.client),
            target(finding),
            finding.score.min(SCORE_MAX),
            stage(finding),
        );
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
    if let Some(others @ 1..) = findings.len().checked_sub(FINDINGS_MAX) {
        let english = format!("{others} less pressing findings are not shown; --format json has all.");
        let japanese = format!("ほか{others}件は省略しています（--format json で全件）。");
        let _ = writeln!(page, "<p>{}</p>", both(&english, &japanese));
    }
    page.push_str("</section>\n");
}

/// What was found of one client, in order of time, each with a link to where it stands whole.
fn stories(page: &mut String, hunted: &Hunted) {
    let stories = &hunted.stories;
    if stories.is_empty() {
        return;
    }
    let shown: HashSet<FindingId> = hunted.findings.iter().take(FINDINGS_MAX).map(|finding| finding.id).collect();
    let _ = writeln!(page, "<section>\n<h2>{}</h2>", both("Stories of clients", "端末ごとの経緯"));
    for story in stories.iter().take(STORIES_MAX) {
        let _ = writeln!(
            page,
            "<p>{} {}</p>\n<p lang=\"ja\">{}</p>\n<ol>",
            badge(story.severity),
            safe(&story.english),
            safe(&story.japanese),
        );
        for step in &story.steps {
            let (english, japanese) = step.kind.in_words();
            let (at, target) = (to_the_second(step.first), said(&step.target));
            let mut kind = both(english, japanese);
            if shown.contains(&step.finding) {
                kind = format!("<a href=\"#f{}\">{kind}</a>", step.finding);
            }
            let _ = writeln!(page, "<li>{at} {kind} {target}</li>");
        }
        page.push_str("</ol>\n");
        if story.more > 0 {
            let (english, japanese) = (format!("and {} findings more", story.more), format!("ほか{}件", story.more));
            let _ = writeln!(page, "<p>{}</p>", both(&english, &japanese));
        }
    }
    if let Some(others @ 1..) = stories.len().checked_sub(STORIES_MAX) {
        let english = format!("{others} less pressing stories are not shown; --format json has all.");
        let japanese = format!("ほか{others}件は省略しています（--format json で全件）。");
        let _ = writeln!(page, "<p>{}</p>", both(&english, &japanese));
    }
    page.push_str("</section>\n");
}

/// One finding with all that speaks for it.
fn whole(page: &mut String, finding: &Finding) {
    let (english, japanese) = finding.kind.in_words();
    let _ = writeln!(
        page,
        "<article id=\"f{}\">\n<h2>{} {}</h2>\n<p class=\"pair\">{} → {}</p>\n<p>{}</p>\n<p lang=\"ja\">{}</p>\n<dl>",
        finding.id,
        badge(finding.severity),
        both(english, japanese),
        said(&finding.client),
        target(finding),
        safe(&finding.in_english()),
        safe(&finding.in_japanese()),
    );
    let mut facts = vec![
        (("Score", "スコア"), format!("{:.1}", finding.score.min(SCORE_MAX))),
        (("Stage", "段階"), stage(finding)),
        (("From", "最初"), to_the_second(finding.first)),
        (("To", "最後"), to_the_second(finding.last)),
    ];
    if finding.requests > 0 {
        facts.push((("Requests", "件数"), finding.requests.to_string()));
        facts.push((("Denied", "うち拒否"), finding.denied.to_string()));
    }
    if let Some(Rarity { clients, of, known_seconds }) = finding.rarity {
        facts.push((("Clients that talk to it", "通信する端末"), format!("{clients} / {of}")));
        let known = Span(known_seconds as f64);
        facts.push((("Known here for", "初出からの期間"), both(&known.to_string(), &known.in_japanese())));
    }
    let [first, newest] = finding.records;
    facts.push((("Records or lines", "記録・行"), format!("{first} – {newest}")));
    facts.push((("Id", "識別子"), format!("<code>{}</code>", finding.id)));
    for ((english, japanese), value) in facts {
        let _ = writeln!(page, "<div><dt>{}</dt><dd>{value}</dd></div>", both(english, japanese));
    }
    page.push_str("</dl>\n");
    if !finding.grounds.is_empty() {
        let _ = writeln!(page, "<h3>{}</h3>\n<ul class=\"grounds\">", both("Grounds", "根拠"));
        finding.grounds.iter().for_each(|ground| grounds(page, ground));
        page.push_str("</ul>\n");
    }
    // What is always on says nothing of intervals.
    let beat = finding.beat.as_ref().filter(|beat| beat.gaps > 0 && finding.kind != FindingKind::AlwaysOn);
    if let Some(beat) = beat {
        picture(page, beat);
    }
    page.push_str("</article>\n");
}

/// A ground by its code and its numbers; its words stand in the sentence.
fn grounds(page: &mut String, ground: &Ground) {
    let _ = write!(page, "<li><code>{}</code>", escape(ground.ground));
    for (name, number) in &ground.numbers {
        let rounded = format!("{number:.3}");
        let rounded = rounded.trim_end_matches('0').trim_end_matches('.');
        let _ = write!(page, " <span>{} <b>{rounded}</b></span>", escape(&name.replace('_', " ")));
    }
    page.push_str("</li>\n");
}

/// The logs that were read, and how.
fn logs(page: &mut String, logs: &[LogRead]) {
    let _ = writeln!(page, "<section>\n<h2>{}</h2>", both("Logs", "読んだログ"));
    let columns = [
        ("Log", "ログ"),
        ("Format", "形式"),
        ("Time zones", "時間帯"),
        ("Lines", "行数"),
        ("Told something", "利用した行"),
        ("Cannot be read", "読めない行"),
    ];
    table_begins(page, ("Logs", "読んだログ"), &columns);
    for log in logs.iter().take(LOGS_MAX) {
        let format = log.format.map_or_else(|| both("no known format", "不明な形式"), escape);
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{format}</td><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td></tr>",
            said(&log.log),
            safe(&log.zones.join(", ")),
            log.lines,
            log.told,
            log.bad,
        );
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
    if let Some(others @ 1..) = logs.len().checked_sub(LOGS_MAX) {
        let (english, japanese) =
            (format!("{others} more logs are not shown."), format!("ほか{others}件のログは省略。"));
        let _ = writeln!(page, "<p>{}</p>", both(&english, &japanese));
    }
    for log in logs.iter().take(LOGS_MAX).filter(|log| log.stopped.is_some() || !log.sample.is_empty()) {
        let _ = writeln!(page, "<h3>{}</h3>", said(&log.log));
        if let Some(why) = &log.stopped {
            let _ = writeln!(page, "<p>{}: {}</p>", both("stopped", "途中で終了"), safe(why));
        }
        if !log.sample.is_empty() {
            let _ = writeln!(page, "<p>{}</p>\n<ul>", both("Lines that cannot be read:", "読めない行の例："));
            for bad in &log.sample {
                let (reason, begins) = (safe(&bad.reason), safe(&bad.begins));
                let _ = writeln!(page, "<li><b>{}</b> {reason}: <code>{begins}</code></li>", bad.line);
            }
            page.push_str("</ul>\n");
        }
    }
    page.push_str("</section>\n");
}

fn counts(page: &mut String, counts: &Counts) {
    let _ = writeln!(page, "<section>\n<h2>{}</h2>\n<dl>", both("What was looked at", "調べた量"));
    for ((english, japanese), count) in counted(counts) {
        let _ = writeln!(page, "<div><dt>{}</dt><dd>{count}</dd></div>", both(english, japanese));
    }
    page.push_str("</dl>\n</section>\n");
}

/// A table that is moved sideways where the window is narrow, with the keyboard as well.
fn table_begins(page: &mut String, (english, japanese): (&str, &str), columns: &[(&str, &str)]) {
    let _ = write!(
        page,
        "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"{english} {japanese}\">\n<table>\n<thead>\n<tr>"
    );
    for (english, japanese) in columns {
        let _ = write!(page, "<th scope=\"col\">{}</th>", both(english, japanese));
    }
    page.push_str("</tr>\n</thead>\n<tbody>\n");
}

fn badge(of: Severity) -> String {
    let (english, japanese) = severity(of);
    format!("<span class=\"badge {}\">{}</span>", of.as_str(), both(english, japanese))
}

fn stage(finding: &Finding) -> String {
    let stage = finding.kind.stage();
    both(&stage.as_str().replace('_', " "), stage.in_japanese())
}

/// What it is about; a finding about all that a client does has no target.
fn target(finding: &Finding) -> String {
    match (&*finding.target, finding.port) {
        ("", _) => "–".to_owned(),
        (target, 0) => said(target),
        (target, port) => format!("{}:{port}", said(target)),
    }
}

/// A name that others chose, in whichever direction it is written.
fn said(text: &str) -> String {
    format!("<bdi>{}</bdi>", safe(text))
}

/// Text that others chose.
fn safe(text: &str) -> String {
    escape(&shown(text))
}

/// A time in UTC, as `2026-11-25 01:00:00 UTC`.
fn to_the_second(time: Timestamp) -> String {
    let text = format_time(time);
    let text = text.get(..19).unwrap_or(&text).replace('T', " ");
    format!("<time>{text} UTC</time>")
}

#[cfg(test)]
mod tests;

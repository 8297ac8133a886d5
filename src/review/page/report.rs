use std::fmt::Write as _;

use super::super::report::{Events, Found, MonthReport, Named, ReportEvent};
use super::words::both;
use super::{ENDS, begun, safe, said, table_begins};

/// A month's report as a page of HTML, in English and in Japanese, that prints well. It has no script and names nothing outside
/// itself; all text of others is escaped.
pub fn report_page(report: &MonthReport) -> String {
    let month = safe(&report.month);
    let mut page = begun(&format!("Sekisho: evidence of {month} 関所：{month}の証跡報告"));
    let _ = writeln!(
        page,
        "<header>\n<h1>{}</h1>\n<p class=\"muted\">{} · Sekisho {}</p>\n</header>",
        both(&format!("Evidence of {month}"), &format!("{month}の証跡報告")),
        safe(&report.written),
        env!("CARGO_PKG_VERSION"),
    );
    whole(&mut page, report);
    days(&mut page, report);
    stopped(&mut page, report);
    findings(&mut page, report);
    let lists = [
        (("What is missing, and how the gate stood", "欠落とゲートの状態"), &report.gaps),
        (("Policies", "ポリシー"), &report.policies),
        (("What people did", "操作の記録"), &report.admin),
    ];
    for (title, listed) in lists {
        events(&mut page, title, listed);
    }
    let _ = writeln!(
        page,
        "<p>{}</p>",
        both(
            &format!("People's records were looked up {} times.", report.lookups),
            &format!("個人の記録の照会は{}件です。", report.lookups)
        )
    );
    page.push_str(ENDS);
    page
}

/// Whether the evidence is whole.
fn whole(page: &mut String, report: &MonthReport) {
    let _ = writeln!(page, "<section>\n<h2>{}</h2>", both("Is the evidence whole?", "証跡は完全か"));
    let numbers = match (report.last_seq, report.missing) {
        (0, _) => both("There are no records of this month.", "この月の記録はありません。"),
        (_, 0) => both(
            &format!("Records {} to {} are there without a gap.", report.first_seq, report.last_seq),
            &format!("記録{}から{}まで欠番はありません。", report.first_seq, report.last_seq),
        ),
        (_, missing) => both(
            &format!("Of records {} to {}, {missing} are missing.", report.first_seq, report.last_seq),
            &format!("記録{}から{}のうち{missing}件が欠けています。", report.first_seq, report.last_seq),
        ),
    };
    let verdict = if report.verification.is_whole {
        both("The whole journal verifies:", "記録全体の検証に成功しました：")
    } else {
        both("The journal does not verify:", "記録の検証に失敗しました：")
    };
    let empty = report.days.iter().filter(|day| day.records == 0).map(|day| safe(&day.day)).collect::<Vec<_>>();
    let _ = writeln!(page, "<p class=\"lead\">{numbers}</p>\n<p>{verdict}</p>\n<ul>");
    for word in &report.verification.words {
        let _ = writeln!(page, "<li>{}</li>", safe(word));
    }
    page.push_str("</ul>\n");
    if report.dropped > 0 {
        let (english, japanese) = (
            format!(
                "{} records went with days that are kept no longer; the gate's record of that is below.",
                report.dropped
            ),
            format!("保存期間を過ぎた日の記録{}件は削除されました。その記録は下にあります。", report.dropped),
        );
        let _ = writeln!(page, "<p>{}</p>", both(&english, &japanese));
    }
    if !empty.is_empty() {
        let days = empty.join(", ");
        let _ = writeln!(page, "<p>{} {days}</p>", both("Days without any record:", "記録のない日："));
    }
    if report.clock_steps > 0 {
        let (english, japanese) = (
            format!("The clock stepped back {} times since the journal begins.", report.clock_steps),
            format!("記録の開始以来、時計が{}回戻りました。", report.clock_steps),
        );
        let _ = writeln!(page, "<p>{}</p>", both(&english, &japanese));
    }
    page.push_str("</section>\n");
}

fn days(page: &mut String, report: &MonthReport) {
    let title = ("Days (UTC)", "日別（UTC）");
    let _ = writeln!(page, "<section>\n<h2>{}</h2>", both(title.0, title.1));
    let columns = [
        ("Day", "日"),
        ("Records", "記録"),
        ("Exchanges", "通信"),
        ("Clients", "端末"),
        ("Stopped", "遮断"),
        ("Would be stopped", "観察のみ"),
    ];
    table_begins(page, title, &columns);
    for day in &report.days {
        let numbers = [day.records, day.exchanges, day.clients, day.stopped, day.would];
        let cells = numbers.map(|number| format!("<td class=\"number\">{number}</td>")).concat();
        let _ = writeln!(page, "<tr><td>{}</td>{cells}</tr>", safe(&day.day));
    }
    page.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

fn stopped(page: &mut String, report: &MonthReport) {
    let title = ("Attempts that were stopped", "遮断した通信");
    let _ = writeln!(page, "<section>\n<h2>{}</h2>", both(title.0, title.1));
    if report.stopped.is_empty() {
        let _ = writeln!(page, "<p>{}</p>\n</section>", both("Nothing was stopped.", "遮断はありません。"));
        return;
    }
    let columns = [
        ("Verdict", "判定"),
        ("Reason", "理由"),
        ("Rule", "規則"),
        ("Requests", "件数"),
        ("Clients", "端末"),
        ("Hosts", "ホスト"),
    ];
    table_begins(page, title, &columns);
    for row in &report.stopped {
        let numbers =
            [row.requests, row.clients, row.hosts].map(|number| format!("<td class=\"number\">{number}</td>"));
        let words = [&row.verdict, &row.reason, &row.rule].map(|word| format!("<td>{}</td>", said(word)));
        let _ = writeln!(page, "<tr>{}{}</tr>", words.concat(), numbers.concat());
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
    named(page, ("Clients with most of them", "遮断の多い端末"), &report.clients);
    named(page, ("Hosts with most of them", "遮断の多いホスト"), &report.hosts);
    page.push_str("</section>\n");
}

fn named(page: &mut String, (english, japanese): (&str, &str), names: &[Named]) {
    let _ = writeln!(page, "<h3>{}</h3>\n<ol>", both(english, japanese));
    for Named { name, requests } in names {
        let _ = writeln!(page, "<li>{} {requests}</li>", said(name));
    }
    page.push_str("</ol>\n");
}

fn findings(page: &mut String, report: &MonthReport) {
    let _ = writeln!(page, "<section>\n<h2>{}</h2>", both("Findings, and what was done about them", "検出と対応"));
    if report.findings.is_empty() {
        let _ = writeln!(page, "<p>{}</p>", both("Nothing was found.", "検出はありません。"));
    }
    for Found { id, severity, kind, client, target, first, last, english, japanese, done } in &report.findings {
        // Of a severity that this version does not know the badge has no colour.
        let class = if matches!(severity.as_str(), "high" | "medium" | "low") { severity } else { "" };
        let _ = writeln!(
            page,
            "<article id=\"f{}\">\n<p class=\"pair\"><span class=\"badge {class}\">{}</span> {} · {} → {}</p>\n<p>{}</p>\n\
             <p lang=\"ja\">{}</p>\n<p class=\"muted\">{} – {} · <code>{}</code></p>",
            safe(id),
            safe(severity),
            safe(&kind.replace('_', " ")),
            said(client),
            said(target),
            safe(english),
            safe(japanese),
            safe(first),
            safe(last),
            safe(id),
        );
        if done.is_empty() {
            let _ = writeln!(page, "<p>{}</p>", both("Nothing was done about it yet.", "対応はまだありません。"));
        } else {
            list(page, done);
        }
        page.push_str("</article>\n");
    }
    if report.findings_beyond > 0 {
        let (english, japanese) = (
            format!("{} less pressing findings are not listed.", report.findings_beyond),
            format!("ほか{}件は省略しています。", report.findings_beyond),
        );
        let _ = writeln!(page, "<p>{}</p>", both(&english, &japanese));
    }
    page.push_str("</section>\n");
}

fn events(page: &mut String, (english, japanese): (&str, &str), events: &Events) {
    let _ = writeln!(page, "<section>\n<h2>{}</h2>", both(english, japanese));
    if events.count == 0 {
        let _ = writeln!(page, "<p>{}</p>\n</section>", both("None.", "ありません。"));
        return;
    }
    list(page, &events.first);
    if let Some(others @ 1..) = events.count.checked_sub(events.first.len() as u64) {
        let (english, japanese) = (format!("and {others} more"), format!("ほか{others}件"));
        let _ = writeln!(page, "<p>{}</p>", both(&english, &japanese));
    }
    page.push_str("</section>\n");
}

fn list(page: &mut String, events: &[ReportEvent]) {
    page.push_str("<ul>\n");
    for ReportEvent { seq, time, kind, action, detail } in events {
        let _ = writeln!(
            page,
            "<li>{} <b>{}</b> {} {} <span class=\"muted\">({seq})</span></li>",
            safe(time),
            safe(kind),
            safe(action),
            safe(detail),
        );
    }
    page.push_str("</ul>\n");
}

use super::super::access::Act;
use super::super::html::{Html, Language, Words};
use super::super::words::{cause_in_words, key_in_words, note_in_words, value_in_words};
use super::exchanges::ways_of;
use super::frame::{Asked, View, severity};
use crate::evidence::FindingKind;
use crate::review::questions::{Answer, Cell, Column, Shape, Table};

/// The pages of findings, each of which leads to the others.
const FINDINGS: [(&str, Words); 3] = [
    ("/findings", ("all findings", "すべての検出")),
    ("/beacons", ("what calls home at steady intervals", "一定間隔の通信")),
    ("/tunnels", ("tunnels", "トンネル")),
];

/// An answer as a page: what is known in single values, then its tables.
pub(in super::super) fn answer_page(view: &View<'_>, title: Words, asked: Asked, answer: &Answer) -> Html {
    let mut page = view.begin(title);
    page.markup("<h1>").words(title).markup("</h1>");
    if FINDINGS.iter().any(|(path, _)| *path == view.path) {
        page.markup("<ul class=\"ways\">");
        for (path, words) in FINDINGS.into_iter().filter(|(path, _)| *path != view.path) {
            page.markup("<li><a href=\"");
            view.way(&mut page, path, &[("days", &asked.days.to_string())]);
            page.markup("\">").words(words).markup("</a></li>");
        }
        page.markup("</ul>");
    }
    range_form(view, &mut page, asked, &[]);
    body(view, &mut page, answer);
    view.end(page)
}

/// The same below another heading.
pub(super) fn body(view: &View<'_>, page: &mut Html, answer: &Answer) {
    unread(page, answer);
    facts(view, page, answer);
    for table_of in &answer.tables {
        table(view, page, table_of);
    }
    for note in &answer.notes {
        match note_in_words(note) {
            Some(words) => page.markup("<p class=\"muted\">").words(words),
            None => page.markup("<p class=\"muted\" lang=\"en\">").text(note),
        };
        page.markup("</p>");
    }
}

/// What of the evidence could not be read comes first: the answer is partial.
pub(in super::super) fn unread(page: &mut Html, answer: &Answer) {
    for what in &answer.unread {
        page.markup("<p class=\"notice bad\" role=\"alert\">");
        page.words(("Not all could be read: ", "一部を読めませんでした："));
        page.markup("<span lang=\"en\">").text(what).markup("</span></p>");
    }
}

fn facts(view: &View<'_>, page: &mut Html, answer: &Answer) {
    page.markup("<dl class=\"facts\">");
    for (key, value) in answer.facts.iter().filter(|(_, value)| *value != Cell::Nothing) {
        page.markup("<div><dt>").words(in_words(key)).markup("</dt><dd>");
        let shape = Shape::Text;
        cell(view, page, Column { key, shape }, value);
        page.markup("</dd></div>");
    }
    page.markup("</dl>");
}

/// A choice of the days that are shown, and of the last of them, with what else is asked.
pub(in super::super) fn range_form(view: &View<'_>, page: &mut Html, asked: Asked, beside: &[(&'static str, &str)]) {
    page.markup("<form class=\"line\" method=\"get\" action=\"").markup(view.path).markup("\">");
    for (name, value) in beside {
        page.markup("<input type=\"hidden\" name=\"").markup(name).markup("\" value=\"").text(value).markup("\">");
    }
    days_field(page, asked);
    page.markup("<button>").words(("Show", "表示")).markup("</button></form>");
}

pub(super) fn days_field(page: &mut Html, asked: Asked) {
    page.markup("<div><label for=\"days\">").words(("Days", "日数"));
    page.markup("</label><input id=\"days\" name=\"days\" type=\"number\" min=\"1\" max=\"400\" value=\"");
    page.text(&asked.days.to_string()).markup("\"></div><div><label for=\"until\">");
    page.words(("Last day (UTC)", "最終日（UTC）"));
    page.markup("</label><input id=\"until\" name=\"until\" type=\"date\" min=\"1970-01-01\" value=\"");
    page.text(&asked.until.map_or_else(String::new, |until| until.to_string())).markup("\"></div>");
}

/// A table, moved sideways where the window is narrow, by the keyboard as well.
pub(in super::super) fn table(view: &View<'_>, page: &mut Html, table: &Table) {
    let name = in_words(table.name);
    page.markup("<section><h2>").words(name).markup("</h2>");
    if table.rows.is_empty() {
        page.markup("<p class=\"muted\">").words(("None.", "ありません。")).markup("</p></section>");
        return;
    }
    // A sentence is there in both languages: the one of the page is shown.
    let other = match view.language {
        Language::English => "japanese",
        Language::Japanese => "english",
    };
    // It stands before the times, where it is seen without moving the table.
    let rank = |shape: Shape| match shape {
        Shape::Text => 0,
        Shape::Sentence => 1,
        Shape::Count | Shape::Bytes | Shape::Time => 2,
    };
    let mut columns: Vec<(usize, Column)> =
        table.columns.iter().copied().enumerate().filter(|(_, column)| column.key != other).collect();
    if columns.iter().any(|(_, column)| column.shape == Shape::Sentence) {
        columns.sort_by_key(|(_, column)| rank(column.shape));
    }
    // What a client did around a finding is asked by the finding's record.
    let is_of_findings = table.columns.iter().any(|column| column.key == "finding");
    page.markup("<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"")
        .words(name)
        .markup("\"><table><thead><tr>");
    for (_, column) in &columns {
        page.markup(if is_number(column.shape) { "<th scope=\"col\" class=\"number\">" } else { "<th scope=\"col\">" });
        page.words(in_words(column.key)).markup("</th>");
    }
    page.markup("</tr></thead><tbody>");
    for row in &table.rows {
        page.markup("<tr>");
        for (place, column) in &columns {
            page.markup(match column.shape {
                Shape::Count | Shape::Bytes => "<td class=\"number\">",
                Shape::Sentence => "<td class=\"sentence\">",
                Shape::Text | Shape::Time => "<td>",
            });
            match row.get(*place) {
                Some(Cell::Count(seq)) if is_of_findings && column.key == "record" && view.role.may(Act::LookUp) => {
                    let seq = seq.to_string();
                    page.link("/around", &[("id", &seq)], &seq);
                }
                // Few of these were ever dialled: who tried to get there tells more than what was dialled near it.
                Some(Cell::Text(address)) if table.name == "past_proxy" && column.key == "address" => {
                    // As hosts have them.
                    let name = if address.contains(':') { format!("[{address}]") } else { address.clone() };
                    view.link(page, "/host", &[("name", &name)], address);
                }
                Some(value) => cell(view, page, *column, value),
                None => {}
            }
            page.markup("</td>");
        }
        page.markup("</tr>");
    }
    page.markup("</tbody></table></div>");
    if table.more > 0 {
        page.markup("<p class=\"muted\">").words(("and more rows: ", "ほかの行数：")).number(table.more).markup("</p>");
    }
    page.markup("</section>");
}

fn is_number(shape: Shape) -> bool {
    match shape {
        Shape::Count | Shape::Bytes => true,
        Shape::Text | Shape::Time | Shape::Sentence => false,
    }
}

/// A value; what names a client, a host or a finding leads there.
pub(in super::super) fn cell(view: &View<'_>, page: &mut Html, column: Column, value: &Cell) {
    match value {
        Cell::Nothing => {}
        Cell::Count(number) => {
            page.number(*number);
        }
        Cell::Bytes(bytes) => {
            page.text(&in_bytes(*bytes));
        }
        Cell::Time(time) => view.time(page, *time),
        Cell::Text(text) => match column.key {
            "client" | "first_client" | "first_seen_by" if view.role.may(Act::LookUp) => {
                view.link(page, "/client", &[("name", text)], text);
            }
            "device" | "first_seen_device" if text != "uncertain" && view.role.may(Act::LookUp) => {
                view.link(page, "/client", &[("name", text)], text);
            }
            "host" | "first_host" | "domain" => {
                view.link(page, "/host", &[("name", text)], text);
            }
            "ja4" if view.role.may(Act::LookUp) => {
                view.link(page, "/like", &[("by", "ja4"), ("value", text)], text);
            }
            "address" if view.role.may(Act::LookUp) => {
                view.link(page, "/like", &[("by", "network"), ("value", text)], text);
            }
            "finding" => {
                page.link("/finding", &[("id", text)], text);
            }
            "id" if view.role.may(Act::LookUp) => ways_of(view, page, text),
            "severity" => severity(page, text),
            "failure" | "fit" | "by" | "state" => {
                match value_in_words(text) {
                    Some(words) => page.words(words),
                    None => page.said(text),
                };
            }
            "cause" => {
                match cause_in_words(text) {
                    Some(words) => page.words(words),
                    None => page.said(text),
                };
            }
            "detail" => {
                page.markup("<span lang=\"en\">").text(text).markup("</span>");
            }
            "kind" => {
                match FindingKind::named(text) {
                    Some(kind) => page.words(kind.in_words()),
                    None => match value_in_words(text) {
                        Some(words) => page.words(words),
                        None => page.said(text),
                    },
                };
            }
            _ => {
                page.said(text);
            }
        },
    }
}

pub(super) fn in_words(key: &'static str) -> Words {
    key_in_words(key).unwrap_or((key, key))
}

/// Bytes in few characters.
pub(super) fn in_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut number, mut unit) = (bytes as f64, 0);
    while number >= 1024.0 && unit + 1 < UNITS.len() {
        (number, unit) = (number / 1024.0, unit + 1);
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{bytes} {name}") } else { format!("{number:.1} {name}") }
}

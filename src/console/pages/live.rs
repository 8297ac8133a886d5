use super::super::html::Html;
use super::super::live::{Filter, Row};
use super::super::request::Pairs;
use super::frame::View;

/// What happens now, by filters; rows come by themselves where scripts run, else with each press of the button.
pub(in super::super) fn live_page(view: &View<'_>, asked: &Pairs, rows: &[std::sync::Arc<Row>]) -> Html {
    let title = ("Live", "ライブ");
    let mut page = view.begin(title);
    page.markup("<h1>").words(title).markup("</h1><form class=\"line\" method=\"get\" action=\"/live\">");
    for (name, words) in
        [("client", ("Client", "端末")), ("host", ("Host has", "ホスト（部分）")), ("reason", ("Reason", "理由"))]
    {
        page.markup("<div><label for=\"f-").markup(name).markup("\">").words(words).markup("</label><input id=\"f-");
        page.markup(name)
            .markup("\" name=\"")
            .markup(name)
            .markup("\" value=\"")
            .text(asked.get(name).unwrap_or_default());
        page.markup("\"></div>");
    }
    page.markup("<div><label for=\"f-verdict\">").words(("Verdict", "判断"));
    page.markup("</label><select id=\"f-verdict\" name=\"verdict\">");
    for (value, words) in [
        ("", ("all", "すべて")),
        ("allow", ("allow", "許可")),
        ("challenge", ("challenge", "確認要求")),
        ("deny", ("deny", "拒否")),
    ] {
        page.markup("<option value=\"").markup(value).markup("\"");
        if asked.get("verdict").unwrap_or_default() == value {
            page.markup(" selected");
        }
        page.markup(">").words(words).markup("</option>");
    }
    page.markup("</select></div><button>").words(("Show", "表示")).markup("</button></form>");
    page.markup("<p id=\"live-state\" class=\"muted\" role=\"status\" data-open=\"").words(("live", "受信中"));
    page.markup("\" data-closed=\"").words(("not connected; trying again", "切断。再接続中"));
    page.markup("\" data-missed=\"").words(("rows left out, as there were too many: ", "多すぎて省いた行："));
    page.markup("\">")
        .words(("The newest rows; more with each press of the button.", "最新の行です。更新はボタンで。"));
    page.markup("</p><div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"")
        .words(title)
        .markup("\"><table>");
    page.markup("<thead><tr>");
    for words in [
        ("Time", "時刻"),
        ("Client", "端末"),
        ("Verdict", "判断"),
        ("Reason", "理由"),
        ("Method", "メソッド"),
        ("Target", "通信先"),
        ("Rule", "ルール"),
        ("Program", "プログラム"),
    ] {
        page.markup("<th scope=\"col\">").words(words).markup("</th>");
    }
    page.markup("</tr></thead><tbody id=\"live\" data-from=\"").way("/live/events", &Filter::asked(asked));
    page.markup("\">");
    for row in rows.iter().rev() {
        page.markup("<tr>");
        for cell in row.cells() {
            page.markup("<td>").said(cell).markup("</td>");
        }
        page.markup("</tr>");
    }
    page.markup("</tbody></table></div>");
    view.end(page)
}

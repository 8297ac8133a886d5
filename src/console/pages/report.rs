use super::super::errands::Reports;
use super::super::html::Html;
use super::frame::View;
use crate::review::Month;

/// The page from which a month's report for an auditor is had.
pub(in super::super) fn report_form_page(view: &View<'_>, month: Month, reports: &Reports) -> Html {
    let mut page = view.begin(("Report", "月次報告"));
    page.markup("<h1>").words(("A month's report", "月次報告")).markup("</h1><p>");
    page.words((
        "Whether the evidence is whole, what was stopped, found and done: one page that needs no other file and prints \
         well. The whole journal is verified for it, which takes a while; the gate is not kept waiting.",
        "証跡が完全か、何を止め、何を検出し、何をしたか。ほかのファイルを必要とせず、印刷できる1ページです。記録全体を検証するため\
         時間がかかりますが、ゲートの通信は待たせません。",
    ));
    page.markup("</p><form class=\"line\" method=\"post\" action=\"/report\">");
    view.token(&mut page);
    page.markup("<div><label for=\"month\">").words(("Month (UTC), as in 2026-11", "月（UTC）、例 2026-11"));
    page.markup(
        "</label><input id=\"month\" name=\"month\" required pattern=\"[0-9]{4}-[0-9]{2}\" maxlength=\"7\" value=\"",
    );
    page.text(&month.to_string()).markup("\"></div><button>").words(("Write it", "作成する"));
    page.markup("</button></form><div role=\"status\">");
    if let Some((month, since)) = reports.running {
        page.markup("<p class=\"notice warn\">").words(("Being written: ", "作成中：")).text(&month.to_string());
        page.words((", since ", "、開始 "));
        view.time(&mut page, since);
        page.markup(" <a href=\"/report\">").words(("Look again", "更新する")).markup("</a></p>");
    }
    if let Some((month, why)) = &reports.failed {
        page.markup("<p class=\"notice bad\">")
            .words(("There is none of ", "作成できません："))
            .text(&month.to_string());
        page.markup(": <span lang=\"en\">").text(why).markup("</span></p>");
    }
    if let Some(written) = &reports.written {
        let month = written.month.to_string();
        page.markup("<p class=\"notice\"><a href=\"").way("/report/page", &[("month", &month)]).markup("\" download>");
        page.words(("The report of ", "報告を保存する：")).text(&month).markup("</a> ");
        page.words(("written ", "作成 "));
        view.time(&mut page, written.at);
        page.markup(" ");
        match written.is_whole {
            true => page.markup("<span class=\"good\">").words(("The journal verifies.", "記録の検証に成功しました。")),
            false => page
                .markup("<strong class=\"bad\">")
                .words(("The journal does not verify.", "記録の検証に失敗しました。")),
        };
        page.markup(if written.is_whole { "</span></p>" } else { "</strong></p>" });
    }
    page.markup("</div>");
    view.end(page)
}

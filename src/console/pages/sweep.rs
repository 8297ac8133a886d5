use super::super::html::Html;
use super::answers::{body, days_field};
use super::frame::{Asked, View};
use crate::review::questions::Answer;

/// The page that looks for indicators in all evidence; that somebody did is on record by now.
pub(in super::super) fn sweep_page(view: &View<'_>, asked: Asked, list: &str, answer: Option<&Answer>) -> Html {
    let mut page = view.begin(("Sweep", "一括照合"));
    page.markup("<h1>").words(("Look for indicators", "指標を一括照合する")).markup("</h1><p>");
    page.words((
        "Hosts and all below them, addresses, prefixes, URLs, JA4, SHA-256 of bodies: one a line or as CSV, plain or \
         defanged (hxxp, [.]). All of them are looked for in the index, which takes seconds. A list of more than 1 MiB is \
         for sekisho review sweep.",
        "ホスト（その下も含む）、アドレス、プレフィックス、URL、JA4、本文のSHA-256。1行に1つ、またはCSV。無害化表記（hxxp、[.]）も\
         読みます。すべて索引で照合するため、数秒で終わります。1 MiBを超える一覧には sekisho review sweep をお使いください。",
    ));
    page.markup("</p><form method=\"post\" action=\"/sweep\">");
    view.token(&mut page);
    page.markup("<label for=\"list\">").words(("Indicators", "指標"));
    page.markup("</label><textarea id=\"list\" name=\"list\" required spellcheck=\"false\">\n").lines(list);
    page.markup("</textarea>");
    days_field(&mut page, asked);
    page.markup("<p><button>").words(("Look for them", "照合する")).markup("</button></p></form>");
    if let Some(answer) = answer {
        body(view, &mut page, answer);
    }
    view.end(page)
}

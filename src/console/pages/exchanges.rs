use super::super::html::{Html, Words};
use super::answers::{body, days_field};
use super::frame::{Asked, View};
use crate::review::questions::{Answer, By};

/// In what an exchange may be like another: the word in ways and on the command line, and what it means.
pub(in super::super) const LIKENESSES: [(By, &str, Words); 8] = [
    (By::Host, "host", ("the same host", "同じホスト")),
    (By::Domain, "domain", ("the same registrable domain", "同じ登録ドメイン")),
    (By::Network, "network", ("the same network (/24, /48)", "同じネットワーク（/24、/48）")),
    (By::Ja4, "ja4", ("the same JA4", "同じJA4")),
    (By::Path, "path", ("the same path template", "同じパスの型")),
    (By::Size, "size", ("as many bytes down", "同じ受信バイト数")),
    (By::Minute, "minute", ("the same minute", "同じ1分間")),
    (By::Client, "client", ("the same client", "同じ端末")),
];

/// What is asked of one exchange or record, as far as the page has it.
pub(in super::super) struct OfOne<'a> {
    pub(in super::super) id: &'a str,
    /// It is no id but what is looked for itself, such as a JA4.
    pub(in super::super) is_value: bool,
    /// None where nothing was named yet.
    pub(in super::super) answer: Option<&'a Answer>,
}

/// All that the client of an exchange or record did around it. That it was looked up is on record by now.
pub(in super::super) fn around_page(view: &View<'_>, OfOne { id, answer, .. }: &OfOne<'_>, minutes: u32) -> Html {
    let mut page = view.begin(("Around an exchange", "交換の前後"));
    page.markup("<h1>").words(("Around ", "前後 ")).said(id).markup("</h1>");
    page.markup("<form class=\"line\" method=\"get\" action=\"/around\">");
    id_field(&mut page, id);
    page.markup("<div><label for=\"minutes\">").words(("Minutes before and after", "前後の分数"));
    page.markup("</label><input id=\"minutes\" name=\"minutes\" type=\"number\" min=\"1\" max=\"10080\" value=\"");
    page.text(&minutes.to_string()).markup("\"></div><button>").words(("Show", "表示")).markup("</button></form>");
    if let Some(answer) = answer {
        page.markup("<section><h2>").words(("What is like it", "似た交換")).markup("</h2><ul class=\"ways\">");
        for (_, by, words) in LIKENESSES {
            like_way(view, &mut page, id, by);
            page.markup("\">").words(words).markup("</a></li>");
        }
        page.markup("</ul></section>");
        body(view, &mut page, answer);
    }
    view.end(page)
}

/// Exchanges that are like one.
pub(in super::super) fn like_page(
    view: &View<'_>,
    asked: Asked,
    OfOne { id, is_value, answer }: &OfOne<'_>,
    by: By,
) -> Html {
    let mut page = view.begin(("Like an exchange", "似た交換"));
    page.markup("<h1>").words(("Like ", "似た交換 ")).said(id).markup("</h1>");
    page.markup("<form class=\"line\" method=\"get\" action=\"/like\">");
    if *is_value {
        value_field(&mut page, id);
    } else {
        id_field(&mut page, id);
    }
    page.markup("<div><label for=\"by\">")
        .words(("In what", "何が同じか"))
        .markup("</label><select id=\"by\" name=\"by\">");
    for (one, name, words) in LIKENESSES {
        page.markup("<option value=\"").markup(name).markup(if one == by { "\" selected>" } else { "\">" });
        page.words(words).markup("</option>");
    }
    page.markup("</select></div>");
    days_field(&mut page, asked);
    page.markup("<button>").words(("Show", "表示")).markup("</button></form>");
    if !is_value {
        page.markup("<p><a href=\"").way("/around", &[("id", id)]).markup("\">");
        page.words(("What its client did around it", "その端末の前後の通信")).markup("</a></p>");
    }
    if let Some(answer) = answer {
        body(view, &mut page, answer);
    }
    view.end(page)
}

/// From a row: what was around it, and what is like it.
pub(super) fn ways_of(view: &View<'_>, page: &mut Html, id: &str) {
    page.link("/around", &[("id", id)], id).markup("<details><summary>").words(("like it", "似た交換"));
    page.markup("</summary><ul class=\"ways\">");
    for (_, by, words) in LIKENESSES {
        like_way(view, page, id, by);
        page.markup("\">").words(words).markup("</a></li>");
    }
    page.markup("</ul></details>");
}

fn like_way(view: &View<'_>, page: &mut Html, id: &str, by: &str) {
    page.markup("<li><a href=\"");
    view.way(page, "/like", &[("id", id), ("by", by)]);
}

fn id_field(page: &mut Html, id: &str) {
    page.markup("<div><label for=\"id\">").words(("Exchange's id or number of a record", "交換IDまたは記録番号"));
    page.markup("</label><input id=\"id\" name=\"id\" required maxlength=\"64\" value=\"").text(id).markup("\"></div>");
}

fn value_field(page: &mut Html, value: &str) {
    page.markup("<div><label for=\"value\">").words(("What is looked for", "探す値"));
    page.markup("</label><input id=\"value\" name=\"value\" required maxlength=\"1024\" value=\"");
    page.text(value).markup("\"></div>");
}

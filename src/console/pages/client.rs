use ipnet::IpNet;

use super::super::access::Act;
use super::super::gatehouse::Held;
use super::super::html::{Html, Words};
use super::answers::{body, range_form};
use super::frame::{Asked, View};
use super::overview::{held_by, reason};
use crate::evidence::client_text;
use crate::review::questions::Answer;

/// All that a client did, and what may be done with it.
pub(in super::super) struct ClientPage<'a> {
    /// As a person asked for it: an address, or a device's name.
    pub(in super::super) name: &'a str,
    /// Which addresses it has, where it is to be cut off.
    pub(in super::super) clients: &'a [IpNet],
    pub(in super::super) isolated: &'a [Held],
    /// Or why there is none now.
    pub(in super::super) answer: Result<&'a Answer, Words>,
}

/// The page of one client. That it was looked up is on record by now.
pub(in super::super) fn client_page(view: &View<'_>, asked: Asked, client: &ClientPage<'_>) -> Html {
    let mut page = view.begin(("Client", "端末"));
    page.markup("<h1>").words(("Client ", "端末 ")).said(client.name).markup("</h1>");
    if view.role.may(Act::Isolate) {
        for one in client.clients {
            let text = client_text(one);
            let held = client.isolated.iter().find(|held| held.client == text);
            isolation(view, &mut page, &text, held);
        }
    }
    range_form(view, &mut page, asked, &[("name", client.name)]);
    match client.answer {
        Ok(answer) => body(view, &mut page, answer),
        Err(why) => {
            page.markup("<p class=\"bad\">").words(why).markup("</p>");
        }
    }
    view.end(page)
}

fn isolation(view: &View<'_>, page: &mut Html, client: &str, held: Option<&Held>) {
    page.markup("<section class=\"card\">");
    if let Some(held) = held {
        page.markup("<p class=\"bad\"><strong>").words(("Cut off: ", "隔離中：")).said(client).markup("</strong> ");
        held_by(view, page, held);
        page.markup("</p>");
    }
    page.markup("<form class=\"line\" method=\"post\" action=\"/act\">");
    view.token(page);
    page.markup("<input type=\"hidden\" name=\"client\" value=\"").text(client).markup("\">");
    page.markup("<input type=\"hidden\" name=\"action\" value=\"");
    page.markup(if held.is_some() { "released" } else { "isolated" }).markup("\">");
    reason(page, "act-why");
    page.markup("<button>");
    match held {
        Some(_) => page.words(("Release ", "隔離を解除 ")).said(client),
        None => page.words(("Cut off ", "隔離する ")).said(client),
    };
    page.markup("</button></form></section>");
}

use super::super::html::Html;
use super::answers::{body, range_form};
use super::finding::mark_form;
use super::frame::{Asked, View};
use crate::review::questions::Answer;

/// Every client that spoke to a host or tried to.
pub(in super::super) fn host_page(view: &View<'_>, asked: Asked, name: &str, answer: &Answer) -> Html {
    let mut page = view.begin(("Host", "ホスト"));
    page.markup("<h1>").words(("Host ", "ホスト ")).said(name).markup("</h1>");
    range_form(view, &mut page, asked, &[("name", name)]);
    body(view, &mut page, answer);
    mark_form(view, &mut page, ("target", name), None);
    view.end(page)
}

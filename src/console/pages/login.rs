use super::super::html::{Html, Language, Words};
use super::frame::head;

/// The page at which a person logs in; `then` is where they were going, and `fault` why they are here again.
pub(in super::super) fn login_page(language: Language, form_token: &str, then: &str, fault: Option<Words>) -> Html {
    let mut page = head(language, ("Log in", "ログイン"), false);
    page.markup("<main id=\"main\" class=\"login\"><h1>Sekisho <span lang=\"ja\">関所</span></h1>");
    if let Some(fault) = fault {
        page.markup("<p class=\"notice bad\" role=\"alert\">").words(fault).markup("</p>");
    }
    page.markup("<form method=\"post\" action=\"/login\"><input type=\"hidden\" name=\"token\" value=\"")
        .text(form_token);
    page.markup("\"><input type=\"hidden\" name=\"then\" value=\"").text(then).markup("\"><label for=\"name\">");
    page.words(("Name", "名前"));
    page.markup("</label><input id=\"name\" name=\"name\" autocomplete=\"username\" required autofocus><label for=\"password\">");
    page.words(("Password", "パスワード"));
    page.markup("</label><input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required>");
    page.markup("<button>").words(("Log in", "ログイン")).markup("</button></form><p>");
    match language {
        Language::English => page.markup("<a href=\"/login?lang=ja\" lang=\"ja\" hreflang=\"ja\">日本語</a>"),
        Language::Japanese => page.markup("<a href=\"/login?lang=en\" lang=\"en\" hreflang=\"en\">English</a>"),
    };
    page.markup("</p></main></body></html>\n");
    page
}

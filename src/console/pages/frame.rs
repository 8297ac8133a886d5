use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::super::access::{Act, Role};
use super::super::html::{Html, Language, Words};
use super::super::request::Pairs;
use crate::evidence::{format_time, read_time};
use crate::facts::Timestamp;

/// Whom a page is for, and where it stands.
pub(in super::super) struct View<'a> {
    pub(in super::super) language: Language,
    /// The user's name.
    pub(in super::super) person: &'a str,
    pub(in super::super) role: Role,
    /// The path of the page, and what is asked of it.
    pub(in super::super) path: &'static str,
    pub(in super::super) asked: &'a Pairs,
    /// What each form carries.
    pub(in super::super) form_token: String,
    pub(in super::super) zone: &'a TimeZone,
    /// The last day that is shown, where a person chose one: what the page leads to is of that time too.
    pub(in super::super) until: Option<Date>,
}

/// A range of time as a person chose it: so many days of UTC, up to 400, of which this is the last; or those up to now.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Asked {
    pub(in super::super) days: u32,
    pub(in super::super) until: Option<Date>,
}

/// One word, by which an answer is kept.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until {
            Some(until) => write!(f, "{}@{until}", self.days),
            None => write!(f, "{}", self.days),
        }
    }
}

/// The pages that the menu leads to, with what it takes to see them.
const MENU: [(&str, Words, Act); 12] = [
    ("/", ("Overview", "概要"), Act::See),
    ("/blocked", ("Blocked", "遮断"), Act::See),
    ("/findings", ("Findings", "検出"), Act::See),
    ("/unknown", ("New hosts", "初出ホスト"), Act::See),
    ("/errors", ("Errors", "通信失敗"), Act::See),
    ("/programs", ("Programs", "プログラム"), Act::See),
    ("/around", ("Around", "前後"), Act::LookUp),
    ("/sweep", ("Sweep", "一括照合"), Act::LookUp),
    ("/live", ("Live", "ライブ"), Act::LookUp),
    ("/policy", ("Policy", "ポリシー"), Act::See),
    ("/sql", ("SQL", "SQL"), Act::LookUp),
    ("/report", ("Report", "月次報告"), Act::LookUp),
];

impl View<'_> {
    /// A page up to its heading.
    pub(in super::super) fn begin(&self, title: Words) -> Html {
        let mut page = head(self.language, title, self.path == "/live");
        page.markup("<a class=\"skip\" href=\"#main\">").words(("Skip to the content", "本文へ")).markup("</a>");
        page.markup("<header class=\"top\"><span class=\"name\">Sekisho <span lang=\"ja\">関所</span></span>");
        page.markup("<nav aria-label=\"").words(("Pages", "ページ")).markup("\"><ul>");
        for (path, name, act) in MENU.into_iter().filter(|(.., act)| self.role.may(*act)) {
            let _ = act;
            page.markup("<li><a href=\"").markup(path).markup("\"");
            if path == self.path {
                page.markup(" aria-current=\"page\"");
            }
            page.markup(">").words(name).markup("</a></li>");
        }
        page.markup("</ul></nav><div class=\"who\"><span>").said(self.person).markup(" (").words(self.role.in_words());
        page.markup(")</span>");
        self.switch(&mut page);
        page.markup("<form method=\"post\" action=\"/logout\">");
        self.token(&mut page);
        page.markup("<button class=\"plain\">")
            .words(("Log out", "ログアウト"))
            .markup("</button></form></div></header>");
        page.markup("<main id=\"main\" tabindex=\"-1\">");
        page
    }

    /// The page in the other language.
    fn switch(&self, page: &mut Html) {
        let (tag, name) = match self.language {
            Language::English => ("ja", "日本語"),
            Language::Japanese => ("en", "English"),
        };
        let asked: Vec<(&str, &str)> =
            self.asked.each().filter(|(name, _)| *name != "lang").chain([("lang", tag)]).collect();
        page.markup("<a lang=\"").markup(tag).markup("\" hreflang=\"").markup(tag).markup("\" href=\"");
        page.way(self.path, &asked).markup("\">").markup(name).markup("</a>");
    }

    /// What shows that a form is of this session.
    pub(in super::super) fn token(&self, page: &mut Html) {
        page.markup("<input type=\"hidden\" name=\"token\" value=\"").text(&self.form_token).markup("\">");
    }

    pub(in super::super) fn end(&self, mut page: Html) -> Html {
        page.markup("</main></body></html>\n");
        page
    }

    /// A link to what is asked of one, in the time that a person chose.
    pub(in super::super) fn link(&self, page: &mut Html, path: &'static str, asked: &[(&str, &str)], text: &str) {
        page.markup("<a href=\"");
        self.way(page, path, asked);
        page.markup("\">").said(text).markup("</a>");
    }

    /// The same way, which stands in a quoted attribute.
    pub(in super::super) fn way(&self, page: &mut Html, path: &'static str, asked: &[(&str, &str)]) {
        let until = self.until.map(|until| until.to_string());
        let until = until.as_deref().map(|until| ("until", until));
        let asked: Vec<(&str, &str)> = asked.iter().copied().chain(until).collect();
        page.way(path, &asked);
    }

    /// The same of a moment as records write it.
    pub(in super::super) fn moment(&self, page: &mut Html, text: &str) {
        match read_time(text) {
            Some(time) => self.time(page, time),
            None => _ = page.text(text),
        }
    }

    /// A moment in the zone of the site, to the second, with the zone's offset then.
    pub(in super::super) fn time(&self, page: &mut Html, time: Timestamp) {
        let micros = i64::try_from(time.0).unwrap_or(i64::MAX);
        page.markup("<time datetime=\"").text(&format_time(time)).markup("\">");
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(time) => page.text(&time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string()),
            Err(_) => page.text(&format_time(time)),
        };
        page.markup("</time>");
    }
}

/// The beginning of any page.
pub(super) fn head(language: Language, title: Words, is_live: bool) -> Html {
    let mut page = Html::new(language);
    page.markup("<!doctype html>\n<html lang=\"")
        .markup(language.tag())
        .markup("\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.markup("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>").words(title);
    page.markup(
        " – Sekisho</title>\n<link rel=\"stylesheet\" href=\"/style.css\">\n<link rel=\"icon\" href=\"/icon.svg\">\n",
    );
    if is_live {
        page.markup("<script src=\"/live.js\" defer></script>\n");
    }
    page.markup("</head>\n<body>\n");
    page
}

/// That something is not to be had, and why.
pub(in super::super) fn fault_page(language: Language, title: Words, detail: &str) -> Html {
    let mut page = head(language, title, false);
    page.markup("<main id=\"main\"><h1>").words(title).markup("</h1>");
    if !detail.is_empty() {
        page.markup("<p class=\"notice bad\">").said(detail).markup("</p>");
    }
    page.markup("<p><a href=\"/\">").words(("To the overview", "概要へ")).markup("</a></p></main></body></html>\n");
    page
}

/// A severity as records have it, in a word that does not stand on colour alone.
pub(in super::super) fn severity(page: &mut Html, of: &str) {
    let (class, words) = match of {
        "high" => ("bad", ("high", "高")),
        "medium" => ("warn", ("medium", "中")),
        _ => ("muted", ("low", "低")),
    };
    page.markup("<span class=\"badge ").markup(class).markup("\">").words(words).markup("</span>");
}

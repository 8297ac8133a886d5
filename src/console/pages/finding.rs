use super::super::access::Act;
use super::super::chart::beat;
use super::super::html::{Html, Language};
use super::frame::{View, severity};
use super::overview::reason;
use crate::evidence::{FindingKind, Mark, Severity, Span, client_of};
use crate::review::questions::WholeFinding;

/// What is drawn of a finding.
pub(in super::super) struct FindingPage<'a> {
    pub(in super::super) finding: &'a WholeFinding,
}

/// A finding with its picture, and all that speaks for it.
pub(in super::super) fn finding_page(view: &View<'_>, FindingPage { finding }: &FindingPage<'_>) -> Html {
    let mut page = view.begin(("Finding", "検出"));
    page.markup("<h1>");
    severity(&mut page, severity_word(finding.severity));
    page.markup(" ");
    match FindingKind::named(&finding.kind) {
        Some(kind) => page.words(kind.in_words()),
        None => page.said(&finding.kind),
    };
    page.markup("</h1><p>");
    match view.role.may(Act::LookUp) {
        true => page.link("/client", &[("name", &finding.client)], &finding.client),
        false => page.said(&finding.client),
    };
    if !finding.device.is_empty() {
        page.markup(" (").said(&finding.device).markup(")");
    }
    if !finding.target.is_empty() {
        page.markup(" → ").link("/host", &[("name", &finding.target)], &finding.target);
        if finding.port > 0 {
            page.markup(":").text(&finding.port.to_string());
        }
    }
    page.markup("</p><p>");
    page.said(match view.language {
        Language::English => &finding.english,
        Language::Japanese => &finding.japanese,
    });
    page.markup("</p>");
    if let Some(beat_of) = finding.beat.as_ref().filter(|_| finding.kind != FindingKind::AlwaysOn.as_str()) {
        page.markup("<section><h2>").words(("The picture", "図")).markup("</h2>");
        beat(&mut page, beat_of);
        page.markup("</section>");
    }
    grounds(view, &mut page, finding);
    facts(view, &mut page, finding);
    let client = Some(&*finding.client).filter(|client| client_of(client).is_some());
    mark_form(view, &mut page, ("finding", &finding.id.to_string()), client);
    view.end(page)
}

fn severity_word(of: Severity) -> &'static str {
    of.as_str()
}

fn grounds(view: &View<'_>, page: &mut Html, finding: &WholeFinding) {
    if finding.grounds.is_empty() {
        return;
    }
    page.markup("<section><h2>").words(("Grounds", "根拠")).markup("</h2><ul>");
    for ground in &finding.grounds {
        page.markup("<li>").said(match view.language {
            Language::English => &ground.english,
            Language::Japanese => &ground.japanese,
        });
        page.markup(" <span class=\"muted\">(<code>").text(&ground.ground).markup("</code>");
        for (name, number) in &ground.numbers {
            let rounded = format!("{number:.3}");
            page.markup(" ").text(name).markup("&nbsp;=&nbsp;");
            page.text(rounded.trim_end_matches('0').trim_end_matches('.'));
        }
        page.markup(")</span></li>");
    }
    page.markup("</ul></section>");
}

fn facts(view: &View<'_>, page: &mut Html, finding: &WholeFinding) {
    page.markup("<section><h2>").words(("In numbers", "数値")).markup("</h2><dl class=\"facts\">");
    for (name, number) in [(("Requests", "件数"), finding.requests), (("Denied", "うち拒否"), finding.denied)] {
        page.markup("<div><dt>").words(name).markup("</dt><dd>").number(number.into()).markup("</dd></div>");
    }
    page.markup("<div><dt>").words(("Score", "スコア")).markup("</dt><dd>").length(finding.score).markup("</dd></div>");
    for (name, time) in [(("First", "最初"), finding.first()), (("Last", "最後"), finding.last())] {
        page.markup("<div><dt>").words(name).markup("</dt><dd>");
        view.time(page, time);
        page.markup("</dd></div>");
    }
    if let Some(rarity) = finding.rarity {
        page.markup("<div><dt>").words(("Clients that talk to it", "通信する端末")).markup("</dt><dd>");
        page.number(rarity.clients.into()).markup(" / ").number(rarity.of.into()).markup("</dd></div><div><dt>");
        let known = Span(rarity.known_seconds as f64);
        page.words(("Known here for", "初出からの期間")).markup("</dt><dd>");
        match view.language {
            Language::English => page.text(&known.to_string()),
            Language::Japanese => page.text(&known.in_japanese()),
        };
        page.markup("</dd></div>");
    }
    page.markup("<div><dt>").words(("Mark", "判定")).markup("</dt><dd>");
    match MARKS.into_iter().find(|mark| mark.as_str() == finding.mark) {
        Some(mark) => page.words(mark.in_words()),
        None if finding.mark.is_empty() => page.words(("none yet", "未判定")),
        None => page.said(&finding.mark),
    };
    page.markup("</dd></div><div><dt>").words(("Id", "識別子")).markup("</dt><dd><code>");
    page.text(&finding.id.to_string()).markup("</code></dd></div></dl></section>");
}

const MARKS: [Mark; 4] = [Mark::Watching, Mark::KnownGood, Mark::Malicious, Mark::Withdrawn];

/// The form by which a person says what a finding or a target is, and whether its client is cut off where it does harm.
pub(super) fn mark_form(view: &View<'_>, page: &mut Html, (name, value): (&'static str, &str), client: Option<&str>) {
    if !view.role.may(Act::Mark) {
        return;
    }
    page.markup("<section><h2>").words(("What do you hold it to be?", "判定する")).markup("</h2>");
    page.markup("<form class=\"line\" method=\"post\" action=\"/mark\">");
    view.token(page);
    page.markup("<input type=\"hidden\" name=\"").markup(name).markup("\" value=\"").text(value).markup("\">");
    page.markup("<div><label for=\"mark\">")
        .words(("Mark", "判定"))
        .markup("</label><select id=\"mark\" name=\"mark\">");
    for mark in MARKS {
        page.markup("<option value=\"").markup(mark.as_str()).markup("\">").words(mark.in_words()).markup("</option>");
    }
    page.markup("</select></div>");
    reason(page, "mark-why");
    if let Some(client) = client.filter(|_| view.role.may(Act::Isolate)) {
        page.markup("<div><input type=\"checkbox\" id=\"isolate\" name=\"isolate\" value=\"yes\" checked>");
        page.markup("<label for=\"isolate\">").words(("If malicious: cut off ", "有害の場合に遮断する端末："));
        page.text(client).markup("</label></div>");
    }
    page.markup("<button>").words(("Put on record", "記録する")).markup("</button></form></section>");
}

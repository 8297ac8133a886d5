use super::super::access::Act;
use super::super::html::{Html, Words};
use super::super::request::Pairs;
use super::answers::range_form;
use super::frame::{Asked, View};
use super::overview::reason;
use crate::facts::Timestamp;
use crate::policy::{Condition, Considered, Explanation, Lint, LintCode, Need, RuleRef, VerdictKind};

/// How often a rule of the policy in force decided, by its name and place.
#[derive(Debug, Clone)]
pub(in super::super) struct Hits {
    pub(in super::super) name: String,
    pub(in super::super) at: String,
    pub(in super::super) requests: u64,
    pub(in super::super) last: Option<Timestamp>,
}

/// What the page of the policy is drawn from.
pub(in super::super) struct PolicyPage<'a> {
    pub(in super::super) file: &'a str,
    pub(in super::super) hash: &'a str,
    pub(in super::super) since: &'a str,
    pub(in super::super) mode: &'a str,
    pub(in super::super) rules: Vec<(&'a RuleRef, VerdictKind)>,
    /// `Err` says why nobody has counted.
    pub(in super::super) hits: Result<Vec<Hits>, String>,
    /// Absent where there was no time to look for them.
    pub(in super::super) lints: Option<Vec<Lint>>,
    /// What was asked to be explained, and what came of it.
    pub(in super::super) explained: Option<Result<Explanation, String>>,
    pub(in super::super) is_locked_down: bool,
}

/// Rules that a page shows.
const RULES_MAX: usize = 2000;

/// The policy in force: its rules with how often each decided, what is seldom meant, and a form that explains a request.
pub(in super::super) fn policy_page(view: &View<'_>, asked: Asked, pairs: &Pairs, policy: &PolicyPage<'_>) -> Html {
    let title = ("Policy", "ポリシー");
    let mut page = view.begin(title);
    page.markup("<h1>").words(title).markup("</h1><p class=\"muted\"><code>").text(policy.file).markup("</code>, ");
    page.words(("version ", "版 ")).text(policy.hash).words((", in force since ", "、適用開始 "));
    view.moment(&mut page, policy.since);
    page.markup(", ").text(policy.mode).markup("</p>");
    explain_form(&mut page, pairs);
    match &policy.explained {
        None => {}
        Some(Err(why)) => {
            page.markup("<p class=\"notice bad\" role=\"alert\">").said(why).markup("</p>");
        }
        Some(Ok(explanation)) => explained(&mut page, explanation),
    }
    range_form(view, &mut page, asked, &[]);
    rules(view, &mut page, policy);
    if let Some(found) = &policy.lints {
        lints(&mut page, found);
    }
    if view.role.may(Act::LockDown) && !policy.is_locked_down {
        page.markup("<section><h2>").words(("Lockdown", "全面遮断")).markup("</h2><p>");
        page.words((
            "Nothing passes but what rules marked essential let out, for all clients at once.",
            "essential と記したルールが許すものだけを残し、全端末の通信をただちに止めます。",
        ));
        page.markup("</p><form class=\"line\" method=\"post\" action=\"/act\">");
        view.token(&mut page);
        page.markup("<input type=\"hidden\" name=\"action\" value=\"lockdown\">");
        reason(&mut page, "lock-why");
        page.markup("<button>").words(("Lock down", "全面遮断する")).markup("</button></form></section>");
    }
    view.end(page)
}

fn explain_form(page: &mut Html, pairs: &Pairs) {
    page.markup("<section><h2>").words(("Explain a request", "要求を説明する")).markup("</h2>");
    page.markup("<form class=\"line\" method=\"get\" action=\"/policy\">");
    for (name, words, usual) in [
        ("client", ("Client", "端末"), ""),
        ("method", ("Method", "メソッド"), "GET"),
        ("url", ("URL", "URL"), "https://"),
    ] {
        page.markup("<div><label for=\"e-")
            .markup(name)
            .markup("\">")
            .words(words)
            .markup("</label><input required id=\"e-");
        page.markup(name)
            .markup("\" name=\"")
            .markup(name)
            .markup("\" value=\"")
            .text(pairs.get(name).unwrap_or(usual));
        page.markup("\"></div>");
    }
    page.markup("<button>").words(("Explain", "説明")).markup("</button></form></section>");
}

fn verdict(of: VerdictKind) -> (&'static str, Words) {
    match of {
        VerdictKind::Allow => ("good", ("allow", "許可")),
        VerdictKind::Challenge => ("warn", ("challenge", "確認要求")),
        VerdictKind::Deny => ("bad", ("deny", "拒否")),
    }
}

fn badge(page: &mut Html, of: VerdictKind) {
    let (class, words) = verdict(of);
    page.markup("<span class=\"badge ").markup(class).markup("\">").words(words).markup("</span>");
}

fn place(rule: &RuleRef) -> String {
    format!("{}:{}", rule.file, rule.line)
}

fn explained(page: &mut Html, explanation: &Explanation) {
    page.markup("<section class=\"card\" id=\"explained\"><p>");
    match explanation.result.verdict() {
        Some(of) => badge(page, of),
        None => {
            page.words(("not decided yet: a fact is missing", "事実が足りず未決定"));
        }
    }
    page.markup(" <code>").text(explanation.result.code()).markup("</code>");
    if let Some(rule) = explanation.result.rule() {
        page.words((", rule ", "、ルール ")).said(&rule.name).markup(" (<code>").text(&place(rule)).markup("</code>)");
        for note in [&rule.notes.comment, &rule.notes.ticket, &rule.notes.requested_by].into_iter().flatten() {
            page.markup("<br>").said(note);
        }
    }
    page.markup("</p><ol>");
    for line in &explanation.considered {
        page.markup("<li>").said(&line.rule.name).markup(" (<code>").text(&place(&line.rule)).markup("</code>) ");
        badge(page, line.verdict);
        page.markup(" ").words(found(line.found)).markup("</li>");
    }
    page.markup("</ol></section>");
}

fn found(found: Considered) -> Words {
    match found {
        Considered::Applies => ("applies", "該当"),
        Considered::Lacks(Condition::Host) => ("another host", "ホストが違う"),
        Considered::Lacks(Condition::Client) => ("another client", "端末が違う"),
        Considered::Lacks(Condition::Captured) => {
            ("not for what goes past the proxy", "プロキシを通らない通信は対象外")
        }
        Considered::Lacks(Condition::Method) => ("another method", "メソッドが違う"),
        Considered::Lacks(Condition::Program) => ("another program", "プログラムが違う"),
        Considered::Lacks(Condition::Port) => ("a port that it does not name", "指定外のポート"),
        Considered::Lacks(Condition::Path) => ("another path", "パスが違う"),
        Considered::Lacks(Condition::Hours) => ("not at this hour", "時間外"),
        Considered::Lacks(Condition::Until) => ("its last day is over", "期限切れ"),
        Considered::AmbiguousPath => ("denies: the path is ambiguous", "拒否：パスがあいまい"),
        Considered::Waits(Need::Hello) => ("waits for the ClientHello", "ClientHello待ち"),
        Considered::Waits(Need::InnerRequest) => ("waits for the request inside the tunnel", "トンネル内の要求待ち"),
        Considered::Waits(Need::User) => ("waits for the user's name", "利用者名待ち"),
    }
}

fn rules(view: &View<'_>, page: &mut Html, policy: &PolicyPage<'_>) {
    page.markup("<section><h2>").words(("Rules in force", "適用中のルール")).markup("</h2>");
    if let Err(why) = &policy.hits {
        page.markup("<p class=\"notice warn\">").words(("Nobody has counted: ", "件数なし：")).said(why).markup("</p>");
    }
    page.markup("<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"")
        .words(("Rules in force", "適用中のルール"));
    page.markup("\"><table><thead><tr>");
    for (words, is_number) in [
        (("Rule", "ルール"), false),
        (("Verdict", "判断"), false),
        (("Place", "場所"), false),
        (("Decided", "件数"), true),
        (("Last", "最後"), false),
        (("Comment", "コメント"), false),
        (("Until", "期限"), false),
    ] {
        page.markup(if is_number { "<th scope=\"col\" class=\"number\">" } else { "<th scope=\"col\">" });
        page.words(words).markup("</th>");
    }
    page.markup("</tr></thead><tbody>");
    for (rule, of) in policy.rules.iter().take(RULES_MAX) {
        let at = place(rule);
        let hits = policy.hits.as_ref().ok();
        let hit = hits.and_then(|hits| hits.iter().find(|hit| hit.name == *rule.name && hit.at == at));
        page.markup("<tr><td>").said(&rule.name).markup("</td><td>");
        badge(page, *of);
        let decides_nothing = |lint: &&Lint| lint.file == rule.file && lint.line == rule.line;
        for lint in policy.lints.iter().flatten().filter(decides_nothing) {
            let words = if lint.code == LintCode::Shadowed {
                ("shadowed", "前のルールに隠れる")
            } else if lint.code == LintCode::NeverMatches {
                ("cannot match", "該当しえない")
            } else {
                continue;
            };
            page.markup(" <span class=\"badge warn\">").words(words).markup("</span>");
        }
        page.markup("</td><td><code>").text(&at).markup("</code></td><td class=\"number\">");
        match (hits, hit) {
            (None, _) => {}
            (Some(_), Some(hit)) => {
                page.number(hit.requests);
            }
            (Some(_), None) => {
                page.markup("<span class=\"warn\">").words(("never", "なし")).markup("</span>");
            }
        }
        page.markup("</td><td>");
        if let Some(last) = hit.and_then(|hit| hit.last) {
            view.time(page, last);
        }
        page.markup("</td><td>").said(rule.notes.comment.as_deref().unwrap_or_default()).markup("</td><td>");
        page.said(rule.notes.until.as_deref().unwrap_or_default()).markup("</td></tr>");
    }
    page.markup("</tbody></table></div>");
    if let Some(more @ 1..) = policy.rules.len().checked_sub(RULES_MAX) {
        page.markup("<p class=\"muted\">")
            .words(("and more rules: ", "ほかのルール："))
            .number(more as u64)
            .markup("</p>");
    }
    page.markup("</section>");
}

/// What a lint is about; what is meant in particular, and what to do, is said as `sekisho check` says it.
fn lint_in_words(code: LintCode) -> Words {
    match code {
        LintCode::Shadowed => {
            ("An earlier rule decides all of it.", "先のルールがすべて判定するため、効果がありません。")
        }
        LintCode::NeverMatches => ("It can match nothing.", "一致する通信がありません。"),
        LintCode::PublicSuffix => {
            ("It lets out all below a public suffix.", "公開サフィックス配下をすべて許可しています。")
        }
        LintCode::SharedSuffix => {
            ("It lets out all customers of a service.", "共用サービスの全利用者の名前を許可しています。")
        }
        LintCode::GuardRefuses => ("The gate refuses an address of it.", "ゲートが拒否するアドレスを含みます。"),
        LintCode::Ended => ("It is over.", "期限が切れています。"),
        LintCode::EndsSoon => ("It ends soon.", "まもなく期限が切れます。"),
        LintCode::NeedsInspection => {
            ("It needs a look inside https.", "HTTPSの内側を検査しないと判定できない条件があります。")
        }
        LintCode::Unused => ("No rule uses it.", "どのルールからも使われていません。"),
        LintCode::SameName => ("Another rule has its name.", "同じ名前のルールがあります。"),
        LintCode::EveryHost => ("It allows every host.", "すべての接続先を許可しています。"),
        LintCode::UnknownAllowed => ("What no rule names may leave.", "ルールにない通信が許可されています。"),
    }
}

/// What is seldom meant, shadowed rules among it.
fn lints(page: &mut Html, lints: &[Lint]) {
    page.markup("<section><h2>").words(("Worth a look", "確認すべき点")).markup("</h2>");
    if lints.is_empty() {
        page.markup("<p class=\"muted\">").words(("None.", "ありません。")).markup("</p></section>");
        return;
    }
    page.markup("<ul>");
    for lint in lints.iter().take(RULES_MAX) {
        page.markup("<li>").words(lint_in_words(lint.code)).markup(" <code>").text(lint.code.as_str());
        page.markup("</code> <code>")
            .text(&format!("{}:{}", lint.file, lint.line))
            .markup("</code> <span lang=\"en\">");
        page.said(&lint.what).markup(" – ").said(&lint.fix).markup("</span></li>");
    }
    page.markup("</ul></section>");
}

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::access::Act;
use super::super::gatehouse::{Held, Standing};
use super::super::html::{Html, Words};
use super::answers::{table, unread};
use super::frame::View;
use crate::review::questions::{Answer, Cell};
use crate::session::Counters;

/// What the overview is drawn from.
pub(in super::super) struct Overview<'a> {
    pub(in super::super) standing: &'a Standing,
    pub(in super::super) counters: &'a Counters,
    pub(in super::super) policy: &'a str,
    pub(in super::super) rules: u64,
    pub(in super::super) observes: bool,
    /// Of the index; `Err` says why there is none.
    pub(in super::super) told: Result<Arc<Told>, String>,
}

/// What the index tells.
pub(in super::super) struct Told {
    pub(in super::super) blocked_today: u64,
    /// On a whole day, as the mean of the seven before.
    pub(in super::super) blocked_usual: u64,
    pub(in super::super) findings: Answer,
    /// What is missing in the evidence.
    pub(in super::super) gaps: Answer,
    /// Records of the journal that the index does not have yet.
    pub(in super::super) behind: u64,
}

/// How it stands, and what to look at.
pub(in super::super) fn overview_page(view: &View<'_>, overview: &Overview<'_>) -> Html {
    let title = ("Overview", "概要");
    let mut page = view.begin(title);
    page.markup("<h1>").words(title).markup("</h1>");
    in_force(view, &mut page, overview.standing);
    cards(&mut page, overview);
    health(&mut page, overview);
    if let Ok(told) = &overview.told {
        unread(&mut page, &told.findings);
        for of in told.findings.tables.iter().chain(&told.gaps.tables) {
            table(view, &mut page, of);
        }
    }
    view.end(page)
}

/// What a person has put in force comes first.
fn in_force(view: &View<'_>, page: &mut Html, standing: &Standing) {
    if let Some(held) = &standing.lockdown {
        page.markup("<section class=\"notice bad\"><strong>").words(("Lockdown", "全面遮断中")).markup("</strong> ");
        held_by(view, page, held);
        if view.role.may(Act::LockDown) {
            page.markup("<form class=\"line\" method=\"post\" action=\"/act\">");
            view.token(page);
            page.markup("<input type=\"hidden\" name=\"action\" value=\"lockdown_ended\">");
            reason(page, "end-why");
            page.markup("<button>").words(("End the lockdown", "全面遮断を終える")).markup("</button></form>");
        }
        page.markup("</section>");
    }
    if let Some(breakglass) = &standing.breakglass {
        page.markup("<p class=\"notice warn\">").words(("Breakglass: ", "緊急通過：")).said(breakglass).markup("</p>");
    }
    if !standing.isolated.is_empty() {
        page.markup("<section class=\"notice warn\"><h2>").words(("Cut off", "隔離中の端末")).markup("</h2><ul>");
        for held in &standing.isolated {
            page.markup("<li>");
            match view.role.may(Act::LookUp) {
                true => page.link("/client", &[("name", &held.client)], &held.client),
                false => page.said(&held.client),
            };
            page.markup(" ");
            held_by(view, page, held);
            page.markup("</li>");
        }
        page.markup("</ul></section>");
    }
}

pub(super) fn held_by(view: &View<'_>, page: &mut Html, held: &Held) {
    if let Some(device) = &held.device {
        page.markup("(").said(device).markup(") ");
    }
    page.words(("by ", "実施：")).said(&held.by);
    if let Some(since) = &held.since {
        page.words((" since ", "、開始："));
        view.moment(page, since);
    }
    if let Some(why) = &held.why {
        page.markup(": ").said(why);
    }
    for place in &held.not_at {
        page.markup(" <strong class=\"bad\">").words(("NOT at ", "未適用：")).said(place).markup("</strong>");
    }
}

/// The field for a reason, with its label.
pub(super) fn reason(page: &mut Html, id: &'static str) {
    page.markup("<div><label for=\"")
        .markup(id)
        .markup("\">")
        .words(("Why (it goes on record)", "理由（記録されます）"));
    page.markup("</label><input name=\"why\" required maxlength=\"160\" size=\"32\" id=\"")
        .markup(id)
        .markup("\"></div>");
}

fn cards(page: &mut Html, overview: &Overview<'_>) {
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    page.markup("<div class=\"cards\">");
    if let Ok(told) = &overview.told {
        let of = |key: &str| counted(&told.findings, key);
        card(page, ("Blocked today", "本日の遮断"), told.blocked_today, |page| {
            page.words(("usual for a whole day: ", "1日の平均：")).number(told.blocked_usual);
        });
        card(page, ("Findings of 7 days", "7日間の検出"), of("findings"), |page| {
            page.words(("of them high: ", "うち「高」：")).number(of("high"));
        });
    }
    let counters = overview.counters;
    card(page, ("Connections now", "現在の接続"), read(&counters.connections), |page| {
        page.words(("at most ", "上限 ")).number(overview.standing.connections_max);
    });
    card(page, ("Tunnels now", "現在のトンネル"), read(&counters.tunnels), |page| {
        page.words(("looked into: ", "うち検査中：")).number(read(&counters.inspected));
    });
    card(page, ("Let out since the start", "起動後の許可"), read(&counters.allowed), |page| {
        page.words(("refused: ", "拒否：")).number(read(&counters.refused));
    });
    page.markup("</div>");
}

/// A count that an answer has among its facts.
fn counted(answer: &Answer, key: &str) -> u64 {
    match answer.facts.iter().find(|(known, _)| *known == key) {
        Some((_, Cell::Count(count))) => *count,
        Some(_) | None => 0,
    }
}

fn card(page: &mut Html, name: Words, figure: u64, below: impl FnOnce(&mut Html)) {
    page.markup("<div class=\"card\">").words(name).markup("<span class=\"figure\">").number(figure);
    page.markup("</span><span class=\"muted\">");
    below(page);
    page.markup("</span></div>");
}

/// What a healthy gate has, each with a word that says whether it is so.
fn health(page: &mut Html, overview: &Overview<'_>) {
    let standing = overview.standing;
    page.markup("<h2>").words(("Health", "健全性")).markup("</h2><dl class=\"facts\">");
    let journal = &standing.journal;
    line(page, ("Journal", "記録"), journal.last_error.is_none() && journal.lost == 0, |page| {
        page.number(journal.records).words((" records, lost: ", "件、欠落：")).number(journal.lost);
        if let Some(error) = &journal.last_error {
            page.markup(" ").said(error);
        }
    });
    if let Ok(told) = &overview.told {
        let gaps = counted(&told.gaps, "gaps");
        line(page, ("Gaps in the evidence, 7 days", "記録の欠落（7日間）"), gaps == 0, |page| {
            page.number(gaps);
        });
    }
    let is_ample = standing.disk == "ample";
    line(page, ("Disk", "ディスク"), is_ample, |page| {
        page.words(match standing.disk.as_str() {
            "ample" => ("ample", "十分"),
            "low" => ("low", "残りわずか"),
            "critical" => ("critical", "危機的"),
            _ => ("full", "満杯"),
        });
    });
    match &overview.told {
        Ok(told) => line(page, ("Index", "索引"), standing.index_fault.is_none(), |page| {
            page.words(("records behind the journal: ", "記録からの遅れ（件）：")).number(told.behind);
        }),
        Err(why) => line(page, ("Index", "索引"), false, |page| {
            page.said(why);
        }),
    }
    let detection = &standing.detection;
    line(page, ("Detection", "検出"), detection.live && detection.behind_seconds < 600, |page| {
        match detection.live {
            true => {
                page.words(("seconds behind: ", "遅れ（秒）：")).number(detection.behind_seconds);
            }
            false => {
                page.words(("off", "停止"));
            }
        }
    });
    line(
        page,
        ("Attempts past the proxy", "プロキシ外の試み"),
        standing.flow_sources > 0 && standing.flow_faults.is_empty(),
        |page| {
            match (standing.flow_sources, standing.flow_faults.first()) {
                (0, _) => page.words((
                    "not watched: nothing is seen of what goes past the proxy",
                    "監視なし：プロキシを通らない通信は見えません",
                )),
                (_, Some(fault)) => page.said(fault),
                (sources, None) => page.words(("sources read: ", "読込元：")).number(sources),
            };
        },
    );
    alerts(page, standing);
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let counters = overview.counters;
    let unread = read(&counters.overflows) + read(&counters.overflows_of_clients) + read(&counters.accept_failures);
    line(page, ("Connections refused as too many", "上限超過で切断した接続"), unread == 0, |page| {
        page.number(unread);
    });
    line(page, ("Policy", "ポリシー"), standing.reload_fault.is_none() && !overview.observes, |page| {
        page.text(overview.policy).words((", rules: ", "、ルール：")).number(overview.rules);
        if overview.observes {
            page.words((", only observed", "、観測のみ"));
        }
        if let Some(fault) = &standing.reload_fault {
            page.markup(" ").said(fault);
        }
    });
    for (name, fault) in
        [(("Sealing", "封印"), &standing.sealing_fault), (("Inspection", "内容検査"), &standing.inspection_fault)]
    {
        if let Some(fault) = fault {
            line(page, name, false, |page| {
                page.said(fault);
            });
        }
    }
    if standing.receivers_waiting > 0 {
        line(page, ("Checkpoints", "チェックポイント"), false, |page| {
            page.words(("receivers that take none: ", "受け取らない送信先：")).number(standing.receivers_waiting);
        });
    }
    for fault in standing.other_faults.iter().take(FAULTS_MAX) {
        line(page, ("Lists and streams", "リストと出力"), false, |page| {
            page.said(fault);
        });
    }
    page.markup("</dl>");
}

/// Of lists and streams, so many faults are shown.
const FAULTS_MAX: usize = 10;

/// Who is told of what is found, and what they do not have yet.
fn alerts(page: &mut Html, standing: &Standing) {
    let name = ("Alerts", "通知");
    if standing.alerts.is_empty() {
        return line(page, name, false, |page| {
            page.words(("no receivers: nobody is told of what is found", "送信先なし：検出は誰にも通知されません"));
        });
    }
    for one in &standing.alerts {
        line(page, name, one.error.is_none() && one.dropped == 0, |page| {
            page.said(&one.name).words((": waiting ", "：待機 ")).number(one.waiting);
            page.words((", held back ", "、保留 "))
                .number(one.held)
                .words((", dropped ", "、破棄 "))
                .number(one.dropped);
            if let Some(error) = &one.error {
                page.markup(" ").said(error);
            }
        });
    }
}

fn line(page: &mut Html, name: Words, is_well: bool, value: impl FnOnce(&mut Html)) {
    page.markup("<div><dt>").words(name).markup("</dt><dd>");
    match is_well {
        true => page.markup("<span class=\"good\">✓</span> "),
        false => page.markup("<span class=\"bad\">").words(("look: ", "要確認：")).markup("</span>"),
    };
    value(page);
    page.markup("</dd></div>");
}

use std::sync::Arc;

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use ipnet::IpNet;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::super::access::Act;
use super::super::gatehouse::Deed;
use super::super::live::Filter;
use super::super::pages::{
    Asked, ClientPage, FindingPage, Hits, LIKENESSES, OfOne, Overview, PolicyPage, Told, answer_page, around_page,
    client_page, finding_page, host_page, like_page, live_page, overview_page, policy_page, sql_page,
};
use super::super::request::Pairs;
use super::super::serve::Page;
use super::super::service::Visitor;
use super::{Asks, Fault, at_length, may, not_recorded, page};
use crate::clock;
use crate::evidence::{FindingId, Lookup, Text, client_of, client_text};
use crate::facts::Timestamp;
use crate::policy::{Explanation, Question, explain};
use crate::review::questions::{
    Answer, By, Cell, Evidence, FindingsOf, Moment, QuestionError, Range, around, blocked, client, current_clients,
    errors, finding, findings, gaps, host, like, like_value, newest_record, programs, rules, stopped, unknown,
};
use crate::session::Edition;

/// Rows of a table of a page.
pub(super) const ROWS: usize = 200;
const OVERVIEW_ROWS: usize = 10;
const DAY_US: u64 = 86_400_000_000;
/// What is shown where nothing is said: a week; of a client or a host a quarter of a year.
const DAYS: u32 = 7;
const DAYS_OF_ONE: u32 = 92;
/// At most.
const DAYS_MAX: u32 = 400;
/// Around an exchange, before it and behind.
const AROUND_MINUTES: u32 = 10;
const AROUND_MINUTES_MAX: u32 = 7 * 24 * 60;
const ROW_ID_BYTES_MAX: usize = 64;
/// Of what is looked for itself.
const VALUE_BYTES_MAX: usize = 1024;

/// Shows what is asked for, where this visitor may see it.
pub(super) async fn look(asks: &Asks, visitor: Visitor, path: &str) -> Result<Response<Page>, Fault> {
    match path {
        "/" => overview(asks, &visitor).await,
        "/blocked" => {
            let title = ("Blocked", "遮断");
            listed(asks, &visitor, "/blocked", title, |evidence, range| blocked(evidence, range, ROWS)).await
        }
        "/findings" => {
            let title = ("Findings", "検出");
            let ask = |evidence: &Evidence<'_>, range| findings(evidence, FindingsOf::All, range, ROWS);
            listed(asks, &visitor, "/findings", title, ask).await
        }
        "/beacons" => {
            let title = ("Beacons", "定期通信");
            let ask = |evidence: &Evidence<'_>, range| findings(evidence, FindingsOf::Beacons, range, ROWS);
            listed(asks, &visitor, "/beacons", title, ask).await
        }
        "/tunnels" => {
            let title = ("Tunnels", "トンネル");
            let ask = |evidence: &Evidence<'_>, range| findings(evidence, FindingsOf::Tunnels, range, ROWS);
            listed(asks, &visitor, "/tunnels", title, ask).await
        }
        "/unknown" => {
            let title = ("Hosts seen for the first time", "初めて現れたホスト");
            listed(asks, &visitor, "/unknown", title, |evidence, range| unknown(evidence, range, ROWS)).await
        }
        "/errors" => {
            let title = ("Connections that failed", "失敗した通信");
            listed(asks, &visitor, "/errors", title, |evidence, range| errors(evidence, range, ROWS)).await
        }
        "/programs" => {
            let title = ("Programs", "プログラム");
            listed(asks, &visitor, "/programs", title, |evidence, range| programs(evidence, range, ROWS)).await
        }
        "/client" => of_client(asks, &visitor).await,
        "/host" => of_host(asks, &visitor).await,
        "/finding" => of_finding(asks, &visitor).await,
        "/around" => around_one(asks, &visitor).await,
        "/like" => like_one(asks, &visitor).await,
        "/sweep" => at_length::sweep_form(asks, &visitor),
        "/report" => at_length::report_form(asks, &visitor),
        "/report/page" => at_length::report_page(asks, &visitor).await,
        "/policy" => policy(asks, &visitor).await,
        "/sql" => {
            may(&visitor, Act::LookUp)?;
            Ok(page(StatusCode::OK, sql_page(&asks.view(&visitor, "/sql"), "", None)))
        }
        "/live" => live(asks, &visitor).await,
        "/live/events" => events(asks, visitor).await,
        _ => Err(Fault::new(StatusCode::NOT_FOUND, ("There is no such page.", "ページがありません。"), "")),
    }
}

/// The last so many days, and what of another there is in front of them, or so many up to the last that is named: days of UTC
/// are whole, so that what is asked is asked of their summaries and not of each exchange.
fn asked(asks: &Asks, usual: u32) -> Result<(Asked, Range), Fault> {
    days_of(&asks.pairs, usual)
}

/// The same of a form.
pub(super) fn days_of(pairs: &Pairs, usual: u32) -> Result<(Asked, Range), Fault> {
    let now = clock::now();
    let days = pairs.get("days").and_then(|days| days.parse().ok()).unwrap_or(usual).clamp(1, DAYS_MAX);
    let span = u64::from(days) * DAY_US;
    let Some(until) = pairs.some("until") else {
        let since = now.0.saturating_sub(span);
        let range = Range { since: Some(Timestamp(since - since % DAY_US)), until: None };
        return Ok((Asked { days, until: None }, range));
    };
    let begins = match until.parse() {
        // Others than whole days are no days of the summaries.
        Ok(day @ Moment::Day(_)) => day.in_zone(&TimeZone::UTC, now).0,
        _ => return Err(no_day(until)),
    };
    // East of Greenwich it is tomorrow already.
    let begins = begins.min(now.0 - now.0 % DAY_US);
    let end = begins.saturating_add(DAY_US);
    let last = date_of(Timestamp(begins)).ok_or_else(|| no_day(until))?;
    let range = Range { since: Some(Timestamp(end.saturating_sub(span))), until: Some(Timestamp(end)) };
    Ok((Asked { days, until: Some(last) }, range))
}

fn date_of(begins: Timestamp) -> Option<Date> {
    let begins = jiff::Timestamp::from_microsecond(i64::try_from(begins.0).ok()?).ok()?;
    Some(begins.to_zoned(TimeZone::UTC).date())
}

fn no_day(said: &str) -> Fault {
    let said = said.get(..said.floor_char_boundary(ROW_ID_BYTES_MAX)).unwrap_or_default();
    let title = ("That is no day: write it as 2026-11-01.", "日付を読めません。2026-11-01 のように書いてください。");
    Fault::new(StatusCode::BAD_REQUEST, title, said)
}

async fn listed(
    asks: &Asks,
    visitor: &Visitor,
    path: &'static str,
    title: (&'static str, &'static str),
    ask: impl FnOnce(&Evidence<'_>, Range) -> Result<Answer, QuestionError> + Send + 'static,
) -> Result<Response<Page>, Fault> {
    may(visitor, Act::See)?;
    let (asked, range) = asked(asks, DAYS)?;
    // What is listed is of clients too.
    let question = format!("console {}", path.trim_start_matches('/'));
    looked_up(asks, visitor, lookup(visitor, &question, None, range)).await?;
    let named = format!("{path} {asked}");
    let answer = asks.service.ask(asks.patience, named, move |evidence, _| ask(evidence, range)).await?;
    Ok(page(StatusCode::OK, answer_page(&asks.view(visitor, path), title, asked, &answer)))
}

async fn overview(asks: &Asks, visitor: &Visitor) -> Result<Response<Page>, Fault> {
    may(visitor, Act::See)?;
    // How the gate stands is shown all the same: it may be the journal that fails.
    let noted = looked_up(asks, visitor, lookup(visitor, "console overview", None, Range::default())).await;
    let (zone, now) = (asks.service.plan.zone.clone(), clock::now());
    let told = asks.service.ask(asks.patience, "overview".to_owned(), move |evidence, data_dir| {
        let [today, a_week_ago] = [0, 7].map(|days| Moment::DaysBefore(days).in_zone(&zone, now));
        let since = Timestamp(now.0.saturating_sub(u64::from(DAYS) * DAY_US));
        let week = Range { since: Some(since), until: None };
        let newest = newest_record(data_dir).ok().flatten().map_or(0, |(seq, _)| seq);
        Ok(Told {
            blocked_today: stopped(evidence, Range { since: Some(today), until: None })?,
            blocked_usual: stopped(evidence, Range { since: Some(a_week_ago), until: Some(today) })? / 7,
            findings: findings(evidence, FindingsOf::All, week, OVERVIEW_ROWS)?,
            gaps: gaps(evidence, week, OVERVIEW_ROWS)?,
            behind: newest.saturating_sub(evidence.indexed().seq),
        })
    });
    let told = match noted {
        Ok(()) => told.await.map_err(Fault::from),
        Err(fault) => Err(Fault { detail: String::new(), ..fault }),
    };
    let told = told.map_err(|fault| fault.told(asks.language));
    let standing = asks.service.standing(asks.patience).await?;
    let gate = asks.service.plan.gatehouse.gate();
    let edition = gate.policy.now();
    let overview = Overview {
        standing: &standing,
        counters: &gate.counters,
        policy: edition.policy.hash(),
        rules: edition.policy.rules() as u64,
        observes: edition.policy.observes(),
        told,
    };
    Ok(page(StatusCode::OK, overview_page(&asks.view(visitor, "/"), &overview)))
}

/// Puts on record that this person looks at somebody's records; where that cannot be, nothing is shown.
pub(super) async fn looked_up(asks: &Asks, visitor: &Visitor, lookup: Lookup) -> Result<(), Fault> {
    let lookup = Lookup { who: visitor.person(), ..lookup };
    asks.service.plan.gatehouse.act(Deed::Lookup(lookup)).await.map_err(not_recorded)
}

/// The record of a look at a client or device.
pub(super) fn lookup(visitor: &Visitor, question: &str, name: Option<&str>, range: Range) -> Lookup {
    let client = name.and_then(client_of).map(|client| Text::from(&*client_text(&client)));
    let device = if client.is_none() { name.map(Text::from) } else { None };
    let now = clock::now();
    Lookup {
        who: visitor.person(),
        question: question.into(),
        client,
        user: None,
        device,
        since: range.since,
        until: range.since.map(|_| range.until.map_or(now, |until| until.min(now))),
    }
}

async fn of_client(asks: &Asks, visitor: &Visitor) -> Result<Response<Page>, Fault> {
    may(visitor, Act::LookUp)?;
    let name = named(asks, "name")?;
    let (asked, range) = asked(asks, DAYS_OF_ONE)?;
    looked_up(asks, visitor, lookup(visitor, "console client", Some(&name), range)).await?;
    let (of, now) = (name.clone(), clock::now());
    let named = format!("client {asked} {name}");
    let answered = asks.service.ask(asks.patience, named, move |evidence, _| {
        let answer = client(evidence, &of, range, ROWS)?;
        Ok((answer, current_clients(evidence, &of, now)))
    });
    let answered: Result<Arc<(Answer, Vec<IpNet>)>, Fault> = answered.await.map_err(Fault::from);
    // Who is named by an address can be cut off though the index has no time.
    let itself = client_of(&name);
    let (answer, clients) = match &answered {
        Ok(answered) => (Ok(&answered.0), &*answered.1),
        Err(fault) if fault.after.is_some() && itself.is_some() => (Err(fault.title), itself.as_slice()),
        Err(_) => return Err(answered.err().unwrap_or_else(nothing_named)),
    };
    let standing = asks.service.standing(asks.patience).await?;
    let view = asks.view(visitor, "/client");
    let of = ClientPage { name: &name, clients, isolated: &standing.isolated, answer };
    Ok(page(StatusCode::OK, client_page(&view, asked, &of)))
}

async fn of_host(asks: &Asks, visitor: &Visitor) -> Result<Response<Page>, Fault> {
    may(visitor, Act::See)?;
    let name = named(asks, "name")?;
    let (asked, range) = asked(asks, DAYS_OF_ONE)?;
    looked_up(asks, visitor, lookup(visitor, &format!("console host {name}"), None, range)).await?;
    let of = name.clone();
    let named = format!("host {asked} {name}");
    let answer = asks.service.ask(asks.patience, named, move |evidence, _| host(evidence, &of, range, ROWS)).await?;
    Ok(page(StatusCode::OK, host_page(&asks.view(visitor, "/host"), asked, &name, &answer)))
}

async fn of_finding(asks: &Asks, visitor: &Visitor) -> Result<Response<Page>, Fault> {
    may(visitor, Act::See)?;
    let id = FindingId::parse(&named(asks, "id")?).ok_or_else(nothing_named)?;
    let found =
        asks.service.ask(asks.patience, format!("finding {id}"), move |evidence, _| finding(evidence, id)).await?;
    let client = Some(&*found.client).filter(|client| !client.is_empty());
    let told = lookup(visitor, &format!("console finding {id}"), client, Range::default());
    looked_up(asks, visitor, told).await?;
    Ok(page(StatusCode::OK, finding_page(&asks.view(visitor, "/finding"), &FindingPage { finding: &found })))
}

/// What the client of an exchange or record did around it. Whose records these are only the index knows; nothing of it is
/// shown before it is on record.
async fn around_one(asks: &Asks, visitor: &Visitor) -> Result<Response<Page>, Fault> {
    may(visitor, Act::LookUp)?;
    let minutes = asks.pairs.get("minutes").and_then(|text| text.parse().ok()).unwrap_or(AROUND_MINUTES);
    let minutes: u32 = minutes.clamp(1, AROUND_MINUTES_MAX);
    let view = asks.view(visitor, "/around");
    let Some(id) = row_id(asks) else {
        return Ok(page(StatusCode::OK, around_page(&view, &OfOne { id: "", is_value: false, answer: None }, minutes)));
    };
    let (of, span) = (id.clone(), u64::from(minutes) * 60_000_000);
    let named = format!("around {minutes} {id}");
    let answer = asks.service.ask(asks.patience, named, move |evidence, _| around(evidence, &of, span, ROWS)).await?;
    let told = lookup(visitor, "console around", fact_of(&answer, "client"), answer.range.unwrap_or_default());
    looked_up(asks, visitor, told).await?;
    Ok(page(StatusCode::OK, around_page(&view, &OfOne { id: &id, is_value: false, answer: Some(&answer) }, minutes)))
}

async fn like_one(asks: &Asks, visitor: &Visitor) -> Result<Response<Page>, Fault> {
    may(visitor, Act::LookUp)?;
    let word = asks.pairs.get("by").unwrap_or("host");
    let (by, word, _) = LIKENESSES.into_iter().find(|(_, known, _)| *known == word).ok_or_else(nothing_named)?;
    let (asked, range) = asked(asks, DAYS_OF_ONE)?;
    let value = asks.pairs.some("value").filter(|value| value.len() <= VALUE_BYTES_MAX);
    let is_value = value.is_some();
    let id = value.map(str::to_owned).or_else(|| row_id(asks)).ok_or_else(nothing_named)?;
    let (of, named) = (id.clone(), format!("like {word} {asked} {is_value} {id}"));
    let answer = asks.service.ask(asks.patience, named, move |evidence, _| match is_value {
        true => like_value(evidence, &of, by, range, ROWS),
        false => like(evidence, &of, by, range, ROWS),
    });
    let answer = answer.await?;
    // Those of one client are a look at it; others are of clients too.
    let client = fact_of(&answer, "value").filter(|_| by == By::Client);
    let told = lookup(visitor, &format!("console like {id} by {word}"), client, answer.range.unwrap_or(range));
    looked_up(asks, visitor, told).await?;
    let of = OfOne { id: &id, is_value, answer: Some(&answer) };
    Ok(page(StatusCode::OK, like_page(&asks.view(visitor, "/like"), asked, &of, by)))
}

/// An exchange's id, or the number of a record.
fn row_id(asks: &Asks) -> Option<String> {
    asks.pairs.some("id").filter(|id| id.len() <= ROW_ID_BYTES_MAX).map(str::to_owned)
}

fn fact_of<'a>(answer: &'a Answer, key: &str) -> Option<&'a str> {
    match answer.facts.iter().find(|(known, _)| *known == key) {
        Some((_, Cell::Text(text))) => Some(text),
        Some(_) | None => None,
    }
}

fn named(asks: &Asks, key: &str) -> Result<String, Fault> {
    asks.pairs.some(key).filter(|name| name.len() <= 255).map(str::to_owned).ok_or_else(nothing_named)
}

pub(super) fn nothing_named() -> Fault {
    Fault::new(StatusCode::NOT_FOUND, ("Nothing is named that could be shown.", "対象が指定されていません。"), "")
}

async fn policy(asks: &Asks, visitor: &Visitor) -> Result<Response<Page>, Fault> {
    may(visitor, Act::See)?;
    let (asked, range) = asked(asks, DAYS)?;
    let named = format!("rules {asked}");
    let counted = asks.service.ask(asks.patience, named, move |evidence, _| rules(evidence, range, usize::MAX)).await;
    let hits = counted.map(|answer| hits(&answer)).map_err(|why| Fault::from(why).told(asks.language));
    let edition = asks.service.plan.gatehouse.gate().policy.now();
    let judged = edition.clone();
    let lints = asks.service.in_turn(asks.patience, move || judged.policy.lint(clock::now())).await.ok();
    let standing = asks.service.standing(asks.patience).await?;
    let view = asks.view(visitor, "/policy");
    let drawn = PolicyPage {
        file: &standing.policy_file,
        hash: edition.policy.hash(),
        since: &standing.policy_since,
        mode: edition.policy.mode().as_str(),
        rules: edition.policy.rule_refs().collect(),
        hits,
        lints,
        explained: explained(asks, &edition),
        is_locked_down: standing.lockdown.is_some(),
    };
    Ok(page(StatusCode::OK, policy_page(&view, asked, &asks.pairs, &drawn)))
}

fn hits(answer: &Answer) -> Vec<Hits> {
    let text = |cell: Option<&Cell>| match cell {
        Some(Cell::Text(text)) => text.clone(),
        Some(_) | None => String::new(),
    };
    let rows = answer.tables.first().map_or(&[][..], |table| &table.rows);
    let hit = |row: &Vec<Cell>| Hits {
        name: text(row.first()),
        at: text(row.get(1)),
        requests: match row.get(2) {
            Some(Cell::Count(count)) => *count,
            Some(_) | None => 0,
        },
        last: match row.get(5) {
            Some(Cell::Time(time)) => Some(*time),
            Some(_) | None => None,
        },
    };
    rows.iter().map(hit).collect()
}

/// What becomes of the request that the form asks about, by the policy in force.
fn explained(asks: &Asks, edition: &Arc<Edition>) -> Option<Result<Explanation, String>> {
    let (client, url) = (asks.pairs.some("client")?, asks.pairs.some("url")?);
    let method = asks.pairs.some("method").unwrap_or("GET");
    let Ok(client) = client.parse() else { return Some(Err(format!("`{client}` is no address"))) };
    let request = format!("{method} {url}");
    Some(match Question::read(client, &request) {
        Ok(question) => Ok(explain(&edition.policy, &question, clock::now())),
        Err(why) => Err(why.to_string()),
    })
}

async fn live(asks: &Asks, visitor: &Visitor) -> Result<Response<Page>, Fault> {
    may(visitor, Act::LookUp)?;
    let filter = Filter::read(&asks.pairs);
    record_tail(asks, visitor, &filter).await?;
    let rows = asks.service.tails.newest(&filter);
    Ok(page(StatusCode::OK, live_page(&asks.view(visitor, "/live"), &asks.pairs, &rows)))
}

/// The rows as they come, as server-sent events.
async fn events(asks: &Asks, visitor: Visitor) -> Result<Response<Page>, Fault> {
    may(&visitor, Act::LookUp)?;
    let filter = Filter::read(&asks.pairs);
    record_tail(asks, &visitor, &filter).await?;
    let busy = || Fault::new(StatusCode::SERVICE_UNAVAILABLE, ("Too many look already.", "閲覧者が多すぎます。"), "");
    let from = asks.service.tails.begin(filter).ok_or_else(busy)?;
    let mut response = Response::new(Page::live(from, asks.service.clone(), visitor.session));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn record_tail(asks: &Asks, visitor: &Visitor, filter: &Filter) -> Result<(), Fault> {
    let question = format!("console live{}", filter.in_words());
    looked_up(asks, visitor, lookup(visitor, &question, filter.client(), Range::default())).await
}

//! What takes longer than a question: sweeps, which ask the index of thousands of indicators, and the month's report, which
//! reads the journal as a whole.

use std::time::Duration;

use hyper::header::{CONTENT_DISPOSITION, HeaderValue};
use hyper::{Response, StatusCode};

use super::super::access::Act;
use super::super::errands::NotDone;
use super::super::pages::{View, report_form_page, sweep_page};
use super::super::request::Pairs;
use super::super::serve::{Page, whole};
use super::super::service::{NoAnswer, Visitor};
use super::looks::{ROWS, days_of, looked_up, lookup, nothing_named};
use super::{Asks, Fault, HTML, may, page, redirect};
use crate::clock;
use crate::review::questions::{Indicators, Range, sweep};
use crate::review::{Month, list_mark};

/// Days that a sweep looks at where nothing is said.
const SWEEP_DAYS: u32 = 31;
/// So long a sweep may take.
const SWEEP_LIMIT: Duration = Duration::from_secs(60);
/// So long the report is waited for before the page comes that says it is being written.
const REPORT_WAIT: Duration = Duration::from_secs(5);

/// The form, with nothing looked for yet.
pub(super) fn sweep_form(asks: &Asks, visitor: &Visitor) -> Result<Response<Page>, Fault> {
    may(visitor, Act::LookUp)?;
    let (asked, _) = days_of(&asks.pairs, SWEEP_DAYS)?;
    Ok(page(StatusCode::OK, sweep_page(&asks.view(visitor, "/sweep"), asked, "", None)))
}

/// Looks for what the form lists.
pub(super) async fn swept(asks: &Asks, visitor: &Visitor, form: &Pairs) -> Result<Response<Page>, Fault> {
    may(visitor, Act::LookUp)?;
    let (asked, range) = days_of(form, SWEEP_DAYS)?;
    let list = form.some("list").ok_or_else(nothing_named)?;
    let indicators = Indicators::read(list);
    let question = format!("console sweep of {} indicators ({})", indicators.all.len(), list_mark(list));
    looked_up(asks, visitor, lookup(visitor, &question, None, range)).await?;
    let sweeping = asks.service.ask_at_length(asks.patience, SWEEP_LIMIT, move |evidence, data_dir| {
        sweep(evidence, data_dir, "the console", &indicators, range, ROWS)
    });
    let answer = sweeping.await?;
    // What was asked came by the form.
    let view = View { until: asked.until, ..asks.view(visitor, "/sweep") };
    Ok(page(StatusCode::OK, sweep_page(&view, asked, list, Some(&answer))))
}

/// The form, and what report there is.
pub(super) fn report_form(asks: &Asks, visitor: &Visitor) -> Result<Response<Page>, Fault> {
    may(visitor, Act::LookUp)?;
    let reports = asks.service.errands.reports();
    let month = reports.running.map(|(month, _)| month).unwrap_or_else(|| Month::before(clock::now()));
    Ok(page(StatusCode::OK, report_form_page(&asks.view(visitor, "/report"), month, &reports)))
}

/// Has the report of a month written.
pub(super) async fn report(asks: &Asks, visitor: &Visitor, form: &Pairs) -> Result<Response<Page>, Fault> {
    may(visitor, Act::LookUp)?;
    let month: Month = month_of(form)?;
    looked_up(asks, visitor, lookup(visitor, &format!("console report {month}"), None, Range::default())).await?;
    asks.service.afford(asks.patience).await?;
    let data_dir = asks.service.plan.data_dir.clone();
    match asks.service.errands.write_report(REPORT_WAIT, month, data_dir).await {
        // It goes on, and the page says so.
        Ok(()) | Err(NotDone::Slow) => Ok(redirect("/report")),
        Err(why @ (NotDone::Busy | NotDone::NoThread)) => Err(NoAnswer::from(why).into()),
    }
}

/// The report itself, as a file: it has a style of its own, which no page of the console may have.
pub(super) async fn report_page(asks: &Asks, visitor: &Visitor) -> Result<Response<Page>, Fault> {
    may(visitor, Act::LookUp)?;
    let month = month_of(&asks.pairs)?;
    let written = asks.service.errands.reports().written.filter(|written| written.month == month);
    let written = written.ok_or_else(nothing_named)?;
    let question = format!("console report {month} taken");
    looked_up(asks, visitor, lookup(visitor, &question, None, Range::default())).await?;
    let mut response = whole(StatusCode::OK, HTML, written.page);
    let named = format!("attachment; filename=\"sekisho-{month}.html\"");
    if let Ok(named) = HeaderValue::from_str(&named) {
        response.headers_mut().insert(CONTENT_DISPOSITION, named);
    }
    Ok(response)
}

fn month_of(pairs: &Pairs) -> Result<Month, Fault> {
    let title = ("That is no month.", "月を読めません。");
    let month = pairs.get("month").unwrap_or_default().parse();
    month.map_err(|error: crate::review::BadMonth| Fault::new(StatusCode::BAD_REQUEST, title, error.to_string()))
}

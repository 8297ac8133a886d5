use std::io;
use std::time::{Duration, Instant};

use hyper::{Response, StatusCode};

use super::super::access::Act;
use super::super::gatehouse::Deed;
use super::super::html::Html;
use super::super::pages::{SqlTable, sql_page};
use super::super::request::Pairs;
use super::super::serve::Page;
use super::super::service::Visitor;
use super::looks::lookup;
use super::{Asks, Fault, at_length, guarded, may, not_recorded, page, redirect, session_cookie, set_cookie};
use crate::clock;
use crate::evidence::{
    Contingency, ContingencyAction, FindingId, Mark, Text, Triage, client_of, client_text, day_text, shown,
};
use crate::policy::MarkedTarget;
use crate::review::questions::{Range, finding};
use crate::review::{SqlError, SqlRows, SqlValue, read_notes, sql_while};
use crate::store::OpenError;

/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 500;
/// Networks that are cut off have so many bits in common: more of them are a lockdown.
const PREFIX_MIN: [u8; 2] = [8, 32];
/// Rows of an answer by SQL that a page shows, and bytes of a cell.
const SQL_ROWS: usize = 500;
const SQL_CELL_BYTES: usize = 2000;
const DAY_US: u64 = 86_400_000_000;
/// For so long what is known good is, as on the command line.
const KNOWN_GOOD_DAYS: i64 = 90;
/// A statement has this long.
const SQL_LIMIT: Duration = Duration::from_secs(20);

/// Does what a form asks for, where this visitor may.
pub(super) async fn act(asks: &Asks, visitor: Visitor, path: &str, form: &Pairs) -> Result<Response<Page>, Fault> {
    match path {
        "/logout" => log_out(asks, visitor).await,
        "/act" => contingency(asks, &visitor, form).await,
        "/mark" => mark(asks, &visitor, form).await,
        "/sql" => by_sql(asks, &visitor, form).await,
        "/sweep" => at_length::swept(asks, &visitor, form).await,
        "/report" => at_length::report(asks, &visitor, form).await,
        _ => Err(Fault::new(StatusCode::NOT_FOUND, ("There is no such page.", "ページがありません。"), "")),
    }
}

async fn log_out(asks: &Asks, visitor: Visitor) -> Result<Response<Page>, Fault> {
    // It ends whether that can be put on record or not.
    asks.service.end(&visitor.session);
    let told = Deed::Access("console_logout", format!("{}, from {}", visitor.user.name, asks.address));
    let _ = asks.service.plan.gatehouse.act(told).await;
    let mut response = redirect("/login");
    set_cookie(&mut response, &guarded(&asks.service, session_cookie(&asks.service), "", "; Max-Age=0"));
    Ok(response)
}

fn bad(what: &str) -> Fault {
    Fault::new(StatusCode::BAD_REQUEST, ("That cannot be done.", "実行できません。"), what)
}

fn reason(form: &Pairs) -> Result<Text, Fault> {
    let why = form.some("why").unwrap_or_default();
    let is_fit = !why.is_empty() && why.len() <= REASON_BYTES_MAX && !why.chars().any(char::is_control);
    if is_fit { Ok(why.into()) } else { Err(bad("a reason has 1 to 500 bytes on one line")) }
}

async fn done(asks: &Asks, deed: Deed) -> Result<(), Fault> {
    let done = asks.service.plan.gatehouse.act(deed).await.map_err(|why| bad(&why));
    asks.service.forget_answers();
    done
}

/// Cuts a client off or lets it pass again; locks down or ends that.
async fn contingency(asks: &Asks, visitor: &Visitor, form: &Pairs) -> Result<Response<Page>, Fault> {
    let (action, needs) = match form.get("action") {
        Some("isolated") => (ContingencyAction::Isolated, Act::Isolate),
        Some("released") => (ContingencyAction::Released, Act::Isolate),
        Some("lockdown") => (ContingencyAction::Lockdown, Act::LockDown),
        Some("lockdown_ended") => (ContingencyAction::LockdownEnded, Act::LockDown),
        Some(_) | None => return Err(bad("no such action")),
    };
    may(visitor, needs)?;
    let why = reason(form)?;
    let client = match needs {
        Act::LockDown => None,
        Act::See | Act::LookUp | Act::Mark | Act::Isolate => {
            let client =
                form.some("client").and_then(client_of).ok_or_else(|| bad("a client is named by its address"))?;
            let [of_v4, of_v6] = PREFIX_MIN;
            let least = if client.addr().is_ipv4() { of_v4 } else { of_v6 };
            if client.prefix_len() < least {
                return Err(bad("so wide a network is not cut off: lock down instead"));
            }
            Some(client_text(&client))
        }
    };
    let deed = Contingency {
        who: visitor.person(),
        action,
        client: client.as_deref().map(Text::from),
        device: None,
        place: None,
        why: Some(why),
    };
    done(asks, Deed::Contingency(Box::new(deed))).await?;
    let mut way = Html::new(asks.language);
    match &client {
        Some(client) => way.way("/client", &[("name", client)]),
        None => way.way("/", &[]),
    };
    Ok(redirect(&way.into_text()))
}

/// Puts on record what a finding or a target is held to be.
async fn mark(asks: &Asks, visitor: &Visitor, form: &Pairs) -> Result<Response<Page>, Fault> {
    may(visitor, Act::Mark)?;
    let why = reason(form)?;
    let marks = [Mark::KnownGood, Mark::Malicious, Mark::Watching, Mark::Withdrawn];
    let named = form.get("mark").unwrap_or_default();
    let mark = marks.into_iter().find(|mark| mark.as_str() == named).ok_or_else(|| bad("no such mark"))?;
    let until = match mark {
        Mark::KnownGood => Some(day_text(i64::try_from(clock::now().0 / DAY_US).unwrap_or_default() + KNOWN_GOOD_DAYS)),
        Mark::Malicious | Mark::Watching | Mark::Withdrawn => None,
    };
    let mut triage = Triage {
        who: visitor.person(),
        mark,
        target: None,
        finding_id: None,
        client: None,
        why,
        until: until.as_deref().map(Text::from),
        before: None,
    };
    let mut way = Html::new(asks.language);
    match (form.some("finding").and_then(FindingId::parse), form.some("target")) {
        (Some(id), _) => {
            let found = asks
                .service
                .ask(asks.patience, format!("finding {id}"), move |evidence, _| finding(evidence, id))
                .await?;
            triage.finding_id = Some(id);
            triage.target = Some(Text::from(&*found.target)).filter(|target| !target.as_str().is_empty());
            triage.client = client_of(&found.client).map(|client| Text::from(&*client_text(&client)));
            way.way("/finding", &[("id", &id.to_string())]);
        }
        (None, Some(target)) => {
            let target = MarkedTarget::read(target).map_err(|_| bad("that is no host or address"))?;
            let target = target.to_string();
            triage.target = Some(Text::from(&*target));
            way.way("/host", &[("name", &target)]);
        }
        (None, None) => return Err(bad("nothing is named that could be marked")),
    }
    if mark == Mark::Withdrawn {
        let before = marked_before(asks, &triage).await?;
        (triage.before, triage.target, triage.client) = (Some(before.mark), before.target, before.client);
    }
    let isolates = mark == Mark::Malicious && form.get("isolate") == Some("yes");
    let cut_off = triage.client.clone().filter(|_| isolates && triage.finding_id.is_some()).map(|client| Contingency {
        who: visitor.person(),
        action: ContingencyAction::Isolated,
        client: Some(client),
        device: None,
        place: None,
        why: Some(triage.why.clone()),
    });
    if cut_off.is_some() {
        may(visitor, Act::Isolate)?;
    }
    done(asks, Deed::Triage(Box::new(triage))).await?;
    if let Some(cut_off) = cut_off {
        done(asks, Deed::Contingency(Box::new(cut_off))).await?;
    }
    Ok(redirect(&way.into_text()))
}

/// What was said of the same last, and still holds: nothing else can be withdrawn.
async fn marked_before(asks: &Asks, triage: &Triage) -> Result<Triage, Fault> {
    let (data_dir, of, now) = (asks.service.plan.data_dir.clone(), triage.clone(), clock::now());
    let reading = move || {
        let notes = read_notes(&data_dir, |_| {})?;
        let before = notes.triages.before(&of).filter(|before| before.triage.holds(now));
        Ok::<_, OpenError>(before.map(|before| before.triage.clone()))
    };
    let before = asks.service.in_turn(asks.patience, reading).await?.map_err(|error| bad(&error.to_string()))?;
    before.ok_or_else(|| bad("nothing was said of it that holds, so there is nothing to withdraw"))
}

/// Asks the index by a statement, which goes on record itself before anything is shown.
async fn by_sql(asks: &Asks, visitor: &Visitor, form: &Pairs) -> Result<Response<Page>, Fault> {
    may(visitor, Act::LookUp)?;
    let statement = form.some("statement").unwrap_or_default().to_owned();
    let told = lookup(visitor, &format!("console sql: {statement}"), None, Range::default());
    asks.service.plan.gatehouse.act(Deed::Lookup(told)).await.map_err(not_recorded)?;
    let (data_dir, text) = (asks.service.plan.data_dir.clone(), statement.clone());
    let answered = asks.service.in_turn(asks.patience, move || {
        let (mut table, until) = (SqlTable::default(), Instant::now() + SQL_LIMIT);
        match sql_while(&data_dir, &text, &mut table, move || Instant::now() < until) {
            Ok(()) => Ok(table),
            Err(SqlError::Write(_)) => Ok(SqlTable { is_cut: true, ..table }),
            Err(error) => Err(error.to_string()),
        }
    });
    let answer = answered.await?;
    let status = if answer.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(page(status, sql_page(&asks.view(visitor, "/sql"), &statement, Some(answer))))
}

impl SqlRows for SqlTable {
    fn head(&mut self, columns: &[String]) -> io::Result<()> {
        self.columns = columns.to_vec();
        Ok(())
    }

    /// A page that is full takes no more.
    fn row(&mut self, cells: &[SqlValue<'_>]) -> io::Result<()> {
        if self.rows.len() >= SQL_ROWS {
            return Err(io::Error::other("the page is full"));
        }
        let cut =
            |text: &str| shown(text.get(..text.floor_char_boundary(SQL_CELL_BYTES)).unwrap_or_default()).into_owned();
        let cell = |value: &SqlValue<'_>| match value {
            SqlValue::Null => None,
            SqlValue::Integer(number) => Some(number.to_string()),
            SqlValue::Real(number) => Some(number.to_string()),
            SqlValue::Text(text) => Some(cut(text)),
            SqlValue::Bytes(bytes) => Some(format!("{} bytes", bytes.len())),
        };
        self.rows.push(cells.iter().map(cell).collect());
        Ok(())
    }
}

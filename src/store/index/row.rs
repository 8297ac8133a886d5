use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::day::of_day;
use super::manner::Manner;
use super::open::Open;
use super::{DAY_US, IndexError};

/// The judgement of what waits for one.
pub(super) const UNJUDGED: i64 = 1;

/// A port that is not said.
const PORT: i64 = 443;

/// A row of `x_DAY`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) day: i64,
    /// It is in the file already, as open.
    pub(super) stored: bool,
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) inside: Option<i64>,
    pub(super) event: i64,
    pub(super) client: i64,
    pub(super) user: Option<i64>,
    pub(super) method: Option<i64>,
    pub(super) scheme: Option<i64>,
    pub(super) host: Option<i64>,
    pub(super) port: Option<i64>,
    pub(super) path: Option<i64>,
    pub(super) program: Option<i64>,
    pub(super) standing: Option<i64>,
    pub(super) judgement: Option<i64>,
    pub(super) stopped: bool,
    pub(super) dialled: Option<i64>,
    pub(super) status: Option<i64>,
    pub(super) content_type: Option<i64>,
    pub(super) body_type: Option<i64>,
    pub(super) up: Option<i64>,
    pub(super) down: Option<i64>,
    pub(super) total_ms: Option<i64>,
    pub(super) ending: Option<i64>,
    pub(super) captured: Option<i64>,
}

impl Row {
    /// Its end is not waited for any more.
    pub(super) fn forget(&self, connection: &Connection) -> Result<(), IndexError> {
        let id = self.at.saturating_add(self.day.saturating_mul(DAY_US));
        connection.prepare_cached("DELETE FROM open WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    /// What of it many have in common.
    pub(super) fn manner(&self, open: bool) -> Manner {
        let Self { event, method, scheme, port, standing, status, content_type, body_type, .. } = *self;
        let known = |number: Option<i64>| number.unwrap_or_default();
        let [method, scheme, standing, status] = [method, scheme, standing, status].map(known);
        let [content_type, body_type] = [content_type, body_type].map(known);
        let port = port.unwrap_or(PORT);
        Manner([event, i64::from(open), method, scheme, port, standing, status, content_type, body_type])
    }

    /// Writes it by a statement of its day.
    pub(super) fn write(
        &self,
        connection: &Connection,
        insert: &str,
        manner: i64,
        open: bool,
    ) -> Result<(), IndexError> {
        connection.prepare_cached(insert)?.execute(params![
            self.seq,
            self.at,
            self.inside,
            self.client,
            self.user,
            self.host,
            self.path,
            self.program,
            manner,
            self.judgement.unwrap_or(UNJUDGED),
            self.stopped.then_some(1),
            self.dialled,
            self.up,
            self.down,
            self.total_ms,
            self.ending,
            self.captured,
        ])?;
        if self.stored && !open {
            self.forget(connection)?;
        }
        Ok(())
    }
}

/// The rows whose ends are not on record, from the file: of more than `most` the newest.
pub(super) fn read_open(connection: &Connection, made: &[i64], most: usize) -> Result<Open, IndexError> {
    let mut open = Open::default();
    let mut known: HashMap<i64, bool> = HashMap::new();
    let mut statement = connection.prepare("SELECT id, day, seq FROM open ORDER BY id DESC LIMIT ?1")?;
    let places = statement
        .query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<Vec<(i64, i64, i64)>, _>>()?;
    for (id, day, seq) in places {
        if !*known.entry(day).or_insert_with(|| made.contains(&day)) {
            continue;
        }
        let mut select = connection.prepare_cached(&of_day("SELECT * FROM x_DAY WHERE seq = ?1", day))?;
        let row = select
            .query_row([seq], |row| {
                let Manner([event, _, method, scheme, port, standing, status, content_type, body_type]) =
                    Manner::read(connection, row.get(8)?)?;
                let known = |number: i64| Some(number).filter(|number| *number != 0);
                Ok(Row {
                    day,
                    stored: true,
                    seq,
                    at: row.get(1)?,
                    inside: row.get(2)?,
                    event,
                    client: row.get(3)?,
                    user: row.get(4)?,
                    method: known(method),
                    scheme: known(scheme),
                    host: row.get(5)?,
                    port: Some(port).filter(|port| *port != PORT),
                    path: row.get(6)?,
                    program: row.get(7)?,
                    standing: known(standing),
                    judgement: row.get::<_, Option<i64>>(9)?.filter(|judgement| *judgement != UNJUDGED),
                    stopped: row.get::<_, Option<i64>>(10)?.is_some(),
                    dialled: row.get(11)?,
                    status: known(status),
                    content_type: known(content_type),
                    body_type: known(body_type),
                    up: row.get(12)?,
                    down: row.get(13)?,
                    total_ms: row.get(14)?,
                    ending: row.get(15)?,
                    captured: row.get(16)?,
                })
            })
            .optional()?;
        if let Some(row) = row {
            open.insert_still(id.unsigned_abs(), Box::new(row));
        }
    }
    Ok(open)
}

pub(super) const EXCHANGE: &str = "INSERT OR REPLACE INTO x_DAY VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";

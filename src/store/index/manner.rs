use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::IndexError;

/// What many exchanges have in common, and is kept once: a row of `manner`. A part that is not known is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Manner(pub(super) [i64; PARTS]);

/// Event, open, method, scheme, port, standing, status, content type, body type.
const PARTS: usize = 9;

/// Those with their numbers. All are in the file; of those in memory all go at the bound.
#[derive(Default)]
pub(super) struct Manners {
    known: HashMap<Manner, i64>,
}

/// Of those in memory.
const KNOWN_MAX: usize = 100_000;

impl Manners {
    pub(super) fn number(&mut self, connection: &Connection, manner: Manner) -> Result<i64, IndexError> {
        if let Some(number) = self.known.get(&manner) {
            return Ok(*number);
        }
        let parts = || params_from_iter(manner.0);
        let found = connection.prepare_cached(SELECT)?.query_row(parts(), |row| row.get(0)).optional()?;
        let number = match found {
            Some(number) => number,
            None => {
                connection.prepare_cached(INSERT)?.execute(parts())?;
                connection.last_insert_rowid()
            }
        };
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(manner, number);
        Ok(number)
    }
}

impl Manner {
    /// That of a number; where there is none, nothing is known.
    pub(super) fn read(connection: &Connection, number: i64) -> rusqlite::Result<Self> {
        let parts = |row: &Row<'_>| {
            let mut parts = [0; PARTS];
            for (at, part) in parts.iter_mut().enumerate() {
                *part = row.get(at)?;
            }
            Ok(Self(parts))
        };
        let text = "SELECT event, open, method, scheme, port, standing, status, content_type, body_type FROM manner
            WHERE id = ?1";
        let found = connection.prepare_cached(text)?.query_row([number], parts).optional()?;
        Ok(found.unwrap_or(Self([0; PARTS])))
    }
}

const SELECT: &str =
    "SELECT id FROM manner WHERE event = ?1 AND open = ?2 AND method = ?3 AND scheme = ?4 AND port = ?5
    AND standing = ?6 AND status = ?7 AND content_type = ?8 AND body_type = ?9";
const INSERT: &str = "INSERT INTO manner (event, open, method, scheme, port, standing, status, content_type, body_type)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

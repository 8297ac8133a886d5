use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Params, params};

use super::IndexError;

/// Names of one kind, with their numbers. All are in the file; of those in memory the half goes at the bound.
pub(super) struct Names {
    insert: &'static str,
    select: &'static str,
    known: HashMap<Box<str>, i64>,
}

/// Names of one kind in memory.
const KNOWN_MAX: usize = 300_000;
/// No name is longer, in bytes: records bound their own.
const NAME_BYTES_MAX: usize = 4096;

impl Names {
    pub(super) fn of(insert: &'static str, select: &'static str) -> Self {
        Self { insert, select, known: HashMap::new() }
    }

    /// The number of a name that stands alone in its table.
    pub(super) fn number(&mut self, connection: &Connection, name: &str) -> Result<i64, IndexError> {
        let name = bounded(name);
        if let Some(number) = self.known.get(name) {
            return Ok(*number);
        }
        let (number, _) = self.learn(connection, name, params![name], params![name])?;
        Ok(number)
    }

    /// Of what is known by `key` and stands in several columns. True where it is new.
    pub(super) fn number_of(
        &mut self,
        connection: &Connection,
        key: &str,
        inserted: impl Params,
        selected: impl Params,
    ) -> Result<(i64, bool), IndexError> {
        match self.known.get(key) {
            Some(number) => Ok((*number, false)),
            None => self.learn(connection, key, inserted, selected),
        }
    }

    fn learn(
        &mut self,
        connection: &Connection,
        key: &str,
        inserted: impl Params,
        selected: impl Params,
    ) -> Result<(i64, bool), IndexError> {
        if self.known.len() >= KNOWN_MAX {
            let mut keep = false;
            self.known.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        let found = connection.prepare_cached(self.select)?.query_row(selected, |row| row.get(0)).optional()?;
        let (number, is_new) = match found {
            Some(number) => (number, false),
            None => {
                connection.prepare_cached(self.insert)?.execute(inserted)?;
                (connection.last_insert_rowid(), true)
            }
        };
        self.known.insert(key.into(), number);
        Ok((number, is_new))
    }
}

/// At most [`NAME_BYTES_MAX`] of it.
pub(super) fn bounded(text: &str) -> &str {
    text.get(..text.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or(text)
}

use crate::formats::text::{Scratch, split, unescaped};
use crate::formats::{Fault, Told};

use super::column::{Column, Log};
use super::event;
use super::row::{Row, Value};

/// What the header of a table has said so far. It may come again at any line, with other columns.
#[derive(Debug)]
pub(in crate::formats) struct Table {
    separator: u8,
    set_separator: String,
    empty: String,
    unset: String,
    path: String,
    columns: Vec<Option<Column>>,
    log: Log,
    /// Why no line below it can be read.
    fault: Option<Fault>,
}

const COLUMNS_MAX: usize = 1000;
const WORD_BYTES_MAX: usize = 64;

impl Default for Table {
    /// What Zeek writes unless it is told otherwise.
    fn default() -> Self {
        Self {
            separator: b'\t',
            set_separator: ",".to_owned(),
            empty: "(empty)".to_owned(),
            unset: "-".to_owned(),
            path: String::new(),
            columns: Vec::new(),
            log: Log::Other,
            fault: Some(Fault::NoHeader),
        }
    }
}

impl Table {
    /// Takes a line that begins with `#`.
    pub(in crate::formats) fn header(&mut self, text: &str) -> Result<(), Fault> {
        let outcome = match text.strip_prefix("#separator ") {
            Some(separator) => self.begin(separator),
            None => self.more(text),
        };
        if let Err(fault) = outcome {
            self.fault = Some(fault);
        }
        outcome
    }

    fn begin(&mut self, separator: &str) -> Result<(), Fault> {
        *self = Self::default();
        let mut room = Vec::new();
        let mut letters = unescaped(separator, &mut Scratch::of(&mut room, separator.len())).bytes();
        match (letters.next(), letters.next()) {
            (Some(one), None) => {
                self.separator = one;
                Ok(())
            }
            _ => Err(Fault::Separator),
        }
    }

    fn more(&mut self, text: &str) -> Result<(), Fault> {
        let (word, value) = split(text, self.separator).unwrap_or((text, ""));
        let place = match word {
            "#set_separator" => &mut self.set_separator,
            "#empty_field" => &mut self.empty,
            "#unset_field" => &mut self.unset,
            "#path" => &mut self.path,
            "#fields" => return self.fields(value),
            _ => return Ok(()),
        };
        if value.len() > WORD_BYTES_MAX {
            return Err(Fault::Header);
        }
        let mut room = Vec::new();
        unescaped(value, &mut Scratch::of(&mut room, value.len())).clone_into(place);
        Ok(())
    }

    fn fields(&mut self, names: &str) -> Result<(), Fault> {
        let separator = char::from(self.separator);
        if names.split(separator).count() > COLUMNS_MAX {
            return Err(Fault::Header);
        }
        self.columns.clear();
        self.columns.extend(names.split(separator).map(Column::of));
        let has = |column| self.columns.contains(&Some(column));
        self.log = Log::of(&self.path, has);
        self.log.check(has)?;
        self.fault = None;
        Ok(())
    }

    /// Whether a line may be one of this table.
    pub(in crate::formats) fn fits(&self, text: &str) -> bool {
        split(text, self.separator).is_some()
    }

    /// Why no line can be read until the next header.
    pub(in crate::formats) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// The name of the log, where its lines are passed over.
    pub(in crate::formats) fn passed_over(&self) -> Option<&str> {
        (self.fault.is_none() && self.log == Log::Other).then_some(self.path.as_str())
    }

    pub(in crate::formats) fn read<'a>(
        &self,
        text: &'a str,
        line: u64,
        scratch: &mut Scratch<'a>,
    ) -> Result<Told<'a>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.log == Log::Other {
            return Ok(Told::Nothing);
        }
        let escaped = text.contains('\\');
        let mut row = Row::default();
        let mut rest = Some(text);
        for column in &self.columns {
            let (value, after) = match split(rest.ok_or(Fault::Columns)?, self.separator) {
                Some((value, after)) => (value, Some(after)),
                None => (rest.unwrap_or_default(), None),
            };
            rest = after;
            let Some(column) = column else { continue };
            if value == self.unset {
                continue;
            }
            row.set(*column, self.value(*column, value, escaped, scratch));
        }
        if rest.is_some() {
            return Err(Fault::Columns);
        }
        event::told(&row, self.log, line, scratch)
    }

    fn value<'a>(&self, column: Column, value: &'a str, escaped: bool, scratch: &mut Scratch<'a>) -> Value<'a> {
        if value == self.empty {
            return Value::Text("");
        }
        let one = match column {
            Column::MediaTypes if !self.set_separator.is_empty() => {
                value.split_once(&self.set_separator).map_or(value, |(first, _)| first)
            }
            _ => value,
        };
        Value::Text(if escaped { unescaped(one, scratch) } else { one })
    }
}

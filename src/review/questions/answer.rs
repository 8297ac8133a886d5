use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::evidence::format_time;
use crate::facts::Timestamp;

use super::ask::Range;

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// As it is asked on the command line.
    pub question: &'static str,
    /// What it was about, where it was about something.
    pub about: Option<String>,
    /// Of which time it tells, where that is another than was asked for.
    pub range: Option<Range>,
    /// What is known in single values, by stable keys.
    pub facts: Vec<(&'static str, Cell)>,
    /// The first is the one that was asked for; the others stand beside it.
    pub tables: Vec<Table>,
    /// What a reader must know to take it rightly.
    pub notes: Vec<String>,
    /// What of the evidence could not be read. Where there is any, the answer is partial.
    pub unread: Vec<String>,
    /// What one may ask next.
    pub next: Vec<String>,
}

/// Rows below each other, the most telling first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// A stable key.
    pub name: &'static str,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Cell>>,
    /// Rows that were left out, as there were more than were asked for.
    pub more: u64,
}

/// What stands below each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// A stable key, and the head in words.
    pub key: &'static str,
    pub shape: Shape,
}

/// How the cells of a column look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Text,
    Count,
    Bytes,
    Time,
    /// Text that is a sentence, which a table shows below its row.
    Sentence,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Of anybody; not escaped.
    Text(String),
    Count(u64),
    Bytes(u64),
    Time(Timestamp),
    /// Not known, or it does not apply.
    Nothing,
}

impl Answer {
    /// Of a question that is answered with nothing yet.
    pub(super) fn to(question: &'static str, about: Option<String>) -> Self {
        Self {
            question,
            about,
            range: None,
            facts: Vec::new(),
            tables: Vec::new(),
            notes: Vec::new(),
            unread: Vec::new(),
            next: Vec::new(),
        }
    }

    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }
}

impl Table {
    pub(super) fn new(name: &'static str, columns: &[(&'static str, Shape)]) -> Self {
        let columns = columns.iter().map(|(key, shape)| Column { key, shape: *shape }).collect();
        Self { name, columns, rows: Vec::new(), more: 0 }
    }

    /// Takes the first rows, and counts the others.
    pub(super) fn fill<T>(mut self, rows: &[T], limit: usize, mut row: impl FnMut(&T) -> Vec<Cell>) -> Self {
        self.rows = rows.iter().take(limit).map(&mut row).collect();
        self.more = rows.len().saturating_sub(limit) as u64;
        self
    }
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { Cell::Nothing } else { Cell::Text(text) }
    }

    pub(super) fn of<T>(value: Option<T>, cell: impl FnOnce(T) -> Cell) -> Self {
        value.map_or(Cell::Nothing, cell)
    }

    /// A moment in microseconds.
    pub(super) fn time(micros: i64) -> Self {
        Cell::Time(Timestamp(micros.max(0).unsigned_abs()))
    }

    pub(super) fn count(number: i64) -> Self {
        Cell::Count(number.max(0).unsigned_abs())
    }

    pub(super) fn bytes(number: i64) -> Self {
        Cell::Bytes(number.max(0).unsigned_abs())
    }
}

/// Numbers are numbers, times RFC 3339 in UTC, what is not known `null`.
impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Cell::Text(text) => serializer.serialize_str(text),
            Cell::Count(number) | Cell::Bytes(number) => serializer.serialize_u64(*number),
            Cell::Time(time) => serializer.serialize_str(&format_time(*time)),
            Cell::Nothing => serializer.serialize_none(),
        }
    }
}

/// A row by the keys of its columns.
struct Row<'t>(&'t [Column], &'t [Cell]);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1).map(|(column, cell)| (column.key, cell)))
    }
}

/// The rows, each an object, and how many more there are.
impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows: Vec<Row<'_>> = self.rows.iter().map(|row| Row(&self.columns, row)).collect();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("rows", &rows)?;
        map.serialize_entry("more", &self.more)?;
        map.end()
    }
}

/// `facts` and `tables` are objects by their keys.
impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Facts<'a>(&'a [(&'static str, Cell)]);
        impl Serialize for Facts<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(key, cell)| (key, cell)))
            }
        }
        struct Tables<'a>(&'a [Table]);
        impl Serialize for Tables<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|table| (table.name, table)))
            }
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("question", self.question)?;
        map.serialize_entry("about", &self.about)?;
        map.serialize_entry("facts", &Facts(&self.facts))?;
        map.serialize_entry("tables", &Tables(&self.tables))?;
        map.serialize_entry("notes", &self.notes)?;
        map.serialize_entry("unread", &self.unread)?;
        map.serialize_entry("next", &self.next)?;
        map.end()
    }
}

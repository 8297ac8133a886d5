use crate::facts::Timestamp;
use crate::formats::Fault;
use crate::formats::time::{Zone, iso, microseconds, number, seconds};

use super::column::Column;

/// One value, as a table or JSON has it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) enum Value<'a> {
    #[default]
    Unset,
    Text(&'a str),
    Count(u64),
    Real(f64),
    Truth(bool),
}

/// The values of one line.
#[derive(Debug, Default)]
pub(super) struct Row<'a>([Value<'a>; Column::COUNT]);

impl<'a> Row<'a> {
    pub(super) fn set(&mut self, column: Column, value: Value<'a>) {
        if let Some(place) = self.0.get_mut(column as usize) {
            *place = value;
        }
    }

    pub(super) fn value(&self, column: Column) -> Value<'a> {
        self.0.get(column as usize).copied().unwrap_or_default()
    }

    pub(super) fn has(&self, column: Column) -> bool {
        self.value(column) != Value::Unset
    }

    /// Empty where nothing is said.
    pub(super) fn text(&self, column: Column) -> &'a str {
        match self.value(column) {
            Value::Text(text) => text,
            Value::Unset | Value::Count(_) | Value::Real(_) | Value::Truth(_) => "",
        }
    }

    pub(super) fn count(&self, column: Column) -> Result<Option<u64>, Fault> {
        match self.value(column) {
            Value::Unset => Ok(None),
            Value::Count(count) => Ok(Some(count)),
            Value::Text(text) => text.parse().map(Some).map_err(|_| Fault::Number(column.name())),
            Value::Real(_) | Value::Truth(_) => Err(Fault::Number(column.name())),
        }
    }

    /// A number of at most 65,535; 0 where nothing is said.
    pub(super) fn small(&self, column: Column) -> Result<u16, Fault> {
        let count = self.count(column)?.unwrap_or_default();
        u16::try_from(count).map_err(|_| Fault::Number(column.name()))
    }

    pub(super) fn time(&self) -> Result<(Timestamp, Zone), Fault> {
        let utc = |time| (time, Zone::UTC);
        let time = match self.value(Column::Time) {
            Value::Text(text) => seconds(text).map(Timestamp).map(utc).or_else(|| iso(text)),
            #[expect(clippy::cast_precision_loss, reason = "times up to the year 2255 are exact")]
            Value::Count(count) => number(count as f64).map(utc),
            Value::Real(real) => number(real).map(utc),
            Value::Unset | Value::Truth(_) => None,
        };
        time.ok_or(Fault::Time(Column::Time.name()))
    }

    /// In microseconds.
    pub(super) fn span(&self, column: Column) -> Result<Option<u64>, Fault> {
        let span = match self.value(column) {
            Value::Unset => return Ok(None),
            Value::Text(text) => seconds(text),
            Value::Count(count) => count.checked_mul(1_000_000),
            Value::Real(real) => microseconds(real * 1e6),
            Value::Truth(_) => None,
        };
        span.map(Some).ok_or(Fault::Number(column.name()))
    }

    /// Whether it is said to be false.
    pub(super) fn denies(&self, column: Column) -> bool {
        matches!(self.value(column), Value::Truth(false) | Value::Text("F"))
    }
}

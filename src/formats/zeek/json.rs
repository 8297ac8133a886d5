use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::formats::text::Scratch;
use crate::formats::{Fault, Told};

use super::column::{Column, Log};
use super::event;
use super::row::{Row, Value};

pub(in crate::formats) fn read<'a>(text: &'a str, line: u64, scratch: &mut Scratch<'a>) -> Result<Told<'a>, Fault> {
    let mut row = Row::default();
    let mut json = serde_json::Deserializer::from_str(text);
    Object { row: &mut row, scratch }.deserialize(&mut json).and_then(|()| json.end()).map_err(|_| Fault::Json)?;
    if !row.has(Column::Time) && !row.has(Column::Path) {
        return Err(Fault::Unknown);
    }
    let log = Log::of(row.text(Column::Path), |column| row.has(column));
    // What has no value is not there at all.
    log.check(|column| row.has(column) || MAY_LACK.contains(&column))?;
    event::told(&row, log, line, scratch)
}

/// Columns of a log that lines of it need not have a value in.
const MAY_LACK: [Column; 4] = [Column::Method, Column::Host, Column::Uri, Column::ServerName];

/// The object of a line, whose values go into a row.
struct Object<'r, 'a> {
    row: &'r mut Row<'a>,
    scratch: &'r mut Scratch<'a>,
}

impl<'de> DeserializeSeed<'de> for Object<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(column) = map.next_key_seed(Key)? {
            match column {
                Some(column) => {
                    let value = map.next_value_seed(One { scratch: self.scratch })?;
                    self.row.set(column, value);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<Column>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<Column>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Column::of(name))
    }
}

/// A value: of an array the first one, of an object none.
struct One<'r, 'a> {
    scratch: &'r mut Scratch<'a>,
}

impl<'de> DeserializeSeed<'de> for One<'_, 'de> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for One<'_, 'de> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.scratch.keep(text.bytes()).map(Value::Text).ok_or_else(|| E::custom("text without room"))
    }

    fn visit_u64<E>(self, count: u64) -> Result<Self::Value, E> {
        Ok(Value::Count(count))
    }

    #[expect(clippy::cast_precision_loss, reason = "a negative number is out of every range")]
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Value::Real(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Value::Real(number))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(Value::Truth(truth))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Unset)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let first = array.next_element_seed(One { scratch: self.scratch })?;
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first.unwrap_or_default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Unset)
    }
}

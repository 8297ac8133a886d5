//! What a policy file may say, in one table: editors complete and check by the JSON Schema made of it, and
//! `policy fmt` takes the order of keys from it. Its tests hold it to what the reader reads.

mod tables;

use serde_json::{Map, Value, json};

use tables::ROOT;

/// A table of the file.
#[derive(Debug)]
struct Table {
    about: &'static str,
    keys: &'static [Key],
    /// At least one of these must be there; none listed: any or none.
    one_of: &'static [&'static str],
}

#[derive(Debug)]
struct Key {
    name: &'static str,
    kind: Kind,
    /// Whether a table without it is refused.
    needed: bool,
    about: &'static str,
}

/// What a key's value is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    /// A list of texts, which may be empty.
    Texts,
    /// A list of texts, at least one.
    SomeTexts,
    /// A text, or a list of at least one.
    TextOrSome,
    /// One of these.
    Words(&'static [&'static str]),
    Boolean,
    Integer {
        from: u64,
        to: u64,
    },
    /// A list of integers within these bounds, at least one.
    Integers {
        from: u64,
        to: u64,
    },
    Table(&'static Table),
    /// Tables by names that a person gives.
    Named(&'static Table),
    /// `[[key]]`.
    Tables(&'static Table),
}

/// The JSON Schema (draft 2020-12) of a policy file: one object, two spaces a level, a line's end at the end.
///
/// It knows keys, types, words and bounds; what needs more than one place of the file to judge, such as whether
/// a group is defined, is for [`super::Policy::compile`] alone.
pub fn json_schema() -> String {
    let mut schema = ROOT.schema();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("Sekisho policy"));
    format!("{:#}\n", Value::Object(schema))
}

/// The keys of the table at `path`, in the order in which they are written; none where the schema has no such
/// table. A path is made of the keys that lead to the table; an index into an array is no part of it.
pub(super) fn keys_in_order(path: &[&str]) -> impl Iterator<Item = &'static str> + use<> {
    let table = table_at(path);
    table.map(|table| table.keys).unwrap_or_default().iter().map(|key| key.name)
}

fn table_at(path: &[&str]) -> Option<&'static Table> {
    let mut table = &ROOT;
    let mut path = path.iter();
    while let Some(name) = path.next() {
        match table.keys.iter().find(|key| key.name == *name)?.kind {
            Kind::Table(inner) | Kind::Tables(inner) => table = inner,
            Kind::Named(inner) => {
                path.next()?;
                table = inner;
            }
            Kind::Text
            | Kind::Texts
            | Kind::SomeTexts
            | Kind::TextOrSome
            | Kind::Words(_)
            | Kind::Boolean
            | Kind::Integer { .. }
            | Kind::Integers { .. } => return None,
        }
    }
    Some(table)
}

impl Table {
    fn schema(&self) -> Map<String, Value> {
        let properties: Map<String, Value> =
            self.keys.iter().map(|key| (key.name.to_owned(), Value::Object(key.schema()))).collect();
        let needed: Vec<&str> = self.keys.iter().filter(|key| key.needed).map(|key| key.name).collect();
        let mut schema = object(json!({
            "description": self.about,
            "type": "object",
            "additionalProperties": false,
            "properties": properties,
        }));
        if !needed.is_empty() {
            schema.insert("required".to_owned(), json!(needed));
        }
        if !self.one_of.is_empty() {
            let any: Vec<Value> = self.one_of.iter().map(|name| json!({ "required": [name] })).collect();
            schema.insert("anyOf".to_owned(), json!(any));
        }
        schema
    }
}

impl Key {
    /// The description of a table's key is that of the key: it says what the table is for here.
    fn schema(&self) -> Map<String, Value> {
        let some = || json!({ "type": "array", "minItems": 1, "items": { "type": "string" } });
        let mut schema = match self.kind {
            Kind::Text => object(json!({ "type": "string" })),
            Kind::Texts => object(json!({ "type": "array", "items": { "type": "string" } })),
            Kind::SomeTexts => object(some()),
            Kind::TextOrSome => object(json!({ "anyOf": [{ "type": "string" }, some()] })),
            Kind::Words(words) => object(json!({ "type": "string", "enum": words })),
            Kind::Boolean => object(json!({ "type": "boolean" })),
            Kind::Integer { from, to } => object(json!({ "type": "integer", "minimum": from, "maximum": to })),
            Kind::Integers { from, to } => {
                let item = json!({ "type": "integer", "minimum": from, "maximum": to });
                object(json!({ "type": "array", "minItems": 1, "items": item }))
            }
            Kind::Table(table) => table.schema(),
            Kind::Named(table) => object(json!({ "type": "object", "additionalProperties": table.schema() })),
            Kind::Tables(table) => object(json!({ "type": "array", "items": table.schema() })),
        };
        schema.insert("description".to_owned(), json!(self.about));
        schema
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests;

//! The layout of a policy file, for `policy fmt`. It moves keys, spaces and comments, and touches no value.
//!
//! One blank line stands between tables. Within a table keys stand in the order of the schema, their values
//! below each other; a list is on one line where that has room, else each element has its own. A comment moves
//! with what it speaks of: the lines above a table, a key or an element, and what follows on its line.

mod sheet;

use crate::parse::{Document, Problem};

use super::schema::keys_in_order;

use sheet::{Entry, Group, Note, Part, Sheet, Value};

/// The longest line that a list is kept on, in characters, a comment behind it not counted.
const COLUMNS_MAX: usize = 100;
/// How much deeper the elements of a list stand.
const INDENT: usize = 4;

/// Lays a policy out evenly: the same tables, keys and values, and all comments. What is laid out already comes
/// back as it is. Whether the policy is right is not asked: unknown keys stand behind the known ones.
///
/// # Errors
/// The text is no TOML; each problem with its place, under the name `file`.
pub fn lay_out(file: &str, text: &str) -> Result<String, Vec<Problem>> {
    let problems = Document::parse(file, text).into_problems();
    if problems.is_empty() { Ok(write_sheet(Sheet::read(text))) } else { Err(problems) }
}

fn write_sheet(sheet: Sheet<'_>) -> String {
    let mut out = String::new();
    write_lines(&mut out, &sheet.opening, 0);
    for part in sheet.parts {
        write_part(&mut out, part);
    }
    if !sheet.end.is_empty() {
        separate(&mut out);
        write_lines(&mut out, &sheet.end, 0);
    }
    out
}

fn write_part(out: &mut String, part: Part<'_>) {
    if part.header.is_none() && part.entries.is_empty() {
        return;
    }
    separate(out);
    write_lines(out, &part.lead, 0);
    let mut path = Vec::new();
    if let Some(header) = &part.header {
        path.extend(header.key.path.iter().copied());
        let brackets = if header.is_array { ("[[", "]]") } else { ("[", "]") };
        let line = format!("{}{}{}", brackets.0, header.key.text, brackets.1);
        write_noted(out, &line, header.note.as_ref());
    }
    let mut entries = part.entries;
    sort(&mut entries, &path);
    let width = entries.iter().map(|entry| chars(entry.key_text())).max().unwrap_or_default();
    for entry in &entries {
        write_lines(out, &entry.lead, 0);
        let start = format!("{:width$} = ", entry.key_text());
        let line = write_value(&entry.value, &inside(&path, entry), &start, 0);
        write_noted(out, &line, entry.note.as_ref());
    }
    write_lines(out, &part.tail, 0);
}

/// One blank line, unless nothing stands above.
fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push('\n');
    }
}

/// Lines of comments; an empty one is a blank line.
fn write_lines(out: &mut String, lines: &[&str], indent: usize) {
    for line in lines {
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent));
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// A line and the comment behind it, which keeps its column where it can: people align them by eye.
fn write_noted(out: &mut String, line: &str, note: Option<&Note<'_>>) {
    out.push_str(line);
    if let Some(note) = note {
        let width = last_line(line);
        let column = if line.contains('\n') { width + 1 } else { note.column.max(width + 1) };
        out.push_str(&" ".repeat(column - width));
        out.push_str(note.text);
    }
    out.push('\n');
}

/// The value behind `start`, with which its line begins.
fn write_value(value: &Value<'_>, path: &[&str], start: &str, indent: usize) -> String {
    let group = match value {
        Value::Plain(text) => return format!("{start}{text}"),
        Value::Group(group) => group,
    };
    if let Some(flat) = flat(value, path).filter(|flat| last_line(start) + chars(flat) <= COLUMNS_MAX) {
        return format!("{start}{flat}");
    }
    if group.is_table && !group.has_comments() {
        // What is between its braces stays on one line, as TOML 1.0 wants it, but for the lists in it.
        let mut line = format!("{start}{{");
        for (number, entry) in sorted(group, path).into_iter().enumerate() {
            let separator = if number == 0 { " " } else { ", " };
            let start = format!("{line}{separator}{} = ", entry.key_text());
            line = write_value(&entry.value, &inside(path, entry), &start, indent);
        }
        return line + " }";
    }
    let (open, close) = group.brackets();
    let mut lines = format!("{start}{open}\n");
    let inner = indent + INDENT;
    for entry in sorted(group, path) {
        write_lines(&mut lines, &entry.lead, inner);
        let key = if group.is_table { format!("{} = ", entry.key_text()) } else { String::new() };
        let start = format!("{}{key}", " ".repeat(inner));
        let line = write_value(&entry.value, &inside(path, entry), &start, inner) + ",";
        write_noted(&mut lines, &line, entry.note.as_ref());
    }
    write_lines(&mut lines, &group.end, inner);
    lines + &" ".repeat(indent) + close
}

/// The value on one line, if it can be: no comment and no text of several lines is in it.
fn flat(value: &Value<'_>, path: &[&str]) -> Option<String> {
    let group = match value {
        Value::Plain(text) => return (!text.contains('\n')).then(|| (*text).to_owned()),
        Value::Group(group) if group.has_comments() => return None,
        Value::Group(group) => group,
    };
    let entries = sorted(group, path).into_iter().map(|entry| {
        let text = flat(&entry.value, &inside(path, entry))?;
        Some(if group.is_table { format!("{} = {text}", entry.key_text()) } else { text })
    });
    let entries = entries.collect::<Option<Vec<_>>>()?.join(", ");
    let (open, close) = group.brackets();
    Some(if group.is_table && !entries.is_empty() {
        format!("{{ {entries} }}")
    } else {
        format!("{open}{entries}{close}")
    })
}

/// The entries of an inline table in their order; elements of a list stay in theirs.
fn sorted<'g, 't>(group: &'g Group<'t>, path: &[&str]) -> Vec<&'g Entry<'t>> {
    let mut entries: Vec<_> = group.entries.iter().collect();
    if group.is_table {
        entries.sort_by_cached_key(|entry| rank(entry, path));
    }
    entries
}

/// Keys that the schema does not know stand behind the others, in the order in which they were written.
fn sort(entries: &mut [Entry<'_>], path: &[&str]) {
    entries.sort_by_cached_key(|entry| rank(entry, path));
}

/// Where a key stands among those of the table at `path`; for a dotted key, level by level.
fn rank(entry: &Entry<'_>, path: &[&str]) -> Vec<usize> {
    let mut path = path.to_vec();
    let mut ranks = Vec::new();
    for name in entry.key.iter().flat_map(|key| &key.path) {
        let Some(rank) = keys_in_order(&path).position(|known| known == *name) else {
            ranks.push(usize::MAX);
            break;
        };
        ranks.push(rank);
        path.push(name);
    }
    ranks
}

/// The path of what the entry holds.
fn inside<'t>(path: &[&'t str], entry: &Entry<'t>) -> Vec<&'t str> {
    path.iter().chain(entry.key.iter().flat_map(|key| &key.path)).copied().collect()
}

fn last_line(text: &str) -> usize {
    chars(text.rsplit('\n').next().unwrap_or_default())
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests;

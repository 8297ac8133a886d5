//! Reading of TOML that reports every problem at once, each with its place and its fix.
//!
//! Policy and config are both read through this, so that neither is read more leniently than the
//! other: unknown keys, wrong types and values out of range are errors, never ignored.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where something stands in a file. Lines and columns count from 1; columns count characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
}

/// One thing wrong with a file, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    pub what: String,
    pub fix: String,
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    pub value: T,
    pub place: Place,
}

/// Problems beyond this many are not collected: nobody reads them, and a hostile file could make
/// millions.
const PROBLEMS_MAX: usize = 100;

/// A file being read.
pub struct Document<'t> {
    file: Arc<str>,
    text: &'t str,
    root: Spanned<DeTable<'t>>,
    /// Where each line begins.
    lines: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

/// A table of the file, which remembers the keys that were asked for.
pub struct Section<'d, 't> {
    document: &'d Document<'t>,
    table: &'d DeTable<'t>,
    place: Place,
    known: Vec<&'static str>,
}

impl<'t> Document<'t> {
    /// Parses `text`; what is no TOML is a problem, and what is left of it can be read all the same.
    pub fn parse(file: &str, text: &'t str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Document { file: file.into(), text, root, lines, problems: RefCell::default() };
        for error in errors {
            let place = document.place(error.span().map_or(0, |span| span.start));
            document.problem(place, format!("not TOML: {}", error.message()), "mend the syntax here");
        }
        document
    }

    /// The table of the whole file. The reader of the section must call [`Section::finish`] on it.
    pub fn root(&self) -> Section<'_, 't> {
        Section { document: self, table: self.root.get_ref(), place: self.place(0), known: Vec::new() }
    }

    /// Whether anything in the file was found wrong so far.
    pub fn has_problems(&self) -> bool {
        !self.problems.borrow().is_empty()
    }

    /// All that was found wrong, in the order in which it stands in the file.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        // A file that several tables name has each problem once.
        problems.dedup();
        problems
    }

    /// Parses `text` and hands its root table to `read`; returns what `read` made of it, or all
    /// problems in the order in which they stand in the file.
    pub fn read<T>(
        file: &str,
        text: &'t str,
        read: impl for<'d> FnOnce(&mut Section<'d, 't>) -> Option<T>,
    ) -> Result<T, Vec<Problem>> {
        let document = Self::parse(file, text);
        let mut section = document.root();
        let made = read(&mut section);
        section.finish();
        let problems = document.into_problems();
        match made {
            Some(made) if problems.is_empty() => Ok(made),
            _ => Err(problems),
        }
    }

    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = self.lines.partition_point(|start| *start <= before.len());
        let line_start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
        Place {
            file: self.file.clone(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    fn problem(&self, place: Place, what: String, fix: impl Into<String>) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < PROBLEMS_MAX {
            problems.push(Problem { place, what, fix: fix.into() });
        }
    }
}

impl<'d, 't> Section<'d, 't> {
    /// Where this table begins.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Reports something the types alone do not show.
    pub fn problem(&self, place: &Place, what: impl Into<String>, fix: impl Into<String>) {
        self.document.problem(place.clone(), what.into(), fix);
    }

    /// Whether the key stands in the table, whatever its value.
    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Takes a key as known without reading it.
    pub fn ignore(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// Reports a list that is not there or holds nothing; `example` is how one is written.
    pub fn need_some(&self, key: &str, example: &str) {
        let (place, what) = match self.table.get(key) {
            None => (self.place.clone(), format!("`{key}` is missing")),
            Some(value) if value.get_ref().as_array().is_some_and(|list| list.is_empty()) => {
                (self.place_of(value), format!("`{key}` is empty"))
            }
            Some(_) => return,
        };
        self.problem(&place, what, format!("write {key} = {example}"));
    }

    /// Where the value of a key stands, if the key is there.
    pub fn place_of_key(&self, key: &str) -> Option<Place> {
        self.table.get(key).map(|value| self.place_of(value))
    }

    fn take(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table.get(key)
    }

    fn place_of(&self, value: &Spanned<DeValue<'t>>) -> Place {
        self.document.place(value.span().start)
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'t>>, wanted: &str) {
        let found = value.get_ref().type_str();
        let place = self.place_of(value);
        let article = if matches!(found, "integer" | "array") { "an" } else { "a" };
        self.document.problem(place, format!("`{key}` is {article} {found}"), format!("write {wanted}"));
    }

    /// A string.
    pub fn string(&mut self, key: &'static str) -> Option<Placed<String>> {
        let value = self.take(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(Placed { value: text.to_owned(), place: self.place_of(value) }),
            None => {
                self.wrong(key, value, "a string in quotes");
                None
            }
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.string(key)?;
        if let Some((_, found)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*found);
        }
        let all: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let fix = did_you_mean(&text.value, words.iter().map(|(word, _)| *word))
            .unwrap_or_else(|| format!("write one of {}", all.join(", ")));
        self.problem(&text.place, format!("`{key}` cannot be {:?}", text.value), fix);
        None
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            self.wrong(key, value, "true or false, without quotes");
        }
        found
    }

    /// An integer within bounds.
    pub fn integer(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let value = self.take(key)?;
        self.integer_in(key, value, &bounds)
    }

    fn integer_in(&self, key: &str, value: &Spanned<DeValue<'t>>, bounds: &RangeInclusive<u64>) -> Option<u64> {
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong(key, value, "a whole number, without quotes");
            return None;
        };
        let found = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        match found {
            Some(number) if bounds.contains(&number) => Some(number),
            _ => {
                self.problem(
                    &self.place_of(value),
                    format!("`{key}` = {} is out of range", integer.as_str()),
                    format!("write a number from {} to {}", bounds.start(), bounds.end()),
                );
                None
            }
        }
    }

    fn array(&mut self, key: &'static str, wanted: &str) -> Option<&'d [Spanned<DeValue<'t>>]> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::Array(array) => Some(array),
            _ => {
                self.wrong(key, value, wanted);
                None
            }
        }
    }

    /// A list of strings; absent and wrong are both `None`, the latter reported.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<Placed<String>>> {
        let array = self.array(key, "a list of strings: [\"…\"]")?;
        let mut strings = Vec::with_capacity(array.len());
        for value in array {
            match value.get_ref().as_str() {
                Some(text) => {
                    strings.push(Placed { value: text.to_owned(), place: self.place_of(value) });
                }
                None => self.wrong(key, value, "a string in quotes"),
            }
        }
        Some(strings)
    }

    /// A list of lists of strings.
    pub fn lists(&mut self, key: &'static str) -> Option<Vec<Vec<String>>> {
        let array = self.array(key, "a list of lists of strings: [[\"…\"]]")?;
        let mut lists = Vec::with_capacity(array.len());
        for value in array {
            let texts = value.get_ref().as_array().map(|inner| {
                inner.iter().map(|text| text.get_ref().as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            });
            match texts.flatten() {
                Some(texts) => lists.push(texts),
                None => self.wrong(key, value, "a list of strings: [\"…\"]"),
            }
        }
        Some(lists)
    }

    /// A list of strings, or a single one.
    pub fn strings_or_one(&mut self, key: &'static str) -> Option<Vec<Placed<String>>> {
        match self.take(key)?.get_ref() {
            DeValue::String(_) => self.string(key).map(|text| vec![text]),
            _ => self.strings(key),
        }
    }

    /// A list of integers within bounds.
    pub fn integers(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<Vec<u64>> {
        let array = self.array(key, "a list of whole numbers: [443]")?;
        Some(array.iter().filter_map(|value| self.integer_in(key, value, &bounds)).collect())
    }

    /// A list of whole numbers and strings, each as a text.
    pub fn numbers_or_strings(&mut self, key: &'static str) -> Option<Vec<Placed<String>>> {
        let array = self.array(key, "a list of numbers and strings: [443, \"…\"]")?;
        let mut texts = Vec::with_capacity(array.len());
        for value in array {
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string(),
                _ => {
                    self.wrong(key, value, "a whole number, or a string in quotes");
                    continue;
                }
            };
            texts.push(Placed { value: text, place: self.place_of(value) });
        }
        Some(texts)
    }

    fn section(&self, key: &str, value: &'d Spanned<DeValue<'t>>) -> Option<Section<'d, 't>> {
        match value.get_ref() {
            DeValue::Table(table) => {
                Some(Section { document: self.document, table, place: self.place_of(value), known: Vec::new() })
            }
            _ => {
                self.wrong(key, value, &format!("a table: [{key}]"));
                None
            }
        }
    }

    /// A table. The reader of the section must call [`Section::finish`] on it.
    pub fn table(&mut self, key: &'static str) -> Option<Section<'d, 't>> {
        let value = self.take(key)?;
        self.section(key, value)
    }

    /// An array of tables (`[[key]]`), in order.
    pub fn tables(&mut self, key: &'static str) -> Vec<Section<'d, 't>> {
        let Some(array) = self.array(key, &format!("an array of tables: [[{key}]]")) else {
            return Vec::new();
        };
        array.iter().filter_map(|value| self.section(key, value)).collect()
    }

    /// The tables below a table, by the names a person gave them.
    pub fn named_tables(&mut self, key: &'static str) -> Vec<(Placed<String>, Section<'d, 't>)> {
        let Some(mut outer) = self.table(key) else { return Vec::new() };
        let table = outer.table;
        outer.known.clear();
        table
            .iter()
            .filter_map(|(name, value)| {
                let place = self.document.place(name.span().start);
                let inner = outer.section(name.get_ref(), value)?;
                Some((Placed { value: name.get_ref().to_string(), place }, inner))
            })
            .collect()
    }

    /// Reports every key of this table that nobody asked for.
    pub fn finish(&self) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let fix = did_you_mean(name, self.known.iter().copied())
                .unwrap_or_else(|| format!("known here: {}", self.known.join(", ")));
            let place = self.document.place(key.span().start);
            self.document.problem(place, format!("unknown key `{name}`"), fix);
        }
    }
}

/// The known word that is most like this one, as a fix for a problem.
pub fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 2.min(candidate.len() / 2))
        .min()
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    fix: {}", self.place, self.what, self.fix)
    }
}

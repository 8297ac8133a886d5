use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};

/// A file as it is laid out: what stands in which order, and which comment belongs to what. Values are text.
#[derive(Debug)]
pub(super) struct Sheet<'t> {
    /// What the file says of itself before its first key: lines of comments, an empty one for a blank line.
    pub(super) opening: Vec<&'t str>,
    /// The keys before the first header, then each table, in the order of the file.
    pub(super) parts: Vec<Part<'t>>,
    /// Comments behind all tables.
    pub(super) end: Vec<&'t str>,
}

/// A header and what stands below it.
#[derive(Debug, Default)]
pub(super) struct Part<'t> {
    pub(super) lead: Vec<&'t str>,
    /// None for the keys before all headers.
    pub(super) header: Option<Header<'t>>,
    pub(super) entries: Vec<Entry<'t>>,
    /// Comments right below the last key that are none of the next table's.
    pub(super) tail: Vec<&'t str>,
}

#[derive(Debug)]
pub(super) struct Header<'t> {
    pub(super) key: Key<'t>,
    pub(super) is_array: bool,
    pub(super) note: Option<Note<'t>>,
}

/// A key and its value, or an element of a list.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    pub(super) lead: Vec<&'t str>,
    /// An element of a list has none.
    pub(super) key: Option<Key<'t>>,
    pub(super) value: Value<'t>,
    pub(super) note: Option<Note<'t>>,
}

#[derive(Debug)]
pub(super) struct Key<'t> {
    /// As it is written, without spaces around its dots.
    pub(super) text: String,
    /// Its names, without quotes.
    pub(super) path: Vec<&'t str>,
}

#[derive(Debug)]
pub(super) enum Value<'t> {
    Plain(&'t str),
    Group(Group<'t>),
}

/// A list or an inline table.
#[derive(Debug)]
pub(super) struct Group<'t> {
    pub(super) is_table: bool,
    pub(super) entries: Vec<Entry<'t>>,
    /// Comments behind the last of them.
    pub(super) end: Vec<&'t str>,
}

/// A comment at the end of a line.
#[derive(Debug)]
pub(super) struct Note<'t> {
    pub(super) text: &'t str,
    /// Where it begins, counted in characters from 0.
    pub(super) column: usize,
}

impl Entry<'_> {
    pub(super) fn key_text(&self) -> &str {
        self.key.as_ref().map_or("", |key| &key.text)
    }
}

impl Group<'_> {
    /// Whether comments stand right in it; those of groups within are not counted.
    pub(super) fn has_comments(&self) -> bool {
        !self.end.is_empty() || self.entries.iter().any(|entry| !entry.lead.is_empty() || entry.note.is_some())
    }

    pub(super) fn brackets(&self) -> (&'static str, &'static str) {
        if self.is_table { ("{", "}") } else { ("[", "]") }
    }
}

impl<'t> Sheet<'t> {
    /// Reads what the TOML parser has taken; of other text it makes something or other.
    pub(super) fn read(text: &'t str) -> Self {
        let mut reader = Reader { text, tokens: Source::new(text).lex().collect(), at: 0 };
        let mut sheet = Self { opening: Vec::new(), parts: Vec::new(), end: Vec::new() };
        let mut part = Part::default();
        let mut lines = Vec::new();
        loop {
            reader.skip_spaces();
            match reader.kind() {
                Kind::End => break,
                Kind::Newline => {
                    lines.push("");
                    reader.next();
                }
                Kind::Comment => {
                    lines.push(reader.next().trim_end());
                    reader.end_line();
                }
                Kind::Open { is_table: false } => {
                    part.tail = part.take_tail(&mut lines, false);
                    let lead = tidy(&mut lines);
                    let header = reader.header();
                    sheet.parts.push(std::mem::take(&mut part));
                    part = Part { lead, header: Some(header), ..Part::default() };
                }
                Kind::Text
                | Kind::Dot
                | Kind::Equals
                | Kind::Comma
                | Kind::Open { is_table: true }
                | Kind::Close
                | Kind::Space => {
                    if part.is_untouched() {
                        // Only the lines right above the first key are that key's.
                        let own = lines.iter().rposition(|line| line.is_empty()).map_or(0, |blank| blank + 1);
                        sheet.opening = tidy_all(&mut lines.drain(..own).collect());
                    }
                    let lead = tidy(&mut lines);
                    let mut entry = reader.entry(true);
                    entry.lead = lead;
                    entry.note = reader.note();
                    reader.end_line();
                    part.entries.push(entry);
                }
            }
        }
        part.tail = part.take_tail(&mut lines, true);
        sheet.parts.push(part);
        sheet.end = tidy_all(&mut lines);
        sheet
    }
}

impl<'t> Part<'t> {
    fn is_untouched(&self) -> bool {
        self.header.is_none() && self.entries.is_empty()
    }

    /// Of the lines behind its last key those that are its own: right below it, and not right above what comes
    /// next.
    fn take_tail(&self, lines: &mut Vec<&'t str>, is_end: bool) -> Vec<&'t str> {
        let own = match lines.iter().position(|line| line.is_empty()) {
            Some(blank) => blank,
            None if is_end => lines.len(),
            None => 0,
        };
        if self.is_untouched() { Vec::new() } else { lines.drain(..own).collect() }
    }
}

/// Takes the lines, without blank ones before the first comment and with one where several follow each other.
fn tidy<'t>(lines: &mut Vec<&'t str>) -> Vec<&'t str> {
    let mut tidied: Vec<&str> = Vec::with_capacity(lines.len());
    for line in lines.drain(..) {
        if !line.is_empty() || tidied.last().is_some_and(|last| !last.is_empty()) {
            tidied.push(line);
        }
    }
    tidied
}

/// The same, without blank lines at the end.
fn tidy_all<'t>(lines: &mut Vec<&'t str>) -> Vec<&'t str> {
    let mut tidied = tidy(lines);
    tidied.pop_if(|last| last.is_empty());
    tidied
}

/// What a token is to the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A key's name, or a piece of a value.
    Text,
    Dot,
    Equals,
    Comma,
    /// `[` or, of a table, `{`.
    Open {
        is_table: bool,
    },
    Close,
    Space,
    Comment,
    Newline,
    End,
}

impl Kind {
    fn of(kind: TokenKind) -> Self {
        match kind {
            TokenKind::Dot => Self::Dot,
            TokenKind::Equals => Self::Equals,
            TokenKind::Comma => Self::Comma,
            TokenKind::LeftSquareBracket => Self::Open { is_table: false },
            TokenKind::LeftCurlyBracket => Self::Open { is_table: true },
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => Self::Close,
            TokenKind::Whitespace => Self::Space,
            TokenKind::Comment => Self::Comment,
            TokenKind::Newline => Self::Newline,
            TokenKind::LiteralString
            | TokenKind::BasicString
            | TokenKind::MlLiteralString
            | TokenKind::MlBasicString
            | TokenKind::Atom => Self::Text,
            TokenKind::Eof => Self::End,
        }
    }
}

/// Tokens of a text; the last is [`Kind::End`], and nothing goes beyond it.
struct Reader<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
}

impl<'t> Reader<'t> {
    fn kind(&self) -> Kind {
        self.tokens.get(self.at).map_or(Kind::End, |token| Kind::of(token.kind()))
    }

    /// Where the next token begins.
    fn start(&self) -> usize {
        self.tokens.get(self.at).map_or(self.text.len(), |token| token.span().start())
    }

    /// The text of the next token, which is taken.
    fn next(&mut self) -> &'t str {
        let Some(token) = self.tokens.get(self.at) else { return "" };
        self.at += 1;
        self.text.get(token.span().start()..token.span().end()).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        while self.kind() == Kind::Space {
            self.next();
        }
    }

    fn end_line(&mut self) {
        self.skip_spaces();
        if self.kind() == Kind::Newline {
            self.next();
        }
    }

    /// The comment that comes next on this line.
    fn note(&mut self) -> Option<Note<'t>> {
        self.skip_spaces();
        if self.kind() != Kind::Comment {
            return None;
        }
        let before = self.text.get(..self.start()).unwrap_or_default();
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        Some(Note { text: self.next().trim_end(), column })
    }

    fn header(&mut self) -> Header<'t> {
        let mut brackets = 0;
        while self.kind() == (Kind::Open { is_table: false }) {
            brackets += 1;
            self.next();
        }
        let key = self.key();
        while self.kind() == Kind::Close {
            self.next();
        }
        let note = self.note();
        self.end_line();
        Header { key, is_array: brackets > 1, note }
    }

    /// A key with its dots, and the spaces behind it.
    fn key(&mut self) -> Key<'t> {
        let mut key = Key { text: String::new(), path: Vec::new() };
        loop {
            self.skip_spaces();
            match self.kind() {
                Kind::Dot => key.text.push_str(self.next()),
                Kind::Text => {
                    let name = self.next();
                    key.text.push_str(name);
                    key.path.push(name.trim_matches(['"', '\'']));
                }
                Kind::Equals
                | Kind::Comma
                | Kind::Open { .. }
                | Kind::Close
                | Kind::Space
                | Kind::Comment
                | Kind::Newline
                | Kind::End => return key,
            }
        }
    }

    /// A value, with the key before it if it has one.
    fn entry(&mut self, has_key: bool) -> Entry<'t> {
        let before = self.at;
        let key = has_key.then(|| self.key());
        if has_key && self.kind() == Kind::Equals {
            self.next();
        }
        let value = self.value();
        if self.at == before {
            // What begins no entry is passed over, or it would be read for ever.
            self.next();
        }
        Entry { lead: Vec::new(), key, value, note: None }
    }

    fn value(&mut self) -> Value<'t> {
        self.skip_spaces();
        let start = self.start();
        loop {
            match self.kind() {
                Kind::Open { is_table } if self.start() == start => return Value::Group(self.group(is_table)),
                Kind::Comma | Kind::Close | Kind::Comment | Kind::Newline | Kind::End => break,
                Kind::Text | Kind::Dot | Kind::Equals | Kind::Open { .. } | Kind::Space => {
                    self.next();
                }
            }
        }
        Value::Plain(self.text.get(start..self.start()).unwrap_or_default().trim_end_matches([' ', '\t']))
    }

    /// A list or an inline table, which the next token opens. How deep they may lie in each other, the TOML
    /// parser has bounded.
    fn group(&mut self, is_table: bool) -> Group<'t> {
        self.next();
        let mut group = Group { is_table, entries: Vec::new(), end: Vec::new() };
        let mut lead = Vec::new();
        let mut on_new_line = false;
        loop {
            self.skip_spaces();
            match self.kind() {
                Kind::Newline => {
                    on_new_line = true;
                    self.next();
                }
                Kind::Comma => {
                    self.next();
                }
                Kind::Comment => {
                    let last = group.entries.last_mut().filter(|last| !on_new_line && last.note.is_none());
                    match last {
                        Some(last) => last.note = self.note(),
                        None => lead.push(self.next().trim_end()),
                    }
                }
                Kind::Close => {
                    self.next();
                    break;
                }
                Kind::End => break,
                Kind::Text | Kind::Dot | Kind::Equals | Kind::Open { .. } | Kind::Space => {
                    let entry = self.entry(is_table);
                    group.entries.push(Entry { lead: std::mem::take(&mut lead), ..entry });
                    on_new_line = false;
                }
            }
        }
        group.end = lead;
        group
    }
}

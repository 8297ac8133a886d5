use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::facts::Host;

/// What a list of indicators says, each once, with the line it stands on first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indicators {
    pub all: Vec<Indicator>,
    pub not_understood: Vec<NotUnderstood>,
    /// Indicators beyond the bound, which were not taken.
    pub beyond: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Indicator {
    pub line: usize,
    pub value: Value,
}

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// And all below it.
    Host(String),
    Address(IpAddr),
    Prefix(IpNet),
    /// The path without its query; the query, where there is one, without its mark.
    Url {
        host: String,
        port: Option<u16>,
        path: String,
        query: Option<String>,
    },
    Ja4(String),
    /// In lower case.
    Sha256(String),
}

/// A line in which nothing to look for was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotUnderstood {
    pub line: usize,
    /// Its beginning.
    pub text: String,
}

/// Indicators of one list, at most.
const INDICATORS_MAX: usize = 1_000_000;
/// Lines that are told of, at most.
const NOT_UNDERSTOOD_MAX: usize = 10_000;
/// Characters of such a line.
const TEXT_CHARS_MAX: usize = 120;
/// A longer cell is no indicator.
const CELL_BYTES_MAX: usize = 8192;

impl Value {
    /// As a person would write it.
    pub fn in_words(&self) -> String {
        match self {
            Value::Host(host) | Value::Ja4(host) | Value::Sha256(host) => host.clone(),
            Value::Address(address) => address.to_string(),
            Value::Prefix(prefix) => prefix.to_string(),
            Value::Url { host, port, path, query } => {
                let port = port.map_or(String::new(), |port| format!(":{port}"));
                format!("{host}{port}{path}{}", if query.is_some() { "?…" } else { "" })
            }
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Value::Host(_) => "host",
            Value::Address(_) => "address",
            Value::Prefix(_) => "prefix",
            Value::Url { .. } => "url",
            Value::Ja4(_) => "ja4",
            Value::Sha256(_) => "sha256",
        }
    }
}

impl Indicators {
    /// Reads a list: an indicator a line, or cells of CSV (also by `;` or tabs), plain or defanged. `#` begins a comment.
    /// Of a line with several cells those count that are indicators; the others are taken for what is said of them. A line
    /// without any is not understood, but for the first, which may be the head of a table. Nothing in it fails the list.
    pub fn read(text: &str) -> Self {
        let mut indicators = Self::default();
        let mut known: BTreeMap<Value, ()> = BTreeMap::new();
        let mut is_head = true;
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line_number = number + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || line.starts_with("//") {
                continue;
            }
            let cells = cells(line);
            let of_line: Vec<Value> = cells.iter().filter_map(|cell| value(cell)).collect();
            let may_be_head = std::mem::take(&mut is_head) && cells.len() > 1;
            if of_line.is_empty() && !may_be_head {
                if indicators.not_understood.len() < NOT_UNDERSTOOD_MAX {
                    let text = line.chars().take(TEXT_CHARS_MAX).collect();
                    indicators.not_understood.push(NotUnderstood { line: line_number, text });
                } else {
                    indicators.beyond += 1;
                }
            }
            for value in of_line {
                if known.contains_key(&value) {
                    continue;
                }
                if indicators.all.len() >= INDICATORS_MAX {
                    indicators.beyond += 1;
                    continue;
                }
                known.insert(value.clone(), ());
                indicators.all.push(Indicator { line: line_number, value });
            }
        }
        indicators
    }
}

/// The cells of a line; a comment behind white space ends a line that has one cell.
fn cells(line: &str) -> Vec<String> {
    let separator = [',', '\t', ';'].into_iter().find(|separator| line.contains(*separator));
    let Some(separator) = separator else {
        let end = line.find(" #").or_else(|| line.find("\t#")).unwrap_or(line.len());
        let plain = line.get(..end).unwrap_or(line);
        return vec![unquoted(plain).to_owned()];
    };
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            other if other == separator && !quoted => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    cells.push(cell);
    // A URL may hold the separator: then the whole line is one cell.
    if cells.len() > 1
        && has_scheme(line)
        && !line.contains(['"', '\t'])
        && cells.get(1).is_some_and(|next| value(next).is_none() && !next.starts_with(' '))
        && value(line).is_some()
        && line.split_whitespace().count() == 1
    {
        return vec![line.to_owned()];
    }
    cells.iter().map(|cell| unquoted(cell).to_owned()).collect()
}

fn has_scheme(text: &str) -> bool {
    let text = refanged(text.trim());
    text.starts_with("http://") || text.starts_with("https://")
}

fn unquoted(cell: &str) -> &str {
    cell.trim().trim_matches(['"', '\'', '`', '<', '>']).trim()
}

/// What one cell is, if it is anything.
fn value(cell: &str) -> Option<Value> {
    let cell = unquoted(cell);
    if cell.is_empty()
        || cell.len() > CELL_BYTES_MAX
        || cell.contains(char::is_whitespace) && !cell.contains(['(', '[', '{'])
    {
        return None;
    }
    let text = refanged(cell);
    if text.contains(char::is_whitespace) {
        return None;
    }
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(Value::Sha256(text.to_ascii_lowercase()));
    }
    if is_ja4(&text) {
        return Some(Value::Ja4(text));
    }
    if let Some((_, rest)) = text.split_once("://") {
        let is_web = ["http://", "https://", "ws://", "wss://", "ftp://"].iter().any(|scheme| text.starts_with(scheme));
        return is_web.then(|| url(rest)).flatten();
    }
    if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Some(Value::Address(address.to_canonical()));
    }
    if let Ok(prefix) = text.parse::<IpNet>() {
        return Some(Value::Prefix(prefix.trunc()));
    }
    // A host with a path or port and no scheme.
    if text.contains('/') {
        let (authority, path) = text.split_once('/')?;
        // An address and a number is a prefix that cannot be one.
        let is_prefix = authority.parse::<IpAddr>().is_ok() && path.bytes().all(|byte| byte.is_ascii_digit());
        return (authority.contains('.') && !is_prefix).then(|| url(&text)).flatten();
    }
    if let Some((host, port)) = text.rsplit_once(':') {
        port.parse::<u16>().ok()?;
        return value(host).filter(|value| matches!(value, Value::Host(_) | Value::Address(_)));
    }
    let text = text.strip_prefix("*.").unwrap_or(&text);
    // An address of mail is none to look for here.
    if text.contains('@') {
        return None;
    }
    host(text)
}

/// `rest` is a URL behind its scheme.
fn url(rest: &str) -> Option<Value> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port.parse::<u16>().ok()?)),
        Some(_) | None => (authority, None),
    };
    let whole = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let (path, query) = whole.split_once('?').map_or((whole, None), |(path, query)| (path, Some(query.to_owned())));
    let named = match value(name)? {
        Value::Host(host) => host,
        Value::Address(address) => address.to_string(),
        Value::Prefix(_) | Value::Url { .. } | Value::Ja4(_) | Value::Sha256(_) => return None,
    };
    if path.trim_matches('/').is_empty() && query.is_none() {
        // It names nothing but its host.
        return value(name);
    }
    let path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
    Some(Value::Url { host: named, port, path, query })
}

/// A name with a dot and a top label that is no number; a word alone is text.
fn host(text: &str) -> Option<Value> {
    let text = text.trim_end_matches('.');
    // People write names in their own script; records have A-labels.
    let name = if text.is_ascii() { text.to_owned() } else { idna::domain_to_ascii(text).ok()? };
    let top = name.rsplit_once('.')?.1;
    if top.len() < 2 || top.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match Host::parse(name.as_bytes()).ok()? {
        Host::Name(name) => Some(Value::Host(name.as_str().to_owned())),
        Host::V4(_) | Host::V6(_) => None,
    }
}

/// Three parts as in `t13d1516h2_8daaf6152771_02713d6af862` (FoxIO, "JA4: TLS Client Fingerprinting").
fn is_ja4(text: &str) -> bool {
    let parts: Vec<&str> = text.split('_').collect();
    let [a, b, c] = parts.as_slice() else { return false };
    let is_hash = |part: &str| part.len() == 12 && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    a.len() == 10
        && a.starts_with(['t', 'q', 'd'])
        && a.bytes().all(|b| b.is_ascii_alphanumeric())
        && is_hash(b)
        && is_hash(c)
}

/// What is written so that nobody follows it, as it was: `hxxp`, `[.]`, `(dot)`, `[:]`, `[at]` and their like.
fn refanged(cell: &str) -> String {
    let mut text = cell.to_owned();
    for (dot, meant) in
        [("dot", "."), ("at", "@"), (".", "."), (":", ":"), ("://", "://"), ("/", "/"), ("@", "@"), (",", ".")]
    {
        for (open, close) in [('[', ']'), ('(', ')'), ('{', '}')] {
            text = replaced(&text, &format!("{open}{dot}{close}"), meant);
        }
    }
    // `a[.example` and `a\.example` are seen too; an address of IPv6 in brackets stays.
    text = text.replace("\\.", ".").replace("[.", ".").replace(".]", ".");
    let lower = text.to_ascii_lowercase();
    for (written, meant) in [
        ("hxxps", "https"),
        ("hxxp", "http"),
        ("hxtps", "https"),
        ("hxtp", "http"),
        ("htxps", "https"),
        ("htxp", "http"),
        ("meows", "https"),
        ("meow", "http"),
        ("https", "https"),
        ("http", "http"),
        ("fxp", "ftp"),
    ] {
        if let (true, Some(rest)) = (lower.starts_with(written), text.get(written.len()..))
            && (rest.starts_with("://") || rest.starts_with(":\\\\") || rest.starts_with("__"))
        {
            return format!("{meant}://{}", rest.get(if rest.starts_with("__") { 2 } else { 3 }..).unwrap_or_default());
        }
    }
    text
}

/// Without the case of ASCII letters, and with white space around what is replaced.
fn replaced(text: &str, written: &str, meant: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if !lower.contains(written) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(at) = lower.get(from..).and_then(|rest| rest.find(written)) {
        let before = text.get(from..from + at).unwrap_or_default();
        out.push_str(before.trim_end_matches(' '));
        out.push_str(meant);
        from += at + written.len();
        let rest = text.get(from..).unwrap_or_default();
        from += rest.len() - rest.trim_start_matches(' ').len();
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests;

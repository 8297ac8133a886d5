//! The file of payloads, and the two ways of sending each.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use crate::strict::find;

/// One request, or several, that some server misread.
pub(crate) struct Payload {
    /// Its place in the file, from 1.
    pub(crate) number: usize,
    section: String,
    n: u64,
    title: String,
    bytes: Vec<u8>,
}

/// How a payload is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    AsIs,
    /// With its target in absolute form and Host to match, as a proxy expects it.
    Absolute,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Way::AsIs => "as is",
            Way::Absolute => "absolute",
        }
    }
}

/// Reads a file of payloads.
pub(crate) fn read(path: &Path) -> Result<Vec<Payload>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    let entries: Vec<Value> = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    if entries.is_empty() {
        return Err(failed(&"no payloads"));
    }
    let mut payloads = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let bytes = match entry["payload_escaped"].as_str() {
            Some(escaped) => unescaped(escaped).ok_or_else(|| failed(&format!("entry {}: bad escape", index + 1)))?,
            None => b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        };
        let n = entry["n"].as_u64().unwrap_or_default();
        payloads.push(Payload { number: index + 1, section: text("section"), n, title: text("title"), bytes });
    }
    Ok(payloads)
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match rest.next()? {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            '0' => 0,
            'x' => {
                let digits: String = rest.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).ok()?
            }
            same @ ('\\' | '"' | '\'') => u8::try_from(same).ok()?,
            _ => return None,
        });
    }
    Some(bytes)
}

impl Payload {
    /// Section, number in it, and the beginning of the title.
    pub(crate) fn name(&self) -> String {
        let name = format!("{} {}: {}", self.section, self.n, self.title);
        match name.char_indices().nth(48) {
            Some(_) => name.chars().take(47).chain(['…']).collect(),
            None => name,
        }
    }

    /// What is sent; `None` where the first line has no target that can be made absolute.
    pub(crate) fn bytes(&self, way: Way, origin: SocketAddr) -> Option<Vec<u8>> {
        match way {
            Way::AsIs => Some(self.bytes.clone()),
            Way::Absolute => absolute(&self.bytes, origin),
        }
    }
}

/// Puts the origin before a target that begins with a slash, and into a Host that is a plain name;
/// adds a Host where there is none. All else stays: it may be the trick.
fn absolute(bytes: &[u8], origin: SocketAddr) -> Option<Vec<u8>> {
    let target = bytes.iter().position(|byte| *byte == b' ')? + 1;
    if bytes.get(target) != Some(&b'/') {
        return None;
    }
    let line_end = find(bytes, b"\r\n")?;
    let head_end = find(bytes, b"\r\n\r\n").unwrap_or(bytes.len());
    let (line, fields, rest) = (&bytes[target..line_end], &bytes[line_end..head_end.max(line_end)], &bytes[head_end..]);
    let authority = origin.to_string();
    let fields = match find(&fields.to_ascii_lowercase(), b"\r\nhost:") {
        None => [b"\r\nHost: ", authority.as_bytes(), fields].concat(),
        Some(at) => {
            let start = at + b"\r\nhost:".len();
            let end = find(&fields[start..], b"\r\n").map_or(fields.len(), |end| start + end);
            let value = fields[start..end].trim_ascii();
            if value.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')) {
                [&fields[..start], b" ", authority.as_bytes(), &fields[end..]].concat()
            } else {
                fields.to_vec()
            }
        }
    };
    Some([&bytes[..target], b"http://", authority.as_bytes(), line, &fields, rest].concat())
}

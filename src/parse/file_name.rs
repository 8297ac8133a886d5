//! The name under which the body of an answer would be saved, and the tricks that such names play.

use super::fields::{Fields, is_token_byte};

/// The name of a file that a client saves the body of an answer under: the origin's, or the last segment of the path.
/// At most 255 bytes of UTF-8, without `/` and `\`, not empty. It is hostile text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    name: Box<str>,
    /// The origin said it in a Content-Disposition.
    pub is_given: bool,
}

/// Of a longer name this much is kept, of its end: there stands what the system goes by.
const NAME_BYTES_MAX: usize = 255;

/// Extensions of what people open to read, in lower case; those of archives, which seem as harmless, too.
const DOCUMENTS: &[&str] = &[
    "pdf", "doc", "docx", "docm", "xls", "xlsx", "xlsm", "ppt", "pptx", "pptm", "rtf", "odt", "ods", "odp", "txt",
    "csv", "eml", "msg", "jtd", "xdw", "hwp", "jpg", "jpeg", "png", "gif", "bmp", "tif", "tiff", "webp", "heic", "mp3",
    "mp4", "avi", "mov", "wav", "zip", "rar", "7z",
];
/// Extensions of what runs when it is opened.
const RUNNABLE: &[&str] = &[
    "exe", "scr", "com", "pif", "bat", "cmd", "ps1", "psm1", "vbs", "vbe", "js", "jse", "wsf", "wsh", "hta", "msi",
    "msp", "cpl", "dll", "jar", "lnk", "url", "scf", "reg", "sh", "py", "command", "app", "apk",
];

impl FileName {
    /// The name by the answer's Content-Disposition: `filename*` before `filename` (RFC 6266 section 4.3), of either
    /// the last part of a path; else the last segment of the path that was asked for, its escapes undone. `None` where
    /// there is neither.
    ///
    /// Of several such fields the first counts. Encoded words (RFC 2047), which some browsers undo, stay as they are.
    pub fn of(answer: &Fields, path: Option<&str>) -> Option<Self> {
        let given = answer.get("content-disposition").and_then(given);
        if let Some(name) = given.and_then(|bytes| kept(&bytes)) {
            return Some(Self { name, is_given: true });
        }
        let segment = path?.rsplit('/').next()?;
        Some(Self { name: kept(&unescaped(segment.as_bytes()))?, is_given: false })
    }

    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Whether it plays one of the tricks that are known here.
    pub fn deceives(&self) -> bool {
        turns_direction(&self.name) || double_extension(&self.name).is_some()
    }
}

/// Whether a name holds characters that turn the direction of what stands behind them, so that `gnp.exe` reads as
/// `exe.png`: embeddings, overrides and isolates (UAX #9, section 2). The marks that names in Arabic and Hebrew have do
/// not count.
pub fn turns_direction(name: &str) -> bool {
    name.contains([
        '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
    ])
}

/// The last two extensions of a name that looks like a document and is run when it is opened: `pdf` and `exe` of
/// `report.pdf.exe`. Spaces and dots at its end do not count, since Windows takes them away, nor do spaces around an
/// extension, which push the last one out of sight.
pub fn double_extension(name: &str) -> Option<(&str, &str)> {
    let padding = |c: char| c == '.' || c.is_whitespace();
    let (before, last) = name.trim_end_matches(padding).rsplit_once('.')?;
    let (stem, first) = before.trim_end_matches(padding).rsplit_once('.')?;
    let (first, last) = (first.trim(), last.trim());
    let is_one_of = |known: &[&str], extension: &str| known.iter().any(|name| extension.eq_ignore_ascii_case(name));
    let is_double = !stem.is_empty() && is_one_of(DOCUMENTS, first) && is_one_of(RUNNABLE, last);
    is_double.then_some((first, last))
}

/// The name that the parameters of a Content-Disposition give, decoded (RFC 6266 section 4.1, RFC 8187 section 3.2).
fn given(value: &[u8]) -> Option<Vec<u8>> {
    let mut plain = None;
    // A first part that is a parameter already stands where the type was left out.
    let starts_at_once = value.iter().find(|byte| matches!(byte, b'=' | b';')) == Some(&b'=');
    let mut rest = if starts_at_once { Some(value) } else { behind(value, b';') };
    while let Some(parameters) = rest {
        let (name, value) = match parameters.iter().position(|byte| matches!(byte, b'=' | b';')) {
            Some(at) if parameters.get(at) == Some(&b'=') => parameters.split_at(at),
            Some(_) => {
                rest = behind(parameters, b';');
                continue;
            }
            None => break,
        };
        let (value, left) = parameter_value(value.get(1..).unwrap_or_default());
        rest = left;
        let name = name.trim_ascii();
        if name.eq_ignore_ascii_case(b"filename*") {
            if let Some(extended) = extended(&value) {
                return Some(extended);
            }
        } else if name.eq_ignore_ascii_case(b"filename") && plain.is_none() {
            plain = Some(value);
        }
    }
    plain
}

/// The value, quoted or not, and what stands behind the semicolon behind it.
fn parameter_value(bytes: &[u8]) -> (Vec<u8>, Option<&[u8]>) {
    let bytes = bytes.trim_ascii_start();
    let Some(quoted) = bytes.strip_prefix(b"\"") else {
        // Not only token bytes: names with spaces are sent bare, and read so.
        let end = bytes.iter().position(|byte| *byte == b';').unwrap_or(bytes.len());
        return (bytes.get(..end).unwrap_or_default().trim_ascii().to_vec(), behind(bytes, b';'));
    };
    let mut value = Vec::new();
    let mut at = 0;
    while let Some(byte) = quoted.get(at) {
        at += 1;
        match byte {
            b'"' => break,
            b'\\' => {
                value.extend(quoted.get(at));
                at += 1;
            }
            byte => value.push(*byte),
        }
    }
    (value, behind(quoted.get(at..).unwrap_or_default(), b';'))
}

fn behind(bytes: &[u8], byte: u8) -> Option<&[u8]> {
    let at = bytes.iter().position(|found| *found == byte)?;
    bytes.get(at + 1..)
}

/// A value as `UTF-8'en'%e2%82%ac`. ISO 8859-1 is passed on as its bytes, which are read as such if they are no UTF-8.
fn extended(value: &[u8]) -> Option<Vec<u8>> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let (charset, language, text) = (parts.next()?, parts.next()?, parts.next()?);
    let is_known = ["utf-8", "iso-8859-1"].iter().any(|known| charset.eq_ignore_ascii_case(known.as_bytes()));
    (is_known && language.iter().all(|byte| is_token_byte(*byte))).then(|| unescaped(text))
}

/// With each `%` and two hexadecimal digits as the byte that they stand for.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.extend(u8::try_from(high * 16 + low));
                at += 3;
            }
            (byte, _, _) => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

/// The last part of what may be a path, as text, cut to what is kept.
fn kept(bytes: &[u8]) -> Option<Box<str>> {
    let last = bytes.rsplit(|byte| *byte == b'/').next()?;
    let text = match str::from_utf8(last) {
        Ok(text) => text.to_owned(),
        Err(_) => last.iter().map(|byte| char::from(*byte)).collect(),
    };
    // In Shift_JIS the second byte of a letter may seem a backslash: then the end of the name is kept.
    let name = text.rsplit('\\').next().unwrap_or_default().trim();
    let start = name.ceil_char_boundary(name.len().saturating_sub(NAME_BYTES_MAX));
    let name = name.get(start..)?;
    (!name.is_empty() && name != "." && name != "..").then(|| name.into())
}

#[cfg(test)]
mod tests;

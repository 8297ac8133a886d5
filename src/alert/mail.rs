use data_encoding::BASE64;

use crate::evidence::shown;

use super::form::Form;
use super::message::Alert;
use super::template::Template;

/// Who writes to whom, in which words.
#[derive(Debug, Clone, Copy)]
pub struct MailParts<'a> {
    /// Addresses that [`is_mail_address`] takes.
    pub from: &'a str,
    pub to: &'a [String],
    pub form: Form,
    pub template: Option<&'a Template>,
    pub subject: Option<&'a Template>,
    pub gate: &'a str,
}

/// Of a subject, in characters.
const SUBJECT_CHARS_MAX: usize = 150;
/// What an encoded word carries, in bytes: 75 characters with all around it (RFC 2047 §2).
const WORD_BYTES_MAX: usize = 45;
/// The first, which has the field's name in front: no line with such a word is longer than 76 characters.
const FIRST_BYTES_MAX: usize = 36;
/// Of a plain subject, so that its line is no longer than it should be (RFC 5322 §2.1.1).
const PLAIN_CHARS_MAX: usize = 66;
/// Of a line of the body (RFC 2045 §6.8).
const LINE_CHARS: usize = 76;
const ADDRESS_BYTES_MAX: usize = 254;

/// Whether it is an address as everybody has one: US-ASCII, an `@`, and nothing that could end it.
pub fn is_mail_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let in_local = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~.-".contains(&b);
    let in_domain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    text.len() <= ADDRESS_BYTES_MAX
        && !local.is_empty()
        && !domain.is_empty()
        && local.bytes().all(in_local)
        && domain.bytes().all(in_domain)
        && [local, domain].iter().all(|part| !part.starts_with('.') && !part.ends_with('.') && !part.contains(".."))
}

/// A whole mail (RFC 5322) in US-ASCII, each line with CRLF behind it: the subject as encoded words where it has other
/// characters (RFC 2047), the body in base64.
pub fn mail_text(parts: MailParts<'_>, alert: &Alert) -> String {
    let MailParts { from, to, form, template, subject, gate } = parts;
    let subject = match subject {
        Some(subject) => subject.fill(alert, gate, str::to_owned),
        None => default_subject(alert),
    };
    let body = form.write(template, alert, gate).lines().collect::<Vec<_>>().join("\r\n");
    let domain = from.rsplit_once('@').map_or("sekisho.invalid", |(_, domain)| domain);
    let name = blake3::hash(format!("{gate} {} {from} {}", alert.id(), to.join(" ")).as_bytes()).to_hex();
    let mut text = format!(
        "Date: {}\r\nFrom: <{from}>\r\nTo: {}\r\nSubject: {}\r\nMessage-ID: <{}@{domain}>\r\n\
         Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: {}\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n",
        date(alert.time),
        to.iter().map(|one| format!("<{one}>")).collect::<Vec<_>>().join(",\r\n "),
        unstructured(&subject),
        name.as_str().get(..32).unwrap_or_default(),
        form.mail_type(),
    );
    let encoded = BASE64.encode(format!("{body}\r\n").as_bytes());
    for line in encoded.as_bytes().chunks(LINE_CHARS) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push_str("\r\n");
    }
    text
}

impl Form {
    fn mail_type(self) -> &'static str {
        match self {
            Self::Text | Self::Cef => "text/plain; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }
}

fn default_subject(alert: &Alert) -> String {
    let (english, japanese) = alert.words();
    let about: Vec<_> = [&alert.client, &alert.target].into_iter().filter(|part| !part.is_empty()).collect();
    let about = about.iter().map(|part| &***part).collect::<Vec<_>>().join(" → ");
    format!("[Sekisho] {} {japanese} / {english} {about}", alert.severity.as_str()).trim_end().to_owned()
}

/// A field's text, as it stands behind its name.
fn unstructured(text: &str) -> String {
    let text: String = shown(text).chars().take(SUBJECT_CHARS_MAX).collect();
    let is_plain = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && !text.contains("=?");
    if is_plain && text.len() <= PLAIN_CHARS_MAX {
        return text;
    }
    let mut words = Vec::new();
    let mut rest = &*text;
    while !rest.is_empty() {
        // No character is parted by two words (RFC 2047 §5).
        let most = if words.is_empty() { FIRST_BYTES_MAX } else { WORD_BYTES_MAX };
        let (word, behind) = rest.split_at(rest.floor_char_boundary(most));
        words.push(format!("=?UTF-8?B?{}?=", BASE64.encode(word.as_bytes())));
        rest = behind;
    }
    words.join("\r\n ")
}

/// As RFC 5322 §3.3 writes it, in UTC.
fn date(micros: u64) -> String {
    let time = i64::try_from(micros).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    time.unwrap_or_default().strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

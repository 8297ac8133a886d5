use std::sync::Arc;

use crate::parse::Section;

/// Fields that one rule may set.
const FIELDS_MAX: usize = 16;
pub(super) const VALUE_BYTES_MAX: usize = 4096;
/// What the gate writes itself, what ends at it, and what shows who somebody is: no rule sets these.
const NOT_SET: [&str; 17] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// A field that is set in every request that a rule lets out, in place of what the client sent under that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetField {
    /// A token (RFC 9110 §5.6.2).
    pub name: Box<str>,
    /// Visible ASCII and single spaces within.
    pub value: Box<str>,
}

/// Reads `set_headers`.
pub(super) fn read_set_fields(section: &mut Section<'_, '_>) -> Arc<[SetField]> {
    let mut fields: Vec<SetField> = Vec::new();
    for text in section.strings("set_headers").unwrap_or_default() {
        let problem = match field(&text.value) {
            Err(why) => Some(why),
            Ok(field) if fields.iter().any(|other| other.name.eq_ignore_ascii_case(&field.name)) => {
                Some("is set twice in one rule")
            }
            Ok(_) if fields.len() >= FIELDS_MAX => Some("is one field more than the 16 that a rule may set"),
            Ok(field) => {
                fields.push(field);
                None
            }
        };
        if let Some(why) = problem {
            let fix = "write \"Name: value\", such as \"Restrict-Access-To-Tenants: contoso.example\"";
            section.problem(&text.place, format!("`{}` {why}", text.value.escape_debug()), fix);
        }
    }
    fields.into()
}

fn field(text: &str) -> Result<SetField, &'static str> {
    let (name, value) = text.split_once(':').ok_or("is no field: it has no colon")?;
    let value = value.trim_matches(' ');
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("has no name that a field can have");
    }
    if value.is_empty() || value.len() > VALUE_BYTES_MAX || !value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Err("has no value of 1 to 4096 visible ASCII characters");
    }
    if NOT_SET.iter().any(|other| name.eq_ignore_ascii_case(other)) {
        return Err("sets what no rule may: the gate writes it, it ends at the gate, or it shows who somebody is");
    }
    Ok(SetField { name: name.into(), value: value.into() })
}

use std::fmt::Write;

use crate::facts::ExchangeId;
use crate::parse::Fields;

use super::words::{ENGLISH, JAPANESE, Words};

/// What a refused client is told.
#[derive(Debug)]
pub struct Refusal<'a> {
    pub status: u16,
    /// The host the person asked for, as judged.
    pub host: &'a str,
    /// The code of the reason, as in the record.
    pub reason: &'a str,
    pub detail: Option<&'a str>,
    /// The rule that would let it through, in the language of policies, for an administrator to look at.
    pub draft: Option<&'a str>,
    /// Seconds after which it may pass (RFC 9110 §10.2.3).
    pub retry_after: Option<u64>,
    /// With 407: values of `Proxy-Authenticate` (RFC 9110 §11.7.1), one for each way to show who one is.
    pub authenticate: &'a [String],
    pub id: ExchangeId,
    /// The contact line of the config.
    pub contact: Option<&'a str>,
    /// A host that the page has the browser ask for a picture, which shows whether it takes the certificate; it shows
    /// nothing to the person.
    pub tries: Option<&'a str>,
    /// What to set, for who went past the proxy.
    pub proxy: Option<&'a ProxySetting>,
    /// The answer to a HEAD has none, and says how long it would be.
    pub has_body: bool,
}

/// How a program comes to the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxySetting {
    /// Host and port.
    pub address: String,
    /// The URL by which a program sets itself, where the gate serves that.
    pub pac: Option<String>,
}

impl ProxySetting {
    /// What a page says of it, each under its name.
    fn rows(&self, words: &Words) -> impl Iterator<Item = (&'static str, &str)> {
        [Some((words.proxy, &*self.address)), self.pac.as_deref().map(|url| (words.pac, url))].into_iter().flatten()
    }
}

/// The response to a refused request: HTML for browsers, plain text for others by `Accept`, Japanese
/// or English by `Accept-Language`, with the reason in `Proxy-Status` (RFC 9209) too.
pub fn refusal(refusal: &Refusal<'_>, fields: Option<&Fields>, keep_alive: bool) -> Vec<u8> {
    let accepts_html = fields.is_some_and(|fields| field_contains(fields, "accept", "text/html"));
    let japanese = fields.is_some_and(prefers_japanese);
    let words = if japanese { &JAPANESE } else { &ENGLISH };
    let body = if accepts_html { html(refusal, words) } else { text(refusal, words) };
    let kind = if accepts_html { "text/html" } else { "text/plain" };
    response(refusal, kind, &body, keep_alive)
}

/// The answer to a request spoken to the gate itself: what it is, and nothing else.
pub fn welcome(keep_alive: bool, has_body: bool) -> Vec<u8> {
    let body = "Sekisho: this is a proxy. Set it as your proxy; it serves nothing of its own here.\n\
                関所: これはプロキシです。プロキシとして設定してください。\n";
    let connection = connection(keep_alive);
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: {connection}\r\n\r\n{}",
        body.len(),
        if has_body { body } else { "" }
    )
    .into_bytes()
}

fn html(refusal: &Refusal<'_>, words: &Words) -> String {
    let sentence = words.sentence(refusal.status, refusal.reason);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"{}\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <main>\n<h1>{}</h1>\n<p>{sentence}</p>\n<dl>\n",
        words.language, words.title, words.title
    );
    let detail = refusal.detail.map_or_else(String::new, |detail| format!(": {detail}"));
    let rows = [
        (words.host, refusal.host.to_owned()),
        (words.reason, format!("{}{detail}", refusal.reason)),
        (words.id, refusal.id.to_string()),
    ];
    let settings = refusal.proxy.into_iter().flat_map(|proxy| proxy.rows(words));
    let rows = settings.map(|(name, value)| (name, value.to_owned())).chain(rows);
    for (name, value) in rows {
        let _ = writeln!(page, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
    }
    let _ = writeln!(page, "</dl>\n<p>{}</p>", words.ask);
    if let Some(draft) = refusal.draft {
        let _ = writeln!(page, "<p>{}</p>\n<pre>{}</pre>", words.of_draft(refusal.reason), escape_lines(draft));
    }
    if let Some(contact) = refusal.contact {
        let _ = writeln!(page, "<p>{}</p>", escape(contact));
    }
    page.push_str(&tried(refusal.tries));
    page.push_str("</main>\n</html>\n");
    page
}

fn text(refusal: &Refusal<'_>, words: &Words) -> String {
    let sentence = words.sentence(refusal.status, refusal.reason);
    let mut page = format!("{}\n{sentence}\n", words.title);
    for (name, value) in refusal.proxy.into_iter().flat_map(|proxy| proxy.rows(words)) {
        let _ = writeln!(page, "{name}: {}", single_line(value));
    }
    let _ = write!(page, "{}: {}\n{}: {}", words.host, refusal.host, words.reason, refusal.reason);
    if let Some(detail) = refusal.detail {
        let _ = write!(page, ": {}", single_line(detail));
    }
    let _ = write!(page, "\n{}: {}\n{}\n", words.id, refusal.id, words.ask);
    if let Some(contact) = refusal.contact {
        let _ = writeln!(page, "{}", single_line(contact));
    }
    if let Some(draft) = refusal.draft {
        let _ = writeln!(page, "\n{}\n{draft}", words.of_draft(refusal.reason));
    }
    page
}

fn response(refusal: &Refusal<'_>, kind: &str, body: &str, keep_alive: bool) -> Vec<u8> {
    let phrase = match refusal.status {
        400 => "Bad Request",
        403 => "Forbidden",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Refused",
    };
    let connection = connection(keep_alive);
    let error = error_type(refusal);
    let asks: String = refusal.authenticate.iter().map(|value| format!("Proxy-Authenticate: {value}\r\n")).collect();
    let tries = may_try(refusal.tries);
    let retry = refusal.retry_after.map_or(String::new(), |seconds| format!("Retry-After: {seconds}\r\n"));
    format!(
        "HTTP/1.1 {} {phrase}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\n\
         Proxy-Status: sekisho; error={error}; details=\"{} {}\"\r\nCache-Control: no-store\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'sha256-{STYLE_HASH}'; {tries}base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n{retry}{asks}Connection: {connection}\r\n\r\n{body}",
        refusal.status,
        body.len(),
        refusal.reason,
        refusal.id,
        body = if refusal.has_body { body } else { "" },
    )
    .into_bytes()
}

/// The error type of `Proxy-Status` (RFC 9209 §2.3): that of the reason where one says more than the
/// status.
fn error_type(refusal: &Refusal<'_>) -> &'static str {
    match (refusal.reason, refusal.status) {
        ("dns_failed", _) => "dns_error",
        ("loop_detected", _) => "proxy_loop_detected",
        ("parent_auth_failed", _) => "proxy_configuration_error",
        ("parent_bad_answer", _) => "http_protocol_error",
        (_, 403 | 407 | 429) => "http_request_denied",
        (_, 504) => "connection_timeout",
        (_, 502) => "destination_unavailable",
        (_, 503) => "proxy_internal_error",
        _ => "http_request_error",
    }
}

pub(super) const STYLE: &str = ":root{color-scheme:light dark}body{font:1rem/1.6 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;\
     overflow-wrap:anywhere}pre{white-space:pre-wrap}";
/// SHA-256 of [`STYLE`], Base64.
pub(super) const STYLE_HASH: &str = "nxRDeHHCctHIzz3H5nntKQwFe/Pnpy9tMO+BghF+r1M=";

/// A picture from the host that a page has the browser try, which nobody sees.
pub(super) fn tried(host: Option<&str>) -> String {
    let image = |host| format!("<img src=\"https://{}/\" alt=\"\" width=\"0\" height=\"0\">\n", escape(host));
    host.map_or_else(String::new, image)
}

/// What lets the browser ask for it.
pub(super) fn may_try(host: Option<&str>) -> String {
    host.map_or_else(String::new, |host| format!("img-src https://{}; ", escape(host)))
}

pub(super) fn connection(keep_alive: bool) -> &'static str {
    if keep_alive { "keep-alive" } else { "close" }
}

fn single_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Text of others as it may stand in an element of HTML, or in a quoted value of an attribute. Controls are left out.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other if other.is_control() => {}
            other => out.push(other),
        }
    }
    out
}

/// The same of several lines.
fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

fn field_contains(fields: &Fields, name: &str, part: &str) -> bool {
    fields
        .get_all(name)
        .any(|value| value.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes())))
}

/// Whether Japanese is asked for before English; the order is taken for the preference.
pub(super) fn prefers_japanese(fields: &Fields) -> bool {
    for element in fields.elements("accept-language") {
        let tag = element.get(..2).unwrap_or(element);
        if tag.eq_ignore_ascii_case(b"ja") {
            return true;
        }
        if tag.eq_ignore_ascii_case(b"en") {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_chose_is_escaped() {
        let page = html(
            &Refusal {
                status: 403,
                host: "<script>alert(1)</script>",
                reason: "no_rule",
                draft: Some("a < b\nc"),
                retry_after: None,
                authenticate: &[],
                detail: Some("a\"b'&"),
                id: ExchangeId(1),
                contact: None,
                tries: None,
                proxy: None,
                has_body: true,
            },
            &ENGLISH,
        );
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("&lt;script&gt;") && page.contains("a&quot;b&#39;&amp;"), "{page}");
        assert!(page.contains("<pre>a &lt; b\nc</pre>"), "{page}");
    }
}

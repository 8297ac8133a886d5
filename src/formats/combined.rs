//! NCSA's formats, as Squid and Apache write them:
//! `client ident user [day/month/year:time zone] "method URL version" status bytes "referer" "user agent"`, which is
//! `combined`, and `common` without the last two. Squid adds its result and hierarchy code: `TCP_MISS:HIER_DIRECT`.

use crate::evidence::{Observed, Verdict};

use super::squid::{Request, client_of, number, status_of};
use super::text::{Scratch, said, split, split_at_pair, split_last, unescaped, user, word};
use super::time::ncsa;
use super::{Fault, Told};

/// Whether a date stands in it where one belongs.
pub(super) fn looks_like(text: &str) -> bool {
    let date = split_at_pair(text, *b" [").and_then(|(_, date)| date.as_bytes().get(..8));
    matches!(date, Some([a, b, b'/', _, _, _, b'/', _]) if a.is_ascii_digit() && b.is_ascii_digit())
}

pub(super) fn read<'a>(text: &'a str, line: u64, scratch: &mut Scratch<'a>) -> Result<Told<'a>, Fault> {
    let (who, rest) = split_at_pair(text, *b" [").ok_or(Fault::Short("time"))?;
    let (date, mut rest) = split_at_pair(rest, *b"] ").ok_or(Fault::Short("time"))?;
    let mut who = who;
    let client = client_of(word(&mut who).ok_or(Fault::Empty("client"))?)?;
    word(&mut who).ok_or(Fault::Short("user"))?;
    let (time, zone) = ncsa(date).ok_or(Fault::Time("date"))?;
    let asked = quoted(&mut rest)?;
    let status = status_of(word(&mut rest).ok_or(Fault::Short("status"))?)?;
    let bytes = match said(word(&mut rest).ok_or(Fault::Short("bytes"))?) {
        // NCSA's word for none.
        "" => 0,
        bytes => number(bytes, "bytes")?,
    };
    let mut agent = "";
    if rest.starts_with('"') {
        quoted(&mut rest)?;
        agent = if rest.starts_with('"') { said(quoted(&mut rest)?) } else { "" };
    }
    let (code, way) = word(&mut rest).and_then(|word| split(word, b':')).unwrap_or_default();
    if asked == "-" {
        return Ok(Told::Nothing);
    }
    let observed = match words(asked) {
        Some((method, asked)) => {
            Request { method, asked: unescaped(asked, scratch), code, status, way }.observed(scratch)?
        }
        // Bytes that were no request.
        None => Some(Observed { verdict: Verdict::Denied, status, reason: code, ..Observed::default() }),
    };
    let Some(observed) = observed else { return Ok(Told::Nothing) };
    let observed = Observed {
        time,
        line,
        client,
        user: user(who, scratch),
        user_agent: unescaped(agent, scratch),
        bytes_down: Some(bytes),
        ..observed
    };
    Ok(Told::Of(observed, zone))
}

/// What stands between quotes, and takes it and the space after it off the rest. The quote that ends it is followed
/// by a space or nothing, and has no backslash of its own before it.
fn quoted<'a>(rest: &mut &'a str) -> Result<&'a str, Fault> {
    let inside = rest.strip_prefix('"').ok_or(Fault::Quote)?;
    let bytes = inside.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' if matches!(bytes.get(at + 1), None | Some(b' ')) => {
                let (text, after) = inside.split_at_checked(at).ok_or(Fault::Quote)?;
                *rest = after.get(1..).unwrap_or_default().trim_ascii_start();
                return Ok(text);
            }
            _ => {}
        }
        at += 1;
    }
    Err(Fault::Quote)
}

/// Method and URL of a request line; a URL may have had spaces in it.
fn words(request: &str) -> Option<(&str, &str)> {
    let (method, rest) = split(request, b' ')?;
    let (asked, version) = split_last(rest, b' ')?;
    (version.starts_with("HTTP/") && !method.is_empty() && !asked.is_empty()).then_some((method, asked))
}

#[cfg(test)]
mod tests;

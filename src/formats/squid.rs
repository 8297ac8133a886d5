//! Squid's native `access.log`: `%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt`.

use std::net::IpAddr;

use crate::evidence::{Asked, Failure, Observed, Verdict};
use crate::facts::Timestamp;

use super::text::{Scratch, said, split, user, word};
use super::time::{Zone, seconds};
use super::{Fault, Told, target};

/// Whether it begins like a line of it: a time with milliseconds, then a space.
pub(super) fn looks_like(text: &str) -> bool {
    split(text, b' ').is_some_and(|(time, _)| time.contains('.') && seconds(time).is_some())
}

pub(super) fn read<'a>(text: &'a str, line: u64, scratch: &mut Scratch<'a>) -> Result<Told<'a>, Fault> {
    let mut rest = text;
    let mut next = |name| word(&mut rest).ok_or(Fault::Short(name));
    let logged = seconds(next("time")?).ok_or(Fault::Time("time"))?;
    let elapsed = next("elapsed time")?;
    let client = next("client")?;
    let (code, status) = split(next("result")?, b'/').ok_or(Fault::Short("status"))?;
    let bytes = number(next("bytes")?, "bytes")?;
    let method = next("method")?;
    let asked = next("URL")?;
    let (name, way, kind) = behind_url(rest).ok_or(Fault::Short("hierarchy code"))?;
    // Other caches ask by ICP and HTCP what this one has: no client does.
    if code.starts_with("UDP_") {
        return Ok(Told::Nothing);
    }
    let duration = match elapsed.strip_prefix('-') {
        // Its clock was set back meanwhile, or it does not say.
        Some(_) => None,
        None => Some(number(elapsed, "elapsed time")?.checked_mul(1000).ok_or(Fault::Elapsed)?),
    };
    let started = logged.checked_sub(duration.unwrap_or(0)).ok_or(Fault::Elapsed)?;
    let request = Request { method, asked, code, status: status_of(status)?, way };
    let Some(observed) = request.observed(scratch)? else { return Ok(Told::Nothing) };
    Ok(Told::Of(
        Observed {
            time: Timestamp(started),
            line,
            client: client_of(client)?,
            user: user(name, scratch),
            content_type: said(kind),
            bytes_down: Some(bytes),
            duration_us: duration,
            ..observed
        },
        Zone::UTC,
    ))
}

/// User, hierarchy code with peer, and content type. A user's name may have spaces in it; behind the content type,
/// whole heads may follow (`log_mime_hdrs on`).
fn behind_url(rest: &str) -> Option<(&str, &str, &str)> {
    let mut at = split(rest, b' ')?.0.len();
    loop {
        let (name, mut after) = (rest.get(..at)?, rest.get(at + 1..)?);
        let way = word(&mut after)?;
        let is_code =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'0'..=b'9'));
        if split(way, b'/').is_some_and(|(code, _)| !code.is_empty() && is_code(code)) {
            return Some((name, way, word(&mut after).unwrap_or_default()));
        }
        at += 1 + split(rest.get(at + 1..)?, b' ')?.0.len();
    }
}

pub(super) fn client_of(text: &str) -> Result<&str, Fault> {
    let client = said(text);
    if client.is_empty() { Err(Fault::Empty("client")) } else { Ok(client) }
}

/// A status of HTTP; 0 where none was sent.
pub(super) fn status_of(text: &str) -> Result<u16, Fault> {
    match said(text) {
        "" => Ok(0),
        text => text.parse().ok().filter(|status| *status < 1000).ok_or(Fault::Number("status")),
    }
}

pub(super) fn number(text: &str, name: &'static str) -> Result<u64, Fault> {
    text.parse().map_err(|_| Fault::Number(name))
}

/// What the formats of Squid have in common.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// A URL, or host and port.
    pub(super) asked: &'a str,
    /// Squid's result; empty where another proxy wrote the line.
    pub(super) code: &'a str,
    pub(super) status: u16,
    /// Squid's hierarchy code, with the peer behind a slash where the format has it.
    pub(super) way: &'a str,
}

impl<'a> Request<'a> {
    /// All but when, who and how much; `None` where nothing was asked for.
    pub(super) fn observed(&self, scratch: &mut Scratch<'a>) -> Result<Option<Observed<'a>>, Fault> {
        let base =
            Observed { method: said(self.method), status: self.status, reason: self.code, ..Observed::default() };
        if self.asked.starts_with("error:") {
            // A connection that ended before it asked anything; or what it sent was no request.
            let refused = Observed { method: "", verdict: Verdict::Denied, reason: self.asked, ..base };
            return Ok((self.status != 0).then_some(refused));
        }
        let tunnel = self.method == "CONNECT";
        let place = if tunnel {
            target::host_and_port(self.asked, 0, scratch)?
        } else if self.asked.starts_with('/') || self.asked == "*" {
            return Err(Fault::WebServer);
        } else {
            target::url(self.asked, scratch)?
        };
        let (way, peer) = split(self.way, b'/').unwrap_or((self.way, ""));
        let direct = way.ends_with("DIRECT") || matches!(way, "ORIGINAL_DST" | "PINNED");
        let address = if direct { said(peer) } else { "" };
        let denied = self.code.contains("DENIED") || (self.code.is_empty() && refused_by_proxy(tunnel, self.status));
        Ok(Some(Observed {
            what: if tunnel { Asked::Tunnel } else { Asked::Request },
            host: place.host,
            port: place.port,
            path: place.path,
            address,
            verdict: if denied { Verdict::Denied } else { Verdict::Allowed },
            failure: if denied { Failure::None } else { self.failure(tunnel, way, peer) },
            ..base
        }))
    }

    /// Squid answers 503 where it reached nobody, and 504 where nobody answered; so do origins, which a tunnel's
    /// answer cannot come from. Where it logs no address it knew none.
    fn failure(&self, tunnel: bool, way: &str, peer: &str) -> Failure {
        let squid = !self.code.is_empty();
        let nowhere =
            || matches!(way, "HIER_NONE" | "NONE") || (way.ends_with("DIRECT") && peer.parse::<IpAddr>().is_err());
        match self.status {
            503 if squid && nowhere() => Failure::NoName,
            503 if squid && tunnel => Failure::Refused,
            status => tunnel_failure(tunnel, status),
        }
    }
}

/// Whether a status is a proxy's own refusal: 407 always is, and no origin answers CONNECT.
pub(super) fn refused_by_proxy(tunnel: bool, status: u16) -> bool {
    status == 407 || (tunnel && matches!(status, 401 | 403))
}

/// What a proxy's answer to CONNECT says of a failure. To other requests an origin may have answered the same.
pub(super) fn tunnel_failure(tunnel: bool, status: u16) -> Failure {
    match status {
        504 if tunnel => Failure::Unanswered,
        500..=599 if tunnel => Failure::Other,
        _ => Failure::None,
    }
}

#[cfg(test)]
mod tests;

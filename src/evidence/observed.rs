use serde::{Deserialize, Serialize};

use crate::facts::{ExchangeId, Timestamp};
use crate::identity::{Ground, Grounds};

use super::reading::{Kind, RecordLine, Said};
use super::record::Event;

/// What one line of a log tells of a client and what it asked for, whichever log it is of. Detectors take
/// nothing else. Text is as the log has it, and others chose it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Observed<'a> {
    /// When it began; of a part that comes later, when that was.
    pub time: Timestamp,
    pub part: Part,
    /// Joins the parts of one exchange, and what several logs say of one connection; 0 where nothing joins.
    pub id: u64,
    /// The exchange or connection that this one was read inside of; 0 for none.
    pub inside: u64,
    /// The number of the record, or of the line.
    pub line: u64,
    pub what: Asked,
    /// The client's address.
    pub client: &'a str,
    pub user: &'a str,
    /// Host name or address literal, IPv6 in brackets, without the port. Empty where nobody knows.
    pub host: &'a str,
    pub port: u16,
    /// The address it went to, with or without its port.
    pub address: &'a str,
    /// The transport of a connection, `tcp` or `udp`, where the log tells it.
    pub protocol: &'a str,
    pub method: &'a str,
    /// Without its query.
    pub path: &'a str,
    pub user_agent: &'a str,
    /// The program's TLS key: the stable one, else the JA4 or JA3.
    pub tls_key: &'a str,
    /// In how many of what it shows (CONNECT, plain requests, TLS, inside TLS) something does not fit the browser that it claims
    /// to be: 0 to 4.
    pub contradictions: u8,
    /// What was said of a program that claims to be a browser.
    pub standing: Shown,
    pub sni: &'a str,
    /// What the first bytes of a tunnel were: `tls`, `http` and others; empty where nobody looked.
    pub carries: &'a str,
    pub verdict: Verdict,
    /// The reason's code, or what the log calls the outcome.
    pub reason: &'a str,
    pub failure: Failure,
    pub status: u16,
    pub content_type: &'a str,
    /// What the first bytes of the answer's body were: a word of [`BodyType`](crate::parse::BodyType).
    pub body_type: &'a str,
    /// SHA-256 of the whole body, in hexadecimal; of executables, scripts and archives alone.
    pub body_sha256: &'a str,
    /// What it would be saved under.
    pub file_name: &'a str,
    pub bytes_up: Option<u64>,
    pub bytes_down: Option<u64>,
    pub duration_us: Option<u64>,
    /// The gate ended it.
    pub cut: bool,
    /// How it ended, as our own records have it.
    pub closed_how: &'a str,
}

/// Which part of an exchange a line tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// That it waits for what it is judged by; that it began, or was refused, comes later.
    Waits,
    /// That it began; its end comes later.
    Begun,
    /// What became known of it after it began.
    Shown,
    /// What a tunnel has carried so far.
    Going,
    /// That it ended.
    Ended,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Asked {
    /// A request that was read: plain, or inside TLS.
    #[default]
    Request,
    /// A tunnel, or a connection of which nothing inside was read.
    Tunnel,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Verdict {
    #[default]
    Allowed,
    Challenged,
    Denied,
}

/// Why nothing was reached, where it was let out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Failure {
    #[default]
    None,
    /// Its name has no address.
    NoName,
    Refused,
    Unanswered,
    Other,
}

/// What a program that claims to be a browser had shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Shown {
    /// Nobody asked, or it claims to be none.
    #[default]
    Unasked,
    Uncleared,
    Cleared,
    /// It was challenged and did not return, or did not solve it.
    Failed,
    /// It claims to be a browser that it is not.
    Mimic,
}

/// A client's writes into a tunnel after at least 500 ms in which it wrote nothing, and what moved until the
/// next of them. At most one a second and tunnel; see [`Bursts`](super::Bursts).
///
/// On a record it is an array: hundredths of a second since the one before began (the first: since the tunnel
/// stood), bytes up, bytes down. What 32 bits do not hold is the most that they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u32, u32)", into = "(u32, u32, u32)")]
pub struct Burst {
    pub after_cs: u32,
    pub up: u32,
    pub down: u32,
}

impl From<(u32, u32, u32)> for Burst {
    fn from((after_cs, up, down): (u32, u32, u32)) -> Self {
        Self { after_cs, up, down }
    }
}

impl From<Burst> for (u32, u32, u32) {
    fn from(burst: Burst) -> Self {
        (burst.after_cs, burst.up, burst.down)
    }
}

impl<'a> Observed<'a> {
    /// What a line of the journal tells of an exchange, a tunnel or a challenge; `None` for all other lines, for
    /// what passed unrecorded, and for what clients try of the gate's next authority. A tunnel's bursts are not in it: [`RecordLine::bursts`] has them.
    pub fn of(line: &'a RecordLine<'a>) -> Option<Self> {
        let part = match (line.kind, line.event) {
            (Kind::Exchange, Some(Event::Waiting)) => Part::Waits,
            // The gate answered it itself, since its own pages and people have clients ask: it went nowhere.
            (Kind::Exchange, Some(Event::Open)) if said(&line.reason) == "next_authority" => return None,
            (Kind::Exchange, Some(Event::Open)) => Part::Begun,
            (Kind::Exchange, Some(Event::Established | Event::FirstBytes)) => Part::Shown,
            (Kind::Exchange, Some(Event::Close)) => Part::Ended,
            (Kind::Exchange, Some(Event::Refused | Event::Answered)) => Part::Whole,
            (Kind::Progress, _) => Part::Going,
            (Kind::Challenge, _) => Part::Shown,
            (Kind::Exchange, None) | (Kind::Finding | Kind::Flow | Kind::Other, _) => return None,
        };
        let reason = said(&line.reason);
        let how = said(&line.closed_how);
        let tunnel = line.kind == Kind::Progress || said(&line.scheme) == "tunnel";
        Some(Self {
            time: line.time,
            part,
            id: number(&line.id),
            inside: number(&line.inside),
            line: line.seq,
            what: if tunnel { Asked::Tunnel } else { Asked::Request },
            client: said(&line.client),
            user: said(&line.user),
            host: said(&line.host),
            port: line.port.unwrap_or_default(),
            address: said(&line.dialled),
            protocol: "",
            method: said(&line.method),
            path: said(&line.path),
            user_agent: said(&line.user_agent),
            tls_key: line.tls_key.as_deref().or(line.ja4.as_deref()).unwrap_or_default(),
            contradictions: contradictions(line),
            standing: match (said(&line.standing), reason, said(&line.outcome)) {
                (_, _, "did_not_return" | "not_solved") => Shown::Failed,
                (_, "mimic", _) => Shown::Mimic,
                ("cleared", _, _) | (_, _, "returned" | "solved" | "cleared") => Shown::Cleared,
                ("uncleared", _, _) => Shown::Uncleared,
                (_, _, _) => Shown::Unasked,
            },
            sni: said(&line.sni),
            carries: said(&line.carries),
            verdict: match line.would.as_deref().or(line.verdict.as_deref()) {
                Some("deny") => Verdict::Denied,
                Some("challenge") => Verdict::Challenged,
                Some(_) | None => Verdict::Allowed,
            },
            reason,
            failure: match how {
                "dns_failed" => Failure::NoName,
                "connect_failed" => Failure::Refused,
                "connect_timeout" => Failure::Unanswered,
                "tls_failed" | "parent_unreachable" | "parent_timeout" | "parent_cannot_reach" => Failure::Other,
                _ => Failure::None,
            },
            status: line.status.unwrap_or_default(),
            content_type: said(&line.content_type),
            body_type: said(&line.body_type),
            body_sha256: said(&line.body_sha256),
            file_name: said(&line.file_name),
            bytes_up: line.bytes_up,
            bytes_down: line.bytes_down,
            duration_us: line.total_us,
            cut: said(&line.closed_by) == "gate",
            closed_how: how,
        })
    }
}

/// In how many of what a program shows (CONNECT, plain requests, TLS, inside TLS) something does not fit, as the policy counts
/// it too.
fn contradictions(line: &RecordLine<'_>) -> u8 {
    let grounds: Grounds = line.grounds.iter().filter_map(|ground| Ground::of(ground)).collect();
    grounds.contradictions().count() as u8
}

fn said<'a>(field: &'a Option<Said<'a>>) -> &'a str {
    field.as_deref().unwrap_or_default()
}

/// An exchange's id as a number; 0 for none.
fn number(id: &Option<Said<'_>>) -> u64 {
    id.as_deref().and_then(|id| id.parse::<ExchangeId>().ok()).map_or(0, |id| id.0)
}

#[cfg(test)]
mod tests;

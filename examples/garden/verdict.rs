//! What came of one replay.

use std::net::SocketAddr;

use crate::gate::Answer;
use crate::payload::Way;
use crate::strict::{Line, Read, request};

/// One payload sent one way, and all that is known of it.
pub(crate) struct Replay<'a> {
    pub(crate) answer: &'a Answer,
    /// What the origin was sent, by connection.
    pub(crate) seen: &'a [Vec<u8>],
    /// Method and path of each opening record.
    pub(crate) opened: Vec<(String, String)>,
    pub(crate) address: SocketAddr,
}

pub(crate) enum Verdict {
    Refused,
    RefusedInBody,
    AnsweredHere,
    Forwarded,
    Problem(String),
}

impl Verdict {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Verdict::Refused => "refused",
            Verdict::RefusedInBody => "refused in its body",
            Verdict::AnsweredHere => "answered by the gate",
            Verdict::Forwarded => "forwarded, one meaning",
            Verdict::Problem(_) => "PROBLEM",
        }
    }
}

impl Replay<'_> {
    /// Judges by what the origin saw, then by the records, then by the answer.
    pub(crate) fn verdict(&self, way: Way) -> Verdict {
        let (whole, cut) = match self.requests() {
            Ok(requests) => requests,
            Err(why) => return Verdict::Problem(format!("the origin saw {why}")),
        };
        let begun: Vec<&Line> = whole.iter().chain(&cut).collect();
        if way == Way::AsIs && !(begun.is_empty() && self.opened.is_empty()) {
            return Verdict::Problem("a request for the gate itself was forwarded".to_owned());
        }
        if begun.len() > self.opened.len() {
            return Verdict::Problem(format!("{} requests behind {} opening records", begun.len(), self.opened.len()));
        }
        for (line, (method, path)) in begun.iter().zip(&self.opened) {
            let seen = line.target.split('?').next().unwrap_or_default();
            if (line.method.as_str(), seen) != (method, path) {
                return Verdict::Problem(format!("{} {seen} was recorded as {method} {path}", line.method));
            }
        }
        let codes = self.answer.codes();
        let good = codes.iter().filter(|code| **code < 400).count();
        match (whole.len(), cut.len()) {
            (0, 0) if good == 0 => Verdict::Refused,
            (0, 0) if way == Way::AsIs => Verdict::AnsweredHere,
            (0, 1) if good == 0 => Verdict::RefusedInBody,
            (1.., 0) if good >= whole.len() => Verdict::Forwarded,
            (whole, cut) => Verdict::Problem(format!("{whole} whole and {cut} cut requests, answered {codes:?}")),
        }
    }

    /// The requests that the origin saw: whole ones, and those whose end never came.
    fn requests(&self) -> Result<(Vec<Line>, Vec<Line>), String> {
        let (mut whole, mut cut) = (Vec::new(), Vec::new());
        for connection in self.seen {
            let mut rest = &connection[..];
            while !rest.is_empty() {
                match request(rest, &self.address.to_string()) {
                    Read::Whole(line, taken) => {
                        whole.push(line);
                        rest = &rest[taken..];
                    }
                    Read::Cut(Some(line)) => {
                        cut.push(line);
                        break;
                    }
                    Read::Cut(None) => return Err(format!("the beginning of a line, {}", rest.escape_ascii())),
                    Read::Wrong(why) => return Err(why),
                }
            }
        }
        Ok((whole, cut))
    }

    /// The origin's bytes, escaped and cut, with a word for its own address.
    pub(crate) fn shown(&self) -> String {
        let connections: Vec<String> = self.seen.iter().map(|bytes| bytes.escape_ascii().to_string()).collect();
        let text = connections.join(" || ").replace(&self.address.to_string(), "ORIGIN");
        match text.char_indices().nth(160) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None if text.is_empty() => "-".to_owned(),
            None => text,
        }
    }
}

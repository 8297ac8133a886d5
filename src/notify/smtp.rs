use std::io;
use std::time::Duration;

use data_encoding::BASE64;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::evidence::shown;

/// Why a server of mail has not taken one.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the server said nothing for {SILENCE:?}")]
    Silent,
    #[error("what it answers is no SMTP")]
    Garbage,
    #[error("it speaks before it is asked, in front of TLS")]
    Injected,
    #[error("it does not offer STARTTLS, and nothing is said to it in clear")]
    NoTls,
    #[error("it offers no way to log in that is known here: PLAIN or LOGIN")]
    NoLogIn,
    /// It says no, in its words.
    #[error("to {to} it answered {said}")]
    Refused { to: &'static str, said: String },
}

/// What the server says, and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reply {
    code: u16,
    lines: Vec<String>,
}

/// A connection to a server of mail that takes submissions (RFC 6409).
pub(super) struct Smtp<S> {
    stream: S,
    /// What was read and is not looked at yet.
    buffer: Vec<u8>,
    /// What it offers, by its answer to EHLO.
    offers: Vec<String>,
}

/// Without a byte for so long it is given up (RFC 5321 §4.5.3.2 has minutes; it is tried again later).
const SILENCE: Duration = Duration::from_secs(30);
/// And when it has the mail already.
const PARTING: Duration = Duration::from_secs(2);
/// Of one reply: twice what RFC 5321 §4.5.3.1.5 allows a line, and more lines than any server has.
const LINE_BYTES_MAX: usize = 1024;
const LINES_MAX: usize = 64;
/// Of the server's words, so many are shown.
const SHOWN_CHARS_MAX: usize = 200;

impl<S: AsyncRead + AsyncWrite + Unpin> Smtp<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), offers: Vec::new() }
    }

    /// Hears the server's greeting.
    pub(super) async fn greeted(&mut self) -> Result<(), SmtpError> {
        self.read_reply().await?.must_be("the connection", &[220]).map(drop)
    }

    /// Says who it is, and learns what the server offers.
    pub(super) async fn hello(&mut self, name: &str) -> Result<(), SmtpError> {
        let reply = self.ask("EHLO", &format!("EHLO {name}"), &[250]).await?;
        self.offers = reply.lines.into_iter().skip(1).map(|line| line.to_ascii_uppercase()).collect();
        Ok(())
    }

    /// Asks for TLS, and gives the connection back, on which nothing is left to be read: what somebody on the way has put in
    /// front of it would count as said within.
    pub(super) async fn start_tls(mut self) -> Result<S, SmtpError> {
        if !self.offers.iter().any(|offer| offer == "STARTTLS") {
            return Err(SmtpError::NoTls);
        }
        self.ask("STARTTLS", "STARTTLS", &[220]).await?;
        if self.buffer.is_empty() { Ok(self.stream) } else { Err(SmtpError::Injected) }
    }

    /// Logs in by what the server offers (RFC 4954).
    pub(super) async fn log_in(&mut self, user: &str, password: &[u8]) -> Result<(), SmtpError> {
        let offer = self.offers.iter().find_map(|offer| offer.strip_prefix("AUTH "));
        let ways: Vec<&str> = offer.into_iter().flat_map(str::split_ascii_whitespace).collect();
        let encoded = |bytes: &[u8]| Zeroizing::new(BASE64.encode(bytes));
        if ways.contains(&"PLAIN") {
            let plain = Zeroizing::new([b"\0", user.as_bytes(), b"\0", password].concat());
            let line = Zeroizing::new(format!("AUTH PLAIN {}", *encoded(&plain)));
            self.ask("AUTH", &line, &[235]).await.map_err(without_words)?;
        } else if ways.contains(&"LOGIN") {
            self.ask("AUTH", "AUTH LOGIN", &[334]).await?;
            self.ask("AUTH", &encoded(user.as_bytes()), &[334]).await.map_err(without_words)?;
            self.ask("AUTH", &encoded(password), &[235]).await.map_err(without_words)?;
        } else {
            return Err(SmtpError::NoLogIn);
        }
        Ok(())
    }

    /// Hands a mail over; where some recipients are refused, those that are left get it. Returns what the server says to that,
    /// and of the others.
    pub(super) async fn hand_over(&mut self, from: &str, to: &[String], text: &str) -> Result<String, SmtpError> {
        self.ask("MAIL", &format!("MAIL FROM:<{from}>"), &[250]).await?;
        let mut refused = None;
        let mut taken = 0;
        for one in to {
            match self.ask("RCPT", &format!("RCPT TO:<{one}>"), &[250, 251]).await {
                Ok(_) => taken += 1,
                Err(SmtpError::Refused { to, said }) => {
                    refused = Some(SmtpError::Refused { to, said: format!("{said} ({one})") })
                }
                Err(other) => return Err(other),
            }
        }
        match (taken, refused) {
            (0, Some(refused)) => Err(refused),
            (0, None) => Err(SmtpError::Garbage),
            (_, refused) => {
                self.ask("DATA", "DATA", &[354]).await?;
                let mut content = String::with_capacity(text.len() + 16);
                for line in text.lines() {
                    // A dot at its begin is doubled (RFC 5321 §4.5.2).
                    content.push_str(if line.starts_with('.') { "." } else { "" });
                    content.push_str(line);
                    content.push_str("\r\n");
                }
                content.push('.');
                let reply = self.ask("the mail", &content, &[250]).await?;
                // It has the mail: how it ends does not matter.
                let _ = timeout(PARTING, self.ask("QUIT", "QUIT", &[221])).await;
                let refused = refused.map_or(String::new(), |refused| format!("; {refused}"));
                Ok(format!("{}{refused}", reply.said()))
            }
        }
    }

    async fn ask(&mut self, what: &'static str, line: &str, wanted: &[u16]) -> Result<Reply, SmtpError> {
        let line = Zeroizing::new(format!("{line}\r\n"));
        let written = async {
            self.stream.write_all(line.as_bytes()).await?;
            self.stream.flush().await
        };
        timeout(SILENCE, written).await.map_err(|_| SmtpError::Silent)??;
        self.read_reply().await?.must_be(what, wanted)
    }

    async fn read_reply(&mut self) -> Result<Reply, SmtpError> {
        let mut reply = Reply { code: 0, lines: Vec::new() };
        loop {
            let line = self.read_line().await?;
            let (code, is_last, text) = parse_line(&line).ok_or(SmtpError::Garbage)?;
            let is_first = reply.lines.is_empty();
            if (!is_first && code != reply.code) || reply.lines.len() == LINES_MAX {
                return Err(SmtpError::Garbage);
            }
            reply.code = code;
            reply.lines.push(text);
            if is_last {
                return Ok(reply);
            }
        }
    }

    async fn read_line(&mut self) -> Result<Vec<u8>, SmtpError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.pop();
                line.pop_if(|byte| *byte == b'\r');
                return Ok(line);
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(SmtpError::Garbage);
            }
            let mut bytes = [0; 512];
            let count = timeout(SILENCE, self.stream.read(&mut bytes)).await.map_err(|_| SmtpError::Silent)??;
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.buffer.extend_from_slice(bytes.get(..count).unwrap_or_default());
        }
    }
}

/// A server may repeat what it was told, and that was a password.
fn without_words(error: SmtpError) -> SmtpError {
    match error {
        SmtpError::Refused { to, said } => SmtpError::Refused { to, said: said.chars().take(3).collect() },
        other => other,
    }
}

/// Its code, whether it is the last of its reply, and its text.
fn parse_line(line: &[u8]) -> Option<(u16, bool, String)> {
    if line.len() > LINE_BYTES_MAX {
        return None;
    }
    let (code, rest) = line.split_at_checked(3)?;
    if !code.iter().all(u8::is_ascii_digit) || !matches!(code.first(), Some(b'2'..=b'5')) {
        return None;
    }
    let code = std::str::from_utf8(code).ok()?.parse().ok()?;
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    match rest.split_first() {
        None => Some((code, true, String::new())),
        Some((b' ', rest)) => Some((code, true, text(rest))),
        Some((b'-', rest)) => Some((code, false, text(rest))),
        Some(_) => None,
    }
}

impl Reply {
    fn must_be(self, what: &'static str, wanted: &[u16]) -> Result<Self, SmtpError> {
        if wanted.contains(&self.code) { Ok(self) } else { Err(SmtpError::Refused { to: what, said: self.said() }) }
    }

    /// Its code and its words, safe to show.
    fn said(&self) -> String {
        let words: String = self.lines.join(" ").chars().take(SHOWN_CHARS_MAX).collect();
        format!("{} {}", self.code, shown(&words)).trim_end().to_owned()
    }
}

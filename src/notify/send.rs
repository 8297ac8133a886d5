use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::alert::{Alert, MailParts, mail_text};
use crate::evidence::Severity;
use crate::facts::Timestamp;
use crate::sinks::{Message, NotSent, Sink, Way};
use crate::tls::{self, NoRoots};
use crate::upstream::{ErrandError, Errands, Purpose};

use super::mail::{Mail, Security};
use super::receiver::{AlertReceiver, AlertWay};
use super::secret::{NoSecret, read_secret};
use super::smtp::{Smtp, SmtpError};

/// Why a receiver does not have an alert.
#[derive(Debug, thiserror::Error)]
pub enum NotDelivered {
    #[error(transparent)]
    NotSent(#[from] NotSent),
    #[error(transparent)]
    Errand(#[from] ErrandError),
    #[error(transparent)]
    Smtp(#[from] SmtpError),
    #[error(transparent)]
    Roots(#[from] NoRoots),
    #[error(transparent)]
    Secret(#[from] NoSecret),
    #[error("it took longer than {0:?}")]
    TooSlow(Duration),
}

/// Hands alerts over, one at a time.
pub struct Notifier {
    sink: Sink,
    /// What the gate calls itself.
    gate: String,
    /// How long a receiver may take.
    takes: Duration,
}

/// A receiver may take so long in all.
const TAKES: Duration = Duration::from_secs(60);
/// A signature by a shorter secret could be guessed.
const SECRET_BYTES_MIN: usize = 16;

impl Notifier {
    pub fn new(errands: Errands, gate: String) -> Self {
        Self { sink: Sink::new(errands), gate, takes: TAKES }
    }

    /// The same with another patience.
    #[cfg(test)]
    pub(super) fn within(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }

    /// Hands one over, and returns what the receiver says to that. Files of secrets are read anew each time.
    ///
    /// # Errors
    /// The receiver does not have it, or not as far as can be told.
    pub async fn send(&self, receiver: &AlertReceiver, alert: &Alert, now: Timestamp) -> Result<String, NotDelivered> {
        let sent = async {
            match &receiver.way {
                AlertWay::Receiver(_) => self.hand_over(receiver, alert, now).await,
                AlertWay::Mail(mail) => self.mail(receiver, mail, alert).await,
            }
        };
        timeout(self.takes, sent).await.map_err(|_| NotDelivered::TooSlow(self.takes))?
    }

    async fn hand_over(&self, receiver: &AlertReceiver, alert: &Alert, now: Timestamp) -> Result<String, NotDelivered> {
        let AlertWay::Receiver(to) = &receiver.way else { return Err(NotDelivered::TooSlow(self.takes)) };
        let template = receiver.template.as_ref();
        let (body, is_posted) = match &to.way {
            Way::Syslog { .. } => (receiver.form.write_line(template, alert, &self.gate), false),
            Way::Directory(_) => (receiver.form.write(template, alert, &self.gate), false),
            Way::Webhook(_) => (receiver.form.write(template, alert, &self.gate), true),
        };
        let mut fields = Vec::new();
        if is_posted {
            fields.push(("sekisho-alert", format!("{}-{}", self.gate, alert.id())));
            if let Some(file) = &receiver.secret_file {
                let seconds = (now.0 / 1_000_000).to_string();
                let signature = signed(&read_secret(file, SECRET_BYTES_MIN)?, &seconds, &body);
                fields.extend([("sekisho-time", seconds), ("sekisho-signature", signature)]);
            }
        }
        let name = format!("{}-{}", alert.time_text().replace(':', ""), alert.id());
        let message = Message {
            purpose: Purpose::Alert,
            name: &name,
            kind: &alert.kind,
            body: &body,
            content_type: receiver.form.content_type(),
            level: level(alert.severity),
            fields: &fields,
            gate: &self.gate,
            now: Timestamp(alert.time),
        };
        Ok(self.sink.send(to, message).await?.to_string())
    }

    async fn mail(&self, receiver: &AlertReceiver, mail: &Mail, alert: &Alert) -> Result<String, NotDelivered> {
        let stream = self.sink.errands().reach(&mail.server, Purpose::Alert, &mail.opened).await?;
        match mail.security {
            Security::None => self.submit(Smtp::new(stream), true, receiver, mail, alert).await,
            Security::Tls => {
                let tls = tls::client_of_any(&mail.roots)?;
                let stream = self.sink.errands().secure(stream, &mail.server, &tls).await?;
                self.submit(Smtp::new(stream), true, receiver, mail, alert).await
            }
            Security::StartTls => {
                let tls = tls::client_of_any(&mail.roots)?;
                let mut smtp = Smtp::new(stream);
                smtp.greeted().await?;
                smtp.hello(&self.name()).await?;
                let stream = self.sink.errands().secure(smtp.start_tls().await?, &mail.server, &tls).await?;
                // What was offered in clear does not count (RFC 3207 §4.2).
                self.submit(Smtp::new(stream), false, receiver, mail, alert).await
            }
        }
    }

    async fn submit(
        &self,
        mut smtp: Smtp<impl AsyncRead + AsyncWrite + Unpin>,
        is_greeted: bool,
        receiver: &AlertReceiver,
        mail: &Mail,
        alert: &Alert,
    ) -> Result<String, NotDelivered> {
        if is_greeted {
            smtp.greeted().await?;
        }
        smtp.hello(&self.name()).await?;
        if let Some((user, file)) = &mail.user {
            smtp.log_in(user, &read_secret(file, 1)?).await?;
        }
        let parts = MailParts {
            from: &mail.from,
            to: &mail.to,
            form: receiver.form,
            template: receiver.template.as_ref(),
            subject: mail.subject.as_ref(),
            gate: &self.gate,
        };
        Ok(smtp.hand_over(&mail.from, &mail.to, &mail_text(parts, alert)).await?)
    }

    /// As EHLO has it: letters, digits, `-` and `.`.
    fn name(&self) -> String {
        let name: String = self.gate.chars().map(|c| if c == '_' { '-' } else { c }).collect();
        let is_good = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.ends_with(|c: char| c.is_ascii_alphanumeric());
        if is_good { name } else { "sekisho".to_owned() }
    }
}

/// HMAC-SHA-256 (RFC 2104) of the time, a dot and the body, in hexadecimal, with the scheme's number in front.
fn signed(secret: &[u8], seconds: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    for part in [seconds, ".", body] {
        context.update(part.as_bytes());
    }
    format!("v1={}", HEXLOWER.encode(context.sign().as_ref()))
}

/// As syslog has it (RFC 5424 §6.2.1): critical, warning or notice.
fn level(severity: Severity) -> u8 {
    match severity {
        Severity::High => 2,
        Severity::Medium => 4,
        Severity::Low => crate::sinks::NOTICE,
    }
}

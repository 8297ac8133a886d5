use std::fmt;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::alert::{Template, is_mail_address};
use crate::parse::{Placed, Section};
use crate::policy::prefixes;
use crate::sinks::{read_server, written_address};
use crate::tls::Roots;
use crate::upstream::Server;

/// A server that takes mail, and who is written to.
#[derive(Debug, Clone)]
pub struct Mail {
    pub server: Server,
    pub security: Security,
    pub from: String,
    pub to: Vec<String>,
    /// Who logs in, and the file of the password.
    pub user: Option<(String, PathBuf)>,
    pub subject: Option<Template>,
    /// Special-purpose addresses at which it may be.
    pub opened: Vec<IpNet>,
    pub roots: Roots,
}

/// How what is said to it is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// It begins in clear and becomes TLS before anything is said (RFC 3207); a server that does not is told nothing.
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// Not at all.
    None,
}

/// So many are written to.
const RECIPIENTS_MAX: usize = 32;
const USER_BYTES_MAX: usize = 255;

/// Where it goes.
impl fmt::Display for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mail {} by {}", self.to.join(", "), self.server)
    }
}

impl Mail {
    /// Keys that nothing but mail has.
    pub(super) const KEYS: [&'static str; 6] = ["from", "to", "tls", "user", "password_file", "subject"];

    /// Reads the keys of a table that names a mail server.
    pub(super) fn read(server: &Placed<String>, section: &mut Section<'_, '_>) -> Option<Self> {
        let words = [("starttls", Security::StartTls), ("tls", Security::Tls), ("none", Security::None)];
        let security = section.word("tls", &words).unwrap_or(Security::StartTls);
        let from = section.string("from").filter(|from| is_address(section, from));
        let to = section.strings("to").unwrap_or_default();
        section.need_some("to", "[\"security@example.com\"]");
        if let Some(beyond) = to.get(RECIPIENTS_MAX) {
            let what = format!("more than {RECIPIENTS_MAX} are written to");
            section.problem(&beyond.place, what, "write to a list of the mail server's");
        }
        let to: Vec<_> = to.into_iter().filter(|to| is_address(section, to)).map(|to| to.value).collect();
        if !section.has("from") {
            section.problem(&server.place, "`from` is missing", "write from = \"sekisho@example.com\"");
        }
        let user = Self::read_user(security, section);
        let subject = Template::read(section, "subject");
        let mut opened = prefixes(section, "private").unwrap_or_default();
        let roots = section.string("ca_file").map_or(Roots::System, |file| Roots::File(PathBuf::from(file.value)));
        let server = read_server(section, server)?;
        opened.extend(written_address(&server.host));
        Some(Self { server, security, from: from?.value, to, user, subject, opened, roots })
    }

    fn read_user(security: Security, section: &mut Section<'_, '_>) -> Option<(String, PathBuf)> {
        let (user, file) = (section.string("user"), section.string("password_file"));
        match (user, file) {
            (Some(user), Some(file)) => {
                if user.value.is_empty()
                    || user.value.len() > USER_BYTES_MAX
                    || user.value.chars().any(char::is_control)
                {
                    section.problem(&user.place, "`user` is none", "write 1 to 255 bytes without control characters");
                }
                if security == Security::None {
                    let fix = "take tls = \"none\" away, or `user` and `password_file`";
                    section.problem(&user.place, "the password would go in clear", fix);
                }
                Some((user.value, PathBuf::from(file.value)))
            }
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => {
                section.problem(&one.place, "`user` and `password_file` belong together", "write both, or neither");
                None
            }
        }
    }
}

fn is_address(section: &Section<'_, '_>, text: &Placed<String>) -> bool {
    let is_one = is_mail_address(&text.value);
    if !is_one {
        let what = format!("{:?} is no address of mail", text.value);
        section.problem(&text.place, what, "write it like \"security@example.com\", and no name beside it");
    }
    is_one
}

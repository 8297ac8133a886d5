use std::fmt;
use std::path::PathBuf;

use crate::alert::{Form, Rules, Template};
use crate::parse::{Placed, Section};
use crate::sinks::{Receiver, Way};
use crate::tls::Roots;

use super::mail::Mail;

/// Who is told of alerts, by a table `[alerts.NAME]`.
#[derive(Debug, Clone)]
pub struct AlertReceiver {
    pub name: String,
    pub way: AlertWay,
    pub rules: Rules,
    pub form: Form,
    pub template: Option<Template>,
    /// The file of the secret by which what is posted is signed.
    pub secret_file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub enum AlertWay {
    /// A directory, a server of syslog or a URL.
    Receiver(Box<Receiver>),
    Mail(Box<Mail>),
}

/// Where it goes, without what may be a secret.
impl fmt::Display for AlertReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            AlertWay::Receiver(receiver) => receiver.fmt(f),
            AlertWay::Mail(mail) => mail.fmt(f),
        }
    }
}

impl AlertReceiver {
    /// Reads the tables `[alerts.NAME]`, at most eight.
    pub fn read_all(root: &mut Section<'_, '_>) -> Vec<Self> {
        Receiver::read_tables(root, "alerts", Self::read)
    }

    fn read(name: &Placed<String>, section: &mut Section<'_, '_>) -> Option<Self> {
        let rules = Rules::read(section);
        let forms = [("text", Form::Text), ("cef", Form::Cef), ("json", Form::Json)];
        let form = section.word("format", &forms);
        let template = Template::read(section, "template");
        let secret_file = section.string("secret_file");
        let others = ["directory", "syslog", "url"].into_iter().any(|key| section.has(key));
        let way = match section.string("mail") {
            Some(server) if !others => {
                Receiver::check_name(name, section);
                AlertWay::Mail(Box::new(Mail::read(&server, section)?))
            }
            Some(_) => {
                let what = format!("where `{}` is told is said several times", name.value);
                section.problem(&name.place, what, "write one of: directory, syslog, url, mail");
                return None;
            }
            None => {
                for key in Mail::KEYS {
                    section.ignore(key);
                    if let Some(place) = section.place_of_key(key) {
                        let fix = "write mail = \"smtp.example:587\", or take it away";
                        section.problem(&place, format!("`{key}` is for mail, and no server of mail is named"), fix);
                    }
                }
                AlertWay::Receiver(Box::new(Receiver::read(name, section)?))
            }
        };
        let is_posted = matches!(&way, AlertWay::Receiver(receiver) if matches!(receiver.way, Way::Webhook(_)));
        if let (Some(file), false) = (&secret_file, is_posted) {
            section.problem(&file.place, "nothing but what is posted to a URL is signed", "take `secret_file` away");
        }
        // What a machine reads is an object, what a person reads are words.
        let form = form.unwrap_or(if is_posted { Form::Json } else { Form::Text });
        if let (Form::Json, Some(template)) = (form, &template)
            && !template.is_json()
        {
            let fix = "write JSON with placeholders within quotes: '{\"text\": \"{severity} {english}\"}'";
            section.problem(&name.place, format!("the template of `{}` makes no JSON", name.value), fix);
        }
        let secret_file = secret_file.map(|file| PathBuf::from(file.value));
        Some(Self { name: name.value.clone(), way, rules, form, template, secret_file })
    }

    /// Who is not told by mail.
    pub fn receiver(&self) -> Option<&Receiver> {
        match &self.way {
            AlertWay::Receiver(receiver) => Some(receiver),
            AlertWay::Mail(_) => None,
        }
    }

    /// Every file that the config names for it; relative ones are meant beside it.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let (directory, roots, password) = match &mut self.way {
            AlertWay::Receiver(receiver) => {
                let directory = match &mut receiver.way {
                    Way::Directory(path) => Some(path),
                    Way::Syslog { .. } | Way::Webhook(_) => None,
                };
                (directory, &mut receiver.roots, None)
            }
            AlertWay::Mail(mail) => (None, &mut mail.roots, mail.user.as_mut().map(|(_, file)| file)),
        };
        let roots = match roots {
            Roots::System => None,
            Roots::File(path) => Some(path),
        };
        [directory, roots, password, self.secret_file.as_mut()].into_iter().flatten()
    }
}

//! Hooks: programs and servers of the operator's that do something where a client is cut off.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::evidence::format_time;
use crate::facts::Timestamp;
use crate::parse::Section;
use crate::upstream::Purpose;

use super::{Message, NOTICE, NotSent, Receiver, Sink};

/// Who is to be told, by a table `[hooks.NAME]` of the config.
#[derive(Debug, Clone)]
pub struct Hook {
    pub name: String,
    way: HookWay,
}

#[derive(Debug, Clone)]
enum HookWay {
    /// A program with its arguments, in which placeholders stand. No shell reads them.
    Command(Vec<String>),
    Receiver(Box<Receiver>),
}

/// What is told.
#[derive(Debug, Clone)]
pub struct Occasion<'a> {
    /// `isolate`, `release`, `lockdown` or `lockdown_ended`.
    pub action: &'static str,
    /// An address or prefix; absent where it is about all.
    pub client: Option<String>,
    pub device: Option<String>,
    pub reason: Option<String>,
    /// The name of the gate.
    pub gate: &'a str,
    pub now: Timestamp,
}

/// Why it was not told.
#[derive(Debug, thiserror::Error)]
pub enum NotTold {
    #[error(transparent)]
    NotSent(#[from] NotSent),
    #[error("cannot run {program}: {source}")]
    NotRun { program: String, source: io::Error },
    #[error("{program} did not end within {TAKES:?} and was ended")]
    TooSlow { program: String },
    /// What it said, safe to show.
    #[error("{program} ended with {status}{said}")]
    Failed { program: String, status: std::process::ExitStatus, said: String },
}

/// A program may take so long.
const TAKES: Duration = Duration::from_secs(10);
/// Of what it complains of, so much is shown.
const SAID_BYTES_MAX: usize = 500;
const ARGUMENTS_MAX: usize = 32;
const PLACEHOLDERS: [&str; 5] = ["{action}", "{client}", "{device}", "{reason}", "{gate}"];

/// The body of a POST, and the line of other receivers.
#[derive(Serialize)]
struct Body<'a> {
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    gate: &'a str,
    time: String,
}

impl Hook {
    /// Reads the tables `[hooks.NAME]`.
    pub fn read_all(root: &mut Section<'_, '_>) -> Vec<Self> {
        Receiver::read_tables(root, "hooks", |name, section| {
            let Some(given) = section.strings("command") else {
                let receiver = Receiver::read(name, section)?;
                return Some(Self { name: receiver.name.clone(), way: HookWay::Receiver(Box::new(receiver)) });
            };
            Receiver::check_name(name, section);
            let words: Vec<String> = given.iter().map(|word| word.value.clone()).collect();
            let place = given.first().map_or(&name.place, |word| &word.place);
            let fix =
                "write the program by its whole path, then its arguments: [\"/usr/local/sbin/port-off\", \"{client}\"]";
            let is_whole = words.first().is_some_and(|program| program.starts_with('/'));
            if !is_whole || words.len() > ARGUMENTS_MAX {
                section.problem(
                    place,
                    format!("`command` names no program by its path, or has more than {ARGUMENTS_MAX} words"),
                    fix,
                );
                return None;
            }
            Some(Self { name: name.value.clone(), way: HookWay::Command(words) })
        })
    }

    /// Whether a program is started for it.
    pub fn is_program(&self) -> bool {
        self.receiver().is_none()
    }

    /// Who it is, where it is no program.
    pub fn receiver(&self) -> Option<&Receiver> {
        match &self.way {
            HookWay::Command(_) => None,
            HookWay::Receiver(receiver) => Some(receiver),
        }
    }

    /// The same, to be changed.
    pub fn receiver_mut(&mut self) -> Option<&mut Receiver> {
        match &mut self.way {
            HookWay::Command(_) => None,
            HookWay::Receiver(receiver) => Some(receiver),
        }
    }

    /// Tells it, and waits until it has taken that.
    ///
    /// # Errors
    /// It has not, or not in time.
    pub async fn tell(&self, sink: &Sink, occasion: &Occasion<'_>) -> Result<(), NotTold> {
        match &self.way {
            HookWay::Command(words) => run(words, occasion).await,
            HookWay::Receiver(receiver) => {
                let body = occasion.body();
                let name = format!("{}-{}.json", format_time(occasion.now), occasion.action);
                let message = Message {
                    purpose: Purpose::Hook,
                    name: &name,
                    kind: "hook",
                    body: &body,
                    content_type: "application/json",
                    level: NOTICE,
                    fields: &[],
                    gate: occasion.gate,
                    now: occasion.now,
                };
                sink.send(receiver, message).await?;
                Ok(())
            }
        }
    }
}

impl Occasion<'_> {
    fn body(&self) -> String {
        let body = Body {
            action: self.action,
            client: self.client.as_deref(),
            device: self.device.as_deref(),
            reason: self.reason.as_deref(),
            gate: self.gate,
            time: format_time(self.now),
        };
        serde_json::to_string(&body).unwrap_or_default()
    }

    /// A word with its placeholders filled in. What is filled in is not looked at again.
    fn fill(&self, word: &str) -> String {
        let mut filled = String::new();
        let mut rest = word;
        while let Some((at, placeholder)) =
            PLACEHOLDERS.iter().filter_map(|one| rest.find(one).map(|at| (at, *one))).min()
        {
            filled.push_str(&rest[..at]);
            filled.push_str(match placeholder {
                "{action}" => self.action,
                "{client}" => self.client.as_deref().unwrap_or_default(),
                "{device}" => self.device.as_deref().unwrap_or_default(),
                "{reason}" => self.reason.as_deref().unwrap_or_default(),
                _ => self.gate,
            });
            rest = &rest[at + placeholder.len()..];
        }
        filled.push_str(rest);
        filled
    }
}

async fn run(words: &[String], occasion: &Occasion<'_>) -> Result<(), NotTold> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let program = program.clone();
    let not_run = |source| NotTold::NotRun { program: program.clone(), source };
    let mut child = Command::new(&program)
        .args(arguments.iter().map(|word| occasion.fill(word)))
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(not_run)?;
    let complaints = child.stderr.take();
    let mut said = Vec::new();
    let ended = async {
        tokio::select! {
            biased;
            // First, so that all of it is there once the program has ended.
            () = hear(complaints, &mut said) => {}
            // Whom it has started may hold its complaints open, and is not waited for.
            status = child.wait() => return status,
        }
        child.wait().await
    };
    match timeout(TAKES, ended).await {
        Err(_) => Err(NotTold::TooSlow { program }),
        Ok(Err(source)) => Err(not_run(source)),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => {
            let said = String::from_utf8_lossy(&said);
            let said = said.trim().escape_debug().to_string();
            let said = if said.is_empty() { said } else { format!(": {said}") };
            Err(NotTold::Failed { program, status, said })
        }
    }
}

/// Keeps what it complains of first; the rest is read and dropped, so that it can go on.
async fn hear(from: Option<impl AsyncRead + Unpin>, said: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let room = SAID_BYTES_MAX.saturating_sub(said.len()).min(count);
        said.extend_from_slice(&buffer[..room]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occasion() -> Occasion<'static> {
        Occasion {
            action: "isolate",
            client: Some("10.0.0.5".into()),
            device: None,
            reason: Some("{client} \"; rm -rf /".into()),
            gate: "gate",
            now: Timestamp(1_795_644_000_000_000),
        }
    }

    fn runs(script: &str, arguments: &[&str]) -> Result<(), NotTold> {
        let words: Vec<_> =
            [&["/bin/sh", "-c", script, "hook"], arguments].concat().iter().map(ToString::to_string).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&words, &occasion()))
    }

    #[test]
    fn placeholders_are_filled_in_once_and_no_shell_reads_them() {
        assert_eq!(occasion().fill("{action}:{client}:{device}:{gate}:{nothing}"), "isolate:10.0.0.5::gate:{nothing}");
        assert_eq!(occasion().fill("{reason}"), "{client} \"; rm -rf /");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("told");
        let to = path.to_str().unwrap();
        runs("printf '%s|%s' \"$1\" \"$2\" > \"$3\"", &["{client}", "{reason}", to]).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "10.0.0.5|{client} \"; rm -rf /");
    }

    #[test]
    fn a_program_that_fails_says_why_and_no_escape_of_it_reaches_a_terminal() {
        let error = runs("printf 'no such \\033[2J port' >&2; exit 3", &[]).unwrap_err().to_string();
        assert_eq!(error, "/bin/sh ended with exit status: 3: no such \\u{1b}[2J port");
        let long = runs("head -c 100000 /dev/zero >&2; exit 1", &[]).unwrap_err().to_string();
        assert!(long.len() < 5 * SAID_BYTES_MAX, "{}", long.len());
        let words = ["/nowhere/hook".to_owned()];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(run(&words, &occasion())).unwrap_err().to_string();
        assert!(error.starts_with("cannot run /nowhere/hook"), "{error}");
    }

    #[test]
    fn a_server_is_told_in_json() {
        let expected = r#"{"action":"isolate","client":"10.0.0.5","reason":"{client} \"; rm -rf /","gate":"gate","time":"2026-11-25T22:00:00.000000Z"}"#;
        assert_eq!(occasion().body(), expected);
    }
}

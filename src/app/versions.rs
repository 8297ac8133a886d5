//! What was learnt of new versions of browsers outlives the gate.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::facts::{ClientKey, Timestamp};
use crate::identity::Lesson;
use crate::session::Gate;

use super::kept;

/// More than ever is learnt of the browsers of `policy/browsers.toml`.
const LINES_MAX: usize = 10_000;

/// What was learnt of one stable key.
#[derive(Serialize, Deserialize)]
struct Line {
    browser: Box<str>,
    major: u16,
    tls_key: Box<str>,
    clients: Vec<String>,
    /// Microseconds since the Unix epoch.
    last: u64,
}

pub(super) fn take_up(gate: &Gate, data_dir: &Path) {
    let lessons: Vec<Lesson> = kept::read::<Line>(&path(data_dir), LINES_MAX).into_iter().map(Line::lesson).collect();
    gate.versions.take_up(&gate.browsers, &lessons);
}

/// Writes it down, where it has changed. Where that fails it is to be learnt again after a restart, which is said.
pub(super) fn write(gate: &Gate, data_dir: &Path) {
    let Some(lessons) = gate.versions.changed() else { return };
    if let Err(error) = kept::replace(&path(data_dir), lessons.iter().map(Line::of)) {
        gate.versions.not_kept();
        eprintln!("sekisho: warning: what was learnt of new browsers cannot be written to the data directory: {error}");
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("browser-versions.jsonl")
}

impl Line {
    fn of(lesson: &Lesson) -> Self {
        Self {
            browser: lesson.browser.clone(),
            major: lesson.major,
            tls_key: lesson.key.clone(),
            clients: lesson.clients.iter().map(ToString::to_string).collect(),
            last: lesson.last.0,
        }
    }

    fn lesson(self) -> Lesson {
        let Self { browser, major, tls_key, clients, last } = self;
        let clients = clients.iter().filter_map(|client| ClientKey::parse(client)).collect();
        Lesson { browser, major, key: tls_key, clients, last: Timestamp(last) }
    }
}

use std::fmt;

use super::{combined, squid};

/// The form that a line is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A record of ours: [`read_record`](crate::evidence::read_record) reads it.
    Journal,
    /// Squid's native access.log.
    Squid,
    /// NCSA's combined or common access.log, as Squid and Apache write it.
    Combined,
    /// A table of Zeek, whose `#` lines say what its columns are.
    ZeekTable,
    /// Zeek's JSON.
    ZeekJson,
}

impl Format {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Squid => "squid",
            Self::Combined => "combined",
            Self::ZeekTable => "zeek table",
            Self::ZeekJson => "zeek json",
        }
    }

    /// What a line looks like, by its beginning; it may prove to be damaged further on. Comments, which are in
    /// several formats, and empty lines look like nothing.
    pub fn of(text: &str) -> Option<Self> {
        [Self::Journal, Self::ZeekJson, Self::Squid, Self::ZeekTable, Self::Combined]
            .into_iter()
            .find(|format| format.fits(text))
    }

    pub(super) fn fits(self, text: &str) -> bool {
        match self {
            Self::Journal => {
                let rest =
                    text.strip_prefix("{\"v\":").map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
                rest.is_some_and(|rest| rest.starts_with(",\"seq\":"))
            }
            Self::ZeekJson => text.starts_with('{'),
            Self::Squid => squid::looks_like(text),
            Self::Combined => combined::looks_like(text),
            Self::ZeekTable => {
                text.starts_with("#separator ")
                    || text.starts_with("#fields")
                    || text.split_once('\t').is_some_and(|(first, _)| super::time::seconds(first).is_some())
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Journal => "our own journal",
            Self::Squid => "Squid's native access.log",
            Self::Combined => "access.log in the combined or common format",
            Self::ZeekTable => "Zeek's tables",
            Self::ZeekJson => "Zeek's JSON",
        })
    }
}

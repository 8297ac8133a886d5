//! What may be asked, as the command line has it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::review::questions::{By, read_span};

use super::super::arguments::notes;

#[derive(Debug, Subcommand)]
pub(super) enum Question {
    /// What was stopped, and why: by reason, by client, by host, then the newest one by one
    #[command(after_help = notes!(
        "sekisho review blocked --since yesterday",
        "sekisho review blocked --since 30d --part hosts --format csv > hosts.csv"
    ))]
    Blocked {
        #[command(flatten)]
        of: Of,
    },
    /// Every destination that a client or device ever had
    #[command(after_help = notes!(
        "sekisho review client 10.20.1.5",
        "sekisho review client PC-0123 --since 30d --tz Asia/Tokyo"
    ))]
    Client {
        /// An address, or a device's name
        #[arg(value_name = "ADDRESS|DEVICE")]
        client: String,
    },
    /// Every client that spoke to a host or tried to, and whose the first was
    #[command(after_help = notes!(
        "sekisho review host files.example",
        "sekisho review host '*.example.com' --since 90d"
    ))]
    Host {
        /// A host, *.NAME for all below a name, or an address
        host: String,
        #[command(flatten)]
        of: Of,
    },
    /// Hosts that were seen for the first time, the rarest first
    #[command(after_help = notes!("sekisho review unknown --since 1d"))]
    Unknown {
        #[command(flatten)]
        of: Of,
    },
    /// Connections that were let out and failed: refused, unanswered, no such name, reset
    #[command(after_help = notes!("sekisho review errors --since 1d"))]
    Errors {
        #[command(flatten)]
        of: Of,
    },
    /// What software speaks, and on how many clients, the rarest first
    #[command(after_help = notes!("sekisho review programs --since 30d"))]
    Programs {
        #[command(flatten)]
        of: Of,
    },
    /// Findings of what calls home at steady intervals
    #[command(after_help = notes!("sekisho review beacons --since 7d"))]
    Beacons {
        #[command(flatten)]
        of: Of,
    },
    /// Findings of tunnels
    #[command(after_help = notes!("sekisho review tunnels --since 7d"))]
    Tunnels {
        #[command(flatten)]
        of: Of,
    },
    /// All findings, the most pressing first, with what people hold them to be
    #[command(after_help = notes!("sekisho review findings --since 7d"))]
    Findings {
        #[command(flatten)]
        of: Of,
    },
    /// Look for thousands of indicators in all evidence
    ///
    /// Hosts and all below them, addresses, prefixes, URLs, JA4, SHA-256 of bodies: a line each or as CSV, plain or defanged
    /// (hxxp, [.], (dot), [at]). Lines that are not understood are listed. Queries of URLs are compared by their keyed hash,
    /// where the gate's key can be read.
    #[command(after_help = notes!(
        "sekisho review sweep indicators.txt",
        "sekisho review sweep - --format json < feed.csv | jq '.tables.hits.rows[]'"
    ))]
    Sweep {
        /// The list; `-` reads standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        of: Of,
    },
    /// All that the client of an exchange or record did around it
    #[command(after_help = notes!(
        "sekisho review around 01K8ZYA6M3Q",
        "sekisho review around 1959 1h"
    ))]
    Around {
        /// An exchange's id, or the number of a record
        id: String,
        /// How long before and after it: 10m, 1h, 30s, at most 7d
        #[arg(default_value = "10m", value_parser = span)]
        span: u64,
    },
    /// Exchanges that are like one, the newest first
    #[command(after_help = notes!(
        "sekisho review like 01K8ZYA6M3Q --by ja4",
        "sekisho review like 1959 --by network --since 30d",
        "sekisho review like --by domain --value files.example"
    ))]
    Like {
        /// An exchange's id, or the number of its opening record
        #[arg(required_unless_present = "value", conflicts_with = "value")]
        id: Option<String>,
        /// Instead of an exchange the value itself, as tables show it: a host, any name of a domain, any address of a
        /// network, a JA4, a path with * for what varies, a size in bytes, a time of the minute (RFC 3339), a client
        #[arg(long)]
        value: Option<String>,
        /// In what
        #[arg(long, value_enum)]
        by: ByWord,
        #[command(flatten)]
        of: Of,
    },
}

/// Of whom alone.
#[derive(Debug, Args)]
pub(super) struct Of {
    /// Of one client or device alone: an address, or a device's name
    #[arg(long, value_name = "ADDRESS|DEVICE")]
    pub(super) client: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ByWord {
    Host,
    /// The registrable domain
    Domain,
    /// The /24 that was dialled, of IPv6 the /48
    Network,
    Ja4,
    /// The path, with what varies taken out
    Path,
    /// As many bytes came down
    Size,
    /// It began in the same minute
    Minute,
    Client,
}

pub(super) fn span(text: &str) -> Result<u64, String> {
    const MOST: u64 = 7 * 86_400_000_000;
    let text = text.trim_start_matches(['±', '+', '-']);
    read_span(text).filter(|span| *span <= MOST).ok_or_else(|| "write how long, such as 10m, at most 7d".to_owned())
}

impl Question {
    /// How its record names it, and whose records it is about where that is known before.
    pub(super) fn looks_up(&self) -> Option<(String, Option<&str>)> {
        let (asked, of) = match self {
            Question::Client { client } => return Some(("client".to_owned(), Some(client))),
            Question::Blocked { of } => ("blocked".to_owned(), of),
            Question::Host { host, of } => (format!("host {host}"), of),
            Question::Unknown { of } => ("unknown".to_owned(), of),
            Question::Errors { of } => ("errors".to_owned(), of),
            Question::Programs { of } => ("programs".to_owned(), of),
            Question::Beacons { of } => ("beacons".to_owned(), of),
            Question::Tunnels { of } => ("tunnels".to_owned(), of),
            Question::Findings { of } => ("findings".to_owned(), of),
            Question::Like { id, value, of, by } if *by != ByWord::Client => {
                let like = id.as_ref().or(value.as_ref()).map_or("", String::as_str);
                let by = by.to_possible_value().map_or(String::new(), |by| by.get_name().to_owned());
                (format!("like {like} by {by}"), of)
            }
            // Whose they are the index knows; what a sweep asks its list says.
            Question::Around { .. } | Question::Like { .. } | Question::Sweep { .. } => return None,
        };
        Some((asked, of.client.as_deref()))
    }

    /// Of whom alone it is asked.
    pub(super) fn only_of(&self) -> Option<&str> {
        match self {
            Question::Client { .. } | Question::Around { .. } => None,
            Question::Blocked { of }
            | Question::Host { of, .. }
            | Question::Unknown { of }
            | Question::Errors { of }
            | Question::Programs { of }
            | Question::Beacons { of }
            | Question::Tunnels { of }
            | Question::Findings { of }
            | Question::Sweep { of, .. }
            | Question::Like { of, .. } => of.client.as_deref(),
        }
    }
}

impl ByWord {
    pub(super) fn meant(self) -> By {
        match self {
            ByWord::Host => By::Host,
            ByWord::Domain => By::Domain,
            ByWord::Network => By::Network,
            ByWord::Ja4 => By::Ja4,
            ByWord::Path => By::Path,
            ByWord::Size => By::Size,
            ByWord::Minute => By::Minute,
            ByWord::Client => By::Client,
        }
    }
}

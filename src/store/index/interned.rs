use rusqlite::{Connection, OptionalExtension, params};

use crate::evidence::{RecordLine, Said};

use super::IndexError;
use super::manner::Manners;
use super::names::{Names, bounded};

/// Paths that are told apart.
const PATHS_MAX: i64 = 200_000;
/// Names of all kinds.
pub(super) struct AllNames {
    pub(super) client: Names,
    pub(super) user: Names,
    pub(super) address: Names,
    pub(super) host: Names,
    pub(super) program: Names,
    pub(super) judgement: Names,
    pub(super) ending: Names,
    pub(super) word: Names,
    pub(super) path: Names,
    pub(super) course: Names,
    pub(super) manner: Manners,
}

impl AllNames {
    pub(super) fn new() -> Self {
        let insert = "INSERT INTO path (name) VALUES (?1)";
        Self {
            client: Names::of("INSERT INTO client (name) VALUES (?1)", "SELECT id FROM client WHERE name = ?1"),
            user: Names::of("INSERT INTO user (name) VALUES (?1)", "SELECT id FROM user WHERE name = ?1"),
            address: Names::of("INSERT INTO address (name) VALUES (?1)", "SELECT id FROM address WHERE name = ?1"),
            host: Names::of(
                "INSERT INTO host (name, domain, first_time, first_seq, first_client) VALUES (?1, ?2, ?3, ?4, ?5)",
                "SELECT id FROM host WHERE name = ?1",
            ),
            program: Names::of(
                "INSERT INTO program (user_agent, ja4, tls_key) VALUES (?1, ?2, ?3)",
                "SELECT id FROM program WHERE user_agent = ?1 AND ja4 = ?2 AND tls_key = ?3",
            ),
            judgement: Names::of(
                "INSERT INTO judgement (verdict, would, reason, rule, rule_at, stopped) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                "SELECT id FROM judgement WHERE verdict = ?1 AND would = ?2 AND reason = ?3 AND rule = ?4 AND rule_at = ?5",
            ),
            ending: Names::of(
                "INSERT INTO ending (closed_by, closed_how, class) VALUES (?1, ?2, ?3)",
                "SELECT id FROM ending WHERE closed_by = ?1 AND closed_how = ?2",
            ),
            word: Names::of("INSERT INTO word (name) VALUES (?1)", "SELECT id FROM word WHERE name = ?1"),
            path: Names::of(insert, "SELECT id FROM path WHERE name = ?1"),
            course: Names::of(
                "INSERT INTO course (host, port, protocol, state, rule, source) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                "SELECT id FROM course WHERE host = ?1 AND port = ?2 AND protocol = ?3 AND state = ?4 AND rule = ?5 AND source = ?6",
            ),
            manner: Manners::default(),
        }
    }

    pub(super) fn word(&mut self, connection: &Connection, word: Option<&str>) -> Result<Option<i64>, IndexError> {
        word.map(|word| self.word.number(connection, word)).transpose()
    }

    pub(super) fn host(
        &mut self,
        connection: &Connection,
        host: &str,
        (first_time, first_seq): (i64, i64),
        client: i64,
    ) -> Result<i64, IndexError> {
        let host = bounded(host);
        let domain = domain_of(host);
        let first = params![host, domain, first_time, first_seq, client];
        Ok(self.host.number_of(connection, host, first, params![host])?.0)
    }

    /// `None` beyond the bound.
    pub(super) fn path(
        &mut self,
        connection: &Connection,
        path: &str,
        known: &mut i64,
    ) -> Result<Option<i64>, IndexError> {
        if *known >= PATHS_MAX {
            let mut found = connection.prepare_cached("SELECT id FROM path WHERE name = ?1")?;
            return Ok(Some(found.query_row([bounded(path)], |row| row.get(0)).optional()?.unwrap_or(0)));
        }
        let path = bounded(path);
        let (number, is_new) = self.path.number_of(connection, path, params![path], params![path])?;
        *known += i64::from(is_new);
        Ok(Some(number))
    }

    /// The program that shows this; what it showed before, and does not now, is still its.
    pub(super) fn program(
        &mut self,
        connection: &Connection,
        shows: [&str; 3],
        before: Option<i64>,
    ) -> Result<i64, IndexError> {
        let mut shows = shows.map(|said| bounded(said).to_owned());
        if let Some(before) = before.filter(|_| shows.iter().any(String::is_empty)) {
            let known: Option<[String; 3]> = connection
                .prepare_cached("SELECT user_agent, ja4, tls_key FROM program WHERE id = ?1")?
                .query_row([before], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
                .optional()?;
            for (now, known) in shows.iter_mut().zip(known.unwrap_or_default()) {
                if now.is_empty() {
                    *now = known;
                }
            }
        }
        let [user_agent, ja4, tls_key] = &shows;
        let key = shows.join("\u{1f}");
        let (inserted, selected) = (params![user_agent, ja4, tls_key], params![user_agent, ja4, tls_key]);
        Ok(self.program.number_of(connection, &key, inserted, selected)?.0)
    }

    /// Its number, whether nothing was let out, and whether something would not have been.
    pub(super) fn judgement(
        &mut self,
        connection: &Connection,
        verdict: &str,
        record: &RecordLine<'_>,
    ) -> Result<(i64, bool, bool), IndexError> {
        let said = |said: &Option<Said<'_>>| bounded(said.as_deref().unwrap_or_default()).to_owned();
        let (would, reason, rule, at) =
            (said(&record.would), said(&record.reason), said(&record.rule), said(&record.rule_at));
        let stopped = verdict != "allow";
        let key = [verdict, &would, &reason, &rule, &at].join("\u{1f}");
        let selected = params![verdict, would, reason, rule, at];
        let inserted = params![verdict, would, reason, rule, at, stopped];
        let number = self.judgement.number_of(connection, &key, inserted, selected)?.0;
        Ok((number, stopped, !stopped && !would.is_empty() && would != "allow"))
    }

    /// What a flow has in common with others.
    pub(super) fn course(
        &mut self,
        connection: &Connection,
        port: u16,
        record: &RecordLine<'_>,
    ) -> Result<i64, IndexError> {
        let said = [&record.host, &record.protocol, &record.state, &record.rule, &record.source];
        let [host, protocol, state, rule, source] = said.map(|said| bounded(said.as_deref().unwrap_or_default()));
        let key = [host, protocol, state, rule, source, &port.to_string()].join("\u{1f}");
        let (inserted, selected) =
            (params![host, port, protocol, state, rule, source], params![host, port, protocol, state, rule, source]);
        Ok(self.course.number_of(connection, &key, inserted, selected)?.0)
    }

    /// Its number, and whether it came to nothing.
    pub(super) fn ending(&mut self, connection: &Connection, by: &str, how: &str) -> Result<(i64, bool), IndexError> {
        let (by, how) = (bounded(by), bounded(how));
        let class = class_of(by, how);
        let key = [by, how].join("\u{1f}");
        let number = self.ending.number_of(connection, &key, params![by, how, class], params![by, how])?.0;
        Ok((number, !class.is_empty()))
    }
}

/// The registrable domain of a host; the host itself where it has none.
pub fn domain_of(host: &str) -> &str {
    let is_name = host.bytes().any(|byte| byte.is_ascii_alphabetic()) && !host.starts_with('[');
    Some(host).filter(|_| is_name).and_then(psl::domain_str).unwrap_or(host)
}

/// Of what was let out and came to nothing, why; '' where it ended well, or a client or the gate ended it.
fn class_of(by: &str, how: &str) -> &'static str {
    match how {
        "dns_failed" => "dns",
        "connect_failed" => "refused",
        "connect_timeout" | "parent_timeout" | "origin_timeout" => "unanswered",
        "tls_failed" | "tls_refused" if by != "client" => "tls",
        "reset" | "origin_reset" if by == "origin" || by == "parent" => "reset",
        how if how.starts_with("parent_") => "other",
        _ => "",
    }
}

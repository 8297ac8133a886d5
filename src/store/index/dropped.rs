//! Days that the journal does not have any more.

use rusqlite::{Connection, params};

use crate::evidence::{Retention, RetentionAction, read_record};

use super::day::of_day;
use super::fill::signed;
use super::interned::AllNames;
use super::{DAY_US, Filler, IndexError};

/// Names that only a day had that has gone: their tables, and where a day that is left would have them.
const NAMES: [(&str, &str, &str); 5] = [
    ("client", "p_DAY", "client"),
    ("program", "s_DAY", "program"),
    ("address", "w_DAY", "client"),
    ("address", "w_DAY", "address"),
    ("course", "w_DAY", "course"),
];
/// Those that stand in the exchanges alone, and in which columns.
const NAMES_OF_EXCHANGES: [(&str, &[&str]); 4] =
    [("user", &["user"]), ("path", &["path"]), ("manner", &["manner"]), ("address", &["dialled", "captured"])];

impl Filler {
    /// Takes out what belongs to days that have gone, so that what is left is what a journal without them gives: their tables,
    /// names that nothing else has, and who asked for a host first.
    pub(super) fn retire(&mut self, retention: &Retention) -> Result<(), IndexError> {
        if retention.action != RetentionAction::Dropped {
            return Ok(());
        }
        let stretches = retention.dropped_days();
        let is_gone = |day: i64| stretches.iter().any(|(first, last)| (*first..=*last).contains(&day));
        let gone: Vec<i64> = self.made.iter().copied().filter(|day| is_gone(*day)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        // All that is known of the days that stay must be in their tables.
        let bulk = std::mem::replace(&mut self.bulk, false);
        self.write_rows()?;
        self.flush()?;
        self.bulk = bulk;
        self.connection.execute_batch(
            "CREATE TEMP TABLE gone_host (id INTEGER PRIMARY KEY, seq INTEGER, time INTEGER, client INTEGER);
             CREATE TEMP TABLE gone (kind TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
             CREATE TEMP TABLE gone_finding (id TEXT PRIMARY KEY) WITHOUT ROWID;",
        )?;
        for day in &gone {
            self.note_names(*day)?;
            let drop = "DROP TABLE x_DAY; DROP TABLE p_DAY; DROP TABLE r_DAY; DROP TABLE f_DAY; DROP TABLE s_DAY;
                DROP TABLE d_DAY; DROP TABLE q_DAY; DROP TABLE w_DAY;
                DROP TABLE v_DAY; DROP TABLE u_DAY; DROP TABLE b_DAY; DELETE FROM unread WHERE day = DAY;
                INSERT OR IGNORE INTO gone_finding SELECT id FROM told WHERE day = DAY;
                DELETE FROM day WHERE day = DAY; DELETE FROM open WHERE day = DAY; DELETE FROM told WHERE day = DAY;
                DELETE FROM event WHERE day = DAY; DELETE FROM device WHERE day = DAY;";
            self.connection.flush_prepared_statement_cache();
            self.connection.execute_batch(&of_day(drop, *day))?;
        }
        self.made.retain(|day| !is_gone(*day));
        self.open.retain(|row| !is_gone(row.day));
        self.insert = (i64::MIN, String::new());
        self.first_of_hosts()?;
        self.forget_names()?;
        self.tell_findings()?;
        self.connection.execute_batch("DROP TABLE gone_host; DROP TABLE gone; DROP TABLE gone_finding;")?;
        self.names = AllNames::new();
        self.paths = self.connection.query_row("SELECT count(*) FROM path", [], |row| row.get(0))?;
        Ok(())
    }

    /// Names that a day has, which may be in no other.
    fn note_names(&self, day: i64) -> Result<(), IndexError> {
        let hosts = "INSERT OR IGNORE INTO gone_host (id) SELECT h.id FROM host h WHERE h.id IN (SELECT host FROM p_DAY)
            AND h.first_seq BETWEEN (SELECT first_seq FROM day WHERE day = DAY) AND (SELECT last_seq FROM day WHERE day = DAY)";
        self.connection.execute(&of_day(hosts, day), [])?;
        let in_sums = NAMES.iter().map(|(kind, table, column)| (*kind, *table, *column));
        let in_exchanges = NAMES_OF_EXCHANGES
            .iter()
            .flat_map(|(kind, columns)| columns.iter().map(|column| (*kind, "x_DAY", *column)));
        for (kind, table, column) in in_sums.chain(in_exchanges) {
            let names = format!(
                "INSERT OR IGNORE INTO gone SELECT '{kind}', {column} FROM {table} WHERE {column} IS NOT NULL GROUP BY {column}"
            );
            self.connection.execute(&of_day(&names, day), [])?;
        }
        Ok(())
    }

    /// Who asked first for hosts whose first exchange has gone; those that nobody asked for since are gone, too.
    fn first_of_hosts(&self) -> Result<(), IndexError> {
        for (day, first_seq) in self.days_by_record()? {
            let asked = "SELECT g.id FROM gone_host g WHERE (g.seq IS NULL OR g.seq > ?1)
                AND EXISTS (SELECT 1 FROM p_DAY p WHERE p.host = g.id)";
            let is_any = format!("SELECT EXISTS ({asked})");
            if !self.connection.query_row(&of_day(&is_any, day), [first_seq], |row| row.get::<_, bool>(0))? {
                continue;
            }
            let first = format!(
                "INSERT INTO gone_host SELECT x.host, min(x.seq), x.at + ?2, x.client FROM x_DAY x WHERE x.host IN ({asked})
                 GROUP BY x.host ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, time = excluded.time,
                 client = excluded.client WHERE gone_host.seq IS NULL OR excluded.seq < gone_host.seq"
            );
            self.connection.execute(&of_day(&first, day), params![first_seq, day.saturating_mul(DAY_US)])?;
        }
        self.connection.execute_batch(
            "DELETE FROM host WHERE id IN (SELECT id FROM gone_host WHERE seq IS NULL);
             UPDATE host SET first_time = g.time, first_seq = g.seq, first_client = g.client
                FROM gone_host g WHERE g.id = host.id AND g.seq IS NOT NULL;",
        )?;
        Ok(())
    }

    /// The days that are left, by their first records.
    fn days_by_record(&self) -> Result<Vec<(i64, i64)>, IndexError> {
        let mut statement = self.connection.prepare("SELECT day, first_seq FROM day ORDER BY first_seq")?;
        let days = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        Ok(days)
    }

    /// Takes away names that no day has any more. Those of vocabularies, such as methods, stay.
    fn forget_names(&self) -> Result<(), IndexError> {
        for (kind, table, column) in NAMES {
            for day in &self.made {
                let used = format!(
                    "DELETE FROM gone WHERE kind = '{kind}'
                     AND EXISTS (SELECT 1 FROM {table} t WHERE t.{column} = gone.id)"
                );
                self.connection.execute(&of_day(&used, *day), [])?;
            }
        }
        for (kind, columns) in NAMES_OF_EXCHANGES {
            // The newest days first: most names are in use.
            for day in self.made.iter().rev() {
                if !any_left(&self.connection, kind)? {
                    break;
                }
                for column in columns {
                    let used = format!(
                        "DELETE FROM gone WHERE kind = '{kind}'
                         AND id IN (SELECT {column} FROM x_DAY WHERE {column} IS NOT NULL GROUP BY {column})"
                    );
                    self.connection.execute(&of_day(&used, *day), [])?;
                }
            }
        }
        for kind in NAMES.iter().map(|(kind, ..)| *kind).chain(NAMES_OF_EXCHANGES.map(|(kind, _)| kind)) {
            let forget = format!("DELETE FROM {kind} WHERE id IN (SELECT id FROM gone WHERE kind = '{kind}')");
            self.connection.execute(&forget, [])?;
        }
        Ok(())
    }

    /// Of findings of which a record has gone, what is left of them.
    fn tell_findings(&mut self) -> Result<(), IndexError> {
        self.connection.execute("DELETE FROM finding WHERE id IN (SELECT id FROM gone_finding)", [])?;
        let mut statement = self
            .connection
            .prepare("SELECT day, line FROM told WHERE id IN (SELECT id FROM gone_finding) ORDER BY seq")?;
        let left = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let left = left.collect::<Result<Vec<(i64, String)>, _>>()?;
        drop(statement);
        for (day, line) in left {
            if let Ok(record) = read_record(line.as_bytes()) {
                self.put_finding(line.as_bytes(), signed(record.seq), signed(record.time.0), day)?;
            }
        }
        Ok(())
    }
}

fn any_left(connection: &Connection, kind: &str) -> Result<bool, IndexError> {
    Ok(connection.query_row("SELECT EXISTS (SELECT 1 FROM gone WHERE kind = ?1)", [kind], |row| row.get(0))?)
}

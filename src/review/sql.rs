use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::ffi::ErrorCode;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error};

use crate::evidence::shown;
use crate::store::{Disk as _, Index, IndexError, SystemDisk};

/// A cell of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue<'a> {
    Null,
    Integer(i64),
    Real(f64),
    /// As it was recorded: others chose it, and it may hold anything.
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
}

/// Where an answer goes, as it is found.
pub trait SqlRows {
    /// The names of the columns; comes first, and once.
    ///
    /// # Errors
    /// It cannot be written: then there is nothing more.
    fn head(&mut self, columns: &[String]) -> io::Result<()>;

    /// A row, with as many cells.
    ///
    /// # Errors
    /// As [`SqlRows::head`].
    fn row(&mut self, cells: &[SqlValue<'_>]) -> io::Result<()>;
}

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    #[error(transparent)]
    Index(IndexError),
    #[error("there is no statement to run")]
    Empty,
    #[error("there is more than one statement, and one is run at a time")]
    Several,
    /// What the statement would have done.
    #[error("refused: {0}; `sekisho sql` reads, and nothing else")]
    Refused(String),
    /// Lines and columns count from 1.
    #[error("{what}, at line {line}, column {column}:\n{excerpt}")]
    Wrong { what: String, line: usize, column: usize, excerpt: String },
    #[error("{0}")]
    Failed(String),
    #[error("the statement needs more memory than it may have")]
    Memory,
    #[error("the statement needs more than the {} MiB of the journal's disk that it may have while it sorts", SPILL_BYTES_MAX >> 20)]
    Disk,
    #[error("the statement took too long")]
    TooLong,
    #[error("cannot write the answer: {0}")]
    Write(io::Error),
}

/// Of its machine, before it is asked whether to go on.
const STEPS: i32 = 10_000;
/// Of all that SQLite holds in this process, where that is there for one statement alone.
const HEAP_BYTES_MAX: i64 = 384 << 20;
/// Of a text, and of a row.
const LENGTH_MAX: i32 = 16 << 20;

/// Steps of a statement beside others, whose temporary file is looked at.
const STEPS_AMONG_OTHERS: i32 = 1_000;
/// Of the disk, while a statement that is not alone sorts what does not fit into memory: that disk is the journal's.
const SPILL_BYTES_MAX: u64 = 256 << 20;

/// What keeps a statement small that is not alone in its process, as far as it can be kept: SQLite has no bound of memory for
/// one connection, and that of the process ([`bound_memory`](crate::store::bound_memory)) is the last. What a statement holds
/// at the same time is texts of so many bytes: its constants, its arguments, one in another, and its columns. What it sorts and
/// groups goes to a file.
const AMONG_OTHERS: [(Limit, i32); 4] = [
    (Limit::SQLITE_LIMIT_LENGTH, 128 << 10),
    (Limit::SQLITE_LIMIT_COLUMN, 200),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 32),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
];

/// Whether a statement has its process for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    Alone,
    /// The gate asks SQLite too.
    Others,
}
/// Of a statement. The views themselves need more than anyone writes, and are made before.
pub const SQL_BYTES_MAX: usize = 1 << 20;
/// Of one that is not alone: each of its constants may become a text that it holds.
const SQL_BYTES_AMONG_OTHERS: usize = 16 << 10;

/// Asks the views of [`VIEWS`](crate::store::VIEWS) by one statement of SQL that reads. The answer comes row by row and is not
/// kept; sorting what does not fit into memory goes on in a file without a name. What SQLite holds in this process is bounded
/// from here on: it is for a process that does nothing else.
///
/// # Errors
/// There is no index, the statement is wrong, would do other than read, or needs too much.
pub fn sql(data_dir: &Path, text: &str, rows: &mut impl SqlRows) -> Result<(), SqlError> {
    ask(data_dir, text, rows, (Company::Alone, || None))
}

/// The same in a process that asks SQLite for other things too, which are left as they are: shorter texts and fewer
/// columns. It goes on for as long as `goes_on` says so, which is asked every few milliseconds.
///
/// # Errors
/// As [`sql`], and that it took too long.
pub fn sql_while(
    data_dir: &Path,
    text: &str,
    rows: &mut impl SqlRows,
    goes_on: impl FnMut() -> bool + Send + 'static,
) -> Result<(), SqlError> {
    let directory = data_dir.to_owned();
    let free = move || SystemDisk.free_bytes(&directory).unwrap_or(u64::MAX);
    sql_among_others(data_dir, text, rows, goes_on, free)
}

fn sql_among_others(
    data_dir: &Path,
    text: &str,
    rows: &mut impl SqlRows,
    mut goes_on: impl FnMut() -> bool + Send + 'static,
    mut free: impl FnMut() -> u64 + Send + 'static,
) -> Result<(), SqlError> {
    let least = free().saturating_sub(SPILL_BYTES_MAX);
    let stop = move || match (goes_on(), free() < least) {
        (false, _) => Some(Stop::TooLong),
        (true, true) => Some(Stop::Disk),
        (true, false) => None,
    };
    ask(data_dir, text, rows, (Company::Others, stop))
}

/// Why a statement was ended that ran.
#[derive(Debug, Clone, Copy)]
enum Stop {
    TooLong,
    Disk,
}

fn ask(
    data_dir: &Path,
    text: &str,
    rows: &mut impl SqlRows,
    (company, mut stop): (Company, impl FnMut() -> Option<Stop> + Send + 'static),
) -> Result<(), SqlError> {
    let bytes_max = if company == Company::Alone { SQL_BYTES_MAX } else { SQL_BYTES_AMONG_OTHERS };
    if text.len() > bytes_max {
        return Err(SqlError::Failed(format!("the statement is longer than {} KiB", bytes_max >> 10)));
    }
    let mut connection = Index::open_with_views(data_dir).map_err(SqlError::Index)?.into_connection();
    let refused = restrain(&mut connection, company).map_err(|error| SqlError::Index(error.into()))?;
    let steps = if company == Company::Alone { STEPS } else { STEPS_AMONG_OTHERS };
    let ended = Arc::new(AtomicBool::new(false));
    let tells = Arc::clone(&ended);
    let handler = connection.progress_handler(
        steps,
        Some(move || {
            let stop = stop();
            tells.fetch_or(matches!(stop, Some(Stop::Disk)), Ordering::Relaxed);
            stop.is_some()
        }),
    );
    handler.map_err(|error| SqlError::Index(error.into()))?;
    answer(&connection, text, rows).map_err(|failure| match failure {
        Failure::Of(error) => error,
        Failure::Sqlite(_) if ended.load(Ordering::Relaxed) => SqlError::Disk,
        Failure::Sqlite(error) => told(error, text, &refused),
    })
}

enum Failure {
    Of(SqlError),
    Sqlite(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Sqlite(error)
    }
}

fn answer(connection: &Connection, text: &str, rows: &mut impl SqlRows) -> Result<(), Failure> {
    let mut statement = connection.prepare(text)?;
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(Failure::Of(SqlError::Refused("a statement that gives no rows".to_owned())));
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let written = |error| Failure::Of(SqlError::Write(error));
    rows.head(&columns).map_err(written)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let cells = (0..columns.len()).map(|at| row.get_ref(at).map(value)).collect::<Result<Vec<_>, _>>()?;
        rows.row(&cells).map_err(written)?;
    }
    Ok(())
}

fn value(value: ValueRef<'_>) -> SqlValue<'_> {
    match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(number) => SqlValue::Integer(number),
        ValueRef::Real(number) => SqlValue::Real(number),
        ValueRef::Text(text) => SqlValue::Text(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => SqlValue::Bytes(bytes),
    }
}

/// What was refused first, of the statement being prepared.
type Refused = Arc<Mutex<Option<String>>>;

/// From here on the connection only reads, and within bounds.
fn restrain(connection: &mut Connection, company: Company) -> Result<Refused, Error> {
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, LENGTH_MAX),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000),
    ] {
        connection.set_limit(limit, most)?;
    }
    match company {
        Company::Alone => connection.pragma_update(None, "hard_heap_limit", HEAP_BYTES_MAX)?,
        Company::Others => {
            for (limit, most) in AMONG_OTHERS {
                connection.set_limit(limit, most)?;
            }
        }
    }
    let refused = Refused::default();
    let told = Arc::clone(&refused);
    connection.authorizer(Some(move |context: AuthContext<'_>| match forbidden(&context.action) {
        None => Authorization::Allow,
        Some(what) => {
            told.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
            Authorization::Deny
        }
    }))?;
    Ok(refused)
}

/// What of a statement is not reading; `None` for what is.
fn forbidden(action: &AuthAction<'_>) -> Option<String> {
    match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => None,
        AuthAction::Function { function_name } => {
            let name = function_name.to_ascii_lowercase();
            let known = FUNCTIONS.split_ascii_whitespace().any(|known| known == name);
            (!known).then(|| format!("the function {name}"))
        }
        AuthAction::Attach { .. } => Some("ATTACH opens another file".to_owned()),
        AuthAction::Detach { .. } => Some("DETACH".to_owned()),
        AuthAction::Pragma { pragma_name, .. } => Some(format!("PRAGMA {pragma_name}")),
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => Some("a transaction".to_owned()),
        _ => Some("a statement that would write".to_owned()),
    }
}

/// Those of SQLite that compute from what they are given (sqlite.org: lang_corefunc, lang_aggfunc, lang_datefunc, lang_mathfunc,
/// windowfunctions, json1), and the two of the views. What reads files, loads code or makes randomness of any size is not among them.
const FUNCTIONS: &str = "
    time_text exchange_id
    abs char coalesce concat concat_ws format glob hex if ifnull iif instr length like likelihood likely lower ltrim max min
    nullif octet_length printf quote random replace round rtrim sign soundex substr substring trim typeof unhex unicode
    unistr unistr_quote unlikely upper -> ->>
    avg count group_concat median percentile percentile_cont percentile_disc string_agg sum total
    date datetime julianday strftime time timediff unixepoch current_date current_time current_timestamp
    acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power
    radians sin sinh sqrt tan tanh trunc
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
    json json_array json_array_length json_error_position json_extract json_group_array json_group_object json_object
    json_quote json_type json_valid json_each json_tree
";

/// SQLite's error as a person can use it.
fn told(error: Error, text: &str, refused: &Refused) -> SqlError {
    if let Some(what) = refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return SqlError::Refused(what);
    }
    if error.sqlite_error_code() == Some(ErrorCode::OutOfMemory) {
        return SqlError::Memory;
    }
    if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
        return SqlError::TooLong;
    }
    match error {
        Error::MultipleStatement => SqlError::Several,
        Error::SqlInputError { msg, offset, .. } => match usize::try_from(offset) {
            Ok(offset) if offset <= text.len() => wrong(msg, text, offset),
            Ok(_) | Err(_) => SqlError::Failed(shown(&msg).into_owned()),
        },
        Error::Empty => SqlError::Empty,
        Error::SqliteFailure(_, Some(message)) => SqlError::Failed(shown(&message).into_owned()),
        error if matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)) => {
            SqlError::Index(error.into())
        }
        error => SqlError::Failed(error.to_string()),
    }
}

/// Shows the line, with what is before the place and a mark under it.
fn wrong(what: String, text: &str, offset: usize) -> SqlError {
    let before = text.get(..text.floor_char_boundary(offset)).unwrap_or_default();
    let begins = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    let column = before.get(begins..).unwrap_or_default().chars().count() + 1;
    let whole: Vec<char> = text.get(begins..).unwrap_or_default().lines().next().unwrap_or_default().chars().collect();
    let from = column.saturating_sub(EXCERPT / 2);
    let part: String = whole.iter().skip(from).take(EXCERPT).map(safe).collect();
    let excerpt = format!("  {part}\n  {}^", " ".repeat(column - 1 - from.min(column - 1)));
    SqlError::Wrong { what: shown(&what).into_owned(), line, column, excerpt }
}

/// The mark stays where it is.
fn safe(character: &char) -> char {
    match shown(character.encode_utf8(&mut [0; 4])) {
        Cow::Borrowed(_) => *character,
        Cow::Owned(_) => ' ',
    }
}

/// Characters of a line that are shown.
const EXCERPT: usize = 100;

#[cfg(test)]
mod tests;

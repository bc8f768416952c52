//! Read-only SQL over the documented views, within limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use controlplane_store::StateError;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ErrorCode, Row};

use crate::{fault, views};

/// A question to the store in SQL, and what its answer may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// One `SELECT`.
    pub sql: String,
    /// Most rows of the answer.
    pub rows: usize,
    /// Most bytes of the answer's cells.
    pub bytes: usize,
    /// Longest time that it may take.
    pub time: Duration,
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows; each has a cell a column.
    pub rows: Vec<Vec<Cell>>,
    /// Whether there are more rows than the limits allow.
    pub truncated: bool,
}

/// One value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// `NULL`.
    Null,
    /// A whole number.
    Integer(i64),
    /// Another number.
    Real(f64),
    /// Text; bytes that are no text are shown with replacements.
    Text(String),
}

/// Why a [`Query`] has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// *Invalid*: SQLite does not understand it, or it wants more than reading the views.
    #[error("{0}")]
    Refused(String),
    /// *Invalid*: it took too long.
    #[error("it did not end within {} s: ask for less, as by a condition on key, revision or name", .0.as_secs())]
    TooSlow(Duration),
    /// *Invalid*: a value on the way to its answer is too large.
    #[error("a value that it computes is larger than {0} bytes")]
    TooLarge(i32),
    /// The store could not be read.
    #[error("read the store")]
    Failed(#[from] StateError),
}

/// Longest statement in bytes.
const MAX_SQL: i32 = 64 << 10;
/// Largest value on the way to an answer, in bytes: a stored object of the greatest size fits several times.
const MAX_VALUE: i32 = 16 << 20;
/// Instructions of SQLite between two looks at the clock.
const LOOK: i32 = 10_000;

/// Functions that a query may call: those of SQLite that only compute.
const FUNCTIONS: &str = "abs acos asin atan atan2 avg ceil ceiling char coalesce concat concat_ws cos count cume_dist \
    date datetime degrees dense_rank exp first_value floor format glob group_concat hex if ifnull iif instr json ->> -> \
    json_array json_array_length json_each json_error_position json_extract json_group_array json_group_object \
    json_insert json_object json_patch json_pretty json_quote json_remove json_replace json_set json_tree json_type \
    json_valid julianday lag last_value lead length like likelihood likely ln log log10 log2 lower ltrim max median min \
    mod nth_value ntile nullif octet_length percent_rank pi pow power printf quote radians rank replace round row_number \
    rtrim sign sin sqrt strftime string_agg substr substring sum tan time timediff total trim trunc typeof unhex \
    unicode unixepoch unlikely upper";

/// Answers `query` from `db`, a connection that is used for nothing else.
pub(crate) fn answer(mut db: Connection, query: &Query) -> Result<Answer, QueryError> {
    let late = confine(&mut db, query.time).map_err(fault::before_commit)?;
    let explain = |error: Error| explain(error, query, late.load(Ordering::Relaxed));
    let mut select = db.prepare(&query.sql).map_err(explain)?;
    if !select.readonly() || select.column_count() == 0 {
        return Err(QueryError::Refused("only a SELECT is answered".to_owned()));
    }
    let columns = select.column_names().map(str::to_owned);
    let mut answer = Answer {
        columns: columns.collect(),
        ..Answer::default()
    };
    let mut left = query.bytes;
    let mut rows = select.query(()).map_err(explain)?;
    while let Some(row) = rows.next().map_err(explain)? {
        let cells = read(row, answer.columns.len()).map_err(explain)?;
        let size: usize = cells.iter().map(Cell::size).sum();
        if answer.rows.len() == query.rows || size > left {
            answer.truncated = true;
            break;
        }
        left -= size;
        answer.rows.push(cells);
    }
    Ok(answer)
}

/// Lets `db` do nothing but read the views, for `time`; what it returns tells whether the time is up.
fn confine(db: &mut Connection, time: Duration) -> rusqlite::Result<Arc<AtomicBool>> {
    db.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_SQL)?;
    db.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE)?;
    db.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    // Large sorts go to files that nobody else sees, instead of filling the memory.
    db.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = FILE;")?;
    db.authorizer(Some(authorize))?;
    let late = Arc::new(AtomicBool::new(false));
    let (told, begun) = (Arc::clone(&late), Instant::now());
    db.progress_handler(
        LOOK,
        Some(move || {
            let over = begun.elapsed() > time;
            told.store(over, Ordering::Relaxed);
            over
        }),
    )?;
    Ok(late)
}

/// The views are an interface, not a wall: whoever may ask may read every object. So it is no harm that a query can give a
/// part of itself a view's name and reach the tables through it.
fn authorize(context: AuthContext<'_>) -> Authorization {
    let is_view = |name: &str| views::NAMES.contains(&name);
    let allowed = match context.action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Read {
            table_name,
            column_name,
        } => {
            is_view(table_name)
                || context.accessor.is_some_and(is_view)
                || matches!(table_name, "json_each" | "json_tree")
                // How rows are counted, of what the query itself names, too; nothing of them is read.
                || (column_name.is_empty() && !table_name.starts_with("sqlite_") && !table_name.starts_with("pragma_"))
        }
        AuthAction::Function { function_name } => FUNCTIONS
            .split_ascii_whitespace()
            .any(|known| known.eq_ignore_ascii_case(function_name)),
        _ => false,
    };
    if allowed {
        Authorization::Allow
    } else {
        Authorization::Deny
    }
}

fn explain(error: Error, query: &Query, late: bool) -> QueryError {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) if late => QueryError::TooSlow(query.time),
        Some(ErrorCode::TooBig) => QueryError::TooLarge(MAX_VALUE),
        Some(ErrorCode::AuthorizationForStatementDenied) => QueryError::Refused(format!(
            "{}; it reads {} only",
            words(&error),
            views::NAMES.join(", ")
        )),
        Some(ErrorCode::Unknown) | None => QueryError::Refused(words(&error)),
        Some(_) => QueryError::Failed(fault::before_commit(error)),
    }
}

/// What SQLite says, without what our library adds.
fn words(error: &Error) -> String {
    match error {
        Error::SqliteFailure(_, Some(message)) => message.clone(),
        Error::SqlInputError { msg, .. } => msg.clone(),
        Error::MultipleStatement => "it is more than one statement".to_owned(),
        other => other.to_string(),
    }
}

fn read(row: &Row<'_>, columns: usize) -> rusqlite::Result<Vec<Cell>> {
    let cell = |index| {
        Ok(match row.get_ref(index)? {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Integer(number),
            ValueRef::Real(number) => Cell::Real(number),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                Cell::Text(String::from_utf8_lossy(bytes).into_owned())
            }
        })
    };
    (0..columns).map(cell).collect()
}

impl Cell {
    /// Bytes that it takes, about.
    fn size(&self) -> usize {
        match self {
            Self::Null => 4,
            Self::Integer(_) | Self::Real(_) => 8,
            Self::Text(text) => text.len() + 2,
        }
    }
}

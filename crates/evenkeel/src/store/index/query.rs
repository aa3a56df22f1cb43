//! What does SQL say about the runs, without the right to change anything?

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use super::{Index, PATIENCE, failed, points};
use crate::{Error, Result};

/// What a query answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, a cell a column.
    pub rows: Vec<Vec<Cell>>,
}

/// A value of a query.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// NULL; also NaN, which SQLite does not know.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number; the infinities are words in JSON.
    Real(#[serde(with = "crate::store::number")] f64),
    /// Text; of bytes their hexadecimal digits.
    Text(String),
}

impl Index {
    /// Answers one `SELECT`. Beside the tables of the index there is `points (run, metric, step, epoch, value)`, every number of every
    /// run, read where it is: a condition on `run` reads one file.
    ///
    /// # Errors
    /// When SQLite does not understand it, or it would change something.
    pub fn query(&mut self, sql: &str) -> Result<Rows> {
        let files = self.point_files()?;
        let mut second;
        let connection = match &self.file {
            None => &mut self.connection,
            Some(file) => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let opened = Connection::open_with_flags(file, flags).and_then(|connection| {
                    connection.busy_timeout(PATIENCE)?;
                    Ok(connection)
                });
                second = opened.map_err(|error| failed("open the index of the runs", file, &error))?;
                &mut second
            }
        };
        points::attach(connection, files).map_err(|error| refused(&error))?;
        connection.authorizer(Some(only_reading)).map_err(|error| refused(&error))?;
        let answer = rows(connection, sql);
        let freed = connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>);
        freed.map_err(|error| refused(&error))?;
        answer.map_err(|error| refused(&error))
    }
}

/// Lets through what reads.
fn only_reading(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Function { .. } | AuthAction::Recursive => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}

fn rows(connection: &Connection, sql: &str) -> rusqlite::Result<Rows> {
    let mut statement = connection.prepare(sql)?;
    if statement.column_count() == 0 {
        return Err(rusqlite::Error::InvalidQuery);
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let width = columns.len();
    let mut found = Vec::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let cell = |index| {
            Ok(match row.get_ref(index)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(number) => Cell::Integer(number),
                ValueRef::Real(number) => Cell::Real(number),
                ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Cell::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            })
        };
        found.push((0..width).map(cell).collect::<rusqlite::Result<Vec<Cell>>>()?);
    }
    Ok(Rows { columns, rows: found })
}

fn refused(error: &rusqlite::Error) -> Error {
    let hint = "tables: runs, config, tags, summary, metrics, points; `SELECT name, sql FROM sqlite_schema` shows their columns";
    match error {
        rusqlite::Error::SqlInputError { msg, sql, offset, .. } if !msg.contains("not authorized") => {
            let start = usize::try_from(*offset).unwrap_or(0);
            let word = sql.get(start..).unwrap_or_default().chars().take_while(|c| c.is_alphanumeric() || *c == '_');
            let end = start + word.map(char::len_utf8).sum::<usize>().max(1);
            let place = crate::config::excerpt::of_part("the query", sql, start..end, msg);
            Error::input("SQLite does not understand the query").excerpt(place).hint(hint)
        }
        rusqlite::Error::MultipleStatement => {
            Error::input("only one statement is answered at a time").hint("leave out what follows the semicolon")
        }
        rusqlite::Error::InvalidQuery => Error::input("the query asks for nothing").detail("expected", "a SELECT").hint(hint),
        error if error.to_string().contains("not authorized") => {
            Error::input("a query can only read").detail("expected", "a SELECT").hint(
                "`evenkeel runs tag` and `evenkeel runs delete` change runs; the index itself is made from their folders",
            )
        }
        error => Error::input("the query failed").detail("got", error).hint(hint),
    }
}

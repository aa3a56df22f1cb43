//! What is in the database, and what becomes of one that is broken, older, newer or somebody else's?
//!
//! `runs.run` is a number that the other tables refer to. A run that is gone keeps its rows, with the status `missing`, until it is
//! deleted. NaN is NULL here, as SQLite knows none.

use std::fs::{self, File};
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{FILE, Index, PATIENCE, failed};
use crate::{Error, Result};

/// The version of the layout below. A database of an older one is emptied and read again from the runs.
const VERSION: i64 = 1;
/// Tells our databases from others: `even` in ASCII.
const APPLICATION: i64 = 0x6576_656e;

const TABLES: &str = "
CREATE TABLE runs (
    run        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    status     TEXT NOT NULL,
    created    REAL NOT NULL,
    updated    REAL NOT NULL,
    steps      INTEGER,
    epochs     REAL,
    broken     INTEGER NOT NULL,
    stamp      TEXT NOT NULL,
    read_bytes INTEGER NOT NULL,
    read_tail  BLOB NOT NULL
) STRICT;
CREATE INDEX runs_by_name ON runs (name);
CREATE TABLE tags (
    run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (run, tag)
) STRICT, WITHOUT ROWID;
CREATE TABLE config (
    run   INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    key   TEXT NOT NULL,
    value ANY,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE summary (
    run   INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    key   TEXT NOT NULL,
    value ANY,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE metric_names (
    metric INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE metric_values (
    run      INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    metric   INTEGER NOT NULL REFERENCES metric_names,
    points   INTEGER NOT NULL,
    last     REAL,
    last_step INTEGER NOT NULL,
    min      REAL,
    min_step INTEGER,
    max      REAL,
    max_step INTEGER,
    PRIMARY KEY (run, metric)
) STRICT, WITHOUT ROWID;
CREATE VIEW metrics AS
    SELECT run, name AS metric, points, last, last_step, min, min_step, max, max_step
    FROM metric_values JOIN metric_names USING (metric);
";

/// What is wrong with a file that was to be the index.
enum Unusable {
    /// It is no database, a damaged one, or not an index: it can be moved aside.
    Foreign(String),
    /// A newer program's.
    Newer(i64),
    /// It cannot be opened or written, now or ever.
    Closed(Error),
}

impl Index {
    /// Opens the index of the runs in `base`, and makes it where there is none.
    ///
    /// # Errors
    /// When it cannot be opened or written, is damaged, or is a newer program's. [`Index::open_or_mend`] helps itself.
    pub fn open(base: &Path) -> Result<Index> {
        let file = base.join(FILE);
        match open(&file, PATIENCE) {
            Ok(connection) => Ok(Index { base: base.to_owned(), connection, file: Some(file) }),
            Err(Unusable::Closed(error)) => Err(error),
            Err(Unusable::Newer(version)) => Err(newer(&file, version)),
            Err(Unusable::Foreign(why)) => Err(Error::input("the index of the runs is damaged")
                .detail("file", file.display())
                .detail("got", why)
                .hint("`evenkeel runs` moves it aside and makes a new one; no run is touched")),
        }
    }

    /// The same for whoever wants an answer in any case. A damaged index is moved aside and a new one made; where none can be written,
    /// there is one in memory. What was done about it is told in words.
    ///
    /// # Errors
    /// When not even an index in memory can be had.
    pub fn open_or_mend(base: &Path) -> Result<(Index, Option<Error>)> {
        let file = base.join(FILE);
        let why = match open(&file, PATIENCE) {
            Ok(connection) => return Ok((Index { base: base.to_owned(), connection, file: Some(file) }, None)),
            Err(Unusable::Foreign(why)) => match Index::instead(base, &file) {
                Ok((index, told)) => return Ok((index, told.map(|told| told.detail("got", why)))),
                Err(error) => error,
            },
            Err(Unusable::Newer(version)) => newer(&file, version),
            Err(Unusable::Closed(error)) => error,
        };
        Ok((Index::in_memory(base)?, Some(why)))
    }

    /// An index that nobody else sees and that is gone with this value.
    ///
    /// # Errors
    /// When memory is short.
    pub fn in_memory(base: &Path) -> Result<Index> {
        let made = Connection::open_in_memory().and_then(|mut connection| {
            prepare(&mut connection)?;
            Ok(connection)
        });
        let connection = made.map_err(|error| failed("make an index in memory", base, &error))?;
        Ok(Index { base: base.to_owned(), connection, file: None })
    }

    /// Moves a database that turned out to be damaged aside, and goes on with a new one.
    pub(super) fn mend(self) -> Result<(Index, Option<Error>)> {
        let Index { base, connection, file } = self;
        drop(connection);
        match file {
            Some(file) => Index::instead(&base, &file),
            None => Ok((Index::in_memory(&base)?, None)),
        }
    }

    /// A new index in the place of a damaged one.
    fn instead(base: &Path, file: &Path) -> Result<(Index, Option<Error>)> {
        let told = set_aside(file)?.map(|aside| {
            Error::input("the index of the runs was damaged, and is made again from their folders")
                .detail("file", file.display())
                .detail("kept", aside.display())
        });
        Ok((Index::open(base)?, told))
    }

    /// Whether SQLite finds the database sound.
    pub(super) fn is_whole(&self) -> bool {
        is_whole(&self.connection)
    }
}

fn is_whole(connection: &Connection) -> bool {
    let check = "PRAGMA quick_check(1)";
    connection.query_row(check, [], |row| row.get::<_, String>(0)).is_ok_and(|answer| answer == "ok")
}

fn newer(file: &Path, version: i64) -> Error {
    Error::input("the index of the runs was written by a newer version of Evenkeel")
        .detail("file", file.display())
        .detail("expected", format!("layout {VERSION} or older"))
        .detail("got", format!("layout {version}"))
        .hint("use the newer version, or remove the file: it is made again from the runs")
}

/// Opens a database and sees to its layout.
fn open(file: &Path, patience: Duration) -> std::result::Result<Connection, Unusable> {
    let told = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Unusable::Foreign(error.to_string()),
        _ => Unusable::Closed(failed("open the index of the runs", file, &error)),
    };
    if fs::metadata(file).is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Unusable::Foreign("a folder".into()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags).map_err(told)?;
    connection.busy_timeout(patience).map_err(told)?;
    // Read together, so that a database in the making is seen before or after.
    let seen = connection.transaction().map_err(told)?;
    let number = |name: &str| seen.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(told);
    let count = "SELECT count(*) FROM sqlite_schema";
    let tables = seen.query_row(count, [], |row| row.get::<_, i64>(0)).map_err(told)?;
    let (application, version) = (number("application_id")?, number("user_version")?);
    seen.finish().map_err(told)?;
    match (application, version) {
        (APPLICATION, version) if version > VERSION => return Err(Unusable::Newer(version)),
        (APPLICATION, _) => {}
        (0, 0) if tables == 0 => {}
        _ => return Err(Unusable::Foreign("a database of another program".into())),
    }
    let start = Instant::now();
    loop {
        match prepare(&mut connection) {
            // Where the log is changed, SQLite does not wait by itself.
            Err(error) if is_busy(&error) && start.elapsed() < patience => thread::sleep(Duration::from_millis(5)),
            prepared => return prepared.map(|()| connection).map_err(told),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Makes the tables where they are missing or of an older layout.
fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    // File systems without shared memory have no write-ahead log and say so; what they have works as well, only not at the same time.
    let _: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "normal")?;
    let version =
        |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    if version(connection)? != VERSION {
        connection.pragma_update(None, "foreign_keys", false)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        if version(&transaction)? != VERSION {
            let older: Vec<String> = transaction
                .prepare(
                    "SELECT format('DROP %s \"%w\"', type, name) FROM sqlite_schema WHERE type IN ('table', 'view')",
                )?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for statement in older {
                transaction.execute_batch(&statement)?;
            }
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()?;
    }
    connection.pragma_update(None, "foreign_keys", true)
}

/// Renames a file that is no index, with what SQLite keeps beside it, and returns where it went; nowhere, where another process did so
/// just now.
fn set_aside(file: &Path) -> Result<Option<PathBuf>> {
    let failed = |error: std::io::Error| Error::io("move the damaged index aside", file, &error);
    let beside = |ending: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    // Two processes that found it damaged must not move away each other's new one.
    let handle = File::open(file).map_err(failed)?;
    handle.lock().map_err(failed)?;
    if open(file, PATIENCE).is_ok_and(|connection| is_whole(&connection)) {
        return Ok(None);
    }
    let mut number = 1;
    let aside = loop {
        let aside = beside(&format!(".broken-{number}"));
        if fs::symlink_metadata(&aside).is_err() {
            break aside;
        }
        number += 1;
    };
    fs::rename(file, &aside).map_err(failed)?;
    for ending in ["-wal", "-shm"] {
        match fs::remove_file(beside(ending)) {
            Err(error) if error.kind() != IoKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(Some(aside))
}

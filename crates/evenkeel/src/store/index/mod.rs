//! All runs of a folder in one SQLite database, `evenkeel.db` beside them: to list, filter, sort and query.
//!
//! The index holds nothing that is not in the runs' folders, so it can be thrown away at any time: identity, status, tags, the whole
//! configuration as keys and values, the summary, and of each metric how many points there are, the last, the least and the greatest.
//! The points themselves stay where they are written, in the runs' `metrics`; the table `points` reads them there ([`points`]), so
//! nothing is kept twice, and nothing has to be imported before it can be asked for.
//!
//! [`Index::refresh`] compares the folders with what is known of them and reads only what has grown; it finds runs that were made,
//! moved, deleted or trained by whatever means. Training calls [`Index::update`] for its own run now and then, see [`follow`].
//! Writers take turns (write-ahead log, short transactions), readers never wait.
//!
//! Where to start reading: `schema` (what is in it), `reading` (what a run's folder says), `refresh` (how one becomes the other), then
//! [`filter`] (what may be asked in words) and [`points`].

pub mod filter;
mod find;
mod follow;
mod list;
pub mod points;
mod query;
mod reading;
mod refresh;
mod schema;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use crate::Error;

pub use find::Found;
pub use follow::Follow;
pub use list::{Listed, Order};
pub use query::{Cell, Rows};
pub use reading::Status;
pub use refresh::Changes;

/// The name of the database in the folder of the runs.
pub const FILE: &str = "evenkeel.db";

/// How long another writer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The index of the runs in a folder.
#[derive(Debug)]
pub struct Index {
    /// The folder of the runs.
    base: PathBuf,
    connection: Connection,
    /// The database; none when it is in memory, for a folder that cannot be written.
    file: Option<PathBuf>,
}

impl Index {
    /// The folder whose runs are indexed.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The database; `None` when the index is in memory alone.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// What SQLite says, with what was tried and where.
fn failed(action: &str, place: &Path, error: &rusqlite::Error) -> Error {
    let result = Error::input(format!("cannot {action}")).detail("file", place.display()).detail("got", error);
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            result.hint("another process is writing to it: try again")
        }
        Some(rusqlite::ErrorCode::DiskFull) => result.hint("free some space"),
        Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => {
            result.hint("make the folder writable")
        }
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            result.hint("remove the file: it is made again from the runs")
        }
        _ => result,
    }
}

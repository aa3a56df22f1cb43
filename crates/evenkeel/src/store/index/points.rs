//! The table `points`: every number of every run, where the runs have them.
//!
//! A virtual table of SQLite over the runs' files of metrics, read record by record. A query with `run = ..` reads the file of that run
//! alone; one with `metric = ..` is told that metric alone; any other goes through all files. Nothing is imported, so a point is there
//! as soon as it is written, and no point is kept twice: 1,000 runs of 300 metrics and 1,000 steps would be 10 GB more.
//!
//! The two `unsafe impl` below are promises about layout that SQLite's interface asks for; nothing unsafe is done.

use std::borrow::Cow;
use std::ffi::{CStr, c_int};
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::vtab::{
    Context, Filters, IndexConstraintOp, IndexInfo, Module, VTab, VTabConnection, VTabCursor, sqlite3_vtab,
    sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, Result};

use super::Index;
use super::reading::{Status, folder};
use crate::store::{Record, Records};

const RUN: c_int = 0;
const METRIC: c_int = 1;
const STEP: c_int = 2;
const EPOCH: c_int = 3;

/// Bits of what a query fixes.
const ONE_RUN: c_int = 1;
const ONE_METRIC: c_int = 2;

/// The runs' numbers and their files, in the order of numbers.
type Files = Arc<Vec<(i64, PathBuf)>>;

impl Index {
    pub(super) fn point_files(&self) -> crate::Result<Vec<(i64, PathBuf)>> {
        let known = self.known()?.into_iter().filter(|known| known.status != Status::Missing);
        Ok(known.map(|known| (known.run, folder(&self.base, &known.name).join("metrics"))).collect())
    }
}

/// Makes the table known to a connection.
pub(super) fn attach(connection: &Connection, files: Vec<(i64, PathBuf)>) -> Result<()> {
    const MODULE: Module<'_, Points> = Module::eponymous_only_module();
    connection.create_module(c"points", &MODULE, Some(Arc::new(files)))
}

#[repr(C)]
struct Points {
    base: sqlite3_vtab,
    files: Files,
}

// SAFETY: the structure is `repr(C)` and begins with SQLite's own, as the trait asks.
unsafe impl<'vtab> VTab<'vtab> for Points {
    type Aux = Files;
    type Cursor = Cursor;

    fn connect(
        _: &mut VTabConnection,
        files: Option<&Files>,
        _module: &[u8],
        _database: &[u8],
        _table: &[u8],
        _arguments: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Self)> {
        let schema = c"CREATE TABLE points (run INTEGER, metric TEXT, step INTEGER, epoch REAL, value REAL)";
        let files = files.cloned().unwrap_or_default();
        Ok((Cow::Borrowed(schema), Points { base: sqlite3_vtab::default(), files }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        let (mut run, mut metric) = (None, None);
        for (index, constraint) in info.constraints().enumerate() {
            if constraint.is_usable() && constraint.operator() == IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ {
                match constraint.column() {
                    RUN => run = Some(index),
                    METRIC => metric = Some(index),
                    _ => {}
                }
            }
        }
        let mut plan = 0;
        let mut argument = 0;
        // The cost of reading a file dwarfs everything else, and of one metric less is handed over.
        let mut cost = 1e6;
        let mut rows = 100_000;
        for (found, bit) in [(run, ONE_RUN), (metric, ONE_METRIC)] {
            if let Some(index) = found {
                argument += 1;
                info.constraint_usage(index).set_argv_index(argument);
                plan |= bit;
            }
        }
        if plan & ONE_RUN == 0 {
            let files = self.files.len().max(1);
            cost *= files as f64;
            rows *= files as i64;
        }
        if plan & ONE_METRIC != 0 {
            cost /= 2.0;
            rows /= 100;
        }
        info.set_idx_num(plan);
        info.set_estimated_cost(cost);
        info.set_estimated_rows(rows);
        Ok(true)
    }

    fn open(&'vtab mut self) -> Result<Cursor> {
        Ok(Cursor {
            base: sqlite3_vtab_cursor::default(),
            files: self.files.clone(),
            left: Vec::new(),
            metric: None,
            run: 0,
            records: None,
            record: None,
            at: 0,
            row: 0,
        })
    }
}

#[repr(C)]
struct Cursor {
    base: sqlite3_vtab_cursor,
    files: Files,
    /// Indices of the files to come, the next one last.
    left: Vec<usize>,
    metric: Option<String>,
    run: i64,
    records: Option<Records>,
    record: Option<Record>,
    at: usize,
    row: i64,
}

impl Cursor {
    /// Goes to the next value that is asked for, from `at` on.
    fn settle(&mut self) -> Result<()> {
        loop {
            if let Some(record) = &self.record {
                let wanted = |(name, _): &(String, f64)| self.metric.as_ref().is_none_or(|metric| metric == name);
                if let Some(found) = record.values.iter().skip(self.at).position(wanted) {
                    self.at += found;
                    return Ok(());
                }
                self.record = None;
            }
            self.at = 0;
            let failed = |error: crate::Error| Error::ModuleError(error.to_string());
            if let Some(records) = &mut self.records {
                match records.next() {
                    Some(record) => self.record = Some(record.map_err(failed)?),
                    None => self.records = None,
                }
                continue;
            }
            let Some(next) = self.left.pop() else { return Ok(()) };
            let (run, path) = &self.files[next];
            self.run = *run;
            self.records = Some(Records::open(path).map_err(failed)?);
        }
    }
}

// SAFETY: the structure is `repr(C)` and begins with SQLite's own, as the trait asks.
unsafe impl VTabCursor for Cursor {
    fn filter(&mut self, plan: c_int, _: Option<&str>, arguments: &Filters<'_>) -> Result<()> {
        let mut next = 0;
        let mut argument = || {
            next += 1;
            arguments.get::<Value>(next - 1)
        };
        let run = if plan & ONE_RUN != 0 { Some(argument()?) } else { None };
        let metric = if plan & ONE_METRIC != 0 { Some(argument()?) } else { None };
        let files = self.files.iter().enumerate().rev();
        // SQLite looks at the conditions again: what is not narrowed down here is still filtered.
        self.left = match run {
            Some(Value::Integer(run)) => files.filter(|(_, (one, _))| *one == run).map(|(index, _)| index).collect(),
            _ => files.map(|(index, _)| index).collect(),
        };
        self.metric = match metric {
            Some(Value::Text(metric)) => Some(metric),
            _ => None,
        };
        (self.records, self.record, self.at, self.row) = (None, None, 0, 0);
        self.settle()
    }

    fn next(&mut self) -> Result<()> {
        self.at += 1;
        self.row += 1;
        self.settle()
    }

    fn eof(&self) -> bool {
        self.record.is_none()
    }

    fn column(&self, context: &mut Context, column: c_int) -> Result<()> {
        let Some((record, (name, value))) =
            self.record.as_ref().and_then(|record| Some((record, record.values.get(self.at)?)))
        else {
            return context.set_result(rusqlite::types::Null);
        };
        match column {
            RUN => context.set_result(self.run),
            METRIC => context.set_result(name.as_str()),
            STEP => context.set_result(i64::try_from(record.step).unwrap_or(i64::MAX)),
            EPOCH => context.set_result(record.epoch),
            _ => context.set_result(value),
        }
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.row)
    }
}

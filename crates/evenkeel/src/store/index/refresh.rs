//! How does the index become what the folders are?

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use rayon::prelude::*;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use super::reading::{Course, Known, Reading, Stamp, Status, Total, folder, read};
use super::{Index, failed};
use crate::store::Run;
use crate::{Error, Result};

/// How many folders deep below the index runs are looked for.
const DEPTH: usize = 3;
/// How many runs are read, in parallel, before they are written in one transaction.
const AT_ONCE: usize = 32;

/// What a refresh found.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Runs that are there.
    pub runs: usize,
    /// Runs that were read, because they are new or have grown.
    pub read: usize,
    /// Runs that have another place now: from, to.
    pub moved: Vec<(String, String)>,
    /// Runs whose folders are no longer there, and were the last time.
    pub gone: Vec<String>,
    /// Runs that could not be read; they keep what was known of them.
    pub unreadable: Vec<Error>,
}

impl Index {
    /// The index of the runs in `base` as they are now. It helps itself where it can: a damaged database is moved aside, and where
    /// none can be written, the index is in memory. What was done about it is told.
    ///
    /// A folder without runs gets no database.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn current(base: &Path, progress: &mut dyn FnMut(usize, usize)) -> Result<(Index, Changes, Vec<Error>)> {
        if !Index::exists(base) && runs_below(base)?.is_empty() {
            return Ok((Index::in_memory(base)?, Changes::default(), Vec::new()));
        }
        let (mut index, told) = Index::open_or_mend(base)?;
        let mut told = Vec::from_iter(told);
        let changes = match index.refresh(progress) {
            Ok(changes) => changes,
            Err(error) if index.file.is_none() => return Err(error),
            Err(error) => {
                let (again, mended) = match index.is_whole() {
                    true => (Index::in_memory(base)?, Some(error)),
                    false => index.mend()?,
                };
                index = again;
                told.extend(mended);
                index.refresh(progress)?
            }
        };
        Ok((index, changes, told))
    }

    /// Reads what has changed in the folders since the last time. `progress` is told how many of how many changed runs are read.
    ///
    /// Cost: four file attributes a run, and the parts of `metrics` that are new.
    ///
    /// # Errors
    /// When the folder cannot be listed or the index cannot be written.
    pub fn refresh(&mut self, progress: &mut dyn FnMut(usize, usize)) -> Result<Changes> {
        let there = runs_below(&self.base)?;
        let known = self.known()?;
        let by_name: HashMap<&str, &Known> = known
            .iter()
            .filter(|known| known.status != Status::Missing)
            .map(|known| (known.name.as_str(), known))
            .collect();
        let mut changes = Changes { runs: there.len(), ..Changes::default() };
        // A lock shows who is at work only while he is.
        let unchanged = |name: &str, stamp: &Stamp| {
            by_name.get(name).is_some_and(|known| known.stamp == *stamp && known.status != Status::Running)
        };
        let changed: Vec<&str> =
            there.iter().filter(|(name, stamp)| !unchanged(name, stamp)).map(|(name, _)| name.as_str()).collect();
        let names: HashSet<&str> = there.iter().map(|(name, _)| name.as_str()).collect();
        let mut done = 0;
        for part in changed.chunks(AT_ONCE) {
            progress(done, changed.len());
            self.take_in(part, &mut changes)?;
            done += part.len();
        }
        if !changed.is_empty() {
            progress(done, changed.len());
        }
        changes.read = done - changes.unreadable.len();
        for known in self.known()? {
            if known.status != Status::Missing && !names.contains(known.name.as_str()) {
                self.write("mark a run as missing", |transaction| {
                    let status = Status::Missing.word();
                    transaction.execute("UPDATE runs SET status = ?1 WHERE run = ?2", params![status, known.run])
                })?;
                changes.gone.push(known.name);
            }
        }
        Ok(changes)
    }

    /// Reads one run that lies in the folder of the index, whatever is known of it.
    ///
    /// # Errors
    /// When the run cannot be read or the index cannot be written.
    pub fn update(&mut self, name: &str) -> Result<()> {
        let mut changes = Changes::default();
        self.take_in(&[name], &mut changes)?;
        match changes.unreadable.pop() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Reads runs and writes what they say.
    fn take_in(&mut self, names: &[&str], changes: &mut Changes) -> Result<()> {
        let known: HashMap<String, Known> = self.known()?.into_iter().map(|known| (known.id.clone(), known)).collect();
        let mut parts = Vec::new();
        for &name in names {
            match self.known_as(name, &known) {
                Ok(known) => {
                    let course = known.as_ref().map(|known| self.course(known)).transpose()?;
                    parts.push((name, known, course.unwrap_or_default()));
                }
                Err(error) => changes.unreadable.push(error),
            }
        }
        let base = self.base.clone();
        let read_one = |(name, known, course): (&str, Option<Known>, Course)| {
            let reading = read(&base, name, known.as_ref(), course)?;
            Ok((known, reading))
        };
        let readings: Vec<Result<(Option<Known>, Reading)>> = parts.into_par_iter().map(read_one).collect();
        let mut seen = HashSet::new();
        let mut written = Vec::new();
        for reading in readings {
            let distinct = reading.and_then(|(known, reading)| {
                if seen.insert(reading.identity.id.clone()) {
                    return Ok((known, reading));
                }
                // A copy of another one that is new as well.
                Run::open(&folder(&self.base, &reading.name))?.renew_identity()?;
                Ok((None, read(&self.base, &reading.name, None, Course::default())?))
            });
            match distinct {
                Ok((known, reading)) => {
                    if let Some(known) = known.filter(|known| known.name != reading.name) {
                        changes.moved.push((known.name, reading.name.clone()));
                    }
                    written.push(reading);
                }
                Err(error) => changes.unreadable.push(error),
            }
        }
        self.write("write the index of the runs", |transaction| {
            written.iter().try_for_each(|reading| put(transaction, reading))
        })
    }

    /// What is known of the run in a folder; nothing of a copy, which gets an id of its own.
    fn known_as(&self, name: &str, known: &HashMap<String, Known>) -> Result<Option<Known>> {
        let run = Run::open(&folder(&self.base, name))?;
        let Some(known) = run.identity().ok().and_then(|identity| known.get(&identity.id)) else { return Ok(None) };
        let before = Run::open(&folder(&self.base, &known.name)).and_then(|run| run.identity());
        if known.name != name && before.is_ok_and(|identity| identity.id == known.id) {
            run.renew_identity()?;
            return Ok(None);
        }
        Ok(Some(known.clone()))
    }

    /// What is known of all runs.
    pub(super) fn known(&self) -> Result<Vec<Known>> {
        let read = || {
            let mut statement =
                self.connection.prepare_cached("SELECT run, id, name, status, stamp FROM runs ORDER BY run")?;
            let rows = statement.query_map([], |row| {
                Ok(Known {
                    run: row.get(0)?,
                    id: row.get(1)?,
                    name: row.get(2)?,
                    status: Status::of_word(&row.get::<_, String>(3)?),
                    stamp: Stamp::parse(&row.get::<_, String>(4)?),
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<Known>>>()
        };
        read().map_err(|error| failed("read the index of the runs", &self.place(), &error))
    }

    /// How far a run's metrics were read.
    fn course(&self, known: &Known) -> Result<Course> {
        let read = || {
            let course = self
                .connection
                .prepare_cached("SELECT read_bytes, read_tail, broken, steps, epochs FROM runs WHERE run = ?1")?;
            let mut course = { course }
                .query_row([known.run], |row| {
                    Ok(Course {
                        bytes: row.get(0)?,
                        tail: row.get(1)?,
                        broken: row.get(2)?,
                        steps: row.get(3)?,
                        epochs: row.get(4)?,
                        totals: Default::default(),
                    })
                })
                .optional()?
                .unwrap_or_default();
            let mut statement = self.connection.prepare_cached(
                "SELECT name, points, last, last_step, min, min_step, max, max_step
                 FROM metric_values JOIN metric_names USING (metric) WHERE run = ?1",
            )?;
            let rows = statement.query_map([known.run], |row| {
                let extreme = |value: usize, step: usize| -> rusqlite::Result<Option<(f64, u64)>> {
                    Ok(row.get::<_, Option<f64>>(value)?.zip(row.get::<_, Option<u64>>(step)?))
                };
                let total = Total {
                    points: row.get(1)?,
                    last: row.get::<_, Option<f64>>(2)?.unwrap_or(f64::NAN),
                    last_step: row.get(3)?,
                    min: extreme(4, 5)?,
                    max: extreme(6, 7)?,
                    changed: false,
                };
                Ok((row.get(0)?, total))
            })?;
            course.totals = rows.collect::<rusqlite::Result<_>>()?;
            Ok(course)
        };
        read().map_err(|error| failed("read the index of the runs", &self.place(), &error))
    }

    /// One transaction that has the right to write from its start, so that it never has to be taken back for another's.
    pub(super) fn write<T>(
        &mut self,
        action: &str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let place = self.place();
        let run = || {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|error| failed(action, &place, &error))
    }

    pub(super) fn place(&self) -> std::path::PathBuf {
        self.file.clone().unwrap_or_else(|| self.base.clone())
    }
}

/// The names and stamps of all runs in a folder and those below it, by name. Nothing below a run is one.
pub(super) fn runs_below(base: &Path) -> Result<Vec<(String, Stamp)>> {
    fn look(dir: &Path, prefix: &str, depth: usize, found: &mut Vec<(String, Stamp)>) -> std::io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = entry.path();
            // What begins with a dot is being made or removed.
            if name.starts_with('.') || !path.is_dir() {
                continue;
            }
            let name = format!("{prefix}{name}");
            match Stamp::of(&path) {
                Some(stamp) => found.push((name, stamp)),
                // A folder that cannot be looked into holds no run for us.
                None if depth > 1 => look(&path, &format!("{name}/"), depth - 1, found).unwrap_or(()),
                None => {}
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    look(base, "", DEPTH, &mut found).map_err(|error| {
        let hint = "name a folder that holds runs; `evenkeel runs` alone lists those in runs/";
        Error::io("list the folder of the runs", base, &error).hint(hint)
    })?;
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn put(transaction: &Transaction<'_>, reading: &Reading) -> rusqlite::Result<()> {
    let Reading { name, identity, stamp, updated, status, config, summary, course, from } = reading;
    let anew = from.is_none();
    let known: Option<u64> = transaction
        .prepare_cached("SELECT read_bytes FROM runs WHERE id = ?1")?
        .query_row([&identity.id], |row| row.get(0))
        .optional()?;
    if !anew && known != *from {
        // Somebody else has read on meanwhile; what his reading lacks, the next one finds by its stamp.
        return Ok(());
    }
    // A folder has one run: who was here before is elsewhere, or gone.
    transaction
        .prepare_cached("UPDATE runs SET status = 'missing' WHERE name = ?1 AND id <> ?2")?
        .execute(params![name, identity.id])?;
    let run: i64 = transaction
        .prepare_cached(
            "INSERT INTO runs (id, name, status, created, updated, steps, epochs, broken, stamp, read_bytes, read_tail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (id) DO UPDATE SET name = ?2, status = ?3, created = ?4, updated = ?5, steps = ?6, epochs = ?7,
                 broken = ?8, stamp = ?9, read_bytes = ?10, read_tail = ?11
             RETURNING run",
        )?
        .query_row(
            params![
                identity.id,
                name,
                status.word(),
                identity.created,
                updated,
                course.steps,
                course.epochs,
                course.broken,
                stamp.to_string(),
                course.bytes,
                course.tail
            ],
            |row| row.get(0),
        )?;
    transaction.prepare_cached("DELETE FROM tags WHERE run = ?1")?.execute([run])?;
    for tag in &identity.tags {
        transaction.prepare_cached("INSERT INTO tags (run, tag) VALUES (?1, ?2)")?.execute(params![run, tag])?;
    }
    let tables = [("config", config.as_deref()), ("summary", Some(summary.as_slice()))];
    for (table, rows) in tables.into_iter().filter_map(|(table, rows)| Some((table, rows?))) {
        transaction.prepare_cached(&format!("DELETE FROM {table} WHERE run = ?1"))?.execute([run])?;
        let insert = format!("INSERT OR REPLACE INTO {table} (run, key, value) VALUES (?1, ?2, ?3)");
        let mut insert = transaction.prepare_cached(&insert)?;
        for (key, value) in rows {
            insert.execute(params![run, key, value])?;
        }
    }
    if anew {
        transaction.prepare_cached("DELETE FROM metric_values WHERE run = ?1")?.execute([run])?;
    }
    let mut named = transaction.prepare_cached("SELECT metric FROM metric_names WHERE name = ?1")?;
    let mut name_it = transaction.prepare_cached("INSERT INTO metric_names (name) VALUES (?1) RETURNING metric")?;
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO metric_values (run, metric, points, last, last_step, min, min_step, max, max_step)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for (name, total) in course.totals.iter().filter(|(_, total)| anew || total.changed) {
        let metric: Option<i64> = named.query_row([name], |row| row.get(0)).optional()?;
        let metric = metric.map_or_else(|| name_it.query_row([name], |row| row.get(0)), Ok)?;
        let (least, most) = (total.min.unzip(), total.max.unzip());
        insert.execute(params![
            run,
            metric,
            total.points,
            total.last,
            total.last_step,
            least.0,
            least.1,
            most.0,
            most.1
        ])?;
    }
    Ok(())
}

//! Runs on disk: one folder a run, never half-written, and every byte of a checkpoint checked before it is used.
//!
//! ```text
//! RUN/
//!   run.toml                  the resolved configuration, as given to [`Run::create`]
//!   metrics                   JSON Lines, appended to: one record a line
//!   summary.json              the last numbers of the run, once it has ended
//!   checkpoints/000400/       parameters, buffers and optimizer (safetensors), state.json, manifest.json
//!   measurements/NAME.json    one file a measurement
//!   identity.json             an id that stays with the folder, and the run's tags
//!   report.html
//! ```
//!
//! A file that is replaced is written beside its place, synced and renamed over it ([`write_atomically`]). A checkpoint is
//! a folder made the same way, with a manifest that holds the SHA-256 of each of its files and of itself. `metrics` is the
//! one file that grows in place; a line cut short by a crash is ignored by readers and removed by the next writer.
//! Nothing that is read here can execute code, and no content of a file makes a reader panic.
//!
//! `evenkeel.db` beside the runs is an [`index`] of them: it holds nothing that is not in their folders.
//!
//! Where to start reading: [`Run`], then [`checkpoint`], then [`metrics`], then [`index`].

pub mod checkpoint;
mod disk;
pub mod export;
#[cfg(all(test, unix))]
mod faults;
#[cfg(all(test, unix))]
mod faults_tests;
pub mod files;
pub mod identity;
pub mod index;
pub mod layer_metrics;
pub mod layers;
pub mod learning;
pub mod measurement;
pub mod metrics;
pub(crate) mod number;
mod removal;
pub mod settings;
pub mod tensors;

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub use self::checkpoint::{Checkpoint, Latest};
pub use self::files::write_atomically;
pub use self::identity::Identity;
pub use self::index::Index;
pub use self::layers::{LayerColumn, LayerMeasurement};
pub use self::learning::LearnerMeasurement;
pub use self::measurement::{Content, Eigenvalue, HessianMeasurement, Measurement};
pub use self::metrics::{Dropped, Metrics, MetricsWriter, Record, Records};
pub use self::tensors::{ElementType, NamedTensor, TensorFile, read_safetensors, write_safetensors};
use crate::{Error, Result};

/// The largest `run.toml`, `summary.json` or measurement that is read, in bytes.
const TEXT_LIMIT: u64 = 64 << 20;

/// One run: a folder with a configuration, metrics, checkpoints and measurements.
#[derive(Clone, Debug)]
pub struct Run {
    dir: PathBuf,
}

impl Run {
    /// Makes a new run in `dir`, which must not exist yet or be an empty folder, and writes `run.toml` into it.
    ///
    /// Of two processes that try the same folder at once, one gets the run and the other the error.
    ///
    /// # Errors
    /// When `dir` holds a run already, holds other files, is no folder, or cannot be written.
    pub fn create(dir: &Path, run_toml: &str) -> Result<Run> {
        let made = match fs::symlink_metadata(dir) {
            Ok(_) => false,
            Err(error) if error.kind() == IoKind::NotFound => true,
            Err(error) => return Err(Error::io("look at the folder of the run", dir, &error)),
        };
        if made {
            files::make_folder(dir)?;
        } else {
            refuse_occupied(dir)?;
        }
        let written = files::write_new(&dir.join("run.toml"), run_toml.as_bytes());
        match written {
            Ok(true) => Ok(Run { dir: dir.to_owned() }),
            Ok(false) => Err(holds_a_run(dir)),
            Err(error) => {
                if made {
                    // Only ever removes an empty folder; the error to tell is the one above.
                    let _ = disk::remove_empty(dir);
                }
                Err(error)
            }
        }
    }

    /// Opens the run in `dir` and clears what a killed process left half-made in it.
    ///
    /// Temporaries of a process that is still writing are left alone, so a report may be made while training goes on.
    ///
    /// # Errors
    /// When there is no run in `dir`; the error names what is missing.
    pub fn open(dir: &Path) -> Result<Run> {
        match fs::metadata(dir) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                return Err(Error::input("there is no run here: this is not a folder")
                    .detail("file", dir.display())
                    .hint("give the folder of a run, the one that holds `run.toml`"));
            }
            Err(error) if error.kind() == IoKind::NotFound => {
                let usual = Path::new("runs").join(dir);
                let hint = match usual.join("run.toml").is_file() {
                    true => format!("did you mean {}?", usual.display()),
                    false => "check the path; without `--out`, runs are made in `runs/`".to_owned(),
                };
                return Err(Error::input("there is no run here: the folder does not exist")
                    .detail("file", dir.display())
                    .hint(hint));
            }
            Err(error) => return Err(Error::io("open the run", dir, &error)),
        }
        let config = dir.join("run.toml");
        match fs::metadata(&config) {
            Ok(metadata) if metadata.is_file() => {}
            Err(error) if error.kind() != IoKind::NotFound => {
                return Err(Error::io("open the run", &config, &error));
            }
            _ => {
                return Err(Error::input("there is no run here: `run.toml` is missing")
                    .detail("file", config.display())
                    .hint("give the folder of a run, the one that holds `run.toml`"));
            }
        }
        let run = Run { dir: dir.to_owned() };
        files::sweep(&run.dir);
        files::sweep(&run.measurements_dir());
        checkpoint::sweep(&run.checkpoints_dir());
        Ok(run)
    }

    /// Keeps all other processes from training this run, until the handle is dropped or this process ends in whatever way. Where
    /// a file system has no locks, nobody is kept out.
    ///
    /// # Errors
    /// When another process has claimed it.
    pub fn claim(&self) -> Result<Option<File>> {
        files::claim(&self.dir, "another process is training this run")
    }

    /// Takes the run back: all that it holds, and its folder when nothing else is left in it and `with_folder` is set.
    ///
    /// Best effort: what cannot be removed stays.
    pub fn discard(self, with_folder: bool) {
        let files = [self.metrics_path(), self.identity_path(), self.config_path()];
        let held = files.into_iter().chain([self.checkpoints_dir(), self.measurements_dir()]);
        for path in held {
            let _ = disk::remove(&path);
        }
        if with_folder {
            let _ = disk::remove_empty(&self.dir);
        }
    }

    /// Whether somebody claims the run at this moment.
    pub fn is_claimed(&self) -> bool {
        File::open(&self.dir).is_ok_and(|handle| matches!(handle.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The folder of the run.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The last part of the folder's path: what the run is called.
    pub fn name(&self) -> String {
        let full = fs::canonicalize(&self.dir).unwrap_or_else(|_| self.dir.clone());
        full.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// The file of the configuration.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("run.toml")
    }

    /// The file of the metrics.
    pub fn metrics_path(&self) -> PathBuf {
        self.dir.join("metrics")
    }

    /// The file of the report.
    pub fn report_path(&self) -> PathBuf {
        self.dir.join("report.html")
    }

    /// The folder of the checkpoints; it is there once the first was saved.
    pub fn checkpoints_dir(&self) -> PathBuf {
        self.dir.join("checkpoints")
    }

    /// The folder of the measurements; it is there once the first was written.
    pub fn measurements_dir(&self) -> PathBuf {
        self.dir.join("measurements")
    }

    /// The text of `run.toml`.
    ///
    /// # Errors
    /// When it cannot be read or is not UTF-8.
    pub fn config(&self) -> Result<String> {
        files::read_text(&self.config_path(), TEXT_LIMIT)
    }

    /// All whole records of `metrics`, in the order they were written; none when there is no such file yet.
    ///
    /// # Errors
    /// When the file cannot be read. A broken line is no error: see [`Metrics::broken_lines`].
    pub fn metrics(&self) -> Result<Metrics> {
        metrics::read(&self.metrics_path())
    }

    /// The same one by one, for whoever needs each record once.
    ///
    /// # Errors
    /// When the file cannot be opened; reading on may fail as well.
    pub fn records(&self) -> Result<Records> {
        Records::open(&self.metrics_path())
    }

    /// Opens `metrics` to append to it; a last line cut short by a crash is removed first.
    ///
    /// # Errors
    /// When the file cannot be opened, read or cut.
    pub fn metrics_writer(&self) -> Result<MetricsWriter> {
        MetricsWriter::open(&self.metrics_path())
    }

    /// Writes `summary.json`: the numbers a list of runs shows (`steps`, `seconds`, `train_loss`, `test_loss`,
    /// `test_accuracy`, `lambda_max`, `parameters`).
    ///
    /// # Errors
    /// When it cannot be written; an older summary is then still whole.
    pub fn write_summary(&self, summary: &Map<String, Value>) -> Result<()> {
        files::write_json(&self.dir.join("summary.json"), summary)
    }

    /// Reads `summary.json`; `None` when the run has none (it has not ended, or was interrupted).
    ///
    /// # Errors
    /// When the file cannot be read or is no JSON object.
    pub fn summary(&self) -> Result<Option<Map<String, Value>>> {
        let path = self.dir.join("summary.json");
        if !path.exists() {
            return Ok(None);
        }
        let text = files::read_text(&path, TEXT_LIMIT)?;
        serde_json::from_str(&text).map(Some).map_err(|error| {
            Error::input("the summary of the run is not readable")
                .detail("file", path.display())
                .detail("expected", "a JSON object")
                .detail("got", error)
                .hint("remove the file: reports then take these numbers from the metrics")
        })
    }
}

/// Claims the next free folder `BASE/NAME-NNN` (001, 002, ...) by making it, and returns its path for [`Run::create`].
///
/// Making a folder either succeeds or finds it taken, so two processes never get the same one.
///
/// # Errors
/// When `name` is no plain file name or the folder cannot be made.
pub fn fresh_run_dir(base: &Path, name: &str) -> Result<PathBuf> {
    files::check_name("name of the run", name)?;
    files::make_folder(base)?;
    let entries = fs::read_dir(base).map_err(|error| Error::io("list the folder of the runs", base, &error))?;
    let taken = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|entry| entry.strip_prefix(name)?.strip_prefix('-')?.parse::<u64>().ok())
        .max()
        .unwrap_or(0);
    let mut number = taken.saturating_add(1);
    loop {
        let dir = base.join(format!("{name}-{number:03}"));
        match disk::make_folder(&dir) {
            Ok(()) => return files::sync_folder(base).map(|()| dir),
            Err(error) if error.kind() == IoKind::AlreadyExists && number < u64::MAX => number += 1,
            Err(error) => return Err(Error::io("make the folder of the run", &dir, &error)),
        }
    }
}

/// Errs unless `dir` is an empty folder.
fn refuse_occupied(dir: &Path) -> Result<()> {
    let metadata = fs::metadata(dir).map_err(|error| Error::io("look at the folder of the run", dir, &error))?;
    if !metadata.is_dir() {
        return Err(Error::input("a run needs a folder, and this is something else")
            .detail("file", dir.display())
            .hint("choose another place with `--out DIR`"));
    }
    if dir.join("run.toml").exists() {
        return Err(holds_a_run(dir));
    }
    let entries = fs::read_dir(dir).map_err(|error| Error::io("list the folder of the run", dir, &error))?;
    let names = entries.map(|entry| entry.map_or_else(|_| "other files".into(), |entry| entry.file_name()));
    // A process that was killed before its run was one may have left this.
    let is_begun = |name: &str| name.starts_with(".run.toml.") && files::is_temporary(name);
    match names.into_iter().find(|name| !name.to_str().is_some_and(is_begun)) {
        None => Ok(()),
        Some(found) => Err(Error::input("the folder for the run is not empty, and what it holds is no run")
            .detail("file", dir.display())
            .detail("expected", "a new or an empty folder")
            .detail("got", found.to_string_lossy())
            .hint("choose another folder with `--out DIR`")),
    }
}

fn holds_a_run(dir: &Path) -> Error {
    Error::input("the folder holds a run already")
        .detail("file", dir.display())
        .hint("choose another folder with `--out DIR`, or continue this run with `--resume`")
}

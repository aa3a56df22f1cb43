//! How do the points of runs get into other programs: CSV, Parquet, TensorBoard?
//!
//! CSV and Parquet are one table of all runs: `run`, `step`, `epoch`, and a column a metric, empty where a record has no such value.
//! TensorBoard reads a folder a run. Nothing is thinned out, and a run is streamed: memory does not grow with it.

mod csv;
mod parquet;
mod tensorboard;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{Record, Run};
use crate::{Error, Result};

/// In what points are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text with commas, a header first. Numbers have all their digits; NaN and the infinities are words.
    Csv,
    /// Columns of doubles, compressed with Snappy.
    Parquet,
    /// Event files; TensorBoard has numbers of 32 bits.
    TensorBoard,
}

impl Format {
    /// All there are.
    pub const ALL: &[Format] = &[Format::Csv, Format::Parquet, Format::TensorBoard];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Parquet => "parquet",
            Format::TensorBoard => "tensorboard",
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Records in all.
    pub records: u64,
    /// Values in all.
    pub points: u64,
    /// The files.
    pub files: Vec<PathBuf>,
}

/// Writes all points of some runs to `out`: a file in place of an older one, or for TensorBoard a folder that gets one for each run.
///
/// # Errors
/// When there is no run, two are called the same, one cannot be read, or `out` cannot be written; an older file is then as it was.
pub fn export(runs: &[Run], format: Format, out: &Path) -> Result<Exported> {
    let names: Vec<String> = runs.iter().map(Run::name).collect();
    let mut seen = HashSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(Error::input(format!("two of the runs are called {twice}"))
            .detail("expected", "runs of different names, as they stand in the table")
            .hint("export them one by one"));
    }
    if runs.is_empty() {
        return Err(Error::input("there is no run to export"));
    }
    match format {
        Format::Csv => csv::write(runs, out),
        Format::Parquet => parquet::write(runs, out),
        Format::TensorBoard => tensorboard::write(runs, out),
    }
}

/// Columns before those of the metrics.
const FIXED: [&str; 3] = ["run", "step", "epoch"];

/// The metrics of some runs, each once, in the order they were written first.
fn metrics_of(runs: &[Run]) -> Result<Vec<String>> {
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    for run in runs {
        for record in run.records()? {
            for (name, _) in record?.values {
                if !seen.contains(&name) {
                    seen.insert(name.clone());
                    names.push(name);
                }
            }
        }
    }
    Ok(names)
}

/// What the column of a metric is called.
fn column(metric: &str) -> String {
    if FIXED.contains(&metric) { format!("metric.{metric}") } else { metric.to_owned() }
}

/// The values of a record by column; those that came up after the columns were gathered are left to the next export.
fn row(record: &Record, places: &std::collections::HashMap<&str, usize>) -> Vec<Option<f64>> {
    let mut row = vec![None; places.len()];
    for (name, value) in &record.values {
        if let Some(place) = places.get(name.as_str()) {
            row[*place] = Some(*value);
        }
    }
    row
}

/// Where each metric's column is.
fn places(metrics: &[String]) -> std::collections::HashMap<&str, usize> {
    metrics.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect()
}

//! How do the metrics of a run grow, one record a line, through crashes and resumes?
//!
//! A record is one line `{"step":400,"epoch":0.8,"values":{"loss":0.31}}` and reaches the file in one write. A record
//! counts once its line break is there. Numbers that JSON does not know are the strings `"NaN"`, `"inf"` and `"-inf"`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind as IoKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{disk, files, number};
use crate::{Error, Result};

/// The longest line that is read or written, in bytes; some ten thousand values.
const LINE_LIMIT: u64 = 1 << 20;

/// What was known at one step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The number of steps done.
    pub step: u64,
    /// The number of passes over the training data done, with its fraction.
    pub epoch: f64,
    /// Names and numbers, in the order they are written.
    pub values: Vec<(String, f64)>,
}

impl Record {
    /// The value called `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    fn to_line(&self) -> String {
        let values: Map<String, Value> =
            self.values.iter().map(|(name, value)| (name.clone(), number::to_json(*value))).collect();
        let mut line = serde_json::json!({ "step": self.step, "epoch": number::to_json(self.epoch), "values": values })
            .to_string();
        line.push('\n');
        line
    }

    pub(super) fn from_line(line: &[u8]) -> Option<Record> {
        let Line { step, epoch, values: Values(values) } = serde_json::from_slice(line).ok()?;
        Some(Record { step, epoch: epoch.0, values })
    }
}

/// A record as its line holds it. No JSON value is built on the way: a run of 300 metrics has a line of ten kilobytes a step.
#[derive(Deserialize)]
struct Line {
    step: u64,
    epoch: Number,
    values: Values,
}

#[derive(Deserialize)]
struct Number(#[serde(deserialize_with = "number::deserialize")] f64);

struct Values(Vec<(String, f64)>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Values;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("names and numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Values, A::Error> {
                let mut values: Vec<(String, f64)> = Vec::new();
                while let Some((name, Number(value))) = map.next_entry::<String, Number>()? {
                    values.push((name, value));
                }
                let mut names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
                names.sort_unstable();
                match names.windows(2).find(|pair| pair[0] == pair[1]) {
                    Some(pair) => Err(de::Error::custom(format!("{} twice", pair[0]))),
                    None => Ok(Values(values)),
                }
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// What a file of metrics holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// All whole records, in the order they were written.
    pub records: Vec<Record>,
    /// The numbers (from 1) of lines that are whole but no record: damage by something other than a crash of ours.
    pub broken_lines: Vec<u64>,
}

impl Metrics {
    /// The steps and numbers of one value, in the order they were written.
    pub fn series(&self, name: &str) -> Vec<(u64, f64)> {
        self.records.iter().filter_map(|record| Some((record.step, record.get(name)?))).collect()
    }

    /// The step of the first record with a loss or a gradient that is no finite number.
    pub fn first_not_finite(&self) -> Option<u64> {
        let losses = ["loss", "train_loss", "test_loss", "gradient_norm"];
        let broken =
            |record: &&Record| losses.iter().any(|name| record.get(name).is_some_and(|loss| !loss.is_finite()));
        self.records.iter().find(broken).map(|record| record.step)
    }

    /// How many different steps have a record.
    pub fn steps(&self) -> u64 {
        self.records.chunk_by(|one, next| one.step == next.step).count() as u64
    }

    /// Whether each of the first `count` steps has a record, and none comes behind them.
    pub fn has_all_steps(&self, count: u64) -> bool {
        self.steps() == count && self.records.last().map_or(0, |record| record.step) == count
    }

    /// The last number written for a value.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.records.iter().rev().find_map(|record| record.get(name))
    }
}

/// Reads a file of metrics; one that is not there is empty, and a last line without its line break does not count.
pub(super) fn read(path: &Path) -> Result<Metrics> {
    let mut metrics = Metrics::default();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoKind::NotFound => return Ok(metrics),
        Err(error) => return Err(Error::io("read the metrics", path, &error)),
    };
    let mut line_number = 0;
    each_line(file, |line| {
        line_number += 1;
        match line.and_then(Record::from_line) {
            Some(record) => metrics.records.push(record),
            None => metrics.broken_lines.push(line_number),
        }
    })
    .map_err(|error| Error::io("read the metrics", path, &error))?;
    Ok(metrics)
}

/// Calls `visit` for every line that ends in a line break (`None`: longer than the limit); returns their length in bytes.
fn each_line(file: File, mut visit: impl FnMut(Option<&[u8]>)) -> std::io::Result<u64> {
    let mut lines = Lines::new(file);
    while let Some(line) = lines.advance()? {
        visit(line);
    }
    Ok(lines.whole)
}

/// The lines of a file of metrics, one by one.
#[derive(Debug)]
pub(super) struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    /// Bytes of the lines so far.
    pub(super) whole: u64,
}

impl Lines {
    /// From where the file stands.
    pub(super) fn new(file: File) -> Lines {
        Lines { reader: BufReader::with_capacity(1 << 16, file), line: Vec::new(), whole: 0 }
    }

    /// The next line that ends in a line break, without it; inside, `None` for one that is longer than the limit.
    pub(super) fn advance(&mut self) -> std::io::Result<Option<Option<&[u8]>>> {
        self.line.clear();
        let mut length = (&mut self.reader).take(LINE_LIMIT).read_until(b'\n', &mut self.line)? as u64;
        let too_long = length == LINE_LIMIT && self.line.last() != Some(&b'\n');
        while self.line.last() != Some(&b'\n') {
            self.line.clear();
            let more = (&mut self.reader).take(LINE_LIMIT).read_until(b'\n', &mut self.line)? as u64;
            if more == 0 {
                return Ok(None);
            }
            length += more;
        }
        self.whole += length;
        Ok(Some(if too_long { None } else { self.line.strip_suffix(b"\n") }))
    }
}

/// The whole records of a run one by one, as many as there were when it was opened: a run that goes on does not make it longer.
/// Broken lines are passed over.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    lines: Option<Lines>,
    end: u64,
}

impl Records {
    /// Of a file that is not there, none.
    pub(super) fn open(path: &Path) -> Result<Records> {
        let failed = |error: std::io::Error| Error::io("read the metrics", path, &error);
        let (lines, end) = match File::open(path) {
            Ok(file) => {
                let end = file.metadata().map_err(failed)?.len();
                (Some(Lines::new(file)), end)
            }
            Err(error) if error.kind() == IoKind::NotFound => (None, 0),
            Err(error) => return Err(failed(error)),
        };
        Ok(Records { path: path.to_owned(), lines, end })
    }
}

impl Iterator for Records {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let lines = self.lines.as_mut()?;
        while lines.whole < self.end {
            match lines.advance() {
                Ok(Some(line)) => {
                    if let Some(record) = line.and_then(Record::from_line) {
                        return Some(Ok(record));
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    self.lines = None;
                    return Some(Err(Error::io("read the metrics", &self.path, &error)));
                }
            }
        }
        self.lines = None;
        None
    }
}

/// Lines that were dropped from a file of metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Records of later steps, which a resume makes again.
    pub later: u64,
    /// Lines that were no record: damage by something other than a crash of ours.
    pub broken: u64,
}

/// Appends records to the metrics of a run.
///
/// A record is handed to the operating system in one write, so it survives the process; [`MetricsWriter::sync`] makes
/// what was written survive a power cut too. After a failed write (a full disk), the file ends at its last whole record.
#[derive(Debug)]
pub struct MetricsWriter {
    path: PathBuf,
    file: disk::File,
    /// Bytes of whole records; what lies beyond is a torn line.
    whole: u64,
    torn: bool,
}

impl MetricsWriter {
    /// Opens or makes the file and cuts off a last line without its line break.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| Error::io("open the metrics", path, &error);
        if fs::symlink_metadata(path).is_err_and(|error| error.kind() == IoKind::NotFound) {
            // The name survives a power cut as its content does.
            disk::File::create_new(path).map_err(failed)?;
            files::sync_folder(files::folder_of(path))?;
        }
        let file = disk::File::append(path).map_err(failed)?;
        if !file.inner().metadata().map_err(failed)?.is_file() {
            return Err(Error::input("the metrics are not a regular file").detail("file", path.display()));
        }
        let mut reader = file.inner().try_clone().map_err(failed)?;
        reader.seek(SeekFrom::Start(0)).map_err(failed)?;
        let whole = each_line(reader, |_| {}).map_err(failed)?;
        file.set_len(whole).map_err(failed)?;
        Ok(MetricsWriter { path: path.to_owned(), file, whole, torn: false })
    }

    /// Appends one record.
    ///
    /// # Errors
    /// When it cannot be written; nothing of it is then left in the file.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        let line = record.to_line();
        if line.len() as u64 >= LINE_LIMIT {
            return Err(Error::input("a record of the metrics is too long")
                .detail("file", self.path.display())
                .detail("expected", format!("fewer than {LINE_LIMIT} bytes"))
                .detail("got", format!("{} bytes in {} values", line.len(), record.values.len())));
        }
        self.cut_torn()?;
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            self.torn = true;
            // What is told is the failed write; the next call, or the next open, cuts again if this fails.
            let _ = self.cut_torn();
            return Err(Error::io("write the metrics", &self.path, &error));
        }
        self.whole += line.len() as u64;
        Ok(())
    }

    /// Waits until everything appended is on the disk.
    ///
    /// # Errors
    /// When the disk reports a failure.
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync().map_err(|error| Error::io("write the metrics", &self.path, &error))
    }

    /// Drops all records beyond `step`, and lines that are no record, and returns how many lines of each were dropped.
    ///
    /// For a resume: the metrics then end where the checkpoint does. The file is replaced in one rename, and the records
    /// kept are kept byte for byte.
    ///
    /// # Errors
    /// When the file cannot be read or replaced; it is then as it was.
    pub fn truncate_after(&mut self, step: u64) -> Result<Dropped> {
        let failed = |error: std::io::Error| Error::io("cut the metrics", &self.path, &error);
        let (mut kept, mut dropped) = (Vec::new(), Dropped::default());
        each_line(File::open(&self.path).map_err(failed)?, |line| {
            match line.and_then(|line| Some((line, Record::from_line(line)?))) {
                Some((line, record)) if record.step <= step => {
                    kept.extend_from_slice(line);
                    kept.push(b'\n');
                }
                Some(_) => dropped.later += 1,
                None => dropped.broken += 1,
            }
        })
        .map_err(failed)?;
        if dropped != Dropped::default() {
            files::write_atomically(&self.path, &kept)?;
            *self = MetricsWriter::open(&self.path)?;
        }
        Ok(dropped)
    }

    fn cut_torn(&mut self) -> Result<()> {
        if self.torn {
            self.file.set_len(self.whole).map_err(|error| Error::io("write the metrics", &self.path, &error))?;
            self.torn = false;
        }
        Ok(())
    }
}

//! What does a run's folder say, and what of it is new since the index was there last?

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rusqlite::types::Value as Sql;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::identity::seconds;
use super::super::metrics::{Lines, Record};
use super::super::settings::Setting;
use super::super::{Identity, Run};
use crate::Result;

/// How many bytes before the end of what was read must still be there for the rest to be its continuation.
const TAIL: usize = 64;
/// Metrics that say whether training went on in numbers.
const LOSSES: [&str; 4] = ["loss", "train_loss", "test_loss", "gradient_norm"];

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Made, and not trained yet.
    New,
    /// Somebody trains it.
    Running,
    /// It went to its end.
    Finished,
    /// It was stopped before its end, in whatever way; `evenkeel train --resume` goes on.
    Interrupted,
    /// A number was no longer finite.
    Diverged,
    /// Its folder is no longer there.
    Missing,
}

impl Status {
    /// All, in the order of a run's life.
    pub const ALL: [Status; 6] =
        [Status::New, Status::Running, Status::Finished, Status::Interrupted, Status::Diverged, Status::Missing];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Status::New => "new",
            Status::Running => "running",
            Status::Finished => "finished",
            Status::Interrupted => "interrupted",
            Status::Diverged => "diverged",
            Status::Missing => "missing",
        }
    }

    pub(super) fn of_word(word: &str) -> Status {
        Status::ALL.into_iter().find(|status| status.word() == word).unwrap_or(Status::Missing)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Sizes and times of the files that the index is made from: while they stay, nothing has to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    files: [Option<(u64, u128)>; 4],
}

impl Stamp {
    const FILES: [&str; 4] = ["run.toml", "metrics", "summary.json", "identity.json"];

    /// `None` where there is no run.
    pub(super) fn of(dir: &Path) -> Option<Stamp> {
        let of = |metadata: Metadata| {
            let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            (metadata.len(), modified.map_or(0, |since| since.as_nanos()))
        };
        let files = Self::FILES.map(|name| fs::metadata(dir.join(name)).ok().filter(Metadata::is_file).map(of));
        files[0].is_some().then_some(Stamp { files })
    }

    /// The time of the newest file, in seconds since 1970.
    fn updated(&self) -> f64 {
        let newest = self.files.iter().flatten().map(|(_, nanoseconds)| *nanoseconds).max();
        newest.unwrap_or(0) as f64 / 1e9
    }

    pub(super) fn has_other_config(&self, other: &Stamp) -> bool {
        self.files[0] != other.files[0]
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, file) in self.files.iter().enumerate() {
            let separator = if index > 0 { " " } else { "" };
            match file {
                Some((bytes, time)) => write!(f, "{separator}{bytes}:{time}")?,
                None => write!(f, "{separator}-")?,
            }
        }
        Ok(())
    }
}

impl Stamp {
    /// The reverse of the text; of anything else a stamp that no run has.
    pub(super) fn parse(text: &str) -> Stamp {
        let mut files = [None; 4];
        for (file, word) in files.iter_mut().zip(text.split(' ')) {
            *file = word.split_once(':').and_then(|(bytes, time)| Some((bytes.parse().ok()?, time.parse().ok()?)));
        }
        Stamp { files }
    }
}

/// What the points of a metric come to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Total {
    pub(super) points: u64,
    pub(super) last: f64,
    pub(super) last_step: u64,
    /// Value and step; of numbers alone.
    pub(super) min: Option<(f64, u64)>,
    pub(super) max: Option<(f64, u64)>,
    /// Whether it differs from what the index has.
    pub(super) changed: bool,
}

/// How far the metrics of a run were read, and what they came to so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    pub(super) bytes: u64,
    pub(super) tail: Vec<u8>,
    pub(super) broken: u64,
    pub(super) steps: Option<u64>,
    pub(super) epochs: Option<f64>,
    pub(super) totals: BTreeMap<String, Total>,
}

impl Course {
    /// Reads what was appended since; from the start, and then says `true`, where the file is no longer what it was. A last line
    /// without its end waits.
    fn follow(&mut self, path: &Path) -> std::io::Result<bool> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                *self = Course::default();
                return Ok(true);
            }
            file => file?,
        };
        let anew = !self.is_continued_by(&mut file)?;
        if anew {
            *self = Course::default();
            file.seek(SeekFrom::Start(0))?;
        }
        let mut lines = Lines::new(file);
        while let Some(line) = lines.advance()? {
            match line.and_then(Record::from_line) {
                Some(record) => self.add(&record),
                None => self.broken += 1,
            }
            if let Some(line) = line {
                self.tail = line[line.len().saturating_sub(TAIL)..].to_vec();
                self.tail.push(b'\n');
            } else {
                // Nothing is known of its end; what follows is taken for its continuation.
                self.tail = vec![b'\n'];
            }
        }
        self.bytes += lines.whole;
        Ok(anew)
    }

    /// Whether a loss of the last record is not finite.
    fn broke_off(&self) -> bool {
        let last = |name: &str| self.totals.get(name).filter(|total| Some(total.last_step) == self.steps);
        LOSSES.iter().filter_map(|name| last(name)).any(|total| !total.last.is_finite())
    }

    /// Whether the file still ends, where reading stopped, in the bytes it ended in; stands there afterwards.
    fn is_continued_by(&self, file: &mut File) -> std::io::Result<bool> {
        let length = self.tail.len() as u64;
        if self.bytes == 0 || length > self.bytes || file.metadata()?.len() < self.bytes {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(self.bytes - length))?;
        let mut found = vec![0; self.tail.len()];
        file.read_exact(&mut found)?;
        Ok(found == self.tail)
    }

    fn add(&mut self, record: &Record) {
        self.steps = Some(record.step);
        self.epochs = Some(record.epoch);
        for (name, value) in &record.values {
            let here = Some((*value, record.step)).filter(|_| !value.is_nan());
            let Some(total) = self.totals.get_mut(name) else {
                let total =
                    Total { points: 1, last: *value, last_step: record.step, min: here, max: here, changed: true };
                self.totals.insert(name.clone(), total);
                continue;
            };
            total.points += 1;
            (total.last, total.last_step, total.changed) = (*value, record.step, true);
            if let Some((value, _)) = here {
                total.min = if total.min.is_none_or(|(least, _)| value < least) { here } else { total.min };
                total.max = if total.max.is_none_or(|(most, _)| value > most) { here } else { total.max };
            }
        }
    }
}

/// A run as its folder shows it.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) name: String,
    pub(super) identity: Identity,
    pub(super) stamp: Stamp,
    pub(super) updated: f64,
    pub(super) status: Status,
    /// Keys and values; `None` where the file is the one the index knows.
    pub(super) config: Option<Vec<(String, Sql)>>,
    pub(super) summary: Vec<(String, Sql)>,
    pub(super) course: Course,
    /// Where in the metrics reading began; nothing when it was at their start, whatever the index knew.
    pub(super) from: Option<u64>,
}

/// What the index knows of a run.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) run: i64,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) status: Status,
    pub(super) stamp: Stamp,
}

/// The folder `name` of `base`; of a run in a folder of that folder the parts are joined by `/` on every system.
pub(super) fn folder(base: &Path, name: &str) -> PathBuf {
    name.split('/').fold(base.to_owned(), |path, part| path.join(part))
}

/// Reads a run's folder, from where `course` ends.
///
/// # Errors
/// When its configuration or its metrics cannot be read.
pub(super) fn read(base: &Path, name: &str, known: Option<&Known>, mut course: Course) -> Result<Reading> {
    let dir = folder(base, name);
    // Taken first: what is written while it is read is then read again.
    let before = Stamp::of(&dir).unwrap_or_default();
    let run = Run::open(&dir)?;
    let identity = run.identity().unwrap_or_else(|_| stand_in(&dir, &before));
    // With the identity that was just made.
    let stamp = Stamp {
        files: [before.files[0], before.files[1], before.files[2], Stamp::of(&dir).and_then(|now| now.files[3])],
    };
    let config = match known.is_some_and(|known| !stamp.has_other_config(&known.stamp)) {
        true => None,
        false => Some(run.settings()?.into_iter().map(|(key, value)| (key, of_setting(value))).collect()),
    };
    let summary = run.summary().ok().flatten().unwrap_or_default();
    let path = run.metrics_path();
    let from = course.bytes;
    let anew = course.follow(&path).map_err(|error| crate::Error::io("read the metrics", &path, &error))?;
    let ended_at = summary.get("steps").and_then(Value::as_u64);
    let status = match course.steps {
        _ if run.is_claimed() => Status::Running,
        None if ended_at.is_none() => Status::New,
        steps if course.broke_off() && steps > ended_at => Status::Diverged,
        steps if ended_at.is_some() && steps <= ended_at => Status::Finished,
        _ => Status::Interrupted,
    };
    Ok(Reading {
        name: name.to_owned(),
        identity,
        updated: stamp.updated(),
        stamp,
        status,
        config,
        summary: summary.iter().map(|(key, value)| (key.clone(), sql(value))).collect(),
        from: (!anew).then_some(from),
        course,
    })
}

/// For a folder that takes no new file: an id from where it is. Moved, it counts as another run.
fn stand_in(dir: &Path, stamp: &Stamp) -> Identity {
    let place = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let digest = Sha256::digest(place.as_os_str().as_encoded_bytes());
    let id: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let created = fs::metadata(dir.join("run.toml")).and_then(|metadata| metadata.modified());
    Identity { id, created: created.map_or(stamp.updated(), seconds), tags: Default::default() }
}

/// A value of a configuration.
fn of_setting(value: Setting) -> Sql {
    match value {
        Setting::String(text) => Sql::Text(text),
        Setting::Integer(number) => Sql::Integer(number),
        Setting::Float(number) => Sql::Real(number),
        other => Sql::Text(other.to_string()),
    }
}

/// A value of a summary.
fn sql(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Sql::Integer(whole),
            None => number.as_f64().map_or(Sql::Null, Sql::Real),
        },
        Value::String(text) => Sql::Text(text.clone()),
        other => Sql::Text(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn line(step: u64, loss: f64) -> String {
        let number = crate::store::number::to_json(loss);
        format!("{{\"step\":{step},\"epoch\":0.5,\"values\":{{\"loss\":{number}}}}}\n")
    }

    #[test]
    fn what_was_appended_is_added_and_a_torn_line_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics");
        fs::write(&path, line(1, 3.0) + &line(2, 1.0) + "{\"step\":3,").unwrap();
        let mut course = Course::default();
        course.follow(&path).unwrap();
        assert_eq!((course.totals["loss"].points, course.steps), (2, Some(2)));
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"\"epoch\":1,\"values\":{\"loss\":2.0}}\n")
            .unwrap();
        course.follow(&path).unwrap();
        let loss = &course.totals["loss"];
        assert_eq!((loss.points, loss.last, loss.min, loss.max), (3, 2.0, Some((1.0, 2)), Some((3.0, 1))));
        assert_eq!(course.bytes, fs::metadata(&path).unwrap().len());
    }

    #[test]
    fn metrics_that_were_cut_and_grew_again_are_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics");
        fs::write(&path, line(1, 3.0) + &line(2, 1.0)).unwrap();
        let mut course = Course::default();
        course.follow(&path).unwrap();
        // A resume cuts behind step 1, and step 2 comes out otherwise.
        fs::write(&path, line(1, 3.0) + &line(2, 2.0) + &line(3, 2.5)).unwrap();
        course.follow(&path).unwrap();
        let loss = &course.totals["loss"];
        assert_eq!((loss.points, loss.min), (3, Some((2.0, 2))));
        fs::remove_file(&path).unwrap();
        course.follow(&path).unwrap();
        assert!(course.totals.is_empty() && course.bytes == 0);
    }

    #[test]
    fn numbers_that_are_none_count_as_points_and_not_as_extremes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics");
        fs::write(&path, line(1, 2.0) + &line(2, f64::NAN)).unwrap();
        let mut course = Course::default();
        course.follow(&path).unwrap();
        let loss = &course.totals["loss"];
        assert!(loss.last.is_nan() && course.broke_off());
        assert_eq!((loss.points, loss.min, loss.max), (2, Some((2.0, 1)), Some((2.0, 1))));
    }

    #[test]
    fn stamps_are_read_back_as_they_were_written() {
        let stamp = Stamp { files: [Some((5, 7)), None, Some((0, u128::from(u64::MAX))), None] };
        assert_eq!(Stamp::parse(&stamp.to_string()), stamp);
        assert_eq!(Stamp::parse("nonsense"), Stamp::default());
    }
}

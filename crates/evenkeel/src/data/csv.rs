//! How tables are read: CSV files of numbers with a column of labels, which are classes or numbers to be predicted.
//!
//! The first row may name the columns. The labels are the column called `label`, `class` or `target`, else the last one; all others are
//! features. A first column without a name, among columns with names, numbers the rows and is left out.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ::csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};

use super::classes::{Labels, whole};
use super::parts::{Part, Parts};
use super::source::{Packing, Source, damaged, grouped, name, reserve};
use super::split::Pixels;
use super::targets::{Numbers, Targets};
use crate::config::DataTargets;
use crate::{Error, Result};

const LABEL_NAMES: [&str; 3] = ["label", "class", "target"];
/// What separates fields, the first of them that there is most of in the first line.
const DELIMITERS: [u8; 3] = *b",;\t";
/// How a value that is not there is written.
const MISSING: [&str; 7] = ["", "?", "na", "n/a", "nan", "null", "none"];
/// Where the first line is looked for its delimiter.
const LOOK: usize = 1 << 16;

/// Reads a file, or `train.csv` and `test.csv` of a folder.
pub(super) fn load(path: &Path, targets: DataTargets) -> Result<Parts> {
    let found = std::fs::metadata(path).map_err(|error| {
        Error::io("look for a table", path, &error)
            .hint("name a CSV file after `csv:`, or a folder with train.csv and test.csv")
    })?;
    if !found.is_dir() {
        return Ok(Parts { train: read(path, targets)?.1, test: None });
    }
    let file = |part: &str| {
        [format!("{part}.csv"), format!("{part}.csv.gz")]
            .map(|name| path.join(name))
            .into_iter()
            .find(|path| path.is_file())
    };
    let Some(train) = file("train") else {
        return Err(Error::input("the folder holds no table to train on")
            .detail("folder", path.display())
            .detail("expected", "train.csv, and test.csv where there is a test part; .gz may follow")
            .hint("rename the file, or name it after `csv:`"));
    };
    let test = file("test");
    let (columns, part) = read(&train, targets)?;
    let Some(test) = test else { return Ok(Parts { train: part, test: None }) };
    let (others, test_part) = read(&test, targets)?;
    columns.check_same(&train, &others, &test)?;
    Ok(Parts { train: part, test: Some(test_part) })
}

/// What the columns of a table are.
struct Columns {
    /// As many as there are columns, where the first row names them.
    names: Option<Vec<String>>,
    count: usize,
    label: usize,
    /// Columns that are left out before the first feature.
    skipped: usize,
}

impl Columns {
    /// Reads them off the first row.
    fn of(first: &ByteRecord, path: &Path) -> Result<Self> {
        let fields: Vec<String> = first.iter().map(|field| text(field).into_owned()).collect();
        let count = fields.len();
        let is_label = |field: &String| LABEL_NAMES.contains(&field.to_lowercase().as_str());
        let (features, last) = fields.split_at(count.saturating_sub(1));
        let named = features.iter().any(|field| is_name(field)) || last.iter().any(is_label);
        let labels: Vec<usize> = (0..count).filter(|&column| named && is_label(&fields[column])).collect();
        if labels.len() > 1 {
            let found: Vec<&str> = labels.iter().map(|&column| fields[column].as_str()).collect();
            return Err(Error::input("more than one column could be the labels")
                .detail("file", path.display())
                .detail("expected", "one column called label, class or target")
                .detail("got", found.join(", "))
                .hint("rename all but one of them"));
        }
        let label = labels.first().copied().unwrap_or(count.saturating_sub(1));
        let skipped = usize::from(named && count > 0 && fields[0].is_empty() && label != 0);
        if count < skipped + 2 {
            return Err(Error::input(format!("{} has too few columns", name(path)))
                .detail("file", path.display())
                .detail("expected", "at least one feature and the label, separated by commas, semicolons or tabs")
                .detail("got", format!("{count} in the first row"))
                .hint("is this a table?"));
        }
        Ok(Columns { names: named.then_some(fields), count, label, skipped })
    }

    /// The number of features.
    fn features(&self) -> usize {
        self.count - 1 - self.skipped
    }

    /// How a column is called in an error.
    fn name(&self, column: usize) -> String {
        match &self.names {
            Some(names) => format!("{} ({})", column + 1, names[column]),
            None => (column + 1).to_string(),
        }
    }

    fn check_same(&self, file: &Path, other: &Self, other_file: &Path) -> Result<()> {
        let differs = match (&self.names, &other.names) {
            (Some(names), Some(others)) => names.iter().zip(others).position(|(a, b)| a != b),
            _ => (self.label != other.label || self.skipped != other.skipped).then_some(self.label),
        };
        let shown = |columns: &Self, column: usize, file: &Path| {
            format!("column {} in {}", columns.name(column), file.display())
        };
        let error = Error::input("the columns of the training and of the test table differ");
        match differs {
            _ if self.count != other.count => Err(error
                .detail("training", format!("{} columns in {}", self.count, file.display()))
                .detail("test", format!("{} columns in {}", other.count, other_file.display()))
                .hint("take both from the same source")),
            Some(column) => Err(error
                .detail("training", shown(self, column, file))
                .detail("test", shown(other, column, other_file))
                .hint("bring the columns into the same order, and name them in both files or in neither")),
            None => Ok(()),
        }
    }
}

/// Whether a field of the first row can only be the name of a column.
fn is_name(field: &str) -> bool {
    let missing = MISSING.contains(&field.to_lowercase().as_str());
    !missing && field.parse::<f64>().is_err() && field.chars().any(char::is_alphabetic)
}

fn text(field: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(field.trim_ascii())
}

/// The columns and the rows of a file. Memory: four bytes a feature; rows are read one at a time.
fn read(path: &Path, targets: DataTargets) -> Result<(Columns, Part)> {
    let mut source = Source::open(path)?;
    let (packing, limit) = (source.packing(), source.limit());
    let mut start = vec![0; LOOK];
    let got = source.fill(&mut start)?;
    start.truncate(got);
    if got < LOOK {
        // A packed file that ends here has its checksum compared.
        source.finish(got as u64, "a table")?;
    }
    let delimiter = delimiter(&start);
    let stream = io::Cursor::new(start).chain(source).take(limit);
    let mut table = Table {
        reader: ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(stream),
        path: path.to_owned(),
        packing,
    };
    let mut row = ByteRecord::new();
    if !table.next(&mut row)? {
        return Err(Error::input(format!("{} is empty", name(path))).detail("file", path.display()));
    }
    let columns = Columns::of(&row, path)?;
    let mut values = Vec::new();
    let mut targets = match targets {
        DataTargets::Classes => Targets::Classes(Labels::default()),
        DataTargets::Numbers => Targets::Numbers(Numbers::new(1)),
    };
    let mut more = columns.names.is_none() || table.next(&mut row)?;
    while more {
        table.take(&row, &columns, &mut values, &mut targets)?;
        more = table.next(&mut row)?;
    }
    if table.reader.position().byte() >= limit {
        return Err(Error::input(format!("{} is too long", name(path)))
            .detail("file", path.display())
            .detail("expected", format!("at most {} bytes unpacked", grouped(limit)))
            .hint("unpack the file"));
    }
    if targets.len() == 0 {
        return Err(Error::input(format!("{} holds no samples", name(path)))
            .detail("file", path.display())
            .detail("got", "the names of the columns alone"));
    }
    let shape = [1, 1, columns.features()];
    Ok((columns, Part { pixels: Pixels::Floats(values), targets, shape }))
}

/// The delimiter there is most of in the first line.
fn delimiter(start: &[u8]) -> u8 {
    let line = start.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let count = |delimiter: u8| line.iter().filter(|byte| **byte == delimiter).count();
    // Of equal ones the last is taken, and a comma should win.
    DELIMITERS.into_iter().rev().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',')
}

/// A table that is being read.
struct Table<R> {
    reader: Reader<R>,
    path: PathBuf,
    packing: Packing,
}

impl<R: Read> Table<R> {
    /// Reads the next row; false at the end.
    fn next(&mut self, row: &mut ByteRecord) -> Result<bool> {
        self.reader.read_byte_record(row).map_err(|error| match error.into_kind() {
            ErrorKind::Io(error) => damaged(&self.path, self.packing, &error),
            other => Error::input(format!("{} is not a table", name(&self.path)))
                .detail("file", self.path.display())
                .detail("reason", format!("{other:?}")),
        })
    }

    /// Keeps the features and the label of a row.
    fn take(
        &self,
        row: &ByteRecord,
        columns: &Columns,
        values: &mut Vec<f32>,
        targets: &mut Targets<Labels>,
    ) -> Result<()> {
        let at = |error: Error| {
            let line = row.position().map_or(0, ::csv::Position::line);
            error.detail("file", self.path.display()).detail("line", line)
        };
        if row.len() != columns.count {
            return Err(at(Error::input("a row has another number of fields than the first"))
                .detail("expected", columns.count)
                .detail("got", row.len())
                .hint("mend this row; a text with the delimiter in it needs quotes around it"));
        }
        reserve(values, columns.features(), &self.path)?;
        let sample = targets.len();
        for (column, field) in row.iter().enumerate().skip(columns.skipped) {
            let field = text(field);
            let cell = |what: String| at(Error::input(what)).detail("column", columns.name(column));
            match targets {
                _ if column != columns.label => values.push(number(&field, sample, "value", cell)?),
                Targets::Numbers(numbers) => numbers.push(number(&field, sample, "target", cell)?, &self.path)?,
                // A class may be called none; only an empty label is none.
                Targets::Classes(_) if field.is_empty() => {
                    return Err(cell("a label is missing".into()).hint("fill it in, or leave out this row"));
                }
                Targets::Classes(labels) => {
                    let label = field.parse().ok().and_then(whole).map(|number| number.to_string());
                    labels.push(label.as_deref().unwrap_or(&field), &self.path)?;
                }
            }
        }
        Ok(())
    }
}

/// The number in a field, a `value` of a feature or a `target`; `cell` begins an error.
fn number(field: &str, sample: usize, what: &str, cell: impl Fn(String) -> Error) -> Result<f32> {
    let error = |is: &str| cell(format!("a {what} is {is}")).detail("sample", sample);
    match field.parse::<f64>() {
        Ok(value) if (value as f32).is_finite() => Ok(value as f32),
        _ if MISSING.contains(&field.to_lowercase().as_str()) => {
            Err(error("missing").detail("got", format!("'{field}'")).hint("fill it in, or leave out this row"))
        }
        Ok(value) => Err(error("not a finite number")
            .detail("expected", "a finite 32-bit number")
            .detail("got", value)
            .hint("mend or leave out this row")),
        Err(_) => Err(error("not a number")
            .detail("expected", "a number, with a point before the fraction")
            .detail("got", format!("'{}'", field.chars().take(40).collect::<String>()))
            .hint(match what {
                "target" => "for classes leave `data.targets` out; targets are the last column or the one called `target`",
                _ => "features are numbers: leave out or encode columns of words; the labels are the last column or the one called `label`",
            })),
    }
}

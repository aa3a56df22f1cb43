//! A folder a run with one event file, as TensorBoard reads them.
//!
//! The file is a list of records (length, its checksum, the bytes, their checksum), each an `Event` in Protocol Buffers; of these
//! messages only the fields are declared that are written. Source: `tensorflow/core/util/event.proto`, `framework/summary.proto` and
//! `lib/io/record_writer` of TensorFlow.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use prost::Message;

use super::Exported;
use crate::store::{Record, Run, files};
use crate::{Error, Result};

/// What the first record says.
const VERSION: &str = "brain.Event:2";

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

pub(super) fn write(runs: &[Run], out: &Path) -> Result<Exported> {
    if out.is_file() {
        return Err(Error::input("TensorBoard reads a folder, and this is a file")
            .detail("file", out.display())
            .hint("give another `--out`"));
    }
    let mut exported = Exported { records: 0, points: 0, files: Vec::new() };
    for run in runs {
        let created = run.identity().map_or(0.0, |identity| identity.created);
        let file = file_of(out, run, created);
        files::stream_atomically(&file, |target| {
            let failed = |error: std::io::Error| Error::io("write the events", &file, &error);
            let mut target = BufWriter::new(target);
            let version = Event { wall_time: created, file_version: Some(VERSION.into()), ..Event::default() };
            put(&mut target, &version).map_err(failed)?;
            let mut elapsed = 0.0;
            for record in run.records()? {
                let record = record?;
                elapsed = record.get("seconds").unwrap_or(elapsed);
                put(&mut target, &event(&record, created + elapsed)).map_err(failed)?;
                exported.records += 1;
                exported.points += record.values.len() as u64;
            }
            target.flush().map_err(failed)
        })?;
        exported.files.push(file);
    }
    Ok(exported)
}

/// The same name each time: a second export takes the place of the first.
fn file_of(out: &Path, run: &Run, created: f64) -> PathBuf {
    out.join(run.name()).join(format!("events.out.tfevents.{:010}.evenkeel", created as u64))
}

fn event(record: &Record, wall_time: f64) -> Event {
    let scalar = |(name, value): &(String, f64)| Scalar { tag: name.clone(), simple_value: Some(*value as f32) };
    let summary = Summary { value: record.values.iter().map(scalar).collect() };
    let step = i64::try_from(record.step).unwrap_or(i64::MAX);
    Event { wall_time, step, file_version: None, summary: Some(summary) }
}

fn put(target: &mut impl Write, event: &Event) -> std::io::Result<()> {
    let bytes = event.encode_to_vec();
    let length = (bytes.len() as u64).to_le_bytes();
    target.write_all(&length)?;
    target.write_all(&masked(&length).to_le_bytes())?;
    target.write_all(&bytes)?;
    target.write_all(&masked(&bytes).to_le_bytes())
}

/// A checksum that stays one when it is part of what is summed up again.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

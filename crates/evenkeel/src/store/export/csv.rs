//! One table as text.

use std::io::BufWriter;
use std::path::Path;

use super::{Exported, FIXED, column, metrics_of, places, row};
use crate::store::{Run, files, number};
use crate::{Error, Result};

pub(super) fn write(runs: &[Run], out: &Path) -> Result<Exported> {
    let metrics = metrics_of(runs)?;
    let places = places(&metrics);
    let mut exported = Exported { records: 0, points: 0, files: vec![out.to_owned()] };
    let failed =
        |error: csv::Error| Error::input("cannot write the table").detail("file", out.display()).detail("got", error);
    files::stream_atomically(out, |file| {
        let mut table = csv::Writer::from_writer(BufWriter::new(file));
        let header = FIXED.iter().map(|name| (*name).to_owned()).chain(metrics.iter().map(|name| column(name)));
        table.write_record(header).map_err(failed)?;
        for run in runs {
            let name = run.name();
            for record in run.records()? {
                let record = record?;
                let fixed = [name.clone(), record.step.to_string(), text(record.epoch)];
                let values = row(&record, &places).into_iter().map(|value| value.map(text).unwrap_or_default());
                table.write_record(fixed.into_iter().chain(values)).map_err(failed)?;
                exported.records += 1;
                exported.points += record.values.len() as u64;
            }
        }
        table.flush().map_err(|error| Error::io("write the table", out, &error))
    })?;
    Ok(exported)
}

/// All digits of a number, as the metrics have them.
fn text(value: f64) -> String {
    match number::to_json(value) {
        serde_json::Value::String(word) => word,
        number => number.to_string(),
    }
}

//! One table in columns, for pandas, Polars, DuckDB and their kin.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::{Exported, FIXED, column, metrics_of, places, row};
use crate::store::disk::File;
use crate::store::{Run, files};
use crate::{Error, Result};

/// How many cells are held until a group of rows is written.
const CELLS: usize = 1 << 20;

/// Rows that are not written yet, column by column.
#[derive(Default)]
struct Group {
    runs: Vec<ByteArray>,
    steps: Vec<i64>,
    epochs: Vec<f64>,
    /// Of each metric the values that there are, and for each row whether there is one.
    metrics: Vec<(Vec<f64>, Vec<i16>)>,
}

pub(super) fn write(runs: &[Run], out: &Path) -> Result<Exported> {
    let metrics = metrics_of(runs)?;
    let places = places(&metrics);
    let rows_at_once = (CELLS / (metrics.len() + FIXED.len())).max(1);
    let mut exported = Exported { records: 0, points: 0, files: vec![out.to_owned()] };
    let failed =
        |error: ParquetError| Error::input("cannot write the table").detail("file", out.display()).detail("got", error);
    files::stream_atomically(out, |file| {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let schema = schema(&metrics).map_err(failed)?;
        let mut table = SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(failed)?;
        let mut group = Group::new(metrics.len());
        for run in runs {
            let name = ByteArray::from(run.name().into_bytes());
            for record in run.records()? {
                let record = record?;
                group.runs.push(name.clone());
                group.steps.push(i64::try_from(record.step).unwrap_or(i64::MAX));
                group.epochs.push(record.epoch);
                for (value, (values, there)) in row(&record, &places).into_iter().zip(&mut group.metrics) {
                    there.push(i16::from(value.is_some()));
                    values.extend(value);
                }
                exported.records += 1;
                exported.points += record.values.len() as u64;
                if group.runs.len() == rows_at_once {
                    std::mem::replace(&mut group, Group::new(metrics.len())).write(&mut table).map_err(failed)?;
                }
            }
        }
        if !group.runs.is_empty() {
            group.write(&mut table).map_err(failed)?;
        }
        table.close().map(|_| ()).map_err(failed)
    })?;
    Ok(exported)
}

fn schema(metrics: &[String]) -> std::result::Result<TypePtr, ParquetError> {
    let field = |name: &str, physical: Physical, repetition: Repetition, logical: Option<LogicalType>| {
        let builder = Type::primitive_type_builder(name, physical).with_repetition(repetition);
        builder.with_logical_type(logical).build().map(Arc::new)
    };
    let mut fields = vec![
        field("run", Physical::BYTE_ARRAY, Repetition::REQUIRED, Some(LogicalType::String))?,
        field("step", Physical::INT64, Repetition::REQUIRED, None)?,
        field("epoch", Physical::DOUBLE, Repetition::REQUIRED, None)?,
    ];
    for metric in metrics {
        fields.push(field(&column(metric), Physical::DOUBLE, Repetition::OPTIONAL, None)?);
    }
    Ok(Arc::new(Type::group_type_builder("metrics").with_fields(fields).build()?))
}

impl Group {
    fn new(metrics: usize) -> Group {
        Group { metrics: vec![Default::default(); metrics], ..Group::default() }
    }

    fn write(self, table: &mut SerializedFileWriter<&mut File>) -> std::result::Result<(), ParquetError> {
        let mut rows = table.next_row_group()?;
        next::<ByteArrayType>(&mut rows, &self.runs, None)?;
        next::<Int64Type>(&mut rows, &self.steps, None)?;
        next::<DoubleType>(&mut rows, &self.epochs, None)?;
        for (values, there) in &self.metrics {
            next::<DoubleType>(&mut rows, values, Some(there))?;
        }
        rows.close().map(|_| ())
    }
}

/// Writes the next column of a group.
fn next<T: DataType>(
    rows: &mut SerializedRowGroupWriter<'_, &mut File>,
    values: &[T::T],
    there: Option<&[i16]>,
) -> std::result::Result<(), ParquetError> {
    let column = rows.next_column()?;
    let Some(mut column) = column else {
        return Err(ParquetError::General("a column is missing in the schema".into()));
    };
    column.typed::<T>().write_batch(values, there, None)?;
    column.close()
}

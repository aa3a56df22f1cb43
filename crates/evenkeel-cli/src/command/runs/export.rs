//! `evenkeel runs export RUN.. --format F --out PATH`.

use super::{current, found};
use crate::arguments::RunsExport;
use crate::command::words;
use crate::output::{Output, grouped};
use evenkeel::Result;
use evenkeel::store::export::{Format, export};
use serde_json::json;
use std::path::Path;

pub(super) fn run(base: &Path, flags: &RunsExport, output: &Output) -> Result<()> {
    let format = words::choice("--format", &flags.format, Format::ALL, Format::word)?;
    let runs = found(&current(base, output)?.0, &flags.runs)?;
    let exported = export(&runs, format, &flags.out)?;
    output.text(&format!(
        "{}: {} points in {} records of {}\n",
        flags.out.display(),
        grouped(exported.points),
        grouped(exported.records),
        if runs.len() == 1 { "1 run".to_owned() } else { format!("{} runs", runs.len()) }
    ))?;
    output.document(&json!({
        "out": flags.out,
        "format": format.word(),
        "points": exported.points,
        "records": exported.records,
        "files": exported.files,
    }))?;
    if format == Format::TensorBoard {
        output.note(&format!("see it with `tensorboard --logdir {}`", flags.out.display()));
    }
    Ok(())
}

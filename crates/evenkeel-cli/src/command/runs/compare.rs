//! `evenkeel runs compare A B ..`.

use super::{current, found};
use crate::arguments::RunsCompare;
use crate::output::{Output, number, table};
use evenkeel::Result;
use evenkeel::report::Comparison;
use evenkeel::store::write_atomically;
use serde_json::{Map, Value, json};
use std::path::Path;

pub(super) fn run(base: &Path, flags: &RunsCompare, output: &Output) -> Result<()> {
    let runs = found(&current(base, output)?.0, &flags.runs)?;
    let comparison = Comparison::of(&runs)?;
    if let Some(path) = &flags.report {
        write_atomically(path, comparison.html()?.as_bytes())?;
    }
    output.text(&lines(&comparison))?;
    output.document(&document(&comparison, flags.report.as_deref()))?;
    if let Some(path) = &flags.report {
        output.note(&format!("report  {}", path.display()));
    }
    Ok(())
}

fn lines(comparison: &Comparison) -> String {
    let mut header = vec![String::new()];
    header.extend(comparison.names.iter().cloned());
    let mut rows = vec![header];
    let dash = || "-".to_owned();
    for (key, values) in &comparison.settings {
        let mut row = vec![key.clone()];
        row.extend(values.iter().map(|value| value.clone().unwrap_or_else(dash)));
        rows.push(row);
    }
    for (name, values) in &comparison.last {
        let mut row = vec![name.clone()];
        row.extend(values.iter().map(|value| value.map_or_else(dash, number)));
        rows.push(row);
    }
    table(&rows, &(1..=comparison.names.len()).collect::<Vec<_>>())
}

fn document(comparison: &Comparison, report: Option<&Path>) -> Value {
    let by_key = |rows: Vec<(&String, Value)>| {
        Value::Object(rows.into_iter().map(|(key, value)| (key.clone(), value)).collect::<Map<_, _>>())
    };
    let groups: Vec<Vec<&str>> = comparison
        .groups()
        .iter()
        .map(|group| group.iter().filter_map(|run| comparison.names.get(*run)).map(String::as_str).collect())
        .collect();
    json!({
        "runs": comparison.names,
        "settings": by_key(comparison.settings.iter().map(|(key, values)| (key, json!(values))).collect()),
        "metrics": by_key(comparison.last.iter().map(|(name, values)| (name, json!(values))).collect()),
        "groups": groups,
        "report": report,
    })
}

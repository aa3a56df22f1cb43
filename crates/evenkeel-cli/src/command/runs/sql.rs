//! `evenkeel runs sql "SELECT .."`.

use super::current;
use crate::arguments::RunsSql;
use crate::output::{Output, table};
use evenkeel::Result;
use evenkeel::store::index::{Cell, Rows};
use serde_json::json;
use std::path::Path;

pub(super) fn run(base: &Path, flags: &RunsSql, output: &Output) -> Result<()> {
    let (mut index, _) = current(base, output)?;
    let answer = index.query(&flags.query)?;
    output.text(&lines(&answer))?;
    output.document(&json!(answer))
}

fn lines(answer: &Rows) -> String {
    let mut rows = vec![answer.columns.clone()];
    rows.extend(answer.rows.iter().map(|row| row.iter().map(shown).collect()));
    let is_number = |cell: &Cell| matches!(cell, Cell::Integer(_) | Cell::Real(_) | Cell::Null);
    let numeric: Vec<usize> = (0..answer.columns.len())
        .filter(|column| {
            !answer.rows.is_empty() && answer.rows.iter().all(|row| row.get(*column).is_some_and(is_number))
        })
        .collect();
    table(&rows, &numeric)
}

/// All digits of numbers, and one line of texts.
fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Null => "-".to_owned(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
    }
}

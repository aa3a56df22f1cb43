//! Where words go: data to stdout, all else to stderr.

use crate::arguments::Common;
use evenkeel::store::LayerColumn;
use evenkeel::{Error, Result, Work};
use serde_json::Value;
use std::io::{IsTerminal, Write};

/// How to talk.
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    terminal: bool,
    color: bool,
    pictures: bool,
}

impl Output {
    pub(crate) fn new(common: &Common) -> Output {
        let terminal = std::io::stderr().is_terminal();
        let colorful = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let pictures = std::io::stdout().is_terminal() && colorful;
        Output { json: common.json, quiet: common.quiet, terminal, color: terminal && colorful, pictures }
    }

    /// Whether progress bars make sense.
    pub(crate) fn shows_progress(&self) -> bool {
        self.terminal && !self.quiet
    }

    pub(crate) fn has_color(&self) -> bool {
        self.color
    }

    /// Whether somebody sees what is printed, in colors.
    pub(crate) fn shows_pictures(&self) -> bool {
        self.pictures && !self.json
    }

    /// Data for a reader: printed unless JSON was asked for.
    pub(crate) fn text(&self, text: &str) -> Result<()> {
        if self.json { Ok(()) } else { print(text) }
    }

    /// Data for a program: printed when JSON was asked for.
    pub(crate) fn document(&self, value: &Value) -> Result<()> {
        if self.json { print(&format!("{value:#}\n")) } else { Ok(()) }
    }

    /// Something beside the data: where files went, what comes next.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            // Notes that cannot be shown are not worth failing for.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// Something is not as it should be, and the work goes on; also when quiet.
    pub(crate) fn warning(&self, text: &str) {
        let label = if self.color { "\x1b[1;33mwarning\x1b[0m" } else { "warning" };
        // A warning that cannot be shown is not worth failing for.
        let _ = writeln!(std::io::stderr(), "{label}: {text}");
    }

    /// A question; also when quiet.
    pub(crate) fn ask(&self, text: &str) {
        // Nobody answers what nobody can read.
        let _ = write!(std::io::stderr(), "{text}").and_then(|()| std::io::stderr().flush());
    }

    /// What went wrong; also when quiet.
    pub(crate) fn error(&self, error: &Error) {
        let label = if self.color { "\x1b[1;31merror\x1b[0m" } else { "error" };
        let _ = writeln!(std::io::stderr(), "{label}: {error}");
    }
}

fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever read us has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::input("cannot write to stdout").detail("got", error)),
        Ok(()) => Ok(()),
    }
}

/// Seconds for a reader: `41 s`, `2 min 05 s`, `0.3 s`.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{} min {:02} s", (seconds / 60.0) as u64, (seconds % 60.0) as u64)
    }
}

/// Five digits of a number, whatever its size.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e5).contains(&size) {
        return format!("{value:.4e}");
    }
    let whole = if size < 1.0 { 1 } else { size.log10() as usize + 1 };
    format!("{value:.*}", 5usize.saturating_sub(whole))
}

/// A count with thousands set apart.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut result = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            result.push(',');
        }
        result.push(digit);
    }
    result
}

/// A line a layer, under the names of the columns.
pub(crate) fn layer_rows(layers: &[String], columns: &[LayerColumn]) -> String {
    let width = layers.iter().map(|layer| layer.chars().count()).max().unwrap_or(0).max("layer".len());
    let mut text = format!("  {:width$}", "layer");
    let cell = |name: &str| name.chars().count().max(10);
    columns.iter().for_each(|column| text += &format!("  {:>1$}", column.name, cell(&column.name)));
    text.push('\n');
    for (place, layer) in layers.iter().enumerate() {
        text += &format!("  {layer:width$}");
        for column in columns {
            let shown = match column.values.get(place) {
                Some(value) if value.fract() == 0.0 && (0.0..1e15).contains(value) => grouped(*value as u64),
                Some(value) if !value.is_nan() => number(*value),
                _ => "-".into(),
            };
            text += &format!("  {:>1$}", shown, cell(&column.name));
        }
        text = text.trim_end().to_owned();
        text.push('\n');
    }
    text
}

/// Rows in columns of equal width; those of the columns `right` end in one line.
pub(crate) fn table<R: AsRef<[String]>>(rows: &[R], right: &[usize]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.as_ref().get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, |row| row.as_ref().len())).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.as_ref().iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Where in a network a program does what, in columns of equal width.
pub(crate) fn work_columns<'w>(works: impl Iterator<Item = &'w Work>) -> Vec<String> {
    let columns = |work: &Work| {
        let shape: Vec<String> = work.shape.iter().map(usize::to_string).collect();
        let fused = if work.operations > 1 { format!(" of {}", work.operations) } else { String::new() };
        let layer = if work.layer.is_empty() { "-" } else { &work.layer };
        [layer.to_string(), work.pass.to_string(), format!("{}{fused}", work.kind), shape.join("×")]
    };
    let rows: Vec<[String; 4]> = works.map(columns).collect();
    let widths = [0, 1, 2, 3].map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    rows.iter()
        .map(|[layer, pass, kind, shape]| {
            format!(
                "{layer:a$}  {pass:b$}  {kind:c$}  {shape:>d$}",
                a = widths[0],
                b = widths[1],
                c = widths[2],
                d = widths[3]
            )
        })
        .collect()
}

/// Bytes for a reader.
pub(crate) fn bytes(count: usize) -> String {
    let units = [(1usize << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(size, _)| count >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", count as f64 / *size as f64),
        None => format!("{count} bytes"),
    }
}

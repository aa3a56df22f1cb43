//! What is on the page of a sweep?

use super::figures;
use super::results::{Mean, Results, Row};
use super::state::State;
use crate::Result;
use crate::report::drawing;
use crate::report::page::{Figure, Page, figure_html, tiles};
use crate::report::text::{duration, escape, integer, percent, significant};
use crate::store::write_atomically;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::path::{Path, PathBuf};

impl Results {
    /// Writes `sweep.html` into the folder of the sweep, in place of an older one, and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_page(&self) -> Result<PathBuf> {
        let path = self.sweep.join("sweep.html");
        write_atomically(&path, self.page()?.as_bytes())?;
        Ok(path)
    }

    fn page(&self) -> Result<String> {
        let (mut drawn, mut tables): (Vec<Figure>, Map<String, Value>) = (Vec::new(), Map::new());
        for (id, figure) in figures::all(self) {
            drawn.push(drawing::figure(id, &figure)?);
            tables.insert(id.to_owned(), drawing::table(&figure));
        }
        let places: String = drawn.iter().map(figure_html).collect();
        let body = format!("{}{}<section class=\"figures\">{places}</section>", self.numbers(), self.table());
        let state = match (self.interrupted(), self.finished()) {
            (0, 0) => "<span class=\"state bad\">none finished</span>",
            (0, _) => "",
            _ => "<span class=\"state\">not ended</span>",
        };
        let full = std::fs::canonicalize(&self.sweep).unwrap_or_else(|_| self.sweep.clone());
        let name = full.file_name().map_or_else(|| "sweep".into(), |name| name.to_string_lossy());
        let page = Page {
            kicker: "Evenkeel sweep",
            name: &name,
            state,
            body: &body,
            version: None,
            footer: "",
            tables: Value::Object(tables),
            figures: &drawn,
        };
        page.render()
    }

    fn numbers(&self) -> String {
        let best = self.ranking().first().map(|best| &self.points[*best]);
        let of_best = |mean: Option<&Mean>, write: fn(f64) -> String| mean.map(|mean| write(mean.mean));
        let seconds: f64 =
            self.points.iter().filter_map(|row| Some(row.seconds.as_ref()?.mean * row.finished as f64)).sum();
        let count = |count: usize| Some(integer(count as u64));
        let accuracy = best.and_then(|row| row.test_accuracy.as_ref());
        let loss = best.and_then(|row| row.test_loss.as_ref());
        let tiles_of = [
            ("Best test accuracy", of_best(accuracy, percent), error(accuracy, fine_percent)),
            ("Test loss there", of_best(loss, |loss| significant(loss, 4)), error(loss, |error| significant(error, 2))),
            ("Combinations", count(self.points.len()), String::new()),
            ("Seeds", count(self.seeds.len()), String::new()),
            ("Runs finished", count(self.finished()), format!("of {}", integer(self.runs() as u64))),
            ("Diverged", count(self.diverged()), String::new()),
            ("Time of all runs", Some(duration(seconds)), String::new()),
        ];
        tiles(&tiles_of[usize::from(!self.has_accuracy())..])
    }

    /// One row a combination, with links to its runs.
    fn table(&self) -> String {
        let mut html = String::from(
            "<section><h2>Results</h2><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Results\"><table><thead><tr>",
        );
        for name in self.axes.keys() {
            let _ = write!(html, "<th class=\"words\">{}</th>", escape(name));
        }
        html.push_str("<th>Finished</th>");
        if self.has_accuracy() {
            html.push_str("<th>Test accuracy</th>");
        }
        html.push_str(
            "<th>Test loss</th><th>Train loss</th><th>λ<sub>max</sub></th><th>Time</th><th class=\"words\">Runs</th>\
             <th class=\"words\"></th></tr></thead><tbody>",
        );
        for row in &self.points {
            html.push_str("<tr>");
            for value in row.values() {
                let _ = write!(html, "<td class=\"words\">{}</td>", escape(value));
            }
            let _ = write!(html, "<td>{}/{}</td>", row.finished, row.runs.len());
            if self.has_accuracy() {
                html.push_str(&cell(row.test_accuracy.as_ref(), percent, fine_percent));
            }
            for mean in [&row.test_loss, &row.train_loss, &row.lambda_max] {
                html.push_str(&cell(mean.as_ref(), |mean| significant(mean, 4), |error| significant(error, 2)));
            }
            html.push_str(&cell(row.seconds.as_ref(), duration, duration));
            let _ =
                write!(html, "<td class=\"words\">{}</td><td class=\"words\">{}</td></tr>", links(row), remark(row));
        }
        let error = match self.seeds.len() {
            1 => "",
            _ => "<p class=\"note\">± is the standard error of the mean over the seeds that finished.</p>",
        };
        html + "</tbody></table></div>" + error + "</section>"
    }
}

/// An error in percent, of which there is more to tell than one that is next to nothing.
fn fine_percent(fraction: f64) -> String {
    if fraction > 0.0 && fraction < 5e-4 {
        format!("{}\u{a0}%", significant(100.0 * fraction, 1))
    } else {
        percent(fraction)
    }
}

/// `± 0.3 %`, where there is an error to tell.
fn error(mean: Option<&Mean>, write: impl Fn(f64) -> String) -> String {
    let error = mean.and_then(|mean| mean.standard_error);
    error.map(|error| format!("±\u{a0}{}", write(error))).unwrap_or_default()
}

fn cell(mean: Option<&Mean>, write: impl Fn(f64) -> String, write_error: impl Fn(f64) -> String) -> String {
    match mean {
        None => "<td class=\"quiet\">–</td>".to_owned(),
        Some(known) => format!("<td>{}<small>{}</small></td>", write(known.mean), error(mean, write_error)),
    }
}

/// The reports of a row's runs, by seed.
fn links(row: &Row) -> String {
    let link = |run: &super::results::Ran| {
        let seed = run.seed;
        let report = Path::new(&row.folder).join(format!("seed={seed}")).join("report.html");
        match run.state {
            State::Finished(_) | State::Diverged { .. } => {
                format!("<a href=\"{}\">{seed}</a>", escape(&address(&report)))
            }
            _ => format!("<span class=\"quiet\">{seed}</span>"),
        }
    };
    row.runs.iter().map(link).collect::<Vec<_>>().join(" ")
}

/// A path as the address of a link: folders of a sweep are plain names, but for signs that mean something there.
fn address(path: &Path) -> String {
    path.display().to_string().replace('\\', "/").replace('+', "%2B")
}

fn remark(row: &Row) -> String {
    let best = if row.best { "<span class=\"state good\">best</span> " } else { "" };
    format!("{best}{}", escape(&row.remark()))
}

//! The report of a run: one HTML page that opens offline, built from what the run's folder holds.
//!
//! ```no_run
//! # use std::path::Path;
//! let run = evenkeel::store::Run::open(Path::new("runs/mlp-001"))?;
//! let page = evenkeel::report::write_report(&run)?;
//! # Ok::<(), evenkeel::Error>(())
//! ```
//!
//! `facts` gathers the numbers, `reading` says them in words, `figures` lays out the plots, and `run` puts them together.
//! What every page of this crate shares is in `page` (one template, one style, one script, and Plotly's script packed into
//! it; it asks for nothing from outside, and its content policy forbids it to) and `plot` (how a figure looks); [`Figure`] is what other pages draw, and `drawing` draws it.
//! A run that was never measured, was interrupted or has diverged gets a report as well:
//! the page says so and leaves gaps where there are no numbers. [`Comparison`] is the page of several runs.

mod compare;
pub(crate) mod drawing;
mod dynamics;
mod facts;
mod figure;
mod figures;
mod layer_reading;
mod layers;
mod learner;
mod over_steps;
pub(crate) mod page;
pub(crate) mod plot;
mod reading;
mod run;
mod tables;
pub(crate) mod text;

pub use compare::Comparison;
pub use figure::Figure;

use std::path::PathBuf;

use crate::Result;
use crate::store::{Run, write_atomically};

/// Builds the report of a run, writes it to `report.html` in its folder in place of an older one, and returns that path.
///
/// # Errors
/// When the configuration, the metrics or the folder of measurements cannot be read, or the page cannot be written. Broken
/// lines, measurements and summaries are no error: the page says what it left out.
pub fn write_report(run: &Run) -> Result<PathBuf> {
    let path = run.report_path();
    write_atomically(&path, report_html(run)?.as_bytes())?;
    Ok(path)
}

/// What the page says in words, sentence after sentence: how the run ended, what stands out.
///
/// # Errors
/// As for [`write_report`], but nothing is written.
pub fn reading(run: &Run) -> Result<Vec<String>> {
    Ok(reading::sentences(&facts::Facts::gather(run)?))
}

/// The page that [`write_report`] writes.
///
/// # Errors
/// As for [`write_report`].
pub fn report_html(run: &Run) -> Result<String> {
    let facts = facts::Facts::gather(run)?;
    run::render(&facts)
}

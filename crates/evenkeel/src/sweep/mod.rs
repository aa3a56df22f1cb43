//! Sweeps: every combination of some values, with several seeds each, trained side by side and told in one table and one page.
//!
//! ```no_run
//! use evenkeel::sweep::{Axis, Sweep};
//! use std::path::Path;
//! let axes = vec![Axis::read("optimizer.lr=0.1,0.01", &[])?, Axis::read("norm=batch,none", &[])?];
//! let results = Sweep::new(None, &[], axes, 3)?.plan(Path::new("runs/rates"), None)?.run(&())?;
//! results.write_page()?;
//! # Ok::<(), evenkeel::Error>(())
//! ```
//!
//! A sweep's folder has a folder a combination, and in it one a seed, which is a run like any other:
//!
//! ```text
//! SWEEP/
//!   sweep.toml                      the base: the configuration without what varies
//!   lr=0.1,norm=batch/seed=0/       a run, see [`crate::store`]
//!   sweep.html
//! ```
//!
//! Nothing else is kept. How far a sweep is follows from its runs, so the same sweep started again does what is left, and one with
//! more values or seeds adds to it.
//!
//! Where to start reading: `grid` (what varies), `plan` (what is left to do), then `run`.

mod figures;
mod grid;
mod page;
mod plan;
mod results;
mod run;
mod state;

pub use grid::Axis;
pub(crate) use plan::BASE;
pub use plan::{Job, Plan, Sweep};
pub use results::{Mean, Ran, Results, Row};
pub use run::Watch;
pub use state::{Numbers, State};

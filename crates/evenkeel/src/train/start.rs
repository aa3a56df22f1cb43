//! A run that holds a state to start from, and nothing else yet.

use super::fresh::Fresh;
use super::progress::Progress;
use super::step::{optimizer_slots, zeros};
use crate::Result;
use crate::experiment::Experiment;
use crate::init::Prepared;
use crate::network::State;
use crate::report::write_report;
use crate::store::Run;
use std::path::Path;

/// Makes a run in `dir` whose step 0 is `prepared`, with a report that shows it; training goes on from there as from any checkpoint
/// (`resume` of [`super::train`]).
///
/// # Errors
/// When the folder holds a run already, or cannot be written; nothing is then left of the run.
pub fn start(experiment: &Experiment, dir: &Path, prepared: &Prepared) -> Result<Run> {
    let made_folder = !dir.exists();
    let run = Run::create(dir, &experiment.config.to_toml())?;
    let write = || {
        // An empty file: the run is the newest one.
        run.metrics_writer()?;
        run.write_measurement(&prepared.measurement.name(), &prepared.measurement)?;
        let seconds = prepared.measurement.seconds;
        let rest = Progress::default().to_json(seconds);
        let State { parameters, buffers } = &prepared.state;
        let slots = optimizer_slots(&experiment.network, &*experiment.optimizer());
        let nothing_kept = zeros(&slots, experiment.network.dtype());
        run.save_checkpoint(0, &experiment.checkpoint(parameters, buffers, &nothing_kept, rest))?;
        write_report(&run)
    };
    match write() {
        Ok(_) => Ok(run),
        Err(error) => {
            Fresh { run, made_folder }.discard();
            Err(error)
        }
    }
}

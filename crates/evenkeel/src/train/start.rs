//! A run that holds a state to start from, and nothing else yet.

use super::fresh::Fresh;
use super::progress::Progress;
use super::step::{kept_at_first, optimizer_slots, started};
use crate::Result;
use crate::experiment::Experiment;
use crate::init::Prepared;
use crate::network::State;
use crate::report::write_report;
use crate::store::Run;
use crate::store::index::Follow;
use std::path::Path;

/// Makes a run in `dir` whose step 0 is `prepared`, with a report that shows it; training goes on from there as from any checkpoint
/// (`resume` of [`super::train`]).
///
/// # Errors
/// When the folder holds a run already, or cannot be written; nothing is then left of the run.
pub fn start(experiment: &Experiment, dir: &Path, prepared: &Prepared) -> Result<Run> {
    let optimizer = experiment.trainer_options()?.optimizer;
    let made_folder = !dir.exists();
    let run = Run::create(dir, &experiment.config.to_toml())?;
    let write = || {
        // An empty file: the run is the newest one.
        run.metrics_writer()?;
        run.write_measurement(&prepared.measurement.name(), &prepared.measurement)?;
        let seconds = prepared.measurement.seconds;
        let rest = Progress::default().to_json(seconds);
        let network = &experiment.network;
        let State { parameters, buffers } = &prepared.state;
        let parameters = started(network, &*optimizer, parameters.clone());
        let kept = kept_at_first(&optimizer_slots(network, &*optimizer), &parameters, network.dtype());
        run.save_checkpoint(0, &experiment.checkpoint(&parameters, buffers, &kept, rest))?;
        write_report(&run)
    };
    match write() {
        Ok(_) => {
            // Whoever lists the runs finds this one in any case.
            let _ = Follow::new(&run).now();
            Ok(run)
        }
        Err(error) => {
            Fresh { run, made_folder }.discard();
            Err(error)
        }
    }
}

//! The runs of a sweep, side by side, each of them as `train` makes it.

use super::plan::{Job, Plan};
use super::results::Results;
use super::state::{State, clear};
use crate::experiment::Experiment;
use crate::store::{files, write_atomically};
use crate::train::{Event, Observer, train};
use crate::{Error, ErrorKind, Result, parallel};
use std::fs;
use std::sync::Mutex;

/// Watches the runs of a sweep from whatever thread they are on, and may stop them.
pub trait Watch: Sync {
    /// Is told what happens in a run.
    fn event(&self, _job: &Job, _event: &Event) {}

    /// A run ended, or was interrupted; with the error where it did not come to its end.
    fn ended(&self, _job: &Job, _state: &State, _error: Option<&Error>) {}

    /// Whether to stop: all runs save their state, and the same sweep goes on later.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Neither looks nor stops.
impl Watch for () {}

/// A run's observer.
struct Follow<'w> {
    watch: &'w dyn Watch,
    job: &'w Job,
}

impl Observer for Follow<'_> {
    fn event(&mut self, event: &Event) {
        self.watch.event(self.job, event);
    }

    fn interrupted(&self) -> bool {
        self.watch.interrupted()
    }
}

impl Plan {
    /// Trains what is left, and tells what all runs came to. Runs that diverge or fail are part of the results; so are those that were
    /// interrupted, see [`Results::interrupted`].
    ///
    /// # Errors
    /// When the folder cannot be written, or another process has this sweep in work.
    pub fn run(self, watch: &dyn Watch) -> Result<Results> {
        fs::create_dir_all(&self.dir).map_err(|error| Error::io("make the folder of the sweep", &self.dir, &error))?;
        let _claim = files::claim(&self.dir, "another process has this sweep in work")?;
        if !self.base_path().exists() {
            write_atomically(&self.base_path(), self.base.to_toml().as_bytes())?;
        }
        let states = Mutex::new(self.jobs.iter().map(|job| job.state.clone()).collect::<Vec<_>>());
        let left: Vec<(usize, &Job)> =
            self.jobs.iter().enumerate().filter(|(_, job)| !job.state.is_settled()).collect();
        parallel::each(
            left,
            self.workers,
            || watch.interrupted(),
            |(index, job)| {
                let state = one(job, watch)?;
                parallel::lock(&states)[index] = state;
                Ok(())
            },
        )?;
        let states = states.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        Ok(Results::of(&self, &states))
    }

    /// What the runs have come to so far.
    pub fn results(&self) -> Results {
        Results::of(self, &self.jobs.iter().map(|job| job.state.clone()).collect::<Vec<_>>())
    }
}

/// Trains a run to its end, or as far as it goes.
fn one(job: &Job, watch: &dyn Watch) -> Result<State> {
    let resume = job.state != State::Missing;
    if !resume {
        clear(&job.dir);
    }
    let mut follow = Follow { watch, job };
    let trained =
        Experiment::new(job.config.clone()).and_then(|experiment| train(&experiment, &job.dir, resume, &mut follow));
    let state = match (State::of(&job.dir, job.steps), &trained) {
        (Ok(state @ (State::Finished(_) | State::Diverged { .. })), _) => state,
        (Ok(state), Err(error)) if error.kind() == ErrorKind::Interrupted => state,
        (_, Err(error)) => State::Failed { why: error.what().to_owned() },
        (state, Ok(_)) => state?,
    };
    watch.ended(job, &state, trained.as_ref().err());
    Ok(state)
}

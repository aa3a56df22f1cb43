//! One line of progress for all runs of a sweep.

use super::sweep::runs;
use crate::output::{Output, grouped};
use evenkeel::sweep::{Job, Plan, State, Watch};
use evenkeel::train::Event;
use evenkeel::{Error, ErrorKind};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Runs in work that are named; of more, the rest is counted.
const NAMED: usize = 3;

/// Shows a bar of all steps on a terminal, a line for each run that ends elsewhere.
pub(super) struct Watcher<'o> {
    output: &'o Output,
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
    all: usize,
    state: Mutex<Progress>,
}

struct Progress {
    /// Runs that are done with.
    ended: usize,
    /// Those in work: name, and steps done.
    working: BTreeMap<String, u64>,
}

impl<'o> Watcher<'o> {
    pub(super) fn new(plan: &Plan, output: &'o Output, interrupted: Arc<AtomicBool>) -> Self {
        let left = plan.jobs.iter().filter(|job| !job.state.is_settled());
        let steps: u64 = left.clone().map(|job| job.steps - job.state.steps()).sum();
        let settled = plan.jobs.len() - left.count();
        let bar = if output.shows_progress() { ProgressBar::new(steps) } else { ProgressBar::hidden() };
        let color = if output.has_color() { ".cyan" } else { "" };
        if let Ok(style) = ProgressStyle::with_template(&format!("{{bar:30{color}}} {{msg}}  {{eta}} left")) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        let done = if settled > 0 { format!(", {settled} of them done before") } else { String::new() };
        output.note(&format!(
            "{}{done}, {} at a time, {} steps to do, into {}",
            runs(plan.jobs.len()),
            plan.workers,
            grouped(steps),
            plan.dir().display()
        ));
        let state = Mutex::new(Progress { ended: settled, working: BTreeMap::new() });
        Watcher { output, bar, interrupted, all: plan.jobs.len(), state }
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn state(&self) -> MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, state: &Progress) {
        let named: Vec<&str> = state.working.keys().take(NAMED).map(String::as_str).collect();
        let more = match state.working.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        self.bar.set_message(format!("{}/{}  {}{more}", state.ended, self.all, named.join("; ")));
    }
}

impl Watch for Watcher<'_> {
    fn event(&self, job: &Job, event: &Event) {
        match event {
            Event::Started { step, .. } => {
                let mut state = self.state();
                state.working.insert(job.name.clone(), *step);
                self.show(&state);
            }
            Event::Step { step, .. } => {
                self.state().working.insert(job.name.clone(), *step);
                self.bar.inc(1);
            }
            Event::NotMeasured { what, step, why } => self.bar.suspend(|| {
                self.output.note(&format!("{}: step {step}  {what} not measured: {}", job.name, why.what()));
            }),
            Event::NotLearned { step, why } => self.bar.suspend(|| {
                let stays = "learning rate and momentum stay as they are";
                self.output.note(&format!("{}: step {step}  {stays}: {}", job.name, why.what()));
            }),
            Event::NotIndexed(error) | Event::MetricsLost(error) => self.bar.suspend(|| {
                self.output.warning(&format!("{}: {}", job.name, error.what()));
            }),
            Event::PassedOver { broken, instead } => self.bar.suspend(|| {
                self.output.warning(&format!("{}: {}, that of step {instead} is taken", job.name, broken.what()));
            }),
            Event::Preparing { .. }
            | Event::Prepared(_)
            | Event::Epoch { .. }
            | Event::Measured(_)
            | Event::Learned(_) => {}
        }
    }

    fn ended(&self, job: &Job, end: &State, error: Option<&Error>) {
        let mut state = self.state();
        let done = state.working.remove(&job.name).unwrap_or(0);
        if error.is_some_and(|error| error.kind() == ErrorKind::Interrupted) {
            return;
        }
        state.ended += 1;
        // The steps that a run without an end leaves undone are done with, too.
        self.bar.inc(job.steps.saturating_sub(done));
        let width = self.all.to_string().len();
        let line = format!("[{:>width$}/{}]  {}  {}", state.ended, self.all, job.name, end.words(job.steps));
        self.bar.suspend(|| self.output.note(&line));
        self.show(&state);
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }
}

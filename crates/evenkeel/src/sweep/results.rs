//! What the runs of a sweep came to: a row a combination, with means over seeds.

use super::plan::Plan;
use super::state::{Numbers, State};
use crate::statistics::{mean, standard_error};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// A mean over the seeds that finished.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Its standard error; nothing for one seed.
    pub standard_error: Option<f64>,
}

impl Mean {
    /// Of the numbers that there are, if any.
    fn of(numbers: impl Iterator<Item = f64>) -> Option<Mean> {
        let numbers: Vec<f64> = numbers.filter(|number| number.is_finite()).collect();
        let error = Some(standard_error(&numbers)).filter(|error| error.is_finite());
        (!numbers.is_empty()).then(|| Mean { mean: mean(&numbers), standard_error: error })
    }
}

/// A run and what it came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ran {
    /// Its seed.
    pub seed: u64,
    /// Its folder.
    pub run: PathBuf,
    /// How far it is, with its numbers where it is finished.
    #[serde(flatten)]
    pub state: State,
}

/// One combination of values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The name and the value of each setting that varies.
    pub settings: Map<String, Value>,
    /// Its folder in that of the sweep.
    pub folder: String,
    /// Runs that are finished.
    pub finished: usize,
    /// Whether no other combination has a better mean: of the test accuracy, or, without classes, of the test loss.
    pub best: bool,
    /// Accuracy over the test samples.
    pub test_accuracy: Option<Mean>,
    /// Loss over the test samples.
    pub test_loss: Option<Mean>,
    /// Training loss of the last epoch.
    pub train_loss: Option<Mean>,
    /// The largest eigenvalue of the Hessian at the end.
    pub lambda_max: Option<Mean>,
    /// Wall time.
    pub seconds: Option<Mean>,
    /// Its runs, a seed each.
    pub runs: Vec<Ran>,
}

impl Row {
    /// The values of the settings that vary, in their order.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.settings.values().map(|value| value.as_str().unwrap_or_default())
    }

    /// What is to be said beside the numbers: `diverged at step 3 (2 of 5 seeds)`; empty where all is well.
    pub fn remark(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        let mut say = |what: &str, first: String, count: usize| match (count, self.runs.len()) {
            (0, _) => {}
            (count, all) if count == all && all == 1 => words.push(format!("{what} {first}")),
            (count, all) => words.push(format!("{what} {first} ({count} of {all} seeds)")),
        };
        let steps = self.runs.iter().filter_map(|run| match run.state {
            State::Diverged { step } => Some(step),
            _ => None,
        });
        let first = steps.clone().min().unwrap_or_default();
        say("diverged", format!("at step {first}"), steps.count());
        let reasons: Vec<&str> = self.runs.iter().filter_map(|run| run.state.reason()).collect();
        say("failed:", reasons.first().copied().unwrap_or_default().to_owned(), reasons.len());
        let left = self.runs.iter().filter(|run| matches!(run.state, State::Missing | State::Begun { .. })).count();
        if left > 0 {
            words.push(format!("{left} to do"));
        }
        words.join(", ")
    }

    fn numbers(&self) -> impl Iterator<Item = &Numbers> {
        self.runs.iter().filter_map(|run| match &run.state {
            State::Finished(numbers) => Some(numbers),
            _ => None,
        })
    }
}

impl State {
    fn reason(&self) -> Option<&str> {
        match self {
            State::Failed { why } => Some(why),
            _ => None,
        }
    }
}

/// What a sweep came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// The folder of the sweep.
    pub sweep: PathBuf,
    /// The names of the settings that vary, and the settings.
    pub axes: Map<String, Value>,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The combinations, the last setting varying fastest.
    pub points: Vec<Row>,
}

impl Results {
    pub(super) fn of(plan: &Plan, states: &[State]) -> Results {
        let axes = plan.axes.iter().map(|axis| (axis.name.clone(), axis.key.path.into())).collect();
        let row = |index: usize| {
            let point = &plan.points[index];
            let runs = plan.jobs.iter().zip(states).filter(|(job, _)| job.point == index);
            let runs = runs.map(|(job, state)| Ran { seed: job.seed, run: job.dir.clone(), state: state.clone() });
            let names = plan.axes.iter().map(|axis| axis.name.clone());
            let mut row = Row {
                settings: names.zip(point.values.iter().map(|value| value.as_str().into())).collect(),
                folder: point.folder.clone(),
                finished: 0,
                best: false,
                test_accuracy: None,
                test_loss: None,
                train_loss: None,
                lambda_max: None,
                seconds: None,
                runs: runs.collect(),
            };
            row.finished = row.numbers().count();
            row.test_accuracy = Mean::of(row.numbers().filter_map(|numbers| numbers.test_accuracy));
            row.test_loss = Mean::of(row.numbers().map(|numbers| numbers.test_loss));
            row.train_loss = Mean::of(row.numbers().map(|numbers| numbers.train_loss));
            row.lambda_max = Mean::of(row.numbers().filter_map(|numbers| numbers.lambda_max));
            row.seconds = Mean::of(row.numbers().map(|numbers| numbers.seconds));
            row
        };
        let points = (0..plan.points.len()).map(row).collect();
        let mut results = Results { sweep: plan.dir.clone(), axes, seeds: plan.seeds.clone(), points };
        if let Some(best) = results.ranking().first().copied() {
            results.points[best].best = results.points.len() > 1;
        }
        results
    }

    /// The combinations with numbers, the best first; those with all seeds come before those without.
    pub(super) fn ranking(&self) -> Vec<usize> {
        let score = |row: &Row| match (&row.test_accuracy, &row.test_loss) {
            (Some(accuracy), _) => Some(accuracy.mean),
            (None, Some(loss)) => Some(-loss.mean),
            (None, None) => None,
        };
        let whole = |row: &Row| row.finished == row.runs.len();
        let known = self.points.iter().enumerate();
        let mut ranked: Vec<(usize, bool, f64)> =
            known.filter_map(|(index, row)| Some((index, whole(row), score(row)?))).collect();
        ranked.sort_by(|a, b| b.1.cmp(&a.1).then(b.2.total_cmp(&a.2)));
        ranked.into_iter().map(|(index, ..)| index).collect()
    }

    fn states(&self) -> impl Iterator<Item = &State> {
        self.points.iter().flat_map(|row| row.runs.iter().map(|run| &run.state))
    }

    /// Runs in all.
    pub fn runs(&self) -> usize {
        self.states().count()
    }

    /// Runs that are finished.
    pub fn finished(&self) -> usize {
        self.states().filter(|state| matches!(state, State::Finished(_))).count()
    }

    /// Runs that diverged.
    pub fn diverged(&self) -> usize {
        self.states().filter(|state| matches!(state, State::Diverged { .. })).count()
    }

    /// Runs that were interrupted or never started.
    pub fn interrupted(&self) -> usize {
        self.states().filter(|state| matches!(state, State::Missing | State::Begun { .. })).count()
    }

    /// Whether there are classes to be right about.
    pub fn has_accuracy(&self) -> bool {
        self.points.iter().any(|row| row.test_accuracy.is_some())
    }
}

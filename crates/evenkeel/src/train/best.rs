//! Which checkpoint of a run is the best one?
//!
//! Nothing is written to know it: it is the one whose epoch has the best number in the metrics, so a resume that cuts the metrics and
//! a checkpoint that is lost leave nothing behind that is no longer true.

use crate::Result;
use crate::config::BestBy;
use crate::store::{Metrics, Run};
use serde::Serialize;

/// The checkpoint of the best epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Best {
    /// Its step.
    pub step: u64,
    /// What it is known by, as the metrics call it.
    pub metric: &'static str,
    /// That number.
    pub value: f64,
}

impl BestBy {
    /// The number's name in the metrics; `None` where no epoch is the best, or it is not chosen yet.
    pub fn metric(self) -> Option<&'static str> {
        match self {
            BestBy::Auto | BestBy::None => None,
            named => Some(named.word()),
        }
    }

    /// Whether larger is better.
    pub fn is_accuracy(self) -> bool {
        matches!(self, BestBy::TestAccuracy | BestBy::TrainAccuracy)
    }
}

impl Best {
    /// The better of the best so far and another epoch; of equals the first one, as if training had stopped there. Without a
    /// number, or with one that is NaN, an epoch is not better.
    pub(crate) fn or_better(best: Option<Best>, by: BestBy, step: u64, value: Option<f64>) -> Option<Best> {
        let (Some(metric), Some(value)) = (by.metric(), value.filter(|value| !value.is_nan())) else { return best };
        let is_better = |best: &Best| if by.is_accuracy() { value > best.value } else { value < best.value };
        if best.as_ref().is_none_or(is_better) { Some(Best { step, metric, value }) } else { best }
    }
}

/// The best of a run's checkpoints that are whole as far as their lengths tell; `None` where there is none of an epoch's end.
///
/// # Errors
/// When the checkpoints cannot be listed.
pub fn best_checkpoint(run: &Run, metrics: &Metrics, by: BestBy) -> Result<Option<Best>> {
    let Some(metric) = by.metric() else { return Ok(None) };
    let mut steps = run.checkpoint_steps()?;
    steps.retain(|step| run.looks_whole(*step));
    let kept = metrics.records.iter().filter(|record| steps.binary_search(&record.step).is_ok());
    Ok(kept.fold(None, |best, record| Best::or_better(best, by, record.step, record.get(metric))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::store::{Checkpoint, Record};

    #[test]
    fn the_best_is_the_first_of_the_best_epochs_whose_checkpoint_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::create(&folder.path().join("run"), "").unwrap();
        let nothing = Checkpoint { parameters: vec![], buffers: vec![], optimizer: vec![], state: "".into() };
        let mut metrics = Metrics::default();
        let accuracies = [(10, 0.5), (20, 0.75), (30, 0.75), (40, f64::NAN), (50, 0.875), (60, 0.25)];
        for (step, accuracy) in accuracies {
            let values = vec![("test_accuracy".to_owned(), accuracy), ("test_loss".to_owned(), -accuracy)];
            metrics.records.push(Record { step, epoch: 0.0, values });
            run.save_checkpoint(step, &nothing).unwrap();
        }
        let best = |by| best_checkpoint(&run, &metrics, by).unwrap();
        let first = Best { step: 50, metric: "test_accuracy", value: 0.875 };
        assert_eq!(best(BestBy::TestAccuracy), Some(first));
        assert_eq!(best(BestBy::TestLoss), Some(Best { step: 50, metric: "test_loss", value: -0.875 }));
        // Nothing is known of what was never recorded.
        assert_eq!(best(BestBy::TrainLoss), None);
        assert_eq!(best(BestBy::None), None);
        std::fs::remove_dir_all(run.checkpoint_dir(50)).unwrap();
        assert_eq!(best(BestBy::TestAccuracy), Some(Best { step: 20, metric: "test_accuracy", value: 0.75 }));
        std::fs::remove_file(run.checkpoint_dir(20).join("state.json")).unwrap();
        assert_eq!(best(BestBy::TestAccuracy), Some(Best { step: 30, metric: "test_accuracy", value: 0.75 }));
    }
}

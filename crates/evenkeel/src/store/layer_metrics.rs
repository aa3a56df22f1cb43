//! What are numbers of single layers called in the metrics of a run, and how are they found again?
//!
//! A name is `QUANTITY/PATH`, as `weight_norm/fc1.weight`. Records of such numbers follow that of their step and have its number.

use super::Metrics;
use super::layers::LayerColumn;
use serde::Serialize;
use std::collections::HashMap;

/// The Euclidean length of a weight before the step.
pub const WEIGHT_NORM: &str = "weight_norm";
/// That of the gradient of the objective by it.
pub const GRADIENT_NORM: &str = "gradient_norm";
/// That of what the step changed.
pub const UPDATE_NORM: &str = "update_norm";
/// The update's length as a part of the weight's.
pub const UPDATE_RATIO: &str = "update_ratio";
/// The effective learning rate.
pub const EFFECTIVE_RATE: &str = "effective_learning_rate";
/// The mean of a layer's activations.
pub const ACTIVATION_MEAN: &str = "activation_mean";
/// Their standard deviation.
pub const ACTIVATION_DEVIATION: &str = "activation_deviation";
/// The share of them that are 0.
pub const ACTIVATION_ZEROS: &str = "activation_zeros";
/// The share of units that are 0 for the whole batch.
pub const ACTIVATION_DEAD: &str = "activation_dead";
/// Their largest absolute value.
pub const ACTIVATION_LARGEST: &str = "activation_largest";

/// What is told of weights and of activations, with what each is called in tables.
const TABLES: [(&str, [(&str, &str); 5]); 2] = [
    (
        "weights",
        [
            (WEIGHT_NORM, "norm"),
            (GRADIENT_NORM, "gradient"),
            (UPDATE_NORM, "update"),
            (UPDATE_RATIO, "update/norm"),
            (EFFECTIVE_RATE, "effective lr"),
        ],
    ),
    (
        "activations",
        [
            (ACTIVATION_MEAN, "mean"),
            (ACTIVATION_DEVIATION, "deviation"),
            (ACTIVATION_ZEROS, "zeros"),
            (ACTIVATION_DEAD, "dead units"),
            (ACTIVATION_LARGEST, "largest"),
        ],
    ),
];

/// Numbers that are written in one record: those of more layers go on in the next, far below the longest line there may be.
pub(crate) const IN_A_RECORD: usize = 1000;

/// The name of a layer's number.
pub fn name(quantity: &str, path: &str) -> String {
    format!("{quantity}/{path}")
}

/// The quantity and the path of a name; `None` for what is no number of a layer.
pub fn parts(name: &str) -> Option<(&str, &str)> {
    let (quantity, path) = name.split_once('/')?;
    let known = TABLES.iter().flat_map(|(_, columns)| columns).any(|(known, _)| *known == quantity);
    known.then_some((quantity, path))
}

/// All numbers of the layers at one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerTable {
    /// What the rows are: `weights` or `activations`.
    pub of: &'static str,
    /// Steps done.
    pub step: u64,
    /// The paths, from the input on.
    pub layers: Vec<String>,
    /// What is told of each.
    pub columns: Vec<LayerColumn>,
}

/// One quantity of all layers over the steps of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerSeries {
    /// The paths of the layers, in the order in which they were first written: from the input on.
    pub layers: Vec<String>,
    /// The steps at which there is a number.
    pub steps: Vec<u64>,
    /// The numbers of each step, one a layer; NaN where there is none.
    pub values: Vec<Vec<f64>>,
}

impl LayerSeries {
    /// Whether there is no number.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Metrics {
    /// A quantity of all layers. Cost: one pass over all records.
    pub fn layers(&self, quantity: &str) -> LayerSeries {
        let mut places = HashMap::new();
        let mut found = LayerSeries::default();
        for record in &self.records {
            let numbers = record.values.iter().filter_map(|(name, value)| {
                let (known, path) = parts(name)?;
                (known == quantity).then_some((path, *value))
            });
            for (path, value) in numbers {
                if found.steps.last() != Some(&record.step) {
                    found.steps.push(record.step);
                    found.values.push(vec![]);
                }
                let place = *places.entry(path).or_insert_with(|| {
                    found.layers.push(path.to_owned());
                    found.layers.len() - 1
                });
                if let Some(row) = found.values.last_mut() {
                    row.resize(row.len().max(place + 1), f64::NAN);
                    row[place] = value;
                }
            }
        }
        let layers = found.layers.len();
        found.values.iter_mut().for_each(|row| row.resize(layers, f64::NAN));
        found
    }
    /// What was told last of weights and of activations; nothing of a run whose layers were never looked at.
    pub fn last_of_layers(&self) -> Vec<LayerTable> {
        let table = |(of, columns): (&'static str, [(&str, &str); 5])| {
            let series = columns.map(|(quantity, _)| self.layers(quantity));
            let (layers, step) = (series[0].layers.clone(), *series[0].steps.last()?);
            let last = |series: &LayerSeries| series.values.last().cloned().unwrap_or_default();
            let named = columns.iter().zip(&series);
            let columns = named.map(|((_, name), series)| LayerColumn { name: (*name).into(), values: last(series) });
            Some(LayerTable { of, step, layers, columns: columns.collect() })
        };
        TABLES.into_iter().filter_map(table).collect()
    }
}

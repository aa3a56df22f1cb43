//! What does the page show of every layer while it was trained?

use serde_json::{Map, Value};

use super::facts::Facts;
use super::figures::steps;
use super::layers::folded;
use super::over_steps::{Scale, draw, is_map};
use super::page::Figure;
use super::plot::json;
use super::text::{chosen, integer};
use crate::Result;
use crate::store::layer_metrics::{self, LayerSeries, LayerTable};
use crate::store::number::to_json;
use crate::store::{LayerColumn, Metrics};

/// A size of updates that is usual, as a part of the weights they change.
pub(super) const USUAL_UPDATE: f64 = 1e-3;

/// What the metrics hold of single layers.
#[derive(Default)]
pub(super) struct Dynamics {
    pub(super) gradients: LayerSeries,
    pub(super) updates: LayerSeries,
    weights: LayerSeries,
    rates: LayerSeries,
    activations: LayerSeries,
    zeros: LayerSeries,
    pub(super) dead: LayerSeries,
    last: Vec<LayerTable>,
}

impl Dynamics {
    /// Takes the numbers of layers out of the metrics, which then hold those of the run as a whole.
    pub(super) fn take(metrics: &mut Metrics) -> Dynamics {
        let found = Dynamics {
            gradients: metrics.layers(layer_metrics::GRADIENT_NORM),
            updates: metrics.layers(layer_metrics::UPDATE_RATIO),
            weights: metrics.layers(layer_metrics::WEIGHT_NORM),
            rates: metrics.layers(layer_metrics::EFFECTIVE_RATE),
            activations: metrics.layers(layer_metrics::ACTIVATION_DEVIATION),
            zeros: metrics.layers(layer_metrics::ACTIVATION_ZEROS),
            dead: metrics.layers(layer_metrics::ACTIVATION_DEAD),
            last: metrics.last_of_layers(),
        };
        for record in &mut metrics.records {
            record.values.retain(|(name, _)| layer_metrics::parts(name).is_none());
        }
        metrics.records.retain(|record| !record.values.is_empty());
        found
    }

    /// The figures that have numbers: their names in the page, and what is in them.
    fn shown(&self) -> Vec<(&'static str, &LayerSeries)> {
        let all = [
            ("layer-gradients", &self.gradients),
            ("layer-updates", &self.updates),
            ("layer-weights", &self.weights),
            ("layer-rates", &self.rates),
            ("layer-activations", &self.activations),
            ("layer-zeros", &self.zeros),
            ("layer-dead", &self.dead),
        ];
        // Where nothing is ever 0 there is nothing to see.
        let says = |id: &str, series: &LayerSeries| {
            let shares = ["layer-zeros", "layer-dead"].contains(&id);
            !series.is_empty() && (!shares || series.values.iter().flatten().any(|share| *share > 0.0))
        };
        all.into_iter().filter(|(id, series)| says(id, series)).collect()
    }
}

/// A figure for each quantity.
pub(super) fn figures(facts: &Facts) -> Result<Vec<Figure>> {
    facts.dynamics.shown().into_iter().map(|(id, series)| figure(facts, id, series)).collect()
}

fn figure(facts: &Facts, id: &'static str, series: &LayerSeries) -> Result<Figure> {
    let (title, words, scale, caption) = words(facts, id);
    let map = if is_map(series) {
        let gaps = if scale == Scale::Shares { "" } else { "; a gap is a zero" };
        format!(" One row a layer, the first at the bottom{gaps}.")
    } else {
        String::new()
    };
    Ok(Figure {
        id: id.to_owned(),
        title: title.to_owned(),
        caption: format!("{caption}{map}"),
        wide: false,
        plot: json(&draw(series, words, scale, steps(facts)))?,
        table: id.to_owned(),
        columns: Vec::new(),
    })
}

/// Title, words of the axis, scale and caption of a figure.
fn words(facts: &Facts, id: &str) -> (&'static str, &'static str, Scale, String) {
    let lengths = |title, words, caption: &str| (title, words, Scale::Lengths, caption.to_owned());
    let shares = |title, words, caption: &str| (title, words, Scale::Shares, caption.to_owned());
    match id {
        "layer-gradients" => lengths(
            "Gradient norms",
            "gradient norm",
            "Euclidean length of the gradient of the objective by each weight, before it is clipped.",
        ),
        "layer-updates" => (
            "Updates against weights",
            "update / weight",
            Scale::Around(USUAL_UPDATE, "0.001, a usual size"),
            "Length of what a step changed, as a part of the weight's length. Around 0.001 is usual.".to_owned(),
        ),
        "layer-weights" => lengths("Weight norms", "weight norm", "Euclidean length of each weight before the step."),
        "layer-rates" => {
            let (formula, momentum) = match facts.descends_the_gradient() {
                true if facts.learns_momentum() => {
                    ("lr / ‖w‖²", " Momentum makes it 1/(1 − β) times as much, with the β of the step.".to_owned())
                }
                true if facts.momentum > 0.0 => (
                    "lr / ‖w‖²",
                    format!(" Momentum makes it 1/(1 − β) times as much, β = {}.", chosen(facts.momentum)),
                ),
                true => ("lr / ‖w‖²", String::new()),
                false => ("lr / ‖w‖", String::new()),
            };
            let caption = format!(
                "{formula}: how fast a weight turns whose length does not matter, as in front of a norm. For others it only compares \
                 layers.{momentum}"
            );
            ("Effective learning rates", "effective learning rate", Scale::Lengths, caption)
        }
        "layer-activations" => lengths(
            "Size of activations",
            "standard deviation",
            "Standard deviation of each layer's activations on the step's batch.",
        ),
        "layer-zeros" => shares(
            "Zeros among activations",
            "zeros",
            "Share of each layer's activations that are 0 on the step's batch.",
        ),
        _ => shares(
            "Dead units",
            "dead units",
            "Share of units (channels) that are 0 for all of the step's batch: it cannot teach them anything.",
        ),
    }
}

/// The numbers of the figures: one row a step, one column a layer.
pub(super) fn data(dynamics: &Dynamics) -> Map<String, Value> {
    let table = |series: &LayerSeries| {
        let mut columns: Map<String, Value> = Map::new();
        columns.insert("step".to_owned(), series.steps.iter().map(|step| Value::from(*step)).collect());
        for (place, layer) in series.layers.iter().enumerate() {
            let column = series.values.iter().map(|row| row.get(place).map_or(Value::Null, |value| to_json(*value)));
            columns.insert(layer.clone(), column.collect());
        }
        Value::Object(columns)
    };
    dynamics.shown().into_iter().map(|(id, series)| (id.to_owned(), table(series))).collect()
}

/// What was told last, folded.
pub(super) fn tables(dynamics: &Dynamics) -> String {
    let table = |table: &LayerTable| {
        let head = format!("Layers at step {}: {}", integer(table.step), table.of);
        let columns: &[LayerColumn] = &table.columns;
        folded(&head, &head, &table.layers, columns)
    };
    dynamics.last.iter().map(table).collect()
}

//! Which numbers of a run does its report tell?

use std::cmp::Reverse;

use serde_json::{Map, Value};

use super::dynamics::Dynamics;
use crate::Result;
use crate::init::{InitMeasurement, PROBE};
use crate::store::{Content, HessianMeasurement, LayerMeasurement, LearnerMeasurement, Metrics, Run};
use crate::train::{Best, best_checkpoint};

/// Everything the page is made from.
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) config: String,
    pub(super) version: Option<String>,
    pub(super) seed: Option<String>,
    /// Without the numbers of single layers.
    pub(super) metrics: Metrics,
    /// Those.
    pub(super) dynamics: Dynamics,
    /// Measurements of the Hessian, by step, then mode, then samples.
    pub(super) hessians: Vec<HessianMeasurement>,
    /// Measurements of layers, by probe, then step.
    pub(super) layers: Vec<LayerMeasurement>,
    /// What a method made of the drawn weights.
    pub(super) initialization: Option<InitMeasurement>,
    /// What a learner made of the curvature, by step.
    pub(super) learned: Vec<LearnerMeasurement>,
    /// Measurements of other probes: name and content.
    pub(super) others: Vec<(String, Value)>,
    /// What could not be read, in words.
    pub(super) left_out: Vec<String>,
    /// Whether the run wrote its summary, which it does last.
    pub(super) ended: bool,
    pub(super) steps: Option<u64>,
    pub(super) seconds: Option<f64>,
    pub(super) parameters: Option<u64>,
    pub(super) train_loss: Option<f64>,
    pub(super) test_loss: Option<f64>,
    pub(super) train_accuracy: Option<f64>,
    pub(super) test_accuracy: Option<f64>,
    /// The checkpoint of the best epoch.
    pub(super) best: Option<Best>,
    /// The step of the first record with a loss or a gradient that is no finite number.
    pub(super) diverged_at: Option<u64>,
    /// The unit of the loss: nats, where it is the logarithm of a probability.
    pub(super) nats: &'static str,
    /// The optimiser's name in the configuration.
    pub(super) optimizer: Option<String>,
    /// The momentum of the optimiser where a threshold of stability with momentum applies, else 0.
    pub(super) momentum: f64,
    /// λ_max at the end according to the summary, for a run whose measurements are gone.
    pub(super) lambda_max: Option<f64>,
}

/// What tells two series of measurements apart: they answer different questions and are never joined by a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) norm_mode: String,
    pub(super) samples: u64,
    pub(super) dtype: String,
}

impl Facts {
    pub(super) fn gather(run: &Run) -> Result<Facts> {
        let config = run.config()?;
        let mut metrics = run.metrics()?;
        let dynamics = Dynamics::take(&mut metrics);
        let mut left_out = Vec::new();
        if !metrics.broken_lines.is_empty() {
            let lines: Vec<String> = metrics.broken_lines.iter().take(5).map(u64::to_string).collect();
            let more = if metrics.broken_lines.len() > 5 { ", …" } else { "" };
            left_out.push(format!(
                "{} of the metrics could not be read (line {}{more})",
                count(metrics.broken_lines.len(), "line", "lines"),
                lines.join(", ")
            ));
        }
        let (mut hessians, mut layers, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let (mut initialization, mut learned) = (None, Vec::new());
        for measurement in run.measurements()? {
            match measurement.content {
                Content::Hessian(hessian) => hessians.push(hessian),
                Content::Layers(found) => layers.push(found),
                Content::Other(value) => {
                    match value.get("probe").and_then(Value::as_str) {
                        Some(PROBE) => initialization = serde_json::from_value(value.clone()).ok(),
                        Some(LearnerMeasurement::PROBE) => learned.extend(serde_json::from_value(value.clone()).ok()),
                        _ => {}
                    }
                    others.push((measurement.name, value));
                }
                Content::Broken(_) => left_out.push(format!("the measurement {} could not be read", measurement.name)),
            }
        }
        hessians.sort_by_key(|hessian| (hessian.step, group(hessian)));
        learned.sort_by_key(|one: &LearnerMeasurement| one.step);
        layers.sort_by(|a, b| (&a.probe, a.step, a.samples).cmp(&(&b.probe, b.step, b.samples)));
        let summary = run.summary().unwrap_or_else(|_| {
            left_out.push("the summary could not be read".to_owned());
            None
        });
        let ended = summary.is_some();
        let summary = summary.unwrap_or_default();
        let table: toml::Table = config.parse().unwrap_or_default();
        let last_step = metrics.records.iter().map(|record| record.step).max();
        let number = |key: &str| finite(&summary, key).or_else(|| metrics.last(key));
        let momentum = hessians
            .last()
            .map(|hessian| hessian.momentum)
            .or_else(|| find(&table, "momentum").and_then(as_number))
            .filter(|momentum| momentum.is_finite() && *momentum > 0.0)
            .unwrap_or(0.0);
        let optimizer = optimizer(&table);
        let best_by = table.get("checkpoint").and_then(|table| table.get("best")?.as_str()?.parse().ok());
        // A report is worth having where the checkpoints cannot be listed.
        let best = best_by.and_then(|by| best_checkpoint(run, &metrics, by).ok().flatten());
        let momentum = if rescales(optimizer.as_deref()) { 0.0 } else { momentum };
        Ok(Facts {
            best,
            optimizer,
            nats: if table.get("loss").and_then(toml::Value::as_str) == Some("squared") { "" } else { "nats" },
            lambda_max: finite(&summary, "lambda_max"),
            name: run.name(),
            version: find(&table, "version").map(plain),
            seed: find(&table, "seed").map(plain),
            steps: finite(&summary, "steps").map(|steps| steps as u64).or(last_step),
            seconds: number("seconds"),
            parameters: finite(&summary, "parameters").map(|parameters| parameters as u64),
            train_loss: number("train_loss").or_else(|| metrics.last("loss")),
            test_loss: number("test_loss"),
            train_accuracy: number("train_accuracy"),
            test_accuracy: number("test_accuracy"),
            diverged_at: metrics.first_not_finite(),
            config,
            metrics,
            dynamics,
            hessians,
            layers,
            initialization,
            learned,
            others,
            left_out,
            ended,
            momentum,
        })
    }

    /// Whether samples have classes to be right about. A run without any metrics is taken for one.
    pub(super) fn has_accuracy(&self) -> bool {
        let accuracies = ["accuracy", "train_accuracy", "test_accuracy"];
        let records = &self.metrics.records;
        records.is_empty() || records.iter().any(|record| accuracies.iter().any(|name| record.get(name).is_some()))
    }

    /// Whether steps follow the gradient itself, so that 2/lr is a threshold.
    pub(super) fn descends_the_gradient(&self) -> bool {
        !rescales(self.optimizer.as_deref())
    }

    /// Whether each step has a momentum of its own.
    pub(super) fn learns_momentum(&self) -> bool {
        self.metrics.records.iter().any(|record| record.get("momentum").is_some())
    }

    /// The groups there are measurements of: the one measured most often first, then batch statistics, then more samples.
    pub(super) fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = self.hessians.iter().map(group).collect();
        groups.sort();
        groups.dedup();
        groups.sort_by_key(|wanted| {
            (Reverse(self.measured(wanted).len()), wanted.norm_mode != "batch", Reverse(wanted.samples))
        });
        groups
    }

    /// The measurements of a group, by step.
    pub(super) fn measured(&self, wanted: &Group) -> Vec<&HessianMeasurement> {
        self.hessians.iter().filter(|hessian| group(hessian) == *wanted).collect()
    }

    /// The group the key numbers and the reading are about, with its measurements that have a finite λ_max.
    pub(super) fn main_series(&self) -> Option<(Group, Vec<&HessianMeasurement>)> {
        let main = self.groups().into_iter().next()?;
        let mut series = self.measured(&main);
        series.retain(|hessian| hessian.top().is_some_and(|top| top.value.is_finite()));
        (!series.is_empty()).then_some((main, series))
    }
}

/// `one line`, `3 lines`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

pub(super) fn group(hessian: &HessianMeasurement) -> Group {
    Group { norm_mode: hessian.norm_mode.clone(), samples: hessian.samples, dtype: hessian.dtype.clone() }
}

fn finite(summary: &Map<String, Value>, key: &str) -> Option<f64> {
    summary.get(key)?.as_f64()
}

/// `optimizer = "adam"`, or the name in the table `[optimizer]`.
fn optimizer(table: &toml::Table) -> Option<String> {
    match table.get("optimizer")? {
        toml::Value::String(name) => Some(name.clone()),
        toml::Value::Table(below) => {
            let name = ["name", "kind", "method", "type"].iter().find_map(|key| below.get(*key)?.as_str());
            name.map(str::to_owned)
        }
        _ => None,
    }
}

/// Whether an optimiser of this name divides the gradient by something of its own; an unknown one is taken for SGD.
fn rescales(optimizer: Option<&str>) -> bool {
    let name = optimizer.unwrap_or_default().to_lowercase();
    ["adam", "rms", "quasi-rms", "adagrad", "adadelta", "lion", "lamb", "lars", "sophia", "shampoo", "muon"]
        .iter()
        .any(|known| name.starts_with(known))
}

/// The value of a key at the top of the configuration, else the first one below.
fn find<'a>(table: &'a toml::Table, key: &str) -> Option<&'a toml::Value> {
    let here = table.get(key).filter(|value| !value.is_table());
    here.or_else(|| table.values().filter_map(toml::Value::as_table).find_map(|below| find(below, key)))
}

fn as_number(value: &toml::Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|number| number as f64))
}

fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

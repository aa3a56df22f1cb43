//! Statistics over a batch that outlive it: the three norm modes.

use super::positions::Values;
use super::standardize::{Moments, Over, Scale, Standardization};
use crate::Error;
use crate::config::NormMode;
use crate::nn::{Context, Initial};
use evenkeel_graph::{Shape, Var};

/// What a layer keeps of the batches it has seen.
pub(super) struct Running<'g> {
    moments: Moments<'g>,
    /// What the size is called as a buffer, and among the statistics of a batch.
    names: Option<(&'static str, &'static str)>,
    /// How many batches there were, where that counts.
    batches: Option<Var<'g>>,
}

impl<'g> Context<'g> {
    /// The moments that `x` is standardized with over the batch, by norm mode.
    ///
    /// * [`NormMode::Batch`]: those of this batch, differentiated through. The running statistics become
    ///   r ← (1 − m) r + m · value (with cumulative averaging m = 1 / (1 + batches so far), else the momentum), for a variance the
    ///   unbiased one; they are outputs of the program, and a program that does not ask for them does not compute them.
    /// * [`NormMode::Running`]: the running statistics, constants.
    /// * [`NormMode::Frozen`]: the statistics of a named batch, constants.
    pub(super) fn kept_moments(&self, how: Standardization, x: impl Values<'g>) -> Moments<'g> {
        let shape = x.shape();
        let settings = self.norm();
        let Running { moments: running, names: size, batches } = self.running(how, &shape);
        match settings.mode {
            NormMode::Running => running,
            NormMode::Frozen => Moments {
                mean: running.mean.map(|running| self.frozen("mean", running.shape())),
                size: running.size.zip(size).map(|(running, (_, name))| self.frozen(name, running.shape())),
            },
            NormMode::Batch => {
                let moments = x.moments(how);
                // Ghost batches leave the mean of what they found.
                let population = |value: Var<'g>| match how.over {
                    Over::Ghosts(_) => value.mean(&(0..shape.len().saturating_sub(1)).collect::<Vec<_>>()),
                    _ => value,
                };
                let move_to = |name: &str, running: Var<'g>, value: Var<'g>, factor: f64| {
                    let new = match batches {
                        None => running * (1.0 - settings.momentum) + value * (settings.momentum * factor),
                        Some(batches) => running + (value * factor - running) / (batches + 1.0),
                    };
                    self.update_buffer(name, new);
                };
                if let (Some(running), Some(mean)) = (running.mean, moments.mean) {
                    let mean = population(mean);
                    move_to("running_mean", running, mean, 1.0);
                    self.record_statistic("mean", mean);
                }
                if let (Some(running), Some(value), Some((buffer, name))) = (running.size, moments.size, size) {
                    let value = population(value);
                    let count = how.over.count(&shape);
                    let unbiased = match how.scale {
                        Scale::Deviation => count as f64 / (count.max(2) - 1) as f64,
                        _ => 1.0,
                    };
                    move_to(buffer, running, value, unbiased);
                    self.record_statistic(name, value);
                }
                if let Some(batches) = batches {
                    self.update_buffer("num_batches_tracked", batches + 1.0);
                }
                moments
            }
        }
    }

    /// The running statistics of activations of this shape.
    pub(super) fn running(&self, how: Standardization, shape: &Shape) -> Running<'g> {
        let kept = match how.over {
            Over::Samples => shape.get(1..).unwrap_or_default().to_vec(),
            _ => shape.last().copied().into_iter().collect(),
        };
        let names = match how.scale {
            Scale::Nothing => None,
            Scale::Deviation | Scale::SampleDeviation | Scale::RootMeanSquare => Some(("running_var", "variance")),
            Scale::Power(_) => Some(("running_norm", "norm")),
        };
        let mean = how.centered.then(|| self.buffer("running_mean", &kept[..], 0.0));
        let size = names.map(|(name, _)| self.buffer(name, &kept[..], 1.0));
        let batches = self.norm().cumulative.then(|| self.buffer("num_batches_tracked", [], 0.0));
        Running { moments: Moments { mean, size }, names, batches }
    }

    /// Refuses statistics of fewer than two values; `noun` is the layer, `each` what they are taken of.
    pub(super) fn needs_two(&self, noun: &str, each: &str, over: Over, shape: &Shape, hint: &str) {
        if over.count(shape) < 2 {
            self.fail(
                Error::input(format!("{noun} needs more than one value per {each}"))
                    .detail("layer", self.place())
                    .detail("got", format!("a batch of shape {shape}"))
                    .hint(hint),
            );
        }
    }

    /// Every channel's own scale (`weight`, 1 at first) and shift (`bias`, 0 at first), where it has one, after `centered` is
    /// multiplied by `factor`.
    pub(super) fn scale_and_shift(&self, centered: Var<'g>, factor: Option<Var<'g>>, shifted: bool) -> Var<'g> {
        let channels = centered.shape().last().copied().unwrap_or(0);
        let scaled = match factor {
            None => centered,
            Some(factor) => {
                let weight = self.param("weight", [channels], Initial::Constant(1.0));
                // What is small is multiplied first.
                if factor.shape().last() == Some(&channels) && factor.shape().elements() < centered.shape().elements() {
                    centered * (factor * weight)
                } else {
                    centered * factor * weight
                }
            }
        };
        if !shifted {
            return scaled;
        }
        scaled + self.param("bias", [channels], Initial::Constant(0.0))
    }
}

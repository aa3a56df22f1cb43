//! Weights that layers make of others: made once for all, taken apart, and looked at before training.

use super::fold::{Fed, remade};
use crate::config::{NormMode, WeightNorm};
use crate::init::lengths;
use crate::network::{Network, State, Tracing};
use crate::nn::NormSettings;
use crate::{Error, Result};
use evenkeel_graph::{DType, Graph, Tensor};
use std::collections::BTreeMap;

/// The same network with its weights as plain parameters: `w` in the place of `w_v` and `w_g`, or of what was standardized.
///
/// What it computes is the same, but for rounding. Cost: a program over the weights.
///
/// # Errors
/// When the state is not the network's.
pub fn merge_weights(network: &Network, state: &State) -> Result<(Network, State)> {
    let graph = Graph::new();
    let traced = network.trace(&graph, Tracing::quiet(Fed::SAMPLES, NormMode::Running))?;
    let made = traced.cx.made_weights().into_iter().map(|made| (made.path, made.value)).collect::<Vec<_>>();
    let values = Fed::new(network, state).values(&graph, &made)?;
    let plain = NormSettings { weights: WeightNorm::None, ..network.norm_settings() };
    remade(network, state, BTreeMap::new(), plain, values)
}

/// The same network with normalized weights: `w` is taken apart into the direction `w_v` = w and the length `w_g` = ‖w‖ of each unit.
/// Weights that are made of others already are merged first.
///
/// What it computes is the same, but for rounding.
///
/// # Errors
/// When the state is not the network's, or a unit has no direction (see [`check_weights`]).
pub fn split_weights(network: &Network, state: &State) -> Result<(Network, State)> {
    let (plain, merged) = merge_weights(network, state)?;
    let normalized = NormSettings { weights: WeightNorm::Normalized, ..network.norm_settings() };
    let graph = Graph::new();
    let drawn = plain.with_settings(normalized)?;
    let made = drawn.trace(&graph, Tracing::quiet(Fed::SAMPLES, NormMode::Running))?.cx.made_weights();
    let mut values = BTreeMap::new();
    for weight in made {
        let found = plain.parameters().iter().position(|info| info.path == weight.path);
        let Some(tensor) = found.and_then(|index| merged.parameters.get(index)) else { continue };
        let lengths = lengths(tensor.shape(), &tensor.to_f64());
        if let Some(length) = Tensor::from_f64([lengths.len()], network.dtype(), &lengths) {
            values.insert(format!("{}_g", weight.path), length);
        }
        values.insert(format!("{}_v", weight.path), tensor.clone());
    }
    let (split, state) = remade(&plain, &merged, BTreeMap::new(), normalized, values)?;
    check_weights(&split, &state.parameters)?;
    Ok((split, state))
}

/// Refuses weights that their layer cannot make anything of: a unit of normalized weights without a direction, a unit of standardized
/// weights that are all equal. Its weights would be 0, and would stay so, since the gradient is 0, too.
///
/// Whatever starts to train looks at this first.
///
/// # Errors
/// The first such parameter, with its units.
pub fn check_weights(network: &Network, parameters: &[Tensor]) -> Result<()> {
    if network.norm_settings().weights == WeightNorm::None {
        return Ok(());
    }
    let graph = Graph::new();
    let made = network.trace(&graph, Tracing::quiet(Fed::SAMPLES, NormMode::Running))?.cx.made_weights();
    let smallest = match network.dtype() {
        DType::F64 => f64::MIN_POSITIVE,
        _ => f64::from(f32::MIN_POSITIVE),
    };
    for weight in made {
        let (path, what, kind) = match weight.kind {
            WeightNorm::None => continue,
            WeightNorm::Normalized => {
                (format!("{}_v", weight.path), "normalized weights have no direction", WeightNorm::Standardized)
            }
            WeightNorm::Standardized => (weight.path, "standardized weights are all equal", WeightNorm::Normalized),
        };
        let found = network.parameters().iter().position(|info| info.path == path);
        let Some(tensor) = found.and_then(|index| parameters.get(index)) else { continue };
        let units = tensor.shape().last().copied().unwrap_or(0);
        let values = tensor.to_f64();
        let rows = || values.chunks_exact(units.max(1));
        let silent: Vec<String> = (0..units)
            .filter(|&unit| {
                let first = if weight.kind == WeightNorm::Normalized { 0.0 } else { values[unit] };
                // Taken as the layer takes it: what underflows there is nothing.
                rows().map(|row| (row[unit] - first).powi(2)).sum::<f64>() < smallest
            })
            .map(|unit| unit.to_string())
            .collect();
        if !silent.is_empty() {
            return Err(Error::input(format!("{what}: these units would be silent and learn nothing"))
                .detail("layer", path)
                .detail("units", shortened(&silent))
                .hint(format!("start them at other numbers, or use `weight_norm={kind}` or `weight_norm=none`")));
        }
    }
    Ok(())
}

/// The first few of many.
fn shortened(words: &[String]) -> String {
    const SHOWN: usize = 8;
    match words.get(SHOWN..) {
        Some(rest) if !rest.is_empty() => format!("{} and {} more", words[..SHOWN].join(", "), rest.len()),
        _ => words.join(", "),
    }
}

//! What do the numbers of the layers say, in plain words?

use super::dynamics::Dynamics;
use super::text::{integer, percent, significant};
use crate::store::layer_metrics::LayerSeries;

/// Above this share of units that are 0 for a whole batch a layer is said to be dying.
const DYING: f64 = 0.5;
/// Updates that are so much larger or smaller than their weights are said to be.
const LARGE_UPDATE: f64 = 0.1;
const SMALL_UPDATE: f64 = 1e-5;
/// Gradients that are so many times shorter than that of another layer are said to vanish.
const VANISHING: f64 = 1e4;
/// Layers that are named in a sentence.
const NAMED: usize = 3;

/// Sentences about layers of which something is off; one that says so where nothing is. None of a run that was not looked at.
pub(super) fn sentences(dynamics: &Dynamics) -> Vec<String> {
    if dynamics.updates.is_empty() && dynamics.dead.is_empty() {
        return vec![];
    }
    let found: Vec<String> = [dying(&dynamics.dead), vanishing(&dynamics.gradients), large(&dynamics.updates)]
        .into_iter()
        .chain([small(&dynamics.updates)])
        .flatten()
        .collect();
    if found.is_empty() { usual(&dynamics.updates).into_iter().collect() } else { found }
}

/// Layers and their numbers at the last step.
fn last(series: &LayerSeries) -> Vec<(&str, f64)> {
    let row = series.values.last().map(Vec::as_slice).unwrap_or_default();
    series.layers.iter().map(String::as_str).zip(row.iter().copied()).collect()
}

/// Layers and the median of their numbers: what a schedule does at its ends does not count.
fn usually(series: &LayerSeries) -> Vec<(&str, f64)> {
    let median = |place: usize| {
        let mut values: Vec<f64> = series.values.iter().filter_map(|row| row.get(place).copied()).collect();
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    series.layers.iter().enumerate().map(|(place, layer)| (layer.as_str(), median(place))).collect()
}

/// The first of some layers with their numbers, and how many more there are.
fn named(layers: &[(&str, f64)], told: impl Fn(f64) -> String) -> String {
    let first: Vec<String> =
        layers.iter().take(NAMED).map(|(layer, value)| format!("`{layer}` ({})", told(*value))).collect();
    let more = layers.len().saturating_sub(NAMED);
    match (more, &first[..]) {
        (0, [rest @ .., last]) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        (0, _) => first.join(", "),
        (more, _) => format!("{} and {} more", first.join(", "), integer(more as u64)),
    }
}

fn dying(dead: &LayerSeries) -> Option<String> {
    let mut layers: Vec<(&str, f64)> = last(dead).into_iter().filter(|(_, share)| *share > DYING).collect();
    layers.sort_by(|a, b| b.1.total_cmp(&a.1));
    let step = integer(*dead.steps.last().filter(|_| !layers.is_empty())?);
    Some(format!(
        "At step {step} most units were 0 for the whole batch in {}: they learn nothing from it. A smaller learning rate, a norm or \
         another initialization may keep them alive.",
        named(&layers, |share| format!("{} dead", percent(share)))
    ))
}

fn vanishing(gradients: &LayerSeries) -> Option<String> {
    let layers = last(gradients);
    let (longest, most) =
        layers.iter().copied().filter(|(_, norm)| norm.is_finite()).max_by(|a, b| a.1.total_cmp(&b.1))?;
    let mut short: Vec<(&str, f64)> = layers.into_iter().filter(|(_, norm)| *norm * VANISHING < most).collect();
    short.sort_by(|a, b| a.1.total_cmp(&b.1));
    let step = integer(*gradients.steps.last().filter(|_| !short.is_empty())?);
    Some(format!(
        "Gradients vanish on their way: at step {step} that of `{longest}` was {}, and those of {} were more than {} times shorter.",
        significant(most, 3),
        named(&short, |norm| significant(norm, 2)),
        integer(VANISHING as u64)
    ))
}

fn large(updates: &LayerSeries) -> Option<String> {
    let mut layers: Vec<(&str, f64)> =
        usually(updates).into_iter().filter(|(_, ratio)| *ratio > LARGE_UPDATE).collect();
    layers.sort_by(|a, b| b.1.total_cmp(&a.1));
    (!layers.is_empty()).then(|| {
        format!(
            "Steps were large for {}, as parts of the weight's length: a smaller learning rate there would overwrite less.",
            named(&layers, |ratio| significant(ratio, 2))
        )
    })
}

fn small(updates: &LayerSeries) -> Option<String> {
    let mut layers: Vec<(&str, f64)> =
        usually(updates).into_iter().filter(|(_, ratio)| *ratio < SMALL_UPDATE).collect();
    layers.sort_by(|a, b| a.1.total_cmp(&b.1));
    (!layers.is_empty()).then(|| {
        format!(
            "A step hardly moved {}, as parts of the weight's length.",
            named(&layers, |ratio| significant(ratio, 2))
        )
    })
}

fn usual(updates: &LayerSeries) -> Option<String> {
    let ratios = usually(updates).into_iter().map(|(_, ratio)| ratio).filter(|ratio| ratio.is_finite());
    let (low, high) = ratios.fold((f64::INFINITY, 0.0_f64), |(low, high), ratio| (low.min(ratio), high.max(ratio)));
    (low <= high).then(|| {
        let (low, high) = (significant(low, 2), significant(high, 2));
        let typical = if low == high { low } else { format!("{low} to {high}") };
        format!(
            "Layer by layer nothing stands out: steps were typically {typical} of the weights they changed, and no layer was dying or \
             cut off from the gradient."
        )
    })
}

//! What do the numbers of a run say, in plain words?

use super::facts::{Facts, Group};
use super::layer_reading;
use super::text::{chosen, integer, norm_mode, percent, significant};
use crate::store::HessianMeasurement;

/// Sentences about how the run ended, how it learned, what it generalises to, and how sharp the loss is.
pub(super) fn sentences(facts: &Facts) -> Vec<String> {
    let mut sentences = Vec::new();
    sentences.extend(ending(facts));
    sentences.extend(learning(facts));
    sentences.extend(generalisation(facts));
    sentences.extend(sharpness(facts));
    sentences.extend(layer_reading::sentences(&facts.dynamics));
    if !facts.left_out.is_empty() {
        sentences.push(format!("Left out of this report: {}.", facts.left_out.join("; ")));
    }
    sentences
}

fn ending(facts: &Facts) -> Option<String> {
    let last = facts.metrics.records.last().map(|record| record.step);
    match (facts.diverged_at, last) {
        (Some(step), _) => Some(format!(
            "The run diverged: a loss or its gradient is no finite number from step {} on, which the figures show as a gap.",
            integer(step)
        )),
        (None, None) => Some("The run has recorded no metrics yet.".to_owned()),
        (None, Some(step)) if !facts.ended => Some(format!(
            "The run is still going or was interrupted: its last record is step {}, and the numbers are those of that step.",
            integer(step)
        )),
        _ => None,
    }
}

fn learning(facts: &Facts) -> Option<String> {
    let series = |name: &str| facts.metrics.series(name).into_iter().map(|(_, loss)| loss).collect::<Vec<f64>>();
    // Means of epochs where there are some: single batches scatter more than training moves them.
    let (per_epoch, per_batch) = (series("train_loss"), series("loss"));
    let (losses, window) = if per_epoch.len() >= 4 { (per_epoch, 5) } else { (per_batch, 10) };
    if facts.diverged_at.is_some() || losses.len() < 4 {
        return None;
    }
    // The last fifth of the epochs, or tenth of the batches, against as much before it.
    let length = (losses.len() / window).max(2);
    let (late, late_error) = mean(&losses[losses.len() - length..]);
    let (before, before_error) = mean(&losses[losses.len() - 2 * length..losses.len() - length]);
    let change = late / before - 1.0;
    if !change.is_finite() {
        return None;
    }
    let amount = format!("{}\u{a0}%", significant(100.0 * change.abs(), 2));
    Some(if (late - before).abs() < 2.0 * late_error.hypot(before_error) {
        format!("Over the last stretch the training loss changed by {amount}, no more than chance would have it.")
    } else if change < -0.03 {
        format!(
            "Training was still improving: over the last stretch the training loss fell by {amount} \
             against the stretch before, so more steps may help."
        )
    } else if change > 0.03 {
        format!("The training loss was rising at the end, by {amount} over the last stretch against the one before.")
    } else {
        format!("The training loss had levelled off: it changed by {amount} over the last stretch.")
    })
}

/// The mean of some numbers, and its standard error.
fn mean(numbers: &[f64]) -> (f64, f64) {
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let square = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>();
    (mean, (square / (count * (count - 1.0))).sqrt())
}

fn generalisation(facts: &Facts) -> Option<String> {
    let gap = match (facts.train_accuracy, facts.test_accuracy) {
        (Some(train), Some(test)) if train.is_finite() && test.is_finite() => {
            let points = 100.0 * (train - test);
            let (train, test) = (percent(train), percent(test));
            let verdict = if points.abs() < 1.0 {
                "which is next to no gap".to_owned()
            } else if points < 0.0 {
                format!("{} points better on the test set", significant(-points, 2))
            } else {
                format!("a gap of {} points", significant(points, 2))
            };
            Some(format!(
                "It classifies {test} of the test samples correctly, and over the last epoch's steps did {train} of the training samples, \
                 {verdict}."
            ))
        }
        (None, Some(test)) if test.is_finite() => {
            Some(format!("It classifies {} of the test samples correctly.", percent(test)))
        }
        _ => None,
    };
    let test: Vec<(u64, f64)> =
        facts.metrics.series("test_loss").into_iter().filter(|(_, loss)| loss.is_finite()).collect();
    let best = test.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let risen = match (best, test.last()) {
        (Some(best), Some(last)) if last.1 > 1.05 * best.1 => Some(format!(
            "The test loss was lowest at step {} ({}) and is {} at the end, so stopping earlier would have kept it lower.",
            integer(best.0),
            significant(best.1, 3),
            significant(last.1, 3)
        )),
        _ => None,
    };
    let best = facts.best.map(|best| {
        let value = if best.metric.ends_with("accuracy") { percent(best.value) } else { significant(best.value, 3) };
        let name = best.metric.replace('_', " ");
        format!("The best epoch by {name} ({value}) ended at step {}; its checkpoint is kept.", integer(best.step))
    });
    let sentences: Vec<String> = [gap, risen, best].into_iter().flatten().collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

fn sharpness(facts: &Facts) -> Option<String> {
    let Some((group, series)) = facts.main_series() else {
        return Some(
            "The curvature was not measured; `evenkeel measure RUN hessian` compares it with the learning rate."
                .to_owned(),
        );
    };
    let (first, last) = (series.first()?, series.last()?);
    let (start, end) = (first.top()?, last.top()?);
    let mut words = if series.len() == 1 {
        format!("The sharpness λ_max is {} at step {}", significant(end.value, 4), integer(last.step))
    } else {
        format!(
            "The sharpness λ_max went from {} at step {} to {} at step {}",
            significant(start.value, 4),
            integer(first.step),
            significant(end.value, 4),
            integer(last.step)
        )
    };
    words.push_str(&format!(" ({}).", described(&group)));
    if let Some(optimizer) = facts.optimizer.as_ref().filter(|_| !facts.descends_the_gradient()) {
        words.push_str(&format!(
            " At the learning rate there, λ_max · lr / 2 was {}; the optimiser is {optimizer}, which rescales the gradient, so \
             2/lr is a line for orientation and no threshold.",
            significant(ratio(last), 3)
        ));
        return Some(words + &unconverged(&series));
    }
    let highest_rate = series.iter().map(|one| one.learning_rate).fold(0.0, f64::max);
    let near = peak(&series).filter(|near| near.step != last.step);
    match near {
        Some(near) if last.learning_rate < 0.5 * highest_rate => {
            words.push_str(&format!(
                " By then the schedule had lowered the learning rate to {}, and λ_max · lr / 2 was {}. It was nearest to \
                 instability at step {}, with λ_max = {}.",
                chosen(last.learning_rate),
                significant(ratio(last), 3),
                integer(near.step),
                significant(near.top()?.value, 4)
            ));
            words.push_str(&against_the_learning_rate(near));
        }
        near => {
            words.push_str(&against_the_learning_rate(last));
            if let Some(near) = near.filter(|near| ratio(near) >= 1.0) {
                words.push_str(&format!(
                    " On the way λ_max · lr / 2 was at most {}, at step {}.",
                    significant(ratio(near), 3),
                    integer(near.step)
                ));
            }
        }
    }
    Some(words + &unconverged(&series))
}

fn unconverged(series: &[&HessianMeasurement]) -> String {
    let open = series.iter().filter(|measured| measured.top().is_some_and(|top| !top.converged)).count();
    match (open, series.len()) {
        (0, _) => String::new(),
        (1, 1) => " The measurement had not converged when it stopped and may be too low.".to_owned(),
        (open, all) => {
            format!(" {open} of these {all} measurements had not converged when they stopped and may be too low.")
        }
    }
}

/// What a sharpness means at its learning rate; the verdict is against the threshold that holds for the optimiser.
fn against_the_learning_rate(measured: &HessianMeasurement) -> String {
    let (rate, momentum) = (measured.learning_rate, measured.momentum.max(0.0));
    let sharpness = measured.top().map_or(f64::NAN, |top| top.value);
    if !(rate.is_finite() && rate > 0.0) {
        return " The learning rate is 0 there, so there is no threshold to compare it with.".to_owned();
    }
    if sharpness <= 0.0 {
        return " It is not positive: the loss does not curve upwards in any direction that was found.".to_owned();
    }
    let threshold = (2.0 + 2.0 * momentum) / rate;
    let relative = sharpness / threshold;
    let plain = significant(sharpness * rate / 2.0, 3);
    let compared = if momentum > 0.0 {
        format!(
            " That is {plain} times 2/lr, and {} times (2 + 2β)/lr = {}, where gradient descent with momentum β = {} \
             loses stability",
            significant(relative, 3),
            significant(threshold, 4),
            chosen(momentum)
        )
    } else {
        format!(" That is {plain} times 2/lr = {}, where gradient descent loses stability", significant(threshold, 4))
    };
    let verdict = if relative > 1.2 {
        "beyond that line, on a quadratic, each step along the sharpest direction would be larger than the one before"
    } else if relative >= 0.8 {
        "this is the edge of stability"
    } else if relative >= 0.3 {
        "below that line but near it, as is usual for training with small batches"
    } else {
        "far below that line, so by this measure alone a larger learning rate would be stable"
    };
    format!("{compared}: {verdict}.")
}

fn described(group: &Group) -> String {
    format!("{}, {} samples", norm_mode(&group.norm_mode), integer(group.samples))
}

/// λ_max · lr / 2 of a measurement; NaN when there is none.
pub(super) fn ratio(measured: &HessianMeasurement) -> f64 {
    measured.top().map_or(f64::NAN, |top| top.value * measured.learning_rate / 2.0)
}

pub(super) fn peak<'a>(series: &[&'a HessianMeasurement]) -> Option<&'a HessianMeasurement> {
    series.iter().copied().filter(|one| ratio(one).is_finite()).max_by(|a, b| ratio(a).total_cmp(&ratio(b)))
}

//! What the experiments of several papers share: samples, trainings in memory, and the choice of a rate.

use super::Setting;
use crate::data::{Dataset, LoadOptions};
use crate::nn::Context;
use crate::optim::{Optimizer, Sgd};
use crate::study::{self, Fit};
use crate::train::{StepResult, Trainer};
use crate::{Batch, Error, Network, Result, State};
use evenkeel_graph::{DType, Tensor, Var};
use std::ops::ControlFlow;

/// Samples in f32: to train on, and to test on.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    pub(super) train: Batch,
    pub(super) test: Batch,
}

/// The digits, a fifth of them for the test: pixels / 16, each without its mean over the training samples.
pub(super) fn digits(setting: &Setting) -> Result<Samples> {
    let options = LoadOptions { normalize: false, ..LoadOptions::default() };
    Samples::of(&setting.dataset("digits", &options)?)?.centered()
}

/// The first samples of both parts of a data set, with bytes scaled to 0..1.
pub(super) fn first(setting: &Setting, name: &str, train: usize, test: usize) -> Result<Samples> {
    let options =
        LoadOptions { limit: Some(train), test_limit: Some(test), normalize: false, ..LoadOptions::default() };
    Samples::of(&setting.dataset(name, &options)?)
}

impl Samples {
    /// Both parts of a data set, normalized as it says.
    pub(super) fn of(dataset: &Dataset) -> Result<Samples> {
        let part = |split| Batch::of(dataset, split, DType::F32);
        Ok(Samples { train: part(&dataset.train)?, test: part(&dataset.test)? })
    }

    /// One sample's shape.
    pub(super) fn shape(&self) -> &[usize] {
        self.train.inputs.shape().get(1..).unwrap_or_default()
    }

    /// Every pixel of every channel without its mean over the training samples.
    pub(super) fn centered(self) -> Result<Samples> {
        let size = self.shape().iter().product();
        let moments = moments(&self.train, size)?;
        self.shifted(&moments.iter().map(|(mean, _)| (*mean, 1.0)).collect::<Vec<_>>())
    }

    /// Every channel with mean 0 and deviation 1 over the training samples.
    pub(super) fn standardized(self) -> Result<Samples> {
        let channels = self.shape().last().copied().unwrap_or(1);
        let moments = moments(&self.train, channels)?;
        self.shifted(&moments)
    }

    /// Every number as (x − mean) / deviation, with means and deviations that repeat.
    pub(super) fn shifted(mut self, moments: &[(f64, f64)]) -> Result<Samples> {
        for part in [&mut self.train, &mut self.test] {
            for row in numbers(part)?.chunks_mut(moments.len().max(1)) {
                for (value, (mean, deviation)) in row.iter_mut().zip(moments) {
                    *value = ((f64::from(*value) - mean) / deviation) as f32;
                }
            }
        }
        Ok(self)
    }

    /// Images of half the height and width: each pixel the mean of 2×2.
    pub(super) fn halved(self) -> Result<Samples> {
        Ok(Samples { train: halved(&self.train)?, test: halved(&self.test)? })
    }
}

/// The numbers of the inputs.
fn numbers(batch: &mut Batch) -> Result<&mut [f32]> {
    batch.inputs.as_mut_slice::<f32>().ok_or_else(|| Error::input("the samples of a claim are f32"))
}

/// Mean and deviation of every `period`-th number; the deviation divides by the number of values, and is 1 where all are equal.
fn moments(batch: &Batch, period: usize) -> Result<Vec<(f64, f64)>> {
    let values = batch.inputs.to_f64();
    let count = values.len() as f64 / period as f64;
    let mut means = vec![0.0; period];
    values.chunks_exact(period).for_each(|row| means.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / count));
    let mut squares = vec![0.0; period];
    for row in values.chunks_exact(period) {
        squares.iter_mut().zip(row).zip(&means).for_each(|((square, x), mean)| *square += (x - mean).powi(2) / count);
    }
    let deviation = |square: f64| if square > 0.0 { square.sqrt() } else { 1.0 };
    Ok(means.into_iter().zip(squares.into_iter().map(deviation)).collect())
}

fn halved(batch: &Batch) -> Result<Batch> {
    let wrong =
        || Error::input("only f32 images of even height and width can be halved").detail("got", batch.inputs.shape());
    let (Some(from), &[count, height, width, channels]) = (batch.inputs.as_slice::<f32>(), &batch.inputs.shape()[..])
    else {
        return Err(wrong());
    };
    if height % 2 != 0 || width % 2 != 0 {
        return Err(wrong());
    }
    let (low, narrow) = (height / 2, width / 2);
    let mut pixels = Vec::with_capacity(from.len() / 4);
    for row in 0..count * low {
        for column in 0..narrow {
            let corner = (2 * row * width + 2 * column) * channels;
            let at = |down: usize, right: usize| corner + (down * width + right) * channels;
            let four = [at(0, 0), at(0, 1), at(1, 0), at(1, 1)];
            pixels
                .extend((0..channels).map(|channel| four.iter().map(|place| from[place + channel]).sum::<f32>() / 4.0));
        }
    }
    let inputs = Tensor::new([count, low, narrow, channels], pixels).ok_or_else(wrong)?;
    Ok(Batch { inputs, labels: batch.labels.clone() })
}

/// A network that is written as a closure.
pub(super) fn model<F>(forward: F) -> F
where
    F: for<'g> Fn(&Context<'g>, Var<'g>) -> Var<'g>,
{
    forward
}

/// What a training left.
#[derive(Clone, Debug)]
pub(super) struct Trained {
    /// The last state that was finite.
    pub(super) state: State,
    /// The loss of each step, on its batch, up to one that was not finite.
    pub(super) losses: Vec<f64>,
    /// Whether all were.
    pub(super) finite: bool,
}

/// Trains from a state until the end, or until a step is not finite.
pub(super) fn train(
    network: &Network,
    rule: impl Optimizer + 'static,
    start: State,
    samples: &Batch,
    how: &Fit<'_>,
) -> Result<Trained> {
    let mut trainer = Trainer::new(network, rule, how.batch, start)?;
    let (mut losses, mut finite) = (Vec::new(), true);
    study::fit(&mut trainer, samples, how, |_, result, _| {
        finite = result.is_finite();
        losses.push(result.loss);
        Ok(if finite { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(Trained { state: trainer.state(), losses, finite })
}

/// Steps until `reached` says so, looked at after each; the budget where it never does, or where a step is not finite.
pub(super) fn steps_until(
    network: &Network,
    rule: impl Optimizer + 'static,
    start: State,
    samples: &Batch,
    how: &Fit<'_>,
    mut reached: impl FnMut(u64, &StepResult, &Trainer<'_>) -> Result<bool>,
) -> Result<u64> {
    let mut trainer = Trainer::new(network, rule, how.batch, start)?;
    let mut taken = how.steps;
    study::fit(&mut trainer, samples, how, |step, result, trainer| {
        if result.is_finite() && !reached(step, result, trainer)? {
            return Ok(ControlFlow::Continue(()));
        }
        if result.is_finite() {
            taken = step;
        }
        Ok(ControlFlow::Break(()))
    })?;
    Ok(taken)
}

/// Steps until the moving average of the batches' losses, each with a weight of 0.2, is below a level.
pub(super) fn steps_to_loss(
    network: &Network,
    start: State,
    samples: &Batch,
    how: &Fit<'_>,
    level: f64,
) -> Result<u64> {
    let mut average = None;
    steps_until(network, Sgd::PLAIN, start, samples, how, |_, result, _| {
        let moved = average.map_or(result.loss, |average: f64| 0.8 * average + 0.2 * result.loss);
        average = Some(moved);
        Ok(moved < level)
    })
}

/// The seeds, for jobs over several things.
pub(super) fn seeds(setting: &Setting) -> Vec<u64> {
    setting.seeds().collect()
}

/// Every pair, the first of them changing slowest.
pub(super) fn pairs<A: Copy, B: Copy>(of: &[A], with: &[B]) -> Vec<(A, B)> {
    of.iter().flat_map(|&a| with.iter().map(move |&b| (a, b))).collect()
}

/// Every triple, likewise.
pub(super) fn triples<A: Copy, B: Copy, C: Copy>(of: &[A], with: &[B], and: &[C]) -> Vec<(A, B, C)> {
    pairs(of, &pairs(with, and)).into_iter().map(|(a, (b, c))| (a, b, c)).collect()
}

/// A list a setting, each of as many seeds, as a list a seed: what figures take.
pub(super) fn by_seed<L: AsRef<[f64]>>(by_setting: &[L]) -> Vec<Vec<f64>> {
    let seeds = by_setting.first().map_or(0, |seeds| seeds.as_ref().len());
    let of = |seed: usize| by_setting.iter().map(move |seeds| seeds.as_ref().get(seed).copied().unwrap_or(f64::NAN));
    (0..seeds).map(|seed| of(seed).collect()).collect()
}

/// The place of the smallest number; a number that is none is never the smallest, unless all are none.
pub(super) fn smallest(numbers: &[f64]) -> usize {
    let order = |number: f64| if number.is_nan() { f64::INFINITY } else { number };
    (0..numbers.len()).min_by(|&a, &b| order(numbers[a]).total_cmp(&order(numbers[b]))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(shape: [usize; 4], pixels: Vec<f32>) -> Samples {
        let batch =
            Batch { labels: Tensor::zeros([shape[0]], DType::I32), inputs: Tensor::new(shape, pixels).unwrap() };
        Samples { train: batch.clone(), test: batch }
    }

    #[test]
    fn halving_takes_the_mean_of_four_pixels_of_a_channel() {
        let pixels = vec![1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0, 5.0, 50.0, 6.0, 60.0, 7.0, 70.0, 8.0, 80.0];
        let halved = samples([1, 2, 4, 2], pixels).halved().unwrap();
        assert_eq!(halved.shape(), [1, 2, 2]);
        assert_eq!(halved.train.inputs.to_f64(), [3.5, 35.0, 5.5, 55.0]);
        assert!(samples([1, 1, 2, 1], vec![1.0, 2.0]).halved().is_err());
    }

    #[test]
    fn centering_goes_over_samples_and_standardizing_over_positions_as_well() {
        let two = samples([2, 1, 2, 1], vec![1.0, 2.0, 3.0, 6.0]);
        assert_eq!(two.clone().centered().unwrap().test.inputs.to_f64(), [-1.0, -2.0, 1.0, 2.0]);
        let standardized = two.standardized().unwrap().train.inputs.to_f64();
        let deviation = 3.5_f64.sqrt();
        let wanted = [-2.0, -1.0, 0.0, 3.0].map(|value| value / deviation);
        assert!(standardized.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn the_smallest_number_is_one() {
        assert_eq!(smallest(&[3.0, f64::NAN, 1.0, f64::INFINITY]), 2);
        assert_eq!(smallest(&[f64::NAN, 5.0]), 1);
    }

    #[test]
    fn pairs_and_triples_come_in_order_and_lists_turn() {
        assert_eq!(triples(&[1, 2], &['a'], &[true, false])[1..3], [(1, 'a', false), (2, 'a', true)]);
        assert_eq!(by_seed(&[vec![1.0, 2.0], vec![3.0, 4.0]]), [[1.0, 3.0], [2.0, 4.0]]);
        assert_eq!(pairs(&[1, 2], &['a', 'b']), [(1, 'a'), (1, 'b'), (2, 'a'), (2, 'b')]);
    }
}

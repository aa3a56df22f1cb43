//! Batch entropy: what a plain deep network lets through at the start, and what a term that asks for more changes.

mod elsewhere;
mod surface;
mod training;

use super::{Check, Claim, Figure, Findings, Paper, Setting, statistics};
use crate::batch::Batch;
use crate::config::NormMode;
use crate::curvature::Curvature;
use crate::data::{LoadOptions, Normalization};
use crate::graph::random::Key;
use crate::graph::{DType, Tensor, Var};
use crate::nn::{ParameterInfo, Tap};
use crate::optim::Adam;
use crate::probe::Probe;
use crate::regularize::batch_entropy::{COLLAPSED, flow, of_units};
use crate::train::Trainer;
use crate::{Error, Network, Result, State, study};
use elsewhere::{autoencoder, residual};
use std::ops::ControlFlow;
use training::{Deep, Term, against_norms, at_depth_60, faster, per_layer, trains};

/// The claims of Peer, Keulen, Stabinger, Piater, Rodríguez-Sánchez 2022, arXiv 2208.01134.
pub(super) static PAPER: Paper = Paper {
    number: "19",
    title: "Layerwise batch entropy (Peer, Keulen, Stabinger, Piater, Rodríguez-Sánchez 2022)",
    claims: &[
        Claim {
            number: "1",
            title: "batch entropy falls to 0 with depth in a network that cannot be trained",
            recipe: "digits, 64-[64 × 40]-10 ReLU network at its start, PyTorch's uniform weights and biases; batch entropy of each layer \
                     over the 1,437 training samples, in f64 and f32",
            wanted: "below 10⁻³ by layer 6 and 0 in f32 at the last; ln H linear in the layer while H > 10⁻¹⁰: R² above 0.97, slope within \
                     [−2.3, −1.3]",
            seeds: 5,
            seconds: 2,
            run: falls_with_depth,
        },
        Claim {
            number: "2",
            title: "without batch entropy gradients know nothing of which label belongs to which sample",
            recipe: "the network of claim 1, a batch of 128 whose labels are exchanged among its samples: relative change of the gradient \
                     of the classifier and of the last 10 hidden layers; control: 3 hidden layers. Then 60 epochs of Adam 10⁻³",
            wanted: "change below 10⁻⁴ in f32, above 0.3 in the control; training loss within ln 10 ± 0.03 in every epoch",
            seeds: 5,
            seconds: 12,
            run: knows_no_labels,
        },
        Claim {
            number: "3",
            title: "the term trains a network that does not train without it",
            recipe: "digits, 64-[64 × 40]-10 ReLU network, PyTorch's uniform start, Adam 10⁻³, batch 128, 60 epochs; plain against \
                     α = 0.5, α_min = 0.2, β = 0.5 over all hidden layers",
            wanted: "test accuracy: plain at most 0.20 in all seeds; with the term at least 0.50 in all and 0.70 in the mean",
            seeds: 5,
            seconds: 30,
            run: trains,
        },
        Claim {
            number: "4",
            title: "the term speeds up a network that does train",
            recipe: "as claim 3 with 20 hidden layers; epochs until the mean training loss of an epoch is below 1",
            wanted: "earlier in at least 4 of 5 seeds and 0.8 times the median at most; mean test accuracy after 30 epochs higher by 0.10 \
                     or more",
            seeds: 5,
            seconds: 15,
            run: faster,
        },
        Claim {
            number: "5",
            title: "very deep networks train with the term",
            recipe: "as claim 3 with 60 hidden layers and 100 epochs (the paper: 500 layers, which is not run here)",
            wanted: "plain: test accuracy at most 0.15 and training loss within ln 10 ± 0.03 throughout; with the term: test accuracy at \
                     least 0.45 in every seed",
            seeds: 3,
            seconds: 45,
            run: at_depth_60,
        },
        Claim {
            number: "6",
            title: "the term finds a flow for each layer",
            recipe: "claim 3's network with the term after its training: batch entropy over the training samples and learned target of each \
                     layer",
            wanted: "smallest entropy above 0.1, median distance from the target below 0.5, deviation of the targets among layers above 0.01",
            seeds: 5,
            seconds: 15,
            run: per_layer,
        },
        Claim {
            number: "7",
            title: "the loss surface around a plain deep network is flat, and is not with the term",
            recipe: "30 hidden layers, else as claim 3, 40 epochs; loss of 512 training samples on a 21 × 21 grid in [−1, 1]² along two \
                     random directions, each tensor as long as the parameter's",
            wanted: "deviation over the grid: plain below 0.02; with the term (loss clamped at 10) above 0.5, and below 1 in the centre",
            seeds: 3,
            seconds: 30,
            run: surface::surface,
        },
        Claim {
            number: "8a",
            title: "a residual network with batch norm is not hurt",
            recipe: "digits, ResNet-20 of 8, 16, 32 channels, Nesterov 0.9 at 0.1, batch 128, 6 epochs; (β, α) of (0.005, 1) and (0.01, 0.5) \
                     over the outputs of the blocks, targets start at α + 0.2 and stay above α",
            wanted: "mean test accuracy of the better one at most 0.6 points below plain",
            seeds: 3,
            seconds: 40,
            run: residual,
        },
        Claim {
            number: "8b",
            title: "a deep autoencoder learns more than the mean with the term",
            recipe: "digits, ReLU autoencoder 64-[64 × 25]-10-[64 × 25]-64 with sigmoid outputs, mean squared error, Adam 10⁻³, batch 128, 60 \
                     epochs; α_min = 0.2, all 51 hidden layers; (β, α) of (1, 1) and (0.5, 0.5)",
            wanted: "test error relative to predicting the mean: plain within 2 %; with one of the terms at most 0.87 in the mean and 0.92 in \
                     every seed",
            seeds: 3,
            seconds: 60,
            run: autoencoder,
        },
        Claim {
            number: "9",
            title: "at a depth where norms fail, the term trains",
            recipe: "60 hidden layers, else as claim 3, 40 epochs; the term against batch norm, layer norm (both on the logits, too), weight \
                     norm, SELU with LeCun weights, and nothing",
            wanted: "training loss: with the term at most 1.9 in every seed; weight norm and nothing within ln 10 ± 0.03",
            seeds: 3,
            seconds: 90,
            run: against_norms,
        },
    ],
};

/// ln 10, the loss of knowing nothing.
pub(super) const CHANCE: f64 = std::f64::consts::LN_10;
/// Samples in a step.
pub(super) const BATCH: usize = 128;

/// Training and test digits, standardised as the claims want them.
pub(super) struct Digits {
    pub(super) train: Batch,
    pub(super) test: Batch,
}

impl Digits {
    /// 1,437 training and 360 test samples: the pixels divided by 16, less 0.305, over 0.376.
    pub(super) fn standardized(setting: &Setting, dtype: DType) -> Result<Digits> {
        Self::load(setting, Normalization { mean: vec![0.305], std: vec![0.376] }, dtype)
    }

    /// The same with pixels in [0, 1].
    pub(super) fn plain(setting: &Setting) -> Result<Digits> {
        Self::load(setting, Normalization::identity(1), DType::F32)
    }

    fn load(setting: &Setting, normalization: Normalization, dtype: DType) -> Result<Digits> {
        let mut digits =
            setting.dataset("digits", &LoadOptions { test_fraction: 360.0 / 1797.0, ..Default::default() })?;
        digits.normalization = normalization;
        let [train, test] = [&digits.train, &digits.test].map(|split| Batch::of(&digits, split, dtype));
        Ok(Digits { train: train?, test: test? })
    }
}

fn falls_with_depth(setting: &Setting) -> Result<Findings> {
    let [single, double] = [DType::F32, DType::F64].map(|dtype| Digits::standardized(setting, dtype));
    let digits = [single?, double?];
    let start = |dtype, seed| -> Result<(Network, State)> {
        let deep = Deep { dtype, ..Deep::plain(40) };
        let network = deep.network(None)?;
        let state = deep.start(&network, seed);
        Ok((network, state))
    };
    let measured = setting.each(setting.seeds(), |seed| {
        let (network, state) = start(DType::F32, seed)?;
        let single = as_written(&network, &state, &digits[0].train)?;
        let (network, state) = start(DType::F64, seed)?;
        let layers = flow(&network, &state, &digits[1].train, NormMode::Running, None)?;
        Ok([single, layers.into_iter().map(|layer| layer.entropy).collect::<Vec<f64>>()])
    })?;
    let layers: Vec<f64> = (1..=40).map(f64::from).collect();
    let (mut first, mut last, mut slopes, mut squares) = (vec![], vec![], vec![], vec![]);
    for [single, double] in &measured {
        let below = double.iter().position(|entropy| *entropy < COLLAPSED);
        first.push(below.map_or(41.0, |place| place as f64 + 1.0));
        last.push(single[39]);
        let shown = double.iter().take_while(|entropy| **entropy > 1e-10).count();
        let logarithms: Vec<f64> = double[..shown].iter().map(|entropy| libm::log(*entropy)).collect();
        let line = statistics::linear_fit(&layers[..shown], &logarithms);
        slopes.push(line.slope);
        squares.push(line.r_squared);
    }
    let starts: Vec<f64> = measured.iter().map(|[_, double]| double[0]).collect();
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("first layer with H below 10⁻³", first, 6.0))
        .check(Check::within("H of layer 40 in f32, the formula as written", last, 0.0, 0.0))
        .check(Check::above("R² of ln H over the layers", squares, 0.97))
        .check(Check::within("slope of ln H", slopes, -2.3, -1.3))
        .check(Check::within("H of layer 1 (a pilot: 0.20 to 0.23)", starts, 0.0, 1.0).for_the_record());
    let double: Vec<Vec<f64>> = measured.into_iter().map(|[_, double]| double).collect();
    let figure =
        Figure::lines("Batch entropy of a plain network at its start", "hidden layer", "batch entropy H (nats)")
            .caption("In f64, one line a seed.")
            .log_y()
            .mark("collapsed", COLLAPSED);
    let named = double.iter().zip(setting.seeds());
    findings.figure(named.fold(figure, |figure, (one, seed)| figure.series(format!("seed {seed}"), &layers, one)));
    Ok(findings)
}

/// The batch entropy of each layer by the formula as it is written, with the 1 added to π e s² before the logarithm: what is far below
/// the rounding of 1 is lost.
fn as_written(network: &Network, state: &State, samples: &Batch) -> Result<Vec<f64>> {
    fn entropy<'g>(tap: Tap<'g>) -> Result<(String, Var<'g>)> {
        let spread = (of_units(tap.value)? * 2.0).expm1();
        Ok((tap.path, (spread + 1.0).log().mean_all() * 0.5))
    }
    let mut probe = Probe::new(network, samples.len(), NormMode::Running, |trace| {
        trace.cx.taps().into_iter().map(entropy).collect()
    })?;
    Ok(probe.at(samples, state)?.iter().map(|entropy| entropy.item().unwrap_or(f64::NAN)).collect())
}

/// What exchanging labels changes in the gradient of each layer, relative to it: `fc1` .. and the classifier.
fn changes(digits: &Digits, deep: &Deep, seed: u64) -> Result<Vec<f64>> {
    let network = deep.network(None)?;
    let state = deep.start(&network, seed);
    let batch = digits.train.first(BATCH);
    let order = permutation(BATCH, seed);
    let exchanged = Batch { labels: batch.take(&order)?.labels, ..batch.clone() };
    let layers = |batch: Batch| -> Result<Vec<Vec<f64>>> {
        let (_, gradient) = Curvature::new(&network, NormMode::Running, batch, state.clone())?.gradient()?;
        Ok(by_layer(network.parameters(), &gradient))
    };
    let (one, two) = (layers(batch)?, layers(exchanged)?);
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let change = |(one, two): (&Vec<f64>, &Vec<f64>)| {
        norm(&mut one.iter().zip(two).map(|(one, two)| one - two)) / norm(&mut one.iter().copied())
    };
    Ok(one.iter().zip(&two).map(change).collect())
}

/// The gradient of each layer, weights and biases together, in order.
fn by_layer(parameters: &[ParameterInfo], gradient: &[f64]) -> Vec<Vec<f64>> {
    let layer = |info: &ParameterInfo| info.path.rsplit_once('.').map_or(info.path.clone(), |(layer, _)| layer.into());
    let mut rest = gradient;
    let mut layers: Vec<(String, Vec<f64>)> = Vec::new();
    for info in parameters {
        let (here, after) = rest.split_at(info.shape.elements());
        rest = after;
        match layers.last_mut().filter(|(path, _)| *path == layer(info)) {
            Some((_, values)) => values.extend_from_slice(here),
            None => layers.push((layer(info), here.to_vec())),
        }
    }
    layers.into_iter().map(|(_, values)| values).collect()
}

/// A random order.
fn permutation(count: usize, seed: u64) -> Vec<u32> {
    let mut random = Key::new(seed, "claims/19/labels", 0).random();
    let mut order: Vec<u32> = (0..count as u32).collect();
    for place in (1..count).rev() {
        order.swap(place, random.below(place as u64 + 1) as usize);
    }
    order
}

fn knows_no_labels(setting: &Setting) -> Result<Findings> {
    let digits = Digits::standardized(setting, DType::F32)?;
    let measured = setting.each(setting.seeds(), |seed| {
        let deep = changes(&digits, &Deep::plain(40), seed)?;
        let shallow = changes(&digits, &Deep::plain(3), seed)?;
        let trained = Deep::plain(40).train(setting, &digits, None, 60, seed)?;
        Ok((deep, shallow, trained.losses))
    })?;
    let seeds = measured.iter();
    // The classifier and the last 10 hidden layers of 40.
    let largest: Vec<f64> = seeds.clone().map(|(deep, ..)| statistics::largest(deep[30..].iter().copied())).collect();
    let control = seeds.clone().map(|(_, shallow, _)| statistics::least(shallow.iter().copied()));
    let extremes =
        |pick: fn(Vec<f64>) -> f64| -> Vec<f64> { seeds.clone().map(|(.., losses)| pick(losses.clone())).collect() };
    let mut findings = Findings::new();
    findings
        .check(Check::below("largest change above the collapse, 40 layers", largest, 1e-4))
        .check(Check::above("smallest change, 3 layers", control.collect::<Vec<_>>(), 0.3))
        .check(Check::within(
            "smallest training loss of an epoch",
            extremes(statistics::least),
            CHANCE - 0.03,
            CHANCE + 0.03,
        ))
        .check(Check::within(
            "largest training loss of an epoch",
            extremes(statistics::largest),
            CHANCE - 0.03,
            CHANCE + 0.03,
        ));
    let layers: Vec<f64> = (1..=41).map(f64::from).collect();
    let deep: Vec<Vec<f64>> = measured.iter().map(|(deep, ..)| deep.clone()).collect();
    let shallow: Vec<Vec<f64>> = measured.iter().map(|(_, shallow, _)| shallow.clone()).collect();
    findings.figure(
        Figure::lines(
            "What exchanging labels changes in the gradient",
            "layer (the last one is the classifier)",
            "relative change of the gradient",
        )
        .caption(
            "Mean and standard deviation over seeds. The first layers' gradients do change, but are about 10⁻¹⁶ long.",
        )
        .log_y()
        .over_seeds("40 hidden layers", &layers, &deep)
        .over_seeds("3 hidden layers", &layers[..4], &shallow),
    );
    Ok(findings)
}

/// What a training left behind.
pub(super) struct Trained {
    /// The mean training loss of each epoch, without the term.
    pub(super) losses: Vec<f64>,
    /// The test accuracy after the epochs that were asked for, and after the last.
    pub(super) accuracies: Vec<f64>,
    /// Parameters and buffers.
    pub(super) state: State,
}

impl Trained {
    /// The loss of the last epoch.
    pub(super) fn loss(&self) -> f64 {
        self.losses.last().copied().unwrap_or(f64::NAN)
    }

    /// The test accuracy after the last epoch.
    pub(super) fn accuracy(&self) -> f64 {
        self.accuracies.last().copied().unwrap_or(f64::NAN)
    }

    /// The mean test accuracy of the last five epochs that were tested.
    pub(super) fn steady_accuracy(&self) -> f64 {
        statistics::mean(&self.accuracies[self.accuracies.len().saturating_sub(5)..])
    }

    /// The first epoch, counted from 1, with a loss below 1; one more than there were where there is none.
    pub(super) fn learned(&self) -> f64 {
        let first = self.losses.iter().position(|loss| *loss < 1.0);
        first.unwrap_or(self.losses.len()) as f64 + 1.0
    }
}

/// How a network is trained.
pub(super) struct Training<'t> {
    pub(super) epochs: usize,
    pub(super) rate: f64,
    pub(super) seed: u64,
    /// Test accuracies are taken after these epochs, and after the last.
    pub(super) tested: &'t [usize],
}

/// Trains by steps that `trainer` takes on batches of [`BATCH`].
pub(super) fn train<'n>(
    setting: &Setting,
    digits: &Digits,
    network: &'n Network,
    trainer: &mut Trainer<'n>,
    how: &Training<'_>,
) -> Result<Trained> {
    let per_epoch = (digits.train.len() / BATCH).max(1) as u64;
    let fit = study::Fit { batch: BATCH, steps: per_epoch * how.epochs as u64, seed: how.seed, rate: &|_| how.rate };
    let (mut losses, mut accuracies, mut sum) = (vec![], vec![], 0.0);
    study::fit(trainer, &digits.train, &fit, |step, result, trainer| {
        if !result.is_finite() {
            return Err(Error::numerical(format!("the loss or its gradient became infinite at step {step}")));
        }
        sum += result.loss;
        if step.is_multiple_of(per_epoch) {
            setting.go_on()?;
            losses.push(sum / per_epoch as f64);
            sum = 0.0;
            if how.tested.contains(&losses.len()) {
                accuracies.push(study::evaluate(network, &trainer.state(), &digits.test, NormMode::Running)?.accuracy);
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let state = trainer.state();
    accuracies.push(study::evaluate(network, &state, &digits.test, NormMode::Running)?.accuracy);
    Ok(Trained { losses, accuracies, state })
}

impl Deep {
    /// Trains from the start of a seed with Adam at 10⁻³.
    pub(super) fn train(
        &self,
        setting: &Setting,
        digits: &Digits,
        term: Option<Term>,
        epochs: usize,
        seed: u64,
    ) -> Result<Trained> {
        let network = self.network(term)?;
        let mut trainer = Trainer::new(&network, Adam::default(), BATCH, self.start(&network, seed))?;
        let tested: Vec<usize> = std::iter::once(30).chain(epochs.saturating_sub(4)..epochs).collect();
        train(setting, digits, &network, &mut trainer, &Training { epochs, rate: 1e-3, seed, tested: &tested })
    }
}

/// A tensor of random numbers that is as long as another.
pub(super) fn direction(tensor: &Tensor, path: &str, seed: u64, which: u64) -> Vec<f64> {
    let mut random = Key::new(seed, &format!("claims/19/direction/{path}"), which).random();
    let numbers: Vec<f64> = (0..tensor.shape().elements()).map(|_| random.normal_f64()).collect();
    let length = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let factor = length(&tensor.to_f64()) / length(&numbers);
    numbers.into_iter().map(|number| number * factor).collect()
}

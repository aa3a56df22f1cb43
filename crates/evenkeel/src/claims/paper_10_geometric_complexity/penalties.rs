//! What is added to the loss, or to the inputs, and lowers geometric complexity.

use super::meter;
use super::recipe::{Digits, Training, by_setting, evaluated, means, network};
use crate::batch::Batch;
use crate::claims::setup::by_seed;
use crate::claims::{Check, Figure, Findings, Setting, statistics};
use crate::config::{Activation, Initialization, Loss, NormKind};
use crate::models::Mlp;
use crate::network::{Network, State};
use crate::nn::NormSettings;
use crate::objective::Term;
use crate::regularize::bounds::{norm_bounds, transfer_bound};
use crate::regularize::{Flatness, ParameterNorm, SpectralNorm};
use crate::{Error, Result};
use evenkeel_graph::random::{Key, Random};
use evenkeel_graph::{DType, Tensor};
use std::ops::ControlFlow;

/// Steps from one look at the bounds to the next.
const CHECKPOINT: u64 = 250;

/// A network after 1500 steps.
struct Trained {
    complexity: f64,
    loss: f64,
    accuracy: f64,
    /// Geometric complexity over its bounds, by Frobenius norms and by spectral norms, at start and checkpoints.
    over_bounds: [Vec<f64>; 2],
}

impl Trained {
    /// Trains the usual way with noise and terms.
    fn new(setting: &Setting, seed: u64, noise: f64, terms: Vec<Box<dyn Term>>) -> Result<Trained> {
        let digits = Digits::new(setting, seed)?;
        let (plain, network) = (network(0.0, vec![])?, network(noise, terms)?);
        let mut meter = meter(&plain, digits.train.len())?;
        let mut over_bounds = [vec![], vec![]];
        let mut look = |parameters: &[Tensor]| -> Result<()> {
            let state = State { parameters: parameters.to_vec(), buffers: vec![] };
            let (complexity, bounds) = (meter.at(&digits.train, &state)?.mean, norm_bounds(&plain, &state)?);
            for (ratios, bound) in over_bounds.iter_mut().zip([bounds.frobenius, bounds.spectral]) {
                ratios.push(complexity / bound);
            }
            Ok(())
        };
        look(&network.initial_state(Initialization::He, seed).parameters)?;
        let state = Training::usual(seed).run(setting, &network, &digits, |step, trainer| {
            if step % CHECKPOINT == 0 {
                look(trainer.parameters())?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let complexity = meter.at(&digits.train, &State { buffers: vec![], ..state.clone() })?.mean;
        let (loss, _) = evaluated(&network, &state, &digits.train)?;
        let (_, accuracy) = evaluated(&network, &state, &digits.test)?;
        Ok(Trained { complexity, loss, accuracy: 100.0 * accuracy, over_bounds })
    }
}

/// One network for each seed and strength, seed after seed.
fn trained<const N: usize>(
    setting: &Setting,
    strengths: [f64; N],
    with: impl Fn(f64) -> (f64, Vec<Box<dyn Term>>) + Sync,
) -> Result<Vec<Trained>> {
    let jobs = setting.seeds().flat_map(|seed| strengths.map(|strength| (seed, strength)));
    setting.each(jobs, |(seed, strength)| {
        let (noise, terms) = with(strength);
        Trained::new(setting, seed, noise, terms)
    })
}

/// What is the same in all three: the order of the strengths, and losses and accuracies for the record.
fn common(findings: &mut Findings, what: &str, strengths: &[f64], trained: &[Trained]) -> Vec<f64> {
    let complexities = by_setting(trained, strengths.len(), |one| one.complexity);
    let mean = means(&complexities);
    findings.check(Check::decreasing(format!("geometric complexity, by {what}"), &mean));
    let losses = means(&by_setting(trained, strengths.len(), |one| one.loss));
    let accuracies = means(&by_setting(trained, strengths.len(), |one| one.accuracy));
    for (((strength, mean), loss), accuracy) in strengths.iter().zip(&mean).zip(losses).zip(accuracies) {
        findings.note(format!(
            "{what} {strength}: geometric complexity {mean:.0}, training loss {loss:.3}, test accuracy {accuracy:.1} %"
        ));
    }
    let names: Vec<String> = strengths.iter().map(f64::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    findings.figure(
        Figure::bars(format!("Geometric complexity after training, by {what}"), &names, "geometric complexity")
            .caption("Mean and standard deviation over seeds, on the training samples.")
            .heights_over_seeds("trained", &by_seed(&complexities)),
    );
    mean
}

fn largest(trained: &[Trained], bound: usize) -> f64 {
    statistics::largest(trained.iter().flat_map(|one| one.over_bounds[bound].iter().copied()))
}

pub(super) fn parameter_norm(setting: &Setting) -> Result<Findings> {
    let strengths = [0.0, 1e-3, 5e-3, 1e-2];
    let all = trained(setting, strengths, |weight| {
        (0.0, vec![Box::new(ParameterNorm { weight, parameters: "*".into() }) as Box<dyn Term>])
    })?;
    let mut findings = Findings::new();
    let mean = common(&mut findings, "weight decay", &strengths, &all);
    findings.check(Check::at_most("at 1e-2, over that of none", mean[3] / mean[0], 0.35)).check(Check::at_most(
        "largest geometric complexity over Π ‖W‖²",
        largest(&all, 0),
        1.0,
    ));
    Ok(findings)
}

pub(super) fn spectral_norm(setting: &Setting) -> Result<Findings> {
    let strengths = [0.0, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1];
    let all = trained(setting, strengths, |weight| (0.0, vec![Box::new(SpectralNorm { weight }) as Box<dyn Term>]))?;
    let mut findings = Findings::new();
    let mean = common(&mut findings, "λ", &strengths, &all);
    let accuracy = means(&by_setting(&all, strengths.len(), |one| one.accuracy));
    findings
        .check(Check::at_most("at 1e-2, over that of none", mean[3] / mean[0], 0.8))
        .check(Check::at_most("at 0.1, over that of none", mean[5] / mean[0], 0.55))
        .check(Check::at_most("loss of test accuracy at 1e-2", accuracy[0] - accuracy[3], 1.0).unit(" points"))
        .check(Check::at_most("loss of test accuracy at 0.1", accuracy[0] - accuracy[5], 3.0).unit(" points"))
        .check(Check::at_most("largest geometric complexity over min(d, k) Π s_max²", largest(&all, 1), 1.0));
    Ok(findings)
}

pub(super) fn input_noise(setting: &Setting) -> Result<Findings> {
    let strengths = [0.0, 0.1, 0.2, 0.4];
    let all = trained(setting, strengths, |deviation| (deviation, vec![]))?;
    let mut findings = Findings::new();
    let mean = common(&mut findings, "noise", &strengths, &all);
    findings.check(Check::at_most("at 0.4, over that of none", mean[3] / mean[0], 0.4));
    Ok(findings)
}

/// Training losses at which networks are compared.
const LEVELS: [f64; 2] = [0.1, 0.05];
/// Random networks of the inequality.
const NETWORKS: usize = 200;

pub(super) fn flatness(setting: &Setting) -> Result<Findings> {
    let strengths = [0.0, 0.01, 0.03, 0.1];
    let jobs = setting.seeds().flat_map(|seed| strengths.map(|strength| (seed, strength)));
    let found = setting.each(jobs, |(seed, weight)| {
        let network = network(0.0, vec![Box::new(Flatness { weight }) as Box<dyn Term>])?;
        let digits = Digits::new(setting, seed)?;
        let how = Training { steps: 3000, ..Training::usual(seed) };
        Ok(how.until(setting, &network, &digits, &LEVELS)?.0)
    })?;
    let mut findings = Findings::new();
    let mut figure = Figure::lines("Geometric complexity at the same training loss", "α", "geometric complexity")
        .caption("Mean and standard deviation over seeds, when the training loss is first seen below a level.");
    for (place, level) in LEVELS.into_iter().enumerate() {
        let complexities = by_setting(&found, strengths.len(), |levels| levels[place]);
        let mean = means(&complexities);
        findings
            .check(Check::decreasing(format!("geometric complexity at loss {level}, by α"), &mean))
            .check(Check::at_most(format!("at α = 0.1 and loss {level}, over that of none"), mean[3] / mean[0], 0.88));
        figure = figure.over_seeds(format!("loss {level}"), &strengths, &by_seed(&complexities));
    }
    let ratios = setting.each(0..NETWORKS as u64, |number| transferred(setting.seed, number))?;
    let least = statistics::least(ratios.iter().copied());
    findings
        .check(Check::at_least("least ‖∂f/∂θ‖² over what the inequality says", least, 1.0 - 1e-9))
        .note(format!("the inequality is loose by a factor of {:.2} in the median", statistics::median(&ratios)))
        .figure(figure);
    Ok(findings)
}

/// Both sides of the transfer inequality for a random network, left over right: the least of four samples.
fn transferred(seed: u64, number: u64) -> Result<f64> {
    let mut random = Key::new(seed, "claims/transfer", number).random();
    let layers = 2 + random.below(3);
    let mut width = || 2 + random.below(10) as usize;
    let inputs = width();
    let widths: Vec<usize> = (1..layers).map(|_| width()).collect();
    let outputs = width();
    let activation = if number.is_multiple_of(2) { Activation::Relu } else { Activation::Tanh };
    let model = Mlp { widths, norm: NormKind::None, activation: Some(activation), classes: outputs };
    let network = Network::with(Box::new(model), &[inputs], DType::F64, Loss::CrossEntropy, NormSettings::default())?;
    let mut normal = |shape: &[usize]| drawn(&mut random, shape);
    let parameters = network.parameters().iter().map(|info| normal(&info.shape)).collect::<Result<_>>()?;
    let samples = Batch { inputs: normal(&[4, inputs])?, labels: Tensor::zeros([4], DType::I32) };
    let bounds = transfer_bound(&network, &State { parameters, buffers: vec![] }, &samples)?;
    // Where no unit is alive both sides are 0, and the inequality says nothing.
    let alive = bounds.iter().filter(|bound| bound.right != 0.0);
    Ok(statistics::least(alive.map(|bound| bound.left / bound.right).chain([f64::INFINITY])))
}

fn drawn(random: &mut Random, shape: &[usize]) -> Result<Tensor> {
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal_f64()).collect();
    Tensor::new::<f64>(shape, values).ok_or_else(|| Error::input("there is a number for each element"))
}

//! The whole spectrum of a small network's Hessian, before and after training.

use super::super::setup::{self, Samples};
use super::super::statistics::mean;
use super::super::{Check, Figure, Findings, Setting};
use crate::config::{Activation, Initialization, Loss, NormKind, NormMode};
use crate::curvature::{Curvature, Product};
use crate::data::LoadOptions;
use crate::models::Mlp;
use crate::nn::NormSettings;
use crate::optim::Sgd;
use crate::study::{self, Fit};
use crate::{Batch, Network, Result, State};
use evenkeel_graph::DType;

const BATCH: usize = 50;
const EPOCHS: u64 = 40;
const RATE: f64 = 0.05;
const MEASURED: usize = 600;

/// Eigenvalues over the largest of them, the largest first.
struct Spectrum(Vec<f64>);

impl Spectrum {
    fn of(network: &Network, samples: Batch, state: State) -> Result<Spectrum> {
        let eigenvalues =
            Curvature::new(network, NormMode::Batch, samples, state)?.all_eigenvalues(Product::Hessian)?;
        let largest = eigenvalues.first().copied().unwrap_or(f64::NAN);
        Ok(Spectrum(eigenvalues.into_iter().map(|eigenvalue| eigenvalue / largest).collect()))
    }

    fn count(&self, is: impl Fn(f64) -> bool) -> f64 {
        self.0.iter().filter(|ratio| is(**ratio)).count() as f64
    }

    /// The share smaller than a hundredth of the largest.
    fn near_zero(&self) -> f64 {
        self.count(|ratio| ratio.abs() < 0.01) / self.0.len() as f64
    }

    /// How many are larger than a twentieth of the largest.
    fn outliers(&self) -> f64 {
        self.count(|ratio| ratio > 0.05)
    }

    /// How far below zero they go.
    fn negative(&self) -> f64 {
        self.0.last().map_or(f64::NAN, |least| least.abs())
    }

    /// How many are more than a hundredth below zero.
    fn far_below(&self) -> f64 {
        self.count(|ratio| ratio < -0.01)
    }
}

/// Before training, after it, and the loss on the training samples then.
struct Course {
    start: Spectrum,
    end: Spectrum,
    loss: f64,
}

fn course(samples: &Samples, seed: u64) -> Result<Course> {
    let model = Mlp { widths: vec![24, 24], norm: NormKind::None, activation: Some(Activation::Relu), classes: 10 };
    let network =
        Network::with(Box::new(model), samples.shape(), DType::F64, Loss::CrossEntropy, NormSettings::default())?;
    let train = Batch { inputs: samples.train.inputs.cast(DType::F64), labels: samples.train.labels.clone() };
    let measured = train.first(MEASURED);
    let start = network.initial_state(Initialization::Uniform, seed);
    let steps = EPOCHS * (train.len() / BATCH) as u64;
    let how = Fit { batch: BATCH, steps, seed, rate: &|_| RATE };
    let rule = Sgd { momentum: 0.9, nesterov: true, ..Sgd::PLAIN };
    let end = setup::train(&network, rule, start.clone(), &train, &how)?.state;
    let loss = study::evaluate(&network, &end, &train, NormMode::Batch)?.loss;
    Ok(Course {
        start: Spectrum::of(&network, measured.clone(), start)?,
        end: Spectrum::of(&network, measured, end)?,
        loss,
    })
}

pub(super) fn near_zero(setting: &Setting) -> Result<Findings> {
    let options = LoadOptions { normalize: false, ..LoadOptions::default() };
    let samples = Samples::of(&setting.dataset("digits", &options)?)?;
    let all = setting.each(setting.seeds(), |seed| course(&samples, seed))?;
    let start = |of: fn(&Spectrum) -> f64| all.iter().map(|one| of(&one.start)).collect::<Vec<f64>>();
    let end = |of: fn(&Spectrum) -> f64| all.iter().map(|one| of(&one.end)).collect::<Vec<f64>>();
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("trained: share within 1 % of the largest", end(Spectrum::near_zero), 0.93))
        .check(Check::at_most("trained: eigenvalues above 5 % of the largest", end(Spectrum::outliers), 20.0))
        .check(Check::below("trained: |least| / largest", end(Spectrum::negative), 0.05))
        .check(Check::at_most("trained: eigenvalues below −1 % of the largest", end(Spectrum::far_below), 0.0))
        .check(Check::at_most("at the start: share within 1 % of the largest", start(Spectrum::near_zero), 0.85))
        .check(Check::above("at the start: |least| / largest", start(Spectrum::negative), 0.4))
        .note(format!(
            "At the start {:.0} eigenvalues are above 5 % and {:.0} below −1 % of the largest (means); the training loss at the end is {:.3}.",
            mean(&start(Spectrum::outliers)),
            mean(&start(Spectrum::far_below)),
            mean(&all.iter().map(|one| one.loss).collect::<Vec<_>>())
        ));
    if let Some(one) = all.first() {
        let rank = |spectrum: &Spectrum| (1..=spectrum.0.len()).map(|rank| rank as f64).collect::<Vec<_>>();
        let figure = Figure::lines("All eigenvalues of the Hessian", "rank", "eigenvalue / largest")
            .caption("One seed, the largest first.")
            .log_x()
            .series("at the start", &rank(&one.start), &one.start.0)
            .series("trained", &rank(&one.end), &one.end.0);
        findings.figure(figure);
    }
    Ok(findings)
}

//! Weight normalization in a variational autoencoder.

use super::super::setup::{self, seeds, smallest, triples};
use super::super::statistics::{mean, mean_list};
use super::super::{Check, Figure, Findings, Setting};
use super::fitted;
use crate::config::{Activation, Initialization, Loss, NormKind, NormMode, WeightNorm};
use crate::data::LoadOptions;
use crate::models::Vae;
use crate::optim::Adamax;
use crate::study::Fit;
use crate::{Noise, Probe, Result};

const RATES: [f64; 3] = [0.002, 0.01, 0.03];
const STEPS: u64 = 1000;

const CASES: [(&str, WeightNorm, bool); 4] = [
    ("plain", WeightNorm::None, false),
    ("weight norm", WeightNorm::Normalized, false),
    ("weight norm, fitted to data", WeightNorm::Normalized, true),
    ("plain, fitted to data", WeightNorm::None, true),
];

struct Course {
    /// The negative bound on the test samples at the end.
    test: f64,
    /// The negative bound on the batch of each step.
    losses: Vec<f64>,
}

pub(super) fn autoencoder(setting: &Setting) -> Result<Findings> {
    let options = LoadOptions { normalize: false, ..LoadOptions::default() };
    let samples = setup::Samples::of(&setting.dataset("digits", &options)?)?;
    let courses = setting.each(triples(&CASES, &RATES, &seeds(setting)), |((_, weights, fit), rate, seed)| {
        let model = Vae { widths: vec![128], latent: 8, norm: NormKind::None, activation: Activation::Relu };
        let network = super::network(model, &[8, 8, 1], Loss::Bernoulli, weights)?;
        let drawn = network.initial_state(Initialization::Glorot, seed);
        let start = if fit { fitted(&network, drawn, &samples.train)? } else { drawn };
        let how = Fit { batch: 100, steps: STEPS, seed, rate: &|_| rate };
        let trained = setup::train(&network, Adamax::default(), start, &samples.train, &how)?;
        let mut bound = Probe::with_noise(&network, samples.test.len(), NormMode::Running, |trace| {
            Ok(vec![("bound".to_owned(), trace.losses.mean_all())])
        })?;
        bound.set_noise(Noise { seed, step: STEPS });
        let test = bound.at(&samples.test, &trained.state)?.first().and_then(|value| value.item()).unwrap_or(f64::NAN);
        Ok(Course { test: if trained.finite { test } else { f64::INFINITY }, losses: trained.losses })
    })?;
    let count = setting.seeds().count().max(1);
    let by = |case: usize, rate: usize| &courses[(case * RATES.len() + rate) * count..][..count];
    let test = |case: usize, rate: usize| -> Vec<f64> { by(case, rate).iter().map(|one| one.test).collect() };
    let best: [usize; 4] = [0, 1, 2, 3].map(|case| smallest(&[0, 1, 2].map(|rate| mean(&test(case, rate)))));
    let at_best = [0, 1, 2, 3].map(|case| mean(&test(case, best[case])));
    let run =
        [0, 1, 2, 3].map(|case| mean(&by(case, best[case]).iter().map(|one| mean(&one.losses)).collect::<Vec<_>>()));
    let better: Vec<bool> = test(2, 1).iter().zip(test(3, 1)).map(|(weight, plain)| *weight < plain).collect();
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("negative bound, weight norm − plain", at_best[1] - at_best[0], 0.15).unit(" nats"))
        .check(
            Check::at_most("negative bound, weight norm fitted to data − plain", at_best[2] - at_best[0], 0.4)
                .unit(" nats"),
        )
        .check(Check::count(
            "seeds in which weight norm fitted to data is better than plain fitted to data at rate 0.01",
            &better,
            (better.len() * 3).div_ceil(5),
        ))
        .check(
            Check::below("bound over the run, weight norm fitted to data − plain", run[2] - run[0], 0.0)
                .unit(" nats")
                .for_the_record(),
        );
    for (case, (name, ..)) in CASES.iter().enumerate() {
        findings.note(format!(
            "{name}: rate {}, negative bound {:.2} nats on the test samples, {:.2} over the run.",
            RATES[best[case]], at_best[case], run[case]
        ));
    }
    let steps: Vec<f64> = (1..=STEPS).map(|step| step as f64).collect();
    let mut figure = Figure::lines("Negative evidence lower bound", "step", "nats a sample")
        .caption("On the batch of each step at the best rate, mean over seeds.");
    for (case, (name, ..)) in CASES.iter().enumerate() {
        let curve = mean_list(by(case, best[case]).iter().map(|one| one.losses.as_slice()));
        figure = figure.series(*name, &steps, &curve);
    }
    findings.figure(figure.log_x());
    Ok(findings)
}

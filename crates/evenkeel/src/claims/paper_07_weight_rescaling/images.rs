//! Small convolution networks on CIFAR-10: rescaled weights against decay, standardized weights and AdamP.

use super::super::setup::{self, Samples, by_seed, seeds, smallest};
use super::super::statistics::{largest, mean};
use super::super::{Check, Figure, Findings, Setting};
use super::{cosine, lengths, rescaled};
use crate::config::{Initialization, Loss, NormMode, WeightNorm};
use crate::nn::NormSettings;
use crate::optim::{Adam, AdamP, Optimizer, Sgd};
use crate::study::{self, Fit};
use crate::{Network, Result};
use evenkeel_graph::DType;

const SAMPLES: usize = 2000;
const BATCH: usize = 50;
const EPOCHS: u64 = 6;

/// What is made of the weights.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Decay(f64),
    Rescaled,
    Standardized(f64),
    AdamP(f64),
}

/// A way, what it is called, and the rates it is tried at.
type Tried = (Way, &'static str, &'static [f64]);
const RATES: &[f64] = &[0.05, 0.2];
const DECAY: [Tried; 2] = [(Way::Decay(1e-3), "decay 1e-3", RATES), (Way::Decay(1e-2), "decay 1e-2", RATES)];
const STANDARDIZED: Tried = (Way::Standardized(1e-3), "standardized, decay 1e-3", RATES);
const RESCALED: Tried = (Way::Rescaled, "rescaled", RATES);
const ADAM_P: Tried = (Way::AdamP(1e-2), "AdamP, decay 1e-2", &[0.003]);

impl Way {
    fn weights(self) -> WeightNorm {
        if matches!(self, Way::Standardized(_)) { WeightNorm::Standardized } else { WeightNorm::None }
    }

    fn rule(self, network: &Network) -> Result<Box<dyn Optimizer>> {
        let sgd = |weight_decay| -> Box<dyn Optimizer> { Box::new(Sgd { momentum: 0.9, weight_decay, ..Sgd::PLAIN }) };
        Ok(match self {
            Way::Decay(decay) | Way::Standardized(decay) => sgd(decay),
            Way::Rescaled => rescaled(network, sgd(0.0), sgd(0.0))?,
            Way::AdamP(weight_decay) => {
                let adam = Adam { weight_decay, decoupled: true, ..Adam::default() };
                Box::new(AdamP { adam, delta: 0.1, decay_ratio: 0.1, nesterov: false })
            }
        })
    }
}

/// What a way comes to.
struct Outcome {
    name: &'static str,
    /// By rate, the percent of the test samples that each seed answers rightly.
    right: Vec<Vec<f64>>,
    rates: &'static [f64],
    /// The largest |‖w‖ − 1| of a filter at the end.
    off: f64,
}

impl Outcome {
    /// The place of the rate with the best mean.
    fn best(&self) -> usize {
        smallest(&self.right.iter().map(|seeds| -mean(seeds)).collect::<Vec<_>>())
    }

    /// The best mean over seeds of a rate.
    fn mean(&self) -> f64 {
        mean(&self.right[self.best()])
    }
}

/// Trains and tests once: percent answered rightly, and the largest |‖w‖ − 1| of a filter.
fn once(samples: &Samples, way: Way, rate: f64, seed: u64) -> Result<(f64, f64)> {
    let model = setup::model(|cx, mut x| {
        for (index, channels) in [16, 32, 64].into_iter().enumerate() {
            let number = index + 1;
            let y = cx.conv(&format!("conv{number}"), x, channels, 3, 1, 1);
            x = cx.batch_norm(&format!("norm{number}"), y).relu().max_pool([2, 2], [2, 2], [[0, 0], [0, 0]]);
        }
        cx.head("head", x.mean(&[1, 2]), 10)
    });
    let norm = NormSettings { weights: way.weights(), ..NormSettings::default() };
    let network = Network::with(Box::new(model), samples.shape(), DType::F32, Loss::CrossEntropy, norm)?;
    let epoch = (SAMPLES / BATCH) as u64;
    let schedule = cosine(rate, epoch, EPOCHS);
    let how = Fit { batch: BATCH, steps: EPOCHS * epoch, seed, rate: &|step| schedule.rate(step) };
    let start = network.initial_state(Initialization::He, seed);
    let state = setup::train(&network, way.rule(&network)?, start, &samples.train, &how)?.state;
    let right = 100.0 * study::evaluate(&network, &state, &samples.test, NormMode::Running)?.accuracy;
    let filters = network.parameters().iter().zip(&state.parameters).filter(|(info, _)| info.shape.len() == 4);
    let off = largest(filters.flat_map(|(_, weights)| lengths(weights)).map(|length| (length - 1.0).abs()));
    Ok((right, off))
}

fn outcomes(setting: &Setting, ways: &[Tried]) -> Result<Vec<Outcome>> {
    let samples = setup::first(setting, "cifar10", SAMPLES, SAMPLES)?.halved()?.standardized()?;
    let seeds = seeds(setting);
    let mut jobs = Vec::new();
    for &(way, _, rates) in ways {
        jobs.extend(setup::pairs(rates, &seeds).into_iter().map(|(rate, seed)| (way, rate, seed)));
    }
    let all = setting.each(jobs, |(way, rate, seed)| once(&samples, way, rate, seed))?;
    let mut rest = all.chunks(seeds.len().max(1));
    let outcome = |&(_, name, rates): &Tried| {
        let found: Vec<&[(f64, f64)]> = rest.by_ref().take(rates.len()).collect();
        let right = found.iter().map(|seeds| seeds.iter().map(|one| one.0).collect()).collect();
        Outcome { name, right, rates, off: largest(found.iter().flat_map(|seeds| seeds.iter().map(|one| one.1))) }
    };
    Ok(ways.iter().map(outcome).collect())
}

/// What each way comes to, in words and as a figure.
fn told(findings: &mut Findings, all: &[Outcome]) {
    for one in all {
        let shown: Vec<String> = one
            .right
            .iter()
            .zip(one.rates)
            .map(|(seeds, rate)| format!("{:.1} % at the rate {rate}", mean(seeds)))
            .collect();
        findings.note(format!("{}: {}.", one.name, shown.join(", ")));
    }
    let names: Vec<&str> = all.iter().map(|one| one.name).collect();
    let best: Vec<&Vec<f64>> = all.iter().map(|one| &one.right[one.best()]).collect();
    findings.figure(
        Figure::bars("Test accuracy after six epochs", &names, "answered rightly, %")
            .caption("At the best rate of each; mean and deviation over seeds.")
            .heights_over_seeds("best rate", &by_seed(&best)),
    );
}

pub(super) fn comparison(setting: &Setting) -> Result<Findings> {
    let [weak, strong] = DECAY;
    let all = outcomes(setting, &[weak, strong, RESCALED, ADAM_P, STANDARDIZED])?;
    let [weak, strong, rescaled, adam_p, standardized] = [0, 1, 2, 3, 4].map(|way: usize| all[way].mean());
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("rescaled − tuned decay", rescaled - weak.max(strong), -1.0).unit(" points"))
        .check(Check::at_least("rescaled − AdamP", rescaled - adam_p, -1.0).unit(" points"))
        .check(Check::below("rescaled: |‖w‖ − 1| of a filter at the end, the largest", all[2].off, 1e-5))
        .check(Check::at_least("rescaled − standardized", rescaled - standardized, -1.0).unit(" points").for_the_record())
        .note(
            "Rescaled weights need a rate of their own: He weights have a length of about 1.4, so that the same rate is another effective one. \
             Standardized weights lose the mean of each filter as well.",
        );
    told(&mut findings, &all);
    Ok(findings)
}

pub(super) fn standardization(setting: &Setting) -> Result<Findings> {
    let [weak, strong] = DECAY;
    let all = outcomes(setting, &[weak, strong, STANDARDIZED])?;
    let [weak, strong, standardized] = [0, 1, 2].map(|way: usize| all[way].mean());
    let mut findings = Findings::new();
    findings.check(Check::at_least("standardized − tuned decay", standardized - weak.max(strong), 1.0).unit(" points"));
    told(&mut findings, &all);
    Ok(findings)
}

//! Batch normalization in place of dropout, and ensembles of networks that have it.

use super::super::setup::{self, Samples, by_seed, pairs, seeds};
use super::super::statistics::{deviation, mean};
use super::super::{Check, Figure, Findings, Setting};
use crate::config::{Initialization, NormKind, NormMode};
use crate::nn::Context;
use crate::optim::Sgd;
use crate::study::Fit;
use crate::{ErrorKind, Network, Probe, Result};
use evenkeel_graph::Var;

const DATA: [(&str, &str); 2] = [("mnist", "MNIST"), ("fashion-mnist", "Fashion-MNIST")];
const TRAIN: usize = 1000;
const TEST: usize = 2000;
const CLASSES: usize = 10;

/// What a network has against learning by heart.
#[derive(Clone, Copy)]
struct Remedy {
    norm: NormKind,
    dropout: f64,
}

const REMEDIES: [Remedy; 4] = [
    Remedy { norm: NormKind::None, dropout: 0.0 },
    Remedy { norm: NormKind::None, dropout: 0.5 },
    Remedy { norm: NormKind::Batch, dropout: 0.0 },
    Remedy { norm: NormKind::Batch, dropout: 0.5 },
];
const REMEDY_NAMES: [&str; 4] = ["nothing", "dropout", "batch norm", "both"];

/// What a trained network answers.
struct Answers {
    /// The probability of each class, test sample after test sample.
    probabilities: Vec<f64>,
    /// Percent of the test samples.
    right: f64,
}

pub(super) fn in_place_of_dropout(setting: &Setting) -> Result<Findings> {
    let mut figure = Figure::bars("Test samples after 500 steps on 1,000", &REMEDY_NAMES, "answered rightly, %");
    let findings = on_both(setting, |name, samples, findings| {
        let seeds = seeds(setting);
        let remedies: Vec<usize> = (0..REMEDIES.len()).collect();
        let right = setting
            .each(pairs(&remedies, &seeds), |(remedy, seed)| Ok(answers(samples, REMEDIES[remedy], seed)?.right))?;
        let by_remedy: Vec<&[f64]> = right.chunks(seeds.len().max(1)).collect();
        let means: Vec<f64> = by_remedy.iter().map(|seeds| mean(seeds)).collect();
        let [nothing, dropout, normalized, both] = means[..] else { return Ok(()) };
        let beaten: Vec<bool> = by_remedy[2].iter().zip(by_remedy[0]).map(|(with, without)| with > without).collect();
        let points = " points";
        findings
            .check(Check::at_most(format!("{name}: both − batch norm"), both - normalized, 1.0).unit(points))
            .check(Check::at_least(format!("{name}: batch norm − nothing"), normalized - nothing, -1.0).unit(points))
            .check(
                Check::count(
                    format!("{name}: batch norm beats nothing in seeds"),
                    &beaten,
                    seeds.len().saturating_sub(1),
                )
                .for_the_record(),
            )
            .note(format!(
                "{name}, answered rightly: nothing {nothing:.2} %, dropout {dropout:.2} %, batch norm {normalized:.2} %, both {both:.2} %"
            ));
        figure = figure.clone().heights_over_seeds(name, &by_seed(&by_remedy));
        Ok(())
    })?;
    Ok(with_figure(findings, figure))
}

pub(super) fn ensembles(setting: &Setting) -> Result<Findings> {
    let mut figure =
        Figure::bars("Errors on the test samples", &["single networks", "best single", "ensemble"], "error, %");
    let findings = on_both(setting, |name, samples, findings| {
        let all = setting.each(seeds(setting), |seed| answers(samples, REMEDIES[2], seed))?;
        let errors: Vec<f64> = all.iter().map(|one| 100.0 - one.right).collect();
        let mut together = vec![0.0; samples.test.len() * CLASSES];
        for one in &all {
            together.iter_mut().zip(&one.probabilities).for_each(|(sum, probability)| *sum += probability);
        }
        let ensemble = 100.0 - percent_right(&together, &samples.test.labels.to_f64());
        let best = errors.iter().copied().fold(f64::INFINITY, f64::min);
        let middle = mean(&errors);
        findings
            .check(
                Check::at_most(
                    format!("{name}: ensemble, at most mean − deviation"),
                    ensemble,
                    middle - deviation(&errors),
                )
                .unit(" %"),
            )
            .check(
                Check::at_most(format!("{name}: ensemble, at most the best single error"), ensemble, best).unit(" %"),
            )
            .check(
                Check::at_least(format!("{name}: gain over the mean single error"), middle - ensemble, 0.7)
                    .unit(" points"),
            )
            .note(format!("{name}: single errors {middle:.2} ± {:.2} %, the best {best:.2} %", deviation(&errors)));
        figure = figure.clone().heights(name, &[middle, best, ensemble]);
        Ok(())
    })?;
    Ok(with_figure(findings, figure))
}

fn with_figure(mut findings: Findings, figure: Figure) -> Findings {
    findings.figure(figure);
    findings
}

/// Makes an experiment on each data set that is there. Where one is missing the other can still fail the claim, but not settle it.
fn on_both(
    setting: &Setting,
    mut experiment: impl FnMut(&str, &Samples, &mut Findings) -> Result<()>,
) -> Result<Findings> {
    let mut findings = Findings::new();
    let mut missing = None;
    for (folder, name) in DATA {
        match setup::first(setting, folder, TRAIN, TEST) {
            Ok(samples) => experiment(name, &samples.centered()?, &mut findings)?,
            Err(error) if error.kind() == ErrorKind::Absent => missing = Some(error.what().to_owned()),
            Err(error) => return Err(error),
        }
    }
    Ok(match missing {
        Some(reason) => findings.unless_failed(reason),
        None => findings,
    })
}

/// Trains 500 steps on the first samples and answers all test samples.
fn answers(samples: &Samples, remedy: Remedy, seed: u64) -> Result<Answers> {
    let network = Network::new(setup::model(move |cx, x| two_layers(cx, x, remedy)), samples.shape())?;
    let how = Fit { batch: 50, steps: 500, seed, rate: &|_| 0.1 };
    let start = network.initial_state(Initialization::He, seed);
    let state = setup::train(&network, Sgd::PLAIN, start, &samples.train, &how)?.state;
    let test = &samples.test;
    let mut probe = Probe::new(&network, test.len(), NormMode::Running, |trace| {
        Ok(vec![("probabilities".to_owned(), trace.logits.softmax())])
    })?;
    let probabilities = probe.at(test, &state)?[0].to_f64();
    let right = percent_right(&probabilities, &test.labels.to_f64());
    Ok(Answers { probabilities, right })
}

/// How often the largest of ten numbers is that of the label, in percent.
fn percent_right(numbers: &[f64], labels: &[f64]) -> f64 {
    let largest = |row: &[f64]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
    let right = numbers.chunks_exact(CLASSES).zip(labels).filter(|(row, label)| largest(row) as f64 == **label);
    100.0 * right.count() as f64 / labels.len().max(1) as f64
}

/// Two layers of 128 ReLU units, dropout behind each.
fn two_layers<'g>(cx: &Context<'g>, x: Var<'g>, remedy: Remedy) -> Var<'g> {
    let layer = |number: usize, x| {
        let y = cx.linear(&format!("fc{number}"), x, 128);
        let y = cx.normalize(remedy.norm, &format!("norm{number}"), y).relu();
        cx.dropout(&format!("dropout{number}"), y, remedy.dropout)
    };
    cx.head("head", layer(2, layer(1, x)), CLASSES)
}

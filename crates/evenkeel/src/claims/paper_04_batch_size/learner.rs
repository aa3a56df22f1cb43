//! Rate and momentum learned from the curvature against a search for a rate.

use super::super::statistics::{least, mean, median};
use super::super::{Check, Figure, Findings, Setting};
use super::{digits, network, start};
use crate::Result;
use crate::claims::setup::{Samples, pairs, triples};
use crate::config::{LearnerKind, NormMode};
use crate::curvature::{Curvature, Product, Quadrature, QuadratureOptions};
use crate::optim::{Learner, Pace, Sgd};
use crate::study::{self, Fit};
use crate::train::Trainer;
use std::ops::ControlFlow;

const GRID: [f64; 6] = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0];
const MOMENTUM: f64 = 0.9;
const BATCH: usize = 64;
const EPOCHS: u64 = 20;
/// Epochs from one look to the next.
const REFRESHES: [u64; 2] = [20, 5];
const STEPS: usize = 20;
/// A rate that clips nothing, and one that does.
const UNCLIPPED: f64 = 1e6;
const CLIPPED: f64 = 1.0;

/// Final training loss, infinite where training diverged, and percent of the test samples answered rightly.
#[derive(Clone, Copy)]
struct End {
    loss: f64,
    right: f64,
}

/// Trains at a constant pace, or at one that a learner sets every so many epochs.
fn train(samples: &Samples, seed: u64, rate: f64, learner: Option<(Learner, u64)>) -> Result<End> {
    let network = network(samples)?;
    let epoch = (samples.train.len() / BATCH) as u64;
    let rule = Sgd { momentum: MOMENTUM, paced: learner.is_some(), ..Sgd::PLAIN };
    let mut trainer = Trainer::new(&network, rule, BATCH, start(&network, seed))?;
    let how = Fit { batch: BATCH, steps: EPOCHS * epoch, seed, rate: &|_| rate };
    let (mut pace, mut finite) = (Pace { rate, momentum: learner.map(|_| 0.0) }, true);
    let learn = |step: u64, trainer: &Trainer<'_>| {
        if let Some((learner, _)) = learner.filter(|(_, every)| step.is_multiple_of(every * epoch)) {
            let mut curvature = Curvature::new(&network, NormMode::Batch, samples.train.clone(), trainer.state())?;
            let options = QuadratureOptions { steps: STEPS, seed, ..QuadratureOptions::default() };
            let found = learner.learn(&Quadrature::of(&mut curvature.operator_of(Product::Hessian), &options)?);
            if let Some(learned) = found {
                pace = Pace { rate: learned.rate, momentum: learned.momentum.or(pace.momentum) };
            }
        }
        Ok(pace)
    };
    study::fit_paced(&mut trainer, &samples.train, &how, learn, |_, result, _| {
        finite = result.is_finite();
        Ok(if finite { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    let state = trainer.state();
    let trained = study::evaluate(&network, &state, &samples.train, NormMode::Batch)?;
    let tested = study::evaluate(&network, &state, &samples.test, NormMode::Batch)?;
    Ok(End { loss: if finite { trained.loss } else { f64::INFINITY }, right: 100.0 * tested.accuracy })
}

pub(super) fn saves_the_search(setting: &Setting) -> Result<Findings> {
    let samples = digits(setting)?;
    let seeds: Vec<u64> = setting.seeds().collect();
    let learned = |kind, max_rate, refreshes: &[u64]| {
        let learner = Learner { kind, max_rate, ..Learner::default() };
        setting.each(pairs(&seeds, refreshes), |(seed, every)| train(&samples, seed, 0.1, Some((learner, every))))
    };
    let grid = setting.each(pairs(&seeds, &GRID), |(seed, rate)| train(&samples, seed, rate, None))?;
    let authors = learned(LearnerKind::AuthorsMn, UNCLIPPED, &REFRESHES)?;
    let medians: Vec<f64> =
        grid.chunks(GRID.len()).map(|runs| median(&runs.iter().map(|run| run.loss).collect::<Vec<_>>())).collect();
    let bests: Vec<f64> = grid.chunks(GRID.len()).map(|runs| least(runs.iter().map(|run| run.loss))).collect();
    let of_seed = |runs: &[End], by: &[f64]| -> Vec<f64> {
        runs.chunks(REFRESHES.len()).zip(by).flat_map(|(runs, by)| runs.iter().map(move |run| run.loss / by)).collect()
    };
    let at = |runs: &[End], place: usize, of: usize| {
        mean(&runs.iter().skip(place).step_by(of).map(|run| run.right).collect::<Vec<_>>())
    };
    let rates: Vec<f64> = (0..GRID.len()).map(|place| at(&grid, place, GRID.len())).collect();
    let best = rates.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let refreshed: Vec<f64> = (0..REFRESHES.len()).map(|place| at(&authors, place, REFRESHES.len()) - best).collect();
    let mut findings = Findings::new();
    findings
        .check(
            Check::below(
                "authors-mn: final training loss / the grid's median, every run",
                of_seed(&authors, &medians),
                1.0,
            )
            .unit(" ×"),
        )
        .check(
            Check::at_least("mean test accuracy − the grid's best, every 20 and every 5 epochs", &refreshed, -1.0)
                .unit(" points"),
        )
        .check(
            Check::at_most("final training loss / the grid's best, every run", of_seed(&authors, &bests), 1.3)
                .unit(" ×")
                .for_the_record(),
        );
    let mut names = vec![String::from("authors-mn")];
    let mut losses = vec![mean(&authors.iter().map(|run| run.loss).collect::<Vec<_>>())];
    for (kind, max_rate) in
        triples(&[LearnerKind::Sgd, LearnerKind::HeavyBall, LearnerKind::Nesterov], &[UNCLIPPED, CLIPPED], &[()])
            .into_iter()
            .map(|(kind, max_rate, ())| (kind, max_rate))
    {
        let runs = learned(kind, max_rate, &REFRESHES[1..])?;
        let words = if max_rate == CLIPPED { "rates up to 1" } else { "no clip" };
        let shown: Vec<String> =
            runs.iter().map(|run| super::super::super::report::text::significant(run.loss, 2)).collect();
        findings.note(format!("{kind}, every 5 epochs, {words}: final training losses {}.", shown.join(", ")));
        if max_rate != CLIPPED {
            continue;
        }
        names.push(kind.to_string());
        losses.push(mean(&runs.iter().map(|run| run.loss.min(10.0)).collect::<Vec<_>>()));
    }
    let mut categories: Vec<String> = GRID.iter().map(|rate| format!("rate {rate}")).collect();
    let mut heights: Vec<f64> = (0..GRID.len())
        .map(|place| {
            mean(&grid.iter().skip(place).step_by(GRID.len()).map(|run| run.loss.min(10.0)).collect::<Vec<_>>())
        })
        .collect();
    categories.extend(names);
    heights.extend(losses);
    let categories: Vec<&str> = categories.iter().map(String::as_str).collect();
    findings.figure(
        Figure::bars("Training loss after 20 epochs", &categories, "loss")
            .caption("The learner authors-mn without a clip, every 20 and every 5 epochs; the others with rates up to 1, every 5 epochs. At most 10 a run.")
            .heights("mean over seeds", &heights)
            .log_y(),
    );
    Ok(findings)
}

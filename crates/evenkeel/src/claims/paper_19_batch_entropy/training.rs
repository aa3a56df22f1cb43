//! The networks of paper 19 and the claims about training them.

use super::super::{Check, Figure, Findings, Setting, statistics};
use super::{CHANCE, Digits, Trained};
use crate::config::{Initialization, Loss, NormKind, NormMode, WeightNorm};
use crate::graph::{DType, Var};
use crate::nn::{Context, Model, NormSettings};
use crate::regularize::BatchEntropy;
use crate::regularize::batch_entropy::{LayerFlow, flow};
use crate::{Network, Result, State, objective};

/// β, α and α_min of a term over all hidden layers.
#[derive(Clone, Copy)]
pub(super) struct Term(pub(super) f64, pub(super) f64, pub(super) f64);

/// The term of the claims on fully connected networks.
pub(super) const TERM: Term = Term(0.5, 0.5, 0.2);

impl Term {
    pub(super) fn made(self) -> Result<BatchEntropy> {
        BatchEntropy::new(self.0, self.1, self.2)
    }

    /// For a network.
    pub(super) fn boxed(self) -> Result<Box<dyn objective::Term>> {
        Ok(Box::new(self.made()?))
    }
}

/// 64-[64 × depth]-10, fully connected, by default with ReLU and without norms.
#[derive(Clone)]
pub(super) struct Deep {
    pub(super) depth: usize,
    pub(super) norm: NormKind,
    pub(super) weights: WeightNorm,
    /// Whether activations are SELU and weights drawn as it wants them.
    pub(super) selu: bool,
    pub(super) dtype: DType,
}

/// Units of a hidden layer.
const WIDTH: usize = 64;
const CLASSES: usize = 10;

impl Deep {
    pub(super) fn plain(depth: usize) -> Deep {
        Deep { depth, norm: NormKind::None, weights: WeightNorm::None, selu: false, dtype: DType::F32 }
    }

    /// The network, with a term over all its hidden layers or without.
    pub(super) fn network(&self, term: Option<Term>) -> Result<Network> {
        let norm = NormSettings { weights: self.weights, ..NormSettings::default() };
        let network = Network::with(Box::new(self.clone()), &[8, 8, 1], self.dtype, Loss::CrossEntropy, norm)?;
        match term {
            Some(term) => network.with_terms([term.boxed()?]),
            None => Ok(network),
        }
    }

    /// The numbers before the first step.
    pub(super) fn start(&self, network: &Network, seed: u64) -> State {
        let rule = if self.selu { Initialization::Lecun } else { Initialization::Uniform };
        network.initial_state(rule, seed)
    }
}

impl Model for Deep {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let mut x = x.flatten();
        for layer in 1..=self.depth {
            x = cx.normalize(self.norm, &format!("norm{layer}"), cx.linear(&format!("fc{layer}"), x, WIDTH));
            x = cx.tap(&format!("act{layer}"), if self.selu { selu(x) } else { x.relu() });
        }
        cx.normalize(self.norm, "norm", cx.head("head", x, CLASSES))
    }
}

/// λ x above 0 and λ α (eˣ − 1) below (Klambauer et al. 2017, arXiv 1706.02515).
fn selu(x: Var<'_>) -> Var<'_> {
    let (alpha, lambda) = (1.673_263_242_354_377_2, 1.050_700_987_355_480_5);
    (x.relu() + x.minimum(x.like(0.0)).expm1() * alpha) * lambda
}

/// Trainings of each seed: plain, and with the term.
fn pairs(setting: &Setting, depth: usize, epochs: usize) -> Result<(Vec<Trained>, Vec<Trained>)> {
    let digits = Digits::standardized(setting, DType::F32)?;
    let jobs = setting.seeds().flat_map(|seed| [(seed, None), (seed, Some(TERM))]);
    let trained = setting.each(jobs, |(seed, term)| Deep::plain(depth).train(setting, &digits, term, epochs, seed))?;
    let (mut plain, mut with) = (vec![], vec![]);
    for (place, one) in trained.into_iter().enumerate() {
        if place % 2 == 0 { plain.push(one) } else { with.push(one) }
    }
    Ok((plain, with))
}

fn of(trained: &[Trained], number: impl Fn(&Trained) -> f64) -> Vec<f64> {
    trained.iter().map(number).collect()
}

fn losses(trained: &[Trained]) -> Vec<Vec<f64>> {
    trained.iter().map(|one| one.losses.clone()).collect()
}

fn curves(title: &str, plain: &[Trained], with: &[Trained]) -> Figure {
    let epochs: Vec<f64> = (1..=plain.first().map_or(0, |one| one.losses.len())).map(|epoch| epoch as f64).collect();
    Figure::lines(title, "epoch", "training loss (nats)")
        .caption("Mean and standard deviation over seeds of each epoch's mean loss, without the term.")
        .over_seeds("plain", &epochs, &losses(plain))
        .over_seeds("with batch entropy", &epochs, &losses(with))
        .mark("ln 10: knowing nothing", CHANCE)
}

pub(super) fn trains(setting: &Setting) -> Result<Findings> {
    let (plain, with) = pairs(setting, 40, 60)?;
    let accuracies = of(&with, Trained::accuracy);
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("test accuracy, plain", of(&plain, Trained::accuracy), 0.20))
        .check(Check::at_least("test accuracy with the term", &accuracies, 0.50))
        .check(Check::at_least("its mean", statistics::mean(&accuracies), 0.70))
        .check(
            Check::at_most("epoch with a loss below 1 (a pilot: 23 to 31)", of(&with, Trained::learned), 60.0)
                .for_the_record(),
        )
        .figure(curves("Training 40 hidden layers", &plain, &with));
    Ok(findings)
}

pub(super) fn faster(setting: &Setting) -> Result<Findings> {
    let (plain, with) = pairs(setting, 20, 60)?;
    let (slow, fast) = (of(&plain, Trained::learned), of(&with, Trained::learned));
    let earlier: Vec<bool> = fast.iter().zip(&slow).map(|(fast, slow)| fast < slow).collect();
    let at_30 = |trained: &[Trained]| statistics::mean(&of(trained, |one| one.accuracies[0]));
    let wanted = (earlier.len() * 4).div_ceil(5);
    let mut findings = Findings::new();
    findings
        .check(Check::count("earlier with the term", &earlier, wanted))
        .check(Check::at_most("median epoch, relative to plain", statistics::ratio_of_medians(&fast, &slow), 0.8))
        .check(Check::at_least("gain of test accuracy after 30 epochs", at_30(&with) - at_30(&plain), 0.10))
        .note(format!("epoch with a loss below 1 (61: never): plain {slow:.0?}, with the term {fast:.0?}"))
        .note(format!(
            "mean test accuracy after 30 epochs: plain {:.3}, with the term {:.3}",
            at_30(&plain),
            at_30(&with)
        ))
        .figure(curves("Training 20 hidden layers", &plain, &with));
    Ok(findings)
}

pub(super) fn at_depth_60(setting: &Setting) -> Result<Findings> {
    let (plain, with) = pairs(setting, 60, 100)?;
    let farthest = |one: &Trained| statistics::largest(one.losses.iter().map(|loss| (loss - CHANCE).abs()));
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("test accuracy, plain", of(&plain, Trained::accuracy), 0.15))
        .check(Check::at_most("largest distance of an epoch's loss from ln 10, plain", of(&plain, farthest), 0.03))
        .check(Check::at_least("test accuracy with the term", of(&with, Trained::accuracy), 0.45))
        .check(
            Check::at_most("epoch with a loss below 1 (a pilot: 37 to 55)", of(&with, Trained::learned), 100.0)
                .for_the_record(),
        )
        .check(Check::at_least("its mean over the last 5 epochs", of(&with, Trained::steady_accuracy), 0.45).for_the_record())
        .note("With the term losses still jump from epoch to epoch at the end: rounding alone changes which seeds end well.")
        .figure(curves("Training 60 hidden layers", &plain, &with));
    Ok(findings)
}

pub(super) fn per_layer(setting: &Setting) -> Result<Findings> {
    let digits = Digits::standardized(setting, DType::F32)?;
    let measured = setting.each(setting.seeds(), |seed| {
        let deep = Deep::plain(40);
        let trained = deep.train(setting, &digits, Some(TERM), 60, seed)?;
        flow(&deep.network(Some(TERM))?, &trained.state, &digits.train, NormMode::Running, Some(&TERM.made()?))
    })?;
    let column = |of: fn(f64, f64) -> f64| -> Vec<Vec<f64>> {
        let number = |layer: &LayerFlow| of(layer.entropy, layer.target.unwrap_or(f64::NAN));
        measured.iter().map(|layers| layers.iter().map(number).collect()).collect()
    };
    let (entropies, targets) = (column(|entropy, _| entropy), column(|_, target| target));
    let distances = column(|entropy, target| (entropy - target).abs());
    let each =
        |lists: &[Vec<f64>], number: fn(&[f64]) -> f64| -> Vec<f64> { lists.iter().map(|list| number(list)).collect() };
    let smallest = |list: &[f64]| statistics::least(list.iter().copied());
    let largest = measured.iter().map(|layers| statistics::largest(layers.iter().map(|layer| layer.largest)));
    let largest: Vec<f64> = largest.collect();
    let mut findings = Findings::new();
    findings
        .check(Check::above("smallest batch entropy (a pilot: 0.28 to 0.44)", each(&entropies, smallest), 0.1))
        .check(Check::below("median distance from the target", each(&distances, statistics::median), 0.5))
        .check(Check::above("deviation of the targets among layers", each(&targets, statistics::deviation), 0.01))
        .note(format!("largest activation: {largest:.1?}"));
    let layers: Vec<f64> = (1..=40).map(f64::from).collect();
    findings.figure(
        Figure::lines("Batch entropy and its target after training", "hidden layer", "nats")
            .caption("Mean and standard deviation over seeds, over the training samples.")
            .over_seeds("batch entropy H", &layers, &entropies)
            .over_seeds("learned target max(α_min, |α|)", &layers, &targets),
    );
    Ok(findings)
}

pub(super) fn against_norms(setting: &Setting) -> Result<Findings> {
    let digits = Digits::standardized(setting, DType::F32)?;
    let plain = Deep::plain(60);
    let ways = [
        ("batch entropy", plain.clone(), Some(TERM)),
        ("nothing", plain.clone(), None),
        ("weight norm", Deep { weights: WeightNorm::Normalized, ..plain.clone() }, None),
        ("batch norm", Deep { norm: NormKind::Batch, ..plain.clone() }, None),
        ("layer norm", Deep { norm: NormKind::Layer, ..plain.clone() }, None),
        ("SELU", Deep { selu: true, ..plain }, None),
    ];
    let jobs = ways.iter().flat_map(|way| setting.seeds().map(move |seed| (way, seed)));
    let trained = setting.each(jobs, |((_, deep, term), seed)| deep.train(setting, &digits, *term, 40, seed))?;
    let by_way: Vec<&[Trained]> = trained.chunks(setting.seeds.max(1)).collect();
    let mut findings = Findings::new();
    findings.check(Check::at_most("training loss with the term", of(by_way[0], Trained::loss), 1.9));
    for place in [1, 2] {
        let what = format!("training loss with {}", ways[place].0);
        findings.check(Check::within(what, of(by_way[place], Trained::loss), CHANCE - 0.03, CHANCE + 0.03));
    }
    for ((name, ..), trained) in ways.iter().zip(&by_way) {
        let (losses, accuracies) = (of(trained, Trained::loss), of(trained, Trained::accuracy));
        findings.note(format!("{name}: training loss {losses:.3?}, test accuracy {accuracies:.2?}"));
    }
    let names: Vec<&str> = ways.iter().map(|(name, ..)| *name).collect();
    let heights = |seed: usize| by_way.iter().map(|trained| trained[seed].loss()).collect::<Vec<f64>>();
    findings.figure(
        Figure::bars("60 hidden layers after 40 epochs", &names, "training loss (nats)")
            .caption("Mean and standard deviation over seeds of the last epoch's loss.")
            .heights_over_seeds("training loss", &(0..setting.seeds).map(heights).collect::<Vec<_>>())
            .mark("ln 10: knowing nothing", CHANCE),
    );
    Ok(findings)
}

//! Dropout: its mean effect on the loss is an explicit penalty, and that penalty is what makes minima flat.

use super::{Check, Claim, Figure, Findings, Paper, Setting, statistics};
use crate::config::{Activation, DropoutLayers, DropoutMasks, Initialization, Loss, NormKind, NormMode};
use crate::curvature::{Curvature, LanczosOptions};
use crate::data::LoadOptions;
use crate::models::Mlp;
use crate::nn::{Context, Dropout, Initial, Model, NormSettings, Targets};
use crate::objective::Term;
use crate::optim::Adam;
use crate::regularize::{DropoutR1, DropoutR2, condensation};
use crate::train::Trainer;
use crate::{Batch, Error, Network, Probe, Result, State, study};
use evenkeel_graph::{DType, Tensor, Var};
use std::ops::ControlFlow;

/// The claims of Zhang, Xu 2022, arXiv 2207.05952.
pub(super) static PAPER: Paper = Paper {
    number: "05",
    title: "Implicit regularization of dropout (Zhang, Xu 2022)",
    claims: &[
        Claim {
            number: "4",
            title: "the penalty R1, and not the noise, makes minima flat and neurons condense",
            recipe: "40 points of a sum of two ReLUs, 1-100-1 ReLU, all parameters N(0, 0.3²), squared loss, Adam 0.002, 15,000 full-batch \
                     steps, a tenth dropped: plain, loss + R1, dropout, dropout − R1, loss + R2",
            wanted: "sharpness of loss + R1 at most 0.4 of plain; of dropout − R1 at least 4 times that of dropout, and its κ 100 times",
            seeds: 5,
            seconds: 60,
            run: flatness,
        },
        Claim {
            number: "8",
            title: "dropout generalizes better, and R1 has half of that or more",
            recipe: "500 digits of MNIST, 784-256-256-10 ReLU, uniform ±1/√fan-in, squared loss, a fifth of the last hidden values dropped, Adam 0.001, batch 50, 2,000 \
                     steps: plain, loss + R1, dropout; tested on 5,000",
            wanted: "test accuracy of dropout at least half a point above plain; loss + R1 has at least half of the gain",
            seeds: 5,
            seconds: 60,
            run: generalization,
        },
    ],
};

/// What is made small.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Objective {
    Plain,
    R1,
    Drop,
    DropMinusR1,
    R2,
}

impl Objective {
    const ALL: [Objective; 5] =
        [Objective::Plain, Objective::R1, Objective::Drop, Objective::DropMinusR1, Objective::R2];

    fn name(self) -> &'static str {
        match self {
            Objective::Plain => "plain",
            Objective::R1 => "loss + R1",
            Objective::Drop => "dropout",
            Objective::DropMinusR1 => "dropout − R1",
            Objective::R2 => "loss + R2",
        }
    }

    /// The network with its dropout before the last layer, and the terms of its objective.
    fn network(self, network: Network, rate: f64, learning_rate: f64) -> Result<Network> {
        let masks = match self {
            Objective::Drop | Objective::DropMinusR1 => DropoutMasks::PerSample,
            Objective::Plain | Objective::R1 | Objective::R2 => DropoutMasks::None,
        };
        let term: Option<Box<dyn Term>> = match self {
            Objective::Plain | Objective::Drop => None,
            Objective::R1 => Some(Box::new(DropoutR1 { factor: 1.0, approximate: false })),
            Objective::DropMinusR1 => Some(Box::new(DropoutR1 { factor: -1.0, approximate: false })),
            Objective::R2 => Some(Box::new(DropoutR2 { factor: 1.0, learning_rate, masks: 8 })),
        };
        network.with_dropout(Dropout { rate, masks }, DropoutLayers::Last)?.with_terms(term)
    }
}

// ---- 4: two layers on a line ----

const POINTS: usize = 40;
const WIDTH: usize = 100;
const RATE: f64 = 0.1;
const LEARNING_RATE: f64 = 0.002;
const STEPS: u64 = 15_000;

/// Two layers of ReLU on numbers, all parameters from one normal distribution, without a bias of the output.
struct TwoLayers;

impl Model for TwoLayers {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let initial = || Initial::Normal(0.3);
        let (weight, bias) = (cx.param("w", [1, WIDTH], initial()), cx.param("b", [WIDTH], initial()));
        let hidden = cx.tap("act1", (x.matmul(weight) + bias).relu());
        hidden.matmul(cx.param("a", [WIDTH, 1], initial()))
    }

    fn targets(&self) -> Targets {
        Targets::Numbers
    }
}

fn two_layers() -> Result<Network> {
    Network::with(Box::new(TwoLayers), &[1], DType::F64, Loss::Squared, NormSettings::default())
}

/// ½ ReLU(−x − 1/3) + ½ ReLU(x − 1/3) at 40 points on [−1, 1].
fn points() -> Result<Batch> {
    let x: Vec<f64> = (0..POINTS).map(|place| 2.0 * place as f64 / (POINTS - 1) as f64 - 1.0).collect();
    let y: Vec<f64> = x.iter().map(|x| 0.5 * (-x - 1.0 / 3.0).max(0.0) + 0.5 * (x - 1.0 / 3.0).max(0.0)).collect();
    let column = |values: &[f64]| {
        Tensor::from_f64([POINTS, 1], DType::F64, values).ok_or_else(|| Error::input("a column of numbers"))
    };
    Ok(Batch { inputs: column(&x)?, labels: column(&y)? })
}

/// What one training on the line came to.
struct Line {
    /// Mean squared error without masks.
    error: f64,
    sharpness: f64,
    kappa: f64,
}

fn line(setting: &Setting, seed: u64, objective: Objective) -> Result<Line> {
    let network = objective.network(two_layers()?, RATE, LEARNING_RATE)?;
    let batch = points()?;
    let state = network.initial_state(Initialization::He, seed);
    let mut trainer = Trainer::new(&network, Adam::default(), POINTS, state)?;
    let fit = study::Fit { batch: POINTS, steps: STEPS, seed, rate: &|_| LEARNING_RATE };
    study::fit(&mut trainer, &batch, &fit, |step, _, _| {
        if step % 1000 == 0 {
            setting.go_on()?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let state: State = trainer.state();
    let mut probe = Probe::new(&network, POINTS, NormMode::Running, |trace| {
        Ok(vec![
            ("error".to_owned(), (trace.logits - trace.labels).square().mean_all()),
            ("kappa".to_owned(), condensation(trace)?),
        ])
    })?;
    let found = probe.at(&batch, &state)?;
    let number = |index: usize| found[index].item().unwrap_or(f64::NAN);
    let (error, kappa) = (number(0), number(1));
    let plain = two_layers()?;
    let mut curvature = Curvature::new(&plain, NormMode::Running, batch, state)?;
    let spectrum = curvature.top_eigenvalues(&LanczosOptions { top: 1, ..LanczosOptions::default() })?;
    let sharpness = spectrum.eigenpairs.first().map_or(f64::NAN, |pair| pair.value);
    Ok(Line { error, sharpness, kappa })
}

fn flatness(setting: &Setting) -> Result<Findings> {
    let jobs = setting.seeds().flat_map(|seed| Objective::ALL.map(|objective| (seed, objective)));
    let runs = setting.each(jobs, |(seed, objective)| line(setting, seed, objective))?;
    let seeds: Vec<&[Line]> = runs.chunks(Objective::ALL.len()).collect();
    let each = |value: fn(&[Line]) -> f64| -> Vec<f64> { seeds.iter().map(|seed| value(seed)).collect() };
    let mut findings = Findings::new();
    findings
        .check(Check::at_most(
            "sharpness of loss + R1 over plain",
            each(|seed| seed[1].sharpness / seed[0].sharpness),
            0.4,
        ))
        .check(Check::at_least(
            "sharpness of dropout − R1 over dropout",
            each(|seed| seed[3].sharpness / seed[2].sharpness),
            4.0,
        ))
        .check(Check::at_least("κ of dropout − R1 over dropout", each(|seed| seed[3].kappa / seed[2].kappa), 100.0))
        .check(
            Check::within(
                "sharpness of loss + R2 over plain",
                each(|seed| seed[4].sharpness / seed[0].sharpness),
                0.5,
                2.0,
            )
            .for_the_record(),
        );
    for (place, objective) in Objective::ALL.iter().enumerate() {
        let mean = |value: fn(&Line) -> f64| {
            statistics::mean(&seeds.iter().map(|seed| value(&seed[place])).collect::<Vec<_>>())
        };
        findings.note(format!(
            "{}: mean squared error {:.1e}, sharpness {:.2}, κ {:.1}",
            objective.name(),
            mean(|run| run.error),
            mean(|run| run.sharpness),
            mean(|run| run.kappa)
        ));
    }
    let rows: Vec<Vec<f64>> = seeds.iter().map(|seed| seed.iter().map(|run| run.sharpness).collect()).collect();
    findings.figure(
        Figure::bars(
            "Sharpness by objective",
            &Objective::ALL.map(Objective::name),
            "largest eigenvalue of the Hessian",
        )
        .caption("Of the plain loss after 15,000 steps, mean and standard deviation over seeds.")
        .log_y()
        .heights_over_seeds("sharpness", &rows),
    );
    Ok(findings)
}

// ---- 8: digits of MNIST ----

/// What a training on digits came to.
struct Digits {
    train_loss: f64,
    accuracy: f64,
}

fn digits(setting: &Setting, seed: u64, objective: Objective) -> Result<Digits> {
    const SAMPLES: u32 = 500;
    let mnist = setting.dataset("mnist", &LoadOptions { test_limit: Some(5000), seed, ..LoadOptions::default() })?;
    let order = crate::data::Batches::new(seed, mnist.train.len(), SAMPLES as usize).indices(0).to_vec();
    let train = Batch::some_of(&mnist, &mnist.train, &order, DType::F32)?;
    let test = Batch::of(&mnist, &mnist.test, DType::F32)?;
    let model = Mlp { widths: vec![256, 256], norm: NormKind::None, activation: Some(Activation::Relu), classes: 10 };
    let network =
        Network::with(Box::new(model), &mnist.image_shape, DType::F32, Loss::Squared, NormSettings::default())?;
    let network = objective.network(network, 0.2, 0.0)?;
    let mut trainer =
        Trainer::new(&network, Adam::default(), 50, network.initial_state(Initialization::Uniform, seed))?;
    let fit = study::Fit { batch: 50, steps: 2000, seed, rate: &|_| 0.001 };
    study::fit(&mut trainer, &train, &fit, |_, _, _| Ok(ControlFlow::Continue(())))?;
    let state = trainer.state();
    let [on_train, on_test] =
        [&train, &test].map(|samples| study::evaluate(&network, &state, samples, NormMode::Running));
    Ok(Digits { train_loss: on_train?.loss, accuracy: on_test?.accuracy })
}

fn generalization(setting: &Setting) -> Result<Findings> {
    let objectives = [Objective::Plain, Objective::R1, Objective::Drop];
    let jobs = setting.seeds().flat_map(|seed| objectives.map(|objective| (seed, objective)));
    let runs = setting.each(jobs, |(seed, objective)| digits(setting, seed, objective))?;
    let of = |place: usize, value: fn(&Digits) -> f64| {
        statistics::mean(&runs.iter().skip(place).step_by(objectives.len()).map(value).collect::<Vec<_>>())
    };
    let accuracy = |place| 100.0 * of(place, |run| run.accuracy);
    let (gain, explicit) = (accuracy(2) - accuracy(0), accuracy(1) - accuracy(0));
    let mut findings = Findings::new();
    findings.check(Check::at_least("gain of dropout in test accuracy", gain, 0.5).unit(" points")).check(
        // As a share it would hold for two losses as well.
        Check::at_least("gain of loss + R1 less half of dropout's", explicit - 0.5 * gain.max(0.0), 0.0)
            .unit(" points"),
    );
    for (place, objective) in objectives.iter().enumerate() {
        findings.note(format!(
            "{}: training loss {:.4}, test accuracy {:.2} %",
            objective.name(),
            of(place, |run| run.train_loss),
            accuracy(place)
        ));
    }
    let rows: Vec<Vec<f64>> =
        runs.chunks(objectives.len()).map(|seed| seed.iter().map(|run| 100.0 * run.accuracy).collect()).collect();
    findings.figure(
        Figure::bars("500 digits of MNIST", &objectives.map(Objective::name), "test accuracy, %")
            .caption("Mean and standard deviation over seeds.")
            .heights_over_seeds("test", &rows),
    );
    Ok(findings)
}

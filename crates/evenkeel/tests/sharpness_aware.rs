//! Sharpness-aware minimization against its closed form on quadratics and against gradients taken by hand.
#![allow(clippy::unwrap_used)]

mod common;

use common::StopAfter;
use evenkeel::config::{Config, DropoutLayers, DropoutMasks, Initialization, Loss, NormKind, NormMode, Override};
use evenkeel::curvature::Curvature;
use evenkeel::experiment::Experiment;
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::nn::{Context, Dropout, Initial, Model, NormSettings};
use evenkeel::objective::Term;
use evenkeel::optim::{Sgd, SharpnessAware};
use evenkeel::regularize::ParameterNorm;
use evenkeel::store::Run;
use evenkeel::train::{Trainer, TrainerOptions, train};
use evenkeel::{Batch, Network, Noise, State};

const SAMPLES: usize = 8;

fn network(model: impl Model + 'static, input: &[usize]) -> Network {
    Network::with(Box::new(model), input, DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap()
}

fn batch(input: usize) -> Batch {
    let mut random = Key::new(1, "test", 0).random();
    let inputs = (0..SAMPLES * input).map(|_| random.normal_f64()).collect();
    let labels = (0..SAMPLES as i32).map(|n| n % 3).collect();
    Batch { inputs: Tensor::new([SAMPLES, input], inputs).unwrap(), labels: Tensor::new([SAMPLES], labels).unwrap() }
}

/// The parameters after one step from a state.
fn stepped(network: &Network, state: &State, samples: &Batch, how: SharpnessAware, rate: f64) -> (Vec<f64>, Vec<f64>) {
    let options = TrainerOptions::new(Sgd::PLAIN).sharpness_aware(how);
    let mut trainer = Trainer::with(network, options, samples.len(), state.clone()).unwrap();
    trainer.set_noise(Noise { seed: 4, step: 3 });
    trainer.step(samples, rate).unwrap();
    let flat = |tensors: &[Tensor]| tensors.iter().flat_map(Tensor::to_f64).collect();
    (flat(trainer.parameters()), flat(trainer.buffers()))
}

#[track_caller]
fn near(found: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len());
    let apart = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart <= tolerance, "{apart:e}: {found:?} {wanted:?}");
}

/// ½ Σ hᵢ wᵢ² with h = (1, 3), or ½ · 2 w².
struct Quadratic(usize);

impl Model for Quadratic {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let (graph, samples) = (cx.graph(), x.shape()[0]);
        let h = if self.0 == 1 { vec![2.0] } else { vec![1.0, 3.0] };
        let h = graph.constant(Tensor::new([self.0], h).unwrap());
        let loss = (cx.param("w", [self.0], Initial::Constant(1.0)).square() * h).sum_all() * 0.5;
        cx.add_loss(loss.broadcast_to(&[samples].into()));
        graph.splat(0.0, [samples, 3], DType::F64)
    }
}

#[test]
fn on_quadratics_the_step_is_that_of_the_closed_form() {
    let one = |size: usize, rho: f64| {
        let network = network(Quadratic(size), &[1]);
        let state = network.initial_state(Initialization::He, 0);
        stepped(&network, &state, &batch(1), SharpnessAware { rho, adaptive: false }, 0.1).0
    };
    // w − η h (w + ρ sign w), and for two numbers with g / ‖g‖ = (1, 3) / √10.
    near(&one(1, 0.05), &[0.79], 1e-12);
    near(&one(2, 0.1), &[0.89683772, 0.67153950], 1e-8);
    near(&one(1, 0.0), &[0.8], 1e-15);
}

fn mlp<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let hidden = cx.normalize(NormKind::Batch, "norm1", cx.linear("fc1", x, 6));
    cx.linear("head", cx.tap("act1", hidden.tanh()), 3)
}

#[test]
fn the_gradient_is_that_at_the_ascended_parameters_with_the_same_masks_and_terms() {
    let penalty = || Box::new(ParameterNorm { weight: 0.1, parameters: "*.weight".into() }) as Box<dyn Term>;
    let dropout = Dropout { rate: 0.3, masks: DropoutMasks::PerSample };
    let network =
        network(mlp, &[4]).with_dropout(dropout, DropoutLayers::All).unwrap().with_terms([penalty()]).unwrap();
    let (state, samples) = (network.initial_state(Initialization::He, 3), batch(4));
    let noise = Some(Noise { seed: 4, step: 3 });
    let gradient = |state: &State| {
        let mut curvature =
            Curvature::with_noise(&network, NormMode::Batch, samples.clone(), state.clone(), noise).unwrap();
        curvature.gradient().unwrap().1
    };
    let p: Vec<f64> = state.parameters.iter().flat_map(Tensor::to_f64).collect();
    let g = gradient(&state);
    for adaptive in [false, true] {
        let rho = if adaptive { 0.5 } else { 0.05 };
        let size = |p: f64| if adaptive { p.abs() } else { 1.0 };
        let norm = p.iter().zip(&g).map(|(p, g)| (size(*p) * g).powi(2)).sum::<f64>().sqrt();
        let there: Vec<f64> = p.iter().zip(&g).map(|(p, g)| p + rho * size(*p).powi(2) * g / norm).collect();
        let mut rest = &there[..];
        let parameters = state.parameters.iter().map(|tensor| {
            let (head, tail) = rest.split_at(tensor.shape().elements());
            rest = tail;
            Tensor::from_f64(tensor.shape(), DType::F64, head).unwrap()
        });
        let there = State { parameters: parameters.collect(), buffers: state.buffers.clone() };
        let wanted: Vec<f64> = p.iter().zip(gradient(&there)).map(|(p, g)| p - 0.2 * g).collect();
        let (found, buffers) = stepped(&network, &state, &samples, SharpnessAware { rho, adaptive }, 0.2);
        near(&found, &wanted, 1e-12);
        // Statistics are those of the parameters themselves.
        let (_, usual) = stepped(&network, &state, &samples, SharpnessAware { rho: 0.0, adaptive }, 0.2);
        assert_eq!(buffers, usual);
    }
}

#[test]
fn a_run_resumes_to_its_bits_and_ends_in_a_flatter_place() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = |rho: f64| {
        let rho = format!("sharpness_aware.rho={rho}");
        let words = [
            "model=mlp:24",
            "norm=none",
            "epochs=40",
            "data.limit=320",
            "data.test_limit=80",
            "optimizer.momentum=0.5",
            "measure.every=0",
            &rho,
        ];
        let overrides: Vec<Override> = words.iter().map(|word| Override::set(word).unwrap()).collect();
        let config = Config::resolve(None, &overrides).unwrap();
        Experiment::new(config).unwrap()
    };
    let [whole, broken, plain] = ["whole", "broken", "plain"].map(|name| folder.path().join(name));
    let sharp = train(&experiment(0.0), &plain, false, &mut ()).unwrap();
    let flat = train(&experiment(0.3), &whole, false, &mut ()).unwrap();
    assert!(flat.lambda_max.unwrap() < 0.8 * sharp.lambda_max.unwrap(), "{flat:?} {sharp:?}");
    assert!(train(&experiment(0.3), &broken, false, &mut StopAfter(7)).is_err());
    train(&experiment(0.3), &broken, true, &mut ()).unwrap();
    let last = |dir| Run::open(dir).unwrap().load_latest().unwrap().found.unwrap().1.parameters;
    assert_eq!(last(&whole), last(&broken));
}

/// −√(1.3 − w), whose slope at w + ρ is no number.
fn root<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let (graph, samples) = (cx.graph(), x.shape()[0]);
    let w = cx.param("w", [1], Initial::Constant(1.0));
    let loss = -(w.like(1.3) - w).sqrt().sum_all();
    cx.add_loss(loss.broadcast_to(&[samples].into()));
    graph.splat(0.0, [samples, 3], DType::F64)
}

#[test]
fn a_second_gradient_that_is_not_finite_is_told_and_changes_nothing() {
    // regression: the update was left out without a word
    let network = network(root, &[1]);
    let state = network.initial_state(Initialization::He, 0);
    let options = TrainerOptions::new(Sgd::PLAIN).sharpness_aware(SharpnessAware { rho: 0.5, adaptive: false });
    let mut trainer = Trainer::with(&network, options, SAMPLES, state.clone()).unwrap();
    let found = trainer.step(&batch(1), 0.1).unwrap();
    assert!(!found.is_finite() && found.loss.is_finite(), "{found:?}");
    assert_eq!(trainer.parameters(), state.parameters);
    assert!(trainer.diagnose(&batch(1)).unwrap().is_some());
}

//! What is made of rules and around them: closed forms of the papers, networks small enough to know the answers, and runs that resume.
#![allow(clippy::unwrap_used)]

mod averaging;
#[path = "../common/mod.rs"]
mod common;
mod entropy_sgd;
mod label_smoothing;
mod micro_batches;
mod resume;
mod spherical;
mod weight_rescaling;

use evenkeel::config::{Config, Loss, NormKind, NormMode, Override};
use evenkeel::experiment::Experiment;
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::nn::{Context, Initial, Model, NormSettings};
use evenkeel::{Batch, Network, State};

/// ½ h ‖w‖² + ⟨c, w⟩, of `len` numbers that are 1 at first.
struct Quadratic {
    h: f64,
    c: f64,
    len: usize,
}

impl Model for Quadratic {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let (graph, samples) = (cx.graph(), x.shape()[0]);
        let w = cx.param("w", [self.len], Initial::Constant(1.0));
        let loss = w.square().sum_all() * (0.5 * self.h) + w.sum_all() * self.c;
        cx.add_loss(loss.broadcast_to(&[samples].into()));
        graph.splat(0.0, [samples, 3], DType::F64)
    }
}

fn network(model: impl Model + 'static, input: &[usize], epsilon: f64) -> Network {
    let norm = NormSettings { epsilon, ..NormSettings::default() };
    Network::with(Box::new(model), input, DType::F64, Loss::CrossEntropy, norm).unwrap()
}

/// Three layers of which two have a norm behind them.
fn normed(norm: NormKind) -> Network {
    let layers = model(move |cx, x| traced(cx, x, norm));
    network(layers, &[5], 0.0)
}

fn model<F: for<'g> Fn(&Context<'g>, Var<'g>) -> Var<'g>>(layers: F) -> F {
    layers
}

fn traced<'g>(cx: &Context<'g>, x: Var<'g>, norm: NormKind) -> Var<'g> {
    let x = cx.normalize(norm, "norm1", cx.linear("fc1", x, 6)).tanh();
    let x = cx.normalize(norm, "norm2", cx.linear("fc2", x, 4)).tanh();
    cx.linear("head", x, 3)
}

/// Random samples of three classes.
fn samples(count: usize, input: usize, seed: u64) -> Batch {
    let mut random = Key::new(seed, "test", 0).random();
    let inputs = (0..count * input).map(|_| random.normal_f64()).collect();
    let labels = (0..count as i32).map(|n| n % 3).collect();
    Batch { inputs: Tensor::new([count, input], inputs).unwrap(), labels: Tensor::new([count], labels).unwrap() }
}

fn flat(tensors: &[Tensor]) -> Vec<f64> {
    tensors.iter().flat_map(Tensor::to_f64).collect()
}

#[track_caller]
fn near(found: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len());
    let apart = found.iter().zip(wanted).map(|(a, b)| (a - b).abs() / (1.0 + b.abs()));
    let apart = apart.fold(0.0, |largest: f64, apart| if apart.is_nan() { apart } else { largest.max(apart) });
    assert!(apart <= tolerance, "{apart:e}\n{found:?}\n{wanted:?}");
}

/// The mean loss and its gradient where norms take the statistics of the batch.
fn gradient(network: &Network, samples: &Batch, state: &State) -> Vec<f64> {
    let point = evenkeel::curvature::Curvature::new(network, NormMode::Batch, samples.clone(), state.clone());
    point.unwrap().gradient().unwrap().1
}

fn config(settings: &[&str]) -> Config {
    let overrides: Vec<Override> = settings.iter().map(|text| Override::set(text).unwrap()).collect();
    Config::resolve(None, &overrides).unwrap()
}

/// A run of 15 steps.
fn experiment(settings: &[&str]) -> Experiment {
    let base = ["model=mlp:12", "epochs=3", "data.limit=320", "data.test_limit=40", "measure.samples=40"];
    Experiment::new(config(&[&base, settings].concat())).unwrap()
}

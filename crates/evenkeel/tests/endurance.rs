//! Ten thousand steps and ten thousand products take the memory that the first few took.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Activation, Initialization, Loss, NormKind, NormMode};
use evenkeel::curvature::Curvature;
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor};
use evenkeel::models::Mlp;
use evenkeel::nn::NormSettings;
use evenkeel::optim::Sgd;
use evenkeel::train::Trainer;
use evenkeel::{Batch, Network};
use std::sync::Mutex;

/// The memory measured is the whole process's, so nothing else may run meanwhile.
static ALONE: Mutex<()> = Mutex::new(());

/// What is measured against, after this many calls.
const WARM_UP: usize = 1_000;
const CALLS: usize = 10_000;
/// A hundred bytes lost a call would be a million.
const ALLOWED_BYTES: usize = 1_000_000;

/// Bytes of memory this process has, where the system tells.
fn resident_bytes() -> Option<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    pages.split_whitespace().nth(1)?.parse::<usize>().ok().map(|pages| pages * 4096)
}

fn network() -> Network {
    let model = Mlp { widths: vec![6], norm: NormKind::Batch, activation: Some(Activation::Tanh), classes: 3 };
    Network::with(Box::new(model), &[5], DType::F32, Loss::CrossEntropy, NormSettings::default()).unwrap()
}

fn batch(count: usize) -> Batch {
    let mut random = Key::new(1, "samples", 0).random();
    let inputs = (0..count * 5).map(|_| random.normal_f64() as f32).collect();
    let labels = (0..count).map(|n| (n % 3) as i32).collect();
    Batch { inputs: Tensor::new([count, 5], inputs).unwrap(), labels: Tensor::new([count], labels).unwrap() }
}

/// Makes the call many times and compares the memory before and after.
fn takes_no_memory(what: &str, mut call: impl FnMut()) {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    (0..WARM_UP).for_each(|_| call());
    let Some(before) = resident_bytes() else {
        eprintln!("skipped: there is no /proc/self/statm to read the memory from");
        return;
    };
    (0..CALLS).for_each(|_| call());
    let grown = resident_bytes().unwrap().saturating_sub(before);
    assert!(grown < ALLOWED_BYTES, "{CALLS} {what} took {grown} bytes");
}

#[test]
fn ten_thousand_steps_take_no_memory() {
    let network = network();
    let state = network.initial_state(Initialization::He, 1);
    let sgd = Sgd { momentum: 0.9, weight_decay: 1e-3, ..Sgd::PLAIN };
    let batch = batch(8);
    let mut trainer = Trainer::new(&network, sgd, 8, state).unwrap();
    takes_no_memory("steps", || assert!(trainer.step(&batch, 0.01).unwrap().is_finite()));
}

#[test]
fn ten_thousand_hessian_products_take_no_memory() {
    let network = network();
    let state = network.initial_state(Initialization::He, 1);
    let direction = vec![0.1; network.parameter_count()];
    let mut curvature = Curvature::new(&network, NormMode::Batch, batch(8), state).unwrap();
    let first = curvature.hessian_product(&direction).unwrap();
    takes_no_memory("products", || assert!(curvature.hessian_product(&direction).unwrap() == first));
}

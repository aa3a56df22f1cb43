//! Times a training step with and without batch entropy, one after the other, many times.
//!
//! `cargo run --release -p evenkeel --example term_speed [MODEL] [BATCH]`, with ResNet-20 and 128 when nothing is said.

use evenkeel::config::{Activation, Initialization, Loss, ModelSpec, NormKind};
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor};
use evenkeel::nn::NormSettings;
use evenkeel::objective::Term;
use evenkeel::optim::Sgd;
use evenkeel::regularize::BatchEntropy;
use evenkeel::train::Trainer;
use evenkeel::{Batch, Error, Network, Result, models};
use std::time::Instant;

const SECONDS: f64 = 8.0;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let spec: ModelSpec = words.next().as_deref().unwrap_or("resnet20").parse()?;
    let size: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(128);
    let input: &[usize] = if spec.name == "mlp" { &[28, 28, 1] } else { &[32, 32, 3] };
    let build = || {
        let model = models::build(&spec, NormKind::Batch, Activation::Relu, 10);
        Network::with(model, input, DType::F32, Loss::CrossEntropy, NormSettings::default())
    };
    let term: Box<dyn Term> = Box::new(BatchEntropy::new(0.1, 0.5, 0.2)?);
    let networks = [build()?, build()?.with_terms([term])?];
    let mut random = Key::new(0, "inputs", 0).random();
    let pixels: Vec<f32> = (0..size * input.iter().product::<usize>()).map(|_| random.normal_f64() as f32).collect();
    let labels: Vec<i32> = (0..size as i32).map(|sample| sample % 10).collect();
    let batch = match (Tensor::new([&[size], input].concat(), pixels), Tensor::new([size], labels)) {
        (Some(inputs), Some(labels)) => Batch { inputs, labels },
        _ => return Err(Error::input("the batch is too large")),
    };
    let mut trainers = Vec::new();
    for network in &networks {
        let state = network.initial_state(Initialization::He, 0);
        trainers.push(Trainer::new(network, Sgd { momentum: 0.9, ..Sgd::PLAIN }, size, state)?);
    }
    let (start, mut seconds) = (Instant::now(), [vec![], vec![]]);
    while start.elapsed().as_secs_f64() < SECONDS {
        for (trainer, seconds) in trainers.iter_mut().zip(&mut seconds) {
            let start = Instant::now();
            trainer.step(&batch, 1e-6)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let [plain, regularized] = seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        1e3 * seconds[seconds.len() / 2]
    });
    println!(
        "{spec}, batch {size}: {plain:.2} ms a step, {regularized:.2} ms with batch entropy: {:.3} times",
        regularized / plain
    );
    Ok(())
}

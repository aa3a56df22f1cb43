//! What an iteration of GradInit costs in gradients: `cargo run --release -p evenkeel --example gradinit_cost [MODEL] [NORM] [BATCH]`.

use evenkeel::bench::{Bench, Settings, What};
use evenkeel::config::{Activation, Initialization, Loss, ModelSpec, NormKind};
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor};
use evenkeel::init::GradInit;
use evenkeel::nn::NormSettings;
use evenkeel::{Batch, Network, Result, models};
use std::ops::ControlFlow;
use std::time::Instant;

/// Iterations that are timed, after as many that are not.
const ITERATIONS: usize = 6;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model: ModelSpec = arguments.next().as_deref().unwrap_or("resnet20").parse()?;
    let norm: NormKind = arguments.next().as_deref().unwrap_or("none").parse()?;
    let batch = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(128);
    let settings = Settings { norm, batch_size: batch, ..Settings::new(model.clone(), What::Grad) };
    let input = settings.input.clone();
    let gradient = Bench::new(settings)?.measure(Some(ITERATIONS))?.median_ms;
    println!("{model}, norm {norm}, batch {batch}: a gradient {gradient:.1} ms");

    let built = models::build(&model, norm, Activation::Relu, 10);
    let network = Network::with(built, &input, DType::F32, Loss::CrossEntropy, NormSettings::default())?;
    let samples = samples(2 * batch, &input);
    for (name, bound) in [("within the bound", f64::INFINITY), ("beyond it", f64::MIN_POSITIVE)] {
        let how = GradInit { batch, gradient_bound: bound, iterations: 2 * ITERATIONS, ..GradInit::default() };
        let mut times = Vec::new();
        let mut last = Instant::now();
        let state = network.initial_state(Initialization::He, 0);
        how.run(&network, state, &samples, &mut |_| {
            times.push(last.elapsed().as_secs_f64() * 1e3);
            last = Instant::now();
            ControlFlow::Continue(())
        })?;
        let mut timed = times.split_off(ITERATIONS);
        timed.sort_by(f64::total_cmp);
        let median = timed[ITERATIONS / 2];
        println!("  an iteration {name}: {median:.1} ms, {:.2} gradients", median / gradient);
    }
    Ok(())
}

fn samples(count: usize, shape: &[usize]) -> Batch {
    let mut random = Key::new(0, "samples", 0).random();
    let length: usize = shape.iter().product();
    let inputs: Vec<f64> = (0..count * length).map(|_| random.normal_f64()).collect();
    let labels: Vec<i32> = (0..count).map(|_| random.below(10) as i32).collect();
    let shape = [&[count], shape].concat();
    let inputs =
        Tensor::from_f64(&shape[..], DType::F32, &inputs).unwrap_or_else(|| Tensor::zeros(&shape[..], DType::F32));
    let labels = Tensor::new([count], labels).unwrap_or_else(|| Tensor::zeros([count], DType::I32));
    Batch { inputs, labels }
}

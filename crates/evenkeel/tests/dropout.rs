//! Dropout: one mask a step, drawn again for every derivative of that step's loss, and none where nothing is trained.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Initialization, Loss, NormMode};
use evenkeel::curvature::Curvature;
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::nn::{Context, NormSettings};
use evenkeel::optim::Sgd;
use evenkeel::train::Trainer;
use evenkeel::{Batch, Network, Noise, State};

fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let hidden = cx.dropout("drop1", cx.linear("fc1", x, 12).tanh(), 0.25);
    cx.linear("head", cx.dropout("drop2", cx.linear("fc2", hidden, 9).tanh(), 0.5), 3)
}

fn network() -> Network {
    Network::with(Box::new(model), &[5], DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap()
}

fn batch(seed: u64) -> Batch {
    let mut random = Key::new(seed, "samples", 0).random();
    let inputs = (0..40).map(|_| random.normal_f64()).collect::<Vec<_>>();
    let labels = (0..8).map(|_| random.below(3) as i32).collect::<Vec<_>>();
    Batch { inputs: Tensor::new([8, 5], inputs).unwrap(), labels: Tensor::new([8], labels).unwrap() }
}

fn trained(
    network: &Network,
    from: Option<(State, Vec<Tensor>)>,
    steps: std::ops::Range<u64>,
    seed: u64,
) -> Trainer<'_> {
    let sgd = Sgd { momentum: 0.9, ..Sgd::PLAIN };
    let mut trainer = Trainer::new(network, sgd, 8, network.initial_state(Initialization::Glorot, 1)).unwrap();
    if let Some((state, velocities)) = from {
        trainer.set_state(state, Some(velocities)).unwrap();
    }
    trainer.set_noise(Noise { seed, step: steps.start });
    for step in steps {
        trainer.step(&batch(step), 0.1).unwrap();
    }
    trainer
}

#[test]
fn training_goes_on_with_the_masks_it_would_have_had() {
    let network = network();
    let whole = trained(&network, None, 0..6, 3);
    let half = trained(&network, None, 0..2, 3);
    let resumed = trained(&network, Some((half.state(), half.optimizer_state().to_vec())), 2..6, 3);
    assert_eq!(whole.parameters(), resumed.parameters());
    let other = trained(&network, None, 0..6, 4);
    assert_ne!(whole.parameters(), other.parameters(), "another seed has other masks");
}

#[test]
fn a_hessian_product_sees_the_masks_of_its_step() {
    let network = network();
    let state = network.initial_state(Initialization::Glorot, 1);
    let noise = Noise { seed: 3, step: 5 };
    let at = |state: &State| {
        Curvature::with_noise(&network, NormMode::Running, batch(0), state.clone(), Some(noise)).unwrap()
    };
    let (loss, gradient) = at(&state).gradient().unwrap();

    let mut trainer = trained(&network, None, 0..0, 3);
    trainer.set_noise(noise);
    let step = trainer.step(&batch(0), 0.0).unwrap();
    assert!((step.loss - loss).abs() < 1e-14 * loss, "step {} curvature {loss}", step.loss);
    let (quiet, _) = Curvature::new(&network, NormMode::Running, batch(0), state.clone()).unwrap().gradient().unwrap();
    assert!((quiet - loss).abs() > 1e-3, "no mask was drawn");

    let mut random = Key::new(9, "direction", 0).random();
    let direction: Vec<f64> = gradient.iter().map(|_| random.normal_f64()).collect();
    let product = at(&state).hessian_product(&direction).unwrap();
    let moved = |by: f64| {
        let mut rest = &direction[..];
        let parameters = state.parameters.iter().map(|tensor| {
            let (head, tail) = rest.split_at(tensor.shape().elements());
            rest = tail;
            let values: Vec<f64> = tensor.to_f64().iter().zip(head).map(|(value, d)| value + by * d).collect();
            Tensor::new(tensor.shape(), values).unwrap()
        });
        at(&State { parameters: parameters.collect(), buffers: vec![] }).gradient().unwrap().1
    };
    let (up, down) = (moved(1e-6), moved(-1e-6));
    let norm = product.iter().map(|p| p * p).sum::<f64>().sqrt();
    let off = up.iter().zip(&down).zip(&product).map(|((up, down), p)| ((up - down) / 2e-6 - p).powi(2)).sum::<f64>();
    assert!(off.sqrt() < 1e-6 * norm, "off by {} of {norm}", off.sqrt());
}

#[test]
fn a_mask_drops_its_share_and_keeps_the_mean() {
    let rate = 0.3;
    fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.dropout("drop", x, 0.3) + cx.param("unused", [1], evenkeel::nn::Initial::Constant(0.0))
    }
    let network =
        Network::with(Box::new(model), &[20_000], DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap();
    let state = network.initial_state(Initialization::He, 0);
    let samples = Batch {
        inputs: Tensor::new([1, 20_000], vec![1.0; 20_000]).unwrap(),
        labels: Tensor::new([1], vec![0]).unwrap(),
    };
    let logits = |noise| {
        let curvature =
            Curvature::with_noise(&network, NormMode::Running, samples.clone(), state.clone(), noise).unwrap();
        curvature.logits().unwrap().to_f64()
    };
    let masked = logits(Some(Noise { seed: 1, step: 2 }));
    let dropped = masked.iter().filter(|&&value| value == 0.0).count() as f64 / 20_000.0;
    assert!((dropped - rate).abs() < 0.015, "{dropped}");
    assert!(masked.iter().all(|&value| value == 0.0 || (value - 1.0 / 0.7).abs() < 1e-15));
    assert!((masked.iter().sum::<f64>() / 20_000.0 - 1.0).abs() < 0.02);
    assert!(logits(None).iter().all(|&value| value == 1.0));
    assert_ne!(masked, logits(Some(Noise { seed: 1, step: 3 })));
}

#[test]
fn a_rate_that_drops_everything_is_refused() {
    fn all<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.dropout("drop", x, 1.0)
    }
    let error = Network::new(all, &[4]).err().unwrap().to_string();
    assert!(error.contains("at least 0 and below 1") && error.contains("drop"), "{error}");
}

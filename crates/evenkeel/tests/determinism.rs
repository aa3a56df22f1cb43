//! The zoo's networks: the same bits on one, two and four threads and in every run; one sample is as good as two alike.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Activation, Initialization, Loss, ModelSpec, NormKind, NormMode};
use evenkeel::curvature::{Curvature, Product};
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor};
use evenkeel::nn::NormSettings;
use evenkeel::optim::Sgd;
use evenkeel::train::Trainer;
use evenkeel::{Batch, Network, models};

fn network(model: &str, image: &[usize], norm: NormKind, dtype: DType) -> Network {
    let spec: ModelSpec = model.parse().unwrap();
    let model = models::build(&spec, norm, Activation::Relu, 10);
    Network::with(model, image, dtype, Loss::CrossEntropy, NormSettings::default()).unwrap()
}

fn samples(network: &Network, count: usize) -> Batch {
    let shape = [&[count], network.input_shape()].concat();
    let mut random = Key::new(5, "samples", 0).random();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal_f64()).collect();
    let labels = (0..count).map(|n| (n * 7 % 10) as i32).collect();
    Batch {
        inputs: Tensor::from_f64(shape, network.dtype(), &values).unwrap(),
        labels: Tensor::new([count], labels).unwrap(),
    }
}

fn direction(network: &Network) -> Vec<f64> {
    let mut random = Key::new(6, "direction", 0).random();
    (0..network.parameter_count()).map(|_| random.normal_f64()).collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Two steps, then loss, gradient and both products at the state they led to.
fn everything(network: &Network, batch: &Batch) -> Vec<Vec<u64>> {
    let state = network.initial_state(Initialization::He, 1);
    let sgd = Sgd { momentum: 0.9, weight_decay: 1e-3, ..Sgd::PLAIN };
    let mut trainer = Trainer::new(network, sgd, batch.len(), state).unwrap();
    let mut found: Vec<Vec<u64>> = Vec::new();
    for _ in 0..2 {
        let step = trainer.step(batch, 0.01).unwrap();
        assert!(step.is_finite());
        found.push(bits(&[step.loss, step.accuracy, step.gradient_norm]));
    }
    let tensors = trainer.parameters().iter().chain(trainer.optimizer_state()).chain(trainer.buffers());
    found.extend(tensors.map(|tensor| bits(&tensor.to_f64())));
    let mut curvature = Curvature::new(network, NormMode::Batch, batch.clone(), trainer.state()).unwrap();
    let v = direction(network);
    for _ in 0..2 {
        let (loss, gradient) = curvature.gradient().unwrap();
        let products = [Product::Hessian, Product::GaussNewton].map(|which| curvature.product(which, &v).unwrap());
        found.extend([bits(&[loss]), bits(&gradient), bits(&products[0]), bits(&products[1])]);
    }
    let (first, second) = found[found.len() - 8..].split_at(4);
    assert!(first == second, "a second evaluation differs from the first");
    found
}

fn is_the_same_on_any_number_of_threads(model: &str, image: &[usize], count: usize) {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let network = network(model, image, NormKind::Batch, DType::F32);
            everything(&network, &samples(&network, count))
        })
    };
    let one = on(1);
    for threads in [2, 4] {
        let other = on(threads);
        let differing = one.iter().zip(&other).position(|(a, b)| a != b);
        assert_eq!((differing, one.len()), (None, other.len()), "{model} on {threads} threads");
    }
}

#[test]
fn an_mlp_has_the_same_bits_on_any_number_of_threads() {
    is_the_same_on_any_number_of_threads("mlp:300-200", &[14, 14, 1], 37);
}

#[test]
fn vgg11_has_the_same_bits_on_any_number_of_threads() {
    is_the_same_on_any_number_of_threads("vgg11", &[32, 32, 3], 3);
}

#[test]
fn resnet20_has_the_same_bits_on_any_number_of_threads() {
    is_the_same_on_any_number_of_threads("resnet20", &[20, 20, 3], 5);
}

#[test]
fn one_sample_gives_what_two_alike_give() {
    let zoo: [(&str, &[usize]); 4] =
        [("mlp:20", &[6, 6, 1]), ("deep-linear:8", &[6]), ("vgg11", &[32, 32, 3]), ("resnet20", &[8, 8, 3])];
    for (model, image) in zoo {
        // Where a norm takes part, its statistics are given: one sample has none of its own.
        for (norm, mode) in [(NormKind::None, NormMode::Batch), (NormKind::Batch, NormMode::Running)] {
            let network = network(model, image, norm, DType::F64);
            let one = samples(&network, 1);
            let twice = [one.inputs.to_f64(), one.inputs.to_f64()].concat();
            let two = Batch {
                inputs: Tensor::from_f64([&[2], image].concat(), DType::F64, &twice).unwrap(),
                labels: Tensor::new([2], vec![0i32; 2]).unwrap(),
            };
            let state = network.initial_state(Initialization::He, 2);
            let v = direction(&network);
            let [a, b] = [one, two].map(|batch| {
                let mut curvature = Curvature::new(&network, mode, batch, state.clone()).unwrap();
                let (loss, gradient) = curvature.gradient().unwrap();
                [vec![loss], gradient, curvature.hessian_product(&v).unwrap()].concat()
            });
            let size = a.iter().fold(0.0f64, |size, x| size.max(x.abs()));
            let off = a.iter().zip(&b).fold(0.0f64, |off, (a, b)| off.max((a - b).abs()));
            assert!(size.is_finite() && size > 0.0 && off <= 1e-12 * size, "{model}: {off} of {size}");
        }
    }
}

#[test]
fn a_batch_of_one_can_be_trained_on() {
    let zoo: [(&str, &[usize]); 4] =
        [("mlp:20", &[6, 6, 1]), ("deep-linear:8", &[6]), ("vgg11", &[32, 32, 3]), ("resnet20", &[8, 8, 3])];
    for (model, image) in zoo {
        let network = network(model, image, NormKind::None, DType::F32);
        let batch = samples(&network, 1);
        let state = network.initial_state(Initialization::He, 3);
        let mut trainer = Trainer::new(&network, Sgd::PLAIN, 1, state).unwrap();
        // A short way against the gradient makes the loss less, by about its length times the gradient's.
        let first = trainer.step(&batch, 0.0).unwrap();
        let rate = 1e-3 * first.loss / first.gradient_norm.powi(2);
        trainer.step(&batch, rate).unwrap();
        let second = trainer.step(&batch, 0.0).unwrap();
        let expected = rate * first.gradient_norm.powi(2);
        let gained = first.loss - second.loss;
        assert!((0.5..1.5).contains(&(gained / expected)), "{model}: {gained} of {expected}");
    }
}

//! Batch entropy and its term against closed forms, in f64.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Initialization, Loss, NormMode};
use evenkeel::curvature::Curvature;
use evenkeel::graph::{DType, Graph, Tensor, Var};
use evenkeel::nn::{Context, NormSettings};
use evenkeel::objective::Term;
use evenkeel::optim::Sgd;
use evenkeel::regularize::batch_entropy::{self, ALPHAS, flow};
use evenkeel::regularize::{BatchEntropy, Layers};
use evenkeel::train::Trainer;
use evenkeel::{Batch, Network};
use evenkeel_cpu::{Options, Program};

fn tensor(shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_f64(shape, DType::F64, values).unwrap()
}

/// Repeatable numbers in [-1, 1).
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut random = evenkeel::graph::random::Key::new(seed, "test", 0).random();
    (0..count).map(|_| 2.0 * random.uniform_f64() - 1.0).collect()
}

fn value(var: Var<'_>) -> Vec<f64> {
    let function = var.graph().function(&[("value", var)]).unwrap();
    let mut program = Program::compile(&function, &Options::default()).unwrap();
    let mut results = program.new_outputs();
    program.run(&[], &mut results).unwrap();
    results[0].to_f64()
}

fn entropy(shape: &[usize], values: &[f64]) -> f64 {
    let graph = Graph::new();
    value(batch_entropy::of_layer(graph.constant(tensor(shape, values))).unwrap())[0]
}

fn close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} is not {b}");
}

#[test]
fn a_unit_of_a_known_deviation_has_the_entropy_of_the_formula() {
    let cases = [(0.0, 0.0), (0.1, 0.040_973_1), (0.5, 0.571_304_0), (1.0, 1.127_732_8), (2.0, 1.779_939_4)];
    for (deviation, wanted) in cases {
        // Of m − d and m + d the unbiased variance is 2 d².
        let half = deviation / 2.0_f64.sqrt();
        close(entropy(&[2, 1], &[3.0 - half, 3.0 + half]), wanted, 5e-8);
    }
    close(entropy(&[2, 2], &[0.0, 1.0, 2.0, 1.0]), 0.723_694_2, 5e-8);
}

#[test]
fn the_deviation_that_meets_a_target_meets_it() {
    let cases =
        [(0.2, 0.239_984), (0.5, 0.448_565), (1.0, 0.864_960), (1.5, 1.494_962), (2.0, 2.505_260), (2.6, 4.594_542)];
    for (target, deviation) in cases {
        let half = deviation / 2.0_f64.sqrt();
        close(entropy(&[2, 1], &[-half, half]), target, 1e-6);
    }
}

#[test]
fn every_position_of_a_map_is_a_unit_of_its_own() {
    let values = numbers(4 * 2 * 3 * 5, 1);
    let graph = Graph::new();
    let map = graph.constant(tensor(&[4, 2, 3, 5], &values));
    let units = batch_entropy::of_units(map).unwrap();
    assert_eq!(units.shape()[..], [2, 3, 5]);
    let flat = value(batch_entropy::of_units(graph.constant(tensor(&[4, 30], &values))).unwrap());
    assert_eq!(value(units), flat);
    close(entropy(&[4, 2, 3, 5], &values), flat.iter().sum::<f64>() / 30.0, 1e-15);
}

#[test]
fn shifts_and_orders_change_nothing_copies_the_divisor_and_a_large_scale_adds_its_logarithm() {
    let (samples, units) = (6, 5);
    let values = numbers(samples * units, 2);
    let at = |sample: usize, unit: usize| values[sample * units + unit];
    let table = |count: usize, of: &dyn Fn(usize, usize) -> f64| -> f64 {
        let values: Vec<f64> = (0..count * units).map(|place| of(place / units, place % units)).collect();
        entropy(&[count, units], &values)
    };
    let plain = entropy(&[samples, units], &values);
    close(table(samples, &|n, j| at(n, j) + 3.0 * j as f64 - 4.0), plain, 1e-12);
    close(table(samples, &|n, j| at((n + 4) % samples, j)), plain, 1e-14);
    close(table(samples, &|n, j| at(n, (j + 2) % units)), plain, 1e-14);
    // Each sample three times: s² times k (n − 1) / (k n − 1).
    let factor = 3.0 * (samples as f64 - 1.0) / (3.0 * samples as f64 - 1.0);
    close(table(3 * samples, &|n, j| at(n % samples, j)), table(samples, &|n, j| at(n, j) * factor.sqrt()), 1e-13);
    let (large, larger) = (table(samples, &|n, j| at(n, j) * 1e5), table(samples, &|n, j| at(n, j) * 7e5));
    close(larger - large, 7.0_f64.ln(), 1e-9);
}

#[test]
fn the_derivative_of_the_entropy_is_that_of_finite_differences_and_0_for_a_constant_unit() {
    let mut values = numbers(5 * 3, 3);
    for sample in 0..5 {
        values[sample * 3 + 1] = 0.25;
    }
    let graph = Graph::new();
    let layer = graph.constant(tensor(&[5, 3], &values));
    let entropy_of = batch_entropy::of_layer(layer).unwrap();
    let gradient = value(graph.vjp(&[entropy_of], &[layer], None).unwrap()[0]);
    for place in 0..15 {
        let moved = |by: f64| {
            let mut values = values.clone();
            values[place] += by;
            entropy(&[5, 3], &values)
        };
        close(gradient[place], (moved(1e-5) - moved(-1e-5)) / 2e-5, 1e-6);
        if place % 3 == 1 {
            assert_eq!(gradient[place], 0.0);
        }
    }
}

/// Total, penalty and derivative by α for a layer of two samples and one unit with entropy `entropy`.
fn one_layer(task: f64, term: &BatchEntropy, entropy: f64, alpha: f64) -> (f64, f64, f64) {
    let half = (((2.0 * entropy).exp() - 1.0) / (std::f64::consts::PI * std::f64::consts::E) / 2.0).sqrt();
    let graph = Graph::new();
    let constant = |shape: &[usize], values: &[f64]| graph.constant(tensor(shape, values));
    let alphas = constant(&[1], &[alpha]);
    let parts = term.of(constant(&[], &[task]), &[constant(&[2, 1], &[-half, half])], alphas).unwrap();
    let slope = graph.vjp(&[parts.total], &[alphas], None).unwrap()[0];
    (value(parts.total)[0], value(parts.penalty)[0], value(slope)[0])
}

#[test]
fn the_term_multiplies_the_loss_and_its_targets_learn_only_above_the_floor() {
    let term = BatchEntropy::new(0.5, 0.8, 0.5).unwrap();
    let (total, penalty, slope) = one_layer(1.2, &term, 0.723_694_2, 0.8);
    close(penalty, 0.002_911_28, 1e-8);
    close(total, 1.203_493_54, 1e-8);
    close(slope, -1.2 * 2.0 * 0.5 * (0.723_694_2 - 0.8), 1e-9);
    let (mirrored, _, back) = one_layer(1.2, &term, 0.723_694_2, -0.8);
    assert_eq!((mirrored, back), (total, -slope));
    for below in [0.4, 0.0, -0.49] {
        let (total, penalty, slope) = one_layer(1.2, &term, 0.723_694_2, below);
        close(penalty, 0.5 * (0.723_694_2_f64 - 0.5).powi(2), 1e-9);
        close(total, 1.2 * (1.0 + penalty), 1e-12);
        assert_eq!(slope, 0.0);
    }
    let (.., at_the_floor) = one_layer(1.2, &term, 0.723_694_2, 0.5);
    close(at_the_floor, -1.2 * 0.5 * (0.723_694_2 - 0.5), 1e-9);
    assert_eq!(one_layer(0.0, &term, 1.0, 0.8).0, 0.0);
    let off = BatchEntropy::new(0.0, 0.8, 0.5).unwrap();
    assert_eq!(one_layer(1.2, &off, 1.0, 0.8), (1.2, 0.0, 0.0));
}

#[test]
fn a_negative_loss_is_no_objective() {
    let term = BatchEntropy::new(0.5, 0.8, 0.5).unwrap();
    assert!(one_layer(-1.2, &term, 1.0, 0.8).0.is_nan());
}

#[test]
fn numbers_and_batches_without_meaning_are_refused() {
    for (weight, alpha, alpha_min) in [(-0.1, 0.5, 0.2), (0.1, 0.5, -0.2), (f64::NAN, 0.5, 0.2), (0.1, f64::NAN, 0.2)] {
        assert!(BatchEntropy::new(weight, alpha, alpha_min).is_err());
    }
    let graph = Graph::new();
    let one = graph.constant(tensor(&[1, 3], &[1.0, 2.0, 3.0]));
    let error = batch_entropy::of_units(one).unwrap_err().to_string();
    assert!(error.contains("at least 2 samples"), "{error}");
    let two = graph.constant(tensor(&[2, 1], &[1.0, 2.0]));
    let loss = graph.constant(Tensor::scalar(1.0_f64));
    let term = BatchEntropy::new(0.1, 0.5, 0.2).unwrap();
    let error = term.of(loss, &[two, two], graph.constant(tensor(&[1], &[0.5]))).unwrap_err().to_string();
    assert!(error.contains("at least 2 targets"), "{error}");
    // One target too many does no harm: it is not used.
    assert!(term.of(loss, &[two], graph.constant(tensor(&[2], &[0.5, 0.5]))).is_ok());
}

fn deep<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let mut x = x;
    for layer in 1..=3 {
        x = cx.tap(&format!("act{layer}"), cx.linear(&format!("fc{layer}"), x, 6).relu());
    }
    cx.linear("head", x, 3)
}

fn network() -> Network {
    Network::with(Box::new(deep), &[4], DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap()
}

fn regularized(term: BatchEntropy) -> Network {
    network().with_terms([Box::new(term) as Box<dyn Term>]).unwrap()
}

fn batch() -> Batch {
    let labels = (0..12).map(|n| n % 3).collect();
    Batch { inputs: tensor(&[12, 4], &numbers(48, 4)), labels: Tensor::new([12], labels).unwrap() }
}

fn flat(tensors: &[Tensor]) -> Vec<f64> {
    tensors.iter().flat_map(Tensor::to_f64).collect()
}

#[test]
fn with_weight_0_training_is_what_it_was() {
    let (plain, off) = (network(), regularized(BatchEntropy::new(0.0, 0.5, 0.2).unwrap()));
    assert_eq!(plain.parameters(), off.parameters());
    let sgd = Sgd { momentum: 0.9, ..Sgd::PLAIN };
    let [one, two] = [&plain, &off].map(|network| {
        let mut trainer = Trainer::new(network, sgd, 12, network.initial_state(Initialization::He, 5)).unwrap();
        (0..4).for_each(|_| assert!(trainer.step(&batch(), 0.1).unwrap().is_finite()));
        flat(trainer.parameters())
    });
    assert_eq!(one, two);
}

#[test]
fn targets_are_learned_beside_the_weights_and_the_whole_gradient_is_that_of_finite_differences() {
    let term = BatchEntropy::new(0.3, 0.6, 0.2).unwrap();
    let network = regularized(term.clone());
    let alphas = network.parameters().last().unwrap();
    assert_eq!((alphas.path.as_str(), &alphas.shape[..]), (ALPHAS, &[3][..]));
    let state = network.initial_state(Initialization::He, 6);
    let mut curvature = Curvature::new(&network, NormMode::Running, batch(), state.clone()).unwrap();
    let (_, gradient) = curvature.gradient().unwrap();
    let direction = numbers(gradient.len(), 7);
    let moved = |by: f64| {
        let mut state = state.clone();
        let mut rest = &direction[..];
        for tensor in &mut state.parameters {
            let (here, after) = rest.split_at(tensor.shape().elements());
            rest = after;
            let values: Vec<f64> = tensor.to_f64().iter().zip(here).map(|(value, step)| value + by * step).collect();
            *tensor = Tensor::from_f64(tensor.shape(), DType::F64, &values).unwrap();
        }
        Curvature::new(&network, NormMode::Running, batch(), state).unwrap().gradient().unwrap()
    };
    let (ahead, behind) = (moved(1e-5), moved(-1e-5));
    let slope: f64 = gradient.iter().zip(&direction).map(|(slope, step)| slope * step).sum();
    close(slope, (ahead.0 - behind.0) / 2e-5, 1e-7);
    let product = curvature.hessian_product(&direction).unwrap();
    for ((product, ahead), behind) in product.iter().zip(&ahead.1).zip(&behind.1) {
        close(*product, (ahead - behind) / 2e-5, 1e-6);
    }
    let mut trainer = Trainer::new(&network, Sgd::PLAIN, 12, state).unwrap();
    let result = trainer.step(&batch(), 0.1).unwrap();
    assert!(result.objective > result.loss);
    let learned = trainer.parameters().last().unwrap().to_f64();
    assert!(learned.iter().all(|alpha| (alpha - 0.6).abs() > 1e-6), "{learned:?}");
}

#[test]
fn the_flow_names_the_layers_their_targets_and_those_that_collapsed() {
    let term = BatchEntropy::new(0.3, 0.6, 0.2).unwrap().over(Layers::Named(vec!["act3".into()]));
    let network = regularized(term.clone());
    let mut state = network.initial_state(Initialization::He, 8);
    // The third layer loses its inputs: it is its biases.
    let place = |path: &str| network.parameters().iter().position(|info| info.path == path).unwrap();
    state.parameters[place("fc3.weight")] = Tensor::zeros([6, 6], DType::F64);
    state.parameters[place("fc3.bias")] = tensor(&[6], &[0.1, 0.2, 0.3, -0.1, 0.7, 0.9]);
    state.parameters[place(ALPHAS)] = tensor(&[1], &[0.1]);
    let layers = flow(&network, &state, &batch(), NormMode::Running, Some(&term)).unwrap();
    let paths: Vec<&str> = layers.iter().map(|layer| layer.path.as_str()).collect();
    assert_eq!(paths, ["act1", "act2", "act3"]);
    assert_eq!(layers.iter().map(|layer| layer.target).collect::<Vec<_>>(), [None, None, Some(0.2)]);
    assert_eq!(layers.iter().map(|layer| layer.collapsed()).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!((layers[2].entropy, layers[2].constant, layers[2].units), (0.0, 6, 6));
    close(layers[2].largest, 0.9, 1e-12);
    let error = flow(&network, &state, &batch().first(1), NormMode::Running, None).unwrap_err().to_string();
    assert!(error.contains("act3"), "{error}");
}

/// The gradient of each parameter after the labels were exchanged among samples.
fn gradients(network: &Network, state: &evenkeel::State, labels: &[i32]) -> Vec<Vec<f64>> {
    let batch = Batch { labels: Tensor::new([labels.len()], labels.to_vec()).unwrap(), ..batch() };
    let (_, flat) = Curvature::new(network, NormMode::Running, batch, state.clone()).unwrap().gradient().unwrap();
    let mut rest = &flat[..];
    let take = |info: &evenkeel::nn::ParameterInfo| {
        let (here, after) = rest.split_at(info.shape.elements());
        rest = after;
        here.to_vec()
    };
    network.parameters().iter().map(take).collect()
}

#[test]
fn above_a_layer_without_entropy_gradients_know_labels_only_by_their_counts() {
    let network = network();
    let place = |path: &str| network.parameters().iter().position(|info| info.path == path).unwrap();
    let labels: Vec<i32> = (0..12).map(|n| n % 3).collect();
    let mut exchanged = labels.clone();
    exchanged.sort_unstable();
    let largest = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    // The second layer is dead, or it is its biases.
    for bias in [-1.0, 0.5] {
        let mut state = network.initial_state(Initialization::He, 9);
        state.parameters[place("fc2.weight")] = Tensor::zeros([6, 6], DType::F64);
        state.parameters[place("fc2.bias")] = tensor(&[6], &[bias; 6]);
        state.parameters[place("fc3.bias")] = tensor(&[6], &[0.3; 6]);
        let (one, two) = (gradients(&network, &state, &labels), gradients(&network, &state, &exchanged));
        for above in ["fc3.weight", "fc3.bias", "head.weight", "head.bias"] {
            assert!(largest(&one[place(above)], &two[place(above)]) < 1e-14, "{above}");
        }
        let below: f64 = ["fc1.weight", "fc2.weight"].iter().map(|path| largest(&one[place(path)], &[0.0; 36])).sum();
        let differs = largest(&one[place("fc2.weight")], &two[place("fc2.weight")]);
        // Dead units pass nothing; units that are their biases still learn from what comes in, which labels belong to.
        assert_eq!((below == 0.0, differs > 1e-4), (bias < 0.0, bias > 0.0), "{below} {differs}");
    }
}

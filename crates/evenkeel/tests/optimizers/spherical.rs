//! Steps on the sphere against gradient descent with weight decay, whose direction goes the same way.

use super::{near, normed, samples};
use evenkeel::config::{Initialization, Loss, NormKind};
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::nn::{Context, Initial, Model, NormSettings};
use evenkeel::optim::{Optimizer, Pace, Sgd, Spherical, SphericalRate};
use evenkeel::train::Trainer;
use evenkeel::{Batch, Network, Noise, State};
use std::collections::BTreeSet;

/// (b² + 3 c² + ..) / (a² + b² + c² + ..) of the numbers of two tensors together, the n-th with the factor n.
struct Quotient;

impl Model for Quotient {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let (graph, samples) = (cx.graph(), x.shape()[0]);
        let parts = [cx.param("one", [2], Initial::Constant(1.0)), cx.param("two", [1, 2], Initial::Constant(1.0))];
        let weights =
            |factors: [f64; 2], shape: &[usize]| graph.constant(Tensor::new(shape, factors.to_vec()).unwrap());
        let squares = parts.map(Var::square);
        let above =
            (squares[0] * weights([0.0, 1.0], &[2])).sum_all() + (squares[1] * weights([2.0, 3.0], &[1, 2])).sum_all();
        let loss = above / (squares[0].sum_all() + squares[1].sum_all());
        cx.add_loss(loss.broadcast_to(&[samples].into()));
        graph.splat(0.0, [samples, 3], DType::F64)
    }
}

const START: [f64; 4] = [2.0, 0.2, -0.3, 0.1];

fn quotient() -> Network {
    Network::with(Box::new(Quotient), &[1], DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap()
}

fn state(numbers: [f64; 4]) -> State {
    let [a, b, c, d] = numbers;
    let parameters = vec![Tensor::new([2], vec![a, b]).unwrap(), Tensor::new([1, 2], vec![c, d]).unwrap()];
    State { parameters, buffers: vec![] }
}

fn one() -> Batch {
    Batch { inputs: Tensor::new([1, 1], vec![0.0]).unwrap(), labels: Tensor::new([1], vec![0]).unwrap() }
}

fn numbers(trainer: &Trainer<'_>) -> Vec<f64> {
    trainer.parameters().iter().flat_map(Tensor::to_f64).collect()
}

fn length(numbers: &[f64]) -> f64 {
    numbers.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn direction(numbers: &[f64]) -> Vec<f64> {
    numbers.iter().map(|x| x / length(numbers)).collect()
}

fn both() -> BTreeSet<String> {
    ["one", "two"].map(String::from).into()
}

fn sphere(rate: SphericalRate) -> Spherical<Sgd> {
    Spherical { weights: both(), rate, others: Sgd::PLAIN }
}

#[test]
fn gradient_descent_with_decay_is_spherical_descent_at_its_effective_rate_and_at_no_other() {
    let (network, rate, decay) = (quotient(), 0.1, 0.05);
    let descent = Sgd { weight_decay: decay, ..Sgd::PLAIN };
    let run = |factor: f64| {
        let mut plain = Trainer::new(&network, descent, 1, state(START)).unwrap();
        let mut spherical = Trainer::new(&network, sphere(SphericalRate::Given), 1, state(START)).unwrap();
        let mut apart: f64 = 0.0;
        for _ in 0..200 {
            let effective = rate / (factor * length(&numbers(&plain)).powi(2));
            plain.step(&one(), rate).unwrap();
            spherical.step(&one(), effective).unwrap();
            let found = numbers(&spherical);
            assert!((length(&found) - 1.0).abs() < 1e-12);
            let off = direction(&numbers(&plain)).iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            apart = apart.max(off);
        }
        apart
    };
    let apart = run(1.0 - rate * decay);
    assert!(apart < 1e-11, "{apart:e}");
    assert!(run(1.0) > 1e-5);
}

#[test]
fn a_step_from_two_and_a_fifth_ends_where_it_does_by_hand() {
    // sin² of the angle to the first axis: rate 0.1, decay 0.05.
    let network = quotient();
    let start = [2.0, 0.2, 0.0, 0.0];
    let mut plain = Trainer::new(&network, Sgd { weight_decay: 0.05, ..Sgd::PLAIN }, 1, state(start)).unwrap();
    plain.step(&one(), 0.1).unwrap();
    near(&numbers(&plain), &[1.9909803, 0.18919704, 0.0, 0.0], 1e-8);
    let mut spherical = Trainer::new(&network, sphere(SphericalRate::Given), 1, state(start)).unwrap();
    spherical.step(&one(), 0.1 / (0.995 * 4.04)).unwrap();
    near(&numbers(&spherical), &direction(&[1.9909803, 0.18919704, 0.0, 0.0]), 1e-8);
}

#[test]
fn quasi_rmsprop_divides_by_a_moment_of_the_gradient_on_the_sphere_that_starts_as_its_square() {
    let (network, eta, beta) = (quotient(), 0.1, 0.9);
    let rule = || sphere(SphericalRate::QuasiRmsprop { beta, epsilon: 0.0 });
    let mut quasi = Trainer::new(&network, rule(), 1, state(START)).unwrap();
    let mut given = Trainer::new(&network, sphere(SphericalRate::Given), 1, state(START)).unwrap();
    let mut moment = None;
    for _ in 0..20 {
        let size = length(&numbers(&given));
        // Both are at the same place; the norm that is told is ‖∇L(w)‖ = ‖∇L(θ)‖ / ‖w‖.
        let told = quasi.step(&one(), eta).unwrap();
        let slope = told.gradient_norm * size;
        let before = *moment.get_or_insert(slope * slope);
        given.step(&one(), eta / f64::sqrt(before)).unwrap();
        moment = Some(beta * before + (1.0 - beta) * slope * slope);
        near(&numbers(&quasi), &numbers(&given), 1e-12);
        // One scalar a tensor, the same in each.
        let kept: Vec<f64> = quasi
            .optimizer_state()
            .iter()
            .filter(|kept| kept.shape().is_empty())
            .map(|kept| kept.to_f64()[0])
            .collect();
        near(&kept, &[moment.unwrap(); 2], 1e-12);
    }
}

#[test]
fn decay_amounts_to_quasi_rmsprop_up_to_terms_of_rate_times_decay() {
    let (network, rate, decay) = (quotient(), 0.1, 0.02);
    let product: f64 = rate * decay;
    let mut plain = Trainer::new(&network, Sgd { weight_decay: decay, ..Sgd::PLAIN }, 1, state(START)).unwrap();
    let (eta, beta) = ((2.0 * product).sqrt(), (1.0 - product).powi(4));
    let effective = |weights: &[f64]| rate / ((1.0 - product) * length(weights).powi(2));
    let moment = |weights: &[f64]| (eta / effective(weights)).powi(2);
    let rule = sphere(SphericalRate::QuasiRmsprop { beta, epsilon: 0.0 });
    let slots = |value: f64| {
        vec![
            Tensor::zeros([2], DType::F64),
            Tensor::scalar(value),
            Tensor::zeros([1, 2], DType::F64),
            Tensor::scalar(value),
        ]
    };
    let mut quasi = Trainer::new(&network, rule, 1, state(START)).unwrap();
    quasi.set_state(state(START), Some(slots(moment(&START)))).unwrap();
    // Not the first step: the moment is given.
    quasi.set_noise(Noise { seed: 0, step: 1 });
    let mut worst: f64 = 0.0;
    for _ in 0..(2.0 / product) as usize {
        plain.step(&one(), rate).unwrap();
        quasi.step(&one(), eta).unwrap();
        let kept = quasi.optimizer_state()[1].to_f64()[0];
        worst = worst.max((kept / moment(&numbers(&plain)) - 1.0).abs());
    }
    assert!(worst < 0.1, "{worst}");
    let direction = direction(&numbers(&plain));
    near(&numbers(&quasi), &direction, 0.02);
}

#[test]
fn what_is_not_on_the_sphere_takes_the_other_rules_steps() {
    let network = normed(NormKind::Batch);
    let (batch, start) = (samples(12, 5, 3), network.initial_state(Initialization::He, 1));
    let others = Sgd { momentum: 0.9, weight_decay: 1e-2, ..Sgd::PLAIN };
    let weights: BTreeSet<String> = ["fc1.weight", "fc2.weight"].map(String::from).into();
    let rule =
        Spherical { weights: weights.clone(), rate: SphericalRate::QuasiRmsprop { beta: 0.9, epsilon: 1e-8 }, others };
    let mut mixed = Trainer::new(&network, rule, 12, start.clone()).unwrap();
    let mut alone = Trainer::new(&network, others, 12, start).unwrap();
    mixed.step(&batch, 0.1).unwrap();
    alone.step(&batch, 0.1).unwrap();
    let mut square = 0.0;
    for ((info, a), b) in network.parameters().iter().zip(mixed.parameters()).zip(alone.parameters()) {
        match weights.contains(&info.path) {
            true => square += a.to_f64().iter().map(|x| x * x).sum::<f64>(),
            false => near(&a.to_f64(), &b.to_f64(), 1e-14),
        }
    }
    assert!((square - 1.0).abs() < 1e-12, "{square}");
}

#[test]
fn numbers_of_a_step_follow_those_of_the_other_rule() {
    let rule = Spherical { weights: both(), rate: SphericalRate::Given, others: Sgd { dampening: 0.5, ..Sgd::PLAIN } };
    assert_eq!(rule.at_step(0, Pace::from(0.1)), [1.0, 1.0]);
    assert_eq!((rule.at_step(3, Pace::from(0.1)), rule.numbers()), (vec![0.5, 0.0], 2));
}

#[test]
fn a_network_without_scale_invariant_weights_is_refused() {
    let refused = |settings: &[&str]| super::experiment(settings).trainer_options().err().unwrap().to_string();
    let error = refused(&["optimizer.name=spherical-sgd", "norm=none"]);
    assert!(error.contains("none can be on a sphere") && error.contains("--norm batch"), "{error}");
    let error = refused(&["optimizer.name=quasi-rmsprop", "optimizer.sphere=head.*"]);
    assert!(error.contains("sphere head.*"), "{error}");
    let set = |text: &str| evenkeel::config::Override::set(text).unwrap();
    let error =
        evenkeel::config::Config::resolve(None, &[set("optimizer.name=spherical-sgd"), set("averaging.name=uniform")]);
    assert!(error.unwrap_err().to_string().contains("one length by itself"));
}

//! Weights that are made of others: how they learn, and how they are taken apart and put together.

use crate::support::{Dense, Net, apply, exact, images, near, network, normal, tensor};
use evenkeel::config::{Initialization, NormKind, NormMode, WeightNorm};
use evenkeel::curvature::Curvature;
use evenkeel::graph::{DType, Graph, Tensor, Var};
use evenkeel::nn::{Context, Initial, NormSettings};
use evenkeel::norm::{check_weights, merge_weights, split_weights};
use evenkeel::optim::Sgd;
use evenkeel::train::Trainer;
use evenkeel::{Network, State};
use evenkeel_cpu::{Input, Options, Program};

fn normalized() -> NormSettings {
    NormSettings { weights: WeightNorm::Normalized, ..exact() }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn a_step_along_the_gradient_never_shortens_a_direction() {
    let given: &[(&str, &[f64])] = &[("weight_v", &[3.0, 4.0]), ("weight_g", &[2.0])];
    let found = apply(normalized(), &tensor(&[1], &[0.0]), &[1.0, 1.0], given, |cx, _| {
        cx.weight("weight", [2, 1], Initial::Weight { fan_in: 2, fan_out: 1 })
    });
    let gradient = &found.by_parameter["weight_v"];
    let stepped: Vec<f64> = [3.0, 4.0].iter().zip(gradient).map(|(v, d)| v - 0.1 * d).collect();
    near(&[dot(&stepped, &stepped)], &[25.0 + 0.01 * dot(gradient, gradient)], 1e-15);
    near(&[dot(&stepped, &stepped).sqrt()], &[5.000_006_4], 1e-9);
}

#[test]
fn normalized_weights_on_whitened_inputs_are_batch_norm() {
    // Columns of a Hadamard matrix: mean 0, Xᵀ X / n = 1.
    let x = tensor(&[4, 3], &[1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0]);
    let (weights, upstream) = (normal(6, 61), normal(8, 62));
    let batch = apply(exact(), &x, &upstream, &[("fc.weight", &weights)], |cx, x| {
        cx.batch_norm("norm", cx.linear_without_bias("fc", x, 2))
    });
    let given: &[(&str, &[f64])] = &[("fc.weight_v", &weights), ("fc.weight_g", &[1.0; 2])];
    let made = apply(normalized(), &x, &upstream, given, |cx, x| cx.linear_without_bias("fc", x, 2));
    near(&made.output, &batch.output, 1e-12);
}

#[test]
fn standardized_weights_ignore_the_scale_and_shift_of_a_unit() {
    let settings = NormSettings { weights: WeightNorm::Standardized, ..exact() };
    let of = |weights: &[f64]| {
        apply(settings, &tensor(&[1], &[0.0]), &normal(12, 63), &[("weight", weights)], |cx, _| {
            cx.weight("weight", [2, 3, 2], Initial::Weight { fan_in: 6, fan_out: 2 })
        })
    };
    let weights = normal(12, 64);
    // 10⁻⁵ beside a deviation: the change is of that size.
    let moved: Vec<f64> = weights.iter().map(|weight| 100.0 * weight - 7.0).collect();
    let (found, after) = (of(&weights), of(&moved));
    near(&after.output, &found.output, 5e-5);
    for unit in 0..2 {
        let column = |values: &[f64]| values.iter().skip(unit).step_by(2).copied().collect::<Vec<_>>();
        let gradient = column(&found.by_parameter["weight"]);
        assert!(gradient.iter().sum::<f64>().abs() < 1e-13);
        assert!(dot(&gradient, &column(&weights)).abs() < 1e-4);
    }
}

/// How an optimiser moves a flat vector.
trait Rule {
    fn step(&mut self, at: &mut [f64], gradient: &[f64]);
}

struct Momentum(Vec<f64>);

impl Rule for Momentum {
    fn step(&mut self, at: &mut [f64], gradient: &[f64]) {
        for ((velocity, gradient), at) in self.0.iter_mut().zip(gradient).zip(at) {
            *velocity = 0.9 * *velocity + gradient;
            *at -= 0.05 * *velocity;
        }
    }
}

struct Adam(Vec<(f64, f64)>, i32);

impl Rule for Adam {
    fn step(&mut self, at: &mut [f64], gradient: &[f64]) {
        self.1 += 1;
        let corrected = |value: f64, beta: f64| value / (1.0 - beta.powi(self.1));
        for ((moments, gradient), at) in self.0.iter_mut().zip(gradient).zip(at) {
            *moments = (0.9 * moments.0 + 0.1 * gradient, 0.999 * moments.1 + 0.001 * gradient * gradient);
            *at -= 0.01 * corrected(moments.0, 0.9) / (corrected(moments.1, 0.999).sqrt() + 1e-8);
        }
    }
}

fn one_layer<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    cx.linear_without_bias("fc", x.flatten(), UNITS)
}

const INPUTS: usize = 24;
const UNITS: usize = 3;

/// The length and the direction of each unit of w [inputs, units].
fn lengths(w: &[f64]) -> Vec<f64> {
    (0..UNITS).map(|unit| w.iter().skip(unit).step_by(UNITS).map(|w| w * w).sum::<f64>().sqrt()).collect()
}

fn states(network: &Network, flat: &[f64]) -> State {
    let mut rest = flat;
    let parameters = network.parameters().iter().map(|info| {
        let (head, tail) = rest.split_at(info.shape.elements());
        rest = tail;
        Tensor::from_f64(&info.shape, DType::F64, head).unwrap()
    });
    State { parameters: parameters.collect(), buffers: vec![] }
}

/// A hundred steps in which the network makes its weights, and a hundred in which the optimiser takes them apart.
fn trajectories_agree(rules: impl Fn(usize) -> Box<dyn Rule>) {
    let made = network(one_layer, WeightNorm::Normalized, &[4, 3, 2]).unwrap();
    let plain = network(one_layer, WeightNorm::None, &[4, 3, 2]).unwrap();
    let w = normal(INPUTS * UNITS, 65).iter().map(|w| 0.3 * w).collect::<Vec<_>>();
    let start: Vec<f64> = w.iter().copied().chain(lengths(&w)).collect();
    let count = start.len();
    let weights = |flat: &[f64]| {
        let (v, g) = flat.split_at(INPUTS * UNITS);
        let norms = lengths(v);
        v.iter().enumerate().map(|(at, v)| v * g[at % UNITS] / norms[at % UNITS]).collect::<Vec<f64>>()
    };
    let mut by_graph = Curvature::new(&made, NormMode::Batch, images(9), states(&made, &start)).unwrap();
    let mut by_optimiser = Curvature::new(&plain, NormMode::Batch, images(9), states(&plain, &w)).unwrap();
    let (mut a, mut b) = (start.clone(), start);
    let (mut rule_a, mut rule_b) = (rules(count), rules(count));
    for _ in 0..100 {
        let gradient = by_graph.gradient().unwrap().1;
        rule_a.step(&mut a, &gradient);
        by_graph.move_to(states(&made, &a)).unwrap();

        // dL/dg = ⟨G, v⟩ / ‖v‖ and dL/dv = g/‖v‖ G − g dL/dg / ‖v‖² v
        let by_w = by_optimiser.gradient().unwrap().1;
        let (v, g) = b.split_at(INPUTS * UNITS);
        let norms = lengths(v);
        let by_g: Vec<f64> = (0..UNITS)
            .map(|unit| {
                (0..INPUTS).map(|row| by_w[row * UNITS + unit] * v[row * UNITS + unit]).sum::<f64>() / norms[unit]
            })
            .collect();
        let by_v = (0..INPUTS * UNITS).map(|at| {
            let unit = at % UNITS;
            g[unit] / norms[unit] * (by_w[at] - by_g[unit] / norms[unit] * v[at])
        });
        let gradient: Vec<f64> = by_v.chain(by_g.iter().copied()).collect();
        rule_b.step(&mut b, &gradient);
        by_optimiser.move_to(states(&plain, &weights(&b))).unwrap();
        near(&weights(&a), &weights(&b), 1e-10);
    }
}

#[test]
fn an_optimiser_that_takes_weights_apart_goes_where_a_network_that_makes_them_goes() {
    trajectories_agree(|count| Box::new(Momentum(vec![0.0; count])));
    trajectories_agree(|count| Box::new(Adam(vec![(0.0, 0.0); count], 0)));
}

/// Descends ½ wᵀ Σ w − cᵀ w over normalized weights w = g v / ‖v‖; gives back w and the gradients of v and g at the end.
fn least_squares(sigma: &[f64], c: &[f64], free_length: bool) -> [Vec<f64>; 3] {
    let count = c.len();
    let graph = Graph::new();
    let cx = Context::new(&graph, DType::F64, normalized());
    let w = cx.weight("weight", [count, 1], Initial::Weight { fan_in: count, fan_out: 1 });
    let curved = graph.constant(tensor(&[count, count], sigma)).matmul(w);
    let loss = (w * curved * 0.5 - w * graph.constant(tensor(&[count, 1], c))).sum_all();
    let parameters: Vec<Var<'_>> = cx.parameters().into_iter().map(|(_, var)| var).collect();
    let gradient = graph.vjp(&[loss], &parameters, None).unwrap();
    let function = graph.function(&[("w", w), ("v", gradient[0]), ("g", gradient[1])]).unwrap();
    let mut program = Program::compile(&function, &Options::default()).unwrap();
    let mut found = program.new_outputs();
    let (mut v, mut g) = (normal(count, 66), 1.5);
    for _ in 0..4000 {
        let (direction, length) = (tensor(&[count, 1], &v), tensor(&[1], &[g]));
        program.run(&[Input::Read(&direction), Input::Read(&length)], &mut found).unwrap();
        v.iter_mut().zip(found[1].to_f64()).for_each(|(v, d)| *v -= 0.1 * d);
        if free_length {
            g -= 0.1 * found[2].to_f64()[0];
        }
    }
    [found[0].to_f64(), found[1].to_f64(), found[2].to_f64()]
}

#[test]
fn least_squares_with_normalized_weights_ends_at_the_solution_or_at_the_best_direction_of_its_length() {
    // Σ = diag(1, 2, 4) turned a little, and c.
    let (sigma, c) = ([1.5, 0.5, 0.0, 0.5, 2.5, 1.0, 0.0, 1.0, 3.0], [1.0, -2.0, 0.5]);
    let product = |w: &[f64]| sigma.chunks_exact(3).map(|row| dot(row, w)).collect::<Vec<_>>();
    let [w, ..] = least_squares(&sigma, &c, true);
    near(&product(&w), &c, 1e-10);
    let [w, by_v, _] = least_squares(&sigma, &c, false);
    let loss = |w: &[f64]| 0.5 * dot(w, &product(w)) - dot(&c, w);
    near(&[dot(&w, &w).sqrt()], &[1.5], 1e-14);
    assert!(by_v.iter().all(|gradient| gradient.abs() < 1e-10));
    for seed in 0..200 {
        let other = normal(3, seed);
        let scale = 1.5 / dot(&other, &other).sqrt();
        let other: Vec<f64> = other.iter().map(|other| other * scale).collect();
        assert!(loss(&other) >= loss(&w) - 1e-12);
    }
}

fn logits(network: &Network, state: &State) -> Vec<f64> {
    Curvature::new(network, NormMode::Batch, images(5), state.clone()).unwrap().logits().unwrap().to_f64()
}

fn recurrent<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let x = x.reshape([x.shape()[0], 4, 6]);
    let states = cx.lstm("lstm", cx.gru("gru", x, 5), 3);
    cx.head("head", states.at(1, 3), 3)
}

#[test]
fn merged_and_split_weights_compute_what_they_did() {
    let convolutions = |weights| network(Net(NormKind::Batch), weights, &[4, 3, 2]).unwrap();
    let gates = |weights| network(recurrent, weights, &[4, 3, 2]).unwrap();
    for network in WeightNorm::ALL.iter().flat_map(|weights| [convolutions(*weights), gates(*weights)]) {
        let mut state = network.initial_state(Initialization::Glorot, 3);
        // Lengths that are not those of the directions.
        for (info, tensor) in network.parameters().iter().zip(&mut state.parameters) {
            if info.path.ends_with("_g") {
                *tensor = Tensor::from_f64(&info.shape, DType::F64, &normal(info.shape.elements(), 67)).unwrap();
            }
        }
        let wanted = logits(&network, &state);
        let (plain, merged) = merge_weights(&network, &state).unwrap();
        assert!(plain.parameters().iter().all(|info| !info.path.ends_with("_v") && !info.path.ends_with("_g")));
        near(&logits(&plain, &merged), &wanted, 1e-13);
        let (split, parts) = split_weights(&plain, &merged).unwrap();
        assert!(split.parameters().iter().any(|info| info.path == "head.weight_g"));
        near(&logits(&split, &parts), &wanted, 1e-13);
        let (again, whole) = merge_weights(&split, &parts).unwrap();
        assert_eq!(again.parameters(), plain.parameters());
        for (whole, merged) in whole.parameters.iter().zip(&merged.parameters) {
            near(&whole.to_f64(), &merged.to_f64(), 4.0 * f64::EPSILON);
        }
    }
}

/// A layer whose weights have these columns.
fn dense(weights: WeightNorm, columns: &[f64]) -> (Network, State) {
    let network = network(Dense(NormKind::None), weights, &[2]).unwrap();
    let mut state = network.initial_state(Initialization::He, 1);
    state.parameters[0] = tensor(&[2, 4], columns);
    (network, state)
}

#[test]
fn a_unit_without_a_direction_is_refused_before_training_starts() {
    let (network, state) = dense(WeightNorm::Normalized, &[1.0, 0.0, 1e-170, 1.0, 0.0, 0.0, 0.0, 1.0]);
    let sgd = Sgd::PLAIN;
    let error = Trainer::new(&network, sgd, 4, state.clone()).err().unwrap();
    insta::assert_snapshot!(error, @r#"
    normalized weights have no direction: these units would be silent and learn nothing
      layer     fc.weight_v
      units     1, 2
    hint: start them at other numbers, or use `weight_norm=standardized` or `weight_norm=none`
    "#);
    let (plain, mut zeros) = dense(WeightNorm::None, &[0.0; 8]);
    assert_eq!(split_weights(&plain, &zeros).err().unwrap().what(), error.what());
    zeros.parameters[0] = tensor(&[2, 4], &[1.0; 8]);
    assert!(split_weights(&plain, &zeros).is_ok() && check_weights(&plain, &zeros.parameters).is_ok());
}

#[test]
fn a_unit_of_equal_weights_that_are_standardized_is_refused_before_training_starts() {
    let (network, state) = dense(WeightNorm::Standardized, &[1.0, 0.5, 1.0, 1.0, 0.0, 0.5, 0.0, 2.0]);
    insta::assert_snapshot!(check_weights(&network, &state.parameters).unwrap_err(), @r#"
    standardized weights are all equal: these units would be silent and learn nothing
      layer     fc.weight
      units     1
    hint: start them at other numbers, or use `weight_norm=normalized` or `weight_norm=none`
    "#);
    let (network, state) = dense(WeightNorm::Standardized, &[1.0, 0.6, 1.0, 1.0, 0.0, 0.5, 0.0, 2.0]);
    assert!(check_weights(&network, &state.parameters).is_ok());
}

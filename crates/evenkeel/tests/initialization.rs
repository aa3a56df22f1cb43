//! How weights are drawn: variances, orthogonality, biases, and that each parameter has a stream of its own.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Config, Initialization, Override};
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Graph, Shape, Tensor, Var};
use evenkeel::init::{Scheme, initialize};
use evenkeel::nn::{Context, Initial, NormSettings, ParameterInfo};
use evenkeel::{Network, State};
use evenkeel_cpu::{Input, Options, Program};

fn weight(shape: &[usize], fan_in: usize, fan_out: usize) -> ParameterInfo {
    ParameterInfo {
        path: "layer.weight".into(),
        shape: Shape::from(shape),
        initial: Initial::Weight { fan_in, fan_out },
    }
}

fn drawn(info: &ParameterInfo, scheme: impl Into<Scheme>) -> Vec<f64> {
    initialize(info, scheme, 3, DType::F64).to_f64()
}

/// The largest entry of |Mᵀ M − 1| for a row-major matrix.
fn distance_from_orthonormal_columns(matrix: &[f64], columns: usize) -> f64 {
    let product = |a: usize, b: usize| matrix.chunks(columns).map(|row| row[a] * row[b]).sum::<f64>();
    let entry = |a: usize, b: usize| (product(a, b) - f64::from(u8::from(a == b))).abs();
    (0..columns).flat_map(|a| (0..columns).map(move |b| (a, b))).map(|(a, b)| entry(a, b)).fold(0.0, f64::max)
}

fn transposed(matrix: &[f64], columns: usize) -> Vec<f64> {
    let rows = matrix.len() / columns;
    (0..columns).flat_map(|column| (0..rows).map(move |row| matrix[row * columns + column])).collect()
}

#[test]
fn every_rule_has_the_mean_and_the_variance_of_its_formula() {
    let info = weight(&[300, 200], 300, 200);
    let (inputs, both) = (300.0, 500.0);
    for (rule, variance) in [
        (Initialization::He, 2.0 / inputs),
        (Initialization::HeUniform, 2.0 / inputs),
        (Initialization::Glorot, 2.0 / both),
        (Initialization::GlorotNormal, 2.0 / both),
        (Initialization::Lecun, 1.0 / inputs),
        (Initialization::LecunUniform, 1.0 / inputs),
        (Initialization::Uniform, 1.0 / (3.0 * inputs)),
        (Initialization::Normal(0.05), 0.0025),
        (Initialization::Orthogonal, 1.0 / inputs),
    ] {
        let values = drawn(&info, rule);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let found = values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64;
        assert!((found / variance - 1.0).abs() < 0.02, "{rule}: {found} is not {variance}");
        assert!(mean.abs() < 0.02 * variance.sqrt(), "{rule}: {mean}");
        let largest = values.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        match rule {
            // √3 deviations.
            Initialization::HeUniform
            | Initialization::Glorot
            | Initialization::LecunUniform
            | Initialization::Uniform => {
                assert!((0.999..=1.0).contains(&(largest / (3.0 * variance).sqrt())), "{rule}: {largest}");
            }
            _ => assert!(largest > 3.5 * variance.sqrt(), "{rule}: {largest}"),
        }
    }
}

#[test]
fn he_and_glorot_draw_the_numbers_of_their_formula_from_the_stream_of_their_path() {
    let info = weight(&[3, 3, 4, 6], 36, 54);
    let stream = || Key::new(3, "init/layer.weight", 0).random();
    let mut random = stream();
    let he: Vec<f64> = (0..216).map(|_| (2.0f64 / 36.0).sqrt() * random.normal_f64()).collect();
    assert_eq!(drawn(&info, Initialization::He), he);
    let mut random = stream();
    let glorot: Vec<f64> = (0..216).map(|_| (6.0f64 / 90.0).sqrt() * (2.0 * random.uniform_f64() - 1.0)).collect();
    assert_eq!(drawn(&info, Initialization::Glorot), glorot);
}

#[test]
fn orthogonal_weights_have_orthonormal_columns_or_rows_where_they_are_fewer() {
    for (rows, columns) in [(40, 40), (70, 30), (5, 1), (1, 1)] {
        let tall = drawn(&weight(&[rows, columns], rows, columns), Initialization::Orthogonal);
        assert!(distance_from_orthonormal_columns(&tall, columns) < 1e-12, "{rows}×{columns}");
        let wide = drawn(&weight(&[columns, rows], columns, rows), Initialization::Orthogonal);
        assert!(distance_from_orthonormal_columns(&transposed(&wide, rows), columns) < 1e-12, "{columns}×{rows}");
    }
    let kernel = drawn(&weight(&[3, 3, 8, 16], 72, 144), Initialization::Orthogonal);
    assert!(distance_from_orthonormal_columns(&kernel, 16) < 1e-12);
}

#[test]
fn orthogonal_weights_favour_no_direction() {
    // Over all orthogonal 2×2 matrices, an entry is the cosine of a uniform angle, and half of them are reflections.
    let info = weight(&[2, 2], 2, 2);
    let draws: Vec<Vec<f64>> =
        (0..4000).map(|seed| initialize(&info, Initialization::Orthogonal, seed, DType::F64).to_f64()).collect();
    let mean = |of: &dyn Fn(&[f64]) -> f64| draws.iter().map(|matrix| of(matrix)).sum::<f64>() / draws.len() as f64;
    for entry in 0..4 {
        assert!(mean(&|matrix| matrix[entry]).abs() < 0.04);
        assert!((mean(&|matrix| matrix[entry].powi(2)) - 0.5).abs() < 0.02);
        assert!((mean(&|matrix| matrix[entry].powi(4)) - 0.375).abs() < 0.02);
    }
    assert!(mean(&|matrix| matrix[0] * matrix[3] - matrix[1] * matrix[2]).abs() < 0.05);
}

#[test]
fn each_gate_of_a_recurrent_layer_is_orthogonal_by_itself() {
    let info = ParameterInfo {
        path: "lstm.weight_hh".into(),
        shape: Shape::from([16, 64]),
        initial: Initial::Recurrent { fan_in: 16, hidden: 16 },
    };
    let values = drawn(&info, Initialization::Orthogonal);
    let gate = |gate: usize| values.chunks(64).flat_map(|row| row[16 * gate..][..16].to_vec()).collect::<Vec<_>>();
    assert!((0..4).all(|index| distance_from_orthonormal_columns(&gate(index), 16) < 1e-12));
    assert_ne!(gate(0), gate(1));
}

/// What a network's first state makes of an input.
fn response(model: impl for<'g> Fn(&Context<'g>, Var<'g>) -> Var<'g>, x: &Tensor, scheme: Scheme) -> Vec<f64> {
    let graph = Graph::new();
    let cx = Context::new(&graph, DType::F64, NormSettings::default());
    let output = model(&cx, graph.input("x", x.shape(), DType::F64));
    cx.check().unwrap();
    let function = graph.function(&[("output", output)]).unwrap();
    let parameters: Vec<Tensor> =
        cx.parameters().iter().map(|(info, _)| initialize(info, scheme, 1, DType::F64)).collect();
    let mut program = Program::compile(&function, &Options::default()).unwrap();
    let inputs: Vec<Input<'_>> = [x].into_iter().chain(&parameters).map(Input::Read).collect();
    let mut found = program.new_outputs();
    program.run(&inputs, &mut found).unwrap();
    found[0].to_f64()
}

fn images(shape: [usize; 4]) -> Tensor {
    let mut random = Key::new(5, "images", 0).random();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal_f64()).collect();
    Tensor::from_f64(shape, DType::F64, &values).unwrap()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[test]
fn a_delta_orthogonal_convolution_keeps_the_norm_of_every_position_through_depth() {
    let x = images([2, 7, 5, 3]);
    fn deep<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        [("a", 4), ("b", 8), ("c", 8)].into_iter().fold(x, |x, (name, out)| cx.conv(name, x, out, 3, 1, 1))
    }
    let y = response(deep, &x, Initialization::DeltaOrthogonal.into());
    for (input, output) in x.to_f64().chunks(3).zip(y.chunks(8)) {
        assert!((norm(output) / norm(input) - 1.0).abs() < 1e-12);
    }
    let ten = Scheme { scale: 10.0, ..Initialization::DeltaOrthogonal.into() };
    let wide = response(|cx, x| cx.conv("a", x, 3, 5, 1, 2), &x, ten);
    assert!((norm(&wide) / norm(&x.to_f64()) - 10.0).abs() < 1e-11);
}

#[test]
fn an_orthogonal_map_of_a_square_layer_keeps_norms_at_gain_one() {
    let x = images([6, 2, 2, 3]);
    let y = response(|cx, x| cx.linear("fc", x, 12), &x, Initialization::Orthogonal.into());
    for (input, output) in x.to_f64().chunks(12).zip(y.chunks(12)) {
        assert!((norm(output) / norm(input) - 1.0).abs() < 1e-12);
    }
}

fn recurrent<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let states = cx.lstm("lstm", x, 16);
    let convolved = cx.conv_with_bias("conv", states.reshape([x.shape()[0], 4, 16, 1]), 4, 3, 1, 1);
    cx.head("head", convolved, 3)
}

fn state(network: &Network, scheme: impl Into<Scheme>) -> Vec<(String, Vec<f64>)> {
    let State { parameters, .. } = network.initial_state(scheme, 4);
    network.parameters().iter().map(|info| info.path.clone()).zip(parameters.iter().map(Tensor::to_f64)).collect()
}

fn network(model: impl for<'g> Fn(&Context<'g>, Var<'g>) -> Var<'g> + 'static) -> Network {
    Network::new(model, &[5]).unwrap()
}

#[test]
fn uniform_draws_weights_and_biases_within_one_bound_a_layer_and_other_rules_leave_biases_zero() {
    let network = Network::new(recurrent, &[4, 5]).unwrap();
    for (path, values) in state(&network, Initialization::Uniform) {
        let fan_in = match path.split_once('.').unwrap().0 {
            "lstm" => 16.0,
            "conv" => 9.0,
            _ => 256.0f64,
        };
        let bound = 1.0 / fan_in.sqrt();
        let largest = values.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        assert!(largest <= bound * (1.0 + 1e-6) && largest > 0.2 * bound, "{path}: {largest} of {bound}");
    }
    for rule in Initialization::ALL.iter().filter(|rule| **rule != Initialization::Uniform) {
        let biases = state(&network, *rule).into_iter().filter(|(path, _)| path.contains("bias"));
        assert!(biases.map(|(_, values)| values).all(|values| values.iter().all(|value| *value == 0.0)), "{rule}");
    }
}

#[test]
fn a_scale_multiplies_the_weights_of_layers_and_nothing_else() {
    let network = network(|cx, x| cx.head("head", cx.batch_norm("norm", cx.linear("fc", x, 8)), 3));
    for rule in Initialization::ALL {
        let (plain, scaled) = (state(&network, *rule), state(&network, Scheme { scale: 0.5, ..(*rule).into() }));
        for ((path, before), (_, after)) in plain.iter().zip(&scaled) {
            let weights = matches!(path.as_str(), "fc.weight" | "head.weight");
            let wanted: Vec<f64> = before.iter().map(|value| if weights { 0.5 * value } else { *value }).collect();
            assert_eq!(*after, wanted, "{rule}, {path}");
        }
    }
}

#[test]
fn a_further_layer_does_not_change_what_the_others_draw() {
    let deep = network(|cx, x| cx.head("head", cx.linear("fc2", cx.linear("fc1", x, 5), 5), 3));
    let flat = network(|cx, x| cx.head("head", cx.linear("fc1", x, 5), 3));
    for rule in Initialization::ALL {
        let (deep, flat) = (state(&deep, *rule), state(&flat, *rule));
        assert!(flat.iter().all(|parameter| deep.contains(parameter)), "{rule}");
    }
}

#[test]
fn a_rule_is_read_with_its_number_and_a_wrong_one_is_told_what_would_do() {
    let set = |word: &str| Config::resolve(None, &[Override::set(&format!("initialization={word}")).unwrap()]);
    assert_eq!(set("normal:0.01").unwrap().initialization, Initialization::Normal(0.01));
    assert_eq!(set("normal").unwrap().initialization, Initialization::Normal(0.05));
    for (word, what) in [
        ("orthogonl", "did you mean 'orthogonal'?"),
        ("normal:-1", "a deviation is a number above 0, as in 'normal:0.05'"),
        ("normal:inf", "cannot have the deviation 'inf'"),
        ("he:2", "`initialization_scale` makes all weights larger or smaller"),
    ] {
        let error = set(word).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

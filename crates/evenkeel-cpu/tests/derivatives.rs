//! Every primitive: first, second and third derivatives in f64 against central differences, forward against reverse, and
//! the symmetry of the second and third.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Graph, Tensor, Var};
use support::{distance, dot, normal, positive, run};

const STEP: f64 = 1e-6;
const TOLERANCE: f64 = 1e-5;

struct Case {
    name: &'static str,
    shapes: &'static [&'static [usize]],
    positive: bool,
    formula: for<'g> fn(&[Var<'g>]) -> Var<'g>,
}

/// loss = Σ c · f(x)², with fixed weights c: second derivatives of linear functions do not vanish either.
fn loss<'g>(graph: &'g Graph, case: &Case, x: &[Var<'g>]) -> Var<'g> {
    let value = (case.formula)(x);
    let weights = graph.constant(normal(&value.shape(), 99));
    let value = if value.dtype() == DType::F64 { value } else { value.cast(DType::F64) };
    (value * value * 0.5 * weights + value * weights).sum_all()
}

fn shifted(x: &[Tensor], direction: &[Tensor], step: f64) -> Vec<Tensor> {
    x.iter()
        .zip(direction)
        .map(|(x, d)| {
            let moved: Vec<f64> = x.to_f64().iter().zip(d.to_f64()).map(|(x, d)| x + step * d).collect();
            Tensor::from_f64(x.shape(), DType::F64, &moved).unwrap()
        })
        .collect()
}

fn check(case: &Case) {
    let graph = Graph::new();
    let inputs = |prefix: &str| -> Vec<Var<'_>> {
        let input = |(n, shape): (usize, &&[usize])| graph.input(format!("{prefix}{n}"), *shape, DType::F64);
        case.shapes.iter().enumerate().map(input).collect()
    };
    let (x, v, w) = (inputs("x"), inputs("v"), inputs("w"));
    let loss = loss(&graph, case, &x);
    let gradient = graph.vjp(&[loss], &x, None).unwrap();
    let directional = graph.jvp(&[loss], &x, &v).unwrap();
    let product = graph.jvp(&gradient, &x, &v).unwrap();
    // The same product the other way round: the gradient of ⟨gradient, v⟩.
    let inner = gradient.iter().zip(&v).map(|(&g, &v)| (g * v).sum_all()).reduce(|a, b| a + b).unwrap();
    let reverse = graph.vjp(&[inner], &x, None).unwrap();
    let third = graph.jvp(&product, &x, &w).unwrap();

    let draw = if case.positive { positive } else { normal };
    let at: Vec<Tensor> = case.shapes.iter().enumerate().map(|(n, shape)| draw(shape, n as u64)).collect();
    let along = |seed: u64| -> Vec<Tensor> {
        case.shapes.iter().enumerate().map(|(n, shape)| normal(shape, seed + n as u64)).collect()
    };
    let (direction, other) = (along(10), along(20));
    let third_direction = along(30);
    let evaluate_along = |outputs: &[Var<'_>], x: &[Tensor], v: &[Tensor], w: &[Tensor], fuse: bool| {
        run(&graph, outputs, &[x, v, w].concat(), fuse)
    };
    let evaluate = |outputs: &[Var<'_>], x: &[Tensor], v: &[Tensor], fuse: bool| {
        evaluate_along(outputs, x, v, &third_direction, fuse)
    };
    let name = case.name;

    let value = |step: f64| evaluate(&[loss], &shifted(&at, &direction, step), &direction, true)[0].item().unwrap();
    let numeric = (value(STEP) - value(-STEP)) / (2.0 * STEP);
    let slope = evaluate(&[directional[0]], &at, &direction, true)[0].item().unwrap();
    let scale = slope.abs().max(1.0);
    assert!((numeric - slope).abs() / scale < TOLERANCE, "{name}: jvp {slope}, difference {numeric}");

    let g = evaluate(&gradient, &at, &direction, true);
    assert!((dot(&g, &direction) - slope).abs() / scale < 1e-12, "{name}: vjp {} jvp {slope}", dot(&g, &direction));

    // The central difference of `outputs` as the values move along `moved`.
    let difference = |outputs: &[Var<'_>], moved: &[Tensor]| -> Vec<Tensor> {
        let (up, down) = (
            evaluate(outputs, &shifted(&at, moved, STEP), &direction, true),
            evaluate(outputs, &shifted(&at, moved, -STEP), &direction, true),
        );
        let slope = |(up, down): (&Tensor, &Tensor)| {
            let slope: Vec<f64> =
                up.to_f64().iter().zip(down.to_f64()).map(|(up, down)| (up - down) / (2.0 * STEP)).collect();
            Tensor::from_f64(up.shape(), DType::F64, &slope).unwrap()
        };
        up.iter().zip(&down).map(slope).collect()
    };
    let numeric = difference(&gradient, &direction);
    let hv = evaluate(&product, &at, &direction, true);
    assert!(distance(&hv, &numeric) < TOLERANCE, "{name}: Hessian product off by {}", distance(&hv, &numeric));
    let rv = evaluate(&reverse, &at, &direction, true);
    assert!(
        distance(&hv, &rv) < 1e-12,
        "{name}: forward over reverse off reverse over reverse by {}",
        distance(&hv, &rv)
    );
    let hu = evaluate(&product, &at, &other, true);
    let (left, right) = (dot(&other, &hv), dot(&direction, &hu));
    assert!((left - right).abs() / left.abs().max(1.0) < 1e-11, "{name}: u·Hv {left}, v·Hu {right}");

    // Third order: T(u, v, w) = ⟨u, ∂(H v)/∂x · w⟩ is the same for every order of its directions.
    let numeric = difference(&product, &third_direction);
    let turned = evaluate_along(&third, &at, &direction, &third_direction, true);
    assert!(distance(&turned, &numeric) < TOLERANCE, "{name}: third order off by {}", distance(&turned, &numeric));
    let swapped = evaluate_along(&third, &at, &third_direction, &direction, true);
    assert!(distance(&turned, &swapped) < 1e-11, "{name}: third order is not symmetric");
    let across = evaluate_along(&third, &at, &direction, &other, true);
    let (left, right) = (dot(&other, &turned), dot(&third_direction, &across));
    assert!((left - right).abs() / left.abs().max(1.0) < 1e-10, "{name}: T(u, v, w) {left}, T(w, v, u) {right}");

    // What is fused gives what is not.
    for outputs in [&gradient, &product, &third] {
        let (fused, plain) = (evaluate(outputs, &at, &direction, true), evaluate(outputs, &at, &direction, false));
        assert!(distance(&fused, &plain) < 1e-13, "{name}: fusion changes the result");
    }
}

/// Places along an axis of 5, some of them twice, some outside it.
fn places<'g>(x: Var<'g>) -> Var<'g> {
    x.graph().constant(Tensor::new([2, 3], vec![4, 0, 4, -1, 2, 5]).unwrap())
}

macro_rules! cases {
    ($($name:ident, $shapes:expr, $positive:expr, $formula:expr;)*) => {$(
        #[test]
        fn $name() {
            check(&Case { name: stringify!($name), shapes: $shapes, positive: $positive, formula: $formula });
        }
    )*};
}

const ODD: &[&[usize]] = &[&[3, 5]];
const PAIR: &[&[usize]] = &[&[3, 5], &[3, 5]];
const BROADCAST: &[&[usize]] = &[&[4, 3, 1], &[3, 7]];
const LARGE: &[&[usize]] = &[&[37, 53]];
const IMAGE: &[&[usize]] = &[&[2, 5, 6, 3]];

cases! {
    negate, ODD, false, |x| -x[0];
    exp, ODD, false, |x| x[0].exp();
    expm1, ODD, false, |x| x[0].expm1();
    log, ODD, true, |x| x[0].log();
    log1p, ODD, true, |x| x[0].log1p();
    sqrt, ODD, true, |x| x[0].sqrt();
    rsqrt, ODD, true, |x| x[0].rsqrt();
    tanh, ODD, false, |x| x[0].tanh();
    sigmoid, ODD, false, |x| x[0].sigmoid();
    erf, ODD, false, |x| x[0].erf();
    abs, ODD, false, |x| x[0].abs();
    sign_times_x, ODD, false, |x| x[0].sign() * x[0];
    sin, ODD, false, |x| x[0].sin();
    cos, ODD, false, |x| x[0].cos();
    power_three_halves, ODD, true, |x| x[0].power(1.5);
    power_two, ODD, false, |x| x[0].power(2.0);
    relu, ODD, false, |x| x[0].relu() * x[0];
    gelu, ODD, false, |x| x[0].gelu();
    add, PAIR, false, |x| x[0] + x[1];
    subtract, PAIR, false, |x| x[0] - x[1] * 2.0;
    multiply, PAIR, false, |x| x[0] * x[1];
    divide, PAIR, true, |x| x[0] / x[1];
    maximum, PAIR, false, |x| x[0].maximum(x[1]) * x[0];
    minimum, PAIR, false, |x| x[0].minimum(x[1]) * x[1];
    select, PAIR, false, |x| x[0].greater(x[1]).select(x[0] * x[1], x[1] * x[1]);
    equal_masks_nothing_flows, PAIR, false, |x| x[0].equal(x[1]).select(x[0], x[1] * x[0]);
    raised_to, PAIR, true, |x| x[0].raised_to(x[1]);
    raised_to_broadcast, BROADCAST, true, |x| x[0].raised_to(x[1] * 2.0) * x[1];
    less_or_equal_and_not, PAIR, false, |x| {
        (x[0].less_or_equal(x[1]) & !x[0].greater(x[0].like(0.5))).select(x[0] * x[1], x[1].sin())
    };
    greater_or_equal_or_not_equal, PAIR, false, |x| {
        (x[0].greater_or_equal(x[1]) | x[1].not_equal(x[1])).select(x[0] * x[1], x[1].sin() * x[0])
    };
    min_columns, ODD, false, |x| x[0].min(&[0]) * x[0].sum(&[0]);
    dropout_and_noise, ODD, false, |x| {
        let key = x[0].graph().constant(Key::new(1, "site", 2).tensor());
        let kept = x[0].graph().uniform(key, [3, 5], DType::F64).less(x[0].like(0.7));
        kept.select(x[0].sin() / 0.7, x[0].like(0.0)) * (x[0] + x[0].graph().normal(key, [3, 5], DType::F64))
    };
    less, PAIR, false, |x| x[0].less(x[1]).select(x[0] * x[1], x[1].sin());
    broadcast_multiply, BROADCAST, false, |x| x[0] * x[1];
    broadcast_divide, BROADCAST, true, |x| x[0] / x[1];
    sum_rows, LARGE, false, |x| x[0].square().sum(&[1]);
    sum_columns, LARGE, false, |x| x[0].square().sum(&[0]);
    sum_everything, LARGE, false, |x| x[0].sin().sum(&[0, 1]);
    sum_of_middle_axis, &[&[3, 4, 5]], false, |x| x[0].square().sum(&[1]);
    sum_of_outer_axes, &[&[3, 4, 5]], false, |x| x[0].square().sum(&[0, 2]);
    max_rows, ODD, false, |x| x[0].max(&[1]) * x[0].sum(&[1]);
    max_columns, ODD, false, |x| x[0].max(&[0]);
    log_sum_exp, ODD, false, |x| x[0].log_sum_exp();
    softmax, ODD, false, |x| x[0].softmax();
    log_softmax, ODD, false, |x| x[0].log_softmax();
    mean, ODD, false, |x| x[0].exp().mean(&[0]);
    standardize, &[&[6, 4]], false, |x| {
        let centered = x[0] - x[0].mean(&[0]);
        centered * (centered.square().mean(&[0]) + 1e-3).rsqrt()
    };
    reshape, &[&[4, 6]], false, |x| x[0].reshape([3, 8]).sin();
    transpose, &[&[2, 3, 4]], false, |x| x[0].transpose(&[2, 0, 1]).sin();
    iota_scales, ODD, false, |x| x[0].square() * x[0].graph().iota([3, 5], 1, DType::F64);
    constants, ODD, false, |x| 2.0 / (x[0].square() + 1.0) - 0.5;
    matmul, &[&[3, 4], &[4, 5]], false, |x| x[0].matmul(x[1]);
    matmul_lhs_transposed, &[&[4, 3], &[4, 5]], false, |x| x[0].matmul_with(x[1], true, false);
    matmul_rhs_transposed, &[&[3, 4], &[5, 4]], false, |x| x[0].matmul_with(x[1], false, true);
    matmul_both_transposed, &[&[4, 3], &[5, 4]], false, |x| x[0].matmul_with(x[1], true, true);
    matmul_batched, &[&[2, 3, 4], &[2, 4, 5]], false, |x| x[0].matmul(x[1]);
    matmul_of_transpose, &[&[4, 3], &[4, 5]], false, |x| x[0].transpose(&[1, 0]).matmul(x[1]);
    matmul_with_itself, &[&[4, 4]], false, |x| x[0].matmul(x[0]);
    slice, &[&[4, 5, 3]], false, |x| x[0].square().slice(&[1..3, 0..5, 2..3]);
    slice_by_steps, LARGE, false, |x| x[0].sin().slice_along_by(1, 3..52, 4);
    slice_of_one, ODD, false, |x| x[0].at(1, 4) * x[0].at(0, 1).sum_all();
    slice_of_nothing, ODD, false, |x| x[0].slice(&[1..1, 0..5]).sum(&[0]) + x[0].at(0, 0);
    reverse, &[&[4, 5, 3]], false, |x| x[0].reverse(&[0, 2]).sin() * x[0];
    pad, ODD, false, |x| x[0].square().pad(&[[1, 0], [2, 3]]).cos();
    pad_between, ODD, false, |x| x[0].pad_with(&[[0, 2], [1, 0]], &[2, 1]).square();
    pad_of_nothing, &[&[0, 3], &[4, 3]], false, |x| x[0].exp().pad(&[[1, 3], [0, 0]]) + x[1].sin();
    concat, &[&[2, 3], &[2, 1], &[2, 4]], false, |x| x[0].graph().concat(&[x[0], x[1].sin(), x[2] * x[2]], 1).tanh();
    concat_of_nothing_and_a_fixed_part, &[&[0, 3], &[2, 3]], false, |x| {
        x[0].graph().concat(&[x[0], x[1].like(2.0), x[1].square()], 0).tanh()
    };
    split, &[&[3, 8]], false, |x| {
        let parts = x[0].square().split(1, 4);
        parts[0] * parts[1].sigmoid() + parts[2] * parts[3].tanh()
    };
    rotation, ODD, false, |x| x[0].graph().concat(&[x[0].slice_along(1, 2..5), x[0].slice_along(1, 0..2)], 1) * x[0];
    gather, &[&[5, 4]], false, |x| x[0].square().gather(0, places(x[0]));
    gather_inside, &[&[2, 5, 3]], false, |x| x[0].gather(1, places(x[0])).sin();
    gather_elements, &[&[3, 5]], false, |x| x[0].gather(1, places(x[0])).exp();
    gather_from_nothing, &[&[0, 2], &[2]], false, |x| x[0].gather(0, places(x[0])) + x[1].square();
    scatter_add, &[&[2, 3, 4]], false, |x| x[0].square().scatter_add(0, places(x[0]), 5).sin();
    scatter_add_inside, &[&[2, 2, 3]], false, |x| x[0].scatter_add(1, places(x[0]), 5).exp();
    convolution, &[&[2, 5, 6, 3], &[3, 3, 3, 4]], false, |x| x[0].conv(x[1], [1, 1], [[1, 1], [1, 1]]);
    convolution_strided, &[&[2, 6, 5, 3], &[3, 3, 3, 4]], false, |x| x[0].conv(x[1], [2, 2], [[1, 1], [1, 1]]);
    convolution_one_by_one, &[&[2, 4, 4, 3], &[1, 1, 3, 5]], false, |x| x[0].conv(x[1], [2, 2], [[0, 0], [0, 0]]);
    convolution_asymmetric, &[&[1, 5, 4, 2], &[2, 3, 2, 3]], false, |x| x[0].conv(x[1], [1, 2], [[0, 1], [2, 0]]);
    convolution_dilated, &[&[1, 7, 7, 2], &[3, 2, 2, 3]], false, |x| {
        x[0].conv_general(x[1], [1, 1], [[2, 2], [1, 1]], [2, 3], 1)
    };
    convolution_grouped, &[&[2, 4, 4, 6], &[3, 3, 3, 4]], false, |x| {
        x[0].conv_general(x[1], [1, 1], [[1, 1], [1, 1]], [1, 1], 2)
    };
    max_pool, &[&[2, 4, 6, 3]], false, |x| x[0].max_pool([2, 2], [2, 2], [[0, 0], [0, 0]]);
    max_pool_overlapping, IMAGE, false, |x| x[0].max_pool([3, 3], [2, 2], [[1, 1], [1, 1]]);
    max_pool_dilated, &[&[2, 7, 8, 3]], false, |x| {
        x[0].square().max_pool_general([2, 3], [1, 2], [[1, 0], [0, 1]], [3, 2])
    };
    average_pool_dilated_without_padding, IMAGE, false, |x| {
        x[0].square().average_pool_general([2, 3], [1, 2], [[1, 1], [2, 1]], [2, 1], false)
    };
    adaptive_average_pool, IMAGE, false, |x| x[0].square().adaptive_average_pool([3, 4]);
    adaptive_max_pool, IMAGE, false, |x| x[0].adaptive_max_pool([2, 4]).sin();
    average_pool, IMAGE, false, |x| x[0].square().average_pool([2, 3], [1, 2], [[1, 0], [0, 1]]);
    residual_reads_twice, &[&[2, 4, 4, 3], &[3, 3, 3, 3]], false, |x| {
        let y = x[0].conv(x[1], [1, 1], [[1, 1], [1, 1]]);
        (y.tanh().conv(x[1], [1, 1], [[1, 1], [1, 1]]) + x[0]).relu().mean(&[1, 2])
    };
    single_elements, &[&[1, 1], &[1]], false, |x| (x[0] * x[1]).exp().sum(&[0]);
    scalars, &[&[], &[]], false, |x| x[0].sin() * x[1];
    empty_axis, &[&[0, 3], &[3]], false, |x| (x[0] * x[1]).sum(&[0]) + x[1].square();
    empty_inner_product, &[&[2, 0], &[0, 3], &[2, 3]], false, |x| x[0].matmul(x[1]) + x[2].sin();
}

#[test]
fn a_value_given_twice_moves_along_the_sum_of_its_tangents() {
    let graph = Graph::new();
    let [x, a, b] = ["x", "a", "b"].map(|name| graph.input(name, [3], DType::F64));
    let twice = graph.jvp(&[x.sin()], &[x, x], &[a, b]).unwrap()[0];
    let sum = graph.jvp(&[x.sin()], &[x], &[a + b]).unwrap()[0];
    let inputs = [1, 2, 3].map(|seed| normal(&[3], seed));
    let results = run(&graph, &[twice, sum], &inputs, true);
    assert_eq!(results[0], results[1]);
}

#[test]
fn an_integer_label_picks_the_right_log_probability() {
    let graph = Graph::new();
    let logits = graph.input("logits", [4, 3], DType::F64);
    let labels = graph.input("labels", [4], DType::I32);
    let picked = graph.iota([4, 3], 1, DType::I32).equal(labels.reshape([4, 1]));
    let loss = -(picked.select(logits.log_softmax(), logits.like(0.0))).sum_all() / 4.0;
    let gradient = graph.vjp(&[loss], &[logits], None).unwrap()[0];
    let x = normal(&[4, 3], 5);
    let labels = Tensor::new([4], vec![0i32, 2, 1, 2]).unwrap();
    let g = run(&graph, &[gradient], &[x.clone(), labels], true)[0].to_f64();
    // Closed form: (softmax − one-hot) / N.
    for (row, label) in [0usize, 2, 1, 2].into_iter().enumerate() {
        let z: Vec<f64> = x.to_f64()[row * 3..row * 3 + 3].iter().map(|z| z.exp()).collect();
        for (column, e) in z.iter().enumerate() {
            let expected = (e / z.iter().sum::<f64>() - f64::from(u8::from(column == label))) / 4.0;
            assert!((g[row * 3 + column] - expected).abs() < 1e-15);
        }
    }
}

#[test]
fn log_sum_exp_does_not_overflow_and_keeps_nan() {
    let graph = Graph::new();
    let x = graph.input("x", [4, 2], DType::F64);
    let values = [1000.0, 1000.0, -1000.0, -1001.0, f64::INFINITY, 0.0, f64::NAN, 0.0];
    let out = run(&graph, &[x.log_sum_exp()], &[Tensor::from_f64([4, 2], DType::F64, &values).unwrap()], true);
    let out = out[0].to_f64();
    assert!((out[0] - (1000.0 + 2f64.ln())).abs() < 1e-12);
    assert!((out[1] - (-1000.0 + (-1f64).exp().ln_1p())).abs() < 1e-12);
    assert_eq!(out[2], f64::INFINITY);
    assert!(out[3].is_nan());
}

#[test]
fn a_nan_passes_through_relu_and_maxima() {
    let graph = Graph::new();
    let x = graph.input("x", [3], DType::F32);
    let out = run(&graph, &[x.relu(), x.max(&[0])], &[Tensor::new([3], vec![1.0f32, f32::NAN, -1.0]).unwrap()], true);
    let relu = out[0].to_f64();
    assert!(relu[0] == 1.0 && relu[1].is_nan() && relu[2] == 0.0);
    assert!(out[1].item().unwrap().is_nan());
}

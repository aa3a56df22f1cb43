//! What normalizations leave unchanged, and what their gradients follow from that.

use crate::support::{Found, Given, apply, exact, near, normal, tensor};
use evenkeel::config::NormKind;
use evenkeel::graph::{DType, Graph, Tensor, Var};
use evenkeel::nn::{BatchAxes, Context, GroupForm, ImprovedGroup, NormSettings};
use evenkeel_cpu::{Input, Options, Program};

const ROWS: usize = 6;
const INPUTS: usize = 5;
const UNITS: usize = 3;

/// A layer with these weights and a norm after it, on fixed inputs.
fn behind_a_layer(kind: NormKind, weights: &[f64]) -> Found {
    let (x, upstream) = (tensor(&[ROWS, INPUTS], &normal(ROWS * INPUTS, 21)), normal(ROWS * UNITS, 22));
    apply(exact(), &x, &upstream, &[("fc.weight", weights)], |cx, x| {
        cx.normalize(kind, "norm", cx.linear_without_bias("fc", x, UNITS))
    })
}

fn scaled(values: &[f64], factor: f64) -> Vec<f64> {
    values.iter().map(|value| value * factor).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn weights_before_a_norm_have_no_scale_and_a_gradient_that_shrinks_as_they_grow() {
    let weights = normal(INPUTS * UNITS, 23);
    for kind in [NormKind::Batch, NormKind::L1, NormKind::L2, NormKind::Linf, NormKind::Layer, NormKind::Rms] {
        let (once, many) = (behind_a_layer(kind, &weights), behind_a_layer(kind, &scaled(&weights, 40.0)));
        near(&many.output, &once.output, 1e-13);
        near(&many.by_input, &once.by_input, 1e-12);
        near(&scaled(&many.by_parameter["fc.weight"], 40.0), &once.by_parameter["fc.weight"], 1e-12);
    }
}

#[test]
fn gradient_descent_never_shortens_the_weights_of_a_unit_before_batch_norm() {
    let weights = normal(INPUTS * UNITS, 24);
    let gradient = behind_a_layer(NormKind::Batch, &weights).by_parameter["fc.weight"].clone();
    let unit = |values: &[f64], unit: usize| values.iter().skip(unit).step_by(UNITS).copied().collect::<Vec<_>>();
    for column in 0..UNITS {
        let (w, g) = (unit(&weights, column), unit(&gradient, column));
        assert!(dot(&w, &g).abs() < 1e-13);
        let stepped: Vec<f64> = w.iter().zip(&g).map(|(w, g)| w - 0.3 * g).collect();
        near(&[dot(&stepped, &stepped)], &[dot(&w, &w) + 0.09 * dot(&g, &g)], 1e-14);
    }
}

#[test]
fn a_bias_before_batch_norm_changes_nothing_and_learns_nothing() {
    let (x, upstream) = (tensor(&[ROWS, INPUTS], &normal(ROWS * INPUTS, 25)), normal(ROWS * UNITS, 26));
    let weights = normal(INPUTS * UNITS, 27);
    let of = |bias: &[f64]| {
        let given: Given<'_> = &[("fc.weight", &weights), ("fc.bias", bias)];
        apply(exact(), &x, &upstream, given, |cx, x| cx.batch_norm("norm", cx.linear("fc", x, UNITS)))
    };
    let (none, some) = (of(&[0.0; UNITS]), of(&[7.0, -30.0, 0.2]));
    near(&some.output, &none.output, 1e-12);
    assert!(some.by_parameter["fc.bias"].iter().all(|gradient| gradient.abs() < 1e-12));
}

#[test]
fn group_norm_and_what_follows_it_alone_ignore_the_scale_and_shift_of_a_samples_group() {
    let values = normal(3 * 4 * 4, 28);
    // Every group of every sample with a scale and a shift of its own: [N, H·W, C] with two groups of two channels.
    let moved: Vec<f64> = values
        .iter()
        .enumerate()
        .map(|(at, value)| {
            let group = at / 16 * 2 + at % 4 / 2;
            value * (1.0 + group as f64) - 3.0 * group as f64
        })
        .collect();
    let of = |form: Option<GroupForm>, values: &[f64]| {
        let x = tensor(&[3, 2, 2, 4], values);
        apply(exact(), &x, &[1.0; 48], &[], |cx, x| match form {
            None => cx.group_norm("norm", x, Some(2)),
            Some(form) => {
                let choices = ImprovedGroup { form, groups: Some(2), axes: BatchAxes::Samples, ..Default::default() };
                cx.improved_group_norm("norm", x, choices)
            }
        })
        .output
    };
    let change = |form| {
        let (before, after) = (of(form, &values), of(form, &moved));
        before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(change(None) < 1e-12);
    assert!(change(Some(GroupForm::GroupFirst)) < 1e-12);
    assert!(change(Some(GroupForm::Parallel)) > 0.1);
    assert!(change(Some(GroupForm::BatchFirst)) > 0.1);
}

#[test]
fn the_order_of_samples_is_the_order_of_outputs() {
    let values = normal(4 * 6, 29);
    let order = [2, 0, 3, 1];
    let rows = |values: &[f64]| order.iter().flat_map(|row| values[row * 6..row * 6 + 6].to_vec()).collect::<Vec<_>>();
    for kind in NormKind::ALL.iter().filter(|kind| **kind != NormKind::Instance) {
        let of = |values: &[f64]| {
            apply(exact(), &tensor(&[4, 6], values), &[1.0; 24], &[], |cx, x| cx.normalize(*kind, "norm", x)).output
        };
        near(&of(&rows(&values)), &rows(&of(&values)), 1e-14);
    }
}

#[test]
fn the_batch_of_improved_group_norm_has_mean_0_and_a_deviation_just_below_1() {
    let (samples, width) = (5, 4);
    let x = tensor(&[samples, width], &normal(samples * width, 30));
    let settings = NormSettings { epsilon: 0.05, ..NormSettings::default() };
    let choices = ImprovedGroup { groups: Some(1), axes: BatchAxes::Samples, ..Default::default() };
    let of = |lambda: f64| {
        let given: Given<'_> = &[("norm.lambda", &[lambda])];
        apply(settings, &x, &[1.0; 20], given, |cx, x| cx.improved_group_norm("norm", x, choices)).output
    };
    // The gate wide open is the groups alone, shut it is the batch alone.
    let (groups, batch) = (of(60.0), of(-60.0));
    let column = |values: &[f64], at: usize| values.iter().skip(at).step_by(width).copied().collect::<Vec<_>>();
    let moments = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / samples as f64;
        let square: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (mean, (square / (samples - 1) as f64).sqrt())
    };
    for at in 0..width {
        let ((mean, deviation), (_, before)) = (moments(&column(&batch, at)), moments(&column(&groups, at)));
        near(&[mean, deviation], &[0.0, before / (before + 0.05)], 1e-13);
    }
}

/// Values of a graph without inputs.
fn evaluate(graph: &Graph, outputs: &[Var<'_>]) -> Vec<Vec<f64>> {
    let names: Vec<String> = (0..outputs.len()).map(|at| at.to_string()).collect();
    let named: Vec<(&str, Var<'_>)> = names.iter().map(String::as_str).zip(outputs.iter().copied()).collect();
    let function = graph.function(&named).unwrap();
    let values: Vec<Tensor> = function
        .inputs()
        .iter()
        .map(|info| {
            let one = f64::from(u8::from(info.name.ends_with("weight")));
            Tensor::from_f64(&info.shape, DType::F64, &vec![one; info.shape.elements()]).unwrap()
        })
        .collect();
    let mut program = Program::compile(&function, &Options::default()).unwrap();
    let inputs: Vec<Input<'_>> = values.iter().map(Input::Read).collect();
    let mut found = program.new_outputs();
    program.run(&inputs, &mut found).unwrap();
    found.iter().map(Tensor::to_f64).collect()
}

#[test]
fn batch_norm_flattens_the_loss_along_its_gradient_by_the_amounts_of_the_theorems() {
    // One unit, γ = 1.7, over m samples; the loss of its outputs z is ½ zᵀ A z + bᵀ z.
    let (m, gamma, spectral) = (7usize, 1.7, 2.5);
    let root = normal(m * m, 31);
    let a: Vec<f64> = (0..m * m).map(|at| dot(&root[at / m * m..][..m], &root[at % m * m..][..m])).collect();
    let (b, y) = (normal(m, 32), scaled(&normal(m, 33), 3.0));
    let graph = Graph::new();
    let constant = |shape: &[usize], values: &[f64]| graph.constant(tensor(shape, values));
    let cx = Context::new(&graph, DType::F64, exact());
    let y_in = constant(&[m, 1], &y);
    let z = cx.batch_norm("norm", y_in) * gamma;
    let (curve, slope) = (constant(&[m, m], &a), constant(&[m, 1], &b));
    let loss = (z * curve.matmul(z)).sum_all() * 0.5 + (z * slope).sum_all();
    let by_y = graph.vjp(&[loss], &[y_in], None).unwrap()[0];
    let curved = graph.jvp(&[by_y], &[y_in], &[by_y]).unwrap()[0];
    let by_z = graph.vjp(&[loss], &[z], None).unwrap()[0];
    let found = evaluate(&graph, &[z, by_z, by_y, curved]);
    let [z, g, d, hd] = &found[..] else { panic!("{} values", found.len()) };

    let count = m as f64;
    let mean = y.iter().sum::<f64>() / count;
    let variance = y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / count;
    let unit = scaled(z, 1.0 / gamma);
    let (share, along) = (gamma * gamma / variance, dot(g, &unit));
    let total: f64 = g.iter().sum();
    // 4.1: the gradient loses its mean and its part along the outputs.
    near(&[dot(d, d)], &[share * (dot(g, g) - total * total / count - along * along / count)], 1e-12);
    assert!(d.iter().sum::<f64>().abs() < 1e-12 && dot(d, &unit).abs() < 1e-11);
    // 4.2: so does the curvature along it.
    let ad: Vec<f64> = a.chunks_exact(m).map(|row| dot(row, d)).collect();
    near(&[dot(d, hd)], &[share * dot(d, &ad) - gamma / (count * variance) * along * dot(d, d)], 1e-10);
    // 4.4: of all inputs X with spectral norm λ, X = λ d uᵀ / ‖d‖ has the largest gradient Xᵀ d of the weights.
    let largest = spectral * dot(d, d) / dot(d, d).sqrt();
    let plain = spectral * spectral * dot(g, g);
    let square = spectral * spectral;
    let lost = count * square * (total / count).powi(2) + square / count * along * along;
    near(&[largest * largest], &[share * (plain - lost)], 1e-12);
}

#[test]
fn equal_largest_elements_share_the_derivative_of_linf_norm() {
    // 6 twice: N = 6, and what flows to N flows to both in equal parts, in whatever order they come.
    let of = |values: &[f64], upstream: &[f64]| {
        apply(exact(), &tensor(&[4, 1], values), upstream, &[], |cx, x| cx.linf_norm("norm", x)).by_input
    };
    let found = of(&[6.0, 2.0, -6.0, 2.0], &[1.0, 0.0, 0.0, 0.0]);
    // g/N − mean(g/N) − sign(x)/2 · Σ g (x − μ) / N² at the two
    let (spread, slope) = (1.0 / 6.0 / 4.0, 5.0 / 36.0);
    near(&found, &[1.0 / 6.0 - spread - slope / 2.0, -spread, -spread + slope / 2.0, -spread], 1e-15);
    let turned = of(&[-6.0, 2.0, 6.0, 2.0], &[0.0, 0.0, 1.0, 0.0]);
    near(&[turned[2], turned[0]], &[found[0], found[2]], 1e-15);
}

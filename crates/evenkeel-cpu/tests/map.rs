//! Every primitive, its gradient and its Hessian product, mapped over a stack of values against one value at a time.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Graph, Tensor, Var};
use support::{distance, normal, positive, run};

struct Case {
    name: &'static str,
    shapes: &'static [&'static [usize]],
    positive: bool,
    formula: for<'g> fn(&[Var<'g>]) -> Var<'g>,
}

fn in_front(count: usize, shape: &[usize]) -> Vec<usize> {
    [&[count], shape].concat()
}

/// Value `n` of a stack.
fn slice(stack: &Tensor, n: usize) -> Tensor {
    let shape = stack.shape()[1..].to_vec();
    let elements: usize = shape.iter().product();
    let values = &stack.to_f64()[n * elements..(n + 1) * elements];
    match stack.dtype() {
        DType::I32 => Tensor::new(shape, values.iter().map(|&value| value as i32).collect()).unwrap(),
        dtype => Tensor::from_f64(shape, dtype, values).unwrap(),
    }
}

/// The value, its gradient and Hessian product with the directions, of Σ c · f(x)² with fixed weights c.
fn outputs<'g>(case: &Case, x: &[Var<'g>], v: &[Var<'g>]) -> Vec<Var<'g>> {
    let graph = x[0].graph();
    let value = (case.formula)(x);
    let float = value.cast(DType::F64);
    let weights = graph.constant(normal(&value.shape(), 99));
    let loss = (float * float * 0.5 * weights + float * weights).sum_all();
    let gradient = graph.vjp(&[loss], x, None).unwrap();
    let product = graph.jvp(&gradient, x, v).unwrap();
    [vec![value], gradient, product].concat()
}

fn check(case: &Case, count: usize) {
    let operands = case.shapes.len();
    let draw = if case.positive { positive } else { normal };
    // Each choice of operands and, last, of the directions to be stacked.
    for chosen in 1usize..2 << operands {
        let stacked = |n: usize| chosen & (1 << n.min(operands)) != 0;
        let graph = Graph::new();
        let input = |n: usize| graph.input(format!("{n}"), case.shapes[n % operands], DType::F64);
        let (x, v): (Vec<_>, Vec<_>) =
            ((0..operands).map(input).collect(), (operands..2 * operands).map(input).collect());
        let single = outputs(case, &x, &v);
        let all = [x, v].concat();
        let over: Vec<_> = (0..2 * operands).filter(|&n| stacked(n)).map(|n| all[n]).collect();
        let stacks: Vec<_> =
            over.iter().map(|var| graph.input("stack", in_front(count, &var.shape()), var.dtype())).collect();
        let mapped = graph.map(&single, &over, &stacks).unwrap();

        let value = |n: usize, shape: &[usize]| {
            if n % (2 * operands) < operands { draw(shape, n as u64) } else { normal(shape, n as u64) }
        };
        let shared: Vec<Tensor> = (0..2 * operands).map(|n| value(n, case.shapes[n % operands])).collect();
        let stacks: Vec<Tensor> = (0..2 * operands)
            .filter(|&n| stacked(n))
            .map(|n| value(n + 2 * operands, &in_front(count, case.shapes[n % operands])))
            .collect();
        let found = run(&graph, &mapped, &[shared.clone(), stacks.clone()].concat(), true);
        for k in 0..count {
            let mut inputs = shared.clone();
            let mut next = stacks.iter();
            (0..2 * operands).filter(|&n| stacked(n)).for_each(|n| inputs[n] = slice(next.next().unwrap(), k));
            inputs.extend(stacks.iter().cloned());
            let expected = run(&graph, &single, &inputs, true);
            for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let found = slice(found, k);
                assert_eq!(found.shape(), expected.shape());
                let off = distance(&[found], std::slice::from_ref(expected));
                assert!(off < 1e-13, "{} stacked {chosen:b}: output {place} of value {k} off by {off}", case.name);
            }
        }
    }
}

macro_rules! cases {
    ($($name:ident, $shapes:expr, $positive:expr, $formula:expr;)*) => {$(
        #[test]
        fn $name() {
            let case = Case { name: stringify!($name), shapes: $shapes, positive: $positive, formula: $formula };
            check(&case, 1);
            check(&case, 3);
        }
    )*};
}

const ODD: &[&[usize]] = &[&[3, 5]];
const PAIR: &[&[usize]] = &[&[3, 5], &[3, 5]];

cases! {
    functions_of_one_number, ODD, true, |x| {
        let y = (-x[0]).exp().expm1().sin() + x[0].log().cos() + x[0].log1p().tanh();
        y + x[0].sqrt().sigmoid() * x[0].rsqrt().erf() + (x[0] - 1.0).abs() + x[0].power(2.5) * x[0].sign()
    };
    functions_of_two_numbers, PAIR, true, |x| {
        (x[0] + x[1]) * (x[0] - x[1]) / x[1] + x[0].maximum(x[1]) * x[0].minimum(x[1]).sin() + x[0].raised_to(x[1])
    };
    masks_and_selections, PAIR, false, |x| {
        x[0].greater(x[1]).select(x[0] * x[1], x[1].sin()) + x[0].less(x[1]).cast(DType::F64) * x[0]
    };
    broadcasts, &[&[4, 3, 1], &[3, 7], &[]], false, |x| x[0] * x[1].sin() + x[2] * x[1];
    sums, &[&[3, 4, 5]], false, |x| x[0].square().sum(&[1]).sin().sum(&[0]) + x[0].sin().sum(&[0, 1]);
    maxima, ODD, false, |x| x[0].max(&[1]) * x[0].sum(&[1]) + x[0].max(&[0, 1]);
    log_sum_exp_and_softmax, ODD, false, |x| x[0].softmax() * x[0].log_sum_exp().sum_all();
    log_sum_exp_of_one_row, &[&[5]], false, |x| x[0].log_sum_exp();
    positions, ODD, false, |x| x[0].argmax().cast(DType::F64);
    an_iota_beside_a_stack, ODD, false, |x| x[0].sin() * x[0].graph().iota([3, 5], 1, DType::F64);
    constants, ODD, false, |x| {
        let dense = x[0].graph().constant(normal(&[3, 5], 7));
        2.0 / (x[0].square() + 1.0) - dense * x[0].sin()
    };
    reshapes_and_transposes, &[&[2, 3, 4]], false, |x| x[0].transpose(&[2, 0, 1]).reshape([8, 3]).sin();
    slices_and_pads, &[&[4, 5]], false, |x| {
        let part = x[0].slice_along_by(1, 1..5, 2).reverse(&[0]).sin();
        part.pad_with(&[[1, 2], [0, 1]], &[0, 1]).square() + part.sum_all()
    };
    concatenations, &[&[2, 3], &[4, 3]], false, |x| x[0].graph().concat(&[x[0], x[1].sin(), x[0].square()], 0).sin();
    matmul, &[&[3, 4], &[4, 5]], false, |x| x[0].matmul(x[1]);
    matmul_lhs_transposed, &[&[4, 3], &[4, 5]], false, |x| x[0].matmul_with(x[1], true, false);
    matmul_rhs_transposed, &[&[3, 4], &[5, 4]], false, |x| x[0].matmul_with(x[1], false, true);
    matmul_both_transposed, &[&[4, 3], &[5, 4]], false, |x| x[0].matmul_with(x[1], true, true);
    matmul_batched, &[&[2, 3, 4], &[2, 4, 5]], false, |x| x[0].matmul(x[1]);
    matmul_with_itself, &[&[3, 3]], false, |x| x[0].matmul(x[0]);
    convolution, &[&[2, 5, 6, 3], &[3, 3, 3, 4]], false, |x| x[0].conv(x[1], [1, 1], [[1, 1], [1, 1]]);
    convolution_strided, &[&[1, 6, 5, 2], &[3, 3, 2, 3]], false, |x| x[0].conv(x[1], [2, 2], [[1, 1], [1, 1]]);
    convolution_one_by_one, &[&[2, 4, 4, 3], &[1, 1, 3, 5]], false, |x| x[0].conv(x[1], [2, 2], [[0, 0], [0, 0]]);
    convolution_dilated, &[&[1, 7, 7, 2], &[3, 2, 2, 3]], false, |x| {
        x[0].conv_general(x[1], [1, 2], [[2, 2], [1, 0]], [2, 3], 1)
    };
    convolution_grouped, &[&[2, 4, 4, 6], &[3, 3, 3, 4]], false, |x| {
        x[0].conv_general(x[1], [1, 1], [[1, 1], [1, 1]], [1, 1], 2)
    };
    max_pool, &[&[2, 5, 6, 3]], false, |x| x[0].max_pool([3, 3], [2, 2], [[1, 1], [1, 1]]);
    average_pool, &[&[2, 5, 6, 3]], false, |x| x[0].square().average_pool([2, 3], [1, 2], [[1, 0], [0, 1]]);
    batch_norm_over_samples, &[&[6, 4], &[4]], false, |x| {
        let centered = x[0] - x[0].mean(&[0]);
        centered * ((centered.square().mean(&[0]) + 1e-3).rsqrt() * x[1])
    };
    a_small_network, &[&[2, 6, 6, 2], &[3, 3, 2, 3], &[3, 3, 3, 3], &[27, 4]], false, |x| {
        let y = x[0].conv(x[1], [1, 1], [[1, 1], [1, 1]]).relu();
        let y = (y.conv(x[2], [1, 1], [[1, 1], [1, 1]]).tanh() + y).max_pool([2, 2], [2, 2], [[0, 0], [0, 0]]);
        y.flatten().matmul(x[3]).log_softmax()
    };
}

#[test]
fn values_looked_up_and_added_at_stacked_places_are_those_of_each_value() {
    // Indices outside 0..4 read nothing, also where a neighbour in the stack has a value there.
    let all: Vec<i32> = vec![0, 3, 3, -1, 4, 2, 1, 7, -5, 0, 0, 2, 3, 1, 9, -2, 2, 3];
    let whole = Tensor::new([3, 2, 3], all).unwrap();
    for (x_stacked, y_stacked, indices_stacked) in
        [(true, false, false), (false, false, true), (true, true, true), (false, true, true), (false, true, false)]
    {
        let graph = Graph::new();
        let (x, y) = (graph.input("x", [2, 4, 2], DType::F64), graph.input("y", [2, 2, 3, 2], DType::F64));
        let indices = graph.input("indices", [2, 3], DType::I32);
        let looked_up = (x * x).gather(1, indices);
        let values = [looked_up, (y * looked_up).scatter_add(1, indices, 4)];
        let pairs = [(x, x_stacked), (y, y_stacked), (indices, indices_stacked)];
        let over: Vec<_> = pairs.iter().filter(|(_, stacked)| *stacked).map(|(var, _)| *var).collect();
        let stacks: Vec<_> =
            over.iter().map(|var| graph.input("stack", in_front(3, &var.shape()), var.dtype())).collect();
        let mapped = graph.map(&values, &over, &stacks).unwrap();
        let given = [normal(&[3, 2, 4, 2], 1), normal(&[3, 2, 2, 3, 2], 2), whole.clone()];
        let shared: Vec<Tensor> = given.iter().map(|stack| slice(stack, 0)).collect();
        let stacks: Vec<Tensor> =
            given.iter().zip(pairs).filter(|(_, (_, stacked))| *stacked).map(|(stack, _)| stack.clone()).collect();
        let found = run(&graph, &mapped, &[shared.clone(), stacks.clone()].concat(), true);
        for k in 0..3 {
            let one = given.iter().zip(pairs).map(|(stack, (_, stacked))| slice(stack, if stacked { k } else { 0 }));
            let expected = run(&graph, &values, &one.chain(stacks.iter().cloned()).collect::<Vec<_>>(), true);
            assert!(distance(&found.iter().map(|found| slice(found, k)).collect::<Vec<_>>(), &expected) < 1e-14);
        }
    }
}

#[test]
fn each_key_of_a_stack_draws_its_own_numbers() {
    let graph = Graph::new();
    let (key, x) = (graph.input("key", [4], DType::I32), graph.input("x", [3, 5], DType::F64));
    let (keys, xs) = (graph.input("keys", [3, 4], DType::I32), graph.input("xs", [3, 3, 5], DType::F64));
    let noisy = [x * graph.uniform(key, [3, 5], DType::F64) + graph.normal(key, [3, 5], DType::F64)];
    let (both, one) = (graph.map(&noisy, &[key, x], &[keys, xs]).unwrap(), graph.map(&noisy, &[x], &[xs]).unwrap());
    let words: Vec<i32> =
        (0..3).flat_map(|step| Key::new(1, "site", step).tensor().as_slice::<i32>().unwrap().to_vec()).collect();
    let (words, values) = (Tensor::new([3, 4], words).unwrap(), normal(&[3, 3, 5], 2));
    let inputs = |key: usize, x: usize| [slice(&words, key), slice(&values, x), words.clone(), values.clone()];
    let found = run(&graph, &[both[0], one[0]], &inputs(0, 0), true);
    for k in 0..3 {
        let single = |key: usize| run(&graph, &noisy, &inputs(key, k), true).remove(0);
        assert_eq!(slice(&found[0], k), single(k));
        assert_eq!(slice(&found[1], k), single(0), "a shared key draws the same for all");
    }
}

#[test]
fn a_map_of_a_map_has_both_axes() {
    let graph = Graph::new();
    let (x, y) = (graph.input("x", [3, 4], DType::F64), graph.input("y", [4, 2], DType::F64));
    let (xs, ys) = (graph.input("xs", [5, 3, 4], DType::F64), graph.input("ys", [2, 4, 2], DType::F64));
    let value = x.matmul(y).tanh().sum(&[1]);
    let inner = graph.map(&[value], &[y], &[ys]).unwrap();
    let outer = graph.map(&inner, &[x], &[xs]).unwrap();
    let inputs = [normal(&[3, 4], 1), normal(&[4, 2], 2), normal(&[5, 3, 4], 3), normal(&[2, 4, 2], 4)];
    let found = &run(&graph, &outer, &inputs, true)[0];
    assert_eq!(found.shape()[..], [5, 2, 3]);
    for i in 0..5 {
        for j in 0..2 {
            let one = [slice(&inputs[2], i), slice(&inputs[3], j), inputs[2].clone(), inputs[3].clone()];
            let expected = run(&graph, &[value], &one, true);
            assert!(distance(&[slice(&slice(found, i), j)], &expected) < 1e-14);
        }
    }
}

#[test]
fn the_gradient_of_a_mapped_loss_is_the_sum_of_mapped_gradients() {
    let graph = Graph::new();
    let (x, w) = (graph.input("x", [1, 5, 5, 2], DType::F64), graph.input("w", [3, 3, 2, 3], DType::F64));
    let samples = graph.input("samples", [4, 1, 5, 5, 2], DType::F64);
    let loss = x.conv(w, [1, 1], [[1, 1], [1, 1]]).tanh().square().sum_all();
    let gradient = graph.vjp(&[loss], &[w], None).unwrap();
    let each = graph.map(&gradient, &[x], &[samples]).unwrap()[0];
    let losses = graph.map(&[loss], &[x], &[samples]).unwrap()[0];
    let whole = graph.vjp(&[losses.sum_all()], &[w], None).unwrap()[0];
    let inputs = [normal(&[1, 5, 5, 2], 1), normal(&[3, 3, 2, 3], 2), normal(&[4, 1, 5, 5, 2], 3)];
    let found = run(&graph, &[each, each.sum(&[0]), whole], &inputs, true);
    assert_eq!(found[0].shape()[..], [4, 3, 3, 2, 3]);
    assert!(distance(&found[1..2], &found[2..]) < 1e-14);
}

#[test]
fn what_does_not_depend_on_the_stack_is_computed_once() {
    let graph = Graph::new();
    let (x, w) = (graph.input("x", [8, 6], DType::F64), graph.input("w", [6, 5], DType::F64));
    let direction = graph.input("direction", [6, 5], DType::F64);
    let stack = graph.input("stack", [4, 6, 5], DType::F64);
    let loss = x.matmul(w).tanh().square().sum_all();
    let gradient = graph.vjp(&[loss], &[w], None).unwrap();
    let product = graph.jvp(&gradient, &[w], &[direction]).unwrap();
    let block = graph.map(&product, &[direction], &[stack]).unwrap();
    let unit = 2 * 8 * 6 * 5;
    assert_eq!(graph.function(&[("product", product[0])]).unwrap().flops(), 3 * unit);
    assert_eq!(graph.function(&[("block", block[0])]).unwrap().flops(), unit + 4 * 2 * unit);
}

#[test]
fn a_stack_that_does_not_fit_its_value_is_refused() {
    let graph = Graph::new();
    let x = graph.input("x", [3], DType::F64);
    let wrong = graph.input("wrong", [2, 4], DType::F64);
    let error = graph.map(&[x.sin()], &[x], &[wrong]).unwrap_err();
    assert!(error.to_string().contains("2 values in front of"), "{error}");
    let empty = graph.input("empty", [0, 3], DType::F64);
    assert!(graph.map(&[x.sin()], &[x], &[empty]).is_err());
    assert!(graph.map(&[x.sin()], &[], &[]).is_err());
    assert!(graph.map(&[x.sin()], &[x], &[]).is_err());
}

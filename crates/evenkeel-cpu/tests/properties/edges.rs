//! Shapes and programs at the edge: nothing in them, very much in them, very many of them.

use crate::judge::Judge;
use crate::recipe::{Kind, Style, recipes, write};
use crate::{compiled, directions, garbage, interpreter, loss, named, run};
use evenkeel_cpu::{Error, Input, Options, Program};
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Graph, Tensor, Var};
use proptest::prelude::*;

fn numbers(shape: &[usize], seed: u64) -> Tensor {
    let mut random = Key::new(seed, "edges", 0).random();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal_f64()).collect();
    Tensor::from_f64(shape, DType::F64, &values).unwrap()
}

/// Value, gradient and Hessian product of a formula against the interpreter, fused and not.
fn check(shapes: &[&[usize]], formula: impl for<'g> Fn(&[Var<'g>]) -> Var<'g>) {
    let graph = Graph::new();
    let x: Vec<Var<'_>> = shapes.iter().map(|shape| graph.input("x", *shape, DType::F64)).collect();
    let value = formula(&x);
    graph.check().unwrap();
    let (along, tensors) = directions(&graph, &x, 1);
    let mut outputs = vec![value];
    if value.dtype().is_float() {
        let gradient = graph.vjp(&[loss(&[value])], &x, None).unwrap();
        outputs.extend(graph.jvp(&gradient, &x, &along).unwrap());
        outputs.extend(gradient);
    }
    let at = shapes.iter().enumerate().map(|(number, shape)| numbers(shape, number as u64));
    let inputs: Vec<Tensor> = at.chain(tensors).collect();
    let judge = Judge::new(|noise| interpreter::of_graph(&graph, &outputs, &inputs, noise));
    let function = named(&graph, &outputs);
    for fuse in [true, false] {
        let results = run(&mut compiled(&function, fuse), &inputs);
        judge.accept(&results).unwrap_or_else(|fault| panic!("{shapes:?}, fuse {fuse}: {fault}\n{function}"));
    }
}

#[test]
fn elementwise_work_on_nothing_gives_nothing() {
    for shape in [&[0][..], &[2, 0], &[0, 0, 3]] {
        check(&[shape], |x| x[0].exp() * x[0].relu() + x[0].sign());
        check(&[shape, shape], |x| x[0].greater(x[1]).select(x[0] / x[1], x[0].maximum(x[1])));
        check(&[shape], |x| x[0].cast(DType::I32).cast(DType::Bool).cast(DType::F64) * x[0]);
        check(&[shape, &[]], |x| x[0] + x[1]);
    }
    check(&[&[1, 3], &[0, 1]], |x| x[0] * x[1]);
    check(&[&[0]], |x| x[0] + x[0].graph().iota([2, 0], 1, DType::F64));
}

#[test]
fn reductions_of_nothing_are_the_neutral_number_and_of_no_rows_nothing() {
    check(&[&[0, 3]], |x| x[0].sum(&[0]));
    check(&[&[0, 3]], |x| x[0].sum(&[1]));
    check(&[&[3, 0, 2]], |x| x[0].sum(&[1]).sin());
    check(&[&[3, 0, 2]], |x| x[0].sum_all());
    check(&[&[0, 3]], |x| x[0].max(&[1]));
    check(&[&[3, 0]], |x| (-x[0].max(&[1])).exp().minimum(x[0].graph().splat(2.0, [], DType::F64)));
    check(&[&[0, 3]], |x| x[0].log_softmax());
    check(&[&[0, 3]], |x| x[0].argmax());
    check(&[&[0, 3]], |x| x[0].mean(&[0]));
    check(&[&[0, 2]], |x| x[0].like(f64::INFINITY).sum(&[0]) + x[0].sum(&[0]));
}

#[test]
fn moves_of_nothing_keep_their_shape() {
    check(&[&[0, 3]], |x| x[0].reshape([3, 0, 2]).transpose(&[1, 2, 0]));
    check(&[&[0, 3, 2]], |x| x[0].transpose(&[2, 0, 1]).square());
    check(&[&[3]], |x| x[0].broadcast_along(vec![1], &[0, 3].into()).sin());
    check(&[&[0]], |x| x[0].broadcast_along(vec![0], &[0, 3].into()).sum(&[0]));
    check(&[&[0]], |x| x[0].flatten());
}

#[test]
fn products_of_nothing_are_empty_or_zero() {
    for [m, k, n] in [[0, 3, 2], [3, 0, 2], [3, 2, 0], [0, 0, 0], [0, 1, 0]] {
        check(&[&[m, k], &[k, n]], |x| x[0].matmul(x[1]));
        check(&[&[k, m], &[n, k]], |x| x[0].matmul_with(x[1], true, true));
        check(&[&[2, m, k], &[2, k, n]], |x| x[0].matmul(x[1]));
        check(&[&[0, m, k], &[0, k, n]], |x| x[0].matmul(x[1]));
    }
}

#[test]
fn convolutions_of_nothing_are_empty_or_zero() {
    let shapes: [[&[usize]; 2]; 6] = [
        [&[0, 4, 4, 2], &[3, 3, 2, 3]],
        [&[2, 4, 4, 0], &[3, 3, 0, 3]],
        [&[2, 4, 4, 2], &[3, 3, 2, 0]],
        [&[2, 0, 4, 2], &[3, 3, 2, 3]],
        [&[2, 0, 0, 0], &[1, 1, 0, 0]],
        [&[1, 1, 1, 2], &[5, 5, 2, 1]],
    ];
    for shapes in shapes {
        check(&shapes, |x| x[0].conv(x[1], [1, 1], [[1, 1], [1, 1]]));
        check(&shapes, |x| x[0].conv(x[1], [2, 3], [[0, 1], [3, 0]]));
    }
    check(&[&[2, 3, 3, 0], &[2, 2, 0, 4]], |x| x[0].conv_general(x[1], [1, 1], [[0, 0], [0, 0]], [1, 1], 2));
}

#[test]
fn windows_over_nothing_are_empty_or_zero() {
    for shape in [[0, 4, 4, 2], [2, 4, 4, 0], [2, 0, 4, 2], [1, 1, 1, 1]] {
        check(&[&shape], |x| x[0].window_sum([2, 2], [1, 2], [[1, 0], [0, 1]]));
        check(&[&shape], |x| x[0].average_pool([3, 3], [2, 2], [[0, 0], [0, 0]]));
        if shape[1] > 0 {
            check(&[&shape], |x| x[0].max_pool([2, 2], [1, 2], [[1, 0], [0, 1]]));
        }
    }
}

#[test]
fn long_axes_are_like_short_ones() {
    for shape in [&[70_001][..], &[1, 70_001], &[2, 35_003], &[23_003, 3]] {
        check(&[shape], |x| (x[0] - x[0].mean(&[0])).square().sum(&[0]) + x[0].max(&[0]));
    }
    check(&[&[30_001]], |x| x[0].log_sum_exp());
    check(&[&[3, 5_001], &[5_001, 2]], |x| x[0].matmul(x[1]));
    check(&[&[1, 2, 3_001, 1], &[1, 3, 1, 2]], |x| x[0].conv(x[1], [1, 1], [[0, 0], [1, 1]]));
}

#[test]
fn a_hundred_axes_are_like_two() {
    let mut shape = [1; 100];
    for axis in (0..100).step_by(15) {
        shape[axis] = 2;
    }
    let reversed: Vec<usize> = (0..100).rev().collect();
    let even: Vec<usize> = (0..100).step_by(2).collect();
    check(&[&shape], |x| x[0].transpose(&reversed).sin() + x[0].transpose(&reversed).sum(&even[..3]).sum_all());
    check(&[&shape], |x| x[0].sum(&even).exp());
    check(&[&shape, &[2]], |x| x[0].square().sum_all() * x[1].broadcast_along(vec![45], &shape.into()).tanh());
}

#[test]
fn a_chain_of_twenty_thousand_nodes_is_one_long_formula() {
    let graph = Graph::new();
    let x = graph.input("x", [2, 3], DType::F64);
    let value = (0..10_000).fold(x, |value, _| value * 0.5 + 0.25);
    let gradient = graph.vjp(&[value.sum_all()], &[x], None).unwrap()[0];
    let at = numbers(&[2, 3], 1);
    let results = run(&mut compiled(&named(&graph, &[value, gradient]), true), &[at]);
    assert_eq!(results[0].to_f64(), vec![0.5; 6]);
    assert_eq!(results[1].to_f64(), vec![0.0; 6]);
}

#[test]
fn a_deep_network_has_its_gradient() {
    // Two thousand layers of x ← tanh(x w) with one shared weight, compared with the recurrence written out.
    let graph = Graph::new();
    let (x, w) = (graph.input("x", [1, 2], DType::F64), graph.input("w", [2, 2], DType::F64));
    let value = (0..2_000).fold(x, |x, _| x.matmul(w).tanh());
    let slope = graph.vjp(&[value.sum_all()], &[w], None).unwrap()[0];
    let weight = [0.9, 0.4, -0.4, 0.9];
    let at = [
        Tensor::from_f64([1, 2], DType::F64, &[0.3, -0.2]).unwrap(),
        Tensor::from_f64([2, 2], DType::F64, &weight).unwrap(),
    ];
    let results = run(&mut compiled(&named(&graph, &[value, slope]), true), &at);
    let forward = |w: [f64; 4]| {
        (0..2_000).fold([0.3, -0.2], |x: [f64; 2], _| {
            [(x[0] * w[0] + x[1] * w[2]).tanh(), (x[0] * w[1] + x[1] * w[3]).tanh()]
        })
    };
    let expected = forward(weight);
    for (got, expected) in results[0].to_f64().iter().zip(expected) {
        assert!((got - expected).abs() < 1e-12, "{got} {expected}");
    }
    for (place, got) in results[1].to_f64().into_iter().enumerate() {
        let moved = |step: f64| {
            let mut w = weight;
            w[place] += step;
            forward(w).iter().sum::<f64>()
        };
        let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((got - difference).abs() < 1e-5 * (1.0 + got.abs()), "{got} {difference}");
    }
}

#[test]
fn outputs_larger_than_the_machine_are_refused_and_not_attempted() {
    for shape in [vec![1 << 45], vec![1 << 25, 1 << 25]] {
        let graph = Graph::new();
        let y = graph.input("x", [], DType::F64).broadcast_to(&shape.into());
        let function = graph.function(&[("y", y), ("twice", y * 2.0)]).unwrap();
        for fuse in [true, false] {
            match Program::compile(&function, &Options { fuse, ..Options::default() }) {
                Err(error @ Error::Memory { .. }) => assert!(error.to_string().contains("bytes"), "{error}"),
                Err(error) => panic!("{error}"),
                Ok(_) => panic!("a program with outputs of petabytes was compiled"),
            }
        }
    }
}

#[test]
fn a_program_larger_than_the_machine_is_refused_and_not_attempted() {
    let graph = Graph::new();
    let x = graph.input("x", [1 << 45], DType::F64);
    // The mean of the first pass is needed by the second, so the exponentials must be kept.
    let y = x.exp();
    let function = graph.function(&[("y", (y / y.mean_all()).square().sum_all())]).unwrap();
    match Program::compile(&function, &Options { fuse: false, ..Options::default() }) {
        Err(error @ Error::Memory { .. }) => assert!(error.to_string().contains("bytes"), "{error}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a program of petabytes was compiled"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn donations_and_tensors_that_do_not_fit_are_refused_and_change_nothing(
        recipe in recipes(), donations in proptest::collection::vec((0usize..4, 0usize..4), 0..4), wrong in any::<u8>()
    ) {
        let graph = Graph::new();
        let written = write(&graph, &recipe, Style::new(DType::F64, Kind::Any));
        let function = named(&graph, &written.outputs);
        let inputs = written.tensors(recipe.seed.into());
        let plain = run(&mut compiled(&function, true), &inputs);
        let fits = donations.iter().enumerate().all(|(place, &(input, output))| {
            let alone = donations[..place].iter().all(|&(i, o)| i != input && o != output);
            alone && match (inputs.get(input), plain.get(output)) {
                (Some(a), Some(b)) => a.shape() == b.shape() && a.dtype() == b.dtype(),
                _ => false,
            }
        });
        let compiled = Program::compile(&function, &Options { donations: donations.clone(), ..Options::default() });
        prop_assert_eq!(compiled.is_ok(), fits, "{:?}", donations);
        let Ok(mut program) = compiled else { return Ok(()) };

        // One tensor of another shape or type, one too few, or one given the wrong way.
        let mut outputs: Vec<Tensor> = program.new_outputs().iter().map(garbage).collect();
        let before = outputs.clone();
        let other = Tensor::zeros([3, 1, 4, 1, 5], DType::Bool);
        let mut given: Vec<Input<'_>> = inputs.iter().map(Input::Read).collect();
        for &(input, _) in &donations {
            given[input] = Input::Donated;
        }
        let victim = usize::from(wrong / 4) % given.len();
        match wrong % 4 {
            0 => given[victim] = Input::Read(&other),
            1 => {
                given.pop();
            }
            2 => {
                given[victim] = match given[victim] {
                    Input::Read(_) => Input::Donated,
                    Input::Donated => Input::Read(&inputs[victim]),
                }
            }
            _ => {
                let victim = usize::from(wrong / 4) % outputs.len();
                outputs[victim] = other.clone();
            }
        }
        prop_assert!(program.run(&given, &mut outputs).is_err());
        prop_assert!(program.first_non_finite(&given, &mut outputs).is_err());
        let untouched = |(number, tensor): (usize, &Tensor)| {
            wrong % 4 == 3 && number == usize::from(wrong / 4) % outputs.len()
                || crate::judge::same_bits(std::slice::from_ref(tensor), &before[number..=number]).is_ok()
        };
        prop_assert!(outputs.iter().enumerate().all(untouched));
    }
}

//! Compiled programs: the same bits on any number of threads, memory handed over in place, calls that do not fit.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_cpu::{Error, Input, Options, Program};
use evenkeel_graph::{DType, Graph, Tensor, Var};
use proptest::prelude::*;
use support::{distance, normal, run};

fn f32s(tensor: &Tensor) -> Tensor {
    tensor.cast(DType::F32)
}

/// A convolution, batch statistics, pools, a product, a loss: every kernel takes part, in f32, with its gradient.
fn network(graph: &Graph) -> (Vec<Var<'_>>, Vec<Tensor>) {
    let shapes: [&[usize]; 5] = [&[16, 16, 16, 3], &[3, 3, 3, 17], &[17], &[17 * 64, 300], &[16]];
    let x: Vec<Var<'_>> = (0..4).map(|n| graph.input(format!("x{n}"), shapes[n], DType::F32)).collect();
    let labels = graph.input("labels", shapes[4], DType::I32);
    let y = x[0].conv(x[1], [1, 1], [[1, 1], [1, 1]]);
    let centered = y - y.mean(&[0, 1, 2]);
    let y = (centered * ((centered.square().mean(&[0, 1, 2]) + 1e-5).rsqrt() * x[2])).relu();
    let logits = y.max_pool([2, 2], [2, 2], [[0, 0], [0, 0]]).flatten().matmul(x[3]);
    let picked = graph.iota([16, 300], 1, DType::I32).equal(labels.reshape([16, 1]));
    let loss = (logits.log_sum_exp() - picked.select(logits, logits.like(0.0)).sum(&[1])).mean_all();
    let mut outputs = vec![loss];
    outputs.extend(graph.vjp(&[loss], &x, None).unwrap());
    let mut inputs: Vec<Tensor> = (0..4).map(|n| f32s(&normal(shapes[n], n as u64))).collect();
    inputs.push(Tensor::new([16], (0..16).collect::<Vec<i32>>()).unwrap());
    (outputs, inputs)
}

#[test]
fn one_two_and_four_threads_give_the_same_bits() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let graph = Graph::new();
            let (outputs, inputs) = network(&graph);
            run(&graph, &outputs, &inputs, true)
        })
    };
    let one = on(1);
    assert!(one[0].item().unwrap().is_finite());
    assert_eq!(one, on(2));
    assert_eq!(one, on(4));
    assert_eq!(one, on(2), "a second run differs");
}

#[test]
fn a_profile_tells_every_step_and_leaves_the_results_of_a_run() {
    let graph = Graph::new();
    let (outputs, inputs) = network(&graph);
    let expected = run(&graph, &outputs, &inputs, true);
    let named: Vec<(String, Var<'_>)> = outputs.iter().enumerate().map(|(n, &var)| (n.to_string(), var)).collect();
    let named: Vec<(&str, Var<'_>)> = named.iter().map(|(name, var)| (name.as_str(), *var)).collect();
    let mut program = Program::compile(&graph.function(&named).unwrap(), &Options::default()).unwrap();
    let mut results = program.new_outputs();
    let inputs: Vec<Input<'_>> = inputs.iter().map(Input::Read).collect();
    let steps = program.steps();
    let seconds = program.profile(&inputs, &mut results, 3).unwrap();
    assert_eq!(results, expected);
    assert_eq!(steps.len(), program.step_count());
    assert_eq!(steps.iter().map(|step| step.flops).sum::<u64>(), program.function().flops());
    assert!(steps.iter().all(|step| step.operations > 0));
    assert!(seconds.len() == steps.len() && seconds.iter().all(|seconds| seconds.len() == 3));
    let forward = steps.iter().find(|step| step.kind == "convolution").unwrap();
    // Read once: the images and the weights; written once: the result.
    assert_eq!(forward.bytes, 4 * (16 * 256 * 3 + 27 * 17 + 16 * 256 * 17));
    assert_eq!(forward.shape.to_vec(), [16, 16, 16, 17]);
}

#[test]
fn single_precision_is_double_precision_rounded() {
    let graph = Graph::new();
    let (outputs, inputs) = network(&graph);
    let single = run(&graph, &outputs, &inputs, true);
    let plain = run(&graph, &outputs, &inputs, false);
    for (number, (fused, plain)) in single.iter().zip(&plain).enumerate() {
        let off = distance(std::slice::from_ref(fused), std::slice::from_ref(plain));
        assert!(off < 1e-5, "output {number} is off by {off}");
    }
}

#[test]
fn a_donated_input_is_overwritten_where_it_lies() {
    let graph = Graph::new();
    let (p, g) = (graph.input("p", [1000], DType::F64), graph.input("g", [1000], DType::F64));
    // The old value is read by another output as well, traced after the update.
    let new = p - g * 0.1;
    let function = graph.function(&[("new", new), ("twice", (p + p).sum_all())]).unwrap();
    let options = Options { donations: vec![(0, 0)], ..Options::default() };
    let mut program = Program::compile(&function, &options).unwrap();
    let mut outputs = program.new_outputs();
    let (start, gradient) = (normal(&[1000], 1), normal(&[1000], 2));
    outputs[0] = start.clone();
    let address = outputs[0].as_slice::<f64>().unwrap().as_ptr();
    program.run(&[Input::Donated, Input::Read(&gradient)], &mut outputs).unwrap();
    assert_eq!(outputs[0].as_slice::<f64>().unwrap().as_ptr(), address);
    let expected: Vec<f64> = start.to_f64().iter().zip(gradient.to_f64()).map(|(p, g)| p - g * 0.1).collect();
    assert_eq!(outputs[0].to_f64(), expected);
    let sum: f64 = start.to_f64().iter().map(|p| p + p).sum();
    assert!((outputs[1].item().unwrap() - sum).abs() < 1e-10);
}

#[test]
fn a_sum_in_the_loop_that_overwrites_its_operand_reads_the_old_values() {
    // Regression: the store into the operand's memory came before the sum of the same tile.
    let graph = Graph::new();
    let x = graph.input("x", [3, 4], DType::F64);
    let function = graph.function(&[("sum", x.sum(&[0])), ("new", x * 0.5 + 1.0)]).unwrap();
    let options = Options { donations: vec![(0, 1)], ..Options::default() };
    let mut program = Program::compile(&function, &options).unwrap();
    let mut outputs = program.new_outputs();
    outputs[1] = normal(&[3, 4], 1);
    program.run(&[Input::Donated], &mut outputs).unwrap();
    let x = normal(&[3, 4], 1).to_f64();
    let expected: Vec<f64> = (0..4).map(|column| x[column] + x[4 + column] + x[8 + column]).collect();
    assert_eq!(outputs[0].to_f64(), expected);
    assert_eq!(outputs[1].to_f64(), x.iter().map(|x| x * 0.5 + 1.0).collect::<Vec<_>>());
}

#[test]
fn integers_and_masks_inside_a_loop_are_what_they_are_in_memory() {
    // Regression: a cast within a loop kept the fraction, and so did a quotient of integers.
    let graph = Graph::new();
    let x = graph.input("x", [4], DType::F64);
    let whole = x.cast(DType::I32);
    let halves = (whole / whole.like(2.0) * whole.like(2.0)).cast(DType::F64);
    let outputs = [whole.cast(DType::F64) + 0.25, x.cast(DType::Bool).cast(DType::F64) * 10.0, halves * 1.5];
    let at = Tensor::from_f64([4], DType::F64, &[2.75, -3.5, 0.0, 1e10]).unwrap();
    let results = run(&graph, &outputs, &[at], true);
    assert_eq!(results[0].to_f64(), [2.25, -2.75, 0.25, 2_147_483_647.25]);
    assert_eq!(results[1].to_f64(), [10.0, 10.0, 0.0, 10.0]);
    assert_eq!(results[2].to_f64(), [3.0, -3.0, 0.0, 3_221_225_469.0]);
}

#[test]
fn an_operand_whose_unit_axes_are_swapped_is_found_in_its_own_loop() {
    // Regression: the transposed operand looked like the value itself, which the loop did not store.
    let graph = Graph::new();
    let x = graph.input("x", [2, 1, 1, 3], DType::F64);
    let y = x.exp();
    let results = run(&graph, &[(y + y.transpose(&[0, 2, 1, 3]).sin()).sum_all()], &[normal(&[2, 1, 1, 3], 1)], true);
    let expected: f64 = normal(&[2, 1, 1, 3], 1).to_f64().iter().map(|x| x.exp() + x.exp().sin()).sum();
    assert!((results[0].item().unwrap() - expected).abs() < 1e-12);
}

#[test]
fn two_donated_inputs_may_trade_places() {
    let graph = Graph::new();
    let (a, b) = (graph.input("a", [3], DType::F64), graph.input("b", [3], DType::F64));
    let function = graph.function(&[("a", b * 1.0), ("b", a + 0.0)]).unwrap();
    let options = Options { donations: vec![(0, 0), (1, 1)], ..Options::default() };
    let mut program = Program::compile(&function, &options).unwrap();
    let mut outputs = vec![normal(&[3], 1), normal(&[3], 2)];
    program.run(&[Input::Donated, Input::Donated], &mut outputs).unwrap();
    assert_eq!(outputs, vec![normal(&[3], 2), normal(&[3], 1)]);
}

#[test]
fn an_input_and_a_constant_may_be_outputs_and_one_value_two_of_them() {
    let graph = Graph::new();
    let x = graph.input("x", [2, 2], DType::F64);
    let y = x.exp();
    let outputs = run(&graph, &[x, y, y, x.like(3.0), y.reshape([4])], &[normal(&[2, 2], 1)], true);
    assert_eq!(outputs[0], normal(&[2, 2], 1));
    assert_eq!(outputs[1], outputs[2]);
    assert_eq!(outputs[3].to_f64(), vec![3.0; 4]);
    assert_eq!(outputs[4].to_f64(), outputs[1].to_f64());
}

#[test]
fn a_call_that_does_not_fit_says_what_was_expected() {
    let graph = Graph::new();
    let x = graph.input("pixels", [2, 3], DType::F32);
    let function = graph.function(&[("y", x.tanh())]).unwrap();
    let mut program = Program::compile(&function, &Options::default()).unwrap();
    let mut outputs = program.new_outputs();
    let wrong = Tensor::zeros([3, 2], DType::F32);
    let error = program.run(&[Input::Read(&wrong)], &mut outputs).unwrap_err();
    assert_eq!(error.to_string(), "pixels is f32 [2, 3], got f32 [3, 2]");
    assert!(matches!(program.run(&[], &mut outputs), Err(Error::Count { expected: 1, got: 0, .. })));
    let donated = program.run(&[Input::Donated], &mut outputs).unwrap_err();
    assert_eq!(donated.to_string(), "input pixels was not compiled to be donated");
}

#[test]
fn the_first_value_that_is_not_finite_is_named_with_its_place() {
    let graph = Graph::new();
    let x = graph.input("x", [4, 3], DType::F32);
    let y = {
        let _scope = graph.scope("block1");
        x * 2.0
    };
    let y = {
        let _scope = graph.scope("norm2");
        y.log()
    };
    let function = graph.function(&[("y", y.exp())]).unwrap();
    let mut program = Program::compile(&function, &Options { fuse: false, ..Options::default() }).unwrap();
    let mut outputs = program.new_outputs();
    let mut values = vec![1.0f32; 12];
    values[4] = 0.0;
    let x = Tensor::new([4, 3], values).unwrap();
    let found = program.first_non_finite(&[Input::Read(&x)], &mut outputs).unwrap().unwrap();
    assert_eq!((found.scope.as_str(), found.operation.as_str()), ("norm2", "log"));
    assert_eq!((found.elements, found.channels), ((1, 12), (1, 3)));
}

/// One step of a random program over matrices of one shape.
fn apply<'g>(step: u8, a: Var<'g>, b: Var<'g>) -> Var<'g> {
    match step % 14 {
        0 => a + b,
        1 => a * b,
        2 => a - b * 0.5,
        3 => a.tanh(),
        4 => (a * 0.3).minimum(a.like(2.0)).exp(),
        5 => a.maximum(b),
        6 => a - a.mean(&[0]),
        7 => a + b.sum(&[1]).reshape([5, 1]),
        8 => a.greater(b).select(a, b * 2.0),
        9 => a.softmax(),
        10 => a.matmul_with(b, false, true).matmul(a) * 0.1,
        11 => a.transpose(&[1, 0]).tanh().transpose(&[1, 0]),
        12 => a.reshape([7, 5]).sin().reshape([5, 7]),
        _ => a * (b.square().mean_all() + 1.0).rsqrt(),
    }
}

proptest! {
    #[test]
    fn random_programs_give_the_same_fused_and_unfused_and_their_jvp_agrees_with_their_vjp(
        steps in proptest::collection::vec((any::<u8>(), 0usize..40, 0usize..40), 1..12), seed in 0u64..1000
    ) {
        let graph = Graph::new();
        let x = [graph.input("x", [5, 7], DType::F64), graph.input("w", [5, 7], DType::F64)];
        let v = [graph.input("vx", [5, 7], DType::F64), graph.input("vw", [5, 7], DType::F64)];
        let mut values = x.to_vec();
        for (step, a, b) in steps {
            let (a, b) = (values[a % values.len()], values[b % values.len()]);
            values.push(apply(step, a, b));
        }
        let loss = values.last().unwrap().tanh().sum_all();
        let gradient = graph.vjp(&[loss], &x, None).unwrap();
        let slope = graph.jvp(&[loss], &x, &v).unwrap();
        let product = graph.jvp(&gradient, &x, &v).unwrap();
        let outputs = [vec![loss], gradient, slope, product].concat();
        let inputs: Vec<Tensor> = (0..4).map(|n| normal(&[5, 7], seed + n)).collect();
        let (fused, plain) = (run(&graph, &outputs, &inputs, true), run(&graph, &outputs, &inputs, false));
        prop_assert!(fused.iter().all(|tensor| tensor.to_f64().iter().all(|value| value.is_finite())));
        prop_assert!(distance(&fused, &plain) < 1e-11, "fusion changes the result by {}", distance(&fused, &plain));
        let along = support::dot(&fused[1..3], &inputs[2..4]);
        let slope = fused[3].item().unwrap();
        prop_assert!((along - slope).abs() <= 1e-9 * (1.0 + slope.abs()), "vjp {along}, jvp {slope}");
    }
}

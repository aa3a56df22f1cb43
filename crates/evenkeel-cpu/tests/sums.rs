//! Sums by other sums against the numbers they stand for, and what they save.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_cpu::{Options, Program};
use evenkeel_graph::op::{Op, Reduction};
use evenkeel_graph::{DType, Graph, Tensor, Var};
use support::{distance, normal, run};

/// How many sums a function takes.
fn sums(graph: &Graph, outputs: &[Var<'_>]) -> usize {
    let names: Vec<String> = (0..outputs.len()).map(|n| n.to_string()).collect();
    let outputs: Vec<(&str, Var<'_>)> = names.iter().map(String::as_str).zip(outputs.iter().copied()).collect();
    let function = graph.function(&outputs).unwrap();
    let is_sum = |op: &Op| matches!(op, Op::Reduce { kind: Reduction::Sum, .. });
    function.nodes().iter().filter(|node| is_sum(&node.op)).count()
}

#[test]
fn a_sum_of_what_is_summed_already_is_not_taken() {
    let graph = Graph::new();
    let shapes: [&[usize]; 3] = [&[6, 5, 3], &[6, 5, 3], &[5]];
    let [x, y, a] = [0, 1, 2].map(|n| graph.input(format!("x{n}"), shapes[n], DType::F64));
    let inputs = [0, 1, 2].map(|n| normal(shapes[n], n as u64));
    // One factor for each of the axes that is left, one number, and a value that only repeats.
    let factor = a.broadcast_along(vec![1], &x.shape());
    let parts = -(x * factor + y / 4.0) + factor;
    let known = [x.sum(&[0, 2]), y.sum(&[0, 2])];
    let outputs = [known[0], known[1], parts.sum(&[0, 2])];
    assert_eq!(sums(&graph, &outputs), 2);
    let by_parts = run(&graph, &outputs, &inputs, true).remove(2);
    // Alone, nothing is known and the sum is taken.
    assert_eq!(sums(&graph, &[parts.sum(&[0, 2])]), 1);
    let taken = run(&graph, &[parts.sum(&[0, 2])], &inputs, true);
    assert!(distance(&[by_parts], &taken) < 1e-13);
    // Over other axes, neither helps.
    assert_eq!(sums(&graph, &[known[0], known[1], parts.sum(&[0])]), 3);
}

#[test]
fn a_difference_of_large_values_keeps_its_digits() {
    let graph = Graph::new();
    let (x, y) = (graph.input("x", [1000], DType::F32), graph.input("y", [1000], DType::F32));
    let inputs = [1e7f32 + 1.0, 1e7].map(|value| Tensor::new([1000], vec![value; 1000]).unwrap());
    let outputs = [x.sum_all(), y.sum_all(), (x - y).sum_all()];
    assert_eq!(run(&graph, &outputs, &inputs, true)[2].to_f64(), [1000.0]);
}

#[test]
fn the_gradient_through_a_batch_norm_takes_one_pass_of_sums() {
    let graph = Graph::new();
    let shapes: [&[usize]; 4] = [&[16, 8, 8, 4], &[4], &[4], &[16, 8, 8, 4]];
    let x: Vec<Var<'_>> = (0..4).map(|n| graph.input(format!("x{n}"), shapes[n], DType::F64)).collect();
    let centered = x[0] - x[0].mean(&[0, 1, 2]);
    let scale = (centered.square().mean(&[0, 1, 2]) + 1e-5).rsqrt() * x[1];
    let loss = ((centered * scale + x[2]).relu() * x[3]).sum_all();
    let gradient = graph.vjp(&[loss], &x[..3], None).unwrap();
    let named = [("x", gradient[0]), ("scale", gradient[1]), ("shift", gradient[2])];
    let program = Program::compile(&graph.function(&named).unwrap(), &Options::default()).unwrap();
    let large = |elements: usize| elements >= 16 * 8 * 8 * 4;
    let passes = program.steps().into_iter().filter(|step| step.kind == "reduction" && large(step.shape.elements()));
    // The mean, the variance, and what both and the parameters take back.
    assert_eq!(passes.count(), 3);
}

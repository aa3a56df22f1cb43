//! Products read their operands, and write their results, where these lie.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_cpu::{Options, Program};
use evenkeel_graph::{DType, Graph, Tensor, Var};
use support::run;

/// Builds a value from inputs of these shapes; checks it against the same without fusion, and gives the kinds of its steps.
fn kinds(shapes: &[&[usize]], build: impl for<'g> Fn(&[Var<'g>]) -> Var<'g>) -> Vec<&'static str> {
    let graph = Graph::new();
    let names: Vec<String> = (0..shapes.len()).map(|number| number.to_string()).collect();
    let inputs: Vec<_> = names.iter().zip(shapes).map(|(name, shape)| graph.input(name, *shape, DType::F64)).collect();
    let value = build(&inputs);
    let numbers = |shape: &&[usize]| {
        let count = shape.iter().product::<usize>();
        let small = (0..count).map(|n| ((n * 29 + 3) % 17) as f64 - 8.0).collect::<Vec<_>>();
        Tensor::from_f64(*shape, DType::F64, &small).unwrap()
    };
    let given: Vec<_> = shapes.iter().map(numbers).collect();
    assert_eq!(run(&graph, &[value], &given, true), run(&graph, &[value], &given, false));
    let function = graph.function(&[("value", value)]).unwrap();
    Program::compile(&function, &Options::default()).unwrap().steps().iter().map(|step| step.kind).collect()
}

#[test]
fn heads_of_attention_are_read_and_written_without_a_copy() {
    let steps = kinds(&[&[2, 6, 3 * 8]], |x| {
        let heads = x[0].reshape([2, 6, 3, 2, 4]);
        let [q, k, v] = [0, 1, 2].map(|which| heads.at(2, which).transpose(&[0, 2, 1, 3]));
        q.matmul_with(k, false, true).matmul(v).transpose(&[0, 2, 1, 3]).reshape([12, 8])
    });
    assert_eq!(steps, ["matmul", "matmul"]);
}

#[test]
fn a_shared_side_is_not_repeated() {
    let steps = kinds(&[&[3, 5, 4], &[4, 6]], |x| {
        let all = x[1].broadcast_along(vec![1, 2], &[3, 4, 6].into());
        x[0].matmul(all)
    });
    assert_eq!(steps, ["matmul"]);
    let steps = kinds(&[&[5, 4], &[3, 4, 6]], |x| {
        let all = x[0].broadcast_along(vec![1, 2], &[3, 5, 4].into());
        all.matmul_with(x[1], false, false)
    });
    assert_eq!(steps, ["matmul"]);
}

#[test]
fn slices_of_rows_and_columns_are_read_where_they_are() {
    let steps = kinds(&[&[9, 10], &[12, 7]], |x| {
        x[0].slice_along(0, 2..7).slice_along(1, 1..9).matmul(x[1].slice_along(0, 3..11).slice_along(1, 2..6))
    });
    assert_eq!(steps, ["matmul"]);
}

#[test]
fn operands_without_contiguous_rows_or_columns_are_copied() {
    // Rows and columns both change places with the batch.
    let steps = kinds(&[&[4, 5, 3], &[3, 4, 6]], |x| x[0].transpose(&[2, 1, 0]).matmul(x[1]));
    assert_eq!(steps, ["loop", "matmul"]);
}

#[test]
fn what_others_read_too_is_computed_for_them() {
    let steps = kinds(&[&[3, 4, 5], &[4, 6]], |x| {
        let turned = x[0].transpose(&[0, 2, 1]);
        let slice = x[1].slice_along(1, 1..4);
        let product = turned.reshape([15, 4]).matmul(slice);
        product + turned.reshape([15, 4]).sum(&[1]).broadcast_along(vec![0], &[15, 3].into()) * slice.sum_all().exp()
    });
    assert!(steps.contains(&"matmul") && steps.contains(&"slice"), "{steps:?}");
    // A transpose of a product that somebody else reads as well is a copy, or read in a loop.
    let steps = kinds(&[&[2, 3, 4], &[2, 4, 5]], |x| {
        let product = x[0].matmul(x[1]);
        product.transpose(&[1, 0, 2]).reshape([6, 5]) + product.reshape([6, 5])
    });
    assert_eq!(steps, ["matmul", "loop", "loop"]);
}

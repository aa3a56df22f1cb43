//! Running small graphs, and deterministic numbers to run them on.
#![allow(dead_code, clippy::unwrap_used)]

use evenkeel_cpu::{Input, Options, Program};
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Graph, Tensor, Var};

/// Runs `outputs` on the graph's inputs in order.
pub(crate) fn run(graph: &Graph, outputs: &[Var<'_>], inputs: &[Tensor], fuse: bool) -> Vec<Tensor> {
    let named: Vec<(String, Var<'_>)> = outputs.iter().enumerate().map(|(n, &var)| (format!("out{n}"), var)).collect();
    let named: Vec<(&str, Var<'_>)> = named.iter().map(|(name, var)| (name.as_str(), *var)).collect();
    let function = graph.function(&named).unwrap();
    let mut program = Program::compile(&function, &Options { fuse, ..Options::default() }).unwrap();
    let mut results = program.new_outputs();
    let inputs: Vec<Input<'_>> = inputs.iter().map(Input::Read).collect();
    program.run(&inputs, &mut results).unwrap();
    results
}

/// Standard normal numbers, shifted and scaled.
pub(crate) fn normal(shape: &[usize], seed: u64) -> Tensor {
    let mut random = Key::new(seed, "test", 0).random();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal_f64()).collect();
    Tensor::from_f64(shape, DType::F64, &values).unwrap()
}

/// Numbers in (0.5, 2.5).
pub(crate) fn positive(shape: &[usize], seed: u64) -> Tensor {
    let mut random = Key::new(seed, "test", 0).random();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| 0.5 + 2.0 * random.uniform_f64()).collect();
    Tensor::from_f64(shape, DType::F64, &values).unwrap()
}

pub(crate) fn dot(a: &[Tensor], b: &[Tensor]) -> f64 {
    a.iter().zip(b).flat_map(|(a, b)| a.to_f64().into_iter().zip(b.to_f64())).map(|(a, b)| a * b).sum()
}

/// ‖a − b‖ / max(‖a‖, ‖b‖, 1)
pub(crate) fn distance(a: &[Tensor], b: &[Tensor]) -> f64 {
    let difference: f64 =
        a.iter().zip(b).flat_map(|(a, b)| a.to_f64().into_iter().zip(b.to_f64())).map(|(a, b)| (a - b).powi(2)).sum();
    difference.sqrt() / dot(a, a).max(dot(b, b)).sqrt().max(1.0)
}

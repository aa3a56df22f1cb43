//! Programs under a memory limit: the same numbers in less memory.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_cpu::{Error, Input, Options, Program};
use evenkeel_graph::{DType, Function, Graph, Pass, Tensor, Var};
use support::{distance, normal};

fn compile(function: &Function, memory_limit: Option<usize>) -> Result<Program, Error> {
    Program::compile(function, &Options { memory_limit, ..Options::default() })
}

fn run(program: &mut Program, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut results = program.new_outputs();
    let inputs: Vec<Input<'_>> = inputs.iter().map(Input::Read).collect();
    program.run(&inputs, &mut results).unwrap();
    results
}

/// The gradient of a chain of layers of one width, and the inputs it is taken at. With `directions`, Hessian products as well.
fn chain(layers: usize, directions: bool) -> (Function, Vec<Tensor>) {
    let (batch, width) = (64, 8);
    let graph = Graph::new();
    let mut inputs = vec![normal(&[batch, width], 0)];
    let x = graph.input("x", [batch, width], DType::F64);
    let mut given = |name: String, seed: usize| {
        inputs.push(normal(&[width, width], seed as u64));
        graph.input(name, [width, width], DType::F64)
    };
    let weights: Vec<Var<'_>> = (0..layers).map(|layer| given(format!("w{layer}"), layer + 1)).collect();
    let moved: Vec<Var<'_>> = match directions {
        true => (0..layers).map(|layer| given(format!("v{layer}"), layer + 1000)).collect(),
        false => vec![],
    };
    let y = weights.iter().fold(x, |x, &w| {
        let y = x.matmul(w);
        let centered = y - y.mean(&[0]);
        (centered * (centered.square().mean(&[0]) + 1e-3).rsqrt()).tanh()
    });
    let mut results = graph.vjp(&[y.square().mean_all()], &weights, None).unwrap();
    if directions {
        results.extend(graph.jvp(&results, &weights, &moved).unwrap());
    }
    let names: Vec<String> = (0..results.len()).map(|n| n.to_string()).collect();
    let outputs: Vec<(&str, Var<'_>)> = names.iter().map(String::as_str).zip(results).collect();
    (graph.function(&outputs).unwrap(), inputs)
}

/// The least memory a function can be compiled for.
fn least(function: &Function) -> usize {
    match compile(function, Some(1)) {
        Err(Error::MemoryLimit { limit: 1, least }) => least,
        other => panic!("a limit of one byte was kept: {:?}", other.map(|program| program.arena_bytes())),
    }
}

#[test]
fn a_limit_is_kept_and_changes_results_by_rounding_only() {
    for (layers, directions) in [(12, false), (16, true)] {
        let (function, inputs) = chain(layers, directions);
        let mut free = compile(&function, None).unwrap();
        let expected = run(&mut free, &inputs);
        let (full, least) = (free.arena_bytes(), least(&function));
        assert!(least < full * 2 / 3, "{least} of {full} bytes");
        for limit in [least, usize::midpoint(least, full), full] {
            let mut program = compile(&function, Some(limit)).unwrap();
            assert!(program.arena_bytes() <= limit, "{} of {limit} bytes", program.arena_bytes());
            let apart = distance(&run(&mut program, &inputs), &expected);
            assert!(apart < 1e-11, "limit {limit}: {apart}");
        }
    }
}

#[test]
fn a_limit_that_is_no_limit_changes_nothing() {
    let (function, _) = chain(6, false);
    let full = compile(&function, None).unwrap().arena_bytes();
    let program = compile(&function, Some(full)).unwrap();
    assert_eq!(program.function().to_string(), function.to_string());
}

#[test]
fn half_the_memory_costs_less_than_a_second_forward_pass() {
    let (function, _) = chain(24, false);
    let full = compile(&function, None).unwrap().arena_bytes();
    let again = compile(&function, Some(full / 2)).unwrap().function().flops() - function.flops();
    let forward = 2 * 64 * 8 * 8 * 24;
    assert!(0 < again && again < forward, "{again} of {forward}");
}

#[test]
fn four_times_the_layers_take_about_twice_the_memory() {
    let (short, long) = (least(&chain(16, false).0), least(&chain(64, false).0));
    assert!(long < short * 5 / 2, "{short} bytes for 16 layers, {long} for 64");
}

#[test]
fn statistics_over_a_batch_are_kept_rather_than_summed_again() {
    let (function, _) = chain(12, false);
    let program = compile(&function, Some(least(&function))).unwrap();
    let again = program.function().nodes().iter().filter(|node| matches!(node.pass, Pass::Again(_)));
    let names: Vec<&str> = again.map(|node| node.op.name()).collect();
    assert!(names.contains(&"matmul") && !names.contains(&"sum"), "{names:?}");
}

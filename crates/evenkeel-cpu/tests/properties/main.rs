//! Random programs against a plain interpreter, against their derivatives, and against themselves under every condition
//! that must not matter: fusion, memory handed over, what ran before, how many threads there are.
//!
//! Each property has a short version with fixed seeds and a long one with new seeds every time:
//! `cargo test -p evenkeel-cpu --test properties -- --ignored`.
#![allow(clippy::unwrap_used)]

mod edges;
#[path = "../support/interpreter.rs"]
mod interpreter;
mod judge;
mod recipe;

use evenkeel_cpu::{Input, Options, Program};
use evenkeel_graph::op::{Constant, Op, Unary};
use evenkeel_graph::{DType, Function, Graph, Tensor, Var, simplify};
use interpreter::Value;
use judge::{Judge, same_bits};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestCaseResult, TestRunner};
use recipe::{Kind, Recipe, Style, Written, recipes, write};
use std::collections::BTreeSet;

/// A property of all programs.
type Property = fn(&Recipe) -> TestCaseResult;

fn hold(property: Property, cases: u32, rng_seed: RngSeed) {
    let config = Config { cases, rng_seed, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&recipes(), |recipe| property(&recipe));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

macro_rules! properties {
    ($($name:ident, $long:ident, $short_cases:expr, $long_cases:expr;)*) => {$(
        #[test]
        fn $name() {
            hold(property::$name, $short_cases, RngSeed::Fixed(7));
        }

        #[test]
        #[ignore = "takes minutes"]
        fn $long() {
            hold(property::$name, $long_cases, RngSeed::Random);
        }
    )*};
}

properties! {
    programs_compute_what_their_nodes_say, many_compute_what_their_nodes_say, 1_500, 40_000;
    derivatives_compute_what_their_nodes_say, many_derivatives_compute_what_their_nodes_say, 500, 15_000;
    single_precision_is_off_by_rounding_alone, many_in_single_precision_are_off_by_rounding_alone, 500, 20_000;
    forward_and_reverse_derivatives_agree, many_forward_and_reverse_derivatives_agree, 500, 15_000;
    derivatives_are_limits_of_differences, many_derivatives_are_limits_of_differences, 500, 20_000;
    simplification_keeps_values_and_ends_in_one_pass, many_simplifications_keep_values, 500, 20_000;
    what_is_not_finite_stays_so_and_nothing_else_becomes_it, many_keep_what_is_not_finite, 1_500, 60_000;
    a_stack_of_values_gives_what_each_gives, many_stacks_give_what_each_gives, 300, 15_000;
    a_function_split_at_its_direction_is_the_function, many_functions_split_are_the_function, 300, 15_000;
    what_is_computed_again_is_what_it_was, many_programs_compute_again_what_was, 300, 15_000;
    donated_inputs_change_no_bit, many_donated_inputs_change_no_bit, 500, 20_000;
    what_ran_before_changes_no_bit, many_runs_before_change_no_bit, 500, 20_000;
    threads_change_no_bit, many_threads_change_no_bit, 60, 2_000;
}

/// A name for each primitive; a new one does not compile until it has its line, and must then be drawn.
fn name_of(op: &Op) -> String {
    match op {
        Op::Unary(Unary::Power(_)) => "Power(constant)".into(),
        Op::Unary(unary) => format!("{unary:?}"),
        Op::Binary(binary) => format!("{binary:?}"),
        Op::Compare(comparison) => format!("{comparison:?}"),
        Op::Random(distribution) => format!("{distribution:?}"),
        Op::Reduce { kind, .. } => format!("{kind:?} of axes"),
        Op::Constant(Constant::Splat(_)) => "splat".into(),
        Op::Constant(Constant::Dense(_)) => "dense".into(),
        Op::Input(_) | Op::Iota { .. } | Op::Select | Op::Cast | Op::LogSumExp | Op::ArgMax | Op::Reshape => {
            op.name().into()
        }
        Op::Transpose { .. } | Op::Broadcast { .. } | Op::Slice(_) | Op::Pad(_) | Op::Concat { .. } => op.name().into(),
        Op::Gather { .. } | Op::ScatterAdd { .. } | Op::MatMul { .. } => op.name().into(),
        Op::Conv(_) | Op::ConvInputGradient(_) | Op::ConvWeightGradient(_) => op.name().into(),
        Op::WindowSum(_) | Op::WindowSpread(_) => op.name().into(),
        Op::WindowArgMax(_) | Op::WindowTake(_) | Op::WindowPut(_) => op.name().into(),
    }
}

#[test]
fn every_primitive_occurs_in_random_programs_and_their_gradients() {
    let mut runner =
        TestRunner::new(Config { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Config::default() });
    let mut found = BTreeSet::new();
    for _ in 0..1_500 {
        let recipe = recipes().new_tree(&mut runner).unwrap().current();
        let graph = Graph::new();
        let written = write(&graph, &recipe, Style::new(DType::F64, Kind::Any));
        let gradient = graph.vjp(&[loss(&float_outputs(&written))], &written.float_inputs(), None).unwrap();
        let function = named(&graph, &[written.outputs, gradient].concat());
        found.extend(function.nodes().iter().map(|node| name_of(&node.op)));
    }
    let all = "Abs Add Cos Divide Equal Erf Exp Expm1 Greater GreaterOrEqual Less LessOrEqual Log Log1p Maximum Minimum Multiply \
               Negate Normal NotEqual Power Rsqrt Sigmoid Sign Sin Sqrt Subtract Tanh Uniform argmax broadcast cast concat \
               convolution convolution-input-gradient convolution-weight-gradient dense gather input iota log-sum-exp matmul pad \
               reshape scatter-add select slice splat transpose window-argmax window-put window-spread window-sum window-take";
    let two_words = ["Maximum of axes", "Power(constant)", "Sum of axes"];
    let all: BTreeSet<String> = all.split_whitespace().chain(two_words).map(str::to_owned).collect();
    assert_eq!(found, all);
}

/// Names for outputs.
fn named<'g>(graph: &'g Graph, outputs: &[Var<'g>]) -> Function {
    let names: Vec<String> = (0..outputs.len()).map(|number| format!("out{number}")).collect();
    let pairs: Vec<(&str, Var<'g>)> = names.iter().map(String::as_str).zip(outputs.iter().copied()).collect();
    graph.function(&pairs).unwrap()
}

fn compiled(function: &Function, fuse: bool) -> Program {
    Program::compile(function, &Options { fuse, ..Options::default() }).unwrap()
}

/// Runs a program into outputs that hold garbage.
fn run(program: &mut Program, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut outputs: Vec<Tensor> = program.new_outputs().iter().map(garbage).collect();
    let inputs: Vec<Input<'_>> = inputs.iter().map(Input::Read).collect();
    program.run(&inputs, &mut outputs).unwrap();
    outputs
}

/// A tensor like this one that must not be read: floats are NaN.
fn garbage(tensor: &Tensor) -> Tensor {
    let count = tensor.shape().elements();
    match tensor.dtype() {
        DType::F32 | DType::F64 => Tensor::from_f64(tensor.shape(), tensor.dtype(), &vec![f64::NAN; count]).unwrap(),
        DType::I32 => Tensor::new(tensor.shape(), vec![-7; count]).unwrap(),
        DType::Bool => tensor.clone(),
    }
}

/// Two tensors along a new leading axis.
fn stack(a: &Tensor, b: &Tensor) -> Tensor {
    let shape = [&[2], &a.shape()[..]].concat();
    match (a.as_slice::<i32>(), b.as_slice::<i32>()) {
        (Some(a), Some(b)) => Tensor::new(shape, [a, b].concat()).unwrap(),
        _ => Tensor::from_f64(shape, a.dtype(), &[a.to_f64(), b.to_f64()].concat()).unwrap(),
    }
}

/// One of the two values of a stack.
fn part(stack: &Tensor, which: usize) -> Value {
    let whole = Value::from(stack);
    let shape = whole.shape[1..].to_vec();
    let count = shape.iter().product::<usize>();
    Value { data: whole.data[which * count..(which + 1) * count].to_vec(), shape, ..whole }
}

/// The outputs that have a gradient.
fn float_outputs<'g>(written: &Written<'g>) -> Vec<Var<'g>> {
    written.outputs.iter().copied().filter(|var| var.dtype().is_float()).collect()
}

/// New inputs shaped like these values, for directions; their tensors are drawn from `seed`.
fn directions<'g>(graph: &'g Graph, like: &[Var<'g>], seed: u64) -> (Vec<Var<'g>>, Vec<Tensor>) {
    let vars = like.iter().map(|var| graph.input("direction", var.shape(), var.dtype())).collect();
    let draw = |(number, var): (usize, &Var<'g>)| {
        let mut random = evenkeel_graph::random::Key::new(seed, "direction", number as u64).random();
        let values: Vec<f64> = (0..var.shape().elements()).map(|_| random.normal_f64()).collect();
        Tensor::from_f64(var.shape(), var.dtype(), &values).unwrap()
    };
    (vars, like.iter().enumerate().map(draw).collect())
}

/// A number whose every derivative is bounded by the program's own.
fn loss<'g>(outputs: &[Var<'g>]) -> Var<'g> {
    let dtype = outputs[0].dtype();
    let part = |output: &Var<'g>| {
        let output = if output.dtype() == dtype { *output } else { output.cast(dtype) };
        (output * 0.5).tanh().sum_all()
    };
    outputs.iter().map(part).reduce(|a, b| a + b).unwrap()
}

fn sum_of_products<'g>(a: &[Var<'g>], b: &[Var<'g>]) -> Var<'g> {
    a.iter().zip(b).map(|(&a, &b)| (a * b).sum_all()).reduce(|a, b| a + b).unwrap()
}

mod property {
    use super::*;

    /// Compares the compiled program, with and without fusion, with the interpreter on the graph as it was traced.
    fn judge(graph: &Graph, outputs: &[Var<'_>], inputs: &[Tensor]) -> TestCaseResult {
        let judge = Judge::new(|noise| interpreter::of_graph(graph, outputs, inputs, noise));
        let function = named(graph, outputs);
        for fuse in [true, false] {
            let results = run(&mut compiled(&function, fuse), inputs);
            judge.accept(&results).map_err(|fault| TestCaseError::fail(format!("fuse {fuse}: {fault}\n{function}")))?;
        }
        Ok(())
    }

    pub(super) fn programs_compute_what_their_nodes_say(recipe: &Recipe) -> TestCaseResult {
        let graph = Graph::new();
        let written = write(&graph, recipe, Style::new(DType::F64, Kind::Any));
        judge(&graph, &written.outputs, &written.tensors(recipe.seed.into()))
    }

    pub(super) fn derivatives_compute_what_their_nodes_say(recipe: &Recipe) -> TestCaseResult {
        let graph = Graph::new();
        let written = write(&graph, recipe, Style::new(DType::F64, Kind::Any));
        let wrt = written.float_inputs();
        let loss = loss(&float_outputs(&written));
        let (along, tensors) = directions(&graph, &wrt, 1);
        let gradient = graph.vjp(&[loss], &wrt, None).unwrap();
        let product = graph.jvp(&gradient, &wrt, &along).unwrap();
        let inputs = [written.tensors(recipe.seed.into()), tensors].concat();
        judge(&graph, &[gradient, product].concat(), &inputs)
    }

    pub(super) fn single_precision_is_off_by_rounding_alone(recipe: &Recipe) -> TestCaseResult {
        let graph = Graph::new();
        // The gradient of what has a corner jumps there, and rounding decides on which side of it a number lies.
        let smooth = recipe.seed.is_multiple_of(2);
        let kind = if smooth { Kind::Smooth } else { Kind::Continuous };
        let written = write(&graph, recipe, Style::new(DType::F32, kind));
        let mut outputs = written.outputs.clone();
        if smooth {
            outputs.extend(graph.vjp(&[loss(&float_outputs(&written))], &written.float_inputs(), None).unwrap());
        }
        judge(&graph, &outputs, &written.tensors(recipe.seed.into()))
    }

    pub(super) fn forward_and_reverse_derivatives_agree(recipe: &Recipe) -> TestCaseResult {
        let graph = Graph::new();
        let written = write(&graph, recipe, Style::new(DType::F64, Kind::Any));
        let (wrt, outputs) = (written.float_inputs(), float_outputs(&written));
        let (v, v_tensors) = directions(&graph, &wrt, 1);
        let (u, u_tensors) = directions(&graph, &outputs, 2);
        let (w, w_tensors) = directions(&graph, &wrt, 3);
        // u · (J v) and (Jᵀ u) · v; then w · (H v) and v · (H w), with H once forward over reverse, once reverse twice.
        let moved = graph.jvp(&outputs, &wrt, &v).unwrap();
        let pulled = graph.vjp(&outputs, &wrt, Some(&u)).unwrap();
        let gradient = graph.vjp(&[loss(&outputs)], &wrt, None).unwrap();
        let forward = graph.jvp(&gradient, &wrt, &v).unwrap();
        let reverse = graph.vjp(&[sum_of_products(&gradient, &w)], &wrt, None).unwrap();
        let pairs = [
            sum_of_products(&u, &moved),
            sum_of_products(&pulled, &v),
            sum_of_products(&w, &forward),
            sum_of_products(&v, &reverse),
        ];
        let inputs = [written.tensors(recipe.seed.into()), v_tensors, u_tensors, w_tensors].concat();
        let judge = Judge::new(|noise| interpreter::of_graph(&graph, &pairs, &inputs, noise));
        let results = run(&mut compiled(&named(&graph, &pairs), true), &inputs);
        judge.equal(&results, 0, 1).map_err(|fault| TestCaseError::fail(format!("u·Jv and v·Jᵀu: {fault}")))?;
        judge.equal(&results, 2, 3).map_err(|fault| TestCaseError::fail(format!("w·Hv and v·Hw: {fault}")))
    }

    pub(super) fn derivatives_are_limits_of_differences(recipe: &Recipe) -> TestCaseResult {
        let graph = Graph::new();
        let written = write(&graph, recipe, Style::new(DType::F64, Kind::Smooth));
        let wrt = written.float_inputs();
        let loss = loss(&float_outputs(&written));
        let (v, v_tensors) = directions(&graph, &wrt, 1);
        let gradient = graph.vjp(&[loss], &wrt, None).unwrap();
        let slope = graph.jvp(&[loss], &wrt, &v).unwrap()[0];
        let along = sum_of_products(&gradient, &v);
        let curvature = sum_of_products(&graph.jvp(&gradient, &wrt, &v).unwrap(), &v);
        let mut program = compiled(&named(&graph, &[loss, along, slope, curvature]), true);
        let at = written.tensors(recipe.seed.into());
        let mut evaluate = |step: f64| -> Vec<f64> {
            let mut along = v_tensors.iter();
            let moved = at.iter().map(|x| {
                let Some(v) = x.dtype().is_float().then(|| along.next()).flatten() else { return x.clone() };
                let values: Vec<f64> = x.to_f64().iter().zip(v.to_f64()).map(|(x, v)| x + step * v).collect();
                Tensor::from_f64(x.shape(), DType::F64, &values).unwrap()
            });
            let inputs = [moved.collect(), v_tensors.clone()].concat();
            run(&mut program, &inputs).iter().map(|tensor| tensor.item().unwrap()).collect()
        };
        let exact = evaluate(0.0);
        // Central differences of the loss and of its slope, each with two steps: what these differ by is their own error.
        let (wide, narrow) = (2e-4, 1e-4);
        let mut difference = |which: usize, step: f64| (evaluate(step)[which] - evaluate(-step)[which]) / (2.0 * step);
        for (value, derivative) in [(0, 1), (0, 2), (1, 3)] {
            let (rough, fine) = (difference(value, wide), difference(value, narrow));
            let allowed = (rough - fine).abs() + 1e-8 * (1.0 + exact[value].abs() + exact[derivative].abs());
            let off = (fine - exact[derivative]).abs();
            if off > allowed {
                let fault = format!(
                    "derivative {derivative}: {} but differences give {rough}, {fine}\n{}",
                    exact[derivative],
                    program.function()
                );
                return Err(TestCaseError::fail(fault));
            }
        }
        Ok(())
    }

    pub(super) fn simplification_keeps_values_and_ends_in_one_pass(recipe: &Recipe) -> TestCaseResult {
        let graph = Graph::new();
        let written = write(&graph, recipe, Style::new(DType::F64, Kind::Any));
        let wrt = written.float_inputs();
        let gradient = graph.vjp(&[loss(&float_outputs(&written))], &wrt, None).unwrap();
        let outputs = [written.outputs.clone(), gradient].concat();
        let inputs = written.tensors(recipe.seed.into());
        let function = named(&graph, &outputs);
        let judge = Judge::new(|noise| interpreter::of_graph(&graph, &outputs, &inputs, noise));
        judge
            .accept_values(&interpreter::of_function(&function, &inputs, None))
            .map_err(|fault| TestCaseError::fail(format!("{fault}\n{function}")))?;
        let roots: Vec<_> = function.outputs().iter().map(|(_, id)| *id).collect();
        let (nodes, again) = simplify::simplify(function.nodes(), &roots);
        let same = nodes.len() == function.nodes().len()
            && again == roots
            && nodes.iter().zip(function.nodes()).all(|(a, b)| a.op == b.op && a.inputs == b.inputs);
        if same { Ok(()) } else { Err(TestCaseError::fail(format!("not simplified to the end:\n{function}"))) }
    }

    pub(super) fn what_is_not_finite_stays_so_and_nothing_else_becomes_it(recipe: &Recipe) -> TestCaseResult {
        let graph = Graph::new();
        let written = write(&graph, recipe, Style { wild: true, ..Style::new(DType::F64, Kind::Any) });
        let inputs = written.tensors(recipe.seed.into());
        judge(&graph, &written.outputs, &inputs)
    }

    pub(super) fn a_stack_of_values_gives_what_each_gives(recipe: &Recipe) -> TestCaseResult {
        let graph = Graph::new();
        let written = write(&graph, recipe, Style::new(DType::F64, Kind::Any));
        let wrt = written.float_inputs();
        let gradient = graph.vjp(&[loss(&float_outputs(&written))], &wrt, None).unwrap();
        let outputs = [written.outputs.clone(), gradient].concat();
        // Some of the inputs are stacked, labels among them; the others are shared.
        let over: Vec<usize> =
            (0..written.inputs.len()).filter(|n| *n == 0 || recipe.seed >> (n % 8) & 1 == 1).collect();
        let stacks: Vec<Var<'_>> = over
            .iter()
            .map(|&n| {
                let var = written.inputs[n];
                graph.input("stack", [&[2], &var.shape()[..]].concat(), var.dtype())
            })
            .collect();
        let stacked: Vec<Var<'_>> = over.iter().map(|&n| written.inputs[n]).collect();
        let mapped = graph.map(&outputs, &stacked, &stacks).unwrap();
        let (first, mut second) = (written.tensors(recipe.seed.into()), written.tensors(1000));
        let tensors = over.iter().map(|&n| stack(&first[n], &second[n]));
        let inputs: Vec<Tensor> = first.iter().cloned().chain(tensors).collect();
        let results = run(&mut compiled(&named(&graph, &mapped), true), &inputs);
        for (n, shared) in first.iter().enumerate().filter(|(n, _)| !over.contains(n)) {
            second[n] = shared.clone();
        }
        for (half, at) in [first, second].iter().enumerate() {
            let rest = &inputs[at.len()..];
            let at = [at, rest].concat();
            let judge = Judge::new(|noise| interpreter::of_graph(&graph, &outputs, &at, noise));
            let halves: Vec<Value> = results.iter().map(|result| part(result, half)).collect();
            judge.accept_values(&halves).map_err(|fault| {
                TestCaseError::fail(format!("{over:?}, value {half}: {fault}\n{}", named(&graph, &outputs)))
            })?;
        }
        Ok(())
    }

    pub(super) fn a_function_split_at_its_direction_is_the_function(recipe: &Recipe) -> TestCaseResult {
        let graph = Graph::new();
        let written = write(&graph, recipe, Style::new(DType::F64, Kind::Any));
        let wrt = written.float_inputs();
        let (along, tensors) = directions(&graph, &wrt, 1);
        let loss = loss(&float_outputs(&written));
        let gradient = graph.vjp(&[loss], &wrt, None).unwrap();
        let product = graph.jvp(&gradient, &wrt, &along).unwrap();
        // Outputs that depend on the direction and outputs that do not, in turn.
        let outputs: Vec<Var<'_>> = product.iter().zip(&gradient).flat_map(|(&p, &g)| [p, g]).chain([loss]).collect();
        let inputs = [written.tensors(recipe.seed.into()), tensors].concat();
        let function = named(&graph, &outputs);
        let judge = Judge::new(|noise| interpreter::of_graph(&graph, &outputs, &inputs, noise));
        let split = function.linearize(|info| info.name == "direction");
        let point_inputs = &inputs[..written.inputs.len()];
        let found = run(&mut compiled(&split.point, true), point_inputs);
        let kept = &found[..split.kept];
        let moved = run(&mut compiled(&split.direction, true), &[&inputs[..], kept].concat());
        let find = |name: &str| {
            let place = split.point.output_index(name).map(|place| &found[place]);
            place.or_else(|| split.direction.output_index(name).map(|place| &moved[place])).unwrap().clone()
        };
        let results: Vec<Tensor> = function.outputs().iter().map(|(name, _)| find(name)).collect();
        judge.accept(&results).map_err(|fault| TestCaseError::fail(format!("{fault}\n{function}")))
    }

    pub(super) fn what_is_computed_again_is_what_it_was(recipe: &Recipe) -> TestCaseResult {
        let graph = Graph::new();
        let written = write(&graph, recipe, Style::new(DType::F64, Kind::Any));
        let wrt = written.float_inputs();
        let gradient = graph.vjp(&[loss(&float_outputs(&written))], &wrt, None).unwrap();
        let outputs = [written.outputs.clone(), gradient].concat();
        let inputs = written.tensors(recipe.seed.into());
        let judge = Judge::new(|noise| interpreter::of_graph(&graph, &outputs, &inputs, noise));
        let function = named(&graph, &outputs);
        let seed = recipe.seed as usize;
        let busiest = function.busiest();
        for (turn, segments, again) in [(busiest, 1, 0), (busiest, 3, 2), (seed % function.nodes().len(), 5, 3)] {
            let relieved = function.recompute(turn, segments, again);
            judge.accept(&run(&mut compiled(&relieved, true), &inputs)).map_err(|fault| {
                TestCaseError::fail(format!("turn {turn}, {again} of {segments}: {fault}\n{function}\n{relieved}"))
            })?;
        }
        Ok(())
    }

    pub(super) fn donated_inputs_change_no_bit(recipe: &Recipe) -> TestCaseResult {
        let graph = Graph::new();
        let written = write(&graph, recipe, Style::new(DType::F64, Kind::Any));
        let wrt = written.float_inputs();
        // Gradients are shaped like their inputs, so there is always something to donate to.
        let gradient = graph.vjp(&[loss(&float_outputs(&written))], &wrt, None).unwrap();
        let outputs = [written.outputs.clone(), gradient].concat();
        let inputs = written.tensors(recipe.seed.into());
        let function = named(&graph, &outputs);
        let plain = run(&mut compiled(&function, true), &inputs);
        let mut donations: Vec<(usize, usize)> = Vec::new();
        for (input, tensor) in inputs.iter().enumerate() {
            // From the first outputs or from the last ones.
            let order: Vec<usize> = if recipe.seed.is_multiple_of(2) {
                (0..plain.len()).collect()
            } else {
                (0..plain.len()).rev().collect()
            };
            let fits = |output: usize| {
                plain[output].shape() == tensor.shape()
                    && plain[output].dtype() == tensor.dtype()
                    && donations.iter().all(|&(_, taken)| taken != output)
            };
            if let Some(output) = order.into_iter().find(|&output| fits(output)) {
                donations.push((input, output));
            }
        }
        for fuse in [true, false] {
            let options = Options { fuse, donations: donations.clone(), memory_limit: None };
            let mut program = Program::compile(&function, &options).unwrap();
            let plain = if fuse { plain.clone() } else { run(&mut compiled(&function, false), &inputs) };
            for _ in 0..2 {
                let mut outputs: Vec<Tensor> = program.new_outputs().iter().map(garbage).collect();
                let mut given: Vec<Input<'_>> = inputs.iter().map(Input::Read).collect();
                for &(input, output) in &donations {
                    outputs[output] = inputs[input].clone();
                    given[input] = Input::Donated;
                }
                program.run(&given, &mut outputs).unwrap();
                if let Err(fault) = same_bits(&plain, &outputs) {
                    return Err(TestCaseError::fail(format!("{donations:?}, fuse {fuse}: {fault}\n{function}")));
                }
            }
        }
        Ok(())
    }

    pub(super) fn what_ran_before_changes_no_bit(recipe: &Recipe) -> TestCaseResult {
        let graph = Graph::new();
        let written = write(&graph, recipe, Style::new(DType::F64, Kind::Any));
        let wrt = written.float_inputs();
        let gradient = graph.vjp(&[loss(&float_outputs(&written))], &wrt, None).unwrap();
        let function = named(&graph, &[written.outputs.clone(), gradient].concat());
        let inputs = written.tensors(recipe.seed.into());
        for fuse in [true, false] {
            let mut program = compiled(&function, fuse);
            let first = run(&mut program, &inputs);
            // NaN in every input leaves NaN all over the arena.
            run(&mut program, &inputs.iter().map(garbage).collect::<Vec<_>>());
            run(&mut program, &written.tensors(1000));
            let again = run(&mut program, &inputs);
            same_bits(&first, &again)
                .map_err(|fault| TestCaseError::fail(format!("fuse {fuse}: {fault}\n{function}")))?;
        }
        Ok(())
    }

    pub(super) fn threads_change_no_bit(recipe: &Recipe) -> TestCaseResult {
        let graph = Graph::new();
        let dtype = if recipe.seed.is_multiple_of(2) { DType::F32 } else { DType::F64 };
        let written = write(&graph, recipe, Style { large: true, ..Style::new(dtype, Kind::Any) });
        let wrt = written.float_inputs();
        let gradient = graph.vjp(&[loss(&float_outputs(&written))], &wrt, None).unwrap();
        let function = named(&graph, &[written.outputs.clone(), gradient].concat());
        let inputs = written.tensors(recipe.seed.into());
        let mut program = compiled(&function, true);
        let mut on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(&mut program, &inputs))
        };
        let one = on(1);
        for threads in [2, 4] {
            same_bits(&one, &on(threads))
                .map_err(|fault| TestCaseError::fail(format!("{threads} threads: {fault}\n{function}")))?;
        }
        Ok(())
    }
}

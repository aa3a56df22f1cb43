//! Samples taken band by band through several steps: the same numbers as whole steps, and the same bits on any threads.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_cpu::{Input, Options, Program};
use evenkeel_graph::{DType, Graph, Tensor, Var};
use support::{distance, normal, run};

/// Batch normalization without a shift.
fn standardize<'g>(y: Var<'g>, scale: Var<'g>) -> Var<'g> {
    let centered = y - y.mean(&[0, 1, 2]);
    centered * ((centered.square().mean(&[0, 1, 2]) + 1e-5).rsqrt() * scale)
}

/// Two rounds of convolution, batch statistics and relu around a pool and a shortcut, with the gradient, for `samples` images.
fn network(graph: &Graph, samples: usize, dtype: DType) -> (Vec<Var<'_>>, Vec<Tensor>) {
    let shapes: [&[usize]; 4] = [&[samples, 24, 24, 8], &[3, 3, 8, 16], &[3, 3, 16, 16], &[16]];
    let x: Vec<Var<'_>> = (0..4).map(|n| graph.input(format!("x{n}"), shapes[n], dtype)).collect();
    let padding = [[1, 1], [1, 1]];
    let first = standardize(x[0].conv(x[1], [1, 1], padding), x[3]).relu();
    let second = (standardize(first.conv(x[2], [1, 1], padding), x[3]) + first).relu();
    let pooled = second.max_pool([2, 2], [2, 2], [[0, 0], [0, 0]]);
    let loss = (pooled * pooled * pooled).mean_all() + pooled.mean(&[1, 2]).square().sum_all();
    let mut outputs = vec![loss, pooled];
    outputs.extend(graph.vjp(&[loss], &x, None).unwrap());
    let inputs = (0..4).map(|n| normal(shapes[n], n as u64).cast(dtype)).collect();
    (outputs, inputs)
}

#[test]
fn bands_give_what_whole_steps_give() {
    // 24 samples have divisors to cut by, 23 have none but themselves.
    for samples in [24, 23] {
        let graph = Graph::new();
        let (outputs, inputs) = network(&graph, samples, DType::F64);
        let (banded, whole) = (run(&graph, &outputs, &inputs, true), run(&graph, &outputs, &inputs, false));
        assert!(distance(&banded, &whole) < 1e-13, "{samples} samples: off by {}", distance(&banded, &whole));
    }
}

#[test]
fn bands_have_the_same_bits_on_any_threads_and_in_every_run() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let graph = Graph::new();
            let (outputs, inputs) = network(&graph, 32, DType::F32);
            run(&graph, &outputs, &inputs, true)
        })
    };
    let one = on(1);
    assert!(one[0].item().unwrap().is_finite());
    for threads in [2, 3, 4] {
        assert_eq!(one, on(threads), "{threads} threads differ");
    }
}

#[test]
fn weights_handed_over_in_place_stay_whole_while_bands_read_them() {
    // The new weights have as many elements as an activation, and every band convolves with all of the old ones.
    let graph = Graph::new();
    let x = graph.input("x", [32, 16, 16, 16], DType::F64);
    let w = graph.input("w", [3, 3, 16, 16], DType::F64);
    let y = x.relu().conv(w, [1, 1], [[1, 1], [1, 1]]).relu();
    let moved = w - y.mean_all() * 0.5;
    let function = graph.function(&[("w", moved), ("y", y)]).unwrap();
    let (input, weights) = (normal(&[32, 16, 16, 16], 1), normal(&[3, 3, 16, 16], 2));
    let fresh = run(&graph, &[moved, y], &[input.clone(), weights.clone()], false);
    let options = Options { donations: vec![(1, 0)], ..Options::default() };
    let mut program = Program::compile(&function, &options).unwrap();
    let mut outputs = program.new_outputs();
    outputs[0] = weights;
    program.run(&[Input::Read(&input), Input::Donated], &mut outputs).unwrap();
    assert!(distance(&outputs, &fresh) < 1e-13, "off by {}", distance(&outputs, &fresh));
}

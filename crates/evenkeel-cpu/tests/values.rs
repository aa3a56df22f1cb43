//! Values at places where derivatives say little: powers of zero, comparisons with NaN, positions of extremes, pools.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_graph::{DType, Graph, Tensor};
use support::{normal, run};

fn vector(values: &[f64]) -> Tensor {
    Tensor::from_f64([values.len()], DType::F64, values).unwrap()
}

#[test]
fn powers_of_zero_have_finite_derivatives_to_second_order() {
    let graph = Graph::new();
    let (x, y) = (graph.input("x", [4], DType::F64), graph.input("y", [4], DType::F64));
    let power = x.raised_to(y).sum_all();
    let slope = graph.vjp(&[power], &[x, y], None).unwrap();
    let ones = x.like(1.0);
    let bend = graph.jvp(&slope, &[x, y], &[ones, ones]).unwrap();
    let inputs = [vector(&[0.0, 0.0, 0.0, 3.0]), vector(&[2.0, 1.0, 3.5, 0.0])];
    let results = run(&graph, &[slope[0], slope[1], bend[0], bend[1]], &inputs, true);
    assert_eq!(results[0].to_f64(), [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(results[1].to_f64()[..3], [0.0, 0.0, 0.0]);
    assert!((results[1].to_f64()[3] - 3f64.ln()).abs() < 1e-15);
    // d/dx 2x = 2 at 0; ∂²/∂y∂x x^y = x^(y−1) (1 + y ln x), 1/3 at (3, 0); ∂²/∂y² = ln² x.
    assert_eq!(results[2].to_f64()[0], 2.0);
    assert!((results[2].to_f64()[3] - 1.0 / 3.0).abs() < 1e-15);
    assert!((results[3].to_f64()[3] - (1.0 / 3.0 + 3f64.ln().powi(2))).abs() < 1e-15);
    assert!(results.iter().all(|result| result.to_f64().iter().all(|value| value.is_finite())));
}

#[test]
fn comparisons_with_nan_are_false_but_for_not_equal_and_masks_combine() {
    for dtype in [DType::F32, DType::F64] {
        let graph = Graph::new();
        let (a, b) = (graph.input("a", [4], dtype), graph.input("b", [4], dtype));
        let masks = [a.less_or_equal(b), a.greater_or_equal(b), a.not_equal(b), !a.equal(b)];
        let both = [masks[0] & masks[1], masks[2] | masks[0], a.equal(b) & graph.splat(1.0, [4], DType::Bool)];
        let values = [vector(&[1.0, 2.0, f64::NAN, 3.0]).cast(dtype), vector(&[2.0, 2.0, 1.0, f64::NAN]).cast(dtype)];
        for fuse in [true, false] {
            let results: Vec<_> =
                run(&graph, &[&masks[..], &both].concat(), &values, fuse).iter().map(Tensor::to_f64).collect();
            assert_eq!(results[0], [1.0, 1.0, 0.0, 0.0]);
            assert_eq!(results[1], [0.0, 1.0, 0.0, 0.0]);
            assert_eq!(results[2], [1.0, 0.0, 1.0, 1.0]);
            assert_eq!(results[3], results[2]);
            assert_eq!(results[4], [0.0, 1.0, 0.0, 0.0]);
            assert_eq!(results[5], [1.0, 1.0, 1.0, 1.0]);
            assert_eq!(results[6], [0.0, 1.0, 0.0, 0.0]);
        }
    }
}

#[test]
fn positions_of_extremes_are_the_first_ones_row_by_row_over_the_axes_given() {
    let graph = Graph::new();
    let x = graph.input("x", [2, 2, 3], DType::F32);
    let values = [1.0, 5.0, 2.0, 5.0, 0.0, 0.0, -1.0, -1.0, 7.0, 3.0, 7.0, -2.0];
    let input = Tensor::from_f64([2, 2, 3], DType::F32, &values).unwrap();
    let outputs =
        [x.argmax_over(&[1, 2]), x.argmin_over(&[1, 2]), x.argmax_over(&[2, 1]), x.argmax_over(&[0]), x.min(&[0, 2])];
    let results: Vec<_> = run(&graph, &outputs, &[input], true).iter().map(Tensor::to_f64).collect();
    assert_eq!(results[0], [1.0, 2.0]);
    assert_eq!(results[1], [4.0, 5.0]);
    // Columns first: (0, 0), (1, 0), (0, 1), ..
    assert_eq!(results[2], [1.0, 3.0]);
    assert_eq!(results[3], [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    assert_eq!(results[4], [-1.0, -2.0]);
}

/// The windows of one place of the result: the elements of the sample that it covers.
fn covered(x: &Tensor, rows: &[usize], columns: &[usize], channel: usize) -> Vec<f64> {
    let [_, height, width, channels] = x.shape()[..] else { panic!("four axes") };
    let inside = |place: &&usize, extent: usize| **place < extent;
    let rows: Vec<_> = rows.iter().filter(|row| inside(row, height)).collect();
    let columns: Vec<_> = columns.iter().filter(|column| inside(column, width)).collect();
    let element = |row: usize, column: usize| x.get((row * width + column) * channels + channel).unwrap();
    rows.iter().flat_map(|&&row| columns.iter().map(move |&&column| element(row, column))).collect()
}

#[test]
fn pools_with_dilation_and_padding_are_their_definitions() {
    let x = normal(&[1, 6, 7, 2], 4);
    let (size, stride, padding, dilation) = ([2, 3], [1, 2], [[1, 2], [1, 0]], [3, 2]);
    let graph = Graph::new();
    let input = graph.input("x", [1, 6, 7, 2], DType::F64);
    let outputs = [
        input.max_pool_general(size, stride, padding, dilation),
        input.average_pool_general(size, stride, padding, dilation, true),
        input.average_pool_general(size, stride, padding, dilation, false),
    ];
    let results = run(&graph, &outputs, std::slice::from_ref(&x), true);
    let [_, rows, columns, channels] = results[0].shape()[..] else { panic!("four axes") };
    assert_eq!([rows, columns], [6, 2]);
    for place in 0..rows * columns * channels {
        let (row, column, channel) = (place / (columns * channels), place / channels % columns, place % channels);
        // Places before the sample wrap around to very large ones, which are outside as well.
        let at = |place: usize, axis: usize| -> Vec<usize> {
            (0..size[axis])
                .map(|tap| (place * stride[axis] + tap * dilation[axis]).wrapping_sub(padding[axis][0]))
                .collect()
        };
        let covered = covered(&x, &at(row, 0), &at(column, 1), channel);
        let sum: f64 = covered.iter().sum();
        assert_eq!(results[0].get(place).unwrap(), covered.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        assert!((results[1].get(place).unwrap() - sum / 6.0).abs() < 1e-15);
        assert!((results[2].get(place).unwrap() - sum / covered.len() as f64).abs() < 1e-15);
    }
}

#[test]
fn adaptive_pools_take_the_bins_that_cover_the_sample() {
    let x = normal(&[1, 5, 7, 2], 6);
    let graph = Graph::new();
    let input = graph.input("x", [1, 5, 7, 2], DType::F64);
    let outputs =
        [input.adaptive_average_pool([2, 3]), input.adaptive_max_pool([2, 3]), input.adaptive_average_pool([5, 7])];
    let results = run(&graph, &outputs, std::slice::from_ref(&x), true);
    let bin = |bin: usize, extent: usize, count: usize| -> Vec<usize> {
        (bin * extent / count..((bin + 1) * extent).div_ceil(count)).collect()
    };
    for place in 0..12 {
        let (row, column, channel) = (place / 6, place / 2 % 3, place % 2);
        let covered = covered(&x, &bin(row, 5, 2), &bin(column, 7, 3), channel);
        let mean = covered.iter().sum::<f64>() / covered.len() as f64;
        assert!((results[0].get(place).unwrap() - mean).abs() < 1e-15);
        assert_eq!(results[1].get(place).unwrap(), covered.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    }
    assert_eq!(results[2], x, "as many bins as elements");
}

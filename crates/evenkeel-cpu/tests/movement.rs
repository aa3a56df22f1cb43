//! Moves against the plain definition of each, in every element type and on any number of threads.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_graph::op::Progression;
use evenkeel_graph::{DType, Graph, Shape, Tensor, Var};
use proptest::prelude::*;
use support::run;

/// 1, 2, 3, .. so that every element is told apart from every other and from padding.
fn counting(shape: &[usize], dtype: DType) -> Tensor {
    let count = shape.iter().product::<usize>();
    match dtype {
        DType::I32 => Tensor::new(shape, (1..=count as i32).collect()).unwrap(),
        DType::Bool => Tensor::new(shape, (0..count).map(|n| n % 3 != 1).collect()).unwrap(),
        _ => Tensor::from_f64(shape, dtype, &(1..=count).map(|n| n as f64).collect::<Vec<_>>()).unwrap(),
    }
}

fn outputs(x: &Tensor, build: impl for<'g> Fn(Var<'g>) -> Vec<Var<'g>>) -> Vec<Tensor> {
    let graph = Graph::new();
    let input = graph.input("x", x.shape(), x.dtype());
    let outputs = build(input);
    run(&graph, &outputs, std::slice::from_ref(x), true)
}

/// The element of a row-major value at `place`.
fn element(x: &Tensor, place: &[usize]) -> f64 {
    x.get(place.iter().zip(x.shape().strides()).map(|(place, stride)| place * stride).sum()).unwrap()
}

/// Every place of a shape in order.
fn places(shape: &Shape) -> Vec<Vec<usize>> {
    let strides = shape.strides();
    let place = |flat: usize| strides.iter().zip(shape.iter()).map(|(stride, extent)| flat / stride % extent).collect();
    (0..shape.elements()).map(place).collect()
}

/// A progression of an axis from any three numbers.
fn progression(extent: usize, first: usize, step: isize, count: usize) -> Progression {
    let room = |first: usize| if step > 0 { extent - first } else { first + 1 };
    match extent {
        0 => Progression::new(0, 1, 0),
        _ => {
            let first = first % extent;
            Progression::new(first, step, count % (room(first).div_ceil(step.unsigned_abs()) + 1))
        }
    }
}

proptest! {
    #[test]
    fn slices_and_pads_and_slices_of_both_are_their_definitions(
        extents in proptest::collection::vec(0usize..6, 1..4),
        choice in proptest::collection::vec((0usize..9, prop_oneof![-3isize..=-1, 1isize..=3], 0usize..9), 8),
    ) {
        let x = counting(&extents, DType::F64);
        let axis = |n: usize, extent: usize| progression(extent, choice[n].0, choice[n].1, choice[n].2);
        let along: Vec<_> = extents.iter().enumerate().map(|(n, &extent)| axis(n, extent)).collect();
        // The pad writes x backwards or with gaps into a larger value.
        let written: Vec<_> = extents
            .iter()
            .enumerate()
            .map(|(n, &extent)| {
                let (margin, step) = (choice[n + 4].0, choice[n + 4].1);
                let reach = extent.saturating_sub(1) * step.unsigned_abs();
                let first = if step > 0 { margin } else { margin + reach };
                (Progression::new(first, step, extent), margin + reach + 1 + choice[n + 4].2)
            })
            .collect();
        let (written, whole): (Vec<_>, Vec<_>) = written.into_iter().unzip();
        let whole = Shape::from(whole);
        let reread: Vec<_> = whole.iter().enumerate().map(|(n, &extent)| axis(n, extent)).collect();
        let results = outputs(&x, |x| {
            let padded = x.pad_at(written.clone(), &whole);
            vec![x.slice_at(along.clone()), padded, padded.slice_at(reread.clone()), x.slice_at(along.clone()).slice_at(
                along.iter().map(|along| axis(3, along.count())).collect())]
        });
        let at = |along: &[Progression], place: &[usize]| -> Vec<usize> {
            along.iter().zip(place).map(|(along, &place)| along.at(place)).collect()
        };
        for place in places(results[0].shape()) {
            prop_assert_eq!(element(&results[0], &place), element(&x, &at(&along, &place)));
        }
        let mut expected = vec![0.0; whole.elements()];
        for place in places(x.shape()) {
            let at: usize = at(&written, &place).iter().zip(whole.strides()).map(|(place, stride)| place * stride).sum();
            expected[at] = element(&x, &place);
        }
        prop_assert_eq!(results[1].to_f64(), expected);
        for place in places(results[2].shape()) {
            prop_assert_eq!(element(&results[2], &place), element(&results[1], &at(&reread, &place)));
        }
        let second: Vec<_> = along.iter().map(|along| axis(3, along.count())).collect();
        for place in places(results[3].shape()) {
            prop_assert_eq!(element(&results[3], &place), element(&results[0], &at(&second, &place)));
        }
    }
}

#[test]
fn moves_keep_every_element_type() {
    for dtype in [DType::F32, DType::F64, DType::I32, DType::Bool] {
        let x = counting(&[3, 4], dtype);
        let index = Tensor::new([2], vec![2, 7]).unwrap();
        let results = outputs(&x, |x| {
            let graph = x.graph();
            vec![
                x.slice(&[1..3, 1..2]),
                x.reverse(&[1]),
                x.pad(&[[1, 0], [0, 1]]),
                graph.concat(&[x, x.slice_along(1, 0..1)], 1),
                x.gather(0, graph.constant(index.clone())),
            ]
        });
        let v = x.to_f64();
        assert!(results.iter().all(|result| result.dtype() == dtype));
        assert_eq!(results[0].to_f64(), [v[5], v[9]]);
        assert_eq!(results[1].to_f64()[..4], [v[3], v[2], v[1], v[0]]);
        assert_eq!(results[2].to_f64()[..10], [0.0, 0.0, 0.0, 0.0, 0.0, v[0], v[1], v[2], v[3], 0.0]);
        assert_eq!(results[3].to_f64()[..6], [v[0], v[1], v[2], v[3], v[0], v[4]]);
        assert_eq!(results[4].to_f64(), [v[8], v[9], v[10], v[11], 0.0, 0.0, 0.0, 0.0], "{dtype}");
    }
}

#[test]
fn an_index_outside_reads_zeros_and_is_added_nowhere() {
    let graph = Graph::new();
    let x = graph.input("x", [2, 3], DType::F32);
    let index = graph.constant(Tensor::new([5], vec![1, -1, 2, i32::MIN, i32::MAX]).unwrap());
    let rows = x.gather(0, index);
    let back = (rows + 1.0).scatter_add(0, index, 2);
    let results = run(&graph, &[rows, back], &[counting(&[2, 3], DType::F32)], true);
    assert_eq!(results[0].to_f64()[..3], [4.0, 5.0, 6.0]);
    assert!(results[0].to_f64()[3..].iter().all(|&value| value == 0.0));
    assert_eq!(results[1].to_f64(), [0.0, 0.0, 0.0, 5.0, 6.0, 7.0]);
}

#[test]
fn values_larger_than_one_run_are_moved_whole_and_with_the_same_bits_on_any_number_of_threads() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let graph = Graph::new();
            let x = graph.input("x", [300, 257], DType::F32);
            let index: Vec<i32> = (0..1000).map(|n| (n * 7919) % 300).collect();
            let index = graph.constant(Tensor::new([1000], index).unwrap());
            let rows = x.gather(0, index);
            let outputs = [
                x.slice(&[1..300, 3..250]),
                x.reverse(&[0, 1]),
                x.reshape([300 * 257]).pad(&[[5, 70_000]]),
                graph.concat(&[x, x.slice_along(1, 0..100), x], 1),
                (rows * 0.1).scatter_add(0, index, 300),
                (rows * 0.1).transpose(&[1, 0]).scatter_add(1, index, 300),
            ];
            run(&graph, &outputs, &[counting(&[300, 257], DType::F32)], true)
        })
    };
    let one = on(1);
    assert_eq!(one[0].to_f64()[0], 257.0 + 4.0);
    assert_eq!(one[0].to_f64()[299 * 247 - 1], (299 * 257 + 250) as f64);
    assert_eq!(one[1].to_f64()[..2], [77_100.0, 77_099.0]);
    assert_eq!(one[2].to_f64()[5 + 77_099..5 + 77_101], [77_100.0, 0.0]);
    assert_eq!(one[3].to_f64()[614 + 357..614 + 359], [258.0, 259.0]);
    assert_eq!(one, on(2));
    assert_eq!(one, on(4));
}

//! Nonsense is told, never a panic: any sequence of calls of the public interface, with any shapes and arguments.
#![allow(clippy::unwrap_used)]

use evenkeel_graph::op::{Convolution, Progression};
use evenkeel_graph::{DType, Graph, Shape, Tensor, Var};
use proptest::prelude::*;
use std::collections::VecDeque;

/// Bytes to make decisions from; 0 when they are used up.
struct Bytes(VecDeque<u8>);

impl Bytes {
    fn byte(&mut self) -> usize {
        self.0.pop_front().unwrap_or(0).into()
    }

    /// An extent, an axis, a stride: mostly small, now and then absurd.
    fn number(&mut self) -> usize {
        match self.byte() % 20 {
            15 => 1 << 20,
            16 => (1 << 31) - 1,
            17 => 1 << 40,
            18 => isize::MAX as usize / 8,
            19 => usize::MAX,
            small => [0, 1, 2, 3, 4, 6][small % 6],
        }
    }

    fn numbers(&mut self) -> Vec<usize> {
        (0..[2, 1, 3, 4, 0, 4, 4, 70][self.byte() % 8]).map(|_| self.number()).collect()
    }

    fn two(&mut self) -> [usize; 2] {
        [self.number(), self.number()]
    }

    fn four(&mut self) -> [usize; 4] {
        [self.number(), self.number(), self.number(), self.number()]
    }

    fn along(&mut self) -> Vec<Progression> {
        (0..[2, 1, 4, 0][self.byte() % 4])
            .map(|_| {
                let step = [1, 2, -1, 0, isize::MIN, isize::MAX][self.byte() % 6];
                Progression::new(self.number(), step, self.number())
            })
            .collect()
    }

    fn dtype(&mut self) -> DType {
        [DType::F32, DType::F32, DType::F64, DType::I32, DType::Bool][self.byte() % 5]
    }

    fn geometry(&mut self) -> Convolution {
        Convolution {
            input: self.four(),
            weight: self.four(),
            stride: self.two(),
            padding: [self.two(), self.two()],
            dilation: self.two(),
            groups: self.number(),
        }
    }
}

/// Makes one call on values of any graph; what it gives may be used by later ones.
fn call<'g>(graph: &'g Graph, values: &[Var<'g>], bytes: &mut Bytes) -> Var<'g> {
    let pick = |bytes: &mut Bytes| values[bytes.byte() % values.len()];
    let a = pick(bytes);
    let b = pick(bytes);
    match bytes.byte() % 52 {
        0 => graph.input("x", bytes.numbers(), bytes.dtype()),
        1 => graph.splat(f64::NAN, bytes.numbers(), bytes.dtype()),
        2 => graph.iota(bytes.numbers(), bytes.number(), bytes.dtype()),
        3 => graph.constant(Tensor::zeros([2, 3], bytes.dtype())),
        4 => a + b,
        5 => a / b,
        6 => 2.0 - a,
        7 => a.maximum(b),
        8 => a.greater(b),
        9 => a.equal(b),
        10 => a.select(b, pick(bytes)),
        11 => a.cast(bytes.dtype()),
        12 => a.like(f64::INFINITY),
        13 => -a,
        14 => a.exp(),
        15 => a.gelu(),
        16 => a.power(f64::NAN),
        17 => a.relu().named("relu"),
        18 => a.reshape(bytes.numbers()),
        19 => a.flatten(),
        20 => a.transpose(&bytes.numbers()),
        21 => a.broadcast_to(&bytes.numbers().into()),
        22 => a.broadcast_along(bytes.numbers(), &bytes.numbers().into()),
        23 => a.sum(&bytes.numbers()),
        24 => a.max(&bytes.numbers()),
        25 => a.mean(&bytes.numbers()),
        26 => a.mean_all(),
        27 => a.log_sum_exp(),
        28 => a.argmax(),
        29 => a.softmax(),
        30 => a.log_softmax(),
        31 => a.matmul_with(b, bytes.byte() > 127, bytes.byte() > 127),
        32 => a.conv(b, bytes.two(), [bytes.two(), bytes.two()]),
        33 => a.conv_general(b, bytes.two(), [bytes.two(), bytes.two()], bytes.two(), bytes.number()),
        34 => a.conv_input_gradient(b, &bytes.geometry()),
        35 => a.conv_weight_gradient(b, &bytes.geometry()),
        36 => a.max_pool(bytes.two(), bytes.two(), [bytes.two(), bytes.two()]),
        37 => a.average_pool(bytes.two(), bytes.two(), [bytes.two(), bytes.two()]),
        38 => a.window_sum(bytes.two(), bytes.two(), [bytes.two(), bytes.two()]),
        39 => a.slice(&bytes.numbers().into_iter().map(|end| 0..end).collect::<Vec<_>>()),
        40 => a.slice_along_by(bytes.number(), bytes.number()..bytes.number(), bytes.number()),
        41 => a.at(bytes.number(), bytes.number()),
        42 => a.slice_at(bytes.along()),
        43 => a.reverse(&bytes.numbers()),
        44 => a.pad_with(&[bytes.two(), bytes.two()], &bytes.two()),
        45 => a.pad_at(bytes.along(), &bytes.numbers().into()),
        46 => a.split(bytes.number(), bytes.number()).first().copied().unwrap_or(a),
        47 => graph.concat(&[a, b, pick(bytes)][..bytes.byte() % 4], bytes.number()),
        48 => a.gather(bytes.number(), b),
        49 => a.gather(0, b.cast(DType::I32)),
        50 => a.scatter_add(bytes.number(), b, bytes.number()),
        _ => {
            let _scope = graph.scope("layer");
            a.square()
        }
    }
}

/// Calls everything fallible on some of the values.
fn finish<'g>(graph: &'g Graph, values: &[Var<'g>], bytes: &mut Bytes) {
    let mut some = |at_most: usize| -> Vec<Var<'g>> {
        (0..bytes.byte() % (at_most + 1)).map(|_| values[bytes.byte() % values.len()]).collect()
    };
    let (outputs, wrt, others) = (some(2), some(2), some(2));
    let _ = graph.vjp(&outputs, &wrt, None);
    let gradient = graph.vjp(&outputs, &wrt, Some(&others));
    let _ = graph.jvp(&outputs, &wrt, &others);
    let _ = graph.map(&outputs, &wrt, &others);
    let mut results: Vec<(&str, Var<'g>)> = outputs.iter().map(|&var| ("output", var)).collect();
    results.extend(gradient.into_iter().flatten().map(|var| ("gradient", var)));
    if let Ok(function) = graph.function(&results) {
        let _ = (graph.call(&function, &others), function.map(2, |info| info.shape.len() > 1));
        let linearized = function.linearize(|info| info.name == "matrix");
        assert!(linearized.kept <= function.nodes().len());
        let _ = (function.to_string(), function.flops(), function.input_index("x"), function.output_index("output"));
    }
    if let Err(error) = graph.check() {
        assert!(!error.problem().is_empty() && !error.to_string().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn no_sequence_of_calls_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), fresh in any::<bool>()) {
        let (graph, other) = (Graph::new(), Graph::new());
        let mut bytes = Bytes(bytes.into());
        let mut values = vec![
            graph.input("matrix", [2, 3], DType::F32),
            graph.input("image", [1, 4, 4, 2], DType::F32),
            graph.input("kernel", [2, 2, 2, 3], DType::F32),
            graph.input("scalar", [], DType::F32),
            other.input("foreign", [2, 3], DType::F32),
            other.input("foreign", [usize::MAX, 2], DType::F32),
        ];
        while !bytes.0.is_empty() {
            let value = call(&graph, &values, &mut bytes);
            // A mistake swallows all that follows, so most of it is forgotten and the next one starts again.
            if graph.check().is_err() && fresh {
                finish(&graph, &values, &mut bytes);
                return Ok(());
            }
            values.push(value);
        }
        finish(&graph, &values, &mut bytes);
    }
}

#[test]
fn values_of_two_graphs_are_refused_by_every_call_that_takes_two() {
    type Mistake = for<'g> fn(Var<'g>, Var<'g>);
    let mistakes: [Mistake; 4] = [
        |a, b| {
            let _ = a * b;
        },
        |a, b| {
            a.matmul(b);
        },
        |a, b| {
            a.conv(b, [1, 1], [[0, 0], [0, 0]]);
        },
        |a, b| {
            a.greater(a).select(a, b);
        },
    ];
    for mistake in mistakes {
        let (one, other) = (Graph::new(), Graph::new());
        let (a, b) = (one.input("a", [2, 2, 2, 2], DType::F64), other.input("b", [2, 2, 2, 2], DType::F64));
        mistake(a, b);
        assert!(one.check().unwrap_err().problem().contains("two different graphs"));
    }
}

#[test]
fn a_foreign_or_failed_value_has_no_derivative_and_is_no_output() {
    let (one, other) = (Graph::new(), Graph::new());
    let x = one.input("x", [], DType::F64);
    let foreign = other.input("y", [], DType::F64);
    let failed = other.input("z", [usize::MAX, 2], DType::F64);
    for value in [foreign, failed] {
        assert!(one.vjp(&[value], &[x], None).is_err());
        assert!(one.vjp(&[x], &[value], None).is_err());
        assert!(one.vjp(&[x], &[x], Some(&[value])).is_err());
        assert!(one.jvp(&[x], &[value], &[x]).is_err());
        assert!(one.jvp(&[x], &[x], &[value]).is_err());
        assert!(one.function(&[("value", value)]).is_err());
    }
    assert!(one.function(&[("x", x)]).is_ok());
}

#[test]
fn a_shape_with_too_many_elements_is_refused_with_the_reason() {
    let shapes: [&[usize]; 4] = [&[usize::MAX, 2], &[1 << 40, 1 << 40], &[0, usize::MAX, 2], &[isize::MAX as usize, 1]];
    for shape in shapes {
        let graph = Graph::new();
        let x = graph.input("x", [1], DType::F32).broadcast_to(&shape.into());
        assert_eq!(x.shape(), Shape::default());
        let error = graph.check().unwrap_err();
        assert!(error.problem().contains("too many elements"), "{error}");
        assert!(error.to_string().contains(&format!("{shape:?}")), "{error}");
    }
    // Each is addressable by itself, their outer product is not.
    let graph = Graph::new();
    let (column, row) = (graph.input("column", [1 << 35, 1], DType::F32), graph.input("row", [1, 1 << 35], DType::F32));
    column.matmul(row);
    assert!(graph.check().unwrap_err().problem().contains("too many elements"));
}

#[test]
fn elements_that_cannot_be_counted_are_the_most_there_can_be_and_zero_times_anything_is_none() {
    assert_eq!(Shape::from([usize::MAX, 2]).elements(), usize::MAX);
    assert_eq!(Shape::from([1 << 40, 1 << 40, 3]).elements(), usize::MAX);
    assert_eq!(Shape::from([usize::MAX, 2, 0]).elements(), 0);
    assert!(Tensor::new([1 << 32, 1 << 32], Vec::<f32>::new()).is_none());
}

#[test]
fn a_window_with_nothing_in_it_has_no_largest_element() {
    let graph = Graph::new();
    graph.input("x", [2, 0, 4, 3], DType::F32).max_pool([2, 2], [1, 1], [[1, 1], [0, 0]]);
    assert!(graph.check().unwrap_err().problem().contains("without an element"));
    let graph = Graph::new();
    let y = graph.input("x", [0, 4, 4, 3], DType::F32).max_pool([2, 2], [1, 1], [[1, 1], [0, 0]]);
    assert_eq!(y.shape(), Shape::from([0, 5, 3, 3]));
    graph.check().unwrap();
}

#[test]
fn integers_have_no_row_functions() {
    type Mistake = for<'g> fn(Var<'g>);
    let mistakes: [Mistake; 4] = [
        |x| {
            x.argmax();
        },
        |x| {
            x.log_sum_exp();
        },
        |x| {
            x.sum_all();
        },
        |x| {
            x.matmul(x);
        },
    ];
    for (mistake, dtype) in mistakes.into_iter().zip([DType::I32, DType::I32, DType::Bool, DType::I32]) {
        let graph = Graph::new();
        mistake(graph.input("labels", [3, 3], dtype));
        assert!(graph.check().is_err());
    }
}

#[test]
fn a_transpose_that_moves_only_unit_axes_is_a_reshape() {
    let graph = Graph::new();
    let x = graph.input("x", [2, 1, 1, 3], DType::F64);
    let swapped = x.transpose(&[0, 2, 1, 3]).exp();
    let front = x.transpose(&[1, 0, 2, 3]).exp();
    let text = graph.function(&[("swapped", swapped), ("front", front)]).unwrap().to_string();
    assert_eq!((text.matches("transpose(").count(), text.matches("reshape(").count()), (0, 1), "{text}");
}

/// It asked for the memory of all parts at once, and the process ended.
#[test]
fn splitting_an_absurdly_long_axis_into_single_elements_is_refused() {
    let graph = Graph::new();
    let long = graph.splat(0.0, [1 << 50], DType::F32);
    assert_eq!(long.split(0, 1 << 50).len(), 1 << 16);
    assert!(graph.check().unwrap_err().to_string().contains("equal parts"));
}

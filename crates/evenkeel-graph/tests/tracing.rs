//! What tracing refuses and how it says so, and what simplification finds.

#![allow(clippy::unwrap_used)]

use evenkeel_graph::{DType, Graph, Var};

#[test]
fn a_wrong_shape_is_told_with_both_values_and_the_line() {
    let graph = Graph::new();
    let x = graph.input("x", [4, 3], DType::F32);
    let bias = graph.input("head.bias", [5], DType::F32);
    let y = (x + bias).exp().sum_all();
    let error = graph.vjp(&[y], &[x], None).unwrap_err();
    assert_eq!(error.problem(), "[4, 3] and [5] do not broadcast");
    assert!(error.location().unwrap().contains("tracing.rs"), "{error}");
    let text = error.to_string();
    assert!(text.contains("x          f32 [4, 3]") && text.contains("head.bias  f32 [5]"), "{text}");
}

#[test]
fn the_first_mistake_is_the_one_reported() {
    let graph = Graph::new();
    let x = graph.input("x", [4, 3], DType::F32);
    let _ = x.matmul(x).reshape([7]).sum(&[9]);
    let error = graph.check().unwrap_err();
    assert_eq!((error.operation(), error.problem()), ("matmul", "[4, 3] and [4, 3] do not multiply"));
}

#[test]
fn mistakes_of_every_kind_are_errors_and_no_panics() {
    use DType::{F32, F64, I32};
    type Mistake = fn(&Graph);
    let mistakes: [(&str, Mistake); 29] = [
        ("too many elements", |g| {
            g.input("x", [usize::MAX, 8], F32);
        }),
        ("not a permutation", |g| {
            g.input("x", [2, 3], F32).transpose(&[0, 0]);
        }),
        ("do not fill", |g| {
            g.input("x", [2, 3], F32).reshape([4]);
        }),
        ("distinct axes", |g| {
            g.input("x", [2, 3], F32).sum(&[1, 1]);
        }),
        ("distinct axes", |g| {
            g.input("x", [2, 3], F32).max(&[2]);
        }),
        ("one type", |g| {
            let _ = g.input("x", [2], F32) + g.input("y", [2], F64);
        }),
        ("floating-point", |g| {
            g.input("x", [2], I32).exp();
        }),
        ("last axis", |g| {
            g.input("x", [2, 0], F32).log_sum_exp();
        }),
        ("do not meet", |g| {
            g.input("x", [1, 4, 4, 3], F32).conv(g.input("w", [3, 3, 4, 8], F32), [1, 1], [[1, 1], [1, 1]]);
        }),
        ("at least 1", |g| {
            g.input("x", [1, 4, 4, 3], F32).conv(g.input("w", [3, 3, 3, 8], F32), [0, 1], [[1, 1], [1, 1]]);
        }),
        ("without an element", |g| {
            g.input("x", [1, 4, 4, 3], F32).max_pool([2, 2], [1, 1], [[2, 0], [0, 0]]);
        }),
        ("floating-point", |g| {
            g.input("x", [2], I32).argmax();
        }),
        ("not a permutation", |g| {
            g.input("x", [2, 3], F32).argmax_over(&[0, 0]);
        }),
        ("floating-point", |g| {
            let x = g.input("x", [2], I32);
            x.raised_to(x);
        }),
        ("i32 and shape [4]", |g| {
            g.uniform(g.input("key", [3], I32), [2, 3], F32);
        }),
        ("i32 and shape [4]", |g| {
            g.normal(g.input("key", [4], I32), [2, 3], I32);
        }),
        ("dilations must be at least 1", |g| {
            g.input("x", [1, 4, 4, 3], F32).max_pool_general([2, 2], [1, 1], [[0, 0], [0, 0]], [0, 1]);
        }),
        ("without an element", |g| {
            g.input("x", [1, 4, 4, 3], F32).average_pool_general([2, 2], [1, 1], [[3, 0], [0, 0]], [2, 2], false);
        }),
        ("[0..2, 1..4] do not lie in [2, 3]", |g| {
            g.input("x", [2, 3], F32).slice(&[0..2, 1..4]);
        }),
        ("2..1 ends before it starts", |g| {
            let (start, end) = (2, 1);
            g.input("x", [2, 3], F32).slice(&[0..2, start..end]);
        }),
        ("no range of axis 2", |g| {
            g.input("x", [2, 3], F32).slice_along(2, 0..1);
        }),
        ("a step of 0", |g| {
            g.input("x", [2, 3], F32).slice_along_by(1, 0..1, 0);
        }),
        ("not axes of [2, 3]", |g| {
            g.input("x", [2, 3], F32).reverse(&[2]);
        }),
        ("too large", |g| {
            g.input("x", [2, 3], F32).pad_with(&[[0, 0], [0, 0]], &[0, usize::MAX / 2]);
        }),
        ("4 equal parts", |g| {
            g.input("x", [2, 3], F32).split(1, 4)[3].exp();
        }),
        ("do not join along axis 0", |g| {
            g.concat(&[g.input("x", [2, 3], F32), g.input("y", [2, 4], F32)], 0);
        }),
        ("needs i32 indices", |g| {
            g.input("x", [2, 3], F32).gather(0, g.input("i", [4], F32));
        }),
        ("the axes [4] of its i32 indices at axis 1", |g| {
            g.input("x", [2, 3], F32).scatter_add(1, g.input("i", [4], I32), 7);
        }),
        ("axis 3", |g| {
            g.iota([2, 2], 3, F32);
        }),
    ];
    for (expected, mistake) in mistakes {
        let graph = Graph::new();
        mistake(&graph);
        let error = graph.check().unwrap_err();
        assert!(error.problem().contains(expected), "expected '{expected}', got: {error}");
    }
}

#[test]
fn values_of_two_graphs_do_not_mix() {
    let (one, other) = (Graph::new(), Graph::new());
    let _ = one.input("x", [2], DType::F32) * other.input("y", [2], DType::F32);
    assert!(one.check().unwrap_err().problem().contains("two different graphs"));
}

#[test]
fn a_gradient_needs_a_scalar_or_a_cotangent_of_the_right_shape() {
    let graph = Graph::new();
    let x = graph.input("x", [2], DType::F32);
    assert!(graph.vjp(&[x], &[x], None).unwrap_err().problem().contains("cotangent"));
    let wrong = graph.input("g", [3], DType::F32);
    assert!(graph.vjp(&[x], &[x], Some(&[wrong])).is_err());
    assert!(graph.jvp(&[x], &[x], &[wrong]).is_err());
}

#[test]
fn constants_fold_equal_expressions_meet_and_dead_code_goes() {
    let graph = Graph::new();
    let x = graph.input("x", [3], DType::F64);
    let _unused = x.exp().log().sqrt();
    let folded = x * ((x.like(2.0) * 3.0 + 1.0) / 7.0);
    let twice = (x + 1.0).tanh() + (x + 1.0).tanh();
    let text = graph.function(&[("folded", folded), ("twice", twice)]).unwrap().to_string();
    assert_eq!(text.matches("tanh(").count(), 1, "{text}");
    assert_eq!(text.matches("multiply(").count(), 0, "x · 1 is x:\n{text}");
    assert_eq!(text.matches("exp(").count() + text.matches("sqrt(").count(), 0, "{text}");
}

#[test]
fn transposes_disappear_into_products_and_double_ones_vanish() {
    let graph = Graph::new();
    let (a, b) = (graph.input("a", [4, 3], DType::F64), graph.input("b", [4, 5], DType::F64));
    let product = a.transpose(&[1, 0]).matmul(b);
    let same = a.transpose(&[1, 0]).transpose(&[1, 0]);
    let text = graph.function(&[("product", product), ("same", same)]).unwrap().to_string();
    assert_eq!(text.matches("transpose(").count(), 0, "{text}");
}

#[test]
fn a_sum_over_repeated_axes_is_a_product() {
    let graph = Graph::new();
    let x = graph.input("x", [3], DType::F64);
    let rows = x.broadcast_along(vec![1], &[4, 3].into());
    let text = graph.function(&[("sum", rows.sum(&[0]))]).unwrap().to_string();
    assert!(text.contains("multiply(") && !text.contains("sum("), "{text}");
}

/// How often an operation is left in what computes `build` of `[4, 6]`.
fn left(operation: &str, build: impl for<'g> Fn(Var<'g>) -> Var<'g>) -> usize {
    let graph = Graph::new();
    let x = graph.input("x", [4, 6], DType::F64);
    let text = graph.function(&[("y", build(x))]).unwrap().to_string();
    text.matches(&format!("= {operation}(")).count()
}

#[test]
fn a_slice_of_a_slice_is_one_slice() {
    assert_eq!(left("slice", |x| x.slice_along_by(1, 1..6, 2).slice_along(1, 1..3).slice_along(0, 1..2)), 1);
    assert_eq!(left("slice", |x| x.reverse(&[0, 1]).reverse(&[1, 0])), 0, "reversed twice is as it was");
    assert_eq!(left("slice", |x| x.like(3.0).slice(&[0..1, 2..4])), 0, "one number everywhere is one number anywhere");
}

#[test]
fn a_slice_reads_only_what_it_needs_of_pads_and_concatenations() {
    assert_eq!(left("pad", |x| x.pad(&[[1, 2], [3, 0]]).slice(&[1..5, 3..9])), 0, "the pad is taken off again");
    assert_eq!(left("slice", |x| x.pad(&[[1, 2], [3, 0]]).slice(&[1..5, 3..9])), 0);
    assert_eq!(left("constant", |x| x.pad(&[[1, 0], [0, 0]]).slice(&[0..1, 0..6])), 1, "only zeros are read");
    assert_eq!(left("exp", |x| x.graph().concat(&[x.exp(), x.sin()], 0).slice(&[5..7, 0..6])), 0);
    assert_eq!(left("concat", |x| x.graph().concat(&[x.exp(), x.sin()], 0).slice(&[5..7, 0..6])), 0);
    assert_eq!(left("concat", |x| x.graph().concat(&[x.exp(), x.sin()], 0).slice(&[3..7, 0..6])), 1);
}

#[test]
fn a_pad_of_a_pad_is_one_pad_and_a_pad_of_nothing_is_zeros() {
    assert_eq!(left("pad", |x| x.pad(&[[1, 0], [0, 0]]).pad_with(&[[0, 1], [2, 0]], &[1, 0])), 1);
    assert_eq!(left("pad", |x| x.slice(&[0..0, 0..6]).pad(&[[1, 1], [0, 0]])), 0);
    assert_eq!(left("pad", |x| x.like(0.0).pad(&[[1, 1], [0, 0]])), 0);
}

#[test]
fn parts_that_are_put_together_again_are_the_whole() {
    assert_eq!(left("concat", |x| x.graph().concat(&x.split(1, 3), 1)), 0);
    assert_eq!(left("slice", |x| x.graph().concat(&x.split(1, 3), 1)), 0);
    assert_eq!(left("concat", |x| x.graph().concat(&[x, x.graph().concat(&[x, x], 0)], 0)), 1, "nested ones are one");
}

#[test]
fn the_gradient_of_a_split_is_one_concatenation() {
    let graph = Graph::new();
    let x = graph.input("x", [4, 6], DType::F64);
    let parts = x.split(1, 3);
    let loss = (parts[0].sin() * parts[1] * parts[2].exp()).sum_all();
    let gradient = graph.vjp(&[loss], &[x], None).unwrap()[0];
    let text = graph.function(&[("gradient", gradient)]).unwrap().to_string();
    let count = |operation: &str| text.matches(&format!("= {operation}(")).count();
    assert_eq!((count("concat"), count("pad"), count("add")), (1, 0, 0), "{text}");
}

#[test]
fn a_function_takes_every_input_even_those_nothing_reads() {
    let graph = Graph::new();
    let x = graph.input("x", [3], DType::F64);
    graph.input("unused", [2], DType::F32);
    let function = graph.function(&[("y", x.exp())]).unwrap();
    assert_eq!(function.inputs().len(), 2);
    assert_eq!(function.input_index("unused"), Some(1));
}

#[test]
fn flops_count_products_and_convolutions() {
    let graph = Graph::new();
    let (a, b) = (graph.input("a", [2, 3], DType::F32), graph.input("b", [3, 5], DType::F32));
    let function = graph.function(&[("y", a.matmul(b).tanh())]).unwrap();
    assert_eq!(function.flops(), 2 * 2 * 3 * 5);
}

//! What tracing refuses and how it says so, and what simplification finds.

use evenkeel_graph::{DType, Graph};

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
    let mistakes: [(&str, Mistake); 12] = [
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

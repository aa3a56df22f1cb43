//! Sums of squares of products by their sides against the products themselves.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_graph::{DType, Graph, Tensor, Var};
use support::{distance, normal, run};

type Product = for<'g> fn(Var<'g>, Var<'g>) -> Var<'g>;

/// Σ product² over all axes but `kept`, and how many flops the function has; with the product an output as well, it is formed.
fn both_ways(shapes: [&[usize]; 2], kept: usize, product: Product) -> ([Tensor; 2], [u64; 2]) {
    let graph = Graph::new();
    let (a, b) = (graph.input("a", shapes[0], DType::F64), graph.input("b", shapes[1], DType::F64));
    let product = product(a, b);
    let axes: Vec<usize> = (kept..product.shape().len()).collect();
    let squares = (product * product).sum(&axes);
    let inputs = [normal(shapes[0], 1), normal(shapes[1], 2)];
    let alone = run(&graph, &[squares], &inputs, true).remove(0);
    let formed = run(&graph, &[squares, product], &inputs, true).remove(0);
    let flops = [
        graph.function(&[("squares", squares)]).unwrap().flops(),
        graph.function(&[("squares", squares), ("product", product)]).unwrap().flops(),
    ];
    ([alone, formed], flops)
}

fn agree([alone, formed]: [Tensor; 2]) {
    assert_eq!(alone.shape(), formed.shape());
    assert!(distance(&[alone], &[formed]) < 1e-13);
}

#[test]
fn an_outer_product_needs_no_product() {
    let (values, flops) = both_ways([&[1, 9], &[1, 7]], 0, |a, b| a.matmul_with(b, true, false));
    agree(values);
    assert_eq!(flops, [0, 2 * 9 * 7]);
}

#[test]
fn a_product_over_few_elements_is_two_smaller_ones_however_it_is_stored() {
    let cases: [([&[usize]; 2], Product); 4] = [
        ([&[5, 20, 3], &[5, 3, 30]], |a, b| a.matmul(b)),
        ([&[5, 3, 20], &[5, 3, 30]], |a, b| a.matmul_with(b, true, false)),
        ([&[5, 20, 3], &[5, 30, 3]], |a, b| a.matmul_with(b, false, true)),
        ([&[5, 3, 20], &[5, 30, 3]], |a, b| a.matmul_with(b, true, true)),
    ];
    for (shapes, product) in cases {
        for kept in [0, 1] {
            let (values, flops) = both_ways(shapes, kept, product);
            agree(values);
            assert_eq!(flops, [5 * 2 * 9 * (20 + 30), 5 * 2 * 3 * 20 * 30]);
        }
    }
}

#[test]
fn a_product_without_elements_adds_up_to_nothing_whatever_its_sides_hold() {
    // Regression: it was nothing times the sum of squares of the other side, and NaN where that is infinite.
    let graph = Graph::new();
    let (a, b) = (graph.input("a", [0, 1], DType::F64), graph.input("b", [1, 2], DType::F64));
    let product = a.matmul(b);
    let inputs = [normal(&[0, 1], 1), Tensor::new([1, 2], vec![f64::INFINITY, f64::NAN]).unwrap()];
    assert_eq!(run(&graph, &[product.square().sum_all()], &inputs, true)[0].item(), Some(0.0));
}

#[test]
fn a_product_over_many_elements_is_formed() {
    let (values, flops) = both_ways([&[20, 40], &[40, 30]], 0, |a, b| a.matmul(b));
    agree(values);
    assert_eq!(flops[0], flops[1]);
    // Sums over one of its axes are no sums over the whole product.
    let (values, flops) = both_ways([&[20, 3], &[3, 30]], 1, |a, b| a.matmul(b));
    agree(values);
    assert_eq!(flops[0], flops[1]);
}

/// Σ w̄² for the gradient w̄ of a convolution's weights.
fn weight_gradient(
    input: [usize; 4],
    weight: [usize; 4],
    stride: [usize; 2],
    padding: [[usize; 2]; 2],
    dilation: [usize; 2],
) -> ([Tensor; 2], [u64; 2]) {
    let graph = Graph::new();
    let (x, w) = (graph.input("x", input, DType::F64), graph.input("w", weight, DType::F64));
    let y = x.conv_general(w, stride, padding, dilation, 1);
    let cotangent = graph.input("cotangent", y.shape(), DType::F64);
    let gradient = graph.vjp(&[y], &[w], Some(&[cotangent])).unwrap()[0];
    let squares = gradient.square().sum_all();
    let inputs = [normal(&input, 1), normal(&weight, 2), normal(&y.shape(), 3)];
    let alone = run(&graph, &[squares], &inputs, true).remove(0);
    let formed = run(&graph, &[squares, gradient], &inputs, true).remove(0);
    let flops = |outputs: &[(&str, Var<'_>)]| graph.function(outputs).unwrap().flops();
    ([alone, formed], [flops(&[("squares", squares)]), flops(&[("squares", squares), ("gradient", gradient)])])
}

#[test]
fn gradients_of_convolution_weights_are_products_of_patches() {
    let around = [[1, 1], [1, 1]];
    let cases = [
        ([1, 3, 3, 20], [3, 3, 20, 40], [1, 1], around, [1, 1]),
        ([2, 3, 4, 20], [3, 2, 20, 60], [2, 1], [[1, 0], [0, 1]], [1, 1]),
        ([1, 6, 5, 16], [3, 2, 16, 60], [1, 2], [[2, 1], [0, 3]], [2, 3]),
        ([1, 2, 2, 30], [1, 1, 30, 50], [1, 1], [[0, 0], [0, 0]], [1, 1]),
        // One place alone.
        ([1, 3, 3, 20], [3, 3, 20, 30], [1, 1], [[0, 0], [0, 0]], [1, 1]),
    ];
    for (input, weight, stride, padding, dilation) in cases {
        let (values, [alone, formed]) = weight_gradient(input, weight, stride, padding, dilation);
        agree(values);
        assert!(alone < formed, "{input:?} {weight:?}: {alone} flops, {formed} formed");
    }
    let (values, [alone, formed]) = weight_gradient([1, 9, 9, 3], [3, 3, 3, 4], [1, 1], around, [1, 1]);
    agree(values);
    assert_eq!(alone, formed, "many places and few channels");
}

#[test]
fn a_sum_of_squares_that_vanishes_is_not_negative() {
    // Rows that cancel: each matrix of inner products is large, the product is zero.
    let graph = Graph::new();
    let (a, b) = (graph.input("a", [20, 2], DType::F64), graph.input("b", [2, 30], DType::F64));
    let product = a.matmul(b);
    let norm = product.square().sum_all().sqrt();
    let one = normal(&[20, 1], 1).to_f64();
    let lhs: Vec<f64> = one.iter().flat_map(|&value| [value, value]).collect();
    let row = normal(&[30], 2).to_f64();
    let rhs: Vec<f64> = row.iter().copied().chain(row.iter().map(|value| -value)).collect();
    let inputs = [Tensor::new([20, 2], lhs).unwrap(), Tensor::new([2, 30], rhs).unwrap()];
    let norm = run(&graph, &[norm], &inputs, true)[0].item().unwrap();
    assert!((0.0..1e-6).contains(&norm), "{norm}");
}

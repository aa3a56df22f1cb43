//! Products through two programs against the whole function, and what they cost.
#![allow(clippy::unwrap_used)]

use super::point::Point;
use super::product::{is_direction, whole};
use super::{Curvature, Product};
use crate::config::{Activation, Initialization, Loss, NormKind, NormMode};
use crate::models::{Mlp, ResNet, Vgg};
use crate::nn::{Context, Model, NormSettings};
use crate::runner::{Build, Feed, Runner};
use crate::{Batch, Network};
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Tensor, Var};

fn normal(shape: &[usize], seed: u64) -> Tensor {
    let mut random = Key::new(seed, "test", 0).random();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal_f64()).collect();
    Tensor::from_f64(shape, DType::F64, &values).unwrap()
}

fn samples(count: usize, shape: &[usize]) -> Batch {
    let inputs = normal(&[&[count], shape].concat(), 1);
    Batch { inputs, labels: Tensor::new([count], (0..count).map(|n| ((n * 7 + 3) % 5) as i32).collect()).unwrap() }
}

fn network(model: impl Model + 'static, shape: &[usize]) -> Network {
    Network::with(Box::new(model), shape, DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap()
}

fn distance(a: &[Tensor], b: &[Tensor]) -> f64 {
    let pairs = || a.iter().zip(b).flat_map(|(a, b)| a.to_f64().into_iter().zip(b.to_f64()));
    let off: f64 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
    (off / pairs().map(|(_, b)| b * b).sum::<f64>()).sqrt()
}

#[test]
fn repeated_products_are_bitwise_one_and_agree_with_the_whole_function_in_every_mode() {
    let norm = NormKind::Batch;
    let mlp = Mlp { widths: vec![9, 7], norm, activation: Some(Activation::Tanh), classes: 5 };
    let cases = [
        (network(mlp, &[4, 4, 2]), 6),
        (network(Vgg { stages: Vgg::A, norm, classes: 5 }, &[32, 32, 3]), 2),
        (network(ResNet { norm, classes: 5, ..ResNet::default() }, &[8, 8, 3]), 3),
    ];
    for (network, count) in &cases {
        for mode in [NormMode::Batch, NormMode::Running, NormMode::Frozen] {
            let batch = samples(*count, network.input_shape());
            let state = network.initial_state(Initialization::He, 7);
            let point = Point::new(network, mode, batch.clone(), state.clone(), None, None).unwrap();
            let mut curvature = Curvature::new(network, mode, batch, state).unwrap();
            let direction: Vec<Tensor> = network.parameters().iter().map(|info| normal(&info.shape, 5)).collect();
            for matrix in [Product::Hessian, Product::GaussNewton] {
                let mut runner = Runner::of(&whole(&point, matrix).unwrap(), &Build::default()).unwrap();
                let mut expected = runner.new_outputs();
                runner.run(&Feed { direction: &direction, ..point.feed(0) }, &mut expected).unwrap();
                let (mut first, mut second) = (curvature.new_vector(None), curvature.new_vector(None));
                curvature.multiply(matrix, &direction, &mut first).unwrap();
                curvature.multiply(matrix, &direction, &mut second).unwrap();
                assert_eq!(first, second, "{mode} {matrix:?}");
                let off = distance(&first, &expected);
                assert!(off < 1e-12, "{mode} {matrix:?}: off by {off}");
            }
        }
    }
}

/// Twelve equal convolutions with relu and a small head.
fn deep<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let x = (1..=12).fold(x, |x, layer| cx.conv(&format!("conv{layer}"), x, 16, 3, 1, 1).relu());
    cx.linear_without_bias("head", x.mean(&[1, 2]), 5)
}

#[test]
fn a_deep_convolution_network_pays_what_its_derivatives_need_and_nothing_more() {
    let network = network(deep, &[8, 8, 16]);
    let state = network.initial_state(Initialization::He, 1);
    let mut curvature = Curvature::new(&network, NormMode::Batch, samples(4, &[8, 8, 16]), state).unwrap();
    // In convolutions, and products with the head's weights. Samples do not move, so the first layer has fewer: nobody reads
    // the cotangent of its output at the point, and there is no tangent of its input.
    let (unit, head) = (4 * 2 * 8 * 8 * 9 * 16 * 16, 4 * 2 * 16 * 5);
    let hessian = curvature.cost(Product::Hessian).unwrap();
    assert_eq!(hessian.point_flops, (2 * 12 - 2) * unit + 2 * head);
    assert_eq!(hessian.direction_flops, (6 * 12 - 4) * unit + 6 * head);
    let gauss_newton = curvature.cost(Product::GaussNewton).unwrap();
    assert_eq!(gauss_newton.point_flops, 12 * unit + head);
    assert_eq!(gauss_newton.direction_flops, (4 * 12 - 2) * unit + 4 * head);
}

#[test]
fn resnet20_pays_eight_forward_passes_for_a_hessian_product_and_six_for_each_further_one() {
    let network = network(ResNet::default(), &[32, 32, 3]);
    let state = network.initial_state(Initialization::He, 1);
    for mode in [NormMode::Batch, NormMode::Running] {
        let mut curvature = Curvature::new(&network, mode, samples(2, &[32, 32, 3]), state.clone()).unwrap();
        let forward = (2 * network.flops()) as f64;
        for (matrix, first, further) in [(Product::Hessian, 8.0, 6.0), (Product::GaussNewton, 5.0, 4.0)] {
            let cost = curvature.cost(matrix).unwrap();
            let each = cost.direction_flops as f64 / forward;
            let all = each + cost.point_flops as f64 / forward;
            assert!(all <= first && all > 0.98 * first, "{mode} {matrix:?}: {all} forward passes");
            assert!(each <= further && each > 0.98 * further, "{mode} {matrix:?}: {each} forward passes");
        }
    }
}

#[test]
fn a_block_pays_for_its_directions_alone() {
    let network = network(ResNet::default(), &[8, 8, 3]);
    let state = network.initial_state(Initialization::He, 1);
    let point = Point::new(&network, NormMode::Batch, samples(2, &[8, 8, 3]), state, None, None).unwrap();
    for matrix in [Product::Hessian, Product::GaussNewton] {
        let direction = whole(&point, matrix).unwrap().linearize(is_direction).direction;
        let block = direction.map(3, |info| info.name.starts_with("direction/")).unwrap();
        assert_eq!(block.flops(), 3 * direction.flops(), "{matrix:?}");
    }
}

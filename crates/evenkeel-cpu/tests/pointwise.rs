//! Gradients of wide pointwise convolutions, which are matrix products.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_cpu::{Input, Options, Program};
use evenkeel_graph::op::Convolution;
use evenkeel_graph::{DType, Graph};
use support::{distance, normal};

#[test]
fn the_weight_gradient_of_a_wide_pointwise_convolution_is_the_product_over_all_pixels() {
    // As many weights as make it a product, and one channel less, which leaves it a convolution.
    for outputs in [512, 511] {
        let (x, g) = (normal(&[2, 3, 2, 256], 1), normal(&[2, 3, 2, outputs], 2));
        let graph = Graph::new();
        let inputs = [("x", &x), ("g", &g)].map(|(name, tensor)| graph.input(name, tensor.shape(), DType::F64));
        let geometry = Convolution {
            input: [2, 3, 2, 256],
            weight: [1, 1, 256, outputs],
            stride: [1, 1],
            padding: [[0, 0], [0, 0]],
            dilation: [1, 1],
            groups: 1,
        };
        let found = inputs[0].conv_weight_gradient(inputs[1], &geometry);
        let rows = inputs.map(|var| var.reshape([12, var.shape()[3]]));
        let wanted = rows[0].matmul_with(rows[1], true, false).reshape([1, 1, 256, outputs]);
        let function = graph.function(&[("found", found), ("wanted", wanted)]).unwrap();
        let mut program = Program::compile(&function, &Options::default()).unwrap();
        let mut results = program.new_outputs();
        program.run(&[Input::Read(&x), Input::Read(&g)], &mut results).unwrap();
        assert!(distance(&results[..1], &results[1..]) < 1e-13, "{outputs}");
    }
}

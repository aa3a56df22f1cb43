//! One function as two: the values of the point once, then each direction.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_cpu::{Input, Options, Program};
use evenkeel_graph::{DType, Function, Graph, Linearized, Tensor, Var};
use support::{distance, normal};

fn evaluate(function: &Function, inputs: &[&Tensor]) -> Vec<Tensor> {
    let mut program = Program::compile(function, &Options::default()).unwrap();
    let mut results = program.new_outputs();
    let inputs: Vec<Input<'_>> = inputs.iter().copied().map(Input::Read).collect();
    program.run(&inputs, &mut results).unwrap();
    results
}

/// Loss, gradient and Hessian product of a network with a convolution, a batch norm, a pooling and a head.
fn products(graph: &Graph) -> Vec<(&'static str, Var<'_>)> {
    let input = |name: &str, shape: &[usize]| graph.input(name, shape, DType::F64);
    let x = input("x", &[4, 6, 6, 2]);
    let w = [input("conv", &[3, 3, 2, 3]), input("scale", &[3]), input("head", &[27, 4])];
    let v = [input("direction/0", &[3, 3, 2, 3]), input("direction/1", &[3]), input("direction/2", &[27, 4])];
    let y = x.conv(w[0], [1, 1], [[1, 1], [1, 1]]);
    let centered = y - y.mean(&[0, 1, 2]);
    let y = centered * ((centered.square().mean(&[0, 1, 2]) + 1e-5).rsqrt() * w[1]);
    let y = y.relu().max_pool([2, 2], [2, 2], [[0, 0], [0, 0]]).flatten().matmul(w[2]);
    let loss = y.log_sum_exp().sum_all();
    let gradient = graph.vjp(&[loss], &w, None).unwrap();
    let product = graph.jvp(&gradient, &w, &v).unwrap();
    vec![("h0", product[0]), ("loss", loss), ("h1", product[1]), ("g0", gradient[0]), ("h2", product[2])]
}

fn split(function: &Function) -> Linearized {
    function.linearize(|info| info.name.starts_with("direction/"))
}

fn inputs(count: Option<usize>) -> Vec<Tensor> {
    let shapes: [&[usize]; 4] = [&[4, 6, 6, 2], &[3, 3, 2, 3], &[3], &[27, 4]];
    let stacked = |shape: &[usize]| count.into_iter().chain(shape.iter().copied()).collect::<Vec<_>>();
    let point = shapes.iter().enumerate().map(|(n, shape)| normal(shape, n as u64));
    point.chain(shapes[1..].iter().enumerate().map(|(n, shape)| normal(&stacked(shape), n as u64 + 9))).collect()
}

#[test]
fn point_and_direction_give_what_the_whole_gives() {
    let graph = Graph::new();
    let function = graph.function(&products(&graph)).unwrap();
    let Linearized { point, direction, kept } = split(&function);
    let names =
        |function: &Function| -> Vec<String> { function.outputs().iter().map(|(name, _)| name.clone()).collect() };
    assert_eq!(names(&point)[kept..], ["loss", "g0"]);
    assert_eq!(names(&direction), ["h0", "h1", "h2"]);
    assert_eq!(point.inputs(), &function.inputs()[..4]);
    assert_eq!(direction.inputs()[..7], *function.inputs());

    let given = inputs(None);
    let all: Vec<&Tensor> = given.iter().collect();
    let expected = evaluate(&function, &all);
    let at_point = evaluate(&point, &all[..4]);
    let with_kept: Vec<&Tensor> = all.iter().copied().chain(&at_point[..kept]).collect();
    let found = evaluate(&direction, &with_kept);
    for (found, place) in
        [(&found[0], 0), (&at_point[kept], 1), (&found[1], 2), (&at_point[kept + 1], 3), (&found[2], 4)]
    {
        let off = distance(std::slice::from_ref(found), &expected[place..=place]);
        assert!(off < 1e-14, "output {place} off by {off}");
    }
}

#[test]
fn the_direction_program_does_no_work_of_the_point() {
    let graph = Graph::new();
    let function = graph.function(&products(&graph)).unwrap();
    let Linearized { point, direction, .. } = split(&function);
    // The gradient is an output of the point: what the product alone would leave out counts there.
    assert_eq!(point.flops() + direction.flops(), function.flops());
    let mut names: Vec<&str> = direction.nodes().iter().map(|node| node.op.name()).collect();
    names.retain(|name| ["window-argmax", "exp", "log-sum-exp", "rsqrt"].contains(name));
    assert!(names.iter().all(|&name| name == "rsqrt"), "{names:?}");
}

#[test]
fn masks_and_standardized_activations_are_not_kept() {
    let graph = Graph::new();
    let function = graph.function(&products(&graph)).unwrap();
    let split = split(&function);
    let whole = 4 * 6 * 6 * 3;
    let inputs = split.direction.inputs();
    let large = |info: &&evenkeel_graph::InputInfo| info.shape.elements() >= whole && info.name.starts_with("kept/");
    assert!(inputs.iter().filter(large).all(|info| info.dtype == DType::F64));
    // The convolution's output and the cotangent that comes to the mask; all between is computed again in loops.
    assert_eq!(inputs.iter().filter(large).count(), 2, "{}", split.direction);
    let kept: usize =
        inputs[inputs.len() - split.kept..].iter().map(|info| info.shape.elements() * info.dtype.bytes()).sum();
    assert_eq!(split.kept_bytes(), kept);
}

#[test]
fn a_direction_program_maps_over_a_block_of_directions() {
    let graph = Graph::new();
    let function = graph.function(&products(&graph)).unwrap();
    let Linearized { point, direction, kept } = split(&function);
    let block = direction.map(3, |info| info.name.starts_with("direction/")).unwrap();
    let stacked = inputs(Some(3));
    let at_point = evaluate(&point, &stacked[..4].iter().collect::<Vec<_>>());
    let of = |function: &Function, directions: &[Tensor]| {
        let given: Vec<&Tensor> = stacked[..4].iter().chain(directions).chain(&at_point[..kept]).collect();
        evaluate(function, &given)
    };
    let found = of(&block, &stacked[4..]);
    for k in 0..3 {
        let one = |stack: &Tensor| {
            let elements = stack.shape().elements() / 3;
            let values = &stack.to_f64()[k * elements..(k + 1) * elements];
            Tensor::from_f64(&stack.shape()[1..], DType::F64, values).unwrap()
        };
        let expected = of(&direction, &stacked[4..].iter().map(one).collect::<Vec<_>>());
        let found: Vec<Tensor> = found.iter().map(one).collect();
        assert!(distance(&found, &expected) < 1e-14);
    }
}

#[test]
fn a_function_without_directions_is_all_point_and_one_without_a_point_all_direction() {
    let graph = Graph::new();
    let x = graph.input("x", [3], DType::F64);
    let v = graph.input("direction/x", [3], DType::F64);
    let function = graph.function(&[("y", x.sin())]).unwrap();
    let parts = split(&function);
    assert_eq!((parts.kept, parts.point.outputs().len(), parts.direction.outputs().len()), (0, 1, 0));
    let function = graph.function(&[("y", v.sin() * x)]).unwrap();
    let parts = split(&function);
    assert_eq!((parts.kept, parts.point.outputs().len(), parts.direction.outputs().len()), (0, 0, 1));
    let given = [normal(&[3], 1), normal(&[3], 2)];
    let found = evaluate(&parts.direction, &[&given[0], &given[1]]);
    assert_eq!(found, evaluate(&function, &[&given[0], &given[1]]));
}

//! Layers applied to numbers, small networks, and comparisons.

use evenkeel::config::{Loss, NormKind, WeightNorm};
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Graph, Tensor, Var};
use evenkeel::nn::{Context, Initial, Model, NormSettings};
use evenkeel::{Batch, Network, Noise};
use evenkeel_cpu::{Input, Options, Program};
use std::collections::BTreeMap;

/// What a layer makes of an input, and the gradient of Σ output · upstream.
pub(crate) struct Found {
    pub(crate) output: Vec<f64>,
    pub(crate) by_input: Vec<f64>,
    pub(crate) by_parameter: BTreeMap<String, Vec<f64>>,
    pub(crate) buffers: BTreeMap<String, Vec<f64>>,
}

/// Parameters and buffers that do not start as the layer says.
pub(crate) type Given<'a> = &'a [(&'a str, &'a [f64])];

pub(crate) fn exact() -> NormSettings {
    NormSettings { epsilon: 0.0, ..NormSettings::default() }
}

pub(crate) fn apply(
    settings: NormSettings,
    x: &Tensor,
    upstream: &[f64],
    given: Given<'_>,
    layer: impl for<'g> Fn(&Context<'g>, Var<'g>) -> Var<'g>,
) -> Found {
    apply_with(None, settings, x, upstream, given, layer)
}

/// The same with the random numbers of a training step.
pub(crate) fn apply_with(
    noise: Option<Noise>,
    settings: NormSettings,
    x: &Tensor,
    upstream: &[f64],
    given: Given<'_>,
    layer: impl for<'g> Fn(&Context<'g>, Var<'g>) -> Var<'g>,
) -> Found {
    let graph = Graph::new();
    let cx = Context::new(&graph, x.dtype(), settings).with_noise(noise.is_some());
    let input = graph.input("x", x.shape(), x.dtype());
    let output = layer(&cx, input);
    cx.check().unwrap();
    let upstream = Tensor::from_f64(output.shape(), x.dtype(), upstream).unwrap();
    let loss = (output * graph.constant(upstream)).sum_all();
    let parameters = cx.parameters();
    let wanted: Vec<Var<'_>> = [input].into_iter().chain(parameters.iter().map(|(_, var)| *var)).collect();
    let gradient = graph.vjp(&[loss], &wanted, None).unwrap();
    let mut outputs = vec![("output".to_string(), output), ("x".to_string(), gradient[0])];
    outputs.extend(parameters.iter().zip(&gradient[1..]).map(|((info, _), var)| (info.path.clone(), *var)));
    let buffers = cx.buffers();
    outputs.extend(buffers.iter().map(|(info, var, new)| (info.path.clone(), new.unwrap_or(*var))));
    let named: Vec<(&str, Var<'_>)> = outputs.iter().map(|(name, var)| (name.as_str(), *var)).collect();
    let function = graph.function(&named).unwrap();
    let start = |path: &str, shape: &[usize], initial: f64| {
        let count = shape.iter().product();
        let values =
            given.iter().find(|(name, _)| *name == path).map_or(vec![initial; count], |(_, values)| values.to_vec());
        Tensor::from_f64(shape, x.dtype(), &values).unwrap()
    };
    let mut values = BTreeMap::from([("x".to_string(), x.clone())]);
    for (info, _) in &parameters {
        let initial = if let Initial::Constant(value) = info.initial { value } else { f64::NAN };
        values.insert(format!("param/{}", info.path), start(&info.path, &info.shape, initial));
    }
    for (info, ..) in &buffers {
        values.insert(format!("buffer/{}", info.path), start(&info.path, &info.shape, info.initial));
    }
    let Noise { seed, step } = noise.unwrap_or_default();
    for info in function.inputs() {
        if let Some(place) = info.name.strip_prefix("key/") {
            values.insert(info.name.clone(), Key::new(seed, place, step).tensor());
        }
    }
    let mut program = Program::compile(&function, &Options::default()).unwrap();
    let inputs: Vec<Input<'_>> = function.inputs().iter().map(|info| Input::Read(&values[&info.name])).collect();
    let mut found = program.new_outputs();
    program.run(&inputs, &mut found).unwrap();
    let mut found = found.iter().map(Tensor::to_f64);
    let (output, by_input) = (found.next().unwrap(), found.next().unwrap());
    let by_parameter = parameters.iter().map(|(info, _)| info.path.clone()).zip(found.by_ref()).collect();
    let buffers = buffers.iter().map(|(info, ..)| info.path.clone()).zip(found).collect();
    Found { output, by_input, by_parameter, buffers }
}

pub(crate) fn tensor(shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_f64(shape, DType::F64, values).unwrap()
}

pub(crate) fn normal(count: usize, seed: u64) -> Vec<f64> {
    let mut random = Key::new(seed, "test", 0).random();
    (0..count).map(|_| random.normal_f64()).collect()
}

#[track_caller]
pub(crate) fn near(got: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(got.len(), wanted.len());
    for (got, wanted) in got.iter().zip(wanted) {
        assert!((got - wanted).abs() <= tolerance * wanted.abs().max(1.0), "{got} is not {wanted}");
    }
}

/// Two convolutions and a layer, with a norm after each.
pub(crate) struct Net(pub(crate) NormKind);

impl Model for Net {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let x = cx.normalize(self.0, "norm1", cx.conv("conv1", x, 4, 3, 1, 1)).tanh();
        let x = cx.normalize(self.0, "norm2", cx.conv("conv2", x, 4, 3, 2, 1)).sigmoid();
        cx.head("head", x, 3)
    }
}

/// A layer of four units and its norm.
pub(crate) struct Dense(pub(crate) NormKind);

impl Model for Dense {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.normalize(self.0, "norm", cx.linear("fc", x, 4))
    }
}

pub(crate) fn images(count: usize) -> Batch {
    Batch {
        inputs: tensor(&[count, 4, 3, 2], &normal(count * 24, 11)),
        labels: Tensor::new([count], (0..count).map(|n| (n % 3) as i32).collect::<Vec<_>>()).unwrap(),
    }
}

pub(crate) fn network(model: impl Model + 'static, weights: WeightNorm, shape: &[usize]) -> evenkeel::Result<Network> {
    let settings = NormSettings { weights, ..NormSettings::default() };
    Network::with(Box::new(model), shape, DType::F64, Loss::CrossEntropy, settings)
}

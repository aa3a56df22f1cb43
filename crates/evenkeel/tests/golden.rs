//! Networks, their derivatives and training steps against PyTorch, see `tests/golden/README.md`.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Activation, Config, Loss, ModelSpec, NormKind, NormMode, Override};
use evenkeel::curvature::{Curvature, Product};
use evenkeel::graph::{DType, Shape, Tensor, Var};
use evenkeel::nn::{Context, Model, NormSettings, Targets};
use evenkeel::optim::{Sgd, of_config};
use evenkeel::train::{Trainer, TrainerOptions};
use evenkeel::{Batch, Network, State, models};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

/// Relative error allowed for losses, logits, gradients and running statistics.
const FIRST_ORDER: f64 = 1e-9;
/// Relative error allowed for Hessian and Gauss-Newton products.
const SECOND_ORDER: f64 = 1e-8;
/// Relative error allowed after steps of gradient descent.
const STEPS: f64 = 1e-12;
/// Relative error allowed after twenty steps of any rule: quotients of small gradients carry rounding further.
const RULES: f64 = 1e-10;
/// A tensor below this share of the whole vector is zero but for rounding, as the gradient of a bias under a batch norm is;
/// it is compared with the whole.
const ROUNDING: f64 = 1e-13;

#[derive(Deserialize)]
struct File<R> {
    cases: Vec<Case<R>>,
}

#[derive(Deserialize)]
struct Case<R> {
    name: String,
    model: String,
    norm: String,
    mode: String,
    activation: String,
    loss: String,
    image: Vec<usize>,
    batch: usize,
    classes: usize,
    epsilon: f64,
    momentum: f64,
    weights: String,
    sgd: Option<Rule>,
    /// Settings of the optimizer.
    #[serde(default)]
    set: Vec<String>,
    result: R,
}

#[derive(Deserialize)]
struct Rule {
    momentum: f64,
    weight_decay: f64,
    learning_rate: f64,
}

/// Norm, and inner products with the vectors `first` and `second`.
type Digests = BTreeMap<String, [f64; 3]>;

#[derive(Deserialize)]
struct Derivatives {
    loss: f64,
    logits: Vec<f64>,
    gradient: Digests,
    hessian: Digests,
    gauss_newton: Digests,
    /// After a training step; only where its batch statistics were used.
    running: Option<Digests>,
}

#[derive(Deserialize)]
struct Steps {
    losses: Vec<f64>,
    gradient_norms: Vec<f64>,
    parameters: Digests,
    velocities: Digests,
    running: Digests,
}

fn read<R: DeserializeOwned>(file: &str) -> Vec<Case<R>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: File<R> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.cases
}

/// The closed formula of `tests/golden/formula.py`: numbers in [0, 1) for a name.
fn unit(name: &str, count: usize) -> impl Iterator<Item = f64> + use<> {
    let hash = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
    (1..=count as u64).map(move |k| {
        let z = hash.wrapping_add(k.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let z = z ^ (z >> 31);
        (z >> 11) as f64 / (1u64 << 53) as f64
    })
}

fn values(name: &str, count: usize, center: f64, reach: f64) -> Vec<f64> {
    unit(name, count).map(|u| center + reach * (2.0 * u - 1.0)).collect()
}

/// Mean 0 and variance 1.
fn standard(name: &str, count: usize) -> Vec<f64> {
    values(name, count, 0.0, 3f64.sqrt())
}

fn tensor(shape: &Shape, values: Vec<f64>) -> Tensor {
    Tensor::new(shape.to_vec(), values).unwrap()
}

fn parameter(path: &str, shape: &Shape) -> Tensor {
    let (center, reach) = match shape.split_last() {
        Some((_, fan_in)) if !fan_in.is_empty() => (0.0, 2.0 / (fan_in.iter().product::<usize>() as f64).sqrt()),
        _ if path.ends_with("weight") || path.ends_with("_g") => (1.0, 0.3),
        _ => (0.0, 0.2),
    };
    tensor(shape, values(&format!("param/{path}"), shape.elements(), center, reach))
}

fn buffer(path: &str, shape: &Shape) -> Tensor {
    let size = path.ends_with("running_var") || path.ends_with("running_norm");
    let (center, reach) = if size { (1.0, 0.5) } else { (0.0, 0.3) };
    tensor(shape, values(&format!("buffer/{path}"), shape.elements(), center, reach))
}

/// A layer that no network of the zoo has alone, with its head, as `Layer` of `networks.py`.
fn layer(name: &str, norm: NormKind, classes: usize) -> Option<Box<dyn Model>> {
    if name == "convolutions" {
        return Some(Box::new(Convolutions(norm, classes)));
    }
    fn last<'g>(states: Var<'g>) -> Var<'g> {
        states.at(1, states.shape()[1] - 1)
    }
    fn mean<'g>(y: Var<'g>) -> Var<'g> {
        y.square().mean(&[1])
    }
    type Features = for<'g> fn(&Context<'g>, Var<'g>) -> Var<'g>;
    let features: Features = match name {
        "attention" => |cx, x| mean(cx.self_attention("layer", x, 3, false)),
        "layer-norm" => |cx, x| mean(cx.layer_norm("layer", x)),
        "gru" => |cx, x| last(cx.gru("layer", x, 6)),
        "lstm" => |cx, x| last(cx.lstm("layer", x, 6)),
        _ => return None,
    };
    struct Layer(Features, usize);
    impl Model for Layer {
        fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
            cx.head("head", (self.0)(cx, x), self.1)
        }
    }
    Some(Box::new(Layer(features, classes)))
}

/// Two convolutions with a norm after each, as `Convolutions` of `networks.py`, with its head.
struct Convolutions(NormKind, usize);

impl Model for Convolutions {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let Convolutions(norm, classes) = *self;
        let y = {
            let _scope = cx.scope("layer");
            let inner = cx.normalize(norm, "norm1", cx.conv("conv1", x, 6, 3, 1, 1)).tanh();
            cx.normalize(norm, "norm2", cx.conv("conv2", inner, 4, 3, 2, 1))
        };
        cx.head("head", y.square().mean(&[1, 2]), classes)
    }
}

impl<R> Case<R> {
    fn network(&self) -> Network {
        let norm: NormKind = self.norm.parse().unwrap();
        let activation: Activation = self.activation.parse().unwrap();
        let loss: Loss = self.loss.parse().unwrap();
        let settings = NormSettings {
            momentum: self.momentum,
            epsilon: self.epsilon,
            weights: self.weights.parse().unwrap(),
            ..NormSettings::default()
        };
        let model: Box<dyn Model> = match layer(&self.model, norm, self.classes) {
            Some(model) => model,
            None => models::build(&self.model.parse::<ModelSpec>().unwrap(), norm, activation, self.classes),
        };
        Network::with(model, &self.image, DType::F64, loss, settings).unwrap()
    }

    /// A name without sizes may be that of a layer.
    fn reads_tokens(&self) -> bool {
        self.model
            .parse::<ModelSpec>()
            .is_ok_and(|spec| spec.reads_tokens() && layer(&self.model, NormKind::None, 0).is_none())
    }

    /// `suffix` tells the batches of a run apart.
    fn samples(&self, suffix: &str) -> Batch {
        let shape = Shape::from([&[self.batch], &self.image[..]].concat());
        if self.reads_tokens() {
            let tokens = |name: &str| {
                let tokens =
                    unit(&format!("{name}{suffix}"), shape.elements()).map(|u| (u * self.classes as f64) as i32);
                Tensor::new(&shape, tokens.collect::<Vec<_>>()).unwrap()
            };
            return Batch { inputs: tokens("input/x"), labels: tokens("input/y") };
        }
        let labels = unit(&format!("input/y{suffix}"), self.batch).map(|u| (u * self.classes as f64) as i32);
        Batch {
            inputs: tensor(&shape, standard(&format!("input/x{suffix}"), shape.elements())),
            labels: Tensor::new([self.batch], labels.collect::<Vec<_>>()).unwrap(),
        }
    }
}

fn state(network: &Network) -> State {
    State {
        parameters: network.parameters().iter().map(|info| parameter(&info.path, &info.shape)).collect(),
        buffers: network.buffers().iter().map(|info| buffer(&info.path, &info.shape)).collect(),
    }
}

/// The largest error of each quantity, over all cases.
#[derive(Default)]
struct Comparison {
    worst: BTreeMap<&'static str, (f64, String)>,
    failures: Vec<String>,
}

impl Comparison {
    fn record(&mut self, quantity: &'static str, place: impl Fn() -> String, error: f64, limit: f64) {
        let worst = self.worst.entry(quantity).or_insert((0.0, String::new()));
        if error.is_nan() || error > worst.0 {
            *worst = (error, place());
        }
        if error.is_nan() || error > limit {
            self.failures.push(format!("{quantity}: {error:.1e} > {limit:.0e} at {}", place()));
        }
    }

    /// ‖got − wanted‖ / ‖wanted‖ for numbers that are all known.
    fn numbers<R>(&mut self, quantity: &'static str, case: &Case<R>, got: &[f64], wanted: &[f64], limit: f64) {
        assert_eq!(got.len(), wanted.len(), "{quantity}, {}", case.name);
        let difference: Vec<f64> = got.iter().zip(wanted).map(|(got, wanted)| got - wanted).collect();
        self.record(quantity, || case.name.clone(), norm(&difference) / norm(wanted), limit);
    }

    /// Norms and inner products; an inner product's error counts against the norm, since both are of one size.
    fn digests<'a, R>(
        &mut self,
        quantity: &'static str,
        case: &Case<R>,
        got: impl Iterator<Item = (&'a String, Vec<f64>)>,
        wanted: &Digests,
        limit: f64,
    ) {
        let whole = wanted.values().map(|[norm, ..]| norm * norm).sum::<f64>().sqrt();
        let mut seen = 0;
        for (path, got) in got {
            let Some(wanted) = wanted.get(path) else {
                self.failures.push(format!("{quantity}: {path} is not in {}", case.name));
                continue;
            };
            seen += 1;
            let along = |which: &str| dot(&got, &standard(&format!("{which}/{path}"), got.len()));
            let digest = [norm(&got), along("first"), along("second")];
            let scale = if wanted[0] > ROUNDING * whole { wanted[0] } else { whole };
            for (got, wanted) in digest.into_iter().zip(wanted) {
                let error = if got == *wanted { 0.0 } else { (got - wanted).abs() / scale };
                self.record(quantity, || format!("{path}, {}", case.name), error, limit);
            }
        }
        assert_eq!(seen, wanted.len(), "{quantity}: tensors are missing, {}", case.name);
    }

    fn finish(self, cases: usize) {
        for (quantity, (error, place)) in &self.worst {
            eprintln!("{quantity:<14} {error:.1e}  {place}");
        }
        let failures = self.failures;
        assert!(failures.is_empty(), "{} of {cases} cases' numbers differ:\n{}", failures.len(), failures.join("\n"));
        assert!(cases > 0, "no cases");
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// A flat vector over all parameters as one piece a path.
fn pieces<'a>(network: &'a Network, flat: &'a [f64]) -> impl Iterator<Item = (&'a String, Vec<f64>)> {
    let mut rest = flat;
    network.parameters().iter().map(move |info| {
        let (head, tail) = rest.split_at(info.shape.elements());
        rest = tail;
        (&info.path, head.to_vec())
    })
}

fn parameters<'a>(network: &'a Network, tensors: &'a [Tensor]) -> impl Iterator<Item = (&'a String, Vec<f64>)> {
    network.parameters().iter().map(|info| &info.path).zip(tensors.iter().map(Tensor::to_f64))
}

fn buffers<'a>(network: &'a Network, tensors: &'a [Tensor]) -> impl Iterator<Item = (&'a String, Vec<f64>)> {
    network.buffers().iter().map(|info| &info.path).zip(tensors.iter().map(Tensor::to_f64))
}

/// Loss, logits, gradient and products of every case of a file.
fn derivatives_agree(file: &str) {
    let cases = read::<Derivatives>(file);
    let mut comparison = Comparison::default();
    for case in &cases {
        let wanted = &case.result;
        let network = case.network();
        let mode: NormMode = case.mode.parse().unwrap();
        let mut curvature = Curvature::new(&network, mode, case.samples(""), state(&network)).unwrap();
        let (loss, gradient) = curvature.gradient().unwrap();
        comparison.numbers("loss", case, &[loss], &[wanted.loss], FIRST_ORDER);
        comparison.digests("gradient", case, pieces(&network, &gradient), &wanted.gradient, FIRST_ORDER);
        let logits = curvature.logits().unwrap();
        let answer = match network.targets() {
            Targets::Classes => [network.labels().0.to_vec(), vec![case.classes]].concat(),
            _ => case.image.clone(),
        };
        assert_eq!(logits.shape().to_vec(), [vec![case.batch], answer].concat());
        comparison.numbers("logits", case, &logits.to_f64(), &wanted.logits, FIRST_ORDER);

        let direction: Vec<f64> = network
            .parameters()
            .iter()
            .flat_map(|info| standard(&format!("vector/{}", info.path), info.shape.elements()))
            .collect();
        let hessian = curvature.product(Product::Hessian, &direction).unwrap();
        comparison.digests("hessian", case, pieces(&network, &hessian), &wanted.hessian, SECOND_ORDER);
        let gauss_newton = curvature.product(Product::GaussNewton, &direction).unwrap();
        comparison.digests("gauss-newton", case, pieces(&network, &gauss_newton), &wanted.gauss_newton, SECOND_ORDER);
    }
    comparison.finish(cases.len());
}

/// What a step at rate 0 finds on its batch, and the running statistics it leaves.
fn running_statistics_agree(file: &str) {
    let cases = read::<Derivatives>(file);
    let mut comparison = Comparison::default();
    let mut seen = 0;
    for case in &cases {
        let wanted = &case.result;
        let Some(running) = &wanted.running else { continue };
        let network = case.network();
        let sgd = Sgd::PLAIN;
        let mut trainer = Trainer::new(&network, sgd, case.batch, state(&network)).unwrap();
        let found = trainer.step(&case.samples(""), 0.0).unwrap();
        comparison.numbers("loss", case, &[found.loss], &[wanted.loss], FIRST_ORDER);
        let whole = wanted.gradient.values().map(|[norm, ..]| norm * norm).sum::<f64>().sqrt();
        comparison.numbers("gradient norm", case, &[found.gradient_norm], &[whole], FIRST_ORDER);
        comparison.digests("running", case, buffers(&network, trainer.buffers()), running, FIRST_ORDER);
        assert_eq!(trainer.parameters(), state(&network).parameters, "a step at rate 0 moved {}", case.name);
        seen += 1;
    }
    comparison.finish(seen);
}

#[test]
fn mlps_of_every_activation_norm_mode_and_loss_agree_with_pytorch_to_second_order() {
    derivatives_agree("mlp.json");
}

#[test]
fn deep_linear_networks_agree_with_pytorch_to_second_order() {
    derivatives_agree("deep_linear.json");
}

#[test]
fn vgg11_agrees_with_pytorch_to_second_order() {
    derivatives_agree("vgg11.json");
}

#[test]
fn resnet20_agrees_with_pytorch_to_second_order() {
    derivatives_agree("resnet20.json");
}

#[test]
fn attention_layer_norm_and_recurrent_layers_agree_with_pytorch_to_second_order() {
    derivatives_agree("layers.json");
}

#[test]
fn transformers_agree_with_pytorch_to_second_order() {
    derivatives_agree("transformer.json");
}

#[test]
fn one_network_of_each_other_kind_agrees_with_pytorch_to_second_order() {
    derivatives_agree("zoo.json");
}

#[test]
fn every_norm_of_activations_and_of_weights_agrees_with_pytorch_to_second_order() {
    derivatives_agree("norms.json");
}

#[test]
fn running_statistics_after_a_training_step_are_those_of_pytorch() {
    for file in ["mlp.json", "deep_linear.json", "vgg11.json", "resnet20.json", "zoo.json", "norms.json"] {
        running_statistics_agree(file);
    }
}

#[test]
fn steps_with_momentum_and_weight_decay_are_those_of_pytorch() {
    let cases = read::<Steps>("training.json");
    let mut comparison = Comparison::default();
    for case in &cases {
        let wanted = &case.result;
        let rule = case.sgd.as_ref().unwrap();
        let network = case.network();
        let sgd = Sgd { momentum: rule.momentum, weight_decay: rule.weight_decay, ..Sgd::PLAIN };
        let mut trainer = Trainer::new(&network, sgd, case.batch, state(&network)).unwrap();
        let (mut losses, mut norms) = (vec![], vec![]);
        for step in 0..wanted.losses.len() {
            let found = trainer.step(&case.samples(&format!("/{step}")), rule.learning_rate).unwrap();
            losses.push(found.loss);
            norms.push(found.gradient_norm);
        }
        comparison.numbers("losses", case, &losses, &wanted.losses, STEPS);
        comparison.numbers("gradient norms", case, &norms, &wanted.gradient_norms, STEPS);
        comparison.digests("parameters", case, parameters(&network, trainer.parameters()), &wanted.parameters, STEPS);
        if !wanted.velocities.is_empty() {
            let velocities = parameters(&network, trainer.optimizer_state());
            comparison.digests("velocities", case, velocities, &wanted.velocities, STEPS);
        }
        comparison.digests("running", case, buffers(&network, trainer.buffers()), &wanted.running, STEPS);
    }
    comparison.finish(cases.len());
}

#[derive(Deserialize)]
struct Ruled {
    losses: Vec<f64>,
    parameters: Digests,
}

#[test]
fn twenty_steps_of_every_rule_are_those_of_pytorch_and_of_the_authors_formulas() {
    let cases = read::<Ruled>("optimizers.json");
    let mut comparison = Comparison::default();
    for case in &cases {
        let network = case.network();
        let overrides: Vec<Override> = case.set.iter().map(|set| Override::set(set).unwrap()).collect();
        let config = Config::resolve(None, &overrides).unwrap();
        let how = TrainerOptions::new(of_config(&config));
        let how = config.optimizer.clip.map_or(how.clone(), |norm| how.clipped(norm));
        let mut trainer = Trainer::with(&network, how, case.batch, state(&network)).unwrap();
        let steps = 0..case.result.losses.len();
        let losses: Vec<f64> = steps
            .map(|step| trainer.step(&case.samples(&format!("/{step}")), config.optimizer.learning_rate).unwrap().loss)
            .collect();
        comparison.numbers("losses", case, &losses, &case.result.losses, RULES);
        let found = parameters(&network, trainer.parameters());
        comparison.digests("parameters", case, found, &case.result.parameters, RULES);
    }
    comparison.finish(cases.len());
}

//! What is told of every layer in training: closed forms, and that looking changes nothing.
#![allow(clippy::unwrap_used)]

mod common;

use common::StopAfter;
use evenkeel::config::{Config, Initialization, Loss, OptimizerConfig, OptimizerKind, Override};
use evenkeel::experiment::Experiment;
use evenkeel::graph::{DType, Shape, Tensor, Var};
use evenkeel::nn::{Context, NormSettings};
use evenkeel::optim::{Optimizer, Pace, RmsProp, Sgd};
use evenkeel::probe::Activations;
use evenkeel::store::{Run, layer_metrics};
use evenkeel::train::{Trainer, train};
use evenkeel::{Batch, ErrorKind, Network, Noise, State, optim};
use std::path::Path;

fn linear<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    cx.linear("head", x, 2)
}

/// A linear map of three numbers to two, with squared loss on numbers.
fn linear_network() -> Network {
    Network::with(Box::new(linear), &[3], DType::F64, Loss::Squared, NormSettings::default()).unwrap()
}

/// Two samples of classes 1 and 0, and a start: what is needed to know everything of a step.
const X: [[f64; 3]; 2] = [[1.0, -2.0, 0.5], [0.25, 1.5, -1.0]];
const LABELS: [i32; 2] = [1, 0];
const W: [[f64; 2]; 3] = [[0.3, -0.1], [0.2, 0.4], [-0.5, 0.6]];
const B: [f64; 2] = [0.1, -0.2];

fn samples() -> Batch {
    Batch {
        inputs: Tensor::new::<f64>([2, 3], X.concat()).unwrap(),
        labels: Tensor::new([2], LABELS.to_vec()).unwrap(),
    }
}

fn start(network: &Network) -> State {
    let weight = Tensor::new::<f64>([3, 2], W.concat()).unwrap();
    let bias = Tensor::new::<f64>([2], B.to_vec()).unwrap();
    assert_eq!(network.parameters()[0].path, "head.weight");
    State { parameters: vec![weight, bias], buffers: vec![] }
}

/// The gradient of the mean of ½ ‖x W + b − onehot‖² by W, worked out by hand.
fn gradient() -> Vec<f64> {
    let mut gradient = vec![0.0; 6];
    for (x, label) in X.iter().zip(LABELS) {
        for unit in 0..2 {
            let answer: f64 = (0..3).map(|input| x[input] * W[input][unit]).sum::<f64>() + B[unit];
            let error = answer - if label == unit as i32 { 1.0 } else { 0.0 };
            (0..3).for_each(|input| gradient[2 * input + unit] += 0.5 * x[input] * error);
        }
    }
    gradient
}

fn length(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn close(got: f64, wanted: f64) {
    assert!((got - wanted).abs() <= 1e-12 * wanted.abs(), "{got} is not {wanted}");
}

#[test]
fn the_numbers_of_a_linear_map_are_those_worked_out_by_hand() {
    let (network, rate, decay) = (linear_network(), 0.05, 0.01);
    let rule = Sgd { momentum: 0.9, weight_decay: decay, ..Sgd::PLAIN };
    let mut trainer = Trainer::new(&network, rule, 2, start(&network)).unwrap();
    let (mut weight, mut velocity) = (W.concat(), vec![0.0; 6]);
    for step in 0..2 {
        let (result, found) = trainer.step_with_statistics(&samples(), rate).unwrap();
        assert_eq!(found.len(), 1, "a bias is no weight");
        let found = &found[0];
        assert_eq!(found.path, "head.weight");
        close(found.weight_norm, length(&weight));
        if step == 0 {
            let gradient = gradient();
            close(found.gradient_norm, length(&gradient));
            for (v, (g, w)) in velocity.iter_mut().zip(gradient.iter().zip(&weight)) {
                *v = 0.9 * *v + g + decay * w;
            }
            close(found.update_norm, rate * length(&velocity));
            assert!(result.gradient_norm > found.gradient_norm, "that of the bias is part of it");
        }
        close(found.update_ratio(), found.update_norm / length(&weight));
        close(found.effective_rate, rate / length(&weight).powi(2));
        let after = trainer.parameters()[0].to_f64();
        let moved: Vec<f64> = after.iter().zip(&weight).map(|(new, old)| new - old).collect();
        close(found.update_norm, length(&moved));
        weight = after;
    }
}

#[test]
fn the_effective_rate_is_that_of_the_kind_of_rule_and_of_the_group() {
    let weight = Shape::from([3, 2]);
    let at = |rule: &dyn Optimizer, path: &str| rule.effective_rate(path, &weight, Pace { rate: 1.0, momentum: None });
    close(at(&Sgd::PLAIN, "w").at(0.1, 2.0), 0.025);
    let momentum = Sgd { momentum: 0.9, ..Sgd::PLAIN };
    close(at(&momentum, "w").in_the_long_run(0.1, 2.0), 0.25);
    close(at(&Sgd { dampening: 0.5, ..momentum }, "w").in_the_long_run(0.1, 2.0), 0.125);
    for name in [OptimizerKind::Adam, OptimizerKind::AdamW, OptimizerKind::AdamP, OptimizerKind::Adamax] {
        let optimizer = OptimizerConfig { name, ..OptimizerConfig::default() };
        let rule = optim::of_config(&Config { optimizer, ..Config::default() });
        close(at(&rule, "w").at(0.1, 2.0), 0.05);
        close(at(&rule, "w").in_the_long_run(0.1, 2.0), 0.05);
    }
    close(at(&RmsProp { momentum: 0.5, ..RmsProp::default() }, "w").in_the_long_run(0.1, 2.0), 0.1);
    let settings = Override::set("optimizer.groups=head.*: rate=0.1").unwrap();
    let config = Config::resolve(None, &[settings]).unwrap();
    let groups = optim::of_config(&config);
    close(at(&groups, "head.weight").at(0.1, 2.0), 0.0025);
    close(at(&groups, "fc1.weight").at(0.1, 2.0), 0.025);
}

#[test]
fn a_gradient_too_small_to_be_squared_in_f32_is_still_told() {
    let network = Network::new(linear, &[3]).unwrap();
    let inputs = Tensor::new::<f32>([2, 3], vec![1e-30; 6]).unwrap();
    let batch = Batch { inputs, labels: Tensor::new([2], vec![0, 0]).unwrap() };
    let zeros = network.parameters().iter().map(|info| Tensor::zeros(&info.shape, DType::F32)).collect();
    let state = State { parameters: zeros, buffers: vec![] };
    let mut trainer = Trainer::new(&network, Sgd::PLAIN, 2, state).unwrap();
    let (_, found) = trainer.step_with_statistics(&batch, 0.1).unwrap();
    // Softmax of equal logits: an error of ½ at each of two units, for each of three inputs.
    let wanted = 1e-30 * 0.5 * 6_f64.sqrt();
    assert!((found[0].gradient_norm / wanted - 1.0).abs() < 1e-6, "{found:?}");
}

fn hidden<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let mean = cx.tap("act1", cx.linear("fc1", x, 4).relu());
    cx.linear("head", mean, 2)
}

#[test]
fn activations_are_counted_as_by_hand() {
    let network =
        Network::with(Box::new(hidden), &[3], DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap();
    let mut state = network.initial_state(Initialization::He, 3);
    // The first unit is never on, the second always.
    let bias = Tensor::new::<f64>([4], vec![-100.0, 100.0, 0.0, 0.0]).unwrap();
    let place = network.parameters().iter().position(|info| info.path == "fc1.bias").unwrap();
    state.parameters[place] = bias;
    let weight = state.parameters[0].to_f64();
    let mut values = Vec::new();
    for x in X {
        for unit in 0..4 {
            let sum: f64 = (0..3).map(|input| x[input] * weight[4 * input + unit]).sum();
            values.push((sum + [-100.0, 100.0, 0.0, 0.0][unit]).max(0.0));
        }
    }
    let mut activations = Activations::new(&network, &samples()).unwrap();
    let found = activations.at(&samples(), Noise::default(), &state.parameters, &state.buffers).unwrap();
    assert_eq!(found.len(), 1);
    let mean = values.iter().sum::<f64>() / 8.0;
    close(found[0].mean, mean);
    close(found[0].deviation, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 8.0).sqrt());
    close(found[0].zeros, values.iter().filter(|value| **value == 0.0).count() as f64 / 8.0);
    let dead = (0..4).filter(|unit| values[*unit] == 0.0 && values[4 + unit] == 0.0).count();
    assert!((1..4).contains(&dead));
    close(found[0].dead, dead as f64 / 4.0);
    close(found[0].largest, values.iter().copied().fold(0.0, f64::max));
}

fn experiment(settings: &[&str]) -> Experiment {
    let base = ["model=mlp:12-10", "epochs=2", "data.limit=320", "data.test_limit=40", "measure.start_and_end=false"];
    let overrides: Vec<Override> = base.iter().chain(settings).map(|text| Override::set(text).unwrap()).collect();
    Experiment::new(Config::resolve(None, &overrides).unwrap()).unwrap()
}

#[test]
fn a_step_that_is_looked_at_learns_the_same_bits_whatever_the_rule_and_the_network() {
    let settings: &[&[&str]] = &[
        &["optimizer.weight_decay=1e-3"],
        &["optimizer.name=adam", "model=resnet20", "data.limit=64", "batch_size=16", "epochs=1"],
        &["optimizer.name=adamw", "optimizer.weight_decay=0.1", "norm=layer"],
        &["optimizer.name=adamp", "norm=batch"],
        &["optimizer.name=adamax", "optimizer.clip=0.5"],
        &["optimizer.name=rmsprop", "weight_norm=standardized"],
        &["sharpness_aware.rho=0.05", "norm=improved-group:2"],
        &["batch_entropy.weight=0.1", "dropout.rate=0.2", "l2.weight=1e-3"],
        &["norm=none", "activation=tanh", "optimizer.nesterov=true"],
        &["averaging.name=exponential", "averaging.start=1"],
        &["optimizer.name=entropy-sgd", "entropy_sgd.steps=2", "entropy_sgd.noise=1e-3"],
        &["weight_rescaling.every=1", "weight_rescaling.of=layers", "micro_batch_size=16"],
    ];
    for settings in settings {
        let experiment = experiment(settings);
        let config = &experiment.config;
        let mut trainers = [(); 2].map(|()| {
            let how = experiment.trainer_options().unwrap();
            Trainer::with(&experiment.network, how, config.batch_size, experiment.initial_state()).unwrap()
        });
        trainers.iter_mut().for_each(|trainer| trainer.set_noise(Noise { seed: 3, step: 0 }));
        for step in 0..4 {
            let indices: Vec<u32> = (0..config.batch_size as u32).map(|n| (n + 7 * step) % 32).collect();
            let dataset = &experiment.dataset;
            let batch = Batch::some_of(dataset, &dataset.train, &indices, experiment.network.dtype()).unwrap();
            let [plain, looked] = &mut trainers;
            let expected = plain.step(&batch, 0.05).unwrap();
            let (result, found) = looked.step_with_statistics(&batch, 0.05).unwrap();
            assert_eq!(expected, result, "{settings:?}");
            assert_eq!(plain.parameters(), looked.parameters(), "{settings:?}");
            assert_eq!(plain.optimizer_state(), looked.optimizer_state(), "{settings:?}");
            assert_eq!(plain.buffers(), looked.buffers(), "{settings:?}");
            let parts: f64 = found.iter().map(|weight| weight.gradient_norm.powi(2)).sum::<f64>().sqrt();
            assert!(parts <= result.gradient_norm * (1.0 + 1e-5) && parts > 0.1 * result.gradient_norm, "{settings:?}");
        }
    }
}

/// Names and numbers of all layers at each step, as bits.
fn told(dir: &Path) -> Vec<(u64, String, u64)> {
    let records = Run::open(dir).unwrap().metrics().unwrap().records;
    let numbers = records.into_iter().flat_map(|record| {
        let layers = record.values.into_iter().filter(|(name, _)| name.contains('/'));
        layers.map(move |(name, value)| (record.step, name, value.to_bits())).collect::<Vec<_>>()
    });
    numbers.collect()
}

#[test]
fn looking_changes_no_bit_of_a_run_and_a_resumed_run_is_looked_at_at_the_same_steps() {
    let folder = tempfile::tempdir().unwrap();
    let [never, looked, broken] = ["never", "looked", "broken"].map(|name| folder.path().join(name));
    train(&experiment(&["measure.layers_every=0", "augment.mixup=0.2"]), &never, false, &mut ()).unwrap();
    let experiment = experiment(&["measure.layers_every=3", "augment.mixup=0.2"]);
    train(&experiment, &looked, false, &mut ()).unwrap();
    let mut resume = false;
    while let Err(error) = train(&experiment, &broken, resume, &mut StopAfter(2)) {
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        resume = true;
    }
    let last = |dir: &Path| Run::open(dir).unwrap().load_latest().unwrap().found.unwrap().1;
    assert_eq!(last(&never).parameters, last(&looked).parameters);
    assert!(told(&never).is_empty());
    assert_eq!(told(&looked), told(&broken));
    let series = Run::open(&looked).unwrap().metrics().unwrap().layers(layer_metrics::WEIGHT_NORM);
    assert_eq!(series.layers, ["fc1.weight", "fc2.weight", "head.weight"]);
    assert_eq!(series.steps, [1, 4, 7, 10]);
    assert!(series.values.iter().flatten().all(|norm| *norm > 0.0), "{series:?}");
    let dead = Run::open(&looked).unwrap().metrics().unwrap().layers(layer_metrics::ACTIVATION_DEAD);
    assert_eq!(dead.layers, ["act1", "act2"]);
}

#[test]
fn left_open_a_run_is_looked_at_ten_times_or_every_hundredth_step_or_a_hundred_times() {
    let every = |settings: &[&str]| experiment(settings).config.measure.layers_every;
    assert_eq!(every(&["epochs=2"]), Some(1));
    assert_eq!(every(&["epochs=40"]), Some(20));
    assert_eq!(every(&["epochs=400"]), Some(100));
    assert_eq!(every(&["epochs=4000"]), Some(200));
    assert_eq!(every(&["epochs=4000", "measure.layers_every=7"]), Some(7));
}

//! Spectral norm, flatness, parameter norm and the bounds behind them, against closed forms.
#![allow(clippy::unwrap_used)]

mod common;

use common::StopAfter;
use evenkeel::config::{Config, Initialization, Loss, NormKind, NormMode, Override};
use evenkeel::curvature::Curvature;
use evenkeel::experiment::Experiment;
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::nn::{Context, Model, NormSettings, Targets};
use evenkeel::objective::Term;
use evenkeel::optim::Sgd;
use evenkeel::regularize::bounds::{norm_bounds, transfer_bound};
use evenkeel::regularize::geometric_complexity::{ComplexityMeter, HowMeasured};
use evenkeel::regularize::{Flatness, ParameterNorm, SpectralNorm};
use evenkeel::store::Run;
use evenkeel::train::{Trainer, train};
use evenkeel::{Batch, Network, State};
use std::path::Path;

fn network(model: impl Model + 'static, input: &[usize]) -> Network {
    Network::with(Box::new(model), input, DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap()
}

fn with(network: Network, term: impl Term + 'static) -> Network {
    network.with_terms([Box::new(term) as Box<dyn Term>]).unwrap()
}

fn normal(count: usize, seed: u64) -> Vec<f64> {
    let mut random = Key::new(seed, "test", 0).random();
    (0..count).map(|_| random.normal_f64()).collect()
}

fn batch(count: usize, input: &[usize]) -> Batch {
    let shape = [&[count], input].concat();
    Batch {
        inputs: Tensor::new::<f64>(&shape[..], normal(shape.iter().product(), 1)).unwrap(),
        labels: Tensor::new([count], (0..count as i32).map(|n| n % 3).collect()).unwrap(),
    }
}

#[track_caller]
fn close(found: f64, wanted: f64, tolerance: f64) {
    assert!((found - wanted).abs() <= tolerance * (1.0 + wanted.abs()), "{found} is not {wanted}");
}

const SGD: Sgd = Sgd::PLAIN;

fn mlp<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let hidden = cx.linear("fc1", x, 6).tanh();
    cx.linear("fc2", hidden, 3)
}

fn convolutional<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let hidden = cx.conv("conv1", x, 3, 3, 2, 1).relu();
    let hidden = cx.conv("conv2", hidden, 4, 3, 1, 1).relu();
    cx.linear("head", hidden.mean(&[1, 2]), 3)
}

/// The largest singular value of a matrix by rows, by many steps of power iteration.
fn largest_singular_value(rows: &[Vec<f64>]) -> f64 {
    let columns = rows[0].len();
    let mut vector = normal(columns, 9);
    let mut value = 0.0;
    for _ in 0..20_000 {
        let image: Vec<f64> = rows.iter().map(|row| row.iter().zip(&vector).map(|(a, b)| a * b).sum()).collect();
        vector = (0..columns).map(|column| rows.iter().zip(&image).map(|(row, u)| row[column] * u).sum()).collect();
        let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|v| *v /= length);
        value = length.sqrt();
    }
    value
}

/// The matrix of a 3×3 convolution of one sample, from the definition.
fn convolution_matrix(
    kernel: &[f64],
    [height, width]: [usize; 2],
    channels: usize,
    out: usize,
    stride: usize,
) -> Vec<Vec<f64>> {
    let (rows, columns) = ((height - 1) / stride + 1, (width - 1) / stride + 1);
    let mut matrix = vec![];
    for (row, column, to) in (0..rows).flat_map(|r| (0..columns).flat_map(move |c| (0..out).map(move |o| (r, c, o)))) {
        let mut line = vec![0.0; height * width * channels];
        for (tap, from) in (0..9).flat_map(|tap| (0..channels).map(move |from| (tap, from))) {
            let (y, x) = (row * stride + tap / 3, column * stride + tap % 3);
            if (1..=height).contains(&y) && (1..=width).contains(&x) {
                line[((y - 1) * width + x - 1) * channels + from] = kernel[(tap * channels + from) * out + to];
            }
        }
        matrix.push(line);
    }
    matrix
}

#[test]
fn norms_of_layers_are_those_of_the_matrices_that_they_are_convolutions_included() {
    let network = network(convolutional, &[5, 4, 2]);
    let state = network.initial_state(Initialization::He, 1);
    let bounds = norm_bounds(&network, &state).unwrap();
    let matrices = [
        convolution_matrix(&state.parameters[0].to_f64(), [5, 4], 2, 3, 2),
        convolution_matrix(&state.parameters[1].to_f64(), [3, 2], 3, 4, 1),
        state.parameters[2].to_f64().chunks_exact(3).map(<[f64]>::to_vec).collect(),
    ];
    for (layer, matrix) in bounds.layers.iter().zip(&matrices) {
        close(layer.spectral, largest_singular_value(matrix), 1e-9);
        close(layer.frobenius.powi(2), matrix.iter().flatten().map(|v| v * v).sum(), 1e-12);
    }
    close(bounds.frobenius, bounds.layers.iter().map(|layer| layer.frobenius.powi(2)).product(), 1e-12);
    close(bounds.spectral, 3.0 * bounds.layers.iter().map(|layer| layer.spectral.powi(2)).product::<f64>(), 1e-12);
}

#[test]
fn no_network_of_many_exceeds_its_bounds() {
    for seed in 0..10 {
        let network = network(mlp, &[4]);
        let state = network.initial_state(Initialization::He, seed);
        let bounds = norm_bounds(&network, &state).unwrap();
        let data = batch(8, &[4]);
        let found = ComplexityMeter::new(&network, 8, HowMeasured::default()).unwrap().at(&data, &state).unwrap().mean;
        assert!(found <= bounds.frobenius && found <= bounds.spectral, "{found} {bounds:?}");
    }
}

#[test]
fn the_spectral_penalty_converges_to_half_the_squared_singular_values_with_their_gradient() {
    let plain = network(convolutional, &[5, 4, 2]);
    let network = with(network(convolutional, &[5, 4, 2]), SpectralNorm { weight: 0.4 });
    let names: Vec<&str> = network.buffers().iter().map(|info| info.path.as_str()).collect();
    assert_eq!(names, ["conv1", "conv2", "head"].map(|layer| format!("objective.spectral.{layer}.vector")));
    assert!(!network.has_batch_statistics());
    let state = network.initial_state(Initialization::He, 2);
    let data = batch(4, &[5, 4, 2]);
    // Steps of rate 0 move the vectors alone.
    let mut trainer = Trainer::new(&network, SGD, 4, state.clone()).unwrap();
    let mut result = None;
    for _ in 0..3000 {
        result = Some(trainer.step(&data, 0.0).unwrap());
    }
    let bounds = norm_bounds(&plain, &state).unwrap();
    let wanted: f64 = bounds.layers.iter().map(|layer| 0.2 * layer.spectral.powi(2)).sum();
    let result = result.unwrap();
    close(result.objective - result.loss, wanted, 1e-9);
    // The gradient against central differences of the norms themselves.
    let gradient = |network: &Network, state: State| {
        Curvature::new(network, NormMode::Running, batch(4, &[5, 4, 2]), state).unwrap().gradient().unwrap().1
    };
    let difference: Vec<f64> =
        gradient(&network, trainer.state()).iter().zip(gradient(&plain, state.clone())).map(|(a, b)| a - b).collect();
    let direction = normal(difference.len(), 3);
    let at = |shift: f64| {
        let mut moved = state.clone();
        let mut rest = &direction[..];
        for tensor in &mut moved.parameters {
            let (part, after) = rest.split_at(tensor.shape().elements());
            rest = after;
            let values: Vec<f64> = tensor.to_f64().iter().zip(part).map(|(v, d)| v + shift * d).collect();
            *tensor = Tensor::from_f64(tensor.shape(), DType::F64, &values).unwrap();
        }
        norm_bounds(&plain, &moved).unwrap().layers.iter().map(|layer| 0.2 * layer.spectral.powi(2)).sum::<f64>()
    };
    let slope: f64 = difference.iter().zip(&direction).map(|(a, b)| a * b).sum();
    close(slope, (at(1e-5) - at(-1e-5)) / 2e-5, 1e-5);
}

#[test]
fn a_layer_of_zeros_has_no_spectral_norm_and_starts_again_from_a_random_vector() {
    let network = with(network(mlp, &[4]), SpectralNorm { weight: 1.0 });
    let mut state = network.initial_state(Initialization::He, 3);
    state.parameters[0] = Tensor::zeros([4, 6], DType::F64);
    let mut trainer = Trainer::new(&network, SGD, 4, state.clone()).unwrap();
    assert!(trainer.step(&batch(4, &[4]), 0.0).unwrap().objective.is_finite());
    assert!(trainer.buffers()[0].to_f64().iter().all(|value| *value == 0.0));
    assert!(trainer.buffers()[1].to_f64().iter().any(|value| *value != 0.0));
}

#[test]
fn flatness_adds_the_square_of_the_gradient_and_its_gradient_is_a_hessian_product() {
    let (plain, flat) = (network(mlp, &[4]), with(network(mlp, &[4]), Flatness { weight: 0.3 }));
    let state = plain.initial_state(Initialization::Glorot, 4);
    let data = batch(5, &[4]);
    let mut without = Curvature::new(&plain, NormMode::Running, data.clone(), state.clone()).unwrap();
    let (loss, gradient) = without.gradient().unwrap();
    let product = without.hessian_product(&gradient).unwrap();
    let mut with = Curvature::new(&flat, NormMode::Running, data, state).unwrap();
    let (objective, found) = with.gradient().unwrap();
    close(objective, loss + 0.3 * gradient.iter().map(|g| g * g).sum::<f64>(), 1e-13);
    for ((found, gradient), product) in found.iter().zip(&gradient).zip(&product) {
        close(*found, gradient + 0.6 * product, 1e-12);
    }
}

#[test]
fn a_parameter_norm_is_over_the_parameters_that_match_and_refuses_to_match_none() {
    let state = network(mlp, &[4]).initial_state(Initialization::He, 5);
    let data = batch(5, &[4]);
    let penalty = |parameters: &str| {
        let network = with(network(mlp, &[4]), ParameterNorm { weight: 0.2, parameters: parameters.into() });
        let result = Trainer::new(&network, SGD, 5, state.clone()).unwrap().step(&data, 0.0).unwrap();
        result.objective - result.loss
    };
    let square = |which: &[usize]| {
        which.iter().flat_map(|&which| state.parameters[which].to_f64()).map(|v| 0.1 * v * v).sum::<f64>()
    };
    close(penalty("*"), square(&[0, 1, 2, 3]), 1e-13);
    close(penalty("*.weight"), square(&[0, 2]), 1e-13);
    close(penalty("fc1.bias, fc2.*"), square(&[1, 2, 3]), 1e-13);
    let nothing: Box<dyn Term> = Box::new(ParameterNorm { weight: 0.2, parameters: "fc9.*".into() });
    let error = network(mlp, &[4]).with_terms([nothing]).err().unwrap().to_string();
    assert!(error.contains("fc9.*") && error.contains("fc1.weight"), "{error}");
}

#[test]
fn the_gradient_by_parameters_is_at_least_what_the_jacobian_transfers() {
    let mut least = f64::INFINITY;
    for seed in 0..20 {
        let network = network(mlp, &[4]);
        let mut state = network.initial_state(Initialization::He, seed);
        state.parameters[1] = Tensor::new::<f64>([6], normal(6, seed)).unwrap();
        for bound in transfer_bound(&network, &state, &batch(3, &[4])).unwrap() {
            assert!(bound.left >= bound.right * (1.0 - 1e-9), "{bound:?}");
            assert_eq!(bound.layers.len(), 2);
            least = least.min(bound.left / bound.right);
        }
    }
    assert!(least < 10.0, "the bound says nothing: {least}");
    // One linear map with a bias has equality in its only layer but for the number of directions: k (1 + ‖x‖²) against ‖W‖² / s² (1 + ‖x‖²).
    fn layer<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.linear("fc", x, 1)
    }
    let single = network(layer, &[4]);
    let state = single.initial_state(Initialization::He, 1);
    for bound in transfer_bound(&single, &state, &batch(3, &[4])).unwrap() {
        close(bound.left, bound.right, 1e-9);
    }
}

#[test]
fn bounds_are_refused_for_what_is_no_chain_with_the_layer_that_is_in_the_way() {
    fn normed<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let hidden = cx.batch_norm("norm1", cx.linear("fc1", x, 4)).relu();
        cx.linear("fc2", hidden, 3)
    }
    fn short<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.linear("fc2", x + cx.linear("fc1", x, 4).relu(), 3)
    }
    fn without<'g>(_: &Context<'g>, x: Var<'g>) -> Var<'g> {
        x.tanh()
    }
    for (model, said) in
        [(normed as for<'g> fn(&Context<'g>, Var<'g>) -> Var<'g>, "norm1"), (short, "fc1"), (without, "linear")]
    {
        let network = network(model, &[4]);
        let error = norm_bounds(&network, &network.initial_state(Initialization::He, 0)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let network = network(convolutional, &[5, 4, 2]);
    let state = network.initial_state(Initialization::He, 0);
    let error = transfer_bound(&network, &state, &batch(2, &[5, 4, 2])).unwrap_err().to_string();
    assert!(error.contains("conv1"), "{error}");
}

#[test]
fn a_configuration_has_its_penalties_and_noise_in_the_network_and_none_unless_asked() {
    let with = |words: &[&str]| {
        let overrides: Vec<Override> = words.iter().map(|word| Override::set(word).unwrap()).collect();
        let mut config = Config::resolve(None, &overrides)?;
        config.model = "mlp:8".parse().unwrap();
        Experiment::survey(config)
    };
    let plain = with(&[]).unwrap();
    assert!(!plain.network.has_terms());
    let norm = with(&["norm=none"]).unwrap();
    assert_eq!((norm.config.norm, norm.network.buffers().len()), (NormKind::None, 0));
    let all = with(&[
        "geometric_complexity.weight=1e-4",
        "spectral.weight=0.01",
        "flatness.weight=0.01",
        "input_noise.deviation=0.1",
        "l2.weight=0.1",
    ])
    .unwrap();
    assert!(all.network.has_terms() && all.network.has_batch_statistics());
    assert!(all.network.buffers().iter().any(|info| info.path == "objective.spectral.fc1.vector"));
    let error = with(&["geometric_complexity.weight=-1"]).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("at least 0"), "{error}");
}

#[test]
fn noise_on_inputs_leaves_what_a_network_is_compared_with() {
    let words = ["model=autoencoder:8", "loss=squared", "input_noise.deviation=0.1"];
    let overrides: Vec<Override> = words.iter().map(|word| Override::set(word).unwrap()).collect();
    let experiment = Experiment::survey(Config::resolve(None, &overrides).unwrap()).unwrap();
    assert_eq!(experiment.network.targets(), Targets::Inputs);
}

#[test]
fn a_run_with_every_penalty_resumes_to_the_bits_of_one_never_interrupted() {
    let words = [
        "model=mlp:12",
        "epochs=2",
        "data.limit=320",
        "data.test_limit=40",
        "measure.start_and_end=false",
        "geometric_complexity.weight=1e-4",
        "geometric_complexity.every=3",
        "spectral.weight=0.01",
        "flatness.weight=0.01",
        "input_noise.deviation=0.1",
        "l2.weight=0.01",
        "l2.parameters=*.weight",
    ];
    let overrides: Vec<Override> = words.iter().map(|word| Override::set(word).unwrap()).collect();
    let experiment = Experiment::new(Config::resolve(None, &overrides).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    train(&experiment, &whole, false, &mut ()).unwrap();
    assert!(train(&experiment, &broken, false, &mut StopAfter(4)).is_err());
    train(&experiment, &broken, true, &mut ()).unwrap();
    let last = |dir: &Path| Run::open(dir).unwrap().load_latest().unwrap().found.unwrap();
    let (one, other) = (last(&whole), last(&broken));
    assert_eq!((one.0, &one.1.parameters, &one.1.buffers), (other.0, &other.1.parameters, &other.1.buffers));
    assert!(one.1.buffers.iter().any(|buffer| buffer.name == "objective.spectral.fc1.vector"));
}

//! Initialization from one batch: means, deviations, what is left alone, and the batch normalization it stands for.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Activation, Initialization, Loss, NormKind, NormMode, WeightNorm};
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::init::{AdaptedLayer, DataDependent, Scheme};
use evenkeel::models::Mlp;
use evenkeel::nn::{Context, Model, NormSettings};
use evenkeel::{Batch, Network, Probe, State};

fn with(weights: WeightNorm, dtype: DType, inputs: &[usize], model: impl Model + 'static) -> Network {
    let norm = NormSettings { weights, ..NormSettings::default() };
    Network::with(Box::new(model), inputs, dtype, Loss::CrossEntropy, norm).unwrap()
}

fn traced(
    weights: WeightNorm,
    dtype: DType,
    inputs: &[usize],
    model: impl for<'g> Fn(&Context<'g>, Var<'g>) -> Var<'g> + 'static,
) -> Network {
    with(weights, dtype, inputs, model)
}

/// Samples far from the origin, with coordinates of different sizes.
fn samples(count: usize, shape: &[usize], dtype: DType) -> Batch {
    let mut random = Key::new(3, "samples", 0).random();
    let length: usize = shape.iter().product();
    let value = |at: usize, drawn: f64| 3.0 + (0.5 + (at % 5) as f64) * drawn;
    let inputs: Vec<f64> = (0..count * length).map(|at| value(at, random.normal_f64())).collect();
    let labels = (0..count).map(|_| random.below(3) as i32).collect();
    let shape = [&[count], shape].concat();
    Batch { inputs: Tensor::from_f64(shape, dtype, &inputs).unwrap(), labels: Tensor::new([count], labels).unwrap() }
}

/// Convolutions and linear layers; what each gives is tapped.
fn deep<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let x = cx.tap("conv1", cx.conv_with_bias("conv1", x, 4, 3, 1, 1)).relu();
    let x = cx.tap("conv2", cx.conv_with_bias("conv2", x, 5, 3, 2, 1)).tanh();
    let x = cx.tap("fc1", cx.linear("fc1", x, 9)).relu();
    let x = cx.tap("fc2", cx.linear("fc2", x, 8)).relu();
    cx.tap("head", cx.head("head", x, 3))
}

const IMAGE: [usize; 3] = [4, 4, 2];

/// Mean and deviation of each unit of each tap, by path.
fn moments(network: &Network, state: &State, batch: &Batch) -> Vec<(String, Vec<(f64, f64)>)> {
    let mut probe = Probe::taps(network, batch.len(), NormMode::Batch).unwrap();
    let names = probe.names().to_vec();
    let values = probe.run(batch, &state.parameters, &state.buffers).unwrap();
    let of = |values: &Tensor| {
        let (units, numbers) = (*values.shape().last().unwrap(), values.to_f64());
        let moments = |unit: usize| {
            let column = || numbers.iter().skip(unit).step_by(units);
            let count = (numbers.len() / units) as f64;
            let mean = column().sum::<f64>() / count;
            (mean, (column().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt())
        };
        (0..units).map(moments).collect()
    };
    names.into_iter().zip(values.iter().map(of)).collect()
}

#[track_caller]
fn standard(found: &[(f64, f64)], deviation: f64, tolerance: f64) {
    for (mean, found) in found {
        let away = mean.abs().max((found - deviation).abs());
        assert!(away < tolerance, "mean {mean}, deviation {found}");
    }
}

#[test]
fn every_layer_has_mean_zero_and_the_wanted_deviation_through_depth() {
    for weights in [WeightNorm::None, WeightNorm::Normalized] {
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-6)] {
            let network = with(weights, dtype, &IMAGE, deep);
            let batch = samples(40, &IMAGE, dtype);
            for (rule, deviation) in [(Initialization::Normal(0.05), 1.0), (Initialization::Uniform, 0.5)] {
                let how = DataDependent { deviation: Some(deviation), ..DataDependent::default() };
                let found = how.run(&network, network.initial_state(rule, 1), &batch).unwrap();
                assert_eq!(found.layers.len(), 5);
                assert!(found.untouched.is_empty());
                for (path, moments) in moments(&network, &found.state, &batch) {
                    assert!(!moments.is_empty(), "{path}");
                    standard(&moments, deviation, tolerance);
                }
            }
        }
    }
}

#[test]
fn weights_are_divided_by_the_deviation_and_the_bias_takes_the_mean_away() {
    let network = traced(WeightNorm::None, DType::F64, &[1], |cx, x| cx.head("head", x, 3));
    let inputs = Tensor::from_f64([4, 1], DType::F64, &[1.0, 2.0, 3.0, 6.0]).unwrap();
    let batch = Batch { inputs, labels: Tensor::zeros([4], DType::I32) };
    let weights = Tensor::from_f64([1, 3], DType::F64, &[2.0, -1.0, 0.5]).unwrap();
    let state = State { parameters: vec![weights, Tensor::zeros([3], DType::F64)], buffers: vec![] };
    let found = DataDependent::default().run(&network, state, &batch).unwrap();
    // The inputs have mean 3 and variance 3.5: whatever the size of a weight, its sign is left.
    let root = 3.5f64.sqrt();
    let near = |got: Vec<f64>, wanted: [f64; 3]| got.iter().zip(wanted).all(|(got, want)| (got - want).abs() < 1e-14);
    assert!(near(found.state.parameters[0].to_f64(), [1.0 / root, -1.0 / root, 1.0 / root]));
    assert!(near(found.state.parameters[1].to_f64(), [-3.0 / root, 3.0 / root, -3.0 / root]));
    let AdaptedLayer { mean, deviation, factor, constant, .. } = found.layers[0].clone();
    assert!(near(mean, [6.0, -3.0, 1.5]) && near(deviation, [2.0 * root, root, 0.5 * root]));
    assert!(near(factor, [0.5 / root, 1.0 / root, 2.0 / root]) && constant.is_empty());
}

#[test]
fn normalized_weights_keep_their_directions_and_get_the_length_that_the_authors_give_them() {
    let network = with(WeightNorm::Normalized, DType::F64, &IMAGE, deep);
    let (batch, start) = (samples(30, &IMAGE, DType::F64), network.initial_state(Initialization::Normal(0.05), 1));
    let found = DataDependent::default().run(&network, start.clone(), &batch).unwrap();
    for ((info, before), after) in network.parameters().iter().zip(&start.parameters).zip(&found.state.parameters) {
        if info.path.ends_with("weight_v") {
            assert_eq!(before, after, "{}", info.path);
        }
        if info.path == "conv1.weight_g" {
            // g = 1 / deviation of v · x / ‖v‖, and the first length was ‖v‖.
            let layer = &found.layers[0];
            let wanted =
                before.to_f64().into_iter().zip(&layer.deviation).map(|(length, deviation)| length / deviation);
            assert!(after.to_f64().into_iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-12 * wanted));
        }
    }
}

#[test]
fn what_the_weights_were_multiplied_by_before_makes_no_difference() {
    let network = with(WeightNorm::None, DType::F64, &IMAGE, deep);
    let batch = samples(30, &IMAGE, DType::F64);
    let state = |scale: f64| {
        let scheme = Scheme { scale, ..Initialization::He.into() };
        DataDependent::default().run(&network, network.initial_state(scheme, 1), &batch).unwrap().state
    };
    for (a, b) in state(1.0).parameters.iter().zip(&state(10.0).parameters) {
        assert!(a.to_f64().iter().zip(b.to_f64()).all(|(a, b)| (a - b).abs() < 1e-10));
    }
}

fn mlp(norm: NormKind, widths: &[usize]) -> Mlp {
    Mlp { widths: widths.to_vec(), norm, activation: Some(Activation::Relu), classes: 3 }
}

fn changed(network: &Network, before: &State, after: &State) -> Vec<String> {
    let both = before.parameters.iter().zip(&after.parameters);
    let differ = network.parameters().iter().zip(both).filter(|(_, (before, after))| before != after);
    differ.map(|(info, _)| info.path.clone()).collect()
}

#[test]
fn mean_only_batch_norm_has_its_lengths_set_and_no_bias() {
    let network = traced(WeightNorm::Normalized, DType::F64, &[6], |cx, x| {
        let x = cx.mean_only_batch_norm("norm1", cx.linear("fc1", x, 7));
        let x = cx.mean_only_batch_norm("norm2", cx.linear("fc2", cx.tap("pre1", x).relu(), 5));
        cx.tap("pre2", x)
    });
    let (batch, start) = (samples(25, &[6], DType::F64), network.initial_state(Initialization::Normal(0.05), 1));
    let found = DataDependent::default().run(&network, start.clone(), &batch).unwrap();
    assert_eq!(changed(&network, &start, &found.state), ["fc1.weight_g", "fc2.weight_g"]);
    assert!(found.layers.iter().all(|layer| !layer.centered));
    assert_eq!(found.state.buffers, start.buffers);
    moments(&network, &found.state, &batch).iter().for_each(|(_, found)| standard(found, 1.0, 1e-12));
}

#[test]
fn layers_that_batch_norm_standardizes_are_left_as_they_are() {
    let network = with(WeightNorm::None, DType::F64, &[6], mlp(NormKind::Batch, &[7, 5]));
    let (batch, start) = (samples(25, &[6], DType::F64), network.initial_state(Initialization::He, 1));
    let found = DataDependent::default().run(&network, start.clone(), &batch).unwrap();
    assert_eq!(changed(&network, &start, &found.state), ["head.weight", "head.bias"]);
    let left: Vec<_> = found.untouched.iter().map(|left| left.path.as_str()).collect();
    assert_eq!(left, ["fc1", "fc2"]);
}

#[test]
fn standardized_weights_have_their_bias_set_alone() {
    let network = with(WeightNorm::Standardized, DType::F64, &IMAGE, deep);
    let (batch, start) = (samples(30, &IMAGE, DType::F64), network.initial_state(Initialization::He, 1));
    let found = DataDependent::default().run(&network, start.clone(), &batch).unwrap();
    let wanted = ["conv1.bias", "conv2.bias", "fc1.bias", "fc2.bias", "head.weight", "head.bias"];
    assert_eq!(changed(&network, &start, &found.state), wanted);
    for (_, moments) in moments(&network, &found.state, &batch) {
        assert!(moments.iter().all(|(mean, _)| mean.abs() < 1e-12));
    }
}

#[test]
fn a_layer_without_a_bias_keeps_a_mean_and_has_the_deviation() {
    let network = traced(WeightNorm::None, DType::F64, &IMAGE, |cx, x| {
        let x = cx.tap("conv", cx.conv("conv", x, 4, 3, 1, 1));
        cx.tap("head", cx.head_without_bias("head", x.relu(), 3))
    });
    let (batch, start) = (samples(30, &IMAGE, DType::F64), network.initial_state(Initialization::He, 1));
    let found = DataDependent::default().run(&network, start, &batch).unwrap();
    for (path, moments) in moments(&network, &found.state, &batch) {
        assert!(moments.iter().all(|(_, deviation)| (deviation - 1.0).abs() < 1e-12), "{path}");
        assert!(moments.iter().any(|(mean, _)| mean.abs() > 0.1), "{path}");
    }
}

#[test]
fn a_unit_that_does_not_vary_keeps_its_weights_and_is_told() {
    for dtype in [DType::F32, DType::F64] {
        let network = traced(WeightNorm::None, dtype, &[2], |cx, x| cx.head("head", x, 3));
        let inputs = Tensor::from_f64([3, 2], dtype, &[0.7, 1.0, 0.7, 2.0, 0.7, 4.0]).unwrap();
        let batch = Batch { inputs, labels: Tensor::zeros([3], DType::I32) };
        // The second unit reads the constant input alone, the third nothing.
        let weights = Tensor::from_f64([2, 3], dtype, &[1.0, 0.3, 0.0, 1.0, 0.0, 0.0]).unwrap();
        let state = State { parameters: vec![weights, Tensor::zeros([3], dtype)], buffers: vec![] };
        let found = DataDependent::default().run(&network, state, &batch).unwrap();
        assert_eq!(found.layers[0].constant, [1, 2]);
        assert_eq!(found.layers[0].factor[1..], [1.0, 1.0]);
        let weights = found.state.parameters[0].to_f64();
        assert!((weights[1] - 0.3).abs() < 1e-7 && weights[2] == 0.0);
        assert!((found.state.parameters[1].to_f64()[1] + 0.21).abs() < 1e-7);
    }
}

#[test]
fn a_layer_that_is_used_twice_is_adapted_to_its_first_use() {
    fn shared<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let first = cx.tap("first", cx.linear("fc", x, 6));
        cx.tap("second", cx.linear("fc", first.relu(), 6))
    }
    let network = with(WeightNorm::None, DType::F64, &[6], shared);
    let (batch, start) = (samples(25, &[6], DType::F64), network.initial_state(Initialization::He, 1));
    let found = DataDependent::default().run(&network, start, &batch).unwrap();
    assert_eq!(found.layers.len(), 1);
    let moments = moments(&network, &found.state, &batch);
    standard(&moments[0].1, 1.0, 1e-12);
    assert!(moments[1].1.iter().any(|(mean, _)| mean.abs() > 0.1));
}

#[test]
fn recurrent_layers_are_left_as_they_are_and_told() {
    let network = traced(WeightNorm::None, DType::F64, &[4, 3], |cx, x| cx.head("head", cx.gru("gru", x, 5), 3));
    let (batch, start) = (samples(20, &[4, 3], DType::F64), network.initial_state(Initialization::Glorot, 1));
    let found = DataDependent::default().run(&network, start.clone(), &batch).unwrap();
    assert_eq!(changed(&network, &start, &found.state), ["head.weight", "head.bias"]);
    let left: Vec<_> = found.untouched.iter().map(|left| left.path.as_str()).collect();
    assert_eq!(left, ["gru.weight_ih", "gru.weight_hh"]);
}

#[test]
fn dropout_lets_everything_pass_while_layers_are_adapted() {
    fn network(rate: f64) -> Network {
        traced(WeightNorm::None, DType::F64, &[6], move |cx, x| {
            let x = cx.dropout("drop", cx.linear("fc", x, 7).relu(), rate);
            cx.head("head", x, 3)
        })
    }
    let batch = samples(25, &[6], DType::F64);
    let [without, with] = [0.0, 0.5].map(|rate| {
        let network = network(rate);
        DataDependent::default().run(&network, network.initial_state(Initialization::He, 1), &batch).unwrap().state
    });
    assert_eq!(without, with);
}

/// The logits on a batch, its statistics taken from itself.
fn logits(network: &Network, state: &State, batch: &Batch) -> Vec<f64> {
    let build =
        Probe::new(network, batch.len(), NormMode::Batch, |trace| Ok(vec![("logits".to_string(), trace.logits)]));
    build.unwrap().run(batch, &state.parameters, &state.buffers).unwrap()[0].to_f64()
}

#[test]
fn a_smart_start_is_the_start_of_the_same_network_with_batch_norm() {
    struct Convolutions(NormKind);
    impl Model for Convolutions {
        fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
            let x = cx.normalize(self.0, "norm1", cx.conv_with_bias("conv1", x, 4, 3, 1, 1)).relu();
            let x = cx.normalize(self.0, "norm2", cx.conv_with_bias("conv2", x, 5, 3, 2, 1)).relu();
            cx.head("head", cx.normalize(self.0, "norm3", cx.linear("fc", x, 6)).abs(), 3)
        }
    }
    let batch = samples(40, &IMAGE, DType::F64);
    let pairs = [
        [NormKind::Batch, NormKind::None].map(|norm| with(WeightNorm::None, DType::F64, &IMAGE, mlp(norm, &[9, 8, 7]))),
        [NormKind::Batch, NormKind::None].map(|norm| with(WeightNorm::None, DType::F64, &IMAGE, Convolutions(norm))),
    ];
    for [normalized, plain] in pairs {
        let wanted = logits(&normalized, &normalized.initial_state(Initialization::He, 5), &batch);
        let start = plain.initial_state(Initialization::He, 5);
        let found = DataDependent::smart().run(&plain, start.clone(), &batch).unwrap();
        let got = logits(&plain, &found.state, &batch);
        assert!(got.iter().zip(&wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-10 * wanted.abs().max(1.0)));
        let far = logits(&plain, &start, &batch);
        assert!(far.iter().zip(&wanted).any(|(far, wanted)| (far - wanted).abs() > 0.5));
        assert_eq!(found.untouched.len(), 1, "the last layer alone");
    }
}

#[test]
fn a_translation_moves_every_hyperplane_through_the_mean_and_changes_no_weight() {
    let network = with(WeightNorm::None, DType::F64, &IMAGE, deep);
    let (batch, start) = (samples(30, &IMAGE, DType::F64), network.initial_state(Initialization::He, 1));
    let found = DataDependent::translation().run(&network, start.clone(), &batch).unwrap();
    assert_eq!(changed(&network, &start, &found.state), ["conv1.bias", "conv2.bias", "fc1.bias", "fc2.bias"]);
    for (path, moments) in moments(&network, &found.state, &batch).iter().filter(|(path, _)| path != "head") {
        assert!(moments.iter().all(|(mean, deviation)| mean.abs() < 1e-11 && *deviation > 0.1), "{path}");
    }
}

#[test]
fn labels_play_no_part() {
    let network = with(WeightNorm::None, DType::F64, &IMAGE, deep);
    let batch = samples(30, &IMAGE, DType::F64);
    let other = Batch { labels: Tensor::zeros([30], DType::I32), ..batch.clone() };
    let run = |batch: &Batch| {
        DataDependent::smart().run(&network, network.initial_state(Initialization::He, 1), batch).unwrap().state
    };
    assert_eq!(run(&batch), run(&other));
}

#[test]
fn one_sample_an_impossible_deviation_and_numbers_that_are_not_finite_are_refused() {
    let network = with(WeightNorm::None, DType::F64, &IMAGE, deep);
    let start = || network.initial_state(Initialization::He, 1);
    let batch = samples(30, &IMAGE, DType::F64);
    let refused =
        |how: DataDependent, state: State, batch: &Batch| how.run(&network, state, batch).unwrap_err().to_string();
    let error = refused(DataDependent::default(), start(), &batch.first(1));
    assert!(error.contains("more than one sample"), "{error}");
    let none = DataDependent { deviation: Some(0.0), ..DataDependent::default() };
    let error = refused(none, start(), &batch);
    assert!(error.contains("a finite number above 0"), "{error}");
    let mut broken = batch.inputs.to_f64();
    broken[7] = f64::NAN;
    let broken = Batch { inputs: Tensor::from_f64(batch.inputs.shape(), DType::F64, &broken).unwrap(), ..batch };
    let error = refused(DataDependent::default(), start(), &broken);
    assert!(error.contains("not finite") && error.contains("conv1"), "{error}");
}

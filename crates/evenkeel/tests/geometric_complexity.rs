//! Geometric complexity against its closed forms, and the penalty against derivatives taken by hand.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Initialization, Loss, NormMode};
use evenkeel::curvature::Curvature;
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::nn::{Context, Initial, Model, NormSettings};
use evenkeel::objective::Term;
use evenkeel::optim::Sgd;
use evenkeel::regularize::GeometricComplexity;
use evenkeel::regularize::geometric_complexity::{Along, Complexity, ComplexityMeter, HowMeasured, Probes};
use evenkeel::train::Trainer;
use evenkeel::{Batch, Network, Result, State};
use std::f64::consts::PI;

fn network(model: impl Model + 'static, input: &[usize]) -> Network {
    Network::with(Box::new(model), input, DType::F64, Loss::Squared, NormSettings::default()).unwrap()
}

fn tensor(shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::new::<f64>(shape, values.to_vec()).unwrap()
}

/// Samples of this shape; nothing here reads labels.
fn samples(shape: &[usize], values: &[f64]) -> Batch {
    Batch { inputs: tensor(shape, values), labels: Tensor::zeros([shape[0]], DType::I32) }
}

fn normal(count: usize, seed: u64) -> Vec<f64> {
    let mut random = Key::new(seed, "test", 0).random();
    (0..count).map(|_| random.normal_f64()).collect()
}

fn state(parameters: Vec<Tensor>) -> State {
    State { parameters, buffers: vec![] }
}

fn measured(network: &Network, state: &State, samples: &Batch, how: HowMeasured) -> Result<Complexity> {
    ComplexityMeter::new(network, samples.len(), how)?.at(samples, state)
}

fn exact(network: &Network, state: &State, samples: &Batch) -> Complexity {
    measured(network, state, samples, HowMeasured::default()).unwrap()
}

fn probed(along: Along, seed: u64) -> HowMeasured {
    HowMeasured { along, seed, ..HowMeasured::default() }
}

#[track_caller]
fn close(found: f64, wanted: f64, tolerance: f64) {
    assert!((found - wanted).abs() <= tolerance * (1.0 + wanted.abs()), "{found} is not {wanted}");
}

fn linear<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    cx.linear("fc", x, 2)
}

/// x → x A with A = [[1, 3], [2, 4]]: the rows of the formula's matrix [[1, 2], [3, 4]] are outputs.
fn linear_state() -> State {
    state(vec![tensor(&[2, 2], &[1.0, 3.0, 2.0, 4.0]), tensor(&[2], &[0.5, -7.0])])
}

/// Two hidden relu units without biases.
fn small<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let hidden = cx.linear_without_bias("fc1", x, 2).relu();
    cx.linear_without_bias("fc2", hidden, 1)
}

fn small_state() -> State {
    state(vec![tensor(&[2, 2], &[1.0, -1.0, 2.0, 1.0]), tensor(&[2, 1], &[3.0, 1.0])])
}

fn small_samples() -> Batch {
    samples(&[2, 2], &[1.0, 2.0, 3.0, -1.0])
}

fn mlp<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let first = cx.linear("fc1", x, 7).tanh();
    let second = cx.linear("fc2", first, 6).relu();
    cx.linear("fc3", second, 4)
}

#[test]
fn a_linear_map_has_the_square_of_its_frobenius_norm_whatever_the_data_and_the_bias() {
    let network = network(linear, &[2]);
    let found = exact(&network, &linear_state(), &samples(&[5, 2], &normal(10, 1)));
    close(found.mean, 30.0, 1e-14);
    assert!(found.per_sample.iter().all(|value| (value - 30.0).abs() < 1e-12) && found.standard_error < 1e-12);
    assert_eq!((found.outputs, found.inputs, found.warning), (2, 2, None));
}

#[test]
fn softmax_changes_the_number_and_is_warned_of() {
    let state = linear_state();
    let data = samples(&[2000, 2], &normal(4000, 2));
    fn soft<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        linear(cx, x).softmax()
    }
    fn logarithm<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        linear(cx, x).log_softmax()
    }
    let found = exact(&network(soft, &[2]), &state, &data);
    assert!(found.mean > 0.0 && found.mean < 5.0, "{}", found.mean);
    assert!(found.warning.unwrap().contains("probabilities"));
    assert!(exact(&network(logarithm, &[2]), &state, &data).warning.unwrap().contains("logarithms"));
}

#[test]
fn a_small_relu_network_has_the_numbers_worked_out_by_hand() {
    let found = exact(&network(small, &[2]), &small_state(), &small_samples());
    assert_eq!(found.per_sample, [53.0, 45.0]);
    assert_eq!(found.mean, 49.0);
}

#[test]
fn dead_layers_and_a_last_layer_of_zeros_have_none() {
    let network = network(mlp, &[3]);
    let data = samples(&[4, 3], &normal(12, 3));
    let mut zero = network.initial_state(Initialization::He, 1);
    zero.parameters[4] = Tensor::zeros([6, 4], DType::F64);
    assert_eq!(exact(&network, &zero, &data).mean, 0.0);
    let mut dead = network.initial_state(Initialization::He, 1);
    dead.parameters[3] = tensor(&[6], &[-1e3; 6]);
    assert_eq!(exact(&network, &dead, &data).mean, 0.0);
}

#[test]
fn order_of_units_order_of_data_and_copies_of_data_do_not_matter_and_scales_do_as_squares() {
    let network = network(mlp, &[3]);
    let mut state = network.initial_state(Initialization::He, 2);
    let data = samples(&[4, 3], &normal(12, 4));
    let before = exact(&network, &state, &data).mean;
    close(exact(&network, &state, &data.take(&[3, 1, 0, 2]).unwrap()).mean, before, 1e-14);
    close(exact(&network, &state, &data.take(&[0, 1, 2, 3, 3, 2, 1, 0]).unwrap()).mean, before, 1e-14);
    let scaled: Vec<f64> = state.parameters[4].to_f64().iter().map(|value| 3.0 * value).collect();
    let mut other = state.clone();
    other.parameters[4] = tensor(&[6, 4], &scaled);
    close(exact(&network, &other, &data).mean, 9.0 * before, 1e-13);
    // The first hidden layer in another order: columns of its weight, its bias, rows of the next.
    let order = [4, 0, 6, 2, 1, 5, 3];
    let [weight, bias, next] = [0, 1, 2].map(|which| state.parameters[which].to_f64());
    let columns = (0..3).flat_map(|row| order.map(|column| weight[row * 7 + column])).collect::<Vec<_>>();
    state.parameters[0] = tensor(&[3, 7], &columns);
    state.parameters[1] = tensor(&[7], &order.map(|unit| bias[unit]));
    state.parameters[2] =
        tensor(&[7, 6], &order.iter().flat_map(|row| next[row * 6..row * 6 + 6].to_vec()).collect::<Vec<_>>());
    close(exact(&network, &state, &data).mean, before, 1e-14);
}

#[test]
fn the_identity_has_one_an_input_and_average_pooling_a_sixteenth() {
    fn identity<'g>(_: &Context<'g>, x: Var<'g>) -> Var<'g> {
        x
    }
    assert_eq!(exact(&network(identity, &[5]), &state(vec![]), &samples(&[2, 5], &normal(10, 5))).mean, 5.0);
    fn pooled<'g>(_: &Context<'g>, x: Var<'g>) -> Var<'g> {
        x.average_pool([2, 2], [2, 2], [[0, 0], [0, 0]]).flatten()
    }
    let data = samples(&[2, 6, 4, 1], &normal(48, 6));
    close(exact(&network(pooled, &[6, 4, 1]), &state(vec![]), &data).mean, 24.0 / 16.0, 1e-14);
}

#[test]
fn a_convolution_counts_each_tap_as_often_as_it_lies_inside() {
    fn padded<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.conv("conv", x, 1, 3, 1, 1).flatten()
    }
    let (height, width) = (5, 4);
    let kernel = normal(9, 7);
    let inside = |tap: usize, extent: usize| if tap == 1 { extent } else { extent - 1 };
    let wanted: f64 =
        (0..9).map(|tap| kernel[tap].powi(2) * (inside(tap / 3, height) * inside(tap % 3, width)) as f64).sum();
    let data = samples(&[3, height, width, 1], &normal(3 * height * width, 8));
    let found = exact(&network(padded, &[height, width, 1]), &state(vec![tensor(&[3, 3, 1, 1], &kernel)]), &data);
    close(found.mean, wanted, 1e-13);
    // Wrapped around, every tap lies inside everywhere.
    fn circular<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let graph = cx.graph();
        let around = |x: Var<'g>, axis: usize| {
            let extent = x.shape()[axis];
            graph.concat(&[x.slice_along(axis, extent - 1..extent), x, x.slice_along(axis, 0..1)], axis)
        };
        cx.conv("conv", around(around(x, 1), 2), 1, 3, 1, 0).flatten()
    }
    let found = exact(&network(circular, &[height, width, 1]), &state(vec![tensor(&[3, 3, 1, 1], &kernel)]), &data);
    close(found.mean, (height * width) as f64 * kernel.iter().map(|tap| tap * tap).sum::<f64>(), 1e-13);
}

#[test]
fn a_function_of_one_number_has_the_integral_of_its_squared_slope_on_a_grid() {
    fn wave<'g>(_: &Context<'g>, x: Var<'g>) -> Var<'g> {
        (x * (2.0 * PI)).sin()
    }
    let grid: Vec<f64> = (0..64).map(|n| f64::from(n) / 64.0).collect();
    close(exact(&network(wave, &[1]), &state(vec![]), &samples(&[64, 1], &grid)).mean, 2.0 * PI * PI, 1e-12);
}

/// One of the answers of [`mlp`].
struct OneOutput(usize);

impl Model for OneOutput {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        mlp(cx, x).slice_along(1, self.0..self.0 + 1)
    }
}

#[test]
fn fewer_inputs_than_outputs_are_seen_along_the_inputs_with_the_same_result() {
    let network = network(mlp, &[3]);
    let state = network.initial_state(Initialization::He, 3);
    let data = samples(&[6, 3], &normal(18, 9));
    // Four outputs and three inputs: forward. The sum over outputs, one at a time, is the way back.
    let forward = exact(&network, &state, &data).mean;
    let backward: f64 = (0..4)
        .map(|output| {
            let one = self::network(OneOutput(output), &[3]);
            exact(&one, &state, &data).mean
        })
        .sum();
    close(forward, backward, 1e-13);
}

#[test]
fn the_exact_number_is_that_of_central_differences() {
    let network = network(mlp, &[3]);
    let state = network.initial_state(Initialization::He, 4);
    let data = samples(&[3, 3], &normal(9, 10));
    let mut answers =
        evenkeel::Probe::new(&network, 3, NormMode::Running, |trace| Ok(vec![("logits".into(), trace.logits)]))
            .unwrap();
    let step = 1e-5;
    let mut total = 0.0;
    for input in 0..3 {
        let [ahead, behind] = [step, -step].map(|shift| {
            let mut values = data.inputs.to_f64();
            values.chunks_exact_mut(3).for_each(|sample| sample[input] += shift);
            answers.at(&samples(&[3, 3], &values), &state).unwrap()[0].to_f64()
        });
        total += ahead.iter().zip(&behind).map(|(a, b)| ((a - b) / (2.0 * step)).powi(2)).sum::<f64>();
    }
    close(exact(&network, &state, &data).mean, total / 3.0, 1e-8);
}

#[test]
fn probes_are_unbiased_and_signs_see_one_output_without_variance() {
    let network = network(mlp, &[5]);
    let state = network.initial_state(Initialization::He, 5);
    let data = samples(&[20, 5], &normal(100, 11));
    let wanted = exact(&network, &state, &data).mean;
    for distribution in [Probes::Signs, Probes::Normal] {
        let along = Along::Probes { count: 1000, distribution };
        let found = measured(&network, &state, &data, probed(along, 1)).unwrap().mean;
        assert!((found / wanted - 1.0).abs() < 0.03, "{found} is not near {wanted}");
    }
    let small = exact(&self::network(small, &[2]), &small_state(), &small_samples());
    for seed in 0..3 {
        let found = measured(
            &self::network(self::small, &[2]),
            &small_state(),
            &small_samples(),
            probed(Along::signs(1), seed),
        );
        assert_eq!(found.unwrap().per_sample, small.per_sample);
    }
    let few = |seed| measured(&network, &state, &data, probed(Along::signs(1), seed)).unwrap().mean;
    assert!(few(1) == few(1) && few(1) != few(2));
}

#[test]
fn one_pass_or_many_and_any_place_in_the_batch_give_a_sample_the_same_number() {
    let network = network(mlp, &[5]);
    let state = network.initial_state(Initialization::He, 6);
    let data = samples(&[260, 5], &normal(1300, 12));
    let along = Along::signs(3);
    let all = measured(&network, &state, &data, probed(along, 7)).unwrap();
    let first = measured(&network, &state, &data.first(30), probed(along, 7)).unwrap();
    assert!(first.per_sample.iter().zip(&all.per_sample).all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs()));
    assert_eq!(all.per_sample.len(), 260);
}

fn normed<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let hidden = cx.batch_norm("norm1", cx.linear("fc1", x, 6)).tanh();
    cx.linear("head", hidden, 3)
}

#[test]
fn statistics_over_the_batch_are_refused_exactly_and_taken_sample_by_sample_or_with_running_ones() {
    let network = network(normed, &[4]);
    let state = network.initial_state(Initialization::He, 7);
    let data = samples(&[5, 4], &normal(20, 13));
    let batch = HowMeasured { mode: NormMode::Batch, ..HowMeasured::default() };
    let error = measured(&network, &state, &data, batch).unwrap_err().to_string();
    assert!(error.contains("norm1") && error.contains("norm mode batch"), "{error}");
    assert!(measured(&network, &state, &data, HowMeasured::default()).unwrap().mean > 0.0);
    let found = measured(&network, &state, &data, HowMeasured { sample_by_sample: true, ..batch }).unwrap();
    // By central differences in each sample alone, with the statistics moving along.
    let mut answers =
        evenkeel::Probe::new(&network, 5, NormMode::Batch, |trace| Ok(vec![("logits".into(), trace.logits)])).unwrap();
    let step = 1e-5;
    for sample in 0..5 {
        let mut square = 0.0;
        for input in 0..4 {
            let [ahead, behind] = [step, -step].map(|shift| {
                let mut values = data.inputs.to_f64();
                values[sample * 4 + input] += shift;
                answers.at(&samples(&[5, 4], &values), &state).unwrap()[0].to_f64()[sample * 3..sample * 3 + 3].to_vec()
            });
            square += ahead.iter().zip(&behind).map(|(a, b)| ((a - b) / (2.0 * step)).powi(2)).sum::<f64>();
        }
        close(found.per_sample[sample], square, 1e-7);
    }
}

#[test]
fn what_cannot_be_measured_is_refused_with_its_place() {
    let network = network(mlp, &[3]);
    let state = network.initial_state(Initialization::He, 8);
    let data = samples(&[2, 3], &normal(6, 14));
    let error = measured(&network, &state, &data, probed(Along::signs(0), 0)).unwrap_err();
    assert!(error.to_string().contains("at least one probe"), "{error}");
    let error = ComplexityMeter::new(&network, 0, HowMeasured::default()).err().unwrap();
    assert!(error.to_string().contains("empty batch"), "{error}");
    fn square<'g>(_: &Context<'g>, x: Var<'g>) -> Var<'g> {
        x.square()
    }
    for value in [1e200, f64::NAN] {
        let broken = samples(&[2, 3], &[0.0, 1.0, 2.0, 1.0, value, 0.0]);
        let network = self::network(square, &[3]);
        let error = measured(&network, &self::state(vec![]), &broken, HowMeasured::default()).unwrap_err();
        assert!(error.to_string().contains("sample    1"), "{error}");
    }
    let tokens = evenkeel::models::Transformer {
        layers: 1,
        width: 8,
        heads: 2,
        context: 4,
        vocabulary: 5,
        norm: evenkeel::config::NormKind::Layer,
    };
    let reading = Network::new(tokens, &[4]).unwrap();
    let error = ComplexityMeter::new(&reading, 2, HowMeasured::default()).err().unwrap();
    assert!(error.to_string().contains("tokens"), "{error}");
    let penalty: Box<dyn Term> = Box::new(GeometricComplexity { weight: 1.0, along: Along::Every, every: 1 });
    let coupled = self::network(normed, &[4]).with_terms([penalty]).unwrap();
    let start = coupled.initial_state(Initialization::He, 0);
    let error = Trainer::new(&coupled, Sgd::PLAIN, 4, start).err().unwrap().to_string();
    assert!(error.contains("norm1") && error.contains("norm mode batch"), "{error}");
}

fn with_penalty(model: impl Model + 'static, input: &[usize], along: Along, every: u64) -> Network {
    let term: Box<dyn Term> = Box::new(GeometricComplexity { weight: 0.7, along, every });
    network(model, input).with_terms([term]).unwrap()
}

#[test]
fn the_gradient_of_the_penalty_is_the_closed_form_for_two_relu_layers_and_biases_have_none() {
    // f = W2 relu(W1 x): ∂GC/∂W2 = 2 W2 (D W1 W1ᵀ D), averaged over samples.
    let plain = network(small, &[2]);
    let penalized = with_penalty(small, &[2], Along::Every, 1);
    let gradient = |network: &Network| {
        Curvature::new(network, NormMode::Running, small_samples(), small_state()).unwrap().gradient().unwrap().1
    };
    let difference: Vec<f64> = gradient(&penalized).iter().zip(gradient(&plain)).map(|(a, b)| (a - b) / 0.7).collect();
    // Active units: both for (1, 2), the first for (3, −1). W1 W1ᵀ = [[5, 1], [1, 2]].
    let wanted = [(2.0 * (15.0 + 1.0) + 2.0 * 15.0) / 2.0, (2.0 * (3.0 + 2.0)) / 2.0];
    close(difference[4], wanted[0], 1e-13);
    close(difference[5], wanted[1], 1e-13);
}

#[test]
fn the_gradient_of_the_penalty_is_that_of_central_differences_exactly_and_by_probes() {
    for along in [Along::Every, Along::signs(2), Along::Probes { count: 1, distribution: Probes::Normal }] {
        for (model, input, mode) in
            [(mlp as for<'g> fn(&Context<'g>, Var<'g>) -> Var<'g>, 5, NormMode::Running), (normed, 4, NormMode::Batch)]
        {
            if along == Along::Every && mode == NormMode::Batch {
                continue;
            }
            let network = with_penalty(model, &[input], along, 1);
            let state = network.initial_state(Initialization::Glorot, 9);
            let data = samples(&[4, input], &normal(4 * input, 15));
            let mut curvature = Curvature::new(&network, mode, data, state.clone()).unwrap();
            let (_, gradient) = curvature.gradient().unwrap();
            let direction = normal(gradient.len(), 16);
            let at = |shift: f64| {
                let mut moved = state.clone();
                let mut rest = &direction[..];
                for tensor in &mut moved.parameters {
                    let (part, after) = rest.split_at(tensor.shape().elements());
                    rest = after;
                    let values: Vec<f64> = tensor.to_f64().iter().zip(part).map(|(v, d)| v + shift * d).collect();
                    *tensor = Tensor::from_f64(tensor.shape(), DType::F64, &values).unwrap();
                }
                let data = samples(&[4, input], &normal(4 * input, 15));
                Curvature::new(&network, mode, data, moved).unwrap().gradient().unwrap().0
            };
            let slope: f64 = gradient.iter().zip(&direction).map(|(a, b)| a * b).sum();
            close((at(1e-5) - at(-1e-5)) / 2e-5, slope, 1e-5);
        }
    }
}

#[test]
fn a_penalty_of_every_third_step_rests_in_between_and_is_three_times_as_strong() {
    let every = |weight: f64, every: u64| {
        let term: Box<dyn Term> = Box::new(GeometricComplexity { weight, along: Along::Every, every });
        network(mlp, &[5]).with_terms([term]).unwrap()
    };
    let data = samples(&[6, 5], &normal(30, 17));
    let sgd = Sgd { momentum: 0.5, ..Sgd::PLAIN };
    let (lazy, plain, strong) = (every(0.01, 3), network(mlp, &[5]), every(0.03, 1));
    let start = lazy.initial_state(Initialization::He, 10);
    let mut trainer = Trainer::new(&lazy, sgd, 6, start.clone()).unwrap();
    let mut reference: Option<(State, Vec<Tensor>)> = None;
    for step in 0..5 {
        let network = if step % 3 == 0 { &strong } else { &plain };
        let (state, kept) = reference.map_or((start.clone(), None), |(state, kept)| (state, Some(kept)));
        let mut other = Trainer::new(network, sgd, 6, state.clone()).unwrap();
        other.set_state(state, kept).unwrap();
        let (found, wanted) = (trainer.step(&data, 0.05).unwrap(), other.step(&data, 0.05).unwrap());
        close(found.objective, wanted.objective, 1e-13);
        assert_eq!(found.objective > found.loss, step % 3 == 0);
        reference = Some((other.state(), other.optimizer_state().to_vec()));
    }
    let wanted: Vec<f64> = reference.unwrap().0.parameters.iter().flat_map(Tensor::to_f64).collect();
    let found: Vec<f64> = trainer.parameters().iter().flat_map(Tensor::to_f64).collect();
    found.iter().zip(&wanted).for_each(|(found, wanted)| close(*found, *wanted, 1e-12));
}

#[test]
fn noise_on_the_inputs_of_a_linear_map_adds_its_variance_times_the_complexity_to_the_squared_loss() {
    use evenkeel::regularize::InputNoise;
    let deviation = 0.3;
    // The loss is half a square, so the penalty is half of σ² ‖A‖².
    let model = InputNoise { model: Box::new(linear), deviation };
    let noisy = network(model, &[2]);
    let count = 200_000;
    let one = normal(2, 18);
    let data = samples(&[count, 2], &one.repeat(count));
    let mut loss = evenkeel::Probe::with_noise(&noisy, count, NormMode::Running, |trace| {
        Ok(vec![("loss".into(), trace.losses.mean_all())])
    })
    .unwrap();
    let mut quiet = evenkeel::Probe::new(&noisy, count, NormMode::Running, |trace| {
        Ok(vec![("loss".into(), trace.losses.mean_all())])
    })
    .unwrap();
    let [with, without] =
        [&mut loss, &mut quiet].map(|probe| probe.at(&data, &linear_state()).unwrap()[0].item().unwrap());
    let (added, wanted) = (with - without, 0.5 * deviation * deviation * 30.0);
    // One sample's deviation is below 20: σ ‖Aᵀ r‖ with a residual r of at most 8, and a part of the square.
    assert!((added - wanted).abs() < 4.0 * 20.0 / (count as f64).sqrt(), "{added} is not near {wanted}");
}

#[test]
fn parameters_of_a_context_can_be_asked_for_beside_a_penalty() {
    fn scaled<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        x * cx.param("scale", [], Initial::Constant(2.0))
    }
    let network = with_penalty(scaled, &[3], Along::signs(1), 1);
    let state = network.initial_state(Initialization::He, 0);
    let data = samples(&[2, 3], &normal(6, 19));
    let mut curvature = Curvature::new(&network, NormMode::Running, data, state).unwrap();
    assert!(curvature.gradient().unwrap().1[0].is_finite());
}

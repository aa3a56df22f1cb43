//! GradInit against closed forms, finite differences, and what it may not touch.

use super::scale::Branch;
use super::search::Search;
use super::*;
use crate::config::{Activation, Initialization, Loss, NormKind, NormMode};
use crate::curvature::Curvature;
use crate::init::Scheme;
use crate::models::Mlp;
use crate::nn::{Context, Initial, NormSettings};
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Tensor, Var};

fn tensor(shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_f64(shape, DType::F64, values).unwrap()
}

fn network(model: impl for<'g> Fn(&Context<'g>, Var<'g>) -> Var<'g> + 'static, inputs: usize, loss: Loss) -> Network {
    Network::with(Box::new(model), &[inputs], DType::F64, loss, NormSettings::default()).unwrap()
}

/// A loss of (w − 1)² / 2 at w = 2, whatever the sample: a class of its own, whose one-hot vector is 1.
fn parabola() -> (Network, State, Batch) {
    let network = network(|cx, x| x * 0.0 + cx.param("w", [1], Initial::Constant(2.0)), 1, Loss::Squared);
    let state = network.initial_state(Initialization::He, 0);
    let samples = Batch { inputs: tensor(&[8, 1], &[0.0; 8]), labels: Tensor::zeros([8], DType::I32) };
    (network, state, samples)
}

fn plain() -> GradInit {
    GradInit {
        look_ahead: LookAhead::Sgd,
        learning_rate: 0.1,
        gradient_bound: f64::INFINITY,
        batch: 4,
        iterations: 1,
        ..GradInit::default()
    }
}

fn run(settings: &GradInit, network: &Network, state: &State, samples: &Batch) -> GradInitOutcome {
    settings.run(network, state.clone(), samples, &mut |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn the_update_is_held_constant_in_the_objective_s_slope() {
    let (network, state, samples) = parabola();
    let settings = plain();
    let mut search = Search::new(&settings, &network, state).unwrap();
    let batch = samples.first(4);
    let parameters = search.parameters();
    let loss = search.programs.run(&parameters, &[], &batch).unwrap();
    assert_eq!((loss, search.gradient_norm()), (0.5, 1.0));
    let ahead = search.stepped(&parameters, 1.0);
    assert!((ahead[0].to_f64()[0] - 1.9).abs() < 1e-15);
    let (loss, slopes) = search.objective_slopes(&ahead, &batch).unwrap();
    assert!((loss - 0.405).abs() < 1e-15);
    // A derivative through the step would be 16.2.
    assert!((slopes[0] - 18.0).abs() < 1e-12, "{slopes:?}");
}

#[test]
fn the_first_step_of_either_branch_has_the_length_of_the_rate() {
    let (network, state, samples) = parabola();
    for (bound, within) in [(f64::INFINITY, true), (0.5, false)] {
        let settings = GradInit { gradient_bound: bound, scale_rate: 0.03, ..plain() };
        let found = run(&settings, &network, &state, &samples);
        assert!((found.scales[0].scale - 0.97).abs() < 1e-8);
        assert_eq!(found.trace[0].within_bound(), within);
        assert!((found.state.parameters[0].to_f64()[0] - 1.94).abs() < 1e-7);
    }
}

#[test]
fn the_slope_of_the_gradient_norm_of_a_parabola_is_that_of_its_closed_form() {
    let (network, state, samples) = parabola();
    for look_ahead in [LookAhead::Sgd, LookAhead::NormalizedSgd, LookAhead::Adam] {
        let settings = GradInit { look_ahead, ..plain() };
        let mut search = Search::new(&settings, &network, state.clone()).unwrap();
        let (parameters, batch) = (search.parameters(), samples.first(4));
        search.programs.run(&parameters, &[], &batch).unwrap();
        let slopes = search.constraint_slopes(&parameters, &batch, 1.0).unwrap();
        assert!((slopes[0] - 2.0).abs() < 1e-14, "{look_ahead}: {slopes:?}");
    }
}

fn mlp(norm: NormKind, activation: Activation) -> Network {
    let mlp = Mlp { widths: vec![7, 6], norm, activation: Some(activation), classes: 3 };
    Network::with(Box::new(mlp), &[5], DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap()
}

fn samples(count: usize) -> Batch {
    let mut random = Key::new(3, "samples", 0).random();
    let inputs: Vec<f64> = (0..5 * count).map(|_| random.normal_f64()).collect();
    let labels = (0..count).map(|_| random.below(3) as i32).collect();
    Batch { inputs: tensor(&[count, 5], &inputs), labels: Tensor::new([count], labels).unwrap() }
}

/// A state whose biases are not zero, so that all parameters have a factor.
fn state(network: &Network) -> State {
    network.initial_state(Initialization::Uniform, 2)
}

#[test]
fn the_slope_of_the_gradient_norm_is_that_of_finite_differences_in_every_factor() {
    for norm in [NormKind::None, NormKind::Batch] {
        let network = mlp(norm, Activation::Tanh);
        for look_ahead in [LookAhead::NormalizedSgd, LookAhead::Adam] {
            let settings = GradInit { look_ahead, batch: 8, ..plain() };
            let start = state(&network);
            let mut search = Search::new(&settings, &network, start.clone()).unwrap();
            let batch = samples(8);
            let norm_at = |search: &mut Search<'_>, index: usize, by: f64| {
                let mut parameters = start.parameters.clone();
                let moved: Vec<f64> = parameters[index].to_f64().iter().map(|value| value * (1.0 + by)).collect();
                parameters[index] = tensor(parameters[index].shape(), &moved);
                search.programs.run(&parameters, &start.buffers, &batch).unwrap();
                search.gradient_norm()
            };
            let middle = norm_at(&mut search, 0, 0.0);
            let slopes = search.constraint_slopes(&start.parameters, &batch, middle).unwrap();
            for (index, slope) in slopes.iter().enumerate() {
                let h = 1e-5;
                let difference = (norm_at(&mut search, index, h) - norm_at(&mut search, index, -h)) / (2.0 * h);
                assert!((slope - difference).abs() < 1e-6 * slope.abs().max(1.0), "{index}: {slope}, {difference}");
            }
            assert!(slopes.iter().filter(|slope| slope.abs() > 1e-3).count() > 4);
        }
    }
}

#[test]
fn the_slope_of_the_objective_is_that_of_finite_differences_with_the_step_held_constant() {
    let network = mlp(NormKind::Batch, Activation::Tanh);
    let settings = GradInit { look_ahead: LookAhead::NormalizedSgd, batch: 8, ..plain() };
    let start = state(&network);
    let mut search = Search::new(&settings, &network, start.clone()).unwrap();
    let batch = samples(8);
    search.programs.run(&start.parameters, &start.buffers, &batch).unwrap();
    let norm = search.gradient_norm();
    let ahead = search.stepped(&start.parameters, norm);
    let (_, slopes) = search.objective_slopes(&ahead, &batch).unwrap();
    for (index, slope) in slopes.iter().enumerate() {
        let mut loss_at = |by: f64| {
            let mut moved = ahead.clone();
            let values = moved[index].to_f64().into_iter().zip(start.parameters[index].to_f64());
            let values: Vec<f64> = values.map(|(value, start)| value + by * start).collect();
            moved[index] = tensor(moved[index].shape(), &values);
            search.programs.run(&moved, &start.buffers, &batch).unwrap() / settings.learning_rate
        };
        let difference = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5;
        assert!((slope - difference).abs() < 1e-6 * slope.abs().max(1.0), "{index}: {slope}, {difference}");
    }
}

#[test]
fn a_step_follows_the_normalized_gradient_or_its_signs() {
    let network = mlp(NormKind::None, Activation::Relu);
    let start = state(&network);
    let gradient = {
        let mut curvature = Curvature::new(&network, NormMode::Batch, samples(8), start.clone()).unwrap();
        curvature.gradient().unwrap().1
    };
    let two = gradient.iter().map(|part| part * part).sum::<f64>().sqrt();
    let one = gradient.iter().map(|part| part.abs()).sum::<f64>();
    let sign = |part: f64| if part == 0.0 { 0.0 } else { part.signum() };
    assert!(gradient.contains(&0.0), "a dead unit shows that the sign of 0 is 0");
    for (look_ahead, norm, along) in [
        (LookAhead::Sgd, two, &(|part: f64| part) as &dyn Fn(f64) -> f64),
        (LookAhead::NormalizedSgd, two, &|part| part / two),
        (LookAhead::Adam, one, &sign),
    ] {
        let settings = GradInit { look_ahead, learning_rate: 0.25, batch: 8, ..plain() };
        let mut search = Search::new(&settings, &network, start.clone()).unwrap();
        search.programs.run(&start.parameters, &start.buffers, &samples(8)).unwrap();
        let found = search.gradient_norm();
        assert!((found - norm).abs() < 1e-12 * norm);
        let ahead = search.stepped(&start.parameters, found);
        let moved = start.parameters.iter().zip(&ahead).flat_map(|(before, after)| {
            before.to_f64().into_iter().zip(after.to_f64()).map(|(before, after)| before - after).collect::<Vec<_>>()
        });
        for (moved, part) in moved.zip(&gradient) {
            assert!((moved - 0.25 * along(*part)).abs() < 1e-12, "{look_ahead}: {moved}, {part}");
        }
    }
}

#[test]
fn layers_without_biases_have_equal_slopes_in_the_logarithm_of_their_factors() {
    // The output is homogeneous of degree 1 in each layer.
    fn bare<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let hidden = cx.linear_without_bias("fc2", cx.linear_without_bias("fc1", x, 9).relu(), 8).relu();
        cx.head_without_bias("head", hidden, 3)
    }
    let network = network(bare, 5, Loss::CrossEntropy);
    let settings = GradInit { batch: 8, ..plain() };
    let start = network.initial_state(Initialization::He, 1);
    let mut search = Search::new(&settings, &network, start.clone()).unwrap();
    let (_, slopes) = search.objective_slopes(&start.parameters, &samples(8)).unwrap();
    assert!(slopes.iter().all(|slope| (slope / slopes[0] - 1.0).abs() < 1e-12), "{slopes:?}");
}

#[test]
fn nothing_moves_without_iterations_without_a_rate_or_where_all_is_zero() {
    let network = mlp(NormKind::Batch, Activation::Relu);
    let (start, batch) = (state(&network), samples(20));
    let settings = GradInit { batch: 8, iterations: 5, ..plain() };
    for still in [GradInit { iterations: 0, ..settings.clone() }, GradInit { scale_rate: 0.0, ..settings.clone() }] {
        assert_eq!(run(&still, &network, &start, &batch).state, start);
    }
    let parameters = start.parameters.iter().map(|tensor| Tensor::zeros(tensor.shape(), tensor.dtype())).collect();
    let zero = State { parameters, ..start };
    let found = run(&settings, &network, &zero, &batch);
    assert_eq!(found.state, zero);
    assert!(found.scales.iter().all(|scale| scale.zero && scale.scale == 1.0));
}

#[test]
fn directions_stay_and_lengths_are_the_factors_within_their_bounds() {
    let network = mlp(NormKind::Batch, Activation::Relu);
    let start = network.initial_state(Scheme { scale: 3.0, ..Initialization::He.into() }, 1);
    let settings = GradInit { batch: 8, iterations: 60, gradient_bound: 0.3, scale_rate: 0.05, ..plain() };
    let found = run(&settings, &network, &start, &samples(40));
    let both = [true, false].map(|within| found.trace.iter().filter(|step| step.within_bound() == within).count());
    assert!(both[0] > 5 && both[1] > 5, "{both:?}");
    for ((before, after), scale) in start.parameters.iter().zip(&found.state.parameters).zip(&found.scales) {
        let wanted: Vec<f64> = before.to_f64().iter().map(|value| value * scale.scale).collect();
        assert_eq!(after.to_f64(), wanted);
        assert!(scale.scale >= settings.min_scale, "{}: {}", scale.path, scale.scale);
    }
    assert!(found.scales.iter().any(|scale| (scale.scale - 1.0).abs() > 0.1));
    assert!(found.scales.iter().all(|scale| scale.zero == scale.path.ends_with("bias")));
}

#[test]
fn a_bias_may_fall_to_zero_and_stays_there() {
    let network = mlp(NormKind::None, Activation::Tanh);
    let settings = GradInit { scale_rate: 2.0, ..plain() };
    let mut search = Search::new(&settings, &network, state(&network)).unwrap();
    let values = |search: &Search<'_>| search.scales.iter().flatten().map(|scale| scale.value).collect::<Vec<_>>();
    let slopes = vec![1.0; network.parameters().len()];
    search.step(&slopes, Branch::Objective);
    assert_eq!(values(&search), [0.01, 0.0, 0.01, 0.0, 0.01, 0.0]);
    search.step(&slopes.iter().map(|slope| -slope).collect::<Vec<_>>(), Branch::Constraint);
    let after = values(&search);
    assert!(after[0] > 1.0 && after[1] == 0.0, "{after:?}");
}

#[test]
fn numbers_that_are_not_finite_halve_all_factors_until_they_are() {
    let network = mlp(NormKind::None, Activation::Relu);
    let start = network.initial_state(Scheme { scale: 1e120, ..Initialization::He.into() }, 1);
    let settings = GradInit { batch: 8, iterations: 4, min_scale: 0.0, ..plain() };
    let found = run(&settings, &network, &start, &samples(40));
    assert!(found.trace.iter().all(|step| !step.within_bound()));
    assert!(found.scales.iter().all(|scale| scale.zero || scale.scale == 0.0625));
}

#[test]
fn the_same_seed_gives_the_same_factors_on_any_number_of_threads_and_another_seed_others() {
    let on = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let network = mlp(NormKind::Batch, Activation::Relu);
            let settings = GradInit { batch: 8, iterations: 12, seed, ..plain() };
            run(&settings, &network, &state(&network), &samples(40)).scales
        })
    };
    assert_eq!(on(1, 0), on(3, 0));
    assert_ne!(on(1, 0), on(1, 1));
}

#[test]
fn running_statistics_and_the_masks_of_dropout_are_not_touched() {
    fn noisy<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let x = cx.batch_norm("norm", cx.linear("fc", x, 8)).relu();
        cx.head("head", cx.dropout("drop", x, 0.5), 3)
    }
    let network = network(noisy, 5, Loss::CrossEntropy);
    let start = state(&network);
    let found = run(&GradInit { batch: 8, iterations: 6, ..plain() }, &network, &start, &samples(40));
    assert_eq!(found.state.buffers, start.buffers);
    assert_ne!(found.state.parameters, start.parameters);
}

#[test]
fn the_loss_after_a_step_falls_and_the_gradient_keeps_to_its_bound() {
    let mlp = Mlp { widths: vec![16; 6], norm: NormKind::None, activation: Some(Activation::Relu), classes: 3 };
    let network = Network::with(Box::new(mlp), &[5], DType::F32, Loss::CrossEntropy, NormSettings::default()).unwrap();
    let start = network.initial_state(Scheme { scale: 2.0, ..Initialization::He.into() }, 1);
    let settings = GradInit { batch: 32, iterations: 120, scale_rate: 0.02, ..GradInit::default() };
    let given = samples(200);
    let given = Batch { inputs: given.inputs.cast(DType::F32), ..given };
    let found = settings.run(&network, start.clone(), &given, &mut |_| ControlFlow::Continue(())).unwrap();
    let judged = GradInit { seed: 9, ..settings };
    let [before, after] = [&start, &found.state].map(|state| judged.prospect(&network, state, &given, 10).unwrap());
    assert!(before.gradient_norm > 5.0 && after.gradient_norm < 1.2, "{before:?}, {after:?}");
    assert!(after.loss_ahead < 0.2 * before.loss_ahead, "{before:?}, {after:?}");
    assert!(found.share_beyond_bound() > 0.05 && found.share_beyond_bound() < 0.9);
}

#[test]
fn what_breaks_off_or_does_not_fit_is_told() {
    let network = mlp(NormKind::None, Activation::Relu);
    let refused = |settings: GradInit, samples: &Batch| {
        let start = state(&network);
        settings.run(&network, start, samples, &mut |_| ControlFlow::Break(())).unwrap_err()
    };
    let few = samples(10);
    for (settings, what) in [
        (GradInit { learning_rate: 0.0, ..plain() }, "a finite number above 0"),
        (GradInit { gradient_bound: f64::NAN, ..plain() }, "init.gradient_bound"),
        (GradInit { batch: 7, ..plain() }, "an even number"),
        (GradInit { batch: 8, ..plain() }, "samples for two batches"),
        (GradInit { max_scale: Some(0.5), ..plain() }, "at least 1"),
        (plain(), "interrupted in iteration 1 of 1"),
        (GradInit { iterations: usize::MAX, ..plain() }, "interrupted in iteration 1 of"),
        (GradInit { batch: usize::MAX - 1, ..plain() }, "samples for two batches"),
    ] {
        let error = refused(settings, &few).to_string();
        assert!(error.contains(what), "{error}");
    }
    assert_eq!(refused(plain(), &few).kind(), crate::ErrorKind::Interrupted);
}

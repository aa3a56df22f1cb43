//! Batch normalization whose outputs drift.

use crate::support::{Net, apply, apply_with, images, near, network, normal, tensor};
use evenkeel::config::{Initialization, NormKind, NormMode, WeightNorm};
use evenkeel::curvature::Curvature;
use evenkeel::graph::{Tensor, Var};
use evenkeel::nn::{Context, Draws, Drift, DriftingNoise, NormSettings};
use evenkeel::optim::Sgd;
use evenkeel::train::Trainer;
use evenkeel::{Noise, State};

/// What the noise of a step makes of a value that is the same everywhere, and the gradient of its sum.
fn drifted(noise: DriftingNoise, shape: &[usize], value: f64, step: u64) -> (Vec<f64>, Vec<f64>) {
    let count = shape.iter().product();
    let drawn = Some(Noise { seed: 3, step });
    let x = tensor(shape, &vec![value; count]);
    let found = apply_with(drawn, NormSettings::default(), &x, &vec![1.0; count], &[], |cx, x| {
        cx.drifting_noise("noise", x, noise)
    });
    (found.output, found.by_input)
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

#[test]
fn noise_multiplies_and_adds_what_it_draws_and_the_gradient_is_multiplied_alike() {
    let noise = DriftingNoise::default();
    let (added, _) = drifted(noise, &[5, 8], 0.0, 1);
    let (sum, factor) = drifted(noise, &[5, 8], 1.0, 1);
    let wanted: Vec<f64> = added.iter().zip(&factor).map(|(added, factor)| factor + added).collect();
    near(&sum, &wanted, 1e-15);
}

#[test]
fn a_step_draws_a_distribution_a_unit_and_every_activation_from_it() {
    let (samples, units) = (64, 2048);
    let (added, factor) = (drifted(DriftingNoise::default(), &[samples, units], 0.0, 0).0, {
        drifted(DriftingNoise::default(), &[samples, units], 1.0, 0).1
    });
    let means: Vec<(f64, f64)> = (0..units)
        .map(|unit| {
            (
                mean(added.iter().skip(unit).step_by(units).copied()),
                mean(factor.iter().skip(unit).step_by(units).copied()),
            )
        })
        .collect();
    // Means of uniform numbers on ±0.5 and between 1 and 1.25; around them, deviations of 0.2/√12 and 0.1.
    let spread = |values: Vec<f64>| {
        let center = mean(values.iter().copied());
        (center, mean(values.iter().map(|value| (value - center).powi(2))).sqrt())
    };
    let (shifts, factors) =
        (spread(means.iter().map(|at| at.0).collect()), spread(means.iter().map(|at| at.1).collect()));
    near(&[shifts.0, factors.0], &[0.0, 1.125], 0.03);
    near(&[shifts.1, factors.1], &[1.0 / 12f64.sqrt(), 0.25 / 12f64.sqrt()], 0.02);
    let around = |values: &[f64], center: fn(&(f64, f64)) -> f64| {
        spread(values.iter().enumerate().map(|(at, value)| value - center(&means[at % units])).collect()).1
    };
    near(&[around(&added, |at| at.0), around(&factor, |at| at.1)], &[0.2 / 12f64.sqrt(), 0.1], 2e-3);
    assert!(added.iter().all(|added| added.abs() <= 0.6));
}

#[test]
fn a_layer_can_share_one_distribution_and_channels_one_draw_at_all_positions() {
    let still = DriftingNoise { shift_spread: 0.0, scale_spread: 0.0, ..DriftingNoise::default() };
    let (of_a_layer, _) = drifted(DriftingNoise { drift: Drift::Layer, ..still }, &[3, 2, 2, 4], 1.0, 0);
    assert!(of_a_layer.iter().all(|value| *value == of_a_layer[0]));
    let (of_units, _) = drifted(still, &[3, 2, 2, 4], 1.0, 0);
    assert!((4..48).all(|at| of_units[at] == of_units[at - 4]) && of_units[0] != of_units[1]);
    let (of_channels, _) =
        drifted(DriftingNoise { draws: Draws::Channel, ..Default::default() }, &[3, 2, 2, 4], 1.0, 0);
    assert!(
        (0..48).all(|at| of_channels[at] == of_channels[at / 16 * 16 + at % 4]) && of_channels[0] != of_channels[16]
    );
}

#[test]
fn noise_of_no_size_is_the_identity_and_steps_draw_anew() {
    let none = DriftingNoise { shift: 0.0, scale: 1.0, shift_spread: 0.0, scale_spread: 0.0, ..Default::default() };
    assert_eq!(drifted(none, &[4, 3], 1.5, 0).0, [1.5; 12]);
    let of = |step| drifted(DriftingNoise::default(), &[4, 3], 1.5, step).0;
    assert!(of(0) == of(0) && of(0) != of(1));
}

#[test]
fn noisy_batch_norm_is_batch_norm_wherever_no_noise_is_drawn() {
    let (x, upstream) = (tensor(&[4, 3], &normal(12, 41)), normal(12, 42));
    let of = |kind| apply(NormSettings::default(), &x, &upstream, &[], |cx, x| cx.normalize(kind, "norm", x));
    let (noisy, plain) = (of(NormKind::NoisyBatch), of(NormKind::Batch));
    assert_eq!((noisy.output, noisy.by_input, noisy.buffers), (plain.output, plain.by_input, plain.buffers));
}

#[test]
fn training_with_noisy_batch_norm_draws_noise_and_evaluation_does_not() {
    let made = |kind| network(Net(kind), WeightNorm::None, &[4, 3, 2]).unwrap();
    let (noisy, plain) = (made(NormKind::NoisyBatch), made(NormKind::Batch));
    let state: State = plain.initial_state(Initialization::Glorot, 3);
    let loss = |network, step| {
        let mut trainer = Trainer::new(network, Sgd::PLAIN, 5, state.clone()).unwrap();
        trainer.set_noise(Noise { seed: 1, step });
        trainer.step(&images(5), 0.0).unwrap().loss
    };
    assert_eq!(loss(&plain, 0), loss(&plain, 1));
    assert_ne!(loss(&noisy, 0), loss(&noisy, 1));
    assert_eq!(loss(&noisy, 1), loss(&noisy, 1));
    let logits = |network| -> Tensor {
        Curvature::new(network, NormMode::Running, images(5), state.clone()).unwrap().logits().unwrap()
    };
    assert_eq!(logits(&noisy), logits(&plain));
}

#[test]
fn noise_that_cannot_be_drawn_is_refused_with_the_layer() {
    fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let noise = DriftingNoise { scale_spread: -0.1, ..Default::default() };
        cx.noisy_batch_norm("norm", cx.linear("fc", x, 4), noise)
    }
    let error = network(model, WeightNorm::None, &[3]);
    insta::assert_snapshot!(error.err().unwrap(), @r#"
    the noise on activations cannot be drawn
      layer     norm.noise
      expected  a scale above 0, a shift and spreads of at least 0
      got       shift 0.5 ± 0.1, scale 1.25 ± -0.1
    "#);
}

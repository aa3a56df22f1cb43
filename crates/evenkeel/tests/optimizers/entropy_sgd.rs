//! Entropy-SGD against its closed forms.

use crate::{Quadratic, flat, near, network, normed, samples};
use evenkeel::config::{EntropyVariant, Initialization, NormKind};
use evenkeel::graph::Tensor;
use evenkeel::optim::{EntropySgd, Optimizer, Sgd};
use evenkeel::train::Trainer;
use evenkeel::{Noise, State};

/// Without noise, momentum and growth of the scope.
const STILL: EntropySgd = EntropySgd {
    variant: EntropyVariant::Reference,
    steps: 20,
    inner_rate: 0.1,
    scope: 0.5,
    scoping: 0.0,
    largest_scope: 1e3,
    noise: 0.0,
    newest: 0.25,
    momentum: 0.0,
    dampening: 0.0,
    nesterov: false,
    weight_decay: 0.0,
};

/// Iterate and average after each of some steps on ½ h w², and the parameter in the end.
fn path(rule: EntropySgd, h: f64, steps: usize, rate: f64) -> (Vec<(f64, f64)>, f64) {
    let network = network(Quadratic { h, c: 0.0, len: 1 }, &[1], 0.0);
    let state = network.initial_state(Initialization::He, 0);
    let mut trainer = Trainer::new(&network, rule, 2, state).unwrap();
    let batch = samples(2, 1, 0);
    let took = (0..steps).map(|_| {
        trainer.step(&batch, rate).unwrap();
        let kept = flat(trainer.optimizer_state());
        (kept[0], kept[1])
    });
    let took = took.collect();
    (took, flat(trainer.parameters())[0])
}

#[test]
fn inner_steps_on_a_parabola_are_those_of_the_closed_form() {
    let (took, x) = path(STILL, 2.0, 19, 1.0);
    near(&[took[0].0, took[1].0, took[0].1, took[1].1, x], &[0.8, 0.65, 0.95, 0.875, 1.0], 1e-14);
    // y − 1/5 shrinks by 3/4 in a step.
    near(&[took[18].0], &[0.2 + 0.8 * 0.75_f64.powi(19)], 1e-14);
    let (took, x) = path(STILL, 2.0, 20, 1.0);
    // The outer step makes the average the parameter, and the next inner steps begin there.
    near(&[x, took[19].0, took[19].1], &[0.2152218; 3], 5e-8);
    near(&[path(EntropySgd { newest: 0.75, ..STILL }, 2.0, 20, 1.0).1], &[0.2028541], 5e-8);
    let half = path(STILL, 2.0, 20, 0.5).1;
    near(&[half], &[0.5 * (1.0 + x)], 1e-14);
    // The text of the paper has the scope in front.
    let paper = EntropySgd { variant: EntropyVariant::Paper, ..STILL };
    near(&[path(paper, 2.0, 20, 1.0).1], &[1.0 - 0.5 * (1.0 - x)], 1e-14);
}

#[test]
fn one_inner_step_without_noise_is_gradient_descent() {
    let network = normed(NormKind::Batch);
    let state = network.initial_state(Initialization::He, 3);
    let batch = samples(8, 5, 1);
    let after = |rule: Box<dyn Optimizer>, rate: f64| {
        let mut trainer = Trainer::new(&network, rule, 8, state.clone()).unwrap();
        for _ in 0..5 {
            trainer.step(&batch, rate).unwrap();
        }
        flat(trainer.parameters())
    };
    let entropy = after(Box::new(EntropySgd { steps: 1, ..STILL }), 0.8);
    near(&entropy, &after(Box::new(Sgd::PLAIN), 0.8 * 0.25 * 0.1), 1e-13);
}

/// The reference written out: an outer step on a quadratic loss with velocity, decay and a growing scope.
fn by_hand(rule: &EntropySgd, h: f64, rate: f64, outer_steps: u64) -> f64 {
    let mut x = 1.0;
    let mut outer = h;
    for t in 1..=outer_steps {
        let scope = rule.scope * (1.0 + rule.scoping).powi(t as i32);
        let (mut y, mut mu, mut v) = (x, x, 0.0);
        for _ in 0..rule.steps {
            let port = rule.variant == EntropyVariant::Port;
            let g = h * y + if port { rule.weight_decay * y } else { 0.0 };
            let mut d = g;
            if rule.variant != EntropyVariant::Paper {
                v = rule.momentum * v + (1.0 - rule.dampening) * g;
                d = if rule.nesterov { g + rule.momentum * v } else { v };
            }
            d += scope * (y - x) + if port { 0.0 } else { rule.weight_decay * y };
            y -= rule.inner_rate * d;
            mu = (1.0 - rule.newest) * mu + rule.newest * y;
        }
        x -= rate
            * match rule.variant {
                EntropyVariant::Reference => x - mu,
                EntropyVariant::Paper => scope * (x - mu),
                EntropyVariant::Port => {
                    let along = x - mu + rule.weight_decay * x;
                    outer = rule.momentum * outer + (1.0 - rule.dampening) * along;
                    if rule.nesterov { along + rule.momentum * outer } else { outer }
                }
            };
    }
    x
}

#[test]
fn every_form_with_momentum_decay_and_scoping_is_what_is_published() {
    for variant in EntropyVariant::ALL {
        for nesterov in [false, true] {
            let rule = EntropySgd {
                variant: *variant,
                steps: 4,
                scoping: 0.3,
                momentum: 0.8,
                dampening: 0.1,
                nesterov,
                weight_decay: 0.02,
                ..STILL
            };
            near(&[path(rule, 1.5, 12, 0.7).1], &[by_hand(&rule, 1.5, 0.7, 3)], 1e-13);
        }
    }
}

#[test]
fn the_scope_grows_from_the_first_outer_step_on_up_to_its_bound() {
    let rule = EntropySgd { scope: 1e-4, scoping: 1e-3, ..STILL };
    near(&[rule.scope_at(1), rule.scope_at(1000)], &[1e-4 * 1.001, 2.7169e-4], 1e-8);
    assert_eq!(EntropySgd { largest_scope: 2e-4, ..rule }.scope_at(1000), 2e-4);
}

#[test]
fn the_noise_has_the_temperature_that_is_said() {
    // Without a loss y wanders around x = 1: 2 s ε² / (1 − (1 − s γ)²) is its variance in the end.
    let rule = EntropySgd { steps: 400, scope: 1.0, noise: 0.01, ..STILL };
    let network = network(Quadratic { h: 0.0, c: 0.0, len: 4000 }, &[1], 0.0);
    let start = network.initial_state(Initialization::He, 0);
    let variance = |rule: EntropySgd, seed: u64| {
        let mut trainer = Trainer::new(&network, rule, 2, start.clone()).unwrap();
        trainer.set_noise(Noise { seed, step: 0 });
        for _ in 0..100 {
            trainer.step(&samples(2, 1, 0), 1.0).unwrap();
        }
        let away: Vec<f64> = trainer.optimizer_state()[0].to_f64().iter().map(|y| y - 1.0).collect();
        assert!(flat(trainer.parameters()).iter().all(|x| *x == 1.0));
        away.iter().map(|away| away * away).sum::<f64>() / away.len() as f64
    };
    // Its estimate from 4,000 numbers has a standard error of 2.2 %.
    assert!((variance(rule, 1) / 1.0526316e-4 - 1.0).abs() < 0.08, "{:e}", variance(rule, 1));
    let paper = EntropySgd { variant: EntropyVariant::Paper, ..rule };
    assert!((variance(paper, 1) / 0.5263158e-4 - 1.0).abs() < 0.08, "{:e}", variance(paper, 1));
    assert_eq!(variance(rule, 2).to_bits(), variance(rule, 2).to_bits());
    assert_ne!(variance(rule, 2).to_bits(), variance(rule, 3).to_bits());
}

#[test]
fn an_outer_rate_of_0_leaves_the_parameters_bit_for_bit() {
    let network = normed(NormKind::Batch);
    let state = network.initial_state(Initialization::He, 3);
    let rule = EntropySgd { noise: 0.1, ..EntropySgd::default() };
    let mut trainer = Trainer::new(&network, rule, 8, state.clone()).unwrap();
    for _ in 0..45 {
        trainer.step(&samples(8, 5, 1), 0.0).unwrap();
    }
    assert_eq!(trainer.parameters(), state.parameters);
    assert_ne!(trainer.optimizer_state()[0], state.parameters[0]);
}

#[test]
fn a_gradient_that_is_not_finite_is_found_at_the_iterate() {
    let network = network(Quadratic { h: 1e150, c: 0.0, len: 1 }, &[1], 0.0);
    let state = State { parameters: vec![Tensor::new([1], vec![1.0]).unwrap()], buffers: vec![] };
    let mut trainer = Trainer::new(&network, STILL, 2, state.clone()).unwrap();
    let batch = samples(2, 1, 0);
    assert!(trainer.step(&batch, 1.0).unwrap().is_finite());
    // The parameter is still 1; it is the inner step that left the numbers.
    let failed = trainer.step(&batch, 1.0).unwrap();
    assert!(!failed.is_finite());
    assert_eq!(trainer.parameters(), state.parameters);
    assert!(trainer.diagnose(&batch).unwrap().is_some());
}

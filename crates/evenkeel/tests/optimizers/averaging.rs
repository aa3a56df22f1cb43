//! Averages of iterates.

use crate::common::StopAfter;
use crate::{Quadratic, experiment, flat, near, network, samples};
use evenkeel::Batch;
use evenkeel::config::{Initialization, NormMode};
use evenkeel::norm::recalibrate;
use evenkeel::optim::{Averaged, Sgd, Weighting};
use evenkeel::store::Run;
use evenkeel::train::{Evaluator, Trainer, train};

/// The averages after each of ten steps on a slope, along which the iterate is 1 − 0.1 t.
fn averages(weighting: Weighting, start: u64) -> Vec<f64> {
    let network = network(Quadratic { h: 0.0, c: 1.0, len: 1 }, &[1], 0.0);
    let state = network.initial_state(Initialization::He, 0);
    let rule = Averaged { rule: Sgd::PLAIN, weighting, start };
    let mut trainer = Trainer::new(&network, rule, 2, state).unwrap();
    let mut step = |_| {
        trainer.step(&samples(2, 1, 0), 0.1).unwrap();
        flat(trainer.parameters())[0]
    };
    (0..10).map(&mut step).collect()
}

#[test]
fn averages_of_a_slope_are_those_of_the_closed_forms() {
    let iterate = |t: usize| 1.0 - 0.1 * t as f64;
    // The mean of the iterates of steps 4 to t.
    let uniform: Vec<f64> =
        (1..=10).map(|t| if t < 4 { iterate(t) } else { 0.5 * (iterate(4) + iterate(t)) }).collect();
    near(&averages(Weighting::Uniform, 3), &uniform, 1e-14);
    let mut exponential = vec![iterate(1)];
    (2..=10).for_each(|t| exponential.push(0.9 * exponential[t - 2] + 0.1 * iterate(t)));
    near(&averages(Weighting::Exponential { decay: 0.9 }, 0), &exponential, 1e-14);
    near(&averages(Weighting::Exponential { decay: 0.0 }, 0), &(1..=10).map(iterate).collect::<Vec<_>>(), 1e-14);
}

#[test]
fn an_average_is_evaluated_and_saved_with_running_statistics_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let experiment =
        experiment(&["averaging.name=exponential", "averaging.decay=0.8", "measure.start_and_end=false", "norm=batch"]);
    let outcome = train(&experiment, &dir, false, &mut ()).unwrap();
    let (_, checkpoint) = Run::open(&dir).unwrap().load_latest().unwrap().found.unwrap();
    assert!(checkpoint.optimizer.iter().any(|kept| kept.name == "iterate/fc1.weight"));
    let state = experiment.state_of(checkpoint).unwrap();
    // Taken anew by hand: five batches an epoch, in the order of the first.
    let dataset = &experiment.dataset;
    let mut order = evenkeel::data::Batches::new(experiment.config.seed, 320, 64);
    let batches =
        (0..5).map(|step| Batch::some_of(dataset, &dataset.train, order.indices(step), experiment.network.dtype()));
    let own = recalibrate(&experiment.network, &state, batches).unwrap();
    assert_eq!(own.buffers, state.buffers);
    let mut evaluator = Evaluator::in_mode(&experiment.network, 40, NormMode::Running).unwrap();
    let found = evaluator.evaluate(dataset, &dataset.test, &state.parameters, &state.buffers).unwrap();
    assert!((found.loss - outcome.test_loss).abs() < 1e-6, "{} {}", found.loss, outcome.test_loss);
}

#[test]
fn what_a_term_remembers_survives_new_running_statistics() {
    // regression: the vector of the spectral penalty became zeros
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let settings = ["averaging.name=uniform", "spectral.weight=0.01", "measure.start_and_end=false", "norm=batch"];
    train(&experiment(&settings), &dir, false, &mut ()).unwrap();
    let (_, checkpoint) = Run::open(&dir).unwrap().load_latest().unwrap().found.unwrap();
    let vector = checkpoint.buffers.iter().find(|buffer| buffer.name.ends_with("vector")).unwrap();
    assert!(vector.bytes.iter().any(|byte| *byte != 0));
    assert!(train(&experiment(&settings), &folder.path().join("b"), false, &mut StopAfter(3)).is_err());
}

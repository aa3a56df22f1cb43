//! The training loop: resumed runs end in the same bits, measurements change nothing, divergence is told with its place.
#![allow(clippy::unwrap_used)]

mod common;

use common::StopAfter;
use evenkeel::ErrorKind;
use evenkeel::config::{Config, OptimizerKind, Override, ScheduleKind};
use evenkeel::experiment::Experiment;
use evenkeel::graph::random::Key;
use evenkeel::store::{Checkpoint, Run};
use evenkeel::train::{Event, Observer, Trainer, TrainingPlan, train};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

fn experiment(settings: &[&str]) -> Experiment {
    let base = ["model=mlp:12", "epochs=3", "data.limit=320", "data.test_limit=40", "measure.samples=40"];
    let overrides: Vec<Override> = base.iter().chain(settings).map(|text| Override::set(text).unwrap()).collect();
    Experiment::new(Config::resolve(None, &overrides).unwrap()).unwrap()
}

fn last(dir: &Path) -> (u64, Checkpoint<'static>) {
    Run::open(dir).unwrap().load_latest().unwrap().found.unwrap()
}

/// All metrics but the clock.
fn metrics(dir: &Path) -> Vec<(u64, Vec<(String, u64)>)> {
    let records = Run::open(dir).unwrap().metrics().unwrap().records;
    let timeless = |values: Vec<(String, f64)>| {
        values.into_iter().filter(|(name, _)| name != "seconds").map(|(name, value)| (name, value.to_bits())).collect()
    };
    records.into_iter().map(|record| (record.step, timeless(record.values))).collect()
}

#[test]
fn a_run_interrupted_at_many_steps_ends_in_the_bits_of_one_never_interrupted() {
    let experiment = experiment(&["measure.every=4", "optimizer.weight_decay=1e-3"]);
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let expected = train(&experiment, &whole, false, &mut ()).unwrap();
    let mut resume = false;
    let outcome = loop {
        match train(&experiment, &broken, resume, &mut StopAfter(2)) {
            Ok(outcome) => break outcome,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}"),
        }
        resume = true;
    };
    let (one, other) = (last(&whole), last(&broken));
    assert_eq!(one.0, other.0);
    assert_eq!(one.1.parameters, other.1.parameters);
    assert_eq!(one.1.buffers, other.1.buffers);
    assert_eq!(one.1.optimizer, other.1.optimizer);
    assert_eq!(metrics(&whole), metrics(&broken));
    assert_eq!(
        (expected.train_loss.to_bits(), expected.test_loss.to_bits(), expected.lambda_max.map(f64::to_bits)),
        (outcome.train_loss.to_bits(), outcome.test_loss.to_bits(), outcome.lambda_max.map(f64::to_bits))
    );
}

#[test]
fn ten_resumes_in_a_chain_end_in_the_same_bits_whatever_takes_part() {
    let adam = ["optimizer.name=adam", "optimizer.clip=1", "dropout.rate=0.3", "schedule.name=one-cycle"];
    let sharp = ["sharpness_aware.rho=0.05", "noise_injection.sigma=0.01", "input_noise.deviation=0.1", "norm=group:3"];
    let terms = ["batch_entropy.weight=0.1", "spectral.weight=0.01", "optimizer.name=rmsprop", "optimizer.lr=0.001"];
    let norms = ["norm=noisy-batch", "optimizer.name=adamp", "flatness.weight=0.01", "schedule.warmup=1"];
    for (number, mixture) in [adam, sharp, terms, norms].into_iter().enumerate() {
        let experiment = experiment(&[&mixture[..], &["batch_size=16", "epochs=2", "measure.every=7"]].concat());
        let folder = tempfile::tempdir().unwrap();
        let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
        let expected = train(&experiment, &whole, false, &mut ()).unwrap();
        let mut random = Key::new(number as u64, "stops", 0).random();
        for resume in 0..10 {
            // 40 steps in all: now and then none between two stops.
            let error = train(&experiment, &broken, resume > 0, &mut StopAfter(random.below(5))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        }
        let outcome = train(&experiment, &broken, true, &mut ()).unwrap();
        assert_eq!(last(&whole).0, last(&broken).0);
        assert_eq!(last(&whole).1.parameters, last(&broken).1.parameters, "{mixture:?}");
        assert_eq!(last(&whole).1.buffers, last(&broken).1.buffers, "{mixture:?}");
        assert_eq!(last(&whole).1.optimizer, last(&broken).1.optimizer, "{mixture:?}");
        assert_eq!(metrics(&whole), metrics(&broken), "{mixture:?}");
        assert_eq!(expected.best, outcome.best);
        let kept = |dir: &Path| Run::open(dir).unwrap().checkpoint_steps().unwrap();
        assert_eq!(kept(&whole).last(), kept(&broken).last());
    }
}

#[test]
fn a_run_that_is_resumed_when_done_changes_nothing() {
    let experiment = experiment(&[]);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let first = train(&experiment, &dir, false, &mut ()).unwrap();
    let again = train(&experiment, &dir, true, &mut ()).unwrap();
    assert_eq!((first.steps, first.test_loss.to_bits()), (again.steps, again.test_loss.to_bits()));
    assert_eq!(first.train_loss.to_bits(), again.train_loss.to_bits());
}

#[test]
fn measuring_along_the_way_does_not_change_what_is_learned() {
    let folder = tempfile::tempdir().unwrap();
    let (with, without) = (folder.path().join("with"), folder.path().join("without"));
    train(&experiment(&["measure.every=3"]), &with, false, &mut ()).unwrap();
    train(&experiment(&["measure.every=0", "measure.start_and_end=false"]), &without, false, &mut ()).unwrap();
    assert_eq!(last(&with).1.parameters, last(&without).1.parameters);
    assert_eq!(last(&with).1.buffers, last(&without).1.buffers);
}

#[test]
fn threads_do_not_change_a_bit() {
    let folder = tempfile::tempdir().unwrap();
    let on = |threads: usize| {
        let dir = folder.path().join(format!("{threads}"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train(&experiment(&["model=mlp:300-40", "epochs=1"]), &dir, false, &mut ()).unwrap());
        (last(&dir).1.parameters, metrics(&dir))
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(4));
}

#[test]
fn every_optimizer_learns_and_resumes_to_the_bits_of_a_run_never_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["optimizer.nesterov=true", "optimizer.dampening=0.1", "optimizer.centered=true", "optimizer.clip=5"];
    for kind in OptimizerKind::ALL {
        let name = format!("optimizer.name={kind}");
        let settings = [&name, "optimizer.groups=head.*: rate=0.5 decay=0", "optimizer.decays=weights", "epochs=10"];
        let settings = [
            &settings[..],
            &more,
            &["optimizer.weight_decay=1e-3", "entropy_sgd.steps=5", "measure.start_and_end=false"],
            // The rate of outer steps, which go to the average of inner ones.
            &[if *kind == OptimizerKind::EntropySgd { "optimizer.lr=1" } else { "optimizer.lr=0.02" }],
        ]
        .concat();
        let experiment = experiment(&settings);
        let (whole, broken) = (folder.path().join(format!("{kind}")), folder.path().join(format!("{kind}-broken")));
        let outcome = train(&experiment, &whole, false, &mut ()).unwrap();
        assert!(outcome.test_accuracy > 0.5, "{kind}: {}", outcome.test_accuracy);
        assert!(train(&experiment, &broken, false, &mut StopAfter(7)).is_err());
        train(&experiment, &broken, true, &mut ()).unwrap();
        assert_eq!(last(&whole).1.optimizer, last(&broken).1.optimizer, "{kind}");
        assert_eq!(last(&whole).1.parameters, last(&broken).1.parameters, "{kind}");
    }
}

#[test]
fn decay_spares_biases_inside_a_group_as_outside_unless_the_group_has_its_own() {
    // regression: biases of a group decayed whatever optimizer.decays said
    let first_step = |settings: &[&str]| {
        let base =
            ["dtype=f64", "optimizer.momentum=0", "optimizer.decays=weights", "initialization=uniform", "norm=none"];
        let experiment = experiment(&[&base, settings].concat());
        let (how, start) = (experiment.trainer_options().unwrap(), experiment.initial_state());
        let mut trainer = Trainer::with(&experiment.network, how, 64, start).unwrap();
        trainer.step(&experiment.samples(64).unwrap(), 0.1).unwrap();
        let paths = experiment.network.parameters().iter().map(|info| info.path.clone());
        paths.zip(trainer.parameters().iter().map(|tensor| tensor.to_f64())).collect::<HashMap<_, _>>()
    };
    let plain = first_step(&["optimizer.groups=head.*: rate=2"]);
    let spared = first_step(&["optimizer.groups=head.*: rate=2", "optimizer.weight_decay=0.5"]);
    let own = first_step(&["optimizer.groups=head.*: rate=2 decay=0.5"]);
    for path in ["fc1.bias", "head.bias"] {
        assert_eq!(plain[path], spared[path], "{path}");
    }
    for path in ["fc1.weight", "head.weight"] {
        assert_ne!(plain[path], spared[path], "{path}");
    }
    assert_eq!(spared["head.weight"], own["head.weight"]);
    assert_ne!(own["head.bias"], plain["head.bias"]);
    assert_eq!(own["fc1.weight"], plain["fc1.weight"]);
}

#[test]
fn a_group_of_no_parameter_is_refused_with_some_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = experiment(&["optimizer.groups=conv*: rate=2"]);
    let error = train(&wrong, &folder.path().join("run"), false, &mut ()).unwrap_err().to_string();
    assert!(error.contains("optimizer.groups") && error.contains("fc1.weight"), "{error}");
    assert!(!folder.path().join("run").exists());
}

#[test]
fn divergence_is_told_with_step_and_layer_and_keeps_a_finite_state() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let experiment = experiment(&["norm=none", "optimizer.lr=1e12", "measure.start_and_end=false"]);
    let error = train(&experiment, &dir, false, &mut ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Numerical);
    let text = error.to_string();
    assert!(text.contains("at step ") && text.contains("first ") && text.contains("--resume --out"), "{text}");
    assert!(text.contains("fc1") || text.contains("head") || text.contains("loss"), "{text}");
    let (_, checkpoint) = last(&dir);
    let state = experiment.state_of(checkpoint).unwrap();
    assert!(state.parameters.iter().all(|tensor| tensor.to_f64().iter().all(|value| value.is_finite())));
    let report = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(report.contains(">diverged</span>") && report.contains("The run diverged"));
}

#[test]
fn where_the_first_step_fails_no_smaller_rate_is_advised() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["norm=none", "initialization_scale=1e30", "measure.start_and_end=false"];
    let error = train(&experiment(&settings), &folder.path().join("run"), false, &mut ()).unwrap_err().to_string();
    assert!(error.contains("initialization_scale") && !error.contains("--lr"), "{error}");
}

#[test]
fn measurements_take_as_many_samples_as_ghost_batches_divide() {
    assert_eq!(experiment(&["batch_norm.ghost=16", "batch_size=32"]).measured_samples(), 32);
    assert_eq!(experiment(&["batch_norm.ghost=16", "norm=none"]).measured_samples(), 40);
}

#[test]
fn dropout_of_a_network_without_hidden_activations_is_refused() {
    let words = ["model=autoencoder:4", "dropout.rate=0.5"].map(|word| Override::set(word).unwrap());
    let error = Experiment::survey(Config::resolve(None, &words).unwrap()).map(drop).unwrap_err();
    assert_eq!(error.what(), "the network has no hidden values that could be dropped");
}

#[test]
fn an_objective_that_overflows_is_not_told_as_its_gradient() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["l2.weight=1e38", "optimizer.lr=1e-3", "measure.start_and_end=false"];
    let error = train(&experiment(&settings), &folder.path().join("run"), false, &mut ()).unwrap_err();
    assert_eq!(error.what(), "the objective became infinite at step 1");
}

#[test]
fn a_checkpoint_borrows_the_tensors_that_it_saves() {
    let experiment = experiment(&[]);
    let state = experiment.initial_state();
    let checkpoint = experiment.checkpoint(&state.parameters, &state.buffers, &[], serde_json::Value::Null);
    let mut saved = checkpoint.parameters.iter().chain(&checkpoint.buffers);
    assert!(saved.all(|tensor| matches!(tensor.bytes, Cow::Borrowed(_)) == cfg!(target_endian = "little")));
}

#[test]
fn a_batch_larger_than_the_data_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let error = train(&experiment(&["batch_size=321"]), &dir, false, &mut ()).unwrap_err();
    assert!(error.to_string().contains("at most 320"), "{error}");
    assert!(!dir.exists());
}

#[test]
fn images_too_small_for_a_network_are_refused() {
    let overrides = [Override::set("model=vgg11").unwrap()];
    let error = Experiment::new(Config::resolve(None, &overrides).unwrap()).err().unwrap();
    assert!(error.to_string().contains("too small for vgg11"), "{error}");
}

#[test]
fn squared_loss_and_every_schedule_learn_the_digits() {
    let folder = tempfile::tempdir().unwrap();
    for (number, schedule) in ScheduleKind::ALL.iter().enumerate() {
        let name = format!("schedule.name={schedule}");
        let settings =
            ["loss=squared", "optimizer.lr=0.02", "epochs=8", "batch_size=16", "schedule.step_epochs=4", &name];
        let dir = folder.path().join(number.to_string());
        let outcome = train(&experiment(&settings), &dir, false, &mut ()).unwrap();
        assert!(outcome.test_accuracy > 0.6, "{schedule}: {}", outcome.test_accuracy);
    }
}

#[test]
fn training_that_does_not_fit_into_memory_is_refused_before_it_starts() {
    let mut plan = TrainingPlan::new(&experiment(&[])).unwrap();
    assert!(plan.bytes_to_come() > 0 && plan.check().is_ok());
    let (first, last) = (plan.learning_rates[0], plan.learning_rates.last().unwrap());
    assert_eq!((plan.steps, first.step, last.step, first.rate), (15, 0, 14, 0.1));
    plan.available_bytes = Some(plan.bytes_to_come() as u64 - 1);
    let error = plan.check().unwrap_err();
    assert_eq!((error.kind(), error.what()), (ErrorKind::Input, "training does not fit into memory"));
    plan.available_bytes = None;
    assert!(plan.check().is_ok(), "where nothing is known nothing is refused");
}

#[test]
fn a_run_keeps_a_memory_limit_and_learns_what_it_learns_without() {
    let wide = ["model=mlp:64-64-64-64-64-64", "batch_size=256", "dtype=f64", "measure.samples=300"];
    let with = |limit: &str| experiment(&[&wide[..], &[limit]].concat());
    let free = with("memory_limit=none");
    let all = TrainingPlan::new(&free).unwrap();
    let limit = (all.peak_bytes - all.evaluation_bytes - all.activation_bytes / 3) as u64;
    let tight = with(&format!("memory_limit={limit}"));
    let plan = TrainingPlan::new(&tight).unwrap();
    assert!(plan.peak_bytes as u64 <= limit && plan.again_flops > 0, "{plan:?}");
    let folder = tempfile::tempdir().unwrap();
    let loss = |experiment: &Experiment, name: &str| {
        train(experiment, &folder.path().join(name), false, &mut ()).unwrap().train_loss
    };
    let (free, tight) = (loss(&free, "free"), loss(&tight, "tight"));
    assert!((free - tight).abs() < 1e-9 * free, "{free} and {tight}");
}

#[test]
fn a_memory_limit_that_cannot_be_kept_is_refused_with_the_least_that_can() {
    let error = TrainingPlan::new(&experiment(&["memory_limit=1KiB"])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Memory);
    let text = error.to_string();
    let least = text.lines().find_map(|line| line.trim().strip_prefix("expected  at least ")).unwrap();
    let plan = TrainingPlan::new(&experiment(&[&format!("memory_limit={least}")])).unwrap();
    assert!(plan.peak_bytes as u64 <= plan.memory_limit.unwrap(), "{text}");
}

/// Notes why measurements were not made.
#[derive(Debug, Default)]
struct NotMeasured(Vec<String>);

impl Observer for NotMeasured {
    fn event(&mut self, event: &Event) {
        if let Event::NotMeasured { why, .. } = event {
            self.0.push(why.what().to_string());
        }
    }
}

#[test]
fn training_goes_on_where_a_measurement_would_take_more_than_the_limit() {
    let settings = ["model=mlp:256", "batch_size=4", "measure.samples=300", "epochs=1"];
    let least = TrainingPlan::new(&experiment(&[&settings[..], &["memory_limit=1KiB"]].concat())).unwrap_err();
    let least = least.to_string();
    let least = least.lines().find_map(|line| line.trim().strip_prefix("expected  at least ")).unwrap();
    let limit = format!("memory_limit={least}");
    let folder = tempfile::tempdir().unwrap();
    let mut seen = NotMeasured::default();
    train(&experiment(&[&settings[..], &[&limit]].concat()), &folder.path().join("run"), false, &mut seen).unwrap();
    assert!(
        !seen.0.is_empty() && seen.0.iter().all(|why| why.starts_with("the memory limit is too small")),
        "{seen:?}"
    );
}

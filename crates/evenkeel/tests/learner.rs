//! Rate and momentum learned from the curvature in a run: clipped, kept, resumed, and no part of anything where nothing is learned.
#![allow(clippy::unwrap_used)]

mod common;

use common::StopAfter;
use evenkeel::ErrorKind;
use evenkeel::config::{Config, LearnerKind, Override};
use evenkeel::experiment::Experiment;
use evenkeel::optim::{Pace, Sgd};
use evenkeel::store::{Content, LearnerMeasurement, Run};
use evenkeel::train::{Event, Observer, Trainer, TrainingPlan, train};
use std::path::Path;

/// 320 samples in 10 steps an epoch.
const BASE: [&str; 7] = [
    "model=mlp:12",
    "norm=none",
    "epochs=4",
    "batch_size=32",
    "data.limit=320",
    "data.test_limit=40",
    "measure.start_and_end=false",
];

fn config(settings: &[&str]) -> evenkeel::Result<Config> {
    let overrides: Vec<Override> = BASE.iter().chain(settings).map(|text| Override::set(text).unwrap()).collect();
    Config::resolve(None, &overrides)
}

fn experiment(settings: &[&str]) -> Experiment {
    Experiment::new(config(settings).unwrap()).unwrap()
}

const LEARNED: [&str; 4] = ["learner.kind=heavy-ball", "learner.every=2", "learner.samples=100", "learner.steps=8"];

/// The records of steps; what was seen of layers has records of its own.
fn steps(dir: &Path) -> Vec<evenkeel::store::Record> {
    let records = Run::open(dir).unwrap().metrics().unwrap().records;
    records.into_iter().filter(|record| record.get("learning_rate").is_some()).collect()
}

fn looks(dir: &Path) -> Vec<LearnerMeasurement> {
    let found = Run::open(dir).unwrap().measurements().unwrap().into_iter().filter_map(|one| match one.content {
        Content::Other(value) if value["probe"] == "learner" => serde_json::from_value(value).ok(),
        _ => None,
    });
    found.collect()
}

/// Steps, and bits of everything but the clock.
fn metrics(dir: &Path) -> Vec<(u64, Vec<(String, u64)>)> {
    let records = Run::open(dir).unwrap().metrics().unwrap().records;
    let timeless = |values: Vec<(String, f64)>| {
        values.into_iter().filter(|(name, _)| name != "seconds").map(|(name, value)| (name, value.to_bits())).collect()
    };
    records.into_iter().map(|record| (record.step, timeless(record.values))).collect()
}

#[test]
fn rate_and_momentum_follow_each_look_and_the_course_of_the_schedule() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let experiment = experiment(&[&LEARNED[..], &["schedule.name=linear"]].concat());
    train(&experiment, &dir, false, &mut ()).unwrap();
    let looks = looks(&dir);
    assert_eq!(looks.iter().map(|look| look.step).collect::<Vec<_>>(), [0, 20]);
    for look in &looks {
        assert_eq!((look.kind.as_str(), look.norm_mode.as_str(), look.samples), ("heavy-ball", "batch", 100));
        assert!(look.learned && look.values.len() == 8);
        assert!((look.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let (high, low) = (look.largest.sqrt(), look.least.sqrt());
        let rate = (2.0 / (high + low)).powi(2);
        let momentum = ((high - low) / (high + low)).powi(2);
        assert_eq!(look.clipped, !(1e-6..=1.0).contains(&rate) || momentum > 0.99);
        assert_eq!(look.learning_rate, rate.clamp(1e-6, 1.0));
        assert_eq!(look.momentum, momentum.clamp(0.0, 0.99));
    }
    assert!(looks[0].learning_rate != looks[1].learning_rate);
    for record in steps(&dir) {
        let taken = record.step - 1;
        let look = &looks[usize::from(taken >= 20)];
        assert_eq!(record.get("learning_rate").unwrap(), look.learning_rate * (1.0 - taken as f64 / 40.0));
        assert_eq!(record.get("momentum").unwrap(), look.momentum);
    }
    let page = std::fs::read_to_string(Run::open(&dir).unwrap().report_path()).unwrap();
    assert!(page.contains("What rate and momentum were learned from") && page.contains("heavy-ball"));
}

#[test]
fn a_run_that_learns_and_is_interrupted_at_many_steps_ends_in_the_same_bits() {
    let experiment = experiment(&[&LEARNED[..], &["norm=batch", "measure.every=15"]].concat());
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    train(&experiment, &whole, false, &mut ()).unwrap();
    let mut resume = false;
    // In steps of three: before, at and after a look.
    while let Err(error) = train(&experiment, &broken, resume, &mut StopAfter(3)) {
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        resume = true;
    }
    let last = |dir: &Path| Run::open(dir).unwrap().load_latest().unwrap().found.unwrap();
    let ((step, one), (other_step, other)) = (last(&whole), last(&broken));
    assert_eq!((step, &one.parameters, &one.optimizer), (other_step, &other.parameters, &other.optimizer));
    assert_eq!(one.state["learned"], other.state["learned"]);
    assert!(one.state["learned"]["momentum"].is_string());
    assert_eq!(metrics(&whole), metrics(&broken));
    let timeless = |looks: Vec<LearnerMeasurement>| -> Vec<LearnerMeasurement> {
        looks.into_iter().map(|look| LearnerMeasurement { seconds: 0.0, ..look }).collect()
    };
    assert_eq!(timeless(looks(&whole)), timeless(looks(&broken)));
}

#[test]
fn without_a_learner_nothing_of_it_is_written_and_a_momentum_of_the_step_has_the_bits_of_a_constant() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let experiment = experiment(&[]);
    train(&experiment, &dir, false, &mut ()).unwrap();
    assert!(
        looks(&dir).is_empty()
            && metrics(&dir).iter().all(|(_, values)| values.iter().all(|(name, _)| name != "momentum"))
    );
    let (_, checkpoint) = Run::open(&dir).unwrap().load_latest().unwrap().found.unwrap();
    assert!(checkpoint.state.get("learned").is_none());

    let samples = experiment.samples(32).unwrap();
    for nesterov in [false, true] {
        let fixed = Sgd { momentum: 0.9, nesterov, weight_decay: 1e-3, ..Sgd::PLAIN };
        let paced = Sgd { momentum: 0.1, paced: true, ..fixed };
        let network = &experiment.network;
        let mut one = Trainer::new(network, fixed, 32, experiment.initial_state()).unwrap();
        let mut other = Trainer::new(network, paced, 32, experiment.initial_state()).unwrap();
        for _ in 0..5 {
            let told = one.step(&samples, 0.05).unwrap();
            assert_eq!(told, other.step(&samples, Pace { rate: 0.05, momentum: Some(0.9) }).unwrap());
        }
        assert_eq!((one.parameters(), one.optimizer_state()), (other.parameters(), other.optimizer_state()));
        // Where none is told, its own.
        one.step(&samples, 0.05).unwrap();
        other.step(&samples, 0.05).unwrap();
        assert_ne!(one.parameters(), other.parameters());
    }
}

#[test]
fn weight_decay_is_no_part_of_the_curvature_that_is_looked_at() {
    let first = |settings: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("run");
        train(&experiment(&[&LEARNED[..], settings, &["epochs=1"]].concat()), &dir, false, &mut ()).unwrap();
        looks(&dir).remove(0).values
    };
    assert_eq!(first(&[]), first(&["optimizer.weight_decay=0.5"]));
    // A penalty that is part of the objective is.
    assert_ne!(first(&[]), first(&["l2.weight=0.5"]));
}

#[test]
fn the_kind_sgd_learns_the_rate_alone_and_nesterov_has_nesterovs_steps() {
    let config = config(&["learner.kind=sgd"]).unwrap();
    assert_eq!((config.optimizer.momentum, config.optimizer.nesterov), (0.0, false));
    let config = self::config(&["learner.kind=sgd", "optimizer.momentum=0.5"]).unwrap();
    assert_eq!(config.optimizer.momentum, 0.5);
    assert!(self::config(&["learner.kind=nesterov"]).unwrap().optimizer.nesterov);
    assert!(!self::config(&["learner.kind=nesterov", "optimizer.nesterov=false"]).unwrap().optimizer.nesterov);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let settings = ["learner.kind=sgd", "optimizer.momentum=0.5", "learner.from_epoch=1", "epochs=2"];
    train(&experiment(&settings), &dir, false, &mut ()).unwrap();
    let records = steps(&dir);
    assert!(records.iter().all(|record| record.get("momentum") == Some(0.5)));
    let looks = looks(&dir);
    assert_eq!((looks.len(), looks[0].step), (1, 10));
    assert_eq!(records[0].get("learning_rate"), Some(0.1));
}

/// Remembers what it was told of looks.
#[derive(Default)]
struct Told(Vec<String>);

impl Observer for Told {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Learned(look) => self.0.push(format!("{}: {}", look.step, look.learned)),
            Event::NotLearned { step, why } => self.0.push(format!("{step}: {why}")),
            _ => {}
        }
    }
}

#[test]
fn where_the_loss_overflows_rate_and_momentum_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = Told::default();
    let huge = ["initialization=normal:1e30", "learner.kind=heavy-ball", "epochs=1"];
    let error = train(&experiment(&huge), &folder.path().join("huge"), false, &mut told).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Numerical);
    assert!(told.0.len() == 1 && told.0[0].starts_with("0: a Hessian product is not finite"), "{:?}", told.0);
    let text = error.to_string();
    assert!(text.contains("no rate helps"), "{text}");
}

#[test]
fn a_plan_tells_how_often_the_curvature_is_looked_at_and_the_most_the_rate_can_be() {
    let planned = |settings: &[&str]| TrainingPlan::new(&experiment(&[&LEARNED[..], settings].concat())).unwrap();
    let plan = planned(&["schedule.name=constant", "learner.max_rate=0.3", "learner.from_epoch=1"]);
    let learner = plan.learner.unwrap();
    assert_eq!((learner.kind, learner.first, learner.looks), (LearnerKind::HeavyBall, Some(10), 2));
    assert_eq!((learner.samples, learner.products, learner.max_rate), (100, 8, 0.3));
    let rates: Vec<f64> = plan.learning_rates.iter().map(|at| at.rate).collect();
    assert!(rates[..10].iter().all(|rate| *rate == 0.1) && rates[10..].iter().all(|rate| *rate == 0.3));
    assert_eq!(planned(&["learner.from_epoch=9"]).learner.unwrap().first, None);
    assert!(TrainingPlan::new(&experiment(&[])).unwrap().learner.is_none());
}

#[test]
fn what_the_learner_cannot_do_is_refused_with_its_place() {
    let refused = |settings: &[&str]| config(settings).unwrap_err().to_string();
    let error = refused(&["learner.kind=heavy-ball", "optimizer.name=adam"]);
    assert!(error.contains("the optimizer is adam") && error.contains("--optimizer sgd"), "{error}");
    let error = refused(&["learner.min_rate=0.5", "learner.max_rate=0.1"]);
    assert!(error.contains("learner.min_rate is above learner.max_rate"), "{error}");
    assert!(refused(&["learner.kind=heavyball"]).contains("did you mean 'heavy-ball'?"));
    assert!(refused(&["learner.steps=1"]).contains("at least 2"));
}

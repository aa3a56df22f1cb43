//! What training batches are put through: mixed labels are exact, batches depend on seed and step alone, and no test or measurement meets them.
#![allow(clippy::unwrap_used)]

mod common;

use common::StopAfter;
use evenkeel::augment::Augmentation;
use evenkeel::config::{AugmentConfig, Config, Initialization, Loss, NormMode, Override, Padding};
use evenkeel::curvature::Curvature;
use evenkeel::data::Batches;
use evenkeel::experiment::Experiment;
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::nn::{Context, NormSettings};
use evenkeel::objective::Term;
use evenkeel::optim::Sgd;
use evenkeel::regularize::LabelSmoothing;
use evenkeel::store::{Checkpoint, Run};
use evenkeel::train::{Evaluator, Trainer, TrainerOptions, TrainingPlan, train};
use evenkeel::{Batch, ErrorKind, Network};
use std::path::Path;

fn config(settings: &[&str]) -> Config {
    let overrides: Vec<Override> = settings.iter().map(|text| Override::set(text).unwrap()).collect();
    Config::resolve(None, &overrides).unwrap()
}

/// All transforms that there are, on few digits.
const ALL: [&str; 14] = [
    "model=mlp:12",
    "epochs=3",
    "data.limit=320",
    "data.balanced=true",
    "data.label_noise=0.2",
    "data.test_limit=40",
    "measure.samples=40",
    "measure.every=4",
    "augment.crop=2",
    "augment.padding=reflect",
    "augment.flip=true",
    "augment.cutout=3",
    "augment.mixup=0.3",
    "input_noise.deviation=0.1",
];

fn mlp<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    cx.linear("head", cx.linear("fc1", x.flatten(), 6).tanh(), 4)
}

fn network(loss: Loss) -> Network {
    Network::with(Box::new(mlp), &[2, 2, 1], DType::F64, loss, NormSettings::default()).unwrap()
}

fn batch(count: usize) -> Batch {
    let mut random = Key::new(1, "samples", 0).random();
    let pixels: Vec<f64> = (0..count * 4).map(|_| random.normal_f64()).collect();
    let labels = (0..count).map(|_| random.below(4) as i32).collect();
    Batch { inputs: Tensor::new([count, 2, 2, 1], pixels).unwrap(), labels: Tensor::new([count], labels).unwrap() }
}

/// One step of rate 1 from the same state: the objective, the share of right answers, and minus the gradient.
fn step(network: &Network, batch: &Batch, options: TrainerOptions) -> (f64, f64, Vec<f64>) {
    let state = network.initial_state(Initialization::He, 3);
    let mut trainer = Trainer::with(network, options, batch.len(), state.clone()).unwrap();
    let result = trainer.step(batch, 1.0).unwrap();
    let moved = trainer.parameters().iter().zip(&state.parameters).flat_map(|(after, before)| {
        after.to_f64().into_iter().zip(before.to_f64()).map(|(after, before)| after - before).collect::<Vec<_>>()
    });
    (result.objective, result.accuracy, moved.collect())
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * (1.0 + a.abs())
}

#[test]
fn the_loss_of_mixed_labels_is_the_mixture_of_the_losses_and_so_is_its_gradient() {
    let smoothing: Box<dyn Term> = Box::new(LabelSmoothing { share: 0.1 });
    let smooth = network(Loss::CrossEntropy).with_terms([smoothing]).unwrap();
    for network in [network(Loss::CrossEntropy), smooth] {
        is_the_mixture(&network);
    }
}

fn is_the_mixture(network: &Network) {
    let plain = batch(16);
    let order: Vec<u32> = (0..16).map(|n| (n * 5 + 3) % 16).collect();
    let other = Batch { labels: plain.take(&order).unwrap().labels, ..plain.clone() };
    let share = 0.3;
    let mixed = {
        let [one, two] = [&plain, &other].map(|batch| batch.clone().with_shares(4).unwrap().labels.to_f64());
        let shares: Vec<f64> = one.iter().zip(two).map(|(one, two)| share * one + (1.0 - share) * two).collect();
        Batch { labels: Tensor::new([16, 4], shares).unwrap(), ..plain.clone() }
    };
    let options = || TrainerOptions::new(Sgd::PLAIN);
    let (one, two) = (step(network, &plain, options()), step(network, &other, options()));
    let both = step(network, &mixed, options().with_shares());
    assert!(near(both.0, share * one.0 + (1.0 - share) * two.0), "{} of {} and {}", both.0, one.0, two.0);
    assert!(near(both.1, share * one.1 + (1.0 - share) * two.1), "{} of {} and {}", both.1, one.1, two.1);
    for ((both, one), two) in both.2.iter().zip(&one.2).zip(&two.2) {
        assert!(near(*both, share * one + (1.0 - share) * two), "{both} of {one} and {two}");
    }
}

#[test]
fn shares_that_are_whole_are_classes_under_every_loss() {
    for &loss in Loss::ALL {
        let network = network(loss);
        let options = || TrainerOptions::new(Sgd::PLAIN);
        let classes = step(&network, &batch(8), options());
        let shares = step(&network, &batch(8).with_shares(4).unwrap(), options().with_shares());
        assert!(near(classes.0, shares.0) && classes.1 == shares.1, "{loss}: {} and {}", classes.0, shares.0);
        assert!(classes.2.iter().zip(&shares.2).all(|(a, b)| near(*a, *b)), "{loss}");
    }
}

#[test]
fn classes_are_refused_where_shares_are_learned_and_shares_where_classes_are() {
    let network = network(Loss::CrossEntropy);
    let trainer = |options| Trainer::with(&network, options, 4, network.initial_state(Initialization::He, 0)).unwrap();
    let error = trainer(TrainerOptions::new(Sgd::PLAIN).with_shares()).step(&batch(4), 0.1).unwrap_err().to_string();
    assert!(error.contains("with_shares"), "{error}");
    let error = trainer(TrainerOptions::new(Sgd::PLAIN)).step(&batch(4).with_shares(4).unwrap(), 0.1).unwrap_err();
    assert!(error.to_string().contains("with_shares"), "{error}");
}

#[test]
fn mixed_samples_lie_between_partners_and_their_labels_tell_how_far() {
    let how = AugmentConfig { mixup: 0.5, ..AugmentConfig::default() };
    let network = network(Loss::CrossEntropy);
    let augmentation = Augmentation::new(&how, &network, 9).unwrap();
    let plain = batch(12);
    let samples: Vec<u32> = (0..12).collect();
    let mixed = augmentation.apply(plain.clone(), &samples, 0, 5).unwrap();
    assert_eq!(&mixed.labels.shape()[..], [12, 4]);
    assert!(mixed.labels.to_f64().chunks(4).all(|row| near(row.iter().sum(), 1.0)));
    let sum = |batch: &Batch| batch.inputs.to_f64().iter().sum::<f64>();
    assert!((sum(&mixed) - sum(&plain)).abs() < 1e-12, "partners are a permutation");
    assert_eq!(mixed, augmentation.apply(plain.clone(), &samples, 3, 5).unwrap(), "only the step counts");
    assert_ne!(mixed, augmentation.apply(plain, &samples, 0, 6).unwrap());
}

#[test]
fn transforms_that_make_no_sense_are_refused_by_their_keys() {
    let refused = |settings: &[&str], key: &str| {
        let error = Experiment::survey(config(settings)).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        let error = error.to_string();
        assert!(error.lines().any(|line| line.starts_with("  key") && line.ends_with(key)), "{error}");
    };
    for key in ["augment.cutout", "augment.mixup", "data.label_noise"] {
        refused(&["model=autoencoder:4", &format!("{key}=1")], key);
    }
    refused(&["augment.crop=8"], "augment.crop");
    refused(&["augment.cutout=9"], "augment.cutout");
    refused(&["data.balanced=true", "data.limit=1438"], "data.balanced");
    let text = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(text.path(), "to be or not to be ".repeat(40)).unwrap();
    let source = format!("data.source=text:{}", text.path().display());
    for setting in [
        "augment.crop=1",
        "augment.flip=true",
        "augment.cutout=1",
        "augment.mixup=1",
        "data.balanced=true",
        "data.label_noise=0.1",
    ] {
        let settings = ["model=gru:8-8", &source, "data.tokens=8", setting];
        refused(&settings, setting.split('=').next().unwrap());
    }
    // What an autoencoder gives back may well be cropped and mirrored.
    assert!(Experiment::survey(config(&["model=autoencoder:4", "augment.crop=2", "augment.flip=true"])).is_ok());
}

#[test]
fn a_batch_is_augmented_alike_wherever_it_stands_in_training() {
    let how = AugmentConfig { crop: 1, padding: Padding::Zero, flip: true, cutout: 1, mixup: 0.0 };
    let network = network(Loss::CrossEntropy);
    let augmentation = Augmentation::new(&how, &network, 4).unwrap();
    let all = batch(20);
    let mut order = Batches::new(4, 20, 5);
    let first: Vec<u32> = order.indices(2).to_vec();
    let apply =
        |samples: &[u32], epoch, step| augmentation.apply(all.take(samples).unwrap(), samples, epoch, step).unwrap();
    let batch = apply(&first, 0, 2);
    assert_eq!(batch, apply(&first, 0, 7), "crops, mirror images and holes are those of sample and epoch");
    let turned: Vec<u32> = first.iter().rev().copied().collect();
    assert_eq!(apply(&turned, 0, 2), batch.take(&[4, 3, 2, 1, 0]).unwrap());
    assert_ne!(apply(&first, 1, 2), batch);
}

fn last(dir: &Path) -> (u64, Checkpoint<'static>) {
    Run::open(dir).unwrap().load_latest().unwrap().found.unwrap()
}

/// Parameters, what the optimizer keeps, and all metrics but the clock, as bits.
fn bits(dir: &Path) -> (Vec<Vec<u8>>, Vec<(String, u64)>) {
    let (_, checkpoint) = last(dir);
    let tensors = checkpoint.parameters.iter().chain(&checkpoint.optimizer).chain(&checkpoint.buffers);
    let records = Run::open(dir).unwrap().metrics().unwrap().records;
    let values = records.into_iter().flat_map(|record| record.values).filter(|(name, _)| name != "seconds");
    (
        tensors.map(|tensor| tensor.bytes.to_vec()).collect(),
        values.map(|(name, value)| (name, value.to_bits())).collect(),
    )
}

#[test]
fn a_run_with_every_transform_interrupted_at_every_step_ends_in_the_bits_of_one_never_interrupted() {
    let experiment = Experiment::new(config(&ALL)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    train(&experiment, &whole, false, &mut ()).unwrap();
    let mut resume = false;
    while let Err(error) = train(&experiment, &broken, resume, &mut StopAfter(1)) {
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        resume = true;
    }
    assert_eq!(bits(&whole), bits(&broken));
}

/// So many threads, more than one of which lets the next batch be made beside the step: 800 images of 64 pixels are enough for that.
fn on<T: Send>(threads: usize, work: impl FnOnce(&Experiment) -> T + Send, more: &[&str]) -> T {
    let large = ["data.limit=none", "batch_size=800", "epochs=4", "data.balanced=false"];
    let settings = [&ALL[..], &large, more].concat();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| work(&Experiment::new(config(&settings)).unwrap()))
}

#[test]
fn batches_made_ahead_on_a_thread_are_those_made_in_place_and_survive_interruptions() {
    let folder = tempfile::tempdir().unwrap();
    let run = |threads: usize| {
        let dir = folder.path().join(threads.to_string());
        on(threads, |experiment| train(experiment, &dir, false, &mut ()).map(drop).unwrap(), &[]);
        bits(&dir)
    };
    let in_place = run(1);
    assert_eq!(in_place, run(2));
    assert_eq!(in_place, run(4));
    let broken = folder.path().join("broken");
    let mut resume = false;
    while let Err(error) = on(2, |experiment| train(experiment, &broken, resume, &mut StopAfter(1)).map(drop), &[]) {
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        resume = true;
    }
    assert_eq!(in_place, bits(&broken));
    let bytes = |threads: usize| on(threads, |experiment| TrainingPlan::new(experiment).unwrap().batch_bytes, &[]);
    // Pixels, and shares of ten classes.
    assert_eq!([bytes(1), bytes(2)], [800 * (64 + 10) * 4, 2 * 800 * (64 + 10) * 4]);
}

#[test]
fn a_step_that_diverges_ends_the_thread_that_makes_batches() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["optimizer.lr=1e12", "norm=none", "measure.start_and_end=false", "epochs=400"];
    let dir = folder.path().join("run");
    let error = on(2, |experiment| train(experiment, &dir, false, &mut ()).map(drop), &settings).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Numerical, "{error}");
}

#[test]
fn evaluations_and_measurements_see_the_samples_as_they_are() {
    let augmented = Experiment::new(config(&ALL)).unwrap();
    let settings: Vec<&str> = ALL.iter().filter(|setting| !setting.starts_with("augment.")).copied().collect();
    let plain = Experiment::new(config(&settings)).unwrap();
    let state = plain.initial_state();
    assert_eq!(augmented.samples(40).unwrap(), plain.samples(40).unwrap());
    let [one, other] = [&augmented, &plain].map(|experiment| {
        let mut evaluator = Evaluator::new(&experiment.network).unwrap();
        let found =
            evaluator.evaluate(&experiment.dataset, &experiment.dataset.test, &state.parameters, &state.buffers);
        let samples = experiment.samples(40).unwrap();
        let mut curvature = Curvature::new(&experiment.network, NormMode::Batch, samples, state.clone()).unwrap();
        (found.unwrap(), curvature.hessian_product(&vec![1.0; experiment.network.parameter_count()]).unwrap())
    });
    assert_eq!(one, other);
}

#[test]
fn wrong_labels_are_those_of_the_training_part_alone() {
    let right = Experiment::new(config(&["data.limit=500"])).unwrap().dataset;
    let noisy = Experiment::new(config(&["data.limit=500", "data.label_noise=0.3"])).unwrap().dataset;
    let wrong = right.train.labels().iter().zip(noisy.train.labels()).filter(|(a, b)| a != b).count();
    assert_eq!((wrong, &right.test), (150, &noisy.test));
}

#[test]
fn a_balanced_part_is_learned_from() {
    let dataset = Experiment::new(config(&["data.limit=333", "data.balanced=true"])).unwrap().dataset;
    let counts = dataset.train.class_counts(10);
    assert_eq!((dataset.train.len(), counts.iter().sum::<usize>()), (333, 333));
    assert!(counts.iter().all(|count| [33, 34].contains(count)), "{counts:?}");
    let whole = Experiment::new(config(&["data.balanced=true"])).unwrap().dataset.train;
    let rarest = Experiment::new(config(&[])).unwrap().dataset.train.class_counts(10).into_iter().min().unwrap();
    assert_eq!(whole.class_counts(10), vec![rarest; 10]);
}

#[test]
fn a_plan_names_the_transforms_in_their_order() {
    let plan = TrainingPlan::new(&Experiment::survey(config(&ALL)).unwrap()).unwrap();
    assert_eq!(
        plan.transforms,
        [
            "as many samples of each class",
            "0.2 of the labels wrong",
            "a new order each epoch",
            "crops within 2 pixels of reflections",
            "half of the images mirrored",
            "3×3 pixels cut out",
            "mixed in pairs by Beta(0.3, 0.3)",
            "normal noise of deviation 0.1",
        ]
    );
}

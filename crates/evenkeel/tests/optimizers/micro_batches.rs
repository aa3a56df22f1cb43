//! Batches that are taken in parts.

use crate::{experiment, flat, model, near, normed, samples};
use evenkeel::config::{Initialization, NormKind};
use evenkeel::graph::Tensor;
use evenkeel::optim::{Adam, Sgd, SharpnessAware};
use evenkeel::train::{StepResult, Trainer, TrainerOptions, TrainingPlan};
use evenkeel::{Batch, Network, State};

fn start(network: &Network) -> State {
    network.initial_state(Initialization::He, 2)
}

/// Four steps, each on a batch of its own.
fn trained(network: &Network, how: TrainerOptions) -> (Vec<f64>, Vec<StepResult>) {
    let mut trainer = Trainer::with(network, how, 12, start(network)).unwrap();
    let told = (0..4).map(|seed| trainer.step(&samples(12, 5, seed), 0.05).unwrap()).collect();
    (flat(trainer.parameters()), told)
}

#[test]
fn gradients_of_parts_add_up_to_that_of_the_batch() {
    let network = normed(NormKind::Layer);
    let how = || TrainerOptions::new(Adam::default()).clipped(0.4);
    let (whole, told) = trained(&network, how());
    for micro in [1, 3, 6, 12] {
        let (parts, told_of_parts) = trained(&network, how().in_micro_batches(micro));
        near(&parts, &whole, 1e-12);
        for (a, b) in told_of_parts.iter().zip(&told) {
            let numbers = |told: &StepResult| [told.loss, told.objective, told.accuracy, told.gradient_norm];
            near(&numbers(a), &numbers(b), 1e-12);
        }
    }
    assert_eq!(trained(&network, how().in_micro_batches(12)).0, whole);
}

#[test]
fn batch_norm_takes_the_statistics_of_each_part() {
    let network = normed(NormKind::Batch);
    let ghosts = {
        let norm = evenkeel::nn::NormSettings { epsilon: 0.0, ghost: Some(4), ..Default::default() };
        let layers = model(|cx, x| crate::traced(cx, x, NormKind::Batch));
        let loss = evenkeel::config::Loss::CrossEntropy;
        Network::with(Box::new(layers), &[5], evenkeel::graph::DType::F64, loss, norm).unwrap()
    };
    let parts = trained(&network, TrainerOptions::new(Sgd::PLAIN).in_micro_batches(4)).0;
    near(&parts, &trained(&ghosts, TrainerOptions::new(Sgd::PLAIN)).0, 1e-12);
}

#[test]
fn sharpness_aware_steps_look_around_once_for_each_part() {
    let network = normed(NormKind::Layer);
    let sharpness = SharpnessAware { rho: 0.3, adaptive: false };
    let how = || TrainerOptions::new(Sgd::PLAIN).sharpness_aware(sharpness);
    let mut parts = Trainer::with(&network, how().in_micro_batches(4), 12, start(&network)).unwrap();
    let batch = samples(12, 5, 7);
    parts.step(&batch, 0.1).unwrap();
    // By hand: the mean of the steps that each part would have made alone.
    let mut wanted = vec![0.0; flat(parts.parameters()).len()];
    for part in 0..3_u32 {
        let mut alone = Trainer::with(&network, how(), 4, start(&network)).unwrap();
        alone.step(&batch.take(&(4 * part..4 * part + 4).collect::<Vec<_>>()).unwrap(), 0.1).unwrap();
        wanted.iter_mut().zip(flat(alone.parameters())).for_each(|(sum, value)| *sum += value / 3.0);
    }
    near(&flat(parts.parameters()), &wanted, 1e-13);
}

#[test]
fn a_part_that_is_not_finite_leaves_all_as_it_was() {
    let network = normed(NormKind::Batch);
    for bad in [0, 5, 11] {
        let how = TrainerOptions::new(Adam::default()).in_micro_batches(4);
        let mut trainer = Trainer::with(&network, how, 12, start(&network)).unwrap();
        trainer.step(&samples(12, 5, 0), 0.1).unwrap();
        let before = (flat(trainer.parameters()), flat(trainer.optimizer_state()), flat(trainer.buffers()));
        let Batch { inputs, labels } = samples(12, 5, 1);
        let mut inputs = inputs.to_f64();
        inputs[bad * 5] = f64::NAN;
        let broken = Batch { inputs: Tensor::new([12, 5], inputs).unwrap(), labels };
        assert!(!trainer.step(&broken, 0.1).unwrap().is_finite());
        let after = (flat(trainer.parameters()), flat(trainer.optimizer_state()), flat(trainer.buffers()));
        assert_eq!(before, after, "{bad}");
        assert!(trainer.diagnose(&broken).unwrap().is_some());
        // Nothing of the failed step is in the next one.
        let mut clean = trainer.step(&samples(12, 5, 2), 0.1).unwrap();
        assert!(clean.is_finite());
        let how = TrainerOptions::new(Adam::default()).in_micro_batches(4);
        let mut again = Trainer::with(&network, how, 12, start(&network)).unwrap();
        again.step(&samples(12, 5, 0), 0.1).unwrap();
        again.set_noise(evenkeel::Noise { seed: 0, step: 2 });
        let wanted = again.step(&samples(12, 5, 2), 0.1).unwrap();
        clean.accuracy = wanted.accuracy;
        assert_eq!(clean, wanted);
        assert_eq!(flat(trainer.parameters()), flat(again.parameters()));
    }
}

#[test]
fn parts_take_less_memory_and_have_to_divide_the_batch() {
    let bytes = |settings: &[&str]| TrainingPlan::new(&experiment(settings)).unwrap().activation_bytes;
    assert!(bytes(&["micro_batch_size=8"]) < bytes(&[]) / 2);
    let network = normed(NormKind::Layer);
    let how = TrainerOptions::new(Sgd::PLAIN).in_micro_batches(5);
    let error = Trainer::with(&network, how, 12, start(&network)).err().unwrap().to_string();
    assert!(error.contains("micro_batch_size") && error.contains("12"), "{error}");
}

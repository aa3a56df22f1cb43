//! Which weights are scale-invariant, and what becomes of those that are rescaled.

use crate::{experiment, flat, gradient, model, near, network, normed, samples};
use evenkeel::config::{Initialization, NormKind, NormMode};
use evenkeel::curvature::Curvature;
use evenkeel::graph::Tensor;
use evenkeel::nn::Initial;
use evenkeel::norm::{Invariance, scale_invariant};
use evenkeel::optim::{Adam, Optimizer, Rescaled, Sgd};
use evenkeel::train::{Trainer, train};
use evenkeel::{Network, State};
use std::collections::BTreeMap;

fn found(network: &Network) -> Vec<(String, Invariance)> {
    scale_invariant(network).unwrap()
}

fn paths(found: &[(String, Invariance)]) -> Vec<&str> {
    found.iter().map(|(path, _)| path.as_str()).collect()
}

fn rescaled<O: Optimizer + Copy>(network: &Network, rule: O, every: u64) -> Rescaled<O> {
    let weights = found(network).into_iter().collect::<BTreeMap<_, _>>();
    Rescaled { undecayed: rule, rule, weights, every, length: 1.0, rescale_state: false }
}

#[test]
fn biases_before_a_norm_change_nothing_where_it_takes_off_the_mean_of_each_unit() {
    let batch = found(&normed(NormKind::Batch));
    assert_eq!(paths(&batch), ["fc1.weight", "fc2.weight"]);
    assert!(batch.iter().all(|(_, of)| *of == Invariance::Unit));
    for norm in [NormKind::Layer, NormKind::Group(Some(2)), NormKind::Rms, NormKind::None] {
        assert_eq!(paths(&found(&normed(norm))), Vec::<&str>::new(), "{norm}");
    }
}

#[test]
fn invariance_is_found_by_the_graph_whatever_layers_are_called() {
    // Convolutions without biases before layer-like norms: the layer as a whole.
    let grouped = network(
        model(|cx, x| {
            let y = cx.conv("a", x, 4, 3, 1, 1);
            let y = cx.group_norm("n", y, Some(2)).relu();
            cx.linear("head", y.mean(&[1, 2]), 3)
        }),
        &[5, 5, 2],
        0.0,
    );
    assert_eq!(found(&grouped), [("a.weight".to_owned(), Invariance::Layer)]);
    // A weight that is used twice, once without a norm behind it, and one whose output is added to something before the norm.
    let shared = network(
        model(|cx, x| {
            let w = cx.param("w", [5, 5], Initial::Constant(0.3));
            let y = cx.batch_norm("n1", x.matmul(w)).tanh();
            let z = cx.batch_norm("n2", x + cx.linear("sum", y, 5)).tanh();
            cx.linear("head", cx.batch_norm("n3", cx.linear("plain", z, 4)).tanh(), 3)
                + cx.linear("other", x.matmul(w), 3)
        }),
        &[5],
        0.0,
    );
    assert_eq!(paths(&found(&shared)), ["plain.weight"]);
    // Weight norm and weight standardization make their weights so themselves.
    let of = |settings: &[&str]| found(&experiment(settings).network);
    assert_eq!(paths(&of(&["norm=none", "weight_norm=normalized"])), ["fc1.weight_v", "head.weight_v"]);
    assert_eq!(paths(&of(&["norm=batch"])), ["fc1.weight"]);
    let resnet = of(&["model=resnet20", "norm=batch"]);
    assert_eq!(resnet.len(), 21, "{resnet:?}");
    assert!(!paths(&resnet).contains(&"head.weight"));
}

#[test]
fn a_step_on_a_circle_is_the_one_of_the_sheet() {
    // f(w) = ⟨a, w⟩ / ‖w‖ with a = (1, 2), w = (0.8, 0.6).
    let layers = model(|cx, x| {
        let w = cx.param("w", [2, 1], Initial::Constant(1.0));
        let a = cx.graph().constant(Tensor::new([2, 1], vec![1.0, 2.0]).unwrap());
        let value = (a * w).sum_all() / w.square().sum_all().sqrt();
        cx.add_loss(value.broadcast_to(&[x.shape()[0]].into()));
        cx.graph().splat(0.0, [x.shape()[0], 3], evenkeel::graph::DType::F64)
    });
    let circle = network(layers, &[1], 0.0);
    assert_eq!(found(&circle), [("w".to_owned(), Invariance::Unit)]);
    let at = |scale: f64| State {
        parameters: vec![Tensor::new([2, 1], vec![0.8 * scale, 0.6 * scale]).unwrap()],
        buffers: vec![],
    };
    near(&gradient(&circle, &samples(2, 1, 0), &at(1.0)), &[-0.6, 0.8], 1e-14);
    near(&gradient(&circle, &samples(2, 1, 0), &at(2.0)), &[-0.3, 0.4], 1e-14);
    let mut trainer = Trainer::new(&circle, rescaled(&circle, Sgd::PLAIN, 1), 2, at(2.0)).unwrap();
    // Brought to length 1 before the first step.
    near(&flat(trainer.parameters()), &[0.8, 0.6], 1e-15);
    trainer.step(&samples(2, 1, 0), 0.1).unwrap();
    near(&flat(trainer.parameters()), &[0.855731981, 0.517419337], 5e-9);
}

/// The columns of a weight `[in, out]` as unit vectors, and their squared lengths.
fn directions(weight: &Tensor) -> (Vec<f64>, Vec<f64>) {
    let (values, units) = (weight.to_f64(), weight.shape()[1]);
    let squares: Vec<f64> = (0..units).map(|u| values.iter().skip(u).step_by(units).map(|w| w * w).sum()).collect();
    (values.iter().enumerate().map(|(i, w)| w / squares[i % units].sqrt()).collect(), squares)
}

#[test]
fn rescaling_after_each_step_takes_the_path_of_rates_by_squared_lengths() {
    // One hidden unit a layer, so that a rate for each unit is a rate for each tensor.
    let layers = model(|cx, x| {
        let x = cx.batch_norm("norm1", cx.linear("fc1", x, 1)).tanh();
        cx.linear("head", x, 3)
    });
    let network = network(layers, &[5], 0.0);
    let state = network.initial_state(Initialization::He, 3);
    let batch = samples(9, 5, 2);
    let mut b = Trainer::new(&network, rescaled(&network, Sgd::PLAIN, 1), 9, state.clone()).unwrap();
    // A: plain descent, in which the weight before the norm has the rate η ‖w‖².
    let mut a: Vec<Vec<f64>> = state.parameters.iter().map(Tensor::to_f64).collect();
    for _ in 0..10 {
        let tensors: Vec<Tensor> = a
            .iter()
            .zip(&state.parameters)
            .map(|(values, like)| Tensor::from_f64(like.shape(), like.dtype(), values).unwrap())
            .collect();
        let whole = State { parameters: tensors, buffers: state.buffers.clone() };
        let slope = Curvature::new(&network, NormMode::Batch, batch.clone(), whole).unwrap().gradient().unwrap().1;
        let mut slope = slope.into_iter();
        for (values, info) in a.iter_mut().zip(network.parameters()) {
            let square: f64 = values.iter().map(|w| w * w).sum();
            let rate = if info.path == "fc1.weight" { 0.1 * square } else { 0.1 };
            values.iter_mut().for_each(|w| *w -= rate * slope.next().unwrap());
        }
        b.step(&batch, 0.1).unwrap();
        let (found, lengths) = directions(&b.parameters()[0]);
        let of_a = Tensor::new([5, 1], a[0].clone()).unwrap();
        near(&found, &directions(&of_a).0, 1e-12);
        near(&lengths, &[1.0], 1e-14);
        near(&flat(&b.parameters()[1..]), &a[1..].concat(), 1e-12);
    }
    assert!(
        directions(&Tensor::new([5, 1], a[0].clone()).unwrap()).1[0]
            > 1.001 * state.parameters[0].to_f64().iter().map(|w| w * w).sum::<f64>()
    );
}

#[test]
fn rescaling_changes_nothing_that_the_network_computes_and_only_when_it_is_due() {
    let network = normed(NormKind::Batch);
    let state = network.initial_state(Initialization::He, 5);
    let batch = samples(12, 5, 3);
    let mut trainer = Trainer::new(&network, rescaled(&network, Adam::default(), 3), 12, state.clone()).unwrap();
    let lengths = |trainer: &Trainer<'_>| directions(&trainer.parameters()[0]).1;
    near(&lengths(&trainer), &[1.0; 6], 1e-14);
    let before = Curvature::new(&network, NormMode::Batch, batch.clone(), state.clone()).unwrap().gradient().unwrap().0;
    let after =
        Curvature::new(&network, NormMode::Batch, batch.clone(), trainer.state()).unwrap().gradient().unwrap().0;
    near(&[after], &[before], 1e-12);
    for step in 1..=7 {
        trainer.step(&batch, 0.05).unwrap();
        let apart = lengths(&trainer).iter().map(|length| (length - 1.0).abs()).fold(0.0, f64::max);
        assert_eq!(apart < 1e-13, step % 3 == 0, "{step}: {apart:e}");
    }
    // Never due: the bare rule, bit for bit, from the rescaled start on.
    let mut never = Trainer::new(&network, rescaled(&network, Adam::default(), u64::MAX), 12, state).unwrap();
    let mut bare = Trainer::new(&network, Adam::default(), 12, never.state()).unwrap();
    for _ in 0..5 {
        never.step(&batch, 0.05).unwrap();
        bare.step(&batch, 0.05).unwrap();
    }
    assert_eq!(flat(never.parameters()), flat(bare.parameters()));
}

#[test]
fn velocities_and_moments_go_with_the_gradients_of_shorter_weights() {
    let network = normed(NormKind::Batch);
    let state = network.initial_state(Initialization::He, 5);
    let batch = samples(12, 5, 3);
    let kept = |rescale_state: bool| {
        let rule = Rescaled { rescale_state, length: 0.5, ..rescaled(&network, Adam::default(), 1) };
        let mut trainer = Trainer::new(&network, rule, 12, state.clone()).unwrap();
        trainer.step(&batch, 0.2).unwrap();
        (flat(&trainer.optimizer_state()[..2]), directions(&trainer.parameters()[0]).1)
    };
    let (plain, _) = kept(false);
    let (moved, lengths) = kept(true);
    near(&lengths, &[0.25; 6], 1e-14);
    // Every unit's moments by the factor n = ‖w‖ / ½ and its square.
    for (index, (moved, plain)) in moved.iter().zip(&plain).take(30).enumerate() {
        let factor = moved / plain;
        let square = kept(true).0[30 + index] / kept(false).0[30 + index];
        near(&[square], &[factor * factor], 1e-12);
        assert!((factor - 1.0).abs() > 1e-3, "{factor}");
    }
}

#[test]
fn rescaled_weights_do_not_decay_and_a_network_without_any_is_refused() {
    let rule = |experiment: &evenkeel::experiment::Experiment| experiment.trainer_options().unwrap();
    let settings = ["norm=batch", "weight_rescaling.every=1", "dtype=f64", "optimizer.momentum=0"];
    let plain = experiment(&settings);
    let decaying = experiment(&[&settings[..], &["optimizer.weight_decay=0.1"]].concat());
    let first = |experiment: &evenkeel::experiment::Experiment| {
        let mut trainer = Trainer::with(&experiment.network, rule(experiment), 64, experiment.initial_state()).unwrap();
        trainer.step(&experiment.samples(64).unwrap(), 0.1).unwrap();
        trainer.parameters().to_vec()
    };
    let (plain, decaying) = (first(&plain), first(&decaying));
    assert_eq!(plain[0], decaying[0]);
    let head = plain.len() - 2;
    assert_ne!(plain[head], decaying[head]);
    let folder = tempfile::tempdir().unwrap();
    let none = experiment(&["norm=none", "weight_rescaling.every=1"]);
    let error = train(&none, &folder.path().join("run"), false, &mut ()).unwrap_err().to_string();
    assert!(error.contains("no weight of the network is scale-invariant"), "{error}");
    assert!(!folder.path().join("run").exists());
}

#[test]
fn what_lies_outside_the_span_of_the_inputs_stays_without_decay_and_shrinks_with_it() {
    // Inputs of five numbers of which only three differ from 0: the last two rows of the weight get no gradient.
    let layers = model(|cx, x| {
        let x = cx.batch_norm("norm1", cx.linear("fc1", x, 4)).tanh();
        cx.linear("head", x, 3)
    });
    let network = network(layers, &[5], 0.0);
    let state = network.initial_state(Initialization::He, 1);
    let mut batch = samples(12, 5, 6);
    let inputs = batch.inputs.to_f64().iter().enumerate().map(|(i, x)| if i % 5 < 3 { *x } else { 0.0 }).collect();
    batch.inputs = Tensor::new([12, 5], inputs).unwrap();
    let outside = |rule: Box<dyn Optimizer>| {
        let mut trainer = Trainer::new(&network, rule, 12, state.clone()).unwrap();
        let first = trainer.parameters()[0].to_f64()[12..].to_vec();
        for _ in 0..20 {
            trainer.step(&batch, 0.1).unwrap();
        }
        (first, trainer.parameters()[0].to_f64()[12..].to_vec())
    };
    let (before, after) = outside(Box::new(Sgd::PLAIN));
    assert_eq!(before, after);
    let (before, after) = outside(Box::new(Sgd { weight_decay: 0.3, ..Sgd::PLAIN }));
    let shrunk: Vec<f64> = before.iter().map(|w| w * (1.0 - 0.1 * 0.3_f64).powi(20)).collect();
    near(&after, &shrunk, 1e-13);
    let (before, after) = outside(Box::new(rescaled(&network, Sgd::PLAIN, 1)));
    for unit in 0..4 {
        let factor = after[unit] / before[unit];
        near(&[after[unit + 4] / before[unit + 4]], &[factor], 1e-12);
        assert!(factor < 1.0, "{factor}");
    }
}

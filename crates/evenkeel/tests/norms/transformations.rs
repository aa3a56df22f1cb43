//! Folding, and running statistics taken anew.

use crate::support::{Dense, Net, images, near, network, normal, tensor};
use evenkeel::config::{Activation, Initialization, Loss, NormKind, NormMode, WeightNorm};
use evenkeel::curvature::Curvature;
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::models::build;
use evenkeel::nn::{Context, ImprovedGroup, Kept, Model, NormSettings, Targets};
use evenkeel::norm::{fold, recalibrate};
use evenkeel::optim::Sgd;
use evenkeel::train::Trainer;
use evenkeel::{Batch, Network, Result, State};

/// Norms that keep statistics and are constants without them.
const FOLDED: [NormKind; 6] =
    [NormKind::Batch, NormKind::NoisyBatch, NormKind::MeanOnly, NormKind::L1, NormKind::L2, NormKind::Linf];

/// A state as after training: nothing is 0 or 1.
fn trained(network: &Network) -> State {
    let State { parameters, buffers } = network.initial_state(Initialization::He, 5);
    let moved = |tensor: &Tensor, at: usize, by: f64| {
        let noise = normal(tensor.shape().elements(), at as u64);
        let values: Vec<f64> =
            tensor.to_f64().iter().zip(noise).map(|(value, noise)| value + by * noise.abs()).collect();
        Tensor::from_f64(tensor.shape(), tensor.dtype(), &values).unwrap()
    };
    State {
        parameters: parameters.iter().enumerate().map(|(at, tensor)| moved(tensor, at, 0.2)).collect(),
        buffers: buffers.iter().enumerate().map(|(at, tensor)| moved(tensor, at + 100, 0.7)).collect(),
    }
}

fn logits(network: &Network, state: &State, batch: &Batch) -> Vec<f64> {
    Curvature::new(network, NormMode::Running, batch.clone(), state.clone()).unwrap().logits().unwrap().to_f64()
}

/// The largest difference by the largest output.
fn difference(network: &Network, batch: &Batch) -> (f64, Network) {
    let state = trained(network);
    let (folded, folded_state) = fold(network, &state).unwrap();
    let (before, after) = (logits(network, &state, batch), logits(&folded, &folded_state, batch));
    let largest = before.iter().fold(0f64, |largest, value| largest.max(value.abs()));
    let apart = before.iter().zip(&after).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
    (apart / largest, folded)
}

#[test]
fn every_norm_that_is_a_constant_folds_into_the_layer_before_it_whatever_its_weights_are_made_of() {
    for weights in WeightNorm::ALL {
        for kind in FOLDED {
            let convolutions = network(Net(kind), *weights, &[4, 3, 2]).unwrap();
            let (apart, folded) = difference(&convolutions, &images(5));
            assert!(apart < 1e-12, "{kind}, weights {weights}: {apart:e}");
            let paths: Vec<&str> = folded.parameters().iter().map(|info| info.path.as_str()).collect();
            let wanted = ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "head.weight", "head.bias"];
            assert_eq!((&paths[..], folded.buffers().len()), (&wanted[..], 0));
            // A layer that has a bias of its own keeps it.
            let dense = network(Dense(kind), *weights, &[3]).unwrap();
            let rows = Batch { inputs: tensor(&[4, 3], &normal(12, 51)), labels: Tensor::zeros([4], DType::I32) };
            let (apart, folded) = difference(&dense, &rows);
            assert!(apart < 1e-12, "{kind}, weights {weights}: {apart:e}");
            assert_eq!(folded.parameters().len(), 2);
        }
    }
}

#[test]
fn networks_that_answer_with_numbers_fold() {
    struct Numbers;
    impl Model for Numbers {
        fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
            Dense(NormKind::Batch).forward(cx, x)
        }
        fn targets(&self) -> Targets {
            Targets::Numbers
        }
    }
    let network = Network::with(Box::new(Numbers), &[3], DType::F64, Loss::Squared, NormSettings::default()).unwrap();
    let answer = network.labels().0.elements();
    let labels = tensor(&[4, answer], &normal(4 * answer, 53));
    let (apart, folded) = difference(&network, &Batch { inputs: tensor(&[4, 3], &normal(12, 51)), labels });
    assert!(apart < 1e-12 && folded.targets() == Targets::Numbers, "{apart:e}");
}

#[test]
fn networks_of_the_zoo_fold_in_single_precision() {
    for (name, shape) in [("mlp:9-7", [4, 4, 3]), ("resnet20", [8, 8, 3]), ("vgg11", [32, 32, 3])] {
        let model = build(&name.parse().unwrap(), NormKind::Batch, Activation::Relu, 10);
        let network = Network::with(model, &shape, DType::F32, Loss::CrossEntropy, NormSettings::default()).unwrap();
        let count = 3 * shape.iter().product::<usize>();
        let inputs = Tensor::from_f64([&[3], &shape[..]].concat(), DType::F32, &normal(count, 52)).unwrap();
        let (apart, folded) = difference(&network, &Batch { inputs, labels: Tensor::zeros([3], DType::I32) });
        assert!(apart < 1e-5, "{name}: {apart:e}");
        assert!(folded.buffers().is_empty() && folded.parameters().iter().all(|info| !info.path.contains("norm")));
    }
}

#[test]
fn a_folded_network_has_nothing_left_to_fold_and_can_be_folded() {
    let network = network(Net(NormKind::Batch), WeightNorm::Normalized, &[4, 3, 2]).unwrap();
    let (folded, state) = fold(&network, &trained(&network)).unwrap();
    let (again, same) = fold(&folded, &state).unwrap();
    assert_eq!((again.parameters(), &same), (folded.parameters(), &state));
    assert_eq!(logits(&again, &same, &images(5)), logits(&folded, &state, &images(5)));
}

#[test]
fn norms_of_a_sample_stay_where_they_are_when_others_are_folded() {
    fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let x = cx.batch_norm("norm1", cx.linear("fc1", x, 6)).tanh();
        cx.layer_norm("norm2", cx.linear("fc2", x, 4))
    }
    let network = network(model, WeightNorm::None, &[3]).unwrap();
    let rows = Batch { inputs: tensor(&[4, 3], &normal(12, 53)), labels: Tensor::zeros([4], DType::I32) };
    let (apart, folded) = difference(&network, &rows);
    assert!(apart < 1e-12);
    assert!(folded.parameters().iter().any(|info| info.path == "norm2.weight"));
}

/// What folding says to a network that it cannot fold.
fn refusal(model: impl Model + 'static) -> String {
    let network = network(model, WeightNorm::None, &[4, 4, 2]).unwrap();
    let state = network.initial_state(Initialization::He, 1);
    fold(&network, &state).err().unwrap().to_string()
}

#[test]
fn a_norm_before_a_convolution_is_not_folded() {
    fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.head("head", cx.conv("conv", cx.batch_norm("first", x), 3, 3, 1, 1), 2)
    }
    insta::assert_snapshot!(refusal(model), @r#"
    a norm cannot be folded into the layer before it
      layer     first
      got       input in the place of a linear layer or a convolution
    hint: norms fold where they follow such a layer directly
    "#);
}

#[test]
fn a_norm_after_a_sum_is_not_folded() {
    fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let y = cx.conv("conv1", x, 2, 3, 1, 1) + x;
        cx.head("head", cx.batch_norm("norm", y).relu(), 2)
    }
    insta::assert_snapshot!(refusal(model), @r#"
    a norm cannot be folded into the layer before it
      layer     norm
      got       a sum that is no layer's with its bias
    "#);
}

#[test]
fn a_norm_whose_layer_is_read_by_others_is_not_folded() {
    fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let y = cx.conv("conv", x, 2, 3, 1, 1);
        cx.head("head", cx.batch_norm("norm", y) + y, 2)
    }
    insta::assert_snapshot!(refusal(model), @r#"
    a norm cannot be folded into the layer before it
      layer     norm
      got       an output that is read elsewhere, too
    "#);
}

#[test]
fn a_norm_whose_weights_serve_two_layers_is_not_folded() {
    fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let y = cx.batch_norm("norm1", cx.conv("conv", x, 2, 3, 1, 1)).tanh();
        cx.head("head", cx.batch_norm("norm2", cx.conv("conv", y, 2, 3, 1, 1)), 2)
    }
    insta::assert_snapshot!(refusal(model), @r#"
    a norm cannot be folded into the layer before it
      layer     norm1
      got       a product whose weights are used elsewhere, too
    "#);
}

#[test]
fn improved_group_norm_is_not_folded() {
    insta::assert_snapshot!(refusal(Net(NormKind::ImprovedGroup(None))), @r#"
    a norm cannot be folded into the layer before it
      layer     norm1
      got       a norm that takes statistics of each sample as well
    hint: use `--norm batch` for networks to fold
    "#);
}

/// Batch norm of the inputs, and what is made of it.
fn of_inputs<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    cx.head("head", cx.batch_norm("norm", x), 3)
}

fn rows(values: &[f64]) -> Batch {
    Batch { inputs: tensor(&[values.len(), 1], values), labels: Tensor::zeros([values.len()], DType::I32) }
}

#[test]
fn recalibrated_statistics_are_the_means_over_batches_and_not_those_of_all_samples() {
    let network = network(of_inputs, WeightNorm::None, &[1]).unwrap();
    let old = trained(&network);
    let of = |batches: &[&[f64]]| {
        let found = recalibrate(&network, &old, batches.iter().map(|values| Ok(rows(values)))).unwrap();
        assert_eq!(found.parameters, old.parameters);
        (found.buffers[0].to_f64()[0], found.buffers[1].to_f64()[0])
    };
    // Means 2 and 12, unbiased variances 2 and 8; together mean 7, and a variance that knows how far apart the means are.
    let (mean, variance) = of(&[&[1.0, 3.0], &[10.0, 14.0]]);
    near(&[mean, variance], &[7.0, 5.0], 1e-15);
    let pooled = [1.0f64, 3.0, 10.0, 14.0].iter().map(|x| (x - 7.0).powi(2)).sum::<f64>() / 3.0;
    assert!((variance - pooled).abs() > 30.0);
    // A batch counts by its samples: of 4 with mean 6 and unbiased variance 8, and of 2.
    let (mean, variance) = of(&[&[4.0, 4.0, 6.0, 10.0], &[1.0, 3.0]]);
    near(&[mean, variance], &[(4.0 * 6.0 + 2.0 * 2.0) / 6.0, (4.0 * 8.0 + 2.0 * 2.0) / 6.0], 1e-15);
}

#[test]
fn recalibration_is_what_cumulative_averaging_sees_while_nothing_moves() {
    let settings = NormSettings { cumulative: true, ..NormSettings::default() };
    for kind in FOLDED.into_iter().filter(|kind| *kind != NormKind::NoisyBatch).chain([NormKind::ImprovedGroup(None)]) {
        let network = Network::with(Box::new(Net(kind)), &[4, 3, 2], DType::F64, Loss::CrossEntropy, settings).unwrap();
        let state = network.initial_state(Initialization::Glorot, 3);
        let inputs = |seed| Batch { inputs: tensor(&[5, 4, 3, 2], &normal(120, seed)), ..images(5) };
        let mut trainer = Trainer::new(&network, Sgd::PLAIN, 5, state.clone()).unwrap();
        (0..3).for_each(|seed| {
            trainer.step(&inputs(seed), 0.0).unwrap();
        });
        let found = recalibrate(&network, &trained(&network), vec![]).err().unwrap();
        assert_eq!(found.what(), "running statistics need at least one batch to be taken from");
        let forgotten = State { buffers: trained(&network).buffers, ..state };
        let found = recalibrate(&network, &forgotten, (0..3).map(|seed| Ok(inputs(seed)))).unwrap();
        for ((found, wanted), info) in found.buffers.iter().zip(trainer.buffers()).zip(network.buffers()) {
            near(&found.to_f64(), &wanted.to_f64(), 1e-14);
            assert!(info.path.ends_with("num_batches_tracked") == (found.to_f64() == [3.0]), "{}", info.path);
        }
    }
}

#[test]
fn recalibration_refuses_a_single_sample_and_numbers_that_are_not_finite_with_the_layer() {
    let of = |kind, batch: Batch| -> Result<State> {
        let network = network(Net(kind), WeightNorm::None, &[4, 3, 2])?;
        recalibrate(&network, &network.initial_state(Initialization::He, 1), [Ok(batch)])
    };
    insta::assert_snapshot!(of(NormKind::ImprovedGroup(None), images(1)).unwrap_err(), @r#"
    a batch has no statistics to recalibrate with
      layer     norm1.running_mean
      got       a batch of 1 sample
    hint: use larger batches
    "#);
    let mut broken = images(3);
    broken.inputs = tensor(&[3, 4, 3, 2], &[f64::INFINITY; 72]);
    insta::assert_snapshot!(of(NormKind::Batch, broken).unwrap_err(), @r#"
    the statistics of a batch are not finite
      layer     norm1.running_mean
      batch     1
    "#);
}

#[test]
fn a_batch_of_one_value_a_channel_is_refused_with_the_layer_and_what_to_do() {
    let network = network(Dense(NormKind::Batch), WeightNorm::None, &[3]).unwrap();
    let state = network.initial_state(Initialization::He, 1);
    let one = Batch { inputs: tensor(&[1, 3], &[1.0; 3]), labels: Tensor::zeros([1], DType::I32) };
    let error = Curvature::new(&network, NormMode::Batch, one, state).unwrap().gradient().unwrap_err();
    insta::assert_snapshot!(error, @r#"
    batch normalization needs more than one value per channel
      layer     norm
      got       a batch of shape [1, 4]
    hint: use more samples (`--batch-size`, `measure.samples`), a norm of each sample (`--norm group`), or in a measurement running statistics
    "#);
}

#[test]
fn improved_group_norm_that_keeps_nothing_takes_the_statistics_of_the_batch_in_every_mode() {
    fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let choices = ImprovedGroup { kept: Kept::Nothing, ..ImprovedGroup::default() };
        cx.head("head", cx.improved_group_norm("norm", cx.conv("conv1", x, 4, 3, 1, 1), choices), 3)
    }
    let nothing = network(model, WeightNorm::None, &[4, 3, 2]).unwrap();
    assert!(nothing.buffers().is_empty() && nothing.couples_samples(NormMode::Running));
    let state = nothing.initial_state(Initialization::Glorot, 3);
    // Many samples are one batch, as their statistics are.
    let of =
        |mode, count| Curvature::new(&nothing, mode, images(count), state.clone()).unwrap().logits().unwrap().to_f64();
    for mode in NormMode::ALL {
        near(&of(*mode, 130), &of(NormMode::Batch, 130), 0.0);
        assert_ne!(of(*mode, 5)[..3], of(*mode, 3)[..3]);
    }
    let single = of(NormMode::Running, 1);
    assert!(single.iter().all(|logit| logit.is_finite()));
}

#[test]
fn one_sample_has_no_statistics_of_improved_group_norm_to_freeze() {
    let network = network(Net(NormKind::ImprovedGroup(None)), WeightNorm::None, &[4, 3, 2]).unwrap();
    let state = network.initial_state(Initialization::He, 1);
    let error = Curvature::new(&network, NormMode::Frozen, images(1), state).err().unwrap();
    insta::assert_snapshot!(error, @r#"
    a layer takes no statistics of so few samples, so that there are none to freeze
      layer     norm1.mean
      expected  at least 2 samples
      got       1
    hint: measure over more samples, or use norm mode `running`
    "#);
}

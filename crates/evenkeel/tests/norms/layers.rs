//! Values, gradients and refusals of each layer against closed forms and finite differences.

use crate::support::{Dense, Found, Given, Net, apply, exact, images, near, network, normal, tensor};
use evenkeel::Network;
use evenkeel::config::{Initialization, Loss, NormKind, NormMode, WeightNorm};
use evenkeel::curvature::Curvature;
use evenkeel::graph::{DType, Tensor};
use evenkeel::models::Transformer;
use evenkeel::nn::{BatchAxes, Deviation, GroupForm, ImprovedGroup, Initial, NormSettings};

fn column() -> Tensor {
    tensor(&[4, 1], &[1.0, 2.0, 3.0, 6.0])
}

const FIRST: [f64; 4] = [1.0, 0.0, 0.0, 0.0];

#[test]
fn batch_norm_of_a_column_has_the_values_and_gradients_of_the_closed_form() {
    let found = apply(exact(), &column(), &FIRST, &[], |cx, x| cx.batch_norm("norm", x));
    near(&found.output, &[-1.069_045_0, -0.534_522_5, 0.0, 1.603_567_5], 1e-7);
    near(&found.by_input, &[0.248_171_2, -0.209_991_0, -0.133_630_6, 0.095_450_4], 1e-7);
    near(&found.by_parameter["norm.weight"], &[-1.069_045_0], 1e-7);
    near(&found.by_parameter["norm.bias"], &[1.0], 1e-15);
    near(&found.buffers["norm.running_mean"], &[0.3], 1e-15);
    near(&found.buffers["norm.running_var"], &[0.9 + 0.1 * 14.0 / 3.0], 1e-15);
    // The gradient lies in neither of the two directions that are projected out.
    let along: f64 = found.by_input.iter().zip(&found.output).map(|(d, y)| d * y).sum();
    assert!(along.abs() < 1e-15 && found.by_input.iter().sum::<f64>().abs() < 1e-15);
    // ‖d‖² = (γ² / σ²) (‖g‖² − ⟨1, g⟩² / m − ⟨g, y⟩² / m)
    near(&[found.by_input.iter().map(|d| d * d).sum()], &[(1.0 - 0.25 - 0.285_714_285_7) / 3.5], 1e-9);
}

#[test]
fn batch_norm_of_two_values_is_a_sign_that_learns_nothing() {
    let found = apply(exact(), &tensor(&[2, 1], &[7.5, -3.0]), &[1.0, 5.0], &[], |cx, x| cx.batch_norm("norm", x));
    near(&found.output, &[1.0, -1.0], 1e-15);
    near(&found.by_input, &[0.0, 0.0], 1e-15);
}

#[test]
fn batch_norm_with_the_deviation_and_the_mean_as_scale_and_shift_is_the_identity() {
    let given: Given<'_> = &[("norm.weight", &[3.5f64.sqrt()]), ("norm.bias", &[3.0])];
    let found = apply(exact(), &column(), &FIRST, given, |cx, x| cx.batch_norm("norm", x));
    near(&found.output, &[1.0, 2.0, 3.0, 6.0], 1e-15);
}

#[test]
fn batch_norm_of_images_is_that_of_all_their_positions() {
    let (values, upstream) = (normal(60, 1), normal(60, 2));
    let images = apply(exact(), &tensor(&[2, 5, 2, 3], &values), &upstream, &[], |cx, x| cx.batch_norm("norm", x));
    let rows = apply(exact(), &tensor(&[20, 3], &values), &upstream, &[], |cx, x| cx.batch_norm("norm", x));
    near(&images.output, &rows.output, 1e-14);
    near(&images.by_input, &rows.by_input, 1e-13);
    near(&images.buffers["norm.running_var"], &rows.buffers["norm.running_var"], 1e-14);
}

#[test]
fn running_statistics_move_by_the_momentum_or_are_the_mean_of_what_was_seen() {
    // Mean 1, unbiased variance 4, three times.
    let x = tensor(&[3, 1], &[-1.0, 1.0, 3.0]);
    let run = |cumulative| {
        let settings = NormSettings { cumulative, ..exact() };
        let mut found = apply(settings, &x, &[0.0; 3], &[], |cx, x| cx.batch_norm("norm", x));
        for _ in 0..2 {
            let kept = found.buffers.clone();
            let given: Vec<(&str, &[f64])> = kept.iter().map(|(path, values)| (path.as_str(), &values[..])).collect();
            found = apply(settings, &x, &[0.0; 3], &given, |cx, x| cx.batch_norm("norm", x));
        }
        found.buffers
    };
    let moved = run(false);
    near(&moved["norm.running_mean"], &[0.271], 1e-14);
    near(&moved["norm.running_var"], &[1.813], 1e-14);
    let mean = run(true);
    near(&mean["norm.running_mean"], &[1.0], 1e-14);
    near(&mean["norm.running_var"], &[4.0], 1e-14);
    assert_eq!(mean["norm.num_batches_tracked"], [3.0]);
}

#[test]
fn ghost_batches_are_normalized_apart_and_leave_the_mean_of_their_statistics() {
    let (values, upstream) = (normal(2 * 6 * 4, 3), normal(2 * 6 * 4, 4));
    let settings = NormSettings { ghost: Some(3), momentum: 1.0, ..exact() };
    let norm =
        |settings, x: &Tensor, upstream: &[f64]| apply(settings, x, upstream, &[], |cx, x| cx.batch_norm("norm", x));
    let whole = norm(settings, &tensor(&[6, 2, 2, 2], &values), &upstream);
    let halves = [0, 24].map(|at| norm(settings, &tensor(&[3, 2, 2, 2], &values[at..at + 24]), &upstream[at..at + 24]));
    near(&whole.output, &[&halves[0].output[..], &halves[1].output].concat(), 1e-14);
    near(&whole.by_input, &[&halves[0].by_input[..], &halves[1].by_input].concat(), 1e-13);
    for buffer in ["norm.running_mean", "norm.running_var"] {
        let mean: Vec<f64> =
            halves[0].buffers[buffer].iter().zip(&halves[1].buffers[buffer]).map(|(a, b)| (a + b) / 2.0).collect();
        near(&whole.buffers[buffer], &mean, 1e-14);
    }
}

#[test]
fn a_large_offset_leaves_the_variance_of_f32_activations_right() {
    let values: Vec<f64> = normal(4096, 5).iter().map(|value| 1e4 + value).collect();
    let x = Tensor::from_f64([4096, 1], DType::F32, &values).unwrap();
    let settings = NormSettings { momentum: 1.0, ..NormSettings::default() };
    let found = apply(settings, &x, &[0.0; 4096], &[], |cx, x| cx.batch_norm("norm", x));
    let rounded = x.to_f64();
    let mean = rounded.iter().sum::<f64>() / 4096.0;
    let variance = rounded.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4095.0;
    near(&found.buffers["norm.running_var"], &[variance], 1e-3);
}

#[test]
fn norms_of_the_batch_divide_by_the_size_before_the_mean_is_subtracted() {
    let of = |kind| apply(exact(), &column(), &FIRST, &[], |cx, x| cx.normalize(kind, "norm", x));
    near(&of(NormKind::L1).output, &[-2.0 / 3.0, -1.0 / 3.0, 0.0, 1.0], 1e-15);
    near(&of(NormKind::L2).output, &[-0.565_685, -0.282_843, 0.0, 0.848_528], 1e-6);
    near(&of(NormKind::Linf).output, &[-1.0 / 3.0, -1.0 / 6.0, 0.0, 0.5], 1e-15);
    near(&of(NormKind::Linf).buffers["norm.running_norm"], &[0.9 + 0.6], 1e-15);
}

#[test]
fn mean_only_batch_norm_subtracts_the_mean_from_values_and_gradients() {
    let found = apply(exact(), &column(), &FIRST, &[], |cx, x| cx.mean_only_batch_norm("norm", x));
    near(&found.output, &[-2.0, -1.0, 0.0, 3.0], 1e-15);
    near(&found.by_input, &[0.75, -0.25, -0.25, -0.25], 1e-15);
    near(&found.buffers["norm.running_mean"], &[0.3], 1e-15);
    assert_eq!(found.buffers.len(), 1);
}

/// Improved group normalization as in the authors' code.
fn improved(form: GroupForm, x: &Tensor, given: Given<'_>) -> Vec<f64> {
    let choices = ImprovedGroup { form, groups: Some(1), axes: BatchAxes::Samples, ..ImprovedGroup::default() };
    let upstream = vec![1.0; x.to_f64().len()];
    apply(NormSettings::default(), x, &upstream, given, |cx, x| cx.improved_group_norm("norm", x, choices)).output
}

#[test]
fn improved_group_norm_has_the_values_of_the_authors_code() {
    let two = tensor(&[2, 3], &[1.0, 2.0, 6.0, 0.0, 4.0, 2.0]);
    let three = tensor(&[3, 3], &[1.0, 2.0, 6.0, 0.0, 4.0, 2.0, 3.0, 3.0, 0.0]);
    let wanted: [(GroupForm, [f64; 6], [f64; 9]); 3] = [
        (
            GroupForm::GroupFirst,
            [-0.362467, -0.466481, 1.019107, -0.921214, 0.921223, -0.190168],
            [-0.667630, -0.572615, 1.097060, -0.923369, 0.959714, 0.001630, 0.729393, 0.489717, -1.113899],
        ),
        (
            GroupForm::BatchFirst,
            [0.612236, -1.034312, 0.612245, -0.612236, 1.034312, -0.612245],
            [-0.180355, -0.931523, 1.077690, -0.882768, 1.061445, -0.203176, 1.050009, -0.054040, -0.937282],
        ),
        (
            GroupForm::Parallel,
            [-0.362459, -0.466482, 1.019109, -0.921223, 0.921224, -0.190170],
            [-0.611314, -0.545252, 1.122378, -0.965805, 0.999994, -0.058688, 0.715512, 0.422074, -1.078899],
        ),
    ];
    for (form, of_two, of_three) in wanted {
        near(&improved(form, &two, &[]), &of_two, 1e-6);
        near(&improved(form, &three, &[]), &of_three, 1e-6);
    }
    // Samples that agree after the groups: the batch has nothing to say, and its deviation of 0 makes no NaN.
    let agreeing = tensor(&[2, 2], &[1.0, 3.0, 5.0, 7.0]);
    near(&improved(GroupForm::GroupFirst, &agreeing, &[]), &[-0.516933, 0.516933, -0.516933, 0.516933], 1e-6);
}

#[test]
fn the_gate_of_improved_group_norm_leads_from_group_norm_to_the_batch() {
    let x = tensor(&[3, 2, 2, 4], &normal(48, 6));
    let upstream = normal(48, 7);
    let of = |lambda: f64, deviation| {
        let choices = ImprovedGroup { groups: Some(2), deviation, ..ImprovedGroup::default() };
        apply(exact(), &x, &upstream, &[("norm.lambda", &[lambda])], |cx, x| cx.improved_group_norm("norm", x, choices))
    };
    let group = apply(exact(), &x, &upstream, &[], |cx, x| cx.group_norm("norm", x, Some(2)));
    let open = of(60.0, Deviation::Population);
    near(&open.output, &group.output, 1e-14);
    near(&open.by_input, &group.by_input, 1e-13);
    let batch = apply(exact(), &x, &upstream, &[], |cx, x| {
        let grouped = cx.group_norm("inner", x, Some(2));
        cx.batch_norm("norm", grouped)
    });
    near(&of(-60.0, Deviation::Population).output, &batch.output, 1e-13);
    // The gate's own gradient: σ(1 − σ) Σ upstream · (g − b).
    let share = 1.0 / (1.0 + (-1f64).exp());
    let wanted: f64 = (0..48).map(|n| share * (1.0 - share) * upstream[n] * (group.output[n] - batch.output[n])).sum();
    near(&of(1.0, Deviation::Population).by_parameter["norm.lambda"], &[wanted], 1e-12);
}

#[test]
fn improved_group_norm_of_one_sample_is_group_norm_and_leaves_the_running_statistics() {
    let x = tensor(&[1, 2, 2, 4], &normal(16, 8));
    let group = apply(exact(), &x, &[1.0; 16], &[], |cx, x| {
        let choices = ImprovedGroup { groups: Some(2), deviation: Deviation::Population, ..ImprovedGroup::default() };
        cx.improved_group_norm("norm", x, choices)
    });
    let wanted = apply(exact(), &x, &[1.0; 16], &[], |cx, x| cx.group_norm("norm", x, Some(2)));
    near(&group.output, &wanted.output, 1e-15);
    assert_eq!(group.buffers["norm.running_mean"], [0.0; 4]);
    assert_eq!(group.buffers["norm.running_var"], [1.0; 4]);
}

#[test]
fn one_group_is_layer_norm_and_a_group_a_channel_is_instance_norm() {
    let (rows, images) = (tensor(&[3, 4], &normal(12, 9)), tensor(&[3, 2, 2, 4], &normal(48, 9)));
    let of =
        |kind, x: &Tensor| apply(exact(), x, &normal(x.to_f64().len(), 1), &[], |cx, x| cx.normalize(kind, "norm", x));
    near(&of(NormKind::Group(Some(1)), &rows).by_input, &of(NormKind::Layer, &rows).by_input, 1e-13);
    near(&of(NormKind::Group(Some(4)), &images).by_input, &of(NormKind::Instance, &images).by_input, 1e-13);
}

#[test]
fn activations_without_any_size_have_finite_values_and_gradients() {
    for kind in NormKind::ALL {
        let zeros = tensor(&[2, 2, 2, 4], &[0.0; 32]);
        let found = apply(NormSettings::default(), &zeros, &normal(32, 2), &[], |cx, x| cx.normalize(*kind, "norm", x));
        let all = [&found.output[..], &found.by_input].concat();
        assert!(all.iter().all(|number| number.is_finite()), "{kind}: {all:?}");
    }
}

/// The weights of a layer of one unit, by its parameters.
fn weights(kind: WeightNorm, given: Given<'_>, upstream: &[f64]) -> Found {
    let settings = NormSettings { weights: kind, ..NormSettings::default() };
    let count = upstream.len();
    apply(settings, &tensor(&[1], &[0.0]), upstream, given, |cx, _| {
        cx.weight("weight", [count, 1], Initial::Weight { fan_in: count, fan_out: 1 })
    })
}

#[test]
fn normalized_weights_have_a_length_and_a_direction_that_learn_apart() {
    let of = |v: &[f64]| weights(WeightNorm::Normalized, &[("weight_v", v), ("weight_g", &[2.0])], &[1.0, 1.0]);
    let found = of(&[3.0, 4.0]);
    near(&found.output, &[1.2, 1.6], 1e-15);
    near(&found.by_parameter["weight_g"], &[1.4], 1e-15);
    near(&found.by_parameter["weight_v"], &[0.064, -0.048], 1e-15);
    let twice = of(&[6.0, 8.0]);
    near(&twice.output, &found.output, 1e-15);
    near(&twice.by_parameter["weight_v"], &[0.032, -0.024], 1e-15);
    near(&of(&[-3.0, -4.0]).output, &[-1.2, -1.6], 1e-15);
    // A unit without a direction is silent and stays so.
    let none = of(&[0.0, 0.0]);
    assert_eq!((&none.output[..], &none.by_parameter["weight_v"][..]), (&[0.0; 2][..], &[0.0; 2][..]));
    assert_eq!(none.by_parameter["weight_g"], [0.0]);
}

#[test]
fn standardized_weights_have_mean_0_and_unbiased_deviation_1() {
    let found = weights(WeightNorm::Standardized, &[("weight", &[1.0, 2.0, 3.0, 4.0])], &[1.0, 0.0, 0.0, 0.0]);
    near(&found.output, &[-1.161_886, -0.387_295, 0.387_295, 1.161_886], 1e-6);
    assert!(found.by_parameter["weight"].iter().sum::<f64>().abs() < 1e-15);
    let equal = weights(WeightNorm::Standardized, &[("weight", &[2.0; 4])], &[1.0; 4]);
    assert!(equal.output.iter().chain(&equal.by_parameter["weight"]).all(|number| *number == 0.0));
}

#[test]
fn gradients_and_hessian_products_through_every_norm_are_those_of_finite_differences() {
    let each = NormKind::ALL.iter().map(|kind| (*kind, WeightNorm::None));
    let made =
        WeightNorm::ALL.iter().flat_map(|weights| [(NormKind::Batch, *weights), (NormKind::Group(Some(2)), *weights)]);
    for (kind, weights) in each.chain(made) {
        let network = network(Net(kind), weights, &[4, 3, 2]).unwrap();
        let state = network.initial_state(Initialization::Glorot, 3);
        let flat: Vec<f64> = state.parameters.iter().flat_map(Tensor::to_f64).collect();
        let v: Vec<f64> = normal(flat.len(), 5);
        let at = |step: f64| {
            let mut moved = state.clone();
            let mut offset = 0;
            for parameter in &mut moved.parameters {
                let count = parameter.to_f64().len();
                let values: Vec<f64> = (offset..offset + count).map(|n| flat[n] + step * v[n]).collect();
                *parameter = Tensor::from_f64(parameter.shape(), DType::F64, &values).unwrap();
                offset += count;
            }
            moved
        };
        let mut curvature = Curvature::new(&network, NormMode::Batch, images(5), state.clone()).unwrap();
        let product = curvature.hessian_product(&v).unwrap();
        let (_, gradient) = curvature.gradient().unwrap();
        let mut probe = |step: f64| {
            curvature.move_to(at(step)).unwrap();
            curvature.gradient().unwrap()
        };
        let step = 1e-5;
        let ((high, up), (low, down)) = (probe(step), probe(-step));
        let slope: f64 = gradient.iter().zip(&v).map(|(g, v)| g * v).sum();
        assert!(((high - low) / (2.0 * step) - slope).abs() < 1e-7, "{kind}, weights {weights}");
        let off: f64 = (0..v.len()).map(|n| ((up[n] - down[n]) / (2.0 * step) - product[n]).powi(2)).sum();
        let size: f64 = product.iter().map(|p| p * p).sum();
        assert!(off.sqrt() < 1e-6 * size.sqrt(), "{kind}, weights {weights}: {:e}", (off / size).sqrt());
    }
}

#[test]
fn frozen_statistics_of_the_batch_give_the_outputs_of_the_batch() {
    for kind in NormKind::ALL.iter().filter(|kind| kind.is_over_batch()) {
        let network = network(Net(*kind), WeightNorm::None, &[4, 3, 2]).unwrap();
        let state = network.initial_state(Initialization::Glorot, 3);
        let of = |mode| Curvature::new(&network, mode, images(5), state.clone()).unwrap().logits().unwrap().to_f64();
        near(&of(NormMode::Frozen), &of(NormMode::Batch), 1e-13);
    }
}

#[test]
fn an_output_depends_on_its_companions_only_where_statistics_are_those_of_the_batch() {
    for kind in NormKind::ALL {
        let network = network(Net(*kind), WeightNorm::Normalized, &[4, 3, 2]).unwrap();
        let state = network.initial_state(Initialization::Glorot, 3);
        let first = |mode, count| {
            let curvature = Curvature::new(&network, mode, images(count), state.clone()).unwrap();
            curvature.logits().unwrap().to_f64()[..3].to_vec()
        };
        assert_eq!(first(NormMode::Running, 5), first(NormMode::Running, 3), "{kind}");
        let same = first(NormMode::Batch, 5) == first(NormMode::Batch, 3);
        assert_eq!(same, !kind.is_over_batch(), "{kind}");
    }
}

#[test]
fn a_network_with_normalized_weights_starts_with_their_lengths() {
    let network = network(Net(NormKind::Batch), WeightNorm::Normalized, &[4, 3, 2]).unwrap();
    let state = network.initial_state(Initialization::He, 1);
    let of = |path: &str| {
        let at = network.parameters().iter().position(|info| info.path == path).unwrap();
        state.parameters[at].to_f64()
    };
    let (v, g) = (of("conv1.weight_v"), of("conv1.weight_g"));
    for (unit, length) in g.iter().enumerate() {
        let square: f64 = v.iter().skip(unit).step_by(4).map(|v| v * v).sum();
        near(&[*length], &[square.sqrt()], 1e-14);
    }
}

#[test]
fn groups_that_do_not_divide_the_channels_are_refused_with_the_layer() {
    let error = network(Net(NormKind::Group(Some(3))), WeightNorm::None, &[4, 3, 2]).err().unwrap();
    insta::assert_snapshot!(error, @r#"
    the groups of group normalization do not divide its channels
      layer     norm1
      expected  a divisor of 4: 1, 2, 4
      got       3
    hint: leave the number out to take one that fits, as in `--norm group`
    "#);
}

#[test]
fn groups_of_a_single_value_are_refused_with_the_layer() {
    let error = network(Dense(NormKind::Group(Some(4))), WeightNorm::None, &[3]).err().unwrap();
    insta::assert_snapshot!(error, @r#"
    group normalization needs more than one value per group
      layer     norm
      got       a batch of shape [2, 4]
    hint: use fewer groups
    "#);
}

#[test]
fn instance_norm_without_positions_is_refused_with_what_to_use() {
    let error = network(Dense(NormKind::Instance), WeightNorm::None, &[3]).err().unwrap();
    insta::assert_snapshot!(error, @r#"
    instance normalization needs more than one value per channel of a sample
      layer     norm
      got       a batch of shape [2, 4]
    hint: instance normalization is for layers over positions: use `layer` or `batch` here
    "#);
}

#[test]
fn one_weight_a_unit_cannot_be_standardized() {
    let error = network(Dense(NormKind::None), WeightNorm::Standardized, &[1]).err().unwrap();
    insta::assert_snapshot!(error, @r#"
    weight standardization needs more than one weight per unit
      layer     fc
      got       weights of shape [1, 4]
    hint: use `weight_norm=none` or `weight_norm=normalized`
    "#);
}

#[test]
fn a_transformer_refuses_statistics_over_positions() {
    let transformer = Transformer { norm: NormKind::Batch, ..Transformer::default() };
    let error = network(transformer, WeightNorm::None, &[8]).err().unwrap();
    insta::assert_snapshot!(error, @r#"
    a transformer cannot have norm batch: a position would know those that follow it
      layer     blocks.0.norm1
      expected  a norm over the channels of one position: layer, rms, group or none
    hint: leave `--norm` out to take layer
    "#);
}

#[test]
fn ghost_batches_that_do_not_divide_the_batch_are_refused_with_the_layer() {
    let settings = NormSettings { ghost: Some(2), ..NormSettings::default() };
    let model = Box::new(Net(NormKind::Batch));
    let network = Network::with(model, &[4, 3, 2], DType::F64, Loss::CrossEntropy, settings).unwrap();
    let state = network.initial_state(Initialization::He, 1);
    let error = Curvature::new(&network, NormMode::Batch, images(5), state).unwrap().gradient().unwrap_err();
    insta::assert_snapshot!(error, @r#"
    the ghost batches of batch normalization do not divide the batch
      layer     norm1
      expected  a multiple of 2 samples
      got       5
    hint: change `batch_norm.ghost`, or the number of samples
    "#);
}

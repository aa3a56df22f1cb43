//! Noise in the parameters while the gradient is taken: what is drawn when, and what it amounts to.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{
    Initialization, Loss, NoiseDistribution, NoiseGroups, NoiseInjectionConfig, NoiseScaling, NoiseScheme, NormKind,
    NormMode,
};
use evenkeel::curvature::Curvature;
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::models::{Mlp, ResNet};
use evenkeel::nn::{Context, Initial, Model, NormSettings};
use evenkeel::optim::Sgd;
use evenkeel::regularize::{NoiseInjection, TraceEstimate, expected_regularizer, noise_variance};
use evenkeel::train::{Trainer, TrainerOptions};
use evenkeel::{Batch, Network, Noise, State, study};

const PLAIN: Sgd = Sgd::PLAIN;

fn settings(scheme: NoiseScheme, sigma: f64) -> NoiseInjectionConfig {
    NoiseInjectionConfig { scheme, sigma, ..NoiseInjectionConfig::default() }
}

fn network(model: impl Model + 'static, input: &[usize], loss: Loss) -> Network {
    Network::with(Box::new(model), input, DType::F64, loss, NormSettings::default()).unwrap()
}

fn flat(tensors: &[Tensor]) -> Vec<f64> {
    tensors.iter().flat_map(Tensor::to_f64).collect()
}

/// f = ½ Σ p² over two layers, whatever the data: the gradient is what is computed with in place of p.
fn bowl<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let mut sum = x.sum(&[1]) * 0.0;
    for (layer, inputs) in [("fc1", 40), ("fc2", 300)] {
        let _scope = cx.scope(layer);
        sum = sum + cx.param("weight", [inputs, 20], Initial::Normal(1.0)).square().sum_all() * 0.5;
        sum = sum + cx.param("bias", [20], Initial::Normal(1.0)).square().sum_all() * 0.5;
    }
    cx.add_loss(sum);
    cx.graph().splat(0.0, [x.shape()[0], 2], x.dtype())
}

/// The noise of one step in each parameter: a step of rate 1 down the bowl leaves p − (p + a ε).
fn drawn(how: &NoiseInjectionConfig, noise: Noise) -> Vec<Vec<f64>> {
    let network = network(bowl, &[1], Loss::CrossEntropy);
    let injection = NoiseInjection::new(&network, how).unwrap();
    let state = network.initial_state(Initialization::He, 4);
    let samples = Batch { inputs: Tensor::zeros([2, 1], DType::F64), labels: Tensor::zeros([2], DType::I32) };
    let mut trainer = Trainer::with(&network, TrainerOptions::new(PLAIN).perturbed(injection), 2, state).unwrap();
    trainer.set_noise(noise);
    trainer.step(&samples, 1.0).unwrap();
    trainer.parameters().iter().map(|tensor| tensor.to_f64().iter().map(|value| -value).collect()).collect()
}

fn deviation(values: &[f64]) -> f64 {
    (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
}

/// Which parameters are perturbed at a step.
fn perturbed(how: &NoiseInjectionConfig, noise: Noise) -> Vec<bool> {
    drawn(how, noise).iter().map(|values| deviation(values) > 1e-9).collect()
}

#[test]
fn a_cyclic_scheme_perturbs_tensor_t_mod_m_at_step_t_and_each_once_in_m_steps() {
    let how = settings(NoiseScheme::LayerCyclic, 0.3);
    for step in 0..8 {
        let found = perturbed(&how, Noise { seed: 1, step });
        assert_eq!(found, (0..4).map(|index| index == step % 4).collect::<Vec<_>>(), "step {step}");
    }
    let large = &drawn(&how, Noise { seed: 1, step: 2 })[2];
    assert!((deviation(large) / 0.3 - 1.0).abs() < 0.05, "{}", deviation(large));
}

#[test]
fn groups_are_tensors_layers_or_weights_alone() {
    let of = |groups, step| {
        perturbed(&NoiseInjectionConfig { groups, ..settings(NoiseScheme::LayerCyclic, 0.3) }, Noise { seed: 1, step })
    };
    assert_eq!(of(NoiseGroups::Layer, 2), [true, true, false, false]);
    assert_eq!(of(NoiseGroups::Layer, 3), [false, false, true, true]);
    assert_eq!(of(NoiseGroups::Weights, 4), [true, false, false, false]);
    assert_eq!(of(NoiseGroups::Weights, 5), [false, false, true, false]);
    let all = NoiseInjectionConfig { groups: NoiseGroups::Weights, ..settings(NoiseScheme::All, 0.3) };
    assert_eq!(perturbed(&all, Noise { seed: 1, step: 0 }), [true, false, true, false]);
    let weight = &drawn(&all, Noise { seed: 1, step: 0 })[2];
    assert!((deviation(weight) / (0.3 / 2.0_f64.sqrt()) - 1.0).abs() < 0.05, "M counts what is perturbed");
}

#[test]
fn noise_everywhere_has_the_deviation_sigma_over_root_m_unless_it_is_not_scaled() {
    for (scaling, wanted) in [(NoiseScaling::PerGroup, 0.3 / 2.0), (NoiseScaling::None, 0.3)] {
        for distribution in [NoiseDistribution::Normal, NoiseDistribution::Sign] {
            let how = NoiseInjectionConfig { scaling, distribution, ..settings(NoiseScheme::All, 0.3) };
            let noise = drawn(&how, Noise { seed: 1, step: 9 });
            let all = noise.concat();
            assert!((deviation(&all) / wanted - 1.0).abs() < 0.03, "{}", deviation(&all));
            assert!(all.iter().sum::<f64>().abs() < 4.0 * wanted * (all.len() as f64).sqrt());
            assert_ne!(noise[0][..20], noise[1][..], "two tensors have noise of their own");
            if distribution == NoiseDistribution::Sign {
                assert!(all.iter().all(|value| (value.abs() - wanted).abs() < 1e-12));
            }
        }
    }
}

#[test]
fn a_random_scheme_takes_every_group_about_equally_often() {
    let network = network(bowl, &[1], Loss::CrossEntropy);
    let how = settings(NoiseScheme::LayerRandom, 0.3);
    let injection = NoiseInjection::new(&network, &how).unwrap();
    let mut times = [0; 4];
    for step in 0..4000 {
        let deviations = injection.deviations(Noise { seed: 7, step });
        assert_eq!(deviations.iter().filter(|&&deviation| deviation == 0.3).count(), 1);
        times[deviations.iter().position(|&deviation| deviation > 0.0).unwrap()] += 1;
    }
    assert!(times.iter().all(|times| (850..1150).contains(times)), "{times:?}");
    let at = (0..30).map(|step| injection.deviations(Noise { seed: 7, step }));
    let other = (0..30).map(|step| injection.deviations(Noise { seed: 8, step }));
    assert!(at.ne(other), "another seed takes other groups");
    assert_eq!(perturbed(&how, Noise { seed: 7, step: 5 }).iter().filter(|perturbed| **perturbed).count(), 1);
}

#[test]
fn from_the_step_where_it_is_switched_off_there_is_no_noise() {
    let how = NoiseInjectionConfig { until_step: Some(3), ..settings(NoiseScheme::All, 0.3) };
    assert_eq!(perturbed(&how, Noise { seed: 1, step: 2 }), [true; 4]);
    assert_eq!(perturbed(&how, Noise { seed: 1, step: 3 }), [false; 4]);
}

fn mlp(width: usize) -> Mlp {
    Mlp { widths: vec![width], norm: NormKind::Batch, activation: Some(evenkeel::config::Activation::Relu), classes: 3 }
}

fn samples(count: usize, inputs: usize) -> Batch {
    let mut random = Key::new(5, "samples", 0).random();
    let numbers: Vec<f64> = (0..count * inputs).map(|_| random.normal_f64()).collect();
    let labels: Vec<i32> = (0..count).map(|_| random.below(3) as i32).collect();
    Batch { inputs: Tensor::new([count, inputs], numbers).unwrap(), labels: Tensor::new([count], labels).unwrap() }
}

fn trained(
    network: &Network,
    how: Option<&NoiseInjectionConfig>,
    steps: std::ops::Range<u64>,
    from: Option<(State, Vec<Tensor>)>,
) -> (State, Vec<Tensor>) {
    let mut options = TrainerOptions::new(Sgd { momentum: 0.9, weight_decay: 1e-3, ..Sgd::PLAIN });
    if let Some(how) = how {
        options = options.perturbed(NoiseInjection::new(network, how).unwrap());
    }
    let mut trainer = Trainer::with(network, options, 16, network.initial_state(Initialization::He, 1)).unwrap();
    if let Some((state, kept)) = from {
        trainer.set_state(state, Some(kept)).unwrap();
    }
    trainer.set_noise(Noise { seed: 3, step: steps.start });
    for _ in steps {
        trainer.step(&samples(16, 5), 0.05).unwrap();
    }
    (trainer.state(), trainer.optimizer_state().to_vec())
}

#[test]
fn without_a_deviation_or_a_scheme_training_has_the_bits_of_plain_training() {
    let network = network(mlp(7), &[5], Loss::CrossEntropy);
    let plain = trained(&network, None, 0..6, None);
    for scheme in NoiseScheme::ALL {
        let off = if *scheme == NoiseScheme::None { 0.3 } else { 0.0 };
        assert_eq!(trained(&network, Some(&settings(*scheme, off)), 0..6, None), plain, "{scheme}");
        let never = NoiseInjectionConfig { until_step: Some(0), ..settings(*scheme, 0.3) };
        assert_eq!(trained(&network, Some(&never), 0..6, None), plain, "{scheme} until step 0");
    }
}

#[test]
fn any_number_of_threads_and_a_resumed_run_have_the_same_bits() {
    let wide = || network(mlp(2500), &[5], Loss::CrossEntropy);
    for scheme in [NoiseScheme::All, NoiseScheme::LayerCyclic, NoiseScheme::LayerRandom] {
        let how = settings(scheme, 0.1);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| trained(&wide(), Some(&how), 0..5, None))
        };
        let whole = on(1);
        assert_eq!(on(4), whole, "{scheme}");
        let half = trained(&wide(), Some(&how), 0..2, None);
        assert_eq!(trained(&wide(), Some(&how), 2..5, Some(half)), whole, "{scheme}");
        assert_ne!(trained(&wide(), None, 0..5, None), whole, "{scheme}");
    }
}

#[test]
fn a_step_that_is_not_finite_leaves_the_clean_parameters_bit_for_bit() {
    let network = network(mlp(7), &[5], Loss::CrossEntropy);
    let injection = NoiseInjection::new(&network, &settings(NoiseScheme::All, 1e308)).unwrap();
    let state = network.initial_state(Initialization::He, 1);
    let how = TrainerOptions::new(PLAIN).perturbed(injection);
    let mut trainer = Trainer::with(&network, how, 16, state.clone()).unwrap();
    let result = trainer.step(&samples(16, 5), 0.05).unwrap();
    assert!(!result.is_finite());
    assert_eq!(trainer.state(), state);
}

#[test]
fn running_statistics_come_from_perturbed_or_from_clean_parameters_as_told() {
    let model = || ResNet { blocks: 1, classes: 3, ..ResNet::default() };
    let network = network(model(), &[8, 8, 3], Loss::CrossEntropy);
    let mut batch = samples(4, 8 * 8 * 3);
    batch.inputs = batch.inputs.clone().reshaped([4, 8, 8, 3]);
    let buffers = |noise: Option<bool>| {
        let mut options = TrainerOptions::new(PLAIN);
        if let Some(bn_update_under_noise) = noise {
            let how = NoiseInjectionConfig { bn_update_under_noise, ..settings(NoiseScheme::All, 0.2) };
            options = options.perturbed(NoiseInjection::new(&network, &how).unwrap());
        }
        let state = network.initial_state(Initialization::He, 1);
        let mut trainer = Trainer::with(&network, options, 4, state).unwrap();
        let result = trainer.step(&batch, 0.1).unwrap();
        (flat(trainer.buffers()), result)
    };
    let (plain, _) = buffers(None);
    let (official, noisy) = buffers(Some(true));
    let (clean, also_noisy) = buffers(Some(false));
    let far = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(far(&clean, &plain) < 1e-12, "{}", far(&clean, &plain));
    assert!(far(&official, &plain) > 1e-3);
    assert!((noisy.loss - also_noisy.loss).abs() < 1e-12, "the gradient is taken under the same noise");
}

/// w₁ w₂ and nothing else; with squared loss and one class the target is 1.
fn chain<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let [first, second] = ["w1", "w2"].map(|name| cx.param(name, [], Initial::Normal(1.0)));
    // The target is 5: both sides of the residual are moved by 4.
    (x.sum(&[1]) * 0.0 + first * second - 4.0).reshape([x.shape()[0], 1])
}

/// The mean loss over every combination of signs in the noise of some parameters.
fn expected_loss(network: &Network, state: &State, batch: &Batch, parameters: &[usize], deviation: f64) -> f64 {
    let count: usize = parameters.iter().map(|&index| state.parameters[index].shape().elements()).sum();
    let mut total = 0.0;
    let mut probe = evenkeel::Probe::new(network, batch.len(), NormMode::Running, |trace| {
        Ok(vec![("loss".to_string(), trace.losses.mean_all())])
    })
    .unwrap();
    for signs in 0..1_u32 << count {
        let mut moved = state.clone();
        let mut bit = 0;
        for &index in parameters {
            let values: Vec<f64> = state.parameters[index]
                .to_f64()
                .into_iter()
                .map(|value| {
                    let sign = if signs >> bit & 1 == 1 { deviation } else { -deviation };
                    bit += 1;
                    value + sign
                })
                .collect();
            moved.parameters[index] = Tensor::from_f64(state.parameters[index].shape(), DType::F64, &values).unwrap();
        }
        total += probe.at(batch, &moved).unwrap()[0].item().unwrap();
    }
    total / f64::from(1_u32 << count)
}

#[test]
fn a_product_of_two_numbers_has_the_smoothed_losses_of_the_closed_form() {
    let network = network(chain, &[1], Loss::Squared);
    let state = State { parameters: vec![Tensor::scalar(2.0), Tensor::scalar(3.0)], buffers: vec![] };
    let batch = Batch { inputs: Tensor::zeros([1, 1], DType::F64), labels: Tensor::zeros([1], DType::I32) };
    let of = |parameters: &[usize], deviation| expected_loss(&network, &state, &batch, parameters, deviation);
    assert!((of(&[], 0.0) - 0.5).abs() < 1e-15);
    assert!((of(&[0, 1], 0.1) - 0.56505).abs() < 1e-12);
    assert!((0.5 * (of(&[0], 0.1) + of(&[1], 0.1)) - 0.5325).abs() < 1e-12);
    assert!((of(&[0, 1], 0.1 / 2.0_f64.sqrt()) - 0.532_512_5).abs() < 1e-12);
    for (scheme, scaling, wanted) in [
        (NoiseScheme::LayerCyclic, NoiseScaling::PerGroup, 0.0325),
        (NoiseScheme::LayerRandom, NoiseScaling::PerGroup, 0.0325),
        (NoiseScheme::All, NoiseScaling::PerGroup, 0.0325),
        (NoiseScheme::All, NoiseScaling::None, 0.065),
        (NoiseScheme::None, NoiseScaling::None, 0.0),
    ] {
        let how = NoiseInjectionConfig { scaling, ..settings(scheme, 0.1) };
        let injection = NoiseInjection::new(&network, &how).unwrap();
        let explicit =
            expected_regularizer(&injection, &network, NormMode::Running, &batch, &state, TraceEstimate::Exact)
                .unwrap();
        assert!((explicit.value - wanted).abs() < 1e-12, "{scheme}: {explicit:?}");
        assert_eq!([explicit.traces[0].trace, explicit.traces[1].trace].map(f64::round), [9.0, 4.0]);
    }
}

#[test]
fn the_mean_gradient_of_a_cycle_over_both_signs_is_that_of_the_closed_form() {
    let network = network(chain, &[1], Loss::Squared);
    let state = State { parameters: vec![Tensor::scalar(2.0), Tensor::scalar(3.0)], buffers: vec![] };
    let batch = Batch { inputs: Tensor::zeros([1, 1], DType::F64), labels: Tensor::zeros([1], DType::I32) };
    let how = NoiseInjectionConfig { distribution: NoiseDistribution::Sign, ..settings(NoiseScheme::LayerCyclic, 0.1) };
    let injection = NoiseInjection::new(&network, &how).unwrap();
    let mut trainer =
        Trainer::with(&network, TrainerOptions::new(PLAIN).perturbed(injection), 1, state.clone()).unwrap();
    // One gradient for each tensor and sign: two nodes integrate a quadratic exactly.
    let mut found: Vec<(u64, Vec<f64>)> = vec![];
    for step in 0..40 {
        trainer.set_state(state.clone(), None).unwrap();
        trainer.set_noise(Noise { seed: 0, step });
        trainer.step(&batch, 1.0).unwrap();
        let gradient: Vec<f64> =
            flat(&state.parameters).iter().zip(flat(trainer.parameters())).map(|(old, new)| old - new).collect();
        let known = |(tensor, other): &(u64, Vec<f64>)| {
            *tensor == step % 2 && other.iter().zip(&gradient).all(|(a, b)| (a - b).abs() < 1e-12)
        };
        if !found.iter().any(known) {
            found.push((step % 2, gradient));
        }
    }
    assert_eq!(found.len(), 4);
    let mean = |index: usize| found.iter().map(|(_, gradient)| gradient[index]).sum::<f64>() / 4.0;
    // ½ (w₁ w₂ − 5)² + ¼ σ² (w₁² + w₂²)
    assert!((mean(0) - (3.0 + 0.5 * 0.01 * 2.0)).abs() < 1e-12, "{}", mean(0));
    assert!((mean(1) - (2.0 + 0.5 * 0.01 * 3.0)).abs() < 1e-12, "{}", mean(1));
}

/// A product of two matrices with given entries, and the trace of the inputs' second moment.
fn two_layers(width: usize) -> (Network, Batch, f64) {
    let network =
        network(Mlp { widths: vec![width], norm: NormKind::None, activation: None, classes: 2 }, &[3], Loss::Squared);
    let mut batch = samples(6, 3);
    batch.labels = Tensor::new([6], vec![0, 1, 1, 0, 1, 0]).unwrap();
    let squares: f64 = batch.inputs.to_f64().iter().map(|value| value * value).sum();
    (network, batch, squares / 6.0)
}

#[test]
fn two_linear_layers_have_the_bracket_of_the_closed_form_and_joint_noise_a_term_that_grows_with_their_width() {
    let (sigma, outputs) = (0.4, 2.0);
    let (narrow, batch, moment) = two_layers(1);
    let state = narrow.initial_state(Initialization::He, 3);
    // Each unit twice, with weights in and out divided by √2: the same function and the same norms.
    let (wide, ..) = two_layers(2);
    let root = 2.0_f64.sqrt();
    let twice = |values: Vec<f64>| values.into_iter().flat_map(|value| [value / root; 2]).collect::<Vec<_>>();
    let [into, out] = [0, 1].map(|index| state.parameters[index].to_f64());
    let copied = State {
        parameters: vec![
            Tensor::from_f64([3, 2], DType::F64, &twice(into.clone())).unwrap(),
            Tensor::from_f64(
                [2, 2],
                DType::F64,
                &[&out[..], &out[..]].concat().iter().map(|w| w / root).collect::<Vec<_>>(),
            )
            .unwrap(),
        ],
        buffers: vec![],
    };
    let projected: f64 = batch
        .inputs
        .to_f64()
        .chunks(3)
        .map(|x| x.iter().zip(&into).map(|(x, w)| x * w).sum::<f64>().powi(2))
        .sum::<f64>()
        / 6.0;
    let bracket = moment * out.iter().map(|w| w * w).sum::<f64>() + outputs * projected;
    for (network, state, width) in [(&narrow, &state, 1.0), (&wide, &copied, 2.0)] {
        let of = |parameters: &[usize], deviation| expected_loss(network, state, &batch, parameters, deviation);
        let plain = of(&[], 0.0);
        let layers = 0.5 * (of(&[0], sigma) + of(&[1], sigma));
        assert!((layers - plain - sigma.powi(2) / 4.0 * bracket).abs() < 1e-12, "width {width}: {layers}");
        let all = of(&[0, 1], sigma);
        let wanted = sigma.powi(2) / 2.0 * bracket + sigma.powi(4) / 2.0 * width * outputs * moment;
        assert!((all - plain - wanted).abs() < 1e-12, "width {width}: {all}");
        let injection = NoiseInjection::new(network, &settings(NoiseScheme::LayerCyclic, sigma)).unwrap();
        let explicit = |estimate| {
            expected_regularizer(&injection, network, NormMode::Running, &batch, state, estimate).unwrap().value
        };
        assert!((explicit(TraceEstimate::Exact) - sigma.powi(2) / 4.0 * bracket).abs() < 1e-12);
        let estimated = explicit(TraceEstimate::Hutchinson { probes: 2000, seed: 1 });
        assert!((estimated / (sigma.powi(2) / 4.0 * bracket) - 1.0).abs() < 0.1, "{estimated}");
    }
}

#[test]
fn predictions_scatter_in_second_order_only_when_layers_are_perturbed_together_and_in_proportion_to_the_width() {
    let even = |width: usize| {
        let (network, batch, moment) = two_layers(width);
        let state = network.initial_state(Initialization::He, 3);
        let how = NoiseInjectionConfig { scaling: NoiseScaling::None, ..settings(NoiseScheme::All, 0.4) };
        let injection = NoiseInjection::new(&network, &how).unwrap();
        let found = noise_variance(&injection, &network, NormMode::Running, &batch, &state, 400, 2).unwrap();
        assert!(found.alone.iter().all(|group| group.even < 1e-25 && group.odd > 0.0), "{found:?}");
        assert_eq!((found.together.deviation, found.alone[1].group.as_str()), (0.4, "head.weight"));
        // E‖x E₁ E₂‖² = ‖x‖² m p₂ for standard normal E₁ and E₂.
        found.together.even / (0.4_f64.powi(4) * moment * 2.0 * width as f64)
    };
    for width in [2, 32] {
        let share = even(width);
        assert!((share - 1.0).abs() < 0.25, "width {width}: {share}");
    }
}

#[test]
fn the_exact_trace_of_a_relu_network_is_that_of_gauss_newton_products_with_every_unit_vector() {
    let network = network(
        Mlp { widths: vec![4], norm: NormKind::None, activation: Some(evenkeel::config::Activation::Relu), classes: 3 },
        &[2],
        Loss::CrossEntropy,
    );
    let (state, batch) = (network.initial_state(Initialization::Glorot, 1), samples(5, 2));
    let injection = NoiseInjection::new(&network, &settings(NoiseScheme::LayerCyclic, 0.1)).unwrap();
    let explicit =
        expected_regularizer(&injection, &network, NormMode::Running, &batch, &state, TraceEstimate::Exact).unwrap();
    let mut curvature = Curvature::new(&network, NormMode::Running, batch, state).unwrap();
    let mut first = 0;
    for (info, found) in network.parameters().iter().zip(&explicit.traces) {
        let mut trace = 0.0;
        for element in first..first + info.shape.elements() {
            let mut unit = vec![0.0; network.parameter_count()];
            unit[element] = 1.0;
            trace += curvature.product(evenkeel::curvature::Product::GaussNewton, &unit).unwrap()[element];
        }
        first += info.shape.elements();
        assert_eq!(info.path, found.group);
        assert!((trace - found.trace).abs() < 1e-12 * (1.0 + trace), "{}: {trace} {}", info.path, found.trace);
    }
}

#[test]
fn what_cannot_be_perturbed_is_refused() {
    let network = network(bowl, &[1], Loss::CrossEntropy);
    for sigma in [-0.1, f64::NAN, f64::INFINITY] {
        let error = NoiseInjection::new(&network, &settings(NoiseScheme::All, sigma)).unwrap_err().to_string();
        assert!(error.contains("at least 0"), "{error}");
    }
    let small = self::network(chain, &[1], Loss::Squared);
    let weights = NoiseInjectionConfig { groups: NoiseGroups::Weights, ..settings(NoiseScheme::All, 0.1) };
    let error = NoiseInjection::new(&small, &weights).unwrap_err().to_string();
    assert!(error.contains("no parameters") && error.contains("noise_injection.groups=tensor"), "{error}");
    fn empty<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.linear("fc", x, 2) + cx.param("nothing", [0, 2], Initial::Constant(0.0)).sum(&[0])
    }
    let error = NoiseInjection::new(&self::network(empty, &[1], Loss::CrossEntropy), &settings(NoiseScheme::All, 0.1));
    assert!(error.unwrap_err().to_string().contains("without elements"));
    let batch_norm = self::network(mlp(7), &[5], Loss::CrossEntropy);
    let state = batch_norm.initial_state(Initialization::He, 1);
    let injection = NoiseInjection::new(&batch_norm, &settings(NoiseScheme::All, 0.1)).unwrap();
    let error =
        expected_regularizer(&injection, &batch_norm, NormMode::Batch, &samples(4, 5), &state, TraceEstimate::Exact);
    assert!(error.unwrap_err().to_string().contains("do not depend on each other"));
    assert!(study::evaluate(&batch_norm, &state, &samples(4, 5), NormMode::Running).unwrap().loss.is_finite());
}

//! The penalties that dropout stands for, against every mask there is.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{DropoutLayers, DropoutMasks, Initialization, Loss, NormMode};
use evenkeel::curvature::Curvature;
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::nn::{Context, Dropout, Initial, Model, NormSettings};
use evenkeel::objective::Term;
use evenkeel::optim::Sgd;
use evenkeel::regularize::{DropoutR1, DropoutR2, condensation, r1};
use evenkeel::train::Trainer;
use evenkeel::{Batch, Network, Noise, Probe, State};

const INPUTS: usize = 3;
const HIDDEN: usize = 4;
const SAMPLES: usize = 5;

/// Two layers with `classes` outputs; with `given`, the mask of the hidden values is the rest of the input, and else it is drawn.
struct Net {
    classes: usize,
    given: bool,
    deep: bool,
}

impl Model for Net {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let hidden = cx.tap("act1", cx.linear("fc1", x.slice_along(1, 0..INPUTS), HIDDEN).tanh());
        let hidden = if self.given { hidden * x.slice_along(1, INPUTS..INPUTS + HIDDEN) } else { hidden };
        let hidden = if self.deep { cx.linear("fc2", hidden, 6).tanh() } else { hidden };
        cx.linear("head", hidden, self.classes)
    }
}

fn network(net: Net, loss: Loss) -> Network {
    let inputs = if net.given { INPUTS + HIDDEN } else { INPUTS };
    Network::with(Box::new(net), &[inputs], DType::F64, loss, NormSettings::default()).unwrap()
}

fn plain(classes: usize, loss: Loss) -> Network {
    network(Net { classes, given: false, deep: false }, loss)
}

fn dropping(network: Network, rate: f64, masks: DropoutMasks) -> Network {
    network.with_dropout(Dropout { rate, masks }, DropoutLayers::Last).unwrap()
}

fn with(network: Network, term: impl Term + 'static) -> Network {
    network.with_terms([Box::new(term) as Box<dyn Term>]).unwrap()
}

const R1: DropoutR1 = DropoutR1 { factor: 1.0, approximate: false };

fn samples(count: usize, classes: usize) -> Batch {
    let mut random = Key::new(2, "samples", 0).random();
    let inputs = (0..count * INPUTS).map(|_| random.normal_f64()).collect::<Vec<_>>();
    let labels = (0..count).map(|_| random.below(classes as u64) as i32).collect::<Vec<_>>();
    Batch { inputs: Tensor::new([count, INPUTS], inputs).unwrap(), labels: Tensor::new([count], labels).unwrap() }
}

/// The samples with one mask for all of them as the rest of their inputs.
fn masked(batch: &Batch, mask: &[f64]) -> Batch {
    let rows: Vec<f64> = batch.inputs.to_f64().chunks(INPUTS).flat_map(|row| [row, mask].concat()).collect();
    Batch { inputs: Tensor::new([batch.len(), INPUTS + HIDDEN], rows).unwrap(), labels: batch.labels.clone() }
}

/// Every mask with its probability.
fn masks(rate: f64) -> Vec<(f64, Vec<f64>)> {
    let of = |bits: usize| {
        let kept = |bit: usize| bits >> bit & 1 == 1;
        let probability = (0..HIDDEN).map(|bit| if kept(bit) { 1.0 - rate } else { rate }).product();
        (probability, (0..HIDDEN).map(|bit| if kept(bit) { 1.0 / (1.0 - rate) } else { 0.0 }).collect())
    };
    (0..1 << HIDDEN).map(of).collect()
}

/// Loss and gradient of the objective.
fn gradient(network: &Network, state: &State, batch: &Batch) -> (f64, Vec<f64>) {
    Curvature::new(network, NormMode::Running, batch.clone(), state.clone()).unwrap().gradient().unwrap()
}

/// Mean loss, mean gradient and mean squared length of the gradient over all masks.
fn over_masks(net: Net, loss: Loss, state: &State, batch: &Batch, rate: f64) -> (f64, Vec<f64>, f64) {
    let given = network(Net { given: true, ..net }, loss);
    let (mut mean, mut mean_gradient, mut squares) = (0.0, vec![0.0; given.parameter_count()], 0.0);
    for (probability, mask) in masks(rate) {
        let (loss, gradient) = gradient(&given, state, &masked(batch, &mask));
        mean += probability * loss;
        mean_gradient.iter_mut().zip(&gradient).for_each(|(mean, gradient)| *mean += probability * gradient);
        squares += probability * gradient.iter().map(|gradient| gradient * gradient).sum::<f64>();
    }
    (mean, mean_gradient, squares)
}

fn far(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn one_neuron_of_contribution_two_half_dropped_has_penalty_two() {
    fn one<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.tap("h", x) * cx.param("w", [1], Initial::Constant(2.0)).broadcast_to(&x.shape())
    }
    let network = Network::with(Box::new(one), &[1], DType::F64, Loss::Squared, NormSettings::default()).unwrap();
    let network = with(dropping(network, 0.5, DropoutMasks::PerSample), R1);
    let batch = Batch { inputs: Tensor::new([1, 1], vec![1.0]).unwrap(), labels: Tensor::zeros([1], DType::I32) };
    let state = network.initial_state(Initialization::He, 0);
    // Answers 2 where 1 is right: 0.5; without masks half of (4 − 1)² and half of (0 − 1)², halved, are 2.5.
    assert!((gradient(&network, &state, &batch).0 - 2.5).abs() < 1e-15);
}

#[test]
fn the_mean_over_all_masks_is_the_loss_with_r1_and_so_is_the_mean_gradient() {
    for classes in [1, 3, 7] {
        let network = with(dropping(plain(classes, Loss::Squared), 0.3, DropoutMasks::PerSample), R1);
        let (state, batch) = (network.initial_state(Initialization::Glorot, 1), samples(SAMPLES, classes));
        let (loss, wanted, squares) =
            over_masks(Net { classes, given: true, deep: false }, Loss::Squared, &state, &batch, 0.3);
        let (found, explicit) = gradient(&network, &state, &batch);
        assert!((found - loss).abs() < 1e-12, "{classes}: {found} {loss}");
        assert!(far(&explicit, &wanted) < 1e-12, "{classes}");
        // E‖g‖² = ‖E g‖² + tr Cov: never less than the square of the mean.
        assert!(squares > explicit.iter().map(|gradient| gradient * gradient).sum::<f64>());
    }
}

#[test]
fn r1_is_proportional_to_the_variance_of_the_masks_and_half_for_neurons_split_in_two() {
    let value = |network: Network, state: &State| {
        let mut probe = Probe::new(&network, SAMPLES, NormMode::Running, |trace| {
            Ok(vec![("r1".to_string(), r1(trace, false)?.unwrap())])
        })
        .unwrap();
        probe.at(&samples(SAMPLES, 2), state).unwrap()[0].item().unwrap()
    };
    let of = |rate| dropping(plain(2, Loss::Squared), rate, DropoutMasks::PerSample);
    let state = of(0.5).initial_state(Initialization::Glorot, 1);
    let half = value(of(0.5), &state);
    assert!((value(of(0.1), &state) * 9.0 / half - 1.0).abs() < 1e-12);

    fn wide<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.linear("head", cx.tap("act1", cx.linear("fc1", x, 2 * HIDDEN).tanh()), 2)
    }
    let wide = Network::with(Box::new(wide), &[INPUTS], DType::F64, Loss::Squared, NormSettings::default()).unwrap();
    let twice = |index: usize, shape: [usize; 2]| {
        let values = state.parameters[index].to_f64();
        let row = values.len() / shape[0].min(INPUTS);
        let doubled: Vec<f64> = match index {
            0 => values.chunks(row).flat_map(|row| [row, row].concat()).collect(),
            _ => [&values[..], &values[..]].concat().iter().map(|value| value / 2.0).collect(),
        };
        Tensor::from_f64(shape, DType::F64, &doubled).unwrap()
    };
    let doubled = State {
        parameters: vec![
            twice(0, [INPUTS, 2 * HIDDEN]),
            Tensor::zeros([2 * HIDDEN], DType::F64),
            twice(2, [2 * HIDDEN, 2]),
            state.parameters[3].clone(),
        ],
        buffers: vec![],
    };
    let split = value(dropping(wide, 0.5, DropoutMasks::PerSample), &doubled);
    assert!((2.0 * split / half - 1.0).abs() < 1e-12, "{split} {half}");
}

#[test]
fn dropped_inputs_of_a_linear_model_are_ridge_by_second_moments() {
    fn linear<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.head_without_bias("head", cx.tap("x", x), 1)
    }
    let network =
        Network::with(Box::new(linear), &[INPUTS], DType::F64, Loss::Squared, NormSettings::default()).unwrap();
    let network = with(dropping(network, 0.25, DropoutMasks::PerStep), R1);
    let batch = samples(SAMPLES, 1);
    let state = network.initial_state(Initialization::Glorot, 1);
    let weights = state.parameters[0].to_f64();
    let inputs = batch.inputs.to_f64();
    let rows = || inputs.chunks(INPUTS);
    let loss =
        rows().map(|x| (x.iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>() - 1.0).powi(2) / 2.0).sum::<f64>();
    let second = |r: usize| rows().map(|x| x[r] * x[r]).sum::<f64>() / SAMPLES as f64;
    let ridge: f64 = (0..INPUTS).map(|r| weights[r] * weights[r] * second(r)).sum();
    let wanted = loss / SAMPLES as f64 + 0.5 / 3.0 * ridge;
    assert!((gradient(&network, &state, &batch).0 - wanted).abs() < 1e-12);
}

#[test]
fn losses_that_are_no_squares_have_r1_up_to_the_cube_of_the_contributions() {
    let approximate = DropoutR1 { approximate: true, ..R1 };
    let batch = samples(SAMPLES, 3);
    let off = |loss: Loss, scale: f64| {
        let (rate, net) = (0.1, || Net { classes: 3, given: false, deep: false });
        let network = with(dropping(network(net(), loss), rate, DropoutMasks::PerSample), approximate);
        let mut state = network.initial_state(Initialization::Glorot, 1);
        let head = state.parameters.len() - 2;
        let scaled: Vec<f64> = state.parameters[head].to_f64().iter().map(|weight| scale * weight).collect();
        state.parameters[head] = Tensor::from_f64(state.parameters[head].shape(), DType::F64, &scaled).unwrap();
        let (mean, ..) = over_masks(Net { given: true, ..net() }, loss, &state, &batch, rate);
        let plain = gradient(&self::network(net(), loss), &state, &batch).0;
        let found = gradient(&network, &state, &batch).0;
        ((found - mean).abs(), (mean - plain).abs())
    };
    // Half the contributions: a quarter of the effect, an eighth of the error, which is the skewness of the masks. The third derivative
    // of the Bernoulli loss goes to 0 with its logits: one order more.
    for (loss, order) in [(Loss::CrossEntropy, 8.0), (Loss::Bernoulli, 16.0)] {
        let [(error, effect), (small_error, small_effect)] = [0.1, 0.05].map(|scale| off(loss, scale));
        assert!(error < 0.1 * effect, "{loss}: {error} {effect}");
        assert!((effect / small_effect / 4.0 - 1.0).abs() < 0.1, "{loss}: {effect} {small_effect}");
        assert!((error / small_error / order - 1.0).abs() < 0.2, "{loss}: {error} {small_error}");
    }
}

#[test]
fn in_front_of_other_layers_r1_is_the_gauss_newton_form_of_each_samples_contributions() {
    for loss in [Loss::CrossEntropy, Loss::Squared, Loss::Bernoulli] {
        let net = |given| network(Net { classes: 3, given, deep: true }, loss);
        let network = dropping(net(false), 0.2, DropoutMasks::None);
        let (state, batch) = (network.initial_state(Initialization::Glorot, 1), samples(SAMPLES, 3));
        let mut probe = Probe::new(&network, SAMPLES, NormMode::Running, |trace| {
            Ok(vec![("r1".to_string(), r1(trace, true)?.unwrap()), ("logits".to_string(), trace.logits)])
        })
        .unwrap();
        let found = probe.at(&batch, &state).unwrap();
        let (found, answers) = (found[0].item().unwrap(), found[1].to_f64());
        let mut logits =
            Probe::new(&net(true), SAMPLES, NormMode::Running, |trace| Ok(vec![("logits".to_string(), trace.logits)]))
                .unwrap();
        let mut wanted = 0.0;
        for r in 0..HIDDEN {
            let mut at = |by: f64| {
                let mask: Vec<f64> = (0..HIDDEN).map(|n| if n == r { 1.0 + by } else { 1.0 }).collect();
                logits.at(&masked(&batch, &mask), &state).unwrap()[0].to_f64()
            };
            let contributions: Vec<f64> = at(1e-5).iter().zip(at(-1e-5)).map(|(up, down)| (up - down) / 2e-5).collect();
            for (c, z) in contributions.chunks(3).zip(answers.chunks(3)) {
                let of = |term: &dyn Fn(f64, f64) -> f64| c.iter().zip(z).map(|(&c, &z)| term(c, z)).sum::<f64>();
                let all = of(&|_, z| z.exp());
                let sigma = |z: f64| 1.0 / (1.0 + (-z).exp());
                wanted += match loss {
                    Loss::CrossEntropy => of(&|c, z| z.exp() / all * c * c) - of(&|c, z| z.exp() / all * c).powi(2),
                    Loss::Squared => of(&|c, _| c * c),
                    Loss::Bernoulli => of(&|c, z| sigma(z) * (1.0 - sigma(z)) * c * c),
                };
            }
        }
        wanted *= 0.5 * 0.25 / SAMPLES as f64;
        assert!((found / wanted - 1.0).abs() < 1e-7, "{loss}: {found} {wanted}");
    }
}

#[test]
fn penalties_without_an_exact_form_are_refused_unless_asked_for() {
    let refused = |network: Network| network.with_terms([Box::new(R1) as Box<dyn Term>]).err().unwrap().to_string();
    let error = refused(dropping(plain(3, Loss::CrossEntropy), 0.1, DropoutMasks::None));
    assert!(error.contains("squared loss alone") && error.contains("dropout.approximate=true"), "{error}");
    let deep = network(Net { classes: 3, given: false, deep: true }, Loss::Squared);
    let error = refused(dropping(deep, 0.1, DropoutMasks::None));
    assert!(error.contains("linear last layer") && error.contains("act1_dropout"), "{error}");
    fn bare<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.linear("head", x, 2)
    }
    let bare = Network::new(bare, &[3]).unwrap();
    let error = bare.with_dropout(Dropout { rate: 0.1, masks: DropoutMasks::PerStep }, DropoutLayers::All);
    assert!(error.err().unwrap().to_string().contains("no hidden values"));
    let all =
        plain(3, Loss::Squared).with_dropout(Dropout { rate: 1.0, masks: DropoutMasks::None }, DropoutLayers::All);
    assert!(all.err().unwrap().to_string().contains("below 1"));
}

fn trained(network: &Network, steps: u64) -> Vec<Tensor> {
    let state = network.initial_state(Initialization::Glorot, 1);
    let mut trainer = Trainer::new(network, Sgd { momentum: 0.9, ..Sgd::PLAIN }, SAMPLES, state).unwrap();
    trainer.set_noise(Noise { seed: 4, step: 0 });
    for _ in 0..steps {
        trainer.step(&samples(SAMPLES, 3), 0.1).unwrap();
    }
    trainer.parameters().to_vec()
}

#[test]
fn where_nothing_is_dropped_training_has_the_bits_of_plain_training() {
    let wanted = trained(&plain(3, Loss::Squared), 5);
    for masks in DropoutMasks::ALL {
        let terms: [Box<dyn Term>; 2] =
            [Box::new(R1), Box::new(DropoutR2 { factor: 1.0, learning_rate: 0.1, masks: 4 })];
        let none = dropping(plain(3, Loss::Squared), 0.0, *masks).with_terms(terms).unwrap();
        assert_eq!(trained(&none, 5), wanted, "{masks}");
        let dropped = trained(&dropping(plain(3, Loss::Squared), 0.3, *masks), 5);
        assert_eq!(dropped == wanted, *masks == DropoutMasks::None, "{masks}");
    }
}

#[test]
fn training_with_masks_minus_r1_takes_the_penalty_out_of_the_dropped_loss() {
    let noise = Noise { seed: 4, step: 7 };
    let at = |network: &Network, state: &State| {
        Curvature::with_noise(network, NormMode::Running, samples(SAMPLES, 3), state.clone(), Some(noise))
            .unwrap()
            .gradient()
            .unwrap()
    };
    let drop = dropping(plain(3, Loss::Squared), 0.3, DropoutMasks::PerSample);
    let minus = with(dropping(plain(3, Loss::Squared), 0.3, DropoutMasks::PerSample), DropoutR1 { factor: -1.0, ..R1 });
    let explicit = with(dropping(plain(3, Loss::Squared), 0.3, DropoutMasks::None), R1);
    let state = drop.initial_state(Initialization::Glorot, 1);
    let quiet = gradient(&plain(3, Loss::Squared), &state, &samples(SAMPLES, 3));
    let [drop, minus, explicit] = [&drop, &minus, &explicit].map(|network| at(network, &state));
    let wanted: Vec<f64> = drop.1.iter().zip(&explicit.1).zip(&quiet.1).map(|((d, e), q)| d - (e - q)).collect();
    assert!((minus.0 - (drop.0 - (explicit.0 - quiet.0))).abs() < 1e-12);
    assert!(far(&minus.1, &wanted) < 1e-12);
}

#[test]
fn one_mask_a_step_is_the_same_for_all_samples_and_for_one_sample_the_mask_it_would_have_alone() {
    let outputs = |masks, count: usize| {
        let network = dropping(plain(3, Loss::Squared), 0.5, masks);
        let mut probe = Probe::with_noise(&network, count, NormMode::Running, |trace| {
            Ok(vec![("mask".to_string(), trace.cx.dropout_sites()[0].mask)])
        })
        .unwrap();
        probe.set_noise(Noise { seed: 1, step: 3 });
        let state = network.initial_state(Initialization::Glorot, 1);
        probe.at(&samples(count, 3), &state).unwrap()[0].to_f64()
    };
    let shared = outputs(DropoutMasks::PerStep, 6);
    assert!(shared.chunks(HIDDEN).all(|mask| mask == &shared[..HIDDEN]));
    let own = outputs(DropoutMasks::PerSample, 6);
    assert!(own.chunks(HIDDEN).any(|mask| mask != &own[..HIDDEN]));
    assert_eq!(outputs(DropoutMasks::PerStep, 1), outputs(DropoutMasks::PerSample, 1));
    assert!(outputs(DropoutMasks::None, 6).iter().all(|&factor| factor == 1.0));
}

#[test]
fn r2_is_the_mean_squared_gradient_of_the_masks_that_it_draws() {
    let (rate, count) = (0.3, 6);
    for shared in [DropoutMasks::PerStep, DropoutMasks::None] {
        let term = DropoutR2 { factor: 1.0, learning_rate: 0.2, masks: count };
        let network = with(dropping(plain(3, Loss::CrossEntropy), rate, shared), term);
        let (state, batch) = (network.initial_state(Initialization::Glorot, 1), samples(1, 3));
        let mut probe = Probe::with_noise(&network, 1, NormMode::Running, |trace| {
            let site = &trace.cx.dropout_sites()[0];
            let masks = {
                let _objective = trace.cx.scope("objective");
                let _scope = trace.cx.scope("r2.act1_dropout");
                site.masks(trace.cx.key().unwrap(), Some(count))
            };
            let own = trace.losses.mean_all();
            Ok(vec![("r2".to_string(), trace.objective()? - own), ("masks".to_string(), masks)])
        })
        .unwrap();
        probe.set_noise(Noise { seed: 1, step: 3 });
        let found = probe.at(&batch, &state).unwrap();
        let (r2, masks) = (found[0].item().unwrap(), found[1].to_f64());
        let given = self::network(Net { classes: 3, given: true, deep: false }, Loss::CrossEntropy);
        let squares = masks.chunks(HIDDEN).map(|mask| {
            let (_, gradient) = gradient(&given, &state, &masked(&batch, mask));
            gradient.iter().map(|gradient| gradient * gradient).sum::<f64>()
        });
        let wanted = 0.05 * squares.sum::<f64>() / count as f64;
        assert!((r2 - wanted).abs() < 1e-12, "{r2} {wanted}");
        assert!(masks.chunks(HIDDEN).any(|mask| mask != &masks[..HIDDEN]));
    }
}

#[test]
fn a_step_under_a_mask_follows_the_flow_of_its_loss_and_that_with_r2_one_order_further() {
    let noise = Noise { seed: 1, step: 3 };
    let drop = || dropping(plain(3, Loss::Squared), 0.4, DropoutMasks::PerSample);
    let state = drop().initial_state(Initialization::Glorot, 1);
    let start: Vec<f64> = state.parameters.iter().flat_map(Tensor::to_f64).collect();
    let at = |network: &Network, theta: &[f64]| {
        let mut rest = theta;
        let parameters = state.parameters.iter().map(|tensor| {
            let (head, tail) = rest.split_at(tensor.shape().elements());
            rest = tail;
            Tensor::from_f64(tensor.shape(), DType::F64, head).unwrap()
        });
        let state = State { parameters: parameters.collect(), buffers: vec![] };
        let batch = samples(SAMPLES, 3);
        Curvature::with_noise(network, NormMode::Running, batch, state, Some(noise)).unwrap().gradient().unwrap().1
    };
    let along = |theta: &[f64], gradient: &[f64], by: f64| -> Vec<f64> {
        theta.iter().zip(gradient).map(|(theta, gradient)| theta - by * gradient).collect()
    };
    let off = |epsilon: f64, modified: bool| {
        let term = DropoutR2 { factor: 1.0, learning_rate: epsilon, masks: 0 };
        let flow = if modified { with(drop(), term) } else { drop() };
        // Runge and Kutta's fourth order in 8 steps.
        let mut theta = start.clone();
        for _ in 0..8 {
            let h = epsilon / 8.0;
            let k1 = at(&flow, &theta);
            let k2 = at(&flow, &along(&theta, &k1, h / 2.0));
            let k3 = at(&flow, &along(&theta, &k2, h / 2.0));
            let k4 = at(&flow, &along(&theta, &k3, h));
            let mean: Vec<f64> = (0..theta.len()).map(|n| (k1[n] + 2.0 * k2[n] + 2.0 * k3[n] + k4[n]) / 6.0).collect();
            theta = along(&theta, &mean, h);
        }
        let step = along(&start, &at(&drop(), &start), epsilon);
        step.iter().zip(&theta).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    };
    for (modified, order) in [(false, 4.0), (true, 8.0)] {
        let ratio = off(0.05, modified) / off(0.025, modified);
        assert!((ratio / order - 1.0).abs() < 0.25, "{modified}: {ratio}");
    }
}

#[test]
fn condensation_is_one_for_equal_neurons_and_their_number_for_a_single_active_one() {
    fn bare<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.head_without_bias("head", cx.tap("act1", cx.linear_without_bias("fc1", x, HIDDEN).relu()), 1)
    }
    let network = Network::with(Box::new(bare), &[INPUTS], DType::F64, Loss::Squared, NormSettings::default()).unwrap();
    let network = dropping(network, 0.1, DropoutMasks::PerSample);
    let kappa = |out: [f64; HIDDEN]| {
        let mut probe = Probe::new(&network, SAMPLES, NormMode::Running, |trace| {
            Ok(vec![("kappa".to_string(), condensation(trace)?)])
        })
        .unwrap();
        let state = State {
            parameters: vec![
                Tensor::from_f64([INPUTS, HIDDEN], DType::F64, &[0.7; INPUTS * HIDDEN]).unwrap(),
                Tensor::from_f64([HIDDEN, 1], DType::F64, &out).unwrap(),
            ],
            buffers: vec![],
        };
        probe.at(&samples(SAMPLES, 1), &state).unwrap()[0].item().unwrap()
    };
    assert!((kappa([0.3; HIDDEN]) - 1.0).abs() < 1e-12);
    assert!((kappa([0.0, 0.0, -2.0, 0.0]) - HIDDEN as f64).abs() < 1e-12);
    assert!(kappa([1.0, -0.9, 1.0, -0.9]) > 100.0);
}

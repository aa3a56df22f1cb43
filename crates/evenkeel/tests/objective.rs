//! Terms of the objective, perturbed parameters, optimisers and probes, on networks small enough to know the answers.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Initialization, Loss, NormMode};
use evenkeel::curvature::{Curvature, Product};
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::nn::{Context, Initial, NormSettings, ParameterInfo, Perturbation};
use evenkeel::objective::Term;
use evenkeel::optim::{Adam, Adamax, Sgd};
use evenkeel::train::{Trainer, TrainerOptions};
use evenkeel::{Batch, Network, Noise, Probe, Trace, study};
use std::ops::ControlFlow;

fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let hidden = cx.tap("act1", cx.linear("fc1", x, 4).tanh());
    cx.linear("head", hidden, 3)
}

fn network() -> Network {
    Network::with(Box::new(model), &[2], DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap()
}

fn batch() -> Batch {
    let inputs = (0..12).map(|n| f64::from(n * n % 7) / 7.0 - 0.4).collect();
    Batch {
        inputs: Tensor::new::<f64>([6, 2], inputs).unwrap(),
        labels: Tensor::new([6], vec![0, 1, 2, 2, 1, 0]).unwrap(),
    }
}

/// ½ λ Σ p² over the network's parameters, with a learned factor in front that starts at 1.
struct Decay {
    lambda: f64,
    learned: bool,
}

impl Term for Decay {
    fn apply<'g>(&self, trace: &Trace<'g>, objective: Var<'g>) -> evenkeel::Result<Var<'g>> {
        let squares = trace.parameters().into_iter().map(|parameter| parameter.square().sum_all());
        let total = squares.fold(objective.like(0.0), |sum, square| sum + square) * (0.5 * self.lambda);
        Ok(match self.learned {
            true => objective + total * trace.cx.param("factor", [], Initial::Constant(1.0)),
            false => objective + total,
        })
    }
}

fn decayed(lambda: f64, learned: bool) -> Network {
    network().with_terms([Box::new(Decay { lambda, learned }) as Box<dyn Term>]).unwrap()
}

fn flat(tensors: &[Tensor]) -> Vec<f64> {
    tensors.iter().flat_map(Tensor::to_f64).collect()
}

fn close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance * (1.0 + b.abs())), "{a:?}\n{b:?}");
}

#[test]
fn a_term_is_part_of_loss_gradient_and_hessian_but_not_of_the_gauss_newton_matrix() {
    let (plain, with) = (network(), decayed(0.3, false));
    let state = plain.initial_state(Initialization::Glorot, 1);
    let theta = flat(&state.parameters);
    let direction: Vec<f64> = (0..theta.len()).map(|n| (n as f64).sin()).collect();
    let mut without = Curvature::new(&plain, NormMode::Running, batch(), state.clone()).unwrap();
    let mut with = Curvature::new(&with, NormMode::Running, batch(), state).unwrap();
    let (loss, gradient) = without.gradient().unwrap();
    let (objective, both) = with.gradient().unwrap();
    close(&[objective], &[loss + 0.15 * theta.iter().map(|value| value * value).sum::<f64>()], 1e-12);
    close(&both, &gradient.iter().zip(&theta).map(|(g, p)| g + 0.3 * p).collect::<Vec<_>>(), 1e-12);
    let product = without.hessian_product(&direction).unwrap();
    let wanted: Vec<f64> =
        product.iter().zip(&direction).map(|(product, direction)| product + 0.3 * direction).collect();
    close(&with.hessian_product(&direction).unwrap(), &wanted, 1e-12);
    let [a, b] = [&mut without, &mut with].map(|one| one.product(Product::GaussNewton, &direction).unwrap());
    close(&a, &b, 1e-14);
    let error = with.sample_gradients().unwrap_err().to_string();
    assert!(error.contains("terms of the objective"), "{error}");
}

#[test]
fn a_term_as_the_objective_is_weight_decay_of_the_optimiser() {
    let (plain, with) = (network(), decayed(0.05, false));
    let state = plain.initial_state(Initialization::He, 2);
    let rule = |weight_decay| Sgd { momentum: 0.9, weight_decay, ..Sgd::PLAIN };
    let mut one = Trainer::new(&plain, rule(0.05), 6, state.clone()).unwrap();
    let mut two = Trainer::new(&with, rule(0.0), 6, state).unwrap();
    for _ in 0..5 {
        let (first, second) = (one.step(&batch(), 0.2).unwrap(), two.step(&batch(), 0.2).unwrap());
        assert!((first.loss - second.loss).abs() < 1e-12 && first.objective == first.loss);
        assert!(second.objective > second.loss);
    }
    close(&flat(one.parameters()), &flat(two.parameters()), 1e-12);
}

#[test]
fn learned_numbers_of_a_term_are_parameters_of_the_network_and_learn() {
    let network = decayed(0.1, true);
    assert_eq!(network.parameters().last().unwrap().path, "objective.factor");
    let state = network.initial_state(Initialization::He, 0);
    let squares: f64 = flat(&state.parameters)
        [..state.parameters.iter().map(|tensor| tensor.shape().elements()).sum::<usize>() - 1]
        .iter()
        .map(|value| value * value)
        .sum();
    let mut trainer = Trainer::new(&network, Sgd::PLAIN, 6, state).unwrap();
    trainer.step(&batch(), 0.01).unwrap();
    close(&trainer.parameters().last().unwrap().to_f64(), &[1.0 - 0.01 * 0.05 * squares], 1e-12);
    let evaluation = study::evaluate(&network, &trainer.state(), &batch(), NormMode::Running).unwrap();
    assert!(evaluation.loss.is_finite());
}

/// Adds a number that changes with the step to every parameter of even number.
struct Shift;

impl Perturbation for Shift {
    fn perturb<'g>(&self, cx: &Context<'g>, index: usize, _info: &ParameterInfo, parameter: Var<'g>) -> Var<'g> {
        match (index % 2, cx.perturbation()) {
            (0, Some(numbers)) => parameter + numbers.sum_all(),
            _ => parameter,
        }
    }

    fn numbers(&self) -> usize {
        1
    }

    fn at_step(&self, noise: Noise) -> Vec<f64> {
        vec![0.25 * (noise.step + 1) as f64]
    }
}

#[test]
fn a_perturbed_step_takes_the_gradient_elsewhere_and_applies_it_to_the_clean_parameters() {
    let network = network();
    let state = network.initial_state(Initialization::He, 3);
    let sgd = Sgd::PLAIN;
    let mut trainer = Trainer::with(&network, TrainerOptions::new(sgd).perturbed(Shift), 6, state.clone()).unwrap();
    let mut theta = flat(&state.parameters);
    for step in 0..2 {
        let mut moved = trainer.state();
        for (index, tensor) in moved.parameters.iter_mut().enumerate().filter(|(index, _)| index % 2 == 0) {
            let shifted: Vec<f64> = tensor.to_f64().iter().map(|value| value + 0.25 * f64::from(step + 1)).collect();
            assert_eq!(index % 2, 0);
            *tensor = Tensor::from_f64(tensor.shape(), DType::F64, &shifted).unwrap();
        }
        let (loss, gradient) = Curvature::new(&network, NormMode::Running, batch(), moved).unwrap().gradient().unwrap();
        let result = trainer.step(&batch(), 0.1).unwrap();
        close(&[result.loss], &[loss], 1e-12);
        theta.iter_mut().zip(gradient).for_each(|(theta, gradient)| *theta -= 0.1 * gradient);
        close(&flat(trainer.parameters()), &theta, 1e-12);
    }
}

/// f(p) = ½ p² in every parameter, whatever the data: the gradient is the parameter.
fn bowl<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let p = cx.param("p", [3], Initial::Normal(1.0));
    cx.add_loss(x.sum(&[1]) * 0.0 + p.square().sum_all() * 0.5);
    cx.graph().splat(0.0, [x.shape()[0], 2], x.dtype())
}

#[test]
fn adam_and_adamax_follow_their_recurrences() {
    let network = Network::with(Box::new(bowl), &[1], DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap();
    let state = network.initial_state(Initialization::He, 4);
    let samples = Batch { inputs: Tensor::zeros([2, 1], DType::F64), labels: Tensor::zeros([2], DType::I32) };
    let (beta1, beta2, epsilon, rate) = (0.9_f64, 0.999_f64, 1e-8, 0.05);
    for decoupled in [false, true] {
        let rule = Adam { weight_decay: 0.1, decoupled, ..Adam::default() };
        let mut trainer = Trainer::new(&network, rule, 2, state.clone()).unwrap();
        assert_eq!(trainer.optimizer_names(), ["first_moment/p", "second_moment/p"]);
        let mut p = state.parameters[0].to_f64();
        let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
        for t in 1..=20 {
            for n in 0..3 {
                let g = if decoupled { p[n] } else { p[n] * 1.1 };
                m[n] = beta1 * m[n] + (1.0 - beta1) * g;
                v[n] = beta2 * v[n] + (1.0 - beta2) * g * g;
                let (first, second) = (m[n] / (1.0 - beta1.powi(t)), v[n] / (1.0 - beta2.powi(t)));
                p[n] *= if decoupled { 1.0 - rate * 0.1 } else { 1.0 };
                p[n] -= rate * first / (second.sqrt() + epsilon);
            }
            trainer.step(&samples, rate).unwrap();
        }
        close(&trainer.parameters()[0].to_f64(), &p, 1e-12);
    }
    let mut trainer = Trainer::new(&network, Adamax::default(), 2, state.clone()).unwrap();
    let mut p = state.parameters[0].to_f64();
    let (mut m, mut u) = ([0.0; 3], [0.0_f64; 3]);
    for t in 1..=20 {
        for n in 0..3 {
            m[n] = beta1 * m[n] + (1.0 - beta1) * p[n];
            u[n] = (beta2 * u[n]).max(p[n].abs() + epsilon);
            p[n] -= rate / (1.0 - beta1.powi(t)) * m[n] / u[n];
        }
        trainer.step(&samples, rate).unwrap();
    }
    close(&trainer.parameters()[0].to_f64(), &p, 1e-12);
}

#[test]
fn a_probe_shows_hidden_values_and_fit_takes_the_steps_of_a_trainer() {
    let network = network();
    let state = network.initial_state(Initialization::He, 5);
    let mut probe = Probe::taps(&network, 6, NormMode::Running).unwrap();
    assert_eq!(probe.names(), ["act1"]);
    let hidden = probe.at(&batch(), &state).unwrap()[0].clone();
    assert_eq!(hidden.shape()[..], [6, 4]);
    assert!(hidden.to_f64().iter().all(|value| value.abs() < 1.0));

    let sgd = Sgd { momentum: 0.9, ..Sgd::PLAIN };
    let mut trainer = Trainer::new(&network, sgd, 3, state.clone()).unwrap();
    let how = study::Fit { batch: 3, steps: 40, seed: 9, rate: &|step| 0.5 / (1.0 + step as f64) };
    let mut seen = 0;
    study::fit(&mut trainer, &batch(), &how, |step, result, _| {
        seen = step;
        assert!(result.is_finite());
        Ok(if step == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .unwrap();
    assert_eq!(seen, 7);
    let mut by_hand = Trainer::new(&network, sgd, 3, state).unwrap();
    let mut batches = evenkeel::data::Batches::new(9, 6, 3);
    for step in 0..7 {
        let taken = batch().take(batches.indices(step)).unwrap();
        by_hand.step(&taken, 0.5 / (1.0 + step as f64)).unwrap();
    }
    assert_eq!(flat(trainer.parameters()), flat(by_hand.parameters()));
    let too_large = study::Fit { batch: 7, steps: 1, seed: 0, rate: &|_| 0.1 };
    let error = study::fit(&mut trainer, &batch(), &too_large, |_, _, _| Ok(ControlFlow::Continue(()))).unwrap_err();
    assert!(error.to_string().contains("1 to 6"), "{error}");
}

#[test]
fn a_clipped_gradient_keeps_its_direction_and_a_short_one_its_length() {
    let network = network();
    let state = network.initial_state(Initialization::He, 6);
    let sgd = Sgd::PLAIN;
    let (_, gradient) =
        Curvature::new(&network, NormMode::Running, batch(), state.clone()).unwrap().gradient().unwrap();
    let norm = gradient.iter().map(|value| value * value).sum::<f64>().sqrt();
    for (clip, factor) in [(0.25 * norm, 0.25), (4.0 * norm, 1.0)] {
        let mut trainer = Trainer::with(&network, TrainerOptions::new(sgd).clipped(clip), 6, state.clone()).unwrap();
        assert!((trainer.step(&batch(), 0.1).unwrap().gradient_norm - norm).abs() < 1e-12);
        let wanted: Vec<f64> =
            flat(&state.parameters).iter().zip(&gradient).map(|(p, g)| p - 0.1 * factor * g).collect();
        close(&flat(trainer.parameters()), &wanted, 1e-12);
    }
}

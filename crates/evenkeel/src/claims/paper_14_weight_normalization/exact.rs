//! What holds exactly: the gradients of length and direction, and samples that stay by themselves.

use super::super::setup;
use super::super::statistics::{largest, least, mean};
use super::super::{Check, Figure, Findings, Setting};
use super::{lengths, replaced, scaled};
use crate::config::{Activation, Initialization, Loss, NormKind, NormMode, WeightNorm};
use crate::curvature::Curvature;
use crate::models::Mlp;
use crate::nn::{Context, Initial, NormSettings};
use crate::optim::Sgd;
use crate::train::Trainer;
use crate::{Batch, Error, Network, Probe, Result, State};
use evenkeel_graph::{DType, Tensor, Var};

const SAMPLES: usize = 50;
const RATE: f64 = 0.1;

/// One unit whose response is its loss: the gradient of its weights is the input.
fn one_unit<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let samples = x.shape()[0];
    let weight = cx.weight("weight", [2, 1], Initial::Constant(1.0));
    cx.add_loss(x.matmul(weight).reshape([samples]));
    cx.graph().splat(0.0, [samples, 2], x.dtype())
}

fn in_f64(model: impl crate::nn::Model + 'static, shape: &[usize], weights: WeightNorm) -> Result<Network> {
    let settings = NormSettings { weights, ..NormSettings::default() };
    Network::with(Box::new(model), shape, DType::F64, Loss::CrossEntropy, settings)
}

fn mlp(norm: NormKind) -> Mlp {
    Mlp { widths: vec![32; 2], norm, activation: Some(Activation::Relu), classes: 10 }
}

fn doubles<const N: usize>(shape: impl Into<evenkeel_graph::Shape>, values: [f64; N]) -> Result<Tensor> {
    Tensor::new(shape, values.to_vec()).ok_or_else(|| Error::input("a tensor has as many numbers as its shape says"))
}

pub(super) fn length_and_direction(setting: &Setting) -> Result<Findings> {
    let mut findings = Findings::new();
    by_hand(&mut findings)?;
    in_a_network(setting, &mut findings)?;
    Ok(findings)
}

/// v = (3, 4), g = 2, ∂w = (1, 1): w = (1.2, 1.6), ∂g = 1.4, ∂v = (0.064, −0.048).
fn by_hand(findings: &mut Findings) -> Result<()> {
    let network = in_f64(one_unit, &[2], WeightNorm::Normalized)?;
    let state = State { parameters: vec![doubles([2, 1], [3.0, 4.0])?, doubles([1], [2.0])?], buffers: vec![] };
    let batch = Batch { inputs: doubles([1, 2], [1.0, 1.0])?, labels: Tensor::zeros([1], DType::I32) };
    let (_, gradient) = Curvature::new(&network, NormMode::Running, batch.clone(), state.clone())?.gradient()?;
    let apart = gradient.iter().zip([0.064, -0.048, 1.4]).map(|(got, wanted)| (got - wanted).abs()).collect::<Vec<_>>();
    findings.check(Check::at_most("by hand: ∂v₁, ∂v₂ and ∂g, distance from 0.064, −0.048 and 1.4", &apart, 1e-12));
    let mut trainer = Trainer::new(&network, Sgd::PLAIN, 1, state)?;
    trainer.step(&batch, RATE)?;
    let length = lengths(&trainer.parameters()[0])[0];
    findings.check(Check::at_most(
        "by hand: ‖v‖ after a step at rate 0.1, distance from √(25 + 0.01 ‖∂v‖²)",
        (length - (25.0_f64 + 0.01 * 0.0064).sqrt()).abs(),
        1e-12,
    ));
    Ok(())
}

fn in_a_network(setting: &Setting, findings: &mut Findings) -> Result<()> {
    let samples = setup::digits(setting)?.train.first(SAMPLES);
    let batch = Batch { inputs: samples.inputs.cast(DType::F64), labels: samples.labels };
    let network = in_f64(mlp(NormKind::None), &[8, 8, 1], WeightNorm::Normalized)?;
    let state = network.initial_state(Initialization::He, setting.seed);
    let mut curvature = Curvature::new(&network, NormMode::Running, batch.clone(), state.clone())?;
    let (_, gradient) = curvature.gradient()?;
    let gradients = apart(&network, &gradient)?;
    let is_direction = |path: &str| path.ends_with("_v");

    let mut cosines = Vec::new();
    for ((info, v), dv) in network.parameters().iter().zip(&state.parameters).zip(&gradients) {
        if is_direction(&info.path) {
            let product: Vec<f64> = v.to_f64().iter().zip(dv.to_f64()).map(|(v, dv)| v * dv).collect();
            let units = info.shape.last().copied().unwrap_or(1);
            let sums = (0..units).map(|unit| product.iter().skip(unit).step_by(units).sum::<f64>());
            let sizes = lengths(v).into_iter().zip(lengths(dv)).map(|(v, dv)| v * dv);
            // A unit that is silent on all samples has no gradient.
            cosines.extend(sums.zip(sizes).filter(|(_, size)| *size != 0.0).map(|(sum, size)| (sum / size).abs()));
        }
    }
    findings.check(Check::at_most("largest |cosine| of v and ∂v, over all units", largest(cosines), 1e-12));

    let scale = 3.0;
    let longer = replaced(&network, state.clone(), is_direction, |_, tensor| scaled(tensor, scale));
    let (loss, _) = curvature.gradient()?;
    curvature.move_to(longer)?;
    let (same, other) = curvature.gradient()?;
    let other = apart(&network, &other)?;
    let mut moved = vec![(loss - same).abs() / loss];
    for ((info, before), after) in network.parameters().iter().zip(&gradients).zip(&other) {
        let factor = if is_direction(&info.path) { scale } else { 1.0 };
        let size = largest(before.to_f64().iter().map(|value| value.abs()));
        let difference = largest(before.to_f64().iter().zip(after.to_f64()).map(|(a, b)| (a - factor * b).abs()));
        moved.push(difference / size);
    }
    findings.check(Check::at_most(
        "v × 3: loss, ∂g and 3 ∂v against those before, largest relative difference",
        largest(moved),
        1e-10,
    ));

    let random = network.initial_state(Initialization::Glorot, setting.seed.wrapping_add(1));
    let direction: Vec<f64> = random.parameters.iter().flat_map(Tensor::to_f64).collect();
    let slope: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
    let step = 1e-6;
    let mut at = |sign: f64| -> Result<f64> {
        let parameters = state.parameters.iter().zip(&random.parameters);
        let there = parameters.map(|(at, along)| {
            let values: Vec<f64> =
                at.to_f64().iter().zip(along.to_f64()).map(|(at, along)| at + sign * step * along).collect();
            Tensor::from_f64(at.shape(), DType::F64, &values).unwrap_or_else(|| at.clone())
        });
        curvature.move_to(State { parameters: there.collect(), buffers: vec![] })?;
        Ok(curvature.gradient()?.0)
    };
    let difference = (at(1.0)? - at(-1.0)?) / (2.0 * step);
    findings.check(Check::at_most(
        "slope along a random direction against central differences, relative",
        (difference / slope - 1.0).abs(),
        1e-8,
    ));

    let directions: Vec<usize> =
        (0..gradients.len()).filter(|&index| is_direction(&network.parameters()[index].path)).collect();
    let all = |parameters: &[Tensor]| -> Vec<f64> {
        directions.iter().flat_map(|&index| lengths(&parameters[index])).collect()
    };
    let mut before = all(&state.parameters);
    let first = before.clone();
    let mut trainer = Trainer::new(&network, Sgd::PLAIN, SAMPLES, state)?;
    let (mut kept, mut means) = (vec![], vec![1.0]);
    for _ in 0..50 {
        trainer.step(&batch, RATE)?;
        let after = all(trainer.parameters());
        kept.push(least(after.iter().zip(&before).map(|(after, before)| after / before)));
        means.push(mean(&after.iter().zip(&first).map(|(a, b)| a / b).collect::<Vec<_>>()));
        before = after;
    }
    findings.check(Check::at_least(
        "‖v‖ after a step of gradient descent / before, the least over units and 50 steps",
        least(kept),
        1.0 - 1e-14,
    ));
    let steps: Vec<f64> = (0..means.len()).map(|step| step as f64).collect();
    findings.figure(
        Figure::lines("The length of v under gradient descent", "step", "‖v‖ / ‖v‖ at first")
            .caption("Mean over all units of a 64-[32 × 2]-10 network on 50 digits, rate 0.1.")
            .series("mean over units", &steps, &means),
    );
    Ok(())
}

/// A flat vector as one tensor a parameter.
fn apart(network: &Network, flat: &[f64]) -> Result<Vec<Tensor>> {
    let mut rest = flat;
    let tensors = network.parameters().iter().map(|info| {
        let (head, tail) = rest.split_at_checked(info.shape.elements())?;
        rest = tail;
        Tensor::from_f64(&info.shape, DType::F64, head)
    });
    tensors.collect::<Option<Vec<_>>>().ok_or_else(|| Error::input("a gradient has one number a parameter"))
}

const COMPANY: usize = 20;

pub(super) fn independent_samples(setting: &Setting) -> Result<Findings> {
    let samples = setup::digits(setting)?.train;
    let first = samples.first(COMPANY);
    let others: Vec<u32> = std::iter::once(0).chain(COMPANY as u32..2 * COMPANY as u32 - 1).collect();
    let others = samples.take(&others)?;
    let cases = [
        ("weight norm", NormKind::None, WeightNorm::Normalized, true),
        ("batch norm", NormKind::Batch, WeightNorm::None, false),
        ("mean-only batch norm", NormKind::MeanOnly, WeightNorm::None, false),
    ];
    let mut findings = Findings::new();
    let mut moved = Vec::new();
    for (name, norm, weights, alone) in cases {
        let network = super::network(mlp(norm), &[8, 8, 1], Loss::CrossEntropy, weights)?;
        let state = network.initial_state(Initialization::He, setting.seed);
        let mut probe = Probe::new(&network, COMPANY, NormMode::Batch, |trace| {
            let slopes = trace.cx.graph().vjp(&[trace.losses.sum_all()], &[trace.inputs], None)?;
            let slope = slopes.first().copied().unwrap_or(trace.inputs);
            Ok(vec![("logits".to_owned(), trace.logits), ("slope".to_owned(), slope)])
        })?;
        let mut of_first = |batch: &Batch| -> Result<Vec<f64>> {
            let values = probe.at(batch, &state)?;
            Ok(values.iter().flat_map(|all| all.to_f64().into_iter().take(all.shape().elements() / COMPANY)).collect())
        };
        let (one, two) = (of_first(&first)?, of_first(&others)?);
        let same = one.iter().zip(&two).all(|(a, b)| a.to_bits() == b.to_bits());
        let (what, holds) = if alone { ("the same bits", same) } else { ("other numbers", !same) };
        findings.check(Check::holds(format!("{name}: {what} among other samples"), holds));
        moved.push(largest(one.iter().zip(&two).map(|(a, b)| (a - b).abs())));
    }
    findings.figure(
        Figure::bars("How far a sample moves when the others change", &cases.map(|case| case.0), "largest difference")
            .heights("output and gradient", &moved),
    );
    Ok(findings)
}

//! What noise in the parameters amounts to: the penalty it stands for, and how far predictions scatter under it.

use super::noise_injection::NoiseInjection;
use crate::batch::Batch;
use crate::config::{NoiseDistribution, NormMode};
use crate::curvature::{Curvature, Product};
use crate::network::{Network, State, Tracing};
use crate::probe::Probe;
use crate::runner::{Build, Feed, Runner};
use crate::{Error, Result};
use evenkeel_graph::random::{Key, Random};
use evenkeel_graph::{Graph, Shape, Tensor, Var};

/// How the trace of the Gauss-Newton matrix is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceEstimate {
    /// Exactly, from the gradient of every output for every sample. Cost: samples × outputs × 2 backward passes. Samples must not
    /// depend on each other.
    Exact,
    /// As the mean of vᵢ · (G v)ᵢ over random signs v. Cost: a Gauss-Newton product each.
    Hutchinson {
        /// How many.
        probes: usize,
        /// Draws them.
        seed: u64,
    },
}

/// The trace of one group's block of the Gauss-Newton matrix of the mean loss.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupTrace {
    /// The tensor or layer.
    pub group: String,
    /// tr Gᵢ.
    pub trace: f64,
}

/// The penalty that noise injection stands for at a state.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedRegularizer {
    /// Group after group.
    pub traces: Vec<GroupTrace>,
    /// ½ E[a²] Σᵢ tr Gᵢ, in units of the loss.
    pub value: f64,
}

/// The penalty ½ E[a²] Σᵢ tr Gᵢ that noise injection adds to the mean loss of a batch to second order, G the Gauss-Newton matrix.
///
/// It is the exact expectation of what is added where the network is linear in each group, the loss is quadratic, and one group is
/// perturbed at a time. What it leaves out: curvature of the network within a group (none at a perfect fit), and orders beyond the
/// second.
///
/// # Errors
/// When the samples or the state are not the network's; for [`TraceEstimate::Exact`] where samples depend on each other, in
/// [`NormMode::Frozen`], and for no probes.
pub fn expected_regularizer(
    noise: &NoiseInjection,
    network: &Network,
    mode: NormMode,
    batch: &Batch,
    state: &State,
    estimate: TraceEstimate,
) -> Result<ExpectedRegularizer> {
    let traces = match estimate {
        TraceEstimate::Exact => exact(noise, network, mode, batch, state)?,
        TraceEstimate::Hutchinson { probes, seed } => estimated(noise, network, mode, batch, state, probes, seed)?,
    };
    let traces: Vec<GroupTrace> =
        noise.groups().zip(traces).map(|(group, trace)| GroupTrace { group: group.to_string(), trace }).collect();
    let value = 0.5 * noise.mean_variance() * traces.iter().map(|group| group.trace).sum::<f64>();
    Ok(ExpectedRegularizer { traces, value })
}

/// Sums over samples n and outputs c of ⟨Jₙᵀ e_c, Jₙᵀ Hₙ e_c⟩ for each group, divided by the number of samples.
fn exact(noise: &NoiseInjection, network: &Network, mode: NormMode, batch: &Batch, state: &State) -> Result<Vec<f64>> {
    if network.couples_samples(mode) || mode == NormMode::Frozen {
        return Err(Error::input("an exact trace needs samples that do not depend on each other")
            .detail("got", format!("norm mode {}", mode.word()))
            .hint("use norm mode `running`, or estimate the trace from products"));
    }
    let graph = Graph::new();
    let traced = network.trace(&graph, Tracing::quiet(1, mode))?;
    traced.objective()?;
    let (logits, parameters) = (traced.logits, traced.parameters());
    // Stands for one output; nothing reads it in the end.
    let output = graph.splat(0.0, logits.shape(), logits.dtype());
    let slope = graph.vjp(&[traced.losses.sum_all()], &[logits], None)?;
    let bent = graph.jvp(&slope, &[logits], &[output])?;
    let (left, right) =
        (graph.vjp(&[logits], &parameters, Some(&[output]))?, graph.vjp(&[logits], &parameters, Some(&bent))?);
    let of_group = |group: &super::noise_injection::Group| {
        let products = group.parameters.iter().map(|&index| (left[index] * right[index]).sum_all());
        products.fold(traced.losses.sum_all() * 0.0, |sum, product| sum + product)
    };
    let sums: Vec<Var<'_>> = noise.members().iter().map(of_group).collect();
    let outputs = logits.shape().elements();
    let square = Shape::from([outputs, outputs]);
    let [row, column] = [0, 1].map(|axis| graph.iota(&square, axis, logits.dtype()));
    let stack = [&[outputs], &logits.shape()[..]].concat();
    let each = row.equal(column).cast(logits.dtype()).reshape(stack);
    let sums = graph.map(&sums, &[output], &[each])?;
    let named: Vec<_> = noise.groups().map(str::to_string).zip(sums.iter().map(|sum| sum.sum_all())).collect();
    let mut runner = Runner::new(&graph, &named, &Build::default())?;
    let mut found = runner.new_outputs();
    let mut totals = vec![0.0; named.len()];
    for sample in 0..batch.len() as u32 {
        let one = batch.take(&[sample])?;
        let feed = Feed { parameters: &state.parameters, buffers: &state.buffers, ..Feed::of(&one) };
        runner.run(&feed, &mut found)?;
        totals.iter_mut().zip(&found).for_each(|(total, sum)| *total += sum.item().unwrap_or(f64::NAN));
    }
    Ok(totals.into_iter().map(|total| total / batch.len().max(1) as f64).collect())
}

fn estimated(
    noise: &NoiseInjection,
    network: &Network,
    mode: NormMode,
    batch: &Batch,
    state: &State,
    probes: usize,
    seed: u64,
) -> Result<Vec<f64>> {
    if probes == 0 {
        return Err(Error::input("a trace cannot be estimated from no products"));
    }
    let mut curvature = Curvature::new(network, mode, batch.clone(), state.clone())?;
    let mut random = Key::new(seed, "noise_injection/trace", 0).random();
    let starts = starts(network);
    let mut totals = vec![0.0; noise.members().len()];
    for _ in 0..probes {
        let signs: Vec<f64> = (0..network.parameter_count()).map(|_| sign(&mut random)).collect();
        let product = curvature.product(Product::GaussNewton, &signs)?;
        for (total, group) in totals.iter_mut().zip(noise.members()) {
            let own = group.parameters.iter().flat_map(|&index| starts[index]..starts[index + 1]);
            *total += own.map(|element| signs[element] * product[element]).sum::<f64>();
        }
    }
    Ok(totals.into_iter().map(|total| total / probes as f64).collect())
}

/// How far predictions scatter when parameters are perturbed: the mean over samples of the squared change of all outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictionVariance {
    /// The tensor or layer; `all` for all of them at once.
    pub group: String,
    /// The standard deviation of the noise.
    pub deviation: f64,
    /// E‖(f(w + δ) − f(w − δ)) / 2‖²: what is linear in the noise, and odd orders beyond. This part is the penalty.
    pub odd: f64,
    /// E‖(f(w + δ) + f(w − δ)) / 2 − f(w)‖²: what is quadratic in the noise, and even orders beyond. This part only adds variance; for
    /// two layers perturbed together it grows with the width between them.
    pub even: f64,
}

/// What noise does to predictions, group by group and together.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseVariance {
    /// Each group alone, with deviation σ.
    pub alone: Vec<PredictionVariance>,
    /// All groups at once, with deviation σ/√M or σ as the scaling says.
    pub together: PredictionVariance,
}

/// How far the predictions for a batch scatter under the noise of each group alone and of all groups together, from `draws` draws.
///
/// Cost: 2 · draws · (M + 1) forward passes.
///
/// # Errors
/// When the samples or the state are not the network's, in [`NormMode::Frozen`], and for no draws.
pub fn noise_variance(
    noise: &NoiseInjection,
    network: &Network,
    mode: NormMode,
    batch: &Batch,
    state: &State,
    draws: usize,
    seed: u64,
) -> Result<NoiseVariance> {
    if draws == 0 {
        return Err(Error::input("a variance cannot be found from no draws"));
    }
    let mut probe = Probe::new(network, batch.len(), mode, |trace| Ok(vec![("logits".to_string(), trace.logits)]))?;
    let mut logits = |state: &State| -> Result<Vec<f64>> { Ok(probe.at(batch, state)?[0].to_f64()) };
    let clean = logits(state)?;
    let distribution = noise.settings().distribution;
    let mut of = |name: &str, parameters: &[usize], deviation: f64| -> Result<PredictionVariance> {
        let (mut odd, mut even) = (0.0, 0.0);
        for draw in 0..draws as u64 {
            let key = Key::new(seed, &format!("noise_injection/variance/{name}"), draw);
            let [up, down] = [deviation, -deviation].map(|by| perturbed(state, parameters, by, distribution, key));
            let (up, down) = (logits(&up)?, logits(&down)?);
            for ((up, down), clean) in up.iter().zip(&down).zip(&clean) {
                odd += (0.5 * (up - down)).powi(2);
                even += (0.5 * (up + down) - clean).powi(2);
            }
        }
        let count = (draws * batch.len().max(1)) as f64;
        Ok(PredictionVariance { group: name.to_string(), deviation, odd: odd / count, even: even / count })
    };
    let sigma = noise.settings().sigma;
    let alone = noise.members().iter().map(|group| of(&group.name, &group.parameters, sigma)).collect::<Result<_>>()?;
    let all: Vec<usize> = noise.members().iter().flat_map(|group| group.parameters.clone()).collect();
    let together = of("all", &all, noise.joint_deviation())?;
    Ok(NoiseVariance { alone, together })
}

/// The state with noise in some of its parameters; the same key gives the same noise.
fn perturbed(state: &State, parameters: &[usize], deviation: f64, distribution: NoiseDistribution, key: Key) -> State {
    let mut random = key.random();
    let mut moved = state.clone();
    for &index in parameters {
        let tensor = &mut moved.parameters[index];
        let values: Vec<f64> = tensor
            .to_f64()
            .into_iter()
            .map(|value| {
                let drawn = match distribution {
                    NoiseDistribution::Normal => random.normal_f64(),
                    NoiseDistribution::Sign => sign(&mut random),
                };
                value + deviation * drawn
            })
            .collect();
        *tensor = Tensor::from_f64(tensor.shape(), tensor.dtype(), &values).unwrap_or_else(|| tensor.clone());
    }
    moved
}

fn sign(random: &mut Random) -> f64 {
    if random.uniform_f64() < 0.5 { 1.0 } else { -1.0 }
}

/// Where each parameter starts in a flat vector, and where the last one ends.
fn starts(network: &Network) -> Vec<usize> {
    let mut starts = vec![0];
    for info in network.parameters() {
        starts.push(starts[starts.len() - 1] + info.shape.elements());
    }
    starts
}

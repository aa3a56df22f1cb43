//! What batch normalization is once training is over: a map of each sample that its layer can take in.

use super::super::setup;
use super::super::statistics::largest;
use super::super::{Check, Figure, Findings, Setting};
use crate::config::{Activation, Initialization, Loss, NormKind, NormMode};
use crate::models::{Mlp, ResNet};
use crate::nn::{Model, NormSettings};
use crate::norm::fold;
use crate::optim::Sgd;
use crate::study::Fit;
use crate::{Batch, Error, Network, Probe, Result, State};
use evenkeel_graph::{DType, Tensor};

const SAMPLES: usize = 100;

pub(super) fn folded_and_alone(setting: &Setting) -> Result<Findings> {
    let mut findings = Findings::new();
    let mut sizes: Vec<Vec<f64>> = Vec::new();
    let types = [(DType::F32, "f32", 1e-5), (DType::F64, "f64", 1e-12)];
    for (dtype, name, bound) in types {
        let found = setting.each([0, 1], |which| examine(setting, which, dtype))?;
        let differences: Vec<f64> = found.iter().map(|one| one.folded).collect();
        findings
            .check(Check::below(format!("folded, {name}: largest difference / largest output"), &differences, bound))
            .check(Check::holds(
                format!("running statistics, {name}: the same bits in other company"),
                found.iter().all(|one| one.alone[1]),
            ))
            .check(Check::holds(
                format!("statistics of the batch, {name}: other numbers in other company"),
                found.iter().all(|one| !one.alone[0]),
            ));
        sizes.push(differences);
    }
    let mut figure = Figure::bars(
        "Outputs with batch norm folded away",
        &["fully connected", "residual"],
        "largest difference / largest output",
    );
    for ((_, name, _), heights) in types.iter().zip(&sizes) {
        // A logarithmic axis has no place for 0.
        figure = figure.heights(*name, &heights.iter().map(|height| height.max(1e-17)).collect::<Vec<_>>());
    }
    findings.figure(figure.log_y());
    Ok(findings)
}

/// What is found on one network.
struct Found {
    /// How far outputs move when the layers are folded away, over the largest of them.
    folded: f64,
    /// Whether a sample's output stays bit for bit when its companions change, with statistics of the batch and running ones.
    alone: [bool; 2],
}

fn examine(setting: &Setting, which: usize, dtype: DType) -> Result<Found> {
    let model: Box<dyn Model> = match which {
        0 => Box::new(Mlp {
            widths: vec![64; 3],
            norm: NormKind::Batch,
            activation: Some(Activation::Relu),
            classes: 10,
        }),
        _ => Box::new(ResNet { blocks: 1, ..ResNet::default() }),
    };
    let samples = setup::digits(setting)?;
    let in_type = |batch: &Batch| Batch { inputs: batch.inputs.cast(dtype), labels: batch.labels.clone() };
    let network = Network::with(model, samples.shape(), dtype, Loss::CrossEntropy, NormSettings::default())?;
    let start = network.initial_state(Initialization::He, setting.seed);
    let how = Fit { batch: 60, steps: 60, seed: setting.seed, rate: &|_| 0.1 };
    let state = setup::train(&network, Sgd::PLAIN, start, &in_type(&samples.train), &how)?.state;
    let test = in_type(&samples.test);

    let batch = test.first(SAMPLES);
    let (plain, folded_state) = fold(&network, &state)?;
    let with = logits(&network, &state, &batch, NormMode::Running)?.to_f64();
    let without = logits(&plain, &folded_state, &batch, NormMode::Running)?.to_f64();
    let difference = largest(with.iter().zip(&without).map(|(a, b)| (a - b).abs()));
    let folded = difference / largest(with.iter().map(|a| a.abs()));

    // The first sample stays, all others change.
    let count = SAMPLES as u32;
    let others: Vec<u32> = std::iter::once(0).chain(count..2 * count - 1).collect();
    let others = test.take(&others)?;
    let mut alone = [false; 2];
    for (same, mode) in alone.iter_mut().zip([NormMode::Batch, NormMode::Running]) {
        let first = |batch| -> Result<Vec<u64>> {
            let logits = logits(&network, &state, batch, mode)?.to_f64();
            Ok(logits.iter().take(10).map(|logit| logit.to_bits()).collect())
        };
        *same = first(&batch)? == first(&others)?;
    }
    Ok(Found { folded, alone })
}

fn logits(network: &Network, state: &State, batch: &Batch, mode: NormMode) -> Result<Tensor> {
    let mut probe = Probe::new(network, batch.len(), mode, |trace| Ok(vec![("logits".to_owned(), trace.logits)]))?;
    probe.at(batch, state)?.first().cloned().ok_or_else(|| Error::input("a network answers"))
}

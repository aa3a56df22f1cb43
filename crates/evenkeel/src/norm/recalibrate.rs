//! Running statistics taken anew.

use crate::batch::Batch;
use crate::config::NormMode;
use crate::network::{Network, State, Tracing};
use crate::nn::NormSettings;
use crate::runner::{Build, Feed, Runner};
use crate::{Error, Result};
use evenkeel_graph::{Graph, Tensor};
use std::collections::BTreeMap;

/// The state with its running statistics replaced by those of the weights as they are now: the mean over some batches of what each
/// batch has, by their numbers of samples.
///
/// Every layer sees what the layers before it make of the statistics of the batch, as in training, without noise. For batch
/// normalization the mean is E\[μ\] and the variance m/(m−1) E\[σ²\]: not that of all samples together, since it leaves out how the
/// means of batches differ.
///
/// Cost: a way forward a batch, and a compilation for each size of a batch.
///
/// # Errors
/// The first error among `batches`; without any batch; where a batch has no statistics or they are not finite.
///
/// Source: Ioffe, Szegedy 2015, arXiv 1502.03167, algorithm 2, steps 8 to 10.
pub fn recalibrate(
    network: &Network,
    state: &State,
    batches: impl IntoIterator<Item = Result<Batch>>,
) -> Result<State> {
    // A buffer that moves all the way becomes what the batch has.
    let settings = NormSettings { momentum: 1.0, cumulative: false, ..network.norm_settings() };
    let taken = network.with_settings(settings)?;
    let start = taken.initial_buffers();
    let mut programs: BTreeMap<usize, Runner> = BTreeMap::new();
    let mut sums: Vec<Vec<f64>> = vec![vec![]; taken.buffers().len()];
    let (mut samples, mut count) = (0.0, 0usize);
    for batch in batches {
        let batch = batch?;
        let size = batch.len();
        let runner = match programs.entry(size) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => new.insert(program(&taken, size)?),
        };
        let mut found = runner.new_outputs();
        runner.run(&Feed { parameters: &state.parameters, buffers: &start, ..Feed::of(&batch) }, &mut found)?;
        for ((sum, tensor), info) in sums.iter_mut().zip(&found).zip(taken.buffers()) {
            let values = tensor.to_f64();
            if values.iter().any(|value| !value.is_finite()) {
                return Err(Error::numerical("the statistics of a batch are not finite")
                    .detail("layer", &info.path)
                    .detail("batch", count + 1));
            }
            sum.resize(values.len(), 0.0);
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * size as f64);
        }
        samples += size as f64;
        count += 1;
    }
    if count == 0 {
        return Err(Error::input("running statistics need at least one batch to be taken from"));
    }
    let mut means: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (info, sum) in taken.buffers().iter().zip(sums) {
        means.insert(&info.path, sum.into_iter().map(|sum| sum / samples).collect());
    }
    let buffers = network.buffers().iter().zip(&state.buffers).map(|(info, old)| {
        let values = match means.remove(info.path.as_str()) {
            Some(means) if !means.is_empty() => means,
            // A term's, which is no statistic.
            Some(_) => return old.clone(),
            // It counts batches.
            None => vec![count as f64; info.shape.elements()],
        };
        Tensor::from_f64(&info.shape, network.dtype(), &values).unwrap_or_else(|| old.clone())
    });
    Ok(State { buffers: buffers.collect(), parameters: state.parameters.clone() })
}

/// What the buffers become after one batch of so many samples.
fn program(network: &Network, samples: usize) -> Result<Runner> {
    let graph = Graph::new();
    let traced = network.trace(&graph, Tracing::quiet(samples, NormMode::Batch))?;
    let mut outputs = Vec::new();
    for (info, _, update) in traced.cx.buffers() {
        let Some(update) = update else {
            return Err(Error::input("a batch has no statistics to recalibrate with")
                .detail("layer", info.path)
                .detail("got", format!("a batch of {samples} sample{}", if samples == 1 { "" } else { "s" }))
                .hint("use larger batches"));
        };
        outputs.push((info.path, update));
    }
    Runner::new(&graph, &outputs, &Build::default())
}

//! Which steps run band by band.
//!
//! Between two reductions over the batch every sample goes its own way: normalise, convolve, add up. Run step by step, each of
//! these passes would send the whole batch through memory. Instead, steps that follow each other and are cut along the same
//! first axis form a [`Stage`]: a thread takes one *band* of samples through all of them, while the band's values are in its
//! second-level cache, and goes on to the next. Sums over the batch, and gradients of small weights, are added up from the bands,
//! in order, at the end.
//!
//! A step may join when it reads what the stage writes only at its own samples, and nothing that was put off. How many bands
//! there are depends on shapes alone, so results are the same bits on any number of threads.

use crate::compile::{Direction, Kernel};
use crate::loops::Loop;
use crate::program::Step;
use evenkeel_graph::Node;
use std::ops::Range;

/// Bytes that the values of one band should take: most of a second-level cache.
const BAND_BYTES: usize = 640 * 1024;
/// Stages that touch less than this are not worth cutting.
const STAGE_BYTES: usize = 1024 * 1024;
/// A convolution with larger weights packs them too often when it is cut.
const WEIGHT_BYTES: usize = 320 * 1024;
/// A weight gradient is summed within bands where what is read is this many times larger than the sums.
const PARTIAL_SHARE: usize = 2;
/// Fewer bands leave threads waiting for each other.
const MINIMAL_BANDS: usize = 8;
/// More bands make sums over them dear.
const MAXIMAL_BANDS: usize = 64;
/// Longer stages gain nothing more, and finding them would take long.
const MAXIMAL_STEPS: usize = 16;
/// How many steps may be put off while a stage looks for members.
const PUT_OFF: usize = 24;

/// Steps that run one after the other: whole when there is one band, else band by band.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) steps: Range<usize>,
    pub(crate) bands: usize,
}

/// Puts steps in an order in which stages are contiguous, and cuts their loops into bands.
pub(crate) fn form(steps: Vec<Step>, nodes: &[Node]) -> (Vec<Step>, Vec<Stage>) {
    let mut writer: Vec<Option<usize>> = vec![None; nodes.len()];
    for (number, step) in steps.iter().enumerate() {
        for &value in &step.writes {
            writer[value] = Some(number);
        }
    }
    let cuts: Vec<Option<Cut>> = steps.iter().map(|step| Cut::of(step, nodes)).collect();
    let mut remaining: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    let mut emitted = vec![false; remaining.len()];
    let (mut ordered, mut stages) = (Vec::with_capacity(remaining.len()), Vec::new());
    for first in 0..remaining.len() {
        if emitted[first] {
            continue;
        }
        let mut members = match &cuts[first] {
            Some(cut) => gather(first, cut.samples, &remaining, &cuts, &writer, &emitted),
            None => vec![first],
        };
        let mut bands = 1;
        if members.len() > 1 {
            match bands_of(&members, &remaining, &cuts, nodes) {
                Some(count) => bands = count,
                None => members.truncate(1),
            }
        }
        let start = ordered.len();
        for &member in &members {
            emitted[member] = true;
            if let Some(mut step) = remaining[member].take() {
                if let (Kernel::Loop(nest), true) = (&mut step.kernel, bands > 1)
                    && let Some(tiling) = nest.cut_into(bands)
                {
                    nest.tiling = tiling;
                    step.scratch_bytes = nest.partial_elements() * 8;
                }
                if let (Kernel::Convolution(Direction::WeightGradient, shape), true) = (&step.kernel, bands > 1) {
                    let partial = shape.weight_len() * nodes[step.writes[0]].dtype.bytes();
                    step.scratch_bytes = step.scratch_bytes.max(partial * bands);
                }
                ordered.push(step);
            }
        }
        stages.push(Stage { steps: start..ordered.len(), bands });
    }
    (ordered, stages)
}

/// How a step can be cut along its first axis.
struct Cut {
    samples: usize,
    /// Values read or written in as many equal blocks as there are samples, each block by its own sample. What is read
    /// otherwise is read whole; what is written otherwise only exists when all samples are done.
    local: Vec<usize>,
}

impl Cut {
    fn of(step: &Step, nodes: &[Node]) -> Option<Cut> {
        let (samples, read) = match &step.kernel {
            Kernel::Loop(nest) => (*nest.space.first()?, Self::local_leaves(nest)),
            Kernel::Convolution(direction, shape) => {
                let element = nodes[step.writes[0]].dtype.bytes();
                let bytes = shape.weight_len() * element;
                let [x, w] = [step.reads[0], step.reads[1]];
                match direction {
                    // Sums of each band, which are added up in the end.
                    Direction::WeightGradient => {
                        let read = (shape.input_len() + shape.output_len()) * element;
                        if bytes * MAXIMAL_BANDS * PARTIAL_SHARE > read {
                            return None;
                        }
                        (shape.batch, vec![x, w])
                    }
                    _ if bytes > WEIGHT_BYTES || x == w => return None,
                    _ => (shape.batch, vec![x]),
                }
            }
            Kernel::WindowSum(window)
            | Kernel::WindowSpread(window)
            | Kernel::WindowArgMax(window)
            | Kernel::WindowTake(window)
            | Kernel::WindowPut(window) => (window.input[0], step.reads.clone()),
            _ => return None,
        };
        let written = step.writes.iter().copied().filter(|&value| match &step.kernel {
            Kernel::Loop(nest) => {
                let own = nest.outputs.iter().find(|output| output.node == value);
                own.is_some_and(|output| output.keeps_first_axis() || !output.is_reduction())
            }
            Kernel::Convolution(direction, _) => *direction != Direction::WeightGradient,
            _ => true,
        });
        (samples > 1).then(|| Cut { samples, local: read.into_iter().chain(written).collect() })
    }

    fn local_leaves(nest: &Loop) -> Vec<usize> {
        let whole = |node: usize| nest.leaves.iter().any(|leaf| leaf.node == node && !leaf.local);
        let local = nest.leaves.iter().filter(|leaf| leaf.local).map(|leaf| leaf.node);
        local.filter(|&node| !whole(node)).collect()
    }

    fn is_local(&self, value: usize) -> bool {
        self.local.contains(&value)
    }
}

/// The steps that can run with `first`, in order.
fn gather(
    first: usize,
    samples: usize,
    steps: &[Option<Step>],
    cuts: &[Option<Cut>],
    writer: &[Option<usize>],
    emitted: &[bool],
) -> Vec<usize> {
    let mut members = vec![first];
    let mut put_off: Vec<usize> = Vec::new();
    for (next, step) in steps.iter().enumerate().skip(first + 1) {
        let Some(step) = step.as_ref().filter(|_| !emitted[next]) else { continue };
        let fits = cuts[next].as_ref().filter(|cut| cut.samples == samples).is_some_and(|cut| {
            let from_members = |value: usize| writer[value].is_some_and(|writer| members.contains(&writer));
            let available = step.reads.iter().all(|&value| match writer[value] {
                Some(writer) if members.contains(&writer) => {
                    cut.is_local(value) && cuts[writer].as_ref().is_some_and(|cut| cut.is_local(value))
                }
                Some(writer) => emitted[writer],
                None => true,
            });
            let shares = |value: &usize| {
                from_members(*value)
                    || members.iter().any(|&member| cuts[member].as_ref().is_some_and(|cut| cut.is_local(*value)))
            };
            available && cut.local.iter().any(shares)
        });
        if fits {
            // As soon as what it reads is there, and still in the cache.
            let wrote = |&member: &usize| step.reads.iter().any(|&value| writer[value] == Some(member));
            let place = members.iter().rposition(wrote).map_or(members.len(), |last| last + 1);
            members.insert(place, next);
            if members.len() == MAXIMAL_STEPS {
                break;
            }
        } else {
            put_off.push(next);
            if put_off.len() > PUT_OFF {
                break;
            }
        }
    }
    members
}

/// The number of bands for these steps, if cutting them pays and is possible.
fn bands_of(members: &[usize], steps: &[Option<Step>], cuts: &[Option<Cut>], nodes: &[Node]) -> Option<usize> {
    let cuts: Vec<&Cut> = members.iter().filter_map(|&member| cuts[member].as_ref()).collect();
    let samples = cuts.first()?.samples;
    let mut values: Vec<usize> = cuts.iter().flat_map(|cut| cut.local.iter().copied()).collect();
    values.sort_unstable();
    values.dedup();
    let bytes: usize = values.iter().map(|&value| nodes[value].shape.elements() * nodes[value].dtype.bytes()).sum();
    if bytes < STAGE_BYTES {
        return None;
    }
    let fits = |bands: usize| {
        members.iter().filter_map(|&member| steps[member].as_ref()).all(|step| match &step.kernel {
            Kernel::Loop(nest) => nest.cut_into(bands).is_some(),
            _ => true,
        })
    };
    (MINIMAL_BANDS..=MAXIMAL_BANDS.min(samples))
        .filter(|bands| samples.is_multiple_of(*bands))
        .filter(|bands| fits(*bands))
        .find(|bands| bytes / bands <= BAND_BYTES)
        .or_else(|| {
            let mut largest = (MINIMAL_BANDS..=MAXIMAL_BANDS.min(samples)).rev();
            largest.find(|bands| samples.is_multiple_of(*bands) && fits(*bands))
        })
}

/// The values that steps of a stage read as a whole: they must stay as they are until the stage ends.
pub(crate) fn read_whole(step: &Step, nodes: &[Node]) -> Vec<usize> {
    match Cut::of(step, nodes) {
        Some(cut) => step.reads.iter().copied().filter(|&value| !cut.is_local(value)).collect(),
        None => step.reads.clone(),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Options, Program};
    use evenkeel_graph::{DType, Graph};

    /// The stages of a program with more than one step, as counts of steps and bands.
    fn stages(samples: usize, channels: usize) -> Vec<(usize, usize)> {
        let graph = Graph::new();
        let x = graph.input("x", [samples, 32, 32, channels], DType::F32);
        let w = graph.input("w", [3, 3, channels, channels], DType::F32);
        let y = x.exp().conv(w, [1, 1], [[1, 1], [1, 1]]);
        let outputs = [("y", y), ("mean", y.mean(&[0, 1, 2]))];
        let function = graph.function(&outputs).expect("the formula is right");
        let program = Program::compile(&function, &Options::default()).expect("the options are right");
        program.stages().iter().filter(|stage| stage.bands > 1).map(|stage| (stage.steps.len(), stage.bands)).collect()
    }

    #[test]
    fn what_follows_each_other_at_each_sample_is_one_stage() {
        // exp, the convolution and the sum over all samples; bands of a few samples.
        assert_eq!(stages(128, 16), [(3, 64)]);
        assert_eq!(stages(64, 16), [(3, 32)]);
    }

    /// The stages of both gradients of a convolution whose output has the gradient exp(y).
    fn stages_of_gradients(samples: usize, channels: usize) -> Vec<(usize, usize)> {
        let graph = Graph::new();
        let x = graph.input("x", [samples, 32, 32, channels], DType::F32);
        let w = graph.input("w", [3, 3, channels, channels], DType::F32);
        let y = graph.input("y", [samples, 32, 32, channels], DType::F32);
        let of = x.conv(w, [1, 1], [[1, 1], [1, 1]]);
        let gradient = graph.vjp(&[of], &[x, w], Some(&[y.exp()])).expect("the formula is right");
        let function = graph.function(&[("x", gradient[0]), ("w", gradient[1])]).expect("the formula is right");
        let program = Program::compile(&function, &Options::default()).expect("the options are right");
        program.stages().iter().filter(|stage| stage.bands > 1).map(|stage| (stage.steps.len(), stage.bands)).collect()
    }

    #[test]
    fn a_weight_gradient_is_summed_band_by_band_where_its_sums_are_small() {
        assert_eq!(stages_of_gradients(128, 16), [(3, 64)]);
        // Sums of 64 bands would be larger than the activations: only the other gradient stays with what it reads.
        assert_eq!(stages_of_gradients(16, 80), [(2, 16)]);
    }

    #[test]
    fn small_batches_and_large_weights_stay_whole() {
        assert_eq!(stages(2, 16), []);
        // 3 × 3 × 256 × 256 weights would be packed for every band: only the sum that follows stays with what it adds up.
        assert!(stages(16, 256).iter().all(|&(steps, _)| steps < 3));
    }
}

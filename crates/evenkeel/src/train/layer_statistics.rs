//! What does a step do to each weight: how long is it, how long is its gradient, how far does it move?

use crate::network::Network;
use crate::optim::{Optimizer, Pace};
use evenkeel_graph::{DType, Tensor, Var};

/// A weight in one step of training, where gradients are taken: with averages, not the average but what is averaged.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightStatistics {
    /// The path of the parameter.
    pub path: String,
    /// Euclidean length before the step.
    pub weight_norm: f64,
    /// Euclidean length of the gradient of the objective there, before it is clipped and without weight decay; of a batch in parts, of
    /// the mean of theirs.
    pub gradient_norm: f64,
    /// Euclidean length of the difference that the step made, weight decay included.
    pub update_norm: f64,
    /// The effective learning rate of the step, see [`crate::optim::EffectiveRate::at`].
    pub effective_rate: f64,
}

impl WeightStatistics {
    /// How far the weight moved, as a part of its length; not finite for a weight of length 0.
    pub fn update_ratio(&self) -> f64 {
        self.update_norm / self.weight_norm
    }
}

/// Numbers of a weight in the order of tracing.
const NUMBERS: usize = 3;

/// The places of the parameters that are looked at: those with two axes and more; all of a network that has none of these.
pub(super) fn weights(network: &Network) -> Vec<usize> {
    let all = 0..network.parameters().len();
    let weights: Vec<usize> = all.clone().filter(|&place| network.parameters()[place].shape.len() >= 2).collect();
    if weights.is_empty() { all.collect() } else { weights }
}

/// One parameter in a step that is being traced.
#[derive(Clone, Copy)]
pub(super) struct Seen<'g> {
    pub(super) old: Var<'g>,
    pub(super) new: Var<'g>,
    pub(super) gradient: Var<'g>,
    /// Whether the step is taken.
    pub(super) moves: Var<'g>,
}

/// Lengths of weight, gradient and update.
///
/// All wait for `moves`, so that they run beside the update: in an earlier loop they could change in what order that one's sums are
/// taken, and with it the last bits of what is learned.
pub(super) fn trace<'g>(path: &str, seen: Seen<'g>) -> [(String, Var<'g>); NUMBERS] {
    let Seen { old, new, gradient, moves } = seen;
    let _scope = old.graph().scope("layer_statistics");
    let nothing = old.like(0.0);
    let length = |values: Var<'g>| values.square().sum_all().sqrt();
    // A gradient that vanishes has squares that f32 cannot hold; weights and their updates stay far above.
    let gradient = moves.select(gradient, nothing).cast(DType::F64);
    [
        (format!("weight_norm/{path}"), length(moves.select(old, nothing))),
        (format!("gradient_norm/{path}"), length(gradient)),
        (format!("update_norm/{path}"), length(new - old)),
    ]
}

/// Places for what [`trace`] gives for all [`weights`].
pub(super) fn outputs(network: &Network) -> Vec<Tensor> {
    let dtype = network.dtype();
    let numbers = [dtype, DType::F64, dtype].map(|dtype| Tensor::zeros([], dtype));
    weights(network).iter().flat_map(|_| numbers.clone()).collect()
}

/// Reads what [`trace`] gave for all [`weights`].
pub(super) fn read(
    network: &Network,
    optimizer: &dyn Optimizer,
    pace: Pace,
    numbers: &[Tensor],
) -> Vec<WeightStatistics> {
    let number = |tensor: &Tensor| tensor.item().unwrap_or(f64::NAN);
    let infos = weights(network).into_iter().map(|place| &network.parameters()[place]);
    let read = infos.zip(numbers.chunks(NUMBERS)).map(|(info, numbers)| {
        let [weight_norm, gradient_norm, update_norm] =
            std::array::from_fn(|n| numbers.get(n).map_or(f64::NAN, number));
        let effective_rate = optimizer.effective_rate(&info.path, &info.shape, pace).at(pace.rate, weight_norm);
        WeightStatistics { path: info.path.clone(), weight_norm, gradient_norm, update_norm, effective_rate }
    });
    read.collect()
}

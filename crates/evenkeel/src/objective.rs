//! What training makes small, and how right the answers are.

use crate::Result;
use crate::config::Loss;
use crate::network::Trace;
use evenkeel_graph::Var;

/// A part of what training makes small beside the mean of the samples' losses: a regularizer.
///
/// A term is traced like everything else, so gradients and Hessian products go through it, and terms combine. In a training step
/// and in curvature the samples of the batch are one batch to it.
pub trait Term {
    /// The objective with this term, from the objective without it: a sum with a penalty, say, or a product.
    ///
    /// Learned numbers of its own are asked for by [`crate::nn::Context::param`] and count as parameters of the network.
    ///
    /// # Errors
    /// When the term does not fit the network; the message names the layer.
    fn apply<'g>(&self, trace: &Trace<'g>, objective: Var<'g>) -> Result<Var<'g>>;

    /// Whether the term takes part in a training step, counted from 0; a term that is dear may rest now and then. For each set of terms
    /// that are due together a step is compiled when it is first taken. Outside of training every term takes part.
    fn due(&self, _step: u64) -> bool {
        true
    }
}

/// The loss of each label, `[..]`, from logits `[.., classes]` and labels `[..]`.
///
/// * [`Loss::CrossEntropy`]: ln Σ eᶻ − z_label. Its derivatives come out in closed form: softmax − one-hot, and
///   diag(p) − p pᵀ.
/// * [`Loss::Squared`]: ½ Σ (z − one-hot)²
pub fn losses<'g>(loss: Loss, logits: Var<'g>, labels: Var<'g>) -> Var<'g> {
    let shape = logits.shape();
    let graph = logits.graph();
    let last = shape.len().saturating_sub(1);
    let mut rows = labels.shape().to_vec();
    rows.push(1);
    let class = graph.iota(&shape, last, logits.dtype());
    let one_hot = class.equal(labels.cast(logits.dtype()).reshape(rows));
    match loss {
        Loss::CrossEntropy => logits.log_sum_exp() - one_hot.select(logits, logits.like(0.0)).sum(&[last]),
        Loss::Squared => (logits - one_hot.cast(logits.dtype())).square().sum(&[last]) * 0.5,
    }
}

/// 1 for each label whose logit is the largest of its row, else 0: `[..]`.
pub fn hits<'g>(logits: Var<'g>, labels: Var<'g>) -> Var<'g> {
    logits.argmax().equal(labels).cast(logits.dtype())
}

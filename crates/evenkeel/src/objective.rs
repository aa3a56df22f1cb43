//! What training makes small, and how right the answers are.

use crate::config::Loss;
use evenkeel_graph::Var;

/// The loss of each sample, `[N]`, from logits `[N, classes]` and labels `[N]`.
///
/// * [`Loss::CrossEntropy`]: ln Σ eᶻ − z_label. Its derivatives come out in closed form: softmax − one-hot, and
///   diag(p) − p pᵀ.
/// * [`Loss::Squared`]: ½ Σ (z − one-hot)²
pub fn losses<'g>(loss: Loss, logits: Var<'g>, labels: Var<'g>) -> Var<'g> {
    let shape = logits.shape();
    let graph = logits.graph();
    let samples = shape.first().copied().unwrap_or(0);
    let class = graph.iota(&shape, 1, logits.dtype());
    let one_hot = class.equal(labels.cast(logits.dtype()).reshape([samples, 1]));
    match loss {
        Loss::CrossEntropy => logits.log_sum_exp() - one_hot.select(logits, logits.like(0.0)).sum(&[1]),
        Loss::Squared => (logits - one_hot.cast(logits.dtype())).square().sum(&[1]) * 0.5,
    }
}

/// 1 for each sample whose largest logit is its label's, else 0: `[N]`.
pub fn hits<'g>(logits: Var<'g>, labels: Var<'g>) -> Var<'g> {
    logits.argmax().equal(labels).cast(logits.dtype())
}

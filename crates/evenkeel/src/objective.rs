//! What training makes small, and how right the answers are.

use crate::config::Loss;
use crate::network::Trace;
use crate::nn::Targets;
use crate::{Error, Result};
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

/// The loss of each label from answers and what they are compared with.
///
/// With classes, labels `[..]` of integers and answers `[.., classes]`, one a label:
/// * [`Loss::CrossEntropy`]: ln Σ eᶻ − z_label. Its derivatives come out in closed form: softmax − one-hot, and
///   diag(p) − p pᵀ.
/// * [`Loss::Squared`]: ½ Σ (z − t)² with t the one-hot label
/// * [`Loss::Bernoulli`]: Σ ln(1 + eᶻ) − t z, each output a yes or no of its own with probability σ(z)
///
/// With numbers, labels t `[N, ..]` in the shape of the answers, one a sample: the same two sums over all of a sample's
/// numbers. Cross-entropy takes them for shares of classes, as labels of mixed samples are: Σ t · ln Σ eᶻ − Σ t z over the last axis; of other
/// numbers there is none, see [`fits`].
pub fn losses<'g>(loss: Loss, answers: Var<'g>, labels: Var<'g>) -> Var<'g> {
    let shape = answers.shape();
    let last = shape.len().saturating_sub(1);
    let in_shares = labels.dtype().is_float();
    match loss {
        Loss::CrossEntropy if in_shares => labels.sum(&[last]) * answers.log_sum_exp() - answers_of(answers, labels),
        Loss::CrossEntropy => answers.log_sum_exp() - answers_of(answers, labels),
        _ if in_shares => sums(loss, answers, labels, &(1..shape.len()).collect::<Vec<_>>()),
        _ => sums(loss, answers, one_hot(answers, labels).cast(answers.dtype()), &[last]),
    }
}

/// Where a class is the label, `[.., classes]`.
fn one_hot<'g>(answers: Var<'g>, labels: Var<'g>) -> Var<'g> {
    let (shape, rows) = (answers.shape(), [labels.shape().to_vec(), vec![1]].concat());
    let class = answers.graph().iota(&shape, shape.len().saturating_sub(1), answers.dtype());
    class.equal(labels.cast(answers.dtype()).reshape(rows))
}

/// The answer for each label's class; with shares of classes, as much of each answer.
pub(crate) fn answers_of<'g>(answers: Var<'g>, labels: Var<'g>) -> Var<'g> {
    let last = answers.shape().len().saturating_sub(1);
    if labels.dtype().is_float() {
        return (labels * answers).sum(&[last]);
    }
    one_hot(answers, labels).select(answers, answers.like(0.0)).sum(&[last])
}

/// The losses that compare number with number, summed over some axes.
fn sums<'g>(loss: Loss, answers: Var<'g>, targets: Var<'g>, axes: &[usize]) -> Var<'g> {
    match loss {
        Loss::Bernoulli => {
            // ln(1 + eᶻ) as ln(e⁰ + eᶻ): it overflows nowhere, and its derivatives are right at 0, too.
            let mut pairs = answers.shape().to_vec();
            pairs.push(1);
            let answer = answers.reshape(pairs);
            let graph = answers.graph();
            let axis = answers.shape().len();
            let certain = graph.concat(&[answer.like(0.0), answer], axis).log_sum_exp();
            (certain - targets * answers).sum(axes)
        }
        Loss::CrossEntropy | Loss::Squared => (answers - targets).square().sum(axes) * 0.5,
    }
}

/// Whether a loss can compare answers with such targets.
///
/// # Errors
/// For cross-entropy with anything but classes.
pub fn fits(loss: Loss, targets: Targets) -> Result<()> {
    if targets == Targets::Classes || loss != Loss::CrossEntropy {
        return Ok(());
    }
    let what = if targets == Targets::Inputs { "its inputs" } else { "numbers" };
    Err(Error::input(format!("loss {loss} is for classes, and the network is compared with {what}"))
        .detail("key", "loss")
        .detail("expected", format!("{} or {}", Loss::Squared, Loss::Bernoulli))
        .detail("got", loss)
        .hint("use `--set loss=squared`, or leave `loss` out"))
}

/// 1 for each label whose logit is the largest of its row, else 0: `[..]`. With shares of classes, the share of the class with the largest logit.
pub fn hits<'g>(answers: Var<'g>, labels: Var<'g>) -> Var<'g> {
    let answered = answers.argmax();
    if !labels.dtype().is_float() {
        return answered.equal(labels).cast(answers.dtype());
    }
    let last = answers.shape().len().saturating_sub(1);
    one_hot(answers, answered).select(labels, labels.like(0.0)).sum(&[last])
}

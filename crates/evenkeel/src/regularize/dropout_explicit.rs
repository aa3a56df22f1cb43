//! What dropout does to training, as penalties without or apart from its noise: R1, the mean effect on the loss, and R2, that of
//! steps of finite length.

use crate::config::Loss;
use crate::network::Trace;
use crate::nn::DropoutSite;
use crate::objective::Term;
use crate::{Error, Result};
use evenkeel_graph::op::Op;
use evenkeel_graph::{Shape, Var};

/// R1 = v/2 · mean over samples of Σᵣ cᵣᵀ H cᵣ, times a factor: what masks add to the loss on average, v = rate / (1 − rate).
///
/// cᵣ = hᵣ ∂z/∂hᵣ is what hidden value r contributes to the logits z, and H is the Hessian of the loss in them: 1 for
/// [`Loss::Squared`], diag(q) − q qᵀ with q = softmax(z) for [`Loss::CrossEntropy`], diag(σ (1 − σ)) for [`Loss::Bernoulli`].
///
/// * For squared loss and dropout before the last, linear layer this is exact: E L_drop = L + R1, and so for the gradients. Masks of
///   each sample and masks of the step have the same R1.
/// * Elsewhere it is the second-order form, which has to be asked for (`approximate`). It leaves out cubes of contributions and beyond:
///   masks of 0 and 1 / (1 − rate) are skewed, so this error falls with v no faster than R1 itself. In front of other layers it
///   leaves out their curvature, too, which may be more than what it has.
///
/// The network's own dropout says where and how much ([`crate::Network::with_dropout`] or [`crate::nn::Context::dropout_with`]); with
/// masks `none` the penalty takes the place of the noise, with masks and the factor −1 it is taken out of training with noise.
///
/// Cost before a linear last layer: one backward pass through it, and a pass over its inputs; elsewhere one backward pass an output.
///
/// Source: Zhang, Xu 2024, arXiv 2207.05952, equation of R1; for cross-entropy and other layers the second-order form of Wager, Wang,
/// Liang 2013, arXiv 1307.1493. See `docs/methods/dropout.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutR1 {
    /// What it is multiplied by before it is added: 1, or −1.
    pub factor: f64,
    /// Whether the second-order form will do where there is no exact one.
    pub approximate: bool,
}

/// R2 = ε/4 · E‖∇L_drop‖² over masks, times a factor: what steps of length ε add to dropout's loss, to first order in ε.
///
/// A gradient step of length ε under a fixed mask follows the flow of L_drop + ε/4 ‖∇L_drop‖² up to O(ε³). The mean over masks is
/// ε/4 (‖∇(L + R1)‖² + tr Cov), so this holds for each mask, and not for the mean step.
///
/// Cost: a forward and a backward pass for each mask (none with the step's own) and the backward pass of all that.
///
/// Source: Zhang, Xu 2024, arXiv 2207.05952, equation of R2. See `docs/methods/dropout.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutR2 {
    /// What it is multiplied by before it is added: 1, or −1.
    pub factor: f64,
    /// ε, the length of the steps it is about.
    pub learning_rate: f64,
    /// Masks it is the mean over, drawn anew each step; 0: the masks that the step itself drew.
    pub masks: usize,
}

impl Term for DropoutR1 {
    fn apply<'g>(&self, trace: &Trace<'g>, objective: Var<'g>) -> Result<Var<'g>> {
        let penalty = r1(trace, self.approximate)?;
        Ok(penalty.map_or(objective, |penalty| objective + penalty * self.factor))
    }
}

impl Term for DropoutR2 {
    fn apply<'g>(&self, trace: &Trace<'g>, objective: Var<'g>) -> Result<Var<'g>> {
        let penalty = r2(trace, self.learning_rate, self.masks)?;
        Ok(penalty.map_or(objective, |penalty| objective + penalty * self.factor))
    }
}

/// R1 of a traced network, a scalar; none where nothing is dropped.
///
/// # Errors
/// Where there is no exact form and no approximate one is wanted.
pub fn r1<'g>(trace: &Trace<'g>, approximate: bool) -> Result<Option<Var<'g>>> {
    let mut total: Option<Var<'g>> = None;
    for site in trace.cx.dropout_sites().iter().filter(|site| site.dropout.rate > 0.0) {
        let penalty = contribution(trace, site, approximate)?.mean_all() * (0.5 * site.dropout.variance());
        total = Some(total.map_or(penalty, |total| total + penalty));
    }
    Ok(total)
}

/// κ = m Σₙ Σᵣ |cᵣ|² / Σₙ |z|² over the hidden values of one place of dropout before a linear layer without bias: at least 1, and 1 where
/// all m contributions are equal, for each sample. Neurons that have condensed to one direction have κ = 1.
///
/// # Errors
/// Where the layers behind are not linear, or there is not one place of dropout.
pub fn condensation<'g>(trace: &Trace<'g>) -> Result<Var<'g>> {
    let sites = trace.cx.dropout_sites();
    let [site] = &sites[..] else {
        return Err(Error::input("condensation is about one place of dropout").detail("got", sites.len()));
    };
    let Some(weights) = linear_weights(trace, site)? else { return Err(not_linear(site)) };
    let hidden = site.input.flatten();
    let width = hidden.shape()[1];
    let squares = (hidden.square().sum(&[0]) * weights.square().sum(&[0])).sum_all();
    let answers = hidden.matmul_with(weights, false, true);
    Ok(squares * width as f64 / answers.square().sum_all())
}

/// Σᵣ cᵣᵀ H cᵣ of each sample, `[N]`.
fn contribution<'g>(trace: &Trace<'g>, site: &DropoutSite<'g>, approximate: bool) -> Result<Var<'g>> {
    let loss = trace.network().loss();
    let logits = trace.logits;
    if logits.shape().len() != 2 {
        return Err(Error::input("R1 of dropout needs one answer a sample").detail("got", logits.shape()));
    }
    let weights = linear_weights(trace, site)?;
    if !approximate && (weights.is_none() || loss != Loss::Squared) {
        return Err(match weights {
            None => not_linear(site),
            Some(_) => Error::input("R1 of dropout has an exact form for squared loss alone")
                .detail("got", format!("loss {loss}"))
                .hint("`dropout.approximate=true` takes the second-order form"),
        });
    }
    let hidden = site.input.flatten();
    let squares = hidden.square();
    match weights {
        Some(weights) => {
            // The logits without masks; with them the softmax would be that of the dropped network.
            let dropped = site.output.flatten() - hidden;
            let clean = logits - dropped.matmul_with(weights, false, true);
            let bent = match loss {
                Loss::CrossEntropy => {
                    let q = clean.softmax();
                    q.matmul(weights.square()) - q.matmul(weights).square()
                }
                Loss::Bernoulli => bernoulli(clean).matmul(weights.square()),
                Loss::Squared => weights.square().sum(&[0]).broadcast_to(&squares.shape()),
            };
            Ok((squares * bent).sum(&[1]))
        }
        None => {
            let [samples, classes] = [logits.shape()[0], logits.shape()[1]];
            let pulled = pulled_by_class(trace, site)?.reshape([classes, samples, hidden.shape()[1]]);
            let by_class = |weight: Var<'g>| weight.transpose(&[1, 0]).broadcast_along(vec![0, 1], &pulled.shape());
            let bent = match loss {
                Loss::CrossEntropy => {
                    let q = by_class(logits.softmax());
                    (pulled.square() * q).sum(&[0]) - (pulled * q).sum(&[0]).square()
                }
                Loss::Bernoulli => (pulled.square() * by_class(bernoulli(logits))).sum(&[0]),
                Loss::Squared => pulled.square().sum(&[0]),
            };
            Ok((squares * bent).sum(&[1]))
        }
    }
}

/// σ (1 − σ): the second derivative of a yes or no in its logit.
fn bernoulli(logits: Var<'_>) -> Var<'_> {
    let chance = logits.sigmoid();
    chance - chance.square()
}

/// ∂z/∂h as one matrix `[classes, m]`, where it is the same for all samples; none where it is not.
///
/// One backward pass finds as many rows as there are samples: sample n answers for class n.
fn linear_weights<'g>(trace: &Trace<'g>, site: &DropoutSite<'g>) -> Result<Option<Var<'g>>> {
    let (graph, logits) = (trace.cx.graph(), trace.logits);
    let (samples, classes) = (logits.shape()[0], logits.shape()[1]);
    let mut rows: Vec<Var<'g>> = vec![];
    for first in (0..classes).step_by(samples.max(1)) {
        let [row, column] = [0, 1].map(|axis| graph.iota(logits.shape(), axis, logits.dtype()));
        let asked = (row + first as f64).equal(column).cast(logits.dtype());
        let pulled = graph.vjp(&[logits], &[site.output], Some(&[asked]))?[0].flatten();
        if first == 0 && depends_on_samples(trace, pulled)? {
            return Ok(None);
        }
        let count = samples.min(classes - first);
        rows.push(pulled.slice_along(0, 0..count));
    }
    Ok(Some(graph.concat(&rows, 0)))
}

/// Whether a value is a function of the inputs, or of anything that is drawn.
fn depends_on_samples(trace: &Trace<'_>, value: Var<'_>) -> Result<bool> {
    let function = trace.cx.graph().function(&[("value", value)])?;
    let of_samples = |index: usize| {
        let name = &function.inputs()[index].name;
        name == "x" || name == "y" || name.starts_with("key/")
    };
    Ok(function.nodes().iter().any(|node| matches!(node.op, Op::Input(index) if of_samples(index))))
}

/// ∂z_k/∂h for every class k and sample: `[classes, N, ..]`.
fn pulled_by_class<'g>(trace: &Trace<'g>, site: &DropoutSite<'g>) -> Result<Var<'g>> {
    let (graph, logits) = (trace.cx.graph(), trace.logits);
    let shape = logits.shape();
    // Stands for the weights of one class; nothing reads it in the end.
    let class = graph.splat(0.0, &shape, logits.dtype());
    let pulled = graph.vjp(&[logits], &[site.output], Some(&[class]))?;
    let stack = Shape::from([shape[1], shape[0], shape[1]]);
    let [first, last] = [0, 2].map(|axis| graph.iota(&stack, axis, logits.dtype()));
    let pulled = graph.map(&pulled, &[class], &[first.equal(last).cast(logits.dtype())])?;
    Ok(pulled[0])
}

fn not_linear(site: &DropoutSite<'_>) -> Error {
    Error::input("R1 of dropout has an exact form before a linear last layer alone")
        .detail("layer", &site.path)
        .hint("take the second-order form (`dropout.approximate=true`), or drop only the values that a last linear layer reads (`dropout.layers=last`)")
}

/// R2 of a traced network, a scalar, with `masks` masks drawn for it or with those of the trace (0); none where nothing is dropped.
///
/// Where no random numbers are drawn, that of the loss without masks.
///
/// # Errors
/// When the gradient cannot be traced.
pub fn r2<'g>(trace: &Trace<'g>, learning_rate: f64, masks: usize) -> Result<Option<Var<'g>>> {
    let sites: Vec<_> = trace.cx.dropout_sites().into_iter().filter(|site| site.dropout.rate > 0.0).collect();
    if sites.is_empty() {
        return Ok(None);
    }
    let graph = trace.cx.graph();
    let gradient = graph.vjp(&[trace.losses.mean_all()], &trace.parameters(), None)?;
    let mut drawn = vec![];
    if masks > 0 {
        for site in &sites {
            let _scope = trace.cx.scope(&format!("r2.{}", site.path));
            drawn.extend(trace.cx.key().map(|key| site.masks(key, Some(masks))));
        }
    }
    let square = |gradient: &[Var<'g>]| {
        let squares = gradient.iter().map(|gradient| gradient.square().sum_all());
        squares.fold(trace.losses.like(0.0).sum_all(), |sum, square| sum + square)
    };
    let mean = if drawn.is_empty() {
        square(&gradient)
    } else {
        let over: Vec<Var<'g>> = sites.iter().map(|site| site.mask).collect();
        square(&graph.map(&gradient, &over, &drawn)?) / masks as f64
    };
    Ok(Some(mean * (0.25 * learning_rate)))
}

//! Labels that are not quite certain.

use crate::network::Trace;
use crate::nn::Targets;
use crate::objective::{Term, answers_of};
use crate::{Error, Result};
use evenkeel_graph::Var;

/// The loss with labels of which a share s is spread over all classes: t = (1 − s) one-hot + s / C.
///
/// Cross-entropy and the Bernoulli loss are linear in t, so what it adds is s · mean (z_label − z̄) with z the answers and z̄ their mean over
/// the classes; for the squared loss the same up to a constant. The loss that is told stays that of the labels themselves.
///
/// Source: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2016, arXiv 1512.00567, section 7.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelSmoothing {
    /// s.
    pub share: f64,
}

impl Term for LabelSmoothing {
    fn apply<'g>(&self, trace: &Trace<'g>, objective: Var<'g>) -> Result<Var<'g>> {
        let (answers, labels) = (trace.logits, trace.labels);
        if trace.network().targets() != Targets::Classes {
            return Err(Error::input("label smoothing is for classes, and the network is compared with numbers")
                .detail("key", "label_smoothing")
                .detail("expected", 0)
                .detail("got", self.share));
        }
        let mean = answers.mean(&[answers.shape().len().saturating_sub(1)]);
        Ok(objective + (answers_of(answers, labels) - mean).mean_all() * self.share)
    }
}

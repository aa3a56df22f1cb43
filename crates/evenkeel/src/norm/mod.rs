//! Normalization layers.

mod batch;
mod layer;

use crate::config::NormKind;
use crate::nn::Context;
use evenkeel_graph::Var;

impl<'g> Context<'g> {
    /// The normalization layer of the given kind under `name`; the identity for [`NormKind::None`].
    pub fn normalize(&self, kind: NormKind, name: &str, x: Var<'g>) -> Var<'g> {
        match kind {
            NormKind::None => x,
            NormKind::Batch => self.batch_norm(name, x),
        }
    }
}

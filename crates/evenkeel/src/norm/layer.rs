//! Layer normalization.

use crate::nn::{Context, Initial};
use evenkeel_graph::Var;

impl<'g> Context<'g> {
    /// Layer normalization: each position is standardized over its channels, then scaled and shifted.
    ///
    /// y = γ · (x − μ) / √(σ² + ε) + β, with one γ (`weight`, 1 at first) and β (`bias`, 0 at first) a channel, and μ, σ² over
    /// the last axis; σ² is the biased variance. The batch plays no part, so every norm mode computes the same.
    ///
    /// Input and output: `[.., C]`.
    ///
    /// Source: Ba, Kiros, Hinton 2016, arXiv 1607.06450, section 3.
    pub fn layer_norm(&self, name: &str, x: Var<'g>) -> Var<'g> {
        let _scope = self.scope(name);
        let shape = x.shape();
        let last = shape.len().saturating_sub(1);
        let channels = shape.last().copied().unwrap_or(0);
        let mut rows = shape.to_vec();
        if let Some(extent) = rows.last_mut() {
            *extent = 1;
        }
        let centered = x - x.mean(&[last]).reshape(rows.clone());
        let variance = centered.square().mean(&[last]).reshape(rows);
        let weight = self.param("weight", [channels], Initial::Constant(1.0));
        let bias = self.param("bias", [channels], Initial::Constant(0.0));
        centered * (variance + self.norm().epsilon).rsqrt() * weight + bias
    }
}

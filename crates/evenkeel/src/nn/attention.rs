//! Softmax attention with several heads.

use super::Context;
use crate::Error;
use evenkeel_graph::{DType, Var};

/// What a masked score becomes: its exponential is 0 beside any other, and its own arithmetic stays finite.
const MASKED: f64 = -1e30;

/// softmax(q kᵀ / √D) v over the last two axes.
///
/// * `q` `[.., T, D]`, `k` `[.., S, D]`, `v` `[.., S, E]`; the result is `[.., T, E]`
/// * `causal`: position t sees positions 0 ..= t only (T = S)
/// * cost: two products of T · S rows, and T · S weights in memory
///
/// Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.2.1.
pub fn attention<'g>(q: Var<'g>, k: Var<'g>, v: Var<'g>, causal: bool) -> Var<'g> {
    let width = q.shape().last().copied().unwrap_or(1);
    let mut scores = q.matmul_with(k, false, true) / (width as f64).sqrt();
    if causal {
        let shape = scores.shape();
        if let [.., rows, columns] = shape[..] {
            let graph = scores.graph();
            let position = |axis| graph.iota([rows, columns], axis, DType::I32);
            scores = position(1).greater(position(0)).select(scores.like(MASKED), scores);
        }
    }
    scores.softmax().matmul(v)
}

impl<'g> Context<'g> {
    /// Self-attention with `heads` heads: queries, keys and values are one linear map of x, the heads' results another.
    ///
    /// * input and output: `[N, T, C]`; `heads` must divide `C`
    /// * `qkv.weight` `[C, 3 C]` and `qkv.bias`: columns of the queries, then the keys, then the values, each head after head
    /// * `out.weight` `[C, C]` and `out.bias`
    ///
    /// Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.2.2.
    pub fn self_attention(&self, name: &str, x: Var<'g>, heads: usize, causal: bool) -> Var<'g> {
        let _scope = self.scope(name);
        let shape = x.shape();
        let (&[samples, positions, width], true) = (&shape[..], heads > 0) else {
            self.fail(Error::input("attention needs activations [N, T, C] and at least one head").detail("got", shape));
            return x;
        };
        if !width.is_multiple_of(heads) {
            self.fail(
                Error::input("the heads of attention do not divide its width")
                    .detail("layer", self.graph().path("").trim_end_matches('.'))
                    .detail("expected", format!("a width that is a multiple of {heads}"))
                    .detail("got", width),
            );
            return x;
        }
        let qkv = self.linear_last("qkv", x, 3 * width).reshape([samples, positions, 3, heads, width / heads]);
        let [q, k, v] = [0, 1, 2].map(|which| qkv.at(2, which).transpose(&[0, 2, 1, 3]));
        let mixed = attention(q, k, v, causal).transpose(&[0, 2, 1, 3]).reshape(shape);
        self.linear_last("out", mixed, width)
    }
}

//! A decoder-only transformer (Radford et al. 2019, section 2.3: layer norm before each part and after the last).

use crate::Error;
use crate::config::NormKind;
use crate::nn::{Context, Initial, Model, Reads};
use evenkeel_graph::Var;

/// A language model: from the tokens up to each position, logits for the next one.
///
/// `tokens` and `positions` (learned vectors, added), blocks `blocks.0` .. of `norm1`, causal self-attention `attention`,
/// `norm2`, `fc1`, gelu, `fc2` (four times the width inside), each half added to its input, then `norm` and `head`.
///
/// Input `[N, T]`, at most `context` tokens each; output `[N, T, vocabulary]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transformer {
    /// Blocks.
    pub layers: usize,
    /// Channels of a position; a multiple of `heads`.
    pub width: usize,
    /// Heads of each attention.
    pub heads: usize,
    /// The most tokens a sample can have.
    pub context: usize,
    /// How many tokens there are.
    pub vocabulary: usize,
    /// The layer before each part and after the last, over the channels of one position: layer, rms, group or none. What goes
    /// over positions is refused, since a position must not know those that follow it.
    pub norm: NormKind,
}

/// Standard deviation of the embeddings at first, as in GPT-2.
const DEVIATION: f64 = 0.02;

impl Default for Transformer {
    /// 4 layers of width 128 with 4 heads, over 64 of 65 characters: the size of Tiny Shakespeare.
    fn default() -> Self {
        Transformer { layers: 4, width: 128, heads: 4, context: 64, vocabulary: 65, norm: NormKind::Layer }
    }
}

impl Model for Transformer {
    fn forward<'g>(&self, cx: &Context<'g>, tokens: Var<'g>) -> Var<'g> {
        let shape = tokens.shape();
        let length = shape.last().copied().unwrap_or(0);
        if shape.len() != 2 || length > self.context {
            cx.fail(
                Error::input("the transformer does not take samples of this shape")
                    .detail("expected", format!("at most {} tokens", self.context))
                    .detail("got", &shape),
            );
            return tokens;
        }
        let mut x = cx.embedding("tokens", tokens, self.vocabulary, self.width, DEVIATION);
        x = x + {
            let _scope = cx.scope("positions");
            let all = cx.param("weight", [self.context, self.width], Initial::Normal(DEVIATION));
            all.slice_along(0, 0..length)
        };
        for layer in 0..self.layers {
            let _scope = cx.scope(&format!("blocks.{layer}"));
            x = x + cx.self_attention("attention", self.normalize(cx, "norm1", x), self.heads, true);
            let inner = cx.linear_last("fc1", self.normalize(cx, "norm2", x), 4 * self.width).gelu();
            x = cx.tap("out", x + cx.linear_last("fc2", inner, self.width));
        }
        cx.head_last("head", self.normalize(cx, "norm", x), self.vocabulary)
    }

    fn reads(&self) -> Reads {
        Reads::Tokens
    }
}

impl Transformer {
    /// The norm of each position by itself.
    fn normalize<'g>(&self, cx: &Context<'g>, name: &str, x: Var<'g>) -> Var<'g> {
        let shape = x.shape();
        if self.norm.is_over_batch() || self.norm == NormKind::Instance {
            cx.fail(
                Error::input(format!(
                    "a transformer cannot have norm {}: a position would know those that follow it",
                    self.norm
                ))
                .detail("layer", cx.graph().path(name))
                .detail("expected", "a norm over the channels of one position: layer, rms, group or none")
                .hint("leave `--norm` out to take layer"),
            );
            return x;
        }
        cx.normalize(self.norm, name, x.reshape([shape[0] * shape[1], self.width])).reshape(shape)
    }
}

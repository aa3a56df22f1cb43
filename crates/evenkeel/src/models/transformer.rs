//! Transformers: a decoder-only language model (Radford et al. 2019, section 2.3: layer norm before each part and after the last),
//! and an encoder that classifies.

use crate::Error;
use crate::config::NormKind;
use crate::nn::{Context, Initial, Model, Reads};
use evenkeel_graph::Var;

/// A language model: from the tokens up to each position, logits for the next one.
///
/// `tokens` and `positions` (learned vectors, added), blocks `blocks.0` .. of `norm1`, causal self-attention `attention`,
/// `norm2`, `fc1`, gelu, `fc2` (four times the width inside), each half added to its input, then `norm` and `head`. Taps: `act`
/// (after gelu) and `out` of each block.
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
                    .detail("got", format!("{length} tokens"))
                    .hint(format!("use `data.tokens={}`, or a model with a longer context", self.context)),
            );
            return tokens;
        }
        if self.norm.is_over_batch() || self.norm == NormKind::Instance {
            cx.fail(
                Error::input(format!(
                    "a transformer cannot have norm {}: a position would know those that follow it",
                    self.norm
                ))
                .detail("layer", cx.graph().path("blocks.0.norm1"))
                .detail("expected", "a norm over the channels of one position: layer, rms, group or none")
                .hint("leave `--norm` out to take layer"),
            );
            return tokens;
        }
        let x = cx.embedding("tokens", tokens, self.vocabulary, self.width, DEVIATION);
        let x = positioned(cx, x, self.context);
        let blocks = Blocks {
            heads: self.heads,
            inner: 4 * self.width,
            causal: true,
            place: NormPlace::Before,
            norm: self.norm,
        };
        let x = blocks.apply(cx, self.layers, x);
        cx.head_last("head", x, self.vocabulary)
    }

    fn reads(&self) -> Reads {
        Reads::Tokens
    }
}

/// A classifier whose positions all see each other.
///
/// `patches` (a linear map of each patch's pixels) or `tokens`, and `positions` (learned vectors), added; then the blocks of
/// [`Transformer`] without the causal mask; then `head` on the mean over positions, or at each of them. Taps as there.
///
/// Input `[N, H, W, C]` or tokens `[N, T]`; output `[N, classes]`, or `[N, T, classes]`.
///
/// Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.1; patches as Dosovitskiy et al. 2020, arXiv 2010.11929, section 3.1, with
/// the mean in place of a class token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// Blocks.
    pub layers: usize,
    /// Channels of a position; a multiple of `heads`.
    pub width: usize,
    /// Heads of each attention.
    pub heads: usize,
    /// Channels inside the second half of a block.
    pub inner: usize,
    /// What a position is made of.
    pub positions: Positions,
    /// Whether the answer is one for the sample, from the mean over its positions, or one for each position.
    pub pooled: bool,
    /// Where the norms stand.
    pub place: NormPlace,
    /// The norm of each position; one over the batch takes all positions of all samples together.
    pub norm: NormKind,
    /// Outputs, for the sample or for each position.
    pub classes: usize,
}

/// What the positions of an [`Encoder`] are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Patches of an image: height and width, which must divide the image's. `[1, W]` are its rows.
    Patches([usize; 2]),
    /// Tokens.
    Tokens {
        /// How many there are.
        vocabulary: usize,
    },
}

/// Where the norms of a transformer's block stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlace {
    /// Before each half: x + f(norm(x)), and one more norm after the last block.
    Before,
    /// After each half's sum: norm(x + f(x)), as in the first transformer.
    After,
}

impl Default for Encoder {
    /// 4 layers of width 64 with 4 heads, over patches of 4×4 pixels in ten classes.
    fn default() -> Self {
        Encoder {
            layers: 4,
            width: 64,
            heads: 4,
            inner: 256,
            positions: Positions::Patches([4, 4]),
            pooled: true,
            place: NormPlace::Before,
            norm: NormKind::Layer,
            classes: 10,
        }
    }
}

impl Model for Encoder {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let x = match self.positions {
            Positions::Tokens { vocabulary } => cx.embedding("tokens", x, vocabulary, self.width, DEVIATION),
            Positions::Patches(size) => match patches(cx, x, size) {
                Some(patches) => cx.linear_last("patches", patches, self.width),
                None => return x,
            },
        };
        let &[_, length, _] = &x.shape()[..] else {
            cx.fail(Error::input("an encoder reads samples [T] of tokens").detail("got", x.shape()));
            return x;
        };
        let x = positioned(cx, x, length);
        let blocks = Blocks { heads: self.heads, inner: self.inner, causal: false, place: self.place, norm: self.norm };
        let x = blocks.apply(cx, self.layers, x);
        match self.pooled {
            true => cx.head("head", x.mean(&[1]), self.classes),
            false => cx.head_last("head", x, self.classes),
        }
    }

    fn reads(&self) -> Reads {
        match self.positions {
            Positions::Patches(_) => Reads::Numbers,
            Positions::Tokens { .. } => Reads::Tokens,
        }
    }
}

/// Images `[N, H, W, C]` as patches `[N, H/h · W/w, h · w · C]`, row by row; nothing where they do not come out even.
fn patches<'g>(cx: &Context<'g>, x: Var<'g>, [high, wide]: [usize; 2]) -> Option<Var<'g>> {
    let shape = x.shape();
    match shape[..] {
        [samples, height, width, channels]
            if high > 0 && wide > 0 && height.is_multiple_of(high) && width.is_multiple_of(wide) =>
        {
            let (rows, columns) = (height / high, width / wide);
            let apart = x.reshape([samples, rows, high, columns, wide, channels]).transpose(&[0, 1, 3, 2, 4, 5]);
            Some(apart.reshape([samples, rows * columns, high * wide * channels]))
        }
        _ => {
            cx.fail(
                Error::input("the images cannot be cut into patches of this size")
                    .detail("expected", format!("height and width that are multiples of {high} and {wide}"))
                    .detail("got", format!("samples of shape {:?}", &shape[1.min(shape.len())..]))
                    .hint("choose a patch that divides the images, e.g. `--model encoder:4-64-4-2`"),
            );
            None
        }
    }
}

/// x plus a learned vector for each of its positions, out of `context`.
fn positioned<'g>(cx: &Context<'g>, x: Var<'g>, context: usize) -> Var<'g> {
    let &[_, length, width] = &x.shape()[..] else { return x };
    let _scope = cx.scope("positions");
    let all = cx.param("weight", [context, width], Initial::Normal(DEVIATION));
    x + all.slice_along(0, 0..length)
}

/// Blocks of self-attention.
struct Blocks {
    heads: usize,
    inner: usize,
    causal: bool,
    place: NormPlace,
    norm: NormKind,
}

impl Blocks {
    /// `layers` of them over `[N, T, C]`, and the norm after the last one where norms stand before.
    fn apply<'g>(&self, cx: &Context<'g>, layers: usize, mut x: Var<'g>) -> Var<'g> {
        for layer in 0..layers {
            let _scope = cx.scope(&format!("blocks.{layer}"));
            x = self.half(cx, "norm1", x, |x| cx.self_attention("attention", x, self.heads, self.causal));
            x = self.half(cx, "norm2", x, |x| {
                let width = x.shape().last().copied().unwrap_or(0);
                let inner = cx.tap("act", cx.linear_last("fc1", x, self.inner).gelu());
                cx.linear_last("fc2", inner, width)
            });
            cx.observe("out", x);
        }
        match self.place {
            NormPlace::Before => self.normalize(cx, "norm", x),
            NormPlace::After => x,
        }
    }

    fn half<'g>(&self, cx: &Context<'g>, norm: &str, x: Var<'g>, f: impl FnOnce(Var<'g>) -> Var<'g>) -> Var<'g> {
        match self.place {
            NormPlace::Before => x + f(self.normalize(cx, norm, x)),
            NormPlace::After => self.normalize(cx, norm, x + f(x)),
        }
    }

    /// The norm of each position by itself.
    fn normalize<'g>(&self, cx: &Context<'g>, name: &str, x: Var<'g>) -> Var<'g> {
        let shape = x.shape();
        let &[samples, positions, width] = &shape[..] else { return x };
        cx.normalize(self.norm, name, x.reshape([samples * positions, width])).reshape(shape)
    }
}

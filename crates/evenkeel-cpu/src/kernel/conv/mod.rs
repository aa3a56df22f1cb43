//! Convolution in two dimensions and its two gradients, channels last, without unrolling the input into a matrix.
//!
//! With x the input `[N, H, W, C]`, w the weights `[kh, kw, c_in / groups, c_out]` and y the output `[N, oh, ow, c_out]`,
//!
//! y[n, i, j, o] = Σ x[n, i · stride + a · dilation − top, j · stride + b · dilation − left, c] · w[a, b, c, o],
//!
//! summed over the taps (a, b) and the channels c of the group of o; outside the input x is zero. [`input_gradient`] and
//! [`weight_gradient`] are the transposes of this map, linear in x and in w.
//!
//! In f32, convolutions of 3 × 3 neighbouring taps with stride 1 take `winograd` where its cost model expects fewer operations; all
//! others, and f64, sum directly as follows.
//!
//! Every direct call costs N · oh · ow · kh · kw · (c_in / groups) · c_out multiply-adds, in any direction, and is cut into pieces that
//! depend on the shape alone: the result has the same bits on any number of threads. It differs between instruction sets only
//! by the rounding of other vector widths (weight gradient) and of an unfused multiply-add (portable).
//!
//! Where to start reading: `tile` has the inner loops, `correlate` what surrounds them for the output and the input gradient,
//! `weight_gradient` for the weights. Forward and input gradient are one piece of code: the input gradient of a convolution
//! with stride s is s² correlations with stride 1, one for each phase of the input positions.
//!
//! # Cost model
//! The shape alone decides; one core does one vector multiply-add a cycle if everything it reads is near.
//!
//! * *Rows*: along rows of at least 6 outputs, tiles run along the row over a copy of a few input rows, in which the columns of
//!   the kernel and the channels form one contiguous sum. The copy costs one or two cycles for a vector that is then used
//!   kh · kw · c_out / lanes times.
//! * *Images*: shorter rows (VGG's 4×4 and 2×2) would leave tiles half empty and multiply mostly padding: with 8 images or
//!   more, tiles run over images at one position instead and skip the taps in the padding.
//! * *Planes*: an output of c channels uses c of the lanes of a vector. With less than half of them, pixels become the lanes
//!   where the stride is 1 and turning the input round costs less than the lanes are worth (`planes`).
//! * *Depthwise*: one channel in and out for each group: channels are the lanes, everything is read where it lies.
//! * A 1×1 convolution without stride and padding is a matrix product. Its pixels are put in rows of about 128 whatever the
//!   image, so that the same tiles are full; there is no separate path for it.
//! * Weights are packed once a call, except for a handful of output pixels, which read them where they lie.

pub(super) mod copy;
pub(super) mod correlate;
mod depthwise;
mod forward;
mod geometry;
mod input_gradient;
pub(super) mod kernels;
pub(super) mod pack;
mod planes;
pub(super) mod simd;
#[cfg(test)]
mod tests;
pub(super) mod tile;
mod weight_gradient;
mod winograd;
pub(super) mod work;

pub use forward::{forward, forward_scratch};
pub use geometry::ConvShape;
pub use input_gradient::{input_gradient, input_gradient_scratch};
pub use kernels::Real;
pub use weight_gradient::{weight_gradient, weight_gradient_scratch};
pub(crate) use work::sum_parts;

//! The register tiles that every direction is made of: what they sum, whatever the vector.
//!
//! [`PixelTile`]: some output pixels × one or two vectors of output channels, summed over taps and input channels.
//! [`PlaneTile`]: some output channels × some vectors of output pixels, for outputs with too few channels for a vector.
//! [`WeightTile`]: some weight rows × one or two vectors of output channels, summed over pixels.
//! Each sums an element in the same order whatever the size of the tile, so the tiling never changes a result.

use super::simd::{Lanes, prefetch};

/// Three loops, one inside the other, that walk over two arrays at once: how often each runs, and by how much it moves on.
///
/// The steps wrap around: kernel positions may be visited backwards.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Nest {
    pub(in crate::kernel) counts: [usize; 3],
    /// Steps in the first array, in scalars.
    pub(in crate::kernel) first: [usize; 3],
    /// Steps in the second array, in scalars.
    pub(in crate::kernel) second: [usize; 3],
}

impl Nest {
    /// A single loop with these steps.
    pub(in crate::kernel) fn line(count: usize, first: usize, second: usize) -> Nest {
        Nest { counts: [1, 1, count], first: [0, 0, first], second: [0, 0, second] }
    }

    /// Calls `visit` at every step with the two pointers.
    ///
    /// # Safety
    /// The pointers stay inside their arrays wherever the nest leads them.
    #[inline(always)]
    pub(in crate::kernel) unsafe fn walk<T>(
        &self,
        first: *const T,
        second: *const T,
        mut visit: impl FnMut(*const T, *const T),
    ) {
        for outer in 0..self.counts[0] {
            for middle in 0..self.counts[1] {
                let mut a = first.wrapping_add(outer.wrapping_mul(self.first[0]));
                let mut b = second.wrapping_add(outer.wrapping_mul(self.second[0]));
                a = a.wrapping_add(middle.wrapping_mul(self.first[1]));
                b = b.wrapping_add(middle.wrapping_mul(self.second[1]));
                for _ in 0..self.counts[2] {
                    visit(a, b);
                    a = a.wrapping_add(self.first[2]);
                    b = b.wrapping_add(self.second[2]);
                }
            }
        }
    }
}

/// The operands of a tile of output pixels.
pub(in crate::kernel) struct PixelTile<T> {
    /// First pixel of the input.
    pub(in crate::kernel) x: *const T,
    /// From one pixel to the next.
    pub(in crate::kernel) x_stride: usize,
    /// Rows of weights, each as wide as the tile.
    pub(in crate::kernel) weights: *const T,
    /// Rows of taps, taps of a row, input channels: over the input and over the weights.
    pub(in crate::kernel) nest: Nest,
    /// First pixel of the output.
    pub(in crate::kernel) y: *mut T,
    /// From one output pixel to the next.
    pub(in crate::kernel) y_stride: usize,
    /// Channels to write, at most the width of the tile.
    pub(in crate::kernel) channels: usize,
    /// Whether the sums are added to what the output holds.
    pub(in crate::kernel) add: bool,
}

/// The operands of a tile of planes: input and output have all pixels of a channel next to each other.
pub(super) struct PlaneTile<T> {
    /// First pixel of the first input channel.
    pub(super) x: *const T,
    /// Weights, one for each output channel of the tile at each step.
    pub(super) weights: *const T,
    /// Rows of taps, taps of a row, input channels: over the input and over the weights.
    pub(super) nest: Nest,
    /// The sums, a row of pixels for each channel.
    pub(super) sums: *mut T,
}

/// The operands of a tile of the weight gradient.
pub(super) struct WeightTile<'a, T> {
    /// First weight row of the first pixel; the rows of a pixel are contiguous.
    pub(super) x: *const T,
    /// Output gradient of the first pixel.
    pub(super) gradient: *const T,
    /// Which pixels to sum: over the input and over the output gradient.
    pub(super) nest: Nest,
    /// Where each weight row of the tile is added.
    pub(super) targets: &'a [*mut T],
    /// Channels to add, at most the width of the tile.
    pub(super) channels: usize,
}

/// Sums a tile of `P` pixels × `V` vectors, each element in the order of the nest.
///
/// # Safety
/// The processor has the instruction set of `L`; `x`, `weights` and `y` are valid for all that nest, pixels and channels name.
#[inline(always)]
pub(super) unsafe fn pixel_tile<L: Lanes, const P: usize, const V: usize>(tile: &PixelTile<L::Scalar>) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[L::zero(); V]; P];
        let stride = tile.x_stride;
        // The output's lines arrive while the sums are computed.
        for p in 0..P {
            for v in 0..V {
                prefetch(tile.y.wrapping_add(p * tile.y_stride + v * L::N));
            }
        }
        tile.nest.walk(tile.x, tile.weights, |x, weights| {
            let row: [L; V] = std::array::from_fn(|v| L::load(weights.add(v * L::N)));
            for (p, sums) in sums.iter_mut().enumerate() {
                let value = L::splat(x.add(p * stride));
                for (sum, &weight) in sums.iter_mut().zip(&row) {
                    *sum = value.multiply_add(weight, *sum);
                }
            }
        });
        for (p, sums) in sums.iter().enumerate() {
            let y = tile.y.add(p * tile.y_stride);
            for (v, &sum) in sums.iter().enumerate() {
                let y = y.wrapping_add(v * L::N);
                let count = tile.channels.saturating_sub(v * L::N).min(L::N);
                match (tile.add, tile.channels == V * L::N) {
                    (false, true) => sum.store(y),
                    (false, false) => sum.store_first(y, count),
                    (true, true) => L::load(y).add(sum).store(y),
                    (true, false) => L::load_first(y, count).add(sum).store_first(y, count),
                }
            }
        }
    }
}

/// Sums a tile of `O` channels × `V` vectors of pixels.
///
/// # Safety
/// As [`pixel_tile`], with `sums` valid for `O · V` vectors.
#[inline(always)]
pub(super) unsafe fn plane_tile<L: Lanes, const O: usize, const V: usize>(tile: &PlaneTile<L::Scalar>) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[L::zero(); V]; O];
        tile.nest.walk(tile.x, tile.weights, |x, weights| {
            let pixels: [L; V] = std::array::from_fn(|v| L::load(x.add(v * L::N)));
            for (o, sums) in sums.iter_mut().enumerate() {
                let weight = L::splat(weights.add(o));
                for (sum, &pixels) in sums.iter_mut().zip(&pixels) {
                    *sum = weight.multiply_add(pixels, *sum);
                }
            }
        });
        for (o, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                sum.store(tile.sums.add((o * V + v) * L::N));
            }
        }
    }
}

/// Adds a tile of `M` weight rows × `V` vectors to its targets.
///
/// # Safety
/// As [`pixel_tile`], with a target valid for `channels` scalars for each row of the tile.
#[inline(always)]
pub(super) unsafe fn weight_tile<L: Lanes, const M: usize, const V: usize>(tile: &WeightTile<'_, L::Scalar>) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[L::zero(); V]; M];
        tile.nest.walk(tile.x, tile.gradient, |x, gradient| {
            let pixel: [L; V] = std::array::from_fn(|v| L::load(gradient.add(v * L::N)));
            for (m, sums) in sums.iter_mut().enumerate() {
                let value = L::splat(x.add(m));
                for (sum, &gradient) in sums.iter_mut().zip(&pixel) {
                    *sum = value.multiply_add(gradient, *sum);
                }
            }
        });
        for (sums, &target) in sums.iter().zip(tile.targets) {
            for (v, &sum) in sums.iter().enumerate() {
                let target = target.wrapping_add(v * L::N);
                if tile.channels == V * L::N {
                    L::load(target).add(sum).store(target);
                } else {
                    let count = tile.channels.saturating_sub(v * L::N).min(L::N);
                    L::load_first(target, count).add(sum).store_first(target, count);
                }
            }
        }
    }
}

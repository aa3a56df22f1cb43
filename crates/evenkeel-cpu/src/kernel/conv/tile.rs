//! The two register tiles every direction is made of, compiled once for each instruction set and tile size.
//!
//! [`PixelTile`]: some output pixels × one or two vectors of output channels, summed over taps and input channels.
//! [`WeightTile`]: some weight rows × one or two vectors of output channels, summed over pixels.
//! Both sum each element in the same order whatever the size of the tile, so the tiling never changes a result.

use super::simd::{Array, Lanes};
use super::winograd::{Transforms, transforms_f32, transforms_f64};
use crate::kernel::instruction_set::InstructionSet;

/// A stretch of the reduction: `len` scalars of the input, contiguous, against `len` rows of packed weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Offset from the first pixel of the tile, in scalars.
    pub(super) x: usize,
    /// First row of packed weights.
    pub(super) row: usize,
    /// Rows.
    pub(super) len: usize,
}

/// The operands of a tile of output pixels.
pub(super) struct PixelTile<'a, T> {
    /// First pixel of the input.
    pub(super) x: *const T,
    /// From one pixel to the next.
    pub(super) x_stride: usize,
    /// Packed weights: rows of as many scalars as the tile is wide.
    pub(super) weights: *const T,
    /// What to sum.
    pub(super) runs: &'a [Run],
    /// First pixel of the output.
    pub(super) y: *mut T,
    /// From one output pixel to the next.
    pub(super) y_stride: usize,
    /// Channels to write, at most the width of the tile.
    pub(super) channels: usize,
}

/// A stretch of pixels of the weight gradient: where its first pixel lies in the input and in the output gradient.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// Offset into the input, in scalars.
    pub(super) x: usize,
    /// Offset into the packed output gradient, in pixels.
    pub(super) pixel: usize,
}

/// The operands of a tile of the weight gradient.
pub(super) struct WeightTile<'a, T> {
    /// First weight row of the first pixel; the rows of a pixel are contiguous.
    pub(super) x: *const T,
    /// From one pixel to the next.
    pub(super) x_stride: usize,
    /// Packed output gradient: pixels of as many scalars as the tile is wide.
    pub(super) gradient: *const T,
    /// What to sum: each stretch has `pixels` pixels.
    pub(super) stretches: &'a [Stretch],
    /// Pixels of a stretch.
    pub(super) pixels: usize,
    /// Where each weight row of the tile is added.
    pub(super) targets: &'a [*mut T],
    /// Channels to add, at most the width of the tile.
    pub(super) channels: usize,
}

/// A compiled tile of output pixels.
///
/// # Safety
/// The processor has the instruction set; `x`, `weights` and `y` are valid for every element that runs, pixels and channels name.
pub(super) type PixelKernel<T> = unsafe fn(&PixelTile<'_, T>);

/// A compiled tile of the weight gradient.
///
/// # Safety
/// As [`PixelKernel`], with a target valid for `channels` scalars for each row of the tile.
pub(super) type WeightKernel<T> = unsafe fn(&WeightTile<'_, T>);

/// The tiles of one instruction set and scalar: index by vectors − 1, then by rows − 1.
pub(super) struct Kernels<T: 'static> {
    pub(super) pixels: [&'static [PixelKernel<T>]; 2],
    pub(super) weights: [&'static [WeightKernel<T>]; 2],
}

#[inline(always)]
unsafe fn pixel_tile<L: Lanes, const P: usize, const V: usize>(tile: &PixelTile<'_, L::Scalar>) {
    // SAFETY: the caller passes on the contract of `PixelKernel`.
    unsafe {
        let mut sums = [[L::zero(); V]; P];
        let stride = tile.x_stride;
        for run in tile.runs {
            let mut x = tile.x.add(run.x);
            let mut weights = tile.weights.add(run.row * V * L::N);
            for _ in 0..run.len {
                let row: [L; V] = std::array::from_fn(|v| L::load(weights.add(v * L::N)));
                for (p, sums) in sums.iter_mut().enumerate() {
                    let value = L::splat(x.add(p * stride));
                    for (sum, &weight) in sums.iter_mut().zip(&row) {
                        *sum = value.multiply_add(weight, *sum);
                    }
                }
                x = x.add(1);
                weights = weights.add(V * L::N);
            }
        }
        for (p, sums) in sums.iter().enumerate() {
            let y = tile.y.add(p * tile.y_stride);
            if tile.channels == V * L::N {
                for (v, sum) in sums.iter().enumerate() {
                    sum.store(y.add(v * L::N));
                }
            } else {
                for (v, sum) in sums.iter().enumerate() {
                    let count = tile.channels.saturating_sub(v * L::N).min(L::N);
                    if count > 0 {
                        sum.store_first(y.add(v * L::N), count);
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn weight_tile<L: Lanes, const M: usize, const V: usize>(tile: &WeightTile<'_, L::Scalar>) {
    // SAFETY: the caller passes on the contract of `WeightKernel`.
    unsafe {
        let mut sums = [[L::zero(); V]; M];
        for stretch in tile.stretches {
            let mut x = tile.x.add(stretch.x);
            let mut gradient = tile.gradient.add(stretch.pixel * V * L::N);
            for _ in 0..tile.pixels {
                let pixel: [L; V] = std::array::from_fn(|v| L::load(gradient.add(v * L::N)));
                for (m, sums) in sums.iter_mut().enumerate() {
                    let value = L::splat(x.add(m));
                    for (sum, &gradient) in sums.iter_mut().zip(&pixel) {
                        *sum = value.multiply_add(gradient, *sum);
                    }
                }
                x = x.wrapping_add(tile.x_stride);
                gradient = gradient.add(V * L::N);
            }
        }
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

/// Compiles the tiles of one vector type: a function for each size, with the instruction set enabled for its whole body.
macro_rules! kernels {
    ($name:ident, $lanes:ty, $scalar:ty, [$($feature:literal)?], [$($one:literal)*], [$($two:literal)*]) => {
        mod $name {
            use super::*;

            $(#[target_feature(enable = $feature)])?
            unsafe fn pixels<const P: usize, const V: usize>(tile: &PixelTile<'_, $scalar>) {
                // SAFETY: the features are enabled here, and the caller passes on the rest of the contract.
                unsafe { pixel_tile::<$lanes, P, V>(tile) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn weights<const M: usize, const V: usize>(tile: &WeightTile<'_, $scalar>) {
                // SAFETY: the features are enabled here, and the caller passes on the rest of the contract.
                unsafe { weight_tile::<$lanes, M, V>(tile) }
            }

            pub(super) static KERNELS: Kernels<$scalar> = Kernels {
                pixels: [&[$(pixels::<$one, 1>),*], &[$(pixels::<$two, 2>),*]],
                weights: [&[$(weights::<$one, 1>),*], &[$(weights::<$two, 2>),*]],
            };
        }
    };
}

kernels!(portable_f32, Array<f32, 8>, f32, [], [1 2 3 4], [1 2]);
kernels!(portable_f64, Array<f64, 4>, f64, [], [1 2 3 4], [1 2]);
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m256d, __m512, __m512d};

    use super::*;

    kernels!(avx2_f32, __m256, f32, ["avx2,fma"], [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5 6]);
    kernels!(avx2_f64, __m256d, f64, ["avx2,fma"], [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5 6]);
    kernels!(avx512_f32, __m512, f32, ["avx512f"],
        [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24], [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
    kernels!(avx512_f64, __m512d, f64, ["avx512f"],
        [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24], [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);

    pub(super) static AVX2: (&Kernels<f32>, &Kernels<f64>) = (&avx2_f32::KERNELS, &avx2_f64::KERNELS);
    pub(super) static AVX512: (&Kernels<f32>, &Kernels<f64>) = (&avx512_f32::KERNELS, &avx512_f64::KERNELS);
}

mod sealed {
    use super::{InstructionSet, Kernels, Transforms};

    pub trait Sealed: Sized + 'static {
        /// The tiles for an instruction set that this processor has; out of reach for other crates, as its types are.
        #[allow(private_interfaces)]
        fn kernels(level: InstructionSet) -> &'static Kernels<Self>;
        /// The transforms of minimal filtering, likewise.
        #[allow(private_interfaces)]
        fn transforms(level: InstructionSet) -> &'static Transforms<Self>;
    }
}
pub(super) use sealed::Sealed;

/// The scalars the kernels are compiled for: `f32` and `f64`.
pub trait Real: Sealed + Copy + Default + Send + Sync + std::ops::AddAssign + std::fmt::Debug + PartialEq {}

impl Real for f32 {}
impl Real for f64 {}

impl Sealed for f32 {
    #[allow(private_interfaces)]
    fn kernels(level: InstructionSet) -> &'static Kernels<f32> {
        match level {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => x86::AVX512.0,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => x86::AVX2.0,
            InstructionSet::Portable => &portable_f32::KERNELS,
        }
    }
    #[allow(private_interfaces)]
    fn transforms(level: InstructionSet) -> &'static Transforms<f32> {
        transforms_f32(level)
    }
}

impl Sealed for f64 {
    #[allow(private_interfaces)]
    fn kernels(level: InstructionSet) -> &'static Kernels<f64> {
        match level {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => x86::AVX512.1,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => x86::AVX2.1,
            InstructionSet::Portable => &portable_f64::KERNELS,
        }
    }
    #[allow(private_interfaces)]
    fn transforms(level: InstructionSet) -> &'static Transforms<f64> {
        transforms_f64(level)
    }
}

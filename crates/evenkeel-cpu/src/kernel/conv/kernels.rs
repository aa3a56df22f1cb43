//! All inner loops compiled once for each instruction set and tile size, and the scalars they exist for.

use super::copy::{Pixels, copy_pixels};
use super::depthwise::{ChannelSum, ChannelTile, channel_sum, channel_tile};
use super::pack::{Turn, turn_squares};
use super::simd::{Array, Lanes};
use super::tile::{PixelTile, PlaneTile, WeightTile, pixel_tile, plane_tile, weight_tile};
use super::winograd::{Transforms, transforms_f32, transforms_f64};
use crate::kernel::instruction_set::InstructionSet;

type PixelKernel<T> = unsafe fn(&PixelTile<T>);
type PlaneKernel<T> = unsafe fn(&PlaneTile<T>);
type WeightKernel<T> = unsafe fn(&WeightTile<'_, T>);

/// The inner loops of one instruction set and scalar. Each may only be called on a processor that has the instruction set,
/// with operands that keep the promises of the function it is compiled from.
pub(in crate::kernel) struct Kernels<T: 'static> {
    /// Tiles of output pixels: index by vectors − 1, then by pixels − 1.
    pub(in crate::kernel) pixels: [&'static [PixelKernel<T>]; 2],
    /// Tiles of the weight gradient: index by vectors − 1, then by weight rows − 1.
    pub(super) weights: [&'static [WeightKernel<T>]; 2],
    /// Tiles of planes: index by output channels − 1; with the vectors of pixels of each.
    pub(super) planes: &'static [(usize, PlaneKernel<T>)],
    /// Tiles of depthwise outputs: index by pixels − 1.
    pub(super) channels: &'static [unsafe fn(&ChannelTile<T>)],
    /// A depthwise weight gradient.
    pub(super) sum: unsafe fn(&ChannelSum<T>),
    /// Squares turned round, with their side.
    pub(super) turn: (usize, unsafe fn(&Turn<T>)),
    /// Copies of pixels.
    pub(super) copy: unsafe fn(&Pixels<T>),
}

macro_rules! kernels {
    ($name:ident, $lanes:ty, $scalar:ty, [$($feature:literal)?],
     [$($one:literal)*], [$($two:literal)*], [$($outputs:literal: $planes:literal),*]) => {
        mod $name {
            use super::*;

            $(#[target_feature(enable = $feature)])?
            unsafe fn pixels<const P: usize, const V: usize>(tile: &PixelTile<$scalar>) {
                // SAFETY: the features are enabled here, and the caller passes on the rest of the contract.
                unsafe { pixel_tile::<$lanes, P, V>(tile) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn weights<const M: usize, const V: usize>(tile: &WeightTile<'_, $scalar>) {
                // SAFETY: as above.
                unsafe { weight_tile::<$lanes, M, V>(tile) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn planes<const O: usize, const V: usize>(tile: &PlaneTile<$scalar>) {
                // SAFETY: as above.
                unsafe { plane_tile::<$lanes, O, V>(tile) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn channels<const P: usize>(tile: &ChannelTile<$scalar>) {
                // SAFETY: as above.
                unsafe { channel_tile::<$lanes, P>(tile) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn sum(sum: &ChannelSum<$scalar>) {
                // SAFETY: as above.
                unsafe { channel_sum::<$lanes>(sum) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn copy(pixels: &Pixels<$scalar>) {
                // SAFETY: as above.
                unsafe { copy_pixels::<$lanes>(pixels) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn turn(turn: &Turn<$scalar>) {
                // SAFETY: as above.
                unsafe { turn_squares::<$lanes>(turn) }
            }

            pub(super) static KERNELS: Kernels<$scalar> = Kernels {
                pixels: [&[$(pixels::<$one, 1>),*], &[$(pixels::<$two, 2>),*]],
                weights: [&[$(weights::<$one, 1>),*], &[$(weights::<$two, 2>),*]],
                planes: &[$(($planes, planes::<$outputs, $planes>)),*],
                channels: &[channels::<1>, channels::<2>, channels::<3>, channels::<4>],
                sum,
                turn: (<$lanes>::SIDE, turn),
                copy,
            };
        }
    };
}

kernels!(portable_f32, Array<f32, 8>, f32, [], [1 2 3 4], [1 2], [1: 4, 2: 2, 3: 1, 4: 1]);
kernels!(portable_f64, Array<f64, 4>, f64, [], [1 2 3 4], [1 2], [1: 4, 2: 2]);
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m256d, __m512, __m512d};

    use super::*;

    kernels!(avx2_f32, __m256, f32, ["avx2,fma"], [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5 6], [1: 8, 2: 5, 3: 4, 4: 3]);
    kernels!(avx2_f64, __m256d, f64, ["avx2,fma"], [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5 6], [1: 8, 2: 5]);
    kernels!(avx512_f32, __m512, f32, ["avx512f"],
        [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24], [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
        [1: 8, 2: 8, 3: 7, 4: 6, 5: 5, 6: 4, 7: 3, 8: 3]);
    kernels!(avx512_f64, __m512d, f64, ["avx512f"],
        [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24], [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
        [1: 8, 2: 8, 3: 7, 4: 6]);

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
pub(in crate::kernel) use sealed::Sealed;

/// The scalars the kernels are compiled for: `f32` and `f64`.
pub trait Real: Sealed + Copy + Default + Send + Sync + std::ops::AddAssign + std::fmt::Debug + PartialEq {
    /// The neutral factor.
    const ONE: Self;
}

impl Real for f32 {
    const ONE: f32 = 1.0;
}
impl Real for f64 {
    const ONE: f64 = 1.0;
}

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
